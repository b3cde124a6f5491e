//! What is called: functions, operators, casts and types.

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::{Found, Sources, Walk, constant, join_sources, strings};
use crate::analysis::{Effect, FunctionKind, FunctionUse, Reason};
use crate::functions::{Builtin, Object, builtin};
use crate::rewrite::Site;
use crate::settings::{Setting, setting};
use crate::snapshot::Function;
use crate::tree::{Node, Tree};

/// What a name that is called may mean besides a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Function,
    /// `name(row)`: also a column of the row.
    Either,
    /// `row.name` where the row has no such column.
    Attribute,
}

impl<'a> Walk<'a> {
    pub(super) fn function(&mut self, f: &'a p::FuncCall, position: Position) -> Sources {
        let mut sources = Sources::new();
        for node in &f.args {
            join_sources(&mut sources, &self.expression(node, position));
        }
        for node in &f.agg_order {
            self.expression(node, Position::Sort);
        }
        if let Some(node) = &f.agg_filter {
            self.expression(node, Position::Predicate);
        }
        if let Some(window) = &f.over {
            join_sources(&mut sources, &self.walk(Tree::WindowDef(window), position));
        }
        let names = strings(&f.funcname);
        let (schema, name) = match names.as_slice() {
            [name] => (None, *name),
            // Words since 16, and before that names like others.
            ["pg_catalog", "json_object"] if self.snapshot.server < 16 => (None, "json_object"),
            ["pg_catalog", "system_user"] if self.snapshot.server < 16 => {
                self.reads_otherwise(&["system_user"], 16);
                return sources;
            }
            [schema, name] => (Some(*schema), *name),
            [database, schema, name] if *database == self.snapshot.database => (Some(*schema), *name),
            _ => {
                self.refuse_at("The gateway cannot resolve this function's name.", f.location);
                return sources;
            }
        };
        let notation =
            f.args.len() == 1 && f.over.is_none() && !f.agg_star && !f.agg_distinct && schema.is_none();
        self.function_named(schema, name, f.args.len(), if notation { Call::Either } else { Call::Function });
        if matches!(schema, None | Some("pg_catalog")) {
            self.special(name, f);
        }
        sources
    }

    pub(super) fn function_name(&mut self, names: &'a [Node]) {
        match strings(names).as_slice() {
            // The sampling methods of PostgreSQL's own.
            ["system" | "bernoulli"] | ["pg_catalog", "system" | "bernoulli"] => {}
            [name] => self.function_named(None, name, 1, Call::Function),
            [schema, name] => self.function_named(Some(schema), name, 1, Call::Function),
            _ => self.unknown_node(),
        }
    }

    /// Every function that a call by this name could run.
    pub(super) fn function_named(&mut self, schema: Option<&str>, name: &str, arguments: usize, call: Call) {
        self.may_cast(name, arguments);
        self.called.insert(name.to_owned());
        let path = self.search_path();
        let arity = u16::try_from(arguments).unwrap_or(u16::MAX);
        let visible = |f: &&Function| match schema {
            Some("pg_temp") => f.schema.starts_with("pg_temp"),
            Some(schema) => f.schema == schema,
            None => path.contains(&f.schema.as_str()) || f.schema == "pg_catalog",
        };
        let snapshot = self.snapshot;
        let mut found = false;
        for function in snapshot.functions_named(name).filter(visible) {
            if arity >= function.args_min && arity <= function.args_max {
                found = true;
                self.runs_own(function);
            }
        }
        if matches!(schema, None | Some("pg_catalog")) {
            match builtin(name) {
                Some(what) => {
                    found = true;
                    self.runs_builtin(what, name);
                }
                None if schema.is_some() || snapshot.builtins.contains(name) => {
                    found = true;
                    self.opaque(
                        "The statement calls a function of PostgreSQL that is not on the gateway's list.",
                    );
                    self.list_builtin(name, FunctionKind::Unknown);
                }
                None => {}
            }
        }
        // A type's name called like a function is a cast.
        let types: Vec<u32> = snapshot
            .types_named(name)
            .filter(|t| schema.is_none_or(|s| s == t.schema))
            .map(|t| t.oid)
            .collect();
        for oid in types {
            found = true;
            self.type_used(oid);
        }
        // No function has this name: then it can only be a column of the row that is the argument, or an error.
        let known = match call {
            Call::Function => false,
            Call::Either => self.names_a_column(name),
            Call::Attribute => true,
        };
        if !found && !known {
            self.unresolved = true;
            self.opaque("The statement calls a function that does not exist.");
            self.list_builtin(name, FunctionKind::Unknown);
        }
    }

