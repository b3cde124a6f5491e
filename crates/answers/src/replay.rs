//! `replay`: a run step by step, as the agent saw it.
//!
//! The statement is in the record, masked; what came back is in the reel, a payload encrypted with the run's key. Whoever
//! holds no key for it gets no replay, and is told so.

mod asciicast;
mod cast;
mod play;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use index::{Action, Run};
use seal::cbor::{self, Value};
use serde::{Deserialize, Serialize};
use values::{Scan, oid};
use vocab::{RunId, Seq};

use crate::decided::{
    DecisionLine, Followed, PlanLine, decision_line, plan_line, render_decision, render_plan,
};
use crate::desk::{Cannot, Desk, ProofLine};
use crate::erasure::ErasureLine;
use crate::limits::{ACTIONS_MAX, REPLAY_BYTES_MAX, REPLAY_ROWS_MAX};
use crate::line::{ActionLine, RunLine, action_line, run_line};
use crate::runs::{render_action, render_run};
use crate::shape::Answer;
use crate::text::{Text, hex};
use crate::watch::Look;

pub use asciicast::{Edition, asciicast};
pub use cast::{Cast, Event, What};
pub use play::Player;
pub use seen::Seen;

/// Opens the payloads that stand beside a record.
pub trait Reels {
    /// The plaintexts of the payloads of record `seq`, in order. Each was checked against the digest in the record.
    fn open(&self, run: RunId, seq: Seq) -> Result<Vec<Vec<u8>>, NoReel>;
}

/// Why a payload was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReel {
    /// No key for this run is at hand; the sentence says which key would open it.
    NoKey(String),
    /// The run's key was destroyed.
    Erased,
    /// The payload is not what its record says.
    Damaged(String),
}

/// For an analyst who holds no key at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sealed;

impl Reels for Sealed {
    fn open(&self, _: RunId, _: Seq) -> Result<Vec<Vec<u8>>, NoReel> {
        Err(NoReel::NoKey("replay needs the gateway's key or an auditor's (`--auditor-key FILE`)".to_owned()))
    }
}

/// A run as its agent saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    pub run: RunLine,
    pub steps: Vec<ReplayStep>,
    pub more_steps: u64,
    pub proof: ProofLine,
}

/// One action and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayStep {
    pub action: ActionLine,
    /// Milliseconds since the first step shown.
    pub after_ms: u64,
    /// Milliseconds from the request's record to the answer's.
    pub took_ms: Option<u64>,
    pub columns: Vec<String>,
    /// At most [`REPLAY_ROWS_MAX`], as the client saw them.
    pub rows: Vec<Vec<Option<CellLine>>>,
    /// Rows that the reel has and that are not shown, and rows that the record counts and the reel does not have.
    pub rows_not_shown: u64,
    pub rows_not_kept: u64,
    /// Bytes of COPY data, heads, bodies and trailers of HTTP, and unnamed payloads, as text where they are text.
    pub data: Vec<CellLine>,
    /// The decisions that were issued between this action and the next step's.
    #[serde(default)]
    pub decisions: Vec<DecisionLine>,
    /// The plans that were stated between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<PlanLine>,
}

/// One cell: text as it is, anything else as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CellLine {
    Text(String),
    Hex { hex: String },
}

impl CellLine {
    /// Of a column in binary format: as PostgreSQL prints it, where its type says how.
    fn of(bytes: &[u8], field: Option<&Field>) -> CellLine {
        let Some(Field { type_oid, is_binary: true }) = field else { return CellLine::new(bytes, true) };
        let type_oid = u32::try_from(*type_oid).unwrap_or(0);
        match values::scan(type_oid, true, bytes, &values::built_in) {
            // A number may follow in full on a line of its own.
            Scan::Text(text) if matches!(type_oid, oid::FLOAT4 | oid::FLOAT8) => {
                CellLine::new(text.split(|byte| *byte == b'\n').next().unwrap_or_default(), true)
            }
            Scan::Text(text) => CellLine::new(&text, true),
            // As it came: what it is made of is not known, or it is no text at all.
            Scan::Bytes(_) | Scan::Unknown(_) | Scan::Malformed => CellLine::new(bytes, false),
        }
    }

    fn new(bytes: &[u8], text: bool) -> CellLine {
        match std::str::from_utf8(bytes) {
            Ok(cell) if text => CellLine::Text(cell.to_owned()),
            _ => CellLine::Hex { hex: hex(bytes) },
        }
    }

