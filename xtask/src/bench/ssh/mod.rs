//! SSH: the gateway beside OpenSSH's own way through a second host (`ProxyJump`), which looks at nothing.
//!
//! The host, the host between and every client are OpenSSH's of this system, with one key exchange and one cipher for all.

mod client;

use super::ways::{could, cpu_us_of, forget_peak_of, memory_of, peak_of};
use super::{Bench, Stop, median, quantile};
use client::Host;
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::place::{Scratch, free_port};
use interop::postgres::Postgres;
use interop::sshd::Sshd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What all three can: the gateway offers no ChaCha20-Poly1305 (CVE-2023-48795).
const CIPHER: &str = "aes256-gcm@openssh.com";
const KEX: &str = "curve25519-sha256";
/// As many as the bulk has bytes.
const BULK_BYTES: u64 = 128 << 20;

/// A way to the same host.
struct Way {
    name: &'static str,
    host: Host,
    /// The gateway's; the other ways have none whose memory counts.
    pid: Option<u32>,
    _keep: Option<(Lease, Gateway)>,
}

/// The ways; then what stands behind them. Dropped in this order.
struct Stage {
    ways: Vec<Way>,
    file: PathBuf,
    scratch: Scratch,
    _between: Sshd,
    _upstream: Sshd,
    _postgres: Postgres,
}

impl Bench {
    pub fn ssh(&mut self) -> Result<(), Stop> {
        println!("\n=== OpenSSH's server, and each way to it");
        let stage = Stage::lay(self)?;
        self.set_up(&stage)?;
        for at_once in [1, 8] {
            self.commands(&stage, at_once)?;
        }
        for (sent, what) in [("x\n", "a line"), ("x", "a byte that ends no line")] {
            self.echo(&stage, sent, what)?;
        }
        self.bulk(&stage, "out: `cat` of a file", |host, file| {
            host.out(&format!("cat {}", file.display()), BULK_BYTES)
        })?;
        self.bulk(&stage, "in: a file into `wc -c`", |host, file| host.fed(file, BULK_BYTES))
    }

