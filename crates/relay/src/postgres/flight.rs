//! What is in the air: operations sent upstream, their replies on the way to the client, and how both are settled.
//!
//! **Invariant:** a byte for the client leaves after the record of it is durable; records and bytes are queued here in
//! one order, the order of upstream's replies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gate::{By, Constant, Exposure, Gate, GateError, Intent, Outcome, Permit, Piece, Told, Tripped, Who};
use ledger::{Map, PayloadPlain, Print, Receipt};
use mask::{Detectors, FilterKey, Known, MaskedBytes, MaskedText, Shape};
use proto_postgres::frame::Frame;
use proto_postgres::message::{Format, FromUpstream, TxStatus};
use proto_postgres::reply::{Column, Fields, RowDescription, field};
use proto_postgres::session::Sent;
use vocab::{Class, Group, Position, ResourcePath, Seq};

use super::carried::Stream;
use super::look::{self, Look, Marks};
use super::plan::Plan;
use super::session::{Prepared, Stands, Sure};
use super::text::Copied;
use crate::config::{Reel, Tripwire};

/// One operation: what one intent permits, or a step of the protocol.
pub struct Op {
    pub intent: Option<Seq>,
    pub plan: Option<Arc<Plan>>,
    /// The client sent a Query for it.
    pub translated: bool,
    /// Where its statement begins in the text of a Query, in characters.
    pub offset: u32,
    /// The Query that it is part of; 0: none.
    pub script: u64,
    /// The Sync of its Query waits for the end of its COPY.
    pub owes_sync: bool,
    /// Messages of it that upstream has not answered to the end.
    pub left: usize,
    pub rows: u64,
    /// Rows since the last piece left: what the next record's exposures count.
    pub piece_rows: u64,
    /// Prints of revealed cells since then, by relation and attribute number.
    pub revealed: BTreeMap<(u32, i16), BTreeSet<Print>>,
    pub bytes: u64,
    pub chunks: u64,
    pub reel_left: u64,
    pub tag: Option<MaskedText>,
    /// Upstream has said COMMIT.
    pub commits: bool,
    pub code: Option<[u8; 5]>,
    pub columns: Option<Arc<Columns>>,
    pub tripwires: BTreeSet<Tripped>,
    /// Values that detectors found and nothing explained, from the beginning.
    pub hits: u64,
    /// Where its rows begin in what is shown, once there are any.
    pub rows_from: Option<usize>,
    /// What waits for policy's word: looked at, not recorded, not released.
    pub looked: Option<Looked>,
    /// Groups that have approved the release of the rest.
    pub approved: BTreeSet<Group>,
    /// Upstream has done it: there is nothing to cancel.
    pub complete: bool,
    /// Its rows, where it is a COPY of governed columns that a grant reveals.
    pub rows_out: Option<Box<Stream>>,
    /// Its values, where it is a COPY in binary format.
    pub copied: Option<Box<Copied>>,
    /// A notification is among what is shown of it.
    pub notified: bool,
    /// A payload has said which columns there are.
    pub shape_shown: bool,
    /// The gateway has refused the rest of what the client sends for it; this is what the client is told.
    pub refused: Option<Fields>,
    /// [`super::catalog::Shelf`]'s changes when the catalog began to be read by which it was decided.
    pub changes: u64,
    pub sure: Sure,
    /// What the name stood for that it runs or reads, when it was decided.
    pub stands: Option<Stands>,
    /// Policy has refused the answer: what still comes of it stays here.
    pub withheld: bool,
    /// An error that the gateway asked for itself; the client has been told otherwise.
    pub silent: bool,
    /// What is undone if it fails, in the order of its messages: without those that upstream has carried out.
    pub named: Vec<Named>,
    /// The portals that it describes, by name and number, in order: without those that were answered.
    pub describes: VecDeque<(Bytes, u64)>,
    /// That of the portal whose rows it brings.
    pub executes: Option<u64>,
}

/// A piece of an answer: what stood before its first row, and its rows.
pub struct Looked {
    pub head: MaskedBytes,
    rows: MaskedBytes,
    reel: Vec<PayloadPlain>,
}

