//! What a session's names mean is known behind whatever may have changed it: a setting, a table, a name of the session's own, in
//! whatever flight they stood and however that ended.

use crate::names::{ask, bind, cells, execute, parse};
use crate::raw::{Raw, code, message, query};
use crate::world::{own, upstream};
use interop::gateway::Gateway;

const READ: &str = "SELECT id, note FROM orders LIMIT 1";
const TO_HIDDEN: &str = "SELECT set_config('search_path', 'hidden,public', false)";
const RULES: &str = r#"
@id("all") permit (principal, action, resource) when { action != Action::"reveal" && action != Action::"opaque" };
@id("not-hidden") forbid (principal, action, resource in Resource::"crm/DATABASE/hidden");
@id("no-writes") forbid (principal in Agent::"reader", action == Action::"write", resource);
@id("few") forbid (principal in Agent::"limited", action == Action::"release", resource) when { context.rows > 100 };"#;

const TABLES: &str = "CREATE SCHEMA hidden; CREATE TABLE hidden.orders (id integer, note text); \
    INSERT INTO hidden.orders VALUES (1, 'forbidden'); GRANT USAGE ON SCHEMA hidden TO crm_app; \
    GRANT SELECT ON hidden.orders TO crm_app; CREATE SCHEMA mine AUTHORIZATION crm_app; \
    UPDATE orders SET note = 'plain'; GRANT UPDATE ON orders TO crm_app; GRANT CREATE ON SCHEMA public TO crm_app";

fn gateway(database: &str) -> Gateway {
    let gateway = own(database, |plan| {
        plan.durability = "os".to_owned();
        plan.policy = RULES.replace("DATABASE", database);
    });
    upstream().admin(database, TABLES).unwrap();
    gateway
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// Parse, Bind, Execute; no Sync.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", ""), execute("", 0)].concat()
}

/// The same of at most so many rows.
fn some(portal: &str, sql: &str, rows: u8) -> Vec<u8> {
    [parse("", sql), bind(portal, ""), execute(portal, rows)].concat()
}

/// Each on a connection of its own: first what is asked for one by one, then all of `sent` in one go, of which the last is
/// a read that must not find what is forbidden.
#[track_caller]
fn none_finds(gateway: &Gateway, agent: &str, cases: &[(&str, &[&str], Vec<u8>)]) {
    let lease = gateway.lease(agent).unwrap();
    let mut found = Vec::new();
    for (name, before, sent) in cases {
        let mut client = Raw::log_in(gateway, &lease);
        for sql in *before {
            let answer = client.query(sql).unwrap();
            assert_eq!(code(&answer), None, "{name}: {sql}: {answer:?}");
        }
        client.send(sent);
        for _ in frames(sent).iter().filter(|kind| matches!(kind, b'S' | b'Q')) {
            client.until_ready().unwrap();
        }
        if String::from_utf8_lossy(&client.seen).contains("forbidden") {
            found.push(*name);
        }
        // And the session goes on.
        assert_eq!(client.query("ROLLBACK").unwrap().last().map(|(kind, _)| *kind), Some(b'Z'), "{name}");
        assert_eq!(ask(&mut client, "SELECT 1"), ["1"], "{name}");
    }
    assert_eq!(found, Vec::<&str>::new());
}

fn frames(mut sent: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((head, _)) = sent.split_first_chunk::<5>() {
        kinds.push(head[0]);
        sent = &sent[1 + u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize..];
    }
    kinds
}

