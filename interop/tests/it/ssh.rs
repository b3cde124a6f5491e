//! A host behind the gateway: OpenSSH's own clients run commands there, masked, decided and recorded.

use crate::world::{POLICY, eventually, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::place::{Scratch, free_port};
use interop::process::{Finished, finish};
use interop::sshd::Sshd;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

const SSN: &str = "536-22-8391";
const EMAIL: &str = "ada.osei@example.com";

/// Agents: `runner*` may do what cannot be known; `plain` may not; `asker` asks; `outsider` may not connect; `narrow` may have little.
const RULES: &str = r#"
@id("ssh-connect")
permit (principal, action in [Action::"connect", Action::"execute"], resource in Resource::"build");
@id("ssh-opaque")
permit (principal, action == Action::"opaque", resource in Resource::"build");
@id("ssh-plain")
@message("This agent runs only what can be known.")
forbid (principal in Agent::"plain", action == Action::"opaque", resource in Resource::"build");
@id("ssh-reads")
permit (principal, action == Action::"read", resource in Resource::"build");
@id("ssh-writes")
permit (principal, action in [Action::"write", Action::"call"], resource in Resource::"build");
@id("ssh-no-shadow")
@message("Nobody reads that.")
forbid (principal in Agent::"reader-of-files", action == Action::"read", resource in Resource::"build")
when { resource.name == "shadow" };
@id("ssh-no-rm")
@message("This agent deletes nothing.")
forbid (principal in Agent::"reader-of-files", action == Action::"execute", resource in Resource::"build")
when { resource.name == "rm" };
@id("ssh-known")
forbid (principal in Agent::"reader-of-files", action == Action::"opaque", resource in Resource::"build");
@id("ssh-asks")
@needs("leads")
forbid (principal in Agent::"ssh-asker", action == Action::"execute", resource in Resource::"build")
unless { context.approvals.contains("leads") };
@id("ssh-outsider")
forbid (principal in Agent::"ssh-outsider", action == Action::"connect", resource in Resource::"build");
@id("ssh-narrow")
@message("More than this agent may have at once.")
forbid (principal in Agent::"ssh-narrow", action == Action::"release", resource in Resource::"build")
when { context.bytes > 100000 };
"#;

/// A host and a gateway before it.
pub struct Scene {
    pub gateway: Gateway,
    pub sshd: Sshd,
    pub port: u16,
}

/// Whoever runs the tests, as whom the host is logged in to.
pub fn user() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

/// The tables of a host that is reached at `at`; `lines` are further ones.
pub fn tables(sshd: &Sshd, at: u16, port: u16, key: &str, lines: &str) -> String {
    format!(
        "\n[[resource]]\nname = \"build\"\nkind = \"ssh\"\nlisten = \"127.0.0.1:{port}\"\n\
         upstream = \"ssh://{}@localhost:{}\"\ncredential = {{ file = \"{}\" }}\n{key}\n{lines}\n",
        user(),
        at,
        sshd.key().display(),
    )
}

impl Scene {
    pub fn start(change: impl FnOnce(&mut Plan)) -> Scene {
        let sshd = Sshd::start("").unwrap();
        let pin = format!("host_key = \"{}\"", sshd.host_key().unwrap());
        Scene::of(sshd, &pin, "", change)
    }

    pub fn of(sshd: Sshd, pin: &str, lines: &str, change: impl FnOnce(&mut Plan)) -> Scene {
        let at = sshd.port;
        Scene::at(sshd, at, pin, lines, change)
    }

    /// The same, where the host is reached through another port.
    pub fn at(sshd: Sshd, at: u16, pin: &str, lines: &str, change: impl FnOnce(&mut Plan)) -> Scene {
        let port = free_port().unwrap();
        let tables = tables(&sshd, at, port, pin, lines);
        let mut plan =
            Plan { policy: format!("{POLICY}{RULES}"), tables, durability: "os".to_owned(), ..plan() };
        change(&mut plan);
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, sshd, port }
    }

    pub fn shared() -> &'static Scene {
        static SHARED: OnceLock<Scene> = OnceLock::new();
        SHARED.get_or_init(|| Scene::start(|_| {}))
    }

    /// Runs a shell script as an agent.
    pub fn sh(&self, agent: &str, script: &str) -> Finished {
        self.fed(agent, script, "")
    }

    pub fn fed(&self, agent: &str, script: &str, input: &str) -> Finished {
        self.gateway.run_to_end(agent, &["/bin/sh", "-c", script].map(Path::new), input).unwrap()
    }

    /// What the record of the newest run of an agent shows.
    pub fn show(&self, agent: &str) -> Value {
        let shown = json(self.gateway.site(), &["show", &run_of(self.gateway.site(), agent), "--json"]);
        assert_eq!(shown["unread"], serde_json::json!([]), "every record of it is understood whole");
        shown
    }
}

