//! A Kubernetes cluster behind the gateway: what a request asks of its API server, what of an answer is governed, and how the
//! request leaves. The reading is `proto_kubernetes`'s; policy, records and releases are those of every HTTP service.
//!
//! What the client says of who asks (`Impersonate-*`, `X-Remote-*` and their like) is recorded and not passed on. What goes
//! upstream asks for JSON, has a body in JSON, says for whom the gateway asks where it is told to, and has an `Audit-ID` with
//! the run's number, so that the cluster's own audit log names the run.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use gate::Who;
use mask::body::{JsonPath, Named, PathRule};
use proto_http::coding;
use proto_http::frame::Headers;
use proto_http::message::{Media, Request as HttpRequest, Response, Target};
use proto_kubernetes::answer::{self, Form, Place};
use proto_kubernetes::body::{self, Written, facts};
use proto_kubernetes::fault::Reason;
use proto_kubernetes::query::{Connect, Exec};
use proto_kubernetes::request::{Asked, Object, Request, ServerPath, Verb};
use proto_kubernetes::{action, identity};
use vocab::{Access, Action, Class, MaskKind, Opaque, ResourcePath};
use wire::RawField;

mod changes;
mod channels;
mod own;
mod ports;
mod upgrade;
mod wires;

pub(super) use own::may_everything;
pub(super) use ports::Ahead;
pub(super) use upgrade::Tunnel;

use super::credential::without;
use super::request::kind_of;
use super::resource::Resource;
use crate::config::{ClusterService, HttpResource, LoginShell, Masks};
use crate::entropy;
use crate::ssh::commands;

/// What a request asks of an API server.
pub(super) struct Call {
    /// `None`: it is refused, and nobody knows what it is.
    pub(super) request: Option<Request>,
    pub(super) action: Action,
    pub(super) refuse: Option<(u16, &'static str)>,
    /// The body that goes upstream: the client's, or the JSON that it means.
    pub(super) body: Bytes,
    /// The type of that body, where it is not the client's.
    media: Option<&'static str>,
    /// What it is, if it is one.
    form: Option<body::Form>,
    accept: String,
    pub(super) masks: Arc<Masks>,
    /// The same of the request's own body.
    pub(super) own_masks: Arc<Masks>,
    /// Under which policy the action was made.
    pub(super) generation: u64,
    /// Set where a connection of streams is asked for.
    pub(super) tunnel: Option<Tunnel>,
    /// What an exec runs, as a shell would be told to.
    pub(super) line: Option<String>,
    /// What policy hears beside the action: options, and whom they select.
    pub(super) arguments: Vec<Box<str>>,
}

/// The places that are governed, by what is asked for; and those of a JSON patch of an object that has any of the API's own.
pub(super) struct Places {
    of: Vec<(&'static [Place], Arc<Masks>)>,
    patch: Arc<Masks>,
    /// Values of config maps are governed.
    config: bool,
    /// So are some of other kinds.
    others: bool,
}

impl Places {
    /// Those of the API's own, and the operator's behind them. Errors are sentences for the operator.
    pub(super) fn new(cluster: &ClusterService, own: &Masks) -> Result<Places, String> {
        let masks = |places: &'static [Place]| {
            let governed = places.iter().map(|place| (place, place.holds.class()));
            let governed = governed.filter(|(place, class)| {
                let quoted = place.path == answer::MESSAGE && own.named().next().is_some();
                place.holds.always() || quoted || cluster.also.iter().any(|also| also.as_str() == *class)
            });
            let rules = governed.map(|(place, class)| rule(place, class)).collect::<Result<Vec<_>, _>>()?;
            Ok((places, Arc::new(Masks::new(rules.into_iter().chain(own.named())))))
        };
        let of = answer::ALL.into_iter().map(masks).collect::<Result<_, String>>()?;
        let (place, class) = (answer::PATCHED, answer::PATCHED.holds.class());
        let patch = Masks::new([rule(&place, class)?].into_iter().chain(own.named()));
        let also = |holds: answer::Holds| cluster.also.iter().any(|also| also.as_str() == holds.class());
        let others = also(answer::Holds::Env) || own.named().next().is_some();
        Ok(Places { of, patch: Arc::new(patch), config: also(answer::Holds::Config), others })
    }

