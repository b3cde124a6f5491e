use super::*;

#[test]
fn a_conversation_is_read() {
    let prompt = turn(
        Dialect::Chat,
        r#"{"model":"gpt-x","stream":true,"temperature":0.1,"future_flag":true,
        "messages":[
          {"role":"developer","content":"be brief"},
          {"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]},
          {"role":"assistant","content":null,"tool_calls":[
            {"id":"call_1","type":"function","function":{"name":"read_file","arguments":"{ \"path\": \"/a b\" }"}},
            {"id":"call_2","type":"custom","custom":{"name":"sql","input":"SELECT  1"}}]},
          {"role":"tool","tool_call_id":"call_1","content":"data"},
          {"role":"tool","tool_call_id":"call_2","content":[{"type":"text","text":"1"}]},
          {"role":"assistant","content":"done","refusal":null},
          {"role":"assistant","function_call":{"name":"old","arguments":"{}"}},
          {"role":"function","name":"old","content":"ok"}],
        "functions":[{"name":"old","parameters":{"type":"object"}}],
        "tools":[{"type":"function","function":{"name":"read_file","parameters":{"type":"object"}}},
          {"type":"custom","custom":{"name":"sql"}}]}"#,
    );
    assert_eq!((prompt.model.as_str(), prompt.stream), ("gpt-x", true));
    same_turns(
        &prompt,
        &[
            system("be brief"),
            user("one\ntwo"),
            said(
                "",
                &[call("call_1", "read_file", r#"{"path":"/a b"}"#), call("call_2", "sql", "SELECT  1")],
            ),
            result("call_1", "data"),
            result("call_2", "1"),
            said("done", &[]),
            said("", &[call("", "old", "{}")]),
            result("old", "ok"),
        ],
    );
    assert_eq!(prompt.tools, ["old", "read_file", "sql"]);
    assert_eq!((prompt.hosted.len(), prompt.stateful.len(), prompt.unknown), (0, 0, None));
}

fn with_content(content: &str) -> Prompt {
    turn(Dialect::Chat, &format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#))
}

#[test]
fn what_cannot_be_looked_into_or_is_not_known_is_said() {
    let cases = [
        (r#"[{"type":"image_url","image_url":{"url":"data:"}}]"#, "an image, which cannot be looked into"),
        (r#"[{"type":"input_audio","input_audio":{}}]"#, "audio, which cannot be looked into"),
        (r#"[{"type":"file","file":{}}]"#, "a file, which cannot be looked into"),
        (r#"[{"type":"hologram"},{"type":"file"}]"#, "a type of content that is not known"),
    ];
    for (content, why) in cases {
        assert_eq!(with_content(content).unknown, Some(why), "{content}");
    }
    let others = [
        (r#""messages":[{"role":"oracle","content":"x"}]"#, "a role that is not known"),
        (r#""messages":[],"tools":[{"type":"teleport"}]"#, "a type of tool that is not known"),
        (r#""messages":[],"plugins":[{"id":"web"}]"#, "a structured field that is not known"),
        (r#""messages":[{"role":"assistant","audio":{"id":"a"}}]"#, "audio, which cannot be looked into"),
    ];
    for (fields, why) in others {
        assert_eq!(
            turn(Dialect::Chat, &format!(r#"{{"model":"m",{fields}}}"#)).unknown,
            Some(why),
            "{fields}"
        );
    }
    let hosted = turn(
        Dialect::Chat,
        r#"{"model":"m","messages":[],"web_search_options":{},"tools":[{"type":"mcp"},{"type":"mcp"}]}"#,
    );
    assert_eq!((hosted.hosted, hosted.unknown), (vec!["mcp".to_owned(), "web_search".to_owned()], None));
}

#[test]
fn a_request_without_one_reading_is_refused() {
    let cases = [
        ("[]", "a value is not the object that stands here"),
        ("{", "the JSON is malformed"),
        (r#"{"messages":[]}"#, "the request names no model"),
        (r#"{"model":"","messages":[]}"#, "the request names no model"),
        (r#"{"model":["m"],"messages":[]}"#, "a value is not the text that stands here"),
        (r#"{"model":"m"}"#, "the request has no messages"),
        (r#"{"model":"m","messages":{}}"#, "a value is not the array that stands here"),
        (r#"{"model":"m","messages":["hi"]}"#, "a value is not the object that stands here"),
        (
            r#"{"model":"m","messages":[],"stream":"true"}"#,
            "a value is not the true or false that stands here",
        ),
        (r#"{"model":"m","messages":[{"content":"x"}]}"#, "a message has no role"),
        (
            r#"{"model":"m","messages":[{"role":"user","content":7}]}"#,
            "the content of a message is neither text nor blocks",
        ),
        (
            r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#,
            "the result of a call does not say of which",
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"type":"function",
              "function":{"name":"f"}}]}]}"#,
            "a call has no id",
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function"}]}]}"#,
            "a call is not of one tool",
        ),
        (
            r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"},
              "custom":{"name":"g"}}]}]}"#,
            "a call is not of one tool",
        ),
        (r#"{"model":"m","messages":[],"tools":[{"type":"function"}]}"#, "a tool has no name"),
    ];
    for (body, why) in cases {
        assert_eq!(prompt(Dialect::Chat, body.as_bytes()).err(), Some(Unreadable(why)), "{body}");
    }
}

#[test]
fn an_answer_is_read_with_the_calls_of_all_choices() {
    let answer = reply(
        Dialect::Chat,
        r#"{"id":"x","model":"gpt-x-1","choices":[
          {"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"first",
            "reasoning_content":"why",
            "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},
                          {"id":"c2","type":"function","function":{"name":"g","arguments":"not json {"}}]}},
          {"index":1,"finish_reason":"stop","message":{"content":"second",
            "function_call":{"name":"h","arguments":""}}}],
          "usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#,
    );
    assert_eq!((answer.model.as_str(), answer.text.as_str()), ("gpt-x-1", "first"));
    assert_eq!((answer.reasoning.as_str(), answer.finish.as_deref()), ("why", Some("tool_calls")));
    assert_eq!((answer.input_tokens, answer.output_tokens, answer.unknown), (Some(11), Some(7), None));
    same_calls(
        &answer.calls,
        &[call("c1", "f", r#"{"a":1}"#), call("c2", "g", "not json {"), call("", "h", "")],
    );
    let refused = reply(Dialect::Chat, r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#);
    assert_eq!(refused.text, "no");
    let beside = r#"{"choices":[{"message":{"content":"a"},"delta":{"tool_calls":[{"index":0,"id":"c"}]}}]}"#;
    assert_eq!(reply(Dialect::Chat, beside).unknown, Some("a type of content that is not known"));
    let spoken = reply(Dialect::Chat, r#"{"choices":[{"message":{"content":null,"audio":{"data":""}}}]}"#);
    assert_eq!(spoken.unknown, Some("audio, which cannot be looked into"));
}

/// Chunks with these choices.
fn chunks(choices: &[&str]) -> String {
    let chunk =
        |choice: &&str| format!("data: {{\"model\":\"gpt-x\",\"choices\":[{}]}}\n\n", one_line(choice));
    choices.iter().map(chunk).collect()
}

#[test]
fn a_streamed_answer_is_put_together_by_choice_and_index() {
    let body = chunks(&[
        r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}"#,
        r#"{"index":0,"delta":{},"finish_reason":""}"#,
        r#"{"index":0,"delta":{"content":"Grüße "}}"#,
        r#"{"index":0,"delta":{"reasoning_content":"hm"}},{"index":1,"delta":{"content":"other"}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f",
          "arguments":""}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"g",
          "arguments":""}}]}}"#,
        r#"{"index":1,"delta":{"tool_calls":[{"index":0,"id":"c3","type":"custom","custom":{"name":"h",
          "input":"raw "}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{\"b\": "}},{"index":0,
          "function":{"arguments":"{}"}}]}}"#,
        r#"{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"2}"}}]}}"#,
        r#"{"index":1,"delta":{"tool_calls":[{"index":0,"custom":{"input":"text"}}]}}"#,
        r#"{"index":0,"delta":{"content":"😀"}}"#,
        r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#,
        r#"{"index":1,"delta":{},"finish_reason":"stop"}"#,
    ]);
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
    let answer =
        whole(Dialect::Chat, &format!(": hello\n\n{body}\n\nid: 7\nretry: 5\n{usage}data: [DONE]\n\n"));
    assert_eq!((answer.text.as_str(), answer.reasoning.as_str()), ("Grüße 😀", "hm"));
    assert_eq!(answer.finish.as_deref(), Some("tool_calls"));
    assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(4)));
    let expected = [call("c1", "f", "{}"), call("c2", "g", r#"{"b":2}"#), call("c3", "h", "raw text")];
    same_calls(&answer.calls, &expected);
    // Some providers send no [DONE], or no blank line behind it.
    assert_eq!(whole(Dialect::Chat, &body).calls.len(), 3);
    assert_eq!(whole(Dialect::Chat, &format!("{body}data: [DONE]")).calls.len(), 3);
}

#[test]
fn a_call_is_whole_at_the_end_of_its_choice_and_not_before() {
    let mut stream = Stream::new(Dialect::Chat);
    let begin = r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f",
      "arguments":"{}"}}]}}"#;
    stream.push(chunks(&[begin]).as_bytes()).unwrap();
    assert!(stream.take_calls().is_empty());
    stream.push(chunks(&[r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#]).as_bytes()).unwrap();
    same_calls(&stream.take_calls(), &[call("c", "f", "{}")]);
    assert!(stream.take_calls().is_empty(), "once");

    let legacy = chunks(&[
        r#"{"index":0,"delta":{"function_call":{"name":"f","arguments":""}}}"#,
        r#"{"index":0,"delta":{"function_call":{"arguments":"{\"a\":"}}}"#,
        r#"{"index":0,"delta":{"function_call":{"arguments":"1}"}},"finish_reason":"function_call"}"#,
    ]);
    same_calls(&whole(Dialect::Chat, &legacy).calls, &[call("", "f", r#"{"a":1}"#)]);
}

#[test]
fn a_stream_that_contradicts_itself_is_refused() {
    let begin = r#"{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f"}}]}}"#;
    let end = r#"{"delta":{},"finish_reason":"stop"}"#;
    let cases: &[(&[&str], &str)] = &[
        (&[begin], "the stream ended before the answer did"),
        (&[], "the stream ended before the answer did"),
        (&[end, r#"{"delta":{"content":"more"}}"#], "a choice goes on after its end"),
        (&[end, begin], "a choice goes on after its end"),
        (&[end, r#"{"delta":{},"finish_reason":"length"}"#], "a choice ends for two reasons"),
        (
            &[begin, r#"{"delta":{"tool_calls":[{"index":0,"id":"d","function":{"arguments":""}}]}}"#],
            "a call has two ids or two names",
        ),
        (
            &[begin, r#"{"delta":{"tool_calls":[{"index":0,"function":{"name":"g"}}]}}"#],
            "a call has two ids or two names",
        ),
        (
            &[r#"{"delta":{"tool_calls":[{"id":"c","function":{"name":"f"}}]}}"#],
            "a piece of a call does not say of which",
        ),
        (
            &[r#"{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]},"finish_reason":"stop"}"#],
            "a call has no id",
        ),
        (
            &[r#"{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"arguments":"{}"}}]}}"#, end],
            "a call has no name",
        ),
    ];
    for (choices, why) in cases {
        assert_eq!(unreadable(Dialect::Chat, &chunks(choices)), *why, "{choices:?}");
    }
    let whole = chunks(&[end]);
    let texts = [
        (format!("{whole}data: [DONE]\n\n{whole}"), "the stream goes on after its end"),
        (format!("{whole}data: {{\n\n"), "the JSON is malformed"),
        (format!("\u{feff}{whole}"), "the event stream begins with a byte order mark"),
        (format!("{whole}data: 1\n\n"), "a value is not the object that stands here"),
    ];
    for (text, why) in texts {
        assert_eq!(unreadable(Dialect::Chat, &text), why, "{text}");
    }
}

#[test]
fn errors_and_unknown_events_of_a_stream_are_said() {
    let piece = chunks(&[r#"{"delta":{"content":"par"}}"#]);
    let error = format!("{piece}data: {{\"error\":{{\"message\":\"overloaded\"}}}}\n\n");
    let answer = whole(Dialect::Chat, &error);
    assert_eq!((answer.text.as_str(), answer.finish.as_deref()), ("par", Some("error")));

    // Some clients read on.
    let call = r#""choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}}]"#;
    for goes_on in
        [format!("data: {{\"error\":{{}},{call}}}\n\n"), format!("event: error\ndata: {{{call}}}\n\n")]
    {
        assert_eq!(unreadable(Dialect::Chat, &goes_on), "an error of the stream that goes on with an answer");
    }

    let end = chunks(&[r#"{"delta":{},"finish_reason":"stop"}"#]);
    let not_known = Some("a type of event that is not known");
    assert_eq!(whole(Dialect::Chat, &format!("data: {{\"object\":\"new\"}}\n\n{end}")).unknown, not_known);
    assert_eq!(whole(Dialect::Chat, &format!("event: new\n{end}")).unknown, not_known);
    let tool = chunks(&[r#"{"delta":{"tool_calls":[{"index":0,"id":"c","type":"new","new":{}}]}}"#]);
    assert_eq!(
        whole(Dialect::Chat, &format!("{tool}{end}")).unknown,
        Some("a type of tool that is not known")
    );
}

#[test]
fn what_a_streamed_answer_says_and_nobody_knows_is_told_as_soon_as_it_is_seen() {
    let unknown = |dialect, data: &[&str]| {
        let mut stream = Stream::new(dialect);
        stream.push(events(dialect, data).as_bytes()).unwrap();
        stream.unknown()
    };
    let delta = |call: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}}}}]}}"#);
    let weird = delta(r#"{"index":0,"id":"c1","type":"weird","weird":{"name":"f","arguments":"{}"}}"#);
    let plain = delta(r#"{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}"#);
    assert_eq!(unknown(Dialect::Chat, &[&plain]), None);
    assert_eq!(unknown(Dialect::Chat, &[&weird]), Some("a type of tool that is not known"));
    assert_eq!(unknown(Dialect::Chat, &[r#"{"tool":"f"}"#]), Some("a type of event that is not known"));
    let responses = r#"{"type":"response.new.delta"}"#;
    assert_eq!(unknown(Dialect::Responses, &[responses]), Some("a type of event that is not known"));
    let item = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"new"}}"#;
    assert_eq!(unknown(Dialect::Responses, &[item]), Some("a type of item that is not known"));
    // Places where a call stands that is read elsewhere.
    let (event, block, item) = (
        Some("a type of event that is not known"),
        Some("a type of content that is not known"),
        Some("a type of item that is not known"),
    );
    let inner = format!(r#"{{"choices":[],"chunk":{plain}}}"#);
    assert_eq!(unknown(Dialect::Chat, &[&inner]), event);
    assert_eq!(unknown(Dialect::Chat, &[&plain.replace("delta", "message")]), event);
    let beside = r#"{"choices":[{"delta":{"content":"a"},"message":{"role":"assistant","content":"a"}}]}"#;
    assert_eq!(unknown(Dialect::Chat, &[beside]), None);
    let created = r#"{"type":"response.created","response":{"output":[{"type":"function_call"}]}}"#;
    assert_eq!(unknown(Dialect::Responses, &[created]), item);
    let start = r#"{"type":"message_start","message":{"model":"m","content":[]}}"#;
    let used = r#"[{"type":"tool_use","id":"t","name":"f","input":{}}]"#;
    let delta =
        format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"tool_use","content":{used}}}}}"#);
    assert_eq!(unknown(Dialect::Messages, &[start, &delta]), block);
    let stop = format!(r#"{{"type":"message_stop","message":{{"content":{used}}}}}"#);
    assert_eq!(unknown(Dialect::Messages, &[start, &stop]), block);
    let messages = r#"{"type":"new_event"}"#;
    assert_eq!(unknown(Dialect::Messages, &[messages]), Some("a type of event that is not known"));
}

#[test]
fn what_the_model_is_shown_of_its_own_thinking_is_a_part_of_the_turn() {
    let thought = |message: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":"x",{message}}}]}}"#);
        let prompt = turn(Dialect::Chat, &body);
        match &prompt.turns[..] {
            [Turn::Assistant { reasoning, .. }] => (reasoning.clone(), prompt.unknown.is_some()),
            _ => panic!("{body}"),
        }
    };
    let texts = r#""reasoning_details":[{"type":"reasoning.text","text":"a"},{"type":"reasoning.summary","summary":"b"}]"#;
    for (message, expect) in [
        (r#""reasoning_content":"ab""#.to_owned(), ("ab", false)),
        (r#""reasoning":"ab""#.to_owned(), ("ab", false)),
        (texts.to_owned(), ("ab", false)),
        (format!(r#""reasoning":"ab",{texts}"#), ("ab", false)),
        (format!(r#""reasoning":"other",{texts}"#), ("other\nab", false)),
        (r#""reasoning_details":[{"type":"new"}]"#.to_owned(), ("", true)),
    ] {
        assert_eq!(thought(&message), (expect.0.to_owned(), expect.1), "{message}");
    }
}
