//! WebSocket: the handshake is a request, and each message of either side is decided, recorded and looked at by itself.
//!
//! **Invariant:** one task reads both sides, and neither while a message is in work: what is held is a message of each.
//! **Invariant:** no byte of a frame passes. A message leaves in one frame of the gateway's own; pings are answered here, and
//! pongs go nowhere, since what they say is decided by no rule. Of the client's Close only the code passes.

use bytes::BytesMut;
use gate::{Decided, Outcome, Piece, Release};
use mask::MaskedText;
use proto_http::frame::Headers;
use proto_http::message::{Request, Response};
use proto_http::websocket::{
    Closing, Decoder, Incoming, Message, Offer, Opcode, chosen, close_code, close_payload, encode,
};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use std::time::Duration;
use tokio::time::Instant;
use vocab::Seq;
use wire::{Fault, RawField};

use super::answer::{Answer, Around, CREDENTIAL, NOT_JSON, NOT_SEEN, Stays};
use super::credential::base64;
use super::decide::{Ruling, by_rule};
use super::look::Looking;
use super::request::{Asked, message_kind};
use super::resource::Resource;
use super::scrub::Scrub;
use super::session::{Cut, Session, cut_short, over};
use super::side::{Broken, Side};
use crate::alike::room;
use crate::config::Inject;
use crate::entropy;
use crate::leg::Leg;
use crate::limits::{RECORD, SOCKET_CLOSE, SOCKET_IDLE};

/// The kind of the handshake, and that of a client's message.
pub(super) const WEBSOCKET: &str = "WEBSOCKET";
pub(super) const MESSAGE: &str = "MESSAGE";

pub(super) const NOT_BY_ONE: &str =
    "the service behind the gateway speaks HTTP/2 only, and a WebSocket begins in HTTP/1.1";
const OTHER: &str = "another protocol was asked for, and none is passed on";
const SIGNED: &str = "a WebSocket is not passed on where the gateway signs each request";
const IDLE: &str = "nothing was said for an hour";
const GONE: &str = "the service behind the gateway closed the connection";

/// RFC 6455, 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A WebSocket that a request asks for.
pub(super) struct Opening {
    offer: Offer,
    /// The gateway's own key: the client's would say 16 bytes that no rule decides.
    key: RawField,
}

/// What a request asks for by `Upgrade`. Errors: what is refused whatever policy says: status and reason.
pub(super) fn opening(
    resource: &Resource,
    request: &Request,
) -> Result<Option<Opening>, (u16, &'static str)> {
    // What an API server is upgraded to is read with what is asked of it.
    if !request.upgrade || resource.config.cluster.is_some() {
        return Ok(None);
    }
    let signs = matches!(resource.config.inject, Inject::SigV4 { .. });
    match Offer::of(request) {
        // A model's service and a server of MCP are not spoken to so.
        Ok(_) if resource.config.speaks_json() => Err((501, OTHER)),
        Ok(None) => Err((501, OTHER)),
        Ok(Some(_)) if signs => Err((501, SIGNED)),
        Ok(Some(offer)) => {
            let key = RawField::copy_from(&base64(&entropy::random::<16>()));
            Ok(Some(Opening { offer, key }))
        }
        Err(why) => Err((400, why.outward)),
    }
}

impl Opening {
    /// What the service is asked. No extension: compressed messages would have to be undone, and nobody needs them.
    pub(super) fn asks(&self) -> Headers {
        let mut headers = Headers::new();
        let mut put = |name: &str, value: &[u8]| {
            headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value));
        };
        put("Connection", b"Upgrade");
        put("Upgrade", b"websocket");
        put("Sec-WebSocket-Version", b"13");
        put("Sec-WebSocket-Key", self.key.as_bytes());
        let protocols: Vec<&[u8]> = self.offer.protocols.iter().map(RawField::as_bytes).collect();
        if !protocols.is_empty() {
            put("Sec-WebSocket-Protocol", &protocols.join(&b", "[..]));
        }
        headers
    }

    /// What the client is told, beside the subprotocol.
    fn told(&self) -> Headers {
        let mut headers = Headers::new();
        let mut put = |name: &str, value: &[u8]| {
            headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value));
        };
        put("Connection", b"Upgrade");
        put("Upgrade", b"websocket");
        put("Sec-WebSocket-Accept", &accept(&self.offer.key));
        headers
    }
}