    fn patched(&self, asked: &Asked, masks: &Arc<Masks>) -> Arc<Masks> {
        let config = asked.object.is_core("configmaps") && self.config;
        let holds = asked.object.resource == "secrets" || config || self.others;
        if holds { self.patch.clone() } else { masks.clone() }
    }

    fn of(&self, request: Option<&Request>, own: &Arc<Masks>) -> Arc<Masks> {
        let Some(Request::Resource(asked)) = request else { return own.clone() };
        self.those(answer::places(asked), own)
    }

    fn those(&self, places: &[Place], own: &Arc<Masks>) -> Arc<Masks> {
        self.of
            .iter()
            .find(|(known, _)| *known == places)
            .map_or_else(|| own.clone(), |(_, masks)| masks.clone())
    }
}

fn rule(place: &Place, class: &str) -> Result<(String, PathRule), String> {
    let wrong = |why: &str| format!("{}: {why}", place.path);
    let path = JsonPath::parse(place.path).map_err(wrong)?;
    let class = Class::new(class).ok_or_else(|| wrong("its class is none"))?;
    let rule = PathRule::new(path, class, MaskKind::Redact).map_err(wrong)?.saying(&place.words());
    // A secret's keys are told.
    let rule = if place.path.ends_with(".*") { rule.naming() } else { rule };
    Ok((place.path.to_owned(), rule))
}

const MORE: &str = "a request that is larger than an API server takes (3 MiB)";
const MASKED: &str = "a value in this object is a mask that the gateway gave in the place of the real one: written back, it would replace \
    that; leave the field out, or patch the others";
const MEANINGLESS: &str = "a body that its method gives no meaning is not passed on";
const ODD: &str = "a path with `;`, or a part that ends with a dot or space, is not passed on";
const NOT_READ: Opaque = Opaque("the request is not understood");

impl Call {
    /// `more`: the body goes on behind what was held.
    pub(super) fn read(
        resource: &Resource,
        who: &Who,
        cluster: &Places,
        request: &HttpRequest,
        body: &Bytes,
        more: bool,
    ) -> Call {
        let mut call = Call {
            request: None,
            action: Action {
                accesses: vec![access(vocab::Verb::Opaque, resource.root.clone())],
                functions: Vec::new(),
                kind: "REQUEST",
                opaque: Some(NOT_READ),
            },
            refuse: None,
            body: body.clone(),
            media: None,
            form: None,
            accept: String::new(),
            masks: cluster.of(None, &resource.config.masks),
            own_masks: cluster.of(None, &resource.config.masks),
            generation: resource.gate.generation(),
            tunnel: None,
            line: None,
            arguments: Vec::new(),
        };
        let read = call.understand(resource, cluster, request);
        if let Some(Request::Resource(asked)) = &call.request {
            call.action.accesses.extend(inside(resource, who, asked, &call.action));
            call.action.accesses.sort();
            call.action.accesses.dedup();
        }
        call.refuse = match read {
            Ok(()) if more => Some((413, MORE)),
            read => read.err(),
        };
        call
    }

    fn understand(
        &mut self,
        resource: &Resource,
        places: &Places,
        request: &HttpRequest,
    ) -> Result<(), (u16, &'static str)> {
        let raw = match &request.target {
            Target::Origin(origin) => origin.raw.as_bytes(),
            Target::Asterisk => b"*",
        };
        let read = Request::parse(request.method.as_bytes(), raw).map_err(bad)?;
        self.action = action::of(&resource.root, &read);
        self.masks = places.of(Some(&read), &resource.config.masks);
        self.own_masks = self.masks.clone();
        // Several fields of it are one list.
        let accepts: Vec<&[u8]> = request.headers.all("accept").map(RawField::as_bytes).collect();
        let accepts = (!accepts.is_empty()).then(|| accepts.join(&b", "[..]));
        self.accept = accept(&read, accepts.as_deref())?;
        let said = match &read {
            Request::Resource(asked) => self.said(resource, places, asked, request),
            Request::Path(..) if request.upgrade => Err(upgrade::NOT_ONE),
            Request::Path(..) if self.body.is_empty() => Ok(()),
            Request::Path(..) => Err(bad(proto_kubernetes::fault::BODY_OF_A_READ)),
        };
        self.request = Some(read);
        said
    }

