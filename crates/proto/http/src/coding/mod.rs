//! Content codings undone: gzip, deflate, br and zstd, as a body streams. Spec: RFC 9110, 8.4.1; RFC 1950 to 1952
//! (deflate, gzip), RFC 7932 (br), RFC 8878 and 9659 (zstd).
//!
//! A body is decoded in pieces of [`DECODED_PIECE_BYTES_MAX`], each when it is asked for: nothing is decoded ahead, and
//! what a sender has flushed comes out without what follows it. Memory is the windows of the codings, whatever a body
//! declares of itself.
//!
//! What is decoded is what is looked into, recorded and sent on, always as identity: there is one reader of the codings,
//! so that a body which two could read in two ways is no way around it. Therefore a raw deflate stream is taken where
//! RFC 9110 asks for zlib's (many senders have one; a header that is none says which it is), and several members of
//! gzip, or frames of zstd, are one body.
//!
//! **Refused**: a body that ends inside its coding, or goes on behind its end; a checksum or length that does not hold;
//! bytes of which too many come (a bomb), or too few (padding); a dictionary; a larger window than [`WINDOW_BITS_MAX`].
//! A body without a byte is empty in every coding.
//!
//! **Deliberately absent**: encoding. Identity is what every reader reads.

use std::fmt;

use bytes::{Buf, BytesMut};

use crate::limits::*;
use crate::media::Encoding;

mod brotli;
mod inflate;
mod zstd;

/// The body cannot be decoded: a constant sentence. Of what was decoded before nothing is wrong, but that more was to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable(pub &'static str);

const CUT: Undecodable = Undecodable("the body ends before its coding does");
const BEHIND: Undecodable = Undecodable("bytes stand behind the end of an encoded body");
const BOMB: Undecodable = Undecodable("the body is much larger than what was sent of it");
const PADDED: Undecodable = Undecodable("almost nothing comes of what was sent of the body");

/// Undoes the codings of one body.
///
/// ```
/// use proto_http::coding::Decoder;
/// use proto_http::message::Encoding;
///
/// // Two stored blocks of deflate, in pieces.
/// let mut decoder = Decoder::of(&[Encoding::Deflate]).unwrap().unwrap();
/// decoder.push(b"\x00\x03\x00\xfc\xffone\x01\x03");
/// assert_eq!(decoder.pull(), Ok(&b"one"[..]));
/// assert_eq!(decoder.pull(), Ok(&b""[..]));
/// decoder.push(b"\x00\xfc\xfftwo");
/// assert_eq!(decoder.pull(), Ok(&b"two"[..]));
/// assert_eq!(decoder.finish(), Ok(()));
/// ```
pub struct Decoder {
    /// The coding that was applied last comes first.
    stages: Vec<Stage>,
    /// Bytes that came.
    came: u64,
    piece: Box<[u8]>,
    failed: Option<Undecodable>,
}

/// One coding, and what it has not read yet.
struct Stage {
    coding: Coding,
    input: BytesMut,
    /// Bytes that it has given.
    gave: u64,
    /// Where the next stage's input is decoded into; empty in the last one.
    between: Box<[u8]>,
}

enum Coding {
    Gzip(inflate::Gzip),
    Deflate(inflate::Deflate),
    Br(brotli::Br),
    Zstd(zstd::Zstd),
}

/// How many bytes a coding has read and written. Neither: it needs more.
type Moved = (usize, usize);

impl Decoder {
    /// For a body whose head names `encodings`; `None` if there is nothing to undo. Errors: as [`check`].
    pub fn of(encodings: &[Encoding]) -> Result<Option<Decoder>, &'static str> {
        check(encodings)?;
        let mut stages: Vec<Stage> = encodings.iter().rev().filter_map(|e| Stage::new(*e)).collect();
        let Some(inner) = stages.len().checked_sub(1) else { return Ok(None) };
        stages.iter_mut().take(inner).for_each(|stage| stage.between = piece());
        Ok(Some(Decoder { stages, came: 0, piece: piece(), failed: None }))
    }

    /// Takes bytes of the body. They are held until they are pulled: pull before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.came += bytes.len() as u64;
        if let Some(first) = self.stages.first_mut() {
            first.input.extend_from_slice(bytes);
        }
    }

    /// The next piece, at most [`DECODED_PIECE_BYTES_MAX`]; empty if more must be pushed.
    pub fn pull(&mut self) -> Result<&[u8], Undecodable> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let length = match pull(&mut self.stages, self.came, &mut self.piece) {
            Ok(0) if self.is_padded() => Err(PADDED),
            pulled => pulled,
        };
        match length {
            Ok(length) => Ok(self.piece.get(..length).unwrap_or_default()),
            Err(why) => {
                self.failed = Some(why);
                Err(why)
            }
        }
    }

    /// No more will come, and everything was pulled.
    pub fn finish(&self) -> Result<(), Undecodable> {
        let whole = |stage: &Stage| stage.coding.is_whole() && stage.input.is_empty();
        match self.failed {
            Some(why) => Err(why),
            None if self.came == 0 || self.stages.iter().all(whole) => Ok(()),
            None => Err(CUT),
        }
    }

    fn is_padded(&self) -> bool {
        let gave = self.stages.last().map_or(0, |stage| stage.gave);
        self.came > PADDING_FREE_BYTES.saturating_add(gave.saturating_mul(PADDING_RATIO_MAX))
    }
}

