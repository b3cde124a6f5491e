//! What no client says: upgrades that are none, frames that mean nothing, floods. The gateway lives, says why, and records it.

use super::*;

/// The requests that the API server has seen with this in their path.
fn seen(part: &str) -> usize {
    let log = cluster().audit().unwrap();
    log.lines().filter(|line| line.contains(part)).count()
}

/// Another agent is served.
#[track_caller]
fn lives(scene: &Scene) {
    let done = scene.sh("wire-other", "kubectl exec box -- echo here");
    assert_eq!(done.out(), "here\n", "{}", scene.gateway.explain(&done));
}

#[test]
fn nothing_rides_on_a_connection_whose_upgrade_failed() {
    let scene = Scene::shared();
    let done = scene.wire("wire-1", &["failed_upgrade"]);
    exits(scene, &done, 0);
    assert_eq!(done.out(), "status 404 answers behind it 0\n".repeat(2), "{}", scene.gateway.explain(&done));
    // The API server has seen the upgrades, and nothing of what stood behind them.
    eventually("the upgrade in the audit log", || (seen("/pods/nobody/exec") > 0).then_some(()));
    assert_eq!(seen("smuggled"), 0);
    let asked = scene.show("wire-1").to_string();
    assert!(asked.contains("nobody") && !asked.contains("smuggled"), "{asked}");
}

#[test]
fn an_upgrade_is_one_of_exec_attach_and_port_forward_alone_and_of_one_protocol() {
    let scene = Scene::shared();
    let done = scene.wire("wire-2", &["elsewhere"]);
    exits(scene, &done, 0);
    let lines: Vec<String> = done.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 13, "{}", done.all());
    for line in &lines {
        assert!(line.ends_with(" 400"), "{line}: {}", scene.gateway.explain(&done));
    }
    assert_eq!(seen("upgraded"), 0);
    lives(scene);
    // Each is in the record, with its reason.
    let refused = scene.show("wire-2")["actions"].as_array().unwrap().len();
    assert_eq!(refused, lines.len());
}

#[test]
fn a_client_with_frames_of_its_own_is_served() {
    let scene = Scene::shared();
    let done = scene.wire("wire-3", &["websocket_exec"]);
    assert_eq!(done.out(), "said piece by piece pongs 1\n", "{}", scene.gateway.explain(&done));
    let done = scene.wire("wire-3", &["library"]);
    let expect = "protocol v4.channel.k8s.io\nclosed 1000\nb'got hello\\n' b'err\\n' 9\n";
    assert_eq!(done.out(), expect, "{}", scene.gateway.explain(&done));
}

/// What stands in each line behind the name of its case: what the client is told, and what the program said.
#[track_caller]
fn cases(scene: &Scene, done: &Finished) -> Vec<[String; 3]> {
    exits(scene, done, 0);
    let parts = |line: &str| {
        let mut parts = line.splitn(3, '|').map(|part| part.trim().to_owned());
        [(); 3].map(|()| parts.next().unwrap_or_default())
    };
    done.out().lines().map(parts).collect()
}

#[test]
fn bad_messages_over_websocket_end_the_command_with_a_reason() {
    let scene = Scene::shared();
    let done = scene.wire("wire-4", &["websocket_bad"]);
    let all = cases(scene, &done);
    assert_eq!(all.len(), 12, "{}", done.all());
    for [name, told, said] in &all {
        assert!(
            told.starts_with("Failure ") && told.len() > 20,
            "{name}: {told}: {}",
            scene.gateway.explain(&done)
        );
        assert_eq!(said, "", "{name}: it reached the program");
    }
    lives(scene);
    ended_by_the_client(scene, "wire-4", all.len());
}

/// Each has one outcome, and nobody claims to know how the program ended.
#[track_caller]
fn ended_by_the_client(scene: &Scene, agent: &str, count: usize) {
    let all = eventually("outcomes", || {
        let all = scene.actions(agent, Kind::Exec);
        all.iter().all(|action| !action["result"].is_null()).then_some(all)
    });
    assert_eq!(all.len(), count);
    for action in &all {
        assert_eq!(action["effect"], "indeterminate", "{action}");
        assert_eq!(action["result"]["result"], "indeterminate", "{action}");
    }
    // Why it ended stands where its connection's record ends.
    let of: Vec<&Value> = all.iter().map(|action| &action["session"]).collect();
    let shown = scene.show(agent);
    let sessions = shown["sessions"].as_array().unwrap().iter().filter(|s| of.contains(&&s["session"]));
    let why: Vec<&str> = sessions.map(|session| session["why"].as_str().unwrap_or_default()).collect();
    assert!(why.len() == count && why.iter().all(|why| !["", "client-closed"].contains(why)), "{why:?}");
}

#[test]
fn bad_frames_of_spdy_end_the_command_with_a_reason() {
    let scene = Scene::shared();
    let done = scene.wire("wire-5", &["spdy_bad"]);
    let all = cases(scene, &done);
    assert_eq!(all.len(), 19, "{}", done.all());
    let mut bad = 0;
    for [name, told, said] in &all {
        match &**name {
            // A frame that means nothing here, and what came behind it.
            "window" => assert_eq!((&**told, &**said), ("Success", "after"), "{name}"),
            "early" => assert_eq!(said, "", "{name}"),
            _ => {
                bad += 1;
                assert!(
                    told.starts_with("Failure ") && told.len() > 20,
                    "{name}: {told}: {}",
                    scene.gateway.explain(&done)
                );
                assert_eq!(said, "", "{name}: it reached the program");
            }
        }
    }
    assert_eq!(bad, 17);
    lives(scene);
    let shown = scene.show("wire-5");
    let why = shown["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["why"].as_str().unwrap_or_default());
    assert!(why.filter(|why| !["", "client-closed"].contains(why)).count() >= bad, "{shown}");
}

#[test]
fn floods_end_at_a_limit_and_nobody_else_is_disturbed() {
    let scene = Scene::shared();
    let before = std::fs::read_to_string(format!("/proc/{}/status", scene.gateway.pid())).unwrap();
    let done = scene.wire("wire-6", &["floods"]);
    exits(scene, &done, 0);
    assert!(done.out().contains("pings 20000 alive\n"), "{}", scene.gateway.explain(&done));
    assert!(done.out().contains("streams: closed\n"), "{}", scene.gateway.explain(&done));
    assert!(done.out().contains("bomb "), "{}", done.all());
    let after = std::fs::read_to_string(format!("/proc/{}/status", scene.gateway.pid())).unwrap();
    let resident = |status: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(
        resident(&after) < resident(&before) + 100_000,
        "{} kB, then {} kB",
        resident(&before),
        resident(&after)
    );
    lives(scene);
}
