//! The data path of one gateway: its resources, served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use gate::Gate;
use mask::Detectors;
use policy::Policy;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;

use crate::accept::{Newcomer, accept};
use crate::again::Recording;
use crate::authority::Authority;
use crate::config::ResourceConfig;
use crate::runs::Registry;
use crate::{http, postgres, ssh, tls};

/// What a gateway is started with.
pub struct Start {
    pub ledger: ledger::Ledger,
    pub policy: Arc<Policy>,
    pub resources: Vec<ResourceConfig>,
    /// Where the installation's own certificate lives, beside the other keys.
    pub keys: PathBuf,
    /// Where the forward proxy listens, if there is one.
    pub proxy: Option<SocketAddr>,
    /// Threads of sessions; 0: one per core.
    pub threads: usize,
    /// What stands in for every upstream, where a run is carried out again.
    pub recording: Option<Arc<dyn Recording>>,
}

/// A resource that is served.
#[derive(Clone)]
pub enum Served {
    Postgres(Arc<postgres::Resource>),
    Http(Arc<http::Resource>),
    Ssh(Arc<ssh::Resource>),
}

impl Served {
    /// How many sessions there are now.
    pub fn sessions(&self) -> u64 {
        match self {
            Served::Postgres(postgres) => postgres.sessions(),
            Served::Http(http) => http.sessions.load(Ordering::Relaxed),
            Served::Ssh(ssh) => ssh.sessions.load(Ordering::Relaxed),
        }
    }

    /// Why the upstream did not answer when it was last asked, for the operator.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Served::Postgres(postgres) => postgres.catalog.trouble(),
            Served::Http(http) => http.trouble(),
            Served::Ssh(ssh) => ssh.trouble(),
        }
    }
}

/// The forward proxy, as clients find it.
#[derive(Clone, Debug)]
pub struct Door {
    pub address: SocketAddr,
    /// The certificate of its authority, PEM, and the file that holds it.
    pub certificate: String,
    pub file: PathBuf,
}

/// A gateway that serves. Dropping it stops its listeners; sessions end with their runs.
pub struct Gateway {
    pub gate: Gate,
    pub registry: Registry,
    pub resources: Vec<Served>,
    /// Where each resource listens, in order; `None`: it is reached through the proxy.
    pub addresses: Vec<Option<SocketAddr>>,
    pub door: Option<Door>,
    /// The certificate that clients may pin.
    pub certificate: PathBuf,
    listeners: Vec<tokio::task::JoinHandle<()>>,
}

