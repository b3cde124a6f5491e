//! `tacho run`: what the agent gets, and what it cannot do. No database is needed for that.

use std::fs;
use std::process::Stdio;

use crate::place::{Place, eventually, is_root, json, signal, text};

/// A script that tries everything an agent could try, and prints `BROKEN: what` for each that worked.
fn burglar(place: &Place) -> String {
    let dir = place.dir.display();
    place.script(
        "burglar",
        &format!(
            r#"
try() {{ what=$1; shift; if "$@" >/dev/null 2>&1; then echo "BROKEN: $what"; fi; }}
try "list data" sh -c 'ls {dir}/tacho-data/* | grep .'
try "list keys" sh -c 'ls {dir}/tacho-keys/* | grep .'
try "read operators" cat {dir}/tacho-keys/operators.toml
try "read gateway key" cat {dir}/tacho-keys/gateway.key
try "read auditor key" cat {dir}/home/.config/tacho/auditor.key
try "read operator token" cat {dir}/home/.config/tacho/token
try "reach the control socket" curl -sf --max-time 5 --unix-socket {dir}/tacho-run/control.sock http://tacho/v1/status
try "see the control socket" test -S {dir}/tacho-run/control.sock
try "see the second socket" test -S {dir}/tacho-run/desk.sock
for pid in $(ls /proc | grep '^[0-9]*$'); do
  if tr '\0' '\n' </proc/$pid/environ 2>/dev/null | grep -q canary-of-the; then echo "BROKEN: environment of $pid"; fi
done
if env | grep -q canary-of-the; then echo "BROKEN: inherited environment"; fi
if ls /proc/self/fd | grep -qvx '[0-3]'; then echo "BROKEN: descriptors $(ls /proc/self/fd | tr '\n' ' ')"; fi
if grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -qv '0000000000000000$'; then echo "BROKEN: capabilities"; fi
grep -q '^NoNewPrivs:.1' /proc/self/status || echo "BROKEN: new privileges"
if [ "$(id -u)" = 0 ]; then echo "BROKEN: root"; fi
try "undo the mounts" umount {dir}/tacho-keys
try "undo the mounts in a namespace" unshare -Urm umount {dir}/tacho-keys
for path in approvals/00000000000000000000000000000000/approve runs; do
  code=$(curl -s -o /dev/null -w '%{{http_code}}' --max-time 5 -X POST -H 'content-type: application/json' \
    -H "Authorization: Bearer $TACHO_RUN_TOKEN" -d '{{"agent":"other"}}' $TACHO_URL/v1/$path)
  case $code in 401|403|404|410|422|400) ;; *) echo "BROKEN: $path answered $code";; esac
done
echo finished
"#
        ),
    )
}

fn run_burglar(place: &Place) {
    fs::write(place.path("home/.config/tacho/token"), "tacho-op-0000\n").unwrap();
    if let Some(uid) = place.uid {
        std::os::unix::fs::chown(place.path("home/.config/tacho/token"), Some(uid), Some(uid)).unwrap();
    }
    let script = burglar(place);
    let out = place.expect(0, &["run", "--agent", "burglar", "--confined", "--", &script]);
    assert_eq!(out, "finished\n");
}

#[test]
fn an_agent_of_another_user_reaches_nothing_of_the_gateways() {
    let mut place = Place::new("burglar");
    place.init();
    place.expect(0, &["operator", "add", "eve", "--role", "admin"]);
    place.up();
    run_burglar(&place);
    place.down();
}

#[test]
fn an_agent_of_the_same_user_reaches_nothing_of_the_gateways() {
    if !is_root() {
        // Then the test above is this test.
        return;
    }
    let mut place = Place::of_user("same-user", 65_533);
    place.init();
    place.expect(0, &["operator", "add", "eve", "--role", "admin"]);
    place.up();
    run_burglar(&place);
    place.down();
}

