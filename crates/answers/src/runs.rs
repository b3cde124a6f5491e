//! `runs`, `show` and `who`: which runs there are, what one did, and who started it.

use std::collections::BTreeMap;

use index::{Index, Run};
use serde::{Deserialize, Serialize};
use vocab::{RunId, Seq};

use crate::chain::{ChainLine, chain_line};
use crate::decided::{
    DecidedLine, DecisionLine, Followed, Moment, PlanLine, decision_line, in_order, plan_line,
    render_decision, render_plan,
};
use crate::desk::{Cannot, Desk, ProofLine, is_false};
use crate::erasure::ErasureLine;
use crate::exposed::not_durable;
use crate::limits::{ACTIONS_MAX, PARENTS_MAX};
use crate::line::{ActionLine, Cites, RunLine, action_line, ending, is_zero, run_line, time};
use crate::shape::Answer;
use crate::text::{Text, count, statement_line, visible_name};
use crate::watch::Look;

/// All runs, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    pub runs: Vec<RunLine>,
    pub proof: ProofLine,
}

/// One run as a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    pub run: RunLine,
    /// Set if an issuer's token minted it, or the run around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainLine>,
    pub argv: Vec<String>,
    pub parent: Option<String>,
    pub children: Vec<String>,
    pub sessions: Vec<SessionLine>,
    /// In the order in which they were asked, at most [`ACTIONS_MAX`].
    pub actions: Vec<ActionLine>,
    #[serde(default)]
    pub more_actions: u64,
    /// The plans that models stated to it, in order, at most [`ACTIONS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<PlanLine>,
    /// The tool calls that models issued to it, in order, at most [`ACTIONS_MAX`].
    #[serde(default)]
    pub decisions: Vec<DecisionLine>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_decisions: u64,
    /// What they explain of the whole run.
    #[serde(default)]
    pub decided: DecidedLine,
    pub notes: Vec<NoteLine>,
    /// Records of the run that this version cannot read whole, or that do not fit together.
    pub unread: Vec<UnreadLine>,
    /// The record that says that its payloads were erased.
    pub erased: Option<u64>,
    /// What it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureLine>,
    pub proof: ProofLine,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    pub session: u64,
    pub resource: Option<String>,
    pub client: Option<String>,
    pub upstream: Option<String>,
    pub upstream_id: Option<u64>,
    pub tls_client: Option<bool>,
    pub tls_upstream: Option<bool>,
    pub role: Option<String>,
    pub server: Option<String>,
    /// `http`, `llm`, `mcp` or `ssh`; absent of a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `proxy`: the client came through the forward proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Of a server of MCP that its client started: what it started, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub why: Option<String>,
    /// The run is over, and no record says how the session ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
    pub client_bytes: Option<u64>,
    pub upstream_bytes: Option<u64>,
    #[serde(flatten)]
    pub cites: Cites,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteLine {
    pub record: u64,
    pub at: String,
    pub session: Option<u64>,
    pub what: String,
    pub detail: Option<String>,
}

/// A record that is kept but not understood whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadLine {
    pub record: u64,
    pub kind: String,
    pub why: String,
}

/// Who started a run, for whom, and who let it go further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    pub run: RunLine,
    /// Set if an issuer's token minted it, or the run around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainLine>,
    pub uid: Option<u64>,
    pub argv: Vec<String>,
    /// The authenticated caller started it for somebody else.
    pub delegated: bool,
    /// Its parent, the parent's parent, and so on.
    pub parents: Vec<RunLine>,
    pub children: Vec<RunLine>,
    pub deciders: Vec<DeciderLine>,
    /// Set if its payloads were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureLine>,
    /// What P6 and P8 are not claimed for, and why.
    pub limits: Vec<String>,
    #[serde(flatten)]
    pub cites: Cites,
    pub proof: ProofLine,
}

/// One verdict of a person over an action of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeciderLine {
    pub who: String,
    pub verdict: String,
    pub at: String,
    pub record: u64,
    pub action: u64,
}

