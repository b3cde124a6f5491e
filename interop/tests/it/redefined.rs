//! What another session defines between the decision on a statement and upstream's look at its names is not read in place of
//! what was decided.

use std::time::Duration;

use interop::gateway::Gateway;

use crate::names::{ask, bind, cells, execute, parse};
use crate::people::{operator, waiting, with_token};
use crate::raw::{Raw, code, message, query};
use crate::world::{eventually, json, own, upstream};

const READ: &str = "SELECT 'x' || v FROM peek";
/// What the view is at first, and what it is made to be: a view that was there before the gateway, and shows what one that
/// is made through it never would.
const HARMLESS: &str = "DROP VIEW IF EXISTS peek; CREATE VIEW peek AS SELECT 'nothing'::text AS v";
const RAW: &str = "DROP VIEW IF EXISTS bare; CREATE VIEW bare AS SELECT ssn AS v FROM customers WHERE id = 1; \
                   ALTER VIEW bare OWNER TO crm_app";
const SECRET: &str = "DROP VIEW peek; ALTER VIEW bare RENAME TO peek";
const RULES: &str = r#"
@id("all") permit (principal, action, resource) when { action != Action::"reveal" };
@id("asker-asks") @needs("leads") forbid (principal in Agent::"asker", action == Action::"write", resource)
unless { context.approvals.contains("leads") };"#;

const SLEEPS: &str = "pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";

fn behind_a_sleep_alone() -> Vec<u8> {
    [parse("", "SELECT pg_sleep(1)"), bind("", ""), execute("", 0)].concat()
}

/// Two statements, decided at once.
fn behind_a_sleep() -> Vec<u8> {
    let read = [parse("", READ), bind("", ""), execute("", 0), message(b'S', b"")].concat();
    [behind_a_sleep_alone(), read].concat()
}

fn gateway(database: &str) -> Gateway {
    let gateway = own(database, |plan| {
        plan.durability = "os".to_owned();
        plan.policy = RULES.to_owned();
    });
    upstream().admin(database, "GRANT CREATE ON SCHEMA public TO crm_app").unwrap();
    // Of another form than the detectors know, so that nothing but the rewrite masks it.
    upstream().admin(database, "UPDATE customers SET ssn = 'ssn#' || id || '#raw'").unwrap();
    gateway
}

/// The view is harmless, and the reader knows it.
fn begin(database: &str, maker: &mut Raw, reader: &mut Raw) {
    upstream().admin(database, RAW).unwrap();
    ask(maker, HARMLESS);
    assert_eq!(ask(reader, READ), ["xnothing"]);
}

/// Until upstream shows as many rows of this.
fn until(database: &str, what: &str, rows: &str) {
    let count = format!("SELECT count(*) FROM {rows}");
    eventually(what, || (upstream().admin(database, &count).unwrap() == "1").then_some(()));
}

fn until_locked(database: &str, view: &str) {
    let rows = format!("pg_locks WHERE NOT granted AND relation = '{view}'::regclass");
    until(database, "the lock is waited for", &rows);
}

fn seen(client: &Raw) -> String {
    String::from_utf8_lossy(&client.seen).into_owned()
}

fn refused_in(gateway: &Gateway, run: &str, sqlstate: &str) -> usize {
    let shown = json(gateway.site(), &["show", run, "--json"]).to_string();
    shown.matches(&format!("\"code\":\"{sqlstate}\"")).count()
}

#[test]
fn behind_a_lock() {
    let gateway = gateway("redefined_lock");
    let lease = gateway.lease("tester").unwrap();
    let (mut maker, mut reader) = (Raw::log_in(&gateway, &lease), Raw::log_in(&gateway, &lease));
    let forms: [(&str, Vec<u8>); 5] = [
        ("a Query", query(READ)),
        ("one of several", query(&format!("SELECT 1; {READ}"))),
        ("COPY", query(&format!("COPY ({READ}) TO STDOUT"))),
        ("EXECUTE", query("EXECUTE known")),
        ("extended", [parse("", READ), bind("", ""), execute("", 0), message(b'S', b"")].concat()),
    ];
    for (form, sent) in forms {
        begin("redefined_lock", &mut maker, &mut reader);
        ask(&mut reader, &format!("PREPARE known AS {READ}"));
        ask(&mut maker, "BEGIN");
        ask(&mut maker, SECRET);
        reader.send(&sent);
        until_locked("redefined_lock", "peek");
        ask(&mut maker, "COMMIT");
        let answer = reader.until_ready().unwrap();
        assert_eq!(code(&answer).as_deref(), Some("40001"), "{form}: {answer:?}");
        assert!(!seen(&reader).contains("#raw"), "{form}");
        // Run again it is what the view is now.
        assert_eq!(ask(&mut reader, READ), ["xssn_1"], "{form}");
        ask(&mut reader, "DEALLOCATE known");
    }
    assert_eq!(refused_in(&gateway, lease.variable("TACHO_RUN"), "40001"), 5);
    // Nor does a part of it leave where no Sync is behind it.
    begin("redefined_lock", &mut maker, &mut reader);
    ask(&mut maker, "BEGIN");
    ask(&mut maker, SECRET);
    let copy = "COPY (SELECT v || repeat('y', 9000) FROM peek, generate_series(1, 40)) TO STDOUT";
    reader.send(&[parse("", copy), bind("", ""), execute("", 0), message(b'H', b"")].concat());
    until_locked("redefined_lock", "peek");
    ask(&mut maker, "COMMIT");
    while reader.message().is_ok_and(|(kind, _)| kind != b'E') {}
    assert!(seen(&reader).contains("its answer stays with the gateway"));
    assert!(!seen(&reader).contains("#raw"));
}

