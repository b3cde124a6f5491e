//! What a request asks of the API server: a method and a target -> verb, group, version, namespace, resource, subresource,
//! name and options, as the server itself resolves them.
//!
//! Spec: `RequestInfoFactory.NewRequestInfo` of k8s.io/apiserver (1.20 to 1.34), which authorization and the audit log go
//! by, and the routes that the server installs behind it. It guesses where nothing answers (a POST to a name is `create`,
//! a PUT without one is `update`); here a request that no route answers is refused.

use crate::fault::{self as why, Reason};
use crate::limits::*;
use crate::query::{self, Connect, Log, Options};
use crate::target::Target;

/// What is done, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// The methods of HTTP that the API server has routes for. OPTIONS is for browsers, and any method may stand before
/// `proxy`, which is not followed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// One request, resolved.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// Of objects.
    Resource(Box<Asked>),
    /// Of the server itself, with the segments of its path.
    Path(ServerPath, Vec<String>),
}

/// A request of objects.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: Method,
    /// That of RBAC and of the server's audit log. Of a connection (`connect`) it is what its method makes of it: an exec is
    /// `get` over WebSocket and `create` over SPDY.
    pub verb: Verb,
    pub object: Object,
    /// The form `/watch/` before the resource, deprecated since 1.11.
    pub by_prefix: bool,
    pub options: Options,
    /// Set where the answer is a connection, or another server's.
    pub connect: Option<Connect>,
    /// Set where a container's log is read.
    pub log: Option<Log>,
}

/// Which object, or which collection of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// `None`: of the cluster, or of all namespaces. Discovery alone could tell which. A namespace is in itself, as the server
    /// has it.
    pub namespace: Option<String>,
    /// In the plural (`pods`).
    pub resource: String,
    pub subresource: Option<String>,
    /// `None`: a collection, or an object whose name the body says. Also the name of a field selector `metadata.name=`.
    pub name: Option<String>,
}

/// What of the server itself is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerPath {
    /// `/`, `/api`, `/apis` and versions below: which kinds there are.
    Discovery,
    OpenApi,
    Version,
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
    Metrics,
    /// Who signs the tokens of service accounts.
    OpenId,
}

impl Verb {
    /// The word of RBAC and of audit logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it leaves objects as they are.
    pub fn reads(self) -> bool {
        match self {
            Verb::Get | Verb::List | Verb::Watch => true,
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => false,
        }
    }
}

impl Method {
    /// Methods are case-sensitive (RFC 9110, 9.1). `None`: refused.
    pub fn parse(name: &[u8]) -> Option<Method> {
        match name {
            b"GET" => Some(Method::Get),
            b"HEAD" => Some(Method::Head),
            b"POST" => Some(Method::Post),
            b"PUT" => Some(Method::Put),
            b"PATCH" => Some(Method::Patch),
            b"DELETE" => Some(Method::Delete),
            _ => None,
        }
    }

    /// What the server makes of it before it looks at names.
    fn verb(self) -> Verb {
        match self {
            Method::Get | Method::Head => Verb::Get,
            Method::Post => Verb::Create,
            Method::Put => Verb::Update,
            Method::Patch => Verb::Patch,
            Method::Delete => Verb::Delete,
        }
    }
}

impl Request {
    /// Resolves a request. Errors (side: client): each of [`crate::fault`]'s first three lists.
    pub fn parse(method: &[u8], target: &[u8]) -> Result<Request, Reason> {
        let method = Method::parse(method).ok_or(why::UNKNOWN_METHOD)?;
        let target = Target::parse(target)?;
        let segments: Vec<&str> = target.segments.iter().map(String::as_str).collect();
        match *segments.as_slice() {
            ["api", version, ref rest @ ..] if !rest.is_empty() => asked(method, &target, "", version, rest),
            ["apis", group, version, ref rest @ ..] if !rest.is_empty() => {
                asked(method, &target, domain(group).ok_or(why::BAD_GROUP)?, version, rest)
            }
            ref rest => {
                let path = server(method, &target, rest)?;
                Ok(Request::Path(path, target.segments))
            }
        }
    }
}

/// Names may be anything: only what kind of object it is is shown.
impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Object { group, version, resource, subresource, .. } = self;
        write!(f, "Object({group}/{version} {resource} {subresource:?})")
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Request::Resource(asked) => asked.fmt(f),
            Request::Path(path, segments) => write!(f, "Path({path:?}, {} segments)", segments.len()),
        }
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({} {:?})", self.verb.as_str(), self.object)
    }
}

impl Asked {
    /// Whether its connection may be upgraded. The server would upgrade others, too: a watch goes over WebSocket where a client
    /// asks for it, and so do `proxy` and what aggregated servers have; nothing here reads what is in those.
    pub fn upgrades(&self) -> bool {
        match &self.connect {
            Some(Connect::Exec(_) | Connect::Attach(_) | Connect::PortForward(_)) => true,
            Some(Connect::Proxy(_)) | None => false,
        }
    }
}

