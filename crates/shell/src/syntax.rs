//! The tree that [`crate::read`] makes of a line. Nothing is expanded here, and nothing is left out.

use crate::line::Span;

/// Commands one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub items: Vec<Item>,
}

/// Pipelines that `&&` and `||` join.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub first: Pipeline,
    pub rest: Vec<(Joint, Pipeline)>,
    pub background: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joint {
    And,
    Or,
}

#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// Behind a `!`.
    pub negated: bool,
    pub nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Simple(Simple),
    Group(Group),
    Function { body: Box<Node>, span: Span },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Simple {
    pub assignments: Vec<Assign>,
    pub words: Vec<Word>,
    pub redirects: Vec<Redirect>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Assign {
    pub name: String,
    /// The words of an array; one word otherwise.
    pub values: Vec<Word>,
    /// `name+=word`: behind what the variable has.
    pub appends: bool,
    /// `name=(...)`: its words are split and looked up as patterns.
    pub array: bool,
    pub span: Span,
}

/// A compound command; its parts stand in the order of the text.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub kind: GroupKind,
    pub parts: Vec<Part>,
    pub redirects: Vec<Redirect>,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupKind {
    Brace,
    Subshell,
    /// `if`, `while`, `until`, `for`, `select`, `case`: what is in it runs as often as it turns out.
    Conditional,
    /// `[[ ... ]]`
    Test,
    /// `(( ... ))`, and the head of `for (( ... ))`
    Arithmetic,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    List(List),
    Word(Word),
    /// A word of `for` and `select`, which is split and looked up as a pattern.
    Element(Word),
}

#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    pub descriptor: Option<String>,
    pub operator: &'static str,
    pub target: Word,
    /// Where the body is in [`Tree::bodies`], for `<<` and `<<-`.
    pub body: Option<usize>,
    pub span: Span,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Word {
    pub pieces: Vec<Piece>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text {
        value: String,
        quoted: bool,
    },
    /// A variable, or what cannot be decoded (its name is empty).
    Parameter {
        name: String,
        /// `$name` or `${name}` and no more.
        plain: bool,
        quoted: bool,
        /// `${x@P}` and `${!x}`: the value is read as text of the shell, or as a name.
        evaluates: bool,
        /// `${x%y}`, `${x:1}`, `${x/a/b}`, `${x^}`: something else than the value, or a piece of it.
        cuts: bool,
        inner: Vec<Word>,
    },
    Command {
        list: List,
        quoted: bool,
    },
    Arithmetic {
        inner: Vec<Piece>,
        /// Whether a name stands in it, whose value bash would evaluate.
        names: bool,
    },
}

/// A here-document's body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub pieces: Vec<Piece>,
    pub span: Span,
}

/// A whole line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub list: List,
    pub bodies: Vec<Body>,
}

impl Word {
    /// The word's text, if it is literal throughout.
    pub fn literal(&self) -> Option<String> {
        let mut all = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text { value, .. } => all.push_str(value),
                Piece::Parameter { .. } | Piece::Command { .. } | Piece::Arithmetic { .. } => return None,
            }
        }
        Some(all)
    }

    /// The same, if nothing of it was quoted: only such a word is a reserved one, or a number before a redirection.
    pub fn bare(&self) -> Option<String> {
        let quoted = |piece: &Piece| matches!(piece, Piece::Text { quoted: true, .. });
        if self.pieces.iter().any(quoted) { None } else { self.literal() }
    }
}
