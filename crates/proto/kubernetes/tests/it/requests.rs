//! Method and target -> what the server's RequestInfo says, and what policy hears.

use crate::dice::Dice;
use proto_kubernetes::action;
use proto_kubernetes::fault::{self as why, Reason};
use proto_kubernetes::limits::*;
use proto_kubernetes::query::{Connect, Include, Proxied};
use proto_kubernetes::request::{Asked, Request, ServerPath};
use vocab::ResourcePath;

fn parse(method: &str, target: &str) -> Result<Request, Reason> {
    Request::parse(method.as_bytes(), target.as_bytes())
}

fn asked(method: &str, target: &str) -> Asked {
    match parse(method, target) {
        Ok(Request::Resource(asked)) => *asked,
        other => panic!("{method} {target}: {other:?}"),
    }
}

/// `VERB GROUP/VERSION NAMESPACE RESOURCE NAME SUBRESOURCE`, `-` for what is not there.
fn info(method: &str, target: &str) -> String {
    let Asked { verb, object, .. } = asked(method, target);
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let group = if object.group.is_empty() { "-".to_owned() } else { object.group };
    let (namespace, name, sub) = (or(object.namespace), or(object.name), or(object.subresource));
    format!("{} {group}/{} {namespace} {} {name} {sub}", verb.as_str(), object.version, object.resource)
}

/// The table of k8s.io/apiserver's own test (`TestGetAPIRequestInfo`), where a route answers; the rest is below.
#[test]
fn requests_of_objects_are_resolved_as_the_server_resolves_them() {
    let cases = [
        ("GET", "/api/v1/namespaces", "list -/v1 - namespaces - -"),
        ("GET", "/api/v1/namespaces/other", "get -/v1 other namespaces other -"),
        ("GET", "/api/v1/namespaces/other/pods", "list -/v1 other pods - -"),
        ("GET", "/api/v1/namespaces/other/pods/foo", "get -/v1 other pods foo -"),
        ("GET", "/api/v1/pods", "list -/v1 - pods - -"),
        ("POST", "/api/v1/pods", "create -/v1 - pods - -"),
        ("GET", "/api/v1/namespaces/other/pods/foo/status", "get -/v1 other pods foo status"),
        ("PUT", "/api/v1/namespaces/other/pods/foo", "update -/v1 other pods foo -"),
        ("PATCH", "/api/v1/namespaces/other/pods/foo", "patch -/v1 other pods foo -"),
        ("PATCH", "/api/v1/namespaces/other/pods/foo/status", "patch -/v1 other pods foo status"),
        ("DELETE", "/api/v1/namespaces/other/pods/foo", "delete -/v1 other pods foo -"),
        ("POST", "/api/v1/namespaces/other/pods", "create -/v1 other pods - -"),
        ("DELETE", "/api/v1/nodes", "deletecollection -/v1 - nodes - -"),
        ("DELETE", "/api/v1/namespaces", "deletecollection -/v1 - namespaces - -"),
        ("DELETE", "/api/v1/namespaces/other/pods", "deletecollection -/v1 other pods - -"),
        ("DELETE", "/apis/apps/v1/namespaces/o/pods?labelSelector=a", "deletecollection apps/v1 o pods - -"),
        ("GET", "/api/v1/watch/pods", "watch -/v1 - pods - -"),
        ("GET", "/api/v1/watch/namespaces/other/pods", "watch -/v1 other pods - -"),
        ("GET", "/api/v1/watch/namespaces/other/pods/foo", "watch -/v1 other pods foo -"),
        ("GET", "/api/v1/watch/namespaces/other", "watch -/v1 other namespaces other -"),
        ("GET", "/api/v1/pods?watch=true", "watch -/v1 - pods - -"),
        ("GET", "/api/v1/pods?watch=True", "watch -/v1 - pods - -"),
        ("GET", "/api/v1/pods?watch=1", "watch -/v1 - pods - -"),
        ("GET", "/api/v1/pods?watch=false", "list -/v1 - pods - -"),
        ("GET", "/api/v1/pods?watch=0", "list -/v1 - pods - -"),
        ("GET", "/api/v1/namespaces/other/pods?watch=1", "watch -/v1 other pods - -"),
        ("GET", "/api/v1/namespaces/foo/status", "get -/v1 foo namespaces foo status"),
        ("PUT", "/api/v1/namespaces/foo/finalize", "update -/v1 foo namespaces foo finalize"),
        ("GET", "/apis/batch/v1/namespaces/other/jobs/foo", "get batch/v1 other jobs foo -"),
        ("GET", "/apis/apps/v1/deployments", "list apps/v1 - deployments - -"),
        ("GET", "/apis/apps/v1/namespaces/a/deployments/b/scale", "get apps/v1 a deployments b scale"),
        ("GET", "/apis/example.com/v1alpha1/things/x", "get example.com/v1alpha1 - things x -"),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/b/token", "create -/v1 a serviceaccounts b token"),
        ("POST", "/api/v1/namespaces/a/pods/b/eviction", "create -/v1 a pods b eviction"),
        (
            "PATCH",
            "/api/v1/namespaces/a/pods/b/ephemeralcontainers",
            "patch -/v1 a pods b ephemeralcontainers",
        ),
        ("GET", "/api/v1/namespaces/a/pods/b/log?follow=true", "get -/v1 a pods b log"),
        ("GET", "/api/v1/namespaces/a/pods/b/exec?command=ls&stdout=1", "get -/v1 a pods b exec"),
        ("POST", "/api/v1/namespaces/a/pods/b/exec?command=ls&stdout=1", "create -/v1 a pods b exec"),
        ("POST", "/api/v1/namespaces/a/pods/b/attach?stdin=1", "create -/v1 a pods b attach"),
        ("POST", "/api/v1/namespaces/a/pods/b/portforward", "create -/v1 a pods b portforward"),
        (
            "DELETE",
            "/api/v1/namespaces/a/services/http:b:80/proxy/x/",
            "delete -/v1 a services http:b:80 proxy",
        ),
        ("GET", "/api/v1/nodes/n/proxy/stats/summary", "get -/v1 - nodes n proxy"),
        (
            "GET",
            "/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/pods/*/http_requests",
            "get custom.metrics.k8s.io/v1beta1 a pods * http_requests",
        ),
        (
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
            "get rbac.authorization.k8s.io/v1 - clusterroles system:node -",
        ),
        (
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "get rbac.authorization.k8s.io/v1 - clusterroles system:node -",
        ),
        // A namespace may have any name that is a label.
        ("GET", "/api/v1/namespaces/watch/pods", "list -/v1 watch pods - -"),
        ("GET", "/api/v1/namespaces/status", "get -/v1 status namespaces status -"),
    ];
    for (method, target, expected) in cases {
        assert_eq!(info(method, target), expected, "{method} {target}");
    }
}