impl Desk<'_> {
    pub fn runs(&self) -> Result<Runs, Cannot> {
        let proof = self.look(Look::Runs, "all")?;
        let proof = self.sealing(proof, self.index.runs().flat_map(|run| run.records.iter().copied()));
        Ok(Runs { runs: self.index.runs().rev().map(run_line).collect(), proof })
    }

    pub fn show(&self, run: &str) -> Result<Show, Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Show, &run.id.to_string())?;
        Ok(self.show_run(run, proof))
    }

    pub(crate) fn show_run(&self, run: &Run, proof: ProofLine) -> Show {
        let open = run.open.as_ref().map(|o| &o.what);
        let followed = Followed::of(run);
        Show {
            run: run_line(run),
            chain: chain_line(run),
            argv: open.map(|o| o.argv.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            parent: open.and_then(|o| o.parent).map(|p| p.to_string()),
            children: children(self.index, run.id).map(|c| c.id.to_string()).collect(),
            sessions: run.sessions.values().map(|session| session_line(run, session)).collect(),
            actions: run.actions.iter().take(ACTIONS_MAX).map(|a| action_line(run, a)).collect(),
            more_actions: run.actions.len().saturating_sub(ACTIONS_MAX) as u64,
            plans: run
                .plans
                .iter()
                .take(ACTIONS_MAX)
                .enumerate()
                .map(|(n, p)| plan_line(&followed, n, p))
                .collect(),
            decisions: run.decisions.iter().take(ACTIONS_MAX).map(|d| decision_line(run, d)).collect(),
            more_decisions: run.decisions.len().saturating_sub(ACTIONS_MAX) as u64,
            decided: DecidedLine::of(run),
            notes: run.notes.iter().map(note_line).collect(),
            unread: unread(run),
            erased: run.erased.map(|seq| seq.0),
            erasure: ErasureLine::of(self.index, run),
            proof: self.sealing(proof, run.records.iter().copied().chain(run.erased)),
        }
    }

    pub fn who(&self, run: &str) -> Result<Who, Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Who, &run.id.to_string())?;
        Ok(self.who_run(run, proof))
    }

    pub(crate) fn who_run(&self, run: &Run, proof: ProofLine) -> Who {
        let open = run.open.as_ref();
        let mut cites: Cites = open.iter().map(|o| o.seq).collect();
        let parents = parents(self.index, run);
        parents.iter().filter_map(|p| p.open.as_ref()).for_each(|o| cites.add(o.seq));
        run.erased.iter().for_each(|seq| cites.add(*seq));
        Who {
            run: run_line(run),
            chain: chain_line(run),
            // Who calls by an issuer's token is no user of the machine.
            uid: open.map(|o| o.what.uid).filter(|uid| *uid != u64::from(u32::MAX)),
            argv: open.map(|o| o.what.argv.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            delegated: open.is_some_and(|o| o.what.human != o.what.by),
            parents: parents.into_iter().map(run_line).collect(),
            children: children(self.index, run.id).map(run_line).collect(),
            deciders: deciders(run),
            erasure: ErasureLine::of(self.index, run),
            limits: who_limits(run),
            proof: self
                .sealing(proof, run.records.iter().copied().chain(cites.records.iter().map(|seq| Seq(*seq)))),
            cites,
        }
    }
}

impl Answer for Runs {
    const SHAPE: &'static str = "tacho.runs/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        if self.runs.is_empty() {
            text.line("No run is recorded in this ledger.");
        } else {
            let rows: Vec<Vec<String>> = self.runs.iter().map(runs_row).collect();
            text.table(&["RUN", "OPENED", "HUMAN", "AGENT", "STATE", "ACTIONS", "RECORDS", "TASK"], &rows);
        }
        text.blank();
        text.line(&self.proof.text());
    }
}

impl Answer for Show {
    const SHAPE: &'static str = "tacho.show/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        render_run(text, &self.run);
        self.chain.iter().for_each(|chain| chain.render(text));
        if !self.argv.is_empty() {
            text.pair("command", &self.argv.join(" "));
        }
        self.parent.iter().for_each(|p| text.pair("parent", p));
        self.children.iter().for_each(|c| text.pair("child", c));
        self.erasure.iter().for_each(|erasure| text.pair("payloads", &erasure.text()));
        self.decided.sentence().iter().for_each(|decided| text.pair("decided", decided));
        if self.decisions.is_empty() && self.plans.is_empty() {
            self.render_by_session(text);
        } else {
            self.render_in_order(text);
        }
        if self.more_actions > 0 {
            text.line(&format!(
                "  and {} more actions; `tacho find run:{}` narrows",
                self.more_actions, self.run.run
            ));
        }
        if self.more_decisions > 0 {
            text.line(&format!("  and {} more decisions", self.more_decisions));
        }
        render_notes(text, &self.notes);
        render_unread(text, &self.unread);
        text.blank();
        text.line(&self.proof.text());
    }
}

