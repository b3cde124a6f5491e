//! A cluster of Kubernetes, as the tests of what stands before one will find it.
//!
//! `cargo xtask test` runs these where `cargo xtask setup kubernetes` has built the programs.

mod attacks;
mod calls;
mod clients;
mod load;
mod masks;
mod metrics;
mod node;
mod node_channels;
mod scene;
mod wire;

use crate::world::eventually;
use interop::kubernetes::{ADMIN, AGENT, Kubernetes, programs};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use proto_kubernetes::body::{self, Form, Written};
use serde_json::Value;
use std::process::Command;

fn kubectl(cluster: &Kubernetes, who: &str, words: &[&str]) -> Finished {
    finish(&mut cluster.kubectl(who, words), b"", CLIENT_SECONDS_MAX).unwrap()
}

/// The events of a user's answered requests.
fn answered(cluster: &Kubernetes, user: &str) -> Vec<Value> {
    let log = cluster.audit().unwrap();
    // The last line may be in the writing.
    let events = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events = events.map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["user"]["username"] == user && event["stage"] == "ResponseComplete").collect()
}

#[test]
fn a_cluster_answers_by_its_roles_and_its_audit_log_has_each_request_as_it_was_resolved() {
    let cluster = Kubernetes::start(&programs().unwrap()).unwrap();
    let made = kubectl(&cluster, ADMIN, &["create", "configmap", "c1", "--from-literal", "colour=blue"]);
    assert!(made.status.success(), "{}\n{}", made.all(), cluster.log());
    let read = kubectl(&cluster, ADMIN, &["get", "configmap", "c1", "-o", "jsonpath={.data.colour}"]);
    assert_eq!(read.out(), "blue", "{}", read.all());

    // Nobody has granted anything to the agent.
    let refused = kubectl(&cluster, AGENT, &["get", "configmap", "c1"]);
    assert!(!refused.status.success(), "{}", refused.all());
    assert!(refused.err().contains("Forbidden"), "{}", refused.all());

    let of = |user: &'static str, verb: &'static str, code: u64| {
        eventually("the request in the audit log", || {
            answered(&cluster, user).into_iter().find(|event| {
                let at = &event["objectRef"];
                event["verb"] == verb
                    && at["resource"] == "configmaps"
                    && at["namespace"] == "default"
                    && at["name"] == "c1"
                    && event["responseStatus"]["code"] == code
            })
        })
    };
    let created = of(ADMIN, "create", 201);
    assert_eq!(created["requestObject"]["data"]["colour"], "blue", "{created}");
    assert_eq!(of(ADMIN, "get", 200)["responseObject"]["data"]["colour"], "blue");
    let denied = of(AGENT, "get", 403);
    assert_eq!(denied["annotations"]["authorization.k8s.io/decision"], "forbid", "{denied}");
}

/// What the server makes of a body; nothing is stored but what `target` says.
fn asked(cluster: &Kubernetes, method: &str, target: &str, media: &str, body: &[u8]) -> Value {
    let at = cluster.kubeconfig();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--data-binary", "@-", "-X", method, "-H", &format!("Content-Type: {media}")]);
    curl.args(["-H", &format!("Authorization: Bearer token-of-{ADMIN}"), "--cacert"]);
    curl.arg(at.with_file_name("ca.crt")).arg(format!("https://127.0.0.1:{}{target}", cluster.port));
    let done = finish(&mut curl, body, CLIENT_SECONDS_MAX).unwrap();
    serde_json::from_slice(done.out().as_bytes()).unwrap_or_else(|_| panic!("{}", done.all()))
}

/// The server's own reader of YAML is the judge: of what we read, it makes the same out of the YAML as out of our JSON.
#[test]
fn yaml_says_to_the_server_what_its_json_says() {
    let cluster = Kubernetes::start(&programs().unwrap()).unwrap();
    const KIND: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
    let json = body::json(Written::Yaml, KIND.as_bytes()).unwrap();
    let made = asked(
        &cluster,
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "application/json",
        &json,
    );
    assert_eq!(made["metadata"]["name"], "things.example.org", "{made}");
    let waited = kubectl(&cluster, ADMIN, &["wait", "--for=condition=Established", "crd/things.example.org"]);
    assert!(waited.status.success(), "{}", waited.all());

    let words = [
        "a",
        "e2e",
        "1Gi",
        "100m",
        "10.0.0.1",
        "1.2.3",
        "10.0.0.0/8",
        "24h",
        "nginx:1.25",
        ".",
        "--a",
        "nan",
        "inf",
        "0xg",
        "12:30:45Z",
        "2024-1-1x",
        "~a",
        "null",
        "~",
        "",
        "NULL",
        "true",
        "False",
        "0",
        "-12",
        "9223372036854775807",
        "-9223372036854775808",
        "1.0",
        "-0.50",
        "0.0",
        "120.0",
        "123456789012.345",
        "'yes'",
        "\"017\"",
        "'1e3'",
        "'2024-01-01'",
        "\"a\\tb\\n\\u2028\\x85\\u00e4\\\"\"",
        "'a''b'",
        "!!str 5",
        "!!str true",
        "[a, {b: c}]",
        "{a: x:y}",
        "{\"a\": b}",
        "[]",
        "{}",
        "|\n    b\n     c\n\n    d\n",
        ">-\n    e\n    f\n\n    g\n",
        "|+\n    h\n\n",
        "x # y",
        "a\n    b\n\n    c",
        "\"a\n    b\"",
        "ä😀",
        "\n  - a\n  - - b\n    - c",
    ];
    let members: String = words.iter().enumerate().map(|(n, word)| format!("  w{n}: {word}\n")).collect();
    let thing =
        format!("# c\n---\napiVersion: example.org/v1\nkind: Thing\nmetadata: {{name: t}}\nspec:\n{members}");
    let deployment = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, annotations: {a: \"yes\"}}
spec:
  replicas: 2
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      hostNetwork: true
      containers:
      - name: c
        image: nginx:1.25
        args: [sh, -c, 'echo \"a\"']
        resources: {limits: {cpu: 500m, memory: 1Gi}}
        ports: [{containerPort: 80}]
";
    let things = "/apis/example.org/v1/namespaces/default/things";
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let said = |at: &str, name: &str, text: &[u8], media: [&str; 2]| {
        let made = asked(&cluster, "POST", &format!("{at}?dryRun=All"), media[0], text);
        let applied = format!("{at}/{name}?dryRun=All&fieldManager=m&fieldValidation=Strict");
        let applied = asked(&cluster, "PATCH", &applied, media[1], text);
        [made, applied].map(|answer| {
            assert_eq!(answer["metadata"]["name"], name, "{answer}");
            (answer["metadata"]["annotations"].clone(), answer["spec"].clone())
        })
    };
    for (at, name, yaml) in [(things, "t", &*thing), (deployments, "d", deployment)] {
        let json = body::json(Written::Yaml, yaml.as_bytes()).unwrap();
        let media = [Form::Object.media(), Form::Apply.media()];
        let theirs = said(at, name, yaml.as_bytes(), ["application/yaml", media[1]]);
        assert_eq!(said(at, name, &json, media), theirs, "{yaml}");
    }
}