#[test]
fn the_agent_gets_its_own_home_and_the_variables_of_its_run() {
    let mut place = Place::new("env");
    place.init();
    place.up();
    let script = place.script("show", "env; ls -la $HOME; stat -c '%a %U' $HOME; pwd");
    let mut command =
        place.tacho(&["run", "--agent", "a", "--env", "EXTRA=1", "--env", "CANARY", "--", &script]);
    let out = text(&command.output().unwrap().stdout);
    for line in ["EXTRA=1", "CANARY=canary-of-the-callers-environment", "TACHO_RUN=", "PATH=/usr/local/bin"] {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert!(out.contains(".pgpass") && out.contains(".pg_service.conf"), "{out}");
    assert!(out.contains("\n700 "), "{out}");
    assert!(!out.contains("TACHO_INSIDE"), "{out}");
    assert!(out.ends_with(&format!("{}\n", place.dir.display())), "{out}");
    let home = out.lines().find_map(|l| l.strip_prefix("HOME=")).unwrap();
    assert!(!std::path::Path::new(home).exists(), "the home outlives the run");
    place.down();
}

#[test]
fn the_commands_end_is_the_runs_end() {
    let mut place = Place::new("status");
    place.init();
    place.up();
    place.expect(0, &["run", "--agent", "a", "--", "true"]);
    place.expect(7, &["run", "--agent", "a", "--", "sh", "-c", "exit 7"]);
    place.expect(128 + 9, &["run", "--agent", "a", "--", "sh", "-c", "kill -9 $$"]);
    place.expect(127, &["run", "--agent", "a", "--", "/no/such/program"]);
    let runs = json(&place.expect(0, &["runs", "--json"]));
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4, "{runs:?}");
    for run in runs {
        assert_eq!(run["agent"], "a", "{run}");
        assert!(run["state"].as_str().unwrap().contains("exited"), "{run}");
    }
    let who = place.expect(0, &["who", runs[0]["run"].as_str().unwrap()]);
    assert!(who.contains("no/such/program"), "{who}");
    place.down();
    place.expect(0, &["verify"]);
}

#[test]
fn without_a_gateway_one_runs_for_the_life_of_the_run() {
    let place = Place::new("own-gateway");
    place.init();
    place.expect(3, &["run", "--agent", "a", "--", "sh", "-c", "exit 3"]);
    place.expect(0, &["verify"]);
    let runs = json(&place.expect(0, &["runs", "--json"]));
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
    assert!(!place.path("tacho-run/control.sock").exists());
}

