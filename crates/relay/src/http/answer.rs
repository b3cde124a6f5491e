//! An answer, from upstream's head to the client's last byte: each piece masked, decided, recorded, and then released.
//!
//! An answer under [`CHUNK_BYTES`] is one outcome record, and leaves with a length; a longer one, or one that streams,
//! leaves in pieces, each after its record. While one waits for its record, the next is read and masked.

use std::collections::BTreeSet;
use std::slice::from_ref;

use gate::{Decided, Ground, Outcome, Piece, Release};
use ledger::{Code, Durable, Map, PayloadPlain};
use mask::{MaskedBytes, MaskedText, Shape};
use proto_http::frame::{Framing, Headers, Incoming, encode_last_chunk, encode_response};
use proto_http::llm::{self, Dialect};
use proto_http::message::{Media, Request, Response, Target, hop_by_hop, latin_in_utf8};
use proto_http::session::Seen;
use proto_http::two::reads_trailers;
use proto_http::websocket::Kind;
use vocab::{Class, Group, Seq, Verb, Verdict};
use wire::RawField;

use super::coded::{Undoing, weak};
use super::decide::Denied;
use super::look::Looking;
use super::mcp::{ELSEWHERE, Ear, Listening};
use super::model::Reading;
use super::problem::Problem;
use super::request::{Asked, kind_of, readable};
use super::resource::Resource;
use super::scrub::Scrub;
use super::session::{Cut, Session, cut_short};
use super::tags::is_digest;
use crate::alike::unsaid;
use crate::awaited::Awaited;
use crate::config::{Reel, Tripwire};
use crate::entropy;
use crate::limits::{
    CHUNK_BYTES, EVENTS_PAUSE, HTTP_ANSWER, MODEL_BODY_BYTES_MAX, ON_AND_ON, RECORD, REFUSAL_RECORD,
};

const HELD_BACK: &str = "policy holds back the answer";
pub(super) const NOT_SEEN: &str = "the answer cannot be looked into, and no rule permits that";
pub(super) const NOT_JSON: &str = "the answer is not JSON, and the rules of this service name places in JSON";
pub(super) const CREDENTIAL: &str = "the service's own credential stands in an answer that is opaque";
const CREDENTIAL_NAMED: &str = "the service's own credential stands in a field's name";
const PART: &str = "the service answered with a part, and a value could be cut in two";
const TWO_SESSIONS: &str = "the server gives its client two sessions at once";
pub(super) const NEW_POLICY: &str = "policy has changed since this was asked: ask again";
const TRIPPED: &str = "a detector found a value that no rule governs";

/// What the record has of a field in whose name a value stands.
const HELD_NAME: &str = "[not passed on]";

/// An answer on its way.
pub(super) struct Answer {
    response: Response,
    pub(super) looking: Looking,
    /// Masked, and not yet released.
    pub(super) held: MaskedBytes,
    /// Recorded before it.
    recorded: Option<Recorded>,
    /// Its head is made, and recorded.
    begun: bool,
    /// It answers what was no read.
    writes: bool,
    /// It goes on until somebody ends it, and may be silent for long.
    patient: bool,
    /// Its status says that nothing was done.
    says_no: bool,
    /// No body follows the head, whatever it says.
    pub(super) bodyless: bool,
    /// Released as it comes, and not when there is enough of it.
    streams: bool,
    /// Leaves in chunks; else with a length, or until the connection ends.
    chunked: bool,
    /// So many bytes and pieces of the body have left.
    pub(super) bytes: u64,
    pub(super) pieces: u64,
    pub(super) approved: BTreeSet<Group>,
    /// How many bytes of the body replay may still show; `None`: it shows nothing of any answer.
    reel_left: Option<u64>,
    /// Of a model: what it decides.
    reading: Option<Reading>,
    /// Of a server of MCP: its messages, each read whole before anything else looks at it.
    listening: Option<Listening>,
    undoing: Undoing,
    pub(super) scrub: Scrub,
    /// Whether the client has said that it reads fields behind a body, and those that came.
    trailing: bool,
    trailers: Headers,
    /// A `101`: what the client is told of the WebSocket.
    pub(super) opens: Option<Headers>,
    /// Behind it, the kind of the message in work.
    pub(super) message: Option<Kind>,
    /// Of a WebSocket: the last bytes of the messages so far, as the service said them.
    pub(super) said: Vec<u8>,
}

/// A piece that leaves once its record is durable.
struct Recorded {
    record: Awaited,
    bytes: MaskedBytes,
    /// It is the last, and its record the outcome.
    last: bool,
}

/// What leaves around a piece of the body, masked.
pub(super) struct Around {
    /// Before the first piece, and as replay shows it.
    head: Option<(MaskedBytes, MaskedText)>,
    /// Behind the last one, where fields stand there: what ends the chunks, and as replay shows them.
    tail: Option<(MaskedBytes, MaskedText)>,
}

impl Around {
    /// What leaves stands alone.
    pub(super) fn nothing() -> Around {
        Around { head: None, tail: None }
    }

    /// The bytes of the fields behind the body.
    fn trailing(&self) -> u64 {
        let tail = self.tail.as_ref().map_or(0, |(tail, _)| tail.as_bytes().len());
        tail.saturating_sub(LAST_CHUNK.len()) as u64
    }
}

/// The end of a body in chunks that nothing stands behind.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What comes next of an answer.
enum Next {
    /// Upstream says it.
    Said(Incoming),
    /// The gateway had something to say on this stream, and has said it.
    Word,
    /// Nothing, for as long as events wait for it.
    Pause,
}

