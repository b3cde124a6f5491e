//! SPDY: frames, compression, and what may come when.

use crate::dice::Dice;
use bytes::{Bytes, BytesMut};
use proto_kubernetes::fault::{self as why, Reason};
use proto_kubernetes::limits::*;
use proto_kubernetes::query::Streams;
use proto_kubernetes::spdy::frame::{Decoder, Encoder, Frame};
use proto_kubernetes::spdy::headers::Headers;
use proto_kubernetes::spdy::session::{Role, Session, Step};
use wire::{Fault, RawField, Side};

fn headers(of: &[(&str, &str)]) -> Headers {
    Headers(of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn open(stream: u32, of: &[(&str, &str)]) -> Frame {
    Frame::Open { stream, fin: false, headers: headers(of) }
}

fn reply(stream: u32) -> Frame {
    Frame::Reply { stream, fin: false, headers: Headers::default() }
}

fn data(stream: u32, fin: bool, bytes: &[u8]) -> Frame {
    Frame::Data { stream, fin, bytes: RawField::copy_from(bytes) }
}

/// All frames of some bytes that come in pieces, and the fault that ended them.
fn decode(bytes: &[u8], step: usize) -> (Vec<Frame>, Option<Fault>) {
    let (mut decoder, mut frames) = (Decoder::new(Side::Client), Vec::new());
    for piece in bytes.chunks(step) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(decoder.next(), Err(fault), "an error is the last that comes");
                    return (frames, Some(fault));
                }
            }
        }
    }
    (frames, None)
}

/// Pieces of one stream's data that stand one behind another, put together.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut whole: Vec<Frame> = Vec::new();
    for frame in frames {
        match (whole.last_mut(), frame) {
            (
                Some(Frame::Data { stream, fin, bytes }),
                Frame::Data { stream: next, fin: last, bytes: more },
            ) if *stream == next && !*fin => {
                *bytes = RawField::new([bytes.as_bytes(), more.as_bytes()].concat().into());
                *fin = last;
            }
            (_, frame) => whole.push(frame),
        }
    }
    whole
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
    frames.iter().for_each(|frame| encoder.encode(&mut out, frame));
    out.to_vec()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// Three SYN_STREAM whose headers Python's zlib compressed at level 9 with SPDY's dictionary, each flushed.
const FOREIGN: &str = "800300010000003d0000000100000000000078f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45e01c606160\
6100a4398b20d198094ade8c0600000000ffff800300010000001800000003000000000000c2aa19540e2512d60b000000ffff800300010000001c\
0000000500000000000002654bec45370fb28fb0e51f00000000ffff";

fn foreign() -> Vec<u8> {
    unhex(&FOREIGN.replace(char::is_whitespace, ""))
}

#[test]
fn headers_that_another_compressed_are_read_however_they_are_cut() {
    let pair = |kind| [("streamtype", kind), ("port", "8080"), ("requestid", "0")];
    let expected = vec![
        open(1, &pair("error")),
        open(3, &pair("data")),
        open(5, &[("accept-encoding", "gzip,deflate"), ("status", "200 OK")]),
    ];
    let bytes = foreign();
    for step in 1..=bytes.len() {
        assert_eq!(decode(&bytes, step), (expected.clone(), None), "{step}");
    }
}

/// What moby/spdystream 0.2.0 wrote: 40 streams, each with its data, and one of each other frame. (It read what we write, too.)
#[test]
fn what_kubernetes_own_library_writes_is_read() {
    let bytes = include_bytes!("../testdata/spdystream.bin");
    let mut expected = Vec::new();
    for n in 0..40 {
        let (kind, number) = (["error", "data"][n % 2], n / 2);
        let (port, request) = ((8000 + number).to_string(), number.to_string());
        let mut frame = pair(2 * n as u32 + 1, kind, &request, &port);
        // A map of Go's has no order.
        if let Frame::Open { headers, .. } = &mut frame {
            headers.0.sort();
        }
        expected.push(frame);
        expected.push(data(2 * n as u32 + 1, true, &vec![b'x'; n * 7]));
    }
    expected.extend([
        Frame::Ping { id: 1 },
        Frame::GoAway { last: 3, status: 0 },
        Frame::Reset { stream: 3, status: 5 },
        reply(3),
        Frame::Settings,
        Frame::Window { stream: 3, delta: 9 },
    ]);
    for step in [1, 7, 64, bytes.len()] {
        let (frames, fault) = decode(bytes, step);
        let mut frames = joined(frames);
        for frame in &mut frames {
            if let Frame::Open { headers, .. } = frame {
                headers.0.sort();
            }
        }
        assert_eq!((frames, fault), (expected.clone(), None));
    }
}

