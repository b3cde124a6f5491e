//! The places of answers, as the mask crate masks them; and what a client may ask for.

use mask::body::{Body, JsonPath, Media, PathRule};
use proto_kubernetes::answer::{self, Form, Holds};
use proto_kubernetes::fault::{self as why};
use proto_kubernetes::limits::*;
use proto_kubernetes::request::{Asked, Request};
use vocab::{Class, MaskKind};

const SECRETS: &str = "/api/v1/namespaces/a/secrets";
const VALUE: &str = "aHVzaA==";
/// `[secret.kubernetes]`.
const MASK: &str = "W3NlY3JldC5rdWJlcm5ldGVzXQ==";

fn asked(method: &str, target: &str) -> Asked {
    match Request::parse(method.as_bytes(), target.as_bytes()).unwrap() {
        Request::Resource(asked) => *asked,
        Request::Path(..) => panic!("{target}"),
    }
}

/// The answer with everything masked that stands at a place.
fn masked(asked: &Asked, text: &str) -> String {
    let rules: Vec<PathRule> = answer::places(asked)
        .iter()
        .map(|place| {
            let class = Class::new(place.holds.class()).unwrap();
            let path = JsonPath::parse(place.path).unwrap();
            PathRule::new(path, class, MaskKind::Redact).unwrap().saying(&place.words())
        })
        .collect();
    let media = match answer::form(asked, 200) {
        Form::Object => Media::Json,
        Form::Events => Media::JsonLines,
        other => panic!("{other:?}"),
    };
    let (detectors, known) = (mask::Detectors::new(), mask::Known::new([0; 16]));
    let mut body = Body::new(media, rules.into(), Default::default());
    let first = body.push(&detectors, &known, text.as_bytes()).unwrap();
    let (last, _) = body.finish(&detectors, &known).unwrap();
    String::from_utf8(first.then(last).as_bytes().to_vec()).unwrap()
}