#[test]
fn a_selector_of_one_name_is_a_read_of_that_name() {
    let cases = [
        ("fieldSelector=metadata.name%3Dmy-pod", "list -/v1 a pods my-pod -"),
        ("fieldSelector=metadata.name==my-pod", "list -/v1 a pods my-pod -"),
        ("fieldSelector=metadata.name%3Dmy-pod&watch=true", "watch -/v1 a pods my-pod -"),
        ("fieldSelector=spec.nodeName%3Dn,metadata.name%3Dmy-pod", "list -/v1 a pods my-pod -"),
        ("fieldSelector=metadata.name!%3Dmy-pod", "list -/v1 a pods - -"),
        ("fieldSelector=metadata.namespace%3Dmy-pod", "list -/v1 a pods - -"),
        // No name of an object, so that the server does not take it for one.
        ("fieldSelector=metadata.name%3Da%2Fb", "list -/v1 a pods - -"),
        ("fieldSelector=metadata.name%3D", "list -/v1 a pods - -"),
        ("fieldSelector=metadata.name%3Da%5C,b", "list -/v1 a pods a,b -"),
        ("fieldSelector=", "list -/v1 a pods - -"),
        ("fieldSelector=,,", "list -/v1 a pods - -"),
    ];
    for (query, expected) in cases {
        assert_eq!(info("GET", &format!("/api/v1/namespaces/a/pods?{query}")), expected, "{query}");
    }
    // A delete of a collection stays one, whatever it selects.
    let target = "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx";
    assert_eq!(info("DELETE", target), "deletecollection -/v1 a pods - -");
}

