//! What a run asked and was answered, taken out of record and reel so that it can be answered again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use index::{Action, ResultWord, Run, VerdictWord};
use seal::cbor::{self, Value};
use vocab::{RunId, Seq};

use crate::desk::{Cannot, Desk, ProofLine};
use crate::limits::AGAIN_BYTES_MAX;
use crate::watch::Look;

/// A run as it can be carried out again.
#[derive(Debug)]
pub struct Taped {
    pub run: RunId,
    pub agent: String,
    pub agent_version: Option<String>,
    pub task: Option<String>,
    /// How the recorded command ended.
    pub status: Option<i64>,
    /// In the order asked.
    pub exchanges: Vec<Exchange>,
    /// In order: the resource, what its server said of itself, and the parameters in force.
    pub connects: Vec<(Arc<str>, String, BTreeMap<String, String>)>,
    /// What was asked for in vain, and why connections were cut.
    pub noted: BTreeSet<Arc<str>>,
    pub proof: ProofLine,
}

/// One request, and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// The record that stands for it.
    pub seq: Seq,
    pub resource: Arc<str>,
    pub session: Option<u64>,
    pub via: Arc<str>,
    /// The exact kind of the request, where it is known: `SELECT`, `TURN`.
    pub kind: Option<Arc<str>>,
    /// As recorded: literals and what detectors know masked.
    pub statement: Arc<str>,
    /// The commitment to the bytes asked, and what opens it.
    pub asked: [u8; 32],
    pub opening: Option<[u8; 32]>,
    /// Of HTTP: the commitment to the digest of all of it but who asked.
    pub whole: Option<[u8; 32]>,
    /// Of HTTP: the body, where the statement does not hold all of it.
    pub body: Option<Vec<u8>>,
    /// The decisions of a model that it was tied to.
    pub causes: Vec<Seq>,
    /// `None`: there was none, or it is not kept whole.
    pub answer: Option<Answered>,
}

/// What the agent was answered.
#[derive(Debug)]
pub enum Answered {
    Refused { code: String, message: String, rules: Vec<String>, by_policy: bool },
    Kept(Box<Kept>),
}

/// An answer out of the reel.
#[derive(Debug, Default)]
pub struct Kept {
    /// Of HTTP: status and fields, and the fields behind the body.
    pub head: Option<String>,
    pub trailers: Option<String>,
    /// A body, or the data of a COPY.
    pub data: Vec<u8>,
    /// Name, type and format.
    pub fields: Vec<(String, u32, u16)>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// Errors, notices and the like, by the tag of PostgreSQL's message.
    pub said: Vec<(u8, Vec<u8>)>,
    pub tag: Option<String>,
    pub failed: bool,
}

impl Exchange {
    /// Whether these are the bytes that were asked. `None`: nothing can tell.
    pub fn is(&self, bytes: &[u8]) -> Option<bool> {
        Some(seal::payload::commitment(&self.opening?, bytes) == self.asked)
    }

    /// Whether this is the digest of what was asked over HTTP. `None`: it was recorded before there were such.
    pub fn is_whole(&self, digest: &[u8; 32]) -> Option<bool> {
        Some(seal::payload::commitment(&self.opening?, digest) == self.whole?)
    }
}