    /// For people: hexadecimal with PostgreSQL's own prefix.
    pub fn text(&self) -> String {
        match self {
            CellLine::Text(text) => text.clone(),
            CellLine::Hex { hex } => format!("\\x{hex}"),
        }
    }
}

impl Desk<'_> {
    /// Replays the actions whose record lies between `from` and `to`, both included.
    ///
    /// Errors: [`Cannot::NoKey`] (exit 3) if an action of the range has a payload and no key opens it.
    pub fn replay(&self, run: &str, from: Option<Seq>, to: Option<Seq>) -> Result<Replay, Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Replay, &run.id.to_string())?;
        let range = from.unwrap_or(Seq(0))..=to.unwrap_or(Seq(u64::MAX));
        self.replay_run(run, range, proof)
    }

    pub(crate) fn replay_run(
        &self,
        run: &Run,
        range: RangeInclusive<Seq>,
        proof: ProofLine,
    ) -> Result<Replay, Cannot> {
        let (from, to) = (*range.start(), *range.end());
        let within: Vec<&Action> = run.actions.iter().filter(|a| a.overlaps(from, to)).collect();
        let start = within.first().map_or(0, |a| a.asked.at.0);
        let mut decisions = decided_within(run, &within, &range);
        let mut plans = planned_within(run, &within, &range);
        let mut bytes = 0;
        let mut steps = Vec::new();
        for (at, action) in within.iter().take(ACTIONS_MAX).enumerate() {
            if bytes > REPLAY_BYTES_MAX {
                break;
            }
            let mut step = self.step(run, action, start, &mut bytes)?;
            step.decisions = decisions.remove(&at).unwrap_or_default();
            step.plans = plans.remove(&at).unwrap_or_default();
            steps.push(step);
        }
        self.unasked(run, &within, &range, &mut steps)?;
        let more_steps = (within.len() - steps.len()) as u64;
        let proof = self.sealing(proof, within.iter().flat_map(|action| action.records.iter().copied()));
        Ok(Replay { run: run_line(run), steps, more_steps, proof })
    }

    /// Adds what the client was told unasked to the step before it.
    fn unasked(
        &self,
        run: &Run,
        within: &[&Action],
        range: &RangeInclusive<Seq>,
        steps: &mut [ReplayStep],
    ) -> Result<(), Cannot> {
        let told = run.notes.iter().map(|note| note.seq).filter(|seq| range.contains(seq));
        for seq in told.filter(|seq| !self.index.payloads(*seq).is_empty()) {
            let after = within.partition_point(|action| action.asked.seq < seq).saturating_sub(1);
            let Some(step) = steps.get_mut(after) else { continue };
            for plain in self.open(run, seq)? {
                step.add(&plain, &mut Vec::new()).map_err(|why| Cannot::Payload { seq, why })?;
            }
        }
        Ok(())
    }

    fn step(&self, run: &Run, action: &Action, start: u64, bytes: &mut usize) -> Result<ReplayStep, Cannot> {
        let ms = |ns: u64| ns / 1_000_000;
        let answered = action.answer().map(|o| o.at).or(action.refusals.last().map(|r| r.at));
        let named = action.answer().map_or(&[][..], |o| &o.what.columns);
        let mut step = ReplayStep {
            action: action_line(run, action),
            after_ms: ms(action.asked.at.0.saturating_sub(start)),
            took_ms: answered.map(|at| ms(at.0.saturating_sub(action.asked.at.0))),
            columns: named.iter().map(|c| c.name.to_string()).collect(),
            rows: Vec::new(),
            rows_not_shown: 0,
            rows_not_kept: 0,
            data: Vec::new(),
            decisions: Vec::new(),
            plans: Vec::new(),
        };
        let (mut kept, mut shape) = (0, Vec::new());
        for seq in action.own_records().filter(|seq| !self.index.payloads(*seq).is_empty()) {
            for plain in self.open(run, seq)? {
                *bytes += plain.len();
                kept += step.add(&plain, &mut shape).map_err(|why| Cannot::Payload { seq, why })?;
            }
        }
        let recorded = action.answer().map_or(0, |o| o.what.rows);
        if !step.columns.is_empty() {
            step.rows_not_kept = recorded.saturating_sub(kept);
        }
        Ok(step)
    }

    pub(crate) fn open(&self, run: &Run, seq: Seq) -> Result<Vec<Vec<u8>>, Cannot> {
        if let Some(erasure) = ErasureLine::of(self.index, run) {
            return Err(Cannot::Erased { run: run.id, erasure });
        }
        self.reels.open(run.id, seq).map_err(|why| match why {
            NoReel::NoKey(why) => Cannot::NoKey(why),
            NoReel::Erased => Cannot::NoKey(format!("the payload key of run {} was destroyed", run.id)),
            NoReel::Damaged(why) => Cannot::Payload { seq, why },
        })
    }
}

