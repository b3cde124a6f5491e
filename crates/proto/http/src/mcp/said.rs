//! A server's message: what it says, and what of it the client may not be shown.

use super::again::STATE;
use super::{Shape, Unreadable, message, range, shape, spliced};
use crate::limits::TOOLS_MAX;
use json::{Kind, Object, Value};
use std::ops::Range;

/// A message of a server's.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    pub what: What,
    /// As JSON.
    pub id: Option<String>,
    /// What the server wants of the client: `sampling`, `elicitation`, `roots`. In a request of its own, or in a result
    /// that says `input_required` (2026-07-28).
    pub wants: Vec<&'static str>,
    /// The tools that it lists.
    pub tools: Vec<Listed>,
    /// It says that what was asked failed: an error, or the result of a tool that failed.
    pub failed: bool,
    /// Tasks that it tells of.
    pub tasks: Vec<String>,
    /// A text of its content is no JSON, so that rules that name places in JSON say nothing of it.
    pub prose: bool,
    /// Why this is not all that it says: the first reason.
    pub unknown: Option<&'static str>,
    list: Option<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Request,
    Notification,
    Response { error: bool },
}

/// A tool as a server describes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// All that it says of it, in one spelling for all that say the same.
    pub definition: String,
    raw: String,
}

/// The longest name of a tool, in bytes. 2025-11-25 says 128.
const TOOL_NAME_BYTES_MAX: usize = 256;

const METHOD: &str = "a method that is not known";
const CONTENT: &str = "a type of content that is not known";
const PICTURE: &str = "an image or sound, which cannot be looked into";
const BLOB: &str = "bytes, which cannot be looked into";

/// Reads one message. Errors: what is no single message, lists and contents that are none, two tools of one name.
pub fn said(body: &[u8]) -> Result<Said, Unreadable> {
    let value = message(body)?;
    let whole = value.object()?;
    let (what, id, method) = match shape(whole)? {
        Shape::Request { id, method } => (What::Request, Some(id), Some(method)),
        Shape::Notification { method } => (What::Notification, None, Some(method)),
        Shape::Response { id, error } => (What::Response { error }, id, None),
    };
    let mut said = Said {
        what,
        id,
        wants: Vec::new(),
        tools: Vec::new(),
        tasks: Vec::new(),
        failed: what == What::Response { error: true },
        prose: false,
        unknown: None,
        list: None,
    };
    match (what, method.as_deref()) {
        (What::Request, Some(method)) => said.request(method),
        (What::Notification, Some(method)) => said.notification(method),
        _ => {}
    }
    if let Some(error) = whole.object("error")? {
        said.error(error)?;
    }
    if let Some(params) = whole.get("params")?
        && let Kind::Object(_) = params.kind
    {
        said.content(params.object()?)?;
    }
    if let Some(result) = whole.get("result")?
        && let Kind::Object(_) = result.kind
    {
        said.result(value.raw, result.object()?)?;
    }
    Ok(said)
}

impl Said {
    /// `body`, from which this was read, without the tools for which `hidden` says so, in their order.
    pub fn without_tools(&self, body: &[u8], hidden: &[bool]) -> Option<Vec<u8>> {
        let range = self.list.clone()?;
        if !hidden.contains(&true) {
            return None;
        }
        let stays = self.tools.iter().zip(hidden).filter(|(_, hidden)| !**hidden);
        let stays: Vec<&str> = stays.map(|(tool, _)| tool.raw.as_str()).collect();
        let text = std::str::from_utf8(body).ok()?;
        let from = text.len() - text.trim_start_matches([' ', '\t', '\n', '\r']).len();
        let list = format!("[{}]", stays.join(","));
        Some(spliced(text, range.start + from..range.end + from, &list).into_bytes())
    }

    fn request(&mut self, method: &str) {
        match want(method) {
            Some(want) => self.want(want),
            None if method == "ping" => {}
            None => self.unknown(METHOD),
        }
    }

    fn notification(&mut self, method: &str) {
        const KNOWN: &[&str] = &[
            "notifications/cancelled",
            "notifications/message",
            "notifications/progress",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated",
            "notifications/tools/list_changed",
            "notifications/elicitation/complete",
            "notifications/subscriptions/acknowledged",
            "notifications/tasks/status",
        ];
        if !KNOWN.contains(&method) {
            self.unknown(METHOD);
        }
    }

