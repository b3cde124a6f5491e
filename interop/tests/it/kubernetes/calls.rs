//! Calls of an unchanged kubectl, which give what they give without a gateway.

use super::scene::{Scene, cluster};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::finish;
use std::process::Command;
use std::sync::OnceLock;

fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| Scene::before(cluster(), "", "", |_plan| {}))
}

#[test]
fn a_cluster_is_read_through_the_gateway() {
    let scene = scene();
    let through = scene.out("kube-reader", "kubectl get namespace default -o yaml");
    assert_eq!(through, scene.direct_out(&["get", "namespace", "default", "-o", "yaml"]));
    assert!(!scene.audited("kube-reader").is_empty());
    assert!(scene.show("kube-reader").to_string().contains("namespaces"));
}

#[test]
fn a_credential_is_good_for_its_own_run_and_refusals_are_in_the_clusters_form() {
    let scene = scene();
    scene.make(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"for-curl"},"data":{"a":"b"}}"#);
    let (_lease, token) = scene.lease("kube-curl");
    let ask = |token: &str| {
        let url = format!("https://127.0.0.1:{}/api/v1/namespaces/default/configmaps/for-curl", scene.port);
        let mut curl = Command::new("curl");
        curl.args(["-sSk", "-w", " %{http_code}", "-H", &format!("Authorization: Bearer {token}"), &url]);
        finish(&mut curl, b"", CLIENT_SECONDS_MAX).unwrap().out()
    };
    assert!(ask(&token).contains(r#""data":{"a":"b"}"#), "{}", ask(&token));
    let refused = ask("tacho-run-of-nobody");
    assert!(refused.starts_with(r#"{"kind":"Status""#) && refused.ends_with(" 401"), "{refused}");
}
