//! One small ledger that has everything in it.

use super::writer::{Writer, map, text};
use crate::cbor::Value;
use crate::note::{SignedNote, Signer};

/// A ledger of two segments with four runs, payloads, a change of keys, a witnessed checkpoint and an open tail.
#[derive(Clone, Debug)]
pub struct Sample {
    pub origin: String,
    pub segments: Vec<Vec<u8>>,
    /// All checkpoints, oldest first.
    pub notes: Vec<SignedNote>,
    /// Closed, closed, closed (all before the change of keys but the last), open.
    pub runs: [[u8; 16]; 4],
    /// Which of `notes` is the last one signed with the first key.
    pub last_of_first_key: usize,
    /// Which of `notes` bears the signature of [`Sample::witness`].
    pub witnessed: usize,
}

impl Sample {
    /// The witness that cosigned one checkpoint.
    pub fn witness() -> Signer {
        Writer::witness("witness.example/one")
    }

    /// The ledger's signing keys.
    pub fn signer(&self, generation: u8) -> Signer {
        Writer::signer(&self.origin, generation)
    }
}

/// The sample, in segments of 8 KiB.
pub fn sample() -> Sample {
    sample_on("gateway.example/1", 8192)
}

/// The sample for an origin, in segments of a size; the second segment is begun before it must be.
pub fn sample_on(origin: &str, segment_bytes: usize) -> Sample {
    let runs = [1, 2, 3, 4].map(|n| [n; 16]);
    let [a, b, c, d] = runs;
    let mut w = Writer::new(origin, segment_bytes);
    w.batch();
    let start = [("durability", text("sync")), ("recovered", Value::Uint(0)), ("version", text("0.1.0"))];
    w.gateway("start", &map(&start));
    w.open(a);
    statement(&mut w, a, "select name from customers", b"[[\"Ada\"]]");
    w.batch();
    w.open(b);
    statement(&mut w, a, "select 1", b"[[1]]");
    statement(&mut w, b, "update orders set paid = $1", b"");
    w.checkpoint();
    w.batch();
    w.close(a);
    w.checkpoint();
    w.batch();
    w.rotate(1);
    let last_of_first_key = w.notes().len();
    w.checkpoint();
    w.new_segment();
    w.batch();
    w.open(c);
    statement(&mut w, c, "select ssn from customers", b"[[\"ssn_17\"]]");
    statement(&mut w, b, "commit", b"");
    w.close(b);
    let witnessed = w.notes().len();
    w.witnessed_checkpoint(&Sample::witness(), 1_790_000_100);
    w.batch();
    w.close(c);
    w.gateway("heartbeat", &map(&[("runs", Value::Uint(0)), ("sessions", Value::Uint(0))]));
    w.checkpoint();
    w.batch();
    w.open(d);
    let notes = w.notes().to_vec();
    Sample { origin: origin.to_owned(), segments: w.finish(), notes, runs, last_of_first_key, witnessed }
}

/// An intent with one payload, and its outcome with two, of which the second is empty of rows.
fn statement(w: &mut Writer, run: [u8; 16], sql: &str, rows: &[u8]) {
    let body = [("statement", text(sql)), ("verdict", text("allow")), ("tx", text("idle"))];
    let intent = w.record("intent", Some(run), None, &map(&body), &[sql.as_bytes()]);
    let body = [("result", text("ok")), ("rows", Value::Uint(1)), ("status", Value::Neg(-1))];
    w.record("outcome", Some(run), Some(intent), &map(&body), &[rows, b"t"]);
}
