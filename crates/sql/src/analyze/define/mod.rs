//! Statements that change the catalog, roles or the server.
//!
//! Whatever evaluates an expression over a governed relation's stored rows (an index, a check, a new column's
//! default, a changed type) would let errors and definitions tell of raw values: refused. What renames, moves, attaches,
//! replaces or shadows a governed relation is an `administer` access on it, beside `define`.

mod objects;
mod table;

use pg_query::protobuf as p;
use vocab::{Position, ResourcePath, Verb};

use super::query::{Out, Scope};
use super::{Found, Walk, strings};
use crate::analysis::{Effect, Reason};
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

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
        let schema = match (temporary, name.schemaname.as_str()) {
            (true, _) => "pg_temp",
            (false, "") => self.schema_of_new(),
            (false, schema) => schema,
        };
        self.database.join(schema).join(&name.relname)
    }

    /// The schema in which a new object without one is made.
    fn schema_of_new(&self) -> &str {
        let mut path = self.names.search_path.iter().map(String::as_str);
        path.find(|s| *s != "pg_catalog" && !s.starts_with("pg_temp")).unwrap_or("public")
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
        let path = self.object_path(&strings(names));
        self.other(Verb::Define, path);
        self.changes_catalog(false);
    }

    /// Of a type, collation or the like: with the schema in which it is found or would be made.
    fn object_path(&self, names: &[&str]) -> ResourcePath {
        match names {
            [name] => {
                let path = self.search_path();
                let found = self.snapshot.types_named(name).find(|t| path.contains(&t.schema.as_str()));
                let schema = found.map_or_else(|| self.schema_of_new(), |t| t.schema.as_str());
                self.database.join(schema).join(name)
            }
            [_, names @ ..] if names.len() == 2 => self.object_path(names),
            _ => names.iter().fold(self.database.clone(), |path, name| path.join(name)),
        }
    }

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

    fn redefine(&mut self, relation: Option<&'a Relation>) {
        if let Some(relation) = relation {
            self.redefines(relation);
        }
    }

    fn defines_database(&mut self) {
        let database = self.database.clone();
        self.other(Verb::Define, database);
    }
}