/// What we compress, a foreign zlib undoes; each block as soon as it is there.
#[test]
fn our_blocks_are_zlib() {
    let mut zlib = flate2::Decompress::new(true);
    let sent = [open(1, &[("streamtype", "stdin")]), open(3, &[("streamtype", "resize"), ("a", "")])];
    let (mut encoder, mut from) = (Encoder::default(), 18);
    let mut out = BytesMut::new();
    for frame in &sent {
        encoder.encode(&mut out, frame);
        let mut block = Vec::with_capacity(1 << 12);
        zlib.decompress_vec(&out[from..], &mut block, flate2::FlushDecompress::Sync).unwrap();
        from = out.len() + 18;
        let Frame::Open { headers: Headers(pairs), .. } = frame else { panic!() };
        let mut plain = (pairs.len() as u32).to_be_bytes().to_vec();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        assert_eq!(block, plain);
    }
}

fn arbitrary(dice: &mut Dice) -> Frame {
    let stream = 1 + dice.next() as u32 % 0x7fff_fffe;
    let fin = dice.below(2) == 0;
    let names = ["streamtype", "port", "requestid", "a-1"];
    let headers = Headers(
        names[..dice.below(5)]
            .iter()
            .map(|name| ((*name).to_owned(), dice.text(&["a ", "80", "{", "é"][..3], 5)))
            .collect(),
    );
    match dice.below(8) {
        0 => Frame::Open { stream, fin, headers },
        1 => Frame::Reply { stream, fin, headers },
        2 => Frame::Reset { stream, status: 1 + dice.below(9) as u32 },
        3 => Frame::Ping { id: dice.next() as u32 },
        4 => Frame::GoAway { last: stream, status: dice.below(3) as u32 },
        5 => Frame::Settings,
        6 => Frame::Window { stream, delta: stream },
        _ => Frame::Data {
            stream,
            fin,
            bytes: RawField::new((0..dice.below(90)).map(|_| dice.next() as u8).collect::<Vec<u8>>().into()),
        },
    }
}

#[test]
fn what_is_written_is_read_however_it_is_cut() {
    let mut dice = Dice::new(9);
    for _ in 0..2_000 {
        let frames: Vec<Frame> = (0..dice.below(6)).map(|_| arbitrary(&mut dice)).collect();
        let bytes = encode(&frames);
        let step = 1 + dice.below(bytes.len() + 1);
        let (read, fault) = decode(&bytes, step);
        assert_eq!((joined(read), fault), (joined(frames), None));
    }
}

#[test]
fn data_of_any_length_pass_in_pieces() {
    let whole = vec![7; (1 << 24) + 5];
    let bytes = encode(&[data(1, true, &whole), Frame::Ping { id: 1 }]);
    let mut decoder = Decoder::new(Side::Upstream);
    let (mut sum, mut ends, mut most) = (0, 0, 0);
    for piece in bytes.chunks(9_999) {
        decoder.push(piece);
        while let Some(frame) = decoder.next().unwrap() {
            if let Frame::Data { fin, bytes, .. } = frame {
                (sum, ends, most) = (sum + bytes.len(), ends + u32::from(fin), most.max(bytes.len()));
            }
        }
    }
    assert_eq!((sum, ends, decoder.is_cut()), (whole.len(), 1, false));
    assert!(most <= 9_999);
    decoder.push(&[0, 0, 0, 1, 0, 0, 0, 9, 1]);
    assert!(matches!(decoder.next(), Ok(Some(Frame::Data { fin: false, .. }))));
    assert!(decoder.is_cut());
}

