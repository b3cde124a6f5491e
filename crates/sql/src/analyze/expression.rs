//! The leaves: columns, and what is made of them.

use pg_query::protobuf as p;
use vocab::Position;

use super::function::Call;

use super::query::{Col, Item, Out, Role, Scope};
use super::types::Side;
use super::{Hit, Met, Phase, Shown, Sources, Walk, join_sources, string, strings};
use crate::rewrite::Site;
use crate::tree::{Node, Tree};

const ROW_BESIDE_TEXT: &str =
    "A row with governed columns cannot be compared with a row that is written as text: write ROW(...).";

pub(super) const COMPARES: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

/// Columns that every table has and that no list shows.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

impl<'a> Walk<'a> {
    pub(super) fn expression(&mut self, node: &'a Node, position: Position) -> Sources {
        match Tree::of(node) {
            Some(tree) => self.walk(tree, position),
            None => Sources::new(),
        }
    }

    /// Walks any expression; what its value derives from.
    pub(super) fn walk(&mut self, tree: Tree<'a>, position: Position) -> Sources {
        self.computes();
        match tree {
            Tree::ColumnRef(c) => self.column(c, position),
            Tree::FuncCall(f) => self.function(f, position),
            Tree::TypeName(name) => {
                self.type_name(name);
                Sources::new()
            }
            Tree::AExpr(e) => {
                self.operators_of(e);
                self.row_beside_text(e);
                self.children(tree, position)
            }
            Tree::SubLink(link) => {
                let mut sources = Sources::new();
                if let Some(node) = link.testexpr.as_deref() {
                    join_sources(&mut sources, &self.expression(node, position));
                }
                if let Some(query) = link.subselect.as_deref() {
                    let out = self.query(query, position);
                    let right = match out.columns.as_slice() {
                        [column] if !out.open => column.of,
                        _ => Side::Open,
                    };
                    self.operators_of_link(link, right);
                    if link.sub_link_type() != p::SubLinkType::ExistsSublink {
                        join_sources(&mut sources, &out.all_sources());
                    }
                }
                sources
            }
            Tree::SelectStmt(select) => self.select(select, position).all_sources(),
            Tree::AIndirection(i) => self.indirection(i, position),
            Tree::SortBy(sort) => {
                self.operator(&sort.use_op, [sort.node.as_deref(); 2]);
                self.children(tree, Position::Sort)
            }
            Tree::WindowDef(w) => {
                let mut sources = Sources::new();
                for node in &w.partition_clause {
                    join_sources(&mut sources, &self.expression(node, Position::Group));
                }
                for node in &w.order_clause {
                    join_sources(&mut sources, &self.expression(node, Position::Sort));
                }
                for node in [&w.start_offset, &w.end_offset].into_iter().flatten() {
                    join_sources(&mut sources, &self.expression(node, position));
                }
                sources
            }
            Tree::SqlvalueFunction(_)
            | Tree::AConst(_)
            | Tree::ParamRef(_)
            | Tree::SetToDefault(_)
            | Tree::CurrentOfExpr(_)
            | Tree::String(_)
            | Tree::Integer(_)
            | Tree::Float(_)
            | Tree::Boolean(_)
            | Tree::BitString(_)
            | Tree::AStar(_)
            | Tree::JsonFormat(_)
            | Tree::JsonReturning(_) => Sources::new(),
            Tree::CaseExpr(e) => {
                self.operators_of_case(e);
                self.children(tree, position)
            }
            Tree::MergeSupportFunc(_) => {
                self.reads_otherwise(&["merge_action"], 17);
                Sources::new()
            }
            Tree::JsonFuncExpr(_)
            | Tree::JsonParseExpr(_)
            | Tree::JsonScalarExpr(_)
            | Tree::JsonSerializeExpr(_) => {
                self.reads_otherwise(
                    &["json", "json_exists", "json_query", "json_scalar", "json_serialize", "json_value"],
                    17,
                );
                self.may_cast("json", 0);
                self.children(tree, position)
            }
            Tree::JsonObjectConstructor(_)
            | Tree::JsonArrayConstructor(_)
            | Tree::JsonArrayQueryConstructor(_)
            | Tree::JsonObjectAgg(_)
            | Tree::JsonArrayAgg(_) => {
                self.reads_otherwise(&["json_array", "json_arrayagg", "json_object", "json_objectagg"], 16);
                self.may_cast("json", 0);
                self.children(tree, position)
            }
            // All columns of `(a, b) = (SELECT ..)` have the same source.
            Tree::MultiAssignRef(r) if r.colno > 1 => Sources::new(),
            Tree::TypeCast(_)
            | Tree::CollateClause(_)
            | Tree::BoolExpr(_)
            | Tree::NullTest(_)
            | Tree::BooleanTest(_)
            | Tree::CaseWhen(_)
            | Tree::CoalesceExpr(_)
            | Tree::MinMaxExpr(_)
            | Tree::RowExpr(_)
            | Tree::AArrayExpr(_)
            | Tree::AIndices(_)
            | Tree::NamedArgExpr(_)
            | Tree::GroupingFunc(_)
            | Tree::GroupingSet(_)
            | Tree::List(_)
            | Tree::MultiAssignRef(_)
            | Tree::ResTarget(_)
            | Tree::XmlExpr(_)
            | Tree::XmlSerialize(_)
            | Tree::JsonOutput(_)
            | Tree::JsonArgument(_)
            | Tree::JsonValueExpr(_)
            | Tree::JsonBehavior(_)
            | Tree::JsonIsPredicate(_)
            | Tree::JsonKeyValue(_)
            | Tree::JsonAggConstructor(_)
            | Tree::JsonTablePathSpec(_)
            | Tree::JsonTableColumn(_) => self.children(tree, position),
            _ => {
                self.unknown_node();
                Sources::new()
            }
        }
    }

