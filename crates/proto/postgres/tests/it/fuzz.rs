//! The fuzz body, a plain function, over a corpus and 200,000 mutations of it.

use crate::dice::{CLIENT_KINDS, Dice, UPSTREAM_KINDS};
use crate::round_trip::{client_decoder, upstream_decoder};
use bytes::BytesMut;
use proto_postgres::copy::{Form, Piece, Splitter};
use proto_postgres::errors::{Care, Known, sanitise};
use proto_postgres::frame::Decoder;
use proto_postgres::limits::LOOKAHEAD_BYTES_MAX;
use proto_postgres::message::{FromClient, FromUpstream, TxStatus};
use proto_postgres::reply::Cell;
use proto_postgres::scram::{Channel, SCRAM_SHA_256, Server, Verifier};
use proto_postgres::session::{Sent, Session, What};
use proto_postgres::startup::{self, Startup};
use proto_postgres::types;
use wire::Side;

/// Anything at all, as anything at all. Nothing may panic; what is accepted must be what was written.
pub fn body(input: &[u8], mock: &Verifier) {
    startups(input);
    for early in [true, false] {
        frames(client_decoder(early), input);
        frames(upstream_decoder(early), input);
    }
    session(input);
    for form in [Form::text(), Form::csv(), Form::Binary] {
        let mut splitter = Splitter::new(form, Side::Client);
        let mut seen = Vec::new();
        let mut keep = |piece: Piece<'_>| match piece {
            Piece::Frame(raw) => seen.extend_from_slice(raw),
            Piece::Row(row) => {
                let mut out = BytesMut::new();
                row.rebuild(&mut out, |_, _| Cell::Keep);
                seen.extend_from_slice(&out);
            }
        };
        if splitter.push(input, &mut keep).is_ok() && splitter.finish(&mut keep).is_ok() {
            assert_eq!(seen, input);
        }
    }
    for oid in
        [20, 700, 1082, 1114, 1186, 1560, 1700, 2249, 2950, 3614, 3802, 869, 1016, 1231, 3904, 4451, 999_999]
    {
        let _ = types::scan(oid, true, input, &types::built_in);
    }
    let _ = types::scan(17, false, input, &types::built_in);
    if let Ok((server, _)) =
        Server::begin(mock.clone(), Channel::Plain, SCRAM_SHA_256.as_bytes(), input, &[7; 18])
    {
        assert!(server.finish(input).is_err());
    }
}

fn startups(input: &[u8]) {
    let Ok(startup) = startup::decode(input) else { return };
    let mut again = BytesMut::new();
    let len = match startup {
        Startup::NeedMore { at_least } => {
            assert!(at_least > 0 && at_least <= 10_004);
            return;
        }
        Startup::SslRequest { len } => startup::encode_ssl_request(&mut again).map(|()| len),
        Startup::GssEncRequest { len } => startup::encode_gssenc_request(&mut again).map(|()| len),
        Startup::Cancel { pid, key, len } => {
            startup::encode_cancel(&mut again, pid, key.as_bytes()).map(|()| len)
        }
        Startup::Message(message) => {
            let params: Vec<(&[u8], &[u8])> =
                message.params.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            startup::encode_message(&mut again, message.minor, &params).map(|()| message.len)
        }
    }
    .unwrap();
    assert_eq!(&again[..], &input[..len]);
}

fn frames(mut decoder: Decoder, input: &[u8]) {
    let mut buffer = BytesMut::from(input);
    let capacity = buffer.capacity();
    let mut again = BytesMut::new();
    while let Ok(Some(frame)) = decoder.next(&mut buffer) {
        let before = again.len();
        if let Ok(message) = FromClient::decode(&frame) {
            message.encode(&mut again).unwrap();
            assert_eq!(&again[before + 5..], &frame.body[..]);
            again.truncate(before);
        }
        if let Ok(message) = FromUpstream::decode(&frame) {
            message.encode(&mut again).unwrap();
            assert_eq!(&again[before + 5..], &frame.body[..]);
            if let FromUpstream::Error(fields) = &message {
                let known = Known { said: &[], visible: &|_| false };
                let told = sanitise(fields, &known, Care::Text, Some);
                assert_eq!(told.sqlstate().map(|s| s.len()), Some(5));
            }
            again.truncate(before);
        }
        frame.encode(&mut again).unwrap();
    }
    // The frames and what is left are the input, byte for byte: no border was lost.
    again.extend_from_slice(&buffer);
    assert_eq!(&again[..], input);
    assert!(buffer.capacity() <= 2 * capacity + LOOKAHEAD_BYTES_MAX);
}