#[test]
fn paths_of_the_server_are_known_or_refused() {
    let good = [
        ("/", ServerPath::Discovery),
        ("/api", ServerPath::Discovery),
        ("/api/v1", ServerPath::Discovery),
        ("/apis", ServerPath::Discovery),
        ("/apis/apps", ServerPath::Discovery),
        ("/apis/apps/v1?timeout=32s", ServerPath::Discovery),
        ("/openapi/v2?timeout=32s", ServerPath::OpenApi),
        ("/openapi/v3", ServerPath::OpenApi),
        ("/openapi/v3/apis/apps/v1?hash=0A%2B", ServerPath::OpenApi),
        ("/version?timeout=32s", ServerPath::Version),
        ("/healthz", ServerPath::Health),
        ("/readyz/poststarthook/start-x?verbose", ServerPath::Health),
        ("/livez?verbose&exclude=etcd&exclude=ping", ServerPath::Health),
        ("/metrics", ServerPath::Metrics),
        ("/metrics/slis", ServerPath::Metrics),
        ("/.well-known/openid-configuration", ServerPath::OpenId),
        ("/openid/v1/jwks", ServerPath::OpenId),
    ];
    for (target, expected) in good {
        let found = parse("GET", target);
        assert!(matches!(&found, Ok(Request::Path(path, _)) if *path == expected), "{target}: {found:?}");
    }
    let bad =
        ["/debug/pprof/profile", "/logs/kube", "/swagger.json", "/ui", "/metricsx", "/v1/pods", "/configz"];
    for target in bad {
        assert_eq!(parse("GET", target), Err(why::UNKNOWN_PATH), "{target}");
    }
    assert_eq!(parse("POST", "/version"), Err(why::WRONG_METHOD));
    assert_eq!(parse("GET", "/version?x=1"), Err(why::UNKNOWN_PARAMETER));
    // So Python's client asks; the server reads it as without.
    for target in ["/version/", "/api/", "/apis/", "/apis/apps/", "/apis/apps/v1/"] {
        assert_eq!(parse("GET", target), parse("GET", target.trim_end_matches('/')), "{target}");
    }
    assert_eq!(parse("GET", "/healthz/"), Err(why::EMPTY_SEGMENT));
    // And so kube-rs; Go leaves out what is empty.
    for query in ["?&limit=2", "?limit=2&", "?&&limit=2&&"] {
        let target = format!("/api/v1/pods{query}");
        assert_eq!(parse("GET", &target), parse("GET", "/api/v1/pods?limit=2"), "{target}");
    }
}

