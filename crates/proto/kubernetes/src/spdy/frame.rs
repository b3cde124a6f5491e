//! Frames: bytes <-> [`Frame`]. Spec: draft-mbelshe-httpbis-spdy-00, 2.2 and 2.6.
//!
//! A control frame is held whole, at most [`CONTROL_BYTES_MAX`] bytes of it; the data of a stream pass in pieces as they come, so
//! that their length does not matter.

use super::headers::{Deflater, Headers, Inflater};
use crate::fault::{self as why};
use crate::limits::{CONTROL_BYTES_MAX, SETTINGS_MAX};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use wire::{Fault, RawField, Reader, Side};

/// One frame, or a piece of a stream's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// SYN_STREAM. Associations, priorities and slots are 0.
    Open {
        stream: u32,
        fin: bool,
        headers: Headers,
    },
    /// SYN_REPLY.
    Reply {
        stream: u32,
        fin: bool,
        headers: Headers,
    },
    /// RST_STREAM. `status` is not 0.
    Reset {
        stream: u32,
        status: u32,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last: u32,
        status: u32,
    },
    /// Read and without meaning.
    Settings,
    /// Read and without meaning: nobody keeps windows.
    Window {
        stream: u32,
        delta: u32,
    },
    /// `fin`: the stream's last, of this side. A frame's first pieces have it not.
    Data {
        stream: u32,
        fin: bool,
        bytes: RawField,
    },
}

/// Reads one side's frames.
pub struct Decoder {
    side: Side,
    held: BytesMut,
    headers: Inflater,
    /// What is left of a data frame that has begun.
    data: Option<Data>,
    /// What ended it.
    fault: Option<Fault>,
}

struct Data {
    stream: u32,
    fin: bool,
    left: usize,
}

/// Writes frames to one side.
#[derive(Debug, Default)]
pub struct Encoder {
    headers: Deflater,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder({} bytes held)", self.held.len())
    }
}

const FIN: u8 = 0x01;
/// Lengths have 24 bits.
const DATA_BYTES_MAX: usize = (1 << 24) - 1;

impl Decoder {
    /// `side` is who sends.
    pub fn new(side: Side) -> Decoder {
        Decoder { side, held: BytesMut::new(), headers: Inflater::new(), data: None, fault: None }
    }

    /// Takes bytes; ask [`next`](Decoder::next) until it has no more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next frame, or `None` until more bytes come. Errors (this side's): the reasons of SPDY in [`crate::fault`]; an error
    /// is the last that comes.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let next = self.read();
        self.fault = next.as_ref().err().copied();
        next
    }

    /// Whether a frame has begun that is not at its end: whoever goes then cut it.
    pub fn is_cut(&self) -> bool {
        self.data.is_some() || !self.held.is_empty()
    }

    fn read(&mut self) -> Result<Option<Frame>, Fault> {
        if let Some(data) = self.data.take() {
            return Ok(self.piece(data));
        }
        let Some(head) = self.held.first_chunk::<8>() else { return Ok(None) };
        let [kind, .., flags, high, middle, low] = *head;
        let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind & 0x80 != 0 {
            true => self.control(flags, len),
            false => self.begin_data(flags, len),
        }
    }

    fn begin_data(&mut self, flags: u8, left: usize) -> Result<Option<Frame>, Fault> {
        let stream = self.held.get_u32();
        self.held.advance(4);
        if stream == 0 {
            return Err(why::STREAM_ZERO.on(self.side));
        }
        if flags & !FIN != 0 {
            return Err(why::BAD_FLAGS.on(self.side));
        }
        Ok(self.piece(Data { stream, fin: flags & FIN != 0, left }))
    }

    /// As much of a data frame as is there.
    fn piece(&mut self, data: Data) -> Option<Frame> {
        let Data { stream, fin, left } = data;
        let here = left.min(self.held.len());
        if here == 0 && left > 0 {
            self.data = Some(data);
            return None;
        }
        let bytes = RawField::new(self.held.split_to(here).freeze());
        let whole = here == left;
        if !whole {
            self.data = Some(Data { left: left - here, ..data });
        }
        Some(Frame::Data { stream, fin: fin && whole, bytes })
    }

    fn control(&mut self, flags: u8, len: usize) -> Result<Option<Frame>, Fault> {
        if len > CONTROL_BYTES_MAX {
            return Err(why::CONTROL_TOO_LARGE.on(self.side));
        }
        if self.held.len() < 8 + len {
            return Ok(None);
        }
        let version = self.held.get_u16() & 0x7fff;
        let kind = self.held.get_u16();
        self.held.advance(4);
        let body = self.held.split_to(len).freeze();
        if version != 3 {
            return Err(why::SPDY_VERSION.on(self.side));
        }
        self.message(kind, flags, &body).map(Some)
    }

    fn message(&mut self, kind: u16, flags: u8, body: &Bytes) -> Result<Frame, Fault> {
        let (side, fin) = (self.side, flags & FIN != 0);
        let permitted = if matches!(kind, 1 | 2) { FIN } else { 0 };
        // SETTINGS may ask to forget others.
        if flags & !permitted != 0 && kind != 4 {
            return Err(why::BAD_FLAGS.on(side));
        }
        let mut reader = Reader::new(body, side, "spdy: control frame");
        let frame = match kind {
            1 => {
                let stream = id(&mut reader, side)?;
                let [associated, _priority_and_slot] = [reader.u32()?, u32::from(reader.u16()?)];
                if associated & 0x7fff_ffff != 0 {
                    return Err(why::ASSOCIATED.on(side));
                }
                let headers = self.headers(reader.take_rest())?;
                return Ok(Frame::Open { stream, fin, headers });
            }
            2 => {
                let stream = id(&mut reader, side)?;
                let headers = self.headers(reader.take_rest())?;
                return Ok(Frame::Reply { stream, fin, headers });
            }
            3 => {
                let (stream, status) = (id(&mut reader, side)?, reader.u32()?);
                if status == 0 {
                    return Err(why::BAD_STATUS.on(side));
                }
                Frame::Reset { stream, status }
            }
            4 => settings(&mut reader, side)?,
            6 => Frame::Ping { id: reader.u32()? },
            7 => Frame::GoAway { last: reader.u32()? & 0x7fff_ffff, status: reader.u32()? },
            9 => Frame::Window { stream: reader.u32()? & 0x7fff_ffff, delta: reader.u32()? & 0x7fff_ffff },
            _ => return Err(why::UNKNOWN_FRAME.on(side)),
        };
        reader.finish()?;
        Ok(frame)
    }

    fn headers(&mut self, compressed: Bytes) -> Result<Headers, Fault> {
        let block = self.headers.block(&compressed).map_err(|reason| reason.on(self.side))?;
        Headers::parse(&block, self.side)
    }
}

