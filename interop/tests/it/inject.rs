//! P6 over HTTP: whatever the place is in which a service wants its credential, it is there once and is the gateway's, and
//! nothing that the agent, the record or the log has holds it.

use crate::scan::Net;
use crate::world::{POLICY, behind, drivers, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::place::{free_port, is_open};
use interop::process::{Daemon, Finished};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Name of the resource, `inject`, and the credential.
const PLACES: &[(&str, &str, &str)] = &[
    ("basic", "basic", "desk:basic-pw/83f1c7+9"),
    ("header", "header:X-Token", "header-token-5e0a92"),
    ("query", "query:api_key", "query/key+61b&d4=x"),
    ("down", "query:api_key", "query-key-of-nobody-7d"),
];
const BASIC: &str = "Basic ZGVzazpiYXNpYy1wdy84M2YxYzcrOQ==";

const RULES: &str = r#"
@id("placed")
permit (principal, action in [Action::"connect", Action::"read"], resource) when {
  resource in Resource::"basic" || resource in Resource::"header" || resource in Resource::"query" || resource in Resource::"down" };
"#;

struct Scene {
    gateway: Gateway,
    log: PathBuf,
    _service: Daemon,
}

impl Scene {
    fn start() -> Scene {
        let (port, closed) = (free_port().unwrap(), free_port().unwrap());
        let dir = drivers().dir();
        let log = dir.join(format!("placed-seen-{port}"));
        let mut command = behind("http_service.py");
        command.arg(port.to_string()).arg(&log);
        let mut service = Daemon::start(&mut command, &dir.join("placed.log"), "TERM").unwrap();
        service.wait_ready(Duration::from_secs(60), || is_open(port)).unwrap();
        let table = |(name, inject, secret): &(&str, &str, &str)| {
            let key = dir.join(format!("placed-{name}"));
            std::fs::write(&key, secret).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
            let (listen, port) = (free_port().unwrap(), if *name == "down" { closed } else { port });
            format!(
                "\n[[resource]]\nname = \"{name}\"\nkind = \"http\"\nlisten = \"127.0.0.1:{listen}\"\nreel = \"full\"\n\
                 upstream = \"http://localhost:{port}\"\ninject = \"{inject}\"\ncredential = {{ file = \"{}\" }}\n",
                key.display()
            )
        };
        let tables = PLACES.iter().map(table).collect();
        let plan = Plan { policy: format!("{POLICY}{RULES}"), tables, durability: "os".to_owned(), ..plan() };
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, log, _service: service }
    }

    fn sh(&self, agent: &str, script: &str) -> Finished {
        let words = [Path::new("/bin/sh"), Path::new("-c"), Path::new(script)];
        self.gateway.run_to_end(agent, &words, "").unwrap()
    }

    /// What of the service's log holds `word`.
    fn seen(&self, word: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains(word));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the agent, all reports, the log and the disk of the gateway say.
    fn says_nothing(&self, agent: &str, done: &Finished) {
        let run = run_of(self.gateway.site(), agent);
        let ask = |verb: &str| self.gateway.site().ask(&[verb, &run], "").unwrap().all();
        let all =
            [done.all(), ask("show"), ask("replay"), ask("touched"), ask("exposed"), self.gateway.log()];
        let net = net();
        for said in all {
            assert_eq!(net.search(said.as_bytes()), Vec::<&str>::new(), "{said}");
        }
        assert_eq!(net.search_files(&self.gateway.site().dir()), Vec::<String>::new());
        let verified = self.gateway.site().ask(&["verify"], "").unwrap();
        assert!(verified.status.success(), "{}", verified.all());
    }
}

fn net() -> Net {
    let whole = PLACES.iter().map(|(_, _, secret)| *secret);
    let inner = ["basic-pw/83f1c7+9", "ZGVzazpiYXNpYy1wdy84M2YxYzcrO", "query%2Fkey%2B61b%26d4%3Dx"];
    Net::new(whole.chain(inner))
}

fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(Scene::start)
}

/// The values of a field, however it is written.
fn all<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    let fields = seen["headers"].as_array().unwrap().iter();
    let named =
        fields.filter(|field| field[0].as_str().unwrap().replace('_', "-").eq_ignore_ascii_case(name));
    named.map(|field| field[1].as_str().unwrap()).collect()
}

#[test]
fn a_name_and_password_are_the_gateways() {
    let done = scene().sh(
        "basic-user",
        "curl -sS -i -H \"Authorization: Bearer $BASIC_API_KEY\" \"$BASIC_BASE_URL/mirror?probe=b1\"; \
         curl -sS -i -H \"x-API-key: $BASIC_API_KEY\" -H 'X_Api_Key: mine-71' \"$BASIC_BASE_URL/mirror?probe=b2\"; \
         curl -sS -i \"$BASIC_URL/mirror?probe=b3\"",
    );
    assert_eq!(done.out().matches("200 OK").count(), 3, "{}", scene().gateway.explain(&done));
    for probe in ["b1", "b2", "b3"] {
        let seen = scene().seen(&format!("probe={probe}"));
        assert_eq!((seen.len(), all(&seen[0], "authorization")), (1, vec![BASIC]), "{seen:?}");
        assert_eq!(all(&seen[0], "x-api-key"), Vec::<&str>::new(), "{seen:?}");
    }
    assert!(
        done.out().contains("X-Who: [credential]") && done.out().contains("\"who\": \"[credential]\""),
        "{}",
        done.out()
    );
    let two = scene().sh(
        "basic-two",
        "curl -sS -H \"authorization: Bearer $BASIC_API_KEY\" -H 'AUTHORIZATION: Basic bWluZTptaW5l' $BASIC_BASE_URL/mirror?probe=b4",
    );
    assert!(scene().seen("probe=b4").is_empty() && !two.out().contains("target"), "{}", two.all());
    scene().says_nothing("basic-user", &done);
}