#[test]
fn what_two_servers_could_read_differently_is_refused() {
    let cases = [
        ("/api/v1//pods", why::EMPTY_SEGMENT),
        ("//api/v1/pods", why::EMPTY_SEGMENT),
        ("/api/v1/pods/", why::EMPTY_SEGMENT),
        ("/api/v1/namespaces//pods", why::EMPTY_SEGMENT),
        ("/api/v1/pods/../secrets", why::DOT_SEGMENT),
        ("/api/v1/pods/./x", why::DOT_SEGMENT),
        ("/api/v1/pods/%2e%2e/secrets", why::DOT_SEGMENT),
        ("/api/v1/namespaces/a%2Fsecrets", why::HIDDEN_SEPARATOR),
        ("/api/v1/namespaces/a%2fsecrets/x", why::HIDDEN_SEPARATOR),
        ("/api/v1/namespaces/a%5csecrets", why::HIDDEN_SEPARATOR),
        ("/api/v1/pods/%252e%252e", why::HIDDEN_SEPARATOR),
        ("/api/v1/pods/%zz", why::BAD_ESCAPE),
        ("/api/v1/pods/a%2", why::BAD_ESCAPE),
        ("/api/v1/pods/a%", why::BAD_ESCAPE),
        ("/api/v1/pods/%ff", why::BAD_TEXT),
        ("/api/v1/pods/a%00", why::BAD_TEXT),
        ("/api/v1/pods/a%0a", why::BAD_TEXT),
        ("/api/v1/pods/a%c2%85", why::BAD_TEXT),
        ("/api/v1/pods/a b", why::BAD_BYTE),
        ("/api/v1/pods\\x", why::BAD_BYTE),
        ("/api/v1/pods#x", why::BAD_BYTE),
        ("/api/v1/pods/\u{e4}", why::BAD_BYTE),
        ("api/v1/pods", why::NO_PATH),
        ("*", why::NO_PATH),
        ("http://x/api/v1/pods", why::NO_PATH),
        ("", why::NO_PATH),
        ("/api/v1/pods?watch=1;limit=1", why::QUERY_SEMICOLON),
        ("/api/v1/pods?=b", why::QUERY_EMPTY_PAIR),
        ("/api/v1/pods?watch=false&watch=true", why::PARAMETER_TWICE),
        ("/api/v1/pods?limit=1&limit=2", why::PARAMETER_TWICE),
        ("/api/v1/pods?watch", why::NOT_A_BOOLEAN),
        ("/api/v1/pods?watch=", why::NOT_A_BOOLEAN),
        ("/api/v1/pods?watch=yes", why::NOT_A_BOOLEAN),
        ("/api/v1/pods?watch=t", why::NOT_A_BOOLEAN),
        ("/api/v1/pods?Watch=true", why::UNKNOWN_PARAMETER),
        ("/api/v1/pods?dryRun=All", why::UNKNOWN_PARAMETER),
        ("/api/v1/namespaces/a/pods/b?watch=true", why::WATCH_ON_NAME),
        ("/api/v1/namespaces/a/pods/b?fieldSelector=metadata.name%3Dc", why::UNKNOWN_PARAMETER),
        ("/api/v1/pods?fieldSelector=metadata.name%3Da,metadata.name%3Db", why::BAD_SELECTOR),
        ("/api/v1/pods?fieldSelector=metadata.name", why::BAD_SELECTOR),
        ("/api/v1/pods?fieldSelector=%3Da", why::BAD_SELECTOR),
        ("/api/v1/pods?fieldSelector=a%3Db%3Dc", why::BAD_SELECTOR),
        ("/api/v1/pods?fieldSelector=a%3D%5Cx", why::BAD_SELECTOR),
        ("/api/v1/pods?limit=-1", why::NOT_A_NUMBER),
        ("/api/v1/pods?limit=1e3", why::NOT_A_NUMBER),
        ("/api/v1/pods?includeObject=All", why::BAD_OPTION),
        ("/api/v1/proxy/namespaces/a/pods/b", why::PREFIX_PROXY),
        ("/api/v1/watch", why::UNKNOWN_PATH),
        ("/apis/apps/v1/watch", why::UNKNOWN_PATH),
        ("/api/v1/namespaces/a/namespaces/b", why::NAMESPACE_TWICE),
        ("/api/v1/namespaces/a/pods/b/status/c", why::TOO_DEEP),
        ("/api/v1/namespaces/a/pods/b/exec/c?command=ls&stdout=1", why::TOO_DEEP),
        ("/api/v1/namespaces/a/pods/b/log/", why::EMPTY_SEGMENT),
        ("/api/v1/namespaces/A/pods", why::BAD_NAMESPACE),
        ("/api/v1/namespaces/_/pods", why::BAD_NAMESPACE),
        ("/api/v1/namespaces/a.b/pods", why::BAD_NAMESPACE),
        ("/api/V1/pods", why::BAD_VERSION),
        ("/api/1/pods", why::BAD_VERSION),
        ("/apis/Apps/v1/pods", why::BAD_GROUP),
        ("/apis/apps/v1/Deployments", why::BAD_RESOURCE),
        ("/apis/apps/v1/deployments/a/sc*le", why::BAD_RESOURCE),
        ("/apis/apps/v1/namespaces/a/deployments/b/exec", why::UNKNOWN_PATH),
        ("/apis/example.com/v1/things/b/proxy/x", why::UNKNOWN_PATH),
        ("/api/v1/namespaces/a/services/b/proxy?path=/x", why::PATH_TWICE),
        ("/api/v1/namespaces/a/pods/b/log?insecureSkipTLSVerifyBackend=true", why::UNKNOWN_PARAMETER),
        ("/api/v1/namespaces/a/pods/b/log?container=../x", why::BAD_OPTION),
    ];
    for (target, expected) in cases {
        assert_eq!(parse("GET", target), Err(expected), "{target}");
    }
    let long = |n: usize| format!("/api/v1/pods?continue={}", "a".repeat(n - "/api/v1/pods?continue=".len()));
    assert!(parse("GET", &long(TARGET_BYTES_MAX)).is_ok());
    assert_eq!(parse("GET", &long(TARGET_BYTES_MAX + 1)), Err(why::TARGET_TOO_LONG));
    let deep = |n: usize| format!("/api/v1/nodes/n/proxy{}", "/a".repeat(n - 5));
    assert!(parse("GET", &deep(SEGMENTS_MAX)).is_ok());
    assert_eq!(parse("GET", &deep(SEGMENTS_MAX + 1)), Err(why::TOO_MANY_SEGMENTS));
    let named = |n: usize| format!("/api/v1/nodes/{}", "a".repeat(n));
    assert!(parse("GET", &named(NAME_BYTES_MAX)).is_ok());
    assert_eq!(parse("GET", &named(NAME_BYTES_MAX + 1)), Err(why::BAD_NAME));
}

