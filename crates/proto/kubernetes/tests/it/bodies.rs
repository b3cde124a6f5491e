//! Bodies -> facts and accesses.

use crate::dice::Dice;
use proto_kubernetes::action;
use proto_kubernetes::body::facts::{self, Fact};
use proto_kubernetes::body::{self, Form, Said, Written};
use proto_kubernetes::fault::{self as why, Reason};
use proto_kubernetes::limits::*;
use proto_kubernetes::request::{Asked, Request, Verb};
use vocab::ResourcePath;

const JSON: &str = "application/json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const PODS: &str = "/api/v1/namespaces/a/pods";
const POD: &str = "/api/v1/namespaces/a/pods/p";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/a/deployments/d";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

fn asked(method: &str, target: &str) -> (Request, Asked) {
    let request = Request::parse(method.as_bytes(), target.as_bytes()).unwrap();
    match request.clone() {
        Request::Resource(asked) => (request, *asked),
        Request::Path(..) => panic!("{target}"),
    }
}

fn read(method: &str, target: &str, media: &str, text: &str) -> Result<Said, Reason> {
    let (_, asked) = asked(method, target);
    let (form, written) = body::form(asked.verb, Some(media.as_bytes()))?;
    body::read(&asked, form, Written::Json, &body::json(written, text.as_bytes())?)
}

/// What the whole request does, but for its first line (the object itself): `VERB PATH`, sorted.
fn beside(method: &str, target: &str, media: &str, text: &str) -> String {
    let (request, asked) = asked(method, target);
    let said = read(method, target, media, text).unwrap_or_else(|why| panic!("{why:?}: {text}"));
    let root = ResourcePath::root("k");
    let action = facts::action(&root, &asked, &said, action::of(&root, &request));
    let mut lines: Vec<String> =
        action.accesses.iter().map(|access| format!("{} {}", access.verb.as_str(), access.on)).collect();
    lines.retain(|line| line != "write k/a/pods/p" && line != "write k/a/deployments.apps/d");
    lines.extend(action.opaque.map(|_| "opaque".to_owned()));
    lines.join(", ")
}

fn pod(spec: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{spec}}}"#)
}

