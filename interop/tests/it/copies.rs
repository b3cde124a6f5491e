//! COPY of governed columns: what a grant reveals is found by its value, what is brought is fingerprinted, and a mask is not
//! brought back; in each form, however the stream is cut.

use crate::raw::{Raw, code, message, query};
use crate::world::{POLICY, fill, own_site, plan, upstream};
use interop::gateway::{Gateway, Site};
use std::path::Path;

/// Agent `seer` sees e-mail addresses.
const RULES: &str = r#"
@id("seer-sees")
permit (principal in Agent::"seer", action == Action::"reveal", resource == Class::"pii.email");
"#;

/// What `exposed --value -` answers.
fn answer(site: &Site, value: &str) -> String {
    let said = site.ask(&["exposed", "--value", "-", "--json"], value).unwrap();
    let answer: serde_json::Value =
        serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
    answer["answer"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_grant_reveals_through_copy_is_found_by_its_value() {
    fill(upstream(), "copied_out");
    let mut plan = plan();
    plan.database = "copied_out".to_owned();
    plan.policy = format!("{POLICY}{RULES}").replace("crm/crm/", "crm/copied_out/");
    plan.durability = "os".to_owned();
    let gateway = Gateway::start(&plan, upstream()).unwrap();
    let seer =
        |script: &str| gateway.run_to_end("seer", &["/bin/sh", "-c", script].map(Path::new), "").unwrap();
    let done = seer(
        "psql -X -c 'copy (select id, email from customers where id = 1) to stdout' \
                 -c 'copy (select email as address, name from customers where id = 2) to stdout (format csv, header, force_quote *)' \
                 -c 'copy (select id, c.email, ssn from customers c where id = 3) to stdout (format binary)'",
    );
    let expect = ["ada.osei@example.com", "b.keller@example.org", "chiara@example.net"];
    for value in expect {
        assert!(done.out().contains(value), "{value}: {}", gateway.explain(&done));
        assert_eq!(answer(gateway.site(), value), "yes", "{value}");
    }
    assert!(!done.out().contains("402-81-1957") && done.out().contains("ssn_3"), "{}", done.out());
    assert_ne!(answer(gateway.site(), "d.vance@example.com"), "yes", "nobody has asked for it yet");
    let done = seer("psql -X -c 'copy customers (name, email) to stdout'");
    assert!(done.out().contains("d.vance@example.com"), "{}", gateway.explain(&done));
    assert_eq!(answer(gateway.site(), "d.vance@example.com"), "yes");
}

/// A value, and what stands in the stream before and behind it.
fn binary(fields: &[&str]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend_from_slice(&i16::try_from(fields.len()).unwrap().to_be_bytes());
    for field in fields {
        out.extend_from_slice(&i32::try_from(field.len()).unwrap().to_be_bytes());
        out.extend_from_slice(field.as_bytes());
    }
    out.extend_from_slice(&[0xff, 0xff]);
    out
}

/// A whole COPY, its data in pieces of `size`.
fn copy(client: &mut Raw, sql: &str, data: &[u8], size: usize) -> Option<String> {
    client.send(&query(sql));
    data.chunks(size).for_each(|piece| client.send(&message(b'd', piece)));
    client.send(&message(b'c', b""));
    code(&client.until_ready().unwrap())
}

fn people() -> String {
    upstream().admin("copied_in", "SELECT count(*) FROM people").unwrap()
}

#[test]
fn what_copy_brings_is_fingerprinted_and_a_mask_is_not_brought_back() {
    let site = own_site("copied_in", |plan| {
        plan.durability = "os".to_owned();
        plan.masks.push(("public.people.ssn".into(), "pii.ssn".into(), "row-token".into()));
    });
    let table = "CREATE TABLE people (id serial PRIMARY KEY, ssn text, note text); \
                 GRANT SELECT, INSERT ON people TO crm_app; GRANT USAGE ON SEQUENCE people_id_seq TO crm_app";
    upstream().admin("copied_in", table).unwrap();
    let gateway = site.up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let text = "COPY people (ssn, note) FROM STDIN";
    let csv = "COPY people (note, ssn) FROM STDIN WITH (FORMAT csv, HEADER, NULL 'none')";
    let other =
        "COPY people (note, ssn) FROM STDIN WITH (FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\')";
    let bin = "COPY people (ssn, note) FROM STDIN WITH (FORMAT binary)";
    for size in [1, 5, 4_096] {
        let before: u32 = people().parse().unwrap();
        for (sql, data) in [
            (text, b"100-11-000\\x31\tssn_1 is no value\n\\N\tredacted\n".to_vec()),
            (csv, b"x,ssn_1\n\"a\"\"b\nc\",100-11-0002\nnone,none\n".to_vec()),
            (other, b"'x;y';'100-11\\'-0003'\n".to_vec()),
            (bin, binary(&["100-11-0004", "ssn_1"])),
            // The last row has no line end.
            (text, b"100-11-0005\t-".to_vec()),
        ] {
            assert_eq!(copy(&mut client, sql, &data, size), None, "{sql} in pieces of {size}");
        }
        let after: u32 = people().parse().unwrap();
        assert_eq!(after - before, 7);
        for (sql, data) in [
            (text, b"100-11-0006\tx\nssn\\x5f1\tx\nmore\tx\n".to_vec()),
            (text, b"100-11-0006\tx\nssn_1\tx".to_vec()),
            (csv, b"a,b\nx,\"ssn\"_12\n".to_vec()),
            (other, b"'x;y';'ssn_1'\n".to_vec()),
            (bin, binary(&["ssn_1", "x"])),
        ] {
            assert_eq!(copy(&mut client, sql, &data, size).as_deref(), Some("42501"), "{sql} by {size}");
        }
        assert_eq!(copy(&mut client, bin, b"100-11-0006\tx\n", size).as_deref(), Some("22P04"));
        assert_eq!(people(), after.to_string(), "something of a refused COPY stayed");
    }
    // In a transaction, it fails as with any error; and with the extended protocol, until Sync.
    assert_eq!(code(&client.query("BEGIN").unwrap()), None);
    assert_eq!(copy(&mut client, text, b"ssn_1\tx\n", 64).as_deref(), Some("42501"));
    assert_eq!(code(&client.query("SELECT 1").unwrap()).as_deref(), Some("25P02"));
    assert_eq!(code(&client.query("ROLLBACK").unwrap()), None);
    client.send(&message(b'P', format!("\0{text}\0\0\0").as_bytes()));
    client.send(&message(b'B', &[0; 8]));
    client.send(&message(b'E', &[0; 5]));
    client.send(&message(b'd', b"ssn_1\tx\n"));
    client.send(&message(b'c', b""));
    client.send(&message(b'S', b""));
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    assert_eq!(code(&client.query("SELECT 1").unwrap()), None);
    // More values than one record holds prints of.
    let many: String = (0..3_000).map(|n| format!("200-22-{n:04}\tx\n")).collect();
    assert_eq!(copy(&mut client, text, many.as_bytes(), 1 << 20), None);
    for value in [
        "100-11-0001",
        "100-11-0002",
        "100-11'-0003",
        "100-11-0004",
        "100-11-0005",
        "200-22-0000",
        "200-22-2999",
    ] {
        assert_eq!(answer(gateway.site(), value), "sent", "{value}");
    }
    assert_ne!(answer(gateway.site(), "200-22-3000"), "sent");
    drop((client, lease));
    let site = gateway.stop();
    assert!(site.ask(&["verify"], "").unwrap().status.success());
}
