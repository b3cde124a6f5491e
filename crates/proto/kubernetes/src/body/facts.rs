//! What policy hears of a body: what it would run, mount, hold or grant, and the accesses that this is.
//!
//! Beside the object itself (see [`crate::action`]) a write touches:
//!
//! | fact | verb | path |
//! |---|---|---|
//! | an image | execute | `NAME/_image/REGISTRY/PATH.../:TAG` or `/@DIGEST`; `nginx` is `docker.io/library/nginx/:latest` |
//! | a path of the node's | administer | `NAME/_host/path/...` |
//! | a namespace of the node's | administer | `NAME/_host/network`, `pid`, `ipc` |
//! | privileged, and its like | administer | `NAME/_host/privileged`, `escalation`, `root`, `process`, `unconfined/WHAT` |
//! | what confines a container and a patch takes away, or puts in its place what may confine less | administer | `NAME/_host/unconfined/securityContext` |
//! | a capability, sysctl, port, chosen node | administer | `NAME/_host/capability/X`, `sysctl/X`, `port/N`, `node/X` |
//! | a volume of another kind | administer | `NAME/_host/volume/KIND` |
//! | a secret, a config map | read | `NAME/NAMESPACE/secrets/X`, `NAME/NAMESPACE/configmaps/X`: the object's namespace, or the one that is said beside a secret's name |
//! | a claim of storage | write | `NAME/NAMESPACE/persistentvolumeclaims/X` |
//! | a service account, a token of it | execute | `NAME/NAMESPACE/serviceaccounts/X`, `NAME/NAMESPACE/serviceaccounts` |
//! | a secret that the cluster puts such a token into | administer | `NAME/NAMESPACE/serviceaccounts/X`; opaque where it does not say whose |
//! | a container in a running pod | execute | the object's own path |
//! | what runs in a container of which a patch does not say the image: command and arguments, whatever is done to them, and variables and mounts that are put there | execute | the object's own path |
//! | a role that is bound | administer | `NAME/NAMESPACE/roles.rbac.authorization.k8s.io/X`, `NAME/_/clusterroles.rbac.authorization.k8s.io/X` |
//! | somebody it is bound to | administer | `NAME/_subject/KIND/[NAMESPACE/]X` |
//! | what a role permits | administer | `NAME/_grant/VERB/KIND` (`*` as it stands there), `NAME/_grant` where other roles are taken in |
//!
//! So that a pod with a secret in it is a read of that secret, and a rule that lets nobody near `NAME/_host` lets no pod.

use crate::action::{NO_NAMESPACE, path};
use crate::body::Said;
use crate::request::Asked;
use vocab::{Access, Action, Opaque, ResourcePath, Verb};

/// The segment for images.
pub const IMAGES: &str = "_image";
/// The segment for what is the node's.
pub const HOST: &str = "_host";
/// The segment for whom a role is bound to.
pub const SUBJECTS: &str = "_subject";
/// The segment for what a role permits.
pub const GRANTS: &str = "_grant";

const RBAC: &str = "rbac.authorization.k8s.io";

/// One thing that a body says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// As it is written.
    Image(String),
    HostPath(String),
    HostNetwork,
    HostPid,
    HostIpc,
    /// Empty: which is not said.
    HostPort(String),
    Privileged,
    PrivilegeEscalation,
    /// User 0 by number.
    Root,
    /// A container of Windows that is none.
    HostProcess,
    /// A confinement that is taken away: `seccomp`, `apparmor`, `procMount`, `selinux`, `securityContext`.
    Unconfined(&'static str),
    Capability(String),
    Sysctl(String),
    /// The node is chosen, past the scheduler.
    Node(String),
    /// A volume that is none of the kinds that stay in the cluster.
    Volume(String),
    Secret(String),
    /// One of a namespace that is said beside its name.
    SecretOf {
        namespace: String,
        name: String,
    },
    ConfigMap(String),
    Claim(String),
    ServiceAccount(String),
    /// A token of the service account is mounted.
    Token,
    /// A token of that service account is put into the secret. Empty: of whom is not said.
    Credential(String),
    EphemeralContainer,
    /// What runs in a container whose image is not said: a command, a variable, a file in the place of another.
    Runs,
    /// The name of a variable with a literal value.
    Env(String),
    Role {
        kind: String,
        name: String,
    },
    Subject {
        kind: String,
        namespace: Option<String>,
        name: String,
    },
    /// `on`: `secrets`, `deployments.apps`, `*.*`, or a path.
    Grant {
        verb: String,
        on: String,
    },
    /// A role takes in others by their labels.
    Aggregates,
}