    /// What the body of a request of objects says.
    fn said(
        &mut self,
        resource: &Resource,
        places: &Places,
        asked: &Asked,
        request: &HttpRequest,
    ) -> Result<(), (u16, &'static str)> {
        self.arguments = arguments(asked);
        self.tunnel = Tunnel::of(request, asked)?;
        if let Some(Connect::Exec(exec)) = &asked.connect {
            let line = line(&exec.words);
            self.action = executes(&resource.root, asked, exec, &line, self.action.kind);
            self.line = Some(line);
        }
        if asked.connect.is_some() && request.has_meaningless_body() {
            return Err((400, MEANINGLESS));
        }
        if let Some(Connect::Proxy(proxied)) = &asked.connect {
            // Servers disagree about each, as behind any other gateway.
            let odd = |segment: &String| segment.contains(';') || segment.ends_with(['.', ' ']);
            if proxied.segments.iter().any(odd) {
                return Err((400, ODD));
            }
        }
        if asked.connect.is_some() {
            // What goes through a proxy of the API server's is another server's body.
            return Ok(());
        }
        if self.body.is_empty() && asked.verb.reads() {
            return Ok(());
        }
        let (form, written) = body::form(asked.verb, one(&request.headers, "content-type")?).map_err(bad)?;
        let converted = match body::json(written, &self.body).map_err(bad)? {
            Cow::Owned(json) => Some(Bytes::from(json)),
            Cow::Borrowed(_) => None,
        };
        self.form = Some(form);
        if form == body::Form::JsonPatch {
            // A value stands there without the names around it.
            self.own_masks = places.patched(asked, &self.masks);
        }
        if let Some(json) = converted {
            (self.body, self.media) = (json, Some(form.media()));
        }
        let said = body::read(asked, form, Written::Json, &self.body).map_err(bad)?;
        let masks: BTreeSet<String> = self.masks.classes().iter().map(ToString::to_string).collect();
        if !self.body.is_empty()
            && body::holds_mask(asked, form, &self.body, |class| masks.contains(class)).map_err(bad)?
        {
            // Of a 422 kubectl shows causes alone.
            return Err((400, MASKED));
        }
        self.action =
            facts::action(&resource.root, asked, &said, std::mem::replace(&mut self.action, nothing()));
        self.arguments.extend(said.dry_run.then(|| "dry-run".into()));
        self.arguments.dedup();
        Ok(())
    }

