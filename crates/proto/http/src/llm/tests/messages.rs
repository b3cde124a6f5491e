use super::*;

#[test]
fn a_conversation_is_read() {
    let prompt = turn(
        Dialect::Messages,
        r#"{"model":"claude-x","max_tokens":100,"stream":false,
        "system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}},{"type":"text",
          "text":"be kind"}],
        "messages":[
          {"role":"user","content":"hello"},
          {"role":"assistant","content":[
            {"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"x"},
            {"type":"text","text":"I look."},
            {"type":"tool_use","id":"toolu_1","name":"read","input":{ "z": 1.0, "a": {"k": "v w"} }},
            {"type":"tool_use","id":"toolu_2","name":"list","input":{}}]},
          {"role":"user","content":[
            {"type":"text","text":"before"},
            {"type":"tool_result","tool_use_id":"toolu_1","content":"data"},
            {"type":"tool_result","tool_use_id":"toolu_2","is_error":true,"content":[{"type":"text","text":"a"},
              {"type":"text","text":"b"}]},
            {"type":"tool_result","tool_use_id":"toolu_3"},
            {"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"found"}]},
            {"type":"text","text":"go on"}]},
          {"role":"assistant","content":"prefill"}],
        "tools":[{"name":"read","input_schema":{"type":"object"}},{"type":"custom","name":"list","input_schema":{}},
          {"type":"bash_20250124","name":"bash"},{"type":"web_search_20250305","name":"web_search"}]}"#,
    );
    assert_eq!((prompt.model.as_str(), prompt.stream, prompt.unknown), ("claude-x", false, None));
    same_turns(
        &prompt,
        &[
            system("be brief\nbe kind"),
            user("hello"),
            Turn::Assistant {
                text: "I look.".to_owned(),
                calls: vec![
                    call("toolu_1", "read", r#"{"z":1.0,"a":{"k":"v w"}}"#),
                    call("toolu_2", "list", "{}"),
                ],
                reasoning: "hm".to_owned(),
            },
            user("before"),
            result("toolu_1", "data"),
            result("toolu_2", "a\nb"),
            result("toolu_3", ""),
            user("found\ngo on"),
            said("prefill", &[]),
        ],
    );
    assert_eq!(prompt.tools, ["read", "list", "bash"]);
    assert_eq!((prompt.hosted, prompt.stateful.len()), (vec!["web_search".to_owned()], 0));
}

fn with(fields: &str) -> Prompt {
    turn(Dialect::Messages, &format!(r#"{{"model":"m",{fields}}}"#))
}

#[test]
fn what_is_elsewhere_or_not_known_is_said() {
    let unknown = [
        (
            r#""messages":[{"role":"user","content":[{"type":"image","source":{}}]}]"#,
            "an image, which cannot be looked into",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"document","source":{}}]}]"#,
            "a file, which cannot be looked into",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t",
              "content":[{"type":"image"}]}]}]"#,
            "an image, which cannot be looked into",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"hologram"}]}]"#,
            "a type of content that is not known",
        ),
        (
            r#""messages":[{"role":"assistant","content":[{"type":"hologram"}]}]"#,
            "a type of content that is not known",
        ),
        (r#""messages":[{"role":"tool","content":"x"}]"#, "a role that is not known"),
        (
            r#""messages":[],"tools":[{"type":"teleport_20250101","name":"t"}]"#,
            "a type of tool that is not known",
        ),
        (
            r#""messages":[],"tools":[{"type":"bash_20250124x","name":"t"}]"#,
            "a type of tool that is not known",
        ),
        (r#""messages":[],"fallbacks":[{"model":"other"}]"#, "a structured field that is not known"),
    ];
    for (fields, why) in unknown {
        assert_eq!(with(fields).unknown, Some(why), "{fields}");
    }
    assert_eq!(with(r#""messages":[],"container":"c_1""#).stateful, ["container"]);
    assert_eq!(with(r#""messages":[],"mcp_servers":[{"url":"u"}]"#).hosted, ["mcp"]);
    let past = r#""messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"w",
      "input":{}},
        {"type":"web_search_tool_result","tool_use_id":"s","content":[]},{"type":"compaction","content":"c"}]}]"#;
    let past = with(past);
    assert_eq!((past.hosted.len(), past.stateful, past.unknown), (2, vec!["compaction"], None));
}