    fn names_a_column(&self, name: &str) -> bool {
        let items = || self.scopes.iter().flat_map(|s| &s.items);
        items().any(|i| i.out.columns.iter().any(|c| c.name == name))
            || self.snapshot.relations.values().any(|r| !r.is_system() && r.column(name).is_some())
    }

    /// A function outside `pg_catalog`, or put there later.
    fn runs_own(&mut self, function: &'a Function) {
        self.meets_types_of(function);
        // initdb's own: information_schema's helpers, written in SQL over their arguments.
        if function.oid < 16_384 && function.schema == "information_schema" {
            return;
        }
        // As one of PostgreSQL's own that only reads its arguments, whose name it most often has.
        if function.volatility == 'i' && self.vouched.covers_extension(function) {
            return;
        }
        self.runs_function(function, None);
    }

    fn runs_builtin(&mut self, what: Builtin, name: &str) {
        match what {
            Builtin::Pure | Builtin::Definition(_) => {}
            Builtin::Volatile | Builtin::Setting | Builtin::Sequence => self.volatile = true,
            Builtin::Known | Builtin::Administer => {
                self.volatile = true;
                let verb = if what == Builtin::Known { Verb::Execute } else { Verb::Administer };
                let path = self.database.join("pg_catalog").join(name);
                self.other(verb, path);
                self.list_builtin(name, FunctionKind::Known);
            }
        }
    }

    fn list_builtin(&mut self, name: &str, kind: FunctionKind) {
        self.volatile = true;
        self.functions.insert(FunctionUse {
            schema: "pg_catalog".into(),
            name: name.into(),
            kind,
            volatility: 'v',
            owner: String::new(),
            security_definer: false,
        });
    }

    /// Functions of PostgreSQL's own whose arguments say what they do.
    fn special(&mut self, name: &str, f: &'a p::FuncCall) {
        match builtin(name) {
            Some(Builtin::Definition(definition)) => self.definition(definition.of, f),
            Some(Builtin::Sequence) => self.sequence(f),
            Some(Builtin::Volatile) if name == "currval" => {
                if let Found::Relation(relation) = self.sequence_named(f) {
                    self.touch(Verb::Read, relation);
                }
            }
            Some(Builtin::Setting) if name == "set_config" => self.set_config(f),
            _ if name == "pg_notify" => {
                let channel = f.args.first().and_then(|node| self.words(node)).unwrap_or_default();
                self.effects.push(Effect::Notify { channel });
            }
            _ => {}
        }
    }

    /// The definition of an object over governed columns comes back as NULL.
    fn definition(&mut self, of: Object, f: &'a p::FuncCall) {
        if self.governed.is_empty() || of == Object::Expression {
            return;
        }
        let named = |n: &Node| matches!(Tree::of(n), Some(Tree::NamedArgExpr(_)));
        if f.func_variadic || f.args.iter().any(named) {
            return self.refuse_at("Arguments of this function must be given in order.", f.location);
        }
        match self.statement.first_argument(f.location) {
            Some(range) => self.sites.push(Site::Unless { call: f.location as usize, range, of }),
            None => self.refuse_at("The gateway cannot find this call in the statement's text.", f.location),
        }
    }

    fn sequence(&mut self, f: &'a p::FuncCall) {
        self.writes = true;
        match self.sequence_named(f) {
            Found::Relation(relation) => self.touch(Verb::Write, relation),
            Found::Temp(_) => {}
            _ => self.opaque("The statement writes a sequence that the gateway cannot name."),
        }
    }

