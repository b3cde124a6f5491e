//! Reading a ledger: a cursor over its segments, offline or while a gateway writes.
//!
//! A cursor trusts CRCs and the CBOR of each record; whether the ledger was *tampered* with is `seal::verify`'s
//! question. It holds at most one window of a segment in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use mask::Print;
use seal::Hash;
use seal::cbor::{self, Value};
use seal::files::is_cosigned;
use seal::frame::{
    BATCH_BODY_BYTES, FRAME_HEADER_BYTES, Frames, Kind as FrameKind, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use seal::limits::{BODY_BYTES_MAX, NOTE_BYTES_MAX};
use seal::note::SignedNote;
use seal::record::Header;
use vocab::{Class, RunId, Seq, SessionId, WallTime};

use crate::disk::{Disk, DiskFile, RealDisk, read_small};
use crate::draft::Kind;
use crate::keys::{AuditorSecret, EpochKey, KeyError, RunKey};
use crate::receipt::Watermark;
use crate::segments::{self, Paths};

const WINDOW_BYTES: usize = 256 << 10;

/// Where a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// A record as it stands in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub seq: Seq,
    pub position: Position,
    /// `None`: a kind that this version does not know, written by a newer one. It is handed over as what it is.
    pub kind: Option<Kind>,
    /// The word in the record's `kind`.
    pub word: Box<str>,
    pub at: WallTime,
    pub run: Option<RunId>,
    /// The record's place in its run.
    pub rseq: Option<u64>,
    pub session: Option<SessionId>,
    pub of: Option<Seq>,
    pub body: Value,
    pub payloads: Vec<PayloadAt>,
    pub leaf: Hash,
    /// The canonical bytes: what `leaf` is the hash of.
    pub bytes: Vec<u8>,
}

/// A payload that stands before its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadAt {
    pub position: Position,
    /// H(body) and the length of the body, as the record says them.
    pub digest: Hash,
    pub length: u64,
    /// The commitment to the run's key.
    pub key: Hash,
}

/// What a cursor comes across.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Record(Box<Entry>),
    Checkpoint(Position, SignedNote),
}

/// The ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("the ledger is damaged at {position}: {why}. Run `tacho verify`")]
    Damaged { position: Position, why: String },
    #[error("{0} holds no ledger")]
    Empty(PathBuf),
    #[error("the payload at {0} is not the one that its record names")]
    NotThePayload(Position),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A ledger's directory, for reading.
#[derive(Clone)]
pub struct Store {
    disk: Arc<dyn Disk>,
    paths: Paths,
    origin: String,
    /// In the gateway's own process: nothing that is not durable is read.
    durable: Option<Arc<Watermark>>,
}

impl Store {
    /// A ledger in a directory; another process may be writing it.
    pub fn open(dir: &Path) -> Result<Store, ReadError> {
        Store::on(Arc::new(RealDisk), dir)
    }

