//! `tacho.toml`: [`RawConfig`] is what was typed, [`Config`] cannot be wrong.
//!
//! Every error is reported at once, with its line, and says what would be right (exit 2). A key that is not
//! known is an error: a misspelt `read_only` must not mean "not read-only". No secret is ever in this file.
//!
//! Reading order: `raw` (what was typed) -> `resolve` (what it means, table by table) -> `values` (one value at a time).

mod cluster;
mod issuer;
mod kubeconfig;
mod proxy;
mod raw;
mod reader;
mod resolve;
mod service;
mod spell;
mod ssh;
mod upstream;
mod values;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger::AuditorKey;
use seal::note::VerifierKey;
use toml::de::DeTable;
use vocab::{Class, Durability, MaskKind};

use crate::fault::{Exit, Failure};
use crate::limits::CONFIG_BYTES_MAX;
use raw::RawConfig;
use reader::Problems;
use resolve::Resolver;

pub use cluster::Login as ClusterLogin;
pub use issuer::{Issuer, KeysFrom, recordable};
pub use kubeconfig::{ACCOUNT, Login as KubeconfigLogin};
pub use service::{HttpUpstream, Mcp, Model, PathMask, STDIO, Service, Stdio};
pub use ssh::{HostKeys, SshHost};
pub use upstream::{Host, Tls, Upstream};

/// The name of the file where no other is given.
pub const FILE_NAME: &str = "tacho.toml";

/// A configuration that cannot be wrong by itself; `tacho check` says whether it fits the world.
#[derive(Clone, Debug)]
pub struct Config {
    pub file: PathBuf,
    /// SHA-256 of the file's bytes, which the `start` record keeps.
    pub digest: [u8; 32],
    pub gateway: Gateway,
    pub resources: Vec<Resource>,
    pub humans: Vec<Human>,
    pub witnesses: Vec<Witness>,
    /// Whose tokens mint runs.
    pub issuers: Vec<Issuer>,
}

#[derive(Clone, Debug)]
pub struct Gateway {
    /// The ledger's name in its checkpoints; the ledger makes one up where none is given.
    pub origin: Option<String>,
    pub data: PathBuf,
    pub keys: PathBuf,
    pub console: SocketAddr,
    /// Where the forward proxy listens, if there is one.
    pub proxy: Option<SocketAddr>,
    /// The Unix socket that `tacho run` and its kin talk to.
    pub control: PathBuf,
    pub policy: PathBuf,
    pub durability: Durability,
    pub auditors: Vec<AuditorKey>,
    pub approval_timeout: Duration,
    /// How long a run may last before its credentials die.
    pub run_lifetime: Duration,
    /// Whom runs are switched to when `tacho run` is root.
    pub agent_user: Option<AgentUser>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentUser {
    pub name: Option<String>,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    /// `None`: it is reached through the proxy alone.
    pub listen: Option<SocketAddr>,
    pub credential: Credential,
    pub client_certificate: Option<KeyPair>,
    /// The certificate shown to clients. Without one the gateway mints its own for PostgreSQL and Kubernetes, and HTTP is plain.
    pub tls: Option<KeyPair>,
    pub reel: Reel,
    pub tripwire: Tripwire,
    pub what: What,
}

/// What kind of thing it is, and what only that kind has.
#[derive(Clone, Debug)]
pub enum What {
    Postgres(Database),
    Http(Service),
    Ssh(SshHost),
}

impl What {
    /// The word in the configuration and in records.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Postgres(_) => "postgres",
            What::Http(service) if service.model.is_some() => "llm",
            What::Http(service) if service.mcp.is_some() => "mcp",
            What::Http(service) if service.cluster.is_some() => "kubernetes",
            What::Http(_) => "http",
            What::Ssh(_) => "ssh",
        }
    }

    /// Where the upstream is, as `connect` records and `tacho check` show it.
    pub fn address(&self) -> String {
        match self {
            What::Postgres(database) => database.upstream.address(),
            What::Http(_) if self.stdio().is_some() => STDIO.to_owned(),
            What::Http(Service { login: Some(login), .. }) => login.to_string(),
            What::Http(service) => service.upstream.address(),
            What::Ssh(host) => host.address(),
        }
    }

    /// Set where its client starts it.
    pub fn stdio(&self) -> Option<&Stdio> {
        match self {
            What::Http(service) => service.mcp.as_ref()?.stdio.as_ref(),
            What::Postgres(_) | What::Ssh(_) => None,
        }
    }
}