#[test]
fn behind_what_is_explained() {
    let gateway = gateway("paths_explained");
    let read = || query(READ);
    let cases: &[(&str, &[&str], Vec<u8>)] = &[
        ("DECLARE", &[&format!("EXPLAIN ANALYZE DECLARE c CURSOR FOR {TO_HIDDEN}")], read()),
        ("EXECUTE", &[&format!("PREPARE p AS {TO_HIDDEN}"), "EXPLAIN ANALYZE EXECUTE p"], read()),
        ("CREATE", &[&format!("EXPLAIN ANALYZE CREATE TEMP TABLE t AS {TO_HIDDEN}")], read()),
        ("in one Query", &[], query(&format!("EXPLAIN ANALYZE DECLARE c CURSOR FOR {TO_HIDDEN}; {READ}"))),
    ];
    none_finds(&gateway, "tester", cases);
    // Nor is a pin lifted so.
    let lease = gateway.lease("reader").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    for setting in ["lock_timeout', '0", "idle_in_transaction_session_timeout', '0"] {
        let sql = format!("EXPLAIN ANALYZE DECLARE c CURSOR FOR SELECT set_config('{setting}', false)");
        assert_eq!(code(&client.query(&sql).unwrap()).as_deref(), Some("42501"), "{sql}");
    }
    // What is explained and not run ends no transaction.
    ask(&mut client, "BEGIN");
    client.send(&[parse("over", "ROLLBACK"), sync()].concat());
    client.until_ready().unwrap();
    client.query("EXPLAIN EXECUTE over").unwrap();
    assert_eq!(ask(&mut client, "SELECT (now() = statement_timestamp())::text"), ["false"]);
}

#[test]
fn behind_a_portal_that_waits() {
    let gateway = gateway("paths_suspended");
    let many = format!("{TO_HIDDEN} FROM generate_series(1, 3)");
    let fails =
        "SELECT set_config('search_path', 'hidden,public', false), 1 / (2 - n) FROM generate_series(1, 3) n";
    let cases: &[(&str, &[&str], Vec<u8>)] = &[
        ("its flight", &[], [some("", &many, 1), sync(), query(READ)].concat()),
        ("in it", &[], [some("p", &many, 1), run(READ), sync()].concat()),
        ("in a block", &["BEGIN"], [some("p", &many, 1), run(READ), sync()].concat()),
        ("in a block, behind it", &["BEGIN"], [some("p", &many, 1), sync(), run(READ), sync()].concat()),
        (
            "it goes on",
            &["BEGIN"],
            [some("p", &many, 1), run("SET search_path = public"), execute("p", 1), run(READ), sync()]
                .concat(),
        ),
        (
            "it is closed",
            &["BEGIN"],
            [some("p", &many, 1), message(b'C', b"Pp\0"), run(READ), sync()].concat(),
        ),
        (
            "FETCH",
            &["BEGIN"],
            [
                parse("", &many),
                bind("p", ""),
                run("FETCH 1 FROM p"),
                run("SET search_path = public"),
                run("MOVE 1 FROM p"),
                run(READ),
                sync(),
            ]
            .concat(),
        ),
        (
            "FETCH of a part",
            &["BEGIN", &format!("DECLARE c CURSOR FOR {many}"), "SET search_path = public"],
            [some("p", "FETCH 2 FROM c", 1), run(READ), sync()].concat(),
        ),
        (
            "EXPLAIN of a part",
            &[],
            [some("p", &format!("EXPLAIN ANALYZE {TO_HIDDEN}"), 1), run(READ), sync(), query(READ)].concat(),
        ),
        (
            "back where it fails",
            &["SET search_path = hidden, public"],
            [
                some("p", &fails.replace("hidden,public", "public"), 1),
                execute("p", 0),
                sync(),
                run(READ),
                sync(),
            ]
            .concat(),
        ),
        (
            "held beyond its transaction",
            &["BEGIN", &format!("DECLARE c CURSOR WITH HOLD FOR {TO_HIDDEN}")],
            [run("COMMIT"), run(READ), sync(), query(READ)].concat(),
        ),
    ];
    none_finds(&gateway, "tester", cases);
    // Nor where policy kept the answer.
    let many = format!("{TO_HIDDEN} FROM generate_series(1, 200)");
    none_finds(&gateway, "limited", &[("kept", &[], [query(&many)].concat())]);
    let lease = gateway.lease("limited").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    assert_eq!(code(&client.query(&many).unwrap()).as_deref(), Some("42501"));
    client.query(READ).unwrap();
    assert!(!String::from_utf8_lossy(&client.seen).contains("forbidden"));
}

