//! `touched`: what a run did to what, and whether it stayed.

use std::collections::BTreeMap;

use index::{Action, Effect, Run};
use serde::{Deserialize, Serialize};
use vocab::Seq;

use crate::desk::{Cannot, Desk, ProofLine, is_false};
use crate::exposed::{not_durable, others_missing};
use crate::line::{Cites, ColumnLine, RunLine, column_line, run_line};
use crate::runs::{StartedLine, UnreadLine, family, render_run, render_started, render_unread, unread};
use crate::shape::Answer;
use crate::text::{Text, count, visible_name};
use crate::watch::Look;

/// The position of a column whose value went into what was written.
const WRITE_SOURCE: &str = "write-source";

/// Everything that a run touched, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    pub run: RunLine,
    /// The runs that it started, whose touches are among these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started: Vec<StartedLine>,
    /// Sorted by resource path, then verb.
    pub touches: Vec<TouchedLine>,
    pub functions: Vec<FunctionLine>,
    /// Actions whose effect could not be known beforehand: what they touched is not in `touches` whole.
    pub opaque: Vec<OpaqueLine>,
    /// What is not claimed.
    #[serde(default)]
    pub limits: Vec<String>,
    pub unread: Vec<UnreadLine>,
    pub proof: ProofLine,
}

/// One resource path under one verb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchedLine {
    pub on: String,
    pub verb: String,
    pub columns: Vec<ColumnLine>,
    /// Those of `columns` that only refused actions named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_columns: Vec<ColumnLine>,
    /// Which of `columns` have a class, with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassLine>,
    pub actions: u64,
    pub committed: u64,
    pub rolled_back: u64,
    pub pending: u64,
    pub indeterminate: u64,
    pub refused: u64,
    /// Prepared, described or explained, and not run: in no other count.
    #[serde(default)]
    pub prepared: u64,
    /// It is a database's own catalog, as the database keeps it: of another resource, a path can be named the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub catalog: bool,
    #[serde(flatten)]
    pub cites: Cites,
}

/// A column's class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassLine {
    pub column: String,
    pub class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionLine {
    pub function: String,
    pub actions: u64,
    #[serde(flatten)]
    pub cites: Cites,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpaqueLine {
    pub record: u64,
    pub why: String,
    pub effect: String,
}

impl Desk<'_> {
    pub fn touched(&self, run: &str) -> Result<Touched, Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Touched, &run.id.to_string())?;
        Ok(self.touched_run(run, proof))
    }

    pub(crate) fn touched_run(&self, run: &Run, proof: ProofLine) -> Touched {
        let family = family(self.index, run);
        let actions = || family.iter().flat_map(|run| run.actions.iter().map(move |action| (*run, action)));
        Touched {
            run: run_line(run),
            started: StartedLine::all(&family),
            touches: touches(actions()),
            functions: functions(actions().map(|(_, action)| action)),
            opaque: actions().filter_map(|(run, a)| opaque(run, a)).collect(),
            limits: not_durable(actions().map(|(_, action)| action))
                .into_iter()
                .chain(others_missing(self.index))
                .collect(),
            unread: family.iter().flat_map(|run| unread(run)).collect(),
            proof: self.sealing(proof, family.iter().flat_map(|run| run.records.iter().copied())),
        }
    }
}

impl Answer for Touched {
    const SHAPE: &'static str = "tacho.touched/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        render_run(text, &self.run);
        render_started(text, &self.started);
        text.blank();
        if self.touches.is_empty() {
            text.line("It touched nothing that is recorded.");
        } else {
            let (own, system): (Vec<_>, Vec<_>) = self.touches.iter().partition(|t| !t.is_of_catalog());
            let headers = ["RESOURCE", "VERB", "COLUMNS", "ACTIONS", "EFFECT", "RECORDS"];
            if !own.is_empty() {
                text.table(&headers, &own.into_iter().map(touched_row).collect::<Vec<_>>());
            }
            render_catalogs(text, &system);
            if self.touches.iter().flat_map(|t| &t.columns).any(|column| column.at == WRITE_SOURCE) {
                text.line("  (write-source: what was written was taken from this column)");
            }
        }
        if !self.functions.is_empty() {
            text.blank();
            let row = |f: &FunctionLine| vec![f.function.clone(), f.actions.to_string(), f.cites.text()];
            text.table(
                &["FUNCTION", "ACTIONS", "RECORDS"],
                &self.functions.iter().map(row).collect::<Vec<_>>(),
            );
        }
        if !self.opaque.is_empty() {
            text.blank();
            text.line("Opaque actions: what they touched cannot be told from the request.");
            let row = |o: &OpaqueLine| vec![o.record.to_string(), o.effect.clone(), o.why.clone()];
            text.table(&["RECORD", "EFFECT", "WHY"], &self.opaque.iter().map(row).collect::<Vec<_>>());
        }
        self.limits.iter().for_each(|limit| text.pair("not claimed", limit));
        render_unread(text, &self.unread);
        text.blank();
        text.line(&self.proof.text());
    }
}

