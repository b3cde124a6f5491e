//! Where an analyst sits: the index, what is known of the chain, the time, and who is asking.

use std::fmt;

use index::{Index, Run};
use serde::{Deserialize, Serialize};
use vocab::{RunId, Seq, WallTime};

use crate::erasure::ErasureLine;
use crate::line::Cites;
use crate::query::QueryError;
use crate::replay::Reels;
use crate::verify::NO_CLOSE;
use crate::watch::{Look, NotWatched, Watch, Watched};

/// Everything that an answer is made from. Pure: no clock, no file, no socket.
///
/// Each question first writes its `watch` record; if that fails there is no answer.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    pub index: &'a Index,
    pub chain: &'a Chain,
    pub now: WallTime,
    /// Who is asking.
    pub who: &'a str,
    pub watch: &'a dyn Watch,
    /// Opens payloads, where a key for them is at hand.
    pub reels: &'a dyn Reels,
}

/// What is known of the ledger that the index was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Nobody verified it.
    NotChecked,
    /// It does not verify; the sentence names the first bad record.
    Broken(String),
    Verified(Verified),
}

/// A chain that verifies, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records before this one are covered by a signed checkpoint.
    pub covered: Seq,
    /// The key was given by the one who verifies, not taken from the ledger itself.
    pub anchored: bool,
    /// The witnesses one of whom signed a checkpoint, and the record up to which.
    pub witnessed: Option<(Vec<String>, Seq)>,
    /// What is signed: origin, size and root of the last checkpoint.
    pub checkpoint: String,
    /// It is a bundle in which its run is not closed.
    pub no_close: bool,
    /// Where the ledger ends in a frame that is not whole, in words: what stood there is not here.
    pub torn: Option<String>,
}

/// The chain's state as an answer shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofLine {
    /// `verified`, `broken` or `not-checked`.
    pub chain: String,
    /// What is wrong, if it is broken.
    pub why: Option<String>,
    /// Records with a smaller `seq` are covered by a signed checkpoint.
    pub covered: Option<u64>,
    /// `anchored` (the key was given) or `own` (the key was taken from the ledger itself).
    pub key: Option<String>,
    /// Witnesses one of whom signed, and the record up to which.
    pub witnesses: Vec<String>,
    pub witnessed: Option<u64>,
    pub checkpoint: Option<String>,
    /// It was read out of a bundle in which its run is not closed: the run was open then, or the end was cut off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_close: bool,
    /// Where the ledger ends in a frame that is not whole, in words: what stood there is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<String>,
    /// Records that this answer rests on and that no signed checkpoint covers yet: nothing proves them.
    #[serde(default, skip_serializing_if = "Cites::is_empty")]
    pub unsealed: Cites,
    /// Records that it rests on and that were under no checkpoint when the gateway ended: the next start signed them as it
    /// found them.
    #[serde(default, skip_serializing_if = "Cites::is_empty")]
    pub adopted: Cites,
    /// Whether this look is itself in the record.
    pub watched: bool,
}

impl ProofLine {
    /// What is known of a chain.
    pub fn of(chain: &Chain) -> ProofLine {
        let blank = ProofLine::default();
        match chain {
            Chain::NotChecked => ProofLine { chain: "not-checked".into(), ..blank },
            Chain::Broken(why) => ProofLine { chain: "broken".into(), why: Some(why.clone()), ..blank },
            Chain::Verified(v) => ProofLine {
                chain: "verified".into(),
                covered: Some(v.covered.0),
                key: Some(if v.anchored { "anchored".into() } else { "own".into() }),
                witnesses: v.witnessed.as_ref().map(|(names, _)| names.clone()).unwrap_or_default(),
                witnessed: v.witnessed.as_ref().map(|(_, seq)| seq.0),
                checkpoint: Some(v.checkpoint.clone()),
                no_close: v.no_close,
                torn: v.torn.clone(),
                ..blank
            },
        }
    }

    pub fn is_broken(&self) -> bool {
        self.chain == "broken"
    }

