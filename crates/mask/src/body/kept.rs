//! A mask that keeps its length: of bytes that stand at an offset of a file, and that a client puts there.
//!
//! Pieces of a file come in any order and of any size. So a piece is looked at with what stands around it, and what is found is
//! covered where it stands: by the class's placeholder, filled up, or where that has no room, by `*`. Ends of lines stay.

use std::collections::BTreeSet;
use std::ops::Range;

use super::found::{Act, Found, Look};
use crate::detect::{Detectors, Finding, groups, placeholder};
use crate::known::Known;
use crate::limits::{KEPT_BEFORE_BYTES, KEPT_BEHIND_BYTES};
use crate::tail::MaskedBytes;

/// A piece of a file, masked in its length.
pub struct Kept {
    pub bytes: MaskedBytes,
    /// The same with all of it covered that was found, also what the run may see: for a record.
    pub shown: MaskedBytes,
    pub found: Found,
    /// Where in the text a candidate begins that goes on behind the piece; the piece's end where none does. Whoever looks at what
    /// follows looks from there on, and from [`KEPT_BEFORE_BYTES`] before it.
    pub open: usize,
}

/// Masks `text[piece]`. `text` has what stands before the piece, from where a value that reaches into it could begin, and at
/// least [`KEPT_BEHIND_BYTES`] behind it, or all that there is: `ended`. `begun`: what begins before the piece counts, too, since
/// nobody looked at it.
///
/// `None`: what has begun in the piece is not decided by what stands behind it. With `last` nothing more is to be had, and it is
/// covered to the piece's end.
pub fn kept(
    detectors: &Detectors,
    known: &Known,
    text: &[u8],
    piece: Range<usize>,
    (ended, begun, last): (bool, bool, bool),
) -> Option<Kept> {
    let mut findings = Vec::new();
    let undecided = match ended {
        true => {
            detectors.scan(text, &mut findings);
            text.len()
        }
        false => detectors.scan_open(text, true, 0, &mut findings),
    };
    if undecided < piece.end && !last {
        return None;
    }
    // What is encoded may go on behind the piece, too.
    detectors.scan_encoded(text, &mut findings);
    let open = findings.iter().filter(|f| f.range.end > piece.end).map(|f| f.range.start);
    let open = open.min().unwrap_or(piece.end).min(undecided).min(piece.end);
    findings.retain(|f| f.range.end > piece.start && f.range.start < piece.end);
    let (revealed, mut found) = (BTreeSet::new(), Found::default());
    let mut look = Look { detectors, known, revealed: &revealed, found: &mut found };
    let mut masked = findings.clone();
    masked.retain(|finding| {
        let act = look.act(finding, text.get(finding.range.clone()).unwrap_or_default(), false);
        if begun || finding.range.start >= piece.start {
            look.note(finding, act);
        }
        act == Act::Masked
    });
    let without = |findings: &[Finding]| {
        let mut bytes = text.get(piece.clone()).unwrap_or_default().to_vec();
        for (first, range) in groups(findings) {
            cover(&mut bytes, piece.start, first, range);
        }
        if undecided < piece.end {
            let from = undecided.saturating_sub(piece.start);
            bytes.get_mut(from..).unwrap_or_default().iter_mut().for_each(star);
        }
        MaskedBytes(bytes)
    };
    let (bytes, shown) = (without(&masked), without(&findings));
    Some(Kept { bytes, shown, found, open })
}

/// Covers what of `range` of the text stands in `bytes`, which begin at `start` of it.
fn cover(bytes: &mut [u8], start: usize, first: &Finding, range: Range<usize>) {
    let word = placeholder(&first.class);
    let word = if word.len() <= range.len() { word.as_bytes() } else { b"" };
    let from = range.start.max(start);
    let to = range.end.min(start + bytes.len());
    for at in from..to {
        let Some(byte) = bytes.get_mut(at - start) else { continue };
        match word.get(at - range.start) {
            Some(&letter) => *byte = letter,
            None => star(byte),
        }
    }
}

fn star(byte: &mut u8) {
    if !matches!(*byte, b'\n' | b'\r') {
        *byte = b'*';
    }
}

