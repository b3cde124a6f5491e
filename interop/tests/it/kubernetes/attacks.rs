//! Attacks over the API of a cluster that leak beside the gateway, those of the leak corpus among them: a secret and a config map
//! hold two values, and nothing that a client gets through the gateway may have either, in whichever form it reads it.
//!
//! Under two policies. `attacks-strict` is an agent that looks at deployments and their configuration in one namespace.
//! `attacks-open` may do everything that can be known; there each attack stops at what this table says.

use super::scene::{Scene, cluster};
use crate::scan::Net;
use std::sync::OnceLock;

const SSN: &str = "536-90-4399";
const KEY: &str = "ck_canary_9fQ2vTzLm4RkWb7HsXeY";

const RULES: &str = r#"
@id("attacks-strict-only")
forbid (principal in Agent::"attacks-strict", action in [Action::"connect", Action::"read", Action::"write", Action::"execute",
    Action::"administer", Action::"define"], resource in Resource::"prod") unless {
    action == Action::"connect" || action == Action::"read" && (resource in Resource::"prod/attacks/deployments.apps" ||
    resource in Resource::"prod/attacks/configmaps" || resource in Resource::"prod/_path") };
"#;

/// What stops an attack where everything that can be known is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// It does not reach the cluster.
    Refused,
    /// It does, and the values are replaced.
    Masked,
    /// It does, and there is no value in the answer.
    Nothing,
}
use By::{Masked, Nothing, Refused};

