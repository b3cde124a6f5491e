//! SELECT, and the scopes of its names.

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::types::Side;
use super::{Sources, Walk, join_sources, string, strings};
use crate::analysis::Reason;
use crate::limits::COLUMNS_MAX;
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

/// A column that a name in scope gives.
#[derive(Clone, Debug)]
pub(super) struct Col<'a> {
    pub name: &'a str,
    pub sources: Sources,
    /// What is known of its type.
    pub of: Side,
}

/// The columns of a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Out<'a> {
    pub columns: Vec<Col<'a>>,
    /// There are more columns, or others, than we know.
    pub open: bool,
    /// What the unknown ones derive from.
    pub rest: Sources,
}

#[derive(Clone, Debug)]
pub(super) struct Cte<'a> {
    pub name: &'a str,
    pub out: Out<'a>,
}

/// What an item of FROM is to a statement that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    /// The relation that is written, with governed columns: its columns are raw here.
    Target,
    /// `excluded`, or the rows of COPY FROM: what the client itself sent.
    Incoming,
}

/// An item of FROM.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub alias: &'a str,
    pub relation: Option<&'a Relation>,
    /// Unaliased: it can be named with its schema.
    pub bare: bool,
    pub masked: bool,
    /// Where its relation becomes a sub-select: the index among the sites.
    pub site: Option<usize>,
    pub role: Role,
    pub out: Out<'a>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Scope<'a> {
    pub items: Vec<Item<'a>>,
    /// What `*` gives.
    pub visible: Out<'a>,
    /// While a sub-select of FROM that is not LATERAL is walked, its siblings cannot be seen.
    pub hidden: bool,
}

impl<'a> Out<'a> {
    /// Everything that any column derives from.
    pub fn all_sources(&self) -> Sources {
        let mut all = self.rest.clone();
        self.columns.iter().for_each(|c| join_sources(&mut all, &c.sources));
        all
    }

    /// What is known of the type of the column of this name.
    pub fn side(&self, name: &str) -> Side {
        let named = self.columns.iter().filter(|c| c.name == name).map(|c| c.of);
        named.reduce(Side::or).unwrap_or(Side::Open)
    }

    pub fn rename(&mut self, names: Vec<&'a str>) {
        for (column, name) in self.columns.iter_mut().zip(&names) {
            column.name = name;
        }
        if self.open {
            for name in names.into_iter().skip(self.columns.len()) {
                self.columns.push(Col { name, sources: self.rest.clone(), of: Side::Open });
            }
        }
    }

    pub fn append(&mut self, other: &Out<'a>) {
        self.columns.extend(other.columns.iter().cloned());
        self.open |= other.open;
        join_sources(&mut self.rest, &other.rest);
    }
}

