//! Types, and what runs where values of them are and no name says so: casts, comparisons, checks of domains.
//!
//! Which type an expression has is known of columns and constants alone. A type counts as met where a column of it is used,
//! where it is named and where an operator or function that is called has it; what runs for it is then taken to run.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf as p;
use vocab::Verb;

use super::expression::COMPARES;
use super::{Walk, string, strings};
use crate::analysis::FunctionKind;
use crate::snapshot::{ANY_TYPE, Function, OWN_OIDS_END, Operator};
use crate::tree::{Node, Tree};

/// What a statement meets of types.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Type -> whether it is named.
    types: BTreeMap<u32, bool>,
    /// A column has a type that the catalog does not tell.
    any: bool,
    /// Something is computed.
    computes: bool,
    /// A type is named, or a function may stand for one or look for a cast.
    casts: bool,
}

/// What is known of the type of an operator's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// There is no such side.
    None,
    /// Nothing.
    Open,
    /// A string in quotes, which has no type yet.
    Quoted,
    /// It is of PostgreSQL's own, and maybe which.
    Plain(Option<u32>),
}

impl Side {
    pub fn of_type(oid: u32) -> Side {
        if oid < OWN_OIDS_END { Side::Plain(Some(oid)) } else { Side::Open }
    }

    /// Where the server gives a string in quotes a type that nothing beside it tells.
    pub fn settled(self) -> Side {
        if self == Side::Quoted { Side::Open } else { self }
    }

    /// Of what is one or the other.
    pub fn or(self, other: Side) -> Side {
        match (self, other) {
            (Side::Plain(one), Side::Plain(two)) => Side::Plain(one.filter(|_| one == two)),
            (one, two) if one == two => one,
            _ => Side::Open,
        }
    }
}

const INTEGER: u32 = 23;

/// The type of both sides of a comparison, where PostgreSQL has one of its own for it: then it looks at nothing but operators of
/// just that type. A string in quotes becomes what the other side is.
fn compared(name: &str, sides: [Side; 2]) -> Option<u32> {
    // boolean, bigint, smallint, integer, text, oid, real, double precision, date, timestamps, numeric.
    const TYPES: [u32; 12] = [16, 20, 21, INTEGER, 25, 26, 700, 701, 1082, 1114, 1184, 1700];
    let same = match sides {
        [Side::Plain(Some(one)), Side::Plain(Some(two))] if one == two => one,
        [Side::Plain(Some(one)), Side::Quoted] | [Side::Quoted, Side::Plain(Some(one))] => one,
        _ => return None,
    };
    (COMPARES.contains(&name) && TYPES.contains(&same)).then_some(same)
}

/// The operators that the parser puts where none is written.
fn behind(kind: p::AExprKind) -> &'static [&'static str] {
    match kind {
        p::AExprKind::AexprBetween => &[">=", "<="],
        p::AExprKind::AexprNotBetween => &["<", ">"],
        p::AExprKind::AexprBetweenSym => &[">=", "<="],
        p::AExprKind::AexprNotBetweenSym => &["<", ">"],
        _ => &[],
    }
}

impl<'a> Walk<'a> {
    // What is met.

    pub(super) fn computes(&mut self) {
        self.met.computes = true;
    }

    pub(super) fn meets_any_type(&mut self) {
        self.met.any = true;
    }

    /// `argument` alone: the name may be a type's. Those of JSON look for casts to it.
    pub(super) fn may_cast(&mut self, name: &str, arguments: usize) {
        self.met.casts |= arguments == 1 || name.contains("json");
    }

    /// A form that the grammar has since a version: an older server reads its words as names.
    pub(super) fn reads_otherwise(&mut self, names: &[&str], since: u32) {
        let snapshot = self.snapshot;
        if snapshot.server >= since {
            return;
        }
        let relations = || snapshot.relations.values().filter(|r| !r.is_system());
        let known = |name: &&str| {
            snapshot.functions_named(name).any(|f| f.oid >= OWN_OIDS_END)
                || snapshot.types_named(name).next().is_some()
                || relations().any(|r| r.column(name).is_some())
        };
        match names.iter().any(known) {
            true => {
                self.opaque("This server reads a word of the statement as the name of something of a user's.")
            }
            false => self.unresolved = true,
        }
    }

    fn meets(&mut self, oid: u32) {
        if oid >= OWN_OIDS_END {
            self.met.types.entry(oid).or_default();
        }
    }

    pub(super) fn meets_types_of(&mut self, function: &'a Function) {
        function.types.iter().for_each(|oid| self.meets(*oid));
    }

