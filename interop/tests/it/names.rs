//! Names of a session's own, prepared statements, portals and cursors, are no way around a decision: what runs by a name
//! is decided as what the name stands for now.

use crate::people::{operator, waiting, with_token};
use crate::raw::{Raw, code, message, query};
use crate::world::{POLICY, SECRETS, fill, json, own, plan, upstream};
use interop::gateway::Gateway;

pub(crate) fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

pub(crate) fn bind(portal: &str, name: &str) -> Vec<u8> {
    message(b'B', &[portal.as_bytes(), b"\0", name.as_bytes(), b"\0\0\0\0\0\0\0"].concat())
}

pub(crate) fn execute(portal: &str, rows: u8) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), b"\0\0\0\0", &[rows]].concat())
}

pub(crate) fn close(kind: u8, name: &str) -> Vec<u8> {
    message(b'C', &[&[kind], name.as_bytes(), b"\0"].concat())
}

/// Sends the messages and a Sync; the SQLSTATE of the first error.
#[track_caller]
pub(crate) fn flight(client: &mut Raw, messages: &[Vec<u8>]) -> Option<String> {
    client.send(&messages.concat());
    client.send(&message(b'S', b""));
    code(&client.until_ready().unwrap())
}

/// The first cells of the rows of an answer.
pub(crate) fn cells(answer: &[(u8, Vec<u8>)]) -> Vec<String> {
    let rows = answer.iter().filter(|(kind, _)| *kind == b'D');
    let cell = |row: &[u8]| {
        let length = u32::from_be_bytes([row[2], row[3], row[4], row[5]]) as usize;
        String::from_utf8(row[6..6 + length].to_vec()).unwrap()
    };
    rows.map(|(_, row)| cell(row)).collect()
}

pub(crate) fn ask(client: &mut Raw, sql: &str) -> Vec<String> {
    let answer = client.query(sql).unwrap();
    assert_eq!(code(&answer), None, "{sql}");
    cells(&answer)
}

#[test]
fn a_name_that_is_given_again_is_decided_again() {
    let gateway = own("given_again", |plan| plan.durability = "os".to_owned());
    let lead = operator(&gateway, "lena", "approver", "leads");
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    assert_eq!(flight(&mut client, &[parse("s", "SELECT 1")]), None);
    assert_eq!(ask(&mut client, "EXECUTE s"), ["1"]);
    let update = "UPDATE orders SET note = 'unseen' WHERE id = 1";
    assert_eq!(flight(&mut client, &[close(b'S', "s"), parse("s", update)]), None);
    // By SQL's name, and by a statement and portal of the protocol that were made when the name meant another thing.
    client.send(&query("EXECUTE s"));
    let asked = waiting(&gateway, &lead, "orders");
    let denied = with_token(&gateway, &lead, &["deny", &asked, "--reason", "no"]);
    assert!(denied.status.success(), "{}", denied.all());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    assert_eq!(
        flight(&mut client, &[close(b'S', "s"), parse("s", "SELECT 1"), parse("e", "EXECUTE s")]),
        None
    );
    client.send(&[bind("p", "e"), close(b'S', "s"), parse("s", update), execute("p", 0)].concat());
    client.send(&message(b'S', b""));
    let asked = waiting(&gateway, &lead, "orders");
    with_token(&gateway, &lead, &["deny", &asked, "--reason", "no"]);
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    assert_eq!(upstream().admin("given_again", "SELECT note FROM orders WHERE id = 1").unwrap(), "");
}

#[test]
fn what_a_statement_does_to_its_session_it_does_by_its_name_too() {
    let gateway = own("by_name", |plan| plan.durability = "os".to_owned());
    let shadow = "CREATE SCHEMA shadow; CREATE TABLE shadow.customers (ssn text); \
                  INSERT INTO shadow.customers VALUES ('nothing'); \
                  GRANT USAGE ON SCHEMA shadow TO crm_app; GRANT SELECT ON shadow.customers TO crm_app";
    upstream().admin("by_name", shadow).unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    assert_eq!(flight(&mut client, &[parse("home", "SET search_path = public")]), None);
    ask(&mut client, "SET search_path = shadow");
    assert_eq!(ask(&mut client, "SELECT 'x' || ssn FROM customers"), ["xnothing"]);
    ask(&mut client, "EXECUTE home");
    let seen = ask(&mut client, "SELECT 'x' || ssn FROM customers ORDER BY id");
    assert_eq!(seen, ["xssn_1", "xssn_2", "xssn_3", "xssn_4", "xssn_5"]);
    let seen = String::from_utf8_lossy(&client.seen).into_owned();
    assert!(SECRETS.iter().all(|secret| !seen.contains(secret)), "{seen}");
}

