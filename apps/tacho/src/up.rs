//! Wires a gateway: configuration in, listeners out. The order is what the promises need: keys and ledger before any
//! listener, the policy recorded before the first decision, and at the end the runs closed before the ledger is.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use answers::text::visible;
use console::{Console, Listener, Parts};
use ledger::{Digest, Ended, Ledger, RealDisk, SystemClock, SystemRandom};
use relay::Gateway;
use relay::again::Recording;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle as Task;

use crate::cli;
use crate::config::Config;
use crate::evidence::LEDGER;
use crate::fault::{Failure, Outcome};
use crate::issuers::Issuers;
use crate::limits::{STRANGERS_INTERVAL, UPSTREAMS_INTERVAL};
use crate::serve::{Desks, Doorkeeper, InboxDesk, RunDesk, STOP_WAIT, Shared, ToolDesk};
use crate::witnesses::{self, Witness};
use crate::{desk, files, policies, serve, wired};

/// `tacho up`: until SIGTERM or SIGINT. SIGHUP reloads the policy, and keeps the old one if the new one is wrong.
pub fn up(config_file: &Path, args: &cli::Up) -> Outcome {
    let config = Config::load(config_file)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let (mut term, mut int, mut hup) = signals()?;
        let gateway = Live::start(config, None).await?;
        announce(&gateway, args.quiet);
        let mut look = tokio::time::interval(UPSTREAMS_INTERVAL);
        let mut down = BTreeSet::new();
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => gateway.take_policy().await,
                _ = look.tick(), if !args.quiet => {
                    let lines = turned(&mut down, &gateway.shared.upstreams());
                    lines.iter().for_each(|line| eprintln!("tacho: {line}"));
                }
            }
        }
        gateway.stop("stopped").await
    })?;
    Ok(std::process::ExitCode::SUCCESS)
}

/// A gateway on a thread of its own, for the life of one `tacho run`.
pub struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), Failure>>,
}

/// Returns once everything listens.
/// With `recording` no upstream is reached: it answers in their place.
pub fn start(config: Config, recording: Option<Arc<dyn Recording>>) -> Result<Running, Failure> {
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let work = move || {
        let runtime = runtime()?;
        runtime.block_on(async {
            match Live::start(config, recording).await {
                Ok(gateway) => {
                    // The other end waits for this, or is gone with its process.
                    let _heard = ready.send(Ok(()));
                    // A sender that is dropped means the same as one that sends.
                    let _stopped = stopped.await;
                    gateway.stop("stopped").await
                }
                Err(failure) => {
                    let _heard = ready.send(Err(failure));
                    Ok(())
                }
            }
        })
    };
    let thread = std::thread::Builder::new().name("gateway".to_owned()).spawn(work);
    let thread = thread.map_err(|e| Failure::could_not(format!("cannot start the gateway's thread: {e}")))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(Running { stop, thread }),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::could_not("the gateway ended while it started; see the messages above")),
    }
}

impl Running {
    pub fn stop(self) -> Result<(), Failure> {
        // If the other end is gone, the thread has ended and says why.
        let _ended = self.stop.send(());
        self.thread.join().unwrap_or_else(|_| {
            Err(Failure::could_not("the gateway's thread died; its ledger recovers at the next start"))
        })
    }
}

/// A gateway that serves.
struct Live {
    shared: Arc<Shared>,
    gateway: Gateway,
    ledger: Ledger,
    stop: watch::Sender<bool>,
    tasks: Vec<Task<()>>,
    sockets: Vec<PathBuf>,
}