impl Answer for Who {
    const SHAPE: &'static str = "tacho.who/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        text.line(&self.sentence());
        text.blank();
        render_run(text, &self.run);
        self.chain.iter().for_each(|chain| chain.render(text));
        self.uid.iter().for_each(|uid| text.pair("uid", &uid.to_string()));
        if !self.argv.is_empty() {
            text.pair("command", &self.argv.join(" "));
        }
        for parent in &self.parents {
            text.pair(
                "parent",
                &format!("{} {} by {}", parent.run, name(&parent.agent), name(&parent.human)),
            );
        }
        for child in &self.children {
            text.pair("child", &format!("{} {}", child.run, name(&child.agent)));
        }
        self.erasure.iter().for_each(|erasure| text.pair("payloads", &erasure.text()));
        if !self.deciders.is_empty() {
            text.blank();
            let row = |d: &DeciderLine| {
                vec![
                    d.who.clone(),
                    d.verdict.clone(),
                    d.at.clone(),
                    d.action.to_string(),
                    d.record.to_string(),
                ]
            };
            text.table(
                &["DECIDED BY", "VERDICT", "AT", "ACTION", "RECORD"],
                &self.deciders.iter().map(row).collect::<Vec<_>>(),
            );
        }
        text.blank();
        text.pair("records", &self.cites.text());
        self.limits.iter().for_each(|limit| text.pair("not claimed", limit));
        text.line(&self.proof.text());
    }
}

impl Show {
    /// What happened, in order: actions, and the decisions between them.
    pub fn timeline(&self) -> Vec<Moment<'_>> {
        in_order(&self.actions, &self.plans, &self.decisions)
    }

    fn render_by_session(&self, text: &mut Text) {
        let mut shown = 0;
        for session in &self.sessions {
            text.blank();
            text.line(&session.title());
            let id = Some(session.session);
            shown += render_actions(text, self.actions.iter().filter(|a| a.session == id));
        }
        if shown < self.actions.len() {
            text.blank();
            text.line("no session");
            let known = |a: &&ActionLine| self.sessions.iter().any(|s| Some(s.session) == a.session);
            render_actions(text, self.actions.iter().filter(|a| !known(a)));
        }
    }

    /// A decision and what it caused are of different sessions: they stand in one order, under the session of each.
    fn render_in_order(&self, text: &mut Text) {
        text.blank();
        self.sessions.iter().for_each(|session| text.line(&session.title()));
        let mut under = None;
        for moment in self.timeline() {
            let session = moment.session();
            if under.replace(session) != Some(session) {
                text.blank();
                text.line(&self.place(session));
            }
            match moment {
                Moment::Action(action) => render_action(text, action),
                Moment::Plan(plan) => render_plan(text, plan),
                Moment::Decision(decision) => render_decision(text, decision),
            }
        }
    }

    /// `session 7, crm`.
    fn place(&self, session: Option<u64>) -> String {
        let Some(id) = session else { return "no session".to_owned() };
        let found = self.sessions.iter().find(|s| s.session == id);
        format!("session {id}, {}", found.and_then(|s| s.resource.as_deref()).unwrap_or("unknown"))
    }
}

impl Who {
    /// The answer in one sentence.
    pub fn sentence(&self) -> String {
        let (human, agent) = (name(&self.run.human), name(&self.run.agent));
        let when = name(&self.run.opened);
        match (&self.run.by, self.delegated) {
            _ if self.run.human.is_none() => "Unknown: the run's opening record is not here.".to_owned(),
            (Some(by), true) => format!("{by} started agent {agent} for {human} at {when}."),
            _ => format!("{human} started agent {agent} at {when}."),
        }
    }
}

