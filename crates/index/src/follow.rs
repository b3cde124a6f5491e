//! Keeping an index up to date: with a ledger's directory, record by record; or from the frames of a bundle, at once.

use std::collections::BTreeMap;
use std::fmt;

use ledger::read::{Cursor, PayloadAt, Position, ReadError, Store};
use seal::frame::{BUNDLE_HEADER_BYTES, BUNDLE_MAGIC, Frames, Kind};
use vocab::Seq;

use crate::decode::{Decoder, Unreadable};
use crate::limits::BUNDLE_BYTES_MAX;
use crate::rows::Full;
use crate::table::Index;

/// An index over a ledger's directory, and where to go on reading.
pub struct Follower {
    index: Index,
    decoder: Decoder,
    cursor: Cursor,
    /// Where the payloads of each record stand.
    payloads: BTreeMap<Seq, Vec<PayloadAt>>,
}

impl Follower {
    /// Builds an index from the first record on. Nothing is read yet; see [`Follower::refresh`].
    pub fn new(store: &Store) -> Follower {
        Follower {
            index: Index::new(),
            decoder: Decoder::new(),
            cursor: store.cursor(),
            payloads: BTreeMap::new(),
        }
    }

    /// Takes in what was written since; returns how many records. Call it before each question.
    ///
    /// After an error the index holds what was read before it, and goes on from there when asked again.
    pub fn refresh(&mut self) -> Result<u64, FollowError> {
        let mut taken = 0;
        while let Some(entry) = self.cursor.next_entry()? {
            let record = self.decoder.decode(&entry.bytes)?;
            self.index.apply(record)?;
            if !entry.payloads.is_empty() {
                self.payloads.insert(entry.seq, entry.payloads);
            }
            taken += 1;
        }
        Ok(taken)
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Where the payloads of a record stand.
    pub fn payloads(&self, seq: Seq) -> &[PayloadAt] {
        self.payloads.get(&seq).map_or(&[], Vec::as_slice)
    }

    /// Where the ledger ends in a frame that does not check, if it does: a write under way, a torn tail, or damage.
    pub fn torn(&self) -> Option<Position> {
        self.cursor.torn()
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follower({} records)", self.index.seen().records)
    }
}

/// An index over a bundle, with the bundle's payloads.
#[derive(Debug)]
pub struct Bundle {
    pub index: Index,
    /// The ciphertexts that stand beside each record, in order.
    pub payloads: BTreeMap<Seq, Vec<Vec<u8>>>,
    /// The signed checkpoint that everything is proved against.
    pub checkpoint: Option<Vec<u8>>,
    /// The run's payload key, if the bundle holds it.
    pub key: Option<[u8; 32]>,
}

impl Bundle {
    /// Reads a bundle (FORMAT.md section 6). Whether it *verifies* is `seal::verify`'s question.
    pub fn read(bytes: &[u8]) -> Result<Bundle, FollowError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(FollowError::NotABundle(format!(
                "it is {} bytes long; at most {BUNDLE_BYTES_MAX} are read",
                bytes.len()
            )));
        }
        if !bytes.starts_with(&BUNDLE_MAGIC) {
            return Err(FollowError::NotABundle("it does not begin with TACHOBUN".to_owned()));
        }
        let mut bundle =
            Bundle { index: Index::new(), payloads: BTreeMap::new(), checkpoint: None, key: None };
        // Those after the first are links between the ledger's keys.
        let checkpoints = bundle.frames(Frames::new(bytes, BUNDLE_HEADER_BYTES))?;
        bundle.checkpoint = checkpoints.first().map(|note| note.to_vec());
        Ok(bundle)
    }

    /// Reads the segments of a ledger that is whole in memory.
    pub fn of_segments(segments: &[Vec<u8>]) -> Result<Bundle, FollowError> {
        let mut bundle =
            Bundle { index: Index::new(), payloads: BTreeMap::new(), checkpoint: None, key: None };
        for segment in segments {
            let checkpoints = bundle.frames(Frames::of_segment(segment))?;
            bundle.checkpoint = checkpoints.last().map(|note| note.to_vec()).or(bundle.checkpoint);
        }
        Ok(bundle)
    }

    /// A bundle has the ledger's keys first, and they may be newer than the run's records: tables are made in order.
    /// Returns the checkpoints.
    fn frames<'a>(&mut self, frames: Frames<'a>) -> Result<Vec<&'a [u8]>, FollowError> {
        let mut decoder = Decoder::new();
        let mut records = Vec::new();
        let (mut pending, mut checkpoints) = (Vec::new(), Vec::new());
        for frame in frames {
            let frame =
                frame.map_err(|e| FollowError::NotABundle(format!("at byte {}: {}", e.offset, e.fault)))?;
            match frame.kind {
                Kind::Payload => pending.push(frame.body.to_vec()),
                Kind::Record => records.push((decoder.decode(frame.body)?, std::mem::take(&mut pending))),
                Kind::Checkpoint => checkpoints.push(frame.body),
                Kind::Key => self.key = frame.body.try_into().ok(),
                Kind::Batch | Kind::Inclusion | Kind::Growth => {}
            }
        }
        records.sort_by_key(|(record, _)| record.head.seq);
        for (record, payloads) in records {
            let seq = record.head.seq;
            self.index.apply(record)?;
            if !payloads.is_empty() {
                self.payloads.insert(seq, payloads);
            }
        }
        Ok(checkpoints)
    }
}

/// The index could not be brought up to date.
#[derive(Debug)]
pub enum FollowError {
    Read(ReadError),
    Unreadable(Unreadable),
    Full(Full),
    NotABundle(String),
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowError::Read(error) => error.fmt(f),
            FollowError::Unreadable(error) => error.fmt(f),
            FollowError::Full(error) => error.fmt(f),
            FollowError::NotABundle(why) => write!(f, "this is not a bundle that can be read: {why}"),
        }
    }
}

impl std::error::Error for FollowError {}

impl From<ReadError> for FollowError {
    fn from(error: ReadError) -> FollowError {
        FollowError::Read(error)
    }
}

impl From<Unreadable> for FollowError {
    fn from(error: Unreadable) -> FollowError {
        FollowError::Unreadable(error)
    }
}

impl From<Full> for FollowError {
    fn from(error: Full) -> FollowError {
        FollowError::Full(error)
    }
}