    fn result(&mut self, text: &str, result: Object<'_, '_>) -> Result<(), Unreadable> {
        self.failed = result.flag("isError")?;
        self.content(result)?;
        let task = result.get("task")?.filter(|task| matches!(task.kind, Kind::Object(_)));
        let tasks = [task.map(Value::object).transpose()?, Some(result)];
        for of in tasks.into_iter().flatten() {
            self.tasks.extend(of.text("taskId")?.map(str::to_owned));
        }
        let state = result.get("requestState")?.and_then(|state| state.text().ok());
        if state.is_some_and(|state| state.starts_with(STATE)) {
            return Err(Unreadable("the server gives its client what only the gateway gives it"));
        }
        for entry in result.object("inputRequests")?.iter().flat_map(|requests| requests.members()) {
            let request = entry.1.object()?;
            match want(request.text("method")?.unwrap_or_default()) {
                Some(want) => self.want(want),
                None => self.unknown(METHOD),
            }
        }
        let Some(list) = result.get("tools")? else { return Ok(()) };
        let Kind::Array(tools) = &list.kind else {
            return Err(Unreadable("a list of tools is no list"));
        };
        if tools.len() > TOOLS_MAX {
            return Err(Unreadable("the server lists more than 1,024 tools"));
        }
        for tool in tools {
            let listed = listed(tool)?;
            if self.tools.iter().any(|other| other.name == listed.name) {
                return Err(Unreadable("the server lists two tools of one name"));
            }
            self.tools.push(listed);
        }
        self.list = Some(range(text, list.raw));
        Ok(())
    }

    /// An error can want something, too: 2025-11-25, "URL Elicitation Required".
    fn error(&mut self, error: Object<'_, '_>) -> Result<(), Unreadable> {
        const URL_ELICITATION: f64 = -32042.0;
        let code = error.get("code")?.and_then(|code| code.raw.parse::<f64>().ok());
        let data = error.get("data")?.filter(|data| matches!(data.kind, Kind::Object(_)));
        let asks = data.map(|data| data.object()?.get("elicitations")).transpose()?.flatten().is_some();
        if code == Some(URL_ELICITATION) || asks {
            self.want("elicitation");
        }
        Ok(())
    }

    /// What a result, or a request to the client, shows: `content`, `contents`, `messages`.
    fn content(&mut self, of: Object<'_, '_>) -> Result<(), Unreadable> {
        for key in ["content", "contents", "messages"] {
            let Some(value) = of.get(key)? else { continue };
            match &value.kind {
                Kind::Array(items) => items.iter().try_for_each(|item| self.block(key, item))?,
                Kind::Object(_) => self.block(key, value)?,
                _ => return Err(Unreadable("a content is neither a list nor an object")),
            }
        }
        Ok(())
    }

    fn block(&mut self, key: &str, block: &Value<'_>) -> Result<(), Unreadable> {
        let block = block.object()?;
        if key == "messages" {
            return self.content(block);
        }
        if key == "contents" {
            return self.resource(block);
        }
        match block.text("type")? {
            Some("text") => self.text(block.text_or_empty("text")?),
            Some("image" | "audio") => self.unknown(PICTURE),
            Some("resource") => {
                if let Some(resource) = block.object("resource")? {
                    self.resource(resource)?;
                }
            }
            Some("resource_link") => {}
            Some("tool_use" | "tool_result") => self.content(block)?,
            _ => self.unknown(CONTENT),
        }
        Ok(())
    }

    fn resource(&mut self, resource: Object<'_, '_>) -> Result<(), Unreadable> {
        if resource.get("blob")?.is_some() {
            self.unknown(BLOB);
        }
        if let Some(text) = resource.text("text")? {
            self.text(text);
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let begins = text.trim_start().starts_with(['{', '[']);
        let json = begins && json::parse(text.as_bytes()).is_ok();
        self.prose |= !json && !text.trim().is_empty();
    }

    fn want(&mut self, want: &'static str) {
        if !self.wants.contains(&want) {
            self.wants.push(want);
        }
    }

    fn unknown(&mut self, why: &'static str) {
        self.unknown.get_or_insert(why);
    }
}

/// What a server's request wants of the client, as the client's offer of it is called.
fn want(method: &str) -> Option<&'static str> {
    match method {
        "sampling/createMessage" => Some("sampling"),
        "elicitation/create" => Some("elicitation"),
        "roots/list" => Some("roots"),
        _ => None,
    }
}

fn listed(tool: &Value<'_>) -> Result<Listed, Unreadable> {
    let name = tool.object()?.need("name", "a tool has no name")?.to_owned();
    if name.len() > TOOL_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Unreadable("the name of a tool is longer than 256 bytes, or has control characters"));
    }
    let mut definition = String::new();
    tool.canonical(&mut definition);
    Ok(Listed { name, definition, raw: tool.raw.to_owned() })
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Said({:?}, wants {:?}, {} tools, ", self.what, self.wants, self.tools.len())?;
        write!(f, "prose {}, unknown {:?})", self.prose, self.unknown)
    }
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listed({} bytes)", self.definition.len())
    }
}