    /// A whole client for each command.
    fn set_up(&mut self, stage: &Stage) -> Result<(), Stop> {
        let times = if self.quick { 10 } else { 100 };
        println!("\n=== ssh HOST true: {times} times, in turns");
        let mut taken = stage.turns(times, |way| way.host.set_up())?;
        println!("{:<12} {:>9} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "/direct", "added ms");
        let direct = median(&mut taken[0]);
        for (way, taken) in stage.ways.iter().zip(&mut taken) {
            let (p50, p99) = (median(taken), quantile(taken, 0.99));
            println!("{:<12} {p50:>9.1} {p99:>9.1} {:>9.2} {:>9.1}", way.name, p50 / direct, p50 - direct);
        }
        let (ours, os, peer) = (stage.at("tacho sync")?, stage.at("tacho os")?, stage.at("ProxyJump")?);
        let mut p50 = |n: usize| median(&mut taken[n]);
        let detail = format!(
            "{:.0} ms on {direct:.0}; `os` {:.1} more; ProxyJump {:.2}x direct, {:.1} ms more",
            p50(ours),
            p50(os) - direct,
            p50(peer) / direct,
            p50(peer) - direct
        );
        let more = p50(ours) - direct;
        self.table.at_most("`ssh HOST true`, durable: added p50", 20.0, more, "ms", &detail);
        let (p99, theirs) = (quantile(&mut taken[ours], 0.99), quantile(&mut taken[0], 0.99));
        let detail = format!("direct {theirs:.1}, ProxyJump {:.1} ms", quantile(&mut taken[peer], 0.99));
        self.table.told("`ssh HOST true`, durable: p99", p99, "ms", &detail);
        Ok(())
    }

    /// Commands on one connection, as Ansible and others run them.
    fn commands(&mut self, stage: &Stage, at_once: usize) -> Result<(), Stop> {
        let (turns, time) = if self.quick { (1, 1) } else { (5, 2) };
        println!("\n=== `true` on one connection, {at_once} at once: {turns} times {time} s, in turns");
        let socket = stage.scratch.path().join("control");
        let taken = stage.turns(turns, |way| {
            let cpu = way.pid.map_or(0.0, cpu_us_of);
            let (rate, count) = way.host.commands(&socket, at_once, Duration::from_secs(time))?;
            Ok((rate, (way.pid.map_or(0.0, cpu_us_of) - cpu) / count.max(1.0)))
        })?;
        let of = |n: usize, field: fn(&(f64, f64)) -> f64| {
            median(&mut taken[n].iter().map(field).collect::<Vec<_>>())
        };
        println!("{:<12} {:>9} {:>9} {:>12}", "", "a second", "/direct", "CPU us each");
        for (n, way) in stage.ways.iter().enumerate() {
            let rate = of(n, |t| t.0);
            println!("{:<12} {rate:>9.0} {:>9.2} {:>12.0}", way.name, rate / of(0, |t| t.0), of(n, |t| t.1));
        }
        let (ours, os, peer) = (stage.at("tacho sync")?, stage.at("tacho os")?, stage.at("ProxyJump")?);
        let (rate, theirs) = (of(ours, |t| t.0), of(peer, |t| t.0));
        let detail = format!(
            "{rate:.0} / {theirs:.0} a second; `os` {:.0}, direct {:.0}; CPU {:.0} us each",
            of(os, |t| t.0),
            of(0, |t| t.0),
            of(ours, |t| t.1)
        );
        let name = format!("`true` on one connection, {at_once} at once, durable: commands / ProxyJump's");
        self.table.at_least(&name, 1.0, rate / theirs, "x", &detail);
        Ok(())
    }

    /// What a program on the host repeats.
    fn echo(&mut self, stage: &Stage, sent: &str, what: &str) -> Result<(), Stop> {
        // What ends no line waits for the rest of it, for 100 ms each time.
        let (turns, times) = match (self.quick, sent.ends_with('\n')) {
            (true, true) => (1, 100),
            (false, true) => (5, 300),
            (true, false) => (1, 5),
            (false, false) => (3, 10),
        };
        println!("\n=== {what} to `cat` and back: {turns} times {times}, in turns");
        let taken = stage.turns(turns, |way| way.host.echoes(sent.as_bytes(), times))?;
        let mut taken: Vec<Vec<f64>> = taken.into_iter().map(|turns| turns.concat()).collect();
        println!("{:<12} {:>9} {:>9} {:>9}", "", "p50 us", "p99 us", "/direct");
        let direct = median(&mut taken[0]);
        for (way, taken) in stage.ways.iter().zip(&mut taken) {
            let p50 = median(taken);
            println!("{:<12} {p50:>9.0} {:>9.0} {:>9.2}", way.name, quantile(taken, 0.99), p50 / direct);
        }
        let (ours, os, peer) = (stage.at("tacho sync")?, stage.at("tacho os")?, stage.at("ProxyJump")?);
        let mut p50 = |n: usize| median(&mut taken[n]);
        let (rate, theirs) = (p50(ours), p50(peer));
        let detail = format!("{rate:.0} / {theirs:.0} us; `os` {:.0}, direct {direct:.0}", p50(os));
        let name = format!("{what} to `cat` and back, durable: p50 / ProxyJump's");
        self.table.at_most(&name, 1.0, rate / theirs, "x", &detail);
        Ok(())
    }

    /// A large file of lines, all detectors on.
    fn bulk(
        &mut self,
        stage: &Stage,
        what: &str,
        carry: impl Fn(&Host, &Path) -> Result<f64, Stop>,
    ) -> Result<(), Stop> {
        let turns = if self.quick { 1 } else { 3 };
        let megabytes = BULK_BYTES as f64 / 1e6;
        println!("\n=== {} MiB {what}: {turns} times, in turns", BULK_BYTES >> 20);
        let taken = stage.turns(turns, |way| {
            let before = (way.sum(memory_of), way.sum(cpu_us_of));
            way.pid.into_iter().for_each(forget_peak_of);
            let rate = carry(&way.host, &stage.file)?;
            let cpu_ms = (way.sum(cpu_us_of) - before.1) / 1e3;
            Ok((rate, cpu_ms / megabytes, (way.sum(peak_of) - before.0).max(0.0)))
        })?;
        let of = |n: usize, field: fn(&(f64, f64, f64)) -> f64| {
            median(&mut taken[n].iter().map(field).collect::<Vec<_>>())
        };
        println!("{:<12} {:>8} {:>9} {:>12} {:>14}", "", "MB/s", "/direct", "CPU ms/MB", "KiB over idle");
        for (n, way) in stage.ways.iter().enumerate() {
            let rate = of(n, |t| t.0);
            println!(
                "{:<12} {rate:>8.0} {:>9.2} {:>12.2} {:>14.0}",
                way.name,
                rate / of(0, |t| t.0),
                of(n, |t| t.1),
                of(n, |t| t.2)
            );
        }
        let (ours, os, peer) = (stage.at("tacho sync")?, stage.at("tacho os")?, stage.at("ProxyJump")?);
        let (rate, theirs) = (of(ours, |t| t.0), of(peer, |t| t.0));
        let detail = format!(
            "{rate:.0} / {theirs:.0} MB/s; `os` {:.0}, direct {:.0}; CPU {:.1} ms/MB",
            of(os, |t| t.0),
            of(0, |t| t.0),
            of(ours, |t| t.1)
        );
        let name = format!("{} MiB {what}, durable: rate / ProxyJump's", BULK_BYTES >> 20);
        self.table.at_least(&name, 1.2, rate / theirs, "x", &detail);
        let over = of(ours, |t| t.2) / 1024.0;
        let name = format!("{} MiB {what}: memory over idle", BULK_BYTES >> 20);
        self.table.at_most(&name, 32.0, over, "MiB", "");
        Ok(())
    }
}

impl Stage {
    fn lay(bench: &Bench) -> Result<Stage, Stop> {
        let scratch = Scratch::new("bench-ssh").map_err(could)?;
        let file = scratch.path().join("bulk.log");
        std::fs::write(&file, lines(BULK_BYTES)).map_err(could)?;
        let settings =
            format!("Ciphers {CIPHER}\nKexAlgorithms {KEX}\nMaxSessions 100\nLogLevel ERROR\nUseDNS no");
        let (upstream, between) = (Sshd::start(&settings)?, Sshd::start(&settings)?);
        // The gateway's configuration has a database, too.
        let postgres = Postgres::start()?;
        let config = scratch.path().join("ssh_config");
        let mut text =
            ["direct", "ProxyJump"].map(|name| entry(name, &user(), upstream.port, &upstream.key())).concat();
        text.push_str("  ProxyJump between\n");
        text.push_str(&entry("between", &user(), between.port, &between.key()));
        let mut known = String::new();
        for sshd in [&upstream, &between] {
            known.push_str(&known_host(sshd.port, &sshd.host_key().map_err(could)?));
        }
        let host = |name| Host { config: config.clone(), name };
        let mut ways: Vec<Way> =
            ["direct", "ProxyJump"].map(|name| Way { name, host: host(name), pid: None, _keep: None }).into();
        for (name, alias, durability) in
            [("tacho os", "tacho-os", "os"), ("tacho sync", "tacho-sync", "sync")]
        {
            let port = free_port().map_err(could)?;
            let plan = plan(durability, port, &upstream).map_err(could)?;
            let gateway = Site::new_with(&plan, &postgres, &bench.release.join("tacho"))?.up()?;
            let (lease, key_text) = gateway.lease_saying("bench", "cat \"$HOME/.ssh/id_ed25519\"")?;
            let (_lease, names) = gateway.lease_saying("bench", "cat \"$HOME/.ssh/known_hosts\"")?;
            let key = scratch.path().join(alias);
            std::fs::write(&key, key_text).map_err(could)?;
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).map_err(could)?;
            text.push_str(&entry(alias, &user(), port, &key));
            known.push_str(&names);
            let pid = Some(gateway.pid());
            ways.push(Way { name, host: host(alias), pid, _keep: Some((lease, gateway)) });
        }
        let names = scratch.path().join("known_hosts");
        std::fs::write(&names, known).map_err(could)?;
        std::fs::write(&config, text + &for_all(&names)).map_err(could)?;
        Ok(Stage { ways, file, scratch, _between: between, _upstream: upstream, _postgres: postgres })
    }

