//! OpenAI Chat Completions, and the many that speak it.

use super::notes::*;
use super::{Answer, Call, Prompt, Turn, Unreadable};
use crate::limits::CALLS_MAX;
use json::{Kind, Object};
use std::collections::BTreeMap;

/// Fields of a request whose arrays and objects are known.
const STRUCTURED: &[&str] = &[
    "audio",
    "function_call",
    "functions",
    "logit_bias",
    "messages",
    "metadata",
    "modalities",
    "prediction",
    "reasoning",
    "response_format",
    "stop",
    "stream_options",
    "thinking",
    "tool_choice",
    "tools",
    "web_search_options",
];

/// Tools of other providers with this dialect, which run there.
const HOSTED: &[&str] =
    &["browser_search", "code_interpreter", "file_search", "mcp", "web_search", "web_search_preview"];

pub(super) fn prompt(body: Object<'_, '_>) -> Result<Prompt, Unreadable> {
    let (mut prompt, mut notes) = Prompt::begin(body, STRUCTURED)?;
    let messages = body.list("messages")?.ok_or(Unreadable("the request has no messages"))?;
    for message in messages {
        prompt.turns.extend(turn(message.object()?, &mut notes)?);
    }
    offered(body, &mut prompt, &mut notes)?;
    Ok(prompt.end(notes))
}

pub(super) fn answer(body: Object<'_, '_>) -> Result<Answer, Unreadable> {
    let (mut answer, mut notes) = (Answer::default(), Notes::default());
    answer.model = body.text_or_empty("model")?.to_owned();
    answer.usage(body, "prompt_tokens", "completion_tokens")?;
    let choices = body.list("choices")?.ok_or(Unreadable("the answer has no choices"))?;
    for (index, choice) in choices.iter().enumerate() {
        let choice = choice.object()?;
        let message = choice.object("message")?.ok_or(Unreadable("a choice has no message"))?;
        if says_call(choice.object("delta")?)? {
            notes.unknown(BLOCK);
        }
        let text = content(message, &mut notes)?;
        calls(message, &mut answer.calls, &mut notes)?;
        if index == 0 {
            answer.text = text;
            answer.reasoning = reasoning(message)?.to_owned();
            answer.finish = choice.text("finish_reason")?.map(str::to_owned);
        }
    }
    Ok(answer.end(notes))
}

fn turn(message: Object<'_, '_>, notes: &mut Notes) -> Result<Option<Turn>, Unreadable> {
    let text = content(message, notes)?;
    let turn = match message.need("role", NO_ROLE)? {
        "system" | "developer" => Turn::System(text),
        "user" => Turn::User(text),
        "assistant" => {
            let mut said = Vec::new();
            calls(message, &mut said, notes)?;
            let mut reasoning = reasoning(message)?.to_owned();
            details(message, &mut reasoning, notes)?;
            Turn::Assistant { text, calls: said, reasoning }
        }
        "tool" => Turn::ToolResult { call: message.need("tool_call_id", NO_RESULT_ID)?.to_owned(), text },
        "function" => Turn::ToolResult { call: message.need("name", NO_RESULT_ID)?.to_owned(), text },
        _ => {
            notes.unknown(ROLE);
            return Ok(None);
        }
    };
    Ok(Some(turn))
}

/// The text of a message or of a piece of one, and what it refuses.
fn content(message: Object<'_, '_>, notes: &mut Notes) -> Result<String, Unreadable> {
    let mut text = String::new();
    if message.object("audio")?.is_some() {
        notes.unknown(AUDIO);
    }
    match message.get("content")?.map(|content| &content.kind) {
        None => {}
        Some(Kind::Text(content)) => text.push_str(content),
        Some(Kind::Array(blocks)) => {
            for block in blocks {
                add_line(&mut text, self::block(block.object()?, notes)?);
            }
        }
        Some(_) => return Err(Unreadable("the content of a message is neither text nor blocks")),
    }
    add_line(&mut text, message.text_or_empty("refusal")?);
    Ok(text)
}

fn block<'v>(block: Object<'v, '_>, notes: &mut Notes) -> Result<&'v str, Unreadable> {
    match block.need("type", NO_TYPE)? {
        "text" => return block.text_or_empty("text"),
        "refusal" => return block.text_or_empty("refusal"),
        "image_url" => notes.unknown(IMAGE),
        "input_audio" => notes.unknown(AUDIO),
        "file" => notes.unknown(FILE),
        _ => notes.unknown(BLOCK),
    }
    Ok("")
}

/// Not OpenAI's own: what other providers name it.
/// OpenRouter's form of the same: a text that stands there too is said once.
fn details(message: Object<'_, '_>, reasoning: &mut String, notes: &mut Notes) -> Result<(), Unreadable> {
    let mut text = String::new();
    for detail in message.items("reasoning_details")? {
        let detail = detail.object()?;
        match detail.need("type", NO_TYPE)? {
            "reasoning.text" => text.push_str(detail.text_or_empty("text")?),
            "reasoning.summary" => text.push_str(detail.text_or_empty("summary")?),
            // For its provider alone.
            "reasoning.encrypted" => {}
            _ => notes.unknown(BLOCK),
        }
    }
    if text != *reasoning {
        add_line(reasoning, &text);
    }
    Ok(())
}

