//! Statements that change the catalog, roles or the server.
//!
//! Whatever evaluates an expression over a governed relation's stored rows (an index, a check, a new column's
//! default, a changed type) would let errors and definitions tell of raw values: refused. What renames, moves, attaches,
//! replaces or shadows a governed relation is an `administer` access on it, beside `define`.

use pg_query::protobuf as p;
use vocab::{Position, ResourcePath, Verb};

use super::query::{Item, Out, Role, Scope};
use super::{Found, Walk, strings};
use crate::analysis::{Effect, Reason};
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

const RAW: Reason =
    Reason::refused("This would evaluate an expression over the raw values of a governed column.");
const RAW_KEY: Reason =
    Reason::refused("This would make the values of a governed column tell by a constraint.");

impl<'a> Walk<'a> {
    /// `false`: not a statement of this kind.
    pub(super) fn define(&mut self, tree: Tree<'a>) -> bool {
        match tree {
            Tree::CreateStmt(s) => self.create_table(s),
            Tree::CreateTableAsStmt(s) => self.create_as(s),
            Tree::ViewStmt(s) => self.create_view(s),
            Tree::CreateSeqStmt(s) => {
                self.options(&s.options);
                self.creates(s.sequence.as_ref());
            }
            Tree::AlterSeqStmt(s) => {
                self.options(&s.options);
                self.alters(s.sequence.as_ref(), false);
            }
            Tree::CreateSchemaStmt(s) => self.create_schema(s),
            Tree::AlterTableStmt(s) => self.alter_table(s),
            Tree::IndexStmt(s) => self.create_index(s),
            Tree::DropStmt(s) => self.drop_objects(s),
            Tree::RenameStmt(s) => self.rename(s),
            Tree::AlterObjectSchemaStmt(s) => self.move_object(s.relation.as_ref(), &s.newschema),
            Tree::TruncateStmt(s) => self.truncate(s),
            Tree::LockStmt(s) => {
                self.locks = true;
                self.ranges(&s.relations, Verb::Write);
            }
            Tree::RefreshMatViewStmt(s) => self.refresh(s),
            Tree::CommentStmt(s) => self.comment(s),
            Tree::CreateDomainStmt(s) => self.create_domain(s),
            Tree::CreateEnumStmt(s) => self.names_object(&s.type_name),
            Tree::CompositeTypeStmt(s) => {
                self.column_types(&s.coldeflist);
                self.creates(s.typevar.as_ref());
            }
            Tree::AlterEnumStmt(s) => self.names_object(&s.type_name),
            Tree::CreateStatsStmt(s) => self.create_statistics(s),
            Tree::VacuumStmt(s) => self.vacuum(s),
            Tree::ClusterStmt(s) => self.maintains(s.relation.as_ref()),
            Tree::ReindexStmt(s) => self.maintains(s.relation.as_ref()),
            Tree::CheckPointStmt(_)
            | Tree::GrantStmt(_)
            | Tree::GrantRoleStmt(_)
            | Tree::CreateRoleStmt(_)
            | Tree::AlterRoleStmt(_)
            | Tree::AlterRoleSetStmt(_)
            | Tree::DropRoleStmt(_)
            | Tree::AlterDefaultPrivilegesStmt(_)
            | Tree::ReassignOwnedStmt(_)
            | Tree::DropOwnedStmt(_)
            | Tree::CreatedbStmt(_)
            | Tree::DropdbStmt(_)
            | Tree::AlterDatabaseStmt(_)
            | Tree::AlterDatabaseSetStmt(_)
            | Tree::AlterDatabaseRefreshCollStmt(_)
            | Tree::CreateTableSpaceStmt(_)
            | Tree::DropTableSpaceStmt(_)
            | Tree::AlterTableSpaceOptionsStmt(_)
            | Tree::SecLabelStmt(_)
            | Tree::AlterOwnerStmt(_) => {
                let database = self.database.clone();
                self.other(Verb::Administer, database);
                self.changes_catalog(true);
            }
            Tree::AlterSystemStmt(_) => self.beyond("ALTER SYSTEM changes the server."),
            Tree::DoStmt(_) => self.beyond("DO runs code that the gateway cannot read."),
            Tree::CallStmt(_) => self.beyond("CALL runs code that the gateway cannot read."),
            Tree::LoadStmt(_) => self.beyond("LOAD runs code that the gateway cannot read."),
            Tree::CreateFunctionStmt(_) | Tree::AlterFunctionStmt(_) => {
                self.beyond("The statement defines code.")
            }
            Tree::CreateTrigStmt(_) | Tree::CreateEventTrigStmt(_) | Tree::AlterEventTrigStmt(_) => {
                self.beyond("The statement defines code that runs by itself.");
            }
            Tree::RuleStmt(_) => self.beyond("The statement rewrites other statements."),
            Tree::CreatePolicyStmt(_) | Tree::AlterPolicyStmt(_) => {
                self.beyond("The statement changes row security.")
            }
            Tree::DefineStmt(_)
            | Tree::CreateCastStmt(_)
            | Tree::CreateConversionStmt(_)
            | Tree::CreateTransformStmt(_)
            | Tree::CreatePlangStmt(_)
            | Tree::CreateAmStmt(_)
            | Tree::CreateOpClassStmt(_)
            | Tree::CreateOpFamilyStmt(_)
            | Tree::AlterOpFamilyStmt(_)
            | Tree::AlterOperatorStmt(_)
            | Tree::AlterTypeStmt(_)
            | Tree::AlterDomainStmt(_)
            | Tree::CreateRangeStmt(_)
            | Tree::CreateExtensionStmt(_)
            | Tree::AlterExtensionStmt(_)
            | Tree::AlterExtensionContentsStmt(_)
            | Tree::AlterObjectDependsStmt(_)
            | Tree::AlterTsdictionaryStmt(_)
            | Tree::AlterTsconfigurationStmt(_)
            | Tree::AlterCollationStmt(_)
            | Tree::AlterStatsStmt(_)
            | Tree::AlterTableMoveAllStmt(_) => {
                self.beyond("The statement defines what runs inside other statements.")
            }
            Tree::CreateFdwStmt(_)
            | Tree::AlterFdwStmt(_)
            | Tree::CreateForeignServerStmt(_)
            | Tree::AlterForeignServerStmt(_)
            | Tree::CreateForeignTableStmt(_)
            | Tree::CreateUserMappingStmt(_)
            | Tree::AlterUserMappingStmt(_)
            | Tree::DropUserMappingStmt(_)
            | Tree::ImportForeignSchemaStmt(_)
            | Tree::CreatePublicationStmt(_)
            | Tree::AlterPublicationStmt(_)
            | Tree::CreateSubscriptionStmt(_)
            | Tree::AlterSubscriptionStmt(_)
            | Tree::DropSubscriptionStmt(_) => self.beyond("The statement moves data past the gateway."),
            _ => return false,
        }
        true
    }