impl Live {
    async fn start(config: Config, recording: Option<Arc<dyn Recording>>) -> Result<Live, Failure> {
        let policy = Arc::new(policies::load(&config.gateway.policy)?);
        for dir in [&config.gateway.data, &config.gateway.keys] {
            files::own_dir(dir)?;
        }
        let resources =
            config.resources.iter().map(|r| wired::resource(r, &config)).collect::<Result<Vec<_>, _>>()?;
        let ledger = open_ledger(&config, &policy).await?;
        let start = relay::Start {
            ledger: ledger.clone(),
            policy: policy.clone(),
            resources,
            keys: config.gateway.keys.clone(),
            proxy: config.gateway.proxy,
            threads: 0,
            recording,
        };
        let gateway = Gateway::start(start)
            .await
            .map_err(|e| Failure::could_not(format!("{e}; the gateway did not start")))?;
        let witnesses = config.witnesses.iter().map(|w| Witness::new(w.clone(), &ledger).map(Arc::new));
        let witnesses = witnesses.collect::<Result<Vec<_>, _>>()?;
        let issuers = Issuers::open(&config)?;
        let shared = Arc::new(Shared::new(
            config,
            gateway.gate.clone(),
            gateway.registry.clone(),
            policy,
            serve::Serving {
                resources: gateway.resources.clone(),
                addresses: gateway.addresses.clone(),
                door: gateway.door.clone(),
                certificate: gateway.certificate.clone(),
            },
            witnesses,
            issuers,
        ));
        let approvers = serve::Approvers::new(shared.config.operators_file());
        shared.gate.approvers(move |name, group| approvers.speak(name, group));
        let mut live = Live {
            shared,
            gateway,
            ledger,
            stop: watch::Sender::new(false),
            tasks: Vec::new(),
            sockets: Vec::new(),
        };
        live.listen().await?;
        Ok(live)
    }

    /// The console on loopback and on the control socket, and the second socket.
    async fn listen(&mut self) -> Result<(), Failure> {
        let config = &self.shared.config;
        let address = config.gateway.console;
        let tcp = TcpListener::bind(address).await.map_err(|e| {
            Failure::could_not(format!(
                "cannot listen on {address}: {e}; set console in [gateway] to a free port"
            ))
        })?;
        let port = tcp.local_addr().map_or(address.port(), |a| a.port());
        let open = humans_of_other_users(config);
        socket_directory(&config.gateway.control, open)?;
        let control = bind(&config.gateway.control, open).await?;
        let second = bind(&desk::path(config), open).await?;
        self.sockets = vec![config.gateway.control.clone(), desk::path(config)];
        let evidence = Arc::new(Desks::new(self.shared.clone(), config.gateway.data.join(LEDGER)));
        let console = Console::new(Parts {
            auth: Arc::new(Doorkeeper(self.shared.clone())),
            approvals: Arc::new(InboxDesk(self.shared.clone())),
            runs: Arc::new(RunDesk(self.shared.clone())),
            tools: Arc::new(ToolDesk(self.shared.clone())),
            evidence,
            hosts: vec![
                address.to_string(),
                format!("127.0.0.1:{port}"),
                format!("localhost:{port}"),
                format!("[::1]:{port}"),
            ],
            secure: false,
        });
        for listener in [Listener::Tcp(tcp), Listener::Unix(control)] {
            let (console, mut stop) = (console.clone(), self.stop.subscribe());
            self.tasks.push(tokio::spawn(async move {
                let stopped = async move {
                    // A sender that is gone means stop, too.
                    let _stopped = stop.wait_for(|stop| *stop).await.is_ok();
                };
                console::serve(listener, console, stopped).await;
            }));
        }
        self.tasks.push(tokio::spawn(serve::desk::serve(second, self.shared.clone())));
        self.tasks.push(tokio::spawn(record_strangers(self.shared.clone())));
        for witness in &self.shared.witnesses {
            let attended = witnesses::attend(self.shared.clone(), witness.clone());
            self.tasks.push(tokio::spawn(attended));
        }
        Ok(())
    }

    /// Reloads the policy, and says how that went: here, and in `tacho status` while it has failed.
    async fn take_policy(&self) {
        match self.reload().await {
            Ok(()) => {
                self.shared.policy_refused(None);
                eprintln!("tacho: the policy is reloaded");
                self.shared
                    .policy_doubts()
                    .iter()
                    .for_each(|(what, mend)| eprintln!("tacho: weak: {what}; {mend}"));
            }
            Err(failure) => {
                eprintln!("tacho: the policy in force stays: {failure}");
                self.shared.policy_refused(Some(&failure));
            }
        }
    }

