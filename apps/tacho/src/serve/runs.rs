//! The console's runs: minted for whoever the kernel or a token says is calling, closed by whoever started them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use console::seat::{
    Caller, Failed, FailedKind, LiveRun, Mint, Minted, MintedProxy, MintedResource, Operator, Role, Runs,
};
use ledger::keys::KeyError;
use ledger::{Ended, RunError};
use policy::{Context, Principal, Request, What};
use relay::Served;
use relay::runs::{MintError, MintRequest, Run};
use vocab::{Group, ResourcePath, RunId};

use super::{Shared, failed, lock, unavailable, workloads};
use crate::config::{Model, Resource, Service, SshHost, What as Kind};
use crate::evidence::now;

/// The console's [`Runs`].
pub struct RunDesk(pub Arc<Shared>);

impl Runs for RunDesk {
    fn list_live(&self) -> Result<Vec<LiveRun>, Failed> {
        let waiting = self.0.gate.inbox().list();
        let since = lock(&self.0.since).clone();
        let line = |run: &Arc<Run>| LiveRun {
            run: run.id.to_string(),
            human: run.human.to_string(),
            by: run.by.to_string(),
            agent: run.agent.to_string(),
            task: run.task.as_ref().map(|t| t.as_str().to_owned()),
            since: since.get(&run.id).cloned().unwrap_or_default(),
            sessions: run.sessions(),
            waiting: u64::try_from(waiting.iter().filter(|p| p.run == run.id).count()).unwrap_or(u64::MAX),
        };
        Ok(self.0.registry.list().iter().map(line).collect())
    }

    fn mint(&self, by: &Caller, mint: &Mint) -> Result<Minted, Failed> {
        let request = match by {
            Caller::Operator(operator) => self.for_person(operator, mint)?,
            Caller::Run { run, .. } => self.for_run(*run, mint)?,
            Caller::Workload(workload) => self.for_workload(workload, mint)?,
        };
        let life = match by {
            Caller::Operator(_) | Caller::Run { .. } => self.0.config.gateway.run_lifetime,
            Caller::Workload(workload) => self.spend(workload)?,
        };
        let human = request.human.to_string();
        let minted = self.0.handle.block_on(self.0.registry.mint(request)).map_err(|e| mint_failed(&e))?;
        lock(&self.0.since).insert(minted.run, answers::time(now()));
        self.expire(minted.run, life);
        Ok(Minted {
            run: minted.run.to_string(),
            human,
            token: minted.token.to_string(),
            resources: self.resources(&minted),
            proxy: self.proxy(&minted.user, &minted.password),
        })
    }

    fn close(&self, by: &Caller, run: RunId, status: Option<i64>) -> Result<(), Failed> {
        let live = self.0.registry.get(run).ok_or_else(|| gone(run))?;
        let own = match by {
            Caller::Operator(operator) => *live.by == *operator.name,
            // A run closes the runs that it started, and not itself: what starts it does.
            Caller::Run { run: parent, .. } => live.parent.as_ref().is_some_and(|p| p.id == *parent),
            Caller::Workload(workload) => workloads::minted(&live, workload),
        };
        if !own {
            return Err(failed(
                FailedKind::Forbidden,
                format!("run {run} was started by somebody else; an admin can revoke it"),
            ));
        }
        self.end(run, Ended::Exited, status)
    }

    fn revoke(&self, by: &Operator, run: RunId, _reason: &str) -> Result<(), Failed> {
        if !by.has(Role::Admin) {
            return Err(failed(FailedKind::Forbidden, "this needs the role admin"));
        }
        self.0.registry.get(run).ok_or_else(|| gone(run))?;
        // Cut first: a ledger that is down must not keep a run alive. The close itself is a record too.
        let ended = self.end(run, Ended::Revoked, None);
        self.0.admin(
            &by.name,
            "revoke",
            &run.to_string(),
            if ended.is_ok() { "done" } else { "cut, not recorded" },
        )?;
        ended
    }

