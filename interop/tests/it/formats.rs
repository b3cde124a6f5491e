//! What comes in a binary format is looked at as what it says, by the formats of the portal that it comes of; in that form it is found
//! by its value, and so is what was sent in one.

use crate::names::{bind, close, execute, flight, parse};
use crate::raw::{Message, Raw, code, message};
use crate::world::{own_site, upstream};
use interop::gateway::{Gateway, Lease};
use serde_json::Value;

const CARD: &str = "4111111111111111";
/// Behind a rule of its own, and revealed.
const ACCOUNT: &str = "4000000888";

const TABLES: &str = "\
CREATE TYPE pair AS (a int, b bigint);
CREATE TABLE pay (id int PRIMARY KEY, n bigint, account bigint, raw bytea);
INSERT INTO pay VALUES (1, 4111111111111111, 4000000888, 'quebec77secret');
CREATE TABLE one (c bigint);
INSERT INTO one VALUES (4111111111111111);
GRANT SELECT ON pay, one TO crm_app;";

fn scene(database: &str) -> (Gateway, Lease) {
    let site = own_site(database, |plan| {
        plan.durability = "os".to_owned();
        plan.masks.push(("public.pay.account".to_owned(), "fin.account".to_owned(), "null".to_owned()));
        plan.policy = r#"@id("all") permit (principal, action, resource);
@id("no-opaque") forbid (principal, action == Action::"opaque", resource);"#
            .to_owned();
    });
    upstream().admin(database, TABLES).unwrap();
    let gateway = site.up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    (gateway, lease)
}

/// A Bind without parameters whose results are binary.
fn binary(portal: &str, name: &str) -> Vec<u8> {
    let head = [portal.as_bytes(), b"\0", name.as_bytes(), b"\0"].concat();
    message(b'B', &[&head[..], b"\0\0\0\0\0\x01\0\x01"].concat())
}

fn describe(kind: u8, name: &str) -> Vec<u8> {
    message(b'D', &[&[kind], name.as_bytes(), b"\0"].concat())
}

/// The bytes of all rows.
fn rows(answer: &[Message]) -> Vec<u8> {
    answer.iter().filter(|(kind, _)| matches!(kind, b'D' | b'd')).flat_map(|(_, row)| row.clone()).collect()
}

