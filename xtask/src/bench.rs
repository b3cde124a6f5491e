//! Figures side by side. Absolute numbers of a shared machine mean little: every table gives ratios
//! between things that ran in turns, in one run.

use crate::home::Home;
use crate::setup::{self, Wanted};
use crate::step::{Stop, follow};
use interop::gateway::Plan;
use interop::limits::CLIENT_SECONDS_MAX;
use interop::pgbouncer::Pgbouncer;
use interop::place::{Scratch, free_port, is_open};
use interop::postgres::{Postgres, debian};
use interop::process::{Daemon, Finished, finish};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const BUILD_SECONDS_MAX: Duration = Duration::from_secs(3600);
const BENCH_SECONDS_MAX: Duration = Duration::from_secs(1200);

const DATABASE: &str = "bench";
const ROLE: &str = "bench_app";
const PASSWORD: &str = "bench-app-password";

/// Kernel clock ticks in a second, as /proc counts CPU time; 100 on every Linux that Debian ships.
const TICKS: f64 = 100.0;

pub fn run(words: &[&str]) -> Result<(), Stop> {
    let usage = || Stop::Usage("cargo xtask bench ledger|postgres|all [--quick]".to_owned());
    let (what, quick) = match words {
        [what] => (*what, false),
        [what, "--quick"] => (*what, true),
        _ => return Err(usage()),
    };
    let home = setup::ready(Wanted::Test)?;
    match what {
        "ledger" => ledger(&home),
        "postgres" => postgres(&home, quick),
        "all" => ledger(&home).and_then(|()| postgres(&home, quick)),
        _ => Err(usage()),
    }
}

/// Appends and verification, on this disk and this core.
fn ledger(home: &Home) -> Result<(), Stop> {
    for (package, example) in [("ledger", "bench_append"), ("tacho-verify", "bench_verify")] {
        println!("\n=== {example} (release)");
        let mut cargo = home.cargo();
        cargo.args(["run", "--quiet", "--release", "--locked", "--package", package, "--example", example]);
        must(&mut cargo, BUILD_SECONDS_MAX)?;
    }
    Ok(())
}

fn must(command: &mut Command, limit: Duration) -> Result<(), Stop> {
    match follow(command, limit, |_| ()) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Stop::Could(format!("{}: {status}", interop::process::describe(command)))),
        Err(text) => Err(Stop::Could(text)),
    }
}

/// What is measured: a way to the same upstream.
struct Way {
    name: &'static str,
    port: u16,
    user: String,
    password: String,
    /// Whose CPU time and memory count; the direct way has none.
    pid: Option<u32>,
    start_ms: f64,
}

/// Everything that runs while figures are taken. Dropped, it stops.
struct Field {
    ways: Vec<Way>,
    _keep: Vec<Box<dyn std::any::Any>>,
    scratch: Scratch,
}

fn postgres(home: &Home, quick: bool) -> Result<(), Stop> {
    println!("\n=== build (release)");
    let mut cargo = home.cargo();
    must(cargo.args(["build", "--release", "--locked", "--package", "tacho"]), BUILD_SECONDS_MAX)?;
    let mut cargo = home.cargo();
    must(
        cargo.args(["build", "--release", "--locked", "--package", "interop", "--examples"]),
        BUILD_SECONDS_MAX,
    )?;
    let release = home.target.join("release");
    let field = Field::lay(&release)?;
    let (reps, seconds) = if quick { (2, 1) } else { (5, 2) };
    field.start_up();
    field.transactions(reps, seconds)?;
    field.first_answers()?;
    field.stream(&release, if quick { 1 } else { 3 })?;
    field.idle(home)
}

