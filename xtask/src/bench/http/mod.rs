//! HTTP: the gateway beside nginx as a reverse proxy, which looks at nothing, and mitmproxy, with which people look.
//!
//! The upstream is nginx with files. Every way is asked by the same clients ([`load`]), in turns.

mod load;
mod tokens;

use super::ways::{could, cpu_us_of, forget_peak_of, memory_of, peak_of};
use super::{Bench, Stop, median, quantile};
use crate::home::Home;
use crate::setup;
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::limits::START_SECONDS_MAX;
use interop::nginx::Nginx;
use interop::place::{Scratch, free_port, is_open};
use interop::postgres::Postgres;
use interop::process::Daemon;
use load::{Seen, Target};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The last that runs on Debian 12's Python.
const MITMPROXY: &str = "mitmproxy==11.0.2";
const CLIENTS: usize = 32;
const KEY: &str = "bench-upstream-key";

/// A way to the same service.
struct Way {
    name: &'static str,
    port: u16,
    /// To the service that answers as a model does; 0: there is none.
    tokens: u16,
    fields: String,
    pid: Option<u32>,
    _keep: Option<Keep>,
}

/// What must run as long as the way is used. Dropped, it stops; a lease before the gateway that gave it.
#[expect(dead_code, reason = "kept for their ends")]
enum Keep {
    Nginx(Nginx),
    Daemon(Daemon),
    Gateway(Lease, Gateway),
}

/// One way in one turn.
struct Sample {
    seen: Seen,
    p50_us: f64,
    cpu_us: f64,
}

/// The ways; then what stands behind them. Dropped in this order.
struct Stage {
    ways: Vec<Way>,
    _upstream: Nginx,
    _postgres: Postgres,
    _scratch: Scratch,
}

impl Bench {
    pub fn http(&mut self, home: &Home) -> Result<(), Stop> {
        setup::packages(&["nginx-light"], || setup::on_path("nginx"))?;
        let mitmdump = setup::peer(home, "mitmproxy", MITMPROXY)?.join("bin/mitmdump");
        println!("\n=== nginx with files, and each way to it");
        let stage = Stage::lay(self, &mitmdump)?;
        for (file, what) in [("2k.json", "JSON of 2 KiB"), ("64k.json", "JSON of 64 KiB")] {
            self.documents(&stage, file, what)?;
        }
        self.tokens(&stage)?;
        self.download(&stage)
    }

