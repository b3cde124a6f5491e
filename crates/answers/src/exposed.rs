//! `exposed`: was any sensitive data exposed? Three answers, and what stands between us and the strongest.
//!
//! *Proved by enforcement* is said only if every event of the range has complete coverage, nothing is unknown, no
//! tripwire but `own` and `echo` was hit, the chain verifies over the whole range, and the catalog was fresh. Anything
//! that prevents it is listed, never summarised away. Whatever this version cannot read prevents it too.

use std::collections::{BTreeMap, BTreeSet};

use index::{Act, Action, Coverage, Disposition, Effect, Exposure, Gap, Index, Noted, Run, Tripwire};
use serde::{Deserialize, Serialize};
use vocab::{RunId, Seq, WallTime};

use crate::desk::{Cannot, Chain, Desk, ProofLine};
use crate::line::{
    Cites, ExposureLine, RunLine, ToldLine, TripwireLine, exposure_lines, run_line, time, told_lines,
    tripwire_line,
};
use crate::runs::{StartedLine, family, render_run, render_started};
use crate::shape::Answer;
use crate::text::{Text, count, visible_name};
use crate::watch::Look;

/// What an answer about exposure covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// One run, by id or prefix.
    Run(&'a str),
    /// Every record between two moments, both included.
    Range { from: WallTime, to: WallTime },
}

/// Whether values of a class reached the client unmasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// `proved`: none, by enforcement. `none-observed`: none was seen, but it is not proved. `exposed`: some.
    pub answer: String,
    /// Cells that reached the client unmasked.
    pub unmasked: u64,
    pub scope: ScopeLine,
    /// What was exposed or masked, by column, class, position, disposition and what enforced it.
    pub exposures: Vec<ExposureLine>,
    /// What requests told resources: what of each class was sent to whom, and what became of it.
    #[serde(default)]
    pub told: Vec<ToldLine>,
    pub tripwires: Vec<TripwireLine>,
    /// Everything that prevents `proved`. Empty if and only if nothing does.
    pub prevents: Vec<PreventLine>,
    /// What no answer of this kind covers.
    pub limits: Vec<String>,
    pub proof: ProofLine,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeLine {
    pub run: Option<RunLine>,
    /// The runs that it started, which are in the scope too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started: Vec<StartedLine>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub first_record: Option<u64>,
    pub last_record: Option<u64>,
    pub runs: u64,
    pub actions: u64,
}

/// One reason why "unmasked: 0" is not asserted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreventLine {
    /// A word of [`Prevent`].
    pub what: String,
    /// A sentence for people.
    pub why: String,
    #[serde(flatten)]
    pub cites: Cites,
}

/// What prevents a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prevent {
    /// A value of a class reached the client.
    Revealed,
    PartialCoverage,
    /// An action that cannot be known went upstream.
    Opaque,
    /// Something was released, and no outcome says how whole the mask's view of it was.
    NoCoverage,
    UnknownExposure,
    /// A value of a class was sent in clear to a resource.
    Told,
    Tripwire,
    ChainNotChecked,
    ChainBroken,
    /// Records that no checkpoint covers yet.
    ChainOpen,
    /// The ledger ends in a frame that is not whole.
    ChainTorn,
    StaleCatalog,
    UnknownKind,
    /// A field or word that this version does not know, or a record that does not fit.
    Unread,
    /// The run's opening record is not there.
    NoOpening,
    /// The gateway itself says that it could not record for a while.
    Gap,
    /// A clock was set back, so that it is open what happened when.
    Clock,
    /// Records of the range, or behind the run's first one, are not here.
    Hole,
    /// There is nothing in the range.
    Empty,
}

