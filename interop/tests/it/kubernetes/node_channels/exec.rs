//! Commands: their status, their streams, what of them is masked, what policy says of them.

use super::*;
use crate::people::{operator, waiting, with_token};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn an_unchanged_kubectl_has_the_status_the_streams_and_the_input_of_a_command() {
    let scene = Scene::shared();
    let script = "kubectl exec box -- true; echo $?; kubectl exec box -- sh -c 'exit 3' 2>/dev/null; echo $?; \
                  kubectl exec box -- sh -c 'kill -9 $$' 2>/dev/null; echo $?; \
                  kubectl exec box -- sh -c 'echo out; echo err >&2; exit 7'; echo $?";
    let done = scene.sh("pod-1", script);
    exits(scene, &done, 0);
    assert_eq!(done.out(), "0\n3\n137\nout\n7\n", "{}", scene.gateway.explain(&done));
    assert!(done.err().starts_with("err\n"), "{}", done.err());
    let tags: Vec<Value> =
        scene.actions("pod-1", Kind::Exec).iter().map(|action| action["result"]["tag"].clone()).collect();
    assert_eq!(tags, ["exit 0", "exit 3", "exit 137", "exit 7"]);
    // Every byte there is, more than a buffer holds, and back.
    let bytes = node::bytes();
    let done = scene.fed("pod-2", "kubectl exec -i box -- cat", &bytes);
    exits(scene, &done, 0);
    assert!(done.stdout == bytes, "{} of {}", done.stdout.len(), bytes.len());
    let done = scene.fed("pod-2", "kubectl exec -i box -- wc -c", &bytes);
    assert_eq!(done.out().trim(), bytes.len().to_string(), "{}", scene.gateway.explain(&done));
}

#[test]
fn a_command_that_does_not_start_says_so_as_it_does_without_a_gateway() {
    let scene = Scene::shared();
    let done = scene.sh("pod-3", "kubectl exec box -- no-such-program");
    let direct = node::fed(&["exec", "box", "--", "no-such-program"], b"");
    assert_eq!(done.status.code(), direct.status.code(), "{}", scene.gateway.explain(&done));
    // Before that stands a number of containerd's own.
    let end = |text: String| text.split_once("OCI runtime").map(|(_, end)| end.to_owned());
    assert!(done.err().contains("no-such-program"), "{}", done.err());
    assert_eq!(end(done.err()), end(direct.err()));
    let exec = scene.only("pod-3", Kind::Exec);
    assert_eq!(
        (&exec["result"]["result"], &exec["effect"]),
        (&"error".into(), &"indeterminate".into()),
        "{exec}"
    );
}

#[test]
fn much_comes_whole_and_its_values_are_masked_over_pieces_and_streams() {
    let scene = Scene::shared();
    let begun = Instant::now();
    let script = "kubectl exec box -- sh -c 'yes abcdefghi | head -c 20000000' | sha256sum | cut -c1-64; \
                  yes abcdefghi | head -c 20000000 | sha256sum | cut -c1-64";
    let done = scene.sh("pod-4", script);
    exits(scene, &done, 0);
    let sums = done.out();
    let (ours, right) = sums.trim().split_once('\n').unwrap();
    assert_eq!(ours, right, "{}", scene.gateway.explain(&done));
    println!("20 MB of an exec's output, searched and recorded: {:?}", begun.elapsed());

    let script = format!(
        "kubectl exec box -- sh -c 'p=536-22; echo $p-8391'; \
         kubectl exec box -- sh -c \"printf '{}'; printf '{}\\n'\"; \
         kubectl exec box -- sh -c 'a=ada.osei; echo $a@example.com >&2' 2>&1; \
         kubectl exec box -- sh -c 'a=ada.osei; printf %s $a@example.com | base64'; \
         kubectl exec box -- sh -c 'a=536-22; printf $a-; sleep 1; echo 8391'",
        &SSN[..7],
        &SSN[7..]
    );
    let done = scene.sh("pod-5", &script);
    exits(scene, &done, 0);
    // Of a value that stops in its middle, the rest is replaced; where the node is slow, it comes whole.
    let whole = "[pii.ssn]\n[pii.ssn]\n[pii.email]\n[pii.email]\n[pii.ssn]\n";
    assert_eq!(done.out().replace("536-22-[pii", "[pii"), whole, "{}", scene.gateway.explain(&done));
    let exposed = scene.ask("exposed", "pod-5", &["--json"]);
    assert!(exposed.contains("pii.ssn") && exposed.contains("pii.email"), "{exposed}");
    let replayed = scene.ask("replay", "pod-5", &["--json"]);
    for secret in [SSN, EMAIL] {
        assert!(!replayed.contains(secret) && !exposed.contains(secret), "{replayed}");
    }
    // Nor where it stands in no line of one stream: the other's stand between.
    let script = "kubectl exec box -- sh -c 'a=536-22; printf $a-; printf x >&2; sleep 0.2; printf 8391; sleep 0.2; printf y >&2' 2>/dev/null";
    let done = scene.sh("pod-5", script);
    assert_eq!(done.out().replace("536-22-[pii", "[pii"), "[pii.ssn]", "{}", scene.gateway.explain(&done));
}