    pub(super) fn children(&mut self, tree: Tree<'a>, position: Position) -> Sources {
        let mut sources = Sources::new();
        tree.each(&mut |child| join_sources(&mut sources, &self.walk(child, position)));
        sources
    }

    // Columns.

    fn column(&mut self, c: &'a p::ColumnRef, position: Position) -> Sources {
        if matches!(c.fields.last().and_then(Tree::of), Some(Tree::AStar(_))) {
            let out = self.star(c, position);
            return out.all_sources();
        }
        if !self.may_look() {
            return Sources::new();
        }
        let fields = strings(&c.fields);
        match fields.as_slice() {
            [name] => self.plain_column(name, c, position),
            [qualifier, name] => self.qualified_column(None, qualifier, name, c, position),
            [schema, qualifier, name] => self.qualified_column(Some(schema), qualifier, name, c, position),
            [database, schema, qualifier, name] if *database == self.snapshot.database => {
                self.qualified_column(Some(schema), qualifier, name, c, position)
            }
            _ => {
                self.refuse_at("The gateway cannot resolve this column's name.", c.location);
                Sources::new()
            }
        }
    }

    /// Refuses a masked relation's whole row beside one that is written as text: the row has no type any more by which the
    /// server could read the text.
    fn row_beside_text(&mut self, e: &'a p::AExpr) {
        let compares =
            e.name.iter().filter_map(Tree::of).filter_map(string).any(|name| COMPARES.contains(&name));
        if !compares {
            return;
        }
        let sides = || [&e.lexpr, &e.rexpr].into_iter().flatten().filter_map(|node| Tree::of(node));
        let is_text = |tree: Tree<'_>| matches!(tree, Tree::AConst(c) if matches!(c.val, Some(p::a_const::Val::Sval(_))));
        let text = sides().any(|side| match side {
            Tree::List(list) => list.items.iter().filter_map(Tree::of).any(is_text),
            side => is_text(side),
        });
        let row = sides().find_map(|side| match side {
            Tree::ColumnRef(c) => Some(c).filter(|c| self.is_masked_row(c)),
            _ => None,
        });
        if let Some(row) = row.filter(|_| text) {
            self.refuse_at(ROW_BESIDE_TEXT, row.location);
        }
    }

    fn is_masked_row(&self, c: &p::ColumnRef) -> bool {
        let fields = strings(&c.fields);
        let [alias] = fields[..] else { return false };
        c.fields.len() == 1
            && !self.is_column(alias)
            && self.find_item(None, alias).is_some_and(|(_, item)| item.site.is_some())
    }

    /// A name alone: the columns of the nearest scope that has it; else a whole row.
    fn plain_column(&mut self, name: &'a str, c: &'a p::ColumnRef, position: Position) -> Sources {
        let mut sources = Sources::new();
        let mut hits = Vec::new();
        let mut found = false;
        let mut shown = Vec::new();
        for (depth, scope) in self.scopes.iter().enumerate().rev().filter(|(_, s)| !s.hidden) {
            for item in &scope.items {
                for column in item.out.columns.iter().filter(|c| c.name == name) {
                    found = true;
                    join_sources(&mut sources, &column.sources);
                    hits.extend(self.hit(item, Met::Other, Some(column)));
                    shown.extend(item.site.map(|site| Shown { scope: depth, site, name: Some(name) }));
                }
            }
            for column in scope.visible.columns.iter().filter(|c| c.name == name) {
                found = true;
                join_sources(&mut sources, &column.sources);
            }
            if found {
                break;
            }
            let open = scope.items.iter().filter(|i| i.out.open).map(|i| &i.out).chain([&scope.visible]);
            open.filter(|o| o.open).for_each(|o| join_sources(&mut sources, &o.rest));
        }
        if !found {
            let system = SYSTEM_COLUMNS.iter().find(|s| **s == name);
            let visible = self.scopes.iter().enumerate().rev().filter(|(_, s)| !s.hidden);
            let row = visible
                .flat_map(|(depth, s)| s.items.iter().map(move |i| (depth, i)))
                .find(|(_, i)| i.alias == name);
            match (row, system) {
                (Some((scope, item)), _) => {
                    hits.extend(self.hit(item, Met::Row, None));
                    join_sources(&mut sources, &item.out.all_sources());
                    shown.extend(item.site.map(|site| Shown { scope, site, name: None }));
                }
                (None, Some(system)) => {
                    let site = self.of_one_relation();
                    self.names_system_column(site, system);
                }
                (None, None) => hits.extend(self.unresolved_hit()),
            }
        }
        self.shown.extend(shown);
        self.record(hits, c.location);
        self.use_sources(&sources, position);
        sources
    }