    fn at(&self, name: &str) -> Result<usize, Stop> {
        let found = self.ways.iter().position(|way| way.name == name);
        found.ok_or_else(|| Stop::Could(format!("no way is called {name}")))
    }

    /// Every way in turn, so many times.
    fn turns<T>(&self, turns: usize, take: impl Fn(&Way) -> Result<T, Stop>) -> Result<Vec<Vec<T>>, Stop> {
        let mut taken: Vec<Vec<T>> = self.ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            for (way, taken) in self.ways.iter().zip(&mut taken) {
                taken.push(take(way)?);
            }
        }
        Ok(taken)
    }
}

impl Way {
    fn sum(&self, of: fn(u32) -> f64) -> f64 {
        self.pid.map_or(0.0, of)
    }
}

/// Whoever runs this, as whom the host is logged in to.
fn user() -> String {
    let id = Command::new("id").arg("-un").output().map(|said| said.stdout).unwrap_or_default();
    String::from_utf8_lossy(&id).trim().to_owned()
}

fn entry(name: &str, user: &str, port: u16, key: &Path) -> String {
    format!(
        "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {}\n",
        key.display()
    )
}

/// The same for every way: one key exchange, one cipher, and a silent peer ends the client.
fn for_all(known_hosts: &Path) -> String {
    format!(
        "Host *\n  Ciphers {CIPHER}\n  KexAlgorithms {KEX}\n  HostKeyAlgorithms ssh-ed25519\n  IdentitiesOnly yes\n  \
         IdentityAgent none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  \
         CheckHostIP no\n  UpdateHostKeys no\n  PreferredAuthentications publickey\n  BatchMode yes\n  LogLevel ERROR\n  \
         ConnectTimeout 20\n  ServerAliveInterval 15\n",
        known_hosts.display()
    )
}

