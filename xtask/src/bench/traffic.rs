//! Many small statements: throughput, CPU and latency beside pgbouncer and a raw splice.

use super::ways::{DATABASE, PASSWORD, ROLE, Stage, Way, done, policies, read_latencies};
use super::{BENCH_SECONDS_MAX, Bench, Stop, figure, median, quantile};
use interop::process::finish;
use std::path::Path;

/// One pgbench run.
struct Sample {
    tps: f64,
    /// Of the proxy, per transaction.
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// What pgbench is asked to do.
#[derive(Clone, Copy)]
struct Load<'a> {
    clients: u32,
    seconds: u32,
    /// `None`: its own `-S`.
    script: Option<&'a Path>,
}

impl Bench {
    /// `pgbench -S` prepared, 8 and 32 clients, each way in turn.
    pub fn traffic(&mut self, stage: &Stage) -> Result<(), Stop> {
        let (reps, seconds) = if self.quick { (1, 1) } else { (4, 2) };
        let allowed = self.example("bench_append", &["-".to_owned(), "1".to_owned(), "raw".to_owned()])?;
        for clients in [8, 32] {
            println!("\n=== pgbench -S -M prepared -c {clients}: {reps} times {seconds} s, in turns");
            let samples = take(stage, reps, Load { clients, seconds, script: None })?;
            print_samples(&stage.ways, &samples);
            let tps = |name: &str| stage.at(name).map(|at| of(&samples[at], |s| s.tps));
            let cpu = |name: &str| stage.at(name).map(|at| of(&samples[at], |s| s.cpu_us));
            let what = format!("`pgbench -S` prepared, {clients} clients");
            let (ours, peer) = (cpu("tacho os")?, cpu("pgbouncer")?);
            let detail = format!("{ours:.1} / {peer:.1} us a query");
            self.table.at_most(&format!("{what}, os: CPU / pgbouncer's"), 1.2, ours / peer, "x", &detail);
            let (ours, peer) = (tps("tacho os")?, tps("pgbouncer")?);
            let detail = format!("{ours:.0} / {peer:.0} a second; direct {:.0}", tps("direct")?);
            self.table.at_least(
                &format!("{what}, os: throughput / pgbouncer's"),
                0.9,
                ours / peer,
                "x",
                &detail,
            );
            let durable = tps("tacho sync")?;
            let detail = format!("{durable:.0} / {peer:.0} a second");
            let name = format!("{what}, durable: throughput / pgbouncer's");
            self.table.at_least(&name, 0.5, durable / peer, "x", &detail);
            let disk = figure(&allowed, &format!("group-{clients}"))?;
            let limit = ours.min(disk);
            let detail = format!(
                "{durable:.0} / {limit:.0} a second: the disk gives {disk:.0} commits, `os` {ours:.0}"
            );
            let name = format!("{what}, durable: throughput / what the disk's group commit allows");
            self.table.at_least(&name, 0.8, durable / limit, "x", &detail);
            let name = format!("{what}, durable, upstream not read-only (two syncs a query): / pgbouncer's");
            let written = tps("tacho rw")?;
            self.table.told(&name, written / peer, "x", &format!("{written:.0} a second"));
        }
        Ok(())
    }

    /// One client: what each way adds to the direct one.
    pub fn latency(&mut self, stage: &Stage) -> Result<(), Stop> {
        let reps = if self.quick { 1 } else { 5 };
        let lines = self.example("bench_append", &["-".to_owned(), "1".to_owned(), "raw".to_owned()])?;
        let sync = figure(&lines, "raw-p50-us")?;
        println!(
            "\n=== pgbench -S -M prepared -c 1: {reps} times 1 s, in turns; one sync of the disk is {sync:.0} us"
        );
        let samples = take(stage, reps, Load { clients: 1, seconds: 1, script: None })?;
        print_samples(&stage.ways, &samples);
        let added = |name: &str| added(stage, &samples, name);
        let (ours, floor) = (added("tacho os")?, added("splice")?);
        let detail = format!("{ours:.0} / {floor:.0} us");
        self.table.at_most("one client, os: added p50 / a raw splice's", 1.3, ours / floor, "x", &detail);
        let durable = added("tacho sync")?;
        let detail = format!("{durable:.0} - {ours:.0} us; a sync {sync:.0} us");
        let name = "one client, durable: p50 added to os / one sync of the disk";
        self.table.at_most(name, 1.3, (durable - ours) / sync, "x", &detail);

        let script = stage.scratch.path().join("slow.sql");
        let slow = "SELECT sum(abalance) FROM pgbench_accounts WHERE aid <= 10000;\n";
        std::fs::write(&script, slow).map_err(super::ways::could)?;
        println!("\n=== the same with a statement that takes longer than a sync");
        let samples = take(stage, reps, Load { clients: 1, seconds: 1, script: Some(&script) })?;
        print_samples(&stage.ways, &samples);
        let of_direct = of(&samples[0], |s| s.p50_us);
        let durable = self::added(stage, &samples, "tacho sync")? - self::added(stage, &samples, "tacho os")?;
        let detail = format!("{durable:.0} us more on {of_direct:.0} us; a sync {sync:.0} us");
        let name = "one client, durable, slow statement: p50 added to os / one sync";
        self.table.at_most(name, 0.3, durable / sync, "x", &detail);
        Ok(())
    }