fn reasoning<'v>(message: Object<'v, '_>) -> Result<&'v str, Unreadable> {
    match message.text("reasoning_content")? {
        Some(text) => Ok(text),
        None => message.text_or_empty("reasoning"),
    }
}

fn calls(message: Object<'_, '_>, calls: &mut Vec<Call>, notes: &mut Notes) -> Result<(), Unreadable> {
    if let Some(function) = message.object("function_call")? {
        let name = function.need("name", NO_NAME)?;
        add_call(calls, Call::new("", name, function.text_or_empty("arguments")?)?)?;
    }
    for call in message.items("tool_calls")? {
        let call = call.object()?;
        if let Some((tool, arguments)) = tool(call, notes)? {
            let (id, name) = (call.need("id", NO_ID)?, tool.need("name", NO_NAME)?);
            add_call(calls, Call::new(id, name, tool.text_or_empty(arguments)?)?)?;
        }
    }
    Ok(())
}

/// Whether there is a call in what stands where none is read.
fn says_call(message: Option<Object<'_, '_>>) -> Result<bool, Unreadable> {
    let Some(message) = message else { return Ok(false) };
    Ok(message.get("function_call")?.is_some() || !message.items("tool_calls")?.is_empty())
}

/// What a call or a piece of one says of its tool, and the name of the member that holds its arguments; `None` if the
/// type is not known. Pieces behind the first leave the type out, and some providers always.
fn tool<'v, 'a>(
    call: Object<'v, 'a>,
    notes: &mut Notes,
) -> Result<Option<(Object<'v, 'a>, &'static str)>, Unreadable> {
    let (function, custom) = (call.object("function")?, call.object("custom")?);
    match (call.text("type")?, function, custom) {
        (None | Some("function"), Some(function), None) => Ok(Some((function, "arguments"))),
        (None | Some("custom"), None, Some(custom)) => Ok(Some((custom, "input"))),
        (None | Some("function" | "custom"), _, _) => Err(Unreadable("a call is not of one tool")),
        (Some(_), _, _) => {
            notes.unknown(TOOL);
            Ok(None)
        }
    }
}

fn offered(body: Object<'_, '_>, prompt: &mut Prompt, notes: &mut Notes) -> Result<(), Unreadable> {
    for function in tools(body, "functions")? {
        prompt.tool(function.object()?.need("name", NO_TOOL_NAME)?);
    }
    for tool in tools(body, "tools")? {
        let tool = tool.object()?;
        match tool.need("type", NO_TYPE)? {
            kind @ ("function" | "custom") => {
                let named = tool.object(kind)?.ok_or(Unreadable(NO_TOOL_NAME))?;
                prompt.tool(named.need("name", NO_TOOL_NAME)?);
            }
            kind if HOSTED.contains(&kind) => notes.hosted(kind),
            _ => notes.unknown(TOOL),
        }
    }
    if body.get("web_search_options")?.is_some() {
        notes.hosted("web_search");
    }
    Ok(())
}

/// A streamed answer, as far as it has come.
#[derive(Default)]
pub(super) struct Parts {
    answer: Answer,
    notes: Notes,
    room: Room,
    choices: BTreeMap<u64, Choice>,
    ready: Vec<Call>,
}

#[derive(Default)]
struct Choice {
    text: String,
    reasoning: String,
    finish: Option<String>,
    legacy: Option<Fragments>,
    tools: BTreeMap<u64, Fragments>,
    /// Set when no more can come.
    calls: Option<Vec<Call>>,
}

/// The pieces of one call.
#[derive(Default)]
struct Fragments {
    id: String,
    name: String,
    arguments: String,
}

impl Parts {
    pub(super) fn push(&mut self, chunk: Object<'_, '_>) -> Result<(), Unreadable> {
        self.answer.usage(chunk, "prompt_tokens", "completion_tokens")?;
        if let Some(model) = chunk.text("model")?.filter(|model| !model.is_empty()) {
            self.answer.model = model.to_owned();
        }
        // Some clients read a chunk that stands in another.
        if chunk.get("chunk")?.is_some() {
            self.notes.unknown(EVENT);
        }
        let Some(choices) = chunk.list("choices")? else {
            self.notes.unknown(EVENT);
            return Ok(());
        };
        for choice in choices {
            self.choice(choice.object()?)?;
        }
        Ok(())
    }

    /// An event of another name than Chat's, which is none.
    pub(super) fn unnamed(&mut self) {
        self.notes.unknown(EVENT);
    }

