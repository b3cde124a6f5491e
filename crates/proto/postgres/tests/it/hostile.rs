//! Length fields of any value, in any state: no panic, and no memory for bytes that did not come.

use crate::dice::{CLIENT_KINDS, Dice, UPSTREAM_KINDS};
use crate::round_trip::{client_decoder, upstream_decoder};
use bytes::{Bytes, BytesMut};
use proto_postgres::frame::{Decoder, Frame, Incoming, Skipped};
use proto_postgres::limits::*;
use proto_postgres::message::{FromClient, FromUpstream};
use wire::{Side, kind};

const LENGTHS: [u32; 14] =
    [0, 1, 2, 3, 4, 5, 8, 0x7fff_ffff, 0xffff_ffff, 0x8000_0000, 0x8000_0001, 1 << 20, 1 << 24, 1 << 30];

/// A header with this length costs at most [`LOOKAHEAD_BYTES_MAX`], or is refused at once.
fn declare(mut decoder: Decoder, tag: u8, length: u32) {
    let mut buffer = BytesMut::with_capacity(16);
    buffer.extend_from_slice(&[tag]);
    buffer.extend_from_slice(&length.to_be_bytes());
    for _ in 0..3 {
        let Ok(got) = decoder.next(&mut buffer) else { return };
        assert!(
            buffer.capacity() <= LOOKAHEAD_BYTES_MAX + 64,
            "{} for {tag:#x} {length:#x}",
            buffer.capacity()
        );
        assert_eq!(got.is_some(), length == 4, "{tag:#x} {length:#x}");
        if got.is_some() {
            return;
        }
    }
}

#[test]
fn a_declared_length_reserves_at_most_a_mebibyte_in_every_state() {
    for tag in 0..=255u8 {
        for length in LENGTHS {
            for early in [true, false] {
                declare(client_decoder(early), tag, length);
                declare(upstream_decoder(early), tag, length);
            }
        }
    }
}

#[test]
fn a_length_below_four_or_with_a_sign_is_refused() {
    for length in [0, 1, 2, 3, 0x8000_0000, 0xffff_ffff] {
        for (mut decoder, tag, side) in [
            (client_decoder(false), b'Q', Side::Client),
            (client_decoder(true), b'p', Side::Client),
            (upstream_decoder(false), b'D', Side::Upstream),
            (upstream_decoder(true), b'R', Side::Upstream),
        ] {
            let mut buffer = BytesMut::from(&[&[tag][..], &u32::to_be_bytes(length)].concat()[..]);
            let fault = decoder.next(&mut buffer).unwrap_err();
            assert_eq!((fault.side, fault.kind), (side, kind::BAD_LENGTH));
        }
    }
}

#[test]
fn each_limit_holds_at_max_and_refuses_max_plus_one() {
    type Case = (fn() -> Decoder, u8, usize);
    let cases: [Case; 12] = [
        (|| client_decoder(false), b'Q', HELD_FRAME_BYTES_MAX),
        (|| client_decoder(false), b'P', HELD_FRAME_BYTES_MAX),
        (|| client_decoder(false), b'B', BIND_FRAME_BYTES_MAX),
        (|| client_decoder(false), b'd', COPY_FRAME_BYTES_MAX),
        (|| client_decoder(false), b'E', SMALL_FRAME_BYTES_MAX),
        (|| client_decoder(false), b'S', 0),
        (|| client_decoder(true), b'p', PASSWORD_BYTES_MAX),
        (|| upstream_decoder(true), b'E', GREETING_BYTES_MAX),
        (|| upstream_decoder(false), b'E', REPLY_BYTES_MAX),
        (|| upstream_decoder(false), b'D', ROW_BYTES_MAX),
        (|| upstream_decoder(false), b'd', ROW_BYTES_MAX),
        (|| upstream_decoder(false), b'Z', 1),
    ];
    for (decoder, tag, max) in cases {
        let header = |body: usize| [&[tag][..], &(body as u32 + 4).to_be_bytes()].concat();
        let mut whole = BytesMut::from(&header(max)[..]);
        whole.resize(5 + max, 0);
        let frame = decoder().next(&mut whole).unwrap().expect("the whole frame is there");
        assert_eq!(frame.body.len(), max);
        let mut above = BytesMut::from(&header(max + 1)[..]);
        let fault = decoder().next(&mut above).unwrap_err();
        assert_eq!(fault.kind, kind::TOO_LARGE, "{}: refused before the body", char::from(tag));
    }
}

#[test]
fn a_large_frame_that_comes_in_pieces_never_reserves_more_than_a_mebibyte_ahead() {
    let mut decoder = upstream_decoder(false);
    let body = 8 << 20;
    let mut buffer = BytesMut::new();
    buffer.extend_from_slice(b"D");
    buffer.extend_from_slice(&(body as u32 + 4).to_be_bytes());
    let piece = vec![0u8; 60_000];
    while buffer.len() < 5 + body {
        assert!(decoder.next(&mut buffer).unwrap().is_none());
        // A buffer that grows doubles; it may not jump to what was declared.
        assert!(buffer.capacity() <= 2 * buffer.len() + LOOKAHEAD_BYTES_MAX, "at {}", buffer.len());
        let left = 5 + body - buffer.len();
        buffer.extend_from_slice(&piece[..left.min(piece.len())]);
    }
    assert_eq!(decoder.next(&mut buffer).unwrap().unwrap().body.len(), body);
}

