//! What an error may say.

use crate::client::Client;
use proto_postgres::errors::{Care, Known, canonical, is_known, sanitise, whole};
use proto_postgres::message::FromClient;
use proto_postgres::reply::{Fields, field};
use proto_postgres::session::{Fate, Kind, Sent, What};
use wire::RawField;

const SECRET: &str = "078-05-1120";

fn text(fields: &Fields, code: u8) -> Option<&str> {
    fields.get(code).map(|f| f.to_str().unwrap())
}

fn say(sqlstate: &'static str, message: &'static str) -> Fields {
    Fields::new("ERROR", sqlstate, message)
}

/// What the client reads as MESSAGE, having sent `statement`, with `customers` and `name` to be seen.
fn told(statement: &str, fields: &Fields) -> String {
    let visible = |name: &[u8]| matches!(name, b"customers" | b"name" | b"public");
    let known = Known { said: &[statement.as_bytes()], visible: &visible };
    let out = sanitise(fields, &known, Care::Text, Some);
    text(&out, field::MESSAGE).unwrap().to_owned()
}

#[track_caller]
fn kept(statement: &str, sqlstate: &'static str, message: &'static str) {
    assert_eq!(told(statement, &say(sqlstate, message)), message);
}

#[track_caller]
fn templated(statement: &str, sqlstate: &'static str, message: &'static str) {
    assert_eq!(told(statement, &say(sqlstate, message)), canonical(sqlstate.as_bytes()));
}

#[test]
fn a_message_made_of_the_clients_own_words_stays() {
    kept("select * from nowhere", "42P01", "relation \"nowhere\" does not exist");
    kept("select Nope from t", "42703", "column \"nope\" does not exist");
    kept("select c.nope from t c", "42703", "column c.nope does not exist");
    kept("selec 1", "42601", "syntax error at or near \"selec\"");
    kept("select 1;;select )", "42601", "syntax error at or near \")\"");
    kept("select", "42601", "syntax error at end of input");
    kept("select 1/0", "22012", "division by zero");
    kept("select 'abc'::int", "22P02", "invalid input syntax for type integer: \"abc\"");
    kept("select lower(1)", "42883", "function lower(integer) does not exist");
    kept("select 1 = 'a'::text", "42883", "operator does not exist: integer = text");
    kept("select $1", "42P18", "could not determine data type of parameter $1");
    kept("select * from customers", "42501", "permission denied for table customers");
    kept("select x", "42P01", "relation \"public.customers\" does not exist");
    kept(
        "insert into t values (99999999999)",
        "22003",
        "value \"99999999999\" is out of range for type integer",
    );
}

#[test]
fn a_value_or_name_that_the_client_did_not_say_is_not_said_to_it() {
    templated(
        "select ssn::int from customers",
        "22P02",
        "invalid input syntax for type integer: \"078-05-1120\"",
    );
    templated("select ssn::int from customers", "22P02", "invalid input syntax for type integer: \"Smith\"");
    templated("select f(1)", "P0001", "the number is 078-05-1120");
    templated("select f(1)", "P0001", "Smith does not exist");
    templated("select 1", "42501", "permission denied for table salaries");
    templated("select 1", "22003", "value \"1112\" is out of range for type integer");
    // A word of PostgreSQL's own may be a value when it is quoted.
    templated(
        "select ssn::int from customers",
        "22P02",
        "invalid input syntax for type integer: \"positive\"",
    );
    // A piece of a word that the client said is not that word.
    templated(
        "select '1078-05-11203'::int",
        "22P02",
        "invalid input syntax for type integer: \"078-05-1120\"",
    );
    templated("select ab from t", "42703", "column \"b\" does not exist");
    // A quote that does not close, and one inside of the value.
    templated("select 1", "22P02", "invalid input syntax for type integer: \"Smith");
    templated("select 1", "22P02", "invalid input syntax for type integer: \"\"Smith\"\"");
    templated("select 1", "22P02", "invalid input syntax: \"\" Smith \"\"");
    templated("select 1", "22P02", "Gr\u{fc}\u{df}e");
}

