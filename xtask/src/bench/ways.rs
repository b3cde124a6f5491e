//! One PostgreSQL, and each way to it: direct, a raw splice, pgbouncer, the gateway.

use super::{BENCH_SECONDS_MAX, Bench, Stop};
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::pgbouncer::Pgbouncer;
use interop::place::{Scratch, free_port, is_open};
use interop::postgres::{Postgres, debian};
use interop::process::{Daemon, Finished, finish};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

pub const DATABASE: &str = "bench";
pub const ROLE: &str = "bench_app";
pub const PASSWORD: &str = "bench-app-password";

/// What is measured: a way to the same upstream.
pub struct Way {
    pub name: &'static str,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// What clients ask for: `disable` or `require`.
    pub sslmode: &'static str,
    /// Whose CPU time and memory count; the direct way has none.
    pub pid: Option<u32>,
    keep: Option<Keep>,
}

/// What must run as long as the way is used. Dropped, it stops; a lease before the gateway that gave it.
#[expect(dead_code, reason = "kept for their ends")]
enum Keep {
    Daemon(Daemon),
    Bouncer(Pgbouncer),
    Gateway(Lease, Gateway),
}

/// Everything that runs while figures are taken. Dropped, it stops.
pub struct Stage {
    /// Before `upstream`, so dropped first.
    pub ways: Vec<Way>,
    pub upstream: Postgres,
    pub scratch: Scratch,
}

impl Stage {
    /// Without TLS on either leg: pgbouncer and the splice have none, and the figures are to compare.
    pub fn lay(bench: &Bench) -> Result<Stage, Stop> {
        println!("\n=== PostgreSQL, its tables, and each way to them");
        let rows = if bench.quick { 100_000 } else { 1_000_000 };
        let upstream = upstream(false, rows)?;
        let scratch = Scratch::new("bench").map_err(could)?;
        let role = || (ROLE.to_owned(), PASSWORD.to_owned());
        let mut ways = vec![Way::new("direct", upstream.port, role(), None, None)];

        let port = free_port().map_err(could)?;
        let mut splice = Command::new(bench.release.join("examples/splice"));
        splice.args([port.to_string(), upstream.port.to_string()]);
        let mut splice = Daemon::start(&mut splice, &scratch.path().join("splice.log"), "TERM")?;
        splice.wait_ready(CLIENT_SECONDS_MAX, || is_open(port))?;
        ways.push(Way::new("splice", port, role(), Some(splice.pid()), Some(Keep::Daemon(splice))));
        ways.push(Way::bouncer(&upstream)?);
        Ok(Stage { ways, upstream, scratch })
    }

    /// A gateway as a further way, with the milliseconds from its start to open ports.
    pub fn add_gateway(&mut self, bench: &Bench, name: &'static str, plan: &Plan) -> Result<f64, Stop> {
        let (way, start_ms) = Way::gateway(bench, name, plan, &self.upstream)?;
        self.ways.push(way);
        Ok(start_ms)
    }

    /// The place of a way in `ways`, and in samples that follow their order.
    pub fn at(&self, name: &str) -> Result<usize, Stop> {
        let found = self.ways.iter().position(|way| way.name == name);
        found.ok_or_else(|| Stop::Could(format!("no way is called {name}")))
    }
}

/// PostgreSQL with pgbench's tables (scale 10) and two tables of `rows` rows of about 200 bytes, one of which will have
/// two governed columns.
pub fn upstream(tls: bool, rows: u32) -> Result<Postgres, Stop> {
    let mut installation = debian()?;
    installation.tls = tls;
    let upstream = Postgres::start_with(&installation, &["max_connections=600", "shared_buffers='768MB'"])?;
    upstream.admin(
        "postgres",
        &format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE {DATABASE} OWNER {ROLE}"),
    )?;
    let way = Way::new("direct", upstream.port, (ROLE.to_owned(), PASSWORD.to_owned()), None, None);
    done(finish(way.pgbench().args(["-i", "-q", "-s", "10"]), b"", BENCH_SECONDS_MAX)?)?;
    upstream.admin(DATABASE, &tables(rows))?;
    Ok(upstream)
}

