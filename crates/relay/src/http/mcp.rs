//! A server of MCP behind the gateway: what a client's message asks, and what of the server's messages it may see.
//!
//! A server's message is read whole before any of it is looked at or released. Tools that policy refuses are not listed,
//! nor are those whose description is not the one that was seen first; what the server wants of its client (sampling,
//! elicitation, roots) needs a permission, and without it the client's offer is taken out and the server's request becomes
//! one that no client knows: the client says so, and both go on.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gate::{Gate, GateError, Ground, Who};
use proto_http::mcp::{self, Asked, Events, Listed, What};
use proto_http::message::{Media, Method, Request, Target};
use proto_http::reply;
use tokio::sync::mpsc;
use vocab::{Access, Action, ResourcePath, RunId, Verb, Verdict};

use super::credential::reads_as;
use super::model::Spoken;
use super::resource::Resource;
use crate::config::{Changed, McpService};
use crate::limits::{
    MCP_EVENTS_PER_RUN_MAX, MCP_HANDLES_PER_RUN_MAX, MCP_NOTES_MAX, MCP_WORDS_MAX, MODEL_BODY_BYTES_MAX,
    PINS_MAX, RUNS_MAX,
};
use crate::pins::Seen;

/// A message of a client's.
pub(super) struct Message {
    pub(super) asked: Asked,
    /// The body as it goes on, where something was taken out.
    pub(super) body: Option<Vec<u8>>,
    pub(super) arguments: Vec<Box<str>>,
    pub(super) refuse: Option<(u16, &'static str)>,
    place: Option<Vec<u8>>,
}

/// How the client is told, where it waits for an answer to a message.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    /// As it is written.
    pub(super) id: String,
    /// It is told as the result of a tool, which a model reads.
    pub(super) tool: bool,
    /// The answer comes on another stream, which belongs to this place.
    pub(super) place: Option<Vec<u8>>,
}

const MISMATCH: &str = "a header does not say what the body says";
const TWICE: &str = "a header that repeats the body stands there twice";
const NO_SESSION: &str = "no server gave this run such a session";
const NO_EVENT: &str = "no server gave this run such an event in this session";
const NO_TASK: &str = "no server gave this run such a task";
const NO_PLACE: &str =
    "there is no server of MCP here: its URL is the resource's own, /mcp or /sse, or what it gave this run";
const CHANGED: &str = "what the server says of this tool is not what it said first";
const NO_METHOD: &str = "MCP is spoken by POST, GET and DELETE";
const NO_STREAM: &str = "a GET that asks for no event stream";
const NOT_MCP: &str = "the answer is neither a message of MCP nor a stream of them";
const ANOTHER: &str = "the server answered another request than was asked";
const PROSE: &str = "a text of the answer is not JSON, and the rules of this server name places in JSON";
const EVENT: &str = "a type of event that is not known";
pub(super) const ELSEWHERE: &str = "the server sends its client to another place";
const ANOTHERS: &str = "the server gives this run a place that it gave another";
/// What a server's request becomes that policy does not let it make of its client.
const NOT_PERMITTED: &str = "tachograph/not-permitted";
const NO_PINS: &str = "what a server says of its tools cannot be remembered";
const TOO_MUCH: &str = "the server says more at once than can be noted";
const TOO_LONG: &str = "a message of the server that is larger than the gateway reads";

