//! What an answer of the API server holds, and where: for whoever masks it. And what a client may ask it to be.
//!
//! A place is a path into JSON in the subset of RFC 9535 that the mask crate's `JsonPath` reads. It holds **at any depth**, so
//! that it is the same in an object, a list (`items[*]`), a watch event (`object`), a Table (`rows[*].object`), and a Table in an
//! event: a form of answer that is not thought of has its places nevertheless.
//!
//! # Secrets
//!
//! | what | where |
//! |---|---|
//! | a secret's values | `data`, `stringData` of `secrets`, in any group; each member alone, so that its keys are told |
//! | what `kubectl apply` keeps of an object | the annotation `kubectl.kubernetes.io/last-applied-configuration`, whole |
//! | a token that was asked for | `status.token` of `serviceaccounts/token` |
//! | a token that is to be reviewed | `spec.token` of `tokenreviews` |
//! | a config map's values | `data`, `binaryData` of `configmaps` |
//! | literal values of variables | `env[*].value`, of whatever has containers |
//!
//! `managedFields` hold names of fields, keys of lists and members of sets, and no value of these places: they pass, as do
//! cells of a Table, which count a secret's values. Where an operator names places of his own both may hold them: see [`MANAGED`]
//! and [`crate::table`].
//!
//! **Errors** quote what they do not take, and of a patch that is the whole object as it would be, with what was stored: one with
//! a number among a secret's values is answered with all of them. So the `message` of an error of a write, and those of its
//! causes, are such a place, too ([`places_of`]), but for the codes whose sentence has names alone.
//!
//! # Masks
//!
//! Members of a secret's `data` are base64 to typed clients: any other text would be an error in Go, and null one in Python. So
//! what stands there instead is base64, and says when it is decoded what it is. A last-applied configuration is left empty: kubectl takes
//! one that is no JSON for a fault, and an empty one for none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fault::{self as why, Reason};
use crate::limits::{ACCEPT_BYTES_MAX, ACCEPT_RANGES_MAX};
use crate::request::{Asked, Verb};

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holds {
    /// A value of a secret.
    Secret,
    /// The last applied configuration of an object that is looked at for its values.
    LastApplied,
    /// A token of a service account.
    Token,
    /// A value of a config map.
    Config,
    /// A literal value of a variable.
    Env,
    /// Which fields who has set, with keys of lists and members of sets among them.
    Managed,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A path as the mask crate reads it.
    pub path: &'static str,
    pub holds: Holds,
    pub instead: Instead,
}

/// What stands in the place of a string without a client failing on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The class of what stood there, in brackets.
    Class,
    /// The same in base64.
    Encoded,
    Nothing,
}

impl Place {
    /// What stands in the place of a string there.
    pub fn words(&self) -> String {
        let class = format!("[{}]", self.holds.class());
        match self.instead {
            Instead::Class => class,
            Instead::Encoded => STANDARD.encode(class),
            Instead::Nothing => String::new(),
        }
    }
}

/// How an answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One JSON text.
    Object,
    /// One JSON text in each line, as long as it lasts.
    Events,
    /// What a container wrote: bytes.
    Log,
    /// Another server's, or a connection.
    Other,
}

impl Holds {
    /// The class of what stands there: of [`vocab::Class`]'s form.
    pub fn class(self) -> &'static str {
        match self {
            Holds::Secret | Holds::LastApplied => "secret.kubernetes",
            Holds::Token => "secret.kubernetes_token",
            Holds::Config => "config.kubernetes",
            Holds::Env => "config.env",
            Holds::Managed => "config.managed_fields",
        }
    }

    /// Whether it is masked without a rule of the operator's. What config maps and variables hold is mostly no secret.
    pub fn always(self) -> bool {
        match self {
            Holds::Secret | Holds::LastApplied | Holds::Token => true,
            Holds::Config | Holds::Env | Holds::Managed => false,
        }
    }
}

const fn place(path: &'static str, holds: Holds, instead: Instead) -> Place {
    Place { path, holds, instead }
}

const SECRETS: [Place; 3] = [
    place("$..data.*", Holds::Secret, Instead::Encoded),
    place("$..stringData.*", Holds::Secret, Instead::Class),
    place(LAST_APPLIED, Holds::LastApplied, Instead::Nothing),
];
const CONFIG_MAPS: [Place; 3] = [
    place("$..data.*", Holds::Config, Instead::Class),
    place("$..binaryData.*", Holds::Config, Instead::Encoded),
    place(LAST_APPLIED, Holds::Config, Instead::Nothing),
];
const TOKENS: [Place; 1] = [place("$..status.token", Holds::Token, Instead::Class)];
const REVIEWS: [Place; 1] = [place("$..spec.token", Holds::Token, Instead::Class)];
const OTHERS: [Place; 2] =
    [place("$..env[*].value", Holds::Env, Instead::Class), place(LAST_APPLIED, Holds::Env, Instead::Nothing)];
const LAST_APPLIED: &str = "$..annotations['kubectl.kubernetes.io/last-applied-configuration']";

/// Where a JSON patch has its values.
pub const PATCHED: Place = place("$[*].value", Holds::Secret, Instead::Class);
/// Null there is none there: a server that is given it back keeps its own.
pub const MANAGED: Place = place("$..metadata.managedFields", Holds::Managed, Instead::Nothing);

