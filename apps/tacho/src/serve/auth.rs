//! Who is calling: an operator by token, a run by its token, a human by the uid that the kernel names.

use std::sync::Arc;

use console::seat::{Auth, Caller, Credential, Operator, Role};
use vocab::RunId;

use super::{Shared, lock};
use crate::cli;

/// The console's [`Auth`].
pub struct Doorkeeper(pub Arc<Shared>);

impl Auth for Doorkeeper {
    fn authenticate(&self, credential: Credential<'_>) -> Option<Caller> {
        match credential {
            Credential::Token(token) => self.by_token(token),
            Credential::Peer { uid, pid } => self.by_peer(uid, pid).map(Caller::Operator),
        }
    }

    fn current(&self, name: &str) -> Option<Operator> {
        let operators = self.0.operators().ok()?;
        operators.list.iter().find(|o| o.name == name).map(operator)
    }
}

impl Doorkeeper {
    fn by_token(&self, token: &str) -> Option<Caller> {
        if let Some(run) = self.0.registry.by_token(token) {
            return Some(Caller::Run { run: run.id, human: run.human.to_string() });
        }
        self.0.operators().ok()?.by_token(token).map(|o| Caller::Operator(operator(o)))
    }

    /// A person's process outside of every run. A uid alone approves nothing: it has no role but to start runs, and
    /// with `delegate` to start them for others and to end them.
    fn by_peer(&self, uid: u32, pid: Option<i32>) -> Option<Operator> {
        let human = self.0.config.human_by_uid(uid)?;
        if self.0.is_inside_a_run(uid, pid?) {
            return None;
        }
        let roles = if human.delegate { vec![Role::Admin] } else { Vec::new() };
        Some(Operator { name: human.name.clone(), roles, groups: human.groups.iter().cloned().collect() })
    }
}

impl Shared {
    /// Whether a process is an agent's: by its uid, by its pid namespace, or by descent from a run's holder.
    pub fn is_inside_a_run(&self, uid: u32, pid: i32) -> bool {
        if self.config.gateway.agent_user.as_ref().is_some_and(|user| user.uid == uid) {
            return true;
        }
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace("self");
        match (namespace(&pid.to_string()), &own) {
            (Some(theirs), Some(own)) if theirs != *own => return true,
            // A process that we may not look at is another user's; its uid was judged above.
            _ => {}
        }
        let holders: Vec<i32> = lock(&self.holders).values().copied().collect();
        let mut ancestor = crate::proc::parent_of(pid);
        while let Some(at) = ancestor.filter(|at| *at > 1) {
            if holders.contains(&at) {
                return true;
            }
            ancestor = crate::proc::parent_of(at);
        }
        false
    }

    pub fn held_by(&self, run: RunId, pid: i32) {
        lock(&self.holders).insert(run, pid);
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