    /// Many small answers on 32 connections.
    fn documents(&mut self, stage: &Stage, file: &str, what: &str) -> Result<(), Stop> {
        let (turns, time) = if self.quick { (1, 1) } else { (4, 2) };
        println!("\n=== {what}, {CLIENTS} connections: {turns} times {time} s, in turns");
        let mut taken: Vec<Vec<Sample>> = stage.ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            for (way, taken) in stage.ways.iter().zip(&mut taken) {
                taken.push(way.sample(&format!("/{file}"), Duration::from_secs(time))?);
            }
        }
        let rate = |s: &Sample| s.seen.requests / s.seen.seconds;
        let of = |n: usize, field: &dyn Fn(&Sample) -> f64| {
            median(&mut taken[n].iter().map(field).collect::<Vec<_>>())
        };
        println!(
            "{:<12} {:>10} {:>8} {:>8} {:>10} {:>10}",
            "", "requests/s", "/direct", "/nginx", "CPU us", "p50 us"
        );
        let nginx = stage.at("nginx")?;
        for (n, way) in stage.ways.iter().enumerate() {
            let (rate_here, cpu, p50) =
                (of(n, &rate), of(n, &|s| s.cpu_us / s.seen.requests), of(n, &|s| s.p50_us));
            let (direct, peer) = (rate_here / of(0, &rate), rate_here / of(nginx, &rate));
            println!("{:<12} {rate_here:>10.0} {direct:>8.2} {peer:>8.2} {cpu:>10.1} {p50:>10.0}", way.name);
        }
        let (ours, os) = (of(stage.at("tacho sync")?, &rate), of(stage.at("tacho os")?, &rate));
        for (peer, limit) in [("nginx", 0.4), ("mitmproxy", 30.0)] {
            let theirs = of(stage.at(peer)?, &rate);
            let detail = format!("{ours:.0} / {theirs:.0} a second; `os` {os:.0}");
            self.table.at_least(
                &format!("{what}, {CLIENTS} connections, durable: requests / {peer}'s"),
                limit,
                ours / theirs,
                "x",
                &detail,
            );
        }
        Ok(())
    }

    /// How much later the first event of a stream comes.
    fn tokens(&mut self, stage: &Stage) -> Result<(), Stop> {
        let (turns, times) = if self.quick { (1, 10) } else { (5, 20) };
        println!(
            "\n=== the first event of a stream, 20 ms after it is asked for: {turns} times {times}, in turns"
        );
        let ways: Vec<&Way> = stage.ways.iter().filter(|way| way.tokens != 0).collect();
        let mut taken: Vec<Vec<f64>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            for (way, taken) in ways.iter().zip(&mut taken) {
                taken.extend(way.target(way.tokens, "/tokens").first_bytes(times).map_err(could)?);
            }
        }
        let direct = median(&mut taken[0]);
        println!("{:<12} {:>10} {:>12}", "", "p50 us", "added us");
        for (way, taken) in ways.iter().zip(&mut taken) {
            let p50 = median(taken);
            println!("{:<12} {p50:>10.0} {:>12.0}", way.name, p50 - direct);
            let detail = format!(
                "p90 {:.2} ms; direct p50 {:.1} ms",
                (quantile(taken, 0.9) - direct) / 1e3,
                direct / 1e3
            );
            let added = (p50 - direct) / 1e3;
            match way.name {
                "tacho sync" => {
                    self.table.at_most(
                        "first event of a stream, durable: added p50",
                        1.0,
                        added,
                        "ms",
                        &detail,
                    );
                }
                "nginx" => self.table.told("first event of a stream, nginx: added p50", added, "ms", ""),
                _ => {}
            }
        }
        Ok(())
    }

    /// One large answer.
    fn download(&mut self, stage: &Stage) -> Result<(), Stop> {
        let turns = if self.quick { 1 } else { 3 };
        println!("\n=== JSON of 100 MiB: median of {turns}, in turns");
        let ways: Vec<&Way> = stage.ways.iter().filter(|way| way.name != "mitmproxy").collect();
        let mut taken: Vec<Vec<(f64, f64, f64)>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            for (way, taken) in ways.iter().zip(&mut taken) {
                let (memory, cpu) = (way.sum(memory_of), way.sum(cpu_us_of));
                way.pids().into_iter().for_each(forget_peak_of);
                let seen = way.target(way.port, "/100m.json").once().map_err(could)?;
                let megabytes = seen.bytes / 1e6;
                let cpu = (way.sum(cpu_us_of) - cpu) / 1e3 / megabytes;
                taken.push((megabytes / seen.seconds, cpu, (way.sum(peak_of) - memory).max(0.0)));
            }
        }
        let of = |n: usize, field: &dyn Fn(&(f64, f64, f64)) -> f64| {
            median(&mut taken[n].iter().map(field).collect::<Vec<_>>())
        };
        println!("{:<12} {:>8} {:>12} {:>14}", "", "MB/s", "CPU ms/MB", "KiB over idle");
        for (n, way) in ways.iter().enumerate() {
            println!(
                "{:<12} {:>8.0} {:>12.2} {:>14.0}",
                way.name,
                of(n, &|t| t.0),
                of(n, &|t| t.1),
                of(n, &|t| t.2)
            );
        }
        let at = |name: &str| ways.iter().position(|way| way.name == name).unwrap_or(0);
        let (ours, peer) = (at("tacho sync"), at("nginx"));
        let (rate, theirs) = (of(ours, &|t| t.0), of(peer, &|t| t.0));
        let detail = format!("{rate:.0} / {theirs:.0} MB/s; CPU {:.1} ms/MB", of(ours, &|t| t.1));
        self.table.at_least("JSON of 100 MiB, durable: rate / nginx's", 0.5, rate / theirs, "x", &detail);
        let over = of(ours, &|t| t.2) / 1024.0;
        self.table.at_most("JSON of 100 MiB: memory over idle", 32.0, over, "MiB", "");
        Ok(())
    }
}

