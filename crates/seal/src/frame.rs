//! Segments and frames: FORMAT.md, section 2.
//!
//! Deliberately absent: what a record or a note says; see [`crate::record`] and [`crate::note`].

use crate::limits::{BODY_BYTES_MAX, ORIGIN_BYTES_MAX};
use crate::note::is_name;
use std::fmt;

pub const SEGMENT_MAGIC: [u8; 8] = *b"TACHOSEG";
pub const BATCH_MAGIC: [u8; 8] = *b"TACHOBAT";
pub const BUNDLE_MAGIC: [u8; 8] = *b"TACHOBUN";
pub const VERSION: u32 = 1;
/// Of bundles. Version 1 had no links, and version 2 no growths (FORMAT.md, section 6); both are still read.
pub const BUNDLE_VERSION: u32 = 3;
/// The size of a segment unless configured otherwise.
pub const SEGMENT_BYTES_DEFAULT: usize = 64 << 20;
pub const SEGMENT_HEADER_BYTES: usize = 512;
pub const BUNDLE_HEADER_BYTES: usize = 16;
/// Length, CRC and kind.
pub const FRAME_HEADER_BYTES: usize = 9;
pub const BATCH_BODY_BYTES: usize = 24;
/// A whole B frame.
pub const BATCH_FRAME_BYTES: usize = FRAME_HEADER_BYTES + BATCH_BODY_BYTES;

const ORIGIN_AT: usize = 38;
const HEADER_CRC_AT: usize = SEGMENT_HEADER_BYTES - 4;
const _: () = assert!(ORIGIN_AT + ORIGIN_BYTES_MAX <= HEADER_CRC_AT);

/// What a frame holds. `I`, `G` and `K` occur in bundles only, `B` in segments only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Batch = b'B',
    Payload = b'P',
    Record = b'R',
    Checkpoint = b'C',
    Inclusion = b'I',
    Growth = b'G',
    Key = b'K',
}

impl Kind {
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            b'B' => Kind::Batch,
            b'P' => Kind::Payload,
            b'R' => Kind::Record,
            b'C' => Kind::Checkpoint,
            b'I' => Kind::Inclusion,
            b'G' => Kind::Growth,
            b'K' => Kind::Key,
            _ => return None,
        })
    }

    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// The first 512 bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub number: u64,
    pub first_seq: u64,
    pub first_batch: u64,
    pub origin: String,
}

impl SegmentHeader {
    /// Errors: `Origin` if the origin is no name ([`is_name`]).
    pub fn encode(&self) -> Result<[u8; SEGMENT_HEADER_BYTES], HeaderError> {
        if !is_name(&self.origin) {
            return Err(HeaderError::Origin);
        }
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_be_bytes());
        out[12..20].copy_from_slice(&self.number.to_be_bytes());
        out[20..28].copy_from_slice(&self.first_seq.to_be_bytes());
        out[28..36].copy_from_slice(&self.first_batch.to_be_bytes());
        out[36..ORIGIN_AT].copy_from_slice(&(self.origin.len() as u16).to_be_bytes());
        out[ORIGIN_AT..ORIGIN_AT + self.origin.len()].copy_from_slice(self.origin.as_bytes());
        let crc = crc32c::crc32c(&out[..HEADER_CRC_AT]);
        out[HEADER_CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        Ok(out)
    }

    /// Reads the header at the start of a segment. Errors: all of [`HeaderError`].
    pub fn decode(segment: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let header: &[u8; SEGMENT_HEADER_BYTES] = segment.first_chunk().ok_or(HeaderError::Short)?;
        if header[..8] != SEGMENT_MAGIC {
            return Err(HeaderError::Magic);
        }
        if crc32c::crc32c(&header[..HEADER_CRC_AT]) != be32(&header[HEADER_CRC_AT..]) {
            return Err(HeaderError::Crc);
        }
        if be32(&header[8..12]) != VERSION {
            return Err(HeaderError::Version);
        }
        let length = usize::from(u16::from_be_bytes([header[36], header[37]]));
        let (origin, rest) =
            header[ORIGIN_AT..HEADER_CRC_AT].split_at_checked(length).ok_or(HeaderError::Origin)?;
        let origin = std::str::from_utf8(origin).map_err(|_| HeaderError::Origin)?;
        if !is_name(origin) {
            return Err(HeaderError::Origin);
        }
        if !is_zero(rest) {
            return Err(HeaderError::Padding);
        }
        Ok(SegmentHeader {
            number: be64(&header[12..20]),
            first_seq: be64(&header[20..28]),
            first_batch: be64(&header[28..36]),
            origin: origin.to_owned(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    Short,
    Magic,
    Crc,
    Version,
    Origin,
    Padding,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderError::Short => "the file is shorter than a header",
            HeaderError::Magic => "the file does not begin as a segment",
            HeaderError::Crc => "the header's CRC is wrong",
            HeaderError::Version => "the header's version is not 1",
            HeaderError::Origin => "the header's origin is not a name of 1 to 255 bytes",
            HeaderError::Padding => "the header's padding is not zero",
        })
    }
}

impl std::error::Error for HeaderError {}

/// Appends one frame. Errors: `BodyLength` unless the body has 1 to [`BODY_BYTES_MAX`] bytes; nothing is written then.
pub fn encode_frame(kind: Kind, body: &[u8], out: &mut Vec<u8>) -> Result<(), BodyLength> {
    if body.is_empty() || body.len() > BODY_BYTES_MAX {
        return Err(BodyLength(body.len()));
    }
    out.reserve(FRAME_HEADER_BYTES + body.len());
    let start = begin_frame(out);
    out.extend_from_slice(body);
    end_frame(kind, start, out)
}

/// Leaves room for a frame's header, and says where its body begins: for a body that is written in its place.
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    out.len()
}