impl SessionLine {
    /// `session 4  crm as app@db:5432  2026-..`
    pub fn title(&self) -> String {
        let tls = match (self.kind.as_deref(), self.tls_upstream) {
            (Some("ssh"), _) => ", SSH",
            (_, Some(true)) => ", TLS",
            (_, Some(false)) => ", no TLS upstream",
            (_, None) => "",
        };
        let via = self.via.as_ref().map(|via| format!(", through the {via}")).unwrap_or_default();
        let command = self.command.as_ref().map(|command| format!(" ({command})")).unwrap_or_default();
        // An HTTP service knows no role.
        let role = self.role.as_deref().filter(|role| !role.is_empty());
        format!(
            "session {}  {}{} at {}{command}{tls}{via}  {}  {}",
            self.session,
            name(&self.resource),
            role.map(|role| format!(" as {role}")).unwrap_or_default(),
            name(&self.upstream),
            name(&self.from),
            match (&self.why, self.cut) {
                (Some(why), _) => format!("ended: {why}"),
                (None, true) => "over with the run, its end is not recorded".to_owned(),
                (None, false) => "open".to_owned(),
            },
        )
    }
}

/// Records of the run that are not understood whole, or do not fit together.
pub(crate) fn unread(run: &Run) -> Vec<UnreadLine> {
    let unknown = run.unknown.iter().map(|(seq, kind)| UnreadLine {
        record: seq.0,
        kind: kind.to_string(),
        why: "a kind of record that this version does not know".to_owned(),
    });
    let flawed = run.flawed.iter().flat_map(|(seq, kind, flaws)| {
        flaws.iter().map(|flaw| UnreadLine { record: seq.0, kind: kind.to_string(), why: flaw.to_string() })
    });
    let misfits = run.misfits.iter().map(|(seq, why)| UnreadLine {
        record: seq.0,
        kind: String::new(),
        why: (*why).to_owned(),
    });
    let mut lines: Vec<UnreadLine> = unknown.chain(flawed).chain(misfits).collect();
    lines.sort_by_key(|line| line.record);
    lines
}

pub(crate) fn session_line(run: &Run, session: &index::Session) -> SessionLine {
    let c = session.connect.as_ref();
    let d = session.disconnect.as_ref();
    let text = |pick: fn(&index::Connect) -> &str| c.map(|c| pick(&c.what).to_owned());
    let option = |name: &str| c.and_then(|c| c.what.options.get(name)).map(ToString::to_string);
    SessionLine {
        session: session.id,
        resource: text(|c| &c.resource),
        client: text(|c| &c.client),
        upstream: text(|c| &c.upstream),
        upstream_id: c.map(|c| c.what.upstream_id),
        tls_client: c.map(|c| c.what.tls_client),
        tls_upstream: c.map(|c| c.what.tls_upstream),
        role: text(|c| &c.role),
        server: text(|c| &c.server),
        kind: option("kind"),
        via: option("via"),
        command: option("command"),
        from: c.map(|c| time(c.at)),
        to: d.map(|d| time(d.at)),
        why: d.map(|d| d.what.why.to_string()),
        cut: d.is_none() && run.is_closed(),
        client_bytes: d.map(|d| d.what.client_bytes),
        upstream_bytes: d.map(|d| d.what.upstream_bytes),
        cites: c.map(|c| c.seq).into_iter().chain(d.map(|d| d.seq)).collect(),
    }
}

pub(crate) fn render_run(text: &mut Text, run: &RunLine) {
    text.pair("run", &run.run);
    text.pair("human", name(&run.human));
    if run.by != run.human {
        text.pair("started by", name(&run.by));
    }
    let version = run.agent_version.as_ref().map(|v| format!(" {v}")).unwrap_or_default();
    text.pair("agent", &format!("{}{version}", name(&run.agent)));
    run.task.iter().for_each(|task| text.pair("task", task));
    let until = run.closed.as_ref().map(|c| format!(" to {c}")).unwrap_or_default();
    text.pair("when", &format!("{}{until}", name(&run.opened)));
    text.pair("state", &run.state);
    if run.confined == Some(false) {
        text.pair("confined", "NO: the agent could reach what the gateway keeps");
    }
    if run.jailed == Some(true) {
        text.pair("jailed", "yes: the gateway's listeners were all that the agent could reach");
    }
}

fn render_actions<'a>(text: &mut Text, actions: impl Iterator<Item = &'a ActionLine>) -> usize {
    let mut shown = 0;
    for action in actions {
        render_action(text, action);
        shown += 1;
    }
    shown
}