impl Gateway {
    /// Binds every listener, or none. Errors are sentences for the operator; a PostgreSQL that is newer than what this
    /// gateway reads is one.
    pub async fn start(start: Start) -> Result<Gateway, String> {
        let detectors = Arc::new(Detectors::new());
        let gate = Gate::new(start.ledger.clone(), detectors.clone(), start.policy)
            .map_err(|e| format!("the policy could not be recorded: {e}"))?;
        let registry = Registry::new(start.ledger, detectors);
        let (certificate, key) = tls::own_certificate(&start.keys)?;
        let workers = Workers::start(start.threads)?;
        let (mut resources, mut bound, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for config in start.resources {
            let (name, listen) = (config.name().clone(), config.listen());
            let named = |e: String| format!("resource {name}: {e}");
            let served = match config {
                ResourceConfig::Postgres(config) => {
                    let own = (&*certificate, &*key);
                    postgres::Resource::new(config, gate.clone(), registry.clone(), own).map(|mut ready| {
                        ready.recording.clone_from(&start.recording);
                        Served::Postgres(Arc::new(ready))
                    })
                }
                ResourceConfig::Http(mut config) => {
                    if config.cluster.is_some() && config.client_tls.is_none() {
                        // Clients of Kubernetes show no credential but over TLS.
                        config.client_tls = Some((certificate.clone(), key.clone()));
                    }
                    http::Resource::new(config, gate.clone(), registry.clone()).map(|mut ready| {
                        ready.recording.clone_from(&start.recording);
                        Served::Http(Arc::new(ready))
                    })
                }
                ResourceConfig::Ssh(config) => {
                    ssh::Resource::new(config, gate.clone(), registry.clone(), &start.keys).map(
                        |mut ready| {
                            ready.again = start.recording.is_some();
                            Served::Ssh(Arc::new(ready))
                        },
                    )
                }
            };
            resources.push(served.map_err(named)?);
            let Some(listen) = listen else {
                addresses.push(None);
                continue;
            };
            let listener = bind(&format!("resource {name}"), listen).await?;
            addresses.push(Some(listener.local_addr().map_err(|e| e.to_string())?));
            bound.push((listener, resources.len() - 1));
        }
        let routes = Arc::new(ssh::Routes::of(&resources, &addresses));
        for served in &resources {
            if let Served::Ssh(ready) = served {
                ready.routes.get_or_init(|| routes.clone());
            }
        }
        if start.recording.is_none() {
            fit(&resources).await?;
        }
        let strangers = registry.turned_away.clone();
        let mut listeners = vec![tokio::spawn(http::sweep(over_http(&resources)))];
        let door = match start.proxy {
            Some(listen) => {
                let (mut proxy, door, listener) =
                    open_door(listen, &start.keys, &gate, &registry, &resources).await?;
                proxy.recording.clone_from(&start.recording);
                let proxy = Arc::new(proxy);
                let serve = move |s, a, n| http::proxied(s, a, n, proxy.clone());
                listeners.push(tokio::spawn(accept(listener, workers.clone(), strangers.clone(), serve)));
                Some(door)
            }
            None => None,
        };
        for (listener, resource) in bound.into_iter().filter_map(|(l, at)| Some((l, resources.get(at)?))) {
            let (workers, strangers) = (workers.clone(), strangers.clone());
            listeners.push(match resource.clone() {
                Served::Postgres(ready) => {
                    tokio::spawn(accept(listener, workers, strangers, move |s, a, n| {
                        postgres::connection(s, a, n, ready.clone())
                    }))
                }
                Served::Http(ready) => tokio::spawn(accept(listener, workers, strangers, move |s, a, n| {
                    http::connection(s, a, n, ready.clone())
                })),
                Served::Ssh(ready) => {
                    tokio::spawn(accept(listener, workers, strangers, move |s, a, n: Arc<Newcomer>| {
                        // Its own way to cut one tells the client why.
                        n.proved();
                        ssh::connection(s, a, ready.clone())
                    }))
                }
            });
        }
        Ok(Gateway { gate, registry, resources, addresses, door, certificate, listeners })
    }
}

/// Looks at every PostgreSQL at once.
async fn fit(resources: &[Served]) -> Result<(), String> {
    let mut looks = JoinSet::new();
    for resource in resources {
        if let Served::Postgres(ready) = resource.clone() {
            looks.spawn(async move {
                let name = ready.config.name.clone();
                postgres::fits(&ready).await.map_err(|why| format!("resource {name}: {why}"))
            });
        }
    }
    looks.join_all().await.into_iter().collect()
}

async fn bind(what: &str, listen: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(listen).await.map_err(|e| format!("{what}: cannot listen on {listen}: {e}"))
}

fn over_http(resources: &[Served]) -> Vec<Arc<http::Resource>> {
    let over_http = |served: &Served| match served {
        Served::Http(http) => Some(http.clone()),
        Served::Postgres(_) | Served::Ssh(_) => None,
    };
    resources.iter().filter_map(over_http).collect()
}

/// The proxy before all resources that are reached over HTTP.
async fn open_door(
    listen: SocketAddr,
    keys: &Path,
    gate: &Gate,
    registry: &Registry,
    resources: &[Served],
) -> Result<(http::Proxy, Door, TcpListener), String> {
    let behind = over_http(resources);
    let authority = Authority::open(keys, &http::Proxy::hosts(&behind))?;
    let listener = bind("the proxy", listen).await?;
    let door = Door {
        address: listener.local_addr().map_err(|e| e.to_string())?,
        certificate: authority.pem().to_owned(),
        file: authority.file().to_owned(),
    };
    let proxy = http::Proxy::new(gate.clone(), registry.clone(), &behind, authority);
    Ok((proxy, door, listener))
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.listeners.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// One current-thread runtime per core: a session lives on one of them and shares no lock with the others'.
#[derive(Clone)]
pub struct Workers {
    handles: Arc<Vec<Handle>>,
    next: Arc<std::sync::atomic::AtomicUsize>,
}

impl Workers {
    fn start(threads: usize) -> Result<Workers, String> {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(2, std::num::NonZero::get),
            n => n,
        };
        let mut handles = Vec::with_capacity(threads);
        for n in 0..threads {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| format!("cannot make a runtime: {e}"))?;
            handles.push(runtime.handle().clone());
            thread::Builder::new()
                .name(format!("sessions-{n}"))
                .spawn(move || runtime.block_on(std::future::pending::<()>()))
                .map_err(|e| format!("cannot start a thread: {e}"))?;
        }
        Ok(Workers { handles: Arc::new(handles), next: Arc::default() })
    }

    /// The runtime for the next session.
    pub(crate) fn next(&self) -> &Handle {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        &self.handles[n % self.handles.len()]
    }
}
