//! Every verb, as a person types it, on a run made by psql and on one made by a Python program; and every answer in
//! JSON, held against docs/JSON.md.

use crate::people::{operator, waiting, with_token};
use crate::raw::{Raw, code, query};
use crate::world::{UPSTREAM_PASSWORD, agent, client, drivers, good_at, json, newest_run, own};
use interop::gateway::{Gateway, Lease};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use interop::programs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The documented fields of each shape: what stands in backticks in its row.
fn documented() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(programs::source("docs/JSON.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tacho."));
    let row = |row: &str| {
        let (name, rest) = row.split_once('`')?;
        Some((format!("tacho.{name}"), rest.to_owned()))
    };
    rows.filter_map(row).collect()
}

/// That a document says what it is, and that the page knows each of its fields.
fn is_documented(what: &str, document: &Value, shapes: &BTreeMap<String, String>) {
    let shape = document["shape"].as_str().unwrap_or_else(|| panic!("{what} has no shape: {document}"));
    let row = shapes.get(shape).unwrap_or_else(|| panic!("{what}: docs/JSON.md lacks {shape}"));
    for field in document.as_object().unwrap().keys().filter(|field| *field != "shape") {
        let known = row.contains(&format!("`{field}`"))
            || row.contains(&format!("`{field}:"))
            || row.contains("citations") && matches!(&**field, "records" | "more_records");
        assert!(known, "{what}: docs/JSON.md does not know the field {field} of {shape}: {row}");
    }
}

/// A run by psql and one by a Python program, and something that waits.
fn world(database: &str) -> (Gateway, [String; 2], Lease, Raw, String) {
    let gateway = own(database, |plan| plan.durability = "os".to_owned());
    let script = "psql -X -c 'select * from customers' -c 'select c.name, o.amount from orders o join customers c on c.id = o.customer_id' \
                  -c 'drop table orders' -c \"insert into pad (t) values ('x') returning id\" -c 'copy customers to stdout'";
    let done = agent(&gateway, script);
    assert!(done.out().contains("COPY") || done.out().contains("ssn_1"), "{}", gateway.explain(&done));
    let psql = newest_run(gateway.site());
    let program = client("psycopg3_client.py");
    let words = [drivers().python(), program];
    let words: Vec<&Path> = words.iter().map(std::path::PathBuf::as_path).collect();
    good_at(&gateway, &gateway.run_to_end("tester", &words, "").unwrap());
    let python = newest_run(gateway.site());
    assert_ne!(psql, python);
    let lead = operator(&gateway, "lena", "approver", "leads");
    let lease = gateway.lease("asker").unwrap();
    let mut asking = Raw::log_in(&gateway, &lease);
    asking.send(&query("UPDATE orders SET note = 'x' WHERE id = 1"));
    waiting(&gateway, &lead, "orders");
    (gateway, [psql, python], lease, asking, lead)
}

#[test]
fn every_verb_answers_for_a_run_of_psql_and_for_one_of_a_program() {
    let (gateway, runs, _lease, mut asking, lead) = world("verbs");
    let site = gateway.site();
    let ask = |words: &[&str], expected: i32| -> Finished {
        let said = site.ask(words, "").unwrap();
        assert_eq!(said.status.code(), Some(expected), "tacho {words:?}: {}", gateway.explain(&said));
        assert!(!said.all().contains("536-22-8391"), "tacho {words:?}");
        said
    };
    let listed = ask(&["runs"], 0).out();
    for run in &runs {
        // As a person would: by the beginning of the id.
        let run = &run[..12];
        assert!(listed.contains(&run[..8]), "{listed}");
        assert!(ask(&["who", run], 0).out().contains("ada started agent tester"));
        assert!(ask(&["show", run], 0).out().contains("customers"));
        assert!(ask(&["touched", run], 0).out().contains("crm/verbs/public/"));
        let exposed = ask(&["exposed", run], 0);
        assert!(exposed.out().contains("masked"), "{}", exposed.all());
        assert!(ask(&["replay", run], 0).out().contains("ssn_1"));
        ask(&["replay", run, "--at", "1"], 0);
        ask(&["export", run, "--as", "bundle", "--with-key", "-o", "run.bundle"], 0);
        ask(&["verify", "run.bundle"], 0);
        assert!(ask(&["show", run, "--ledger", "run.bundle"], 0).out().contains("customers"));
        ask(&["export", run, "--as", "html", "--results", "-o", "run.html"], 0);
        let page = std::fs::read_to_string(site.dir().join("run.html")).unwrap();
        assert!(page.contains("Who initiated it?") && page.contains("ssn_1") && !page.contains("<script"));
        assert!(!page.contains("http://") && !page.contains("src="), "the page is not self-contained");
    }
    assert!(ask(&["find", "verb:write"], 0).out().contains("insert into pad"));
    ask(&["find", "verb:define table:customers"], 1);
    ask(&["find", "vreb:write"], 2);
    ask(&["diff", &runs[0], &runs[1]], 1);
    ask(&["diff", &runs[0], &runs[0]], 0);
    ask(&["verify"], 0);
    assert!(ask(&["status"], 0).out().contains("1"));
    assert!(with_token(&gateway, &lead, &["approvals"]).out().contains("UPDATE orders"));
    let id = waiting(&gateway, &lead, "orders");
    assert!(with_token(&gateway, &lead, &["approve", &id[..8]]).status.success());
    assert_eq!(code(&asking.until_ready().unwrap()), None);
    assert!(site.check().unwrap().status.success());
    ask(&["policy", "check"], 0);
    ask(&["policy", "test"], 0);
    ask(&["policy", "replay"], 0);
    // Asked as the question of the whole tool: was this value ever shown?
    let key = site.auditor_key().display().to_string();
    let value = site.ask(&["exposed", "--value", "-", "--auditor-key", &key], "536-22-8391\n").unwrap();
    assert!(matches!(value.status.code(), Some(0 | 3)), "{}", value.all());
}

