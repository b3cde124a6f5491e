//! What the agent of a jailed run tried to reach, into its run's record.

use console::seat::{Failed, FailedKind};
use ledger::{Draft, Kind};
use vocab::RunId;

use super::{Shared, failed, lock};
use crate::limits::{JAIL_ADDRESSES_LISTED_MAX, JAIL_NAMES_LISTED_MAX};
use crate::run::jail::attempts::{Attempt, Totals};

impl Shared {
    /// A note for each, and one for all together; durable when this returns. Only the process that holds a run says
    /// what its agent tried.
    pub fn record_attempts(
        &self,
        pid: i32,
        token: &str,
        listed: &[Attempt],
        totals: Option<Totals>,
    ) -> Result<(), Failed> {
        let run = self.registry.by_token(token).map(|run| run.id);
        let run = run.filter(|run| lock(&self.holders).get(run).is_some_and(|h| h.jailed && h.pid == pid));
        let Some(run) = run else {
            return Err(failed(FailedKind::Forbidden, "that is no jailed run, or another process holds it"));
        };
        for attempt in listed {
            self.admit_attempt(run)?;
            self.record(self.attempt(run, attempt))?;
        }
        if let Some(totals) = totals {
            self.record(self.totals(run, totals))?;
        }
        Ok(())
    }

    /// The other side lists no more than that; a process that holds a run and says more fills no ledger.
    fn admit_attempt(&self, run: RunId) -> Result<(), Failed> {
        let mut holders = lock(&self.holders);
        let holder = holders.get_mut(&run).ok_or_else(|| failed(FailedKind::Gone, "the run is over"))?;
        if holder.attempts >= JAIL_ADDRESSES_LISTED_MAX + JAIL_NAMES_LISTED_MAX {
            return Err(failed(FailedKind::Wrong, "that is more than is listed of one run"));
        }
        holder.attempts += 1;
        Ok(())
    }

    fn attempt(&self, run: RunId, attempt: &Attempt) -> Draft {
        let note = |what| Draft::new(Kind::Note).run(run).put("what", what);
        match attempt {
            Attempt::Tcp(to) => note("attempt-tcp").put("detail", *to),
            Attempt::Udp(to) => note("attempt-udp").put("detail", *to),
            Attempt::Other { protocol, to } => {
                note("attempt-other").put("detail", self.masked(&format!("protocol {protocol} to {to}")))
            }
            // A name is the agent's own words: what detectors know in it does not stand in the record.
            Attempt::Name(name) => note("attempt-name").put("detail", self.masked(name)),
        }
    }

    fn totals(&self, run: RunId, totals: Totals) -> Draft {
        let Totals { tcp, udp, other, names, name_bytes, listed } = totals;
        let words = format!(
            "{tcp} by TCP, {udp} by UDP, {other} otherwise, {names} names of {name_bytes} bytes; {listed} different ones are listed"
        );
        Draft::new(Kind::Note).run(run).put("what", "attempts").put("detail", self.masked(&words))
    }
}
