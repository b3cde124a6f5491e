//! What a request asks: its action, what of it is recorded, and the bytes that would go upstream.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use gate::{Asking, Param, Piece, Question, Requested, Subject, Tripped, Tx};
use ledger::Print;
use mask::body::Body;
use mask::{Detectors, Known, MaskedBytes, MaskedText, Origin, Shape};
use proto_http::action::{self, Match};
use proto_http::coding;
use proto_http::frame::{Framing, Head, Headers, encode_chunk, encode_last_chunk, encode_request};
use proto_http::llm::members;
use proto_http::mcp::{Back, Unreadable};
use proto_http::message::{Encoding, Media, Request, Target, hop_by_hop};
use proto_http::two::reads_trailers;
use proto_http::websocket::{Kind, Message};
use vocab::{Access, Action, Class, Opaque, Verb};
use wire::RawField;

use super::beside::{Beside, claims, shown_name};
use super::cluster::{Call, Tunnel};
use super::coded::{Held, Undoing, decoded, vouched};
use super::credential::{reads_as, strip};
use super::mcp::{self, Rpc};
use super::model::{Conversation, Spoken, spoken};
use super::resource::Resource;
use super::session::{Cut, Session};
use super::websocket::{MESSAGE, Opening, WEBSOCKET, opening};
use super::written::{MASKED, writes_mask};
use crate::alike::tripped;
use crate::config::{Inject, Masks, Prompts, Reel};
use crate::entropy;
use crate::limits::{HELD_BODY_BYTES_MAX, MODEL_BODY_BYTES_MAX, PRINTS_MAX};

/// A request, read and not yet decided.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) action: Action,
    pub(super) subject: Subject,
    /// What stands beside its body is not shown as what it is.
    unshown: bool,
    params: Arc<[Param]>,
    prints: Vec<Print>,
    pub(super) context: policy::Context,
    /// What detectors found in it, and what is sent in its place.
    tripwires: Vec<Tripped>,
    /// Set where a model is asked for a turn.
    pub(super) conversation: Option<Arc<Conversation>>,
    /// Set where a server of MCP is to answer a message.
    pub(super) rpc: Option<Rpc>,
    /// Its client can be asked to come again (MCP), and what it brings back if it has been.
    pub(super) in_band: bool,
    pub(super) back: Option<Back>,
    /// The body without what was brought back.
    unanswered: Bytes,
    /// The client's bytes: its head, and its body as far as it was held, without its codings.
    raw: Vec<u8>,
    /// A digest of what is asked, as far as it was held, without what another run would say otherwise: Host, credentials,
    /// cookies.
    pub(super) whole: [u8; 32],
    /// What the request says, held against what models decided.
    said: Option<String>,
    /// The same by its parts, where it is no message of MCP and none in a WebSocket.
    requested: Option<Requested>,
    /// What would go upstream, without the credential that the writer adds.
    pub(super) sending: Vec<u8>,
    /// The body goes on behind what was held.
    pub(super) more: bool,
    /// Its codings, as far as they are not undone yet.
    pub(super) undoing: Undoing,
    /// Refused whatever policy says: status and reason.
    pub(super) refuse: Option<(u16, &'static str)>,
    looking: Option<Body>,
    /// Set where an API server of Kubernetes is asked.
    pub(super) call: Option<Box<Call>>,
    /// The places of the answer that are governed.
    pub(super) masks: Arc<Masks>,
    /// What it would change, for whoever is asked.
    pub(super) changes: OnceLock<MaskedText>,
    /// A WebSocket is asked for.
    pub(super) opening: Option<Opening>,
    /// It is a message in one.
    pub(super) in_frames: bool,
    /// The body as it is recorded, where the statement does not hold all of it.
    body: Option<MaskedBytes>,
}

impl Session {
    /// Reads the request whose head is `head`.
    pub(super) async fn asked(&mut self, head: Head) -> Result<Asked, Cut> {
        let mut request = Request::new(head)?;
        // Whose it is has been read: what else stands there is no part of what is asked, shown or sent.
        strip(&mut request.headers, &self.resource.config.inject);
        self.to_head = request.method == proto_http::message::Method::Head;
        self.flow.on_request(&request)?;
        let config = &self.resource.config;
        let most = match config.model.is_some() || config.mcp.is_some() {
            true => MODEL_BODY_BYTES_MAX,
            false => HELD_BODY_BYTES_MAX,
        };
        let mut undoing = Undoing::of(&request.encodings);
        let held = self.held_body(request.framing, &mut undoing, most).await?;
        if !held.more {
            self.flow.on_request_end()?;
        }
        if undoing.undoes() {
            decoded(&mut request, &held);
        }
        let asked = Asked::new(&self.resource, &mut self.known, &self.who, request, held, undoing)?;
        // A credential of the service's is shown to nobody: what is there instead could say anything.
        let name = &self.resource.config.name;
        let is_set = |value: &RawField| self.run.cookies.knows(name, value.as_bytes());
        let all_set = asked.request.headers.all("cookie").all(is_set);
        match all_set {
            true => Ok(asked),
            false => Ok(Asked { subject: asked.subject.hidden(), unshown: true, ..asked }),
        }
    }

    pub(super) fn question<'a>(&'a self, asked: &'a Asked) -> Question<'a> {
        Question {
            who: &self.who,
            via: "request",
            subject: &asked.subject,
            params: asked.params.clone(),
            prints: asked.prints.clone(),
            tripwires: &asked.tripwires,
            tx: Tx::Idle,
            said: asked.said.as_deref(),
            asking: asked.asking(),
            shows: asked.conversation.as_ref().map_or(&[], |conversation| &conversation.shows),
            body: asked.body.as_ref(),
            whole: Some(&asked.whole),
            changes: asked.changes.get(),
            asked: &asked.raw,
            sending: &asked.sending,
            again: None,
            pure_read: false,
        }
    }
}