#[test]
fn status_counts_what_is_there() {
    let gateway = own("counted", |plan| plan.durability = "os".to_owned());
    let count = || {
        let status = json(gateway.site(), &["status", "--json"]);
        let resource = &status["resources"][0];
        assert_eq!(resource["up"], true, "{status}");
        (
            status["runs"].as_u64().unwrap(),
            status["sessions"].as_u64().unwrap(),
            resource["sessions"].as_u64().unwrap(),
        )
    };
    assert_eq!(count(), (0, 0, 0));
    let leases = [gateway.lease("tester").unwrap(), gateway.lease("tester").unwrap()];
    let mut clients: Vec<Raw> = [0, 0, 1].map(|n: usize| Raw::log_in(&gateway, &leases[n])).into();
    assert_eq!(count(), (2, 3, 3));
    drop(clients.pop());
    crate::world::eventually("one session less", || (count() == (2, 2, 2)).then_some(()));
    drop((clients, leases));
    crate::world::eventually("nobody there", || (count() == (0, 0, 0)).then_some(()));
}

/// `runs revoke` cuts what is under way, at once, whatever it is doing.
#[test]
fn a_revoked_run_loses_its_connections_in_the_middle_of_a_statement() {
    let gateway = own("revoked", |plan| plan.durability = "os".to_owned());
    let admin = operator(&gateway, "olga", "admin", "none");
    let (lease, other) = (gateway.lease("tester").unwrap(), gateway.lease("tester").unwrap());
    let mut idle = Raw::log_in(&gateway, &lease);
    let mut busy = Raw::log_in(&gateway, &lease);
    let mut streaming = Raw::log_in(&gateway, &lease);
    let mut copying = Raw::log_in(&gateway, &lease);
    let mut bystander = Raw::log_in(&gateway, &other);
    busy.send(&query("SELECT count(*) FROM generate_series(1, 60000) a, generate_series(1, 60000) b"));
    streaming.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 10000000)"));
    copying.send(&query("COPY pad (t) FROM STDIN"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let begun = std::time::Instant::now();
    let said =
        with_token(&gateway, &admin, &["runs", "revoke", lease.variable("TACHO_RUN"), "--reason", "strange"]);
    assert!(said.status.success(), "{}", said.all());
    for client in [&mut idle, &mut busy, &mut copying, &mut streaming] {
        client.read_to_end();
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(code(&bystander.query("SELECT 1").unwrap()), None);
    // What it left running upstream is cancelled, too.
    crate::world::eventually("the upstream still works for it", || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'revoked' AND state = 'active' AND usename = 'crm_app'";
        (crate::world::upstream().admin("postgres", sql).unwrap() == "0").then_some(())
    });
    let shown = json(gateway.site(), &["show", lease.variable("TACHO_RUN"), "--json"]);
    assert_eq!(shown["run"]["state"], "revoked", "{shown}");
}

#[test]
fn each_answer_in_json_has_the_documented_fields() {
    let (gateway, runs, lease, mut asking, lead) = world("documented");
    let (site, shapes) = (gateway.site(), documented());
    let run = runs[0].as_str();
    let key = site.auditor_key().display().to_string();
    let mut seen = Vec::new();
    let mut look = |words: &[&str], said: &Finished| {
        let text = if said.out().trim().is_empty() { said.err() } else { said.out() };
        let document: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("tacho {words:?}: {}", said.all()));
        is_documented(&words.join(" "), &document, &shapes);
        seen.push(document["shape"].as_str().unwrap().to_owned());
    };
    for words in [
        &["init", "--no-passphrase", "--dir", "elsewhere"][..],
        &["doctor"],
        &["runs"],
        &["show", run],
        &["who", run],
        &["touched", run],
        &["exposed", run],
        &["exposed", "--value", "-", "--auditor-key", &key],
        &["replay", run],
        &["find", "verb:read"],
        &["diff", run, &runs[1]],
        &["verify"],
        &["status"],
        &["policy", "check"],
        &["policy", "test"],
        &["policy", "replay"],
        &["export", run, "--as", "bundle", "-o", "b"],
        &["export", run, "--as", "html", "-o", "h"],
        &["operator", "list"],
        &["operator", "add", "nina", "--role", "auditor"],
        &["operator", "remove", "nina"],
        &["man", "man"],
        // Errors, each its own exit code.
        &["show", "ffffffffff"],
        &["check", "--offline", "--config", "nowhere.toml"],
        &["policy", "check", "nowhere"],
    ] {
        let said = site.ask(&[words, &["--json"]].concat(), "not-there-at-all\n").unwrap();
        look(words, &said);
    }
    let again = ["replay", run, "--json", "--", "true"];
    look(&again, &site.ask(&again, "").unwrap());
    let mut check = site.tacho();
    check.args(["check", "--json"]).env("CRM_PASSWORD", UPSTREAM_PASSWORD);
    look(&["check"], &finish(&mut check, b"", CLIENT_SECONDS_MAX).unwrap());
    let said = with_token(&gateway, &lead, &["approvals", "--json"]);
    look(&["approvals"], &said);
    let id = waiting(&gateway, &lead, "orders");
    look(&["approvals", "ID"], &with_token(&gateway, &lead, &["approvals", &id, "--json"]));
    look(&["approve"], &with_token(&gateway, &lead, &["approve", &id, "--json"]));
    assert_eq!(code(&asking.until_ready().unwrap()), None);
    asking.send(&query("UPDATE orders SET note = 'y' WHERE id = 1"));
    let id = waiting(&gateway, &lead, "orders");
    look(&["deny"], &with_token(&gateway, &lead, &["deny", &id, "--reason", "no", "--json"]));
    let admin = operator(&gateway, "olga", "admin", "none");
    let words = ["runs", "revoke", lease.variable("TACHO_RUN"), "--reason", "done", "--json"];
    look(&["tools"], &with_token(&gateway, &admin, &["tools", "--json"]));
    look(&["runs", "revoke"], &with_token(&gateway, &admin, &words));
    look(&["approve nothing"], &with_token(&gateway, &lead, &["approve", &id, "--json"]));
    // Shapes of the API alone, and those that the page has and nothing gives.
    seen.extend(["tacho.live/1", "tacho.minted/1", "tacho.error/1"].map(str::to_owned));
    // Of SSH; crates/answers holds its fields against the page.
    seen.push("tacho.screen/1".to_owned());
    for shape in shapes.keys() {
        assert!(seen.contains(shape), "docs/JSON.md describes {shape}, which nothing gave: {seen:?}");
    }
}

