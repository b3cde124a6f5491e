//! What is on disk when a ledger is opened: every frame checked, every record linked, every checkpoint verified.
//!
//! A torn tail is kept out, a hole in the middle refused (docs/FORMAT.md section 2). Nothing is written here.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;

use seal::cbor::Value;
use seal::frame::{Frames, Kind as FrameKind, ScanEnd, SegmentHeader, scan_segment};
use seal::note::{Algorithm, Checkpoint, SignedNote, Signer, Standing, VerifierKey};
use seal::payload::body_digest;
use seal::record::Header;
use seal::tree::{Frontier, leaf_hash};
use vocab::RunId;

use crate::commit::Published;
use crate::config::OpenError;
use crate::disk::{Disk, read_small};
use crate::draft::Kind;
use crate::keys::{self, CHECKPOINT_FILE, CHECKPOINT_NEXT_FILE, KeyError};
use crate::limits::ADOPTED_RECORDS_MAX;
use crate::model::{Model, Step};
use crate::segments::{self, Paths, Segment};
use crate::witnesses::Turn;

/// What was found.
pub(crate) struct Scan {
    pub(crate) origin: String,
    pub(crate) model: Model,
    /// The last segment: its number, its size, where its frames end, and its bytes up to there.
    pub(crate) segment: u64,
    pub(crate) size: u64,
    pub(crate) prefix: Vec<u8>,
    /// The tree before the last segment.
    pub(crate) before: Frontier,
    pub(crate) next_batch: u64,
    /// Bytes of torn tail after the prefix.
    pub(crate) torn: u64,
    /// The last record is `stop`: the gateway ended by itself, so no sync can have failed unseen.
    pub(crate) clean: bool,
    pub(crate) signed: u64,
    pub(crate) epoch: u64,
    /// The key that `genesis` names.
    pub(crate) first_key: VerifierKey,
    /// The key that the next checkpoint must be signed with.
    pub(crate) key: VerifierKey,
    /// The key of the checkpoints after that one, if an `epoch` record has no checkpoint over it yet.
    pub(crate) next_key: Option<VerifierKey>,
    /// The record that names it.
    pub(crate) next_key_seq: u64,
    pub(crate) turns: Vec<Turn>,
    pub(crate) open: HashMap<RunId, OpenRun>,
    /// Runs that have a tombstone.
    pub(crate) erased: Vec<RunId>,
}

/// What an open run left unfinished.
#[derive(Default)]
pub(crate) struct OpenRun {
    /// Intents without an outcome.
    pub(crate) intents: BTreeSet<u64>,
    /// Intents whose outcome waits for the end of a transaction.
    pub(crate) pending: BTreeSet<u64>,
}

/// Reads the whole ledger. `None` if there is none, or if one was begun and not one record of it is durable.
pub(crate) fn scan(disk: &dyn Disk, paths: &Paths) -> Result<Option<Scan>, OpenError> {
    let numbers = segments::list_segments(disk, paths).map_err(|error| at(&paths.segments, error))?;
    if let Some(missing) = (0..).zip(&numbers).find(|(expect, found)| expect != *found) {
        return Err(OpenError::SegmentMissing(missing.0));
    }
    let published = published_checkpoint(disk, paths)?;
    let mut reading = Reading::new(published.clone());
    let last = numbers.len().saturating_sub(1) as u64;
    for number in &numbers {
        let path = paths.segment(*number);
        let segment = segments::read_segment(disk, &path).map_err(|error| at(&path, error))?;
        reading.segment(*number, segment, *number == last)?;
    }
    let records = reading.model.next();
    match published {
        Some(published) if published.size > records => {
            Err(OpenError::BehindCheckpoint { path: paths.checkpoint(), size: published.size, records })
        }
        _ if records == 0 => Ok(None),
        _ => reading.finish().map(Some),
    }
}

