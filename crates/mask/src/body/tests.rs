//! One table for each kind of body; each input whole, in single bytes and cut in two at every place.

use std::collections::BTreeSet;
use std::sync::Arc;

use vocab::{Class, MaskKind};

use super::{Act, Body, Found, JsonPath, Media, PathRule, Unreadable};
use crate::detect::Form;
use crate::detect::tests::shared;
use crate::known::{Known, Origin};

mod deltas;
mod forms;
mod fuzz;
mod json;
mod limits;
mod malformed;
mod output;
mod streams;

const EMAIL: &str = "jo.doe@example.com";
const SSN: &str = "536-90-4399";
const CARD: &str = "4111111111111111";
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn class(text: &str) -> Class {
    Class::new(text).unwrap()
}

fn rule(path: &str, class: &str, kind: MaskKind) -> PathRule {
    PathRule::new(JsonPath::parse(path).unwrap(), self::class(class), kind).unwrap()
}

/// What a body is masked under.
struct Setup {
    media: Media,
    rules: Arc<[PathRule]>,
    revealed: BTreeSet<Class>,
    known: Known,
}

impl Setup {
    fn new(media: Media) -> Setup {
        Setup { media, rules: [].into(), revealed: BTreeSet::new(), known: Known::new([5; 16]) }
    }

    fn rules(self, rules: impl Into<Arc<[PathRule]>>) -> Setup {
        Setup { rules: rules.into(), ..self }
    }

    fn reveals(self, classes: &[&str]) -> Setup {
        Setup { revealed: classes.iter().map(|c| class(c)).collect(), ..self }
    }

    fn knows(mut self, origin: Origin, value: &str) -> Setup {
        self.known.remember(origin, value.as_bytes());
        self
    }

    /// The input in pieces that end at `cuts`.
    fn split(
        &self,
        input: &[u8],
        cuts: impl IntoIterator<Item = usize>,
    ) -> Result<(Vec<u8>, Found), Unreadable> {
        let mut body = Body::new(self.media.clone(), self.rules.clone(), self.revealed.clone());
        let (mut out, mut done) = (Vec::new(), 0);
        for cut in cuts.into_iter().chain([input.len()]) {
            out.extend(body.push(shared(), &self.known, &input[done..cut])?.into_vec());
            done = cut;
        }
        let (rest, found) = body.finish(shared(), &self.known)?;
        out.extend(rest.into_vec());
        Ok((out, found))
    }

    fn whole(&self, input: &[u8]) -> Result<(Vec<u8>, Found), Unreadable> {
        self.split(input, [])
    }

    /// What comes of the input, after it was seen to come of it however it is split.
    #[track_caller]
    fn everywhere(&self, input: &[u8]) -> Result<(Vec<u8>, Found), Unreadable> {
        let expect = self.whole(input);
        let shown = || String::from_utf8_lossy(&input[..input.len().min(2_000)]).into_owned();
        assert_eq!(self.split(input, 1..input.len()), expect, "in single bytes: {:?}", shown());
        for cut in 0..=input.len().min(1_500) {
            assert_eq!(self.split(input, [cut]), expect, "cut at {cut}: {:?}", shown());
        }
        expect
    }

    #[track_caller]
    fn check(&self, input: &str, expect: &str) -> Found {
        match self.everywhere(input.as_bytes()) {
            Ok((out, found)) => {
                assert_eq!(String::from_utf8_lossy(&out), expect, "from {input:?}");
                found
            }
            Err(unreadable) => panic!("{unreadable:?}: {input:?}"),
        }
    }

    #[track_caller]
    fn passes(&self, input: &str) -> Found {
        self.check(input, input)
    }

    #[track_caller]
    fn refused(&self, input: &[u8]) -> &'static str {
        match self.everywhere(input) {
            Err(Unreadable(why)) => why,
            Ok(_) => panic!("read: {:?}", String::from_utf8_lossy(input)),
        }
    }
}

/// `detector form act count` of each hit.
fn hits(found: &Found) -> Vec<(&'static str, Form, Act, u64)> {
    found.tripped.iter().map(|h| (h.detector, h.form, h.act, h.count)).collect()
}

