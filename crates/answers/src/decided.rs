//! Decisions in answers: the tool calls that models issued, what each of them explains, and what none explains.

use std::collections::BTreeMap;

use index::{Cause, Decided, Planned, Run};
use serde::{Deserialize, Serialize};
use vocab::Seq;

use crate::html::{Attr, Html};
use crate::limits::{CAUSES_SHOWN_MAX, CITES_MAX};
use crate::line::{ActionLine, is_zero, time};
use crate::text::{Text, cell, count};

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
    /// The step of a plan that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepLine>,
    /// A plan was followed, and it belongs to none of its steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off_plan: bool,
    /// The records of the decisions whose results hold a text of its arguments that no person said to the model: by content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told_by: Vec<u64>,
    /// The records of the requests that showed its result to a model, at most [`CITES_MAX`]: the provider's id says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<u64>,
}

/// The step of a plan that a decision belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLine {
    /// The plan's record.
    pub plan: u64,
    /// From 0.
    pub n: u64,
    pub text: String,
    /// `named`: the plan itself names the call. `quoted`: what the model was asked says the step. `status`: the plan says that
    /// it is in progress.
    pub how: String,
    /// `proved`, `matched`, `inferred`, in that order.
    pub strength: String,
}

/// A plan that a model stated to the run. It replaces the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLine {
    pub record: u64,
    pub at: String,
    pub session: Option<u64>,
    /// The intent of the request whose answer holds it.
    pub of: Option<u64>,
    /// From 1.
    pub version: u64,
    /// How it was stated.
    pub form: String,
    /// The tool call that handed it over.
    pub decision: Option<u64>,
    pub steps: Vec<PlanStepLine>,
    /// Further steps, which were not recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_steps: u64,
}

/// A step, what the plan says of it, and what the record shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStepLine {
    pub text: String,
    /// In the model's words: `pending`, `in-progress`, `done`, `dropped`. Nothing proves it.
    pub status: Option<String>,
    /// The records of the decisions that belong to it, in any version of the plan that has it in the same words, at most [`CITES_MAX`].
    pub decisions: Vec<u64>,
    /// The actions that those explain: how many had an effect or answer, and how many were refused or failed.
    pub done: u64,
    pub failed: u64,
}

/// A decision that explains an action. Of more than one, nobody can tell which it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseLine {
    /// The decision's record.
    pub decision: u64,
    /// `same`, `part`, `holds`, `within` or `like`: how its arguments say what was asked.
    pub how: String,
    /// Of `like`: how much of it both say, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// Where they say it; older records do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanLine>,
    /// `matched`: by content.
    pub strength: String,
}

/// Bytes `from` to `to` of `of`, with one space for white space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanLine {
    /// `asked`: of what was asked. `decided`: of a string of the decision's arguments.
    #[serde(rename = "in")]
    pub side: String,
    pub from: u64,
    pub to: u64,
    pub of: u64,
}

/// A run's decisions in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedLine {
    pub decisions: u64,
    /// Actions that at least one decision explains.
    pub explained: u64,
    /// Actions that no decision explains, though one had been issued before them.
    pub orphans: u64,
    /// Plans that models stated.
    #[serde(default)]
    pub plans: u64,
    /// Decisions that belong to no step of the plan that was followed.
    #[serde(default)]
    pub off_plan: u64,
    /// Decisions that no recorded action carries out: of a tool that does not lead through the gateway, or never called.
    #[serde(default)]
    pub idle: u64,
    /// Decisions that repeat what the result of a tool said, and no person.
    #[serde(default)]
    pub told: u64,
}

/// One line of a timeline.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    Action(&'a ActionLine),
    Plan(&'a PlanLine),
    Decision(&'a DecisionLine),
}

/// Actions, plans and decisions in the order of their first records.
pub fn in_order<'a>(
    actions: &'a [ActionLine],
    plans: &'a [PlanLine],
    decisions: &'a [DecisionLine],
) -> Vec<Moment<'a>> {
    let decided = plans.iter().map(Moment::Plan).chain(decisions.iter().map(Moment::Decision));
    let mut moments: Vec<Moment<'a>> = actions.iter().map(Moment::Action).chain(decided).collect();
    moments.sort_by_key(Moment::first);
    moments
}