    /// The client's fields as they go upstream.
    pub(super) fn dress(&self, resource: &Resource, who: &Who, own: &Headers) -> Headers {
        let replaced = |name: &[u8]| {
            identity::claims(name)
                || name.eq_ignore_ascii_case(b"accept")
                || self.media.is_some() && name.eq_ignore_ascii_case(b"content-type")
                || name.eq_ignore_ascii_case(b"x-stream-protocol-version")
        };
        let mut headers = without(own, replaced);
        let mut put = |name: &str, value: &str| {
            headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value.as_bytes()));
        };
        put("Accept", &self.accept);
        if let Some(media) = self.media {
            put("Content-Type", media);
        }
        put("Audit-ID", &format!("tacho-{}-{}", who.run, entropy::hex(&entropy::random::<6>())));
        as_whom(&resource.config, &mut headers);
        headers
    }

    /// How an answer is looked into, and whether it leaves as it comes. Errors: it is not what was asked for.
    pub(super) fn media(&self, response: &Response) -> Result<(mask::body::Media, bool), &'static str> {
        coding::check(&response.encodings)?;
        let json = response.headers.get("content-type").is_some_and(|said| answer::is_json(said.as_bytes()));
        let by_type = || kind_of(&response.media, &response.encodings).map(|media| (media, false));
        match &self.request {
            Some(Request::Resource(asked)) => match answer::form(asked, response.status) {
                Form::Events if json => Ok((mask::body::Media::JsonLines, true)),
                Form::Object if json => Ok((mask::body::Media::Json, false)),
                Form::Log => Ok((mask::body::Media::Output, true)),
                // What stands before an API server may say in words that it is not there.
                Form::Object | Form::Events if response.status >= 400 && response.media == Media::Text => {
                    by_type()
                }
                Form::Object | Form::Events => Err(NOT_JSON),
                Form::Other => by_type(),
            },
            Some(Request::Path(ServerPath::OpenApi, _)) if !json => Ok((mask::body::Media::Output, false)),
            Some(Request::Path(..)) | None => by_type(),
        }
    }

    /// Which kind of objects it is about, as the tree calls it.
    pub(super) fn kind(&self) -> Option<String> {
        match &self.request {
            Some(Request::Resource(asked)) => Some(asked.object.kind()),
            Some(Request::Path(..)) | None => None,
        }
    }

    /// Whether an error from 400 to 499 says that nothing was done: of one write that the API server itself carries out.
    pub(super) fn says_no(&self, response: &Response) -> bool {
        let own = match &self.request {
            Some(Request::Resource(asked)) => asked.connect.is_none() && asked.verb != Verb::DeleteCollection,
            Some(Request::Path(..)) | None => false,
        };
        let json = response.headers.get("content-type").is_some_and(|said| answer::is_json(said.as_bytes()));
        own && json && (400..500).contains(&response.status) && !matches!(response.status, 408 | 499)
    }

    /// Whether it is about more objects than it names.
    pub(super) fn collects(&self) -> bool {
        match &self.request {
            Some(Request::Resource(asked)) => {
                matches!(asked.verb, Verb::List | Verb::Watch | Verb::DeleteCollection)
                    || asked.object.is_core("namespaces")
            }
            Some(Request::Path(..)) | None => false,
        }
    }

    /// Whether its body is another server's.
    pub(super) fn proxied(&self) -> bool {
        matches!(&self.request, Some(Request::Resource(asked)) if matches!(asked.connect, Some(Connect::Proxy(_))))
    }

    /// Whether policy has changed since its action was made, of what a new rule may say more.
    pub(super) fn is_stale(&self, resource: &Resource) -> bool {
        self.collects() && self.generation != resource.gate.generation()
    }

    /// Whether it reads.
    pub(super) fn reads(&self) -> bool {
        matches!(&self.request, Some(Request::Resource(asked)) if asked.verb.reads())
    }

    /// Whether it is what a program wrote.
    pub(super) fn reads_log(&self) -> bool {
        matches!(&self.request, Some(Request::Resource(asked)) if asked.log.is_some())
    }

    /// The places of an answer with that status that are governed.
    pub(super) fn masks_of(&self, resource: &Resource, status: u16) -> Arc<Masks> {
        match (&self.request, &resource.places) {
            (Some(Request::Resource(asked)), Some(places)) if status >= 400 => {
                places.those(answer::places_of(asked, status), &resource.config.masks)
            }
            _ => self.masks.clone(),
        }
    }

    /// Whether the answer goes on until somebody ends it.
    pub(super) fn goes_on(&self) -> bool {
        match &self.request {
            Some(Request::Resource(asked)) => {
                asked.verb == Verb::Watch && asked.connect.is_none()
                    || asked.log.as_ref().is_some_and(|log| log.follow)
            }
            Some(Request::Path(..)) | None => false,
        }
    }
}

const NOT_JSON: &str = "the answer of the API server is not the JSON that was asked for";

fn bad(reason: Reason) -> (u16, &'static str) {
    let status = match reason {
        proto_kubernetes::fault::NO_JSON => 406,
        proto_kubernetes::fault::BODY_TOO_LARGE => 413,
        proto_kubernetes::fault::CBOR | proto_kubernetes::fault::UNKNOWN_MEDIA => 415,
        proto_kubernetes::fault::PROTOBUF_KIND | proto_kubernetes::fault::PROTOBUF_FIELD => 415,
        proto_kubernetes::fault::WRONG_METHOD | proto_kubernetes::fault::UNKNOWN_METHOD => 405,
        proto_kubernetes::fault::UNKNOWN_PATH => 404,
        _ => 400,
    };
    (status, reason.outward)
}