fn has(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// What `exposed --value` says.
fn answer_of(gateway: &Gateway, value: &str) -> String {
    let said = gateway.site().ask(&["exposed", "--value", "-", "--json"], value).unwrap();
    let said: Value = serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
    said["answer"].as_str().unwrap().to_owned()
}

fn sync(client: &mut Raw) -> Vec<Message> {
    client.send(&message(b'S', b""));
    client.until_ready().unwrap()
}

#[test]
fn rows_are_read_by_the_formats_of_their_own_portal() {
    let (gateway, lease) = scene("formats_of_portals");
    let mut client = Raw::log_in(&gateway, &lease);
    let card: i64 = CARD.parse().unwrap();
    let account: i64 = ACCOUNT.parse().unwrap();
    assert_eq!(flight(&mut client, &[parse("s", "SELECT n, account FROM pay")]), None);
    let flush = message(b'H', b"");
    for (name, asked) in [
        ("its statement", vec![binary("p", "s"), describe(b'S', "s")]),
        ("another portal", vec![binary("p", "s"), bind("q", "s"), describe(b'P', "q")]),
        ("what had its name", vec![bind("p", "s"), describe(b'P', "p"), close(b'P', "p"), binary("p", "s")]),
        ("nothing", vec![binary("p", "s")]),
        ("itself", vec![binary("p", "s"), describe(b'P', "p")]),
    ] {
        for apart in [true, false] {
            let between = if apart { flush.clone() } else { Vec::new() };
            client.send(&[asked.concat(), between, execute("p", 0)].concat());
            let answer = sync(&mut client);
            assert_eq!(code(&answer), None, "{name}");
            let rows = rows(&answer);
            assert!(has(&rows, &account.to_be_bytes()), "{name}: revealed, {rows:?}");
            assert!(!has(&rows, &card.to_be_bytes()), "{name}: {rows:?}");
        }
    }
    // Statements of which one is governed, described in one go.
    assert_eq!(
        flight(&mut client, &[parse("r", "SELECT account FROM pay"), parse("i", "SELECT id FROM pay")]),
        None
    );
    client.send(&[describe(b'S', "r"), describe(b'S', "i")].concat());
    let answer = sync(&mut client);
    assert_eq!(answer.iter().filter(|(kind, _)| *kind == b'T').count(), 2, "{answer:?}");
    drop(client);
    assert_eq!(answer_of(&gateway, ACCOUNT), "yes");
}

#[test]
fn a_value_within_a_binary_value_is_seen() {
    let (gateway, lease) = scene("formats_within");
    let mut client = Raw::log_in(&gateway, &lease);
    let card: i64 = CARD.parse().unwrap();
    let numeric = [0x10, 0x0f, 0x04, 0x57, 0x04, 0x57, 0x04, 0x57];
    let forms = [
        card.to_be_bytes().to_vec(),
        (-card).to_be_bytes().to_vec(),
        (card as f64).to_be_bytes().to_vec(),
        numeric.to_vec(),
        CARD.as_bytes().to_vec(),
    ];
    for sql in [
        "SELECT n FROM pay",
        "SELECT -n FROM pay",
        "SELECT n::float8 FROM pay",
        "SELECT n::numeric(20,2) FROM pay",
        "SELECT array_agg(n) FROM pay",
        "SELECT array[n::numeric] FROM pay",
        "SELECT array[n::text] FROM pay",
        "SELECT row(n) FROM pay",
        "SELECT row(1, n)::pair FROM pay",
        "SELECT array[row(1, n)::pair] FROM pay",
        "SELECT p FROM pay p",
        "SELECT int8range(n, NULL) FROM pay",
        "SELECT numrange(NULL, n) FROM pay",
        "SELECT n::text::xid8 FROM pay",
    ] {
        client.send(&[parse("", sql), binary("", ""), execute("", 0)].concat());
        let answer = sync(&mut client);
        assert_eq!(code(&answer), None, "{sql}");
        let rows = rows(&answer);
        assert!(!rows.is_empty(), "{sql}");
        assert!(!forms.iter().any(|form| has(&rows, form)), "{sql}: {rows:?}");
    }
    // Bytes within a value are found as they are and as they are printed.
    client.send(&[parse("", "SELECT array[raw] FROM pay"), binary("", ""), execute("", 0)].concat());
    assert!(has(&rows(&sync(&mut client)), b"quebec77secret"));
    for asked in ["quebec77secret", "\\x7175656265633737736563726574"] {
        assert_eq!(answer_of(&gateway, asked), "maybe", "{asked}");
    }
    // A parameter is found by its value, too.
    let insert = "SELECT 1 FROM pay WHERE n = $1::bigint AND id < 0";
    let typed = message(b'P', &[b"\0", insert.as_bytes(), b"\0\0\x01\0\0\0\x14"].concat());
    let sent = 4_012_888_888_881_881_i64;
    let bind = [&b"\0\0\0\x01\0\x01\0\x01\0\0\0\x08"[..], &sent.to_be_bytes(), b"\0\0"].concat();
    assert_eq!(flight(&mut client, &[typed, message(b'B', &bind), execute("", 0)]), None);
    assert_eq!(answer_of(&gateway, "4012888888881881"), "sent");

    // Out of a COPY in binary format nothing can be cut: it ends.
    for sql in [
        "COPY pay (n) TO STDOUT (FORMAT binary)",
        "COPY (SELECT n::numeric FROM pay) TO STDOUT (FORMAT binary)",
    ] {
        let mut client = Raw::log_in(&gateway, &lease);
        client.send(&crate::raw::query(sql));
        let answer = client.until_ready().unwrap_or_default();
        let rows = rows(&answer);
        assert!(!forms.iter().any(|form| has(&rows, form)), "{sql}: {answer:?}");
        assert!(code(&answer).is_some(), "{sql}: {answer:?}");
    }
    // What nobody can look into stays here, and so does what stands behind a name or a table's.
    let deep = format!("SELECT {}n{} FROM pay", "ROW(".repeat(9), ")".repeat(9));
    let long = "SELECT ROW(array_fill(1e131071::numeric, ARRAY[520]), n) FROM pay";
    for (name, sql) in [("deep", &*deep), ("long", long)] {
        let mut client = Raw::log_in(&gateway, &lease);
        client.send(&[parse("", sql), binary("", ""), execute("", 0)].concat());
        client.send(&message(b'S', b""));
        let answer = client.until_ready().unwrap_or_default();
        assert!(!has(&rows(&answer), &card.to_be_bytes()) && code(&answer).is_some(), "{name}: {answer:?}");
    }
    let mut client = Raw::log_in(&gateway, &lease);
    assert_eq!(flight(&mut client, &[parse("c", "COPY pay (n) TO STDOUT (FORMAT binary)")]), None);
    let answer = client.query("EXECUTE c").unwrap_or_default();
    assert!(!has(&rows(&answer), &card.to_be_bytes()) && code(&answer).is_some(), "{answer:?}");
    let mut client = Raw::log_in(&gateway, &lease);
    let row = client.query("COPY (SELECT p.array_agg FROM one p) TO STDOUT (FORMAT binary)").unwrap();
    assert_eq!(code(&row).as_deref(), Some("42501"), "{row:?}");
    for plain in
        ["SELECT id FROM pay", "SELECT p.id, p.account FROM pay p", "SELECT one.* FROM one WHERE c = 1"]
    {
        let answer = client.query(&format!("COPY ({plain}) TO STDOUT (FORMAT binary)")).unwrap();
        assert_eq!(code(&answer), None, "{plain}: {answer:?}");
    }
    // A parameter of which nobody can say what it holds is refused.
    let nested = [1, 2249, 6].map(u32::to_be_bytes).concat();
    let typed = message(b'P', b"\0SELECT $1::record\0\0\x01\0\0\x08\xc9");
    let head = [&b"\0\0\0\x01\0\x01\0\x01"[..], &(nested.len() as u32).to_be_bytes(), &nested, b"\0\0"];
    assert_eq!(flight(&mut client, &[typed, message(b'B', &head.concat())]).as_deref(), Some("54000"));
    let verified = gateway.site().ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}