#[test]
fn a_method_that_no_route_has_is_refused() {
    for method in ["OPTIONS", "CONNECT", "TRACE", "get", "Get", "PURGE", "GET ", "", "LIST", "WATCH"] {
        assert_eq!(parse(method, "/api/v1/pods"), Err(why::UNKNOWN_METHOD), "{method}");
    }
    let cases = [
        ("PUT", "/api/v1/namespaces/a/pods"),
        ("PATCH", "/api/v1/namespaces/a/pods"),
        ("POST", "/api/v1/namespaces/a/pods/b"),
        ("HEAD", "/api/v1/namespaces/a/pods/b"),
        ("HEAD", "/api/v1/pods"),
        ("POST", "/api/v1/namespaces/a/pods/b/log"),
        ("DELETE", "/api/v1/namespaces/a/pods/b/exec?command=ls&stdout=1"),
        ("PUT", "/api/v1/namespaces/a/pods/b/portforward"),
        ("POST", "/api/v1/watch/pods"),
        ("DELETE", "/api/v1/watch/namespaces/a/pods/b"),
        ("GET", "/api/v1/watch/namespaces/a/pods/b/status"),
    ];
    for (method, target) in cases {
        assert_eq!(parse(method, target), Err(why::WRONG_METHOD), "{method} {target}");
    }
}

#[test]
fn options_are_read() {
    let patch = "/apis/apps/v1/namespaces/a/deployments/b";
    let target = format!("{patch}?fieldManager=kubectl&force=true&dryRun=All&fieldValidation=Strict");
    let options = asked("PATCH", &target).options;
    assert!(options.dry_run && options.force && options.of_delete.is_empty());
    assert!(!asked("PATCH", patch).options.dry_run);
    for (query, expected) in [
        ("dryRun=all", why::NOT_A_DRY_RUN),
        ("dryRun=", why::NOT_A_DRY_RUN),
        ("dryRun=All&dryRun=All", why::PARAMETER_TWICE),
        ("fieldValidation=strict", why::BAD_OPTION),
        ("force=maybe", why::NOT_A_BOOLEAN),
        ("limit=3", why::UNKNOWN_PARAMETER),
    ] {
        assert_eq!(parse("PATCH", &format!("{patch}?{query}")), Err(expected), "{query}");
    }
    assert_eq!(parse("PUT", &format!("{patch}?force=true")), Err(why::UNKNOWN_PARAMETER));
    let delete = asked("DELETE", &format!("{patch}?propagationPolicy=Orphan&dryRun=All")).options;
    assert!(!delete.of_delete.is_empty() && delete.dry_run);
    let list =
        asked("GET", "/api/v1/pods?labelSelector=a+in+(b,c),!d&includeObject=Object&limit=500").options;
    assert_eq!(list.labels.as_deref(), Some("a in (b,c),!d"));
    assert_eq!(list.include, Some(Include::Object));
}

#[test]
fn selectors_are_about_members_of_objects() {
    let selected = |query: &str| {
        let options = asked("GET", &format!("/api/v1/pods?{query}")).options;
        options.selected().iter().map(|pointer| pointer.join("|")).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("limit=1", ""),
        ("labelSelector=", ""),
        ("labelSelector=a", "metadata|labels|a"),
        ("labelSelector=!a", "metadata|labels|a"),
        ("labelSelector=+!+a+", "metadata|labels|a"),
        ("labelSelector=a%3D", "metadata|labels|a"),
        ("labelSelector=a%3D%3Db,x.io/c!%3Dd", "metadata|labels|a metadata|labels|x.io/c"),
        ("labelSelector=a+in+(b,c),!d,e+notin(f)", "metadata|labels|a metadata|labels|d metadata|labels|e"),
        ("labelSelector=a>1,b<2", "metadata|labels|a metadata|labels|b"),
        ("fieldSelector=metadata.name%3Dn,status.phase!%3DRunning", "metadata|name status|phase"),
        ("fieldSelector=spec.host%3Dn", "spec|host spec|nodeName"),
        ("fieldSelector=involvedObject.uid%3Dn", "involvedObject|uid regarding|uid"),
        ("labelSelector=a&fieldSelector=type%3Db", "metadata|labels|a type"),
    ] {
        assert_eq!(selected(query), expected, "{query}");
    }
    for selector in ["%3Da", "a+in+(b", "a+in+(b,(c))", "a)b", "!", "(a)"] {
        let target = format!("/api/v1/pods?labelSelector={selector}");
        assert_eq!(Request::parse(b"GET", target.as_bytes()), Err(why::BAD_SELECTOR), "{selector}");
    }
}