impl Object {
    /// `RESOURCE.GROUP`, or `RESOURCE` of the core group: what a kind of objects is called wherever its version does not
    /// matter. An object has one name in all versions, and in all groups that serve it.
    pub fn kind(&self) -> String {
        let (group, resource) = (self.stored_in(), self.resource.as_str());
        let resource = if self.is_core("bindings") { "pods" } else { resource };
        match group.is_empty() {
            true => resource.to_owned(),
            false => format!("{resource}.{group}"),
        }
    }

    /// The group under which an object is known that the server has in two: it keeps one, and changes and deletes it under both.
    pub fn stored_in(&self) -> &str {
        match (&*self.group, &*self.resource) {
            ("events.k8s.io", "events") => "",
            ("extensions", "ingresses" | "networkpolicies") => "networking.k8s.io",
            ("extensions", "podsecuritypolicies") => "policy",
            ("extensions", "deployments" | "daemonsets" | "replicasets") => "apps",
            (group, _) => group,
        }
    }

    /// The same under the one name that it has: a binding that is created is its pod's, and a port or scheme before `proxy` is none of
    /// the name's.
    pub fn under_one_name(&self) -> Object {
        let mut one = Object { group: self.stored_in().to_owned(), ..self.clone() };
        if self.is_core("bindings") {
            one.resource = "pods".to_owned();
            one.subresource = one.name.is_some().then(|| "binding".to_owned());
        }
        if self.subresource.as_deref() == Some("proxy") {
            one.name = one.name.map(|name| without_port(&name).to_owned());
        }
        one
    }

    /// Whether its kind is one of the API's own: groups of others have a domain of theirs.
    pub fn is_builtin(&self) -> bool {
        !self.group.contains('.') || self.group.ends_with(".k8s.io")
    }

    /// Whether it is `resource` of the core group.
    pub fn is_core(&self, resource: &str) -> bool {
        self.group.is_empty() && self.resource == resource
    }
}

/// A request behind `/api/VERSION` or `/apis/GROUP/VERSION`.
fn asked(
    method: Method,
    target: &Target,
    group: &str,
    version: &str,
    rest: &[&str],
) -> Result<Request, Reason> {
    let version = label(version).filter(|v| v.starts_with('v')).ok_or(why::BAD_VERSION)?;
    let (by_prefix, rest) = match rest {
        ["proxy", ..] => return Err(why::PREFIX_PROXY),
        ["watch"] => return Err(why::UNKNOWN_PATH),
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mut object, behind) = object(group, version, rest)?;
    let connects = connects(&object)?;
    if !connects.proxies() && (!behind.is_empty() || target.trailing_slash) {
        return Err(if behind.is_empty() { why::EMPTY_SEGMENT } else { why::TOO_DEEP });
    }
    let verb = verb(method, &object, by_prefix, target)?;
    let parameters = query::parameters(&target.pairs, connects, verb)?;
    check_method(method, &object, by_prefix, connects)?;
    if object.name.is_none() && verb.reads() {
        object.name = parameters.options.exact_name().and_then(name).map(str::to_owned);
    }
    let connect = parameters.connect.map(|connect| connect.behind(&behind, target));
    let (options, log) = (parameters.options, parameters.log);
    Ok(Request::Resource(Box::new(Asked { method, verb, object, by_prefix, options, connect, log })))
}

/// Which object it is, and what stands behind its subresource.
fn object<'a>(group: &str, version: &str, rest: &[&'a str]) -> Result<(Object, Vec<&'a str>), Reason> {
    let (namespace, parts) = match rest {
        ["namespaces", inside, "status" | "finalize", ..] | ["namespaces", inside] => (Some(*inside), rest),
        ["namespaces", _, "namespaces", ..] => return Err(why::NAMESPACE_TWICE),
        ["namespaces", inside, parts @ ..] => (Some(*inside), parts),
        parts => (None, parts),
    };
    let namespace = namespace.map(|text| label(text).ok_or(why::BAD_NAMESPACE)).transpose()?;
    let (resource, named, subresource, behind) = match parts {
        [resource] => (*resource, None, None, &[][..]),
        [resource, name] => (*resource, Some(*name), None, &[][..]),
        [resource, name, subresource, behind @ ..] => (*resource, Some(*name), Some(*subresource), behind),
        [] => return Err(why::UNKNOWN_PATH),
    };
    let object = Object {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.map(str::to_owned),
        resource: domain(resource).ok_or(why::BAD_RESOURCE)?.to_owned(),
        subresource: subresource.map(|s| part(s).ok_or(why::BAD_RESOURCE)).transpose()?.map(str::to_owned),
        name: named.map(|n| name(n).ok_or(why::BAD_NAME)).transpose()?.map(str::to_owned),
    };
    Ok((object, behind.to_vec()))
}

/// What kind of connection a subresource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connects {
    No,
    Log,
    Exec,
    Attach,
    PortForward,
    Proxy,
}

impl Connects {
    fn proxies(self) -> bool {
        self == Connects::Proxy
    }
}

