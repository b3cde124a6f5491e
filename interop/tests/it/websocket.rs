//! WebSocket through the gateway: each message of either side is decided, masked and recorded by itself, and what is no
//! WebSocket reaches nobody.

use crate::world::{POLICY, client, drivers, eventually, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::place::{Scratch, free_port, is_open};
use interop::process::{Daemon, Finished, finish};
use interop::tls::Authority;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

const KEY: &str = "upstream-key-91c4be";
const SECRETS: &[&str] = &["536-22-8391", "ada.osei@example.com", KEY];

/// Agents: `talker` and `recorder` speak on every socket, and `shy` only opens one; `reader` reads paths; `texter` and `hider` may do what
/// cannot be known; messages of `asker` wait for a person; answers to `narrow` are decided by size.
const RULES: &str = r#"
@id("sockets-connect")
permit (principal, action == Action::"connect", resource);
@id("sockets-read")
permit (principal, action == Action::"read", resource in Resource::"live");
@id("sockets-call")
permit (principal, action == Action::"call", resource) unless { principal in Agent::"reader" };
@id("shy-says-nothing")
forbid (principal in Agent::"shy", action == Action::"call", resource) when { context.kind == "MESSAGE" };
@id("texter-opaque")
permit (principal, action == Action::"opaque", resource)
when { principal in Agent::"texter" || principal in Agent::"hider" };
@id("messages-ask")
@needs("leads")
forbid (principal in Agent::"asker", action == Action::"call", resource) when { context.kind == "MESSAGE" }
unless { context.approvals.contains("leads") };
@id("narrow-socket")
forbid (principal in Agent::"narrow", action == Action::"release", resource) when { context.bytes > 20 };
@id("seer-of-sockets")
permit (principal in Agent::"seer", action == Action::"reveal", resource == Class::"pii.email");
"#;

/// A service, one that says whatever it likes, one behind TLS, and a gateway with a proxy before them.
struct Scene {
    gateway: Gateway,
    port: u16,
    wrong: u16,
    model: u16,
    signed: u16,
    /// Of the services themselves, as the proxy is asked for them.
    plain: u16,
    tls: u16,
    proxy: u16,
    log: PathBuf,
    _services: [Daemon; 2],
    _place: Scratch,
}

impl Scene {
    fn start() -> Scene {
        let place = Scratch::new("websocket").unwrap();
        let authority = Authority::new(place.path()).unwrap();
        let (cert, key) = authority.sign("good", "DNS:localhost,IP:127.0.0.1").unwrap();
        let [service, other, unused, tls, port, wrong, proxy, model, signed] =
            [(); 9].map(|()| free_port().unwrap());
        let dir = drivers().dir();
        let log = dir.join(format!("websocket-seen-{service}"));
        let start = |port: u16, wrong: u16, tls: Option<(&Path, &Path)>| {
            let mut command = Command::new(drivers().python());
            command
                .arg(client("websocket_service.py"))
                .arg(port.to_string())
                .arg(wrong.to_string())
                .arg(&log);
            if let Some((cert, key)) = tls {
                command.arg(cert).arg(key);
            }
            let said = dir.join(format!("websocket-service-{port}.log"));
            let mut service = Daemon::start(&mut command, &said, "TERM").unwrap();
            service.wait_ready(Duration::from_secs(60), || is_open(port) && is_open(wrong)).unwrap();
            service
        };
        let services = [start(service, other, None), start(tls, unused, Some((&cert, &key)))];
        let private = |name: &str, text: &str| {
            let path = dir.join(format!("{name}-{service}"));
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let secret = private("websocket-key", &format!("{KEY}\n"));
        let signing = private("websocket-signing", "AKIDTEST:signing-key-of-the-tests");
        let resource = |name: &str, rest: String| {
            format!(
                "\n[[resource]]\nname = \"{name}\"\nkind = \"http\"\n{rest}\ncredential = {{ file = \"{}\" }}\n\
                 \n[[resource.mask]]\npath = \"$..ssn\"\nclass = \"pii.ssn\"\nas = \"partial:4\"\n\
                 \n[[resource.mask]]\npath = \"$..email\"\nclass = \"pii.email\"\n",
                secret.display()
            )
        };
        let at = |port: u16, to: &str| {
            format!("listen = \"127.0.0.1:{port}\"\nupstream = \"http://localhost:{to}\"")
        };
        let ca = authority.certificate();
        let secure = format!("upstream = \"https://localhost:{tls}\"\nca = \"{}\"", ca.display());
        let tables = [
            resource("live", at(port, &service.to_string())),
            resource("wrong", at(wrong, &other.to_string())),
            resource("secure", secure),
            format!(
                "\n[[resource]]\nname = \"gpt\"\nkind = \"llm\"\n{}\ncredential = {{ file = \"{}\" }}\n",
                at(model, &format!("{service}/model")),
                secret.display()
            ),
            format!(
                "\n[[resource]]\nname = \"signed\"\nkind = \"http\"\n{}\ncredential = {{ file = \"{}\" }}\n\
                 inject = \"sigv4\"\nregion = \"eu-test-1\"\nservice = \"s3\"\n",
                at(signed, &format!("{service}/signed")),
                signing.display()
            ),
        ];
        let base = plan();
        let plan = Plan {
            policy: format!("{POLICY}{RULES}"),
            tables: tables.concat(),
            gateway_lines: format!("{}\nproxy = \"127.0.0.1:{proxy}\"", base.gateway_lines),
            durability: "os".to_owned(),
            ..base
        };
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene {
            gateway,
            port,
            wrong,
            model,
            signed,
            plain: service,
            tls,
            proxy,
            log,
            _services: services,
            _place: place,
        }
    }

    fn sh(&self, agent: &str, script: &str) -> Finished {
        let words = [Path::new("/bin/sh"), Path::new("-c"), Path::new(script)];
        self.gateway.run_to_end(agent, &words, "").unwrap()
    }

    /// Says words on a socket, with what the environment sets before.
    fn say(&self, agent: &str, before: &str, path: &str, words: &str) -> Finished {
        let (python, program) = (drivers().python(), client("websocket_client.py"));
        let script = format!("{before} {} {} $LIVE_URL{path} {words}", python.display(), program.display());
        self.sh(agent, &script)
    }

    fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn saw(&self, word: &str) -> bool {
        self.seen().iter().any(|seen| seen.to_string().contains(word))
    }

    fn ask(&self, words: &[&str], token: Option<&str>) -> Finished {
        let mut command = self.gateway.site().tacho();
        if let Some(token) = token {
            command.env("TACHO_OPERATOR_TOKEN", token);
        }
        finish(command.args(words), b"", Duration::from_secs(30)).unwrap()
    }

    fn run_of(&self, agent: &str) -> String {
        run_of(self.gateway.site(), agent)
    }
}

fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(Scene::start)
}

#[track_caller]
fn is(done: &Finished, expect: &str) {
    assert_eq!(done.out(), expect, "{}", scene().gateway.explain(done));
}

#[test]
fn messages_pass_in_both_directions_and_are_in_the_record() {
    let words = "'{\"n\": 1, \"probe\": \"first\"}' +ping '{\"n\": 2}' ping +bye";
    let done = scene().say("recorder", "COMPRESS=1 PROTOCOL=chat", "/echo?for=record", words);
    is(
        &done,
        "open: chat 0\ntext: {\"n\": 1, \"probe\": \"first\"}\npong\ntext: {\"n\": 2}\ntext: {\"pinged\": true}\ncode: 4321\n",
    );
    let opened = scene().seen().into_iter().find(|seen| seen["path"] == "/echo?for=record").unwrap();
    let headers = opened["headers"].to_string().to_lowercase();
    assert!(
        !headers.contains("extensions") && headers.contains("[\"sec-websocket-protocol\",\"chat\"]"),
        "{headers}"
    );
    assert!(headers.contains(&format!("bearer {KEY}")), "{headers}");
    eventually("the service's end", || {
        scene().seen().iter().any(|seen| seen["closed"] == 4321).then_some(())
    });
    let run = scene().run_of("recorder");
    let shown = scene().ask(&["show", &run], None).out();
    assert!(shown.contains("GET /echo?for=record") && shown.contains("MESSAGE /echo"), "{shown}");
    assert!(shown.contains("{\"n\": 2}"), "{shown}");
    let replay = scene().ask(&["replay", &run, "--json"], None).out();
    assert!(replay.contains("first") && replay.contains("pinged") && replay.contains("101"), "{replay}");
}

#[test]
fn what_comes_back_is_masked_and_the_record_holds_no_secret_and_verifies() {
    let said = "'{\"ssn\": \"536-22-8391\", \"to\": \"ada.osei@example.com\"}'";
    let done =
        scene().say("hider", "", "/echo?for=secrets", &format!("ada key text 'close with a value' {said}"));
    let out = done.out();
    SECRETS.iter().for_each(|secret| assert!(!out.contains(secret), "{secret} in {out}"));
    assert!(
        out.contains("\"ssn\": \"*******8391\", \"email\": \"[pii.email]\""),
        "{}",
        scene().gateway.explain(&done)
    );
    assert!(
        out.contains("write to [pii.email], or call") && out.contains("{\"key\": \"[credential]\"}"),
        "{out}"
    );
    assert!(out.ends_with("closed: 4002\n"), "a reason with a value goes no further: {out}");
    let done = scene().say("hider", "", "/echo?for=echo", said);
    assert!(done.out().contains("*******8391"), "{}", scene().gateway.explain(&done));
    let run = scene().run_of("hider");
    for words in [&["replay", &run, "--json"][..], &["show", &run], &["exposed", &run], &["touched", &run]] {
        let said = scene().ask(words, None).out();
        SECRETS.iter().for_each(|secret| assert!(!said.contains(secret), "{secret} in {said}"));
    }
    assert!(scene().ask(&["touched", &run], None).out().contains("live/echo"));
    for needle in SECRETS {
        let mut grep = Command::new("grep");
        grep.args(["-rFla", needle]).arg(scene().gateway.site().data());
        assert_eq!(finish(&mut grep, b"", Duration::from_secs(60)).unwrap().out(), "", "{needle}");
    }
    let verified = scene().ask(&["verify"], None);
    assert!(verified.status.success(), "{}", verified.all());
    is(
        &scene().say("seer", "", "/echo", "ada"),
        "open: None 0\ntext: {\"id\": 1, \"name\": \"Ada Osei\", \"ssn\": \"*******8391\", \"email\": \"ada.osei@example.com\"}\n",
    );
}

#[test]
fn to_read_a_path_is_no_permission_to_open_a_socket() {
    is(&scene().say("reader", "", "/echo?by=reader", "hello"), "refused: 403\n");
    assert!(!scene().saw("by=reader"));
    let done = scene().say("talker", "", "/no", "hello");
    is(&done, "refused: 403\n");
    let shown = scene().ask(&["show", &scene().run_of("reader")], None).out();
    assert!(shown.contains("GET /echo?by=reader") && shown.contains("403"), "{shown}");
}

#[test]
fn a_message_that_is_refused_ends_the_socket_and_the_service_does_not_see_it() {
    is(
        &scene().say("shy", "", "/echo?by=shy", "'{\"probe\": \"refused\"}'"),
        "open: None 0\nclosed: 1008 shy-says-nothing\n",
    );
    assert!(scene().saw("by=shy") && !scene().saw("refused"));
    let shown = scene().ask(&["show", &scene().run_of("shy")], None).out();
    assert!(shown.contains("shy-says-nothing") && shown.contains("MESSAGE /echo"), "{shown}");
    // What is no text, or looks like JSON and is none, needs its own permission.
    for word in ["0x009f01", "'[unread'"] {
        let done = scene().say("talker", "", "/echo?by=talker", word);
        assert!(done.out().contains("closed: 1008"), "{word}: {}", done.all());
    }
    assert!(!scene().saw("009f01") && !scene().saw("[unread"));
    is(&scene().say("texter", "", "/echo", "0x009f01"), "open: None 0\nbinary: 009f01\n");
    // So does an answer that no rule of the service's speaks of, and one that is too long.
    let done = scene().say("talker", "", "/echo", "binary");
    assert!(done.out().contains("closed: 1008 the answer cannot be looked into"), "{}", done.all());
    let done = scene().say("talker", "", "/echo", "text");
    assert!(done.out().contains("closed: 1008 the answer is not JSON"), "{}", done.all());
    is(
        &scene().say("narrow", "", "/echo", "'{\"n\": 1}' ada"),
        "open: None 0\ntext: {\"n\": 1}\nclosed: 1008 narrow-socket\n",
    );
}

#[test]
fn a_service_closes_and_its_code_and_reason_pass() {
    is(&scene().say("texter", "", "/closed", "close"), "open: None 0\nclosed: 4001 as asked\n");
    // The rules of this service name places in JSON, and a reason has none.
    is(&scene().say("talker", "", "/closed", "close"), "open: None 0\nclosed: 4001\n");
}

#[test]
fn a_message_waits_for_a_person() {
    let added = json(
        scene().gateway.site(),
        &["operator", "add", "lena", "--role", "approver", "--group", "leads", "--json"],
    );
    let token = added["token"].as_str().unwrap().to_owned();
    let waiting = |word: &str| {
        eventually("a message that waits", || {
            let inbox: Value =
                serde_json::from_str(&scene().ask(&["approvals", "--json"], Some(&token)).out()).ok()?;
            inbox["approvals"].as_array()?.iter().find(|asked| asked.to_string().contains(word)).cloned()
        })
    };
    let agent = thread::spawn(|| scene().say("asker", "", "/asked", "'{\"probe\": \"may I\"}'"));
    let asked = waiting("may I");
    assert!(asked["statement"].as_str().unwrap().starts_with("MESSAGE /asked"), "{asked}");
    assert!(!scene().saw("may I"), "it waits");
    assert!(scene().ask(&["approve", asked["ask"].as_str().unwrap()], Some(&token)).status.success());
    is(&agent.join().unwrap(), "open: None 0\ntext: {\"probe\": \"may I\"}\n");
    let agent = thread::spawn(|| scene().say("asker", "", "/asked", "'{\"probe\": \"and this\"}'"));
    let asked = waiting("and this");
    assert!(
        scene()
            .ask(&["deny", asked["ask"].as_str().unwrap(), "--reason", "no"], Some(&token))
            .status
            .success()
    );
    let done = agent.join().unwrap();
    assert!(done.out().contains("closed: 1008") && !scene().saw("and this"), "{}", done.all());
}

#[test]
fn a_socket_goes_through_the_proxy_with_tls_and_without() {
    let (python, program) = (drivers().python(), client("websocket_client.py"));
    let urls = [
        format!("https://localhost:{}/echo?by=tunnel", scene().tls),
        format!("http://localhost:{}/echo?by=plain", scene().plain),
    ];
    for url in urls {
        let script =
            format!("PROXIED=1 {} {} '{url}' '{{\"n\": 7}}' ada", python.display(), program.display());
        let done = scene().sh("talker", &script);
        let out = done.out();
        assert!(
            out.contains("text: {\"n\": 7}") && out.contains("*******8391"),
            "{}",
            scene().gateway.explain(&done)
        );
    }
    assert!(is_open(scene().proxy) && scene().saw("by=tunnel") && scene().saw("by=plain"));
}

const FIELDS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A handshake and what follows it, byte for byte; and all that comes back.
fn raw(lease: &Lease, port: u16, line: &str, fields: &str, behind: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let key = lease.variable("LIVE_API_KEY");
    stream.write_all(format!("{line}\r\nHost: a\r\nX-Api-Key: {key}\r\n{fields}\r\n").as_bytes()).unwrap();
    let mut said = Vec::new();
    let mut some = [0; 4096];
    while !said.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut some) {
            Ok(n) if n > 0 => said.extend_from_slice(&some[..n]),
            _ => return said,
        }
    }
    if said.starts_with(b"HTTP/1.1 101") {
        // A reset may come before all of it is written: it is refused by then.
        let _refused_by_then = stream.write_all(behind);
    } else {
        let _refused = stream.shutdown(std::net::Shutdown::Write);
    }
    let _ended_or_reset = stream.read_to_end(&mut said);
    said
}