impl Prevent {
    pub const ALL: [Prevent; 19] = [
        Prevent::Revealed,
        Prevent::PartialCoverage,
        Prevent::Opaque,
        Prevent::NoCoverage,
        Prevent::UnknownExposure,
        Prevent::Told,
        Prevent::Tripwire,
        Prevent::ChainNotChecked,
        Prevent::ChainBroken,
        Prevent::ChainOpen,
        Prevent::ChainTorn,
        Prevent::StaleCatalog,
        Prevent::UnknownKind,
        Prevent::Unread,
        Prevent::NoOpening,
        Prevent::Gap,
        Prevent::Clock,
        Prevent::Hole,
        Prevent::Empty,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Prevent::Revealed => "revealed",
            Prevent::PartialCoverage => "partial-coverage",
            Prevent::Opaque => "opaque",
            Prevent::NoCoverage => "no-coverage",
            Prevent::UnknownExposure => "unknown-exposure",
            Prevent::Told => "told",
            Prevent::Tripwire => "tripwire",
            Prevent::ChainNotChecked => "chain-not-checked",
            Prevent::ChainBroken => "chain-broken",
            Prevent::ChainOpen => "chain-open",
            Prevent::ChainTorn => "chain-torn",
            Prevent::StaleCatalog => "stale-catalog",
            Prevent::UnknownKind => "unknown-kind",
            Prevent::Unread => "unread",
            Prevent::NoOpening => "no-opening",
            Prevent::Gap => "gap",
            Prevent::Clock => "clock",
            Prevent::Hole => "hole",
            Prevent::Empty => "empty",
        }
    }
}

