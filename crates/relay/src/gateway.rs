//! The data path of one gateway: its resources, served.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use gate::Gate;
use mask::Detectors;
use policy::Policy;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};

use crate::config::PostgresResource;
use crate::postgres::{Resource, serve};
use crate::runs::Registry;
use crate::tls;

/// What a gateway is started with.
pub struct Start {
    pub ledger: ledger::Ledger,
    pub policy: Arc<Policy>,
    pub resources: Vec<PostgresResource>,
    /// Where the installation's own certificate lives, beside the other keys.
    pub keys: PathBuf,
    /// Threads of sessions; 0: one per core.
    pub threads: usize,
}

/// A gateway that serves. Dropping it stops its listeners; sessions end with their runs.
pub struct Gateway {
    pub gate: Gate,
    pub registry: Registry,
    pub resources: Vec<Arc<Resource>>,
    /// Where each resource listens, in order.
    pub addresses: Vec<SocketAddr>,
    /// The certificate that clients may pin.
    pub certificate: PathBuf,
    listeners: Vec<tokio::task::JoinHandle<()>>,
}

impl Gateway {
    /// Binds every listener, or none. Errors are sentences for the operator.
    pub async fn start(start: Start) -> Result<Gateway, String> {
        let detectors = Arc::new(Detectors::new());
        let gate = Gate::new(start.ledger.clone(), detectors.clone(), start.policy)
            .map_err(|e| format!("the policy could not be recorded: {e}"))?;
        let registry = Registry::new(start.ledger, detectors);
        let (certificate, key) = tls::own_certificate(&start.keys)?;
        let workers = Workers::start(start.threads)?;
        let (mut resources, mut bound, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for config in start.resources {
            let (name, listen) = (config.name.clone(), config.listen);
            let resource = Resource::new(config, gate.clone(), registry.clone(), (&certificate, &key))
                .map_err(|e| format!("resource {name}: {e}"))?;
            let listener = TcpListener::bind(listen)
                .await
                .map_err(|e| format!("resource {name}: cannot listen on {listen}: {e}"))?;
            addresses.push(listener.local_addr().map_err(|e| e.to_string())?);
            resources.push(Arc::new(resource));
            bound.push(listener);
        }
        let listeners = bound
            .into_iter()
            .zip(&resources)
            .map(|(listener, resource)| tokio::spawn(serve(listener, resource.clone(), workers.clone())))
            .collect();
        Ok(Gateway { gate, registry, resources, addresses, certificate, listeners })
    }
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
        let n = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        &self.handles[n % self.handles.len()]
    }
}