/// A secret as the API server writes it, with its value in three places.
fn secret(value: &str, last: &str) -> String {
    format!(
        concat!(
            r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"s","labels":{{"data":"l"}},"annotations":{{"a":"b","#,
            r#""kubectl.kubernetes.io/last-applied-configuration":{last}}},"managedFields":[{{"manager":"kubectl","#,
            r#""fieldsV1":{{"f:data":{{".":{{}},"f:password":{{}}}}}}}}]}},"data":{{"password":{value},"data":{value}}},"#,
            r#""type":"Opaque"}}"#
        ),
        value = value,
        last = last
    )
}

#[test]
fn a_secret_is_masked_in_every_form_of_an_answer_and_the_rest_keeps_its_bytes() {
    let raw = secret(&format!("\"{VALUE}\""), &format!(r#""{{\"data\":{{\"password\":\"{VALUE}\"}}}}""#));
    let clean = secret(&format!("\"{MASK}\""), "\"\"");
    assert!(raw.contains(VALUE) && !clean.contains(VALUE));
    let one = format!("{SECRETS}/s");
    let watch = format!("{SECRETS}?watch=true");
    let around =
        |before: &str, after: &str| [format!("{before}{raw}{after}"), format!("{before}{clean}{after}")];
    let cases = [
        ("GET", &*one, around("", "\n")),
        ("PUT", &*one, around(" ", "")),
        ("PATCH", &*one, around("", "")),
        ("DELETE", &*one, around("", "")),
        ("POST", SECRETS, around("", "")),
        (
            "GET",
            SECRETS,
            around(r#"{"kind":"SecretList","metadata":{"resourceVersion":"7"},"items":["#, "]}"),
        ),
        ("GET", "/api/v1/secrets?limit=500", around(r#"{"items":[{},"#, "]}")),
        ("GET", &*watch, around(r#"{"type":"ADDED","object":"#, "}\n")),
        (
            "GET",
            "/api/v1/watch/secrets",
            around("{\"type\":\"BOOKMARK\",\"object\":{}}\n{\"object\":", "}\n"),
        ),
        (
            "GET",
            SECRETS,
            around(r#"{"kind":"Table","rows":[{"cells":["s","Opaque",2,"5d"],"object":"#, "}]}"),
        ),
        (
            "GET",
            &*watch,
            around(r#"{"type":"ADDED","object":{"kind":"Table","rows":[{"cells":["s"],"object":"#, "}]}}\n"),
        ),
        ("GET", "/apis/example.com/v1/namespaces/a/secrets", around(r#"{"items":["#, "]}")),
    ];
    for (method, target, [raw, clean]) in cases {
        assert_eq!(masked(&asked(method, target), &raw), clean, "{method} {target}");
    }
}

#[test]
fn each_kind_has_its_places() {
    let cases = [
        (
            "GET",
            "/api/v1/secrets",
            r#"{"stringData":{"a":"x"}}"#,
            r#"{"stringData":{"a":"[secret.kubernetes]"}}"#,
        ),
        // What is no value of a secret's passes where it is told apart.
        (
            "GET",
            "/api/v1/secrets",
            r#"{"metadata":{"name":"data"},"data":null}"#,
            r#"{"metadata":{"name":"data"},"data":null}"#,
        ),
        (
            "POST",
            "/api/v1/namespaces/a/serviceaccounts/s/token",
            r#"{"kind":"TokenRequest","status":{"token":"ey","expirationTimestamp":"t"}}"#,
            r#"{"kind":"TokenRequest","status":{"token":"[secret.kubernetes_token]","expirationTimestamp":"t"}}"#,
        ),
        (
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            r#"{"spec":{"token":"ey"},"status":{"authenticated":true}}"#,
            r#"{"spec":{"token":"[secret.kubernetes_token]"},"status":{"authenticated":true}}"#,
        ),
        (
            "GET",
            "/api/v1/configmaps",
            r#"{"items":[{"data":{"a":"x"},"binaryData":{"b":"eA=="}}]}"#,
            r#"{"items":[{"data":{"a":"[config.kubernetes]"},"binaryData":{"b":"W2NvbmZpZy5rdWJlcm5ldGVzXQ=="}}]}"#,
        ),
        (
            "GET",
            "/apis/apps/v1/deployments",
            r#"{"items":[{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}},"spec":{"template":{"spec":{"containers":[{"env":[{"name":"A","value":"x"},{"name":"B","valueFrom":{}}]}]}}}}]}"#,
            r#"{"items":[{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":""}},"spec":{"template":{"spec":{"containers":[{"env":[{"name":"A","value":"[config.env]"},{"name":"B","valueFrom":{}}]}]}}}}]}"#,
        ),
        (
            "GET",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x",
            r#"{"env":{"properties":{"value":{"type":"string"}}}}"#,
            r#"{"env":{"properties":{"value":{"type":"string"}}}}"#,
        ),
    ];
    for (method, target, raw, expected) in cases {
        assert_eq!(masked(&asked(method, target), raw), expected, "{method} {target}");
    }
}

#[test]
fn every_place_is_a_path_of_the_mask_crate_and_has_a_class() {
    let targets = [
        "/api/v1/secrets",
        "/api/v1/configmaps",
        "/api/v1/pods",
        "/apis/authentication.k8s.io/v1/tokenreviews",
    ];
    let token = asked("POST", "/api/v1/namespaces/a/serviceaccounts/s/token");
    let all = targets.iter().map(|target| asked("GET", target)).chain([token]);
    for place in all.flat_map(|asked| answer::places(&asked)) {
        assert!(
            JsonPath::parse(place.path).is_ok() && Class::new(place.holds.class()).is_some(),
            "{place:?}"
        );
    }
    assert!([Holds::Secret, Holds::LastApplied, Holds::Token].into_iter().all(Holds::always));
    assert!(![Holds::Config, Holds::Env].into_iter().any(Holds::always));
}

#[test]
fn how_an_answer_is_read() {
    let form = |method: &str, target: &str, status| answer::form(&asked(method, target), status);
    let pod = "/api/v1/namespaces/a/pods/b";
    assert_eq!(form("GET", pod, 200), Form::Object);
    assert_eq!(form("GET", "/api/v1/pods?watch=1", 200), Form::Events);
    assert_eq!(form("GET", "/api/v1/pods?watch=1", 410), Form::Object);
    assert_eq!(form("GET", &format!("{pod}/log"), 200), Form::Log);
    assert_eq!(form("GET", &format!("{pod}/log"), 404), Form::Object);
    assert_eq!(form("GET", &format!("{pod}/exec?command=a&stdout=1"), 101), Form::Other);
    assert_eq!(form("GET", &format!("{pod}/proxy/x"), 200), Form::Other);
}

#[test]
fn a_client_gets_json_whatever_it_would_rather_have() {
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let good = [
        ("", None),
        ("*/*", Some("application/json")),
        ("application/json;stream=watch", Some("application/json")),
        ("application/*;q=0.8", Some("application/json;q=0.8")),
        ("application/json, */*", Some("application/json")),
        ("application/vnd.kubernetes.protobuf,application/json", Some("application/json")),
        ("application/yaml, Application/JSON ; charset=utf-8", Some("application/json")),
        ("application/vnd.kubernetes.protobuf;as=Table, */*;q=0.1", Some("application/json;q=0.1")),
        ("application/vnd.kubernetes.protobuf", None),
        ("application/cbor, application/yaml", None),
        ("text/html", None),
    ];
    for (raw, expected) in good {
        assert_eq!(answer::accept(Some(raw.as_bytes()), true).ok().as_deref(), expected, "{raw}");
    }
    assert_eq!(answer::accept(None, true).as_deref(), Ok("application/json"));
    let both = format!("{table},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json");
    assert_eq!(answer::accept(Some(both.as_bytes()), true).unwrap(), both.replace(',', ", "));
    for raw in ["application/json;as", "application/json;x=1", "application/json;as=Ta\"ble"] {
        assert_eq!(answer::accept(Some(raw.as_bytes()), true), Err(why::BAD_ACCEPT), "{raw}");
    }
    // Where a Table may show too much the objects come, for who takes them.
    assert_eq!(answer::accept(Some(both.as_bytes()), false).as_deref(), Ok("application/json"));
    assert_eq!(answer::accept(Some(table.as_bytes()), false), Err(why::NO_TABLE));
    let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    assert_eq!(answer::accept(Some(metadata.as_bytes()), false).as_deref(), Ok(metadata));
    let many = |n: usize| answer::accept(Some(vec!["*/*"; n].join(",").as_bytes()), true);
    assert!(many(ACCEPT_RANGES_MAX).is_ok());
    assert_eq!(many(ACCEPT_RANGES_MAX + 1), Err(why::ACCEPT_TOO_LONG));
    let json = [
        ("application/json", true),
        ("Application/Json; stream=watch", true),
        ("application/jsonx", false),
        ("", false),
    ];
    for (text, expected) in json {
        assert_eq!(answer::is_json(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn an_error_of_a_write_may_quote_what_is_stored_and_its_sentences_are_places() {
    let one = format!("{SECRETS}/s");
    let quoted = |method: &str, target: &str, status: u16| {
        let places = answer::places_of(&asked(method, target), status);
        matches!(places, [place] if place.path == "$..message" && places != answer::places(&asked(method, target)))
    };
    for status in [400, 403, 413, 422, 500, 503] {
        for method in ["PUT", "PATCH", "DELETE"] {
            assert!(quoted(method, &one, status), "{method} {status}");
        }
        assert!(quoted("POST", SECRETS, status) && !quoted("GET", &one, status), "{status}");
    }
    // Whose sentences have names alone, and what is no error.
    for status in [200, 201, 401, 404, 409] {
        assert!(!quoted("PATCH", &one, status), "{status}");
    }
    let exec = "/api/v1/namespaces/a/pods/p/exec?command=x&stdout=1";
    assert!(!quoted("POST", exec, 400), "what does not start has no object");
    for target in ["/api/v1/namespaces/a/configmaps/c", "/api/v1/namespaces/a/pods/p"] {
        assert!(quoted("PATCH", target, 422), "{target}");
        assert!(!answer::places_of(&asked("PATCH", target), 422)[0].holds.always(), "{target}");
    }
    let all = ["GET", "PATCH"].map(|method| answer::places_of(&asked(method, &one), 422));
    assert!(all.iter().all(|places| answer::ALL.contains(places)));
}
