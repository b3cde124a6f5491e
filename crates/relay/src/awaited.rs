//! A record on its way to the disk, for which a piece of an answer waits while the next one is made.

use ledger::{Durable, Receipt};
use tokio::time::Instant;

use crate::limits::RECORD;

pub(crate) struct Awaited {
    receipt: Receipt,
    until: Instant,
}

impl Awaited {
    /// It is waited for as long as for any, from now on.
    pub(crate) fn new(receipt: Receipt) -> Awaited {
        Awaited { receipt, until: Instant::now() + RECORD }
    }

    /// Waits until it is durable. `None`: it is lost, or late, and what waits stays here. May be dropped while it waits.
    pub(crate) async fn durable(&mut self) -> Option<Durable> {
        tokio::time::timeout_at(self.until, &mut self.receipt).await.ok()?.ok()
    }
}
