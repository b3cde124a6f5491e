//! `--jail`: the agent in an empty network, with the gateway's listeners in it and nothing else.
//!
//! The first process of the run ([`network`]) is in a network namespace of its own. It brings up the loopback there, makes
//! every address there is a local one, and makes all sockets: one listener for each of the gateway's, under the same
//! address; the resolver's; and two that see packets. It passes them out by descriptor ([`pass`]), and then starts the agent
//! behind a filter of system calls ([`filter`]). What happens on those sockets happens out here, where no agent is:
//!
//! - [`relay`] carries connections between each listener and the gateway's own;
//! - [`resolver`] knows the configured names, and that there are no others;
//! - [`sink`] sees who tries to reach something else. The kernel refuses that by itself: nobody listens there;
//! - [`attempts`] counts what was tried and has it recorded.
//!
//! **Invariant:** a jail is whole or the agent is not started: what a kernel refuses ends the run with exit code 3.

pub mod attempts;
pub mod filter;
pub mod network;
mod pass;
mod relay;
mod resolver;
mod sink;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use console::seat::Minted;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::config::{Config, Host, What};
use crate::fault::Failure;
use crate::limits::{JAIL_CONNECTIONS_MAX, JAIL_HANDSHAKE};
use crate::run::environment::is_proxied;
use attempts::{Book, Reporter};
use pass::Passed;
use resolver::Names;

/// What the first process needs to know of the jail that it makes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Where the sockets are passed out; nowhere, if it is only tried whether a jail can be made.
    pub door: Option<PathBuf>,
    /// Addresses that are the gateway's, inside as outside.
    pub listeners: Vec<SocketAddr>,
    /// The file that the agent sees as `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

impl Plan {
    /// A plan by which it is tried whether a jail can be made.
    pub fn trial(home: &Path) -> Result<Plan, Failure> {
        Ok(Plan { door: None, listeners: Vec::new(), resolv_conf: write_resolv_conf(home)? })
    }
}

/// A jail as seen from outside.
pub struct Jail {
    pub plan: Plan,
    door: UnixListener,
    names: Arc<Names>,
    book: Arc<Mutex<Book>>,
    desk: PathBuf,
    token: Zeroizing<String>,
    reporter: Option<Reporter>,
    sinks: Vec<sink::Sink>,
    tasks: JoinSet<()>,
}

impl Jail {
    /// For a run that was minted, with its home in `home`. `upstreams` says which names may stand for which resource.
    pub fn new(
        home: &Path,
        minted: &Minted,
        console: &str,
        upstreams: &[Upstream],
        desk: &Path,
    ) -> Result<Jail, Failure> {
        let mut listeners = Vec::new();
        let mut names = Names::default();
        // What is behind the proxy alone has no address of its own.
        for resource in minted.resources.iter().filter(|resource| !is_proxied(resource)) {
            let ip: IpAddr = resource.host.parse().map_err(|_| no_address(&resource.host))?;
            listeners.push(SocketAddr::new(ip, resource.port));
            names.add(&resource.name, ip);
            let same = |up: &&Upstream| up.resource == resource.name && up.port == resource.port;
            upstreams.iter().filter(same).for_each(|up| names.add(&up.host, ip));
        }
        if let Some(proxy) = &minted.proxy {
            let ip: IpAddr = proxy.host.parse().map_err(|_| no_address(&proxy.host))?;
            listeners.push(SocketAddr::new(ip, proxy.port));
        }
        let console = console.strip_prefix("http://").unwrap_or(console);
        listeners.push(console.parse().map_err(|_| no_address(console))?);
        let path = home.join("door.sock");
        let door = UnixListener::bind(&path).map_err(|e| Failure::file("listen on", &path, &e))?;
        Ok(Jail {
            plan: Plan { door: Some(path), listeners, resolv_conf: write_resolv_conf(home)? },
            door,
            names: Arc::new(names),
            book: Arc::default(),
            desk: desk.to_owned(),
            token: Zeroizing::new(minted.token.clone()),
            reporter: None,
            sinks: Vec::new(),
            tasks: JoinSet::new(),
        })
    }

