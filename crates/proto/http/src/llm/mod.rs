//! What a request to a language model says, and what its answer decides: sans-IO, for the three dialects that agents
//! speak, streamed and not.
//!
//! Editions: OpenAI Chat Completions and Responses, Anthropic Messages (`2023-06-01`), as documented in 2026.
//!
//! **What is refused**: JSON that two readers could take differently ([`Unreadable`]), a streamed answer whose pieces
//! contradict one another or its end, a call without an id. **What is unknown** (`unknown` in [`Prompt`] and
//! [`Answer`], opaque to policy): a role, block, item, tool or event type that is not in the tables here, a structured
//! field of a request that is not, and what cannot be looked into: images, audio, documents.
//!
//! **What is absent**: the meaning of scalar fields that we do not name; models that are named by the path (Azure's
//! older deployments); bodies of errors; WebSockets.
//!
//! Reading order: this page -> `chat`, `responses`, `messages` (a dialect each: prompt, answer, parts of a stream) ->
//! `stream` (which parts, and when it ends) -> `sse` (bytes to events) -> [`json`] (the one reading) -> `notes` (what all
//! dialects collect) -> `plan` (what of it is a plan).

mod chat;
mod messages;
mod notes;
mod plan;
mod responses;
mod responses_stream;
mod sse;
mod stream;

pub use json::Unreadable;
pub use plan::{Form, Plan, Status, Step};
pub use stream::Stream;

use crate::limits::*;
use crate::message::Method;
use json::{Kind, Value};
use std::fmt;

/// Whose words a conversation is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's `/chat/completions`.
    Chat,
    /// OpenAI's `/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
}

/// What a request to a provider asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Asks the model for a turn.
    Turn(Dialect),
    /// Asks the model for nothing: lists of models, counting of tokens. Passed as plain HTTP.
    Plain(&'static str),
}

/// A request for a turn.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt {
    pub model: String,
    pub stream: bool,
    /// In order; `instructions` and `system` first.
    pub turns: Vec<Turn>,
    /// Names of the tools that the client carries out.
    pub tools: Vec<String>,
    /// Types of the tools that run at the provider, past the gateway; each once. Those that ran before are among them.
    pub hosted: Vec<String>,
    /// Fields that bring in what this request does not show, or leave the answer at the provider; each once.
    pub stateful: Vec<&'static str>,
    /// Why this is not all that the request says: the first reason.
    pub unknown: Option<&'static str>,
}

/// One turn of the conversation so far. Blocks of text are lines of one text.
#[derive(Clone, PartialEq, Eq)]
pub enum Turn {
    System(String),
    User(String),
    Assistant {
        text: String,
        calls: Vec<Call>,
        /// What the model is shown of its own thinking, where that is given.
        reasoning: String,
    },
    ToolResult {
        /// Id of the call; of Chat's legacy functions the name.
        call: String,
        text: String,
    },
}

/// A call of a tool that the client carries out.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// What the result names. Empty in Chat's legacy `function_call`.
    pub id: String,
    pub name: String,
    /// JSON without white space, members in the order in which they came. What is no JSON stays as it is: the input
    /// of a custom tool, and a model's nonsense. At most [`CALL_ARGUMENTS_BYTES_MAX`].
    pub arguments: String,
}

/// A model's answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub model: String,
    /// Of several choices, the first one's.
    pub text: String,
    pub reasoning: String,
    /// Of all choices. At most [`CALLS_MAX`].
    pub calls: Vec<Call>,
    /// Why the model stopped, in the provider's word.
    pub finish: Option<String>,
    /// As the provider counts: Anthropic's are without those that it cached.
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Types of the calls that the provider carried out itself, and of their results; each once.
    pub hosted: Vec<String>,
    /// Why this is not all that the answer says: the first reason.
    pub unknown: Option<&'static str>,
}

/// By method and path. The last segments count, so that a base path does not matter; before `messages` there must be
/// `v1`, because OpenAI's threads have messages too. `None`: not known, and so opaque.
pub fn endpoint(method: &Method, segments: &[String]) -> Option<Endpoint> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (method, segments.as_slice()) {
        (Method::Post, [.., "chat", "completions"]) => Some(Endpoint::Turn(Dialect::Chat)),
        (Method::Post, [.., "responses"]) => Some(Endpoint::Turn(Dialect::Responses)),
        (Method::Post, [.., "v1", "messages"]) => Some(Endpoint::Turn(Dialect::Messages)),
        (Method::Post, [.., "responses", "input_tokens"]) => Some(Endpoint::Plain("count tokens")),
        (Method::Post, [.., "v1", "messages", "count_tokens"]) => Some(Endpoint::Plain("count tokens")),
        (Method::Get | Method::Head, [.., "models"]) => Some(Endpoint::Plain("list models")),
        (Method::Get | Method::Head, [.., "models", _]) => Some(Endpoint::Plain("show model")),
        _ => None,
    }
}

