//! Text for records and people.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use crate::detect::{Detectors, Finding, groups};
use crate::limits::{NAME_BYTES_MAX, STATEMENT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::shape::Shape;

/// Text without a value that a detector knows, without control and bidirectional characters, and of bounded length.
/// It may go into a record, a log and a person's terminal. Made in this module alone.
///
/// ```compile_fail,E0423
/// let forged = mask::MaskedText("123-45-6789".into());
/// # drop(forged);
/// ```
///
/// ```
/// let forged = mask::text(&mask::Detectors::new(), "123-45-6789").0;
/// # assert_eq!(forged.as_str(), "[pii.ssn]");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaskedText(Arc<str>);

impl MaskedText {
    /// A text of the program's own. It cannot hold a peer's bytes: those do not live that long.
    pub fn constant(text: &'static str) -> MaskedText {
        MaskedText(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing of it was cut off or withheld for its length. A text that merely ends as a cut one does is said to
    /// be cut.
    pub fn is_whole(&self) -> bool {
        let bytes = self.0.strip_suffix(CUT_END).and_then(|text| text.rsplit_once(CUT));
        let cut = bytes.is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        !cut && &*self.0 != WITHHELD
    }
}

/// What a statement is shown as where its literals are not known.
const WITHHELD: &str = "[statement withheld: its literals are not known]";

/// What stands at the end of a text that is longer than may be shown, around its length.
const CUT: &str = "... [cut from ";
const CUT_END: &str = " bytes]";

impl fmt::Display for MaskedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MaskedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Free text: each finding becomes `[class]`, what could deceive an eye is escaped, and more than
/// [`TEXT_BYTES_MAX`] bytes are cut. Findings are ranges of `text`.
pub fn text(detectors: &Detectors, text: &str) -> (MaskedText, Vec<Finding>) {
    let findings = found(detectors, text);
    (MaskedText(render(text, &findings, TEXT_BYTES_MAX).into()), findings)
}

/// A text that a program reads back line by line (a canonical request): each line as [`text`], and the line feeds
/// stay. Cut after [`TEXT_BYTES_MAX`] bytes, and then no such text any more.
pub fn lines(detectors: &Detectors, text: &str) -> MaskedText {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.split('\n').enumerate() {
        let findings = found(detectors, line);
        if n > 0 {
            out.push('\n');
        }
        out.push_str(&render(line, &findings, TEXT_BYTES_MAX));
        if out.len() > TEXT_BYTES_MAX {
            out.truncate(out.floor_char_boundary(TEXT_BYTES_MAX - 32));
            let _ = write!(out, "{CUT}{}{CUT_END}", text.len());
            break;
        }
    }
    MaskedText(out.into())
}

/// An identifier: as [`text`], at most [`NAME_BYTES_MAX`] bytes.
pub fn name(detectors: &Detectors, name: &str) -> MaskedText {
    let findings = found(detectors, name);
    MaskedText(render(name, &findings, NAME_BYTES_MAX).into())
}

/// What detectors find in a text, and in each part of a dotted or escaped name in it: a number is none to them with more
/// digits behind its dot, where a schema's name has a table's, or right behind the digits of `%20`.
fn found(detectors: &Detectors, text: &str) -> Vec<Finding> {
    let mut all = Vec::new();
    detectors.scan_deep(text.as_bytes(), &mut all);
    if !text.contains(['.', '%']) {
        return all;
    }
    all.sort_by_key(|finding| finding.range.start);
    let mut gaps = Vec::new();
    let mut at = 0;
    for finding in &all {
        gaps.push(at..finding.range.start.max(at));
        at = at.max(finding.range.end);
    }
    gaps.push(at..text.len());
    for part in gaps.into_iter().flat_map(|gap| parts(text.as_bytes(), gap)) {
        let mut here = Vec::new();
        detectors.scan_deep(text.as_bytes().get(part.clone()).unwrap_or_default(), &mut here);
        let moved = |f: Finding| Finding { range: f.range.start + part.start..f.range.end + part.start, ..f };
        all.extend(here.into_iter().map(moved));
    }
    all.sort_by_key(|finding| finding.range.start);
    all
}

/// What stands between dots and percent escapes.
fn parts(text: &[u8], within: Range<usize>) -> Vec<Range<usize>> {
    let (mut all, mut start, mut at) = (Vec::new(), within.start, within.start);
    while at < within.end {
        let escape = |digits: &[u8]| digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
        let skip = match text.get(at) {
            Some(b'.') => 1,
            Some(b'%') if text.get(at + 1..at + 3).is_some_and(escape) => 3,
            _ => 0,
        };
        if skip > 0 {
            all.push(start..at);
            start = at + skip;
        }
        at += skip.max(1);
    }
    all.push(start.min(within.end)..within.end);
    all
}

/// A SQL statement whose literals stand at `literals` (byte ranges, sorted): each becomes `'?'` or `?`, each comment
/// `/*?*/`, white space one space; detectors look at the rest (identifiers). Ranges that do not fit the text
/// withhold it whole.
pub fn statement(detectors: &Detectors, text: &str, literals: &[Range<usize>]) -> MaskedText {
    let Some(bare) = without_values(text, literals) else {
        return MaskedText::constant(WITHHELD);
    };
    let mut findings = Vec::new();
    detectors.scan_deep(bare.as_bytes(), &mut findings);
    MaskedText(render(&bare, &findings, STATEMENT_BYTES_MAX).into())
}

/// As [`statement`], with its literals: of each what [`text`] would show. For whoever approves it, and for no record. `None`: the ranges do
/// not fit the text, or all of it is longer than may be shown.
pub fn statement_with_values(
    detectors: &Detectors,
    text: &str,
    literals: &[Range<usize>],
) -> Option<MaskedText> {
    let told = between(text, literals, |value| match stand_in(value) {
        // What a comment says is not done.
        COMMENT => COMMENT.to_owned(),
        _ => render(value, &found(detectors, value), usize::MAX),
    })?;
    let mut findings = Vec::new();
    detectors.scan_deep(told.as_bytes(), &mut findings);
    let all = MaskedText(render(&told, &findings, STATEMENT_BYTES_MAX).into());
    all.is_whole().then_some(all)
}

/// Whether `shown`, which [`statement`] made of this, says all of it but its literals and comments: no name, operator or
/// keyword was masked, escaped or cut off, so that another statement would look otherwise.
pub fn says_all(shown: &MaskedText, text: &str, literals: &[Range<usize>]) -> bool {
    without_values(text, literals).is_some_and(|bare| bare == shown.as_str())
}

/// A parameter's value: its type and size, and the classes of what is found in it; nothing of the value itself.
/// `what` is what it is called.
pub fn param(
    detectors: &Detectors,
    what: &'static str,
    shape: Shape,
    value: Option<&[u8]>,
) -> (MaskedText, Vec<Finding>) {
    let mut cells = Vec::new();
    // The replaced cell is not needed: only what was found.
    let _ = crate::field::fields(detectors, [value], &[shape], &mut cells);
    let findings: Vec<Finding> = cells.into_iter().map(|c| c.finding).collect();
    let mut out = match value {
        None => format!("{what} null"),
        Some(bytes) => format!("{what}({} bytes)", bytes.len()),
    };
    let mut classes: Vec<_> = findings.iter().map(|f| &f.class).collect();
    classes.sort();
    classes.dedup();
    classes.iter().for_each(|class| out += &format!(" [{class}]"));
    (MaskedText(out.into()), findings)
}

/// The statement without literals and comments; `None` if `literals` are not sorted ranges of characters of `text`.
fn without_values(text: &str, literals: &[Range<usize>]) -> Option<String> {
    between(text, literals, |value| stand_in(value).to_owned())
}

const COMMENT: &str = "/*?*/";

/// What stands for a literal or comment.
fn stand_in(value: &str) -> &'static str {
    match value {
        comment if comment.starts_with("--") || comment.starts_with("/*") => COMMENT,
        text if text.contains(['\'', '$']) => "'?'",
        _ => "?",
    }
}

/// The statement without comments, with something in place of each of `literals`; `None` if these are not sorted ranges of
/// characters of `text`.
fn between(text: &str, literals: &[Range<usize>], instead: impl Fn(&str) -> String) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut scan = Between::Code;
    let mut done = 0;
    for literal in literals {
        let gap = text.get(done..literal.start)?;
        scan = copy_code(gap, scan, &mut out);
        let value = text.get(literal.clone())?;
        // A literal inside a comment or a name is none: whoever made the ranges reads the text otherwise than we do.
        if scan != Between::Code || value.is_empty() {
            return None;
        }
        out.push_str(&instead(value));
        done = literal.end;
    }
    copy_code(text.get(done..)?, scan, &mut out);
    Some(out)
}

/// Where in the text between literals we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Code,
    /// In a quoted name.
    Name,
    LineComment,
    /// With the depth of nesting.
    BlockComment(u32),
}

