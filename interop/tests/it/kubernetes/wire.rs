//! What is no request of a cluster's API, over HTTP/1.1 and HTTP/2, and answers that go on: watches.

use super::scene::{Scene, cluster};
use crate::scan::records;
use crate::world::{client, drivers, eventually};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::Scratch;
use interop::process::{Daemon, finish};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn what_is_no_request_is_refused_as_a_cluster_refuses_and_does_not_reach_it() {
    let scene = Scene::before(cluster(), "", "", |_plan| {});
    let (_lease, token) = scene.lease("wire-bad");
    let mut python = Command::new(drivers().python());
    python.arg(client("kube_wire.py")).args([scene.port.to_string(), token.clone()]);
    let done = finish(&mut python, b"", CLIENT_SECONDS_MAX).unwrap();
    assert!(done.status.success(), "{}", scene.gateway.explain(&done));
    let said: Vec<Value> = done.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut wrong, mut recorded) = (Vec::new(), 0);
    for one in &said {
        let (status, body) = (one["status"].as_u64().unwrap(), one["body"].as_str().unwrap());
        // A connection may be closed where nobody can be told, and a head that is too long has no answer's body; nobody is told twice.
        let is_status = body.starts_with(r#"{"kind":"Status""#) || status == 431 && body.is_empty();
        let refused = status == 0 || (400..600).contains(&status) && is_status;
        if !refused || one["name"].as_str().unwrap().ends_with("(two answers)") {
            wrong.push(one.to_string());
        }
        recorded += usize::from(body.contains(r#""reason":"record""#));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), said.len(), wrong.join("\n"));
    for version in [1, 2] {
        let told = said.iter().filter(|one| one["version"] == version && one["status"] != 0).count();
        assert!(told >= 185, "{told} over HTTP/{version}");
    }
    // Each has its record: as a request that was refused, or as what is none and ended its session. A head of which nobody can tell
    // whose it is belongs to no run.
    let shown = scene.show("wire-bad");
    assert_eq!(shown["more_actions"], 0);
    let refused =
        shown["actions"].as_array().unwrap().iter().filter(|a| a["refusals"] != serde_json::json!([]));
    assert_eq!(refused.count(), recorded);
    let cut = shown["notes"].as_array().unwrap().iter().filter(|note| note["what"] == "cut").count();
    assert!(recorded >= 300 && recorded + cut + 25 >= said.len(), "{recorded} and {cut} of {}", said.len());
    assert_eq!(scene.audited("wire-bad"), Vec::<Value>::new());
    // It lives, and serves: who says in two fields what it would have has said it once.
    let both = ["-H", "Accept: application/yaml", "-H", "Accept: application/json"];
    assert_eq!(scene.curl(&token, &both, "/version").0, 200);
    assert_eq!(scene.audited("wire-bad").len(), 1);
}

const WATCHER: &str = r#"
import json, ssl, sys, time, http.client
port, token, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
link = http.client.HTTPSConnection("127.0.0.1", port, context=ssl._create_unverified_context())
link.request("GET", path, headers={"Authorization": "Bearer " + token})
answer = link.getresponse()
print("status", answer.status, flush=True)
try:
    for line in answer:
        event = json.loads(line)
        print(event["type"], event["object"]["metadata"]["name"], time.time_ns(), flush=True)
    print("end", flush=True)
except Exception as why:
    print("cut", type(why).__name__, flush=True)
"#;

fn watcher(scratch: &Scratch, name: &str, port: u16, token: &str, path: &str) -> Daemon {
    let program = scratch.path().join("watcher.py");
    std::fs::write(&program, WATCHER).unwrap();
    let mut python = Command::new(drivers().python());
    python.arg(program).args([port.to_string().as_str(), token, path]);
    Daemon::start(&mut python, &scratch.path().join(name), "TERM").unwrap()
}

/// When each event of config maps whose names begin so came, by its name.
fn seen(log: &str, prefix: &str) -> Vec<(String, u128)> {
    let words = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter(|words| words.len() == 3 && words[0] == "ADDED" && words[1].starts_with(prefix))
        .map(|words| (words[1].to_owned(), words[2].parse().unwrap()))
        .collect()
}

#[test]
fn a_watch_begins_at_once_each_event_has_its_record_before_it_leaves_and_a_run_that_ends_cuts_it() {
    let scene = Scene::before(cluster(), "", "", |_plan| {});
    let scratch = Scratch::new("watch").unwrap();
    scene.make(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"watched"}}"#);
    let (lease, token) = scene.lease("wire-watch");
    let path = "/api/v1/namespaces/watched/configmaps?watch=1";
    let begun = Instant::now();
    let through = watcher(&scratch, "through", scene.port, &token, path);
    let beside = watcher(&scratch, "beside", scene.cluster.port, "token-of-admin", path);
    // Nothing happens, and both know that they watch.
    for watcher in [&through, &beside] {
        eventually("the head of a watch without events", || {
            watcher.log().contains("status 200").then_some(())
        });
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    let count = || records(&scene.gateway.site().ledger()).len();
    let mut before = count();
    for n in 0..20 {
        let name = format!("event-{n:02}");
        scene.make(&format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"watched"}},"data":{{"mail":"ada.osei@example.com"}}}}"#
        ));
        eventually("the event", || (seen(&through.log(), "event-").len() == n + 1).then_some(()));
        // Nobody else asks this gateway: one more record, and it is there.
        let now = count();
        assert!(now > before, "{name} has come, and no record");
        before = now;
    }
    eventually("all beside it", || (seen(&beside.log(), "event-").len() == 20).then_some(()));
    let (one, two) = (seen(&through.log(), "event-"), seen(&beside.log(), "event-"));
    let mut added: Vec<i128> = one.iter().zip(&two).map(|(a, b)| a.1 as i128 - b.1 as i128).collect();
    added.sort_unstable();
    eprintln!("added to an event, in us: p50 {}, most {}", added[10] / 1000, added[19] / 1000);

    drop(lease);
    eventually("the end of the watch", || {
        let log = through.log();
        (log.contains("cut") || log.contains("end")).then_some(())
    });
    // What happens then, nobody behind the gateway is told.
    scene.make(
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"event-late","namespace":"watched"}}"#,
    );
    eventually("it, beside", || beside.log().contains("event-late").then_some(()));
    assert!(!through.log().contains("event-late"));
    assert!(scene.show("wire-watch").to_string().contains("configmaps?watch=1"));
}

