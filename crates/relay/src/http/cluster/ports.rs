//! Ports of a pod that a client connects to, through streams of SPDY's: each connection is an action of its own, decided by its
//! port. Its bytes mean nothing here: they are counted both ways and searched, and go on as they are.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gate::{By, Exposure, Outcome, Piece, Release, Tripped};
use mask::body::{Body, Media};
use mask::{FilterBuilder, FilterStream, MaskedBytes};
use proto_kubernetes::spdy::frame::Frame;
use proto_kubernetes::spdy::headers::Headers;
use proto_kubernetes::spdy::session::{Role, Session as Spdy, Step};
use tokio::time::Instant;
use vocab::{Class, Group, Seq};
use wire::RawField;

use super::super::answer::Leaving;
use super::super::decide::Ruling;
use super::super::request::Asked;
use super::super::session::{Cut, Session};
use super::channels::{Heard, Stirred, Wires};
use crate::alike::{room, tripped};
use crate::entropy;
use crate::limits::{RECORD, SOCKET_IDLE};

/// RST_STREAM, 2.6.3: the stream is not wanted any more.
const CANCEL: u32 = 5;

const IDLE: &str = "nothing was said for an hour";

/// One connection to a port.
struct Pair {
    asked: Asked,
    /// Its intent. `None`: it was refused.
    of: Option<Seq>,
    /// The stream of its data, once it is opened.
    data: Option<u32>,
    /// What passed, for values that are cut.
    there: mask::Opaque,
    back: mask::Opaque,
    pieces: u64,
    bytes_there: u64,
    bytes_back: u64,
    classes: BTreeSet<Class>,
    hits: u64,
    /// What left, for the filter.
    left: FilterStream,
    filter: FilterBuilder,
    approved: BTreeSet<Group>,
    client_done: bool,
    upstream_done: bool,
}

/// All of one port-forward.
struct Ports<'a> {
    opened: &'a Asked,
    spdy: Spdy,
    pairs: BTreeMap<u32, Pair>,
    over: Option<&'static str>,
}

impl Session {
    /// Carries connections to ports until one side has gone.
    pub(super) async fn ports(&mut self, asked: &Asked, of: Seq, mut wires: Wires) -> Result<(), Cut> {
        let mut ports =
            Ports { opened: asked, spdy: Spdy::port_forward(), pairs: BTreeMap::new(), over: None };
        let carried = self.carry_ports(&mut ports, &mut wires).await;
        let pairs = std::mem::take(&mut ports.pairs);
        let how = ports.over.filter(|_| carried.is_ok());
        for pair in pairs.into_values() {
            self.settle_port(&pair, how)?;
        }
        carried?;
        let outcome = Outcome {
            result: "ok",
            state: "final",
            tag: Some(mask::name(
                self.resource.gate.detectors(),
                &format!("101, {}", how.unwrap_or("closed")),
            )),
            partial: Some("partial: opaque; searched by detector, and not masked"),
            ..Outcome::default()
        };
        let receipt = self.resource.gate.outcome(&self.who, of, outcome).map_err(|e| self.unrecorded(e))?;
        let _recorded = self.durable(receipt, RECORD).await?;
        self.open = None;
        let _whether_it_reads = self.drain_client().await;
        Ok(())
    }

