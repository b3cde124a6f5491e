//! A client's connection: whose it is, what it shares among its channels, and what it asks beside them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gate::Who;
use mask::Known;
use vocab::Seq;

use super::REFUSED_STATUS;
use super::asked::Asked;
use super::decide::{Cut, Denied};
use super::library::Beside;
use super::pool::Pool;
use super::resource::Resource;
use crate::entropy;
use crate::limits::SSH_BESIDE_LISTED_MAX;

/// What all channels of a connection share.
pub(super) struct Link {
    pub(super) resource: Arc<Resource>,
    pub(super) who: Who,
    /// The record of the connection.
    pub(super) connect: Seq,
    pub(super) pool: Pool,
    known: Mutex<Known>,
    /// How often each kind of thing was refused beside programs so far.
    beside: Mutex<BTreeMap<&'static str, u64>>,
}

impl Link {
    pub(super) fn new(resource: Arc<Resource>, who: Who, connect: Seq, pool: Pool) -> Link {
        Link {
            resource,
            who,
            connect,
            pool,
            known: Mutex::new(Known::new(entropy::random())),
            beside: Mutex::default(),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Why it is refused.
pub(super) fn why(what: &str) -> &'static str {
    match what {
        "subsystem" => "no subsystem is carried by this gateway",
        "pty" => "no terminal of this name is asked for",
        "env" => "this variable is not passed on",
        "x11" => "X11 is not forwarded",
        "agent" => "agents are not forwarded",
        "forward" | "reverse-forward" => "nothing is forwarded",
        "signal" => "this signal is not passed on",
        _ => "this is not carried by this gateway",
    }
}
