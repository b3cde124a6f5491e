//! FROM: what stands in it, and the names that it gives.

use std::collections::HashSet;

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::query::{Col, Item, Out, Role, figured_name};
use super::types::Side;
use super::{Found, Shown, Sources, Walk, join_sources, strings};
use crate::analysis::Reason;
use crate::governed::Cover;
use crate::rewrite::Site;
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

impl<'a> Walk<'a> {
    pub(super) fn from(&mut self, items: &'a [Node]) {
        for node in items {
            let visible = self.source_item(node);
            if let Some(scope) = self.scopes.last_mut() {
                scope.visible.append(&visible);
            }
        }
    }

    /// Adds the item to the scope; what it gives to `*`.
    pub(super) fn source_item(&mut self, node: &'a Node) -> Out<'a> {
        match Tree::of(node) {
            Some(Tree::RangeVar(name)) => self.range_var(name, None),
            Some(Tree::JoinExpr(join)) => self.join(join),
            Some(Tree::RangeSubselect(sub)) => {
                self.hide(!sub.lateral);
                let out = match &sub.subquery {
                    Some(query) => self.query(query, Position::Output),
                    None => super::nothing(),
                };
                self.hide(false);
                self.item(sub.alias.as_ref(), "", None, out)
            }
            Some(Tree::RangeFunction(f)) => self.range_function(f),
            Some(Tree::RangeTableFunc(f)) => {
                let mut out = Out::default();
                for node in [&f.docexpr, &f.rowexpr].into_iter().flatten() {
                    join_sources(&mut out.rest, &self.expression(node, Position::Output));
                }
                for node in &f.namespaces {
                    self.expression(node, Position::Output);
                }
                for column in f.columns.iter().filter_map(Tree::of) {
                    let Tree::RangeTableFuncCol(column) = column else {
                        self.unknown_node();
                        continue;
                    };
                    if let Some(name) = &column.type_name {
                        self.type_name(name);
                    }
                    for node in [&column.colexpr, &column.coldefexpr].into_iter().flatten() {
                        self.expression(node, Position::Output);
                    }
                    out.columns.push(Col {
                        name: &column.colname,
                        sources: out.rest.clone(),
                        of: Side::Open,
                    });
                }
                self.item(f.alias.as_ref(), "xmltable", None, out)
            }
            Some(Tree::JsonTable(t)) => {
                self.reads_otherwise(&["json_table"], 17);
                let mut out = Out { open: true, ..Out::default() };
                let mut sources = Sources::new();
                Tree::JsonTable(t).each(&mut |child| {
                    if !matches!(child, Tree::Alias(_)) {
                        join_sources(&mut sources, &self.walk(child, Position::Output));
                    }
                });
                out.rest = sources;
                self.item(t.alias.as_ref(), "json_table", None, out)
            }
            Some(Tree::RangeTableSample(sample)) => {
                self.function_name(&sample.method);
                for node in sample.args.iter().chain(sample.repeatable.as_deref()) {
                    self.expression(node, Position::Predicate);
                }
                match sample.relation.as_deref().and_then(Tree::of) {
                    Some(Tree::RangeVar(name)) => self.range_var(name, Some(sample)),
                    _ => {
                        self.unknown_node();
                        super::nothing()
                    }
                }
            }
            _ => {
                self.unknown_node();
                super::nothing()
            }
        }
    }

    fn hide(&mut self, hidden: bool) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.hidden = hidden;
        }
    }

    fn range_function(&mut self, f: &'a p::RangeFunction) -> Out<'a> {
        let mut out = Out { open: true, ..Out::default() };
        let mut name = "";
        for list in f.functions.iter().filter_map(Tree::of) {
            let Tree::List(list) = list else {
                self.unknown_node();
                continue;
            };
            for node in &list.items {
                match Tree::of(node) {
                    Some(Tree::List(definitions)) => self.column_definitions(&definitions.items, &mut out),
                    Some(tree) => {
                        if name.is_empty() {
                            name = figured_name(node);
                        }
                        let sources = self.walk(tree, Position::Output);
                        join_sources(&mut out.rest, &sources);
                    }
                    None => {}
                }
            }
        }
        self.column_definitions(&f.coldeflist, &mut out);
        if f.coldeflist.is_empty() && out.columns.is_empty() {
            let alias = f.alias.as_ref().map_or(name, |a| a.aliasname.as_str());
            out.columns.push(Col { name: alias, sources: out.rest.clone(), of: Side::Open });
        }
        self.item(f.alias.as_ref(), name, None, out)
    }

    fn column_definitions(&mut self, list: &'a [Node], out: &mut Out<'a>) {
        for tree in list.iter().filter_map(Tree::of) {
            let Tree::ColumnDef(column) = tree else {
                self.unknown_node();
                continue;
            };
            if let Some(name) = &column.type_name {
                self.type_name(name);
            }
            out.columns.push(Col { name: &column.colname, sources: out.rest.clone(), of: Side::Open });
        }
    }

    fn join(&mut self, join: &'a p::JoinExpr) -> Out<'a> {
        let first = self.scopes.last().map_or(0, |s| s.items.len());
        let left = join.larg.as_deref().map_or_else(super::nothing, |n| self.source_item(n));
        let right = join.rarg.as_deref().map_or_else(super::nothing, |n| self.source_item(n));
        let shared: Vec<&str> = if join.is_natural {
            let right: HashSet<&str> = right.columns.iter().map(|c| c.name).collect();
            left.columns.iter().map(|c| c.name).filter(|name| right.contains(name)).collect()
        } else {
            strings(&join.using_clause)
        };
        let mut merged = Out::default();
        for name in &shared {
            if !self.may_look() {
                break;
            }
            let mut sources = Sources::new();
            for column in left.columns.iter().chain(&right.columns).filter(|c| c.name == *name) {
                join_sources(&mut sources, &column.sources);
            }
            self.use_sources(&sources, Position::Join);
            let looks = !self.snapshot.operators.is_empty();
            let sides = [&left, &right].map(|side| if looks { side.side(name) } else { Side::Open });
            self.operator_named(None, "=", sides);
            merged.columns.push(Col { name, sources, of: sides[0].or(sides[1]) });
        }
        let shared: HashSet<&str> = shared.into_iter().collect();
        for side in [&left, &right] {
            let own = side.columns.iter().filter(|c| !shared.contains(&c.name));
            merged.columns.extend(own.cloned());
            merged.open |= side.open;
            join_sources(&mut merged.rest, &side.rest);
        }
        if join.is_natural {
            // A system column that both sides gave would be joined on.
            let scope = self.scopes.len() - 1;
            let sites = self.scopes.last().into_iter().flat_map(|s| &s.items).filter_map(|i| i.site);
            self.shown.extend(sites.map(|site| Shown { scope, site, name: None }));
        }
        if join.is_natural && merged.open {
            let all = merged.all_sources();
            self.use_sources(&all, Position::Join);
        }
        if let Some(quals) = &join.quals {
            self.expression(quals, Position::Join);
        }
        if let Some(alias) = &join.join_using_alias {
            let columns = merged.columns.iter().filter(|c| shared.contains(&c.name)).cloned().collect();
            self.item(Some(alias), "", None, Out { columns, ..Out::default() });
        }
        match &join.alias {
            None => merged,
            Some(alias) => {
                // The join's alias hides the names below it.
                if let Some(scope) = self.scopes.last_mut() {
                    scope.items.truncate(first);
                }
                self.item(Some(alias), "", None, merged)
            }
        }
    }

    fn range_var(&mut self, name: &'a p::RangeVar, sample: Option<&'a p::RangeTableSample>) -> Out<'a> {
        match self.resolve(name, true) {
            Found::Cte(i) => {
                let out = self.ctes[i].out.clone();
                self.item(name.alias.as_ref(), &name.relname, None, out)
            }
            Found::Temp(temp) => {
                let path = self.database.join("pg_temp").join(&temp.name);
                self.other(Verb::Read, path);
                self.meets_any_type();
                if name.schemaname.is_empty() && self.governed.names.contains(&temp.name) {
                    self.qualify("pg_temp", name);
                }
                let known = temp.columns.as_deref().unwrap_or_default().iter();
                let columns =
                    known.map(|c| Col { name: c, sources: Sources::new(), of: Side::Open }).collect();
                let out = Out { columns, open: temp.columns.is_none(), rest: Sources::new() };
                self.item(name.alias.as_ref(), &name.relname, None, out)
            }
            Found::Relation(relation) => {
                self.reads(relation, name, sample);
                let out = self.relation_columns(relation);
                self.item(name.alias.as_ref(), &name.relname, Some(relation), out)
            }
            Found::Nothing => {
                self.refuse(Reason {
                    code: "42P01",
                    sentence: "The statement names a relation that does not exist.",
                    at: usize::try_from(name.location)
                        .ok()
                        .and_then(|at| at.checked_sub(self.statement.offset())),
                });
                let out = Out { open: true, ..Out::default() };
                self.item(name.alias.as_ref(), &name.relname, None, out)
            }
        }
    }

    /// The columns of a relation, each with what it derives from: itself, and below an expanded view its bases.
    pub(super) fn relation_columns(&self, relation: &'a Relation) -> Out<'a> {
        let body = match self.governed.cover(relation.oid) {
            Some(Cover::View(body)) => Some(body),
            _ => None,
        };
        let column = |(i, c): (usize, &'a crate::snapshot::Column)| {
            let mut sources = vec![(relation.oid, c.num)];
            if let Some(below) = body.and_then(|b| b.sources.get(i)) {
                join_sources(&mut sources, below);
            }
            Col { name: &c.name, sources, of: Side::of_type(c.type_oid) }
        };
        let mut columns: Vec<Col<'a>> = relation.columns.iter().enumerate().map(column).collect();
        if relation.kind == 'S' {
            columns.extend(["last_value", "log_cnt", "is_called"].map(|name| Col {
                name,
                sources: Sources::new(),
                of: Side::Plain(None),
            }));
        }
        Out { columns, ..Out::default() }
    }

    fn item(
        &mut self,
        alias: Option<&'a p::Alias>,
        name: &'a str,
        relation: Option<&'a Relation>,
        mut out: Out<'a>,
    ) -> Out<'a> {
        let made =
            |r: &Relation| matches!(self.sites.last(), Some(Site::Relation { oid, .. }) if *oid == r.oid);
        let site = relation.filter(|r| made(r)).map(|_| self.sites.len() - 1);
        let telling =
            matches!(self.sites.last(), Some(Site::Relation { telling: true, .. }) if site.is_some());
        let masked = telling || relation.is_some_and(|r| self.governed.cover(r.oid).is_some());
        if let Some(alias) = alias {
            out.rename(strings(&alias.colnames));
        }
        let item = Item {
            alias: alias.map_or(name, |a| &a.aliasname),
            relation,
            bare: alias.is_none(),
            masked,
            site,
            role: Role::Plain,
            out: out.clone(),
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.items.push(item);
        }
        out
    }
}
