//! Code of users' own that no name in a statement tells of, what is made of masked columns and stored, and what shows their
//! order: none of it is a way to a masked value.

use crate::names::{ask, bind, execute};
use crate::raw::{Raw, code, message};
use crate::world::{own_site, upstream};
use interop::gateway::Gateway;

/// Everything but what an ordinary agent is not given.
const RULES: &str = r#"
@id("plain")
permit (principal, action in [Action::"connect", Action::"read", Action::"write", Action::"execute"], resource);
@id("seer-does-what-cannot-be-known")
permit (principal in Agent::"seer", action == Action::"opaque", resource);"#;

const CODE: &str = "\
UPDATE customers SET ssn = 'ssn#' || id || '#raw';
CREATE FUNCTION raw() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ssn FROM public.customers WHERE id = 1';
CREATE TYPE box2 AS (a int, b int);
CREATE TABLE boxes (id int PRIMARY KEY, v box2);
INSERT INTO boxes VALUES (1, (1, 2));
CREATE FUNCTION shows(box2) RETURNS text LANGUAGE sql AS 'SELECT public.raw()';
CREATE CAST (box2 AS text) WITH FUNCTION shows(box2) AS IMPLICIT;
CREATE FUNCTION tells(int, text) RETURNS boolean LANGUAGE plpgsql AS
$$BEGIN RAISE WARNING '%', public.raw(); RETURN true; END$$;
CREATE OPERATOR >= (leftarg = int, rightarg = text, function = tells);
CREATE OPERATOR <= (leftarg = int, rightarg = text, function = tells);
CREATE OPERATOR = (leftarg = int, rightarg = text, function = tells);
CREATE FUNCTION json_scalar(int) RETURNS text LANGUAGE sql AS 'SELECT public.raw()';
CREATE DOMAIN said AS text DEFAULT public.raw();
CREATE VIEW by_operator AS SELECT 3000 >= 'a'::text AS v;
GRANT SELECT ON boxes, by_operator TO crm_app;";

const STORED: &str = "\
UPDATE customers SET ssn = 'ssn#' || id || '#raw';
ALTER TABLE customers ADD last4 text GENERATED ALWAYS AS (right(ssn, 4)) STORED;
CREATE MATERIALIZED VIEW ones AS SELECT id, count(*) FILTER (WHERE ssn LIKE 'ssn#1%') AS n FROM customers GROUP BY id;
GRANT SELECT ON ones TO crm_app;
CREATE INDEX by_ssn ON customers (ssn, name);";

#[test]
fn code_that_no_name_tells_of_does_not_run_unseen() {
    let site = own_site("unseen", |plan| plan.policy = RULES.to_owned());
    upstream().admin("unseen", CODE).unwrap();
    let gateway = site.up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    for sql in [
        "SELECT v::text FROM boxes",
        "SELECT upper(v) FROM boxes",
        "SELECT id FROM boxes WHERE v LIKE '%'",
        "SELECT 3000 >= '1'::text",
        "SELECT 3000 BETWEEN '1'::text AND '2'::text",
        "SELECT CASE 3000 WHEN '1'::text THEN 1 END",
        "SELECT 3000 IN (SELECT '1'::text)",
        "SELECT reverse(json_scalar(1))",
        "SELECT v FROM by_operator",
        // Who may make tables would have its default run by one.
        "SELECT NULL::said",
    ] {
        assert_eq!(code(&client.query(sql).unwrap()).as_deref(), Some("42501"), "{sql}");
    }
    // A type that the text of the statement does not say.
    let oid: u32 = upstream().admin("unseen", "SELECT 'box2'::regtype::oid").unwrap().parse().unwrap();
    let parse = |name: &str| {
        let (head, tail) = (b"\0SELECT $1 IS NULL\0\0\x01", oid.to_be_bytes());
        message(b'P', &[name.as_bytes(), &head[..], &tail].concat())
    };
    client.send(&[parse(""), message(b'S', b"")].concat());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    // It is opaque as one that says it, for whoever may do that; also by its name, and when it is looked at again.
    let seer = gateway.lease("seer").unwrap();
    let mut seer = Raw::log_in(&gateway, &seer);
    seer.send(&[parse("p"), message(b'S', b"")].concat());
    assert_eq!(code(&seer.until_ready().unwrap()), None);
    assert_eq!(ask(&mut seer, "EXECUTE p (NULL)"), ["t"]);
    ask(&mut seer, "SET search_path = public, pg_catalog");
    let bound = message(b'B', b"\0p\0\0\0\0\x01\xff\xff\xff\xff\0\0");
    seer.send(&[bound, execute("", 0), message(b'S', b"")].concat());
    assert_eq!(code(&seer.until_ready().unwrap()), None);
    assert!(!String::from_utf8_lossy(&client.seen).contains("#raw"));
    // Nor is anything else kept from running.
    for sql in
        ["SELECT id FROM boxes WHERE id <> 2", "SELECT c.name FROM customers c WHERE c.id < 3 ORDER BY c.id"]
    {
        ask(&mut client, sql);
    }
    client.send(&[crate::names::parse("", "SELECT 1"), bind("", ""), execute("", 0)].concat());
    client.send(&message(b'S', b""));
    assert_eq!(code(&client.until_ready().unwrap()), None);
}