impl Touched {
    /// The answer in one sentence.
    pub fn sentence(&self) -> String {
        let done = |t: &&TouchedLine| t.committed + t.indeterminate + t.pending > 0;
        let reads = |t: &&TouchedLine| t.verb == "read" && !t.is_of_catalog();
        let read = self.touches.iter().filter(reads).filter(done).count();
        // To connect is to use nothing yet.
        let uses = |t: &&TouchedLine| t.verb != "read" && t.verb != "connect";
        let changed = self.touches.iter().filter(uses).filter(done).count();
        let refused = self.touches.iter().fold(0, |sum: u64, t| sum.saturating_add(t.refused));
        let opaque = self.opaque.iter().filter(|o| o.effect != "refused").count();
        let unknown = match opaque as u64 {
            0 => String::new(),
            n => format!(" {} touched what nobody can tell.", count(n, "opaque action")),
        };
        let read = count(read as u64, "resource");
        format!("{read} read, {changed} changed or used; {refused} refused.{unknown}")
    }
}

impl TouchedLine {
    /// `12 committed, 1 refused`.
    pub fn effects(&self) -> String {
        let counts = [
            (self.committed, "committed"),
            (self.rolled_back, "rolled back"),
            (self.pending, "pending"),
            (self.indeterminate, "INDETERMINATE"),
            (self.refused, "refused"),
            (self.prepared, "prepared only"),
        ];
        let some: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        some.join(", ")
    }

    /// `ssn (pii.ssn) predicate, output; name output; refused: card (pii.card) output`: those with a class first.
    pub fn columns_text(&self) -> String {
        let named: Vec<&ColumnLine> =
            self.columns.iter().filter(|column| !self.refused_columns.contains(column)).collect();
        let done = self.by_column(named);
        match self.by_column(self.refused_columns.iter().collect()) {
            refused if refused.is_empty() => done,
            refused if done.is_empty() => format!("refused: {refused}"),
            refused => format!("{done}; refused: {refused}"),
        }
    }

    fn by_column(&self, uses: Vec<&ColumnLine>) -> String {
        let mut by_column: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
        for use_ in uses {
            let plain = self.class_of(&use_.column).is_none();
            by_column.entry((plain, &use_.column)).or_default().push(&use_.at);
        }
        let class = |column| self.class_of(column).map(|class| format!(" ({class})")).unwrap_or_default();
        let each: Vec<String> = by_column
            .iter()
            .map(|((_, c), at)| format!("{}{} {}", visible_name(c), class(*c), at.join(", ")))
            .collect();
        each.join("; ")
    }

    fn class_of(&self, column: &str) -> Option<&str> {
        self.classes.iter().find(|line| line.column == column).map(|line| &*line.class)
    }

    /// A plain read of a database's own catalog, as each client's `\d` makes dozens of.
    fn is_of_catalog(&self) -> bool {
        self.catalog && self.verb == "read" && self.refused == 0 && self.classes.is_empty()
    }
}

/// Whether a path lies in the system catalog of the database that was asked: all else says of what kind it is.
fn is_of_catalog(run: &Run, action: &Action, on: &str) -> bool {
    let mut segments = on.split('/');
    let (resource, schema) = (segments.next(), segments.nth(1));
    let connect = action.session.and_then(|id| run.sessions.get(&id)?.connect.as_ref());
    let database = connect.is_some_and(|c| {
        let kind = c.what.options.get("kind");
        kind.is_none_or(|kind| &**kind == "postgres") && resource == Some(&*c.what.resource)
    });
    let system = matches!(schema, Some("pg_catalog" | "information_schema"));
    system && database && &*action.request().via != "request"
}

