//! Kubernetes: the gateway before a real API server, beside the same client at the API server itself.
//!
//! The control plane is `cargo xtask setup kubernetes`'s, without a node and without an audit log; every way is TLS, with a token.

mod client;

use super::ways::{could, cpu_us_of, forget_peak_of, memory_of, peak_of};
use super::{Bench, Stop, median, quantile};
use crate::home::Home;
use crate::{kubernetes, setup};
use client::Door;
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::kubernetes::{ADMIN, API_SERVER, Kubernetes, token};
use interop::place::{Scratch, free_port};
use interop::postgres::Postgres;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CLIENTS: usize = 32;
/// About 3 KB each, as the API server answers them.
const PODS: usize = 5000;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/settings";
const PODS_AT: &str = "/api/v1/namespaces/default/pods";
const NAMESPACES: &str = "/api/v1/namespaces";

/// Why there is nothing to measure.
pub(super) const MISSING: &str =
    "there is no API server; `cargo xtask setup kubernetes` builds one, once, in some ten minutes";

/// A way to the same API server.
struct Way {
    name: &'static str,
    door: Door,
    /// The gateway's.
    pid: Option<u32>,
    _keep: Option<(Lease, Gateway)>,
}

/// The ways; then what stands behind them. Dropped in this order.
struct Stage {
    ways: Vec<Way>,
    scratch: Scratch,
    _cluster: Kubernetes,
    _postgres: Postgres,
}

/// One way in one turn, of many small answers.
struct Gets {
    rate: f64,
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// One way in one turn, of one long answer.
struct List {
    megabytes: f64,
    seconds: f64,
    cpu_ms: f64,
    over_kib: f64,
}

impl Bench {
    pub fn kubernetes(&mut self, programs: &Path) -> Result<(), Stop> {
        setup::packages(&["curl"], || setup::on_path("curl"))?;
        println!("\n=== an API server, and each way to it");
        let stage = Stage::lay(self, programs)?;
        self.gets(&stage)?;
        self.events(&stage)?;
        self.list(&stage)
    }

    /// Many small answers on 32 connections.
    fn gets(&mut self, stage: &Stage) -> Result<(), Stop> {
        let (turns, time) = if self.quick { (1, 1) } else { (4, 2) };
        println!("\n=== get of a config map, {CLIENTS} connections: {turns} times {time} s, in turns");
        let log = stage.scratch.path().join("h2load.log");
        let taken = stage.turns(turns, |way| {
            let before = way.sum(cpu_us_of);
            let mut load = way.door.load(MAP, CLIENTS, Duration::from_secs(time), &log)?;
            Ok(Gets {
                rate: load.rate,
                cpu_us: (way.sum(cpu_us_of) - before) / load.all,
                p50_us: median(&mut load.latencies_us),
                p99_us: quantile(&mut load.latencies_us, 0.99),
            })
        })?;
        let of =
            |n: usize, field: fn(&Gets) -> f64| median(&mut taken[n].iter().map(field).collect::<Vec<_>>());
        println!(
            "{:<12} {:>10} {:>8} {:>8} {:>9} {:>9}",
            "", "requests/s", "/direct", "CPU us", "p50 us", "p99 us"
        );
        for (n, way) in stage.ways.iter().enumerate() {
            let rate = of(n, |g| g.rate);
            println!(
                "{:<12} {rate:>10.0} {:>8.2} {:>8.0} {:>9.0} {:>9.0}",
                way.name,
                rate / of(0, |g| g.rate),
                of(n, |g| g.cpu_us),
                of(n, |g| g.p50_us),
                of(n, |g| g.p99_us)
            );
        }
        let (ours, os) = (stage.at("tacho sync")?, stage.at("tacho os")?);
        let (rate, theirs) = (of(ours, |g| g.rate), of(0, |g| g.rate));
        let detail = format!(
            "{rate:.0} / {theirs:.0} a second; `os` {:.0}; CPU {:.0} us each, `os` {:.0}",
            of(os, |g| g.rate),
            of(ours, |g| g.cpu_us),
            of(os, |g| g.cpu_us)
        );
        let name = format!("get of a config map, {CLIENTS} connections, durable: requests / direct");
        self.table.at_least(&name, 0.5, rate / theirs, "x", &detail);
        let ms = |n: usize, field: fn(&Gets) -> f64| of(n, field) / 1e3;
        let detail = format!(
            "p50 {:.1}; `os` {:.1}, p50 {:.1}; direct {:.1}, p50 {:.1} ms",
            ms(ours, |g| g.p50_us),
            ms(os, |g| g.p99_us),
            ms(os, |g| g.p50_us),
            ms(0, |g| g.p99_us),
            ms(0, |g| g.p50_us)
        );
        let name = format!("get of a config map, {CLIENTS} connections, durable: p99");
        self.table.told(&name, ms(ours, |g| g.p99_us), "ms", &detail);
        Ok(())
    }

