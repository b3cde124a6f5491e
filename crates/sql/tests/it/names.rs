//! Which statements depend on what names mean.

#[test]
fn what_turns_a_transaction_a_setting_or_a_channel_reads_no_names() {
    let text = "BEGIN; start transaction read only; COMMIT AND CHAIN; END; ABORT; /* SELECT */ ROLLBACK AND CHAIN;
                ROLLBACK TO SAVEPOINT a; SAVEPOINT a; RELEASE a; SET LOCAL TRANSACTION ISOLATION LEVEL SERIALIZABLE;
                SET search_path = x; SHOW search_path; RESET ALL; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;
                LISTEN x; UNLISTEN *; NOTIFY x";
    for statement in sql::parse(text).unwrap() {
        assert!(!statement.reads_names(), "{}", statement.text());
        let begins = ["BEGIN", "start transaction read only"].contains(&statement.text());
        assert_eq!(statement.begins(), begins, "{}", statement.text());
    }
    let text = "SELECT 1; SET CONSTRAINTS ALL DEFERRED; PREPARE p AS SELECT 1; EXECUTE p; DISCARD ALL; LOCK TABLE customers;
                -- COMMIT
                DELETE FROM customers; FETCH 1 FROM c; TABLE customers; VALUES (1); (SELECT 1)";
    for statement in sql::parse(text).unwrap() {
        assert!(statement.reads_names() && !statement.begins(), "{}", statement.text());
    }
}

#[test]
fn a_call_that_is_not_known_is_named_as_it_stands_whether_there_is_such_a_function() {
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let root = vocab::ResourcePath::root("crm");
    let table: [(&str, &[&str]); 4] = [
        ("SELECT app.get_ref(1)", &["get_ref"]),
        ("SELECT get_ref(1), no_such_function(1)", &["get_ref", "no_such_function"]),
        ("SELECT lower('A')", &[]),
        ("SELECT id FROM app.orders", &[]),
    ];
    for (text, expected) in table {
        let statement = &sql::parse(text).unwrap()[0];
        let vouched = sql::Vouched::default();
        let found = sql::analyze(statement, &snapshot, &governed, &super::names(), &vouched, &root);
        assert_eq!(found.unknown_calls, expected, "{text}");
    }
}