impl Field {
    /// One PostgreSQL, and each way to it.
    fn lay(release: &Path) -> Result<Field, Stop> {
        println!("\n=== PostgreSQL, pgbench's tables (scale 10), and each way to them");
        let could = |why: std::io::Error| Stop::Could(why.to_string());
        // No TLS on either leg: pgbouncer and the splice have none, and the figures are to compare.
        let upstream =
            Postgres::start_with(&debian()?, &["ssl=off", "max_connections=600", "shared_buffers='512MB'"])?;
        upstream.admin(
            "postgres",
            &format!(
                "CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE {DATABASE} OWNER {ROLE}"
            ),
        )?;
        let mut init = pgbench(upstream.port, ROLE, PASSWORD);
        done(finish(init.args(["-i", "-q", "-s", "10"]), b"", BENCH_SECONDS_MAX)?)?;
        upstream.admin(DATABASE, "CHECKPOINT")?;
        let role = (ROLE.to_owned(), PASSWORD.to_owned());
        let mut field =
            Field { ways: Vec::new(), _keep: Vec::new(), scratch: Scratch::new("bench").map_err(could)? };
        field.add("direct", upstream.port, role.clone(), None, 0.0);

        let (port, begun) = (free_port().map_err(could)?, Instant::now());
        let mut splice = Command::new(release.join("examples/splice"));
        splice.args([port.to_string(), upstream.port.to_string()]);
        let mut splice = Daemon::start(&mut splice, &field.scratch.path().join("splice.log"), "TERM")?;
        splice.wait_ready(CLIENT_SECONDS_MAX, || is_open(port))?;
        field.add("splice", port, role.clone(), Some(splice.pid()), ms(begun));
        field._keep.push(Box::new(splice));

        let begun = Instant::now();
        let bouncer = Pgbouncer::start(&upstream, DATABASE, ROLE, PASSWORD)?;
        field.add("pgbouncer", bouncer.port, role, Some(bouncer.pid()), ms(begun));
        field._keep.push(Box::new(bouncer));

        for (name, durability) in [("tacho os", "os"), ("tacho sync", "sync")] {
            field.add_gateway(name, durability, &upstream, release)?;
        }
        field._keep.push(Box::new(upstream));
        Ok(field)
    }

    /// A gateway with masking rules and fifty policies present, and a run whose credentials the clients use.
    fn add_gateway(
        &mut self,
        name: &'static str,
        durability: &str,
        upstream: &Postgres,
        release: &Path,
    ) -> Result<(), Stop> {
        let plan = Plan {
            database: DATABASE.to_owned(),
            role: ROLE.to_owned(),
            password: PASSWORD.to_owned(),
            policy: policies(),
            masks: vec![(
                "public.pgbench_branches.filler".to_owned(),
                "pii.notes".to_owned(),
                "redact".to_owned(),
            )],
            durability: durability.to_owned(),
            gateway_lines: String::new(),
            resource_lines: String::new(),
            tables: String::new(),
        };
        let site = interop::gateway::Site::new_with(&plan, upstream, &release.join("tacho"))?;
        let begun = Instant::now();
        let gateway = site.up()?;
        let start_ms = ms(begun);
        let lease = gateway.lease("bench")?;
        let role = (lease.user().to_owned(), lease.password().to_owned());
        self.add(name, gateway.site().port, role, Some(gateway.pid()), start_ms);
        // The lease first: it ends while its gateway is still there.
        self._keep.push(Box::new((lease, gateway)));
        Ok(())
    }

    fn add(
        &mut self,
        name: &'static str,
        port: u16,
        (user, password): (String, String),
        pid: Option<u32>,
        start_ms: f64,
    ) {
        self.ways.push(Way { name, port, user, password, pid, start_ms });
    }

    fn start_up(&self) {
        println!("\n=== from start to an open port, ms");
        for way in self.ways.iter().filter(|way| way.pid.is_some()) {
            println!("{:<12} {:>8.0}", way.name, way.start_ms);
        }
    }

    /// pgbench -S in both protocols, each way in turn, several times.
    fn transactions(&self, reps: usize, seconds: u32) -> Result<(), Stop> {
        for mode in ["simple", "prepared"] {
            for clients in [1, 8, 32] {
                println!("\n=== pgbench -S -M {mode} -c {clients}: {reps} times {seconds} s, in turns");
                let mut samples: Vec<Vec<Sample>> = self.ways.iter().map(|_| Vec::new()).collect();
                for _ in 0..reps {
                    for (way, samples) in self.ways.iter().zip(&mut samples) {
                        samples.push(way.sample(self.scratch.path(), mode, clients, seconds)?);
                    }
                }
                print_samples(&self.ways, &samples);
            }
        }
        Ok(())
    }

    /// The price of a text never seen before: each statement differs in a literal.
    fn first_answers(&self) -> Result<(), Stop> {
        println!(
            "\n=== 2.4 KB analytic query, one client: text new each time, and the same text again (p50, us)"
        );
        let script = |fresh: bool| {
            let first = if fresh { "\\set n random(1, 1000000000)\n" } else { "\\set n 7\n" };
            format!("{first}{}\n", analytic_query())
        };
        println!("{:<12} {:>10} {:>10}", "", "new", "again");
        for way in &self.ways {
            let mut figures = Vec::new();
            for fresh in [true, false] {
                let file = self.scratch.path().join("analytic.sql");
                std::fs::write(&file, script(fresh)).map_err(|why| Stop::Could(why.to_string()))?;
                let mut bench = pgbench(way.port, &way.user, &way.password);
                bench.args(["-n", "-c", "1", "-T", "3", "-f"]).arg(&file);
                figures.push(way.latency(self.scratch.path(), &mut bench)?);
            }
            println!("{:<12} {:>10.0} {:>10.0}", way.name, figures[0], figures[1]);
        }
        Ok(())
    }

