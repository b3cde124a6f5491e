//! The upstream's catalog at one moment.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::catalog::{ById, ByName};
use crate::names::Vouched;

/// Relations, views, inheritance, functions, types, operators, casts, triggers and constraints, by name and OID.
/// Of PostgreSQL's own objects only the relations: its functions, types and operators are known by their lists here.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) canonical: Vec<u8>,
    pub(crate) server: u32,
    pub(crate) database: String,
    /// The session's own temporary schema, where the snapshot was read through a session that has one.
    pub(crate) temp_schema: Option<String>,
    pub(crate) relations: ById<Relation>,
    /// The names of all functions of `pg_catalog`.
    pub(crate) builtins: HashSet<String>,
    pub(crate) functions: ById<Function>,
    pub(crate) types: ById<Type>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) casts: Vec<Cast>,
    pub(crate) classes: Vec<Class>,
    /// Type -> what runs without being written where a value of it is. [`ANY_TYPE`]: of any.
    pub(crate) implied: ById<Vec<Implied>>,
    /// Domain OID -> user functions that its checks run.
    pub(crate) domain_functions: ById<Vec<u32>>,
    /// Referenced relation -> (referencing relation, foreign key).
    pub(crate) referencing: ById<Vec<(u32, Constraint)>>,
    pub(crate) index_of: ById<u32>,
    by_name: ByName<u32>,
    functions_by_name: HashMap<String, Vec<u32>>,
    types_by_name: HashMap<String, Vec<u32>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Relation {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// pg_class.relkind.
    pub kind: char,
    pub temporary: bool,
    /// The type of its rows; 0: none.
    pub row_type: u32,
    /// By number; dropped ones are not here.
    pub columns: Vec<Column>,
    pub parents: Vec<u32>,
    pub children: Vec<u32>,
    /// Of a view or materialized view outside the system schemas.
    pub definition: Option<String>,
    /// What a view depends on: relation, column (0: the whole).
    pub depends: Vec<(u32, i16)>,
    /// A rule rewrites what is written to it.
    pub ruled: bool,
    /// Relations that row security policies read.
    pub policy_reads: Vec<u32>,
    /// User functions run by reading (a view's body, a policy).
    pub read_functions: Vec<u32>,
    /// User functions run by writing (defaults, checks, triggers, indexes).
    pub write_functions: Vec<u32>,
    pub constraints: Vec<Constraint>,
    /// With every column that the index or its expressions use.
    pub indexes: Vec<(Index, Vec<i16>)>,
    pub partition_key: Vec<i16>,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub num: i16,
    pub name: String,
    pub type_oid: u32,
    /// With its modifier, qualified: `numeric(12,2)`, `app.mood`.
    pub type_name: String,
    pub typmod: i32,
    /// Quoted and qualified, where it is not the type's own.
    pub collation: Option<String>,
    pub generated: bool,
    /// Of a generated one: the columns that its expression names.
    pub made_of: Vec<i16>,
    /// pg_type.typtype.
    pub type_kind: char,
    /// Of a domain the type below it, else the type; without modifier.
    pub base_type: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub args_min: u16,
    pub args_max: u16,
    pub volatility: char,
    pub security_definer: bool,
    pub owner: String,
    pub language: String,
    pub extension: Option<String>,
    /// Of its arguments and of what it returns.
    pub types: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Type {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub kind: char,
    pub base: u32,
    /// Of an array: the type of its elements. 0: none.
    pub element: u32,
    /// Of a row: the relation with its columns. 0: none.
    pub row_of: u32,
    /// Of a range: the type of its bounds. 0: none.
    pub bound: u32,
}

/// How values of a type of a user's are written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// As text in either format: an enum.
    Text,
    /// As those of another type: a domain.
    As(u32),
    /// As a list of this type's.
    Array(u32),
    /// As bounds of this type.
    Range(u32),
    Row,
    /// As an extension of the server says, or as of one of PostgreSQL's own.
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pub schema: String,
    pub name: String,
    pub function: u32,
    /// Types; 0 before a prefix operator.
    pub left: u32,
    pub right: u32,
    pub result: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub source: u32,
    pub target: u32,
    /// 0: none runs.
    pub function: u32,
    /// pg_cast.castcontext.
    pub context: char,
}

/// A function by which values of a type are compared, sorted or hashed.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub of: u32,
    pub function: u32,
}

