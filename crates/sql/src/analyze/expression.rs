//! The leaves: columns, functions, operators, types.

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::query::{Col, Item, Out, Role};
use super::{Hit, Phase, Sources, Walk, constant, join_sources, string, strings};
use crate::analysis::{Effect, FunctionKind, FunctionUse, Reason};
use crate::functions::{Builtin, Object, builtin};
use crate::rewrite::Site;
use crate::settings::{Setting, setting};
use crate::snapshot::Function;
use crate::tree::{Node, Tree};

/// Columns that every table has and that no list shows.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// What a name that is called may mean besides a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Function,
    /// `name(row)`: also a column of the row.
    Either,
    /// `row.name` where the row has no such column.
    Attribute,
}

impl<'a> Walk<'a> {
    pub(super) fn expression(&mut self, node: &'a Node, position: Position) -> Sources {
        match Tree::of(node) {
            Some(tree) => self.walk(tree, position),
            None => Sources::new(),
        }
    }

    /// Walks any expression; what its value derives from.
    pub(super) fn walk(&mut self, tree: Tree<'a>, position: Position) -> Sources {
        match tree {
            Tree::ColumnRef(c) => self.column(c, position),
            Tree::FuncCall(f) => self.function(f, position),
            Tree::TypeName(name) => {
                self.type_name(name);
                Sources::new()
            }
            Tree::AExpr(e) => {
                self.operator(&e.name);
                self.children(tree, position)
            }
            Tree::SubLink(link) => {
                self.operator(&link.oper_name);
                let mut sources = Sources::new();
                if let Some(node) = link.testexpr.as_deref() {
                    join_sources(&mut sources, &self.expression(node, position));
                }
                if let Some(query) = link.subselect.as_deref() {
                    let out = self.query(query, position);
                    if link.sub_link_type() != p::SubLinkType::ExistsSublink {
                        join_sources(&mut sources, &out.all_sources());
                    }
                }
                sources
            }
            Tree::SelectStmt(select) => self.select(select, position).all_sources(),
            Tree::AIndirection(i) => self.indirection(i, position),
            Tree::SortBy(sort) => {
                self.operator(&sort.use_op);
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
            | Tree::MergeSupportFunc(_)
            | Tree::String(_)
            | Tree::Integer(_)
            | Tree::Float(_)
            | Tree::Boolean(_)
            | Tree::BitString(_)
            | Tree::AStar(_)
            | Tree::JsonFormat(_)
            | Tree::JsonReturning(_) => Sources::new(),
            Tree::TypeCast(_)
            | Tree::CollateClause(_)
            | Tree::BoolExpr(_)
            | Tree::NullTest(_)
            | Tree::BooleanTest(_)
            | Tree::CaseExpr(_)
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
            | Tree::JsonFuncExpr(_)
            | Tree::JsonBehavior(_)
            | Tree::JsonIsPredicate(_)
            | Tree::JsonKeyValue(_)
            | Tree::JsonParseExpr(_)
            | Tree::JsonScalarExpr(_)
            | Tree::JsonSerializeExpr(_)
            | Tree::JsonObjectConstructor(_)
            | Tree::JsonArrayConstructor(_)
            | Tree::JsonArrayQueryConstructor(_)
            | Tree::JsonAggConstructor(_)
            | Tree::JsonObjectAgg(_)
            | Tree::JsonArrayAgg(_)
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

    /// A name alone: the columns of the nearest scope that has it; else a whole row.
    fn plain_column(&mut self, name: &'a str, c: &'a p::ColumnRef, position: Position) -> Sources {
        let mut sources = Sources::new();
        let mut hits = Vec::new();
        let mut found = false;
        for scope in self.scopes.iter().rev().filter(|s| !s.hidden) {
            for item in &scope.items {
                for column in item.out.columns.iter().filter(|c| c.name == name) {
                    found = true;
                    join_sources(&mut sources, &column.sources);
                    hits.extend(self.hit(item, Some(column)));
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
            let row = self
                .scopes
                .iter()
                .rev()
                .filter(|s| !s.hidden)
                .flat_map(|s| &s.items)
                .find(|i| i.alias == name);
            match row {
                Some(item) => {
                    found = true;
                    hits.extend(self.hit(item, None));
                    join_sources(&mut sources, &item.out.all_sources());
                }
                None if SYSTEM_COLUMNS.contains(&name) => {}
                None => hits.extend(self.unresolved_hit()),
            }
        }
        let _ = found;
        self.record(hits, c.location);
        self.use_sources(&sources, position);
        sources
    }

    fn qualified_column(
        &mut self,
        schema: Option<&str>,
        qualifier: &str,
        name: &'a str,
        c: &'a p::ColumnRef,
        position: Position,
    ) -> Sources {
        let Some(item) = self.find_item(schema, qualifier).cloned() else {
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
                hits.extend(self.hit(&item, Some(column)));
            }
        } else if item.out.open {
            sources = item.out.rest.clone();
        } else if !SYSTEM_COLUMNS.contains(&name) {
            // `c.name` may also mean the function `name(c)`.
            sources = item.out.all_sources();
            hits.extend(self.hit(&item, None));
            self.function_named(None, name, 1, Call::Attribute);
        }
        self.record(hits, c.location);
        self.use_sources(&sources, position);
        sources
    }

    /// `*` or `t.*`.
    pub(super) fn star(&mut self, c: &'a p::ColumnRef, position: Position) -> Out<'a> {
        let fields = strings(&c.fields);
        let mut hits = Vec::new();
        let out = match fields.as_slice() {
            [] => {
                let scope = self.scopes.last();
                for item in scope.into_iter().flat_map(|s| &s.items) {
                    hits.extend(self.hit(item, None));
                }
                scope.map(|s| s.visible.clone()).unwrap_or_default()
            }
            [.., qualifier] => {
                let schema = fields.len().checked_sub(2).and_then(|i| fields.get(i)).copied();
                match self.find_item(schema, qualifier).cloned() {
                    Some(item) => {
                        if schema.is_some() && item.masked {
                            self.unqualify(c, fields.len() - 1);
                        }
                        hits.extend(self.hit(&item, None));
                        item.out
                    }
                    None => {
                        hits.extend(self.unresolved_hit());
                        Out { open: true, ..Out::default() }
                    }
                }
            }
        };
        self.record(hits, c.location);
        self.use_sources(&out.all_sources(), position);
        out
    }

    fn find_item(&self, schema: Option<&str>, qualifier: &str) -> Option<&Item<'a>> {
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
        self.scopes.iter().rev().filter(|s| !s.hidden).flat_map(|s| &s.items).find(fits)
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
            let fields = strings(&c.fields);
            let row = match fields.as_slice() {
                [alias] if c.fields.len() == 1 && !self.is_column(alias) => {
                    self.find_item(None, alias).cloned()
                }
                _ => None,
            };
            if let Some(item) = row {
                let columns: Vec<&Col<'a>> =
                    item.out.columns.iter().filter(|c| c.name == field.sval).collect();
                if !columns.is_empty() {
                    let mut sources = Sources::new();
                    let mut hits = Vec::new();
                    for column in columns {
                        join_sources(&mut sources, &column.sources);
                        hits.extend(self.hit(&item, None));
                    }
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

    fn hit(&self, item: &Item<'a>, column: Option<&Col<'a>>) -> Option<Hit> {
        if item.role != Role::Target || self.phase == Phase::Plain {
            return None;
        }
        let governed = |s: &&(u32, i16)| self.governed.mask(s.0, s.1).is_some();
        let column = match column {
            Some(column) => Some(*column.sources.iter().find(governed)?),
            None => None,
        };
        Some(Hit { phase: self.phase, scope: self.scopes.len(), at: 0, column })
    }

    /// A name that cannot be resolved could be a governed column of the target.
    fn unresolved_hit(&self) -> Option<Hit> {
        let target = self.scopes.iter().flat_map(|s| &s.items).any(|i| i.role == Role::Target);
        (target && self.phase != Phase::Plain).then_some(Hit {
            phase: self.phase,
            scope: self.scopes.len(),
            at: 0,
            column: None,
        })
    }

    fn record(&mut self, hits: Vec<Hit>, location: i32) {
        let at = usize::try_from(location).unwrap_or(usize::MAX);
        self.hits.extend(hits.into_iter().map(|hit| Hit { at, ..hit }));
    }

    // Functions, operators, types.

    fn function(&mut self, f: &'a p::FuncCall, position: Position) -> Sources {
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
    fn function_named(&mut self, schema: Option<&str>, name: &str, arguments: usize, call: Call) {
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
        // initdb's own: information_schema's helpers, written in SQL over their arguments.
        if function.oid < 16_384 && function.schema == "information_schema" {
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
            Some(Builtin::Setting) if name == "set_config" => self.set_config(f),
            _ if name == "pg_notify" => {
                let channel = f.args.first().and_then(constant).unwrap_or_default();
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
        let name = f.args.first().and_then(constant);
        let parts: Option<Vec<String>> = name.as_deref().and_then(split_identifier);
        let found = match parts.as_deref() {
            Some([name]) => self.lookup("", name),
            Some([schema, name]) => self.lookup(schema, name),
            _ => super::Found::Nothing,
        };
        match found {
            super::Found::Relation(relation) => self.touch(Verb::Write, relation),
            super::Found::Temp(_) => {}
            _ => self.opaque("The statement writes a sequence that the gateway cannot name."),
        }
    }

    fn set_config(&mut self, f: &'a p::FuncCall) {
        let [name, value, local] = f.args.as_slice() else {
            return self.opaque("The statement changes a setting in a way that the gateway cannot read.");
        };
        let local = constant(local).map(|l| !matches!(l.as_str(), "false" | "f" | "off" | "0"));
        let (Some(name), Some(local)) = (constant(name), local) else {
            return self.opaque("The statement changes a setting that the gateway cannot name.");
        };
        let value = constant(value);
        if value.is_none() && name.eq_ignore_ascii_case("search_path") {
            return self.opaque("The statement sets search_path to a value that the gateway cannot read.");
        }
        self.sets(&name, value.as_deref(), false);
        self.effects.push(Effect::Set { name: name.to_ascii_lowercase(), value, local });
    }

    /// What changing a setting needs.
    pub(super) fn sets(&mut self, name: &str, value: Option<&str>, to_default: bool) {
        match setting(name, value, to_default) {
            Setting::Free => {}
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

    /// An operator of a user's own runs a function of a user's own.
    pub(super) fn operator(&mut self, names: &'a [Node]) {
        if names.is_empty() || self.snapshot.operators.is_empty() {
            return;
        }
        let names = strings(names);
        let (schema, name) = match names.as_slice() {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => return,
        };
        let path = self.search_path();
        let visible = |s: &str| schema.map_or_else(|| path.contains(&s), |schema| schema == s);
        let snapshot = self.snapshot;
        for operator in snapshot.operators.iter().filter(|o| o.name == name && visible(&o.schema)) {
            self.runs_implicitly(operator.function);
        }
    }

    /// Code behind an operator, cast or domain. Extensions in C are trusted for these; they cannot run SQL of the
    /// client's choice.
    fn runs_implicitly(&mut self, oid: u32) {
        let extension =
            |f: &Function| f.extension.is_some() && matches!(f.language.as_str(), "c" | "internal");
        match self.snapshot.functions.get(&oid) {
            // PostgreSQL's own.
            None if oid < 16_384 => {}
            Some(function) if extension(function) => {}
            _ => self.runs(oid, None),
        }
    }

    pub(super) fn type_name(&mut self, name: &'a p::TypeName) {
        for node in name.typmods.iter().chain(&name.array_bounds) {
            self.expression(node, Position::Output);
        }
        let names = strings(&name.names);
        let (schema, last) = match names.as_slice() {
            [last] => (None, *last),
            [.., schema, last] => (Some(*schema), *last),
            [] => return,
        };
        let found: Vec<u32> = self
            .snapshot
            .types_named(last)
            .filter(|t| {
                schema.is_none_or(|s| s == t.schema || (s == "pg_temp" && t.schema.starts_with("pg_temp")))
            })
            .map(|t| t.oid)
            .collect();
        for oid in found {
            self.type_used(oid);
        }
    }

    /// A type of a user's own: its checks and casts may run code.
    fn type_used(&mut self, oid: u32) {
        let snapshot = self.snapshot;
        let mut next = Some(oid);
        for _ in 0..crate::limits::VIEW_DEPTH_MAX {
            let Some(oid) = next else { break };
            for function in snapshot.domain_functions.get(&oid).into_iter().flatten() {
                self.runs_implicitly(*function);
            }
            next = snapshot.types.get(&oid).filter(|t| t.kind == 'd').map(|t| t.base);
        }
        for cast in snapshot.casts.iter().filter(|c| c.source == oid || c.target == oid) {
            self.runs_implicitly(cast.function);
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
