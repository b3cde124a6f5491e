//! Bytes <-> frames. Spec: PostgreSQL 18, 54.2.1 "Messaging Overview": one byte of type, four of length (which
//! counts itself and not the type), then the body. **The declared length is law**: the next message begins where
//! this one's length says, and a message whose fields disagree with its length is refused by [`message`](crate::message).
//!
//! Startup packets have no type byte: see [`startup`](crate::startup).

use crate::limits::*;
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;
use wire::{Fault, Side, Writer, kind};

/// One message: its type byte and its body, which shares memory with the buffer that it was read from.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub tag: u8,
    pub body: Bytes,
}

impl Frame {
    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Appends the frame as it stands on the wire. Errors: a body of 2 GiB (side: gateway).
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Fault> {
        write(out, self.tag, "frame", |w| w.bytes(&self.body))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", char::from(self.tag), self.body.len())
    }
}

/// Where a connection stands, as far as limits are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until AuthenticationOk: few types, small bodies.
    Authentication,
    Open,
}

/// Cuts one side's bytes into frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    side: Side,
    phase: Phase,
    /// A message that is dropped as it comes, and bytes of it that have not come.
    skipping: Option<(Skipped, usize)>,
}

/// A Query, Parse or Bind above its limit: counted and dropped, so that it can be refused like any other statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub tag: u8,
    /// Bytes of its body.
    pub bytes: u32,
}

/// What a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    Frame(Frame),
    Skipped(Skipped),
}

impl Decoder {
    /// For what the client sends after its startup packet.
    pub fn client() -> Decoder {
        Decoder { side: Side::Client, phase: Phase::Authentication, skipping: None }
    }

    /// For what upstream sends.
    pub fn upstream() -> Decoder {
        Decoder { side: Side::Upstream, phase: Phase::Authentication, skipping: None }
    }

    /// Call when AuthenticationOk was sent to the client, or came from upstream. Until then only the messages of
    /// authentication are frames, and their limits are small.
    pub fn authenticated(&mut self) {
        self.phase = Phase::Open;
    }

