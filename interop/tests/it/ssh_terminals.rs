//! Shells and terminals on a host behind the gateway: decided, masked, searched as a person sees them, recorded, and replayed.

use crate::ssh::Scene;
use crate::world::{drivers, eventually, json, run_of};
use interop::process::{Finished, finish};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const SSN: &str = "536-22-8391";
const EMAIL: &str = "ada.osei@example.com";
/// A key of a kind that nobody listed.
const KEY: &str = "ck_live_9fQ2vTzLm4RkWb7HsXeY";
const PASSWORD: &str = "tr0ub4dor-quine";

/// Agents: `stander` may run everything but a shell; all others may sit at one.
const RULES: &str = r#"
@id("ssh-shell")
permit (principal, action == Action::"shell", resource in Resource::"build");
@id("ssh-stands")
@message("This agent sits at no terminal.")
forbid (principal in Agent::"stander", action == Action::"shell", resource in Resource::"build");
"#;

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| Scene::start(|plan| plan.policy.push_str(RULES)))
}

/// Runs OpenSSH's client as an agent, with `input` typed all at once.
fn ssh(agent: &str, words: &str, input: &str) -> Finished {
    scene().fed(agent, &format!("ssh {words}"), input)
}

#[track_caller]
fn exits(done: &Finished, status: i32) {
    assert_eq!(done.status.code(), Some(status), "{}", scene().gateway.explain(done));
}

fn ask(verb: &str, agent: &str, flags: &[&str]) -> String {
    let site = scene().gateway.site();
    site.ask(&[&[verb, &run_of(site, agent)][..], flags].concat(), "").unwrap().out()
}

/// The details of an agent's notes of one kind.
fn notes(agent: &str, what: &str) -> Vec<String> {
    let shown = scene().show(agent);
    let notes = shown["notes"].as_array().unwrap();
    let notes = notes.iter().filter(|note| note["what"] == what);
    notes.map(|note| note["detail"].as_str().unwrap().to_owned()).collect()
}

/// The one action of an agent on the host that is of `via`.
fn action(agent: &str, via: &str) -> Value {
    let shown = scene().show(agent);
    let actions = shown["actions"].as_array().unwrap();
    actions.iter().find(|action| action["via"] == via).unwrap().clone()
}

/// A program of Python's that runs a command, whose words are a list of Python's, at a terminal of its own: `typed` says what it
/// does with `say`, `until` and `size`.
pub fn at_a_terminal(command: &str, typed: &str) -> String {
    format!(
        r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
pid, fd = pty.fork()
if pid == 0:
    command = {command}
    os.execvp(command[0], command)
seen = b""
def size(rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
def until(what, seconds=30):
    global seen
    end = time.time() + seconds
    while what.encode() not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.time()))
        if not ready:
            sys.exit("no %r in %r" % (what, seen))
        try:
            data = os.read(fd, 65536)
        except OSError:
            data = b""
        if not data:
            sys.exit("the end before %r in %r" % (what, seen))
        seen += data
    at = seen.index(what.encode()) + len(what)
    before, seen = seen[:at], seen[at:]
    return before.decode()
def say(text):
    os.write(fd, text.encode())
def end():
    global seen
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            data = b""
        if not data:
            break
        seen += data
    return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
size(30, 100)
{typed}
"#
    )
}