#[test]
fn who_reads_nothing_stops_nobody_else() {
    let scene = Scene::shared();
    let bytes = vec![b'x'; 8_000_000];
    // The program reads nothing, and speaks while the client sends. Such a kubectl never ends, without a gateway neither.
    let speaks = "kubectl exec -i box -- sh -c 'for i in 1 2 3; do echo spoke $i; sleep 0.3; done; exit 4'";
    let script = format!(
        "{speaks} <&3 >$HOME/said & n=0; until grep -q 'spoke 3' $HOME/said || [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done; \
         kill $!; cat $HOME/said"
    );
    let done = scene.fed("pod-6", &format!("exec 3<&0; {script}"), &bytes);
    assert_eq!(done.out(), "spoke 1\nspoke 2\nspoke 3\n", "{}", scene.gateway.explain(&done));
    let done = scene.fed("pod-6", speaks, &bytes[..30_000]);
    exits(scene, &done, 4);
    // The client reads nothing for a while, and then has all of it; another is served meanwhile.
    let slow = thread::spawn(|| Scene::shared().wire("pod-7", &["unread"]));
    thread::sleep(Duration::from_millis(800));
    let begun = Instant::now();
    let done = scene.sh("pod-8", "kubectl exec box -- echo here");
    assert_eq!(done.out(), "here\n", "{}", scene.gateway.explain(&done));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let done = slow.join().unwrap();
    assert_eq!(done.out(), "read 8000000 Success\n", "{}", scene.gateway.explain(&done));
}

#[test]
fn many_commands_at_once_have_each_its_own_status() {
    let scene = Scene::shared();
    let begun = Instant::now();
    let count: usize = if all() { 1000 } else { 100 };
    let (python, script, count_word) = (drivers().python(), client("kubernetes_wire.py"), count.to_string());
    let words = [python.as_path(), &script, Path::new("many"), Path::new(&count_word), Path::new("20")];
    // A container's runtime takes a tenth of a second for each, whoever asks.
    let done = finish(&mut scene.gateway.run("pod-9", &words), b"", 4 * CLIENT_SECONDS_MAX).unwrap();
    exits(scene, &done, 0);
    assert_eq!(done.out(), format!("{count} right\n"), "{}", scene.gateway.explain(&done));
    println!("{count} execs, 20 at a time: {:?}", begun.elapsed());
    // Each of them is in the record, with its outcome.
    let ended = scene.actions("pod-9", Kind::Exec);
    let final_ = ended.iter().filter(|action| action["result"]["tag"].is_string()).count();
    assert_eq!((ended.len(), final_), (count, count));
}