/// Reads a request to a server of MCP, whose body is `body`.
pub(super) fn heard(resource: &Resource, who: &Who, request: &Request, body: &[u8]) -> Spoken {
    let Some((service, handles)) = resource.mcp() else { return Spoken::Plain };
    let Target::Origin(origin) = &request.target else {
        return Spoken::Wrong(501, "OPTIONS * is not passed on");
    };
    // Some servers take another sign for `-`, and would be told otherwise than was looked at.
    let ours = |name: &str| name.starts_with("mcp-") || name == mcp::LAST_EVENT;
    let disguised = |name: &[u8]| {
        let read = reads_as(name);
        ours(&read) && !name.eq_ignore_ascii_case(read.as_bytes())
    };
    if request.headers.iter().any(|(name, _)| disguised(name.as_bytes())) {
        return Spoken::Wrong(400, MISMATCH);
    }
    // Elsewhere on the same host the body may mean another thing, or nothing.
    let usual = matches!(origin.raw.as_bytes(), b"/mcp" | b"/mcp/" | b"/sse" | b"/sse/");
    let place = match origin.raw.as_bytes() {
        b"/" => None,
        _ if usual && resource.config.upstream.base.is_empty() => None,
        place if handles.was_given(who.run, place) => Some(place),
        _ => return Spoken::Wrong(404, NO_PLACE),
    };
    // A session, as the place of the oldest revision, is a credential of the run that was given it.
    let mut sessions = request.headers.all(mcp::SESSION);
    if !sessions.all(|session| handles.was_given(who.run, session.as_bytes())) {
        return Spoken::Wrong(404, NO_SESSION);
    }
    if !goes_on(handles, who.run, request) {
        return Spoken::Wrong(400, NO_EVENT);
    }
    match request.method {
        Method::Post => {}
        Method::Get if wants_events(request) => return Spoken::Stream("stream"),
        Method::Get => return Spoken::Unknown(NO_STREAM),
        Method::Delete => return Spoken::Stream("end of session"),
        _ => return Spoken::Wrong(405, NO_METHOD),
    }
    let asked = match mcp::asked(body, &service.routes, &service.open) {
        Ok(asked) => asked,
        Err(why) => return Spoken::Wrong(400, why.0),
    };
    // A task is the run's that began it.
    let task = asked.name.as_deref().filter(|_| asked.kind.starts_with("tasks/"));
    if task.is_some_and(|task| !handles.was_given(who.run, &task_handle(task))) {
        return Spoken::Wrong(404, NO_TASK);
    }
    let tool = asked.name.as_deref().filter(|_| asked.call.is_some());
    let changed = tool.is_some_and(|tool| service.pins.has_changed(tool));
    let refuse = match disagreement(request, &asked) {
        Some(why) => Some((400, why)),
        None if changed && service.changed == Changed::Refuse => Some((403, CHANGED)),
        None => None,
    };
    let detectors = resource.gate.detectors();
    let masked = |argument: String| mask::name(detectors, &argument).as_str().into();
    let unwanted = |offer: &str| is_want(offer) && !may_want(resource, who, offer);
    Spoken::Message(Box::new(Message {
        body: asked.without_offers(body, unwanted),
        arguments: asked.arguments(&service.open).into_iter().map(masked).collect(),
        asked,
        refuse,
        place: place.map(<[u8]>::to_vec),
    }))
}

/// Whether the event behind which a client goes on, if it names one, is one that its run was given in this session: servers
/// keep the events of all their sessions in one place, and look them up by the id alone.
fn goes_on(handles: &Handles, run: RunId, request: &Request) -> bool {
    let given = |session: &[u8], event: &wire::RawField| {
        handles.was_given_event(run, &event_handle(session, event.as_bytes()))
    };
    let all = |session: &[u8]| request.headers.all(mcp::LAST_EVENT).all(|event| given(session, event));
    let mut sessions = request.headers.all(mcp::SESSION).peekable();
    match sessions.peek() {
        None => all(b""),
        Some(_) => sessions.all(|session| all(session.as_bytes())),
    }
}

fn event_handle(session: &[u8], event: &[u8]) -> Vec<u8> {
    [session, b"\n", event].concat()
}

fn task_handle(task: &str) -> Vec<u8> {
    format!("task {task}").into_bytes()
}

fn wants_events(request: &Request) -> bool {
    let says = |value: &wire::RawField| value.to_str().is_some_and(|v| v.contains("text/event-stream"));
    request.headers.all("accept").any(says)
}

fn is_want(offer: &str) -> bool {
    matches!(offer, "sampling" | "elicitation" | "roots")
}

/// Whether policy lets the server want this of its client, now and at any other moment.
fn may_want(resource: &Resource, who: &Who, want: &str) -> bool {
    let on = resource.root.join("client").join(want);
    always(resource, who, on) == Some(Verdict::Allow)
}