    fn erase(&self, by: &Operator, run: RunId, reason: &str) -> Result<(), Failed> {
        if !by.has(Role::Admin) {
            return Err(failed(FailedKind::Forbidden, "this needs the role admin"));
        }
        let (who, why) = (self.0.masked(&by.name), self.0.masked(reason));
        let failed = match self.0.gate.ledger().erase_run(run, who, why) {
            Ok(()) => return self.0.admin(&by.name, "erase", &run.to_string(), "done").map(drop),
            Err(error) => erase_failed(run, &error),
        };
        // What was not begun is no deed; of what was, the record says that it is not done.
        if failed.kind == FailedKind::Unavailable {
            self.0.admin(&by.name, "erase", &run.to_string(), "failed")?;
        }
        Err(failed)
    }
}

impl RunDesk {
    /// A run that a person starts: for themselves, or, where policy permits `delegate`, for somebody else.
    fn for_person(&self, by: &Operator, mint: &Mint) -> Result<MintRequest, Failed> {
        named(mint)?;
        let human = mint.for_.as_deref().unwrap_or(&by.name);
        let groups = |name: &str| self.groups(name);
        if human != by.name {
            self.known(human)?;
            let principal = principal(&by.name, groups(&by.name), &mint.agent, mint.confined);
            self.permitted(principal, What::Delegate(human.into()), mint, "delegate")?;
        }
        let uid = self.0.config.human(&by.name).and_then(|h| h.uid).unwrap_or(u32::MAX);
        Ok(MintRequest {
            human: human.into(),
            human_groups: groups(human),
            by: by.name.as_str().into(),
            delegation: None,
            agent: mint.agent.as_str().into(),
            agent_version: mint.agent_version.clone(),
            task: mint.task.clone(),
            parent: None,
            confined: mint.confined,
            jailed: mint.jailed,
            argv: mint.argv.clone(),
            uid,
        })
    }

    /// The groups that the configuration gives a person.
    pub(super) fn groups(&self, name: &str) -> BTreeSet<Group> {
        let human = self.0.config.human(name);
        human.into_iter().flat_map(|h| &h.groups).map(|g| Group(g.as_str().into())).collect()
    }

    pub(super) fn known(&self, human: &str) -> Result<(), Failed> {
        match self.0.config.human(human) {
            Some(_) => Ok(()),
            None => Err(failed(
                FailedKind::Wrong,
                format!("there is no human {human:?}; add [[human]] name = {human:?} to the configuration"),
            )),
        }
    }

