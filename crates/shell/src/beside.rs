//! Values that a word puts right beside something else: a detector knows a value by where it begins and ends (`mask`), and
//! `"5$x"` shows all of it where it is not looked for any more.
//!
//! What an expansion brings is not known here, so that each but a number's is taken for a value. Text beside it may be what no
//! value begins or ends with: blanks, quotes, `:`, `,`, `=` before it, and their like. It does not matter what takes the word:
//! `set -x` shows what is only compared, and errors name what is only looked for.

use crate::syntax::{Piece, Word};

/// A part of a word, as far as this looks.
enum Part {
    Text(String),
    Value,
}

/// Whether a value in one of these pieces touches another one, or text that may hide where it begins or ends.
pub(crate) fn glues(pieces: &[Piece]) -> bool {
    let parts = parts(pieces);
    let beside = parts.windows(2).any(|pair| match pair {
        [Part::Value, Part::Value] => true,
        [Part::Text(text), Part::Value] => text.chars().last().is_some_and(hides_begin),
        [Part::Value, Part::Text(text)] => hides_end(text),
        _ => false,
    });
    beside || pieces.iter().any(glues_inside)
}

/// The same of a word whose braces are expanded: what they put beside a value is not followed.
pub(crate) fn word_glues(word: &Word) -> bool {
    let brace = |piece: &Piece| matches!(piece, Piece::Text { value, quoted: false } if value.contains('{'));
    has_value(word) && word.pieces.iter().any(brace) || glues(&word.pieces)
}

/// Whether an expansion that may be a value stands in a word.
pub(crate) fn has_value(word: &Word) -> bool {
    parts(&word.pieces).iter().any(|part| matches!(part, Part::Value))
}

/// Whether a word that is put behind what a variable has (`x+=y`) touches that.
pub(crate) fn glues_behind(word: &Word) -> bool {
    match parts(&word.pieces).first() {
        Some(Part::Text(text)) => hides_end(text),
        Some(Part::Value) => true,
        None => false,
    }
}

/// `${x:-$y$z}`, and numbers that are reckoned out of values.
fn glues_inside(piece: &Piece) -> bool {
    match piece {
        Piece::Parameter { inner, .. } => inner.iter().any(|word| glues(&word.pieces)),
        Piece::Arithmetic { inner, .. } => parts(inner).iter().any(|part| matches!(part, Part::Value)),
        Piece::Text { .. } | Piece::Command { .. } => false,
    }
}

/// Texts that stand side by side are one, and empty ones none.
fn parts(pieces: &[Piece]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for piece in pieces {
        let text = match piece {
            Piece::Text { value, .. } => value,
            Piece::Parameter { name, plain: true, .. } => match &**name {
                "?" | "#" | "$" | "!" => "0",
                // Whoever sets these is opaque.
                "HOME" | "PWD" => "/home",
                _ => {
                    parts.push(Part::Value);
                    continue;
                }
            },
            Piece::Arithmetic { .. } => "0",
            Piece::Parameter { .. } | Piece::Command { .. } => {
                parts.push(Part::Value);
                continue;
            }
        };
        match parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            Some(Part::Value) | None => parts.push(Part::Text(text.to_owned())),
        }
    }
    parts
}

/// Whether a value right behind it is not found: characters of keys and numbers, and what makes one of them in `printf` and `echo -e`.
pub(crate) fn hides_begin(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() || "_-.+/\\%".contains(c)
}

/// Whether a value right before it is not found. A dot ends a sentence or begins a file's ending, but between digits it is a number's.
pub(crate) fn hides_end(text: &str) -> bool {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('.'), next) => next.is_some_and(|c| c.is_ascii_digit()),
        (Some('\\'), next) => !matches!(next, Some('n' | 't')),
        (Some(c), _) => c.is_ascii_alphanumeric() || !c.is_ascii() || "_-+/=%".contains(c),
        (None, _) => false,
    }
}