#[test]
fn a_field_of_the_services_own_is_the_gateways() {
    let done = scene().sh(
        "header-user",
        "curl -sS -i -H \"Authorization: Bearer $HEADER_API_KEY\" -H 'x-token: mine-81' -H 'X-TOKEN: mine-82' -H 'X_Token: mine-83' \
         -H 'x-tOKEN;' -H 'X-Other: kept' \"$HEADER_BASE_URL/mirror?probe=h1\"",
    );
    assert!(done.out().contains("200 OK"), "{}", scene().gateway.explain(&done));
    let seen = scene().seen("probe=h1");
    assert_eq!((seen.len(), all(&seen[0], "x-token")), (1, vec![PLACES[1].2]), "{seen:?}");
    assert_eq!(
        (all(&seen[0], "authorization"), all(&seen[0], "x-other")),
        (vec![], vec!["kept"]),
        "{seen:?}"
    );
    assert!(done.out().contains("[\"X-Token\", \"[credential]\"]"), "{}", done.out());
    scene().says_nothing("header-user", &done);
    // What the agent put there is nobody's question.
    let shown =
        json(scene().gateway.site(), &["show", &run_of(scene().gateway.site(), "header-user"), "--json"]);
    let asked = shown["actions"].to_string();
    assert!(asked.contains("x-other: kept") && !asked.contains("mine-8"), "{shown}");
}

#[test]
fn a_parameter_is_the_gateways_and_in_no_spelling_the_agents() {
    let done = scene().sh(
        "query-user",
        "curl -sS -i \"$QUERY_URL/mirror?probe=q1&other=api_key\"; curl -sS \"$QUERY_URL/mirror\"",
    );
    assert!(done.out().contains("200 OK"), "{}", scene().gateway.explain(&done));
    let (seen, own) = (scene().seen("probe=q1"), "api_key=query%2Fkey%2B61b%26d4%3Dx");
    assert_eq!(seen[0]["target"], format!("/mirror?probe=q1&other=api_key&{own}"), "{seen:?}");
    assert!(
        scene().seen("mirror?api_key").iter().any(|s| s["target"] == format!("/mirror?{own}")),
        "{seen:?}"
    );
    assert!(done.out().contains("[\"api_key\", \"[credential]\"]"), "{}", done.out());
    assert!(
        done.out().contains("X-Target: /mirror?probe=q1&other=api_key&api_key=[credential]"),
        "{}",
        done.out()
    );
    scene().says_nothing("query-user", &done);
    // As links, pages and logs write it: in Base64 wherever it begins there, in references of HTML, twice encoded.
    let done = scene().sh("query-reader", "curl -sS -i \"$QUERY_URL/written?probe=q3\"");
    assert!(done.out().contains("200 OK"), "{}", scene().gateway.explain(&done));
    assert_eq!(done.out().matches("[credential]").count(), 26, "{}", done.out());
    assert!(done.out().contains("api_key%3D[credential]"), "{}", done.out());
    let bare = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "").to_lowercase();
    let digits = PLACES[2].2.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    for inner in ["key2b61b", "key252b61b", "key4361b", &digits] {
        assert!(!bare(&done.out()).contains(inner), "{inner}: {}", done.out());
    }
    scene().says_nothing("query-reader", &done);
    for query in [
        "api_key=mine-91",
        "API_KEY=mine-91",
        "probe=1&api_key=mine-91&api_key=mine-92",
        "%61pi%5fkey=mine-91",
        "api-key=mine-91",
        "api_key",
        "api_key[]=mine-91",
        "a=b;api_key=mine-91",
        "+api.key=mine-91",
    ] {
        let done =
            scene().sh("query-thief", &format!("curl -sS -g -i \"$QUERY_URL/mirror?{query}&probe=q2\""));
        assert!(
            done.out().contains(" 400 ") && done.out().contains("the gateway's"),
            "{query}: {}",
            done.all()
        );
    }
    assert!(scene().seen("probe=q2").is_empty(), "it was sent");
}

#[test]
fn a_service_that_is_not_there_is_told_of_without_its_credential() {
    let done = scene().sh("down-user", "curl -sS -i \"$DOWN_URL/mirror?probe=d1\"");
    assert!(done.out().contains(" 502 "), "{}", scene().gateway.explain(&done));
    scene().says_nothing("down-user", &done);
}