#[track_caller]
pub fn exits(scene: &Scene, done: &Finished, status: i32) {
    assert_eq!(done.status.code(), Some(status), "{}", scene.gateway.explain(done));
}

#[test]
fn an_unchanged_ssh_runs_a_command_and_has_its_status_its_streams_and_its_input() {
    let scene = Scene::shared();
    let done = scene.sh("runner-1", "ssh build 'echo out; echo err >&2; exit 7'");
    exits(scene, &done, 7);
    assert_eq!((done.out().as_str(), done.err().as_str()), ("out\n", "err\n"));
    let done = scene.fed("runner-1", "ssh build 'cat; echo end'", "one\ntwo\nno line's end");
    exits(scene, &done, 0);
    assert_eq!(done.out(), "one\ntwo\nno line's endend\n");
    let done = scene.sh("runner-1", "ssh localhost true && ssh build 'kill -TERM $$'");
    // OpenSSH's client says 255 of a signal.
    exits(scene, &done, 255);
}

#[test]
fn a_value_that_the_end_of_an_output_cuts_is_covered() {
    let scene = Scene::shared();
    let script = "ssh build 'a=536-22; printf \"n $a-839\"'; echo; ssh build 'printf 12345678'; echo; \
                  ssh build 'a=536-22; printf \"n $a-839\"; sleep 1; printf \" and more\"'";
    let done = scene.sh("runner-cut", script);
    exits(scene, &done, 0);
    assert_eq!(done.out(), "n [pii.ssn]\n12345678\nn 536-22-839 and more");
}

#[test]
fn what_ran_where_as_whom_is_in_the_record() {
    let scene = Scene::shared();
    exits(scene, &scene.sh("runner-2", "ssh build 'echo shown; exit 3'"), 3);
    let shown = scene.show("runner-2").to_string();
    for part in ["echo shown; exit 3", "build", "exit 3", &user()] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let run = run_of(scene.gateway.site(), "runner-2");
    let replayed = json(scene.gateway.site(), &["replay", &run, "--json"]).to_string();
    assert!(replayed.contains("shown"), "{replayed}");
    let touched = json(scene.gateway.site(), &["touched", &run, "--json"]).to_string();
    assert!(touched.contains(&format!("build/{}", user())), "{touched}");
}

#[test]
fn a_value_is_masked_however_it_comes() {
    let scene = Scene::shared();
    let split = format!("printf '{}'; printf '{}\\n'", &SSN[..7], &SSN[7..]);
    let script = format!(
        "ssh build 'p=536-22; echo $p-8391'; ssh build \"{split}\"; ssh build 'a=ada.osei; echo $a@example.com >&2' 2>&1; \
         ssh build 'a=ada.osei; printf %s $a@example.com | base64'; ssh build 'a=536-22; printf $a-; sleep 1; echo 8391'"
    );
    let done = scene.sh("runner-3", &script);
    exits(scene, &done, 0);
    // Of a value that stops in its middle for a second, the rest is replaced.
    assert_eq!(done.out(), "[pii.ssn]\n[pii.ssn]\n[pii.email]\n[pii.email]\n536-22-[pii.ssn]\n");
    let run = run_of(scene.gateway.site(), "runner-3");
    let exposed = json(scene.gateway.site(), &["exposed", &run, "--json"]).to_string();
    assert!(exposed.contains("pii.ssn") && exposed.contains("pii.email"), "{exposed}");
    for secret in [SSN, EMAIL] {
        let replayed = json(scene.gateway.site(), &["replay", &run, "--json"]).to_string();
        assert!(!replayed.contains(secret), "{replayed}");
    }
}