impl Desk<'_> {
    pub fn exposed(&self, scope: &Scope<'_>) -> Result<Exposed, Cannot> {
        match scope {
            Scope::Run(run) => {
                let run = self.find_run(run)?;
                let proof = self.look(Look::Exposed, &run.id.to_string())?;
                Ok(self.exposed_run(run, proof))
            }
            Scope::Range { from, to } => {
                let subject = format!("{} to {}", time(*from), time(*to));
                let proof = self.look(Look::Exposed, &subject)?;
                Ok(self.exposed_range(*from, *to, proof))
            }
        }
    }

    pub(crate) fn exposed_run<'a>(&'a self, run: &'a Run, proof: ProofLine) -> Exposed {
        let family = family(self.index, run);
        let each = |run: &&'a Run| run.actions.iter().map(|action| (*run, action)).collect::<Vec<_>>();
        let actions: Vec<(&Run, &Action)> = family.iter().flat_map(each).collect();
        let mut records: Vec<Seq> = family.iter().flat_map(|run| run.records.iter().copied()).collect();
        records.sort();
        let from = family.iter().map(|run| run.first_at).min().unwrap_or(run.first_at);
        let to = family.iter().map(|run| run.last_at).max().unwrap_or(run.last_at);
        let mut prevents = Prevents::default();
        family.iter().for_each(|run| run_prevents(run, (from, to), &mut prevents));
        self.chain_prevents(&records, &mut prevents);
        let within = records.first().zip(records.last()).map(|(first, last)| (*first, *last));
        gap_prevents(self.index, (from, to), within, &mut prevents);
        // Runs that it started began after it did, and may be in what is missing.
        hole_prevents(self.index, records.first().copied(), &mut prevents);
        let scope = ScopeLine {
            run: Some(run_line(run)),
            started: StartedLine::all(&family),
            from: Some(time(from)),
            to: Some(time(to)),
            first_record: records.first().map(|s| s.0),
            last_record: records.last().map(|s| s.0),
            runs: family.len() as u64,
            actions: actions.len() as u64,
        };
        let proof = self.sealing(proof, records.into_iter());
        self.conclude(&actions, prevents, scope, proof)
    }

    fn exposed_range(&self, from: WallTime, to: WallTime, proof: ProofLine) -> Exposed {
        let within = |at: WallTime| from <= at && at <= to;
        let runs: Vec<&Run> = self.index.runs().filter(|r| r.first_at <= to && r.last_at >= from).collect();
        let mut actions: Vec<(&Run, &Action)> = Vec::new();
        let mut prevents = Prevents::default();
        let mut records: Vec<Seq> = Vec::new();
        for run in &runs {
            // An action belongs to the range if any part of it does: a long answer may have begun before.
            let any = |a: &&Action| {
                let (first, last) = span(run, a);
                first <= to && last >= from
            };
            let of_run: Vec<&Action> = run.actions.iter().filter(any).collect();
            records.extend(of_run.iter().flat_map(|a| a.records.iter().copied()));
            actions.extend(of_run.into_iter().map(|a| (*run, a)));
            run_prevents(run, (from, to), &mut prevents);
        }
        for strange in self.index.unknown().iter().filter(|s| s.run.is_none() && within(s.at)) {
            prevents.add(Prevent::UnknownKind, format!("a record of kind {:?}", &*strange.kind), strange.seq);
        }
        hole_prevents(self.index, None, &mut prevents);
        if runs.is_empty() {
            prevents.note(Prevent::Empty, "no run has a record in this range".to_owned());
        }
        for (seq, before, at) in self.index.seen().set_back.iter().filter(|(_, a, b)| *b <= to && *a >= from)
        {
            let why = format!("the clock was set back from {} to {}", time(*before), time(*at));
            prevents.add(Prevent::Clock, why, *seq);
        }
        records.sort();
        self.chain_prevents(&records, &mut prevents);
        let within = records.first().zip(records.last()).map(|(first, last)| (*first, *last));
        gap_prevents(self.index, (from, to), within, &mut prevents);
        let proof = self.sealing(proof, records.iter().copied());
        let scope = ScopeLine {
            run: None,
            started: Vec::new(),
            from: Some(time(from)),
            to: Some(time(to)),
            first_record: records.first().map(|s| s.0),
            last_record: records.last().map(|s| s.0),
            runs: runs.len() as u64,
            actions: actions.len() as u64,
        };
        self.conclude(&actions, prevents, scope, proof)
    }

    fn conclude(
        &self,
        actions: &[(&Run, &Action)],
        mut prevents: Prevents,
        scope: ScopeLine,
        proof: ProofLine,
    ) -> Exposed {
        let freshness = Freshness::new(self.index);
        for (run, action) in actions {
            action_prevents(action, &mut prevents);
            if let Some(why) = freshness.stale(run, action) {
                prevents.add(Prevent::StaleCatalog, why, action.cite());
            }
        }
        let limits = limits(actions).into_iter().chain(others_missing(self.index)).collect();
        let exposures = exposure_lines(actions.iter().flat_map(|(_, a)| a.exposures()));
        let told = told_lines(actions.iter().flat_map(|(r, a)| a.told().map(move |told| (*r, *a, told))));
        told_prevents(&told, &mut prevents);
        let revealed = || exposures.iter().filter(|e| e.what == "revealed");
        let unmasked = revealed().fold(0, |sum: u64, e| sum.saturating_add(e.cells));
        let revealed = revealed().next().is_some();
        let prevents = prevents.finish();
        // What left for a provider is out of reach; another service is one that the rules let the run work on.
        let left = told.iter().any(|t| t.model && t.what == "in-clear");
        let answer = match (revealed || left, prevents.is_empty()) {
            (true, _) => "exposed",
            (false, true) => "proved",
            (false, false) => "none-observed",
        };
        Exposed {
            answer: answer.to_owned(),
            unmasked,
            scope,
            exposures,
            told,
            tripwires: tripwires(actions),
            prevents,
            limits,
            proof,
        }
    }

    /// The chain must verify, and a checkpoint must cover each of these records.
    pub(crate) fn chain_prevents(&self, records: &[Seq], prevents: &mut Prevents) {
        match self.chain {
            Chain::NotChecked => {
                prevents.note(Prevent::ChainNotChecked, "nobody has verified this ledger".to_owned());
            }
            Chain::Broken(why) => prevents.note(Prevent::ChainBroken, why.clone()),
            Chain::Verified(verified) => {
                verified.torn.iter().for_each(|torn| prevents.note(Prevent::ChainTorn, torn.clone()));
                for seq in records.iter().filter(|seq| **seq >= verified.covered) {
                    let why = "no signed checkpoint covers it yet".to_owned();
                    prevents.add(Prevent::ChainOpen, why, *seq);
                }
            }
        }
    }
}

