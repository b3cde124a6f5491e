//! Calls of an unchanged kubectl, which give what they give without a gateway: the same words on the same objects, through it
//! and beside it.

use super::scene::{Scene, cluster};
use crate::people;
use crate::world::eventually;
use serde_json::Value;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Agents: `calls-asker` writes only with approval; `calls-careful` does nothing that touches a node, reads no secret, binds no
/// role and deletes nothing; `calls-dry` only writes what is not stored.
const RULES: &str = r#"
@id("calls-ask")
@needs("leads")
forbid (principal in Agent::"calls-asker", action == Action::"write", resource in Resource::"prod")
unless { context.approvals.contains("leads") };
@id("calls-no-host")
@message("Nothing of this agent runs on the node itself.")
forbid (principal in Agent::"calls-careful", action == Action::"administer", resource in Resource::"prod/_host");
@id("calls-no-secrets")
forbid (principal in Agent::"calls-careful", action == Action::"read", resource in Resource::"prod/default/secrets");
@id("calls-no-roles")
forbid (principal in Agent::"calls-careful", action == Action::"administer",
    resource in Resource::"prod/_/clusterroles.rbac.authorization.k8s.io");
@id("calls-no-delete")
@message("This agent deletes nothing.")
forbid (principal, action == Action::"write", resource in Resource::"prod")
when { principal in [Agent::"calls-careful", Agent::"calls-refused"] && context.kind == "DELETE" };
@id("calls-dry-only")
forbid (principal in Agent::"calls-dry", action == Action::"write", resource in Resource::"prod")
unless { context.arguments.contains("dry-run") };
"#;

fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| Scene::before(cluster(), RULES, "", |_plan| {}))
}

fn deployment(namespace: &str) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"web","namespace":"{namespace}","labels":{{"app":"web"}}}},
"spec":{{"replicas":2,"selector":{{"matchLabels":{{"app":"web"}}}},"template":{{"metadata":{{"labels":{{"app":"web"}}}},
"spec":{{"containers":[{{"name":"web","image":"nginx:1.25","env":[{{"name":"MODE","value":"fast"}}]}}]}}}}}}}}"#
    )
}

fn seeded(namespace: &str) {
    let scene = scene();
    let made = |text: String| scene.make(&text);
    made(format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{namespace}"}}}}"#));
    made(deployment(namespace));
    made(format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c","namespace":"{namespace}","labels":{{"a":"b"}},
"annotations":{{"n":"\u00e9 \"quoted\" <&> \u2028"}}}},"data":{{"colour":"blue","lines":"one\n\ttwo\n"}},"binaryData":{{"b":"AAH/"}}}}"#
    ));
    made(format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s","namespace":"{namespace}"}},
"spec":{{"ports":[{{"port":80}}],"selector":{{"app":"web"}}}}}}"#
    ));
    made(format!(
        r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"k","namespace":"{namespace}"}},"data":{{"a":"YQ=="}}}}"#
    ));
}