impl Asked {
    fn new(
        resource: &Resource,
        known: &mut Known,
        who: &gate::Who,
        request: Request,
        held: Held,
        undoing: Undoing,
    ) -> Result<Asked, Cut> {
        let Target::Origin(origin) = &request.target else {
            return Err(Cut::told("asterisk", 501, "OPTIONS * is not passed on"));
        };
        let Held { bytes: body, more, broken } = held;
        let came = body.clone();
        let (body, back) = match (&resource.config.mcp, proto_http::mcp::back(&body)) {
            // What is wrong with it is told where it is read.
            (None, _) | (_, Ok(None) | Err(_)) => (body, None),
            (Some(_), Ok(Some((rest, back)))) => (Bytes::from(rest), Some(back)),
        };
        let decoded = undoing.undoes() && !body.is_empty();
        let unsound = broken.or_else(|| vouched(&request.headers).filter(|_| decoded || back.is_some()));
        let (gate, config) = (&resource.gate, &resource.config);
        // What the run was shown elsewhere is found in what it says here.
        let detectors = &gate.detectors_of(who);
        let call = resource.places.as_ref();
        let call = call.map(|places| Box::new(Call::read(resource, who, places, &request, &body, more)));
        let body = call.as_ref().map_or(body, |call| call.body.clone());
        let masks_of = call.as_ref().map_or_else(|| config.masks.clone(), |call| call.masks.clone());
        let seen = match &call {
            // Whatever it is called, it was read as JSON, or it is refused.
            Some(call) if !call.proxied() => {
                Seen::look(detectors, resource, &call.own_masks, Ok(mask::body::Media::Json), &body, more)
            }
            Some(_) | None => Seen::of(detectors, resource, &request, &body, more),
        };
        // What the model is told is what is read: with placeholders, where they stand in.
        let masks = config.model.is_some_and(|model| model.prompts == Prompts::Mask);
        let beside = Beside::of(detectors, resource, known, &request, masks);
        let told = match &seen.masked {
            Some(masked) if masks && !seen.classes.is_empty() => masked.as_bytes(),
            _ => &body[..],
        };
        let spoken = match (&config.model, &config.mcp) {
            (Some(_), _) => Some(spoken(gate, who, &request, told)),
            (None, Some(_)) => Some(mcp::heard(resource, who, &request, &body)),
            (None, None) => None,
        };
        // What a model or a tool is told is no data of a service's, and a cluster's call has looked itself.
        let is_data = spoken.is_none() && call.is_none();
        let written = (is_data && writes_mask(resource, &request, &body)).then_some(MASKED);
        let found = config.routes.find(&request.method, &origin.path.segments);
        let opening = opening(resource, &request);
        let meaning = match &call {
            Some(call) => Meaning::of_call(call, &seen, &opening),
            None => Meaning::of(resource, &request, found.as_ref(), &seen, spoken.as_ref(), &opening, more),
        };
        let opening = opening.ok().flatten();
        let bare = (masks && seen.opaque.is_some() && !seen.classes.is_empty()).then_some(NOT_MASKED);
        let params = params(resource, detectors, known, &request, found.as_ref());
        seen.echo(known, detectors, &body);
        let prints = beside.prints.iter().copied().chain(seen.prints(resource, detectors, &body));
        let prints: BTreeSet<Print> = prints.take(PRINTS_MAX).collect();
        let statement = match &spoken {
            Some(Spoken::Turn(turn)) => format!("{} | {}", shown_fields(detectors, &request, &[]), turn.news),
            Some(Spoken::Message(message)) => {
                format!(
                    "{} | {}",
                    unbarred(&message.title()),
                    statement(detectors, &request, &seen, &body, MCP_UNSAID)
                )
            }
            _ => {
                let unsaid = if config.mcp.is_some() { MCP_UNSAID } else { &[] };
                let line = call.as_ref().and_then(|call| call.line.as_deref());
                let line = line.map(|line| format!("{line} | ")).unwrap_or_default();
                line + &statement(detectors, &request, &seen, &body, unsaid)
            }
        };
        let unsaid = if config.mcp.is_some() { MCP_UNSAID } else { &[] };
        let digest = whole(&request, unsaid, &body);
        let unshown = looks_escaped(&fields(&request, unsaid));
        let statement = mask::text(detectors, &statement).0;
        let is_whole = statement.is_whole();
        let subject = Subject::new(detectors, meaning.action.clone(), statement, None, &[]).exact();
        let classes: BTreeSet<Class> = seen
            .classes
            .iter()
            .chain(&beside.classes)
            .chain(params.iter().flat_map(|p| &p.classes))
            .cloned()
            .collect();
        let declared = match request.framing {
            Framing::Length(length) if back.is_none() => length,
            Framing::Length(_) => body.len() as u64,
            Framing::None | Framing::Chunked | Framing::UntilClose => body.len() as u64,
        };
        let largest = params.iter().map(|p| p.size.unsigned_abs()).chain([declared]).max();
        let context = policy::Context {
            task: who.task.as_ref().map(|task| task.as_str().into()),
            resource_kind: config.kind().into(),
            kind: meaning.action.kind.into(),
            now: entropy::wall(),
            classes: classes.into_iter().collect(),
            values: params.len() as u64 + u64::from(!body.is_empty()),
            largest_value: largest.unwrap_or(0),
            arguments: match &spoken {
                Some(Spoken::Message(message)) => message.arguments.clone(),
                _ => call.as_ref().map_or_else(Vec::new, |call| call.arguments.clone()),
            },
            ..policy::Context::default()
        };
        let told = match &spoken {
            Some(Spoken::Message(message)) => message.body.as_deref().unwrap_or(told),
            _ => told,
        };
        let tunnel = call.as_ref().and_then(|call| call.tunnel.as_ref());
        let asks = opening.as_ref().map(Opening::asks).or(tunnel.map(Tunnel::asks));
        let own = match &call {
            Some(call) => call.dress(resource, who, &beside.own),
            None => beside.own,
        };
        let own = resource.tags.open_all(who.run, &own);
        let outgoing = Outgoing { own, asks, body: told, more };
        let sending = sending(resource, &request, &undoing, &origin.raw, outgoing)?;
        let said = match &spoken {
            // Only a call of a tool is what a model may have decided.
            Some(Spoken::Message(message)) => message.asked.call.clone(),
            Some(_) => None,
            None => {
                let line = call.as_ref().and_then(|call| call.line.as_deref()).unwrap_or_default();
                Some(format!("{} {line}{}", readable(origin.raw.as_bytes()), readable(&body)))
            }
        };
        let plain = said.is_some() && spoken.is_none();
        let requested =
            plain.then(|| requested(resource, &request, origin, &body, more || seen.opaque.is_some()));
        Ok(Asked {
            subject: if meaning.hidden || unshown { subject.hidden() } else { subject },
            unshown,
            tripwires: seen.tripwires(masks).chain(beside.tripped).collect(),
            raw: [&request.raw[..], &came[..]].concat(),
            said,
            requested,
            looking: seen.looking,
            in_band: match &spoken {
                Some(Spoken::Message(message)) => {
                    (message.asked.can_be_asked() || back.is_some() && message.asked.id.is_some())
                        // Whose connection it comes on says which of several servers is meant.
                        && message.is_answered_here() && !resource.is_stdio()
                }
                _ => false,
            },
            unanswered: body,
            back,
            call,
            masks: masks_of,
            changes: OnceLock::new(),
            opening,
            in_frames: false,
            whole: digest,
            body: seen.masked.filter(|_| !is_whole && config.reel != Reel::None),
            rpc: match &spoken {
                Some(Spoken::Message(message)) => message.rpc(),
                _ => None,
            },
            conversation: match spoken {
                Some(Spoken::Turn(turn)) => Some(turn),
                _ => None,
            },
            action: meaning.action,
            refuse: unsound.map(|why| (400, why)).or(meaning.refuse).or(beside.refuse).or(bare).or(written),
            request,
            undoing,
            params,
            prints: prints.into_iter().collect(),
            context,
            sending,
            more,
        })
    }