impl Desk<'_> {
    /// Takes a run out of record and reel. That somebody does is recorded as a `replay`.
    ///
    /// Errors: [`Cannot::NoKey`] if no key opens its payloads; [`Cannot::TooLong`] above [`AGAIN_BYTES_MAX`].
    pub fn taped(&self, run: &str) -> Result<Taped, Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Replay, &run.id.to_string())?;
        let child = |other: &&Run| other.open.as_ref().is_some_and(|open| open.what.parent == Some(run.id));
        if let Some(child) = self.index.runs().find(child) {
            return Err(Cannot::Children { run: run.id, child: child.id });
        }
        let proof = self.sealing(proof, run.records.iter().copied());
        let mut bytes = 0;
        let mut exchanges = Vec::new();
        for action in run.actions.iter().filter(|action| is_asked(action)) {
            exchanges.extend(self.exchange(run, action, &mut bytes)?);
        }
        let connects = run.sessions.values().filter_map(|session| session.connect.as_ref()).map(|connect| {
            let options =
                connect.what.options.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            (connect.what.resource.clone(), connect.what.server.to_string(), options.collect())
        });
        let open = run.open.as_ref().map(|open| &open.what);
        let text = |text: Option<&Arc<str>>| text.map(ToString::to_string);
        Ok(Taped {
            run: run.id,
            agent: text(open.map(|open| &open.agent)).unwrap_or_default(),
            agent_version: text(open.and_then(|open| open.agent_version.as_ref())),
            task: text(open.and_then(|open| open.task.as_ref())),
            status: run.close.as_ref().and_then(|close| close.what.status),
            exchanges,
            connects: connects.collect(),
            noted: run.notes.iter().filter_map(|note| note.what.detail.clone()).collect(),
            proof,
        })
    }

    /// `None`: what was asked belongs to no resource that this version knows.
    fn exchange(&self, run: &Run, action: &Action, bytes: &mut usize) -> Result<Option<Exchange>, Cannot> {
        let Some(resource) = run.resource_of(action.session).cloned() else { return Ok(None) };
        let request = action.request();
        let mut exchange = Exchange {
            seq: action.cite(),
            resource,
            session: action.session,
            via: request.via.clone(),
            kind: request.kind.clone(),
            statement: request.statement.clone(),
            asked: request.asked,
            opening: None,
            whole: None,
            body: None,
            causes: action.causes.iter().map(|cause| cause.decision).collect(),
            answer: None,
        };
        for value in self.values(run, action.asked.seq, bytes)? {
            match value.get("t").and_then(Value::as_text) {
                Some("asked") => {
                    let opening = value.get("open").and_then(Value::as_bytes);
                    exchange.opening = opening.and_then(|opening| opening.try_into().ok());
                    let whole = value.get("whole").and_then(Value::as_bytes);
                    exchange.whole = whole.and_then(|whole| whole.try_into().ok());
                }
                Some("http") => {
                    exchange.body = value.get("data").and_then(Value::as_bytes).map(<[u8]>::to_vec)
                }
                _ => {}
            }
        }
        exchange.answer = self.answered(run, action, bytes)?;
        Ok(Some(exchange))
    }

    fn answered(&self, run: &Run, action: &Action, bytes: &mut usize) -> Result<Option<Answered>, Cannot> {
        if let Some(refusal) = action.refusals.last() {
            let (request, part) = (action.request(), &refusal.what);
            let no = request.verdict != VerdictWord::Allow;
            let refused = Answered::Refused {
                code: part.code.to_string(),
                message: part.message.to_string(),
                rules: request.rules.iter().filter(|_| no).map(ToString::to_string).collect(),
                by_policy: no && matches!(&*part.code, "42501" | "403"),
            };
            // What had left before it was refused is not told again.
            return Ok((!part.partial).then_some(refused));
        }
        let Some(outcome) = action.outcomes.first() else { return Ok(None) };
        let mut kept = Kept {
            tag: outcome.what.tag.as_ref().map(ToString::to_string),
            failed: outcome.what.result != ResultWord::Ok,
            ..Kept::default()
        };
        let pieces = action.chunks.iter().filter(|chunk| &*chunk.what.to == "client");
        let mut whole = true;
        for seq in pieces.map(|piece| piece.seq).chain([outcome.seq]) {
            let values = self.values(run, seq, bytes)?;
            whole &= seq == outcome.seq || !values.is_empty();
            for value in &values {
                kept.add(value).map_err(|why| Cannot::Payload { seq, why })?;
            }
        }
        // Where no column is named, rows are those that were written, or stand in the data of a COPY.
        let shown = !outcome.what.columns.is_empty() || (kept.head.is_none() && outcome.what.tag.is_none());
        whole &= !shown || kept.rows.len() as u64 >= outcome.what.rows;
        whole &= kept.head.is_none() || kept.data.len() as u64 >= outcome.what.bytes || is_masked(action);
        // A client that has heard enough hangs up before the end: what it was given is what it is given.
        if outcome.what.result == ResultWord::Indeterminate {
            whole = kept.head.is_some();
        }
        Ok(whole.then_some(Answered::Kept(Box::new(kept))))
    }

    fn values(&self, run: &Run, seq: Seq, bytes: &mut usize) -> Result<Vec<Value>, Cannot> {
        if self.index.payloads(seq).is_empty() {
            return Ok(Vec::new());
        }
        let plain = self.open(run, seq)?;
        *bytes += plain.iter().map(Vec::len).sum::<usize>();
        if *bytes > AGAIN_BYTES_MAX {
            return Err(Cannot::TooLong { what: "run's reel", bytes: *bytes, limit: AGAIN_BYTES_MAX });
        }
        let decode = |plain: &Vec<u8>| {
            cbor::decode(plain).map_err(|error| Cannot::Payload { seq, why: error.to_string() })
        };
        plain.iter().map(decode).collect()
    }
}

