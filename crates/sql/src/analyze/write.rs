//! Statements that change rows: INSERT, UPDATE, DELETE, MERGE, COPY.
//!
//! The relation that is written cannot be a masked sub-select, so its governed columns are raw inside the statement.
//! Where they are met decides: in a predicate the rows are chosen through the masked relation by primary key; in
//! RETURNING the mask stands in their place; in a value that is written, or anywhere else, the statement is refused.

use std::collections::BTreeSet;

use pg_query::protobuf as p;
use vocab::{ColumnUse, Position, Verb};

use super::query::{Item, Out, Role, Scope};
use super::{Found, Hit, Phase, Sources, Walk, constant, strings};
use crate::analysis::{Effect, FunctionKind, Reason};
use crate::governed::{CANNOT_EXPAND, Cover, quote};
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
struct Target<'a> {
    relation: Option<&'a Relation>,
    alias: &'a str,
    only: bool,
    governed: bool,
    /// How many scopes are open inside the statement.
    scope: usize,
    /// The byte at which its name begins.
    at: usize,
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
        if let Some(node) = &s.join_condition {
            self.expression(node, Position::Join);
        }
        for tree in s.merge_when_clauses.iter().filter_map(Tree::of) {
            let Tree::MergeWhenClause(when) = tree else {
                self.unknown_node();
                continue;
            };
            if let Some(node) = &when.condition {
                self.expression(node, Position::Predicate);
            }
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
            self.query(node, Position::Output);
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
            return;
        }
        self.copy_out(s, name);
    }

    fn copy_out(&mut self, s: &'a p::CopyStmt, name: &'a p::RangeVar) {
        let relation = match self.resolve(name, false) {
            Found::Relation(relation) => relation,
            Found::Temp(temp) => {
                let path = self.database.join("pg_temp").join(&temp.name);
                return self.other(Verb::Read, path);
            }
            Found::Cte(_) | Found::Nothing => return self.no_such_relation(name),
        };
        let names = strings(&s.attlist);
        let listed = |name: &str| names.is_empty() || names.contains(&name);
        let columns: Vec<i16> = relation.columns.iter().filter(|c| listed(&c.name)).map(|c| c.num).collect();
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
                    Some(Cover::View(_)) => {
                        self.refuse_at(
                            "A view over governed columns cannot be written through the gateway.",
                            name.location,
                        );
                    }
                    Some(Cover::Broken) => self.refuse(CANNOT_EXPAND),
                    None => self.qualify_if_shadowing(relation, name),
                }
                for oid in &relation.write_functions {
                    self.runs(*oid, Some(FunctionKind::Trigger));
                }
                if relation.kind == 'v' {
                    self.writes_below(relation, 0);
                }
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
        let item = Item { alias, relation: target.relation, bare, masked: false, role, out: out.clone() };
        self.scopes.push(Scope { items: vec![item], visible: out, hidden: false });
        target.scope = self.scopes.len();
        target
    }

    /// A view that can be written writes what it reads from.
    fn writes_below(&mut self, relation: &'a Relation, depth: usize) {
        for oid in &relation.read_functions {
            self.runs(*oid, None);
        }
        for (oid, _) in &relation.depends {
            let Some(below) = self.snapshot.relations.get(oid) else { continue };
            self.touch(Verb::Write, below);
            for oid in &below.write_functions {
                self.runs(*oid, Some(FunctionKind::Trigger));
            }
            if below.kind == 'v' && depth < crate::limits::VIEW_DEPTH_MAX {
                self.writes_below(below, depth + 1);
            }
        }
    }

    /// Foreign keys that pass a delete or an update on.
    fn cascades(&mut self, relation: &'a Relation, change: Change) {
        let mut work = vec![relation.oid];
        let mut seen = BTreeSet::new();
        while let Some(oid) = work.pop() {
            if !seen.insert(oid) {
                continue;
            }
            for (from, key) in self.snapshot.referencing.get(&oid).into_iter().flatten() {
                let action = match change {
                    Change::Delete => key.on_delete,
                    Change::Update => key.on_update,
                    Change::Insert => 'a',
                };
                if !matches!(action, 'c' | 'n' | 'd') {
                    continue;
                }
                let Some(other) = self.snapshot.relations.get(from) else { continue };
                self.touch(Verb::Write, other);
                for oid in &other.write_functions {
                    self.runs(*oid, Some(FunctionKind::Trigger));
                }
                work.push(*from);
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
        for constraint in &relation.constraints {
            self.probes_by(relation, constraint, &touched);
        }
        for (_, used) in relation.indexes.iter().filter(|(i, _)| i.unique) {
            self.probes(relation, used, &touched);
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
        let own = |c: &super::query::Col<'a>| super::query::Col { name: c.name, sources: Sources::new() };
        let out = Out { columns: out.columns.iter().map(own).collect(), ..out };
        let item =
            Item { alias: "excluded", relation: None, bare: true, masked: false, role: Role::Incoming, out };
        if let Some(scope) = self.scopes.last_mut() {
            scope.items.push(item);
        }
        let columns = self.named_targets(&conflict.target_list, target);
        if conflict.action() == p::OnConflictAction::OnconflictUpdate {
            self.written(target, &columns, Change::Update);
        }
        if let Some(node) = &conflict.where_clause {
            self.expression(node, Position::Predicate);
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.items.pop();
        }
        self.phase = Phase::Plain;
    }

    fn returning(&mut self, clause: Option<&'a p::ReturningClause>, target: &Target<'a>) -> Out<'a> {
        let Some(clause) = clause else { return super::nothing() };
        // PostgreSQL 18: `old` and `new`, or the names that WITH gives them, are the target too.
        let mut names: Vec<(&'a str, i32)> = vec![("old", 0), ("new", 0)];
        for tree in clause.options.iter().filter_map(Tree::of) {
            let Tree::ReturningOption(option) = tree else {
                self.unknown_node();
                continue;
            };
            names.push((&option.value, option.location));
        }
        let Some(scope) = self.scopes.last_mut() else { return super::nothing() };
        let known = scope.items.len();
        if let Some(first) = scope.items.first().cloned() {
            for (alias, _) in names {
                if !scope.items.iter().any(|i| i.alias == alias) {
                    scope.items.push(Item { alias, bare: false, ..first.clone() });
                }
            }
        }
        self.phase = if target.governed { Phase::Returning { scope: target.scope } } else { Phase::Plain };
        let out = self.returned(&clause.exprs, target);
        if let Some(scope) = self.scopes.last_mut() {
            scope.items.truncate(known);
        }
        out
    }

    /// The RETURNING list; a star of a governed target is spelled out with masks.
    fn returned(&mut self, list: &'a [Node], target: &Target<'a>) -> Out<'a> {
        if !target.governed {
            return self.targets(list, Position::Output);
        }
        // `old.x` has the same name as `x`: a column alone means the target's own, once.
        let mut out = Out::default();
        for node in list {
            let Some(Tree::ResTarget(t)) = Tree::of(node) else {
                self.unknown_node();
                continue;
            };
            let before = self.hits.len();
            let one = self.targets(std::slice::from_ref(node), Position::Output);
            let own = self.hits.split_off(before);
            match t.val.as_deref().and_then(Tree::of) {
                Some(Tree::ColumnRef(c))
                    if matches!(c.fields.last().and_then(Tree::of), Some(Tree::AStar(_))) =>
                {
                    self.return_star(c, target, !own.is_empty());
                }
                Some(Tree::ColumnRef(_)) => self.return_columns(own, target, t.name.is_empty()),
                _ => self.return_columns(own, target, false),
            }
            out.columns.extend(one.columns);
            out.open |= one.open;
            out.rest.extend(one.rest);
        }
        out
    }

    fn return_columns(&mut self, hits: Vec<Hit>, target: &Target<'a>, named: bool) {
        let mut done = BTreeSet::new();
        for hit in hits {
            let direct = matches!(hit.phase, Phase::Returning { scope } if scope == hit.scope);
            let Some((oid, num)) = hit.column.filter(|_| direct) else {
                self.refuse(Reason::refused(
                    "RETURNING gives governed columns in a way that the gateway cannot mask: name the columns.",
                ));
                continue;
            };
            if !done.insert(hit.at) {
                continue;
            }
            match self.statement.column_place(hit.at) {
                Some((range, qualifier)) => {
                    let qualifier = qualifier.unwrap_or_else(|| quote(target.alias));
                    self.sites.push(Site::Returning { range, oid, num, qualifier, named });
                }
                None => self
                    .refuse(Reason::refused("The gateway cannot find this column in the statement's text.")),
            }
        }
    }

    fn return_star(&mut self, c: &'a p::ColumnRef, target: &Target<'a>, governed: bool) {
        if !governed {
            return;
        }
        let Some(relation) = target.relation else { return self.unknown_node() };
        let fields = strings(&c.fields);
        let alone = self
            .scopes
            .last()
            .is_some_and(|s| s.items.iter().filter(|i| !matches!(i.alias, "old" | "new")).count() == 1);
        let qualifier = match fields.as_slice() {
            [] if alone => quote(target.alias),
            [q] => quote(q),
            _ => {
                return self.refuse_at(
                    "RETURNING * over several relations cannot be masked: name the columns.",
                    c.location,
                );
            }
        };
        match self.statement.star_place(c.location) {
            Some(range) => self.sites.push(Site::ReturningStar { range, oid: relation.oid, qualifier }),
            None => self.refuse_at("The gateway cannot find this star in the statement's text.", c.location),
        }
    }

    /// Decides about the governed columns of the target that were met outside RETURNING.
    fn settle(&mut self, target: &Target<'a>, predicate: Option<&'a Node>) {
        self.phase = Phase::Plain;
        let hits = std::mem::take(&mut self.hits);
        if !target.governed || hits.is_empty() {
            return;
        }
        if hits.iter().any(|h| h.phase != Phase::Predicate) {
            return self.refuse(Reason::refused("A governed column cannot be read into what is written."));
        }
        let (Some(relation), Some(_)) = (target.relation, predicate) else { return self.unknown_node() };
        let key = relation.primary_key().unwrap_or_default();
        if key.is_empty() || key.iter().any(|c| self.governed.mask(relation.oid, c.num).is_some()) {
            return self.refuse(Reason::refused(
                "A predicate on a governed column needs a primary key without governed columns in the relation.",
            ));
        }
        match self.statement.predicate_place(target.at) {
            Some(range) => self.sites.push(Site::Predicate {
                range,
                oid: relation.oid,
                alias: target.alias.to_owned(),
                only: target.only,
                target: target.at,
            }),
            None => self
                .refuse(Reason::refused("The gateway cannot find this predicate in the statement's text.")),
        }
    }

    /// Columns that a statement outside the catalog's relations writes.
    pub(super) fn other_columns(&mut self, verb: Verb, path: vocab::ResourcePath, names: &[&str]) {
        let columns =
            names.iter().map(|name| ColumnUse { column: (*name).into(), position: Position::Write });
        self.others.entry((verb, path)).or_default().extend(columns);
    }
}

fn constant_or_name(node: &Node) -> Option<String> {
    match Tree::of(node)? {
        Tree::String(s) => Some(s.sval.clone()),
        Tree::Boolean(b) => Some(b.boolval.to_string()),
        _ => constant(node),
    }
}
