//! HTTP/2 on both legs: unchanged clients and services, and what is decided, masked and recorded is what it is for HTTP/1.1.

mod foreign;
mod scene;

use crate::world::{client, drivers, eventually};
use interop::process::Finished;
use scene::{KEY, SECRETS, scene};
use serde_json::Value;
use std::thread;

fn without_secrets(text: &str) {
    SECRETS.iter().for_each(|secret| assert!(!text.contains(secret), "{secret} in {text}"));
}

#[track_caller]
fn is(done: &Finished, expect: &str) {
    assert_eq!(done.out(), expect, "{}", scene().gateway.explain(done));
}

const MASKED: &str =
    r#"{"id": 1, "name": "Ada Osei", "ssn": "*******8391", "email": "[pii.email]", "balance": 12.5}"#;

#[test]
fn curl_gets_over_http_2_what_it_gets_over_http_1() {
    let body = |words: &str| {
        let done = scene().sh("tester", &format!("curl -sS -w ' %{{http_version}}' {words}"));
        without_secrets(&done.all());
        done.out()
    };
    assert_eq!(body("--http2-prior-knowledge $ONE_URL/users/1"), format!("{MASKED} 2"));
    assert_eq!(body("$ONE_URL/users/1"), format!("{MASKED} 1.1"));
    // Both legs, by ALPN; and each version on either side.
    let compact = MASKED.replace(": ", ":").replace(", ", ",");
    for (words, version) in
        [("--cacert $CA", "2"), ("--cacert $CA --http1.1", "1.1"), ("--cacert $CA --http2", "2")]
    {
        let url = "https://$(echo $TWO_URL | sed 's,.*://,,;s,127.0.0.1,localhost,')/users/1";
        assert_eq!(body(&format!("{words} {url}")), format!("{compact} {version}"), "{words}");
    }
    assert_eq!(body("--http2-prior-knowledge $PRIOR_URL/users/1"), format!("{compact} 2"));
    assert_eq!(
        body("$NGINX_URL/users/1 $OLD_URL/users/1"),
        "{\"ssn\": \"*******8391\", \"by\": \"HTTP/2.0\"} 1.1{\"ssn\": \"*******8391\", \"by\": \"HTTP/1.1\"} 1.1"
    );
    assert_eq!(
        body("-d '{\"a\": 1}' -H 'Content-Type: application/json' $NGINX_URL/echo"),
        "{\"a\": 1} 1.1",
        "a body through nginx"
    );
    let done = scene().sh("tester", "curl -sS -i $DEAF_URL/users/1");
    assert!(done.out().starts_with("HTTP/1.1 502"), "nothing falls back: {}", done.all());
    let head = body("-I --http2-prior-knowledge $PRIOR_URL/users/1");
    assert!(head.starts_with("HTTP/2 200") && head.contains("x-owner: [pii.email]"), "{head}");
    assert!(!head.contains("connection:"), "{head}");
}

/// Each may come to a status of 400 or more, a reset, or the connection's end, but for those that say what is right.
#[test]
fn no_frame_makes_a_request_that_was_not_decided() {
    let other = scene().gateway.lease("other").unwrap();
    let script = format!(
        "{} {} {} $ONE_API_KEY {}",
        drivers().python().display(),
        client("h2_attacks.py").display(),
        scene().one,
        other.variable("ONE_API_KEY")
    );
    let done = scene().sh("attacker", &script);
    let lines: Vec<Value> = done.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 110 && done.status.success(), "{}", scene().gateway.explain(&done));
    let mut let_through = Vec::new();
    for line in &lines {
        let (name, is) = (line["name"].as_str().unwrap(), line["is"].as_str().unwrap());
        let refused = is == "closed"
            || is.starts_with("RST ")
            || is.starts_with("GOAWAY ")
            || is.parse::<u16>().is_ok_and(|status| status >= 400);
        match name {
            // The first SETTINGS may be missing, as far as h2 is concerned: it says nothing of a request.
            "right" | "PING and SETTINGS flood" | "a fragment" | "no SETTINGS" if is == "200" => {}
            "another run's credential" if is == "401" => {}
            "right" | "PING and SETTINGS flood" | "a fragment" | "another run's credential" => {
                let_through.push(line)
            }
            _ if refused => {}
            _ => let_through.push(line),
        }
    }
    assert!(let_through.is_empty(), "{let_through:#?}");
    let probes: Vec<Value> = scene()
        .seen()
        .into_iter()
        .filter(|seen| seen.to_string().to_lowercase().contains("x-probe"))
        .collect();
    assert!(probes.is_empty(), "the service saw {probes:#?}");
    let fragments = |seen: &Value| seen["target"].as_str().is_some_and(|target| target.contains('#'));
    assert!(!scene().seen().iter().any(fragments), "a fragment was sent");
    // The gateway serves on, and its record is whole.
    let done = scene().sh("tester", "curl -sS --http2-prior-knowledge $ONE_URL/users/1");
    is(&done, MASKED);
}