/// What is about to leave, as policy hears of it: classes that were found so far, hits and bytes.
pub(super) struct Leaving<'a> {
    pub(super) classes: &'a BTreeSet<Class>,
    pub(super) hits: u64,
    pub(super) bytes: u64,
}

/// Why an answer stays here.
pub(super) enum Stays {
    /// Policy or a person says so, or what was found.
    Denied(Denied),
    /// It is not what it says it is, or cannot be looked into: status and reason.
    Unreadable(u16, &'static str),
}

impl Session {
    /// Carries the answer to intent `of` to its end. `false`: the connection carries no other request.
    pub(super) async fn answer(&mut self, asked: &Asked, decided: &Decided, of: Seq) -> Result<bool, Cut> {
        let response = self.final_head(asked.switches()).await?;
        if let (101, Some(tunnel)) = (response.status, asked.tunnel()) {
            return self.joined(asked, decided, of, response, tunnel).await;
        }
        if let (101, Some(opening)) = (response.status, &asked.opening) {
            return self.switched(asked, decided, of, response, opening).await;
        }
        let mut answer = match self.begin(asked, response) {
            Ok(answer) => answer,
            Err(stays) => return self.withhold(asked, decided, of, None, stays).await,
        };
        loop {
            let gathered = self.gather(&mut answer).await;
            if !matches!(gathered, Ok(Ok(_))) {
                self.leave(&mut answer).await?;
            }
            if matches!(&gathered, Err(cut) if cut.why == "client-closed") && answer.has_said_all() {
                self.settle_left(&mut answer, of).await?;
            }
            let over = match gathered? {
                Ok(over) => over,
                Err(stays) => return self.withhold(asked, decided, of, Some(answer), stays).await,
            };
            // What stands in the head or behind the body is found before policy is asked, and is in this piece's record.
            let around = match self.around(&mut answer, over) {
                Ok(around) => around,
                Err(cut) => {
                    self.leave(&mut answer).await?;
                    return Err(cut);
                }
            };
            if self.resource.gate.decides_releases(&self.who) {
                // A person may be asked, and what was let out before does not wait for that.
                self.leave(&mut answer).await?;
            }
            if let Some(denied) = self.may_leave(asked, &mut answer, &around, of).await? {
                self.leave(&mut answer).await?;
                return self.withhold(asked, decided, of, Some(answer), Stays::Denied(denied)).await;
            }
            if over {
                // Its outcome says what came of it: nothing is on its way any more then.
                self.leave(&mut answer).await?;
            }
            let next = self.record(&mut answer, around, of, over);
            self.leave(&mut answer).await?;
            answer.recorded = Some(next?);
            // The gateway's own words may come between a server's messages, and not into one.
            if over || answer.listening.is_some() {
                self.leave(&mut answer).await?;
            }
            if over {
                break;
            }
        }
        let after = self.flow.on_response_end()?;
        // A service that puts a body behind one of these would have it read as the next answer.
        // A cluster that does not know the credential any more may know the next one.
        let renews = asked.call.is_some() && self.status == 401;
        self.spent |= !after.upstream || answer.bodyless || asked.tunnel().is_some() || renews;
        Ok(after.client && (answer.chunked || answer.bodyless || answer.pieces == 0))
    }

    /// The outcome of an exchange whose client left behind what it had asked for, before the service had ended the stream: many
    /// clients do, and nothing of it is unknown.
    async fn settle_left(&mut self, answer: &mut Answer, of: Seq) -> Result<(), Cut> {
        let gate = self.resource.gate.clone();
        if let Some(listening) = &mut answer.listening {
            listening.record(&gate, &self.who, of).map_err(|e| self.unrecorded(e))?;
        }
        let taken = answer.looking.take(&self.resource, false);
        let outcome = answer.outcome(&gate, &self.who, taken);
        let receipt = gate.outcome(&self.who, of, outcome).map_err(|e| self.unrecorded(e))?;
        let _recorded = self.durable(receipt, RECORD).await?;
        self.open = None;
        Ok(())
    }

    /// The response, behind any interim ones. Those are dropped: what they say (early hints) nobody needs. `switches`: a
    /// `101` is one.
    async fn final_head(&mut self, switches: bool) -> Result<Response, Cut> {
        loop {
            let response = match self.upstream_next().await? {
                Incoming::Head(head) => Response::new(head)?,
                // An interim response ends behind its head.
                Incoming::End => continue,
                _ => return Err(Cut::upstream("the service behind the gateway closed the connection")),
            };
            if switches && response.status == 101 {
                self.flow.on_switch()?;
                self.status = response.status;
                return Ok(response);
            }
            match self.flow.on_response(&response)? {
                Seen::Final => {
                    self.status = response.status;
                    return Ok(response);
                }
                Seen::Show | Seen::Drop => {}
            }
        }
    }