#[test]
fn only_what_is_built_from_constants_or_known_names_is_left_of_the_other_fields() {
    let fields = say("23505", "duplicate key value violates unique constraint \"customers\"")
        .with(field::DETAIL, "Key (ssn)=(078-05-1120) already exists.")
        .with(field::HINT, "Perhaps you meant to reference the column \"customers.ssn\".")
        .with(field::WHERE, "PL/pgSQL function f() line 3 at RAISE")
        .with(field::INTERNAL_QUERY, "select '078-05-1120'")
        .with(field::INTERNAL_POSITION, "3")
        .with(field::POSITION, "17")
        .with(field::SCHEMA, "public")
        .with(field::TABLE, "customers")
        .with(field::COLUMN, "ssn")
        .with(field::DATA_TYPE, SECRET)
        .with(field::CONSTRAINT, SECRET)
        .with(field::FILE, "nbtinsert.c")
        .with(field::LINE, "666")
        .with(field::ROUTINE, "_bt_check_unique")
        .with(b'z', SECRET);
    let visible = |name: &[u8]| matches!(name, b"customers" | b"public");
    let known = Known { said: &[], visible: &visible };
    let out = sanitise(&fields, &known, Care::Text, |p| p.checked_sub(10));
    let left: Vec<(u8, &str)> = out.iter().map(|(code, value)| (code, value.to_str().unwrap())).collect();
    assert_eq!(
        left,
        [
            (b'S', "ERROR"),
            (b'V', "ERROR"),
            (b'C', "23505"),
            (b'M', "duplicate key value violates unique constraint \"customers\""),
            (b'P', "7"),
            (b's', "public"),
            (b't', "customers"),
        ]
    );
    let careful = sanitise(&fields, &known, Care::Template, |p| p.checked_sub(100));
    let left: Vec<u8> = careful.iter().map(|(code, _)| code).collect();
    assert_eq!(left, *b"SVCM");
    assert_eq!(text(&careful, field::MESSAGE), Some("unique violation"));
}

#[test]
fn a_constant_hint_stays() {
    let hint =
        "No function matches the given name and argument types. You might need to add explicit type casts.";
    let known = Known { said: &[b"select f(1)"], visible: &|_| false };
    let fields = say("42883", "function f(integer) does not exist").with(field::HINT, hint);
    assert_eq!(text(&sanitise(&fields, &known, Care::Text, Some), field::HINT), Some(hint));
    assert_eq!(text(&sanitise(&fields, &known, Care::Template, Some), field::HINT), None);
}

#[test]
fn a_sqlstate_outside_of_the_table_is_an_internal_error() {
    let known = Known { said: &[], visible: &|_| false };
    for code in ["05112", "ZZ000", "42", "", "22012x", "2201\u{e9}"] {
        let fields = Fields::default().with(field::SQLSTATE, code).with(field::SEVERITY, "Smith");
        let out = sanitise(&fields, &known, Care::Text, Some);
        assert_eq!(text(&out, field::SQLSTATE), Some("XX000"), "{code}");
        assert_eq!(text(&out, field::MESSAGE), Some("internal error"));
        assert_eq!(text(&out, field::SEVERITY), Some("ERROR"));
    }
    // PgBouncer CVE-2026-6666: an upstream that leaves it out.
    let out = sanitise(&Fields::default(), &known, Care::Text, Some);
    assert_eq!(text(&out, field::SQLSTATE), Some("XX000"));
    assert!(is_known(b"25P04") && is_known(b"00000") && !is_known(b"99999"));
    assert_eq!(canonical(b"40P01"), "deadlock detected");
}

#[test]
fn what_is_beyond_the_limit_counts_as_not_said() {
    let big = vec![b' '; proto_postgres::limits::SAID_BYTES_MAX];
    let fields = say("42P01", "relation \"nowhere\" does not exist");
    let visible = |_: &[u8]| false;
    let message = |said: &[&[u8]]| {
        let out = sanitise(&fields, &Known { said, visible: &visible }, Care::Text, Some);
        text(&out, field::MESSAGE).unwrap().to_owned()
    };
    assert_eq!(message(&[b"from nowhere"]), "relation \"nowhere\" does not exist");
    assert_eq!(message(&[&big, b"from nowhere"]), "undefined table");
}

