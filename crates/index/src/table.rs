//! All tables, and the one function that adds a record to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use seal::limits::AT_BACKWARDS_NANOS_MAX;
use vocab::{RunId, Seq, WallTime};

use crate::decided::{Decided, Planned};
use crate::limits::RECORDS_MAX;
use crate::record::{
    Body, Decision, Epoch, Flaw, Gap, Heartbeat, Outcome, Plan, Record, Request, Settled, Start, Touch,
    VerbWord,
};
use crate::rows::{
    Administered, Catalog, Filter, Full, Genesis, PolicyText, Print, PrintPlace, Seen, Strange, Tombstone,
    Watched,
};
use crate::run::{Action, Note, Noted, Run, Session};

/// Derived tables over a ledger, or over a part of one.
#[derive(Clone, Debug, Default)]
pub struct Index {
    runs: BTreeMap<RunId, Run>,
    seen: Seen,
    genesis: Option<Noted<Genesis>>,
    starts: Vec<Noted<Start>>,
    stops: Vec<Noted<Arc<str>>>,
    epochs: Vec<Noted<Epoch>>,
    policies: HashMap<[u8; 32], Noted<PolicyText>>,
    catalogs: BTreeMap<Arc<str>, Vec<Noted<Catalog>>>,
    heartbeats: Vec<Noted<Heartbeat>>,
    gaps: Vec<Noted<Gap>>,
    watches: Vec<Noted<Watched>>,
    admins: Vec<Noted<Administered>>,
    tombstones: Vec<Noted<Tombstone>>,
    unknown: Vec<Strange>,
    flawed: Vec<(Seq, Arc<str>, Vec<Flaw>)>,
    classes: BTreeSet<Arc<str>>,
    prints: HashMap<[u8; 16], Vec<Print>>,
    filters: Vec<Filter>,
    touched: BTreeMap<Arc<str>, Vec<(RunId, usize)>>,
    defines: BTreeMap<Arc<str>, Vec<(RunId, usize)>>,
    /// Which action a record is about, for records that another may answer.
    about: HashMap<Seq, (RunId, usize)>,
    with_payloads: BTreeMap<Seq, Vec<crate::Payload>>,
}

impl Index {
    pub fn new() -> Index {
        Index::default()
    }

