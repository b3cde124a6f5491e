//! Protobuf written as JSON, beside the JSON of a real API server (kube-apiserver 1.20.2).
//!
//! Each line of `testdata/protobuf.tsv` is a target, the object in protobuf, and the same in JSON: those with a target alone are
//! the server's answers in both forms; those behind a method are bodies that kubectl 1.32 sent, and the server's audit log of them.

use crate::dice::Dice;
use proto_kubernetes::body::{self, Written, facts::Fact, protobuf};
use proto_kubernetes::fault::{self as why, Reason};
use proto_kubernetes::limits::*;
use proto_kubernetes::request::{Asked, Request};
use serde_json::Value;

const OBJECTS: &str = include_str!("../testdata/protobuf.tsv");

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

fn objects() -> Vec<(&'static str, Vec<u8>, Value)> {
    let read = |line: &'static str| {
        let [target, hex, json] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (target, unhex(hex), serde_json::from_str(json).unwrap())
    };
    OBJECTS.lines().map(read).collect()
}

/// Without what says nothing.
fn said(value: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    };
    match value {
        Value::Array(items) => items.into_iter().map(said).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, said(value)))
            .filter(|(_, value)| !empty(value))
            .collect(),
        other => other,
    }
}

/// Whether all that one says is in the other.
fn within(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().all(|(name, value)| other.get(name).is_some_and(|other| within(value, other)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| within(one, other))
        }
        (one, other) => one == other,
    }
}

fn written(body: &[u8]) -> Result<Value, Reason> {
    protobuf::json(body).map(|text| serde_json::from_slice(&text).unwrap())
}

#[test]
fn each_object_is_written_as_the_server_writes_it() {
    let objects = objects();
    assert_eq!(objects.len(), 41);
    for (target, body, mut expected) in objects {
        // Protobuf has the kind of the whole alone.
        let inner = expected.pointer_mut("/spec/volumeClaimTemplates/0").and_then(Value::as_object_mut);
        inner.into_iter().for_each(|claim| claim.retain(|name, _| name != "kind" && name != "apiVersion"));
        let ours = written(&body).unwrap_or_else(|why| panic!("{target}: {why:?}"));
        let (ours, theirs) = (said(ours), said(expected));
        match target.starts_with('/') {
            true => assert_eq!(ours, theirs, "{target}"),
            // What the audit log has of a request is with the server's defaults.
            false => assert!(within(&ours, &theirs), "{target}\n{ours}\n{theirs}"),
        }
    }
}

/// One that is cut is refused (what stands last says nothing); one with a bit turned is refused or is JSON.
#[test]
fn what_is_cut_or_turned_does_not_panic() {
    let mut dice = Dice::new(12);
    for (target, body, _) in objects() {
        for _ in 0..60 {
            let cut = dice.below(body.len());
            assert!(protobuf::json(&body[..cut]).is_err() || cut + 8 > body.len(), "{target} {cut}");
            let mut turned = body.clone();
            turned[cut] ^= 1 << dice.below(8);
            let _ = protobuf::json(&turned).map(|text| json::parse(&text).map(|_| ()).unwrap());
        }
    }
}

/// A message of fields with a length, each behind its number.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(number, bytes)| [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat())
        .collect()
}

fn envelope(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let types = message(&[(1, version.as_bytes()), (2, kind.as_bytes())]);
    [b"k8s\0", &message(&[(1, &types), (2, raw)])[..]].concat()
}