#[test]
fn what_explain_makes_is_there_and_what_it_looks_at_is_not() {
    let gateway = own("explained", |plan| {
        plan.durability = "os".to_owned();
        plan.policy = r#"@id("all") permit (principal, action, resource);"#.to_owned();
    });
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let make = "CREATE TEMP TABLE orders AS SELECT 1 AS id";
    for (explain, reads) in [("EXPLAIN", "public"), ("EXPLAIN ANALYZE", "pg_temp")] {
        ask(&mut client, &format!("{explain} {make}"));
        ask(&mut client, "SELECT id FROM orders");
        let shown = json(gateway.site(), &["show", lease.variable("TACHO_RUN"), "--json"]);
        let last = shown["actions"].as_array().unwrap().last().unwrap().to_string();
        assert!(last.contains(&format!("{reads}/orders")), "{explain}: {last}");
    }
}

/// What was set for a transaction, or in one that failed, is as it was before when that is over.
#[test]
fn a_setting_of_a_transaction_ends_with_it() {
    let gateway = own("set_local", |plan| {
        plan.durability = "os".to_owned();
        plan.policy = r#"@id("all") permit (principal, action, resource);
            @id("no-notes") forbid (principal, action, resource in Resource::"crm/set_local/public/notes");"#
            .to_owned();
    });
    let pair = "CREATE SCHEMA alt; CREATE TABLE alt.notes (n text); INSERT INTO alt.notes VALUES ('free'); \
                CREATE TABLE public.notes (n text); INSERT INTO public.notes VALUES ('secret'); \
                GRANT USAGE ON SCHEMA alt TO crm_app; GRANT SELECT ON alt.notes, public.notes TO crm_app";
    upstream().admin("set_local", pair).unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let read = "SELECT n FROM notes";
    let flows: [&[&str]; 7] = [
        &["BEGIN", "SET LOCAL search_path = alt", read, "COMMIT"],
        &["BEGIN", "SET LOCAL search_path = alt", read, "ROLLBACK"],
        &["BEGIN", "SET LOCAL search_path = alt", read, "COMMIT AND CHAIN"],
        &["BEGIN", "SET search_path = alt", read, "ROLLBACK AND CHAIN"],
        &["SET search_path = alt; SELECT n FROM notes; SELECT 1/0"],
        &["SELECT set_config('search_path', 'alt', true); SELECT n FROM notes"],
        &["BEGIN", "SELECT set_config('search_path', 'alt'::text, true)", read, "COMMIT"],
    ];
    for flow in flows {
        for said in flow {
            let answer = client.query(said).unwrap();
            assert!(code(&answer).is_none_or(|code| code == "22012"), "{said}: {answer:?}");
        }
        let answer = client.query(read).unwrap();
        assert_eq!(code(&answer).as_deref(), Some("42501"), "{flow:?}: {answer:?}");
        client.query("ROLLBACK").unwrap();
    }
    let seen = String::from_utf8_lossy(&client.seen).into_owned();
    assert!(seen.contains("free") && !seen.contains("secret"), "{seen}");
    // One that only the server can name is opaque, which this policy permits: what it was is read again.
    ask(&mut client, "SELECT set_config('search_path.x'::varchar(11), 'alt', false)");
    assert_eq!(ask(&mut client, read), ["free"]);
    ask(&mut client, "SELECT set_config('search_path', 'public', false)");
    // By some the gateway reads texts: who found a way to change one goes no further.
    let set = "SELECT set_config('standard_conforming_strings.x'::varchar(27), 'off', false)";
    assert_eq!(code(&client.query(set).unwrap()).as_deref(), Some("0A000"));
}

