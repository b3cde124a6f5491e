//! The last look: whole protocol frames on their way to the client.

use std::borrow::Cow;
use std::ops::Range;

use crate::detect::{Detectors, Finding};
use crate::field::{MaskedField, SEPARATOR};
use crate::known::{Known, Origin};
use crate::limits::{FRAMING_BYTES_MAX, KEPT_BEFORE_BYTES, LOOK_BEHIND_BYTES};
use crate::tail::MaskedBytes;

/// Bytes in which something was found that nothing explains. They are given back to be masked frame by frame.
pub struct Unmasked {
    pub bytes: Vec<u8>,
    pub findings: Vec<Finding>,
}

/// Looks once more over frames that are about to leave. A finding that the run already knows (its own masks, its own
/// words, what a grant revealed) is reported and passes; any other keeps the bytes here.
///
/// `values` says where values stand, in order. What stands between two of them (a header, a length) is set apart, so
/// that it is no part of a value; where that is longer than [`FRAMING_BYTES_MAX`] it is looked at as it is. `apart` is
/// memory to be used again.
pub fn release(
    detectors: &Detectors,
    bytes: Vec<u8>,
    values: &[Range<usize>],
    known: &Known,
    apart: &mut Vec<u8>,
) -> Result<(MaskedBytes, Vec<(Finding, Origin)>), Unmasked> {
    apart.clear();
    apart.extend_from_slice(&bytes);
    let mut end = 0;
    for value in values.iter().chain([&(bytes.len()..bytes.len())]) {
        let framing = apart.get_mut(end..value.start).filter(|framing| framing.len() <= FRAMING_BYTES_MAX);
        framing.unwrap_or_default().fill(SEPARATOR);
        end = value.end;
    }
    let mut findings = Vec::new();
    detectors.scan_deep(apart, &mut findings);
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
    /// The first of these bytes, at most so many; the rest stays.
    pub fn split_to(&mut self, at: usize) -> MaskedBytes {
        let rest = self.0.split_off(at.min(self.0.len()));
        MaskedBytes(std::mem::replace(&mut self.0, rest))
    }

    /// Nothing yet, and room for so many bytes.
    pub fn with_room(bytes: usize) -> MaskedBytes {
        MaskedBytes(Vec::with_capacity(bytes))
    }

    /// Nothing again; the room stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

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

/// A piece of a body in its chunk (RFC 9112, 7.1): its length, and it. Nothing where it is empty, which would end the
/// body.
pub fn chunk(piece: MaskedBytes) -> MaskedBytes {
    if piece.0.is_empty() {
        return piece;
    }
    let length = format!("{:x}\r\n", piece.0.len());
    MaskedBytes([length.as_bytes(), &piece.0, b"\r\n"].concat())
}

/// A message in one frame of WebSocket's (RFC 6455, 5.2), as a service sends it: its length, and it.
pub fn message(piece: MaskedBytes, text: bool) -> MaskedBytes {
    let mut out = vec![if text { 0x81 } else { 0x82 }];
    match (u8::try_from(piece.0.len()), u16::try_from(piece.0.len())) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(127);
            out.extend_from_slice(&(piece.0.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&piece.0);
    MaskedBytes(out)
}

/// A piece of a stream of Kubernetes' over WebSocket, as a service sends it: the number of its channel, and it, in one message.
pub fn channel_message(channel: u8, piece: &MaskedBytes) -> MaskedBytes {
    let mut out = vec![channel];
    out.extend_from_slice(&piece.0);
    message(MaskedBytes(out), false)
}

/// A piece of a stream of SPDY's (3.1, 2.2.2), in one data frame: the stream's number and the piece's length, of at most 16 MiB, and
/// it. Longer ones are taken for empty.
pub fn spdy_data(stream: u32, piece: &MaskedBytes) -> MaskedBytes {
    let bytes: &[u8] = if piece.0.len() < 1 << 24 { &piece.0 } else { b"" };
    let mut out = Vec::with_capacity(bytes.len() + 8);
    out.extend_from_slice(&(stream & 0x7fff_ffff).to_be_bytes());
    // Flags, none of which is set, and 24 bits of length.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(bytes);
    MaskedBytes(out)
}

/// A stream whose bytes mean nothing to the gateway, and that policy lets through all the same: it is looked into, and not changed, since
/// a placeholder of another length would break what nobody here reads.
#[derive(Default)]
pub struct Opaque {
    /// The end of what passed, which is looked at again with the next piece: what a detector looks back at, and a candidate that is
    /// undecided from where it begins, at most [`KEPT_BEFORE_BYTES`].
    before: Vec<u8>,
}

impl Opaque {
    /// The next piece as it is, and what detectors find that ends in it. Of a value that is cut between two pieces, the beginning has passed.
    pub fn pass(&mut self, detectors: &Detectors, bytes: &[u8]) -> (MaskedBytes, Vec<Finding>) {
        let known = self.before.len();
        self.before.extend_from_slice(bytes);
        let mut findings = Vec::new();
        detectors.scan_deep(&self.before, &mut findings);
        findings.retain(|finding| finding.range.end > known);
        let undecided = detectors.scan_open(&self.before, true, 0, &mut Vec::new());
        let behind = self.before.len().saturating_sub(LOOK_BEHIND_BYTES);
        let most = self.before.len().saturating_sub(KEPT_BEFORE_BYTES);
        self.before.drain(..undecided.min(behind).max(most));
        (MaskedBytes(bytes.to_vec()), findings)
    }

    /// The same of what another resource's path has masked and recorded already.
    pub fn masked_before(bytes: &[u8]) -> MaskedBytes {
        MaskedBytes(bytes.to_vec())
    }
}

/// A constant of ours.
pub fn constant(bytes: &'static [u8]) -> MaskedBytes {
    MaskedBytes(bytes.to_vec())
}

// A frame with one field has one range; a range that runs backwards is what must be refused.
#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, clippy::reversed_empty_ranges)]
mod tests {
    use super::*;

    fn look(bytes: &[u8], values: &[Range<usize>], known: &Known) -> Result<usize, Unmasked> {
        let (bytes, explained) = release(&Detectors::new(), bytes.to_vec(), values, known, &mut Vec::new())?;
        assert!(!bytes.as_bytes().is_empty());
        Ok(explained.len())
    }

    #[test]
    fn what_is_opaque_passes_as_it_is_and_a_value_is_found_once_however_it_is_cut() {
        let bytes = b"\0\x01mail: ada.osei@example.com \xff\xfe and more".as_slice();
        for cut in 0..bytes.len() {
            let (mut opaque, mut passed, mut found) = (Opaque::default(), Vec::new(), 0);
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let (bytes, findings) = opaque.pass(&Detectors::new(), piece);
                passed.extend_from_slice(bytes.as_bytes());
                found += findings.len();
            }
            assert_eq!(passed, bytes);
            assert!(found >= 1, "cut at {cut}");
        }
    }

    #[test]
    fn a_long_token_that_comes_in_pieces_is_found() {
        let long = format!("github_pat_{}", "aB3_".repeat(20) + "x9");
        for text in [
            format!("token {long} end"),
            format!("key sk-ant-{}\n", "aB3x".repeat(63)),
            format!("token {} end", jwt()),
        ] {
            let whole = Opaque::default().pass(&Detectors::new(), text.as_bytes()).1.len();
            for step in [1, 7, 64, 255, 300] {
                let mut opaque = Opaque::default();
                let found: usize = text
                    .as_bytes()
                    .chunks(step)
                    .map(|piece| opaque.pass(&Detectors::new(), piece).1.len())
                    .sum();
                assert_eq!(found > 0, whole > 0, "{} bytes by {step}", text.len());
            }
        }
    }

    /// One whose header alone is 700 bytes.
    fn jwt() -> String {
        // `{"alg":"HS256","kid":"000...000"}`
        format!("eyJhbGciOiJIUzI1NiIsImtpZCI6IjAw{}MCJ9.eyJzdWIiOiIxIn0.c2ln", "MDAw".repeat(170))
    }

    #[test]
    fn what_is_kept_of_a_stream_is_bounded() {
        let (mut opaque, detectors) = (Opaque::default(), Detectors::new());
        for _ in 0..100 {
            let _ = opaque.pass(&detectors, b"eyJhbGciOiJIUzI1NiIs".repeat(50).as_slice());
            assert!(opaque.before.len() <= KEPT_BEFORE_BYTES);
        }
        let _ = opaque.pass(&detectors, &b"plain words, and so on. ".repeat(100));
        assert_eq!(opaque.before.len(), LOOK_BEHIND_BYTES);
    }

    #[test]
    fn a_message_says_how_long_it_is_in_the_shortest_way() {
        let head = |length: usize, text| message(MaskedBytes(vec![b'x'; length]), text).0[..10].to_vec();
        assert_eq!(head(125, true)[..3], [0x81, 125, b'x']);
        assert_eq!(head(126, false)[..5], [0x82, 126, 0, 126, b'x']);
        assert_eq!(head(0xffff, true)[..5], [0x81, 126, 0xff, 0xff, b'x']);
        assert_eq!(head(0x1_0000, true), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(message(MaskedBytes(Vec::new()), true).0, [0x81, 0]);
    }

    #[test]
    fn only_a_value_that_the_run_knows_passes() {
        let mut known = Known::new([7; 16]);
        let frame = b"D\0\0\0\x20 alice@example.com \0";
        let all = [5..frame.len()];
        let Err(unmasked) = look(frame, &all, &known) else { panic!("an e-mail address passed") };
        assert_eq!(unmasked.findings.len(), 1);
        known.remember(Origin::Echo, b"alice@example.com");
        assert_eq!(look(frame, &all, &known).ok(), Some(1));
    }

    #[test]
    fn a_value_ends_where_its_cell_ends() {
        let mut known = Known::new([7; 16]);
        known.remember(Origin::Revealed, b"alice@example.com");
        let end = b"alice@example.com".len();
        let bytes = b"alice@example.comD\0\0bob@example.com";
        assert!(look(&bytes[..end + 3], &[0..end + 3], &known).is_err(), "comD is no part of the value");
        assert_eq!(look(&bytes[..end + 3], &[0..end, end + 3..end + 3], &known).ok(), Some(1));
        assert!(look(bytes, &[0..end, end + 3..bytes.len()], &known).is_err(), "bob passed");
    }

    #[test]
    fn a_length_that_reads_as_a_letter_hides_nothing() {
        // 0x31 is the digit 1: the number would be longer than a social security number.
        let bytes = b"\0\0\x001219-09-9999 is the number that was asked for at 9";
        assert!(look(bytes, &[0..bytes.len()], &Known::new([7; 16])).is_ok());
        assert!(look(bytes, &[4..bytes.len()], &Known::new([7; 16])).is_err());
    }

    #[test]
    fn what_is_no_value_is_looked_at_too_if_it_is_long() {
        let known = Known::new([7; 16]);
        let bytes = b"to alice@example.com and more";
        assert!(look(bytes, &[], &known).is_err());
        assert!(look(bytes, &[0..2, 27..bytes.len()], &known).is_err());
        // Places that do not fit leave nothing unseen.
        assert!(look(bytes, &[90..95, 3..2, 0..4], &known).is_err());
    }
}