impl Stage {
    fn lay(bench: &Bench, mitmdump: &Path) -> Result<Stage, Stop> {
        let scratch = Scratch::new("bench-http").map_err(could)?;
        let files = scratch.path().join("files");
        std::fs::create_dir(&files).map_err(could)?;
        for (name, bytes) in [("2k.json", 2 << 10), ("64k.json", 64 << 10), ("100m.json", 100 << 20)] {
            std::fs::write(files.join(name), document(bytes)).map_err(could)?;
        }
        let upstream = Nginx::start("", &format!("root {};", files.display()))?;
        let tokens = tokens::serve().map_err(could)?;
        // The gateway's configuration has a database, too.
        let postgres = Postgres::start()?;
        let mut ways = vec![Way::new("direct", upstream.port, tokens, None, None)];
        ways.push(Way::nginx(upstream.port, tokens)?);
        ways.push(Way::mitmproxy(mitmdump, scratch.path(), upstream.port)?);
        for (name, durability) in [("tacho os", "os"), ("tacho sync", "sync")] {
            let to = (upstream.port, tokens);
            ways.push(Way::gateway(bench, name, durability, scratch.path(), &postgres, to)?);
        }
        Ok(Stage { ways, _upstream: upstream, _postgres: postgres, _scratch: scratch })
    }

    fn at(&self, name: &str) -> Result<usize, Stop> {
        let found = self.ways.iter().position(|way| way.name == name);
        found.ok_or_else(|| Stop::Could(format!("no way is called {name}")))
    }
}

impl Way {
    fn new(name: &'static str, port: u16, tokens: u16, pid: Option<u32>, keep: Option<Keep>) -> Way {
        Way { name, port, tokens, fields: String::new(), pid, _keep: keep }
    }

    /// As one would set it up: connections to the upstream stay, an answer that streams is not held, nothing goes to disk.
    fn nginx(upstream: u16, tokens: u16) -> Result<Way, Stop> {
        let beside = format!(
            "upstream files {{ server 127.0.0.1:{upstream}; keepalive 64; }}\n\
             upstream tokens {{ server 127.0.0.1:{tokens}; keepalive 64; }}\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_max_temp_file_size 0;\n"
        );
        let inside = "location / { proxy_pass http://files; }\n\
                      location /tokens { proxy_pass http://tokens; proxy_buffering off; }";
        let nginx = Nginx::start(&beside, inside)?;
        Ok(Way::new("nginx", nginx.port, nginx.port, Some(nginx.pid()), Some(Keep::Nginx(nginx))))
    }

    fn mitmproxy(program: &Path, scratch: &Path, upstream: u16) -> Result<Way, Stop> {
        let port = free_port().map_err(could)?;
        let mut command = Command::new(program);
        command.args(["--quiet", "--mode", &format!("reverse:http://127.0.0.1:{upstream}")]);
        command.args(["--listen-host", "127.0.0.1", "--listen-port", &port.to_string()]);
        command.arg("--set").arg(format!("confdir={}", scratch.join("mitmproxy").display()));
        let mut daemon = Daemon::start(&mut command, &scratch.join("mitmproxy.log"), "TERM")?;
        daemon.wait_ready(START_SECONDS_MAX, || is_open(port))?;
        // It holds a stream until its end, unless it is told not to.
        Ok(Way::new("mitmproxy", port, 0, Some(daemon.pid()), Some(Keep::Daemon(daemon))))
    }

