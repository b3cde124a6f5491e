//! Clients of others in a run, as their manuals use them. What they do in a pod is in [`super::node_channels`].

use super::scene::{Scene, cluster};
use crate::scan::Net;
use crate::world::{client, drivers};
use std::path::Path;

const RULES: &str = r#"
@id("clients-keep")
@message("This one stays.")
forbid (principal in Agent::"clients-python", action, resource in Resource::"prod/python/serviceaccounts/y")
when { context.kind == "DELETE" };
"#;

#[test]
fn the_package_kubernetes_finds_the_cluster_and_does_what_it_does() {
    let lines = "[[resource.mask]]\nclass = \"config.env\"\n";
    let scene = Scene::before(cluster(), RULES, lines, |_plan| {});
    scene.make(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"python"}}"#);
    scene.make(
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"given","namespace":"python"},"data":{"number":"536-22-8391"}}"#,
    );
    let words = [drivers().python(), client("kubernetes_client.py"), "objects".into(), "python".into()];
    let words: Vec<&Path> = words.iter().map(AsRef::as_ref).collect();
    let done = scene.gateway.run_to_end("clients-python", &words, "").unwrap();
    let said = done.out();
    assert!(
        done.status.success() && said.ends_with("kubernetes: done\n"),
        "{}",
        scene.gateway.explain(&done)
    );
    let shown = scene.show("clients-python").to_string();
    let net = Net::new(["Canary-of-a-client-4410", "Value-of-a-variable-2093"]);
    assert_eq!(net.search(shown.as_bytes()), Vec::<&str>::new());
    assert!(shown.contains("clients-keep"), "{shown}");
    // The cluster's own log knows them all by the run's number.
    let audited = scene.audited("clients-python");
    for verb in ["create", "update", "patch", "delete", "deletecollection", "list", "watch"] {
        assert!(audited.iter().any(|event| event["verb"] == verb), "{verb}");
    }
}