    /// How the answer is looked at, by what its head says. Errors: it is not.
    pub(super) fn begin(&mut self, asked: &Asked, response: Response) -> Result<Answer, Stays> {
        let resource = self.resource.clone();
        let bodyless = self.to_head || response.framing == Framing::None;
        // Policy is asked only where it matters: an evaluation costs more than the rest of a small answer.
        let permitted = || resource.gate.permits_opaque(&self.who, resource.config.kind());
        // A part of an answer: a value could be cut in two.
        if response.status == 206 || response.headers.contains("content-range") {
            return Err(Stays::Unreadable(502, PART));
        }
        if self.names_credential(&response.headers) {
            return Err(Stays::Unreadable(502, CREDENTIAL_NAMED));
        }
        // What a server of MCP says beside `202 Accepted` says nothing, and stays here.
        let empty = bodyless || response.framing == Framing::Length(0);
        let nothing = empty || (resource.config.mcp.is_some() && response.status == 202);
        let (kind, streams) = match &asked.call {
            Some(call) => {
                call.media(&response).map_or_else(|why| (Err(why), false), |(media, on)| (Ok(media), on))
            }
            None => (kind_of(&response.media, &response.encodings), streams(&response)),
        };
        let media = match kind {
            _ if nothing => Some(mask::body::Media::Text),
            // Rules name places in JSON. Which representation it gets, the agent may choose: one without such places is
            // not understood.
            Ok(media) if !resource.config.speaks_to(&media) && !permitted() => {
                return Err(Stays::Unreadable(502, NOT_JSON));
            }
            Ok(media) => Some(media),
            Err(_) if permitted() => None,
            Err(_) => return Err(Stays::Unreadable(502, NOT_SEEN)),
        };
        let masks = asked.call.as_ref().map(|call| call.masks_of(&resource, response.status));
        let masks = masks.unwrap_or_else(|| asked.masks.clone());
        let revealed = resource.gate.reveals(&self.who, &asked.context, &masks.classes());
        let mut looking = Looking::new(&resource, &masks, media, revealed);
        looking.of_kind = asked.call.as_ref().and_then(|call| call.kind());
        looking.by_program = asked.call.as_ref().is_some_and(|call| call.reads_log());
        let listening = match resource.mcp() {
            Some((_, handles)) => {
                let sessions: Vec<&RawField> = response.headers.all(proto_http::mcp::SESSION).collect();
                if sessions.len() > 1 {
                    return Err(Stays::Unreadable(502, TWO_SESSIONS));
                }
                sessions.iter().for_each(|session| handles.give(self.who.run, session.as_bytes()));
                let home = |to: &RawField| at_home(&resource, to.as_bytes());
                let elsewhere = |to| home(to).is_none_or(|home| home.starts_with(b"//"));
                let away = response.headers.all("location").any(elsewhere);
                if away {
                    return Err(Stays::Unreadable(502, ELSEWHERE));
                }
                let rpc = asked.rpc.as_ref();
                let listening = Listening::new(&response.media, response.status, empty, rpc);
                let listening = listening.map_err(|why| Stays::Unreadable(502, why))?;
                let session = sessions.first().copied();
                let session = session.or_else(|| asked.request.headers.get(proto_http::mcp::SESSION));
                Some(listening.of(session.map(RawField::as_bytes), self.entry.before(&resource)))
            }
            None => None,
        };
        let says_no = asked.call.as_ref().is_some_and(|call| call.says_no(&response));
        let is_answer = response.status < 400 && !bodyless;
        let events = response.media == Media::EventStream;
        let turn = asked.conversation.as_ref().map(|turn| Reading::new(turn, events));
        let kept = || kept(&self.resource, &asked.request).map(|dialect| Reading::kept(dialect, events));
        Ok(Answer {
            reading: turn.or_else(kept).filter(|_| is_answer),
            listening,
            undoing: Undoing::of_answer(&response),
            scrub: Scrub::default(),
            opens: None,
            message: None,
            said: Vec::new(),
            trailing: reads_trailers(&asked.request.headers) && self.flow.client_reads_chunks(),
            trailers: Headers::new(),
            response,
            looking,
            held: mask::constant(b""),
            recorded: None,
            begun: false,
            writes: writes(asked),
            patient: asked.call.as_ref().is_some_and(|call| call.goes_on()),
            says_no,
            bodyless,
            streams,
            chunked: false,
            bytes: 0,
            pieces: 0,
            approved: BTreeSet::new(),
            reel_left: match resource.config.reel {
                Reel::Full => Some(u64::MAX),
                Reel::Head { bytes } => Some(bytes),
                Reel::None => None,
            },
        })
    }

    /// Reads and masks until there is enough for a piece, or the answer is over (`true`).
    async fn gather(&mut self, answer: &mut Answer) -> Result<Result<bool, Stays>, Cut> {
        // Who watches learns at once that it does, whenever something happens: until then a client cannot even stop.
        if answer.patient && answer.response.status == 200 && !answer.bodyless && !answer.begun {
            return Ok(Ok(false));
        }
        let resource = self.resource.clone();
        loop {
            let next = match answer.undoing.next() {
                Ok(Some(piece)) => Incoming::Body(piece),
                Ok(None) => match self.next_or_word(answer).await? {
                    Next::Word => continue,
                    Next::Pause => {
                        let masked = answer.looking.let_go(&resource, &self.who, &mut self.known);
                        if let Err(why) = answer.take(&resource, &self.who, masked, false) {
                            return Ok(Err(Stays::Unreadable(502, why)));
                        }
                        match answer.held.as_bytes() {
                            [] => continue,
                            _ => return Ok(Ok(false)),
                        }
                    }
                    Next::Said(Incoming::Body(piece)) => {
                        answer.undoing.push(piece);
                        continue;
                    }
                    Next::Said(next) => next,
                },
                Err(why) => return Ok(Err(Stays::Unreadable(502, why))),
            };
            let (piece, over) = match next {
                Incoming::Body(piece) => (answer.scrub.push(&self.needles, &piece), false),
                Incoming::Trailers(trailers) => {
                    if answer.trailing && self.names_credential(&trailers) {
                        return Ok(Err(Stays::Unreadable(502, CREDENTIAL_NAMED)));
                    }
                    if answer.trailing {
                        answer.trailers = trailers;
                    }
                    continue;
                }
                Incoming::End => {
                    if let Err(why) = answer.undoing.finish() {
                        return Ok(Err(Stays::Unreadable(502, why)));
                    }
                    (answer.scrub.finish(&self.needles), true)
                }
                Incoming::NeedMore | Incoming::Head(_) | Incoming::Closed => {
                    return Err(Cut::upstream("the service behind the gateway closed the connection"));
                }
            };
            let masked = answer.look(&resource, &self.who, &mut self.known, piece, over);
            if answer.scrub.found && answer.looking.is_opaque() {
                return Ok(Err(Stays::Unreadable(502, CREDENTIAL)));
            }
            let taken = masked.and_then(|masked| answer.take(&resource, &self.who, masked, over));
            if let Err(why) = taken {
                return Ok(Err(Stays::Unreadable(502, why)));
            }
            let some = answer.held.as_bytes().len();
            // What has come and is no body is at most the end of a chunk.
            let came = answer.streams && some > 0 && self.upstream.input.len() <= b"\r\n".len();
            let holds = answer.reading.as_ref().is_some_and(Reading::holds);
            if holds && some > MODEL_BODY_BYTES_MAX {
                return Ok(Err(Stays::Unreadable(
                    502,
                    "a model's answer that is larger than the gateway reads",
                )));
            }
            if over || !holds && (some >= CHUNK_BYTES || came) {
                return Ok(Ok(over));
            }
        }
    }

