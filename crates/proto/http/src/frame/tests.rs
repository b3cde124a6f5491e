//! What is decoded and what is refused, each fed whole, byte by byte, and cut in two at every place; and the same over
//! mutations of all of it.

use super::*;
use crate::fault::Reason;
use crate::message::{Request, Response};
use crate::testkit::Numbers;
use cases::*;
use wire::RawField;

mod cases;

/// Whose bytes a case is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Client,
    /// So many responses are due, each to a HEAD or not.
    Upstream {
        due: usize,
        head: bool,
    },
}

const CLIENT: From = From::Client;
const ONE: From = From::Upstream { due: 1, head: false };
const TO_HEAD: From = From::Upstream { due: 1, head: true };

/// What came of a stream: its items, neighbouring pieces of bodies as one, and the fault that ended it.
#[derive(Debug, PartialEq)]
struct Run {
    items: Vec<Incoming>,
    fault: Option<Fault>,
}

fn run<'a>(from: From, pieces: impl IntoIterator<Item = &'a [u8]>) -> Run {
    let mut feed = Feed::new(from);
    for piece in pieces {
        feed.input.extend_from_slice(piece);
        feed.drain(Decoder::next);
    }
    feed.drain(Decoder::closed);
    Run { items: feed.items, fault: feed.fault }
}

struct Feed {
    decoder: Decoder,
    input: BytesMut,
    items: Vec<Incoming>,
    fault: Option<Fault>,
    due: usize,
    head: bool,
    final_status: bool,
}

impl Feed {
    fn new(from: From) -> Feed {
        let (decoder, due, head) = match from {
            From::Client => (Decoder::client(), 0, false),
            From::Upstream { due, head } => (Decoder::upstream(), due, head),
        };
        let (input, items) = (BytesMut::new(), Vec::new());
        let mut feed = Feed { decoder, input, items, fault: None, due, head, final_status: false };
        feed.answers();
        feed
    }

    fn answers(&mut self) {
        if self.due > 0 {
            self.due -= 1;
            self.decoder.answers(self.head);
        }
    }

