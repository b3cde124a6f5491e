//! OpenAI Responses: prompts and whole answers.

use super::notes::*;
use super::{Answer, Call, Prompt, Turn, Unreadable};
use json::{Kind, Object, Value, compact};

/// Fields of a request whose arrays and objects are known.
const STRUCTURED: &[&str] = &[
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "metadata",
    "prompt",
    "reasoning",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
];

/// Tools that run at the provider, or outside of the calls that the gateway sees.
const HOSTED_TOOLS: &[&str] = &[
    "code_interpreter",
    "file_search",
    "image_generation",
    "mcp",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
];

/// Items of such tools.
const HOSTED_ITEMS: &[&str] = &[
    "code_interpreter_call",
    "file_search_call",
    "image_generation_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

pub(super) fn prompt(body: Object<'_, '_>) -> Result<Prompt, Unreadable> {
    let (mut prompt, mut notes) = Prompt::begin(body, STRUCTURED)?;
    state(body, &mut notes)?;
    if let Some(instructions) = body.text("instructions")? {
        prompt.turns.push(Turn::System(instructions.to_owned()));
    }
    match body.get("input")?.map(|input| &input.kind) {
        None => {}
        Some(Kind::Text(text)) => prompt.turns.push(Turn::User(text.to_string())),
        Some(Kind::Array(items)) => {
            for item in items {
                input(item.object()?, &mut prompt.turns, &mut notes)?;
            }
        }
        Some(_) => return Err(Unreadable("the input is neither text nor items")),
    }
    offered(body, &mut prompt, &mut notes)?;
    Ok(prompt.end(notes))
}

/// Items by which the client is called.
pub(super) const CLIENT_CALLS: &[&str] = &[
    "apply_patch_call",
    "computer_call",
    "custom_tool_call",
    "function_call",
    "local_shell_call",
    "shell_call",
];

pub(super) fn answer(body: Object<'_, '_>) -> Result<Answer, Unreadable> {
    output(body)?.answer(body)
}

/// What all items of a response say.
pub(super) fn output(body: Object<'_, '_>) -> Result<Output, Unreadable> {
    let items = body.list("output")?.ok_or(Unreadable("the answer has no output"))?;
    let mut output = Output::default();
    for item in items {
        output.add(Output::of(item.object()?)?)?;
    }
    Ok(output)
}

/// Servers leave an id out here and there.
pub(super) fn same_if_said(one: &str, other: &str) -> bool {
    one.is_empty() || other.is_empty() || one == other
}

/// What items of an output say.
#[derive(Default)]
pub(super) struct Output {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) calls: Vec<Call>,
    /// Of each call.
    pub(super) marks: Vec<Mark>,
    pub(super) notes: Notes,
}

/// What an item of a call says of it that no record has.
pub(super) struct Mark {
    id: String,
    namespace: String,
}

impl Mark {
    fn of(item: Object<'_, '_>) -> Result<Mark, Unreadable> {
        let text = |field| item.text_or_empty(field).map(str::to_owned);
        Ok(Mark { id: text("id")?, namespace: text("namespace")? })
    }

    /// Whether both are of one call.
    pub(super) fn may_be(&self, other: &Mark) -> bool {
        same_if_said(&self.id, &other.id) && self.namespace == other.namespace
    }
}

impl Output {
    pub(super) fn of(item: Object<'_, '_>) -> Result<Output, Unreadable> {
        let mut output = Output::default();
        let notes = &mut output.notes;
        match item.need("type", NO_TYPE)? {
            "message" => output.text = said(item, notes)?,
            "reasoning" => output.reasoning = reasoning(item)?,
            // What was before it, encrypted for the provider: the answer itself says nothing with it.
            "compaction" => {}
            kind => match call(kind, item)? {
                Some(call) => {
                    output.calls.push(call);
                    output.marks.push(Mark::of(item)?);
                }
                None if is_hosted(kind, item)? => {
                    notes.hosted(kind);
                    if kind == "image_generation_call" && item.get("result")?.is_some() {
                        notes.unknown(IMAGE);
                    }
                }
                None => notes.unknown(ITEM),
            },
        }
        Ok(output)
    }

    pub(super) fn add(&mut self, other: Output) -> Result<(), Unreadable> {
        self.text.push_str(&other.text);
        add_line(&mut self.reasoning, &other.reasoning);
        self.notes.add(&other.notes);
        self.marks.extend(other.marks);
        other.calls.into_iter().try_for_each(|call| add_call(&mut self.calls, call))
    }

