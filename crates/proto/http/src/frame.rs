//! Bytes <-> heads, pieces of bodies and trailers. Spec: RFC 9112, 2 "Message", 6 "Message Body", 7 "Transfer Codings".
//!
//! Every message comes as `Head, Body*, Trailers?, End`, interim (1xx) responses too. Strict where the specification
//! lets a recipient be lenient, since upstream may be lenient in another way: the reasons are in
//! [`fault`](crate::fault). A fault is final: the decoder gives it again for ever.

use crate::fault::{self as why, Reason};
use crate::head::{
    check_host, fields, is_method, is_target, is_token, reads_as, request_framing, response_framing,
};
use crate::limits::*;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;
use wire::{Fault, Side, Writer, kind};

pub use crate::head::{Framing, Head, Headers, Start};

/// Decodes one direction of one connection.
#[derive(Debug)]
pub struct Decoder {
    side: Side,
    state: State,
    scan: Scan,
    /// An empty line before a request was dropped; a second is refused. RFC 9112, 2.2.
    dropped_line: bool,
    /// Upstream: the response that is due, and whether it answers a HEAD.
    due: Option<bool>,
}

/// What is taken off the input, one at a time.
#[derive(Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Nothing yet: read more.
    NeedMore,
    Head(Head),
    /// A piece of the body, as it came and decoded from chunks; not empty, at most [`BODY_PIECE_BYTES_MAX`].
    Body(Bytes),
    /// Fields behind the last chunk; not given if there are none.
    Trailers(Headers),
    /// The message is over.
    End,
    /// The peer closed between messages.
    Closed,
}

/// What comes next on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkLine,
    ChunkData(u64),
    /// The CRLF behind a chunk's data.
    ChunkEnd,
    Trailers,
    End,
    Failed(Fault),
}

impl Decoder {
    /// Decodes requests. Its faults are the client's.
    pub fn client() -> Decoder {
        Decoder::new(Side::Client)
    }

    /// Decodes responses. Its faults are upstream's. Call [`Decoder::answers`] before each.
    pub fn upstream() -> Decoder {
        Decoder::new(Side::Upstream)
    }

    fn new(side: Side) -> Decoder {
        Decoder { side, state: State::Head, scan: Scan::default(), dropped_line: false, due: None }
    }

    /// A request was sent: the next response answers it, after any number of interim ones. A response that is not due
    /// is refused from its first byte. `head_request`: it was a HEAD, whose response has no body.
    ///
    /// Called while a response is due or under way, it fails the decoder (side: gateway).
    pub fn answers(&mut self, head_request: bool) {
        match (self.state, self.due) {
            (State::Failed(_), _) => {}
            (State::Head, None) => self.due = Some(head_request),
            _ => self.state = State::Failed(why::ANSWERS_EARLY.on(Side::Gateway)),
        }
    }

