//! What the composition root hands over. Everything here is already checked; nothing is read from a file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mask::body::{JsonPath, PathRule};
use proto_http::action::Routes;
use proto_http::mcp::ToolRoute;
use vocab::{Class, Durability, MaskKind};

use crate::pins::Pins;
use crate::ssh::Pinned;
use crate::vault::{Secret, Vault};

/// One thing behind the gateway.
pub enum ResourceConfig {
    Postgres(PostgresResource),
    Http(HttpResource),
    Ssh(SshResource),
}

impl ResourceConfig {
    pub fn name(&self) -> &Arc<str> {
        match self {
            ResourceConfig::Ssh(ssh) => &ssh.name,
            ResourceConfig::Postgres(postgres) => &postgres.name,
            ResourceConfig::Http(http) => &http.name,
        }
    }

    /// `None`: it is reached through the proxy.
    pub fn listen(&self) -> Option<SocketAddr> {
        match self {
            ResourceConfig::Postgres(postgres) => Some(postgres.listen),
            ResourceConfig::Http(http) => http.listen,
            ResourceConfig::Ssh(ssh) => Some(ssh.listen),
        }
    }
}

/// One host behind the gateway, reached over SSH.
pub struct SshResource {
    /// The configured name, root of its resource paths.
    pub name: Arc<str>,
    pub listen: SocketAddr,
    pub host: String,
    pub port: u16,
    /// Whom the gateway logs in as, and so do clients.
    pub user: String,
    /// The keys of which the host has to prove one (P10). `None`: nothing is connected to.
    pub pins: Option<Pinned>,
    pub vault: Vault,
    pub login: SshLogin,
    /// Who reads a command line there.
    pub login_shell: LoginShell,
    pub reel: Reel,
    pub durability: Durability,
    /// How long a question waits for a human.
    pub approval_timeout: Duration,
    /// What becomes of a value that a detector finds.
    pub tripwire: Tripwire,
}

/// The login shell of the user on a host, which is given each command line with `-c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginShell {
    /// One that follows POSIX: dash, ash, ksh. A line that bash reads otherwise is opaque.
    #[default]
    Sh,
    Bash,
    /// Another language: every line is opaque.
    Other,
}

/// What the credential of a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshLogin {
    Password,
    /// A private key; where there is one, the file of a certificate for it.
    Key {
        certificate: Option<PathBuf>,
    },
}

/// One PostgreSQL database behind the gateway.
pub struct PostgresResource {
    /// The configured name, root of its resource paths.
    pub name: Arc<str>,
    pub listen: SocketAddr,
    pub upstream: Upstream,
    pub vault: Vault,
    pub masks: Vec<ColumnMask>,
    /// Functions that the operator vouches for, `schema.name`.
    pub vouch: Vec<String>,
    /// Extensions of which every function and operator is vouched for.
    pub vouch_extensions: Vec<String>,
    pub reel: Reel,
    pub durability: Durability,
    /// Open upstream sessions read-only whatever policy says.
    pub read_only: bool,
    /// How many sessions a run has at once; each has a connection upstream.
    pub connections_per_run: u64,
    pub statement_timeout: Option<Duration>,
    /// `None`: what the gateway pins of itself; zero: nothing.
    pub lock_timeout: Option<Duration>,
    pub idle_in_transaction_timeout: Option<Duration>,
    /// How long a question waits for a human.
    pub approval_timeout: Duration,
    /// How long it may wait while the transaction holds locks; zero: it is not asked.
    pub hold_in_transaction: Duration,
    /// What becomes of a value that a detector finds although no rule governs its column.
    pub tripwire: Tripwire,
    /// Certificate and key of the client leg, PEM: clients on other machines come over TLS alone. `None`: TLS is answered
    /// with the installation's own certificate, and not demanded.
    pub client_tls: Option<(PathBuf, PathBuf)>,
}

/// Where the database is, and how it is proved (P10).
#[derive(Clone, Debug)]
pub struct Upstream {
    pub address: Address,
    pub database: String,
    pub user: String,
    pub tls: UpstreamTls,
    pub client_certificate: Option<(Pem, Pem)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp {
        host: String,
        port: u16,
    },
    /// The socket file itself: `/var/run/postgresql/.s.PGSQL.5432`.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `sslmode`, without the modes that fall back silently.
#[derive(Clone, Debug)]
pub enum UpstreamTls {
    /// Chain and name are checked; roots as they are given, or the system's. `name`: what is asked for and has to be proved where that
    /// is not the host that is dialled.
    VerifyFull { roots: Option<Pem>, name: Option<String> },
    /// The chain is checked, the name is not.
    VerifyCa { roots: PathBuf },
    /// No TLS: a Unix socket, loopback, or spelled out by the operator.
    Disable,
}

/// Certificates or a private key in PEM (RFC 7468).
#[derive(Clone, Debug)]
pub enum Pem {
    File(PathBuf),
    /// Taken out of the file that `of` names, for people.
    Held {
        of: String,
        bytes: Arc<Secret>,
    },
}

impl From<PathBuf> for Pem {
    fn from(file: PathBuf) -> Pem {
        Pem::File(file)
    }
}

impl std::fmt::Display for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pem::File(path) => write!(f, "{}", path.display()),
            Pem::Held { of, .. } => f.write_str(of),
        }
    }
}