    fn beyond(&mut self, sentence: &'static str) {
        let database = self.database.clone();
        self.other(Verb::Define, database);
        self.opaque(sentence);
        self.user_code = true;
        self.changes_catalog(true);
    }

    fn changes_catalog(&mut self, governed: bool) {
        self.writes = true;
        let governed = governed && !self.governed.is_empty();
        match self.effects.iter_mut().find(|e| matches!(e, Effect::Ddl { .. })) {
            Some(Effect::Ddl { governed: known }) => *known |= governed,
            _ => self.effects.push(Effect::Ddl { governed }),
        }
    }

    fn is_governed(&self, relation: &Relation) -> bool {
        self.governed.cover(relation.oid).is_some()
    }

    /// A change after which a governed relation is not where or what it was.
    fn redefines(&mut self, relation: &Relation) {
        if !self.is_governed(relation) {
            return;
        }
        let path = self.path(relation);
        self.touch(Verb::Administer, relation);
        if !self.redefines.contains(&path) {
            self.redefines.push(path);
        }
        self.changes_catalog(true);
    }

    // New relations.

    /// A relation comes into being. Taking the name of a governed one shadows it.
    fn creates(&mut self, name: Option<&'a p::RangeVar>) {
        let Some(name) = name else { return self.unknown_node() };
        let temporary = name.relpersistence == "t" || name.schemaname == "pg_temp";
        let path = self.path_of_new(name, temporary);
        self.other(Verb::Define, path);
        self.changes_catalog(false);
        if temporary {
            self.effects.push(Effect::CreatesTemp { name: name.relname.clone() });
        }
        self.shadows(&name.relname);
        if let Found::Relation(existing) = self.lookup(&name.schemaname, &name.relname) {
            self.redefines(existing);
        }
    }