    /// Takes at most one item off `input`. Reserves nothing; each byte of a head is looked at twice at most, however
    /// it arrives. Errors: every reason up to "Framing of bodies" in [`fault`](crate::fault), on this decoder's side.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Incoming, Fault> {
        self.step(input).inspect_err(|fault| self.state = State::Failed(*fault))
    }

    /// The peer closed; call until it gives [`Incoming::Closed`]. Ends a body that is delimited by close.
    /// Errors: those of [`Decoder::next`]; `TRUNCATED` inside a message or where a response is due.
    pub fn closed(&mut self, input: &mut BytesMut) -> Result<Incoming, Fault> {
        match self.next(input)? {
            Incoming::NeedMore => {}
            item => return Ok(item),
        }
        let reason = match (self.state, self.due) {
            (State::UntilClose, _) => return Ok(self.end()),
            (State::Head, None) if input.is_empty() => return Ok(Incoming::Closed),
            (State::Head, Some(_)) if input.is_empty() => why::UNANSWERED,
            _ => why::UNFINISHED,
        };
        let fault = reason.on(self.side);
        self.state = State::Failed(fault);
        Err(fault)
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Incoming, Fault> {
        loop {
            match self.state {
                State::Head => return self.head(input),
                State::Length(0) => self.state = State::End,
                State::Length(left) => return Ok(self.piece(input, left, State::Length)),
                State::UntilClose => return Ok(self.piece(input, u64::MAX, |_| State::UntilClose)),
                State::ChunkLine => match self.chunk_line(input)? {
                    Some(next) => self.state = next,
                    None => return Ok(Incoming::NeedMore),
                },
                State::ChunkData(0) => self.state = State::ChunkEnd,
                State::ChunkData(left) => return Ok(self.piece(input, left, State::ChunkData)),
                State::ChunkEnd => {
                    if !self.chunk_end(input)? {
                        return Ok(Incoming::NeedMore);
                    }
                    self.state = State::ChunkLine;
                }
                State::Trailers => match self.trailers(input)? {
                    None => return Ok(Incoming::NeedMore),
                    Some(trailers) => {
                        self.state = State::End;
                        if !trailers.is_empty() {
                            return Ok(Incoming::Trailers(trailers));
                        }
                    }
                },
                State::End => return Ok(self.end()),
                State::Failed(fault) => return Err(fault),
            }
        }
    }

    fn end(&mut self) -> Incoming {
        self.state = State::Head;
        Incoming::End
    }

    fn head(&mut self, input: &mut BytesMut) -> Result<Incoming, Fault> {
        if self.side == Side::Upstream && self.due.is_none() && !input.is_empty() {
            return Err(why::UNASKED.on(self.side));
        }
        loop {
            let Some(line) = self.scan.line(input, HEAD_BYTES_MAX, why::HEAD_TOO_LARGE, self.side)? else {
                return Ok(Incoming::NeedMore);
            };
            if !line.empty {
                // The first line is not a field.
                self.scan.at_most(HEADERS_MAX + 1, why::TOO_MANY_HEADERS, self.side)?;
            } else if !line.first {
                let raw = self.scan.take(input);
                return self.whole_head(raw);
            } else if self.side != Side::Client || self.dropped_line {
                return Err(why::EMPTY_LINE.on(self.side));
            } else {
                self.dropped_line = true;
                self.scan.take(input);
            }
        }
    }

    fn whole_head(&mut self, raw: Bytes) -> Result<Incoming, Fault> {
        self.dropped_line = false;
        let head = match self.due {
            Some(to_head) => Head::response(raw, to_head)?,
            None => Head::request(raw)?,
        };
        if !head.is_interim() {
            self.due = None;
        }
        self.state = match head.framing {
            // What follows would be another protocol. The head is given, so that it can be recorded.
            _ if head.status() == 101 => State::Failed(why::SWITCHED.on(self.side)),
            Framing::None => State::End,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine,
            Framing::UntilClose => State::UntilClose,
        };
        Ok(Incoming::Head(head))
    }

    fn piece(&mut self, input: &mut BytesMut, left: u64, next: fn(u64) -> State) -> Incoming {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let size = input.len().min(wanted).min(BODY_PIECE_BYTES_MAX);
        if size == 0 {
            return Incoming::NeedMore;
        }
        // `size` is at most `left`.
        self.state = next(left - size as u64);
        Incoming::Body(input.split_to(size).freeze())
    }

    /// RFC 9112, 7.1: `chunk-size [ chunk-ext ] CRLF`.
    fn chunk_line(&mut self, input: &mut BytesMut) -> Result<Option<State>, Fault> {
        let max = CHUNK_LINE_BYTES_MAX + CRLF.len();
        if self.scan.line(input, max, why::CHUNK_LINE, self.side)?.is_none() {
            return Ok(None);
        }
        let line = self.scan.take(input);
        let line = line.strip_suffix(CRLF).unwrap_or(&line);
        let size = chunk_size(line, self.side).map_err(|reason| reason.on(self.side))?;
        Ok(Some(if size == 0 { State::Trailers } else { State::ChunkData(size) }))
    }

    /// Takes the CRLF; `false` if it has not come.
    fn chunk_end(&mut self, input: &mut BytesMut) -> Result<bool, Fault> {
        match input.as_ref() {
            [] | [b'\r'] => Ok(false),
            [b'\r', b'\n', ..] => {
                input.advance(CRLF.len());
                Ok(true)
            }
            _ => Err(why::CHUNK_END.on(self.side)),
        }
    }

    fn trailers(&mut self, input: &mut BytesMut) -> Result<Option<Headers>, Fault> {
        loop {
            let found = self.scan.line(input, TRAILER_BYTES_MAX, why::TRAILER_TOO_LARGE, self.side)?;
            match found {
                None => return Ok(None),
                Some(line) if line.empty => break,
                Some(_) => self.scan.at_most(TRAILERS_MAX, why::TOO_MANY_TRAILERS, self.side)?,
            }
        }
        let section = self.scan.take(input);
        let trailers = fields(section, self.side)?;
        check_trailers(&trailers, self.side)?;
        Ok(Some(trailers))
    }
}

