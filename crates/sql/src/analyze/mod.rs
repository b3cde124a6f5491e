//! From a tree to what it does.
//!
//! One walk in the order of the grammar. `query` reads SELECT with scopes of names, `expression` its leaves, `write` the
//! statements that change rows, `session` those that change the session, `define` those that change the catalog. Every
//! node is walked by an explicit arm or through [`Tree::each`]; a kind that has no arm refuses the statement.

mod copy;
mod define;
mod expression;
mod from;
mod function;
mod group;
mod locks;
mod query;
mod session;
mod target;
mod types;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf as p;
use vocab::{Access, Action, ColumnUse, Opaque, Position, ResourcePath, Verb};

use crate::analysis::{
    Analysis, ByName, Carried, CopyType, Effect, FunctionKind, FunctionUse, GovernedUse, Reason,
};
use crate::governed::{CANNOT_EXPAND, Cover, Governed};
use crate::limits::{LOOKS_MAX, RELATIONS_MAX};
use crate::names::{Names, TempRelation, Vouched};
use crate::relations::{System, TELLING, Telling, system};
use crate::rewrite::Site;
use crate::snapshot::{Function, Relation, Snapshot};
use crate::statement::{Statement, with_stack};
use crate::tree::{Node, Tree};

use query::{Cte, Out, Scope};

/// The base columns that a value derives from.
pub(crate) type Sources = Vec<(u32, i16)>;

/// What `statement` does. `root` is the resource's path; names are resolved as the server would in a session with
/// `names`. Never fails: what is not understood is opaque or refused.
pub fn analyze(
    statement: &Statement,
    snapshot: &Snapshot,
    governed: &Governed,
    names: &Names,
    vouched: &Vouched,
    root: &ResourcePath,
) -> Analysis {
    let work = || {
        let mut walk = Walk::new(statement, snapshot, governed, names, vouched, root);
        walk.statement(statement.tree());
        walk.finish()
    };
    with_stack(statement.depth(), work).unwrap_or_else(|| Analysis {
        action: Action {
            kind: statement.kind(),
            opaque: Some(Opaque("The gateway could not read it.")),
            ..Action::default()
        },
        refuse: Some(Reason::refused("The gateway could not read this statement.")),
        ..Analysis::default()
    })
}

/// A view's body as pg_get_viewdef gives it, resolved without a search path, with the sources of each output column.
/// `None` if they cannot be told apart.
pub(crate) fn analyze_view(
    statement: &Statement,
    snapshot: &Snapshot,
    governed: &Governed,
) -> Option<(Analysis, Vec<Sources>)> {
    let names = Names { database: snapshot.database.clone(), ..Names::default() };
    let (vouched, root) = (Vouched::default(), ResourcePath::root("view"));
    let work = || {
        let mut walk = Walk::new(statement, snapshot, governed, &names, &vouched, &root);
        let Tree::SelectStmt(select) = statement.tree() else { return None };
        let out = walk.select(select, Position::Output);
        let sources = (!out.open).then(|| out.columns.into_iter().map(|c| c.sources).collect());
        let analysis = walk.finish();
        Some((analysis, sources?))
    };
    with_stack(statement.depth(), work).flatten()
}

/// The part of a DML statement that is being walked; it decides what a governed column of the target may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not inside DML on a governed relation.
    Plain,
    Predicate,
    /// A condition of MERGE or ON CONFLICT, in which the mask stands in a column's place.
    Condition,
    /// A value that is written, or a condition that cannot be masked.
    Value,
    /// `scope`: how many scopes are open at the RETURNING list itself.
    Returning {
        scope: usize,
    },
}

/// A governed column of a DML target, met in one of its clauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hit {
    phase: Phase,
    scope: usize,
    at: usize,
    what: Met,
    /// A nearer item of FROM has the target's alias: a mask in this place would mean that one.
    shadowed: bool,
}

/// What of a DML target was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Column((u32, i16)),
    /// The whole row, by its alias.
    Row,
    /// A star, a field of the row, or a name that could not be resolved.
    Other,
}