/// Errors: a subresource with the name of a connection on a kind of which we do not know what it does there.
fn connects(object: &Object) -> Result<Connects, Reason> {
    let pods = object.is_core("pods");
    match object.subresource.as_deref() {
        Some("exec") if pods => Ok(Connects::Exec),
        Some("attach") if pods => Ok(Connects::Attach),
        Some("portforward") if pods => Ok(Connects::PortForward),
        Some("log") if pods => Ok(Connects::Log),
        Some("proxy") if pods || object.is_core("services") || object.is_core("nodes") => Ok(Connects::Proxy),
        Some("exec" | "attach" | "portforward" | "proxy" | "log") => Err(why::UNKNOWN_PATH),
        _ => Ok(Connects::No),
    }
}

/// The server's verb: without a name a read is a list or a watch, and a delete is one of a collection.
fn verb(method: Method, object: &Object, by_prefix: bool, target: &Target) -> Result<Verb, Reason> {
    let watch = query::watch(&target.pairs)?;
    match (method.verb(), &object.name) {
        (Verb::Get, _) if by_prefix => Ok(Verb::Watch),
        (Verb::Get, None) => Ok(if watch { Verb::Watch } else { Verb::List }),
        // Some versions watch, others answer with the object.
        (Verb::Get, Some(_)) if watch && object.subresource.is_none() => Err(why::WATCH_ON_NAME),
        (Verb::Delete, None) => Ok(Verb::DeleteCollection),
        (verb, _) => Ok(verb),
    }
}

/// Whether a route answers.
fn check_method(method: Method, object: &Object, by_prefix: bool, connects: Connects) -> Result<(), Reason> {
    let shape = (object.name.is_some(), object.subresource.is_some());
    let has = match (method, connects) {
        (_, _) if by_prefix => method == Method::Get && !shape.1,
        (Method::Get | Method::Post, Connects::Exec | Connects::Attach | Connects::PortForward) => true,
        (_, Connects::Exec | Connects::Attach | Connects::PortForward) => false,
        (_, Connects::Log) => method == Method::Get,
        (_, Connects::Proxy) => true,
        (Method::Get, Connects::No) => true,
        // No route of an object answers it.
        (Method::Head, Connects::No) => false,
        (Method::Post, Connects::No) => shape != (true, false),
        (Method::Put | Method::Patch, Connects::No) => shape.0,
        (Method::Delete, Connects::No) => true,
    };
    if has { Ok(()) } else { Err(why::WRONG_METHOD) }
}

/// A path that is none of an object's. One that is not listed is refused: what stands behind it (`/debug`, `/logs`, another
/// server's) is not known.
fn server(method: Method, target: &Target, segments: &[&str]) -> Result<ServerPath, Reason> {
    let path = match segments {
        [] | ["api"] | ["apis"] => ServerPath::Discovery,
        ["api", version] => label(version).map(|_| ServerPath::Discovery).ok_or(why::BAD_VERSION)?,
        ["apis", group] => domain(group).map(|_| ServerPath::Discovery).ok_or(why::BAD_GROUP)?,
        ["apis", group, version] => {
            domain(group).and(label(version)).map(|_| ServerPath::Discovery).ok_or(why::BAD_VERSION)?
        }
        ["openapi", "v2"] | ["openapi", "v3", ..] => ServerPath::OpenApi,
        ["version"] => ServerPath::Version,
        ["healthz" | "livez" | "readyz", ..] => ServerPath::Health,
        ["metrics"] | ["metrics", "slis"] => ServerPath::Metrics,
        [".well-known", "openid-configuration"] | ["openid", "v1", "jwks"] => ServerPath::OpenId,
        _ => return Err(why::UNKNOWN_PATH),
    };
    if target.trailing_slash && !matches!(path, ServerPath::Discovery | ServerPath::Version) {
        return Err(why::EMPTY_SEGMENT);
    }
    if !matches!(method, Method::Get | Method::Head) {
        return Err(why::WRONG_METHOD);
    }
    query::of_server(&target.pairs)?;
    Ok(path)
}

/// A DNS label (RFC 1123): a namespace, a version.
fn label(text: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = text.len() <= LABEL_BYTES_MAX
        && text.bytes().all(|b| plain(b) || b == b'-')
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain);
    good.then_some(text)
}

/// A DNS subdomain (RFC 1123): a group, a resource (custom metrics have `deployments.apps` for one).
fn domain(text: &str) -> Option<&str> {
    (text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(|l| label(l).is_some())).then_some(text)
}

/// A subresource: letters, digits, `.`, `_`, `-` and `:` (custom metrics have their names there).
fn part(text: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (text.len() <= DOMAIN_BYTES_MAX && !text.is_empty() && text.bytes().all(plain)).then_some(text)
}

/// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`, as the server reads what stands before `proxy`: the name.
fn without_port(text: &str) -> &str {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [name, _] | [_, name, _] if !name.is_empty() => name,
        _ => text,
    }
}

/// What may be a segment of a path (`IsValidPathSegmentName`), and not longer than [`NAME_BYTES_MAX`].
pub(crate) fn name(text: &str) -> Option<&str> {
    let good = !matches!(text, "" | "." | "..")
        && text.len() <= NAME_BYTES_MAX
        && !text.contains(['/', '%', '\\'])
        && !text.chars().any(char::is_control);
    good.then_some(text)
}
