//! Runs: one execution of an agent, its credentials, and the end of both.
//!
//! **Invariant:** a run's credentials are made here and nowhere else, live only in memory, and die with the run.
//! Nothing that a client says about itself (application name, trace id) changes whose run it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gate::Who;
pub use ledger::Ended;
use ledger::{Draft, Kind, Ledger};
use mask::{Detectors, MaskedText};
use proto_postgres::scram::Verifier;
use tokio::sync::{Semaphore, watch};
use vocab::{Durability, Group, ResourcePath, RunId, SessionId};
use zeroize::Zeroizing;

use crate::counts::TurnedAway;
pub use crate::delegation::Delegation;
use crate::entropy;
use crate::http::Cookies;
use crate::in_vain::InVain;
use crate::limits::{ARGV_WORDS_MAX, CHILD_DEPTH_MAX, RUNS_MAX, SCRAM_ITERATIONS, SESSIONS_MAX};
use crate::ssh::{RunKey, make_run_key};

/// Who asks for a run, and for what. The caller is authenticated before this is made.
#[derive(Clone, Debug)]
pub struct MintRequest {
    /// The initiator.
    pub human: Arc<str>,
    pub human_groups: BTreeSet<Group>,
    /// The authenticated caller; equal to `human` unless delegated.
    pub by: Arc<str>,
    /// Set if an issuer's token is what the caller, or the caller of the outermost run, was authenticated by.
    pub delegation: Option<Arc<Delegation>>,
    pub agent: Arc<str>,
    pub agent_version: Option<String>,
    pub task: Option<String>,
    /// Set if the request came from inside a run, by that run's token.
    pub parent: Option<RunId>,
    pub confined: bool,
    /// It reaches the gateway's listeners and nothing else.
    pub jailed: bool,
    pub argv: Vec<String>,
    pub uid: u32,
}

/// A run that lives.
pub struct Run {
    pub id: RunId,
    pub human: Arc<str>,
    pub human_groups: BTreeSet<Group>,
    pub by: Arc<str>,
    pub delegation: Option<Arc<Delegation>>,
    pub agent: Arc<str>,
    pub task: Option<MaskedText>,
    pub parent: Option<Arc<Run>>,
    pub confined: bool,
    pub jailed: bool,
    /// The user name that clients of this run log in with.
    pub user: String,
    pub(crate) verifier: Verifier,
    /// SHA-256 of the password, for protocols in which a client shows it.
    password: [u8; 32],
    /// What it proves itself by over SSH.
    key: RunKey,
    /// SHA-256 of the secret half.
    token: [u8; 32],
    ended: watch::Sender<Option<Ended>>,
    sessions: AtomicU64,
    /// Channels over SSH, of all its connections.
    channels: AtomicU64,
    /// What it asked of the proxy in vain.
    pub(crate) in_vain: InVain,
    pub(crate) echoes: Arc<mask::Echoes>,
    pub(crate) cookies: Cookies,
}

impl Run {
    /// How many connections of this run are there now.
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// One connection more, until the guard is dropped.
    pub(crate) fn present(self: &Arc<Run>) -> Present {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Present(self.clone())
    }

    /// The same, where it has fewer than so many.
    pub(crate) fn present_below(self: &Arc<Run>, most: u64) -> Option<Present> {
        one_more(&self.sessions, most).then(|| Present(self.clone()))
    }

    /// One channel over SSH more, until the guard is dropped, where it has fewer than so many.
    pub(crate) fn channel_below(self: &Arc<Run>, most: u64) -> Option<Channel> {
        one_more(&self.channels, most).then(|| Channel(self.clone()))
    }

    /// Resolves when the run is over: every connection of it is then cut at once.
    pub fn end(&self) -> watch::Receiver<Option<Ended>> {
        self.ended.subscribe()
    }

