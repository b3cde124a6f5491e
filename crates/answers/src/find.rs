//! `find`: the actions of all runs that a query describes, newest first.

use std::collections::BTreeMap;

use index::{Action, Run, Touch};
use serde::{Deserialize, Serialize};
use vocab::RunId;

use crate::desk::{Cannot, Desk, ProofLine};
use crate::limits::ACTIONS_MAX;
use crate::line::{ActionLine, action_line};
use crate::query::{Key, Query, Term};
use crate::runs::{UnreadLine, render_action, render_unread};
use crate::shape::Answer;
use crate::text::Text;
use crate::watch::Look;

/// What a query found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub query: String,
    /// Newest first, at most [`ACTIONS_MAX`].
    pub actions: Vec<ActionLine>,
    pub more_actions: u64,
    pub runs: Vec<FoundRun>,
    /// Records that this version cannot read whole: the query may miss them.
    pub unread: Vec<UnreadLine>,
    pub proof: ProofLine,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRun {
    pub run: String,
    pub human: Option<String>,
    pub agent: Option<String>,
    pub actions: u64,
}

impl Desk<'_> {
    pub fn find(&self, text: &str) -> Result<Found, Cannot> {
        let query = Query::parse(text, self.now)?;
        let proof = self.look(Look::Find, text)?;
        let mut found: Vec<(&Run, &Action)> = Vec::new();
        for run in self.index.runs() {
            found.extend(run.actions.iter().filter(|a| matches(&query, run, a)).map(|a| (run, a)));
        }
        found.sort_by_key(|(_, action)| std::cmp::Reverse(action.asked.seq));
        let mut counts: BTreeMap<RunId, u64> = BTreeMap::new();
        found.iter().for_each(|(run, _)| *counts.entry(run.id).or_insert(0) += 1);
        Ok(Found {
            query: text.to_owned(),
            actions: found.iter().take(ACTIONS_MAX).map(|(run, action)| action_line(run, action)).collect(),
            more_actions: found.len().saturating_sub(ACTIONS_MAX) as u64,
            runs: counts.into_iter().filter_map(|(run, n)| self.found_run(run, n)).collect(),
            unread: self.unread_everywhere(),
            proof: self.sealing(proof, found.iter().flat_map(|(_, action)| action.records.iter().copied())),
        })
    }

    fn found_run(&self, run: RunId, actions: u64) -> Option<FoundRun> {
        let open = self.index.run(run)?.open.as_ref();
        Some(FoundRun {
            run: run.to_string(),
            human: open.map(|o| o.what.human.to_string()),
            agent: open.map(|o| o.what.agent.to_string()),
            actions,
        })
    }

    fn unread_everywhere(&self) -> Vec<UnreadLine> {
        let unknown = self.index.unknown().iter().map(|s| UnreadLine {
            record: s.seq.0,
            kind: s.kind.to_string(),
            why: "a kind of record that this version does not know".to_owned(),
        });
        let flawed = self.index.flawed().iter().map(|(seq, kind, flaws)| UnreadLine {
            record: seq.0,
            kind: kind.to_string(),
            why: flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        });
        unknown.chain(flawed).collect()
    }
}

impl Answer for Found {
    const SHAPE: &'static str = "tacho.find/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        if self.actions.is_empty() {
            text.line("Nothing found.");
        }
        let mut last = None;
        for action in &self.actions {
            if last != Some(&action.run) {
                let run = self.runs.iter().find(|r| r.run == action.run);
                let who = run.map(|r| (r.human.as_deref(), r.agent.as_deref())).unwrap_or_default();
                let (human, agent) = (who.0.unwrap_or("unknown"), who.1.unwrap_or("unknown"));
                text.line(&format!("run {}  {agent} for {human}", action.run));
                last = Some(&action.run);
            }
            render_action(text, action);
        }
        if self.more_actions > 0 {
            text.line(&format!("and {} more; narrow the query", self.more_actions));
        }
        render_unread(text, &self.unread);
        text.blank();
        text.line(&self.proof.text());
    }

    /// 1 if nothing was found, which a record that is broken cannot say.
    fn exit_code(&self) -> u8 {
        u8::from(self.actions.is_empty() && !self.proof.is_broken())
    }
}