/// A column of a masked relation, met in a scope: what GROUP BY and system columns need to know.
#[derive(Clone, Copy, Debug)]
struct Shown<'a> {
    scope: usize,
    site: usize,
    /// `None`: all of them.
    name: Option<&'a str>,
}

struct Walk<'a> {
    statement: &'a Statement,
    snapshot: &'a Snapshot,
    governed: &'a Governed,
    names: &'a Names,
    vouched: &'a Vouched,
    database: ResourcePath,
    scopes: Vec<Scope<'a>>,
    ctes: Vec<Cte<'a>>,
    phase: Phase,
    hits: Vec<Hit>,
    shown: Vec<Shown<'a>>,
    /// Among how many columns names were looked for.
    looks: usize,
    /// Of a masked relation, by its site: the system columns that are named.
    system: BTreeMap<usize, BTreeSet<&'static str>>,
    /// (verb, relation) -> columns.
    uses: BTreeMap<(Verb, u32), BTreeSet<(i16, Position)>>,
    /// Accesses on what is not a relation of the snapshot.
    others: BTreeMap<(Verb, ResourcePath), BTreeSet<ColumnUse>>,
    functions: BTreeSet<FunctionUse>,
    /// The names of functions that the text itself calls.
    called: BTreeSet<String>,
    effects: Vec<Effect>,
    sites: Vec<Site>,
    redefines: Vec<ResourcePath>,
    opaque: Option<&'static str>,
    refuse: Option<Reason>,
    unresolved: bool,
    volatile: bool,
    locks: bool,
    writes: bool,
    user_code: bool,
    executes: bool,
    by_name: Option<ByName>,
    carried: Option<Carried>,
    copied: Vec<Option<CopyType>>,
    relations: usize,
    met: types::Met,
}

