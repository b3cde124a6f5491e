//! Binary values as text: what we print is what the server itself prints.

use crate::client::{Client, bind, execute, parse};
use crate::dice::Dice;
use proto_postgres::message::Format;
use proto_postgres::session::{Fate, Kind, Sent, What};
use proto_postgres::types::{Carries, Scan, built_in, carries, oid};
use std::borrow::Cow;

fn scan(type_oid: u32, format: Format, value: &[u8]) -> Scan<'_> {
    proto_postgres::types::scan(type_oid, format == Format::Binary, value, &built_in)
}

/// One row of `sql` in a format.
fn row(client: &mut Client, sql: &str, format: Format) -> Vec<Option<Vec<u8>>> {
    let mut send = |what, message| assert_eq!(client.send(Sent::shown(1, what), &message), Fate::Outstanding);
    send(What::Parse, parse("", sql));
    send(What::Bind, bind("", "", format));
    send(What::Execute, execute("", 0));
    send(What::Sync, proto_postgres::message::FromClient::Sync);
    let mut rows = Vec::new();
    for event in client.settle() {
        match event.kind {
            Kind::DataRow(row) => rows.push(row.cells().map(|c| c.map(<[u8]>::to_vec)).collect()),
            Kind::Error { fields, .. } => {
                panic!("{sql}: {}", String::from_utf8_lossy(fields.get(b'M').unwrap().as_bytes()));
            }
            _ => {}
        }
    }
    assert_eq!(rows.len(), 1, "{sql}");
    rows.remove(0)
}

fn type_oid(client: &mut Client, name: &str) -> u32 {
    let rows = client.query(&format!("select '{name}'::regtype::oid")).unwrap();
    String::from_utf8(rows[0][0].clone().unwrap()).unwrap().parse().unwrap()
}

/// Each literal of a type: the binary value scans as the text that the server gives.
fn check(client: &mut Client, type_name: &str, literals: &[String]) {
    let type_oid = type_oid(client, type_name);
    for chunk in literals.chunks(200) {
        let list: Vec<String> =
            chunk.iter().map(|l| format!("'{}'::{type_name}", l.replace('\'', "''"))).collect();
        let sql = format!("select {}", list.join(", "));
        let text = row(client, &sql, Format::Text);
        let binary = row(client, &sql, Format::Binary);
        for ((text, binary), literal) in text.iter().zip(&binary).zip(chunk) {
            let (text, binary) = (text.as_deref().unwrap(), binary.as_deref().unwrap());
            let got = scan(type_oid, Format::Binary, binary);
            assert!(matches!(got, Scan::Text(_)), "{type_name} {literal}: {got:?}");
            assert_eq!(
                String::from_utf8_lossy(got.as_bytes()),
                String::from_utf8_lossy(text),
                "{type_name} {literal}"
            );
        }
    }
}