    /// Takes the policy as it is on disk now. The old one stays in force until the new one is right and recorded.
    async fn reload(&self) -> Result<(), Failure> {
        let dir = &self.shared.config.gateway.policy;
        let policy = Arc::new(policies::load(dir)?);
        let shared = self.shared.clone();
        let work = move || {
            let recorded = |e: &dyn std::fmt::Display| {
                Failure::could_not(format!("the new policy cannot be recorded: {e}"))
            };
            let hash = crate::hex::encode(&policy.hash().0);
            shared.gate.reload(policy.clone()).map_err(|e| recorded(&e))?;
            *shared.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
            shared.admin("signal", "policy-reload", &hash, "in force").map(|_| ()).map_err(|e| recorded(&e))
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|_| Err(Failure::could_not("the gateway is stopping")))
    }

    /// No new connection; every run ended and closed; then the ledger.
    async fn stop(self, reason: &'static str) -> Result<(), Failure> {
        self.stop.send_replace(true);
        let registry = self.gateway.registry.clone();
        let ends = async {
            for run in registry.list() {
                let id = run.id;
                drop(run);
                if let Err(error) = registry.end(id, Ended::Interrupted, None).await {
                    eprintln!(
                        "tacho: the end of run {id} could not be recorded: {error}; it is at the next start"
                    );
                }
            }
        };
        if tokio::time::timeout(STOP_WAIT, ends).await.is_err() {
            eprintln!(
                "tacho: some runs did not end in {} s; they are closed at the next start",
                STOP_WAIT.as_secs()
            );
        }
        self.tasks.iter().for_each(Task::abort);
        let shared = self.shared.clone();
        let _done = tokio::task::spawn_blocking(move || shared.record_strangers()).await;
        drop(self.gateway);
        for socket in &self.sockets {
            // One that is gone already needs no removal.
            let _gone = fs::remove_file(socket);
        }
        let (ledger, last) = (self.ledger.clone(), self.ledger);
        let closed = tokio::task::spawn_blocking(move || ledger.shutdown(reason)).await;
        witnesses::last_round(&self.shared.witnesses, &last).await;
        match closed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Failure::could_not(
                "the ledger's last records did not become durable; run `tacho verify`, and start again to recover it",
            )),
        }
    }
}

/// Until the task is dropped.
async fn record_strangers(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(STRANGERS_INTERVAL).await;
        let shared = shared.clone();
        // The thread ends by itself; what it could not record, the ledger says when it is back.
        let _done = tokio::task::spawn_blocking(move || shared.record_strangers()).await;
    }
}

async fn open_ledger(config: &Config, policy: &policy::Policy) -> Result<Ledger, Failure> {
    let gateway = &config.gateway;
    let mut settings =
        ledger::Config::new(gateway.data.join(LEDGER), gateway.keys.clone(), env!("CARGO_PKG_VERSION"));
    settings.origin = gateway.origin.clone();
    settings.durability = gateway.durability;
    settings.auditors = gateway.auditors.clone();
    settings.config = Digest(config.digest);
    settings.policy = Digest(policy.hash().0);
    let opened = tokio::task::spawn_blocking(move || {
        Ledger::open(settings, RealDisk, SystemClock::new(), SystemRandom::new())
    });
    let opened =
        opened.await.map_err(|_| Failure::could_not("the ledger's opening was interrupted; start again"))?;
    let (ledger, recovery) = opened.map_err(|e| Failure::could_not(e.to_string()))?;
    if !recovery.interrupted.is_empty() || recovery.torn > 0 {
        eprintln!(
            "tacho: recovered the ledger: {} runs closed as interrupted, {} effects indeterminate, {} bytes of torn tail kept out",
            recovery.interrupted.len(),
            recovery.indeterminate,
            recovery.torn
        );
    }
    if recovery.adopted > 0 {
        eprintln!(
            "tacho: {} records at the ledger's end were under no checkpoint; they are signed now, and the record of this start counts them",
            recovery.adopted
        );
    }
    Ok(ledger)
}

/// Whether somebody with another uid than the gateway's may start runs.
fn humans_of_other_users(config: &Config) -> bool {
    let own = rustix::process::geteuid().as_raw();
    config.humans.iter().any(|human| human.uid.is_some_and(|uid| uid != own))
}