/// Bodies and heads are a peer's bytes: lengths only.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incoming::NeedMore => f.write_str("NeedMore"),
            Incoming::Head(head) => head.fmt(f),
            Incoming::Body(piece) => write!(f, "Body({} bytes)", piece.len()),
            Incoming::Trailers(trailers) => write!(f, "Trailers({trailers:?})"),
            Incoming::End => f.write_str("End"),
            Incoming::Closed => f.write_str("Closed"),
        }
    }
}

const CRLF: &[u8] = b"\r\n";

/// How far the front of the input was read for lines. Bytes are looked at in order, once, and the first thing wrong is
/// the fault: the answer cannot depend on how the bytes were cut into reads.
#[derive(Debug, Default)]
struct Scan {
    /// Bytes looked at.
    at: usize,
    /// Where the current line begins.
    begin: usize,
    /// Lines ended.
    lines: usize,
}

struct Line {
    empty: bool,
    first: bool,
}

impl Scan {
    /// Reads on to the end of a line, which stays in the input, or says by `None` that it has not come. With the lines
    /// before it, it is at most `max` bytes; `large` is the fault otherwise.
    fn line(&mut self, input: &[u8], max: usize, large: Reason, side: Side) -> Result<Option<Line>, Fault> {
        let seen = input.get(..max).unwrap_or(input);
        let unread = seen.get(self.at..).unwrap_or_default();
        self.at += unread.iter().position(|b| is_control(*b)).unwrap_or(unread.len());
        let reason = match seen.get(self.at..).unwrap_or_default() {
            [b'\r', b'\n', ..] => return Ok(Some(self.end_line())),
            [b'\r'] | [] if seen.len() < max => return Ok(None),
            [b'\r'] | [] => large,
            [b'\r', ..] => why::BARE_CR,
            [b'\n', ..] => why::BARE_LF,
            [_, ..] => why::CONTROL,
        };
        Err(reason.on(side))
    }

    fn end_line(&mut self) -> Line {
        let line = Line { empty: self.at == self.begin, first: self.lines == 0 };
        self.at += CRLF.len();
        self.begin = self.at;
        self.lines += 1;
        line
    }

    fn at_most(&self, lines: usize, many: Reason, side: Side) -> Result<(), Fault> {
        if self.lines <= lines { Ok(()) } else { Err(many.on(side)) }
    }

    /// Takes the lines off the input and begins anew.
    fn take(&mut self, input: &mut BytesMut) -> Bytes {
        let read = std::mem::take(self).at;
        input.split_to(read.min(input.len())).freeze()
    }
}

/// Every control byte but HTAB.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

fn chunk_size(line: &[u8], side: Side) -> Result<u64, Reason> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, behind) = line.split_at(digits);
    match behind.first() {
        None => {}
        Some(b';') if side == Side::Upstream => {}
        Some(b';') => return Err(why::CHUNK_EXTENSION),
        Some(_) => return Err(why::CHUNK_SIZE),
    }
    if behind.len() > CHUNK_EXTENSION_BYTES_MAX {
        return Err(why::CHUNK_LINE);
    }
    if size.is_empty() || size.len() > CHUNK_SIZE_DIGITS_MAX {
        return Err(why::CHUNK_SIZE);
    }
    // At most 16 digits of 4 bits.
    let value = size.iter().fold(0u64, |sum, digit| sum << 4 | u64::from(hex(*digit)));
    if value <= BODY_LENGTH_MAX { Ok(value) } else { Err(why::CHUNK_SIZE) }
}

