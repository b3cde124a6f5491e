//! Bytes -> frames -> messages, and back. Spec: RFC 6455, 5 "Data Framing", 7.4 "Status Codes", 8.1 "UTF-8".

use crate::fault::{self as why, Reason};
use crate::limits::*;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;
use wire::{Fault, Side};

/// Decodes one direction of one connection behind its handshake.
pub struct Decoder {
    side: Side,
    /// The message whose end has not come: its kind, and how many frames of it have.
    begun: Option<(Kind, u32)>,
    message: BytesMut,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Open,
    /// A Close came: nothing behind it is read.
    Closed,
    Failed(Fault),
}

/// What is taken off the input, one at a time.
#[derive(Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Nothing yet: read more.
    NeedMore,
    Message(Message),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// Nothing is asked here, so it answers nothing.
    Pong,
    /// The peer says no more. `None`: it gives no code.
    Close(Option<Closing>),
}

/// A message, whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    /// UTF-8 where it is text; at most [`MESSAGE_BYTES_MAX`].
    pub data: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
}

/// Why a peer closes.
#[derive(Clone, PartialEq, Eq)]
pub struct Closing {
    pub code: u16,
    pub reason: String,
}

/// RFC 6455, 5.2. Others are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A frame's head.
struct Head {
    last: bool,
    opcode: Opcode,
    key: Option<[u8; 4]>,
    /// Of itself, and of the payload.
    size: usize,
    length: usize,
}

impl Decoder {
    /// Decodes what a client sends, which is masked. Its faults are the client's.
    pub fn client() -> Decoder {
        Decoder::new(Side::Client)
    }

    /// Decodes what a service sends, which is not. Its faults are upstream's.
    pub fn upstream() -> Decoder {
        Decoder::new(Side::Upstream)
    }

    fn new(side: Side) -> Decoder {
        Decoder { side, begun: None, message: BytesMut::new(), state: State::Open }
    }

    /// Takes at most one item off `input`. Never holds more than a frame there and a message here, each of at most
    /// [`MESSAGE_BYTES_MAX`]. A fault is final. Errors: the reasons under "WebSocket" in [`fault`](crate::fault), on
    /// this decoder's side.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Incoming, Fault> {
        match self.state {
            State::Failed(fault) => return Err(fault),
            State::Closed => return Ok(Incoming::NeedMore),
            State::Open => {}
        }
        let next = self.step(input).map_err(|reason| reason.on(self.side));
        match &next {
            Err(fault) => self.state = State::Failed(*fault),
            Ok(Incoming::Close(_)) => self.state = State::Closed,
            Ok(_) => {}
        }
        next
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Incoming, Reason> {
        while let Some(head) = self.head(input)? {
            if input.len() - head.size < head.length {
                break;
            }
            input.advance(head.size);
            let mut payload = input.split_to(head.length);
            if let Some(key) = head.key {
                payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            }
            match self.frame(&head, payload)? {
                Incoming::NeedMore => {}
                item => return Ok(item),
            }
        }
        Ok(Incoming::NeedMore)
    }

    /// The next frame's head, as soon as it is there whole; what is wrong is wrong before its payload has come.
    fn head(&self, input: &[u8]) -> Result<Option<Head>, Reason> {
        let &[first, second, ..] = input else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(why::RESERVED);
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(why::OPCODE)?;
        let last = first & 0x80 != 0;
        let masked = second & 0x80 != 0;
        match (self.side, masked) {
            (Side::Client, false) => return Err(why::UNMASKED),
            (Side::Client, true) | (_, false) => {}
            (_, true) => return Err(why::MASKED),
        }
        self.in_order(opcode, last, second & 0x7f)?;
        let Some((length, mut size)) = length(second & 0x7f, input)? else { return Ok(None) };
        if length > (MESSAGE_BYTES_MAX - self.message.len()) as u64 && !opcode.is_control() {
            return Err(why::MESSAGE_TOO_LARGE);
        }
        let key = match masked {
            false => None,
            true => {
                let Some(key) = input.get(size..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
                size += key.len();
                Some(*key)
            }
        };
        // At most a message or a control frame: it fits.
        Ok(Some(Head { last, opcode, key, size, length: length as usize }))
    }

    /// RFC 6455, 5.4 and 5.5.
    fn in_order(&self, opcode: Opcode, last: bool, length: u8) -> Result<(), Reason> {
        match (opcode, self.begun) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) if !last => Err(why::CONTROL_IN_PIECES),
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) if usize::from(length) > CONTROL_BYTES_MAX => {
                Err(why::CONTROL_TOO_LARGE)
            }
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => Ok(()),
            (Opcode::Continuation, None) => Err(why::NOT_BEGUN),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(why::NOT_ENDED),
            (Opcode::Continuation, Some((_, frames))) if frames >= MESSAGE_FRAGMENTS_MAX => {
                Err(why::TOO_MANY_FRAGMENTS)
            }
            (Opcode::Continuation, Some(_)) | (Opcode::Text | Opcode::Binary, None) => Ok(()),
        }
    }

    fn frame(&mut self, head: &Head, payload: BytesMut) -> Result<Incoming, Reason> {
        let kind = match (head.opcode, self.begun) {
            (Opcode::Ping, _) => return Ok(Incoming::Ping(payload.freeze())),
            (Opcode::Pong, _) => return Ok(Incoming::Pong),
            (Opcode::Close, _) => return Closing::of(&payload).map(Incoming::Close),
            (Opcode::Text, _) => Kind::Text,
            (Opcode::Binary, _) => Kind::Binary,
            (Opcode::Continuation, Some((kind, _))) => kind,
            (Opcode::Continuation, None) => return Err(why::NOT_BEGUN),
        };
        match self.message.is_empty() {
            true => self.message = payload,
            false => self.message.extend_from_slice(&payload),
        }
        if !head.last {
            self.begun = Some((kind, self.begun.map_or(1, |(_, frames)| frames + 1)));
            return Ok(Incoming::NeedMore);
        }
        self.begun = None;
        let data = std::mem::take(&mut self.message).freeze();
        if kind == Kind::Text && std::str::from_utf8(&data).is_err() {
            return Err(why::TEXT);
        }
        Ok(Incoming::Message(Message { kind, data }))
    }
}