    /// The connection that it asks for.
    pub(super) fn tunnel(&self) -> Option<&Tunnel> {
        self.call.as_ref()?.tunnel.as_ref()
    }

    /// Whether it offers an API server of Kubernetes another protocol, be it one that may be spoken there or not.
    pub(super) fn offers(&self) -> bool {
        (self.call.is_some() || self.action.kind == PORT) && self.request.headers.contains("upgrade")
    }

    /// Whether it asks for another protocol.
    pub(super) fn switches(&self) -> bool {
        self.opening.is_some() || self.tunnel().is_some()
    }

    /// What of a decision says it.
    fn asking(&self) -> Asking<'_> {
        match &self.requested {
            Some(requested) => Asking::Request(requested),
            None if self.in_frames => Asking::Statement,
            None => Asking::Call,
        }
    }

    /// What is asked and what would be sent, without what numbers a message of MCP: the same each time that it comes.
    pub(super) fn again(&self) -> Result<(Vec<u8>, Vec<u8>), Unreadable> {
        let unnumbered = |body: &[u8]| proto_http::mcp::unnumbered(body);
        let asked =
            [fields(&self.request, MCP_UNSAID).as_bytes(), b"\n", &unnumbered(&self.unanswered)?].concat();
        let end = memchr::memmem::find(&self.sending, b"\r\n\r\n").map_or(0, |end| end + 4);
        let (head, body) = self.sending.split_at(end);
        let counts = |line: &&[u8]| line.starts_with(b"Content-Length:");
        let mut sending =
            head.split_inclusive(|b| *b == b'\n').filter(|line| !counts(line)).collect::<Vec<_>>().concat();
        sending.extend(unnumbered(body)?);
        Ok((asked, sending))
    }

    /// A message of the client's in the WebSocket that this opens. `sending`: its frame.
    pub(super) fn message(
        &self,
        resource: &Resource,
        known: &mut Known,
        who: &gate::Who,
        message: &Message,
        sending: Vec<u8>,
    ) -> Asked {
        let (gate, body) = (&resource.gate, &message.data[..]);
        let detectors = &gate.detectors_of(who);
        let seen = Seen::look(detectors, resource, &self.masks, message_kind(message), body, false);
        let opaque = seen.opaque.map(Opaque);
        let action =
            Action { kind: MESSAGE, opaque, functions: Vec::new(), accesses: self.action.accesses.clone() };
        seen.echo(known, detectors, body);
        let prints = seen.prints(resource, detectors, body);
        let place = place_of(&self.request);
        let text = match seen.opaque {
            None => seen.shown(seen.text()),
            Some(why) => format!("[{why}: {} bytes]", body.len()),
        };
        // Which socket it is said in belongs to what it says.
        let socket = fields(&self.request, &[]);
        let socket = socket.strip_prefix("GET ").unwrap_or(&socket);
        let shown = shown_fields(detectors, &self.request, &[]);
        let shown = shown.strip_prefix("GET ").unwrap_or(&shown);
        let statement = mask::text(detectors, &format!("{MESSAGE} {shown} | {text}")).0;
        let is_whole = statement.is_whole();
        let subject = Subject::new(detectors, action.clone(), statement, None, &[]).exact();
        Asked {
            subject: if opaque.is_some() || self.unshown { subject.hidden() } else { subject },
            unshown: self.unshown,
            context: policy::Context {
                kind: MESSAGE.into(),
                now: entropy::wall(),
                classes: seen.classes.iter().cloned().collect(),
                values: 1,
                largest_value: body.len() as u64,
                ..self.context.clone()
            },
            action,
            params: Arc::new([]),
            prints,
            tripwires: seen.tripwires(false).collect(),
            conversation: None,
            rpc: None,
            raw: body.to_vec(),
            whole: digest([MESSAGE.as_bytes(), socket.as_bytes(), body]),
            requested: None,
            said: opaque.is_none().then(|| format!("{place} {}", readable(body))),
            sending,
            more: false,
            undoing: Undoing::of(&[]),
            refuse: None,
            looking: None,
            call: None,
            masks: self.masks.clone(),
            changes: OnceLock::new(),
            opening: None,
            in_frames: true,
            in_band: false,
            back: None,
            unanswered: Bytes::new(),
            body: seen.masked.filter(|_| !is_whole && resource.config.reel != Reel::None),
            request: self.request.clone(),
        }
    }

    /// A connection to a port of the pod's, through the port-forward that this opens.
    pub(super) fn port(&self, resource: &Resource, who: &gate::Who, port: u16) -> Asked {
        let detectors = &resource.gate.detectors_of(who);
        let on = |access: &Access| Access { on: access.on.join(&port.to_string()), ..access.clone() };
        let action = Action {
            kind: PORT,
            opaque: self.action.opaque,
            functions: Vec::new(),
            accesses: self.action.accesses.iter().map(on).collect(),
        };
        let text = format!("{PORT} {port} | {}", shown_fields(detectors, &self.request, &[]));
        let sending = format!("{PORT} {port} {}", line(&self.request)).into_bytes();
        let subject =
            Subject::new(detectors, action.clone(), mask::text(detectors, &text).0, None, &[]).exact();
        Asked {
            subject: if self.unshown { subject.hidden() } else { subject },
            unshown: self.unshown,
            context: policy::Context {
                kind: PORT.into(),
                now: entropy::wall(),
                classes: Vec::new(),
                values: 1,
                largest_value: 0,
                ..self.context.clone()
            },
            action,
            params: Arc::new([]),
            prints: Vec::new(),
            tripwires: Vec::new(),
            conversation: None,
            rpc: None,
            raw: sending.clone(),
            whole: digest([&sending]),
            requested: None,
            said: None,
            sending,
            more: false,
            undoing: Undoing::of(&[]),
            refuse: None,
            looking: None,
            call: None,
            masks: self.masks.clone(),
            changes: OnceLock::new(),
            opening: None,
            in_frames: true,
            in_band: false,
            back: None,
            unanswered: Bytes::new(),
            body: None,
            request: self.request.clone(),
        }
    }

    /// The body as the reel would have it, where the statement does not hold all of it.
    pub(super) fn recorded_body(&self) -> Option<&[u8]> {
        let body = self.body.as_ref()?.as_bytes();
        body.get(..body.len().min(gate::limits::BODY_BYTES_SHOWN_MAX))
    }

    /// The record of a further piece of the body, and its bytes as they go upstream. `None` ends the body.
    pub(super) fn piece(
        &mut self,
        resource: &Resource,
        who: &gate::Who,
        n: u64,
        piece: Option<Bytes>,
    ) -> Result<(Vec<u8>, Piece), Cut> {
        let mut out = BytesMut::new();
        let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let detectors = &resource.gate.detectors_of(who);
        let nobody = Known::new(entropy::random());
        let unreadable = |why: mask::body::Unreadable| Cut::told("unreadable", 400, why.0);
        // What it would look like masked is not kept: only what was found.
        let found = match (&piece, &mut self.looking) {
            (Some(piece), Some(looking)) => {
                let _masked = looking.push(detectors, &nobody, piece).map_err(unreadable)?;
                Some(looking.take_found())
            }
            (None, looking) => {
                let rest = looking.take().map(|looking| looking.finish(detectors, &nobody));
                rest.transpose().map_err(unreadable)?.map(|(_masked, found)| found)
            }
            (Some(_), None) => None,
        };
        let sent = |hit: Tripped| Tripped { act: "reported", ..hit };
        let tripwires = found.iter().flat_map(|found| tripped(found, REQUEST)).map(sent).collect();
        match (self.request.framing, piece) {
            (Framing::Chunked, Some(piece)) => encode_chunk(&mut out, &piece),
            (Framing::Chunked, None) => encode_last_chunk(&mut out, &Headers::new())?,
            (_, Some(piece)) => out.extend_from_slice(&piece),
            (_, None) => {}
        }
        let piece = Piece { n, to: "upstream", bytes, tripwires, ..Piece::default() };
        Ok((out.to_vec(), piece))
    }
}