    /// Adds the next record. Records come in order of `seq`; what is passed over is kept in [`Seen::holes`].
    pub fn apply(&mut self, record: Record) -> Result<(), Full> {
        self.admit(&record)?;
        let Record { head, body, flaws } = record;
        let place = Place { seq: head.seq, at: head.at, session: head.session, of: head.of };
        if !head.payloads.is_empty() {
            self.with_payloads.insert(head.seq, head.payloads);
        }
        if !flaws.is_empty() {
            self.flawed.push((head.seq, head.kind.clone(), flaws.clone()));
        }
        if body == Body::Unknown {
            let run = head.run.map(|(run, _)| run);
            self.unknown.push(Strange { seq: head.seq, at: head.at, kind: head.kind.clone(), run });
        }
        match head.run {
            Some((run, rseq)) => {
                self.enter_run(run, rseq, place, &head.kind, flaws);
                self.apply_to_run(run, place, &head.kind, body);
            }
            None => self.apply_to_gateway(place, body),
        }
        Ok(())
    }

    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The `seq` that the next record of a whole ledger has.
    pub fn next(&self) -> Seq {
        self.seen.last.map_or(Seq(0), |last| Seq(last.0.saturating_add(1)))
    }

    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    /// All runs, oldest first (a run's id begins with its time).
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }

    /// The runs whose id begins with these hexadecimal digits.
    pub fn runs_by_prefix(&self, prefix: &str) -> Vec<RunId> {
        let prefix = prefix.to_ascii_lowercase();
        self.runs.keys().filter(|id| id.to_string().starts_with(&prefix)).copied().collect()
    }

    /// The ledger's name and first key, as it says itself.
    pub fn genesis(&self) -> Option<&Noted<Genesis>> {
        self.genesis.as_ref()
    }

    pub fn starts(&self) -> &[Noted<Start>] {
        &self.starts
    }

    pub fn stops(&self) -> &[Noted<Arc<str>>] {
        &self.stops
    }

    pub fn epochs(&self) -> &[Noted<Epoch>] {
        &self.epochs
    }

    /// The place in [`Index::epochs`] of the epoch that `seq` falls in.
    pub fn epoch_of(&self, seq: Seq) -> Option<usize> {
        self.epochs.partition_point(|epoch| epoch.seq < seq).checked_sub(1)
    }

    pub fn policy(&self, hash: &[u8; 32]) -> Option<&Noted<PolicyText>> {
        self.policies.get(hash)
    }

    /// The catalog snapshots of a resource, in order.
    pub fn catalogs(&self, resource: &str) -> &[Noted<Catalog>] {
        self.catalogs.get(resource).map_or(&[], Vec::as_slice)
    }

    pub fn heartbeats(&self) -> &[Noted<Heartbeat>] {
        &self.heartbeats
    }

    pub fn gaps(&self) -> &[Noted<Gap>] {
        &self.gaps
    }

    /// Who looked at what.
    pub fn watches(&self) -> &[Noted<Watched>] {
        &self.watches
    }

    /// What operators did.
    pub fn admins(&self) -> &[Noted<Administered>] {
        &self.admins
    }

    /// Runs whose payload key was destroyed.
    pub fn tombstones(&self) -> &[Noted<Tombstone>] {
        &self.tombstones
    }

    /// Records of a kind that this version does not know.
    pub fn unknown(&self) -> &[Strange] {
        &self.unknown
    }

    /// Records that could not be read whole.
    pub fn flawed(&self) -> &[(Seq, Arc<str>, Vec<Flaw>)] {
        &self.flawed
    }

    /// Every class that a record names, sorted.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|class| &**class)
    }

    /// Where a fingerprint was seen, in order.
    pub fn prints(&self, print: &[u8; 16]) -> &[Print] {
        self.prints.get(print).map_or(&[], Vec::as_slice)
    }

    /// Every record that released rows, with its filter, in order.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// The actions that touch `path` or anything below it, as (run, place in [`Run::actions`]), in order.
    pub fn touching(&self, path: &str) -> impl Iterator<Item = (RunId, usize)> {
        let below = format!("{path}/");
        let exact = self.touched.get(path).into_iter().flatten();
        let inner = self.touched.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded));
        let inner = inner.take_while(move |(p, _)| p.starts_with(&below));
        exact.chain(inner.flat_map(|(_, at)| at)).copied()
    }

    /// All resource paths that were ever touched, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        self.touched.keys()
    }

    /// The actions that define (create, alter, drop) something that outlives their session, by resource.
    pub fn defines(&self) -> impl Iterator<Item = (&Arc<str>, &[(RunId, usize)])> {
        self.defines.iter().map(|(resource, actions)| (resource, actions.as_slice()))
    }

    /// The action that the record `seq` is about.
    pub fn action_of(&self, seq: Seq) -> Option<(RunId, usize)> {
        self.about.get(&seq).copied()
    }

    /// The payloads that stand beside a record.
    pub fn payloads(&self, seq: Seq) -> &[crate::Payload] {
        self.with_payloads.get(&seq).map_or(&[], Vec::as_slice)
    }
}

/// Where a record stands.
#[derive(Clone, Copy)]
struct Place {
    seq: Seq,
    at: WallTime,
    session: Option<u64>,
    of: Option<Seq>,
}

impl Place {
    fn note<T>(self, what: T) -> Noted<T> {
        Noted { seq: self.seq, at: self.at, what }
    }
}

impl Index {
    fn admit(&mut self, record: &Record) -> Result<(), Full> {
        let seq = record.head.seq;
        if self.seen.records >= RECORDS_MAX {
            return Err(Full::TooMany);
        }
        match self.seen.last {
            Some(last) if seq <= last => return Err(Full::Backwards { seq, last }),
            Some(last) if seq.0 > last.0.saturating_add(1) => {
                self.seen.holes.push((Seq(last.0 + 1), Seq(seq.0 - 1)))
            }
            None if seq.0 > 0 => self.seen.holes.push((Seq(0), Seq(seq.0 - 1))),
            Some(_) | None => {}
        }
        self.seen.first.get_or_insert(seq);
        self.seen.last = Some(seq);
        if let Some(before) = self.seen.last_at.filter(|before| is_set_back(*before, record.head.at)) {
            self.seen.set_back.push((seq, before, record.head.at));
        }
        self.seen.last_at = Some(record.head.at);
        self.seen.records += 1;
        *self.seen.kinds.entry(record.head.kind.clone()).or_insert(0) += 1;
        Ok(())
    }

