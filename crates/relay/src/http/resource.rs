//! One HTTP service: its configuration, made ready.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use gate::Gate;
use mask::Detectors;
use mask::limits::{BODY_TOKEN_BYTES_MAX, BODY_TOKEN_BYTES_MOST};
use rustls::{ClientConfig, ServerConfig};
use vocab::ResourcePath;

use super::band::Parked;
use super::cluster::Places;
use super::dial::client_tls;
use super::lent::Lent;
use super::mcp::Handles;
use super::tags::Tags;
use crate::again::Recording;
use crate::config::HttpResource;
use crate::limits::{CHANGES_AT_ONCE_MAX, MODEL_BODY_BYTES_MAX};
use crate::runs::Registry;
use crate::tls;

const _: () = assert!(MODEL_BODY_BYTES_MAX <= BODY_TOKEN_BYTES_MOST);
const _: () = assert!(proto_kubernetes::limits::BODY_BYTES_MAX <= BODY_TOKEN_BYTES_MOST);

/// What all sessions of one service share.
pub struct Resource {
    pub config: HttpResource,
    pub gate: Gate,
    /// For what the programs in a cluster's pods write: the gate's own, and keys of services that nobody listed.
    pub(super) programs: Detectors,
    pub registry: Registry,
    pub root: ResourcePath,
    pub tls: Option<Arc<ClientConfig>>,
    /// `None`: clients speak plain HTTP, on loopback.
    pub server_tls: Option<Arc<ServerConfig>>,
    /// How many sessions there are now.
    pub sessions: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Stands in for the service where a run is carried out again.
    pub(crate) recording: Option<Arc<dyn Recording>>,
    /// What a server of MCP gave which runs.
    pub(super) handles: Handles,
    /// Questions whose clients come again.
    pub(super) parked: Parked,
    /// Connections to servers that clients started.
    pub(super) lent: Lent,
    /// How many changes are looked at for approvers now.
    pub(super) changes: tokio::sync::Semaphore,
    /// Of a cluster: what is governed, by what is asked for.
    pub(super) places: Option<Places>,
    pub(super) tags: Tags,
}

impl Resource {
    /// Errors are sentences for the operator.
    pub fn new(config: HttpResource, gate: Gate, registry: Registry) -> Result<Resource, String> {
        let tls = client_tls(&config.upstream)?;
        let places =
            config.cluster.as_ref().map(|cluster| Places::new(cluster, &config.masks)).transpose()?;
        let server_tls = match &config.client_tls {
            Some((certificate, key)) => {
                let mut config = Arc::unwrap_or_clone(tls::server_config(certificate, key)?);
                config.alpn_protocols = vec![tls::HTTP_2.to_vec(), tls::HTTP_1.to_vec()];
                Some(Arc::new(config))
            }
            None => None,
        };
        Ok(Resource {
            root: ResourcePath::root(&config.name),
            config,
            programs: gate.detectors().of_programs(),
            gate,
            registry,
            tls,
            server_tls,
            sessions: AtomicU64::new(0),
            trouble: Mutex::new(None),
            recording: None,
            handles: Handles::default(),
            parked: Parked::default(),
            lent: Lent::default(),
            places,
            tags: Tags::new()?,
            changes: tokio::sync::Semaphore::new(CHANGES_AT_ONCE_MAX),
        })
    }

    /// Why the upstream was not reached when it was last dialled.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The longest string or number of JSON that is looked into, in bytes: what a model or a tool is told or says may be one string
    /// (an image), and is held whole anyway; a secret of a cluster may be one value, as large as what an API server takes.
    pub(super) fn longest(&self) -> usize {
        match (self.config.model.is_some() || self.config.mcp.is_some(), &self.config.cluster) {
            (true, _) => MODEL_BODY_BYTES_MAX,
            (false, Some(_)) => proto_kubernetes::limits::BODY_BYTES_MAX,
            (false, None) => BODY_TOKEN_BYTES_MAX,
        }
    }

    /// Whether its client starts the server, and nothing is dialled.
    pub(super) fn is_stdio(&self) -> bool {
        self.config.mcp.as_ref().is_some_and(|mcp| mcp.stdio)
    }

    pub(super) fn reached(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
