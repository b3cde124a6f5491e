//! The verifier: everything that FORMAT.md promises about a ledger or a bundle, checked in one pass.
//!
//! Push the segments in order, then [`Verifier::finish`]; or give [`verify_bundle`] a whole bundle. The answer is a
//! [`Report`] or the first [`Finding`]. Checks are made in the order of FORMAT.md section 7, so that an independent
//! verifier names the same rule at the same place; `contrib/verify.py` is one.
//!
//! **What a report means.** Up to `covered`, every record is the one that the holder of the signing key signed, in its
//! order, with none missing between. What is after it is `open`. Whether the end was cut, or the whole was rewritten
//! by somebody who has the signing key, only something held elsewhere can tell: an anchor, a witness or a known
//! checkpoint ([`Options`]).

mod ahead;
mod bundle;
mod ledger;
mod rule;

pub use bundle::verify_bundle;
pub use ledger::{RunState, Verifier};
pub use rule::Rule;

use crate::limits::{AT_BACKWARDS_NANOS_MAX, WARNINGS_MAX};
use crate::note::{Checkpoint, NoteError, SignedNote, Standing, VerifierKey};
use crate::record::RecordError;
use crate::tree::{Hash, empty_root};
use std::fmt;

/// What the verifier is given besides the bytes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The ledger's first key, known from elsewhere. Without it the key is taken from the ledger itself, and a whole
    /// ledger made by somebody else verifies.
    pub anchor: Option<VerifierKey>,
    /// At least one of these must have cosigned a checkpoint of this ledger; for a bundle, one that covers a record of its
    /// run.
    pub witnesses: Vec<VerifierKey>,
    /// Where none of them has, that is said and is no failure: for reports, which say how far it goes.
    pub witness_optional: bool,
    /// Checkpoints held elsewhere, each of which this ledger must continue.
    pub known: Vec<Known>,
    /// The gateway may be writing, or was cut off: a torn tail is reported instead of refused.
    pub live: bool,
}

/// A checkpoint that somebody holds.
#[derive(Clone, Debug)]
pub struct Known {
    pub checkpoint: Checkpoint,
    pub note: SignedNote,
}

impl Known {
    /// Errors: not a signed note over a checkpoint.
    pub fn parse(note: &[u8]) -> Result<Known, NoteError> {
        let note = SignedNote::parse(note)?;
        Ok(Known { checkpoint: note.checkpoint()?, note })
    }
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The segment's number; 0 in a bundle.
    pub segment: u64,
    /// Of the frame, in its file.
    pub offset: u64,
    /// The record at fault; for a frame that is no record, the number of records before it.
    pub seq: u64,
    pub rule: Rule,
    /// What was found, in words; never content.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { segment, offset, seq, rule, detail } = self;
        write!(f, "segment {segment}, offset {offset}, seq {seq}: {rule}: {}", rule.sentence())?;
        if detail.is_empty() { Ok(()) } else { write!(f, " ({detail})") }
    }
}

impl std::error::Error for Finding {}

