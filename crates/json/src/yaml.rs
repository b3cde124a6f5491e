//! YAML, read strictly into JSON. Spec: YAML 1.2.2, chapter 10.3 (core schema), where YAML 1.1 and the reader that
//! Kubernetes has (sigs.k8s.io/yaml, over go-yaml 2) say the same.
//!
//! What they read differently is refused, not resolved: anchors, aliases and merges; tags other than `!!str`, `!!map` and
//! `!!seq` where those stand; more than one document; directives; a name that is no text, or stands twice; words that are
//! true or false to some (`yes`, `no`, `on`, `off`, `y`, `n`), numbers in other forms than JSON's (`0o17`, `017`, `1_000`, `1e3`,
//! `+1`, `.5`, `12:30:45`), dates, and whole numbers of more than 64 bits; characters that end a line to some or are not allowed
//! to others. In quotes each of those words is a text to all.
//!
//! The syntax is saphyr-parser's, as events; what a word means is said here. Names that differ only in case are left to the
//! reader of the JSON, which knows the names that it looks for ([`crate::Object::get`]).

use crate::{JSON_DEPTH_MAX, JSON_VALUES_MAX, Kind, Unreadable, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Digits of a number with a fraction: so many every reader's floating-point number keeps.
const FRACTION_DIGITS_MAX: usize = 15;

/// Writes one YAML document as JSON. A document that is JSON to both stays as it is.
///
/// Errors: no YAML, what readers of YAML read differently (above), deeper than [`JSON_DEPTH_MAX`], more than
/// [`JSON_VALUES_MAX`] values. The caller bounds `text`; what comes out has at most six times its bytes, and 8 for each value.
pub fn json(text: &[u8]) -> Result<Vec<u8>, Unreadable> {
    json_at(text).map_err(|(why, _)| why)
}

/// As [`json`]; with an error comes its line, from 1, for who wrote the file.
pub fn json_at(text: &[u8]) -> Result<Vec<u8>, (Unreadable, usize)> {
    let text = std::str::from_utf8(text).map_err(|e| (NOT_UTF_8, line_at(text, e.valid_up_to())))?;
    if let Some(at) = text.char_indices().find_map(|(at, c)| (!is_plain(c)).then_some(at)) {
        return Err((CHARACTER, line_at(text.as_bytes(), at)));
    }
    if is_json(text) {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(line) = directive(text) {
        return Err((DIRECTIVE, line));
    }
    if let Some(n) = text.split(['\n', '\r']).position(|line| line.starts_with('\t')) {
        return Err((TAB, n + 1));
    }
    let mut json = Json::default();
    let mut line = 1;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| (MALFORMED, e.marker().line()))?;
        line = span.start.line();
        json.event(event).map_err(|why| (why, line))?;
    }
    match json.documents {
        1 if json.ends_in_block && !text.ends_with('\n') => Err((NO_LINE_FEED, line)),
        1 => Ok(json.text.into_bytes()),
        _ => Err((NO_DOCUMENT, line)),
    }
}

const NOT_UTF_8: Unreadable = Unreadable("the YAML is not UTF-8");
const MALFORMED: Unreadable = Unreadable("the YAML is malformed");
const NO_DOCUMENT: Unreadable = Unreadable("the YAML has no document");
const DOCUMENTS: Unreadable = Unreadable("the YAML has more than one document: its readers differ");
const DIRECTIVE: Unreadable =
    Unreadable("the YAML begins with a directive (`%`) or with the end of a document: its readers differ");
const ANCHOR: Unreadable =
    Unreadable("the YAML has an anchor or an alias (`&`, `*`): write the value where it is meant");
const TAG: Unreadable = Unreadable("the YAML has a tag (`!`) other than `!!str`: its readers differ");
const NAME: Unreadable = Unreadable("the YAML has a name that is no text of one line: put it in quotes");
const TWICE: Unreadable = Unreadable("the YAML says a name twice in one mapping");
const MERGE: Unreadable = Unreadable("the YAML has `<<` or `=`, which some readers do not take for a text");
const WORD: Unreadable = Unreadable(
    "the YAML has a word that is true, false or null to some readers only: write true, false or null, or put it in quotes",
);
const QUESTION: Unreadable = Unreadable("the YAML has a word that begins with `?`: put it in quotes");
const NUMBER: Unreadable = Unreadable(
    "the YAML has a word that readers take for different numbers or times: write a number as JSON has it, or put it in quotes",
);
const CHARACTER: Unreadable =
    Unreadable("the YAML has a character that its readers differ on: write it as an escape in double quotes");