impl ReplayStep {
    /// Adds one payload (RECORDS.md, "Payloads"); returns how many rows it has. `shape`: what payloads before it have said of the
    /// columns, and what this one says.
    fn add(&mut self, plain: &[u8], shape: &mut Vec<Field>) -> Result<u64, String> {
        let value = cbor::decode(plain).map_err(|e| e.to_string())?;
        if let Some(fields) = self.fields(&value)? {
            *shape = fields;
        }
        let mut count = 0;
        for row in value.get("rows").and_then(Value::as_array).unwrap_or(&[]) {
            let cells = row.as_array().ok_or("a row is not a list")?;
            count += 1;
            if self.rows.len() >= REPLAY_ROWS_MAX {
                self.rows_not_shown += 1;
                continue;
            }
            let row: Result<Vec<_>, String> =
                cells.iter().enumerate().map(|(n, cell)| read_cell(cell, shape.get(n))).collect();
            self.rows.push(row?);
        }
        for said in value.get("said").and_then(Value::as_array).unwrap_or(&[]) {
            let [tag, body] = said.as_array().ok_or("what was said is not a list")? else {
                return Err("what was said is not tag and body".to_owned());
            };
            let body = body.as_bytes().ok_or("what was said is not bytes")?;
            self.data.extend(tag.as_u64().and_then(|tag| told(tag, body)).map(CellLine::Text));
        }
        if let Some(head) = value.get("head") {
            let head = head.as_text().ok_or("a head is not text")?;
            self.data.extend(head.lines().map(|line| CellLine::Text(line.to_owned())));
        }
        if let Some(data) = value.get("data") {
            let data = data.as_bytes().ok_or("data is not bytes")?;
            self.data.push(CellLine::new(data, true));
        }
        for stream in value.get("streams").and_then(Value::as_array).unwrap_or(&[]) {
            let name = stream.get("s").and_then(Value::as_text).ok_or("a stream has no name")?;
            let Some(data) = stream.get("data") else { continue };
            let line = CellLine::new(data.as_bytes().ok_or("what a stream says is not bytes")?, true);
            self.data.push(match name {
                "out" => line,
                name => CellLine::Text(format!("{name}: {}", line.text())),
            });
        }
        if let Some(trailers) = value.get("trailers") {
            let trailers = trailers.as_text().ok_or("trailers are not text")?;
            self.data.extend(trailers.lines().map(|line| CellLine::Text(line.to_owned())));
        }
        Ok(count)
    }

    /// What the columns are, where it says so; their names too, if no outcome named them.
    fn fields(&mut self, value: &Value) -> Result<Option<Vec<Field>>, String> {
        let (mut fields, mut names) = (Vec::new(), Vec::new());
        for field in value.get("fields").and_then(Value::as_array).unwrap_or(&[]) {
            let [name, type_oid, format] = field.as_array().ok_or("a field is not a list")? else {
                return Err("a field is not name, type and format".to_owned());
            };
            let number = |value: &Value| value.as_u64().ok_or("a field's type is not a number");
            names.push(name.as_text().ok_or("a field's name is not text")?.to_owned());
            fields.push(Field { type_oid: number(type_oid)?, is_binary: number(format)? == 1 });
        }
        if self.columns.is_empty() {
            self.columns = names;
        }
        Ok((!fields.is_empty()).then_some(fields))
    }
}

impl Answer for Replay {
    const SHAPE: &'static str = "tacho.replay/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        render_run(text, &self.run);
        for step in &self.steps {
            text.blank();
            step.render(text);
        }
        if self.more_steps > 0 {
            text.line(&format!("and {} more steps; `--at` begins later", self.more_steps));
        }
        text.blank();
        text.line(&self.proof.text());
    }
}

impl ReplayStep {
    /// One step for a terminal that plays them in time.
    pub fn render(&self, text: &mut Text) {
        let took = self.took_ms.map(|ms| format!(", took {ms} ms")).unwrap_or_default();
        text.line(&format!("+{} ms{took}", self.after_ms));
        render_action(text, &self.action);
        if !self.rows.is_empty() {
            let headers: Vec<&str> = self.columns.iter().map(String::as_str).collect();
            let cell = |cell: &Option<CellLine>| cell.as_ref().map_or("NULL".to_owned(), CellLine::text);
            let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
            text.values(&headers, &rows);
        }
        self.data.iter().for_each(|data| text.line(&format!("  {}", data.text())));
        if self.rows_not_shown > 0 {
            text.line(&format!("  {} more rows are not shown", self.rows_not_shown));
        }
        if self.rows_not_kept > 0 {
            text.line(&format!("  {} more rows were released and are not on the reel", self.rows_not_kept));
        }
        for plan in &self.plans {
            text.blank();
            render_plan(text, plan);
        }
        for decision in &self.decisions {
            text.blank();
            render_decision(text, decision);
        }
    }
}