/// Names are not shown.
impl std::fmt::Debug for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl Fact {
    /// What the body says in it.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Fact::Image(text) | Fact::HostPath(text) | Fact::HostPort(text) | Fact::Capability(text) => {
                vec![text]
            }
            Fact::Sysctl(text) | Fact::Node(text) | Fact::Volume(text) | Fact::Secret(text) => vec![text],
            Fact::ConfigMap(text) | Fact::Claim(text) | Fact::ServiceAccount(text) => vec![text],
            Fact::Credential(text) | Fact::Env(text) => vec![text],
            Fact::Role { kind, name } => vec![kind, name],
            Fact::SecretOf { namespace, name } => vec![namespace, name],
            Fact::Subject { kind, namespace, name } => [Some(kind), namespace.as_ref(), Some(name)]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect(),
            Fact::Grant { verb, on } => vec![verb, on],
            Fact::HostNetwork
            | Fact::HostPid
            | Fact::HostIpc
            | Fact::Privileged
            | Fact::PrivilegeEscalation => vec![],
            Fact::Root | Fact::HostProcess | Fact::Unconfined(_) | Fact::Token => vec![],
            Fact::EphemeralContainer | Fact::Runs | Fact::Aggregates => vec![],
        }
    }

    /// The word for records.
    pub fn word(&self) -> &'static str {
        match self {
            Fact::Image(_) => "image",
            Fact::HostPath(_) => "host-path",
            Fact::HostNetwork => "host-network",
            Fact::HostPid => "host-pid",
            Fact::HostIpc => "host-ipc",
            Fact::HostPort(_) => "host-port",
            Fact::Privileged => "privileged",
            Fact::PrivilegeEscalation => "privilege-escalation",
            Fact::Root => "root",
            Fact::HostProcess => "host-process",
            Fact::Unconfined(_) => "unconfined",
            Fact::Capability(_) => "capability",
            Fact::Sysctl(_) => "sysctl",
            Fact::Node(_) => "node",
            Fact::Volume(_) => "volume",
            Fact::Secret(_) | Fact::SecretOf { .. } => "secret",
            Fact::ConfigMap(_) => "config-map",
            Fact::Claim(_) => "claim",
            Fact::ServiceAccount(_) => "service-account",
            Fact::Token => "token",
            Fact::Credential(_) => "credential",
            Fact::EphemeralContainer => "ephemeral-container",
            Fact::Runs => "runs",
            Fact::Env(_) => "env",
            Fact::Role { .. } => "role",
            Fact::Subject { .. } => "subject",
            Fact::Grant { .. } => "grant",
            Fact::Aggregates => "aggregates",
        }
    }
}

/// The action of a request with a body: `action` (of [`crate::action::of`]) and what the body adds.
pub fn action(root: &ResourcePath, asked: &Asked, said: &Said, mut action: Action) -> Action {
    let mut object = asked.object.clone();
    if object.name.is_none() && object.subresource.is_none() && !asked.verb.reads() {
        object.name = said.name.clone();
        // A namespace is in itself, as it is when it is there.
        if object.is_core("namespaces") {
            object.namespace.clone_from(&said.name);
        }
    }
    let own = path(root, &object);
    if let Some(first) = action.accesses.first_mut() {
        first.on = own.clone();
    }
    let scene = Scene { root, own, namespace: asked.object.namespace.as_deref().unwrap_or(NO_NAMESPACE) };
    for fact in &said.facts {
        match scene.access(fact) {
            Ok(access) => action.accesses.extend(access),
            Err(opaque) => action.opaque = action.opaque.or(Some(opaque)),
        }
    }
    action.opaque = action.opaque.or(said.opaque);
    action.kind = said.form.kind().unwrap_or(action.kind);
    action.accesses.sort();
    action.accesses.dedup();
    action
}

/// What is around a fact.
struct Scene<'a> {
    root: &'a ResourcePath,
    own: ResourcePath,
    namespace: &'a str,
}

