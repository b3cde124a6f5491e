//! The last look: whole protocol frames on their way to the client.

use std::borrow::Cow;
use std::ops::Range;

use crate::detect::{Detectors, Finding};
use crate::field::MaskedField;
use crate::known::{Known, Origin};
use crate::tail::MaskedBytes;

/// Bytes in which something was found that nothing explains. They are given back to be masked frame by frame.
pub struct Unmasked {
    pub bytes: Vec<u8>,
    pub findings: Vec<Finding>,
}

/// Looks once more over frames that are about to leave. A finding that the run already knows (its own masks, its own
/// words, what a grant revealed) is reported and passes; any other keeps the bytes here.
///
/// A value that a frame's header cuts in two is not found here: cells are looked at one by one by
/// [`crate::fields`] where their format hides a value.
pub fn release(
    detectors: &Detectors,
    bytes: Vec<u8>,
    known: &Known,
) -> Result<(MaskedBytes, Vec<(Finding, Origin)>), Unmasked> {
    let mut findings = Vec::new();
    detectors.scan_deep(&bytes, &mut findings);
    explained(bytes, findings, known)
}

/// As [`release`], each piece between two of `cuts` (sorted offsets) looked at by itself: where a value ends and the
/// next frame begins, the whole reads `com` and `D` as one word.
pub fn release_pieces(
    detectors: &Detectors,
    bytes: Vec<u8>,
    cuts: &[usize],
    known: &Known,
) -> Result<(MaskedBytes, Vec<(Finding, Origin)>), Unmasked> {
    let mut findings = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        let Some(piece) = bytes.get(start..end) else { continue };
        let first = findings.len();
        detectors.scan_deep(piece, &mut findings);
        for finding in findings.iter_mut().skip(first) {
            finding.range = finding.range.start + start..finding.range.end + start;
        }
        start = end;
    }
    explained(bytes, findings, known)
}

fn explained(
    bytes: Vec<u8>,
    findings: Vec<Finding>,
    known: &Known,
) -> Result<(MaskedBytes, Vec<(Finding, Origin)>), Unmasked> {
    let explained: Option<Vec<Origin>> =
        findings.iter().map(|f| bytes.get(f.range.clone()).and_then(|value| known.origin(value))).collect();
    match explained {
        Some(origins) => Ok((MaskedBytes(bytes), findings.into_iter().zip(origins).collect())),
        None => Err(Unmasked { bytes, findings }),
    }
}

impl MaskedBytes {
    /// A piece of what was released, as a field for the reel. `None` if `range` is not within the bytes.
    pub fn field(&self, range: Range<usize>) -> Option<MaskedField<'_>> {
        self.0.get(range).map(|bytes| MaskedField(Some(Cow::Borrowed(bytes))))
    }
}

impl MaskedBytes {
    /// These bytes, and `next` behind them.
    pub fn then(mut self, next: MaskedBytes) -> MaskedBytes {
        match self.0.is_empty() {
            true => next,
            false => {
                self.0.extend_from_slice(&next.0);
                self
            }
        }
    }

    /// Several pieces of what was released, one behind another, as a field for the reel.
    pub fn pieces(&self, ranges: &[Range<usize>]) -> MaskedField<'static> {
        let bytes: Vec<u8> =
            ranges.iter().filter_map(|range| self.0.get(range.clone())).flatten().copied().collect();
        MaskedField(Some(Cow::Owned(bytes)))
    }
}

/// A NULL for the reel.
pub fn null_field<'a>() -> MaskedField<'a> {
    MaskedField(None)
}

/// A constant of ours.
pub fn constant(bytes: &'static [u8]) -> MaskedBytes {
    MaskedBytes(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_value_that_the_run_knows_passes() {
        let detectors = Detectors::new();
        let mut known = Known::new([7; 16]);
        let frame = b"D\0\0\0\x20 alice@example.com \0".to_vec();
        let Err(unmasked) = release(&detectors, frame, &known) else { panic!("an e-mail address passed") };
        assert_eq!(unmasked.findings.len(), 1);
        known.remember(Origin::Echo, b"alice@example.com");
        let (bytes, explained) = release(&detectors, unmasked.bytes, &known).ok().unwrap();
        assert_eq!(explained.len(), 1);
        assert_eq!(explained[0].1, Origin::Echo);
        assert!(bytes.as_bytes().starts_with(b"D"));
    }

    #[test]
    fn a_known_value_before_the_next_frame_passes_in_pieces() {
        let detectors = Detectors::new();
        let mut known = Known::new([7; 16]);
        known.remember(Origin::Revealed, b"alice@example.com");
        let bytes = b"alice@example.comD\0\0bob@example.com".to_vec();
        let end = b"alice@example.com".len();
        let Err(whole) = release(&detectors, bytes, &known) else { panic!("comD is no part of the value") };
        let Err(unmasked) = release_pieces(&detectors, whole.bytes, &[end, end + 3], &known) else {
            panic!("bob passed")
        };
        let only_known = unmasked.bytes[..end + 3].to_vec();
        let (_, explained) = release_pieces(&detectors, only_known, &[end], &known).ok().unwrap();
        assert_eq!(explained.len(), 1);
        assert_eq!(explained[0].0.range, 0..end);
        // Cuts that do not fit leave nothing unseen.
        assert!(release_pieces(&detectors, unmasked.bytes, &[90, 3], &known).is_err());
    }
}
