//! The console's evidence: an index that follows the gateway's own ledger, and the gateway's health.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use answers::{Cannot, Chain, Desk, Holder, Look, NotWatched, RecordCount, StoreReels, Watch, Watched};
use console::seat::{Evidence, Failed, ProxyStatus, ResourceStatus, Status};
use index::Follower;
use ledger::keys::{GatewayKey, RunKeys};
use ledger::read::Store;
use ledger::{Draft, Kind, RealDisk};
use relay::Served;
use seal::verify::Options;

use super::{Shared, lock};
use crate::config::Resource;
use crate::evidence::now;

/// The console's [`Evidence`].
pub struct Desks {
    shared: Arc<Shared>,
    dir: PathBuf,
    store: Store,
    state: Mutex<State>,
}

struct State {
    follower: Follower,
    /// The chain as of the checkpoint of this size.
    chain: Option<(u64, Chain)>,
}

impl Desks {
    pub fn new(shared: Arc<Shared>, dir: PathBuf) -> Desks {
        let store = shared.gate.ledger().store();
        let follower = Follower::new(&store);
        Desks { shared, dir, store, state: Mutex::new(State { follower, chain: None }) }
    }
}

impl Watch for Desks {
    fn watch(&self, who: &str, look: Look, subject: &str) -> Result<Watched, NotWatched> {
        watch(&self.shared, who, look.as_str(), subject).map(|seq| Watched::Recorded(Some(seq)))
    }
}

/// Writes a `watch` record; durable when this returns.
pub fn watch(shared: &Shared, who: &str, verb: &'static str, subject: &str) -> Result<u64, NotWatched> {
    let (who, subject) = (shared.masked(who), shared.masked(subject));
    let draft = Draft::new(Kind::Watch).put("who", who).put("verb", verb).put("subject", subject);
    shared.record(draft).map(|seq| seq.0).map_err(|failed| NotWatched(failed.why))
}

impl Evidence for Desks {
    fn with_desk(&self, who: &str, ask: &mut dyn FnMut(&Desk<'_>)) -> Result<(), Cannot> {
        let keys = &self.shared.config.gateway.keys;
        let key = GatewayKey::load(&RealDisk, keys).map_err(|e| Cannot::Ledger(e.to_string()))?;
        let runs = RunKeys::load(&RealDisk, keys).map_err(|e| Cannot::Ledger(e.to_string()))?;
        let mut state = lock(&self.state);
        // What is under a checkpoint is durable, and will have been read.
        let size = self.shared.gate.ledger().status().checkpointed;
        state.follower.refresh().map_err(|e| Cannot::Ledger(e.to_string()))?;
        if state.chain.as_ref().is_none_or(|(of, _)| *of != size) {
            let witnesses = self.shared.config.witness_keys();
            let options = Options { live: true, witnesses, witness_optional: true, ..Options::default() };
            let verdict = answers::verify(&self.dir, &options, &mut |_, _| {})?;
            let chain = answers::chain(&verdict, &options.witnesses);
            // What is not durable yet was verified, and is not read.
            let chain = match &verdict {
                Ok(report) => {
                    let least = RecordCount::AtLeast(report.covered.min(size));
                    chain.of_index(state.follower.index(), least, None)
                }
                Err(_) => chain,
            };
            state.chain = Some((size, chain));
        }
        let State { follower, chain } = &*state;
        let unchecked = Chain::NotChecked;
        let chain = chain.as_ref().map_or(&unchecked, |(_, chain)| chain);
        let reels = StoreReels { store: &self.store, follower, keys: &runs, holder: Holder::Gateway(&key) };
        ask(&Desk { index: follower.index(), chain, now: now(), who, watch: self, reels: &reels });
        Ok(())
    }

    fn status(&self) -> Result<Status, Failed> {
        let shared = &self.shared;
        let ledger = shared.gate.ledger().status();
        let runs = shared.registry.list();
        let free = rustix::fs::statvfs(&self.dir).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        let mut alarms: Vec<String> = ledger.warning.into_iter().collect();
        if let Err(why) = ledger.admission {
            alarms.push(format!("nothing new is admitted: {why}"));
        }
        let resources = self.resources();
        for (name, why) in shared.upstreams() {
            alarms.extend(why.map(|why| format!("the upstream of {name} is down: {why}")));
        }
        alarms.extend(lock(&shared.policy_refused).clone());
        alarms.extend(shared.issuers.alarms());
        alarms.extend(shared.witnesses.iter().filter_map(|witness| witness.alarm()));
        let witnesses = shared.witnesses.iter().map(|witness| witness.status(ledger.records)).collect();
        let proxy = shared.serving.door.as_ref().map(|door| ProxyStatus {
            listen: door.address.to_string(),
            certificate: door.file.display().to_string(),
        });
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            origin: ledger.origin,
            since: shared.started.clone(),
            durability: shared.gate.ledger().durability().as_str().to_owned(),
            policy: crate::hex::encode(&shared.gate.policy_hash().0),
            records: ledger.records,
            open_records: ledger.records.saturating_sub(ledger.checkpointed),
            runs: count(runs.len()),
            sessions: runs.iter().map(|run| run.sessions()).sum(),
            waiting: count(shared.gate.inbox().list().len()),
            free_bytes: free,
            resources,
            proxy,
            witnesses,
            alarms,
        })
    }
}

impl Desks {
    fn resources(&self) -> Vec<ResourceStatus> {
        let shared = &self.shared;
        let serving = &shared.serving;
        let served = shared.config.resources.iter().zip(&serving.addresses).zip(&serving.resources);
        let line = |((configured, address), served): ((&Resource, &Option<SocketAddr>), &Served)| {
            let detail = served.trouble();
            ResourceStatus {
                name: configured.name.clone(),
                kind: configured.what.kind().to_owned(),
                listen: address.map_or_else(|| "proxy".to_owned(), |address| address.to_string()),
                upstream: configured.what.address(),
                sessions: served.sessions(),
                up: detail.is_none(),
                detail,
            }
        };
        served.map(line).collect()
    }
}
