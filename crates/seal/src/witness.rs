//! A witness without IO: C2SP tlog-witness (what it is asked, what it knows of a log, what it answers), and how it
//! follows a log's keys (FORMAT.md, section 8).
//!
//! [`Submission`] or [`Succession`] come in; [`Watched`] says what the witness knows afterwards, or why not. Whoever
//! serves makes that durable first, and signs then.

use crate::base64;
use crate::cbor::Value;
use crate::limits::{NOTE_BYTES_MAX, RECORD_BYTES_MAX, WITNESS_PROOF_LINES_MAX};
use crate::note::{Algorithm, Checkpoint, SignedNote, Standing, VerifierKey, is_name};
use crate::record::Header;
use crate::tree::{Hash, empty_root, leaf_hash, verify_consistency, verify_inclusion};
use std::fmt;

/// Largest request body, in bytes: a note, or a record in base64 (4 bytes for 3) with its origin and number; and the
/// lines of a proof, 45 bytes each.
pub const REQUEST_BYTES_MAX: usize =
    max(NOTE_BYTES_MAX, RECORD_BYTES_MAX.div_ceil(3) * 4 + 512) + 64 * (WITNESS_PROOF_LINES_MAX + 1);

/// The body of `add-checkpoint`: the witness's size, the proof from there, the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    pub old: u64,
    pub proof: Vec<Hash>,
    pub note: SignedNote,
    pub checkpoint: Checkpoint,
}

impl Submission {
    /// Errors: `Checkpoint` if the note is none over a checkpoint.
    pub fn new(old: u64, proof: Vec<Hash>, note: SignedNote) -> Result<Submission, Malformed> {
        let checkpoint = note.checkpoint().map_err(|_| Malformed)?;
        Ok(Submission { old, proof, note, checkpoint })
    }

    /// Reads a body. What is not exactly in the form is malformed: it is the witness's 400.
    pub fn parse(body: &[u8]) -> Result<Submission, Malformed> {
        let at = body.windows(2).position(|w| w == b"\n\n").ok_or(Malformed)?;
        let (head, note) = body.split_at(at + 2);
        let mut lines = text_lines(&head[..at + 1])?;
        let old = lines.next().and_then(|line| decimal(line.strip_prefix("old ")?)).ok_or(Malformed)?;
        let note = SignedNote::parse(note).map_err(|_| Malformed)?;
        Submission::new(old, hashes(lines)?, note)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let proof: String = self.proof.iter().map(|hash| base64::encode(hash) + "\n").collect();
        [format!("old {}\n{proof}\n", self.old).into_bytes(), self.note.to_bytes()].concat()
    }
}

/// The body of `add-key`: the `epoch` record that names a log's next key, and the proof that it is in the tree that the
/// witness cosigned last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    pub origin: String,
    pub seq: u64,
    pub record: Vec<u8>,
    pub proof: Vec<Hash>,
}

impl Succession {
    pub fn parse(body: &[u8]) -> Result<Succession, Malformed> {
        let mut lines = text_lines(body)?;
        let origin = lines.next().filter(|origin| is_name(origin)).ok_or(Malformed)?;
        let seq = lines.next().and_then(decimal).ok_or(Malformed)?;
        let record = lines.next().and_then(base64::decode).ok_or(Malformed)?;
        if record.len() > RECORD_BYTES_MAX {
            return Err(Malformed);
        }
        Ok(Succession { origin: origin.to_owned(), seq, record, proof: hashes(lines)? })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let Succession { origin, seq, record, proof } = self;
        let proof: String = proof.iter().map(|hash| base64::encode(hash) + "\n").collect();
        format!("{origin}\n{seq}\n{}\n{proof}", base64::encode(record)).into_bytes()
    }

    /// The key that the record names, if it is an `epoch` record of this place that names one of this log.
    fn key(&self) -> Option<VerifierKey> {
        let header = Header::decode(&self.record).ok()?;
        let body = header.body().ok()?;
        let key = VerifierKey::parse(body.get("key").and_then(Value::as_text)?).ok()?;
        let of_this_log = key.name() == self.origin && key.algorithm() == Algorithm::Ed25519;
        (header.kind == "epoch" && header.seq == self.seq && of_this_log).then_some(key)
    }
}