const ROOT: Unreadable = Unreadable("the YAML is neither a mapping nor a list");
const NO_LINE_FEED: Unreadable = Unreadable(
    "the YAML ends in a block of text without a line feed: its readers differ on whether there is one",
);
const TAB: Unreadable = Unreadable("the YAML has a line that begins with a tab: its readers differ");
const DEPTH: Unreadable = Unreadable("the YAML is nested deeper than 64");
const VALUES: Unreadable = Unreadable("the YAML has more than 262,144 values");

/// What every reader takes for itself: YAML 1.1 ends lines at U+0085, U+2028 and U+2029, where 1.2 does not, and libyaml refuses what is
/// not printable. A byte order mark is none of them.
fn is_plain(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' | ' '..='~' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        c => matches!(c, '\u{a0}'..='\u{fffd}' | '\u{10000}'..),
    }
}

/// Whether it is JSON, and says the same as YAML: no name is a merge, and each number is one.
fn is_json(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(['{', '['])
        && crate::parse(text.as_bytes()).is_ok_and(|value| same_in_yaml(&value))
}

fn same_in_yaml(value: &Value<'_>) -> bool {
    match &value.kind {
        Kind::Object(members) => members.iter().all(|(name, value)| name != "<<" && same_in_yaml(value)),
        Kind::Array(items) => items.iter().all(same_in_yaml),
        Kind::Number => value.raw.parse().is_ok_and(f64::is_finite),
        Kind::Null | Kind::Bool(_) | Kind::Text(_) => true,
    }
}

/// The line of a directive, or of the end of no document: those stand before the document.
fn directive(text: &str) -> Option<usize> {
    let comment = |line: &str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
    let (n, first) = text.lines().enumerate().find(|(_, line)| !comment(line))?;
    (first.starts_with('%') || first.starts_with("...")).then_some(n + 1)
}

fn line_at(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// The JSON that is written.
#[derive(Default)]
struct Json {
    text: String,
    open: Vec<Open>,
    documents: usize,
    values: usize,
    /// Whether the last text so far is a block (`|`, `>`).
    ends_in_block: bool,
}

/// An array or an object that has not ended.
enum Open {
    Array {
        empty: bool,
    },
    Object {
        names: BTreeSet<String>,
        /// A name stands, and its value comes.
        named: bool,
    },
}

impl Json {
    fn event(&mut self, event: Event<'_>) -> Result<(), Unreadable> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 { Err(DOCUMENTS) } else { Ok(()) }
            }
            Event::Alias(_) => Err(ANCHOR),
            Event::Scalar(text, style, anchor, tag) => {
                tagged(anchor, tag.as_deref(), "str")?;
                self.ends_in_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if self.ends_in_block && self.wants_name() {
                    return Err(NAME);
                }
                let word = match (style, tag) {
                    (ScalarStyle::Plain, None) => Word::of(&text)?,
                    _ => Word::Text(&text),
                };
                self.scalar(word)
            }
            Event::SequenceStart(anchor, tag) => {
                tagged(anchor, tag.as_deref(), "seq")?;
                self.begin('[', Open::Array { empty: true })
            }
            Event::MappingStart(anchor, tag) => {
                tagged(anchor, tag.as_deref(), "map")?;
                self.begin('{', Open::Object { names: BTreeSet::new(), named: false })
            }
            Event::SequenceEnd => self.end(']'),
            Event::MappingEnd => self.end('}'),
        }
    }

    fn scalar(&mut self, word: Word<'_>) -> Result<(), Unreadable> {
        if let Some(Open::Object { names, named: named @ false }) = self.open.last_mut() {
            let Word::Text(name) = word else { return Err(NAME) };
            if name == "<<" {
                return Err(MERGE);
            }
            let first = names.is_empty();
            if !names.insert(name.to_owned()) {
                return Err(TWICE);
            }
            *named = true;
            self.text.push_str(if first { "" } else { "," });
            string(&mut self.text, name);
            self.text.push(':');
            return Ok(());
        }
        self.value(true)?;
        match word {
            Word::Null => self.text.push_str("null"),
            Word::Bool(flag) => self.text.push_str(if flag { "true" } else { "false" }),
            Word::Number(digits) => self.text.push_str(digits),
            Word::Text(text) => string(&mut self.text, text),
        }
        Ok(())
    }

    fn begin(&mut self, bracket: char, open: Open) -> Result<(), Unreadable> {
        if self.wants_name() {
            return Err(NAME);
        }
        self.value(false)?;
        if self.open.len() >= JSON_DEPTH_MAX {
            return Err(DEPTH);
        }
        self.text.push(bracket);
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, bracket: char) -> Result<(), Unreadable> {
        self.open.pop().ok_or(MALFORMED)?;
        self.text.push(bracket);
        Ok(())
    }

    fn wants_name(&self) -> bool {
        matches!(self.open.last(), Some(Open::Object { named: false, .. }))
    }

    /// What stands before a value that is no name.
    fn value(&mut self, scalar: bool) -> Result<(), Unreadable> {
        self.values += 1;
        match self.open.last_mut() {
            _ if self.values > JSON_VALUES_MAX => return Err(VALUES),
            None if scalar => return Err(ROOT),
            None => {}
            Some(Open::Object { named, .. }) => *named = false,
            Some(Open::Array { empty }) if *empty => *empty = false,
            Some(Open::Array { .. }) => self.text.push(','),
        }
        Ok(())
    }
}

