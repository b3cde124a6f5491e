//! The records of one run, put together: who, on which connections, doing what, and how it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vocab::{RunId, Seq, WallTime};

use crate::decided::{Decided, Planned};
use crate::record::{
    Act, Approval, ApprovalVerdict, AskPart, Cause, Chunk, Close, Connect, Coverage, Disconnect, Exposure,
    Flaw, Open, Outcome, RefusalPart, Request, ResultWord, Settled, Stage, Tripwire,
};

/// One execution of an agent, as recorded.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: RunId,
    pub open: Option<Noted<Open>>,
    pub close: Option<Noted<Close>>,
    /// Its sessions by the gateway's number.
    pub sessions: BTreeMap<u64, Session>,
    /// What it asked, in order.
    pub actions: Vec<Action>,
    /// The tool calls that models issued to it, in order.
    pub decisions: Vec<Decided>,
    /// The plans that models stated to it, in order; each replaces the one before it.
    pub plans: Vec<Planned>,
    /// The resources whose answers held a decision: models.
    pub models: BTreeSet<Arc<str>>,
    /// Everything else that was noted of it: `note`, and records of a kind that this version does not know.
    pub notes: Vec<Noted<Note>>,
    /// The `seq` of each of its records, in order of `rseq`.
    pub records: Vec<Seq>,
    /// The earliest and the latest time of its records, which need not be of its first and last: a clock can be set back.
    pub first_at: WallTime,
    pub last_at: WallTime,
    /// The time of its newest record.
    pub at: WallTime,
    /// Records of it whose time lies well before that of the one before.
    pub set_back: Vec<Seq>,
    /// Records of it that could not be read whole.
    pub flawed: Vec<(Seq, Arc<str>, Vec<Flaw>)>,
    /// Records of it of a kind that this version does not know.
    pub unknown: Vec<(Seq, Arc<str>)>,
    /// What does not fit together: an answer to nothing, a hole in `rseq`, a record after `close`.
    pub misfits: Vec<(Seq, &'static str)>,
    /// The record that says that its payload key was destroyed.
    pub erased: Option<Seq>,
}

/// Something a record said, and which record.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted<T> {
    pub seq: Seq,
    pub at: WallTime,
    pub what: T,
}

/// A remark of the gateway's: `forged-history`, `cancel`, `notice`, `parameter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub session: Option<u64>,
    pub of: Option<Seq>,
    pub what: Arc<str>,
    pub detail: Option<Arc<str>>,
    /// Of what a client was told: how much of it the mask understood.
    pub coverage: Option<Coverage>,
}

/// One connection of the run to one resource.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: u64,
    pub connect: Option<Noted<Connect>>,
    pub disconnect: Option<Noted<Disconnect>>,
}

/// One request, from what was asked to what became of it.
#[derive(Clone, Debug)]
pub struct Action {
    pub session: Option<u64>,
    /// What was asked; from the first record about it.
    pub asked: Noted<Request>,
    pub ask: Option<Noted<AskPart>>,
    pub approvals: Vec<Noted<Approval>>,
    /// The `seq` of the intent: from here on, bytes may have gone upstream.
    pub intent: Option<Noted<()>>,
    pub refusals: Vec<Noted<RefusalPart>>,
    /// What detectors found in the request, as its intent and refusals say.
    pub found: Vec<Noted<Vec<Tripwire>>>,
    pub chunks: Vec<Noted<Chunk>>,
    pub outcomes: Vec<Noted<Outcome>>,
    /// What its transaction's own record said.
    pub settled: Option<Noted<Settled>>,
    /// The decisions of the run that say what was asked, sorted: edges of strength `matched`.
    pub causes: Vec<Cause>,
    /// Its answer held a decision, so it asked a model.
    pub decided: bool,
    /// The `seq` of each record about it, in order.
    pub records: Vec<Seq>,
}

/// What became of an action's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Done: the upstream said so, outside a transaction or with its commit.
    Committed,
    /// Undone with its transaction, or failed.
    RolledBack,
    /// Its transaction, its answer or its approval is still awaited.
    Pending,
    /// Nobody knows: no answer came, or none that settles it ever will.
    Indeterminate,
    /// Nothing was sent upstream.
    Refused,
    /// Upstream has read it, and maybe planned it, and was not asked to run it.
    Prepared,
}

impl Effect {
    pub const ALL: [Effect; 6] = [
        Effect::Committed,
        Effect::RolledBack,
        Effect::Pending,
        Effect::Indeterminate,
        Effect::Refused,
        Effect::Prepared,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Effect::Committed => "committed",
            Effect::RolledBack => "rolled-back",
            Effect::Pending => "pending",
            Effect::Indeterminate => "indeterminate",
            Effect::Refused => "refused",
            Effect::Prepared => "prepared",
        }
    }
}

