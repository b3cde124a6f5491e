//! What the console and the command line ask of a running gateway: its seats, and the second socket.
//!
//! Reading order: [`Shared`] (what they all look at) -> [`auth`] (who is calling) -> [`runs`] -> [`approvals`] ->
//! [`tools`] -> [`evidence`] -> [`desk`] (the second socket).

pub(crate) mod approvals;
mod attempts;
mod auth;
pub mod desk;
mod evidence;
mod runs;
mod tools;
mod workloads;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use console::seat::{Failed, FailedKind};
use gate::Gate;
use ledger::{Draft, Kind};
use policy::Policy;
use relay::runs::Registry;
use relay::{Door, Served};
use tokio::runtime::Handle;
use vocab::{RunId, Seq};

use crate::config::Config;
use crate::fault::Failure;
use crate::issuers::Issuers;
use crate::operators::Operators;
use crate::witnesses::Witness;

pub use approvals::{Approvers, InboxDesk};
pub use auth::Doorkeeper;
pub use evidence::Desks;
pub use runs::{RunDesk, STOP_WAIT};
pub use tools::ToolDesk;

/// What the seats share.
pub struct Shared {
    pub config: Config,
    pub gate: Gate,
    pub registry: Registry,
    /// The policy in force: for `delegate` and `spawn`, which no session asks.
    pub policy: RwLock<Arc<Policy>>,
    pub serving: Serving,
    pub witnesses: Vec<Arc<Witness>>,
    pub issuers: Issuers,
    pub handle: Handle,
    /// The process that holds each run: who descends from it is inside the run.
    holders: Mutex<BTreeMap<RunId, Holder>>,
    /// When each live run was minted, as answers show it.
    since: Mutex<BTreeMap<RunId, String>>,
    operators: Mutex<KnownOperators>,
    /// Operators whose tokens were shown inside a run of late.
    refused_inside: Mutex<BTreeMap<String, Instant>>,
    /// Why the policy on disk is not the one in force, since it was last reloaded.
    policy_refused: Mutex<Option<String>>,
    pub started: String,
}

/// What is served, and where.
pub struct Serving {
    /// The resources as they are served, in the order of the configuration.
    pub resources: Vec<Served>,
    /// Where each listens; `None`: it is behind the proxy alone.
    pub addresses: Vec<Option<std::net::SocketAddr>>,
    pub door: Option<Door>,
    /// The installation's own certificate, which clients may pin.
    pub certificate: std::path::PathBuf,
}

/// The `tacho run` that a run lives with.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    pub pid: i32,
    pub uid: u32,
    /// The process carries its agent's connections (`run::jail::relay`), and stands for it on them.
    pub jailed: bool,
    /// Attempts that are in the record.
    attempts: usize,
}

impl Holder {
    pub fn new(pid: i32, uid: u32) -> Holder {
        Holder { pid, uid, jailed: false, attempts: 0 }
    }
}

/// The operators' file as last read.
#[derive(Default)]
struct KnownOperators {
    stamp: Option<(std::time::SystemTime, u64)>,
    list: Operators,
}

fn stamp(file: &std::path::Path) -> Option<(std::time::SystemTime, u64)> {
    let of = std::fs::metadata(file).ok()?;
    Some((of.modified().ok()?, of.len()))
}

impl Shared {
    pub fn new(
        config: Config,
        gate: Gate,
        registry: Registry,
        policy: Arc<Policy>,
        serving: Serving,
        witnesses: Vec<Arc<Witness>>,
        issuers: Issuers,
    ) -> Shared {
        Shared {
            config,
            gate,
            registry,
            policy: RwLock::new(policy),
            serving,
            witnesses,
            issuers,
            handle: Handle::current(),
            holders: Mutex::default(),
            since: Mutex::default(),
            operators: Mutex::default(),
            refused_inside: Mutex::default(),
            policy_refused: Mutex::default(),
            started: answers::time(crate::evidence::now()),
        }
    }

    fn policy(&self) -> Arc<Policy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What of the policy in force can hardly be meant, each with what would mend it.
    pub fn policy_doubts(&self) -> Vec<(String, String)> {
        // Without a record of what changed in it: nobody comes in by this.
        let operators = Operators::load(&self.config.operators_file()).unwrap_or_default();
        crate::policies::doubts(&self.config, &self.policy(), &operators)
    }

