//! A ledger, segment by segment.

use super::ahead::{Ahead, Ended};
use super::{Broken, Finding, Options, Report, Rule, Seen, Subject, Trust, Watch, broken};
use crate::cbor::Value;
use crate::frame::{
    Batch, Frame, FrameError, FrameFault, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, is_zero, later_batch,
};
use crate::limits::OPEN_RECORDS_MAX;
use crate::note::{Algorithm, SignedNote, Standing, VerifierKey};
use crate::record::{Header, Link};
use crate::tree::{Frontier, Hash, Lagging};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Verifies a ledger in one pass, in memory that grows with the number of runs only.
pub struct Verifier {
    trust: Trust,
    watch: Watch,
    origin: Option<String>,
    keys: Option<Keys>,
    tree: Lagging,
    runs: Runs,
    payloads: Pending,
    next_segment: u64,
    next_batch: u64,
    /// Set by an unused segment or a torn tail: nothing may follow.
    ended: bool,
    torn: Option<u64>,
    /// Where the frames of the last segment end.
    end: u64,
    counts: Counts,
    first_checkpoint: Option<Seen>,
    last_checkpoint: Option<Seen>,
}

#[derive(Default)]
struct Counts {
    payloads: u64,
    checkpoints: u64,
    bytes: u64,
    rotations: u64,
}

impl Verifier {
    pub fn new(options: Options) -> Verifier {
        Verifier {
            trust: Trust::new(options),
            watch: Watch::default(),
            origin: None,
            keys: None,
            tree: Lagging::default(),
            runs: Runs::default(),
            payloads: Pending::default(),
            next_segment: 0,
            next_batch: 0,
            ended: false,
            torn: None,
            end: 0,
            counts: Counts::default(),
            first_checkpoint: None,
            last_checkpoint: None,
        }
    }

    /// Verifies one segment. `number` is the one in the file's name; `is_last` says that no used segment follows,
    /// which decides what a frame that does not check is called: torn tail, or damage.
    ///
    /// A segment of zeros is unused, and only unused ones may follow it. After an error the verifier is spent.
    pub fn push_segment(&mut self, number: u64, segment: &[u8], is_last: bool) -> Result<(), Finding> {
        if is_zero(segment) {
            self.ended = true;
            return Ok(());
        }
        self.segment_header(number, segment).map_err(|b| self.finding(number, 0, b))?;
        let mut ahead = Ahead::of_segment(segment);
        loop {
            let ended = ahead.read();
            for (frame, hash) in ahead.window() {
                let seq = self.tree.size(); // of this record, if it is one
                self.frame(number, frame, hash)
                    .map_err(|broken| Finding { seq, ..self.finding(number, frame.offset, broken) })?;
            }
            match ended {
                None => {} // another window follows
                Some(Ended::Whole) => break,
                Some(Ended::Bad(error)) => {
                    self.bad_frame(segment, error, is_last)
                        .map_err(|broken| self.finding(number, error.offset, broken))?;
                    break;
                }
            }
        }
        self.end_of_segment(ahead.offset(), is_last)
            .map_err(|broken| self.finding(number, ahead.offset(), broken))?;
        self.next_segment += 1;
        Ok(())
    }

    /// The verdict. Call it when every segment has been pushed.
    pub fn finish(mut self) -> Result<Report, Finding> {
        let (last, end) = (self.next_segment.saturating_sub(1), self.end as usize);
        let size = self.tree.size();
        if let Err(broken) = self.last_rules() {
            return Err(self.finding(last, end, broken));
        }
        let (Some(origin), Some(keys)) = (self.origin.take(), self.keys.take()) else {
            return Err(self.finding(last, end, Broken(Rule::Empty, String::new())));
        };
        let covered = self.last_checkpoint.map_or(0, |seen| seen.size);
        Ok(Report {
            subject: Subject::Ledger,
            origin,
            key: keys.first,
            anchored: self.trust.options.anchor.is_some(),
            rotations: self.counts.rotations,
            segments: self.next_segment,
            batches: self.next_batch,
            records: size,
            payloads: self.counts.payloads,
            bytes: self.counts.bytes,
            runs: self.runs.0.len() as u64,
            open_runs: self.runs.0.values().flatten().count() as u64,
            checkpoints: self.counts.checkpoints,
            first_checkpoint: self.first_checkpoint,
            last_checkpoint: self.last_checkpoint,
            covered,
            open: size - covered,
            root: self.tree.settled().root(),
            witnessed: self.trust.witnessed,
            after_witnessed: self.trust.witnessed.map(|seen| size.saturating_sub(seen.size)),
            unknown_signatures: self.trust.unknown_signatures,
            known: self.trust.matched.len() as u64,
            known_size: self.trust.known_size,
            after_known: self.trust.known_size.map(|known| size.saturating_sub(known)),
            torn: self.torn,
            warnings: self.watch.warnings,
            more_warnings: self.watch.more,
        })
    }