/// The kind of a connection to a port.
const PORT: &str = "PORT";

/// What a request does, and whether it can be shown and served at all.
struct Meaning {
    action: Action,
    /// A part of it is in no statement.
    hidden: bool,
    refuse: Option<(u16, &'static str)>,
}

impl Meaning {
    /// Of a request to an API server.
    fn of_call(call: &Call, seen: &Seen, opening: &Result<Option<Opening>, (u16, &'static str)>) -> Meaning {
        let refuse = call.refuse.or(opening.as_ref().err().copied());
        // What could be read and not looked into (a text of a MiB) is not shown, either.
        let opaque = call.action.opaque.or(seen.opaque.map(Opaque));
        let hidden = call.refuse.is_some() || call.hidden || seen.opaque.is_some();
        Meaning { action: Action { opaque, ..call.action.clone() }, hidden, refuse }
    }

    fn of(
        resource: &Resource,
        request: &Request,
        found: Option<&Match<'_>>,
        seen: &Seen,
        spoken: Option<&Spoken>,
        opening: &Result<Option<Opening>, (u16, &'static str)>,
        more: bool,
    ) -> Meaning {
        let segments = match &request.target {
            Target::Origin(origin) => &origin.path.segments[..],
            Target::Asterisk => &[],
        };
        let opens = matches!(opening, Ok(Some(_)));
        let signs = matches!(resource.config.inject, Inject::SigV4 { .. });
        // AWS's query protocol: what is done stands there, and the method says nothing of it.
        let acts = signs && query(request).any(|pair| says_parameter(pair, "action"));
        let verb = match action::verb(&request.method) {
            // What is said in it may be anything: to read the path is no permission for that.
            _ if opens => Some(Verb::Call),
            Some(Verb::Read) if acts => Some(Verb::Write),
            verb => verb,
        };
        // S3's `POST /?delete`: which objects it is about stands in XML.
        let deletes = signs && query(request).any(|pair| says_parameter(pair, "delete"));
        let below = (deletes && !body_is_empty(request)).then_some(NAMED_BELOW);
        // Servers disagree about each: one drops `;x` from `/admin;x`, or a dot or space at the end, one takes the body of
        // a GET for the next request, one the first and one the last of two parameters.
        let odd = |segment: &String| segment.contains(';') || segment.ends_with(['.', ' ']);
        let parameters = segments.iter().any(odd);
        let injected = match &resource.config.inject {
            Inject::Query(name) => query(request).any(|pair| says_parameter(pair, name)),
            Inject::SigV4 { .. } => {
                query(request).any(|(n, _)| reads_as(n.as_bytes()).starts_with(super::sigv4::SIGNED))
            }
            Inject::Bearer | Inject::Basic | Inject::Header(_) => false,
        };
        let refuse = match (verb, spoken) {
            (None, _) => Some((501, "this method is not passed on")),
            _ if opening.is_err() => opening.as_ref().err().copied(),
            _ if parameters => {
                Some((400, "a path with `;`, or a part that ends with a dot or space, is not passed on"))
            }
            _ if injected => Some((400, "the query has the parameter that is the gateway's")),
            _ if request.has_meaningless_body() => {
                Some((400, "a body that its method gives no meaning is not passed on"))
            }
            // A signature is over the whole body.
            (_, None) if more && signs => Some((413, "a request that is larger than the gateway signs")),
            (_, Some(_)) if more => Some((413, "a request that is larger than the gateway reads")),
            (_, Some(Spoken::Wrong(status, why))) => Some((*status, *why)),
            // What leaves for a model has been looked into, whatever else policy permits.
            (_, Some(Spoken::Turn(_) | Spoken::Plain | Spoken::Message(_) | Spoken::Stream(_)))
                if seen.opaque.is_some() =>
            {
                Some((415, "a body that cannot be looked into does not leave for a model or a tool"))
            }
            (_, Some(Spoken::Message(message))) => message.refuse,
            (Some(_), _) => None,
        };
        let plain = Action {
            accesses: vec![Access {
                verb: verb.unwrap_or(Verb::Opaque),
                on: action::path_of(&resource.root, found, segments),
                columns: Vec::new(),
            }],
            functions: Vec::new(),
            kind: if opens { WEBSOCKET } else { action::kind(&request.method).unwrap_or("OTHER") },
            opaque: seen.opaque.or(more.then_some(ONLY_BEGUN)).or(below).map(Opaque),
        };
        let hidden = more || seen.opaque.is_some();
        match spoken {
            Some(Spoken::Turn(turn)) => {
                let opaque = turn.opaque().or(plain.opaque);
                let action = Action { accesses: turn.accesses(resource), kind: "TURN", opaque, ..plain };
                // Not all that it says is in its statement: descriptions of tools, what the run had shown before.
                Meaning { hidden: true, action, refuse }
            }
            Some(Spoken::Unknown(why)) => {
                Meaning { action: Action { opaque: Some(Opaque(why)), ..plain }, hidden, refuse }
            }
            Some(Spoken::Message(message)) => {
                let opaque = message.asked.unknown.map(Opaque).or(plain.opaque);
                let (accesses, kind) = (message.accesses(resource), message.asked.kind);
                Meaning { action: Action { accesses, kind, opaque, ..plain }, hidden, refuse }
            }
            Some(Spoken::Stream(kind)) => {
                let on = resource.root.clone();
                let accesses = vec![Access { verb: Verb::Connect, on, columns: Vec::new() }];
                Meaning { action: Action { accesses, kind, ..plain }, hidden, refuse }
            }
            Some(Spoken::Plain | Spoken::Wrong(..)) | None => Meaning { action: plain, hidden, refuse },
        }
    }
}

/// Why a body above the limit needs its own permission: what stands behind its beginning was not there to be decided.
const ONLY_BEGUN: &str = "a body of which only the beginning was read";

/// Of what is done to several objects at once the path names none.
const NAMED_BELOW: &str = "a request whose body names what it deletes";

fn body_is_empty(request: &Request) -> bool {
    matches!(request.framing, Framing::None | Framing::Length(0))
}

/// What could be seen of a body.
#[derive(Default)]
struct Seen {
    /// The body with what detectors and rules know replaced.
    masked: Option<MaskedBytes>,
    /// It is JSON, or lines of it.
    is_json: bool,
    classes: BTreeSet<Class>,
    tripped: BTreeSet<Tripped>,
    /// Why it could not be looked into.
    opaque: Option<&'static str>,
    looking: Option<Body>,
}

impl Seen {
    fn of(detectors: &Detectors, resource: &Resource, request: &Request, body: &[u8], more: bool) -> Seen {
        use mask::body::Media::{Form, Json, Multipart, Text};
        let media = match kind_of(&request.media, &request.encodings) {
            // What no endpoint of a conversation takes may be a file: it is masked as what it says it is.
            Ok(media @ (Form | Multipart { .. } | Text))
                if takes_files(resource, request) && !is_json(body) =>
            {
                Ok(media)
            }
            // A model's service reads JSON, whatever it is called; and so may others, and the rules are about JSON.
            Ok(_) | Err(NO_TEXT | NO_TYPE) if resource.config.speaks_json() => Ok(Json),
            Ok(Text) if is_json(body) => Ok(Json),
            media => media,
        };
        Seen::look(detectors, resource, &resource.config.masks, media, body, more)
    }

    /// The same where it is known how it is looked into, or why it is not.
    fn look(
        detectors: &Detectors,
        resource: &Resource,
        masks: &Masks,
        media: Result<mask::body::Media, &'static str>,
        body: &[u8],
        more: bool,
    ) -> Seen {
        let mut seen = Seen::default();
        if body.is_empty() && !more {
            return seen;
        }
        let channel = if resource.config.model.is_some() { "prompt" } else { REQUEST };
        let media = match media {
            Ok(media) => media,
            Err(why) => return Seen::opaque(detectors, why, channel, body, more),
        };
        seen.is_json = matches!(media, mask::body::Media::Json | mask::body::Media::JsonLines);
        let looking = Body::new(media, masks.rules.clone(), BTreeSet::new());
        let mut looking = looking.longest(resource.longest());
        // For the record everything is masked, whatever the run knows.
        let nobody = Known::new(entropy::random());
        let (masked, found) = match looking.push(detectors, &nobody, body) {
            Ok(masked) if more => {
                let found = looking.take_found();
                seen.looking = Some(looking);
                (masked, found)
            }
            Ok(masked) => {
                let before = looking.take_found();
                match looking.finish(detectors, &nobody) {
                    Ok((rest, mut found)) => {
                        found.tripped.extend(before.tripped);
                        found.governed.extend(before.governed);
                        (masked.then(rest), found)
                    }
                    Err(why) => return Seen::opaque(detectors, why.0, channel, body, more),
                }
            }
            Err(why) => return Seen::opaque(detectors, why.0, channel, body, more),
        };
        seen.classes = found.tripped.iter().map(|hit| hit.class.clone()).collect();
        seen.tripped = tripped(&found, channel);
        let governed = found.governed.iter().filter_map(|g| masks.rules.get(g.rule));
        seen.classes.extend(governed.map(|rule| rule.class.clone()));
        seen.masked = Some(masked);
        seen
    }

    /// The same of a body that is not what it says: detectors look at its bytes, and nothing in it is masked.
    fn opaque(
        detectors: &Detectors,
        why: &'static str,
        channel: &'static str,
        body: &[u8],
        more: bool,
    ) -> Seen {
        let mut findings = Vec::new();
        detectors.scan_deep(body, &mut findings);
        let hit = |f: &mask::Finding| Tripped {
            detector: f.detector,
            class: f.class.clone(),
            channel,
            act: "reported",
        };
        // What comes behind what was held is looked at with the end of that, as bytes, too.
        let goes_on = || {
            let mut looking = Body::new(mask::body::Media::Output, [].into(), BTreeSet::new());
            let looked = looking.push(detectors, &Known::new(entropy::random()), body);
            let _told_here = looking.take_found();
            looked.ok().map(|_| looking)
        };
        Seen {
            masked: None,
            is_json: false,
            classes: findings.iter().map(|finding| finding.class.clone()).collect(),
            tripped: findings.iter().map(hit).collect(),
            opaque: Some(why),
            looking: if more { goes_on() } else { None },
        }
    }

    fn text(&self) -> &[u8] {
        self.masked.as_ref().map_or(b"", MaskedBytes::as_bytes)
    }

    /// The body's text for people. What is not JSON, which begins as no field does, is marked as the body, and a backslash
    /// in it is doubled: what stands behind a single one is escaped for the eye.
    fn shown(&self, text: &[u8]) -> String {
        match self.is_json {
            true => readable(text),
            false => format!("{BODY}{}", readable(text).replace('\\', "\\\\")),
        }
    }

    /// What was found, and whether a placeholder stands in its place.
    fn tripwires(&self, masked: bool) -> impl Iterator<Item = Tripped> {
        let act = if masked && self.opaque.is_none() { "masked" } else { "reported" };
        self.tripped.iter().map(move |hit| Tripped { act, ..hit.clone() })
    }

    /// The run knows what it sent.
    fn echo(&self, known: &mut Known, detectors: &Detectors, body: &[u8]) {
        let mut findings = Vec::new();
        detectors.scan_deep(body, &mut findings);
        for value in findings.iter().filter_map(|finding| body.get(finding.range.clone())) {
            known.remember(Origin::Echo, value);
        }
    }

    /// Fingerprints of what detectors find in the body.
    fn prints(&self, resource: &Resource, detectors: &Detectors, body: &[u8]) -> Vec<Print> {
        if self.classes.is_empty() {
            return Vec::new();
        }
        let mut findings = Vec::new();
        detectors.scan_deep(body, &mut findings);
        let key = resource.gate.ledger().epoch_key();
        let print = |f: &mask::Finding| Some(key.print(&f.class, body.get(f.range.clone())?));
        let prints: BTreeSet<Print> = findings.iter().filter_map(print).take(PRINTS_MAX).collect();
        prints.into_iter().collect()
    }
}

/// Whether a model's service is asked for something that is no part of a conversation.
fn takes_files(resource: &Resource, request: &Request) -> bool {
    let Target::Origin(origin) = &request.target else { return false };
    resource.config.model.is_some()
        && proto_http::llm::endpoint(&request.method, &origin.path.segments).is_none()
}

/// Why a request to a model stays here whose prompts are masked.
const NOT_MASKED: (u16, &str) = (
    403,
    "a value of a sensitive class stands in a body that cannot be looked into, where it cannot be masked",
);

/// Where something was found: in the body of a request to a service that is no model's.
const REQUEST: &str = "request";

const NO_TEXT: &str = "a body that is no text";
const NO_TYPE: &str = "a body without a type";

/// How a body is looked into. Errors: why it is not, a constant sentence.
pub(super) fn kind_of(media: &Media, encodings: &[Encoding]) -> Result<mask::body::Media, &'static str> {
    coding::check(encodings)?;
    match media {
        Media::Json => Ok(mask::body::Media::Json),
        Media::Ndjson => Ok(mask::body::Media::JsonLines),
        Media::Form => Ok(mask::body::Media::Form),
        Media::Multipart { boundary } => Ok(mask::body::Media::Multipart { boundary: boundary.clone() }),
        Media::EventStream => Ok(mask::body::Media::EventStream),
        Media::Text => Ok(mask::body::Media::Text),
        Media::Binary => Err(NO_TEXT),
        Media::None | Media::Unknown => Err(NO_TYPE),
    }
}

// Both sides of a comparison name a member alike.
const _: () = assert!(
    gate::BELOW == proto_http::llm::BELOW
        && gate::NO_TEXT == proto_http::llm::NO_TEXT
        && gate::READ_ON == proto_http::llm::READ_ON
);

/// The request by its parts. `hides`: not all of its body is known.
fn requested(
    resource: &Resource,
    request: &Request,
    origin: &proto_http::message::Origin,
    body: &[u8],
    hides: bool,
) -> Requested {
    let raw = readable(origin.raw.as_bytes());
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (raw, None),
    };
    let pairs =
        self::query(request).map(|(name, value)| (readable(name.as_bytes()), readable(value.as_bytes())));
    // What is no text is shown escaped, and as it is shown it would be another request.
    let is_text = |field: &RawField| std::str::from_utf8(field.as_bytes()).is_ok();
    let hides =
        hides || !is_text(&origin.raw) || !self::query(request).all(|(n, v)| is_text(n) && is_text(v));
    let read = format!("/{}", origin.path.segments.join("/"));
    let slash = if origin.path.trailing_slash { "/" } else { "" };
    let upstream = resource.config.upstream.host.to_ascii_lowercase();
    Requested {
        method: readable(request.method.as_bytes()),
        hosts: request.host.iter().cloned().chain([upstream]).collect(),
        paths: vec![path, read + slash],
        query,
        pairs: pairs.collect(),
        body: if hides { None } else { said_by(&request.media, body) },
        typed: !matches!(request.media, Media::Form),
    }
}

/// What a body says, as members. `None`: it is JSON or a form that cannot be read, or no text, or a sign that the names and
/// values of JSON have stands in it otherwise.
fn said_by(media: &Media, body: &[u8]) -> Option<Vec<gate::Member>> {
    match (media, body.trim_ascii().first()) {
        (_, None) => Some(Vec::new()),
        (Media::Json, _) | (_, Some(b'{' | b'[')) => members(body, false),
        (Media::Form, _) => {
            let target = RawField::copy_from(&[b"/?", body].concat());
            match Target::parse(&target, false).ok()? {
                Target::Origin(origin) => {
                    let pairs = origin.query.into_iter().flat_map(|query| query.pairs);
                    pairs
                        .map(|(name, value)| Some((unsigned(name.as_bytes())?, unsigned(value.as_bytes())?)))
                        .collect()
                }
                Target::Asterisk => None,
            }
        }
        (_, Some(_)) => Some(vec![(String::new(), unsigned(body)?)]),
    }
}

/// A text without such signs.
fn unsigned(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    (!text.contains([gate::BELOW, gate::NO_TEXT, gate::READ_ON])).then(|| text.to_owned())
}

/// Names and values of the query.
fn query(request: &Request) -> impl Iterator<Item = &(RawField, RawField)> {
    let origin = match &request.target {
        Target::Origin(origin) => origin.query.as_ref(),
        Target::Asterisk => None,
    };
    origin.into_iter().flat_map(|query| &query.pairs)
}

/// Whether a server may read the parameter `ours` in a pair of the query: without case, with another sign for `-`, behind
/// spaces, before a `[` or a zero byte, and behind a `;`, where some end a pair, too.
fn says_parameter((name, value): &(RawField, RawField), ours: &str) -> bool {
    let plain = |name: &[u8]| {
        let name = name.trim_ascii_start();
        let name = name.split(|b| matches!(b, b'[' | 0)).next().unwrap_or(name);
        reads_as(name)
    };
    let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
    let mut names = pair.split(|b| *b == b';').filter_map(|piece| piece.split(|b| *b == b'=').next());
    names.any(|name| plain(name) == plain(ours.as_bytes()))
}

/// The values of the query, and of the route's placeholders.
fn params(
    resource: &Resource,
    detectors: &Detectors,
    known: &mut Known,
    request: &Request,
    found: Option<&Match<'_>>,
) -> Arc<[Param]> {
    // The query of a place of MCP is the credential of a session.
    let query = query(request).filter(|_| resource.config.mcp.is_none()).map(|(_, value)| value.as_bytes());
    let placed = found.into_iter().flat_map(|found| &found.values);
    let placed = placed.flat_map(|(_, values)| values.iter().map(|value| value.as_bytes()));
    let param = |value: &[u8]| {
        let (mask, findings) = mask::param(detectors, "parameter", Shape::Text, Some(value));
        // What no detector knows needs no explanation when it comes back.
        if !findings.is_empty() {
            known.remember(Origin::Echo, value);
        }
        let print = findings.first().map(|found| resource.gate.ledger().print(&found.class, value));
        let classes: BTreeSet<Class> = findings.into_iter().map(|found| found.class).collect();
        let (size, classes) = (value.len() as i64, classes.into_iter().collect());
        Param { kind: 0, format: 0, size, mask, classes, print, said: None }
    };
    query.chain(placed).map(param).collect()
}

/// Fields that say nothing of what is done, or stand elsewhere in the record.
const UNSAID: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "date",
    "dnt",
    "expect",
    "host",
    "pragma",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "user-agent",
];