    /// Keeps for `tacho status` why the policy on disk was not taken, until one is.
    pub fn policy_refused(&self, failure: Option<&Failure>) {
        *lock(&self.policy_refused) = failure.map(|failure| {
            let first = failure.lines.first().map_or("", |line| line.lines().next().unwrap_or_default());
            let at = answers::time(crate::evidence::now());
            format!(
                "the policy on disk was refused at {at}, and the one before it stays in force: {first}; \
                 `tacho policy check` says all of it"
            )
        });
    }

    /// The resources with why their upstreams are down, if they are.
    pub fn upstreams(&self) -> Vec<(String, Option<String>)> {
        let served = self.config.resources.iter().zip(&self.serving.resources);
        served.map(|(configured, served)| (configured.name.clone(), served.trouble())).collect()
    }

    /// The operators as of now; a file that is wrong knows nobody. What changed in it is recorded before it counts.
    fn operators(&self) -> Result<Operators, Failed> {
        let path = self.config.operators_file();
        let stamp = stamp(&path);
        let mut known = lock(&self.operators);
        if known.stamp != stamp || stamp.is_none() {
            let list = Operators::load(&path).map_err(|e| unavailable(e.to_string()))?;
            self.record_changes(&known.list, &list)?;
            *known = KnownOperators { stamp, list };
        }
        Ok(known.list.clone())
    }

    /// Records how many connections were turned away since the last time, and how many issuers' tokens were refused, and
    /// why, if there were any.
    pub fn record_strangers(&self) {
        let refused = self.issuers.take_refused();
        if !refused.is_empty() {
            // A ledger that is down says so itself when it is back.
            let _lost = self.admin("gateway", "tokens-refused", &refused.join(", "), "refused");
        }
        let counts = self.registry.turned_away.take();
        let words: Vec<String> = counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
        if !words.is_empty() {
            // A ledger that is down says so itself when it is back.
            let _lost = self.admin("gateway", "turned-away", &words.join(", "), "refused");
        }
    }

    fn record_changes(&self, before: &Operators, after: &Operators) -> Result<(), Failed> {
        let missing = |from: &Operators, name: &str| !from.list.iter().any(|o| o.name == name);
        for operator in after.list.iter().filter(|o| missing(before, &o.name)) {
            self.admin("operator-file", "operator-add", &operator.name, "known")?;
        }
        for operator in before.list.iter().filter(|o| missing(after, &o.name)) {
            self.admin("operator-file", "operator-remove", &operator.name, "gone")?;
        }
        for operator in &after.list {
            let was = before.list.iter().find(|o| o.name == operator.name);
            let changed = was.map_or_else(Vec::new, |was| operator.differs_from(was));
            if !changed.is_empty() {
                let subject = format!("{}: {}", operator.name, changed.join(", "));
                self.admin("operator-file", "operator-change", &subject, "known")?;
            }
        }
        Ok(())
    }

    /// An `admin` record, durable when this returns. Call it where blocking is allowed.
    pub fn admin(
        &self,
        who: &str,
        verb: &'static str,
        subject: &str,
        result: &'static str,
    ) -> Result<Seq, Failed> {
        let draft = Draft::new(Kind::Admin)
            .put("who", self.masked(who))
            .put("verb", verb)
            .put("subject", self.masked(subject))
            .put("result", result);
        self.record(draft)
    }

    /// Text for a record: detectors ran over it.
    fn masked(&self, text: &str) -> mask::MaskedText {
        mask::text(self.gate.detectors(), text).0
    }

    fn record(&self, draft: Draft) -> Result<Seq, Failed> {
        let receipt = self
            .gate
            .ledger()
            .append(draft)
            .map_err(|e| unavailable(format!("it could not be recorded: {e}")))?;
        let seq = receipt.seq();
        let _durable = receipt
            .wait()
            .map_err(|_| unavailable("it could not be recorded: the ledger lost the record".to_owned()))?;
        Ok(seq)
    }
}

fn failed(kind: FailedKind, why: impl Into<String>) -> Failed {
    Failed { kind, why: why.into() }
}

fn unavailable(why: String) -> Failed {
    failed(FailedKind::Unavailable, why)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
