//! Anthropic Messages.

use super::notes::*;
use super::{Answer, Call, Prompt, Turn, Unreadable};
use crate::limits::CALL_ARGUMENTS_BYTES_MAX;
use json::{Kind, Object, Value};
use std::collections::BTreeMap;

/// Fields of a request whose arrays and objects are known.
const STRUCTURED: &[&str] = &[
    "cache_control",
    "container",
    "context_management",
    "mcp_servers",
    "messages",
    "metadata",
    "output_config",
    "output_format",
    "stop_sequences",
    "system",
    "thinking",
    "tool_choice",
    "tools",
];

/// Tools of Anthropic's that the client carries out, without their dates.
const CLIENT_TOOLS: &[&str] = &["bash", "computer", "memory", "text_editor"];

/// Tools that run at the provider, without their dates.
const HOSTED_TOOLS: &[&str] = &[
    "advisor",
    "code_execution",
    "mcp_toolset",
    "tool_search_tool_bm25",
    "tool_search_tool_regex",
    "web_fetch",
    "web_search",
];

/// Calls of such tools, and their results.
const HOSTED_CALLS: &[&str] = &["mcp_tool_use", "server_tool_use"];
const HOSTED_RESULTS: &[&str] = &[
    "advisor_tool_result",
    "bash_code_execution_tool_result",
    "code_execution_tool_result",
    "mcp_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "web_fetch_tool_result",
    "web_search_tool_result",
];

/// Pieces of a streamed block.
const DELTAS: &[&str] = &[
    "citations_delta",
    "compaction_delta",
    "input_json_delta",
    "signature_delta",
    "text_delta",
    "thinking_delta",
];

pub(super) fn prompt(body: Object<'_, '_>) -> Result<Prompt, Unreadable> {
    let (mut prompt, mut notes) = Prompt::begin(body, STRUCTURED)?;
    if let Some(system) = body.get("system")? {
        prompt.turns.push(Turn::System(lines(Some(system), &mut notes)?));
    }
    let messages = body.list("messages")?.ok_or(Unreadable("the request has no messages"))?;
    for message in messages {
        let message = message.object()?;
        match message.need("role", NO_ROLE)? {
            "user" => user(message, &mut prompt.turns, &mut notes)?,
            "assistant" => prompt.turns.push(assistant(message, &mut notes)?),
            _ => notes.unknown(ROLE),
        }
    }
    if body.get("container")?.is_some() {
        notes.stateful("container");
    }
    if !body.items("mcp_servers")?.is_empty() {
        notes.hosted("mcp");
    }
    offered(body, &mut prompt, &mut notes)?;
    Ok(prompt.end(notes))
}

pub(super) fn answer(body: Object<'_, '_>) -> Result<Answer, Unreadable> {
    let (mut answer, mut notes) = (Answer::default(), Notes::default());
    answer.model = body.text_or_empty("model")?.to_owned();
    answer.finish = body.text("stop_reason")?.map(str::to_owned);
    answer.usage(body, "input_tokens", "output_tokens")?;
    for block in body.list("content")?.ok_or(Unreadable("the answer has no content"))? {
        match said(block.object()?, &mut notes)? {
            Said::Text(text) => answer.text.push_str(text),
            Said::Thinking(text) => add_line(&mut answer.reasoning, text),
            Said::Call(call) => add_call(&mut answer.calls, call)?,
            Said::Nothing => {}
        }
    }
    Ok(answer.end(notes))
}