    /// How much later an event of a watch comes than to one who watches beside, on the same clock.
    fn events(&mut self, stage: &Stage) -> Result<(), Stop> {
        let (turns, events) = if self.quick { (1, 30) } else { (4, 100) };
        println!("\n=== events of a watch, one after another: {turns} times {events}, in turns");
        let mut turn = 0;
        let mut later: Vec<Vec<f64>> = stage.ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            for (way, later) in stage.ways.iter().zip(&mut later) {
                turn += 1;
                later.extend(stage.later(way, turn, events).map_err(|why| way.stopped(why))?);
            }
        }
        println!("{:<12} {:>10} {:>10}", "", "added p50", "p99 us");
        for (way, later) in stage.ways.iter().zip(&mut later) {
            println!("{:<12} {:>10.0} {:>10.0}", way.name, median(later), quantile(later, 0.99));
        }
        let (ours, os) = (stage.at("tacho sync")?, stage.at("tacho os")?);
        for (what, at) in [("p50", 0.5), ("p99", 0.99)] {
            let mut ms = |n: usize| quantile(&mut later[n], at) / 1e3;
            let detail = format!("`os` {:.2}; between two that watch directly {:.2} ms", ms(os), ms(0));
            let name = format!("an event of a watch, durable: added {what}");
            match what {
                "p50" => self.table.at_most(&name, 1.0, ms(ours), "ms", &detail),
                _ => self.table.told(&name, ms(ours), "ms", &detail),
            }
        }
        Ok(())
    }

    /// One long answer.
    fn list(&mut self, stage: &Stage) -> Result<(), Stop> {
        let turns = if self.quick { 1 } else { 5 };
        println!("\n=== a list of {PODS} pods: median of {turns}, in turns");
        let body = stage.scratch.path().join("pod.json");
        std::fs::write(&body, pod()).map_err(could)?;
        let log = stage.scratch.path().join("h2load.log");
        stage.direct()?.fill(PODS_AT, &body, PODS, &log)?;
        let taken = stage.turns(turns, |way| {
            let (memory, cpu) = (way.sum(memory_of), way.sum(cpu_us_of));
            way.pid.into_iter().for_each(forget_peak_of);
            let (bytes, seconds) = way.door.once(PODS_AT)?;
            Ok(List {
                megabytes: bytes / 1e6,
                seconds,
                cpu_ms: (way.sum(cpu_us_of) - cpu) / 1e3,
                over_kib: (way.sum(peak_of) - memory).max(0.0),
            })
        })?;
        let of =
            |n: usize, field: fn(&List) -> f64| median(&mut taken[n].iter().map(field).collect::<Vec<_>>());
        let rate = |n: usize| of(n, |l| l.megabytes / l.seconds);
        println!(
            "{:<12} {:>8} {:>8} {:>8} {:>8} {:>10} {:>14}",
            "", "MB", "seconds", "MB/s", "/direct", "CPU ms/MB", "KiB over idle"
        );
        for (n, way) in stage.ways.iter().enumerate() {
            println!(
                "{:<12} {:>8.1} {:>8.2} {:>8.1} {:>8.2} {:>10.2} {:>14.0}",
                way.name,
                of(n, |l| l.megabytes),
                of(n, |l| l.seconds),
                rate(n),
                rate(n) / rate(0),
                of(n, |l| l.cpu_ms / l.megabytes),
                of(n, |l| l.over_kib)
            );
        }
        let (ours, os) = (stage.at("tacho sync")?, stage.at("tacho os")?);
        let what = format!("a list of {PODS} pods ({:.1} MB)", of(0, |l| l.megabytes));
        let detail = format!(
            "{:.1} / {:.1} MB/s, {:.2} / {:.2} s; `os` {:.1} MB/s; CPU {:.1} ms/MB",
            rate(ours),
            rate(0),
            of(ours, |l| l.seconds),
            of(0, |l| l.seconds),
            rate(os),
            of(ours, |l| l.cpu_ms / l.megabytes)
        );
        let name = format!("{what}, durable: rate / direct");
        self.table.at_least(&name, 0.5, rate(ours) / rate(0), "x", &detail);
        let over = of(ours, |l| l.over_kib) / 1024.0;
        self.table.at_most(&format!("{what}: memory over idle"), 32.0, over, "MiB", "");
        Ok(())
    }
}

