//! A ledger's files by their names, and its own copies of checkpoints: FORMAT.md, sections 1 and 7.
//!
//! Whoever reads a ledger asks here, so that two readers cannot differ about which files are evidence. Names and bytes
//! come in; no file is opened.

use crate::limits::COPIES_MAX;
use crate::verify::Known;

/// What a name among the segments stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// `NNNNNNNNNN.seg`, ten digits and nothing else.
    Segment(u64),
    /// The gateway's next segment, without a record in it.
    Spare,
    /// No part of a ledger.
    Other,
}

/// Reads a name in the directory of segments.
pub fn among_segments(name: &str) -> Among {
    match (name.strip_suffix(".seg"), name) {
        (Some(digits), _) => {
            let ten = digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit());
            ten.then(|| digits.parse().ok()).flatten().map_or(Among::Other, Among::Segment)
        }
        (None, "next.spare") => Among::Spare,
        (None, _) => Among::Other,
    }
}

/// Whether a name in the directory `witness` is a cosigned checkpoint's: eight digits of lower-case hexadecimal.
pub fn is_cosigned(name: &str) -> bool {
    name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A ledger's own copies of checkpoints: its newest, and what each witness cosigned last.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    pub known: Vec<Known>,
    /// A sentence for each that is none, so that it is no evidence of anything.
    pub unused: Vec<String>,
}

impl Copies {
    /// `witness`: the names in the directory `witness`. `read` gives the file of a path below the ledger's directory, of
    /// one that is longer than a note at least a byte more than [`crate::limits::NOTE_BYTES_MAX`], and `None` if there is none.
    pub fn read<E>(
        mut witness: Vec<String>,
        mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Copies, E> {
        let mut copies = Copies::default();
        witness.retain(|name| is_cosigned(name));
        witness.sort();
        let paths = witness.iter().take(COPIES_MAX).map(|name| format!("witness/{name}"));
        for path in std::iter::once("checkpoint".to_owned()).chain(paths) {
            match read(&path)?.map(|bytes| Known::parse(&bytes)) {
                None => {}
                Some(Ok(known)) => copies.known.push(known),
                Some(Err(error)) => {
                    copies.unused.push(format!("the file `{path}` was not used: {error}"));
                }
            }
        }
        if let Some(more @ 1..) = witness.len().checked_sub(COPIES_MAX) {
            copies.unused.push(format!("{more} files in `witness` were not used: they are too many"));
        }
        Ok(copies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_ten_digits_and_a_cosigned_checkpoint_eight() {
        assert_eq!(among_segments("0000000012.seg"), Among::Segment(12));
        assert_eq!(among_segments("next.spare"), Among::Spare);
        for name in ["+000000001.seg", "-000000001.seg", "1.seg", "00000000001.seg", "0000000001.tmp", ".seg"]
        {
            assert_eq!(among_segments(name), Among::Other, "{name}");
        }
        assert!(is_cosigned("00c0ffee"));
        for name in ["ABCDEF01", "abcdef0", "abcdef012", "abcdefg1", "+bcdef01"] {
            assert!(!is_cosigned(name), "{name}");
        }
    }
}