/// Whether the answer to such a request is that of a turn which the provider keeps.
pub fn kept(method: &Method, segments: &[String]) -> Option<Dialect> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (method, segments.as_slice()) {
        (Method::Get, [.., "chat", "completions", _]) => Some(Dialect::Chat),
        (Method::Get, [.., "responses", _]) => Some(Dialect::Responses),
        (Method::Post, [.., "responses", _, "cancel"]) => Some(Dialect::Responses),
        _ => None,
    }
}

/// Reads the body of a request, decoded. Errors: larger than [`LLM_BODY_BYTES_MAX`], JSON with no reading or several,
/// no model, a known field of another type, a call or a result without its id.
pub fn prompt(dialect: Dialect, body: &[u8]) -> Result<Prompt, Unreadable> {
    let value = parse(body)?;
    let body = value.object()?;
    match dialect {
        Dialect::Chat => chat::prompt(body),
        Dialect::Responses => responses::prompt(body),
        Dialect::Messages => messages::prompt(body),
    }
}

/// Reads the body of a successful answer that is not streamed, decoded. Errors: as of [`prompt`].
pub fn answer(dialect: Dialect, body: &[u8]) -> Result<Answer, Unreadable> {
    let value = parse(body)?;
    let body = value.object()?;
    match dialect {
        Dialect::Chat => chat::answer(body),
        Dialect::Responses => responses::answer(body),
        Dialect::Messages => messages::answer(body),
    }
}

impl Call {
    /// The texts in the arguments, outermost first: what an action that this call causes may say again. Those of at
    /// least [`CALL_STRING_BYTES_MIN`], at most [`CALL_STRINGS_MAX`], and as many as fit [`CALL_STRINGS_BYTES_MAX`].
    /// Arguments that are no JSON are one text.
    pub fn strings(&self) -> Vec<String> {
        let Ok(value) = json::parse(self.arguments.as_bytes()) else {
            return fitting(std::iter::once(self.arguments.as_str()));
        };
        let (mut texts, mut level) = (Vec::new(), vec![&value]);
        while !level.is_empty() {
            let mut inner = Vec::new();
            for value in level {
                match &value.kind {
                    Kind::Text(text) => texts.push(text.as_ref()),
                    Kind::Array(items) => inner.extend(items),
                    Kind::Object(members) => inner.extend(members.iter().map(|(_, value)| value)),
                    Kind::Null | Kind::Bool(_) | Kind::Number => {}
                }
            }
            level = inner;
        }
        fitting(texts.into_iter())
    }

    /// All texts and numbers in the arguments, each at most [`CALL_SCALAR_BYTES_MAX`], and the names of their members behind the tool's
    /// own: what an action may say in other words. At most [`CALL_SCALARS_MAX`] of each.
    pub fn words(&self) -> (Vec<String>, Vec<String>) {
        let (mut scalars, mut names) = (Vec::new(), vec![self.name.clone()]);
        match json::parse(self.arguments.as_bytes()) {
            Ok(value) => gather(&value, &mut scalars, &mut names),
            Err(_) => scalars.push(self.arguments.clone()),
        }
        scalars.retain(|scalar| scalar.len() <= CALL_SCALAR_BYTES_MAX);
        scalars.truncate(CALL_SCALARS_MAX);
        names.truncate(CALL_SCALARS_MAX);
        (scalars, names)
    }

    /// Each value of the arguments: [`members`], texts of JSON read on.
    pub fn members(&self) -> Option<Vec<(String, String)>> {
        members(self.arguments.as_bytes(), true)
    }

    /// The tool and its arguments, in one spelling for all that say the same, as [`mcp::Asked::call`](crate::mcp::Asked) has
    /// them. `None`: the arguments are no JSON.
    pub fn spelled(&self) -> Option<String> {
        let value = json::parse(self.arguments.as_bytes()).ok()?;
        let mut spelled = format!("{} ", self.name);
        value.canonical(&mut spelled);
        Some(spelled)
    }

    /// Errors: arguments above [`CALL_ARGUMENTS_BYTES_MAX`].
    fn new(id: &str, name: &str, arguments: &str) -> Result<Call, Unreadable> {
        if arguments.len() > CALL_ARGUMENTS_BYTES_MAX {
            return Err(Unreadable("the arguments of a call are longer than 1 MiB"));
        }
        let arguments = match json::parse(arguments.as_bytes()) {
            Ok(value) => json::compact(value.raw),
            Err(_) => arguments.to_owned(),
        };
        Ok(Call { id: id.to_owned(), name: name.to_owned(), arguments })
    }
}

/// Each value of a text of JSON, with the names and numbers that lead to it behind [`BELOW`] one another: texts as they read,
/// anything else as it is written, behind [`NO_TEXT`]; an object or array of nothing as `{}` or `[]`. `texts`: a text that is an object
/// or array of JSON itself is read on, and [`READ_ON`] stands behind its name. `None`: it is no JSON, one of those signs stands in
/// it, or there are more than [`MEMBERS_MAX`], or [`MEMBERS_BYTES_MAX`] in all.
pub fn members(text: &[u8], texts: bool) -> Option<Vec<(String, String)>> {
    let mut members = Members { all: Vec::new(), room: MEMBERS_BYTES_MAX, texts };
    members.read(&json::parse(text).ok()?, "", 0)?;
    Some(members.all)
}

