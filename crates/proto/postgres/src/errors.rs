//! What an error or notice of upstream's may say to a client. A message can carry a value (`invalid input syntax for
//! type integer: "078-05-1120"`), a name that the client may not see, or a row (`Failing row contains (...)`).
//!
//! [`sanitise`] keeps a message only if the client could have written it: every quoted part of it and every number
//! occurs in what the client itself sent or is a name that it may see; every other word is one of these, or a word
//! that PostgreSQL's own messages are made of. Otherwise the message is the SQLSTATE's template. DETAIL, CONTEXT and
//! the internal query are dropped, a HINT stays if it is one of PostgreSQL's constants, a routine if it is one that
//! drivers look for, file and line are dropped. A SQLSTATE that is not in the table becomes XX000: five letters are a channel too.

use crate::limits::SAID_BYTES_MAX;
use crate::reply::{Fields, field};
use crate::sqlstate::TABLE;
use bytes::Bytes;
use memchr::memmem;
use std::collections::HashSet;
use std::sync::LazyLock;
use wire::RawField;

/// The template of a SQLSTATE. One that is not in PostgreSQL's table gives the template of XX000.
pub fn canonical(sqlstate: &[u8]) -> &'static str {
    entry(sqlstate).1
}

/// Whether a SQLSTATE is in PostgreSQL's table.
pub fn is_known(sqlstate: &[u8]) -> bool {
    entry(sqlstate).0.as_bytes() == sqlstate
}

/// What the client already knows, so that hearing it again gives it nothing.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Bytes that the client itself sent and this error may be about: the statement, values in text. What is beyond
    /// [`SAID_BYTES_MAX`] counts as not said.
    pub said: &'a [&'a [u8]],
    /// Whether a name (lower case as the catalog has it) is of a relation, column, type, ... that the run may see.
    pub visible: &'a dyn Fn(&[u8]) -> bool,
}

/// How much of a message may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Text, by the rule of this module.
    Text,
    /// The template in any case: something governed, a trigger or a user's function is in reach.
    Template,
}

/// The fields that the client may read. `position` maps a character position in the statement that upstream ran to
/// one in the statement that the client wrote, or to nothing.
pub fn sanitise(
    fields: &Fields,
    known: &Known<'_>,
    care: Care,
    position: impl FnOnce(u32) -> Option<u32>,
) -> Fields {
    let severity = severity(fields);
    let (sqlstate, template) = entry(fields.get(field::SQLSTATE).map_or(&[], RawField::as_bytes));
    let said = Said::new(known);
    let kept = |code| fields.get(code).filter(|_| care == Care::Text).map(RawField::as_bytes);
    let message = match kept(field::MESSAGE).filter(|message| sayable(message, &said)) {
        Some(message) => Bytes::copy_from_slice(message),
        None => Bytes::from_static(template.as_bytes()),
    };
    let mut out = Fields::new(severity, sqlstate, message);
    if let Some(hint) = kept(field::HINT).and_then(|hint| constant(HINTS, hint)) {
        out = out.with(field::HINT, hint.as_bytes());
    }
    if let Some(at) = number(fields.get(field::POSITION)).and_then(position) {
        out = out.with(field::POSITION, at.to_string());
    }
    for code in NAMES {
        if let Some(name) = kept(code).filter(|name| said.has(name)) {
            out = out.with(code, Bytes::copy_from_slice(name));
        }
    }
    match fields.get(field::ROUTINE).and_then(|routine| constant(ROUTINES, routine.as_bytes())) {
        Some(routine) => out.with(field::ROUTINE, routine.as_bytes()),
        None => out,
    }
}

/// Every field as upstream sent it, for a client from whom a message has nothing to hide: only the position is mapped.
pub fn whole(fields: &Fields, position: impl FnOnce(u32) -> Option<u32>) -> Fields {
    let at = number(fields.get(field::POSITION)).and_then(position);
    let mut out = Fields::default();
    for (code, value) in fields.iter() {
        out = match code {
            field::POSITION => match at {
                Some(at) => out.with(code, at.to_string()),
                None => out,
            },
            code => out.with(code, value.to_bytes()),
        };
    }
    out
}

/// Fields that are names of objects.
const NAMES: [u8; 5] = [field::SCHEMA, field::TABLE, field::COLUMN, field::DATA_TYPE, field::CONSTRAINT];

/// Hints of PostgreSQL's that are constants: they say nothing about any object or value.
const HINTS: &[&str] = &[
    "No function matches the given name and argument types. You might need to add explicit type casts.",
    "No procedure matches the given name and argument types. You might need to add explicit type casts.",
    "No operator matches the given name and argument types. You might need to add explicit type casts.",
    "No operator matches the given name and argument type. You might need to add an explicit type cast.",
    "Could not choose a best candidate function. You might need to add explicit type casts.",
    "Could not choose a best candidate operator. You might need to add explicit type casts.",
    "You will need to rewrite or cast the expression.",
    "Must be superuser.",
    "Use DROP ... CASCADE to drop the dependent objects too.",
    "For example, FROM (SELECT ...) [AS] foo.",
    "For example, FROM (VALUES ...) [AS] foo.",
    "Try the COPY (SELECT ...) TO variant.",
    "Close the cursor first.",
    "Add missing AS keyword.",
    "Declare it with SCROLL option to enable backward scan.",
    "Perhaps you need a different \"datestyle\" setting.",
    "Replace references to the column with references to the parent's key.",
    "The transaction might succeed if retried.",
];

