//! The statement that runs instead.
//!
//! A rewrite splices at the byte positions that the tree and the tokens give. The result is parsed again and compared
//! with the tree that was meant ([`crate::meant`]): two ways to the same place, and the statement is refused where they
//! differ.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use vocab::Class;

use crate::analysis::{Analysis, Reason};
use crate::functions::Object;
use crate::governed::{Cover, Governed, Mask, ViewBody, literal, mask_sql, quote};
use crate::limits::{REWRITTEN_BYTES_MAX, VIEW_DEPTH_MAX};
use crate::meant::{HOLE, Meant, Stand};
use crate::names::Names;
use crate::relations::{Key, TELLING};
use crate::snapshot::{Relation, Snapshot};
use crate::statement::{RelationPlace, Statement};

/// How a statement reads a relation.
#[derive(Clone, Copy, Default)]
struct Read<'a> {
    only: bool,
    known_as: Option<&'a str>,
    sample: Option<&'a str>,
    system: &'a [&'static str],
}

/// A place in the text that a rewrite changes. Places are in bytes of the whole text.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// A relation in FROM becomes a sub-select. `alias`: the one to add, if the text has none; `known_as`: the one that it
    /// has, which EXPLAIN shows. `telling`: a system relation, of which some columns are masked in some rows.
    Relation {
        place: RelationPlace,
        oid: u32,
        only: bool,
        alias: Option<String>,
        known_as: Option<String>,
        sample: Option<Range<usize>>,
        telling: bool,
        /// System columns that the statement names.
        system: Vec<&'static str>,
    },
    /// The first `parts` names of a column's name go.
    Unqualify { range: Range<usize>, parts: usize },
    /// A name gets its schema.
    Qualify { at: usize, schema: String },
    /// A column of a DML target becomes its mask. `named`: it needs its name as an alias.
    Returning { range: Range<usize>, oid: u32, num: i16, qualifier: String, named: bool },
    /// A whole row of a DML target becomes a row of its columns, masked.
    ReturningRow { range: Range<usize>, oid: u32, qualifier: String, alias: String, named: bool },
    /// Columns join a grouping by the key of the relation that they are of.
    Group { at: usize, end: usize, oid: u32, alias: String, columns: Vec<String> },
    /// `*` of a DML target becomes its columns, masked.
    ReturningStar { range: Range<usize>, oid: u32, qualifier: String },
    /// The rows of an UPDATE or DELETE are chosen through the masked relation.
    Predicate { range: Range<usize>, oid: u32, alias: String, only: bool, target: usize },
    /// COPY of a relation becomes COPY of a query.
    CopyTo { range: Range<usize>, oid: u32, columns: Vec<String> },
    /// The first argument of a definition function is NULL where it names an object over governed columns.
    Unless { call: usize, range: Range<usize>, of: Object },
}

/// The text to send.
#[derive(Clone, Debug, Default)]
pub struct Rewritten {
    /// `None`: the statement's own text, byte for byte.
    pub text: Option<String>,
    /// Every constant and comment of `text`, in bytes, in order.
    pub literals: Vec<Range<usize>>,
    pub positions: PositionMap,
    /// Classes that the statement reads raw, because they are revealed.
    pub revealed: BTreeSet<Class>,
}

/// Maps error positions in the rewritten text back to the client's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PositionMap {
    /// In characters from 0: where in the new text, how long there, where in the old text, how long there.
    edits: Vec<(u32, u32, u32, u32)>,
}

impl PositionMap {
    /// `position`: PostgreSQL's, characters from 1, in the text that was sent. The answer is in characters from 1 of
    /// [`Statement::text`]; a place inside an inserted piece maps to where the piece was put.
    pub fn original(&self, position: u32) -> u32 {
        let mut before = (0u32, 0u32);
        for (new, new_length, old, old_length) in &self.edits {
            let at = position.saturating_sub(1);
            if at < *new {
                break;
            }
            if at < new + new_length {
                return old + 1;
            }
            before = (new + new_length, old + old_length);
        }
        position.saturating_sub(before.0) + before.1
    }
}