/// What was verified, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub subject: Subject,
    pub origin: String,
    /// The first key: the one in `genesis`.
    pub key: VerifierKey,
    /// Whether `key` was given from elsewhere.
    pub anchored: bool,
    /// How often the signing key changed.
    pub rotations: u64,
    pub segments: u64,
    pub batches: u64,
    pub records: u64,
    pub payloads: u64,
    /// Of the frames and headers, without the zeros after them.
    pub bytes: u64,
    pub runs: u64,
    /// Runs without a `close`.
    pub open_runs: u64,
    pub checkpoints: u64,
    pub first_checkpoint: Option<Seen>,
    pub last_checkpoint: Option<Seen>,
    /// How many records a verified checkpoint covers.
    pub covered: u64,
    /// Records after the last checkpoint: not sealed yet.
    pub open: u64,
    /// The root over all records, open ones included; in a bundle, the checkpoint's.
    pub root: Hash,
    /// The largest size that one of the given witnesses cosigned, and when, in seconds since 1970. Never one that covers no
    /// record of the subject.
    pub witnessed: Option<Witnessed>,
    /// How many of the subject's records are after that size.
    pub after_witnessed: Option<u64>,
    /// Signature lines of keys that were not given: not checked, not counted as anything.
    pub unknown_signatures: u64,
    /// Known checkpoints that this continues.
    pub known: u64,
    /// The largest size of these.
    pub known_size: Option<u64>,
    /// How many of the subject's records are after that size.
    pub after_known: Option<u64>,
    /// Where the torn tail begins, if there is one and [`Options::live`] let it pass.
    pub torn: Option<u64>,
    pub warnings: Vec<Warning>,
    /// Warnings beyond [`WARNINGS_MAX`], which were not kept.
    pub more_warnings: u64,
}

/// How many of the records of a `whose` (`ledger`, `run`) something seen elsewhere does not reach, in words.
pub fn beyond(whose: &str, all: u64, after: u64) -> String {
    match after {
        0 => format!("none of the {whose}'s {all} records is after that"),
        after if after == all => format!("ALL of the {whose}'s {all} records are after that"),
        1 => format!("1 of the {whose}'s {all} records is after that"),
        _ => format!("{after} of the {whose}'s {all} records are after that"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Ledger,
    /// One run, of so many records. `complete`: its `close` proves that nothing is missing.
    Bundle {
        run: [u8; 16],
        records: u64,
        complete: bool,
    },
}

/// A verified checkpoint and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub size: u64,
    pub root: Hash,
    pub segment: u64,
    pub offset: u64,
}

/// A verified cosignature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witnessed {
    pub size: u64,
    pub seconds: u64,
}

/// Worth knowing, and not proof of anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub seq: u64,
    pub text: String,
}

/// A rule that was broken, before it is known where.
struct Broken(Rule, String);

fn broken<T>(rule: Rule, detail: impl Into<String>) -> Result<T, Broken> {
    Err(Broken(rule, detail.into()))
}

impl From<RecordError> for Broken {
    fn from(error: RecordError) -> Broken {
        let rule = match error {
            RecordError::TooLong(_) => Rule::RecordSize,
            RecordError::Cbor(_) => Rule::RecordCbor,
            RecordError::Version
            | RecordError::UnknownField
            | RecordError::Field(_)
            | RecordError::Missing(_)
            | RecordError::Link => Rule::RecordHeader,
        };
        Broken(rule, error.to_string())
    }
}

/// What ledgers and bundles have in common about trust: the first key, known checkpoints and witnesses.
struct Trust {
    options: Options,
    witnessed: Option<Witnessed>,
    unknown_signatures: u64,
    /// One flag per known checkpoint.
    matched: Vec<bool>,
    /// The largest of them, once all are matched.
    known_size: Option<u64>,
}

impl Trust {
    fn new(options: Options) -> Trust {
        let matched = vec![false; options.known.len()];
        Trust { options, witnessed: None, unknown_signatures: 0, matched, known_size: None }
    }

    /// Holds the key and origin of `genesis` against what is known from elsewhere.
    fn at_genesis(&mut self, origin: &str, key: &VerifierKey) -> Result<(), Broken> {
        if self.options.anchor.as_ref().is_some_and(|anchor| anchor != key) {
            return broken(Rule::KeyAnchor, format!("the ledger's first key is {key}"));
        }
        if let Some(other) = self.options.known.iter().find(|known| known.checkpoint.origin != origin) {
            return broken(
                Rule::KnownCheckpoint,
                format!("the known checkpoint is of {}", other.checkpoint.origin),
            );
        }
        self.at_size(0, &mut empty_root)
    }