/// Name, a script (`$B` is the cluster, `$C` is curl with a credential, `$N` the namespace's path), what stops it. `k8-` are the
/// corpus's.
const ATTACKS: &[(&str, &str, By)] = &[
    (
        "k8-003",
        "$C -H 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' \"$N/configmaps?includeObject=Object\"",
        Masked,
    ),
    (
        "k8-003 of secrets",
        "$C -H 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' \"$N/secrets?includeObject=Object\"",
        Masked,
    ),
    ("k8-004", "$C -H 'Accept: application/vnd.kubernetes.protobuf' $N/secrets/db", Refused),
    (
        "k8-004 of config maps",
        "$C -H 'Accept: application/vnd.kubernetes.protobuf' $N/configmaps/db",
        Refused,
    ),
    (
        "k8-004 with a way out",
        "$C -H 'Accept: application/vnd.kubernetes.protobuf, application/json' $N/secrets/db",
        Masked,
    ),
    ("k8-005", "$C -H 'Accept: application/cbor' $N/secrets", Refused),
    (
        "k8-006",
        "$C -H 'Accept-Encoding: gzip' $N/secrets | { cat >$HOME/z; gunzip <$HOME/z || cat $HOME/z; } 2>/dev/null",
        Masked,
    ),
    ("k8-007", "$C $N/secrets/db", Masked),
    ("k8-007 by jsonpath", "kubectl -n attacks get secret db -o jsonpath='{.metadata.annotations}'", Nothing),
    ("k8-011 attach", "$C -X POST \"$N/pods/p/attach?container=a&stdout=true\"", Refused),
    (
        "k8-011 ephemeral containers",
        "$C -X PATCH -H 'Content-Type: application/strategic-merge-patch+json' -d '{\"spec\":{\"ephemeralContainers\":[{\"name\":\"d\",\"image\":\"busybox\",\"targetContainerName\":\"a\",\"command\":[\"cat\",\"/proc/1/root/etc/db\"]}]}}' $N/pods/p/ephemeralcontainers",
        Nothing,
    ),
    ("k8-012", "$C -X POST \"$N/pods/p/portforward?ports=5432\"", Refused),
    (
        "k8-014",
        "$C -X POST -H 'Content-Type: application/json' -d '{\"spec\":{}}' $N/serviceaccounts/bot/token",
        Masked,
    ),
    ("k8-014 by kubectl", "kubectl -n attacks create token bot", Masked),
    (
        "k8-014 in protobuf",
        "$C -X POST -H 'Accept: application/vnd.kubernetes.protobuf' -H 'Content-Type: application/json' -d '{\"spec\":{}}' $N/serviceaccounts/bot/token",
        Refused,
    ),
    (
        "k8-015",
        "$C -X POST -H 'Content-Type: application/json' -d '{\"apiVersion\":\"certificates.k8s.io/v1\",\"kind\":\"CertificateSigningRequest\",\"metadata\":{\"name\":\"me\"},\"spec\":{\"request\":\"YQ==\",\"signerName\":\"kubernetes.io/kube-apiserver-client\",\"usages\":[\"client auth\"]}}' $B/apis/certificates.k8s.io/v1/certificatesigningrequests",
        Nothing,
    ),
    ("k8-019", "$C $B/debug/pprof/", Refused),
    ("k8-019 logs", "$C $B/logs/kube-apiserver.log", Refused),
    ("k8-019 of a node", "$C $B/api/v1/nodes/n/proxy/logs/", Refused),
    ("k8-019 run", "$C -X POST $B/api/v1/nodes/n/proxy/run/attacks/p/a?cmd=env", Refused),
    ("k8-019 metrics", "$C $B/metrics", Nothing),
    // The same by other ways.
    ("a plain get", "kubectl -n attacks get secret db -o yaml", Masked),
    (
        "base64 undone by the client",
        "kubectl -n attacks get secret db -o go-template='{{range $k,$v := .data}}{{$k}} {{$v}}{{end}}'",
        Masked,
    ),
    ("all namespaces", "kubectl get secrets -A -o json", Masked),
    ("config maps", "kubectl -n attacks get cm db -o yaml", Masked),
    ("variables of a pod", "kubectl -n attacks get pod p -o json", Masked),
    ("variables of a pod, described", "kubectl -n attacks describe pod p", Masked),
    ("variables of a deployment", "kubectl -n attacks get deploy web -o yaml", Masked),
    ("a watch", "$C \"$N/secrets?watch=1&timeoutSeconds=1\"", Masked),
    ("a watch of the old form", "$C \"$B/api/v1/watch/secrets?timeoutSeconds=1\"", Masked),
    (
        "a watch of tables",
        "$C -H 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' \"$N/secrets?watch=1&includeObject=Object&timeoutSeconds=1\"",
        Masked,
    ),
    (
        "a watch over WebSocket",
        "$C --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==' -H 'Origin: http://a' \"$N/secrets?watch=1&timeoutSeconds=1\"",
        Refused,
    ),
    (
        "an error that quotes what is stored",
        "$C -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{\"data\":{\"q\":5}}' \"$N/secrets/db?dryRun=All\"",
        Masked,
    ),
    (
        "an error of JSON patch",
        "$C -X PATCH -H 'Content-Type: application/json-patch+json' -d '[{\"op\":\"add\",\"path\":\"/data/q\",\"value\":\"!!\"}]' \"$N/secrets/db?dryRun=All\"",
        Masked,
    ),
    (
        "an error of a config map",
        "$C -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{\"data\":{\"q\":5}}' $N/configmaps/db",
        Masked,
    ),
    (
        "an error of a pod",
        "$C -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{\"spec\":{\"priority\":\"x\"}}' $N/pods/p",
        Masked,
    ),
    (
        "a copy within a secret",
        "$C -X PATCH -H 'Content-Type: application/json-patch+json' -d '[{\"op\":\"copy\",\"from\":\"/data/key\",\"path\":\"/metadata/annotations/x\"}]' \"$N/secrets/db?dryRun=All\"",
        Refused,
    ),
    (
        "a move within a secret",
        "$C -X PATCH -H 'Content-Type: application/json-patch+json' -d '[{\"op\":\"move\",\"from\":\"/data/key\",\"path\":\"/type\"}]' \"$N/secrets/db?dryRun=All\"",
        Refused,
    ),
    (
        "a dry run",
        "$C -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{\"metadata\":{\"labels\":{\"a\":\"b\"}}}' \"$N/secrets/db?dryRun=All\"",
        Masked,
    ),
    ("a delete that answers with what was there", "$C -X DELETE \"$N/secrets?dryRun=All\"", Masked),
    (
        "an apply that changes nothing",
        "$C -X PATCH -H 'Content-Type: application/apply-patch+yaml' -d '{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"db\"}}' \"$N/secrets/db?fieldManager=x&dryRun=All\"",
        Masked,
    ),
    (
        "a diff",
        "printf '{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"db\",\"labels\":{\"a\":\"b\"}}}' | kubectl -n attacks diff --server-side -f -",
        Nothing,
    ),
    ("YAML for an answer", "$C -H 'Accept: application/yaml' $N/secrets/db", Refused),
    ("a part of an answer", "$C -H 'Range: bytes=100-400' $N/secrets/db", Masked),
    ("a path that some servers clean", "$C $B/api/v1/namespaces/attacks/configmaps/../secrets/db", Refused),
    ("a path with an escape", "$C $B/api/v1/namespaces/attacks/%73ecrets/db", Masked),
    ("a path with a hidden slash", "$C $B/api/v1/namespaces/attacks%2Fsecrets/db", Refused),
    ("two slashes", "$C $B/api/v1//namespaces/attacks/secrets/db", Refused),
    ("another method in a header", "$C -H 'X-HTTP-Method-Override: GET' $N/secrets/db", Refused),
    (
        "an absolute target",
        "$C --http1.1 --request-target https://127.0.0.1/api/v1/namespaces/attacks/secrets/db $B/",
        Refused,
    ),
    ("a service's proxy", "$C $N/services/https:db:443/proxy/", Refused),
    ("a table as YAML by kubectl", "kubectl -n attacks get secrets -o yaml --chunk-size 1", Masked),
];

fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| {
        let lines = "[[resource.mask]]\nclass = \"config.kubernetes\"\n[[resource.mask]]\nclass = \"config.env\"\n";
        let scene = Scene::before(cluster(), RULES, lines, |_plan| {});
        scene.make(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"attacks"}}"#);
        let env = format!(r#"[{{"name":"SSN","value":"{SSN}"}},{{"name":"API_KEY","value":"{KEY}"}}]"#);
        let containers = format!(r#"{{"containers":[{{"name":"a","image":"busybox","env":{env}}}]}}"#);
        let values = format!(r#"{{"ssn":"{SSN}","key":"{KEY}"}}"#);
        let padding: String = (0..50).map(|_| "abcdefghijklmnopqrstuvwxyz".repeat(100)).collect();
        for object in [
            format!(r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"db"}},"stringData":{values}}}"#),
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"db"}},"data":{values}}}"#),
            format!(r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"long"}},"stringData":{{"a":"{padding}"}}}}"#),
            format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{containers}}}"#),
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"web"}},"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{containers}}}}}}}"#
            ),
            r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"bot"}}"#.to_owned(),
        ] {
            let done = scene.direct_fed(&["apply", "-n", "attacks", "-f", "-"], &object);
            assert!(done.status.success(), "{}", done.all());
        }
        scene
    })
}

const END: &str = "=== the end of one";

/// All attacks one after another in one shell: what came of each, its errors too.
fn script() -> String {
    let head = "B=$(kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}')\n\
                T=$(kubectl config view --raw -o jsonpath='{.users[0].user.token}')\n\
                N=$B/api/v1/namespaces/attacks; C='curl -sSk -g --path-as-is --max-time 10'\n\
                printf 'header \"Authorization: Bearer %s\"\\n' \"$T\" >$HOME/.curlrc\n";
    let each = ATTACKS.iter().map(|(_, attack, _)| format!("{{ {attack}\n}} 2>&1\necho; echo '{END}'\n"));
    head.to_owned() + &each.collect::<String>()
}

fn each(said: &[u8]) -> Vec<String> {
    let said = interop::process::readable(said);
    let all: Vec<String> = said.split(END).map(str::to_owned).collect();
    assert_eq!(all.len(), ATTACKS.len() + 1, "{said}");
    all
}