impl Stage {
    fn lay(bench: &Bench, programs: &Path) -> Result<Stage, Stop> {
        let scratch = Scratch::new("bench-kubernetes").map_err(could)?;
        let cluster = Kubernetes::unaudited(programs)?;
        // The gateway's configuration has a database, too.
        let postgres = Postgres::start()?;
        let door = Door { port: cluster.port, token: token(ADMIN), authority: cluster.authority() };
        door.make(MAPS, &map("settings"))?;
        let mut ways = vec![Way { name: "direct", door, pid: None, _keep: None }];
        for (name, durability) in [("tacho os", "os"), ("tacho sync", "sync")] {
            let port = free_port().map_err(could)?;
            let plan = plan(durability, port, &cluster).map_err(could)?;
            let site = Site::new_with(&plan, &postgres, &bench.release.join("tacho"))?;
            let gateway = site.up()?;
            let (lease, said) = gateway.lease_saying("bench", CREDENTIAL)?;
            let (token, certificate) = said.split_once('\n').unwrap_or((&said, ""));
            let authority = scratch.path().join(name);
            std::fs::write(&authority, certificate).map_err(could)?;
            let door = Door { port, token: token.to_owned(), authority };
            ways.push(Way { name, door, pid: Some(gateway.pid()), _keep: Some((lease, gateway)) });
        }
        Ok(Stage { ways, scratch, _cluster: cluster, _postgres: postgres })
    }

    fn at(&self, name: &str) -> Result<usize, Stop> {
        let found = self.ways.iter().position(|way| way.name == name);
        found.ok_or_else(|| Stop::Could(format!("no way is called {name}")))
    }

    fn direct(&self) -> Result<&Door, Stop> {
        self.at("direct").map(|n| &self.ways[n].door)
    }

    /// Every way in turn, so many times.
    fn turns<T>(&self, turns: usize, take: impl Fn(&Way) -> Result<T, Stop>) -> Result<Vec<Vec<T>>, Stop> {
        let mut taken: Vec<Vec<T>> = self.ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..turns {
            for (way, taken) in self.ways.iter().zip(&mut taken) {
                taken.push(take(way).map_err(|why| way.stopped(why))?);
            }
        }
        Ok(taken)
    }

    /// Microseconds by which each event comes later this way than to one who watches directly; in a namespace of the turn's own.
    fn later(&self, way: &Way, turn: u32, events: u32) -> Result<Vec<f64>, Stop> {
        let direct = self.direct()?;
        direct.make(NAMESPACES, &format!("{{\"metadata\":{{\"name\":\"turn-{turn}\"}}}}"))?;
        let maps = format!("{NAMESPACES}/turn-{turn}/configmaps");
        let watched = format!("{maps}?watch=true");
        let (beside, watch) = (direct.watch(&watched)?, way.door.watch(&watched)?);
        let mut later = Vec::new();
        for n in 0..=events {
            direct.make(&maps, &map(&format!("e{n}")))?;
            let (there, here) = (beside.came(n)?, watch.came(n)?);
            let early = there.saturating_duration_since(here).as_secs_f64();
            later.push((here.saturating_duration_since(there).as_secs_f64() - early) * 1e6);
        }
        // The first may be what the watch began with.
        Ok(later.split_off(1))
    }
}

