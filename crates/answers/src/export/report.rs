//! The report: who, touched, exposed, then what happened step by step, then the proof and its limits, on one page that
//! needs no network, no script and no knowledge of this program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vocab::Seq;

use crate::decided::{Moment, decision_html, plan_html};
use crate::desk::{Cannot, Desk};
use crate::export::parts::{exposed_html, prevents_html, sessions_html, started_html, three_html};
use crate::exposed::{Exposed, not_durable};
use crate::html::{Attr, Html, STYLE};
use crate::line::{ActionLine, ending, time};
use crate::replay::{CellLine, Replay, ReplayStep};
use crate::runs::{Show, Who, family};
use crate::touched::Touched;
use crate::watch::Look;

/// Everything that the page shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub made: String,
    pub made_by: String,
    pub who: Who,
    pub touched: Touched,
    pub exposed: Exposed,
    pub show: Show,
    /// What came back, step by step; absent if it was not asked for or no key opens it.
    pub replay: Option<Replay>,
    /// Why results are absent.
    pub sealed: Option<String>,
    /// Each record of what it did was durable in time (P1 is claimed).
    pub durable: bool,
}

impl Desk<'_> {
    /// Makes the report of a run. With `results`, what the agent saw is in it, where a key opens it.
    pub fn report(&self, run: &str, results: bool) -> Result<Report, Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Export, &run.id.to_string())?;
        let all = Seq(0)..=Seq(u64::MAX);
        let (replay, sealed) = match results.then(|| self.replay_run(run, all, proof.clone())) {
            None => (None, Some("results were not asked for in this export".to_owned())),
            Some(Ok(replay)) => (Some(replay), None),
            Some(Err(why)) => (None, Some(why.to_string())),
        };
        let family = family(self.index, run);
        Ok(Report {
            durable: not_durable(family.iter().flat_map(|run| &run.actions)).is_none(),
            made: time(self.now),
            made_by: self.who.to_owned(),
            who: self.who_run(run, proof.clone()),
            touched: self.touched_run(run, proof.clone()),
            exposed: self.exposed_run(run, proof.clone()),
            show: self.show_run(run, proof),
            replay,
            sealed,
        })
    }
}

impl Report {
    /// One self-contained page.
    pub fn to_html(&self) -> String {
        let mut html = Html::new();
        html.constant(HEAD);
        html.leaf("title", "", &format!("Run {}", self.show.run.run));
        html.constant("<style>");
        html.constant(STYLE);
        html.constant(PAPER);
        html.constant("</style>\n</head>\n<body>\n");
        self.top(&mut html);
        self.who(&mut html);
        self.touched(&mut html);
        self.exposed(&mut html);
        self.timeline(&mut html);
        self.proof(&mut html);
        html.constant("</body>\n</html>\n");
        html.finish()
    }

    fn top(&self, html: &mut Html) {
        html.tag("header", "", |html| {
            html.leaf("p", "kind", "Tachograph: record of one run of an AI agent");
            html.leaf("h1", "", &format!("Run {}", self.show.run.run));
            html.leaf("p", "", &format!("Made {} by {}.", self.made, self.made_by));
        });
        if let Some(broken) = self.show.proof.broken() {
            html.tag("section", "", |html| {
                html.leaf("h2", "", "The record is broken");
                html.leaf("p", "bad", &broken);
            });
        }
        three_html(html, &self.who, &self.touched, &self.exposed);
    }

