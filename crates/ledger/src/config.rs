//! What a ledger is opened with, and what can go wrong.

use std::io;
use std::path::PathBuf;

use vocab::{Durability, RunId};

use crate::clock::NoRandom;
use crate::draft::{Digest, Name};
use crate::keys::{AuditorKey, KeyError};
use crate::limits;

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger's directory; made if it does not exist, for the owner alone.
    pub dir: PathBuf,
    /// The keys' directory. Never below the data directory: a copy of the data must not carry the keys.
    pub keys: PathBuf,
    /// The ledger's name. Used when the ledger is made, and must be the same afterwards; `None` takes what is there,
    /// or makes `tachograph/` and 16 hexadecimal digits.
    pub origin: Option<String>,
    pub segment_bytes: u64,
    pub durability: Durability,
    /// Who can open fingerprints and payloads.
    pub auditors: Vec<AuditorKey>,
    /// Of the program; stands in `genesis` and `start`.
    pub version: String,
    /// Digest of the canonical configuration; stands in `start`.
    pub config: Digest,
    /// Digest of the policy; stands in `start`.
    pub policy: Digest,
    pub run_records_max: u64,
    pub run_bytes_max: u64,
}

impl Config {
    /// The defaults of `limits`, `Durability::Sync`, no auditors.
    pub fn new(dir: impl Into<PathBuf>, keys: impl Into<PathBuf>, version: &str) -> Config {
        Config {
            dir: dir.into(),
            keys: keys.into(),
            origin: None,
            segment_bytes: limits::SEGMENT_BYTES_DEFAULT,
            durability: Durability::Sync,
            auditors: Vec::new(),
            version: version.to_owned(),
            config: Digest([0; 32]),
            policy: Digest([0; 32]),
            run_records_max: limits::RUN_RECORDS_DEFAULT,
            run_bytes_max: limits::RUN_BYTES_DEFAULT,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let wrong = |what: String| Err(OpenError::Config(what));
        let (least, most) = (limits::SEGMENT_BYTES_MIN, limits::SEGMENT_BYTES_MAX);
        if !(least..=most).contains(&self.segment_bytes) {
            return wrong(format!(
                "segment size {} is not between {least} and {most} bytes",
                self.segment_bytes
            ));
        }
        if self.auditors.len() > limits::AUDITORS_MAX {
            return wrong(format!("{} auditors, at most {}", self.auditors.len(), limits::AUDITORS_MAX));
        }
        if self.keys.starts_with(&self.dir) {
            return wrong(format!(
                "the keys ({}) stand below the ledger ({}); put them elsewhere",
                self.keys.display(),
                self.dir.display()
            ));
        }
        if Name::configured(&self.version).is_none() {
            return wrong("the version has control characters or is too long".to_owned());
        }
        match &self.origin {
            Some(origin) if !is_origin(origin) => wrong(format!(
                "{origin:?} is no origin: no spaces, no '+', at most {}",
                limits::ORIGIN_BYTES_MAX
            )),
            _ => Ok(()),
        }
    }
}

/// A name that looks like no other.
fn is_origin(origin: &str) -> bool {
    origin.len() <= limits::ORIGIN_BYTES_MAX
        && seal::note::is_name(origin)
        && !origin.chars().any(seal::text::deceives)
}

/// The ledger could not be opened. Nothing was admitted, and nothing that was recorded is changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("ledger configuration: {0}")]
    Config(String),
    #[error("another gateway has the ledger in {0}; stop it, or give this one its own directory")]
    Locked(PathBuf),
    #[error("cannot read or write {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error(
        "the ledger is damaged: segment {segment}, byte {offset}: {why}. Records after it were durable once. \
         Keep the directory as evidence, run `tacho verify` on it, and restore a copy or begin a new ledger"
    )]
    Damaged { segment: u64, offset: u64, why: String },
    #[error("segment {0} is missing: restore it; later segments exist")]
    SegmentMissing(u64),
    #[error(
        "{keys} holds a checkpoint key, but {dir} holds no records: restore the ledger, or move the keys away to \
         begin a new one"
    )]
    LedgerGone { keys: PathBuf, dir: PathBuf },
    #[error(
        "no file in {keys} is the key that the ledger's next checkpoint needs ({expected}); restore the keys, or \
         begin a new ledger"
    )]
    CheckpointKeyGone { keys: PathBuf, expected: String },
    #[error("the ledger in this directory is {found}, the configuration says {configured}")]
    Origin { found: String, configured: String },
    #[error(
        "the checkpoint in {path} covers {size} records, the segments hold {records}: records were cut off or are \
         damaged. Keep the directory as evidence and restore a copy"
    )]
    BehindCheckpoint { path: PathBuf, size: u64, records: u64 },
    #[error(
        "the ledger ends in {records} records that no checkpoint covers, and a gateway leaves at most {} there, whatever \
         happens: somebody else wrote records. Nothing was signed. Keep the directory as evidence, and restore a copy \
         or begin a new ledger",
        limits::ADOPTED_RECORDS_MAX
    )]
    Foreign { records: u64 },
    #[error(
        "record {seq} follows the gateway's own end (a `stop` record under a checkpoint, {records} records) and is not of a \
         start: somebody else wrote it. Nothing was signed. Keep the directory as evidence, and restore a copy or begin a \
         new ledger"
    )]
    AfterStop { seq: u64, records: u64 },
    #[error("the ledger could not write its first records: {0}")]
    Write(String),
}

