//! Runs that an issuer's token mints.
//!
//! Whose such a run is: the person that the token names, or who answers for the issuer's workloads. Where somebody else shows
//! the token (a workload, or who acts for the person), policy has to permit that by `delegate`, as for an operator.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use console::seat::{Failed, FailedKind, Mint, Workload};
use policy::What;
use relay::runs::{Delegation, MintRequest, Run};
use vocab::Group;

use super::runs::{RunDesk, principal};
use super::{failed, unavailable};
use crate::config::recordable;
use crate::evidence::now;

impl RunDesk {
    /// What is to be minted, if the token and policy permit it.
    pub(super) fn for_workload(&self, by: &Workload, mint: &Mint) -> Result<MintRequest, Failed> {
        let judged = self.judged(by, mint);
        if judged.is_err() {
            self.0.issuers.count(&by.issuer, "not-permitted");
        }
        judged
    }

    fn judged(&self, by: &Workload, mint: &Mint) -> Result<MintRequest, Failed> {
        let agent = agent(by, mint)?;
        let human = mint.for_.as_deref().unwrap_or(&by.human);
        self.0.issuers.configured(&by.issuer).ok_or_else(|| forbidden("its issuer is not known here"))?;
        self.known(human)?;
        if !recordable(human) {
            return Err(forbidden(
                "a detector takes this human's name for sensitive data, so that the record would not show whose run it was",
            ));
        }
        let claimed = || by.groups.iter().map(|group| Group(group.as_str().into()));
        if human != by.name {
            let groups: BTreeSet<Group> = self.groups(&by.name).into_iter().chain(claimed()).collect();
            let principal = principal(&by.name, groups, &agent, mint.confined);
            self.permitted(principal, What::Delegate(human.into()), mint, "delegate")?;
        }
        let mut human_groups = self.groups(human);
        // What the token says of its person, or of its workload, says nothing of somebody else.
        if human == by.human {
            human_groups.extend(claimed());
        }
        Ok(MintRequest {
            human: human.into(),
            human_groups,
            by: by.name.as_str().into(),
            delegation: Some(Arc::new(delegation(by))),
            agent: agent.as_str().into(),
            agent_version: by.agent_version.clone().or_else(|| mint.agent_version.clone()),
            task: mint.task.clone(),
            parent: None,
            confined: mint.confined,
            jailed: mint.jailed,
            argv: mint.argv.clone(),
            uid: u32::MAX,
        })
    }

    /// Uses up one of the token's runs, and says how long that run may live. The last thing before the run is minted: what
    /// policy refuses costs nothing, and what is minted is paid for.
    pub(super) fn spend(&self, by: &Workload) -> Result<Duration, Failed> {
        let issuer = self.0.issuers.configured(&by.issuer);
        let issuer = issuer.ok_or_else(|| forbidden("its issuer is not known here"))?;
        let seconds = now().0 / 1_000_000_000;
        let most = self.0.config.gateway.run_lifetime;
        let life = issuer.run_lifetime.map_or(most, |life| life.min(most));
        let left = Duration::from_secs(by.expires.saturating_sub(seconds));
        let life = if issuer.beyond_expiry { life } else { life.min(left) };
        if life.is_zero() {
            return Err(forbidden("the token has expired; ask its issuer for another"));
        }
        match self.0.issuers.spend(by, seconds) {
            Ok(true) => Ok(life),
            // Its run was minted already: its owner shows it again, or somebody else has it, too.
            Ok(false) => {
                self.0.issuers.count(&by.issuer, "spent");
                let many = issuer.runs_per_token;
                Err(forbidden(&format!(
                    "this token has minted its runs ({many}); ask its issuer for another, or raise runs_per_token"
                )))
            }
            Err(failure) => Err(unavailable(failure.to_string())),
        }
    }
}

/// Whether a run is one that such a caller minted: the same caller, by the same issuer, for the same human.
pub(super) fn minted(run: &Run, by: &Workload) -> bool {
    let same = |chain: &Arc<Delegation>| chain.issuer == by.issuer && chain.subject == by.subject;
    // A run inside another is closed by that one.
    run.parent.is_none() && *run.by == *by.name && run.delegation.as_ref().is_some_and(same)
}

/// The agent's name is the token's to say, if it says one.
fn agent(by: &Workload, mint: &Mint) -> Result<String, Failed> {
    match (&by.agent, mint.agent.as_str()) {
        (Some(agent), "") => Ok(agent.clone()),
        (Some(agent), asked) if agent == asked => Ok(agent.clone()),
        (Some(agent), _) => Err(forbidden(&format!("this token's runs are of the agent {agent:?}"))),
        (None, "") => {
            Err(failed(FailedKind::Wrong, "neither the token nor the request names an agent; add \"agent\""))
        }
        (None, asked) => Ok(asked.to_owned()),
    }
}

fn delegation(by: &Workload) -> Delegation {
    Delegation {
        issuer: by.issuer.clone(),
        iss: by.iss.clone(),
        subject: by.subject.clone(),
        actors: by.actors.iter().map(|actor| (actor.subject.clone(), actor.iss.clone())).collect(),
        id: by.id.clone(),
        token: by.digest,
        expires: by.expires,
        claims: by.claims.clone(),
        involved: by.involved.iter().map(|name| name.as_str().into()).collect(),
    }
}

fn forbidden(why: &str) -> Failed {
    failed(FailedKind::Forbidden, why)
}
