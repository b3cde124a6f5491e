//! Tables, their constraints, indexes and statistics.

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::super::query::{Item, Out, Role, Scope};
use super::super::{Found, Walk, strings};
use crate::analysis::Reason;
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

const RAW: Reason =
    Reason::refused("This would evaluate an expression over the raw values of a governed column.");
const RAW_KEY: Reason =
    Reason::refused("This would make the values of a governed column tell by a constraint.");

impl<'a> Walk<'a> {
    pub(super) fn create_table(&mut self, s: &'a p::CreateStmt) {
        self.creates(s.relation.as_ref());
        self.options(&s.options);
        for tree in s.inh_relations.iter().filter_map(Tree::of) {
            match tree {
                Tree::RangeVar(parent) => self.attaches(parent),
                _ => self.unknown_node(),
            }
        }
        // The expressions below are about the new, empty table.
        self.scopes.push(Scope {
            items: vec![Item {
                alias: s.relation.as_ref().map_or("", |r| &r.relname),
                relation: None,
                bare: true,
                masked: false,
                site: None,
                role: Role::Plain,
                out: Out { open: true, ..Out::default() },
            }],
            ..Scope::default()
        });
        for node in s.table_elts.iter().chain(&s.constraints).chain(&s.nnconstraints) {
            self.table_element(node, None);
        }
        if let Some(bound) = &s.partbound {
            self.bound(bound);
        }
        if let Some(spec) = &s.partspec {
            for node in spec.part_params.iter().filter_map(Tree::of) {
                match node {
                    Tree::PartitionElem(element) => {
                        if let Some(node) = &element.expr {
                            self.expression(node, Position::Predicate);
                        }
                    }
                    _ => self.unknown_node(),
                }
            }
        }
        if let Some(name) = &s.of_typename {
            self.type_name(name);
        }
        self.scopes.pop();
    }

    fn attaches(&mut self, parent: &'a p::RangeVar) {
        if let Found::Relation(relation) = self.resolve(parent, false) {
            self.touch(Verb::Define, relation);
            self.redefines(relation);
        }
    }

    fn bound(&mut self, bound: &'a p::PartitionBoundSpec) {
        for node in bound.listdatums.iter().chain(&bound.lowerdatums).chain(&bound.upperdatums) {
            match Tree::of(node) {
                Some(Tree::PartitionRangeDatum(datum)) => {
                    if let Some(node) = &datum.value {
                        self.expression(node, Position::Predicate);
                    }
                }
                Some(tree) => drop(self.walk(tree, Position::Predicate)),
                None => {}
            }
        }
    }

    /// A column, constraint or LIKE clause. `of`: the relation that has rows already.
    fn table_element(&mut self, node: &'a Node, of: Option<&'a Relation>) {
        match Tree::of(node) {
            Some(Tree::ColumnDef(column)) => {
                if let Some(name) = &column.type_name {
                    self.type_name(name);
                }
                if let Some(node) = &column.raw_default {
                    self.expression(node, Position::WriteSource);
                }
                for node in &column.constraints {
                    self.table_element(node, of);
                }
            }
            Some(Tree::Constraint(constraint)) => self.constraint(constraint, of),
            Some(Tree::TableLikeClause(like)) => {
                if let Some(name) = &like.relation {
                    if let Found::Relation(relation) = self.resolve(name, false) {
                        self.touch(Verb::Read, relation);
                        const CONSTRAINTS: u32 = 1 << 2;
                        const DEFAULTS: u32 = 1 << 3;
                        if self.is_governed(relation) && like.options & (CONSTRAINTS | DEFAULTS) != 0 {
                            self.redefines(relation);
                        }
                    }
                }
            }
            _ => self.unknown_node(),
        }
    }

    fn constraint(&mut self, c: &'a p::Constraint, of: Option<&'a Relation>) {
        let governed = of.is_some_and(|r| self.is_governed(r));
        let before = self.uses.len();
        for node in c.raw_expr.iter().chain(&c.where_clause) {
            self.expression(node, Position::Predicate);
        }
        let expression = c.raw_expr.is_some() || c.where_clause.is_some();
        let _ = before;
        if governed && expression && !matches!(c.contype(), p::ConstrType::ConstrDefault) {
            self.refuse(RAW);
        }
        let keys = strings(&c.keys).into_iter().chain(strings(&c.fk_attrs));
        let mut keyed = keys.filter_map(|name| Some((of?.oid, of?.column(name)?.num)));
        if keyed.any(|(oid, num)| self.governed.mask(oid, num).is_some())
            || (governed && !c.exclusions.is_empty())
        {
            self.refuse(RAW_KEY);
        }
        for tree in c.exclusions.iter().filter_map(Tree::of) {
            self.exclusion(tree);
        }
        let Some(name) = &c.pktable else { return };
        let Found::Relation(other) = self.resolve(name, false) else { return };
        self.touch(Verb::Define, other);
        let named = strings(&c.pk_attrs);
        let tells = match (named.is_empty(), other.primary_key()) {
            (true, Some(key)) => key.iter().any(|c| self.governed.mask(other.oid, c.num).is_some()),
            (true, None) => self.is_governed(other),
            (false, _) => {
                let columns = named.into_iter().filter_map(|n| other.column(n));
                columns.into_iter().any(|c| self.governed.mask(other.oid, c.num).is_some())
            }
        };
        if tells {
            self.refuse(RAW_KEY);
        }
    }

