//! Forwards over SSH: OpenSSH's own client, to ports and sockets of the host's, and to other resources of the gateway.

use crate::people::{operator, waiting, with_token};
use crate::ssh::{Scene, tables, user};
use crate::world::{POLICY, SECRETS, eventually, json, run_of, upstream};
use interop::place::{Scratch, free_port};
use interop::sshd::Sshd;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

const SSN: &str = "536-22-8391";

/// A port and a socket on which each connection is answered with what came, and `bye` behind its end.
struct Echo {
    port: u16,
    socket: PathBuf,
    _scratch: Scratch,
}

fn answer(mut stream: impl Read + Write, end: impl Fn(&mut dyn Write)) {
    let mut bytes = [0; 16 << 10];
    while let Ok(n @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..n]).is_err() {
            return;
        }
    }
    end(&mut stream);
}

fn echo() -> &'static Echo {
    static SHARED: OnceLock<Echo> = OnceLock::new();
    SHARED.get_or_init(|| {
        let scratch = Scratch::new("echo").unwrap();
        let socket = scratch.path().join("echo.sock");
        let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&socket).unwrap());
        let port = tcp.local_addr().unwrap().port();
        let bye = |stream: &mut dyn Write| _ = stream.write_all(b"bye");
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                std::thread::spawn(move || answer(stream, bye));
            }
        });
        std::thread::spawn(move || {
            for stream in unix.incoming().flatten() {
                std::thread::spawn(move || answer(stream, bye));
            }
        });
        Echo { port, socket, _scratch: scratch }
    })
}

/// Everybody may run what can be known, and forward to what is named; `broad` may do all that is not opaque.
fn rules() -> String {
    let user = user();
    format!(
        r#"{POLICY}
@id("fwd-host")
permit (principal, action in [Action::"connect", Action::"execute", Action::"read"], resource in Resource::"build");
@id("fwd-other")
permit (principal, action, resource in Resource::"other");
@id("fwd-broad")
permit (principal in Agent::"broad", action in [Action::"connect", Action::"read", Action::"write", Action::"execute", Action::"call"],
  resource in Resource::"build");
@id("fwd-opaque")
permit (principal, action == Action::"opaque", resource == Resource::"build")
when {{ context.kind == "FORWARD" }} unless {{ principal.agent == Agent::"broad" }};
@id("fwd-port")
permit (principal, action == Action::"call", resource == Resource::"build/{user}/host/localhost/{port}");
@id("fwd-nobody")
permit (principal, action == Action::"call", resource == Resource::"build/{user}/host/localhost/1");
@id("fwd-crm")
permit (principal, action == Action::"call", resource in Resource::"build/{user}/host/crm");
@id("fwd-upstream")
permit (principal, action == Action::"call", resource == Resource::"build/{user}/host/localhost/{postgres}");
@id("fwd-listeners")
permit (principal, action == Action::"call", resource in Resource::"build/{user}/host/127.0.0.1");
@id("fwd-socket")
permit (principal, action == Action::"call", resource in Resource::"build/{user}/socket{socket}");
@id("fwd-asks")
@needs("leads")
forbid (principal in Agent::"fwd-asker", action == Action::"call", resource in Resource::"build/{user}/host")
unless {{ context.approvals.contains("leads") }};
@id("fwd-narrow")
@message("More than this agent may have at once.")
forbid (principal in Agent::"fwd-narrow", action == Action::"release", resource in Resource::"build")
when {{ context.bytes > 100000 }};
"#,
        port = echo().port,
        postgres = upstream().port,
        socket = echo().socket.display(),
    )
}

fn start(sshd: Sshd, lines: &str, durability: &str) -> Scene {
    let pin = format!("host_key = \"{}\"", sshd.host_key().unwrap());
    let other = tables(&sshd, sshd.port, free_port().unwrap(), &pin, "").replace("\"build\"", "\"other\"");
    Scene::of(sshd, &pin, lines, |plan| {
        plan.policy = rules();
        plan.durability = durability.to_owned();
        plan.tables.push_str(&other);
    })
}

fn shared() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| start(Sshd::start("").unwrap(), "", "os"))
}

