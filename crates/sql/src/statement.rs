//! Text into statements: PostgreSQL's grammar, with limits before it.

use std::ops::Range;
use std::sync::Arc;

use pg_query::protobuf as p;
use pg_query::protobuf::{ScanToken, Token};

use crate::kind::kind;
use crate::limits::{
    DEEP_STACK_BYTES, DEPTH_INLINE_MAX, DEPTH_MAX, LONG_NAME_BYTES, QUERY_LEVELS, STATEMENTS_MAX,
    TEXT_BYTES_MAX, TREE_TOKENS_MAX,
};
use crate::syntax::ParseError;
use crate::tree::{Node, Tree};

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Statement {
    text: Arc<str>,
    range: Range<usize>,
    /// Without comments.
    tokens: Arc<[ScanToken]>,
    literals: Arc<[Literal]>,
    parameters: u32,
    /// `None`: given back, see [`Statement::bare`].
    node: Option<Arc<Node>>,
    depth: usize,
}

/// Where a relation stands in FROM, in bytes of the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelationPlace {
    /// With ONLY and `*`, without an alias; with the keyword of `TABLE name`.
    pub range: Range<usize>,
    /// Where its name begins: the location in the tree.
    pub name: usize,
    /// `TABLE name` stands for a whole query.
    pub table: bool,
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

/// Reads a text as the server would with `standard_conforming_strings = on`: zero or more statements.
pub fn parse(text: &str) -> Result<Vec<Statement>, ParseError> {
    let error = ParseError::new;
    if text.len() > TEXT_BYTES_MAX {
        return Err(error("54000", "The statement is longer than the gateway accepts."));
    }
    if text.contains('\0') {
        return Err(error("22021", "The statement holds a zero byte."));
    }
    let tokens = scan(text).map_err(|why| ParseError::of_scan(text, &why))?;
    let depth = depth(&tokens);
    if depth > DEPTH_MAX {
        return Err(error("54001", "The statement is nested more deeply than the gateway accepts."));
    }
    if tree_tokens(&tokens) > TREE_TOKENS_MAX {
        return Err(error("54000", "The statement is made of more words than the gateway accepts."));
    }
    let tree = tree(text, depth).map_err(|why| ParseError::of_parse(text, &why, &tokens, depth))?;
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
        out.push(Statement::new(whole.clone(), start..end, &tokens, *node, depth));
    }
    Ok(out)
}

/// The tokens of a text. The scanner is not asked about one without any: `scan_tokens` (pg_query 18.1) makes a slice of
/// the null pointer that the scanner returns then, and a debug build aborts.
pub(crate) fn scan(text: &str) -> Result<Vec<ScanToken>, pg_query::Error> {
    match text.bytes().all(is_space) {
        true => Ok(Vec::new()),
        false => pg_query::scan_tokens(text),
    }
}

/// White space as PostgreSQL's scanner has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The tree of a text whose tokens say that it is at most `depth` deep.
pub(crate) fn tree(text: &str, depth: usize) -> Result<p::ParseResult, pg_query::Error> {
    let parsed =
        with_stack(depth, || pg_query::parse(text, pg_query::ParserOptions::DEFAULT).map(|r| r.protobuf));
    parsed.unwrap_or(Err(pg_query::Error::InvalidPointer))
}

impl Statement {
    fn new(text: Arc<str>, range: Range<usize>, all: &[ScanToken], node: Node, depth: usize) -> Statement {
        let first = all.partition_point(|t| at(t.start) < range.start);
        let last = all.partition_point(|t| at(t.start) < range.end);
        let all = &all[first..last];
        let literals = literals(all, range.start).into();
        let comment = |t: &&ScanToken| matches!(t.token(), Token::SqlComment | Token::CComment);
        let tokens: Arc<[ScanToken]> = all.iter().filter(|t| !comment(t)).copied().collect();
        let parameters = tokens.iter().filter(|t| t.token() == Token::Param).map(|t| number(&text, t)).max();
        Statement {
            text,
            range,
            literals,
            parameters: parameters.unwrap_or(0),
            tokens,
            node: Some(Arc::new(node)),
            depth,
        }
    }