impl Moment<'_> {
    pub fn session(&self) -> Option<u64> {
        match self {
            Moment::Action(action) => action.session,
            Moment::Plan(plan) => plan.session,
            Moment::Decision(decision) => decision.session,
        }
    }

    fn first(&self) -> u64 {
        match self {
            Moment::Action(action) => action.cites.records.first().copied().unwrap_or(action.record),
            Moment::Plan(plan) => plan.record,
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
            plans: run.plans.len() as u64,
            off_plan: run.decisions.iter().filter(|d| run.is_off_plan(d)).count() as u64,
            told: run.decisions.iter().filter(|d| !d.issued.what.told_by.is_empty()).count() as u64,
            idle: run.decisions.iter().filter(|d| is_idle(run, d)).count() as u64,
        }
    }

    /// `3 decisions; 2 actions explained, 1 orphan`, and what else there is; nothing for a run that no model decided.
    pub fn sentence(&self) -> Option<String> {
        let [decisions, explained, orphans] = [
            count(self.decisions, "decision"),
            count(self.explained, "action"),
            count(self.orphans, "orphan"),
        ];
        let mut sentence = format!("{decisions}; {explained} explained, {orphans}");
        if self.idle > 0 {
            sentence += &format!("; {} without an action here", count(self.idle, "decision"));
        }
        if self.told > 0 {
            sentence += &format!("; {} told by a tool's result", count(self.told, "decision"));
        }
        if self.plans > 0 {
            sentence +=
                &format!("; {}, {} off plan", count(self.plans, "plan"), count(self.off_plan, "decision"));
        }
        (self.decisions + self.plans > 0).then_some(sentence)
    }
}

/// Nothing that the gateway saw carries it out, and it states no plan, which nothing has to.
fn is_idle(run: &Run, decided: &Decided) -> bool {
    let states = |plan: &Planned| plan.stated.what.decision == Some(decided.issued.seq);
    decided.actions.is_empty() && !run.plans.iter().any(states)
}

impl DecisionLine {
    /// `it repeats what the result of decision #31 said, and nobody else (matched)`.
    pub fn told(&self) -> Option<String> {
        let by: Vec<String> =
            self.told_by.iter().take(CAUSES_SHOWN_MAX).map(|seq| format!("#{seq}")).collect();
        let by = by.join(" and ");
        (!by.is_empty())
            .then(|| format!("it repeats what the result of decision {by} said, and no person (matched)"))
    }

    /// `step 2 of plan #31 (matched: quoted): refund it`, `off plan`; nothing where nobody can tell.
    pub fn place(&self) -> Option<String> {
        let step = self.step.as_ref().map(|step| {
            let StepLine { plan, n, text, how, strength } = step;
            format!("step {} of plan #{plan} ({strength}: {}): {}", n + 1, cell(how), cell(text))
        });
        step.or_else(|| self.off_plan.then(|| "off plan".to_owned()))
    }

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
        let each: Vec<String> = each
            .map(|c| format!("#{} ({}: {}{}{})", c.decision, c.strength, cell(&c.how), c.degree(), c.place()))
            .collect();
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
        step: run.step_of(decided).map(|(plan, step)| StepLine {
            plan: plan.stated.seq.0,
            n: step.n,
            text: plan.stated.what.steps.get(step.n as usize).map(|s| s.text.to_string()).unwrap_or_default(),
            how: step.how.to_string(),
            strength: strength_of(&step.how).to_owned(),
        }),
        off_plan: run.is_off_plan(decided),
        told_by: what.told_by.iter().map(|seq| seq.0).take(CITES_MAX).collect(),
        shown: decided.shown.iter().map(|seq| seq.0).take(CITES_MAX).collect(),
    }
}

/// How sure it is that a decision belongs to a step. What is not known proves nothing.
fn strength_of(how: &str) -> &'static str {
    match how {
        "named" => "proved",
        "quoted" => "matched",
        _ => "inferred",
    }
}

/// The decisions of a run by the words of the step that they belong to: a plan that is stated again keeps its steps.
pub(crate) struct Followed<'r> {
    run: &'r Run,
    by_step: BTreeMap<&'r str, Vec<&'r Decided>>,
}

impl<'r> Followed<'r> {
    pub(crate) fn of(run: &'r Run) -> Followed<'r> {
        let mut by_step: BTreeMap<&str, Vec<&Decided>> = BTreeMap::new();
        for decided in &run.decisions {
            let step =
                run.step_of(decided).and_then(|(plan, step)| plan.stated.what.steps.get(step.n as usize));
            if let Some(step) = step {
                by_step.entry(&step.text).or_default().push(decided);
            }
        }
        Followed { run, by_step }
    }

    fn step(&self, step: &index::PlanStep) -> PlanStepLine {
        let all = self.by_step.get(&*step.text).map_or(&[][..], Vec::as_slice);
        let actions = all.iter().flat_map(|d| &d.actions).filter_map(|at| self.run.actions.get(*at));
        let (failed, done): (Vec<_>, Vec<_>) = actions.partition(|action| has_failed(self.run, action));
        PlanStepLine {
            text: step.text.to_string(),
            status: step.status.as_ref().map(ToString::to_string),
            decisions: all.iter().map(|d| d.issued.seq.0).take(CITES_MAX).collect(),
            done: done.len() as u64,
            failed: failed.len() as u64,
        }
    }
}

pub(crate) fn plan_line(followed: &Followed<'_>, version: usize, planned: &Planned) -> PlanLine {
    let what = &planned.stated.what;
    PlanLine {
        record: planned.stated.seq.0,
        at: time(planned.stated.at),
        session: planned.session,
        of: planned.of.map(|of| of.0),
        version: version as u64 + 1,
        form: what.form.to_string(),
        decision: what.decision.map(|seq| seq.0),
        steps: what.steps.iter().map(|step| followed.step(step)).collect(),
        more_steps: what.more,
    }
}

fn has_failed(run: &Run, action: &index::Action) -> bool {
    use index::Effect;
    match run.effect(action) {
        Effect::Refused | Effect::RolledBack | Effect::Indeterminate => true,
        Effect::Committed | Effect::Pending | Effect::Prepared => false,
    }
}

impl PlanStepLine {
    /// `3 decisions; 2 done, 1 failed`, or that nothing of it is known.
    pub fn known(&self) -> String {
        if self.decisions.is_empty() {
            return "no decision is tied to it".to_owned();
        }
        let decisions = count(self.decisions.len() as u64, "decision");
        let done = format!("{decisions}; {} done", count(self.done, "action"));
        if self.failed > 0 { format!("{done}, {} refused or failed", self.failed) } else { done }
    }
}

impl CauseLine {
    /// ` 80 %`, where there is more than one degree.
    fn degree(&self) -> String {
        self.percent.map(|percent| format!(" {percent} %")).unwrap_or_default()
    }