/// Errors: an anchor; a tag other than the one that says what stands there anyway.
fn tagged(anchor: usize, tag: Option<&Tag>, own: &str) -> Result<(), Unreadable> {
    match tag {
        _ if anchor != 0 => Err(ANCHOR),
        Some(tag) if !tag.is_yaml_core_schema() || tag.suffix != own => Err(TAG),
        _ => Ok(()),
    }
}

/// What a word is to every reader.
enum Word<'a> {
    Null,
    Bool(bool),
    /// As JSON writes it: without zeros at its end.
    Number(&'a str),
    Text(&'a str),
}

impl<'a> Word<'a> {
    /// Of a word that stands without quotes. Errors: readers differ on what it is.
    fn of(text: &'a str) -> Result<Word<'a>, Unreadable> {
        match text {
            // Inside of brackets libyaml takes it for the mark of a name.
            _ if text.starts_with('?') => return Err(QUESTION),
            "" | "~" | "null" | "Null" | "NULL" => return Ok(Word::Null),
            "true" | "True" | "TRUE" => return Ok(Word::Bool(true)),
            "false" | "False" | "FALSE" => return Ok(Word::Bool(false)),
            "<<" | "=" => return Err(MERGE),
            _ => {}
        }
        const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
        if WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) {
            return Err(WORD);
        }
        match number(text) {
            Some(digits) => Ok(Word::Number(digits)),
            None if seems_a_number(text) || seems_a_date(text) => Err(NUMBER),
            None => Ok(Word::Text(text)),
        }
    }
}

/// A whole number of 64 bits, or one with a fraction that none rounds. Not `-0`, which some make 0.
fn number(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let begins_with_zero = whole.len() > 1 && whole.starts_with('0');
    let minus_zero = text.starts_with('-') && digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if !all(whole) || !all(fraction) || begins_with_zero || minus_zero {
        return None;
    }
    if whole == digits {
        return text.parse::<i64>().is_ok().then_some(text);
    }
    let short = text.trim_end_matches('0').trim_end_matches('.');
    (whole.len() + fraction.len() <= FRACTION_DIGITS_MAX).then_some(short)
}

/// Whether some reader of YAML, or of an older one, might take it for a number or a time of day. Dotted numbers such as
/// addresses and versions are none to any.
fn seems_a_number(text: &str) -> bool {
    // go-yaml takes each `_` away before it looks.
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text).replace('_', "").to_ascii_lowercase();
    if matches!(&*digits, ".inf" | ".nan") {
        return true;
    }
    if let Some(rest) = ["0x", "0o", "0b"].iter().find_map(|prefix| digits.strip_prefix(prefix)) {
        return rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let parts: Vec<&str> = digits.split('.').collect();
    let dotted = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if parts.len() > 2 && dotted && digits == text {
        return false;
    }
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b':' | b'.' | b'e' | b'+' | b'-'))
}

/// Whether it begins as a date with a time does. A date alone [seems a number](seems_a_number).
fn seems_a_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut digits = |max: usize| {
        parts.next().is_some_and(|part| {
            !part.is_empty() && part.len() <= max && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let (year, month) = (digits(4), digits(2));
    let day = parts.next().unwrap_or_default();
    let rest = day.trim_start_matches(|c: char| c.is_ascii_digit());
    year && month && rest.len() < day.len() && rest.starts_with(['T', 't', ' ', '\t'])
}

/// A JSON string that is the same in YAML's double quotes, with its quotes.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_plain(c) => out.push(c),
            c => escape(out, c),
        }
    }
    out.push('"');
}

/// Every character that is not [plain](is_plain) is one of UTF-16's units.
fn escape(out: &mut String, c: char) {
    // Writing into a text does not fail.
    let _written = write!(out, "\\u{:04x}", u32::from(c));
}