fn status(said: &[u8]) -> &str {
    std::str::from_utf8(said.get(9..12).unwrap_or_default()).unwrap_or_default()
}

/// The code of the Close that ends what came.
fn code(said: &[u8]) -> Option<u16> {
    let head = said.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let mut rest = said.get(head..)?;
    while let [first, length, more @ ..] = rest {
        let length = usize::from(*length);
        if *first == 0x88 {
            return Some(u16::from_be_bytes(more.first_chunk::<2>().copied()?));
        }
        rest = more.get(length..)?;
    }
    None
}

#[test]
fn handshakes_that_are_none_are_refused_and_nobody_sees_them() {
    let lease = scene().gateway.lease("texter").unwrap();
    let line = "GET /echo?probe=handshake HTTP/1.1";
    let with = |from: &str, to: &str| FIELDS.replace(from, to);
    for (name, line, fields) in [
        ("another method", "POST /echo?probe=handshake HTTP/1.1", FIELDS.to_owned()),
        ("HTTP/1.0", "GET /echo?probe=handshake HTTP/1.0", FIELDS.to_owned()),
        ("a body", line, format!("{FIELDS}Content-Length: 2\r\n\r\n{{}}")),
        ("no Connection", line, with("Connection: Upgrade\r\n", "")),
        ("two protocols", line, with("websocket", "websocket, h2c")),
        ("another protocol", line, with("websocket", "h2c")),
        ("another version", line, with(": 13", ": 8")),
        ("two versions", line, format!("{FIELDS}Sec-WebSocket-Version: 13\r\n")),
        ("a short key", line, with("dGhl", "")),
        ("two keys", line, format!("{FIELDS}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
        ("no key", line, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "")),
    ] {
        let said = raw(&lease, scene().port, line, &fields, b"");
        assert!(matches!(status(&said), "400" | "501" | "408"), "{name}: {}", String::from_utf8_lossy(&said));
    }
    // Not for models, and not where the gateway signs.
    for port in [scene().model, scene().signed] {
        let said = raw(&lease, port, line, FIELDS, b"");
        assert_eq!(status(&said), "501", "{}", String::from_utf8_lossy(&said));
    }
    assert!(!scene().saw("probe=handshake"), "one of them was sent");
}

/// A client's frame, masked with zeros, so that what it says is read off it; `bits`: its first byte.
fn frame(bits: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[bits, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

#[test]
fn frames_that_are_none_end_the_socket_and_nobody_sees_them() {
    let lease = scene().gateway.lease("texter").unwrap();
    let long = |bits: u8, length: &[u8]| [&[bits], length, &[0, 0, 0, 0], b"{\"a\":1}"].concat();
    for (name, expect, bytes) in [
        ("unmasked", 1002, [&[0x81, 7][..], b"{\"a\":1}"].concat()),
        ("RSV1, as if compressed", 1002, frame(0xc1, b"{\"a\":1}")),
        ("RSV2", 1002, frame(0xa1, b"{\"a\":1}")),
        ("RSV3", 1002, frame(0x91, b"{\"a\":1}")),
        ("a reserved opcode", 1002, frame(0x83, b"{\"a\":1}")),
        ("a reserved control opcode", 1002, frame(0x8b, b"")),
        ("a length in two bytes that fits in one", 1002, long(0x81, &[0xfe, 0, 7])),
        ("a length in eight bytes that fits in one", 1002, long(0x81, &[0xff, 0, 0, 0, 0, 0, 0, 0, 7])),
        ("a length above 2^63", 1002, long(0x81, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 7])),
        ("a length above the limit", 1009, long(0x81, &[0xff, 0, 0, 0, 0, 0x40, 0, 0, 0])),
        ("a fragmented ping", 1002, frame(0x09, b"x")),
        ("a ping of 126 bytes", 1002, long(0x89, &[0xfe, 0, 126])),
        ("a continuation of nothing", 1002, frame(0x80, b"{\"a\":1}")),
        ("a message inside a message", 1002, [frame(0x01, b"{"), frame(0x81, b"{\"a\":1}")].concat()),
        ("text that is not UTF-8", 1007, frame(0x81, b"{\"a\":\"\xff\"}")),
        ("text that is cut inside a letter", 1007, frame(0x81, b"\xc3")),
        ("a surrogate", 1007, frame(0x81, b"\xed\xa0\x80")),
        ("a Close of one byte", 1002, frame(0x88, b"\x03")),
        ("a Close with a code that is never sent", 1002, frame(0x88, &1006u16.to_be_bytes())),
        ("a Close whose reason is not UTF-8", 1007, frame(0x88, b"\x03\xe8\xff")),
        (
            "more fragments than a message has",
            1008,
            (0..1030).flat_map(|n| frame(u8::from(n == 0), b"x")).collect(),
        ),
    ] {
        let said = raw(&lease, scene().port, "GET /echo?probe=frames HTTP/1.1", FIELDS, &bytes);
        assert_eq!(
            (status(&said), code(&said)),
            ("101", Some(expect)),
            "{name}: {}",
            String::from_utf8_lossy(&said)
        );
    }
    let said = |seen: &Value| seen["path"] == "/echo?probe=frames" && seen.get("said").is_some();
    assert!(!scene().seen().iter().any(said), "one of them was sent");
    // And what is right passes, fragments put together.
    let whole =
        [frame(0x01, b"{\"a\""), frame(0x89, b"ping"), frame(0x80, b":1}"), frame(0x88, b"")].concat();
    let said = raw(&lease, scene().port, "GET /echo?probe=right HTTP/1.1", FIELDS, &whole);
    assert_eq!(code(&said), Some(1000), "{}", String::from_utf8_lossy(&said));
    assert!(said.windows(4).any(|pong| pong == b"ping"));
    assert!(scene().saw("{\\\"a\\\":1}"), "{:?}", scene().seen().last());
    let shown = scene().ask(&["show", lease.variable("TACHO_RUN")], None);
    assert!(shown.status.success(), "{}", shown.all());
}

#[test]
fn a_service_that_speaks_no_websocket_is_not_passed_on() {
    let lease = scene().gateway.lease("texter").unwrap();
    let ask = |path: &str| {
        let fields = FIELDS.replace("Connection: Up", "Sec-WebSocket-Protocol: chat\r\nConnection: Up");
        raw(&lease, scene().wrong, &format!("GET {path} HTTP/1.1"), &fields, b"")
    };
    for path in [
        "/no-accept",
        "/wrong-accept",
        "/no-upgrade",
        "/other-upgrade",
        "/no-connection",
        "/extension",
        "/protocol",
    ] {
        let said = ask(path);
        assert_eq!(status(&said), "502", "{path}: {}", String::from_utf8_lossy(&said));
        assert!(!said.windows(4).any(|word| word == b"good"), "{path}");
    }
    for path in [
        "/masked",
        "/reserved",
        "/opcode",
        "/fragmented-ping",
        "/long-ping",
        "/not-shortest",
        "/not-begun",
        "/not-ended",
        "/no-text",
        "/too-large",
        "/bad-code",
        "/half",
        "/gone",
    ] {
        let said = ask(path);
        let good = said.windows(11).filter(|word| word == b"{\"good\": 1}").count();
        assert_eq!(
            (status(&said), code(&said), good),
            ("101", Some(1011), 1),
            "{path}: {}",
            String::from_utf8_lossy(&said)
        );
    }
    let shown = scene().ask(&["show", lease.variable("TACHO_RUN")], None);
    assert!(shown.out().contains("indeterminate") && shown.out().contains("502"), "{}", shown.all());
}

#[test]
fn a_run_that_is_carried_out_again_parts_where_it_opens_a_socket() {
    let (python, program) = (drivers().python(), client("websocket_client.py"));
    let script = format!("{} {} $LIVE_URL/echo?by=again '{{\"n\": 1}}'", python.display(), program.display());
    is(&scene().sh("again", &script), "open: None 0\ntext: {\"n\": 1}\n");
    let opened = || scene().seen().iter().filter(|seen| seen["path"] == "/echo?by=again").count();
    let (before, run) = (opened(), scene().run_of("again"));
    let done = scene().ask(&["replay", &run, "--json", "--", "/bin/sh", "-c", &script], None);
    assert_eq!(done.status.code(), Some(1), "{}", done.all());
    assert!(done.all().contains("refused: 501"), "{}", done.all());
    let found: Value = serde_json::from_str(&done.out()).unwrap();
    assert!(found["divergence"].to_string().contains("WebSocket"), "{found:#}");
    assert_eq!(before, opened(), "nothing is dialled");
}

#[test]
fn a_revoked_run_loses_its_socket() {
    let lease = scene().gateway.lease("talker").unwrap();
    let run = lease.variable("TACHO_RUN").to_owned();
    let said = thread::spawn(move || raw(&lease, scene().port, "GET /echo?by=revoked HTTP/1.1", FIELDS, b""));
    eventually("the socket", || scene().saw("by=revoked").then_some(()));
    let added = json(scene().gateway.site(), &["operator", "add", "root", "--role", "admin", "--json"]);
    let revoked = scene().ask(&["runs", "revoke", &run, "--reason", "a test"], added["token"].as_str());
    assert!(revoked.status.success(), "{}", revoked.all());
    let said = said.join().unwrap();
    assert_eq!((status(&said), code(&said)), ("101", Some(1008)), "{}", String::from_utf8_lossy(&said));
}