const SECRETS_QUOTED: [Place; 1] = [place(MESSAGE, Holds::Secret, Instead::Class)];
const CONFIG_QUOTED: [Place; 1] = [place(MESSAGE, Holds::Config, Instead::Class)];
const OTHERS_QUOTED: [Place; 1] = [place(MESSAGE, Holds::Env, Instead::Class)];
/// The sentence of an error, which quotes the object.
pub const MESSAGE: &str = "$..message";

/// Every list of places that [`places`] and [`places_of`] give.
pub const ALL: [&[Place]; 9] = [
    &SECRETS,
    &CONFIG_MAPS,
    &TOKENS,
    &REVIEWS,
    &OTHERS,
    &[],
    &SECRETS_QUOTED,
    &CONFIG_QUOTED,
    &OTHERS_QUOTED,
];

/// Where in the answer to a request something stands that may be a secret, whatever its verb: a write is answered with the
/// object. The same places hold for the object that a request sends.
pub fn places(asked: &Asked) -> &'static [Place] {
    let object = &asked.object;
    match (&*object.resource, object.subresource.as_deref()) {
        ("secrets", _) => &SECRETS,
        ("serviceaccounts", Some("token")) => &TOKENS,
        ("tokenreviews", _) => &REVIEWS,
        ("configmaps", _) => &CONFIG_MAPS,
        // Schemas have properties of these names, and no values.
        _ if object.group == "apiextensions.k8s.io" => &[],
        _ => &OTHERS,
    }
}

/// The same of an answer with a status code. That there is no such object (404), that there is one or that it has changed
/// (409), and that nobody is known by that token (401), is said without its values.
pub fn places_of(asked: &Asked, status: u16) -> &'static [Place] {
    let places = places(asked);
    match places.first().map(|place| place.holds) {
        _ if status < 400 || asked.verb.reads() || matches!(status, 401 | 404 | 409) => places,
        // What does not start says so, and has no object.
        _ if asked.connect.is_some() => places,
        Some(Holds::Secret | Holds::LastApplied) => &SECRETS_QUOTED,
        Some(Holds::Config) => &CONFIG_QUOTED,
        Some(Holds::Env) => &OTHERS_QUOTED,
        Some(Holds::Token | Holds::Managed) | None => places,
    }
}

/// How the answer with a status code is to be read. An error is one object, whatever was asked.
pub fn form(asked: &Asked, status: u16) -> Form {
    match (asked.verb, status) {
        _ if asked.connect.is_some() => Form::Other,
        (Verb::Watch, 200) => Form::Events,
        (_, 200) if asked.log.is_some() => Form::Log,
        _ => Form::Object,
    }
}

/// `Accept` as it goes upstream: of what the client would take, what is JSON; `*/*` and `application/*` are JSON. Without the
/// header it is JSON. `as`, `g` and `v` (Table, PartialObjectMetadata, aggregated discovery), `profile` and `q` stay, but for a Table
/// where there is to be none: clients that ask for one take the objects, too.
///
/// Errors (side: client): it takes no JSON (protobuf, CBOR or YAML alone), or nothing but a Table; a parameter that is not known.
pub fn accept(raw: Option<&[u8]>, tables: bool) -> Result<String, Reason> {
    let Some(raw) = raw else { return Ok(JSON.to_owned()) };
    if raw.len() > ACCEPT_BYTES_MAX || raw.split(|b| *b == b',').count() > ACCEPT_RANGES_MAX {
        return Err(why::ACCEPT_TOO_LONG);
    }
    let text = std::str::from_utf8(raw).map_err(|_| why::BAD_ACCEPT)?;
    let (mut kept, mut left_out): (Vec<String>, bool) = (Vec::new(), false);
    for range in text.split(',').map(trimmed).filter(|range| !range.is_empty()) {
        let range = json_range(range)?;
        let out =
            !tables && range.as_ref().is_some_and(|range| range.split(';').any(|part| part == "as=Table"));
        left_out |= out;
        kept.extend(range.filter(|range| !out && !kept.contains(range)));
    }
    match kept.is_empty() {
        true if left_out => Err(why::NO_TABLE),
        true => Err(why::NO_JSON),
        false => Ok(kept.join(", ")),
    }
}

/// What a client may take beside JSON where it asks for the server's description of its API: clients from before 1.24 read no
/// other form of it, and it has names and types and no values.
pub fn is_openapi_protobuf(raw: &[u8]) -> bool {
    const FORMS: [&[u8]; 2] = [
        b"application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        b"application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    ];
    FORMS.contains(&raw)
}

/// Whether an answer's `Content-Type` is JSON: what was asked for by [`accept`]. `stream=watch` is one of its parameters.
pub fn is_json(content_type: &[u8]) -> bool {
    let media = content_type.split(|b| *b == b';').next().unwrap_or_default();
    media.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes())
}

const JSON: &str = "application/json";

/// One range of `Accept`, written again. `None`: it is not JSON.
fn json_range(range: &str) -> Result<Option<String>, Reason> {
    let mut pieces = range.split(';').map(trimmed);
    let media = pieces.next().unwrap_or_default().to_ascii_lowercase();
    if !matches!(&*media, JSON | "application/*" | "*/*") {
        return Ok(None);
    }
    let mut written = JSON.to_owned();
    for parameter in pieces {
        let (name, value) = parameter.split_once('=').ok_or(why::BAD_ACCEPT)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        if !matches!(name, "as" | "g" | "v" | "q" | "profile" | "charset" | "stream")
            || !value.bytes().all(plain)
        {
            return Err(why::BAD_ACCEPT);
        }
        if !matches!(name, "charset" | "stream") {
            written.push_str(&format!(";{name}={value}"));
        }
    }
    Ok(Some(written))
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