/// A name that the client gave or took back, and of which upstream may not have heard. The number is that of the first operation
/// that can have given it: what was given the same name since stays.
pub enum Named {
    Statement(Bytes, u64),
    Portal(Bytes, u64),
    /// It was taken before, and is to stand for another text.
    Renewed(Bytes),
    /// What stood there, if it was a statement of the protocol.
    Closed(Bytes, Option<Box<Prepared>>),
}

/// The shape of a result.
pub struct Columns {
    pub described: RowDescription,
    /// The body of the message that described it.
    pub body: Bytes,
    /// What the reel says of it: name, type, format.
    pub fields: Vec<(MaskedText, u32, u16)>,
    pub shapes: Vec<Shape>,
    /// Governed columns that come raw, by index: revealed to this run.
    pub raw: Vec<(usize, Class)>,
    /// The field of an outcome that says which columns there are.
    record: Map,
}

impl Columns {
    pub fn new(
        detectors: &Detectors,
        described: RowDescription,
        body: Bytes,
        raw: Vec<(usize, Class)>,
    ) -> Columns {
        let shapes: Vec<Shape> = described
            .columns
            .iter()
            .map(|c| Shape::of_postgres(c.type_oid, c.format == Format::Binary))
            .collect();
        let fields = fields(detectors, &described);
        let names: Vec<Map> = fields
            .iter()
            .map(|(name, type_oid, _)| Map::new().put("name", name.clone()).put("type", *type_oid))
            .collect();
        let record = if names.is_empty() { Map::new() } else { Map::new().put("columns", names) };
        Columns { described, body, fields, shapes, raw, record }
    }

    /// Whether a message with this body, with these columns raw, describes the same.
    pub fn is(&self, body: &Bytes, raw: &[(usize, Class)]) -> bool {
        self.body == body && self.raw == raw
    }
}

/// What a record may say of a result's columns: name, type, format.
pub fn fields(detectors: &Detectors, described: &RowDescription) -> Vec<(MaskedText, u32, u16)> {
    let name = |c: &Column| mask::name(detectors, c.name.to_str().unwrap_or(""));
    described.columns.iter().map(|c| (name(c), c.type_oid, c.format.code())).collect()
}

impl Op {
    pub fn new(left: usize) -> Op {
        Op {
            intent: None,
            plan: None,
            translated: false,
            offset: 0,
            script: 0,
            owes_sync: false,
            left,
            rows: 0,
            piece_rows: 0,
            revealed: BTreeMap::new(),
            bytes: 0,
            chunks: 0,
            reel_left: 0,
            tag: None,
            commits: false,
            code: None,
            columns: None,
            tripwires: BTreeSet::new(),
            hits: 0,
            rows_from: None,
            looked: None,
            approved: BTreeSet::new(),
            complete: false,
            rows_out: None,
            copied: None,
            notified: false,
            shape_shown: false,
            refused: None,
            changes: 0,
            sure: Sure::No,
            stands: None,
            withheld: false,
            silent: false,
            named: Vec::new(),
            describes: VecDeque::new(),
            executes: None,
        }
    }

    /// Whether some of its answer waits to leave.
    pub fn shows(&self) -> bool {
        self.rows_from.is_some() || self.looked.is_some()
    }
}

/// How an operation ended, and the frames that the client sees of it.
struct Finished {
    op: Box<Op>,
    /// `ok`, `error`, `cancelled`, `skipped`.
    result: &'static str,
    bytes: BytesMut,
    marks: Marks,
}

/// Bytes on their way upstream.
pub enum Outgoing {
    Permitted { pass: Pass, bytes: BytesMut, sents: Vec<Sent>, since: u64 },
    Control { control: super::writer::Control, sents: Vec<Sent> },
}

impl Outgoing {
    /// What of it upstream answers.
    pub fn sents(&self) -> &[Sent] {
        match self {
            Outgoing::Permitted { sents, .. } | Outgoing::Control { sents, .. } => sents,
        }
    }
}

/// Where a permit stands.
pub enum Pass {
    Ready(Option<Permit>),
    Waiting(Box<Intent>),
}

/// Bytes on their way to the client.
pub enum Leaving {
    /// `words`: they are the gateway's own, about something that was not sent.
    After {
        receipt: Receipt,
        bytes: MaskedBytes,
        since: u64,
        words: bool,
    },
    Constant(Constant),
}

