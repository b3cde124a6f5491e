//! That a run's payload key was destroyed: when, by whom and why.

use index::{Index, Noted, Run, Tombstone};
use ledger::read::Entry;
use seal::cbor::Value;
use serde::{Deserialize, Serialize};
use vocab::RunId;

use crate::line::time;

/// What the tombstone of a run says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureLine {
    pub record: u64,
    pub at: String,
    pub by: String,
    pub reason: String,
}

impl ErasureLine {
    pub(crate) fn of(index: &Index, run: &Run) -> Option<ErasureLine> {
        let erased = run.erased?;
        let line = |found: &Noted<Tombstone>| ErasureLine {
            record: found.seq.0,
            at: time(found.at),
            by: found.what.who.to_string(),
            reason: found.what.why.to_string(),
        };
        index.tombstones().iter().find(|found| found.seq == erased).map(line)
    }

    /// `None`: the record is no tombstone of this run.
    pub(crate) fn of_entry(entry: &Entry, run: RunId) -> Option<ErasureLine> {
        let text = |name| entry.body.get(name).and_then(Value::as_text).unwrap_or_default().to_owned();
        let is_of = entry.body.get("subject").and_then(Value::as_bytes) == Some(&run.0[..]);
        (entry.kind == Some(ledger::Kind::Tombstone) && is_of).then(|| ErasureLine {
            record: entry.seq.0,
            at: time(entry.at),
            by: text("who"),
            reason: text("why"),
        })
    }

    /// `erased 2026-.. by olga: request 4711 (record 12)`.
    pub fn text(&self) -> String {
        format!("erased {} by {}: {} (record {})", self.at, self.by, self.reason, self.record)
    }
}