/// What policy says of a call, if it says so whatever the arguments and the time are.
fn always(resource: &Resource, who: &Who, on: ResourcePath) -> Option<Verdict> {
    let access = Access { verb: Verb::Call, on, columns: Vec::new() };
    let action = Action { accesses: vec![access], kind: "tools/call", ..Action::default() };
    let context = policy::Context {
        resource_kind: resource.config.kind().into(),
        kind: action.kind.into(),
        now: crate::entropy::wall(),
        ..policy::Context::default()
    };
    let ground = Ground { action: &action, context: &context, release: None };
    let decided = resource.gate.verdict(who, &ground, &BTreeSet::new());
    decided.cacheable.then_some(decided.verdict)
}

/// Where a header says another thing than the body. The body is what the server runs; whoever routes by the header would
/// decide about something else. Headers that are not there say nothing: older revisions have none.
fn disagreement(request: &Request, asked: &Asked) -> Option<&'static str> {
    let said = [
        (mcp::METHOD, Some(asked.method.as_str())),
        (mcp::NAME, asked.name.as_deref()),
        // `initialize` says in the body which revision the client would like, and has no header yet.
        (mcp::VERSION, asked.version.as_deref().filter(|_| asked.method != "initialize")),
    ];
    for (name, body) in said {
        let mut all = request.headers.all(name).map(|value| value.to_str().and_then(plain));
        match (all.next(), all.next(), body) {
            (_, Some(_), _) => return Some(TWICE),
            // A version in the header alone: a revision whose body has none.
            (Some(Some(_)), None, None) if name == mcp::VERSION => {}
            (Some(header), None, body) if header.as_deref() != body => return Some(MISMATCH),
            (Some(_), None, _) | (None, None, _) => {}
        }
    }
    let mut seen = BTreeSet::new();
    for (name, value) in request.headers.iter() {
        let name = name.as_bytes().to_ascii_lowercase();
        if !name.starts_with(mcp::PARAM.as_bytes()) {
            continue;
        }
        if !seen.insert(name) {
            return Some(TWICE);
        }
        match value.to_str().and_then(plain) {
            Some(value) if asked.says(&value) => {}
            Some(_) | None => return Some(MISMATCH),
        }
    }
    None
}

/// A header's value, out of the Base64 that stands for what a header cannot hold.
fn plain(value: &str) -> Option<String> {
    use base64::Engine as _;
    let Some(word) = value.strip_prefix("=?base64?") else { return Some(value.to_owned()) };
    let decoded = base64::engine::general_purpose::STANDARD.decode(word.strip_suffix("?=")?).ok()?;
    String::from_utf8(decoded).ok()
}

impl Message {
    /// What it does.
    pub(super) fn accesses(&self, resource: &Resource) -> Vec<Access> {
        let under = |path: &[String]| path.iter().fold(resource.root.clone(), |on, part| on.join(part));
        let access =
            |(verb, path): &(Verb, Vec<String>)| Access { verb: *verb, on: under(path), columns: Vec::new() };
        self.asked.touches.iter().map(access).collect()
    }

    /// Its method and what it names, before the request itself.
    pub(super) fn title(&self) -> String {
        let method = if self.asked.method.is_empty() { self.asked.kind } else { &self.asked.method };
        match &self.asked.name {
            Some(name) => format!("{method} {name}"),
            None => method.to_owned(),
        }
    }

    /// Whether its answer is the one of the request that it comes in.
    pub(super) fn is_answered_here(&self) -> bool {
        self.place.is_none()
    }

    pub(super) fn rpc(&self) -> Option<Rpc> {
        let id = self.asked.id.clone()?;
        Some(Rpc { id, tool: self.asked.call.is_some(), place: self.place.clone() })
    }
}

/// What one server gave which runs: ids of sessions and tasks, and places to send messages to. Of each run the oldest are
/// forgotten, and its clients begin anew.
#[derive(Default)]
pub(super) struct Handles {
    given: Mutex<Given>,
    /// Ids of events, with their sessions.
    events: Mutex<Given>,
    /// Of places whose answers come on a stream (2024-11-05): what the gateway has to say there.
    streams: Mutex<HashMap<u64, mpsc::Sender<Vec<u8>>>>,
    hash: RandomState,
}