/// Frames that the client will see, and the records that must come first.
pub struct Showing {
    bytes: BytesMut,
    marks: Marks,
    /// A record that covers the bytes although no operation ends with them (a refusal, a note).
    cover: Option<Receipt>,
    finished: Vec<Finished>,
    pub look: Look,
}

/// The bytes may not leave: a value was found that could not be masked.
pub struct Leak {
    pub detector: &'static str,
}

/// How a flush went wrong.
pub enum FlushError {
    Gate(GateError),
    Leak(Leak),
}

impl From<GateError> for FlushError {
    fn from(error: GateError) -> FlushError {
        FlushError::Gate(error)
    }
}

/// What a flush needs to know.
pub struct Scene<'a> {
    pub gate: &'a Gate,
    pub who: &'a Who,
    pub filter_key: &'a FilterKey,
    pub tripwire: Tripwire,
    pub reel: Reel,
    pub root: &'a ResourcePath,
    pub types: &'a sql::Snapshot,
}

impl Showing {
    pub fn new(known: Known) -> Showing {
        Showing {
            bytes: BytesMut::new(),
            marks: Vec::new(),
            cover: None,
            finished: Vec::new(),
            look: Look::new(known),
        }
    }

    /// Bytes that wait for their record.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.finished.iter().map(|f| f.bytes.len()).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.finished.is_empty() && self.cover.is_none()
    }

    pub fn show(&mut self, frame: &Frame) {
        // A frame that was decoded encodes again.
        let _fits = frame.encode(&mut self.bytes);
    }

    pub fn show_message(&mut self, message: &FromUpstream) {
        let _ours = message.encode(&mut self.bytes);
    }

    pub fn show_row(&mut self, frame: &Frame, columns: Option<&Arc<Columns>>) {
        let same = match (self.marks.last(), columns) {
            (Some((_, Some(a))), Some(b)) => Arc::ptr_eq(a, b),
            (Some((_, None)), None) => true,
            _ => false,
        };
        if !same {
            self.marks.push((self.bytes.len(), columns.cloned()));
        }
        self.show(frame);
    }

    /// Where the next frame will stand.
    pub fn here(&self) -> usize {
        self.bytes.len()
    }

    /// Looks at what is shown of `op` and keeps it with it, so that policy can be asked about what was found.
    pub fn look(&mut self, scene: &Scene<'_>, op: &mut Op) -> Result<(), FlushError> {
        if op.looked.is_some() {
            return Ok(());
        }
        let (mut head, mut marks) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.marks));
        let from = op.rows_from.take().unwrap_or(head.len()).min(head.len());
        let rows = if from == 0 { std::mem::take(&mut head) } else { head.split_off(from) };
        marks.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(from));
        let (head, said) = self.look.at(scene, head, &Vec::new(), Some(op))?;
        let (rows, shown) = self.look.at(scene, rows, &marks, Some(op))?;
        op.looked = Some(Looked { head, rows, reel: said.into_iter().chain(shown).collect() });
        Ok(())
    }

    /// Queues the gateway's own words about an answer behind `receipt`; `head` leaves before them.
    pub fn say(
        &mut self,
        scene: &Scene<'_>,
        leaving: &mut VecDeque<Leaving>,
        head: Option<MaskedBytes>,
        message: &FromUpstream,
        receipt: Receipt,
    ) -> Result<(), FlushError> {
        let mut bytes = BytesMut::new();
        let _ours = message.encode(&mut bytes);
        let (words, _no_rows) = self.look.at(scene, bytes, &Vec::new(), None)?;
        let bytes = match head {
            Some(head) => head.then(words),
            None => words,
        };
        leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0, words: false });
        Ok(())
    }

    pub fn cover(&mut self, receipt: Receipt) {
        self.cover = Some(receipt);
    }

    /// An operation has ended; what is shown so far belongs to it.
    pub fn finish(&mut self, op: Box<Op>, result: &'static str) {
        let (bytes, marks) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.marks));
        self.finished.push(Finished { op, result, bytes, marks });
    }

    /// Writes outcomes of what has finished, and queues all bytes behind their records.
    /// `ready` ends the flight; `fates` is what is known by then, and what of it is of use to what is `under_way`, the oldest
    /// intent without an answer, stays there.
    pub fn flush(
        &mut self,
        scene: &Scene<'_>,
        leaving: &mut VecDeque<Leaving>,
        ready: Option<Constant>,
        fates: &mut Fates,
        under_way: Option<Seq>,
        unsettled: &mut Vec<Seq>,
    ) -> Result<(), FlushError> {
        let mut finished = std::mem::take(&mut self.finished);
        // What follows the last operation's end leaves with it.
        let cover = self.cover.take();
        if let (Some(last), None) = (finished.last_mut(), &cover) {
            last.bytes.extend_from_slice(&std::mem::take(&mut self.bytes));
            self.marks.clear();
        }
        let last = finished.pop();
        for finished in finished {
            self.tell(scene, leaving, finished, fates, Vec::new(), unsettled)?;
        }
        let mut all = fates.settle(unsettled);
        if let Some(last) = last {
            let how = last.op.intent.and_then(|intent| fates.of(intent));
            let of_it = all.iter_mut().find(|(of, _)| Some(*of) == how);
            let settles = of_it.map(|(_, settles)| std::mem::take(settles)).unwrap_or_default();
            self.tell(scene, leaving, last, fates, settles, unsettled)?;
        }
        fates.forget(under_way);
        let mut settled = None;
        for (how, settles) in all.into_iter().filter(|(_, settles)| !settles.is_empty()) {
            settled = Some(scene.gate.settle(scene.who, settles, how)?);
        }
        let (bytes, marks) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.marks));
        // Behind it the client is told how the transaction ended, also where there is nothing else to tell.
        if !bytes.is_empty() || cover.is_some() || settled.is_some() {
            // A notice, a notification or a parameter may come of itself, beside what is recorded already.
            let unasked = look::says(&bytes) || (settled.is_none() && cover.is_none());
            let words = cover.is_some();
            let (bytes, reel) = self.look.at(scene, bytes, &marks, None)?;
            let receipt = match settled.or(cover).filter(|_| !unasked) {
                Some(receipt) => receipt,
                None => {
                    let notified = self.look.notified();
                    self.unasked(scene, notified, reel.into_iter().collect())?
                }
            };
            leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0, words });
        }
        if let Some(ready) = ready {
            leaving.push_back(Leaving::Constant(ready));
        }
        Ok(())
    }

    /// Records what belongs to no operation.
    fn unasked(
        &mut self,
        scene: &Scene<'_>,
        notified: bool,
        reel: Vec<PayloadPlain>,
    ) -> Result<Receipt, FlushError> {
        let filter = (!self.look.filter.is_empty()).then(|| self.look.filter.take());
        Ok(scene.gate.note_told(scene.who, "unasked", unasked(notified, filter, reel))?)
    }

    /// One operation's outcome, and its bytes behind it.
    fn tell(
        &mut self,
        scene: &Scene<'_>,
        leaving: &mut VecDeque<Leaving>,
        finished: Finished,
        fates: &Fates,
        settles: Vec<Seq>,
        unsettled: &mut Vec<Seq>,
    ) -> Result<(), FlushError> {
        let Finished { mut op, result, bytes, marks } = finished;
        let (mut bytes, shown) = self.look.at(scene, bytes, &marks, Some(&mut op))?;
        let mut reel = Vec::new();
        if let Some(looked) = op.looked.take() {
            bytes = looked.head.then(looked.rows).then(bytes);
            reel = looked.reel;
        }
        reel.extend(shown);
        let filter = (op.rows > 0 || !self.look.filter.is_empty()).then(|| self.look.filter.take());
        let receipt = match op.intent {
            None => {
                let told = unasked(op.notified, filter, reel);
                scene.gate.note_told(scene.who, "unasked", told)?
            }
            Some(intent) => {
                let fate = fates.of(intent);
                if fate.is_none() {
                    // Most often it is the newest.
                    let at = unsettled.partition_point(|other| *other < intent);
                    unsettled.insert(at, intent);
                }
                let outcome = outcome(scene, op, result, fate, settles, filter);
                scene.gate.outcome(scene.who, intent, Outcome { reel, ..outcome })?
            }
        };
        leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0, words: false });
        Ok(())
    }

    /// Tells what has ended before what is told next.
    pub fn tell_finished(
        &mut self,
        scene: &Scene<'_>,
        leaving: &mut VecDeque<Leaving>,
        unsettled: &mut Vec<Seq>,
    ) -> Result<(), FlushError> {
        for finished in std::mem::take(&mut self.finished) {
            self.tell(scene, leaving, finished, &Fates::default(), Vec::new(), unsettled)?;
        }
        Ok(())
    }

    /// Releases a piece of an answer that goes on.
    pub fn flush_piece(
        &mut self,
        scene: &Scene<'_>,
        leaving: &mut VecDeque<Leaving>,
        op: &mut Op,
        unsettled: &mut Vec<Seq>,
    ) -> Result<(), FlushError> {
        self.tell_finished(scene, leaving, unsettled)?;
        let Some(of) = op.intent else { return Ok(()) };
        self.look(scene, op)?;
        let Some(Looked { head, rows, reel }) = op.looked.take() else { return Ok(()) };
        let bytes = head.then(rows);
        let filter = self.look.filter.take();
        let exposures = exposures(op, scene.root);
        let piece = Piece {
            n: op.chunks,
            to: "client",
            rows: std::mem::take(&mut op.piece_rows),
            bytes: bytes.as_bytes().len() as u64,
            prints: Vec::new(),
            exposures,
            tripwires: std::mem::take(&mut op.tripwires),
            filter: Some(filter),
            reel,
        };
        op.chunks += 1;
        let receipt = scene.gate.piece(scene.who, of, piece)?;
        leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0, words: false });
        Ok(())
    }
}