    /// Whose requests those of one session are.
    pub(crate) fn who(
        &self,
        session: SessionId,
        resource: &Arc<str>,
        root: &ResourcePath,
        durability: Durability,
    ) -> Who {
        Who {
            run: self.id,
            session,
            human: self.human.clone(),
            by: self.by.clone(),
            involved: self.delegation.as_ref().map_or_else(Arc::default, |chain| chain.involved.clone()),
            agent: self.agent.clone(),
            task: self.task.clone(),
            resource: resource.clone(),
            durability,
            principal: self.principal(),
            root: root.clone(),
        }
    }

    /// Who asks, in policy's words: this run, and those above it.
    pub fn principal(&self) -> policy::Principal {
        let parents = self.chain()[1..]
            .iter()
            .map(|run| policy::Parent { agent: (*run.agent).into(), run: run.id.to_string().into() })
            .collect();
        policy::Principal {
            human: (*self.human).into(),
            human_groups: self.human_groups.iter().cloned().collect(),
            agent: (*self.agent).into(),
            run: self.id.to_string().into(),
            confined: self.confined,
            parents,
        }
    }

    /// This run and those above it, itself first.
    pub fn chain(&self) -> Vec<&Run> {
        let mut chain = vec![self];
        while let Some(parent) = &chain[chain.len() - 1].parent {
            chain.push(parent);
        }
        chain
    }
}

/// A connection of a run that is there.
pub(crate) struct Present(Arc<Run>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A channel of a run that is there.
pub(crate) struct Channel(Arc<Run>);

impl Drop for Channel {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one more, where there are fewer than `most`.
fn one_more(count: &AtomicU64, most: u64) -> bool {
    let more = |now| (now < most).then_some(now + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// What the one who started the run hands to the agent.
pub struct Minted {
    pub run: RunId,
    pub user: String,
    pub password: Zeroizing<String>,
    /// The private half of the key that it proves itself by over SSH, in OpenSSH's form.
    pub key: Zeroizing<String>,
    /// Mints children of this run, and nothing else.
    pub token: Zeroizing<String>,
}

#[derive(Debug)]
pub enum MintError {
    TooManyRuns,
    /// The parent is over, or its token is wrong.
    NoParent,
    TooDeep,
    TooManyWords,
    /// The record could not be written; the run does not exist.
    Ledger(String),
}

impl std::fmt::Display for MintError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MintError::TooManyRuns => write!(f, "{RUNS_MAX} runs are live already; end one first"),
            MintError::NoParent => f.write_str("the parent run is over, or the token is not a run's"),
            MintError::TooDeep => write!(f, "runs nest at most {CHILD_DEPTH_MAX} deep"),
            MintError::TooManyWords => write!(f, "the command has more than {ARGV_WORDS_MAX} words"),
            MintError::Ledger(why) => {
                write!(f, "the run could not be recorded, so it was not started: {why}")
            }
        }
    }
}

impl std::error::Error for MintError {}

fn token_hash(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, secret).as_ref());
    hash
}

/// All live runs of one gateway. Clones share it.
#[derive(Clone)]
pub struct Registry {
    ledger: Ledger,
    detectors: Arc<Detectors>,
    live: Arc<Mutex<Live>>,
    /// Connections that were none of a run's.
    pub turned_away: Arc<TurnedAway>,
    /// A place for each lane of HTTP/2 that there may be, of all connections.
    pub(crate) lanes: Arc<Semaphore>,
}

#[derive(Default)]
struct Live {
    by_id: BTreeMap<RunId, Arc<Run>>,
    by_user: HashMap<String, RunId>,
    by_key: HashMap<RunKey, RunId>,
}

impl Registry {
    pub fn new(ledger: Ledger, detectors: Arc<Detectors>) -> Registry {
        Registry {
            ledger,
            detectors,
            live: Arc::default(),
            turned_away: Arc::default(),
            lanes: Arc::new(Semaphore::new(SESSIONS_MAX)),
        }
    }