    /// The runs that have no `close` yet.
    pub fn open_runs(&self) -> impl Iterator<Item = (&[u8; 16], RunState)> {
        self.runs.0.iter().filter_map(|(run, state)| state.as_ref().map(|state| (run, state.seen())))
    }

    /// The tree over all records of the segments so far.
    pub fn tree(&self) -> Frontier {
        self.tree.clone().settled().clone()
    }

    fn finding(&self, segment: u64, offset: usize, Broken(rule, detail): Broken) -> Finding {
        Finding { segment, offset: offset as u64, seq: self.tree.size(), rule, detail }
    }

    fn segment_header(&mut self, number: u64, segment: &[u8]) -> Result<(), Broken> {
        let header = match SegmentHeader::decode(segment) {
            Ok(header) => header,
            Err(error) => return broken(Rule::SegmentHeader, error.to_string()),
        };
        if self.ended {
            return broken(Rule::SegmentOrder, "it follows the end of the ledger");
        }
        let expect = (self.next_segment, self.next_segment, self.tree.size(), self.next_batch);
        if (number, header.number, header.first_seq, header.first_batch) != expect {
            return broken(
                Rule::SegmentOrder,
                format!(
                    "expected number {}, first seq {} and first batch {}; the file is number {number} and says {}, {} and {}",
                    self.next_segment,
                    self.tree.size(),
                    self.next_batch,
                    header.number,
                    header.first_seq,
                    header.first_batch
                ),
            );
        }
        match &self.origin {
            Some(origin) if *origin != header.origin => broken(Rule::SegmentOrigin, header.origin),
            Some(_) => Ok(()),
            None => {
                self.origin = Some(header.origin);
                Ok(())
            }
        }
    }

    fn bad_frame(&mut self, segment: &[u8], error: FrameError, is_last: bool) -> Result<(), Broken> {
        let FrameError { offset, fault } = error;
        // A right CRC over an unknown kind was written whole.
        let can_tear = is_last && fault != FrameFault::Kind;
        let torn = can_tear && later_batch(segment, offset, self.next_batch).is_none();
        if torn && self.trust.options.live {
            self.tear(offset);
            return Ok(());
        }
        let rule = match fault {
            _ if torn => Rule::TornTail,
            FrameFault::Length => Rule::FrameLength,
            FrameFault::Crc => Rule::FrameCrc,
            FrameFault::Kind => Rule::FrameKind,
            FrameFault::AfterEnd => Rule::TailNotZero,
        };
        broken(rule, fault.to_string())
    }

    fn end_of_segment(&mut self, end: usize, is_last: bool) -> Result<(), Broken> {
        self.end = end as u64;
        self.counts.bytes += self.end;
        if self.payloads.is_empty() {
            return Ok(());
        }
        if is_last && self.trust.options.live {
            self.tear(end);
            return Ok(());
        }
        broken(Rule::PayloadOrphan, "the segment ends")
    }

    fn tear(&mut self, at: usize) {
        self.torn = Some(at as u64);
        self.ended = true;
        self.payloads.clear();
    }