const _: () = assert!(KEPT_BEHIND_BYTES <= KEPT_BEFORE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::Origin;

    fn all(text: &[u8], piece: Range<usize>, ended: bool) -> Option<String> {
        let (detectors, known) = (Detectors::new(), Known::new([1; 16]));
        let kept = kept(&detectors, &known, text, piece.clone(), (ended, false, false))?;
        assert_eq!(kept.bytes.as_bytes().len(), piece.len());
        Some(String::from_utf8_lossy(kept.bytes.as_bytes()).into_owned())
    }

    const TEXT: &[u8] = b"id 536-22-8391, mail ada.osei@example.com.\nNTM2LTIyLTgzOTEgYW5kIG1vcmU=\n";

    #[test]
    fn a_mask_keeps_its_length() {
        let masked = all(TEXT, 0..TEXT.len(), true).unwrap();
        assert_eq!(masked.len(), TEXT.len());
        assert!(masked.starts_with("id [pii.ssn]**, mail [pii.email]*********.\n[pii.ssn]***"), "{masked}");
        assert!(masked.ends_with("*\n"), "{masked}");
    }

    #[test]
    fn every_piece_is_what_it_is_in_the_whole() {
        let whole = all(TEXT, 0..TEXT.len(), true).unwrap();
        for from in 0..TEXT.len() {
            for to in from..=TEXT.len() {
                assert_eq!(all(TEXT, from..to, true).unwrap(), whole[from..to], "{from}..{to}");
            }
        }
    }

    #[test]
    fn what_may_go_on_is_not_decided_and_at_last_covered() {
        let text = b"key ada.osei@exam";
        assert_eq!(all(text, 0..text.len(), false), None);
        assert!(all(text, 0..3, false).is_some());
        let (detectors, known) = (Detectors::new(), Known::new([1; 16]));
        let last = kept(&detectors, &known, text, 0..text.len(), (false, false, true)).unwrap();
        assert_eq!(last.bytes.as_bytes(), b"key *************");
        assert_eq!(last.open, 4);
    }

    #[test]
    fn a_long_value_is_open_to_what_follows() {
        let pem =
            format!("x\n-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "QUJD".repeat(40));
        let (detectors, known) = (Detectors::new(), Known::new([1; 16]));
        let at = 60;
        let first = kept(&detectors, &known, pem.as_bytes(), 0..at, (true, false, false)).unwrap();
        assert_eq!(first.open, 2);
        let second = kept(&detectors, &known, pem.as_bytes(), at..pem.len(), (true, false, false)).unwrap();
        assert!(!second.bytes.as_bytes().windows(8).any(|some| some == b"QUJDQUJD"));
        assert!(second.found.tripped.is_empty(), "it counts where it begins");
        let alone = kept(&detectors, &known, pem.as_bytes(), at..pem.len(), (true, true, false)).unwrap();
        assert_eq!(alone.found.tripped.len(), 1);
    }

    #[test]
    fn what_the_run_sent_passes() {
        let (detectors, mut known) = (Detectors::new(), Known::new([1; 16]));
        known.remember(Origin::Echo, b"536-22-8391");
        let text = b"id 536-22-8391";
        let masked = kept(&detectors, &known, text, 0..text.len(), (true, false, false)).unwrap();
        assert_eq!(masked.bytes.as_bytes(), text);
        assert_eq!(masked.shown.as_bytes(), b"id [pii.ssn]**", "a record shows no more than a placeholder");
        assert_eq!(masked.found.tripped.len(), 1);
        // In pieces neither shows a part of it.
        for (piece, shown) in [(0..7, &b"id [pii"[..]), (7..14, b".ssn]**")] {
            let masked = kept(&detectors, &known, text, piece, (true, false, false)).unwrap();
            assert_eq!(masked.shown.as_bytes(), shown);
        }
    }

    /// A file that is read in order, each piece looked at from where the relay looks from.
    fn in_order(text: &[u8], size: usize) -> Vec<u8> {
        let (detectors, known) = (Detectors::new(), Known::new([1; 16]));
        let (mut out, mut open) = (Vec::new(), 0);
        for start in (0..text.len()).step_by(size) {
            let end = text.len().min(start + size);
            let before = start.saturating_sub(KEPT_BEFORE_BYTES);
            let from = open.max(before).min(start.saturating_sub(KEPT_BEHIND_BYTES).max(before));
            let until = text.len().min(end + KEPT_BEHIND_BYTES);
            let seen = &text[from..until];
            let piece = start - from..end - from;
            let how = (until == text.len(), false, false);
            let looked = kept(&detectors, &known, seen, piece.clone(), how).unwrap_or_else(|| {
                let until = text.len().min(end + KEPT_BEFORE_BYTES);
                let how = (until == text.len(), false, true);
                kept(&detectors, &known, &text[from..until], piece, how).unwrap()
            });
            out.extend_from_slice(looked.bytes.as_bytes());
            open = from + looked.open;
        }
        out
    }

    #[test]
    fn a_long_run_that_is_encoded_is_covered_to_its_end() {
        // "536-22-8391 and more.", and blanks behind it.
        let text = ["x\n", "NTM2LTIyLTgzOTEgYW5kIG1vcmUg", &"ICAg".repeat(5_000), "\ny\n"].concat();
        let whole = all(text.as_bytes(), 0..text.len(), true).unwrap();
        assert!(!whole.contains("ICAg"), "a run is covered whole");
        assert_eq!(String::from_utf8(in_order(text.as_bytes(), 6 << 10)).unwrap(), whole);
    }
}
