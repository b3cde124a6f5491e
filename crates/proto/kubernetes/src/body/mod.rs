//! What the body of a request says: which kind of body it is, what of its text policy needs, and nothing else of it.
//!
//! Spec: RFC 8259, RFC 6902 (JSON Patch), RFC 7386 (merge patch); strategic merge patch and server-side apply as the API
//! server has them. Bodies are JSON, read by the strict reading that all protocols share: a name twice, or in another case,
//! is refused, since Go, and each webhook behind it, may take either value.
//!
//! **YAML** and **protobuf** are written as JSON ([`json`]), which then goes upstream in their place with
//! [`Form::media`] as its type. Of YAML what readers make different values of (anchors, tags, words such as `yes` and `017`) is
//! refused ([`::json::yaml`]); kubectl and client-go apply in JSON that is called YAML, and that stays as it is. In protobuf
//! kubectl creates namespaces, secrets, roles, jobs and reviews of access, whatever it is told. **CBOR** is refused; clients that
//! know it then send JSON.
//!
//! Reading order: this page -> [`facts`] (what is found, and what it touches) -> `walk` (where it stands) -> `patch` ->
//! `directives` -> [`protobuf`].

use crate::fault::{self as why, Reason};
use crate::limits::BODY_BYTES_MAX;
use crate::query::Options;
use crate::request::{Asked, Object, Verb};
use ::json::{Kind, Unreadable, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use facts::Fact;
use std::borrow::Cow;
use std::collections::BTreeSet;
use vocab::Opaque;

mod directives;
pub mod facts;
mod patch;
pub mod protobuf;
mod walk;

pub use patch::{Operation, operations};

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A whole object, or the options of a delete.
    Object,
    /// RFC 6902.
    JsonPatch,
    /// RFC 7386.
    MergePatch,
    StrategicPatch,
    /// Server-side apply.
    Apply,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    Json,
    /// To be written as JSON by [`json`], and to be read and sent as that.
    Yaml,
    /// As YAML.
    Protobuf,
}

/// What a body says.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    pub form: Form,
    /// `metadata.name`, and whether `metadata.generateName` is there.
    pub name: Option<String>,
    pub generates_name: bool,
    pub facts: BTreeSet<Fact>,
    /// Set where a patch takes something from where it cannot be seen.
    pub opaque: Option<Opaque>,
    /// Whether nothing is stored, in all: by the query, or by the options of a delete.
    pub dry_run: bool,
}

/// Names may be secrets: only how much was found is shown.
impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Said({:?}, {} facts)", self.form, self.facts.len())
    }
}

impl Form {
    /// The word for records. `None`: the request's own verb says it.
    pub fn kind(self) -> Option<&'static str> {
        match self {
            Form::Object => None,
            Form::JsonPatch => Some("JSON PATCH"),
            Form::MergePatch => Some("MERGE PATCH"),
            Form::StrategicPatch => Some("STRATEGIC PATCH"),
            Form::Apply => Some("APPLY"),
        }
    }

    pub fn patches(self) -> bool {
        self != Form::Object
    }

    /// The `Content-Type` with which its JSON goes upstream, whatever it was written in. Server-side apply has no type for JSON, and
    /// its JSON is YAML.
    pub fn media(self) -> &'static str {
        match self {
            Form::Object => "application/json",
            Form::JsonPatch => "application/json-patch+json",
            Form::MergePatch => "application/merge-patch+json",
            Form::StrategicPatch => "application/strategic-merge-patch+json",
            Form::Apply => "application/apply-patch+yaml",
        }
    }
}

/// Reads `Content-Type` for a request with `verb`. Parameters: `charset=utf-8` alone. Without the header an object is JSON, as
/// the server has it, and a patch is refused. Errors (side: client): a type that is not known, not read, or not this verb's.
pub fn form(verb: Verb, content_type: Option<&[u8]>) -> Result<(Form, Written), Reason> {
    let Some(raw) = content_type else {
        return if verb == Verb::Patch { Err(why::NO_PATCH_TYPE) } else { Ok((Form::Object, Written::Json)) };
    };
    let read = match &*media(raw)? {
        "application/json" => (Form::Object, Written::Json),
        "application/yaml" => (Form::Object, Written::Yaml),
        "application/json-patch+json" => (Form::JsonPatch, Written::Json),
        "application/merge-patch+json" => (Form::MergePatch, Written::Json),
        "application/strategic-merge-patch+json" => (Form::StrategicPatch, Written::Json),
        "application/apply-patch+yaml" => (Form::Apply, Written::Yaml),
        "application/vnd.kubernetes.protobuf" => (Form::Object, Written::Protobuf),
        "application/cbor" | "application/apply-patch+cbor" => return Err(why::CBOR),
        _ => return Err(why::UNKNOWN_MEDIA),
    };
    if read.0.patches() == (verb == Verb::Patch) { Ok(read) } else { Err(why::WRONG_MEDIA) }
}