    fn frame(&mut self, segment: u64, frame: &Frame<'_>, hash: Hash) -> Result<(), Broken> {
        if frame.offset == SEGMENT_HEADER_BYTES && frame.kind != Kind::Batch {
            return broken(Rule::BatchMissing, "");
        }
        match frame.kind {
            Kind::Batch => self.batch(frame),
            Kind::Payload => {
                self.payloads.push(hash, frame.body.len());
                self.counts.payloads += 1;
                Ok(())
            }
            Kind::Record => self.record(frame.body, hash),
            Kind::Checkpoint => self.checkpoint(segment, frame),
            Kind::Inclusion | Kind::Growth | Kind::Key => {
                broken(Rule::FrameKind, "a bundle's frame in a segment")
            }
        }
    }

    fn batch(&mut self, frame: &Frame<'_>) -> Result<(), Broken> {
        self.payloads.must_be_empty("a batch begins")?;
        let Some(batch) = Batch::decode(frame.body) else { return broken(Rule::BatchFrame, "") };
        if batch.number != self.next_batch {
            return broken(
                Rule::BatchOrder,
                format!("batch {} where {} is due", batch.number, self.next_batch),
            );
        }
        if batch.offset != frame.offset as u64 {
            return broken(Rule::BatchOffset, format!("it says {}", batch.offset));
        }
        self.next_batch += 1;
        Ok(())
    }

    fn record(&mut self, bytes: &[u8], leaf: Hash) -> Result<(), Broken> {
        let record = Header::decode(bytes)?;
        let seq = self.tree.size();
        if record.seq != seq {
            return broken(Rule::RecordSeq, format!("it says {}", record.seq));
        }
        check_of(&record)?;
        self.payloads.check(&record)?;
        check_genesis_place(&record)?;
        self.runs.step(&record, leaf)?;
        match record.kind {
            "genesis" => self.genesis(&record)?,
            "epoch" => self.epoch(&record)?,
            _ => {}
        }
        self.watch.at(seq, record.at);
        self.tree.append(leaf);
        let tree = &mut self.tree;
        self.trust.at_size(seq + 1, &mut || tree.settled().root())
    }

    fn genesis(&mut self, record: &Header<'_>) -> Result<(), Broken> {
        let (origin, key) = read_genesis(record)?;
        if self.origin.as_ref() != Some(&origin) {
            return broken(Rule::SegmentOrigin, format!("genesis is of {origin}"));
        }
        self.trust.at_genesis(&origin, &key)?;
        self.keys = Some(Keys { first: key.clone(), current: key, next: None });
        Ok(())
    }

    fn epoch(&mut self, record: &Header<'_>) -> Result<(), Broken> {
        let Some(keys) = &mut self.keys else { return broken(Rule::Genesis, "") };
        let Some(key) = read_epoch_key(record, keys.first.name())? else { return Ok(()) };
        if keys.next.is_some() {
            return broken(Rule::EpochKey, "no checkpoint since the last change");
        }
        keys.next = Some(key);
        Ok(())
    }

    fn checkpoint(&mut self, segment: u64, frame: &Frame<'_>) -> Result<(), Broken> {
        self.payloads.must_be_empty("a checkpoint follows")?;
        let (note, checkpoint) = read_checkpoint(frame.body)?;
        let Some(keys) = &mut self.keys else { return broken(Rule::Genesis, "a checkpoint comes before it") };
        if checkpoint.origin != keys.first.name() {
            return broken(Rule::CheckpointOrigin, checkpoint.origin);
        }
        check_signature(&note, &[&keys.current])?;
        if checkpoint.size != self.tree.size() {
            return broken(Rule::CheckpointSize, format!("it says {}", checkpoint.size));
        }
        if checkpoint.root != self.tree.settled().root() {
            let from = self.last_checkpoint.map_or(0, |seen| seen.size);
            return broken(
                Rule::CheckpointRoot,
                format!("a record of {from} to {} was changed", checkpoint.size.saturating_sub(1)),
            );
        }
        self.trust.cosignatures(&note, checkpoint.size, own_lines(&note, &keys.current))?;
        if let Some(next) = keys.next.take() {
            keys.current = next;
            self.counts.rotations += 1;
        }
        let seen =
            Seen { size: checkpoint.size, root: checkpoint.root, segment, offset: frame.offset as u64 };
        self.first_checkpoint.get_or_insert(seen);
        self.last_checkpoint = Some(seen);
        self.counts.checkpoints += 1;
        Ok(())
    }