#[derive(Default)]
struct Given {
    runs: HashMap<u64, RunId>,
    /// What each run was given, oldest first.
    order: HashMap<RunId, VecDeque<u64>>,
}

impl Given {
    /// A run pushes out its own: it keeps the newest `most`.
    fn give(&mut self, run: RunId, hash: u64, most: usize) {
        // Of two runs that a server gives one handle, the first keeps it.
        if self.runs.contains_key(&hash) {
            return;
        }
        if self.order.len() == RUNS_MAX && !self.order.contains_key(&run) {
            *self = Given::default();
        }
        self.runs.insert(hash, run);
        let own = self.order.entry(run).or_default();
        own.push_back(hash);
        if own.len() > most
            && let Some(oldest) = own.pop_front()
        {
            self.runs.remove(&oldest);
        }
    }
}

fn lock(given: &Mutex<Given>) -> MutexGuard<'_, Given> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handles {
    pub(super) fn give(&self, run: RunId, handle: &[u8]) {
        lock(&self.given).give(run, self.hash.hash_one(handle), MCP_HANDLES_PER_RUN_MAX);
    }

    fn give_event(&self, run: RunId, handle: &[u8]) {
        lock(&self.events).give(run, self.hash.hash_one(handle), MCP_EVENTS_PER_RUN_MAX);
    }

    /// Opens the stream on which a place's messages are answered.
    fn open(&self, place: &[u8]) -> mpsc::Receiver<Vec<u8>> {
        let (words, stream) = mpsc::channel(MCP_WORDS_MAX);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, words| !words.is_closed());
        streams.insert(self.hash.hash_one(place), words);
        stream
    }

    /// Says `event` on the stream of a place. `false`: there is none that takes it.
    pub(super) fn say(&self, place: &[u8], event: Vec<u8>) -> bool {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.get(&self.hash.hash_one(place)).is_some_and(|words| words.try_send(event).is_ok())
    }

    fn was_given(&self, run: RunId, handle: &[u8]) -> bool {
        lock(&self.given).runs.get(&self.hash.hash_one(handle)) == Some(&run)
    }

    fn was_given_event(&self, run: RunId, handle: &[u8]) -> bool {
        lock(&self.events).runs.get(&self.hash.hash_one(handle)) == Some(&run)
    }
}

/// The server's side of one answer, read message by message before anything else looks at it.
pub(super) struct Listening {
    how: How,
    /// The id of the request that it answers.
    answers: Option<String>,
    /// An answer of HTTP that says that the request failed may say so in other words.
    failed: bool,
    /// What was noticed about tools, and is not recorded.
    notes: Vec<(&'static str, String)>,
    /// The changed tools that are noted.
    noted: BTreeSet<String>,
    /// It said what is not known, and policy permits that.
    pub(super) not_understood: bool,
    /// The server says that what was asked failed.
    pub(super) tool_failed: bool,
    /// The answer to what was asked has come: whatever follows on the stream says nothing of it.
    pub(super) answered: bool,
    /// Where this stream's client sends its messages: a credential, as the client sees it.
    place: Option<String>,
    /// The session that it is of; none is empty.
    session: Vec<u8>,
    /// What stands before that place where the client comes through the proxy.
    before: String,
    /// What the gateway has to say on this stream.
    words: Option<mpsc::Receiver<Vec<u8>>>,
}

enum How {
    Whole(Vec<u8>),
    Events(Events),
    /// Nothing of MCP comes.
    Other,
    /// What comes says nothing, and stays here.
    Dropped,
}

/// Who listens.
pub(super) struct Ear<'a> {
    pub(super) resource: &'a Resource,
    pub(super) who: &'a Who,
    /// Policy permits what cannot be known.
    pub(super) opaque: bool,
}