    fn drain(&mut self, step: fn(&mut Decoder, &mut BytesMut) -> Result<Incoming, Fault>) {
        while self.fault.is_none() {
            match step(&mut self.decoder, &mut self.input) {
                Ok(Incoming::NeedMore) => return,
                Ok(Incoming::Closed) => {
                    self.items.push(Incoming::Closed);
                    return;
                }
                Ok(item) => self.keep(item),
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    fn keep(&mut self, item: Incoming) {
        match (&item, self.items.last_mut()) {
            (Incoming::Head(head), _) => self.final_status = !head.is_interim(),
            (Incoming::Body(piece), last) => {
                assert!((1..=BODY_PIECE_BYTES_MAX).contains(&piece.len()));
                if let Some(Incoming::Body(before)) = last {
                    *before = [&before[..], &piece[..]].concat().into();
                    return;
                }
            }
            (Incoming::End, _) if self.final_status => self.answers(),
            _ => {}
        }
        self.items.push(item);
    }
}

/// The one answer to `bytes`, however they are cut.
fn every_cut(name: &str, from: From, bytes: &[u8]) -> Run {
    let whole = run(from, [bytes]);
    assert_eq!(run(from, bytes.chunks(1)), whole, "{name}: byte by byte");
    for at in 0..=bytes.len() {
        let (front, back) = bytes.split_at(at);
        assert_eq!(run(from, [front, back]), whole, "{name}: cut at {at}");
    }
    whole
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One word per item.
fn show(item: &Incoming) -> String {
    match item {
        Incoming::Head(head) => {
            let start = match &head.start {
                Start::Request { method, target, minor } => {
                    format!("{} {} {minor}", text(method.as_bytes()), text(target.as_bytes()))
                }
                Start::Response { status, reason, minor } => {
                    format!("{status} {:?} {minor}", text(reason.as_bytes()))
                }
            };
            let keep = if head.keep_alive { "keep" } else { "close" };
            format!("{start} {}h {:?} {keep}", head.headers.len(), head.framing)
        }
        Incoming::Body(piece) => format!("{:?}", text(piece)),
        Incoming::Trailers(trailers) => format!("{}t", trailers.len()),
        Incoming::NeedMore | Incoming::End | Incoming::Closed => format!("{item:?}").to_lowercase(),
    }
}

fn check_accepted(name: &str, from: From, bytes: &[u8], want: &str) {
    let run = every_cut(name, from, bytes);
    assert_eq!(run.fault, None, "{name}");
    let shown: Vec<String> = run.items.iter().map(show).collect();
    assert_eq!(shown.join(" | "), want, "{name}");
    agree_with_httparse(&run);
    survives_encoding(from, &run);
}

fn check_refused(name: &str, from: From, bytes: &[u8], reason: Reason) {
    let side = if from == From::Client { Side::Client } else { Side::Upstream };
    assert_eq!(every_cut(name, from, bytes).fault, Some(reason.on(side)), "{name}");
}

/// A foreign parser, which is more lenient, reads each head that we accept in the same way.
fn agree_with_httparse(run: &Run) {
    for item in &run.items {
        let Incoming::Head(head) = item else { continue };
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let whole = Ok(httparse::Status::Complete(head.raw.len()));
        let fields = match &head.start {
            Start::Request { method, target, minor } => {
                let mut theirs = httparse::Request::new(&mut fields);
                assert_eq!(theirs.parse(&head.raw), whole);
                assert_eq!(theirs.method.map(str::as_bytes), Some(method.as_bytes()));
                assert_eq!(theirs.path.map(str::as_bytes), Some(target.as_bytes()));
                assert_eq!(theirs.version, Some(*minor));
                theirs.headers
            }
            Start::Response { status, minor, .. } => {
                let mut theirs = httparse::Response::new(&mut fields);
                assert_eq!(theirs.parse(&head.raw), whole);
                assert_eq!((theirs.code, theirs.version), (Some(*status), Some(*minor)));
                theirs.headers
            }
        };
        let theirs: Vec<(&[u8], &[u8])> = fields.iter().map(|f| (f.name.as_bytes(), f.value)).collect();
        let ours: Vec<(&[u8], &[u8])> =
            head.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        assert_eq!(ours, theirs);
    }
}

/// What was decoded, written by our encoders, decodes to the same.
fn survives_encoding(from: From, first: &Run) {
    let Some(bytes) = encoded(&first.items) else { return };
    let again = run(from, [&bytes[..]]);
    assert_eq!(again.fault, None, "{}", text(&bytes));
    assert_eq!(again.items.len(), first.items.len(), "{}", text(&bytes));
    for (again, first) in again.items.iter().zip(&first.items) {
        match (again, first) {
            (Incoming::Head(again), Incoming::Head(first)) => {
                assert_eq!((&again.headers, again.framing), (&first.headers, first.framing));
                assert_eq!(again.start, first.start);
            }
            (again, first) => assert_eq!(again, first),
        }
    }
}

/// `None` for a stream of HTTP/1.0: we write 1.1.
fn encoded(items: &[Incoming]) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    let mut framing = Framing::None;
    let mut trailers = Headers::new();
    for item in items {
        match item {
            Incoming::Head(head) => {
                framing = head.framing;
                encode_head(&mut out, head)?;
            }
            Incoming::Body(piece) if framing == Framing::Chunked => encode_chunk(&mut out, piece),
            Incoming::Body(piece) => out.extend_from_slice(piece),
            Incoming::Trailers(fields) => trailers = fields.clone(),
            Incoming::End if framing == Framing::Chunked => {
                encode_last_chunk(&mut out, &std::mem::take(&mut trailers)).unwrap();
            }
            Incoming::End | Incoming::Closed | Incoming::NeedMore => {}
        }
    }
    Some(out)
}

fn encode_head(out: &mut BytesMut, head: &Head) -> Option<()> {
    match &head.start {
        Start::Request { minor: 0, .. } | Start::Response { minor: 0, .. } => return None,
        Start::Request { method, target, .. } => {
            encode_request(out, method.as_bytes(), target.as_bytes(), &head.headers).unwrap();
        }
        Start::Response { status, reason, .. } => {
            encode_response(out, *status, reason.as_bytes(), &head.headers).unwrap();
        }
    }
    Some(())
}

#[test]
fn what_is_accepted_is_read_in_one_way_however_it_is_cut() {
    for (name, from, bytes, want) in ACCEPTED {
        check_accepted(name, *from, bytes.as_bytes(), want);
    }
}

#[test]
fn fields_that_two_readers_could_read_differently_are_refused() {
    for (name, fields, reason) in REFUSED_FIELDS {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        check_refused(name, CLIENT, bytes.as_bytes(), *reason);
        let of_requests = [why::HOST_TWICE, why::LOOKALIKE].contains(reason);
        if !of_requests && *name != "Connection names the coding" {
            let bytes = format!("HTTP/1.1 200 OK\r\nServer: a\r\n{fields}\r\n");
            check_refused(name, ONE, bytes.as_bytes(), *reason);
        }
    }
}

#[test]
fn requests_that_two_readers_could_read_differently_are_refused() {
    for (name, bytes, reason) in REFUSED_REQUESTS {
        check_refused(name, CLIENT, bytes.as_bytes(), *reason);
    }
}

#[test]
fn chunks_that_two_readers_could_cut_differently_are_refused() {
    for (name, body, reason) in REFUSED_CHUNKS {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        check_refused(name, CLIENT, bytes.as_bytes(), *reason);
        let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        check_refused(name, ONE, bytes.as_bytes(), *reason);
    }
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["1;a=b\r\na\r\n", "1;\r\na\r\n", "0;a\r\n\r\n"] {
        check_refused(body, CLIENT, format!("{head}{body}").as_bytes(), why::CHUNK_EXTENSION);
    }
}

#[test]
fn responses_that_two_readers_could_read_differently_are_refused() {
    for (name, from, bytes, reason) in REFUSED_RESPONSES {
        check_refused(name, *from, bytes.as_bytes(), *reason);
    }
}

fn whole(from: From, bytes: &str) -> Run {
    let halves = bytes.as_bytes().split_at(bytes.len() / 2);
    let run_ = run(from, [bytes.as_bytes()]);
    assert_eq!(run(from, [halves.0, halves.1]), run_);
    run_
}

/// A stream with so many of what is limited.
type Make<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn each_limit_holds_at_its_value_and_not_above() {
    let request = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let reply = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let sized = |size: usize| request(&format!("X: {}\r\n", "a".repeat(size - request("X: \r\n").len())));
    let counted = |count: usize| request(&"X: a\r\n".repeat(count - 1));
    let method = |size: usize| request("").replacen("GET", &"A".repeat(size), 1);
    let host = |size: usize| request("").replacen("Host: a", &format!("Host: {}", "a".repeat(size)), 1);
    let extended = |size: usize| reply(&format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(size - 1)));
    let trailed = |size: usize| reply(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(size - 7)));
    let trailers = |count: usize| reply(&format!("0\r\n{}\r\n", "X: a\r\n".repeat(count)));
    let cases: [(From, Make<'_>, usize, Reason); 7] = [
        (CLIENT, &sized, HEAD_BYTES_MAX, why::HEAD_TOO_LARGE),
        (CLIENT, &counted, HEADERS_MAX, why::TOO_MANY_HEADERS),
        (CLIENT, &method, METHOD_BYTES_MAX, why::METHOD),
        (CLIENT, &host, HOST_BYTES_MAX, why::HOST),
        (ONE, &extended, CHUNK_EXTENSION_BYTES_MAX, why::CHUNK_LINE),
        (ONE, &trailed, TRAILER_BYTES_MAX, why::TRAILER_TOO_LARGE),
        (ONE, &trailers, TRAILERS_MAX, why::TOO_MANY_TRAILERS),
    ];
    for (from, make, max, reason) in cases {
        let at = whole(from, &make(max));
        assert_eq!((at.fault, at.items.last()), (None, Some(&Incoming::Closed)), "{reason:?} at its limit");
        let above = whole(from, &make(max + 1)).fault.unwrap();
        assert_eq!(above.outward, reason.outward);
    }
}

#[test]
fn a_head_that_never_ends_is_given_up_while_it_comes() {
    let mut decoder = Decoder::client();
    let mut input = BytesMut::new();
    let fault = loop {
        input.extend_from_slice(b"a");
        match decoder.next(&mut input) {
            Ok(item) => assert_eq!(item, Incoming::NeedMore),
            Err(fault) => break fault,
        }
        // Nothing before this place is looked at again.
        assert_eq!(decoder.scan.at, input.len());
    };
    assert_eq!((input.len(), fault.outward), (HEAD_BYTES_MAX, why::HEAD_TOO_LARGE.outward));
}

#[test]
fn a_declared_length_reserves_nothing() {
    for body in [
        "Content-Length: 9223372036854775807\r\n\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nab",
    ] {
        let mut input = BytesMut::from(format!("POST / HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
        let before = input.capacity();
        let mut decoder = Decoder::client();
        assert!(matches!(decoder.next(&mut input), Ok(Incoming::Head(_))));
        assert_eq!(decoder.next(&mut input), Ok(Incoming::Body(Bytes::from_static(b"ab"))));
        assert_eq!(decoder.next(&mut input), Ok(Incoming::NeedMore));
        assert!(input.capacity() <= before);
    }
}

#[test]
fn a_body_comes_in_pieces() {
    let body = "x".repeat(2 * BODY_PIECE_BYTES_MAX + 1);
    let mut input = BytesMut::from(format!("HTTP/1.1 200 OK\r\n\r\n{body}").as_bytes());
    let mut decoder = Decoder::upstream();
    decoder.answers(false);
    assert!(matches!(decoder.next(&mut input), Ok(Incoming::Head(_))));
    for size in [BODY_PIECE_BYTES_MAX, BODY_PIECE_BYTES_MAX, 1] {
        let Ok(Incoming::Body(piece)) = decoder.next(&mut input) else { panic!("no piece") };
        assert_eq!(piece.len(), size);
    }
    assert_eq!(decoder.next(&mut input), Ok(Incoming::NeedMore));
}

#[test]
fn a_fault_is_given_for_ever() {
    let mut decoder = Decoder::client();
    let fault = decoder.next(&mut BytesMut::from(&b"\n"[..])).unwrap_err();
    let mut good = BytesMut::from(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]);
    assert_eq!(decoder.next(&mut good), Err(fault));
    assert_eq!(decoder.closed(&mut BytesMut::new()), Err(fault));
}

#[test]
fn a_response_that_is_not_over_cannot_be_answered_for() {
    let mut decoder = Decoder::upstream();
    decoder.answers(false);
    decoder.answers(true);
    let fault = decoder.next(&mut BytesMut::new()).unwrap_err();
    assert_eq!(fault, why::ANSWERS_EARLY.on(Side::Gateway));
}

#[test]
fn headers_are_asked_without_regard_to_case() {
    let field = |text: &'static str| RawField::from_static(text.as_bytes());
    let mut headers = Headers::new();
    for (name, value) in [("X-A", "1"), ("b", "2"), ("x-a", "3"), ("CONNECTION", "a,, B ,\tc")] {
        headers.push(field(name), field(value));
    }
    assert_eq!(headers.get("x-A"), Some(&field("1")));
    assert_eq!(headers.all("X-a").collect::<Vec<_>>(), [&field("1"), &field("3")]);
    assert_eq!(headers.connection_tokens().collect::<Vec<_>>(), [b"a", b"B", b"c"]);
    assert_eq!((headers.remove("x-a"), headers.remove("x-a"), headers.len()), (2, 0, 2));
    assert_eq!(headers.iter().next(), Some((&field("b"), &field("2"))));
}

#[test]
fn a_body_is_framed_anew() {
    let field = |text: &'static str| RawField::from_static(text.as_bytes());
    for framing in [Framing::None, Framing::Length(0), Framing::Length(BODY_LENGTH_MAX), Framing::Chunked] {
        let mut headers = Headers::new();
        for (name, value) in [("content-length", "1"), ("X", "1"), ("TRANSFER-ENCODING", "chunked")] {
            headers.push(field(name), field(value));
        }
        headers.set_framing(framing);
        assert_eq!(request_framing(&headers, 1, Side::Gateway), Ok(framing));
        assert!(headers.contains("x"));
    }
    let mut headers = Headers::new();
    headers.set_framing(Framing::UntilClose);
    assert!(headers.is_empty());
}

#[test]
fn nothing_is_encoded_that_would_be_cut_elsewhere() {
    let field = |text: &'static str| RawField::from_static(text.as_bytes());
    let headers = |fields: &[(&'static str, &'static str)]| {
        let mut headers = Headers::new();
        fields.iter().for_each(|(name, value)| headers.push(field(name), field(value)));
        headers
    };
    let host = headers(&[("Host", "a")]);
    let before = BytesMut::from(&b"before"[..]);
    let mut out = before.clone();
    for bad in ["a\r\nX: b", "a\rb", "a\nb", "a\0b"] {
        let value = headers(&[("Host", "a"), ("X", bad)]);
        let name = headers(&[("Host", "a"), (bad, "x")]);
        assert!(encode_request(&mut out, b"GET", b"/", &value).is_err());
        assert!(encode_request(&mut out, b"GET", b"/", &name).is_err());
        assert!(encode_request(&mut out, bad.as_bytes(), b"/", &host).is_err());
        assert!(encode_request(&mut out, b"GET", bad.as_bytes(), &host).is_err());
        assert!(encode_response(&mut out, 200, bad.as_bytes(), &headers(&[])).is_err());
        assert!(encode_response(&mut out, 200, b"OK", &headers(&[("X", bad)])).is_err());
        assert!(encode_last_chunk(&mut out, &headers(&[("X", bad)])).is_err());
    }
    let framings = [("Host", "a"), ("Content-Length", "1"), ("transfer-encoding", "chunked")];
    assert!(encode_request(&mut out, b"GET", b"/", &headers(&framings)).is_err());
    assert!(encode_request(&mut out, b"GET", b"/", &headers(&[])).is_err());
    assert!(encode_request(&mut out, b"GET", b"/", &headers(&[("Host", "a"), ("host", "a")])).is_err());
    assert!(encode_request(&mut out, b"", b"/", &host).is_err());
    assert!(encode_request(&mut out, b"GET", b"/a b", &host).is_err());
    assert!(encode_response(&mut out, 200, b"OK", &headers(&framings)).is_err());
    assert!(encode_response(&mut out, 99, b"OK", &headers(&[])).is_err());
    assert!(encode_response(&mut out, 204, b"", &headers(&[("Content-Length", "1")])).is_err());
    assert!(encode_last_chunk(&mut out, &headers(&[("Content-Length", "1")])).is_err());
    assert_eq!(out, before);
    encode_chunk(&mut out, b"");
    assert_eq!(out, before);
}

#[test]
fn debug_shows_no_byte_of_a_peer() {
    let items = run(
        CLIENT,
        [&b"GET /secret HTTP/1.1\r\nHost: secret\r\nsecret: secret\r\nContent-Length: 6\r\n\r\nsecret"[..]],
    )
    .items;
    assert_eq!(items.len(), 4);
    assert!(!format!("{items:?}").contains("secret"));
}

const WORDS: &[&str] = &[
    "\r\n",
    "\r",
    "\n",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "1",
    "5\r\nabcde\r\n",
    "0\r\n\r\n",
    "\r\n\r\n",
    "chunked",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 3\r\n",
    "Host: b\r\n",
    "Connection: close\r\n",
    "HTTP/1.0",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "+",
    "-",
    "0x",
    "ffffffffffffffff",
];

fn mutate(numbers: &mut Numbers, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = numbers.below(bytes.len() + 1);
    let end = (at + numbers.below(12)).min(bytes.len());
    match numbers.below(6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
        1 => drop(bytes.drain(at..end)),
        2 => {
            let copy = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, copy));
        }
        3 => drop(bytes.splice(at..at, other.iter().copied())),
        4 => bytes.truncate(at),
        _ => drop(bytes.splice(at..at, WORDS[numbers.below(WORDS.len())].bytes())),
    }
}

/// The body of a fuzzer: any bytes, and where to cut them. Nothing panics; no more comes out than went in; the cuts do
/// not matter; what is accepted is read alike by a foreign parser and survives our own encoders.
fn fuzz(from: From, bytes: &[u8], cuts: usize) -> bool {
    let once = run(from, [bytes]);
    let size = bytes.len().div_ceil(cuts.max(1)).max(1);
    assert_eq!(run(from, bytes.chunks(size)), once, "{:?} in pieces of {size}", text(bytes));
    let weight = |item: &Incoming| match item {
        Incoming::Head(head) => head.raw.len(),
        Incoming::Body(piece) => piece.len(),
        _ => 0,
    };
    assert!(once.items.iter().map(weight).sum::<usize>() <= bytes.len());
    agree_with_httparse(&once);
    once.items.iter().for_each(understood);
    if once.fault.is_none() {
        survives_encoding(from, &once);
    }
    once.fault.is_none()
}

/// Whatever was framed is understood or refused, and is on one side only.
fn understood(item: &Incoming) {
    let Incoming::Head(head) = item else { return };
    let (request, response) = (Request::new(head.clone()), Response::new(head.clone()));
    match &head.start {
        Start::Request { .. } => assert_eq!(response.unwrap_err().side, Side::Gateway),
        Start::Response { .. } => assert_eq!(request.unwrap_err().side, Side::Gateway),
    }
}

fn corpus() -> Vec<(From, String)> {
    let accepted = ACCEPTED.iter().map(|(_, from, bytes, _)| (*from, (*bytes).to_owned()));
    let requests = REFUSED_REQUESTS.iter().map(|(_, bytes, _)| (CLIENT, (*bytes).to_owned()));
    let responses = REFUSED_RESPONSES.iter().map(|(_, from, bytes, _)| (*from, (*bytes).to_owned()));
    let fields =
        REFUSED_FIELDS.iter().map(|(_, f, _)| (CLIENT, format!("GET / HTTP/1.1\r\nHost: a\r\n{f}\r\n")));
    let chunks = REFUSED_CHUNKS
        .iter()
        .map(|(_, body, _)| (ONE, format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")));
    accepted.chain(requests).chain(responses).chain(fields).chain(chunks).collect()
}

#[test]
fn mutations_never_panic_nor_depend_on_cuts() {
    let corpus = corpus();
    let mut numbers = Numbers::new(0x7ac0_9a9f);
    let mut accepted = 0;
    for _ in 0..200_000 {
        let (from, seed) = &corpus[numbers.below(corpus.len())];
        let other = &corpus[numbers.below(corpus.len())].1;
        let mut bytes = seed.clone().into_bytes();
        for _ in 0..=numbers.below(3) {
            mutate(&mut numbers, &mut bytes, other.as_bytes());
        }
        let cuts = numbers.below(bytes.len() + 1);
        accepted += usize::from(fuzz(*from, &bytes, cuts));
    }
    // A fuzzer that only sees faults, or none, looks at nothing.
    assert!((5_000..150_000).contains(&accepted), "{accepted} of 200000 accepted");
}