/// RFC 6455, 4.2.2: a digest of the key and a constant. It protects nothing.
pub(super) fn accept(key: &RawField) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    base64(context.finish().as_ref()).to_vec()
}

/// Both sides behind the handshake.
struct Socket {
    client: Decoder,
    upstream: Decoder,
    /// When it has been silent for too long.
    idle: Instant,
    /// What a peer did that is no WebSocket.
    fault: Option<Fault>,
}

impl Socket {
    fn new() -> Socket {
        let idle = Instant::now() + SOCKET_IDLE;
        Socket { client: Decoder::client(), upstream: Decoder::upstream(), idle, fault: None }
    }
}

/// Who said it.
#[derive(Clone, Copy)]
enum By {
    Client,
    Upstream,
}

/// How it ended, where nothing failed.
enum End {
    Closed(By, Option<Closing>),
    /// A message of the service's stays here.
    Withheld(Stays),
    /// A message of the client's was refused, for this reason.
    Refused(String),
    Idle,
}

impl Session {
    /// Upstream switched: carries messages until one side closes. Spec: RFC 6455, 4.2.2, 5, 7.
    pub(super) async fn switched(
        &mut self,
        asked: &Asked,
        decided: &Decided,
        of: Seq,
        response: Response,
        opening: &Opening,
    ) -> Result<bool, Cut> {
        self.spent = true;
        let chosen = chosen(&response, &opening.offer, &accept(&opening.key));
        if let Err(why) = chosen {
            // The service believes that it has a socket.
            self.upstream.leg = Leg::Gone;
            let stays = Stays::Unreadable(502, why.outward);
            return self.withhold(asked, decided, of, None, stays).await;
        }
        let mut answer = match self.begin(asked, response) {
            Ok(answer) => answer,
            Err(stays) => return self.withhold(asked, decided, of, None, stays).await,
        };
        answer.opens = Some(opening.told());
        let around = self.around(&mut answer, false)?;
        if let Some(denied) = self.may_leave(asked, &mut answer, &around, of).await? {
            return self.withhold(asked, decided, of, Some(answer), Stays::Denied(denied)).await;
        }
        self.let_out(&mut answer, around, of).await?;
        answer.bodyless = false;
        let mut socket = Socket::new();
        let ended = match self.converse(asked, of, &mut answer, &mut socket).await {
            Ok(end) => self.end(asked, decided, of, answer, &mut socket, end).await,
            Err(cut) => Err(cut),
        };
        match ended {
            Ok(()) => Ok(false),
            Err(cut) => {
                // With the handshake's outcome each side has been told.
                if self.open.is_some() {
                    self.hang_up(&cut, socket.fault.as_ref()).await;
                }
                Err(cut)
            }
        }
    }

    /// Messages, until there are no more.
    async fn converse(
        &mut self,
        asked: &Asked,
        of: Seq,
        answer: &mut Answer,
        socket: &mut Socket,
    ) -> Result<End, Cut> {
        loop {
            let Some((by, item)) = self.hear(socket).await? else { return Ok(End::Idle) };
            match (by, item) {
                (_, Incoming::NeedMore | Incoming::Pong) => continue,
                (By::Client, Incoming::Ping(payload)) => {
                    self.to_client.pong(&payload);
                    self.drain_client().await?;
                    continue;
                }
                (By::Upstream, Incoming::Ping(payload)) => {
                    self.to_upstream.pong(&payload);
                    self.drain_upstream().await?;
                    continue;
                }
                (by, Incoming::Close(closing)) => return Ok(End::Closed(by, closing)),
                (By::Client, Incoming::Message(message)) => {
                    if let Some(why) = self.pass(asked, message).await? {
                        return Ok(End::Refused(why));
                    }
                }
                (By::Upstream, Incoming::Message(message)) => {
                    if let Some(stays) = self.show(asked, of, answer, message).await? {
                        return Ok(End::Withheld(stays));
                    }
                }
            }
            socket.idle = Instant::now() + SOCKET_IDLE;
        }
    }