fn sits(agent: &str, typed: &str) -> Finished {
    let program = at_a_terminal(r#"["ssh", "-tt", "build"]"#, typed);
    // What is in the words of a run's command is in its record.
    let program = drivers().file(&format!("{agent}.py"), &program).unwrap();
    scene().gateway.run_to_end(agent, &[&drivers().python(), &program].map(Path::new), "").unwrap()
}

#[test]
fn a_shell_at_a_terminal_works_and_is_recorded_line_by_line() {
    let done = ssh("sitter-1", "-tt build", "echo marker-$((40 + 2))\ntty | cut -c1-8\nexit 3\n");
    exits(&done, 3);
    assert!(done.out().contains("marker-42") && done.out().contains("/dev/pts"), "{}", done.all());
    let shell = action("sitter-1", "shell");
    assert_eq!(
        (&shell["verbs"], &shell["opaque"].is_string()),
        (&serde_json::json!(["execute", "opaque", "shell"]), &true),
        "{shell}"
    );
    assert_eq!(shell["result"]["tag"], "exit 3", "{shell}");
    let typed = notes("sitter-1", "typed").join("\n");
    assert!(typed.contains("echo marker-$((40 + 2))") && typed.contains("exit 3"), "{typed}");
    let text = ask("replay", "sitter-1", &["--at", &shell["record"].to_string(), "--text"]);
    assert!(text.contains("marker-42"), "{text}");
    let touched = ask("touched", "sitter-1", &[]);
    assert!(touched.contains("shell"), "{touched}");
}

#[test]
fn a_shell_is_a_permission_of_its_own_and_so_is_a_command_at_a_terminal() {
    for words in ["build", "-tt build", "-tt build id"] {
        let done = ssh("stander", words, "id\n");
        exits(&done, 126);
        assert!(done.err().contains("sits at no terminal") && !done.out().contains("uid="), "{}", done.all());
    }
    // What cannot be known it may run, and without a terminal.
    let done = ssh("stander", "build 'eval id -u'", "");
    exits(&done, 0);
    let done = ssh("sitter-2", "-tt build 'stty size; exit 4'", "");
    exits(&done, 4);
    assert_eq!(done.out(), "24 80\r\n");
}

#[test]
fn a_shell_without_a_terminal_takes_a_script_which_is_recorded_and_replayed() {
    let done =
        ssh("sitter-3", "-T build", &format!("p=536-22\necho $p-8391\n# {EMAIL} and a comment\nexit 5\n"));
    exits(&done, 5);
    assert_eq!(done.out(), "[pii.ssn]\n");
    let replayed = ask("replay", "sitter-3", &["--json"]);
    assert!(replayed.contains("[pii.email] and a comment"), "{replayed}");
    assert!(!replayed.contains(SSN) && !replayed.contains(EMAIL), "{replayed}");
}

#[test]
fn a_window_changes_its_size_and_replay_shows_it() {
    let done = sits(
        "sitter-4",
        r#"
say("PS1=; stty size\r"); until("30 100")
size(41, 77); os.kill(pid, signal.SIGWINCH); time.sleep(1)
say("stty size\r"); until("41 77")
say("exit 6\r")
print(end()[1])
"#,
    );
    exits(&done, 0);
    assert_eq!(done.out(), "6\n", "{}", done.all());
    // The client is signalled by the kernel and by us, and may tell of each.
    let sizes = notes("sitter-4", "window");
    assert!(!sizes.is_empty() && sizes.iter().all(|size| size == "77x41"), "{sizes:?}");
    let cast = ask(
        "replay",
        "sitter-4",
        &["--at", &action("sitter-4", "shell")["record"].to_string(), "--as", "asciicast", "-o", "-"],
    );
    assert!(cast.contains("\"cols\":100,\"rows\":30") || cast.contains("\"cols\": 100"), "{cast}");
    assert!(cast.contains("77x41"), "{cast}");
}

#[test]
fn what_is_not_echoed_is_in_no_record_and_what_was_typed_is_not_held_back() {
    let done = sits(
        "sitter-5",
        &format!(
            r#"
say("PS1=; printf 'Pass''word: '; read -s X; echo got ${{#X}}\r"); until("Password: ")
time.sleep(0.3)
for c in "{PASSWORD}":
    say(c); time.sleep(0.02)
say("\r"); until("got {}")
for c in "echo my number is {SSN}":
    say(c); time.sleep(0.05)
say("\r"); until("\rmy number is {SSN}")
say(": {KEY}; echo k""ept\r"); until("kept")
say("exit 0\r")
print(end()[1])
"#,
            PASSWORD.len()
        ),
    );
    exits(&done, 0);
    let everything = [ask("show", "sitter-5", &["--json"]), ask("replay", "sitter-5", &["--json"])].concat();
    assert!(everything.contains("got 15"), "{everything}");
    // Keys come back one by one: what replay puts together of them is looked at, too.
    let record = action("sitter-5", "shell")["record"].to_string();
    let cast = ask("replay", "sitter-5", &["--at", &record, "--as", "asciicast", "-o", "-"]);
    let events = cast.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let joined: String = events.filter_map(|event| event[2].as_str().map(str::to_owned)).collect();
    assert!(joined.contains("my number is [pii.ssn]") && joined.contains("got 15"), "{joined}");
    for secret in [PASSWORD, SSN, KEY] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
        assert!(!joined.contains(secret), "{secret} in {joined}");
    }
}