    /// Whether the service's own credential stands in a name, where nothing can take its place.
    fn names_credential(&self, headers: &Headers) -> bool {
        headers.iter().any(|(name, _)| self.needles.stands_in_name(name.as_bytes()))
    }

    /// What comes next. What is recorded leaves meanwhile.
    async fn next_or_word(&mut self, answer: &mut Answer) -> Result<Next, Cut> {
        if let Some(mut recorded) = answer.recorded.take() {
            let durable = tokio::select! {
                biased;
                durable = recorded.record.durable() => durable,
                next = self.said_or_word(answer) => {
                    answer.recorded = Some(recorded);
                    return next;
                }
            };
            self.behind(durable, recorded).await?;
        }
        self.said_or_word(answer).await
    }

    async fn said_or_word(&mut self, answer: &mut Answer) -> Result<Next, Cut> {
        let listening = match &mut answer.listening {
            Some(listening) if self.answering => listening,
            // The events of a model's answer are pieces of a text: the next one is worth waiting for.
            _ if answer.reading.is_none() && answer.looking.waits() => {
                let next = tokio::time::timeout(EVENTS_PAUSE, self.upstream_next()).await;
                return next.map_or(Ok(Next::Pause), |next| next.map(Next::Said));
            }
            _ => {
                let most = if answer.patient { ON_AND_ON } else { HTTP_ANSWER };
                return self.upstream_within(most).await.map(Next::Said);
            }
        };
        tokio::select! {
            biased;
            word = listening.word() => {
                // Nothing of the service's is in it.
                self.to_client.say_event(&word, answer.chunked);
                self.drain_client().await.map(|()| Next::Word)
            }
            next = self.upstream_next() => next.map(Next::Said),
        }
    }

    /// Whether policy, people and the tripwire let out what is held.
    pub(super) async fn may_leave(
        &mut self,
        asked: &Asked,
        answer: &mut Answer,
        around: &Around,
        of: Seq,
    ) -> Result<Option<Denied>, Cut> {
        let bytes = answer.bytes + answer.held.as_bytes().len() as u64 + around.trailing();
        let leaving = Leaving { classes: &answer.looking.classes, hits: answer.looking.hits, bytes };
        self.may_go(asked, leaving, &mut answer.approved, of).await
    }

    /// The same of anything.
    pub(super) async fn may_go(
        &mut self,
        asked: &Asked,
        leaving: Leaving<'_>,
        approved: &mut BTreeSet<Group>,
        of: Seq,
    ) -> Result<Option<Denied>, Cut> {
        let gate = self.resource.gate.clone();
        // What a rule that is new forbids in a collection was not asked about.
        if asked.call.as_ref().is_some_and(|call| call.reads() && call.is_stale(&self.resource)) {
            let ground = Ground { action: &asked.action, context: &asked.context, release: None };
            let decided = unsaid(gate.verdict(&self.who, &ground, &BTreeSet::new()));
            return Ok(Some(Denied {
                decided: Box::new(decided),
                why: NEW_POLICY,
                status: 403,
                of: Some(of),
            }));
        }
        let context = policy::Context {
            classes: leaving.classes.iter().cloned().collect(),
            // A stream is decided as of now, however long ago it was asked for.
            now: entropy::wall(),
            ..asked.context.clone()
        };
        let release = Some(policy::Release { rows: 0, bytes: leaving.bytes, tripwires: leaving.hits });
        let ground = Ground { action: &asked.action, context: &context, release };
        if leaving.hits > 0 && self.resource.config.tripwire == Tripwire::Cut {
            let decided = gate.verdict(&self.who, &Ground { release: None, ..ground }, &BTreeSet::new());
            let decided = unsaid(decided);
            return Ok(Some(Denied { decided: Box::new(decided), why: TRIPPED, status: 502, of: Some(of) }));
        }
        if !gate.decides_releases(&self.who) {
            return Ok(None);
        }
        let decided = gate.verdict(&self.who, &ground, approved);
        match decided.verdict {
            Verdict::Allow => Ok(None),
            Verdict::Refuse => {
                Ok(Some(Denied { decided: Box::new(decided), why: HELD_BACK, status: 403, of: Some(of) }))
            }
            Verdict::Ask(_) => match self.ask(asked, decided, &ground, Some(of)).await? {
                Ok((decided, _)) => {
                    *approved = decided.approved.clone();
                    Ok(None)
                }
                Err(denied) => Ok(Some(denied)),
            },
        }
    }

