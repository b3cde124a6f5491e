//! A turn in the words of three services: OpenAI's Chat Completions and Responses, Anthropic's Messages.

use serde_json::{Value, json};

use crate::http::Answer;
use crate::script::Turn;

#[derive(Clone, Copy)]
pub enum Dialect {
    Chat,
    Responses,
    Messages,
}

/// What a request asks, whatever its dialect.
pub struct Asked {
    /// The text that came last.
    pub question: String,
    /// What came last is a tool's result.
    pub result: bool,
    /// A shape that the answer must have, by its name; `forced`: as a call of a tool.
    pub shape: Option<String>,
    pub forced: bool,
    /// The tools that are offered, as JSON.
    pub tools: String,
}

impl Dialect {
    /// `None`: it asks nothing.
    pub fn asked(self, body: &Value) -> Option<Asked> {
        let last = match (self, &body["input"]) {
            (Dialect::Responses, Value::String(said)) => &json!({"role": "user", "content": said}),
            (Dialect::Responses, items) => items.as_array()?.last()?,
            (Dialect::Chat | Dialect::Messages, _) => body["messages"].as_array()?.last()?,
        };
        let result = match self {
            Dialect::Chat => last["role"] == "tool",
            Dialect::Responses => last["type"] == "function_call_output",
            Dialect::Messages => parts(&last["content"]).any(|part| part["type"] == "tool_result"),
        };
        let question = match &last["content"] {
            Value::String(said) => said.clone(),
            content => parts(content).filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" "),
        };
        let name =
            |paths: &[&str]| paths.iter().find_map(|path| body.pointer(path)?.as_str()).map(str::to_owned);
        let tool = name(&["/tool_choice/name", "/tool_choice/function/name"]);
        let forced = tool.is_some();
        let shape = tool.or_else(|| name(&["/response_format/json_schema/name", "/text/format/name"]));
        Some(Asked { question, result, shape, forced, tools: body["tools"].to_string() })
    }

    pub fn answer(self, body: &Value, number: u64, turn: &Turn) -> Answer {
        let (model, stream) = (&body["model"], body["stream"] == true);
        let (whole, events) = match self {
            Dialect::Chat => chat(model, number, turn),
            Dialect::Responses => responses(model, number, turn),
            Dialect::Messages => messages(model, number, turn),
        };
        match stream {
            true => Answer::Events { all: events, stalls: turn.stalls },
            false => Answer::Whole(200, whole),
        }
    }
}