    fn exclusion(&mut self, tree: Tree<'a>) {
        match tree {
            Tree::List(list) => list.items.iter().filter_map(Tree::of).for_each(|t| self.exclusion(t)),
            Tree::IndexElem(element) => {
                if let Some(node) = &element.expr {
                    self.expression(node, Position::Predicate);
                }
            }
            Tree::String(_) => {}
            _ => self.unknown_node(),
        }
    }

    pub(super) fn alter_table(&mut self, s: &'a p::AlterTableStmt) {
        let relation = self.alters(s.relation.as_ref(), s.missing_ok);
        let governed = relation.is_some_and(|r| self.is_governed(r));
        self.scopes.push(Scope {
            items: vec![Item {
                alias: s.relation.as_ref().map_or("", |r| &r.relname),
                relation,
                bare: true,
                masked: false,
                site: None,
                role: Role::Plain,
                out: relation
                    .map(|r| self.relation_columns(r))
                    .unwrap_or(Out { open: true, ..Out::default() }),
            }],
            ..Scope::default()
        });
        for tree in s.cmds.iter().filter_map(Tree::of) {
            let Tree::AlterTableCmd(command) = tree else {
                self.unknown_node();
                continue;
            };
            self.alter_command(command, relation, governed);
        }
        self.scopes.pop();
    }

    fn alter_command(&mut self, c: &'a p::AlterTableCmd, relation: Option<&'a Relation>, governed: bool) {
        use p::AlterTableType as T;
        let column = relation.and_then(|r| Some((r.oid, r.column(&c.name)?.num)));
        let on_governed = column.is_some_and(|(oid, num)| self.governed.mask(oid, num).is_some());
        match c.subtype() {
            T::AtAddColumn => {
                if let Some(node) = &c.def {
                    self.table_element(node, relation);
                    let tells = |t: Tree<'_>| matches!(t, Tree::Constraint(c) if matches!(c.contype(), p::ConstrType::ConstrGenerated));
                    if let Some(Tree::ColumnDef(d)) = Tree::of(node) {
                        if governed && d.constraints.iter().filter_map(Tree::of).any(tells) {
                            self.refuse(RAW);
                        }
                    }
                }
            }
            T::AtColumnDefault | T::AtSetExpression => {
                if let Some(node) = &c.def {
                    self.expression(node, Position::WriteSource);
                }
                if governed && c.subtype() == T::AtSetExpression {
                    self.refuse(RAW);
                }
            }
            T::AtAddConstraint => {
                if let Some(node) = &c.def {
                    self.table_element(node, relation);
                }
            }
            T::AtAlterColumnType => {
                if governed {
                    self.refuse(RAW);
                }
                if let Some(node) = &c.def {
                    self.table_element(node, relation);
                }
            }
            T::AtDropColumn if on_governed => self.redefine(relation),
            T::AtDropNotNull
            | T::AtSetNotNull
            | T::AtDropExpression
            | T::AtSetStatistics
            | T::AtSetOptions
            | T::AtResetOptions
            | T::AtSetStorage
            | T::AtSetCompression
            | T::AtDropColumn
            | T::AtAlterConstraint
            | T::AtDropConstraint
            | T::AtClusterOn
            | T::AtDropCluster
            | T::AtSetLogged
            | T::AtSetUnLogged
            | T::AtSetTableSpace
            | T::AtSetAccessMethod
            | T::AtSetRelOptions
            | T::AtResetRelOptions
            | T::AtReplaceRelOptions
            | T::AtReplicaIdentity
            | T::AtAddIdentity
            | T::AtSetIdentity
            | T::AtDropIdentity => {}
            T::AtAddIndexConstraint | T::AtValidateConstraint => {
                if governed {
                    self.refuse(RAW_KEY);
                }
            }
            T::AtAttachPartition | T::AtDetachPartition | T::AtDetachPartitionFinalize => {
                if let Some(Tree::PartitionCmd(partition)) = c.def.as_deref().and_then(Tree::of) {
                    if let Some(name) = &partition.name {
                        self.attaches(name);
                    }
                    if let Some(bound) = &partition.bound {
                        self.bound(bound);
                    }
                }
                self.redefine(relation);
            }
            T::AtAddInherit | T::AtDropInherit => {
                match c.def.as_deref().and_then(Tree::of) {
                    Some(Tree::RangeVar(name)) => self.attaches(name),
                    _ => self.unknown_node(),
                }
                self.redefine(relation);
            }
            T::AtAddOf | T::AtDropOf => self.redefine(relation),
            T::AtChangeOwner => {
                let database = self.database.clone();
                self.other(Verb::Administer, database);
            }
            T::AtEnableTrig
            | T::AtEnableAlwaysTrig
            | T::AtEnableReplicaTrig
            | T::AtDisableTrig
            | T::AtEnableTrigAll
            | T::AtDisableTrigAll
            | T::AtEnableTrigUser
            | T::AtDisableTrigUser
            | T::AtEnableRule
            | T::AtEnableAlwaysRule
            | T::AtEnableReplicaRule
            | T::AtDisableRule
            | T::AtEnableRowSecurity
            | T::AtDisableRowSecurity
            | T::AtForceRowSecurity
            | T::AtNoForceRowSecurity => {
                if let Some(relation) = relation {
                    self.touch(Verb::Administer, relation);
                }
                self.opaque("The statement changes what runs by itself on a relation.");
            }
            T::AtAddColumnToView
            | T::AtCookedColumnDefault
            | T::AtAddIndex
            | T::AtReAddIndex
            | T::AtReAddConstraint
            | T::AtReAddDomainConstraint
            | T::AtReAddComment
            | T::AtAlterColumnGenericOptions
            | T::AtDropOids
            | T::AtGenericOptions
            | T::AtReAddStatistics
            | T::Undefined => self.opaque("The gateway does not know this change of a table."),
        }
    }

