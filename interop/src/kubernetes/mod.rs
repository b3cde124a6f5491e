//! A real control plane of Kubernetes: etcd and an API server on loopback, with roles (RBAC), two people known by tokens, and the
//! API server's own audit log, which is a witness of its own to every request.
//!
//! Nothing runs in it until it is given a [`Node`]; objects are kept without one.

pub mod image;
pub mod node;

pub use node::{Node, Pod};

use crate::limits::{CLIENT_SECONDS_MAX, START_SECONDS_MAX};
use crate::place::{Scratch, free_port, is_open};
use crate::process::{Daemon, Trouble, finish};
use crate::tls::{Authority, openssl};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cargo xtask setup kubernetes` builds.
pub const API_SERVER: &str = "kube-apiserver";
pub const KUBELET: &str = "kubelet";

/// Whose token it is: who may do everything, and who may do what is granted to the group `agents`.
pub const ADMIN: &str = "admin";
pub const AGENT: &str = "agent";

/// Whose token the kubelet has, as the one node that there may be.
const NODE: &str = "node";
/// The API server's certificate towards the kubelet.
const TO_KUBELET: &str = "to-kubelet";

/// A running cluster. Stopped and removed when dropped.
#[must_use]
#[derive(Debug)]
pub struct Kubernetes {
    // In this order they are dropped: the API server is a client of etcd's.
    server: Daemon,
    _etcd: Daemon,
    pub port: u16,
    programs: PathBuf,
    scratch: Scratch,
}

/// Where the programs are: `INTEROP_KUBERNETES`, which `cargo xtask test` sets.
pub fn programs() -> Result<PathBuf, Trouble> {
    let given = std::env::var_os("INTEROP_KUBERNETES").map(PathBuf::from);
    given.filter(|folder| folder.join(API_SERVER).is_file()).ok_or_else(|| Trouble::Missing {
        what: "the folder with Kubernetes' programs (INTEROP_KUBERNETES)".to_owned(),
        remedy: "run `cargo xtask setup kubernetes`, and then `cargo xtask test --only Kubernetes`"
            .to_owned(),
    })
}

impl Kubernetes {
    /// With the programs in this folder; etcd is Debian's.
    pub fn start(programs: &Path) -> Result<Kubernetes, Trouble> {
        Kubernetes::start_with(programs, "RequestResponse")
    }

    /// The same without an audit log, for benchmarks: it would cost more than what they are about.
    pub fn unaudited(programs: &Path) -> Result<Kubernetes, Trouble> {
        Kubernetes::start_with(programs, "None")
    }

    /// `audited`: how much of each request the audit log has, as its policy calls it.
    fn start_with(programs: &Path, audited: &str) -> Result<Kubernetes, Trouble> {
        let wrap = |why| Trouble::Start { what: "Kubernetes".to_owned(), why };
        let scratch = Scratch::new("kubernetes").map_err(wrap)?;
        let dir = scratch.path();
        let (etcd, at) = etcd(dir)?;
        let port = free_port().map_err(wrap)?;
        prepare(dir, port, audited)?;
        let mut command = Command::new(programs.join(API_SERVER));
        command.args(flags(dir, port, at));
        let mut server = Daemon::start(&mut command, &dir.join("server.log"), "TERM")?;
        server.wait_ready(START_SECONDS_MAX, || is_open(port) && answers(dir))?;
        Ok(Kubernetes { server, _etcd: etcd, port, programs: programs.to_path_buf(), scratch })
    }

    /// Gives it a node, on which pods run: one at a time.
    pub fn node(&self) -> Result<Node, Trouble> {
        Node::start(self)
    }

    /// What `KUBECONFIG` names: a context for [`ADMIN`], which is the current one, and one for [`AGENT`].
    pub fn kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("kubeconfig")
    }

    /// Debian's client, as somebody. It keeps what it learns in the cluster's own directory.
    pub fn kubectl(&self, who: &str, words: &[&str]) -> Command {
        kubectl(self.scratch.path(), who, words)
    }

    /// The audit log so far, an event (`audit.k8s.io/v1`) in JSON a line; each request is there once it is answered, with its bodies.
    pub fn audit(&self) -> io::Result<String> {
        std::fs::read_to_string(self.scratch.path().join("audit.log"))
    }

    /// The certificate of who signs the API server's.
    pub fn authority(&self) -> PathBuf {
        self.scratch.path().join("ca.crt")
    }

    /// A file of somebody's own in the cluster's directory, which nobody else reads. Where it is.
    pub fn file(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// What the API server has printed.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

fn kubectl(dir: &Path, who: &str, words: &[&str]) -> Command {
    let mut kubectl = Command::new("kubectl");
    kubectl.arg("--kubeconfig").arg(dir.join("kubeconfig")).arg("--cache-dir").arg(dir.join("cache"));
    kubectl.args(["--context", who]).args(words);
    kubectl
}

/// Its port is open before it has made its own roles and namespaces.
fn answers(dir: &Path) -> bool {
    let asked: [&[&str]; 2] = [&["get", "--raw", "/readyz"], &["get", "namespace", "default"]];
    asked.into_iter().all(|words| {
        let done = finish(&mut kubectl(dir, ADMIN, words), b"", CLIENT_SECONDS_MAX);
        done.is_ok_and(|done| done.status.success())
    })
}

/// etcd, and the port of its clients.
fn etcd(dir: &Path) -> Result<(Daemon, u16), Trouble> {
    let wrap = |why| Trouble::Start { what: "etcd".to_owned(), why };
    let (clients, peers) = (free_port().map_err(wrap)?, free_port().map_err(wrap)?);
    let [at, among] = [clients, peers].map(|port| format!("http://127.0.0.1:{port}"));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(dir.join("etcd"));
    command.args(["--listen-client-urls", &at, "--advertise-client-urls", &at]);
    command.args(["--listen-peer-urls", &among, "--initial-advertise-peer-urls", &among]);
    command.args(["--initial-cluster", &format!("default={among}")]);
    let mut etcd = Daemon::start(&mut command, &dir.join("etcd.log"), "TERM")?;
    etcd.wait_ready(START_SECONDS_MAX, || is_open(clients))?;
    Ok((etcd, clients))
}

/// Certificates, tokens, the audit's policy and the kubeconfig.
fn prepare(dir: &Path, port: u16, audited: &str) -> Result<(), Trouble> {
    let wrap = |why| Trouble::Start { what: "Kubernetes".to_owned(), why };
    let authority = Authority::new(dir)?;
    authority.sign("server", "DNS:localhost,IP:127.0.0.1")?;
    openssl(dir, &["genrsa", "-out", "accounts.key", "2048"])?;
    openssl(dir, &["rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"])?;
    // The API server is known to the kubelet by it.
    authority.sign(TO_KUBELET, "DNS:localhost")?;
    let [admin, agent, node] = [ADMIN, AGENT, NODE].map(token);
    let tokens = format!(
        "{admin},{ADMIN},1,\"system:masters\"\n{agent},{AGENT},2,\"agents\"\n\
         {node},system:node:{},3,\"system:nodes\"\n",
        node::NAME
    );
    let policy = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{{level: {audited}}}]\n");
    let config = config(port, &authority.certificate(), &[ADMIN, AGENT]);
    for (name, text) in [("tokens.csv", &*tokens), ("audit.yaml", &policy), ("kubeconfig", &config)] {
        std::fs::write(dir.join(name), text).map_err(wrap)?;
    }
    Ok(())
}

/// A kubeconfig with a context for each of them; the first one's is the current one.
fn config(port: u16, authority: &Path, who: &[&str]) -> String {
    let users: Vec<String> =
        who.iter().map(|name| format!("{{name: {name}, user: {{token: {}}}}}", token(name))).collect();
    let contexts: Vec<String> =
        who.iter().map(|name| format!("{{name: {name}, context: {{cluster: c, user: {name}}}}}")).collect();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {}\n\
         clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{}]\ncontexts: [{}]\n",
        who[0],
        authority.display(),
        users.join(", "),
        contexts.join(", ")
    )
}

/// By what somebody is known to the API server.
pub fn token(who: &str) -> String {
    format!("token-of-{who}")
}

fn flags(dir: &Path, port: u16, etcd: u16) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    let mut flags: Vec<String> = [
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        // There is no node whose agent would write where the server is.
        "--endpoint-reconciler-type=none",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.0.0.0/24",
        // No controller runs that would make accounts for pods.
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        // By the node's name, which is `localhost`: the kubelet listens on loopback alone.
        "--kubelet-preferred-address-types=Hostname",
    ]
    .map(str::to_owned)
    .into();
    flags.extend([format!("--secure-port={port}"), format!("--etcd-servers=http://127.0.0.1:{etcd}")]);
    flags.extend([
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("token-auth-file", "tokens.csv"),
        file("service-account-key-file", "accounts.pub"),
        file("service-account-signing-key-file", "accounts.key"),
        file("audit-policy-file", "audit.yaml"),
        file("audit-log-path", "audit.log"),
        file("kubelet-client-certificate", &format!("{TO_KUBELET}.crt")),
        file("kubelet-client-key", &format!("{TO_KUBELET}.key")),
        file("kubelet-certificate-authority", "ca.crt"),
    ]);
    flags
}
