//! What is in the air: operations sent upstream, their replies on the way to the client, and how both are settled.
//!
//! **Invariant:** a byte for the client leaves after the record of it is durable; records and bytes are queued here in
//! one order, the order of upstream's replies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gate::{By, Constant, Exposure, Gate, GateError, Intent, Outcome, Permit, Piece, Tripped, Who};
use ledger::{Map, PayloadPlain, Print, Receipt};
use mask::{Detectors, FilterBuilder, FilterKey, Known, MaskedBytes, MaskedText, Origin, Shape};
use proto_postgres::errors::{self, Care, Known as Said};
use proto_postgres::frame::{Frame, tag};
use proto_postgres::message::{Format, FromUpstream, TxStatus};
use proto_postgres::reply::{Cell, Column, DataRow, Fields, RowDescription, field};
use proto_postgres::session::Sent;
use vocab::{Class, Group, Position, ResourcePath, Seq};
use wire::RawField;

use super::plan::Plan;
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
    pub command: Bytes,
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
    /// Policy has refused the answer: what still comes of it stays here.
    pub withheld: bool,
    /// An error that the gateway asked for itself; the client has been told otherwise.
    pub silent: bool,
    /// What a failed Parse or Bind must undo.
    pub named: Vec<Named>,
}

/// A piece of an answer: what stood before its first row, and its rows.
pub struct Looked {
    pub head: MaskedBytes,
    rows: MaskedBytes,
    reel: Option<PayloadPlain>,
}

/// A name that the client gave and that upstream may not have taken.
pub enum Named {
    Statement(Bytes),
    Portal(Bytes),
}

/// The shape of a result.
pub struct Columns {
    pub described: RowDescription,
    pub shapes: Vec<Shape>,
    /// A format that hides values from a look at the bytes.
    pub hides: bool,
    /// Governed columns that come raw, by index: revealed to this run.
    pub raw: Vec<(usize, Class)>,
    /// The field of an outcome that says which columns there are.
    record: Map,
}

impl Columns {
    pub fn new(detectors: &Detectors, described: RowDescription, raw: Vec<(usize, Class)>) -> Columns {
        let shapes: Vec<Shape> = described
            .columns
            .iter()
            .map(|c| Shape::of_postgres(c.type_oid, c.format == Format::Binary))
            .collect();
        let binary = |i: usize| described.columns[i].format == Format::Binary;
        let hides = shapes.iter().enumerate().any(|(i, shape)| match shape {
            Shape::Integer | Shape::Numeric => true,
            Shape::Rigid => binary(i),
            Shape::Text | Shape::Json | Shape::Jsonb | Shape::Settled => false,
        });
        let name = |c: &Column| mask::name(detectors, c.name.to_str().unwrap_or(""));
        let names: Vec<Map> = described
            .columns
            .iter()
            .map(|column| Map::new().put("name", name(column)).put("type", column.type_oid))
            .collect();
        let record = if names.is_empty() { Map::new() } else { Map::new().put("columns", names) };
        Columns { described, shapes, hides, raw, record }
    }
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
            command: Bytes::new(),
            code: None,
            columns: None,
            tripwires: BTreeSet::new(),
            hits: 0,
            rows_from: None,
            looked: None,
            approved: BTreeSet::new(),
            complete: false,
            withheld: false,
            silent: false,
            named: Vec::new(),
        }
    }
}

/// How an operation ended, and the frames that the client sees of it.
struct Finished {
    op: Op,
    /// `ok`, `error`, `cancelled`, `skipped`.
    result: &'static str,
    bytes: BytesMut,
    marks: Marks,
}

/// Where in the bytes rows of another shape begin.
type Marks = Vec<(usize, Option<Arc<Columns>>)>;

/// Bytes on their way upstream.
pub enum Outgoing {
    Permitted { pass: Pass, bytes: Vec<u8>, sents: Vec<Sent>, since: u64 },
    Control { control: super::writer::Control, sents: Vec<Sent> },
}

/// Where a permit stands.
pub enum Pass {
    Ready(Option<Permit>),
    Waiting(Box<Intent>),
}

/// Bytes on their way to the client.
pub enum Leaving {
    After { receipt: Receipt, bytes: MaskedBytes, since: u64 },
    Constant(Constant),
}

/// Frames that the client will see, and the records that must come first.
pub struct Showing {
    bytes: BytesMut,
    marks: Marks,
    /// A record that covers the bytes although no operation ends with them (a refusal, a note).
    cover: Option<Receipt>,
    finished: Vec<Finished>,
    pub known: Known,
    filter: FilterBuilder,
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
}