#[test]
fn a_prompt_that_ends_no_line_arrives() {
    let scene = Scene::shared();
    let script = "ssh build 'printf \"name? \"; read name; echo hello $name' > \"$HOME/out\" & \
                  for i in $(seq 100); do grep -q 'name?' \"$HOME/out\" && break; sleep 0.1; done; cat \"$HOME/out\"; kill %1";
    let done = scene.fed("runner-4", script, "");
    assert!(done.out().contains("name? "), "{}", scene.gateway.explain(&done));
}

#[test]
fn what_policy_does_not_allow_is_not_started_and_the_connection_goes_on() {
    let scene = Scene::shared();
    let mark = scene.sshd.dir().join("not-made");
    let script = format!("ssh build 'eval touch {}'", mark.display());
    let done = scene.sh("plain", &script);
    exits(scene, &done, 126);
    assert!(
        done.err().contains("This agent runs only what can be known.") && done.err().contains("ssh-plain"),
        "{}",
        done.err()
    );
    assert!(!mark.exists());
    let done = scene.sh("ssh-outsider", "ssh build true");
    exits(scene, &done, 255);
    assert!(scene.show("ssh-outsider").to_string().contains("ssh-outsider"));
}

#[test]
fn a_command_line_is_decided_by_what_it_does() {
    let scene = Scene::shared();
    for (line, status) in [
        ("cat /etc/hostname >/dev/null", 0),
        ("cat /etc/hostname | grep -c . >/dev/null", 0),
        ("true && cat /etc/shadow", 126),
        ("cat /etc/../etc/shadow", 126),
        ("echo x; \\rm -f ~/x", 126),
        ("r\"\"m -f /tmp/x", 126),
        ("$(echo rm) x", 126),
        ("cat /etc/sha*", 126),
        ("python3 -c 1", 126),
        ("echo aWQ= | base64 -d | sh", 126),
    ] {
        let done = scene.sh("reader-of-files", &format!("ssh build {}", quoted(line)));
        assert_eq!(done.status.code(), Some(status), "{line}: {}", scene.gateway.explain(&done));
    }
    let done = scene.sh("reader-of-files", "ssh build 'cat /etc/hostname > ~/copy'");
    exits(scene, &done, 0);
    let touched =
        json(scene.gateway.site(), &["touched", &run_of(scene.gateway.site(), "reader-of-files"), "--json"]);
    let touched = touched.to_string();
    for part in ["program/cat", "file/etc/hostname", "file/~/copy"] {
        assert!(touched.contains(&format!("build/{}/{part}", user())), "{part} in {touched}");
    }
}

/// As one word of a shell's.
pub fn quoted(line: &str) -> String {
    format!("'{}'", line.replace('\'', "'\\''"))
}

#[test]
fn a_command_waits_for_a_person_and_says_so() {
    let scene = Scene::shared();
    let site = scene.gateway.site();
    let lead = json(site, &["operator", "add", "lena", "--role", "approver", "--group", "leads", "--json"]);
    let lead = lead["token"].as_str().unwrap();
    let as_lead = |words: &[&str]| {
        finish(site.tacho().args(words).env("TACHO_OPERATOR_TOKEN", lead), b"", Duration::from_secs(30))
            .unwrap()
    };
    let waiting = || {
        let inbox: Value = serde_json::from_str(&as_lead(&["approvals", "--json"]).out()).ok()?;
        let all = inbox["approvals"].as_array()?.clone();
        all.into_iter().find(|asked| asked.to_string().contains("told by a lead"))?["ask"]
            .as_str()
            .map(str::to_owned)
    };
    let deny: &[&str] = &["deny", "--reason", "not now"];
    for (verb, status, out) in [(&["approve"][..], 0, "told by a lead\n"), (deny, 126, "")] {
        // A value beside code hides none of it.
        let script = "ssh build 'sh -c \"echo told by a lead #a.b@example.com\"'";
        let agent = thread::spawn(move || Scene::shared().sh("ssh-asker", script));
        let ask = eventually("a question", waiting);
        let answered = as_lead(&[&verb[..1], &[ask.as_str()], &verb[1..]].concat());
        assert!(answered.status.success(), "{}", answered.all());
        let done = agent.join().unwrap();
        exits(scene, &done, status);
        assert_eq!(done.out(), out);
        assert!(done.err().contains(&format!("tacho: waits for approval {ask} by leads")), "{}", done.err());
    }
    // Nobody is asked where a placeholder stands for more than a value.
    let script = "ssh build 'echo cm0gLXJmIC8gIyBhLmJAZXhhbXBsZS5jb20='";
    let done = scene.sh("ssh-asker", script);
    exits(scene, &done, 126);
    assert!(done.err().contains("cannot be shown whole"), "{}", done.err());
}