/// What became of a session's statements, as far as is known when outcomes are written. They are told apart by their intents,
/// which are recorded in the order in which upstream takes them. Nothing is kept of what no later answer can fall into, so that
/// each statement of a transaction is looked at a few times and not at each flush.
#[derive(Debug, Default)]
pub struct Fates {
    /// The intents of what ended a transaction, and how it ended: `committed` or `rolled-back`. Ascending.
    ends: Vec<(Seq, &'static str)>,
    /// Savepoints that are there, by the intent of what made each.
    savepoints: Vec<(String, Seq)>,
    /// What stands between two intents was rolled back to a savepoint. Ascending, and none within or over another.
    undone: Vec<(Seq, Seq)>,
    /// What became of what stands behind the last end, where no transaction is open any more.
    rest: Option<&'static str>,
}

impl Fates {
    /// A statement has ended the transaction, and what was open before it.
    pub fn ended(&mut self, by: Seq, how: &'static str) {
        self.savepoints.clear();
        self.ends.push((by, how));
    }

    pub fn saved(&mut self, by: Seq, name: &str) {
        self.savepoints.push((name.to_owned(), by));
    }

    pub fn released(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(n, _)| n == name) {
            self.savepoints.truncate(at);
        }
    }

    /// A statement has taken back all since this savepoint, which stays.
    pub fn rolled_back_to(&mut self, by: Seq, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(n, _)| n == name) {
            let from = self.savepoints[at].1;
            while self.undone.pop_if(|(inner, _)| *inner >= from).is_some() {}
            self.undone.push((from, by));
            self.savepoints.truncate(at + 1);
        }
    }

    /// How many savepoints there are.
    pub fn savepoints(&self) -> usize {
        self.savepoints.len()
    }

    /// No transaction is open: what is not known otherwise ended so.
    pub fn all(&mut self, how: &'static str) {
        self.rest = Some(how);
    }

    /// `None`: its transaction goes on, or its end is not known yet.
    fn of(&self, intent: Seq) -> Option<&'static str> {
        let before = self.undone.partition_point(|(from, _)| *from < intent);
        if before.checked_sub(1).is_some_and(|i| intent < self.undone[i].1) {
            return Some("rolled-back");
        }
        let end = self.ends.partition_point(|(end, _)| *end < intent);
        self.ends.get(end).map(|(_, how)| *how).or(self.rest)
    }

    /// Takes out those of `unsettled`, which ascends, that have ended, by how they did.
    fn settle(&self, unsettled: &mut Vec<Seq>) -> [(&'static str, Vec<Seq>); 2] {
        let (mut rolled_back, mut committed) = (Vec::new(), Vec::new());
        for (from, to) in self.undone.iter().rev() {
            let first = unsettled.partition_point(|intent| intent <= from);
            let behind = unsettled.partition_point(|intent| intent < to);
            rolled_back.extend(unsettled.drain(first..behind));
        }
        for (end, how) in self.ends.iter().copied().chain(self.rest.map(|how| (Seq(u64::MAX), how))) {
            let behind = unsettled.partition_point(|intent| *intent <= end);
            let ended = unsettled.drain(..behind);
            if how == "committed" { committed.extend(ended) } else { rolled_back.extend(ended) }
        }
        rolled_back.sort_unstable();
        [("rolled-back", rolled_back), ("committed", committed)]
    }

    /// All that has an answer is told: what stands before `under_way` is of no more use.
    fn forget(&mut self, under_way: Option<Seq>) {
        let of_use = |by: Seq| under_way.is_some_and(|oldest| oldest <= by);
        self.ends.retain(|(end, _)| of_use(*end));
        self.undone.retain(|(_, to)| of_use(*to));
    }
}