#[test]
fn what_is_stored_of_masked_columns_is_masked_and_their_order_is_not_chosen() {
    let site = own_site("stored", |plan| plan.policy = RULES.to_owned());
    upstream().admin("stored", STORED).unwrap();
    let said = site.check().unwrap().out();
    assert!(said.contains("weak   indexes that begin with a masked column: "), "{said}");
    assert!(said.contains("public.by_ssn"), "{said}");
    let gateway = site.up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    assert_eq!(ask(&mut client, "SELECT DISTINCT 'x' || last4 FROM customers"), ["xredacted"]);
    assert_eq!(ask(&mut client, "SELECT count(id) + count(n) FROM ones"), ["0"]);
    for sql in [
        "SET enable_seqscan = off",
        "SELECT set_config('enable_bitmapscan', 'off', true)",
        "UPDATE customers SET ssn = 'guess' WHERE id = 1",
        "SELECT pg_current_wal_lsn()",
        "EXPLAIN (ANALYZE, WAL) UPDATE customers SET ssn = 'guess' WHERE id = 1",
    ] {
        assert_eq!(code(&client.query(sql).unwrap()).as_deref(), Some("42501"), "{sql}");
    }
    for sql in ["SET work_mem = '8MB'", "RESET enable_seqscan", "SELECT trim('  a ')"] {
        assert_eq!(code(&client.query(sql).unwrap()), None, "{sql}");
    }
    ask(
        &mut client,
        "UPDATE orders SET (note, status) = (SELECT ssn, city FROM customers WHERE id = 1) WHERE id = 1",
    );
    assert_eq!(ask(&mut client, "SELECT note FROM orders WHERE id = 1"), ["ssn_1"]);
    assert!(!String::from_utf8_lossy(&client.seen).contains("#raw"));
}

#[test]
fn an_extension_that_is_vouched_for_takes_no_name_from_postgresqls_own_functions() {
    let plan = |database: &str, lines: &str| {
        let lines = lines.to_owned();
        let site = own_site(database, |plan| {
            plan.policy = RULES.to_owned();
            plan.resource_lines = lines;
        });
        upstream().admin(database, "CREATE EXTENSION citext SCHEMA public").unwrap();
        site.up().unwrap()
    };
    let answer = |gateway: &Gateway, sql: &str| {
        let lease = gateway.lease("tester").unwrap();
        code(&Raw::log_in(gateway, &lease).query(sql).unwrap())
    };
    let (plain, vouched) =
        (plan("citext_plain", ""), plan("citext_vouched", "vouch = [\"extension:citext\"]\n"));
    for sql in ["SELECT min(id) FROM orders", "SELECT replace(note, 'a', 'b') FROM orders"] {
        assert_eq!(answer(&plain, sql).as_deref(), Some("42501"), "{sql}");
        assert_eq!(answer(&vouched, sql), None, "{sql}");
    }
    let masked = "SELECT replace(ssn, 'a', 'b') FROM customers";
    assert!(answer(&vouched, masked).is_none());
    let lease = vouched.lease("tester").unwrap();
    let told = ask(&mut Raw::log_in(&vouched, &lease), masked);
    assert!(!told.is_empty() && told.iter().all(|value| value.starts_with("ssn_")), "{told:?}");
}
