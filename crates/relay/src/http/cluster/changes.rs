//! What a write would change, for whoever is asked to approve it: the object as it is now, and as the API server says that it would
//! be (a dry run of the very request). Both are read on a connection of the gateway's own, after a note in the run's record.
//!
//! A dry run is tried where the API server itself answers, and the object is read with the gateway's rights: it is shown to who may
//! approve, masked as the record is.
//!
//! It is an aid: an approval binds to the bytes that were asked, and what is there when they are sent may be something else by then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use gate::Who;
use json::{Kind, Value};
use mask::body::{Body, Media};
use mask::{Known, MaskedText};
use proto_http::frame::Headers;
use proto_http::message::{Request as HttpRequest, Target};
use proto_kubernetes::request::{Request, Verb};
use wire::RawField;

use super::super::credential::Injected;
use super::super::dial::reach_one;
use super::super::resource::Resource;
use super::super::scrub::Needles;
use super::Call;
use super::own::{self, Ask, Said};
use crate::config::Masks;
use crate::entropy;
use crate::limits::REFUSAL_RECORD;

/// Both readings together: who waits for an approval waits for minutes, and a cluster that is asked answers in milliseconds.
const MOST: Duration = Duration::from_secs(5);
/// Lines that are shown. What a person is to read is short.
const LINES_MAX: usize = 32;
/// Their bytes in all: below what one text of a record may have (8 KiB).
const SHOWN_IN_ALL_BYTES_MAX: usize = 7 << 10;
/// A value, or a path, as it is shown in a line, in bytes.
const SHOWN_BYTES_MAX: usize = 72;
/// What the paths and values of one object may have together, in bytes. etcd keeps objects of 1.5 MiB.
const LEAVES_BYTES_MAX: usize = 16 << 20;

/// Groups that API servers serve themselves: there a dry run has no effect.
const BUILT_IN: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

const BUSY: &str = "too many changes are looked at now: this one was not";
const NOT_READ: &str = "the object as it is now could not be read";

/// A request of the gateway's own.
struct Of<'a> {
    method: &'a [u8],
    target: Vec<u8>,
    body: &'a [u8],
}

impl Call {
    /// `None`: it changes nothing that is there, or what it does stands in it.
    pub(in crate::http) async fn changes(
        &self,
        resource: &Resource,
        who: &Who,
        request: &HttpRequest,
        (injected, needles): (&Injected, &Needles),
    ) -> Option<MaskedText> {
        let Some(Request::Resource(asked)) = &self.request else { return None };
        let named =
            asked.object.name.is_some() && asked.connect.is_none() && asked.object.subresource.is_none();
        let changes = matches!(asked.verb, Verb::Update | Verb::Patch | Verb::Delete);
        let Target::Origin(origin) = &request.target else { return None };
        if !named || !changes || self.refuse.is_some() {
            return None;
        }
        let raw = origin.raw.as_bytes();
        let path = raw.split(|b| *b == b'?').next().unwrap_or(raw).to_vec();
        let Ok(_one_of_few) = resource.changes.try_acquire() else {
            return Some(MaskedText::constant(BUSY));
        };
        let noted = resource.gate.note(who, None, "live-object");
        let _before_anything_is_asked = tokio::time::timeout(REFUSAL_RECORD, noted.ok()?).await.ok()?.ok()?;
        let looked = async {
            let now = Of { method: b"GET", target: path, body: b"" };
            let now = self.ask(resource, who, (injected, needles), now).await?;
            let then = match asked.verb {
                Verb::Delete => None,
                // Of another server behind this one nobody knows whether it knows what a dry run is.
                _ if !BUILT_IN.contains(&&*asked.object.group) => None,
                _ => {
                    let mark: &[u8] = if raw.contains(&b'?') { b"&" } else { b"?" };
                    let dry: &[u8] = if asked.options.dry_run { b"" } else { b"dryRun=All" };
                    let target = [raw, if dry.is_empty() { b"" } else { mark }, dry].concat();
                    let then = Of { method: request.method.as_bytes(), target, body: &self.body };
                    Some(self.ask(resource, who, (injected, needles), then).await?)
                }
            };
            Some((now, then))
        };
        let looked = tokio::time::timeout(MOST, looked).await.ok().flatten();
        let deletes = asked.verb == Verb::Delete;
        let text = looked.and_then(|(now, then)| self.told(resource, &now, then.as_ref(), deletes));
        let text = text.unwrap_or_else(|| NOT_READ.to_owned());
        Some(mask::lines(resource.gate.detectors(), &text))
    }

