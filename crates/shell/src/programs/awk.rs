//! What an awk program prints of its input: [`shows`].

use super::recode::separates;
use crate::beside::{hides_begin, hides_end};
use crate::line::Arg;

/// Whether an awk program prints lines and fields as they are, each by itself, where fields are words.
pub(super) fn shows(program: &str, separators: &[&Arg]) -> bool {
    let blank = |separator: &&Arg| separates(separator) || separator.value.literal() == Some(" ");
    separators.iter().all(blank)
        && without_patterns(program).is_some_and(|code| Awk::new(&code).stands_apart())
}

/// The program with a number for each pattern in slashes: those choose lines. None where it is not sure where one ends.
fn without_patterns(program: &str) -> Option<String> {
    // A slash in a text is none of a pattern, nor a quote in a pattern one of a text.
    if program.contains('"') && program.contains('/') {
        return None;
    }
    let mut code = String::new();
    let mut rest = program;
    while let Some((front, behind)) = rest.split_once('/') {
        let (pattern, behind) = behind.split_once('/')?;
        if pattern.contains('\n') || goes_on(pattern) {
            return None;
        }
        code.push_str(front);
        code.push_str(" 1 ");
        rest = behind;
    }
    code.push_str(rest);
    Some(code)
}

/// Whether a slash behind this belongs to the pattern, or does for some awks: it is escaped, or in brackets.
fn goes_on(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    let mut bracket = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if bracket || chars.next().is_none() => return true,
            '[' if !bracket => {
                bracket = true;
                chars.next_if_eq(&'^');
                chars.next_if_eq(&']');
            }
            // A class: up to its own bracket.
            '[' if chars.next_if_eq(&':').is_some() && !chars.any(|c| c == ']') => return true,
            ']' => bracket = false,
            _ => {}
        }
    }
    bracket
}

/// An awk program without patterns, from its first term to its last.
struct Awk<'a> {
    rest: &'a str,
    /// What ended right before, if a value did.
    ended: Option<Term<'a>>,
    /// Behind a `$`.
    field: bool,
    /// What is open, and what it is of.
    open: Vec<(Open, Term<'a>)>,
    /// Variables that are set to something, and those that are counted up.
    set: Vec<&'a str>,
    counted: Vec<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Term<'a> {
    /// A variable, or an array's.
    Name(&'a str),
    Field,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Condition,
    Group,
    Subscript,
}

impl<'a> Awk<'a> {
    fn new(code: &'a str) -> Awk<'a> {
        let (open, set, counted) = (Vec::new(), Vec::new(), Vec::new());
        Awk { rest: code, ended: None, field: false, open, set, counted }
    }

    /// Whether no value has another one right beside it, and none is reckoned with, which makes it the number that it begins with.
    fn stands_apart(mut self) -> bool {
        while let Some(c) = self.rest.chars().next() {
            let apart = match c {
                ' ' | '\t' => {
                    self.take(1);
                    true
                }
                'a'..='z' | 'A'..='Z' | '_' => self.word(),
                '0'..='9' | '.' => {
                    self.take_while(|c| c.is_ascii_digit() || c == '.');
                    self.value(Term::Other)
                }
                '$' => {
                    self.take(1);
                    let apart = self.ended.is_none() && !self.field;
                    self.field = true;
                    apart
                }
                '"' => self.text(),
                '(' | '[' => self.opens(c),
                ')' | ']' => self.closes(c),
                '+' => self.counts(),
                '=' => self.sets(),
                // Between the two comes a character that is not shown.
                ',' if self.open.iter().any(|(open, _)| *open == Open::Subscript) => false,
                '{' | '}' | ';' | '\n' | ',' | '&' | '|' | '<' | '>' | '!' | '~' | '?' | ':' => {
                    self.operator(1)
                }
                _ => false,
            };
            if !apart {
                return false;
            }
        }
        !self.set.iter().any(|name| self.counted.contains(name))
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, of: fn(char) -> bool) -> &'a str {
        self.take(self.rest.find(|c| !of(c)).unwrap_or(self.rest.len()))
    }

    fn operator(&mut self, bytes: usize) -> bool {
        self.take(bytes);
        self.ended = None;
        !std::mem::take(&mut self.field)
    }

    /// A value, which none may stand right before.
    fn value(&mut self, term: Term<'a>) -> bool {
        let apart = self.ended.is_none();
        self.ended = Some(if std::mem::take(&mut self.field) { Term::Field } else { term });
        apart
    }

    /// Text parts what it stands between, unless a value's beginning or end may be hidden by it.
    fn text(&mut self) -> bool {
        let Some((text, rest)) = self.rest.get(1..).and_then(|rest| rest.split_once('"')) else {
            return false;
        };
        self.rest = rest;
        let beside = self.ended.is_some() && hides_end(text);
        if self.field || beside || text.contains(['\\', '\n']) {
            return false;
        }
        if let Some(last) = text.chars().last() {
            self.ended = hides_begin(last).then_some(Term::Other);
        }
        true
    }

    fn word(&mut self) -> bool {
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        match word {
            "print" | "next" | "exit" | "else" | "in" | "BEGIN" | "END" => self.operator(0),
            "if" => {
                let opens = self.rest.trim_start_matches([' ', '\t']).strip_prefix('(');
                self.rest = opens.unwrap_or("");
                self.open.push((Open::Condition, Term::Other));
                opens.is_some() && self.operator(0)
            }
            "NR" | "NF" | "FNR" | "FILENAME" | "length" | "count" | "sum" | "n" | "i" | "s" | "c" | "a"
            | "seen" | "x" | "k" | "v" | "key" | "total" | "arr" => self.value(Term::Name(word)),
            _ => false,
        }
    }

    fn opens(&mut self, c: char) -> bool {
        self.take(1);
        let before = self.ended.take();
        let of = if std::mem::take(&mut self.field) { Term::Field } else { Term::Other };
        match (c, before) {
            ('(', None) => self.open.push((Open::Group, of)),
            ('(', Some(Term::Name("length"))) => self.open.push((Open::Group, Term::Other)),
            ('[', Some(Term::Name(name))) => self.open.push((Open::Subscript, Term::Name(name))),
            _ => return false,
        }
        true
    }

    fn closes(&mut self, c: char) -> bool {
        self.take(1);
        let Some((open, of)) = self.open.pop() else { return false };
        self.ended = (open != Open::Condition).then_some(of);
        (c == ']') == (open == Open::Subscript) && !self.field
    }

    /// `n++`, `++n`: of nothing that has a value of the input.
    fn counts(&mut self) -> bool {
        if self.take(2) != "++" || self.field {
            return false;
        }
        let name = match self.ended {
            Some(Term::Name(name)) => name,
            Some(_) => return false,
            None => {
                let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                self.rest.get(..end.unwrap_or(self.rest.len())).unwrap_or("")
            }
        };
        self.counted.push(name);
        !name.is_empty()
    }

    fn sets(&mut self) -> bool {
        if self.rest.starts_with("==") {
            return self.operator(2);
        }
        let behind = self.rest.get(1..).unwrap_or("").trim_start_matches([' ', '\t']);
        let ends = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = ends.len() < behind.len() && (ends.is_empty() || ends.starts_with([';', '}', '\n']));
        if let (Some(Term::Name(name)), false) = (self.ended, number) {
            self.set.push(name);
        }
        self.operator(1)
    }
}
