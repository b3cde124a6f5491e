use super::*;

#[test]
fn a_conversation_is_read() {
    let prompt = turn(
        Dialect::Responses,
        r#"{"model":"gpt-x","stream":true,"instructions":"be brief","store":false,
        "include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"},
        "input":[
          {"role":"user","content":"hello"},
          {"type":"message","role":"developer","content":[{"type":"input_text","text":"one"},{"type":"input_text",
            "text":"two"}]},
          {"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look."}]},
          {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"},
          {"type":"function_call","id":"fc_1","call_id":"call_1","name":"read","arguments":"{ \"p\": 1 }"},
          {"type":"custom_tool_call","call_id":"call_2","name":"sql","input":"SELECT  1"},
          {"type":"function_call_output","call_id":"call_1","output":"data"},
          {"type":"custom_tool_call_output","call_id":"call_2","output":[{"type":"input_text","text":"1"}]},
          {"type":"shell_call","call_id":"call_3","action":{"commands":["ls -l"]}},
          {"type":"shell_call_output","call_id":"call_3","output":[{"stdout":"out","stderr":"err","outcome":{}}]},
          {"type":"local_shell_call","call_id":"call_4","action":{"type":"exec","command":["ls"]}},
          {"type":"local_shell_call_output","id":"call_4","output":"out"},
          {"type":"apply_patch_call","call_id":"call_5","operation":{"type":"delete_file","path":"/a"}},
          {"type":"apply_patch_call_output","call_id":"call_5","status":"completed"}],
        "tools":[{"type":"function","name":"read"},{"type":"custom","name":"sql"},{"type":"shell"},
          {"type":"local_shell"},{"type":"apply_patch"},{"type":"web_search"},{"type":"mcp","server_url":"u"},
          {"type":"computer_use_preview"},{"type":"shell","environment":{"type":"container_auto"}}]}"#,
    );
    assert_eq!((prompt.model.as_str(), prompt.stream, prompt.unknown), ("gpt-x", true, None));
    let calls = [call("call_1", "read", r#"{"p":1}"#), call("call_2", "sql", "SELECT  1")];
    same_turns(
        &prompt,
        &[
            system("be brief"),
            user("hello"),
            system("one\ntwo"),
            said("I look.", &calls),
            result("call_1", "data"),
            result("call_2", "1"),
            said("", &[call("call_3", "shell", r#"{"commands":["ls -l"]}"#)]),
            result("call_3", "out\nerr"),
            said("", &[call("call_4", "local_shell", r#"{"type":"exec","command":["ls"]}"#)]),
            result("call_4", "out"),
            said("", &[call("call_5", "apply_patch", r#"{"type":"delete_file","path":"/a"}"#)]),
            result("call_5", ""),
        ],
    );
    assert_eq!(prompt.tools, ["read", "sql", "shell", "local_shell", "apply_patch", "computer"]);
    assert_eq!(prompt.hosted, ["web_search", "mcp", "shell"]);
    assert!(prompt.stateful.is_empty());
    same_turns(&turn(Dialect::Responses, r#"{"model":"m","input":"hi"}"#), &[user("hi")]);
}

fn with(fields: &str) -> Prompt {
    turn(Dialect::Responses, &format!(r#"{{"model":"m",{fields}}}"#))
}

#[test]
fn what_is_elsewhere_or_not_known_is_said() {
    let stateful = [
        (r#""previous_response_id":"resp_1""#, "previous_response_id"),
        (r#""conversation":{"id":"conv_1"}"#, "conversation"),
        (r#""conversation":"conv_1""#, "conversation"),
        (r#""prompt":{"id":"pmpt_1"}"#, "prompt"),
        (r#""background":true,"store":true"#, "background"),
        (r#""input":[{"type":"item_reference","id":"i"}]"#, "item_reference"),
        (r#""input":[{"id":"i"}]"#, "item_reference"),
        (r#""input":[{"type":"compaction","encrypted_content":"x"}]"#, "compaction"),
    ];
    for (fields, field) in stateful {
        assert_eq!(with(fields).stateful, [field], "{fields}");
    }
    let none = with(r#""previous_response_id":null,"conversation":null,"background":false,"store":true"#);
    assert!(none.stateful.is_empty());

    let unknown = [
        (
            r#""input":[{"role":"user","content":[{"type":"input_image"}]}]"#,
            "an image, which cannot be looked into",
        ),
        (
            r#""input":[{"role":"user","content":[{"type":"input_file"}]}]"#,
            "a file, which cannot be looked into",
        ),
        (
            r#""input":[{"role":"user","content":[{"type":"input_audio"}]}]"#,
            "audio, which cannot be looked into",
        ),
        (
            r#""input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image"}]}]"#,
            "an image, which cannot be looked into",
        ),
        (
            r#""input":[{"type":"computer_call_output","call_id":"c","output":{}}]"#,
            "an image, which cannot be looked into",
        ),
        (r#""input":[{"role":"user","content":[{"type":"new"}]}]"#, "a type of content that is not known"),
        (r#""input":[{"type":"new"}]"#, "a type of item that is not known"),
        (r#""input":[{"role":"new","content":"x"}]"#, "a role that is not known"),
        (r#""tools":[{"type":"new"}]"#, "a type of tool that is not known"),
        (r#""new":{}"#, "a structured field that is not known"),
    ];
    for (fields, why) in unknown {
        assert_eq!(with(fields).unknown, Some(why), "{fields}");
    }
    let past =
        with(r#""input":[{"type":"mcp_call","name":"n"},{"type":"web_search_call"},{"type":"mcp_call"}]"#);
    assert_eq!(
        (past.hosted, past.unknown),
        (vec!["mcp_call".to_owned(), "web_search_call".to_owned()], None)
    );
}

#[test]
fn a_request_without_one_reading_is_refused() {
    let cases = [
        (r#""input":7"#, "the input is neither text nor items"),
        (r#""input":["hi"]"#, "a value is not the object that stands here"),
        (r#""instructions":["x"]"#, "a value is not the text that stands here"),
        (r#""input":[{"type":"function_call","name":"n","arguments":"{}"}]"#, "a call has no id"),
        (r#""input":[{"type":"function_call","call_id":"c","arguments":"{}"}]"#, "a call has no name"),
        (r#""input":[{"type":"shell_call","call_id":"c"}]"#, "a call of the shell has no action"),
        (
            r#""input":[{"type":"function_call_output","output":"x"}]"#,
            "the result of a call does not say of which",
        ),
        (r#""input":[{"role":"user","content":{}}]"#, "content is neither text nor parts"),
        (r#""tools":[{"type":"function"}]"#, "a tool has no name"),
        (r#""background":"yes""#, "a value is not the true or false that stands here"),
    ];
    for (fields, why) in cases {
        let body = format!(r#"{{"model":"m",{fields}}}"#);
        assert_eq!(prompt(Dialect::Responses, body.as_bytes()).err(), Some(Unreadable(why)), "{fields}");
    }
}

const REASONING: &str = r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}]}"#;
const MESSAGE: &str = r#"{"type":"message","id":"msg_1","role":"assistant","status":"completed",
  "content":[{"type":"output_text","text":"Grüße 😀","annotations":[]}]}"#;
const CALL: &str = r#"{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"b\": 1}",
  "status":"completed"}"#;
const CUSTOM: &str =
    r#"{"type":"custom_tool_call","id":"ct_1","call_id":"call_2","name":"g","input":"raw text"}"#;
const SEARCH: &str =
    r#"{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search"}}"#;

fn response(status: &str, items: &[&str]) -> String {
    let output = items.join(",");
    format!(
        r#"{{"id":"resp_1","model":"gpt-x-1","status":"{status}","incomplete_details":null,"output":[{output}],
        "usage":{{"input_tokens":3,"output_tokens":4}}}}"#
    )
}

#[test]
fn an_answer_is_read() {
    let image = r#"{"type":"image_generation_call","result":"aGk="}"#;
    let body = response("completed", &[REASONING, SEARCH, MESSAGE, CALL, CUSTOM]);
    let answer = reply(Dialect::Responses, &body);
    assert_eq!((answer.model.as_str(), answer.text.as_str()), ("gpt-x-1", "Grüße 😀"));
    assert_eq!((answer.reasoning.as_str(), answer.finish.as_deref()), ("hm", Some("completed")));
    assert_eq!((answer.input_tokens, answer.output_tokens, answer.unknown), (Some(3), Some(4), None));
    assert_eq!(answer.hosted, ["web_search_call"]);
    same_calls(&answer.calls, &[call("call_1", "f", r#"{"b":1}"#), call("call_2", "g", "raw text")]);

    let image = reply(Dialect::Responses, &response("completed", &[image]));
    assert_eq!(image.unknown, Some("an image, which cannot be looked into"));
    let new = reply(Dialect::Responses, &response("completed", &[r#"{"type":"new"}"#]));
    assert_eq!(new.unknown, Some("a type of item that is not known"));
    let remote =
        r#"{"type":"shell_call","call_id":"c","action":{},"environment":{"type":"container_reference"}}"#;
    assert_eq!(reply(Dialect::Responses, &response("completed", &[remote])).hosted, ["shell_call"]);
    for (says, arguments) in [
        (r#""action":{"type":"click","x":1}"#, r#"{"type":"click","x":1}"#),
        (r#""actions":[{"type":"wait"}],"action":null"#, r#"[{"type":"wait"}]"#),
    ] {
        let item = format!(r#"{{"type":"computer_call","id":"cu_1","call_id":"call_3",{says}}}"#);
        let answer = reply(Dialect::Responses, &response("completed", &[&item]));
        assert!(answer.hosted.is_empty(), "the client does it");
        same_calls(&answer.calls, &[call("call_3", "computer", arguments)]);
    }
    let twice = r#"{"type":"computer_call","call_id":"c","action":{},"actions":[]}"#;
    assert!(answer_of(&response("completed", &[twice])).is_err());
    let cut = r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}"#;
    assert_eq!(reply(Dialect::Responses, cut).finish.as_deref(), Some("max_output_tokens"));
    assert!(answer_of(r#"{"status":"completed"}"#).is_err());
}

fn answer_of(body: &str) -> Result<Answer, Unreadable> {
    answer(Dialect::Responses, body.as_bytes())
}

fn end(kind: &str, items: &[&str]) -> String {
    format!(r#"{{"type":"response.{kind}","response":{}}}"#, response(kind, items))
}

fn done(index: usize, item: &str) -> String {
    format!(r#"{{"type":"response.output_item.done","output_index":{index},"item":{item}}}"#)
}

fn stream(data: &[&str]) -> String {
    events(Dialect::Responses, data)
}

const CREATED: &str =
    r#"{"type":"response.created","sequence_number":0,"response":{"model":"gpt-x-1","output":[]}}"#;
const ADDED: &str = r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call",
  "id":"fc_1","call_id":"call_1","name":"f","arguments":""}}"#;
const DELTA: &str =
    r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{\"b\": "}"#;
const DELTA_2: &str = r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"1}"}"#;

#[test]
fn a_streamed_answer_is_put_together() {
    let text = stream(&[
        CREATED,
        r#"{"type":"response.in_progress","response":{"model":"gpt-x-1"}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","summary":[]}}"#,
        r#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0,"part":{}}"#,
        r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"hm"}"#,
        r#"{"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"text":"hm"}"#,
        &done(0, REASONING),
        r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"web_search_call"}}"#,
        r#"{"type":"response.web_search_call.searching","output_index":1}"#,
        &done(1, SEARCH),
        r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"message","content":[]}}"#,
        r#"{"type":"response.content_part.added","output_index":2,"content_index":0,"part":{"type":"output_text",
          "text":""}}"#,
        r#"{"type":"response.output_text.delta","output_index":2,"content_index":0,"delta":"Grüße "}"#,
        r#"{"type":"response.output_text.delta","output_index":2,"content_index":0,"delta":"😀"}"#,
        r#"{"type":"response.output_text.done","output_index":2,"content_index":0,"text":"Grüße 😀"}"#,
        r#"{"type":"response.content_part.done","output_index":2,"content_index":0,"part":{"type":"output_text",
          "text":"Grüße 😀"}}"#,
        &done(2, MESSAGE),
        &ADDED.replace(":0", ":3"),
        r#"{"type":"response.output_item.added","output_index":4,"item":{"type":"custom_tool_call",
          "call_id":"call_2","name":"g","input":""}}"#,
        &DELTA.replace(":0", ":3"),
        r#"{"type":"response.custom_tool_call_input.delta","output_index":4,"delta":"raw "}"#,
        &DELTA_2.replace(":0", ":3"),
        r#"{"type":"response.custom_tool_call_input.delta","output_index":4,"delta":"text"}"#,
        r#"{"type":"response.function_call_arguments.done","output_index":3,"arguments":"{\"b\": 1}"}"#,
        r#"{"type":"response.custom_tool_call_input.done","output_index":4,"input":"raw text"}"#,
        &done(3, CALL),
        &done(4, CUSTOM),
        &end("completed", &[REASONING, SEARCH, MESSAGE, CALL, CUSTOM]),
    ]);
    let answer = whole(Dialect::Responses, &text);
    let unstreamed =
        reply(Dialect::Responses, &response("completed", &[REASONING, SEARCH, MESSAGE, CALL, CUSTOM]));
    assert!(answer == unstreamed, "{answer:?} {unstreamed:?}");
    same_calls(&answer.calls, &[call("call_1", "f", r#"{"b":1}"#), call("call_2", "g", "raw text")]);
}

#[test]
fn a_call_is_whole_at_the_end_of_its_item() {
    let mut parts = Stream::new(Dialect::Responses);
    parts.push(stream(&[CREATED, ADDED, DELTA, DELTA_2]).as_bytes()).unwrap();
    assert!(parts.take_calls().is_empty());
    parts.push(stream(&[&done(0, CALL)]).as_bytes()).unwrap();
    same_calls(&parts.take_calls(), &[call("call_1", "f", r#"{"b":1}"#)]);
    parts.push(stream(&[&end("completed", &[CALL])]).as_bytes()).unwrap();
    assert!(parts.take_calls().is_empty(), "once");
}

#[test]
fn the_three_tellings_of_an_answer_must_agree() {
    let item = "an item is not what its pieces said";
    let whole = "the response at the end is not what the stream said";
    let text = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"x"}"#;
    let text_done = r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"y"}"#;
    let part = r#"{"type":"response.content_part.done","output_index":0,"content_index":0,
      "part":{"type":"output_text","text":"y"}}"#;
    let arguments = r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{}"}"#;
    let (call_done, message_done) = (done(0, CALL), done(0, MESSAGE));
    let other = CALL.replace("\"f\"", "\"g\"");
    let other_done = done(0, &other);
    let completed = end("completed", &[CALL]);
    let cases: &[(&[&str], &str)] = &[
        (&[ADDED, DELTA, arguments], item),
        (&[ADDED, DELTA, &call_done], item),
        (&[ADDED, arguments, &call_done], item),
        (&[ADDED, &other_done], item),
        (&[text, text_done], item),
        (&[text, part], item),
        (&[text, &message_done], item),
        (&[text_done, &message_done], item),
        (&[text, &call_done], item),
        (&[&call_done, &end("completed", &[&other])], whole),
        (&[&call_done, &end("completed", &[])], whole),
        (&[&call_done, &end("incomplete", &[])], whole),
        (&[&call_done, &end("failed", &[&other])], whole),
        (&[&completed], whole),
        (&[ADDED, &end("completed", &[])], whole),
        (&[text, &end("completed", &[])], whole),
        (&[&message_done, &end("completed", &[MESSAGE, CALL])], whole),
        (&[&call_done, &end("completed", &[CALL, SEARCH])], whole),
        (&[ADDED, ADDED], "an item begins twice"),
        (&[&call_done, DELTA], "an item goes on after its end"),
        (&[&call_done, &call_done], "an item goes on after its end"),
        (&[CREATED, &call_done], "the stream ended before the answer did"),
        (&[&call_done, &completed, CREATED], "the stream goes on after its end"),
        (&[r#"{"type":"response.created"}"#], "an event has no response"),
        (&[r#"{"type":"response.output_item.done","output_index":0}"#], "an event has no item"),
        (&[r#"{"type":"response.output_text.delta","delta":"x"}"#], "an event does not say of which item"),
    ];
    for (data, why) in cases {
        assert_eq!(unreadable(Dialect::Responses, &stream(data)), *why, "{data:?}");
    }
    let named = format!("event: response.created\ndata: {DELTA}\n\n");
    let why = "the name of an event is not the type that its data say";
    assert_eq!(unreadable(Dialect::Responses, &named), why);
}

#[test]
fn what_a_client_may_take_from_an_item_that_is_not_whole_is_what_is_recorded_of_it() {
    let added =
        |item: &str| format!(r#"{{"type":"response.output_item.added","output_index":0,"item":{item}}}"#);
    let told = |kind: &str, rest: &str| format!(r#"{{"type":"response.{kind}","output_index":0,{rest}}}"#);
    let shell = |kind: &str, command: &str| {
        format!(r#"{{"type":"{kind}","id":"s_1","call_id":"call_1","action":{{"commands":[{command}]}}}}"#)
    };
    let patch = |diff: &str| {
        format!(
            r#"{{"type":"apply_patch_call","call_id":"call_1","operation":{{"type":"update_file","path":"a","diff":"{diff}"}}}}"#
        )
    };
    let local = |command: &str| {
        format!(
            r#"{{"type":"local_shell_call","id":"s_1","call_id":"call_1","action":{{"type":"exec","command":["{command}"]}}}}"#
        )
    };
    let arguments = |text: &str| CALL.replace(r#"{\"b\": 1}"#, text).replace("completed", "in_progress");
    let command_done =
        |text: &str| told("shell_call_command.done", &format!(r#""command_index":0,"command":"{text}""#));
    let item = "an item is not what its pieces said";
    let whole = "the response at the end is not what the stream said";
    let (call, id) = (done(0, CALL), r#""item_id":"fc_2","#);
    let name = told("function_call_arguments.done", r#""name":"g","arguments":"{\"b\": 1}""#);
    let other = told("function_call_arguments.done", &format!(r#"{id}"arguments":"{{\"b\": 1}}""#));
    let second = ADDED.replace("_index\":0", "_index\":1").replace("_1\"", "_2\"");
    let named = CALL.replace("\"name\"", "\"namespace\":\"n\",\"name\"");
    let with_id = CALL.replace("fc_1", "fc_9");
    let text = |text: &str| MESSAGE.replace("Grüße 😀", text);
    let says = told("output_text.delta", r#""content_index":0,"delta":"Grüße 😀""#);
    let refused: &[(&[String], &str)] = &[
        (&[added(&arguments("DROP")), call.clone()], item),
        (&[added(&arguments("DROP")), DELTA.to_owned()], item),
        (&[added(CALL), DELTA.to_owned()], item),
        (&[ADDED.to_owned(), name.clone(), call.clone()], item),
        (&[name, call.clone()], item),
        (&[ADDED.to_owned(), second, other], item),
        (&[added(&with_id), call.clone()], item),
        (&[added(&named), call.clone()], item),
        (&[call.clone(), end("completed", &[&named])], whole),
        (&[call.clone(), end("completed", &[&with_id])], whole),
        (&[added(&local("rm")), done(0, &local("ls"))], item),
        (&[added(&shell("shell_call", r#""rm""#)), done(0, &shell("shell_call", r#""ls""#))], item),
        (&[command_done("rm"), done(0, &shell("shell_call", r#""ls""#))], item),
        (&[command_done("ls"), end("completed", &[])], whole),
        (&[told("apply_patch_call_operation_diff.delta", r#""delta":"-x""#), done(0, &patch("+x"))], item),
        (&[added(&patch("-x")), done(0, &patch("+x"))], item),
        (&[added(&text("other")), done(0, MESSAGE)], item),
        (&[added(MESSAGE), says.clone()], item),
        (
            &[
                told("content_part.added", r#""content_index":0,"part":{"type":"output_text","text":"x"}"#),
                says.clone(),
                done(0, MESSAGE),
            ],
            item,
        ),
    ];
    for (data, why) in refused {
        let data: Vec<&str> = data.iter().map(String::as_str).collect();
        assert_eq!(unreadable(Dialect::Responses, &stream(&data)), *why, "{data:?}");
    }
    // What servers send: nothing of it at first, no name behind it, ids of their own, or all of it at once.
    let bare = CALL.replace(r#""arguments":"{\"b\": 1}","#, "");
    let by_delta = told("function_call_arguments.delta", r#""item_id":"x","delta":"{\"b\": 1}""#);
    let by_done =
        told("function_call_arguments.done", r#""item_id":"fc_1","name":"f","arguments":"{\"b\": 1}""#);
    let empty_part = MESSAGE.replace("Grüße 😀", "").replace("msg_1", "msg_2");
    let shell_end = shell("shell_call", r#""ls -l""#);
    let command = told("shell_call_command.added", r#""command_index":0,"command":"""#);
    let deltas = told("shell_call_command.delta", r#""command_index":0,"delta":"ls -l""#);
    let passes: &[(&[String], &str)] = &[
        (&[added(&bare), by_delta.clone(), by_done.clone()], CALL),
        (&[added(CALL), by_done.clone()], CALL),
        (&[added(&bare.replace("\"id\":\"fc_1\",", "")), by_delta], CALL),
        (&[added(&empty_part), says], MESSAGE),
        (&[added(MESSAGE)], MESSAGE),
        (&[added(&shell("shell_call", "")), command, deltas, command_done("ls -l")], &shell_end),
        (&[added(&patch("")), told("apply_patch_call_operation_diff.done", r#""diff":"+x""#)], &patch("+x")),
        (&[added(&local("ls"))], &local("ls")),
    ];
    for (data, item) in passes {
        let (done, end) = (done(0, item), end("completed", &[item]));
        let data: Vec<&str> = data.iter().chain([&done, &end]).map(String::as_str).collect();
        assert_eq!(self::whole(Dialect::Responses, &stream(&data)).unknown, None, "{data:?}");
    }
}

#[test]
fn failures_and_unknown_events_of_a_stream_are_said() {
    let call_done = done(0, CALL);
    let failed = whole(Dialect::Responses, &stream(&[CREATED, &call_done, &end("failed", &[])]));
    assert_eq!((failed.calls.len(), failed.finish.as_deref()), (1, Some("failed")));
    let error = r#"{"type":"error","code":"x","message":"y"}"#;
    let error = whole(Dialect::Responses, &stream(&[CREATED, &call_done, error]));
    assert_eq!(
        (error.calls.len(), error.finish.as_deref(), error.model.as_str()),
        (1, Some("error"), "gpt-x-1")
    );
    let cut = whole(Dialect::Responses, &stream(&[&call_done, &end("incomplete", &[CALL])]));
    assert_eq!(cut.finish.as_deref(), Some("incomplete"));

    let found = r#"{"type":"tool_search_call","arguments":{"query":"q"},"execution":"server"}"#;
    let found = whole(Dialect::Responses, &stream(&[&done(0, found), &end("completed", &[found])]));
    assert_eq!((found.hosted, found.unknown), (vec!["tool_search_call".to_owned()], None));

    let completed = end("completed", &[]);
    let unknown = |data: &str| whole(Dialect::Responses, &stream(&[data, &completed])).unknown;
    assert_eq!(unknown(r#"{"type":"response.new"}"#), Some("a type of event that is not known"));
    assert_eq!(unknown(r#"{"type":"response.audio.delta"}"#), Some("audio, which cannot be looked into"));
    assert_eq!(unknown(r#"{"type":"keepalive"}"#), None);
    assert_eq!(unknown(r#"{"type":"response.mcp_call.in_progress","output_index":0}"#), None);
    let behind = format!("{}data: [DONE]\n\n", stream(&[&completed]));
    assert_eq!(whole(Dialect::Responses, &behind).unknown, None);
}