/// Between the names that lead to a member.
pub const BELOW: char = '\u{1f}';
/// Before a value that is no text, and the number of an item.
pub const NO_TEXT: char = '\u{1e}';
/// Behind the name of a text that is read on.
pub const READ_ON: char = '\u{1d}';

struct Members {
    /// Whether texts of JSON are read on.
    texts: bool,
    all: Vec<(String, String)>,
    /// Bytes that may be taken up yet.
    room: usize,
}

impl Members {
    /// `texts`: how many texts of JSON it stands in.
    fn read(&mut self, value: &Value<'_>, name: &str, texts: u32) -> Option<()> {
        match &value.kind {
            Kind::Array(items) if !items.is_empty() => items
                .iter()
                .enumerate()
                .try_for_each(|(n, item)| self.read(item, &below(name, &format!("{NO_TEXT}{n}"))?, texts)),
            Kind::Object(members) if !members.is_empty() => members
                .iter()
                .try_for_each(|(part, value)| self.read(value, &below(name, plain(part)?)?, texts)),
            Kind::Text(text)
                if self.texts && texts < TEXTS_IN_TEXTS_MAX && text.trim_start().starts_with(['{', '[']) =>
            {
                match json::parse(text.as_bytes()) {
                    Ok(inner) => self.read(&inner, &format!("{name}{READ_ON}"), texts + 1),
                    Err(_) => self.take(name, None, plain(text)?),
                }
            }
            Kind::Text(text) => self.take(name, None, plain(text)?),
            Kind::Array(_) => self.take(name, Some(NO_TEXT), "[]"),
            Kind::Object(_) => self.take(name, Some(NO_TEXT), "{}"),
            Kind::Null | Kind::Bool(_) | Kind::Number => self.take(name, Some(NO_TEXT), value.raw),
        }
    }

    fn take(&mut self, name: &str, sign: Option<char>, said: &str) -> Option<()> {
        self.room = self.room.checked_sub(name.len() + said.len())?;
        self.all.push((name.to_owned(), sign.into_iter().chain(said.chars()).collect()));
        (self.all.len() <= MEMBERS_MAX).then_some(())
    }
}

/// A name or text without a sign of ours.
fn plain(text: &str) -> Option<&str> {
    (!text.contains([BELOW, NO_TEXT, READ_ON])).then_some(text)
}

fn below(name: &str, part: &str) -> Option<String> {
    let fits = name.len() + part.len() < MEMBERS_BYTES_MAX;
    fits.then(|| if name.is_empty() { part.to_owned() } else { format!("{name}{BELOW}{part}") })
}

fn parse(body: &[u8]) -> Result<Value<'_>, Unreadable> {
    match body.len() > LLM_BODY_BYTES_MAX {
        true => Err(Unreadable("the body is larger than 8 MiB")),
        false => json::parse(body),
    }
}

/// At most [`json::JSON_DEPTH_MAX`] deep, as it was read.
fn gather(value: &Value<'_>, scalars: &mut Vec<String>, names: &mut Vec<String>) {
    match &value.kind {
        Kind::Text(text) => scalars.push(text.to_string()),
        Kind::Number => scalars.push(value.raw.to_owned()),
        Kind::Array(items) => items.iter().for_each(|item| gather(item, scalars, names)),
        Kind::Object(members) => members.iter().for_each(|(name, value)| {
            names.push(name.to_string());
            gather(value, scalars, names);
        }),
        Kind::Null | Kind::Bool(_) => {}
    }
}

fn fitting<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut room = CALL_STRINGS_BYTES_MAX;
    let fits = |text: &&str| {
        let fits = (CALL_STRING_BYTES_MIN..=room).contains(&text.len());
        room -= if fits { text.len() } else { 0 };
        fits
    };
    texts.filter(fits).take(CALL_STRINGS_MAX).map(str::to_owned).collect()
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prompt({:?}, {} tools, hosted {:?}, ", self.turns, self.tools.len(), self.hosted)?;
        write!(f, "stateful {:?}, unknown {:?})", self.stateful, self.unknown)
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turn::System(text) => write!(f, "System({} bytes)", text.len()),
            Turn::User(text) => write!(f, "User({} bytes)", text.len()),
            Turn::Assistant { text, calls, reasoning } => {
                write!(f, "Assistant({} bytes, {calls:?}, {} bytes)", text.len(), reasoning.len())
            }
            Turn::ToolResult { text, .. } => write!(f, "ToolResult({} bytes)", text.len()),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} bytes)", self.arguments.len())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} bytes, {:?}, hosted {:?}, ", self.text.len(), self.calls, self.hosted)?;
        write!(f, "unknown {:?})", self.unknown)
    }
}

#[cfg(test)]
mod tests;
