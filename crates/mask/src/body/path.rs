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

    /// What is left of the path at a value that stands at `pointer` (RFC 6901) in the document: nothing, where the path leads to it or
    /// to what is around it. A token may be a name or an index, of which nobody knows which it is, as JSON Patch has them; `*` may be any.
    pub fn below(&self, pointer: &[String]) -> Vec<JsonPath> {
        let mut reached = vec![0];
        for token in pointer {
            if reached.contains(&self.steps.len()) {
                break;
            }
            let further = |at: &usize| {
                let Some(step) = self.steps.get(*at) else { return [None, None] };
                let stays = matches!(step, Step::Descendant(_)).then_some(*at);
                [stays, step.takes(token).then_some(at + 1)]
            };
            reached = reached.iter().flat_map(further).flatten().collect();
            reached.sort_unstable();
            reached.dedup();
        }
        if reached.contains(&self.steps.len()) {
            return vec![JsonPath { steps: Vec::new() }];
        }
        let left = |at: &usize| self.steps.get(*at..).map(|steps| JsonPath { steps: steps.to_vec() });
        reached.iter().filter_map(left).collect()
    }

    /// Whether it leads to the whole document.
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it begins at any depth: then it leads to the same in a document that has the first one in it.
    pub fn is_anywhere(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Descendant(_)))
    }

    /// The same path for a document that stands as `member` in an item of a list. `None`: it is too long.
    pub fn in_item(&self, item: u64, member: &str) -> Option<JsonPath> {
        let around = [Step::Index(item), Step::Name(member.to_owned())];
        let steps: Vec<Step> = around.into_iter().chain(self.steps.iter().cloned()).collect();
        (steps.len() <= BODY_PATH_STEPS_MAX).then_some(JsonPath { steps })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Step {
    /// Whether a token of a pointer may lead where the step does.
    fn takes(&self, token: &str) -> bool {
        let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
        match self {
            Step::Name(name) | Step::Descendant(name) => name == token || token == "*",
            Step::Index(_) => token == "*" || digits.bytes().all(|b| b.is_ascii_digit()),
            Step::Any => true,
        }
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
    fn a_path_goes_on_where_a_pointer_ends() {
        let below = |path: &str, pointer: &str| {
            let tokens: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
            JsonPath::parse(path).unwrap().below(&tokens)
        };
        let paths = |all: &[&str]| all.iter().map(|path| JsonPath::parse(path).unwrap()).collect::<Vec<_>>();
        for (path, pointer, left) in [
            ("$.a.b", "", &["$.a.b"][..]),
            ("$.a.b", "/a", &["$.b"]),
            ("$.a.b", "/a/b", &["$"]),
            ("$.a.b", "/a/b/c/0", &["$"]),
            ("$.a.b", "/b", &[]),
            ("$..env[*].value", "/spec/env", &["$..env[*].value", "$[*].value"]),
            ("$..env[*].value", "/spec/env/-", &["$..env[*].value", "$.value"]),
            ("$..env[*].value", "/spec/env/-1/value", &["$"]),
            ("$..env[*].value", "/spec/env/0/name", &["$..env[*].value"]),
            ("$.a[2].b", "/a/+7", &["$.b"]),
            ("$.a[2].b", "/a/x", &[]),
            ("$..b", "/a/*", &["$"]),
        ] {
            assert_eq!(below(path, pointer), paths(left), "{path} at {pointer}");
        }
        let path = JsonPath::parse("$.b").unwrap();
        assert_eq!(path.in_item(3, "value"), JsonPath::parse("$[3].value.b").ok());
        let long = JsonPath::parse(&format!("${}", ".a".repeat(BODY_PATH_STEPS_MAX))).unwrap();
        assert_eq!(long.in_item(0, "value"), None);
    }

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
