//! Files of a host over SFTP: OpenSSH's `sftp` and `scp`, and paramiko, unchanged; each file decided, masked, and in the record.

use crate::ssh::Scene;
use crate::world::{client, drivers, eventually, json, run_of};
use interop::place::Scratch;
use interop::process::{Finished, finish};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

pub(crate) const SSN: &str = "536-22-8391";
pub(crate) const EMAIL: &str = "ada.osei@example.com";

/// Agents: `sftp-reader` may only read; `sftp-keyless` and `sftp-nameless` get nothing in which something is found; `sftp-asker` asks to write.
const RULES: &str = r#"
@id("sftp-administers")
permit (principal, action == Action::"administer", resource in Resource::"build");
@id("sftp-no-hidden")
@message("Nobody reads that.")
forbid (principal in Agent::"sftp-reader", action == Action::"read", resource in Resource::"build")
when { resource.name == "hidden.txt" };
@id("sftp-no-writes")
@message("This agent writes nothing.")
forbid (principal in Agent::"sftp-reader", action in [Action::"write", Action::"administer"], resource in Resource::"build");
@id("sftp-no-keys")
@message("Private keys stay on their host.")
forbid (principal in Agent::"sftp-keyless", action == Action::"release", resource in Resource::"build")
when { context.tripwires > 0 };
@id("sftp-no-names")
@message("No names of people.")
forbid (principal in Agent::"sftp-nameless", action == Action::"release", resource in Resource::"build")
when { context.tripwires > 0 };
@id("sftp-asks")
@needs("leads")
forbid (principal in Agent::"sftp-asker", action == Action::"write", resource in Resource::"build")
unless { context.approvals.contains("leads") };
"#;

pub(crate) fn start() -> Scene {
    Scene::start(|plan| plan.policy += RULES)
}

pub(crate) fn shared() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(start)
}

pub(crate) fn sh(scene: &Scene, agent: &str, script: &str) -> Finished {
    scene.gateway.run_to_end(agent, &["/bin/sh", "-c", script].map(Path::new), "").unwrap()
}

#[track_caller]
pub(crate) fn passes(scene: &Scene, done: &Finished) {
    assert_eq!(done.status.code(), Some(0), "{}", scene.gateway.explain(done));
}

pub(crate) fn show(scene: &Scene, agent: &str) -> Value {
    let shown = json(scene.gateway.site(), &["show", &run_of(scene.gateway.site(), agent), "--json"]);
    assert_eq!(shown["unread"], serde_json::json!([]), "every record of it is understood whole");
    shown
}

pub(crate) fn replayed(scene: &Scene, agent: &str) -> String {
    json(scene.gateway.site(), &["replay", &run_of(scene.gateway.site(), agent), "--json"]).to_string()
}

/// A directory of the host's, with a file.
pub(crate) fn place(scene: &Scene, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let dir = scene.sshd.dir().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    dir
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let done = finish(&mut Command::new("sha256sum"), bytes, Duration::from_secs(60)).unwrap();
    done.out().split(' ').next().unwrap().to_owned()
}

/// Lines that no two files share, without a value.
pub(crate) fn text(bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    for n in 0.. {
        if text.len() >= bytes {
            break;
        }
        writeln!(text, "line {n} of a file that is sent, with some words in it").unwrap();
    }
    text.truncate(bytes);
    text.into_bytes()
}

/// As Python starts for an agent.
fn python(scene: &Scene, agent: &str, words: &[&str]) -> Finished {
    let (python, script) = (drivers().python(), client("sftp_client.py"));
    let words = [python.as_path(), script.as_path()].into_iter().chain(words.iter().map(Path::new));
    scene.gateway.run_to_end(agent, &words.collect::<Vec<_>>(), "").unwrap()
}

