//! Ports of a pod that a client connects to, through streams of SPDY's: each connection is an action of its own, decided by its
//! port. Its bytes mean nothing here: they are counted both ways and searched, and go on as they are.
//!
//! A connection is two streams with one number, for its data and for what fails of it. It lasts for as long as one of them is open;
//! whoever uses its number again asks again.
//!
//! Over WebSocket's own channels (Python's client, kube-rs) all ports that the request names are opened with it, once each, and end with
//! it. So each is decided before the API server hears of any, and one that may not be reached refuses the request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use gate::{By, Decided, Exposure, Outcome, Piece, Release, Tripped};
use mask::body::{Body, Media};
use mask::{FilterBuilder, FilterStream, MaskedBytes};
use proto_kubernetes::channel::port::{Part, PortChannels, channel};
use proto_kubernetes::limits::ENDED_BYTES_MAX;
use proto_kubernetes::spdy::frame::Frame;
use proto_kubernetes::spdy::headers::Headers;
use proto_kubernetes::spdy::session::{Role, Session as Spdy, Step};
use tokio::time::Instant;
use vocab::{Class, Group, Seq};
use wire::RawField;

use super::super::answer::Leaving;
use super::super::decide::{Denied, Ruling};
use super::super::request::Asked;
use super::super::session::{Cut, Session};
use super::Tunnel;
use super::channels::CREDENTIAL;
use super::wires::{Heard, Stirred, Wires, client, upstream};
use crate::alike::{room, tripped, unsaid};
use crate::entropy;
use crate::limits::{RECORD, SOCKET_IDLE};

/// RST_STREAM, 2.6.3: the stream is not wanted any more.
const CANCEL: u32 = 5;

const BY_BOTH: &str = "ended by both";
const RESET: &str = "reset";
const BY_CLIENT: &str = "closed by the client";
const BY_OTHER: &str = "closed by the other end";
const IDLE: &str = "nothing was said for an hour";
const HELD_BACK: &str = "held back";
/// Of ports that could have been opened at once and were not.
const UNASKED: &str = "the API server opened ports in another way than it was asked to";
const NOT_SWITCHED: &str = "not opened: the API server did not switch protocols";
const WORDY: &str = "what failed of a port is told in more than 64 KiB";

/// One connection to a port.
struct Pair {
    asked: Asked,
    /// Its intent. `None`: it was refused, or its answer was.
    of: Option<Seq>,
    /// Its streams, once they are opened: of what fails, and of its data.
    error: Option<u32>,
    data: Option<u32>,
    /// What the client is told where it was refused.
    refused: String,
    /// One side gave it up before its end.
    reset: bool,
    /// What failed of it, so far: it is looked at as a whole.
    words: Vec<u8>,
    /// What passed, for values that are cut.
    there: mask::Opaque,
    back: mask::Opaque,
    /// The end of what came, as far as the gateway's own credential could begin there.
    before: Vec<u8>,
    pieces: u64,
    bytes_there: u64,
    bytes_back: u64,
    classes: BTreeSet<Class>,
    hits: u64,
    /// What left, for the filter.
    left: FilterStream,
    filter: FilterBuilder,
    approved: BTreeSet<Group>,
}

/// All of one port-forward.
struct Ports<'a> {
    opened: &'a Asked,
    spdy: Spdy,
    channels: PortChannels,
    pairs: BTreeMap<u32, Pair>,
    /// Those that are over, as soon as what was said to them has left.
    ending: Vec<Pair>,
    over: Option<&'static str>,
}

/// A port that is decided before it is opened.
pub(in crate::http) struct Ahead {
    asked: Asked,
    decided: Arc<Decided>,
    approval: Option<Seq>,
    /// Its intent, once that is recorded.
    of: Option<Seq>,
    /// The API server may have opened it.
    dialled: bool,
}

impl Ahead {
    pub(in crate::http) fn intent(&self) -> Option<Seq> {
        self.of
    }
}

/// Something that a port, or the kubelet of it, says.
struct Back {
    request: u32,
    stream: u32,
    fin: bool,
}