    /// A ledger on another disk.
    pub fn on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Store, ReadError> {
        let paths = Paths::new(dir);
        let path = paths.segment(0);
        let file = match disk.open_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Empty(dir.to_owned()));
            }
            opened => opened.map_err(|error| ReadError::Io { path: path.clone(), error })?,
        };
        let header = read_header(&*file, 0, &path)?;
        Ok(Store { disk, paths, origin: header.origin, durable: None })
    }

    pub(crate) fn live(disk: Arc<dyn Disk>, paths: Paths, origin: String, durable: Arc<Watermark>) -> Store {
        Store { disk, paths, origin, durable: Some(durable) }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The newest checkpoint that each witness cosigned, as far as it was kept. Nothing is verified.
    pub fn cosigned(&self) -> Vec<SignedNote> {
        let names = self.disk.list(&self.paths.witnessed()).unwrap_or_default();
        let read = |name: &String| {
            let path = self.paths.witnessed().join(name);
            SignedNote::parse(&read_small(&*self.disk, &path, NOTE_BYTES_MAX as u64).ok()?).ok()
        };
        names.iter().filter(|name| is_cosigned(name)).filter_map(read).collect()
    }

    /// Reads from the first record on.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.clone(), Position { segment: 0, offset: SEGMENT_HEADER_BYTES as u64 })
    }

    /// Reads from a position on that a cursor gave ([`Cursor::position`]).
    pub fn cursor_at(&self, position: Position) -> Cursor {
        Cursor::new(self.clone(), position)
    }

    /// One record, by its position.
    pub fn entry(&self, position: Position) -> Result<Entry, ReadError> {
        let mut cursor = self.cursor_at(position);
        match cursor.read_one()? {
            Some(entry) if entry.position == position => Ok(entry),
            _ => Err(ReadError::Damaged { position, why: "no record begins here".to_owned() }),
        }
    }

    /// The ciphertext of a payload, held against its record's digest. Needs no key.
    pub fn ciphertext(&self, at: &PayloadAt) -> Result<Vec<u8>, ReadError> {
        let path = self.paths.segment(at.position.segment);
        let fail = |error| ReadError::Io { path: path.clone(), error };
        let length = usize::try_from(at.length).ok().filter(|length| *length <= BODY_BYTES_MAX);
        let length = length.ok_or(ReadError::NotThePayload(at.position))?;
        let file = self.disk.open_read(&path).map_err(fail)?;
        let mut body = vec![0; length];
        let got = file.read_at(&mut body, at.position.offset + FRAME_HEADER_BYTES as u64).map_err(fail)?;
        let whole = got == length && seal::payload::body_digest(&body) == at.digest;
        if whole { Ok(body) } else { Err(ReadError::NotThePayload(at.position)) }
    }

    /// A payload in clear: a map with `t`, `open` and the rest (docs/RECORDS.md, "Payloads").
    pub fn open_payload(&self, at: &PayloadAt, key: &RunKey) -> Result<Value, ReadError> {
        if key.commitment() != at.key {
            return Err(KeyError::DoesNotOpen.into());
        }
        let plaintext = key.open(&self.origin, &self.ciphertext(at)?)?;
        cbor::decode(&plaintext)
            .map_err(|error| ReadError::Damaged { position: at.position, why: error.to_string() })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {})", self.paths.root.display(), self.origin)
    }
}

/// Goes over a ledger's records in order. At the end [`Cursor::next_item`] gives `None`, and gives more when asked
/// again after more was written.
pub struct Cursor {
    store: Store,
    at: Position,
    file: Option<(u64, Box<dyn DiskFile>)>,
    /// Bytes of the segment from `window_at` on.
    window: Vec<u8>,
    window_at: u64,
    payloads: Vec<Position>,
    torn: Option<Position>,
}

impl Cursor {
    fn new(store: Store, at: Position) -> Cursor {
        Cursor { store, at, file: None, window: Vec::new(), window_at: 0, payloads: Vec::new(), torn: None }
    }

    /// Where to go on later: [`Store::cursor_at`].
    pub fn position(&self) -> Position {
        *self.payloads.first().unwrap_or(&self.at)
    }

    /// Where the last segment ended in a frame that does not check, if it did: a batch that is being written, a torn
    /// tail, or damage. Who reports over the ledger must say so.
    pub fn torn(&self) -> Option<Position> {
        self.torn
    }

    /// The next record, passing over checkpoints.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            match self.next_item()? {
                Some(Item::Record(entry)) => return Ok(Some(*entry)),
                Some(Item::Checkpoint(..)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next record or checkpoint.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        let found = self.next_with(|cursor, position, bytes| {
            let entry = cursor.entry(position, bytes)?;
            Ok((entry.seq, Box::new(entry)))
        })?;
        Ok(found.map(|found| match found {
            Found::Record(entry) => Item::Record(entry),
            Found::Checkpoint(position, note) => Item::Checkpoint(position, note),
        }))
    }

