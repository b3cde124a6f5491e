//! Streams of MCP that a client lost, and goes on with where it was (`Last-Event-ID`; 2025-03-26 to 2025-11-25).

use crate::world::{POLICY, behind, client, drivers, eventually, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::place::{free_port, is_open};
use interop::process::Daemon;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

const RULES: &str = r#"
@id("kept")
permit (principal, action in [Action::"connect", Action::"read"], resource in Resource::"kept");
@id("kept-call")
permit (principal, action == Action::"call", resource in Resource::"kept/tools/parted");
"#;

struct Scene {
    gateway: Gateway,
    port: u16,
    _service: Daemon,
}

impl Scene {
    fn start() -> Scene {
        let (behind_it, port) = (free_port().unwrap(), free_port().unwrap());
        let dir = drivers().dir();
        let mut command = behind("mcp_service.py");
        command.arg("kept").arg(behind_it.to_string()).arg(dir.join("kept-seen"));
        let mut service = Daemon::start(&mut command, &dir.join("kept.log"), "TERM").unwrap();
        service.wait_ready(Duration::from_secs(90), || is_open(behind_it)).unwrap();
        let tables = format!(
            "\n[[resource]]\nname = \"kept\"\nkind = \"mcp\"\nlisten = \"127.0.0.1:{port}\"\n\
             upstream = \"http://localhost:{behind_it}/mcp\"\n\
             [[resource.mask]]\npath = \"$..ssn\"\nclass = \"pii.ssn\"\nas = \"partial:4\"\n"
        );
        let plan = Plan { policy: format!("{POLICY}{RULES}"), tables, durability: "os".to_owned(), ..plan() };
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, port, _service: service }
    }
}

fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(Scene::start)
}

/// Sends a request of `key`'s run, and reads its answer until it holds `until`, or to its end.
fn ask(key: &str, method: &str, headers: &str, body: &str, until: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", scene().port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "{method} / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAccept: application/json, text/event-stream\r\n\
         Content-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\n{headers}"
    );
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    stream.write_all(format!("{head}{length}\r\n{body}").as_bytes()).unwrap();
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&said).contains(until) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => said.extend_from_slice(&piece[..n]),
            Err(why) => panic!("{why} behind {}", String::from_utf8_lossy(&said)),
        }
    }
    String::from_utf8(said).unwrap()
}

/// The last id of an event in an answer.
fn last_id(said: &str) -> String {
    let mut ids = said.lines().filter_map(|line| line.trim_end().strip_prefix("id: "));
    ids.next_back().unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// Begins a session; the field that names it. The server keeps what it says by the ids of requests alone, whoever asked: the SDK's
/// client counts from 0.
fn begin(key: &str) -> String {
    let body = r#"{"jsonrpc":"2.0","id":70,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
    let said = ask(key, "POST", "Connection: close\r\n", body, "serverInfo");
    let session = said
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("mcp-session-id: ").map(str::to_owned));
    let session = format!("Mcp-Session-Id: {}\r\n", session.unwrap_or_else(|| panic!("{said}")).trim());
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert!(ask(key, "POST", &session, ready, "\r\n\r\n").contains(" 202 "));
    session
}

/// Calls the tool that ends its stream, as request `n`; what came of it before that.
fn call(key: &str, session: &str, n: u32) -> String {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{n},"method":"tools/call","params":{{"name":"parted","arguments":{{}},"_meta":{{"progressToken":{n}}}}}}}"#
    );
    ask(key, "POST", &format!("{session}Connection: close\r\n"), &body, "\"progress\":1")
}

/// Goes on behind `event`.
fn go_on(key: &str, session: &str, event: &str) -> String {
    let headers = format!("{session}Connection: close\r\nLast-Event-ID: {event}\r\n");
    ask(key, "GET", &headers, "", "Ada Osei")
}

