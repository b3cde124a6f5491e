//! Text into statements: PostgreSQL's grammar, with limits before it.

use std::ops::Range;
use std::sync::Arc;

use pg_query::protobuf::{ScanToken, Token};

use crate::limits::{DEPTH_MAX, STATEMENTS_MAX, TEXT_BYTES_MAX};
use crate::tree::{Node, Tree};

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Statement {
    text: Arc<str>,
    range: Range<usize>,
    tokens: Vec<ScanToken>,
    literals: Vec<Literal>,
    parameters: u32,
    node: Arc<Node>,
}

/// A piece of a statement that holds a value of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// In bytes of [`Statement::text`].
    pub range: Range<usize>,
    pub kind: LiteralKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// `'..'`, `E'..'`, `U&'..'`, `$tag$..$tag$`.
    Str,
    Int,
    Float,
    /// `B'..'` or `X'..'`.
    Bit,
    /// Free text: it can hold anything.
    Comment,
}

/// A text that is not SQL, or is beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// SQLSTATE.
    pub code: &'static str,
    /// A constant sentence.
    pub sentence: &'static str,
    /// The byte at which the parser stopped, if it said so.
    pub at: Option<usize>,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sentence)
    }
}

impl std::error::Error for ParseError {}

/// Reads a text as the server would with `standard_conforming_strings = on`: zero or more statements.
pub fn parse(text: &str) -> Result<Vec<Statement>, ParseError> {
    let error = |code, sentence| ParseError { code, sentence, at: None };
    if text.len() > TEXT_BYTES_MAX {
        return Err(error("54000", "The statement is longer than the gateway accepts."));
    }
    if text.contains('\0') {
        return Err(error("22021", "The statement holds a zero byte."));
    }
    let tokens = pg_query::scan_tokens(text).map_err(|_| error("42601", "The statement cannot be read as SQL."))?;
    if depth(&tokens) > DEPTH_MAX {
        return Err(error("54001", "The statement is nested more deeply than the gateway accepts."));
    }
    let tree = pg_query::parse(text, pg_query::ParserOptions::DEFAULT)
        .map_err(|_| error("42601", "The statement is not valid SQL."))?
        .protobuf;
    if tree.stmts.len() > STATEMENTS_MAX {
        return Err(error("54000", "The text holds more statements than the gateway accepts."));
    }
    let whole: Arc<str> = text.into();
    let mut out = Vec::with_capacity(tree.stmts.len());
    for raw in tree.stmts {
        let start = usize::try_from(raw.stmt_location).unwrap_or(0);
        let length = usize::try_from(raw.stmt_len).unwrap_or(0);
        let end = if length == 0 { text.len() } else { start + length };
        let node = raw.stmt.ok_or(error("42601", "The statement is empty."))?;
        if text.get(start..end).is_none() {
            return Err(error("42601", "The statement cannot be found in its text."));
        }
        out.push(Statement::new(whole.clone(), start..end, &tokens, *node));
    }
    Ok(out)
}

impl Statement {
    fn new(text: Arc<str>, range: Range<usize>, all: &[ScanToken], node: Node) -> Statement {
        let first = all.partition_point(|t| (t.start as usize) < range.start);
        let last = all.partition_point(|t| (t.start as usize) < range.end);
        let tokens = all[first..last].to_vec();
        let literals = literals(&tokens, range.start);
        let parameters = tokens.iter().filter(|t| t.token() == Token::Param).map(|t| number(&text, t)).max();
        Statement { text, range, literals, parameters: parameters.unwrap_or(0), tokens, node: Arc::new(node) }
    }

    /// The exact bytes of this statement in the text, without the `;` that ends it.
    pub fn text(&self) -> &str {
        &self.text[self.range.clone()]
    }

    /// Where it begins in the text, in bytes.
    pub fn offset(&self) -> usize {
        self.range.start
    }

    /// Its exact kind, as a command: `SELECT`, `CREATE TABLE`.
    pub fn kind(&self) -> &'static str {
        "UNKNOWN"
    }

    /// Every constant and comment, in order.
    pub fn literals(&self) -> &[Literal] {
        &self.literals
    }

    /// The highest `$n`.
    pub fn parameters(&self) -> u32 {
        self.parameters
    }

    pub(crate) fn tree(&self) -> Tree<'_> {
        Tree::of(&self.node).unwrap_or(Tree::Unknown)
    }
}

/// The ranges of a statement's text that must be masked before it is shown or recorded: every literal is a field.
pub fn masked_literals(statement: &Statement) -> Vec<Range<usize>> {
    statement.literals.iter().map(|l| l.range.clone()).collect()
}

/// As [`Statement::literals`], for a text that may not parse. `None`: it cannot even be cut into tokens, so that all of
/// it is one literal.
pub fn literals_of(text: &str) -> Option<Vec<Literal>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    Some(literals(&pg_query::scan_tokens(text).ok()?, 0))
}

fn literals(tokens: &[ScanToken], offset: usize) -> Vec<Literal> {
    let literal = |t: &ScanToken| {
        let kind = match t.token() {
            Token::Sconst | Token::Usconst => LiteralKind::Str,
            Token::Iconst => LiteralKind::Int,
            Token::Fconst => LiteralKind::Float,
            Token::Bconst | Token::Xconst => LiteralKind::Bit,
            Token::SqlComment | Token::CComment => LiteralKind::Comment,
            _ => return None,
        };
        Some(Literal { range: t.start as usize - offset..t.end as usize - offset, kind })
    };
    tokens.iter().filter_map(literal).collect()
}

fn number(text: &str, token: &ScanToken) -> u32 {
    text.get(token.start as usize + 1..token.end as usize).and_then(|n| n.parse().ok()).unwrap_or(u32::MAX)
}

/// An upper bound of how deep the tree of these tokens can be, found without building it.
///
/// Each level of a tree takes at least one token between the separators that make siblings (`,`, AND, OR, in a CASE its
/// keywords, in a query its clauses); brackets add up; JOIN, BETWEEN and the set operators nest across separators, so they are never reset.
fn depth(tokens: &[ScanToken]) -> usize {
    #[derive(Default)]
    struct Level {
        run: usize,
        kept: usize,
    }
    let mut levels: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut outer = 0;
    let mut deepest = 0;
    for token in tokens {
        match token.token() {
            Token::SqlComment | Token::CComment => continue,
            Token::Ascii40 | Token::Ascii91 | Token::Case => {
                level.run += 1;
                outer += level.run + level.kept;
                levels.push(std::mem::take(&mut level));
            }
            Token::Ascii41 | Token::Ascii93 | Token::EndP => {
                if let Some(closed) = levels.pop() {
                    outer -= closed.run + closed.kept;
                    level = closed;
                }
            }
            Token::Ascii44 | Token::And | Token::Or | Token::When | Token::Then | Token::Else => level.run = 0,
            Token::Join | Token::Between | Token::Union | Token::Intersect | Token::Except => {
                level.kept += 1;
                level.run = 0;
            }
            Token::On | Token::Select | Token::From | Token::Where | Token::GroupP | Token::Order => level.run = 0,
            Token::Ascii59 if levels.is_empty() => level = Level::default(),
            _ => level.run += 1,
        }
        deepest = deepest.max(outer + level.run + level.kept);
    }
    deepest
}
