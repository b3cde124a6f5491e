//! The fuzz body, a plain function, over a corpus and 200,000 mutations of it.

use crate::dice::{Dice, REPLY_KINDS, REQUEST_KINDS};
use crate::pair::{options, request_frame};
use bytes::{Bytes, BytesMut};
use proto_ssh::limits::LOOKAHEAD_BYTES_MAX;
use proto_ssh::path::{Canonical, Path, shown};
use proto_ssh::scp::session::{FromSource, Session as Scp};
use proto_ssh::scp::{Command, Word};
use proto_ssh::sftp::frame::{Decoder, Frame};
use proto_ssh::sftp::message::*;
use proto_ssh::sftp::reply::form;
use proto_ssh::sftp::session::{Event, Session, Step};
use wire::RawField;

/// Anything at all, as anything at all. Nothing may panic; what is accepted must be what was written.
fn body(input: &[u8]) {
    for decoder in [Decoder::client(), Decoder::upstream()] {
        frames(decoder, input);
    }
    session(input);
    paths(input);
    scp(input);
    let _ = form(input);
}

fn frames(mut decoder: Decoder, input: &[u8]) {
    let mut buffer = BytesMut::from(input);
    let capacity = buffer.capacity();
    let mut again = BytesMut::new();
    while let Ok(Some(frame)) = decoder.next(&mut buffer) {
        let mut message = BytesMut::new();
        let mut whole = BytesMut::new();
        frame.encode(&mut whole).unwrap();
        if let Ok(FromClient::Request { id, request }) = FromClient::decode(&frame) {
            request.encode(id, &mut message).unwrap();
            assert_eq!(message, whole);
            message.clear();
        }
        if let Ok(FromUpstream::Reply { id, reply }) = FromUpstream::decode(&frame) {
            reply.encode(id, &mut message).unwrap();
            assert_eq!(message, whole);
            for field in reply.fields() {
                let mut same = reply.clone();
                same.replace(field.place, field.bytes).unwrap();
                assert_eq!(same, reply);
            }
        }
        again.extend_from_slice(&whole);
    }
    // The packets and what is left are the input, byte for byte: no border was lost.
    again.extend_from_slice(&buffer);
    assert_eq!(&again[..], input);
    assert!(buffer.capacity() <= 2 * capacity + LOOKAHEAD_BYTES_MAX);
}

/// One input as both sides' packets, each side's in turn.
fn session(input: &[u8]) {
    let mut session = Session::new(options());
    for frame in [&b"\0\0\0\x05\x01\0\0\0\x03"[..], input] {
        let mut decoder = Decoder::client();
        let mut buffer = BytesMut::from(frame);
        while let Ok(Some(frame)) = decoder.next(&mut buffer) {
            let Ok(step) = session.on_client(&frame) else { break };
            if let Step::Ask(asked) = step {
                for touch in &asked.action().touches {
                    canonical(&touch.path.canonical);
                }
                let _ = session.sent(*asked);
            }
            if session.outstanding() == 0 && session.home().is_none() {
                greet(&mut session);
            }
        }
        let mut decoder = Decoder::upstream();
        let mut buffer = BytesMut::from(input);
        while let Ok(Some(frame)) = decoder.next(&mut buffer) {
            if let Ok(Event::Answer(answer)) = session.on_upstream(&frame) {
                answer.encode(&mut BytesMut::new()).unwrap();
            }
        }
    }
}

fn greet(session: &mut Session) {
    let version = b"\0\0\0\x03\0\0\0\x09copy-data\0\0\0\x011";
    let _ = session.on_upstream(&Frame { tag: 2, body: Bytes::from_static(version) });
    let home = b"\0\0\0\0\0\0\0\x01\0\0\0\x02/h\0\0\0\0\0\0\0\0";
    let _ = session.on_upstream(&Frame { tag: 104, body: Bytes::from_static(home) });
}

fn canonical(path: &Canonical) {
    let bytes = path.as_bytes();
    assert_eq!(bytes.first(), Some(&b'/'));
    assert!(!bytes.contains(&0) && (bytes == b"/" || bytes.last() != Some(&b'/')));
    assert!(path.names().all(|name| !matches!(name, b"." | b"..")));
    assert_eq!(Canonical::read(bytes).as_ref(), Ok(path), "once is enough");
}