impl Answer for Exposed {
    const SHAPE: &'static str = "tacho.exposed/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        text.line(&self.sentence());
        text.blank();
        if let Some(run) = &self.scope.run {
            render_run(text, run);
            render_started(text, &self.scope.started);
        } else {
            let unknown = || "?".to_owned();
            let from = self.scope.from.clone().unwrap_or_else(unknown);
            let to = self.scope.to.clone().unwrap_or_else(unknown);
            text.pair("range", &format!("{from} to {to}"));
            text.pair("runs", &self.scope.runs.to_string());
        }
        text.pair("actions", &self.scope.actions.to_string());
        if !self.exposures.is_empty() {
            text.blank();
            let headers = ["COLUMN", "CLASS", "AT", "WHAT", "BY", "ROWS", "CELLS", "RECORDS"];
            text.table(&headers, &self.exposures.iter().map(exposure_row).collect::<Vec<_>>());
        }
        if !self.told.is_empty() {
            text.blank();
            let row = |t: &ToldLine| {
                vec![t.class.clone(), t.whom(), t.channel.clone(), t.became().to_owned(), t.cites.text()]
            };
            let headers = ["CLASS", "TOLD TO", "IN", "WHAT", "RECORDS"];
            text.table(&headers, &self.told.iter().map(row).collect::<Vec<_>>());
        }
        if !self.tripwires.is_empty() {
            text.blank();
            let row = |t: &TripwireLine| {
                vec![t.detector.clone(), t.class.clone(), t.channel.clone(), t.act.clone(), t.cites.text()]
            };
            let headers = ["TRIPWIRE", "CLASS", "CHANNEL", "ACT", "RECORDS"];
            text.table(&headers, &self.tripwires.iter().map(row).collect::<Vec<_>>());
        }
        if !self.prevents.is_empty() {
            text.blank();
            text.line("What prevents the claim \"unmasked: 0\":");
            for prevent in &self.prevents {
                let records = if prevent.cites.is_empty() {
                    String::new()
                } else {
                    format!(" (records {})", prevent.cites.text())
                };
                text.line(&format!("  {:<18} {}{records}", prevent.what, prevent.why));
            }
        }
        text.blank();
        self.limits.iter().for_each(|limit| text.line(&format!("Not covered: {limit}")));
        text.line(&self.proof.text());
    }

    /// 0 only if it is proved that nothing was exposed; 1 if something was; 3 if neither can be said.
    fn exit_code(&self) -> u8 {
        match &*self.answer {
            "proved" => 0,
            "exposed" => 1,
            _ => 3,
        }
    }
}

impl Exposed {
    /// How a page sets it: `good`, `bad` or `open`.
    pub fn mood(&self) -> &'static str {
        match &*self.answer {
            "proved" => "good",
            "exposed" => "bad",
            _ => "open",
        }
    }

    /// The answer in one sentence.
    pub fn sentence(&self) -> String {
        let left = |t: &&ToldLine| t.model && t.what == "in-clear";
        let to: BTreeSet<String> = self.told.iter().filter(left).map(ToldLine::whom).collect();
        let to: Vec<String> = to.into_iter().collect();
        let revealed = self.exposures.iter().any(|e| e.what == "revealed");
        match &*self.answer {
            "proved" => "Unmasked: 0. Proved by enforcement.".to_owned(),
            "exposed" if !revealed => {
                format!("EXPOSED: values of a sensitive class were sent in clear to {}.", to.join(", "))
            }
            "exposed" if self.unmasked == 0 => {
                "EXPOSED: values of a sensitive class were revealed; the record does not say how many."
                    .to_owned()
            }
            "exposed" => {
                let also = match to.is_empty() {
                    true => String::new(),
                    false => format!(" Others were sent in clear to {}.", to.join(", ")),
                };
                format!(
                    "EXPOSED: {} of a sensitive class reached the client unmasked.{also}",
                    count(self.unmasked, "cell")
                )
            }
            _ => "None observed, and not proved: see what prevents the claim.".to_owned(),
        }
    }
}

/// Reasons as they are found, the same reason once, with all its records.
#[derive(Default)]
pub(crate) struct Prevents {
    found: BTreeMap<(Prevent, String), Cites>,
}