#[test]
fn openssh_moves_lists_and_changes_files_and_each_request_is_in_the_record() {
    let scene = shared();
    let content = text(300_000);
    let dir = place(scene, "moves", &[("there.txt", &content)]);
    let far = dir.display();
    let batch = format!(
        "cd {far}\nls -l\nget there.txt\nput there.txt again.txt\nmkdir d\nrename again.txt d/moved.txt\n\
         chmod 600 d/moved.txt\nsymlink {far}/there.txt link\nls d\nget link linked.txt\nrm link\nrmdir d2\n"
    );
    let batch =
        batch.replace("rmdir d2\n", "rename d e\nrm e/moved.txt\nrmdir e\nput -p there.txt kept.txt\n");
    let script =
        format!("cd $HOME; printf '%s' '{batch}' > b; sftp -b b build && cat there.txt | cmp - linked.txt");
    let done = sh(scene, "sftp-1", &script);
    passes(scene, &done);
    assert!(done.out().contains("there.txt") && done.out().contains("moved.txt"), "{}", done.all());
    assert_eq!(std::fs::read(dir.join("kept.txt")).unwrap(), content);
    assert!(!dir.join("e").exists() && !dir.join("link").exists());
    let shown = show(scene, "sftp-1").to_string();
    for kind in
        ["OPEN", "OPENDIR", "MKDIR", "POSIX-RENAME", "SETSTAT", "SYMLINK", "REMOVE", "RMDIR", "REALPATH"]
    {
        assert!(shown.contains(&format!("\"statement\":\"{kind} ")), "{kind} in {shown}");
    }
    assert!(shown.contains("mode 0600"), "{shown}");
    let touched = json(scene.gateway.site(), &["touched", &run_of(scene.gateway.site(), "sftp-1"), "--json"]);
    let touched = touched.to_string();
    for part in ["moves/there.txt", "moves/d/moved.txt", "moves/kept.txt", "subsystem/sftp"] {
        assert!(touched.contains(part), "{part} in {touched}");
    }
    let (whole, size) = (sha256(&content), content.len());
    let replayed = replayed(scene, "sftp-1");
    assert!(replayed.contains(&format!("read sha256 {whole} of {size} bytes, the whole file")), "{replayed}");
    assert!(replayed.contains(&format!("wrote sha256 {whole} of {size} bytes, the whole file")));
    assert!(shown.contains(&format!("read {size} bytes, the whole file")), "{shown}");
    assert!(replayed.contains("line 17 of a file that is sent"), "a copy of a text can be replayed");
}

#[test]
fn a_file_has_one_name_by_sftp_and_by_commands() {
    let scene = shared();
    let dir = place(scene, "names", &[("a.txt", b"one\n")]);
    let script =
        format!("cd $HOME; ssh build cat {0}/a.txt; scp -q build:{0}/a.txt . && cat a.txt", dir.display());
    let done = sh(scene, "sftp-2", &script);
    passes(scene, &done);
    assert_eq!(done.out(), "one\none\n");
    let shown = show(scene, "sftp-2");
    let name = format!("file{}/a.txt", dir.display());
    let on = |kind: &str| {
        let actions = shown["actions"].as_array().unwrap().iter();
        let mut of = actions.filter(|action| action["statement"].as_str().unwrap().starts_with(kind));
        of.any(|action| action["touches"].to_string().contains(&name))
    };
    assert!(on("cat ") && on("OPEN "), "{name} in {shown}");
}