    /// The head before what is held, where it has not left, and what stands behind it, if it is the `last`.
    pub(super) fn around(&mut self, answer: &mut Answer, last: bool) -> Result<Around, Cut> {
        let tail = if last { self.tail(answer)? } else { None };
        let head = match answer.begun {
            true => None,
            false => {
                let length = answer.held.as_bytes().len() as u64;
                Some(self.head(answer, last.then_some(length).filter(|_| tail.is_none()))?)
            }
        };
        Ok(Around { head, tail })
    }

    /// Records what is held and stands around it, and releases it.
    pub(super) async fn let_out(&mut self, answer: &mut Answer, around: Around, of: Seq) -> Result<(), Cut> {
        answer.recorded = Some(self.record(answer, around, of, false)?);
        self.leave(answer).await
    }

    /// Lets go what is recorded, as soon as it may.
    async fn leave(&mut self, answer: &mut Answer) -> Result<(), Cut> {
        match answer.recorded.take() {
            Some(mut recorded) => {
                let durable = recorded.record.durable().await;
                self.behind(durable, recorded).await
            }
            None => Ok(()),
        }
    }

    /// What leaves behind its record, if that is durable.
    async fn behind(&mut self, durable: Option<Durable>, piece: Recorded) -> Result<(), Cut> {
        let durable = durable.ok_or_else(|| self.no_record())?;
        if piece.last {
            self.open = None;
        }
        if let Some(why) = *self.ended.borrow() {
            return Err(cut_short(why));
        }
        self.answering = true;
        self.to_client.send(Release::after(durable, piece.bytes));
        self.drain_client().await
    }

    /// Records what is held and stands around it. `last`: with the outcome.
    fn record(&mut self, answer: &mut Answer, around: Around, of: Seq, last: bool) -> Result<Recorded, Cut> {
        let trailing = around.trailing();
        let (head, head_shown) = around.head.unzip();
        let (tail, trailers_shown) = around.tail.unzip();
        let body = std::mem::replace(&mut answer.held, mask::constant(b""));
        let length = body.as_bytes().len() as u64;
        let taken = answer.looking.take(&self.resource, false);
        let reel = answer.reel(self.resource.gate.detectors(), &body, head_shown, trailers_shown);
        let reel: Vec<_> = reel.into_iter().collect();
        answer.bytes += length + trailing;
        let framed = match (answer.bodyless, answer.chunked, last) {
            (true, ..) => mask::constant(b""),
            _ if answer.message.is_some() => mask::message(body, answer.message == Some(Kind::Text)),
            (false, false, _) => body,
            (false, true, false) => mask::chunk(body),
            (false, true, true) => mask::chunk(body).then(tail.unwrap_or_else(|| mask::constant(LAST_CHUNK))),
        };
        let gate = self.resource.gate.clone();
        if let Some(reading) = &mut answer.reading {
            reading.decide(&gate, &self.who, of).map_err(|e| self.unrecorded(e))?;
        }
        if let Some(listening) = &mut answer.listening {
            listening.record(&gate, &self.who, of).map_err(|e| self.unrecorded(e))?;
        }
        let receipt = match last {
            false => {
                let piece = Piece {
                    n: answer.pieces,
                    to: "client",
                    bytes: length,
                    exposures: taken.exposures,
                    tripwires: taken.tripwires,
                    filter: taken.filter,
                    reel,
                    ..Piece::default()
                };
                answer.pieces += 1;
                gate.piece(&self.who, of, piece)
            }
            true => {
                let outcome = answer.outcome(&gate, &self.who, taken);
                gate.outcome(&self.who, of, Outcome { reel, ..outcome })
            }
        };
        let receipt = receipt.map_err(|e| self.unrecorded(e))?;
        answer.begun = true;
        let bytes = head.unwrap_or_else(|| mask::constant(b"")).then(framed);
        Ok(Recorded { record: Awaited::new(receipt), bytes, last })
    }

    /// What ends the chunks where fields came behind them, and those as they are recorded.
    fn tail(&mut self, answer: &mut Answer) -> Result<Option<(MaskedBytes, MaskedText)>, Cut> {
        let mut trailers = std::mem::take(&mut answer.trailers);
        hop_by_hop(&mut trailers);
        let trailers = passed_on(&trailers);
        if trailers.is_empty() || answer.bodyless {
            return Ok(None);
        }
        let detectors = self.resource.gate.detectors().clone();
        let key = self.resource.gate.ledger().filter_key();
        let (mut own, mut recorded) = (Headers::new(), Vec::new());
        for (name, value) in trailers.iter() {
            let (name_shown, found) = answer.looking.name(&detectors, &self.known, name.as_bytes());
            if found {
                recorded.push(format!("{name_shown}: {HELD_NAME}"));
                continue;
            }
            let clean = self.needles.without(value.as_bytes());
            let value = clean.map_or_else(|| value.clone(), |clean| RawField::new(clean.into()));
            let value = self.header(&mut answer.looking, &detectors, &value);
            answer.looking.beside(&key, name.as_bytes(), value.as_bytes());
            recorded.push(format!("{name_shown}: {}", shown(name, &value)));
            own.push(name.clone(), value);
        }
        let mut out = bytes::BytesMut::new();
        encode_last_chunk(&mut out, &own)?;
        let tail = self.let_see(&mut answer.looking, out.to_vec())?;
        Ok(Some((tail, mask::lines(&detectors, &recorded.join("\n")))))
    }