#[test]
fn unknown_types_are_refused_at_their_first_byte() {
    let client = b"BCdcfDEHFPQSX";
    let upstream = b"K23CGHWDIEVnNAtS1sZTcd";
    for tag in 0..=255u8 {
        for (early, known, mut decoder) in [
            (true, tag == b'p', client_decoder(true)),
            (false, client.contains(&tag), client_decoder(false)),
            (true, b"RENv".contains(&tag), upstream_decoder(true)),
            (false, upstream.contains(&tag), upstream_decoder(false)),
        ] {
            let result = decoder.next(&mut BytesMut::from(&[tag][..]));
            assert_eq!(result.is_ok(), known, "{:?} early: {early}", char::from(tag));
            if let Err(fault) = result {
                assert_eq!(fault.kind, kind::UNKNOWN_MESSAGE);
            }
        }
    }
}

/// Every length and count inside of every message, replaced by hostile values.
#[test]
fn hostile_lengths_inside_a_message_are_refused_or_read_as_written() {
    let mut dice = Dice::new(4);
    let check = |tag: u8, body: &[u8], decode: &dyn Fn(&Frame)| {
        for at in 0..body.len() {
            for length in LENGTHS {
                for width in [2, 4] {
                    let mut body = body.to_vec();
                    for (place, byte) in body[at..].iter_mut().zip(&length.to_be_bytes()[4 - width..]) {
                        *place = *byte;
                    }
                    decode(&Frame { tag, body: body.into() });
                }
            }
            decode(&Frame { tag, body: Bytes::copy_from_slice(&body[..at]) });
        }
    };
    let strict = |frame: &Frame| {
        // What is accepted is read to its last byte and says the same when written: one reading of the wire.
        if let Ok(message) = FromClient::decode(frame) {
            let mut again = BytesMut::new();
            message.encode(&mut again).unwrap();
            assert_eq!(&again[5..], &frame.body[..]);
        }
        if let Ok(message) = FromUpstream::decode(frame) {
            let mut again = BytesMut::new();
            message.encode(&mut again).unwrap();
            assert_eq!(&again[5..], &frame.body[..]);
        }
    };
    for kind in 0..CLIENT_KINDS {
        for _ in 0..4 {
            let mut wire = BytesMut::new();
            dice.client_message(kind).encode(&mut wire).unwrap();
            check(wire[0], &wire[5..], &strict);
        }
    }
    for kind in 0..UPSTREAM_KINDS {
        for _ in 0..4 {
            let mut wire = BytesMut::new();
            dice.upstream_message(kind).encode(&mut wire).unwrap();
            check(wire[0], &wire[5..], &strict);
        }
    }
}

/// A count of 65,535 in a message of a few bytes must not allocate for it.
#[test]
fn a_count_without_elements_is_refused_before_it_sizes_anything() {
    for (tag, body) in [
        (b'P', &b"\0\0\xff\xff"[..]),
        (b'B', b"\0\0\0\0\xff\xff\0\0"),
        (b'B', b"\0\0\xff\xff\0\0\0\0"),
        (b'F', b"\0\0\0\x01\0\0\xff\xff\0\0"),
    ] {
        let fault = FromClient::decode(&Frame { tag, body: Bytes::from_static(body) }).unwrap_err();
        assert_eq!(fault.kind, kind::TRUNCATED);
    }
    for (tag, body) in [(b't', &b"\xff\xff\0\0"[..]), (b'G', b"\0\xff\xff"), (b'D', b"\x06\x80")] {
        let fault = FromUpstream::decode(&Frame { tag, body: Bytes::from_static(body) }).unwrap_err();
        assert_eq!(fault.kind, kind::TRUNCATED);
    }
    let columns = Frame { tag: b'T', body: Bytes::from_static(b"\x06\x80") };
    assert_eq!(FromUpstream::decode(&columns).unwrap_err().kind, kind::UNTERMINATED);
    let options = Frame { tag: b'v', body: Bytes::from_static(b"\0\x03\0\0\x7f\xff\xff\xff") };
    assert_eq!(FromUpstream::decode(&options).unwrap_err().kind, kind::TOO_MANY);
}

