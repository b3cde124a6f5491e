//! Length fields of any value, in any state: no panic, and no memory for bytes that did not come.

use crate::dice::{Dice, REPLY_KINDS, REQUEST_KINDS};
use crate::pair::{reply_frame, request_frame};
use bytes::BytesMut;
use proto_ssh::limits::*;
use proto_ssh::sftp::attrs::Attrs;
use proto_ssh::sftp::frame::{Decoder, Frame};
use proto_ssh::sftp::message::{FromClient, FromUpstream, Reply, Request};
use wire::{RawField, Side, kind};

const LENGTHS: [u32; 12] = [
    0,
    1,
    4,
    5,
    HELLO_BYTES_MAX as u32,
    HELLO_BYTES_MAX as u32 + 1,
    FRAME_BYTES_MAX as u32,
    FRAME_BYTES_MAX as u32 + 1,
    1 << 24,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// A decoder of that side, before its first packet or behind it.
fn decoder(side: Side, greeted: bool) -> Decoder {
    let mut decoder = if side == Side::Client { Decoder::client() } else { Decoder::upstream() };
    if greeted {
        let mut first = BytesMut::from(&b"\0\0\0\x05\x01\0\0\0\x03"[..]);
        decoder.next(&mut first).unwrap().unwrap();
    }
    decoder
}

#[test]
fn a_declared_length_reserves_little_in_every_state() {
    for side in [Side::Client, Side::Upstream] {
        for greeted in [false, true] {
            let max = if greeted { FRAME_BYTES_MAX } else { HELLO_BYTES_MAX };
            for length in LENGTHS {
                let mut decoder = decoder(side, greeted);
                let mut buffer = BytesMut::with_capacity(16);
                buffer.extend_from_slice(&length.to_be_bytes());
                let got = decoder.next(&mut buffer);
                match length as usize {
                    0 => assert_eq!(got.map_err(|f| (f.side, f.kind)), Err((side, kind::BAD_LENGTH))),
                    length if length > max => {
                        assert_eq!(got.map_err(|f| (f.side, f.kind)), Err((side, kind::TOO_LARGE)));
                    }
                    _ => assert_eq!(got, Ok(None)),
                }
                assert!(buffer.capacity() <= LOOKAHEAD_BYTES_MAX + 64, "{length:#x}: {}", buffer.capacity());
            }
        }
    }
}

#[test]
fn the_largest_packet_is_taken_and_grows_with_what_comes() {
    let mut decoder = decoder(Side::Upstream, true);
    let mut buffer = BytesMut::from(&(FRAME_BYTES_MAX as u32).to_be_bytes()[..]);
    let piece = [103u8; 10_000];
    loop {
        if let Some(frame) = decoder.next(&mut buffer).unwrap() {
            assert_eq!(frame.body.len(), FRAME_BYTES_MAX - 1);
            break;
        }
        assert!(buffer.capacity() <= 2 * buffer.len() + LOOKAHEAD_BYTES_MAX);
        let left = 4 + FRAME_BYTES_MAX - buffer.len();
        buffer.extend_from_slice(&piece[..left.min(piece.len())]);
    }
}

/// Puts each length into each place of a body, so that every length and count in it has had them all.
fn every_place(frame: &Frame, mut check: impl FnMut(Frame)) {
    for at in 0..frame.body.len().saturating_sub(3) {
        for length in LENGTHS {
            let mut body = frame.body.to_vec();
            body[at..at + 4].copy_from_slice(&length.to_be_bytes());
            check(Frame { tag: frame.tag, body: body.into() });
        }
    }
}

#[test]
fn every_length_field_of_every_message_may_lie() {
    let mut dice = Dice::new(4);
    let mut refused = 0;
    for kind in 0..REQUEST_KINDS {
        for _ in 0..5 {
            let frame = request_frame(1, &dice.request(kind));
            every_place(&frame, |frame| match FromClient::decode(&frame) {
                Ok(_) => {}
                Err(fault) => {
                    assert_eq!(fault.side, Side::Client);
                    refused += 1;
                }
            });
        }
    }
    for kind in 0..REPLY_KINDS {
        for _ in 0..5 {
            let frame = reply_frame(1, &dice.reply(kind));
            every_place(&frame, |frame| match FromUpstream::decode(&frame) {
                Ok(_) => {}
                Err(fault) => {
                    assert_eq!(fault.side, Side::Upstream);
                    refused += 1;
                }
            });
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn counts_that_lie_are_found_before_anything_is_reserved() {
    // NAME with four thousand million entries, attributes with as many pairs.
    let name = Frame { tag: 104, body: b"\0\0\0\x01\xff\xff\xff\xff".to_vec().into() };
    assert_eq!(FromUpstream::decode(&name).unwrap_err().kind, kind::TRUNCATED);
    let attrs = Frame { tag: 105, body: b"\0\0\0\x01\x80\0\0\0\xff\xff\xff\xff".to_vec().into() };
    assert_eq!(FromUpstream::decode(&attrs).unwrap_err().kind, kind::TOO_MANY);
    let unknown = Frame { tag: 105, body: b"\0\0\0\x01\0\0\0\x10".to_vec().into() };
    assert_eq!(FromUpstream::decode(&unknown).unwrap_err().kind, kind::BAD_VALUE);
    let handle = |length: usize| {
        let mut body = b"\0\0\0\x01".to_vec();
        body.extend_from_slice(&(length as u32).to_be_bytes());
        body.resize(8 + length, b'h');
        FromUpstream::decode(&Frame { tag: 102, body: body.into() }).map(drop).map_err(|fault| fault.kind)
    };
    assert_eq!((handle(HANDLE_BYTES_MAX), handle(HANDLE_BYTES_MAX + 1)), (Ok(()), Err(kind::TOO_LARGE)));
}

#[test]
fn ids_and_extended_attributes_have_an_end() {
    let ids = |count: usize| {
        let request = Request::UsersGroupsById { users: vec![7; count], groups: Vec::new() };
        FromClient::decode(&request_frame(1, &request)).map(drop).map_err(|fault| fault.kind)
    };
    assert_eq!((ids(IDS_MAX), ids(IDS_MAX + 1)), (Ok(()), Err(kind::TOO_MANY)));
    let pairs = |count: usize| {
        let extended = Some(vec![Default::default(); count]);
        let reply = Reply::Attrs(Attrs { extended, ..Attrs::default() });
        FromUpstream::decode(&reply_frame(1, &reply)).map(drop).map_err(|fault| fault.kind)
    };
    let max = EXTENDED_ATTRIBUTES_MAX;
    assert_eq!((pairs(max), pairs(max + 1)), (Ok(()), Err(kind::TOO_MANY)));
}

#[test]
fn a_packet_of_our_own_is_within_the_limit_too() {
    let data = |length: usize| {
        let mut out = BytesMut::from(&b"before"[..]);
        let reply = Reply::Data(RawField::copy_from(&vec![0; length]));
        let done = reply.encode(1, &mut out).map_err(|fault| (fault.side, fault.kind));
        (done, out.len())
    };
    // Type, id and length are 9 bytes.
    assert_eq!(data(FRAME_BYTES_MAX - 9), (Ok(()), 6 + 4 + FRAME_BYTES_MAX));
    assert_eq!(
        data(FRAME_BYTES_MAX - 8),
        (Err((Side::Gateway, kind::TOO_LARGE)), 6),
        "nothing is left of it"
    );
}

#[test]
fn pairs_of_a_version_have_an_end() {
    let version = |pairs: usize| {
        let body = [&b"\0\0\0\x03"[..], &b"\0\0\0\x01a\0\0\0\0".repeat(pairs)].concat();
        FromUpstream::decode(&Frame { tag: 2, body: body.into() }).map(drop).map_err(|fault| fault.kind)
    };
    assert_eq!((version(HELLO_PAIRS_MAX), version(HELLO_PAIRS_MAX + 1)), (Ok(()), Err(kind::TOO_MANY)));
}