    /// Takes the next frame off `buffer`, or says by `None` that it is not there yet; then it has made room for at
    /// most [`LOOKAHEAD_BYTES_MAX`] more. A frame shares the buffer's memory.
    ///
    /// Errors, all on this decoder's side, all before the body has arrived: `UNKNOWN_MESSAGE` (a type that this
    /// side has not, or not in this phase), `BAD_LENGTH` (below 4), `TOO_LARGE`.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Fault> {
        let Some((&[tag, a, b, c, d], _)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
            // A type byte alone is enough to refuse.
            return buffer.first().map_or(Ok(None), |&tag| self.body_max(tag).map(|_| None));
        };
        let body = self.body_len(tag, u32::from_be_bytes([a, b, c, d]))?;
        let Some(missing) = (HEADER_BYTES + body).checked_sub(buffer.len()).filter(|missing| *missing > 0)
        else {
            buffer.advance(HEADER_BYTES);
            return Ok(Some(Frame { tag, body: buffer.split_to(body).freeze() }));
        };
        make_room(buffer, missing);
        Ok(None)
    }

    /// As [`Decoder::next`], of a client: a Query, Parse or Bind above its limit is no error, but dropped as it comes and
    /// given as [`Skipped`] once it is over. Above [`SKIPPED_BYTES_MAX`] it is an error.
    pub fn next_or_skipped(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, Fault> {
        if self.skipping.is_none() {
            self.skipping = self.begins_skipped(buffer);
            if self.skipping.is_none() {
                return Ok(self.next(buffer)?.map(Incoming::Frame));
            }
            buffer.advance(HEADER_BYTES);
        }
        let Some((skipped, left)) = &mut self.skipping else { return Ok(None) };
        let come = buffer.len().min(*left);
        buffer.advance(come);
        *left -= come;
        let over = (*left == 0).then_some(Incoming::Skipped(*skipped));
        if over.is_some() {
            self.skipping = None;
        }
        Ok(over)
    }

    /// Whether what comes next is the rest of a message that is dropped.
    pub fn is_skipping(&self) -> bool {
        self.skipping.is_some()
    }

    fn begins_skipped(&self, buffer: &[u8]) -> Option<(Skipped, usize)> {
        let &[tag, a, b, c, d] = buffer.first_chunk::<HEADER_BYTES>()?;
        let bytes = u32::from_be_bytes([a, b, c, d]).checked_sub(4)?;
        let body = usize::try_from(bytes).ok()?;
        let may_be = matches!(tag, tag::QUERY | tag::PARSE | tag::BIND) && self.phase == Phase::Open;
        let max = client_max(tag).filter(|_| may_be && self.side == Side::Client)?;
        (body > max && body <= SKIPPED_BYTES_MAX).then_some((Skipped { tag, bytes }, body))
    }

    fn body_len(&self, tag: u8, declared: u32) -> Result<usize, Fault> {
        let max = self.body_max(tag)?;
        let body = declared.checked_sub(4).ok_or_else(|| {
            Fault::new(self.side, kind::BAD_LENGTH, "invalid message length", "a length below 4")
        })?;
        match usize::try_from(body) {
            Ok(body) if body <= max => Ok(body),
            // The sign bit: no implementation of the protocol sends it.
            _ if declared > i32::MAX as u32 => {
                Err(Fault::new(self.side, kind::BAD_LENGTH, "invalid message length", "a negative length"))
            }
            _ => Err(Fault::new(
                self.side,
                kind::TOO_LARGE,
                "message is larger than the gateway accepts",
                too_large(tag, self.side),
            )),
        }
    }

    fn body_max(&self, tag: u8) -> Result<usize, Fault> {
        let max = match (self.side, self.phase) {
            (Side::Client, Phase::Authentication) => (tag == tag::PASSWORD).then_some(PASSWORD_BYTES_MAX),
            (Side::Client, Phase::Open) => client_max(tag),
            (_, Phase::Authentication) => greeting_max(tag),
            (_, Phase::Open) => upstream_max(tag),
        };
        max.ok_or_else(|| {
            Fault::new(
                self.side,
                kind::UNKNOWN_MESSAGE,
                "unknown message type, or not allowed at this point",
                "frame",
            )
        })
    }
}

/// Grows a buffer that is nearly full, by at most [`LOOKAHEAD_BYTES_MAX`] (and by as much as it holds, since it
/// doubles). One that has room is left alone: to reserve at each call would keep a mebibyte ahead for ever.
fn make_room(buffer: &mut BytesMut, missing: usize) {
    let ahead = missing.min(LOOKAHEAD_BYTES_MAX);
    if buffer.capacity() - buffer.len() < ahead.min(READ_BYTES_MIN) {
        buffer.reserve(ahead);
    }
}

/// Bytes of a frame before its body.
pub const HEADER_BYTES: usize = 5;

/// Types of messages. Where both directions use a letter, the names differ.
pub mod tag {
    pub const BIND: u8 = b'B';
    pub const CLOSE: u8 = b'C';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const FLUSH: u8 = b'H';
    pub const FUNCTION_CALL: u8 = b'F';
    pub const PARSE: u8 = b'P';
    pub const PASSWORD: u8 = b'p';
    pub const QUERY: u8 = b'Q';
    pub const SYNC: u8 = b'S';
    pub const TERMINATE: u8 = b'X';

    pub const AUTHENTICATION: u8 = b'R';
    pub const BACKEND_KEY_DATA: u8 = b'K';
    pub const BIND_COMPLETE: u8 = b'2';
    pub const CLOSE_COMPLETE: u8 = b'3';
    pub const COMMAND_COMPLETE: u8 = b'C';
    pub const COPY_BOTH: u8 = b'W';
    pub const COPY_IN: u8 = b'G';
    pub const COPY_OUT: u8 = b'H';
    pub const DATA_ROW: u8 = b'D';
    pub const EMPTY_QUERY: u8 = b'I';
    pub const ERROR: u8 = b'E';
    pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
    pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    pub const NO_DATA: u8 = b'n';
    pub const NOTICE: u8 = b'N';
    pub const NOTIFICATION: u8 = b'A';
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    pub const PARAMETER_STATUS: u8 = b'S';
    pub const PARSE_COMPLETE: u8 = b'1';
    pub const PORTAL_SUSPENDED: u8 = b's';
    pub const READY_FOR_QUERY: u8 = b'Z';
    pub const ROW_DESCRIPTION: u8 = b'T';
}