    /// Holds the root at `size` against the known checkpoints of that size.
    fn at_size(&mut self, size: u64, root: &mut dyn FnMut() -> Hash) -> Result<(), Broken> {
        for (known, matched) in self.options.known.iter().zip(&mut self.matched) {
            if known.checkpoint.size == size {
                if known.checkpoint.root != root() {
                    return broken(
                        Rule::KnownCheckpoint,
                        format!("at {size} records the known root is another one"),
                    );
                }
                *matched = true;
            }
        }
        Ok(())
    }

    /// Counts the cosignatures of a note over `size` records. `own` lines are the ledger's.
    fn cosignatures(&mut self, note: &SignedNote, size: u64, own: usize) -> Result<(), Broken> {
        let mut recognised = own;
        for witness in &self.options.witnesses {
            match note.verify(witness) {
                Standing::Absent => {}
                Standing::Bad => return broken(Rule::Cosignature, format!("of {}", witness.name())),
                Standing::Good => {
                    for line in note.signatures().iter().filter(|s| s.is_by(witness)) {
                        recognised += 1;
                        let seconds = line.cosigned_at().unwrap_or(0);
                        self.witnessed = self.witnessed.max(Some(Witnessed { size, seconds }));
                    }
                }
            }
        }
        self.unknown_signatures += note.signatures().len().saturating_sub(recognised) as u64;
        Ok(())
    }

    /// The last questions, when everything has been read. `first`: the seq of the subject's first record. A cosignature over
    /// a tree that ends before it says nothing of the subject.
    fn at_end(&mut self, size: u64, first: u64) -> Result<(), Broken> {
        let unmatched = self.options.known.iter().zip(&self.matched).find(|(_, matched)| !**matched);
        if let Some((known, _)) = unmatched {
            let detail = format!("{size} records here, {} in the known checkpoint", known.checkpoint.size);
            return broken(Rule::KnownCheckpoint, detail);
        }
        let known = std::mem::take(&mut self.options.known);
        for Known { checkpoint, note } in &known {
            self.cosignatures(note, checkpoint.size, note.signatures().len())?;
        }
        self.known_size = known.iter().map(|known| known.checkpoint.size).max();
        let before = self.witnessed.take_if(|seen| seen.size <= first);
        let wanted = !self.options.witnesses.is_empty() && !self.options.witness_optional;
        if wanted && self.witnessed.is_none() {
            let detail =
                before.map(|seen| format!("what was cosigned, {} records, ends before it", seen.size));
            return broken(Rule::NotWitnessed, detail.unwrap_or_default());
        }
        Ok(())
    }

    /// After [`Trust::at_end`], where the first key does not say whose the run is: an anchor that was given is not enough
    /// by itself. Only what was seen elsewhere of the bundle's own tree vouches for it: what is known of a smaller one, the
    /// empty one say, nothing joins to it.
    fn without_anchor(&self, version: u32, sealed: u64) -> Result<(), Broken> {
        let known = self.known_size == Some(sealed);
        let witnessed = self.witnessed.is_some_and(|seen| seen.size == sealed);
        if self.options.anchor.is_some() && !known && !witnessed {
            let detail = format!(
                "a bundle of version {version} does not prove this run by its first key: only a known checkpoint or a witness says whose it is"
            );
            return broken(Rule::KeyAnchor, detail);
        }
        Ok(())
    }
}

/// Warnings, and what they are derived from.
#[derive(Default)]
struct Watch {
    last_at: u64,
    warnings: Vec<Warning>,
    more: u64,
}

impl Watch {
    fn at(&mut self, seq: u64, at: u64) {
        if self.last_at.saturating_sub(at) > AT_BACKWARDS_NANOS_MAX {
            let seconds = (self.last_at - at) / 1_000_000_000;
            self.warn(seq, format!("the clock ran {seconds} s backwards"));
        }
        self.last_at = at;
    }

    fn warn(&mut self, seq: u64, text: String) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Warning { seq, text });
        } else {
            self.more += 1;
        }
    }
}