/// Errors of a real server: those about the client's own words are not changed, and none says a value.
#[test]
fn errors_of_a_real_server_keep_their_text_and_never_say_a_value() {
    let mut client = Client::connect();
    client.query("create temp table customers(id int primary key, name text, ssn text, n numeric(4,2), check (id < 100))").unwrap();
    client.query(&format!("insert into customers values (1, 'Ada', '{SECRET}', 1)")).unwrap();
    let own_words = [
        "select * from nowhere",
        "select nope from customers",
        "select c.nope from customers c",
        "selec 1",
        "select 1 from",
        "select lower(1)",
        "select 1 + 'x'::text",
        "select 'abc'::int",
        "select 'abc'::date",
        "select '{'::json",
        "select 1/0",
        "select * from customers group by id, nope",
        "select name, count(*) from customers",
        "insert into customers(id, nope) values (1, 2)",
        "insert into customers values (1, 2, 3, 4, 5, 6)",
        "create temp table customers(id int)",
        "drop table nowhere",
        "commit and chain",
        "savepoint a",
        "release savepoint a",
        "deallocate nope",
        "fetch 1 from nope",
        "set nope.nope = 1; set nope = 1",
        "select 99999999999::int",
        "select count(*) over (order by nope) from customers",
        "select (select id, name from customers)",
        "with x as (select 1) select * from y",
        "select * from customers where id = 'abc'",
        "select array[1, 'a']",
        "prepare p as select $1; prepare p as select 1",
        "lock table customers",
        "select * from customers, customers",
        "values (1), (2, 3)",
        "select 1 union select 1, 2",
        "select 'a' union select 1",
        "alter table customers add column name text",
        "select extract(nope from now())",
        "vacuum nowhere",
        "truncate nowhere",
        "explain select nope",
    ];
    let mut kept = Vec::new();
    for sql in own_words {
        let (raw, out) = error_of(&mut client, sql);
        if out == raw || out.starts_with(&format!("{raw}|")) {
            kept.push(sql);
        } else {
            eprintln!("templated: {raw} -> {out}");
        }
    }
    assert!(kept.len() * 10 >= own_words.len() * 9, "{} of {}", kept.len(), own_words.len());

    for sql in [
        "select ssn::int from customers",
        "select ssn::date from customers",
        "select ssn::json from customers",
        "select (name || ssn)::numeric from customers",
        "select set_config(ssn, 'x', true) from customers",
        "select currval(ssn) from customers",
        "select ssn::regclass from customers",
        "select nextval(name::regclass) from customers",
        "insert into customers select id, name, ssn, 1 from customers",
        "insert into customers select 1000, name, ssn, 1 from customers",
        "insert into customers select 2, name, ssn, 1000 from customers",
        "do $$ begin raise '%', (select ssn from customers); end $$",
        "do $$ begin raise sqlstate '05112' using message = (select name from customers), hint = (select ssn from customers); end $$",
        "select repeat('(', 10000)::jsonpath || ssn::jsonpath from customers",
        "select ssn::jsonpath from customers",
        "select encode(ssn::bytea, ssn) from customers",
        "select xmlparse(document ssn) from customers",
        "select ('[' || ssn)::int4range from customers",
        "select regexp_replace('a', '(' || ssn, '') from customers",
        "select to_char(now(), ssn) || (ssn::interval)::text from customers",
    ] {
        let (raw, out) = error_of(&mut client, sql);
        for piece in [SECRET, "Ada", "078", "1120"] {
            assert!(!out.contains(piece), "{sql}: {raw} -> {out}");
        }
    }
}

/// MESSAGE as the server says it, and all that the client is told.
fn error_of(client: &mut Client, sql: &str) -> (String, String) {
    let query = FromClient::Query { sql: RawField::copy_from(sql.as_bytes()) };
    assert_eq!(client.send(Sent::shown(1, What::SimpleQuery), &query), Fate::Outstanding);
    let events = client.settle();
    let fields = events.iter().find_map(|event| match &event.kind {
        Kind::Error { fields, .. } => Some(fields.clone()),
        _ => None,
    });
    let fields = fields.unwrap_or_else(|| panic!("no error: {sql}"));
    let known = Known { said: &[sql.as_bytes()], visible: &|name| name == b"customers" || name == b"name" };
    let out = sanitise(&fields, &known, Care::Text, Some);
    let all: Vec<&str> = out
        .iter()
        .filter(|(code, _)| matches!(*code, b'M' | b'D' | b'H' | b'W' | b'q' | b'c' | b'd' | b'n'))
        .map(|(_, value)| value.to_str().unwrap())
        .collect();
    (text(&fields, field::MESSAGE).unwrap().to_owned(), all.join("|"))
}

#[test]
fn a_routine_stays_only_if_drivers_look_for_it() {
    let known = Known { said: &[], visible: &|_| false };
    for (routine, stays) in [("RevalidateCachedQuery", true), ("exec_stmt_raise", false), (SECRET, false)] {
        let fields = say("0A000", "cached plan must not change result type").with(field::ROUTINE, routine);
        let out = sanitise(&fields, &known, Care::Template, Some);
        assert_eq!(text(&out, field::ROUTINE), stays.then_some(routine));
    }
}

#[test]
fn a_whole_message_keeps_every_field_and_maps_its_position() {
    let fields = say("P0001", "anything 42")
        .with(field::DETAIL, "d")
        .with(field::WHERE, "w")
        .with(field::POSITION, "3")
        .with(field::LINE, "7");
    let out = whole(&fields, |at| Some(at + 10));
    let got: Vec<(u8, &str)> = out.iter().map(|(code, value)| (code, value.to_str().unwrap())).collect();
    assert_eq!(
        got[4..],
        [(field::DETAIL, "d"), (field::WHERE, "w"), (field::POSITION, "13"), (field::LINE, "7")]
    );
    assert_eq!(text(&whole(&fields, |_| None), field::POSITION), None);
}
