//! What becomes of the governed columns of a relation that is written: in RETURNING and in conditions the mask stands
//! in their place; in a predicate the rows are chosen through the masked relation by primary key; elsewhere the
//! statement is refused.

use std::collections::BTreeSet;

use pg_query::protobuf as p;
use vocab::Position;

use super::query::{Item, Out};
use super::write::Target;
use super::{Hit, Met, Phase, Walk, strings};
use crate::analysis::Reason;
use crate::governed::quote;
use crate::rewrite::Site;
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

impl<'a> Walk<'a> {
    pub(super) fn returning(
        &mut self,
        clause: Option<&'a p::ReturningClause>,
        target: &Target<'a>,
    ) -> Out<'a> {
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
            if done.insert(hit.at) && !self.mask_in_place(hit, target, named) {
                self.refuse(Reason::refused(
                    "RETURNING gives governed columns in a way that the gateway cannot mask: name the columns.",
                ));
            }
        }
    }

    /// Puts the mask in the place of a column of the target, or of its whole row. `false`: it cannot be put there.
    fn mask_in_place(&mut self, hit: Hit, target: &Target<'a>, named: bool) -> bool {
        let own = target.relation.map(|r| r.oid).filter(|_| !hit.shadowed && !target.is_view());
        let (Some(own), Some((range, qualifier))) = (own, self.statement.column_place(hit.at)) else {
            return false;
        };
        match hit.what {
            Met::Column((oid, num)) if oid == own => {
                let qualifier = qualifier.unwrap_or_else(|| quote(target.alias));
                self.sites.push(Site::Returning { range, oid, num, qualifier, named });
            }
            Met::Row if qualifier.is_none() => {
                // `old` and `new` are rows of the target too, under their own names.
                let name = self.statement.slice(range.clone()).to_owned();
                let alias = target.alias.to_owned();
                self.sites.push(Site::ReturningRow { range, oid: own, qualifier: name, alias, named });
            }
            Met::Column(_) | Met::Row | Met::Other => return false,
        }
        true
    }

    fn return_star(&mut self, c: &'a p::ColumnRef, target: &Target<'a>, governed: bool) {
        if !governed {
            return;
        }
        let Some(relation) = target.relation.filter(|_| !target.is_view()) else {
            return self
                .refuse_at("RETURNING * of a view over governed columns cannot be masked.", c.location);
        };
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
    pub(super) fn settle(&mut self, target: &Target<'a>, predicate: Option<&'a Node>) {
        self.phase = Phase::Plain;
        let hits = std::mem::take(&mut self.hits);
        if !target.governed || hits.is_empty() {
            return;
        }
        if hits.iter().any(|h| !matches!(h.phase, Phase::Predicate | Phase::Condition)) {
            return self.refuse(Reason::refused("A governed column cannot be read into what is written."));
        }
        let key = target.relation.and_then(Relation::primary_key).unwrap_or_default();
        let governed = |num| target.relation.is_some_and(|r| self.governed.mask(r.oid, num).is_some());
        let keyed = !key.is_empty() && !key.iter().any(|c| governed(c.num));
        if !keyed || predicate.is_none() {
            return self.mask_conditions(hits, target);
        }
        let Some(relation) = target.relation else { return self.unknown_node() };
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

    /// Without a key, and where no WHERE can choose the rows: the mask stands in each column's place.
    fn mask_conditions(&mut self, hits: Vec<Hit>, target: &Target<'a>) {
        let mut done = BTreeSet::new();
        for hit in hits {
            if done.insert(hit.at) && !self.mask_in_place(hit, target, false) {
                self.refuse(Reason::refused(
                    "A condition names governed columns in a way that the gateway cannot mask: name the columns.",
                ));
            }
        }
    }
}
