//! The tree that a rewrite means, and whether PostgreSQL's grammar finds it in the text.
//!
//! The tree that is meant is the client's own with the edits made in it: it is never built from the spliced text. It is
//! not built as a whole either: both trees are walked side by side, and where an edit can be, the tree that is meant
//! there is made and compared. What a node holds beside its children is compared in every node ([`Edit::same`] takes each
//! struct apart without `..`), byte positions excepted. A debug build also makes the whole tree, and panics if the two
//! ways ever answer differently: all tests and corpora run it.
//!
//! A masked sub-select that holds nothing of the client's is parsed once for a catalog ([`Prepared`]).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use pg_query::protobuf as p;
use pg_query::protobuf::node::Node as N;

use crate::analysis::Reason;
use crate::limits::{DEPTH_MAX, PREPARED_BYTES_MAX, PREPARED_MAX, TEXT_BYTES_MAX};
use crate::rewrite::DIFFERS;
use crate::statement::{Statement, at, depth, literals, scan, tree, with_stack};
use crate::tree::{Edit, Node};

/// The edits of a rewrite, by location in the client's tree.
#[derive(Default)]
pub(crate) struct Meant {
    pub relations: BTreeMap<usize, Stand>,
    pub unqualified: BTreeMap<usize, usize>,
    pub qualified: BTreeMap<usize, String>,
    pub columns: BTreeMap<usize, (String, Option<String>)>,
    pub stars: BTreeMap<usize, String>,
    pub groups: BTreeMap<usize, String>,
    pub predicates: BTreeMap<usize, String>,
    pub arguments: BTreeMap<usize, String>,
    pub copy: Option<String>,
}

/// What stands for a relation.
pub(crate) struct Stand {
    /// A sub-select in brackets.
    pub query: String,
    /// The alias that is added.
    pub alias: Option<String>,
    /// All of `query` is ours.
    pub own: bool,
}

/// Stands for the client's own expression in a template.
pub(crate) const HOLE: &str = "$2147483646";
const HOLE_NUMBER: i32 = 2_147_483_646;

/// The trees of masked sub-selects, by text: what a text means depends on nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared(Arc<Mutex<HashMap<String, Arc<Node>>>>);

impl Prepared {
    fn tree(&self, text: &str) -> Result<Arc<Node>, Reason> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = known().get(text) {
            return Ok(tree.clone());
        }
        let tree = Arc::new(one(text)?);
        if text.len() <= PREPARED_BYTES_MAX {
            let mut known = known();
            if known.len() >= PREPARED_MAX {
                known.clear();
            }
            known.insert(text.to_owned(), tree.clone());
        }
        Ok(tree)
    }
}

impl Stand {
    /// A sub-select stands alone in brackets: the query inside them is the statement.
    fn inner(&self) -> Result<&str, Reason> {
        self.query.strip_prefix('(').and_then(|t| t.strip_suffix(')')).ok_or(DIFFERS)
    }
}

impl Meant {
    /// Whether `text` is one statement that means what the edits make of `statement`. Gives where its constants and
    /// comments stand.
    pub(crate) fn check(
        &self,
        statement: &Statement,
        text: &str,
        prepared: &Prepared,
    ) -> Result<Vec<Range<usize>>, Reason> {
        let Some(own) = statement.node().filter(|_| text.len() <= TEXT_BYTES_MAX) else {
            return Err(DIFFERS);
        };
        let tokens = scan(text).map_err(|_| DIFFERS)?;
        let depth = depth(&tokens);
        if depth > DEPTH_MAX {
            return Err(DIFFERS);
        }
        let found = tree(text, depth).map_err(|_| DIFFERS)?;
        let mut statements = found.stmts.into_iter();
        let (Some(found), None) = (statements.next().and_then(|s| s.stmt), statements.next()) else {
            return Err(DIFFERS);
        };
        // A masked relation is a few levels deep itself.
        let same = with_stack(depth.max(statement.depth()), move || {
            let same = self.gives(own, &found, prepared);
            debug_assert!(same == self.gives_whole(own, &found), "two ways to compare differ");
            // Dropped where there is a stack for it.
            drop(found);
            same
        });
        match same {
            Some(Ok(true)) => Ok(literals(&tokens, 0).into_iter().map(|l| l.range).collect()),
            Some(Err(reason)) => Err(reason),
            Some(Ok(false)) | None => Err(DIFFERS),
        }
    }

