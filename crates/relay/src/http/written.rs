//! A mask that is read and written back: it would take the place of the value that it stands for.
//!
//! Whoever replaces a thing (PUT, PATCH) sends back what it read: no mask may stand anywhere in it. Whoever adds one
//! (POST) may speak of what it read, so that only a value that is nothing but a mask is one too many. What has no letters of
//! its own, `null` or a part of the value, cannot be told from any other value.

use std::collections::BTreeSet;

use json::{Kind, Value};
use proto_http::action::verb;
use proto_http::message::{Media, Method, Request, Target};
use vocab::{Class, Verb};
use wire::RawField;

use super::resource::Resource;

/// Why a request stays here: status and reason.
pub(super) const MASKED: (u16, &str) = (
    400,
    "a value here is a mask that the gateway gave in the place of the real one: written back, it would replace that; leave \
     it out",
);

/// Whether a request would write a mask in the place of a value.
pub(super) fn writes_mask(resource: &Resource, request: &Request, body: &[u8]) -> bool {
    if matches!(verb(&request.method), Some(Verb::Read) | None) {
        return false;
    }
    let looks = Looks {
        governed: resource.config.masks.classes(),
        anywhere: matches!(request.method, Method::Put | Method::Patch),
    };
    looks.target(&request.target) || looks.body(&request.media, body)
}

struct Looks {
    governed: BTreeSet<Class>,
    /// A mask counts wherever it stands in a text.
    anywhere: bool,
}

impl Looks {
    fn target(&self, target: &Target) -> bool {
        let Target::Origin(origin) = target else { return false };
        let pairs = origin.query.iter().flat_map(|query| &query.pairs);
        pairs.into_iter().any(|(_, value)| value.to_str().is_some_and(|value| self.text(value)))
    }

    fn body(&self, media: &Media, body: &[u8]) -> bool {
        let is_json = *media == Media::Json || matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        if is_json && let Ok(value) = json::parse(body) {
            return self.value(&value);
        }
        match media {
            Media::Form => self.form(body),
            Media::Ndjson => body.split(|b| *b == b'\n').any(|line| self.body(&Media::Json, line)),
            // In pieces, or not to be read: what is there is looked at as it stands.
            _ => std::str::from_utf8(body).is_ok_and(|text| self.text(text)),
        }
    }

    fn form(&self, body: &[u8]) -> bool {
        let target = RawField::copy_from(&[b"/?", body].concat());
        Target::parse(&target, false).is_ok_and(|target| self.target(&target))
    }

    fn value(&self, value: &Value<'_>) -> bool {
        match &value.kind {
            Kind::Text(text) => self.text(text),
            Kind::Array(items) => items.iter().any(|item| self.value(item)),
            Kind::Object(members) => members.iter().any(|(_, value)| self.value(value)),
            Kind::Null | Kind::Bool(_) | Kind::Number => false,
        }
    }

    fn text(&self, text: &str) -> bool {
        let text = text.trim();
        if !self.anywhere {
            let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            return inside.is_some_and(|class| self.is_class(class));
        }
        let classes = text.match_indices('[').filter_map(|(at, _)| text[at + 1..].split_once(']'));
        classes.into_iter().any(|(class, _)| self.is_class(class))
    }

    /// What the gateway puts in brackets: the class of a rule, one of the families that detectors have, the service's own
    /// credential.
    fn is_class(&self, inside: &str) -> bool {
        let Some(class) = Class::new(inside) else { return false };
        let family = inside.split_once('.').map(|(family, _)| family);
        self.governed.contains(&class) || matches!(family, Some("pii" | "secret")) || inside == "credential"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(anywhere: bool) -> Looks {
        Looks { governed: [Class::new("own.number").unwrap()].into(), anywhere }
    }

    #[test]
    fn a_mask_that_would_replace_a_value_is_found_in_each_kind_of_body() {
        let json = r#"{"name": "Ada", "ids": [{"ssn": "[pii.ssn]"}]}"#;
        for (media, body) in [
            (Media::Json, json),
            (Media::Text, json),
            (Media::None, json),
            (Media::Json, r#"{"a": "\u005bown.number]"}"#),
            (Media::Ndjson, "{\"a\": 1}\n{\"a\": \" [pii.email] \"}\n"),
            (Media::Form, "a=1&ssn=%5Bpii.ssn%5D"),
            (Media::Text, "[secret.github_token]\n"),
            (Media::Json, r#"["[credential]"]"#),
        ] {
            for anywhere in [false, true] {
                assert!(looks(anywhere).body(&media, body.as_bytes()), "{media:?} {body}");
            }
        }
    }

    #[test]
    fn what_speaks_of_a_mask_may_be_added_and_replaces_nothing() {
        let said = |anywhere| {
            [
                looks(anywhere).body(&Media::Json, br#"{"note": "write to [pii.email], please"}"#),
                looks(anywhere).body(&Media::Text, b"write to [pii.email], please"),
                looks(anywhere).body(&Media::Form, b"note=write+to+%5Bpii.email%5D"),
            ]
        };
        assert_eq!((said(false), said(true)), ([false; 3], [true; 3]));
        for body in [
            r#"{"a": "[pii]", "b": ["x.y"], "c": "[other.number]"}"#,
            r#"{"a": "pii.ssn"}"#,
            "[1, 2]",
            "a[0] = b[i.j]",
            "",
        ] {
            assert!(!looks(true).body(&Media::Text, body.as_bytes()), "{body}");
        }
    }
}