    /// What stands before an answer whose record does not verify.
    pub fn broken(&self) -> Option<String> {
        let why = self.why.as_deref().unwrap_or("no reason given");
        self.is_broken()
            .then(|| format!("CHAIN BROKEN: {why}. Nothing below is proved: any of it may be forged."))
    }

    /// One sentence for people.
    pub fn text(&self) -> String {
        let mut text = match (&*self.chain, self.covered) {
            ("verified", Some(0)) => "chain verified; no record is covered by a checkpoint yet".to_owned(),
            ("verified", Some(covered)) => format!("chain verified up to record {}", covered - 1),
            ("broken", _) => format!("CHAIN BROKEN: {}", self.why.as_deref().unwrap_or("no reason given")),
            _ => "chain not checked (run `tacho verify`)".to_owned(),
        };
        if self.chain == "verified" {
            let key =
                if self.key.as_deref() == Some("anchored") { "your key" } else { "the ledger's own key" };
            text.push_str(&format!(", with {key}"));
            match (&*self.witnesses, self.witnessed) {
                ([], _) | (_, None) => text.push_str(", NOT WITNESSED"),
                (names, Some(0)) => {
                    text.push_str(&format!(", witnessed by {} at size 0", names.join(" or ")))
                }
                (names, Some(n)) => {
                    text.push_str(&format!(", witnessed by {} up to record {}", names.join(" or "), n - 1));
                }
            }
        }
        if self.no_close {
            text.push_str(&format!("; {NO_CLOSE}"));
        }
        if !self.unsealed.is_empty() {
            let records = self.unsealed.text();
            text.push_str(&format!(
                "; NOT SEALED: records {records} of this answer, which no checkpoint covers yet"
            ));
        }
        if !self.adopted.is_empty() {
            let records = self.adopted.text();
            text.push_str(&format!(
                "; SIGNED LATE: records {records} of this answer, by the start after a crash, as it found them"
            ));
        }
        if let Some(torn) = &self.torn {
            text.push_str(&format!("; TORN: {torn}"));
        }
        if !self.watched {
            text.push_str("; this look is not in the record (nothing writes this ledger now)");
        }
        text
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Cannot {
    NoSuchRun(String),
    /// A prefix that fits several runs.
    Ambiguous {
        prefix: String,
        runs: Vec<RunId>,
    },
    /// A prefix of fewer than six digits, or not hexadecimal.
    NotARun(String),
    Query(QueryError),
    /// What was asked for is sealed, and the key is not here.
    NoKey(String),
    /// The run's payloads were erased; what the record of it says.
    Erased {
        run: RunId,
        erasure: ErasureLine,
    },
    /// A payload could not be read or does not fit its record.
    Payload {
        seq: Seq,
        why: String,
    },
    NotWatched(NotWatched),
    /// A run that started others is not carried out again.
    Children {
        run: RunId,
        child: RunId,
    },
    /// Of SSH and of pods: there is no command or terminal that the question could be about, or several; the records where sessions of
    /// them begin.
    NoTerminal {
        run: RunId,
        at: Option<Seq>,
        begins: Vec<Seq>,
    },
    TooLong {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
    Ledger(String),
}

impl Cannot {
    /// 1 if what is asked for is not there, 2 if the question was wrong, 3 if it could not be answered.
    pub fn exit_code(&self) -> u8 {
        match self {
            Cannot::NoSuchRun(_) => 1,
            Cannot::Ambiguous { .. }
            | Cannot::NotARun(_)
            | Cannot::Query(_)
            | Cannot::NoTerminal { .. }
            | Cannot::TooLong { .. } => 2,
            Cannot::NoKey(_)
            | Cannot::Erased { .. }
            | Cannot::Payload { .. }
            | Cannot::NotWatched(_)
            | Cannot::Children { .. }
            | Cannot::Ledger(_) => 3,
        }
    }
}

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cannot::NoSuchRun(run) => write!(f, "no run {run:?} in this ledger; `tacho runs` lists them"),
            Cannot::Ambiguous { prefix, runs } => {
                let runs: Vec<String> = runs.iter().take(5).map(ToString::to_string).collect();
                write!(f, "{prefix:?} begins several runs ({}, ...); type more of it", runs.join(", "))
            }
            Cannot::NotARun(text) => {
                write!(f, "{text:?} is not a run: give at least six hexadecimal digits of its id")
            }
            Cannot::Query(error) => write!(f, "{error}"),
            Cannot::NoKey(what) => write!(f, "{what}"),
            Cannot::Erased { run, erasure } => {
                write!(f, "the payloads of run {run} were {}; the record of it stays", erasure.text())
            }
            Cannot::Payload { seq, why } => {
                write!(f, "the payload of record {} cannot be read: {why}", seq.0)
            }
            Cannot::NotWatched(error) => write!(f, "{error}"),
            Cannot::Children { run, child } => {
                write!(f, "run {run} started others ({child}), and those are not carried out again with it")
            }
            Cannot::NoTerminal { run, at, begins } => write!(f, "{}", no_terminal(*run, *at, begins)),
            Cannot::TooLong { what, bytes, limit } => {
                write!(f, "the {what} is {bytes} bytes long; at most {limit} are taken")
            }
            Cannot::Ledger(why) => write!(f, "the ledger cannot be read: {why}"),
        }
    }
}