    pub(super) fn unknown(&self) -> Option<&'static str> {
        self.notes.unknown
    }

    pub(super) fn ready(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.ready)
    }

    pub(super) fn has_open_calls(&self) -> bool {
        let open = |choice: &Choice| choice.legacy.is_some() || !choice.tools.is_empty();
        self.choices.values().any(|choice| choice.calls.is_none() && open(choice))
    }

    /// Whether every choice has said why it ended: some providers send no `[DONE]`.
    pub(super) fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finish.is_some())
    }

    /// No more can come: what has begun is whole.
    pub(super) fn close(&mut self) -> Result<(), Unreadable> {
        for choice in self.choices.values_mut() {
            choice.close(&mut self.ready)?;
        }
        Ok(())
    }

    pub(super) fn finish(self, error: bool) -> Result<Answer, Unreadable> {
        let mut answer = self.answer;
        for (index, choice) in self.choices.into_values().enumerate() {
            if index == 0 {
                (answer.text, answer.reasoning) = (choice.text, choice.reasoning);
                answer.finish = choice.finish;
            }
            for call in choice.calls.into_iter().flatten() {
                add_call(&mut answer.calls, call)?;
            }
        }
        if error {
            answer.finish = Some("error".to_owned());
        }
        Ok(answer.end(self.notes))
    }

    fn choice(&mut self, chunk: Object<'_, '_>) -> Result<(), Unreadable> {
        let index = chunk.count("index")?.unwrap_or_default();
        if !self.choices.contains_key(&index) {
            self.room.block()?;
        }
        let choice = self.choices.entry(index).or_default();
        // Some providers say the whole message so far beside each piece. A call in it is one that a client may read there.
        if says_call(chunk.object("message")?)? {
            self.notes.unknown(EVENT);
        }
        if let Some(delta) = chunk.object("delta")? {
            choice.push(delta, &mut self.room, &mut self.notes)?;
        }
        // Some providers say "" for none.
        match (chunk.text("finish_reason")?.filter(|reason| !reason.is_empty()), &choice.finish) {
            (None, _) => Ok(()),
            (Some(reason), None) => {
                choice.finish = Some(reason.to_owned());
                choice.close(&mut self.ready)
            }
            (Some(reason), Some(before)) if reason == before => Ok(()),
            (Some(_), Some(_)) => Err(Unreadable("a choice ends for two reasons")),
        }
    }
}

impl Choice {
    fn push(&mut self, delta: Object<'_, '_>, room: &mut Room, notes: &mut Notes) -> Result<(), Unreadable> {
        let (text, reasoning) = (content(delta, notes)?, reasoning(delta)?);
        let (function, tools) = (delta.object("function_call")?, delta.items("tool_calls")?);
        let says = !text.is_empty() || !reasoning.is_empty() || function.is_some() || !tools.is_empty();
        if says && self.calls.is_some() {
            return Err(Unreadable("a choice goes on after its end"));
        }
        room.append(&mut self.text, &text)?;
        room.append(&mut self.reasoning, reasoning)?;
        if let Some(function) = function {
            self.legacy.get_or_insert_default().push(function, "arguments", room)?;
        }
        for piece in tools {
            let piece = piece.object()?;
            let Some((tool, arguments)) = tool(piece, notes)? else { continue };
            let index = piece.count("index")?.ok_or(Unreadable("a piece of a call does not say of which"))?;
            if self.tools.len() >= CALLS_MAX && !self.tools.contains_key(&index) {
                return Err(Unreadable("there are more than 128 calls"));
            }
            let fragments = self.tools.entry(index).or_default();
            // The id comes with the first piece; some providers say it again with each.
            said_once(&mut fragments.id, piece.text_or_empty("id")?)?;
            fragments.push(tool, arguments, room)?;
        }
        Ok(())
    }

    fn close(&mut self, ready: &mut Vec<Call>) -> Result<(), Unreadable> {
        if self.calls.is_some() {
            return Ok(());
        }
        let mut calls = Vec::new();
        if let Some(legacy) = self.legacy.take() {
            add_call(&mut calls, legacy.call()?)?;
        }
        for fragments in std::mem::take(&mut self.tools).into_values() {
            if fragments.id.is_empty() {
                return Err(Unreadable(NO_ID));
            }
            add_call(&mut calls, fragments.call()?)?;
        }
        ready.extend(calls.iter().cloned());
        self.calls = Some(calls);
        Ok(())
    }
}

impl Fragments {
    fn push(&mut self, tool: Object<'_, '_>, arguments: &str, room: &mut Room) -> Result<(), Unreadable> {
        said_once(&mut self.name, tool.text_or_empty("name")?)?;
        room.append(&mut self.arguments, tool.text_or_empty(arguments)?)
    }

    fn call(self) -> Result<Call, Unreadable> {
        match self.name.is_empty() {
            true => Err(Unreadable(NO_NAME)),
            false => Call::new(&self.id, &self.name, &self.arguments),
        }
    }
}

/// Readers differ in whether a second piece of a name replaces the first or follows it: it must be the same, or empty.
fn said_once(said: &mut String, piece: &str) -> Result<(), Unreadable> {
    if said.is_empty() {
        said.push_str(piece);
    }
    match piece.is_empty() || said == piece {
        true => Ok(()),
        false => Err(Unreadable("a call has two ids or two names")),
    }
}