impl Prevents {
    fn add(&mut self, what: Prevent, why: String, seq: Seq) {
        self.found.entry((what, why)).or_default().add(seq);
    }

    fn cite(&mut self, what: Prevent, why: String, cites: &Cites) {
        self.found.insert((what, why), cites.clone());
    }

    fn note(&mut self, what: Prevent, why: String) {
        self.found.entry((what, why)).or_default();
    }

    pub(crate) fn finish(self) -> Vec<PreventLine> {
        let line = |((what, why), cites): ((Prevent, String), Cites)| PreventLine {
            what: what.as_str().to_owned(),
            why,
            cites,
        };
        self.found.into_iter().map(line).collect()
    }
}

/// What a run's own records say against a proof, whatever its actions are; of what a client was told unasked, between two
/// moments.
fn run_prevents(run: &Run, (from, to): (WallTime, WallTime), prevents: &mut Prevents) {
    if run.open.is_none() {
        let why = "the run's opening record is not here".to_owned();
        prevents.add(Prevent::NoOpening, why, run.first().unwrap_or(Seq(0)));
    }
    for (seq, kind) in &run.unknown {
        prevents.add(Prevent::UnknownKind, format!("a record of kind {:?}", &**kind), *seq);
    }
    for (seq, _, flaws) in &run.flawed {
        flaws.iter().for_each(|flaw| prevents.add(Prevent::Unread, flaw.to_string(), *seq));
    }
    for (seq, why) in &run.misfits {
        prevents.add(Prevent::Unread, (*why).to_owned(), *seq);
    }
    for note in run.notes.iter().filter(|note| note.at >= from && note.at <= to) {
        if let Some(Coverage::Partial(why)) = &note.what.coverage {
            prevents.add(Prevent::PartialCoverage, format!("coverage is partial: {why}"), note.seq);
        }
    }
    for seq in &run.set_back {
        prevents.add(Prevent::Clock, "the clock was set back before it".to_owned(), *seq);
    }
}

/// The earliest and latest time at which anything of an action happened; what has not ended may go on to its run's end.
fn span(run: &Run, action: &Action) -> (WallTime, WallTime) {
    let outcomes = action.outcomes.iter().map(|o| o.at);
    let chunks = action.chunks.iter().map(|c| c.at);
    let refusals = action.refusals.iter().map(|r| r.at);
    let times = || {
        [action.asked.at].into_iter().chain(chunks.clone()).chain(outcomes.clone()).chain(refusals.clone())
    };
    let first = times().min().unwrap_or(action.asked.at);
    let last = times().max().unwrap_or(action.asked.at);
    let ended = !(action.outcomes.is_empty() && action.chunks.is_empty());
    (first, if ended { last } else { last.max(run.last_at) })
}

fn action_prevents(action: &Action, prevents: &mut Prevents) {
    for (seq, exposure) in action.exposures() {
        exposure_prevents(seq, exposure, prevents);
    }
    for (seq, tripwire) in action.tripwires() {
        tripwire_prevents(seq, tripwire, prevents);
    }
    for outcome in &action.outcomes {
        if let Coverage::Partial(why) = &outcome.what.coverage {
            prevents.add(Prevent::PartialCoverage, format!("coverage is partial: {why}"), outcome.seq);
        }
    }
    if let (Some(why), Some(intent)) = (&action.request().opaque, &action.intent) {
        prevents.add(Prevent::Opaque, format!("an opaque action went upstream: {why}"), intent.seq);
    }
    let released = action.chunks.iter().filter(|c| &*c.what.to != "upstream").map(|c| c.seq);
    let partly = action.refusals.iter().filter(|r| r.what.partial).map(|r| r.seq);
    if action.outcomes.is_empty() {
        for seq in released.chain(partly) {
            let why = "bytes were released, and no outcome states their coverage".to_owned();
            prevents.add(Prevent::NoCoverage, why, seq);
        }
    }
}