    fn path_of_new(&self, name: &p::RangeVar, temporary: bool) -> ResourcePath {
        let first = self
            .names
            .search_path
            .iter()
            .map(String::as_str)
            .find(|s| !matches!(*s, "pg_temp" | "pg_catalog"));
        let schema = match (temporary, name.schemaname.as_str()) {
            (true, _) => "pg_temp",
            (false, "") => first.unwrap_or("public"),
            (false, schema) => schema,
        };
        self.database.join(schema).join(&name.relname)
    }

    fn shadows(&mut self, name: &str) {
        if !self.governed.names.contains(name) {
            return;
        }
        let snapshot = self.snapshot;
        let shadowed: Vec<&Relation> = self
            .governed
            .relations
            .keys()
            .filter_map(|oid| snapshot.relations.get(oid))
            .filter(|r| r.name == name)
            .collect();
        for relation in shadowed {
            self.redefines(relation);
        }
    }

    /// The relation that SELECT INTO, CREATE TABLE AS or CREATE MATERIALIZED VIEW makes.
    pub(super) fn creates_from_query(&mut self, into: &'a p::IntoClause) {
        self.options(&into.options);
        self.writes = true;
        self.creates(into.rel.as_ref());
    }

    fn create_as(&mut self, s: &'a p::CreateTableAsStmt) {
        if let Some(into) = &s.into {
            self.creates_from_query(into);
        }
        let Some(node) = &s.query else { return self.unknown_node() };
        match Tree::of(node) {
            Some(Tree::ExecuteStmt(execute)) => self.execute(execute),
            _ => drop(self.query(node, Position::WriteSource)),
        }
    }

    fn create_view(&mut self, s: &'a p::ViewStmt) {
        self.options(&s.options);
        self.creates(s.view.as_ref());
        if let Some(node) = &s.query {
            self.query(node, Position::WriteSource);
        }
    }