#[test]
fn pythons_and_nodes_clients_do_not_notice() {
    let script = r#"
import asyncio, os, ssl, time, httpx
tls = ssl.create_default_context(cafile=os.environ["CA"])
two = os.environ["TWO_BASE_URL"].replace("127.0.0.1", "localhost").replace("http://", "https://")
bearer = {"Authorization": "Bearer " + os.environ["TWO_API_KEY"]}
async def main():
    async with httpx.AsyncClient(base_url=two, http2=True, verify=tls, headers=bearer, timeout=60) as c:
        first = await c.get("/users/1")
        assert first.http_version == "HTTP/2" and first.json()["ssn"] == "*******8391", first.text
        assert (await c.get("/missing")).status_code == 404
        assert (await c.get("/empty")).status_code == 204
        assert (await c.get("/interim")).json() == {}
        assert (await c.get("/pushed")).json() == {"push": False}
        # Many at once on one connection, and each gets its own.
        answers = await asyncio.gather(*[c.post("/echo", json={"n": n}) for n in range(60)])
        assert [a.json()["n"] for a in answers] == list(range(60))
        # Events flow one by one.
        async with c.stream("GET", "/events") as r:
            came = [(time.time(), line) async for line in r.aiter_lines() if line.startswith("data:")]
        assert len(came) == 4 and all("[pii.email]" in line for _, line in came[:3]), came
        assert came[2][0] - came[0][0] > 0.4, "held until the end"
        # What the service cuts off never looks whole.
        for path in ["/cut", "/short"]:
            try:
                answer = await c.get(path)
                assert answer.status_code == 502, (path, answer.status_code, answer.text)
            except httpx.RemoteProtocolError:
                pass
        assert (await c.get("/gone")).status_code == 200
        assert (await c.get("/users/1")).status_code == 200, "dialled anew behind GOAWAY"
        # A body as long as many windows, both ways.
        big = {"rows": ["x" * 1000] * 3000}
        assert (await c.post("/echo", json=big)).json() == big
asyncio.run(main())
print("done")
"#;
    let done = scene().program("tester", "http2_httpx.py", script);
    is(&done, "done\n");
    let script = r#"
import http2 from "node:http2";
import fs from "node:fs";
const key = process.env.TWO_API_KEY;
const url = process.env.TWO_BASE_URL.replace("127.0.0.1", "localhost").replace(/^http:/, "https:");
const session = http2.connect(url, { ca: fs.readFileSync(process.env.CA) });
const ask = (headers, body) => new Promise((done, fail) => {
  const stream = session.request({ authorization: "Bearer " + key, ...headers }, { endStream: body === undefined });
  const got = { text: "" };
  stream.on("response", (h) => (got.status = h[":status"]));
  stream.on("trailers", (t) => (got.trailers = t));
  stream.on("continue", () => (got.continued = true));
  stream.setEncoding("utf8");
  stream.on("data", (piece) => (got.text += piece));
  stream.on("end", () => done(got));
  stream.on("error", fail);
  if (body !== undefined) stream.end(body);
});
const out = [];
const trailing = await ask({ ":path": "/trailers", te: "trailers" });
out.push(trailing.text, trailing.trailers["grpc-status"], trailing.trailers["x-mail"]);
out.push(String((await ask({ ":path": "/trailers" })).trailers));
const json = { ":method": "POST", ":path": "/echo", "content-type": "application/json" };
const waited = await ask({ ...json, expect: "100-continue" }, '{"a": 1}');
out.push(waited.text, String(waited.continued));
const told = await ask({ ":path": "/headers", te: "trailers", cookie: ["a=1", "b=2"] });
const fields = JSON.parse(told.text).fields;
out.push(fields.filter((f) => /^(te|cookie|connection|authorization|:authority)/.test(f)).join(" | "));
console.log(out.join("\n"));
session.close();
"#;
    let done = scene().program("tester", "http2_node.mjs", script);
    let out = done.out();
    without_secrets(&out);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 7, "{}", scene().gateway.explain(&done));
    assert_eq!(
        lines[..6],
        [r#"{"ssn":"*******8391"}"#, "0", "[pii.email]", "undefined", r#"{"a": 1}"#, "true"]
    );
    assert!(lines[6].contains("te: trailers") && lines[6].contains("cookie: a=1; b=2"), "{out}");
    assert!(lines[6].contains(":authority: localhost:") && !lines[6].contains("connection:"), "{out}");
    let keys: Vec<Value> = scene().seen().into_iter().filter(|seen| seen["target"] == "/headers").collect();
    assert!(keys[0]["fields"].to_string().contains(&format!("Bearer {KEY}")), "{keys:#?}");
}