    fn gateway(
        bench: &Bench,
        name: &'static str,
        durability: &str,
        scratch: &Path,
        postgres: &Postgres,
        (upstream, tokens): (u16, u16),
    ) -> Result<Way, Stop> {
        let key = scratch.join("key");
        std::fs::write(&key, KEY).map_err(could)?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).map_err(could)?;
        let (port, at_tokens) = (free_port().map_err(could)?, free_port().map_err(could)?);
        let site = Site::new_with(
            &plan(durability, &key, [(port, upstream), (at_tokens, tokens)]),
            postgres,
            &bench.release.join("tacho"),
        )?;
        let gateway = site.up()?;
        let lease = gateway.lease("bench")?;
        // One credential is good for every resource of the run.
        let fields = format!("X-Api-Key: {}\r\n", lease.variable("FILES_API_KEY"));
        let keep = Keep::Gateway(lease, gateway);
        let pid = match &keep {
            Keep::Gateway(_, gateway) => Some(gateway.pid()),
            Keep::Nginx(_) | Keep::Daemon(_) => None,
        };
        Ok(Way { fields, ..Way::new(name, port, at_tokens, pid, Some(keep)) })
    }

    fn target(&self, port: u16, path: &str) -> Target {
        Target { port, path: path.to_owned(), fields: self.fields.clone() }
    }

    fn sample(&self, path: &str, time: Duration) -> Result<Sample, Stop> {
        let before = self.sum(cpu_us_of);
        let mut seen = self.target(self.port, path).load(CLIENTS, time).map_err(could)?;
        let cpu_us = self.sum(cpu_us_of) - before;
        let p50_us = quantile(&mut seen.latencies_us, 0.5);
        Ok(Sample { seen, p50_us, cpu_us })
    }

    /// Its process and that one's children.
    fn pids(&self) -> Vec<u32> {
        let Some(pid) = self.pid else { return Vec::new() };
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_whitespace().filter_map(|word| word.parse().ok())).collect()
    }

    fn sum(&self, of: fn(u32) -> f64) -> f64 {
        self.pids().into_iter().map(of).sum()
    }
}

/// Two services, each with a governed name, every detector on, and fifty policies.
fn plan(durability: &str, key: &Path, services: [(u16, u16); 2]) -> Plan {
    let mut tables = String::new();
    for (name, (port, upstream)) in ["files", "tokens"].iter().zip(services) {
        tables.push_str(&format!(
            "\n[[resource]]\nname = \"{name}\"\nkind = \"http\"\nlisten = \"127.0.0.1:{port}\"\n\
             upstream = \"http://localhost:{upstream}\"\ncredential = {{ file = \"{}\" }}\n\
             \n[[resource.mask]]\npath = \"$..ssn\"\nclass = \"pii.ssn\"\nas = \"partial:4\"\n",
            key.display()
        ));
    }
    let mut policy = String::from(
        "permit (principal in Agent::\"bench\", action in [Action::\"connect\", Action::\"read\"], resource in Resource::\"files\");\n\
         permit (principal in Agent::\"bench\", action in [Action::\"connect\", Action::\"read\"], resource in Resource::\"tokens\");\n",
    );
    for n in 2..50 {
        policy.push_str(&format!(
            "permit (principal in Agent::\"other{n}\", action == Action::\"write\", resource in Resource::\"files/x{n}\");\n"
        ));
    }
    Plan {
        database: "postgres".to_owned(),
        role: "bench_app".to_owned(),
        password: "bench-app-password".to_owned(),
        policy,
        masks: Vec::new(),
        durability: durability.to_owned(),
        gateway_lines: String::new(),
        resource_lines: String::new(),
        tables,
    }
}

/// An array of customers, each with a governed value; as many bytes as asked for, or a few more.
fn document(bytes: usize) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for n in 1.. {
        out.extend_from_slice(
            format!(
                "{{\"id\": {n}, \"name\": \"Customer Number {n}\", \"ssn\": \"{:03}-{:02}-{:04}\", \"city\": \"Springfield\", \
                 \"note\": \"the quick brown fox jumps over the lazy dog\", \"amount\": {}.5}}",
                n % 899 + 1,
                n % 98 + 1,
                n % 9998 + 1,
                n % 10_000
            )
            .as_bytes(),
        );
        if out.len() + 1 >= bytes {
            break;
        }
        out.extend_from_slice(b",\n");
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_as_long_as_it_says() {
        let length = document(2 << 10).len();
        assert!((2 << 10..(2 << 10) + 200).contains(&length), "{length}");
    }
}