/// Places in PostgreSQL's source that drivers look for, to prepare a statement again whose result has changed.
const ROUTINES: &[&str] = &["RevalidateCachedQuery", "RevalidateCachedPlan"];

/// Words of PostgreSQL's own messages and names of its types, lower case, one a line.
static VOCABULARY: LazyLock<HashSet<&'static [u8]>> =
    LazyLock::new(|| include_str!("vocabulary.txt").lines().map(str::as_bytes).collect());

const INTERNAL_ERROR: (&str, &str) = ("XX000", "internal error");

fn entry(sqlstate: &[u8]) -> (&'static str, &'static str) {
    let found = TABLE.binary_search_by(|(code, _)| code.as_bytes().cmp(sqlstate));
    found.ok().and_then(|index| TABLE.get(index)).copied().unwrap_or(INTERNAL_ERROR)
}

/// A severity of PostgreSQL's, in English: a translated one is no use to a program.
fn severity(fields: &Fields) -> &'static str {
    const SEVERITIES: [&str; 8] = ["ERROR", "FATAL", "PANIC", "WARNING", "NOTICE", "DEBUG", "INFO", "LOG"];
    let sent = fields.severity().map_or(&[][..], RawField::as_bytes);
    SEVERITIES.into_iter().find(|word| word.as_bytes() == sent).unwrap_or("ERROR")
}

fn number(field: Option<&RawField>) -> Option<u32> {
    field?.to_str()?.parse().ok()
}

fn constant(among: &[&'static str], sent: &[u8]) -> Option<&'static str> {
    among.iter().copied().find(|constant| constant.as_bytes() == sent)
}

/// What the client said, in lower case, ready to be searched.
struct Said<'a> {
    texts: Vec<Vec<u8>>,
    visible: &'a dyn Fn(&[u8]) -> bool,
}

impl<'a> Said<'a> {
    fn new(known: &Known<'a>) -> Said<'a> {
        let mut left = SAID_BYTES_MAX;
        let mut texts = Vec::new();
        for text in known.said {
            let Some(rest) = left.checked_sub(text.len()) else { break };
            left = rest;
            texts.push(text.to_ascii_lowercase());
        }
        Said { texts, visible: known.visible }
    }

    /// Whether a name or value was said, or is a name to be seen. `a.b` is known if `a` and `b` are names to be seen.
    fn has(&self, word: &[u8]) -> bool {
        let word = word.to_ascii_lowercase();
        word.is_empty()
            || self.texts.iter().any(|text| occurs(&word, text))
            || word.split(|b| *b == b'.').all(|part| (self.visible)(part))
    }
}

/// Whether `word` stands in `text`, and not as a piece of a longer word.
fn occurs(word: &[u8], text: &[u8]) -> bool {
    let cut = |inner: Option<&u8>, outer: Option<&u8>| {
        !(inner.is_some_and(|b| is_word(*b)) && outer.is_some_and(|b| is_word(*b)))
    };
    memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).and_then(|i| text.get(i));
        cut(word.first(), before) && cut(word.last(), text.get(at + word.len()))
    })
}

/// Part of a word: letters, digits, `_`, `$`, and every byte that is not ASCII.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// Whether the client could have written `message` itself, but for the words that PostgreSQL puts around it.
fn sayable(message: &[u8], said: &Said<'_>) -> bool {
    let mut rest = message;
    let mut before = b' ';
    while let Some((&first, behind)) = rest.split_first() {
        if matches!(first, b'"' | b'\'' | b'`') && !is_word(before) {
            let Some(end) = behind.iter().position(|b| *b == first) else { return false };
            let (quoted, behind) = behind.split_at(end);
            if !said.has(quoted) {
                return false;
            }
            rest = behind.get(1..).unwrap_or_default();
            before = b' ';
        } else if is_word(first) {
            let end = rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            if !(is_vocabulary(word) || said.has(word)) {
                return false;
            }
            rest = behind;
            before = first;
        } else {
            rest = behind;
            before = first;
        }
    }
    true
}

fn is_vocabulary(word: &[u8]) -> bool {
    VOCABULARY.contains(&word.to_ascii_lowercase()[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_the_fallback() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(TABLE.iter().all(|(code, text)| code.len() == 5 && !text.is_empty()));
        assert_eq!(entry(b"XX000"), INTERNAL_ERROR);
    }

    #[test]
    fn the_vocabulary_has_no_number_in_it_but_types() {
        for word in include_str!("vocabulary.txt").lines() {
            assert!(word.bytes().all(is_word) && !word.as_bytes()[0].is_ascii_digit(), "{word}");
            assert_eq!(word, word.to_ascii_lowercase());
        }
    }
}