/// One action on a few lines: the first says what and how it ended, the others only what is worth saying.
pub(crate) fn render_action(text: &mut Text, action: &ActionLine) {
    text.line(&format!("  #{:<6} {}  {:<8} {}", action.record, action.at, action.verdict, ending(action)));
    if !action.statement.is_empty() {
        text.statement("", &action.statement);
    }
    if let Some(sent) = &action.sent {
        text.statement("sent: ", sent);
    }
    if let Some(why) = action.explanation() {
        text.line(&format!("          {why}"));
    }
    if let Some(why) = &action.opaque {
        text.line(&format!("          opaque: {why}"));
        action.functions_text().iter().for_each(|line| text.line(&format!("          {line}")));
    }
    if action.verdict != "allow" {
        text.line(&format!("          rules: {}", action.rules.join(", ")));
    }
    for refusal in &action.refusals {
        let late = refusal.late.as_ref().map(|at| format!(" (at {at}, recorded later)")).unwrap_or_default();
        text.line(&format!("          refused {}: {}{late}", refusal.code, refusal.message));
    }
    for approval in action.ask.iter().flat_map(|ask| &ask.approvals) {
        let by = approval.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let reason = approval.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        text.line(&format!("          {}{by} at {}{reason}", approval.verdict, approval.at));
        for signature in &approval.signatures {
            text.line(&format!(
                "          carries a signature as {} with {} (not checked here; whose key it is, the record does not prove)",
                signature.by,
                statement_line(&signature.key)
            ));
        }
    }
    if let Some(result) = &action.result {
        if let Some(reasoning) = &result.reasoning {
            text.statement("reasoning: ", reasoning);
        }
        if !result.hosted.is_empty() {
            text.line(&format!(
                "          done by the provider itself: {}",
                statement_line(&result.hosted.join(", "))
            ));
        }
    }
    for e in &action.exposures {
        text.line(&format!(
            "          {} {} at {}, {}, {} ({})",
            e.class,
            visible_name(&e.on),
            e.at,
            e.amount(),
            e.what,
            e.by
        ));
    }
    for t in &action.told {
        text.line(&format!("          {} in {} for {}: {}", t.class, t.channel, t.whom(), t.became()));
    }
    for t in action.tripwires.iter().filter(|t| t.is_of_answer()) {
        text.line(&format!("          tripwire {} ({}) in {}: {}", t.detector, t.class, t.channel, t.act));
    }
    if !["committed", "refused", "prepared"].contains(&&*action.effect) {
        text.line(&format!("          effect: {}", action.effect));
    }
}

pub(crate) fn render_unread(text: &mut Text, unread: &[UnreadLine]) {
    if unread.is_empty() {
        return;
    }
    text.blank();
    text.line("Not understood whole (kept, and no claim rests on it):");
    let row = |u: &UnreadLine| vec![u.record.to_string(), u.kind.clone(), u.why.clone()];
    text.table(&["RECORD", "KIND", "WHY"], &unread.iter().map(row).collect::<Vec<_>>());
}

fn render_notes(text: &mut Text, notes: &[NoteLine]) {
    if notes.is_empty() {
        return;
    }
    text.blank();
    let row = |n: &NoteLine| {
        vec![n.record.to_string(), n.at.clone(), n.what.clone(), n.detail.clone().unwrap_or_default()]
    };
    text.table(&["NOTE", "AT", "WHAT", "DETAIL"], &notes.iter().map(row).collect::<Vec<_>>());
}

fn runs_row(run: &RunLine) -> Vec<String> {
    vec![
        run.run.chars().take(12).collect(),
        run.opened.clone().unwrap_or_default(),
        name(&run.human).to_owned(),
        name(&run.agent).to_owned(),
        run.state.clone(),
        run.actions.to_string(),
        run.records.to_string(),
        run.task.clone().unwrap_or_default(),
    ]
}

fn note_line(note: &index::Noted<index::Note>) -> NoteLine {
    NoteLine {
        record: note.seq.0,
        at: time(note.at),
        session: note.what.session,
        what: note.what.what.to_string(),
        detail: note.what.detail.as_ref().map(ToString::to_string),
    }
}