#[test]
fn the_words_of_an_exec_keep_their_order_and_their_spaces() {
    let query =
        "command=sh&stdin=true&command=-c&stdout=True&command=echo+a%26b%0Als&stderr=1&tty=0&container=c-1";
    let Some(Connect::Exec(exec)) =
        asked("GET", &format!("/api/v1/namespaces/a/pods/b/exec?{query}")).connect
    else {
        panic!("no exec");
    };
    assert_eq!(exec.words, ["sh", "-c", "echo a&b\nls"]);
    assert_eq!(exec.streams.container.as_deref(), Some("c-1"));
    let streams = exec.streams;
    assert!(streams.stdin && streams.stdout && streams.stderr && !streams.tty);
    // An empty argument is one; an empty program is none.
    let words =
        |query: &str| match parse("POST", &format!("/api/v1/namespaces/a/pods/b/exec?stdout=1{query}")) {
            Ok(Request::Resource(asked)) => match asked.connect {
                Some(Connect::Exec(exec)) => Ok(exec.words.len()),
                other => panic!("{other:?}"),
            },
            Ok(other) => panic!("{other:?}"),
            Err(why) => Err(why),
        };
    assert_eq!(words("&command=a&command=&command"), Ok(3));
    assert_eq!(words("&command="), Err(why::NO_COMMAND));
    assert_eq!(words(""), Err(why::NO_COMMAND));
    assert_eq!(words("&command=a&Command=b"), Err(why::UNKNOWN_PARAMETER));
    assert_eq!(words("&command=a&stdout=0"), Err(why::PARAMETER_TWICE));
    assert_eq!(words(&"&command=a".repeat(WORDS_MAX - 1)), Ok(WORDS_MAX - 1));
    assert_eq!(words(&"&command=a".repeat(PAIRS_MAX)), Err(why::TOO_MANY_PAIRS));
}

#[test]
fn streams_and_ports_of_a_connection() {
    let pod = "/api/v1/namespaces/a/pods/b";
    let connect = |sub: &str| asked("POST", &format!("{pod}/{sub}")).connect.unwrap();
    let Connect::Attach(streams) = connect("attach?stdin=1&stdout=1&stderr=1&tty=1") else {
        panic!("attach")
    };
    assert!(streams.tty && !streams.stderr, "a terminal has one output");
    assert_eq!(parse("POST", &format!("{pod}/attach")), Err(why::NO_STREAM));
    assert_eq!(parse("POST", &format!("{pod}/exec?command=a&tty=1&stderr=1")), Err(why::NO_STREAM));
    assert_eq!(connect("portforward"), Connect::PortForward(Vec::new()));
    assert_eq!(connect("portforward?ports=80&ports=8080,9"), Connect::PortForward(vec![80, 8080, 9]));
    for port in ["", "0", "080", "65536", "+1", "-1", "a", "1%20", "1,"] {
        assert_eq!(parse("POST", &format!("{pod}/portforward?ports={port}")), Err(why::BAD_PORT), "{port}");
    }
    let many = |n: usize| parse("POST", &format!("{pod}/portforward?ports={}", vec!["1"; n].join(",")));
    assert!(many(PORTS_MAX).is_ok());
    assert_eq!(many(PORTS_MAX + 1), Err(why::BAD_PORT));
    let proxied = Proxied { segments: vec!["x".to_owned(), "y z".to_owned()], trailing_slash: true };
    assert_eq!(connect("proxy/x/y%20z/?a=1&a=2"), Connect::Proxy(proxied));
}

#[test]
fn only_a_connection_that_is_read_is_upgraded() {
    let pod = "/api/v1/namespaces/a/pods/b";
    for target in ["exec?command=a&stdout=1", "attach?stdin=1", "portforward"] {
        assert!(asked("GET", &format!("{pod}/{target}")).upgrades(), "{target}");
    }
    for target in [
        "/api/v1/pods?watch=1",
        "/api/v1/watch/pods",
        &format!("{pod}/log?follow=1"),
        &format!("{pod}/proxy/ws"),
        pod,
    ] {
        assert!(!asked("GET", target).upgrades(), "{target}");
    }
}

