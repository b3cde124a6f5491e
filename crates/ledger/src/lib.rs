//! The ledger: write-ahead log, tamper-evident log and evidence at once.
//!
//! One append-only segment file, preallocated and zero-filled, is written by one committer thread with `pwrite` and
//! `fdatasync`. A record has its place (sequence, run chain, leaf hash) when [`Ledger::append`] returns; it may be
//! acted upon when its [`Receipt`] resolves to [`Durable`], and not before. The format is docs/FORMAT.md, the kinds
//! of record docs/RECORDS.md; hashes, tree and checkpoints come from `seal`.
//!
//! Reading order: [`Draft`] (what may be recorded) -> [`Ledger`] (opening, appending, runs) -> `inner` (the append
//! lock) -> `commit` (write, sync, watermark) -> [`Receipt`] -> `keeper` (segments, epochs, heartbeats, repair) ->
//! `recover`, `opening` -> [`mod@read`] -> `witnesses` (what others are shown).
//!
//! **Invariant:** there is no evidence from `Drop`: a handle that goes away writes nothing.
//! **Invariant:** nothing here reads a socket, decides, or knows a protocol.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod busy;
mod clock;
mod commit;
mod config;
mod disk;
mod draft;
mod inner;
mod keeper;
pub mod keys;
mod late;
mod ledger;
pub mod limits;
mod model;
mod opening;
pub mod read;
mod receipt;
mod recover;
mod segments;
pub mod sim;
mod tiles;
mod witnesses;

pub use clock::{Clock, NoRandom, Random, SystemClock, SystemRandom};
pub use config::{AppendError, Config, Ended, Missed, NotAdmitted, OpenError, Recovery, RunError, Status};
pub use disk::{Disk, DiskFile, RealDisk};
pub use draft::{
    Code, Commitment, Digest, Draft, Kind, Map, Name, Opening, OperatorText, PayloadPlain, Recordable,
};
pub use keys::AuditorKey;
pub use ledger::{Checkpointed, Ledger};
pub use mask::Print;
pub use receipt::{Durable, Lost, Receipt};
pub use witnesses::{ProofError, Turn};