/// Whether an action is described by the query: every key holds by at least one of its terms, and no negated term does.
pub(crate) fn matches(query: &Query, run: &Run, action: &Action) -> bool {
    let at = action.asked.at;
    let in_time = query.since.is_none_or(|since| at >= since) && query.until.is_none_or(|until| at <= until);
    in_time && query.terms.iter().all(|term| holds(query, term, run, action))
}

fn holds(query: &Query, term: &Term, run: &Run, action: &Action) -> bool {
    if term.negated {
        return !is(term, run, action);
    }
    // Free text is joined by "and"; the same key twice by "or".
    let either = |t: &&Term| !t.negated && t.key == term.key && t.key != Key::Text;
    is(term, run, action) || query.terms.iter().filter(either).any(|t| is(t, run, action))
}

fn is(term: &Term, run: &Run, action: &Action) -> bool {
    let value = term.value.as_str();
    let request = action.request();
    let open = run.open.as_ref().map(|o| &o.what);
    let mut touches = request.touches.iter();
    match term.key {
        Key::Resource => {
            touches.any(|t| &*t.on == value || t.on.starts_with(&format!("{value}/")))
                || run.resource_of(action.session).is_some_and(|r| &**r == value)
        }
        Key::Table => touches.any(|t| is_table(t, value)),
        Key::Column => {
            touches.any(|t| t.columns.iter().any(|c| &*c.name == value))
                || action.exposures().any(|(_, e)| last(&e.on) == value)
        }
        Key::Verb => {
            request.verbs.iter().any(|v| v.as_str() == value) || touches.any(|t| t.verb.as_str() == value)
        }
        Key::Function => request.functions.iter().any(|f| &**f == value || f.ends_with(&format!(".{value}"))),
        Key::Tool => {
            let mut decisions = action.causes.iter().filter_map(|cause| run.decision(cause.decision));
            decisions.any(|decided| &*decided.issued.what.tool == value)
        }
        Key::Human => open.is_some_and(|o| &*o.human == value || &*o.by == value),
        Key::Agent => open.is_some_and(|o| &*o.agent == value),
        Key::Run => run.id.to_string().starts_with(&value.to_ascii_lowercase()),
        Key::Class => {
            action.exposures().any(|(_, e)| is_class(&e.class, value))
                || request.governed.iter().any(|g| is_class(&g.class, value))
                || action.tripwires().any(|(_, t)| is_class(&t.class, value))
        }
        Key::Exposure => action.exposures().any(|(_, e)| e.what.as_str() == value),
        Key::Tripwire => action.tripwires().any(|(_, t)| t.act.as_str() == value),
        Key::Verdict => verdict(action, value),
        Key::Effect => run.effect(action).as_str() == value,
        Key::Rule => request.rules.iter().any(|r| &**r == value),
        Key::Approver => action.approvals.iter().any(|a| a.what.by.as_deref() == Some(value)),
        Key::Code => {
            action.refusals.iter().any(|r| &*r.what.code == value)
                || action.outcomes.iter().any(|o| o.what.code.as_deref() == Some(value))
        }
        Key::Via => &*request.via == value,
        Key::Text => {
            contains(&request.statement, value) || request.sent.as_ref().is_some_and(|s| contains(s, value))
        }
    }
}

/// A refused response counts as a refusal too: what the agent saw is what the analyst looks for.
fn verdict(action: &Action, value: &str) -> bool {
    action.request().verdict.as_str() == value || (value == "refuse" && !action.refusals.is_empty())
}

/// `customers`, `public.customers` or a path; a table is the fourth segment of a path, or its last. A name may have dots
/// in it: each of a value's may be the one between schema and table, or none.
fn is_table(touch: &Touch, value: &str) -> bool {
    let segments: Vec<&str> = touch.on.split('/').collect();
    let table = segments.get(3).or(segments.last()).copied().unwrap_or("");
    let in_schema = |(at, _): (usize, &str)| {
        let (schema, name) = (&value[..at], &value[at + 1..]);
        table == name && segments.get(2) == Some(&schema)
    };
    table == value || &*touch.on == value || value.match_indices('.').any(in_schema)
}

/// `pii` matches `pii.ssn`.
fn is_class(class: &str, value: &str) -> bool {
    class == value || class.strip_prefix(value).is_some_and(|rest| rest.starts_with('.'))
}

fn contains(text: &str, value: &str) -> bool {
    text.to_lowercase().contains(&value.to_lowercase())
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