/// Whether a client was answered: what an error before it in the same breath skipped was not.
fn is_asked(action: &Action) -> bool {
    let via = &*action.request().via;
    let known =
        matches!(via, "request" | "query" | "parse" | "execute" | "describe" | "bind" | "function-call");
    let skipped = action.outcomes.first().is_some_and(|outcome| outcome.what.result == ResultWord::Skipped);
    known && !skipped
}

/// Whether the reel may be shorter than what left: what a grant revealed stands masked in it.
fn is_masked(action: &Action) -> bool {
    action.exposures().next().is_some() || action.tripwires().next().is_some()
}

impl Kept {
    /// Adds one payload (RECORDS.md, "Payloads").
    fn add(&mut self, value: &Value) -> Result<(), String> {
        let list = |name| value.get(name).and_then(Value::as_array).unwrap_or(&[]);
        for field in list("fields") {
            let [name, kind, format] = field.as_array().ok_or("a field is not a list")? else {
                return Err("a field is not name, type and format".to_owned());
            };
            let number = |value: &Value| value.as_u64().ok_or("a field's type is not a number");
            let (kind, format) = (u32::try_from(number(kind)?), u16::try_from(number(format)?));
            let name = name.as_text().ok_or("a field's name is not text")?.to_owned();
            self.fields.push((name, kind.map_err(|e| e.to_string())?, format.map_err(|e| e.to_string())?));
        }
        for row in list("rows") {
            let cells = row.as_array().ok_or("a row is not a list")?;
            self.rows.push(cells.iter().map(cell).collect::<Result<_, _>>()?);
        }
        for said in list("said") {
            let [tag, body] = said.as_array().ok_or("what was said is not a list")? else {
                return Err("what was said is not tag and body".to_owned());
            };
            let tag = tag.as_u64().and_then(|tag| u8::try_from(tag).ok()).ok_or("a tag is no byte")?;
            self.said.push((tag, body.as_bytes().ok_or("what was said is not bytes")?.to_vec()));
        }
        if let Some(head) = value.get("head") {
            self.head = Some(head.as_text().ok_or("a head is not text")?.to_owned());
        }
        if let Some(trailers) = value.get("trailers") {
            self.trailers = Some(trailers.as_text().ok_or("trailers are not text")?.to_owned());
        }
        if let Some(data) = value.get("data") {
            self.data.extend_from_slice(data.as_bytes().ok_or("data is not bytes")?);
        }
        Ok(())
    }
}

fn cell(cell: &Value) -> Result<Option<Vec<u8>>, String> {
    match cell {
        Value::Null => Ok(None),
        Value::Bytes(bytes) => Ok(Some(bytes.clone())),
        Value::Text(text) => Ok(Some(text.clone().into_bytes())),
        _ => Err("a cell is neither bytes nor null".to_owned()),
    }
}