    /// The lines that differ: `path: before -> behind`. `None`: it cannot be told.
    fn told(&self, resource: &Resource, now: &Said, then: Option<&Said>, deletes: bool) -> Option<String> {
        if now.status == 404 {
            return Some("there is no such object now".to_owned());
        }
        if now.status != 200 {
            return Some(format!("{NOT_READ} ({})", now.status));
        }
        let (before, shown) = (leaves(&now.body)?, leaves(&masked(resource, &self.masks, &now.body)?)?);
        let version = before.get("metadata.resourceVersion").cloned().unwrap_or_default();
        let Some(then) = then else {
            let lines = shown
                .iter()
                .filter(|(path, _)| !is_noise(path))
                .map(|(path, value)| format!("- {}: {:?}", short(path, 0), short(value, 0)));
            let title = match deletes {
                true => "deleted would be",
                false => "what it would be is not known; it is now",
            };
            return Some(listed(&format!("{title}, as of version {version}:"), lines));
        };
        if !matches!(then.status, 200 | 201) {
            let said = masked(resource, &self.masks_of(resource, then.status), &then.body)
                .and_then(|body| leaves(&body)?.get("message").cloned())
                .unwrap_or_default();
            return Some(format!("the API server would answer {}: {:?}", then.status, short(&said, 0)));
        }
        let (behind, shown_behind) =
            (leaves(&then.body)?, leaves(&masked(resource, &self.masks, &then.body)?)?);
        let paths: std::collections::BTreeSet<&String> = before.keys().chain(behind.keys()).collect();
        let differs = |path: &&String| !is_noise(path) && before.get(*path) != behind.get(*path);
        let line = |path: &String| {
            let at = short(path, 0);
            match (shown.get(path), shown_behind.get(path)) {
                (Some(one), Some(two)) if one == two => {
                    format!("~ {at}: {:?} (masked, and another value)", short(one, 0))
                }
                (Some(one), Some(two)) => {
                    let from = differ_from(one, two);
                    format!("~ {at}: {:?} -> {:?}", short(one, from), short(two, from))
                }
                (Some(one), None) => format!("- {at}: {:?}", short(one, 0)),
                (None, Some(two)) => format!("+ {at}: {:?}", short(two, 0)),
                (None, None) => format!("~ {at}"),
            }
        };
        // What an object is stands before what is said about it.
        let (about, of): (Vec<&String>, Vec<&String>) =
            paths.into_iter().filter(differs).partition(|path| path.starts_with("metadata"));
        let lines: Vec<String> = of.into_iter().chain(about).map(line).collect();
        match lines.is_empty() {
            true => Some(format!("nothing would change, as of version {version}")),
            false => Some(listed(&format!("changed would be, as of version {version}:"), lines.into_iter())),
        }
    }

    async fn ask(
        &self,
        resource: &Resource,
        who: &Who,
        (injected, needles): (&Injected, &Needles),
        of: Of<'_>,
    ) -> Option<Said> {
        let leg = reach_one(resource).await.ok()?;
        let mut own = Headers::new();
        if let Some(form) = self.form.filter(|_| !of.body.is_empty()) {
            let media = RawField::copy_from(form.media().as_bytes());
            own.push(RawField::from_static(b"Content-Type"), media);
        }
        let mut headers = self.dress(resource, who, &own);
        headers.remove("accept");
        let ask = Ask { method: of.method, target: &of.target, headers, body: of.body };
        let said = own::ask(&resource.config, leg, injected, ask).await?;
        // What an API server says of the gateway's own credential nobody is shown.
        let body = needles.without(&said.body).unwrap_or(said.body);
        Some(Said { body, ..said })
    }
}

fn listed(title: &str, lines: impl Iterator<Item = String>) -> String {
    let mut out = title.to_owned();
    let (mut shown, mut more) = (0, 0);
    for line in lines {
        if more > 0 || shown == LINES_MAX || out.len() + line.len() > SHOWN_IN_ALL_BYTES_MAX {
            more += 1;
            continue;
        }
        out.push('\n');
        out.push_str(&line);
        shown += 1;
    }
    if more > 0 {
        out.push_str(&format!("\n... and {more} more"));
    }
    out
}

/// What changes with every write, and what only says who wrote.
fn is_noise(path: &str) -> bool {
    path.starts_with("metadata.managedFields")
        || matches!(path, "metadata.resourceVersion" | "metadata.generation")
}