/// Values of a class that a request told a resource, and what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// The record that says so.
    pub seq: Seq,
    pub class: &'a str,
    /// Where in the request: `prompt`, `request`, `request-header`, `query`, `path`.
    pub channel: &'a str,
    pub became: Became,
}

/// What became of a value on its way upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Became {
    /// A placeholder was sent.
    Masked,
    /// It was sent as it is.
    InClear,
    /// Nothing of the request was sent.
    Refused,
    /// The record does not say, or in a word that this version does not know.
    Unknown,
}

impl Became {
    pub fn as_str(self) -> &'static str {
        match self {
            Became::Masked => "masked",
            Became::InClear => "in-clear",
            Became::Refused => "refused",
            Became::Unknown => "unknown",
        }
    }
}

fn told(seq: Seq, found: &Tripwire, became: Became) -> Told<'_> {
    Told { seq, class: &found.class, channel: &found.channel, became }
}

fn became(act: &Act) -> Became {
    match act {
        Act::Masked => Became::Masked,
        Act::Reported => Became::InClear,
        Act::Refused => Became::Refused,
        Act::Cut | Act::Own | Act::Echo | Act::Revealed | Act::Strange(_) => Became::Unknown,
    }
}

impl Run {
    pub(crate) fn new(id: RunId, at: WallTime) -> Run {
        Run {
            id,
            open: None,
            close: None,
            sessions: BTreeMap::new(),
            actions: Vec::new(),
            decisions: Vec::new(),
            plans: Vec::new(),
            models: BTreeSet::new(),
            notes: Vec::new(),
            records: Vec::new(),
            first_at: at,
            last_at: at,
            at,
            set_back: Vec::new(),
            flawed: Vec::new(),
            unknown: Vec::new(),
            misfits: Vec::new(),
            erased: None,
        }
    }

    /// The `seq` of its first record.
    pub fn first(&self) -> Option<Seq> {
        self.records.first().copied()
    }

    /// The `seq` of its newest record.
    pub fn last(&self) -> Option<Seq> {
        self.records.last().copied()
    }

    pub fn is_closed(&self) -> bool {
        self.close.is_some()
    }

    /// The resource that a session reaches, if its `connect` was read.
    pub fn resource_of(&self, session: Option<u64>) -> Option<&Arc<str>> {
        Some(&self.sessions.get(&session?)?.connect.as_ref()?.what.resource)
    }

    /// What became of `action`, as far as this run's records say.
    pub fn effect(&self, action: &Action) -> Effect {
        action.effect(self.is_closed())
    }
}

impl Action {
    pub(crate) fn new(session: Option<u64>, asked: Noted<Request>) -> Action {
        let records = vec![asked.seq];
        Action {
            session,
            asked,
            ask: None,
            approvals: Vec::new(),
            intent: None,
            refusals: Vec::new(),
            found: Vec::new(),
            chunks: Vec::new(),
            outcomes: Vec::new(),
            settled: None,
            causes: Vec::new(),
            decided: false,
            records,
        }
    }

    /// The record that stands for the action when it is cited: the intent, else the first.
    pub fn cite(&self) -> Seq {
        self.intent.as_ref().map_or(self.asked.seq, |intent| intent.seq)
    }

    /// Whether any record about it lies between two others, both included.
    pub fn overlaps(&self, from: Seq, to: Seq) -> bool {
        self.records.iter().any(|seq| from <= *seq && *seq <= to)
    }

    pub fn request(&self) -> &Request {
        &self.asked.what
    }

    /// Every exposure of it, with the record that says so.
    pub fn exposures(&self) -> impl Iterator<Item = (Seq, &Exposure)> {
        let chunks = self.chunks.iter().flat_map(|c| c.what.exposures.iter().map(move |e| (c.seq, e)));
        let outcomes = self.outcomes.iter().flat_map(|o| o.what.exposures.iter().map(move |e| (o.seq, e)));
        chunks.chain(outcomes)
    }

    /// Every tripwire of it, with the record that says so: of the request, and of its answer.
    pub fn tripwires(&self) -> impl Iterator<Item = (Seq, &Tripwire)> {
        let asks = self.found.iter().flat_map(|a| a.what.iter().map(move |t| (a.seq, t)));
        let chunks = self.chunks.iter().flat_map(|c| c.what.tripwires.iter().map(move |t| (c.seq, t)));
        let outcomes = self.outcomes.iter().flat_map(|o| o.what.tripwires.iter().map(move |t| (o.seq, t)));
        asks.chain(chunks).chain(outcomes)
    }