/// A PostgreSQL database.
#[derive(Clone, Debug)]
pub struct Database {
    pub upstream: Upstream,
    pub read_only: bool,
    pub connections_per_run: u64,
    pub statement_timeout: Option<Duration>,
    pub lock_timeout: Option<Duration>,
    pub idle_in_transaction_timeout: Option<Duration>,
    /// Functions that the operator vouches for: they read what their arguments say and nothing else.
    pub vouch: Vec<FunctionName>,
    /// Extensions of which the same holds.
    pub vouch_extensions: Vec<String>,
    /// How long a question may wait while the transaction holds locks; zero: it is not asked there.
    pub hold_in_transaction: Duration,
    pub masks: Vec<Mask>,
}

/// Where the upstream's password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The upstream asks for none (`trust`, `peer`, a client certificate).
    None,
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

impl Credential {
    pub fn describe(&self) -> String {
        match self {
            Credential::None => "none".to_owned(),
            Credential::Env(name) => format!("environment variable {name}"),
            Credential::File(path) => format!("file {}", path.display()),
            Credential::Command(words) => format!("command {}", words.first().map_or("", String::as_str)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// How much of the responses replay can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reel {
    Full,
    /// The first bytes of each response; then counts and digests.
    Head {
        bytes: u64,
    },
    None,
}

/// What becomes of a value that a detector finds although no mask governs its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tripwire {
    Mask,
    /// The connection is cut before the bytes leave.
    Cut,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName {
    pub schema: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnName {
    pub schema: String,
    pub table: String,
    pub column: String,
}

impl std::fmt::Display for ColumnName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

#[derive(Clone, Debug)]
pub struct Mask {
    pub column: ColumnName,
    pub class: Class,
    pub kind: MaskKind,
}

/// A person whom the gateway knows by the uid of the caller.
#[derive(Clone, Debug)]
pub struct Human {
    pub name: String,
    pub uid: Option<u32>,
    pub groups: BTreeSet<String>,
    /// May end any run, and start runs for others where policy permits `delegate`.
    pub delegate: bool,
}

/// Somebody on another machine who cosigns the ledger's checkpoints.
#[derive(Clone, Debug)]
pub struct Witness {
    pub url: HttpUpstream,
    pub key: VerifierKey,
}

/// How much of a response is kept where the file does not say.
pub const REEL_DEFAULT: Reel = Reel::Head { bytes: 8 << 20 };

/// While locks are held, nobody is asked, unless the resource says how long they may be held for that.
pub const HOLD_IN_TRANSACTION_DEFAULT: Duration = Duration::ZERO;
/// Of the hundred that PostgreSQL has if nobody says otherwise; pools of programs have ten or twenty.
pub const CONNECTIONS_PER_RUN_DEFAULT: u64 = 64;
/// As many as all resources have together.
pub const CONNECTIONS_PER_RUN_MAX: u64 = relay::limits::SESSIONS_MAX as u64;

impl Config {
    /// Reads and checks a file. Errors: all of them, exit 2; exit 3 if it cannot be read.
    pub fn load(file: &Path) -> Result<Config, Failure> {
        let bytes = std::fs::read(file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Failure::could_not(format!(
                "there is no {}; write one with `tacho init`, or name another with --config",
                file.display()
            )),
            _ => Failure::file("read", file, &e),
        })?;
        Config::parse(file, &bytes)
    }

    /// Checks the bytes of a file; relative paths in it are taken from the file's directory.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Config, Failure> {
        let shown = file.display().to_string();
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(Failure::usage(format!("{shown}: the file is larger than {CONFIG_BYTES_MAX} bytes")));
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(Failure::usage(format!("{shown}: the file is not UTF-8 text")));
        };
        let mut problems = Problems::new(&shown, text);
        let (table, syntax) = DeTable::parse_recoverable(text);
        for error in &syntax {
            problems.at(&error.span().unwrap_or(0..0), error.message().replace('\n', "; "));
        }
        let raw = RawConfig::read(table.get_ref(), &mut problems);
        let base =
            std::path::absolute(file).ok().and_then(|f| f.parent().map(Path::to_owned)).unwrap_or_default();
        let config = Resolver { base, problems: &mut problems }.config(file, bytes, raw);
        match (config, problems.is_empty()) {
            (Some(config), true) => Ok(config),
            _ => Err(Failure { exit: Exit::Usage, lines: problems.into_lines() }),
        }
    }

    /// The human with this uid.
    pub fn human_by_uid(&self, uid: u32) -> Option<&Human> {
        self.humans.iter().find(|h| h.uid == Some(uid))
    }

    pub fn human(&self, name: &str) -> Option<&Human> {
        self.humans.iter().find(|h| h.name == name)
    }

    /// The keys of the witnesses.
    pub fn witness_keys(&self) -> Vec<VerifierKey> {
        self.witnesses.iter().map(|witness| witness.key.clone()).collect()
    }

    /// The file in which operators and the digests of their tokens are kept.
    pub fn operators_file(&self) -> PathBuf {
        self.gateway.keys.join("operators.toml")
    }
}

#[cfg(test)]
mod tests;
