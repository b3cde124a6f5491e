//! What is made of governed columns and stored: generated columns, materialized views; and what else tells of them.

use std::collections::BTreeSet;

use sql::{Governed, Snapshot, Vouched, analyze, parse, rewrite};
use vocab::{ResourcePath, Verb};

use super::unseen::with;

fn rewritten(snapshot: &Snapshot, text: &str) -> String {
    let governed = super::governed(snapshot);
    let statements = parse(text).unwrap();
    let names = super::names();
    let root = ResourcePath::root("crm");
    let found = analyze(&statements[0], snapshot, &governed, &names, &Vouched::default(), &root);
    let made = rewrite(&statements[0], &found, snapshot, &governed, &names, &BTreeSet::new()).unwrap();
    made.text.unwrap_or_else(|| text.to_owned())
}

fn verbs(snapshot: &Snapshot, governed: &Governed, text: &str) -> BTreeSet<Verb> {
    let statements = parse(text).unwrap();
    let root = ResourcePath::root("crm");
    let names = super::names();
    let found = analyze(&statements[0], snapshot, governed, &names, &Vouched::default(), &root);
    found.action.accesses.iter().map(|access| access.verb).collect()
}

#[test]
fn a_generated_column_is_governed_as_what_it_is_made_of() {
    let snapshot = with(&[
        ("columns", &["16386", "20", "last4", "25", "text", "", "f", "t", "b", "text", "-1"]),
        ("columns", &["16386", "21", "digits", "23", "integer", "", "f", "t", "b", "integer", "-1"]),
        ("columns", &["16386", "22", "home", "25", "text", "", "f", "t", "b", "text", "-1"]),
        ("generated", &["16386", "20", "4"]),
        ("generated", &["16386", "21", "4"]),
        ("generated", &["16386", "22", "9"]),
    ]);
    let text = rewritten(&snapshot, "SELECT last4 FROM customers");
    assert!(text.contains(r#"CAST('redacted' AS text) COLLATE pg_catalog."default" AS "last4""#), "{text}");
    assert!(text.contains(r#"CAST(NULL AS integer) AS "digits""#), "{text}");
    assert!(text.contains(r#", "home""#), "it is made of a column that nobody declared: {text}");
}

/// A materialized view over the corpus's customers with this body and these columns of numbers.
fn stored(body: &str, columns: &[&str]) -> Snapshot {
    let columns: Vec<[String; 11]> = columns
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let num = (i + 1).to_string();
            ["20050", &num, name, "20", "bigint", "", "f", "f", "b", "bigint", "-1"].map(str::to_owned)
        })
        .collect();
    let columns: Vec<Vec<&str>> =
        columns.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let view = ["20050", body];
    let mut rows: Vec<(&str, &[&str])> = vec![
        ("relations", &["20050", "app", "mv", "m", "p", "20051"]),
        ("types", &["20051", "app", "mv", "c", "0", "0", "20050", "0"]),
        ("views", &view),
        ("view_columns", &["20050", "16386", "1"]),
        ("view_columns", &["20050", "16386", "4"]),
    ];
    rows.extend(columns.iter().map(|row| ("columns", &row[..])));
    with(&rows)
}

#[test]
fn a_stored_view_whose_rows_governed_columns_choose_shows_nothing() {
    for body in [
        "SELECT customers.id, count(*) FILTER (WHERE (customers.ssn ~~ '9%'::text)) AS n FROM app.customers GROUP BY customers.id",
        "SELECT customers.id, count(*) AS n FROM app.customers WHERE (customers.ssn ~~ '9%'::text) GROUP BY customers.id",
        "SELECT c.id, 1 AS n FROM app.orders c WHERE (EXISTS ( SELECT 1 FROM app.customers WHERE (customers.ssn = 'a'::text)))",
        "SELECT customers.id, 1 AS n FROM app.customers ORDER BY customers.ssn",
        "SELECT max(customers.id) AS id, count(*) AS n FROM app.customers GROUP BY customers.ssn",
        "SELECT customers.id, row_number() OVER (ORDER BY customers.ssn) AS n FROM app.customers",
    ] {
        let text = rewritten(&stored(body, &["id", "n"]), "SELECT n FROM mv");
        assert!(
            text.contains(r#"CAST(NULL AS bigint) AS "id", CAST(NULL AS bigint) AS "n""#),
            "{body}: {text}"
        );
    }
    let plain = "SELECT customers.id, length(customers.ssn) AS n FROM app.customers ORDER BY customers.id";
    let text = rewritten(&stored(plain, &["id", "n"]), "SELECT n FROM mv");
    assert!(text.contains(r#""id", CAST(NULL AS bigint) AS "n""#), "{text}");
    assert!(!text.contains(r#"AS "id""#), "{text}");
}

#[test]
fn a_stored_view_over_a_view_that_governed_columns_filter_shows_nothing() {
    let snapshot = with(&[
        ("relations", &["20040", "app", "nines", "v", "p", "20041"]),
        ("columns", &["20040", "1", "id", "20", "bigint", "", "f", "f", "b", "bigint", "-1"]),
        ("views", &["20040", "SELECT customers.id FROM app.customers WHERE (customers.ssn ~~ '9%'::text)"]),
        ("view_columns", &["20040", "16386", "1"]),
        ("view_columns", &["20040", "16386", "4"]),
        ("relations", &["20050", "app", "mv", "m", "p", "20051"]),
        ("columns", &["20050", "1", "id", "20", "bigint", "", "f", "f", "b", "bigint", "-1"]),
        ("views", &["20050", "SELECT nines.id FROM app.nines"]),
        ("view_columns", &["20050", "20040", "1"]),
    ]);
    let text = rewritten(&snapshot, "SELECT id FROM mv");
    assert!(text.contains(r#"CAST(NULL AS bigint) AS "id""#), "{text}");
}

#[test]
fn what_the_planner_chooses_by_is_administered_where_anything_is_governed() {
    let snapshot = super::snapshot();
    let (governed, nothing) = (super::governed(&snapshot), Governed::default());
    for text in [
        "SET enable_seqscan = off",
        "SET LOCAL random_page_cost = 0",
        "SELECT set_config('enable_sort', 'off', false)",
        "SET geqo_threshold = 2",
        "SET plan_cache_mode = force_generic_plan",
        "SET max_parallel_workers_per_gather = 0",
    ] {
        assert!(verbs(&snapshot, &governed, text).contains(&Verb::Administer), "{text}");
        assert!(!verbs(&snapshot, &nothing, text).contains(&Verb::Administer), "{text}");
    }
    for text in
        ["RESET enable_seqscan", "SET enable_seqscan TO DEFAULT", "SET work_mem = '64MB'", "SET jit = off"]
    {
        assert!(!verbs(&snapshot, &governed, text).contains(&Verb::Administer), "{text}");
    }
}

#[test]
fn an_update_of_a_governed_column_that_has_an_index_probes() {
    let index: [(&str, &[&str]); 2] = [
        ("relations", &["20060", "app", "by_ssn", "i", "p", "0"]),
        ("indexes", &["20060", "16386", "f", "f", "4 2", "f", ""]),
    ];
    let (indexed, plain) = (with(&index), super::snapshot());
    let update = "UPDATE customers SET ssn = 'a' WHERE id = 1";
    assert!(verbs(&indexed, &super::governed(&indexed), update).contains(&Verb::Probe));
    assert!(!verbs(&plain, &super::governed(&plain), update).contains(&Verb::Probe));
    let other = "UPDATE customers SET country = 'a' WHERE id = 1";
    assert!(!verbs(&indexed, &super::governed(&indexed), other).contains(&Verb::Probe));
}

#[test]
fn of_indexes_those_are_told_that_say_nothing_of_governed_columns() {
    let snapshot = with(&[
        ("relations", &["20060", "app", "nines", "i", "p", "0"]),
        ("indexes", &["20060", "16386", "f", "f", "1", "t", "4"]),
    ]);
    let text = rewritten(&snapshot, "SELECT indexname, indexdef FROM pg_indexes");
    let nines = r#"CASE WHEN ("schemaname" OPERATOR(pg_catalog.=) 'app' AND "indexname" OPERATOR(pg_catalog.=) 'nines') THEN NULL"#;
    assert!(text.contains(nines), "{text}");
    let text = rewritten(&snapshot, "SELECT reltuples FROM pg_class");
    let oid = r#"CASE WHEN "oid" OPERATOR(pg_catalog.=) ANY (CAST('{20060}' AS pg_catalog.oid[])) THEN NULL ELSE "reltuples" END"#;
    assert!(text.contains(oid), "{text}");
    let text = rewritten(&super::snapshot(), "SELECT indexname, indexdef FROM pg_indexes");
    assert_eq!(text, "SELECT indexname, indexdef FROM pg_indexes");
}

#[test]
fn indexes_that_begin_with_a_governed_column_are_named() {
    let snapshot = with(&[
        ("relations", &["20060", "app", "by_ssn", "i", "p", "0"]),
        ("indexes", &["20060", "16386", "f", "f", "4 1", "f", ""]),
        ("relations", &["20061", "app", "by_country", "i", "p", "0"]),
        ("indexes", &["20061", "16386", "f", "f", "9 4", "f", ""]),
        ("relations", &["20062", "app", "by_end", "i", "p", "0"]),
        ("indexes", &["20062", "16386", "f", "f", "0", "t", "4"]),
    ]);
    let found = super::governed(&snapshot).indexes_that_order(&snapshot);
    assert_eq!(found, ["app.customers_email_key", "app.by_ssn", "app.by_end"]);
    assert!(super::governed(&snapshot).parted(&snapshot).is_empty());
    let parted = with(&[("partitioned", &["16386", "4"])]);
    assert_eq!(super::governed(&parted).parted(&parted), ["app.customers"]);
}

#[test]
fn a_grouping_by_a_key_has_arrays_too() {
    let snapshot =
        with(&[("columns", &["16386", "20", "tags", "1009", "text[]", "", "f", "f", "b", "text[]", "-1"])]);
    let text = rewritten(&snapshot, "SELECT c.* FROM customers c GROUP BY c.id");
    assert!(text.contains(r#""c"."tags""#), "{text}");
}