    /// The sequence that the first argument names, if it is a constant.
    fn sequence_named(&self, f: &'a p::FuncCall) -> Found<'a> {
        let name = f.args.first().and_then(|node| match Tree::of(node)? {
            Tree::TypeCast(cast) if self.casts_to(cast, "regclass") => self.words(cast.arg.as_deref()?),
            _ => self.words(node),
        });
        let parts: Option<Vec<String>> = name.as_deref().and_then(split_identifier);
        match parts.as_deref() {
            Some([name]) => self.lookup("", name),
            Some([schema, name]) => self.lookup(schema, name),
            _ => Found::Nothing,
        }
    }

    /// A constant's text, as it is and with casts that leave it so: those of a text to `text` and `varchar`. Others change
    /// it: `'1'::numeric(2,-1)` is 0.
    fn words(&self, node: &'a Node) -> Option<String> {
        let Tree::TypeCast(cast) = Tree::of(node)? else { return constant(node) };
        let inner = cast.arg.as_deref()?;
        let is_text = match Tree::of(inner)? {
            Tree::AConst(c) => matches!(c.val, Some(p::a_const::Val::Sval(_))),
            Tree::TypeCast(_) => true,
            _ => false,
        };
        let leaves = self.casts_to(cast, "text") || self.casts_to(cast, "varchar");
        (is_text && leaves).then(|| self.words(inner)).flatten()
    }

    /// Whether it casts to this type of PostgreSQL's own, without a length.
    fn casts_to(&self, cast: &p::TypeCast, own: &str) -> bool {
        let Some(name) = &cast.type_name else { return false };
        let plain = name.typmods.is_empty() && name.array_bounds.is_empty() && !name.setof;
        plain
            && match strings(&name.names)[..] {
                ["pg_catalog", last] => last == own,
                [last] => last == own && self.snapshot.types_named(own).next().is_none(),
                _ => false,
            }
    }

    fn set_config(&mut self, f: &'a p::FuncCall) {
        // It may be the one by which names are read.
        let unknown = || Effect::Set { name: "search_path".to_owned(), value: None, local: false };
        let [name, value, local] = f.args.as_slice() else {
            self.effects.push(unknown());
            return self.opaque("The statement changes a setting in a way that the gateway cannot read.");
        };
        let local = match self.words(local).as_deref() {
            Some("true" | "t" | "on" | "1") => Some(true),
            Some("false" | "f" | "off" | "0") => Some(false),
            _ => None,
        };
        let (Some(name), Some(local)) = (self.words(name), local) else {
            self.effects.push(unknown());
            return self.opaque("The statement changes a setting that the gateway cannot name.");
        };
        let value = self.words(value);
        if value.is_none() && name.eq_ignore_ascii_case("search_path") {
            self.opaque("The statement sets search_path to a value that the gateway cannot read.");
        }
        self.sets(&name, value.as_deref(), false);
        self.effects.push(Effect::Set { name: name.to_ascii_lowercase(), value, local });
    }

    /// What changing a setting needs.
    pub(super) fn sets(&mut self, name: &str, value: Option<&str>, to_default: bool) {
        match setting(name, value, to_default) {
            Setting::Planner if !self.governed.is_empty() => {
                let path = self.database.join("settings").join(&name.to_ascii_lowercase());
                self.other(Verb::Administer, path);
            }
            Setting::Free | Setting::Planner => {}
            Setting::Custom => {
                let path = self.database.join("settings").join(&name.to_ascii_lowercase());
                self.other(Verb::Execute, path);
            }
            Setting::Pinned => {
                self.refuse(Reason::refused(
                    "The gateway needs this setting as it is, to read the session's statements.",
                ));
            }
            Setting::Role => self.opaque("The statement changes the session's role."),
            Setting::Unknown => {
                self.opaque("The statement changes a setting that is not on the gateway's list.")
            }
        }
    }

    /// Code behind an operator, cast or domain.
    pub(super) fn runs_implicitly(&mut self, oid: u32) {
        match self.snapshot.functions.get(&oid) {
            // PostgreSQL's own.
            None if oid < 16_384 => {}
            Some(function) if function.is_trusted() => {}
            _ => self.runs(oid, None),
        }
    }
}

/// `app."My Seq"` into its parts, as regclass reads it.
fn split_identifier(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            (quoted[..end].to_owned(), &quoted[end + 1..])
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (rest[..end].to_ascii_lowercase(), &rest[end..])
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}