/// A field's value. Errors: it stands there twice, and readers take one or the other.
fn one<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a [u8]>, (u16, &'static str)> {
    let mut all = headers.all(name);
    match (all.next(), all.next()) {
        (value, None) => Ok(value.map(RawField::as_bytes)),
        (_, Some(_)) => {
            Err((400, "a field that says what the body is, or the answer may be, stands there twice"))
        }
    }
}

fn accept(request: &Request, said: Option<&[u8]>) -> Result<String, (u16, &'static str)> {
    match (request, said) {
        (Request::Path(ServerPath::OpenApi, _), Some(said)) if answer::is_openapi_protobuf(said) => {
            std::str::from_utf8(said).map(str::to_owned).map_err(|_| bad(proto_kubernetes::fault::BAD_ACCEPT))
        }
        // They answer in text, whatever they are asked.
        (Request::Path(ServerPath::Health | ServerPath::Metrics, _), _) => Ok("*/*".to_owned()),
        (Request::Resource(asked), _) if asked.log.is_some() || asked.connect.is_some() => {
            Ok("*/*".to_owned())
        }
        (_, said) => answer::accept(said).map_err(bad),
    }
}

/// What policy may ask of a request beside what it touches: `dry-run`, `force`, `field:NAME`, `labels`, `container:NAME`,
/// `follow`, and of an exec or attach `stdin` and `tty`.
fn arguments(asked: &Asked) -> Vec<Box<str>> {
    let mut said: Vec<Box<str>> = Vec::new();
    let options = &asked.options;
    said.extend(options.dry_run.then(|| "dry-run".into()));
    said.extend(options.force.then(|| "force".into()));
    said.extend(options.labels.as_ref().map(|_| "labels".into()));
    said.extend(options.fields.iter().map(|term| format!("field:{}", term.field).into_boxed_str()));
    let streams = match &asked.connect {
        Some(Connect::Exec(exec)) => Some(&exec.streams),
        Some(Connect::Attach(streams)) => Some(streams),
        Some(_) | None => None,
    };
    let log = asked.log.as_ref();
    let container =
        streams.and_then(|streams| streams.container.as_ref()).or(log.and_then(|log| log.container.as_ref()));
    said.extend(container.map(|name| format!("container:{name}").into_boxed_str()));
    said.extend(log.filter(|log| log.follow).map(|_| "follow".into()));
    said.extend(streams.filter(|streams| streams.stdin).map(|_| "stdin".into()));
    said.extend(streams.filter(|streams| streams.tty).map(|_| "tty".into()));
    said
}

/// A member of an object, as records have it: its key below the object, `data`. What detectors know in a name is masked. `None`: whose
/// it is was not told before it.
pub(super) fn told(resource: &Resource, named: &Named, kind: Option<&str>) -> Option<ResourcePath> {
    let namespace = named.namespace.as_deref().unwrap_or(action::NO_NAMESPACE);
    let of = resource.root.join(namespace).join(kind?).join(named.name.as_deref()?);
    let (shown, _found) = mask::text(resource.gate.detectors(), of.join("data").join(&named.member).as_str());
    ResourcePath::parse(shown.as_str())
}

/// Says for whom the gateway asks.
fn as_whom(config: &HttpResource, headers: &mut Headers) {
    let Some(impersonate) = config.cluster.as_ref().and_then(|cluster| cluster.impersonate.as_ref()) else {
        return;
    };
    let mut put = |name: &'static [u8], value: &str| {
        headers.push(RawField::from_static(name), RawField::copy_from(value.as_bytes()));
    };
    put(b"Impersonate-User", &impersonate.user);
    impersonate.groups.iter().for_each(|group| put(b"Impersonate-Group", group));
}