/// Fills in the header of the frame whose body stands from `start` to the end. Errors: as [`encode_frame`]; what was
/// begun is taken away then.
pub fn end_frame(kind: Kind, start: usize, out: &mut Vec<u8>) -> Result<(), BodyLength> {
    let length = out.len() - start;
    if length == 0 || length > BODY_BYTES_MAX {
        out.truncate(start - FRAME_HEADER_BYTES);
        return Err(BodyLength(length));
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind.byte()]), &out[start..]);
    let header = &mut out[start - FRAME_HEADER_BYTES..start];
    header[..4].copy_from_slice(&(length as u32).to_be_bytes());
    header[4..8].copy_from_slice(&crc.to_be_bytes());
    header[8] = kind.byte();
    Ok(())
}

/// Appends a B frame, [`BATCH_FRAME_BYTES`] long; `offset` is where the frame will stand in its file.
pub fn encode_batch(number: u64, offset: u64, out: &mut Vec<u8>) {
    let mut body = [0; BATCH_BODY_BYTES];
    body[..8].copy_from_slice(&BATCH_MAGIC);
    body[8..16].copy_from_slice(&number.to_be_bytes());
    body[16..].copy_from_slice(&offset.to_be_bytes());
    let written = encode_frame(Kind::Batch, &body, out);
    debug_assert!(written.is_ok()); // 24 bytes are within the limits
}

/// A body's length is 0 or above [`BODY_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLength(pub usize);

impl fmt::Display for BodyLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame's body has 1 to {BODY_BYTES_MAX} bytes, not {}", self.0)
    }
}

impl std::error::Error for BodyLength {}

/// The body of a B frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub number: u64,
    pub offset: u64,
}

impl Batch {
    pub fn decode(body: &[u8]) -> Option<Batch> {
        let body: &[u8; BATCH_BODY_BYTES] = body.try_into().ok()?;
        let batch = Batch { number: be64(&body[8..16]), offset: be64(&body[16..]) };
        (body[..8] == BATCH_MAGIC).then_some(batch)
    }
}

/// One frame that checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where the frame begins, from the start of the file.
    pub offset: usize,
    pub kind: Kind,
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Where the next frame begins.
    pub fn end(&self) -> usize {
        self.offset + FRAME_HEADER_BYTES + self.body.len()
    }
}

/// A frame that does not check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    pub offset: usize,
    pub fault: FrameFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// The length is over the limit, or reaches past the end of the file.
    Length,
    Crc,
    /// The CRC is right and the kind unknown.
    Kind,
    /// The length is 0, and something other than zeros follows.
    AfterEnd,
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameFault::Length => "a frame's length is over the limit or past the end of the file",
            FrameFault::Crc => "a frame's CRC is wrong",
            FrameFault::Kind => "a frame's kind is unknown",
            FrameFault::AfterEnd => "something other than zeros follows the last frame",
        })
    }
}

/// The frames of a file, one by one, from a given offset. Ends at a length of 0 with only zeros after it, or at the
/// end of the bytes; after an error it gives nothing more.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    stopped: bool,
}

impl<'a> Frames<'a> {
    /// The frames of a segment, behind its header.
    pub fn of_segment(segment: &'a [u8]) -> Frames<'a> {
        Frames::new(segment, SEGMENT_HEADER_BYTES)
    }

    pub fn new(bytes: &'a [u8], start: usize) -> Frames<'a> {
        Frames { bytes, at: start.min(bytes.len()), stopped: false }
    }

    /// Where the next frame begins; after the last one, where the frames end.
    pub fn offset(&self) -> usize {
        self.at
    }

    fn read(&self) -> Result<Option<Frame<'a>>, FrameFault> {
        let rest = &self.bytes[self.at..];
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return if is_zero(rest) { Ok(None) } else { Err(FrameFault::Length) };
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 {
            return if is_zero(after) { Ok(None) } else { Err(FrameFault::AfterEnd) };
        }
        if length > BODY_BYTES_MAX || length > after.len().saturating_sub(5) {
            return Err(FrameFault::Length);
        }
        let covered = &after[4..5 + length];
        if crc32c::crc32c(covered) != be32(&after[..4]) {
            return Err(FrameFault::Crc);
        }
        let kind = Kind::from_byte(covered[0]).ok_or(FrameFault::Kind)?;
        Ok(Some(Frame { offset: self.at, kind, body: &covered[1..] }))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped {
            return None;
        }
        match self.read() {
            Ok(Some(frame)) => {
                self.at = frame.end();
                Some(Ok(frame))
            }
            Ok(None) => {
                self.stopped = true;
                None
            }
            Err(fault) => {
                self.stopped = true;
                Some(Err(FrameError { offset: self.at, fault }))
            }
        }
    }
}

/// How a segment ends, by the rule of FORMAT.md section 2, "Reading after a crash".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// Every frame checks. The next frame goes to `end`, the next batch is `next_batch`.
    Whole { end: usize, next_batch: u64 },
    /// The last batch was not written whole: keep what stands before `end`, the start of the first frame lost or of
    /// the payloads that lost their record. From `end` on the segment must be zeroed, or given up for a new one.
    Torn { end: usize, next_batch: u64, cause: Damage },
    /// The ledger is damaged at `at`: what follows was once durable.
    Hole { at: usize, cause: Damage },
}