#[test]
fn what_a_request_does_in_the_words_of_policy() {
    let cases = [
        ("GET", "/api/v1/namespaces/a/pods/b", "read k/a/pods/b GET"),
        ("GET", "/api/v1/secrets", "read k/_/secrets LIST"),
        ("GET", "/api/v1/namespaces/a/secrets?watch=1", "read k/a/secrets WATCH"),
        ("GET", "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Ds", "read k/a/secrets/s LIST"),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", "write k/a/deployments.apps CREATE"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b", "write k/a/deployments.apps/b PATCH"),
        (
            "PUT",
            "/apis/apps/v1beta2/namespaces/a/deployments/b/scale",
            "write k/a/deployments.apps/b/scale UPDATE",
        ),
        ("DELETE", "/api/v1/namespaces/a/pods", "write k/a/pods DELETE COLLECTION"),
        ("DELETE", "/api/v1/nodes/n", "administer k/_/nodes/n DELETE"),
        (
            "POST",
            "/api/v1/namespaces/a/serviceaccounts/s/token",
            "administer k/a/serviceaccounts/s/token CREATE",
        ),
        (
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            "administer k/_/clusterrolebindings.rbac.authorization.k8s.io CREATE",
        ),
        (
            "PUT",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval",
            "administer k/_/certificatesigningrequests.certificates.k8s.io/c/approval UPDATE",
        ),
        (
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            "define k/_/customresourcedefinitions.apiextensions.k8s.io CREATE",
        ),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "read k/_/selfsubjectaccessreviews.authorization.k8s.io CREATE",
        ),
        ("GET", "/api/v1/namespaces/a/pods/b/exec?command=ls&stdout=1", "execute k/a/pods/b/exec EXEC"),
        ("POST", "/api/v1/namespaces/a/pods/b/attach?stdin=1", "execute,opaque k/a/pods/b/attach ATTACH"),
        (
            "GET",
            "/api/v1/namespaces/a/pods/b/portforward",
            "connect,opaque k/a/pods/b/portforward PORT FORWARD",
        ),
        ("POST", "/api/v1/nodes/n/proxy/run/x", "connect,opaque k/_/nodes/n/proxy PROXY"),
        (
            "GET",
            "/api/v1/namespaces/a/services/https:b:80/proxy/x",
            "connect,opaque k/a/services/b/proxy PROXY",
        ),
        ("GET", "/api/v1/namespaces/a/pods/b:80/proxy", "connect,opaque k/a/pods/b/proxy PROXY"),
        // One object under two names.
        ("GET", "/apis/events.k8s.io/v1/namespaces/a/events/e", "read k/a/events/e GET"),
        ("GET", "/apis/extensions/v1beta1/ingresses", "read k/_/ingresses.networking.k8s.io LIST"),
        (
            "DELETE",
            "/apis/extensions/v1beta1/namespaces/a/ingresses/i",
            "write k/a/ingresses.networking.k8s.io/i DELETE",
        ),
        ("POST", "/api/v1/namespaces/a/bindings", "administer k/a/pods CREATE"),
        ("POST", "/api/v1/namespaces/a/pods/b/binding", "administer k/a/pods/b/binding CREATE"),
        ("GET", "/api/v1/namespaces/a/pods/b/log", "read k/a/pods/b/log LOG"),
        (
            "GET",
            "/api/v1/namespaces/a/pods/b/log?tailLines=5&sinceSeconds=9&previous=true&timestamps=true",
            "read k/a/pods/b/log LOG",
        ),
        ("GET", "/api/v1/namespaces/a/pods/b/log?limitBytes=35", "read,opaque k/a/pods/b/log LOG"),
        (
            "GET",
            "/api/v1/namespaces/a/pods/b/log?tailLines=1&previous=1&limitBytes=35&follow=true",
            "read,opaque k/a/pods/b/log LOG",
        ),
        (
            "GET",
            "/api/v1/namespaces/a/pods/b/log?sinceTime=2026-03-01T00:00:00Z&limitBytes=35",
            "read,opaque k/a/pods/b/log LOG",
        ),
        ("GET", "/apis/apps/v1", "read k/_path/apis/apps/v1 DISCOVERY"),
        ("GET", "/", "read k/_path DISCOVERY"),
    ];
    for (method, target, expected) in cases {
        let action = action::of(&ResourcePath::root("k"), &parse(method, target).unwrap());
        let verbs: Vec<&str> = action.verbs().into_iter().map(vocab::Verb::as_str).collect();
        let [access] = action.accesses.as_slice() else { panic!("{target}") };
        assert_eq!(
            format!("{} {} {}", verbs.join(","), access.on, action.kind),
            expected,
            "{method} {target}"
        );
    }
}