fn tables(rows: u32) -> String {
    format!(
        "CREATE UNLOGGED TABLE plain_rows AS SELECT g AS id, 'Customer Number ' || g AS name, 'Springfield' AS city, \
           'the quick brown fox jumps over the lazy dog and then sleeps in the shade' AS note, \
           (g % 10000)::numeric / 100 AS amount, timestamptz '2024-01-01' + g * interval '1 second' AS at, \
           'shipped' AS status, g % 97 AS quantity, 'order-' || g AS reference \
           FROM generate_series(1, {rows}) AS g;\n\
         CREATE UNLOGGED TABLE governed_rows AS SELECT *, 'customer' || id || '@example.com' AS email, \
           lpad((id % 899 + 1)::text, 3, '0') || '-' || lpad((id % 98 + 1)::text, 2, '0') || '-' || lpad((id % 9998 + 1)::text, 4, '0') AS ssn \
           FROM plain_rows;\n\
         ALTER TABLE governed_rows ADD PRIMARY KEY (id);\n\
         GRANT SELECT ON plain_rows, governed_rows TO {ROLE};\nVACUUM ANALYZE plain_rows;\nVACUUM ANALYZE governed_rows;\nCHECKPOINT;\n"
    )
}

/// A gateway with masking rules and fifty policies present.
pub fn plan(durability: &str, read_only: bool) -> Plan {
    let mask = |column: &str, class: &str, kind: &str| (column.to_owned(), class.to_owned(), kind.to_owned());
    Plan {
        database: DATABASE.to_owned(),
        role: ROLE.to_owned(),
        password: PASSWORD.to_owned(),
        policy: policies(read_only),
        masks: vec![
            mask("public.governed_rows.email", "pii.email", "redact"),
            mask("public.governed_rows.ssn", "pii.ssn", "row-token"),
            mask("public.pgbench_tellers.filler", "pii.notes", "redact"),
        ],
        durability: durability.to_owned(),
        gateway_lines: String::new(),
        resource_lines: format!("read_only = {read_only}\nconnections_per_run = 200\n"),
        tables: String::new(),
    }
}

/// Fifty rules, most of which are about something else. The agent may read, and, if not `reads_only`, write somewhere.
pub fn policies(reads_only: bool) -> String {
    let mut text = String::from(
        "permit (principal in Agent::\"bench\", action == Action::\"connect\", resource in Resource::\"crm\");\n\
         permit (principal in Agent::\"bench\", action == Action::\"read\", resource in Resource::\"crm\");\n",
    );
    for n in 2..50 {
        let agent = if n == 2 && !reads_only { "bench".to_owned() } else { format!("other{n}") };
        text.push_str(&format!(
            "permit (principal in Agent::\"{agent}\", action == Action::\"write\", resource in Resource::\"crm/x{n}\");\n"
        ));
    }
    text
}

impl Way {
    fn new(
        name: &'static str,
        port: u16,
        (user, password): (String, String),
        pid: Option<u32>,
        keep: Option<Keep>,
    ) -> Way {
        Way { name, port, user, password, sslmode: "disable", pid, keep }
    }

    pub fn bouncer(upstream: &Postgres) -> Result<Way, Stop> {
        let bouncer = Pgbouncer::start(upstream, DATABASE, ROLE, PASSWORD)?;
        let role = (ROLE.to_owned(), PASSWORD.to_owned());
        Ok(Way::new("pgbouncer", bouncer.port, role, Some(bouncer.pid()), Some(Keep::Bouncer(bouncer))))
    }

    /// A gateway, a run whose credentials the clients use, and the milliseconds from its start to open ports.
    pub fn gateway(
        bench: &Bench,
        name: &'static str,
        plan: &Plan,
        upstream: &Postgres,
    ) -> Result<(Way, f64), Stop> {
        let site = Site::new_with(plan, upstream, &bench.release.join("tacho"))?;
        let begun = Instant::now();
        let gateway = site.up()?;
        let start_ms = begun.elapsed().as_secs_f64() * 1e3;
        Ok((Way::of(name, gateway)?, start_ms))
    }

