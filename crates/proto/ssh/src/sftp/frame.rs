//! Bytes <-> packets. Spec: draft-ietf-secsh-filexfer-02, section 3: four bytes of length, which count the type and what
//! follows, one byte of type, the rest. **The declared length is law**: the next packet begins where this one's length says,
//! and one whose fields disagree with its length is refused by [`message`](super::message).

use crate::fault as why;
use crate::limits::*;
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;
use wire::{Fault, Side, Writer};

/// One packet: its type, and what follows; the body shares memory with the buffer that it was read from.
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

    /// Appends the packet as it stands on the wire. Errors (side: gateway): above [`FRAME_BYTES_MAX`].
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Fault> {
        write(out, self.tag, "sftp packet", |w| w.bytes(&self.body))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}, {} bytes)", self.tag, self.body.len())
    }
}

/// Cuts one side's bytes into packets.
#[derive(Clone, Debug)]
pub struct Decoder {
    side: Side,
    greeted: bool,
}

impl Decoder {
    /// For what the client sends.
    pub fn client() -> Decoder {
        Decoder { side: Side::Client, greeted: false }
    }

    /// For what upstream sends.
    pub fn upstream() -> Decoder {
        Decoder { side: Side::Upstream, greeted: false }
    }

    /// Takes the next packet off `buffer`, or says by `None` that it is not there yet; then it has made room for at
    /// most [`LOOKAHEAD_BYTES_MAX`] more.
    ///
    /// Errors, all on this decoder's side, all before the body has arrived: `BAD_LENGTH` (0), `TOO_LARGE` (above
    /// [`FRAME_BYTES_MAX`], the first one above [`HELLO_BYTES_MAX`]).
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Fault> {
        let Some((length, _)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = self.length(u32::from_be_bytes(*length))?;
        let whole = 4 + length;
        if let Some(missing) = whole.checked_sub(buffer.len()).filter(|missing| *missing > 0) {
            make_room(buffer, missing);
            return Ok(None);
        }
        buffer.advance(4);
        let mut body = buffer.split_to(length).freeze();
        self.greeted = true;
        // `length` is at least 1.
        let tag = body.get_u8();
        Ok(Some(Frame { tag, body }))
    }

    fn length(&self, declared: u32) -> Result<usize, Fault> {
        let max = if self.greeted { FRAME_BYTES_MAX } else { HELLO_BYTES_MAX };
        match usize::try_from(declared) {
            Ok(0) => Err(why::EMPTY_FRAME.on(self.side)),
            Ok(length) if length <= max => Ok(length),
            _ if self.greeted => Err(why::FRAME_TOO_LARGE.on(self.side)),
            _ => Err(why::HELLO_TOO_LARGE.on(self.side)),
        }
    }
}

/// Bytes of a packet before its body: length and type.
pub const HEADER_BYTES: usize = 5;

/// Types of packets. Draft, section 3.
pub mod tag {
    pub const INIT: u8 = 1;
    pub const VERSION: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const LSTAT: u8 = 7;
    pub const FSTAT: u8 = 8;
    pub const SETSTAT: u8 = 9;
    pub const FSETSTAT: u8 = 10;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const MKDIR: u8 = 14;
    pub const RMDIR: u8 = 15;
    pub const REALPATH: u8 = 16;
    pub const STAT: u8 = 17;
    pub const RENAME: u8 = 18;
    pub const READLINK: u8 = 19;
    pub const SYMLINK: u8 = 20;
    pub const EXTENDED: u8 = 200;

    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED_REPLY: u8 = 201;
}

/// Writes one packet: length, type, and what `body` writes. On `Err` (side: gateway), `out` is as it was.
pub(crate) fn write(
    out: &mut BytesMut,
    tag: u8,
    what: &'static str,
    body: impl FnOnce(&mut Writer<'_>),
) -> Result<(), Fault> {
    let start = out.len();
    let mut w = Writer::new(out, what);
    w.u32(0);
    w.u8(tag);
    body(&mut w);
    w.finish()?;
    let length = out.len() - start - 4;
    let place = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>);
    match (u32::try_from(length), place) {
        (Ok(declared), Some(place)) if length <= FRAME_BYTES_MAX => *place = declared.to_be_bytes(),
        _ => {
            out.truncate(start);
            return Err(why::FRAME_TOO_LARGE.on(Side::Gateway));
        }
    }
    Ok(())
}

/// Grows a buffer that is nearly full, by at most [`LOOKAHEAD_BYTES_MAX`] (and by as much as it holds, since it doubles).
fn make_room(buffer: &mut BytesMut, missing: usize) {
    let ahead = missing.min(LOOKAHEAD_BYTES_MAX);
    if buffer.capacity() - buffer.len() < ahead.min(4 << 10) {
        buffer.reserve(ahead);
    }
}