    /// Values of a class that detectors found on their way upstream, and what became of them.
    pub fn told(&self) -> impl Iterator<Item = Told<'_>> {
        let asks = self.found.iter().flat_map(|a| a.what.iter().map(move |t| (a.seq, t)));
        let chunks = self.chunks.iter().filter(|c| &*c.what.to == "upstream");
        let chunks = chunks.flat_map(|c| c.what.tripwires.iter().map(move |t| (c.seq, t)));
        // A record of before said those of a prompt with the answer.
        let outcomes = self.outcomes.iter().flat_map(|o| o.what.tripwires.iter().map(move |t| (o.seq, t)));
        let prompts = outcomes.filter(|(_, t)| &*t.channel == "prompt");
        let whole = asks.chain(prompts).map(move |(seq, t)| told(seq, t, became(&t.act)));
        // Of a body in pieces nothing is masked: who was said to be, before, was sent all the same.
        let pieces = chunks.map(move |(seq, t)| match became(&t.act) {
            Became::Masked => told(seq, t, Became::InClear),
            other => told(seq, t, other),
        });
        whole.chain(pieces)
    }

    /// Its records without that which said of it, among others, how its transaction ended, and answers another.
    pub fn own_records(&self) -> impl Iterator<Item = Seq> {
        let others = self.settled.as_ref().map(|settled| settled.seq);
        let others = others.filter(|seq| !self.outcomes.iter().any(|outcome| outcome.seq == *seq));
        self.records.iter().copied().filter(move |seq| Some(*seq) != others)
    }

    /// What it was answered with, and when. Where its transaction ended later, the record of that is no answer.
    pub fn answer(&self) -> Option<&Noted<Outcome>> {
        let settles = |outcome: &Noted<Outcome>| {
            self.intent.as_ref().is_some_and(|intent| outcome.what.settles.contains(&intent.seq))
        };
        self.outcomes.iter().rev().find(|outcome| !settles(outcome))
    }

    /// What became of it. `closed`: the run is, so what has not come will not come.
    pub fn effect(&self, closed: bool) -> Effect {
        if self.intent.is_none() {
            return self.unsent_effect(closed);
        }
        if self.is_prepared() {
            return Effect::Prepared;
        }
        match &self.settled {
            Some(settled) => settled_effect(&settled.what),
            None => self.outcome_effect(closed),
        }
    }

    /// Whether upstream did as it was asked, and that was to prepare, describe or explain a statement and not to run it. Planning
    /// runs functions: where any is called whose effects are not known, nothing is said.
    fn is_prepared(&self) -> bool {
        let asked = self.request();
        let prepares = matches!(&*asked.via, "parse" | "describe")
            || matches!(asked.kind.as_deref(), Some("PREPARE" | "EXPLAIN"));
        let plain = asked.opaque.is_none() && asked.functions.is_empty();
        let done = self.answer().is_some_and(|outcome| outcome.what.result == ResultWord::Ok);
        prepares && plain && done
    }

    /// No intent: nothing went upstream. It was refused, or its approval is awaited.
    fn unsent_effect(&self, closed: bool) -> Effect {
        let granted = self.approvals.last().is_some_and(|a| a.what.verdict == ApprovalVerdict::Granted);
        let open = self.refusals.is_empty() && (self.approvals.is_empty() || granted);
        if open && !closed { Effect::Pending } else { Effect::Refused }
    }

    fn outcome_effect(&self, closed: bool) -> Effect {
        let unsettled = if closed { Effect::Indeterminate } else { Effect::Pending };
        let Some(outcome) = self.outcomes.last() else { return unsettled };
        if outcome.what.settled == Some(Settled::Indeterminate) {
            return Effect::Indeterminate;
        }
        match (&outcome.what.result, &outcome.what.state) {
            (ResultWord::Ok | ResultWord::Refused, Stage::Final) => {
                outcome.what.settled.as_ref().map_or(Effect::Committed, settled_effect)
            }
            (ResultWord::Ok | ResultWord::Refused, Stage::Pending) => unsettled,
            (ResultWord::Error | ResultWord::Cancelled | ResultWord::Skipped, _) => Effect::RolledBack,
            (ResultWord::Indeterminate | ResultWord::Strange(_), _) => Effect::Indeterminate,
            (ResultWord::Ok | ResultWord::Refused, Stage::Strange(_)) => Effect::Indeterminate,
        }
    }
}

fn settled_effect(settled: &Settled) -> Effect {
    match settled {
        Settled::Committed => Effect::Committed,
        Settled::RolledBack => Effect::RolledBack,
        Settled::Indeterminate | Settled::Strange(_) => Effect::Indeterminate,
    }
}