/// What a block of the model's says.
enum Said<'v> {
    Text(&'v str),
    Thinking(&'v str),
    Call(Call),
    Nothing,
}

fn said<'v>(block: Object<'v, '_>, notes: &mut Notes) -> Result<Said<'v>, Unreadable> {
    match block.need("type", NO_TYPE)? {
        "text" => return block.text_or_empty("text").map(Said::Text),
        "thinking" => return block.text_or_empty("thinking").map(Said::Thinking),
        "tool_use" => {
            let input = block.get("input")?.map_or("{}", |input| input.raw);
            let (id, name) = (block.need("id", NO_ID)?, block.need("name", NO_NAME)?);
            return Call::new(id, name, input).map(Said::Call);
        }
        // Encrypted for the provider.
        "redacted_thinking" => {}
        "compaction" => notes.stateful("compaction"),
        kind if HOSTED_CALLS.contains(&kind) || HOSTED_RESULTS.contains(&kind) => notes.hosted(kind),
        "image" => notes.unknown(IMAGE),
        "document" | "container_upload" => notes.unknown(FILE),
        _ => notes.unknown(BLOCK),
    }
    Ok(Said::Nothing)
}

fn assistant(message: Object<'_, '_>, notes: &mut Notes) -> Result<Turn, Unreadable> {
    let (mut text, mut calls, mut reasoning) = (String::new(), Vec::new(), String::new());
    match message.get("content")?.map(|content| &content.kind) {
        Some(Kind::Text(content)) => text.push_str(content),
        Some(Kind::Array(blocks)) => {
            for block in blocks {
                match said(block.object()?, notes)? {
                    Said::Text(line) => add_line(&mut text, line),
                    Said::Call(call) => add_call(&mut calls, call)?,
                    Said::Thinking(line) => add_line(&mut reasoning, line),
                    Said::Nothing => {}
                }
            }
        }
        _ => return Err(NO_CONTENT),
    }
    Ok(Turn::Assistant { text, calls, reasoning })
}

/// Results of calls are turns of their own among what the user says.
fn user(message: Object<'_, '_>, turns: &mut Vec<Turn>, notes: &mut Notes) -> Result<(), Unreadable> {
    let blocks = match message.get("content")?.map(|content| &content.kind) {
        Some(Kind::Text(content)) => {
            turns.push(Turn::User(content.to_string()));
            return Ok(());
        }
        Some(Kind::Array(blocks)) => blocks,
        _ => return Err(NO_CONTENT),
    };
    let mut text = String::new();
    for block in blocks {
        let block = block.object()?;
        if block.text("type")? != Some("tool_result") {
            add_line(&mut text, &self::block(block, notes)?);
            continue;
        }
        if !text.is_empty() {
            turns.push(Turn::User(std::mem::take(&mut text)));
        }
        let call = block.need("tool_use_id", NO_RESULT_ID)?.to_owned();
        turns.push(Turn::ToolResult { call, text: lines(block.get("content")?, notes)? });
    }
    if !text.is_empty() {
        turns.push(Turn::User(text));
    }
    Ok(())
}

/// The text of a block of the user's, the system's or a tool's.
fn block(block: Object<'_, '_>, notes: &mut Notes) -> Result<String, Unreadable> {
    match block.need("type", NO_TYPE)? {
        "text" => return block.text_or_empty("text").map(str::to_owned),
        "search_result" => return lines(block.get("content")?, notes),
        // The name of a tool that the request offers.
        "tool_reference" => {}
        "image" => notes.unknown(IMAGE),
        "document" | "container_upload" => notes.unknown(FILE),
        "compaction" => notes.stateful("compaction"),
        kind if HOSTED_RESULTS.contains(&kind) => notes.hosted(kind),
        _ => notes.unknown(BLOCK),
    }
    Ok(String::new())
}

/// Text, or the texts of blocks as lines. A search result has blocks of its own; the depth of JSON bounds it.
fn lines(content: Option<&Value<'_>>, notes: &mut Notes) -> Result<String, Unreadable> {
    let mut text = String::new();
    match content.map(|content| &content.kind) {
        None => {}
        Some(Kind::Text(content)) => text.push_str(content),
        Some(Kind::Array(blocks)) => {
            for block in blocks {
                add_line(&mut text, &self::block(block.object()?, notes)?);
            }
        }
        Some(_) => return Err(NO_CONTENT),
    }
    Ok(text)
}

fn offered(body: Object<'_, '_>, prompt: &mut Prompt, notes: &mut Notes) -> Result<(), Unreadable> {
    for tool in tools(body, "tools")? {
        let tool = tool.object()?;
        let kind = tool.text("type")?.unwrap_or("custom");
        match undated(kind) {
            known if kind == "custom" || CLIENT_TOOLS.contains(&known) => {
                prompt.tool(tool.need("name", NO_TOOL_NAME)?);
            }
            known if HOSTED_TOOLS.contains(&known) => notes.hosted(known),
            _ => notes.unknown(TOOL),
        }
    }
    Ok(())
}

/// A type without the date behind it: `bash_20250124` is `bash`.
fn undated(kind: &str) -> &str {
    match kind.rsplit_once('_') {
        Some((name, date)) if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => kind,
    }
}

/// A streamed answer, as far as it has come.
#[derive(Default)]
pub(super) struct Parts {
    answer: Answer,
    notes: Notes,
    room: Room,
    begun: bool,
    blocks: BTreeMap<u64, Block>,
    ready: Vec<Call>,
    ended: bool,
}

/// A block of a streamed answer.
enum Block {
    Text(String),
    Thinking(String),
    /// `input`: what the first event says of the arguments; `pieces`: what came behind it.
    Tool {
        id: String,
        name: String,
        input: String,
        pieces: String,
    },
    Called(Call),
    /// Arguments of a hosted call, a result, and what is not known: the pieces are not put together.
    Other,
    /// A block that is not a call, at its end.
    Closed(String, bool),
}

impl Parts {
    /// Whether this was the last event.
    pub(super) fn push(&mut self, kind: &str, event: Object<'_, '_>) -> Result<bool, Unreadable> {
        match kind {
            "ping" => {}
            "error" => self.end("error"),
            "message_start" => self.begin(event)?,
            "content_block_start"
            | "content_block_delta"
            | "content_block_stop"
            | "message_delta"
            | "message_stop"
                if !self.begun =>
            {
                return Err(Unreadable("a streamed message does not begin with its start"));
            }
            "content_block_start" => self.block_begins(event)?,
            "content_block_delta" => self.piece(event)?,
            "content_block_stop" => self.block_ends(event)?,
            "message_delta" => self.rest(event)?,
            "message_stop" => {
                if let Some(message) = event.object("message")? {
                    self.has_no_content(message)?;
                }
                self.stop()?;
            }
            _ => self.notes.unknown(EVENT),
        }
        Ok(self.ended)
    }

    pub(super) fn ready(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.ready)
    }

    pub(super) fn unknown(&self) -> Option<&'static str> {
        self.notes.unknown
    }

    pub(super) fn has_open_calls(&self) -> bool {
        self.blocks.values().any(|block| matches!(block, Block::Tool { .. }))
    }

    pub(super) fn finish(self) -> Result<Answer, Unreadable> {
        let mut answer = self.answer;
        for block in self.blocks.into_values() {
            match block {
                Block::Text(text) | Block::Closed(text, false) => answer.text.push_str(&text),
                Block::Thinking(text) | Block::Closed(text, true) => add_line(&mut answer.reasoning, &text),
                Block::Called(call) => add_call(&mut answer.calls, call)?,
                // Of an answer that an error cut off.
                Block::Tool { .. } | Block::Other => {}
            }
        }
        Ok(answer.end(self.notes))
    }

    fn begin(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let message = event.object("message")?.ok_or(Unreadable("an event has no message"))?;
        if std::mem::replace(&mut self.begun, true) || !message.items("content")?.is_empty() {
            return Err(Unreadable("a streamed message begins twice, or with content"));
        }
        self.answer.model = message.text_or_empty("model")?.to_owned();
        self.answer.usage(message, "input_tokens", "output_tokens")
    }

    fn block_begins(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let block = event.object("content_block")?.ok_or(Unreadable("an event has no block"))?;
        self.room.block()?;
        let begun = match said(block, &mut self.notes)? {
            Said::Text(text) => Block::Text(self.held(text)?),
            Said::Thinking(text) => Block::Thinking(self.held(text)?),
            Said::Call(call) => Block::Tool {
                id: self.held(&call.id)?,
                name: self.held(&call.name)?,
                input: self.held(&call.arguments)?,
                pieces: String::new(),
            },
            Said::Nothing => Block::Other,
        };
        match self.blocks.insert(index(event)?, begun) {
            None => Ok(()),
            Some(_) => Err(Unreadable("a block begins twice")),
        }
    }

    fn piece(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let delta = event.object("delta")?.ok_or(Unreadable("an event has no delta"))?;
        let block = self.blocks.get_mut(&index(event)?).ok_or(NO_BLOCK)?;
        match (delta.need("type", NO_TYPE)?, block) {
            (_, Block::Called(_) | Block::Closed(..)) => Err(Unreadable("a block goes on after its end")),
            ("text_delta", Block::Text(text)) => self.room.append(text, delta.text_or_empty("text")?),
            ("thinking_delta", Block::Thinking(text)) => {
                self.room.append(text, delta.text_or_empty("thinking")?)
            }
            ("input_json_delta", Block::Tool { pieces, .. }) => {
                self.room.append(pieces, delta.text_or_empty("partial_json")?)?;
                match pieces.len() > CALL_ARGUMENTS_BYTES_MAX {
                    true => Err(Unreadable("the arguments of a call are longer than 1 MiB")),
                    false => Ok(()),
                }
            }
            ("signature_delta", Block::Thinking(_)) | ("citations_delta", Block::Text(_)) => Ok(()),
            (kind, Block::Other) if DELTAS.contains(&kind) => Ok(()),
            (kind, _) if DELTAS.contains(&kind) => Err(Unreadable("a block goes on as another type")),
            _ => {
                self.notes.unknown(BLOCK);
                Ok(())
            }
        }
    }

    fn block_ends(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let block = self.blocks.get_mut(&index(event)?).ok_or(NO_BLOCK)?;
        let ended = match std::mem::replace(block, Block::Other) {
            Block::Tool { id, name, input, pieces } => {
                let call = Call::new(&id, &name, arguments(&input, &pieces)?)?;
                self.ready.push(call.clone());
                Block::Called(call)
            }
            Block::Text(text) => Block::Closed(text, false),
            Block::Thinking(text) => Block::Closed(text, true),
            Block::Other => Block::Closed(String::new(), false),
            Block::Called(_) | Block::Closed(..) => return Err(Unreadable("a block ends twice")),
        };
        *block = ended;
        Ok(())
    }

    fn rest(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        if let Some(delta) = event.object("delta")? {
            self.has_no_content(delta)?;
            let reason = delta.text("stop_reason")?.map(str::to_owned);
            self.answer.finish = reason.or(self.answer.finish.take());
        }
        self.answer.usage(event, "input_tokens", "output_tokens")
    }

    /// Blocks come in events of their own.
    fn has_no_content(&mut self, message: Object<'_, '_>) -> Result<(), Unreadable> {
        if !message.items("content")?.is_empty() {
            self.notes.unknown(BLOCK);
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Unreadable> {
        let is_whole = |block: &Block| matches!(block, Block::Called(_) | Block::Closed(..));
        if !self.blocks.values().all(is_whole) {
            return Err(Unreadable("a streamed message ends inside a block"));
        }
        self.ended = true;
        Ok(())
    }

    fn end(&mut self, reason: &str) {
        self.answer.finish = Some(reason.to_owned());
        self.ended = true;
    }

    fn held(&mut self, text: &str) -> Result<String, Unreadable> {
        self.room.hold(text)?;
        Ok(text.to_owned())
    }
}

const NO_CONTENT: Unreadable = Unreadable("content is neither text nor blocks");
const NO_BLOCK: Unreadable = Unreadable("a piece is of a block that did not begin");

fn index(event: Object<'_, '_>) -> Result<u64, Unreadable> {
    event.count("index")?.ok_or(Unreadable("an event does not say of which block"))
}

/// The first event says `{}`, or all of the arguments; then no piece may follow that says something.
fn arguments<'a>(input: &'a str, pieces: &'a str) -> Result<&'a str, Unreadable> {
    match (input, pieces) {
        (input, "") => Ok(input),
        ("{}" | "\"\"", pieces) => Ok(pieces),
        _ => Err(Unreadable("the arguments of a call come in two ways")),
    }
}