    /// Whether `found` is what the edits make of `node`.
    fn gives(&self, node: &Node, found: &Node, prepared: &Prepared) -> Result<bool, Reason> {
        if let Some(N::RangeVar(name)) = &node.node {
            if let Some(stand) = self.relations.get(&at(name.location)).filter(|stand| stand.own) {
                return stands(stand, name, found, prepared);
            }
        }
        if self.may_change(node) {
            return self.gives_whole(node, found);
        }
        let mut failed = None;
        let same = node.same(found, &mut |node, found| match self.gives(node, found, prepared) {
            Ok(same) => same,
            Err(reason) => {
                failed = Some(reason);
                false
            }
        });
        failed.map_or(Ok(same), Err)
    }

    /// As [`Meant::gives`], by making the tree.
    fn gives_whole(&self, node: &Node, found: &Node) -> Result<bool, Reason> {
        let mut meant = node.clone();
        self.apply(&mut meant)?;
        Ok(same(&meant, found))
    }

    /// Whether [`Meant::apply`] may do more with this very node than with its children.
    fn may_change(&self, node: &Node) -> bool {
        match &node.node {
            Some(N::RangeTableSample(_)) => !self.relations.is_empty(),
            Some(N::RangeVar(name)) => {
                let place = at(name.location);
                self.relations.contains_key(&place) || self.qualified.contains_key(&place)
            }
            Some(N::ColumnRef(c)) => {
                let place = at(c.location);
                self.unqualified.contains_key(&place) || self.columns.contains_key(&place)
            }
            Some(N::FuncCall(f)) => self.arguments.contains_key(&at(f.location)),
            Some(N::SelectStmt(_)) => !self.groups.is_empty(),
            Some(
                N::InsertStmt(_) | N::UpdateStmt(_) | N::DeleteStmt(_) | N::MergeStmt(_) | N::CopyStmt(_),
            ) => true,
            _ => false,
        }
    }

