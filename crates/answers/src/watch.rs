//! Watching is watched (P12): who looks at the record is in the record.

use std::fmt;

/// What a person does when looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Runs,
    Show,
    Replay,
    Who,
    Touched,
    Exposed,
    Find,
    Diff,
    Export,
    Verify,
    Approvals,
}

impl Look {
    /// The word in a `watch` record (RECORDS.md).
    pub fn as_str(self) -> &'static str {
        match self {
            Look::Runs => "runs",
            Look::Show => "show",
            Look::Replay => "replay",
            Look::Who => "who",
            Look::Touched => "touched",
            Look::Exposed => "exposed",
            Look::Find => "find",
            Look::Diff => "diff",
            Look::Export => "export",
            Look::Verify => "verify",
            Look::Approvals => "approvals",
        }
    }
}

/// Writes a `watch` record before anything is shown. The composition root implements it over the ledger.
pub trait Watch {
    /// Records that `who` looks at `subject`. An answer is given only after `Ok`.
    ///
    /// `subject` is a run's id, a query, or a range; never a value that is searched for.
    fn watch(&self, who: &str, look: Look, subject: &str) -> Result<Watched, NotWatched>;
}

/// How a look was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// In the ledger; its `seq`, where the ledger's writer told it.
    Recorded(Option<u64>),
    /// Nothing writes this ledger now: it is a bundle, a copy, or its gateway is down. The answer says so.
    Offline,
}

/// A look could not be recorded, so nothing is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotWatched(pub String);

impl fmt::Display for NotWatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "looking could not be recorded, so nothing is shown: {}", self.0)
    }
}

impl std::error::Error for NotWatched {}

/// For a ledger that nothing writes: a bundle, a copy, a gateway that is down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Watch for Offline {
    fn watch(&self, _: &str, _: Look, _: &str) -> Result<Watched, NotWatched> {
        Ok(Watched::Offline)
    }
}