    /// The next record as it is stored, where nobody asks what it says. `seq`: its number, which the caller has counted.
    pub(crate) fn next_stored(&mut self, seq: Seq) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            let found = self.next_with(|_, _, bytes| Ok((seq, bytes)))?;
            match found {
                Some(Found::Record(bytes)) => return Ok(Some(bytes)),
                Some(Found::Checkpoint(..)) => {}
                None => return Ok(None),
            }
        }
    }

    fn next_with<T>(
        &mut self,
        read: impl Fn(&Cursor, Position, Vec<u8>) -> Result<(Seq, T), ReadError>,
    ) -> Result<Option<Found<T>>, ReadError> {
        // Asked before anything is read: what is durable now is never changed, what is not may yet be lost and its
        // number given again.
        let durable = self.store.durable.as_ref().map_or(u64::MAX, |watermark| watermark.next());
        loop {
            let Some((position, kind, body)) = self.frame()? else { return Ok(None) };
            let next =
                Position { offset: position.offset + (FRAME_HEADER_BYTES + body.len()) as u64, ..position };
            match kind {
                FrameKind::Batch if body.len() == BATCH_BODY_BYTES => self.at = next,
                FrameKind::Payload => {
                    self.payloads.push(position);
                    self.at = next;
                }
                FrameKind::Record => {
                    let (seq, record) = read(self, position, body)?;
                    if seq.0 >= durable {
                        // The next attempt reads anew, from the file that has the segment's name then.
                        self.window.clear();
                        self.file = None;
                        return Ok(None);
                    }
                    self.payloads.clear();
                    self.at = next;
                    return Ok(Some(Found::Record(record)));
                }
                FrameKind::Checkpoint => {
                    let note = SignedNote::parse(&body).map_err(|error| damaged(position, error))?;
                    self.at = next;
                    return Ok(Some(Found::Checkpoint(position, note)));
                }
                FrameKind::Batch | FrameKind::Inclusion | FrameKind::Growth | FrameKind::Key => {
                    return Err(damaged(position, "a frame that has no place in a segment"));
                }
            }
        }
    }

    /// The record at the cursor's own position, without the payloads before it.
    fn read_one(&mut self) -> Result<Option<Entry>, ReadError> {
        match self.frame()? {
            Some((position, FrameKind::Record, body)) => Ok(Some(self.entry(position, body)?)),
            _ => Ok(None),
        }
    }

    fn entry(&self, position: Position, bytes: Vec<u8>) -> Result<Entry, ReadError> {
        let header = Header::decode(&bytes).map_err(|error| damaged(position, error))?;
        let payloads = header.pay.iter().zip(&self.payloads).map(|(pay, position)| PayloadAt {
            position: *position,
            digest: pay.digest,
            length: pay.length,
            key: pay.key,
        });
        Ok(Entry {
            seq: Seq(header.seq),
            position,
            kind: Kind::parse(header.kind),
            word: header.kind.into(),
            at: WallTime(header.at),
            run: header.link.map(|link| RunId(link.run)),
            rseq: header.link.map(|link| link.rseq),
            session: header.sess.map(SessionId),
            of: header.of.map(Seq),
            body: header.body().map_err(|error| damaged(position, error))?,
            payloads: payloads.collect(),
            leaf: seal::tree::leaf_hash(&bytes),
            bytes,
        })
    }

    /// The frame at the cursor, which stays where it is but for a step into the next segment.
    fn frame(&mut self) -> Result<Option<(Position, FrameKind, Vec<u8>)>, ReadError> {
        loop {
            if !self.open_segment()? {
                return Ok(None);
            }
            self.torn = None;
            let head = self.bytes(FRAME_HEADER_BYTES)?;
            let length = head.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length)) as usize;
            if length == 0 || head.len() < FRAME_HEADER_BYTES {
                if self.next_segment()? { continue } else { return Ok(None) }
            }
            let whole = FRAME_HEADER_BYTES + length.min(BODY_BYTES_MAX + 1);
            let frame = Frames::new(self.bytes(whole)?, 0).next();
            match frame.map(|frame| frame.map(|frame| (frame.kind, frame.body.to_vec()))) {
                Some(Ok((kind, body))) => return Ok(Some((self.at, kind, body))),
                fault => {
                    // It may be half written: forget what was read, so that the next attempt reads anew.
                    self.window.clear();
                    if self.has_next_segment()? {
                        let why = fault.and_then(Result::err).map_or("", |error| fault_text(error.fault));
                        return Err(damaged(self.at, why));
                    }
                    self.torn = Some(self.at);
                    return Ok(None);
                }
            }
        }
    }

    fn open_segment(&mut self) -> Result<bool, ReadError> {
        if self.file.as_ref().is_some_and(|(number, _)| *number == self.at.segment) {
            return Ok(true);
        }
        let path = self.store.paths.segment(self.at.segment);
        let file = match self.store.disk.open_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(|error| ReadError::Io { path: path.clone(), error })?,
        };
        let header = read_header(&*file, self.at.segment, &path)?;
        if header.origin != self.store.origin || header.number != self.at.segment {
            let position = Position { segment: self.at.segment, offset: 0 };
            return Err(damaged(position, "the segment belongs to another ledger or place"));
        }
        self.window.clear();
        self.file = Some((self.at.segment, file));
        Ok(true)
    }

    fn has_next_segment(&self) -> Result<bool, ReadError> {
        let path = self.store.paths.segment(self.at.segment + 1);
        match self.store.disk.open_read(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ReadError::Io { path, error }),
        }
    }

    /// Steps into the next segment, if there is one. The end of this one is read again first: between the two looks
    /// the gateway may have filled it.
    fn next_segment(&mut self) -> Result<bool, ReadError> {
        let there = self.has_next_segment()?;
        self.window.clear();
        if !there {
            // A gateway that repairs its segment gives it a new file under the same name.
            self.file = None;
            return Ok(false);
        }
        let head = self.bytes(4)?;
        if head.iter().all(|byte| *byte == 0) {
            self.at = Position { segment: self.at.segment + 1, offset: SEGMENT_HEADER_BYTES as u64 };
            self.payloads.clear();
        }
        Ok(true)
    }

    /// Up to `want` bytes at the cursor; fewer only at the end of the file.
    fn bytes(&mut self, want: usize) -> Result<&[u8], ReadError> {
        let start = self.at.offset.checked_sub(self.window_at).and_then(|start| usize::try_from(start).ok());
        let held = start.and_then(|start| Some(start..start.checked_add(want)?));
        if let Some(held) = held.filter(|held| held.end <= self.window.len()) {
            return Ok(&self.window[held]);
        }
        let Some((_, file)) = &self.file else { return Ok(&[]) };
        self.window.resize(want.max(WINDOW_BYTES), 0);
        let got = file
            .read_at(&mut self.window, self.at.offset)
            .map_err(|error| ReadError::Io { path: self.store.paths.segment(self.at.segment), error })?;
        self.window.truncate(got);
        self.window_at = self.at.offset;
        Ok(&self.window[..want.min(got)])
    }
}