/// What is said in a notification no rule can govern.
const NOTIFIED: &str = "partial: a notification's payload has no columns";

/// What left that nobody had asked for.
fn unasked(notified: bool, filter: Option<mask::Filter>, reel: Vec<PayloadPlain>) -> Told {
    Told { partial: notified.then_some(NOTIFIED), filter, reel }
}

fn outcome(
    scene: &Scene<'_>,
    mut op: Box<Op>,
    result: &'static str,
    fate: Option<&'static str>,
    settles: Vec<Seq>,
    filter: Option<mask::Filter>,
) -> Outcome {
    let detectors = scene.gate.detectors();
    let exposures = exposures(&mut op, scene.root);
    let opaque = op.plan.as_ref().is_some_and(|plan| plan.action().opaque.is_some());
    let tripped = op.tripwires.iter().any(|t| !matches!(t.act, "own" | "echo" | "revealed"));
    let notified = op.notified;
    Outcome {
        result,
        state: if fate.is_none() { "pending" } else { "final" },
        settles,
        settled: fate,
        code: op.code.map(|code| mask::name(detectors, std::str::from_utf8(&code).unwrap_or("XX000"))),
        tag: op.tag,
        rows: op.rows,
        bytes: op.bytes,
        reasoning: None,
        hosted: Vec::new(),
        columns: op.columns.map_or(Map::new(), |columns| columns.record.clone()),
        exposures,
        tripwires: op.tripwires,
        filter,
        partial: match (opaque, tripped, notified) {
            (true, ..) => Some("partial: the action was opaque"),
            (false, true, _) => Some("partial: a detector fired where no rule governs"),
            (false, false, true) => Some(NOTIFIED),
            (false, false, false) => None,
        },
        reel: Vec::new(),
    }
}

