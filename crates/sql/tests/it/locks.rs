//! Advisory locks of a session: which statement takes one, and which leaves none.

use sql::SessionLocks::{self, Releases, Takes, Untouched};
use sql::{Names, Vouched, analyze, parse};
use std::sync::Arc;
use vocab::ResourcePath;

fn of(text: &str, names: &Names) -> SessionLocks {
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let statements = parse(text).unwrap();
    let [statement] = &statements[..] else { panic!("{text} is not one statement") };
    analyze(statement, &snapshot, &governed, names, &Vouched::default(), &ResourcePath::root("crm"))
        .session_locks
}

#[test]
fn what_takes_a_lock_of_the_session_is_told_from_what_leaves_none() {
    for (text, expect) in [
        ("SELECT pg_advisory_lock(1)", Takes),
        ("SELECT pg_advisory_lock_shared(1, 2)", Takes),
        ("SELECT 1 WHERE pg_try_advisory_lock(1)", Takes),
        ("SELECT pg_catalog.pg_try_advisory_lock_shared(id) FROM customers", Takes),
        ("WITH l AS (SELECT pg_advisory_lock(1)) SELECT 1", Takes),
        ("EXPLAIN ANALYZE SELECT pg_advisory_lock(1)", Takes),
        ("COPY (SELECT pg_advisory_lock(1)) TO STDOUT", Takes),
        ("SELECT pg_advisory_lock(1), pg_advisory_unlock_all()", Takes),
        ("PREPARE p AS SELECT pg_advisory_lock(1)", Untouched),
        ("SELECT pg_advisory_xact_lock(1)", Untouched),
        ("SELECT pg_try_advisory_xact_lock_shared(1)", Untouched),
        // Another lock may be left.
        ("SELECT pg_advisory_unlock(1)", Untouched),
        ("SELECT pg_advisory_unlock_shared(1)", Untouched),
        ("SELECT 1", Untouched),
        ("SELECT pg_advisory_unlock_all()", Releases),
        ("select pg_catalog.pg_advisory_unlock_all ( ) AS done", Releases),
        ("DISCARD ALL", Releases),
        ("DISCARD TEMP", Untouched),
        // Nobody knows whether these have called it.
        ("SELECT pg_advisory_unlock_all() WHERE false", Untouched),
        ("SELECT pg_advisory_unlock_all() LIMIT 0", Untouched),
        ("SELECT pg_advisory_unlock_all() FROM customers", Untouched),
        ("SELECT CASE WHEN 1 = 2 THEN pg_advisory_unlock_all() END", Untouched),
        ("SELECT 1, pg_advisory_unlock_all()", Untouched),
        ("SELECT pg_advisory_unlock_all() UNION SELECT 1", Untouched),
        ("EXPLAIN SELECT pg_advisory_unlock_all()", Untouched),
        ("SELECT app.pg_advisory_unlock_all()", Untouched),
    ] {
        assert_eq!(of(text, &super::names()), expect, "{text}");
    }
}

#[test]
fn what_takes_a_lock_takes_it_by_the_name_of_a_prepared_statement_too() {
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let root = ResourcePath::root("crm");
    let mut names = super::names();
    for (name, text) in
        [("takes", "SELECT pg_advisory_lock(1)"), ("frees", "SELECT pg_advisory_unlock_all()")]
    {
        let text = format!("PREPARE {name} AS {text}");
        let statements = parse(&text).unwrap();
        let found = analyze(&statements[0], &snapshot, &governed, &names, &Vouched::default(), &root);
        names.prepared.insert(name.to_owned(), Arc::new(found));
    }
    assert_eq!(of("EXECUTE takes", &names), Takes);
    assert_eq!(of("EXECUTE frees", &names), Untouched);
}