impl<'a> Walk<'a> {
    /// `out`: the position of the output columns in the whole statement.
    pub(super) fn select(&mut self, s: &'a p::SelectStmt, out: Position) -> Out<'a> {
        let ctes = self.ctes.len();
        if let Some(with) = &s.with_clause {
            self.with(with);
        }
        let found = if let (Some(left), Some(right)) = (&s.larg, &s.rarg) {
            self.set_operation(s, left, right, out)
        } else if !s.values_lists.is_empty() {
            self.values(s, out)
        } else {
            self.plain_select(s, out)
        };
        self.ctes.truncate(ctes);
        found
    }

    /// The query of a sub-select, CTE or utility statement: SELECT or DML.
    pub(super) fn query(&mut self, node: &'a Node, out: Position) -> Out<'a> {
        match Tree::of(node) {
            Some(Tree::SelectStmt(s)) => {
                if s.into_clause.is_some() {
                    self.refuse(Reason::refused("SELECT INTO is not allowed here."));
                }
                self.select(s, out)
            }
            Some(Tree::InsertStmt(s)) => self.insert(s),
            Some(Tree::UpdateStmt(s)) => self.update(s),
            Some(Tree::DeleteStmt(s)) => self.delete(s),
            Some(Tree::MergeStmt(s)) => self.merge(s),
            _ => {
                self.unknown_node();
                super::nothing()
            }
        }
    }

    pub(super) fn with(&mut self, with: &'a p::WithClause) {
        let first = self.ctes.len();
        let tables = || with.ctes.iter().filter_map(Tree::of);
        if with.recursive {
            for tree in tables() {
                if let Tree::CommonTableExpr(cte) = tree {
                    let out = Out { open: true, ..Out::default() };
                    self.ctes.push(Cte { name: &cte.ctename, out });
                }
            }
        }
        for (i, tree) in tables().enumerate() {
            let Tree::CommonTableExpr(cte) = tree else {
                self.unknown_node();
                continue;
            };
            let out = self.cte(cte);
            match self.ctes.get_mut(first + i).filter(|_| with.recursive) {
                Some(known) => known.out = out,
                None => self.ctes.push(Cte { name: &cte.ctename, out }),
            }
        }
    }

    fn cte(&mut self, cte: &'a p::CommonTableExpr) -> Out<'a> {
        let mut out = match &cte.ctequery {
            Some(query) => self.query(query, Position::Output),
            None => super::nothing(),
        };
        out.rename(strings(&cte.aliascolnames));
        let extra = |name: &'a str| Col { name, sources: Sources::new(), of: Side::Open };
        if let Some(search) = &cte.search_clause {
            out.columns.push(extra(&search.search_seq_column));
        }
        if let Some(cycle) = &cte.cycle_clause {
            out.columns.push(extra(&cycle.cycle_mark_column));
            out.columns.push(extra(&cycle.cycle_path_column));
            for node in [&cycle.cycle_mark_value, &cycle.cycle_mark_default].into_iter().flatten() {
                self.expression(node, Position::Output);
            }
        }
        out
    }

    fn set_operation(
        &mut self,
        s: &'a p::SelectStmt,
        left: &'a p::SelectStmt,
        right: &'a p::SelectStmt,
        out: Position,
    ) -> Out<'a> {
        if left.into_clause.is_some() || right.into_clause.is_some() {
            self.refuse(Reason::refused("SELECT INTO is not allowed here."));
        }
        let mut found = self.select(left, out);
        let right = self.select(right, out);
        for (column, other) in found.columns.iter_mut().zip(&right.columns) {
            join_sources(&mut column.sources, &other.sources);
            column.of = column.of.or(other.of);
        }
        found.open |= right.open;
        join_sources(&mut found.rest, &right.rest);
        let is_all = s.all;
        if !is_all {
            let all = found.all_sources();
            self.use_sources(&all, Position::Group);
        }
        let scope = Scope { visible: found.clone(), ..Scope::default() };
        self.scopes.push(scope);
        self.order(&s.sort_clause, &found);
        self.limits(s);
        self.scopes.pop();
        self.locking(&s.locking_clause);
        found
    }

    fn values(&mut self, s: &'a p::SelectStmt, out: Position) -> Out<'a> {
        const NAMES: [&str; 8] =
            ["column1", "column2", "column3", "column4", "column5", "column6", "column7", "column8"];
        let mut found = Out::default();
        for list in &s.values_lists {
            let Some(Tree::List(list)) = Tree::of(list) else {
                self.unknown_node();
                continue;
            };
            for (i, item) in list.items.iter().enumerate() {
                let sources = self.expression(item, out);
                match found.columns.get_mut(i) {
                    Some(column) => join_sources(&mut column.sources, &sources),
                    None => {
                        let name = NAMES.get(i).copied().unwrap_or("?column?");
                        found.columns.push(Col { name, sources, of: Side::Open });
                    }
                }
            }
        }
        self.scopes.push(Scope { visible: found.clone(), ..Scope::default() });
        self.order(&s.sort_clause, &found);
        self.limits(s);
        self.scopes.pop();
        found
    }

    fn plain_select(&mut self, s: &'a p::SelectStmt, out: Position) -> Out<'a> {
        self.scopes.push(Scope::default());
        self.from(&s.from_clause);
        if let Some(node) = &s.where_clause {
            self.expression(node, Position::Predicate);
        }
        let shown = self.shown.len();
        let found = self.targets(&s.target_list, out);
        for node in &s.group_clause {
            self.group(node, &found);
        }
        if let Some(node) = &s.having_clause {
            self.expression(node, Position::Predicate);
        }
        for node in &s.window_clause {
            self.expression(node, Position::Group);
        }
        for node in s.distinct_clause.iter().filter(|n| n.node.is_some()) {
            self.group(node, &found);
        }
        if s.distinct_clause.iter().any(|n| n.node.is_none()) {
            let all = found.all_sources();
            self.use_sources(&all, Position::Group);
        }
        self.order(&s.sort_clause, &found);
        self.group_by_key(s, shown);
        self.limits(s);
        self.locking(&s.locking_clause);
        self.scopes.pop();
        found
    }

    fn limits(&mut self, s: &'a p::SelectStmt) {
        for node in [&s.limit_count, &s.limit_offset].into_iter().flatten() {
            self.expression(node, Position::Predicate);
        }
    }

    fn locking(&mut self, clauses: &'a [Node]) {
        for clause in clauses.iter().filter_map(Tree::of) {
            let Tree::LockingClause(clause) = clause else {
                self.unknown_node();
                continue;
            };
            self.locks = true;
            let named: Vec<&str> = clause
                .locked_rels
                .iter()
                .filter_map(Tree::of)
                .filter_map(|t| if let Tree::RangeVar(r) = t { Some(r.relname.as_str()) } else { None })
                .collect();
            let Some(scope) = self.scopes.last() else { continue };
            let items = scope.items.iter().filter(|i| named.is_empty() || named.contains(&i.alias));
            let locked: Vec<&Relation> = items.filter_map(|i| i.relation).collect();
            for relation in locked {
                self.touch(Verb::Write, relation);
            }
        }
    }

    fn order(&mut self, sorts: &'a [Node], out: &Out<'a>) {
        for node in sorts {
            let Some(Tree::SortBy(sort)) = Tree::of(node) else {
                self.unknown_node();
                continue;
            };
            self.operator(&sort.use_op, [sort.node.as_deref(); 2]);
            let Some(inner) = sort.node.as_deref() else { continue };
            match output_column(inner, out) {
                Some(sources) => self.use_sources(&sources, Position::Sort),
                None => drop(self.expression(inner, Position::Sort)),
            }
        }
    }

    /// GROUP BY and DISTINCT ON: an ordinal, an input column, else an output column.
    fn group(&mut self, node: &'a Node, out: &Out<'a>) {
        let name = match Tree::of(node) {
            Some(Tree::AConst(_)) => true,
            Some(Tree::ColumnRef(c)) => match strings(&c.fields).as_slice() {
                [name] if c.fields.len() == 1 => !self.in_scope(name),
                _ => false,
            },
            Some(Tree::GroupingSet(set)) => {
                return set.content.iter().for_each(|n| self.group(n, out));
            }
            Some(Tree::RowExpr(row)) => return row.args.iter().for_each(|n| self.group(n, out)),
            _ => false,
        };
        match output_column(node, out).filter(|_| name) {
            Some(sources) => self.use_sources(&sources, Position::Group),
            None => drop(self.expression(node, Position::Group)),
        }
    }

    /// The select list, stars expanded.
    pub(super) fn targets(&mut self, list: &'a [Node], position: Position) -> Out<'a> {
        let mut found = Out::default();
        for node in list {
            let Some(Tree::ResTarget(target)) = Tree::of(node) else {
                self.unknown_node();
                continue;
            };
            if found.columns.len() > COLUMNS_MAX {
                self.refuse(Reason {
                    code: "54011",
                    ..Reason::refused("The statement has too many columns.")
                });
                break;
            }
            let Some(value) = target.val.as_deref() else { continue };
            if let Some(Tree::ColumnRef(c)) = Tree::of(value) {
                if matches!(c.fields.last().and_then(Tree::of), Some(Tree::AStar(_))) {
                    let star = self.star(c, position);
                    found.append(&star);
                    continue;
                }
            }
            if is_row_star(value) {
                let sources = self.expression(value, position);
                found.open = true;
                join_sources(&mut found.rest, &sources);
                continue;
            }
            let sources = self.expression(value, position);
            let name = if target.name.is_empty() { figured_name(value) } else { &target.name };
            found.columns.push(Col { name, sources, of: self.side(value).settled() });
        }
        found
    }

    fn in_scope(&self, name: &str) -> bool {
        let scope = self.scopes.last();
        scope.is_some_and(|s| s.visible.columns.iter().any(|c| c.name == name))
    }
}

/// The column of a query's output that an ORDER BY or GROUP BY item names, by ordinal or name.
fn output_column(node: &Node, out: &Out<'_>) -> Option<Sources> {
    match Tree::of(node)? {
        Tree::AConst(c) => match c.val.as_ref()? {
            p::a_const::Val::Ival(i) => {
                let i = usize::try_from(i.ival).ok()?.checked_sub(1)?;
                if out.open { Some(out.all_sources()) } else { out.columns.get(i).map(|c| c.sources.clone()) }
            }
            _ => None,
        },
        Tree::ColumnRef(c) if c.fields.len() == 1 => {
            let name = c.fields.first().and_then(Tree::of).and_then(string)?;
            let mut named = out.columns.iter().filter(|c| c.name == name);
            let mut sources = named.next()?.sources.clone();
            named.for_each(|c| join_sources(&mut sources, &c.sources));
            Some(sources)
        }
        _ => None,
    }
}

/// `(expression).*`
fn is_row_star(node: &Node) -> bool {
    match Tree::of(node) {
        Some(Tree::AIndirection(i)) => {
            matches!(i.indirection.last().and_then(Tree::of), Some(Tree::AStar(_)))
        }
        _ => false,
    }
}

/// The name that the server gives to a column without one.
pub(super) fn figured_name(node: &Node) -> &str {
    figured(node).unwrap_or("?column?")
}

fn figured(node: &Node) -> Option<&str> {
    match Tree::of(node)? {
        Tree::ColumnRef(c) => c.fields.iter().rev().filter_map(Tree::of).find_map(string),
        Tree::AIndirection(i) => {
            let own = i.indirection.iter().rev().filter_map(Tree::of).find_map(string);
            own.or_else(|| figured(i.arg.as_deref()?))
        }
        Tree::FuncCall(f) => strings(&f.funcname).pop(),
        Tree::AExpr(e) if e.kind == p::AExprKind::AexprNullif as i32 => Some("nullif"),
        Tree::TypeCast(c) => {
            let inner = c.arg.as_deref().and_then(figured);
            inner.or_else(|| strings(&c.type_name.as_ref()?.names).pop())
        }
        Tree::CollateClause(c) => figured(c.arg.as_deref()?),
        Tree::GroupingFunc(_) => Some("grouping"),
        Tree::MergeSupportFunc(_) => Some("merge_action"),
        Tree::SubLink(s) => match s.sub_link_type() {
            p::SubLinkType::ExistsSublink => Some("exists"),
            p::SubLinkType::ArraySublink => Some("array"),
            p::SubLinkType::ExprSublink => match Tree::of(s.subselect.as_deref()?)? {
                Tree::SelectStmt(select) => match Tree::of(select.target_list.first()?)? {
                    Tree::ResTarget(t) if !t.name.is_empty() => Some(&t.name),
                    Tree::ResTarget(t) => figured(t.val.as_deref()?),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        Tree::CaseExpr(c) => c.defresult.as_deref().and_then(figured).or(Some("case")),
        Tree::AArrayExpr(_) => Some("array"),
        Tree::RowExpr(_) => Some("row"),
        Tree::CoalesceExpr(_) => Some("coalesce"),
        Tree::MinMaxExpr(m) if m.op() == p::MinMaxOp::IsLeast => Some("least"),
        Tree::MinMaxExpr(_) => Some("greatest"),
        _ => None,
    }
}
