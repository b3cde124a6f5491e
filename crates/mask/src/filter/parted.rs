//! What stands beside an escape: `\nORDER-77`, `%20ORDER-77`, `ESC[31mORDER-77` show a token that their bytes do not have.

use super::TOKEN;
use crate::detect::{marks, unit};
use crate::limits::BODY_INNER_DEPTH_MAX;

/// JSON in JSON: as deep as rules read it, each of which doubles the backslashes.
const DEPTH: u32 = BODY_INNER_DEPTH_MAX as u32;

/// Calls `each` with what is read of `text` where an escape touches a token: with the escapes undone, and with a blank in
/// the place of each, for a terminal may have gone elsewhere there.
pub(super) fn readings(text: &[u8], each: &mut impl FnMut(&[u8])) {
    read(text, DEPTH, each);
}

fn read(text: &[u8], depth: u32, each: &mut impl FnMut(&[u8])) {
    let mut at = 0;
    while let Some(start) = next(text, at) {
        let before = text[at..start].iter().rposition(|b| !TOKEN[usize::from(*b)]).map_or(at, |i| at + i + 1);
        let mut undone = text[before..start].to_vec();
        let mut parted = undone.clone();
        at = start;
        while let Some(byte) = text.get(at) {
            match unit(&text[at..], &mut undone) {
                0 if !TOKEN[usize::from(*byte)] => break,
                0 => {
                    undone.push(*byte);
                    parted.push(*byte);
                    at += 1;
                }
                length => {
                    parted.push(b' ');
                    at += length;
                }
            }
        }
        each(&undone);
        each(&parted);
        if depth > 1 {
            read(&undone, depth - 1, each);
        }
    }
}

/// Where the next escape begins. Each byte is looked at once, however many there are.
fn next(text: &[u8], from: usize) -> Option<usize> {
    let mut begin = marks(text.get(from..)?).map(|at| from + at);
    begin.find(|at| unit(&text[*at..], &mut Vec::new()) > 0)
}