impl Listening {
    /// Errors: an answer that is none of MCP's.
    pub(super) fn new(
        media: &Media,
        status: u16,
        empty: bool,
        rpc: Option<&Rpc>,
    ) -> Result<Listening, &'static str> {
        let failed = status >= 400;
        let how = match media {
            _ if empty => How::Other,
            _ if status == 202 => How::Dropped,
            Media::Json => How::Whole(Vec::new()),
            Media::EventStream => How::Events(Events::default()),
            _ if failed => How::Other,
            _ => return Err(NOT_MCP),
        };
        let answers = rpc.map(|rpc| rpc.id.clone());
        Ok(Listening {
            how,
            answers,
            failed,
            notes: Vec::new(),
            noted: BTreeSet::new(),
            not_understood: false,
            tool_failed: false,
            answered: false,
            place: None,
            session: Vec::new(),
            before: String::new(),
            words: None,
        })
    }

    /// The same in a session, for a client that finds what it reads behind `before`.
    pub(super) fn of(self, session: Option<&[u8]>, before: &str) -> Listening {
        Listening { session: session.unwrap_or_default().to_vec(), before: before.to_owned(), ..self }
    }

    /// Takes a piece of the answer, and gives what of it is read and may be looked at. Errors: why nothing more may.
    pub(super) fn push(&mut self, ear: &Ear<'_>, piece: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        let mut events = Vec::new();
        match &mut self.how {
            How::Other => return Ok(piece),
            How::Dropped => return Ok(Vec::new()),
            How::Whole(whole) if whole.len() + piece.len() > MODEL_BODY_BYTES_MAX => return Err(TOO_LONG),
            How::Whole(whole) => {
                whole.extend_from_slice(&piece);
                return Ok(Vec::new());
            }
            How::Events(stream) => stream.push(&piece, &mut events).map_err(|why| why.0)?,
        }
        let mut out = Vec::new();
        for event in events {
            out.extend(self.event(ear, event)?);
        }
        Ok(out)
    }

    /// The rest.
    pub(super) fn finish(&mut self, ear: &Ear<'_>) -> Result<Vec<u8>, &'static str> {
        match std::mem::replace(&mut self.how, How::Other) {
            How::Other | How::Dropped => Ok(Vec::new()),
            How::Whole(whole) if whole.trim_ascii().is_empty() => Ok(whole),
            How::Whole(whole) => {
                let less = match self.message(ear, &whole) {
                    // A proxy's or framework's own words.
                    Err(_) if self.failed && !names_json_rpc(&whole) => None,
                    read => read?,
                };
                Ok(less.unwrap_or(whole))
            }
            How::Events(stream) => match stream.finish().map_err(|why| why.0)? {
                Some(event) => self.event(ear, event),
                None => Ok(Vec::new()),
            },
        }
    }

    fn event(&mut self, ear: &Ear<'_>, event: mcp::Event) -> Result<Vec<u8>, &'static str> {
        if let (Some(id), Some((_, handles))) = (&event.id, ear.resource.mcp()) {
            handles.give_event(ear.who.run, &event_handle(&self.session, id.as_bytes()));
        }
        match (event.name.as_str(), event.data.as_deref()) {
            (_, None | Some("")) => Ok(event.raw),
            ("endpoint", Some(place)) => {
                let (home, words) = ear.endpoint(place)?;
                let home = format!("{}{home}", self.before);
                self.words = Some(words);
                self.place = Some(home.clone());
                Ok(event.with(&home))
            }
            ("" | "message", Some(data)) => match self.message_or_instead(ear, data.as_bytes())? {
                Some(less) if less.is_empty() => Ok(Vec::new()),
                Some(less) => {
                    // What was taken out of a text leaves a text.
                    Ok(event.with(std::str::from_utf8(&less).map_err(|_| NOT_MCP)?))
                }
                None if event.is_odd() => Ok(event.with(data)),
                None => Ok(event.raw),
            },
            _ if ear.opaque => {
                self.not_understood = true;
                Ok(event.raw)
            }
            _ => Err(EVENT),
        }
    }

    /// One message of a stream. On one that others' answers come on too, what may not be seen does not end it: whoever waits
    /// for that message is told instead; a notification is left out (empty).
    fn message_or_instead(&mut self, ear: &Ear<'_>, text: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        let why = match self.message(ear, text) {
            Err(why) if self.answers.is_none() => why,
            read => return read,
        };
        let said = mcp::said(text).map_err(|why| why.0)?;
        self.note("refused-message", why)?;
        Ok(Some(match (said.what, &said.id) {
            (What::Request, Some(id)) => reply::rpc_request(id, NOT_PERMITTED),
            (What::Response { .. }, Some(id)) => reply::rpc_error(id, mcp::code::REFUSED, why, &[]),
            (What::Notification, _) | (_, None) => Vec::new(),
        }))
    }

    /// One message; what is left of it where something is taken out.
    fn message(&mut self, ear: &Ear<'_>, text: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        let said = mcp::said(text).map_err(|why| why.0)?;
        let answers = matches!(said.what, What::Response { .. });
        if answers && self.answers.is_some() && said.id.is_some() && said.id != self.answers {
            return Err(ANOTHER);
        }
        self.tool_failed |= answers && self.answers.is_some() && said.failed;
        self.answered |= answers && said.id.is_some() && said.id == self.answers;
        if let Some(want) = said.wants.iter().find(|want| !may_want(ear.resource, ear.who, want)) {
            return match (said.what, &said.id) {
                // The client answers that it knows no such method: the server hears it, and goes on.
                (What::Request, Some(id)) => {
                    self.note("refused-want", want)?;
                    Ok(Some(reply::rpc_request(id, NOT_PERMITTED)))
                }
                _ => Err(unwanted(want)),
            };
        }
        if said.prose && !ear.reads_prose() {
            return Err(PROSE);
        }
        match said.unknown {
            Some(why) if !ear.opaque => return Err(why),
            Some(_) => self.not_understood = true,
            None => {}
        }
        if let Some((_, handles)) = ear.resource.mcp() {
            said.tasks.iter().for_each(|task| handles.give(ear.who.run, &task_handle(task)));
        }
        let hidden = if said.tools.is_empty() { Vec::new() } else { self.hidden(ear, &said.tools)? };
        Ok(said.without_tools(text, &hidden))
    }

    /// Which tools the client is not shown.
    fn hidden(&mut self, ear: &Ear<'_>, tools: &[Listed]) -> Result<Vec<bool>, &'static str> {
        let Some((service, _)) = ear.resource.mcp() else { return Err(NOT_MCP) };
        let said = tools.iter().map(|tool| (tool.name.as_str(), tool.definition.as_str()));
        let seen = service.pins.see(said).map_err(|_| NO_PINS)?;
        let mut hidden = Vec::with_capacity(tools.len());
        for (tool, seen) in tools.iter().zip(seen) {
            let changed = seen == Seen::Changed;
            // Each run that is listed a changed tool has it in its record: the pin is on disk before the note is.
            match seen {
                Seen::First => self.note("tool-pinned", &tool.name)?,
                Seen::Changed if self.noted.insert(tool.name.clone()) => {
                    self.note("tool-changed", &tool.name)?
                }
                Seen::Changed | Seen::Same => {}
            }
            let routed = service.routes.iter().any(|route| route.tool() == tool.name);
            let on = ear.resource.root.join("tools").join(&tool.name);
            let refused = match routed {
                // What arguments may be is decided when they are there.
                true => ear.resource.gate.never(ear.who, Verb::Call, &on),
                false => always(ear.resource, ear.who, on) == Some(Verdict::Refuse),
            };
            hidden.push(refused || (changed && service.changed == Changed::Refuse));
        }
        Ok(hidden)
    }

    /// Errors: there is more to note than one piece of an answer may bring, and nothing is dropped.
    fn note(&mut self, what: &'static str, detail: &str) -> Result<(), &'static str> {
        if self.notes.len() == MCP_NOTES_MAX || self.noted.len() > PINS_MAX {
            return Err(TOO_MUCH);
        }
        self.notes.push((what, detail.to_owned()));
        Ok(())
    }

    /// Whether an answer is due that has not come.
    pub(super) fn is_unanswered(&self) -> bool {
        self.answers.is_some() && !self.answered
    }

    /// Takes the credential out of what is recorded of the stream.
    pub(super) fn without_place(&self, shown: &mut Vec<u8>) {
        let Some(place) = &self.place else { return };
        let Some(at) = memchr::memmem::find(shown, place.as_bytes()) else { return };
        shown.splice(at..at + place.len(), b"[place]".iter().copied());
    }

    /// Waits for what the gateway has to say on this stream, for ever if that is nothing.
    pub(super) async fn word(&mut self) -> Vec<u8> {
        if let Some(words) = &mut self.words
            && let Some(word) = words.recv().await
        {
            return word;
        }
        std::future::pending().await
    }

    /// Records what was noticed. What is released after it waits for a later record, and so for these.
    pub(super) fn record(&mut self, gate: &Gate, who: &Who, of: vocab::Seq) -> Result<(), GateError> {
        for (what, tool) in std::mem::take(&mut self.notes) {
            let _covered_by_the_next = gate.note_of(who, of, what, &tool)?;
        }
        Ok(())
    }
}

/// Whether some reader could take it for a message.
fn names_json_rpc(body: &[u8]) -> bool {
    body.windows(b"jsonrpc".len()).any(|word| word.eq_ignore_ascii_case(b"jsonrpc")) || body.contains(&b'\\')
}

fn unwanted(want: &str) -> &'static str {
    match want {
        "sampling" => "the server wants a model of its client's (sampling), and no rule permits that",
        "elicitation" => "the server wants to ask its client's user (elicitation), and no rule permits that",
        _ => "the server wants to know its client's roots, and no rule permits that",
    }
}

impl Ear<'_> {
    fn reads_prose(&self) -> bool {
        let config = &self.resource.config;
        self.opaque || config.masks.rules.is_empty() || config.text
    }

    /// Where the server wants messages sent (2024-11-05), as the client finds it behind the gateway; and the stream on
    /// which they are answered.
    fn endpoint(&self, place: &str) -> Result<(String, mpsc::Receiver<Vec<u8>>), &'static str> {
        let home = super::answer::at_home(self.resource, place.as_bytes());
        let home = home.as_deref().unwrap_or(place.as_bytes());
        let home = std::str::from_utf8(home).map_err(|_| ELSEWHERE)?;
        // A path, and no other host.
        let plain = home.bytes().all(|b| b.is_ascii_graphic());
        if !plain || !home.starts_with('/') || home.starts_with("//") {
            return Err(ELSEWHERE);
        }
        let Some((_, handles)) = self.resource.mcp() else { return Err(ELSEWHERE) };
        handles.give(self.who.run, home.as_bytes());
        match handles.was_given(self.who.run, home.as_bytes()) {
            true => Ok((home.to_owned(), handles.open(home.as_bytes()))),
            false => Err(ANOTHERS),
        }
    }
}