#[test]
fn a_stream_that_waits_for_a_person_holds_up_no_other() {
    let added =
        scene().json(&["operator", "add", "lena", "--role", "approver", "--group", "leads", "--json"]);
    let token = added["token"].as_str().unwrap().to_owned();
    let script = r#"
import http2 from "node:http2";
const key = process.env.ONE_API_KEY;
const session = http2.connect(process.env.ONE_BASE_URL);
const ask = (headers) => {
  const stream = session.request({ "x-api-key": key, ...headers });
  const end = new Promise((done) => {
    stream.on("response", (h) => { stream.resume(); done(h[":status"]); });
    stream.on("error", () => done("reset"));
    stream.on("close", () => done("closed"));
  });
  return { stream, end };
};
const held = ask({ ":method": "DELETE", ":path": "/users/2?reason=held" });
await new Promise((done) => setTimeout(done, 1000));
for (let n = 0; n < 10; n++) if ((await ask({ ":path": "/users/1" }).end) !== 200) console.log("another was not answered");
console.log("others went on");
// One that the client gives up is asked about no more.
const abandoned = ask({ ":method": "DELETE", ":path": "/users/2?reason=abandoned" });
setTimeout(() => abandoned.stream.close(http2.constants.NGHTTP2_CANCEL), 2000);
console.log(await held.end);
session.close();
"#;
    let agent = thread::spawn(move || scene().program("asker", "http2_asks.mjs", script));
    let inbox = || -> Option<Vec<Value>> {
        let said = scene().ask(&["approvals", "--json"], Some(&token)).out();
        Some(serde_json::from_str::<Value>(&said).ok()?["approvals"].as_array()?.clone())
    };
    let waits = |word: &str| inbox()?.into_iter().find(|asked| asked.to_string().contains(word));
    eventually("the abandoned one is asked", || waits("reason=abandoned"));
    eventually("it is asked no more", || waits("reason=abandoned").is_none().then_some(()));
    let asked = eventually("the held one still waits", || waits("reason=held"));
    assert!(scene().ask(&["approve", asked["ask"].as_str().unwrap()], Some(&token)).status.success());
    let done = agent.join().unwrap();
    is(&done, "others went on\n200\n");
    let sent = |word: &str| scene().seen().iter().filter(|seen| seen.to_string().contains(word)).count();
    assert_eq!((sent("reason=held"), sent("reason=abandoned")), (1, 0));
}

