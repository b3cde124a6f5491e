//! A governed value does not reach the client, by whatever way it is asked for; what is not governed
//! comes through as it is.

use crate::world::{drivers, gateway, good, nothing_leaked, sh, upstream};

/// One `psql` in which each statement may fail, and none may leak.
fn ask(statements: &[&str]) -> interop::process::Finished {
    let script: String = statements.iter().map(|sql| format!(" -c {}", quote(sql))).collect();
    let done = sh("tester", &format!("psql -X -At{script}; true"));
    good(&done);
    done
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn no_view_is_so_deep_that_what_it_shows_is_not_known() {
    // The outermost has the lowest OID: it is looked at first, before those below it are known.
    let last = 40;
    let mut sql = String::from("CREATE SCHEMA deep; GRANT USAGE ON SCHEMA deep TO public;");
    for n in 1..=last {
        sql += &format!("CREATE VIEW deep.v{n} AS SELECT id, ssn FROM public.customers;");
    }
    for n in 1..last {
        sql += &format!("CREATE OR REPLACE VIEW deep.v{n} AS SELECT id, ssn FROM deep.v{};", n + 1);
    }
    upstream().admin("crm", &(sql + "GRANT SELECT ON ALL TABLES IN SCHEMA deep TO public;")).unwrap();
    for n in [1, 2, 7, 8, 9, 20, 39, 40] {
        let done = ask(&[&format!("SELECT reverse(ssn) FROM deep.v{n}")]);
        assert!(!done.out().contains("1938-22-635"), "v{n}: {}", done.all());
        if n == 1 {
            assert!(done.err().contains("42501") || done.err().contains("view"), "{}", done.all());
        }
    }
}

#[test]
fn reads_of_every_shape_see_the_mask() {
    let done = ask(&[
        "SELECT * FROM customers",
        "SELECT ssn || card || email FROM customers",
        "SELECT c FROM customers c",
        "SELECT row_to_json(c) FROM customers c",
        "SELECT to_jsonb(customers.*) FROM customers",
        "SELECT array_agg(ssn) FROM customers",
        "SELECT string_agg(reverse(ssn), ',') FROM customers",
        "SELECT max(card) OVER () FROM customers",
        "WITH a AS (SELECT ssn AS b FROM customers) SELECT upper(b) FROM a",
        "SELECT x FROM (SELECT ssn AS x FROM customers UNION SELECT card FROM customers) AS y",
        "SELECT o.id, c.ssn FROM orders o JOIN customers c ON c.id = o.customer_id",
        "SELECT (SELECT ssn FROM customers WHERE id = o.customer_id) FROM orders o",
        "SELECT encode(convert_to(ssn, 'UTF8'), 'base64') FROM customers",
        "SELECT ssn::bytea FROM customers",
        "SELECT substr(ssn, 1, 3), substr(ssn, 4) FROM customers",
        "SELECT CAST(ssn AS date) FROM customers",
        "SELECT 1 / (CASE WHEN ssn LIKE '4%' THEN 0 ELSE 1 END) FROM customers",
        "INSERT INTO pad (t) SELECT ssn FROM customers RETURNING t",
        "COPY customers TO STDOUT",
        "COPY (SELECT email FROM customers) TO STDOUT (FORMAT binary)",
        "PREPARE p AS SELECT ssn FROM customers WHERE id = $1; EXECUTE p(3)",
        "BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM customers; FETCH ALL FROM c; COMMIT",
        "EXPLAIN (VERBOSE) SELECT ssn FROM customers WHERE ssn = 'x'",
        "TABLE customers",
        "SELECT ssn FROM customers ORDER BY ssn",
        "SELECT ssn, count(*) FROM customers GROUP BY ssn",
    ]);
    nothing_leaked(&done);
}

#[test]
fn a_predicate_on_a_governed_column_sees_the_mask() {
    let done = ask(&[
        "SELECT count(*) FROM customers WHERE ssn = '402-81-1957'",
        "SELECT count(*) FROM customers WHERE ssn LIKE '4%'",
    ]);
    assert_eq!(done.out(), "0\n0\n", "{}", gateway().explain(&done));
}

#[test]
fn what_is_not_governed_comes_through() {
    let done = ask(&[
        "SELECT id, name, city FROM customers WHERE id = 3",
        "SELECT count(*), sum(amount) FROM orders WHERE id < 100",
    ]);
    assert_eq!(done.out(), "3|Chiara Lund|Turin\n6|1565.49\n", "{}", gateway().explain(&done));
}

#[test]
fn an_address_in_a_column_that_nobody_declared_is_caught() {
    let done = ask(&["SELECT note FROM orders WHERE id = 6"]);
    assert!(done.out().starts_with("second address: "), "{}", gateway().explain(&done));
    assert!(!done.out().contains("esi.marsh@example.org"), "{}", done.out());
}

/// A program that writes back what it read would put masks where values were.
#[test]
fn a_mask_is_not_written_over_the_value_that_it_stands_for() {
    for sql in [
        "update customers set name = 'X', ssn = 'ssn_1' where id = 1",
        "update customers set card = '************3486' where id = 1",
        "insert into customers values (99, 'N', 'n@x', 'ssn_99', '', '')",
        "update customers set ssn = E'ssn\\\\x5f1' where id = 1",
        "update customers set ssn = U&'ssn\\\\005f1' where id = 1",
        "update customers set ssn = 'ssn_' || 1 where id = 1",
        "update customers set ssn = concat('ssn', '_1')::text where id = 1",
        "prepare p(text) as update customers set ssn = \\$1 where id = 1; execute p('ssn_1')",
    ] {
        let done = sh("tester", &format!("psql -X -c \"{sql}\" 2>&1"));
        assert!(done.out().contains("a mask that stands for a hidden one"), "{sql}: {}", done.all());
    }
    let bound = "import psycopg; psycopg.connect('', prepare_threshold=0).execute(\
                 'update customers set ssn = %s where id = 1', ['ssn_1'])";
    let python = drivers().python();
    let done = sh("tester", &format!("'{}' -c \"{bound}\" 2>&1", python.display()));
    assert!(done.out().contains("a mask that stands for a hidden one"), "{}", done.all());
}
