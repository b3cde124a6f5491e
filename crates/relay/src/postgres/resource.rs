//! One PostgreSQL resource: its configuration, made ready.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gate::{Gate, Who};
use ledger::{Digest, Draft, Kind, Name};
use rustls::{ClientConfig, ServerConfig};
use sql::{ColumnRule, Vouched};
use tokio::sync::Notify;
use vocab::{ResourcePath, RunId};

use super::catalog::{Catalog, Shelf};
use crate::again::Recording;
use crate::config::PostgresResource;
use crate::limits::{IDLE_ABOVE_APPROVAL, IDLE_IN_TRANSACTION, LOCK_WAIT, READER_STATEMENT};
use crate::runs::Registry;
use crate::tls;

/// What all sessions of one resource share.
pub struct Resource {
    pub config: PostgresResource,
    pub gate: Gate,
    pub registry: Registry,
    pub root: ResourcePath,
    pub rules: Vec<ColumnRule>,
    pub vouched: Vouched,
    pub tls: Option<Arc<ClientConfig>>,
    pub server_tls: Arc<ServerConfig>,
    pub catalog: Shelf,
    pub cancels: Cancels,
    /// How many sessions each run has now.
    pub(super) sessions: Mutex<HashMap<RunId, u64>>,
    /// Keeps the salts of users that do not exist the same.
    pub mock_secret: [u8; 32],
    /// Stands in for the server where a run is carried out again.
    pub(crate) recording: Option<Arc<dyn Recording>>,
}

impl Resource {
    /// Errors are sentences for the operator.
    pub fn new(
        config: PostgresResource,
        gate: Gate,
        registry: Registry,
        own_certificate: (&std::path::Path, &std::path::Path),
    ) -> Result<Resource, String> {
        let tls = tls::client_config(&config.upstream.tls, config.upstream.client_certificate.as_ref())?;
        let mut server_tls = Arc::unwrap_or_clone(match &config.client_tls {
            Some((certificate, key)) => tls::server_config(certificate, key)?,
            None => tls::server_config(own_certificate.0, own_certificate.1)?,
        });
        server_tls.alpn_protocols = vec![tls::POSTGRESQL.to_vec()];
        let rules = config
            .masks
            .iter()
            .map(|m| ColumnRule {
                schema: m.schema.clone(),
                table: m.table.clone(),
                column: m.column.clone(),
                class: m.class.clone(),
                kind: m.kind.clone(),
            })
            .collect();
        let vouched = Vouched {
            functions: config.vouch.iter().cloned().collect(),
            extensions: config.vouch_extensions.iter().cloned().collect(),
        };
        Ok(Resource {
            root: ResourcePath::root(&config.name),
            config,
            gate,
            registry,
            rules,
            vouched,
            tls,
            server_tls: Arc::new(server_tls),
            catalog: Shelf::default(),
            cancels: Cancels::default(),
            sessions: Mutex::default(),
            mock_secret: crate::entropy::random(),
            recording: None,
        })
    }

    /// How many sessions there are now.
    pub fn sessions(&self) -> u64 {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// What holds for a session of `who`, whatever its client sets.
    pub fn pins(&self, who: &Who) -> Pins {
        let read_only = self.config.read_only || self.gate.only_reads(who);
        let of_readers = read_only.then_some(READER_STATEMENT);
        let statement_timeout = self.config.statement_timeout.or(of_readers).filter(|t| !t.is_zero());
        let idle = IDLE_IN_TRANSACTION.max(self.config.approval_timeout.saturating_add(IDLE_ABOVE_APPROVAL));
        let idle_in_transaction = self.config.idle_in_transaction_timeout.unwrap_or(idle);
        let lock = self.config.lock_timeout.unwrap_or(LOCK_WAIT);
        Pins {
            read_only,
            statement_timeout,
            lock_timeout: Some(lock).filter(|t| !t.is_zero()),
            idle_in_transaction: Some(idle_in_transaction).filter(|t| !t.is_zero()),
        }
    }

    /// Best effort is enough: a decision names the catalog by its hash only for freshness, not for its verdict.
    pub(super) fn record_catalog(&self, catalog: &Catalog) {
        let draft = Draft::new(Kind::Catalog)
            .put_some("resource", Name::configured(&self.config.name))
            .put("hash", Digest(catalog.hash))
            .put("relations", catalog.snapshot.relation_count() as u64)
            .put_some("server", Name::configured(&catalog.snapshot.server_major().to_string()));
        let _next_record_fails_too = self.gate.ledger().append(draft);
    }
}

/// What the gateway sets upstream for a session, and its client cannot lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// By configuration, or because policy permits nothing but reading.
    pub read_only: bool,
    pub statement_timeout: Option<Duration>,
    pub lock_timeout: Option<Duration>,
    pub idle_in_transaction: Option<Duration>,
}

impl Pins {
    pub const NONE: Pins =
        Pins { read_only: false, statement_timeout: None, lock_timeout: None, idle_in_transaction: None };

    /// The settings of time that a client may lower and neither raise nor switch off, each with the most that it may be.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let all = [
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            ("idle_in_transaction_session_timeout", self.idle_in_transaction),
        ];
        all.into_iter().filter_map(|(name, most)| Some((name, most?)))
    }
}

/// Who may cancel what: our own keys, each for one session of one run.
#[derive(Default)]
pub struct Cancels {
    live: Mutex<Live>,
}

/// By process id and secret key, as the client was told them.
type Live = HashMap<(u32, Vec<u8>), Arc<Cancel>>;

/// One session's cancel button.
#[derive(Default)]
pub struct Cancel {
    pub pressed: Notify,
}

impl Cancels {
    pub fn add(&self, pid: u32, key: Vec<u8>) -> Arc<Cancel> {
        let cancel = Arc::new(Cancel::default());
        self.lock().insert((pid, key), cancel.clone());
        cancel
    }

    pub fn remove(&self, pid: u32, key: &[u8]) {
        self.lock().remove(&(pid, key.to_vec()));
    }

    /// Presses the button that `pid` and `key` belong to, if there is one. Nobody is told whether there was.
    pub fn press(&self, pid: u32, key: &[u8]) {
        if let Some(cancel) = self.lock().get(&(pid, key.to_vec())) {
            cancel.pressed.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