    /// Mints a run. Its `open` record is durable before this returns.
    pub async fn mint(&self, request: MintRequest) -> Result<Minted, MintError> {
        let parent = self.parent_of(&request)?;
        if request.argv.len() > ARGV_WORDS_MAX {
            return Err(MintError::TooManyWords);
        }
        let task = request.task.as_deref().map(|t| mask::text(&self.detectors, t).0);
        let draft = self.open_record(&request, task.as_ref());
        let ledger = self.ledger.clone();
        let (id, receipt) = tokio::task::spawn_blocking(move || ledger.open_run(draft))
            .await
            .map_err(|e| MintError::Ledger(e.to_string()))?
            .map_err(|e| MintError::Ledger(e.to_string()))?;
        let _durable = receipt.await.map_err(|e| MintError::Ledger(e.to_string()))?;

        let password = Zeroizing::new(entropy::hex(&entropy::random::<24>()));
        let token = entropy::random::<32>();
        let salt = entropy::random::<{ proto_postgres::scram::SALT_BYTES }>();
        let verifier = Verifier::from_password(password.as_bytes(), &salt, SCRAM_ITERATIONS)
            .map_err(|fault| MintError::Ledger(fault.inward.into()))?;
        let (key, private) = make_run_key().map_err(MintError::Ledger)?;
        let run = Arc::new(Run {
            id,
            human: request.human,
            human_groups: request.human_groups,
            by: request.by,
            delegation: request.delegation,
            agent: request.agent,
            task,
            parent,
            confined: request.confined,
            jailed: request.jailed,
            user: format!("run_{}", &id.to_string()[..20]),
            verifier,
            password: token_hash(password.as_bytes()),
            key,
            token: token_hash(entropy::hex(&token).as_bytes()),
            ended: watch::Sender::new(None),
            sessions: AtomicU64::new(0),
            channels: AtomicU64::new(0),
            in_vain: InVain::default(),
            echoes: Arc::new(mask::Echoes::new(entropy::random())),
            cookies: Cookies::default(),
        });
        let minted = Minted {
            run: id,
            user: run.user.clone(),
            password,
            key: private,
            token: Zeroizing::new(format!("{id}.{}", entropy::hex(&token))),
        };
        let Err(why) = self.insert(run) else { return Ok(minted) };
        // Not possible now means that the ledger is down; its recovery closes the run.
        if let Ok(receipt) = self.ledger.close_run(id, Ended::Interrupted, None) {
            let _durable = receipt.await;
        }
        Err(why)
    }

    /// The run lives from here on. Errors: its parent ended while it was made, and with it all that was in it; or others took
    /// the room.
    fn insert(&self, run: Arc<Run>) -> Result<(), MintError> {
        let mut live = self.lock();
        if run.parent.as_ref().is_some_and(|parent| !live.by_id.contains_key(&parent.id)) {
            return Err(MintError::NoParent);
        }
        if live.by_id.len() >= RUNS_MAX {
            return Err(MintError::TooManyRuns);
        }
        live.by_user.insert(run.user.clone(), run.id);
        live.by_key.insert(run.key, run.id);
        live.by_id.insert(run.id, run);
        Ok(())
    }

    /// The run that a token was minted for.
    pub fn by_token(&self, token: &str) -> Option<Arc<Run>> {
        let (id, secret) = token.split_once('.')?;
        let run = self.get(RunId::parse(id)?)?;
        // Both sides are hashed first, so that the time of the comparison says nothing.
        (token_hash(secret.as_bytes()) == run.token).then_some(run)
    }

    /// The run whose user name and password a client shows.
    pub(crate) fn by_password(&self, user: &str, password: &[u8]) -> Option<Arc<Run>> {
        let run = self.by_user(user)?;
        // Both sides are hashed first, so that the time of the comparison says nothing.
        (token_hash(password) == run.password).then_some(run)
    }

