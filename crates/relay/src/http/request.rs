//! What a request asks: its action, what of it is recorded, and the bytes that would go upstream.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gate::{Param, Piece, Question, Subject, Tripped, Tx};
use ledger::Print;
use mask::body::Body;
use mask::{Detectors, Known, Origin, Shape};
use proto_http::action::{self, Match};
use proto_http::frame::{Framing, Head, Headers, encode_chunk, encode_last_chunk, encode_request};
use proto_http::message::{Encoding, Media, Request, Target, hop_by_hop};
use vocab::{Access, Action, Class, Opaque, ResourcePath, Verb};
use wire::RawField;

use super::credential::strip;
use super::resource::Resource;
use super::session::{Cut, Session};
use crate::entropy;
use crate::limits::{HELD_BODY_BYTES_MAX, PRINTS_MAX};

/// A request, read and not yet decided.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) action: Action,
    pub(super) subject: Subject,
    pub(super) params: Arc<[Param]>,
    pub(super) prints: Vec<Print>,
    pub(super) context: policy::Context,
    /// The client's bytes: its head, and its body as far as it was held.
    raw: Vec<u8>,
    /// What would go upstream, without the credential that the writer adds.
    pub(super) sending: Vec<u8>,
    /// The body goes on behind what was held.
    pub(super) more: bool,
    /// Refused whatever policy says: status and reason.
    pub(super) refuse: Option<(u16, &'static str)>,
    looking: Option<Body>,
}

impl Session {
    /// Reads the request whose head is `head`.
    pub(super) async fn asked(&mut self, head: Head) -> Result<Asked, Cut> {
        let request = Request::new(head)?;
        self.to_head = request.method == proto_http::message::Method::Head;
        self.flow.on_request(&request)?;
        let (body, more) = self.held_body(request.framing, HELD_BODY_BYTES_MAX).await?;
        if !more {
            self.flow.on_request_end()?;
        }
        Asked::new(&self.resource, &mut self.known, &self.who, request, body.freeze(), more)
    }