fn is_forward(action: &Value) -> bool {
    action["statement"].as_str().is_some_and(|statement| statement.starts_with("forward "))
}

/// The only forward in the record of an agent's newest run.
fn only(scene: &Scene, agent: &str) -> Value {
    let shown = scene.show(agent);
    let all: Vec<&Value> = shown["actions"].as_array().unwrap().iter().filter(|a| is_forward(a)).collect();
    assert_eq!(all.len(), 1, "{shown}");
    all[0].clone()
}

#[test]
fn a_port_that_a_rule_names_is_opened_and_its_bytes_are_counted_both_ways() {
    let (scene, port) = (shared(), echo().port);
    let done = scene.fed("fwd-port", &format!("ssh -W localhost:{port} build"), "hello");
    // The end of what was sent arrives there, and what comes behind it comes back.
    assert_eq!(done.out(), "hellobye", "{}", scene.gateway.explain(&done));
    let forward = only(scene, "fwd-port").to_string();
    for part in
        [&*format!("forward localhost:{port}"), "5 bytes there, 8 back", "partial: opaque", "fwd-port"]
    {
        assert!(forward.contains(part), "{part} in {forward}");
    }
    let run = run_of(scene.gateway.site(), "fwd-port");
    let touched = json(scene.gateway.site(), &["touched", &run, "--json"]).to_string();
    assert!(touched.contains(&format!("build/{}/host/localhost/{port}", user())), "{touched}");
    let replayed = json(scene.gateway.site(), &["replay", &run, "--json"]).to_string();
    assert!(!replayed.contains("hello"), "bytes are counted, and not kept: {replayed}");
}

#[test]
fn much_passes_both_ways_at_once_and_a_slow_reader_holds_back_nobody_else() {
    let (scene, port) = (shared(), echo().port);
    let script = format!(
        "yes abc | head -c 8000000 | ssh -W localhost:{port} build | wc -c; \
         ssh -o ControlMaster=yes -o ControlPath=$HOME/c -fN build || exit 9; \
         (yes abc | head -c 6000000 | ssh -o ControlPath=$HOME/c -W localhost:{port} build | (sleep 4; wc -c)) & \
         sleep 1; ssh -o ControlPath=$HOME/c build 'echo first'; wait; ssh -o ControlPath=$HOME/c -O exit build 2>/dev/null"
    );
    let done = scene.sh("fwd-much", &script);
    assert_eq!(done.out(), "8000003\nfirst\n6000003\n", "{}", scene.gateway.explain(&done));
}