/// Writes one frame: type, length, and what `body` writes. On `Err`, `out` is as it was.
pub(crate) fn write(
    out: &mut BytesMut,
    tag: u8,
    what: &'static str,
    body: impl FnOnce(&mut Writer<'_>),
) -> Result<(), Fault> {
    let mut w = Writer::new(out, what);
    w.u8(tag);
    let length = w.mark();
    body(&mut w);
    w.fill(length);
    w.finish()
}

/// Largest body of each client message; `None` for a type that clients do not have.
fn client_max(tag: u8) -> Option<usize> {
    match tag {
        tag::QUERY | tag::PARSE | tag::FUNCTION_CALL => Some(HELD_FRAME_BYTES_MAX),
        tag::BIND => Some(BIND_FRAME_BYTES_MAX),
        tag::COPY_DATA => Some(COPY_FRAME_BYTES_MAX),
        tag::CLOSE | tag::DESCRIBE | tag::EXECUTE | tag::COPY_FAIL => Some(SMALL_FRAME_BYTES_MAX),
        tag::COPY_DONE | tag::FLUSH | tag::SYNC | tag::TERMINATE => Some(0),
        // A password after authentication, and everything that is no type at all.
        _ => None,
    }
}

/// Largest body of each upstream message before AuthenticationOk was seen.
fn greeting_max(tag: u8) -> Option<usize> {
    match tag {
        tag::AUTHENTICATION | tag::ERROR | tag::NOTICE | tag::NEGOTIATE_PROTOCOL_VERSION => {
            Some(GREETING_BYTES_MAX)
        }
        _ => None,
    }
}

/// Largest body of each upstream message; `None` for a type that upstreams do not have, or have only before.
fn upstream_max(tag: u8) -> Option<usize> {
    match tag {
        tag::DATA_ROW | tag::COPY_DATA => Some(ROW_BYTES_MAX),
        tag::COMMAND_COMPLETE
        | tag::COPY_BOTH
        | tag::COPY_IN
        | tag::COPY_OUT
        | tag::ERROR
        | tag::FUNCTION_CALL_RESPONSE
        | tag::NOTICE
        | tag::NOTIFICATION
        | tag::PARAMETER_DESCRIPTION
        | tag::PARAMETER_STATUS
        | tag::ROW_DESCRIPTION => Some(REPLY_BYTES_MAX),
        tag::BACKEND_KEY_DATA => Some(4 + CANCEL_KEY_BYTES_MAX),
        tag::READY_FOR_QUERY => Some(1),
        tag::BIND_COMPLETE
        | tag::CLOSE_COMPLETE
        | tag::COPY_DONE
        | tag::EMPTY_QUERY
        | tag::NO_DATA
        | tag::PARSE_COMPLETE
        | tag::PORTAL_SUSPENDED => Some(0),
        _ => None,
    }
}

/// Which limit it was, for the log.
fn too_large(tag: u8, side: Side) -> &'static str {
    match (side, tag) {
        (Side::Client, tag::QUERY | tag::PARSE | tag::FUNCTION_CALL) => {
            "HELD_FRAME_BYTES_MAX: a statement above 1 MiB"
        }
        (Side::Client, tag::BIND) => "BIND_FRAME_BYTES_MAX: a Bind above 16 MiB",
        (Side::Client, tag::COPY_DATA) => "COPY_FRAME_BYTES_MAX: a CopyData above 16 MiB",
        (Side::Client, tag::PASSWORD) => "PASSWORD_BYTES_MAX: a password message above 64 KiB",
        (Side::Client, _) => "SMALL_FRAME_BYTES_MAX: a message that PostgreSQL would refuse too",
        (_, tag::DATA_ROW | tag::COPY_DATA) => "ROW_BYTES_MAX: a row above 64 MiB",
        (_, _) => "REPLY_BYTES_MAX or GREETING_BYTES_MAX: a reply above 1 MiB",
    }
}