    pub(super) fn question<'a>(&'a self, asked: &'a Asked) -> Question<'a> {
        Question {
            who: &self.who,
            via: "request",
            subject: &asked.subject,
            params: asked.params.clone(),
            prints: asked.prints.clone(),
            tx: Tx::Idle,
            asked: &asked.raw,
            sending: &asked.sending,
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
        body: Bytes,
        more: bool,
    ) -> Result<Asked, Cut> {
        let gate = &resource.gate;
        let detectors = gate.detectors();
        let seen = Seen::of(detectors, resource, &request, &body, more);
        let Target::Origin(origin) = &request.target else {
            return Err(Cut::told("asterisk", 501, "OPTIONS * is not passed on"));
        };
        let found = resource.config.routes.find(&request.method, &origin.path.segments);
        let on = action::path_of(&resource.root, found.as_ref(), &origin.path.segments);
        let (kind, verb) = (action::kind(&request.method), action::verb(&request.method));
        // Servers disagree about both: one drops `;x` from `/admin;x`, one takes the body of a GET for the next request.
        let parameters = origin.path.segments.iter().any(|segment| segment.contains(';'));
        let refuse = match verb {
            None => Some((501, "this method is not passed on")),
            Some(_) if request.upgrade => {
                Some((501, "another protocol was asked for, and none is passed on"))
            }
            Some(_) if parameters => Some((400, "a path with parameters (`;`) is not passed on")),
            Some(_) if request.has_meaningless_body() => {
                Some((400, "a body that its method gives no meaning is not passed on"))
            }
            Some(_) => None,
        };
        let action = Action {
            accesses: vec![Access { verb: verb.unwrap_or(Verb::Opaque), on, columns: Vec::new() }],
            functions: Vec::new(),
            kind: kind.unwrap_or("OTHER"),
            opaque: seen.opaque.map(Opaque),
        };
        let params = params(resource, known, &request, found.as_ref());
        seen.echo(known, detectors, &body);
        let prints = seen.prints(resource, detectors, &body);
        let statement = statement(&request, &seen, &body);
        let mut subject =
            Subject::new(detectors, action.clone(), mask::text(detectors, &statement).0, None, &[]);
        if more || seen.opaque.is_some() {
            subject = subject.hidden();
        }
        let classes: BTreeSet<Class> =
            seen.classes.iter().chain(params.iter().flat_map(|p| &p.classes)).cloned().collect();
        let largest = params.iter().map(|p| p.size.unsigned_abs()).chain([body.len() as u64]).max();
        let context = policy::Context {
            task: who.task.as_ref().map(|task| task.as_str().into()),
            resource_kind: "http".into(),
            kind: action.kind.into(),
            now: entropy::wall(),
            classes: classes.into_iter().collect(),
            values: params.len() as u64 + u64::from(!body.is_empty()),
            largest_value: largest.unwrap_or(0),
            ..policy::Context::default()
        };
        let sending = sending(resource, &request, &origin.raw, &body, more)?;
        let raw = [&request.raw[..], &body[..]].concat();
        let looking = seen.looking;
        Ok(Asked { request, action, subject, params, prints, context, raw, sending, more, refuse, looking })
    }

    /// The record of a further piece of the body, and its bytes as they go upstream. `None` ends the body.
    pub(super) fn piece(
        &mut self,
        resource: &Resource,
        n: u64,
        piece: Option<Bytes>,
    ) -> Result<(Vec<u8>, Piece), Cut> {
        let mut out = BytesMut::new();
        let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let mut tripwires = BTreeSet::new();
        if let (Some(piece), Some(looking)) = (&piece, &mut self.looking) {
            // What it would look like masked is not kept: only what was found.
            let nobody = Known::new(entropy::random());
            let looked = looking.push(resource.gate.detectors(), &nobody, piece);
            let unreadable = |why: mask::body::Unreadable| Cut::told("unreadable", 400, why.0);
            let _masked = looked.map_err(unreadable)?;
            tripwires = tripped(&looking.take_found(), "request");
        }
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

/// What could be seen of a body.
struct Seen {
    /// The body with what detectors and rules know replaced, for the record.
    text: String,
    classes: BTreeSet<Class>,
    /// Why it could not be looked into.
    opaque: Option<&'static str>,
    looking: Option<Body>,
}

impl Seen {
    fn of(detectors: &Detectors, resource: &Resource, request: &Request, body: &[u8], more: bool) -> Seen {
        let mut seen = Seen { text: String::new(), classes: BTreeSet::new(), opaque: None, looking: None };
        if body.is_empty() && !more {
            return seen;
        }
        let media = match kind_of(&request.media, &request.encodings) {
            Ok(media) => media,
            Err(why) => return Seen { opaque: Some(why), ..seen },
        };
        let mut looking = Body::new(media, resource.config.masks.clone(), BTreeSet::new());
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
                    Err(why) => return Seen { opaque: Some(why.0), ..seen },
                }
            }
            Err(why) => return Seen { opaque: Some(why.0), ..seen },
        };
        seen.classes = found.tripped.iter().map(|hit| hit.class.clone()).collect();
        let rules = &resource.config.masks;
        let governed = found.governed.iter().filter_map(|g| rules.get(g.rule));
        seen.classes.extend(governed.map(|rule| rule.class.clone()));
        seen.text = String::from_utf8_lossy(masked.as_bytes()).into_owned();
        seen
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

/// How a body is looked into. Errors: why it is not, a constant sentence.
pub(super) fn kind_of(media: &Media, encodings: &[Encoding]) -> Result<mask::body::Media, &'static str> {
    if encodings.iter().any(|encoding| *encoding != Encoding::Identity) {
        return Err("a body that is compressed");
    }
    match media {
        Media::Json => Ok(mask::body::Media::Json),
        Media::Ndjson => Ok(mask::body::Media::JsonLines),
        Media::Form => Ok(mask::body::Media::Form),
        Media::Multipart { boundary } => Ok(mask::body::Media::Multipart { boundary: boundary.clone() }),
        Media::EventStream => Ok(mask::body::Media::EventStream),
        Media::Text => Ok(mask::body::Media::Text),
        Media::Binary => Err("a body that is no text"),
        Media::None | Media::Unknown => Err("a body without a type"),
    }
}

/// What was found, for a record.
pub(super) fn tripped(found: &mask::body::Found, channel: &'static str) -> BTreeSet<Tripped> {
    let hit = |hit: &mask::body::Hit| Tripped {
        detector: hit.detector,
        class: hit.class.clone(),
        channel,
        act: match hit.act {
            mask::body::Act::Masked => "masked",
            mask::body::Act::Own => "own",
            mask::body::Act::Echo => "echo",
            mask::body::Act::Revealed => "revealed",
        },
    };
    found.tripped.iter().map(hit).collect()
}

/// The values of the query, and of the route's placeholders.
fn params(
    resource: &Resource,
    known: &mut Known,
    request: &Request,
    found: Option<&Match<'_>>,
) -> Arc<[Param]> {
    let Target::Origin(origin) = &request.target else { return Arc::default() };
    let query = origin.query.iter().flat_map(|query| &query.pairs).map(|(_, value)| value.as_bytes());
    let placed = found.into_iter().flat_map(|found| &found.values);
    let placed = placed.flat_map(|(_, values)| values.iter().map(|value| value.as_bytes()));
    let detectors = resource.gate.detectors();
    let param = |value: &[u8]| {
        known.remember(Origin::Echo, value);
        let (mask, findings) = mask::param(detectors, "parameter", Shape::Text, Some(value));
        let print = findings.first().map(|found| resource.gate.ledger().print(&found.class, value));
        let classes: BTreeSet<Class> = findings.into_iter().map(|found| found.class).collect();
        let (size, classes) = (value.len() as i64, classes.into_iter().collect());
        Param { kind: 0, format: 0, size, mask, classes, print }
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
    "content-type",
    "date",
    "dnt",
    "expect",
    "host",
    "pragma",
    "user-agent",
];

/// The request as people read it, before detectors have looked at it: line, fields that say something, and body.
fn statement(request: &Request, seen: &Seen, body: &[u8]) -> String {
    let Target::Origin(origin) = &request.target else { return String::new() };
    let method = String::from_utf8_lossy(request.method.as_bytes()).into_owned();
    let mut out = format!("{method} {}", String::from_utf8_lossy(origin.raw.as_bytes()));
    let mut headers = request.headers.clone();
    strip(&mut headers, &crate::config::Inject::Bearer);
    hop_by_hop(&mut headers);
    for (name, value) in headers.iter() {
        let name = String::from_utf8_lossy(name.as_bytes()).to_ascii_lowercase();
        if UNSAID.contains(&name.as_str()) {
            continue;
        }
        // A cookie is a credential of the service's for this session.
        let value = match name.as_str() {
            "cookie" => "[cookie]".into(),
            _ => String::from_utf8_lossy(value.as_bytes()),
        };
        out.push_str(&format!(" | {name}: {value}"));
    }
    match (seen.opaque, body.is_empty()) {
        (None, true) => {}
        (None, false) => out.push_str(&format!(" | {}", seen.text.trim())),
        (Some(why), _) => out.push_str(&format!(" | [{why}: {} bytes or more]", body.len())),
    }
    out
}

/// What the client says that is not passed on: what the gateway says itself, and who the client claims to be.
const OURS: &[&str] = &[
    "host",
    "content-length",
    "expect",
    "accept-encoding",
    "range",
    "if-range",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
    "x-forwarded-user",
    "x-remote-user",
    "remote-user",
];

fn sending(
    resource: &Resource,
    request: &Request,
    target: &RawField,
    body: &[u8],
    more: bool,
) -> Result<Vec<u8>, Cut> {
    let config = &resource.config;
    let mut own = request.headers.clone();
    strip(&mut own, &config.inject);
    hop_by_hop(&mut own);
    OURS.iter().for_each(|name| {
        own.remove(name);
    });
    let text = |text: &str| RawField::copy_from(text.as_bytes());
    let mut headers = Headers::new();
    headers.push(text("Host"), text(&config.upstream.authority));
    own.iter().for_each(|(name, value)| headers.push(name.clone(), value.clone()));
    headers.push(text("Accept-Encoding"), text("identity"));
    let chunked = more && request.framing == Framing::Chunked;
    match (request.framing, more) {
        (Framing::Chunked, true) => headers.push(text("Transfer-Encoding"), text("chunked")),
        (Framing::Length(length), true) => headers.push(text("Content-Length"), text(&length.to_string())),
        (Framing::None, _) => {}
        _ => headers.push(text("Content-Length"), text(&body.len().to_string())),
    }
    let target = [config.upstream.base.as_bytes(), target.as_bytes()].concat();
    let mut out = BytesMut::new();
    encode_request(&mut out, request.method.as_bytes(), &target, &headers)?;
    match chunked {
        true => encode_chunk(&mut out, body),
        false => out.extend_from_slice(body),
    }
    Ok(out.to_vec())
}

/// Where a rule's values stand, for records: the rule's own path, which holds nothing of the client's.
pub(super) fn place(resource: &Resource, rule: usize) -> ResourcePath {
    let path = resource.config.mask_paths.get(rule).map_or("$", String::as_str);
    resource.root.join(path)
}
