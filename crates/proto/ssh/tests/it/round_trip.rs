//! What decodes encodes to the same bytes, and the other way round.

use crate::dice::{Dice, REPLY_KINDS, REQUEST_KINDS};
use crate::pair::{frame, reply_frame, request_frame};
use bytes::BytesMut;
use proto_ssh::sftp::frame::Decoder;
use proto_ssh::sftp::message::{FromClient, FromUpstream};

#[test]
fn every_request_is_itself_again() {
    let mut dice = Dice::new(1);
    for kind in 0..REQUEST_KINDS {
        for _ in 0..200 {
            let (id, request) = (dice.next() as u32, dice.request(kind));
            let frame = request_frame(id, &request);
            let decoded = FromClient::decode(&frame).unwrap();
            assert_eq!(decoded, FromClient::Request { id, request: request.clone() });
            // The same bytes, with more behind them or less, are another message or none.
            let mut longer = frame.clone();
            longer.body = [&frame.body[..], b"\0"].concat().into();
            assert!(FromClient::decode(&longer).is_err(), "{}", request.kind());
            let mut shorter = frame.clone();
            shorter.body.truncate(frame.body.len() - 1);
            assert!(!matches!(FromClient::decode(&shorter), Ok(FromClient::Request { .. })));
        }
    }
}

#[test]
fn every_reply_is_itself_again() {
    let mut dice = Dice::new(2);
    for kind in 0..REPLY_KINDS {
        for _ in 0..200 {
            let (id, reply) = (dice.next() as u32, dice.reply(kind));
            let frame = reply_frame(id, &reply);
            assert_eq!(FromUpstream::decode(&frame), Ok(FromUpstream::Reply { id, reply }));
        }
    }
}

#[test]
fn a_stream_in_pieces_of_any_size_is_the_same_packets() {
    let mut dice = Dice::new(3);
    let mut wire = BytesMut::new();
    let requests: Vec<_> = (0..300).map(|n| dice.request(n % REQUEST_KINDS)).collect();
    requests.iter().zip(0..).for_each(|(request, id)| request.encode(id, &mut wire).unwrap());
    let mut decoder = Decoder::client();
    let (mut buffer, mut left, mut got) = (BytesMut::new(), &wire[..], Vec::new());
    while !left.is_empty() {
        let (piece, rest) = left.split_at(left.len().min(1 + dice.below(40)));
        buffer.extend_from_slice(piece);
        left = rest;
        while let Some(frame) = decoder.next(&mut buffer).unwrap() {
            match FromClient::decode(&frame).unwrap() {
                FromClient::Request { request, .. } => got.push(request),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(got, requests);
}

#[test]
fn a_packet_is_its_wire() {
    let wire = b"\0\0\0\x09\x0d\0\0\0\x01\0\0\0\0";
    let frame = frame(wire);
    assert_eq!((frame.tag, frame.wire_len()), (13, wire.len()));
    let mut again = BytesMut::new();
    frame.encode(&mut again).unwrap();
    assert_eq!(&again[..], wire);
}
