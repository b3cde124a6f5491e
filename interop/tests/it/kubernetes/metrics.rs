//! An aggregated API: what is asked of the API server there, another server answers. `kubectl top` is its client.

use super::scene::Scene;
use crate::world::{client, drivers, eventually};
use interop::kubernetes::{Kubernetes, programs};
use interop::place::free_port;
use interop::process::Daemon;
use std::process::Command;
use std::sync::OnceLock;

const RULES: &str = r#"
@id("metrics-none")
@message("What pods use is not for this agent.")
forbid (principal in Agent::"metrics-none", action == Action::"read", resource in Resource::"prod/measured/pods.metrics.k8s.io");
"#;

/// A cluster of its own, since what is aggregated all clients are told, with a service that measures one node and two pods.
fn measured() -> (Scene, Daemon) {
    static CLUSTER: OnceLock<Kubernetes> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Kubernetes::start(&programs().unwrap()).unwrap());
    let scene = Scene::before(cluster, RULES, "", |_plan| {});
    let port = free_port().unwrap();
    let mut python = Command::new(drivers().python());
    python.arg(client("metrics_service.py")).arg(port.to_string());
    python.args(["server.crt", "server.key"].map(|name| cluster.authority().with_file_name(name)));
    let log = cluster.authority().with_file_name("metrics.log");
    let service = Daemon::start(&mut python, &log, "TERM").unwrap();
    // A service outside of the cluster is called by its name, which is this machine's.
    for object in [
        r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"measured"}}"#.to_owned(),
        r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"capacity":{"cpu":"2","memory":"4Gi"},"allocatable":{"cpu":"2","memory":"4Gi"}}}"#.to_owned(),
        format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"metrics","namespace":"measured"}},
"spec":{{"type":"ExternalName","externalName":"localhost","ports":[{{"port":{port}}}]}}}}"#
        ),
        format!(
            r#"{{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{{"name":"v1beta1.metrics.k8s.io"}},
"spec":{{"group":"metrics.k8s.io","version":"v1beta1","groupPriorityMinimum":100,"versionPriority":100,
"insecureSkipTLSVerify":true,"service":{{"name":"metrics","namespace":"measured","port":{port}}}}}}}"#
        ),
    ] {
        scene.make(&object);
    }
    eventually("an aggregated API", || {
        let done = scene.direct(&["get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"]);
        done.status.success().then_some(())
    });
    (scene, service)
}

#[test]
fn what_nodes_and_pods_use_is_told_through_the_gateway_as_beside_it() {
    let (scene, _service) = measured();
    let script = "kubectl top nodes; kubectl top node n1; kubectl top pods -n measured; kubectl top pods -n measured --sum --containers";
    let (beside, through) = (scene.beside(script).out(), scene.sh("metrics-top", script));
    assert_eq!(through.out(), beside, "{}", scene.gateway.explain(&through));
    let rows: Vec<Vec<&str>> = beside.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in ["n1 500m 25% 1024Mi 25%", "one 250m 64Mi", "two 1000m 2048Mi", "two a 1000m 2048Mi"] {
        assert!(rows.contains(&row.split(' ').collect()), "{row} in {beside}");
    }
    let touched = scene.told("touched", "metrics-top").to_string();
    for on in ["prod/measured/pods.metrics.k8s.io", "prod/_/nodes.metrics.k8s.io"] {
        assert!(touched.contains(on), "{on} in {touched}");
    }
    scene.show("metrics-top");

    let done = scene.sh("metrics-none", "kubectl top nodes --no-headers; kubectl top pods -n measured");
    assert!(done.out().starts_with("n1 ") && !done.out().contains("250m"), "{}", done.all());
    assert!(done.err().contains("What pods use is not for this agent."), "{}", done.all());
}