/// The key's file whose public half is `expected`, as a signer.
pub(crate) fn load_signer(disk: &dyn Disk, dir: &Path, expected: &VerifierKey) -> Result<Signer, OpenError> {
    for name in [CHECKPOINT_FILE, CHECKPOINT_NEXT_FILE] {
        let seed = match keys::read_secret(disk, &dir.join(name)) {
            Ok(seed) => seed,
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let signer = Signer::from_seed(expected.name(), Algorithm::Ed25519, &seed);
        if let Ok(signer) = signer
            && signer.verifier_key() == expected
        {
            return Ok(signer);
        }
    }
    Err(OpenError::CheckpointKeyGone { keys: dir.to_owned(), expected: expected.to_string() })
}

/// The copy that was published last. It is written whole, so one that does not parse is no evidence of anything.
fn published_checkpoint(disk: &dyn Disk, paths: &Paths) -> Result<Option<Checkpoint>, OpenError> {
    let path = paths.checkpoint();
    match read_small(disk, &path, seal::limits::NOTE_BYTES_MAX as u64) {
        Ok(bytes) => Ok(SignedNote::parse(&bytes).and_then(|note| note.checkpoint()).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(&path, error)),
    }
}

struct Reading {
    origin: Option<String>,
    model: Model,
    before: Frontier,
    segment: u64,
    size: u64,
    prefix: Vec<u8>,
    next_batch: u64,
    torn: u64,
    last: Option<Kind>,
    signed: u64,
    epoch: u64,
    first_key: Option<VerifierKey>,
    key: Option<VerifierKey>,
    next_key: Option<VerifierKey>,
    next_key_seq: u64,
    turns: Vec<Turn>,
    open: HashMap<RunId, OpenRun>,
    erased: Vec<RunId>,
    published: Option<Checkpoint>,
    behind: Behind,
    /// The first record behind a signed `stop` that no start writes there, if no checkpoint follows it.
    stray: Option<u64>,
}

/// What the newest checkpoint ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Other,
    /// `stop`: only a start goes on from there.
    Stop,
    /// `stop`, and a `start` stands behind it. It ends the runs that were open and begins an epoch, and all that is signed
    /// before anything else is written.
    Start,
}

impl Reading {
    fn new(published: Option<Checkpoint>) -> Reading {
        Reading {
            origin: None,
            model: Model::default(),
            before: Frontier::new(),
            segment: 0,
            size: 0,
            prefix: Vec::new(),
            next_batch: 0,
            torn: 0,
            last: None,
            signed: 0,
            epoch: 0,
            first_key: None,
            key: None,
            next_key: None,
            next_key_seq: 0,
            turns: Vec::new(),
            open: HashMap::new(),
            erased: Vec::new(),
            published,
            behind: Behind::Other,
            stray: None,
        }
    }

    fn finish(self) -> Result<Scan, OpenError> {
        let missing =
            || OpenError::Damaged { segment: 0, offset: 0, why: "there is no genesis record".to_owned() };
        let records = self.model.next();
        if let Some(seq) = self.stray {
            return Err(OpenError::AfterStop { seq, records: self.signed });
        }
        if records - self.signed > ADOPTED_RECORDS_MAX {
            return Err(OpenError::Foreign { records: records - self.signed });
        }
        Ok(Scan {
            origin: self.origin.ok_or_else(missing)?,
            model: self.model,
            segment: self.segment,
            size: self.size,
            prefix: self.prefix,
            before: self.before,
            next_batch: self.next_batch,
            torn: self.torn,
            clean: self.last == Some(Kind::Stop) && self.torn == 0,
            signed: self.signed,
            epoch: self.epoch,
            first_key: self.first_key.ok_or_else(missing)?,
            key: self.key.ok_or_else(missing)?,
            next_key: self.next_key,
            next_key_seq: self.next_key_seq,
            turns: self.turns,
            open: self.open,
            erased: self.erased,
        })
    }

