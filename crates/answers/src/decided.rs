//! Decisions in answers: the tool calls that models issued, what each of them explains, and what none explains.

use index::{Cause, Decided, Run};
use serde::{Deserialize, Serialize};
use vocab::Seq;

use crate::html::{Attr, Html};
use crate::limits::{CAUSES_SHOWN_MAX, CITES_MAX};
use crate::line::{ActionLine, is_zero, time};
use crate::text::{Text, cell, count, statement_line};

/// A tool call that a model issued to the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionLine {
    pub record: u64,
    pub at: String,
    pub session: Option<u64>,
    /// The intent of the request whose answer holds it.
    pub of: Option<u64>,
    /// Its place in that answer, from 0.
    pub n: u64,
    pub model: String,
    pub tool: String,
    /// The provider's id of the call.
    pub call: Option<String>,
    /// JSON, masked; of long arguments, the beginning.
    pub arguments: String,
    /// The records of the actions that it explains, at most [`CITES_MAX`].
    pub actions: Vec<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_actions: u64,
}

/// A decision that explains an action. Of more than one, nobody can tell which it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseLine {
    /// The decision's record.
    pub decision: u64,
    /// `same`, `holds` or `within`: how its arguments say what was asked.
    pub how: String,
    /// `matched`: by content.
    pub strength: String,
}

/// A run's decisions in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedLine {
    pub decisions: u64,
    /// Actions that at least one decision explains.
    pub explained: u64,
    /// Actions that no decision explains, though one had been issued before them.
    pub orphans: u64,
}

/// One line of a timeline.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    Action(&'a ActionLine),
    Decision(&'a DecisionLine),
}

/// Actions and decisions in the order of their first records.
pub fn in_order<'a>(actions: &'a [ActionLine], decisions: &'a [DecisionLine]) -> Vec<Moment<'a>> {
    let decisions = decisions.iter().map(Moment::Decision);
    let mut moments: Vec<Moment<'a>> = actions.iter().map(Moment::Action).chain(decisions).collect();
    moments.sort_by_key(Moment::first);
    moments
}

impl Moment<'_> {
    pub fn session(&self) -> Option<u64> {
        match self {
            Moment::Action(action) => action.session,
            Moment::Decision(decision) => decision.session,
        }
    }

    fn first(&self) -> u64 {
        match self {
            Moment::Action(action) => action.cites.records.first().copied().unwrap_or(action.record),
            Moment::Decision(decision) => decision.record,
        }
    }
}

impl DecidedLine {
    pub(crate) fn of(run: &Run) -> DecidedLine {
        let caused = run.actions.iter().filter(|a| !a.causes.is_empty() && !run.asks_model(a));
        DecidedLine {
            decisions: run.decisions.len() as u64,
            explained: caused.count() as u64,
            orphans: run.actions.iter().filter(|a| run.is_orphan(a)).count() as u64,
        }
    }

    /// `3 decisions; 2 actions explained, 1 orphan`; nothing for a run that no model decided.
    pub fn sentence(&self) -> Option<String> {
        let [decisions, explained, orphans] = [
            count(self.decisions, "decision"),
            count(self.explained, "action"),
            count(self.orphans, "orphan"),
        ];
        (self.decisions > 0).then(|| format!("{decisions}; {explained} explained, {orphans}"))
    }
}

impl DecisionLine {
    /// `run_sql by gpt-x`, each name cut to a cell.
    pub fn title(&self) -> String {
        format!("{} by {}", cell(&self.tool), cell(&self.model))
    }
}

impl ActionLine {
    /// `because of decision #41 (matched: same)`, or that none explains it; nothing in a run that no model decided.
    pub fn explanation(&self) -> Option<String> {
        if self.orphan {
            return Some("no decision explains it (orphan)".to_owned());
        }
        let each = self.causes.iter().take(CAUSES_SHOWN_MAX);
        let each: Vec<String> =
            each.map(|c| format!("#{} ({}: {})", c.decision, c.strength, cell(&c.how))).collect();
        let more = match self.causes.len().saturating_sub(CAUSES_SHOWN_MAX) {
            0 => String::new(),
            more => format!(" or {more} more"),
        };
        (!each.is_empty()).then(|| format!("because of decision {}{more}", each.join(" or ")))
    }
}

pub(crate) fn decision_line(run: &Run, decided: &Decided) -> DecisionLine {
    let what = &decided.issued.what;
    let caused = decided.actions.iter().filter_map(|at| run.actions.get(*at)).map(|a| a.cite().0);
    DecisionLine {
        record: decided.issued.seq.0,
        at: time(decided.issued.at),
        session: decided.session,
        of: decided.of.map(|of| of.0),
        n: what.n,
        model: what.model.to_string(),
        tool: what.tool.to_string(),
        call: what.call.as_ref().map(ToString::to_string),
        arguments: what.arguments.to_string(),
        actions: caused.take(CITES_MAX).collect(),
        more_actions: decided.actions.len().saturating_sub(CITES_MAX) as u64,
    }
}

pub(crate) fn cause_line(cause: &Cause) -> CauseLine {
    let Cause { decision: Seq(decision), how } = cause;
    CauseLine { decision: *decision, how: how.to_string(), strength: "matched".to_owned() }
}

/// A decision on two lines: who called what, and with which arguments.
pub(crate) fn render_decision(text: &mut Text, decision: &DecisionLine) {
    text.line(&format!("  decision #{}  {}  {}", decision.record, decision.at, decision.title()));
    if !decision.arguments.is_empty() {
        text.line(&format!("          {}", statement_line(&decision.arguments)));
    }
}

/// A decision in a timeline.
pub fn decision_html(html: &mut Html, decision: &DecisionLine) {
    let id = [("id", Attr::new(format!("r{}", decision.record)))];
    html.tag_with("article", "decision", &id, |html| {
        html.tag("div", "line", |html| {
            html.leaf("span", "record", &format!("#{}", decision.record));
            html.leaf("span", "at", &decision.at);
            html.leaf("span", "verdict", "decision");
            html.leaf("span", "ending", &decision.title());
        });
        if !decision.arguments.is_empty() {
            html.tag("pre", "", |html| html.block(&decision.arguments));
        }
    });
}