impl Scene<'_> {
    fn access(&self, fact: &Fact) -> Result<Option<Access>, Opaque> {
        let (verb, on) = match fact {
            Fact::Env(_) => return Ok(None),
            Fact::Image(image) => (Verb::Execute, self.image(image).ok_or(NO_IMAGE)?),
            Fact::HostPath(path) => (Verb::Administer, self.host_path(path).ok_or(NO_PATH)?),
            Fact::Secret(name) => (Verb::Read, self.named("secrets", name)),
            Fact::SecretOf { namespace, name } => {
                (Verb::Read, self.root.join(namespace).join("secrets").join(name))
            }
            Fact::ConfigMap(name) => (Verb::Read, self.named("configmaps", name)),
            Fact::Claim(name) => (Verb::Write, self.named("persistentvolumeclaims", name)),
            Fact::ServiceAccount(name) => (Verb::Execute, self.named("serviceaccounts", name)),
            Fact::Token => (Verb::Execute, self.root.join(self.namespace).join("serviceaccounts")),
            Fact::Credential(name) if name.is_empty() => return Err(NO_ACCOUNT),
            Fact::Credential(name) => (Verb::Administer, self.named("serviceaccounts", name)),
            Fact::EphemeralContainer | Fact::Runs => (Verb::Execute, self.own.clone()),
            Fact::Role { kind, name } => (Verb::Administer, self.role(kind, name).ok_or(NO_ROLE)?),
            Fact::Subject { kind, namespace, name } => {
                let kind = self.root.join(SUBJECTS).join(kind);
                let inside = namespace.as_deref().map_or(kind.clone(), |namespace| kind.join(namespace));
                (Verb::Administer, inside.join(name))
            }
            Fact::Grant { verb, on } => (Verb::Administer, self.root.join(GRANTS).join(verb).join(on)),
            Fact::Aggregates => (Verb::Administer, self.root.join(GRANTS)),
            other => (Verb::Administer, self.of_host(other)),
        };
        Ok(Some(Access { verb, on, columns: Vec::new() }))
    }

    fn named(&self, kind: &str, name: &str) -> ResourcePath {
        let kind = self.root.join(self.namespace).join(kind);
        // A reference without a name is one to no object in particular.
        if name.is_empty() { kind } else { kind.join(name) }
    }

    /// A privilege on the node. A fact that is none of those is the whole of the node.
    fn of_host(&self, fact: &Fact) -> ResourcePath {
        let host = self.root.join(HOST);
        match fact {
            Fact::HostNetwork => host.join("network"),
            Fact::HostPid => host.join("pid"),
            Fact::HostIpc => host.join("ipc"),
            Fact::HostPort(port) if port.is_empty() => host.join("port"),
            Fact::HostPort(port) => host.join("port").join(port),
            Fact::Privileged => host.join("privileged"),
            Fact::PrivilegeEscalation => host.join("escalation"),
            Fact::Root => host.join("root"),
            Fact::HostProcess => host.join("process"),
            Fact::Unconfined(what) => host.join("unconfined").join(what),
            Fact::Capability(name) => host.join("capability").join(name),
            Fact::Sysctl(name) => host.join("sysctl").join(name),
            Fact::Node(name) => host.join("node").join(name),
            Fact::Volume(kind) => host.join("volume").join(kind),
            _ => host,
        }
    }

    /// An absolute path without dot and empty segments: the kubelet resolves others.
    fn host_path(&self, path: &str) -> Option<ResourcePath> {
        let root = self.root.join(HOST).join("path");
        let inside = path.strip_prefix('/')?;
        let inside = inside.strip_suffix('/').unwrap_or(inside);
        if inside.is_empty() {
            return Some(root);
        }
        inside
            .split('/')
            .try_fold(root, |on, segment| (!matches!(segment, "" | "." | "..")).then(|| on.join(segment)))
    }

    /// The reference of an image as the container runtimes complete it (distribution/reference, `ParseDockerRef`).
    fn image(&self, image: &str) -> Option<ResourcePath> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b'@');
        if image.is_empty() || !image.bytes().all(plain) {
            return None;
        }
        let (named, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
        let (named, tag) = match named.rsplit_once(':') {
            Some((front, tag)) if !tag.contains('/') => (front, Some(tag)),
            _ => (named, None),
        };
        let (registry, path) = match named.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_owned())
            }
            Some(_) => ("docker.io", named.to_owned()),
            None => ("docker.io", format!("library/{named}")),
        };
        let (registry, path) = match (registry, path.contains('/')) {
            ("docker.io" | "index.docker.io", true) => ("docker.io", path),
            ("docker.io" | "index.docker.io", false) => ("docker.io", format!("library/{path}")),
            (registry, _) => (registry, path),
        };
        let last = match digest {
            Some(digest) => format!("@{digest}"),
            None => format!(":{}", tag.unwrap_or("latest")),
        };
        let root = self.root.join(IMAGES).join(registry);
        let on = path
            .split('/')
            .try_fold(root, |on, part| (!matches!(part, "" | "." | "..")).then(|| on.join(part)))?;
        Some(on.join(&last))
    }

    fn role(&self, kind: &str, name: &str) -> Option<ResourcePath> {
        match kind {
            "Role" => Some(self.root.join(self.namespace).join(&format!("roles.{RBAC}")).join(name)),
            "ClusterRole" => {
                Some(self.root.join(NO_NAMESPACE).join(&format!("clusterroles.{RBAC}")).join(name))
            }
            _ => None,
        }
    }
}

const NO_IMAGE: Opaque = Opaque("an image whose reference is not known to be one");
const NO_PATH: Opaque = Opaque("a path of the node's that is not plain");
const NO_ACCOUNT: Opaque = Opaque("a secret that lets its bearer in, and does not say as whom");
const NO_ROLE: Opaque = Opaque("a binding to something that is no role");
