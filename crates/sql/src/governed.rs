//! Which columns are governed, and what stands in their place.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use vocab::{Class, MaskKind, Position};

use crate::analysis::{Analysis, GovernedUse, Reason};
use crate::analyze::analyze_view;
use crate::limits::VIEW_DEPTH_MAX;
use crate::meant::Prepared;
use crate::snapshot::{Column, Constraint, Relation, Snapshot};
use crate::statement::{Statement, parse};

/// An operator's rule for one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRule {
    pub schema: String,
    pub table: String,
    pub column: String,
    pub class: Class,
    pub kind: MaskKind,
}

/// A rule that cannot be bound. Names the rule, not its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// `schema.table.column`.
    pub column: String,
    pub what: String,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.column, self.what)
    }
}

impl std::error::Error for BindError {}

/// The rules, bound to relation OID and attribute number of one snapshot, with all that derives from them: children and
/// partitions, views (expanded when they are read), materialized views, and the definitions that tell of them.
#[derive(Clone, Debug, Default)]
pub struct Governed {
    pub(crate) relations: BTreeMap<u32, Cover>,
    /// Names of the relations above: taking one of them elsewhere shadows.
    pub(crate) names: HashSet<String>,
    pub(crate) tells: Tells,
    pub(crate) prepared: Prepared,
}

/// OIDs of objects whose definitions hold expressions over governed columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tells {
    pub constraints: BTreeSet<u32>,
    pub indexes: BTreeSet<u32>,
    pub partitions: BTreeSet<u32>,
}

/// How reading a relation is made safe.
#[derive(Clone, Debug)]
pub(crate) enum Cover {
    /// A sub-select with masks for these columns.
    Columns(BTreeMap<i16, Mask>),
    /// The view's body, itself rewritten.
    View(Box<ViewBody>),
    /// A view that reaches governed columns in a way that we cannot expand.
    Broken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    pub class: Class,
    pub kind: MaskKind,
}

#[derive(Clone, Debug)]
pub(crate) struct ViewBody {
    pub statement: Statement,
    pub analysis: Analysis,
    /// By column of the view: the base columns that it derives from.
    pub sources: Vec<Vec<(u32, i16)>>,
    /// Rules on the view's own columns, over what the body gives.
    pub masks: BTreeMap<i16, Mask>,
}

/// What kind of value a column holds, as far as masks care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Text,
    Integer,
    Numeric,
    Float,
    Date,
    Timestamp,
    Time,
    Interval,
    Json,
    Uuid,
    Bool,
    Bytes,
    Inet,
    Array,
    Other,
}

