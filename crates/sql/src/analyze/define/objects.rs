//! What is dropped, renamed, moved, emptied, described or maintained.

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::super::{Found, Walk, strings};
use crate::analysis::Reason;
use crate::snapshot::Relation;
use crate::tree::{Node, Tree};

impl<'a> Walk<'a> {
    pub(super) fn drop_objects(&mut self, s: &'a p::DropStmt) {
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
                    let path = self.object_path(&names);
                    self.other(Verb::Define, path);
                    if cascade {
                        self.opaque("The statement drops all that depends on a type.");
                    }
                }
                _ => self.beyond("The statement drops code or what governs other statements."),
            }
        }
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
                // What refers to it loses its foreign key, and views over it go.
                if cascade {
                    for (from, _) in self.snapshot.referencing.get(&relation.oid).into_iter().flatten() {
                        if let Some(other) = self.snapshot.relations.get(from) {
                            self.touch(Verb::Define, other);
                        }
                    }
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

    pub(super) fn rename(&mut self, s: &'a p::RenameStmt) {
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

    pub(super) fn move_object(&mut self, name: Option<&'a p::RangeVar>, schema: &'a str) {
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

    pub(super) fn truncate(&mut self, s: &'a p::TruncateStmt) {
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

    pub(super) fn ranges(&mut self, list: &'a [Node], verb: Verb) {
        for tree in list.iter().filter_map(Tree::of) {
            let Tree::RangeVar(name) = tree else {
                self.unknown_node();
                continue;
            };
            match self.resolve(name, false) {
                Found::Relation(relation) => {
                    self.touch(verb, relation);
                    if verb == Verb::Write {
                        self.runs_triggers(relation);
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
    pub(super) fn refresh(&mut self, s: &'a p::RefreshMatViewStmt) {
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

    pub(super) fn comment(&mut self, s: &'a p::CommentStmt) {
        use p::ObjectType as O;
        self.changes_catalog(false);
        let names = match s.object.as_deref().and_then(Tree::of) {
            Some(Tree::List(list)) => strings(&list.items),
            Some(Tree::String(name)) => vec![name.sval.as_str()],
            Some(Tree::TypeName(name)) => strings(&name.names),
            Some(Tree::ObjectWithArgs(object)) => strings(&object.objname),
            _ => return self.defines_database(),
        };
        // What belongs to a relation comes with its own name last.
        let (relation, part) = match (s.objtype(), names.as_slice()) {
            (O::ObjectColumn, [relation @ .., column]) => (relation, Some(*column)),
            (
                O::ObjectTabconstraint | O::ObjectTrigger | O::ObjectRule | O::ObjectPolicy,
                [relation @ .., _],
            ) => (relation, None),
            (O::ObjectSchema | O::ObjectDatabase | O::ObjectRole | O::ObjectTablespace, [name]) => {
                let path = self.database.join(name);
                return self.other(Verb::Define, path);
            }
            (_, names) => (names, None),
        };
        let found = match relation {
            [name] => self.lookup("", name),
            [.., schema, name] => self.lookup(schema, name),
            [] => Found::Nothing,
        };
        match found {
            Found::Relation(relation) => {
                self.touch(Verb::Define, relation);
                if let Some(column) = part.and_then(|name| relation.column(name)) {
                    self.use_column(Verb::Define, (relation.oid, column.num), Position::Write);
                }
            }
            Found::Temp(temp) => {
                let path = self.database.join("pg_temp").join(&temp.name);
                self.other(Verb::Define, path);
            }
            Found::Cte(_) | Found::Nothing => {
                let path = self.object_path(&names);
                self.other(Verb::Define, path);
            }
        }
    }

    pub(super) fn vacuum(&mut self, s: &'a p::VacuumStmt) {
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

    pub(super) fn maintains(&mut self, name: Option<&'a p::RangeVar>) {
        self.writes = true;
        match name.map(|name| self.resolve(name, false)) {
            Some(Found::Relation(relation)) => {
                self.touch(Verb::Administer, relation);
                self.runs_triggers(relation);
            }
            _ => {
                let database = self.database.clone();
                self.other(Verb::Administer, database);
            }
        }
    }
}