/// What a collection has in it that policy names because it forbids something to the run: a list of all secrets is a read of each
/// that a rule keeps from it, and so it is of a namespace. A read of one name in all namespaces is a collection, too, and who deletes a
/// namespace deletes all that is in it.
fn inside(resource: &Resource, who: &Who, asked: &Asked, action: &Action) -> Vec<Access> {
    let object = &asked.object;
    let Some(verb) = action.accesses.first().map(|access| access.verb) else { return Vec::new() };
    let all = resource.gate.forbidden_below(who);
    let deletes = object.is_core("namespaces") && asked.verb == Verb::Delete && object.subresource.is_none();
    if let Some(name) = object.name.as_ref().filter(|_| deletes) {
        let of = |named: &&ResourcePath| named.segments().nth(1).as_ref() == Some(name);
        // Each is deleted as it would be by itself.
        let both = |named: &ResourcePath| [verb, vocab::Verb::Write].map(|verb| access(verb, named.clone()));
        return all.iter().filter(of).flat_map(both).collect();
    }
    let collects = match asked.verb {
        Verb::List | Verb::Watch => object.name.is_none() || object.namespace.is_none(),
        Verb::DeleteCollection => object.name.is_none(),
        Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => false,
    };
    if !collects {
        return Vec::new();
    }
    let kind = object.kind();
    let reads = asked.verb.reads();
    let below =
        |segments: &[String]| segments.get(4).is_some_and(|sub| !matches!(sub.as_str(), "status" | "scale"));
    let own = |path: ResourcePath| object.name.as_ref().map_or(path.clone(), |name| path.join(name));
    let within = |named: &ResourcePath| {
        let segments: Vec<String> = named.segments().collect();
        let namespace = segments.get(1)?;
        // What begins so is none, but for what is in none.
        if namespace.starts_with('_') && namespace != action::NO_NAMESPACE
            || object.namespace.as_ref().is_some_and(|own| own != namespace)
        {
            return None;
        }
        match (segments.get(2), segments.get(3), &object.name) {
            // All of a namespace is forbidden.
            (None, ..) if object.namespace.is_none() && !is_of_cluster(object) => {
                Some(own(named.join(&kind)))
            }
            (Some(of), Some(one), Some(name)) if *of == kind && one != name => None,
            // No list has what is below an object, but for these.
            (Some(of), Some(_), _) if *of == kind && reads && below(&segments) => None,
            (Some(of), None, _) if *of == kind => Some(own(named.clone())),
            (Some(of), ..) if *of == kind => Some(named.clone()),
            (None | Some(_), ..) => None,
        }
    };
    all.iter().filter_map(within).map(|on| access(verb, on)).collect()
}

/// Whether such objects are in no namespace, as far as that is known of the API's own: a rule on a namespace says nothing of them.
fn is_of_cluster(object: &Object) -> bool {
    match (&*object.group, &*object.resource) {
        ("", "nodes" | "persistentvolumes" | "componentstatuses" | "namespaces") => true,
        ("storage.k8s.io", resource) => resource != "csistoragecapacities",
        ("rbac.authorization.k8s.io", "clusterroles" | "clusterrolebindings") => true,
        ("networking.k8s.io", "ingressclasses") => true,
        (
            "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "admissionregistration.k8s.io"
            | "scheduling.k8s.io"
            | "node.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "certificates.k8s.io",
            _,
        ) => true,
        _ => false,
    }
}

/// The words of an exec as one line, in which a shell would read just these words.
fn line(words: &[String]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&b);
    let quoted = |word: &String| match !word.is_empty() && word.bytes().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What an exec does: programs, files and hosts, below the pod's `exec` (`crate::ssh::commands`). `~` is the directory that the
/// container begins in.
fn executes(root: &ResourcePath, asked: &Asked, exec: &Exec, line: &str, kind: &'static str) -> Action {
    let pod = action::path(root, &Object { subresource: None, ..asked.object.clone() });
    let read = commands::of(&pod, EXEC, LoginShell::Sh, line.as_bytes()).action;
    let action = if exec.streams.tty { commands::at_a_terminal(read, &pod, EXEC) } else { read };
    Action { kind, ..action }
}

/// The subresource of a pod below which its programs are.
const EXEC: &str = "exec";

fn access(verb: vocab::Verb, on: ResourcePath) -> Access {
    Access { verb, on, columns: Vec::new() }
}

fn nothing() -> Action {
    Action { accesses: Vec::new(), functions: Vec::new(), kind: "REQUEST", opaque: None }
}