#[test]
fn behind_another_statement() {
    let gateway = gateway("redefined_behind");
    let lease = gateway.lease("tester").unwrap();
    let (mut maker, mut reader) = (Raw::log_in(&gateway, &lease), Raw::log_in(&gateway, &lease));
    for (change, comes) in [(SECRET, None), ("CREATE TABLE beside (a integer)", Some("xnothing"))] {
        begin("redefined_behind", &mut maker, &mut reader);
        reader.send(&behind_a_sleep());
        until("redefined_behind", "it sleeps", SLEEPS);
        ask(&mut maker, change);
        let answer = reader.until_ready().unwrap();
        match comes {
            // What changed is not what it reads.
            Some(row) => assert_eq!(cells(&answer).last().map(String::as_str), Some(row)),
            None => assert_eq!(code(&answer).as_deref(), Some("40001"), "{answer:?}"),
        }
        assert!(!seen(&reader).contains("#raw"));
    }
    // The session's own temporary table is read on, whatever others define; what else it names is looked at as ever.
    ask(
        &mut reader,
        "CREATE TEMP TABLE mine (k integer PRIMARY KEY, w text); INSERT INTO mine VALUES (1, 'own')",
    );
    for (read, change, comes) in [
        ("SELECT w FROM mine WHERE k = 1", "CREATE TABLE beside2 (a integer)", Some("own")),
        ("SELECT w || v FROM mine, peek", "CREATE TABLE beside3 (a integer)", Some("ownnothing")),
        ("SELECT w || v FROM mine, peek", SECRET, None),
    ] {
        begin("redefined_behind", &mut maker, &mut reader);
        assert_eq!(ask(&mut reader, "SELECT w FROM mine"), ["own"]);
        let read = [parse("", read), bind("", ""), execute("", 0), message(b'S', b"")].concat();
        reader.send(&[behind_a_sleep_alone(), read].concat());
        until("redefined_behind", "it sleeps", SLEEPS);
        ask(&mut maker, change);
        let answer = reader.until_ready().unwrap();
        match comes {
            Some(row) => assert_eq!(cells(&answer).last().map(String::as_str), Some(row), "{answer:?}"),
            None => assert_eq!(code(&answer).as_deref(), Some("40001"), "{answer:?}"),
        }
        assert!(!seen(&reader).contains("#raw"));
    }
}

/// What a name of the session's stood for when it was decided on, and not what it stands for since.
#[test]
fn by_a_name_that_is_given_again() {
    let gateway = gateway("redefined_named");
    let lease = gateway.lease("tester").unwrap();
    let (mut maker, mut reader) = (Raw::log_in(&gateway, &lease), Raw::log_in(&gateway, &lease));
    let close = message(b'C', b"Sknown\0");
    let again = [close, parse("known", "SELECT 1"), message(b'S', b"")].concat();
    let named = [parse("", "EXECUTE known"), bind("", ""), execute("", 0), again].concat();
    let fetch = [parse("", "FETCH ALL FROM c"), bind("", ""), execute("", 0), message(b'S', b"")];
    let portal = [parse("p", READ), bind("c", "p"), fetch.concat()].concat();
    for (form, sent) in [("EXECUTE", named), ("FETCH", portal)] {
        begin("redefined_named", &mut maker, &mut reader);
        ask(&mut reader, &format!("PREPARE known AS {READ}"));
        ask(&mut maker, "BEGIN");
        ask(&mut maker, SECRET);
        reader.send(&sent);
        until_locked("redefined_named", "peek");
        ask(&mut maker, "COMMIT");
        let answer = reader.until_ready();
        assert!(!seen(&reader).contains("#raw"), "{form}: {answer:?}");
        let refused = answer.ok().and_then(|answer| code(&answer));
        // 42501, and its end, where more is under way.
        assert!(matches!(refused.as_deref(), Some("40001" | "42501")), "{form}: {refused:?}");
        reader = Raw::log_in(&gateway, &lease);
    }
}