/// The decisions of the range, and those in the answers of its actions, by the place in `within` of the action that they
/// follow.
fn decided_within(
    run: &Run,
    within: &[&Action],
    range: &RangeInclusive<Seq>,
) -> BTreeMap<usize, Vec<DecisionLine>> {
    let lines = run.decisions.iter().map(|decided| (decided.issued.seq, decided));
    placed(within, range, lines, |decided| decision_line(run, decided))
}

/// The same of plans.
fn planned_within(
    run: &Run,
    within: &[&Action],
    range: &RangeInclusive<Seq>,
) -> BTreeMap<usize, Vec<PlanLine>> {
    let followed = Followed::of(run);
    let lines = run.plans.iter().enumerate().map(|plan| (plan.1.stated.seq, plan));
    placed(within, range, lines, |(n, planned)| plan_line(&followed, n, planned))
}

fn placed<T, L>(
    within: &[&Action],
    range: &RangeInclusive<Seq>,
    all: impl Iterator<Item = (Seq, T)>,
    line: impl Fn(T) -> L,
) -> BTreeMap<usize, Vec<L>> {
    let answers: BTreeSet<Seq> = within.iter().flat_map(|action| action.records.iter().copied()).collect();
    let mut places: BTreeMap<usize, Vec<L>> = BTreeMap::new();
    for (seq, one) in all {
        if range.contains(&seq) || answers.contains(&seq) {
            let after = within.partition_point(|action| action.asked.seq < seq);
            places.entry(after.saturating_sub(1)).or_default().push(line(one));
        }
    }
    places
}

/// How the cells of a column are written.
struct Field {
    type_oid: u64,
    is_binary: bool,
}

/// An error or notice of PostgreSQL's, as `psql` shows it: severity, message, and what stands beside it; or a notification.
/// `None`: it is none of these.
fn told(tag: u64, body: &[u8]) -> Option<String> {
    let readable = |value: &[u8]| {
        std::str::from_utf8(value).map_or_else(|_| value.escape_ascii().to_string(), str::to_owned)
    };
    if u8::try_from(tag) == Ok(b'A') {
        // Behind the number of the process that sent it.
        let mut words = body.get(4..)?.split(|byte| *byte == 0).map(readable);
        let (channel, payload) = (words.next()?, words.next()?);
        return Some(format!("NOTIFICATION on {channel}: {payload}"));
    }
    if !matches!(u8::try_from(tag), Ok(b'E' | b'N')) {
        return None;
    }
    let fields = body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
    let (mut line, mut message) = (String::new(), String::new());
    for (code, value) in fields {
        let value = readable(value);
        match code {
            b'S' => line = value,
            b'M' => message = value,
            b'D' => message.push_str(&format!("; DETAIL: {value}")),
            b'H' => message.push_str(&format!("; HINT: {value}")),
            _ => {}
        }
    }
    Some(format!("{line}: {message}"))
}

fn read_cell(cell: &Value, field: Option<&Field>) -> Result<Option<CellLine>, String> {
    match cell {
        Value::Null => Ok(None),
        Value::Bytes(bytes) => Ok(Some(CellLine::of(bytes, field))),
        Value::Text(text) => Ok(Some(CellLine::Text(text.clone()))),
        _ => Err("a cell is neither bytes nor null".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_as_psql_tells_it() {
        let body = b"SERROR\0VERROR\0C42P01\0Mrelation \"x\" does not exist\0HIs it there?\0\0";
        let line = "ERROR: relation \"x\" does not exist; HINT: Is it there?";
        assert_eq!(told(u64::from(b'E'), body).as_deref(), Some(line));
        assert_eq!(told(u64::from(b't'), body), None);
        assert_eq!(told(u64::from(b'N'), b"\xff\0").as_deref(), Some(": "));
        let notification = b"\0\0\x01\x02orders\0order-77\0";
        assert_eq!(told(u64::from(b'A'), notification).as_deref(), Some("NOTIFICATION on orders: order-77"));
        assert_eq!(told(u64::from(b'A'), b"\0\0"), None);
    }
}