    /// What either side says next; `None`: nothing for too long.
    async fn hear(&mut self, socket: &mut Socket) -> Result<Option<(By, Incoming)>, Cut> {
        let (by, item) = tokio::select! {
            why = over(&mut self.ended) => return Err(cut_short(why)),
            item = heard(&mut self.client, &mut socket.client) => (By::Client, item),
            item = heard(&mut self.upstream, &mut socket.upstream) => (By::Upstream, item),
            () = tokio::time::sleep_until(socket.idle) => return Ok(None),
        };
        match (item, by) {
            (Ok(item), by) => Ok(Some((by, item))),
            (Err(Broken::Fault(fault)), _) => {
                socket.fault = Some(fault);
                Err(fault.into())
            }
            (Err(Broken::Gone), By::Client) => Err(Cut::quiet("client-closed")),
            (Err(Broken::Gone), By::Upstream) => Err(Cut::upstream(GONE)),
        }
    }

    /// A message of the client's: decided, recorded, and sent. `Some`: it is refused, and why.
    async fn pass(&mut self, opened: &Asked, message: Message) -> Result<Option<String>, Cut> {
        let mut sending = BytesMut::new();
        encode(&mut sending, message.kind.opcode(), &message.data, Some(entropy::random()));
        let asked = opened.message(&self.resource, &mut self.known, &self.who, &message, sending.into());
        room(&self.resource.gate).await;
        let (decided, approval) = match self.decide(&asked).await? {
            Ruling::Go(decided, approval) => (decided, approval),
            Ruling::No => return Ok(Some(self.closing.take().unwrap_or_default())),
        };
        if approval.is_some() && self.upstream_left().await {
            return Err(Cut::upstream(GONE));
        }
        let (seq, permit) = self.intend(&asked, &decided, approval).await?;
        let sent = match self.to_upstream.send(permit, &asked.sending, None) {
            Ok(()) => self.drain_upstream().await,
            Err(fault) => Err(fault.into()),
        };
        let outcome = match &sent {
            Ok(()) => Outcome {
                result: "ok",
                state: "final",
                tag: Some(MaskedText::constant("sent")),
                ..Outcome::default()
            },
            Err(_) => Outcome {
                result: "indeterminate",
                state: "final",
                settled: Some("indeterminate"),
                partial: Some("partial: the connection ended before the message's end"),
                ..Outcome::default()
            },
        };
        let recorded = self.resource.gate.outcome(&self.who, seq, outcome);
        sent?;
        let _covered_by_the_next = recorded.map_err(|e| self.unrecorded(e))?;
        Ok(None)
    }

    /// Whether the service went away while a person was asked.
    async fn upstream_left(&mut self) -> bool {
        let side = &mut self.upstream;
        let read =
            std::future::poll_fn(|cx| std::task::Poll::Ready(side.leg.poll_fill(cx, &mut side.input))).await;
        match read {
            std::task::Poll::Ready(Ok(0) | Err(_)) => true,
            std::task::Poll::Ready(Ok(n)) => {
                side.bytes += n as u64;
                false
            }
            std::task::Poll::Pending => false,
        }
    }

    /// A message of the service's: masked, decided, recorded, and released. `Some`: it stays here, and why.
    async fn show(
        &mut self,
        asked: &Asked,
        of: Seq,
        answer: &mut Answer,
        message: Message,
    ) -> Result<Option<Stays>, Cut> {
        room(&self.resource.gate).await;
        // Each is decided by itself: who let out another has not seen this one.
        answer.approved.clear();
        if let Err(why) = self.look(asked, answer, &message) {
            return Ok(Some(Stays::Unreadable(502, why)));
        }
        let around = Around::nothing();
        match self.may_leave(asked, answer, &around, of).await? {
            Some(denied) => Ok(Some(Stays::Denied(denied))),
            None => self.let_out(answer, around, of).await.map(|()| None),
        }
    }