#[test]
fn what_a_pod_holds_is_an_access_of_its_own() {
    let cases = [
        ("{}", ""),
        (
            r#"{"containers":[{"name":"c","image":"nginx"}]}"#,
            "execute k/_image/docker.io/library/nginx/:latest",
        ),
        (r#"{"containers":[{"image":"ghcr.io/x/y:1"}]}"#, "execute k/_image/ghcr.io/x/y/:1"),
        (r#"{"initContainers":[{"image":"r:5000/x"}]}"#, "execute k/_image/r:5000/x/:latest"),
        (r#"{"containers":[{"image":"x/y@sha256:ab"}]}"#, "execute k/_image/docker.io/x/y/@sha256:ab"),
        (r#"{"containers":[{"image":"index.docker.io/y:1"}]}"#, "execute k/_image/docker.io/library/y/:1"),
        (
            r#"{"containers":[{"image":"localhost/y:1@sha256:ab"}]}"#,
            "execute k/_image/localhost/y/@sha256:ab",
        ),
        (r#"{"containers":[{"image":"a/../b"}]}"#, "opaque"),
        (r#"{"containers":[{"image":""}]}"#, "opaque"),
        (r#"{"x":{"image":{"repository":"a","tag":"b"}}}"#, "opaque"),
        (r#"{"volumes":[{"name":"v","image":{"reference":"q.io/a:1"}}]}"#, "execute k/_image/q.io/a/:1"),
        (r#"{"volumes":[{"name":"v","hostPath":{"path":"/etc/x/"}}]}"#, "administer k/_host/path/etc/x"),
        (r#"{"volumes":[{"hostPath":{"path":"/"}}]}"#, "administer k/_host/path"),
        (r#"{"volumes":[{"hostPath":{"path":"/a/../etc"}}]}"#, "opaque"),
        (r#"{"volumes":[{"hostPath":{"path":"etc"}}]}"#, "opaque"),
        (
            r#"{"hostNetwork":true,"hostPID":true,"hostIPC":true}"#,
            "administer k/_host/ipc, administer k/_host/network, administer k/_host/pid",
        ),
        (r#"{"hostNetwork":false,"hostPID":null}"#, ""),
        (r#"{"containers":[{"securityContext":{"privileged":true}}]}"#, "administer k/_host/privileged"),
        (
            r#"{"containers":[{"securityContext":{"allowPrivilegeEscalation":true,"runAsUser":0}}]}"#,
            "administer k/_host/escalation, administer k/_host/root",
        ),
        (r#"{"securityContext":{"runAsUser":-0.0e3}}"#, "administer k/_host/root"),
        (r#"{"securityContext":{"runAsUser":1000}}"#, ""),
        (
            r#"{"containers":[{"securityContext":{"capabilities":{"add":["NET_ADMIN"],"drop":["ALL"]}}}]}"#,
            "administer k/_host/capability/NET_ADMIN",
        ),
        (
            r#"{"containers":[{"securityContext":{"procMount":"Unmasked","seccompProfile":{"type":"Unconfined"}}}]}"#,
            "administer k/_host/unconfined/procMount, administer k/_host/unconfined/seccomp",
        ),
        (
            r#"{"securityContext":{"seLinuxOptions":{"type":"spc_t"},"seccompProfile":{"type":"RuntimeDefault"}}}"#,
            "administer k/_host/unconfined/selinux",
        ),
        (
            r#"{"securityContext":{"sysctls":[{"name":"kernel.x","value":"1"}],"windowsOptions":{"hostProcess":true}}}"#,
            "administer k/_host/process, administer k/_host/sysctl/kernel.x",
        ),
        (r#"{"containers":[{"ports":[{"hostPort":80},{"hostPort":0}]}]}"#, "administer k/_host/port/80"),
        (r#"{"nodeName":"n"}"#, "administer k/_host/node/n"),
        (
            r#"{"volumes":[{"name":"v","nfs":{"server":"s"}},{"name":"w","emptyDir":{}}]}"#,
            "administer k/_host/volume/nfs",
        ),
        (r#"{"serviceAccountName":"admin","serviceAccount":"admin"}"#, "execute k/a/serviceaccounts/admin"),
        (r#"{"volumes":[{"name":"v","secret":{"secretName":"s"}}]}"#, "read k/a/secrets/s"),
        (
            r#"{"volumes":[{"projected":{"sources":[{"secret":{"name":"s"}},{"configMap":{"name":"m"}},{"serviceAccountToken":{"path":"t"}}]}}]}"#,
            "read k/a/configmaps/m, read k/a/secrets/s, execute k/a/serviceaccounts",
        ),
        (
            r#"{"containers":[{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}],"envFrom":[{"secretRef":{"name":"t"}},{"configMapRef":{"name":"m"}}]}]}"#,
            "read k/a/configmaps/m, read k/a/secrets/s, read k/a/secrets/t",
        ),
        (r#"{"imagePullSecrets":[{"name":"s"}]}"#, "read k/a/secrets/s"),
        (
            r#"{"volumes":[{"csi":{"driver":"d","nodePublishSecretRef":{"name":"s"}}}]}"#,
            "read k/a/secrets/s, administer k/_host/volume/csi",
        ),
        (
            r#"{"volumes":[{"persistentVolumeClaim":{"claimName":"c"}}]}"#,
            "write k/a/persistentvolumeclaims/c",
        ),
        (r#"{"containers":[{"env":[{"name":"A","value":"hush"}]}]}"#, ""),
        (r#"{"nodeSelector":{"image":"x"},"tolerations":[{"key":"k"}]}"#, ""),
        // A text may be a secret itself: that is not said.
        (
            r#"{"clientSecret":"hush","secrets":["hush"],"secret":"hush","tlsSecretName":"s","aSecretRef":"t"}"#,
            "read k/a/secrets/s, read k/a/secrets/t",
        ),
        (
            r#"{"oneSecret":{"name":"s"},"$setElementOrder/imagePullSecrets":[{"name":"t"}],"secretName":""}"#,
            "read k/a/secrets/s, read k/a/secrets/t",
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(beside("POST", PODS, JSON, &pod(spec)), expected, "{spec}");
    }
}

#[test]
fn a_pod_is_found_wherever_it_stands() {
    let spec = r#"{"hostNetwork":true,"containers":[{"image":"q.io/a"}]}"#;
    let both = "execute k/_image/q.io/a/:latest, administer k/_host/network";
    let template = format!(r#"{{"spec":{{"template":{{"spec":{spec}}}}}}}"#);
    let deep = format!(r#"{{"spec":{{"jobTemplate":{{"spec":{{"template":{{"spec":{spec}}}}}}}}}}}"#);
    let listed = format!(r#"{{"spec":{{"steps":[[{{"podSpec":{spec}}}]],"labels":{{"a":{spec}}}}}}}"#);
    for body in [&template, &deep, &listed] {
        for media in [STRATEGIC, MERGE, APPLY] {
            assert_eq!(beside("PATCH", DEPLOYMENT, media, body), both, "{body}");
        }
        assert_eq!(beside("PUT", DEPLOYMENT, JSON, body), both, "{body}");
    }
    let annotated = r#"{"spec":{"template":{"metadata":{"annotations":{"container.apparmor.security.beta.kubernetes.io/c":"unconfined"}}}}}"#;
    assert_eq!(beside("PUT", DEPLOYMENT, JSON, annotated), "administer k/_host/unconfined/apparmor");
    let taken = annotated.replace(r#""unconfined""#, "null");
    assert_eq!(beside("PATCH", DEPLOYMENT, MERGE, &taken), "administer k/_host/unconfined/apparmor");
    assert_eq!(beside("PUT", DEPLOYMENT, JSON, &taken), "");
}

#[test]
fn a_json_patch_is_what_it_puts_where() {
    let cases = [
        (r#"[]"#, ""),
        (r#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#, ""),
        (
            r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"q.io/a"}]"#,
            "execute k/_image/q.io/a/:latest",
        ),
        (
            r#"[{"op":"add","path":"/spec/template/spec/hostNetwork","value":true}]"#,
            "administer k/_host/network",
        ),
        (
            r#"[{"op":"add","path":"/spec/template/spec/containers/0/securityContext/capabilities/add/-","value":"SYS_ADMIN"}]"#,
            "administer k/_host/capability/SYS_ADMIN",
        ),
        (
            r#"[{"op":"add","path":"/spec/template/spec/containers/-","value":{"image":"q.io/a"}}]"#,
            "execute k/_image/q.io/a/:latest",
        ),
        (
            r#"[{"op":"replace","path":"/spec/template/spec/volumes/3/hostPath/path","value":"/etc"}]"#,
            "administer k/_host/path/etc",
        ),
        (
            r#"[{"op":"add","path":"/spec/template/spec/volumes/0/nfs/server","value":"x"}]"#,
            "administer k/_host/volume/nfs",
        ),
        (
            r#"[{"op":"add","path":"/spec/template/spec/imagePullSecrets/0/name","value":"s"}]"#,
            "read k/a/secrets/s",
        ),
        // As Go reads an index.
        (
            r#"[{"op":"add","path":"/spec/template/spec/imagePullSecrets/-1","value":{"name":"s"}}]"#,
            "read k/a/secrets/s",
        ),
        (
            r#"[{"op":"add","path":"/spec/template/spec/volumes/+0","value":{"name":"v","nfs":{"server":"x"}}}]"#,
            "administer k/_host/volume/nfs",
        ),
        (
            r#"[{"op":"add","path":"/spec/template/spec/securityContext/sysctls/-01","value":{"name":"kernel.x"}}]"#,
            "administer k/_host/sysctl/kernel.x",
        ),
        (
            r#"[{"op":"add","path":"/spec/ephemeralContainers/-1","value":{"name":"e"}}]"#,
            "execute k/a/deployments.apps/d",
        ),
        (
            r#"[{"op":"replace","path":"/spec","value":{"template":{"spec":{"hostPID":true}}}}]"#,
            "administer k/_host/pid",
        ),
        (
            r#"[{"op":"remove","path":"/spec/template/spec/securityContext"}]"#,
            "administer k/_host/unconfined/securityContext",
        ),
        (
            r#"[{"op":"remove","path":"/spec/replicas"},{"op":"test","path":"/spec/template/spec/hostNetwork","value":true}]"#,
            "",
        ),
        (r#"[{"op":"copy","from":"/a","path":"/b"}]"#, "opaque"),
        (r#"[{"op":"move","from":"/a","path":"/b"},{"op":"add","path":"/x","value":1}]"#, "opaque"),
    ];
    for (patch, expected) in cases {
        assert_eq!(beside("PATCH", DEPLOYMENT, PATCH, patch), expected, "{patch}");
    }
    let secret = |path: &str| {
        let patch = format!(r#"[{{"op":"test","path":"{path}","value":"x"}}]"#);
        read("PATCH", "/api/v1/namespaces/a/secrets/s", PATCH, &patch).unwrap().opaque.is_some()
    };
    for path in ["", "/data/a", "/metadata", "/metadata/annotations/a", "/metadata/managedFields/0", "/type"]
    {
        assert!(secret(path), "{path}");
    }
    for path in ["/metadata/resourceVersion", "/metadata/uid", "/metadata/labels/a", "/metadata/finalizers/0"]
    {
        assert!(!secret(path), "{path}");
    }
    let bad = [
        (r#"{}"#, why::NO_PATCH),
        (r#"[1]"#, why::NO_PATCH),
        (r#"[{"op":"ADD","path":"/a","value":1}]"#, why::NO_PATCH),
        (r#"[{"op":"add","path":"a","value":1}]"#, why::NO_PATCH),
        (r#"[{"op":"add","path":"/a~2","value":1}]"#, why::NO_PATCH),
        (r#"[{"op":"add","path":"/a"}]"#, why::NO_PATCH),
        (r#"[{"op":"add","path":"/a","value":1,"x":2}]"#, why::NO_PATCH),
        (r#"[{"op":"remove","path":""}]"#, why::NO_OBJECT),
        (r#"[{"op":"add","path":"/0","value":1}]"#, why::NO_OBJECT),
        (r#"[{"op":"add","path":"/spec/HostNetwork","value":true}]"#, why::ANOTHER_CASE),
        (r#"[{"op":"add","path":"/spec/hostNetwork","value":"true"}]"#, why::WRONG_TYPE),
        (r#"[{"op":"add","path":"/spec/template/spec/volumes/x","value":{"nfs":{}}}]"#, why::WRONG_TYPE),
    ];
    for (patch, expected) in bad {
        assert_eq!(read("PATCH", DEPLOYMENT, PATCH, patch).err(), Some(expected), "{patch}");
    }
    let many = |n: usize| format!("[{}]", vec![r#"{"op":"test","path":"/a"}"#; n].join(","));
    assert!(read("PATCH", DEPLOYMENT, PATCH, &many(OPERATIONS_MAX)).is_ok());
    assert_eq!(read("PATCH", DEPLOYMENT, PATCH, &many(OPERATIONS_MAX + 1)), Err(why::TOO_MANY_OPERATIONS));
}

#[test]
fn a_strategic_patch_has_directives_that_are_known_and_no_others() {
    let secret = "/api/v1/namespaces/a/secrets/s";
    let role = &format!("{ROLES}/r");
    let bad = [
        (
            DEPLOYMENT,
            r#"{"spec":{"template":{"spec":{"$deleteFromPrimitiveList/containers":[{"name":"c","image":"evil/x:1"}]}}}}"#,
        ),
        (DEPLOYMENT, r#"{"spec":{"template":{"$deleteFromPrimitiveList/spec":{"hostPID":true}}}}"#),
        (DEPLOYMENT, r#"{"spec":{"containers":[{"name":"c","$deleteFromPrimitiveList/args":["evil"]}]}}"#),
        (DEPLOYMENT, r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":{"a":"b"}}}"#),
        (DEPLOYMENT, r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":[{"a":"b"}]}}"#),
        (DEPLOYMENT, r#"{"metadata":{"$deleteFromPrimitiveList/Finalizers":["a"]}}"#),
        (DEPLOYMENT, r#"{"metadata":{"$deleteFromPrimitiveList/finalizers/x":["a"]}}"#),
        (DEPLOYMENT, r#"{"metadata":{"$deleteFromPrimitiveListfinalizers":["a"]}}"#),
        (DEPLOYMENT, r#"{"metadata":{"$deleteFromPrimitiveLi\u017ft/finalizers":["a"]}}"#),
        (DEPLOYMENT, r#"{"metadata":{"$DeleteFromPrimitiveList/finalizers":["a"]}}"#),
        (
            secret,
            r#"{"metadata":{"$deleteFromPrimitiveList/annotations":{"kubernetes.io/service-account.name":"x"}}}"#,
        ),
        (secret, r#"{"$deleteFromPrimitiveList/data":{"a":"eA=="}}"#),
        (secret, r#"{"$deleteFromPrimitiveList/metadata":{"name":"other"}}"#),
        (role, r#"{"$deleteFromPrimitiveList/rules":[{"verbs":["*"]}]}"#),
        (DEPLOYMENT, r#"{"spec":{"$patch":"Delete"}}"#),
        (DEPLOYMENT, r#"{"spec":{"$patch":{"hostPID":true}}}"#),
        (DEPLOYMENT, r#"{"spec":{"$patch":null}}"#),
        (DEPLOYMENT, r#"{"spec":{"$retainKeys":"a"}}"#),
        (DEPLOYMENT, r#"{"spec":{"$retainKeys":[1]}}"#),
        (DEPLOYMENT, r#"{"spec":{"$setElementOrder/a":{"b":1}}}"#),
        (DEPLOYMENT, r#"{"spec":{"$setElementOrder/a":[{"b":{"c":1}}]}}"#),
        (DEPLOYMENT, r#"{"spec":{"$setElementOrder/$patch":["a"]}}"#),
        (DEPLOYMENT, r#"{"spec":{"$setElementOrder":["a"]}}"#),
        (DEPLOYMENT, r#"{"spec":{"a":[[{"$x":1}]]}}"#),
        (DEPLOYMENT, r#"{"$":1}"#),
    ];
    for (target, body) in bad {
        assert_eq!(read("PATCH", target, STRATEGIC, body).err(), Some(why::DIRECTIVE), "{body}");
    }
    let twice = r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a"],"$deleteFromPrimitiveList/finalizers":["b"]}}"#;
    assert!(read("PATCH", DEPLOYMENT, STRATEGIC, twice).is_err());
    // What kubectl sends.
    let good = [
        r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"],"$setElementOrder/finalizers":["c"]}}"#,
        r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate","rollingUpdate":null}}}"#,
        r#"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"c"}],"containers":[{"$setElementOrder/ports":[{"containerPort":80},{"containerPort":81}],"name":"c","ports":[{"$patch":"delete","containerPort":82}]}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"$setElementOrder/volumes":[{"name":"v"}],"volumes":[{"$retainKeys":["emptyDir","name"],"emptyDir":{},"hostPath":null,"name":"v"},{"$patch":"delete","name":"w"}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"nodeSelector":{"$patch":"replace","a":"b"}}}}}"#,
    ];
    for body in good {
        assert_eq!(beside("PATCH", DEPLOYMENT, STRATEGIC, body), "", "{body}");
    }
    // Elsewhere it is a member like others.
    let inside = r#"{"spec":{"$patch":{"hostPID":true}}}"#;
    for media in [MERGE, APPLY] {
        assert_eq!(beside("PATCH", DEPLOYMENT, media, inside), "administer k/_host/pid");
    }
}

#[test]
fn a_patch_that_takes_a_confinement_away_says_so() {
    let null = r#"{"spec":{"template":{"spec":{"securityContext":null}}}}"#;
    for media in [STRATEGIC, MERGE, APPLY] {
        assert_eq!(beside("PATCH", DEPLOYMENT, media, null), "administer k/_host/unconfined/securityContext");
    }
    assert_eq!(beside("PUT", DEPLOYMENT, JSON, null), "");
    let unconfined = "administer k/_host/unconfined/securityContext";
    let retained = &format!("execute k/a/deployments.apps/d, {unconfined}");
    let spec = |spec: &str| format!(r#"{{"spec":{{"template":{{"spec":{spec}}}}}}}"#);
    let confined = |members: &str| spec(&format!(r#"{{"securityContext":{members}}}"#));
    for directive in [r#"{"$patch":"delete"}"#, r#"{"$patch":"replace"}"#] {
        assert_eq!(beside("PATCH", DEPLOYMENT, STRATEGIC, &confined(directive)), unconfined);
    }
    for retains in [
        r#"{"$retainKeys":["containers"]}"#,
        r#"{"containers":[{"name":"c","$retainKeys":["name","image"]}]}"#,
        r#"{"securityContext":{"$retainKeys":["runAsUser"]}}"#,
        r#"{"affinity":{"$retainKeys":[]}}"#,
    ] {
        assert_eq!(&beside("PATCH", DEPLOYMENT, STRATEGIC, &spec(retains)), retained, "{retains}");
    }
    for loosens in [
        r#"{"allowPrivilegeEscalation":null}"#,
        r#"{"seccompProfile":{"type":null}}"#,
        r#"{"capabilities":{"drop":null}}"#,
        r#"{"capabilities":{"drop":[]}}"#,
        r#"{"capabilities":{"drop":["KILL"]}}"#,
        r#"{"readOnlyRootFilesystem":false}"#,
        r#"{"runAsNonRoot":false}"#,
        r#"{"seccompProfile":{"type":"Localhost"}}"#,
        r#"{"seccompProfile":{"type":"RuntimeDefault","localhostProfile":null}}"#,
        r#"{"somethingNew":"x"}"#,
    ] {
        for media in [STRATEGIC, MERGE, APPLY] {
            assert_eq!(beside("PATCH", DEPLOYMENT, media, &confined(loosens)), unconfined, "{loosens}");
        }
        assert_eq!(beside("PUT", DEPLOYMENT, JSON, &confined(loosens)), "", "{loosens}");
    }
    let confining = r#"{"runAsNonRoot":true,"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"seccompProfile":{"type":"RuntimeDefault"}}"#;
    let rights =
        r#"{"privileged":null,"capabilities":{"add":null},"sysctls":null,"runAsUser":7,"fsGroup":7}"#;
    for media in [STRATEGIC, MERGE, APPLY] {
        assert_eq!(beside("PATCH", DEPLOYMENT, media, &confined(confining)), "");
        assert_eq!(beside("PATCH", DEPLOYMENT, media, &confined(rights)), "");
    }
    let of_image = |members: &str| {
        let container = format!(r#"{{"containers":[{{"image":"q.io/a","securityContext":{members}}}]}}"#);
        beside("PATCH", DEPLOYMENT, STRATEGIC, &spec(&container))
    };
    let image = "execute k/_image/q.io/a/:latest";
    assert_eq!(of_image(r#"{"readOnlyRootFilesystem":false}"#), image, "as in a whole object");
    assert_eq!(of_image(r#"{"readOnlyRootFilesystem":null}"#), format!("{image}, {unconfined}"));
    let json = |op: &str, path: &str, value: &str| {
        let at = "/spec/template/spec/containers/0/securityContext";
        let patch = format!(r#"[{{"op":"{op}","path":"{at}{path}","value":{value}}}]"#);
        beside("PATCH", DEPLOYMENT, PATCH, &patch)
    };
    for (op, path, value) in [
        ("replace", "", "{}"),
        ("add", "", "{}"),
        ("replace", "", "null"),
        ("replace", "", r#"{"runAsNonRoot":true}"#),
        ("replace", "/capabilities", "{}"),
        ("add", "/capabilities", r#"{"drop":["KILL"]}"#),
        ("replace", "/capabilities/drop/0", r#""KILL""#),
        ("remove", "/capabilities/drop/0", "null"),
        ("remove", "/capabilities/drop", "null"),
        ("remove", "/allowPrivilegeEscalation", "null"),
        ("remove", "/readOnlyRootFilesystem", "null"),
        ("remove", "/runAsNonRoot", "null"),
        ("replace", "/runAsNonRoot", "false"),
        ("replace", "/readOnlyRootFilesystem", "null"),
        ("replace", "/seccompProfile", "{}"),
        ("replace", "/seLinuxOptions", "{}"),
        ("add", "/windowsOptions", "{}"),
    ] {
        assert_eq!(json(op, path, value), unconfined, "{op} {path} {value}");
    }
    for (op, path, value) in [
        ("add", "", confining),
        ("add", "/runAsNonRoot", "true"),
        ("replace", "/allowPrivilegeEscalation", "false"),
        ("add", "/runAsUser", "1000"),
        ("add", "/capabilities", r#"{"drop":["ALL"]}"#),
        ("add", "/capabilities/drop/-", r#""ALL""#),
        ("add", "/seccompProfile", r#"{"type":"RuntimeDefault"}"#),
        ("remove", "/privileged", "null"),
    ] {
        assert_eq!(json(op, path, value), "", "{op} {path} {value}");
    }
    assert_eq!(json("add", "/privileged", "true"), "administer k/_host/privileged");
    let strategy = r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#;
    assert_eq!(beside("PATCH", DEPLOYMENT, STRATEGIC, strategy), "");
}

#[test]
fn a_patch_of_what_runs_in_an_image_that_it_does_not_say_is_an_execution() {
    let container = |members: &str| {
        format!(r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"c",{members}}}]}}}}}}}}"#)
    };
    let runs = "execute k/a/deployments.apps/d";
    for members in [
        r#""command":["sh","-c","x"]"#,
        r#""args":["x"]"#,
        r#""workingDir":"/x""#,
        r#""env":[{"name":"LD_PRELOAD","value":"/x.so"}]"#,
        r#""env":[{"$patch":"delete","name":"A"},{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"x"}}}]"#,
        r#""volumeMounts":[{"name":"v","mountPath":"/bin"}]"#,
        r#""lifecycle":{"postStart":{"exec":{"command":["x"]}}}"#,
        r#""lifecycle":{"image":"q.io/a","preStop":{"exec":{"command":["x"]}}}"#,
        r#""livenessProbe":{"exec":{"command":["x"]}}"#,
        r#""args":null"#,
        r#""command":[]"#,
        r#""env":[{"$patch":"delete","name":"A","value":"x"}]"#,
        r#""envFrom":[{"$patch":"delete","secretRef":{"name":"s"}}]"#,
    ] {
        for media in [STRATEGIC, MERGE, APPLY] {
            let said = beside("PATCH", DEPLOYMENT, media, &container(members));
            assert!(said.split(", ").any(|access| access == runs), "{members}: {said}");
        }
        if members.contains("secretRef") {
            continue;
        }
        let of_image = format!(r#""image":"q.io/a",{members}"#);
        assert_eq!(
            beside("PATCH", DEPLOYMENT, STRATEGIC, &container(&of_image)),
            "execute k/_image/q.io/a/:latest",
            "who may execute an image may say what it runs: {members}"
        );
    }
    for members in [
        r#""resources":{"limits":{"cpu":"1"}}"#,
        r#""env":[{"$patch":"delete","name":"A"}]"#,
        r#""env":null,"$setElementOrder/env":[{"name":"A"}]"#,
        r#""volumeMounts":[{"$patch":"delete","mountPath":"/x"}]"#,
        r#""livenessProbe":{"httpGet":{"path":"/"}}"#,
    ] {
        assert_eq!(beside("PATCH", DEPLOYMENT, STRATEGIC, &container(members)), "", "{members}");
    }
    let ordered = r#""$setElementOrder/args":["b","a"]"#;
    assert_eq!(beside("PATCH", DEPLOYMENT, STRATEGIC, &container(ordered)), runs);
    // Only a strategic patch has directives.
    for media in [MERGE, APPLY] {
        let env = r#""env":[{"$patch":"delete","name":"A"}]"#;
        assert_eq!(beside("PATCH", DEPLOYMENT, media, &container(env)), runs);
    }
    let operation = |op: &str, path: &str, value: &str| {
        let at = "/spec/template/spec/containers/0";
        let patch = format!(r#"[{{"op":"{op}","path":"{at}{path}","value":{value}}}]"#);
        beside("PATCH", DEPLOYMENT, PATCH, &patch)
    };
    let json = |path: &str, value: &str| operation("replace", path, value);
    let hidden = r#"[{"$patch":"delete","name":"LD_PRELOAD","value":"/x.so"}]"#;
    assert_eq!(json("/env", hidden), runs);
    assert_eq!(json("/env/0", r#"{"$patch":"delete","name":"A"}"#), runs);
    assert_eq!(json("/volumeMounts", r#"[{"$patch":"delete","mountPath":"/bin"}]"#), runs);
    for path in ["/args", "/args/0", "/command/0", "/livenessProbe/exec/command"] {
        assert_eq!(operation("remove", path, "null"), runs, "{path}");
    }
    assert_eq!(operation("remove", "/env/0", "null"), "");
    assert_eq!(json("/args/1", r#""x""#), runs);
    assert_eq!(json("/env/0/value", r#""x""#), runs);
    assert_eq!(json("/lifecycle/preStop/exec/command/0", r#""x""#), runs);
    assert_eq!(json("/terminationMessagePath", r#""x""#), "");
    // A whole object says the image.
    let spec = r#"{"containers":[{"image":"q.io/a","command":["x"],"env":[{"name":"A","value":"b"}]}]}"#;
    assert_eq!(beside("POST", PODS, JSON, &pod(spec)), "execute k/_image/q.io/a/:latest");
    let thing = "/apis/example.com/v1/namespaces/a/things/t";
    let own = "write k/a/things.example.com/t";
    assert_eq!(
        beside("PATCH", thing, MERGE, r#"{"spec":{"image":"q.io/a","args":["x"]}}"#),
        format!("{own}, execute k/_image/q.io/a/:latest")
    );
    // An image says what runs in the object that it stands in, and in no other.
    for body in [
        r#"{"image":"q.io/a","spec":{"command":["x"]}}"#,
        r#"{"image":"q.io/a","lifecycle":{"spec":{"command":["x"]}}}"#,
        r#"{"spec":{"image":"q.io/a","pod":{"args":["x"]}}}"#,
    ] {
        let all = format!("{own}, execute k/_image/q.io/a/:latest, execute k/a/things.example.com/t");
        assert_eq!(beside("PATCH", thing, MERGE, body), all, "{body}");
    }
    assert_eq!(
        beside("PATCH", thing, MERGE, r#"{"spec":{"image":"q.io/a","preStop":{"exec":{"command":["x"]}}}}"#),
        format!("{own}, execute k/_image/q.io/a/:latest")
    );
}

#[test]
fn a_secret_that_a_token_is_put_into_is_a_credential_of_whom_it_names() {
    let secrets = "/api/v1/namespaces/a/secrets";
    let one = &format!("{secrets}/s");
    let boss = "write k/a/secrets/s, administer k/a/serviceaccounts/boss";
    let opaque = "write k/a/secrets/s, opaque";
    let annotations = r#"{"kubernetes.io/service-account.name":"boss"}"#;
    let whole = r#"{"metadata":{"name":"s","annotations":#},"type":"kubernetes.io/service-account-token"}"#;
    let whole = |annotations: &str| whole.replace('#', annotations);
    assert_eq!(beside("POST", secrets, JSON, &whole(annotations)), boss);
    assert_eq!(beside("POST", secrets, JSON, &whole("{}")), opaque);
    assert_eq!(beside("POST", secrets, JSON, &whole(r#"{"kubernetes.io/service-account.name":""}"#)), opaque);
    for media in [STRATEGIC, MERGE, APPLY] {
        let body = r#"{"metadata":{"annotations":#}}"#.replace('#', annotations);
        assert_eq!(beside("PATCH", one, media, &body), boss);
    }
    for (path, value) in [
        ("/metadata/annotations/kubernetes.io~1service-account.name", r#""boss""#),
        ("/metadata/annotations", annotations),
        ("/metadata", &format!(r#"{{"annotations":{annotations}}}"#)),
        ("", &whole(annotations)),
    ] {
        let body = format!(r#"[{{"op":"add","path":"{path}","value":{value}}}]"#);
        assert_eq!(beside("PATCH", one, PATCH, &body), boss, "{path}");
    }
    let lets_in = r#"{"metadata":{"name":"s"},"type":"bootstrap.kubernetes.io/token"}"#;
    assert_eq!(beside("POST", secrets, JSON, lets_in), opaque);
    let plain = r#"{"metadata":{"name":"s","annotations":{"a":"b"}},"type":"Opaque","data":{"type":"eA=="}}"#;
    assert_eq!(beside("POST", secrets, JSON, plain), "write k/a/secrets/s");
    assert!(read("POST", secrets, JSON, r#"{"Type":"kubernetes.io/service-account-token"}"#).is_err());
}

#[test]
fn a_kind_of_somebodys_own_may_spell_its_members_as_it_likes() {
    let thing = "/apis/example.com/v1/namespaces/a/things/t";
    let beside = |body: &str| beside("PUT", thing, JSON, body).replace("write k/a/things.example.com/t", "");
    assert_eq!(
        beside(r#"{"spec":{"Image":"q.io/a","Rules":[],"Spec":{}}}"#),
        ", execute k/_image/q.io/a/:latest"
    );
    assert_eq!(
        beside(r#"{"spec":{"Secret":{"Name":"s"},"HostNetwork":true}}"#),
        ", administer k/_host/network"
    );
    assert_eq!(beside(r#"{"spec":{"env":{"a":"b"},"volumes":{"x":{}}}}"#), "");
}

#[test]
fn a_kind_of_somebodys_own_may_mean_something_else_by_a_name() {
    let thing = "/apis/example.com/v1/namespaces/a/things/t";
    for (spec, expected) in [
        (
            r#"{"hostPort":{"enabled":true,"ports":{"http":80}}}"#,
            ", administer k/_host/port, administer k/_host/port/80",
        ),
        (r#"{"hostPort":{"enabled":false,"ports":{"http":80}}}"#, ""),
        (r#"{"hostPort":"80"}"#, ", administer k/_host/port/80"),
        (r#"{"hostPort":"x\ny"}"#, ", administer k/_host/port"),
        (r#"{"hostPort":[null,0,false]}"#, ""),
        (r#"{"hostNetwork":{"enabled":false}}"#, ""),
        (r#"{"hostNetwork":{"enabled":true}}"#, ", administer k/_host/network"),
        (r#"{"hostNetwork":"True","hostPID":"false","hostIPC":0}"#, ", administer k/_host/network"),
        (r#"{"privileged":{},"allowPrivilegeEscalation":[]}"#, ""),
        (r#"{"secret":{"name":{"a":1}},"configMap":{"name":["a"]},"hostPath":{"path":{}}}"#, ""),
        (r#"{"sysctls":["a=b"]}"#, ", administer k/_host/sysctl/a"),
        (r#"{"sysctls":{"enabled":true,"a.b":1}}"#, ", administer k/_host/sysctl/a.b"),
        (r#"{"capabilities":["x"]}"#, ""),
        (r#"{"capabilities":{"add":{"x":1}}}"#, ""),
        (r#"{"capabilities":{"Add":"KILL"}}"#, ", administer k/_host/capability/KILL"),
        (r#"{"capabilities":{"add":[["x"],"KILL"]}}"#, ", administer k/_host/capability/KILL"),
        (r#"{"seccompProfile":{"type":1}}"#, ""),
        (r#"{"seccompProfile":{"Type":"Unconfined"}}"#, ", administer k/_host/unconfined/seccomp"),
    ] {
        let all = beside("PUT", thing, JSON, &format!(r#"{{"spec":{spec}}}"#));
        assert_eq!(all, format!("write k/a/things.example.com/t{expected}"), "{spec}");
    }
    for spec in [r#"{"hostPort":"80"}"#, r#"{"hostNetwork":"true"}"#, r#"{"sysctls":["a=b"]}"#] {
        assert_eq!(read("POST", PODS, JSON, &pod(spec)).err(), Some(why::WRONG_TYPE), "{spec}");
    }
    let capabilities = r#"{"capabilities":{"add":"KILL"}}"#;
    assert_eq!(read("POST", PODS, JSON, &pod(capabilities)).err(), Some(why::WRONG_TYPE));
}

#[test]
fn a_patch_may_take_rights_away() {
    let remove = |target: &str, path: &str| {
        let patch = format!(r#"[{{"op":"remove","path":"{path}"}}]"#);
        beside("PATCH", target, PATCH, &patch)
    };
    let role = &format!("{ROLES}/r");
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings/b";
    let own = "administer k/_/clusterroles.rbac.authorization.k8s.io/r";
    for path in ["/rules/0", "/rules", "/rules/0/verbs/0", "/rules/0/resources/0", "/rules/0/apiGroups"] {
        assert_eq!(remove(role, path), own, "{path}");
    }
    // To the server it is the empty text, which is the core group.
    let null = r#"[{"op":"replace","path":"/rules/0/apiGroups/0","value":null}]"#;
    assert!(read("PATCH", role, PATCH, null).is_err());
    assert!(
        read("POST", ROLES, JSON, r#"{"rules":[{"verbs":["*"],"resources":["x"],"apiGroups":[null]}]}"#)
            .is_err()
    );
    // For all objects, and no longer for some.
    for path in ["/rules/0/resourceNames/0", "/rules/0/resourceNames"] {
        assert_eq!(remove(role, path), format!("{own}, administer k/_grant/*/*.*"), "{path}");
    }
    assert_eq!(remove(binding, "/subjects/0"), "administer k/a/rolebindings.rbac.authorization.k8s.io/b");
    for path in ["/containers/0/securityContext/capabilities/add/0", "/securityContext/sysctls/0"] {
        assert_eq!(remove(DEPLOYMENT, &format!("/spec/template/spec{path}")), "", "{path}");
    }
}

#[test]
fn what_a_role_permits_and_to_whom() {
    let grants = |body: &str| {
        let all = beside("POST", ROLES, JSON, body);
        all.replace("administer k/_grant/", "+").replace("administer k/", "")
    };
    let own = "_/clusterroles.rbac.authorization.k8s.io";
    let cases = [
        (
            r#"{"rules":[{"verbs":["get","bind"],"apiGroups":["","apps"],"resources":["x"]}]}"#,
            "+bind/x, +bind/x.apps, +get/x, +get/x.apps",
        ),
        (r#"{"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]}"#, "+*/*.*"),
        (r#"{"rules":[{"verbs":["get"],"nonResourceURLs":["/metrics"]}]}"#, "+get/%2Fmetrics"),
        (
            r#"{"rules":[{"verbs":["impersonate"],"apiGroups":[""],"resources":["users"]}]}"#,
            "+impersonate/users",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(grants(body), format!("{own}, {expected}"), "{body}");
    }
    let aggregated =
        r#"{"metadata":{"name":"r"},"aggregationRule":{"clusterRoleSelectors":[]},"rules":null}"#;
    assert_eq!(grants(aggregated), format!("{own}/r, _grant"));

    let patch =
        |patch: &str| beside("PATCH", &format!("{ROLES}/r"), PATCH, patch).replace("administer k/", "");
    let verb = r#"[{"op":"add","path":"/rules/0/verbs/-","value":"escalate"}]"#;
    assert_eq!(patch(verb), format!("{own}/r, _grant/escalate/*.*"));
    let kind = r#"[{"op":"add","path":"/rules/0/resources/-","value":"secrets"}]"#;
    assert_eq!(patch(kind), format!("{own}/r, _grant/*/secrets.*"));

    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings";
    let binding = r#"{"metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"cluster-admin"},
        "subjects":[{"kind":"ServiceAccount","namespace":"a","name":"s"},{"kind":"User","name":"u"}]}"#;
    assert_eq!(
        beside("POST", bindings, JSON, binding).replace("administer k/", ""),
        "_/clusterroles.rbac.authorization.k8s.io/cluster-admin, _subject/ServiceAccount/a/s, _subject/User/u, \
         a/rolebindings.rbac.authorization.k8s.io/b"
    );
    let strange = r#"{"roleRef":{"kind":"Clusterrole","name":"cluster-admin"}}"#;
    assert!(beside("POST", bindings, JSON, strange).ends_with("opaque"));
}

#[test]
fn a_created_object_has_the_name_that_its_body_says() {
    let on = |body: &str| beside("POST", "/api/v1/namespaces/a/configmaps", JSON, body);
    assert_eq!(
        on(r#"{"metadata":{"name":"m","namespace":"a"},"data":{"image":"x"}}"#),
        "write k/a/configmaps/m"
    );
    assert_eq!(on(r#"{"metadata":{"generateName":"m-"}}"#), "write k/a/configmaps");
    let binding = r#"{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}"#;
    assert_eq!(
        beside("POST", "/api/v1/namespaces/a/bindings", JSON, binding),
        "administer k/a/pods/p/binding"
    );
    let said = read("POST", PODS, JSON, r#"{"metadata":{"generateName":"m-"}}"#).unwrap();
    assert!(said.generates_name && said.name.is_none());
    let bad = [
        (POD, r#"{"metadata":{"name":"q"}}"#, why::ANOTHER_OBJECT),
        (POD, r#"{"metadata":{"namespace":"b"}}"#, why::ANOTHER_OBJECT),
        ("/api/v1/nodes/n", r#"{"metadata":{"namespace":"b"}}"#, why::ANOTHER_OBJECT),
        (POD, r#"{"kind":"PodList"}"#, why::A_LIST),
        (POD, r#"[]"#, why::NO_OBJECT),
        (POD, r#""x""#, why::NO_OBJECT),
    ];
    for (target, body, expected) in bad {
        assert_eq!(read("PUT", target, JSON, body), Err(expected), "{body}");
    }
    assert_eq!(read("POST", PODS, JSON, r#"{"metadata":{"name":"../x"}}"#), Err(why::BAD_NAME));
}

#[test]
fn a_body_that_has_more_than_one_reading_is_refused() {
    let sentences = [
        (r#"{"spec":{"hostNetwork":false,"hostNetwork":true}}"#, "the JSON says a name twice in one object"),
        (r#"{"spec":{"a":1,"\u0061":2}}"#, "the JSON says a name twice in one object"),
        (r#"{"spec":{}} {}"#, "the JSON is malformed"),
        (r#"{"spec":{},}"#, "the JSON is malformed"),
        ("", "the JSON is malformed"),
        (r#"{"Metadata":{"name":"x"}}"#, "a name differs from a known one only in the case of its letters"),
        (
            r#"{"spec":{"HostNetwork":true}}"#,
            "a name that differs from a known one only in the case of its letters",
        ),
        (
            r#"{"spec":{"containers":[{"Image":"x"}]}}"#,
            "a name that differs from a known one only in the case of its letters",
        ),
        (
            r#"{"spec":{"volumes":[{"secret":{"SecretName":"x"}}]}}"#,
            "a name that differs from a known one only in the case of its letters",
        ),
        (r#"{"spec":{"hostNetwork":1}}"#, "a member that is not what its name says"),
        (r#"{"spec":{"volumes":[{"hostPath":{"path":5}}]}}"#, "a member that is not what its name says"),
    ];
    for (body, sentence) in sentences {
        assert_eq!(read("POST", PODS, JSON, body).unwrap_err().outward, sentence, "{body}");
    }
}

#[test]
fn yaml_says_what_its_json_says() {
    let yaml = "\
# Applied by hand.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: d
spec:
  replicas: 2
  template:
    spec:
      hostNetwork: true
      containers:
      - name: c
        image: nginx:1.25
        args: [sh, -c, 'echo \"a\"']
        env:
        - {name: A, value: \"yes\"}
      volumes:
      - name: v
        hostPath: {path: /etc}
";
    let json = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":2,"template":{"spec":{"hostNetwork":true,"containers":[{"name":"c","image":"nginx:1.25","args":["sh","-c","echo \"a\""],"env":[{"name":"A","value":"yes"}]}],"volumes":[{"name":"v","hostPath":{"path":"/etc"}}]}}}}"#;
    assert_eq!(body::json(Written::Yaml, yaml.as_bytes()).unwrap(), json.as_bytes());
    let said = read("PATCH", DEPLOYMENT, APPLY, yaml).unwrap();
    assert_eq!(said, read("PATCH", DEPLOYMENT, APPLY, json).unwrap());
    assert!(said.facts.len() >= 3, "{:?}", said.facts);
    let whole = said.facts.clone();
    assert_eq!(read("PUT", DEPLOYMENT, "application/yaml", yaml).unwrap().facts, whole);
    assert_eq!(read("DELETE", POD, "application/yaml", "dryRun: [All]\n").map(|said| said.dry_run), Ok(true));
    assert_eq!(read("DELETE", POD, "application/yaml", "").map(|said| said.dry_run), Ok(false));
    // JSON that is called YAML stays as it is, with its spaces and digits.
    for text in [" \n{\"spec\": {\"replicas\": 1e0}}", "{}"] {
        assert_eq!(body::json(Written::Yaml, text.as_bytes()).unwrap(), text.as_bytes());
        assert!(read("PATCH", DEPLOYMENT, APPLY, text).is_ok());
    }
}

#[test]
fn yaml_that_has_more_than_one_reading_is_refused() {
    let bad = [
        "spec: {hostNetwork: no}",
        "spec: {hostNetwork: true, hostNetwork: false}",
        "spec: &s {}",
        "spec: {<<: {hostNetwork: true}}",
        "spec: !!set {}",
        "spec: {}\n---\nspec: {hostNetwork: true}",
        "spec: {}\nSpec: {}",
        "{\"a\":[{\"<<\":{}}]}",
        "{\"a\":1e400}",
        "\u{feff}{}",
        "a: b\u{2028}c",
        "yes",
        "# nothing",
    ];
    for yaml in bad {
        let why = read("PATCH", DEPLOYMENT, APPLY, yaml).expect_err(yaml);
        assert!([why::kind::AMBIGUOUS, wire::kind::BAD_VALUE].contains(&why.kind), "{yaml}: {why:?}");
    }
    assert!(read("PATCH", DEPLOYMENT, MERGE, r#"{"a":[{"<<":{}}]}"#).is_ok());
    let why = read("PATCH", DEPLOYMENT, APPLY, "a: yes").unwrap_err();
    assert!(why.outward.contains("put it in quotes") && why.inward == "body: YAML", "{why:?}");
    // What is not written as JSON is not read.
    let (_, asked) = asked("PATCH", DEPLOYMENT);
    assert_eq!(body::read(&asked, Form::Apply, Written::Yaml, b"{}"), Err(why::STILL_YAML));
    assert_eq!(body::read(&asked, Form::Apply, Written::Protobuf, b"{}"), Err(why::STILL_PROTOBUF));
}

#[test]
fn a_body_goes_upstream_as_json_with_a_type_that_the_server_has_for_it() {
    for (verb, media, upstream) in [
        (Verb::Create, JSON, JSON),
        (Verb::Create, "application/yaml", JSON),
        (Verb::Create, "application/vnd.kubernetes.protobuf", JSON),
        (Verb::Patch, PATCH, PATCH),
        (Verb::Patch, MERGE, MERGE),
        (Verb::Patch, STRATEGIC, STRATEGIC),
        (Verb::Patch, APPLY, APPLY),
    ] {
        let (form, _) = body::form(verb, Some(media.as_bytes())).unwrap();
        assert_eq!(form.media(), upstream, "{media}");
    }
}

#[test]
fn the_type_of_a_body_is_known_and_its_verbs() {
    let form = |verb, media: &str| body::form(verb, Some(media.as_bytes()));
    assert_eq!(form(Verb::Patch, STRATEGIC), Ok((Form::StrategicPatch, Written::Json)));
    assert_eq!(form(Verb::Patch, APPLY), Ok((Form::Apply, Written::Yaml)));
    assert_eq!(form(Verb::Create, "Application/JSON; charset=UTF-8"), Ok((Form::Object, Written::Json)));
    assert_eq!(body::form(Verb::Create, None), Ok((Form::Object, Written::Json)));
    assert_eq!(body::form(Verb::Patch, None), Err(why::NO_PATCH_TYPE));
    let bad = [
        (Verb::Patch, "application/vnd.kubernetes.protobuf", why::WRONG_MEDIA),
        (Verb::Create, "application/cbor", why::CBOR),
        (Verb::Patch, "application/apply-patch+cbor", why::CBOR),
        (Verb::Create, "text/plain", why::UNKNOWN_MEDIA),
        (Verb::Create, "application/json;charset=utf-16", why::UNKNOWN_MEDIA),
        (Verb::Create, "application/json, application/yaml", why::UNKNOWN_MEDIA),
        (Verb::Patch, JSON, why::WRONG_MEDIA),
        (Verb::Update, MERGE, why::WRONG_MEDIA),
    ];
    for (verb, media, expected) in bad {
        assert_eq!(form(verb, media), Err(expected), "{media}");
    }
}

#[test]
fn the_body_of_a_delete_says_whether_it_is_a_dry_run() {
    let dry = |target: &str, body: &str| read("DELETE", target, JSON, body).map(|said| said.dry_run);
    assert_eq!(dry(POD, ""), Ok(false));
    assert_eq!(dry(&format!("{POD}?dryRun=All"), ""), Ok(true));
    assert_eq!(
        dry(POD, r#"{"kind":"DeleteOptions","dryRun":["All"],"propagationPolicy":"Background"}"#),
        Ok(true)
    );
    assert_eq!(dry(POD, "{}"), Ok(false));
    assert_eq!(dry(POD, r#"{"dryRun":[]}"#), Ok(false));
    assert_eq!(dry(POD, r#"{"dryRun":["all"]}"#), Err(why::NOT_A_DRY_RUN));
    assert_eq!(dry(POD, r#"{"dryRun":["All","All"]}"#), Err(why::NOT_A_DRY_RUN));
    // The server takes the body's options, and those do not say it.
    assert_eq!(dry(&format!("{POD}?dryRun=All"), "{}"), Err(why::DELETE_TWICE));
    assert_eq!(
        dry(&format!("{POD}?gracePeriodSeconds=0"), r#"{"gracePeriodSeconds":1}"#),
        Err(why::DELETE_TWICE)
    );
    let both =
        format!("{POD}?dryRun=All&gracePeriodSeconds=0&propagationPolicy=Background&orphanDependents=true");
    let same = r#"{"dryRun":["All"],"gracePeriodSeconds":0,"propagationPolicy":"Background","orphanDependents":true}"#;
    assert_eq!(dry(&both, same), Ok(true));
    assert_eq!(dry(POD, r#"{"DryRun":["All"]}"#), Err(why::NO_DELETE_OPTIONS));
    assert_eq!(dry(POD, r#"{"kind":"Pod"}"#), Err(why::NO_DELETE_OPTIONS));
    assert_eq!(read("GET", POD, JSON, "{}"), Err(why::BODY_OF_A_READ));
}

#[test]
fn bodies_are_bounded() {
    for written in [Written::Json, Written::Yaml, Written::Protobuf] {
        let large = vec![b' '; BODY_BYTES_MAX + 1];
        assert_eq!(body::json(written, &large), Err(why::BODY_TOO_LARGE), "{written:?}");
    }
    // As JSON each line feed has two bytes.
    let lines = |n: usize| {
        let text = format!("a: |\n  b{}", "\n".repeat(n)).replacen('|', "|+", 1);
        body::json(Written::Yaml, text.as_bytes()).map(|json| json.len())
    };
    let around = "{\"a\":\"b\"}".len();
    assert_eq!(lines((BODY_BYTES_MAX - around) / 2), Ok(around + (BODY_BYTES_MAX - around) / 2 * 2));
    assert_eq!(lines((BODY_BYTES_MAX - around) / 2 + 1), Err(why::BODY_TOO_LARGE));
    let padded = |n: usize| format!("{{{}}}", " ".repeat(n - 2));
    assert!(read("POST", PODS, JSON, &padded(BODY_BYTES_MAX)).is_ok());
    assert_eq!(read("POST", PODS, JSON, &padded(BODY_BYTES_MAX + 1)), Err(why::BODY_TOO_LARGE));
    let images = |n: usize| {
        let all: Vec<String> = (0..n).map(|n| format!(r#"{{"image":"q.io/{n}"}}"#)).collect();
        pod(&format!(r#"{{"containers":[{}]}}"#, all.join(",")))
    };
    assert_eq!(read("POST", PODS, JSON, &images(FACTS_MAX)).unwrap().facts.len(), FACTS_MAX);
    assert_eq!(read("POST", PODS, JSON, &images(FACTS_MAX + 1)), Err(why::TOO_MANY_FACTS));
    let node = |text: &str| {
        read("POST", PODS, JSON, &pod(&format!(r#"{{"nodeName":"{text}"}}"#))).map(|said| said.facts.len())
    };
    assert_eq!(node(&"n".repeat(FACT_BYTES_MAX)), Ok(1));
    assert_eq!(node(&"n".repeat(FACT_BYTES_MAX + 1)), Err(why::BAD_FACT));
    assert_eq!(node(r"n\u001b[2J"), Err(why::BAD_FACT));
    let long = |n: usize| {
        let all = vec![format!(r#"{{"image":"{}"}}"#, "i".repeat(FACT_BYTES_MAX)); n];
        read("POST", PODS, JSON, &pod(&format!(r#"{{"containers":[{}]}}"#, all.join(","))))
            .map(|said| said.facts.len())
    };
    assert_eq!(long(FACTS_BYTES_MAX / FACT_BYTES_MAX), Ok(1));
    assert_eq!(long(FACTS_BYTES_MAX / FACT_BYTES_MAX + 1), Err(why::TOO_MANY_FACTS));
}

/// A fact that a whole object has is had by each way to put the same thing there by a patch.
#[test]
fn a_patch_in_pieces_has_the_facts_of_the_whole() {
    let pieces = [
        (r#"["spec","hostNetwork"]"#, "true"),
        (r#"["spec","containers",0,"image"]"#, r#""q.io/a""#),
        (r#"["spec","containers",1,"securityContext","privileged"]"#, "true"),
        (r#"["spec","containers",1,"env",0]"#, r#"{"name":"A","value":"b"}"#),
        (r#"["spec","volumes",0,"hostPath","path"]"#, r#""/etc""#),
        (r#"["spec","volumes",1,"secret","secretName"]"#, r#""s""#),
        (r#"["spec","serviceAccountName"]"#, r#""s""#),
        (r#"["spec","initContainers",0,"securityContext","capabilities","add",0]"#, r#""SYS_ADMIN""#),
        (r#"["spec","securityContext","sysctls",0,"name"]"#, r#""a""#),
    ];
    let mut dice = Dice::new(7);
    for (path, leaf) in pieces {
        let tokens: Vec<serde_json::Value> = serde_json::from_str(path).unwrap();
        let wrap = |value: String, token: &serde_json::Value| match token.as_str() {
            Some(name) => format!(r#"{{"{name}":{value}}}"#),
            None => format!("[{value}]"),
        };
        let whole = tokens.iter().rev().fold(leaf.to_owned(), wrap);
        let expected = read("PATCH", POD, MERGE, &whole).unwrap().facts;
        assert!(!expected.is_empty(), "{whole}");
        for cut in 1..=tokens.len() {
            let (front, back) = tokens.split_at(cut);
            let value = back.iter().rev().fold(leaf.to_owned(), wrap);
            let index = ["-", "-1", "+0", "007"].map(str::to_owned);
            let index = [index.as_slice(), &[dice.below(9).to_string()]].concat();
            let pointer: String = front
                .iter()
                .map(|t| format!("/{}", t.as_str().unwrap_or_else(|| dice.pick(&index).as_str())))
                .collect();
            let patch = format!(r#"[{{"op":"add","path":"{pointer}","value":{value}}}]"#);
            let mut facts = read("PATCH", POD, PATCH, &patch).unwrap().facts;
            // What stood there before is gone.
            facts.remove(&Fact::Unconfined("securityContext"));
            assert_eq!(facts, expected, "{patch}");
        }
    }
}

#[test]
fn arbitrary_bodies_do_not_panic_and_show_nothing() {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"image\"",
        "\"hush\"",
        "\"secret\"",
        "\"name\"",
        "1",
        "true",
        "null",
        "\"op\":\"add\"",
        "\"path\":\"/a/0\"",
        "\"value\"",
        "\"volumes\"",
        "\"rules\"",
        "\"env\"",
        "\"capabilities\"",
        "\"add\"",
    ];
    let mut dice = Dice::new(8);
    for _ in 0..40_000 {
        let text = dice.text(&words, 16);
        for (method, target, media) in [("POST", PODS, JSON), ("PATCH", POD, PATCH), ("POST", ROLES, JSON)] {
            let shown = format!("{:?}", read(method, target, media, &text));
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
    assert_eq!(format!("{:?}", Fact::Secret("hush".to_owned())), "secret");
}

#[test]
fn a_secret_of_another_namespace_is_read_there() {
    let of = |body: &str| {
        let Ok(Request::Resource(asked)) = Request::parse(b"POST", b"/api/v1/persistentvolumes") else {
            panic!()
        };
        let said = body::read(&asked, Form::Object, Written::Json, body.as_bytes()).unwrap();
        let facts = said.facts.iter().filter_map(|fact| match fact {
            Fact::SecretOf { namespace, name } => Some(format!("{namespace}/{name}")),
            Fact::Secret(name) => Some(name.clone()),
            _ => None,
        });
        facts.collect::<Vec<_>>()
    };
    assert_eq!(
        of(r#"{"spec":{"csi":{"nodePublishSecretRef":{"name":"db","namespace":"prod"}}}}"#),
        ["prod/db"]
    );
    assert_eq!(
        of(r#"{"spec":{"azureFile":{"secretName":"s","secretNamespace":"prod"}}}"#),
        ["prod/s", "s"].into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(
        of(r#"{"spec":{"certificateRefs":[{"kind":"Secret","name":"tls","namespace":"edge"}]}}"#),
        ["edge/tls"]
    );
    assert_eq!(of(r#"{"spec":{"ref":{"kind":"Secret","name":"here"}}}"#), ["here"]);
}

#[test]
fn what_the_gateway_gave_for_a_value_is_not_written_back() {
    let holds = |method: &[u8], target: &str, form, body: &str| {
        let Ok(Request::Resource(asked)) = Request::parse(method, target.as_bytes()) else {
            panic!("{target}")
        };
        body::holds_mask(&asked, form, body.as_bytes(), |class| class == "config.env").unwrap()
    };
    let secret = "/api/v1/namespaces/n/secrets/s";
    assert!(holds(b"PUT", secret, Form::Object, r#"{"data":{"a":null}}"#));
    assert!(!holds(b"PUT", secret, Form::Object, r#"{"data":{"a":"YQ=="}}"#));
    // `[secret.kubernetes]`, and behind another word.
    let masks = [
        "W3NlY3JldC5rdWJlcm5ldGVzXQ==",
        "cD1bc2VjcmV0Lmt1YmVybmV0ZXNd",
        r"W3NlY3JldC5r\ndWJlcm5ldGVz\r\nXQ==",
        "/1tzZWNyZXQua3ViZXJuZXRlc13/",
    ];
    for mask in masks {
        let body = |around: &str| around.replace('#', mask);
        assert!(holds(b"PUT", secret, Form::Object, &body(r##"{"data":{"a":"#"}}"##)));
        assert!(holds(b"PATCH", secret, Form::MergePatch, &body(r##"{"data":{"a":"#"}}"##)));
        assert!(holds(
            b"PATCH",
            secret,
            Form::JsonPatch,
            &body(r##"[{"op":"add","path":"/data/a","value":"#"}]"##)
        ));
        let pod = "/api/v1/namespaces/n/pods/p";
        assert!(!holds(b"PUT", pod, Form::Object, &body(r##"{"data":{"a":"#"}}"##)), "a text like others");
    }
    assert!(!holds(b"PATCH", secret, Form::MergePatch, r#"{"data":{"a":null}}"#), "a value is taken away");
    let map = "/api/v1/namespaces/n/configmaps/c";
    assert!(holds(b"PUT", map, Form::Object, r#"{"data":{"mail":"[pii.email]"}}"#));
    assert!(holds(b"PUT", map, Form::Object, r#"{"binaryData":{"a":null}}"#));
    assert!(holds(b"PUT", map, Form::Object, r#"{"data":{"a":"x=[config.env]"}}"#), "a rule governs it");
    assert!(!holds(
        b"PUT",
        map,
        Form::Object,
        r#"{"data":{"a":"[x] [pii] [other.thing] [pii.] [config.server]"}}"#
    ));
    assert!(
        !holds(b"PUT", map, Form::Object, r#"{"data":{"a":"[secret.store]\nkind = 1\n"}}"#),
        "a section of a file"
    );
}
