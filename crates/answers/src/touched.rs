//! `touched`: what a run did to what, and whether it stayed.

use std::collections::BTreeMap;

use index::{Action, Effect, Run};
use serde::{Deserialize, Serialize};

use crate::desk::{Cannot, Desk, ProofLine};
use crate::exposed::not_durable;
use crate::line::{Cites, ColumnLine, RunLine, column_line, run_line};
use crate::runs::{UnreadLine, render_run, render_unread, unread};
use crate::shape::Answer;
use crate::text::{Text, count};
use crate::watch::Look;

/// Everything that a run touched, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    pub run: RunLine,
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
    pub actions: u64,
    pub committed: u64,
    pub rolled_back: u64,
    pub pending: u64,
    pub indeterminate: u64,
    pub refused: u64,
    #[serde(flatten)]
    pub cites: Cites,
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
        Touched {
            run: run_line(run),
            touches: touches(run),
            functions: functions(run),
            opaque: run.actions.iter().filter_map(|a| opaque(run, a)).collect(),
            limits: not_durable(run.actions.iter()).into_iter().collect(),
            unread: unread(run),
            proof,
        }
    }
}

impl Answer for Touched {
    const SHAPE: &'static str = "tacho.touched/1";

    fn render(&self, text: &mut Text) {
        render_run(text, &self.run);
        text.blank();
        if self.touches.is_empty() {
            text.line("It touched nothing that is recorded.");
        } else {
            let headers = ["RESOURCE", "VERB", "COLUMNS", "ACTIONS", "EFFECT", "RECORDS"];
            text.table(&headers, &self.touches.iter().map(touched_row).collect::<Vec<_>>());
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
        let read = self.touches.iter().filter(|t| t.verb == "read").filter(done).count();
        let changed = self.touches.iter().filter(|t| t.verb != "read").filter(done).count();
        let refused: u64 = self.touches.iter().map(|t| t.refused).sum();
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
        ];
        let some: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        some.join(", ")
    }

    /// `name output; ssn predicate, output`.
    pub fn columns_text(&self) -> String {
        let mut by_column: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for use_ in &self.columns {
            by_column.entry(&use_.column).or_default().push(&use_.at);
        }
        let each: Vec<String> = by_column.iter().map(|(c, at)| format!("{c} {}", at.join(", "))).collect();
        each.join("; ")
    }
}

/// What a run touched, summed by resource path and verb.
pub(crate) fn touches(run: &Run) -> Vec<TouchedLine> {
    let mut lines: BTreeMap<(&str, &str), TouchedLine> = BTreeMap::new();
    for action in &run.actions {
        let effect = run.effect(action);
        for touch in &action.request().touches {
            let key = (&*touch.on, touch.verb.as_str());
            let line = lines.entry(key).or_insert_with(|| TouchedLine::new(key.0, key.1));
            line.count(effect);
            line.cites.add(action.cite());
            for column in touch.columns.iter().map(column_line) {
                if let Err(at) = line.columns.binary_search(&column) {
                    line.columns.insert(at, column);
                }
            }
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
            actions: 0,
            committed: 0,
            rolled_back: 0,
            pending: 0,
            indeterminate: 0,
            refused: 0,
            cites: Cites::default(),
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
        };
        *counter += 1;
    }
}

fn functions(run: &Run) -> Vec<FunctionLine> {
    let mut lines: BTreeMap<&str, FunctionLine> = BTreeMap::new();
    for action in &run.actions {
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
