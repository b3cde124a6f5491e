//! Tokens: what of a text enters a filter by itself, and what is asked for of a value.

use crate::detect::{Runs, of_token};
use crate::letter::is_letter;
use crate::limits::{FILTER_TOKEN_BYTES_MAX, FILTER_TOKEN_BYTES_MIN};

/// Calls `each` with the tokens of a text: runs of letters, digits and `_ - . @ +`, without leading and trailing punctuation, of a
/// length that enters a filter. Letters and digits beyond ASCII are those of Unicode, with what combines with them; bytes that
/// are no UTF-8 count as letters.
pub(super) fn tokens<'a>(text: &'a [u8], each: &mut impl FnMut(&'a [u8])) {
    for run in runs(text) {
        match run.is_ascii() {
            true => fits(run, each),
            false => words(run, &mut |word| fits(word, each)),
        }
    }
}

/// Calls `each` with the runs of ASCII that stand beside letters beyond it.
pub(super) fn ascii<'a>(text: &'a [u8], each: &mut impl FnMut(&'a [u8])) {
    for run in runs(text).filter(|run| !run.is_ascii()) {
        run.split(|b| !b.is_ascii()).for_each(|part| fits(part, each));
    }
}

fn runs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    Runs::<_, FILTER_TOKEN_BYTES_MIN>::of(text, of_token).map(|run| &text[run])
}

/// Without punctuation on either side, if its length is one.
fn fits<'a>(word: &'a [u8], each: &mut impl FnMut(&'a [u8])) {
    let solid = |b: &u8| b.is_ascii_alphanumeric() || *b >= 0x80;
    let start = word.iter().position(solid).unwrap_or(word.len());
    let end = word.iter().rposition(solid).map_or(start, |i| i + 1);
    if (FILTER_TOKEN_BYTES_MIN..=FILTER_TOKEN_BYTES_MAX).contains(&(end - start)) {
        each(&word[start..end]);
    }
}

/// What stands between characters beyond ASCII that are no letters: quotes, brackets, commas, blanks.
fn words<'a>(run: &'a [u8], each: &mut impl FnMut(&'a [u8])) {
    let (mut from, mut at) = (0, 0);
    for chunk in run.utf8_chunks() {
        for character in chunk.valid().chars() {
            let behind = at + character.len_utf8();
            if !character.is_ascii() && !is_letter(character) {
                each(&run[from..at]);
                from = behind;
            }
            at = behind;
        }
        at += chunk.invalid().len();
    }
    each(&run[from..]);
}