/// The whole of what defines, in whatever flight, and whoever's transaction it stands in.
#[test]
fn in_whatever_way_it_takes_effect() {
    let gateway = gateway("redefined_ways");
    let lease = gateway.lease("tester").unwrap();
    let (mut maker, mut reader) = (Raw::log_in(&gateway, &lease), Raw::log_in(&gateway, &lease));
    let ways: [&[&str]; 4] = [
        &[SECRET],
        &["BEGIN", &format!("COMMIT; {SECRET}")],
        &["BEGIN", &format!("ROLLBACK; {SECRET}")],
        &["BEGIN", "SAVEPOINT a", SECRET, "SAVEPOINT b", "ROLLBACK TO b", "COMMIT AND CHAIN", "ROLLBACK"],
    ];
    for way in ways {
        begin("redefined_ways", &mut maker, &mut reader);
        way.iter().for_each(|sql| drop(ask(&mut maker, sql)));
        assert_eq!(ask(&mut reader, READ), ["xssn_1"], "{way:?}");
    }
    // Who reads all else as it was reads names as they are.
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        begin("redefined_ways", &mut maker, &mut reader);
        ask(&mut reader, &format!("BEGIN ISOLATION LEVEL {isolation}"));
        ask(&mut reader, "SELECT count(*) FROM orders");
        ask(&mut maker, "ALTER VIEW peek RENAME TO past; ALTER VIEW bare RENAME TO peek");
        let answer = reader.query(READ).unwrap();
        let masked = code(&answer).is_none() && cells(&answer) == ["xssn_1"];
        assert!(masked || code(&answer).as_deref() == Some("40001"), "{isolation}: {answer:?}");
        assert!(!seen(&reader).contains("#raw"), "{isolation}");
        reader = Raw::log_in(&gateway, &lease);
        ask(&mut maker, "DROP VIEW past");
    }
}

/// What a session's own path and temporary tables make of a name, they make for nobody else.
#[test]
fn what_is_one_sessions_own_is_not_anothers() {
    let gateway = gateway("redefined_alone");
    upstream().admin("redefined_alone", RAW).unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut maker = Raw::log_in(&gateway, &lease);
    let read = "SELECT 'x' || v FROM bare";
    ask(&mut maker, "CREATE TEMP TABLE bare (v text)");
    assert_eq!(ask(&mut maker, read), Vec::<String>::new());
    assert_eq!(ask(&mut Raw::log_in(&gateway, &lease), read), ["xssn_1"]);
    ask(&mut maker, "DROP TABLE pg_temp.bare");
    upstream().admin("redefined_alone", "CREATE SCHEMA decoy AUTHORIZATION crm_app").unwrap();
    ask(&mut maker, "CREATE TABLE beside (a integer)");
    ask(&mut maker, "SET search_path = decoy, public");
    ask(&mut maker, "CREATE VIEW decoy.bare AS SELECT 'nothing'::text AS v");
    assert_eq!(ask(&mut maker, read), ["xnothing"]);
    let mut reader = Raw::log_in(&gateway, &lease);
    assert_eq!(ask(&mut reader, read), ["xssn_1"]);
    // A name that nobody knows is an error, and not looked for without end.
    let unknown = code(&reader.query("SELECT * FROM nowhere").unwrap());
    assert_eq!(unknown.as_deref(), Some("42P01"));
}

/// Rows that came before an error are an answer.
#[test]
fn and_then_fails() {
    let gateway = gateway("redefined_fails");
    let lease = gateway.lease("tester").unwrap();
    let (mut maker, mut reader) = (Raw::log_in(&gateway, &lease), Raw::log_in(&gateway, &lease));
    begin("redefined_fails", &mut maker, &mut reader);
    let read = "SELECT 'x' || v, 1 / (3 - n) FROM peek, generate_series(1, 5) n";
    assert_eq!(code(&reader.query(read).unwrap()).as_deref(), Some("22012"));
    ask(&mut maker, "BEGIN");
    ask(&mut maker, SECRET);
    reader.send(&query(read));
    until_locked("redefined_fails", "peek");
    ask(&mut maker, "COMMIT");
    assert_eq!(code(&reader.until_ready().unwrap()).as_deref(), Some("40001"));
    assert!(!seen(&reader).contains("#raw"));
    assert_eq!(ask(&mut reader, READ), ["xssn_1"]);
}