fn strings(of: &[&str]) -> Vec<String> {
    of.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn binary_values_read_as_the_server_prints_them() {
    let mut client = Client::connect();
    client.query("set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set lc_monetary = 'C'").unwrap();
    let mut dice = Dice::new(6);
    let check = &mut |name: &str, literals: Vec<String>| check(&mut client, name, &literals);

    for name in ["text", "varchar", "bpchar", "name", "json", "xml"] {
        check(name, strings(&["\"a\"", "\"4111 1111 1111 1111\"", "\"caf\u{e9}\""]));
    }
    check("jsonb", strings(&["{\"card\": \"4111111111111111\"}", "[1, null]", "\"x\""]));
    check("jsonpath", strings(&["$.\"a\"[*]"]));
    check("\"char\"", strings(&["a"]));
    check("int2", strings(&["-32768", "32767", "0"]));
    check("int4", strings(&["-2147483648", "2147483647"]));
    let numbers = |dice: &mut Dice| (0..200).map(|_| (dice.next() as i64).to_string()).collect();
    check("int8", [numbers(&mut dice), strings(&["-9223372036854775808", "4111111111111111"])].concat());
    check("uuid", strings(&["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]));
    check("bit(3)", strings(&["101", "000"]));
    check("varbit", strings(&["", "1", "1010101011"]));
    check("macaddr", strings(&["08:00:2b:01:02:03"]));
    check("macaddr8", strings(&["08:00:2b:01:02:03:04:05"]));
    check(
        "inet",
        strings(&["192.168.0.1", "192.168.0.0/24", "::1", "2001:db8::1/64", "::ffff:1.2.3.4", "::"]),
    );
    check("inet", strings(&["::1.2.3.4", "::1:2", "10.0.0.1/32", "::ffff:0:0/96"]));
    check("cidr", strings(&["2001:db8::/32", "10.1.2.3", "192.168.100.0/24", "::1"]));
    check("oid", strings(&["4294967295", "0"]));
    check("xid", strings(&["4294967295"]));
    check("xid8", strings(&["18446744073709551615"]));
    check("tid", strings(&["(4294967295,65535)"]));
    check("pg_lsn", strings(&["16/B374D848"]));
    check("bool", strings(&["true", "false"]));

    let numerics = (0..600).map(|_| numeric(&mut dice)).collect();
    check("numeric", numerics);
    check(
        "numeric",
        strings(&[
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "0.000",
            "-0.00001",
            "1e20",
            "1e-20",
            "12345678901234567890.12",
        ]),
    );
    check("numeric(10,3)", strings(&["4111111.111", "0", "-0.5"]));
    let doubles = |dice: &mut Dice| (0..400).map(|_| (dice.next() as i64 as f64 / 1e9).to_string()).collect();
    let fixed =
        ["0", "-0", "1.5", "-2.25", "0.1", "0.0001", "123456789012345", "NaN", "Infinity", "-Infinity"];
    check("float8", [doubles(&mut dice), strings(&fixed)].concat());
    check("float4", strings(&["0", "1.5", "-2.25", "123456", "0.0001", "3.1415927"]));

    let days = (0..400).map(|_| date(&mut dice)).collect();
    check("date", days);
    check(
        "date",
        strings(&[
            "2000-01-01",
            "1999-12-31",
            "2000-02-29",
            "1900-03-01",
            "4713-01-01 BC",
            "0001-01-01",
            "0001-12-31 BC",
            "5874897-12-31",
            "infinity",
            "-infinity",
        ]),
    );
    let zoned: Vec<String> = (0..100).map(|_| format!("{} 10:11:12.25+05", date(&mut dice))).collect();
    check("timestamptz", zoned);
    check("timestamptz", strings(&["infinity", "0044-03-15 10:00:00+00 BC"]));
    check("timetz", strings(&["10:00:00+02", "10:00:00-03:30", "23:59:59.5+00", "10:00:00+01:02:03"]));
    let months = |dice: &mut Dice| dice.below(99) as i64 - 49;
    let intervals: Vec<String> = (0..400)
        .map(|_| {
            let (months, days, seconds) = (months(&mut dice), months(&mut dice), months(&mut dice) * 997);
            format!("{months} mons {} days {seconds}.5 seconds", days / 3)
        })
        .collect();
    check("interval", intervals);
    let spans = ["1 year", "0", "-1 mon 1 day", "1 mon -1 day 01:00", "-1 day +00:00:01", "-00:00:00.000001"];
    check("interval", strings(&spans));
    check("time", strings(&["00:00:00", "23:59:59.999999", "24:00:00", "12:30:00.5"]));
    let stamps: Vec<String> = (0..400)
        .map(|_| {
            format!(
                "{} {:02}:{:02}:{:02}.{}",
                date(&mut dice),
                dice.below(24),
                dice.below(60),
                dice.below(60),
                dice.below(1_000_000)
            )
        })
        .collect();
    check("timestamp", stamps);
    check("timestamp", strings(&["infinity", "-infinity", "0044-03-15 10:00:00 BC"]));
}

fn date(dice: &mut Dice) -> String {
    format!("{:04}-{:02}-{:02}", dice.below(9999) + 1, dice.below(12) + 1, dice.below(28) + 1)
}

fn numeric(dice: &mut Dice) -> String {
    let digits = |dice: &mut Dice, n: usize| -> String {
        (0..n).map(|_| char::from(b'0' + (dice.below(10) as u8))).collect()
    };
    let (before, after) = (dice.below(24), dice.below(14));
    let zeros = "0".repeat(dice.below(6));
    let sign = if dice.coin() { "-" } else { "" };
    let (whole, fraction) = (digits(dice, before), digits(dice, after));
    format!("{sign}1{whole}{zeros}.{zeros}{fraction}0")
}

/// The parts of composed values stand each on a line.
#[test]
fn composed_values_show_their_parts() {
    let mut client = Client::connect();
    client.query("set timezone = 'UTC'").unwrap();
    let mut check = |expression: &str, expect: &str| {
        let kind = client.query(&format!("select pg_typeof({expression})::oid")).unwrap();
        let type_oid = String::from_utf8(kind[0][0].clone().unwrap()).unwrap().parse().unwrap();
        let binary = row(&mut client, &format!("select {expression}"), Format::Binary);
        let got = scan(type_oid, Format::Binary, binary[0].as_deref().unwrap()).as_bytes().to_vec();
        assert_eq!(String::from_utf8(got).unwrap(), expect, "{expression}");
    };
    check("array['a', null, '4111111111111111']", "a\n4111111111111111");
    check("array[[1,2],[3,4]]", "1\n2\n3\n4");
    check("'{}'::text[]", "");
    check("array[1.50, 2]", "1.50\n2");
    check("array['{\"a\": 1}'::jsonb]", "{\"a\": 1}");
    check("array[row(1, 'x'::text), row(2, array['y', 'z'])]", "1\nx\n2\ny\nz");
    check("row(1, null, 'x'::text, row('y'::text))", "1\nx\ny");
    check("int8range(1, 4111111111111111)", "1\n4111111111111111");
    check("int4range(5, null)", "5");
    check("'empty'::numrange", "");
    check("'{[1,2), [5,7)}'::int4multirange", "1\n2\n5\n7");
    check("daterange('2020-01-01', '2021-01-01')", "2020-01-01\n2021-01-01");
    check("array[int4range(1, 2)]", "1\n2");
    check("'1 2 3'::int2vector", "1\n2\n3");
    check("'12.34'::money", "$12.34\n12.34");
    check("'-1234567.05'::money", "-$1,234,567.05\n-1234567.05");
    check("array['0.05'::money]", "$0.05\n0.05");
    // As the server prints it, and in full.
    check("4111111111111111::float8", "4.111111111111111e+15\n4111111111111111");
    check("'-2.5e-7'::float8", "-2.5e-07\n-0.00000025");
    check("1e100::float8", &format!("1e+100\n1{}", "0".repeat(100)));
    check("16777216::float4", "1.6777216e+07\n16777216");
    check("array[true]", "t");
}

#[test]
fn what_a_search_vector_holds_is_seen() {
    let mut client = Client::connect();
    for (expression, type_oid) in
        [("'secretword other'::tsvector", oid::TSVECTOR), ("'secretword & x'::tsquery", oid::TSQUERY)]
    {
        let binary = row(&mut client, &format!("select {expression}"), Format::Binary);
        let got = scan(type_oid, Format::Binary, binary[0].as_deref().unwrap());
        assert!(String::from_utf8_lossy(got.as_bytes()).contains("secretword"));
    }
}

/// Every built-in type that has a send function: known by its OID, and read without a complaint.
#[test]
fn every_built_in_type_is_known_or_stands_in_the_open() {
    let mut client = Client::connect();
    let rows = client
        .query("select oid, typname, typcategory from pg_type where typtype in ('b', 'r', 'm') and typsend <> 0 and oid < 10000 order by oid")
        .unwrap();
    let mut unknown = Vec::new();
    for row in rows {
        let field = |i: usize| String::from_utf8(row[i].clone().unwrap()).unwrap();
        let (type_oid, name, category): (u32, String, String) =
            (field(0).parse().unwrap(), field(1), field(2));
        match carries(type_oid) {
            Carries::Unknown => unknown.push(name),
            Carries::Array(element) => {
                assert!(category == "A", "{name} is no array");
                let elements =
                    client.query(&format!("select typelem from pg_type where oid = {type_oid}")).unwrap();
                assert_eq!(elements[0][0].as_deref(), Some(element.to_string().as_bytes()), "{name}");
            }
            Carries::Text => assert!(matches!(&*category, "S" | "U" | "X" | "Z"), "{name} {category}"),
            _ => {}
        }
    }
    // Statistics, snapshots and lists of privileges: binary forms of their own, scanned as raw bytes.
    let expect = [
        "pg_node_tree",
        "pg_ndistinct",
        "pg_dependencies",
        "pg_mcv_list",
        "pg_snapshot",
        "txid_snapshot",
        "pg_brin_bloom_summary",
        "pg_brin_minmax_multi_summary",
        "gtsvector",
        "aclitem",
        "_aclitem",
        "_txid_snapshot",
        "_pg_snapshot",
        "_gtsvector",
        "_pg_attribute",
        "_pg_type",
        "_pg_proc",
        "_pg_class",
    ];
    let surprising: Vec<&String> = unknown.iter().filter(|name| !expect.contains(&name.as_str())).collect();
    assert!(surprising.is_empty(), "{surprising:?}");
}

#[test]
fn text_is_text_whatever_the_type_and_bytea_is_its_bytes() {
    assert_eq!(scan(oid::INT4, Format::Text, b"12"), Scan::Text(Cow::Borrowed(b"12")));
    assert_eq!(scan(oid::BYTEA, Format::Text, b"\\x313233"), Scan::Bytes(Cow::Borrowed(b"123")));
    assert_eq!(scan(oid::BYTEA, Format::Text, b"a\\000b"), Scan::Text(Cow::Borrowed(b"a\\000b")));
    assert_eq!(scan(oid::BYTEA, Format::Text, b"\\x31323"), Scan::Malformed);
    assert_eq!(scan(oid::BYTEA, Format::Binary, b"\0\xff"), Scan::Bytes(Cow::Borrowed(b"\0\xff")));
    assert_eq!(scan(70_000, Format::Binary, b"\0abc"), Scan::Unknown(Cow::Borrowed(b"\0abc")));
}

/// An array of enums, a domain, and what of a row is of an extension's type.
#[test]
fn types_of_users_are_read_as_what_they_are_made_of() {
    let own = |type_oid| match type_oid {
        70_001 => Some((oid::TEXT, Carries::Text)),
        70_002 => Some((oid::DATE, Carries::Time)),
        70_003 => Some((70_003, Carries::Array(70_001))),
        _ => None,
    };
    let scan = |type_oid, value: &'static [u8]| proto_postgres::types::scan(type_oid, true, value, &own);
    assert_eq!(scan(70_001, b"pending"), Scan::Text(Cow::Borrowed(b"pending")));
    assert_eq!(scan(70_002, b"\0\0\0\x01"), Scan::Text(Cow::Borrowed(b"2000-01-02")));
    let array = b"\0\0\0\x01\0\0\0\0\0\x01\x11\x71\0\0\0\x01\0\0\0\x01\0\0\0\x02ok";
    assert_eq!(scan(70_003, array), Scan::Text(Cow::Borrowed(b"ok")));
    let row = b"\0\0\0\x02\0\x01\x11\x72\0\0\0\x04\0\0\0\x01\0\x01\x11\x99\0\0\0\x02\xff\xfe";
    assert_eq!(scan(oid::RECORD, row), Scan::Unknown(Cow::Borrowed(b"2000-01-02\n\xff\xfe")));
    assert!(matches!(scan(oid::POINT, &[0; 16]), Scan::Unknown(_)));
    assert!(matches!(scan(oid::REGCLASS, &[0; 4]), Scan::Unknown(_)));
}

#[test]
fn a_value_that_is_not_of_its_types_form_is_malformed() {
    let check = |type_oid, value: &[u8]| {
        assert_eq!(scan(type_oid, Format::Binary, value), Scan::Malformed, "{value:?}")
    };
    check(oid::INT4, b"123");
    check(oid::INT8, b"");
    check(oid::JSONB, b"");
    check(oid::JSONB, b"\x02{}");
    check(oid::NUMERIC, b"\0\x01\0\0\0\0\0\0");
    check(oid::NUMERIC, b"\0\0\0\0\0\x01\0\0");
    check(oid::NUMERIC, b"\0\x01\0\0\0\0\0\0\x27\x10");
    check(oid::NUMERIC, b"\0\0\0\0\0\0\x7f\xff");
    check(oid::INET, b"\x02\x20\0\x04\x7f\0\0");
    check(oid::UUID, b"short");
    check(oid::TIME, &(-1i64).to_be_bytes());
    check(oid::VARBIT, b"\0\0\0\x09\0");
    check(1009, b"\0\0\0\x07\0\0\0\0\0\0\0\x19");
    check(1009, b"\0\0\0\x01\0\0\0\0\0\0\0\x19\x7f\xff\xff\xff\0\0\0\x01");
    check(1009, b"\0\0\0\x06\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0\0\0");
    check(oid::RECORD, b"\xff\xff\xff\xff");
    check(3904, b"\0");
}

#[test]
fn nesting_and_growth_are_bounded() {
    // Records in records.
    let mut value = Vec::new();
    for _ in 0..10_000 {
        let mut outer = 1u32.to_be_bytes().to_vec();
        outer.extend(oid::RECORD.to_be_bytes());
        outer.extend((value.len() as u32).to_be_bytes());
        outer.extend(&value);
        value = outer;
        if value.len() > 100_000 {
            break;
        }
    }
    assert_eq!(scan(oid::RECORD, Format::Binary, &value), Scan::Malformed);
    // 8 MiB of numerics of 131,072 digits each would be 70 GB of text.
    let one = b"\0\0\0\x0a\0\x01\x7f\xff\0\0\0\0\0\x01";
    let count = 600_000u32;
    let mut value = b"\0\0\0\x01\0\0\0\0\0\0\x06\xa4".to_vec();
    value.extend(count.to_be_bytes());
    value.extend(1u32.to_be_bytes());
    (0..count).for_each(|_| value.extend(one));
    assert_eq!(scan(1231, Format::Binary, &value), Scan::Malformed);
}
