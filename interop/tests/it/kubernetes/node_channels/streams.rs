//! What goes on while somebody listens: an attach, logs.

use super::*;
use interop::place::Scratch;

/// Starts a pod that says something, and waits until it has.
#[track_caller]
fn says(pod: &Pod, name: &str, line: &str) {
    node::run(pod);
    eventually("its first line", || {
        node::fed(&["logs", name], b"").out().lines().any(|own| own == line).then_some(())
    });
}

#[test]
fn an_attached_client_speaks_with_the_command_that_runs() {
    let scene = Scene::shared();
    let script = "while read line; do [ \"$line\" = bye ] && exit 0; echo \"got $line\"; done; exit 1";
    node::run(&Pod::new("attached", &["sh", "-c", script]).with_stdin());
    // What is said after the client's input has ended is shown to nobody: each answer is waited for.
    let client = format!(
        "log=$HOME/log; says() {{ echo $1; n=0; until grep -qxF \"$2\" $log || [ $n = 200 ]; do sleep 0.1; n=$((n+1)); done; }}\n\
         touch $log; {{ says one 'got one'; says {SSN} 'got {SSN}'; echo bye; }} | kubectl attach -i attached >$log; \
         echo $?; cat $log"
    );
    let done = scene.sh("attach-1", &client);
    // What the client said itself is no news to it.
    assert_eq!(done.out(), format!("0\ngot one\ngot {SSN}\n"), "{}", scene.gateway.explain(&done));
    let attach = scene.only("attach-1", Kind::Attach);
    assert!(attach["opaque"].is_string() && attach["result"].to_string().contains("ok"), "{attach}");
    let replayed = scene.ask("replay", "attach-1", &["--json"]);
    assert!(replayed.contains("got one") && !replayed.contains(SSN), "{replayed}");
    let record = attach["record"].to_string();
    let cast = scene.ask("replay", "attach-1", &["--at", &record, "--as", "asciicast", "-o", "-"]);
    assert!(cast.contains("got one") && !cast.contains(SSN), "{cast}");
    let done = scene.sh("pod-plain", "kubectl attach box");
    assert!(!done.status.success() && done.err().contains("runs only what can be known"), "{}", done.all());
}

#[test]
fn the_package_kubernetes_attaches() {
    let scene = Scene::shared();
    let script = "while read line; do [ \"$line\" = bye ] && exit 0; [ \"$line\" = tell ] && { p=536-22; echo $p-8391; continue; }; \
                  echo \"got $line\"; done; exit 1";
    node::run(&Pod::new("attached-by-python", &["sh", "-c", script]).with_stdin());
    let client = client("kubernetes_client.py");
    let python = drivers().python();
    let words = [python.as_path(), &client, Path::new("attached"), Path::new("attached-by-python")];
    let done = scene.gateway.run_to_end("attach-2", &words, "").unwrap();
    exits(scene, &done, 0);
    let attach = scene.only("attach-2", Kind::Attach);
    assert!(attach["result"].to_string().contains("ok"), "{attach}");
    let replayed = scene.ask("replay", "attach-2", &["--json"]);
    assert!(replayed.contains("got two") && !replayed.contains(SSN), "{replayed}");
}

#[test]
fn logs_are_masked_and_each_piece_of_one_that_is_followed_is_recorded_before_it_leaves() {
    let scene = Scene::shared();
    let script = format!(
        "echo first; p=536-22; echo ssn $p-8391; until [ -e /tmp/go ]; do sleep 0.1; done; echo mail {EMAIL}; \
         until [ -e /tmp/end ]; do sleep 0.1; done; echo third"
    );
    says(&Pod::new("logs-of", &["sh", "-c", &script]), "logs-of", "first");
    let done = scene.sh("logs-1", "kubectl logs logs-of; kubectl logs logs-of --tail 1");
    assert_eq!(done.out(), "first\nssn [pii.ssn]\nssn [pii.ssn]\n", "{}", scene.gateway.explain(&done));
    // Where it is cut off a value may be: that is opaque, and what has surely begun is covered.
    let done = scene.sh("pod-plain", "kubectl logs logs-of --limit-bytes 20");
    assert!(!done.status.success() && done.err().contains("runs only what can be known"), "{}", done.all());
    let done = scene.sh(
        "logs-3",
        "kubectl logs logs-of --limit-bytes 20; kubectl logs logs-of --tail 1 --limit-bytes 13",
    );
    assert_eq!(done.out(), "first\nssn [pii.ssn]ssn [pii.ssn]", "{}", scene.gateway.explain(&done));
    // While the first is followed its record is there already, and what comes later is not waited for.
    let script = "kubectl logs -f logs-of >$HOME/log & until grep -q ssn $HOME/log; do sleep 0.05; done; cat $HOME/log; echo --; \
                  echo shown >&2; kubectl exec logs-of -- touch /tmp/go; until grep -q mail $HOME/log; do sleep 0.05; done; \
                  cat $HOME/log; echo --; kubectl exec logs-of -- touch /tmp/end; wait; cat $HOME/log";
    let done = scene.sh("logs-2", script);
    exits(scene, &done, 0);
    let first = "first\nssn [pii.ssn]\n";
    let second = format!("{first}mail [pii.email]\n");
    assert_eq!(
        done.out(),
        format!("{first}--\n{second}--\n{second}third\n"),
        "{}",
        scene.gateway.explain(&done)
    );
    let followed = scene.only("logs-2", Kind::Log);
    // Its beginning, the three pieces and its end each have a record of their own.
    assert!(followed["records"].as_array().unwrap().len() >= 5, "{followed}");
    for agent in ["logs-1", "logs-2"] {
        let said =
            [scene.ask("replay", agent, &["--json"]), scene.ask("exposed", agent, &["--json"])].concat();
        assert!(said.contains("pii.ssn") && !said.contains(SSN) && !said.contains(EMAIL), "{said}");
    }
    let touched = scene.ask("touched", "logs-1", &[]);
    assert!(touched.contains("prod/default/pods/logs-of/log"), "{touched}");
}

#[test]
fn what_a_container_said_before_it_was_started_again_is_masked_too() {
    let scene = Scene::shared();
    let place = Scratch::new("previous").unwrap();
    let manifest = place.path().join("pod.json");
    let script = "p=536-22; echo before $p-8391; sleep 1; exit 1";
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "again"},
        "spec": {
            "nodeName": interop::kubernetes::node::NAME, "hostNetwork": true, "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 0, "enableServiceLinks": false,
            "containers": [{"name": "box", "image": interop::kubernetes::image::IMAGE, "imagePullPolicy": "Never",
                            "command": ["sh", "-c", script]}]
        }
    });
    std::fs::write(&manifest, pod.to_string()).unwrap();
    let made = node::fed(&["create", "-f", &manifest.display().to_string()], b"");
    assert!(made.status.success(), "{}", made.all());
    let direct = || node::fed(&["logs", "again", "--previous"], b"");
    eventually("another start", || (direct().out() == format!("before {SSN}\n")).then_some(()));
    // Of one that is being started again there is nothing for a moment.
    eventually("what it said before", || {
        let done = scene.sh("logs-3", "kubectl logs again --previous");
        assert!(!done.all().contains(SSN), "{}", scene.gateway.explain(&done));
        (done.out() == "before [pii.ssn]\n").then_some(())
    });
    let gone = node::fed(&["delete", "pod", "again", "--wait=false"], b"");
    assert!(gone.status.success(), "{}", gone.all());
}
