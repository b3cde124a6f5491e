//! A plan, where a model states one in a form that a framework reads back: recognisers over tool calls and answers.
//!
//! Forms, each as its framework has it in 2026: [`Form::Steps`] (LangGraph's plan-and-execute: `Plan{steps}` and `Act`, called
//! as tools or answered as JSON), [`Form::Todos`] (`write_todos` of LangChain and deepagents, `TodoWrite`), [`Form::Update`] (Codex's
//! `update_plan`), [`Form::Ledger`] (Magentic's progress ledger), [`Form::Tags`] (Google ADK's PlanReAct), [`Form::Evidence`] (ReWOO)
//! and [`Form::Graph`] (LLMCompiler). The last two name the tool calls that carry their steps out, and no model is asked for those
//! calls again: they are decisions.
//!
//! **What is absent**: what plain prose plans. Nothing here fails: a text that is none of these is no plan, and the run is a flat list of
//! decisions.

use super::Call;
use crate::limits::{PLAN_STEP_BYTES_MAX, PLAN_STEPS_MAX};
use json::{Kind, Object, Value};

/// How a plan was stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Steps,
    Todos,
    Update,
    Ledger,
    Tags,
    Evidence,
    Graph,
}

impl Form {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Steps => "steps",
            Form::Todos => "todos",
            Form::Update => "update-plan",
            Form::Ledger => "ledger",
            Form::Tags => "tags",
            Form::Evidence => "evidence",
            Form::Graph => "graph",
        }
    }
}

/// What a plan says of a step. Nothing proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Pending,
    InProgress,
    Done,
    Dropped,
}

impl Status {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::InProgress => "in-progress",
            Status::Done => "done",
            Status::Dropped => "dropped",
        }
    }

    fn parse(word: &str) -> Option<Status> {
        match word.to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
            "pending" | "todo" | "open" | "not_started" => Some(Status::Pending),
            "in_progress" | "active" | "doing" | "started" => Some(Status::InProgress),
            "completed" | "complete" | "done" | "finished" => Some(Status::Done),
            "cancelled" | "canceled" | "skipped" | "dropped" | "failed" | "blocked" => Some(Status::Dropped),
            _ => None,
        }
    }
}

/// A plan, or what is left of one: each replaces the one before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    pub form: Form,
    /// At least one, at most [`PLAN_STEPS_MAX`].
    pub steps: Vec<Step>,
    /// Further steps that are not kept.
    pub more: u64,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// At most [`PLAN_STEP_BYTES_MAX`], cut at a character.
    pub text: String,
    pub status: Option<Status>,
    /// The tool call that carries it out, where the plan itself names it. It has no id.
    pub call: Option<Call>,
}

impl Step {
    fn new(text: &str, status: Option<Status>) -> Step {
        let text = text.trim();
        let text = text[..text.floor_char_boundary(PLAN_STEP_BYTES_MAX)].to_owned();
        Step { text, status, call: None }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({:?}, {} steps)", self.form, self.steps.len())
    }
}

impl Plan {
    fn new(form: Form, steps: impl Iterator<Item = Step>) -> Option<Plan> {
        let mut steps: Vec<Step> = steps.filter(|step| !step.text.is_empty()).collect();
        let more = steps.len().saturating_sub(PLAN_STEPS_MAX) as u64;
        steps.truncate(PLAN_STEPS_MAX);
        (!steps.is_empty()).then_some(Plan { form, steps, more })
    }

    /// The plan that a tool call hands over.
    pub fn of_call(call: &Call) -> Option<Plan> {
        let value = json::parse(call.arguments.as_bytes()).ok()?;
        let body = value.object().ok()?;
        let listed = |name, text, form| {
            let items = items(body, name)?;
            let steps: Option<Vec<Step>> = items.iter().map(|item| marked(item, text)).collect();
            Plan::new(form, steps?.into_iter())
        };
        listed("todos", "content", Form::Todos)
            .or_else(|| listed("plan", "step", Form::Update))
            .or_else(|| call.plans().then(|| steps(body))?)
    }

    /// The plan that an answer's text states.
    pub fn of_text(text: &str) -> Option<Plan> {
        structured(text).or_else(|| tags(text)).or_else(|| evidence(text)).or_else(|| graph(text))
    }
}

impl Call {
    /// Whether its name is a planner's, as LangGraph's `Plan` and `Act` are: it carries nothing out.
    fn plans(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        name.contains("plan") || name == "act"
    }
}

/// The array of that name, if it is one.
fn items<'v, 'a>(body: Object<'v, 'a>, name: &str) -> Option<&'v [Value<'a>]> {
    body.list(name).ok()?
}

/// `{content, status}`: both are there, or it is something else.
fn marked(item: &Value<'_>, text: &str) -> Option<Step> {
    let item = item.object().ok()?;
    let status = Status::parse(item.text("status").ok()??)?;
    Some(Step::new(item.text(text).ok()??, Some(status)))
}

/// `steps`, here or in a member of this: texts, or objects that say what is to be done.
fn steps(body: Object<'_, '_>) -> Option<Plan> {
    let here = || {
        let steps: Option<Vec<Step>> = items(body, "steps")?.iter().map(told).collect();
        Plan::new(Form::Steps, steps?.into_iter())
    };
    here().or_else(|| {
        let mut inner = body.members().iter().filter_map(|(_, value)| value.object().ok());
        inner.find_map(|inner| {
            let steps: Option<Vec<Step>> = items(inner, "steps")?.iter().map(told).collect();
            Plan::new(Form::Steps, steps?.into_iter())
        })
    })
}