impl Way {
    fn sum(&self, of: fn(u32) -> f64) -> f64 {
        self.pid.map_or(0.0, of)
    }

    /// Says which way it was.
    fn stopped(&self, why: Stop) -> Stop {
        match why {
            Stop::Could(text) => Stop::Could(format!("{}: {text}", self.name)),
            Stop::Failed | Stop::Usage(_) => why,
        }
    }
}

/// Of a run's own kubeconfig: the token in the first line, and behind it the certificate of whom it trusts.
const CREDENTIAL: &str = "\
kubectl config view --raw -o 'jsonpath={.users[0].user.token}{\"\\n\"}'
kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}' | base64 -d";

/// Where Kubernetes' programs are, if they were built.
pub(super) fn programs(home: &Home) -> Option<PathBuf> {
    let given = std::env::var_os("INTEROP_KUBERNETES").map(PathBuf::from);
    given.filter(|folder| folder.join(API_SERVER).is_file()).or_else(|| kubernetes::find(home))
}

/// A cluster with every detector on, a mask, and fifty policies.
fn plan(durability: &str, port: u16, cluster: &Kubernetes) -> std::io::Result<Plan> {
    let tables = format!(
        "\n[[resource]]\nname = \"prod\"\nkind = \"kubernetes\"\nlisten = \"127.0.0.1:{port}\"\n\
         upstream = \"https://127.0.0.1:{}\"\nca = \"{}\"\ncredential = {{ file = \"{}\" }}\n\n\
         [[resource.mask]]\nclass = \"config.env\"\n",
        cluster.port,
        cluster.authority().display(),
        cluster.file("token", &token(ADMIN))?.display()
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
        "permit (principal in Agent::\"bench\", action == Action::\"connect\", resource in Resource::\"prod\");\n\
         permit (principal in Agent::\"bench\", action == Action::\"read\", resource in Resource::\"prod\");\n",
    );
    for n in 2..50 {
        policy.push_str(&format!(
            "permit (principal in Agent::\"other{n}\", action == Action::\"write\", resource in Resource::\"prod/x{n}\");\n"
        ));
    }
    policy
}

fn map(name: &str) -> String {
    format!(
        "{{\"metadata\":{{\"name\":\"{name}\",\"labels\":{{\"app\":\"shop\"}}}},\"data\":{{\"colour\":\"blue\",\
         \"greeting\":\"the quick brown fox jumps over the lazy dog\",\"items\":\"20\"}}}}"
    )
}

/// One of a deployment's, which the API server names; nothing runs it. Four of its values are governed.
fn pod() -> String {
    let container = |name: &str| {
        format!(
            "{{\"name\":\"{name}\",\"image\":\"registry.internal/shop/{name}:1.27.4\",\"args\":[\"--listen=:8080\"],\
             \"ports\":[{{\"containerPort\":8080,\"name\":\"http\"}}],\
             \"env\":[{{\"name\":\"MODE\",\"value\":\"production\"}},{{\"name\":\"HOST\",\"value\":\"shop.internal\"}}],\
             \"resources\":{{\"requests\":{{\"cpu\":\"100m\",\"memory\":\"128Mi\"}},\"limits\":{{\"memory\":\"256Mi\"}}}}}}"
        )
    };
    format!(
        "{{\"metadata\":{{\"generateName\":\"web-7d4b9c6f5-\",\"labels\":{{\"app\":\"web\",\"pod-template-hash\":\"7d4b9c6f5\",\
         \"tier\":\"front\"}},\"annotations\":{{\"example.org/team\":\"checkout\"}}}},\"spec\":{{\"containers\":[{},{}]}}}}",
        container("web"),
        container("proxy")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_fifty_policies() {
        assert_eq!(policies().matches("permit (").count(), 50);
    }
}
