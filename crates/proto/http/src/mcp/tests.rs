use super::*;
use vocab::Verb;

fn ask(body: &str) -> Asked {
    ask_with(body, &[])
}

fn ask_with(body: &str, routes: &[&str]) -> Asked {
    let routes: Vec<ToolRoute> = routes.iter().map(|route| ToolRoute::parse(route).unwrap()).collect();
    asked(body.as_bytes(), &routes, &["mode".to_owned()]).unwrap_or_else(|why| panic!("{why:?}: {body}"))
}

/// What is touched, on one line.
fn touched(asked: &Asked) -> String {
    let one = |(verb, path): &(Verb, Vec<String>)| format!("{} {}", verb.as_str(), path.join("/"));
    asked.touches.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn say(body: &str) -> Said {
    said(body.as_bytes()).unwrap_or_else(|why| panic!("{why:?}: {body}"))
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}"#)
}

#[test]
fn a_message_says_what_it_touches() {
    let cases = [
        ("tools/call", r#"{"name":"find","arguments":{"id":3}}"#, "call tools/find", None),
        ("tools/list", "{}", "read tools", None),
        ("prompts/get", r#"{"name":"greet"}"#, "read prompts/greet", None),
        ("resources/read", r#"{"uri":"file:///srv/a.txt"}"#, "read resources/file:/srv/a.txt", None),
        ("resources/read", r#"{"uri":"file:///srv/../a"}"#, "read resources/file:/srv/../a", Some(())),
        ("resources/read", r#"{"uri":"file:///srv/%2e"}"#, "read resources/file:/srv/%2e", Some(())),
        ("resources/read", r#"{"uri":"file://srv/etc/a"}"#, "read resources/file:/srv/etc/a", Some(())),
        ("resources/read", r#"{"uri":"memo://notes/a"}"#, "read resources/memo:/notes/a", None),
        ("resources/read", r#"{"uri":"memo://notes//a"}"#, "read resources/memo:/notes/a", Some(())),
        (
            "subscriptions/listen",
            r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///srv/a"]}}"#,
            "connect ; read resources/file:/srv/a",
            None,
        ),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#, "read prompts/p", None),
        ("initialize", r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#, "connect ", None),
        ("tasks/cancel", r#"{"taskId":"t1"}"#, "write tasks/t1", None),
        ("tools/burn", "{}", "", Some(())),
    ];
    for (method, params, touches, unknown) in cases {
        let asked = ask(&request(method, params));
        assert_eq!(touched(&asked), touches, "{method} {params}");
        assert_eq!(asked.unknown.map(|_| ()), unknown, "{method} {params}");
        assert_eq!(asked.id.as_deref(), Some("7"));
    }
    let answer = ask(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!((touched(&answer).as_str(), answer.kind, answer.id), ("connect ", "response", None));
}

#[test]
fn what_is_no_single_message_is_refused() {
    for body in [
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":[1]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
    ] {
        assert!(asked(body.as_bytes(), &[], &[]).is_err(), "{body}");
    }
}

#[test]
fn arguments_are_a_part_of_the_resource_where_a_route_says_so() {
    let routes = ["write_file/{path...}", "move/{from...}", "move/{to...}", "query/{db}/{table}"];
    let call = |tool: &str, arguments: &str| {
        let asked = ask_with(
            &request("tools/call", &format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#)),
            &routes,
        );
        (touched(&asked), asked.unknown.is_some())
    };
    assert_eq!(
        call("write_file", r#"{"path":"/srv/a/b.txt"}"#),
        ("call tools/write_file/srv/a/b.txt".into(), false)
    );
    for odd in ["/srv/../etc", "/srv//a", "./a", "~/x", "a\\\\b"] {
        let (touches, opaque) = call("write_file", &format!(r#"{{"path":"{odd}"}}"#));
        assert_eq!((touches.as_str(), opaque), ("call tools/write_file", true), "{odd}");
    }
    assert!(call("write_file", "{}").1 && call("write_file", r#"{"path":["/srv"]}"#).1);
    assert_eq!(
        call("move", r#"{"from":"/a","to":"/b"}"#),
        ("call tools/move/a; call tools/move/b".into(), false)
    );
    assert_eq!(call("query", r#"{"db":"crm","table":7}"#), ("call tools/query/crm/7".into(), false));
    assert_eq!(call("other", "{}"), ("call tools/other".into(), false));
    for bad in ["find", "/{a}", "find/{a...}/{b}", "find/{}", "find/x{a}"] {
        assert!(ToolRoute::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_readers_take_differently_is_refused() {
    let routes = [ToolRoute::parse("write_file/{path...}").unwrap()];
    let call = |arguments: &str| {
        let body = request("tools/call", &format!(r#"{{"name":"write_file","arguments":{arguments}}}"#));
        asked(body.as_bytes(), &routes, &["mode".to_owned()])
    };
    assert!(call(r#"{"path":"/srv/a","mode":"new"}"#).is_ok());
    for odd in [
        r#"{"path":"/srv/a","Path":"/etc"}"#,
        r#"{"path":"/srv/a","Mode":"x"}"#,
        r#"{"a":1,"A":2}"#,
        r#"{"path":"/srv/a","mode":"old","mode=new":1}"#,
    ] {
        assert!(call(odd).is_err(), "{odd}");
    }
    let deep = format!(r#"{{"path":"/srv{}"}}"#, "/a".repeat(12_000));
    assert_eq!(touched(&call(&deep).unwrap()), "call tools/write_file");
    let uri = format!(r#"{{"uri":"a{}"}}"#, "/a".repeat(100));
    assert!(asked(request("resources/read", &uri).as_bytes(), &[], &[]).is_err());
    let tasks = request("tasks/get", r#"{"taskId":"mine","TASKID":"other"}"#);
    assert!(asked(tasks.as_bytes(), &[], &[]).is_err());
}

#[test]
fn a_call_is_spelled_alike_however_it_was_written() {
    let one = ask(&request("tools/call", r#"{"name":"f","arguments":{"b": 1, "a":"\u0041"}}"#));
    let two = ask(&request("tools/call", r#"{"arguments":{"a":"A","b":1},"name":"f"}"#));
    assert_eq!(one.call.as_deref(), Some(r#"f {"a":"A","b":1}"#));
    assert_eq!(one.call, two.call);
    assert_eq!(one.arguments(&["a".into()]), ["b", "a", "a=A"]);
    assert!(one.says("A") && one.says("1") && !one.says("B"));
}

#[test]
fn offers_are_taken_out_and_nothing_else_changes() {
    let body = " {\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-18\",\
                \"capabilities\":{\"sampling\":{}, \"roots\":{\"listChanged\":true}},\"clientInfo\":{\"name\":\"é\"}}}";
    let asked = ask(body);
    assert_eq!(asked.offers().collect::<Vec<_>>(), ["sampling", "roots"]);
    assert_eq!(asked.version.as_deref(), Some("2025-06-18"));
    let less = asked.without_offers(body.as_bytes(), |offer| offer == "sampling").unwrap();
    let want = body
        .replace("{\"sampling\":{}, \"roots\":{\"listChanged\":true}}", "{\"roots\":{\"listChanged\":true}}");
    assert_eq!(String::from_utf8(less).unwrap(), want);
    assert_eq!(asked.without_offers(body.as_bytes(), |_| false), None);
    let meta = request(
        "tools/list",
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}}}}"#,
    );
    let asked = ask(&meta);
    assert_eq!((asked.offers().count(), asked.version.as_deref()), (1, Some("2026-07-28")));
    let none = asked.without_offers(meta.as_bytes(), |_| true).unwrap();
    assert!(String::from_utf8(none).unwrap().contains(r#"clientCapabilities":{}"#));
}

#[test]
fn a_server_says_what_it_lists_wants_and_shows() {
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","description":"x"},{"name":"b"} ,{"name":"c"}],"ttlMs":0}}"#;
    let said_list = say(list);
    let names: Vec<&str> = said_list.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let less = said_list.without_tools(list.as_bytes(), &[false, true, false]).unwrap();
    assert_eq!(
        String::from_utf8(less).unwrap(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","description":"x"},{"name":"c"}],"ttlMs":0}}"#
    );
    assert_eq!(said_list.without_tools(list.as_bytes(), &[false; 3]), None);
    let result = |inner: &str| say(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{inner}}}"#));
    assert!(result(r#"{"content":[{"type":"text","text":"in words"}]}"#).prose);
    assert!(
        !result(r#"{"content":[{"type":"text","text":" {\"a\":1}\n"}],"structuredContent":{"a":"words"}}"#)
            .prose
    );
    assert!(result(r#"{"content":[],"isError":true}"#).failed && !result(r#"{"content":[]}"#).failed);
    assert!(say(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#).failed);
    assert!(result(r#"{"content":[{"type":"image","data":"AA=="}]}"#).unknown.is_some());
    assert!(result(r#"{"content":[{"type":"hologram"}]}"#).unknown.is_some());
    assert!(result(r#"{"contents":[{"uri":"x","blob":"AA=="}]}"#).unknown.is_some());
    assert!(result(r#"{"contents":[{"uri":"x","text":"words"}]}"#).prose);
    assert!(result(r#"{"messages":[{"role":"user","content":{"type":"text","text":"words"}}]}"#).prose);
    let wants = r#"{"resultType":"input_required","inputRequests":{"q":{"method":"sampling/createMessage","params":{}}}}"#;
    assert_eq!(result(wants).wants, ["sampling"]);
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042.0,"message":"","data":{}}}"#;
    assert_eq!(say(error).wants, ["elicitation"]);
    assert_eq!(result(r#"{"task":{"taskId":"t1"}}"#).tasks, ["t1"]);
    let asks = r#"{"jsonrpc":"2.0","id":"s1","method":"elicitation/create","params":{"message":"?"}}"#;
    assert_eq!((say(asks).wants, say(asks).what), (vec!["elicitation"], What::Request));
    assert!(say(r#"{"jsonrpc":"2.0","method":"notifications/else"}"#).unknown.is_some());
    for bad in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"a"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{"name":"a"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"Tools":[]}}"#,
    ] {
        assert!(said(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn events_are_cut_alike_however_they_come() {
    let stream = "id: 1\ndata:\n\n: comment\n\nevent: message\r\ndata: {\"a\":\r\ndata: \"\u{2028}\"}\r\n\r\ndata: rest";
    for size in 1..stream.len() {
        let (mut events, mut cut) = (Vec::new(), Events::default());
        for piece in stream.as_bytes().chunks(size) {
            cut.push(piece, &mut events).unwrap();
        }
        events.extend(cut.finish().unwrap());
        let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.clone()).collect();
        assert_eq!(raw, stream.as_bytes(), "{size}");
        let data: Vec<Option<&str>> = events.iter().map(|event| event.data.as_deref()).collect();
        assert_eq!(data, [Some(""), None, Some("{\"a\":\n\"\u{2028}\"}"), Some("rest")], "{size}");
        let ids: Vec<Option<&str>> = events.iter().map(|event| event.id.as_deref()).collect();
        assert_eq!(ids, [Some("1"), None, None, None], "{size}");
        let third = &events[2];
        assert!(third.is_odd() && third.name == "message");
        let with = third.with(third.data.as_deref().unwrap());
        assert_eq!(String::from_utf8(with).unwrap(), "event: message\ndata: {\"a\": \"\\u2028\"}\n\n");
    }
    let bad = |stream: &[u8]| Events::default().push(stream, &mut Vec::new()).is_err();
    assert!(bad("event: a\u{2028}data: b\ndata: {}\n\n".as_bytes()) && bad(b": a\x0bdata: b\n\n"));
    assert!(bad(b"data: a\rdata: b\n\n") && bad(b"data: \xff\n\n") && bad("\u{feff}data: a\n\n".as_bytes()));
}

#[test]
fn what_a_client_brings_back_is_cut_out_and_a_message_without_numbers_is_the_same_each_time() {
    let call = |id: u32, more: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"a",{more}"_meta":{{"progressToken":{id}}},"arguments":{{"x": [1]}}}}}}"#
        )
    };
    let bring = |action: &str, state: &str| {
        let more =
            format!(r#""inputResponses":{{"approval":{{"action":"{action}"}}}},"requestState":"{state}","#);
        call(2, &more)
    };
    let (rest, brought) = back(bring("accept", "tacho:0a").as_bytes()).unwrap().unwrap();
    assert_eq!(brought, Back { state: "0a".into(), goes_on: true });
    assert_eq!(std::str::from_utf8(&rest).unwrap(), call(2, ""));
    assert_eq!(unnumbered(&rest).unwrap(), unnumbered(call(77, "").as_bytes()).unwrap());
    assert_ne!(unnumbered(&rest).unwrap(), unnumbered(call(2, "\"b\":1,").as_bytes()).unwrap());
    for no in ["decline", "cancel", "Accept", ""] {
        assert!(!back(bring(no, "tacho:0a").as_bytes()).unwrap().unwrap().1.goes_on, "{no}");
    }
    let only = call(2, r#""requestState":"tacho:0a","#);
    assert!(back(only.as_bytes()).unwrap().unwrap().1.goes_on, "nobody has answered yet");
    for odd in [r#"[]"#, r#""x""#, r#"{"approval":1}"#, r#"{"Approval":{}}"#, r#"{"approval":{"action":1}}"#]
    {
        let more = format!(r#""inputResponses":{odd},"requestState":"tacho:0a","#);
        let (rest, brought) = back(call(2, &more).as_bytes()).unwrap().unwrap();
        assert!(!brought.goes_on, "{odd}");
        assert_eq!(std::str::from_utf8(&rest).unwrap(), call(2, ""), "{odd}");
    }
    let escaped = call(2, r#""requestState":"\u0074acho:0a","#);
    assert_eq!(back(escaped.as_bytes()).unwrap(), None);
    assert!(asked(escaped.as_bytes(), &[], &[]).is_err(), "it goes to nobody");
    let server =
        br#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"tacho:0a"}}"#;
    assert!(said(server).is_err());
    // What numbers a message is a number.
    for says in [r#"{"a":"b"}"#, r#"[1]"#, &format!("\"{}\"", "x".repeat(63))] {
        let with =
            |token: &str| call(2, "").replace("\"progressToken\":2", &format!("\"progressToken\":{token}"));
        assert_ne!(
            unnumbered(with(says).as_bytes()).unwrap(),
            unnumbered(with("7").as_bytes()).unwrap(),
            "{says}"
        );
    }
    // To a server, and to nobody.
    for other in [bring("accept", "server"), call(2, ""), call(2, r#""z":"tacho:","#)] {
        assert_eq!(back(other.as_bytes()).unwrap(), None, "{other}");
    }
    assert!(
        back(br#"{"jsonrpc":"2.0","id":1,"params":{"requestState":"tacho:1","requeststate":"b"}}"#).is_err()
    );
}

#[test]
fn who_can_be_asked_says_so_in_a_revision_where_calls_come_again() {
    let can = |method: &str, version: &str, elicitation: &str, more: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"a","uri":"a:b"{more},"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{{elicitation}}}}}}}}}"#
        );
        asked(body.as_bytes(), &[], &[]).unwrap().can_be_asked()
    };
    for (offer, expect) in [
        ("\"elicitation\":{}", true),
        ("\"elicitation\":{\"form\":{}}", true),
        ("\"elicitation\":{\"url\":{}}", false),
        ("\"elicitation\":true", false),
        ("\"sampling\":{}", false),
    ] {
        assert_eq!(can("tools/call", "2026-07-28", offer, ""), expect, "{offer}");
    }
    for old in ["2025-11-25", "draft", "DRAFT-2026-", "9", "20260728aa"] {
        assert!(!can("tools/call", old, "\"elicitation\":{}", ""), "{old}");
    }
    assert!(can("tools/call", "2027-01-01", "\"elicitation\":{}", ""));
    assert!(!can("tools/list", "2026-07-28", "\"elicitation\":{}", ""));
    assert!(!can("tools/call", "2026-07-28", "\"elicitation\":{}", ",\"requestState\":\"server\""));
    let said = input_required("7", "wait \"here\"", "0a");
    let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["result"]["requestState"], "tacho:0a");
    assert_eq!(said["result"]["inputRequests"]["approval"]["params"]["message"], "wait \"here\"");
}