impl UpstreamTls {
    /// Chain and name of the host are checked; roots from a file, or the system's.
    pub fn full(roots: Option<PathBuf>) -> UpstreamTls {
        UpstreamTls::VerifyFull { roots: roots.map(Pem::File), name: None }
    }

    /// The name that is asked for (SNI) and has to be proved, of an upstream at `host`.
    pub fn server_name<'a>(&'a self, host: &'a str) -> &'a str {
        match self {
            UpstreamTls::VerifyFull { name: Some(name), .. } => name,
            UpstreamTls::VerifyFull { name: None, .. }
            | UpstreamTls::VerifyCa { .. }
            | UpstreamTls::Disable => host,
        }
    }

    /// Whether the upstream proves its name, and not only that a known authority knows it.
    pub fn proves_the_name(&self) -> bool {
        matches!(self, UpstreamTls::VerifyFull { .. })
    }
}

/// One HTTP service behind the gateway, reached through a listener of its own, the proxy, or both.
pub struct HttpResource {
    /// The configured name, root of its resource paths.
    pub name: Arc<str>,
    pub listen: Option<SocketAddr>,
    pub upstream: HttpUpstream,
    pub vault: Vault,
    /// Where the upstream expects the credential.
    pub inject: Inject,
    pub routes: Routes,
    /// Set where it serves a language model.
    pub model: Option<ModelService>,
    /// Set where it is a server of MCP.
    pub mcp: Option<McpService>,
    /// Set where it serves the API of a Kubernetes cluster.
    pub cluster: Option<ClusterService>,
    /// Values of JSON answers that are governed by their path.
    pub masks: Arc<Masks>,
    /// Answers that are not JSON are masked by detectors alone; else, beside rules, they need the permission `opaque`.
    pub text: bool,
    pub reel: Reel,
    pub durability: Durability,
    /// How long a question waits for a human.
    pub approval_timeout: Duration,
    /// What becomes of a value that a detector finds and no rule governs.
    pub tripwire: Tripwire,
    /// Certificate and key of the client leg, PEM. `None`: plain HTTP, on loopback.
    pub client_tls: Option<(PathBuf, PathBuf)>,
}

/// Places of JSON whose values are governed, and what records call each.
#[derive(Debug, Default)]
pub struct Masks {
    pub(crate) rules: Arc<[PathRule]>,
    names: Vec<String>,
}

impl Masks {
    /// Of rules and the paths that they were made of.
    pub fn new(named: impl IntoIterator<Item = (String, PathRule)>) -> Masks {
        let (names, rules): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        Masks { rules: rules.into(), names }
    }

    /// The same for a server of MCP: what its tools take and give is no data, and a parameter may be called as a value is.
    pub fn of_server(named: impl IntoIterator<Item = (String, PathRule)>) -> Masks {
        const SCHEMAS: [&str; 2] = ["$.result.tools[*].inputSchema", "$.result.tools[*].outputSchema"];
        let mut named: Vec<(String, PathRule)> = named.into_iter().collect();
        let like = named.first().map(|(_, rule)| (rule.class.clone(), rule.kind.clone()));
        for schema in SCHEMAS {
            let path = JsonPath::parse(schema).ok();
            let spared = path
                .zip(like.clone())
                .and_then(|(path, (class, kind))| PathRule::new(path, class, kind).ok());
            named.extend(spared.map(|rule| (schema.to_owned(), rule.sparing())));
        }
        Masks::new(named)
    }

    /// The path of a rule, which holds nothing of a peer's.
    pub(crate) fn name(&self, rule: usize) -> &str {
        self.names.get(rule).map_or("$", String::as_str)
    }

    pub(crate) fn classes(&self) -> BTreeSet<Class> {
        self.rules.iter().map(|rule| rule.class.clone()).collect()
    }

    /// The rules with their paths.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, PathRule)> {
        self.names.iter().cloned().zip(self.rules.iter().cloned())
    }
}

impl HttpResource {
    /// Whether rules, if there are any, can be held against such a body.
    pub(crate) fn speaks_to(&self, media: &mask::body::Media) -> bool {
        use mask::body::Media;
        match media {
            Media::Json | Media::JsonLines | Media::EventStream => true,
            Media::Form | Media::Multipart { .. } | Media::Text | Media::Output => {
                self.masks.rules.is_empty() || self.text || self.cluster.is_some()
            }
        }
    }

    /// The word in the configuration, in policy and in records.
    pub fn kind(&self) -> &'static str {
        match (&self.model, &self.mcp, &self.cluster) {
            (Some(_), ..) => "llm",
            (None, Some(_), _) => "mcp",
            (None, None, Some(_)) => "kubernetes",
            (None, None, None) => "http",
        }
    }

    /// Whether what it is asked is JSON, whatever it is called.
    pub(crate) fn speaks_json(&self) -> bool {
        self.model.is_some() || self.mcp.is_some()
    }

    /// What stands upstream for a client's target. The URL of a server of MCP is the place itself: below it is nothing.
    pub(crate) fn target(&self, target: &[u8]) -> Vec<u8> {
        match (&self.mcp, target) {
            (Some(_), b"/") if !self.upstream.base.is_empty() => self.upstream.base.clone().into_bytes(),
            _ => [self.upstream.base.as_bytes(), target].concat(),
        }
    }
}