    fn last_rules(&mut self) -> Result<(), Broken> {
        let size = self.tree.size();
        if size == 0 {
            return broken(Rule::Empty, "");
        }
        let Some(last) = self.last_checkpoint else { return broken(Rule::NoCheckpoint, "") };
        if size - last.size > OPEN_RECORDS_MAX {
            return broken(Rule::OpenTail, format!("{} records", size - last.size));
        }
        self.trust.at_end(size, 0)
    }
}

/// The signing keys: FORMAT.md, section 4, "Signing keys ratchet".
struct Keys {
    first: VerifierKey,
    current: VerifierKey,
    /// Announced by an epoch, valid after the next checkpoint.
    next: Option<VerifierKey>,
}

/// An open run, as far as it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunState {
    /// Leaf hash of its last record: the next one's `rprev`.
    pub last: Hash,
    /// The tree over its records; its size is the next `rseq`.
    pub tree: Frontier,
}

/// The same, while it is being read.
struct OpenRun {
    last: Hash,
    tree: Lagging,
}

impl OpenRun {
    fn append(&mut self, leaf: Hash) {
        self.last = leaf;
        self.tree.append(leaf);
    }

    fn seen(&self) -> RunState {
        RunState { last: self.last, tree: self.tree.clone().settled().clone() }
    }
}

/// All runs; `None` is a closed one.
#[derive(Default)]
pub(super) struct Runs(BTreeMap<[u8; 16], Option<OpenRun>>);

