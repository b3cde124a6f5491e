//! What is encoded decodes to the same, whatever pieces it arrives in; what decodes encodes to the same bytes.

use crate::dice::{CLIENT_KINDS, Dice, UPSTREAM_KINDS};
use bytes::{BufMut, Bytes, BytesMut};
use proto_postgres::frame::{Decoder, Frame};
use proto_postgres::message::{FromClient, FromUpstream, TxStatus};
use proto_postgres::reply::{Cell, CommandTag, DataRow, RowDescription};
use wire::{RawField, kind};

const ROUNDS: usize = 300;

/// The phase in which a message's type is allowed.
pub fn client_decoder(password: bool) -> Decoder {
    let mut decoder = Decoder::client();
    if !password {
        decoder.authenticated();
    }
    decoder
}

pub fn upstream_decoder(greeting: bool) -> Decoder {
    let mut decoder = Decoder::upstream();
    if !greeting {
        decoder.authenticated();
    }
    decoder
}

/// Feeds `wire` in pieces cut at `cuts`; every frame that comes out.
fn feed(mut decoder: Decoder, wire: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([wire.len()]) {
        buffer.put_slice(&wire[from..cut]);
        from = cut;
        while let Some(frame) = decoder.next(&mut buffer).unwrap() {
            frames.push(frame);
        }
    }
    assert!(buffer.is_empty(), "nothing is left over");
    frames
}

fn one(decoder: Decoder, wire: &[u8]) -> Frame {
    let mut frames = feed(decoder, wire, &[]);
    assert_eq!(frames.len(), 1);
    frames.pop().unwrap()
}

#[test]
fn every_client_message_survives_the_wire() {
    let mut dice = Dice::new(1);
    for kind in 0..CLIENT_KINDS {
        for _ in 0..ROUNDS {
            let message = dice.client_message(kind);
            let mut wire = BytesMut::new();
            message.encode(&mut wire).unwrap();
            let password = matches!(message, FromClient::PasswordLike(_));
            let frame = one(client_decoder(password), &wire);
            assert_eq!(FromClient::decode(&frame).unwrap(), message);
            let mut again = BytesMut::new();
            frame.encode(&mut again).unwrap();
            assert_eq!(again, wire);
        }
    }
}

#[test]
fn every_upstream_message_survives_the_wire() {
    let mut dice = Dice::new(2);
    for kind in 0..UPSTREAM_KINDS {
        for _ in 0..ROUNDS {
            let message = dice.upstream_message(kind);
            let mut wire = BytesMut::new();
            message.encode(&mut wire).unwrap();
            let greeting = matches!(
                message,
                FromUpstream::Authentication(_) | FromUpstream::NegotiateProtocolVersion(_)
            );
            let frame = one(upstream_decoder(greeting), &wire);
            assert_eq!(FromUpstream::decode(&frame).unwrap(), message);
            let mut again = BytesMut::new();
            frame.encode(&mut again).unwrap();
            assert_eq!(again, wire);
        }
    }
}

#[test]
fn a_stream_split_anywhere_gives_the_same_frames() {
    let mut dice = Dice::new(3);
    let mut wire = BytesMut::new();
    let mut sent = Vec::new();
    for _ in 0..60 {
        let message = match dice.below(CLIENT_KINDS) {
            10 => FromClient::Sync,
            n => dice.client_message(n),
        };
        message.encode(&mut wire).unwrap();
        sent.push(message);
    }
    let check = |cuts: &[usize]| {
        let frames = feed(client_decoder(false), &wire, cuts);
        let got: Vec<FromClient> = frames.iter().map(|f| FromClient::decode(f).unwrap()).collect();
        assert_eq!(got, sent);
    };
    (0..wire.len()).for_each(|cut| check(&[cut]));
    check(&(0..wire.len()).collect::<Vec<_>>());
    for _ in 0..50 {
        let mut cuts: Vec<usize> = (0..20).map(|_| dice.below(wire.len())).collect();
        cuts.sort_unstable();
        check(&cuts);
    }
}

#[test]
fn a_frame_shares_the_memory_that_it_was_read_into() {
    let mut buffer = BytesMut::with_capacity(64);
    FromClient::Query { sql: RawField::from_static(b"select 1") }.encode(&mut buffer).unwrap();
    let place = buffer.as_ptr() as usize + 5;
    let frame = client_decoder(false).next(&mut buffer).unwrap().unwrap();
    assert_eq!(frame.body.as_ptr() as usize, place);
    let FromClient::Query { sql } = FromClient::decode(&frame).unwrap() else { panic!("a Query") };
    assert_eq!(sql.as_bytes().as_ptr() as usize, place);
}