/// What governed values the rows since the last record stood for, and what became of each.
fn exposures(op: &mut Op, root: &ResourcePath) -> Vec<Exposure> {
    let mut all: Vec<Exposure> = Vec::new();
    let rows = op.piece_rows;
    let mut prints = std::mem::take(&mut op.revealed);
    if op.withheld {
        prints.clear();
    }
    for governed in op.plan.iter().flat_map(|plan| &plan.analysis.governed) {
        let grant = op.plan.as_ref().filter(|plan| !plan.analysis.writes);
        let grant = grant.and_then(|plan| plan.revealed.get(&governed.class));
        for position in &governed.positions {
            let output = *position == Position::Output;
            let seen = prints.get_mut(&(governed.relation, governed.attnum)).filter(|_| output);
            all.push(Exposure {
                on: governed.path.clone(),
                class: governed.class.clone(),
                at: position.as_str(),
                what: match (op.withheld, grant) {
                    (true, _) => "refused",
                    (false, Some(_)) => "revealed",
                    (false, None) => "masked",
                },
                by: grant.map_or(By::Rewrite, |rule| By::Grant(rule.clone())),
                rows,
                cells: if output { rows } else { 0 },
                prints: seen.map(std::mem::take).unwrap_or_default().into_iter().collect(),
            });
        }
    }
    for tripped in &op.tripwires {
        let what = match tripped.act {
            "masked" => "masked",
            "revealed" | "own" | "echo" => continue,
            _ => "refused",
        };
        all.push(Exposure {
            on: root.clone(),
            class: tripped.class.clone(),
            at: "output",
            what,
            by: By::Detector,
            rows,
            cells: 0,
            prints: Vec::new(),
        });
    }
    all
}

