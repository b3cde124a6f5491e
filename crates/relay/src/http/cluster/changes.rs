//! What a write would change, for whoever is asked to approve it: the object as it is now, and as the API server says that it would
//! be (a dry run of the very request). Both are read on a connection of the gateway's own, after a note in the run's record.
//!
//! A dry run is tried where the API server itself answers, and the object is read with the gateway's rights: it is shown to who may
//! approve, masked as the record is.
//!
//! It is an aid: an approval binds to the bytes that were asked, and what is there when they are sent may be something else by then.

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
use super::Call;
use super::own::{self, Ask, Said};
use crate::config::Masks;
use crate::entropy;

/// Both readings together: who waits for an approval waits for minutes, and a cluster that is asked answers in milliseconds.
const MOST: Duration = Duration::from_secs(5);
/// Lines that are shown. What a person is to read is short.
const LINES_MAX: usize = 200;

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
        injected: &Injected,
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
        let noted = resource.gate.note(who, None, "live-object");
        let _before_anything_is_asked = noted.ok()?.await.ok()?;
        let looked = async {
            let now = Of { method: b"GET", target: path, body: b"" };
            let now = self.ask(resource, who, injected, now).await?;
            let then = match asked.verb {
                Verb::Delete => None,
                // Of another server behind this one nobody knows whether it knows what a dry run is.
                _ if !BUILT_IN.contains(&&*asked.object.group) => None,
                _ => {
                    let mark: &[u8] = if raw.contains(&b'?') { b"&" } else { b"?" };
                    let dry: &[u8] = if asked.options.dry_run { b"" } else { b"dryRun=All" };
                    let target = [raw, if dry.is_empty() { b"" } else { mark }, dry].concat();
                    let then = Of { method: request.method.as_bytes(), target, body: &self.body };
                    Some(self.ask(resource, who, injected, then).await?)
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
                .map(|(path, value)| format!("- {path}: {value}"));
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
            return Some(format!("the API server would answer {}: {said}", then.status));
        }
        let (behind, shown_behind) =
            (leaves(&then.body)?, leaves(&masked(resource, &self.masks, &then.body)?)?);
        let paths: std::collections::BTreeSet<&String> = before.keys().chain(behind.keys()).collect();
        let differs = |path: &&String| !is_noise(path) && before.get(*path) != behind.get(*path);
        let line = |path: &String| match (shown.get(path), shown_behind.get(path)) {
            (Some(one), Some(two)) if one == two => format!("~ {path}: {one} (masked, and another value)"),
            (Some(one), Some(two)) => format!("~ {path}: {one} -> {two}"),
            (Some(one), None) => format!("- {path}: {one}"),
            (None, Some(two)) => format!("+ {path}: {two}"),
            (None, None) => format!("~ {path}"),
        };
        let lines: Vec<String> = paths.into_iter().filter(differs).map(line).collect();
        match lines.is_empty() {
            true => Some(format!("nothing would change, as of version {version}")),
            false => Some(listed(&format!("changed would be, as of version {version}:"), lines.into_iter())),
        }
    }

    async fn ask(&self, resource: &Resource, who: &Who, injected: &Injected, of: Of<'_>) -> Option<Said> {
        let leg = reach_one(resource).await.ok()?;
        let mut own = Headers::new();
        if let Some(form) = self.form.filter(|_| !of.body.is_empty()) {
            let media = RawField::copy_from(form.media().as_bytes());
            own.push(RawField::from_static(b"Content-Type"), media);
        }
        let mut headers = self.dress(resource, who, &own);
        headers.remove("accept");
        let ask = Ask { method: of.method, target: &of.target, headers, body: of.body };
        own::ask(&resource.config, leg, injected, ask).await
    }
}

fn listed(title: &str, lines: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = lines.collect();
    let more = all.len().saturating_sub(LINES_MAX);
    let mut out = title.to_owned();
    all.iter().take(LINES_MAX).for_each(|line| out.push_str(&format!("\n{line}")));
    if more > 0 {
        out.push_str(&format!("\n... and {more} more"));
    }
    out
}

/// What changes with every write, and what only says who wrote.
fn is_noise(path: &str) -> bool {
    path.starts_with("metadata.managedFields[")
        || matches!(path, "metadata.resourceVersion" | "metadata.generation")
        || path == "metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]"
}

/// An object as the record would have it: governed places and what detectors know are masked.
fn masked(resource: &Resource, masks: &Masks, body: &[u8]) -> Option<Vec<u8>> {
    let (detectors, nobody) = (resource.gate.detectors(), Known::new(entropy::random()));
    let mut looking = Body::new(Media::Json, masks.rules.clone(), Default::default());
    let first = looking.push(detectors, &nobody, body).ok()?;
    let (rest, _found) = looking.finish(detectors, &nobody).ok()?;
    Some(first.then(rest).as_bytes().to_vec())
}

/// Each value that is no object and no list, by its path.
fn leaves(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let value = json::parse(body).ok()?;
    let mut out = BTreeMap::new();
    leaf(&value, String::new(), &mut out);
    Some(out)
}

fn leaf(value: &Value<'_>, path: String, out: &mut BTreeMap<String, String>) {
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
            members.iter().for_each(|(name, value)| leaf(value, below(name), out));
        }
        Kind::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(n, value)| leaf(value, format!("{path}[{n}]"), out));
        }
        Kind::Text(text) => _ = out.insert(path, text.to_string()),
        Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Object(_) | Kind::Array(_) => {
            _ = out.insert(path, value.raw.to_owned());
        }
    }
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
        assert!(long.ends_with("\n199\n... and 3 more"), "{long}");
    }
}