#[test]
fn what_no_rule_names_is_refused_also_where_much_else_is_allowed_and_nobody_is_called() {
    let scene = shared();
    let quiet = TcpListener::bind("127.0.0.1:0").unwrap();
    quiet.set_nonblocking(true).unwrap();
    let port = quiet.local_addr().unwrap().port();
    for (agent, to) in [
        ("fwd-none", format!("localhost:{port}")),
        ("fwd-none", format!("127.0.0.1.example:{port}")),
        // It may call everything, and nothing that is opaque.
        ("broad", format!("localhost:{port}")),
        ("broad", format!("localhost:{}", echo().port)),
    ] {
        let done = scene.sh(agent, &format!("ssh -W {to} build; ssh build 'echo goes on'"));
        assert!(
            done.err().contains("refused: ") && done.err().contains("record"),
            "{agent} {to}: {}",
            done.all()
        );
        assert!(done.out().contains("goes on"), "{}", done.all());
        let forward = only(scene, agent);
        assert_eq!(forward["effect"], "refused", "{forward}");
    }
    // What can be read in several ways is no place.
    for to in ["127.1", "0x7f000001", "2130706433", "localhost."] {
        let done = scene.sh("fwd-odd", &format!("ssh -W {to}:{port} build"));
        assert_eq!(done.status.code(), Some(255), "{to}: {}", done.all());
        assert!(scene.show("fwd-odd").to_string().contains(&format!("forward {to}:{port}")), "{to}");
    }
    let nobody = quiet.accept().map(|_| ()).unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_place_where_nobody_is_is_told_and_recorded() {
    let scene = shared();
    let done = scene.sh("fwd-nobody", "ssh -W localhost:1 build");
    assert!(done.err().contains("nobody answers there"), "{}", scene.gateway.explain(&done));
    let forward = only(scene, "fwd-nobody").to_string();
    assert!(forward.contains("not opened"), "{forward}");
}

#[test]
fn a_socket_of_the_hosts_is_a_place_too() {
    let (scene, port) = (shared(), free_port().unwrap());
    let script = format!(
        "ssh -f -N -o ExitOnForwardFailure=yes -L 127.0.0.1:{port}:{} build; \
         exec 3<>/dev/tcp/127.0.0.1/{port}; echo through >&3; read -t 20 line <&3; echo \"$line\"",
        echo().socket.display()
    );
    let words = ["/bin/bash", "-c", &script].map(Path::new);
    let done = scene.gateway.run_to_end("fwd-socket", &words, "").unwrap();
    assert_eq!(done.out(), "through\n", "{}", scene.gateway.explain(&done));
    let forward = only(scene, "fwd-socket").to_string();
    assert!(forward.contains(&format!("build/{}/socket{}", user(), echo().socket.display())), "{forward}");
}

#[test]
fn a_resource_is_reached_by_its_own_path_and_never_through_the_host() {
    // A host that forwards nothing.
    let scene = start(Sshd::start("DisableForwarding yes").unwrap(), "", "sync");
    for (agent, to) in
        [("fwd-by-name", "crm:5432".to_owned()), ("fwd-by-place", format!("localhost:{}", upstream().port))]
    {
        let port = free_port().unwrap();
        let script = format!(
            "ssh -f -N -o ExitOnForwardFailure=yes -L 127.0.0.1:{port}:{to} build; unset PGHOSTADDR; \
             PGHOST=127.0.0.1 PGPORT={port} psql -w -X -At -c 'select ssn, name from customers order by id limit 1'; \
             PGHOST=127.0.0.1 PGPORT={port} psql -w -X -At -c 'drop table orders'"
        );
        let done = scene.sh(agent, &script);
        assert!(done.out().contains("ssn_1"), "{}", scene.gateway.explain(&done));
        assert!(done.err().contains("no-define"), "{}", scene.gateway.explain(&done));
        assert!(SECRETS.iter().all(|secret| !done.all().contains(secret)), "{}", done.all());
        let shown = scene.show(agent);
        let all = shown["actions"].as_array().unwrap();
        let routed: Vec<&Value> = all.iter().filter(|a| is_forward(a)).collect();
        let said = format!("forward {to} (routed to crm)");
        assert!(!routed.is_empty() && routed.iter().all(|a| a["statement"] == *said), "{shown}");
        assert!(
            all.iter().any(|a| a["statement"].to_string().contains("select ssn") && a["effect"] != "refused"),
            "in the same run: {shown}"
        );
        let run = run_of(scene.gateway.site(), agent);
        let touched = json(scene.gateway.site(), &["touched", &run, "--json"]).to_string();
        assert!(touched.contains("crm/crm/public/customers"), "{touched}");
    }
    assert!(!scene.sshd.log().contains("direct-tcpip"), "{}", scene.sshd.log());
    // Without what proves the run there, it is nobody's.
    let port = free_port().unwrap();
    let script = format!(
        "ssh -f -N -o ExitOnForwardFailure=yes -L 127.0.0.1:{port}:crm:5432 build; unset PGHOSTADDR; \
         PGPASSFILE=/dev/null PGPASSWORD=wrong PGHOST=127.0.0.1 PGPORT={port} psql -w -X -At -c 'select 1'"
    );
    let done = scene.sh("fwd-wrong", &script);
    assert!(done.out().is_empty() && !done.status.success(), "{}", scene.gateway.explain(&done));
    let site = scene.gateway.stop();
    assert!(site.ask(&["verify"], "").unwrap().status.success());
}

#[test]
fn another_host_is_jumped_to_through_this_one() {
    let scene = shared();
    let done = scene.sh("fwd-jump", "ssh -J build other 'echo jumped'");
    assert_eq!(done.out(), "jumped\n", "{}", scene.gateway.explain(&done));
    let shown = scene.show("fwd-jump").to_string();
    assert!(shown.contains("routed to other") && shown.contains("echo jumped"), "{shown}");
}

#[test]
fn a_forward_waits_for_a_person_and_is_open_behind_a_yes_alone() {
    let (scene, port) = (shared(), echo().port);
    let lead = operator(&scene.gateway, "fwd-lena", "approver", "leads");
    let word = format!("forward localhost:{port}");
    for (verb, out) in [(&["approve"][..], "yesbye"), (&["deny", "--reason", "not now"][..], "")] {
        let agent = std::thread::spawn(move || {
            shared().fed("fwd-asker", &format!("ssh -W localhost:{port} build"), "yes")
        });
        let ask = waiting(&scene.gateway, &lead, &word);
        let answered = with_token(&scene.gateway, &lead, &[&verb[..1], &[ask.as_str()], &verb[1..]].concat());
        assert!(answered.status.success(), "{}", answered.all());
        let done = agent.join().unwrap();
        assert_eq!(done.out(), out, "{}", scene.gateway.explain(&done));
    }
}

#[test]
fn a_value_in_what_is_opaque_is_said_and_not_kept_and_policy_holds_back_what_it_will() {
    let (scene, port) = (shared(), echo().port);
    let done = scene.fed("fwd-value", &format!("ssh -W localhost:{port} build"), &format!("ssn {SSN} \n"));
    assert!(done.out().contains(SSN), "{}", scene.gateway.explain(&done));
    let run = run_of(scene.gateway.site(), "fwd-value");
    let exposed = json(scene.gateway.site(), &["exposed", &run, "--json"]).to_string();
    assert!(exposed.contains("pii.ssn") && exposed.contains("revealed"), "{exposed}");
    let found = std::process::Command::new("grep")
        .args(["-rla", SSN])
        .arg(scene.gateway.site().data())
        .output()
        .unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
    let script = format!("yes abc | head -c 400000 | ssh -W localhost:{port} build | wc -c");
    let done = scene.sh("fwd-narrow", &script);
    let came: u64 = done.out().trim().parse().unwrap();
    assert!(came <= 100_000, "{}", scene.gateway.explain(&done));
    assert!(scene.show("fwd-narrow").to_string().contains("More than this agent may have at once."));
}

#[test]
fn a_value_cuts_a_forward_where_the_host_says_so() {
    let scene = start(Sshd::start("").unwrap(), "tripwire = \"cut\"", "os");
    let script = format!("ssh -W localhost:{} build", echo().port);
    let done = scene.fed("fwd-cut", &script, &format!("ssn {SSN} \n"));
    assert!(!done.out().contains(SSN), "{}", scene.gateway.explain(&done));
    let forward = only(&scene, "fwd-cut").to_string();
    assert!(forward.contains("cut") && forward.contains("held back"), "{forward}");
}

#[test]
fn a_run_that_is_over_ends_its_forwards_and_nobody_claims_to_know_how() {
    let (scene, port) = (shared(), echo().port);
    let script = format!("(echo begun; sleep 60) | ssh -W localhost:{port} build");
    let mut run = scene.gateway.run("fwd-ended", &["/bin/sh", "-c", &script].map(Path::new));
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut begun = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"begun\n");
    child.kill().unwrap();
    let _gone = child.wait();
    let forward = eventually("the forward's end", || {
        Some(only(scene, "fwd-ended")).filter(|forward| forward.to_string().contains("bytes there"))
    });
    assert!(forward.to_string().contains("6 bytes there, 6 back"), "{forward}");
}

#[test]
fn a_host_that_goes_away_ends_its_forwards_as_unknown() {
    let scene = start(Sshd::start("").unwrap(), "", "os");
    let script = format!("(echo begun; sleep 60) | ssh -W localhost:{} build", echo().port);
    let mut run = scene.gateway.run("fwd-lost", &["/bin/sh", "-c", &script].map(Path::new));
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut begun = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut begun).unwrap();
    scene.sshd.cut();
    let forward = eventually("the forward's end", || {
        Some(only(&scene, "fwd-lost")).filter(|forward| forward["effect"] == "indeterminate")
    });
    assert!(forward.to_string().contains("upstream-closed"), "{forward}");
    child.kill().unwrap();
    let _gone = child.wait();
}