    fn names_system_column(&mut self, site: Option<usize>, column: &'static str) {
        if let Some(site) = site {
            self.system.entry(site).or_default().insert(column);
        }
    }

    /// The masked relation of the nearest scope that has relations at all, if it has no other.
    fn of_one_relation(&self) -> Option<usize> {
        let mut scopes = self.scopes.iter().rev().filter(|s| !s.hidden);
        let scope = scopes.find(|s| s.items.iter().any(|i| i.relation.is_some()))?;
        let mut relations = scope.items.iter().filter(|i| i.relation.is_some());
        relations.next().filter(|_| relations.next().is_none())?.site
    }

    fn qualified_column(
        &mut self,
        schema: Option<&str>,
        qualifier: &str,
        name: &'a str,
        c: &'a p::ColumnRef,
        position: Position,
    ) -> Sources {
        let Some((scope, item)) =
            self.find_item(schema, qualifier).map(|(scope, item)| (scope, item.clone()))
        else {
            let hits = self.unresolved_hit();
            self.record(hits.into_iter().collect(), c.location);
            return Sources::new();
        };
        if schema.is_some() && item.masked {
            self.unqualify(c, 2);
        }
        let mut sources = Sources::new();
        let mut hits = Vec::new();
        let mut columns = item.out.columns.iter().filter(|c| c.name == name).peekable();
        if columns.peek().is_some() {
            for column in columns {
                join_sources(&mut sources, &column.sources);
                hits.extend(self.hit(&item, Met::Other, Some(column)));
            }
            self.shown.extend(item.site.map(|site| Shown { scope, site, name: Some(name) }));
        } else if item.out.open {
            sources = item.out.rest.clone();
        } else if let Some(system) = SYSTEM_COLUMNS.iter().find(|s| **s == name) {
            self.names_system_column(item.site, system);
        } else {
            // `c.name` may also mean the function `name(c)`.
            sources = item.out.all_sources();
            hits.extend(self.hit(&item, Met::Other, None));
            self.shown.extend(item.site.map(|site| Shown { scope, site, name: None }));
            self.function_named(None, name, 1, Call::Attribute);
        }
        self.record(hits, c.location);
        self.use_sources(&sources, position);
        sources
    }

    /// `*` or `t.*`.
    pub(super) fn star(&mut self, c: &'a p::ColumnRef, position: Position) -> Out<'a> {
        if !self.may_look() {
            return Out::default();
        }
        let fields = strings(&c.fields);
        let mut hits = Vec::new();
        let mut shown = Vec::new();
        let out = match fields.as_slice() {
            [] => {
                let scope = self.scopes.last();
                let depth = self.scopes.len().saturating_sub(1);
                for item in scope.into_iter().flat_map(|s| &s.items) {
                    hits.extend(self.hit(item, Met::Other, None));
                    shown.extend(item.site.map(|site| Shown { scope: depth, site, name: None }));
                }
                scope.map(|s| s.visible.clone()).unwrap_or_default()
            }
            [.., qualifier] => {
                let schema = fields.len().checked_sub(2).and_then(|i| fields.get(i)).copied();
                match self.find_item(schema, qualifier).map(|(scope, item)| (scope, item.clone())) {
                    Some((scope, item)) => {
                        if schema.is_some() && item.masked {
                            self.unqualify(c, fields.len() - 1);
                        }
                        hits.extend(self.hit(&item, Met::Other, None));
                        shown.extend(item.site.map(|site| Shown { scope, site, name: None }));
                        item.out
                    }
                    None => {
                        hits.extend(self.unresolved_hit());
                        Out { open: true, ..Out::default() }
                    }
                }
            }
        };
        self.shown.extend(shown);
        self.record(hits, c.location);
        self.use_sources(&out.all_sources(), position);
        out
    }

    /// With the index of the scope that has it.
    pub(super) fn find_item(&self, schema: Option<&str>, qualifier: &str) -> Option<(usize, &Item<'a>)> {
        let fits = |item: &&Item<'a>| match schema {
            None => item.alias == qualifier,
            Some(schema) => {
                let own = |r: &crate::snapshot::Relation| {
                    r.schema == schema
                        || (schema == "pg_temp" && Some(&r.schema) == self.snapshot.temp_schema.as_ref())
                };
                item.bare && item.alias == qualifier && item.relation.is_some_and(own)
            }
        };
        let scopes = self.scopes.iter().enumerate().rev().filter(|(_, s)| !s.hidden);
        scopes.flat_map(|(depth, s)| s.items.iter().map(move |i| (depth, i))).find(|(_, i)| fits(i))
    }