    /// An answer with this output; the rest is of `response`.
    pub(super) fn answer(self, response: Object<'_, '_>) -> Result<Answer, Unreadable> {
        let mut answer = Answer {
            model: response.text_or_empty("model")?.to_owned(),
            text: self.text,
            reasoning: self.reasoning,
            calls: self.calls,
            ..Answer::default()
        };
        answer.usage(response, "input_tokens", "output_tokens")?;
        answer.finish = match response.object("incomplete_details")? {
            Some(details) => details.text("reason")?,
            None => response.text("status")?,
        }
        .map(str::to_owned);
        Ok(answer.end(self.notes))
    }
}

/// What an item of text says, of all its parts. The parts of a model's message are one text.
fn said(message: Object<'_, '_>, notes: &mut Notes) -> Result<String, Unreadable> {
    let mut text = String::new();
    for part in message.items("content")? {
        text.push_str(self::part(part.object()?, notes)?);
    }
    Ok(text)
}

fn part<'v>(part: Object<'v, '_>, notes: &mut Notes) -> Result<&'v str, Unreadable> {
    match part.need("type", NO_TYPE)? {
        "input_text" | "output_text" | "text" => return part.text_or_empty("text"),
        "refusal" => return part.text_or_empty("refusal"),
        "input_image" | "computer_screenshot" => notes.unknown(IMAGE),
        "input_audio" | "output_audio" => notes.unknown(AUDIO),
        "input_file" => notes.unknown(FILE),
        _ => notes.unknown(BLOCK),
    }
    Ok("")
}

/// The summary and what there is of the text. Encrypted reasoning has none.
fn reasoning(item: Object<'_, '_>) -> Result<String, Unreadable> {
    let mut text = String::new();
    for part in item.items("summary")?.iter().chain(item.items("content")?) {
        add_line(&mut text, part.object()?.text_or_empty("text")?);
    }
    Ok(text)
}

/// A call that the client carries out; `None` if the item is none.
fn call(kind: &str, item: Object<'_, '_>) -> Result<Option<Call>, Unreadable> {
    let structured = |field, missing| -> Result<String, Unreadable> {
        Ok(compact(item.get(field)?.ok_or(Unreadable(missing))?.raw))
    };
    let (name, arguments) = match kind {
        "function_call" => (item.need("name", NO_NAME)?, item.text_or_empty("arguments")?.to_owned()),
        "custom_tool_call" => (item.need("name", NO_NAME)?, item.text_or_empty("input")?.to_owned()),
        "local_shell_call" => ("local_shell", structured("action", "a call of the shell has no action")?),
        "shell_call" if !is_remote(item)? => {
            ("shell", structured("action", "a call of the shell has no action")?)
        }
        "computer_call" => {
            ("computer", structured(of_computer(item)?, "a call of the computer has no action")?)
        }
        "apply_patch_call" => ("apply_patch", structured("operation", "a patch has no operation")?),
        _ => return Ok(None),
    };
    Call::new(item.need("call_id", NO_ID)?, name, &arguments).map(Some)
}

/// Where a call of the computer says what is to be done: one action, or several in a row.
fn of_computer(item: Object<'_, '_>) -> Result<&'static str, Unreadable> {
    match (item.get("action")?.is_some(), item.get("actions")?.is_some()) {
        (true, true) => Err(Unreadable("a call of the computer says twice what is to be done")),
        (true, false) => Ok("action"),
        (false, _) => Ok("actions"),
    }
}

fn is_hosted(kind: &str, item: Object<'_, '_>) -> Result<bool, Unreadable> {
    Ok(HOSTED_ITEMS.contains(&kind) || (kind == "shell_call" && is_remote(item)?))
}

/// Whether a shell is one in a container of the provider's.
fn is_remote(item: Object<'_, '_>) -> Result<bool, Unreadable> {
    let environment = item.object("environment")?;
    let kind = environment.map(|environment| environment.text("type")).transpose()?.flatten();
    Ok(environment.is_some() && kind != Some("local"))
}

/// Fields that bring in what the request does not show, or leave the answer at the provider.
fn state(body: Object<'_, '_>, notes: &mut Notes) -> Result<(), Unreadable> {
    for field in ["previous_response_id", "conversation", "prompt"] {
        if body.get(field)?.is_some() {
            notes.stateful(field);
        }
    }
    if body.flag("background")? {
        notes.stateful("background");
    }
    Ok(())
}