/// An answer whole, and the events that it is in a stream.
type Both = (Value, Vec<(Option<&'static str>, String)>);

fn parts(content: &Value) -> impl Iterator<Item = &Value> {
    content.as_array().into_iter().flatten()
}

/// Pieces of so many letters.
fn cut(text: &str, letters: usize) -> Vec<String> {
    let letters_of: Vec<char> = text.chars().collect();
    letters_of.chunks(letters).map(|piece| piece.iter().collect()).collect()
}

impl Turn {
    fn pieces(&self, text: &str) -> Vec<String> {
        match self.spelled {
            true => cut(text, 3),
            false => text.split(' ').map(|word| format!("{word} ")).collect(),
        }
    }

    /// `NAME_NUMBER` of the only call; of several each has its own.
    fn id(&self, name: &str, number: u64, n: usize) -> String {
        if self.calls.len() == 1 { format!("{name}{number}") } else { format!("{name}{number}_{n}") }
    }
}

/// `base` with more fields.
fn with(base: &Value, more: Value) -> Value {
    let fields = [base, &more].into_iter().filter_map(Value::as_object).flatten();
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn chat(model: &Value, number: u64, turn: &Turn) -> Both {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    let base = json!({"id": format!("chatcmpl-{number}"), "created": 1, "model": model});
    let call = |(n, call): (usize, &crate::script::Call)| {
        let function = json!({"name": call.tool, "arguments": call.arguments});
        json!({"id": turn.id("call_", number, n), "type": "function", "function": function})
    };
    let calls: Vec<Value> = turn.calls.iter().enumerate().map(call).collect();
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    let mut message = json!({"role": "assistant", "content": turn.text});
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    let choice = json!({"index": 0, "message": message, "finish_reason": finish, "logprobs": null});
    let whole = with(&base, json!({"object": "chat.completion", "choices": [choice], "usage": usage}));

    let chunk = |delta: Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null});
        (None, with(&base, json!({"object": "chat.completion.chunk", "choices": [choice]})).to_string())
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    let pieces = turn.text.iter().flat_map(|text| turn.pieces(text));
    events.extend(pieces.map(|piece| chunk(json!({"content": piece}), None)));
    for (n, call) in turn.calls.iter().enumerate() {
        let function = json!({"name": call.tool, "arguments": ""});
        let kind = if turn.strange { "strange" } else { "function" };
        let first = json!({"index": n, "id": turn.id("call_", number, n), "type": kind, kind: function});
        events.push(chunk(json!({"tool_calls": [first]}), None));
        for piece in cut(&call.arguments, 9) {
            events.push(chunk(json!({"tool_calls": [{"index": n, "function": {"arguments": piece}}]}), None));
        }
    }
    if !turn.stalls {
        events.push(chunk(json!({}), Some(finish)));
        let last = with(&base, json!({"object": "chat.completion.chunk", "choices": [], "usage": usage}));
        events.extend([(None, last.to_string()), (None, "[DONE]".to_owned())]);
    }
    (whole, events)
}

fn messages(model: &Value, number: u64, turn: &Turn) -> Both {
    let mut content = Vec::new();
    if turn.aloud {
        content.push(
            json!({"type": "thinking", "thinking": "d.vance@example.com wants rows.", "signature": "c2ln"}),
        );
        let (id, input) = (format!("srvtoolu_{number}"), json!({"query": "orders"}));
        content.push(json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": input}));
    }
    content.extend(turn.text.iter().map(|text| json!({"type": "text", "text": text})));
    for (n, call) in turn.calls.iter().enumerate() {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        content.push(json!({"type": "tool_use", "id": turn.id("toolu_", number, n), "name": call.tool, "input": input}));
    }
    let stop = if turn.calls.is_empty() { "end_turn" } else { "tool_use" };
    let id = format!("msg_{number}");
    let base =
        json!({"id": id, "type": "message", "role": "assistant", "model": model, "stop_sequence": null});
    let usage = json!({"input_tokens": 11, "output_tokens": 7});
    let whole = with(&base, json!({"content": content, "stop_reason": stop, "usage": usage}));

    let event =
        |kind: &'static str, more: Value| (Some(kind), with(&json!({"type": kind}), more).to_string());
    let begun =
        json!({"content": [], "stop_reason": null, "usage": {"input_tokens": 11, "output_tokens": 1}});
    let mut events =
        vec![event("message_start", json!({"message": with(&base, begun)})), event("ping", json!({}))];
    for (index, block) in content.iter().enumerate() {
        let (empty, kind, field, said) = match block["type"].as_str() {
            Some("text") => (json!({"text": ""}), "text_delta", "text", text(&block["text"])),
            Some("thinking") => (
                json!({"thinking": "", "signature": ""}),
                "thinking_delta",
                "thinking",
                text(&block["thinking"]),
            ),
            _ => (json!({"input": {}}), "input_json_delta", "partial_json", input(turn, block)),
        };
        events
            .push(event("content_block_start", json!({"index": index, "content_block": with(block, empty)})));
        for piece in cut(&said, 9) {
            let delta = json!({"type": kind, (field): piece});
            events.push(event("content_block_delta", json!({"index": index, "delta": delta})));
        }
        events.push(event("content_block_stop", json!({"index": index})));
    }
    let delta = json!({"stop_reason": stop, "stop_sequence": null});
    events.push(event("message_delta", json!({"delta": delta, "usage": {"output_tokens": 7}})));
    events.push(event("message_stop", json!({})));
    (whole, events)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A block's input as the model wrote it.
fn input(turn: &Turn, block: &Value) -> String {
    let own = turn.calls.iter().find(|call| block["name"] == *call.tool);
    own.map_or_else(|| block["input"].to_string(), |call| call.arguments.clone())
}

fn responses(model: &Value, number: u64, turn: &Turn) -> Both {
    let mut output = Vec::new();
    if let Some(text) = &turn.text {
        let part = json!({"type": "output_text", "text": text, "annotations": []});
        let id = format!("msg_{number}");
        output.push(json!({"type": "message", "id": id, "role": "assistant", "status": "completed", "content": [part]}));
    }
    for (n, call) in turn.calls.iter().enumerate() {
        let (id, call_id) = (turn.id("fc_", number, n), turn.id("call_r", number, n));
        let call = json!({"name": call.tool, "arguments": call.arguments, "status": "completed"});
        output.push(with(&json!({"type": "function_call", "id": id, "call_id": call_id}), call));
    }
    let details = json!({"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}});
    let usage = with(&json!({"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}), details);
    let whole = json!({
        "id": format!("resp_{number}"), "object": "response", "created_at": 1, "status": "completed", "model": model,
        "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "usage": usage,
    });
    let started = with(&whole, json!({"status": "in_progress", "output": [], "usage": null}));
    let mut events = vec![
        ("response.created", json!({"response": started})),
        ("response.in_progress", json!({"response": started})),
    ];
    for (index, item) in output.iter().enumerate() {
        match item["type"] == "message" {
            true => message_events(turn, index, item, &mut events),
            false => call_events(index, item, &mut events),
        }
        events.push(("response.output_item.done", json!({"output_index": index, "item": item})));
    }
    events.push(("response.completed", json!({"response": whole})));
    let numbered = |(n, (kind, more)): (usize, (&'static str, Value))| {
        (Some(kind), with(&json!({"type": kind, "sequence_number": n}), more).to_string())
    };
    (whole, events.into_iter().enumerate().map(numbered).collect())
}

fn call_events(index: usize, item: &Value, events: &mut Vec<(&'static str, Value)>) {
    let begun = with(item, json!({"arguments": "", "status": "in_progress"}));
    events.push(("response.output_item.added", json!({"output_index": index, "item": begun})));
    let place = json!({"item_id": item["id"], "output_index": index});
    for piece in cut(&text(&item["arguments"]), 9) {
        events.push(("response.function_call_arguments.delta", with(&place, json!({"delta": piece}))));
    }
    let done = with(&place, json!({"arguments": item["arguments"]}));
    events.push(("response.function_call_arguments.done", done));
}

/// OpenAI pads what it says, so that lengths tell nothing.
const PADDING: &str = "aZ3kQ9xT0bLm";

fn message_events(turn: &Turn, index: usize, item: &Value, events: &mut Vec<(&'static str, Value)>) {
    let part = &item["content"][0];
    let said = text(&part["text"]);
    let begun = with(item, json!({"content": [], "status": "in_progress"}));
    events.push(("response.output_item.added", json!({"output_index": index, "item": begun})));
    let place = json!({"item_id": item["id"], "output_index": index, "content_index": 0});
    let empty = json!({"part": {"type": "output_text", "text": "", "annotations": []}});
    events.push(("response.content_part.added", with(&place, empty)));
    let pieces = if turn.spelled { turn.pieces(&said) } else { vec![said.clone()] };
    for (n, piece) in pieces.into_iter().enumerate() {
        let padding = &PADDING[n % PADDING.len()..];
        events.push((
            "response.output_text.delta",
            with(&place, json!({"delta": piece, "obfuscation": padding})),
        ));
    }
    events.push(("response.output_text.done", with(&place, json!({"text": said}))));
    events.push(("response.content_part.done", with(&place, json!({"part": part}))));
}
