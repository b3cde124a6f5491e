//! Handshakes and frames: what is read, what is refused, each fed whole, byte by byte, and cut in two at every place; and the
//! same over mutations of all of it.

use super::*;
use crate::fault::{self as why, Reason};
use crate::frame::{Decoder as Heads, Incoming as Head};
use crate::limits::*;
use crate::message::{Request, Response};
use crate::testkit::Numbers;
use bytes::BytesMut;
use wire::{Fault, Side};

const ASKED: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn offer(line: &str, fields: &str) -> Result<Option<Offer>, Reason> {
    let mut bytes = BytesMut::from(format!("{line}\r\nHost: a\r\n{fields}\r\n").as_bytes());
    match Heads::client().next(&mut bytes).unwrap() {
        Head::Head(head) => Offer::of(&Request::new(head).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handshake_is_read() {
    let fields = format!(
        "{ASKED}Sec-WebSocket-Protocol: chat, v2.chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    );
    let offer_of = offer("GET /chat HTTP/1.1", &fields).unwrap().unwrap();
    assert_eq!(offer_of.key.as_bytes(), b"dGhlIHNhbXBsZSBub25jZQ==");
    let protocols: Vec<&[u8]> = offer_of.protocols.iter().map(|name| name.as_bytes()).collect();
    assert_eq!(protocols, [&b"chat"[..], b"v2.chat"]);
    assert_eq!(offer("GET / HTTP/1.1", ""), Ok(None));
    assert_eq!(offer("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n"), Ok(None));
}

#[test]
fn what_is_no_handshake_is_refused() {
    let with = |from: &str, to: &str| ASKED.replace(from, to);
    let many: Vec<String> = (0..=PROTOCOLS_MAX).map(|n| format!("p{n}")).collect();
    for (line, fields, expect) in [
        ("POST / HTTP/1.1", ASKED.to_owned(), why::HANDSHAKE),
        ("HEAD / HTTP/1.1", ASKED.to_owned(), why::HANDSHAKE),
        ("GET / HTTP/1.0", ASKED.to_owned(), why::HANDSHAKE),
        ("GET / HTTP/1.1", format!("{ASKED}Content-Length: 0\r\n"), why::HANDSHAKE_BODY),
        ("GET / HTTP/1.1", format!("{ASKED}Transfer-Encoding: chunked\r\n"), why::HANDSHAKE_BODY),
        ("GET / HTTP/1.1", with("keep-alive, Upgrade", "keep-alive"), why::HANDSHAKE_UPGRADE),
        ("GET / HTTP/1.1", with(": websocket", ": websocket, h2c"), why::HANDSHAKE_UPGRADE),
        ("GET / HTTP/1.1", format!("{ASKED}Upgrade: websocket\r\n"), why::HANDSHAKE_UPGRADE),
        ("GET / HTTP/1.1", with(": 13", ": 8"), why::VERSION_13),
        ("GET / HTTP/1.1", with(": 13", ": 13, 8"), why::VERSION_13),
        ("GET / HTTP/1.1", with("Sec-WebSocket-Version: 13\r\n", ""), why::VERSION_13),
        ("GET / HTTP/1.1", format!("{ASKED}Sec-WebSocket-Version: 13\r\n"), why::VERSION_13),
        ("GET / HTTP/1.1", with("ZQ==", "ZQ="), why::KEY),
        ("GET / HTTP/1.1", with("ZQ==", "ZR=="), why::KEY),
        ("GET / HTTP/1.1", with("dGhl", "d-hl"), why::KEY),
        ("GET / HTTP/1.1", with("dGhl", "dGhldGhl"), why::KEY),
        ("GET / HTTP/1.1", format!("{ASKED}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), why::KEY),
        ("GET / HTTP/1.1", format!("{ASKED}Sec-WebSocket-Protocol: a b\r\n"), why::PROTOCOLS),
        ("GET / HTTP/1.1", format!("{ASKED}Sec-WebSocket-Protocol: a, a\r\n"), why::PROTOCOLS),
        ("GET / HTTP/1.1", format!("{ASKED}Sec-WebSocket-Protocol: {}\r\n", many.join(",")), why::PROTOCOLS),
    ] {
        assert_eq!(offer(line, &fields), Err(expect), "{line}\n{fields}");
    }
}

#[test]
fn an_answer_accepts_what_was_offered_and_nothing_else() {
    let asked =
        offer("GET / HTTP/1.1", &format!("{ASKED}Sec-WebSocket-Protocol: chat\r\n")).unwrap().unwrap();
    let answer = |line: &str, fields: &str| {
        let mut decoder = Heads::upstream();
        decoder.answers(false);
        let mut bytes = BytesMut::from(format!("HTTP/1.1 {line}\r\n{fields}\r\n").as_bytes());
        match decoder.next(&mut bytes).unwrap() {
            Head::Head(head) => chosen(&Response::new(head).unwrap(), &asked, b"yes"),
            other => panic!("{other:?}"),
        }
    };
    let good = "Upgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: yes\r\n";
    assert_eq!(answer("101 X", good), Ok(None));
    let chat = answer("101 X", &format!("{good}Sec-WebSocket-Protocol: chat\r\n")).unwrap().unwrap();
    assert_eq!(chat.as_bytes(), b"chat");
    for (line, fields, expect) in [
        ("200 X", good.to_owned(), why::NOT_SWITCHED),
        ("101 X", good.replace("WebSocket\r", "h2c\r"), why::NOT_SWITCHED),
        ("101 X", good.replace(": upgrade", ": close"), why::NOT_SWITCHED),
        ("101 X", good.replace("yes", "no"), why::ACCEPT),
        ("101 X", good.replace("Sec-WebSocket-Accept: yes\r\n", ""), why::ACCEPT),
        ("101 X", format!("{good}Sec-WebSocket-Accept: yes\r\n"), why::ACCEPT),
        ("101 X", format!("{good}Sec-WebSocket-Extensions: permessage-deflate\r\n"), why::EXTENSION),
        ("101 X", format!("{good}Sec-WebSocket-Protocol: Chat\r\n"), why::PROTOCOL),
        ("101 X", format!("{good}Sec-WebSocket-Protocol: chat, x\r\n"), why::PROTOCOL),
        (
            "101 X",
            format!("{good}Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n"),
            why::PROTOCOL,
        ),
    ] {
        assert_eq!(answer(line, &fields), Err(expect), "{line}\n{fields}");
    }
}

/// A frame as it is written, however wrong: its two first bytes as they are, the payload masked with zeros where they say so.
fn raw(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
    let key: &[u8] = if second & 0x80 != 0 && second & 0x7f < 126 { &[0; 4] } else { &[] };
    [&[first, second], key, rest].concat()
}

/// Items, and the fault that ended them.
type Run = (Vec<Incoming>, Option<Fault>);

fn run<'a>(side: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Run {
    let mut decoder = if side == Side::Client { Decoder::client() } else { Decoder::upstream() };
    let (mut input, mut items) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Incoming::NeedMore) => break,
                Ok(item) => items.push(item),
                Err(fault) => {
                    assert_eq!(decoder.next(&mut input), Err(fault), "a fault is final");
                    return (items, Some(fault));
                }
            }
        }
    }
    (items, None)
}

/// The same however it is cut.
fn check(side: Side, bytes: &[u8]) -> Run {
    let whole = run(side, [bytes]);
    assert_eq!(run(side, bytes.chunks(1)), whole, "byte by byte");
    for at in 0..bytes.len().min(300) {
        let (one, two) = bytes.split_at(at);
        assert_eq!(run(side, [one, two]), whole, "cut at {at}");
    }
    whole
}

fn text(text: &str) -> Incoming {
    Incoming::Message(Message { kind: Kind::Text, data: bytes::Bytes::copy_from_slice(text.as_bytes()) })
}

#[test]
fn what_is_encoded_is_decoded_however_it_is_cut() {
    for length in [0, 1, 125, 126, 127, 300, 0xffff, 0x1_0000] {
        for (side, key) in [(Side::Client, Some([7, 0, 255, 9])), (Side::Upstream, None)] {
            let said = "x".repeat(length);
            let mut out = BytesMut::new();
            encode(&mut out, Opcode::Text, said.as_bytes(), key);
            encode(&mut out, Opcode::Binary, &[0, 159], key);
            let run = if length > 300 { run(side, [&out[..]]) } else { check(side, &out) };
            let binary = Message { kind: Kind::Binary, data: bytes::Bytes::from_static(&[0, 159]) };
            assert_eq!(run, (vec![text(&said), Incoming::Message(binary)], None), "{length}");
        }
    }
}

#[test]
fn fragments_become_one_message_with_control_frames_between_them() {
    let bytes = [
        raw(0x01, 0x82, "h\u{e9}".as_bytes().get(..2).unwrap()),
        raw(0x89, 0x82, b"hi"),
        raw(0x00, 0x80, b""),
        raw(0x8a, 0x80, b""),
        raw(0x80, 0x81, "h\u{e9}".as_bytes().get(2..).unwrap()),
        raw(0x88, 0x85, &[0x03, 0xe8, b'b', b'y', b'e']),
        raw(0xff, 0xff, b"behind a Close nothing is read"),
    ]
    .concat();
    let closing = Closing { code: 1000, reason: "bye".to_owned() };
    let ping = Incoming::Ping(bytes::Bytes::from_static(b"hi"));
    let expect = vec![ping, Incoming::Pong, text("h\u{e9}"), Incoming::Close(Some(closing))];
    assert_eq!(check(Side::Client, &bytes), (expect, None));
    assert_eq!(check(Side::Upstream, &[0x88, 0x00]), (vec![Incoming::Close(None)], None));
}

/// What is refused: of whom, the bytes, and why.
fn wrong() -> Vec<(Side, Vec<u8>, Reason)> {
    let (client, upstream) = (Side::Client, Side::Upstream);
    let large = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let close = |payload: &[u8]| raw(0x88, 0x80 | payload.len() as u8, payload);
    let many: Vec<u8> = std::iter::once(raw(0x01, 0x80, b""))
        .chain((0..MESSAGE_FRAGMENTS_MAX).map(|_| raw(0x00, 0x80, b"")))
        .flatten()
        .collect();
    let mut all = vec![
        (client, raw(0x81, 0x02, b"hi"), why::UNMASKED),
        (client, raw(0x88, 0x00, b""), why::UNMASKED),
        (upstream, raw(0x81, 0x82, b"hi"), why::MASKED),
        (client, raw(0xc1, 0x82, b"hi"), why::RESERVED),
        (client, raw(0xa1, 0x82, b"hi"), why::RESERVED),
        (client, raw(0x91, 0x82, b"hi"), why::RESERVED),
        (upstream, raw(0xc1, 0x02, b"hi"), why::RESERVED),
        (client, [0x81, 0xfe, 0, 125].to_vec(), why::FRAME_LENGTH),
        (client, [0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff].to_vec(), why::FRAME_LENGTH),
        (client, large(1 << 63), why::FRAME_LENGTH),
        (client, large(MESSAGE_BYTES_MAX as u64 + 1), why::MESSAGE_TOO_LARGE),
        (client, large((1 << 63) - 1), why::MESSAGE_TOO_LARGE),
        (client, [raw(0x02, 0x81, b"x"), large(MESSAGE_BYTES_MAX as u64)].concat(), why::NOT_ENDED),
        (
            client,
            [raw(0x02, 0x81, b"x"), [&[0x80][..], &large(MESSAGE_BYTES_MAX as u64)[1..]].concat()].concat(),
            why::MESSAGE_TOO_LARGE,
        ),
        (client, raw(0x09, 0x80, b""), why::CONTROL_IN_PIECES),
        (client, raw(0x08, 0x80, b""), why::CONTROL_IN_PIECES),
        (client, [0x89, 0xfe, 0, 126].to_vec(), why::CONTROL_TOO_LARGE),
        (client, [0x88, 0xff].to_vec(), why::CONTROL_TOO_LARGE),
        (client, raw(0x80, 0x80, b""), why::NOT_BEGUN),
        (client, raw(0x00, 0x80, b""), why::NOT_BEGUN),
        (client, [raw(0x01, 0x80, b""), raw(0x81, 0x80, b"")].concat(), why::NOT_ENDED),
        (client, many, why::TOO_MANY_FRAGMENTS),
        (client, raw(0x81, 0x82, &[0xc3, 0x28]), why::TEXT),
        (client, raw(0x81, 0x83, &[0xed, 0xa0, 0x80]), why::TEXT),
        (client, raw(0x81, 0x81, &[0xc3]), why::TEXT),
        (client, close(&[3]), why::CLOSE_CODE),
        (client, close(&[0x03, 0xe8, 0xff]), why::TEXT),
    ];
    let opcodes = [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf];
    all.extend(opcodes.map(|opcode| (client, raw(0x80 | opcode, 0x80, b""), why::OPCODE)));
    let codes = [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535];
    all.extend(codes.map(|code| (client, close(&code.to_be_bytes()), why::CLOSE_CODE)));
    all
}

#[test]
fn what_is_wrong_is_refused_however_it_is_cut() {
    for (side, bytes, expect) in wrong() {
        let (items, fault) = check(side, &bytes);
        assert_eq!(
            (items.len(), fault),
            (0, Some(expect.on(side))),
            "{:02x?}",
            bytes.get(..20.min(bytes.len()))
        );
    }
}

#[test]
fn the_largest_message_is_read_and_the_most_fragments() {
    let mut out = BytesMut::new();
    encode(&mut out, Opcode::Binary, &vec![1; MESSAGE_BYTES_MAX], Some([1, 2, 3, 4]));
    let (items, fault) = run(Side::Client, out.chunks(16 << 10));
    let lengths: Vec<usize> = items
        .iter()
        .filter_map(|i| if let Incoming::Message(m) = i { Some(m.data.len()) } else { None })
        .collect();
    assert_eq!((lengths, fault), (vec![MESSAGE_BYTES_MAX], None));
    let most: Vec<u8> = (0..MESSAGE_FRAGMENTS_MAX)
        .flat_map(|n| raw(if n == 0 { 1 } else { 0 }, 0x81, b"x"))
        .chain(raw(0x80, 0x80, b""))
        .collect();
    let (items, fault) = run(Side::Client, [&most[..]]);
    assert_eq!((items.len(), fault), (0, Some(why::TOO_MANY_FRAGMENTS.on(Side::Client))));
    let most = [&most[..most.len() - 13], &raw(0x80, 0x80, b"")].concat();
    assert_eq!(run(Side::Client, [&most[..]]).1, None);
}

#[test]
fn a_close_says_why_in_at_most_its_125_bytes() {
    assert_eq!(close_payload(1008, "no"), [0x03, 0xf0, b'n', b'o']);
    let long = close_payload(1000, &"\u{e9}".repeat(100));
    assert_eq!(long.len(), 124, "a letter is not cut in two");
    let codes = [
        (why::TEXT, 1007),
        (why::MESSAGE_TOO_LARGE, 1009),
        (why::TOO_MANY_FRAGMENTS, 1008),
        (why::OPCODE, 1002),
    ];
    codes.iter().for_each(|(reason, code)| assert_eq!(close_code(&reason.on(Side::Client)), *code));
}

/// The body of a fuzzer: nothing panics, the cuts change nothing, and no more comes out than went in.
fn fuzz(side: Side, bytes: &[u8], cut: usize) -> bool {
    let whole = run(side, [bytes]);
    let (one, two) = bytes.split_at(cut.min(bytes.len()));
    assert_eq!(run(side, [one, two]), whole);
    let said = |item: &Incoming| match item {
        Incoming::Message(message) => message.data.len(),
        Incoming::Ping(payload) => payload.len(),
        Incoming::Close(_) | Incoming::NeedMore | Incoming::Pong => 0,
    };
    assert!(whole.0.iter().map(said).sum::<usize>() <= bytes.len());
    whole.1.is_none() && !whole.0.is_empty()
}

#[test]
fn mutations_are_read_or_refused_and_nothing_panics() {
    let mut numbers = Numbers::new(6455);
    let mut good = BytesMut::new();
    encode(&mut good, Opcode::Text, "h\u{e9}llo".as_bytes(), Some([1, 2, 3, 4]));
    encode(&mut good, Opcode::Ping, b"x", Some([0; 4]));
    encode(&mut good, Opcode::Close, &close_payload(1001, "gone"), Some([9; 4]));
    let mut corpus: Vec<(Side, Vec<u8>)> = wrong()
        .into_iter()
        .filter(|(_, bytes, _)| bytes.len() < 200)
        .map(|(side, bytes, _)| (side, bytes))
        .collect();
    corpus.extend((0..20).map(|_| (Side::Client, good.to_vec())));
    let mut accepted = 0;
    for _ in 0..20_000 {
        let (side, seed) = &corpus[numbers.below(corpus.len())];
        let mut bytes = seed.clone();
        for _ in 0..numbers.below(3) {
            let at = numbers.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        let cut = numbers.below(bytes.len());
        accepted += usize::from(fuzz(*side, &bytes, cut));
    }
    assert!((1_000..19_000).contains(&accepted), "{accepted}");
}