/// A body in JSON: what is read, decided and sent upstream, with the type that [`Form::media`] says. JSON stays as it is, and so does
/// no body at all.
///
/// Errors (side: client): more than [`BODY_BYTES_MAX`] bytes before or behind, no YAML or one that readers read differently, no
/// protobuf or a kind or field of it that is not known.
pub fn json(written: Written, bytes: &[u8]) -> Result<Cow<'_, [u8]>, Reason> {
    let yaml = |why: Unreadable| Reason { inward: "body: YAML", ..Reason::from(why) };
    let json = match written {
        _ if bytes.len() > BODY_BYTES_MAX => return Err(why::BODY_TOO_LARGE),
        Written::Json => return Ok(Cow::Borrowed(bytes)),
        Written::Yaml | Written::Protobuf if bytes.is_empty() => return Ok(Cow::Borrowed(bytes)),
        Written::Yaml => ::json::yaml::json(bytes).map_err(yaml)?,
        Written::Protobuf => protobuf::json(bytes)?,
    };
    if json.len() > BODY_BYTES_MAX { Err(why::BODY_TOO_LARGE) } else { Ok(Cow::Owned(json)) }
}

/// Reads the body of a request that has one, or whose verb needs one. Without a body: `bytes` is empty. What goes through a
/// connection is none. What is written otherwise than in JSON is written as JSON before ([`json`]).
///
/// Errors (side: client): too large, not readable in one way, a member that is not what its name says, more than
/// [`FACTS_MAX`](crate::limits::FACTS_MAX) facts or one that is too long, options of a delete that stand in the query, too, a directive of
/// a strategic patch that is not known.
pub fn read(asked: &Asked, form: Form, written: Written, bytes: &[u8]) -> Result<Said, Reason> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(why::BODY_TOO_LARGE);
    }
    match asked.verb {
        Verb::Get | Verb::List | Verb::Watch => return Err(why::BODY_OF_A_READ),
        Verb::Delete | Verb::DeleteCollection => return delete(&asked.options, written, bytes),
        Verb::Create | Verb::Update | Verb::Patch => {}
    }
    let value = parse(written, bytes)?;
    if form == Form::StrategicPatch {
        directives::check(&value)?;
    }
    let mut walk = walk::Walk::new(&asked.object, form);
    let mut said = Said {
        form,
        name: None,
        generates_name: false,
        facts: BTreeSet::new(),
        opaque: None,
        dry_run: asked.options.dry_run,
    };
    match form {
        Form::JsonPatch => said.opaque = patch::read(&mut walk, value)?,
        Form::Object | Form::MergePatch | Form::StrategicPatch | Form::Apply => {
            (said.name, said.generates_name) = identity(&asked.object, &value)?;
            walk.root(&value)?;
        }
    }
    said.facts = walk.facts;
    Ok(said)
}

impl From<Unreadable> for Reason {
    fn from(unreadable: Unreadable) -> Reason {
        Reason { kind: why::kind::AMBIGUOUS, outward: unreadable.0, inward: "body: JSON" }
    }
}

/// A media type in lower case.
fn media(raw: &[u8]) -> Result<String, Reason> {
    let text = std::str::from_utf8(raw).map_err(|_| why::UNKNOWN_MEDIA)?.to_ascii_lowercase();
    let (media, parameters) = text.split_once(';').unwrap_or((&text, ""));
    match parameters.trim_matches([' ', '\t']) {
        "" | "charset=utf-8" | "charset=\"utf-8\"" => Ok(media.trim_matches([' ', '\t']).to_owned()),
        _ => Err(why::UNKNOWN_MEDIA),
    }
}

/// Text that is JSON. Errors: it still has to be written as that.
fn parse(written: Written, bytes: &[u8]) -> Result<Value<'_>, Reason> {
    match written {
        Written::Json => Ok(::json::parse(bytes)?),
        Written::Yaml => Err(why::STILL_YAML),
        Written::Protobuf => Err(why::STILL_PROTOBUF),
    }
}

/// `metadata.name`, and whether a name is made of `metadata.generateName`. Errors: another name or namespace than the
/// path's, a list where one object is created.
fn identity(object: &Object, value: &Value<'_>) -> Result<(Option<String>, bool), Reason> {
    let top = value.object().map_err(|_| why::NO_OBJECT)?;
    if top.text("kind")?.is_some_and(|kind| kind.ends_with("List")) {
        return Err(why::A_LIST);
    }
    let Some(metadata) = top.object("metadata")? else { return Ok((None, false)) };
    let name = metadata.text("name")?.filter(|name| !name.is_empty());
    let namespace = metadata.text("namespace")?.filter(|namespace| !namespace.is_empty());
    let differs = |one: Option<&str>, two: &Option<String>| {
        one.zip(two.as_deref()).is_some_and(|(one, two)| one != two)
    };
    let elsewhere = namespace.is_some() && object.namespace.is_none();
    if differs(name, &object.name) || differs(namespace, &object.namespace) || elsewhere {
        return Err(why::ANOTHER_OBJECT);
    }
    if name.is_some_and(|text| crate::request::name(text).is_none()) {
        return Err(why::BAD_NAME);
    }
    let generates = metadata.text("generateName")?.is_some_and(|text| !text.is_empty());
    Ok((name.map(str::to_owned), generates && name.is_none()))
}