    fn who(&self, html: &mut Html) {
        html.tag("section", "", |html| {
            html.leaf("h2", "", "1. Who");
            let run = &self.who.run;
            let unknown = || "unknown".to_owned();
            let mut rows = vec![
                pair("Person", run.human.clone().unwrap_or_else(unknown)),
                pair("Started by", run.by.clone().unwrap_or_else(unknown)),
                pair(
                    "Agent",
                    [run.agent.clone(), run.agent_version.clone()]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join(" "),
                ),
                pair("Task", run.task.clone().unwrap_or_default()),
                pair("Command", self.who.argv.join(" ")),
                pair("From", run.opened.clone().unwrap_or_else(unknown)),
                pair("To", run.closed.clone().unwrap_or_else(|| "still open".to_owned())),
                pair("Ended", run.state.clone()),
                pair("Records", self.who.cites.text()),
            ];
            rows.extend(self.who.chain.iter().flat_map(|chain| {
                let claim = |c: &crate::chain::ClaimLine| pair("Claim", format!("{} = {}", c.claim, c.value));
                let head = [pair("Delegation chain", chain.sentence()), pair("Token", chain.token())];
                head.into_iter().chain(chain.claims.iter().map(claim)).collect::<Vec<_>>()
            }));
            rows.extend(self.who.parents.iter().map(|p| pair("Started from run", p.run.clone())));
            rows.extend(self.who.children.iter().map(|c| pair("Started run", c.run.clone())));
            rows.extend(self.who.erasure.iter().map(|erasure| pair("Payloads", erasure.text())));
            html.table(&["", ""], &[], &rows);
            if !self.who.deciders.is_empty() {
                html.leaf("h3", "", "Decisions of people");
                let row = |d: &crate::runs::DeciderLine| {
                    vec![
                        d.who.clone(),
                        d.verdict.clone(),
                        d.at.clone(),
                        format!("#{}", d.action),
                        format!("#{}", d.record),
                    ]
                };
                let rows: Vec<_> = self.who.deciders.iter().map(row).collect();
                html.table(&["Person", "Decision", "At", "Action", "Record"], &[], &rows);
            }
            self.who
                .limits
                .iter()
                .for_each(|limit| html.leaf("p", "limit", &format!("Not claimed: {limit}")));
        });
    }

    fn touched(&self, html: &mut Html) {
        html.tag("section", "", |html| {
            html.leaf("h2", "", "2. What was touched");
            started_html(html, &self.touched.started);
            let row = |t: &crate::touched::TouchedLine| {
                vec![
                    t.on.clone(),
                    t.verb.clone(),
                    t.columns_text(),
                    t.actions.to_string(),
                    t.effects(),
                    t.cites.text(),
                ]
            };
            let rows: Vec<_> = self.touched.touches.iter().map(row).collect();
            html.table(&["Resource", "Verb", "Columns", "Actions", "Effect", "Records"], &[0, 2], &rows);
            for opaque in &self.touched.opaque {
                html.leaf(
                    "p",
                    "limit",
                    &format!(
                        "Action #{} is opaque ({}): what it touched cannot be told from the request.",
                        opaque.record,
                        opaque.why.trim_end_matches('.')
                    ),
                );
            }
        });
    }

    fn exposed(&self, html: &mut Html) {
        html.tag("section", "", |html| {
            html.leaf("h2", "", "3. Whether sensitive data was exposed");
            started_html(html, &self.exposed.scope.started);
            html.leaf("p", self.exposed.mood(), &self.exposed.sentence());
            exposed_html(html, &self.exposed);
            if !self.exposed.prevents.is_empty() {
                html.leaf("h3", "", "What prevents the statement \"unmasked: 0\"");
                prevents_html(html, &self.exposed);
            }
        });
    }