/// Whether a body in these codings can be decoded. Errors: it cannot, because of one that is not known, or of more than
/// [`CODINGS_MAX`]: such a body is opaque.
pub fn check(encodings: &[Encoding]) -> Result<(), &'static str> {
    let codings = encodings.iter().filter(|encoding| **encoding != Encoding::Identity);
    match (encodings.contains(&Encoding::Unknown), codings.count()) {
        (true, _) => Err("a body in a coding that is not known"),
        (false, count) if count > CODINGS_MAX => Err("a body in more codings than are undone"),
        (false, _) => Ok(()),
    }
}

/// What the last of `stages` can give now.
fn pull(stages: &mut [Stage], came: u64, out: &mut [u8]) -> Result<usize, Undecodable> {
    let Some((last, outer)) = stages.split_last_mut() else { return Ok(0) };
    loop {
        let wrote = last.give(came, out)?;
        if wrote > 0 {
            return Ok(wrote);
        }
        let Some(before) = outer.last_mut() else { return Ok(0) };
        let mut between = std::mem::take(&mut before.between);
        let refilled = pull(outer, came, &mut between);
        if let Ok(length) = refilled {
            last.input.extend_from_slice(between.get(..length).unwrap_or_default());
        }
        if let Some(before) = outer.last_mut() {
            before.between = between;
        }
        if refilled? == 0 {
            return Ok(0);
        }
    }
}

fn piece() -> Box<[u8]> {
    vec![0; DECODED_PIECE_BYTES_MAX].into_boxed_slice()
}

impl Stage {
    /// `None` for what is no coding.
    fn new(encoding: Encoding) -> Option<Stage> {
        let coding = match encoding {
            Encoding::Gzip => Coding::Gzip(inflate::Gzip::new()),
            Encoding::Deflate => Coding::Deflate(inflate::Deflate::new()),
            Encoding::Br => Coding::Br(brotli::Br::new()),
            Encoding::Zstd => Coding::Zstd(zstd::Zstd::new()),
            Encoding::Identity | Encoding::Unknown => return None,
        };
        Some(Stage { coding, input: BytesMut::new(), gave: 0, between: Box::default() })
    }

    /// Fills `out` as far as its input goes.
    fn give(&mut self, came: u64, out: &mut [u8]) -> Result<usize, Undecodable> {
        let mut wrote = 0;
        while let Some(rest) = out.get_mut(wrote..).filter(|rest| !rest.is_empty()) {
            let (read, written) = self.coding.step(&self.input, rest)?;
            self.input.advance(read);
            wrote += written;
            self.gave += written as u64;
            // What is larger than this is not read on to its end.
            if self.gave > DECODED_FREE_BYTES.saturating_add(came.saturating_mul(DECODED_RATIO_MAX)) {
                return Err(BOMB);
            }
            if (read, written) == (0, 0) {
                break;
            }
        }
        Ok(wrote)
    }
}

impl Coding {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Undecodable> {
        match self {
            Coding::Gzip(gzip) => gzip.step(input, out),
            Coding::Deflate(deflate) => deflate.step(input, out),
            Coding::Br(br) => br.step(input, out),
            Coding::Zstd(zstd) => zstd.step(input, out),
        }
    }

    /// Whether the body may end here.
    fn is_whole(&self) -> bool {
        match self {
            Coding::Gzip(gzip) => gzip.is_whole(),
            Coding::Deflate(deflate) => deflate.is_whole(),
            Coding::Br(br) => br.is_whole(),
            Coding::Zstd(zstd) => zstd.is_whole(),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({} codings, {} bytes came)", self.stages.len(), self.came)
    }
}

#[cfg(test)]
mod tests;