impl Resource {
    pub(super) fn mcp(&self) -> Option<(&McpService, &Handles)> {
        self.config.mcp.as_ref().map(|service| (service, &self.handles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_of_the_run_and_the_session_that_it_was_given_in_and_the_newest_are_known() {
        let (handles, one, other) = (Handles::default(), RunId([1; 16]), RunId([2; 16]));
        let known = |run, session: &str, event: &str| {
            handles.was_given_event(run, &event_handle(session.as_bytes(), event.as_bytes()))
        };
        let give = |run, event: usize| {
            handles.give_event(run, &event_handle(b"s", event.to_string().as_bytes()));
        };
        give(one, 0);
        assert!(known(one, "s", "0"));
        assert!(
            !known(other, "s", "0") && !known(one, "t", "0") && !known(one, "", "0") && !known(one, "s", "1")
        );
        give(other, 0);
        assert!(known(one, "s", "0") && !known(other, "s", "0"), "the first keeps it");
        (1..MCP_EVENTS_PER_RUN_MAX).for_each(|n| give(one, n));
        assert!(known(one, "s", "0"));
        give(one, MCP_EVENTS_PER_RUN_MAX);
        assert!(!known(one, "s", "0") && known(one, "s", &MCP_EVENTS_PER_RUN_MAX.to_string()));
        assert!(!handles.was_given(one, &event_handle(b"s", b"1")), "an event is no session");
    }
}