fn told(item: &Value<'_>) -> Option<Step> {
    if let Kind::Text(text) = &item.kind {
        return Some(Step::new(text, None));
    }
    let item = item.object().ok()?;
    let names = ["description", "step", "task", "title", "content", "objective", "instruction"];
    let text = names.iter().find_map(|name| item.text(name).ok().flatten())?;
    Some(Step::new(text, item.text("status").ok().flatten().and_then(Status::parse)))
}

/// An answer that is JSON, perhaps in a fence.
fn structured(text: &str) -> Option<Plan> {
    let text = text.trim();
    let fenced = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    let text = fenced.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text);
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let value = json::parse(text.as_bytes()).ok()?;
    let body = value.object().ok()?;
    ledger(body).or_else(|| steps(body))
}

/// Magentic's ledger: one instruction for the one who speaks next.
fn ledger(body: Object<'_, '_>) -> Option<Plan> {
    let answer = |name| body.object(name).ok().flatten();
    answer("is_in_loop")?;
    let satisfied = answer("is_request_satisfied")?.flag("answer").ok()?;
    let speaker = answer("next_speaker")?.text("answer").ok()??;
    let instruction = answer("instruction_or_question")?.text("answer").ok()??;
    let status = if satisfied { Status::Done } else { Status::InProgress };
    Plan::new(Form::Ledger, std::iter::once(Step::new(&format!("{speaker}: {instruction}"), Some(status))))
}

/// `/*PLANNING*/` and `/*REPLANNING*/`, each up to the next tag.
fn tags(text: &str) -> Option<Plan> {
    let (_, after) = text.split_once("/*REPLANNING*/").or_else(|| text.split_once("/*PLANNING*/"))?;
    let planned = after.split("/*").next().unwrap_or(after);
    let listed: Vec<&str> = planned.lines().filter_map(item_of).collect();
    match listed.is_empty() {
        true => Plan::new(Form::Tags, planned.lines().map(|line| Step::new(line, None))),
        false => Plan::new(Form::Tags, listed.into_iter().map(|line| Step::new(line, None))),
    }
}

/// What a line of a list says: `1. x`, `1) x`, `- x`, `* x`.
fn item_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let bullet = line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
    bullet.or_else(|| numbered(line).map(|(_, said)| said))
}

/// `12. x` and `12) x`.
fn numbered(line: &str) -> Option<(&str, &str)> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = line.split_at_checked(digits)?;
    let said = rest.strip_prefix(['.', ')'])?.trim_start();
    (!number.is_empty() && !said.is_empty()).then_some((number, said))
}

/// ReWOO: `Plan: why` and `#E1 = Tool[input]`.
fn evidence(text: &str) -> Option<Plan> {
    let (mut steps, mut why) = (Vec::new(), None);
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("Plan:") {
            why = Some(said.trim());
            // Some put both on one line.
            let Some((before, call)) = said.split_once("#E") else { continue };
            steps.extend(assigned(call, Some(before.trim())));
        } else if let Some(call) = line.strip_prefix("#E") {
            steps.extend(assigned(call, why.take()));
        }
    }
    Plan::new(Form::Evidence, steps.into_iter())
}

/// `1 = Tool[input]`.
fn assigned(call: &str, why: Option<&str>) -> Option<Step> {
    let (number, call) = call.split_once('=')?;
    number.trim().parse::<u32>().ok()?;
    let (name, rest) = call.trim().split_once('[')?;
    let (input, _) = rest.rsplit_once(']')?;
    let mut step = Step::new(why.filter(|why| !why.is_empty()).unwrap_or(call.trim()), None);
    step.call = Some(Call::new("", tool(name)?, unquoted(input)).ok()?);
    Some(step)
}

/// LLMCompiler: `1. tool(arguments)` on each line, and `join()` at the end.
fn graph(text: &str) -> Option<Plan> {
    let calls = text.lines().filter_map(|line| numbered(line.trim()).map(|(_, said)| said));
    let (mut steps, mut joins) = (Vec::new(), false);
    for said in calls {
        let Some((name, rest)) = said.split_once('(') else { continue };
        let Some((arguments, _)) = rest.rsplit_once(')') else { continue };
        let Some(name) = tool(name) else { continue };
        joins |= name == "join";
        if name != "join" {
            let mut step = Step::new(said, None);
            step.call = Some(Call::new("", name, unquoted(arguments)).ok()?);
            steps.push(step);
        }
    }
    let joins = joins || text.lines().any(|line| line.trim().trim_end_matches("<END_OF_PLAN>") == "join()");
    joins.then(|| Plan::new(Form::Graph, steps.into_iter()))?
}

fn tool(name: &str) -> Option<&str> {
    let name = name.trim();
    let good = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.chars().all(good)).then_some(name)
}

/// The text between a pair of quotes around all of it, or the text.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let between = |quote| text.strip_prefix(quote)?.strip_suffix(quote).filter(|t: &&str| !t.contains(quote));
    between('"').or_else(|| between('\'')).unwrap_or(text)
}
