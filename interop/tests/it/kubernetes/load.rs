//! Many watches at once, as consoles hold them: each sees all that it should, in order, and the gateway stays as small as it is.

use super::masks::LINES;
use super::scene::{Scene, cluster};
use crate::world::{all, client, drivers};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::finish;
use serde_json::{Value, json};
use std::process::Command;
use std::thread;
use std::time::Duration;

const USERS: usize = 20;
/// The kinds of the script's.
const KINDS: usize = 8;
/// What a watch may cost the gateway, in KiB.
const WATCH_KIB_MAX: u64 = 1 << 10;

/// A number of the gateway's process: `VmRSS` in KiB, `Threads`.
fn measured(scene: &Scene, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn twenty_users_with_eight_watches_each_see_every_change_in_order_and_masked() {
    let scene = Scene::before(cluster(), "", LINES, |_plan| {});
    scene.make(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"load"}}"#);
    let agents: Vec<String> = (0..USERS).map(|n| format!("load-{n}")).collect();
    let leases = agents.iter().map(|agent| scene.gateway.lease_saying(agent, "cat \"$KUBECONFIG\"").unwrap());
    let (leases, configs): (Vec<_>, Vec<_>) = leases.unzip();
    let configs = configs.iter().map(|config| serde_json::from_str(config).unwrap()).collect::<Vec<Value>>();
    let given = json!({"direct": scene.cluster.kubeconfig(), "users": configs, "namespace": "load"});

    let resident = measured(&scene, "VmRSS");
    let rounds = if all() { 100 } else { 10 };
    let mut python = Command::new(drivers().python());
    python.arg(client("kubernetes_load.py")).arg(rounds.to_string());
    let load = thread::spawn(move || finish(&mut python, given.to_string().as_bytes(), CLIENT_SECONDS_MAX));
    let (mut most, mut threads) = (resident, 0);
    while !load.is_finished() {
        most = most.max(measured(&scene, "VmRSS"));
        threads = threads.max(measured(&scene, "Threads"));
        thread::sleep(Duration::from_millis(20));
    }
    let done = load.join().unwrap().unwrap();
    let watches = USERS * KINDS;
    assert!(done.out().starts_with(&format!("watches {watches} ")), "{}", scene.gateway.explain(&done));
    println!("{}{resident} KiB, at most {most} KiB, and {threads} threads", done.out());
    assert!(most < resident + WATCH_KIB_MAX * watches as u64, "{resident} KiB, then {most} KiB");
    assert!(threads < 64, "{threads} threads for {watches} watches");

    drop(leases);
    for agent in &agents {
        let shown = scene.show(agent);
        let watching: Vec<&Value> = shown["actions"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|action| action["statement"].as_str().unwrap().contains("watch=true"))
            .collect();
        assert_eq!(watching.len(), KINDS, "{agent}");
        assert!(watching.iter().all(|action| !action["result"].is_null()), "{watching:?}");
    }
    let verified = scene.gateway.site().ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}