/// A stream's id, without the reserved bit.
fn id(reader: &mut Reader<'_>, side: Side) -> Result<u32, Fault> {
    match reader.u32()? & 0x7fff_ffff {
        0 => Err(why::STREAM_ZERO.on(side)),
        stream => Ok(stream),
    }
}

fn settings(reader: &mut Reader<'_>, side: Side) -> Result<Frame, Fault> {
    let count = reader.u32()?;
    if count > SETTINGS_MAX {
        return Err(why::TOO_MANY_SETTINGS.on(side));
    }
    for _ in 0..count {
        reader.u64()?;
    }
    Ok(Frame::Settings)
}

impl Encoder {
    /// Appends a frame. Data above 16 MiB become several.
    pub fn encode(&mut self, out: &mut BytesMut, frame: &Frame) {
        match frame {
            Frame::Open { stream, fin, headers } => {
                let mut body = BytesMut::new();
                body.put_u32(*stream);
                body.put_bytes(0, 6);
                self.headers.block(&mut body, headers);
                control(out, 1, *fin, &body);
            }
            Frame::Reply { stream, fin, headers } => {
                let mut body = BytesMut::new();
                body.put_u32(*stream);
                self.headers.block(&mut body, headers);
                control(out, 2, *fin, &body);
            }
            Frame::Reset { stream, status } => control(out, 3, false, &two(*stream, *status)),
            Frame::Ping { id } => control(out, 6, false, &id.to_be_bytes()),
            Frame::GoAway { last, status } => control(out, 7, false, &two(*last, *status)),
            Frame::Settings => control(out, 4, false, &[0; 4]),
            Frame::Window { stream, delta } => control(out, 9, false, &two(*stream, *delta)),
            Frame::Data { stream, fin, bytes } => data(out, *stream, *fin, bytes.as_bytes()),
        }
    }
}

fn two(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) << 32 | u64::from(second)).to_be_bytes()
}

fn control(out: &mut BytesMut, kind: u16, fin: bool, body: &[u8]) {
    out.put_u16(0x8003);
    out.put_u16(kind);
    out.put_u32(u32::from(fin) << 24 | body.len() as u32);
    out.extend_from_slice(body);
}

fn data(out: &mut BytesMut, stream: u32, fin: bool, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(DATA_BYTES_MAX));
        let last = behind.is_empty();
        out.put_u32(stream);
        out.put_u32(u32::from(fin && last) << 24 | piece.len() as u32);
        out.extend_from_slice(piece);
        rest = behind;
        if last {
            return;
        }
    }
}
