//! Streams that may be split anywhere.

use std::cmp::Reverse;

use crate::detect::{Detectors, Finding, placeholder};
use crate::limits::LOOK_BEHIND_BYTES;

/// Bytes of a stream that detectors have seen, ready to be released. Made in this crate alone: by [`Tail`],
/// [`crate::release`] and [`crate::body::Body`].
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
    /// Whether `buffer` begins in the middle of a line.
    within: bool,
    /// `buffer` up to here belongs to a value whose placeholder is out.
    covered: usize,
    /// What was found in the stream by other means and is not yet released, in order.
    added: Vec<Finding>,
    /// What stands last before what is held was released undecided.
    let_go: bool,
}

/// Takes a finding, with its range in the stream, and its bytes; says whether a placeholder takes its place.
pub(crate) type Judge<'a> = &'a mut dyn FnMut(Finding, &[u8]) -> bool;

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
        let mut judge = |finding, _: &[u8]| {
            findings.push(finding);
            true
        };
        let mut out = Vec::new();
        self.push_judged(detectors, bytes, Vec::new(), &mut judge, &mut out);
        MaskedBytes(out)
    }

    /// Ends the stream.
    pub fn finish(self, detectors: &Detectors, findings: &mut Vec<Finding>) -> MaskedBytes {
        let mut judge = |finding, _: &[u8]| {
            findings.push(finding);
            true
        };
        let mut out = Vec::new();
        self.finish_judged(detectors, &mut judge, &mut out);
        MaskedBytes(out)
    }

    /// As [`Tail::push`], with a judge. `added` are findings by other means that begin in `bytes`, in order, with
    /// offsets in the stream; they may end behind `bytes`, are not judged, and a placeholder takes their place.
    pub(crate) fn push_judged(
        &mut self,
        detectors: &Detectors,
        bytes: &[u8],
        added: Vec<Finding>,
        judge: Judge<'_>,
        out: &mut Vec<u8>,
    ) {
        self.buffer.extend_from_slice(bytes);
        self.added.extend(added);
        let mut found = Vec::new();
        let decided = if self.let_go { 0 } else { self.released };
        let undecided = detectors.scan_open(&self.buffer, !self.within, decided, &mut found);
        let line = memchr::memrchr(b'\n', &self.buffer).map_or(0, |i| i + 1);
        let look_behind = line.max(self.buffer.len().saturating_sub(LOOK_BEHIND_BYTES));
        let cut = undecided.min(look_behind).max(self.released);
        // As long as nothing more leaves, a value whose beginning was let go waits for what becomes of its rest.
        let still = cut == self.released;
        self.release(cut, found, judge, out);
        self.let_go &= still;
        self.forget();
    }

    /// Releases what is held as if the stream ended here, but for a value that has surely begun. If another goes on behind it after all,
    /// its rest is replaced.
    pub(crate) fn let_go_judged(&mut self, detectors: &Detectors, judge: Judge<'_>, out: &mut Vec<u8>) {
        let mut found = Vec::new();
        detectors.scan_end(&self.buffer, !self.within, &mut found);
        let cut = self.cut(detectors, &found).map_or(self.buffer.len(), |f| f.range.start);
        self.release(cut.max(self.released), found, judge, out);
        self.let_go = true;
        self.forget();
    }

    /// As [`Tail::finish`], with a judge.
    pub(crate) fn finish_judged(mut self, detectors: &Detectors, judge: Judge<'_>, out: &mut Vec<u8>) {
        let mut found = Vec::new();
        detectors.scan_end(&self.buffer, !self.within, &mut found);
        self.release(self.buffer.len(), found, judge, out);
    }

    /// The same, of a stream that ends wherever its reader wanted: a value that has surely begun is replaced, too.
    pub(crate) fn finish_cut(mut self, detectors: &Detectors, judge: Judge<'_>, out: &mut Vec<u8>) {
        let mut found = Vec::new();
        detectors.scan_end(&self.buffer, !self.within, &mut found);
        let cut = self.cut(detectors, &found);
        found.extend(cut);
        found.sort_by_key(|f| (f.range.start, Reverse(f.range.end)));
        self.release(self.buffer.len(), found, judge, out);
    }

    /// What has surely begun at the end of what is here, and is part of no finding.
    fn cut(&self, detectors: &Detectors, found: &[Finding]) -> Option<Finding> {
        let cut = detectors.cut(&self.buffer, !self.within)?;
        let start = cut.range.start;
        let apart = found.iter().all(|f| f.range.end <= start)
            && self.added.iter().all(|f| f.range.end <= start + self.offset);
        (apart && start >= self.covered && cut.range.end > self.released).then_some(cut)
    }

    /// Releases up to `cut`, before which every finding is final.
    fn release(&mut self, cut: usize, found: Vec<Finding>, judge: Judge<'_>, out: &mut Vec<u8>) {
        for finding in self.masked(cut, found, judge) {
            let range = finding.range.start - self.offset..finding.range.end - self.offset;
            if range.start >= self.covered {
                let from = self.released.max(self.covered);
                out.extend_from_slice(self.buffer.get(from..range.start).unwrap_or_default());
                out.extend_from_slice(placeholder(&finding.class).as_bytes());
            }
            self.covered = self.covered.max(range.end);
        }
        let from = self.released.max(self.covered);
        out.extend_from_slice(self.buffer.get(from..cut).unwrap_or_default());
        self.released = cut;
    }

    /// What begins before `cut`, is not yet released and is to be replaced, sorted by start, longest first; with ranges
    /// in the stream.
    fn masked(&mut self, cut: usize, found: Vec<Finding>, judge: Judge<'_>) -> Vec<Finding> {
        let (buffer, offset, here) = (&self.buffer, self.offset, self.released..cut);
        // A value whose beginning was let go.
        let begun = |f: &Finding| {
            self.let_go && f.range.start < here.start && f.range.end > here.start && here.start < cut
        };
        let judged = |finding: Finding| {
            let value = &buffer[finding.range.clone()];
            let range = finding.range.start + offset..finding.range.end + offset;
            let finding = Finding { range, ..finding };
            judge(finding.clone(), value).then_some(finding)
        };
        let new = found.into_iter().filter(|f| here.contains(&f.range.start) || begun(f)).filter_map(judged);
        let mut masked: Vec<Finding> = new.collect();
        let added = self.added.partition_point(|f| f.range.start < cut + offset);
        if added > 0 {
            masked.extend(self.added.drain(..added));
            masked.sort_by_key(|f| (f.range.start, Reverse(f.range.end)));
        }
        masked
    }

    /// Drops released bytes that no detector can look back at.
    fn forget(&mut self) {
        let drop = self.released.saturating_sub(LOOK_BEHIND_BYTES);
        if let Some(last) = self.buffer.drain(..drop).next_back() {
            self.within = last != b'\n';
        }
        self.released -= drop;
        self.offset += drop;
        self.covered = self.covered.saturating_sub(drop);
    }
}

#[cfg(test)]
mod tests;