/// Rule, cells, whether revealed, values.
fn governed(found: &Found) -> Vec<(usize, u64, bool, Vec<String>)> {
    let text = |v: &Vec<u8>| String::from_utf8_lossy(v).into_owned();
    let all = found.governed.iter();
    all.map(|g| (g.rule, g.cells, g.revealed, g.values.iter().map(text).collect())).collect()
}

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |v, &b| v << 8 | u32::from(b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[test]
fn a_kind_that_needs_a_row_or_a_key_is_no_rule_of_a_body() {
    let new = |kind| PathRule::new(JsonPath::parse("$.a").unwrap(), class("pii.x"), kind);
    for kind in [MaskKind::RowToken, MaskKind::Token, MaskKind::Bucket { width: 3 }] {
        assert!(new(kind).is_err());
    }
    for kind in [MaskKind::Null, MaskKind::Redact, MaskKind::Partial { keep: 4 }] {
        assert!(new(kind).is_ok());
    }
}

#[test]
fn an_empty_body_is_nothing_of_any_kind() {
    let media = [Media::Json, Media::JsonLines, Media::EventStream, Media::Form, Media::Text];
    for media in media.into_iter().chain([Media::Multipart { boundary: "x".into() }]) {
        assert_eq!(Setup::new(media).passes(""), Found::default());
    }
}

#[test]
fn a_body_that_was_unreadable_releases_nothing_more() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::Json, [].into(), BTreeSet::new());
    assert!(body.push(shared(), &known, b"[1,]").is_err());
    assert!(body.push(shared(), &known, b"[1]").is_err());
    assert!(body.finish(shared(), &known).is_err());
}

#[test]
fn what_was_found_is_taken_once() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::JsonLines, [].into(), BTreeSet::new());
    let line = format!("\"{EMAIL}\"\n");
    let _ = body.push(shared(), &known, line.repeat(3).as_bytes()).unwrap();
    assert_eq!(hits(&body.take_found()), [("email", Form::Raw, Act::Masked, 3)]);
    assert_eq!(body.take_found(), Found::default());
    let _ = body.push(shared(), &known, line.as_bytes()).unwrap();
    let (_, found) = body.finish(shared(), &known).unwrap();
    assert_eq!(hits(&found), [("email", Form::Raw, Act::Masked, 1)]);
}

#[test]
fn nothing_of_a_value_is_printed() {
    let setup =
        Setup::new(Media::Json).rules([rule("$", "pii.email", MaskKind::Null)]).reveals(&["pii.email"]);
    let found = setup.passes(&format!("\"{EMAIL}\""));
    assert_eq!(governed(&found), [(0, 1, true, vec![EMAIL.to_owned()])]);
    assert!(!format!("{found:?}").contains("example"));
}

#[test]
fn members_at_a_place_are_told_by_name_and_by_the_object_that_says_who_it_is() {
    let told = |media: Media, body: &str| {
        let path = JsonPath::parse("$..data.*").unwrap();
        let rule =
            PathRule::new(path, Class::new("secret.kubernetes").unwrap(), MaskKind::Null).unwrap().naming();
        let mut looking = Body::new(media, [rule].into(), BTreeSet::new());
        let known = Known::new([7; 16]);
        let mut named: Vec<String> = Vec::new();
        for byte in body.as_bytes() {
            let _released = looking.push(shared(), &known, std::slice::from_ref(byte)).unwrap();
        }
        let (_, found) = looking.finish(shared(), &known).unwrap();
        for member in found.governed.iter().flat_map(|governed| &governed.named) {
            let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
            named.push(format!("{}/{} {}", part(&member.namespace), part(&member.name), member.member));
        }
        named
    };
    let one = r#"{"kind":"Secret","metadata":{"name":"db","namespace":"n1","labels":{"name":"no"}},"data":{"a":"YQ==","b":null}}"#;
    assert_eq!(told(Media::Json, one), ["n1/db a", "n1/db b"]);
    let list = r#"{"metadata":{"name":"list"},"items":[{"metadata":{"name":"x"},"data":{"k":"YQ=="}},{"metadata":{"name":"y","namespace":"n"},"data":{"k":"YQ=="}}]}"#;
    assert_eq!(told(Media::Json, list), ["-/x k", "n/y k"]);
    let event = r#"{"type":"ADDED","object":{"metadata":{"namespace":"n","name":"z"},"data":{"k":"YQ=="}}}"#;
    assert_eq!(told(Media::JsonLines, &format!("{event}\n")), ["n/z k"]);
    let behind = r#"{"data":{"k":"YQ=="},"metadata":{"name":"late"}}"#;
    assert_eq!(told(Media::Json, behind), ["-/- k"], "it is not told before");
}
