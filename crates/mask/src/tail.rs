//! Streams that may be split anywhere.

use crate::detect::{Detectors, Finding, placeholder};
use crate::limits::LOOK_BEHIND_BYTES;

/// Bytes of a stream that detectors have seen, ready to be released. Made by [`Tail`] alone.
///
/// ```compile_fail,E0423
/// let forged = mask::MaskedBytes(Vec::new());
/// # drop(forged);
/// ```
///
/// ```
/// let forged = mask::Tail::new().push(&mask::Detectors::new(), b"", &mut Vec::new());
/// # drop(forged);
/// ```
#[must_use]
#[derive(PartialEq, Eq)]
pub struct MaskedBytes(pub(crate) Vec<u8>);

impl MaskedBytes {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl std::fmt::Debug for MaskedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MaskedBytes({} bytes)", self.0.len())
    }
}

/// The end of a stream that is not yet released. What comes out, put together, is the same however the stream
/// was split: bytes are held while a finding could still begin in them (at most [`LOOK_BEHIND_BYTES`] of the current
/// line, and a candidate until it is decided: 41 KiB for the longest, a JWE).
///
/// Only values that stand plain in the stream are found; encodings are undone for whole fields only ([`crate::fields`]).
#[derive(Default)]
pub struct Tail {
    /// Released context of at most [`LOOK_BEHIND_BYTES`], then what is held.
    buffer: Vec<u8>,
    /// How much of `buffer` is released.
    released: usize,
    /// The stream's offset of `buffer[0]`.
    offset: usize,
    /// `buffer` up to here belongs to a value whose placeholder is out.
    covered: usize,
}

impl Tail {
    pub fn new() -> Tail {
        Tail::default()
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.buffer.len() - self.released
    }

    /// Takes bytes and gives what can be released. Findings are appended, in order, with offsets in the stream.
    pub fn push(&mut self, detectors: &Detectors, bytes: &[u8], findings: &mut Vec<Finding>) -> MaskedBytes {
        self.buffer.extend_from_slice(bytes);
        let mut found = Vec::new();
        let undecided = detectors.scan_open(&self.buffer, self.released, &mut found);
        let line = memchr::memrchr(b'\n', &self.buffer).map_or(0, |i| i + 1);
        let look_behind = line.max(self.buffer.len().saturating_sub(LOOK_BEHIND_BYTES));
        let cut = undecided.min(look_behind).max(self.released);
        let out = self.release(cut, &found, findings);
        self.forget();
        out
    }

    /// Ends the stream.
    pub fn finish(mut self, detectors: &Detectors, findings: &mut Vec<Finding>) -> MaskedBytes {
        let mut found = Vec::new();
        detectors.scan(&self.buffer, &mut found);
        self.release(self.buffer.len(), &found, findings)
    }

    /// Releases up to `cut`, before which every finding is final.
    fn release(&mut self, cut: usize, found: &[Finding], findings: &mut Vec<Finding>) -> MaskedBytes {
        let mut out = Vec::with_capacity(cut - self.released + 16);
        for finding in found.iter().filter(|f| (self.released..cut).contains(&f.range.start)) {
            let range = finding.range.clone();
            if range.start >= self.covered {
                let from = self.released.max(self.covered);
                out.extend_from_slice(&self.buffer[from..range.start]);
                out.extend_from_slice(placeholder(&finding.class).as_bytes());
            }
            self.covered = self.covered.max(range.end);
            findings.push(Finding {
                range: range.start + self.offset..range.end + self.offset,
                ..finding.clone()
            });
        }
        let from = self.released.max(self.covered);
        out.extend_from_slice(self.buffer.get(from..cut).unwrap_or_default());
        self.released = cut;
        MaskedBytes(out)
    }

    /// Drops released bytes that no detector can look back at.
    fn forget(&mut self) {
        let drop = self.released.saturating_sub(LOOK_BEHIND_BYTES);
        self.buffer.drain(..drop);
        self.released -= drop;
        self.offset += drop;
        self.covered = self.covered.saturating_sub(drop);
    }
}

#[cfg(test)]
mod tests;