    /// A masked relation is a sub-select, which has no schema: `app.customers.ssn` becomes `customers.ssn`.
    fn unqualify(&mut self, c: &p::ColumnRef, parts: usize) {
        let parts = parts.min(c.fields.len().saturating_sub(2));
        match self.statement.name_prefix(c.location, parts) {
            Some(range) => self.sites.push(Site::Unqualify { range, parts }),
            None => {
                self.refuse_at("The gateway cannot find this column in the statement's text.", c.location)
            }
        }
    }

    /// `(row).column`, array subscripts.
    fn indirection(&mut self, i: &'a p::AIndirection, position: Position) -> Sources {
        let first = i.indirection.first().and_then(Tree::of);
        if let (Some(Tree::ColumnRef(c)), Some(Tree::String(field))) =
            (i.arg.as_deref().and_then(Tree::of), first)
        {
            if !self.may_look() {
                return Sources::new();
            }
            let fields = strings(&c.fields);
            let row = match fields.as_slice() {
                [alias] if c.fields.len() == 1 && !self.is_column(alias) => {
                    self.find_item(None, alias).map(|(scope, item)| (scope, item.clone()))
                }
                _ => None,
            };
            if let Some((scope, item)) = row {
                let columns: Vec<&Col<'a>> =
                    item.out.columns.iter().filter(|c| c.name == field.sval).collect();
                if !columns.is_empty() {
                    let mut sources = Sources::new();
                    let mut hits = Vec::new();
                    for column in columns {
                        join_sources(&mut sources, &column.sources);
                        hits.extend(self.hit(&item, Met::Other, None));
                    }
                    // The row is named as a whole.
                    self.shown.extend(item.site.map(|site| Shown { scope, site, name: None }));
                    self.record(hits, c.location);
                    self.use_sources(&sources, position);
                    for node in i.indirection.iter().skip(1) {
                        self.expression(node, position);
                    }
                    return sources;
                }
            }
        }
        // `(expression).name` may also mean the function `name(expression)`.
        for name in i.indirection.iter().filter_map(Tree::of).filter_map(string) {
            self.function_named(None, name, 1, Call::Attribute);
        }
        self.children(Tree::AIndirection(i), position)
    }

    fn is_column(&self, name: &str) -> bool {
        let mut items = self.scopes.iter().rev().filter(|s| !s.hidden).flat_map(|s| &s.items);
        items.any(|i| i.out.columns.iter().any(|c| c.name == name))
    }

    // Governed columns of what is written.

    /// `column`: if it is one; else `what`.
    fn hit(&self, item: &Item<'a>, what: Met, column: Option<&Col<'a>>) -> Option<Hit> {
        if item.role != Role::Target || self.phase == Phase::Plain {
            return None;
        }
        let governed = |s: &&(u32, i16)| self.governed.mask(s.0, s.1).is_some();
        let what = match column {
            Some(column) => Met::Column(*column.sources.iter().find(governed)?),
            None => what,
        };
        let named = |s: &Scope<'a>| s.items.iter().any(|i| i.alias == item.alias);
        let own = |s: &Scope<'a>| s.items.iter().any(|i| i.alias == item.alias && i.role == Role::Target);
        let nearest = self.scopes.iter().rev().find(|s| named(s));
        let shadowed = !nearest.is_some_and(own);
        Some(Hit { phase: self.phase, scope: self.scopes.len(), at: 0, what, shadowed })
    }

    /// A name that cannot be resolved could be a governed column of the target.
    fn unresolved_hit(&self) -> Option<Hit> {
        let target = self.scopes.iter().flat_map(|s| &s.items).any(|i| i.role == Role::Target);
        (target && self.phase != Phase::Plain).then_some(Hit {
            phase: self.phase,
            scope: self.scopes.len(),
            at: 0,
            what: Met::Other,
            shadowed: false,
        })
    }

    fn record(&mut self, hits: Vec<Hit>, location: i32) {
        let at = usize::try_from(location).unwrap_or(usize::MAX);
        self.hits.extend(hits.into_iter().map(|hit| Hit { at, ..hit }));
    }
}