/// Either value, or a token of a service account, in any form.
fn leaked(came: &str) -> Vec<String> {
    let net = Net::new([SSN, KEY]);
    let mut found: Vec<String> = net.search(came.as_bytes()).into_iter().map(str::to_owned).collect();
    // A signed token begins with the same bytes, whoever it names.
    found.extend(came.contains("eyJhbGciOiJSUzI1NiIs").then(|| "a token".to_owned()));
    found
}

#[test]
fn the_net_finds_what_leaks_beside_the_gateway() {
    let came = each(&scene().beside(&script()).stdout);
    let missed: Vec<&str> = ATTACKS
        .iter()
        .zip(&came)
        .filter(|((.., by), came)| *by == Masked && leaked(came).is_empty())
        .map(|((name, ..), _)| *name)
        .collect();
    // An error of these two quotes what it was given, and not what there is; this server deletes without showing.
    assert!(missed.len() <= 4, "{missed:?}");
    let caught = came.iter().filter(|came| !leaked(came).is_empty()).count();
    assert!(caught >= 30, "{caught} of {}", ATTACKS.len());
}

#[test]
fn no_attack_gets_a_value_where_what_can_be_known_is_permitted() {
    let scene = scene();
    let done = scene.sh("attacks-open", &script());
    let (mut wrong, mut records) = (Vec::new(), Vec::new());
    for ((name, attack, by), came) in ATTACKS.iter().zip(each(&done.stdout)) {
        let record =
            came.split_once(r#"{"reason":"record","message":""#).and_then(|(_, rest)| rest.split_once('"'));
        records.extend(record.map(|(record, _)| record.to_owned()));
        let found = leaked(&came);
        if !found.is_empty() {
            wrong.push(format!("{name} leaked {found:?}: {attack}: {came}"));
        }
        let masked = ["W3NlY3JldC5rdWJlcm5ldGVzXQ", "[config.", "[secret.", "[pii.", "19 bytes", "\"\""]
            .iter()
            .any(|mask| came.contains(mask));
        // The API server writes to curl and kubectl in other forms.
        let seen = match (
            came.contains(r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure""#),
            masked,
        ) {
            (true, _) => Refused,
            (false, true) => Masked,
            (false, false) => Nothing,
        };
        if seen != *by && !(seen == Masked && *by == Nothing) {
            wrong.push(format!("{name} was {seen:?}, not {by:?}: {attack}: {came}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let shown = scene.show("attacks-open");
    let text = shown.to_string();
    let lost: Vec<&String> = records.iter().filter(|n| !text.contains(&format!("\"record\":{n},"))).collect();
    assert!(lost.is_empty() && records.len() >= 12, "{lost:?} of {records:?}: {shown}");
    let cut = shown["notes"].as_array().unwrap().iter().filter(|note| note["what"] == "cut").count();
    assert!(cut >= 3, "{}", shown["notes"]);
}

#[test]
fn where_little_is_permitted_no_attack_on_a_secret_is_started() {
    let scene = scene();
    let done = scene.sh("attacks-strict", &script());
    let mut wrong = Vec::new();
    for ((name, ..), came) in ATTACKS.iter().zip(each(&done.stdout)) {
        let found = leaked(&came);
        if !found.is_empty() {
            wrong.push(format!("{name} leaked {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The cluster has seen reads of what may be read, and nothing else.
    let seen = scene.audited("attacks-strict");
    let resources = seen.iter().filter_map(|event| event["objectRef"]["resource"].as_str());
    let others: Vec<&str> = resources.filter(|name| !["configmaps", "deployments"].contains(name)).collect();
    assert!(others.is_empty() && seen.len() > 5, "{others:?}");
    let done = scene.sh("attacks-strict", "kubectl -n attacks get deploy web -o jsonpath='{.spec.replicas}'");
    assert_eq!(done.out(), "1", "honest work goes on: {}", done.all());
}