    fn of(name: &'static str, gateway: Gateway) -> Result<Way, Stop> {
        let lease = gateway.lease("bench")?;
        let role = (lease.user().to_owned(), lease.password().to_owned());
        let (port, pid) = (gateway.site().port, gateway.pid());
        Ok(Way::new(name, port, role, Some(pid), Some(Keep::Gateway(lease, gateway))))
    }

    /// Stops a gateway and starts it again in its place; the milliseconds to open ports. `None`: it is none.
    pub fn restarted(mut self) -> Result<Option<(Way, f64)>, Stop> {
        let Some(Keep::Gateway(lease, gateway)) = self.keep.take() else { return Ok(None) };
        drop(lease);
        let site = gateway.stop();
        let begun = Instant::now();
        let gateway = site.up()?;
        let start_ms = begun.elapsed().as_secs_f64() * 1e3;
        Ok(Some((Way::of(self.name, gateway)?, start_ms)))
    }

    pub fn pgbench(&self) -> Command {
        let program = debian().map(|i| i.bin.join("pgbench")).unwrap_or_else(|_| PathBuf::from("pgbench"));
        let mut command = Command::new(program);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGDATABASE", DATABASE);
        command.env("PGUSER", &self.user).env("PGPASSWORD", &self.password).env("PGSSLMODE", self.sslmode);
        command
    }

    pub fn connection(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user={} password={} dbname={DATABASE} sslmode={}",
            self.port, self.user, self.password, self.sslmode
        )
    }

    /// As [`cpu_us_of`].
    pub fn cpu_us(&self) -> f64 {
        self.pid.map_or(0.0, cpu_us_of)
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> f64 {
        self.pid.map_or(0.0, memory_of)
    }

    /// As [`peak_of`].
    pub fn peak(&self) -> f64 {
        self.pid.map_or(0.0, peak_of)
    }

    /// As [`forget_peak_of`].
    pub fn forget_peak(&self) {
        self.pid.into_iter().for_each(forget_peak_of);
    }
}

/// CPU time so far of all of a process's threads, user and system, in microseconds.
pub fn cpu_us_of(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let ran = |thread: PathBuf| run_nanos(&std::fs::read_to_string(thread.join("schedstat")).ok()?);
    threads.filter_map(|thread| ran(thread.path())).sum::<f64>() / 1e3
}

/// Resident memory in KiB.
pub fn memory_of(pid: u32) -> f64 {
    kibibytes(&status(pid), "VmRSS:").unwrap_or(0) as f64
}

/// The most that it was since [`forget_peak_of`], in KiB.
pub fn peak_of(pid: u32) -> f64 {
    kibibytes(&status(pid), "VmHWM:").unwrap_or(0) as f64
}

/// From here on the peak counts anew. Where the kernel does not let us, the peak is one of longer ago, and larger.
pub fn forget_peak_of(pid: u32) {
    drop(std::fs::write(format!("/proc/{pid}/clear_refs"), "5"));
}

fn status(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

pub fn done(finished: Finished) -> Result<Finished, Stop> {
    if finished.status.success() { Ok(finished) } else { Err(Stop::Could(finished.all())) }
}

pub fn could(why: std::io::Error) -> Stop {
    Stop::Could(why.to_string())
}

/// The first field of /proc/PID/task/TID/schedstat: nanoseconds on a processor.
fn run_nanos(schedstat: &str) -> Option<f64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// pgbench's per-transaction logs below `folder`: the third field is the latency in microseconds. Read and removed.
pub fn read_latencies(folder: &Path) -> Vec<f64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_pgbench =
        |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("latency"));
    let mut latencies = Vec::new();
    for path in entries.filter(of_pgbench) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        latencies.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
        drop(std::fs::remove_file(path));
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        assert_eq!(run_nanos("384241 2127681 3\n"), Some(384_241.0));
        assert_eq!(kibibytes("VmPeak:\t 9 kB\nVmRSS:\t   1234 kB\n", "VmRSS:"), Some(1234));
    }

    #[test]
    fn there_are_fifty_policies() {
        assert!([true, false].iter().all(|reads_only| policies(*reads_only).lines().count() == 50));
    }
}