    /// Masks a message of the service's as the body of an answer. Errors: why it may not leave.
    fn look(&mut self, asked: &Asked, answer: &mut Answer, message: &Message) -> Result<(), &'static str> {
        let resource = self.resource.clone();
        let permitted = || resource.gate.permits_opaque(&self.who, resource.config.kind());
        let media = match message_kind(message) {
            // It says nothing.
            Ok(media) if message.data.is_empty() => Some(media),
            Ok(media) if !resource.config.speaks_to(&media) && !permitted() => return Err(NOT_JSON),
            Ok(media) => Some(media),
            Err(_) if permitted() => None,
            Err(_) => return Err(NOT_SEEN),
        };
        let classes = asked.masks.classes();
        let context = policy::Context { now: entropy::wall(), ..asked.context.clone() };
        let revealed = resource.gate.reveals(&self.who, &context, &classes);
        let mut looking = Looking::new(&resource, &asked.masks, media, revealed);
        looking.behind(&answer.looking);
        answer.looking = looking;
        answer.message = Some(message.kind);
        let mut scrub = Scrub::default();
        let mut clean = scrub.push(&self.needles, &message.data);
        clean.extend(scrub.finish(&self.needles));
        if (scrub.found && answer.looking.is_opaque()) || self.is_cut_in_two(answer, &message.data) {
            return Err(CREDENTIAL);
        }
        let masked = answer.looking.push(&resource, &self.who, &mut self.known, &clean)?;
        answer.held = masked.then(answer.looking.finish(&resource, &self.who, &mut self.known)?);
        Ok(())
    }

    /// Whether the service's credential begins in the messages before this one and ends in it.
    fn is_cut_in_two(&self, answer: &mut Answer, data: &[u8]) -> bool {
        let reach = self.needles.reach();
        let (start, rest) = data.split_at(data.len().min(reach));
        let cut = self.needles.straddle(&answer.said, start);
        answer.said.extend_from_slice(start);
        answer.said.extend_from_slice(rest);
        let goes = answer.said.len().saturating_sub(reach);
        answer.said.drain(..goes);
        cut
    }

    // --- the end

    async fn end(
        &mut self,
        asked: &Asked,
        decided: &Decided,
        of: Seq,
        answer: Answer,
        socket: &mut Socket,
        end: End,
    ) -> Result<(), Cut> {
        match end {
            End::Closed(By::Client, closing) => self.client_closed(of, answer, socket, closing).await,
            End::Closed(By::Upstream, closing) => self.upstream_closed(of, answer, socket, closing).await,
            End::Idle => {
                let _recorded = self.settle(of, answer, IDLE).await?;
                self.part(1001, IDLE).await
            }
            End::Refused(why) => {
                let _recorded = self.settle(of, answer, "a message was refused").await?;
                self.part(1008, &why).await
            }
            End::Withheld(stays) => {
                let why = match &stays {
                    Stays::Denied(denied) => by_rule(&denied.decided, denied.why),
                    Stays::Unreadable(_, why) => (*why).to_owned(),
                };
                match self.withhold(asked, decided, of, Some(answer), stays).await {
                    Err(cut) if cut.why != "release" => Err(cut),
                    Ok(_) | Err(_) => self.part(1008, &why).await,
                }
            }
        }
    }

    /// The client closes: its code goes on, after its record.
    async fn client_closed(
        &mut self,
        of: Seq,
        answer: Answer,
        socket: &mut Socket,
        closing: Option<Closing>,
    ) -> Result<(), Cut> {
        let code = closing.map_or(1000, |closing| closing.code);
        let mut sending = BytesMut::new();
        encode(&mut sending, Opcode::Close, &close_payload(code, ""), Some(entropy::random()));
        let piece = Piece { n: 0, to: "upstream", bytes: 2, ..Piece::default() };
        let intent = self.resource.gate.piece_upstream(&self.who, of, piece, &sending, entropy::tick());
        let (_seq, permit) = self.permitted(intent).await?;
        self.to_upstream.send(permit, &sending, None)?;
        // Whether the service still reads changes nothing for the client.
        if self.drain_upstream().await.is_ok() {
            until_closed(&mut self.upstream, &mut socket.upstream).await;
        }
        let _recorded = self.settle(of, answer, &format!("the client closed: {code}")).await?;
        self.to_client.close(code, "");
        self.drain_client().await
    }

    /// The service closes: its code goes on, and its reason where nothing was found in it and policy decides no answers.
    async fn upstream_closed(
        &mut self,
        of: Seq,
        mut answer: Answer,
        socket: &mut Socket,
        closing: Option<Closing>,
    ) -> Result<(), Cut> {
        let closing = closing.unwrap_or(Closing { code: 1000, reason: String::new() });
        let gate = self.resource.gate.clone();
        let own = self.needles.without(closing.reason.as_bytes()).is_some();
        let found = answer.looking.field(gate.detectors(), &self.known, closing.reason.as_bytes()).is_some();
        let config = &self.resource.config;
        let speaks =
            config.speaks_to(&mask::body::Media::Text) || gate.permits_opaque(&self.who, config.kind());
        let passes = speaks && !own && !found && !gate.decides_releases(&self.who);
        let reason = if passes { closing.reason.as_str() } else { "" };
        answer.looking.beside(&gate.ledger().filter_key(), b"", reason.as_bytes());
        let mut out = BytesMut::new();
        encode(&mut out, Opcode::Close, &close_payload(closing.code, reason), None);
        let frame = self.let_see(&mut answer.looking, out.to_vec())?;
        let how = format!("the service closed: {} {reason}", closing.code);
        let durable = self.settle(of, answer, how.trim_end()).await?;
        self.to_client.send(Release::after(durable, frame));
        self.to_upstream.close(closing.code);
        self.drain_client().await?;
        let _whether_it_reads = self.drain_upstream().await;
        until_closed(&mut self.client, &mut socket.client).await;
        Ok(())
    }

    /// Records how the handshake's intent ended.
    async fn settle(&mut self, of: Seq, mut answer: Answer, how: &str) -> Result<ledger::Durable, Cut> {
        let gate = self.resource.gate.clone();
        let taken = answer.looking.take(&self.resource, false);
        let tag = Some(mask::name(gate.detectors(), &format!("101, {how}")));
        let receipt = gate.outcome(&self.who, of, Outcome { tag, ..answer.outcome(&gate, &self.who, taken) });
        let receipt = receipt.map_err(|e| self.unrecorded(e))?;
        let durable = self.durable(receipt, RECORD).await?;
        self.open = None;
        Ok(durable)
    }

    /// Says why to the client, and to the service that it is over.
    async fn part(&mut self, code: u16, why: &str) -> Result<(), Cut> {
        self.to_client.close(code, why);
        self.to_upstream.close(1001);
        self.drain_client().await?;
        let _whether_it_reads = self.drain_upstream().await;
        Ok(())
    }

    /// The same where something failed. What the client is told leaves with the farewell.
    async fn hang_up(&mut self, cut: &Cut, fault: Option<&Fault>) {
        let over = self.ended.borrow().is_some();
        let (client, upstream) = match fault {
            Some(fault) if fault.side == wire::Side::Client => (close_code(fault), 1001),
            Some(fault) => (1011, close_code(fault)),
            None if over || matches!(cut.why, "over-budget" | "decision-used") => (1008, 1001),
            None => (1011, 1001),
        };
        if cut.why != "client-closed" {
            self.to_client.close(client, cut.detail.unwrap_or_default());
        }
        // The rest of a message that was cut short goes nowhere.
        match self.to_upstream.out.is_empty() {
            true => self.to_upstream.close(upstream),
            false => self.to_upstream.out.clear(),
        }
        let (leg, out) = (&mut self.upstream.leg, &mut self.to_upstream.out);
        let _whether_it_reads = tokio::time::timeout(Duration::from_secs(1), leg.drain(out)).await;
    }
}

/// The next item of a side. May be dropped while it waits: nothing is lost.
async fn heard(side: &mut Side, decoder: &mut Decoder) -> Result<Incoming, Broken> {
    loop {
        match decoder.next(&mut side.input).map_err(Broken::Fault)? {
            Incoming::NeedMore => {}
            item => return Ok(item),
        }
        match side.leg.fill(&mut side.input).await {
            Ok(0) | Err(_) => return Err(Broken::Gone),
            Ok(n) => side.bytes += n as u64,
        }
    }
}

/// Waits for a side's Close, and drops what it says before.
async fn until_closed(side: &mut Side, decoder: &mut Decoder) {
    let closed = async { while !matches!(heard(side, decoder).await, Ok(Incoming::Close(_)) | Err(_)) {} };
    let _late = tokio::time::timeout(SOCKET_CLOSE, closed).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_the_standard_says() {
        // RFC 6455, 1.3.
        let shown = accept(&RawField::from_static(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(shown, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
