//! Ports of a pod: each connection is decided by its port, counted both ways, and searched. containerd ends a connection when
//! the client's part of it ends: what its other end says behind that is lost without a gateway, too.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

/// A port of the pod's, since it is on the machine's own network, on which each connection is answered with what came; and one that
/// says a value.
pub(super) fn ports() -> [u16; 2] {
    static PORTS: OnceLock<[u16; 2]> = OnceLock::new();
    *PORTS.get_or_init(|| {
        let [echo, says] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [&echo, &says].map(|listener| listener.local_addr().unwrap().port());
        thread::spawn(move || {
            for mut stream in echo.incoming().flatten() {
                thread::spawn(move || {
                    let mut bytes = [0; 16 << 10];
                    while let Ok(n @ 1..) = stream.read(&mut bytes) {
                        if stream.write_all(&bytes[..n]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        thread::spawn(move || {
            for mut stream in says.incoming().flatten() {
                _ = stream.write_all(format!("number {SSN} end\n").as_bytes());
            }
        });
        ports
    })
}

/// A gateway of which `ports-narrow` reaches the echo alone; `ports-cut` is told no values.
fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| {
        let rules = format!(
            r#"
@id("ports-narrow")
@message("Another port than the one of the task.")
forbid (principal in Agent::"ports-narrow", action == Action::"connect", resource in Resource::"prod/default/pods/box/portforward")
unless {{ resource == Resource::"prod/default/pods/box/portforward" || resource == Resource::"prod/default/pods/box/portforward/{}" }};
@id("ports-cut")
@message("No values through ports.")
forbid (principal in Agent::"ports-cut", action == Action::"release", resource in Resource::"prod")
when {{ context.tripwires > 0 }};
"#,
            ports()[0]
        );
        Scene::start("", |plan| plan.policy.push_str(&rules))
    })
}

/// A shell's lines that forward `ports` to local ones, `$p1` and so on, and then run `script`.
fn forwarded(ports: &[u16], script: &str) -> String {
    let words: String = ports.iter().map(|port| format!(" :{port}")).collect();
    let read: String = ports
        .iter()
        .enumerate()
        .map(|(at, port)| {
            format!(
                "p{}=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\) -> {port}$/\\1/p' $HOME/forward | head -n1); ",
                at + 1
            )
        })
        .collect();
    format!(
        "kubectl port-forward --address 127.0.0.1 box{words} >$HOME/forward 2>&1 & f=$!; \
         n=0; until [ $(grep -c Forwarding $HOME/forward) = {} ] || [ $n = 200 ]; do sleep 0.1; n=$((n+1)); done; \
         {read} {script}; sleep 0.3; kill $f; wait; cat $HOME/forward >&2",
        ports.len()
    )
}

const NC: &str = "busybox nc -w 5 127.0.0.1";

#[test]
fn a_port_is_forwarded_and_its_bytes_are_counted_both_ways() {
    let (scene, [echo, _]) = (scene(), ports());
    // Two at once, of which one is slow, and then one more.
    let script = format!(
        "{{ sleep 1; echo slow; }} | {NC} $p1 >$HOME/slow & s=$!; echo quick | {NC} $p1; wait $s; cat $HOME/slow; \
                          echo third | {NC} $p1"
    );
    let done = scene.sh("ports-1", &forwarded(&[echo], &script));
    assert_eq!(done.out(), "quick\nslow\nthird\n", "{}", scene.gateway.explain(&done));
    let all = eventually("three outcomes", || {
        let all = scene.actions("ports-1", Kind::Port);
        (all.iter().filter(|action| action["result"]["tag"].is_string()).count() == 3).then_some(all)
    });
    let mut tags: Vec<&str> = all.iter().map(|action| action["result"]["tag"].as_str().unwrap()).collect();
    tags.sort_unstable();
    assert_eq!(
        tags,
        [
            "ended by both: 5 bytes there, 5 back",
            "ended by both: 6 bytes there, 6 back",
            "ended by both: 6 bytes there, 6 back"
        ]
    );
    assert!(all.iter().all(|action| action["opaque"].is_string()), "{all:?}");
    let touched = scene.ask("touched", "ports-1", &["--json"]);
    assert!(touched.contains(&format!("prod/default/pods/box/portforward/{echo}")), "{touched}");
    let replayed = scene.ask("replay", "ports-1", &["--json"]);
    assert!(!replayed.contains("quick"), "bytes are counted, and not kept: {replayed}");
    // kubectl offers a WebSocket first, which a server of this age refuses; it then speaks SPDY.
    let opened = scene.actions("ports-1", Kind::PortForward);
    assert!(
        opened
            .iter()
            .any(|action| action["result"]["tag"].as_str().is_some_and(|tag| tag.starts_with("101"))),
        "{opened:?}"
    );
}

#[test]
fn each_port_is_decided_by_itself_and_a_refusal_is_told() {
    let (scene, [echo, says]) = (scene(), ports());
    let script = format!("echo one | {NC} $p1; echo two | {NC} $p2");
    let done = scene.sh("ports-narrow", &forwarded(&[echo, says], &script));
    assert!(
        done.out().starts_with("one\n") && !done.out().contains("number"),
        "{}",
        scene.gateway.explain(&done)
    );
    assert!(done.err().contains("not permitted: ports-narrow"), "{}", done.err());
    let raw = scene.wire("ports-narrow", &["port", &echo.to_string(), &says.to_string(), &echo.to_string()]);
    let lines: Vec<String> = raw.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{}", raw.all());
    assert_eq!((&lines[0], &lines[2]), (&format!("{echo} | hello | "), &format!("{echo} | hello | ")));
    assert!(lines[1].starts_with(&format!("{says} |  | not permitted: ports-narrow")), "{}", lines[1]);
    // Nobody listens there: the kubelet's own words.
    let closed = free_port().unwrap();
    let raw = scene.wire("ports-2", &["port", &closed.to_string()]);
    assert!(raw.out().contains("refused") && !raw.out().contains("not permitted"), "{}", raw.all());
}

#[test]
fn a_value_that_a_port_says_is_found_and_ends_the_connection_where_policy_says_so() {
    let (scene, [_, says]) = (scene(), ports());
    let raw = scene.wire("ports-3", &["port", &says.to_string()]);
    assert!(raw.out().contains(&format!("number {SSN} end")), "what is opaque is not masked: {}", raw.all());
    let exposed = scene.ask("exposed", "ports-3", &["--json"]);
    assert!(
        exposed.contains("pii.ssn") && exposed.contains("revealed") && !exposed.contains(SSN),
        "{exposed}"
    );

    let raw = scene.wire("ports-cut", &["port", &says.to_string()]);
    assert_eq!(
        raw.out(),
        format!("{says} |  | not permitted: No values through ports.\n"),
        "{}",
        scene.gateway.explain(&raw)
    );
    let port = scene.only("ports-cut", Kind::Port);
    assert!(port["result"]["tag"].as_str().is_some_and(|tag| tag.starts_with("held back")), "{port}");
    assert!(port.to_string().contains("No values through ports."), "{port}");
}

#[test]
fn a_tripwire_that_cuts_ends_a_port_and_a_command() {
    let scene = Scene::start("tripwire = \"cut\"", |_| {});
    let [echo, says] = ports();
    let raw = scene.wire("cut-1", &["port", &says.to_string(), &echo.to_string()]);
    assert!(!raw.out().contains("536-22"), "{}", raw.all());
    // The connection beside it goes on.
    assert!(raw.out().contains(&format!("{echo} | hello | ")), "{}", scene.gateway.explain(&raw));
    let done = scene.sh("cut-2", "kubectl exec box -- sh -c 'p=536-22; echo ssn $p-8391'; echo ended $?");
    assert_eq!(done.out(), "ended 1\n", "{}", scene.gateway.explain(&done));
    for (agent, kind) in [("cut-1", Kind::Port), ("cut-2", Kind::Exec)] {
        let all = scene.actions(agent, kind);
        let held = all.iter().find(|action| action["result"]["result"] == "refused");
        assert!(held.is_some_and(|action| action.to_string().contains("pii.ssn")), "{all:?}");
    }
}

#[test]
fn ports_in_channels_are_decided_before_any_is_opened_and_searched_as_others() {
    let (scene, [echo, says]) = (scene(), ports());
    let raw = scene.wire("ports-4", &["port_channels", &echo.to_string(), &says.to_string()]);
    let expect =
        format!("status 101\n0 {echo} hello\n1 {echo} \n2 {says} number {SSN} end\n3 {says} \nstill open\n");
    assert_eq!(raw.out(), expect, "{}", scene.gateway.explain(&raw));
    let tags = eventually("both outcomes", || {
        let all = scene.actions("ports-4", Kind::Port);
        let tags: Vec<String> =
            all.iter().filter_map(|port| Some(port["result"]["tag"].as_str()?.to_owned())).collect();
        (tags.len() == 2).then_some(tags)
    });
    assert!(tags.iter().any(|tag| tag.ends_with(": 5 bytes there, 5 back")), "{tags:?}");
    // The kubelet dials with the upgrade, so that the record of each port stands before the upgrade's own.
    let opened = scene.only("ports-4", Kind::Channels);
    let of = |action: &Value| action["record"].as_u64().unwrap();
    assert!(scene.actions("ports-4", Kind::Port).iter().all(|port| of(port) < of(&opened)), "{opened}");
    let exposed = scene.ask("exposed", "ports-4", &["--json"]);
    assert!(exposed.contains("pii.ssn") && exposed.contains("revealed") && !exposed.contains(SSN));
    // One that may not be reached, and none is.
    let raw = scene.wire("ports-narrow", &["port_channels", &echo.to_string(), &says.to_string()]);
    assert!(raw.out().starts_with("status 403\n"), "{}", scene.gateway.explain(&raw));
    assert!(raw.out().contains("Another port than the one of the task."), "{}", raw.out());
    assert!(scene.actions("ports-narrow", Kind::Port).iter().all(|port| port["rules"][0] == "ports-narrow"));
    // Nobody listens there: the kubelet's own words.
    let closed = free_port().unwrap();
    let raw = scene.wire("ports-5", &["port_channels", &closed.to_string()]);
    assert!(raw.out().contains(&format!("1 {closed} ")) && raw.out().contains("refused"), "{}", raw.all());
    // No pod is there, and no port was opened.
    let raw = scene.wire("ports-7", &["port_channels_of", "nobody", &echo.to_string()]);
    assert!(raw.out().starts_with("status 404\n"), "{}", scene.gateway.explain(&raw));
    let port = scene.only("ports-7", Kind::Port);
    assert_eq!(port["result"]["result"], "error", "{port}");
    assert!(port["result"]["tag"].as_str().unwrap().starts_with("not opened: "), "{port}");
    // What policy holds back is told, and ends the connection.
    let raw = scene.wire("ports-cut", &["port_channels", &says.to_string()]);
    let told = format!("status 101\n0 {says} \n1 {says} not permitted: No values through ports.\nclosed\n");
    assert_eq!(raw.out(), told, "{}", scene.gateway.explain(&raw));
    // What is of no port's data.
    let raw = scene.wire("ports-6", &["bad_port_channels", &echo.to_string()]);
    assert_eq!(raw.out(), "101 2 True\n".repeat(6), "{}", scene.gateway.explain(&raw));
    let all = eventually("their outcomes", || {
        let all = scene.actions("ports-6", Kind::Port);
        (all.len() == 6 && all.iter().all(|port| !port["result"].is_null())).then_some(all)
    });
    assert!(all.iter().all(|port| port["result"]["result"] == "indeterminate"), "{all:?}");
}