    pub(crate) fn by_user(&self, user: &str) -> Option<Arc<Run>> {
        let live = self.lock();
        live.by_id.get(live.by_user.get(user)?).cloned()
    }

    /// The run whose key that is. That somebody names it proves nothing.
    pub(crate) fn by_key(&self, key: &RunKey) -> Option<Arc<Run>> {
        let live = self.lock();
        live.by_id.get(live.by_key.get(key)?).cloned()
    }

    pub fn get(&self, id: RunId) -> Option<Arc<Run>> {
        self.lock().by_id.get(&id).cloned()
    }

    /// Live runs, oldest first.
    pub fn list(&self) -> Vec<Arc<Run>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// Ends a run and its children: credentials die first, then connections, then the record closes.
    /// `false` if there is no such live run.
    pub async fn end(&self, id: RunId, why: Ended, status: Option<i64>) -> Result<bool, MintError> {
        let ending = {
            let mut live = self.lock();
            let ids: Vec<RunId> =
                live.by_id.values().filter(|r| r.chain().iter().any(|a| a.id == id)).map(|r| r.id).collect();
            let runs: Vec<Arc<Run>> = ids.iter().filter_map(|id| live.by_id.remove(id)).collect();
            for run in &runs {
                live.by_user.remove(&run.user);
                live.by_key.remove(&run.key);
            }
            runs
        };
        for run in ending.iter().rev() {
            run.ended.send_replace(Some(why));
        }
        // Sessions see the end and write their `disconnect`; the close comes after the last of them.
        for run in ending.iter().rev() {
            let gone = async {
                while run.ended.receiver_count() > 0 {
                    run.ended.closed().await
                }
            };
            let _late = tokio::time::timeout(crate::limits::SESSION_END, gone).await;
            if let Some(draft) = run.in_vain.total(run.id, &self.detectors) {
                // Covered by the close, which comes after it; what a ledger that is down lacks, it says itself.
                let _covered_by_the_close = self.ledger.append(draft);
            }
            let status = if run.id == id { status } else { None };
            let receipt =
                self.ledger.close_run(run.id, why, status).map_err(|e| MintError::Ledger(e.to_string()))?;
            let _durable = receipt.await.map_err(|e| MintError::Ledger(e.to_string()))?;
        }
        Ok(!ending.is_empty())
    }

    fn parent_of(&self, request: &MintRequest) -> Result<Option<Arc<Run>>, MintError> {
        if self.lock().by_id.len() >= RUNS_MAX {
            return Err(MintError::TooManyRuns);
        }
        let Some(parent) = request.parent else { return Ok(None) };
        let parent = self.get(parent).ok_or(MintError::NoParent)?;
        match parent.chain().len() < CHILD_DEPTH_MAX {
            true => Ok(Some(parent)),
            false => Err(MintError::TooDeep),
        }
    }

    fn open_record(&self, request: &MintRequest, task: Option<&MaskedText>) -> Draft {
        let masked = |text: &str| mask::text(&self.detectors, text).0;
        let argv: Vec<MaskedText> = request.argv.iter().map(|word| masked(word)).collect();
        let mut draft = Draft::new(Kind::Open)
            .put("human", masked(&request.human))
            .put("by", masked(&request.by))
            .put("agent", masked(&request.agent))
            .put("confined", request.confined)
            .put("argv", argv)
            .put("uid", u64::from(request.uid));
        if request.jailed {
            draft = draft.put("jailed", true);
        }
        if let Some(version) = &request.agent_version {
            draft = draft.put("agent_version", masked(version));
        }
        if let Some(task) = task {
            draft = draft.put("task", task.clone());
        }
        if let Some(parent) = request.parent {
            draft = draft.put("parent", parent);
        }
        if let Some(delegation) = &request.delegation {
            draft = draft.put("chain", delegation.record(&self.detectors));
        }
        draft
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