/// What stands at a cursor.
enum Found<T> {
    Record(T),
    Checkpoint(Position, SignedNote),
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", self.at)
    }
}

/// The fingerprint keys of a ledger's epochs, as far as an auditor can open them.
#[derive(Debug, Default)]
pub struct Epochs {
    /// By the `seq` of the epoch's record; `None` where this auditor cannot open it.
    keys: Vec<(Seq, Option<EpochKey>)>,
}

impl Epochs {
    pub fn new() -> Epochs {
        Epochs::default()
    }

    /// Takes in an `epoch` record; others are passed over.
    pub fn take(&mut self, entry: &Entry, origin: &str, auditor: &AuditorSecret) {
        if entry.kind != Some(Kind::Epoch) {
            return;
        }
        let epoch = entry.body.get("epoch").and_then(Value::as_u64);
        let sealed = entry.body.get("sealed").and_then(Value::as_array).unwrap_or_default();
        let open = |sealed: &Value| auditor.open_epoch(origin, epoch?, sealed.as_bytes()?).ok();
        self.keys.push((entry.seq, sealed.iter().find_map(open)));
    }

    /// The keys that prints and filters in the record `seq` may be under: they are made before their record is
    /// appended, so it is the epoch in force there or the one before. `None` stands for a key that this auditor cannot
    /// open.
    pub fn keys(&self, seq: Seq) -> impl Iterator<Item = Option<&EpochKey>> {
        let until = self.keys.partition_point(|(from, _)| *from <= seq);
        self.keys[until.saturating_sub(2)..until].iter().map(|(_, key)| key.as_ref())
    }

    /// The prints that a value may have in the record `seq`; `None` if a key that is needed cannot be opened.
    pub fn prints(&self, seq: Seq, class: &Class, value: &[u8]) -> Option<Vec<Print>> {
        self.keys(seq).map(|key| Some(key?.print(class, value))).collect()
    }
}

fn read_header(file: &dyn DiskFile, segment: u64, path: &Path) -> Result<SegmentHeader, ReadError> {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let got = file.read_at(&mut header, 0).map_err(|error| ReadError::Io { path: path.to_owned(), error })?;
    SegmentHeader::decode(&header[..got]).map_err(|error| damaged(Position { segment, offset: 0 }, error))
}

fn damaged(position: Position, why: impl fmt::Display) -> ReadError {
    ReadError::Damaged { position, why: why.to_string() }
}

fn fault_text(fault: seal::frame::FrameFault) -> &'static str {
    match fault {
        seal::frame::FrameFault::Length => "a frame's length is wrong",
        seal::frame::FrameFault::Crc => "a frame's CRC is wrong",
        seal::frame::FrameFault::Kind => "a frame's kind is unknown",
        seal::frame::FrameFault::AfterEnd => "something other than zeros follows the last frame",
    }
}

/// The numbers of the segments in a ledger's directory.
pub fn segment_numbers(store: &Store) -> Result<Vec<u64>, ReadError> {
    segments::list_segments(&*store.disk, &store.paths)
        .map_err(|error| ReadError::Io { path: store.paths.segments.clone(), error })
}