fn input(item: Object<'_, '_>, turns: &mut Vec<Turn>, notes: &mut Notes) -> Result<(), Unreadable> {
    let kind = match item.text("type")? {
        Some(kind) => kind,
        // The short form of a message leaves its type out; so may a reference.
        None if item.get("role")?.is_some() => "message",
        None => "item_reference",
    };
    match kind {
        "message" => message(item, turns, notes)?,
        "reasoning" => match reasoning(item)? {
            thought if thought.is_empty() => {}
            thought => add_assistant(turns, Part::Reasoning(&thought))?,
        },
        "item_reference" => notes.stateful("item_reference"),
        "compaction" => notes.stateful("compaction"),
        "function_call_output"
        | "custom_tool_call_output"
        | "shell_call_output"
        | "apply_patch_call_output" => {
            let call = item.need("call_id", NO_RESULT_ID)?.to_owned();
            turns.push(Turn::ToolResult { call, text: result(item, notes)? });
        }
        "local_shell_call_output" => {
            let call = item.need("id", NO_RESULT_ID)?.to_owned();
            turns.push(Turn::ToolResult { call, text: result(item, notes)? });
        }
        "computer_call_output" => {
            let call = item.need("call_id", NO_RESULT_ID)?.to_owned();
            turns.push(Turn::ToolResult { call, text: String::new() });
            notes.unknown(IMAGE);
        }
        kind => match call(kind, item)? {
            Some(call) => add_assistant(turns, Part::Call(call))?,
            None if is_hosted(kind, item)? => notes.hosted(kind),
            None => notes.unknown(ITEM),
        },
    }
    Ok(())
}

fn message(item: Object<'_, '_>, turns: &mut Vec<Turn>, notes: &mut Notes) -> Result<(), Unreadable> {
    let text = lines(item.get("content")?, notes)?;
    match item.need("role", NO_ROLE)? {
        "system" | "developer" => turns.push(Turn::System(text)),
        "user" => turns.push(Turn::User(text)),
        "assistant" => add_assistant(turns, Part::Text(&text))?,
        _ => notes.unknown(ROLE),
    }
    Ok(())
}

enum Part<'a> {
    Text(&'a str),
    Reasoning(&'a str),
    Call(Call),
}

/// Items of the model's that follow one another are one turn.
fn add_assistant(turns: &mut Vec<Turn>, part: Part<'_>) -> Result<(), Unreadable> {
    if !matches!(turns.last(), Some(Turn::Assistant { .. })) {
        let (text, calls, reasoning) = Default::default();
        turns.push(Turn::Assistant { text, calls, reasoning });
    }
    let Some(Turn::Assistant { text, calls, reasoning }) = turns.last_mut() else { return Ok(()) };
    match part {
        Part::Text(line) => add_line(text, line),
        Part::Reasoning(line) => add_line(reasoning, line),
        Part::Call(call) => add_call(calls, call)?,
    }
    Ok(())
}

fn result(item: Object<'_, '_>, notes: &mut Notes) -> Result<String, Unreadable> {
    let chunks = match item.get("output")?.map(|output| &output.kind) {
        Some(Kind::Array(chunks)) if item.text("type")? == Some("shell_call_output") => chunks,
        _ => return lines(item.get("output")?, notes),
    };
    let mut text = String::new();
    for chunk in chunks {
        let chunk = chunk.object()?;
        add_line(&mut text, chunk.text_or_empty("stdout")?);
        add_line(&mut text, chunk.text_or_empty("stderr")?);
    }
    Ok(text)
}

/// Text, or the texts of parts as lines.
fn lines(content: Option<&Value<'_>>, notes: &mut Notes) -> Result<String, Unreadable> {
    let mut text = String::new();
    match content.map(|content| &content.kind) {
        None => {}
        Some(Kind::Text(content)) => text.push_str(content),
        Some(Kind::Array(parts)) => {
            for part in parts {
                add_line(&mut text, self::part(part.object()?, notes)?);
            }
        }
        Some(_) => return Err(Unreadable("content is neither text nor parts")),
    }
    Ok(text)
}

fn offered(body: Object<'_, '_>, prompt: &mut Prompt, notes: &mut Notes) -> Result<(), Unreadable> {
    for tool in tools(body, "tools")? {
        let tool = tool.object()?;
        match tool.need("type", NO_TYPE)? {
            "function" | "custom" => prompt.tool(tool.need("name", NO_TOOL_NAME)?),
            "shell" if is_remote(tool)? => notes.hosted("shell"),
            kind @ ("local_shell" | "shell" | "apply_patch") => prompt.tool(kind),
            "computer" | "computer_use_preview" => prompt.tool("computer"),
            kind if HOSTED_TOOLS.contains(&kind) => notes.hosted(kind),
            _ => notes.unknown(TOOL),
        }
    }
    Ok(())
}