    /// The exact bytes of this statement in the text, without the `;` that ends it.
    pub fn text(&self) -> &str {
        &self.text[self.range.clone()]
    }

    /// Where it begins in the text, in bytes.
    pub(crate) fn offset(&self) -> usize {
        self.range.start
    }

    /// Where it begins in the text, in characters.
    pub fn characters_before(&self) -> u32 {
        u32::try_from(self.text[..self.range.start].chars().count()).unwrap_or(u32::MAX)
    }

    /// The byte in [`Statement::text`] at which its first `$n` stands.
    pub fn first_parameter(&self) -> Option<usize> {
        let token = self.tokens.iter().find(|t| t.token() == Token::Param)?;
        at(token.start).checked_sub(self.range.start)
    }

    /// Whether what it means can depend on what a name means. Not where it only turns a transaction, sets or shows a
    /// setting, or names a channel: told from its first word, behind which the grammar has nothing else.
    pub fn reads_names(&self) -> bool {
        let mut words = self.words();
        match words.next() {
            Some(
                Token::BeginP
                | Token::Start
                | Token::Commit
                | Token::EndP
                | Token::Rollback
                | Token::AbortP
                | Token::Savepoint
                | Token::Release
                | Token::Show
                | Token::Reset
                | Token::Listen
                | Token::Unlisten
                | Token::Notify,
            ) => false,
            Some(Token::Set) => words.next() == Some(Token::Constraints),
            _ => true,
        }
    }

    /// Whether it is a BEGIN.
    pub fn begins(&self) -> bool {
        matches!(self.words().next(), Some(Token::BeginP | Token::Start))
    }

    fn words(&self) -> impl Iterator<Item = Token> {
        let first = self.tokens.partition_point(|t| at(t.start) < self.range.start);
        self.tokens[first..].iter().map(ScanToken::token)
    }

    /// Whether it has a name that a server of another encoding than UTF-8 may cut elsewhere than the grammar does: one beyond
    /// ASCII, or written in escapes, of more than 31 bytes (no encoding takes more than twice the bytes).
    pub fn has_long_name(&self) -> bool {
        let is_long = |token: &ScanToken| {
            let name = self.text.get(at(token.start)..at(token.end)).unwrap_or_default().trim_matches('"');
            let of_name = matches!(token.token(), Token::Ident | Token::Uident);
            of_name && name.len() > LONG_NAME_BYTES && (!name.is_ascii() || token.token() == Token::Uident)
        };
        self.tokens.iter().any(is_long)
    }