#[test]
fn what_was_prepared_under_rules_that_are_gone_does_not_run() {
    let seer = r#"@id("seer-sees")
        permit (principal in Agent::"seer", action == Action::"reveal", resource == Class::"pii.email");"#;
    fill(upstream(), "rules_gone");
    let rules = |more: &str| format!("{POLICY}{more}").replace("crm/crm/", "crm/rules_gone/");
    let mut plan = plan();
    (plan.database, plan.policy, plan.durability) = ("rules_gone".into(), rules(seer), "os".into());
    let gateway = Gateway::start(&plan, upstream()).unwrap();
    let lease = gateway.lease("seer").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    // Of another form than the detectors know, so that nothing but the rewrite masks it.
    let raw = "SELECT replace(email, '@', ' at ') FROM customers WHERE id < 4 ORDER BY id";
    ask(&mut client, &format!("PREPARE p AS {raw}"));
    assert_eq!(flight(&mut client, &[parse("q", raw)]), None);
    ask(&mut client, &format!("BEGIN; DECLARE c CURSOR WITH HOLD FOR {raw}; COMMIT"));
    for sql in ["EXECUTE p", "EXECUTE q", "FETCH 1 FROM c"] {
        assert_eq!(ask(&mut client, sql)[0], "ada.osei at example.com", "{sql}");
    }
    std::fs::write(gateway.site().dir().join("policy/rules.cedar"), rules("")).unwrap();
    gateway.signal("HUP");
    crate::world::eventually("the new policy holds", || {
        (ask(&mut client, raw)[0] == "email_1").then_some(())
    });
    for sql in ["EXECUTE p", "EXECUTE q", "FETCH 1 FROM c", "MOVE 1 IN c"] {
        assert_eq!(code(&client.query(sql).unwrap()).as_deref(), Some("55000"), "{sql}");
    }
    // Prepared again, it runs masked; and what no rule changes for goes on.
    ask(&mut client, "DEALLOCATE p");
    ask(&mut client, &format!("PREPARE p AS {raw}"));
    assert_eq!(ask(&mut client, "EXECUTE p")[0], "email_1");
    ask(&mut client, "PREPARE plain AS SELECT count(*) FROM orders");
    std::fs::write(gateway.site().dir().join("policy/rules.cedar"), rules("// the same\n")).unwrap();
    let said = gateway.log().len();
    gateway.signal("HUP");
    crate::world::eventually("it is read again", || (gateway.log().len() > said).then_some(()));
    assert_eq!(ask(&mut client, "EXECUTE plain"), ["6"]);
}

/// As asyncpg moves in its cursors.
#[test]
fn a_portal_of_the_protocol_is_a_cursor_of_sql() {
    let gateway = own("portals", |plan| plan.durability = "os".to_owned());
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    ask(&mut client, "BEGIN");
    assert_eq!(flight(&mut client, &[parse("", "SELECT id FROM orders ORDER BY id"), bind("p", "")]), None);
    ask(&mut client, "MOVE 2 IN p");
    client.send(&[execute("p", 1), message(b'S', b"")].concat());
    assert_eq!(cells(&client.until_ready().unwrap()), ["3"]);
    assert_eq!(ask(&mut client, "FETCH 2 FROM p"), ["4", "5"]);
    // Its rows are masked as they would be of its Execute.
    assert_eq!(flight(&mut client, &[parse("", "SELECT 'x' || ssn FROM customers"), bind("m", "")]), None);
    assert_eq!(ask(&mut client, "FETCH 1 FROM m"), ["xssn_1"]);
    assert_eq!(flight(&mut client, &[close(b'P', "p")]), None);
    assert_eq!(code(&client.query("FETCH 1 FROM p").unwrap()).as_deref(), Some("34000"));
    ask(&mut client, "ROLLBACK");
    // With its transaction it is gone.
    assert_eq!(code(&client.query("FETCH 1 FROM m").unwrap()).as_deref(), Some("34000"));
    // A portal that writes is run by the first FETCH: it is asked about then.
    let lead = operator(&gateway, "lena", "approver", "leads");
    let asker = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &asker);
    ask(&mut client, "BEGIN");
    let delete = "DELETE FROM orders WHERE id = 6 RETURNING id";
    assert_eq!(flight(&mut client, &[parse("", delete), bind("d", "")]), None);
    client.send(&query("FETCH ALL FROM d"));
    let asked = waiting(&gateway, &lead, "orders");
    with_token(&gateway, &lead, &["deny", &asked, "--reason", "no"]);
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    ask(&mut client, "ROLLBACK");
    assert_eq!(upstream().admin("portals", "SELECT count(*) FROM orders").unwrap(), "6");
}