/// What differs from one moment to the next and how wide a column is for it: ages, and blanks.
fn timeless(text: &str) -> String {
    let age = |word: &str| {
        word.len() <= 6
            && word.starts_with(|c: char| c.is_ascii_digit())
            && word.ends_with(['s', 'm', 'h'])
            && word.bytes().all(|b| b.is_ascii_digit() || b"smh".contains(&b))
    };
    let word = |word: &str| if age(word) { "AGE".to_owned() } else { word.to_owned() };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

const READS: &[&str] = &[
    "get all -n {N}",
    "get cm,svc,deploy,secret -n {N} -o wide",
    "get cm c -n {N} -o yaml",
    "get cm c -n {N} -o json --show-managed-fields",
    "get deploy web -n {N} -o yaml",
    "get deploy web -n {N} -o jsonpath={.spec.replicas}",
    "get deploy web -n {N} -o custom-columns=NAME:.metadata.name,RV:.metadata.resourceVersion",
    "get cm -n {N} -o name -l a=b",
    "get cm -n {N} --field-selector metadata.name=c --show-labels",
    "get cm -n {N} --sort-by=.metadata.name --no-headers",
    "get cm not-there -n {N}",
    "get nothing -n {N}",
    "get secret -n {N}",
    "describe deploy web -n {N}",
    "describe svc s -n {N}",
    "explain deployment.spec.template --api-version apps/v1",
    "api-resources",
    "api-versions",
    "version",
    "auth can-i create pods -n {N}",
    "auth can-i --list -n {N}",
    "auth whoami",
    "events -n {N}",
    "get events -n {N}",
    "top pods -n {N}",
    "top nodes",
    "rollout history deploy web -n {N}",
    "get nodes",
    "get --raw /api/v1/namespaces/{N}/configmaps/c",
    "get --raw /apis/apps/v1/namespaces/{N}/deployments/web/scale",
    "get --raw /version",
    "get --raw /readyz",
    "get --raw /apis/apps/v1",
];

#[test]
fn what_is_read_is_what_is_read_without_a_gateway() {
    let scene = scene();
    seeded("calls");
    let words = READS.iter().map(|words| format!("kubectl {}", words.replace("{N}", "calls")));
    let script: String =
        words.map(|line| format!("echo '=== {line}'; {line} 2>&1; echo \"status $?\"\n")).collect();
    let through = timeless(&scene.sh("calls-reads", &script).out());
    let beside = timeless(&scene.beside(&script).out());
    for (one, two) in through.split("=== ").zip(beside.split("=== ")) {
        assert_eq!(one, two);
    }
    assert_eq!(through.matches("status ").count(), READS.len(), "{through}");
    // To be refused by both would be the same, too.
    assert!(through.matches("status 0").count() + 8 >= READS.len(), "{through}");
}

#[test]
fn bytes_that_nothing_is_masked_in_stay_as_they_were() {
    let scene = scene();
    seeded("bytes");
    let (_lease, token) = scene.lease("calls-bytes");
    let table = "Accept: application/json;as=Table;g=meta.k8s.io;v=v1";
    for (path, accept) in [
        ("/api/v1/namespaces/bytes/configmaps/c", "Accept: */*"),
        ("/api/v1/namespaces/bytes/configmaps/c?pretty=true", "Accept: application/json"),
        ("/api/v1/namespaces/bytes/configmaps", table),
        ("/apis/apps/v1/namespaces/bytes/deployments?limit=500", "Accept: application/json"),
        ("/apis/apps/v1/namespaces/bytes/deployments/web", table),
        ("/api/v1/namespaces/bytes/services/s", "Accept: application/json"),
        ("/apis/apps/v1/namespaces/bytes/deployments/none", "Accept: application/json"),
        ("/openapi/v2", "Accept: application/json"),
        ("/apis", "Accept: application/json"),
    ] {
        for version in ["--http1.1", "--http2"] {
            let words = [version, "-H", accept, "-H", "User-Agent: one"];
            // The version of a list moves with whatever else is written.
            let both = || (scene.direct_curl(&words, path), scene.curl(&token, &words, path));
            let same = (0..20).map(|_| both()).any(|(beside, through)| beside == through);
            assert!(same, "{path} {version}: {:?}", both());
        }
    }
}

/// A life of some objects, in a namespace `NS`.
const WRITES: &str = r#"
exec 2>&1; cd $HOME
deploy() { sed s/NS/$NS/ <<END
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"NS","labels":{"app":"web"}},
"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
"spec":{"containers":[{"name":"web","image":"nginx:IMAGE","env":[{"name":"MODE","value":"fast"}]}]}}}}
END
}
step() { echo "=== $*"; "$@"; echo "status $?"; }
fed() { echo "=== $*"; image=$1; shift; deploy | sed s/IMAGE/$image/ | "$@" | grep -v '^[-+][-+][-+] ' | sed 's/^diff .*/diff/'; }
k="kubectl -n $NS"
step kubectl create namespace $NS
fed 1.25 $k apply -f -
fed 1.25 $k apply -f -
fed 1.25 $k diff -f -
fed 1.26 $k diff -f -
fed 1.26 $k apply -f -
fed 1.26 $k apply --server-side -f -
fed 1.27 $k apply --server-side -f -
fed 1.27 $k apply --server-side --force-conflicts -f -
export EDITOR='sed -i s/nginx:1.27/nginx:1.28/'
step $k edit deployment web
step $k patch deployment web --type json -p '[{"op":"replace","path":"/spec/replicas","value":4}]'
step $k patch deployment web --type merge -p '{"spec":{"paused":true}}'
step $k patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","stdin":true}]}}}}'
step $k patch deployment web -p '{"spec":{"replicas":"many"}}'
step $k scale deployment web --replicas 3
step $k scale deployment web --current-replicas 9 --replicas 3
step $k set image deployment/web web=nginx:1.29
step $k set env deployment/web LEVEL=low
step $k label deployment web tier=front
step $k label deployment web tier=back
step $k annotate deployment web note='a "note" of three'
step $k rollout status deployment web --timeout 1s
step $k wait --for=condition=Available deployment/web --timeout 1s
step $k wait --for=jsonpath='{.spec.replicas}'=3 deployment/web --timeout 5s
step $k create configmap one --from-literal a=b
step $k create configmap one --from-literal a=b
step $k create configmap two --from-literal a=b --dry-run=server -o yaml
step $k get configmap two
$k get configmap one -o yaml | sed 's/a: b/a: c/' >one.yaml; step $k replace -f one.yaml
step $k replace -f one.yaml
step $k create secret generic s --from-literal a=b
step $k create serviceaccount bot
step $k create role r --verb get --resource pods
step $k create rolebinding r --role r --serviceaccount $NS:bot
step $k auth can-i get pods --as system:serviceaccount:$NS:bot
step $k expose deployment web --port 80
step $k run p --image busybox --restart Never
step $k delete pod p --grace-period 0 --force
step $k wait --for=delete pod/p --timeout 5s
step $k delete deployment web --cascade=foreground --wait=false
step $k label configmap one gone=yes
step $k delete configmap -l gone=yes
step $k delete configmap --all
step $k delete secret s
step $k delete secret s
step $k get configmap,secret,service
"#;