    /// Its exact kind, as a command: `SELECT`, `CREATE TABLE`.
    pub fn kind(&self) -> &'static str {
        kind(self.tree())
    }

    /// The cursor that it declares.
    pub fn declares(&self) -> Option<&str> {
        match self.tree() {
            Tree::DeclareCursorStmt(declared) => Some(&declared.portalname),
            _ => None,
        }
    }

    /// Every constant and comment, in order.
    pub fn literals(&self) -> &[Literal] {
        &self.literals
    }

    /// The highest `$n`.
    pub fn parameters(&self) -> u32 {
        self.parameters
    }

    /// The statement without its tree, which takes a hundred times the room of its text: for what is said of it when it
    /// is known what it does. Analysed once more, it would be one that the gateway does not know, and refused.
    pub fn bare(self) -> Statement {
        Statement { node: None, ..self }
    }

    pub fn is_bare(&self) -> bool {
        self.node.is_none()
    }

    pub(crate) fn tree(&self) -> Tree<'_> {
        self.node.as_deref().and_then(Tree::of).unwrap_or(Tree::Unknown)
    }

    /// An upper bound of its nesting, for [`with_stack`].
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    // Places. The tree says where a name begins; where it ends, and what stands around it, the tokens say. Every answer
    // is in bytes of the whole text, and `None` where the tokens are not what the grammar promises.

    pub(crate) fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    pub(crate) fn relation_place(&self, name: &p::RangeVar) -> Option<RelationPlace> {
        let first = self.index(name.location)?;
        let (_, mut next) = self.dotted(first);
        let mut start = first;
        let before = |n: usize| first.checked_sub(n).map(|i| self.tokens[i].token());
        let mut only = false;
        if before(1) == Some(Token::Only) {
            start = first - 1;
            only = true;
        } else if before(1) == Some(Token::Ascii40) && before(2) == Some(Token::Only) {
            start = first - 2;
            only = true;
            if self.token(next)? != Token::Ascii41 {
                return None;
            }
            next += 1;
        } else if self.token(next) == Some(Token::Ascii42) {
            next += 1;
        }
        if only == name.inh {
            return None;
        }
        let table = start.checked_sub(1).is_some_and(|i| self.tokens[i].token() == Token::Table);
        if table {
            start -= 1;
        }
        let range = at(self.tokens.get(start)?.start)..at(self.tokens.get(next - 1)?.end);
        Some(RelationPlace { range, name: at(name.location), table })
    }

    /// `TABLESAMPLE method (..) [REPEATABLE (..)]`.
    pub(crate) fn sample_place(&self, sample: &p::RangeTableSample) -> Option<Range<usize>> {
        let method = self.index(sample.location)?;
        let keyword = method.checked_sub(1).filter(|i| self.tokens[*i].token() == Token::Tablesample)?;
        let (_, open) = self.dotted(method);
        let mut last = self.closing(open)?;
        if self.token(last + 1) == Some(Token::Repeatable) {
            last = self.closing(last + 2)?;
        }
        Some(at(self.tokens[keyword].start)..at(self.tokens[last].end))
    }

    /// The first `parts` names of a dotted name, with the dot after them.
    pub(crate) fn name_prefix(&self, location: i32, parts: usize) -> Option<Range<usize>> {
        let (names, _) = self.dotted(self.index(location)?);
        let kept = names.get(parts)?;
        Some(at(location)..kept.start)
    }

    /// The token that begins at a location of the tree.
    pub(crate) fn token_at(&self, location: i32) -> Option<Range<usize>> {
        let token = self.tokens.get(self.index(location)?)?;
        Some(at(token.start)..at(token.end))
    }

    /// A column's whole name, and the text of what stands before its last part.
    pub(crate) fn column_place(&self, location: usize) -> Option<(Range<usize>, Option<String>)> {
        let first = self.index(i32::try_from(location).ok()?)?;
        let (names, _) = self.dotted(first);
        let last = names.last()?;
        let qualifier = names.len().checked_sub(2).map(|i| self.slice(location..names[i].end).to_owned());
        Some((location..last.end, qualifier))
    }

    /// `*` or `name.*`.
    pub(crate) fn star_place(&self, location: i32) -> Option<Range<usize>> {
        let first = self.index(location)?;
        let mut i = first;
        while self.token(i)? != Token::Ascii42 {
            i += 1;
            if i > first + 8 {
                return None;
            }
        }
        Some(at(location)..at(self.tokens[i].end))
    }

    /// The first argument of the call whose name begins at `location`.
    pub(crate) fn first_argument(&self, location: i32) -> Option<Range<usize>> {
        let (_, open) = self.dotted(self.index(location)?);
        if self.token(open)? != Token::Ascii40 {
            return None;
        }
        let close = self.closing(open)?;
        let mut depth = 0usize;
        let mut last = open;
        for i in open + 1..close {
            match self.tokens[i].token() {
                Token::Ascii40 | Token::Ascii91 => depth += 1,
                Token::Ascii41 | Token::Ascii93 => depth = depth.checked_sub(1)?,
                Token::Ascii44 if depth == 0 => break,
                _ => {}
            }
            last = i;
        }
        (last > open).then(|| at(self.tokens[open + 1].start)..at(self.tokens[last].end))
    }

    /// The relation of COPY, with its list of columns.
    pub(crate) fn copy_place(&self, name: &p::RangeVar, columns: bool) -> Option<Range<usize>> {
        let first = self.index(name.location)?;
        // COPY BINARY has no form with a query.
        if first.checked_sub(1).is_none_or(|i| self.tokens[i].token() != Token::Copy) {
            return None;
        }
        let (_, next) = self.dotted(first);
        let last = if columns { self.closing(next)? } else { next - 1 };
        Some(at(name.location)..at(self.tokens.get(last)?.end))
    }

    /// The condition of the WHERE that belongs to the UPDATE or DELETE of the relation at `target`.
    pub(crate) fn predicate_place(&self, target: usize) -> Option<Range<usize>> {
        let first = self.index(i32::try_from(target).ok()?)?;
        let mut depth = 0usize;
        let mut start = None;
        let mut last = first;
        for i in first..self.tokens.len() {
            let token = self.tokens[i].token();
            match token {
                Token::Ascii40 | Token::Ascii91 => depth += 1,
                Token::Ascii41 | Token::Ascii93 if depth == 0 => break,
                Token::Ascii41 | Token::Ascii93 => depth -= 1,
                Token::Where if depth == 0 && start.is_none() => start = Some(i + 1),
                Token::Returning if depth == 0 => break,
                Token::Ascii59 if depth == 0 => break,
                _ => {}
            }
            last = i;
        }
        let start = start.filter(|s| *s <= last)?;
        Some(at(self.tokens[start].start)..at(self.tokens[last].end))
    }

    fn token(&self, i: usize) -> Option<Token> {
        self.tokens.get(i).map(ScanToken::token)
    }

    /// The token that begins at a location of the tree.
    fn index(&self, location: i32) -> Option<usize> {
        self.tokens.binary_search_by_key(&location, |t| t.start).ok()
    }

    /// The parts of the dotted name that begins with token `first`, and the token after it.
    fn dotted(&self, first: usize) -> (Vec<Range<usize>>, usize) {
        let mut parts = Vec::new();
        let mut i = first;
        while let Some(token) = self.tokens.get(i) {
            let mut end = at(token.end);
            i += 1;
            if token.token() == Token::Uident && self.token(i) == Some(Token::Uescape) {
                i += 2;
                end = self.tokens.get(i - 1).map_or(end, |t| at(t.end));
            }
            parts.push(at(token.start)..end);
            if self.token(i) != Some(Token::Ascii46) || self.token(i + 1) == Some(Token::Ascii42) {
                break;
            }
            i += 1;
        }
        (parts, i)
    }

    /// The token that closes the bracket at `open`.
    fn closing(&self, open: usize) -> Option<usize> {
        if self.token(open)? != Token::Ascii40 {
            return None;
        }
        let mut depth = 0usize;
        for i in open..self.tokens.len() {
            match self.tokens[i].token() {
                Token::Ascii40 => depth += 1,
                Token::Ascii41 => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(i);
            }
        }
        None
    }
}