/// Lists whose length is not on the wire.
#[test]
fn lists_are_bounded_at_their_limit() {
    let fields = |count: usize| {
        let body: Vec<u8> = (0..count).flat_map(|i| [i as u8 + 1, b'x', 0]).chain([0]).collect();
        FromUpstream::decode(&Frame { tag: b'E', body: body.into() })
    };
    let mechanisms = |count: usize| {
        let body: Vec<u8> = [0, 0, 0, 10].into_iter().chain(b"M\0".repeat(count)).chain([0]).collect();
        FromUpstream::decode(&Frame { tag: b'R', body: body.into() })
    };
    let options = |count: usize| {
        let body = [&[0, 3, 0, 0][..], &(count as u32).to_be_bytes(), &b"o\0".repeat(count)].concat();
        FromUpstream::decode(&Frame { tag: b'v', body: body.into() })
    };
    type Decode<'a> = &'a dyn Fn(usize) -> Result<FromUpstream, wire::Fault>;
    let cases: [(Decode<'_>, usize); 3] =
        [(&fields, ERROR_FIELDS_MAX), (&mechanisms, SASL_MECHANISMS_MAX), (&options, NEGOTIATED_OPTIONS_MAX)];
    for (decode, max) in cases {
        assert!(decode(max).is_ok());
        assert_eq!(decode(max + 1).unwrap_err().kind, kind::TOO_MANY);
    }
}

#[test]
fn a_field_that_comes_twice_in_an_error_is_refused() {
    let twice = Frame { tag: b'E', body: Bytes::from_static(b"Ca\0Cb\0\0") };
    assert_eq!(FromUpstream::decode(&twice).unwrap_err().kind, kind::BAD_VALUE);
}

/// A byte more than the fields is refused in every message but those whose last field is "the rest".
#[test]
fn a_byte_behind_the_last_field_is_refused_in_every_message() {
    let mut dice = Dice::new(11);
    let longer = |wire: &BytesMut| Frame { tag: wire[0], body: [&wire[5..], b"x"].concat().into() };
    for kind in 0..CLIENT_KINDS {
        let message = dice.client_message(kind);
        let mut wire = BytesMut::new();
        message.encode(&mut wire).unwrap();
        let open = matches!(message, FromClient::CopyData(_) | FromClient::PasswordLike(_));
        assert_eq!(FromClient::decode(&longer(&wire)).is_ok(), open, "{message:?}");
    }
    for kind in 0..UPSTREAM_KINDS {
        let message = dice.upstream_message(kind);
        let mut wire = BytesMut::new();
        message.encode(&mut wire).unwrap();
        let open = matches!(
            message,
            FromUpstream::CopyData(_) | FromUpstream::BackendKeyData { .. } | FromUpstream::Authentication(_)
        );
        assert!(open || FromUpstream::decode(&longer(&wire)).is_err(), "{message:?}");
    }
    let row = Frame { tag: b'D', body: Bytes::from_static(b"\0\x01\0\0\0\x01ax") };
    assert_eq!(FromUpstream::decode(&row).unwrap_err().kind, kind::TRAILING_BYTES);
}

#[test]
fn a_statement_above_its_limit_is_counted_and_dropped_as_it_comes() {
    for (tag, max) in
        [(b'Q', HELD_FRAME_BYTES_MAX), (b'P', HELD_FRAME_BYTES_MAX), (b'B', BIND_FRAME_BYTES_MAX)]
    {
        for body in [max + 1, max + (1 << 20), SKIPPED_BYTES_MAX] {
            let mut decoder = client_decoder(false);
            let mut buffer = BytesMut::from(&[&[tag][..], &(body as u32 + 4).to_be_bytes()].concat()[..]);
            assert_eq!(decoder.next_or_skipped(&mut buffer).unwrap(), None);
            let mut left = body;
            let piece = [b'Q'; 64 << 10];
            while left > 0 {
                let come = left.min(piece.len());
                left -= come;
                buffer.extend_from_slice(&piece[..come]);
                let got = decoder.next_or_skipped(&mut buffer).unwrap();
                let skipped = Incoming::Skipped(Skipped { tag, bytes: body as u32 });
                assert_eq!(got, (left == 0).then_some(skipped));
                assert!(buffer.is_empty() && buffer.capacity() <= 2 * piece.len());
                assert_eq!(decoder.is_skipping(), left > 0);
            }
            // What comes behind it is a message again.
            buffer.extend_from_slice(b"S\0\0\0\x04");
            let sync = Frame { tag: b'S', body: Bytes::new() };
            assert_eq!(decoder.next_or_skipped(&mut buffer).unwrap(), Some(Incoming::Frame(sync)));
        }
    }
    // Not before authentication, not above what PostgreSQL takes, and no other message.
    for (early, tag, body) in [
        (true, b'Q', HELD_FRAME_BYTES_MAX + 1),
        (false, b'Q', SKIPPED_BYTES_MAX + 1),
        (false, b'd', COPY_FRAME_BYTES_MAX + 1),
        (false, b'E', SMALL_FRAME_BYTES_MAX + 1),
    ] {
        let mut buffer = BytesMut::from(&[&[tag][..], &(body as u32 + 4).to_be_bytes()].concat()[..]);
        assert!(client_decoder(early).next_or_skipped(&mut buffer).is_err(), "{tag} {body}");
    }
}