/// The sentence of a refusal's record is the one that the client heard, whatever rule would have refused it as well; and
/// which call makes a statement opaque, the client reads in its own words.
#[test]
fn the_record_of_a_refusal_says_what_the_client_was_told() {
    let rule = "\n@id(\"no-administer\") @message(\"Agents do not administer.\")\n\
                forbid (principal, action == Action::\"administer\", resource);\n";
    let gateway = own("told", |plan| plan.policy.push_str(rule));
    let done = agent(
        &gateway,
        "psql -X -c 'SELECT * FROM pg_stat_activity'; psql -X -c 'SELECT upper(city), nosuchfunc(1) FROM customers'",
    );
    let told = "This system relation may show governed values.";
    assert!(done.err().contains(told) && !done.err().contains("do not administer"), "{}", done.all());
    assert!(done.err().contains("what it calls is not known to be harmless: nosuchfunc;"), "{}", done.all());
    let show = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
    let actions = show["actions"].as_array().unwrap();
    let of = |word: &str| {
        actions.iter().find(|action| action["statement"].as_str().unwrap().contains(word)).unwrap().clone()
    };
    assert_eq!(of("pg_stat_activity")["refusals"][0]["message"], told);
    assert_eq!(of("pg_stat_activity")["rules"][0], "no-administer");
    assert!(of("nosuchfunc")["functions"].to_string().contains("nosuchfunc"), "{show}");
}