/// A run that waits, and its private key.
struct Waiting {
    child: Child,
    key: String,
}

impl Waiting {
    fn start(scene: &Scene, agent: &str) -> Waiting {
        let script = "cat \"$HOME/.ssh/id_ed25519\"; echo; echo end; exec sleep 1000";
        let mut run = scene.gateway.run(agent, &["/bin/sh", "-c", script].map(Path::new));
        let mut child = run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let key: Vec<String> = lines.map_while(Result::ok).take_while(|line| line != "end").collect();
        Waiting { child, key: format!("{}\n", key.join("\n").trim_end()) }
    }

    fn end(mut self) {
        interop::process::signal(&self.child.id().to_string(), "TERM");
        let _gone = self.child.wait();
    }
}

#[test]
fn nobody_but_a_live_run_is_let_in_and_only_as_the_configured_user() {
    let scene = Scene::shared();
    let scratch = Scratch::new("keys").unwrap();
    let written = |name: &str, key: &str| {
        let file = scratch.path().join(name);
        std::fs::write(&file, key).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    };
    let ssh = |key: &Path, user: &str, words: &[&str]| {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
        ]);
        ssh.arg("-o")
            .arg(format!("UserKnownHostsFile={}", scratch.path().join("known").display()))
            .arg("-i")
            .arg(key);
        ssh.args(["-p", &scene.port.to_string()]).args(words).arg(format!("{user}@127.0.0.1")).arg("echo in");
        finish(&mut ssh, b"", Duration::from_secs(60)).unwrap()
    };
    let run = Waiting::start(scene, "runner-5");
    let own = written("own", &run.key);
    let done = ssh(&own, &user(), &[]);
    assert_eq!(
        (done.status.code(), done.out().as_str()),
        (Some(0), "in\n"),
        "{}",
        scene.gateway.explain(&done)
    );
    let refused = |done: Finished| {
        assert!(
            done.status.code() == Some(255) && done.err().contains("Permission denied"),
            "{}",
            done.all()
        );
    };
    refused(ssh(&own, "somebody-else", &[]));
    // A key that nobody here knows proves no run.
    let wrong = scratch.path().join("wrong");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&wrong)
        .status()
        .unwrap();
    assert!(made.success());
    refused(ssh(&wrong, &user(), &[]));
    run.end();
    eventually("the run's end", || {
        let done = ssh(&own, &user(), &[]);
        (done.status.code() == Some(255)).then_some(())
    });
}

#[test]
fn weak_algorithms_are_refused() {
    let scene = Scene::shared();
    for weak in [
        "KexAlgorithms=diffie-hellman-group14-sha1",
        "KexAlgorithms=diffie-hellman-group1-sha1",
        "Ciphers=aes128-cbc",
        "Ciphers=3des-cbc",
        "Ciphers=chacha20-poly1305@openssh.com",
        "MACs=hmac-sha1",
        "HostKeyAlgorithms=ssh-rsa",
    ] {
        // Of one that needs a MAC, the cipher with one.
        let cipher = if weak.starts_with("MACs") { "-o Ciphers=aes128-ctr" } else { "" };
        let done = scene.sh("runner-15", &format!("ssh {cipher} -o {weak} build true"));
        assert_eq!(done.status.code(), Some(255), "{weak}: {}", done.all());
        assert!(
            done.err().contains("no matching") || done.err().contains("Unable to negotiate"),
            "{weak}: {}",
            done.err()
        );
    }
}