impl<'a> Walk<'a> {
    fn new(
        statement: &'a Statement,
        snapshot: &'a Snapshot,
        governed: &'a Governed,
        names: &'a Names,
        vouched: &'a Vouched,
        root: &ResourcePath,
    ) -> Walk<'a> {
        let database =
            root.join(if names.database.is_empty() { &snapshot.database } else { &names.database });
        Walk {
            statement,
            snapshot,
            governed,
            names,
            vouched,
            database,
            scopes: Vec::new(),
            ctes: Vec::new(),
            phase: Phase::Plain,
            hits: Vec::new(),
            shown: Vec::new(),
            looks: 0,
            system: BTreeMap::new(),
            uses: BTreeMap::new(),
            others: BTreeMap::new(),
            functions: BTreeSet::new(),
            called: BTreeSet::new(),
            effects: Vec::new(),
            sites: Vec::new(),
            redefines: Vec::new(),
            opaque: None,
            refuse: None,
            unresolved: false,
            volatile: false,
            locks: false,
            writes: false,
            user_code: false,
            executes: false,
            by_name: None,
            carried: None,
            copied: Vec::new(),
            relations: 0,
            met: types::Met::default(),
        }
    }

    fn statement(&mut self, tree: Tree<'a>) {
        match tree {
            Tree::SelectStmt(select) => {
                if let Some(into) = &select.into_clause {
                    self.creates_from_query(into);
                }
                self.select(select, Position::Output);
            }
            Tree::InsertStmt(s) => drop(self.insert(s)),
            Tree::UpdateStmt(s) => drop(self.update(s)),
            Tree::DeleteStmt(s) => drop(self.delete(s)),
            Tree::MergeStmt(s) => drop(self.merge(s)),
            Tree::CopyStmt(s) => self.copy(s),
            other => {
                if !self.session(other) && !self.define(other) {
                    self.opaque("The gateway does not know this statement.");
                }
            }
        }
    }

    // What was found.

    fn opaque(&mut self, sentence: &'static str) {
        self.opaque.get_or_insert(sentence);
    }

    fn refuse(&mut self, reason: Reason) {
        self.refuse.get_or_insert(reason);
    }

    fn refuse_at(&mut self, sentence: &'static str, at: i32) {
        let at = usize::try_from(at).ok().and_then(|at| at.checked_sub(self.statement.offset()));
        self.refuse(Reason { at, ..Reason::refused(sentence) });
    }

    fn unknown_node(&mut self) {
        self.refuse(Reason::refused("The statement uses a form that the gateway does not know."));
    }

    /// Whether another name may be looked for among the columns in sight: a text of 1 MiB can have enough names and columns
    /// for hours.
    fn may_look(&mut self) -> bool {
        let of = |scope: &Scope<'_>| {
            let items: usize = scope.items.iter().map(|item| item.out.columns.len() + 1).sum();
            items + scope.visible.columns.len()
        };
        if self.looks < LOOKS_MAX {
            self.looks += self.scopes.iter().map(of).sum::<usize>() + 1;
            return true;
        }
        self.refuse(Reason {
            code: "54001",
            ..Reason::refused("The statement has too many names and columns for the gateway.")
        });
        false
    }

    fn touch(&mut self, verb: Verb, relation: &Relation) {
        self.uses.entry((verb, relation.oid)).or_default();
    }

    fn use_column(&mut self, verb: Verb, (oid, num): (u32, i16), position: Position) {
        self.uses.entry((verb, oid)).or_default().insert((num, position));
    }

    fn use_sources(&mut self, sources: &[(u32, i16)], position: Position) {
        for source in sources {
            self.use_column(Verb::Read, *source, position);
        }
    }

    fn other(&mut self, verb: Verb, path: ResourcePath) {
        self.others.entry((verb, path)).or_default();
    }

    fn path(&self, relation: &Relation) -> ResourcePath {
        let schema = if Some(&relation.schema) == self.snapshot.temp_schema.as_ref() {
            "pg_temp"
        } else {
            &relation.schema
        };
        self.database.join(schema).join(&relation.name)
    }

    // Names.

    /// Looks a relation up as the server would. `ctes`: whether WITH names count here.
    fn resolve(&mut self, name: &'a p::RangeVar, ctes: bool) -> Found<'a> {
        if !name.catalogname.is_empty() && name.catalogname != self.snapshot.database {
            self.refuse_at("Relations of other databases cannot be named.", name.location);
            return Found::Nothing;
        }
        if name.schemaname.is_empty() && ctes {
            if let Some(i) = self.ctes.iter().rposition(|c| c.name == name.relname) {
                return Found::Cte(i);
            }
        }
        let found = self.lookup(&name.schemaname, &name.relname);
        if matches!(found, Found::Nothing) {
            self.unresolved = true;
        }
        found
    }

    fn lookup(&self, schema: &str, name: &str) -> Found<'a> {
        let temp = || -> Option<Found<'a>> {
            if let Some(t) = self.names.temp.iter().find(|t| t.name == name) {
                return Some(Found::Temp(t));
            }
            let schema = self.snapshot.temp_schema.as_deref()?;
            self.snapshot.relation(schema, name).map(Found::Relation)
        };
        let plain = |schema: &str| self.snapshot.relation(schema, name).map(Found::Relation);
        let found = match schema {
            "" => self.search_path().into_iter().find_map(|s| if s == "pg_temp" { temp() } else { plain(s) }),
            "pg_temp" => temp(),
            _ => plain(schema),
        };
        found.unwrap_or(Found::Nothing)
    }

    /// The effective path: `pg_temp` and `pg_catalog` come first unless they are listed.
    /// A server that is asked for the path gives the temporary schema its real name, `pg_temp_3`.
    fn search_path(&self) -> Vec<&'a str> {
        let names = self.names;
        let shown = |s: &'a String| if s.starts_with("pg_temp_") { "pg_temp" } else { s.as_str() };
        let listed = |name: &str| names.search_path.iter().any(|s| shown(s) == name);
        let implicit = ["pg_temp", "pg_catalog"].into_iter().filter(|name| !listed(name));
        implicit.chain(names.search_path.iter().map(shown)).collect()
    }

    /// A relation that is read: its access, what it runs, and what must happen to its text.
    fn reads(
        &mut self,
        relation: &'a Relation,
        name: &'a p::RangeVar,
        sample: Option<&'a p::RangeTableSample>,
    ) {
        self.relations += 1;
        if self.relations > RELATIONS_MAX {
            self.refuse(Reason {
                code: "54001",
                ..Reason::refused("The statement names too many relations.")
            });
        }
        if !matches!(relation.kind, 'r' | 'p' | 'm' | 'f' | 'v' | 'S') {
            self.refuse_at("This name does not stand for a table or view.", name.location);
        }
        self.touch(Verb::Read, relation);
        if relation.schema == "pg_catalog" {
            self.reads_system(relation, name);
        }
        if relation.schema == "information_schema" || relation.schema == "pg_catalog" {
            if TELLING.iter().any(|t| t.relation == relation.name && t.schema == relation.schema) {
                self.site_of(relation, name, sample, true);
            }
            return;
        }
        self.policies(relation, 0);
        self.reads_below(relation, 0);
        match self.governed.cover(relation.oid) {
            None => self.qualify_if_shadowing(relation, name),
            Some(Cover::Broken) => self.refuse(CANNOT_EXPAND),
            Some(Cover::View(body)) => {
                self.inherit_from(&body.analysis);
                self.site_of(relation, name, sample, false);
            }
            Some(Cover::Columns(_)) => self.site_of(relation, name, sample, false),
        }
    }

    fn reads_system(&mut self, relation: &Relation, name: &p::RangeVar) {
        match system(&relation.name) {
            System::Open => {}
            System::Administer => self.touch(Verb::Administer, relation),
            System::Values => {
                self.touch(Verb::Administer, relation);
                if !self.governed.is_empty() {
                    self.refuse_at("This system relation may show governed values.", name.location);
                }
            }
        }
    }

    /// Whether views, rules and policies are followed so deep. What is not followed is refused.
    fn follows(&mut self, depth: usize) -> bool {
        let follows = depth < crate::limits::VIEW_DEPTH_MAX;
        if !follows {
            self.refuse(Reason::refused("A view, rule or policy in it stands on too many others."));
        }
        follows
    }

    /// Row security reads other relations, in the rights of whoever asks.
    fn policies(&mut self, relation: &'a Relation, depth: usize) {
        let snapshot = self.snapshot;
        for read in relation.policy_reads.iter().filter_map(|oid| snapshot.relations.get(oid)) {
            let seen = self.uses.contains_key(&(Verb::Read, read.oid));
            self.touch(Verb::Read, read);
            if !seen && self.follows(depth) {
                self.policies(read, depth + 1);
                self.reads_below(read, depth + 1);
            }
        }
    }

    /// What a view reads below itself, and the user code that reading runs.
    fn reads_below(&mut self, relation: &'a Relation, depth: usize) {
        for oid in &relation.read_functions {
            self.runs(*oid, None);
        }
        if relation.definition.as_deref().is_some_and(|text| relation.kind == 'v' && sets_in(text)) {
            self.opaque("The statement reads a view that changes a setting.");
        }
        if relation.kind != 'v' || !self.follows(depth) {
            return;
        }
        for (oid, num) in &relation.depends {
            let Some(below) = self.snapshot.relations.get(oid) else { continue };
            let seen = self.uses.contains_key(&(Verb::Read, *oid));
            self.touch(Verb::Read, below);
            if !seen {
                self.policies(below, depth);
            }
            if *num > 0 {
                self.use_column(Verb::Read, (*oid, *num), Position::Output);
            }
            if below.schema == "pg_catalog" && system(&below.name) != System::Open {
                self.touch(Verb::Administer, below);
                if system(&below.name) == System::Values && !self.governed.is_empty() {
                    self.refuse(Reason::refused(
                        "A view reads a system relation that may show governed values.",
                    ));
                }
            }
            if !seen {
                self.reads_below(below, depth + 1);
            }
        }
    }

    /// The findings of a view's body are findings of the statement that reads it.
    fn inherit_from(&mut self, body: &Analysis) {
        self.functions.extend(body.functions.iter().cloned());
        self.volatile |= !body.pure_read;
        self.user_code |= body.user_code;
        if let Some(opaque) = body.action.opaque {
            self.opaque(opaque.0);
        }
        if let Some(reason) = body.refuse {
            self.refuse(Reason { at: None, ..reason });
        }
    }

    /// A name that a governed relation has too is sent qualified, so that the server cannot find the other one.
    fn qualify_if_shadowing(&mut self, relation: &Relation, name: &p::RangeVar) {
        if name.schemaname.is_empty() && self.governed.names.contains(&relation.name) {
            let schema = if relation.temporary { "pg_temp" } else { &relation.schema };
            self.qualify(schema, name);
        }
    }

    fn qualify(&mut self, schema: &str, name: &p::RangeVar) {
        match usize::try_from(name.location) {
            Ok(at) => self.sites.push(Site::Qualify { at, schema: schema.to_owned() }),
            Err(_) => self.unknown_node(),
        }
    }

    fn site_of(
        &mut self,
        relation: &'a Relation,
        name: &'a p::RangeVar,
        sample: Option<&'a p::RangeTableSample>,
        telling: bool,
    ) {
        let Some(place) = self.statement.relation_place(name) else {
            return self
                .refuse_at("The gateway cannot find this relation in the statement's text.", name.location);
        };
        let sample = match sample {
            None => None,
            Some(s) => match self.statement.sample_place(s) {
                Some(range) => Some(range),
                None => {
                    return self.refuse_at(
                        "The gateway cannot find this sample in the statement's text.",
                        s.location,
                    );
                }
            },
        };
        let known_as = name.alias.as_ref().map(|alias| alias.aliasname.clone());
        let alias = known_as.is_none().then(|| name.relname.clone());
        let system = Vec::new();
        self.sites.push(Site::Relation {
            place,
            oid: relation.oid,
            only: !name.inh,
            alias,
            known_as,
            sample,
            telling,
            system,
        });
    }

    // User code.

    /// A user's or extension's function may run. `kind`: `None` to find out whether it is vouched for.
    fn runs(&mut self, oid: u32, kind: Option<FunctionKind>) {
        match self.snapshot.functions.get(&oid) {
            Some(function) => self.runs_function(function, kind),
            None => self.opaque("The statement may run a function that the catalog does not know."),
        }
    }

    fn runs_function(&mut self, function: &'a Function, kind: Option<FunctionKind>) {
        self.volatile = true;
        self.user_code = true;
        let vouched = self.vouched.covers(function);
        let kind = kind.unwrap_or(if vouched { FunctionKind::Vouched } else { FunctionKind::Unknown });
        match kind {
            FunctionKind::Unknown => self.opaque("The statement may run a function that nobody vouches for."),
            FunctionKind::Vouched => {
                let path = self.database.join(&function.schema).join(&function.name);
                self.other(Verb::Execute, path);
            }
            FunctionKind::Trigger | FunctionKind::Known => {}
        }
        self.functions.insert(FunctionUse {
            schema: function.schema.clone(),
            name: function.name.clone(),
            kind,
            volatility: function.volatility,
            owner: function.owner.clone(),
            security_definer: function.security_definer,
        });
    }

    // The result.

    fn finish(mut self) -> Analysis {
        self.runs_for_types();
        self.give_system_columns();
        self.keep_telling_sites();
        self.may_set();
        let governed = self.governed_uses();
        let mut accesses = self.accesses();
        if accesses.is_empty() {
            accesses.push(Access { verb: Verb::Connect, on: self.database.clone(), columns: Vec::new() });
        }
        let functions: Vec<FunctionUse> = self.functions.into_iter().collect();
        let mut names: Vec<Box<str>> =
            functions.iter().map(|f| format!("{}.{}", f.schema, f.name).into()).collect();
        names.dedup();
        let writes = self.writes;
        let unknown = |f: &&FunctionUse| f.kind == FunctionKind::Unknown && self.called.contains(&f.name);
        let mut unknown_calls: Vec<String> =
            functions.iter().filter(unknown).map(|f| f.name.clone()).collect();
        unknown_calls.sort();
        unknown_calls.dedup();
        let defines = |e: &Effect| matches!(e, Effect::Ddl { .. } | Effect::CreatesTemp { .. });
        let locks = writes
            || self.locks
            || self.user_code
            || self.opaque.is_some()
            || self.effects.iter().any(defines)
            || names.iter().any(|name| name.contains("advisory"));
        let session_locks = locks::of_session(self.statement.tree(), &functions, &self.effects);
        let pure_read = matches!(self.statement.tree(), Tree::SelectStmt(_) | Tree::CopyStmt(_))
            && !(writes || self.volatile || self.locks || self.executes)
            && self.opaque.is_none()
            && self.effects.iter().all(|e| *e == Effect::CopyOut);
        Analysis {
            action: Action {
                accesses,
                functions: names,
                kind: self.statement.kind(),
                opaque: self.opaque.map(Opaque),
            },
            governed,
            functions,
            effects: self.effects,
            pure_read,
            user_code: self.user_code,
            refuse: self.refuse,
            unresolved: self.unresolved,
            redefines: self.redefines,
            unknown_calls,
            parameters: self.statement.parameters(),
            locks,
            session_locks,
            writes,
            by_name: self.by_name,
            carried: self.carried,
            copied: self.copied,
            sites: self.sites,
        }
    }

    /// What cannot be known may change by what names are read. Nor is it known who runs what a definition keeps, and when.
    fn may_set(&mut self) {
        let keeps = matches!(
            self.statement.tree(),
            Tree::CreateStmt(_)
                | Tree::AlterTableStmt(_)
                | Tree::ViewStmt(_)
                | Tree::CreateDomainStmt(_)
                | Tree::AlterDomainStmt(_)
                | Tree::CreateSchemaStmt(_)
                | Tree::CreateForeignTableStmt(_)
        );
        if keeps && self.effects.iter().any(|e| matches!(e, Effect::Set { .. })) {
            self.opaque("The statement defines what changes a setting.");
        }
        let sets = |e: &Effect| matches!(e, Effect::Set { name, .. } if name == "search_path");
        if self.opaque.is_some() && !self.effects.iter().any(sets) {
            self.effects.push(Effect::Set { name: "search_path".to_owned(), value: None, local: false });
        }
    }

    /// A sub-select has no system columns of its own: it gives those that are named, unless all its columns are too.
    fn give_system_columns(&mut self) {
        let system = std::mem::take(&mut self.system);
        if system.is_empty() {
            return;
        }
        let whole: BTreeSet<usize> = self.shown.iter().filter(|s| s.name.is_none()).map(|s| s.site).collect();
        for (site, columns) in system {
            if whole.contains(&site) {
                self.refuse(Reason {
                    code: "0A000",
                    ..Reason::refused(
                        "A system column of a relation with governed columns cannot be read beside all its columns: name them.",
                    )
                });
            } else if let Some(Site::Relation { system, .. }) = self.sites.get_mut(site) {
                system.extend(columns);
            }
        }
    }

    /// System relations are rewritten only where a telling column of them is used, and only while something is governed.
    fn keep_telling_sites(&mut self) {
        let used = |t: &Telling, relation: &Relation| {
            let column = relation.column(t.column);
            let mut positions = self.uses.get(&(Verb::Read, relation.oid)).into_iter().flatten();
            column.is_some_and(|c| positions.any(|(num, _)| *num == c.num))
        };
        let relations = &self.snapshot.relations;
        let governed = !self.governed.is_empty();
        let before = self.sites.len();
        self.sites.retain(|site| match site {
            Site::Relation { oid, telling: true, .. } => relations.get(oid).is_some_and(|relation| {
                let mut own =
                    TELLING.iter().filter(|t| t.relation == relation.name && t.schema == relation.schema);
                governed && own.any(|t| used(t, relation))
            }),
            _ => true,
        });
        // Where no relation becomes a sub-select, its columns keep their schema, and the statement its own text.
        let dropped = self.sites.len() < before;
        if dropped && !self.sites.iter().any(|site| matches!(site, Site::Relation { .. })) {
            self.sites.retain(|site| !matches!(site, Site::Unqualify { .. }));
        }
    }

    fn governed_uses(&self) -> Vec<GovernedUse> {
        let mut found: BTreeMap<(u32, i16), BTreeSet<Position>> = BTreeMap::new();
        for ((_, oid), columns) in &self.uses {
            for (num, position) in columns {
                if self.governed.mask(*oid, *num).is_some() {
                    found.entry((*oid, *num)).or_default().insert(*position);
                }
            }
        }
        let describe = |((oid, num), positions): ((u32, i16), BTreeSet<Position>)| {
            let relation = self.snapshot.relations.get(&oid)?;
            let mask = self.governed.mask(oid, num)?;
            Some(GovernedUse {
                path: self.path(relation).join(&relation.column_at(num)?.name),
                relation: oid,
                attnum: num,
                class: mask.class.clone(),
                kind: mask.kind.clone(),
                positions: positions.into_iter().collect(),
            })
        };
        found.into_iter().filter_map(describe).collect()
    }

    fn accesses(&mut self) -> Vec<Access> {
        let mut accesses: Vec<Access> = Vec::new();
        for ((verb, oid), columns) in &self.uses {
            let Some(relation) = self.snapshot.relations.get(oid) else { continue };
            let named = columns.iter().filter_map(|(num, position)| {
                let column = relation.column_at(*num)?.name.as_str().into();
                Some(ColumnUse { column, position: *position })
            });
            let columns: BTreeSet<ColumnUse> = named.collect();
            accesses.push(Access {
                verb: *verb,
                on: self.path(relation),
                columns: columns.into_iter().collect(),
            });
        }
        for ((verb, on), columns) in std::mem::take(&mut self.others) {
            accesses.push(Access { verb, on, columns: columns.into_iter().collect() });
        }
        accesses.sort();
        accesses
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Found<'a> {
    Cte(usize),
    Temp(&'a TempRelation),
    Relation(&'a Relation),
    Nothing,
}

/// The strings of a list of names.
/// Whether a definition, as the server prints it, calls `set_config`.
fn sets_in(definition: &str) -> bool {
    definition.contains("set_config(")
}

fn strings(list: &[Node]) -> Vec<&str> {
    list.iter().filter_map(Tree::of).filter_map(string).collect()
}

fn string(tree: Tree<'_>) -> Option<&str> {
    match tree {
        Tree::String(s) => Some(&s.sval),
        _ => None,
    }
}

/// A constant as text: a string, number or boolean. What a cast makes of one only the server knows.
fn constant(node: &Node) -> Option<String> {
    match Tree::of(node)? {
        Tree::AConst(c) => Some(match c.val.as_ref()? {
            p::a_const::Val::Sval(s) => s.sval.clone(),
            p::a_const::Val::Ival(i) => i.ival.to_string(),
            p::a_const::Val::Fval(f) => f.fval.clone(),
            p::a_const::Val::Boolval(b) => b.boolval.to_string(),
            p::a_const::Val::Bsval(_) => return None,
        }),
        _ => None,
    }
}

fn join_sources(into: &mut Sources, from: &[(u32, i16)]) {
    for source in from {
        if !into.contains(source) {
            into.push(*source);
        }
    }
}

/// The output of a statement that has none.
fn nothing<'a>() -> Out<'a> {
    Out::default()
}