    /// A run inside a run: the same human and caller, where policy permits the outer run `spawn`.
    fn for_run(&self, parent: RunId, mint: &Mint) -> Result<MintRequest, Failed> {
        named(mint)?;
        let parent = self.0.registry.get(parent).ok_or_else(|| gone(parent))?;
        if mint.for_.as_ref().is_some_and(|other| **other != *parent.human) {
            return Err(failed(FailedKind::Forbidden, "inside a run, a run is always for the same human"));
        }
        if mint.jailed && !parent.jailed {
            let why = "a run inside a run is where the outer one is, and that has no jail; start the outer run with --jail";
            return Err(failed(FailedKind::Unavailable, why));
        }
        self.permitted(parent.principal(), What::Spawn(mint.agent.as_str().into()), mint, "spawn")?;
        Ok(MintRequest {
            human: parent.human.clone(),
            human_groups: parent.human_groups.clone(),
            by: parent.by.clone(),
            delegation: parent.delegation.clone(),
            agent: mint.agent.as_str().into(),
            agent_version: mint.agent_version.clone(),
            task: mint.task.clone(),
            parent: Some(parent.id),
            // The outer separation holds for whatever runs inside it; what the agent says of itself counts for nothing.
            confined: parent.confined,
            jailed: parent.jailed,
            argv: mint.argv.clone(),
            uid: self.0.config.human(&parent.by).and_then(|h| h.uid).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn permitted(
        &self,
        principal: Principal,
        what: What,
        mint: &Mint,
        verb: &str,
    ) -> Result<(), Failed> {
        let context = Context {
            task: mint.task.as_deref().map(Into::into),
            kind: verb.into(),
            now: now(),
            ..Context::default()
        };
        let request = Request { principal, resource: ResourcePath::root("gateway"), what, context };
        let decision = self.0.policy().decide(&request);
        if decision.allowed() {
            return Ok(());
        }
        let why = decision.message.unwrap_or_else(|| format!("no rule permits `{verb}`"));
        Err(failed(FailedKind::Forbidden, format!("policy refuses it: {why}")))
    }

    fn end(&self, run: RunId, why: Ended, status: Option<i64>) -> Result<(), Failed> {
        let ended = self.0.handle.block_on(self.0.registry.end(run, why, status));
        // Until then its processes are inside a run.
        lock(&self.0.since).remove(&run);
        self.0.let_go(run);
        match ended {
            Ok(true) => Ok(()),
            Ok(false) => Err(gone(run)),
            Err(error) => {
                Err(unavailable(format!("the run is over, and its end could not be recorded: {error}")))
            }
        }
    }

    /// Its credentials die after that, whatever the agent does.
    fn expire(&self, run: RunId, life: Duration) {
        let registry = self.0.registry.clone();
        let Some(live) = registry.get(run) else { return };
        let mut ended = live.end();
        drop(live);
        self.0.handle.spawn(async move {
            let over = tokio::time::timeout(life, ended.wait_for(Option::is_some)).await.is_ok();
            // The receiver counts as a session of the run; the end of the run must not wait for it.
            drop(ended);
            if !over && let Err(error) = registry.end(run, Ended::Expired, None).await {
                eprintln!("tacho: run {run} expired, and its end could not be recorded: {error}");
            }
        });
    }

    fn resources(&self, minted: &relay::runs::Minted) -> Vec<MintedResource> {
        let key = |resource: &Resource| {
            let serves =
                |served: &&Served| matches!(served, Served::Ssh(ssh) if *ssh.config.name == *resource.name);
            match self.0.serving.resources.iter().find(serves) {
                Some(Served::Ssh(ssh)) => Some(ssh.host_key().to_owned()),
                Some(Served::Postgres(_) | Served::Http(_)) | None => None,
            }
        };
        let reach = |(resource, address): (&Resource, &Option<SocketAddr>)| MintedResource {
            name: resource.name.clone(),
            kind: resource.what.kind().to_owned(),
            host: address.map_or_else(|| upstream_host(resource), |address| reachable(address.ip())),
            port: address.map_or_else(|| upstream_port(resource), |address| address.port()),
            user: minted.user.clone(),
            password: minted.password.to_string(),
            database: match &resource.what {
                Kind::Postgres(database) => Some(database.upstream.database.clone()),
                Kind::Http(_) | Kind::Ssh(_) => None,
            },
            certificate: self.shown_to_clients(resource),
            settings: match &resource.what {
                Kind::Ssh(host) => ssh_settings(host, key(resource).unwrap_or_default(), &minted.key),
                Kind::Postgres(_) | Kind::Http(_) => {
                    settings(resource).into_iter().chain(self.namespace(resource)).collect()
                }
            },
        };
        self.0.config.resources.iter().zip(&self.0.serving.addresses).map(reach).collect()
    }

    /// Where clients of a cluster work if they name no namespace.
    fn namespace(&self, resource: &Resource) -> Option<(String, String)> {
        let served = self.0.serving.resources.iter().find_map(|served| match served {
            Served::Http(http) if *http.config.name == *resource.name => http.config.cluster.as_ref(),
            Served::Http(_) | Served::Postgres(_) | Served::Ssh(_) => None,
        });
        served?.namespace.clone().map(|namespace| ("namespace".to_owned(), namespace))
    }

    /// The certificate that clients of a cluster trust. `None`: they need none, or it cannot be read now.
    fn shown_to_clients(&self, resource: &Resource) -> Option<String> {
        let Kind::Http(Service { cluster: Some(_), .. }) = &resource.what else { return None };
        let own = &self.0.serving.certificate;
        let text = std::fs::read_to_string(resource.tls.as_ref().map_or(own, |pair| &pair.cert)).ok()?;
        let only = certificates(&text);
        (!only.is_empty()).then_some(only)
    }

    fn proxy(&self, user: &str, password: &str) -> Option<MintedProxy> {
        let door = self.0.serving.door.as_ref()?;
        Some(MintedProxy {
            host: reachable(door.address.ip()),
            port: door.address.port(),
            user: user.to_owned(),
            password: password.to_owned(),
            certificate: door.certificate.clone(),
        })
    }
}

/// The certificates of a file, which may have a key in it.
fn certificates(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split_inclusive(END).filter_map(|block| {
        let block = block.get(block.rfind("-----BEGIN CERTIFICATE-----")?..)?;
        block.ends_with(END).then(|| format!("{block}\n"))
    });
    blocks.collect()
}

/// What a run's environment says of an HTTP service beside its address. `proxied` is the URL by which the proxy reaches it.
fn settings(resource: &Resource) -> BTreeMap<String, String> {
    let Kind::Http(service) = &resource.what else { return BTreeMap::new() };
    let tls = resource.tls.is_some() || service.cluster.is_some();
    let scheme = tls.then(|| ("scheme", "https".to_owned()));
    let dialect = |model: Model| ("dialect", if model.anthropic { "anthropic" } else { "openai" }.to_owned());
    let proxied = resource.listen.is_none().then(|| ("proxied", service.upstream.address()));
    let path = if service.upstream.base.is_empty() { "/mcp" } else { "/" };
    let mcp = service.mcp.as_ref().map(|_| ("path", path.to_owned()));
    let stdio = resource.what.stdio().map(|stdio| ("stdio", stdio.shims.join(" ")));
    let all = scheme.into_iter().chain(service.model.map(dialect)).chain(proxied).chain(mcp).chain(stdio);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What a run's clients of SSH need beside the address: whom they log in as, by which key, whom they find, and in whose place.
fn ssh_settings(host: &SshHost, host_key: String, key: &str) -> BTreeMap<String, String> {
    let all = [
        ("login", host.user.clone()),
        ("key", key.to_owned()),
        ("host_key", host_key),
        ("upstream_host", host.host.clone()),
        ("upstream_port", host.port.to_string()),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

fn upstream_host(resource: &Resource) -> String {
    match &resource.what {
        Kind::Http(service) => service.upstream.host.clone(),
        Kind::Postgres(_) | Kind::Ssh(_) => String::new(),
    }
}

fn upstream_port(resource: &Resource) -> u16 {
    match &resource.what {
        Kind::Http(service) => service.upstream.port,
        Kind::Postgres(_) | Kind::Ssh(_) => 0,
    }
}

/// Where a client on this machine finds a listener.
fn reachable(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(v6) if v6.is_unspecified() => "::1".to_owned(),
        other => other.to_string(),
    }
}

/// Only a token can say which agent it is instead.
fn named(mint: &Mint) -> Result<(), Failed> {
    match mint.agent.is_empty() {
        false => Ok(()),
        true => Err(failed(FailedKind::Wrong, "the run's agent has no name; add \"agent\"")),
    }
}

/// Who asks before there is a run: the caller, about to run the agent.
pub(super) fn principal(human: &str, groups: BTreeSet<Group>, agent: &str, confined: bool) -> Principal {
    Principal {
        human: human.into(),
        human_groups: groups.into_iter().collect(),
        agent: agent.into(),
        run: "new".into(),
        confined,
        parents: Vec::new(),
    }
}

fn mint_failed(error: &MintError) -> Failed {
    let kind = match error {
        MintError::TooManyRuns | MintError::Ledger(_) => FailedKind::Unavailable,
        MintError::NoParent => FailedKind::Gone,
        MintError::TooDeep | MintError::TooManyWords => FailedKind::Wrong,
    };
    failed(kind, error.to_string())
}

fn erase_failed(run: RunId, error: &RunError) -> Failed {
    match error {
        RunError::StillOpen => failed(
            FailedKind::Wrong,
            format!("run {run} is open; end it first (`tacho runs revoke`), and then erase it"),
        ),
        RunError::Key(KeyError::Erased(_)) => {
            failed(FailedKind::Gone, format!("run {run} has no key: it was erased already, or never was"))
        }
        RunError::Key(error) => unavailable(format!(
            "the erasure is recorded, and the key may still be on the disk: {error}; ask again, or start the gateway again, which finishes it"
        )),
        RunError::Append(_) | RunError::TooManyRuns | RunError::Lost(_) => {
            unavailable(format!("nothing was erased, since it could not be recorded: {error}"))
        }
    }
}

fn gone(run: RunId) -> Failed {
    failed(FailedKind::Gone, format!("run {run} is over, or never was"))
}

/// How long a gateway that stops waits for the ends of its runs.
pub const STOP_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_with_a_key_the_certificates_alone_are_shown() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let key = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----";
        let both = format!("{key}\n{certificate}\n{key}\n{certificate}\n{key}\n");
        assert_eq!(certificates(&both), format!("{certificate}\n{certificate}\n"));
        assert_eq!(certificates(key), "");
    }
}
