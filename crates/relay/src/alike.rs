//! What protocols without columns, HTTP and SSH, do alike around a record.

use std::collections::BTreeSet;

use gate::{Decided, Gate, Tripped};
use ledger::NotAdmitted;
use mask::body::{Act, Found, Hit};

use crate::limits::{RECORD, ROOM_POLL};

/// What a client is told where nothing can be recorded.
pub(crate) const NO_RECORD: &str = "no record is possible, so nothing was sent";

/// What detectors found in a body, as it is recorded.
pub(crate) fn tripped(found: &Found, channel: &'static str) -> BTreeSet<Tripped> {
    let hit = |hit: &Hit| Tripped {
        detector: hit.detector,
        class: hit.class.clone(),
        channel,
        act: match hit.act {
            Act::Masked => "masked",
            Act::Own => "own",
            Act::Echo => "echo",
            Act::Revealed => "revealed",
        },
    };
    found.tripped.iter().map(hit).collect()
}

/// Without what the rule says to agents: the reason is another.
pub(crate) fn unsaid(mut decided: Decided) -> Decided {
    decided.message = None;
    decided
}

/// Waits while the ledger has no room for a moment: its next segment is being prepared, or its queue is half full. What
/// is not of a moment (a full or failed disk) is refused at once, as is what waited for as long as for a record.
pub(crate) async fn room(gate: &Gate) {
    let until = tokio::time::Instant::now() + RECORD;
    while matches!(gate.ledger().admit(), Err(NotAdmitted::Preparing | NotAdmitted::Busy))
        && tokio::time::Instant::now() < until
    {
        tokio::time::sleep(ROOM_POLL).await;
    }
}