    fn timeline(&self, html: &mut Html) {
        html.tag("section", "", |html| {
            html.leaf("h2", "", "4. What happened, in order");
            if let Some(why) = &self.sealed {
                html.leaf("p", "limit", &format!("Results are not shown: {why}."));
            }
            sessions_html(html, &self.show.sessions, true);
            self.show.decided.sentence().iter().for_each(|decided| html.leaf("p", "session", decided));
            let steps = self.replay.iter().flat_map(|replay| &replay.steps);
            let steps: BTreeMap<u64, &ReplayStep> = steps.map(|step| (step.action.record, step)).collect();
            for moment in self.show.timeline() {
                match moment {
                    Moment::Action(action) => write_action(html, action, steps.get(&action.record).copied()),
                    Moment::Plan(plan) => plan_html(html, plan),
                    Moment::Decision(decision) => decision_html(html, decision),
                }
            }
            if self.show.more_actions > 0 {
                html.leaf(
                    "p",
                    "limit",
                    &format!("{} more actions are not shown here.", self.show.more_actions),
                );
            }
            if self.show.more_decisions > 0 {
                let more = format!("{} more decisions are not shown here.", self.show.more_decisions);
                html.leaf("p", "limit", &more);
            }
            for note in &self.show.notes {
                let detail = note.detail.clone().unwrap_or_default();
                html.leaf("p", "session", &format!("#{} {} {} {detail}", note.record, note.at, note.what));
            }
            if !self.show.unread.is_empty() {
                html.leaf("h3", "", "Records that this version does not understand whole");
                let row = |u: &crate::runs::UnreadLine| {
                    vec![format!("#{}", u.record), u.kind.clone(), u.why.clone()]
                };
                html.table(
                    &["Record", "Kind", "Why"],
                    &[],
                    &self.show.unread.iter().map(row).collect::<Vec<_>>(),
                );
            }
        });
    }

    fn proof(&self, html: &mut Html) {
        let proof = &self.show.proof;
        html.tag("section", "", |html| {
            html.leaf("h2", "", "5. Why this can be believed, and where it ends");
            html.leaf("p", "", &format!("State of the record: {}.", proof.text()));
            if self.durable {
                html.constant(RECORDED_FIRST);
            }
            html.constant(HOW_IT_IS_SEALED);
            match &proof.checkpoint {
                Some(checkpoint) => {
                    html.leaf("h3", "", "The checkpoint: what is signed");
                    html.tag("pre", "", |html| html.block(checkpoint));
                }
                None => html.leaf("p", "limit", "No signed checkpoint is attached to this page."),
            }
            if proof.witnesses.is_empty() {
                html.constant(NOT_WITNESSED);
            }
            html.leaf("h3", "", "What it does not say");
            html.tag("ul", "", |html| {
                html.constant(LIMITS);
                self.exposed
                    .limits
                    .iter()
                    .for_each(|limit| html.leaf("li", "", &format!("It does not cover {limit}.")));
            });
        });
    }
}