/// Above the limit is an error and no end, in constant memory.
/// As clients do that have several Syncs under way.
#[test]
fn a_portal_that_is_bound_behind_the_end_of_a_transaction_outlives_it() {
    let gateway = own("portal_behind", |plan| plan.durability = "os".to_owned());
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let first = parse("s", "SELECT id FROM orders ORDER BY id LIMIT 1");
    assert_eq!(flight(&mut client, &[first, parse("c", "COMMIT")]), None);
    let (sync, flush) = (message(b'S', b""), message(b'H', b""));
    client.send(&[bind("", "s"), execute("", 0), sync.clone(), bind("b", "s")].concat());
    assert_eq!(cells(&client.until_ready().unwrap()), ["1"]);
    client.send(&[execute("b", 0), sync.clone()].concat());
    assert_eq!(cells(&client.until_ready().unwrap()), ["1"]);
    // It ended with its own Sync.
    client.send(&[execute("b", 0), sync.clone()].concat());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("34000"));
    ask(&mut client, "BEGIN");
    client.send(&[bind("before", "s"), bind("", "c"), execute("", 0), bind("b", "s"), flush].concat());
    while client.message().unwrap().0 != b'C' {}
    client.send(&[execute("b", 0), execute("before", 0), sync].concat());
    let answer = client.until_ready().unwrap();
    assert_eq!(cells(&answer), ["1"]);
    assert_eq!(code(&answer).as_deref(), Some("34000"));
}

/// PostgreSQL keeps 63 bytes of a name: of two that begin alike it has one, and would run it for the other.
#[test]
fn a_name_that_upstream_would_cut_is_refused() {
    let gateway = own("cut_names", |plan| plan.durability = "os".to_owned());
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let (long, sixty_three) = ("a".repeat(64), "a".repeat(63));
    let read = "SELECT id FROM orders ORDER BY id LIMIT 1";
    assert_eq!(flight(&mut client, &[parse(&sixty_three, read), bind("p", &sixty_three)]), None);
    // One byte of it is two in UTF-8.
    let latin = "é".repeat(16);
    for name in [&long, &latin] {
        for (what, message) in [
            ("parse", parse(name, read)),
            ("bind", bind("p", name)),
            ("portal", bind(name, &sixty_three)),
            ("execute", execute(name, 0)),
            ("close a statement", close(b'S', name)),
            ("close a portal", close(b'P', name)),
            ("describe", message(b'D', format!("S{name}\0").as_bytes())),
        ] {
            assert_eq!(flight(&mut client, &[message]).as_deref(), Some("42622"), "{what} {name}");
        }
    }
    assert_eq!(flight(&mut client, &[bind("", &sixty_three)]), None);
    // SQL cuts a name as PostgreSQL does, and what a name stands for is what was given to the same one.
    ask(&mut client, &format!("DEALLOCATE {long}"));
    assert_eq!(flight(&mut client, &[bind("", &sixty_three)]).as_deref(), Some("26000"));
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1251", "SJIS"] {
        let set = format!("SET client_encoding = '{encoding}'");
        assert!(code(&client.query(&set).unwrap()).is_some(), "{set}");
    }
    ask(&mut client, "SET client_encoding = 'utf-8'");
}