#[test]
fn what_is_asked_beside_commands_is_refused_and_recorded() {
    let scene = Scene::shared();
    let free = free_port().unwrap();
    let script = format!(
        "ssh -o ExitOnForwardFailure=no -R {free}:localhost:1 build true; \
         ssh -o ExitOnForwardFailure=no -R /tmp/no.sock:localhost:1 build true; \
         DISPLAY=:9 ssh -Y build 'echo x11 is at ${{DISPLAY:-nowhere}}'; \
         eval $(ssh-agent -s) >/dev/null; \
         ssh -A -o IdentityAgent=$SSH_AUTH_SOCK build 'echo an agent is at ${{SSH_AUTH_SOCK:-nowhere}}'; ssh-agent -k >/dev/null; \
         ssh -W 127.1:{free} build; ssh -tt build true; SECRET_X=1 ssh -o SendEnv=SECRET_X build 'echo x$SECRET_X'; \
         ssh build; sftp -b /dev/null build; ssh -s build netconf"
    );
    let done = scene.sh("runner-7", &script);
    for out in ["x\n", "x11 is at nowhere\n", "an agent is at nowhere\n"] {
        assert!(done.out().contains(out), "{}", scene.gateway.explain(&done));
    }
    let shown = scene.show("runner-7").to_string();
    for what in [
        &*format!("reverse-forward localhost:{free}"),
        "reverse-forward /tmp/no.sock",
        "x11",
        "agent",
        &format!("forward 127.1:{free}"),
        "[at a terminal] true",
        "env SECRET_X",
        "[the login shell]",
        "subsystem sftp",
        "subsystem netconf",
    ] {
        assert!(
            shown.contains(&format!("\"{what}\"")) || shown.contains(&format!("\"{what} ")),
            "{what} in {shown}"
        );
    }
}

/// OpenSSH's client asks for a tunnel only where it has a device for one.
const TUNNEL: &str = r#"
import os, paramiko, sys
client = paramiko.Transport((os.environ["BUILD_SSH_HOST"], int(os.environ["BUILD_SSH_PORT"])))
client.connect(username=os.environ["BUILD_SSH_USER"], password=os.environ["BUILD_SSH_PASSWORD"])
for kind in ["tun@openssh.com", "auth-agent@openssh.com", "x11", "forwarded-tcpip"]:
    try:
        client.open_channel(kind, dest_addr=("localhost", 1), src_addr=("localhost", 1))
        print(kind, "is open")
    except paramiko.ChannelException as refused:
        print(kind, "is refused")
channel = client.open_session()
channel.exec_command("echo goes on")
print(channel.makefile().read().decode(), end="")
client.close()
"#;

#[test]
fn channels_of_other_kinds_are_refused_and_recorded() {
    let scene = Scene::shared();
    let file = crate::world::drivers().file("tunnel.py", TUNNEL).unwrap();
    let python = crate::world::drivers().python();
    let done = scene.gateway.run_to_end("runner-22", &[&python, &file], "").unwrap();
    let said: Vec<String> = done.out().lines().map(str::to_owned).collect();
    assert_eq!(
        said,
        [
            "tun@openssh.com is refused",
            "auth-agent@openssh.com is refused",
            "x11 is refused",
            "forwarded-tcpip is refused",
            "goes on"
        ],
        "{}",
        scene.gateway.explain(&done)
    );
    let shown = scene.show("runner-22").to_string();
    for what in ["unknown-channel 2 before the next one", "x11", "forward localhost:1"] {
        assert!(shown.contains(what), "{what} in {shown}");
    }
}