/// Copies SQL without its comments.
fn copy_code(code: &str, mut state: Between, out: &mut String) -> Between {
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        state = match state {
            Between::Code => match (c, chars.peek()) {
                ('-', Some('-')) => {
                    out.push_str(COMMENT);
                    Between::LineComment
                }
                ('/', Some('*')) => {
                    chars.next();
                    out.push_str(COMMENT);
                    Between::BlockComment(1)
                }
                ('"', _) => {
                    out.push(c);
                    Between::Name
                }
                (c, _) if c.is_ascii_whitespace() || c == '\u{b}' => {
                    if !out.ends_with(' ') {
                        out.push(' ');
                    }
                    Between::Code
                }
                (c, _) => {
                    out.push(c);
                    Between::Code
                }
            },
            Between::Name => {
                out.push(c);
                if c == '"' { Between::Code } else { Between::Name }
            }
            Between::LineComment => match c {
                '\n' | '\r' => {
                    out.push(' ');
                    Between::Code
                }
                _ => Between::LineComment,
            },
            Between::BlockComment(depth) => match (c, chars.peek()) {
                ('/', Some('*')) => {
                    chars.next();
                    Between::BlockComment(depth + 1)
                }
                ('*', Some('/')) => {
                    chars.next();
                    if depth == 1 { Between::Code } else { Between::BlockComment(depth - 1) }
                }
                _ => state,
            },
        };
    }
    state
}

/// `text` with placeholders, escapes and a bound.
fn render(text: &str, findings: &[Finding], max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let mut done = 0;
    for (first, range) in groups(findings) {
        // A finding may cut a character (a detector sees bytes): the whole character goes.
        let start = text.floor_char_boundary(range.start).max(done);
        push_escaped(&text[done..start], &mut out, max);
        let _ = write!(out, "[{}]", first.class);
        done = text.ceil_char_boundary(range.end).max(start);
        if out.len() > max {
            break;
        }
    }
    push_escaped(&text[done..], &mut out, max);
    if out.len() > max {
        out.truncate(out.floor_char_boundary(max - 32));
        let _ = write!(out, "... [cut from {} bytes]", text.len());
    }
    out
}

/// Appends `text` with what could deceive an eye or a terminal escaped; stops soon after `max`.
fn push_escaped(text: &str, out: &mut String, max: usize) {
    for c in text.chars() {
        if out.len() > max {
            return;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if deceives(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Control, bidirectional, zero-width and tag characters, and separators of lines.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