    async fn carry_ports(&mut self, ports: &mut Ports<'_>, wires: &mut Wires) -> Result<(), Cut> {
        while ports.over.is_none() {
            if let Some(heard) = wires.upstream.next(&mut self.upstream.input)? {
                self.port_upstream(ports, wires, heard).await?;
                continue;
            }
            if let Some(heard) = wires.client.next(&mut self.client.input)? {
                self.port_client(ports, wires, heard).await?;
                continue;
            }
            match self.stir(wires.idle, None).await? {
                Stirred::Read => wires.idle = Instant::now() + SOCKET_IDLE,
                Stirred::Pause => {}
                Stirred::ClientGone => ports.over = Some("closed by the client"),
                Stirred::UpstreamGone => ports.over = Some("closed by the other end"),
                Stirred::Idle => return Err(Cut::told("idle", 504, IDLE)),
            }
        }
        Ok(())
    }

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
                ports.over = Some("closed by the client");
                return Ok(());
            }
            Heard::Message(_) => return Ok(()),
            Heard::Frame(frame) => frame,
        };
        match ports.spdy.on_client(frame)? {
            Step::Nothing => {}
            Step::Answer(frame) => wires.to_client(&mut self.to_client.out, &frame),
            Step::Forward { frame: Frame::GoAway { .. }, .. } => ports.over = Some("closed by the client"),
            Step::Forward {
                frame: Frame::Data { stream, fin, bytes },
                on: Some(Role::PortData { request, .. }),
            } => {
                self.there(ports, wires, request, (stream, fin, bytes.into_bytes())).await?;
            }
            Step::Forward { frame, on: Some(role) } => {
                let Some((request, port)) = of(role) else { return Ok(()) };
                if let Frame::Open { stream, .. } = &frame {
                    return self.port_opened(ports, wires, (role, *stream), (request, port), frame).await;
                }
                let Some(pair) = ports.pairs.get_mut(&request).filter(|pair| pair.of.is_some()) else {
                    return Ok(());
                };
                pair.client_done |= matches!(frame, Frame::Reset { .. }) && pair.is_data(role);
                wires.to_upstream(&mut self.to_upstream.out, &frame);
                self.perhaps_over(ports, request)?;
            }
            Step::Forward { on: None, .. } => {}
        }
        Ok(())
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
            let ruling = self.decide(&asked).await?;
            let of = match ruling {
                Ruling::Go(decided, approval) => {
                    let (seq, permit) = self.intend(&asked, &decided, approval).await?;
                    self.to_upstream.opens(permit, &asked.sending)?;
                    Some(seq)
                }
                Ruling::No => None,
            };
            ports.pairs.insert(request, Pair::new(asked, of));
        }
        let Some(pair) = ports.pairs.get_mut(&request) else { return Ok(()) };
        if pair.is_data(role) {
            pair.data = Some(stream);
        }
        if pair.of.is_some() {
            wires.to_upstream(&mut self.to_upstream.out, &frame);
            return Ok(());
        }
        // The client is told as the kubelet tells of a port that nobody listens on.
        let why = self.closing.clone().unwrap_or_default();
        let words =
            if pair.is_data(role) { Bytes::new() } else { Bytes::from(format!("not permitted: {why}")) };
        let reply = Frame::Reply { stream, fin: false, headers: Headers(Vec::new()) };
        let end = Frame::Data { stream, fin: true, bytes: RawField::new(words) };
        for frame in [reply, end] {
            let said = match &frame {
                // What the gateway says itself is no word of the other side's; the stream is as if it were.
                Frame::Data { stream, .. } => {
                    Frame::Data { stream: *stream, fin: true, bytes: RawField::new(Bytes::new()) }
                }
                other => other.clone(),
            };
            let _as_if_it_came = ports.spdy.on_upstream(said)?;
            wires.to_client(&mut self.to_client.out, &frame);
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
            pair.client_done = true;
            let fin = Frame::Data { stream, fin: true, bytes: RawField::new(Bytes::new()) };
            wires.to_upstream(&mut self.to_upstream.out, &fin);
        }
        self.perhaps_over(ports, request)
    }

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
                ports.over = Some("closed by the other end");
                return Ok(());
            }
            Heard::Message(_) => return Ok(()),
            Heard::Frame(frame) => frame,
        };
        match ports.spdy.on_upstream(frame)? {
            Step::Nothing => {}
            Step::Answer(frame) => wires.to_upstream(&mut self.to_upstream.out, &frame),
            Step::Forward { frame: Frame::GoAway { .. }, .. } => ports.over = Some("closed by the other end"),
            Step::Forward { frame: Frame::Data { stream, fin, bytes }, on: Some(role) } => {
                let Some((request, _)) = of(role) else { return Ok(()) };
                self.back(ports, wires, (request, role), (stream, fin, bytes.into_bytes())).await?;
            }
            Step::Forward { frame, on } => {
                if let (Frame::Reset { .. }, Some((request, _))) = (&frame, on.and_then(of)) {
                    if let Some(pair) = ports.pairs.get_mut(&request) {
                        (pair.client_done, pair.upstream_done) = (true, true);
                    }
                    wires.to_client(&mut self.to_client.out, &frame);
                    return self.perhaps_over(ports, request);
                }
                wires.to_client(&mut self.to_client.out, &frame);
            }
        }
        Ok(())
    }

    /// What a port says, or what failed of it: searched, recorded, and released.
    async fn back(
        &mut self,
        ports: &mut Ports<'_>,
        wires: &mut Wires,
        (request, role): (u32, Role),
        (stream, fin, bytes): (u32, bool, Bytes),
    ) -> Result<(), Cut> {
        let resource = self.resource.clone();
        let gate = &resource.gate;
        let Some(pair) = ports.pairs.get_mut(&request) else { return Ok(()) };
        let Some(of) = pair.of else { return Ok(()) };
        if !bytes.is_empty() {
            let mut revealed: BTreeMap<Class, u64> = BTreeMap::new();
            let (masked, tripwires): (MaskedBytes, BTreeSet<Tripped>) = match pair.is_data(role) {
                true => {
                    let (bytes, found) = pair.back.pass(gate.detectors(), &bytes);
                    pair.hits += found.len() as u64;
                    found.iter().for_each(|finding| *revealed.entry(finding.class.clone()).or_default() += 1);
                    (bytes, found.iter().map(|finding| hit(finding, "output", "revealed")).collect())
                }
                // Words of the kubelet's.
                false => self.words(&bytes)?,
            };
            pair.classes.extend(tripwires.iter().map(|hit| hit.class.clone()));
            let length = masked.as_bytes().len() as u64;
            let leaving =
                Leaving { classes: &pair.classes, hits: pair.hits, bytes: pair.bytes_back + length };
            room(gate).await;
            if let Some(denied) = self.may_go(&pair.asked, leaving, &mut pair.approved, of).await? {
                let stays = tripwires.into_iter().map(|hit| Tripped { act: "refused", ..hit }).collect();
                self.withhold_port(pair, of, &denied, stays).await?;
                let reset = Frame::Reset { stream, status: CANCEL };
                let _as_if_it_came = ports.spdy.on_upstream(reset.clone())?;
                wires.to_client(&mut self.to_client.out, &reset);
                wires.to_upstream(&mut self.to_upstream.out, &reset);
                return Ok(());
            }
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
            let key = gate.ledger().filter_key();
            pair.left.piece(&mut pair.filter, &key, masked.as_bytes());
            pair.left.so_far(&mut pair.filter, &key);
            let piece = Piece {
                n: pair.pieces,
                to: "client",
                bytes: length,
                exposures: revealed.into_iter().map(exposure).collect(),
                tripwires,
                filter: (!pair.filter.is_empty()).then(|| pair.filter.take()),
                ..Piece::default()
            };
            pair.pieces += 1;
            pair.bytes_back += length;
            let receipt = gate.piece(&self.who, of, piece).map_err(|e| self.unrecorded(e))?;
            let durable = self.durable(receipt, RECORD).await?;
            self.to_client.send(Release::after(durable, wires.masked(stream, &masked)));
        }
        if fin {
            pair.upstream_done |= pair.is_data(role);
            let fin = Frame::Data { stream, fin: true, bytes: RawField::new(Bytes::new()) };
            wires.to_client(&mut self.to_client.out, &fin);
        }
        self.perhaps_over(ports, request)
    }

    fn words(&self, bytes: &[u8]) -> Result<(MaskedBytes, BTreeSet<Tripped>), Cut> {
        let unreadable = |why: mask::body::Unreadable| Cut::told("unreadable", 502, why.0);
        let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
        let detectors = self.resource.gate.detectors();
        let first = body.push(detectors, &self.known, bytes).map_err(unreadable)?;
        let mut found = tripped(&body.take_found(), "output");
        let (rest, last) = body.finish(detectors, &self.known).map_err(unreadable)?;
        found.extend(tripped(&last, "output"));
        Ok((first.then(rest), found))
    }

    async fn withhold_port(
        &mut self,
        pair: &mut Pair,
        of: Seq,
        denied: &super::super::decide::Denied,
        tripwires: BTreeSet<Tripped>,
    ) -> Result<(), Cut> {
        let gate = self.resource.gate.clone();
        let receipt = {
            let question = gate::Question { sending: &[], tripwires: &[], ..self.question(&pair.asked) };
            let code = ledger::Code::status(denied.status);
            gate.refuse(&question, &denied.decided, code, denied.why, Some(of), pair.bytes_back > 0)
        };
        let _before_the_outcome = receipt.map_err(|e| self.unrecorded(e))?;
        let outcome = Outcome {
            result: "refused",
            settled: Some("indeterminate"),
            tripwires,
            ..pair.outcome(&gate, "held back")
        };
        let receipt = gate.outcome(&self.who, of, outcome).map_err(|e| self.unrecorded(e))?;
        pair.of = None;
        self.durable(receipt, RECORD).await.map(|_durable| ())
    }

    /// A connection that both have ended is over.
    fn perhaps_over(&mut self, ports: &mut Ports<'_>, request: u32) -> Result<(), Cut> {
        let done = ports.pairs.get(&request).is_some_and(|pair| pair.client_done && pair.upstream_done);
        match done.then(|| ports.pairs.remove(&request)).flatten() {
            Some(pair) => self.settle_port(&pair, Some("ended by both")),
            None => Ok(()),
        }
    }

    /// Says how a connection ended; `None`: nobody knows.
    fn settle_port(&mut self, pair: &Pair, how: Option<&'static str>) -> Result<(), Cut> {
        let Some(of) = pair.of else { return Ok(()) };
        let outcome = match how {
            Some(how) => pair.outcome(&self.resource.gate, how),
            None => {
                let cut = pair.outcome(&self.resource.gate, "cut");
                Outcome { result: "indeterminate", settled: Some("indeterminate"), ..cut }
            }
        };
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
            data: None,
            there: mask::Opaque::default(),
            back: mask::Opaque::default(),
            pieces: 0,
            bytes_there: 0,
            bytes_back: 0,
            classes: BTreeSet::new(),
            hits: 0,
            left: FilterStream::new(),
            filter: FilterBuilder::new(),
            approved: BTreeSet::new(),
            client_done: false,
            upstream_done: false,
        }
    }

    fn is_data(&self, role: Role) -> bool {
        matches!(role, Role::PortData { .. })
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

fn of(role: Role) -> Option<(u32, u16)> {
    match role {
        Role::PortData { request, port } | Role::PortError { request, port } => Some((request, port)),
        Role::Stdin | Role::Stdout | Role::Stderr | Role::Error | Role::Resize => None,
    }
}

fn hit(finding: &mask::Finding, channel: &'static str, act: &'static str) -> Tripped {
    Tripped { detector: finding.detector, class: finding.class.clone(), channel, act }
}