    fn segment(&mut self, number: u64, segment: Segment, is_last: bool) -> Result<(), OpenError> {
        let Segment { mut bytes, size } = segment;
        let damaged =
            |offset: usize, why: String| OpenError::Damaged { segment: number, offset: offset as u64, why };
        let (end, next_batch, torn) = match scan_segment(&bytes, is_last) {
            ScanEnd::Whole { end, next_batch } => (end, next_batch, 0),
            ScanEnd::Torn { end, next_batch, .. } => (end, next_batch, torn_bytes(&bytes[end..])),
            ScanEnd::Hole { at, cause } => return Err(damaged(at, cause.to_string())),
        };
        let header = SegmentHeader::decode(&bytes).map_err(|error| damaged(0, error.to_string()))?;
        self.header(number, &header).map_err(|why| damaged(0, why))?;
        self.before = self.model.frontier.clone();
        (self.segment, self.size, self.next_batch, self.torn) = (number, size, next_batch, torn);
        bytes.truncate(end);
        let mut payloads = Vec::new();
        for frame in Frames::of_segment(&bytes) {
            let frame = frame.map_err(|error| damaged(error.offset, error.fault.to_string()))?;
            let checked = match frame.kind {
                FrameKind::Payload => {
                    payloads.push(frame.body);
                    Ok(())
                }
                FrameKind::Record => self.record(frame.body, &std::mem::take(&mut payloads)),
                FrameKind::Checkpoint => self.checkpoint(frame.body),
                FrameKind::Batch => Ok(()),
                FrameKind::Inclusion | FrameKind::Growth | FrameKind::Key => {
                    Err("a bundle's frame stands in a segment".to_owned())
                }
            };
            checked.map_err(|why| damaged(frame.offset, why))?;
        }
        self.prefix = bytes;
        Ok(())
    }

    fn header(&mut self, number: u64, header: &SegmentHeader) -> Result<(), String> {
        let fits = header.number == number
            && header.first_seq == self.model.next()
            && header.first_batch == self.next_batch
            && self.origin.as_ref().is_none_or(|origin| *origin == header.origin);
        if !fits {
            return Err("the segment's header does not continue the segment before it".to_owned());
        }
        self.origin = Some(header.origin.clone());
        Ok(())
    }

    fn record(&mut self, bytes: &[u8], payloads: &[&[u8]]) -> Result<(), String> {
        let header = Header::decode(bytes).map_err(|error| error.to_string())?;
        if header.seq != self.model.next() {
            return Err(format!("the record says seq {}, its place is {}", header.seq, self.model.next()));
        }
        let bound = header.pay.len() == payloads.len() as u64
            && header
                .pay
                .iter()
                .zip(payloads)
                .all(|(pay, body)| pay.length == body.len() as u64 && pay.digest == body_digest(body));
        if !bound {
            return Err("the record's payloads are not those before it".to_owned());
        }
        // A kind that this version does not know keeps its place, in its run too; nothing is concluded from it.
        let kind = Kind::parse(header.kind);
        let run = self.linked(&header, kind)?;
        if let Some(kind) = kind {
            self.remember(&header, kind)?;
        }
        self.model.apply(leaf_hash(bytes), run);
        self.last = kind;
        match (self.behind, kind) {
            (Behind::Other, _) => {}
            (Behind::Stop | Behind::Start, Some(Kind::Start)) => self.behind = Behind::Start,
            (Behind::Start, Some(Kind::Outcome | Kind::Close | Kind::Epoch)) => {}
            (Behind::Stop | Behind::Start, _) => {
                self.stray.get_or_insert(header.seq);
            }
        }
        if let Some(published) = &self.published
            && published.size == self.model.next()
            && published.root != self.model.frontier.root()
        {
            return Err("the tree up to here is not the one in the file `checkpoint`".to_owned());
        }
        Ok(())
    }

    fn linked(&self, header: &Header<'_>, kind: Option<Kind>) -> Result<Option<(RunId, Step)>, String> {
        let Some(link) = &header.link else {
            let lacks = kind.is_some_and(Kind::of_run);
            return if lacks { Err("the record lacks its run".to_owned()) } else { Ok(None) };
        };
        let run = RunId(link.run);
        let fits = match (kind, self.model.runs.get(&run)) {
            (Some(Kind::Open), None) => link.rseq == 0 && link.rprev == [0; 32],
            (Some(Kind::Open), Some(_)) | (_, None) => false,
            (_, Some(tail)) => link.rseq == tail.count() && link.rprev == tail.last,
        };
        if !fits {
            return Err(format!("the record does not continue run {run}"));
        }
        let step = match kind {
            Some(Kind::Open) => Step::Opens,
            Some(Kind::Close) => Step::Closes,
            _ => Step::Goes,
        };
        Ok(Some((run, step)))
    }