#[test]
fn a_revoked_run_is_cut() {
    let scene = Scene::start(|_| {});
    let words = ["/bin/sh", "-c", "ssh build 'echo begun; sleep 60'"].map(Path::new);
    let mut run = scene.gateway.run("runner-8", &words);
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let site = scene.gateway.site();
    eventually("a begun command", || scene.sshd.log().contains("Starting session").then_some(()));
    let id = run_of(site, "runner-8");
    let begun = Instant::now();
    child.kill().unwrap();
    let _gone = child.wait();
    eventually("the end", || {
        let shown = json(site, &["show", &id, "--json"]).to_string();
        shown.contains("indeterminate").then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_host_that_does_not_prove_its_key_is_told_nothing() {
    let (right, other) = (Sshd::start("").unwrap(), Sshd::start("").unwrap());
    let pin = format!("host_key = \"{}\"", right.host_key().unwrap());
    let scene = Scene::of(other, &pin, "", |_| {});
    let done = scene.sh("runner-9", "ssh build true");
    exits(&scene, &done, 255);
    assert!(scene.show("runner-9").to_string().contains("did not prove a pinned key"));
    assert!(!scene.sshd.log().contains("Accepted"), "{}", scene.sshd.log());
    let checked = scene.gateway.site().check().unwrap();
    assert!(checked.out().contains("showed another key"), "{}", checked.all());
    let without = Scene::of(Sshd::start("").unwrap(), "", "", |_| {});
    exits(&without, &without.sh("runner-9", "ssh build true"), 255);
    let checked = without.gateway.site().check().unwrap();
    assert!(
        checked.out().contains(&format!("host_key = \"{}\"", without.sshd.host_key().unwrap())),
        "{}",
        checked.all()
    );
}

#[test]
fn a_thousand_commands_over_one_connection_have_their_statuses() {
    let scene = Scene::shared();
    let script = "ssh -o ControlMaster=yes -o ControlPath=$HOME/c -fN build || exit 9\n\
        one() { ssh -o ControlPath=$HOME/c build \"echo $1; exit $(($1 % 250))\" > $HOME/o$1; s=$?; \
        [ $s = $(($1 % 250)) ] && [ \"$(cat $HOME/o$1)\" = $1 ] || echo \"$1 had $s: $(cat $HOME/o$1)\"; rm $HOME/o$1; }\n\
        for n in $(seq 100); do for m in 0 1 2 3 4 5 6 7 8 9; do one $((n * 10 + m)) & done; wait $(jobs -p); done; echo done; \
        ssh -o ControlPath=$HOME/c -O exit build";
    let mut run = scene.gateway.run("runner-10", &["/bin/sh", "-c", script].map(Path::new));
    let done = finish(&mut run, b"", Duration::from_secs(600)).unwrap();
    assert_eq!(done.out(), "done\n", "{}", scene.gateway.explain(&done));
    // A placeholder would break what says its length: the transfer ends, and does not wait for ever.
    let told = scene.sshd.dir().join("told");
    std::fs::write(&told, format!("number {SSN}\n")).unwrap();
    let script = format!("cd $HOME; timeout 20 rsync -e ssh build:{} got; echo $?; cat got", told.display());
    let done = scene.sh("runner-20", &script);
    assert!(!done.out().starts_with("0\n") && !done.out().starts_with("124\n"), "{}", done.all());
    assert!(
        !done.out().contains(SSN) && done.err().contains("a placeholder there would break it"),
        "{}",
        done.all()
    );
}

#[test]
fn much_output_and_much_input_pass_and_nobody_waits_for_ever() {
    let scene = Scene::shared();
    let done = scene.sh("runner-11", "ssh build 'yes 0123456789abcdef | head -c 104857600' | sha256sum; yes 0123456789abcdef | head -c 104857600 | sha256sum");
    exits(scene, &done, 0);
    let sums: Vec<String> = done.out().lines().map(str::to_owned).collect();
    assert_eq!(sums[0], sums[1]);
    // Both ways at once, more than any window.
    let done = scene.sh("runner-11", "yes abc | head -c 20000000 | ssh build cat | wc -c");
    assert_eq!(done.out().trim(), "20000000", "{}", scene.gateway.explain(&done));
    // What a command never reads holds nothing back.
    let done =
        scene.sh("runner-11", "yes abc | head -c 20000000 | ssh build 'yes x | head -c 20000000' | wc -c");
    assert_eq!(done.out().trim(), "20000000", "{}", scene.gateway.explain(&done));
}

#[test]
fn a_slow_reader_holds_back_the_host_and_not_the_other_channels() {
    let scene = Scene::shared();
    let script = "ssh -o ControlMaster=yes -o ControlPath=$HOME/c -fN build || exit 9\n\
        (ssh -o ControlPath=$HOME/c build 'yes 0123456789abcdef | head -c 50000000' | (sleep 5; wc -c)) & \
        sleep 1; for n in 1 2 3; do ssh -o ControlPath=$HOME/c build \"echo $n\"; done; echo first; wait; \
        ssh -o ControlPath=$HOME/c -O exit build 2>/dev/null";
    let done = scene.sh("runner-12", script);
    assert_eq!(done.out(), "1\n2\n3\nfirst\n50000000\n", "{}", scene.gateway.explain(&done));
}

#[test]
fn output_that_policy_holds_back_stays_here() {
    let scene = Scene::shared();
    let done =
        scene.sh("ssh-narrow", "ssh build 'yes 0123456789abcdef | head -c 400000' | wc -c; ssh build true");
    let came: u64 = done.out().trim().parse().unwrap();
    assert!(came <= 100_000, "{}", scene.gateway.explain(&done));
    assert!(done.err().contains("More than this agent may have at once."), "{}", done.err());
}

#[test]
fn a_gateway_that_is_killed_leaves_a_command_indeterminate() {
    let scene = Scene::start(|plan| plan.durability = "sync".to_owned());
    let words = ["/bin/sh", "-c", "ssh build 'echo begun; sleep 30'"].map(Path::new);
    let mut run = scene.gateway.run("runner-13", &words);
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("a begun command", || scene.sshd.log().contains("Starting session").then_some(()));
    let Scene { gateway, sshd, .. } = scene;
    let site = gateway.crash();
    let _gone = child.wait();
    let gateway = site.up().unwrap();
    let shown = json(gateway.site(), &["show", &run_of(gateway.site(), "runner-13"), "--json"]).to_string();
    assert!(shown.contains("indeterminate") && shown.contains("sleep 30"), "{shown}");
    drop(sshd);
}

#[test]
fn a_program_whose_client_goes_away_ends_once_in_the_record_and_the_last_word_that_left_is_found_again() {
    let scene = Scene::start(|_| {});
    let done = scene.sh("runner-20", "timeout 3 ssh build 'printf \"prefix ZANZIBAR77\"; sleep 20'");
    assert!(done.out().contains("ZANZIBAR77"), "{}", scene.gateway.explain(&done));
    // OpenSSH's server passes no signal on to a program of root's, whom these tests may log in as; it was sent.
    let shown = eventually("the program's end", || {
        Some(scene.show("runner-20")).filter(|shown| shown["notes"].to_string().contains("HUP"))
    });
    assert_eq!(shown["actions"][0]["effect"], "indeterminate", "{shown}");
    let site = scene.gateway.site();
    let key = site.auditor_key().display().to_string();
    let value = site.ask(&["exposed", "--value", "-", "--auditor-key", &key], "ZANZIBAR77\n").unwrap();
    assert!(!value.out().starts_with("No:"), "it did reach the agent: {}", value.all());
    let run = run_of(site, "runner-20");
    let records = crate::scan::records(&scene.gateway.stop().ledger());
    let ends = records.iter().filter(|record| record.has("outcome") && record.has("result")).count();
    assert_eq!(ends, 1, "one record says how the program of {run} ended");
}

#[test]
fn variables_are_shown_with_their_command() {
    let scene = Scene::shared();
    let script = "LC_TIME=C LC_PAYLOAD=x ssh -o SendEnv='LC_TIME LC_PAYLOAD' build true";
    exits(scene, &scene.sh("runner-21", script), 0);
    let shown = scene.show("runner-21").to_string();
    assert!(shown.contains("LC_TIME=C true") && shown.contains("env LC_PAYLOAD"), "{shown}");
}

#[test]
fn no_secret_is_in_what_is_kept() {
    let scene = Scene::start(|_| {});
    let canary = "4539578763621486";
    let script = format!(
        "echo card {canary} | ssh build 'cat; echo mail ada.osei@example.com, ssn 536-22-8391 >&2; exit 1'"
    );
    exits(&scene, &scene.sh("runner-14", &script), 1);
    let site = scene.gateway.stop();
    for secret in [canary, SSN, EMAIL, "PRIVATE KEY"] {
        let found = Command::new("grep").args(["-rla", secret]).arg(site.data()).output().unwrap();
        assert!(found.stdout.is_empty(), "{secret} in {}", String::from_utf8_lossy(&found.stdout));
    }
    let shown = json(&site, &["replay", &run_of(&site, "runner-14"), "--json"]).to_string();
    for secret in [canary, SSN, EMAIL] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_thousand_that_stall_keep_nobody_out() {
    let scene = Scene::start(|_| {});
    let mut stalled = Vec::new();
    for n in 0..1_000 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", scene.port)) else { panic!("connection {n}") };
        if n % 2 == 0 {
            // Whether it is still there, or cut already.
            let _sent = stream.write_all(b"SSH-2.0-stalled\r\n");
        }
        stalled.push(stream);
    }
    exits(&scene, &scene.sh("runner-16", "ssh build true"), 0);
    drop(stalled);
    for wrong in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff",
        b"SSH-1.5-old\r\n",
        &[0; 4096],
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", scene.port)).unwrap();
        let _sent = stream.write_all(wrong);
    }
    exits(&scene, &scene.sh("runner-16", "ssh build true"), 0);
}

#[test]
fn keys_are_exchanged_anew_and_a_silent_command_is_kept() {
    let scene = Scene::shared();
    let script = "ssh -o RekeyLimit=1M build 'yes 0123456789abcdef | head -c 20000000' | wc -c; \
                  yes abc | head -c 20000000 | ssh -o RekeyLimit=1M build 'wc -c'; \
                  ssh -o ServerAliveInterval=1 -o ServerAliveCountMax=2 build 'sleep 5; echo there'";
    let done = scene.sh("runner-17", script);
    assert_eq!(done.out(), "20000000\n20000000\nthere\n", "{}", scene.gateway.explain(&done));
}

#[test]
fn the_gateway_logs_in_by_a_certificate_and_pins_a_file_of_known_hosts() {
    let sshd = Sshd::start("AuthorizedKeysFile none").unwrap();
    let certificate = sshd.certificate(&user()).unwrap();
    let known = sshd.dir().join("known_hosts");
    let line = format!("other ssh-ed25519 AAAA\n[localhost]:{} {}\n", sshd.port, sshd.host_key().unwrap());
    std::fs::write(&known, line).unwrap();
    let pin = format!("known_hosts = \"{}\"", known.display());
    let scene = Scene::of(sshd, &pin, &format!("certificate = \"{}\"", certificate.display()), |_| {});
    let done = scene.sh("runner-18", "ssh build 'echo by a certificate'");
    assert_eq!(done.out(), "by a certificate\n", "{}", scene.gateway.explain(&done));
    assert!(
        scene.sshd.log().contains("Accepted publickey") && scene.sshd.log().contains("CA"),
        "{}",
        scene.sshd.log()
    );
    let checked = scene.gateway.site().check().unwrap();
    assert!(
        checked.out().contains(&format!("let {} in, and proved ssh-ed25519", user())),
        "{}",
        checked.all()
    );
}

#[test]
fn in_a_jail_the_host_is_found_by_its_names_and_nothing_else_is() {
    let scene = Scene::shared();
    let script = format!(
        "ssh build 'echo one'; ssh localhost 'echo two'; \
         ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -p {} localhost 'echo three' 2>/dev/null || echo nothing",
        scene.sshd.port
    );
    let mut run = scene.gateway.site().tacho();
    run.args(["run", "--jail", "--agent", "runner-19", "--", "/bin/sh", "-c", &script]);
    let done = finish(&mut run, b"", Duration::from_secs(60)).unwrap();
    assert_eq!(done.out(), "one\ntwo\nnothing\n", "{}", scene.gateway.explain(&done));
}

#[test]
fn git_and_the_old_scp_go_over_it() {
    let scene = Scene::shared();
    let dir = scene.sshd.dir().join("bare");
    let far = dir.display();
    let script = format!(
        "set -e; cd $HOME; ssh build 'git init -q --bare {far}'; git init -q w; cd w; git config user.email a@b.example; \
         git config user.name x; head -c 300000 /dev/urandom > f; git add f; git commit -qm f; \
         git push -q build:{far} HEAD:refs/heads/main; cd ..; git clone -q -b main build:{far} x; cmp w/f x/f; \
         seq 100000 > n; scp -O -q n build:{far}.n; scp -O -q build:{far}.n back; cmp n back; echo done"
    );
    let done = scene.sh("runner-20", &script);
    assert_eq!(done.out(), "done\n", "{}", scene.gateway.explain(&done));
}