/// `DeleteOptions`. Where there is a body the server does not look at the query.
fn delete(options: &Options, written: Written, bytes: &[u8]) -> Result<Said, Reason> {
    let mut said = Said {
        form: Form::Object,
        name: None,
        generates_name: false,
        facts: BTreeSet::new(),
        opaque: None,
        dry_run: options.dry_run,
    };
    if bytes.is_empty() {
        return Ok(said);
    }
    let value = parse(written, bytes)?;
    let top = value.object().map_err(|_| why::NO_OBJECT)?;
    if top.text("kind")?.is_some_and(|kind| kind != "DeleteOptions") {
        return Err(why::NO_DELETE_OPTIONS);
    }
    const KNOWN: [&str; 9] = [
        "apiVersion",
        "kind",
        "gracePeriodSeconds",
        "preconditions",
        "orphanDependents",
        "propagationPolicy",
        "dryRun",
        "metadata",
        "ignoreStoreReadErrorWithClusterBreakingPotential",
    ];
    if top.members().iter().any(|(name, _)| !KNOWN.contains(&name.as_ref())) {
        return Err(why::NO_DELETE_OPTIONS);
    }
    if !options.of_delete.iter().map(|(name, value)| says(&top, name, value)).all(|same| same == Ok(true)) {
        return Err(why::DELETE_TWICE);
    }
    said.dry_run = match top.items("dryRun")? {
        [] => false,
        [one] if one.text()? == "All" => true,
        _ => return Err(why::NOT_A_DRY_RUN),
    };
    Ok(said)
}

/// Whether options of a delete say what a query says.
fn says(options: &::json::Object<'_, '_>, name: &str, value: &str) -> Result<bool, Reason> {
    let Some(said) = options.get(name)? else { return Ok(false) };
    Ok(match &said.kind {
        Kind::Text(text) => text == value,
        Kind::Number => said.raw == value,
        Kind::Bool(flag) => value.eq_ignore_ascii_case(if *flag { "true" } else { "false" }),
        Kind::Array(all) => matches!(&all[..], [one] if one.text()? == value),
        Kind::Null | Kind::Object(_) => false,
    })
}

/// Whether a body holds what the gateway puts in the place of a value: `[CLASS]` in a text, or in base64 as that of a secret's or config
/// map's values. Null among those of a whole one would leave them empty, and is refused too. Written back, it would take the place of the value itself. Errors (side: client): no JSON.
pub fn holds_mask(
    asked: &Asked,
    form: Form,
    bytes: &[u8],
    governs: impl Fn(&str) -> bool,
) -> Result<bool, Reason> {
    let value = ::json::parse(bytes)?;
    let whole = matches!(form, Form::Object | Form::Apply);
    let member = match &*asked.object.resource {
        "secrets" if whole => Some("data"),
        "configmaps" if whole => Some("binaryData"),
        _ => None,
    };
    let nothing = |value: &Value<'_>| -> Result<bool, Reason> {
        let Some(member) = member else { return Ok(false) };
        let top = value.object().map_err(|_| why::NO_OBJECT)?;
        let Some(data) = top.object(member)? else { return Ok(false) };
        Ok(data.members().iter().any(|(_, value)| matches!(value.kind, Kind::Null)))
    };
    let encoded = matches!(&*asked.object.resource, "secrets" | "configmaps");
    Ok(nothing(&value)? || shows_mask(&value, encoded, &governs))
}

/// `encoded`: a text may be base64.
fn shows_mask(value: &Value<'_>, encoded: bool, governs: &impl Fn(&str) -> bool) -> bool {
    // As the server reads it: lines do not end it. A mask is ASCII, whatever stands around it.
    let undone = |text: &str| -> Option<String> {
        let one_line: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        Some(STANDARD.decode(one_line).ok()?.into_iter().map(char::from).collect())
    };
    match &value.kind {
        Kind::Text(text) => {
            has_placeholder(text, governs)
                || encoded && undone(text).is_some_and(|text| has_placeholder(&text, governs))
        }
        Kind::Array(items) => items.iter().any(|item| shows_mask(item, encoded, governs)),
        Kind::Object(members) => members.iter().any(|(_, value)| shows_mask(value, encoded, governs)),
        Kind::Null | Kind::Bool(_) | Kind::Number => false,
    }
}

/// `[pii.ssn]`: a class in brackets, one that a rule governs or of the families that detectors have. A section of a file of settings
/// begins its line, and detectors' masks stand in it, too: those of a whole line are none of the detectors'.
fn has_placeholder(text: &str, governs: &impl Fn(&str) -> bool) -> bool {
    text.lines().any(|line| {
        line.match_indices('[').any(|(at, _)| {
            let inside = line.get(at + 1..).and_then(|rest| rest.split_once(']')).map(|(inside, _)| inside);
            let Some(class) = inside else { return false };
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.');
            let section = text.contains('\n') && line.trim() == format!("[{class}]");
            let detected = class.split_once('.').is_some_and(|(family, rest)| {
                matches!(family, "pii" | "secret") && !rest.is_empty() && rest.bytes().all(plain)
            });
            governs(class) || detected && !section
        })
    })
}