#[test]
fn a_body_of_twenty_megabytes_passes_and_the_gateway_stays_small() {
    // A body that is longer than what is held is opaque.
    let script = "head -c 20000000 /dev/zero | tr '\\0' x > $HOME/big; \
        for url in $ONE_URL $PRIOR_URL; do curl -sS --http2-prior-knowledge -H 'Content-Type: text/plain' -H 'Expect:' \
        --data-binary @$HOME/big -o $HOME/back -w '%{http_code} %{http_version} ' $url/echo; cmp $HOME/big $HOME/back && echo same; done";
    let done = scene().sh("blind", script);
    is(&done, "200 2 same\n200 2 same\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene().gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 600 << 10, "{kib} KiB at most were in use");
}

#[test]
fn each_stream_is_in_the_record_and_the_record_verifies() {
    let script = r#"
import asyncio, os, httpx
base, key = os.environ["ONE_BASE_URL"], os.environ["ONE_API_KEY"]
async def main():
    async with httpx.AsyncClient(base_url=base, http1=False, http2=True, headers={"X-Api-Key": key}, timeout=60) as c:
        await asyncio.gather(*[c.get(f"/users/1?stream={n}") for n in range(40)])
        assert (await c.get("/forbidden")).status_code == 403
        assert (await c.get("/users/1", headers={"X-Api-Key": "run_1.x"})).status_code == 401
        assert (await c.request("GET", "/users/1", headers={"X-HTTP-Method": "PUT"})).status_code == 400
        assert (await c.get("/users/1?stream=last")).status_code == 200
asyncio.run(main())
print("done")
"#;
    let done = scene().program("recorder", "http2_record.py", script);
    is(&done, "done\n");
    let run = scene().run_of("recorder");
    let shown = scene().json(&["show", &run, "--json"]);
    assert_eq!(shown["unread"].as_array().map(Vec::len), Some(0), "every record is understood: {shown}");
    let text = shown.to_string();
    for n in 0..40 {
        assert!(
            text.contains(&format!("/users/1?stream={n} "))
                || text.contains(&format!("/users/1?stream={n}\"")),
            "{n}: {text}"
        );
    }
    let sessions = shown["sessions"].as_array().unwrap();
    assert!(!sessions.is_empty() && sessions.len() <= 34, "lanes are used again: {}", sessions.len());
    let touched = scene().ask(&["touched", &run], None);
    assert!(touched.out().contains("one/users/{id}"), "{}", touched.all());
    let verified = scene().ask(&["verify"], None);
    assert!(verified.status.success(), "{}", verified.all());
    for secret in SECRETS {
        assert!(!scene().ask(&["show", &run], None).out().contains(secret));
    }
}

/// What a hostile service says is told as its fault, or cut off, and never as a good answer.
#[test]
fn what_a_service_says_in_no_good_frames_is_no_answer() {
    let script = r#"
import os, subprocess, sys
out = []
for what in sys.argv[1:]:
    for version in ["--http2-prior-knowledge", "--http1.1"]:
        url = os.environ["HOSTILE_URL"] + "/" + what
        done = subprocess.run(["curl", "-sS", "-m", "30", version, "-w", " %{http_code}", url], capture_output=True, text=True)
        good = done.returncode == 0 and done.stdout.endswith(" 200")
        print(what, version, "good" if good else "refused")
        if "planted" in done.stdout:
            print("PLANTED", what, done.stdout)
"#;
    let refused = [
        "garbage",
        "http1",
        "huge",
        "interims",
        "switch",
        "connection",
        "upper",
        "nostatus",
        "twostatus",
        "crlf",
        "space",
        "datafirst",
        "rst",
        "goaway",
        "long",
        "short",
        "push",
        "pseudo",
        "bomb",
        "evenstream",
        "end",
    ];
    let file = drivers().file("http2_hostile.py", script).unwrap();
    let words = ["right"].iter().chain(&refused).copied().collect::<Vec<_>>().join(" ");
    let done = scene().sh("tester", &format!("{} {} {words}", drivers().python().display(), file.display()));
    let mut expect = String::from("right --http2-prior-knowledge good\nright --http1.1 good\n");
    for what in refused {
        expect += &format!("{what} --http2-prior-knowledge refused\n{what} --http1.1 refused\n");
    }
    is(&done, &expect);
}
