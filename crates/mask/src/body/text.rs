//! Text without a structure that is known here: prose, logs, HTML, XML.
//!
//! Plain values are found across lines, by [`Tail`]. Encoded ones are looked for in each line as a whole, or in pieces
//! of 64 KiB that overlap; the stream is given to the tail in these pieces, wherever it was split.

use super::Unreadable;
use super::found::Look;
use crate::detect::Finding;
use crate::limits::{BODY_LINE_BYTES_MAX, BODY_LINE_OVERLAP_BYTES};
use crate::tail::Tail;

#[derive(Default)]
pub(super) struct Text {
    tail: Tail,
    /// The line that is not yet whole, or what of it has not yet gone to the tail.
    line: Vec<u8>,
    /// Where in the stream `line` begins.
    at: usize,
    utf8: Utf8,
}

impl Text {
    pub(super) fn push(
        &mut self,
        look: &mut Look<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        self.utf8.push(bytes)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = &rest[..rest.len().min(BODY_LINE_BYTES_MAX - self.line.len())];
            let end = memchr::memchr(b'\n', room).map(|i| i + 1);
            let (piece, after) = rest.split_at(end.unwrap_or(room.len()));
            self.line.extend_from_slice(piece);
            if end.is_some() {
                self.release(self.line.len(), look, out);
            } else if self.line.len() == BODY_LINE_BYTES_MAX {
                self.release(BODY_LINE_BYTES_MAX - BODY_LINE_OVERLAP_BYTES, look, out);
            }
            rest = after;
        }
        Ok(())
    }

    pub(super) fn finish(mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        self.utf8.finish()?;
        self.release(self.line.len(), look, out);
        let detectors = look.detectors;
        let rest = self.tail.finish_judged(detectors, &mut |f, value| look.masks(&f, value, false));
        out.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    /// Gives the first `length` bytes of the line to the tail, with what is encoded in them.
    fn release(&mut self, length: usize, look: &mut Look<'_>, out: &mut Vec<u8>) {
        let detectors = look.detectors;
        let mut encoded = Vec::new();
        detectors.scan_encoded(&self.line, &mut encoded);
        let line = &self.line;
        // What begins behind is found again, with more context.
        encoded.retain(|f| f.range.start < length && look.masks(f, &line[f.range.clone()], false));
        let at = self.at;
        let moved = |f: Finding| Finding { range: f.range.start + at..f.range.end + at, ..f };
        let added = encoded.into_iter().map(moved).collect();
        let mut judge = |f: Finding, value: &[u8]| look.masks(&f, value, false);
        let released = self.tail.push_judged(detectors, &self.line[..length], added, &mut judge);
        out.extend_from_slice(released.as_bytes());
        self.line.drain(..length);
        self.at += length;
    }
}

/// Whether a stream is UTF-8.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character: at most three bytes.
    begun: Vec<u8>,
}

const NOT_UTF8: Unreadable = Unreadable("the text is not UTF-8");

impl Utf8 {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while !self.begun.is_empty() && !rest.is_empty() {
            let (byte, after) = rest.split_at(1);
            self.begun.extend_from_slice(byte);
            rest = after;
            if incomplete(&self.begun)? == 0 {
                self.begun.clear();
            }
        }
        let left = incomplete(rest)?;
        self.begun.extend_from_slice(&rest[rest.len() - left..]);
        Ok(())
    }

    fn finish(&self) -> Result<(), Unreadable> {
        if self.begun.is_empty() { Ok(()) } else { Err(NOT_UTF8) }
    }
}

/// How many bytes at the end are the beginning of a character.
fn incomplete(bytes: &[u8]) -> Result<usize, Unreadable> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(0),
        Err(error) if error.error_len().is_none() => Ok(bytes.len() - error.valid_up_to()),
        Err(_) => Err(NOT_UTF8),
    }
}