#[test]
fn what_is_written_is_answered_and_stored_as_without_a_gateway() {
    let scene = scene();
    let script = |namespace: &str| format!("NS={namespace}; {WRITES}");
    let begun = Instant::now();
    let through = scene.sh("calls-writes", &script("write-x")).out().replace("write-x", "NS");
    let took = begun.elapsed();
    let beside = scene.beside(&script("write-y")).out().replace("write-y", "NS");
    for (one, two) in through.split("=== ").zip(beside.split("=== ")) {
        // As whom it is asked stays here: a client is who the gateway says.
        if !one.starts_with("kubectl -n NS auth can-i") {
            assert_eq!(shown(one), shown(two));
        }
    }
    assert!(through.matches("status 0").count() > 20 && through.ends_with("status 0\n"), "{through}");
    // A wait that gives up after a second does so while nothing happens, too.
    assert!(took < Duration::from_secs(40), "{took:?}");
    let stored = |namespace: &str| {
        let words =
            ["get", "deployment,serviceaccount,role,rolebinding,service", "-n", namespace, "-o", "json"];
        let mut all: Value = serde_json::from_str(&scene.direct_out(&words)).unwrap();
        for item in all["items"].as_array_mut().unwrap() {
            let metadata = item["metadata"].as_object_mut().unwrap();
            for name in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "deletionTimestamp"]
            {
                metadata.remove(name);
            }
            item["spec"].as_object_mut().map(|spec| (spec.remove("clusterIP"), spec.remove("clusterIPs")));
        }
        all.to_string().replace(namespace, "NS")
    };
    assert_eq!(stored("write-x"), stored("write-y"));
}