/// What is particular about a service of language models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelService {
    pub prompts: Prompts,
}

/// What is particular about a server of MCP.
pub struct McpService {
    /// Arguments of tools that are a part of their resources.
    pub routes: Vec<ToolRoute>,
    /// Arguments whose values policy sees.
    pub open: Vec<String>,
    pub changed: Changed,
    /// Its client starts it, and `tacho mcp` lends connections to it: nothing is dialled.
    pub stdio: bool,
    /// What the server said of its tools.
    pub pins: Pins,
}

/// What is particular about a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterService {
    /// Which classes of what a cluster holds are masked beside secrets and tokens: `config.kubernetes`, `config.env`.
    pub also: BTreeSet<Class>,
    /// As whom the gateway's credential asks. `None`: as itself.
    pub impersonate: Option<Impersonate>,
    /// Where clients work if they name no namespace.
    pub namespace: Option<String>,
}

/// Whom a cluster takes the requests for. Kubernetes, authentication: user impersonation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonate {
    pub user: String,
    pub groups: Vec<String>,
}

/// What becomes of a tool whose description is not the one that was seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is not listed and not called, until an operator accepts it.
    Refuse,
    /// The record says so.
    Report,
}

/// What becomes of a value that a detector finds in what leaves for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompts {
    /// A placeholder stands in its place.
    Mask,
    /// It leaves, and the record says so.
    Report,
}

/// Where the service is, and how it is proved (P10).
#[derive(Clone, Debug)]
pub struct HttpUpstream {
    pub host: String,
    pub port: u16,
    /// What stands before each path: empty, or `/v2`. Without a slash at the end.
    pub base: String,
    /// What `Host` says: with the port where it is not the scheme's own.
    pub authority: String,
    pub tls: UpstreamTls,
    pub client_certificate: Option<(Pem, Pem)>,
    pub version: Version,
}

/// Which version of HTTP a service is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// With TLS, HTTP/2 or HTTP/1.1, as the service chooses; without, HTTP/1.1.
    #[default]
    Offered,
    One,
    /// HTTP/2, or none: without TLS, because the operator knows.
    Two,
}

impl HttpUpstream {
    /// Whether it speaks TLS.
    pub fn is_https(&self) -> bool {
        !matches!(self.tls, UpstreamTls::Disable)
    }
}

/// Where a credential stands in a request. What the agent sent in that place is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inject {
    /// `Authorization: Bearer CREDENTIAL`.
    Bearer,
    /// `Authorization: Basic`, from `user:password`.
    Basic,
    /// A header of this name.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A signature over the request, of AWS's fourth version, from `ID:SECRET` or `ID:SECRET:TOKEN`.
    SigV4 { region: String, service: String },
}

/// A governed column: `schema.table.column`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnMask {
    pub schema: String,
    pub table: String,
    pub column: String,
    pub class: Class,
    pub kind: MaskKind,
}

/// How much of a response the reel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reel {
    Full,
    /// The first bytes of each response, then counts, digests and filters.
    Head {
        bytes: u64,
    },
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tripwire {
    Mask,
    /// The connection is cut before the bytes leave.
    Cut,
}

#[cfg(test)]
mod tests {
    use super::*;
    use mask::body::{Body, Media};
    use vocab::MaskKind;

    #[test]
    fn of_a_server_of_tools_their_schemas_alone_are_no_data() {
        let path = JsonPath::parse("$..code").unwrap();
        let rule = PathRule::new(path, Class::new("own.code").unwrap(), MaskKind::Redact).unwrap();
        let masks = Masks::of_server([("$..code".to_owned(), rule)]);
        let said = r#"{"result":{"content":[{"code":"a"}],"tools":[{"code":"b","inputSchema":{"code":{"type":"string"}}}],
            "text":"{\"result\":{\"tools\":[{\"inputSchema\":{\"code\":\"c\"}}]}}"}}"#;
        let expect = r#"{"result":{"content":[{"code":"[own.code]"}],"tools":[{"code":"[own.code]","inputSchema":{"code":{"type":"string"}}}],
            "text":"{\"result\":{\"tools\":[{\"inputSchema\":{\"code\":\"[own.code]\"}}]}}"}}"#;
        let mut body = Body::new(Media::Json, masks.rules.clone(), BTreeSet::new());
        let (detectors, known) = (mask::Detectors::new(), mask::Known::new([1; 16]));
        let mut shown = body.push(&detectors, &known, said.as_bytes()).unwrap().into_vec();
        shown.extend(body.finish(&detectors, &known).unwrap().0.into_vec());
        assert_eq!(String::from_utf8(shown).unwrap(), expect);
    }
}