impl Showing {
    pub fn new(known: Known) -> Showing {
        Showing {
            bytes: BytesMut::new(),
            marks: Vec::new(),
            cover: None,
            finished: Vec::new(),
            known,
            filter: FilterBuilder::new(),
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
        let rows = head.split_off(from);
        marks.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(from));
        let (head, _no_rows) = self.masked(scene, head, &Vec::new(), Some(op))?;
        let (rows, reel) = self.masked(scene, rows, &marks, Some(op))?;
        op.looked = Some(Looked { head, rows, reel });
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
        let (words, _no_rows) = self.masked(scene, bytes, &Vec::new(), None)?;
        let bytes = match head {
            Some(head) => head.then(words),
            None => words,
        };
        leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0 });
        Ok(())
    }

    pub fn cover(&mut self, receipt: Receipt) {
        self.cover = Some(receipt);
    }

    /// An operation has ended; what is shown so far belongs to it.
    pub fn finish(&mut self, op: Op, result: &'static str) {
        let (bytes, marks) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.marks));
        self.finished.push(Finished { op, result, bytes, marks });
    }

    /// Writes outcomes of what has finished, and queues all bytes behind their records.
    /// `ready` ends the flight; `state` is what is known of the transaction then.
    pub fn flush(
        &mut self,
        scene: &Scene<'_>,
        leaving: &mut VecDeque<Leaving>,
        ready: Option<Constant>,
        state: &State,
        unsettled: &mut Vec<Seq>,
    ) -> Result<(), FlushError> {
        let mut finished = std::mem::take(&mut self.finished);
        // What follows the last operation's end leaves with it.
        let cover = self.cover.take();
        if let (Some(last), None) = (finished.last_mut(), &cover) {
            last.bytes.extend_from_slice(&std::mem::take(&mut self.bytes));
            self.marks.clear();
        }
        let last = finished.len().saturating_sub(1);
        for (i, finished) in finished.into_iter().enumerate() {
            let settles = match state {
                State::Settled(_) if i == last => std::mem::take(unsettled),
                State::Settled(_) | State::Pending => Vec::new(),
            };
            self.tell(scene, leaving, finished, state, settles, unsettled)?;
        }
        let settled = match (state, unsettled.is_empty()) {
            (State::Settled(how), false) => {
                Some(scene.gate.settle(scene.who, std::mem::take(unsettled), how)?)
            }
            _ => None,
        };
        let (bytes, marks) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.marks));
        if !bytes.is_empty() || cover.is_some() {
            let (bytes, _reel) = self.masked(scene, bytes, &marks, None)?;
            let receipt = match (settled, cover) {
                (Some(receipt), _) | (None, Some(receipt)) => receipt,
                // Bytes of nobody's: a notice or a parameter that came of itself.
                (None, None) => scene.gate.note(scene.who, None, "unasked")?,
            };
            leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0 });
        }
        if let Some(ready) = ready {
            leaving.push_back(Leaving::Constant(ready));
        }
        Ok(())
    }

    /// One operation's outcome, and its bytes behind it.
    fn tell(
        &mut self,
        scene: &Scene<'_>,
        leaving: &mut VecDeque<Leaving>,
        finished: Finished,
        state: &State,
        settles: Vec<Seq>,
        unsettled: &mut Vec<Seq>,
    ) -> Result<(), FlushError> {
        let Finished { mut op, result, bytes, marks } = finished;
        let (mut bytes, mut reel) = self.masked(scene, bytes, &marks, Some(&mut op))?;
        if let Some(looked) = op.looked.take() {
            bytes = looked.head.then(looked.rows).then(bytes);
            reel = looked.reel;
        }
        let filter = (op.rows > 0 || !self.filter.is_empty()).then(|| self.filter.take());
        let receipt = match op.intent {
            None => scene.gate.note(scene.who, None, "unasked")?,
            Some(intent) => {
                if *state == State::Pending {
                    unsettled.push(intent);
                }
                let outcome = outcome(scene, op, result, state, settles, filter);
                scene.gate.outcome(scene.who, intent, Outcome { reel, ..outcome })?
            }
        };
        leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0 });
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
        for finished in std::mem::take(&mut self.finished) {
            self.tell(scene, leaving, finished, &State::Pending, Vec::new(), unsettled)?;
        }
        let Some(of) = op.intent else { return Ok(()) };
        self.look(scene, op)?;
        let Some(Looked { head, rows, reel }) = op.looked.take() else { return Ok(()) };
        let bytes = head.then(rows);
        let filter = self.filter.take();
        let exposures = exposures(op, scene.root);
        let piece = Piece {
            n: op.chunks,
            to: "client",
            rows: std::mem::take(&mut op.piece_rows),
            bytes: bytes.as_bytes().len() as u64,
            exposures,
            tripwires: std::mem::take(&mut op.tripwires),
            filter: Some(filter),
            reel,
        };
        op.chunks += 1;
        let receipt = scene.gate.piece(scene.who, of, piece)?;
        leaving.push_back(Leaving::After { receipt, bytes, since: crate::entropy::tick().0 });
        Ok(())
    }

    /// The last look at everything that is shown: `Err` if something remains that nothing explains.
    fn masked(
        &mut self,
        scene: &Scene<'_>,
        mut bytes: BytesMut,
        marks: &Marks,
        op: Option<&mut Op>,
    ) -> Result<(MaskedBytes, Option<PayloadPlain>), FlushError> {
        let mut hits = Hits::default();
        let detectors = scene.gate.detectors();
        if marks.iter().any(|(_, columns)| columns.as_ref().is_some_and(|c| c.hides)) {
            bytes = mask_frames(detectors, &self.known, bytes, marks, &mut hits)?;
        }
        let released = mask::release(detectors, Vec::from(bytes), &self.known)
            .or_else(|unmasked| pieces(detectors, unmasked.bytes, &self.known));
        let leak = |unmasked: mask::Unmasked| {
            FlushError::Leak(Leak { detector: unmasked.findings.first().map_or("unknown", |f| f.detector) })
        };
        let released = match released {
            Ok(released) => released,
            Err(unmasked) if scene.tripwire == Tripwire::Cut => return Err(leak(unmasked)),
            Err(unmasked) => {
                let again = BytesMut::from(&unmasked.bytes[..]);
                let masked = mask_frames(detectors, &self.known, again, marks, &mut hits)?;
                pieces(detectors, Vec::from(masked), &self.known).map_err(leak)?
            }
        };
        let (bytes, explained) = released;
        for (finding, origin) in explained {
            hits.seen.insert(Tripped {
                detector: finding.detector,
                class: finding.class,
                channel: "result",
                act: match origin {
                    Origin::Own => "own",
                    Origin::Echo => "echo",
                    Origin::Revealed => "revealed",
                },
            });
        }
        if let Some(op) = op {
            op.tripwires.extend(hits.seen);
            op.hits += hits.count;
        }
        let reel = self.reel(scene, &bytes);
        Ok((bytes, reel))
    }

    /// What replay shows: the rows as the client saw them. Also feeds the filter of released cells.
    fn reel<'a>(&mut self, scene: &Scene<'_>, released: &'a MaskedBytes) -> Option<PayloadPlain> {
        let bytes = Bytes::copy_from_slice(released.as_bytes());
        let mut fields: Vec<(mask::MaskedText, u32, u16)> = Vec::new();
        let mut rows: Vec<Vec<mask::MaskedField<'a>>> = Vec::new();
        let mut copy: Vec<std::ops::Range<usize>> = Vec::new();
        let mut at = 0;
        while let Some((tag, body)) = frame_at(&bytes, at) {
            let start = at + 5;
            at = start + body.len();
            match tag {
                tag::DATA_ROW => {
                    let Ok(row) = DataRow::decode(&body) else { continue };
                    let base = body.as_ptr() as usize;
                    if scene.reel == Reel::None {
                        row.cells().flatten().for_each(|cell| self.filter.cell(scene.filter_key, cell));
                        continue;
                    }
                    let mut cells = Vec::with_capacity(row.columns());
                    for cell in row.cells() {
                        cells.push(match cell {
                            None => mask::null_field(),
                            Some(cell) => {
                                self.filter.cell(scene.filter_key, cell);
                                let offset = start + (cell.as_ptr() as usize - base);
                                released.field(offset..offset + cell.len()).unwrap_or_else(mask::null_field)
                            }
                        });
                    }
                    rows.push(cells);
                }
                tag::ROW_DESCRIPTION => {
                    let Ok(description) = RowDescription::decode(&body) else { continue };
                    fields = description
                        .columns
                        .iter()
                        .map(|c| {
                            let name = c.name.to_str().unwrap_or("");
                            (mask::name(scene.gate.detectors(), name), c.type_oid, c.format.code())
                        })
                        .collect();
                }
                tag::COPY_DATA => {
                    self.filter.cell(scene.filter_key, &body);
                    copy.push(start..start + body.len());
                }
                _ => {}
            }
        }
        if scene.reel == Reel::None || (rows.is_empty() && fields.is_empty() && copy.is_empty()) {
            return None;
        }
        let map = Map::new().put("fields", fields).put("rows", rows);
        let payload = match copy.is_empty() {
            true => PayloadPlain::new("rows", map),
            false => PayloadPlain::new("copy", map.put("data", released.pieces(&copy))),
        };
        // A row with a value above that is counted and filtered like any other; replay does not show it.
        payload.fits().then_some(payload)
    }
}