/// Those of one catalog in one line.
fn render_catalogs(text: &mut Text, touches: &[&TouchedLine]) {
    let mut catalogs: BTreeMap<&str, (u64, Cites)> = BTreeMap::new();
    for touch in touches {
        let schema = touch.on.rsplit_once('/').map_or(&*touch.on, |(schema, _)| schema);
        let (relations, cites) = catalogs.entry(schema).or_default();
        *relations += 1;
        touch.cites.records.iter().for_each(|seq| cites.add(Seq(*seq)));
        cites.more_records += touch.cites.more_records;
    }
    for (schema, (relations, cites)) in catalogs {
        let relations = count(relations, "relation");
        text.line(&format!(
            "  {schema}: {relations} of the system read; --json names them (records {})",
            cites.text()
        ));
    }
}

/// What was touched, summed by resource path and verb.
fn touches<'a>(actions: impl Iterator<Item = (&'a Run, &'a Action)>) -> Vec<TouchedLine> {
    let mut lines: BTreeMap<(&str, &str), TouchedLine> = BTreeMap::new();
    for (run, action) in actions {
        let effect = run.effect(action);
        for touch in &action.request().touches {
            let key = (&*touch.on, touch.verb.as_str());
            let line = lines.entry(key).or_insert_with(|| TouchedLine::new(key.0, key.1));
            line.catalog = is_of_catalog(run, action, &touch.on) && (line.catalog || line.actions == 0);
            line.count(effect);
            line.cites.add(action.cite());
            for column in touch.columns.iter().map(column_line) {
                line.column(column, effect == Effect::Refused);
            }
            line.govern(&action.request().governed);
        }
    }
    lines.into_values().collect()
}

impl TouchedLine {
    fn new(on: &str, verb: &str) -> TouchedLine {
        TouchedLine {
            on: on.to_owned(),
            verb: verb.to_owned(),
            columns: Vec::new(),
            refused_columns: Vec::new(),
            classes: Vec::new(),
            actions: 0,
            committed: 0,
            rolled_back: 0,
            pending: 0,
            indeterminate: 0,
            refused: 0,
            prepared: 0,
            catalog: false,
            cites: Cites::default(),
        }
    }

    /// Notes a column's use; one that an action which was not refused made is no longer only refused.
    fn column(&mut self, column: ColumnLine, refused: bool) {
        if let Err(at) = self.columns.binary_search(&column) {
            self.columns.insert(at, column.clone());
            if refused {
                self.refused_columns.push(column.clone());
            }
        }
        if !refused {
            self.refused_columns.retain(|only| *only != column);
        }
    }

    fn govern(&mut self, governed: &[index::Governed]) {
        for column in governed {
            let name = column.on.strip_prefix(&*self.on).and_then(|rest| rest.strip_prefix('/'));
            let Some(name) = name.filter(|name| self.columns.iter().any(|c| c.column == *name)) else {
                continue;
            };
            if self.class_of(name).is_none() {
                self.classes.push(ClassLine { column: name.to_owned(), class: column.class.to_string() });
            }
        }
    }

    fn count(&mut self, effect: Effect) {
        self.actions += 1;
        let counter = match effect {
            Effect::Committed => &mut self.committed,
            Effect::RolledBack => &mut self.rolled_back,
            Effect::Pending => &mut self.pending,
            Effect::Indeterminate => &mut self.indeterminate,
            Effect::Refused => &mut self.refused,
            Effect::Prepared => &mut self.prepared,
        };
        *counter += 1;
    }
}

fn functions<'a>(actions: impl Iterator<Item = &'a Action>) -> Vec<FunctionLine> {
    let mut lines: BTreeMap<&str, FunctionLine> = BTreeMap::new();
    for action in actions {
        for function in &action.request().functions {
            let line = lines.entry(function).or_insert_with(|| FunctionLine {
                function: function.to_string(),
                actions: 0,
                cites: Cites::default(),
            });
            line.actions += 1;
            line.cites.add(action.cite());
        }
    }
    lines.into_values().collect()
}

fn opaque(run: &Run, action: &Action) -> Option<OpaqueLine> {
    let why = action.request().opaque.as_ref()?;
    let effect = run.effect(action).as_str().to_owned();
    Some(OpaqueLine { record: action.cite().0, why: why.to_string(), effect })
}

fn touched_row(line: &TouchedLine) -> Vec<String> {
    vec![
        line.on.clone(),
        line.verb.clone(),
        line.columns_text(),
        line.actions.to_string(),
        line.effects(),
        line.cites.text(),
    ]
}