/// The sockets' own directory: closed to others, unless there are people with other uids; then they may pass through it.
fn socket_directory(socket: &Path, open: bool) -> Result<(), Failure> {
    let Some(dir) = socket.parent() else { return Ok(()) };
    let mode = if open { 0o711 } else { 0o700 };
    let made = DirBuilder::new().recursive(true).mode(mode).create(dir);
    made.map_err(|e| Failure::file("make the directory", dir, &e))?;
    fs::set_permissions(dir, Permissions::from_mode(mode))
        .map_err(|e| Failure::file("set the mode of", dir, &e))
}

/// Binds a socket. One that a dead gateway left is replaced, one that a live gateway answers on is not.
async fn bind(path: &Path, open: bool) -> Result<UnixListener, Failure> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(Failure::could_not(format!(
            "another gateway listens on {}; stop it, or give this one its own control socket",
            path.display()
        )));
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Failure::file("replace", path, &e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(|e| Failure::file("listen on", path, &e))?;
    // Who may connect is the directory's question; who is believed, the kernel's.
    let mode = if open { 0o666 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|e| Failure::file("set the mode of", path, &e))?;
    Ok(listener)
}

/// A line for each upstream that went down or came back since `down` was last brought up to date.
fn turned(down: &mut BTreeSet<String>, upstreams: &[(String, Option<String>)]) -> Vec<String> {
    let line = |(name, trouble): &(String, Option<String>)| match trouble {
        Some(why) if down.insert(name.clone()) => {
            Some(format!("the upstream of {name} is down: {}", visible(why)))
        }
        None if down.remove(name) => Some(format!("the upstream of {name} is back")),
        Some(_) | None => None,
    };
    upstreams.iter().filter_map(line).collect()
}

fn announce(gateway: &Live, quiet: bool) {
    let config = &gateway.shared.config;
    if quiet {
        eprintln!("tacho: ready");
        return;
    }
    for (resource, address) in config.resources.iter().zip(&gateway.gateway.addresses) {
        let way = address.map_or("is behind the proxy".to_owned(), |address| format!("listens on {address}"));
        eprintln!("tacho: {} {way}, upstream {}", resource.name, resource.what.address());
    }
    if let Some(door) = &gateway.gateway.door {
        let file = door.file.display();
        eprintln!("tacho: the proxy listens on {}; runs trust its authority, {file}", door.address);
    }
    eprintln!("tacho: console on http://{}, ledger {}", config.gateway.console, gateway.ledger.origin());
    eprintln!(
        "tacho: verifier key {}; keep a copy elsewhere (`tacho verify --key`, `tacho witness --log`)",
        gateway.ledger.first_key()
    );
    if !gateway.ledger.status().real_time {
        eprintln!(
            "tacho: the ledger's thread was not granted real-time priority (CAP_SYS_NICE, or `ulimit -r 1`); on a busy \
             machine each statement waits longer for its record"
        );
    }
    if config.gateway.durability == vocab::Durability::Os {
        eprintln!(
            "tacho: durability = \"os\": a power failure can lose the evidence of effects; P1 is not claimed"
        );
    }
}

pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|e| Failure::could_not(format!("cannot start: {e}; is the machine out of memory?")))
}

pub type Signal = tokio::signal::unix::Signal;

pub fn signals() -> Result<(Signal, Signal, Signal), Failure> {
    let take = |kind| signal(kind).map_err(|e| Failure::could_not(format!("cannot take signals: {e}")));
    Ok((take(SignalKind::terminate())?, take(SignalKind::interrupt())?, take(SignalKind::hangup())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_told_once_when_it_goes_and_once_when_it_comes() {
        let mut down = BTreeSet::new();
        let now =
            |why: Option<&str>| [("crm".to_owned(), why.map(str::to_owned)), ("billing".to_owned(), None)];
        assert!(turned(&mut down, &now(None)).is_empty());
        let gone = turned(&mut down, &now(Some("it refused the login: 28P01\u{1b}[2J")));
        assert_eq!(gone, ["the upstream of crm is down: it refused the login: 28P01\\u{1b}[2J"]);
        assert!(turned(&mut down, &now(Some("no answer"))).is_empty(), "not at each attempt");
        assert_eq!(turned(&mut down, &now(None)), ["the upstream of crm is back"]);
        assert!(turned(&mut down, &now(None)).is_empty());
    }
}
