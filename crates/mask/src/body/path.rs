//! Paths of rules.

use std::ops::Range;

use crate::limits::BODY_PATH_STEPS_MAX;

/// A path into JSON: a subset of RFC 9535. `$`, then any of `.name`, `['name']`, `[*]`, `.*`, `[0]`, and `..name` for a
/// name at any depth; at most [`BODY_PATH_STEPS_MAX`] steps. In `['name']` a backslash stands before `'` and `\` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(u64),
    Any,
    /// A name at this depth or any below.
    Descendant(String),
}

impl JsonPath {
    /// Errors (side: operator): a constant sentence that says what was expected.
    pub fn parse(text: &str) -> Result<JsonPath, &'static str> {
        let mut rest = text.strip_prefix('$').ok_or("a path begins with `$`")?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            if steps.len() == BODY_PATH_STEPS_MAX {
                return Err("a path has at most 32 steps");
            }
            steps.push(step);
            rest = after;
        }
        Ok(JsonPath { steps })
    }

    /// The last name in it.
    pub(super) fn last_name(&self) -> Option<&str> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Name(name) | Step::Descendant(name) => Some(name.as_str()),
            Step::Index(_) | Step::Any => None,
        })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// The first step of a path, and the rest.
fn step(text: &str) -> Result<(Step, &str), &'static str> {
    if let Some(rest) = text.strip_prefix("..") {
        let (name, rest) = shorthand(rest)?;
        return Ok((Step::Descendant(name), rest));
    }
    if let Some(rest) = text.strip_prefix(".*").or_else(|| text.strip_prefix("[*]")) {
        return Ok((Step::Any, rest));
    }
    if let Some(rest) = text.strip_prefix('.') {
        let (name, rest) = shorthand(rest)?;
        return Ok((Step::Name(name), rest));
    }
    if let Some(rest) = text.strip_prefix("['") {
        return quoted(rest);
    }
    let rest = text.strip_prefix('[').ok_or("a step begins with `.`, `..` or `[`")?;
    let (digits, rest) = rest.split_once(']').ok_or("a `[` has no `]`")?;
    index(digits).map(|index| (Step::Index(index), rest))
}

/// `member-name-shorthand` of RFC 9535, 2.5.1.1.
fn shorthand(text: &str) -> Result<(String, &str), &'static str> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let end = text.find(|c: char| !first(c) && !c.is_ascii_digit()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match name.starts_with(first) {
        true => Ok((name.to_owned(), rest)),
        false => Err("a name after `.` begins with a letter or `_`: write others as `['name']`"),
    }
}

/// A name up to its closing quote and bracket.
fn quoted(text: &str) -> Result<(Step, &str), &'static str> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\'' => {
                let rest = text.get(i + 1..).and_then(|t| t.strip_prefix(']'));
                return Ok((Step::Name(name), rest.ok_or("a quoted name ends with `']`")?));
            }
            '\\' => match chars.next() {
                Some((_, c @ ('\'' | '\\'))) => name.push(c),
                _ => return Err("a backslash in a name stands before `'` and `\\` alone"),
            },
            c if c < ' ' => return Err("a name has no control characters"),
            c => name.push(c),
        }
    }
    Err("a quoted name ends with `']`")
}

/// An index without sign and leading zeros, of those that every reader has.
fn index(digits: &str) -> Result<u64, &'static str> {
    const RANGE: Range<u64> = 0..1 << 53;
    let plain = digits == "0" || !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    let index = digits.parse().ok().filter(|index| plain && RANGE.contains(index));
    index.ok_or("between `[` and `]` stands an index, `*` or a name in single quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_path_of_the_subset_is_refused() {
        let bad = [
            "",
            "a",
            ".a",
            "$.",
            "$..",
            "$a",
            "$.1",
            "$.a-b",
            "$..*",
            "$..[0]",
            "$..['a']",
            "$[",
            "$[]",
            "$[01]",
            "$[-1]",
            "$[+1]",
            "$[1:2]",
            "$[0,1]",
            "$[?@.a]",
            "$[\"a\"]",
            "$['a",
            "$['a'",
            "$['a'x]",
            "$['\\n']",
            "$['\\",
            "$['\u{1}']",
            "$ .a",
            "$.a ",
            "$[9007199254740992]",
            "$[ 0]",
            "$[a]",
            "$...a",
        ];
        for text in bad {
            assert!(JsonPath::parse(text).is_err(), "{text:?}");
        }
        assert!(JsonPath::parse(&format!("${}", ".a".repeat(BODY_PATH_STEPS_MAX))).is_ok());
        assert!(JsonPath::parse(&format!("${}", ".a".repeat(BODY_PATH_STEPS_MAX + 1))).is_err());
    }
}