/// Of a message of MCP: what the body says too, and what it is in any case.
const MCP_UNSAID: &[&str] = &["content-type", "mcp-", "tacho-", "last-event-id"];

/// Bytes as text for people, who may read every one of them: what is not UTF-8 is escaped.
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// Method and target.
fn line(request: &Request) -> String {
    let target = match &request.target {
        Target::Origin(origin) => readable(origin.raw.as_bytes()),
        Target::Asterisk => "*".to_owned(),
    };
    format!("{} {target}", readable(request.method.as_bytes()))
}

/// The request as people read it, before detectors have looked at it: line, fields that say something, and body.
fn statement(detectors: &Detectors, request: &Request, seen: &Seen, body: &[u8], unsaid: &[&str]) -> String {
    let mut out = shown_fields(detectors, request, unsaid);
    match (seen.opaque, body.is_empty()) {
        (None, true) => {}
        (None, false) => out.push_str(&format!(" | {}", seen.shown(seen.text().trim_ascii()))),
        (Some(why), _) => out.push_str(&format!(" | [{why}: {} bytes or more]", body.len())),
    }
    out
}

/// SHA-256 of line, fields and body, as they came.
fn whole(request: &Request, unsaid: &[&str], body: &[u8]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(fields(request, unsaid).as_bytes());
    context.update(&[0]);
    context.update(body);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The same of other parts.
fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(part);
        context.update(&[0]);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// How a message in a WebSocket is looked into. Errors: why it is not.
pub(super) fn message_kind(message: &Message) -> Result<mask::body::Media, &'static str> {
    // Readers take a mark of byte order off; what begins behind one is JSON that is none.
    let text = message.data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&message.data);
    match (message.kind, text.trim_ascii_start().first()) {
        (Kind::Binary, _) => Err("a message that is no text"),
        (Kind::Text, Some(b'{' | b'[')) => Ok(mask::body::Media::Json),
        (Kind::Text, _) => Ok(mask::body::Media::Text),
    }
}

