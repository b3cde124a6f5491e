//! gzip (RFC 1952) and deflate (RFC 1950 and 1951).

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{BEHIND, Moved, Undecodable};
use crate::limits::GZIP_HEADER_BYTES_MAX;

const DEFLATE: Undecodable = Undecodable("the body is no deflate stream");
const GZIP: Undecodable = Undecodable("the body is no gzip stream");
const GZIP_LONG: Undecodable = Undecodable("a gzip header is longer than 4 KiB");
const GZIP_SUM: Undecodable = Undecodable("the checksum or length of a gzip member does not hold");

/// `deflate`: zlib's format, or a raw stream.
pub(super) struct Deflate {
    /// `None` until its first two bytes have come.
    stream: Option<Decompress>,
    over: bool,
}

impl Deflate {
    pub(super) fn new() -> Deflate {
        Deflate { stream: None, over: false }
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Undecodable> {
        let stream = match &mut self.stream {
            _ if self.over => return if input.is_empty() { Ok((0, 0)) } else { Err(BEHIND) },
            Some(stream) => stream,
            // A raw stream of one byte is none: the shortest has two.
            None => match input {
                [cmf, flags, ..] => self.stream.insert(Decompress::new(is_zlib(*cmf, *flags))),
                [] | [_] => return Ok((0, 0)),
            },
        };
        let (moved, over) = inflate(stream, input, out)?;
        self.over = over;
        Ok(moved)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.over
    }
}

/// Whether these are the two bytes before a zlib stream: RFC 1950, 2.2. A raw stream that began with them would have a
/// stored block with padding that is not zero, which nobody writes. One with a dictionary is taken for zlib's, and refused.
fn is_zlib(cmf: u8, flags: u8) -> bool {
    cmf & 0x0f == 8 && cmf >> 4 <= 7 && (u16::from(cmf) << 8 | u16::from(flags)).is_multiple_of(31)
}

/// Moves what can be moved; whether the stream is over.
fn inflate(stream: &mut Decompress, input: &[u8], out: &mut [u8]) -> Result<(Moved, bool), Undecodable> {
    let before = (stream.total_in(), stream.total_out());
    let status = stream.decompress(input, out, FlushDecompress::None).map_err(|_| DEFLATE)?;
    // Neither is more than the length of its slice.
    let moved = ((stream.total_in() - before.0) as usize, (stream.total_out() - before.1) as usize);
    Ok((moved, status == Status::StreamEnd))
}

/// `gzip`: one member or several.
pub(super) struct Gzip {
    part: Part,
    stream: Decompress,
    crc: Crc,
    members: u64,
}

/// What of a member comes next.
enum Part {
    Header,
    Data,
    Trailer,
}

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip { part: Part::Header, stream: Decompress::new(false), crc: Crc::new(), members: 0 }
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Undecodable> {
        match self.part {
            Part::Header => match header(input) {
                Ok(Some(length)) if length <= GZIP_HEADER_BYTES_MAX => {
                    self.part = Part::Data;
                    Ok((length, 0))
                }
                Ok(None) if input.len() < GZIP_HEADER_BYTES_MAX => Ok((0, 0)),
                Ok(Some(_) | None) => Err(GZIP_LONG),
                Err(GZIP) if self.members > 0 => Err(BEHIND),
                Err(why) => Err(why),
            },
            Part::Data => {
                let ((read, wrote), over) = inflate(&mut self.stream, input, out)?;
                self.crc.update(out.get(..wrote).unwrap_or_default());
                if over {
                    self.part = Part::Trailer;
                }
                // The end itself may have come with bytes that were read before.
                match (over, read, wrote) {
                    (true, 0, 0) => self.trailer(input),
                    _ => Ok((read, wrote)),
                }
            }
            Part::Trailer => self.trailer(input),
        }
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Moved, Undecodable> {
        let Some((&[a, b, c, d, e, f, g, h], _)) = input.split_first_chunk::<8>() else { return Ok((0, 0)) };
        let sums = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if sums != (self.crc.sum(), self.crc.amount()) {
            return Err(GZIP_SUM);
        }
        self.part = Part::Header;
        self.members += 1;
        self.stream.reset(false);
        self.crc.reset();
        Ok((8, 0))
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.part, Part::Header) && self.members > 0
    }
}

/// The length of a member's header; `None` if more must come. What it names is passed on to nobody.
fn header(input: &[u8]) -> Result<Option<usize>, Undecodable> {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    let begun = input.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic);
    if !begun {
        return Err(GZIP);
    }
    let Some(flags) = input.get(3) else { return Ok(None) };
    if flags & 0xe0 != 0 {
        return Err(GZIP);
    }
    let mut end = 10;
    if flags & 4 != 0 {
        let Some(&[low, high]) = input.get(end..end + 2) else { return Ok(None) };
        end += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            let Some(zero) = input.get(end..).and_then(|rest| memchr::memchr(0, rest)) else {
                return Ok(None);
            };
            end += zero + 1;
        }
    }
    if flags & 2 != 0 {
        let (Some(&[low, high]), Some(all)) = (input.get(end..end + 2), input.get(..end)) else {
            return Ok(None);
        };
        let mut crc = Crc::new();
        crc.update(all);
        if crc.sum() & 0xffff != u32::from(u16::from_le_bytes([low, high])) {
            return Err(GZIP_SUM);
        }
        end += 2;
    }
    Ok((input.len() >= end).then_some(end))
}