/// A position of the scanner's or the tree's; -1 stands for none and finds nothing.
pub(crate) fn at(position: i32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
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
    Some(literals(&scan(text).ok()?, 0))
}

pub(crate) fn literals(tokens: &[ScanToken], offset: usize) -> Vec<Literal> {
    let literal = |t: &ScanToken| {
        let kind = match t.token() {
            Token::Sconst | Token::Usconst => LiteralKind::Str,
            Token::Iconst => LiteralKind::Int,
            Token::Fconst => LiteralKind::Float,
            Token::Bconst | Token::Xconst => LiteralKind::Bit,
            Token::SqlComment | Token::CComment => LiteralKind::Comment,
            _ => return None,
        };
        Some(Literal { range: at(t.start).checked_sub(offset)?..at(t.end).checked_sub(offset)?, kind })
    };
    tokens.iter().filter_map(literal).collect()
}

fn number(text: &str, token: &ScanToken) -> u32 {
    text.get(at(token.start) + 1..at(token.end)).and_then(|n| n.parse().ok()).unwrap_or(u32::MAX)
}

/// Runs work that recurses over a tree: on a thread of its own where the tree could be deeper than a small stack holds.
/// `None`: no such thread could be had, or it panicked.
pub(crate) fn with_stack<T: Send>(depth: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if depth <= DEPTH_INLINE_MAX {
        return Some(work());
    }
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().stack_size(DEEP_STACK_BYTES).spawn_scoped(scope, work).ok()?;
        thread.join().ok()
    })
}