    /// The price of a text never seen before, and of one that is known: without the wire, on one thread.
    pub fn first_sight(&mut self, stage: &Stage) -> Result<(), Stop> {
        println!("\n=== a 2.4 KB analytic query, 50 policies, masks: parse, resolve, decide, rewrite");
        let folder = stage.scratch.path();
        let (policy, query) = (folder.join("policies.cedar"), folder.join("analytic.sql"));
        std::fs::write(&policy, policies(true)).map_err(super::ways::could)?;
        std::fs::write(&query, analytic_query()).map_err(super::ways::could)?;
        let port = stage.upstream.port.to_string();
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let arguments = [&*port, DATABASE, ROLE, PASSWORD, &path(&policy), &path(&query)].map(str::to_owned);
        let lines = self.example("first_sight", &arguments)?;
        let detail = format!(
            "parse {:.0}, analyse and decide {:.0} us",
            figure(&lines, "parse-us")?,
            figure(&lines, "plan-us")?
        );
        self.table.at_most(
            "first sight of a 2.4 KB analytic query",
            300.0,
            figure(&lines, "first-us")?,
            "us",
            &detail,
        );
        let detail = "exact text, 512 plans in the cache";
        self.table.at_most("the same text again", 1.0, figure(&lines, "again-us")?, "us", detail);
        Ok(())
    }
}

/// Every way in turn, `reps` times.
fn take(stage: &Stage, reps: usize, load: Load<'_>) -> Result<Vec<Vec<Sample>>, Stop> {
    let mut samples: Vec<Vec<Sample>> = stage.ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..reps {
        for (way, samples) in stage.ways.iter().zip(&mut samples) {
            samples.push(way.sample(stage.scratch.path(), load)?);
        }
    }
    Ok(samples)
}

/// The median over the turns of what a way's p50 has more than the direct one's of the same turn.
fn added(stage: &Stage, samples: &[Vec<Sample>], name: &str) -> Result<f64, Stop> {
    let pairs = samples[0].iter().zip(&samples[stage.at(name)?]);
    Ok(median(&mut pairs.map(|(direct, way)| way.p50_us - direct.p50_us).collect::<Vec<_>>()))
}

fn of(samples: &[Sample], field: fn(&Sample) -> f64) -> f64 {
    median(&mut samples.iter().map(field).collect::<Vec<_>>())
}

impl Way {
    fn sample(&self, scratch: &Path, load: Load<'_>) -> Result<Sample, Stop> {
        let mut bench = self.pgbench();
        bench.args(["-n", "-M", "prepared", "-c", &load.clients.to_string()]);
        bench.args(["-j", &load.clients.min(2).to_string(), "-T", &load.seconds.to_string()]);
        match load.script {
            Some(script) => bench.arg("-f").arg(script),
            None => bench.arg("-S"),
        };
        bench.arg("-l").arg(format!("--log-prefix={}", scratch.join("latency").display()));
        let before = self.cpu_us();
        done(finish(&mut bench, b"", BENCH_SECONDS_MAX)?)?;
        let cpu_us = self.cpu_us() - before;
        let mut latencies = read_latencies(scratch);
        let count = latencies.len().max(1) as f64;
        Ok(Sample {
            tps: count / f64::from(load.seconds),
            cpu_us: cpu_us / count,
            p50_us: quantile(&mut latencies, 0.5),
            p99_us: quantile(&mut latencies, 0.99),
        })
    }
}

fn print_samples(ways: &[Way], samples: &[Vec<Sample>]) {
    println!(
        "{:<12} {:>9} {:>8} {:>12} {:>10} {:>12} {:>8} {:>8}",
        "", "tps", "/direct", "/pgbouncer", "CPU us/tx", "/pgbouncer", "p50 us", "p99 us"
    );
    let peer = ways.iter().position(|way| way.name == "pgbouncer").unwrap_or(0);
    let tps = |n: usize| of(&samples[n], |s| s.tps);
    let cpu = |n: usize| of(&samples[n], |s| s.cpu_us);
    for (n, way) in ways.iter().enumerate() {
        println!(
            "{:<12} {:>9.0} {:>8.2} {:>12.2} {:>10.1} {:>12.2} {:>8.0} {:>8.0}",
            way.name,
            tps(n),
            tps(n) / tps(0),
            tps(n) / tps(peer),
            cpu(n),
            cpu(n) / cpu(peer),
            of(&samples[n], |s| s.p50_us),
            of(&samples[n], |s| s.p99_us)
        );
    }
}

/// About 2.4 KB: common table expressions, joins, windows, a relation with a governed column; `{n}` is another number
/// each time.
fn analytic_query() -> String {
    let parts: Vec<String> = (1..=6)
        .map(|n| {
            format!(
                "part{n} AS (SELECT a.bid AS branch, count(*) AS accounts, sum(a.abalance) AS balance, max(t.tbalance) AS teller, \
                 row_number() OVER (ORDER BY a.bid) AS place FROM pgbench_accounts a JOIN pgbench_tellers t ON t.bid = a.bid \
                 WHERE a.aid = {n} AND t.tid <> {{n}} AND a.abalance BETWEEN -100000 AND 100000 GROUP BY a.bid)"
            )
        })
        .collect();
    let unions: Vec<String> = (1..=6)
        .map(|n| format!("SELECT {n} AS n, branch, accounts, balance, teller, place FROM part{n}"))
        .collect();
    format!("WITH {} {} ORDER BY n", parts.join(", "), unions.join(" UNION ALL "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_analytic_query_is_as_long_as_it_says() {
        let length = analytic_query().len();
        assert!((2_200..2_800).contains(&length), "{length}");
    }
}