fn no_terminal(run: RunId, at: Option<Seq>, begins: &[Seq]) -> String {
    let records: Vec<String> = begins.iter().take(20).map(|seq| seq.0.to_string()).collect();
    match (at, begins) {
        (_, []) => format!("run {run} began no command or terminal over SSH or in a pod"),
        (None, _) => format!(
            "run {run} has several sessions with commands or terminals, which begin with records {}; name one with --at",
            records.join(", ")
        ),
        (Some(at), _) => format!(
            "record {} is of no command or terminal of run {run}; its sessions with any begin with records {}",
            at.0,
            records.join(", ")
        ),
    }
}

impl std::error::Error for Cannot {}

impl From<NotWatched> for Cannot {
    fn from(error: NotWatched) -> Cannot {
        Cannot::NotWatched(error)
    }
}

impl From<QueryError> for Cannot {
    fn from(error: QueryError) -> Cannot {
        Cannot::Query(error)
    }
}

impl<'a> Desk<'a> {
    /// Finds a run by its id or by a prefix of at least six hexadecimal digits.
    pub fn find_run(&self, text: &str) -> Result<&'a Run, Cannot> {
        let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        if text.len() < 6 || text.len() > 32 || !is_hex {
            return Err(Cannot::NotARun(text.chars().take(64).collect()));
        }
        let runs = self.index.runs_by_prefix(text);
        match runs.as_slice() {
            [] => Err(Cannot::NoSuchRun(text.to_owned())),
            [one] => self.index.run(*one).ok_or_else(|| Cannot::NoSuchRun(text.to_owned())),
            _ => Err(Cannot::Ambiguous { prefix: text.to_owned(), runs }),
        }
    }

    /// Records the look, then says what is known of the chain.
    pub(crate) fn look(&self, look: Look, subject: &str) -> Result<ProofLine, Cannot> {
        let watched = self.watch.watch(self.who, look, subject)?;
        Ok(self.proof(watched))
    }

    /// The same with those of `cited` that no checkpoint covers, or covered too late.
    pub(crate) fn sealing(&self, mut proof: ProofLine, cited: impl Iterator<Item = Seq>) -> ProofLine {
        let Chain::Verified(verified) = self.chain else { return proof };
        let starts = self.index.starts();
        for seq in cited {
            if seq >= verified.covered {
                proof.unsealed.add(seq);
            }
            let next = starts.partition_point(|start| start.seq <= seq);
            if starts.get(next).is_some_and(|start| start.seq.0 - seq.0 <= start.what.adopted) {
                proof.adopted.add(seq);
            }
        }
        proof
    }

    fn proof(&self, watched: Watched) -> ProofLine {
        ProofLine { watched: watched != Watched::Offline, ..ProofLine::of(self.chain) }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) fn is_false(no: &bool) -> bool {
    !no
}
