//! What is decided for one session, or under one state of the catalog, is no other's: the secret never comes out.

use crate::raw::{Raw, extended, message, query};
use crate::world::{POLICY, SECRETS, nothing_leaked, own, upstream};
use interop::gateway::{Gateway, Lease};
use std::path::Path;
use std::thread;

const TEXT: &str = "SELECT id, ssn FROM customers ORDER BY id";

/// One session of an agent, with the text prepared under a name.
fn session(gateway: &Gateway, lease: &Lease) -> Raw {
    let mut client = Raw::log_in(gateway, lease);
    let parse = message(b'P', &[b"p\0", TEXT.as_bytes(), b"\0\0\0"].concat());
    client.send(&[parse, message(b'S', b"")].concat());
    client.until_ready().unwrap();
    client
}

/// The text in each way that a client has to ask it.
fn ask(client: &mut Raw, n: usize) {
    let named = [message(b'B', b"\0p\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")];
    client.send(&match n % 3 {
        0 => query(TEXT),
        1 => extended(TEXT, &[]),
        _ => named.concat(),
    });
    let answer = client.until_ready().unwrap();
    assert_eq!(answer.iter().filter(|(kind, _)| *kind == b'D').count(), 5);
}

fn holds(client: &Raw, secret: &str) -> bool {
    client.seen.windows(secret.len()).any(|part| part == secret.as_bytes())
}

#[test]
fn the_same_text_in_two_sessions_is_each_ones_own() {
    let gateway = own("plans_two", |plan| {
        plan.durability = "os".to_owned();
        plan.policy = format!(
            "{POLICY}\n@id(\"seer-sees\")\npermit (principal in Agent::\"seer\", action == Action::\"reveal\", \
             resource == Class::\"pii.ssn\");\n"
        );
    });
    let (seer, tester) = (gateway.lease("seer").unwrap(), gateway.lease("tester").unwrap());
    let numbers = &SECRETS[..5];
    let (mut sees, mut masked) = (session(&gateway, &seer), session(&gateway, &tester));
    for n in 0..12 {
        ask(&mut sees, n);
        ask(&mut masked, n + n / 3);
    }
    // And at the same moment, over sessions that know nothing yet.
    thread::scope(|scope| {
        for (lease, may) in [(&seer, true), (&tester, false), (&seer, true), (&tester, false)] {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = session(gateway, lease);
                (0..12).for_each(|n| ask(&mut client, n));
                assert!(numbers.iter().all(|secret| holds(&client, secret) == may));
            });
        }
    });
    assert!(numbers.iter().all(|secret| holds(&sees, secret)), "a grant reveals");
    assert!(numbers.iter().all(|secret| !holds(&masked, secret)), "another session's plan was used");
    let tokens = masked.seen.windows(5).filter(|part| *part == b"ssn_1").count();
    assert_eq!(tokens, 12, "each answer is masked");
}

const COLUMNS: &str = "(id int, name text, email text, ssn text, card text, city text)";