/// A function of no name in the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Implied {
    pub function: u32,
    /// pg_cast.castcontext: `i` anywhere, `a` also where something is written, `e` where a type is named.
    pub when: char,
}

/// Stands for all types in [`Snapshot::implied`].
pub(crate) const ANY_TYPE: u32 = 0;

/// The first OID that is not of PostgreSQL's own.
pub const OWN_OIDS_END: u32 = 16_384;

#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    pub oid: u32,
    /// pg_constraint.contype.
    pub kind: char,
    pub columns: Vec<i16>,
    pub references: u32,
    pub referenced: Vec<i16>,
    pub on_delete: char,
    pub on_update: char,
}

#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub oid: u32,
    pub unique: bool,
    pub primary: bool,
    /// 0 stands for an expression.
    pub keys: Vec<i16>,
    /// Has an expression or a predicate.
    pub computed: bool,
}

impl Snapshot {
    /// Canonical bytes: equal for equal catalogs; for a digest.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The server's major version.
    pub fn server_major(&self) -> u32 {
        self.server
    }

    /// The database that it was read from.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// How many relations it knows.
    pub fn relation_count(&self) -> usize {
        self.relations.len()
    }

    /// How values of a type are written on the wire, as far as the catalog tells.
    pub fn written(&self, type_oid: u32) -> Written {
        match self.types.get(&type_oid) {
            Some(found) if found.kind == 'e' => Written::Text,
            Some(found) if found.kind == 'd' => Written::As(found.base),
            Some(found) if found.kind == 'c' => Written::Row,
            Some(found) if found.kind == 'r' => Written::Range(found.bound),
            Some(found) if found.kind == 'b' && found.element != 0 => Written::Array(found.element),
            Some(_) | None => Written::Unknown,
        }
    }

    /// Whether values of these types, which a client can give to parameters, may run a function that nobody vouches for. Each
    /// is looked at once, however often it is given.
    pub fn runs_code_by(&self, types: &[u32], vouched: &Vouched) -> bool {
        let parts = self.parts_of(types.iter().copied().filter(|oid| *oid >= OWN_OIDS_END));
        let implied = parts.into_iter().filter_map(|oid| self.implied.get(&oid)).flatten();
        implied.into_iter().any(|implied| match self.functions.get(&implied.function) {
            Some(function) => !function.is_trusted() && !vouched.covers(function),
            None => true,
        })
    }

    /// `schema.name` of a relation, for messages to operators.
    pub fn relation_name(&self, oid: u32) -> Option<String> {
        self.relations.get(&oid).map(|r| format!("{}.{}", r.schema, r.name))
    }

    /// This one as it shows itself to the session that `own` was read through: with its temporary tables, which are as they
    /// were there. Not with its temporary views, whose definitions say names of relations that may have others by now, nor
    /// with what inherits. `None`: it has none.
    pub fn as_seen_by(&self, own: &Snapshot) -> Option<Snapshot> {
        let schema = own.temp_schema.as_ref()?;
        let tables = own.relations.values().filter(|relation| {
            relation.schema == *schema && relation.definition.is_none() && relation.parents.is_empty()
        });
        let types = own.types.values().filter(|found| found.schema == *schema);
        let mut seen = self.clone();
        seen.temp_schema = Some(schema.clone());
        for table in tables {
            seen.by_name.entry(schema.clone()).or_default().insert(table.name.clone(), table.oid);
            seen.relations.insert(table.oid, table.clone());
        }
        for found in types {
            seen.types_by_name.entry(found.name.clone()).or_default().push(found.oid);
            seen.types.insert(found.oid, found.clone());
        }
        Some(seen)
    }

    /// Makes the indexes of names, once everything is in.
    pub(crate) fn link(&mut self) {
        for relation in self.relations.values() {
            let schema = self.by_name.entry(relation.schema.clone()).or_default();
            schema.insert(relation.name.clone(), relation.oid);
        }
        for function in self.functions.values() {
            self.functions_by_name.entry(function.name.clone()).or_default().push(function.oid);
        }
        for found in self.types.values() {
            self.types_by_name.entry(found.name.clone()).or_default().push(found.oid);
        }
        self.imply();
    }