/// The server's own algorithm, written down as it stands in requestinfo.go, without the refusals: what we accept, it reads
/// alike.
fn as_the_server(method: &str, path: &str) -> Option<(String, [String; 6])> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').filter(|p| !p.is_empty()).collect();
    let mut parts = parts.as_slice();
    if parts.len() < 3 || !["api", "apis"].contains(&parts[0]) {
        return None;
    }
    let prefix = parts[0];
    parts = &parts[1..];
    let mut group = "";
    if prefix == "apis" {
        if parts.len() < 3 {
            return None;
        }
        group = parts[0];
        parts = &parts[1..];
    }
    let version = parts[0];
    parts = &parts[1..];
    let mut verb = match method {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    };
    if ["proxy", "watch"].contains(&parts[0]) {
        if parts.len() < 2 {
            return None;
        }
        verb = parts[0];
        parts = &parts[1..];
    }
    let mut namespace = "";
    if parts[0] == "namespaces" && parts.len() > 1 {
        namespace = parts[1];
        if parts.len() > 2 && !["status", "finalize"].contains(&parts[2]) {
            parts = &parts[2..];
        }
    }
    let at = |n: usize| parts.get(n).copied().unwrap_or_default();
    let (resource, name, subresource) = (at(0), at(1), if verb == "proxy" { "" } else { at(2) });
    let verb = match (verb, name) {
        ("get", "") => "list",
        ("delete", "") => "deletecollection",
        (verb, _) => verb,
    };
    Some((verb.to_owned(), [prefix, group, version, namespace, resource, name].map(str::to_owned))).map(
        |(verb, mut rest)| {
            rest[0] = subresource.to_owned();
            (verb, rest)
        },
    )
}

#[test]
fn whatever_is_accepted_is_read_as_the_server_reads_it() {
    let words = [
        "api",
        "apis",
        "v1",
        "apps",
        "namespaces",
        "watch",
        "proxy",
        "pods",
        "nodes",
        "status",
        "finalize",
        "a",
        "b",
        "log",
        "exec",
        "services",
        "..",
        "",
        "%61",
        "%2F",
    ];
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
    let (mut dice, mut read) = (Dice::new(5), 0);
    for _ in 0..60_000 {
        let start = *dice.pick(&["/api/v1", "/apis/apps/v1", "", "/api/v1/namespaces/a"]);
        let tail: String = (0..dice.below(6)).map(|_| format!("/{}", dice.pick(&words))).collect();
        let (method, path) = (*dice.pick(&methods), format!("{start}{tail}"));
        let Ok(Request::Resource(asked)) = parse(method, &path) else { continue };
        read += 1;
        let (verb, rest) = as_the_server(method, &path.replace("%61", "a")).unwrap();
        let object = asked.object;
        let ours = [
            object.subresource.unwrap_or_default(),
            object.group,
            object.version,
            object.namespace.unwrap_or_default(),
            object.resource,
            object.name.unwrap_or_default(),
        ];
        assert_eq!((asked.verb.as_str(), ours), (&*verb, rest), "{method} {path}");
    }
    assert!(read > 2_000, "{read}");
}

#[test]
fn arbitrary_targets_do_not_panic() {
    let words = [
        "/",
        "api",
        "apis",
        "v1",
        "?",
        "&",
        "=",
        "%",
        "2F",
        "%00",
        ";",
        "+",
        "pods",
        "exec",
        "command",
        "watch",
        "true",
        "fieldSelector",
        "metadata.name",
        "\\",
        "\u{e9}",
        "namespaces",
        "%5C",
        ",",
        "!",
        "ports",
        "1",
    ];
    let mut dice = Dice::new(6);
    for _ in 0..60_000 {
        let target = dice.text(&words, 14);
        let _ = parse("GET", &target).map(|request| format!("{request:?}"));
    }
}

#[test]
fn no_name_and_no_word_is_shown() {
    let request = parse("POST", "/api/v1/namespaces/hush/pods/hush/exec?command=hush&stdout=1").unwrap();
    assert!(!format!("{request:?}").contains("hush"));
}