fn deciders(run: &Run) -> Vec<DeciderLine> {
    let each = run.actions.iter().flat_map(|action| action.approvals.iter().map(move |a| (action, a)));
    let person = each.filter_map(|(action, approval)| {
        Some(DeciderLine {
            who: approval.what.by.as_ref()?.to_string(),
            verdict: approval.what.verdict.to_string(),
            at: time(approval.at),
            record: approval.seq.0,
            action: action.cite().0,
        })
    });
    person.collect()
}

fn who_limits(run: &Run) -> Vec<String> {
    let mut limits = Vec::new();
    match &run.open {
        None => limits.push("the run's opening record is not here, so nobody is named".to_owned()),
        Some(open) if !open.what.confined => limits.push(
            "the run was not confined: that the agent held no upstream credential (P6) and could not approve its own \
             requests (P8)"
                .to_owned(),
        ),
        Some(_) => {}
    }
    limits.extend(not_durable(run.actions.iter()));
    limits
}

fn parents<'a>(index: &'a Index, run: &'a Run) -> Vec<&'a Run> {
    let mut chain: Vec<&Run> = Vec::new();
    let mut at = run;
    while let Some(parent) = at.open.as_ref().and_then(|o| o.what.parent).and_then(|id| index.run(id)) {
        if chain.len() >= PARENTS_MAX || parent.id == run.id {
            break;
        }
        chain.push(parent);
        at = parent;
    }
    chain
}

/// A run with all that it started, and those started: itself first, then by id.
pub(crate) fn family<'a>(index: &'a Index, run: &'a Run) -> Vec<&'a Run> {
    let mut started: BTreeMap<RunId, Vec<&Run>> = BTreeMap::new();
    for other in index.runs() {
        let parent = other.open.as_ref().and_then(|open| open.what.parent);
        parent.into_iter().for_each(|parent| started.entry(parent).or_default().push(other));
    }
    let mut family: BTreeMap<RunId, &Run> = BTreeMap::from([(run.id, run)]);
    let mut next = vec![run.id];
    while let Some(of) = next.pop() {
        for child in started.remove(&of).unwrap_or_default() {
            if family.insert(child.id, child).is_none() {
                next.push(child.id);
            }
        }
    }
    family.remove(&run.id);
    std::iter::once(run).chain(family.into_values()).collect()
}

/// A run that the one asked about started, itself or through others: what it did counts with that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedLine {
    pub run: String,
    pub human: Option<String>,
    pub agent: Option<String>,
    pub state: String,
    pub actions: u64,
    /// Cells that reached its client unmasked.
    pub unmasked: u64,
    /// Its records.
    #[serde(flatten)]
    pub cites: Cites,
}

impl StartedLine {
    /// Of all of a family but the first.
    pub(crate) fn all(family: &[&Run]) -> Vec<StartedLine> {
        family.iter().skip(1).map(|run| StartedLine::new(run)).collect()
    }

    fn new(run: &Run) -> StartedLine {
        let line = run_line(run);
        let revealed = |e: &&index::Exposure| e.what == index::Disposition::Revealed;
        let exposures = run.actions.iter().flat_map(index::Action::exposures).map(|(_, e)| e);
        StartedLine {
            run: line.run,
            human: line.human,
            agent: line.agent,
            state: line.state,
            actions: line.actions,
            unmasked: exposures.filter(revealed).fold(0, |sum, e| sum.saturating_add(e.cells)),
            cites: run.records.iter().copied().collect(),
        }
    }

    /// `0a1b..., agent helper for ada: 3 actions, 12 cells unmasked (records 7-20)`.
    pub fn text(&self) -> String {
        format!(
            "{}, agent {} for {}: {}, {} unmasked (records {})",
            self.run,
            name(&self.agent),
            name(&self.human),
            count(self.actions, "action"),
            count(self.unmasked, "cell"),
            self.cites.text()
        )
    }
}

pub(crate) fn render_started(text: &mut Text, started: &[StartedLine]) {
    if !started.is_empty() {
        text.line("With what it started:");
        started.iter().for_each(|line| text.line(&format!("  {}", line.text())));
    }
}

fn children(index: &Index, of: RunId) -> impl Iterator<Item = &Run> {
    index.runs().filter(move |run| run.open.as_ref().is_some_and(|o| o.what.parent == Some(of)))
}

fn name(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("unknown")
}