    pub(super) fn create_index(&mut self, s: &'a p::IndexStmt) {
        let Some(relation) = self.alters(s.relation.as_ref(), false) else { return };
        let governed = self.is_governed(relation);
        self.options(&s.options);
        let out = self.relation_columns(relation);
        let alias = s.relation.as_ref().map_or("", |r| &r.relname);
        let item = Item {
            alias,
            relation: Some(relation),
            bare: true,
            masked: false,
            site: None,
            role: Role::Plain,
            out,
        };
        self.scopes.push(Scope { items: vec![item], ..Scope::default() });
        for tree in s.index_params.iter().chain(&s.index_including_params).filter_map(Tree::of) {
            let Tree::IndexElem(element) = tree else {
                self.unknown_node();
                continue;
            };
            if let Some(node) = &element.expr {
                self.expression(node, Position::Predicate);
                if governed {
                    self.refuse(RAW);
                }
            }
            let column = relation.column(&element.name);
            if s.unique && column.is_some_and(|c| self.governed.mask(relation.oid, c.num).is_some()) {
                self.refuse(RAW_KEY);
            }
            // Building it runs the operator class, which a user may have made.
            if let [.., name] = strings(&element.opclass).as_slice() {
                if !self.snapshot.operators.is_empty() && governed && name.is_empty() {
                    self.unknown_node();
                }
            }
        }
        if let Some(node) = &s.where_clause {
            self.expression(node, Position::Predicate);
            if governed {
                self.refuse(RAW);
            }
        }
        self.scopes.pop();
        // What an index reads is not given to anyone.
        self.uses.retain(|(verb, oid), _| *verb != Verb::Read || *oid != relation.oid);
    }

    pub(super) fn create_statistics(&mut self, s: &'a p::CreateStatsStmt) {
        self.names_object(&s.defnames);
        for tree in s.relations.iter().filter_map(Tree::of) {
            let Tree::RangeVar(name) = tree else {
                self.unknown_node();
                continue;
            };
            if let Found::Relation(relation) = self.resolve(name, false) {
                self.touch(Verb::Define, relation);
                if self.is_governed(relation) {
                    self.refuse(RAW);
                }
            }
        }
        for tree in s.exprs.iter().filter_map(Tree::of) {
            let Tree::StatsElem(element) = tree else {
                self.unknown_node();
                continue;
            };
            if let Some(node) = &element.expr {
                self.scopes.push(Scope { visible: Out { open: true, ..Out::default() }, ..Scope::default() });
                self.expression(node, Position::Predicate);
                self.scopes.pop();
            }
        }
    }
}