    /// A million rows of about 200 bytes.
    fn stream(&self, release: &Path, reps: usize) -> Result<(), Stop> {
        println!("\n=== 1,000,000 rows streamed: MB/s (median of {reps}), ratio to direct, memory over idle");
        let query = "SELECT g, repeat('lorem ipsum ', 4), g * 2, repeat('dolor sit amet ', 5), now(), g % 97, repeat('x', 40) FROM generate_series(1, 1000000) AS g";
        let mut direct = 0.0;
        for way in &self.ways {
            let before = way.memory();
            let mut rates = Vec::new();
            for _ in 0..reps {
                let mut client = Command::new(release.join("examples/stream"));
                client.args([way.connection(), query.to_owned()]);
                let said = done(finish(&mut client, b"", BENCH_SECONDS_MAX)?)?.out();
                rates.push(
                    megabytes_a_second(&said).ok_or_else(|| Stop::Could(format!("stream said: {said}")))?,
                );
            }
            let rate = median(&mut rates);
            direct = if way.pid.is_none() { rate } else { direct };
            println!(
                "{:<12} {rate:>8.1} {:>6.2} {:>10} KiB",
                way.name,
                rate / direct,
                way.peak().saturating_sub(before)
            );
        }
        Ok(())
    }

    /// Memory of connections that have asked one thing and then wait.
    fn idle(&self, home: &Home) -> Result<(), Stop> {
        const CONNECTIONS: u64 = 100;
        println!("\n=== {CONNECTIONS} idle connections: KiB each");
        let python = home.venv().join("bin/python");
        for way in self.ways.iter().filter(|way| way.pid.is_some()) {
            let before = way.memory();
            let script = format!(
                "import psycopg,sys,time\nc=[psycopg.connect(sys.argv[1],autocommit=True) for _ in range({CONNECTIONS})]\n\
                 [x.execute('select 1').fetchall() for x in c]\ntime.sleep(1)\nprint(open('/proc/{}/status').read())\n",
                way.pid.unwrap_or_default()
            );
            let mut client = Command::new(&python);
            client.arg("-c").arg(script).arg(way.connection());
            let status = done(finish(&mut client, b"", CLIENT_SECONDS_MAX)?)?.out();
            let after = kibibytes(&status, "VmRSS:").unwrap_or(before);
            println!("{:<12} {:>8.1}", way.name, after.saturating_sub(before) as f64 / CONNECTIONS as f64);
        }
        Ok(())
    }
}

/// One pgbench run.
struct Sample {
    tps: f64,
    /// Of the proxy, per transaction.
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Way {
    fn sample(&self, scratch: &Path, mode: &str, clients: u32, seconds: u32) -> Result<Sample, Stop> {
        let prefix = scratch.join("latency");
        let mut bench = pgbench(self.port, &self.user, &self.password);
        bench.args([
            "-S",
            "-n",
            "-M",
            mode,
            "-c",
            &clients.to_string(),
            "-j",
            &clients.min(2).to_string(),
            "-T",
            &seconds.to_string(),
        ]);
        bench.arg("-l").arg(format!("--log-prefix={}", prefix.display()));
        let before = self.ticks();
        done(finish(&mut bench, b"", BENCH_SECONDS_MAX)?)?;
        let ticks = self.ticks() - before;
        let mut latencies = read_latencies(scratch);
        let count = latencies.len().max(1) as f64;
        Ok(Sample {
            tps: count / f64::from(seconds),
            cpu_us: ticks / TICKS * 1e6 / count,
            p50_us: quantile(&mut latencies, 0.5),
            p99_us: quantile(&mut latencies, 0.99),
        })
    }

    fn latency(&self, scratch: &Path, bench: &mut Command) -> Result<f64, Stop> {
        bench.arg("-l").arg(format!("--log-prefix={}", scratch.join("latency").display()));
        done(finish(bench, b"", BENCH_SECONDS_MAX)?)?;
        Ok(quantile(&mut read_latencies(scratch), 0.5))
    }

    fn connection(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user={} password={} dbname={DATABASE} sslmode=disable",
            self.port, self.user, self.password
        )
    }

    /// CPU time so far, user and system, in ticks.
    fn ticks(&self) -> f64 {
        let text = self.pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        text.and_then(|text| cpu_ticks(&text)).unwrap_or(0.0)
    }

    fn status(&self) -> String {
        self.pid
            .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok())
            .unwrap_or_default()
    }

    fn memory(&self) -> u64 {
        kibibytes(&self.status(), "VmRSS:").unwrap_or(0)
    }

    fn peak(&self) -> u64 {
        kibibytes(&self.status(), "VmHWM:").unwrap_or(0)
    }
}