    /// Bytes of a head or of trailers, looked at once more as they leave.
    pub(super) fn let_see(&self, looking: &mut Looking, out: Vec<u8>) -> Result<MaskedBytes, Cut> {
        let whole = 0..out.len();
        let detectors = self.resource.gate.detectors();
        let seen = mask::release(detectors, out, from_ref(&whole), &self.known, &mut Vec::new());
        let (bytes, explained) = seen.map_err(|_| {
            Cut::told("leak", 502, "a value was found in the answer's head that could not be masked")
        })?;
        explained.iter().for_each(|(finding, origin)| looking.passed(finding, *origin, "header"));
        Ok(bytes)
    }

    /// The head as it leaves, and as it is recorded. `length`: of the body, where all of it is at hand and nothing comes
    /// behind it.
    fn head(&mut self, answer: &mut Answer, length: Option<u64>) -> Result<(MaskedBytes, MaskedText), Cut> {
        let detectors = self.resource.gate.detectors().clone();
        let mut headers = answer.response.headers.clone();
        hop_by_hop(&mut headers);
        let mut headers = passed_on(&headers);
        if answer.undoing.undoes() {
            headers.remove("content-encoding");
        }
        if answer.opens.is_some() {
            // It was for the gateway's key.
            headers.remove("sec-websocket-accept");
        }
        let key = self.resource.gate.ledger().filter_key();
        let mut own = Headers::new();
        let mut recorded =
            format!("{} {}", answer.response.status, readable(answer.response.reason.as_bytes()));
        for (name, value) in headers.iter() {
            let (name_shown, found) = answer.looking.name(&detectors, &self.known, name.as_bytes());
            if found {
                recorded.push_str(&format!("\n{name_shown}: {HELD_NAME}"));
                continue;
            }
            let value = match readable(name.as_bytes()).to_ascii_lowercase().as_str() {
                // Through the proxy, the client is where the service says that it is.
                "location" | "content-location" if !self.entry.is_proxy() => {
                    let home = at_home(&self.resource, value.as_bytes());
                    home.map_or_else(|| value.clone(), |home| RawField::new(home.into()))
                }
                "etag" => {
                    let tag = if answer.undoing.undoes() { weak(value) } else { value.clone() };
                    let Some(sealed) = self.resource.tags.seal(self.who.run, tag.as_bytes()) else {
                        continue;
                    };
                    sealed
                }
                // It was read as UTF-8, which such a stream is; a reader of another charset sees other lines.
                "content-type" if answer.response.media == Media::EventStream => {
                    RawField::from_static(b"text/event-stream")
                }
                "content-type" if answer.undoing.is_latin() => latin_in_utf8(value.as_bytes())
                    .map_or_else(|| value.clone(), |said| RawField::new(said.into())),
                _ => value.clone(),
            };
            let value =
                self.needles.without(value.as_bytes()).map_or(value, |clean| RawField::new(clean.into()));
            let value = self.header(&mut answer.looking, &detectors, &value);
            if name.as_bytes().eq_ignore_ascii_case(b"set-cookie") {
                self.run.cookies.set(&self.resource.config.name, value.as_bytes());
            }
            answer.looking.beside(&key, name.as_bytes(), value.as_bytes());
            recorded.push_str(&format!("\n{name_shown}: {}", shown(name, &value)));
            own.push(name.clone(), value);
        }
        let text = |text: &str| RawField::copy_from(text.as_bytes());
        let minor_1 = self.flow.client_reads_chunks();
        match length {
            _ if answer.bodyless => {}
            Some(length) => own.push(text("Content-Length"), text(&length.to_string())),
            None if minor_1 => {
                answer.chunked = true;
                own.push(text("Transfer-Encoding"), text("chunked"));
            }
            None => {}
        }
        if let Some(opens) = &answer.opens {
            opens.iter().for_each(|(name, value)| own.push(name.clone(), value.clone()));
            return self.whole_head(answer, &own, &recorded);
        }
        let keeps = self.flow.may_keep_client() && (answer.bodyless || length.is_some() || answer.chunked);
        own.push(text("Connection"), text(if keeps { "keep-alive" } else { "close" }));
        self.whole_head(answer, &own, &recorded)
    }

    /// The head of these fields, as it leaves and as it is recorded.
    fn whole_head(
        &self,
        answer: &mut Answer,
        own: &Headers,
        recorded: &str,
    ) -> Result<(MaskedBytes, MaskedText), Cut> {
        let detectors = self.resource.gate.detectors().clone();
        let key = self.resource.gate.ledger().filter_key();
        let mut out = bytes::BytesMut::new();
        let reason = self.needles.without(answer.response.reason.as_bytes());
        let reason = reason.as_deref().unwrap_or(answer.response.reason.as_bytes()).to_vec();
        // It says nothing that the status does not: with a value in it, it stays here.
        let line = [format!("HTTP/1.1 {} ", answer.response.status).as_bytes(), &reason].concat();
        let found = answer.looking.field(&detectors, &self.known, &line).is_some();
        let reason = if found { b"" } else { &reason[..] };
        encode_response(&mut out, answer.response.status, reason, own)?;
        answer.looking.beside(&key, b"", reason);
        let head = self.let_see(&mut answer.looking, out.to_vec())?;
        Ok((head, mask::lines(&detectors, recorded)))
    }

    /// A field's value as it may leave, and what was found in it noted.
    fn header(&self, looking: &mut Looking, detectors: &mask::Detectors, value: &RawField) -> RawField {
        looking
            .field(detectors, &self.known, value.as_bytes())
            .map_or_else(|| value.clone(), |class| RawField::copy_from(format!("[{class}]").as_bytes()))
    }