#[test]
fn signals_reach_the_agent() {
    let mut place = Place::new("signals");
    place.init();
    place.up();
    let script =
        place.script("trap", "trap 'echo got it; exit 5' TERM\necho ready\nwhile :; do sleep 0.1; done");
    let mut child =
        place.tacho(&["run", "--agent", "a", "--", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    signal(child.id(), "TERM");
    assert_eq!(lines.next().unwrap().unwrap(), "got it");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    place.down();
}

#[test]
fn when_the_caller_dies_the_agent_and_its_run_die() {
    let mut place = Place::new("killed");
    place.init();
    place.up();
    let mark = place.path("mark");
    fs::write(&mark, "").unwrap();
    fs::set_permissions(&mark, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let script =
        place.script("mark-it", &format!("while :; do echo x >> {}; sleep 0.1; done", mark.display()));
    let mut child = place.tacho(&["run", "--agent", "a", "--", &script]).spawn().unwrap();
    let size = || fs::metadata(&mark).unwrap().len();
    eventually("the agent works", || size() > 2);
    signal(child.id(), "KILL");
    child.wait().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let after = size();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(size(), after, "the agent goes on without its run");
    eventually("the run is closed", || {
        let runs = json(&place.expect(0, &["runs", "--json"]));
        runs["runs"][0]["state"].as_str().unwrap().contains("interrupted")
    });
    place.down();
}

#[test]
fn a_home_that_a_killed_run_left_is_gone_after_the_next() {
    let mut place = Place::new("homes");
    place.init();
    place.up();
    let script = place.script("say-home", "echo $HOME; sleep 600");
    let mut child =
        place.tacho(&["run", "--agent", "a", "--", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let home = lines.next().unwrap().unwrap();
    signal(child.id(), "KILL");
    child.wait().unwrap();
    assert!(std::path::Path::new(&home).exists(), "nothing was left behind, so this shows nothing");
    eventually("the home is swept", || {
        place.expect(0, &["run", "--agent", "a", "--", "true"]);
        !std::path::Path::new(&home).exists()
    });
    place.down();
}

#[test]
fn a_caller_that_the_configuration_does_not_name_gets_no_run() {
    let mut place = Place::new("stranger");
    place.init();
    let own = format!("uid = {}", rustix::process::getuid().as_raw());
    place.edit(&own, "uid = 54321");
    place.up();
    place.expect_err(1, &["run", "--agent", "a", "--", "true"]);
    place.down();
}

#[test]
fn a_run_for_somebody_else_needs_delegate_in_configuration_and_policy() {
    let mut place = Place::new("delegate");
    place.init();
    let own = format!("uid = {}", rustix::process::getuid().as_raw());
    place.edit("[[human]]", "[[human]]\nname = \"grace\"\n\n[[human]]");
    place.up();
    place.expect_err(1, &["run", "--agent", "a", "--for", "grace", "--", "true"]);
    place.down();
    place.edit(&own, &format!("{own}\ndelegate = true"));
    place.up();
    let told = place.expect_err(1, &["run", "--agent", "a", "--for", "grace", "--", "true"]);
    assert!(told.contains("policy"), "{told}");
    let rule = "@id(\"delegates\")\npermit (principal, action == Action::\"delegate\", resource == Human::\"grace\");\n";
    fs::write(place.path("policy/delegate.cedar"), rule).unwrap();
    signal(place.gateway_pid(), "HUP");
    eventually("the policy is reloaded", || {
        place.run(&["run", "--agent", "a", "--for", "grace", "--", "true"]).status.success()
    });
    place.expect_err(2, &["run", "--agent", "a", "--for", "nobody-known", "--", "true"]);
    let runs = json(&place.expect(0, &["runs", "--json"]));
    assert_eq!(runs["runs"][0]["human"], "grace", "{runs}");
    assert_ne!(runs["runs"][0]["by"], "grace", "{runs}");
    place.down();
}

#[test]
fn a_wrong_policy_leaves_the_old_one_in_force() {
    let mut place = Place::new("reload");
    place.init();
    place.up();
    fs::write(place.path("policy/bad.cedar"), "permit;\n").unwrap();
    signal(place.gateway_pid(), "HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    place.expect(0, &["run", "--agent", "a", "--", "true"]);
    place.down();
}

#[test]
fn what_the_caller_looks_at_is_in_the_record() {
    let mut place = Place::new("watch");
    place.init();
    place.up();
    place.expect(0, &["run", "--agent", "a", "--", "true"]);
    let runs = json(&place.expect(0, &["runs", "--json"]));
    assert_eq!(runs["proof"]["watched"], true, "{runs}");
    place.down();
    let offline = json(&place.expect(0, &["runs", "--json"]));
    assert_eq!(offline["proof"]["watched"], false, "{offline}");
}

#[test]
fn evidence_leaves_as_a_bundle_that_verifies_and_as_a_page() {
    let place = Place::new("export");
    place.init();
    place.expect(0, &["run", "--agent", "a", "--task", "look", "--", "true"]);
    let run = json(&place.expect(0, &["runs", "--json"]))["runs"][0]["run"].as_str().unwrap().to_owned();
    place.expect(0, &["export", &run, "--as", "bundle", "-o", "run.bundle"]);
    place.expect(0, &["verify", "run.bundle"]);
    place.expect(0, &["who", &run, "--ledger", "run.bundle"]);
    place.expect(0, &["export", &run, "--as", "html", "-o", "run.html"]);
    assert!(fs::read_to_string(place.path("run.html")).unwrap().contains("<!DOCTYPE html>"));
    let mut bundle = fs::read(place.path("run.bundle")).unwrap();
    let middle = bundle.len() / 2;
    bundle[middle] ^= 1;
    fs::write(place.path("run.bundle"), bundle).unwrap();
    place.expect(1, &["verify", "run.bundle"]);
    for verb in ["show", "touched", "replay"] {
        place.expect(0, &[verb, &run]);
    }
    // It did nothing, so there is no action to find.
    place.expect(1, &["find", "agent:a"]);
    place.expect_err(1, &["show", "ffffffffff"]);
}

/// A copy that is cut, or one of whose segments is elsewhere, is broken: nobody can be writing it.
#[test]
fn a_copy_of_a_ledger_must_be_whole_and_what_is_broken_is_said_first() {
    let place = Place::new("copies");
    place.init();
    place.expect(0, &["run", "--agent", "a", "--", "true"]);
    let run = json(&place.expect(0, &["runs", "--json"]))["runs"][0]["run"].as_str().unwrap().to_owned();
    let (ledger, copy) = (place.path("tacho-data/ledger"), place.path("copy"));
    fs::create_dir_all(copy.join("segment")).unwrap();
    fs::copy(ledger.join("segment/0000000000.seg"), copy.join("segment/0000000000.seg")).unwrap();
    place.expect(0, &["who", &run, "--ledger", "copy"]);
    let segment = copy.join("segment/0000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[last] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for verb in ["who", "touched", "show", "exposed"] {
        let said = place.expect(3, &[verb, &run, "--ledger", "copy"]);
        assert!(said.starts_with("CHAIN BROKEN: ") && said.contains("torn-tail"), "{verb}: {said}");
    }
    place.expect(3, &["export", &run, "--as", "html", "-o", "copy.html", "--ledger", "copy"]);
    let page = fs::read_to_string(place.path("copy.html")).unwrap();
    assert!(page.find("CHAIN BROKEN").unwrap() < page.find("Who initiated it?").unwrap());
}

#[test]
fn a_run_inside_a_run_needs_spawn_and_keeps_its_human() {
    let mut place = Place::new("nested");
    place.init();
    place.up();
    let tacho = place.public_binary();
    let outer = place.script("outer", &format!("{tacho} run --agent child -- sh -c 'echo inner $TACHO_RUN'"));
    let refused = place.run(&["run", "--agent", "planner", "--", &outer]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("policy refuses"), "{}", text(&refused.stderr));
    let rule = "@id(\"spawns\")\npermit (principal in Agent::\"planner\", action == Action::\"spawn\", resource == Agent::\"child\");\n";
    fs::write(place.path("policy/spawn.cedar"), rule).unwrap();
    signal(place.gateway_pid(), "HUP");
    eventually("the policy is reloaded", || {
        place.run(&["run", "--agent", "planner", "--", &outer]).status.success()
    });
    let out = place.expect(0, &["run", "--agent", "planner", "--", &outer]);
    let child = out.trim().strip_prefix("inner ").unwrap();
    let who = json(&place.expect(0, &["who", child, "--json"]));
    assert_eq!(who["run"]["agent"], "child", "{who}");
    assert_eq!(who["parents"][0]["agent"], "planner", "{who}");
    assert_eq!(who["run"]["human"], who["parents"][0]["human"], "{who}");
    // Closed by the `tacho run` inside, with its command's status, and not by the end of the outer one.
    assert_eq!(who["run"]["state"], "exited", "{who}");
    // Another agent, or somebody else's human: not even with the rule.
    let other = place.script("other", &format!("{tacho} run --agent stranger -- true"));
    place.expect(1, &["run", "--agent", "planner", "--", &other]);
    let other = place.script("for", &format!("{tacho} run --agent child --for grace -- true"));
    place.expect(2, &["run", "--agent", "planner", "--", &other]);
    place.down();
}

#[test]
fn a_revoked_run_ends_at_once() {
    let mut place = Place::new("revoke");
    place.init();
    let token = json(&place.expect(0, &["operator", "add", "root-of-evil", "--role", "admin", "--json"]));
    place.up();
    let script = place.script("wait", "echo $TACHO_RUN; sleep 600");
    let mut child =
        place.tacho(&["run", "--agent", "a", "--", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let run = lines.next().unwrap().unwrap();
    place.expect_err(1, &["runs", "revoke", &run, "--reason", "strange"]);
    let mut revoke = place.tacho(&["runs", "revoke", &run[..8], "--reason", "strange"]);
    revoke.env("TACHO_OPERATOR_TOKEN", token["token"].as_str().unwrap());
    assert!(revoke.status().unwrap().success());
    eventually("the agent is over", || {
        json(&place.expect(0, &["runs", "--json"]))["runs"][0]["state"] == "revoked"
    });
    assert!(!child.wait().unwrap().success(), "the agent goes on without its run");
    place.down();
}

/// Asks on the control socket with a token, in each way that a process has to be another when it is looked at.
const FORKED: &str = r#"
import os, socket, sys, time
control, token = sys.argv[1:3]

def connected():
    s = socket.socket(socket.AF_UNIX)
    s.connect(control)
    return s

def ask(s):
    s.sendall(f"GET /v1/status HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode())
    got = b""
    while piece := s.recv(4096):
        got += piece
    return got.split()[1].decode()

def told(child):
    r, w = os.pipe()
    if os.fork() == 0:
        child(w)
        os._exit(0)
    os.close(w)
    os.wait()
    with os.fdopen(r) as answer:
        print(answer.read(), end=" ")

def left_by_who_connected(w):
    s, parent = connected(), os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent or os.path.exists(f"/proc/{parent}"):
            time.sleep(0.01)
        os.write(w, ask(s).encode())

def orphan(w):
    parent = os.getpid()
    if os.fork() == 0:
        os.setsid()
        while os.getppid() == parent:
            time.sleep(0.01)
        os.write(w, ask(connected()).encode())

print(ask(connected()), end=" ")
told(left_by_who_connected)
told(orphan)
print("done")
"#;

/// An operator's token in a run that nothing confines is worth nothing, whoever of its processes shows it.
#[test]
fn a_process_that_cannot_be_told_from_an_agents_is_no_operator() {
    if !is_root() {
        // No other can hide `unshare` from a caller, so that its run is unconfined.
        return;
    }
    let mut place = Place::of_user("forked", 65_533);
    place.init();
    let token = json(&place.expect(0, &["operator", "add", "eve", "--role", "admin", "--json"]));
    place.up();
    let script = place.path("forked.py");
    fs::write(&script, FORKED).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let control = place.path("tacho-run/control.sock").display().to_string();
    let words =
        ["/usr/bin/python3", &script.display().to_string(), &control, token["token"].as_str().unwrap()];
    let outside = std::process::Command::new("setpriv")
        .args(["--reuid=65533", "--regid=65533", "--clear-groups"])
        .args(words)
        .output()
        .unwrap();
    // From outside, an orphan is a process as any; one that was left a connection is nobody that is known.
    assert_eq!(text(&outside.stdout), "200 403 200 done\n", "{}", text(&outside.stderr));
    let inside = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount --bind /dev/null /usr/bin/unshare && cd \"$0\" && exec \"$@\""])
        .arg(&place.dir)
        .args(["env", "-i", &format!("HOME={}", place.path("home").display()), "PATH=/usr/bin:/bin"])
        .args(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"])
        .arg(place.dir.join("tacho"))
        .args(["run", "--agent", "a", "--"])
        .args(words)
        .output()
        .unwrap();
    assert!(text(&inside.stderr).contains("unconfined"), "{}", text(&inside.stderr));
    assert_eq!(text(&inside.stdout), "403 403 403 done\n", "{}", text(&inside.stderr));
    place.down();
}

#[test]
fn a_browsers_login_is_of_the_operator_who_made_it_and_not_of_the_next_by_that_name() {
    let mut place = Place::new("logins");
    place.init();
    let added = json(&place.expect(0, &["operator", "add", "eve", "--role", "auditor", "--json"]));
    let token = added["token"].as_str().unwrap();
    let config = fs::read_to_string(place.path("tacho.toml")).unwrap();
    let console = config.lines().find_map(|line| line.strip_prefix("console = \"")).unwrap();
    let console = format!("http://{}", console.split('"').next().unwrap());
    let curl = |words: &[&str]| {
        let mut command = std::process::Command::new("curl");
        text(
            &command.args(["-s", "-o", "/dev/null", "--max-time", "10"]).args(words).output().unwrap().stdout,
        )
    };
    let jar = place.path("jar").display().to_string();
    let page = || curl(&["-w", "%{http_code} %{redirect_url}", "-b", &jar, &format!("{console}/runs")]);
    place.up();
    let (origin, form) = (format!("Origin: {console}"), format!("token={token}"));
    curl(&["-c", &jar, "-H", &origin, "-d", &form, &format!("{console}/login")]);
    assert_eq!(page(), "200 ");
    place.expect(0, &["operator", "remove", "eve"]);
    place.expect(0, &["operator", "add", "eve", "--role", "admin"]);
    assert_eq!(page(), format!("303 {console}/login"));
    place.down();
}
