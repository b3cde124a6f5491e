//! Records: written, read, and refused.

use seal::cbor::{Encoder, Value};
use seal::limits::RECORD_BYTES_MAX;
use seal::record::{Fields, Header, Link, PayloadRef, RecordError, encode};
use seal::testkit::{map, text};

fn body() -> Vec<u8> {
    map(&[("statement", text("select 1"))]).to_bytes()
}

#[test]
fn what_is_written_is_read() {
    let body = body();
    let pay = [
        PayloadRef { digest: [1; 32], key: [2; 32], length: 77 },
        PayloadRef { digest: [3; 32], key: [2; 32], length: 1 << 20 },
    ];
    let link = Link { run: [5; 16], rseq: 300, rprev: [6; 32] };
    for link in [None, Some(link)] {
        for pay in [&pay[..0], &pay[..1], &pay[..]] {
            for (sess, of) in [(None, None), (Some(7), Some(8)), (None, Some(8))] {
                let fields = Fields { seq: 9, at: 10, kind: "intent", link, sess, of, pay, body: &body };
                let mut bytes = Vec::new();
                encode(&fields, &mut bytes).unwrap();
                let header = Header::decode(&bytes).unwrap();
                assert_eq!((header.seq, header.at, header.kind), (9, 10, "intent"));
                assert_eq!((header.link, header.sess, header.of), (link, sess, of));
                assert_eq!(header.pay.iter().collect::<Vec<_>>(), pay);
                assert_eq!(header.body, body);
                assert_eq!(header.body().unwrap().get("statement").unwrap().as_text(), Some("select 1"));
                for i in 0..bytes.len() {
                    assert!(Header::decode(&bytes[..i]).is_err());
                }
            }
        }
    }
}

#[test]
fn a_record_has_the_fields_of_the_format_and_no_others() {
    let good = || {
        vec![
            ("v", Value::Uint(1)),
            ("at", Value::Uint(1)),
            ("seq", Value::Uint(1)),
            ("body", map(&[])),
            ("kind", text("start")),
        ]
    };
    let read = |fields: &[(&str, Value)]| Header::decode(&map(fields).to_bytes()).map(drop);
    assert_eq!(read(&good()), Ok(()));
    for missing in 0..5 {
        let mut fields = good();
        let (name, _) = fields.remove(missing);
        assert_eq!(read(&fields), Err(RecordError::Missing(name)));
    }
    let link =
        [("run", Value::Bytes(vec![1; 16])), ("rseq", Value::Uint(0)), ("rprev", Value::Bytes(vec![0; 32]))];
    assert_eq!(read(&[&good()[..], &link].concat()), Ok(()));
    for missing in 0..3 {
        let mut part = link.to_vec();
        part.remove(missing);
        assert_eq!(read(&[&good()[..], &part].concat()), Err(RecordError::Link));
    }
    let pay = |value| [&good()[..], &[("pay", value)]].concat();
    let entry = |digest: usize, key: usize| {
        Value::Array(vec![Value::Bytes(vec![0; digest]), Value::Bytes(vec![0; key]), Value::Uint(1)])
    };
    assert_eq!(read(&pay(Value::Array(vec![entry(32, 32)]))), Ok(()));
    for wrong in [
        Value::Array(vec![]),
        Value::Array(vec![entry(31, 32)]),
        Value::Array(vec![entry(32, 33)]),
        Value::Array(vec![Value::Uint(1)]),
        Value::Array(vec![Value::Array(vec![])]),
        Value::Uint(1),
    ] {
        assert_eq!(read(&pay(wrong)), Err(RecordError::Field("pay")));
    }
    let with = |name, value| [&good()[..], &[(name, value)]].concat();
    assert_eq!(read(&with("extra", Value::Null)), Err(RecordError::UnknownField));
    assert_eq!(read(&with("of", text("1"))), Err(RecordError::Field("of")));
    assert_eq!(read(&with("sess", Value::Neg(-1))), Err(RecordError::Field("sess")));
    let mut other = good();
    other[0].1 = Value::Uint(2);
    assert_eq!(read(&other), Err(RecordError::Version));
    other[0].1 = Value::Uint(1);
    other[3].1 = Value::Array(vec![]);
    assert_eq!(read(&other), Err(RecordError::Field("body")));
    assert_eq!(Header::decode(&[0x80]).map(drop), Err(RecordError::Field("map")));
}

/// What is not canonical is called that, even behind a field that is wrong too.
#[test]
fn cbor_errors_come_first() {
    let mut bytes = map(&[("v", text("1")), ("body", map(&[("x", text("y"))]))]).to_bytes();
    let last = bytes.len() - 1;
    bytes[last] = 0xff;
    assert!(matches!(Header::decode(&bytes), Err(RecordError::Cbor(_))));
}

#[test]
fn a_record_ends_at_the_limit() {
    let filled = |n: usize| {
        let mut body = Vec::new();
        Encoder::new(&mut body).map_of(|map| map.entry("x").bytes(&vec![0; n]));
        body
    };
    let write = |body: &[u8], out: &mut Vec<u8>| {
        encode(&Fields { seq: 0, at: 0, kind: "note", link: None, sess: None, of: None, pay: &[], body }, out)
    };
    let mut out = Vec::new();
    write(&filled(60_000), &mut out).unwrap();
    let most = RECORD_BYTES_MAX - (out.len() - 60_000);
    out.clear();
    write(&filled(most), &mut out).unwrap();
    assert_eq!(out.len(), RECORD_BYTES_MAX);
    assert!(Header::decode(&out).is_ok());
    out.truncate(3);
    assert_eq!(write(&filled(most + 1), &mut out), Err(RecordError::TooLong(RECORD_BYTES_MAX + 1)));
    assert_eq!(out.len(), 3);
    assert_eq!(
        Header::decode(&vec![0; RECORD_BYTES_MAX + 1]).map(drop),
        Err(RecordError::TooLong(RECORD_BYTES_MAX + 1))
    );
}