/// What a witness knows of one log. It grows, and never goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The key that the log's checkpoints are signed with. Its name is the origin.
    pub key: VerifierKey,
    /// The record that named it; 0 for the key that the operator gave.
    pub key_seq: u64,
    /// The tree that was cosigned last.
    pub size: u64,
    pub root: Hash,
}

impl Watched {
    /// A log of which nothing was cosigned yet.
    pub fn new(key: VerifierKey) -> Watched {
        Watched { key, key_seq: 0, size: 0, root: empty_root() }
    }

    pub fn origin(&self) -> &str {
        self.key.name()
    }

    /// What is known once this checkpoint is cosigned. The checks stand in the order of the specification.
    pub fn advanced(&self, asked: &Submission) -> Result<Watched, Refused> {
        let Checkpoint { origin, size, root } = &asked.checkpoint;
        if origin != self.origin() {
            return Err(Refused::Origin);
        }
        if asked.note.verify(&self.key) != Standing::Good {
            return Err(Refused::Key);
        }
        if asked.old > *size {
            return Err(Refused::Malformed);
        }
        if asked.old != self.size || (*size == self.size && *root != self.root) {
            return Err(Refused::Size(self.size));
        }
        if !verify_consistency(self.size, &self.root, *size, root, &asked.proof) {
            return Err(Refused::Proof);
        }
        Ok(Watched { size: *size, root: *root, ..self.clone() })
    }

    /// What is known once the log has its next key. The key before it signs nothing for this witness from then on.
    pub fn succeeded(&self, asked: &Succession) -> Result<Watched, Refused> {
        if asked.origin != self.origin() {
            return Err(Refused::Origin);
        }
        let key = asked.key().ok_or(Refused::Proof)?;
        if asked.seq == self.key_seq && key == self.key {
            return Ok(self.clone()); // the answer was lost on its way
        }
        if asked.seq >= self.size {
            return Err(Refused::Size(self.size));
        }
        let leaf = leaf_hash(&asked.record);
        let newer = asked.seq > self.key_seq;
        if !newer || !verify_inclusion(&leaf, asked.seq, self.size, &asked.proof, &self.root) {
            return Err(Refused::Proof);
        }
        Ok(Watched { key, key_seq: asked.seq, ..self.clone() })
    }
}

/// Why a witness does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 400
    Malformed,
    /// 404: a log that it was not told of.
    Origin,
    /// 403: not signed with the key that it knows.
    Key,
    /// 409: it has cosigned a tree of this size; with the same size asked, one with another root.
    Size(u64),
    /// 422: the proof does not hold.
    Proof,
}

impl Refused {
    /// The status that the specification asks for.
    pub fn status(self) -> u16 {
        match self {
            Refused::Malformed => 400,
            Refused::Key => 403,
            Refused::Origin => 404,
            Refused::Size(_) => 409,
            Refused::Proof => 422,
        }
    }
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Refused {
        Refused::Malformed
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Malformed => f.write_str("malformed request"),
            Refused::Origin => f.write_str("this witness was not told of that log"),
            Refused::Key => f.write_str("not signed with the key of that log that this witness knows"),
            Refused::Size(size) => write!(f, "this witness has cosigned a tree of {size}"),
            Refused::Proof => f.write_str("the proof does not hold"),
        }
    }
}

/// A body that is not in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The lines of a text, each of which ends with a newline.
fn text_lines(bytes: &[u8]) -> Result<impl Iterator<Item = &str>, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
    text.strip_suffix('\n').map(|text| text.split('\n')).ok_or(Malformed)
}

fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|n| n.to_string() == text)
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, Malformed> {
    let mut out = Vec::new();
    for line in lines {
        if out.len() == WITNESS_PROOF_LINES_MAX {
            return Err(Malformed);
        }
        let hash = base64::decode(line).and_then(|hash| hash.try_into().ok());
        out.push(hash.ok_or(Malformed)?);
    }
    Ok(out)
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}