    /// What recovery must know of a record besides its place.
    fn remember(&mut self, header: &Header<'_>, kind: Kind) -> Result<(), String> {
        let run = header.link.map(|link| RunId(link.run));
        match (kind, run) {
            (Kind::Genesis, _) => {
                let body = body(header)?;
                if header.seq != 0 || body.get("origin").and_then(Value::as_text) != self.origin.as_deref() {
                    return Err("the genesis record is not this ledger's".to_owned());
                }
                self.key = Some(verifier_key(&body)?.ok_or("the genesis record has no key")?);
                self.first_key.clone_from(&self.key);
            }
            (Kind::Epoch, _) => {
                let body = body(header)?;
                self.epoch = body.get("epoch").and_then(Value::as_u64).ok_or("the epoch has no number")?;
                if let Some(key) = verifier_key(&body)? {
                    (self.next_key, self.next_key_seq) = (Some(key), header.seq);
                }
            }
            (Kind::Tombstone, _) => {
                let body = body(header)?;
                let subject = body.get("subject").and_then(Value::as_bytes_of::<16>);
                self.erased.push(RunId(subject.ok_or("the tombstone has no subject")?));
            }
            (Kind::Open, Some(run)) => {
                self.open.insert(run, OpenRun::default());
            }
            (Kind::Close, Some(run)) => {
                self.open.remove(&run);
            }
            (Kind::Intent, Some(run)) => {
                self.open.entry(run).or_default().intents.insert(header.seq);
            }
            (Kind::Outcome, Some(run)) => {
                self.open.entry(run).or_default().outcome(header.of, &body(header)?)
            }
            (Kind::Refusal, Some(run)) => {
                if let Some(of) = header.of {
                    self.open.entry(run).or_default().intents.remove(&of);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), String> {
        let note = SignedNote::parse(bytes).map_err(|error| error.to_string())?;
        let checkpoint = note.checkpoint().map_err(|error| error.to_string())?;
        let key = self.key.as_ref().ok_or("a checkpoint stands before the genesis record")?;
        let here = Some(&checkpoint.origin) == self.origin.as_ref() && checkpoint.size == self.model.next();
        if !here || checkpoint.root != self.model.frontier.root() {
            return Err("the checkpoint is not over the records before it".to_owned());
        }
        if note.verify(key) != Standing::Good {
            return Err("the checkpoint is not signed with the ledger's key".to_owned());
        }
        self.signed = checkpoint.size;
        self.behind = if self.last == Some(Kind::Stop) { Behind::Stop } else { Behind::Other };
        self.stray = None;
        if let Some(next) = self.next_key.take() {
            self.key = Some(next);
            let published = Published { size: checkpoint.size, note: bytes.to_vec() };
            self.turns.extend(Turn::new(self.next_key_seq, &published));
        }
        Ok(())
    }
}

impl OpenRun {
    fn outcome(&mut self, of: Option<u64>, body: &Value) {
        if let Some(of) = of
            && self.intents.remove(&of)
            && body.get("state").and_then(Value::as_text) == Some("pending")
        {
            self.pending.insert(of);
        }
        for settled in body.get("settles").and_then(Value::as_array).unwrap_or_default() {
            if let Some(seq) = settled.as_u64() {
                self.pending.remove(&seq);
            }
        }
    }
}

fn body(header: &Header<'_>) -> Result<Value, String> {
    header.body().map_err(|error| error.to_string())
}

fn verifier_key(body: &Value) -> Result<Option<VerifierKey>, String> {
    body.get("key")
        .map(|key| {
            let text = key.as_text().ok_or("a verifier key is not text")?;
            VerifierKey::parse(text).map_err(|error| error.to_string())
        })
        .transpose()
}

/// How much was kept out: up to the last byte that is not zero.
fn torn_bytes(tail: &[u8]) -> u64 {
    let zeros = tail.iter().rev().take_while(|byte| **byte == 0).count();
    // At least one: a tail that lost all its bytes is torn all the same.
    ((tail.len() - zeros) as u64).max(1)
}

fn at(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), error }
}
