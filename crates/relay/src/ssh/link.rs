//! A client's connection: whose it is, what it shares among its channels, and what it asks beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gate::{Outcome, Who};
use mask::Known;
use vocab::Seq;

use super::REFUSED_STATUS;
use super::asked::Asked;
use super::decide::{Cut, Denied};
use super::library::Beside;
use super::pool::Pool;
use super::resource::Resource;
use crate::entropy;
use crate::limits::{REFUSAL_RECORD, SSH_BESIDE_LISTED_MAX};
use crate::runs::Run;

/// What all channels of a connection share.
pub(super) struct Link {
    pub(super) resource: Arc<Resource>,
    pub(super) who: Who,
    /// The record of the connection.
    pub(super) connect: Seq,
    pub(super) pool: Pool,
    known: Mutex<Known>,
    /// Intents of which no durable record says yet how they ended.
    open: Mutex<BTreeSet<Seq>>,
    /// How often each kind of thing was refused beside programs so far.
    beside: Mutex<BTreeMap<&'static str, u64>>,
}

impl Link {
    pub(super) fn new(resource: Arc<Resource>, who: Who, connect: Seq, pool: Pool, run: &Run) -> Link {
        Link {
            resource,
            who,
            connect,
            pool,
            known: Mutex::new(Known::of_run(entropy::random(), run.echoes.clone())),
            open: Mutex::default(),
            beside: Mutex::default(),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<Seq>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An intent is durable, and what is sent under it has to come to an end in the record.
    pub(super) fn begun(&self, of: Seq) {
        self.open().insert(of);
    }

    /// How it ended is said: there is one such record. If that is lost, recovery says what it says of an intent without one.
    pub(super) fn settled(&self, of: Seq) {
        self.open().remove(&of);
    }

    pub(super) fn is_open(&self, of: Seq) -> bool {
        self.open().contains(&of)
    }

    /// Says of an intent that nobody knows what became of it. Waits for the record, for a moment.
    pub(super) async fn indeterminate(&self, of: Seq, outcome: Outcome) {
        let outcome = unknown(outcome);
        // If no record is possible now, recovery closes the run, and an intent without an outcome is indeterminate.
        if let Ok(receipt) = self.resource.gate.outcome(&self.who, of, outcome) {
            self.settled(of);
            let _durable = tokio::time::timeout(REFUSAL_RECORD, receipt).await;
        }
    }

    /// The same of all that no task is left for: each was given up when the connection ended.
    pub(super) fn abandoned(&self) {
        let open = std::mem::take(&mut *self.open());
        for of in open {
            let outcome = Outcome { partial: Some(CUT_SHORT), ..unknown(Outcome::default()) };
            // The record of the connection's end stands behind these, and waits for them.
            let _before_the_next = self.resource.gate.outcome(&self.who, of, outcome);
        }
    }

    /// Records that something was asked for that is refused: each time one by one, up to a limit for each kind, and then counted.
    pub(super) async fn beside(&self, what: &Beside) -> Result<(), Cut> {
        {
            let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
            let before = beside.entry(what.what).or_default();
            *before += 1;
            if *before > SSH_BESIDE_LISTED_MAX {
                return Ok(());
            }
        }
        let asked = Asked::beside(&self.resource, &self.who, what, why(what.what));
        let context = policy::Context { now: entropy::wall(), ..asked.context.clone() };
        let ground = gate::Ground { action: asked.action(), context: &context, release: None };
        let mut decided = self.resource.gate.verdict(&self.who, &ground, &Default::default());
        decided.message = None;
        let denied = Denied { decided: decided.into(), why: why(what.what), of: None };
        let recorded = self.record_refusal(&asked, &denied, REFUSED_STATUS, false).await;
        recorded.map(|_words| ()).map_err(|cut| self.unsent(cut))
    }

    /// How many were refused beside programs and are not in the record one by one.
    pub(super) fn unlisted(&self) -> u64 {
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        beside.values().map(|times| times.saturating_sub(SSH_BESIDE_LISTED_MAX)).sum()
    }
}

/// The coverage of what was cut.
pub(super) const CUT_SHORT: &str = "partial: the connection ended before the program's end";

/// Nobody knows how it ended.
fn unknown(outcome: Outcome) -> Outcome {
    Outcome { result: "indeterminate", state: "final", settled: Some("indeterminate"), ..outcome }
}

/// Why it is refused.
pub(super) fn why(what: &str) -> &'static str {
    match what {
        "subsystem" => "this subsystem is not carried by this gateway",
        "pty" => "no terminal of this name is asked for",
        "sftp" => "this request of SFTP is not carried by this gateway",
        "env" => "this variable is not passed on",
        "x11" => "X11 is not forwarded",
        "agent" => "agents are not forwarded",
        "forward" => {
            "this is no place that is forwarded to: a plain host and port, or the plain path of a socket"
        }
        "reverse-forward" => "nothing is forwarded back to the client",
        "unknown-channel" => "channels of this kind are not carried by this gateway",
        "signal" => "this signal is not passed on",
        _ => "this is not carried by this gateway",
    }
}