/// Nothing new may begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("the ledger failed and is being repaired")]
    Failed,
    #[error("the ledger is closed")]
    Closed,
    #[error("the oldest record has waited too long for the disk")]
    Stalled,
    /// A matter of a moment: what is written faster than segments are prepared waits for one.
    #[error("the next segment is being prepared; the rest of this one is kept for outcomes and closes")]
    Preparing,
    #[error("the disk has no room for another segment; the rest is kept for outcomes and closes")]
    NoSpare,
    #[error("the queue to the disk is half full")]
    Busy,
}

/// The record was not taken; it has no sequence number and nothing may happen on the strength of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("no room left in the ledger, or in its queue")]
    Full,
    #[error("the ledger failed and is being repaired, or is closed")]
    Failed,
    #[error("not admitted: {0}")]
    NotAdmitted(#[from] NotAdmitted),
    #[error("the run has ended, or was never opened")]
    RunEnded,
    #[error("the record or a payload is over the limit")]
    TooLarge,
    #[error("the run is over its budget of records or bytes")]
    OverBudget,
    #[error("malformed draft: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// What was found when the ledger was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub origin: String,
    /// The ledger was made now.
    pub fresh: bool,
    /// Records that were there.
    pub records: u64,
    /// Bytes of torn tail kept out.
    pub torn: u64,
    /// Of the records, how many no checkpoint covered: they are signed with what comes.
    pub adopted: u64,
    /// Intents whose effect nobody knows: each got an `outcome` that says so.
    pub indeterminate: u64,
    /// Runs that were open: each was closed as `interrupted`.
    pub interrupted: Vec<RunId>,
}

/// Health, for `tacho status` and for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub origin: String,
    /// Records that have their sequence number.
    pub records: u64,
    /// Records that are durable.
    pub durable: u64,
    /// Records under the newest checkpoint.
    pub checkpointed: u64,
    /// Records in tiles on disk.
    pub tiled: u64,
    pub runs_open: usize,
    pub queue_records: usize,
    pub queue_bytes: usize,
    /// Age of the oldest append that is not durable, in milliseconds.
    pub oldest_millis: u64,
    pub segment: u64,
    /// Bytes left in the current segment.
    pub segment_left: u64,
    pub spare: bool,
    pub epoch: u64,
    /// Whether the committer has real-time priority; without it appends wait longer on a busy machine.
    pub real_time: bool,
    /// Why nothing new is admitted, if so.
    pub admission: Result<(), NotAdmitted>,
    /// An early warning or a failure, in a sentence.
    pub warning: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited,
    Revoked,
    Interrupted,
    Expired,
}

impl Ended {
    /// The word in the `close` record.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Exited => "exited",
            Ended::Revoked => "revoked",
            Ended::Interrupted => "interrupted",
            Ended::Expired => "expired",
        }
    }
}

/// What the client saw while no record was possible; counted in memory, and written as one `gap` record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// A request was refused; nothing was sent.
    Refused,
    /// A connection was cut; whether the effect happened is unknown.
    Cut,
}

/// Why a run could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{} runs are open, which is the most", limits::RUNS_OPEN_MAX)]
    TooManyRuns,
    #[error("the run is still open; end it first")]
    StillOpen,
    #[error("the record did not become durable")]
    Lost(#[from] crate::receipt::Lost),
}