/// The statement with each read of a governed column masked, except for the classes in `revealed`. A statement that
/// writes masks them all.
///
/// Errors: the statement's own [`Analysis::refuse`]; a rewrite that does not parse to the tree that was meant.
pub fn rewrite(
    statement: &Statement,
    analysis: &Analysis,
    snapshot: &Snapshot,
    governed: &Governed,
    names: &Names,
    revealed: &BTreeSet<Class>,
) -> Result<Rewritten, Reason> {
    let _ = names;
    if let Some(reason) = analysis.refuse {
        return Err(reason);
    }
    let nothing = BTreeSet::new();
    let revealed = if analysis.writes { &nothing } else { revealed };
    let render = Render { snapshot, governed, revealed };
    let edits = render.edits(statement, analysis, 0)?;
    let shown = analysis.classes().intersection(revealed).cloned().collect();
    if edits.pieces.is_empty() {
        return Ok(Rewritten { revealed: shown, ..Rewritten::default() });
    }
    let (text, positions) = splice(statement, edits.pieces)?;
    let literals = edits.meant.check(statement, &text, &governed.prepared)?;
    Ok(Rewritten { text: Some(text), literals, positions, revealed: shown })
}

pub(crate) const DIFFERS: Reason = Reason::refused("The gateway could not rewrite this statement safely.");

/// A piece of new text in the place of an old one.
struct Piece {
    range: Range<usize>,
    text: String,
    /// Of several pieces at one byte: what closes comes before what opens.
    order: u8,
}

#[derive(Default)]
struct Edits {
    pieces: Vec<Piece>,
    meant: Meant,
}

struct Render<'a> {
    snapshot: &'a Snapshot,
    governed: &'a Governed,
    revealed: &'a BTreeSet<Class>,
}