    fn create_table(&mut self, s: &'a p::CreateStmt) {
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

    fn options(&mut self, options: &'a [Node]) {
        for tree in options.iter().filter_map(Tree::of) {
            if !matches!(tree, Tree::DefElem(_)) {
                self.unknown_node();
            }
        }
    }

    fn column_types(&mut self, list: &'a [Node]) {
        for tree in list.iter().filter_map(Tree::of) {
            match tree {
                Tree::ColumnDef(column) => {
                    if let Some(name) = &column.type_name {
                        self.type_name(name);
                    }
                }
                _ => self.unknown_node(),
            }
        }
    }

    fn create_schema(&mut self, s: &'a p::CreateSchemaStmt) {
        let path = self.database.join(&s.schemaname);
        self.other(Verb::Define, path);
        self.changes_catalog(false);
        if s.authrole.is_some() {
            let database = self.database.clone();
            self.other(Verb::Administer, database);
        }
        for tree in s.schema_elts.iter().filter_map(Tree::of) {
            self.statement(tree);
        }
    }

    fn create_domain(&mut self, s: &'a p::CreateDomainStmt) {
        if let Some(name) = &s.type_name {
            self.type_name(name);
        }
        for node in s.constraints.iter().filter_map(Tree::of) {
            let Tree::Constraint(c) = node else {
                self.unknown_node();
                continue;
            };
            self.scopes.push(Scope { visible: Out { open: true, ..Out::default() }, ..Scope::default() });
            if let Some(node) = &c.raw_expr {
                self.expression(node, Position::Predicate);
            }
            self.scopes.pop();
        }
        self.names_object(&s.domainname);
    }

    fn names_object(&mut self, names: &'a [Node]) {
        let names = strings(names);
        let path = names.iter().fold(self.database.clone(), |path, name| path.join(name));
        self.other(Verb::Define, path);
        self.changes_catalog(false);
    }

    // Existing relations.

    fn alters(&mut self, name: Option<&'a p::RangeVar>, missing_ok: bool) -> Option<&'a Relation> {
        let name = name?;
        self.changes_catalog(false);
        match self.resolve(name, false) {
            Found::Relation(relation) => {
                self.touch(Verb::Define, relation);
                Some(relation)
            }
            Found::Temp(temp) => {
                let path = self.database.join("pg_temp").join(&temp.name);
                self.other(Verb::Define, path);
                None
            }
            Found::Cte(_) | Found::Nothing => {
                if !missing_ok {
                    self.refuse(Reason {
                        code: "42P01",
                        sentence: "The statement names a relation that does not exist.",
                        at: None,
                    });
                }
                let database = self.database.clone();
                self.other(Verb::Define, database);
                None
            }
        }
    }

    fn alter_table(&mut self, s: &'a p::AlterTableStmt) {
        let relation = self.alters(s.relation.as_ref(), s.missing_ok);
        let governed = relation.is_some_and(|r| self.is_governed(r));
        self.scopes.push(Scope {
            items: vec![Item {
                alias: s.relation.as_ref().map_or("", |r| &r.relname),
                relation,
                bare: true,
                masked: false,
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

    fn redefine(&mut self, relation: Option<&'a Relation>) {
        if let Some(relation) = relation {
            self.redefines(relation);
        }
    }

    fn create_index(&mut self, s: &'a p::IndexStmt) {
        let Some(relation) = self.alters(s.relation.as_ref(), false) else { return };
        let governed = self.is_governed(relation);
        self.options(&s.options);
        let out = self.relation_columns(relation);
        let alias = s.relation.as_ref().map_or("", |r| &r.relname);
        let item =
            Item { alias, relation: Some(relation), bare: true, masked: false, role: Role::Plain, out };
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

    fn create_statistics(&mut self, s: &'a p::CreateStatsStmt) {
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

    fn drop_objects(&mut self, s: &'a p::DropStmt) {
        use p::ObjectType as O;
        self.changes_catalog(false);
        let cascade = s.behavior() == p::DropBehavior::DropCascade;
        for tree in s.objects.iter().filter_map(Tree::of) {
            let names = match tree {
                Tree::List(list) => strings(&list.items),
                Tree::String(name) => vec![name.sval.as_str()],
                Tree::TypeName(name) => strings(&name.names),
                Tree::ObjectWithArgs(object) => strings(&object.objname),
                _ => {
                    self.unknown_node();
                    continue;
                }
            };
            match s.remove_type() {
                O::ObjectTable
                | O::ObjectView
                | O::ObjectMatview
                | O::ObjectSequence
                | O::ObjectForeignTable => {
                    self.drop_relation(&names, s.missing_ok, cascade);
                }
                O::ObjectIndex => {
                    let found = match names.as_slice() {
                        [name] => self.lookup("", name),
                        [schema, name] => self.lookup(schema, name),
                        _ => Found::Nothing,
                    };
                    let table = match found {
                        Found::Relation(index) => self
                            .snapshot
                            .index_of
                            .get(&index.oid)
                            .and_then(|o| self.snapshot.relations.get(o)),
                        _ => None,
                    };
                    match table {
                        Some(table) => self.touch(Verb::Define, table),
                        None => self.defines_database(),
                    }
                }
                O::ObjectSchema => self.drop_schema(&names, cascade),
                O::ObjectType | O::ObjectDomain | O::ObjectStatisticExt | O::ObjectCollation => {
                    let path = names.iter().fold(self.database.clone(), |path, name| path.join(name));
                    self.other(Verb::Define, path);
                    if cascade {
                        self.opaque("The statement drops all that depends on a type.");
                    }
                }
                _ => self.beyond("The statement drops code or what governs other statements."),
            }
        }
    }

    fn defines_database(&mut self) {
        let database = self.database.clone();
        self.other(Verb::Define, database);
    }

    fn drop_relation(&mut self, names: &[&str], missing_ok: bool, cascade: bool) {
        let found = match names {
            [name] => self.lookup("", name),
            [.., schema, name] => self.lookup(schema, name),
            [] => Found::Nothing,
        };
        match found {
            Found::Relation(relation) => {
                self.touch(Verb::Define, relation);
                self.redefines(relation);
                if cascade {
                    let dependents: Vec<&Relation> = self
                        .snapshot
                        .relations
                        .values()
                        .filter(|r| r.depends.iter().any(|(oid, _)| *oid == relation.oid))
                        .collect();
                    for dependent in dependents {
                        self.touch(Verb::Define, dependent);
                        self.redefines(dependent);
                    }
                }
            }
            Found::Temp(temp) => {
                let path = self.database.join("pg_temp").join(&temp.name);
                self.other(Verb::Define, path);
            }
            Found::Cte(_) | Found::Nothing => {
                self.unresolved = true;
                self.defines_database();
                if !missing_ok {
                    self.refuse(Reason {
                        code: "42P01",
                        sentence: "The statement names a relation that does not exist.",
                        at: None,
                    });
                }
            }
        }
    }

    fn drop_schema(&mut self, names: &[&str], cascade: bool) {
        let Some(schema) = names.last() else { return self.unknown_node() };
        let path = self.database.join(schema);
        self.other(Verb::Define, path);
        if cascade {
            let inside: Vec<&Relation> =
                self.snapshot.relations.values().filter(|r| r.schema == *schema).collect();
            for relation in inside {
                self.touch(Verb::Define, relation);
                self.redefines(relation);
            }
        }
    }

    fn rename(&mut self, s: &'a p::RenameStmt) {
        use p::ObjectType as O;
        self.changes_catalog(false);
        let Some(name) = &s.relation else {
            match (s.rename_type(), s.object.as_deref().and_then(Tree::of)) {
                (O::ObjectSchema, _) => {
                    let path = self.database.join(&s.subname);
                    self.other(Verb::Define, path);
                    let inside: Vec<&Relation> = self
                        .snapshot
                        .relations
                        .values()
                        .filter(|r| r.schema == s.subname || r.schema == s.newname)
                        .collect();
                    for relation in inside {
                        self.redefines(relation);
                    }
                }
                (O::ObjectDomain | O::ObjectType | O::ObjectCollation, Some(Tree::List(list))) => {
                    self.names_object(&list.items)
                }
                (O::ObjectRole | O::ObjectDatabase | O::ObjectTablespace, _) => {
                    let database = self.database.clone();
                    self.other(Verb::Administer, database);
                }
                _ => self.beyond("The statement renames what runs inside other statements."),
            }
            return;
        };
        let relation = self.alters(Some(name), s.missing_ok);
        match s.rename_type() {
            O::ObjectColumn | O::ObjectAttribute => {
                let column = relation.and_then(|r| Some((r.oid, r.column(&s.subname)?.num)));
                let governed = column.is_some_and(|(oid, num)| self.governed.mask(oid, num).is_some());
                // A view above, or a rule by name, would lose or gain a governed column.
                if governed || relation.is_some_and(|r| self.is_governed(r)) {
                    self.redefine(relation);
                }
            }
            O::ObjectTable | O::ObjectView | O::ObjectMatview | O::ObjectSequence | O::ObjectForeignTable => {
                self.redefine(relation);
                self.shadows(&s.newname);
            }
            O::ObjectIndex | O::ObjectTabconstraint | O::ObjectTrigger | O::ObjectPolicy | O::ObjectRule => {}
            _ => self.beyond("The statement renames what runs inside other statements."),
        }
    }

    fn move_object(&mut self, name: Option<&'a p::RangeVar>, schema: &'a str) {
        let path = self.database.join(schema);
        self.other(Verb::Define, path);
        match name {
            Some(name) => {
                let relation = self.alters(Some(name), true);
                self.redefine(relation);
                self.shadows(&name.relname);
            }
            None => self.beyond("The statement moves what runs inside other statements."),
        }
    }

    fn truncate(&mut self, s: &'a p::TruncateStmt) {
        self.writes = true;
        self.ranges(&s.relations, Verb::Write);
        if s.behavior() == p::DropBehavior::DropCascade {
            let named: Vec<u32> = self.uses.keys().map(|(_, oid)| *oid).collect();
            for oid in named {
                for (from, _) in self.snapshot.referencing.get(&oid).into_iter().flatten() {
                    if let Some(relation) = self.snapshot.relations.get(from) {
                        self.touch(Verb::Write, relation);
                    }
                }
            }
        }
    }

    fn ranges(&mut self, list: &'a [Node], verb: Verb) {
        for tree in list.iter().filter_map(Tree::of) {
            let Tree::RangeVar(name) = tree else {
                self.unknown_node();
                continue;
            };
            match self.resolve(name, false) {
                Found::Relation(relation) => {
                    self.touch(verb, relation);
                    if verb == Verb::Write {
                        for oid in &relation.write_functions {
                            self.runs(*oid, Some(crate::analysis::FunctionKind::Trigger));
                        }
                    }
                }
                Found::Temp(temp) => {
                    let path = self.database.join("pg_temp").join(&temp.name);
                    self.other(verb, path);
                }
                Found::Cte(_) | Found::Nothing => self.refuse(Reason {
                    code: "42P01",
                    sentence: "The statement names a relation that does not exist.",
                    at: None,
                }),
            }
        }
    }

    /// The stored rows are made anew from the stored definition, whose columns keep their masks.
    fn refresh(&mut self, s: &'a p::RefreshMatViewStmt) {
        self.writes = true;
        let Some(name) = &s.relation else { return self.unknown_node() };
        if let Found::Relation(relation) = self.resolve(name, false) {
            self.touch(Verb::Write, relation);
            for (oid, _) in &relation.depends {
                if let Some(below) = self.snapshot.relations.get(oid) {
                    self.touch(Verb::Read, below);
                }
            }
            for oid in &relation.read_functions {
                self.runs(*oid, None);
            }
            self.user_code = true;
        } else {
            self.defines_database();
        }
    }

    fn comment(&mut self, s: &'a p::CommentStmt) {
        self.changes_catalog(false);
        let object = s.object.as_deref().and_then(Tree::of);
        let names = match object {
            Some(Tree::List(list)) => strings(&list.items),
            Some(Tree::String(name)) => vec![name.sval.as_str()],
            _ => Vec::new(),
        };
        let path = names.iter().fold(self.database.clone(), |path, name| path.join(name));
        self.other_columns(Verb::Define, path, &[]);
    }

    fn vacuum(&mut self, s: &'a p::VacuumStmt) {
        self.options(&s.options);
        if s.rels.is_empty() {
            let database = self.database.clone();
            self.other(Verb::Administer, database);
        }
        for tree in s.rels.iter().filter_map(Tree::of) {
            match tree {
                Tree::VacuumRelation(v) => self.maintains(v.relation.as_ref()),
                _ => self.unknown_node(),
            }
        }
    }

    fn maintains(&mut self, name: Option<&'a p::RangeVar>) {
        self.writes = true;
        match name.map(|name| self.resolve(name, false)) {
            Some(Found::Relation(relation)) => {
                self.touch(Verb::Administer, relation);
                for oid in &relation.write_functions {
                    self.runs(*oid, Some(crate::analysis::FunctionKind::Trigger));
                }
            }
            _ => {
                let database = self.database.clone();
                self.other(Verb::Administer, database);
            }
        }
    }
}
