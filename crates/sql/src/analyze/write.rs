//! Statements that change rows: INSERT, UPDATE, DELETE, MERGE, COPY.
//!
//! The relation that is written cannot be a masked sub-select, so its governed columns are raw inside the statement.
//! Where they are met decides: in a predicate the rows are chosen through the masked relation by primary key; in
//! RETURNING the mask stands in their place; in a value that is written, or anywhere else, the statement is refused.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::query::{Item, Out, Role, Scope};
use super::{Found, Hit, Phase, Sources, Walk, constant, strings};
use crate::analysis::{Effect, FunctionKind, GovernedUse, Reason};
use crate::governed::{CANNOT_EXPAND, Cover, ViewBody};
use crate::rewrite::Site;
use crate::settings::{Setting, setting};
use crate::snapshot::{Constraint, Relation};
use crate::tree::{Node, Tree};

/// What happens to the rows of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Insert,
    Update,
    Delete,
}

/// A relation that is written.
pub(super) struct Target<'a> {
    pub relation: Option<&'a Relation>,
    pub alias: &'a str,
    pub only: bool,
    pub governed: bool,
    /// How many scopes are open inside the statement.
    pub scope: usize,
    /// The byte at which its name begins.
    pub at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn insert(&mut self, s: &'a p::InsertStmt) -> Out<'a> {
        let outer = self.enter(s.with_clause.as_ref());
        let Some(name) = &s.relation else { return self.leave(outer, super::nothing()) };
        // The source is outside the scope of the target.
        if let Some(node) = &s.select_stmt {
            self.query(node, Position::WriteSource);
        }
        let target = self.target(name, Change::Insert);
        let columns = self.named_targets(&s.cols, &target);
        self.written(&target, &columns, Change::Insert);
        if let Some(conflict) = s.on_conflict_clause.as_deref() {
            self.on_conflict(conflict, &target);
        }
        let out = self.returning(s.returning_clause.as_ref(), &target);
        self.settle(&target, None);
        self.scopes.pop();
        self.leave(outer, out)
    }

    pub(super) fn update(&mut self, s: &'a p::UpdateStmt) -> Out<'a> {
        let outer = self.enter(s.with_clause.as_ref());
        let Some(name) = &s.relation else { return self.leave(outer, super::nothing()) };
        let target = self.target(name, Change::Update);
        self.phase = Phase::Value;
        self.from(&s.from_clause);
        let columns = self.named_targets(&s.target_list, &target);
        self.written(&target, &columns, Change::Update);
        if let Some(node) = &s.where_clause {
            self.phase = Phase::Predicate;
            self.expression(node, Position::Predicate);
        }
        let out = self.returning(s.returning_clause.as_ref(), &target);
        self.settle(&target, s.where_clause.as_deref());
        self.scopes.pop();
        self.leave(outer, out)
    }

    pub(super) fn delete(&mut self, s: &'a p::DeleteStmt) -> Out<'a> {
        let outer = self.enter(s.with_clause.as_ref());
        let Some(name) = &s.relation else { return self.leave(outer, super::nothing()) };
        let target = self.target(name, Change::Delete);
        self.phase = Phase::Value;
        self.from(&s.using_clause);
        self.written(&target, &BTreeSet::new(), Change::Delete);
        if let Some(node) = &s.where_clause {
            self.phase = Phase::Predicate;
            self.expression(node, Position::Predicate);
        }
        let out = self.returning(s.returning_clause.as_ref(), &target);
        self.settle(&target, s.where_clause.as_deref());
        self.scopes.pop();
        self.leave(outer, out)
    }

    pub(super) fn merge(&mut self, s: &'a p::MergeStmt) -> Out<'a> {
        let outer = self.enter(s.with_clause.as_ref());
        let Some(name) = &s.relation else { return self.leave(outer, super::nothing()) };
        let target = self.target(name, Change::Update);
        self.phase = Phase::Value;
        if let Some(node) = s.source_relation.as_deref() {
            self.from(std::slice::from_ref(node));
        }
        self.phase = Phase::Condition;
        if let Some(node) = &s.join_condition {
            self.expression(node, Position::Join);
        }
        for tree in s.merge_when_clauses.iter().filter_map(Tree::of) {
            let Tree::MergeWhenClause(when) = tree else {
                self.unknown_node();
                continue;
            };
            self.phase = Phase::Condition;
            if let Some(node) = &when.condition {
                self.expression(node, Position::Predicate);
            }
            self.phase = Phase::Value;
            let columns = self.named_targets(&when.target_list, &target);
            for node in &when.values {
                self.expression(node, Position::WriteSource);
            }
            match when.command_type() {
                p::CmdType::CmdInsert => self.written(&target, &columns, Change::Insert),
                p::CmdType::CmdUpdate => self.written(&target, &columns, Change::Update),
                p::CmdType::CmdDelete => self.written(&target, &columns, Change::Delete),
                p::CmdType::CmdNothing => {}
                _ => self.unknown_node(),
            }
        }
        let out = self.returning(s.returning_clause.as_ref(), &target);
        self.settle(&target, None);
        self.scopes.pop();
        self.leave(outer, out)
    }

    pub(super) fn copy(&mut self, s: &'a p::CopyStmt) {
        if s.is_program || !s.filename.is_empty() {
            self.opaque("COPY with a program or a file of the upstream's host.");
        }
        for tree in s.options.iter().filter_map(Tree::of) {
            let Tree::DefElem(option) = tree else {
                self.unknown_node();
                continue;
            };
            let value = option.arg.as_deref().and_then(constant_or_name);
            if option.defname == "encoding"
                && setting("client_encoding", value.as_deref(), false) == Setting::Pinned
            {
                self.refuse_at("COPY in this encoding is not supported.", option.location);
            }
        }
        self.effects.push(if s.is_from { Effect::CopyIn } else { Effect::CopyOut });
        if let Some(node) = &s.query {
            let out = self.query(node, Position::Output);
            let only = |sources: &[(u32, i16)]| sources.first().copied().filter(|_| sources.len() == 1);
            let columns: Vec<_> = out.columns.iter().map(|column| only(&column.sources)).collect();
            let as_they_are = self.gives_columns(node) && columns.iter().all(Option::is_some);
            if out.open || !as_they_are {
                self.copies_untyped(s);
            }
            if !out.open {
                self.carried(s, columns, as_they_are);
            }
            return;
        }
        let Some(name) = &s.relation else { return self.unknown_node() };
        if s.is_from {
            let target = self.target(name, Change::Insert);
            let columns = self.column_numbers(&s.attlist, &target);
            if let Some(item) = self.scopes.last_mut().and_then(|s| s.items.last_mut()) {
                item.role = Role::Incoming;
            }
            if let Some(node) = &s.where_clause {
                let before = self.uses.clone();
                self.expression(node, Position::Predicate);
                // The condition is on the rows that come in, not on those that are there.
                if let Some(relation) = target.relation {
                    let key = (Verb::Read, relation.oid);
                    match before.get(&key) {
                        Some(columns) => drop(self.uses.insert(key, columns.clone())),
                        None => drop(self.uses.remove(&key)),
                    }
                }
            }
            self.written(&target, &columns, Change::Insert);
            self.scopes.pop();
            self.phase = Phase::Plain;
            if let Some(relation) = target.relation {
                self.carried(s, copied(relation, &strings(&s.attlist)), true);
            }
            return;
        }
        self.copy_out(s, name);
    }

    fn copy_out(&mut self, s: &'a p::CopyStmt, name: &'a p::RangeVar) {
        let relation = match self.resolve(name, false) {
            Found::Relation(relation) => relation,
            Found::Temp(temp) => {
                self.copies_untyped(s);
                let path = self.database.join("pg_temp").join(&temp.name);
                return self.other(Verb::Read, path);
            }
            Found::Cte(_) | Found::Nothing => return self.no_such_relation(name),
        };
        let names = strings(&s.attlist);
        let listed = |name: &str| names.is_empty() || names.contains(&name);
        let columns: Vec<i16> = relation.columns.iter().filter(|c| listed(&c.name)).map(|c| c.num).collect();
        self.carried(s, copied(relation, &names), true);
        let sites = self.sites.len();
        self.reads(relation, name, None);
        for num in &columns {
            self.use_column(Verb::Read, (relation.oid, *num), Position::Output);
        }
        let masked = self.sites.len() > sites && !matches!(self.sites.last(), Some(Site::Qualify { .. }));
        if !masked {
            return;
        }
        let Some(Site::Relation { telling, .. }) = self.sites.pop() else { return self.unknown_node() };
        if telling {
            // COPY of a system relation would show every column of it.
            return self.refuse_at("COPY of this system relation may show governed values.", name.location);
        }
        let Some(range) = self.statement.copy_place(name, !s.attlist.is_empty()) else {
            return self
                .refuse_at("The gateway cannot find this relation in the statement's text.", name.location);
        };
        let named = names.iter().map(|name| (*name).to_owned());
        let all = relation.columns.iter().filter(|c| !c.generated).map(|c| c.name.clone());
        let columns = if names.is_empty() { all.collect() } else { named.collect() };
        self.sites.push(Site::CopyTo { range, oid: relation.oid, columns });
    }

    fn no_such_relation(&mut self, name: &p::RangeVar) {
        self.refuse(Reason {
            code: "42P01",
            sentence: "The statement names a relation that does not exist.",
            at: usize::try_from(name.location).ok().and_then(|at| at.checked_sub(self.statement.offset())),
        });
    }

    /// Begins a DML statement: its WITH, and the phase and hits of the one around it.
    fn enter(&mut self, with: Option<&'a p::WithClause>) -> (usize, Phase, Vec<Hit>) {
        self.writes = true;
        let outer = (self.ctes.len(), self.phase, std::mem::take(&mut self.hits));
        self.phase = Phase::Plain;
        if let Some(with) = with {
            self.with(with);
        }
        outer
    }

    fn leave(&mut self, outer: (usize, Phase, Vec<Hit>), out: Out<'a>) -> Out<'a> {
        self.ctes.truncate(outer.0);
        self.phase = outer.1;
        self.hits = outer.2;
        out
    }

    /// Resolves the relation that is written and opens its scope.
    fn target(&mut self, name: &'a p::RangeVar, change: Change) -> Target<'a> {
        let alias = name.alias.as_ref().map_or(name.relname.as_str(), |a| &a.aliasname);
        let at = usize::try_from(name.location).unwrap_or(usize::MAX);
        let mut target = Target { relation: None, alias, only: !name.inh, governed: false, scope: 0, at };
        let mut out = Out { open: true, ..Out::default() };
        match self.resolve(name, false) {
            Found::Relation(relation) => {
                target.relation = Some(relation);
                self.touch(Verb::Write, relation);
                if relation.is_system() {
                    self.touch(Verb::Administer, relation);
                    self.opaque("The statement writes a system relation.");
                }
                match self.governed.cover(relation.oid) {
                    Some(Cover::Columns(_)) => target.governed = true,
                    Some(Cover::View(body)) if self.shows_only(relation, body) => target.governed = true,
                    Some(Cover::View(_)) => {
                        self.refuse_at(
                            "A view that does more with governed columns than show them cannot be written through \
                             the gateway.",
                            name.location,
                        );
                    }
                    Some(Cover::Broken) => self.refuse(CANNOT_EXPAND),
                    None => self.qualify_if_shadowing(relation, name),
                }
                self.runs_triggers(relation);
                self.policies(relation, 0);
                // Of a view what it shows, and of any relation what its rules write instead or besides.
                self.writes_below(relation, 0);
                self.cascades(relation, change);
                out = self.relation_columns(relation);
            }
            Found::Temp(temp) => {
                let path = self.database.join("pg_temp").join(&temp.name);
                self.other(Verb::Write, path);
                if name.schemaname.is_empty() && self.governed.names.contains(&temp.name) {
                    self.qualify("pg_temp", name);
                }
            }
            Found::Cte(_) | Found::Nothing => self.no_such_relation(name),
        }
        let role = if target.governed { Role::Target } else { Role::Plain };
        let bare = name.alias.is_none();
        let item = Item {
            alias,
            relation: target.relation,
            bare,
            masked: false,
            site: None,
            role,
            out: out.clone(),
        };
        self.scopes.push(Scope { items: vec![item], visible: out, hidden: false });
        target.scope = self.scopes.len();
        target
    }

    /// Whether a view over tables names governed columns in its select list alone: then which rows it has, and which it
    /// accepts, tells nothing of them. Values that are written are the client's own.
    fn shows_only(&self, relation: &Relation, body: &ViewBody) -> bool {
        let table = |(oid, _): &(u32, i16)| {
            self.snapshot.relations.get(oid).is_some_and(|r| matches!(r.kind, 'r' | 'p' | 'f'))
        };
        let shown = |used: &GovernedUse| used.positions.iter().all(|p| *p == Position::Output);
        relation.depends.iter().all(table)
            && body.masks.is_empty()
            && body.analysis.governed.iter().all(shown)
    }

    /// A view that can be written writes what it reads from; a rule, what it names.
    fn writes_below(&mut self, relation: &'a Relation, depth: usize) {
        // What a rule does may give rows to the client.
        let governed = |oid: &u32| self.governed.cover(*oid).is_some();
        let reached = relation.depends.iter().any(|(oid, _)| governed(oid)) || governed(&relation.oid);
        if relation.ruled && reached {
            self.opaque(
                "A rule rewrites what is written to a relation, and governed columns are in its reach.",
            );
        }
        for oid in &relation.read_functions {
            self.runs(*oid, None);
        }
        for (oid, _) in &relation.depends {
            let Some(below) = self.snapshot.relations.get(oid) else { continue };
            let seen = self.uses.contains_key(&(Verb::Write, *oid));
            self.touch(Verb::Write, below);
            self.runs_triggers(below);
            self.policies(below, depth);
            if !seen && self.follows(depth) {
                self.writes_below(below, depth + 1);
            }
        }
    }

    /// A relation with its children and partitions, whose rows are written through it.
    fn family(&self, relation: &'a Relation) -> Vec<&'a Relation> {
        let mut seen = BTreeSet::from([relation.oid]);
        let mut all = vec![relation];
        let mut next = 0;
        while let Some(parent) = all.get(next).copied() {
            let children = parent.children.iter().filter_map(|oid| self.snapshot.relations.get(oid));
            all.extend(children.filter(|child| seen.insert(child.oid)));
            next += 1;
        }
        all
    }

    /// The functions of triggers, defaults, checks and indexes of what is written through a relation.
    pub(super) fn runs_triggers(&mut self, relation: &'a Relation) {
        for relation in self.family(relation) {
            for oid in &relation.write_functions {
                self.runs(*oid, Some(FunctionKind::Trigger));
            }
        }
    }

    /// Foreign keys that pass a delete or an update on.
    fn cascades(&mut self, relation: &'a Relation, change: Change) {
        let mut work = self.family(relation);
        let mut seen = BTreeSet::new();
        while let Some(relation) = work.pop() {
            if !seen.insert(relation.oid) {
                continue;
            }
            for (from, key) in self.snapshot.referencing.get(&relation.oid).into_iter().flatten() {
                let passes = |action| matches!(action, 'c' | 'n' | 'd');
                // An update may move a row to another partition, which deletes it from its own.
                let passed = match change {
                    Change::Delete => passes(key.on_delete),
                    Change::Update => {
                        passes(key.on_update) || passes(key.on_delete) && !relation.parents.is_empty()
                    }
                    Change::Insert => false,
                };
                let Some(other) = self.snapshot.relations.get(from).filter(|_| passed) else { continue };
                self.touch(Verb::Write, other);
                self.runs_triggers(other);
                work.extend(self.family(other));
            }
        }
    }

    /// The columns that a SET or column list names, and the values given there.
    fn named_targets(&mut self, list: &'a [Node], target: &Target<'a>) -> BTreeSet<i16> {
        let phase = self.phase;
        self.phase = if target.governed { Phase::Value } else { Phase::Plain };
        let mut columns = BTreeSet::new();
        for tree in list.iter().filter_map(Tree::of) {
            let Tree::ResTarget(t) = tree else {
                self.unknown_node();
                continue;
            };
            if let Some(column) = target.relation.and_then(|r| r.column(&t.name)) {
                columns.insert(column.num);
                // `SET notes['a'] = ..` keeps the rest of the old value in place: nothing of it is read.
            }
            for node in &t.indirection {
                self.expression(node, Position::WriteSource);
            }
            if let Some(node) = &t.val {
                self.expression(node, Position::WriteSource);
            }
        }
        self.phase = phase;
        columns
    }

    fn column_numbers(&self, list: &[Node], target: &Target<'a>) -> BTreeSet<i16> {
        let named = strings(list).into_iter().filter_map(|name| Some(target.relation?.column(name)?.num));
        named.collect()
    }

    /// Records what is written, and whether a constraint tells something about governed values then.
    fn written(&mut self, target: &Target<'a>, columns: &BTreeSet<i16>, change: Change) {
        let Some(relation) = target.relation else { return };
        if relation.kind == 'v' {
            self.written_below(relation, columns, change);
        }
        let all = || relation.columns.iter().map(|c| c.num).collect::<BTreeSet<i16>>();
        let columns = match change {
            Change::Insert if columns.is_empty() => all(),
            Change::Delete => BTreeSet::new(),
            _ => columns.clone(),
        };
        for num in &columns {
            self.use_column(Verb::Write, (relation.oid, *num), Position::Write);
        }
        // An INSERT writes every column: those not named get their default.
        let touched = if change == Change::Insert { all() } else { columns };
        for part in self.family(relation) {
            let named = |num: &i16| Some(part.column(&relation.column_at(*num)?.name)?.num);
            let touched: BTreeSet<i16> = touched.iter().filter_map(named).collect();
            for constraint in &part.constraints {
                self.probes_by(part, constraint, &touched);
            }
            // Whether a value in an index is another than before is to be seen afterwards, in counters and sizes.
            for (_, used) in part.indexes.iter().filter(|(i, _)| i.unique || change == Change::Update) {
                self.probes(part, used, &touched);
            }
        }
        if change != Change::Insert {
            for (from, key) in self.snapshot.referencing.get(&relation.oid).into_iter().flatten() {
                let keyed = change == Change::Delete || key.referenced.iter().any(|c| touched.contains(c));
                let tells = key.referenced.iter().any(|c| self.governed.mask(relation.oid, *c).is_some());
                if keyed && tells {
                    self.probe(relation, &key.referenced);
                }
                let _ = from;
            }
        }
    }

    /// What is written to a view is written to the columns that it shows.
    fn written_below(&mut self, view: &'a Relation, columns: &BTreeSet<i16>, change: Change) {
        let Some(Cover::View(body)) = self.governed.cover(view.oid) else { return };
        let named = |num: &i16| columns.is_empty() || columns.contains(num);
        let shown = view.columns.iter().zip(&body.sources).filter(|(column, _)| named(&column.num));
        let mut below: BTreeMap<u32, BTreeSet<i16>> = BTreeMap::new();
        for (oid, num) in shown.flat_map(|(_, sources)| sources) {
            below.entry(*oid).or_default().insert(*num);
        }
        for (oid, columns) in below {
            let relation = self.snapshot.relations.get(&oid);
            let base = Target { relation, alias: "", only: false, governed: true, scope: 0, at: usize::MAX };
            self.written(&base, &columns, change);
        }
    }

    fn probes_by(&mut self, relation: &'a Relation, constraint: &'a Constraint, touched: &BTreeSet<i16>) {
        if matches!(constraint.kind, 'c' | 'x' | 'u' | 'p' | 'f') {
            self.probes(relation, &constraint.columns, touched);
        }
        let keyed = constraint.columns.iter().any(|c| touched.contains(c));
        if constraint.kind == 'f' && keyed {
            let governed = |num: &i16| self.governed.mask(constraint.references, *num).is_some();
            if constraint.referenced.iter().any(governed) {
                if let Some(other) = self.snapshot.relations.get(&constraint.references) {
                    self.probe(other, &constraint.referenced);
                }
            }
        }
    }

    fn probes(&mut self, relation: &Relation, used: &[i16], touched: &BTreeSet<i16>) {
        let governed = used.iter().any(|c| self.governed.mask(relation.oid, *c).is_some());
        if governed && used.iter().any(|c| touched.contains(c)) {
            self.probe(relation, used);
        }
    }

    fn probe(&mut self, relation: &Relation, columns: &[i16]) {
        self.touch(Verb::Probe, relation);
        for num in columns {
            if self.governed.mask(relation.oid, *num).is_some() {
                self.use_column(Verb::Probe, (relation.oid, *num), Position::Predicate);
            }
        }
    }

    fn on_conflict(&mut self, conflict: &'a p::OnConflictClause, target: &Target<'a>) {
        self.phase = if target.governed { Phase::Value } else { Phase::Plain };
        if let Some(infer) = conflict.infer.as_deref() {
            for tree in infer.index_elems.iter().filter_map(Tree::of) {
                let Tree::IndexElem(element) = tree else {
                    self.unknown_node();
                    continue;
                };
                if let Some(column) = target.relation.and_then(|r| r.column(&element.name)) {
                    let source = (target.relation.map_or(0, |r| r.oid), column.num);
                    self.use_column(Verb::Read, source, Position::Predicate);
                }
                if let Some(node) = &element.expr {
                    self.expression(node, Position::Predicate);
                }
            }
            if let Some(node) = &infer.where_clause {
                self.expression(node, Position::Predicate);
            }
        }
        // `excluded` is the row that the client offered.
        let out =
            target.relation.map(|r| self.relation_columns(r)).unwrap_or(Out { open: true, ..Out::default() });
        let own = |c: &super::query::Col<'a>| super::query::Col { sources: Sources::new(), ..c.clone() };
        let out = Out { columns: out.columns.iter().map(own).collect(), ..out };
        let item = Item {
            alias: "excluded",
            relation: None,
            bare: true,
            masked: false,
            site: None,
            role: Role::Incoming,
            out,
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.items.push(item);
        }
        let columns = self.named_targets(&conflict.target_list, target);
        if conflict.action() == p::OnConflictAction::OnconflictUpdate {
            self.written(target, &columns, Change::Update);
        }
        if let Some(node) = &conflict.where_clause {
            self.phase = if target.governed { Phase::Condition } else { Phase::Plain };
            self.expression(node, Position::Predicate);
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.items.pop();
        }
        self.phase = Phase::Plain;
    }
}

impl Target<'_> {
    pub fn is_view(&self) -> bool {
        self.relation.is_some_and(|r| r.kind == 'v')
    }
}

/// The columns that COPY of a relation carries, in its order.
fn copied(relation: &Relation, names: &[&str]) -> Vec<Option<(u32, i16)>> {
    let of = |num: i16| Some((relation.oid, num));
    match names.is_empty() {
        true => relation.columns.iter().filter(|c| !c.generated).map(|c| of(c.num)).collect(),
        false => names.iter().map(|name| of(relation.column(name)?.num)).collect(),
    }
}

fn constant_or_name(node: &Node) -> Option<String> {
    match Tree::of(node)? {
        Tree::String(s) => Some(s.sval.clone()),
        Tree::Boolean(b) => Some(b.boolval.to_string()),
        _ => constant(node),
    }
}