/// The target without its query.
fn place_of(request: &Request) -> String {
    match &request.target {
        Target::Origin(origin) => {
            let raw = origin.raw.as_bytes();
            readable(raw.split(|b| *b == b'?').next().unwrap_or(raw))
        }
        Target::Asterisk => "*".to_owned(),
    }
}

/// Its line, and the fields that say something.
fn fields(request: &Request, unsaid: &[&str]) -> String {
    named_fields(request, unsaid, str::to_owned)
}

/// The same for people, with what detectors know in a name masked: they take `x-` and a value behind it for one word. What
/// the client claims of itself is shown as what it is; no name has a space or a bracket of its own.
fn shown_fields(detectors: &Detectors, request: &Request, unsaid: &[&str]) -> String {
    let stays = |name: &str| if claims(name.as_bytes()) { " [not passed on]" } else { "" };
    named_fields(request, unsaid, |name| shown_name(detectors, name) + stays(name))
}

/// What stands before a body that is no JSON. No field's name has a bracket.
const BODY: &str = "[body] ";

/// Without what stands between the parts of a statement.
fn unbarred(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Whether something in a text stands there as characters do that are escaped for the eye.
fn looks_escaped(text: &str) -> bool {
    ["\\n", "\\r", "\\t", "\\u", "\\x"].iter().any(|escape| text.contains(escape))
}

fn named_fields(request: &Request, unsaid: &[&str], shown: impl Fn(&str) -> String) -> String {
    let mut out = unbarred(&line(request));
    if !unsaid.is_empty() {
        // The query of a place of MCP is the credential of a session.
        out.truncate(out.find('?').unwrap_or(out.len()));
    }
    let mut headers = request.headers.clone();
    strip(&mut headers, &Inject::Bearer);
    hop_by_hop(&mut headers);
    for (name, value) in headers.iter() {
        let name = readable(name.as_bytes()).to_ascii_lowercase();
        if UNSAID.contains(&name.as_str()) || unsaid.iter().any(|unsaid| name.starts_with(unsaid)) {
            continue;
        }
        // Each is a credential of the service's for this session.
        let value = match name.as_str() {
            "cookie" => "[cookie]".to_owned(),
            proto_http::mcp::SESSION => "[session]".to_owned(),
            _ => unbarred(&readable(value.as_bytes())),
        };
        out.push_str(&format!(" | {}: {value}", unbarred(&shown(&name))));
    }
    out
}

/// What of a request goes upstream behind its line.
struct Outgoing<'a> {
    /// The client's fields.
    own: Headers,
    /// The gateway's, where it asks for a WebSocket.
    asks: Option<Headers>,
    body: &'a [u8],
    /// The body goes on behind it.
    more: bool,
}