impl Render<'_> {
    fn edits(&self, statement: &Statement, analysis: &Analysis, depth: usize) -> Result<Edits, Reason> {
        let mut edits = Edits::default();
        for site in &analysis.sites {
            self.edit(statement, site, depth, &mut edits)?;
        }
        Ok(edits)
    }

    fn edit(
        &self,
        statement: &Statement,
        site: &Site,
        depth: usize,
        edits: &mut Edits,
    ) -> Result<(), Reason> {
        match site {
            Site::Relation { place, oid, only, alias, known_as, sample, telling, system } => {
                let relation = self.relation(*oid)?;
                let sampled = sample.clone().map(|range| statement.slice(range));
                let query = if *telling {
                    self.telling(relation, sampled, system)?
                } else {
                    let read = Read { only: *only, known_as: known_as.as_deref(), sample: sampled, system };
                    self.covered(relation, read, depth)?
                };
                let Some(query) = query else { return Ok(()) };
                let added = alias.as_ref().map(|a| format!(" AS {}", quote(a))).unwrap_or_default();
                let head = if place.table { "SELECT * FROM " } else { "" };
                edits.put(place.range.clone(), format!("{head}{query}{added}"));
                if let Some(range) = sample {
                    edits.put(range.clone(), String::new());
                }
                let own = sample.is_none();
                edits.meant.relations.insert(place.name, Stand { query, alias: alias.clone(), own });
            }
            Site::Unqualify { range, parts } => {
                // The relation may be read as it is, if all its classes are revealed: then the schema does no harm.
                edits.put(range.clone(), String::new());
                edits.meant.unqualified.insert(range.start, *parts);
            }
            Site::Qualify { at, schema } => {
                edits.put(*at..*at, format!("{}.", quote(schema)));
                edits.meant.qualified.insert(*at, schema.clone());
            }
            Site::Returning { range, oid, num, qualifier, named } => {
                let relation = self.relation(*oid)?;
                let column = relation.column_at(*num).ok_or(DIFFERS)?;
                let mask = self.governed.mask(*oid, *num).ok_or(DIFFERS)?;
                let text = mask_sql(relation, column, &mask.kind, Some(qualifier));
                let name = named.then(|| column.name.clone());
                let added = name.as_ref().map(|n| format!(" AS {}", quote(n))).unwrap_or_default();
                edits.put(range.clone(), format!("({text}){added}"));
                edits.meant.columns.insert(range.start, (text, name));
            }
            Site::ReturningRow { range, oid, qualifier, alias, named } => {
                let relation = self.relation(*oid)?;
                let list = self.columns(relation, self.governed.masks(*oid), Some(qualifier));
                let name = named.then(|| alias.clone());
                let alias = quote(alias);
                let text = format!("(SELECT {alias} FROM (SELECT {list}) AS {alias})");
                let added = if *named { format!(" AS {alias}") } else { String::new() };
                edits.put(range.clone(), format!("{text}{added}"));
                edits.meant.columns.insert(range.start, (text, name));
            }
            Site::Group { at, end, oid, alias, columns } => {
                // Read as it is, the relation has its key.
                if self.covered(self.relation(*oid)?, Read::default(), depth)?.is_some() {
                    let alias = quote(alias);
                    let list: Vec<String> = columns.iter().map(|c| format!("{alias}.{}", quote(c))).collect();
                    let list = list.join(", ");
                    edits.put(*end..*end, format!(", {list}"));
                    edits.meant.groups.insert(*at, list);
                }
            }
            Site::ReturningStar { range, oid, qualifier } => {
                let relation = self.relation(*oid)?;
                let list = self.columns(relation, self.governed.masks(*oid), Some(qualifier));
                edits.meant.stars.insert(range.start, list.clone());
                edits.put(range.clone(), list);
            }
            Site::Predicate { range, oid, alias, only, target } => {
                let relation = self.relation(*oid)?;
                let masks = self.governed.masks(*oid).ok_or(DIFFERS)?;
                let query = self.masked(relation, masks, Read { only: *only, ..Read::default() });
                let alias = quote(alias);
                let key = relation.primary_key().ok_or(DIFFERS)?;
                let key: Vec<String> = key.iter().map(|c| format!("{alias}.{}", quote(&c.name))).collect();
                let key = key.join(", ");
                let head = format!("({key}) IN (SELECT {key} FROM {query} AS {alias} WHERE (");
                let tail = "))".to_owned();
                edits.meant.predicates.insert(*target, format!("{head}{HOLE}{tail}"));
                edits.around(range.clone(), head, tail);
            }
            Site::CopyTo { range, oid, columns } => {
                let relation = self.relation(*oid)?;
                let Some(query) = self.covered(relation, Read::default(), depth)? else { return Ok(()) };
                let list: Vec<String> = columns.iter().map(|c| quote(c)).collect();
                let text = format!("SELECT {} FROM {query} AS {}", list.join(", "), quote(&relation.name));
                edits.put(range.clone(), format!("({text})"));
                edits.meant.copy = Some(text);
            }
            Site::Unless { call, range, of } => {
                let Some((head, tail)) = self.unless(*of) else { return Ok(()) };
                edits.meant.arguments.insert(*call, format!("{head}{HOLE}{tail}"));
                edits.around(range.clone(), head, tail);
            }
        }
        Ok(())
    }

    fn relation(&self, oid: u32) -> Result<&Relation, Reason> {
        self.snapshot.relations.get(&oid).ok_or(DIFFERS)
    }

    /// The sub-select that stands for a governed relation; `None` if all of it is revealed.
    fn covered(&self, relation: &Relation, read: Read<'_>, depth: usize) -> Result<Option<String>, Reason> {
        match self.governed.cover(relation.oid) {
            Some(Cover::Columns(masks)) => {
                let hides = masks.values().any(|m| !self.revealed.contains(&m.class));
                Ok(hides.then(|| self.masked(relation, masks, read)))
            }
            Some(Cover::View(body)) if read.sample.is_none() && depth < VIEW_DEPTH_MAX => {
                self.view(relation, body, depth)
            }
            _ => Err(DIFFERS),
        }
    }

    fn masked(&self, relation: &Relation, masks: &BTreeMap<i16, Mask>, read: Read<'_>) -> String {
        let mut list = self.columns(relation, Some(masks), None);
        read.system.iter().for_each(|column| list.push_str(&format!(", {}", quote(column))));
        let only = if read.only { "ONLY " } else { "" };
        let known_as = read.known_as.map(|name| format!(" AS {}", quote(name))).unwrap_or_default();
        let sample = read.sample.map(|s| format!(" {s}")).unwrap_or_default();
        let name = format!("{}.{}", quote(&relation.schema), quote(&relation.name));
        format!("(SELECT {list} FROM {only}{name}{known_as}{sample})")
    }

    /// Every column of a relation, those that are not revealed as masks.
    fn columns(
        &self,
        relation: &Relation,
        masks: Option<&BTreeMap<i16, Mask>>,
        qualifier: Option<&str>,
    ) -> String {
        let column = |c: &crate::snapshot::Column| {
            let name = quote(&c.name);
            match masks.and_then(|m| m.get(&c.num)).filter(|m| !self.revealed.contains(&m.class)) {
                Some(mask) => format!("{} AS {name}", mask_sql(relation, c, &mask.kind, qualifier)),
                None => qualifier.map_or(name.clone(), |q| format!("{q}.{name}")),
            }
        };
        relation.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// A view's body, rewritten, under the view's own names and masks.
    fn view(&self, relation: &Relation, body: &ViewBody, depth: usize) -> Result<Option<String>, Reason> {
        let own = body.masks.values().any(|m| !self.revealed.contains(&m.class));
        let edits = self.edits(&body.statement, &body.analysis, depth + 1)?;
        if edits.pieces.is_empty() && !own {
            return Ok(None);
        }
        let (text, _) = splice(&body.statement, edits.pieces)?;
        let names: Vec<String> = relation.columns.iter().map(|c| quote(&c.name)).collect();
        let list = self.columns(relation, Some(&body.masks), None);
        Ok(Some(format!("(SELECT {list} FROM ({text}) AS {}({}))", quote(&relation.name), names.join(", "))))
    }

    /// A system relation, with what tells of governed columns masked in the rows that are about them.
    fn telling(
        &self,
        relation: &Relation,
        sample: Option<&str>,
        system: &[&str],
    ) -> Result<Option<String>, Reason> {
        if sample.is_some() {
            return Err(DIFFERS);
        }
        let own = || TELLING.iter().filter(|t| t.relation == relation.name && t.schema == relation.schema);
        let column = |c: &crate::snapshot::Column| {
            let name = quote(&c.name);
            match own().find(|t| t.column == c.name).and_then(|t| self.about(t.row)) {
                Some(about) => format!("CASE WHEN {about} THEN NULL ELSE {name} END AS {name}"),
                None => name,
            }
        };
        let hides = own().any(|t| self.about(t.row).is_some());
        let mut list: Vec<String> = relation.columns.iter().map(column).collect();
        list.extend(system.iter().map(|column| quote(column)));
        let from = format!("{}.{}", quote(&relation.schema), quote(&relation.name));
        Ok(hides.then(|| format!("(SELECT {} FROM {from})", list.join(", "))))
    }

    /// Whether a row of a system relation is about something governed; `None` if no row can be.
    fn about(&self, key: Key) -> Option<String> {
        let is = |column: &str, value: String| format!("{} OPERATOR(pg_catalog.=) {value}", quote(column));
        let any = |column: &str, oids: &mut dyn Iterator<Item = u32>| {
            let oids: Vec<String> = oids.map(|o| o.to_string()).collect();
            let list = format!("ANY (CAST('{{{}}}' AS pg_catalog.oid[]))", oids.join(","));
            (!oids.is_empty()).then(|| format!("{} OPERATOR(pg_catalog.=) {list}", quote(column)))
        };
        let each = |one: &dyn Fn(&Relation) -> String| {
            let relations = self.governed.relations.keys().filter_map(|oid| self.snapshot.relations.get(oid));
            let rows: Vec<String> = relations.map(|r| format!("({})", one(r))).collect();
            (!rows.is_empty()).then(|| rows.join(" OR "))
        };
        let columns = |r: &Relation| -> Vec<(i16, String)> {
            let masks = self.governed.masks(r.oid);
            let named = |num: &i16| Some((*num, r.column_at(*num)?.name.clone()));
            masks.into_iter().flat_map(|m| m.keys()).filter_map(named).collect()
        };
        match key {
            Key::Attribute(relation, num) => each(&|r| {
                let nums: Vec<String> = columns(r).iter().map(|(num, _)| num.to_string()).collect();
                let list = format!("ANY (CAST('{{{}}}' AS pg_catalog.int2[]))", nums.join(","));
                format!(
                    "{} AND {} OPERATOR(pg_catalog.=) {list}",
                    is(relation, r.oid.to_string()),
                    quote(num)
                )
            }),
            Key::Relation(column) | Key::View(column) => {
                any(column, &mut self.governed.relations.keys().copied())
            }
            Key::Constraint(column) => any(column, &mut self.governed.tells.constraints.iter().copied()),
            Key::Index(column) => any(column, &mut self.governed.tells.indexes.iter().copied()),
            Key::Partition(column) => any(column, &mut self.governed.tells.partitions.iter().copied()),
            Key::Named(schema, name) => {
                each(&|r| format!("{} AND {}", is(schema, literal(&r.schema)), is(name, literal(&r.name))))
            }
            Key::NamedIndex(schema, name) => {
                let indexes = self.governed.tells.indexes.iter();
                let rows: Vec<String> = indexes
                    .filter_map(|oid| self.snapshot.relations.get(oid))
                    .map(|i| {
                        format!("({} AND {})", is(schema, literal(&i.schema)), is(name, literal(&i.name)))
                    })
                    .collect();
                (!rows.is_empty()).then(|| rows.join(" OR "))
            }
            Key::NamedColumn(schema, name, column) => each(&|r| {
                let names: Vec<String> = columns(r).iter().map(|(_, n)| is(column, literal(n))).collect();
                let names = if names.is_empty() { "false".to_owned() } else { names.join(" OR ") };
                format!("{} AND {} AND ({names})", is(schema, literal(&r.schema)), is(name, literal(&r.name)))
            }),
            Key::Always => (!self.governed.is_empty()).then(|| "true".to_owned()),
        }
    }

    /// What stands before and after the argument of a definition function.
    fn unless(&self, of: Object) -> Option<(String, String)> {
        let tells = &self.governed.tells;
        let views = || self.governed.relations.keys().copied();
        let relations = |kinds: &'static [char]| {
            let fits =
                move |oid: &u32| self.snapshot.relations.get(oid).is_some_and(|r| kinds.contains(&r.kind));
            views().filter(fits).collect::<Vec<u32>>()
        };
        let oids: Vec<u32> = match of {
            Object::Constraint => tells.constraints.iter().copied().collect(),
            Object::Index => tells.indexes.iter().copied().collect(),
            Object::PartitionBound => tells.partitions.iter().copied().collect(),
            Object::View => relations(&['v', 'm']),
            // Of these only a relation's own OID is known: all are hidden.
            Object::Rule | Object::Trigger | Object::Statistics => {
                let hides = !self.governed.is_empty();
                return hides.then(|| ("CASE WHEN true THEN NULL ELSE (".into(), ") END".into()));
            }
            Object::Expression => return None,
        };
        if oids.is_empty() {
            return None;
        }
        let cast = if of == Object::View { "CAST(CAST((" } else { "CAST((" };
        let close = if of == Object::View {
            ") AS pg_catalog.regclass) AS pg_catalog.oid)"
        } else {
            ") AS pg_catalog.oid)"
        };
        let head = format!("{}{cast}", "NULLIF(".repeat(oids.len()));
        let tail =
            oids.iter().fold(close.to_owned(), |tail, oid| format!("{tail}, CAST({oid} AS pg_catalog.oid))"));
        Some((head, tail))
    }
}