#[test]
fn a_watch_that_the_cluster_ends_ends_well_and_kubectl_sees_each_change() {
    let scene = Scene::before(cluster(), "", "", |_plan| {});
    let (_lease, token) = scene.lease("wire-ends");
    let begun = Instant::now();
    let path = "/api/v1/namespaces/none/configmaps?watch=1&timeoutSeconds=1";
    for version in ["--http1.1", "--http2"] {
        assert_eq!(scene.curl(&token, &[version], path), (200, String::new()));
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let script = "kubectl create namespace seen; k='kubectl -n seen'; $k get cm -w -o name >$HOME/w & \
                  sleep 1; $k create cm one --from-literal a=b; $k label cm one x=y; $k delete cm one; \
                  for i in $(seq 100); do [ $(wc -l <$HOME/w) = 3 ] && break; sleep 0.1; done; kill %1; cat $HOME/w";
    let out = scene.sh("wire-kubectl", script).out();
    assert!(out.matches("configmap/one\n").count() >= 3, "{out}");
    // A wait in vain ends when it said that it would, while nothing happens.
    let begun = Instant::now();
    scene.make(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"still"}}"#);
    let done = scene.sh("wire-wait", "kubectl wait --for=delete configmap/still --timeout 2s");
    assert!(!done.status.success() && begun.elapsed() < Duration::from_secs(20), "{}", done.all());
}