#[test]
fn what_the_table_does_not_have_is_refused() {
    let secret = |raw: &[u8]| written(&envelope("v1", "Secret", raw));
    let entry = |name: &[u8], value: &[u8]| message(&[(1, name), (2, value)]);
    let good = secret(&message(&[(2, &entry(b"p", b"hush")), (3, b"Opaque")])).unwrap();
    assert_eq!(
        good,
        serde_json::json!({"kind": "Secret", "apiVersion": "v1", "data": {"p": "aHVzaA=="}, "type": "Opaque"})
    );

    let cases: &[(&str, Vec<u8>, Reason)] = &[
        ("a field", message(&[(9, b"")]), why::PROTOBUF_FIELD),
        ("a field twice", message(&[(3, b"a"), (3, b"b")]), why::PROTOBUF_TWICE),
        ("a name twice", message(&[(2, &entry(b"p", b"a")), (2, &entry(b"p", b"b"))]), why::PROTOBUF_TWICE),
        ("an entry without a name", message(&[(2, &message(&[(2, b"a")]))]), why::NO_PROTOBUF),
        (
            "an entry with more",
            message(&[(2, &message(&[(1, b"a"), (2, b"a"), (3, b"a")]))]),
            why::PROTOBUF_FIELD,
        ),
        ("no text", message(&[(3, b"\xff")]), why::NO_PROTOBUF),
        ("a text where a boolean is", message(&[(5, b"a")]), why::NO_PROTOBUF),
        ("a boolean that is 2", vec![5 << 3, 2], why::NO_PROTOBUF),
        ("a number where a text is", vec![3 << 3, 2], why::NO_PROTOBUF),
        ("a fixed number", vec![5 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0], why::NO_PROTOBUF),
        ("a group", vec![3 << 3 | 3], why::NO_PROTOBUF),
        ("a length past the end", vec![3 << 3 | 2, 5, b'a'], why::NO_PROTOBUF),
        (
            "a long number",
            vec![5 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            why::NO_PROTOBUF,
        ),
        (
            "a longer number",
            vec![5 << 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            why::NO_PROTOBUF,
        ),
    ];
    for (what, raw, expected) in cases {
        assert_eq!(secret(raw), Err(*expected), "{what}");
    }
    assert_eq!(written(&envelope("v1", "Secrets", b"")), Err(why::PROTOBUF_KIND));
    assert_eq!(written(&envelope("v2", "Secret", b"")), Err(why::PROTOBUF_KIND));
    for body in [&b""[..], b"k8s", b"{}", b"k8s\0\xff"] {
        assert_eq!(written(body), Err(why::NO_PROTOBUF), "{body:?}");
    }
    assert_eq!(written(b"k8s\0"), Err(why::PROTOBUF_KIND));
    let types = message(&[(1, b"v1"), (2, b"Secret")]);
    let encoded = [b"k8s\0", &message(&[(1, &types), (2, b""), (3, b"gzip")])[..]].concat();
    assert_eq!(written(&encoded), Err(why::NO_PROTOBUF));
    assert_eq!(written(&vec![b'x'; BODY_BYTES_MAX + 1]), Err(why::BODY_TOO_LARGE));
}

#[test]
fn a_body_that_becomes_too_large_is_refused() {
    let mut value = vec![7; BODY_BYTES_MAX / 4 * 3];
    let long = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len > 0x7f {
            field.push(len as u8 | 0x80);
            len >>= 7;
        }
        field.push(len as u8);
        [&field[..], bytes].concat()
    };
    let body = |value: &[u8]| {
        let entry = [long(1, b"p"), long(2, value)].concat();
        let types = message(&[(1, b"v1"), (2, b"Secret")]);
        [b"k8s\0", &long(1, &types)[..], &long(2, &long(2, &entry))].concat()
    };
    assert_eq!(protobuf::json(&body(&value)), Err(why::BODY_TOO_LARGE));
    value.truncate(BODY_BYTES_MAX / 4 * 3 - 100);
    assert!(protobuf::json(&body(&value)).is_ok());
}

fn asked(target: &str) -> Asked {
    match Request::parse(b"POST", target.as_bytes()).unwrap() {
        Request::Resource(asked) => *asked,
        Request::Path(..) => panic!("{target}"),
    }
}

#[test]
fn what_it_holds_is_found_as_in_json() {
    let of = |target: &str| objects().into_iter().find(|(own, ..)| *own == target).unwrap().1;
    let body = of("/api/v1/namespaces/a/pods/p");
    let asked = asked("/api/v1/namespaces/a/pods");
    let (form, how) = body::form(asked.verb, Some(b"application/vnd.kubernetes.protobuf")).unwrap();
    assert_eq!(how, Written::Protobuf);
    assert_eq!(body::read(&asked, form, how, &body), Err(why::STILL_PROTOBUF));
    let facts = body::read(&asked, form, Written::Json, &protobuf::json(&body).unwrap()).unwrap().facts;
    let expected = [
        Fact::Image("ghcr.io/x/y:1".to_owned()),
        Fact::HostPath("/etc".to_owned()),
        Fact::HostNetwork,
        Fact::HostPid,
        Fact::HostIpc,
        Fact::Privileged,
        Fact::Root,
        Fact::Unconfined("seccomp"),
        Fact::Capability("SYS_ADMIN".to_owned()),
        Fact::Secret("s".to_owned()),
        Fact::Secret("reg".to_owned()),
        Fact::ServiceAccount("sa".to_owned()),
        Fact::Node("node1".to_owned()),
        Fact::Volume("csi".to_owned()),
        Fact::Token,
    ];
    for fact in expected {
        assert!(facts.contains(&fact), "{fact:?}");
    }
}