/// Whether a body begins as every message does that is decided as JSON.
fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn sending(
    resource: &Resource,
    request: &Request,
    undoing: &Undoing,
    target: &RawField,
    outgoing: Outgoing<'_>,
) -> Result<Vec<u8>, Cut> {
    let config = &resource.config;
    let Outgoing { mut own, asks, body, more } = outgoing;
    if undoing.undoes() {
        own.remove("content-encoding");
    }
    let text = |text: &str| RawField::copy_from(text.as_bytes());
    let mut headers = Headers::new();
    if config.speaks_json() && is_json(body) {
        // It was decided as JSON, which is UTF-8 (RFC 8259, 8.1): no field tells the service to read it otherwise.
        own.remove("content-type");
        own.push(text("Content-Type"), text("application/json"));
    }
    headers.push(text("Host"), text(&config.upstream.authority));
    own.iter().for_each(|(name, value)| headers.push(name.clone(), value.clone()));
    headers.push(text("Accept-Encoding"), text("identity"));
    match asks {
        Some(asks) => asks.iter().for_each(|(name, value)| headers.push(name.clone(), value.clone())),
        None if reads_trailers(&request.headers) => {
            headers.push(text("TE"), text("trailers"));
            headers.push(text("Connection"), text("TE"));
        }
        None => {}
    }
    let chunked = more && request.framing == Framing::Chunked;
    match (request.framing, more) {
        (Framing::Chunked, true) => headers.push(text("Transfer-Encoding"), text("chunked")),
        (Framing::Length(length), true) => headers.push(text("Content-Length"), text(&length.to_string())),
        (Framing::None, _) => {}
        _ => headers.push(text("Content-Length"), text(&body.len().to_string())),
    }
    let target = config.target(target.as_bytes());
    let mut out = BytesMut::new();
    encode_request(&mut out, request.method.as_bytes(), &target, &headers)?;
    match chunked {
        true => encode_chunk(&mut out, body),
        false => out.extend_from_slice(body),
    }
    Ok(out.to_vec())
}