impl Session {
    /// Decides what the server may open at once. `false`: one may not be, and the client is told.
    pub(in crate::http) async fn ports_ahead(&mut self, asked: &Asked) -> Result<bool, Cut> {
        self.ahead.clear();
        let at_once = asked.tunnel().map(Tunnel::ports_at_once).unwrap_or_default();
        for &port in at_once {
            let mut port = asked.port(&self.resource, &self.who, port);
            // A refusal is an answer to the request yet.
            port.in_frames = false;
            match self.decide(&port).await? {
                Ruling::Go(decided, approval) => {
                    port.in_frames = true;
                    self.ahead.push(Ahead { asked: port, decided, approval, of: None, dialled: false });
                }
                Ruling::No => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether policy still allows a request and the ports that are opened with it: while people were asked about one port,
    /// what was decided before may have become another question, at another time of the day.
    pub(in crate::http) fn still_go(&self, asked: &Asked, decided: &Decided) -> bool {
        let asks = self.ahead.iter().any(|port| port.approval.is_some());
        let ports = self.ahead.iter().map(|port| (&port.asked, &*port.decided));
        !asks || ports.chain([(asked, decided)]).all(|(asked, decided)| self.goes(asked, decided))
    }

    /// Records the intents of the ports that are about to be opened with a request.
    pub(in crate::http) async fn intend_ahead(&mut self) -> Result<(), Cut> {
        for n in 0..self.ahead.len() {
            let port = &self.ahead[n];
            let (of, permit) = self.intend(&port.asked, &port.decided, port.approval).await?;
            let port = &mut self.ahead[n];
            port.of = Some(of);
            self.to_upstream.opens(permit, &port.asked.sending)?;
        }
        Ok(())
    }

    /// The API server believes that there are streams.
    pub(super) fn dialled(&mut self) {
        self.ahead.iter_mut().for_each(|port| port.dialled = true);
    }

    /// Says of ports that could have been opened with a request, and that nothing went through, how they ended.
    pub(in crate::http) fn settle_ahead(&mut self) -> Result<(), Cut> {
        let mut settled = Ok(());
        for port in std::mem::take(&mut self.ahead).into_iter().filter(|port| port.of.is_some()) {
            let pair = Pair::new(port.asked, port.of);
            let outcome = match port.dialled {
                true => None,
                false => Some(Outcome { result: "error", ..pair.outcome(&self.resource.gate, NOT_SWITCHED) }),
            };
            settled = settled.and(self.settle_as(&pair, outcome));
        }
        settled
    }

    /// Carries connections to ports until one side has gone.
    pub(super) async fn ports(
        &mut self,
        asked: &Asked,
        of: Seq,
        tunnel: &Tunnel,
        mut wires: Wires,
    ) -> Result<(), Cut> {
        // Those that are open already: where they are channels, and never where a port is asked for by itself.
        if !wires.in_channels() && !self.ahead.is_empty() {
            return Err(Cut::upstream(UNASKED));
        }
        let ahead = std::mem::take(&mut self.ahead);
        let ahead = (0..).zip(ahead).map(|(request, port)| (request, Pair::new(port.asked, port.of)));
        let mut ports = Ports {
            opened: asked,
            spdy: Spdy::port_forward(),
            channels: PortChannels::new(tunnel.ports_at_once()),
            pairs: ahead.collect(),
            ending: Vec::new(),
            over: None,
        };
        let carried = self.carry_ports(&mut ports, &mut wires).await;
        let how = ports.over.filter(|_| carried.is_ok());
        // What the client has sent before it goes is sent on, or nobody knows whether it arrived.
        let sent = how == Some(BY_CLIENT) && self.drain_upstream().await.is_ok();
        let mut settled = Ok(());
        let pairs = std::mem::take(&mut ports.pairs).into_values();
        for pair in pairs.chain(std::mem::take(&mut ports.ending)) {
            settled = settled.and(self.settle_port(&pair, how.filter(|_| sent)));
        }
        carried?;
        settled?;
        let tag = format!("101, {}", how.unwrap_or("closed"));
        let outcome = Outcome {
            result: "ok",
            state: "final",
            tag: Some(mask::name(self.resource.gate.detectors(), &tag)),
            partial: Some("partial: opaque; searched by detector, and not masked"),
            ..Outcome::default()
        };
        let receipt = self.resource.gate.outcome(&self.who, of, outcome).map_err(|e| self.unrecorded(e))?;
        let _recorded = self.durable(receipt, RECORD).await?;
        self.open = None;
        if wires.in_messages() {
            self.to_client.close(1000, "");
            self.to_upstream.close(1000);
            let _whether_it_reads = self.drain_upstream().await;
        }
        let _whether_it_reads = self.drain_client().await;
        Ok(())
    }

    async fn carry_ports(&mut self, ports: &mut Ports<'_>, wires: &mut Wires) -> Result<(), Cut> {
        while ports.over.is_none() {
            // A frame of each in turn.
            let said = wires.upstream.next(&mut self.upstream.input)?;
            let asked = wires.client.next(&mut self.client.input)?;
            let nothing = said.is_none() && asked.is_none();
            if let Some(heard) = said {
                self.port_upstream(ports, wires, heard).await?;
            }
            if let Some(heard) = asked {
                self.port_client(ports, wires, heard).await?;
            }
            if !nothing {
                self.let_flow().await;
                self.settle_ending(ports)?;
                continue;
            }
            match self.stir(wires.idle, None).await? {
                Stirred::Read => {
                    wires.idle = Instant::now() + SOCKET_IDLE;
                    self.settle_ending(ports)?;
                }
                Stirred::Pause => {}
                Stirred::ClientGone => ports.over = Some(BY_CLIENT),
                Stirred::UpstreamGone => ports.over = Some(BY_OTHER),
                Stirred::Idle => return Err(Cut::told("idle", 504, IDLE)),
            }
        }
        Ok(())
    }

    // --- there

    async fn port_client(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        heard: Heard,
    ) -> Result<(), Cut> {
        let frame = match heard {
            Heard::Ping(payload) => {
                self.to_client.pong(&payload);
                return Ok(());
            }
            Heard::Close => {
                ports.over = Some(BY_CLIENT);
                return Ok(());
            }
            Heard::Message(message) => {
                let (place, data) = ports.channels.on_client(&message).map_err(client)?;
                let bytes = message.slice_ref(data);
                return self.there(ports, wires, place as u32, (2 * place as u32, false, bytes)).await;
            }
            Heard::Frame(frame) => frame,
        };
        match ports.spdy.on_client(frame)? {
            Step::Nothing | Step::Forward { on: None, frame: Frame::Reset { .. } } => Ok(()),
            Step::Answer(frame) => {
                wires.say_client(&mut self.to_client.out, &frame);
                Ok(())
            }
            Step::Forward { on: None, .. } => {
                ports.over = Some(BY_CLIENT);
                Ok(())
            }
            Step::Forward { frame, on: Some(role) } => {
                let Some((request, port)) = of(role) else { return Ok(()) };
                match frame {
                    Frame::Open { stream, .. } => {
                        self.port_opened(ports, wires, (role, stream), (request, port), frame).await?;
                    }
                    Frame::Data { stream, fin, bytes } if is_data(role) => {
                        self.there(ports, wires, request, (stream, fin, bytes.into_bytes())).await?;
                    }
                    frame => {
                        let resets = matches!(frame, Frame::Reset { .. });
                        // Of a refused one upstream knows nothing.
                        let known = ports.pairs.get_mut(&request).is_some_and(|pair| {
                            pair.reset |= resets;
                            pair.of.is_some()
                        });
                        if known {
                            wires.say_upstream(&mut self.to_upstream.out, &frame);
                        }
                    }
                }
                self.perhaps_over(ports, request)
            }
        }
    }

    /// A stream is asked for: with the first of a connection its port is decided.
    async fn port_opened(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        (role, stream): (Role, u32),
        (request, port): (u32, u16),
        frame: Frame,
    ) -> Result<(), Cut> {
        if !ports.pairs.contains_key(&request) {
            let asked = ports.opened.port(&self.resource, &self.who, port);
            room(&self.resource.gate).await;
            self.let_flow().await;
            let begun = match self.decide(&asked).await? {
                Ruling::Go(decided, approval) => Some(self.intend(&asked, &decided, approval).await?),
                Ruling::No => None,
            };
            let (of, permit) = begun.unzip();
            let why = self.closing.take().unwrap_or_default();
            let refused = format!("not permitted: {why}");
            ports.pairs.insert(request, Pair { refused, ..Pair::new(asked, of) });
            let asked = ports.pairs.get(&request).map(|pair| &pair.asked);
            if let (Some(permit), Some(asked)) = (permit, asked) {
                self.to_upstream.opens(permit, &asked.sending)?;
            }
        }
        let Some(pair) = ports.pairs.get_mut(&request) else { return Ok(()) };
        *(if is_data(role) { &mut pair.data } else { &mut pair.error }) = Some(stream);
        if pair.of.is_some() {
            wires.say_upstream(&mut self.to_upstream.out, &frame);
            return Ok(());
        }
        // As the kubelet tells of a port that nobody listens on.
        let words = if is_data(role) { Bytes::new() } else { Bytes::from(pair.refused.clone()) };
        let both = pair.error.zip(pair.data);
        let reply = Frame::Reply { stream, fin: false, headers: Headers(Vec::new()) };
        let _as_if_it_came = ports.spdy.on_upstream(reply.clone())?;
        let end = Frame::Data { stream, fin: true, bytes: RawField::new(words) };
        for said in [reply, end] {
            wires.say_client(&mut self.to_client.out, &said);
        }
        // Until both have come the connection is this one: its number does not ask again.
        for stream in both.into_iter().flat_map(|(error, data)| [error, data]) {
            let nothing = Frame::Data { stream, fin: true, bytes: RawField::new(Bytes::new()) };
            let _as_if_it_came = ports.spdy.on_upstream(nothing)?;
        }
        Ok(())
    }

    /// Data for a port: recorded, and sent.
    async fn there(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        request: u32,
        (stream, fin, bytes): (u32, bool, Bytes),
    ) -> Result<(), Cut> {
        let gate = self.resource.gate.clone();
        let Some(pair) = ports.pairs.get_mut(&request) else { return Ok(()) };
        let Some(of) = pair.of else { return Ok(()) };
        if !bytes.is_empty() {
            let (_counted_alone, found) = pair.there.pass(gate.detectors(), &bytes);
            let tripwires = found.iter().map(|finding| hit(finding, "input", "reported")).collect();
            let length = bytes.len() as u64;
            let piece =
                Piece { n: pair.pieces, to: "upstream", bytes: length, tripwires, ..Piece::default() };
            pair.pieces += 1;
            pair.bytes_there += length;
            room(&gate).await;
            let sending = wires.data(stream, false, &bytes);
            let intent = gate.piece_unopened(&self.who, of, piece, &sending, entropy::tick());
            let (_seq, permit) = self.permitted(intent).await?;
            self.to_upstream.send(permit, &sending, None)?;
        }
        if fin {
            let fin = Frame::Data { stream, fin: true, bytes: RawField::new(Bytes::new()) };
            wires.say_upstream(&mut self.to_upstream.out, &fin);
        }
        Ok(())
    }

    // --- back

    async fn port_upstream(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        heard: Heard,
    ) -> Result<(), Cut> {
        let frame = match heard {
            Heard::Ping(payload) => {
                self.to_upstream.pong(&payload);
                return Ok(());
            }
            Heard::Close => {
                ports.over = Some(BY_OTHER);
                return Ok(());
            }
            Heard::Message(message) => return self.message_back(ports, wires, message).await,
            Heard::Frame(frame) => frame,
        };
        match ports.spdy.on_upstream(frame)? {
            Step::Nothing | Step::Forward { on: None, frame: Frame::Reset { .. } } => Ok(()),
            Step::Answer(frame) => {
                wires.say_upstream(&mut self.to_upstream.out, &frame);
                Ok(())
            }
            Step::Forward { on: None, .. } => {
                ports.over = Some(BY_OTHER);
                Ok(())
            }
            Step::Forward { frame, on: Some(role) } => {
                let Some((request, _)) = of(role) else { return Ok(()) };
                match frame {
                    Frame::Data { stream, fin, bytes } if is_data(role) => {
                        let back = Back { request, stream, fin };
                        self.data_back(ports, wires, &back, &bytes.into_bytes()).await?;
                    }
                    Frame::Data { stream, fin, bytes } => {
                        let back = Back { request, stream, fin };
                        self.words_back(ports, wires, &back, bytes.as_bytes()).await?;
                    }
                    frame => {
                        let pair = ports.pairs.get_mut(&request);
                        pair.into_iter().for_each(|pair| pair.reset |= matches!(frame, Frame::Reset { .. }));
                        wires.say_client(&mut self.to_client.out, &frame);
                    }
                }
                self.perhaps_over(ports, request)
            }
        }
    }

    /// A message of a channel.
    async fn message_back(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        message: Bytes,
    ) -> Result<(), Cut> {
        let (place, part, says) = ports.channels.on_upstream(&message).map_err(upstream)?;
        let stream = u32::from(message.first().copied().unwrap_or_default());
        let back = |fin| Back { request: place as u32, stream, fin };
        match part {
            Part::Number(port) => {
                wires.say_channel(&mut self.to_client.out, stream, &port.to_le_bytes());
                Ok(())
            }
            Part::Data => self.data_back(ports, wires, &back(false), &message.slice_ref(says)).await,
            // Each is whole.
            Part::Failed => self.words_back(ports, wires, &back(true), says).await,
        }
    }

    /// What a port says: searched, recorded, and released as it is.
    async fn data_back(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        back: &Back,
        bytes: &Bytes,
    ) -> Result<(), Cut> {
        let resource = self.resource.clone();
        let Some(pair) = ports.pairs.get_mut(&back.request) else { return Ok(()) };
        if pair.of.is_some() && !bytes.is_empty() {
            let own = self.needles.without(bytes).is_some() || self.needles.straddle(&pair.before, bytes);
            pair.before.extend_from_slice(bytes);
            let goes = pair.before.len().saturating_sub(self.needles.reach());
            pair.before.drain(..goes);
            let (passed, found) = pair.back.pass(resource.gate.detectors(), bytes);
            let mut revealed: BTreeMap<Class, u64> = BTreeMap::new();
            found.iter().for_each(|finding| *revealed.entry(finding.class.clone()).or_default() += 1);
            pair.hits += found.len() as u64;
            let exposure = |(class, cells)| Exposure {
                on: resource.root.clone(),
                class,
                at: "output",
                what: "revealed",
                by: By::Detector,
                rows: 0,
                cells,
                prints: Vec::new(),
            };
            let piece = Piece {
                exposures: revealed.into_iter().map(exposure).collect(),
                tripwires: found.iter().map(|finding| hit(finding, "output", "revealed")).collect(),
                ..Piece::default()
            };
            let stays = own.then_some(CREDENTIAL);
            if !self.leaves(ports, wires, back, passed, piece, stays).await? {
                return Ok(());
            }
        }
        if back.fin {
            let fin = Frame::Data { stream: back.stream, fin: true, bytes: RawField::new(Bytes::new()) };
            wires.say_client(&mut self.to_client.out, &fin);
        }
        Ok(())
    }

    /// What failed of it, in the kubelet's words: held to its end, masked, recorded and released.
    async fn words_back(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        back: &Back,
        bytes: &[u8],
    ) -> Result<(), Cut> {
        let Some(pair) = ports.pairs.get_mut(&back.request) else { return Ok(()) };
        if pair.words.len() + bytes.len() > ENDED_BYTES_MAX {
            return Err(Cut::upstream(WORDY));
        }
        pair.words.extend_from_slice(bytes);
        if !back.fin {
            return Ok(());
        }
        let words = std::mem::take(&mut pair.words);
        if pair.of.is_some() && !words.is_empty() {
            let clean = self.needles.without(&words);
            let (masked, tripwires, hits) = self.words(clean.as_deref().unwrap_or(&words))?;
            if let Some(pair) = ports.pairs.get_mut(&back.request) {
                pair.hits += hits;
            }
            let piece = Piece { tripwires, ..Piece::default() };
            if !self.leaves(ports, wires, back, masked, piece, None).await? {
                return Ok(());
            }
        }
        if wires.in_channels() {
            return Ok(());
        }
        let fin = Frame::Data { stream: back.stream, fin: true, bytes: RawField::new(Bytes::new()) };
        wires.say_client(&mut self.to_client.out, &fin);
        Ok(())
    }

    /// Decides whether bytes may leave, records them, and releases them. `false`: the connection is over, and the client was told.
    async fn leaves(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        back: &Back,
        bytes: MaskedBytes,
        piece: Piece,
        stays: Option<&'static str>,
    ) -> Result<bool, Cut> {
        let Some(mut pair) = ports.pairs.remove(&back.request) else { return Ok(false) };
        let done = self.leaves_of(&mut pair, wires, back.stream, bytes, piece, stays).await;
        let (error, data) = (pair.error, pair.data);
        // Whatever came of it, it comes to an end in the record.
        ports.pairs.insert(back.request, pair);
        let Some(denied) = done? else { return Ok(true) };
        let told = denied.decided.message.as_deref().unwrap_or(denied.why).to_owned();
        if wires.in_channels() {
            // One port cannot end without the others.
            let failed = channel(back.request as usize, true).unwrap_or_default();
            let words = format!("not permitted: {told}");
            wires.say_channel(&mut self.to_client.out, u32::from(failed), words.as_bytes());
            ports.over = Some(HELD_BACK);
            return Ok(false);
        }
        for (stream, words) in [(error, format!("not permitted: {told}")), (data, String::new())] {
            let Some(stream) = stream else { continue };
            let reset = Frame::Reset { stream, status: CANCEL };
            wires.say_upstream(&mut self.to_upstream.out, &reset);
            // What is on its way from there already is for nobody.
            if let Step::Forward { .. } = ports.spdy.on_upstream(reset)? {
                let end = Frame::Data { stream, fin: true, bytes: RawField::new(words.into()) };
                wires.say_client(&mut self.to_client.out, &end);
            }
        }
        Ok(false)
    }

    /// `Some`: they stay here, which is recorded.
    async fn leaves_of(
        &mut self,
        pair: &mut Pair,
        wires: &Wires,
        stream: u32,
        bytes: MaskedBytes,
        piece: Piece,
        stays: Option<&'static str>,
    ) -> Result<Option<Denied>, Cut> {
        let resource = self.resource.clone();
        let gate = &resource.gate;
        let Some(of) = pair.of else { return Ok(None) };
        pair.classes.extend(piece.tripwires.iter().map(|hit| hit.class.clone()));
        let length = bytes.as_bytes().len() as u64;
        let leaving = Leaving { classes: &pair.classes, hits: pair.hits, bytes: pair.bytes_back + length };
        room(gate).await;
        // A person may be asked, and what was let out before does not wait for that.
        self.let_flow().await;
        let denied = match stays {
            Some(why) => Some(self.by_ourselves(pair, of, why)),
            None => self.may_go(&pair.asked, leaving, &mut pair.approved, of).await?,
        };
        if let Some(denied) = denied {
            let found = piece.tripwires.into_iter().map(|hit| Tripped { act: "refused", ..hit }).collect();
            self.withhold_port(pair, of, &denied, found).await?;
            return Ok(Some(denied));
        }
        let key = gate.ledger().filter_key();
        pair.left.piece(&mut pair.filter, &key, bytes.as_bytes());
        pair.left.so_far(&mut pair.filter, &key);
        let filter = (!pair.filter.is_empty()).then(|| pair.filter.take());
        let piece = Piece { n: pair.pieces, to: "client", bytes: length, filter, ..piece };
        pair.pieces += 1;
        pair.bytes_back += length;
        let receipt = gate.piece(&self.who, of, piece).map_err(|e| self.unrecorded(e))?;
        let durable = self.durable(receipt, RECORD).await?;
        self.to_client.send(Release::after(durable, wires.masked(stream, &bytes)));
        Ok(None)
    }

    /// The no that no rule says.
    fn by_ourselves(&self, pair: &Pair, of: Seq, why: &'static str) -> Denied {
        let ground = gate::Ground { action: &pair.asked.action, context: &pair.asked.context, release: None };
        let decided = unsaid(self.resource.gate.verdict(&self.who, &ground, &BTreeSet::new()));
        Denied { decided: Box::new(decided), why, status: 502, of: Some(of) }
    }

    fn words(&self, bytes: &[u8]) -> Result<(MaskedBytes, BTreeSet<Tripped>, u64), Cut> {
        let unreadable = |why: mask::body::Unreadable| Cut::told("unreadable", 502, why.0);
        let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
        let detectors = self.resource.gate.detectors();
        let first = body.push(detectors, &self.known, bytes).map_err(unreadable)?;
        let before = body.take_found();
        let (rest, behind) = body.finish(detectors, &self.known).map_err(unreadable)?;
        let all = before.tripped.iter().chain(&behind.tripped);
        let hits = all.filter(|hit| hit.act == mask::body::Act::Masked).map(|hit| hit.count).sum();
        let mut found = tripped(&before, "output");
        found.extend(tripped(&behind, "output"));
        Ok((first.then(rest), found, hits))
    }

    async fn withhold_port(
        &mut self,
        pair: &mut Pair,
        of: Seq,
        denied: &Denied,
        tripwires: BTreeSet<Tripped>,
    ) -> Result<(), Cut> {
        let gate = self.resource.gate.clone();
        let receipt = {
            let question = gate::Question { sending: &[], tripwires: &[], ..self.question(&pair.asked) };
            let code = ledger::Code::status(denied.status);
            gate.refuse(&question, &denied.decided, code, denied.why, Some(of), pair.bytes_back > 0)
        };
        let _before_the_outcome = receipt.map_err(|e| self.unrecorded(e))?;
        let held = pair.outcome(&gate, "held back");
        let outcome = Outcome { result: "refused", settled: Some("indeterminate"), tripwires, ..held };
        let receipt = gate.outcome(&self.who, of, outcome).map_err(|e| self.unrecorded(e))?;
        pair.of = None;
        self.durable(receipt, RECORD).await.map(|_durable| ())
    }

    /// A connection of which no stream is open is over.
    fn perhaps_over(&mut self, ports: &mut Ports<'_>, request: u32) -> Result<(), Cut> {
        if !ports.spdy.is_open(request) {
            ports.ending.extend(ports.pairs.remove(&request));
        }
        self.settle_ending(ports)
    }

    /// What was said to a port before its end has left, or it has not ended.
    fn settle_ending(&mut self, ports: &mut Ports<'_>) -> Result<(), Cut> {
        if !self.to_upstream.out.is_empty() {
            return Ok(());
        }
        let mut settled = Ok(());
        for pair in std::mem::take(&mut ports.ending) {
            let how = if pair.reset { RESET } else { BY_BOTH };
            settled = settled.and(self.settle_port(&pair, Some(how)));
        }
        settled
    }

    /// Says how a connection ended; `None`: nobody knows.
    fn settle_port(&mut self, pair: &Pair, how: Option<&'static str>) -> Result<(), Cut> {
        let outcome = how.map(|how| pair.outcome(&self.resource.gate, how));
        self.settle_as(pair, outcome)
    }

    fn settle_as(&mut self, pair: &Pair, outcome: Option<Outcome>) -> Result<(), Cut> {
        let Some(of) = pair.of else { return Ok(()) };
        let outcome = outcome.unwrap_or_else(|| {
            let cut = pair.outcome(&self.resource.gate, "cut");
            Outcome { result: "indeterminate", settled: Some("indeterminate"), ..cut }
        });
        // What is recorded next, the end of the session at the latest, stands behind it.
        let _before_the_next =
            self.resource.gate.outcome(&self.who, of, outcome).map_err(|e| self.unrecorded(e))?;
        Ok(())
    }
}

impl Pair {
    fn new(asked: Asked, of: Option<Seq>) -> Pair {
        Pair {
            asked,
            of,
            error: None,
            data: None,
            refused: String::new(),
            reset: false,
            words: Vec::new(),
            there: mask::Opaque::default(),
            back: mask::Opaque::default(),
            before: Vec::new(),
            pieces: 0,
            bytes_there: 0,
            bytes_back: 0,
            classes: BTreeSet::new(),
            hits: 0,
            left: FilterStream::new(),
            filter: FilterBuilder::new(),
            approved: BTreeSet::new(),
        }
    }

    fn outcome(&self, gate: &gate::Gate, how: &'static str) -> Outcome {
        let counts = format!("{how}: {} bytes there, {} back", self.bytes_there, self.bytes_back);
        Outcome {
            result: "ok",
            state: "final",
            tag: Some(mask::name(gate.detectors(), &counts)),
            bytes: self.bytes_back,
            partial: Some("partial: opaque; searched by detector, and not masked"),
            ..Outcome::default()
        }
    }
}

fn is_data(role: Role) -> bool {
    matches!(role, Role::PortData { .. })
}

fn of(role: Role) -> Option<(u32, u16)> {
    match role {
        Role::PortData { request, port } | Role::PortError { request, port } => Some((request, port)),
        Role::Stdin | Role::Stdout | Role::Stderr | Role::Error | Role::Resize => None,
    }
}

fn hit(finding: &mask::Finding, channel: &'static str, act: &'static str) -> Tripped {
    Tripped { detector: finding.detector, class: finding.class.clone(), channel, act }
}