#[test]
fn a_message_that_cannot_be_written_is_not_written_in_part() {
    let mut out = BytesMut::from(&b"before"[..]);
    let bad = FromClient::Query { sql: RawField::from_static(b"select 1\0; drop table t") };
    assert_eq!(bad.encode(&mut out).unwrap_err().kind, kind::INTERIOR_ZERO);
    let many = FromClient::Parse(proto_postgres::message::Parse {
        statement: RawField::default(),
        sql: RawField::default(),
        types: vec![0; 65_536],
    });
    assert_eq!(many.encode(&mut out).unwrap_err().kind, kind::TOO_MANY);
    assert_eq!(&out[..], b"before");
}

#[test]
fn debug_of_any_message_shows_no_byte_of_it() {
    const CANARY: &[u8] = b"canary-078-05-1120";
    let secret = || RawField::from_static(CANARY);
    let mut shown = format!("{:?}", FromClient::Query { sql: secret() });
    let bind = proto_postgres::message::Bind {
        portal: secret(),
        statement: secret(),
        param_formats: vec![],
        params: vec![Some(secret())],
        result_formats: vec![],
    };
    shown += &format!("{:?}", FromClient::Bind(bind));
    shown += &format!("{:?}", FromUpstream::DataRow(DataRow::build([Some(CANARY)]).unwrap()));
    shown += &format!("{:?}", Frame { tag: b'Q', body: Bytes::from_static(CANARY) });
    assert!(!shown.contains("canary") && !shown.contains("1120"), "{shown}");
}

#[test]
fn a_row_is_rebuilt_with_some_cells_replaced() {
    let row = DataRow::build([Some(&b"1"[..]), None, Some(b"078-05-1120"), Some(b"")]).unwrap();
    let cells: Vec<_> = row.cells().collect();
    assert_eq!(cells, [Some(&b"1"[..]), None, Some(b"078-05-1120"), Some(b"")]);
    assert_eq!(row.fields().flatten().map(|f| f.len()).sum::<usize>(), 12);
    let mut out = BytesMut::new();
    row.rebuild(&mut out, |index, cell| match (index, cell) {
        (0, Some(b"1")) => Cell::Null,
        (2, _) => Cell::Value(RawField::from_static(b"***-**-1120 masked")),
        _ => Cell::Keep,
    })
    .unwrap();
    let frame = one(upstream_decoder(false), &out);
    let FromUpstream::DataRow(rebuilt) = FromUpstream::decode(&frame).unwrap() else { panic!("a row") };
    assert_eq!(
        rebuilt.cells().collect::<Vec<_>>(),
        [None, None, Some(&b"***-**-1120 masked"[..]), Some(b"")]
    );
}

#[test]
fn a_result_may_have_as_many_columns_as_postgres_has_and_not_one_more() {
    for (columns, fits) in [(1664, true), (1665, false)] {
        let row = DataRow::build(vec![None; columns]).unwrap();
        let mut out = BytesMut::new();
        row.encode(&mut out).unwrap();
        assert_eq!(FromUpstream::decode(&one(upstream_decoder(false), &out)).is_ok(), fits);
        let description = RowDescription {
            columns: vec![
                proto_postgres::reply::Column {
                    name: RawField::from_static(b"c"),
                    table: 0,
                    attribute: 0,
                    type_oid: 25,
                    type_size: -1,
                    type_modifier: -1,
                    format: Default::default(),
                };
                columns
            ],
        };
        out.clear();
        FromUpstream::RowDescription(description).encode(&mut out).unwrap();
        assert_eq!(FromUpstream::decode(&one(upstream_decoder(false), &out)).is_ok(), fits);
    }
}

#[test]
fn a_command_tag_says_its_rows() {
    let check = |tag: &'static [u8], command: &[u8], rows| {
        let tag = CommandTag(RawField::from_static(tag));
        assert_eq!((tag.command(), tag.rows()), (command, rows));
    };
    check(b"SELECT 3", b"SELECT", Some(3));
    check(b"INSERT 0 5", b"INSERT", Some(5));
    check(b"INSERT 5", b"INSERT", None);
    check(b"COPY 18446744073709551615", b"COPY", Some(u64::MAX));
    check(b"COPY 18446744073709551616", b"COPY", None);
    check(b"CREATE TABLE", b"CREATE TABLE", None);
    check(b"CREATE TABLE AS", b"CREATE TABLE AS", None);
    check(b"FETCH ALL", b"FETCH ALL", None);
    check(b"", b"", None);
    check(b"\xff\xfe 1", b"\xff\xfe", None);
}

#[test]
fn a_status_has_one_letter() {
    for status in [TxStatus::Idle, TxStatus::InTransaction, TxStatus::Failed] {
        let frame = Frame { tag: b'Z', body: Bytes::copy_from_slice(&[status.code()]) };
        assert_eq!(FromUpstream::decode(&frame).unwrap(), FromUpstream::ReadyForQuery(status));
    }
    let frame = Frame { tag: b'Z', body: Bytes::from_static(b"X") };
    assert_eq!(FromUpstream::decode(&frame).unwrap_err().kind, kind::BAD_VALUE);
}