    fn enter_run(&mut self, id: RunId, rseq: u64, place: Place, kind: &Arc<str>, flaws: Vec<Flaw>) {
        let run = self.runs.entry(id).or_insert_with(|| Run::new(id, place.at));
        if rseq != run.records.len() as u64 {
            run.misfits.push((place.seq, "its place in the run does not follow the run's record before it"));
        }
        if run.close.is_some() {
            run.misfits.push((place.seq, "it comes after the run's close"));
        }
        run.records.push(place.seq);
        if is_set_back(run.at, place.at) {
            run.set_back.push(place.seq);
        }
        run.at = place.at;
        run.first_at = run.first_at.min(place.at);
        run.last_at = run.last_at.max(place.at);
        if !flaws.is_empty() {
            run.flawed.push((place.seq, kind.clone(), flaws));
        }
    }

    fn apply_to_gateway(&mut self, place: Place, body: Body) {
        match body {
            Body::Start(start) => self.starts.push(place.note(start)),
            Body::Stop { reason } => self.stops.push(place.note(reason)),
            Body::Epoch(epoch) => self.epochs.push(place.note(epoch)),
            Body::Policy { hash, text, schema } => {
                self.policies.entry(hash).or_insert(place.note(PolicyText { text, schema }));
            }
            Body::Catalog { resource, hash, relations, server } => {
                let catalog = Catalog { hash, relations, server };
                self.catalogs.entry(resource).or_default().push(place.note(catalog));
            }
            Body::Heartbeat(heartbeat) => self.heartbeats.push(place.note(heartbeat)),
            Body::Gap(gap) => self.gaps.push(place.note(gap)),
            Body::Watch { who, verb, subject } => {
                self.watches.push(place.note(Watched { who, verb, subject }))
            }
            Body::Admin { who, verb, subject, result } => {
                self.admins.push(place.note(Administered { who, verb, subject, result }));
            }
            Body::Tombstone { run, who, why } => {
                if let Some(erased) = self.runs.get_mut(&run) {
                    erased.erased = Some(place.seq);
                }
                self.tombstones.push(place.note(Tombstone { run, who, why }));
            }
            Body::Genesis { origin, key, version } => {
                self.genesis.get_or_insert(place.note(Genesis { origin, key, version }));
            }
            Body::Unknown => {}
            Body::Open(_)
            | Body::Close(_)
            | Body::Connect(_)
            | Body::Disconnect(_)
            | Body::Intent(_)
            | Body::Refusal(..)
            | Body::Ask(..)
            | Body::Approval(_)
            | Body::Outcome(_)
            | Body::Chunk(_)
            | Body::Plan(_)
            | Body::Decision(_)
            | Body::Note { .. } => self.unknown.push(Strange {
                seq: place.seq,
                at: place.at,
                kind: "a record of a run that names no run".into(),
                run: None,
            }),
        }
    }

    fn apply_to_run(&mut self, id: RunId, place: Place, kind: &Arc<str>, body: Body) {
        match body {
            Body::Intent(request) => {
                // What was refused was shown to nobody.
                let (shows, found) = (request.shows.clone(), request.tripwires.clone());
                self.request(id, place, *request, |action| {
                    action.intent = Some(place.note(()));
                    action.found.push(place.note(found));
                });
                if let Some(run) = self.runs.get_mut(&id) {
                    run.show(place.seq, &shows);
                }
            }
            Body::Ask(request, ask) => self.request(id, place, *request, |action| {
                // A second one is about the answer; the first decided whether it ran.
                action.ask.get_or_insert(place.note(*ask));
            }),
            Body::Refusal(request, refusal) => {
                let found = request.tripwires.clone();
                self.request(id, place, *request, |action| {
                    action.refusals.push(place.note(*refusal));
                    action.found.push(place.note(found));
                });
            }
            Body::Approval(approval) => {
                self.answer(id, place, |action| action.approvals.push(place.note(*approval)));
            }
            Body::Outcome(outcome) => self.outcome(id, place, *outcome),
            Body::Chunk(chunk) => {
                self.cells(id, place, &chunk.exposures);
                for print in &chunk.prints {
                    self.print(*print, id, place.seq, PrintPlace::Copy);
                }
                if &*chunk.to != "upstream" {
                    self.filter(id, place, chunk.rows, chunk.filter.clone());
                }
                self.answer(id, place, |action| action.chunks.push(place.note(*chunk)));
            }
            Body::Plan(plan) => self.plan(id, place, *plan),
            Body::Decision(decision) => self.decision(id, place, *decision),
            other => self.life(id, place, kind, other),
        }
    }