    /// Makes the tree that the edits mean.
    fn apply(&self, node: &mut Node) -> Result<(), Reason> {
        if let Some(N::RangeTableSample(sample)) = &node.node {
            if let Some(N::RangeVar(name)) = sample.relation.as_deref().and_then(|n| n.node.as_ref()) {
                if let Some(made) = self.relation_for(name)? {
                    *node = made;
                    return Ok(());
                }
            }
        }
        let mut result = Ok(());
        node.each_node(&mut |child| {
            if result.is_ok() {
                result = self.apply(child);
            }
        });
        result?;
        match &mut node.node {
            Some(N::RangeVar(name)) => {
                self.qualify(name);
                if let Some(made) = self.relation_for(name)? {
                    *node = made;
                }
            }
            Some(N::ColumnRef(c)) => {
                if let Some(parts) = self.unqualified.get(&at(c.location)) {
                    c.fields.drain(..(*parts).min(c.fields.len()));
                }
                if let Some((text, _)) = self.columns.get(&at(c.location)) {
                    *node = expression(text)?;
                }
            }
            Some(N::FuncCall(f)) => {
                if let (Some(template), Some(first)) =
                    (self.arguments.get(&at(f.location)), f.args.first_mut())
                {
                    fill(template, first)?;
                }
            }
            Some(N::SelectStmt(s)) => {
                let mut grouped = Vec::with_capacity(s.group_clause.len());
                for node in std::mem::take(&mut s.group_clause) {
                    let place = match &node.node {
                        Some(N::ColumnRef(c)) => at(c.location),
                        Some(N::AConst(c)) => at(c.location),
                        _ => usize::MAX,
                    };
                    grouped.push(node);
                    if let Some(list) = self.groups.get(&place) {
                        for target in targets(list)? {
                            let Some(N::ResTarget(target)) = target.node else { return Err(DIFFERS) };
                            grouped.push(*target.val.ok_or(DIFFERS)?);
                        }
                    }
                }
                s.group_clause = grouped;
            }
            Some(N::InsertStmt(s)) => {
                s.relation.iter_mut().for_each(|r| self.qualify(r));
                self.returning(s.returning_clause.as_mut())?;
            }
            Some(N::UpdateStmt(s)) => {
                self.predicate(s.relation.as_ref(), s.where_clause.as_deref_mut())?;
                s.relation.iter_mut().for_each(|r| self.qualify(r));
                self.returning(s.returning_clause.as_mut())?;
            }
            Some(N::DeleteStmt(s)) => {
                self.predicate(s.relation.as_ref(), s.where_clause.as_deref_mut())?;
                s.relation.iter_mut().for_each(|r| self.qualify(r));
                self.returning(s.returning_clause.as_mut())?;
            }
            Some(N::MergeStmt(s)) => {
                s.relation.iter_mut().for_each(|r| self.qualify(r));
                self.returning(s.returning_clause.as_mut())?;
            }
            Some(N::CopyStmt(s)) => {
                s.relation.iter_mut().for_each(|r| self.qualify(r));
                if let Some(text) = &self.copy {
                    s.relation = None;
                    s.attlist.clear();
                    s.query = Some(Box::new(one(text)?));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn qualify(&self, name: &mut p::RangeVar) {
        if let Some(schema) = self.qualified.get(&at(name.location)) {
            name.schemaname.clone_from(schema);
        }
    }

    fn relation_for(&self, name: &p::RangeVar) -> Result<Option<Node>, Reason> {
        let Some(stand) = self.relations.get(&at(name.location)) else { return Ok(None) };
        let alias = match &stand.alias {
            Some(alias) => Some(p::Alias { aliasname: alias.clone(), colnames: Vec::new() }),
            None => name.alias.clone(),
        };
        let subquery = Some(Box::new(one(stand.inner()?)?));
        let sub = p::RangeSubselect { lateral: false, subquery, alias };
        Ok(Some(Node { node: Some(N::RangeSubselect(Box::new(sub))) }))
    }

    fn predicate(&self, target: Option<&p::RangeVar>, condition: Option<&mut Node>) -> Result<(), Reason> {
        let template = target.and_then(|t| self.predicates.get(&at(t.location)));
        match (template, condition) {
            (Some(template), Some(condition)) => fill(template, condition),
            _ => Ok(()),
        }
    }

    fn returning(&self, clause: Option<&mut p::ReturningClause>) -> Result<(), Reason> {
        let Some(clause) = clause else { return Ok(()) };
        let mut made = Vec::with_capacity(clause.exprs.len());
        for mut node in std::mem::take(&mut clause.exprs) {
            let Some(N::ResTarget(target)) = &mut node.node else { return Err(DIFFERS) };
            // The target list's own location is its expression's.
            let place = at(target.location);
            if let Some(list) = self.stars.get(&place) {
                made.extend(targets(list)?);
                continue;
            }
            if let Some((_, Some(name))) = self.columns.get(&place).filter(|_| target.name.is_empty()) {
                target.name.clone_from(name);
            }
            made.push(node);
        }
        clause.exprs = made;
        Ok(())
    }
}

/// The tree of one statement.
fn one(text: &str) -> Result<Node, Reason> {
    let tree = pg_query::parse(text, pg_query::ParserOptions::DEFAULT).map_err(|_| DIFFERS)?.protobuf;
    let mut statements = tree.stmts.into_iter();
    match (statements.next().and_then(|s| s.stmt), statements.next()) {
        (Some(node), None) => Ok(*node),
        _ => Err(DIFFERS),
    }
}

fn targets(list: &str) -> Result<Vec<Node>, Reason> {
    match one(&format!("SELECT {list}"))?.node {
        Some(N::SelectStmt(select)) => Ok(select.target_list),
        _ => Err(DIFFERS),
    }
}

fn expression(text: &str) -> Result<Node, Reason> {
    match targets(text)?.pop().and_then(|n| n.node) {
        Some(N::ResTarget(target)) => target.val.map(|v| *v).ok_or(DIFFERS),
        _ => Err(DIFFERS),
    }
}

/// Puts the node into the template's hole, and the template in the node's place.
fn fill(template: &str, node: &mut Node) -> Result<(), Reason> {
    fn find(node: &mut Node, held: &mut Option<Node>) {
        if matches!(&node.node, Some(N::ParamRef(p)) if p.number == HOLE_NUMBER) {
            if let Some(own) = held.take() {
                *node = own;
            }
            return;
        }
        node.each_node(&mut |child| find(child, held));
    }
    let mut made = expression(template)?;
    let mut held = Some(std::mem::take(node));
    find(&mut made, &mut held);
    if held.is_some() {
        return Err(DIFFERS);
    }
    *node = made;
    Ok(())
}

/// Whether `found` is the sub-select that stands for the relation `name`.
fn stands(stand: &Stand, name: &p::RangeVar, found: &Node, prepared: &Prepared) -> Result<bool, Reason> {
    let query = prepared.tree(stand.inner()?)?;
    let Some(N::RangeSubselect(found)) = &found.node else { return Ok(false) };
    let p::RangeSubselect { lateral, subquery, alias } = &**found;
    let aliased = match &stand.alias {
        Some(own) => alias.as_ref().is_some_and(|a| a.aliasname == *own && a.colnames.is_empty()),
        None => match (&name.alias, alias) {
            (Some(own), Some(found)) => own.same(found, &mut same),
            (own, found) => own.is_none() && found.is_none(),
        },
    };
    Ok(!lateral && aliased && subquery.as_deref().is_some_and(|found| same(&query, found)))
}

/// Whether two trees are one but for the bytes at which they stand.
fn same(a: &Node, b: &Node) -> bool {
    a.same(b, &mut same)
}