impl Runs {
    /// Holds a record against its run, and enters it there.
    pub(super) fn step(&mut self, record: &Header<'_>, leaf: Hash) -> Result<(), Broken> {
        let belongs = match record.kind {
            "open" | "close" => record.link.is_some(),
            "genesis" | "epoch" | "tombstone" => record.link.is_none(),
            _ => true,
        };
        if !belongs {
            return broken(Rule::RunField, record.kind);
        }
        let Some(link) = &record.link else { return Ok(()) };
        let is_open = record.kind == "open";
        match self.0.entry(link.run) {
            Entry::Vacant(entry) => {
                if !is_open {
                    return broken(Rule::RunOpen, "it does not begin with open");
                }
                check_link(link, 0, &[0; 32])?;
                let mut run = OpenRun { last: leaf, tree: Lagging::default() };
                run.append(leaf);
                entry.insert(Some(run));
            }
            Entry::Occupied(mut entry) => {
                let Some(run) = entry.get_mut() else { return broken(Rule::RunClosed, "") };
                if is_open {
                    return broken(Rule::RunOpen, "it is opened twice");
                }
                check_link(link, run.tree.size(), &run.last)?;
                if record.kind == "close" {
                    check_close(record, run.tree.settled())?;
                    entry.insert(None);
                } else {
                    run.append(leaf);
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_closed(&self, run: &[u8; 16]) -> bool {
        matches!(self.0.get(run), Some(None))
    }
}

fn check_link(link: &Link, rseq: u64, rprev: &Hash) -> Result<(), Broken> {
    if link.rseq != rseq {
        return broken(Rule::RunSequence, format!("it says {} where {rseq} is due", link.rseq));
    }
    if link.rprev != *rprev {
        return broken(Rule::RunChain, "this record or the one before it in the run was changed");
    }
    Ok(())
}

fn check_close(record: &Header<'_>, run: &Frontier) -> Result<(), Broken> {
    let body = read_body(record)?;
    if body.get("count").and_then(Value::as_u64) != Some(run.size()) {
        return broken(Rule::CloseCount, format!("the run has {} records before it", run.size()));
    }
    if body.get("root").and_then(Value::as_bytes_of) != Some(run.root()) {
        return broken(Rule::CloseRoot, "");
    }
    Ok(())
}

pub(super) fn check_of(record: &Header<'_>) -> Result<(), Broken> {
    match record.of {
        Some(of) if of >= record.seq => broken(Rule::RecordOf, format!("it answers {of}")),
        _ => Ok(()),
    }
}

pub(super) fn check_genesis_place(record: &Header<'_>) -> Result<(), Broken> {
    if (record.kind == "genesis") == (record.seq == 0) {
        return Ok(());
    }
    broken(Rule::Genesis, if record.seq == 0 { "record 0 is of another kind" } else { "a second one" })
}

pub(super) fn read_body(record: &Header<'_>) -> Result<Value, Broken> {
    record.body().map_err(|error| Broken(Rule::RecordCbor, error.to_string()))
}

/// The origin and the first key. The key's name is the origin.
pub(super) fn read_genesis(record: &Header<'_>) -> Result<(String, VerifierKey), Broken> {
    let body = read_body(record)?;
    let origin = body.get("origin").and_then(Value::as_text);
    let key = body.get("key").and_then(Value::as_text).and_then(|text| VerifierKey::parse(text).ok());
    match (origin, key) {
        (Some(origin), Some(key)) if is_ledger_key(&key, origin) => Ok((origin.to_owned(), key)),
        _ => broken(Rule::Genesis, "its origin or key is not one"),
    }
}

/// The key that an epoch announces, if any.
pub(super) fn read_epoch_key(record: &Header<'_>, origin: &str) -> Result<Option<VerifierKey>, Broken> {
    let body = read_body(record)?;
    let Some(key) = body.get("key") else { return Ok(None) };
    match key.as_text().and_then(|text| VerifierKey::parse(text).ok()) {
        Some(key) if is_ledger_key(&key, origin) => Ok(Some(key)),
        _ => broken(Rule::EpochKey, "not a key of this ledger"),
    }
}

fn is_ledger_key(key: &VerifierKey, origin: &str) -> bool {
    key.algorithm() == Algorithm::Ed25519 && key.name() == origin
}

pub(super) fn read_checkpoint(body: &[u8]) -> Result<(SignedNote, crate::note::Checkpoint), Broken> {
    let read = SignedNote::parse(body).and_then(|note| Ok((note.checkpoint()?, note)));
    match read {
        Ok((checkpoint, note)) => Ok((note, checkpoint)),
        Err(error) => broken(Rule::CheckpointNote, error.to_string()),
    }
}

/// One of `keys` must have signed, and no line of one of them may fail.
pub(super) fn check_signature(note: &SignedNote, keys: &[&VerifierKey]) -> Result<(), Broken> {
    let standings: Vec<Standing> = keys.iter().map(|key| note.verify(key)).collect();
    if standings.contains(&Standing::Bad) {
        return broken(Rule::CheckpointSignature, "the signature does not hold");
    }
    if !standings.contains(&Standing::Good) {
        return broken(Rule::CheckpointSignature, "it is not signed with that key");
    }
    Ok(())
}

pub(super) fn own_lines(note: &SignedNote, key: &VerifierKey) -> usize {
    note.signatures().iter().filter(|line| line.is_by(key)).count()
}

/// The payloads since the last record: digest and length of each.
#[derive(Default)]
pub(super) struct Pending(Vec<(Hash, u64)>);

impl Pending {
    pub(super) fn push(&mut self, digest: Hash, length: usize) {
        self.0.push((digest, length as u64));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn must_be_empty(&self, then: &str) -> Result<(), Broken> {
        if self.is_empty() { Ok(()) } else { broken(Rule::PayloadOrphan, then) }
    }

    /// Holds them against what the record names, and forgets them.
    pub(super) fn check(&mut self, record: &Header<'_>) -> Result<(), Broken> {
        if record.pay.len() != self.0.len() as u64 {
            let detail = format!("it names {}, {} are there", record.pay.len(), self.0.len());
            return broken(Rule::PayloadDigest, detail);
        }
        let named = record.pay.iter().map(|pay| (pay.digest, pay.length));
        if !named.eq(self.0.iter().copied()) {
            return broken(Rule::PayloadDigest, "another digest, length or order");
        }
        self.0.clear();
        Ok(())
    }
}