fn paths(input: &[u8]) {
    let home = Canonical::read(b"/h/u").unwrap();
    if let Ok(path) = Path::read(&RawField::copy_from(input), Some(&home)) {
        canonical(&path.canonical);
    }
    let text = shown(input);
    assert!(!text.chars().any(char::is_control));
    assert_eq!(unshown(&text), input, "without loss");
    let words: Vec<Word> = input.split(|b| *b == b' ').map(Word::pattern).collect();
    let literals: Vec<Word> = input.split(|b| *b == b' ').map(Word::literal).collect();
    for words in [words, literals] {
        if let Some(command) = Command::read(&words) {
            let _ = Scp::new(&command, Some(&home));
        }
    }
}

/// What `shown` was made of.
fn unshown(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = text;
    while let Some(c) = left.chars().next() {
        left = &left[c.len_utf8()..];
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        if let Some(rest) = left.strip_prefix('\\') {
            bytes.push(b'\\');
            left = rest;
        } else if let Some(rest) = left.strip_prefix("u{") {
            let (hex, rest) = rest.split_once('}').unwrap();
            let c = char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap();
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            left = rest;
        } else {
            bytes.push(u8::from_str_radix(&left[1..3], 16).unwrap());
            left = &left[3..];
        }
    }
    bytes
}

/// The input as a source, with a sink that takes everything.
fn scp(input: &[u8]) {
    for line in ["-r -p -t /target", "-r -p -f a* dir", "-t -d ."] {
        let words: Vec<Word> = line
            .split(' ')
            .map(|w| Word { text: RawField::copy_from(w.as_bytes()), pattern: w.contains('*') })
            .collect();
        let Some(command) = Command::read(&words) else { panic!("{line}") };
        let mut session = Scp::new(&command, Some(&Canonical::root())).unwrap();
        let mut source = BytesMut::from(input);
        let mut taken = Vec::new();
        loop {
            let mut ack = BytesMut::from(&b"\0"[..]);
            let acked = session.on_sink(&mut ack).unwrap().is_some();
            match session.on_source(&mut source) {
                Ok(Some(FromSource::Line { touches, held, .. })) => {
                    touches.iter().for_each(|touch| canonical(&touch.path.canonical));
                    taken.extend_from_slice(held.as_bytes());
                }
                Ok(Some(FromSource::Content(content))) => taken.extend_from_slice(content.bytes.as_bytes()),
                Ok(Some(FromSource::Conclusion { held, .. })) => taken.extend_from_slice(held.as_bytes()),
                Ok(None) if acked => {}
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(fault.side, session.source());
                    return;
                }
            }
        }
        taken.extend_from_slice(&source);
        assert_eq!(taken, input, "no byte is lost");
    }
}

fn corpus(dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for kind in 0..REQUEST_KINDS {
        let mut wire = BytesMut::new();
        (0..3).for_each(|id| dice.request(kind).encode(id, &mut wire).unwrap());
        corpus.push(wire.to_vec());
    }
    for kind in 0..REPLY_KINDS {
        let mut wire = BytesMut::new();
        (0..3).for_each(|id| dice.reply(kind).encode(id, &mut wire).unwrap());
        corpus.push(wire.to_vec());
    }
    let open =
        Request::Open { path: RawField::from_static(b"/a"), flags: OpenFlags(3), attrs: Default::default() };
    corpus.push([&[0, 0, 0, 11, 3][..], &request_frame(0, &open).body].concat());
    for text in [
        &b"\0\0\0\x05\x01\0\0\0\x03"[..],
        b"T1 0 2 0\nC0644 5 a.txt\nhello\0C0644 0 abc\n\0",
        b"D0755 0 dir\nT1 0 2 0\nD0755 0 sub\nC0644 3 x\nabc\0E\nE\n",
        b"\x01scp: a: No such file\nC0600 1 a\nx\x01bad\n\x02lost\n",
        b"/a/./b/../../c//d/\xff\xfe\\\n",
        b"-t -- path",
        b"-r -p -f -- dir/a* b",
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
            3 if at < input.len() => {
                input[at] = *dice.pick(&[0, 1, 2, 4, 0x7f, 0x80, 0xff, b'/', b'.', b'\\', b'\n'])
            }
            4 if at < input.len() => input[at] ^= 1 << dice.below(8),
            5 if at + 4 <= input.len() => {
                let length = *dice.pick(&[0u32, 1, 3, 4, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x4_0000]);
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
    let mut dice = Dice::new(0x7ac0);
    let corpus = corpus(&mut dice);
    corpus.iter().for_each(|input| body(input));
    for _ in 0..200_000 {
        let input = mutate(&mut dice, &corpus);
        body(&input);
    }
}