    /// Records of a run that are about no request.
    fn life(&mut self, id: RunId, place: Place, kind: &Arc<str>, body: Body) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match body {
            Body::Open(open) if run.open.is_none() => run.open = Some(place.note(*open)),
            Body::Open(_) => run.misfits.push((place.seq, "the run was open already")),
            Body::Close(close) => {
                if close.count + 1 != run.records.len() as u64 {
                    run.misfits.push((place.seq, "the run's records are not as many as its close says"));
                }
                run.close = Some(place.note(close));
            }
            Body::Connect(connect) => {
                let number = place.session.unwrap_or(place.seq.0);
                session(run, number).connect = Some(place.note(*connect));
            }
            Body::Disconnect(disconnect) => match place.session.or(place.of.map(|of| of.0)) {
                Some(number) => session(run, number).disconnect = Some(place.note(disconnect)),
                None => run.misfits.push((place.seq, "it ends no connection that is known")),
            },
            Body::Note { what, detail, filter, coverage } => {
                let note = Note { session: place.session, of: place.of, what, detail, coverage };
                run.notes.push(place.note(note));
                if filter.is_some() {
                    self.filter(id, place, 0, filter);
                }
            }
            Body::Unknown => run.unknown.push((place.seq, kind.clone())),
            _ => run.misfits.push((place.seq, "a record of the gateway's own that names a run")),
        }
    }

    /// A record that carries a request: the first of an action, or a later one that answers it.
    fn request(&mut self, id: RunId, place: Place, request: Request, then: impl FnOnce(&mut Action)) {
        let causes = request.causes.clone();
        self.action(id, place, request, then);
        if let (Some((owner, at)), Some(run)) = (self.action_of(place.seq), self.runs.get_mut(&id))
            && owner == id
        {
            run.explain(at, place.seq, causes);
        }
    }

    fn action(&mut self, id: RunId, place: Place, request: Request, then: impl FnOnce(&mut Action)) {
        self.classes.extend(request.governed.iter().map(|governed| governed.class.clone()));
        for print in &request.prints {
            self.print(*print, id, place.seq, PrintPlace::Literal);
        }
        for print in request.params.iter().filter_map(|p| p.print) {
            self.print(print, id, place.seq, PrintPlace::Parameter);
        }
        if place.of.is_some_and(|of| self.about.contains_key(&of)) {
            self.answer(id, place, then);
            return;
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        if place.of.is_some() {
            run.misfits.push((place.seq, "it answers a record that asked nothing"));
        }
        let at = run.actions.len();
        for touch in &request.touches {
            enlist(&mut self.touched, &touch.on, (id, at));
            if touch.verb == VerbWord::Define && !is_temporary(touch) {
                enlist(&mut self.defines, &root(&touch.on), (id, at));
            }
        }
        let mut action = Action::new(place.session, place.note(request));
        then(&mut action);
        run.actions.push(action);
        self.about.insert(place.seq, (id, at));
    }

    /// A record that answers an earlier one of the same run.
    fn answer(&mut self, id: RunId, place: Place, then: impl FnOnce(&mut Action)) {
        let about = place.of.and_then(|of| self.about.get(&of)).copied();
        let Some(run) = self.runs.get_mut(&id) else { return };
        match about {
            Some((owner, at)) if owner == id => {
                if let Some(action) = run.actions.get_mut(at) {
                    then(action);
                    action.records.push(place.seq);
                    self.about.insert(place.seq, (id, at));
                }
            }
            Some(_) => run.misfits.push((place.seq, "it answers a record of another run")),
            None => run.misfits.push((place.seq, "it answers a record that asked nothing")),
        }
    }

    fn plan(&mut self, id: RunId, place: Place, plan: Plan) {
        let about = place.of.and_then(|of| self.action_of(of));
        let asked = about.filter(|(owner, _)| *owner == id).map(|(_, at)| at);
        if let Some(run) = self.runs.get_mut(&id) {
            run.state(Planned::new(place.session, place.of, place.note(plan)), asked);
        }
    }

    fn decision(&mut self, id: RunId, place: Place, decision: Decision) {
        for print in &decision.prints {
            self.print(*print, id, place.seq, PrintPlace::Decision);
        }
        let about = place.of.and_then(|of| self.action_of(of));
        let asked = about.filter(|(owner, _)| *owner == id).map(|(_, at)| at);
        if let Some(run) = self.runs.get_mut(&id) {
            let issued = place.note(decision);
            run.decide(Decided::new(place.session, place.of, issued), asked);
        }
    }

    fn outcome(&mut self, id: RunId, place: Place, outcome: Outcome) {
        self.cells(id, place, &outcome.exposures);
        if outcome.filter.is_some() || (self.released_by_itself(place, &outcome) && outcome.rows > 0) {
            self.filter(id, place, outcome.rows, outcome.filter.clone());
        }
        for intent in &outcome.settles {
            self.settle(id, place, *intent, outcome.settled.clone());
        }
        self.answer(id, place, |action| action.outcomes.push(place.note(outcome)));
    }

    /// Whether the outcome is the record that released its rows: it has columns, and no chunk released them before.
    fn released_by_itself(&self, place: Place, outcome: &Outcome) -> bool {
        let about = place.of.and_then(|of| self.about.get(&of));
        let action = about.and_then(|(run, at)| self.runs.get(run)?.actions.get(*at));
        let in_chunks = action.is_some_and(|a| a.chunks.iter().any(|c| &*c.what.to != "upstream"));
        !outcome.columns.is_empty() && !in_chunks
    }

    fn settle(&mut self, id: RunId, place: Place, intent: Seq, settled: Option<Settled>) {
        let about = self.about.get(&intent).copied().filter(|(owner, _)| *owner == id);
        let Some(run) = self.runs.get_mut(&id) else { return };
        let action = about.and_then(|(_, at)| run.actions.get_mut(at));
        match (action, settled) {
            (Some(action), Some(settled)) => {
                action.settled = Some(place.note(settled));
                action.records.push(place.seq);
            }
            (None, _) => run.misfits.push((place.seq, "it settles an intent that is not the run's")),
            (_, None) => run.misfits.push((place.seq, "it settles intents without saying how")),
        }
    }

    fn cells(&mut self, id: RunId, place: Place, exposures: &[crate::Exposure]) {
        for exposure in exposures {
            self.classes.insert(exposure.class.clone());
            for print in &exposure.prints {
                let cell = PrintPlace::Cell {
                    on: exposure.on.clone(),
                    class: exposure.class.clone(),
                    what: exposure.what.as_str().into(),
                };
                self.print(*print, id, place.seq, cell);
            }
        }
    }

    fn print(&mut self, print: [u8; 16], run: RunId, seq: Seq, place: PrintPlace) {
        self.prints.entry(print).or_default().push(Print { seq, run, place });
    }

    fn filter(&mut self, run: RunId, place: Place, rows: u64, bytes: Option<Vec<u8>>) {
        self.filters.push(Filter { seq: place.seq, run, rows, bytes });
    }
}

/// Whether a clock went back between two records, by more than those of concurrent sessions are apart.
fn is_set_back(before: WallTime, at: WallTime) -> bool {
    before.0.saturating_sub(at.0) > AT_BACKWARDS_NANOS_MAX
}

fn session(run: &mut Run, number: u64) -> &mut Session {
    run.sessions.entry(number).or_insert(Session { id: number, connect: None, disconnect: None })
}

fn enlist(table: &mut BTreeMap<Arc<str>, Vec<(RunId, usize)>>, key: &Arc<str>, at: (RunId, usize)) {
    let list = table.entry(key.clone()).or_default();
    if list.last() != Some(&at) {
        list.push(at);
    }
}

/// The name of the resource that a path begins with, as a `connect` record writes it.
fn root(path: &str) -> Arc<str> {
    let first = vocab::ResourcePath::parse(path).and_then(|path| path.segments().next());
    first.map_or_else(|| path.into(), Arc::from)
}

/// Temporary objects live in one session and are not part of the catalog that others resolve against.
fn is_temporary(touch: &Touch) -> bool {
    touch.on.split('/').nth(2).is_some_and(|schema| schema == "pg_temp" || schema.starts_with("pg_temp_"))
}
