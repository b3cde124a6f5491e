//! Text -> [`Tree`]: the grammar of POSIX.1-2024, XCU 2 (2.3 tokens, 2.9 commands, 2.10), and what bash adds to it.
//!
//! One pass from left to right with no way back. What two shells would read in two ways is noted as a [`Difference`], or
//! refused where the other reading is not followed. Every level of nesting is counted before it is entered.

mod commands;
mod here;
mod quotes;
mod words;

use crate::limits::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX};
use crate::line::{Difference, Literal, LiteralKind, Refused, RefusedKind, Span};
use crate::syntax::{Body, Tree};

/// What a text was read as.
pub(crate) struct Read {
    pub tree: Tree,
    pub differences: Vec<(Difference, Span)>,
    pub literals: Vec<Literal>,
    /// Names of functions that it defines.
    pub functions: Vec<String>,
    /// Variables that it sets other than by an assignment: by `for`, `select`, `{x}>y` and `${x:=y}`.
    pub sets: Vec<Set>,
    /// Nodes made so far, the ones before this text included.
    pub nodes: usize,
}

/// A variable that is set.
pub(crate) struct Set {
    pub name: String,
    pub at: Span,
    /// What it is set to is surely no pattern of file names.
    pub plain: bool,
}

/// Reads a whole text. `depth` and `nodes` are what is around it; all positions are `fixed`, if given.
pub(crate) fn read(text: &str, depth: usize, nodes: usize, fixed: Option<Span>) -> Result<Read, Refused> {
    check_characters(text)?;
    let mut reader = Reader {
        text,
        at: 0,
        depth,
        nodes,
        fixed,
        pending: Vec::new(),
        bodies: Vec::new(),
        differences: Vec::new(),
        literals: Vec::new(),
        functions: Vec::new(),
        sets: Vec::new(),
        groups: None,
    };
    let list = reader.program()?;
    let Reader { bodies, differences, mut literals, nodes, functions, sets, .. } = reader;
    literals.sort_by_key(|literal| (literal.at.start, literal.at.end));
    Ok(Read { tree: Tree { list, bodies }, differences, literals, functions, sets, nodes })
}

/// Control characters mean something to terminals and to bash itself, and to no command: only tab and newline may stand
/// in a text. A carriage return would be part of a word.
fn check_characters(text: &str) -> Result<(), Refused> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refused { at: 0, kind: RefusedKind::TooLong });
    }
    let bad = text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\t'));
    match bad {
        Some((at, _)) => Err(Refused { at: at as u32, kind: RefusedKind::ControlCharacter }),
        None => Ok(()),
    }
}

/// A here-document whose body has not come yet.
struct Pending {
    body: usize,
    delimiter: String,
    quoted: bool,
    tabs: bool,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    nodes: usize,
    fixed: Option<Span>,
    pending: Vec<Pending>,
    bodies: Vec<Body>,
    differences: Vec<(Difference, Span)>,
    literals: Vec<Literal>,
    functions: Vec<String>,
    sets: Vec<Set>,
    /// Inside `$( )`: in how many groups of it.
    groups: Option<u32>,
}

impl Reader<'_> {
    /// Reads another text that stands in this one at `fixed`, one level deeper.
    fn apart<T>(
        &mut self,
        text: &str,
        fixed: Span,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.deeper(|outer| {
            let mut inner = Reader {
                text,
                at: 0,
                depth: outer.depth,
                nodes: outer.nodes,
                fixed: Some(fixed),
                pending: Vec::new(),
                bodies: std::mem::take(&mut outer.bodies),
                differences: std::mem::take(&mut outer.differences),
                literals: Vec::new(),
                functions: std::mem::take(&mut outer.functions),
                sets: std::mem::take(&mut outer.sets),
                groups: None,
            };
            let found = read(&mut inner);
            let Reader { nodes, bodies, differences, functions, sets, .. } = inner;
            outer.nodes = nodes;
            outer.bodies = bodies;
            outer.differences = differences;
            outer.functions = functions;
            outer.sets = sets;
            found
        })
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn sees(&self, what: &str) -> bool {
        self.rest().starts_with(what)
    }

    fn take(&mut self, what: &str) -> bool {
        let there = self.sees(what);
        if there {
            self.at += what.len();
        }
        there
    }

    fn char(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn span(&self, start: usize) -> Span {
        self.fixed.unwrap_or(Span { start: start as u32, end: self.at as u32 })
    }

    fn refuse<T>(&self, kind: RefusedKind) -> Result<T, Refused> {
        Err(Refused { at: self.fixed.map_or(self.at as u32, |span| span.start), kind })
    }

    fn syntax<T>(&self) -> Result<T, Refused> {
        let ended = self.at >= self.text.len();
        self.refuse(if ended { RefusedKind::Unterminated } else { RefusedKind::Syntax })
    }

    fn node(&mut self) -> Result<(), Refused> {
        self.nodes += 1;
        if self.nodes > NODES_MAX { self.refuse(RefusedKind::TooMany) } else { Ok(()) }
    }

    /// Goes one level deeper for as long as `inner` takes.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Refused>) -> Result<T, Refused> {
        if self.depth >= DEPTH_MAX {
            return self.refuse(RefusedKind::TooDeep);
        }
        self.depth += 1;
        let found = inner(self);
        self.depth -= 1;
        found
    }

    fn differs(&mut self, what: Difference, start: usize) {
        let span = self.span(start);
        self.differences.push((what, span));
    }

    /// Notes text that is not the shell's own; inside a text with a fixed place the whole of it is noted already.
    fn literal(&mut self, kind: LiteralKind, start: usize, end: usize, value: &str) {
        if self.fixed.is_none() && start < end {
            let at = Span { start: start as u32, end: end as u32 };
            self.literals.push(Literal { at, kind, value: value.to_owned() });
        }
    }

    /// Skips blanks, continued lines and a comment.
    fn blank(&mut self) {
        loop {
            match self.byte(0) {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\\') if self.byte(1) == Some(b'\n') => self.at += 2,
                Some(b'#') => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        let start = self.at;
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.at += length;
        let value = self.text.get(start + 1..self.at).unwrap_or("").to_owned();
        self.literal(LiteralKind::Comment, start + 1, self.at, &value);
    }

    /// Skips blanks and newlines; bodies of here-documents come behind the first of these.
    fn lines(&mut self) -> Result<bool, Refused> {
        let mut any = false;
        loop {
            self.blank();
            if self.byte(0) != Some(b'\n') {
                return Ok(any);
            }
            any = true;
            self.newline()?;
        }
    }

    fn newline(&mut self) -> Result<(), Refused> {
        self.at += 1;
        self.here_bodies()
    }
}

/// Bytes that end a word when they are not quoted.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')
}

/// Behind continued lines.
fn past_continued(mut text: &str) -> &str {
    while let Some(rest) = text.strip_prefix("\\\n") {
        text = rest;
    }
    text
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

pub(crate) fn is_variable(name: &str) -> bool {
    name.chars().next().is_some_and(is_name_start) && name.chars().all(is_name)
}