#[test]
fn a_request_without_one_reading_is_refused() {
    let cases = [
        (r#""messages":[{"role":"user"}]"#, "content is neither text nor blocks"),
        (r#""messages":[{"role":"user","content":{}}]"#, "content is neither text nor blocks"),
        (r#""messages":[{"role":"user","content":[{"text":"x"}]}]"#, "a value has no type"),
        (r#""system":7,"messages":[]"#, "content is neither text nor blocks"),
        (
            r#""messages":[{"role":"user","content":[{"type":"tool_result","content":"x"}]}]"#,
            "the result of a call does not say of which",
        ),
        (
            r#""messages":[{"role":"assistant","content":[{"type":"tool_use","name":"n","input":{}}]}]"#,
            "a call has no id",
        ),
        (
            r#""messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","input":{}}]}]"#,
            "a call has no name",
        ),
        (r#""messages":[],"tools":[{"type":"custom"}]"#, "a tool has no name"),
        (r#""system":"s""#, "the request has no messages"),
    ];
    for (fields, why) in cases {
        let body = format!(r#"{{"model":"m",{fields}}}"#);
        assert_eq!(prompt(Dialect::Messages, body.as_bytes()).err(), Some(Unreadable(why)), "{fields}");
    }
}

#[test]
fn an_answer_is_read() {
    let answer = reply(
        Dialect::Messages,
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x-1","stop_reason":"tool_use",
        "content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"I "},
          {"type":"text","text":"look.","citations":[]},
          {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},
          {"type":"mcp_tool_use","id":"m","name":"n","server_name":"x","input":{}},
          {"type":"tool_use","id":"toolu_1","name":"f","input":{ "b" : 1, "a" : 2 }},
          {"type":"tool_use","id":"toolu_2","name":"g"}],
        "usage":{"input_tokens":5,"output_tokens":6}}"#,
    );
    assert_eq!((answer.model.as_str(), answer.text.as_str()), ("claude-x-1", "I look."));
    assert_eq!((answer.reasoning.as_str(), answer.finish.as_deref()), ("hm", Some("tool_use")));
    assert_eq!((answer.input_tokens, answer.output_tokens, answer.unknown), (Some(5), Some(6), None));
    assert_eq!(answer.hosted, ["server_tool_use", "mcp_tool_use"]);
    same_calls(&answer.calls, &[call("toolu_1", "f", r#"{"b":1,"a":2}"#), call("toolu_2", "g", "{}")]);
}

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-x-1","content":[],
  "usage":{"input_tokens":9,"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;
const TOOL: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t",
  "name":"f","input":{}}}"#;
const TEXT: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const END: &str = r#"{"type":"content_block_stop","index":0}"#;

#[test]
fn a_streamed_answer_is_put_together() {
    let text = events(
        Dialect::Messages,
        &[
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"",
              "signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
            END,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Grüße "}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"😀"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t1","name":"f",
              "input":{}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",
              "partial_json":"{\"b\": \"x"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",
              "partial_json":" y\", \"a\": 1}"}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t2","name":"g",
              "input":{}}}"#,
            r#"{"type":"content_block_stop","index":3}"#,
            r#"{"type":"content_block_start","index":4,"content_block":{"type":"server_tool_use","id":"s",
              "name":"w","input":{}}}"#,
            r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
            r#"{"type":"content_block_stop","index":4}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":20}}"#,
            STOP,
        ],
    );
    let answer = whole(Dialect::Messages, &format!(": comment\n\n{text}"));
    assert_eq!((answer.model.as_str(), answer.text.as_str()), ("claude-x-1", "Grüße 😀"));
    assert_eq!((answer.reasoning.as_str(), answer.finish.as_deref()), ("hm", Some("tool_use")));
    assert_eq!((answer.input_tokens, answer.output_tokens, answer.unknown), (Some(9), Some(20), None));
    assert_eq!(answer.hosted, ["server_tool_use"]);
    same_calls(&answer.calls, &[call("t1", "f", r#"{"b":"x y","a":1}"#), call("t2", "g", "{}")]);
}

#[test]
fn a_call_is_whole_at_the_end_of_its_block_and_may_be_nonsense() {
    let nonsense = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",
      "partial_json":"{\"a"}}"#;
    let mut stream = Stream::new(Dialect::Messages);
    stream.push(events(Dialect::Messages, &[START, TOOL, nonsense]).as_bytes()).unwrap();
    assert!(stream.take_calls().is_empty());
    stream.push(events(Dialect::Messages, &[END]).as_bytes()).unwrap();
    same_calls(&stream.take_calls(), &[call("t", "f", r#"{"a"#)]);
    stream.push(events(Dialect::Messages, &[STOP]).as_bytes()).unwrap();
    assert!(stream.take_calls().is_empty(), "once");
    same_calls(&stream.finish().unwrap().calls, &[call("t", "f", r#"{"a"#)]);
}

#[test]
fn a_stream_that_contradicts_itself_is_refused() {
    let text = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;
    let json =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#;
    let full = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f",
      "input":{"a":1}}}"#;
    let no_id = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"f",
      "input":{}}}"#;
    let cases: &[(&[&str], &str)] = &[
        (&[], "the stream ended before the answer did"),
        (&[START, TEXT, text, END], "the stream ended before the answer did"),
        (&[START, TEXT, STOP], "a streamed message ends inside a block"),
        (&[TEXT], "a streamed message does not begin with its start"),
        (&[STOP], "a streamed message does not begin with its start"),
        (&[START, START], "a streamed message begins twice, or with content"),
        (&[START, TEXT, TEXT], "a block begins twice"),
        (&[START, TEXT, END, END], "a block ends twice"),
        (&[START, TEXT, END, text], "a block goes on after its end"),
        (&[START, TOOL, END, json], "a block goes on after its end"),
        (&[START, text], "a piece is of a block that did not begin"),
        (&[START, TEXT, json], "a block goes on as another type"),
        (&[START, TOOL, text], "a block goes on as another type"),
        (&[START, full, json, END], "the arguments of a call come in two ways"),
        (&[START, no_id], "a call has no id"),
        (&[START, STOP, START], "the stream goes on after its end"),
    ];
    for (data, why) in cases {
        assert_eq!(unreadable(Dialect::Messages, &events(Dialect::Messages, data)), *why, "{data:?}");
    }
    let named = format!("event: ping\ndata: {}\n\n", one_line(START));
    let why = "the name of an event is not the type that its data say";
    assert_eq!(unreadable(Dialect::Messages, &named), why);
    assert_eq!(unreadable(Dialect::Messages, "data: {}\n\n"), "an event has no type");
    let early = format!("{}data: [DONE]\n\n", events(Dialect::Messages, &[START]));
    assert_eq!(unreadable(Dialect::Messages, &early), "the stream says that it is done before its end");
}

#[test]
fn errors_and_unknown_events_of_a_stream_are_said() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let answer = whole(Dialect::Messages, &events(Dialect::Messages, &[START, TOOL, END, error]));
    assert_eq!((answer.calls.len(), answer.finish.as_deref()), (1, Some("error")));
    // A call that is not whole is none.
    let answer = whole(Dialect::Messages, &events(Dialect::Messages, &[START, TOOL, error]));
    assert_eq!(answer.calls.len(), 0);

    let new = r#"{"type":"new_event"}"#;
    let answer = whole(Dialect::Messages, &events(Dialect::Messages, &[START, new, STOP]));
    assert_eq!(answer.unknown, Some("a type of event that is not known"));
    let block = r#"{"type":"content_block_start","index":0,"content_block":{"type":"new"}}"#;
    let answer = whole(Dialect::Messages, &events(Dialect::Messages, &[START, block, END, STOP]));
    assert_eq!(answer.unknown, Some("a type of content that is not known"));
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"new_delta"}}"#;
    let answer = whole(Dialect::Messages, &events(Dialect::Messages, &[START, TEXT, delta, END, STOP]));
    assert_eq!(answer.unknown, Some("a type of content that is not known"));
    let behind =
        format!("{}data: [DONE]\n\n", events(Dialect::Messages, &[START, STOP, r#"{"type":"ping"}"#]));
    assert_eq!(whole(Dialect::Messages, &behind).unknown, None);
}

#[test]
fn a_name_that_some_readers_take_for_another_is_refused() {
    let case = Err(Unreadable("a name differs from a known one only in the case of its letters"));
    for name in ["Messages", "MESSAGES", "me\u{17f}\u{17f}ages", "Model", "\\u004dodel", "Stream"] {
        let body = format!(r#"{{"model":"m","messages":[],"{name}":null}}"#);
        assert_eq!(prompt(Dialect::Chat, body.as_bytes()).map(|_| ()), case, "{name}");
    }
}
