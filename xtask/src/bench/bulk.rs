//! Large results, memory, start-up; and which figures are taken in which order.

use super::ways::{Stage, Way, done, plan, upstream};
use super::{BENCH_SECONDS_MAX, Bench, Stop, median};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::finish;
use std::process::Command;

/// Connections that are open before memory is counted, and those that are counted.
const WARM: u64 = 20;
const CONNECTIONS: u64 = 100;

impl Bench {
    /// `what` is `postgres` or `all`, or one of the parts.
    pub fn postgres(&mut self, what: &str) -> Result<(), Stop> {
        let wanted = |part: &str| matches!(what, "all" | "postgres") || what == part;
        let mut stage = Stage::lay(self)?;
        stage.add_gateway(self, "tacho os", &plan("os", true))?;
        let first_ms = stage.add_gateway(self, "tacho sync", &plan("sync", true))?;
        // A resource that is written to: no statement may overtake its own intent.
        stage.add_gateway(self, "tacho rw", &plan("sync", false))?;
        if wanted("latency") {
            self.latency(&stage)?;
        }
        if wanted("traffic") {
            self.traffic(&stage)?;
        }
        if wanted("first") {
            self.first_sight(&stage)?;
        }
        if wanted("stream") {
            self.stream(&stage)?;
        }
        if wanted("idle") {
            self.idle(&stage, first_ms)?;
        }
        Ok(())
    }

    /// A million rows of about 200 bytes: nothing governed, then two governed columns. All detectors look at both.
    fn stream(&mut self, stage: &Stage) -> Result<(), Stop> {
        let reps = if self.quick { 1 } else { 3 };
        for (table, limit, what) in
            [("plain_rows", 0.9, "nothing governed"), ("governed_rows", 0.6, "two governed columns")]
        {
            println!("\n=== SELECT * FROM {table}, {what}: median of {reps}");
            println!("{:<12} {:>8} {:>8} {:>12} {:>14}", "", "MB/s", "/direct", "CPU ms/MB", "KiB over idle");
            let mut taken: Vec<Vec<Streamed>> = stage.ways.iter().map(|_| Vec::new()).collect();
            for _ in 0..reps {
                for (way, taken) in stage.ways.iter().zip(&mut taken) {
                    // Without a mask in the way, a governed table is the same bytes for all of them.
                    taken.push(self.streamed(way, table)?);
                }
            }
            let of = |n: usize, field: fn(&Streamed) -> f64| {
                median(&mut taken[n].iter().map(field).collect::<Vec<_>>())
            };
            for (n, way) in stage.ways.iter().enumerate() {
                println!(
                    "{:<12} {:>8.1} {:>8.2} {:>12.2} {:>14.0}",
                    way.name,
                    of(n, |s| s.rate),
                    of(n, |s| s.rows_a_second) / of(0, |s| s.rows_a_second),
                    of(n, |s| s.cpu_ms),
                    of(n, |s| s.over_kib)
                );
            }
            let ours = stage.at("tacho sync")?;
            let ratio = of(ours, |s| s.rows_a_second) / of(0, |s| s.rows_a_second);
            let detail = format!(
                "{:.0} / {:.0} thousand rows a second; CPU {:.1} ms/MB",
                of(ours, |s| s.rows_a_second) / 1e3,
                of(0, |s| s.rows_a_second) / 1e3,
                of(ours, |s| s.cpu_ms)
            );
            self.table.at_least(
                &format!("1,000,000 rows, {what}, durable: rate / direct"),
                limit,
                ratio,
                "x",
                &detail,
            );
            let over = of(ours, |s| s.over_kib) / 1024.0;
            self.table.at_most(&format!("1,000,000 rows, {what}: memory over idle"), 32.0, over, "MiB", "");
        }
        Ok(())
    }