    /// Takes what the first process passes out, serves it, and lets the agent be started.
    pub async fn open(&mut self, first: &mut Child) -> Result<(), Failure> {
        let id = first.id();
        let stream = tokio::select! {
            came = tokio::time::timeout(JAIL_HANDSHAKE, self.come(id)) => match came {
                Ok(Ok(stream)) => stream,
                Ok(Err(e)) => return Err(not_made(&e.to_string())),
                Err(_) => return Err(not_made("it was not ready in time")),
            },
            _ = first.wait() => return Err(not_made("its first process says why, above")),
        };
        let mut stream = stream.into_std().map_err(|e| not_made(&e.to_string()))?;
        let sockets = pass::receive_all(&stream).map_err(|e| not_made(&e.to_string()))?;
        self.serve(sockets).map_err(|e| not_made(&e.to_string()))?;
        pass::go_on(&mut stream).map_err(|e| not_made(&e.to_string()))
    }

    /// The first process of this run, and nobody else who has found the door: the kernel says whose child is calling.
    async fn come(&self, parent: Option<u32>) -> std::io::Result<UnixStream> {
        loop {
            let (stream, _) = self.door.accept().await?;
            let caller = stream.peer_cred()?.pid().and_then(crate::proc::parent_of);
            if caller.and_then(|id| u32::try_from(id).ok()).is_some_and(|id| Some(id) == parent) {
                return Ok(stream);
            }
        }
    }

    fn serve(&mut self, sockets: Vec<Passed>) -> std::io::Result<()> {
        let room = Arc::new(Semaphore::new(JAIL_CONNECTIONS_MAX));
        let known: Arc<[SocketAddr]> = self.plan.listeners.clone().into();
        let mut listeners = self.plan.listeners.iter();
        for socket in sockets {
            match socket {
                Passed::Listener(listener) => {
                    let Some(to) = listeners.next() else {
                        return Err(std::io::ErrorKind::InvalidData.into());
                    };
                    self.tasks.spawn(relay::serve(relay::listener(listener)?, *to, room.clone()));
                }
                Passed::Sink(family, descriptor) => {
                    let sink = sink::Sink::new(family, descriptor, known.clone(), self.book.clone())?;
                    self.tasks.spawn(sink.clone().watch());
                    self.sinks.push(sink);
                }
                Passed::ResolverUdp(socket) => {
                    let socket = resolver::datagrams(socket)?;
                    self.tasks.spawn(resolver::serve_udp(socket, self.names.clone(), self.book.clone()));
                }
                Passed::ResolverTcp(listener) => {
                    let listener = relay::listener(listener)?;
                    let (names, book) = (self.names.clone(), self.book.clone());
                    self.tasks.spawn(resolver::serve_tcp(listener, names, book, room.clone()));
                }
            }
        }
        if listeners.next().is_some() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.reporter = Some(Reporter::start(&self.desk, &self.token, self.book.clone()));
        Ok(())
    }

    /// After the agent's end: what it still tried is read, and all of it stands in the record when this returns.
    pub async fn close(mut self) -> Result<(), Failure> {
        self.tasks.shutdown().await;
        self.sinks.iter().for_each(sink::Sink::drain);
        match self.reporter.take() {
            Some(reporter) => reporter.finish().await,
            None => Ok(()),
        }
    }
}

/// A resource's upstream, as it is named.
pub struct Upstream {
    pub resource: String,
    pub host: String,
    pub port: u16,
}

/// Names of upstreams' hosts, each with its resource and port. Where a listener has its upstream's port, an agent that
/// knows nothing but the upstream's name finds the listener by it.
pub fn upstreams(config: &Config) -> Vec<Upstream> {
    let of = |resource: &crate::config::Resource| {
        let (host, port) = match &resource.what {
            What::Postgres(database) => match &database.upstream.host {
                Host::Tcp(host) => (host.clone(), database.upstream.port),
                Host::Unix(_) => return None,
            },
            What::Http(_) if resource.what.stdio().is_some() => return None,
            What::Http(service) => (service.upstream.host.clone(), service.upstream.port),
            What::Ssh(ssh) => (ssh.host.clone(), ssh.port),
        };
        let is_name = host.parse::<IpAddr>().is_err();
        is_name.then(|| Upstream { resource: resource.name.clone(), host, port })
    };
    config.resources.iter().filter_map(of).collect()
}

fn write_resolv_conf(home: &Path) -> Result<PathBuf, Failure> {
    let path = home.join("resolv.conf");
    let text = format!("nameserver {}\nsearch .\n", resolver::ADDRESS);
    std::fs::write(&path, text).map_err(|e| Failure::file("write", &path, &e))?;
    Ok(path)
}

fn no_address(what: &str) -> Failure {
    Failure::could_not(format!(
        "the gateway says that it listens on {what:?}, which is no address; see its log"
    ))
}

fn not_made(why: &str) -> Failure {
    Failure::could_not(format!("the jail could not be made: {why}; the agent was not started"))
}
