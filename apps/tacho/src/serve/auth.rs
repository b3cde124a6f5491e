//! Who is calling: an operator by token, a run by its token, a workload by its issuer's, a human by the uid that the kernel
//! names.
//!
//! **Invariant:** a process inside a run is no operator, and starts no run beside its own, whatever it shows. On a Unix socket the kernel names the
//! process, and it must still be the one that connected; for a TCP connection its client's socket is looked up in `/proc/net/tcp`, and the processes that have it in
//! `/proc/*/fd`. What cannot be told apart is refused. A connection out of a jail is carried by the `tacho run` that holds
//! the run, which therefore counts as inside it there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use console::seat::{Auth, Caller, Credential, Operator, Peer, Process, Role};
use vocab::RunId;

use super::{Holder, Shared, lock};
use crate::limits::STRANGERS_INTERVAL;
use crate::run::separation::agent_user;
use crate::{cli, proc};

/// The console's [`Auth`].
pub struct Doorkeeper(pub Arc<Shared>);

impl Auth for Doorkeeper {
    fn authenticate(&self, credential: Credential<'_>) -> Option<Caller> {
        match credential {
            Credential::Token(token) => self.by_token(token),
            Credential::Peer { uid, process } => self.by_peer(uid, process).map(Caller::Operator),
        }
    }

    fn admits(&self, name: &str, peer: Peer) -> Result<(), String> {
        let inside = match peer {
            Peer::Unix { uid, process } => process.is_none_or(|p| self.0.may_be_inside(uid, p)),
            Peer::Tcp { client, console } => self.0.may_be_inside_a_run(client, console),
        };
        if !inside {
            return Ok(());
        }
        // It knows a token that it must not have: that is news, and stays news for a while.
        if self.0.is_news(name) {
            // A ledger that is down says so itself when it is back; the refusal stands either way.
            let _lost = self.0.admin(name, "operator-refused", "a process inside a run", "refused");
        }
        Err("a process inside a run is no operator, and mints by its run's own credential alone, whatever token it shows; \
             from outside of every run, use the command line on the gateway's own socket"
            .to_owned())
    }

    fn process(&self, pid: i32) -> Option<Process> {
        proc::process(pid)
    }

    fn current(&self, name: &str, token: &[u8; 32]) -> Option<Operator> {
        let operators = self.0.operators().ok()?;
        operators.list.iter().find(|o| o.name == name && o.token == *token).map(operator)
    }
}

impl Doorkeeper {
    fn by_token(&self, token: &str) -> Option<Caller> {
        if let Some(run) = self.0.registry.by_token(token) {
            return Some(Caller::Run { run: run.id, human: run.human.to_string() });
        }
        if oidc::Token::looks_like_one(token) {
            let shared = &self.0;
            let now = crate::evidence::now().0 / 1_000_000_000;
            let caller = shared.issuers.caller(token, &shared.config, &shared.handle, now)?;
            return Some(Caller::Workload(Box::new(caller)));
        }
        self.0.operators().ok()?.by_token(token).map(|o| Caller::Operator(operator(o)))
    }

    /// A person's process outside of every run. A uid alone approves nothing: it has no role but to start runs, and
    /// with `delegate` to start them for others and to end them.
    fn by_peer(&self, uid: u32, process: Option<Process>) -> Option<Operator> {
        let human = self.0.config.human_by_uid(uid)?;
        if self.0.may_be_inside(uid, process?) {
            return None;
        }
        let roles = if human.delegate { vec![Role::Admin] } else { Vec::new() };
        Some(Operator { name: human.name.clone(), roles, groups: human.groups.iter().cloned().collect() })
    }
}

impl Shared {
    /// Whether a process is an agent's: by its uid, by its pid namespace, or by descent from a run's holder. True if that
    /// cannot be known: one that connected, forked and ended has left its connection to a child that nobody named.
    pub fn may_be_inside(&self, uid: u32, process: Process) -> bool {
        if self.config.gateway.agent_user.as_ref().is_some_and(|user| user.uid == uid) {
            return true;
        }
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let pid = process.pid.to_string();
        // What another user's process is in, the kernel does not say; how many namespaces, it says to all.
        if namespace(&pid).is_some_and(|theirs| namespace("self") != Some(theirs))
            || proc::namespaces_of(&pid).is_none_or(|theirs| proc::namespaces_of("self") != Some(theirs))
        {
            return true;
        }
        let Some(ancestors) = proc::ancestors(process) else { return true };
        lock(&self.holders).values().any(|holder| ancestors.contains(&holder.pid))
    }

    /// Whether that operator's token was not refused inside a run just before: an agent fills no ledger by trying.
    fn is_news(&self, name: &str) -> bool {
        let mut refused = lock(&self.refused_inside);
        let now = Instant::now();
        refused.retain(|_, at| now.duration_since(*at) < STRANGERS_INTERVAL);
        refused.insert(name.to_owned(), now).is_none()
    }

    /// The same for whoever is at the client's end of a TCP connection; true if that cannot be known.
    fn may_be_inside_a_run(&self, client: SocketAddr, console: SocketAddr) -> bool {
        let Some(owner) = proc::socket_owner(client, console) else { return true };
        if !self.agents_uids().contains(&owner.uid) {
            return false;
        }
        let processes = proc::processes_with(owner.inode);
        processes.is_empty()
            || processes.iter().any(|pid| {
                self.carries_an_agent(*pid)
                    || proc::process(*pid).is_none_or(|process| self.may_be_inside(owner.uid, process))
            })
    }

    /// Whether TCP connections of this process are those of an agent in a jail.
    fn carries_an_agent(&self, pid: i32) -> bool {
        lock(&self.holders).values().any(|holder| holder.jailed && holder.pid == pid)
    }

    /// The uids that connections of live runs' agents have: their own user's where root started them, else their
    /// caller's, which is also that of who carries them out of a jail.
    fn agents_uids(&self) -> BTreeSet<u32> {
        let agent_user = agent_user(&self.config).ok().map(|user| user.uid);
        let holders = lock(&self.holders);
        let of_holder = |holder: &Holder| if holder.uid == 0 { agent_user } else { Some(holder.uid) };
        let configured = self.config.gateway.agent_user.as_ref().map(|user| user.uid);
        let carriers = holders.values().filter(|holder| holder.jailed).map(|holder| holder.uid);
        holders.values().filter_map(of_holder).chain(configured).chain(carriers).collect()
    }

    pub fn held_by(&self, run: RunId, holder: Holder) {
        lock(&self.holders).insert(run, holder);
    }

    pub fn let_go(&self, run: RunId) {
        lock(&self.holders).remove(&run);
    }
}

fn operator(operator: &crate::operators::Operator) -> Operator {
    let role = |role: &cli::Role| match role {
        cli::Role::Approver => Role::Approver,
        cli::Role::Auditor => Role::Auditor,
        cli::Role::Admin => Role::Admin,
    };
    Operator {
        name: operator.name.clone(),
        roles: operator.roles.iter().map(role).collect(),
        groups: operator.groups.iter().cloned().collect(),
    }
}