impl Governed {
    /// Binds the rules. Every error at once.
    ///
    /// A rule names a table, partition, foreign table, materialized view or view. The mask must fit the column's exact
    /// type; `row-token` needs a primary key of ungoverned columns; `token` is not made by this version.
    pub fn bind(snapshot: &Snapshot, rules: &[ColumnRule]) -> Result<Governed, Vec<BindError>> {
        let mut errors = Vec::new();
        let mut columns: BTreeMap<u32, BTreeMap<i16, Mask>> = BTreeMap::new();
        for rule in rules {
            match place(snapshot, rule) {
                Ok((oid, num)) => {
                    let mask = Mask { class: rule.class.clone(), kind: rule.kind.clone() };
                    if columns
                        .entry(oid)
                        .or_default()
                        .insert(num, mask.clone())
                        .is_some_and(|old| old != mask)
                    {
                        errors.push(error(rule, "two rules differ on this column"));
                    }
                }
                Err(what) => errors.push(error(rule, what)),
            }
        }
        for rule in rules {
            let Ok((oid, num)) = place(snapshot, rule) else { continue };
            let relation = &snapshot.relations[&oid];
            let Some(column) = relation.column_at(num) else { continue };
            if let Err(what) = fits(relation, column, &rule.kind, &columns[&oid]) {
                errors.push(error(rule, what));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        inherit(snapshot, &mut columns);
        while generate(snapshot, &mut columns) {
            inherit(snapshot, &mut columns);
        }
        let mut governed = Governed::default();
        let mut own_of_views = BTreeMap::new();
        for (oid, masks) in columns {
            if snapshot.relations[&oid].kind == 'v' {
                own_of_views.insert(oid, masks);
            } else {
                governed.relations.insert(oid, Cover::Columns(masks));
            }
        }
        for (oid, relation) in &snapshot.relations {
            if relation.definition.is_some() {
                governed.expand(snapshot, *oid, &own_of_views, &mut BTreeSet::new());
            }
        }
        governed.names = governed.relations.keys().map(|oid| snapshot.relations[oid].name.clone()).collect();
        governed.tell(snapshot);
        Ok(governed)
    }

    /// No column is governed.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }

    /// The OID of every relation with governed columns, and of every view over one.
    pub fn relations(&self) -> impl Iterator<Item = u32> {
        self.relations.keys().copied()
    }

    /// Every governed column: relation OID, attribute number, class. For the tripwire's check of row descriptions.
    pub fn columns(&self) -> impl Iterator<Item = (u32, i16, &Class)> {
        self.relations.iter().flat_map(|(oid, cover)| {
            let masks = match cover {
                Cover::Columns(masks) => Some(masks),
                Cover::View(body) => Some(&body.masks),
                Cover::Broken => None,
            };
            masks.into_iter().flatten().map(|(num, mask)| (*oid, *num, &mask.class))
        })
    }

    /// The indexes that begin with a governed column: a plan that reads by one gives rows in the order of raw values.
    pub fn indexes_that_order(&self, snapshot: &Snapshot) -> Vec<String> {
        let governed = self.relations.keys().filter_map(|oid| snapshot.relations.get(oid));
        let indexes = governed.flat_map(|r| r.indexes.iter().map(move |(index, used)| (r, index, used)));
        let begins = indexes.filter(|(relation, index, used)| {
            let is = |num: &i16| self.mask(relation.oid, *num).is_some();
            // Of an expression it is not known which columns are in it.
            index.keys.first().is_some_and(|num| is(num) || *num == 0 && used.iter().any(is))
        });
        begins.filter_map(|(_, index, _)| snapshot.relation_name(index.oid)).collect()
    }

    /// The tables whose rows are in one partition or another by a governed column.
    pub fn parted(&self, snapshot: &Snapshot) -> Vec<String> {
        let by = |r: &&Relation| r.partition_key.iter().any(|num| self.mask(r.oid, *num).is_some());
        let relations = self.relations.keys().filter_map(|oid| snapshot.relations.get(oid));
        relations.filter(by).filter_map(|r| snapshot.relation_name(r.oid)).collect()
    }

    pub(crate) fn cover(&self, oid: u32) -> Option<&Cover> {
        self.relations.get(&oid)
    }

    /// The masks of a relation's own columns.
    pub(crate) fn masks(&self, oid: u32) -> Option<&BTreeMap<i16, Mask>> {
        match self.relations.get(&oid)? {
            Cover::Columns(masks) => Some(masks),
            Cover::View(body) => Some(&body.masks),
            Cover::Broken => None,
        }
    }

    pub(crate) fn mask(&self, oid: u32, num: i16) -> Option<&Mask> {
        self.masks(oid)?.get(&num)
    }

    /// Covers a view or materialized view if anything below it is covered.
    fn expand(
        &mut self,
        snapshot: &Snapshot,
        oid: u32,
        own: &BTreeMap<u32, BTreeMap<i16, Mask>>,
        path: &mut BTreeSet<u32>,
    ) {
        let Some(relation) = snapshot.relations.get(&oid) else { return };
        let Some(definition) = &relation.definition else { return };
        let done = match self.relations.get(&oid) {
            Some(Cover::View(_) | Cover::Broken) => true,
            Some(Cover::Columns(_)) | None => false,
        };
        if done || path.contains(&oid) {
            return;
        }
        if path.len() >= VIEW_DEPTH_MAX {
            // What stands below is not followed, so that nobody knows what it shows.
            self.relations.insert(oid, Cover::Broken);
            return;
        }
        path.insert(oid);
        for (below, _) in &relation.depends {
            self.expand(snapshot, *below, own, path);
        }
        path.remove(&oid);
        let masks = own.get(&oid).cloned().unwrap_or_default();
        let reaches = relation.depends.iter().any(|(below, _)| self.relations.contains_key(below));
        if !reaches && masks.is_empty() {
            return;
        }
        let cover = self.body(snapshot, relation, definition, masks);
        match (relation.kind, cover) {
            ('v', Some(body)) => {
                self.relations.insert(oid, Cover::View(Box::new(body)));
            }
            ('v', None) => {
                self.relations.insert(oid, Cover::Broken);
            }
            (_, body) => {
                let masks = self.stored(snapshot, relation, body.as_ref());
                if !masks.is_empty() {
                    self.relations.insert(oid, Cover::Columns(masks));
                }
            }
        }
    }

    fn body(
        &self,
        snapshot: &Snapshot,
        relation: &Relation,
        definition: &str,
        masks: BTreeMap<i16, Mask>,
    ) -> Option<ViewBody> {
        let mut statements = parse(definition).ok()?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else { return None };
        let (analysis, sources) = analyze_view(&statement, snapshot, self)?;
        if sources.len() != relation.columns.len() || analysis.refuse.is_some() {
            return None;
        }
        Some(ViewBody { statement, analysis, sources, masks })
    }

    /// Whether governed columns decide which rows a stored body has or in which order they come, in it or in a view below.
    fn chooses(&self, snapshot: &Snapshot, relation: &Relation, body: &ViewBody) -> bool {
        let shown = |used: &GovernedUse| used.positions.iter().all(|p| *p == Position::Output);
        let below = |oid: &u32| match (self.relations.get(oid), snapshot.relations.get(oid)) {
            (Some(Cover::View(body)), Some(relation)) => self.chooses(snapshot, relation, body),
            _ => false,
        };
        !body.analysis.governed.iter().all(shown) || relation.depends.iter().any(|(oid, _)| below(oid))
    }

    /// The masks of a materialized view: its own rules, and a constant for each column that derives from a governed one. For
    /// all of them where governed columns choose the rows.
    fn stored(
        &self,
        snapshot: &Snapshot,
        relation: &Relation,
        body: Option<&ViewBody>,
    ) -> BTreeMap<i16, Mask> {
        let mut masks = match self.relations.get(&relation.oid) {
            Some(Cover::Columns(masks)) => masks.clone(),
            _ => BTreeMap::new(),
        };
        for (i, column) in relation.columns.iter().enumerate() {
            let class = match body {
                Some(body) if self.chooses(snapshot, relation, body) => self.any_class(relation),
                Some(body) => {
                    body.sources[i].iter().find_map(|(oid, num)| Some(self.mask(*oid, *num)?.class.clone()))
                }
                None => self.any_class(relation),
            };
            if let Some(class) = class {
                masks.entry(column.num).or_insert(Mask { class, kind: derived(column) });
            }
        }
        masks
    }

    fn any_class(&self, relation: &Relation) -> Option<Class> {
        let of = |cover: &Cover| match cover {
            Cover::Columns(masks) => masks.values().map(|mask| mask.class.clone()).next(),
            Cover::View(body) => {
                let own = body.masks.values().map(|mask| mask.class.clone()).next();
                own.or_else(|| body.analysis.governed.first().map(|used| used.class.clone()))
            }
            Cover::Broken => None,
        };
        let below = relation.depends.iter().filter_map(|(oid, _)| self.relations.get(oid));
        below.chain(self.relations.values()).find_map(of)
    }

    fn tell(&mut self, snapshot: &Snapshot) {
        let mut tells = Tells::default();
        for oid in self.relations.keys() {
            let relation = &snapshot.relations[oid];
            let governed = |num: &i16| self.mask(*oid, *num).is_some();
            let told = |c: &&Constraint| matches!(c.kind, 'c' | 'x') && c.columns.iter().any(governed);
            tells.constraints.extend(relation.constraints.iter().filter(told).map(|c| c.oid));
            let computed =
                relation.indexes.iter().filter(|(i, columns)| i.computed && columns.iter().any(governed));
            tells.indexes.extend(computed.map(|(i, _)| i.oid));
            if relation.partition_key.iter().any(|num| *num == 0 || governed(num)) {
                tells.partitions.extend(&relation.children);
            }
        }
        self.tells = tells;
    }
}

/// The SQL expression that stands for a governed column. `qualifier`: a quoted alias, where one is needed.
pub(crate) fn mask_sql(
    relation: &Relation,
    column: &Column,
    kind: &MaskKind,
    qualifier: Option<&str>,
) -> String {
    let name = |c: &Column| match qualifier {
        Some(q) => format!("{q}.{}", quote(&c.name)),
        None => quote(&c.name),
    };
    let raw = name(column);
    let value = match kind {
        MaskKind::Null | MaskKind::Token => "NULL".to_owned(),
        MaskKind::Redact => literal(redacted(family(column)).unwrap_or_default()),
        MaskKind::RowToken => {
            let key = relation.primary_key().unwrap_or_default();
            let key: Vec<String> = key.into_iter().map(name).collect();
            format!("pg_catalog.concat_ws('_', {}, {})", literal(&column.name), key.join(", "))
        }
        MaskKind::Partial { keep } => format!(
            "CASE WHEN pg_catalog.length({raw}) OPERATOR(pg_catalog.>) {keep} THEN pg_catalog.concat(pg_catalog.repeat('*', \
             pg_catalog.length({raw}) OPERATOR(pg_catalog.-) {keep}), pg_catalog.right({raw}, {keep})) \
             ELSE pg_catalog.repeat('*', pg_catalog.length({raw})) END"
        ),
        MaskKind::Bucket { width } => match family(column) {
            Family::Date | Family::Timestamp => format!("pg_catalog.date_trunc('year', {raw})"),
            _ => format!(
                "pg_catalog.trunc({raw} OPERATOR(pg_catalog./) CAST({width} AS numeric)) OPERATOR(pg_catalog.*) {width}"
            ),
        },
    };
    // NULL is never redacted to a value of another type: an unfit mask was refused when it was bound.
    let value = if *kind == MaskKind::Redact && redacted(family(column)).is_none() {
        "NULL".to_owned()
    } else {
        value
    };
    let cast = format!("CAST({value} AS {})", column.type_name);
    match &column.collation {
        Some(collation) => format!("{cast} COLLATE {collation}"),
        None if matches!(column.base_type.as_str(), "text" | "character varying" | "character") => {
            format!("{cast} COLLATE pg_catalog.\"default\"")
        }
        None => cast,
    }
}

/// An identifier, quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant, under `standard_conforming_strings = on`.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(crate) const CANNOT_EXPAND: Reason =
    Reason::refused("This view reaches governed columns in a way that the gateway cannot mask.");

fn error(rule: &ColumnRule, what: impl Into<String>) -> BindError {
    BindError { column: format!("{}.{}.{}", rule.schema, rule.table, rule.column), what: what.into() }
}

fn place(snapshot: &Snapshot, rule: &ColumnRule) -> Result<(u32, i16), String> {
    let relation =
        snapshot.relation(&rule.schema, &rule.table).ok_or("there is no such relation in the catalog")?;
    if !matches!(relation.kind, 'r' | 'p' | 'm' | 'f' | 'v') || relation.is_system() {
        return Err("only columns of tables and views of your own can be governed".into());
    }
    let column = relation.column(&rule.column).ok_or("the relation has no such column")?;
    Ok((relation.oid, column.num))
}

/// Whether a mask of `kind` has the column's exact type.
fn fits(
    relation: &Relation,
    column: &Column,
    kind: &MaskKind,
    masks: &BTreeMap<i16, Mask>,
) -> Result<(), String> {
    let family = family(column);
    let kinds = match kind {
        MaskKind::Null => return Ok(()),
        MaskKind::Token => {
            return Err(
                "kind `token` needs values that the gateway resolves, which this version does not do: use \
                        `row-token`"
                    .into(),
            );
        }
        MaskKind::Redact if redacted(family).is_some() => return Ok(()),
        MaskKind::Redact => "null",
        MaskKind::Partial { .. } if family == Family::Text => return Ok(()),
        MaskKind::Partial { .. } => "null or redact",
        MaskKind::Bucket { width: 0 } => return Err("a bucket of width 0 holds nothing".into()),
        MaskKind::Bucket { .. } => match family {
            Family::Date | Family::Timestamp | Family::Integer | Family::Numeric => return Ok(()),
            _ => "null or redact",
        },
        MaskKind::RowToken if family == Family::Text => return row_token(relation, column, masks),
        MaskKind::RowToken => "null, redact or bucket",
    };
    Err(format!("kind `{}` does not fit type {}: use {kinds}", kind.as_str(), column.type_name))
}

fn row_token(relation: &Relation, column: &Column, masks: &BTreeMap<i16, Mask>) -> Result<(), String> {
    let key = relation.primary_key().ok_or("kind `row-token` needs a primary key: use `null` or `redact`")?;
    if key.iter().any(|c| masks.contains_key(&c.num)) {
        return Err(
            "kind `row-token` needs a primary key without governed columns: use `null` or `redact`".into()
        );
    }
    // varchar(n) and char(n) keep n + 4 in their modifier; a bigint has at most 20 characters.
    let room = i64::from(column.typmod) - 4;
    let needed = column.name.chars().count() as i64 + 21 * key.len() as i64;
    if column.typmod >= 0 && room < needed {
        return Err(format!(
            "kind `row-token` needs {needed} characters and {} has {room}: use `null`",
            column.type_name
        ));
    }
    Ok(())
}

fn family(column: &Column) -> Family {
    if column.type_kind != 'b' {
        return Family::Other;
    }
    match column.base_type.as_str() {
        "text" | "character varying" | "character" | "name" => Family::Text,
        "smallint" | "integer" | "bigint" => Family::Integer,
        "numeric" => Family::Numeric,
        "real" | "double precision" => Family::Float,
        "date" => Family::Date,
        "timestamp without time zone" | "timestamp with time zone" => Family::Timestamp,
        "time without time zone" | "time with time zone" => Family::Time,
        "interval" => Family::Interval,
        "json" | "jsonb" => Family::Json,
        "uuid" => Family::Uuid,
        "boolean" => Family::Bool,
        "bytea" => Family::Bytes,
        "inet" | "cidr" => Family::Inet,
        other if other.ends_with("[]") => Family::Array,
        _ => Family::Other,
    }
}

/// The constant that redacts, as text.
fn redacted(family: Family) -> Option<&'static str> {
    Some(match family {
        Family::Text => "redacted",
        Family::Integer | Family::Numeric | Family::Float => "0",
        Family::Date => "1970-01-01",
        Family::Timestamp => "1970-01-01 00:00:00+00",
        Family::Time => "00:00:00+00",
        Family::Interval => "0",
        Family::Json | Family::Array => "{}",
        Family::Uuid => "00000000-0000-0000-0000-000000000000",
        Family::Bool => "false",
        Family::Bytes => "",
        Family::Inet => "0.0.0.0",
        Family::Other => return None,
    })
}

/// What stands for a column that derives from a governed one.
fn derived(column: &Column) -> MaskKind {
    if family(column) == Family::Text { MaskKind::Redact } else { MaskKind::Null }
}

/// A generated column is governed where one of those is of which it is made. Whether there are more now.
fn generate(snapshot: &Snapshot, columns: &mut BTreeMap<u32, BTreeMap<i16, Mask>>) -> bool {
    let mut more = false;
    for (oid, masks) in columns {
        let generated = snapshot.relations.get(oid).into_iter().flat_map(|r| &r.columns);
        for column in generated {
            let class = column.made_of.iter().find_map(|num| Some(masks.get(num)?.class.clone()));
            if let (Some(class), false) = (class, masks.contains_key(&column.num)) {
                masks.insert(column.num, Mask { class, kind: derived(column) });
                more = true;
            }
        }
    }
    more
}

/// A governed column is governed in every parent and child of its table, by name, as PostgreSQL merges them.
fn inherit(snapshot: &Snapshot, columns: &mut BTreeMap<u32, BTreeMap<i16, Mask>>) {
    let mut work: Vec<u32> = columns.keys().copied().collect();
    while let Some(oid) = work.pop() {
        let Some(relation) = snapshot.relations.get(&oid) else { continue };
        let masks = columns.get(&oid).cloned().unwrap_or_default();
        for kin in relation.parents.iter().chain(&relation.children).filter_map(|o| snapshot.relations.get(o))
        {
            for (num, mask) in &masks {
                let Some(column) = relation.column_at(*num).and_then(|c| kin.column(&c.name)) else {
                    continue;
                };
                let known = columns.entry(kin.oid).or_default();
                if known.contains_key(&column.num) {
                    continue;
                }
                let kind = match fits(kin, column, &mask.kind, known) {
                    Ok(()) => mask.kind.clone(),
                    Err(_) => MaskKind::Null,
                };
                known.insert(column.num, Mask { class: mask.class.clone(), kind });
                work.push(kin.oid);
            }
        }
    }
}