fn pair(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

/// One action of a timeline, without what came back.
pub fn action_html(html: &mut Html, action: &ActionLine) {
    write_action(html, action, None);
}

fn write_action(html: &mut Html, action: &ActionLine, step: Option<&ReplayStep>) {
    let class = match (&*action.verdict, action.refusals.is_empty()) {
        ("allow", true) => "action",
        ("ask", true) => "action ask",
        _ => "action refuse",
    };
    html.tag_with("article", class, &[("id", Attr::new(format!("r{}", action.record)))], |html| {
        html.tag("div", "line", |html| {
            html.leaf("span", "record", &format!("#{}", action.record));
            html.leaf("span", "at", &action.at);
            action.resource.iter().for_each(|on| html.leaf("span", "on", on));
            html.leaf("span", "verdict", &action.verdict);
            html.leaf("span", "ending", &ending(action));
            if action.effect != "committed" {
                html.leaf("span", "effect", &action.effect);
            }
        });
        if !action.statement.is_empty() {
            html.tag("pre", "", |html| html.block(&action.statement));
        }
        if let Some(sent) = &action.sent {
            html.leaf("p", "label", "Sent instead, so that governed values are masked where they are read:");
            html.tag("pre", "sent", |html| html.block(sent));
        }
        if let Some(why) = action.explanation() {
            html.leaf("p", if action.orphan { "limit" } else { "label" }, &why);
        }
        if let Some(why) = &action.opaque {
            html.leaf("p", "limit", &format!("Opaque: {why}"));
        }
        for refusal in &action.refusals {
            html.leaf(
                "p",
                "refusal",
                &format!("Refused {}: {} (#{})", refusal.code, refusal.message, refusal.record),
            );
        }
        if action.verdict != "allow" {
            html.leaf("p", "label", &format!("Rules: {}", action.rules.join(", ")));
        }
        for approval in action.ask.iter().flat_map(|ask| &ask.approvals) {
            let by = approval.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let signed = if approval.signed { ", with a signature (not checked here)" } else { "" };
            let reason = approval.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            let form = approval.form.as_ref().map(|f| format!(" ({f})")).unwrap_or_default();
            html.leaf(
                "p",
                "approval",
                &format!(
                    "{}{form}{by}{signed} at {}{reason} (#{})",
                    approval.verdict, approval.at, approval.record
                ),
            );
        }
        for e in &action.exposures {
            let class = if e.what == "masked" { "exposure" } else { "exposure bad" };
            let what = format!("{} {}", e.amount(), e.what);
            html.leaf("p", class, &format!("{} in {}, {}: {what} ({})", e.class, e.on, e.at, e.by));
        }
        for t in &action.told {
            let class = if t.what == "in-clear" { "exposure bad" } else { "exposure" };
            html.leaf("p", class, &format!("{} in {} for {}: {}", t.class, t.channel, t.whom(), t.became()));
        }
        for t in action.tripwires.iter().filter(|t| t.is_of_answer()) {
            let class = if matches!(&*t.act, "own" | "echo") { "label" } else { "refusal" };
            html.leaf(
                "p",
                class,
                &format!("Tripwire {} ({}) in {}: {}", t.detector, t.class, t.channel, t.act),
            );
        }
        if let Some(step) = step {
            results_html(html, step);
        }
    });
}

fn results_html(html: &mut Html, step: &ReplayStep) {
    if !step.rows.is_empty() {
        html.tag("table", "result", |html| {
            html.tag("thead", "", |html| {
                html.tag("tr", "", |html| step.columns.iter().for_each(|c| html.leaf("th", "", c)));
            });
            html.tag("tbody", "", |html| {
                for row in &step.rows {
                    html.tag("tr", "", |html| row.iter().for_each(|cell| cell_html(html, cell.as_ref())));
                }
            });
        });
    }
    step.data.iter().for_each(|data| html.tag("pre", "", |html| html.block(&data.text())));
    if step.rows_not_shown > 0 {
        html.leaf("p", "label", &format!("{} more rows are not shown.", step.rows_not_shown));
    }
    if step.rows_not_kept > 0 {
        html.leaf(
            "p",
            "label",
            &format!("{} more rows were released; they are not on the reel.", step.rows_not_kept),
        );
    }
}

fn cell_html(html: &mut Html, cell: Option<&CellLine>) {
    match cell {
        None => html.leaf("td", "null", "NULL"),
        Some(cell) => html.leaf("td", "code", &cell.text()),
    }
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n";

/// P1.
const RECORDED_FIRST: &str = "<p>The gateway releases no answer to the agent before the record of it is durable, and what \
changes something goes to a system only once the record of the request and of the decision is; a pure read may be asked \
while its record is still being written.</p>\n";

const HOW_IT_IS_SEALED: &str = "<p>The records are the leaves of a hash tree; a signature over its root (the checkpoint) fixes all of them and their order. \
A number with <b>#</b> on this page is the place of a record in that tree. This page is a reading of the record, not \
the record: to check it, take the evidence bundle of this run (<code>tacho export RUN --as bundle</code>) and verify it \
with <code>tacho-verify</code> or with the independent verifier, offline, on a machine of your own.</p>\n";

const NOT_WITNESSED: &str = "<p class=\"limit\">Nobody outside has signed this checkpoint (it is not witnessed). Against \
somebody who controls the gateway's machine and its signing key, the record proves only what was seen elsewhere: by \
whoever holds an earlier checkpoint or bundle.</p>\n";

const LIMITS: &str = "<li>It says what passed through the gateway. What reached a system by another way is not in it.</li>\n\
<li>Statements are shown with their literals masked, and results as the agent saw them, after masking.</li>\n\
<li>It does not say that what the agent did was right.</li>\n";

const PAPER: &str = "\
:root { color-scheme: light; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
.kind { margin: 0; font-size: .85rem; letter-spacing: .02em; }
table { margin: .5rem 0 1rem; }
pre.sent { background: #f0f6f1; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; } }
";