impl Edits {
    fn put(&mut self, range: Range<usize>, text: String) {
        self.pieces.push(Piece { range, text, order: 1 });
    }

    fn around(&mut self, range: Range<usize>, head: String, tail: String) {
        self.pieces.push(Piece { range: range.start..range.start, text: head, order: 0 });
        self.pieces.push(Piece { range: range.end..range.end, text: tail, order: 0 });
    }
}

/// Puts the pieces into the text. Errors if two of them overlap.
fn splice(statement: &Statement, mut pieces: Vec<Piece>) -> Result<(String, PositionMap), Reason> {
    pieces.sort_by_key(|p| (p.range.start, p.order, p.range.end));
    let text = statement.text();
    let offset = statement.offset();
    let mut out = String::with_capacity(text.len() * 2);
    let mut positions = PositionMap::default();
    let (mut done, mut old, mut new) = (0usize, 0u32, 0u32);
    for piece in pieces {
        let start = piece.range.start.checked_sub(offset).ok_or(DIFFERS)?;
        let end = piece.range.end.checked_sub(offset).ok_or(DIFFERS)?;
        let kept = text.get(done..start).ok_or(DIFFERS)?;
        let gone = text.get(start..end).ok_or(DIFFERS)?;
        // A word that was parted from its neighbour by nothing but a comment or bracket stays parted.
        out.push_str(kept);
        out.push_str(&piece.text);
        let (kept, gone, put) = (characters(kept), characters(gone), characters(&piece.text));
        (old, new) = (old + kept, new + kept);
        positions.edits.push((new, put, old, gone));
        (old, new) = (old + gone, new + put);
        done = end;
        if out.len() > REWRITTEN_BYTES_MAX {
            return Err(Reason { code: "54000", ..Reason::refused("The rewritten statement is too long.") });
        }
    }
    out.push_str(text.get(done..).ok_or(DIFFERS)?);
    Ok((out, positions))
}

fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}
