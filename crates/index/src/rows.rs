//! What the tables hold besides runs, row by row.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use vocab::{RunId, Seq, WallTime};

use crate::limits::RECORDS_MAX;

/// Which records the index has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub records: u64,
    pub first: Option<Seq>,
    pub last: Option<Seq>,
    /// The time of the newest record.
    pub last_at: Option<WallTime>,
    /// Records before which the clock was set back, with the time before and the record's own.
    pub set_back: Vec<(Seq, WallTime, WallTime)>,
    /// How many of each kind, unknown kinds included.
    pub kinds: BTreeMap<Arc<str>, u64>,
    /// Ranges of `seq`, both ends included, that were passed over. Empty for a whole ledger; a bundle has some.
    pub holes: Vec<(Seq, Seq)>,
}

/// A record of a kind that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strange {
    pub seq: Seq,
    pub at: WallTime,
    pub kind: Arc<str>,
    pub run: Option<RunId>,
}

/// Where a fingerprint was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    pub seq: Seq,
    pub run: RunId,
    pub place: PrintPlace,
}

/// What the fingerprinted value was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintPlace {
    /// A literal of the statement that the agent wrote.
    Literal,
    /// A parameter that the agent sent.
    Parameter,
    /// A governed value that the agent sent in a COPY.
    Copy,
    /// A value in the arguments of a tool call that a model issued to the agent.
    Decision,
    /// A cell of a response: resource path, class, and what became of it.
    Cell { on: Arc<str>, class: Arc<str>, what: Arc<str> },
}

/// A keyed filter of the cells that one record released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub seq: Seq,
    pub run: RunId,
    pub rows: u64,
    /// `None`: the record released rows and has no filter, so it cannot say no.
    pub bytes: Option<Vec<u8>>,
}

/// What a ledger says of itself in its first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    pub origin: Arc<str>,
    /// A verifier key in the note format.
    pub key: Arc<str>,
    pub version: Arc<str>,
}

/// A policy as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    pub text: Arc<str>,
    pub schema: [u8; 32],
}

/// A snapshot of a resource's catalog, as the gateway read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub hash: [u8; 32],
    pub relations: u64,
    pub server: Arc<str>,
}

/// A run whose payload key was destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub run: RunId,
    pub who: Arc<str>,
    pub why: Arc<str>,
}

/// What a person looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub who: Arc<str>,
    pub verb: Arc<str>,
    pub subject: Arc<str>,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administered {
    pub who: Arc<str>,
    pub verb: Arc<str>,
    pub subject: Arc<str>,
    pub result: Arc<str>,
}

/// Why a record was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The index holds [`RECORDS_MAX`] records.
    TooMany,
    /// The record's `seq` is not after the last one's.
    Backwards { seq: Seq, last: Seq },
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Full::TooMany => write!(
                f,
                "the index holds {RECORDS_MAX} records, its limit; ask over an exported run instead"
            ),
            Full::Backwards { seq, last } => {
                write!(f, "record {} came after record {}: the ledger was read out of order", seq.0, last.0)
            }
        }
    }
}

impl std::error::Error for Full {}