#[cfg(test)]
mod tests {
    use proto_http::frame::{Decoder, Incoming};

    use super::*;

    #[test]
    fn what_is_not_looked_into_as_what_it_says_it_is_says_what_its_bytes_say() {
        let detectors = Detectors::new();
        let body = b"\x00\xff{\"a\": 219-09-9999, a@b.example";
        let seen = Seen::opaque(&detectors, NO_TEXT, REQUEST, body, false);
        let classes: Vec<&str> = seen.classes.iter().map(Class::as_str).collect();
        assert_eq!((seen.opaque, classes), (Some(NO_TEXT), vec!["pii.email", "pii.ssn"]));
        // No placeholder stands in its place, whatever is masked otherwise.
        assert!(seen.tripwires(true).all(|hit| hit.act == "reported" && hit.channel == REQUEST));
        assert_eq!(seen.tripwires(true).count(), 2);
        assert!(seen.looking.is_none());
        // A value over the edge of what was held is found behind it.
        let mut seen = Seen::opaque(&detectors, NO_TEXT, REQUEST, b"\xff 219-0", true);
        let nobody = Known::new([0; 16]);
        let mut looking = seen.looking.take().unwrap();
        let _masked = looking.push(&detectors, &nobody, b"9-9999 \xfe\n").unwrap();
        let found = looking.finish(&detectors, &nobody).unwrap().1;
        assert_eq!((seen.classes.len(), found.tripped.len()), (0, 1));
    }

    #[test]
    fn a_statement_says_which_of_it_are_fields_and_which_is_the_body() {
        let asked = |fields: &[(&str, &str)]| {
            let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let mut head = BytesMut::from(&*format!("POST /pay HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            match Decoder::client().next(&mut head) {
                Ok(Incoming::Head(head)) => Request::new(head).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let said = |is_json: bool, fields: &[(&str, &str)], body: &'static str| {
            let masked = (!body.is_empty()).then(|| mask::constant(body.as_bytes()));
            let seen = Seen { is_json, masked, ..Seen::default() };
            statement(&Detectors::new(), &asked(fields), &seen, body.as_bytes(), &[])
        };
        let json = r#"{"to":"alice"}"#;
        let real = said(true, &[("Content-Type", "application/json")], json);
        assert_eq!(real, format!("POST /pay | content-type: application/json | {json}"));
        let forged = said(true, &[("X-A", &format!("x | content-type: application/json | {json}"))], "");
        assert_eq!(forged, format!("POST /pay | x-a: x \\| content-type: application/json \\| {json}"));
        assert_ne!(said(false, &[], "x-a: y"), said(false, &[("x-a", "y")], ""));
        // A line's end, and what is written as one.
        let [real, written] = ["a\r\nb", "a\\r\\nb"]
            .map(|text| mask::text(&Detectors::new(), &said(false, &[], text)).0.as_str().to_owned());
        assert_eq!((&*real, &*written), (r"POST /pay | [body] a\r\nb", r"POST /pay | [body] a\\r\\nb"));
        let escaped = |value: &str| looks_escaped(&fields(&asked(&[("x-a", value)]), &[]));
        assert!(escaped(r"a\nb") && escaped(r"\u{200b}") && !escaped(r"a | \d") && !escaped("a\tb"));
    }

    #[test]
    fn what_a_body_says_is_text_and_has_no_signs_of_values_of_json() {
        let says = |media: &Media, body: &str| said_by(media, body.as_bytes());
        assert_eq!(says(&Media::Form, "a=1&b=x+y").unwrap().len(), 2);
        assert!(says(&Media::Text, "5").is_some());
        // {"a": {"b": 5}}, {"a": 5} and 5, by their signs.
        for form in ["a%1Fb=5", "a\u{1f}b=5", "a=%1E5", "a%1D=%7B%7D", "%1E0=5", "a=%FF"] {
            assert_eq!(says(&Media::Form, form), None, "{form}");
        }
        assert_eq!((says(&Media::Text, "\u{1e}5"), says(&Media::None, "\u{1e}5")), (None, None));
        assert_eq!(said_by(&Media::Text, b"\xff"), None);
    }

    #[test]
    fn a_parameter_of_the_gateways_is_known_in_each_spelling_that_a_server_reads_as_it() {
        let says = |query: &str| {
            let target = RawField::copy_from(format!("/?{query}").as_bytes());
            let Ok(Target::Origin(origin)) = Target::parse(&target, false) else { panic!("{query}") };
            origin.query.unwrap().pairs.iter().any(|pair| says_parameter(pair, "api_key"))
        };
        for yes in [
            "api_key=a",
            "API_Key=a",
            "x=1&api_key",
            "api%5Fkey=a",
            "%61pi_key=a",
            "api-key=a",
            "api.key=a",
            "api+key=a",
            "+api_key=a",
            "%09api_key=a",
            "api_key[]=a",
            "api_key%5B0%5D=a",
            "api_key%00b=a",
            "x=1;api_key=a",
            "x;api_key=a",
            "x%3Bapi_key=a",
        ] {
            assert!(says(yes), "{yes}");
        }
        for no in ["apikey=a", "my_api_key=a", "x=api_key", "x=1;y=api_key", "api_keys=a"] {
            assert!(!says(no), "{no}");
        }
    }
}
