//! Connections to the host: dialled and proved for a client's connection, each with one program at a time, and kept for the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::library::{Dialled, KeyKind, Login, NotDialled, Upstream, dial};
use super::resource::Resource;
use crate::config::{SshLogin, SshResource};
use crate::limits::{DIAL, LAST_WORDS, SSH_IDLE_MAX};

/// What the client is told where the host cannot be reached.
pub(super) const UNREACHABLE: &str =
    "the host behind the gateway cannot be reached, or could not prove who it is";

/// Those of one client's connection; never another's.
pub(super) struct Pool {
    resource: Arc<Resource>,
    idle: Mutex<Vec<Upstream>>,
    /// One is dialled at a time: a host takes few that have not logged in.
    dialling: tokio::sync::Mutex<()>,
    /// Bytes that came over those that are gone.
    bytes: AtomicU64,
}

/// Why there is no connection, as it is recorded.
pub(super) enum NoHost {
    Unreachable,
    /// It has nothing in common with what is strong enough: a sentence.
    Weak(&'static str),
    /// It did not prove a pinned key; what it showed.
    Unproved(Option<KeyKind>),
}

impl Pool {
    pub(super) fn new(resource: Arc<Resource>) -> Pool {
        Pool {
            resource,
            idle: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    /// One on which nothing runs. At most [`DIAL`] for each that has to be waited for.
    pub(super) async fn take(&self) -> Result<Upstream, NoHost> {
        if let Some(idle) = self.idle() {
            return Ok(idle);
        }
        let _one_at_a_time = self.dialling.lock().await;
        match self.idle() {
            Some(idle) => Ok(idle),
            None => self.dial().await.map(|(dialled, _)| dialled),
        }
    }

    /// A new one, and what the host proved.
    pub(super) async fn dial(&self) -> Result<(Upstream, KeyKind), NoHost> {
        let dialled = reach(&self.resource.config).await;
        self.resource.reached(dialled.as_ref().err().map(|why| sentence(&self.resource.config, why)));
        match dialled {
            Ok(Dialled { upstream, key }) => Ok((upstream, key)),
            Err(NotDialled::Unproved(shown)) => Err(NoHost::Unproved(shown)),
            Err(NotDialled::Weak(why)) => Err(NoHost::Weak(why)),
            Err(NotDialled::Unreachable(_) | NotDialled::NotLoggedIn) => Err(NoHost::Unreachable),
        }
    }

    /// Its program is over, and ended by itself: it is kept, where there are few.
    pub(super) async fn give(&self, upstream: Upstream) {
        let too_many = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            match idle.len() < SSH_IDLE_MAX {
                true => {
                    idle.push(upstream);
                    None
                }
                false => Some(upstream),
            }
        };
        if let Some(upstream) = too_many {
            self.end(upstream).await;
        }
    }

    /// Ends it. What runs on the host goes on there if it wants to.
    pub(super) async fn end(&self, upstream: Upstream) {
        self.bytes.fetch_add(upstream.bytes(), Ordering::Relaxed);
        upstream.end().await;
    }

    /// Ends those on which nothing runs, all at once and in [`LAST_WORDS`]; how many bytes came over all that are gone. What is late is cut.
    pub(super) async fn close(&self) -> u64 {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let mut ends: JoinSet<()> = idle
            .into_iter()
            .map(|upstream| {
                self.bytes.fetch_add(upstream.bytes(), Ordering::Relaxed);
                upstream.end()
            })
            .collect();
        let _late =
            tokio::time::timeout(LAST_WORDS, async { while ends.join_next().await.is_some() {} }).await;
        self.bytes.load(Ordering::Relaxed)
    }

    fn idle(&self) -> Option<Upstream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|upstream| !upstream.is_over());
        idle.pop()
    }
}

async fn reach(config: &SshResource) -> Result<Dialled, NotDialled> {
    let pins = config.pins.as_ref().ok_or(NotDialled::Unproved(None))?;
    let login = login(config).await.map_err(NotDialled::Unreachable)?;
    timely(config, async {
        let stream = connect(config).await?;
        dial(stream, Some(pins), &config.user, &login).await
    })
    .await
}

async fn timely<T>(
    config: &SshResource,
    dialling: impl Future<Output = Result<T, NotDialled>>,
) -> Result<T, NotDialled> {
    tokio::time::timeout(DIAL, dialling).await.unwrap_or_else(|_late| {
        let (host, port) = (&config.host, config.port);
        Err(NotDialled::Unreachable(format!("{host}:{port} let nobody in within {} s", DIAL.as_secs())))
    })
}

async fn connect(config: &SshResource) -> Result<TcpStream, NotDialled> {
    let failed = |e: std::io::Error| NotDialled::Unreachable(e.to_string());
    let stream = TcpStream::connect((config.host.as_str(), config.port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

async fn login(config: &SshResource) -> Result<Login, String> {
    match &config.login {
        SshLogin::Password => {
            let secret = config.vault.fetch().await?.ok_or("there is no credential")?;
            Login::password(&secret)
        }
        SshLogin::Key { certificate } => {
            let secret = config.vault.fetch_whole().await?.ok_or("there is no credential")?;
            let certificate = match certificate {
                Some(file) => {
                    let read = tokio::fs::read_to_string(file).await;
                    Some(read.map_err(|e| format!("cannot read the certificate {}: {e}", file.display()))?)
                }
                None => None,
            };
            Login::key(&secret, certificate.as_deref())
        }
    }
}

/// For the operator.
fn sentence(config: &SshResource, why: &NotDialled) -> String {
    let (host, port) = (&config.host, config.port);
    match why {
        NotDialled::Unreachable(why) => format!("{host}:{port}: {why}"),
        NotDialled::Weak(why) => format!("{host}:{port}: {why}"),
        NotDialled::Unproved(Some(key)) => format!(
            "{host}:{port} showed another key than the pinned one: {} {}; if that is right, host_key = \"{}\"",
            key.algorithm, key.fingerprint, key.line
        ),
        NotDialled::Unproved(None) => {
            format!("{host}:{port} has no pinned key that it could prove; `tacho check` shows what it has")
        }
        NotDialled::NotLoggedIn => {
            format!("{host}:{port} does not let {} in with this credential", config.user)
        }
    }
}

/// What `tacho check` saw.
pub struct Probed {
    pub key: KeyKind,
    /// Whether it is a pinned one, and the login works.
    pub pinned: bool,
}

/// Connects, proves the host, logs in and hangs up; where no key is pinned, sees which one the host shows and says nothing to it.
/// Errors are sentences for the operator.
pub async fn probe(config: &SshResource) -> Result<Probed, String> {
    let sentence = |why: NotDialled| sentence(config, &why);
    if config.pins.is_some() {
        let dialled = reach(config).await.map_err(sentence)?;
        dialled.upstream.end().await;
        return Ok(Probed { key: dialled.key, pinned: true });
    }
    let nobody = Login::Password(String::new().into());
    let seen =
        timely(config, async { dial(connect(config).await?, None, &config.user, &nobody).await }).await;
    match seen {
        Err(NotDialled::Unproved(Some(key))) => Ok(Probed { key, pinned: false }),
        Ok(_) => Err("a host was taken that no key proves".to_owned()),
        Err(why) => Err(sentence(why)),
    }
}