/// An upper bound of how deep the tree of these tokens can be, found without building it.
///
/// Each level of a tree takes at least one token that is no operand between the separators that make siblings (`,`, AND,
/// OR, in a CASE its keywords, in a query its clauses); brackets add up; JOIN, BETWEEN and the set operators nest across
/// separators, so they are never reset. A query counts for [`QUERY_LEVELS`].
pub(crate) fn depth(tokens: &[ScanToken]) -> usize {
    #[derive(Default)]
    struct Level {
        run: usize,
        kept: usize,
        query: bool,
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
            Token::Ascii44 | Token::And | Token::Or | Token::When | Token::Then | Token::Else => {
                level.run = 0
            }
            Token::Join | Token::Between | Token::Union | Token::Intersect | Token::Except => {
                level.kept += 1;
                level.run = 0;
            }
            Token::Select | Token::Values if !level.query => {
                level.kept += QUERY_LEVELS;
                level.query = true;
                level.run = 0;
            }
            Token::On | Token::Select | Token::From | Token::Where | Token::GroupP | Token::Order => {
                level.run = 0;
            }
            // Operands: what nests takes an operator, a keyword or a bracket.
            Token::Ident | Token::Uident | Token::Param | Token::Ascii46 => {}
            Token::Sconst
            | Token::Usconst
            | Token::Iconst
            | Token::Fconst
            | Token::Bconst
            | Token::Xconst => {}
            Token::Ascii59 if levels.is_empty() => level = Level::default(),
            _ => level.run += 1,
        }
        deepest = deepest.max(outer + level.run + level.kept);
    }
    deepest
}

/// How many tokens the tree of these is made of. The parser's trees share a node where the grammar does so, and their written
/// form does not: the source of `SET (a, b) = source` stands there once for each name, and one source may hold others. Of all
/// that the grammar shares (PostgreSQL 18, gram.y: arguments of functions that are named, columns of a recursive view) it
/// alone grows faster than its text.
pub(crate) fn tree_tokens(tokens: &[ScanToken]) -> usize {
    #[derive(Default)]
    struct Level {
        /// How often what stands in this bracket is written, and what stands here now.
        base: usize,
        times: usize,
        /// A SET stands here, so that a bracket behind a comma may hold names.
        sets: bool,
        names: bool,
        commas: usize,
    }
    let mut levels: Vec<Level> = Vec::new();
    let mut level = Level { base: 1, times: 1, ..Level::default() };
    // The names in the bracket that was closed just now.
    let mut named = None;
    let (mut before, mut total) = (Token::Nul, 0usize);
    for token in tokens.iter().map(ScanToken::token) {
        if matches!(token, Token::SqlComment | Token::CComment) {
            continue;
        }
        total = total.saturating_add(level.times);
        let closed = named.take();
        match token {
            Token::Ascii40 | Token::Ascii91 => {
                let names = before == Token::Set || before == Token::Ascii44 && level.sets;
                let inner = Level { base: level.times, times: level.times, names, ..Level::default() };
                levels.push(std::mem::replace(&mut level, inner));
            }
            Token::Ascii41 | Token::Ascii93 => {
                if let Some(outer) = levels.pop() {
                    let inner = std::mem::replace(&mut level, outer);
                    named = inner.names.then_some(inner.commas + 1);
                }
            }
            Token::Ascii61 if closed.is_some() => {
                level.times = level.base.saturating_mul(closed.unwrap_or(1));
            }
            Token::Ascii44 => {
                level.commas += 1;
                level.times = level.base;
            }
            // Reserved words end a source, but for where they are none: `row.from`, IS DISTINCT FROM.
            Token::Where | Token::Returning if before != Token::Ascii46 => level.times = level.base,
            Token::From if !matches!(before, Token::Ascii46 | Token::Distinct) => level.times = level.base,
            Token::Ascii59 => level.times = level.base,
            Token::Set => level.sets = true,
            _ => {}
        }
        before = token;
    }
    total
}