    /// The answer stays here: recorded as refused, and the client is told, or cut off if a part of it has left.
    pub(super) async fn withhold(
        &mut self,
        asked: &Asked,
        decided: &Decided,
        of: Seq,
        answer: Option<Answer>,
        stays: Stays,
    ) -> Result<bool, Cut> {
        let partial = self.answering;
        let plain = unsaid(decided.clone());
        let (decided, why, status) = match &stays {
            Stays::Denied(denied) => (&*denied.decided, denied.why, denied.status),
            Stays::Unreadable(status, why) => (&plain, *why, *status),
        };
        let gate = self.resource.gate.clone();
        let receipt = {
            // What was found in the request stands with its intent.
            let question = gate::Question { sending: &[], tripwires: &[], ..self.question(asked) };
            gate.refuse(&question, decided, Code::status(status), why, Some(of), partial)
        };
        let refused = receipt.map_err(|e| self.unrecorded(e))?;
        let record = refused.seq();
        let _first = self.durable(refused, REFUSAL_RECORD).await?;
        let outcome = match answer {
            Some(mut answer) => {
                if let Some(listening) = &mut answer.listening {
                    listening.record(&gate, &self.who, of).map_err(|e| self.unrecorded(e))?;
                }
                let taken = answer.looking.take(&self.resource, true);
                let outcome = answer.outcome(&gate, &self.who, taken);
                // What the server said instead says nothing of what became of the call.
                let unanswered = answer.listening.as_ref().is_some_and(Listening::is_unanswered);
                let settled = (unanswered && answer.writes).then_some("indeterminate").or(outcome.settled);
                Outcome { result: "refused", settled, ..outcome }
            }
            None => Outcome {
                result: "refused",
                state: "final",
                settled: (self.status >= 400 && writes(asked)).then_some("indeterminate"),
                partial: Some("partial: the answer was not looked into, and not released"),
                ..Outcome::default()
            },
        };
        let receipt = gate.outcome(&self.who, of, outcome).map_err(|e| self.unrecorded(e))?;
        let _recorded = self.durable(receipt, RECORD).await?;
        self.open = None;
        // What is left of the answer is not read.
        self.spent = true;
        if partial {
            return Err(Cut::quiet("release"));
        }
        let told = decided.message.as_deref().unwrap_or(why);
        let keep = self.flow.may_keep_client();
        let problem = Problem::refused(status, decided, told, record).to(asked.rpc.as_ref());
        self.to_client.say(&problem, keep, self.to_head);
        self.drain_client().await?;
        Ok(self.flow.on_response_end()?.client)
    }
}

impl Answer {
    /// Whether the client of a server of MCP has the answer to its message, though the stream goes on. (A model's last event
    /// waits for the end of its stream, so that nobody has it before.)
    fn has_said_all(&self) -> bool {
        let answered = self.listening.as_ref().is_some_and(|listening| listening.answered);
        answered && self.begun && self.held.as_bytes().is_empty() && !self.looking.waits()
    }

    /// Masks a piece of the body. Errors: why nothing more of it may leave.
    fn look(
        &mut self,
        resource: &Resource,
        who: &gate::Who,
        known: &mut mask::Known,
        mut piece: Vec<u8>,
        over: bool,
    ) -> Result<MaskedBytes, &'static str> {
        if let Some(listening) = &mut self.listening {
            let opaque = resource.gate.permits_opaque(who, resource.config.kind());
            let ear = Ear { resource, who, opaque };
            piece = listening.push(&ear, piece)?;
            if over {
                piece.extend(listening.finish(&ear)?);
            }
            if listening.not_understood {
                self.looking.not_understood();
            }
        }
        let masked = self.looking.push(resource, who, known, &piece)?;
        if !over {
            return Ok(masked);
        }
        Ok(masked.then(self.looking.finish(resource, who, known)?))
    }