/// In a database of another encoding names are cut where that has 63 bytes.
#[test]
fn names_beyond_ascii_are_short_where_the_database_is_not_utf8() {
    let upstream = upstream();
    let make = "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    upstream.admin("postgres", make).unwrap();
    let mut plan = plan();
    plan.masks.clear();
    (plan.database, plan.policy, plan.durability) =
        ("latin".into(), POLICY.replace("crm/crm/", "crm/latin/"), "os".into());
    let gateway = Gateway::start(&plan, upstream).unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let (short, long) = ("é".repeat(15), "é".repeat(16));
    for name in [&format!("\"{short}\""), "\"plain ascii of more than thirty-one bytes\""] {
        ask(&mut client, &format!("SELECT 'a long text, éééééééééééééééééééééééé' AS {name}"));
    }
    for sql in [
        format!("PREPARE \"{long}\" AS SELECT 1"),
        format!("SELECT 1 AS \"{long}\""),
        format!("SELECT 1 AS {long}"),
        "SELECT 1 AS U&\"\\00e9\\00e9\\00e9\\00e9\\00e9\\00e9\\00e9\\00e9\"".to_owned(),
    ] {
        assert_eq!(code(&client.query(&sql).unwrap()).as_deref(), Some("42622"), "{sql}");
    }
}

#[test]
fn a_statement_above_the_limit_is_refused_and_the_connection_goes_on() {
    let gateway = own("too_large", |plan| plan.durability = "os".to_owned());
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let long = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes));
    assert_eq!(code(&client.query(&long(1_000_000)).unwrap()), None);
    for bytes in [(1 << 20) + 1, 40 << 20] {
        assert_eq!(code(&client.query(&long(bytes)).unwrap()).as_deref(), Some("54000"), "{bytes}");
        assert_eq!(flight(&mut client, &[parse("s", &long(bytes)), bind("", "s")]).as_deref(), Some("54000"));
        assert_eq!(ask(&mut client, "SELECT 1"), ["1"]);
    }
    let value = "v".repeat((16 << 20) + 1);
    let values = crate::raw::bind(&[(0, value.as_bytes())]);
    let sent = [parse("", "SELECT length($1::text)"), values, execute("", 0)];
    assert_eq!(flight(&mut client, &sent).as_deref(), Some("54000"));
    // In a transaction it fails as any other error does, and behind an error it is skipped.
    ask(&mut client, "BEGIN");
    assert_eq!(code(&client.query(&long(2 << 20)).unwrap()).as_deref(), Some("54000"));
    assert_eq!(code(&client.query("SELECT 1").unwrap()).as_deref(), Some("25P02"));
    ask(&mut client, "ROLLBACK");
    let behind = [parse("", "SELECT FROM WHERE"), parse("", &long(2 << 20))];
    assert_eq!(flight(&mut client, &behind).as_deref(), Some("42601"));
    // PostgreSQL takes no more than a gibibyte, and neither do we: that is no message.
    client.send(&[&b"Q"[..], &0x4000_0010_u32.to_be_bytes(), b"SELECT"].concat());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("08P01"));
    let run = lease.variable("TACHO_RUN").to_owned();
    let shown = crate::world::json(gateway.site(), &["show", &run, "--json"]).to_string();
    assert_eq!(shown.matches("\"code\":\"54000\"").count(), 6, "{shown}");
}

/// A COMMIT of a transaction that has failed is a ROLLBACK: names mean again what they meant before it.
#[test]
fn behind_a_commit_that_rolls_back_names_mean_what_they_meant_before() {
    let gateway = own("rolled_back", |plan| {
        plan.durability = "os".to_owned();
        plan.policy =
            r#"@id("all") permit (principal, action, resource) when { action != Action::"reveal" };"#
                .to_owned();
    });
    let decoy = "CREATE SCHEMA decoy; CREATE TABLE decoy.customers (id integer, ssn text); \
                 INSERT INTO decoy.customers VALUES (1, 'decoy'); GRANT USAGE ON SCHEMA decoy TO crm_app; \
                 GRANT SELECT ON decoy.customers TO crm_app";
    upstream().admin("rolled_back", decoy).unwrap();
    let lease = gateway.lease("tester").unwrap();
    let read = "SELECT ssn FROM customers ORDER BY id LIMIT 1";
    let masked = {
        let mut client = Raw::log_in(&gateway, &lease);
        ask(&mut client, read)
    };
    assert!(masked[0] != "decoy" && !SECRETS.iter().any(|secret| masked[0].contains(secret)), "{masked:?}");
    // In one text.
    let mut client = Raw::log_in(&gateway, &lease);
    for sql in ["BEGIN", "SET search_path = decoy"] {
        ask(&mut client, sql);
    }
    assert_eq!(ask(&mut client, read), ["decoy"]);
    assert_eq!(code(&client.query("SELECT 1 / 0").unwrap()).as_deref(), Some("22012"));
    assert_eq!(ask(&mut client, &format!("COMMIT; {read}")), masked);
    // All of it at once, before the server has said that it failed.
    let mut client = Raw::log_in(&gateway, &lease);
    let texts = ["BEGIN", "SET search_path = decoy", "SELECT 1 / 0", "COMMIT", read];
    for sql in texts {
        client.send(&[parse("", sql), bind("", ""), execute("", 0), message(b'S', b"")].concat());
    }
    let answers: Vec<Vec<(u8, Vec<u8>)>> = texts.iter().map(|_| client.until_ready().unwrap()).collect();
    assert_eq!(cells(&answers[4]), masked, "{answers:?}");
    // What a statement behind it makes is there for the next.
    let mut client = Raw::log_in(&gateway, &lease);
    ask(&mut client, "BEGIN");
    assert_eq!(code(&client.query("SELECT 1 / 0").unwrap()).as_deref(), Some("22012"));
    let made = "COMMIT; CREATE TEMP TABLE made (a integer); INSERT INTO made VALUES (7); SELECT a FROM made";
    assert_eq!(ask(&mut client, made), ["7"]);
}