    pub(super) fn type_name(&mut self, name: &'a p::TypeName) {
        self.met.casts = true;
        for node in name.typmods.iter().chain(&name.array_bounds) {
            self.expression(node, vocab::Position::Output);
        }
        let names = strings(&name.names);
        let (schema, last) = match names.as_slice() {
            [last] => (None, *last),
            // A keyword since 17, and a name like others before.
            ["pg_catalog", "json"] if self.snapshot.server < 17 => (None, "json"),
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
        found.into_iter().for_each(|oid| self.type_used(oid));
    }

    /// A type of a user's own: its checks and casts may run code.
    pub(super) fn type_used(&mut self, oid: u32) {
        let snapshot = self.snapshot;
        self.met.types.insert(oid, true);
        for part in snapshot.parts(oid) {
            for function in snapshot.domain_functions.get(&part).into_iter().flatten() {
                self.runs_implicitly(*function);
            }
        }
    }

    // Operators.

    /// The operators that an expression runs, by its own words or the parser's.
    pub(super) fn operators_of(&mut self, e: &'a p::AExpr) {
        let sides = [e.lexpr.as_deref(), e.rexpr.as_deref()];
        self.operator(&e.name, sides);
        let named = behind(e.kind());
        if named.iter().any(|name| self.has_operator(name)) {
            let sides = sides.map(|side| self.side_or_none(side));
            named.iter().for_each(|name| self.operator_named(None, name, sides));
        }
    }

    /// `x IN (SELECT ..)` and its like, where `right` is what the query gives.
    pub(super) fn operators_of_link(&mut self, link: &'a p::SubLink, right: Side) {
        let names = strings(&link.oper_name);
        if !self.has_operator(names.last().unwrap_or(&"=")) {
            return;
        }
        let sides = [self.side_or_none(link.testexpr.as_deref()), right];
        match names.as_slice() {
            [] if link.sub_link_type() == p::SubLinkType::AnySublink => self.operator_named(None, "=", sides),
            [] => {}
            [name] => self.operator_named(None, name, sides),
            [.., schema, name] => self.operator_named(Some(schema), name, sides),
        }
    }

    pub(super) fn operators_of_case(&mut self, e: &'a p::CaseExpr) {
        let Some(arg) = e.arg.as_deref().filter(|_| self.has_operator("=")) else { return };
        let left = self.side(arg).settled();
        for tree in e.args.iter().filter_map(Tree::of) {
            let right = match tree {
                Tree::CaseWhen(when) => self.side_or_none(when.expr.as_deref()),
                _ => Side::Open,
            };
            self.operator_named(None, "=", [left, right]);
        }
    }

    /// An operator of a user's own runs a function of a user's own. `sides`: what stands at its left and right.
    pub(super) fn operator(&mut self, names: &'a [Node], sides: [Option<&'a Node>; 2]) {
        let names = strings(names);
        if !names.last().is_some_and(|name| self.has_operator(name)) {
            return;
        }
        let sides = sides.map(|side| self.side_or_none(side));
        match names.as_slice() {
            [name] => self.operator_named(None, name, sides),
            [.., schema, name] => self.operator_named(Some(schema), name, sides),
            [] => {}
        }
    }

    pub(super) fn operator_named(&mut self, schema: Option<&str>, name: &str, sides: [Side; 2]) {
        let path = self.search_path();
        let visible = |s: &str| schema.map_or_else(|| path.contains(&s), |schema| schema == s);
        let snapshot = self.snapshot;
        let same = compared(name, sides).filter(|_| schema.is_none());
        for operator in snapshot.operators.iter().filter(|o| o.name == name && visible(&o.schema)) {
            let exact = same.is_none_or(|oid| [operator.left, operator.right] == [oid, oid]);
            if exact && self.may_mean(operator, sides) {
                for oid in [operator.left, operator.right, operator.result] {
                    self.meets(oid);
                }
                self.runs_implicitly(operator.function);
            }
        }
    }

    fn may_mean(&self, operator: &Operator, sides: [Side; 2]) -> bool {
        [operator.left, operator.right].into_iter().zip(sides).all(|(oid, side)| match side {
            Side::None => oid == 0,
            Side::Open | Side::Quoted => oid != 0,
            Side::Plain(_) => oid != 0 && (oid < OWN_OIDS_END || !self.snapshot.takes_no_other(oid)),
        })
    }

    /// Whether a user has an operator of this name, in whatever schema: only then the types beside it are of interest.
    pub(super) fn has_operator(&self, name: &str) -> bool {
        self.snapshot.operators.iter().any(|operator| operator.name == name)
    }

    fn side_or_none(&mut self, node: Option<&Node>) -> Side {
        node.map_or(Side::None, |node| self.side(node))
    }