/// What an agent that may define and administer tries inside a transaction, and then reads.
fn redefinitions() -> Vec<Vec<String>> {
    let all: [&[&str]; 18] = [
        &["ALTER TABLE customers RENAME TO c2", "SELECT * FROM c2"],
        &[
            "ALTER TABLE customers RENAME TO c2",
            "CREATE VIEW customers AS SELECT * FROM c2",
            "TABLE customers",
        ],
        &["ALTER TABLE customers RENAME COLUMN ssn TO s", "SELECT s FROM customers", "TABLE customers"],
        &[
            "ALTER TABLE customers RENAME COLUMN ssn TO s",
            "ALTER TABLE customers RENAME COLUMN city TO ssn",
            "SELECT s, ssn FROM customers",
        ],
        &["CREATE VIEW v AS SELECT * FROM customers", "SELECT * FROM v"],
        &["CREATE VIEW v AS SELECT ssn || card AS x FROM customers", "SELECT x FROM v"],
        &["CREATE MATERIALIZED VIEW m AS SELECT * FROM customers", "SELECT * FROM m"],
        &["CREATE TABLE c3 AS SELECT * FROM customers", "SELECT * FROM c3"],
        &["CREATE TABLE c3 COLUMNS", "INSERT INTO c3 SELECT * FROM customers", "SELECT * FROM c3"],
        &["CREATE TEMP TABLE customers AS SELECT * FROM public.customers", "SELECT * FROM customers"],
        &["CREATE SCHEMA other", "ALTER TABLE customers SET SCHEMA other", "SELECT * FROM other.customers"],
        &[
            "ALTER TABLE customers RENAME TO gone",
            "CREATE TABLE customers COLUMNS",
            "INSERT INTO customers SELECT * FROM gone",
            "SELECT * FROM customers",
            "SELECT * FROM gone",
        ],
        &["DROP TABLE customers CASCADE", "CREATE TABLE customers COLUMNS", "SELECT * FROM customers"],
        &[
            "ALTER TABLE customers ADD COLUMN x text GENERATED ALWAYS AS (ssn) STORED",
            "SELECT x FROM customers",
        ],
        &["ALTER TABLE customers ALTER COLUMN city TYPE text USING ssn", "SELECT city FROM customers"],
        &["CREATE TABLE child () INHERITS (customers)", "ALTER TABLE customers INHERIT child", "TABLE child"],
        &[
            "CREATE RULE r AS ON UPDATE TO orders DO INSTEAD SELECT ssn FROM customers",
            "UPDATE orders SET note = ''",
        ],
        &[
            "PREPARE p AS SELECT ssn FROM customers",
            "ALTER TABLE customers RENAME COLUMN ssn TO s",
            "EXECUTE p",
        ],
    ];
    all.iter().map(|sql| sql.iter().map(|sql| sql.replace("COLUMNS", COLUMNS)).collect()).collect()
}

/// psql with each statement by itself, or all in one Query.
fn psql(gateway: &Gateway, statements: &[String], apart: bool) -> String {
    let mut words = vec!["/usr/bin/env".to_owned(), "psql".to_owned(), "-X".to_owned(), "-At".to_owned()];
    match apart {
        true => statements.iter().for_each(|sql| words.extend(["-c".to_owned(), sql.clone()])),
        false => words.extend(["-c".to_owned(), statements.join("; ")]),
    }
    let words: Vec<&Path> = words.iter().map(Path::new).collect();
    let done = gateway.run_to_end("definer", &words, "").unwrap();
    nothing_leaked(&done);
    done.out()
}

#[test]
fn nothing_that_is_redefined_inside_a_transaction_comes_out() {
    let gateway = own("plans_ddl", |plan| {
        plan.durability = "os".to_owned();
        let (policy, _no_define) = POLICY.split_once("@id(\"no-define\")").unwrap();
        plan.policy = format!(
            "{policy}\n@id(\"definer\")\npermit (principal in Agent::\"definer\", action in [Action::\"write\", \
             Action::\"define\", Action::\"administer\", Action::\"execute\"], resource in Resource::\"crm\");\n"
        );
    });
    // The upstream login may do all of it, so that the gateway alone stands in the way.
    let owns = "ALTER TABLE customers OWNER TO crm_app; ALTER TABLE orders OWNER TO crm_app; \
                GRANT CREATE ON SCHEMA public TO crm_app; GRANT CREATE ON DATABASE plans_ddl TO crm_app";
    upstream().admin("plans_ddl", owns).unwrap();
    let mut said = String::new();
    for statements in redefinitions() {
        let inside = [&["BEGIN".to_owned()], &statements[..], &["ROLLBACK".to_owned()]].concat();
        said += &psql(&gateway, &inside, true);
        said += &psql(&gateway, &inside, false);
    }
    // What is never permitted proves nothing: definitions ran, and rows of what they made came masked.
    assert!(said.contains("ALTER TABLE") && said.contains("CREATE VIEW"), "{said}");
    assert!(said.contains("|ssn_1|"), "{said}");
    let count = upstream().admin("plans_ddl", "SELECT count(*) FROM customers").unwrap();
    assert_eq!(count, "5", "all of it was rolled back");
    // The same for good: what follows a rename is refused, or masked, in a session of its own.
    psql(&gateway, &["ALTER TABLE customers RENAME COLUMN ssn TO s".to_owned()], true);
    psql(&gateway, &["SELECT s FROM customers".to_owned(), "TABLE customers".to_owned()], true);
    psql(&gateway, &["ALTER TABLE customers RENAME TO c2".to_owned()], true);
    psql(&gateway, &["SELECT * FROM c2".to_owned()], true);
}