    fn streamed(&self, way: &Way, table: &str) -> Result<Streamed, Stop> {
        let (memory, cpu) = (way.memory(), way.cpu_us());
        way.forget_peak();
        let mut client = Command::new(self.release.join("examples/stream"));
        client.args([way.connection(), format!("SELECT * FROM {table}")]);
        let said = done(finish(&mut client, b"", BENCH_SECONDS_MAX)?)?.out();
        let (rows, megabytes, seconds) =
            streamed(&said).ok_or_else(|| Stop::Could(format!("stream said: {said}")))?;
        Ok(Streamed {
            rate: megabytes / seconds,
            rows_a_second: rows / seconds,
            cpu_ms: (way.cpu_us() - cpu) / 1e3 / megabytes,
            over_kib: (way.peak() - memory).max(0.0),
        })
    }

    /// Start-up, and memory of connections that have asked one thing and then wait.
    fn idle(&mut self, stage: &Stage, first_ms: f64) -> Result<(), Stop> {
        println!("\n=== start-up, and {CONNECTIONS} idle connections after {WARM} others");
        let (plain, _) = Way::gateway(self, "tacho", &plan("sync", true), &stage.upstream)?;
        let Some((plain, again_ms)) = plain.restarted()? else { return Ok(()) };
        let detail = "a segment of 16 MiB is filled";
        self.table.at_most("start-up, the first of an installation", 100.0, first_ms, "ms", detail);
        self.table.at_most("start-up, with a ledger that is there", 100.0, again_ms, "ms", "");
        let each = self.per_connection(&plain)?;
        let peer = self.per_connection(&Way::bouncer(&stage.upstream)?)?;
        let detail = format!("pgbouncer {peer:.1}");
        self.table.at_most("memory per idle connection, no TLS", 40.0, each, "KiB", &detail);
        drop(plain);
        let upstream = upstream(true, 1)?;
        let (mut tls, _) = Way::gateway(self, "tacho", &plan("sync", true), &upstream)?;
        tls.sslmode = "require";
        let each = self.per_connection(&tls)?;
        self.table.at_most("memory per idle connection, TLS on both legs", 100.0, each, "KiB", "");
        Ok(())
    }

    /// KiB of one more connection.
    fn per_connection(&self, way: &Way) -> Result<f64, Stop> {
        let script = format!(
            "import psycopg,sys,time\n\
             def more(n):\n    c=[psycopg.connect(sys.argv[1],autocommit=True) for _ in range(n)]\n    \
             [x.execute('select 1').fetchall() for x in c]\n    time.sleep(1)\n    return c\n\
             def resident():\n    \
             return [int(l.split()[1]) for l in open('/proc/{}/status') if l.startswith('VmRSS')][0]\n\
             a=more({WARM}); before=resident(); b=more({CONNECTIONS}); print(resident()-before)\n",
            way.pid.unwrap_or_default()
        );
        let mut client = Command::new(self.venv.join("bin/python"));
        client.arg("-c").arg(script).arg(way.connection());
        let said = done(finish(&mut client, b"", CLIENT_SECONDS_MAX)?)?.out();
        let grown: f64 = said.trim().parse().map_err(|_| Stop::Could(format!("python said: {said}")))?;
        Ok(grown / CONNECTIONS as f64)
    }
}

/// One large result.
struct Streamed {
    /// MB/s of values.
    rate: f64,
    rows_a_second: f64,
    /// Of the proxy, per MB.
    cpu_ms: f64,
    over_kib: f64,
}

/// `ROWS BYTES SECONDS` -> rows, MB, seconds.
fn streamed(said: &str) -> Option<(f64, f64, f64)> {
    let mut words = said.split_whitespace().map(|word| word.parse::<f64>().ok());
    Some((words.next()??, words.next()?? / 1e6, words.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_line_is_read() {
        assert_eq!(streamed("1000000 200000000 2.0\n"), Some((1e6, 200.0, 2.0)));
        assert_eq!(streamed("oops"), None);
    }
}