#[test]
fn a_command_is_decided_by_what_it_does_and_what_it_touches() {
    let scene = Scene::shared();
    for (words, allowed) in [
        ("cat /etc/hostname", true),
        ("sh -c 'cat /etc/hostname | grep -c . >/dev/null'", true),
        ("cat /etc/shadow", false),
        ("cat /etc/../etc/shadow", false),
        ("sh -c 'true && cat /etc/shadow'", false),
        ("rm -f /tmp/x", false),
        ("/bin/rm -f /tmp/x", false),
        ("sh -c 'r\"\"m -f /tmp/x'", false),
        ("sh -c '$(echo rm) x'", false),
        ("sh -c 'cat /etc/sha*'", false),
        ("busybox rm -f /tmp/x", false),
        ("awk 'BEGIN { system(\"id\") }'", false),
        ("sh -c 'echo aWQ= | base64 -d | sh'", false),
    ] {
        let done = scene.sh("pod-reader", &format!("kubectl exec box -- {words}"));
        match allowed {
            true => exits(scene, &done, 0),
            false => {
                assert!(!done.status.success() && done.out().is_empty(), "{words}: {}", done.all());
                assert!(done.err().contains("(Forbidden)"), "{words}: {}", done.err());
            }
        }
    }
    let done = scene.sh("pod-reader", "kubectl exec box -- sh -c 'cat /etc/hostname > ~/copy'");
    exits(scene, &done, 0);
    let touched = scene.ask("touched", "pod-reader", &["--json"]);
    for part in ["program/cat", "file/etc/hostname", "file/~/copy"] {
        assert!(touched.contains(&format!("prod/default/pods/box/exec/{part}")), "{part} in {touched}");
    }
    let done = scene.sh("pod-plain", "kubectl exec box -- sh -c 'eval touch /tmp/not-made'");
    assert!(done.err().contains("runs only what can be known"), "{}", done.err());
    assert!(scene.show("pod-plain").to_string().contains("\"pod-plain\""));
    let listed = scene.sh("pod-10", "kubectl exec box -- ls /tmp");
    assert!(!listed.out().contains("not-made"), "{}", listed.all());
}

#[test]
fn an_answer_may_be_held_back_by_its_size() {
    let scene = Scene::shared();
    let done = scene.sh("pod-narrow", "kubectl exec box -- sh -c 'yes abc | head -c 3000000'");
    assert!(!done.status.success() && done.stdout.len() <= 100_000, "{} bytes", done.stdout.len());
    assert!(done.err().contains("More than this agent may have"), "{}", done.err());
    let exec = scene.only("pod-narrow", Kind::Exec);
    assert_eq!(
        (&exec["result"]["result"], &exec["effect"]),
        (&"refused".into(), &"indeterminate".into()),
        "{exec}"
    );
}

#[test]
fn files_are_copied_both_ways_and_a_value_in_one_refuses_the_copy() {
    let scene = Scene::shared();
    let there = drivers().file("copied", "").unwrap();
    std::fs::write(&there, node::bytes()).unwrap();
    let script = format!(
        "kubectl cp {} box:/tmp/copied && kubectl exec box -- sha256sum /tmp/copied | cut -c1-64 && \
         kubectl cp box:/tmp/copied \"$HOME/back\" >/dev/null && sha256sum \"$HOME/back\" | cut -c1-64; \
         sha256sum {0} | cut -c1-64",
        there.display()
    );
    let done = scene.sh("pod-11", &script);
    let sums: Vec<String> = done.out().lines().map(str::to_owned).collect();
    assert!(sums.len() == 3 && sums[0] == sums[1] && sums[1] == sums[2], "{}", scene.gateway.explain(&done));

    let script = "kubectl exec box -- sh -c 'p=536-22; echo my number is $p-8391 >/tmp/valued'; \
                  kubectl cp box:/tmp/valued \"$HOME/valued\"; cat \"$HOME/valued\"; echo ended";
    let done = scene.sh("pod-12", script);
    assert!(done.out().ends_with("ended\n") && !done.out().contains("536-22"), "{}", done.all());
    assert!(done.err().contains("a detector found a value in an archive"), "{}", done.err());
    let shown = scene.show("pod-12").to_string();
    assert!(shown.contains("\"refused\"") && shown.contains("pii.ssn"), "{shown}");
}

#[test]
fn a_command_waits_for_a_person() {
    let scene = Scene::shared();
    let token = operator(&scene.gateway, "lena", "approver", "leads");
    let deny: &[&str] = &["deny", "--reason", "not now"];
    for (verb, status, out) in [(&["approve"][..], 0, "told by a lead\n"), (deny, 1, "")] {
        // To a server of this age it would ask by WebSocket first, and again by SPDY: two questions.
        let script = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false kubectl exec box -- echo told by a lead";
        let agent = thread::spawn(move || Scene::shared().sh("pod-asker", script));
        let ask = waiting(&scene.gateway, &token, "told by a lead");
        let answered =
            with_token(&scene.gateway, &token, &[&verb[..1], &[ask.as_str()], &verb[1..]].concat());
        assert!(answered.status.success(), "{}", answered.all());
        let done = agent.join().unwrap();
        exits(scene, &done, status);
        assert_eq!(done.out(), out);
        if status != 0 {
            assert!(done.err().contains("not now"), "{}", done.err());
            assert!(scene.show("pod-asker").to_string().contains("\"pod-asks\""));
        }
    }
}
