//! Terminals in a pod: sizes, what is typed, what a screen shows, and replay.

use super::*;

/// A key of a kind that nobody listed.
const KEY: &str = "ck_live_9fQ2vTzLm4RkWb7HsXeY";
const PASSWORD: &str = "tr0ub4dor-quine";

/// A program of Python's that sits at a terminal of its own, in which kubectl runs: `typed` says what it does.
fn sits(agent: &str, typed: &str) -> Finished {
    let program =
        crate::ssh_terminals::at_a_terminal(r#"["kubectl", "exec", "-it", "box", "--", "sh"]"#, typed);
    let program = drivers().file(&format!("{agent}.py"), &program).unwrap();
    Scene::shared().gateway.run_to_end(agent, &[&drivers().python(), &program].map(Path::new), "").unwrap()
}

/// What a shell's script shows at such a terminal, at which nobody types.
fn shows(agent: &str, script: &str) -> Finished {
    let words = format!(r#"["kubectl", "exec", "-it", "box", "--", "sh", "-c", {}]"#, Value::from(script));
    let program = crate::ssh_terminals::at_a_terminal(&words, "print(end()[0])");
    let program = drivers().file(&format!("{agent}.py"), &program).unwrap();
    Scene::shared().gateway.run_to_end(agent, &[&drivers().python(), &program].map(Path::new), "").unwrap()
}

/// The details of an agent's notes of one kind.
fn notes(agent: &str, what: &str) -> Vec<String> {
    let shown = Scene::shared().show(agent);
    let notes = shown["notes"].as_array().unwrap().iter().filter(|note| note["what"] == what);
    notes.map(|note| note["detail"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_terminal_has_sizes_and_its_lines_are_noted_and_replay_shows_both() {
    let scene = Scene::shared();
    let done = sits(
        "sits-1",
        r#"
say("PS1=; echo re''ady\r"); until("ready")
say("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; stty size\r"); until("\n30 100")
size(41, 77); os.kill(pid, signal.SIGWINCH)
say("until [ \"$(stty size)\" = '41 77' ]; do sleep 0.1; done; stty size\r"); until("\n41 77")
say("echo marker-$((40 + 2))\r"); until("marker-42")
say("exit 6\r")
print(end()[1])
"#,
    );
    exits(scene, &done, 0);
    assert_eq!(done.out(), "6\n", "{}", done.all());
    let exec = scene.only("sits-1", Kind::Exec);
    assert_eq!((&exec["result"]["tag"], exec["opaque"].is_string()), (&"exit 6".into(), true), "{exec}");
    assert!(exec["verbs"].to_string().contains("shell"), "{exec}");
    let typed = notes("sits-1", "typed").join("\n");
    assert!(typed.contains("echo marker-$((40 + 2))") && typed.contains("exit 6"), "{typed}");
    assert!(notes("sits-1", "window").contains(&"77x41".to_owned()), "{:?}", notes("sits-1", "window"));
    let record = exec["record"].to_string();
    let text = scene.ask("replay", "sits-1", &["--at", &record, "--text"]);
    assert!(text.contains("marker-42"), "{text}");
    let cast = scene.ask("replay", "sits-1", &["--at", &record, "--as", "asciicast", "-o", "-"]);
    for part in ["marker-42", "77x41", "\"6\""] {
        assert!(cast.contains(part), "{part} in {cast}");
    }
    // It is the only one of the run that can be played: it need not be named.
    assert!(scene.ask("replay", "sits-1", &["--as", "asciicast", "-o", "-"]).contains("marker-42"));
    let played = scene.ask("replay", "sits-1", &[]);
    assert!(played.contains("exit 6"), "{played}");
    let touched = scene.ask("touched", "sits-1", &[]);
    assert!(touched.contains("prod/default/pods/box/exec"), "{touched}");
}

#[test]
fn what_is_not_echoed_is_in_no_record_and_what_was_typed_is_not_held_back() {
    let done = sits(
        "sits-2",
        &format!(
            r#"
say("PS1=; echo re''ady\r"); until("ready")
say("printf 'Pass''word: '; read -s X; echo got ${{#X}}\r"); until("Password: ")
time.sleep(0.5)
for c in "{PASSWORD}":
    say(c); time.sleep(0.02)
say("\r"); until("got {}")
for c in "echo my number is {SSN}":
    say(c); time.sleep(0.05)
say("\r"); until("\nmy number is {SSN}")
say(": {KEY}; echo k""ept\r"); until("kept")
say("exit 0\r")
print(end()[1])
"#,
            PASSWORD.len()
        ),
    );
    let scene = Scene::shared();
    exits(scene, &done, 0);
    let everything =
        [scene.ask("show", "sits-2", &["--json"]), scene.ask("replay", "sits-2", &["--json"])].concat();
    assert!(everything.contains("got 15"), "{everything}");
    let record = scene.only("sits-2", Kind::Exec)["record"].to_string();
    let cast = scene.ask("replay", "sits-2", &["--at", &record, "--as", "asciicast", "-o", "-"]);
    let events = cast.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let joined: String = events.filter_map(|event| event[2].as_str().map(str::to_owned)).collect();
    assert!(joined.contains("my number is [pii.ssn]"), "{joined}");
    for secret in [PASSWORD, SSN, KEY] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
        assert!(!joined.contains(secret), "{secret} in {joined}");
    }
}

#[test]
fn a_value_that_comes_together_on_the_screen_alone_stays_here() {
    let scene = Scene::shared();
    let mut cut = 0;
    for (agent, script) in [
        ("pod-screen-1", "printf '%8s391\\r536-22-8\\n'"),
        ("pod-screen-2", "printf '536-22-    \\033[4D8391\\n'"),
        ("pod-screen-3", "printf '\\033[2J\\033[5;8H8391'; sleep 0.3; printf '\\033[5;1H536-22-'; sleep 1"),
        ("pod-screen-4", "printf '536-x\\b22-8391\\n'"),
        ("pod-screen-5", "printf '536-\\033[1m22-\\033[0;31m8391\\n'"),
    ] {
        let done = shows(agent, script);
        // Either it is masked, or it does not leave.
        assert!(!done.out().contains("8391") || !done.out().contains("536-22-"), "{script}: {}", done.all());
        let shown = scene.show(agent).to_string();
        assert!(shown.contains("pii.ssn"), "{script}: {shown}");
        match shown.contains("\"screen\"") {
            true => {
                cut += 1;
                assert!(
                    done.all().contains("a detector found a value on the screen"),
                    "{script}: {}",
                    done.all()
                );
            }
            false => assert!(done.out().contains("[pii.ssn]"), "{script}: {}", done.all()),
        }
    }
    assert!(cut >= 2, "the screen is searched");
}

#[test]
fn a_command_at_a_terminal_is_a_permission_of_its_own() {
    let scene = Scene::shared();
    let at = "script -qec 'kubectl exec -it box -- id' /dev/null";
    let done = scene.sh("pod-stander", at);
    assert!(!done.status.success() && !done.out().contains("uid="), "{}", done.all());
    assert!(done.out().contains("sits at no terminal"), "{}", done.all());
    assert!(scene.show("pod-stander").to_string().contains("\"pod-stands\""));
    exits(scene, &scene.sh("pod-stander", "kubectl exec box -- id"), 0);
    let done = scene.sh("sits-3", at);
    assert!(done.status.success() && done.out().contains("uid=0"), "{}", done.all());
}
