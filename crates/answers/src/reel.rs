//! Opening payloads: out of a ledger's directory with the gateway's or an auditor's key, or out of a bundle.

use index::{Bundle, Follower};
use ledger::keys::{AuditorSecret, GatewayKey, KeyError, RunKey, RunKeys};
use ledger::read::{ReadError, Store};
use vocab::{RunId, Seq};

use crate::replay::{NoReel, Reels};

/// Who opens the payload keys of runs.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    Gateway(&'a GatewayKey),
    Auditor(&'a AuditorSecret),
}

/// The payloads of a ledger's directory.
pub struct StoreReels<'a> {
    pub store: &'a Store,
    pub follower: &'a Follower,
    /// The wrapped keys of all runs.
    pub keys: &'a RunKeys,
    pub holder: Holder<'a>,
}

impl StoreReels<'_> {
    /// The payload key of a run.
    pub fn run_key(&self, run: RunId) -> Result<RunKey, NoReel> {
        let origin = self.store.origin();
        let opened = match self.holder {
            Holder::Gateway(key) => key.open_run(origin, self.keys, run),
            Holder::Auditor(key) => key.open_run(origin, self.keys, run),
        };
        opened.map_err(no_key)
    }
}

impl Reels for StoreReels<'_> {
    fn open(&self, run: RunId, seq: Seq) -> Result<Vec<Vec<u8>>, NoReel> {
        let key = self.run_key(run)?;
        let payloads = self.follower.payloads(seq).iter();
        let plain = payloads.map(|at| self.store.open_payload(at, &key).map(|value| value.to_bytes()));
        plain.collect::<Result<Vec<_>, ReadError>>().map_err(|error| match error {
            ReadError::Key(error) => no_key(error),
            other => NoReel::Damaged(other.to_string()),
        })
    }
}

/// The payloads of a bundle that holds its run's key.
pub struct BundleReels<'a> {
    pub bundle: &'a Bundle,
    pub origin: &'a str,
}

impl Reels for BundleReels<'_> {
    fn open(&self, _: RunId, seq: Seq) -> Result<Vec<Vec<u8>>, NoReel> {
        let Some(key) = &self.bundle.key else {
            return Err(NoReel::NoKey(NO_KEY_HERE.to_owned()));
        };
        let empty = Vec::new();
        let bodies = self.bundle.payloads.get(&seq).unwrap_or(&empty);
        let named = self.bundle.index.payloads(seq);
        if bodies.len() != named.len() {
            return Err(NoReel::Damaged("there are not as many payloads as the record names".to_owned()));
        }
        let open = |(body, named): (&Vec<u8>, &index::Payload)| {
            if seal::payload::body_digest(body) != named.digest
                || seal::payload::key_commitment(key) != named.key
            {
                return Err(NoReel::Damaged(
                    "it is not the payload or the key that the record names".to_owned(),
                ));
            }
            seal::payload::open(key, self.origin, body).map_err(|e| NoReel::Damaged(e.to_string()))
        };
        bodies.iter().zip(named).map(open).collect()
    }
}

/// A tombstone is no record of the run, and so in no bundle of it.
const NO_KEY_HERE: &str = "this bundle does not have the run's payload key: it was exported without, or the run's payloads were \
                           erased before, which a bundle does not say (`tacho who RUN` on the ledger does)";

fn no_key(error: KeyError) -> NoReel {
    match error {
        KeyError::Erased(_) => NoReel::Erased,
        other => NoReel::NoKey(format!("no key for the run's payloads: {other}")),
    }
}