#[test]
fn a_value_that_comes_together_on_the_screen_alone_stays_here() {
    for (agent, script) in [
        ("screen-1", "printf '%8s391\\r536-22-8\\n'"),
        ("screen-2", "printf '536-22-    \\033[4D8391\\n'"),
        ("screen-3", "printf '\\033[2J\\033[5;8H8391'; sleep 0.3; printf '\\033[5;1H536-22-'; sleep 1"),
        ("screen-4", "printf '536-x\\b22-8391\\n'"),
        ("screen-6", "printf '536-22-839x\\033'; sleep 0.3; printf '[1D1\\n'"),
        ("screen-7", "printf '536-22\\033[0m'; sleep 0.3; printf -- '-8391\\n'"),
        ("screen-8", "printf '%69s536-22-839x\\t1\\n' ''"),
        ("screen-5", "printf '536-\\033[1m22-\\033[0;31m8391\\n'"),
    ] {
        let done = ssh(agent, &format!("-tt build {}", crate::ssh::quoted(script)), "");
        // Either it is masked, or it does not leave.
        assert!(!done.out().contains("8391") || !done.out().contains("536-22-"), "{script}: {}", done.all());
        if done.status.code() == Some(126) {
            assert!(done.err().contains("came together on the screen"), "{}", done.all());
            let shown = scene().show(agent).to_string();
            assert!(shown.contains("\"screen\"") && shown.contains("pii.ssn"), "{shown}");
        } else {
            assert!(done.out().contains("[pii.ssn]"), "{script}: {}", done.all());
        }
    }
    let cut = ["screen-1", "screen-3"].map(|agent| scene().show(agent).to_string().contains("\"screen\""));
    assert_eq!(cut, [true, true], "the screen is searched");
}

#[test]
fn a_key_reaches_the_program_and_a_client_that_goes_away_ends_it() {
    let done = sits(
        "sitter-6",
        r#"
say("PS1=; echo re''ady\r"); until("ready")
say("sleep 1000\r"); time.sleep(0.5)
say("\x03"); say("echo after $?\r"); until("after 130")
say("sleep 987654\r"); time.sleep(0.5)
os.kill(pid, 9)
"#,
    );
    exits(&done, 0);
    let sleeps = || {
        let found = finish(Command::new("pgrep").args(["-f", "sleep 987654$"]), b"", Duration::from_secs(10));
        found.unwrap().out().is_empty().then_some(())
    };
    eventually("the end of what ran there", sleeps);
    let ended = eventually("an outcome", || {
        let site = scene().gateway.site();
        let shown = json(site, &["show", &run_of(site, "sitter-6"), "--json"]);
        let actions = shown["actions"].as_array()?.clone();
        let shell = actions.into_iter().find(|action| action["via"] == "shell")?;
        shell["result"]["result"].as_str().map(str::to_owned)
    });
    assert_eq!(ended, "indeterminate");
}

#[test]
fn who_may_sit_at_a_shell_need_not_run_what_cannot_be_known() {
    // As the README has it.
    let rules = r#"
permit (principal in Agent::"repairer", action == Action::"connect", resource in Resource::"build");
permit (principal in Agent::"repairer", action in [Action::"execute", Action::"opaque", Action::"shell"], resource in Resource::"build")
when { context.kind == "SHELL" };
"#;
    let scene = Scene::start(|plan| plan.policy = format!("{}{rules}", crate::world::POLICY));
    let done = scene.fed("repairer", "ssh -T build", "eval 'echo in'\n");
    assert_eq!(
        (done.status.code(), done.out().as_str()),
        (Some(0), "in\n"),
        "{}",
        scene.gateway.explain(&done)
    );
    let done = scene.sh("repairer", "ssh build 'eval echo in'");
    assert_eq!(
        (done.status.code(), done.out().as_str()),
        (Some(126), ""),
        "{}",
        scene.gateway.explain(&done)
    );
}