#[test]
fn what_policy_does_not_allow_is_refused_in_the_protocols_own_way_and_the_rest_goes_on() {
    let scene = shared();
    let dir = place(scene, "refused", &[("hidden.txt", b"x\n"), ("open.txt", b"open\n")]);
    let script = format!(
        "cd $HOME; printf '%s\\n' '-get {0}/hidden.txt' '-put open {0}/made' '-rm {0}/open.txt' '-chmod 700 {0}' 'get {0}/open.txt' > b; \
         echo x > open; sftp -b b build; cat open.txt",
        dir.display()
    );
    let done = sh(scene, "sftp-reader", &script);
    passes(scene, &done);
    assert!(done.out().ends_with("open\n"), "{}", done.all());
    assert!(dir.join("open.txt").exists() && !dir.join("made").exists());
    let said = done.err();
    assert!(
        said.to_lowercase().contains("permission denied") || said.contains("Nobody reads that."),
        "{said}"
    );
    let shown = show(scene, "sftp-reader").to_string();
    for part in ["sftp-no-hidden", "sftp-no-writes", "Nobody reads that."] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn a_value_in_a_file_is_masked_in_its_length_however_it_is_read() {
    let scene = shared();
    let mut content = text(70_000);
    // One alone, one encoded, one across OpenSSH's own pieces of 32 KiB.
    content.splice(100..100, format!(" {EMAIL}\n NTM2LTIyLTgzOTEgYW5kIG1vcmU=\n").bytes());
    content.splice(32_768 - 6..32_768 - 6 + 13, format!(" {SSN} ").bytes());
    let at = content.windows(SSN.len()).position(|some| some == SSN.as_bytes()).unwrap();
    let dir = place(scene, "masks", &[("values.txt", &content)]);
    let script = format!("cd $HOME; scp -q build:{0}/values.txt v && wc -c < v && cat v", dir.display());
    let done = sh(scene, "sftp-3", &script);
    passes(scene, &done);
    let out = done.out();
    assert!(out.starts_with(&format!("{}\n", content.len())), "{}", &out[..40]);
    for secret in [SSN, EMAIL, "NTM2LTIy", &SSN[..7], "2-8391"] {
        assert!(!out.contains(secret), "{secret} came");
    }
    assert!(out.contains("[pii.email]"));
    // Pieces of three bytes from behind, which a client puts together; and at random.
    let (file, at) = (format!("{}/values.txt", dir.display()), at.to_string());
    for how in ["backwards", "halves"] {
        let done = python(scene, "sftp-3p", &[how, &file, &at]);
        passes(scene, &done);
        assert!(!done.out().contains(SSN) && !done.out().contains(&SSN[..6]), "{how}: {}", done.all());
        assert!(done.out().contains("file that is sent") || how == "halves", "{}", done.all());
    }
    let site = scene.gateway.site();
    let exposed = json(site, &["exposed", &run_of(site, "sftp-3"), "--json"]).to_string();
    assert!(exposed.contains("pii.ssn") && exposed.contains("pii.email"), "{exposed}");
    assert!(exposed.contains("masks/values.txt"), "{exposed}");
    let replayed = replayed(scene, "sftp-3");
    assert!(!replayed.contains(SSN) && !replayed.contains(EMAIL));
}

#[test]
fn a_private_key_does_not_leave_where_a_rule_says_so() {
    let scene = shared();
    let login = std::fs::read(scene.sshd.key()).unwrap();
    let dir = place(scene, "keys", &[("id", &login), ("plain.txt", b"plain\n")]);
    let script = format!(
        "cd $HOME; scp -q build:{0}/id stolen; echo $?; cat stolen; scp -q build:{0}/plain.txt p && cat p",
        dir.display()
    );
    let done = sh(scene, "sftp-keyless", &script);
    assert!(done.out().starts_with("1\n") && done.out().ends_with("plain\n"), "{}", done.all());
    assert!(!done.out().contains("PRIVATE KEY"), "{}", done.all());
    let shown = show(scene, "sftp-keyless").to_string();
    assert!(shown.contains("Private keys stay") && shown.contains("of which 0 left"), "{shown}");
    // Elsewhere it is masked.
    let done = sh(scene, "sftp-4", &format!("cd $HOME; scp -q build:{}/id s && cat s", dir.display()));
    passes(scene, &done);
    assert!(!done.out().contains("PRIVATE KEY") && done.out().contains("***"), "{}", done.out());
}

#[test]
fn names_in_listings_are_masked_too() {
    let scene = shared();
    let named = format!("about {EMAIL}");
    let dir = place(scene, "listed", &[(&named, b"x"), ("other", b"x")]);
    let script = format!("cd $HOME; echo 'ls -l {0}' > b; sftp -b b build", dir.display());
    let done = sh(scene, "sftp-5", &script);
    passes(scene, &done);
    assert!(
        !done.out().contains(EMAIL) && done.out().contains("[pii.email]") && done.out().contains("other")
    );
    assert!(!replayed(scene, "sftp-5").contains(EMAIL));
    let done = sh(scene, "sftp-nameless", &script);
    assert!(!done.out().contains("other"), "{}", done.all());
    let shown = show(scene, "sftp-nameless").to_string();
    assert!(shown.contains("No names of people."), "{shown}");
}

#[test]
fn much_goes_both_ways_and_arrives_as_it_is() {
    let scene = shared();
    let content = text(20_000_000);
    let dir = place(scene, "much", &[("big", &content)]);
    let script = format!(
        "cd $HOME; scp -q build:{0}/big big && scp -q big build:{0}/back && \
         sftp -q -R 256 build:{0}/back again >/dev/null && cmp big again && sha256sum < big",
        dir.display()
    );
    let done = sh(scene, "sftp-6", &script);
    passes(scene, &done);
    let sum = done.out().split(' ').next().unwrap().to_owned();
    assert_eq!(sum, sha256(&content));
    assert_eq!(std::fs::read(dir.join("back")).unwrap(), content);
    let replayed = replayed(scene, "sftp-6");
    for did in ["read", "wrote"] {
        let line = format!("{did} sha256 {sum} of 20000000 bytes, the whole file");
        assert!(replayed.contains(&line), "{line}");
    }
}

#[test]
fn paramiko_does_all_of_it() {
    let scene = shared();
    let dir = place(scene, "paramiko", &[]);
    let done = python(scene, "sftp-7", &["all", &dir.display().to_string()]);
    passes(scene, &done);
    assert_eq!(done.out().trim(), "done", "{}", done.all());
    let shown = show(scene, "sftp-7").to_string();
    assert!(!shown.contains("indeterminate"), "{shown}");
    // 3 MB, read ahead and written, by a client that says nothing of a file's end.
    assert!(shown.contains("read 3000000 bytes, the whole file"), "{shown}");
    assert!(shown.contains("wrote 3000000 bytes, the whole file"), "{shown}");
}

#[test]
fn a_write_waits_for_a_person() {
    let scene = shared();
    let site = scene.gateway.site();
    let lead = json(site, &["operator", "add", "lena", "--role", "approver", "--group", "leads", "--json"]);
    let lead = lead["token"].as_str().unwrap();
    let as_lead = |words: &[&str]| {
        let mut tacho = site.tacho();
        finish(tacho.args(words).env("TACHO_OPERATOR_TOKEN", lead), b"", Duration::from_secs(30)).unwrap()
    };
    let dir = place(scene, "asked", &[]);
    let (approve, deny) = (&["approve"][..], &["deny", "--reason", "no"][..]);
    for (verb, how, there) in
        [(approve, "-q", true), (deny, "-q", false), (approve, "-Oq", true), (deny, "-Oq", false)]
    {
        let file = format!("{}/{}{how}", dir.display(), verb[0]);
        let script = format!("cd $HOME; echo asked > f; scp {how} f build:{file}; echo $?");
        let agent = thread::spawn(move || sh(shared(), "sftp-asker", &script));
        let ask = eventually("a question", || {
            let inbox: Value = serde_json::from_str(&as_lead(&["approvals", "--json"]).out()).ok()?;
            let all = inbox["approvals"].as_array()?.clone();
            let asked = all.into_iter().find(|asked| asked.to_string().contains(&file))?;
            asked["ask"].as_str().map(str::to_owned)
        });
        let answered = as_lead(&[&verb[..1], &[ask.as_str()], &verb[1..]].concat());
        assert!(answered.status.success(), "{}", answered.all());
        let done = agent.join().unwrap();
        assert_eq!(done.out().trim() == "0", there, "{}", scene.gateway.explain(&done));
        assert_eq!(Path::new(&file).exists(), there);
    }
}

#[test]
fn a_client_that_goes_away_leaves_one_outcome_for_each_intent() {
    let scene = start();
    let dir = place(&scene, "gone", &[("big", &text(4_000_000))]);
    let done = python(&scene, "sftp-8", &["goes", &format!("{}/big", dir.display())]);
    assert!(done.out().contains("gone"), "{}", done.all());
    eventually("the end of it", || {
        let shown = show(&scene, "sftp-8");
        let all = shown["actions"].as_array()?.clone();
        let open = all.iter().find(|action| action["statement"].as_str().unwrap().starts_with("OPEN "))?;
        (open["effect"] == "indeterminate").then_some(())
    });
    let records = crate::scan::records(&scene.gateway.stop().ledger());
    let count = |kind: &str| records.iter().filter(|record| record.has(kind)).count();
    assert_eq!(count("intent"), records.iter().filter(|r| r.has("outcome") && r.has("result")).count());
}

#[test]
fn a_revoked_run_and_a_host_that_dies_leave_the_end_unknown() {
    let scene = start();
    let dir = place(&scene, "slow", &[("big", &text(4_000_000))]);
    let script = format!("cd $HOME; sftp -q -l 100 build:{}/big x; sleep 60", dir.display());
    let words = ["/bin/sh", "-c", &script].map(Path::new);
    let mut run = scene.gateway.run("sftp-9", &words);
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let runs = || json(scene.gateway.site(), &["runs", "--json"]).to_string();
    eventually("a run", || runs().contains("\"sftp-9\"").then_some(()));
    eventually("an open file", || show(&scene, "sftp-9").to_string().contains("\"OPEN ").then_some(()));
    child.kill().unwrap();
    let _gone = child.wait();
    let unknown = |agent: &str| {
        let shown = show(&scene, agent);
        let open = shown["actions"]
            .as_array()?
            .iter()
            .find(|a| a["statement"].as_str().unwrap().starts_with("OPEN "))?
            .clone();
        (open["effect"] == "indeterminate").then_some(())
    };
    eventually("the end of it", || unknown("sftp-9"));
    // On the host, whoever has the file open is killed.
    let script = format!(
        "cd $HOME; sftp -q -l 100 build:{0}/big x & s=$!; sleep 2; \
         ssh build 'for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null | grep -q {0}/big && kill -9 ${{p#/proc/}}; done'; \
         wait $s; echo ended $?",
        dir.display()
    );
    let done = sh(&scene, "sftp-12", &script);
    assert!(done.out().contains("ended ") && !done.out().contains("ended 0"), "{}", done.all());
    eventually("the end of it", || unknown("sftp-12"));
}

#[test]
fn what_is_no_sftp_ends_the_channel_with_its_reason() {
    let scene = shared();
    let done = python(scene, "sftp-10", &["malformed", "/"]);
    passes(scene, &done);
    assert_eq!(done.out().trim(), "ended and went on", "{}", done.all());
    let shown = show(scene, "sftp-10").to_string();
    assert!(shown.contains("a packet of SFTP above 256 KiB"), "{shown}");
    assert!(shown.contains("a request that this gateway does not know"), "{shown}");
}

#[test]
fn no_secret_of_a_file_is_in_what_is_kept() {
    let scene = start();
    let canary = "4539578763621486";
    let scratch = Scratch::new("canary").unwrap();
    let near = scratch.path().join("near");
    std::fs::write(&near, format!("card {canary}\n")).unwrap();
    let dir = place(&scene, "canaries", &[("far", format!("mail {EMAIL}, ssn {SSN}\n").as_bytes())]);
    let script = format!(
        "cd $HOME; printf 'card {canary}\\n' > near; scp -q near build:{0}/near-{canary} && scp -q build:{0}/far . && \
         echo 'ls {0}' > b && sftp -b b build && scp -q build:{0}/near-{canary} back",
        dir.display()
    );
    let done = sh(&scene, "sftp-11", &script);
    passes(&scene, &done);
    let replayed = replayed(&scene, "sftp-11");
    let site = scene.gateway.stop();
    for secret in [canary, SSN, EMAIL] {
        let found = Command::new("grep").args(["-rla", secret]).arg(site.data()).output().unwrap();
        assert!(found.stdout.is_empty(), "{secret} in {}", String::from_utf8_lossy(&found.stdout));
        assert!(!replayed.contains(secret), "{secret} in {replayed}");
    }
}