fn exposure_prevents(seq: Seq, exposure: &Exposure, prevents: &mut Prevents) {
    let (on, class) = (visible_name(&exposure.on), &exposure.class);
    match &exposure.what {
        Disposition::Masked | Disposition::Refused if &*exposure.by == "none" => {
            prevents.add(
                Prevent::UnknownExposure,
                format!("{class} of {on}: nothing enforced its mask"),
                seq,
            );
        }
        Disposition::Masked | Disposition::Refused => {}
        Disposition::Revealed => {
            prevents.add(Prevent::Revealed, format!("{class} of {on} was revealed ({})", exposure.by), seq);
        }
        Disposition::Unknown => {
            prevents.add(
                Prevent::UnknownExposure,
                format!("{class} of {on}: what became of it is unknown"),
                seq,
            );
        }
        Disposition::Strange(word) => {
            prevents.add(Prevent::UnknownExposure, format!("{class} of {on}: disposition {word:?}"), seq);
        }
    }
}

fn tripwire_prevents(seq: Seq, tripwire: &Tripwire, prevents: &mut Prevents) {
    match &tripwire.act {
        Act::Own | Act::Echo => {}
        // What was sent in clear is among what was told.
        Act::Reported => {}
        Act::Masked | Act::Cut | Act::Revealed | Act::Refused | Act::Strange(_) => {
            let why = format!(
                "{} ({}) hit in {}: {}",
                tripwire.detector, tripwire.class, tripwire.channel, tripwire.act
            );
            prevents.add(Prevent::Tripwire, why, seq);
        }
    }
}

fn told_prevents(told: &[ToldLine], prevents: &mut Prevents) {
    for line in told.iter().filter(|line| line.what == "in-clear") {
        let why = format!("{} was sent in clear to {}, in {}", line.class, line.whom(), line.channel);
        prevents.cite(Prevent::Told, why, &line.cites);
    }
}

/// A gap counts by its times, and by where it stands among the records `within`: a clock can be set.
fn gap_prevents(
    index: &Index,
    (from, to): (WallTime, WallTime),
    within: Option<(Seq, Seq)>,
    prevents: &mut Prevents,
) {
    let stands = |seq: Seq| within.is_some_and(|(first, last)| first <= seq && seq <= last);
    let counts = |gap: &&Noted<Gap>| gap.what.from <= to && gap.what.to >= from || stands(gap.seq);
    for gap in index.gaps().iter().filter(counts) {
        let (a, b) = (time(gap.what.from), time(gap.what.to));
        let why = format!("nothing could be recorded from {a} to {b}: {}", gap.what.why);
        prevents.add(Prevent::Gap, why, gap.seq);
    }
}

/// What is missing behind a record, or at all.
fn hole_prevents(index: &Index, behind: Option<Seq>, prevents: &mut Prevents) {
    for (first, last) in index.seen().holes.iter().filter(|(_, last)| Some(*last) > behind) {
        let why = format!("records {} to {} are not here", first.0, last.0);
        prevents.add(Prevent::Hole, why, *first);
    }
}

fn tripwires(actions: &[(&Run, &Action)]) -> Vec<TripwireLine> {
    let mut lines: BTreeMap<[String; 4], TripwireLine> = BTreeMap::new();
    for (seq, tripwire) in actions.iter().flat_map(|(_, a)| a.tripwires()) {
        let line = tripwire_line(seq, tripwire);
        let key = [&line.detector, &line.class, &line.channel, &line.act].map(Clone::clone);
        match lines.get_mut(&key) {
            Some(same) => same.cites.add(seq),
            None => drop(lines.insert(key, line)),
        }
    }
    lines.into_values().collect()
}

/// What a report over these actions may not claim, if their records survive the process alone.
pub(crate) fn not_durable<'a>(actions: impl Iterator<Item = &'a Action>) -> Option<String> {
    let os = actions.filter(|action| &*action.request().durability == "os").count();
    (os > 0).then(|| {
        format!(
            "{} recorded with durability \"os\": after a failure of the machine, effects without a \
             record are possible (P1 is not claimed)",
            count(os as u64, "action")
        )
    })
}