fn session(input: &[u8]) {
    let mut decoder = upstream_decoder(false);
    let mut buffer = BytesMut::from(input);
    let mut session = Session::new(TxStatus::Idle);
    let whats =
        [What::Parse, What::Bind, What::DescribeStatement, What::Execute, What::Sync, What::SimpleQuery];
    for (op, byte) in input.iter().take(12).enumerate() {
        let what = whats[usize::from(*byte) % whats.len()];
        let _ = session.sent(Sent::shown(op as u64, what));
    }
    while let Ok(Some(frame)) = decoder.next(&mut buffer) {
        if session.on_upstream(&frame).is_err() {
            return;
        }
    }
}

fn corpus(dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for kind in 0..CLIENT_KINDS {
        let mut wire = BytesMut::new();
        (0..3).for_each(|_| dice.client_message(kind).encode(&mut wire).unwrap());
        corpus.push(wire.to_vec());
    }
    for kind in 0..UPSTREAM_KINDS {
        let mut wire = BytesMut::new();
        (0..3).for_each(|_| dice.upstream_message(kind).encode(&mut wire).unwrap());
        corpus.push(wire.to_vec());
    }
    let mut wire = BytesMut::new();
    startup::encode_ssl_request(&mut wire).unwrap();
    startup::encode_message(&mut wire, 2, &[(b"user", b"a"), (b"_pq_.x", b"1")]).unwrap();
    corpus.push(wire.to_vec());
    wire.clear();
    startup::encode_message(&mut wire, 0, &[(b"user", b"a"), (b"replication", b"true")]).unwrap();
    corpus.push(wire.to_vec());
    wire.clear();
    startup::encode_cancel(&mut wire, 7, &[9; 32]).unwrap();
    corpus.push(wire.to_vec());
    for text in [
        &b"a\tb\\n\\N\t\\x41\\101\r\nc\n\\.\n"[..],
        b"\"a \"\"b\"\"\",,\"c\nd\"\r\nx,y\n",
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x01a\xff\xff\xff\xff\xff\xff",
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"\0\x02\0\0\0\0\0\x02\x04\xd2\x16\x2e",
        b"\0\0\0\x01\0\0\0\0\0\0\0\x14\0\0\0\x01\0\0\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x2a",
    ] {
        corpus.push(text.to_vec());
    }
    corpus
}

fn mutate(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = dice.pick(corpus).clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        match dice.below(7) {
            0 => input.truncate(at),
            1 => input.insert(at, dice.next() as u8),
            2 => input.extend(dice.pick(corpus)),
            3 if at < input.len() => input[at] = *dice.pick(&[0, 1, 4, 0x7f, 0x80, 0xff, b'\\', b'"', b'\n']),
            4 if at < input.len() => input[at] ^= 1 << dice.below(8),
            5 if at + 4 <= input.len() => {
                let length = *dice.pick(&[0u32, 3, 4, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff]);
                input[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
            6 if at < input.len() => {
                input.remove(at);
            }
            _ => {}
        }
    }
    input.truncate(4096);
    input
}

#[test]
fn nothing_panics_and_what_is_accepted_is_what_was_written() {
    let mock = Verifier::mock(&[1; 32], b"nobody", 1).unwrap();
    let mut dice = Dice::new(0x7ac0);
    let corpus = corpus(&mut dice);
    corpus.iter().for_each(|input| body(input, &mock));
    for _ in 0..200_000 {
        let input = mutate(&mut dice, &corpus);
        body(&input, &mock);
    }
}
