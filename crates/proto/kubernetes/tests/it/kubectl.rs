//! What kubectl 1.32 sent for some seventy commands (get, -w, apply, diff, create, run, patch, scale, rollout, exec, logs, cp,
//! debug, auth, explain, top, delete and more): none of it is refused.
//!
//! Each line of `testdata/kubectl.tsv` is a method, a target, `Content-Type` and `Accept` (`-`: none), and the body; one in
//! protobuf as `HEX:`.

use proto_kubernetes::body::facts;
use proto_kubernetes::body::{self, Written};
use proto_kubernetes::request::Request;
use proto_kubernetes::{action, answer};
use std::borrow::Cow;
use std::collections::BTreeSet;
use vocab::ResourcePath;

const SENT: &str = include_str!("../testdata/kubectl.tsv");

fn header(text: &str) -> Option<&[u8]> {
    (text != "-").then_some(text.as_bytes())
}

#[test]
fn every_request_of_kubectl_is_read() {
    let (root, mut kinds, mut bodies) = (ResourcePath::root("k"), BTreeSet::new(), 0);
    for line in SENT.lines() {
        let [method, target, media, accept, body] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let request = Request::parse(method.as_bytes(), target.as_bytes())
            .unwrap_or_else(|why| panic!("{target}: {why:?}"));
        let mut action = action::of(&root, &request);
        if let Request::Resource(asked) = &request {
            answer::accept(header(accept), true).unwrap_or_else(|why| panic!("{accept}: {why:?}"));
            if !asked.verb.reads() && asked.connect.is_none() {
                let (form, written) = body::form(asked.verb, header(media)).unwrap();
                let sent: Cow<'_, [u8]> = match body.strip_prefix("HEX:") {
                    Some(hex) => unhex(hex).into(),
                    None => body.as_bytes().into(),
                };
                let text = body::json(written, &sent).unwrap();
                // What kubectl calls YAML is JSON.
                assert_eq!(text == sent, written != Written::Protobuf, "{line}");
                let said = body::read(asked, form, Written::Json, &text)
                    .unwrap_or_else(|why| panic!("{line}: {why:?}"));
                action = facts::action(&root, asked, &said, action);
                bodies += 1;
            }
        }
        kinds.insert(action.kind);
    }
    assert_eq!((SENT.lines().count(), bodies), (137, 38));
    let all = [
        "APPLY",
        "ATTACH",
        "CREATE",
        "DELETE",
        "DISCOVERY",
        "EXEC",
        "GET",
        "HEALTH",
        "JSON PATCH",
        "LIST",
        "LOG",
        "MERGE PATCH",
        "OPENAPI",
        "STRATEGIC PATCH",
        "UPDATE",
        "VERSION",
        "WATCH",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}