/// What another session of the gateway changes is known to a transaction that begins, and to its first statement.
#[test]
fn a_transaction_that_begins_reads_what_names_mean_by_then() {
    let gateway = own("begins", |plan| {
        plan.durability = "os".to_owned();
        plan.policy =
            r#"@id("all") permit (principal, action, resource) when { action != Action::"reveal" };"#
                .to_owned();
    });
    upstream().admin("begins", "GRANT CREATE ON SCHEMA public TO crm_app").unwrap();
    let lease = gateway.lease("tester").unwrap();
    let (mut maker, mut reader) = (Raw::log_in(&gateway, &lease), Raw::log_in(&gateway, &lease));
    let (harmless, read) = ("SELECT 'nothing'::text AS v", "SELECT 'x' || v FROM peek");
    let secret = "SELECT ssn AS v FROM customers WHERE id = 1";
    let begin = ["BEGIN", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE"];
    for begin in begin {
        // Before the transaction, and in it before its first statement.
        for before in [true, false] {
            ask(&mut maker, &format!("CREATE OR REPLACE VIEW peek AS {harmless}"));
            assert_eq!(ask(&mut reader, read), ["xnothing"]);
            let change = format!("CREATE OR REPLACE VIEW peek AS {secret}; CREATE TABLE made (a integer)");
            if before {
                ask(&mut maker, &change);
                ask(&mut reader, begin);
            } else {
                assert_eq!(flight(&mut reader, &[parse("", begin), bind("", ""), execute("", 0)]), None);
                ask(&mut maker, &change);
            }
            assert_eq!(ask(&mut reader, read), ["xssn_1"], "{begin}, {before}");
            assert_eq!(ask(&mut reader, "INSERT INTO made VALUES (1) RETURNING a"), ["1"]);
            ask(&mut reader, "ROLLBACK");
            ask(&mut maker, "DROP TABLE made");
        }
    }
    // A lock that stands first sees what those had written that it waited for: nothing was read in its transaction.
    ask(&mut maker, "CREATE TABLE made (a integer)");
    ask(&mut maker, "BEGIN");
    ask(&mut maker, "INSERT INTO made VALUES (7)");
    ask(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    reader.send(&query("LOCK TABLE made IN SHARE MODE"));
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'made'::regclass";
    crate::world::eventually("the lock is waited for", || {
        (upstream().admin("begins", waits).unwrap() == "1").then_some(())
    });
    ask(&mut maker, "COMMIT");
    assert_eq!(code(&reader.until_ready().unwrap()), None);
    assert_eq!(ask(&mut reader, "SELECT a FROM made"), ["7"]);
    ask(&mut reader, "SET LOCAL search_path = public");
    ask(&mut reader, "COMMIT");
    // Of which kind it is can be said first, whatever has changed.
    ask(&mut reader, "BEGIN");
    ask(&mut maker, "DROP TABLE made");
    ask(&mut reader, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    assert_eq!(ask(&mut reader, "SHOW transaction_isolation"), ["serializable"]);
}