fn pgbench(port: u16, user: &str, password: &str) -> Command {
    let mut command =
        Command::new(debian().map(|i| i.bin.join("pgbench")).unwrap_or_else(|_| PathBuf::from("pgbench")));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string()).env("PGDATABASE", DATABASE);
    command.env("PGUSER", user).env("PGPASSWORD", password).env("PGSSLMODE", "disable");
    command
}

fn done(finished: Finished) -> Result<Finished, Stop> {
    if finished.status.success() { Ok(finished) } else { Err(Stop::Could(finished.all())) }
}

fn print_samples(ways: &[Way], samples: &[Vec<Sample>]) {
    let of = |samples: &[Sample], field: fn(&Sample) -> f64| {
        median(&mut samples.iter().map(field).collect::<Vec<_>>())
    };
    let bouncer = ways.iter().position(|way| way.name == "pgbouncer").unwrap_or(0);
    let tps = |n: usize| of(&samples[n], |s| s.tps);
    println!(
        "{:<12} {:>9} {:>8} {:>12} {:>10} {:>12} {:>8} {:>8}",
        "", "tps", "/direct", "/pgbouncer", "CPU us/tx", "/pgbouncer", "p50 us", "p99 us"
    );
    let peer_cpu = of(&samples[bouncer], |s| s.cpu_us);
    for (n, way) in ways.iter().enumerate() {
        let cpu = of(&samples[n], |s| s.cpu_us);
        println!(
            "{:<12} {:>9.0} {:>8.2} {:>12.2} {:>10.1} {:>12.2} {:>8.0} {:>8.0}",
            way.name,
            tps(n),
            tps(n) / tps(0),
            tps(n) / tps(bouncer),
            cpu,
            cpu / peer_cpu,
            of(&samples[n], |s| s.p50_us),
            of(&samples[n], |s| s.p99_us)
        );
    }
}

/// pgbench's per-transaction logs: the third field is the latency in microseconds. Read and removed.
fn read_latencies(folder: &Path) -> Vec<f64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut latencies = Vec::new();
    for path in
        entries.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("latency")))
    {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        latencies.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
        drop(std::fs::remove_file(path));
    }
    latencies
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * at) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Fields 14 and 15 of /proc/PID/stat; the name in field 2 may hold blanks.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// `ROWS BYTES SECONDS` -> MB/s.
fn megabytes_a_second(said: &str) -> Option<f64> {
    let mut words = said.split_whitespace().skip(1).map(|word| word.parse::<f64>().ok());
    Some(words.next()?? / 1e6 / words.next()??)
}

/// Fifty rules, most of which are about something else.
fn policies() -> String {
    let mut text = String::from(
        "permit (principal in Agent::\"bench\", action == Action::\"read\", resource in Resource::\"crm\");\n",
    );
    for n in 1..50 {
        text.push_str(&format!("permit (principal in Agent::\"other{n}\", action == Action::\"write\", resource in Resource::\"crm/x{n}\");\n"));
    }
    text
}

/// About 2.4 KB: common table expressions, joins, windows, with `:n` somewhere in it.
fn analytic_query() -> String {
    let parts: Vec<String> = (1..=6)
        .map(|n| {
            format!(
                "part{n} AS (SELECT a.bid AS branch, count(*) AS accounts, sum(a.abalance) AS balance, max(t.tbalance) AS teller, \
                 row_number() OVER (ORDER BY a.bid) AS place FROM pgbench_accounts a JOIN pgbench_tellers t ON t.bid = a.bid \
                 WHERE a.aid = {n} AND t.tid <> :n AND a.abalance BETWEEN -100000 AND 100000 GROUP BY a.bid)"
            )
        })
        .collect();
    let unions: Vec<String> = (1..=6)
        .map(|n| format!("SELECT {n} AS n, branch, accounts, balance, teller, place FROM part{n}"))
        .collect();
    format!("WITH {} {} ORDER BY n;", parts.join(", "), unions.join(" UNION ALL "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let stat = "42 (a name) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 1 0";
        assert_eq!(cpu_ticks(stat), Some(175.0));
        assert_eq!(kibibytes("VmPeak:\t 9 kB\nVmRSS:\t   1234 kB\n", "VmRSS:"), Some(1234));
    }

    #[test]
    fn a_median_is_in_the_middle_and_nothing_has_none() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn the_streams_line_is_read() {
        assert_eq!(megabytes_a_second("1000000 200000000 2.0\n"), Some(100.0));
        assert_eq!(megabytes_a_second("oops"), None);
    }

    #[test]
    fn the_analytic_query_is_as_long_as_it_says() {
        let length = analytic_query().len();
        assert!((2_200..2_800).contains(&length), "{length}");
    }
}
