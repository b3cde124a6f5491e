//! What a request does, in the words of policy.
//!
//! # The tree
//!
//! | path | what |
//! |---|---|
//! | `NAME/NAMESPACE/KIND/OBJECT[/SUBRESOURCE]` | an object; KIND is `pods`, or `deployments.apps` outside of the core group |
//! | `NAME/NAMESPACE/KIND` | a collection: what is listed, watched or deleted together |
//! | `NAME/_/KIND[/OBJECT]` | the same without a namespace: of the cluster, **or of all namespaces** (discovery alone could tell) |
//! | `NAME/_path/...` | a path of the server's own (`_path/version`), by its segments |
//!
//! What the server has under two names has one here: an event is in the core group, an ingress in `networking.k8s.io`, a
//! binding that is created is `pods/NAME/binding`, and `proxy` to a port of a service is the service's.
//!
//! No namespace begins with `_`. A collection is not below its objects: whoever decides a list is to ask about what is
//! forbidden in it, too, since a list of `.../secrets`, and of `_/secrets`, has `.../secrets/db`.
//!
//! # Verbs
//!
//! get, list and watch are `read`; create, update, patch and delete are `write`, but `administer` where they change what
//! somebody may do ([`administers`]) and `define` where they change which kinds there are. exec and attach are `execute`,
//! port-forward and proxy are `connect`. A review of access and other questions that are asked by a create are `read`.

use crate::query::Connect;
use crate::request::{Asked, Object, Request, ServerPath, Verb};
use vocab::{Access, Action, Opaque, ResourcePath};

/// The segment for what is in no namespace.
pub const NO_NAMESPACE: &str = "_";
/// The segment for the server's own paths.
pub const SERVER_PATHS: &str = "_path";

/// What a request does to which resource, as its method and target say. What its body says is added by
/// [`crate::body::facts`]. `root`: the cluster's resource.
pub fn of(root: &ResourcePath, request: &Request) -> Action {
    match request {
        Request::Path(path, segments) => {
            let on = segments.iter().fold(root.join(SERVER_PATHS), |on, segment| on.join(segment));
            action(vocab::Verb::Read, on, path_kind(*path), None)
        }
        Request::Resource(asked) => {
            action(verb(asked), path(root, &asked.object), kind(asked), opaque(asked))
        }
    }
}

/// Where an object stands in the tree.
pub fn path(root: &ResourcePath, object: &Object) -> ResourcePath {
    let object = &object.under_one_name();
    let kind = root.join(object.namespace.as_deref().unwrap_or(NO_NAMESPACE)).join(&object.kind());
    let named = object.name.as_deref().map_or(kind.clone(), |name| kind.join(name));
    object.subresource.as_deref().map_or(named.clone(), |subresource| named.join(subresource))
}

/// Whether a write to such an object changes what somebody may do, or who somebody is.
pub fn administers(object: &Object) -> bool {
    let subresource = object.subresource.as_deref();
    match (object.stored_in(), &*object.resource) {
        ("rbac.authorization.k8s.io" | "admissionregistration.k8s.io" | "certificates.k8s.io", _) => true,
        ("authentication.k8s.io" | "flowcontrol.apiserver.k8s.io", _) => true,
        // A binding of a pod to a node is the scheduler's.
        ("", "serviceaccounts" | "nodes" | "bindings" | "resourcequotas" | "limitranges") => true,
        ("", "pods") => subresource == Some("binding"),
        // Labels of a namespace say what its pods may (pod security).
        ("", "namespaces") => true,
        ("policy", "podsecuritypolicies") | ("networking.k8s.io", "networkpolicies") => true,
        _ => false,
    }
}

/// Whether such an object says which kinds there are, and who serves them.
fn defines(object: &Object) -> bool {
    matches!(
        (&*object.group, &*object.resource),
        ("apiextensions.k8s.io", "customresourcedefinitions") | ("apiregistration.k8s.io", "apiservices")
    )
}

/// Whether a create asks a question and stores nothing. A TokenReview is none of them: it says whether a token is good.
fn asks(object: &Object) -> bool {
    object.group == "authorization.k8s.io"
        || object.group == "authentication.k8s.io" && object.resource == "selfsubjectreviews"
}

fn verb(asked: &Asked) -> vocab::Verb {
    match &asked.connect {
        Some(Connect::Exec(_) | Connect::Attach(_)) => return vocab::Verb::Execute,
        Some(Connect::PortForward(_) | Connect::Proxy(_)) => return vocab::Verb::Connect,
        None => {}
    }
    match asked.verb {
        Verb::Get | Verb::List | Verb::Watch => vocab::Verb::Read,
        Verb::Create if asks(&asked.object) => vocab::Verb::Read,
        _ if administers(&asked.object) => vocab::Verb::Administer,
        _ if defines(&asked.object) => vocab::Verb::Define,
        Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {
            vocab::Verb::Write
        }
    }
}

/// The kind of request, for records.
fn kind(asked: &Asked) -> &'static str {
    match &asked.connect {
        Some(Connect::Exec(_)) => return "EXEC",
        Some(Connect::Attach(_)) => return "ATTACH",
        Some(Connect::PortForward(_)) => return "PORT FORWARD",
        Some(Connect::Proxy(_)) => return "PROXY",
        None if asked.log.is_some() => return "LOG",
        None => {}
    }
    match asked.verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "CREATE",
        Verb::Update => "UPDATE",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETE COLLECTION",
    }
}

fn path_kind(path: ServerPath) -> &'static str {
    match path {
        ServerPath::Discovery => "DISCOVERY",
        ServerPath::OpenApi => "OPENAPI",
        ServerPath::Version => "VERSION",
        ServerPath::Health => "HEALTH",
        ServerPath::Metrics => "METRICS",
        ServerPath::OpenId => "OPENID",
    }
}

/// What is said by bytes that are another protocol's, and what shows parts of values.
fn opaque(asked: &Asked) -> Option<Opaque> {
    match &asked.connect {
        None if asked.log.as_ref().is_some_and(|log| log.cut) => {
            Some(Opaque("a log that is cut after so many bytes ends with a part of a value"))
        }
        Some(Connect::Proxy(_)) => Some(Opaque("what is behind a proxy of the API server's is not known")),
        Some(Connect::PortForward(_)) => Some(Opaque("what goes through a forwarded port is not known")),
        Some(Connect::Attach(_)) => Some(Opaque("what an attached process does with its input is not known")),
        // Its words are the shell crate's.
        Some(Connect::Exec(_)) | None => None,
    }
}

fn action(verb: vocab::Verb, on: ResourcePath, kind: &'static str, opaque: Option<Opaque>) -> Action {
    Action { accesses: vec![Access { verb, on, columns: Vec::new() }], functions: Vec::new(), kind, opaque }
}