    /// What is known of an expression's type, where there is an operator that could care.
    pub(super) fn side(&mut self, node: &Node) -> Side {
        if self.snapshot.operators.is_empty() {
            return Side::Open;
        }
        match Tree::of(node) {
            Some(Tree::AConst(c)) => match c.val {
                Some(p::a_const::Val::Ival(_)) => Side::Plain(Some(INTEGER)),
                Some(p::a_const::Val::Fval(_) | p::a_const::Val::Boolval(_)) => Side::Plain(None),
                Some(p::a_const::Val::Sval(_)) => Side::Quoted,
                _ => Side::Open,
            },
            Some(Tree::SqlvalueFunction(_)) => Side::Plain(None),
            Some(Tree::List(list)) => {
                list.items.iter().map(|item| self.side(item)).reduce(Side::or).unwrap_or(Side::Open)
            }
            Some(Tree::CollateClause(c)) => c.arg.as_deref().map_or(Side::Open, |arg| self.side(arg)),
            Some(Tree::TypeCast(cast)) => match &cast.type_name {
                Some(name) if self.names_plain(name) => Side::Plain(None),
                _ => Side::Open,
            },
            Some(Tree::ColumnRef(c)) => self.side_of_column(c),
            _ => Side::Open,
        }
    }

    fn names_plain(&self, name: &p::TypeName) -> bool {
        let unknown = |last: &str| self.snapshot.types_named(last).next().is_none();
        match strings(&name.names).as_slice() {
            _ if name.pct_type || name.setof => false,
            [last] | ["pg_catalog", last] => unknown(last),
            _ => false,
        }
    }

    fn side_of_column(&mut self, c: &p::ColumnRef) -> Side {
        if !self.may_look() {
            return Side::Open;
        }
        let fields: Option<Vec<&str>> = c.fields.iter().map(|n| Tree::of(n).and_then(string)).collect();
        match fields.as_deref() {
            Some([name]) => {
                for scope in self.scopes.iter().rev().filter(|s| !s.hidden) {
                    let outs = || scope.items.iter().map(|i| &i.out).chain([&scope.visible]);
                    let named = outs().flat_map(|out| &out.columns).filter(|c| c.name == *name);
                    match named.map(|c| c.of).reduce(Side::or) {
                        Some(side) => return side,
                        None if outs().any(|out| out.open) => return Side::Open,
                        None => {}
                    }
                }
                Side::Open
            }
            Some([schemas @ .., qualifier, name]) => {
                let item = self.find_item(schemas.last().copied(), qualifier);
                item.map_or(Side::Open, |(_, item)| item.out.side(name))
            }
            _ => Side::Open,
        }
    }

    // What runs.

    /// Runs what no name says, for the types that are met.
    pub(super) fn runs_for_types(&mut self) {
        let snapshot = self.snapshot;
        if snapshot.implied.is_empty() && snapshot.domain_functions.is_empty() {
            return;
        }
        let mut met = std::mem::take(&mut self.met);
        let mut checks: BTreeSet<&u32> = BTreeSet::new();
        for ((verb, oid), columns) in &self.uses {
            let Some(relation) = snapshot.relations.get(oid) else { continue };
            // What is defined or administered may be computed anew as a whole.
            let whole = !matches!(verb, Verb::Read | Verb::Write | Verb::Probe);
            met.casts |= whole;
            if relation.row_type >= OWN_OIDS_END {
                met.types.entry(relation.row_type).or_default();
            }
            let used = |num: i16| whole || columns.iter().any(|(used, _)| *used == num);
            for column in relation.columns.iter().filter(|c| used(c.num)) {
                for part in snapshot.parts(column.type_oid) {
                    met.types.entry(part).or_default();
                    if *verb == Verb::Write {
                        checks.extend(snapshot.domain_functions.get(&part).into_iter().flatten());
                    }
                }
            }
        }
        let types = std::mem::take(&mut met.types);
        let own = types.into_iter().flat_map(|(oid, named)| {
            let parts = if named { snapshot.parts(oid) } else { BTreeSet::from([oid]) };
            parts.into_iter().map(move |part| (part, named))
        });
        let any = [(ANY_TYPE, false)].into_iter().filter(|_| met.computes);
        let all = snapshot.implied.keys().map(|oid| (*oid, false)).filter(|_| met.any && met.computes);
        let writes = self.writes;
        let mut runs = BTreeSet::new();
        for (oid, named) in own.chain(any).chain(all) {
            let here =
                snapshot.implied.get(&oid).into_iter().flatten().filter(|implied| match implied.when {
                    'i' => true,
                    'a' => named || met.casts || writes,
                    _ => named || met.casts,
                });
            runs.extend(here.map(|implied| implied.function));
        }
        runs.into_iter().for_each(|oid| self.runs_implicitly(oid));
        checks.into_iter().for_each(|oid| self.runs(*oid, Some(FunctionKind::Trigger)));
    }
}