/// What [`scan_segment`] stumbled over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Header(HeaderError),
    Frame(FrameFault),
    /// A B frame is missing, malformed, out of order or at another place than it says.
    Batch,
    /// Payloads are not followed by their record within the batch.
    OrphanPayload,
    /// A kind of frame that has no place in a segment.
    Misplaced,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Header(error) => error.fmt(f),
            Damage::Frame(fault) => fault.fmt(f),
            Damage::Batch => f.write_str("a batch frame is missing, malformed, out of order or out of place"),
            Damage::OrphanPayload => f.write_str("a payload is not followed by its record"),
            Damage::Misplaced => f.write_str("a frame that belongs in a bundle stands in a segment"),
        }
    }
}

/// Reads a segment, header included, to its end. Only the last segment of a ledger can be torn.
pub fn scan_segment(segment: &[u8], is_last: bool) -> ScanEnd {
    let header = match SegmentHeader::decode(segment) {
        Ok(header) => header,
        Err(error) => return ScanEnd::Hole { at: 0, cause: Damage::Header(error) },
    };
    let mut frames = Frames::of_segment(segment);
    let mut next_batch = header.first_batch;
    let mut kept = SEGMENT_HEADER_BYTES; // the end of the last frame that is not a payload
    for frame in frames.by_ref() {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let cause = Damage::Frame(error.fault);
                // A right CRC over an unknown kind was written whole.
                let can_tear = is_last && error.fault != FrameFault::Kind;
                return if can_tear && later_batch(segment, error.offset, next_batch).is_none() {
                    ScanEnd::Torn { end: kept, next_batch, cause }
                } else {
                    ScanEnd::Hole { at: error.offset, cause }
                };
            }
        };
        let orphaned = kept != frame.offset;
        let cause = match frame.kind {
            Kind::Batch if orphaned => Some(Damage::OrphanPayload),
            Kind::Batch => match Batch::decode(frame.body) {
                Some(batch) if batch.number == next_batch && batch.offset == frame.offset as u64 => {
                    next_batch += 1;
                    None
                }
                _ => Some(Damage::Batch),
            },
            Kind::Payload | Kind::Record | Kind::Checkpoint if next_batch == header.first_batch => {
                Some(Damage::Batch)
            }
            Kind::Payload | Kind::Record => None,
            Kind::Checkpoint => orphaned.then_some(Damage::OrphanPayload),
            Kind::Inclusion | Kind::Growth | Kind::Key => Some(Damage::Misplaced),
        };
        if let Some(cause) = cause {
            return ScanEnd::Hole { at: frame.offset, cause };
        }
        if frame.kind != Kind::Payload {
            kept = frame.end();
        }
    }
    let end = frames.offset();
    if kept == end {
        ScanEnd::Whole { end, next_batch }
    } else if is_last {
        ScanEnd::Torn { end: kept, next_batch, cause: Damage::OrphanPayload }
    } else {
        ScanEnd::Hole { at: kept, cause: Damage::OrphanPayload }
    }
}

/// The offset of a B frame at or after `from` whose number is `least` or above, whose CRC is right and which stands
/// where it says: proof that what is before it was once durable.
pub fn later_batch(segment: &[u8], from: usize, least: u64) -> Option<usize> {
    let mut at = from;
    while let Some(found) = find(segment.get(at..)?, &BATCH_MAGIC) {
        let magic = at + found;
        if let Some(offset) = magic.checked_sub(FRAME_HEADER_BYTES).filter(|offset| *offset >= from)
            // Before the CRC: one over what a hostile length says, at each magic of a segment full of them, would take hours.
            && be32(&segment[offset..]) as usize == BATCH_BODY_BYTES
            && let Ok(Some(frame)) = Frames::new(segment, offset).read()
            && frame.kind == Kind::Batch
            && let Some(batch) = Batch::decode(frame.body)
            && batch.offset == offset as u64
            && batch.number >= least
        {
            return Some(offset);
        }
        at = magic + 1;
    }
    None
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

fn find(haystack: &[u8], needle: &[u8; 8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += haystack.get(at..)?.iter().position(|b| *b == needle[0])?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

pub(crate) fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, b| n << 8 | u32::from(*b))
}

pub(crate) fn be64(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}