#[test]
fn behind_a_sync_that_nobody_waits_for() {
    let gateway = gateway("paths_synced");
    let (hidden, public) = (&["SET search_path = hidden, public"][..], "SET search_path = public");
    let temp = "CREATE TEMP TABLE orders (id integer, note text)";
    let cases: &[(&str, &[&str], Vec<u8>)] = &[
        (
            "SET LOCAL",
            hidden,
            [run("SET LOCAL search_path = public"), run("SELECT 2"), sync(), run(READ), sync()].concat(),
        ),
        (
            "SET LOCAL alone",
            hidden,
            [run("SET LOCAL search_path = public"), sync(), run(READ), sync()].concat(),
        ),
        ("SET and an error", hidden, [run(public), run("SELECT 1 / 0"), sync(), run(READ), sync()].concat()),
        (
            "SET, read, and an error at the end",
            hidden,
            [run(public), run(READ), run("SELECT 1 / 0"), sync(), query(READ)].concat(),
        ),
        ("a Query", hidden, [query(&format!("{public}; SELECT 1 / 0")), query(READ)].concat()),
        (
            "a Query of two",
            hidden,
            [query(&format!("{public}; SELECT 1; SELECT 1 / 0")), query(READ)].concat(),
        ),
        (
            "prepared before",
            &["SET search_path = hidden, public", public],
            [
                parse("s", READ),
                sync(),
                run("SET search_path = hidden, public"),
                sync(),
                run(public),
                run("SELECT 1 / 0"),
                sync(),
                bind("", "s"),
                execute("", 0),
                sync(),
            ]
            .concat(),
        ),
        (
            "a temporary table until COMMIT",
            hidden,
            [run(&format!("{temp} ON COMMIT DROP")), run("SELECT 1"), sync(), run(READ), sync()].concat(),
        ),
        (
            "a temporary table and an error",
            hidden,
            [run(temp), run("SELECT 1"), run("SELECT 1 / 0"), sync(), run(READ), sync()].concat(),
        ),
        (
            "a table and an error",
            &["SET search_path = mine, hidden, public"],
            [
                run("CREATE TABLE mine.orders (id integer, note text)"),
                run("SELECT 1"),
                run("SELECT 1 / 0"),
                sync(),
                run(READ),
                sync(),
            ]
            .concat(),
        ),
        (
            "a temporary table until COMMIT, in one flight",
            hidden,
            [
                run("BEGIN"),
                run(&format!("{temp} ON COMMIT DROP")),
                run("SELECT count(*) FROM orders"),
                run("COMMIT"),
                run(READ),
                sync(),
            ]
            .concat(),
        ),
        (
            "the same, in one Query",
            hidden,
            query(&format!("BEGIN; {temp} ON COMMIT DROP; SELECT count(*) FROM orders; COMMIT; {READ}")),
        ),
        (
            "a COMMIT that fails",
            &[
                "CREATE TEMP TABLE one (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED)",
                "SET search_path = hidden, public",
                "BEGIN",
                public,
                "INSERT INTO one VALUES (1), (1)",
            ],
            [run("COMMIT"), sync(), run(READ), sync()].concat(),
        ),
        (
            "a Sync that fails",
            &[
                "CREATE TEMP TABLE one (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED)",
                "SET search_path = hidden, public",
            ],
            [run(public), run("INSERT INTO one VALUES (1), (1)"), sync(), run(READ), sync()].concat(),
        ),
    ];
    none_finds(&gateway, "tester", cases);
}