/// The value of a hexadecimal digit; callers have checked that it is one.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// Names that a trailer may not have: framing, routing, conditions, authentication, control of responses, and what the
/// body is. RFC 9110, 6.5.1.
const HEAD_ONLY: &[&str] = &[
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

fn check_trailers(trailers: &Headers, side: Side) -> Result<(), Fault> {
    let head_only = |name: &[u8]| HEAD_ONLY.iter().any(|other| reads_as(name, other));
    if trailers.iter().any(|(name, _)| head_only(name.as_bytes())) {
        return Err(why::TRAILER_NAME.on(side));
    }
    Ok(())
}

/// Appends a request head, as HTTP/1.1. The fields go out as they are, and must be such as our own decoder accepts: one
/// Host, one framing. On `Err` (side: gateway) `out` is as it was.
pub fn encode_request(
    out: &mut BytesMut,
    method: &[u8],
    target: &[u8],
    headers: &Headers,
) -> Result<(), Fault> {
    check_host(headers, 1, Side::Gateway)?;
    request_framing(headers, 1, Side::Gateway)?;
    let mut w = Writer::new(out, "request head");
    if !is_method(method) || !is_target(target) {
        w.fail(kind::BAD_VALUE, "a method or target cannot be sent");
    }
    w.bytes(method);
    w.bytes(b" ");
    w.bytes(target);
    w.bytes(b" HTTP/1.1\r\n");
    write_fields(&mut w, headers);
    w.finish()
}

/// Appends a response head, as HTTP/1.1. Errors as [`encode_request`]; a status outside of 100 to 599 is one.
pub fn encode_response(
    out: &mut BytesMut,
    status: u16,
    reason: &[u8],
    headers: &Headers,
) -> Result<(), Fault> {
    response_framing(headers, status, 1, false, Side::Gateway)?;
    let mut w = Writer::new(out, "response head");
    if !(100..=599).contains(&status) || reason.iter().any(|b| is_control(*b)) {
        w.fail(kind::BAD_VALUE, "a status or reason cannot be sent");
    }
    w.bytes(b"HTTP/1.1 ");
    w.bytes(status.to_string().as_bytes());
    w.bytes(b" ");
    w.bytes(reason);
    w.bytes(CRLF);
    write_fields(&mut w, headers);
    w.finish()
}

/// Appends one chunk. An empty piece writes nothing: an empty chunk would end the body.
pub fn encode_chunk(out: &mut BytesMut, piece: &[u8]) {
    if piece.is_empty() {
        return;
    }
    out.put_slice(format!("{:x}\r\n", piece.len()).as_bytes());
    out.put_slice(piece);
    out.put_slice(CRLF);
}

/// Appends the last chunk and the trailers. Errors as [`encode_request`]; a name that only a head may have is one.
pub fn encode_last_chunk(out: &mut BytesMut, trailers: &Headers) -> Result<(), Fault> {
    check_trailers(trailers, Side::Gateway)?;
    let mut w = Writer::new(out, "trailers");
    w.bytes(b"0\r\n");
    write_fields(&mut w, trailers);
    w.finish()
}

/// The fields and the empty line. A name that is no token or a value with a control byte fails the message.
fn write_fields(w: &mut Writer<'_>, headers: &Headers) {
    for (name, value) in headers.iter() {
        if !is_token(name.as_bytes()) || value.as_bytes().iter().any(|b| is_control(*b)) {
            w.fail(kind::BAD_VALUE, "a header cannot be sent");
        }
        w.bytes(name.as_bytes());
        w.bytes(b": ");
        w.bytes(value.as_bytes());
        w.bytes(CRLF);
    }
    w.bytes(CRLF);
}

#[cfg(test)]
mod tests;
