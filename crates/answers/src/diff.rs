//! `diff`: what one run did that another did not.

use std::collections::BTreeSet;

use index::Run;
use serde::{Deserialize, Serialize};

use crate::desk::{Cannot, Desk, ProofLine};
use crate::limits::DIFF_ACTIONS_MAX;
use crate::line::{RunLine, run_line};
use crate::shape::Answer;
use crate::text::{Text, statement_line};
use crate::watch::Look;

/// Two runs side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    pub left: RunLine,
    pub right: RunLine,
    /// `order`: actions were aligned in order. `set`: one run was too long for that, and statements were compared as
    /// sets.
    pub by: String,
    /// Actions of both, in order; alike ones are only counted between the others.
    pub steps: Vec<DiffStep>,
    pub touched_only_left: Vec<String>,
    pub touched_only_right: Vec<String>,
    pub classes_only_left: Vec<String>,
    pub classes_only_right: Vec<String>,
    pub proof: ProofLine,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStep {
    /// `same` (with `count`), `left`, `right`, or `verdict`: the same statement with another verdict or effect.
    pub what: String,
    pub count: u64,
    pub statement: Option<String>,
    pub left: Option<u64>,
    pub right: Option<u64>,
    pub left_ended: Option<String>,
    pub right_ended: Option<String>,
}

impl Desk<'_> {
    pub fn diff(&self, left: &str, right: &str) -> Result<Diff, Cannot> {
        let (left, right) = (self.find_run(left)?, self.find_run(right)?);
        let proof = self.look(Look::Diff, &format!("{} {}", left.id, right.id))?;
        let ordered = left.actions.len().max(right.actions.len()) <= DIFF_ACTIONS_MAX;
        let (a, b) = (steps_of(left), steps_of(right));
        let steps = if ordered { aligned(&a, &b) } else { as_sets(&a, &b) };
        let (paths_a, paths_b) = (paths(left), paths(right));
        let (classes_a, classes_b) = (classes(left), classes(right));
        Ok(Diff {
            left: run_line(left),
            right: run_line(right),
            by: if ordered { "order".into() } else { "set".into() },
            steps,
            touched_only_left: paths_a.difference(&paths_b).cloned().collect(),
            touched_only_right: paths_b.difference(&paths_a).cloned().collect(),
            classes_only_left: classes_a.difference(&classes_b).cloned().collect(),
            classes_only_right: classes_b.difference(&classes_a).cloned().collect(),
            proof: self.sealing(proof, left.records.iter().chain(&right.records).copied()),
        })
    }
}

impl Answer for Diff {
    const SHAPE: &'static str = "tacho.diff/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        for (mark, run) in [("<", &self.left), (">", &self.right)] {
            let who = [&run.agent, &run.human].map(|t| t.as_deref().unwrap_or("unknown"));
            text.line(&format!("{mark} {}  {} for {}  {} actions", run.run, who[0], who[1], run.actions));
        }
        text.blank();
        for step in &self.steps {
            text.line(&step.text());
        }
        for (title, list) in [
            ("touched only by <", &self.touched_only_left),
            ("touched only by >", &self.touched_only_right),
            ("classes only in <", &self.classes_only_left),
            ("classes only in >", &self.classes_only_right),
        ] {
            list.iter().for_each(|item| text.pair(title, item));
        }
        if self.by == "set" {
            text.line("One run is too long to be aligned in order; statements were compared as sets.");
        }
        text.blank();
        text.line(&self.proof.text());
    }

    /// 1 if they differ.
    fn exit_code(&self) -> u8 {
        u8::from(self.steps.iter().any(|step| step.what != "same"))
    }
}

impl DiffStep {
    fn text(&self) -> String {
        let statement = statement_line(self.statement.as_deref().unwrap_or(""));
        let (left, right) =
            (self.left_ended.as_deref().unwrap_or(""), self.right_ended.as_deref().unwrap_or(""));
        match &*self.what {
            "same" => format!("  {} alike", self.count),
            "left" => format!("< #{} {statement}  [{left}]", self.left.unwrap_or(0)),
            "right" => format!("> #{} {statement}  [{right}]", self.right.unwrap_or(0)),
            _ => format!(
                "! #{} / #{} {statement}  [{left}] / [{right}]",
                self.left.unwrap_or(0),
                self.right.unwrap_or(0)
            ),
        }
    }
}

