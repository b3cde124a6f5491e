//! What is counted in memory and recorded from time to time: connections that never were a run's.
//!
//! Anybody may knock, so that a record for each would let strangers fill the ledger.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was turned away before it proved a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It did not speak the protocol, or asked for a kind of session that does not exist here.
    Protocol,
    /// It asked to replicate.
    Replication,
    /// It asked for GSSAPI encryption, was told that there is none, and went away.
    Gss,
    /// Its credential is that of no live run.
    Credential,
    /// It did not come to an end of its login in time.
    Late,
    /// TLS was not established.
    Tls,
    /// Of SSH: it offered no algorithm that is strong enough.
    Algorithms,
    /// There were as many sessions as there may be.
    Full,
}

impl Stranger {
    const ALL: [Stranger; 8] = [
        Stranger::Protocol,
        Stranger::Replication,
        Stranger::Gss,
        Stranger::Credential,
        Stranger::Late,
        Stranger::Tls,
        Stranger::Algorithms,
        Stranger::Full,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Stranger::Protocol => "protocol",
            Stranger::Replication => "replication",
            Stranger::Gss => "gss",
            Stranger::Credential => "credential",
            Stranger::Late => "late",
            Stranger::Tls => "tls",
            Stranger::Algorithms => "algorithms",
            Stranger::Full => "full",
        }
    }
}

/// How many of each, since they were last recorded.
#[derive(Default)]
pub struct TurnedAway([AtomicU64; 8]);

impl TurnedAway {
    pub(crate) fn add(&self, why: Stranger) {
        for (count, of) in self.0.iter().zip(Stranger::ALL) {
            if of == why {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What was counted since the last call, without zeros.
    pub fn take(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.iter().zip(Stranger::ALL);
        let taken = counts.map(|(count, of)| (of.as_str(), count.swap(0, Ordering::Relaxed)));
        taken.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_not_counted_again() {
        let counts = TurnedAway::default();
        counts.add(Stranger::Late);
        counts.add(Stranger::Late);
        counts.add(Stranger::Full);
        assert_eq!(counts.take(), [("late", 2), ("full", 1)]);
        assert_eq!(counts.take(), []);
    }
}