    /// Takes a masked piece. Errors: a model's answer that is not understood, and no rule permits that.
    fn take(
        &mut self,
        resource: &Resource,
        who: &gate::Who,
        masked: MaskedBytes,
        over: bool,
    ) -> Result<(), &'static str> {
        if let Some(reading) = &mut self.reading {
            let read = reading.push(masked.as_bytes());
            if let Some(why) = reading.unknown() {
                if !resource.gate.permits_opaque(who, resource.config.kind()) {
                    return Err(why);
                }
                self.looking.not_understood();
            }
            let read = if over { read.and_then(|()| reading.finish(&resource.gate, who)) } else { read };
            if let Err(why) = read {
                if !resource.gate.permits_opaque(who, resource.config.kind()) {
                    return Err(why);
                }
                reading.give_up();
                self.looking.not_understood();
            }
        }
        self.held = std::mem::replace(&mut self.held, mask::constant(b"")).then(masked);
        Ok(())
    }

    /// The answer of HTTP is a good one, and says that what was asked failed.
    fn tool_failed(&self) -> bool {
        self.listening.as_ref().is_some_and(|listening| listening.tool_failed)
    }

    pub(super) fn outcome(&self, gate: &gate::Gate, who: &gate::Who, taken: super::look::Taken) -> Outcome {
        let status = self.response.status;
        let code = mask::name(gate.detectors(), &status.to_string());
        let tag = match self.reading.as_ref().map(|reading| reading.usage) {
            Some((Some(input), Some(output))) => {
                mask::name(gate.detectors(), &format!("{status}, tokens: {input} in, {output} out"))
            }
            _ if self.tool_failed() => mask::name(gate.detectors(), &format!("{status}, failed")),
            _ => code.clone(),
        };
        let failed = status >= 400 || self.tool_failed();
        let thought = self.reading.as_ref().map(|reading| &reading.reasoning).filter(|text| !text.is_empty());
        let hosted = self.reading.iter().flat_map(|reading| &reading.hosted);
        Outcome {
            result: if failed { "error" } else { "ok" },
            state: "final",
            // Whether a write that it says failed has had an effect, only the service knows. An API server that says no has
            // stored nothing.
            settled: (failed && self.writes && !self.says_no).then_some("indeterminate"),
            code: (status >= 400).then_some(code),
            tag: Some(tag),
            bytes: self.bytes,
            reasoning: thought.map(|text| mask::text(&gate.detectors_of(who), text).0),
            hosted: hosted.map(|kind| mask::name(gate.detectors(), kind)).collect(),
            exposures: taken.exposures,
            tripwires: taken.tripwires,
            filter: taken.filter,
            partial: match (self.bodyless, self.looking.is_opaque()) {
                (true, _) => Some("partial: a head, searched by detector"),
                (false, true) => Some("partial: the answer is opaque"),
                (false, false) => Some("partial: searched by path and by detector, since it has no columns"),
            },
            ..Outcome::default()
        }
    }

    /// What replay shows of a piece: the head before the first, the body, and the fields behind the last. What detectors know, and
    /// what a grant revealed, is masked here also where the run was let see it.
    fn reel(
        &mut self,
        detectors: &mask::Detectors,
        body: &MaskedBytes,
        head: Option<MaskedText>,
        trailers: Option<MaskedText>,
    ) -> Option<PayloadPlain> {
        let left = self.reel_left.as_mut().filter(|left| **left > 0 || trailers.is_some())?;
        let mut shown = self.looking.shown(detectors, body);
        if let Some(shown) = &mut shown {
            shown.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= shown.len() as u64;
        }
        if let (Some(listening), Some(shown)) = (&self.listening, &mut shown) {
            listening.without_place(shown);
        }
        let masked = mask::fields(detectors, [shown.as_deref()], &[Shape::Text], &mut Vec::new());
        let data = masked.into_cells().pop();
        let payload = PayloadPlain::new(
            "http",
            Map::new().put_some("head", head).put_some("data", data).put_some("trailers", trailers),
        );
        payload.fits().then_some(payload)
    }
}

/// Whether a model's service is asked for an answer that it keeps.
fn kept(resource: &Resource, request: &Request) -> Option<Dialect> {
    let Target::Origin(origin) = &request.target else { return None };
    resource.config.model?;
    llm::kept(&request.method, &origin.path.segments)
}

/// Whether an answer leaves as it comes.
fn streams(response: &Response) -> bool {
    match response.media {
        Media::EventStream | Media::Ndjson => true,
        Media::Text => matches!(response.framing, Framing::Chunked | Framing::UntilClose),
        _ => false,
    }
}

/// A field's value for the record. A cookie or a session is a credential of the service's: the client needs it, the record
/// does not.
fn shown(name: &RawField, value: &RawField) -> String {
    match readable(name.as_bytes()).to_ascii_lowercase().as_str() {
        "set-cookie" => "[cookie]".into(),
        proto_http::mcp::SESSION => "[session]".into(),
        _ => readable(value.as_bytes()),
    }
}

/// Where the service points to itself, as the client finds it: behind the gateway. `None`: as it is.
pub(super) fn at_home(resource: &Resource, value: &[u8]) -> Option<Vec<u8>> {
    let upstream = &resource.config.upstream;
    let scheme = if resource.tls.is_some() { "https" } else { "http" };
    let origin = format!("{scheme}://{}", upstream.authority);
    let (start, rest) = value.split_at(origin.len().min(value.len()));
    let path = if start.eq_ignore_ascii_case(origin.as_bytes()) { rest } else { value };
    let path = path.strip_prefix(upstream.base.as_bytes()).unwrap_or(path);
    // `https://api.example.com.evil.example`, or `/v2beta` behind the base `/v2`, is another place.
    match path {
        [] => Some(b"/".to_vec()),
        [b'/' | b'?' | b'#', ..] => Some(path.to_vec()),
        _ => None,
    }
}

/// What upstream says of its connection and of other ways to it. Digests of a body that is written anew, and with masks, stay here, too.
const NOT_PASSED_ON: &[&str] = &["content-length", "accept-ranges", "alt-svc"];

/// The fields that are.
fn passed_on(headers: &Headers) -> Headers {
    let mut out = Headers::new();
    for (name, value) in headers.iter() {
        let stays = NOT_PASSED_ON.iter().any(|known| name.as_bytes().eq_ignore_ascii_case(known.as_bytes()));
        if !stays && !is_digest(name.as_bytes()) {
            out.push(name.clone(), value.clone());
        }
    }
    out
}

/// Whether the request may have had an effect.
fn writes(asked: &Asked) -> bool {
    asked.action.verbs().iter().any(|verb| !matches!(verb, Verb::Read | Verb::Connect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_credential_of_the_services_is_not_shown() {
        let shown = |name: &'static str| {
            shown(&RawField::from_static(name.as_bytes()), &RawField::from_static(b"value"))
        };
        assert_eq!(
            ["Set-Cookie", "mcp-session-id", "x-other"].map(shown),
            ["[cookie]", "[session]", "value"]
        );
    }

    #[test]
    fn fields_behind_a_body_are_counted_without_what_ends_the_chunks() {
        let shown = || MaskedText::constant("x-sum: 1");
        let trailing = |tail| Around { head: None, tail }.trailing();
        assert_eq!(trailing(None), 0);
        let tail = mask::constant(b"0\r\nx-sum: 1\r\n\r\n");
        assert_eq!(trailing(Some((tail, shown()))), b"x-sum: 1\r\n".len() as u64);
    }
}