/// What upstream skips behind an error gives no name, and takes none back.
#[test]
fn behind_names_that_were_never_given() {
    let gateway = gateway("paths_names");
    let hidden = "SET search_path = hidden, public";
    let fails = || [parse("z", "SELECT 1 / 0"), bind("", "z"), execute("", 0)].concat();
    let used = |name: &str| [bind("", name), execute("", 0), sync()].concat();
    // The last is prepared while it is allowed, and its name then means something else for the gateway alone.
    let cases: &[(&str, &[&str], Vec<u8>)] = &[
        (
            "PREPARE and Parse",
            &[&format!("PREPARE s AS {READ}"), hidden],
            [parse("s", "SELECT 1"), sync(), query("EXECUTE s")].concat(),
        ),
        (
            "Close and Parse",
            &[],
            [
                parse("s", READ),
                sync(),
                query(hidden),
                fails(),
                message(b'C', b"Ss\0"),
                sync(),
                parse("s", "SELECT 1"),
                sync(),
                query("EXECUTE s"),
                used("s"),
            ]
            .concat(),
        ),
        (
            "the one without a name",
            &[],
            [
                parse("", READ),
                sync(),
                parse("path", hidden),
                bind("", "path"),
                execute("", 0),
                sync(),
                fails(),
                parse("", "SELECT 1"),
                sync(),
                used(""),
            ]
            .concat(),
        ),
    ];
    none_finds(&gateway, "tester", cases);
    // The gateway looks on while upstream skips.
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&[run("SELECT 1 / 0"), message(b'H', b"")].concat());
    while client.message().unwrap().0 != b'E' {}
    client.send(&[parse("s", "SELECT 1"), sync()].concat());
    client.until_ready().unwrap();
    ask(&mut client, &format!("PREPARE s AS {READ}"));
    ask(&mut client, hidden);
    assert_eq!(code(&client.query("EXECUTE s").unwrap()).as_deref(), Some("42501"));
    // A statement that is prepared once more, and was not.
    let mut client = Raw::log_in(&gateway, &lease);
    ask(&mut client, "CREATE TEMP TABLE customers (ssn text)");
    client.send(&[parse("s", "SELECT 'x' || ssn FROM customers"), sync()].concat());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    ask(&mut client, "DROP TABLE pg_temp.customers");
    client.send(&[fails(), bind("", "s"), execute("", 0), sync(), used("s")].concat());
    client.until_ready().unwrap();
    let rows = cells(&client.until_ready().unwrap());
    assert_eq!(rows.first().map(String::as_str), Some("xssn_1"), "{rows:?}");
    // A statement that gives a name is not run by one of its own.
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&[parse("x", &format!("PREPARE y AS {READ}")), sync()].concat());
    client.until_ready().unwrap();
    client.query("EXECUTE x").unwrap();
    client.send(&[message(b'C', b"Sx\0"), parse("x", "SELECT 1"), sync()].concat());
    client.until_ready().unwrap();
    client.query(hidden).unwrap();
    client.query("EXECUTE y").unwrap();
    assert!(!String::from_utf8_lossy(&client.seen).contains("forbidden"));
}

/// What a view or a default does to the session is not seen in the statement that uses it.
#[test]
fn behind_what_a_definition_does() {
    let gateway = gateway("paths_defined");
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    for sql in [
        format!("CREATE TEMP VIEW v AS {TO_HIDDEN}"),
        "CREATE TEMP TABLE t (a text DEFAULT set_config('search_path', 'hidden,public', false), b integer)"
            .to_owned(),
    ] {
        assert_eq!(code(&client.query(&sql).unwrap()).as_deref(), Some("42501"), "{sql}");
    }
    let view = format!("CREATE VIEW public.there AS {TO_HIDDEN}; GRANT SELECT ON public.there TO crm_app");
    upstream().admin("paths_defined", &view).unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.query("SELECT * FROM there").unwrap();
    client.query(READ).unwrap();
    assert!(!String::from_utf8_lossy(&client.seen).contains("forbidden"));
}
