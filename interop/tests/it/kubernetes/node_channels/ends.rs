//! How what goes through a pod ends when somebody goes: the client, its run, the gateway, the disk.

use super::*;
use crate::outages::Small;
use interop::process::Daemon;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A run that goes on beside the test, and what it says.
fn beside(scene: &Scene, agent: &str, script: &str) -> Daemon {
    let log = drivers().dir().join(format!("beside-{agent}"));
    let words = ["/bin/sh", "-c", script].map(Path::new);
    Daemon::start(&mut scene.gateway.run(agent, &words), &log, "TERM").unwrap()
}

/// Whether a program with these words still runs in a pod.
fn runs(words: &str) -> bool {
    let found = finish(
        std::process::Command::new("pgrep").args(["-f", &format!("^{words}$")]),
        b"",
        Duration::from_secs(10),
    );
    !found.unwrap().out().is_empty()
}

/// The one action of this kind has one outcome, and its effect is not known.
#[track_caller]
fn unknown(scene: &Scene, agent: &str, kind: Kind) {
    let action = scene.only(agent, kind);
    assert_eq!(action["effect"], "indeterminate", "{action}");
    assert_eq!(action["result"]["result"], "indeterminate", "{action}");
}

#[test]
fn a_client_that_is_killed_leaves_one_outcome_that_says_nobody_knows() {
    let scene = Scene::shared();
    let script = "kubectl exec box -- sh -c 'echo begun; sleep 987001' & until [ -s $HOME/said ]; do sleep 0.1; done; kill -9 $!; wait; echo killed";
    let script = script.replace("' & until", "' >$HOME/said & until");
    let done = scene.sh("end-1", &script);
    assert_eq!(done.out(), "killed\n", "{}", scene.gateway.explain(&done));
    unknown(scene, "end-1", Kind::Exec);
    // One that holds ports.
    let script = "kubectl port-forward --address 127.0.0.1 box :1 >$HOME/said 2>&1 & \
                  until grep -q Forwarding $HOME/said; do sleep 0.1; done; kill -9 $!; wait; echo killed";
    let done = scene.sh("end-2", script);
    assert_eq!(done.out(), "killed\n", "{}", scene.gateway.explain(&done));
    eventually("an outcome", || {
        let all = scene.actions("end-2", Kind::PortForward);
        all.iter().all(|action| !action["result"].is_null()).then_some(())
    });
}

#[test]
fn the_end_of_a_run_cuts_what_it_has_open() {
    let scene = Scene::shared();
    // The client is none of the run's children: its credential is all that ends.
    let (lease, config) = scene.gateway.lease_saying("end-3", "cat $KUBECONFIG").unwrap();
    let file = drivers().file("end-3-config", &config).unwrap();
    let start = |words: &[&str]| {
        let mut kubectl = std::process::Command::new("kubectl");
        kubectl.arg("--kubeconfig").arg(&file).args(words);
        kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let exec = start(&["exec", "box", "--", "sh", "-c", "echo begun; exec sleep 987002"]);
    let mut forward = start(&["port-forward", "--address", "127.0.0.1", "box", ":1"]);
    eventually("both", || {
        let forwards = scene.actions("end-3", Kind::PortForward).len() == 1;
        (forwards && runs("sleep 987002")).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    drop(lease);
    let ended = exec.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!ended.status.success(), "{ended:?}");
    unknown(scene, "end-3", Kind::Exec);
    // kubectl notices that its connection has gone.
    let gone = eventually("the end of the port-forward", || forward.try_wait().unwrap());
    assert!(!gone.success(), "{gone}");
    let forwards = scene.actions("end-3", Kind::PortForward);
    assert!(forwards.iter().all(|action| !action["result"].is_null()), "{forwards:?}");
}

#[test]
fn a_gateway_that_is_killed_says_afterwards_that_nobody_knows() {
    let scene = Scene::start("reel = \"full\"", |plan| plan.durability = "sync".to_owned());
    let run =
        beside(&scene, "end-4", "kubectl exec box -- sh -c 'echo begun; exec sleep 987004'; echo ended");
    eventually("the command", || run.log().contains("begun").then_some(()));
    let site = scene.gateway.crash();
    drop(run);
    let scene = Scene { gateway: site.up().unwrap() };
    unknown(&scene, "end-4", Kind::Exec);
    let run = run_of(scene.site(), "end-4");
    let replayed = scene.site().ask(&["replay", &run, "--json"], "").unwrap().out();
    assert!(replayed.contains("begun"), "what left was recorded before it did: {replayed}");
    let site = scene.gateway.stop();
    let verified = site.ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}

#[test]
fn a_disk_that_stalls_lets_nothing_more_of_a_command_out() {
    let Some(disk) = Small::new(170) else { return };
    let port = free_port().unwrap();
    let plan = Plan {
        policy: format!("{POLICY}{RULES}"),
        tables: table(cluster(), port, "reel = \"full\""),
        gateway_lines: format!("data = \"{}\"", disk.at().join("data").display()),
        ..plan()
    };
    let site = Site::new(&plan, upstream()).unwrap();
    // Keys and sockets stay where they were.
    site.edit("durability", "keys = \"./tacho-keys\"\ncontrol = \"./tacho-run/control.sock\"\ndurability")
        .unwrap();
    let scene = Scene { gateway: site.up().unwrap() };
    let script = "kubectl exec box -- sh -c 'i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done'; echo ended with $?; \
                  kubectl exec box -- touch /tmp/without-a-record; echo then $?";
    let run = beside(&scene, "end-5", script);
    let lines = || run.log().lines().filter(|line| line.starts_with("line ")).count();
    eventually("output", || (lines() > 5).then_some(()));
    let frozen = disk.freeze();
    // What was durable before it stalled may be on its way.
    std::thread::sleep(Duration::from_millis(500));
    let before = lines();
    eventually("the command's end", || run.log().contains("then ").then_some(()));
    assert_eq!(lines(), before, "something left without its record: {}", run.log());
    assert!(run.log().contains("ended with 1") && run.log().contains("then 1"), "{}", run.log());
    drop(frozen);
    drop(run);
    eventually("an outcome", || {
        let all = scene.actions("end-5", Kind::Exec);
        all.iter().any(|action| action["effect"] == "indeterminate").then_some(())
    });
    let listed = node::fed(&["exec", "box", "--", "ls", "/tmp"], b"");
    assert!(!listed.out().contains("without-a-record"), "a command was started without its record");
    let site = scene.gateway.stop();
    let verified = site.ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}