    /// What runs by casts and comparisons, by the types of users that they are of, and by what those hold.
    fn imply(&mut self) {
        let mut implied: ById<Vec<Implied>> = ById::new();
        let mut add = |types: BTreeSet<u32>, function: u32, when: char| {
            for key in types {
                implied.entry(key).or_default().push(Implied { function, when });
            }
        };
        let or_any = |types: BTreeSet<u32>| if types.is_empty() { BTreeSet::from([ANY_TYPE]) } else { types };
        let kind = |oid: u32| self.types.get(&oid).map(|found| found.kind);
        // Of a range the server makes it itself.
        let made = |cast: &Cast| kind(cast.source) == Some('r') && kind(cast.target) == Some('m');
        for cast in self.casts.iter().filter(|cast| cast.function >= OWN_OIDS_END && !made(cast)) {
            let (source, target) = (self.parts(cast.source), self.parts(cast.target));
            match target.is_empty() {
                true => add(or_any(source), cast.function, from_own(cast.context)),
                false => {
                    add(target, cast.function, cast.context);
                    add(source, cast.function, from_own(cast.context));
                }
            }
        }
        for class in &self.classes {
            add(or_any(self.parts(class.of)), class.function, 'i');
        }
        self.implied = implied;
    }

    /// A type and those that its values hold, as far as they are users' own.
    pub(crate) fn parts(&self, oid: u32) -> BTreeSet<u32> {
        self.parts_of([oid])
    }

    /// The same of several.
    fn parts_of(&self, types: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
        let (mut parts, mut ranges) = (BTreeSet::new(), false);
        let mut work: Vec<u32> = types.into_iter().collect();
        while let Some(oid) = work.pop() {
            let Some(found) = self.types.get(&oid).filter(|_| parts.insert(oid)) else { continue };
            work.extend([found.base, found.element, found.bound]);
            let row = self.relations.get(&found.row_of).map(|r| &r.columns);
            work.extend(row.into_iter().flatten().map(|column| column.type_oid));
            if found.kind == 'm' && !std::mem::replace(&mut ranges, true) {
                // The catalog does not say of which range.
                work.extend(self.types.values().filter(|t| t.kind == 'r').map(|t| t.oid));
            }
        }
        parts
    }

    /// Whether an operator that takes this type of a user's takes nothing of PostgreSQL's own types in its place: no cast
    /// makes one of the other.
    pub(crate) fn takes_no_other(&self, oid: u32) -> bool {
        let parts = self.parts(oid);
        let kind = self.types.get(&oid).map_or('p', |found| found.kind);
        !matches!(kind, 'd' | 'p')
            && !self.casts.iter().any(|c| c.context == 'i' && parts.contains(&c.target))
    }

    pub(crate) fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(self.by_name.get(schema)?.get(name)?)
    }

    /// Whether there is a function of this name, with whatever arguments.
    pub fn has_function(&self, schema: &str, name: &str) -> bool {
        self.functions_named(name).any(|function| function.schema == schema)
    }

    pub(crate) fn functions_named(&self, name: &str) -> impl Iterator<Item = &Function> {
        self.functions_by_name.get(name).into_iter().flatten().filter_map(|oid| self.functions.get(oid))
    }

    pub(crate) fn types_named(&self, name: &str) -> impl Iterator<Item = &Type> {
        self.types_by_name.get(name).into_iter().flatten().filter_map(|oid| self.types.get(oid))
    }
}

/// A condition and a limit take what an assignment takes: a value of the type is enough.
fn from_own(context: char) -> char {
    if context == 'a' { 'i' } else { context }
}

impl Function {
    /// Whether it may run unnamed. Extensions in C are trusted for that; they cannot run SQL of the client's choice.
    pub(crate) fn is_trusted(&self) -> bool {
        self.extension.is_some() && matches!(self.language.as_str(), "c" | "internal")
    }
}

impl Relation {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    pub(crate) fn column_at(&self, num: i16) -> Option<&Column> {
        self.columns.iter().find(|c| c.num == num)
    }

    /// The columns of the primary key, by name.
    pub(crate) fn primary_key(&self) -> Option<Vec<&Column>> {
        let (index, _) = self.indexes.iter().find(|(i, _)| i.primary && !i.computed)?;
        index.keys.iter().map(|num| self.column_at(*num)).collect()
    }

    pub(crate) fn is_system(&self) -> bool {
        matches!(self.schema.as_str(), "pg_catalog" | "information_schema")
    }
}