/// Without ages, addresses and what a clock or a counter says.
fn shown(text: &str) -> String {
    let own = ["creationTimestamp:", "uid:", "resourceVersion:", "\"uid\"", "Warning: resource"];
    let lines = timeless(text);
    let lines = lines.lines().filter(|line| !own.iter().any(|own| line.trim_start().starts_with(own)));
    let word = |word: &str| if word.starts_with("10.0.0.") { "ADDRESS".to_owned() } else { word.to_owned() };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    lines.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_call_touches_is_in_the_record_and_the_clusters_own_log_names_the_run() {
    let scene = scene();
    let script = "kubectl create configmap told --from-literal a=b && kubectl get configmap told -o name && \
                  kubectl annotate configmap told x=y && kubectl create configmap dry --from-literal a=b --dry-run=server \
                  && kubectl delete configmap told && kubectl get configmaps -A -o name";
    scene.out("calls-told", script);
    let touched = scene.told("touched", "calls-told");
    let has = |on: &str, verb: &str| {
        touched["touches"].as_array().unwrap().iter().any(|t| t["on"] == on && t["verb"] == verb)
    };
    for (on, verb) in [
        ("prod/default/configmaps/told", "write"),
        ("prod/default/configmaps/told", "read"),
        ("prod/default/configmaps/dry", "write"),
        ("prod/_/configmaps", "read"),
        ("prod/_path/version", "read"),
    ] {
        assert!(has(on, verb), "{verb} {on} in {touched}");
    }
    // Each call that the record has as done is one that the cluster knows by the run's number, and no other.
    let shown = scene.show("calls-told");
    let actions = shown["actions"].as_array().unwrap();
    let audited = eventually("as many in both logs", || {
        let audited = scene.audited("calls-told");
        (audited.len() == actions.len()).then_some(audited)
    });
    let verbs = |verb: &str| audited.iter().filter(|event| event["verb"] == verb).count();
    assert_eq!((verbs("create"), verbs("patch"), verbs("delete"), verbs("list")), (2, 1, 1, 1));
    let odd = |action: &&Value| action["effect"] != "committed";
    let odd: Vec<String> = actions.iter().filter(odd).map(|action| action["statement"].to_string()).collect();
    // A cluster of that age has no `/openapi/v3`, and kubectl looks whether what it has deleted is gone: both are answered by 404.
    let known =
        |statement: &String| ["/openapi/v3", "kubectl delete"].iter().any(|part| statement.contains(part));
    assert!(odd.iter().all(known) && odd.len() <= 3, "{odd:?}");
    let verified = scene.gateway.site().ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}

#[test]
fn nobody_says_as_whom_he_asks() {
    let scene = scene();
    let (_lease, token) = scene.lease("calls-whom");
    let path = "/api/v1/namespaces/default/configmaps?limit=1";
    for name in [
        "Impersonate-User",
        "IMPERSONATE-USER",
        "Impersonate-Group",
        "impersonate-uid",
        "Impersonate-Extra-scopes",
    ] {
        for version in ["--http1.1", "--http2"] {
            let (status, body) =
                scene.curl(&token, &[version, "-H", &format!("{name}: system:nobody")], path);
            assert!(
                status == 403 && body.contains("in somebody else's name"),
                "{name} {version}: {status} {body}"
            );
        }
    }
    for name in [
        "X-Remote-User",
        "x-remote-user",
        "X-Remote-Group",
        "X-REMOTE-EXTRA-a",
        "X-Forwarded-For",
        "Audit-ID",
    ] {
        for version in ["--http1.1", "--http2"] {
            let said = format!("{name}: system:nobody");
            let words = [version, "-H", &said, "-H", &said];
            let (status, body) = scene.curl(&token, &words, path);
            assert_eq!(status, 200, "{name} {version}: {body}");
        }
    }
    let (status, body) = scene.curl(&token, &["-H", "X-HTTP-Method-Override: PUT"], path);
    assert!(status == 400 && body.contains("in place of the method"), "{body}");
    // Beside the gateway it would have made another of who asks.
    let (status, _) = scene.direct_curl(&["-H", "Impersonate-User: system:nobody"], path);
    assert_eq!(status, 403);
    let audited = eventually("all of them", || {
        let audited = scene.audited("calls-whom");
        (audited.len() == 12).then_some(audited)
    });
    for event in audited {
        assert!(event["user"]["username"] == "admin" && event["impersonatedUser"].is_null(), "{event}");
        assert_eq!(event["sourceIPs"], serde_json::json!(["127.0.0.1"]));
    }
    let done = scene.sh("calls-whom-2", "kubectl get cm --as system:nobody -o name");
    assert!(!done.status.success() && done.err().contains("in somebody else's name"), "{}", done.all());
    let (status, body) = scene.curl(&token, &["-H", "Impersonate-User: system:nobody"], "/metrics");
    assert_eq!(status, 403, "{body}");

    // Who has a run's credential has that run's, and who has none is nobody.
    for wrong in ["tacho-nobody", "token-of-admin"] {
        let (status, body) = scene.curl(wrong, &[], path);
        assert!(status == 401 && body.contains(r#""kind":"Status""#), "{wrong}: {status} {body}");
    }
    drop(_lease);
    eventually("the end of the run's credential", || (scene.curl(&token, &[], path).0 == 401).then_some(()));
}

#[test]
fn a_cluster_knows_for_whom_the_gateway_asks() {
    let own = "impersonate = { user = \"agent\", groups = [\"agents\"] }";
    let scene = Scene::before(cluster(), "", own, |_plan| {});
    let done = scene.sh("calls-as", "kubectl get configmaps; kubectl auth can-i create pods");
    assert!(done.err().contains(r#"User "agent" cannot list resource "configmaps""#), "{}", done.all());
    assert_eq!(done.out(), "no\n");
    let audited = scene.audited("calls-as");
    let as_agent = |event: &&Value| {
        event["impersonatedUser"]["username"] == "agent" && event["impersonatedUser"]["groups"][0] == "agents"
    };
    assert!(!audited.is_empty());
    assert_eq!(audited.iter().filter(as_agent).count(), audited.len(), "{audited:?}");
}

fn pod(spec: &str) -> String {
    format!(
        r#"printf '%s' '{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{spec}}}' | kubectl create --dry-run=server -o name -f - 2>&1"#
    )
}

#[test]
fn a_body_is_decided_by_what_it_would_run_mount_and_grant() {
    let scene = scene();
    let plain = r#"{"containers":[{"name":"a","image":"busybox"}]}"#;
    let cases = [
        (pod(plain), None),
        (
            pod(r#"{"containers":[{"name":"a","image":"busybox","securityContext":{"privileged":true}}]}"#),
            Some("calls-no-host"),
        ),
        (pod(r#"{"hostNetwork":true,"containers":[{"name":"a","image":"busybox"}]}"#), Some("calls-no-host")),
        (
            pod(
                r#"{"containers":[{"name":"a","image":"busybox"}],"volumes":[{"name":"v","hostPath":{"path":"/etc"}}]}"#,
            ),
            Some("calls-no-host"),
        ),
        (
            pod(
                r#"{"containers":[{"name":"a","image":"busybox"}],"volumes":[{"name":"v","secret":{"secretName":"db"}}]}"#,
            ),
            Some("calls-no-secrets"),
        ),
        (
            pod(r#"{"containers":[{"name":"a","image":"busybox","envFrom":[{"secretRef":{"name":"db"}}]}]}"#),
            Some("calls-no-secrets"),
        ),
        (
            "kubectl create rolebinding b --clusterrole cluster-admin --user x --dry-run=server 2>&1"
                .to_owned(),
            Some("calls-no-roles"),
        ),
        ("kubectl get secret db 2>&1".to_owned(), Some("calls-no-secrets")),
        ("kubectl get secrets 2>&1".to_owned(), Some("calls-no-secrets")),
        ("kubectl get --raw /api/v1/namespaces/default/secrets/db 2>&1".to_owned(), Some("calls-no-secrets")),
        ("kubectl delete configmap none 2>&1".to_owned(), Some("calls-no-delete")),
    ];
    for (script, rule) in &cases {
        let done = scene.sh("calls-careful", script);
        assert_eq!(done.status.success(), rule.is_none(), "{script}: {}", scene.gateway.explain(&done));
        let refused = scene.show("calls-careful");
        let refused = refused["actions"].as_array().unwrap().iter().filter(|a| a["verdict"] == "refuse");
        let rules: Vec<String> =
            refused.map(|action| action["rules"][0].as_str().unwrap().to_owned()).collect();
        assert_eq!(rules.first().map(String::as_str), *rule, "{script}: {rules:?}");
        let asked = |event: &&Value| {
            let resource = event["objectRef"]["resource"].as_str().unwrap_or_default();
            ["pods", "rolebindings", "secrets", "configmaps"].contains(&resource)
        };
        let seen = scene.audited("calls-careful");
        assert_eq!(seen.iter().filter(asked).count(), usize::from(rule.is_none()), "{script}: {seen:?}");
    }
    let done = scene.sh("calls-careful-2", "kubectl get --raw /api/v1/namespaces/default/secrets/db");
    assert!(done.err().contains("NotFound"), "another agent may ask: {}", done.all());

    let make = "kubectl create configmap dry-only --from-literal a=b";
    assert!(scene.sh("calls-dry", &format!("{make} --dry-run=server")).status.success());
    let done = scene.sh("calls-dry", make);
    assert!(done.err().contains("policy does not allow this"), "{}", done.all());
    assert!(scene.direct_out(&["get", "configmap", "dry-only", "--ignore-not-found"]).is_empty());
}

#[test]
fn a_refusal_says_which_rule_and_which_record() {
    let scene = scene();
    let (_lease, token) = scene.lease("calls-refused");
    let (status, body) = scene.curl(&token, &["-X", "DELETE"], "/api/v1/namespaces/default/configmaps/none");
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &said["kind"], &said["reason"]), (403, &"Status".into(), &"Forbidden".into()));
    assert_eq!(said["message"], "This agent deletes nothing.");
    let causes = &said["details"]["causes"];
    assert_eq!(causes[0]["message"], "calls-no-delete", "{body}");
    let shown = scene.show("calls-refused");
    let record = causes[1]["message"].as_str().unwrap();
    assert!(shown["actions"].to_string().contains(record), "{record} in {shown}");
}

#[test]
fn a_person_is_asked_while_the_call_waits() {
    let scene = scene();
    let lead = people::operator(&scene.gateway, "lena", "approver", "leads");
    let apply = |name: &'static str| {
        std::thread::spawn(move || {
            scene.sh("calls-asker", &format!("kubectl create configmap {name} --from-literal a=b"))
        })
    };
    let there = |name: &str| !scene.direct_out(&["get", "configmap", name, "--ignore-not-found"]).is_empty();
    let agent = apply("approved-one");
    let ask = people::waiting(&scene.gateway, &lead, "approved-one");
    assert!(!there("approved-one"));
    let said = people::with_token(&scene.gateway, &lead, &["approve", &ask]);
    assert!(said.status.success(), "{}", said.all());
    let done = agent.join().unwrap();
    assert!(done.status.success() && there("approved-one"), "{}", done.all());

    let agent = apply("denied-one");
    let ask = people::waiting(&scene.gateway, &lead, "denied-one");
    let said = people::with_token(&scene.gateway, &lead, &["deny", &ask, "--reason", "not today"]);
    assert!(said.status.success(), "{}", said.all());
    let done = agent.join().unwrap();
    assert!(!done.status.success() && done.err().contains("not today"), "{}", done.all());
    assert!(!there("denied-one"));
}

#[test]
fn an_approver_sees_what_would_change_and_no_secret() {
    let scene = scene();
    let lead = people::operator(&scene.gateway, "lars", "approver", "leads");
    scene.make(
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"seen"},"stringData":{"a":"XK-before","b":"same"}}"#,
    );
    scene.make(
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"seen"},"data":{"colour":"blue"}}"#,
    );
    let told = |script: &str, word: &str| {
        let script = script.to_owned();
        let agent = std::thread::spawn(move || scene.sh("calls-asker", &script));
        let ask = people::waiting(&scene.gateway, &lead, word);
        let told = people::asked(&scene.gateway, &lead, word).unwrap();
        let said = people::with_token(&scene.gateway, &lead, &["deny", &ask, "--reason", "seen"]);
        assert!(said.status.success(), "{}", said.all());
        let done = agent.join().unwrap();
        assert!(!done.status.success() && done.err().contains("seen"), "{}", done.all());
        assert!(!told.to_string().contains("XK-"), "{told}");
        told["changes"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
    };
    let seen = told(
        r#"kubectl patch secret seen -p '{"metadata":{"labels":{"tier":"x"}},"stringData":{"a":"XK-behind"}}'"#,
        "secrets/seen",
    );
    let (title, lines) = seen.split_once('\n').unwrap();
    assert!(title.starts_with("changed would be, as of version "), "{seen}");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{seen}");
    assert!(
        lines[0].starts_with("~ data.a: ") && lines[0].ends_with("(masked, and another value)"),
        "{seen}"
    );
    assert_eq!(lines[1], r#"+ metadata.labels.tier: "x""#);

    // A value looks like no other line.
    let seen = told(
        r#"kubectl patch configmap seen -p '{"data":{"colour":"red\n~ data.colour: blue"}}'"#,
        "configmaps/seen",
    );
    assert_eq!(seen.lines().count(), 2, "{seen}");
    assert!(seen.ends_with(r#"~ data.colour: "blue" -> "red\n~ data.colour: blue""#), "{seen}");

    // What the API server would not do is told.
    let seen = told(r#"kubectl patch configmap seen -p '{"data":{"colour":7}}'"#, "configmaps/seen");
    assert!(seen.contains("the API server would answer 4"), "{seen}");
}