/// A payload's length and how many bytes the head has up to its key; `None` until they have come. Each length is written in
/// the shortest way. RFC 6455, 5.2.
fn length(first: u8, input: &[u8]) -> Result<Option<(u64, usize)>, Reason> {
    let rest = input.get(2..).unwrap_or_default();
    let (length, least, size) = match first {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 126, 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 1 << 16, 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, 2),
    };
    if length < least || length >> 63 != 0 {
        return Err(why::FRAME_LENGTH);
    }
    Ok(Some((length, size)))
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xa => Some(Opcode::Pong),
            _ => None,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

impl Kind {
    pub fn opcode(self) -> Opcode {
        match self {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

impl Closing {
    /// RFC 6455, 5.5.1: nothing, or a code and a reason.
    fn of(payload: &[u8]) -> Result<Option<Closing>, Reason> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return if payload.is_empty() { Ok(None) } else { Err(why::CLOSE_CODE) };
        };
        let code = u16::from_be_bytes(*code);
        if !is_code(code) {
            return Err(why::CLOSE_CODE);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| why::TEXT)?;
        Ok(Some(Closing { code, reason: reason.to_owned() }))
    }
}

/// RFC 6455, 7.4, and the registry: 1004 to 1006 and 1015 are never sent, below 3000 nobody makes up their own.
fn is_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The code that tells a peer of its fault. RFC 6455, 7.4.1.
pub fn close_code(fault: &Fault) -> u16 {
    match fault.kind {
        kind if kind == why::TEXT.kind => 1007,
        kind if kind == why::MESSAGE_TOO_LARGE.kind => 1009,
        kind if kind == why::TOO_MANY_FRAGMENTS.kind => 1008,
        _ => 1002,
    }
}

/// What a Close says: as much of the reason as fits.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let most = CONTROL_BYTES_MAX - 2;
    let end = (0..=most.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    let mut out = code.to_be_bytes().to_vec();
    out.extend_from_slice(reason.get(..end.unwrap_or(0)).unwrap_or_default().as_bytes());
    out
}

/// Appends one frame that is a whole message, or a control frame. `key`: towards a service, fresh and unforeseeable
/// (RFC 6455, 5.3).
pub fn encode(out: &mut BytesMut, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
    let masked = if key.is_some() { 0x80 } else { 0 };
    out.put_u8(0x80 | opcode.bits());
    match payload.len() {
        // Below 126 it is a byte, below 2^16 two.
        short @ 0..=125 => out.put_u8(masked | short as u8),
        middle @ 126..=0xffff => {
            out.put_u8(masked | 126);
            out.put_u16(middle as u16);
        }
        long => {
            out.put_u8(masked | 127);
            out.put_u64(long as u64);
        }
    }
    match key {
        None => out.extend_from_slice(payload),
        Some(key) => {
            out.extend_from_slice(&key);
            out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
}

/// Lengths only: what it says is a peer's.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incoming::NeedMore => f.write_str("NeedMore"),
            Incoming::Message(message) => message.fmt(f),
            Incoming::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Incoming::Pong => f.write_str("Pong"),
            Incoming::Close(closing) => {
                write!(f, "Close({:?})", closing.as_ref().map(|closing| closing.code))
            }
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} bytes)", self.kind, self.data.len())
    }
}
