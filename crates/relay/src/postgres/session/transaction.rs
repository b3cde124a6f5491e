//! The transaction as the client's next message will find it: what upstream said last, and what was sent since.
//!
//! Between two ReadyForQuery upstream says nothing of it, and a client may send many statements, and many Syncs, in one
//! go. Spec: PostgreSQL 17, 53.2.3 "Extended Query" and 53.2.4 "Pipelining".

use super::*;

/// What was sent, if all of it goes well. Where it does not, upstream skips what follows, or refuses it as that of a
/// failed transaction; its next ReadyForQuery puts this right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Between BEGIN and its end.
    block: bool,
    /// A statement has run outside of a block, and no Sync has ended that.
    implicit: bool,
    /// The block has failed: it waits for its end, or to go back in it.
    failed: bool,
    /// The gateway has made upstream fail: so has the block, as of the next Sync.
    poisoned: bool,
}

impl Ahead {
    /// With nothing under way behind it, this is all there is to know.
    pub(super) fn confirmed(tx: TxStatus) -> Ahead {
        Ahead { block: tx != TxStatus::Idle, failed: tx == TxStatus::Failed, ..Ahead::default() }
    }

    /// A statement with these effects was sent.
    pub(super) fn ran(&mut self, effects: &[Effect]) {
        let mut turned = false;
        for effect in effects {
            match effect {
                Effect::Begin { .. } => self.block = true,
                Effect::Commit { chain } | Effect::Rollback { chain } => {
                    *self =
                        Ahead { block: *chain && self.block, poisoned: self.poisoned, ..Ahead::default() };
                }
                // These are errors outside of a block.
                Effect::Savepoint { .. } | Effect::Release { .. } => self.block = true,
                Effect::RollbackTo { .. } => (self.block, self.failed) = (true, false),
                _ => continue,
            }
            turned = true;
        }
        self.implicit |= !turned && !self.block;
    }

    pub(super) fn poison(&mut self) {
        self.poisoned = true;
    }

    pub(super) fn synced(&mut self) {
        self.implicit = false;
        self.failed |= std::mem::take(&mut self.poisoned) && self.block;
    }

    pub(super) fn tx(self) -> Tx {
        match (self.failed, self.block || self.implicit) {
            (true, _) => Tx::Failed,
            (false, true) => Tx::In,
            (false, false) => Tx::Idle,
        }
    }
}

/// Why nobody is asked: the client's error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub code: &'static str,
    pub why: &'static str,
    /// What to do, as the error's HINT.
    pub hint: &'static str,
}

const TRANSACTION_LOCKS: Holding = Holding {
    code: "25001",
    why: "this needs an approval, and the transaction holds locks that others wait for",
    hint: "end the transaction and run the statement in one of its own, or before what takes the locks; \
        `hold_in_transaction` of the resource says how long an approval may take here, and by default it is no time",
};

const SESSION_LOCKS: Holding = Holding {
    code: "55000",
    why: "this needs an approval, and the session may hold advisory locks that others wait for",
    hint: "run `SELECT pg_advisory_unlock_all()` alone before the statement, or run it in a session of its own; \
        `hold_in_transaction` of the resource says how long an approval may take here, and by default it is no time",
};

impl Holding {
    /// What to do about a refusal with this sentence.
    pub(super) fn hint_for(why: &str) -> Option<&'static str> {
        [&TRANSACTION_LOCKS, &SESSION_LOCKS].into_iter().find(|held| held.why == why).map(|held| held.hint)
    }
}

impl Session {
    /// The transaction in which the statement at hand would run: behind all that was sent, and behind those before it in
    /// its Query, which are sent when all are decided.
    pub(super) fn tx(&self) -> Tx {
        let mut ahead = self.ahead;
        let before = self.script.as_ref().map_or(&[][..], |script| &script.decided);
        before.iter().for_each(|(ready, _, _)| ahead.ran(&ready.plan.analysis.effects));
        ahead.tx()
    }

