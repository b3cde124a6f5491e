//! Clients of others that reach into a pod, as their manuals say: Python's package `kubernetes`.

use super::ports::ports;
use super::*;

const RULES: &str = r#"
@id("clients-no-rm")
@message("This agent deletes nothing.")
forbid (principal, action == Action::"execute", resource in Resource::"prod/default/pods/box/exec/program/rm");
"#;

/// A gateway before the node's cluster, with a pod that says three things.
fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| {
        let scene = Scene::start("", |plan| plan.policy.push_str(RULES));
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
fn the_package_kubernetes_runs_commands_and_follows_logs() {
    let [echo, _] = ports();
    let script = client("kubernetes_client.py");
    let words = [script.to_str().unwrap(), "pod", &echo.to_string()];
    if std::env::var_os("KC_BESIDE").is_some() {
        let mut direct = std::process::Command::new(drivers().python());
        direct.args(words).env("KUBECONFIG", cluster().kubeconfig());
        let done = finish(&mut direct, b"", CLIENT_SECONDS_MAX);
        panic!("{done:?}");
    }
    let done = run("clients-python", &drivers().python(), &words);
    exits(scene(), &done, 0);
    assert_eq!(done.out(), "executed\nfollowed\nforwarded: refused\nkubernetes: done\n");
    let execs = scene().actions("clients-python", Kind::Exec);
    let tags: Vec<&Value> = execs.iter().map(|action| &action["result"]["tag"]).collect();
    assert_eq!(tags[..4], ["exit 0", "exit 0", "exit 7", "exit 0"], "{execs:?}");
    let refused = &execs[4];
    assert!(execs.len() == 5 && refused["rules"][0] == "clients-no-rm", "{refused}");
    let exposed = scene().ask("exposed", "clients-python", &["--json"]);
    assert!(exposed.contains("pii.ssn") && !exposed.contains(SSN), "{exposed}");
    let replayed = scene().ask("replay", "clients-python", &["--json"]);
    assert!(replayed.contains("got a line") && !replayed.contains(SSN), "{replayed}");
}