fn known_host(port: u16, key: &str) -> String {
    format!("[127.0.0.1]:{port} {key}\n")
}

/// A host with every detector on, and fifty policies.
fn plan(durability: &str, port: u16, upstream: &Sshd) -> std::io::Result<Plan> {
    let tables = format!(
        "\n[[resource]]\nname = \"build\"\nkind = \"ssh\"\nlisten = \"127.0.0.1:{port}\"\n\
         upstream = \"ssh://{}@127.0.0.1:{}\"\ncredential = {{ file = \"{}\" }}\nhost_key = \"{}\"\n",
        user(),
        upstream.port,
        upstream.key().display(),
        upstream.host_key()?
    );
    Ok(Plan {
        database: "postgres".to_owned(),
        role: "bench_app".to_owned(),
        password: "bench-app-password".to_owned(),
        policy: policies(),
        masks: Vec::new(),
        durability: durability.to_owned(),
        gateway_lines: String::new(),
        resource_lines: String::new(),
        tables,
    })
}

fn policies() -> String {
    let mut policy = String::from(
        "permit (principal in Agent::\"bench\", action == Action::\"connect\", resource in Resource::\"build\");\n\
         permit (principal in Agent::\"bench\", action in [Action::\"execute\", Action::\"read\", Action::\"write\"], \
         resource in Resource::\"build\");\n",
    );
    for n in 2..50 {
        policy.push_str(&format!(
            "permit (principal in Agent::\"other{n}\", action == Action::\"write\", resource in Resource::\"build/x{n}\");\n"
        ));
    }
    policy
}

/// A log as services write it: nothing in it is for a detector to find.
fn lines(bytes: u64) -> Vec<u8> {
    let mut log = Vec::with_capacity(bytes as usize + 256);
    let mut n = 0_u64;
    while (log.len() as u64) < bytes {
        n += 1;
        let line = format!(
            "2026-11-27T12:{:02}:{:02}.{:03}Z INFO worker-{} request {n} GET /api/v1/items/{} 200 {} bytes in {} us\n",
            n / 60_000 % 60,
            n / 1_000 % 60,
            n % 1_000,
            n % 16,
            n * 7919 % 100_000,
            n * 31 % 65_536,
            n * 17 % 9_000
        );
        log.extend_from_slice(line.as_bytes());
    }
    log.truncate(bytes as usize);
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_fifty_policies() {
        assert_eq!(policies().matches("permit (").count(), 50);
    }

    #[test]
    fn a_log_has_the_bytes_that_are_asked_for() {
        let log = lines(10_000);
        assert_eq!(log.len(), 10_000);
        assert!(log.split(|byte| *byte == b'\n').count() > 80);
    }
}