/// An object as the record would have it: governed places and what detectors know are masked.
fn masked(resource: &Resource, masks: &Masks, body: &[u8]) -> Option<Vec<u8>> {
    let (detectors, nobody) = (resource.gate.detectors(), Known::new(entropy::random()));
    let mut looking =
        Body::new(Media::Json, masks.rules.clone(), Default::default()).longest(resource.longest());
    let first = looking.push(detectors, &nobody, body).ok()?;
    let (rest, _found) = looking.finish(detectors, &nobody).ok()?;
    Some(first.then(rest).as_bytes().to_vec())
}

/// Each value that is no object and no list, by its path. `None`: no JSON, or more than [`LEAVES_BYTES_MAX`].
fn leaves(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let value = json::parse(body).ok()?;
    let (mut out, mut left) = (BTreeMap::new(), LEAVES_BYTES_MAX);
    leaf(&value, String::new(), &mut left, &mut out)?;
    Some(out)
}

/// Each path is written out whole: what a long name costs is counted before it is written.
fn leaf(value: &Value<'_>, path: String, left: &mut usize, out: &mut BTreeMap<String, String>) -> Option<()> {
    *left = left.checked_sub(path.len() + 64)?;
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-$".contains(&b))
    };
    let below = |name: &str| match (path.is_empty(), plain(name)) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{name:?}]"),
    };
    match &value.kind {
        Kind::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                *left = left.checked_sub(name.len() * 2)?;
                leaf(value, below(name), left, out)?;
            }
        }
        Kind::Array(items) if !items.is_empty() => {
            for (n, value) in items.iter().enumerate() {
                leaf(value, format!("{path}[{n}]"), left, out)?;
            }
        }
        Kind::Text(text) => _ = out.insert(path, text.to_string()),
        Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Object(_) | Kind::Array(_) => {
            _ = out.insert(path, value.raw.to_owned());
        }
    }
    Some(())
}

/// As much of a path or value as stands in a line, from this byte on.
fn short(text: &str, from: usize) -> Cow<'_, str> {
    let begin = text.floor_char_boundary(from);
    let end = text.floor_char_boundary(begin + SHOWN_BYTES_MAX);
    let cut = |is: bool| if is { "..." } else { "" };
    match text.get(begin..end) {
        Some(all) if all.len() == text.len() => Cow::Borrowed(text),
        shown => Cow::Owned(format!("{}{}{}", cut(begin > 0), shown.unwrap_or(""), cut(end < text.len()))),
    }
}

/// Where two values are to be shown from, for what differs to be seen: the beginning, as far as it is.
fn differ_from(one: &str, two: &str) -> usize {
    let same = one.bytes().zip(two.bytes()).take_while(|(one, two)| one == two).count();
    if same < SHOWN_BYTES_MAX / 2 { 0 } else { same - SHOWN_BYTES_MAX / 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_its_leaves() {
        let two = leaves(br#"{"x.y":{"z":1},"x":{"y.z":2,"y":{"z":3}}}"#).unwrap();
        assert_eq!(two.len(), 3, "no two places have one path");
        let read = leaves(br#"{"a":{"b":[1,{"c":"x"}],"d":{},"e":null}}"#).unwrap();
        let lines: Vec<String> = read.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(lines, ["a.b[0]=1", "a.b[1].c=x", "a.d={}", "a.e=null"]);
        assert_eq!(leaves(b"[1,"), None);
        let long = listed("t:", (0..LINES_MAX + 3).map(|n| n.to_string()));
        assert!(long.ends_with("\n31\n... and 3 more"), "{long}");
        let (one, two) = ("é".repeat(100) + "1 and more", "é".repeat(100) + "2");
        let from = differ_from(&one, &two);
        assert_eq!(short(&one, from), format!("...{}1 and more", "é".repeat(9)));
        assert_eq!(short(&two, from), format!("...{}2", "é".repeat(9)));
        assert_eq!(short(&one, 0), format!("{}...", "é".repeat(SHOWN_BYTES_MAX / 2)));
        assert_eq!((short("", 0), short("a", 9)), ("".into(), "...".into()));
        let wide = format!(r#"{{"{}":[{}1]}}"#, "n".repeat(1 << 20), "1,".repeat(1000));
        assert_eq!(leaves(wide.as_bytes()), None, "a name is not written out a thousand times");
    }
}