/// In a transaction that has defined something itself, nobody else can tell what names mean: rows stay here, and it fails.
#[test]
fn in_a_transaction_with_definitions_of_its_own() {
    let gateway = gateway("redefined_own");
    upstream().admin("redefined_own", "CREATE SCHEMA AUTHORIZATION crm_app").unwrap();
    let lease = gateway.lease("tester").unwrap();
    let (mut maker, mut reader) = (Raw::log_in(&gateway, &lease), Raw::log_in(&gateway, &lease));
    upstream().admin("redefined_own", RAW).unwrap();
    ask(&mut maker, &HARMLESS.replace("peek", "public.peek"));
    for text in ["BEGIN", "CREATE TABLE mine (a integer)"] {
        ask(&mut reader, text);
    }
    reader.send(&query(&format!("{READ}, pg_sleep(1)")));
    until("redefined_own", "it sleeps", SLEEPS);
    // It comes to stand before the other.
    ask(&mut maker, "ALTER VIEW bare SET SCHEMA crm_app; ALTER VIEW crm_app.bare RENAME TO peek");
    assert_eq!(code(&reader.until_ready().unwrap()).as_deref(), Some("40001"));
    assert_eq!(code(&reader.query("SELECT 1").unwrap()).as_deref(), Some("25P02"));
    ask(&mut reader, "ROLLBACK");
    assert_eq!(ask(&mut reader, READ), ["xssn_1"]);
    // What only writes is carried out, and the record says that nobody knows.
    for text in ["BEGIN", "CREATE TABLE mine (a text)"] {
        ask(&mut reader, text);
    }
    reader.send(&query("INSERT INTO mine SELECT pg_sleep(1)::text"));
    until("redefined_own", "it sleeps", SLEEPS);
    ask(&mut maker, "CREATE TABLE beside (a integer)");
    assert_eq!(code(&reader.until_ready().unwrap()), None);
    ask(&mut reader, "COMMIT");
    let shown = json(gateway.site(), &["show", lease.variable("TACHO_RUN"), "--json"]).to_string();
    assert!(shown.contains("names-unsure"), "{shown}");
}

/// What was approved is what was shown: not what a name means since.
#[test]
fn while_a_human_is_asked() {
    let gateway = gateway("redefined_asked");
    let lead = operator(&gateway, "lena", "approver", "leads");
    let (maker, asker) = (gateway.lease("tester").unwrap(), gateway.lease("asker").unwrap());
    let (mut maker, mut client) = (Raw::log_in(&gateway, &maker), Raw::log_in(&gateway, &asker));
    let over = |table: &str| format!("CREATE VIEW target AS SELECT id, note FROM {table}");
    let write = "UPDATE target SET note = 'written' WHERE id = 1";
    let written = || {
        let count = "SELECT (SELECT count(*) FROM orders WHERE note = 'written') || ' ' || \
                     (SELECT count(*) FROM other WHERE note = 'written')";
        upstream().admin("redefined_asked", count).unwrap()
    };
    ask(&mut maker, "CREATE TABLE other (id integer, note text); INSERT INTO other VALUES (1, '')");
    for (sent, several) in [(write.to_owned(), false), (format!("SELECT 1; {write}; SELECT 2"), true)] {
        ask(&mut maker, &over("orders"));
        client.send(&query(&sent));
        let asked = waiting(&gateway, &lead, "target");
        ask(&mut maker, &format!("BEGIN; DROP VIEW target; {}; COMMIT", over("other")));
        let approved = with_token(&gateway, &lead, &["approve", &asked]);
        assert!(approved.status.success(), "{}", approved.all());
        let answer = client.until_ready().unwrap();
        assert_eq!(code(&answer).as_deref(), Some("40001"), "{several}: {answer:?}");
        assert_eq!(written(), "0 0", "{several}");
        ask(&mut maker, "DROP VIEW target");
    }
    // The first of two, while the second was asked about, in a transaction of their own.
    ask(&mut maker, &over("orders"));
    let two = format!("BEGIN; {write}; UPDATE other SET note = 'second'; COMMIT");
    client.send(&query(&two));
    let asked = waiting(&gateway, &lead, "target");
    with_token(&gateway, &lead, &["approve", &asked]);
    let asked = waiting(&gateway, &lead, "other");
    ask(&mut maker, &format!("BEGIN; DROP VIEW target; {}; COMMIT", over("other")));
    with_token(&gateway, &lead, &["approve", &asked]);
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("40001"));
    assert_eq!(written(), "0 0");
    ask(&mut maker, "DROP VIEW target");
    // What changed elsewhere stops nothing.
    ask(&mut maker, &over("orders"));
    client.send(&query(write));
    let asked = waiting(&gateway, &lead, "target");
    ask(&mut maker, "CREATE TABLE beside (a integer)");
    std::thread::sleep(Duration::from_millis(50));
    with_token(&gateway, &lead, &["approve", &asked]);
    assert_eq!(code(&client.until_ready().unwrap()), None);
    assert_eq!(written(), "1 0");
}