    /// `, bytes 7-21 of 60 of what was asked`, where that is not the whole.
    fn place(&self) -> String {
        let Some(SpanLine { side, from, to, of }) = &self.span else { return String::new() };
        match &**side {
            "asked" if (*from, to) == (0, of) => String::new(),
            "asked" => format!(", bytes {from}-{to} of {of} of what was asked"),
            "decided" => format!(", bytes {from}-{to} of {of} of an argument"),
            other => format!(", bytes {from}-{to} of {of} in {}", cell(other)),
        }
    }
}

pub(crate) fn cause_line(cause: &Cause) -> CauseLine {
    let Cause { decision: Seq(decision), how, percent, span } = cause;
    let (how, strength) = (how.to_string(), "matched".to_owned());
    let place = |span: &index::Span| SpanLine {
        side: span.side.to_string(),
        from: span.from,
        to: span.to,
        of: span.of,
    };
    CauseLine { decision: *decision, how, percent: *percent, span: span.as_ref().map(place), strength }
}

/// A decision on two lines: who called what, and with which arguments.
pub(crate) fn render_decision(text: &mut Text, decision: &DecisionLine) {
    text.line(&format!("  decision #{}  {}  {}", decision.record, decision.at, decision.title()));
    if !decision.arguments.is_empty() {
        text.statement("", &decision.arguments);
    }
    decision.place().iter().for_each(|place| text.line(&format!("          {place}")));
    decision.told().iter().for_each(|told| text.line(&format!("          {told}")));
    if let Some(first) = decision.shown.first() {
        text.line(&format!("          a result under its id was shown to the model in #{first}"));
    }
}

/// A plan: a line of its own, and one for each step.
pub(crate) fn render_plan(text: &mut Text, plan: &PlanLine) {
    text.line(&format!("  {}", plan.title()));
    for (n, step) in plan.steps.iter().enumerate() {
        let status = step.status.as_ref().map(|status| format!(" [{}]", cell(status))).unwrap_or_default();
        text.line(&format!("          {}. {}{status}: {}", n + 1, cell(&step.text), step.known()));
    }
    if plan.more_steps > 0 {
        text.line(&format!("          and {}", count(plan.more_steps, "further step")));
    }
}

impl PlanLine {
    /// `plan #31  2026-..  version 2, steps`.
    fn title(&self) -> String {
        format!("plan #{}  {}  version {}, {}", self.record, self.at, self.version, cell(&self.form))
    }
}

/// A plan in a timeline.
pub fn plan_html(html: &mut Html, plan: &PlanLine) {
    let id = [("id", Attr::new(format!("r{}", plan.record)))];
    html.tag_with("article", "decision", &id, |html| {
        html.tag("div", "line", |html| {
            html.leaf("span", "record", &format!("#{}", plan.record));
            html.leaf("span", "at", &plan.at);
            html.leaf("span", "verdict", "plan");
            html.leaf("span", "ending", &format!("version {}, {}", plan.version, cell(&plan.form)));
        });
        html.tag("ol", "", |html| {
            for step in &plan.steps {
                let status = step.status.as_ref().map(|s| format!(" [{}]", cell(s))).unwrap_or_default();
                html.leaf("li", "", &format!("{}{status}: {}", step.text, step.known()));
            }
        });
    });
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
        decision.place().iter().for_each(|place| html.leaf("p", "because", place));
        decision.told().iter().for_each(|told| html.leaf("p", "because", told));
        if let Some(first) = decision.shown.first() {
            html.leaf("p", "because", &format!("a result under its id was shown to the model in #{first}"));
        }
    });
}
