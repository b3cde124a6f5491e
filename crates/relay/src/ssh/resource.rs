//! One host: its configuration, made ready.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gate::Gate;
use mask::Detectors;
use vocab::ResourcePath;

use super::forward::Routes;
use super::library::{Cut, Guard, HostKey, RunKey};
use crate::config::SshResource;
use crate::counts::Stranger;
use crate::limits::UNPROVED_MAX;
use crate::runs::{Registry, Run};

/// What all connections to one host share.
pub struct Resource {
    pub config: SshResource,
    pub gate: Gate,
    pub registry: Registry,
    pub root: ResourcePath,
    /// How many connections there are now.
    pub sessions: AtomicU64,
    /// A run is carried out again, for which nothing is dialled.
    pub(crate) again: bool,
    pub(super) key: HostKey,
    /// What looks at the output of programs.
    pub(super) detectors: Detectors,
    /// Where the gateway's resources are, once all of them are bound.
    pub(crate) routes: OnceLock<Arc<Routes>>,
    trouble: Mutex<Option<String>>,
    /// Connections that have not proved a run, oldest first.
    unproved: Mutex<VecDeque<Cut>>,
}

impl Resource {
    /// `keys`: where the gateway's own key lives. Errors are sentences for the operator.
    pub fn new(config: SshResource, gate: Gate, registry: Registry, keys: &Path) -> Result<Resource, String> {
        Ok(Resource {
            root: ResourcePath::root(&config.name),
            config,
            detectors: gate.detectors().of_programs(),
            gate,
            registry,
            sessions: AtomicU64::new(0),
            again: false,
            key: HostKey::open(keys)?,
            routes: OnceLock::new(),
            trouble: Mutex::new(None),
            unproved: Mutex::default(),
        })
    }

    /// What clients pin: `ssh-ed25519 AAAA...`.
    pub fn host_key(&self) -> &str {
        self.key.public()
    }

    /// Why the host was not reached when it was last dialled.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn reached(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// One more connection that has not proved a run; with too many of them the oldest is cut.
    pub(super) fn begins(&self, cut: &Cut) {
        let mut unproved = self.unproved.lock().unwrap_or_else(PoisonError::into_inner);
        unproved.push_back(cut.clone());
        let oldest = if unproved.len() > UNPROVED_MAX { unproved.pop_front() } else { None };
        drop(unproved);
        if let Some(oldest) = oldest {
            oldest.cut();
            self.registry.turned_away.add(Stranger::Full);
        }
    }

    /// It has proved one, or is over.
    pub(super) fn begun(&self, cut: &Cut) {
        self.unproved.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !other.is(cut));
    }
}

impl Guard for Resource {
    fn is_user(&self, user: &str) -> bool {
        user == self.config.user
    }

    fn by_key(&self, key: &RunKey) -> Option<Arc<Run>> {
        self.registry.by_key(key)
    }

    fn by_password(&self, password: &str) -> Option<Arc<Run>> {
        // As clients show it that send a bearer token: the run's user name, a dot, its password.
        let (user, password) = password.split_once('.')?;
        self.registry.by_password(user, password.as_bytes())
    }

    fn turned_away(&self) {
        self.registry.turned_away.add(Stranger::Credential);
    }
}
