use super::*;
use crate::testkit::Numbers;

mod chat;
mod fuzz;
mod messages;
mod plan;
mod responses;

fn turn(dialect: Dialect, body: &str) -> Prompt {
    prompt(dialect, body.as_bytes()).unwrap_or_else(|why| panic!("{why:?}: {body}"))
}

fn reply(dialect: Dialect, body: &str) -> Answer {
    answer(dialect, body.as_bytes()).unwrap_or_else(|why| panic!("{why:?}: {body}"))
}

fn call(id: &str, name: &str, arguments: &str) -> Call {
    Call { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

fn said(text: &str, calls: &[Call]) -> Turn {
    Turn::Assistant { text: text.to_owned(), calls: calls.to_vec(), reasoning: String::new() }
}

fn user(text: &str) -> Turn {
    Turn::User(text.to_owned())
}

fn system(text: &str) -> Turn {
    Turn::System(text.to_owned())
}

fn result(call: &str, text: &str) -> Turn {
    Turn::ToolResult { call: call.to_owned(), text: text.to_owned() }
}

/// Debug of the types hides what they hold: tests show it.
fn shown(turns: &[Turn]) -> Vec<String> {
    let calls = |calls: &[Call]| -> Vec<String> {
        calls.iter().map(|call| format!("{} {} {}", call.id, call.name, call.arguments)).collect()
    };
    let show = |turn: &Turn| match turn {
        Turn::System(text) => format!("system: {text}"),
        Turn::User(text) => format!("user: {text}"),
        Turn::Assistant { text, calls: made, reasoning } => {
            let thought = if reasoning.is_empty() { String::new() } else { format!(" ({reasoning})") };
            format!("assistant: {text}; {:?}{thought}", calls(made))
        }
        Turn::ToolResult { call, text } => format!("result of {call}: {text}"),
    };
    turns.iter().map(show).collect()
}

#[track_caller]
fn same_turns(prompt: &Prompt, turns: &[Turn]) {
    assert_eq!(shown(&prompt.turns), shown(turns));
}

#[track_caller]
fn same_calls(calls: &[Call], expected: &[Call]) {
    assert_eq!(shown(&[said("", calls)]), shown(&[said("", expected)]));
}

/// Events as providers of the dialect write them.
fn events(dialect: Dialect, data: &[&str]) -> String {
    let kind = |data: &str| {
        let value: serde_json::Value = serde_json::from_str(data).unwrap();
        value["type"].as_str().unwrap_or_default().to_owned()
    };
    let event = |data: &&str| match dialect {
        Dialect::Chat => format!("data: {}\n\n", one_line(data)),
        Dialect::Responses | Dialect::Messages => {
            format!("event: {}\ndata: {}\n\n", kind(data), one_line(data))
        }
    };
    data.iter().map(event).collect()
}

/// JSON as it is sent; here it is broken where the line is full.
fn one_line(json: &str) -> String {
    json.replace('\n', " ")
}

/// Everything that a stream says of these bytes: the calls as they became whole, and the answer.
fn streamed(dialect: Dialect, pieces: &[&[u8]]) -> Result<(Vec<Call>, Answer), Unreadable> {
    let (mut stream, mut calls) = (Stream::new(dialect), Vec::new());
    for piece in pieces {
        stream.push(piece)?;
        calls.extend(stream.take_calls());
    }
    Ok((calls, stream.finish()?))
}

/// The answer of a stream, which is the same however its bytes are split.
#[track_caller]
fn whole(dialect: Dialect, text: &str) -> Answer {
    let bytes = text.as_bytes();
    let (calls, answer) = streamed(dialect, &[bytes]).unwrap_or_else(|why| panic!("{why:?}: {text}"));
    for at in 0..=bytes.len() {
        let (front, back) = bytes.split_at(at);
        assert!(streamed(dialect, &[front, back]) == Ok((calls.clone(), answer.clone())), "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert!(streamed(dialect, &single) == Ok((calls.clone(), answer.clone())), "split at every byte");
    let crlf = text.replace('\n', "\r\n");
    assert!(streamed(dialect, &[crlf.as_bytes()]) == Ok((calls.clone(), answer.clone())), "CRLF");
    let cr = text.replace('\n', "\r");
    assert!(streamed(dialect, &[cr.as_bytes()]) == Ok((calls.clone(), answer.clone())), "CR");
    same_calls(&calls, &answer.calls);
    answer
}

#[track_caller]
fn unreadable(dialect: Dialect, text: &str) -> &'static str {
    match streamed(dialect, &[text.as_bytes()]) {
        Err(Unreadable(why)) => why,
        Ok(_) => panic!("readable: {text}"),
    }
}

#[test]
fn an_endpoint_is_known_by_method_and_last_segments() {
    use Dialect::*;
    use Endpoint::*;
    let cases: &[(&str, &str, Option<Endpoint>)] = &[
        ("POST", "v1/chat/completions", Some(Turn(Chat))),
        ("POST", "chat/completions", Some(Turn(Chat))),
        ("POST", "openai/deployments/a/chat/completions", Some(Turn(Chat))),
        ("POST", "openai/v1/responses", Some(Turn(Responses))),
        ("POST", "v1/messages", Some(Turn(Messages))),
        ("POST", "anthropic/v1/messages", Some(Turn(Messages))),
        ("POST", "v1/messages/count_tokens", Some(Plain("count tokens"))),
        ("POST", "v1/responses/input_tokens", Some(Plain("count tokens"))),
        ("GET", "v1/models", Some(Plain("list models"))),
        ("HEAD", "v1/models/m-1", Some(Plain("show model"))),
        // Another thing of the same name, another method, another case, more behind it.
        ("POST", "v1/threads/thread_1/messages", None),
        ("POST", "messages", None),
        ("GET", "v1/chat/completions", None),
        ("GET", "v1/responses/resp_1", None),
        ("DELETE", "v1/models/m-1", None),
        ("POST", "v1/models", None),
        ("POST", "v1/Messages", None),
        ("POST", "v1/completions", None),
        ("POST", "v1/messages/batches", None),
        ("POST", "v1/embeddings", None),
        ("POST", "v1/chat/completions/x", None),
        ("GET", "", None),
    ];
    for (method, path, expected) in cases {
        let method = Method::parse(&wire::RawField::new(bytes::Bytes::from_static(method.as_bytes())));
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        assert_eq!(endpoint(&method, &segments), *expected, "{path}");
    }
}

#[test]
fn a_turn_that_the_provider_keeps_is_known_by_where_it_is_asked_for() {
    let kept = |method: &'static str, path: &str| {
        let method = Method::parse(&wire::RawField::new(bytes::Bytes::from_static(method.as_bytes())));
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        super::kept(&method, &segments)
    };
    assert_eq!(kept("GET", "v1/responses/resp_1"), Some(Dialect::Responses));
    assert_eq!(kept("POST", "v1/responses/resp_1/cancel"), Some(Dialect::Responses));
    assert_eq!(kept("GET", "v1/chat/completions/c_1"), Some(Dialect::Chat));
    for (method, path) in [
        ("DELETE", "v1/responses/resp_1"),
        ("GET", "v1/responses"),
        ("GET", "v1/responses/resp_1/input_items"),
        ("GET", "v1/chat/completions"),
        ("GET", "v1/models/m"),
    ] {
        assert_eq!(kept(method, path), None, "{path}");
    }
}

#[test]
fn strings_of_a_call_are_those_that_an_action_may_say_again() {
    let strings = |arguments: &str| call("", "", arguments).strings();
    assert_eq!(
        strings(r#"{"deep":{"er":["inner text"]},"path":"/etc/hosts","n":1234567,"s":"short","b":true}"#),
        ["/etc/hosts", "inner text"]
    );
    assert_eq!(strings(r#""SELECT 1""#), ["SELECT 1"]);
    assert_eq!(strings(r#"{"a":"line\nbreak"}"#), ["line\nbreak"]);
    assert_eq!(strings("rm -rf /tmp/x"), ["rm -rf /tmp/x"]);
    assert_eq!(strings("short"), [""; 0]);
    assert_eq!(strings("{}"), [""; 0]);
    assert_eq!(strings(r#"["äöü","äö"]"#), ["äöü"], "bytes count");

    let many = format!("[{}]", vec![r#""abcdef""#; CALL_STRINGS_MAX + 1].join(","));
    assert_eq!(strings(&many).len(), CALL_STRINGS_MAX);
    let long = "x".repeat(CALL_STRINGS_BYTES_MAX);
    assert_eq!(strings(&format!(r#"["{long}"]"#)), [long.as_str()]);
    assert_eq!(strings(&format!(r#"["{long}x","behind"]"#)), ["behind"]);
    assert_eq!(strings(&format!(r#"["before","{long}"]"#)), ["before"]);
}

#[test]
fn members_are_values_with_the_names_that_lead_to_them() {
    let of = |text: &str| {
        let all = members(text.as_bytes(), true)?;
        let signs = |text: &str| text.replace(BELOW, ".").replace(NO_TEXT, "#").replace(READ_ON, "!");
        let shown = all.iter().map(|(name, value)| format!("{}={}", signs(name), signs(value)));
        Some(shown.collect::<Vec<_>>().join(" "))
    };
    let is = |text: &str, expect: &str| assert_eq!(of(text).as_deref(), Some(expect), "{text}");
    is(r#"{"a":1,"b":{"c":"x","d":[true,null,1.50]}}"#, "a=#1 b.c=x b.d.#0=#true b.d.#1=#null b.d.#2=#1.50");
    is(r#"{"a":{},"b":[]}"#, "a=#{} b=#[]");
    is("[1]", "#0=#1");
    is(r#"{"0":"1"}"#, "0=1");
    is(r#""x""#, "=x");
    is(r#"{"body":"{\"a\":\"b\"}"}"#, "body!.a=b");
    let whole = members(br#"{"body":"{\"a\":\"b\"}"}"#, false).unwrap();
    assert_eq!(whole, [("body".to_owned(), r#"{"a":"b"}"#.to_owned())]);
    assert_eq!((of(r#"{"a":"\u001e5"}"#), of(r#"{"a\u001fb":"5"}"#)), (None, None), "signs of ours");
    is(r#"{"body":"{no json"}"#, "body={no json");
    assert_eq!((of("{"), of(r#"{"a":1,"a":2}"#)), (None, None));
    let many = |n: usize| format!("[{}]", vec!["1"; n].join(","));
    assert!(members(many(MEMBERS_MAX).as_bytes(), true).is_some());
    assert!(members(many(MEMBERS_MAX + 1).as_bytes(), true).is_none());
    // One long name before many values is no way to a lot of memory.
    let long = |n: usize| format!(r#"{{"{}":[1,2,3,4]}}"#, "n".repeat(n));
    assert!(members(long(MEMBERS_BYTES_MAX / 4 - 4).as_bytes(), true).is_some());
    assert!(members(long(MEMBERS_BYTES_MAX / 4).as_bytes(), true).is_none());
    assert!(members(long(MEMBERS_BYTES_MAX).as_bytes(), true).is_none());
}

#[test]
fn debug_shows_no_content() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hunter2"},{"role":"assistant","tool_calls":[
        {"id":"c","type":"function","function":{"name":"secretname","arguments":"{\"k\":\"hunter2\"}"}}]},
        {"role":"tool","tool_call_id":"c","content":"hunter2"},{"role":"system","content":"hunter2"}]}"#;
    let shown = format!("{:?}", turn(Dialect::Chat, body));
    assert!(!shown.contains("hunter2") && !shown.contains("secretname"), "{shown}");
    let body = r#"{"choices":[{"message":{"content":"hunter2","reasoning":"hunter2"}}]}"#;
    let shown = format!("{:?}", reply(Dialect::Chat, body));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn limits_hold_at_their_edge() {
    let chat = |content: usize| {
        let front = r#"{"model":"m","messages":[{"role":"user","content":""#;
        let back = r#""}]}"#;
        let body = format!("{front}{}{back}", "x".repeat(content - front.len() - back.len()));
        assert_eq!(body.len(), content);
        prompt(Dialect::Chat, body.as_bytes()).map(|_| ())
    };
    assert_eq!(chat(LLM_BODY_BYTES_MAX), Ok(()));
    assert_eq!(chat(LLM_BODY_BYTES_MAX + 1), Err(Unreadable("the body is larger than 8 MiB")));

    let arguments = |n: usize| {
        let input = "x".repeat(n);
        let body = format!(
            r#"{{"output":[{{"type":"custom_tool_call","call_id":"c","name":"n","input":"{input}"}}]}}"#
        );
        answer(Dialect::Responses, body.as_bytes()).map(|answer| answer.calls.len())
    };
    assert_eq!(arguments(CALL_ARGUMENTS_BYTES_MAX), Ok(1));
    let too_long = Unreadable("the arguments of a call are longer than 1 MiB");
    assert_eq!(arguments(CALL_ARGUMENTS_BYTES_MAX + 1), Err(too_long));

    let calls = |n: usize| {
        let one = r#"{"type":"tool_use","id":"t","name":"n","input":{}}"#;
        let body = format!(r#"{{"content":[{}]}}"#, vec![one; n].join(","));
        answer(Dialect::Messages, body.as_bytes()).map(|answer| answer.calls.len())
    };
    assert_eq!(calls(CALLS_MAX), Ok(CALLS_MAX));
    assert_eq!(calls(CALLS_MAX + 1), Err(Unreadable("there are more than 128 calls")));

    let tools = |n: usize| {
        let body =
            format!(r#"{{"model":"m","messages":[],"tools":[{}]}}"#, vec![r#"{"name":"n"}"#; n].join(","));
        prompt(Dialect::Messages, body.as_bytes()).map(|prompt| prompt.tools.len())
    };
    assert_eq!(tools(TOOLS_MAX), Ok(TOOLS_MAX));
    assert_eq!(tools(TOOLS_MAX + 1), Err(Unreadable("the request offers more than 1,024 tools")));
}

#[test]
fn a_stream_is_bounded_however_it_is_cut() {
    let mut stream = Stream::new(Dialect::Chat);
    let line = vec![b'x'; 1 << 20];
    let taken = (0..9).map_while(|_| stream.push(&line).ok()).count();
    assert_eq!(taken, LLM_BODY_BYTES_MAX / line.len());
    assert_eq!(stream.push(b"\n"), Err(Unreadable("an event is longer than 8 MiB")), "it stays so");

    let mut stream = Stream::new(Dialect::Chat);
    let piece =
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "y".repeat(1 << 20));
    let taken = (0..9).map_while(|_| stream.push(piece.as_bytes()).ok()).count();
    assert_eq!(taken, 8);
    assert_eq!(stream.finish(), Err(Unreadable("the answer is longer than 8 MiB")));

    let mut stream = Stream::new(Dialect::Chat);
    let choice = |n: usize| format!("data: {{\"choices\":[{{\"index\":{n},\"delta\":{{}}}}]}}\n\n");
    let taken = (0..BLOCKS_MAX + 1).map_while(|n| stream.push(choice(n).as_bytes()).ok()).count();
    assert_eq!(taken, BLOCKS_MAX);
}

#[test]
fn events_are_cut_as_their_specification_says() {
    let end = r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
    let read = [
        format!("data:{end}\n\n"),
        format!("data: {end}\n\n"),
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\ndata:\"finish_reason\":\"stop\"}\ndata: ]}\n\n"
            .to_owned(),
        format!("\n\n: c\nid\nretry: 1\nnew: field\nevent\ndata: {end}\n\ndata\n\ndata:\n\n"),
        // A name without data is of no event.
        format!("event: new\n\ndata: {end}\n\n"),
        // The last blank line is missing: the event counts, since some readers take it.
        format!("data: {end}"),
    ];
    for text in read {
        let answer = whole(Dialect::Chat, &text);
        assert_eq!((answer.text.as_str(), answer.unknown), ("x", None), "{text:?}");
    }
    // Other names of fields are ignored, and lines of data do not run into one another.
    let unread = [
        (format!(" data: {end}\n\n"), "the stream ended before the answer did"),
        (format!("Data: {end}\n\n"), "the stream ended before the answer did"),
        (
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1\ndata: 2}}\n\n".to_owned(),
            "the JSON is malformed",
        ),
        ("data: {\"model\":\"a\ndata: b\"}\n\n".to_owned(), "the JSON is malformed"),
    ];
    for (text, why) in unread {
        assert_eq!(unreadable(Dialect::Chat, &text), why, "{text:?}");
    }
    // Lines to some readers: of Latin-1, or of Unicode.
    let lines =
        ["event: \u{1145}", ": hi\u{2028}\u{2028}data: {}", "id: \u{85}data: {}", "data2: \u{2029}data: {}"];
    for line in lines.iter().map(|line| line.as_bytes()).chain([&b"event: \xff"[..], b": \x85data: {}"]) {
        let text = [line, b"\ndata: ", end.as_bytes(), b"\n\n"].concat();
        let two_ways = Unreadable("a line of the event stream that could be read in two ways");
        let said = streamed(Dialect::Chat, &[&text]).err();
        // A letter is one, however a reader of another charset takes it: the head says that it is UTF-8.
        let expect = (!line.starts_with(b"event: \xe1")).then_some(two_ways);
        assert_eq!(said, expect, "{}", text.escape_ascii());
    }
    assert_eq!(
        streamed(Dialect::Chat, &[b"data: \"\xff\"\n\n"]).err(),
        Some(Unreadable("the JSON is not UTF-8"))
    );
}
