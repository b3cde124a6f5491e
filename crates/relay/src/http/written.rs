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
        pairs.into_iter().any(|(_, value)| self.text(value.as_bytes()))
    }

    fn body(&self, media: &Media, body: &[u8]) -> bool {
        let is_json = *media == Media::Json || matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        if is_json && let Ok(value) = json::parse(body) {
            return self.value(&value);
        }
        match media {
            Media::Form => body.split(|b| *b == b'&').any(|pair| self.pair(pair)),
            Media::Ndjson => body.split(|b| *b == b'\n').any(|line| self.body(&Media::Json, line)),
            Media::Multipart { boundary } => self.parts(boundary, body),
            // In pieces, or not to be read: what is there is looked at as it stands.
            _ => self.text(body),
        }
    }

    /// `name=value` of a form: the value, and how much of the pair it is no reader has to agree on.
    fn pair(&self, pair: &[u8]) -> bool {
        let value = pair.splitn(2, |b| *b == b'=').nth(1).unwrap_or(pair);
        let digit = |at: usize| value.get(at).and_then(|b| char::from(*b).to_digit(16));
        let (mut undone, mut at) = (Vec::with_capacity(value.len()), 0);
        while let Some(byte) = value.get(at) {
            let escaped = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%');
            let blank = *byte == b'+';
            undone.push(
                escaped.map_or(if blank { b' ' } else { *byte }, |(high, low)| (high << 4 | low) as u8),
            );
            at += if escaped.is_some() { 3 } else { 1 };
        }
        self.text(&undone)
    }

    /// What stands behind the heads of the parts (RFC 2046, 5.1).
    fn parts(&self, boundary: &str, body: &[u8]) -> bool {
        let dash = format!("--{boundary}");
        let mut from = 0;
        loop {
            let rest = &body[from..];
            let end = memchr::memmem::find(rest, dash.as_bytes());
            let part = &rest[..end.unwrap_or(rest.len())];
            let head = [&b"\r\n\r\n"[..], b"\n\n"]
                .into_iter()
                .find_map(|gap| memchr::memmem::find(part, gap).map(|at| at + gap.len()));
            if self.text(&part[head.unwrap_or(0)..]) {
                return true;
            }
            match end {
                Some(end) => from += end + dash.len(),
                None => return false,
            }
        }
    }

    fn value(&self, value: &Value<'_>) -> bool {
        match &value.kind {
            Kind::Text(text) => self.text(text.as_bytes()),
            Kind::Array(items) => items.iter().any(|item| self.value(item)),
            Kind::Object(members) => members.iter().any(|(_, value)| self.value(value)),
            Kind::Null | Kind::Bool(_) | Kind::Number => false,
        }
    }

    fn text(&self, text: &[u8]) -> bool {
        if !self.anywhere {
            let inside = text.trim_ascii().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
            return inside.is_some_and(|class| self.is_class(class));
        }
        // A class has no bracket: the last one before `]` is what it stands behind.
        let mut closed = text.split(|b| *b == b']').peekable();
        while let Some(before) = closed.next() {
            let inside = before.iter().rposition(|b| *b == b'[').map(|at| &before[at + 1..]);
            if closed.peek().is_some() && inside.is_some_and(|class| self.is_class(class)) {
                return true;
            }
        }
        false
    }

    /// What the gateway puts in brackets: the class of a rule, one of the families that detectors have, the service's own
    /// credential.
    fn is_class(&self, inside: &[u8]) -> bool {
        let Ok(inside) = std::str::from_utf8(inside) else { return false };
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

    fn multipart() -> Media {
        Media::Multipart { boundary: "x".to_owned() }
    }

    #[test]
    fn a_mask_is_found_among_bytes_that_are_no_text_and_brackets_cost_their_length_once() {
        let binary =
            [&b"--x\r\n\r\n\xff\xfe\0[[\r\n--x\r\n\r\nsee [pii.ssn] there\r\n--x--"[..], b""].concat();
        assert!(looks(true).body(&multipart(), &binary));
        assert!(!looks(false).body(&multipart(), &binary));
        // Minutes, if each were read to the end.
        for brackets in ["[", "]", "[]", "a[b]"] {
            let body = brackets.repeat((4 << 20) / brackets.len());
            assert!(!looks(true).body(&Media::Text, body.as_bytes()), "{brackets}");
        }
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
            // What a stricter reader would not read at all.
            (Media::Form, "ssn=%5Bpii.ssn%5D&c=#1&d=%zz"),
            (multipart(), "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n[pii.ssn]\r\n--x--\r\n"),
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