/// How many values of a class were masked for a run.
fn masked(run: &str, class: &str) -> u64 {
    let exposed = json(scene().gateway.site(), &["exposed", run, "--json"]);
    let exposures = exposed["exposures"].as_array().unwrap().iter();
    exposures.filter(|e| e["class"] == class).map(|e| e["cells"].as_u64().unwrap()).sum()
}

#[test]
fn the_sdks_client_goes_on_where_its_stream_ended() {
    let (python, program) = (drivers().python(), client("mcp_client.py"));
    let script = format!("{} {} old kept 'call parted {{}}'", python.display(), program.display());
    let words = [Path::new("/bin/sh"), Path::new("-c"), Path::new(&script)];
    let done = scene().gateway.run_to_end("patient", &words, "").unwrap();
    let said: Option<Value> = done.out().lines().find_map(|line| serde_json::from_str(line).ok());
    let said = said.unwrap_or_else(|| panic!("{}", scene().gateway.explain(&done)));
    assert_eq!(said["progress"], serde_json::json!([1.0, 2.0]), "{said}");
    let found: Value = serde_json::from_str(said["content"][0].as_str().unwrap()).unwrap();
    assert_eq!((&found["ssn"], &found["email"]), (&"*******8391".into(), &"[pii.email]".into()), "{said}");
    let run = run_of(scene().gateway.site(), "patient");
    assert_eq!((masked(&run, "pii.ssn"), masked(&run, "pii.email")), (1, 1), "once each");
    let verified = scene().gateway.site().ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}

#[test]
fn what_a_client_missed_comes_masked_and_another_runs_event_is_refused() {
    let (mine, others) =
        (scene().gateway.lease("resumer").unwrap(), scene().gateway.lease("other-resumer").unwrap());
    let (own, other) = (mine.variable("KEPT_API_KEY"), others.variable("KEPT_API_KEY"));
    let (session, second, foreign) = (begin(own), begin(own), begin(other));
    let begun = call(own, &session, 71);
    assert!(!begun.contains("ssn"), "{begun}");
    let event = last_id(&begun);
    // The server would tell it all.
    for (key, session, event) in [
        (other, &foreign, &*event),
        (other, &session, &*event),
        (own, &second, &*event),
        (own, &session, "event-1000000"),
        (own, &session, ""),
    ] {
        let said = go_on(key, session, event);
        assert!(said.contains(" 400 ") || said.contains(" 404 "), "{event}: {said}");
        assert!(!said.contains("jsonrpc\":\"2.0\",\"method") && !said.contains("8391"), "{event}: {said}");
    }
    for disguised in ["Last_Event_ID", "last-event_id"] {
        let headers = format!("{foreign}Connection: close\r\n{disguised}: {event}\r\n");
        let said = ask(other, "GET", &headers, "", "Ada Osei");
        assert!(said.contains(" 400 ") && !said.contains("8391"), "{disguised}: {said}");
    }
    let said = go_on(own, &session, &event);
    assert!(said.contains("*******8391") && said.contains("[pii.email]"), "{said}");
    assert!(said.contains("\"progress\":2"), "{said}");
    // The server may have ended the stream before it said anything.
    let first = |said: &str| said.contains("\"progress\":1");
    assert!(first(&begun) != first(&said), "what it missed, once: {begun} and {said}");
    assert!(!said.contains("536-22-8391") && !said.contains("ada.osei"), "{said}");
    let run = run_of(scene().gateway.site(), "resumer");
    eventually("the record of the stream", || (masked(&run, "pii.ssn") == 1).then_some(()));
    // It is read again by who asks again, and that is in the record, too.
    assert!(go_on(own, &session, &event).contains("*******8391"));
    eventually("the record of the second", || (masked(&run, "pii.ssn") == 2).then_some(()));
    let shown = scene().gateway.site().ask(&["show", &run], "").unwrap().out()
        + &scene().gateway.site().ask(&["replay", &run], "").unwrap().out();
    assert!(shown.contains("no server gave this run such an event"), "{shown}");
    assert!(!shown.contains("536-22-8391") && !shown.contains(&session[16..32]), "{shown}");
}
