//! Grouping by a key.
//!
//! Where a query groups by the primary key of a relation, its other columns may be named too: each group has one row
//! of it. A masked sub-select has no key, so the columns that are named join the grouping, which makes the same groups.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf as p;

use super::{Walk, string};
use crate::rewrite::Site;
use crate::snapshot::Column;
use crate::tree::{Node, Tree};

impl<'a> Walk<'a> {
    /// `from`: what was shown before the select list of the innermost scope.
    pub(super) fn group_by_key(&mut self, s: &'a p::SelectStmt, from: usize) {
        // By site: the columns that are grouped by, and where the last of them stands in the clause.
        let mut grouped: BTreeMap<usize, (BTreeSet<i16>, i32)> = BTreeMap::new();
        for node in &s.group_clause {
            let Some((named, location)) = grouping(node, s) else { continue };
            let Some((site, num)) = self.grouped_column(named) else { continue };
            let (columns, at) = grouped.entry(site).or_default();
            columns.insert(num);
            *at = location;
        }
        let mut shown: BTreeMap<usize, BTreeSet<Option<&str>>> = BTreeMap::new();
        let depth = self.scopes.len().saturating_sub(1);
        for found in self.shown.iter().skip(from).filter(|found| found.scope == depth) {
            if grouped.contains_key(&found.site) {
                shown.entry(found.site).or_default().insert(found.name);
            }
        }
        for (site, (columns, location)) in grouped {
            self.widen_group(site, &columns, location, &shown.remove(&site).unwrap_or_default());
        }
    }

    fn widen_group(
        &mut self,
        site: usize,
        grouped: &BTreeSet<i16>,
        location: i32,
        shown: &BTreeSet<Option<&str>>,
    ) {
        let Some(scope) = self.scopes.last() else { return };
        let Some(item) = scope.items.iter().find(|i| i.site == Some(site)) else { return };
        let Some(relation) = item.relation else { return };
        let key = relation.primary_key().unwrap_or_default();
        if key.is_empty() || key.iter().any(|column| !grouped.contains(&column.num)) {
            return;
        }
        let visible = item.out.columns.iter().zip(&relation.columns);
        let added: Vec<String> = visible
            .filter(|(out, column)| {
                (shown.contains(&None) || shown.contains(&Some(out.name)))
                    && !grouped.contains(&column.num)
                    && can_group(column)
            })
            .map(|(out, _)| out.name.to_owned())
            .collect();
        if added.is_empty() {
            return;
        }
        let (alias, oid) = (item.alias.to_owned(), relation.oid);
        match self.statement.token_at(location) {
            Some(range) => {
                let end = self.statement.column_place(range.start).map_or(range.end, |(place, _)| place.end);
                self.sites.push(Site::Group { at: range.start, end, oid, alias, columns: added });
            }
            None => self.unknown_node(),
        }
    }

    /// The column of a masked relation of the innermost scope that an item of GROUP BY names.
    fn grouped_column(&self, c: &'a p::ColumnRef) -> Option<(usize, i16)> {
        let depth = self.scopes.len().checked_sub(1)?;
        let fields: Option<Vec<&str>> = c.fields.iter().map(|n| Tree::of(n).and_then(string)).collect();
        let fields = fields?;
        let (name, item) = match fields.as_slice() {
            [name] => {
                let has = |i: &&super::query::Item<'a>| i.out.columns.iter().any(|c| c.name == *name);
                let mut items = self.scopes.last()?.items.iter().filter(has);
                (*name, items.next().filter(|_| items.next().is_none())?)
            }
            [qualifiers @ .., qualifier, name] => {
                let (scope, item) = self.find_item(qualifiers.last().copied(), qualifier)?;
                (*name, Some(item).filter(|_| scope == depth)?)
            }
            [] => return None,
        };
        let i = item.out.columns.iter().position(|c| c.name == name)?;
        Some((item.site?, item.relation?.columns.get(i)?.num))
    }
}

/// The column that an item of GROUP BY stands for, itself or by its number in the select list; and where it stands.
fn grouping<'a>(node: &'a Node, s: &'a p::SelectStmt) -> Option<(&'a p::ColumnRef, i32)> {
    match Tree::of(node)? {
        Tree::ColumnRef(c) => Some((c, c.location)),
        Tree::AConst(constant) => {
            let p::a_const::Val::Ival(i) = constant.val.as_ref()? else { return None };
            let plain = |n: &Node| !matches!(Tree::of(n), Some(Tree::ResTarget(t)) if is_star(t));
            let i = usize::try_from(i.ival).ok()?.checked_sub(1)?;
            if !s.target_list.iter().take(i + 1).all(plain) {
                return None;
            }
            match Tree::of(s.target_list.get(i)?)? {
                Tree::ResTarget(t) => match Tree::of(t.val.as_deref()?)? {
                    Tree::ColumnRef(c) => Some((c, constant.location)),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_star(target: &p::ResTarget) -> bool {
    let value = target.val.as_deref().and_then(Tree::of);
    matches!(value, Some(Tree::ColumnRef(c)) if matches!(c.fields.last().and_then(Tree::of), Some(Tree::AStar(_))))
}

/// Types with an equality that GROUP BY can use. Others stay out, and the server says what it says of them.
fn can_group(column: &Column) -> bool {
    const TYPES: [&str; 27] = [
        "text",
        "character varying",
        "character",
        "name",
        "smallint",
        "integer",
        "bigint",
        "numeric",
        "real",
        "double precision",
        "money",
        "oid",
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
        "time without time zone",
        "time with time zone",
        "interval",
        "jsonb",
        "uuid",
        "boolean",
        "bytea",
        "inet",
        "cidr",
        "macaddr",
        "bit varying",
        "tsvector",
    ];
    let element = column.base_type.trim_end_matches("[]");
    column.type_kind == 'e' || TYPES.contains(&element)
}
