//! What the records so far amount to: the tree's frontier and each open run's tail.
//!
//! Two of these run side by side: one ahead, under the append lock, which gives numbers; one behind, with the
//! committer, which holds only what is on disk. After a failure the one ahead is thrown away for the one behind.

use std::collections::HashMap;

use seal::Hash;
use seal::tree::Frontier;
use vocab::RunId;

/// Ids are minted here, not chosen by a peer; each record looks its run up several times.
pub(crate) type ByRun<T> = HashMap<RunId, T, foldhash::quality::RandomState>;

/// Everything that is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) frontier: Frontier,
    pub(crate) runs: ByRun<Tail>,
}

impl Model {
    /// The next record's sequence number.
    pub(crate) fn next(&self) -> u64 {
        self.frontier.size()
    }

    /// Takes in one record. The caller has checked that it fits.
    pub(crate) fn apply(&mut self, leaf: Hash, run: Option<(RunId, Step)>) {
        self.frontier.append(leaf);
        match run {
            Some((run, Step::Closes)) => {
                self.runs.remove(&run);
            }
            Some((run, Step::Opens | Step::Goes)) => self.runs.entry(run).or_default().push(leaf),
            None => {}
        }
    }
}

/// What a record does to its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Opens,
    Goes,
    Closes,
}

/// Where a run's chain stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    /// The run's own tree, for the root in `close`; its size is the next `rseq`.
    pub(crate) frontier: Frontier,
    /// Leaf hash of the run's last record; zeros before the first.
    pub(crate) last: Hash,
}

impl Tail {
    pub(crate) fn count(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        self.frontier.append(leaf);
        self.last = leaf;
    }
}
