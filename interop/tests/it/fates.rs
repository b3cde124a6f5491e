//! What the record says became of a write is what became of it in the database.

use crate::names::{ask, bind, execute, parse};
use crate::raw::{Raw, code, message, query};
use crate::world::{json, own, upstream};

const RULES: &str = r#"
@id("all") permit (principal, action, resource) when { action != Action::"reveal" };
@id("not-customers") forbid (principal, action == Action::"write", resource in Resource::"crm/fates/public/customers");"#;
const REFUSED: &str = "UPDATE customers SET name = 'x' WHERE id = 1";

/// What a client sends; a number stands for a write of that row.
enum Says {
    /// One Query after another.
    Queries(&'static [&'static str]),
    /// Statements in one flight, with one Sync behind it.
    Flight(&'static [&'static str]),
}
use Says::{Flight, Queries};

fn text(part: &str, case: usize) -> String {
    match part.parse::<u32>() {
        Ok(row) => format!("UPDATE orders SET note = 'fate {case} {row}' WHERE id = {row}"),
        Err(_) => part.to_owned(),
    }
}

#[test]
fn of_each_write() {
    let gateway = own("fates", |plan| {
        plan.durability = "os".to_owned();
        plan.policy = RULES.to_owned();
    });
    let pays = "CREATE TABLE pays (id integer REFERENCES orders DEFERRABLE INITIALLY DEFERRED); \
                GRANT SELECT, INSERT ON pays TO crm_app; GRANT UPDATE ON orders, customers TO crm_app";
    upstream().admin("fates", pays).unwrap();
    let cases: &[(Says, &[u32])] = &[
        (Queries(&["1"]), &[1]),
        (Queries(&["BEGIN", "1", "COMMIT"]), &[1]),
        (Queries(&["BEGIN", "1", "ROLLBACK"]), &[]),
        (Queries(&["BEGIN", "SAVEPOINT a", "1", "ROLLBACK TO a", "2", "COMMIT"]), &[2]),
        (Queries(&["BEGIN", "SAVEPOINT a", "1", "ROLLBACK TO a", "2", "ROLLBACK"]), &[]),
        (Queries(&["BEGIN;SAVEPOINT a;1;ROLLBACK TO a;2;COMMIT;3"]), &[2, 3]),
        (
            Queries(&[
                "BEGIN",
                "1",
                "SAVEPOINT a",
                "2",
                "SAVEPOINT b",
                "3",
                "RELEASE b",
                "ROLLBACK TO a",
                "COMMIT",
            ]),
            &[1],
        ),
        (
            Queries(&["BEGIN", "SAVEPOINT a", "1", "SAVEPOINT a", "2", "ROLLBACK TO a", "3", "COMMIT"]),
            &[1, 3],
        ),
        (Queries(&["BEGIN", "SAVEPOINT a", "1", "ROLLBACK TO a", "2", "ROLLBACK TO a", "3", "COMMIT"]), &[3]),
        (Queries(&["BEGIN", "1", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", "2", "COMMIT"]), &[1, 2]),
        (Queries(&["BEGIN", "1", "SELECT 1/0", "ROLLBACK", "2"]), &[2]),
        (Queries(&["BEGIN", "1", "SELECT 1/0", "COMMIT", "2"]), &[2]),
        (Queries(&["BEGIN", "1", "COMMIT AND CHAIN", "2", "ROLLBACK"]), &[1]),
        (Queries(&["BEGIN", "1", "ROLLBACK AND CHAIN", "2", "COMMIT"]), &[2]),
        (Queries(&["BEGIN", "1", "COMMIT AND CHAIN", "SELECT 1/0", "ROLLBACK"]), &[1]),
        (Queries(&["1;SELECT 1/0"]), &[]),
        (Queries(&["1;2"]), &[1, 2]),
        (Queries(&["BEGIN;1;COMMIT;2;SELECT 1/0"]), &[1]),
        (Queries(&["1;INSERT INTO pays VALUES (999)"]), &[]),
        (Queries(&["BEGIN", "1", "INSERT INTO pays VALUES (999)", "COMMIT"]), &[]),
        (Flight(&["1", "SELECT 1/0"]), &[]),
        (Flight(&["1", REFUSED]), &[]),
        (Flight(&["1", "INSERT INTO pays VALUES (999)"]), &[]),
        (Flight(&["BEGIN", "1", "COMMIT", "2", REFUSED]), &[1]),
        (Flight(&["BEGIN", "1", "COMMIT", "2", "SELECT 1/0"]), &[1]),
        (Flight(&["BEGIN", "SAVEPOINT a", "1", "ROLLBACK TO a", "2", "COMMIT", "3"]), &[2, 3]),
    ];
    for (case, (says, stays)) in cases.iter().enumerate() {
        let lease = gateway.lease("tester").unwrap();
        let mut client = Raw::log_in(&gateway, &lease);
        let parts: Vec<String> = match says {
            Queries(queries) => {
                for said in *queries {
                    let whole: Vec<String> = said.split(';').map(|part| text(part, case)).collect();
                    client.send(&query(&whole.join(";")));
                    client.until_ready().unwrap();
                }
                queries.iter().flat_map(|said| said.split(';')).map(str::to_owned).collect()
            }
            Flight(statements) => {
                for part in *statements {
                    client.send(&[parse("", &text(part, case)), bind("", ""), execute("", 0)].concat());
                }
                client.send(&message(b'S', b""));
                client.until_ready().unwrap();
                statements.iter().map(|part| (*part).to_owned()).collect()
            }
        };
        let rows = format!(
            "SELECT string_agg(id::text, ',' ORDER BY id) FROM orders WHERE note LIKE 'fate {case} %'"
        );
        let found = upstream().admin("fates", &rows).unwrap();
        let stay: Vec<String> = stays.iter().map(u32::to_string).collect();
        assert_eq!(found, stay.join(","), "{case}: the database");
        let shown = json(gateway.site(), &["show", lease.variable("TACHO_RUN"), "--json"]);
        let actions = shown["actions"].as_array().unwrap();
        let of_orders = |action: &&serde_json::Value| {
            action["effect"] != "refused"
                && action["touches"].to_string().contains(r#"public/orders","#)
                && action["verbs"].to_string().contains("write")
        };
        let effects: Vec<&str> =
            actions.iter().filter(of_orders).filter_map(|action| action["effect"].as_str()).collect();
        let writes: Vec<u32> = parts.iter().filter_map(|part| part.parse().ok()).collect();
        let expect: Vec<&str> = writes
            .iter()
            .take(effects.len())
            .map(|row| if stays.contains(row) { "committed" } else { "rolled-back" })
            .collect();
        assert_eq!(effects, expect, "{case}: {parts:?}: {shown}");
        assert!(
            effects.len() == writes.len() || parts.iter().any(|part| part == "SELECT 1/0"),
            "{case}: {effects:?}"
        );
    }
}

/// What became of each statement is known at the end of its transaction, however long that is; and how long it may be is bounded.
#[test]
fn of_a_long_transaction() {
    let gateway = own("fates_long", |plan| {
        plan.durability = "os".to_owned();
        plan.policy = RULES.to_owned();
    });
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    ask(&mut client, "BEGIN");
    for _ in 0..8 {
        ask(&mut client, &vec!["SAVEPOINT a; ROLLBACK TO a"; 450].join(";"));
    }
    ask(&mut client, "ROLLBACK");
    ask(&mut client, "BEGIN");
    for _ in 0..10 {
        ask(&mut client, &vec!["SAVEPOINT a"; 1_000].join(";"));
    }
    assert_eq!(code(&client.query("SAVEPOINT a").unwrap()).as_deref(), Some("54000"));
    ask(&mut client, "ROLLBACK TO a; UPDATE orders SET note = 'long' WHERE id = 1; RELEASE a; COMMIT");
    assert_eq!(ask(&mut client, "SELECT note FROM orders WHERE id = 1"), ["long"]);
}
