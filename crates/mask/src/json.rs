//! Replacing findings in JSON text, so that it stays JSON.

use std::ops::Range;

use crate::detect::{Finding, groups, placeholder};

/// `json` with each finding replaced: inside a string by a placeholder, a finding behind an escape by the whole
/// string's, a bare number by a string. `None` if a finding stands anywhere else: then the text was not JSON.
pub(crate) fn replace(json: &[u8], findings: &[Finding]) -> Option<Vec<u8>> {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut tokens = Tokens { json, at: 0 };
    let mut token = tokens.next();
    for (first, group) in groups(findings) {
        while token.as_ref().is_some_and(|t| t.range().end <= group.start) {
            token = tokens.next();
        }
        let token =
            token.as_ref().filter(|t| t.range().start <= group.start && group.end <= t.range().end)?;
        let (range, text) = match token {
            // A cut inside an escape would leave half of it.
            Token::String(inside) if json[inside.clone()].contains(&b'\\') => {
                (inside.clone(), placeholder(&first.class))
            }
            Token::String(_) => (group, placeholder(&first.class)),
            Token::Bare(range) => (range.clone(), format!("\"{}\"", placeholder(&first.class))),
        };
        match edits.last_mut() {
            Some((last, _)) if last.end > range.start => last.end = last.end.max(range.end),
            _ => edits.push((range, text)),
        }
    }
    let mut out = Vec::with_capacity(json.len());
    let mut done = 0;
    for (range, text) in edits {
        out.extend_from_slice(&json[done..range.start]);
        out.extend_from_slice(text.as_bytes());
        done = range.end;
    }
    out.extend_from_slice(&json[done..]);
    Some(out)
}

/// A token of JSON that can hold a value.
enum Token {
    /// What is between the quotes.
    String(Range<usize>),
    /// A number, or a word.
    Bare(Range<usize>),
}

impl Token {
    fn range(&self) -> Range<usize> {
        match self {
            Token::String(range) | Token::Bare(range) => range.clone(),
        }
    }
}

struct Tokens<'a> {
    json: &'a [u8],
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let structural = |b: u8| b.is_ascii_whitespace() || b"{}[],:".contains(&b);
        let start = self.at + self.json[self.at..].iter().position(|&b| !structural(b))?;
        if self.json[start] != b'"' {
            let len = self.json[start..].iter().position(|&b| structural(b) || b == b'"');
            self.at = len.map_or(self.json.len(), |l| start + l);
            return Some(Token::Bare(start..self.at));
        }
        let mut end = start + 1;
        while self.json.get(end).is_some_and(|&b| b != b'"') {
            end += if self.json[end] == b'\\' { 2 } else { 1 };
        }
        let end = end.min(self.json.len());
        self.at = (end + 1).min(self.json.len());
        Some(Token::String(start + 1..end))
    }
}