    /// A statement was queued.
    pub(super) fn runs(&mut self, op: u64, plan: &Plan) {
        if plan.statement.is_none() {
            return;
        }
        self.ahead.ran(&plan.analysis.effects);
        if plan.analysis.locks {
            self.locked_by = op;
        }
        if plan.analysis.session_locks == SessionLocks::Takes {
            self.session_locked_by = op;
        }
    }

    /// Upstream has ended its transaction with `op`: locks of what was sent before it are gone.
    pub(super) fn unlocked_at(&mut self, op: u64) {
        if self.locked_by < op {
            self.locked_by = 0;
        }
    }

    /// A statement was carried out: one that lets go of the session's locks leaves none of those that were taken before.
    pub(super) fn session_unlocked_by(&mut self, op: u64, plan: &Plan) {
        if plan.analysis.session_locks == SessionLocks::Releases && self.session_locked_by < op {
            self.session_locked_by = 0;
        }
    }

    /// Whose locks others may wait for while a human is asked.
    pub(super) fn holding(&self) -> Option<&'static Holding> {
        if self.tx() != Tx::Idle && self.locked_by > 0 {
            return Some(&TRANSACTION_LOCKS);
        }
        (self.session_locked_by > 0).then_some(&SESSION_LOCKS)
    }

    /// How long a human may take. While others wait for locks of this session: as long as the resource says, and
    /// by default no time at all.
    pub(super) fn longest_wait(&self) -> Duration {
        let config = &self.resource.config;
        match self.holding() {
            Some(_) => config.hold_in_transaction.min(config.approval_timeout),
            None => config.approval_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Effect = Effect::Begin { read_only: None };
    const COMMIT: Effect = Effect::Commit { chain: false };

    /// `s`: a statement, `b`, `c`, `C` (AND CHAIN), `r`, `p` (SAVEPOINT), `t` (ROLLBACK TO), `!`: refused, `|`: Sync.
    fn after(start: TxStatus, sent: &str) -> Tx {
        let mut ahead = Ahead::confirmed(start);
        for what in sent.chars() {
            let effects = match what {
                'b' => vec![BEGIN],
                'c' => vec![COMMIT],
                'C' => vec![Effect::Commit { chain: true }],
                'r' => vec![Effect::Rollback { chain: false }],
                'p' => vec![Effect::Savepoint { name: "p".to_owned() }],
                't' => vec![Effect::RollbackTo { name: "p".to_owned() }],
                's' => vec![],
                '!' => {
                    ahead.poison();
                    continue;
                }
                _ => {
                    ahead.synced();
                    continue;
                }
            };
            ahead.ran(&effects);
        }
        ahead.tx()
    }

    #[test]
    fn a_pipeline_is_in_the_transaction_that_it_has_begun() {
        use TxStatus::{Failed, Idle, InTransaction};
        for (start, sent, expect) in [
            (Idle, "", Tx::Idle),
            (Idle, "s", Tx::In),
            (Idle, "s|", Tx::Idle),
            (Idle, "s|s", Tx::In),
            (Idle, "b", Tx::In),
            (Idle, "b|", Tx::In),
            (Idle, "bs|s|", Tx::In),
            (Idle, "bsc", Tx::Idle),
            (Idle, "b|s|c|", Tx::Idle),
            (Idle, "bsC", Tx::In),
            (Idle, "sC", Tx::Idle),
            (Idle, "sc", Tx::Idle),
            (Idle, "bscs", Tx::In),
            (Idle, "sb|", Tx::In),
            (Idle, "s!|", Tx::Idle),
            (Idle, "bs!|", Tx::Failed),
            (Idle, "bs!|t", Tx::In),
            (Idle, "bs!|r|", Tx::Idle),
            (InTransaction, "", Tx::In),
            (InTransaction, "r", Tx::Idle),
            (InTransaction, "ps|t|", Tx::In),
            (Failed, "", Tx::Failed),
            (Failed, "s|s", Tx::Failed),
            (Failed, "r", Tx::Idle),
            (Failed, "r|s|", Tx::Idle),
            (Failed, "t|", Tx::In),
        ] {
            assert_eq!(after(start, sent), expect, "{start:?} {sent}");
        }
    }
}