/// A control frame with a body.
fn control(version: u16, kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (0x8000 | version).to_be_bytes().to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((u32::from(flags) << 24 | body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A SYN_STREAM of stream 1 with a block that is stored behind `zlib`.
fn syn(zlib: &[u8], block: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    body.extend(zlib);
    for piece in block.chunks(65_535) {
        body.push(0);
        body.extend((piece.len() as u16).to_le_bytes());
        body.extend((!(piece.len() as u16)).to_le_bytes());
        body.extend(piece);
    }
    body.extend([0, 0, 0, 0xff, 0xff]);
    control(3, 1, 0, &body)
}

fn block(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut block = (pairs.len() as u32).to_be_bytes().to_vec();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        block.extend((text.len() as u32).to_be_bytes());
        block.extend(text.as_bytes());
    }
    block
}

#[test]
fn frames_that_streams_of_kubernetes_do_not_have_are_refused() {
    const ZLIB: &[u8] = &[0x78, 0x01];
    let empty = block(&[]);
    let final_block = {
        let mut body = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x78, 0x01, 1, 4, 0, 0xfb, 0xff, 0, 0, 0, 0];
        body.extend([0, 0, 0, 0xff, 0xff]);
        control(3, 1, 0, &body)
    };
    let unflushed = {
        let mut bytes = syn(ZLIB, &empty);
        bytes.truncate(bytes.len() - 5);
        bytes[7] -= 5;
        bytes
    };
    let value = |n: usize| syn(ZLIB, &block(&[("a", &"x".repeat(n))]));
    let name = |n: usize| syn(ZLIB, &block(&[(&"x".repeat(n), "a")]));
    let names: Vec<String> = (0..=HEADERS_MAX).map(|n| format!("n{n}")).collect();
    let many = |n: u32| {
        syn(ZLIB, &block(&names.iter().take(n as usize).map(|name| (name.as_str(), "")).collect::<Vec<_>>()))
    };
    let good = [
        syn(ZLIB, &empty),
        value(HEADER_VALUE_BYTES_MAX),
        name(HEADER_NAME_BYTES_MAX),
        many(HEADERS_MAX),
        control(3, 4, 1, &[0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 9]),
    ];
    for bytes in good {
        let (frames, fault) = decode(&bytes, bytes.len());
        assert!(frames.len() == 1 && fault.is_none(), "{fault:?}");
    }
    let bad: &[(Vec<u8>, Reason)] = &[
        (control(2, 6, 0, &[0, 0, 0, 1]), why::SPDY_VERSION),
        (control(3, 8, 0, &[0; 8]), why::UNKNOWN_FRAME),
        (control(3, 16, 0, &[0; 8]), why::UNKNOWN_FRAME),
        (control(3, 0, 0, &[]), why::UNKNOWN_FRAME),
        (control(3, 1, 2, &[0; 12]), why::BAD_FLAGS),
        (control(3, 2, 2, &[0; 12]), why::BAD_FLAGS),
        (control(3, 6, 1, &[0, 0, 0, 1]), why::BAD_FLAGS),
        (control(3, 3, 0, &[0, 0, 0, 0, 0, 0, 0, 1]), why::STREAM_ZERO),
        (control(3, 3, 0, &[0, 0, 0, 1, 0, 0, 0, 0]), why::BAD_STATUS),
        (control(3, 1, 0, &[0, 0, 0, 3, 0, 0, 0, 1, 0, 0]), why::ASSOCIATED),
        (control(3, 4, 0, &[0, 0, 0, 65]), why::TOO_MANY_SETTINGS),
        (control(3, 6, 0, &vec![0; CONTROL_BYTES_MAX + 1]), why::CONTROL_TOO_LARGE),
        (vec![0, 0, 0, 0, 0, 0, 0, 0], why::STREAM_ZERO),
        (vec![0, 0, 0, 1, 2, 0, 0, 0], why::BAD_FLAGS),
        (syn(&[0x78, 0x02], &empty), why::BAD_COMPRESSION),
        (syn(&[0x79, 0x00], &empty), why::BAD_COMPRESSION),
        (syn(&[0x88, 0x1c], &empty), why::BAD_COMPRESSION),
        // Another dictionary.
        (syn(&[0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc3], &empty), why::BAD_COMPRESSION),
        (final_block, why::BAD_COMPRESSION),
        (unflushed, why::BAD_COMPRESSION),
        (control(3, 1, 0, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), why::BAD_COMPRESSION),
        (value(HEADER_VALUE_BYTES_MAX + 1), why::HEADER_TOO_LONG),
        (name(HEADER_NAME_BYTES_MAX + 1), why::HEADER_TOO_LONG),
        (many(HEADERS_MAX + 1), why::TOO_MANY_HEADERS),
        (syn(ZLIB, &block(&[("a", "1"), ("a", "2")])), why::BAD_HEADER),
        (syn(ZLIB, &block(&[("streamType", "error")])), why::BAD_HEADER),
        (syn(ZLIB, &block(&[("", "error")])), why::BAD_HEADER),
        (syn(ZLIB, &block(&[("a", "stdin\0stdout")])), why::BAD_HEADER),
        (syn(ZLIB, &block(&[("a", "\u{e9}")])), why::BAD_HEADER),
    ];
    for (bytes, expected) in bad {
        assert_eq!(decode(bytes, bytes.len()), (vec![], Some(expected.on(Side::Client))), "{bytes:?}");
    }
    let short = [
        control(3, 6, 0, &[0, 0, 0]),
        control(3, 7, 0, &[0; 7]),
        control(3, 4, 0, &[0, 0, 0, 1]),
        syn(ZLIB, &[0, 0, 0, 1]),
    ];
    let long = [control(3, 6, 0, &[0; 5]), control(3, 9, 0, &[0; 9]), syn(ZLIB, &[0, 0, 0, 0, 0])];
    for (all, kind) in [(&short[..], wire::kind::TRUNCATED), (&long[..], wire::kind::TRAILING_BYTES)] {
        for bytes in all {
            assert_eq!(decode(bytes, 3).1.map(|fault| fault.kind), Some(kind), "{bytes:?}");
        }
    }
}

/// A block that is small on the wire and large behind it.
#[test]
fn a_bomb_is_refused() {
    let mut zlib = flate2::Compress::new(flate2::Compression::best(), true);
    let squeeze = |zlib: &mut flate2::Compress, plain: &[u8]| {
        let mut packed = Vec::with_capacity(1 << 16);
        zlib.compress_vec(plain, &mut packed, flate2::FlushCompress::Sync).unwrap();
        let mut body = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        body.extend(packed);
        control(3, 1, 0, &body)
    };
    let bytes = squeeze(&mut zlib, &vec![0; 4 << 20]);
    assert!(bytes.len() < CONTROL_BYTES_MAX);
    assert_eq!(decode(&bytes, bytes.len()).1, Some(why::HEADERS_TOO_LARGE.on(Side::Client)));
    // At the limit it is read, and is too long for what it holds.
    let mut zlib = flate2::Compress::new(flate2::Compression::best(), true);
    let bytes = squeeze(&mut zlib, &vec![0; HEADER_BLOCK_BYTES_MAX]);
    assert_eq!(decode(&bytes, bytes.len()).1.map(|fault| fault.kind), Some(wire::kind::TRAILING_BYTES));
    let mut zlib = flate2::Compress::new(flate2::Compression::best(), true);
    let bytes = squeeze(&mut zlib, &vec![0; HEADER_BLOCK_BYTES_MAX + 1]);
    assert_eq!(decode(&bytes, bytes.len()).1, Some(why::HEADERS_TOO_LARGE.on(Side::Client)));
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    let (mut dice, corpus) = (Dice::new(10), foreign());
    for _ in 0..20_000 {
        let mut bytes = match dice.below(2) {
            0 => corpus.clone(),
            _ => encode(&(0..dice.below(4)).map(|_| arbitrary(&mut dice)).collect::<Vec<_>>()),
        };
        for _ in 0..dice.below(6) {
            if !bytes.is_empty() {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
            }
        }
        let step = 1 + dice.below(40);
        let (frames, _) = decode(&bytes, step);
        let mut session = Session::port_forward();
        for frame in frames {
            let upstream = dice.below(3) == 0;
            let _ = if upstream { session.on_upstream(frame) } else { session.on_client(frame) };
        }
    }
}

fn program(stdin: bool, tty: bool) -> Session {
    Session::program(Streams { stdin, stdout: true, stderr: !tty, tty, container: None })
}

fn kind(name: &str) -> [(&str, &str); 1] {
    [("streamtype", name)]
}

fn role(step: Result<Step, Fault>) -> Option<Role> {
    match step {
        Ok(Step::Forward { on, .. }) => on,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exec_has_the_streams_that_its_query_asks_for() {
    let mut session = program(true, false);
    for (n, (name, expected)) in
        [("error", Role::Error), ("stdin", Role::Stdin), ("stdout", Role::Stdout), ("stderr", Role::Stderr)]
            .into_iter()
            .enumerate()
    {
        let stream = 2 * n as u32 + 1;
        assert_eq!(role(session.on_client(open(stream, &kind(name)))), Some(expected));
        assert_eq!(role(session.on_upstream(reply(stream))), Some(expected));
    }
    assert_eq!(role(session.on_client(data(3, false, b"ls\n"))), Some(Role::Stdin));
    assert_eq!(role(session.on_client(data(3, true, b""))), Some(Role::Stdin));
    assert_eq!(session.on_client(data(3, false, b"x")), Err(why::STREAM_ENDED.on(Side::Client)));
    assert_eq!(role(session.on_upstream(data(5, false, b"out"))), Some(Role::Stdout));
    assert_eq!(session.on_client(data(5, false, b"x")), Err(why::NOT_ITS_STREAM.on(Side::Client)));
    assert_eq!(session.on_upstream(data(3, false, b"x")), Err(why::NOT_ITS_STREAM.on(Side::Upstream)));
    assert_eq!(role(session.on_upstream(data(3, true, b""))), Some(Role::Stdin));
    assert_eq!(session.on_client(data(3, false, b"late")), Ok(Step::Nothing), "both sides have ended it");
    assert_eq!(session.on_client(open(9, &kind("stdout"))), Err(why::ROLE_TWICE.on(Side::Client)));
    assert_eq!(
        session.on_client(open(9, &kind("stdin"))),
        Err(why::ROLE_TWICE.on(Side::Client)),
        "once for good"
    );
    assert_eq!(session.on_client(open(9, &kind("resize"))), Err(why::NOT_ASKED_FOR.on(Side::Client)));

    let asked = |session: &mut Session, name| session.on_client(open(1, &kind(name))).map(|_| ());
    assert_eq!(asked(&mut program(false, true), "stdin"), Err(why::NOT_ASKED_FOR.on(Side::Client)));
    assert_eq!(asked(&mut program(false, true), "stderr"), Err(why::NOT_ASKED_FOR.on(Side::Client)));
    assert_eq!(asked(&mut program(false, true), "resize"), Ok(()));
    for name in ["data", "Stdin", "", "control"] {
        assert_eq!(
            asked(&mut program(true, true), name),
            Err(why::NO_STREAM_TYPE.on(Side::Client)),
            "{name}"
        );
    }
    let more = open(1, &[("streamtype", "stdin"), ("port", "1")]);
    assert_eq!(program(true, true).on_client(more), Err(why::BAD_HEADERS.on(Side::Client)));
    assert_eq!(program(true, true).on_client(open(1, &[])), Err(why::NO_STREAM_TYPE.on(Side::Client)));
}

fn pair(stream: u32, kind: &str, request: &str, port: &str) -> Frame {
    open(stream, &[("streamtype", kind), ("requestid", request), ("port", port)])
}

#[test]
fn a_forwarded_connection_has_two_streams_of_one_port() {
    let mut session = Session::port_forward();
    assert_eq!(
        role(session.on_client(pair(1, "error", "0", "8080"))),
        Some(Role::PortError { request: 0, port: 8080 })
    );
    let refused = session.clone().on_client(pair(3, "data", "0", "22"));
    assert_eq!(refused, Err(why::ANOTHER_PORT.on(Side::Client)), "what was decided was 8080");
    let data_of = Role::PortData { request: 0, port: 8080 };
    assert_eq!(role(session.on_client(pair(3, "data", "0", "8080"))), Some(data_of));
    assert_eq!(session.on_client(pair(5, "data", "0", "8080")), Err(why::ROLE_TWICE.on(Side::Client)));
    role(session.on_upstream(reply(1)));
    role(session.on_upstream(reply(3)));
    assert_eq!(role(session.on_client(data(3, false, b"GET /"))), Some(data_of));
    assert_eq!(role(session.on_upstream(data(3, true, b"200"))), Some(data_of));
    assert_eq!(role(session.on_client(data(3, true, b""))), Some(data_of), "half closed");
    assert_eq!(role(session.on_client(data(1, true, b""))), Some(Role::PortError { request: 0, port: 8080 }));
    assert_eq!(
        role(session.on_upstream(data(1, true, b"refused"))),
        Some(Role::PortError { request: 0, port: 8080 })
    );
    assert!(session.is_idle());
    assert!(session.on_client(pair(5, "error", "0", "22")).is_ok(), "a request that is over may come again");

    let bad = [
        (pair(1, "stdin", "0", "80"), why::NO_STREAM_TYPE),
        (pair(1, "data", "00", "80"), why::BAD_HEADERS),
        (pair(1, "data", "-1", "80"), why::BAD_HEADERS),
        (pair(1, "data", "", "80"), why::BAD_HEADERS),
        (pair(1, "data", "4294967296", "80"), why::BAD_HEADERS),
        (pair(1, "data", "0", "0"), why::BAD_PORT),
        (pair(1, "data", "0", "65536"), why::BAD_PORT),
        (open(1, &[("streamtype", "data"), ("port", "80")]), why::BAD_HEADERS),
        (open(1, &[("streamtype", "data"), ("port", "80"), ("host", "x")]), why::BAD_HEADERS),
    ];
    for (frame, expected) in bad {
        assert_eq!(
            Session::port_forward().on_client(frame.clone()),
            Err(expected.on(Side::Client)),
            "{frame:?}"
        );
    }
    let many = |n: usize| {
        let mut session = Session::port_forward();
        (0..n).try_for_each(|n| {
            session.on_client(pair(2 * n as u32 + 1, "error", &n.to_string(), "80")).map(drop)
        })
    };
    assert_eq!(many(STREAMS_MAX), Ok(()));
    assert_eq!(many(STREAMS_MAX + 1), Err(why::TOO_MANY_STREAMS.on(Side::Client)));
}

#[test]
fn streams_have_an_order() {
    let opened = || {
        let mut session = program(true, true);
        session.on_client(open(3, &kind("stdin"))).unwrap();
        session
    };
    let client = |frame: Frame| opened().on_client(frame).map_err(|fault| fault.outward);
    let upstream = |frame: Frame| opened().on_upstream(frame).map_err(|fault| fault.outward);
    for stream in [1, 2, 3, 4] {
        assert_eq!(client(open(stream, &kind("stdout"))), Err(why::BAD_STREAM.outward), "{stream}");
    }
    for frame in [data(5, false, b""), data(4, false, b"x"), Frame::Reset { stream: 5, status: 1 }] {
        assert_eq!(client(frame.clone()), Err(why::BAD_STREAM.outward));
        assert_eq!(upstream(frame), Err(why::BAD_STREAM.outward));
    }
    // 1 was passed over, and is taken for one that has ended.
    assert_eq!(client(data(1, false, b"x")), Ok(Step::Nothing));
    assert_eq!(client(data(3, false, b"x")), Err(why::NOT_REPLIED.outward));
    assert_eq!(client(reply(3)), Err(why::NOT_ITS_FRAME.outward));
    assert_eq!(upstream(open(4, &kind("stdout"))), Err(why::NOT_ITS_FRAME.outward));
    assert_eq!(upstream(data(3, true, b"")), Err(why::NOT_REPLIED.outward));
    let with_headers = Frame::Reply { stream: 3, fin: false, headers: headers(&[("a", "b")]) };
    assert_eq!(upstream(with_headers), Err(why::BAD_HEADERS.outward));
    let mut session = opened();
    session.on_upstream(reply(3)).unwrap();
    assert_eq!(session.on_upstream(reply(3)), Err(why::REPLIED_TWICE.on(Side::Upstream)));
    assert_eq!(role(session.on_upstream(Frame::Reset { stream: 3, status: 5 })), Some(Role::Stdin));
    for late in [data(3, false, b"x"), Frame::Reset { stream: 3, status: 5 }] {
        assert_eq!(session.on_client(late), Ok(Step::Nothing));
    }

    assert_eq!(client(Frame::Ping { id: 1 }), Ok(Step::Answer(Frame::Ping { id: 1 })));
    assert_eq!(upstream(Frame::Ping { id: 2 }), Ok(Step::Answer(Frame::Ping { id: 2 })));
    for (id, answer) in [
        (2, client(Frame::Ping { id: 2 })),
        (0, client(Frame::Ping { id: 0 })),
        (1, upstream(Frame::Ping { id: 1 })),
        (0, upstream(Frame::Ping { id: 0 })),
    ] {
        assert_eq!(answer, Err(why::BAD_PING.outward), "{id}");
    }
    assert_eq!(client(Frame::Settings), Ok(Step::Nothing));
    assert_eq!(upstream(Frame::Window { stream: 0, delta: 1 }), Ok(Step::Nothing));
    let mut session = opened();
    assert!(matches!(
        session.on_upstream(Frame::GoAway { last: 3, status: 0 }),
        Ok(Step::Forward { on: None, .. })
    ));
    assert_eq!(session.on_client(open(5, &kind("stdout"))), Err(why::GOING_AWAY.on(Side::Client)));
}

#[test]
fn nothing_of_a_stream_is_shown() {
    let shown = format!("{:?} {:?}", data(1, false, b"hush"), open(1, &[("hush", "hush")]));
    assert!(!shown.contains("hush"), "{shown}");
    let mut decoder = Decoder::new(Side::Client);
    decoder.push(&Bytes::from_static(b"hush"));
    assert!(!format!("{decoder:?}").contains("hush"));
}