fn limits(actions: &[(&Run, &Action)]) -> Vec<String> {
    let mut limits = vec![
        "what did not pass the gateway; what an agent says in its own words; timing".to_owned(),
        "columns that nobody declared and no detector recognises".to_owned(),
    ];
    limits.extend(not_durable(actions.iter().map(|(_, action)| *action)));
    if let Some((run, _)) = actions.iter().find(|(run, _)| !run.is_closed()) {
        limits.push(format!("what is still to come: run {} is open", run.id));
    }
    limits
}

/// Of a bundle, which holds one run.
pub(crate) fn others_missing(index: &Index) -> Option<String> {
    let holes = !index.seen().holes.is_empty();
    holes.then(|| {
        "runs that it started, if there are any: records are not here (a bundle holds one run)".to_owned()
    })
}

/// Whether the gateway knew the catalog that a statement was resolved against.
struct Freshness<'a> {
    index: &'a Index,
    /// For each resource, the records at which a definition by a run took effect, sorted.
    defined: BTreeMap<String, Vec<(Seq, RunId, Option<u64>)>>,
}

impl<'a> Freshness<'a> {
    fn new(index: &'a Index) -> Freshness<'a> {
        Freshness { index, defined: defined(index) }
    }

    /// Why the catalog that `action` was decided on may have been stale; `None` if it was fresh or does not matter.
    fn stale(&self, run: &Run, action: &Action) -> Option<String> {
        let intent = action.intent.as_ref()?.seq;
        // An HTTP service has no catalog.
        if action.request().touches.is_empty() || &*action.request().via == "request" {
            return None;
        }
        let Some(resource) = run.resource_of(action.session) else {
            return Some("its connection is not recorded, so neither is the catalog that it saw".to_owned());
        };
        let snapshots = self.index.catalogs(resource);
        let before = snapshots.partition_point(|snapshot| snapshot.seq < intent);
        let start = self.index.starts().iter().rev().find(|start| start.seq < intent).map(|s| s.seq);
        let Some(snapshot) = before.checked_sub(1).and_then(|at| snapshots.get(at)) else {
            return Some(format!("no catalog of {resource} is recorded before it"));
        };
        if start.is_some_and(|start| snapshot.seq < start) {
            return Some(format!("the catalog of {resource} was not read since the gateway started"));
        }
        let defined = self.defined.get(&**resource).map_or(&[][..], Vec::as_slice);
        let at = defined.partition_point(|(seq, ..)| *seq < intent);
        let (seq, ..) = defined.get(..at)?.iter().rev().find(|(seq, ..)| *seq > snapshot.seq)?;
        Some(format!("the catalog of {resource} was changed by record {} and not read again", seq.0))
    }
}

/// When each definition took effect: at its settling record if it was in a transaction, else at its outcome.
fn defined(index: &Index) -> BTreeMap<String, Vec<(Seq, RunId, Option<u64>)>> {
    let mut all: BTreeMap<String, Vec<(Seq, RunId, Option<u64>)>> = BTreeMap::new();
    for (resource, actions) in index.defines() {
        for (id, at) in actions {
            let Some(run) = index.run(*id) else { continue };
            let Some(action) = run.actions.get(*at) else { continue };
            let effective = match run.effect(action) {
                Effect::Committed | Effect::Indeterminate => {
                    let settled = action.settled.as_ref().map(|s| s.seq);
                    settled
                        .or(action.outcomes.last().map(|o| o.seq))
                        .or(action.intent.as_ref().map(|i| i.seq))
                }
                Effect::RolledBack | Effect::Pending | Effect::Refused | Effect::Prepared => None,
            };
            if let Some(seq) = effective {
                all.entry(resource.to_string()).or_default().push((seq, *id, action.session));
            }
        }
    }
    all.values_mut().for_each(|list| list.sort());
    all
}

fn exposure_row(e: &ExposureLine) -> Vec<String> {
    let text = [&e.on, &e.class, &e.at, &e.what, &e.by].map(Clone::clone);
    // A detector counts rows, and not the cells in them: that is no count of none.
    let cells = if e.cells == 0 && e.by == "detector" { "-".to_owned() } else { e.cells.to_string() };
    text.into_iter().chain([e.rows.to_string(), cells, e.cites.text()]).collect()
}