/// What became of the transaction, as far as is known when outcomes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The transaction goes on, or its end is not known yet.
    Pending,
    /// `committed`, `rolled-back` or `indeterminate`.
    Settled(&'static str),
}

fn outcome(
    scene: &Scene<'_>,
    mut op: Op,
    result: &'static str,
    state: &State,
    settles: Vec<Seq>,
    filter: Option<mask::Filter>,
) -> Outcome {
    let detectors = scene.gate.detectors();
    let exposures = exposures(&mut op, scene.root);
    let columns = op.columns.as_ref().map_or(Map::new(), |columns| columns.record.clone());
    let opaque = op.plan.as_ref().is_some_and(|plan| plan.action().opaque.is_some());
    let tripped = op.tripwires.iter().any(|t| !matches!(t.act, "own" | "echo" | "revealed"));
    Outcome {
        result,
        state: if *state == State::Pending { "pending" } else { "final" },
        settles,
        settled: match state {
            State::Pending => None,
            State::Settled(how) => Some(how),
        },
        code: op.code.map(|code| mask::name(detectors, std::str::from_utf8(&code).unwrap_or("XX000"))),
        tag: op.tag,
        rows: op.rows,
        bytes: op.bytes,
        columns,
        exposures,
        tripwires: op.tripwires,
        filter,
        partial: match (opaque, tripped) {
            (true, _) => Some("partial: the action was opaque"),
            (false, true) => Some("partial: a detector fired where no rule governs"),
            (false, false) => None,
        },
        reel: None,
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

/// What detectors found: each kind once, and how many were masked.
#[derive(Default)]
struct Hits {
    seen: BTreeSet<Tripped>,
    count: u64,
}

/// Frame by frame, cell by cell: what a detector finds and nothing explains is replaced.
fn mask_frames(
    detectors: &Detectors,
    known: &Known,
    bytes: BytesMut,
    marks: &[(usize, Option<Arc<Columns>>)],
    hits: &mut Hits,
) -> Result<BytesMut, FlushError> {
    let bytes = bytes.freeze();
    let mut out = BytesMut::with_capacity(bytes.len());
    let mut at = 0;
    while let Some((tag, body)) = frame_at(&bytes, at) {
        let columns = marks.iter().rev().find(|(from, _)| *from <= at).and_then(|(_, c)| c.clone());
        at += 5 + body.len();
        let frame = Frame { tag, body };
        mask_frame(detectors, known, frame, columns.as_deref(), hits, &mut out)
            .map_err(|_malformed| FlushError::Leak(Leak { detector: "frame" }))?;
    }
    Ok(out)
}

fn mask_frame(
    detectors: &Detectors,
    known: &Known,
    frame: Frame,
    columns: Option<&Columns>,
    hits: &mut Hits,
    out: &mut BytesMut,
) -> Result<(), wire::Fault> {
    let mut trip = |class: &Class, detector: &'static str, channel: &'static str| {
        hits.count += 1;
        hits.seen.insert(Tripped { detector, class: class.clone(), channel, act: "masked" });
    };
    match frame.tag {
        tag::DATA_ROW => {
            let row = DataRow::decode(&frame.body)?;
            let mut findings = Vec::new();
            let text = [Shape::Text; 1];
            let fallback: Vec<Shape>;
            let shapes: &[Shape] = match columns {
                Some(columns) => &columns.shapes,
                None => {
                    fallback = text.iter().copied().cycle().take(row.columns()).collect();
                    &fallback
                }
            };
            let masked = mask::fields(detectors, row.cells(), shapes, &mut findings);
            if findings.is_empty() {
                return frame.encode(out);
            }
            let cells: Vec<Option<&[u8]>> = row.cells().collect();
            let unexplained: BTreeSet<usize> = findings
                .iter()
                .filter(|f| {
                    let value =
                        cells.get(f.cell).copied().flatten().and_then(|c| c.get(f.finding.range.clone()));
                    value.and_then(|value| known.origin(value)).is_none()
                })
                .map(|f| f.cell)
                .collect();
            for finding in findings.iter().filter(|f| unexplained.contains(&f.cell)) {
                trip(&finding.finding.class, finding.finding.detector, "result");
            }
            let replaced: Vec<Option<RawField>> =
                masked.cells().map(|cell| cell.map(RawField::copy_from)).collect();
            row.rebuild(out, |i, _| match (unexplained.contains(&i), replaced.get(i)) {
                (false, _) => Cell::Keep,
                (true, Some(Some(value))) => Cell::Value(value.clone()),
                (true, _) => Cell::Null,
            })
        }
        tag::ROW_DESCRIPTION => {
            let mut description = RowDescription::decode(&frame.body)?;
            for column in &mut description.columns {
                column.name = masked_raw(detectors, &column.name, "column-name", &mut trip);
            }
            FromUpstream::RowDescription(description).encode(out)
        }
        tag::ERROR | tag::NOTICE => {
            // What is found in a message is not cut out of it: the template takes its place.
            let fields = Fields::decode(&frame.body, "ErrorResponse")?;
            let mut found = Vec::new();
            detectors.scan_deep(&frame.body, &mut found);
            for finding in &found {
                trip(&finding.class, finding.detector, "message");
            }
            let nobody = Said { said: &[], visible: &|_| false };
            let template = errors::sanitise(&fields, &nobody, Care::Template, |_| None);
            match (found.is_empty(), frame.tag) {
                (true, _) => frame.encode(out),
                (false, tag::ERROR) => FromUpstream::Error(template).encode(out),
                (false, _) => FromUpstream::Notice(template).encode(out),
            }
        }
        tag::COPY_DATA => {
            let body = RawField::new(frame.body);
            let masked = masked_raw(detectors, &body, "copy", &mut trip);
            FromUpstream::CopyData(masked).encode(out)
        }
        tag::COMMAND_COMPLETE | tag::NOTIFICATION | tag::PARAMETER_STATUS => {
            // Nothing of the client's belongs into these: what is found here is not repaired, it stays here.
            let mut found = Vec::new();
            detectors.scan_deep(&frame.body, &mut found);
            match found.first() {
                None => frame.encode(out),
                Some(f) => {
                    trip(&f.class, f.detector, "status");
                    Ok(())
                }
            }
        }
        _ => frame.encode(out),
    }
}

fn masked_raw(
    detectors: &Detectors,
    raw: &RawField,
    channel: &'static str,
    trip: &mut impl FnMut(&Class, &'static str, &'static str),
) -> RawField {
    let mut findings = Vec::new();
    let shapes = [Shape::Text];
    let row = mask::fields(detectors, [Some(raw.as_bytes())], &shapes, &mut findings);
    for finding in &findings {
        trip(&finding.finding.class, finding.finding.detector, channel);
    }
    match row.cells().next().flatten() {
        Some(bytes) => RawField::copy_from(bytes),
        None => RawField::from_static(b""),
    }
}

/// As [`mask::release`], by frames and cells.
fn pieces(
    detectors: &Detectors,
    bytes: Vec<u8>,
    known: &Known,
) -> Result<(MaskedBytes, Vec<(mask::Finding, Origin)>), mask::Unmasked> {
    let bytes = Bytes::from(bytes);
    let mut cuts = Vec::new();
    let mut at = 0;
    while let Some((tag, body)) = frame_at(&bytes, at) {
        let start = at + 5;
        cuts.extend([at, start]);
        at = start + body.len();
        if tag == tag::DATA_ROW
            && let Ok(row) = DataRow::decode(&body)
        {
            let base = body.as_ptr() as usize;
            for cell in row.cells().flatten() {
                let from = start + (cell.as_ptr() as usize - base);
                cuts.extend([from, from + cell.len()]);
            }
        }
    }
    mask::release_pieces(detectors, Vec::from(bytes), &cuts, known)
}

fn frame_at(bytes: &Bytes, at: usize) -> Option<(u8, Bytes)> {
    let head = bytes.get(at..at + 5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let end = (at + 1).checked_add(length)?;
    (end <= bytes.len()).then(|| (head[0], bytes.slice(at + 5..end)))
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
