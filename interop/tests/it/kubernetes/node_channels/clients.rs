//! Clients of others that reach into a pod, as their manuals say: Python's package `kubernetes`, and kube-rs.

use super::ports::ports;
use super::*;
use interop::programs::foreign;

const RULES: &str = r#"
@id("clients-no-rm")
@message("This agent deletes nothing.")
forbid (principal, action == Action::"execute", resource in Resource::"prod/default/pods/box/exec/program/rm");
@id("clients-keep")
@message("This one stays.")
forbid (principal, action, resource in Resource::"prod/rust/configmaps/m-4")
when { context.kind == "DELETE" };
"#;

/// A gateway before the node's cluster, with a pod that says three things.
fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| {
        let rules = format!(
            r#"{RULES}
@id("clients-port")
@message("Not this port.")
forbid (principal, action == Action::"connect", resource == Resource::"prod/default/pods/box/portforward/{}");
"#,
            ports()[1]
        );
        let scene = Scene::start("", |plan| plan.policy.push_str(&rules));
        let script = "echo first; p=536-22; echo $p-8391; sleep 1; echo last";
        node::run(&Pod::new("told", &["sh", "-c", script]));
        scene
    })
}

fn run(agent: &str, program: &Path, words: &[&str]) -> Finished {
    let words: Vec<&Path> = [program].into_iter().chain(words.iter().map(Path::new)).collect();
    finish(&mut scene().gateway.run(agent, &words), b"", CLIENT_SECONDS_MAX).unwrap()
}

#[test]
fn the_package_kubernetes_runs_commands_follows_logs_and_reaches_ports() {
    let [echo, other] = ports().map(|port| port.to_string());
    let script = client("kubernetes_client.py");
    let words = [script.to_str().unwrap(), "pod", &echo, &other];
    let done = run("clients-python", &drivers().python(), &words);
    exits(scene(), &done, 0);
    assert_eq!(done.out(), "executed\nfollowed\nforwarded\nkubernetes: done\n");
    let execs = scene().actions("clients-python", Kind::Exec);
    let tags: Vec<&Value> = execs.iter().map(|action| &action["result"]["tag"]).collect();
    assert_eq!(tags[..4], ["exit 0", "exit 0", "exit 7", "exit 0"], "{execs:?}");
    let refused = &execs[5];
    assert!(execs.len() == 6 && refused["rules"][0] == "clients-no-rm", "{refused}");
    let through = scene().actions("clients-python", Kind::Port);
    let tags: Vec<&str> = through.iter().filter_map(|port| port["result"]["tag"].as_str()).collect();
    assert!(tags.len() == 1 && tags[0].ends_with(": 10 bytes there, 10 back"), "{through:?}");
    assert!(through.iter().any(|port| port["rules"][0] == "clients-port"), "{through:?}");
    let exposed = scene().ask("exposed", "clients-python", &["--json"]);
    assert!(exposed.contains("pii.ssn") && !exposed.contains(SSN), "{exposed}");
    let replayed = scene().ask("replay", "clients-python", &["--json"]);
    assert!(replayed.contains("got a line") && !replayed.contains(SSN), "{replayed}");
}

/// A crate of its own, which nobody else needs, and some minutes in building: where all is wanted.
#[test]
fn kube_rs_lists_watches_applies_runs_commands_and_reaches_ports() {
    if !all() {
        return;
    }
    let built = foreign("kube", "kube-client-of-the-tests").unwrap();
    let program = drivers().dir().join("kube-client");
    std::fs::copy(built, &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    for object in [
        r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"rust"}}"#.to_owned(),
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"given","namespace":"rust"}},"data":{{"number":"{SSN}"}}}}"#),
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"rust"},"stringData":{"password":"Canary-of-a-client-4410"}}"#.to_owned(),
    ] {
        let made = node::fed(&["create", "-f", "-"], object.as_bytes());
        assert!(made.status.success(), "{}", made.all());
    }
    let [echo, _] = ports();
    let done = run("clients-rust", &program, &["rust", &echo.to_string()]);
    exits(scene(), &done, 0);
    assert_eq!(done.out(), "objects\nwatched\nsecrets\nexecuted\nforwarded\nkube: done\n");
    let replayed = scene().ask("replay", "clients-rust", &["--json"]);
    assert!(replayed.contains("got a line") && !replayed.contains(SSN), "{replayed}");
}