/// What is compared of an action: its statement's shape, and how it ended.
struct Step<'a> {
    record: u64,
    statement: &'a str,
    ended: String,
}

fn steps_of(run: &Run) -> Vec<Step<'_>> {
    let step = |action: &'_ index::Action| (action.cite().0, run.effect(action).as_str());
    let each = run.actions.iter().map(|action| {
        let (record, effect) = step(action);
        let ended = format!("{}, {effect}", action.request().verdict);
        Step { record, statement: &action.request().statement, ended }
    });
    each.collect()
}

/// Longest common subsequence over the statements.
fn aligned(a: &[Step<'_>], b: &[Step<'_>]) -> Vec<DiffStep> {
    let width = b.len() + 1;
    let mut table = vec![0u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i * width + j] = if a[i].statement == b[j].statement {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i].statement == b[j].statement {
            both(&mut steps, &a[i], &b[j]);
            (i, j) = (i + 1, j + 1);
        } else if j >= b.len() || (i < a.len() && table[(i + 1) * width + j] >= table[i * width + j + 1]) {
            steps.push(DiffStep::left(&a[i]));
            i += 1;
        } else {
            steps.push(DiffStep::right(&b[j]));
            j += 1;
        }
    }
    steps
}

fn as_sets(a: &[Step<'_>], b: &[Step<'_>]) -> Vec<DiffStep> {
    let of = |steps: &[Step<'_>]| steps.iter().map(|s| s.statement.to_owned()).collect::<BTreeSet<String>>();
    let (in_a, in_b) = (of(a), of(b));
    let mut seen = BTreeSet::new();
    let only_a =
        a.iter().filter(|s| !in_b.contains(s.statement) && seen.insert(s.statement)).map(DiffStep::left);
    let mut steps: Vec<DiffStep> = only_a.collect();
    let mut seen = BTreeSet::new();
    let only_b =
        b.iter().filter(|s| !in_a.contains(s.statement) && seen.insert(s.statement)).map(DiffStep::right);
    steps.extend(only_b);
    steps
}

fn both(steps: &mut Vec<DiffStep>, a: &Step<'_>, b: &Step<'_>) {
    if a.ended != b.ended {
        let (left, right) = (DiffStep::left(a), DiffStep::right(b));
        steps.push(DiffStep {
            what: "verdict".into(),
            right: right.right,
            right_ended: right.right_ended,
            ..left
        });
        return;
    }
    match steps.last_mut() {
        Some(last) if last.what == "same" => last.count += 1,
        _ => steps.push(DiffStep {
            what: "same".into(),
            count: 1,
            statement: None,
            left: Some(a.record),
            right: Some(b.record),
            left_ended: None,
            right_ended: None,
        }),
    }
}

impl DiffStep {
    fn left(step: &Step<'_>) -> DiffStep {
        DiffStep {
            what: "left".into(),
            count: 1,
            statement: Some(step.statement.to_owned()),
            left: Some(step.record),
            right: None,
            left_ended: Some(step.ended.clone()),
            right_ended: None,
        }
    }

    fn right(step: &Step<'_>) -> DiffStep {
        DiffStep {
            what: "right".into(),
            left: None,
            left_ended: None,
            right: Some(step.record),
            right_ended: Some(step.ended.clone()),
            ..DiffStep::left(step)
        }
    }
}

fn paths(run: &Run) -> BTreeSet<String> {
    let touches = run.actions.iter().flat_map(|a| &a.request().touches);
    touches.map(|t| format!("{} {}", t.verb, t.on)).collect()
}

fn classes(run: &Run) -> BTreeSet<String> {
    let exposures = run.actions.iter().flat_map(index::Action::exposures);
    exposures.map(|(_, e)| format!("{} {}", e.class, e.what)).collect()
}
