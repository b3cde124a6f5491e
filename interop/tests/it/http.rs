//! An HTTP service behind the gateway: unchanged clients get masked answers, are refused, wait for people, and what the
//! service saw is what policy saw.

use crate::world::{POLICY, client, drivers, eventually, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::place::{free_port, is_open};
use interop::process::{Daemon, Finished, finish};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

const KEY: &str = "upstream-key-91c4be";
const SECRETS: &[&str] = &["536-22-8391", "219-47-6630", "ada.osei@example.com", "b.keller@example.org"];

/// Agents: `tester` reads and writes users; `asker` deletes only with approval; `seer` may see addresses; `blind` may do
/// what cannot be known; answers to `narrow` are decided by size, to `held` by a person.
const RULES: &str = r#"
@id("billing-connect")
permit (principal, action == Action::"connect", resource in Resource::"billing");
@id("billing-read")
permit (principal, action == Action::"read", resource in Resource::"billing");
@id("no-slow")
@message("Nobody waits for the slow one.")
forbid (principal in Agent::"tester", action, resource in Resource::"billing/slow");
@id("tester-writes-http")
permit (principal in Agent::"tester", action == Action::"write", resource in Resource::"billing/echo");
@id("chooser-writes-http")
permit (principal in Agent::"chooser", action == Action::"write", resource in Resource::"billing/echo");
@id("coder-writes-http")
permit (principal in Agent::"coder", action == Action::"write", resource in Resource::"billing/echo");
@id("again-writes-http")
permit (principal in Agent::"http-again", action == Action::"write", resource in Resource::"billing/echo");
@id("asker-deletes")
permit (principal in Agent::"asker", action == Action::"write", resource in Resource::"billing");
@id("deletes-ask")
@needs("leads")
forbid (principal in Agent::"asker", action == Action::"write", resource in Resource::"billing")
unless { context.approvals.contains("leads") };
@id("seer-sees")
permit (principal in Agent::"seer", action == Action::"reveal", resource == Class::"pii.email");
@id("seer-writes-http")
permit (principal in Agent::"seer", action == Action::"write", resource in Resource::"billing/echo");
@id("blind-opaque")
permit (principal in Agent::"blind", action in [Action::"opaque", Action::"write"], resource in Resource::"billing");
@id("texts-are-text")
permit (principal in Agent::"texts", action == Action::"opaque", resource in Resource::"billing");
@id("narrow-http")
@message("More than this agent may have at once.")
forbid (principal in Agent::"narrow", action == Action::"release", resource in Resource::"billing")
when { context.bytes > 100000 };
@id("late-opaque")
permit (principal in Agent::"late", action in [Action::"opaque", Action::"write"], resource in Resource::"billing");
@id("no-cards-to-billing")
@message("Card numbers do not go to billing.")
forbid (principal in Agent::"beside", action == Action::"read", resource in Resource::"billing")
when { context.classes.contains("pii.card") };
@id("held-http")
@needs("leads")
forbid (principal in Agent::"held", action == Action::"release", resource in Resource::"billing")
when { context.bytes > 0 } unless { context.approvals.contains("leads") };
@id("outsider-stays-out")
forbid (principal in Agent::"outsider", action == Action::"connect", resource);
"#;

/// A service and a gateway before it.
pub struct Scene {
    pub gateway: Gateway,
    port: u16,
    log: PathBuf,
    _service: Daemon,
}

impl Scene {
    fn start(tls: Option<(&Path, &Path, &Path)>) -> Scene {
        let (upstream_port, port) = (free_port().unwrap(), free_port().unwrap());
        let dir = drivers().dir();
        let log = dir.join(format!("http-seen-{upstream_port}"));
        let mut command = Command::new(drivers().python());
        command.arg(client("http_service.py")).arg(upstream_port.to_string()).arg(&log);
        let (scheme, extra) = match tls {
            Some((cert, key, ca)) => {
                command.arg(cert).arg(key);
                ("https", format!("ca = \"{}\"\n", ca.display()))
            }
            None => ("http", String::new()),
        };
        let said = dir.join(format!("http-service-{upstream_port}.log"));
        let mut service = Daemon::start(&mut command, &said, "TERM").unwrap();
        service.wait_ready(Duration::from_secs(60), || is_open(upstream_port)).unwrap();
        let key = dir.join(format!("http-key-{upstream_port}"));
        std::fs::write(&key, format!("{KEY}\n")).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let tables = format!(
            "\n[[resource]]\nname = \"billing\"\nkind = \"http\"\nlisten = \"127.0.0.1:{port}\"\n\
             upstream = \"{scheme}://localhost:{upstream_port}\"\n{extra}credential = {{ file = \"{}\" }}\n\
             routes = [\"/users/{{id}}\"]\n\
             \n[[resource.mask]]\npath = \"$..ssn\"\nclass = \"pii.ssn\"\nas = \"partial:4\"\n\
             \n[[resource.mask]]\npath = \"$..email\"\nclass = \"pii.email\"\n",
            key.display()
        );
        let plan = Plan { policy: format!("{POLICY}{RULES}"), tables, durability: "os".to_owned(), ..plan() };
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, port, log, _service: service }
    }

    /// Runs a shell script as an agent. `$B` is where the service seems to be, with the run's credential.
    fn sh(&self, agent: &str, script: &str) -> Finished {
        let script = format!("B=$BILLING_URL; {script}");
        let words = [Path::new("/bin/sh"), Path::new("-c"), Path::new(&script)];
        self.gateway.run_to_end(agent, &words, "").unwrap()
    }

    /// What the service saw, newest last.
    pub fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn ask(&self, words: &[&str], token: Option<&str>) -> Finished {
        let mut command = self.gateway.site().tacho();
        if let Some(token) = token {
            command.env("TACHO_OPERATOR_TOKEN", token);
        }
        finish(command.args(words), b"", Duration::from_secs(30)).unwrap()
    }

    pub fn json(&self, words: &[&str]) -> Value {
        json(self.gateway.site(), words)
    }

    /// The newest run of an agent.
    pub fn run_of(&self, agent: &str) -> String {
        run_of(self.gateway.site(), agent)
    }
}

pub fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| Scene::start(None))
}

fn without_secrets(text: &str) {
    SECRETS.iter().for_each(|secret| assert!(!text.contains(secret), "{secret} in {text}"));
}