/// The constant that says how the transaction stands.
pub fn ready(tx: TxStatus) -> Constant {
    match tx {
        TxStatus::Idle => Constant::ReadyIdle,
        TxStatus::InTransaction => Constant::ReadyInTransaction,
        TxStatus::Failed => Constant::ReadyFailed,
    }
}

/// The SQLSTATE of an error, for the record.
pub fn sqlstate(fields: &Fields) -> [u8; 5] {
    fields.sqlstate().unwrap_or(*b"XX000")
}

/// The severity FATAL of our own making.
pub fn fatal(code: &'static str, message: &'static str) -> Fields {
    Fields::new("FATAL", code, Bytes::from_static(message.as_bytes()))
}

/// The DETAIL of policy's no: which rules said it, and in which words. Those are the error's primary text too, since many
/// drivers show no other.
pub fn rules_detail(rules: &[&str], words: &str) -> String {
    match rules.is_empty() {
        true => "no rule permits it".to_owned(),
        false => format!("rule: {}: {words}", rules.join(", ")),
    }
}

/// The HINT of policy's no: what its reader can do.
pub fn ask_keeper(record: u64) -> String {
    format!("ask whoever keeps the gateway's policy, and name record {record}")
}

/// An error of our own making, with DETAIL and HINT.
pub fn error(code: &'static str, message: &str, detail: Option<String>, hint: Option<String>) -> Fields {
    let mut fields = Fields::new("ERROR", code, Bytes::copy_from_slice(message.as_bytes()));
    if let Some(detail) = detail {
        fields = fields.with(field::DETAIL, detail);
    }
    if let Some(hint) = hint {
        fields = fields.with(field::HINT, hint);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As of each statement: `i` another, `s` SAVEPOINT a, `t` ROLLBACK TO a, `c` COMMIT AND CHAIN, `r` ROLLBACK AND CHAIN; `|`: all is
    /// told. `+`: committed, `-`: rolled back, `?`: not known.
    fn fates(sent: &str) -> String {
        let (mut fates, mut unsettled, mut told) = (Fates::default(), Vec::new(), Vec::new());
        let mut known = BTreeMap::new();
        for (n, what) in (1..).zip(sent.chars()) {
            let by = Seq(n);
            match what {
                's' => fates.saved(by, "a"),
                't' => fates.rolled_back_to(by, "a"),
                'c' => fates.ended(by, "committed"),
                'r' => fates.ended(by, "rolled-back"),
                _ => {}
            }
            match what {
                '|' => {
                    for intent in told.drain(..) {
                        match fates.of(intent) {
                            Some(how) => drop(known.insert(intent, how)),
                            None => unsettled.push(intent),
                        }
                    }
                    for (how, settles) in fates.settle(&mut unsettled) {
                        known.extend(settles.into_iter().map(|intent| (intent, how)));
                    }
                    fates.forget(None);
                    assert!(fates.ends.is_empty() && fates.undone.is_empty());
                }
                _ => told.push(by),
            }
        }
        let sign = |intent: &u64| match known.get(&Seq(*intent)) {
            Some(&"committed") => '+',
            Some(_) => '-',
            None => '?',
        };
        (1..).zip(sent.chars()).filter(|(_, what)| *what != '|').map(|(n, _)| sign(&n)).collect()
    }

    #[test]
    fn each_ends_as_its_transaction_or_savepoint_did() {
        for (sent, expect) in [
            ("ii|", "??"),
            ("ic|", "++"),
            ("i|i|c|", "+++"),
            ("i|r|ic|", "--++"),
            ("isiti|", "??-??"),
            ("i|s|i|t|i|c|", "++-+++"),
            // Of two ways back to the same savepoint the second holds the first.
            ("isitit|c|", "++---++"),
            ("s|i|s|i|t|i|t|r|", "--------"),
            ("sicsir|", "+++---"),
        ] {
            assert_eq!(fates(sent), expect, "{sent}");
        }
    }

    /// Whoever looked at all of them at each flush would need minutes.
    #[test]
    fn a_long_transaction_costs_no_more_for_each_statement() {
        for part in ["i|", "sit|", "it|", "s|"] {
            let told = fates(&format!("s{}c|", part.repeat(160_000)));
            assert!(told.starts_with('+') && told.ends_with('+') && !told.contains('?'), "{part}");
        }
    }
}