#[test]
fn curl_reads_masked_json_and_everything_else_stays_as_it_was() {
    let done = scene().sh("tester", "curl -sS -i $B/users/1");
    let out = done.out();
    assert!(out.starts_with("HTTP/1.1 200 OK"), "{}", scene().gateway.explain(&done));
    without_secrets(&out);
    assert!(
        out.contains(
            r#"{"id": 1, "name": "Ada Osei", "ssn": "*******8391", "email": "[pii.email]", "balance": 12.5}"#
        ),
        "{out}"
    );
    assert!(out.contains("X-Owner: [pii.email]") && out.contains("ETag: \""), "{out}");
    assert!(!out.contains("v1"), "a digest of what is not shown, perhaps: {out}");
    without_secrets(&scene().sh("tester", "curl -sS $B/users").out());
    let done = scene().sh("texts", "curl -sS $B/text; curl -sS $B/page");
    without_secrets(&done.out());
    assert!(done.out().contains("write to [pii.email], or call"), "{}", done.all());
    let done = scene().sh("tester", "curl -sS -o /dev/null -w '%{http_code}' $B/users/9");
    assert_eq!(done.out(), "404");
}

#[test]
fn the_credential_is_the_gateways_and_the_agents_goes_no_further() {
    let words = "-H 'Authorization: Bearer mine' -H 'X-API-KEY: mine too'";
    let done = scene().sh(
        "tester",
        &format!("curl -sS -o /dev/null -w '%{{http_code}}' {words} $BILLING_BASE_URL/users/2"),
    );
    assert_eq!(done.out(), "401", "two credentials are none");
    let done = scene().sh(
        "claimant",
        "curl -sS -o /dev/null -H \"Authorization: Bearer $BILLING_API_KEY\" -H 'X-Forwarded-For: 10.0.0.1' \
         -H 'X_Forwarded_For: 10.0.0.1' -H 'X_Api_Key: mine' -H 'Request-Range: bytes=0-9' -H 'Cookie: a=b' \
         -H 'X.Forwarded.Host: evil' -H 'CF-Connecting-IP: 10.0.0.1' -H 'True-Client-IP: 10.0.0.1' -H 'client_id: kept' \
         $BILLING_BASE_URL/users/2?probe=credential; env",
    );
    assert!(!done.out().contains(KEY), "the agent's environment has the upstream's credential");
    let seen = scene().seen();
    let seen = seen.iter().find(|seen| seen["target"].to_string().contains("probe=credential")).unwrap();
    let headers: Vec<(String, String)> = seen["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap().to_lowercase(), pair[1].as_str().unwrap().to_owned()))
        .collect();
    let all =
        |name: &str| headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    assert_eq!(all("authorization"), [format!("Bearer {KEY}")]);
    assert_eq!((all("x-forwarded-for").len(), all("cookie")), (0, vec!["a=b"]));
    for gone in [
        "x_forwarded_for",
        "x_api_key",
        "request-range",
        "x.forwarded.host",
        "cf-connecting-ip",
        "true-client-ip",
    ] {
        assert_eq!(all(gone).len(), 0, "{gone}");
    }
    assert_eq!(all("client_id"), ["kept"], "a sign in a name is no harm by itself");
    let shown = scene().json(&["show", &scene().run_of("claimant"), "--json"]).to_string();
    assert!(shown.contains("cf-connecting-ip [not passed on]: 10.0.0.1"), "{shown}");
    assert!(all("host")[0].starts_with("localhost:"), "{headers:?}");
}

#[test]
fn what_stands_beside_a_body_has_its_classes_and_is_in_the_record() {
    let done = scene().sh(
        "beside",
        "curl -sS -o /dev/null -o /dev/null -w '%{http_code} ' -H 'X-Note: of 536-22-8391' \"$B/users/2?who=ada.osei@example.com&probe=beside\" \
         $B/users/219-47-6630; curl -sS -H 'X-Card: 4539578763621486' $B/users/2; \
         curl -sS \"$B/users/2?card=4539578763621486\"; curl -sS $B/users/4539578763621486",
    );
    assert!(done.out().starts_with("200 404 ") || done.out().starts_with("200 200 "), "{}", done.all());
    assert_eq!(done.out().matches("no-cards-to-billing").count(), 3, "{}", done.all());
    let seen = scene().seen();
    let seen = seen.iter().find(|seen| seen["target"].to_string().contains("probe=beside")).unwrap();
    assert!(seen.to_string().contains("536-22-8391"), "a service gets what is said to it: {seen}");
    let shown = scene().json(&["show", &scene().run_of("beside"), "--json"]);
    let found: Vec<String> = shown["actions"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|action| action["tripwires"].as_array().unwrap())
        .filter(|t| t["act"] != "masked")
        .map(|t| format!("{} {} {}", t["class"], t["channel"], t["act"]).replace('"', ""))
        .collect();
    for expect in [
        "pii.ssn request-header reported",
        "pii.email query reported",
        "pii.ssn path reported",
        "pii.card request-header refused",
        "pii.card query refused",
        "pii.card path refused",
    ] {
        assert!(found.iter().any(|line| line == expect), "{expect} in {found:?}");
    }
    without_secrets(&shown["actions"].to_string());
}

#[test]
fn what_stands_behind_the_beginning_of_a_body_is_reported_as_sent() {
    let script = r#"
import os, requests
head = {"Authorization": "Bearer " + os.environ["BILLING_API_KEY"], "Content-Type": "text/plain"}
print(requests.post(os.environ["BILLING_BASE_URL"] + "/echo", data=b"z" * 6000000 + b" 536-22-8391 ", headers=head).status_code)
"#;
    let program = drivers().file("http_late.py", script).unwrap();
    let done = scene().sh("late", &format!("{} {}", drivers().python().display(), program.display()));
    assert_eq!(done.out(), "200\n", "{}", scene().gateway.explain(&done));
    let shown = scene().json(&["show", &scene().run_of("late"), "--json"]);
    let all = shown["actions"][0]["tripwires"].as_array().unwrap();
    let sent = all.iter().find(|t| t["channel"] == "request").unwrap_or_else(|| panic!("{shown}"));
    assert_eq!((&sent["class"], &sent["act"]), (&"pii.ssn".into(), &"reported".into()), "{shown}");
}

#[test]
fn a_refusal_is_a_problem_with_its_rule_and_the_connection_goes_on() {
    let done = scene().sh("tester", "curl -sS -i $B/slow $B/users/2");
    let out = done.out();
    assert!(out.contains("403 Forbidden") && out.contains("application/problem+json"), "{out}");
    assert!(out.contains("\"rule\":\"no-slow\"") && out.contains("Nobody waits"), "{out}");
    assert!(out.contains("\"id\": 2"), "{out}");
    assert!(scene().seen().iter().all(|seen| seen["target"] != "/slow"), "it was sent");
    let done = scene().sh("tester", "curl -sS -X DELETE -i $B/users/1");
    assert!(done.out().contains("403"), "{}", done.all());
}

#[test]
fn pythons_and_nodes_clients_do_not_notice() {
    let script = r#"
import asyncio, os, requests, httpx, aiohttp
base, key = os.environ["BILLING_BASE_URL"], os.environ["BILLING_API_KEY"]
bearer = {"Authorization": "Bearer " + key}
url = os.environ["BILLING_URL"]
with requests.Session() as s:
    for n in range(3):
        assert s.get(url + "/users/1").json()["ssn"] == "*******8391"
    s.headers.update(bearer)
    answer = s.post(base + "/echo", json={"note": "caf\u00e9", "n": [1, 2.50, None]})
    assert answer.json() == {"note": "caf\u00e9", "n": [1, 2.5, None]}, answer.text
    # The service's rules name places in JSON; what is not JSON is not understood.
    assert s.post(base + "/echo", data={"a": "1 2", "b": "\u00fc"}).status_code == 502
    big = {"rows": ["x" * 1000] * 3000}
    assert s.post(base + "/echo", json=big).json() == big
with httpx.Client(base_url=base, headers={"X-Api-Key": key}) as c:
    rows = c.get("/many").json()
    assert len(rows) == 20000 and rows[7]["mail"] == "[pii.email]" and rows[7]["ssn"] == "*******8391", rows[7]
    assert c.head("/users/1").status_code == 200
    with c.stream("GET", "/events") as r:
        lines = [line for line in r.iter_lines() if line.startswith("data:")]
    assert len(lines) == 4 and lines[-1] == "data: [DONE]" and "[pii.email]" in lines[0], lines
async def main():
    async with aiohttp.ClientSession(base, headers=bearer) as s:
        answers = await asyncio.gather(*[s.get(f"/users/{1 + n % 2}") for n in range(20)])
        assert all(a.status == 200 for a in answers)
        for a in answers:
            assert "[pii.email]" in await a.text()
asyncio.run(main())
print("done")
"#;
    let python = drivers().file("http_clients.py", script).unwrap();
    let done = scene().sh("tester", &format!("{} {}", drivers().python().display(), python.display()));
    assert_eq!(done.out(), "done\n", "{}", scene().gateway.explain(&done));
    let node = "const r = await fetch(process.env.BILLING_BASE_URL + '/users/1', \
        {headers: {Authorization: 'Bearer ' + process.env.BILLING_API_KEY}}); console.log(JSON.stringify(await r.json()))";
    let script = drivers().file("http_fetch.mjs", node).unwrap();
    let done = scene().sh("tester", &format!("node {}", script.display()));
    assert!(done.out().contains("*******8391"), "{}", done.all());
}

#[test]
fn what_cannot_be_looked_into_needs_its_own_permission() {
    let status = |agent: &str, words: &str| {
        scene().sh(agent, &format!("curl -sS -o /dev/null -w '%{{http_code}}' {words}")).out()
    };
    assert_eq!(status("tester", "$B/blob"), "502");
    assert_eq!(status("blind", "$B/blob"), "200");
    assert_eq!(
        status("tester", "--data-binary @/bin/true $B/echo -H 'Content-Type: application/octet-stream'"),
        "403"
    );
    assert_eq!(
        status("tester", "-d '{\"a\": 1, \"a\": 2}' -H 'Content-Type: application/json' $B/echo"),
        "403"
    );
    // The service is asked for no coding, and compresses all the same: what is known is undone.
    assert_eq!(status("tester", "--compressed $B/packed"), "200");
    for what in ["unknown", "thrice"] {
        assert_eq!(status("tester", &format!("$B/coded/gzip/{what}")), "502");
    }
    // What nobody decoded is passed on as what it is.
    let done = scene().sh("blind", "curl -sS -i $B/coded/gzip/unknown");
    assert!(done.out().contains("Content-Encoding: compress"), "{}", done.all());
    for (to, expect) in [("h2c", "501"), ("websocket", "400")] {
        let asked = format!("-H 'Upgrade: {to}' -H 'Connection: Upgrade' $B/users/1");
        assert_eq!(status("tester", &asked), expect, "{to}");
    }
}

#[test]
fn an_answer_in_a_coding_is_decoded_and_masked_and_leaves_in_none() {
    for coding in ["gzip", "deflate", "raw", "br", "zstd"] {
        let done = scene().sh("tester", &format!("curl -sS -i $B/coded/{coding}/user"));
        let out = done.out();
        without_secrets(&out);
        assert!(out.contains(r#""ssn": "*******8391", "email": "[pii.email]""#), "{coding}: {}", done.all());
        assert!(!out.contains("Content-Encoding") && out.contains("ETag: W/\""), "{coding}: {out}");
        let done = scene().sh("tester", &format!("curl -sS $B/coded/{coding}/twice"));
        assert!(done.out().contains("*******8391"), "{coding}, br: {}", done.all());
        let done = scene().sh("texts", &format!("curl -sS $B/coded/{coding}/text"));
        assert_eq!(done.out(), "write to [pii.email]\n", "{coding}");
        let done = scene().sh("tester", &format!("curl -sS -I $B/coded/{coding}/user"));
        assert!(
            done.out().contains("200 OK") && !done.out().contains("Encoding:"),
            "{coding}: {}",
            done.all()
        );
    }
    for coding in ["gzip", "zstd"] {
        let done = scene().sh("tester", &format!("curl -sS $B/coded/{coding}/members"));
        assert!(done.out().contains("*******8391"), "{coding}: {}", done.all());
    }
}

#[test]
fn a_long_answer_in_a_coding_streams() {
    let script = r#"
import os, time, requests
for coding in ["gzip", "deflate", "raw", "br", "zstd"]:
    url = os.environ["BILLING_URL"] + "/coded/" + coding + "/stream/"
    rows = requests.get(url + "many").json()
    assert len(rows) == 20000 and rows[7]["mail"] == "[pii.email]" and rows[7]["ssn"] == "*******8391", rows[7]
    with requests.get(url + "events", stream=True) as r:
        came = [(time.time(), line) for line in r.iter_lines(chunk_size=1) if line.startswith(b"data:")]
    assert len(came) == 3 and all(b"[pii.email]" in line for _, line in came), came
    assert came[2][0] - came[0][0] > 0.7, "held until the end: " + coding
print("done")
"#;
    let program = drivers().file("http_coded.py", script).unwrap();
    let done = scene().sh("tester", &format!("{} {}", drivers().python().display(), program.display()));
    assert_eq!(done.out(), "done\n", "{}", scene().gateway.explain(&done));
}

#[test]
fn a_value_in_pieces_over_events_is_masked_and_a_pause_holds_no_event() {
    let script = r#"
import json, os, time, requests
with requests.get(os.environ["BILLING_URL"] + "/pieces", stream=True) as r:
    lines = r.iter_lines(chunk_size=1)
    came = [(time.time(), json.loads(line[5:])["delta"]) for line in lines if line.startswith(b"data:")]
text = "".join(piece for _, piece in came)
assert text == "Write to [pii.email], or call [pii.ssn]. Goodbye now.", came
assert came[-1][0] - came[-2][0] > 0.7, "held until the next"
print("done")
"#;
    let program = drivers().file("http_pieces.py", script).unwrap();
    let done = scene().sh("pieced", &format!("{} {}", drivers().python().display(), program.display()));
    assert_eq!(done.out(), "done\n", "{}", scene().gateway.explain(&done));
    let exposed =
        json(scene().gateway.site(), &["exposed", &run_of(scene().gateway.site(), "pieced"), "--json"]);
    let cells = exposed["exposures"].as_array().unwrap().iter().map(|e| e["cells"].as_u64().unwrap());
    assert_eq!(
        (exposed["tripwires"].as_array().map(Vec::len), cells.sum::<u64>()),
        (Some(2), 2),
        "{exposed}"
    );
}

#[test]
fn an_answer_that_cannot_be_decoded_does_not_leave() {
    for coding in ["gzip", "deflate", "raw", "br", "zstd"] {
        for what in ["cut", "behind", "wrong", "bomb"] {
            // Permission for what is opaque does not help.
            for agent in ["tester", "blind"] {
                let done = scene().sh(agent, &format!("curl -sS -i $B/coded/{coding}/{what}"));
                without_secrets(&done.out());
                let refused = done.out().starts_with("HTTP/1.1 502");
                assert!(refused || !done.status.success(), "{coding} {what}: {}", done.out());
                assert!(refused || what == "bomb", "{coding} {what}: a part of it left");
            }
        }
    }
    let script = "curl -sS -i $B/coded/gzip/cut?by=undecoded; curl -sS -i $B/coded/br/bomb";
    let done = scene().sh("undecoded", script);
    assert!(done.out().contains("the body ends before its coding does"), "{}", done.out());
    let shown = scene().ask(&["show", &scene().run_of("undecoded")], None).out();
    assert!(shown.contains("the body ends before its coding does"), "{shown}");
    assert!(shown.contains("the body is much larger than what was sent of it"), "{shown}");
}

#[test]
fn a_request_in_a_coding_is_decided_masked_and_sent_as_what_it_says() {
    let script = r#"
import gzip, json, os, zlib, brotli, requests, zstandard
base = os.environ["BILLING_BASE_URL"]
head = {"Authorization": "Bearer " + os.environ["BILLING_API_KEY"], "Content-Type": "application/json"}
user = json.dumps({"probe": "in a coding", "ssn": "536-22-8391", "note": "SSN 219-47-6630"}).encode()
raw = zlib.compressobj(wbits=-15)
zstd = zstandard.ZstdCompressor().compress
codings = {
    "gzip": [gzip.compress(user), gzip.compress(user[:9]) + gzip.compress(user[9:])],
    "deflate": [zlib.compress(user), raw.compress(user) + raw.flush()],
    "br": [brotli.compress(user)],
    "zstd": [zstd(user)],
    "gzip, br": [brotli.compress(gzip.compress(user))],
}
def post(coding, body, **more):
    return requests.post(base + "/echo", data=body, headers={**head, "Content-Encoding": coding, **more})
def pieces(body):
    for n in range(0, len(body), 7):
        yield body[n:n + 7]
for coding, bodies in codings.items():
    for body in bodies:
        for sent in [body, pieces(body)]:
            answer = post(coding, sent)
            assert answer.status_code == 200 and answer.json()["ssn"] == "*******8391", (coding, answer.text)
for coding, body, expect in [
    ("gzip", gzip.compress(user)[:-4], "the body ends before its coding does"),
    ("gzip", gzip.compress(user) + b"behind", "bytes stand behind the end"),
    ("br", user, "no br stream"),
    ("gzip", gzip.compress(b"[" + b" " * (8 << 20) + b"]"), "much larger than what was sent"),
    ("br, gzip", gzip.compress(brotli.compress(b"[" + b" " * (64 << 20) + b"]")), "much larger than what was sent"),
    ("gzip", gzip.compress(b"") * 9000, "almost nothing comes"),
]:
    try:
        answer = post(coding, body)
        assert answer.status_code == 400 and expect in answer.text, (coding, answer.status_code, answer.text)
    except requests.ConnectionError:
        # It was answered before all of it was sent.
        assert len(body) > 60000
assert post("compress", user).status_code == 403, "an unknown coding is opaque"
answer = post("gzip", gzip.compress(user), **{"Content-Digest": "sha-256=:AAAA:"})
assert answer.status_code == 400 and "digest" in answer.text, answer.text
assert requests.post(base + "/echo", data=user, headers={**head, "Content-Digest": "sha-256=:AAAA:"}).status_code == 200
print("done")
"#;
    let program = drivers().file("http_encodes.py", script).unwrap();
    let done = scene().sh("coder", &format!("{} {}", drivers().python().display(), program.display()));
    assert_eq!(done.out(), "done\n", "{}", scene().gateway.explain(&done));
    let seen: Vec<Value> =
        scene().seen().into_iter().filter(|seen| seen["body"].to_string().contains("in a coding")).collect();
    assert_eq!(seen.len(), 15, "{seen:?}");
    for seen in seen {
        let fields = seen["headers"].to_string().to_lowercase();
        assert!(!fields.contains("content-encoding"), "{fields}");
        assert!(
            seen["body"].as_str().unwrap().contains("536-22-8391"),
            "masks are for the record and the answer"
        );
    }
    let run = scene().run_of("coder");
    let shown = scene().ask(&["show", &run], None).out();
    assert!(shown.contains("in a coding") && shown.contains("almost nothing comes"), "{shown}");
    without_secrets(&shown);
    without_secrets(&scene().ask(&["replay", &run, "--json"], None).out());
}

#[test]
fn a_long_request_in_a_coding_goes_on_decoded() {
    let script = r#"
import gzip, os, random, requests
head = {"Authorization": "Bearer " + os.environ["BILLING_API_KEY"], "Content-Type": "text/plain"}
words = ["%05d" % random.randrange(100000) for n in range(2000)]
text = "".join(random.choice(words) + "\n" for n in range(1500000)).encode()
head["Content-Encoding"] = "gzip"
answer = requests.post(os.environ["BILLING_BASE_URL"] + "/echo", data=gzip.compress(text, 1), headers=head)
print(answer.status_code, answer.content == text, len(text))
"#;
    let program = drivers().file("http_coded_long.py", script).unwrap();
    let words = format!("{} {}", drivers().python().display(), program.display());
    let done = scene().sh("blind", &words);
    assert_eq!(done.out(), "200 True 9000000\n", "{}", scene().gateway.explain(&done));
}

#[test]
fn what_is_longer_than_the_gateway_holds_goes_on_piece_by_piece_where_policy_permits_it() {
    let script = r#"
import os, requests
base = os.environ["BILLING_BASE_URL"]
head = {"Authorization": "Bearer " + os.environ["BILLING_API_KEY"], "Content-Type": "text/plain"}
def pieces():
    for n in range(160):
        yield b"y" * 50000 + b"\n"
echoed = requests.post(base + "/echo", data=pieces(), headers=head)
print(echoed.status_code, len(echoed.content))
whole = requests.post(base + "/echo", data=b"z" * 6000000, headers=head)
print(whole.status_code, len(whole.content))
"#;
    let program = drivers().file("http_long.py", script).unwrap();
    let words = format!("{} {}", drivers().python().display(), program.display());
    let done = scene().sh("blind", &words);
    assert_eq!(done.out(), "200 8000160\n200 6000000\n", "{}", scene().gateway.explain(&done));
    let done = scene().sh("tester", &words);
    assert!(done.out().starts_with("403") || !done.status.success(), "{}", done.all());
    let run = scene().run_of("tester");
    assert!(!scene().ask(&["touched", &run], None).out().is_empty());
}

#[test]
fn the_services_own_credential_does_not_come_back() {
    let script = "curl -sS -i $B/reflect; curl -sS -i $B/turn";
    let done = scene().sh("mirror", script);
    let out = done.out();
    assert!(out.contains("Bearer [credential]") && !out.contains(KEY), "{out}");
    assert!(out.contains("Location: /users/1?key=[credential]"), "{out}");
    let run = scene().run_of("mirror");
    assert!(!scene().ask(&["replay", &run, "--json"], None).out().contains(KEY));
}

#[test]
fn a_text_in_latin_letters_is_read_and_goes_on_in_utf_8() {
    let out = scene().sh("texts", "curl -sS -i $B/latin").out();
    without_secrets(&out);
    assert!(out.contains("Content-Type: text/html; charset=utf-8") && out.contains("ETag: W/\""), "{out}");
    assert!(out.ends_with("Grüße an [pii.email] – 5 €"), "{out}");
}

#[test]
fn a_mask_that_is_read_and_written_back_is_refused() {
    let send = |method: &str, kind: &str, body: &str| {
        let words = format!("-X {method} -H 'Content-Type: {kind}' -d '{body}'");
        scene().sh("chooser", &format!("curl -sS -i {words} $B/echo?probe=written")).out()
    };
    let user = r#"{"id": 1, "email": "[pii.email]"}"#;
    for (method, kind, body) in [
        ("PUT", "application/json", user),
        ("PATCH", "application/json", user),
        ("POST", "application/json", user),
        ("POST", "application/x-www-form-urlencoded", "id=1&email=%5Bpii.email%5D"),
        ("PUT", "text/plain", "write to [pii.email]"),
    ] {
        let said = send(method, kind, body);
        assert!(said.starts_with("HTTP/1.1 400") && said.contains("is a mask"), "{method} {body}: {said}");
    }
    assert!(!scene().seen().iter().any(|seen| seen["target"] == "/echo?probe=written"), "it was sent");
    let said = send("POST", "application/json", r#"{"note": "[pii.email] wrote again"}"#);
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn a_value_in_the_name_of_an_answers_field_does_not_leave() {
    let done = scene().sh("namer", "curl -sS -i $B/names; curl -sS -i \"$B/names?own=1\"");
    let out = done.out();
    without_secrets(&out);
    assert!(out.starts_with("HTTP/1.1 200") && out.contains("X-Kept: 4"), "{}", done.all());
    assert!(out.contains("HTTP/1.1 502") && out.contains("in a field's name") && !out.contains(KEY), "{out}");
    let run = scene().run_of("namer");
    let shown = scene().json(&["show", &run, "--json"]);
    let tripwires = shown["actions"][0]["tripwires"].to_string();
    assert!(tripwires.contains("pii.ssn") && tripwires.contains("header"), "{shown}");
    let replay = scene().ask(&["replay", &run, "--json"], None).out();
    without_secrets(&replay);
    assert!(replay.contains("x-[pii.ssn]: [not passed on]"), "{replay}");
}

#[test]
fn an_agent_does_not_choose_a_form_that_no_rule_speaks_of() {
    let status = |words: &str| {
        scene().sh("chooser", &format!("curl -sS -o /dev/null -w '%{{http_code}}' {words}")).out()
    };
    assert_eq!(status("$B/text"), "502", "text beside rules for JSON");
    assert_eq!(status("$B/part"), "502", "a part of an answer");
    // JSON under another name is JSON to the rules.
    let done = scene().sh(
        "chooser",
        "curl -sS $B/echo -H 'Content-Type: text/plain' -d \"{\\\"ssn\\\": \\\"$((536228390 + 1))\\\"}\" -o /dev/null",
    );
    assert!(done.status.success(), "{}", done.all());
    let shown = scene().ask(&["show", &scene().run_of("chooser")], None).out();
    assert!(!shown.contains("536228391"), "{shown}");
}

#[test]
fn an_effect_that_nobody_saw_the_end_of_is_not_called_rolled_back() {
    let lease = scene().gateway.lease("blind").unwrap();
    let key = lease.variable("BILLING_API_KEY").to_owned();
    let mut stream = TcpStream::connect(("127.0.0.1", scene().port)).unwrap();
    let ask = format!("POST /slow HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let begun = Instant::now();
    let sent = || scene().seen().iter().any(|s| s["target"] == "/slow" && s["method"] == "POST");
    while !sent() && begun.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(50));
    }
    drop(stream);
    let failed = raw(
        &key,
        "POST /fail HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(failed.starts_with("HTTP/1.1 500"), "{failed}");
    let run = lease.variable("TACHO_RUN").to_owned();
    let begun = Instant::now();
    let touched = loop {
        let touched = scene().ask(&["touched", &run], None).out();
        if touched.matches("INDETERMINATE").count() >= 2 || begun.elapsed() > Duration::from_secs(20) {
            break touched;
        }
        thread::sleep(Duration::from_millis(200));
    };
    assert!(!touched.contains("rolled back") && touched.matches("INDETERMINATE").count() >= 2, "{touched}");
}

#[test]
fn a_service_that_answers_unasked_answers_nothing() {
    // It puts two answers where one was asked for: the second must not be the next request's.
    let lease = scene().gateway.lease("tester").unwrap();
    let key = lease.variable("BILLING_API_KEY").to_owned();
    let two = "GET /twice HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\n\r\n\
               GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\nConnection: close\r\n\r\n";
    let said = raw(&key, two);
    assert!(said.contains("first") && !said.contains("planted") && said.contains("\"id\": 1"), "{said}");
}

#[test]
fn a_class_that_is_revealed_is_seen_and_counted() {
    let done = scene().sh("seer", "curl -sS $B/users/1");
    assert!(
        done.out().contains("ada.osei@example.com") && !done.out().contains("536-22-8391"),
        "{}",
        done.all()
    );
    let run = scene().run_of("seer");
    let exposed = scene().ask(&["exposed", &run], None);
    assert_eq!(exposed.status.code(), Some(1), "{}", exposed.all());
    assert!(exposed.out().contains("pii.email") && exposed.out().contains("seer-sees"), "{}", exposed.all());
}

#[test]
fn what_a_grant_revealed_is_masked_where_the_record_is_replayed() {
    let said = r#"{"email": "write to Ivo Marlow", "kept": "of Turin"}"#;
    let post = format!("curl -sS -X POST -H 'Content-Type: application/json' -d '{said}' $B/echo");
    let done = scene().sh("seer", &format!("{post}; sleep 0.1"));
    assert!(done.out().contains("Ivo Marlow"), "{}", done.all());
    let run = scene().run_of("seer");
    let shown = scene().ask(&["replay", &run], None).out();
    assert!(
        shown.contains("of Turin") && shown.contains("[pii.email]") && !shown.contains("Marlow"),
        "{shown}"
    );
    // Carried out again, it is answered so.
    let mut again = scene().gateway.site().tacho();
    again.args(["replay", &run, "--", "/bin/sh", "-c", &format!("B=$BILLING_URL; {post}")]);
    let again = finish(&mut again, b"", Duration::from_secs(120)).unwrap();
    assert!(again.all().contains("of Turin") && again.all().contains("[pii.email]"), "{}", again.all());
}

#[test]
fn a_value_behind_the_status_stays_here_and_the_answer_leaves() {
    let done = scene().sh("tester", "curl -sS -i $B/reasoned");
    assert!(
        done.out().starts_with("HTTP/1.1 200 \r\n") && done.out().contains("{\"ok\": true}"),
        "{}",
        done.all()
    );
    without_secrets(&done.all());
    let shown = scene().ask(&["show", &scene().run_of("tester")], None).out();
    without_secrets(&shown);
}

#[test]
fn a_write_waits_for_a_person() {
    let added =
        scene().json(&["operator", "add", "lena", "--role", "approver", "--group", "leads", "--json"]);
    let token = added["token"].as_str().unwrap().to_owned();
    let waiting = |word: &str| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            let said = scene().ask(&["approvals", "--json"], Some(&token));
            let inbox: Value = serde_json::from_str(&said.out()).unwrap();
            let all = inbox["approvals"].as_array().cloned().unwrap_or_default();
            if let Some(asked) = all.into_iter().find(|asked| asked.to_string().contains(word)) {
                return asked;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("nothing with {word} waits")
    };
    let agent = thread::spawn(|| scene().sh("asker", "curl -sS -X DELETE $B/users/2?reason=approved"));
    let asked = waiting("reason=approved");
    assert!(asked["statement"].as_str().unwrap().starts_with("DELETE /users/2"), "{asked}");
    assert!(asked["touches"].to_string().contains("billing/users/{id}"), "{asked}");
    let sent = |word: &str| scene().seen().iter().any(|seen| seen["target"].to_string().contains(word));
    assert!(!sent("reason=approved"), "it waits");
    let id = asked["ask"].as_str().unwrap();
    assert!(scene().ask(&["approve", id], Some(&token)).status.success());
    let done = agent.join().unwrap();
    assert!(done.out().contains("\"id\": 2") && sent("reason=approved"), "{}", done.all());

    let agent = thread::spawn(|| scene().sh("asker", "curl -sS -i -X DELETE $B/users/2?reason=denied"));
    let id = waiting("reason=denied")["ask"].as_str().unwrap().to_owned();
    assert!(scene().ask(&["deny", &id, "--reason", "not today"], Some(&token)).status.success());
    let done = agent.join().unwrap();
    assert!(done.out().contains("403") && done.out().contains("not today"), "{}", done.all());
    assert!(!sent("reason=denied"), "it was sent");

    // What nobody can see whole, nobody approves.
    let long = "head -c 200000 /dev/zero | tr '\\0' x | curl -sS -i --data-binary @- -H 'Content-Type: text/plain' $B/echo";
    let done = scene().sh("asker", long);
    assert!(done.out().contains("403") && done.out().contains("shown whole"), "{}", done.all());

    let agent = thread::spawn(|| scene().sh("held", "curl -sS $B/users/1?answer=held"));
    let id = waiting("answer=held")["ask"].as_str().unwrap().to_owned();
    assert!(sent("answer=held"), "the answer is what waits");
    assert!(scene().ask(&["approve", &id], Some(&token)).status.success());
    assert!(agent.join().unwrap().out().contains("\"id\": 1"));
}

#[test]
fn who_may_not_connect_is_told_so_and_the_record_has_it_for_each_protocol() {
    let done = scene().sh("outsider", "curl -sS -i $B/users/1?by=outsider; psql -c 'SELECT 1'");
    let out = done.all();
    assert!(out.contains("HTTP/1.1 403") && out.contains("outsider-stays-out"), "{out}");
    assert!(
        out.contains("not allow this run to connect to this resource") && !out.contains("(1 row)"),
        "{out}"
    );
    assert!(
        scene().seen().iter().all(|seen| !seen["target"].as_str().unwrap().contains("outsider")),
        "it was sent"
    );
    let shown = scene().ask(&["show", &scene().run_of("outsider")], None).out();
    assert!(shown.contains("403") && shown.contains("42501"), "{shown}");
    assert_eq!(shown.matches("outsider-stays-out").count(), 2, "{shown}");
}

#[test]
fn an_answer_that_policy_refuses_does_not_leave() {
    let done = scene().sh("narrow", "curl -sS -i $B/users/1; curl -sS -i $B/many");
    let out = done.out();
    assert!(out.contains("\"id\": 1"), "{out}");
    // A part of it had left: the connection ends inside the body.
    assert!(!out.contains("\"n\": 19999") && !done.status.success(), "{}", done.status);
    let run = scene().run_of("narrow");
    let shown = scene().ask(&["show", &run], None);
    assert!(shown.out().contains("More than this agent may have at once"), "{}", shown.all());
}

#[test]
fn a_run_is_replayed_and_its_record_holds_no_secret_and_verifies() {
    let script = "curl -sS $B/users/1?for=replay; curl -sS -d '{\"ssn\": \"536-22-8391\", \"to\": \"ada.osei@example.com\"}' \
                  -H 'Content-Type: application/json' $B/echo; curl -sS $B/cookie -o /dev/null";
    let done = scene().sh("tester", script);
    assert!(done.status.success(), "{}", done.all());
    let runs = scene().json(&["runs", "--json"]);
    let all = runs["runs"].as_array().unwrap().clone();
    let holds = |run: &&Value| {
        let run = run["run"].as_str().unwrap();
        run.len() == 32 && scene().ask(&["replay", run, "--json"], None).out().contains("for=replay")
    };
    let run = all.iter().filter(|run| run["agent"] == "tester").find(holds).expect("the run")["run"].clone();
    let run = run.as_str().unwrap();
    for words in
        [&["replay", run, "--json"][..], &["show", run], &["touched", run], &["exposed", run], &["who", run]]
    {
        let said = scene().ask(words, None);
        assert!(matches!(said.status.code(), Some(0 | 1 | 3)), "{words:?}: {}", said.all());
        without_secrets(&said.out());
        assert!(!said.out().contains("s3ss10n-of-the-service"), "{}", said.out());
    }
    let replay = scene().ask(&["replay", run, "--json"], None).out();
    assert!(replay.contains("*******8391") && replay.contains("GET /users/1?for=replay"), "{replay}");
    assert!(replay.contains("set-cookie: [cookie]") || replay.contains("Set-Cookie: [cookie]"), "{replay}");
    let touched = scene().ask(&["touched", run], None).out();
    assert!(touched.contains("billing/users/{id}"), "{touched}");
    let verified = scene().ask(&["verify"], None);
    assert!(verified.status.success(), "{}", verified.all());
    let scan = |needle: &str| {
        let mut grep = Command::new("grep");
        grep.args(["-rFla", needle]).arg(scene().gateway.site().data());
        finish(&mut grep, b"", Duration::from_secs(60)).unwrap().out()
    };
    for needle in SECRETS.iter().chain(&[KEY, "s3ss10n-of-the-service"]) {
        assert_eq!(scan(needle), "", "{needle}");
    }
    let bundle = scene().gateway.site().dir().join("http.html");
    let exported = scene().ask(&["export", run, "--as", "html", "--output", bundle.to_str().unwrap()], None);
    assert!(exported.status.success(), "{}", exported.all());
}

/// Bytes as they are, and what comes back before the connection ends.
fn raw(lease: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", scene().port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes.replace("KEY", lease).as_bytes()).unwrap();
    let mut said = Vec::new();
    let _ended_or_reset = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn shapes_that_two_servers_could_cut_differently_are_refused() {
    let lease = scene().gateway.lease("tester").unwrap();
    let key = lease.variable("BILLING_API_KEY").to_owned();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\nX-Probe: shapes\r\nConnection: close\r\nContent-Type: text/plain\r\n";
    for (name, rest) in [
        ("both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("a signed length", "Content-Length: +5\r\n\r\nhello"),
        ("another coding", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("a bad chunk", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk's extension", "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("a folded field", "X-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"),
        ("a second Host", "Host: b\r\nContent-Length: 0\r\n\r\n"),
        ("a space before the colon", "Content-Length : 0\r\n\r\n"),
        ("a bare LF", "X-A: 1\nContent-Length: 0\r\n\r\n"),
        ("another method", "X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n\r\n"),
        ("another method of a proxy's", "X-Forwarded-Method: DELETE\r\nContent-Length: 0\r\n\r\n"),
        ("another path by CGI", "SCRIPT_NAME: /echo\r\nContent-Length: 0\r\n\r\n"),
        ("another path by CGI, spelt otherwise", "Path.Info: /admin\r\nContent-Length: 0\r\n\r\n"),
        ("another path of a proxy's", "X-Envoy-Original-Path: /admin\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let said = raw(&key, &format!("{head}{rest}"));
        assert!(said.starts_with("HTTP/1.1 4"), "{name}: {said}");
    }
    for target in
        ["/users/../echo", "/users/%2e%2e/echo", "//echo", "/echo%2Fx", "/echo;a=b", "http://other/echo"]
    {
        let said = raw(
            &key,
            &format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\nX-Probe: shapes\r\nX-Api-Key: KEY\r\nConnection: close\r\n\r\n"
            ),
        );
        let refused = said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.1 501");
        assert!(refused, "{target}: {said}");
    }
    let body = "GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Probe: shapes\r\nX-Api-Key: KEY\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert!(raw(&key, body).starts_with("HTTP/1.1 4"), "a GET with a body");
    assert!(!scene().seen().iter().any(|seen| seen.to_string().contains("X-Probe")), "one of them was sent");
    // And what is right, pipelined, is served one after another.
    let one = "GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\n\r\n";
    let last = "GET /users/2 HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\nConnection: close\r\n\r\n";
    let said = raw(&key, &format!("{one}{last}"));
    assert_eq!(said.matches("HTTP/1.1 200").count(), 2, "{said}");
    // Without a credential, or with another run's on this one's connection, nothing.
    assert!(raw(&key, "GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 401"));
    let other = scene().gateway.lease("seer").unwrap();
    let other = last.replace("KEY", other.variable("BILLING_API_KEY"));
    let said = raw(&key, &format!("{one}{other}"));
    assert!(said.contains("HTTP/1.1 200") && said.contains("HTTP/1.1 401"), "{said}");
}

#[test]
fn a_revoked_run_and_a_broken_upstream_end_the_answer() {
    let lease = scene().gateway.lease("blind").unwrap();
    let key = lease.variable("BILLING_API_KEY").to_owned();
    let run = lease.variable("TACHO_RUN").to_owned();
    let slow = thread::spawn({
        let key = key.clone();
        move || raw(&key, "GET /slow HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\n\r\n")
    });
    let begun = Instant::now();
    while !scene().seen().iter().any(|seen| seen["target"] == "/slow")
        && begun.elapsed() < Duration::from_secs(20)
    {
        thread::sleep(Duration::from_millis(50));
    }
    let half = raw(&key, "GET /cut HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\n\r\n");
    assert!(half.starts_with("HTTP/1.1 502"), "{half}");
    let added = scene().json(&["operator", "add", "root", "--role", "admin", "--json"]);
    let revoked = scene().ask(&["runs", "revoke", &run, "--reason", "a test"], added["token"].as_str());
    assert!(revoked.status.success(), "{}", revoked.all());
    let said = slow.join().unwrap();
    assert!(said.starts_with("HTTP/1.1 401") && said.contains("over"), "{said}");
    assert!(
        raw(&key, "GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\n\r\n").starts_with("HTTP/1.1 401")
    );
    let shown = scene().ask(&["show", &run], None);
    assert!(shown.out().contains("indeterminate"), "{}", shown.all());
}

#[test]
fn an_answer_that_breaks_off_leaves_as_far_as_it_is_recorded() {
    let lease = scene().gateway.lease("tester").unwrap();
    let key = lease.variable("BILLING_API_KEY").to_owned();
    let said = raw(&key, "GET /broken HTTP/1.1\r\nHost: a\r\nX-Api-Key: KEY\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200"), "{}", &said[..said.len().min(400)]);
    // Nobody takes it for a whole one, and what is in it is masked.
    assert!(!said.ends_with("0\r\n\r\n") && said.len() > 300_000, "{} bytes", said.len());
    assert!(said.contains("[pii.email]") && !said.contains("536-22-8391") && !said.contains("ada.osei@"));
    let run = lease.variable("TACHO_RUN").to_owned();
    let begun = Instant::now();
    let action = loop {
        let shown: Value = serde_json::from_str(&scene().ask(&["show", &run, "--json"], None).out()).unwrap();
        let action = shown["actions"][0].clone();
        if !action["result"].is_null() || begun.elapsed() > Duration::from_secs(20) {
            break action;
        }
        thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(action["result"]["result"], "indeterminate", "{action}");
    // What left is in the record: each value that came is counted there, and no more than two pieces' besides.
    let counted: u64 = action["exposures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["class"] == "pii.email")
        .map(|e| e["cells"].as_u64().unwrap())
        .sum();
    let came = said.matches("[pii.email]").count() as u64;
    assert!(counted >= came && counted <= came + 4_000, "{counted} recorded, {came} came: {action}");
}

#[test]
fn a_service_is_proved_by_its_certificate() {
    let place = interop::place::Scratch::new("http-tls").unwrap();
    let authority = interop::tls::Authority::new(place.path()).unwrap();
    let (cert, key) = authority.sign("good", "DNS:localhost,IP:127.0.0.1").unwrap();
    let good = Scene::start(Some((&cert, &key, &authority.certificate())));
    let done = good.sh("tester", "curl -sS $B/users/1");
    assert!(done.out().contains("\"id\": 1"), "{}", good.gateway.explain(&done));
    let checked = good.gateway.site().check().unwrap();
    assert!(checked.out().contains("proved its certificate"), "{}", checked.all());
    drop(good);
    let (cert, key) = authority.sign("other", "DNS:other.example").unwrap();
    let wrong = Scene::start(Some((&cert, &key, &authority.certificate())));
    let done = wrong.sh("tester", "curl -sS -i $B/users/1");
    assert!(done.out().contains("502") && wrong.seen().is_empty(), "{}", done.all());
}

#[test]
fn a_new_policy_holds_for_the_next_request_of_a_connection() {
    let scene = Scene::start(None);
    let lease = scene.gateway.lease("clerk").unwrap();
    let stream = TcpStream::connect(("127.0.0.1", scene.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut to, mut from) = (stream.try_clone().unwrap(), BufReader::new(stream));
    let request = format!(
        "GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Api-Key: {}\r\n\r\n",
        lease.variable("BILLING_API_KEY")
    );
    let mut status = || {
        to.write_all(request.as_bytes()).unwrap();
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        from.read_exact(&mut vec![0; length]).unwrap();
        head.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!([status(), status(), status()], ["200", "200", "200"], "decided once, and recorded each time");
    let closed =
        "@id(\"closed\") forbid (principal, action == Action::\"read\", resource in Resource::\"billing\");";
    let policy = scene.gateway.site().dir().join("policy/rules.cedar");
    std::fs::write(&policy, format!("{POLICY}{RULES}{closed}")).unwrap();
    scene.gateway.signal("HUP");
    eventually("the new policy holds", || (status() == "403").then_some(()));
    let shown = scene.ask(&["show", &scene.run_of("clerk")], None).out();
    assert!(shown.matches("GET /users/1").count() >= 4 && shown.contains("closed"), "{shown}");
}
