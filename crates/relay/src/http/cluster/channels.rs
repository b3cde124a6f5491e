//! What goes through an exec, an attach or a port-forward once both sides have switched: a program's streams, recorded, masked
//! and searched as those of a command over SSH. Ports are [`super::ports`], the connection itself is [`super::wires`].

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use gate::{Decided, Outcome, Release};
use mask::{MaskedBytes, MaskedText};
use proto_http::message::Response;
use proto_http::websocket::{self, Opcode, encode};
use proto_kubernetes::channel::Protocol;
use proto_kubernetes::channel::said::{self, Ended, Ending, Sizes};
use proto_kubernetes::channel::websocket::{Channel, Channels, FromClient, stdin_closed};
use proto_kubernetes::query::{Connect, Streams};
use proto_kubernetes::reply::status;
use proto_kubernetes::spdy::frame::Frame;
use proto_kubernetes::spdy::session::{Role, Session as Spdy, Step};
use terminal::Size;
use tokio::time::Instant;
use vocab::{Group, Seq};
use wire::RawField;

use super::super::answer::{Leaving, Stays};
use super::super::decide::Denied;
use super::super::request::Asked;
use super::super::session::{Cut, Session, over};
use super::Tunnel;
use super::wires::{Heard, Stirred, Wire, Wires, client, upstream};
use crate::alike::{room, unsaid};
use crate::entropy;
use crate::leg::Leg;
use crate::limits::{
    CHUNK_BYTES, RECORD, REFUSAL_RECORD, SOCKET_CLOSE, SOCKET_IDLE, SSH_PAUSE, SSH_TERMINAL_PAUSE,
};
use crate::program::{Look, Reads, Stream, Writes};
use crate::seat::Seat;

const GONE: &str = "the API server closed the connection before it said how the program ended";
const IDLE: &str = "nothing was said for an hour";
const ON_SCREEN: &str = "a detector found a value on the screen that no rule governs";
const TOO_MUCH_WORK: &str = "what the program does to the screen is more than the gateway follows";
const IN_AN_ARCHIVE: &str = "a detector found a value in an archive, and a placeholder there would break it";
pub(super) const CREDENTIAL: &str = "the gateway's own credential stands in the output";
const NO_STREAM: &str = "the program writes on a stream that was not opened";

impl Session {
    /// Both sides have switched: carries streams until they are over. Ends the connection.
    pub(in crate::http) async fn joined(
        &mut self,
        asked: &Asked,
        decided: &Decided,
        of: Seq,
        response: Response,
        tunnel: &Tunnel,
    ) -> Result<bool, Cut> {
        self.spent = true;
        self.dialled();
        let protocol = match tunnel.agreed(&response) {
            Ok(protocol) => protocol,
            Err(why) => {
                // The API server believes that there are streams.
                self.upstream.leg = Leg::Gone;
                self.withhold(asked, decided, of, None, Stays::Unreadable(502, why)).await?;
                return Ok(false);
            }
        };
        let mut answer = match self.begin(asked, response) {
            Ok(answer) => answer,
            Err(stays) => {
                self.withhold(asked, decided, of, None, stays).await?;
                return Ok(false);
            }
        };
        answer.opens = Some(tunnel.told());
        let around = self.around(&mut answer, false)?;
        if let Some(denied) = self.may_leave(asked, &mut answer, &around, of).await? {
            self.upstream.leg = Leg::Gone;
            self.withhold(asked, decided, of, Some(answer), Stays::Denied(denied)).await?;
            return Ok(false);
        }
        self.let_out(&mut answer, around, of).await?;
        let mut wires = Wires {
            client: Wire::new(tunnel, protocol, wire::Side::Client),
            upstream: Wire::new(tunnel, protocol, wire::Side::Upstream),
            idle: Instant::now() + SOCKET_IDLE,
        };
        let streams = match &tunnel.connect {
            Connect::Exec(exec) => &exec.streams,
            Connect::Attach(streams) => streams,
            Connect::PortForward(_) | Connect::Proxy(_) => {
                return self.ports(asked, of, tunnel, wires).await.map(|()| false);
            }
        };
        let mut carried = Carried::new(self, asked, of, tunnel, protocol, streams.clone(), answer.pieces)?;
        match self.program(&mut carried, &mut wires).await {
            Ok(()) => Ok(false),
            Err(cut) => {
                // Where nothing more can be recorded, recovery says what it says.
                let _rest_of_the_input = carried.no_more(self);
                if let Some(detail) = cut.detail.filter(|_| !carried.told) {
                    carried.say_failed(&mut wires, &mut self.to_client.out, detail);
                }
                Err(cut)
            }
        }
    }

    async fn program(&mut self, carried: &mut Carried<'_>, wires: &mut Wires) -> Result<(), Cut> {
        loop {
            while carried.writes.held().len() < CHUNK_BYTES && !carried.is_over() {
                match wires.upstream.next(&mut self.upstream.input)? {
                    Some(heard) => carried.on_upstream(self, wires, heard)?,
                    None => {
                        carried.lost |= carried.gone;
                        break;
                    }
                }
            }
            if carried.is_over() {
                return self.program_over(carried, wires).await;
            }
            if !carried.writes.held().is_empty() && !self.release(carried, wires, None).await? {
                return Ok(());
            }
            if let Some(heard) = wires.client.next(&mut self.client.input)? {
                carried.on_client(self, wires, heard).await?;
                wires.idle = Instant::now() + SOCKET_IDLE;
                continue;
            }
            let pause = if carried.seat.is_some() { SSH_TERMINAL_PAUSE } else { SSH_PAUSE };
            let waits = carried.writes.waits();
            match self.stir(wires.idle, waits.then_some(pause)).await? {
                Stirred::Read => wires.idle = Instant::now() + SOCKET_IDLE,
                Stirred::Pause if !self.to_client.out.is_empty() => {}
                Stirred::Pause => {
                    carried.writes.let_go(&look(self, &self.resource.gate.ledger().filter_key()))
                }
                Stirred::ClientGone => return Err(Cut::quiet("client-closed")),
                Stirred::UpstreamGone => carried.gone = true,
                Stirred::Idle => return Err(Cut::told("idle", 504, IDLE)),
            }
        }
    }

    /// The program has ended, or its connection has.
    async fn program_over(&mut self, carried: &mut Carried<'_>, wires: &mut Wires) -> Result<(), Cut> {
        carried.no_more(self)?;
        let key = self.resource.gate.ledger().filter_key();
        carried.writes.finish(&look(self, &key)).map_err(|why| Cut::told("unreadable", 502, why.0))?;
        let how = carried.ending.finish().map_err(|reason| Cut::told("unreadable", 502, reason.outward))?;
        let Some(how) = how else {
            if !carried.writes.held().is_empty() && !self.release(carried, wires, None).await? {
                return Ok(());
            }
            return Err(Cut::upstream(GONE));
        };
        if !self.release(carried, wires, Some(how)).await? {
            return Ok(());
        }
        for end in std::mem::take(&mut carried.ends) {
            wires.say_client(&mut self.to_client.out, &end);
        }
        if wires.in_messages() {
            self.to_client.close(1000, "");
            self.to_upstream.close(1000);
        }
        self.until_client_goes().await;
        let (leg, out) = (&mut self.upstream.leg, &mut self.to_upstream.out);
        let _whether_it_reads = tokio::time::timeout(SOCKET_CLOSE, leg.drain(out)).await;
        Ok(())
    }

    /// Clients read to the end of each stream, and then close: what they say meanwhile is dropped.
    async fn until_client_goes(&mut self) {
        let (leg, out, input) = (&mut self.client.leg, &mut self.to_client.out, &mut self.client.input);
        let gone = std::future::poll_fn(|cx| {
            if let Poll::Ready(Err(_)) = leg.poll_drain(cx, out) {
                return Poll::Ready(());
            }
            while let Poll::Ready(read) = leg.poll_fill(cx, input) {
                match read {
                    Ok(n) if n > 0 => input.clear(),
                    Ok(_) | Err(_) => return Poll::Ready(()),
                }
            }
            Poll::Pending
        });
        tokio::select! {
            _run = over(&mut self.ended) => {}
            _late = tokio::time::timeout(SOCKET_CLOSE, gone) => {}
        }
    }

    /// Records what is held, and releases it; `how`: with the outcome. `false`: it stays here, and the client knows.
    async fn release(
        &mut self,
        carried: &mut Carried<'_>,
        wires: &mut Wires,
        how: Option<Ended>,
    ) -> Result<bool, Cut> {
        let resource = self.resource.clone();
        let gate = &resource.gate;
        room(gate).await;
        let mut stays = None;
        if let Some(seat) = &carried.seat {
            let known = |value: &[u8]| self.known.origin(value).is_some();
            let shown = seat.show(&resource.programs, known, carried.writes.held()).await;
            for line in &shown.lines {
                let line = mask::text(&resource.programs, line).0;
                let noted = gate.note_of(&self.who, carried.of, "typed", line.as_str());
                let _before_the_piece = noted.map_err(|e| self.unrecorded(e))?;
            }
            stays = match shown.found.is_empty() {
                false => Some(ON_SCREEN),
                true => shown.lost.then_some(TOO_MUCH_WORK),
            };
            carried.writes.on_screen(shown.found);
        }
        stays = stays.or((carried.archive && carried.writes.hit_out).then_some(IN_AN_ARCHIVE));
        stays = stays.or(carried.credential.then_some(CREDENTIAL));
        let end = match how {
            Some(_) => Some(carried.masked_end(self)?),
            None => None,
        };
        // A person may be asked, and what was let out before does not wait for that.
        self.let_flow().await;
        if let Some(denied) = self.program_may(carried, stays).await? {
            self.stays(carried, wires, denied).await?;
            return Ok(false);
        }
        let key = gate.ledger().filter_key();
        let (recorded, piece) =
            carried.writes.piece(&look(self, &key), &resource.root, carried.seat.as_ref(), how.is_some());
        let mut leaves = carried.framed(wires, recorded)?;
        let receipt = match how {
            None => gate.piece(&self.who, carried.of, piece),
            Some(how) => {
                if let Some(status) = &end {
                    carried.writes.bytes += status.as_bytes().len() as u64;
                    leaves = leaves.then(carried.end_framed(wires, status)?);
                }
                let (good, tag) = tag(gate, how);
                let outcome = Outcome {
                    result: if good { "ok" } else { "error" },
                    state: "final",
                    // Whether a program that says it failed has had an effect, only the container knows.
                    settled: (!good).then_some("indeterminate"),
                    code: (!good).then(|| tag.clone()),
                    tag: Some(tag),
                    bytes: carried.writes.bytes,
                    exposures: piece.exposures,
                    tripwires: piece.tripwires,
                    filter: piece.filter,
                    reel: piece.reel,
                    partial: Some(match carried.asked.action.opaque.is_some() {
                        true => "partial: the command is opaque; its output was searched by detector",
                        false => "partial: searched by detector, since output has no columns",
                    }),
                    ..Outcome::default()
                };
                gate.outcome(&self.who, carried.of, outcome)
            }
        };
        let receipt = receipt.map_err(|e| self.unrecorded(e))?;
        let durable = self.durable(receipt, RECORD).await?;
        if how.is_some() {
            self.open = None;
            carried.told = true;
        }
        self.to_client.send(Release::after(durable, leaves));
        Ok(true)
    }

    /// Whether policy, people and the tripwire let out what is held.
    async fn program_may(
        &mut self,
        carried: &mut Carried<'_>,
        stays: Option<&'static str>,
    ) -> Result<Option<Denied>, Cut> {
        if let Some(why) = stays {
            let ground = gate::Ground {
                action: &carried.asked.action,
                context: &carried.asked.context,
                release: None,
            };
            let decided = unsaid(self.resource.gate.verdict(&self.who, &ground, &BTreeSet::new()));
            return Ok(Some(Denied { decided: Box::new(decided), why, status: 403, of: Some(carried.of) }));
        }
        let bytes = carried.writes.bytes + carried.writes.held().len() as u64;
        let leaving = Leaving { classes: &carried.writes.classes, hits: carried.writes.hits, bytes };
        self.may_go(carried.asked, leaving, &mut carried.approved, carried.of).await
    }

    /// What is held stays here: recorded as refused, and the client is told by the program's end.
    async fn stays(
        &mut self,
        carried: &mut Carried<'_>,
        wires: &mut Wires,
        denied: Denied,
    ) -> Result<(), Cut> {
        let gate = self.resource.gate.clone();
        let receipt = {
            let question = gate::Question { sending: &[], tripwires: &[], ..self.question(carried.asked) };
            let code = ledger::Code::status(denied.status);
            gate.refuse(
                &question,
                &denied.decided,
                code,
                denied.why,
                Some(carried.of),
                carried.writes.pieces > 1,
            )
        };
        let refused = receipt.map_err(|e| self.unrecorded(e))?;
        let record = refused.seq();
        let _first = self.durable(refused, REFUSAL_RECORD).await?;
        carried.no_more(self)?;
        let (exposures, tripwires) = carried.writes.withheld(&self.resource.root);
        let outcome = Outcome {
            result: "refused",
            state: "final",
            settled: Some("indeterminate"),
            bytes: carried.writes.bytes,
            exposures,
            tripwires,
            partial: Some("partial: the rest of the output was not released"),
            ..Outcome::default()
        };
        let receipt = gate.outcome(&self.who, carried.of, outcome).map_err(|e| self.unrecorded(e))?;
        let _recorded = self.durable(receipt, RECORD).await?;
        self.open = None;
        let told = denied.decided.message.as_deref().unwrap_or(denied.why);
        carried.say_failed(wires, &mut self.to_client.out, &format!("{told} (record {})", record.0));
        // The program is not waited for.
        self.upstream.leg = Leg::Gone;
        self.until_client_goes().await;
        Ok(())
    }
}

/// By whom and what a program's streams are looked at.
fn look<'a>(session: &'a Session, key: &'a mask::FilterKey) -> Look<'a> {
    Look { detectors: &session.resource.programs, known: &session.known, key }
}

/// How it ended: whether well, and a word for the record.
fn tag(gate: &gate::Gate, how: Ended) -> (bool, MaskedText) {
    match how {
        Ended::Success => (true, MaskedText::constant("exit 0")),
        Ended::Code(code) => (false, mask::name(gate.detectors(), &format!("exit {code}"))),
        Ended::Failed => (false, MaskedText::constant("failed")),
    }
}

/// A program in a container, and what is known of its streams.
struct Carried<'a> {
    asked: &'a Asked,
    of: Seq,
    writes: Writes,
    reads: Reads,
    seat: Option<Seat>,
    streams: Streams,
    /// Over WebSocket, what a message may be; else what a frame may.
    channels: Option<Channels>,
    spdy: Option<Spdy>,
    /// The number of each stream of SPDY's.
    numbers: BTreeMap<Role, u32>,
    /// How upstream has ended which of them: the client is told behind what is held.
    ends: Vec<Frame>,
    done: BTreeSet<Role>,
    sizes: Sizes,
    /// The terminal has the size that it began with.
    sized: bool,
    ending: Ending,
    end: Vec<u8>,
    approved: BTreeSet<Group>,
    /// The end of what came of each stream, as far as the gateway's own credential could begin there; and whether it did, and went on.
    before: (Vec<u8>, Vec<u8>),
    credential: bool,
    /// What it writes is an archive: a placeholder there would break it.
    archive: bool,
    /// Upstream's connection is over, and all that came of it is read.
    lost: bool,
    /// It is over.
    gone: bool,
    /// The client knows how it ended.
    told: bool,
}

impl<'a> Carried<'a> {
    fn new(
        session: &Session,
        asked: &'a Asked,
        of: Seq,
        tunnel: &Tunnel,
        protocol: Protocol,
        streams: Streams,
        pieces: u64,
    ) -> Result<Carried<'a>, Cut> {
        let reel = session.resource.config.reel;
        let seat = streams.tty.then(|| Seat::new(Size::new(80, 24), MaskedText::constant("")));
        let spdy = protocol.is_spdy(tunnel.carrier);
        let channels = match spdy {
            true => None,
            false => {
                let channels = Channels::new(protocol, streams.clone());
                Some(channels.map_err(|reason| Cut::told("unreadable", 502, reason.outward))?)
            }
        };
        let mut writes = Writes::new(reel);
        // The head was the first piece.
        writes.pieces = pieces;
        let archive = match &tunnel.connect {
            Connect::Exec(exec) => exec.words.first().is_some_and(|word| is_archiver(word)),
            _ => false,
        };
        Ok(Carried {
            asked,
            of,
            writes,
            reads: Reads::new(reel, seat.is_none()),
            archive: archive && seat.is_none(),
            seat,
            channels,
            spdy: spdy.then(|| Spdy::program(streams.clone())),
            streams,
            numbers: BTreeMap::new(),
            ends: Vec::new(),
            done: BTreeSet::new(),
            sizes: Sizes::default(),
            sized: false,
            ending: Ending::default(),
            end: Vec::new(),
            approved: BTreeSet::new(),
            before: (Vec::new(), Vec::new()),
            credential: false,
            lost: false,
            gone: false,
            told: false,
        })
    }

    /// Nothing more comes of it.
    fn is_over(&self) -> bool {
        let all =
            [(Role::Stdout, self.streams.stdout), (Role::Stderr, self.streams.stderr), (Role::Error, true)];
        self.lost || all.iter().all(|(role, asked)| !asked || self.done.contains(role))
    }

    /// Something of upstream's. Errors: what it may not say.
    fn on_upstream(&mut self, session: &mut Session, wires: &mut Wires, heard: Heard) -> Result<(), Cut> {
        match heard {
            Heard::Ping(payload) => session.to_upstream.pong(&payload),
            Heard::Close => self.lost = true,
            Heard::Message(message) => {
                let Some(channels) = &self.channels else { return Ok(()) };
                let (channel, bytes) = channels.on_upstream(&message).map_err(upstream)?;
                match channel {
                    Channel::Stdout => self.wrote(session, Stream::Out, &bytes)?,
                    Channel::Stderr => self.wrote(session, Stream::Err, &bytes)?,
                    Channel::Error if !bytes.is_empty() => {
                        self.ended(&bytes)?;
                        // What is written to the other streams was sent before.
                        self.done.extend([Role::Stdout, Role::Stderr, Role::Error]);
                    }
                    Channel::Error | Channel::Stdin | Channel::Resize => {}
                }
            }
            Heard::Frame(frame) => self.on_upstream_frame(session, wires, frame)?,
        }
        Ok(())
    }

    fn on_upstream_frame(
        &mut self,
        session: &mut Session,
        wires: &mut Wires,
        frame: Frame,
    ) -> Result<(), Cut> {
        let Some(spdy) = &mut self.spdy else { return Ok(()) };
        match spdy.on_upstream(frame)? {
            Step::Nothing => {}
            Step::Answer(frame) => wires.say_upstream(&mut session.to_upstream.out, &frame),
            Step::Forward { frame: Frame::GoAway { .. }, .. } => self.lost = true,
            Step::Forward { frame: Frame::Data { stream, fin, bytes }, on: Some(role) } => {
                match role {
                    Role::Stdout => self.wrote(session, Stream::Out, bytes.as_bytes())?,
                    Role::Stderr => self.wrote(session, Stream::Err, bytes.as_bytes())?,
                    Role::Error => self.ended(bytes.as_bytes())?,
                    Role::Stdin | Role::Resize | Role::PortData { .. } | Role::PortError { .. } => {}
                }
                if fin {
                    self.ends.push(Frame::Data { stream, fin: true, bytes: RawField::new(Bytes::new()) });
                    self.done.insert(role);
                }
            }
            Step::Forward { frame: frame @ Frame::Reset { .. }, on: Some(role) } => {
                self.ends.push(frame);
                self.done.insert(role);
            }
            Step::Forward { frame, .. } => wires.say_client(&mut session.to_client.out, &frame),
        }
        Ok(())
    }

    fn wrote(&mut self, session: &Session, stream: Stream, bytes: &[u8]) -> Result<(), Cut> {
        let key = session.resource.gate.ledger().filter_key();
        let look = look(session, &key);
        // The gateway's own credential does not leave, wherever it is cut.
        let before = match stream {
            Stream::Out => &mut self.before.0,
            Stream::Err => &mut self.before.1,
        };
        if session.needles.straddle(before, bytes) {
            self.credential = true;
        }
        before.extend_from_slice(bytes);
        let goes = before.len().saturating_sub(session.needles.reach());
        before.drain(..goes);
        let clean = session.needles.without(bytes);
        let bytes = clean.as_deref().unwrap_or(bytes);
        let echoes = self.seat.as_ref().is_some_and(|seat| seat.echoes(bytes));
        self.writes.push(&look, stream, bytes).map_err(|why| Cut::told("unreadable", 502, why.0))?;
        if echoes {
            self.writes.let_go(&look);
        }
        Ok(())
    }

    fn ended(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        self.ending.push(bytes).map_err(upstream)?;
        self.end.extend_from_slice(bytes);
        Ok(())
    }

    /// Something of the client's. Errors: what it may not say.
    async fn on_client(&mut self, session: &mut Session, wires: &mut Wires, heard: Heard) -> Result<(), Cut> {
        match heard {
            Heard::Ping(payload) => session.to_client.pong(&payload),
            Heard::Close => return Err(Cut::quiet("client-closed")),
            Heard::Message(message) => {
                let Some(channels) = &mut self.channels else { return Ok(()) };
                match channels.on_client(&message).map_err(client)? {
                    FromClient::Stdin(bytes) => {
                        let mut sending = BytesMut::new();
                        let message = Channel::Stdin.message(&bytes);
                        encode(&mut sending, Opcode::Binary, &message, Some(entropy::random()));
                        self.read(session, &bytes, &sending).await?;
                    }
                    FromClient::Resize(bytes) => {
                        if let Some(size) = self.resized(session, &bytes).await? {
                            let message = Channel::Resize.message(&size);
                            encode(
                                &mut session.to_upstream.out,
                                Opcode::Binary,
                                &message,
                                Some(entropy::random()),
                            );
                        }
                    }
                    FromClient::StdinClosed => {
                        self.no_more(session)?;
                        encode(
                            &mut session.to_upstream.out,
                            Opcode::Binary,
                            &stdin_closed(),
                            Some(entropy::random()),
                        );
                    }
                }
            }
            Heard::Frame(frame) => self.on_client_frame(session, wires, frame).await?,
        }
        Ok(())
    }

    async fn on_client_frame(
        &mut self,
        session: &mut Session,
        wires: &mut Wires,
        frame: Frame,
    ) -> Result<(), Cut> {
        let Some(spdy) = &mut self.spdy else { return Ok(()) };
        match spdy.on_client(frame)? {
            Step::Nothing => {}
            Step::Answer(frame) => wires.say_client(&mut session.to_client.out, &frame),
            Step::Forward { frame: Frame::GoAway { .. }, .. } => return Err(Cut::quiet("client-closed")),
            Step::Forward { frame: Frame::Data { stream, fin, bytes }, on: Some(Role::Stdin) } => {
                let bytes = bytes.into_bytes();
                if !bytes.is_empty() {
                    let sending = wires.data(stream, false, &bytes);
                    self.read(session, &bytes, &sending).await?;
                }
                if fin {
                    self.no_more(session)?;
                    let fin = Frame::Data { stream, fin, bytes: RawField::new(Bytes::new()) };
                    wires.say_upstream(&mut session.to_upstream.out, &fin);
                }
            }
            Step::Forward { frame: Frame::Data { stream, fin, bytes }, on: Some(Role::Resize) } => {
                let written = self.resized(session, bytes.as_bytes()).await?.unwrap_or_default();
                let frame = Frame::Data { stream, fin, bytes: RawField::new(written.into()) };
                wires.say_upstream(&mut session.to_upstream.out, &frame);
            }
            Step::Forward { frame, on } => {
                if let (Frame::Open { stream, .. }, Some(role)) = (&frame, on) {
                    self.numbers.insert(role, *stream);
                }
                // What is data here is the end of a stream, and empty.
                wires.say_upstream(&mut session.to_upstream.out, &frame);
            }
        }
        Ok(())
    }

    /// Input: recorded, and sent as it is.
    async fn read(&mut self, session: &mut Session, bytes: &Bytes, sending: &[u8]) -> Result<(), Cut> {
        let gate = session.resource.gate.clone();
        let detectors = gate.detectors_of(&session.who);
        session.echoed(&detectors, bytes);
        if let Some(seat) = &self.seat {
            session.echoed(&detectors, &seat.typed(bytes));
        }
        let piece = self.reads.piece(&detectors, bytes).map_err(|why| Cut::told("unreadable", 400, why.0))?;
        let intent = match &self.seat {
            None => gate.piece_upstream(&session.who, self.of, piece, sending, entropy::tick()),
            // What is not echoed is a password perhaps.
            Some(_) => gate.piece_unopened(&session.who, self.of, piece, sending, entropy::tick()),
        };
        let (_seq, permit) = session.permitted(intent).await?;
        session.to_upstream.send(permit, sending, None)?;
        Ok(())
    }

    /// There is no more input.
    fn no_more(&mut self, session: &Session) -> Result<(), Cut> {
        let gate = &session.resource.gate;
        if let Some(piece) = self.reads.rest(&gate.detectors_of(&session.who)) {
            let piece = gate.piece(&session.who, self.of, piece);
            let _covered_by_the_outcome = piece.map_err(|e| session.unrecorded(e))?;
        }
        Ok(())
    }

    /// The size of the terminal, as it goes on: of several at once the last is what is seen. The screen that is searched has no other.
    /// A new one goes on behind its record; with the first one the terminal begins.
    async fn resized(&mut self, session: &mut Session, bytes: &[u8]) -> Result<Option<Vec<u8>>, Cut> {
        let Some(last) = self.sizes.push(bytes).map_err(client)?.pop() else { return Ok(None) };
        let size = Size::new(last.width.into(), last.height.into());
        if let Some(seat) = &self.seat {
            if std::mem::replace(&mut self.sized, true) {
                let words = format!("{}x{}", size.columns(), size.rows());
                let noted = session.resource.gate.note_of(&session.who, self.of, "window", &words);
                let receipt = noted.map_err(|e| session.unrecorded(e))?;
                let _durable = session.durable(receipt, RECORD).await?;
            }
            seat.resize(size);
        }
        let said = said::Size { width: size.columns(), height: size.rows() };
        Ok(Some(said.written()))
    }

    /// What was recorded, in frames.
    fn framed(&self, wires: &Wires, recorded: crate::program::Recorded) -> Result<MaskedBytes, Cut> {
        let (mut held, mut out) = (recorded.held, mask::constant(b""));
        for (stream, length) in recorded.cuts {
            let piece = held.split_to(length);
            let (channel, role) = match stream {
                Stream::Out => (Channel::Stdout, Role::Stdout),
                Stream::Err => (Channel::Stderr, Role::Stderr),
            };
            out = out.then(self.one_framed(wires, channel, role, &piece)?);
        }
        Ok(out)
    }

    fn one_framed(
        &self,
        wires: &Wires,
        channel: Channel,
        role: Role,
        piece: &MaskedBytes,
    ) -> Result<MaskedBytes, Cut> {
        match &self.channels {
            Some(_) => Ok(mask::channel_message(channel.number(), piece)),
            None => {
                let number = self.numbers.get(&role).ok_or_else(|| Cut::upstream(NO_STREAM))?;
                Ok(wires.masked(*number, piece))
            }
        }
    }

    /// What upstream says of the end, masked; what was found in it is of this program's output.
    fn masked_end(&mut self, session: &Session) -> Result<MaskedBytes, Cut> {
        let key = session.resource.gate.ledger().filter_key();
        let clean = session.needles.without(&self.end);
        let end = clean.as_deref().unwrap_or(&self.end);
        self.writes.beside(&look(session, &key), end).map_err(|why| Cut::told("unreadable", 502, why.0))
    }

    fn end_framed(&self, wires: &Wires, status: &MaskedBytes) -> Result<MaskedBytes, Cut> {
        self.one_framed(wires, Channel::Error, Role::Error, status)
    }

    /// Tells the client in the gateway's own words that it ends here.
    fn say_failed(&mut self, wires: &mut Wires, out: &mut BytesMut, why: &str) {
        self.told = true;
        let status = status(500, why, &[]);
        match (&self.channels, self.numbers.get(&Role::Error)) {
            (Some(_), _) => {
                encode(out, Opcode::Binary, &Channel::Error.message(&status), None);
                encode(out, Opcode::Close, &websocket::close_payload(1000, ""), None);
            }
            (None, Some(error)) => {
                let end = Frame::Data { stream: *error, fin: true, bytes: RawField::new(status.into()) };
                wires.say_client(out, &end);
                let others =
                    self.numbers.iter().filter(|(role, _)| matches!(role, Role::Stdout | Role::Stderr));
                for (_, stream) in others {
                    let end = Frame::Data { stream: *stream, fin: true, bytes: RawField::new(Bytes::new()) };
                    wires.say_client(out, &end);
                }
            }
            (None, None) => {}
        }
    }
}

/// Whether a program writes what a placeholder would break.
fn is_archiver(word: &str) -> bool {
    let base = word.rsplit('/').next().unwrap_or(word);
    matches!(base, "tar" | "gzip" | "zip" | "cpio" | "xz" | "bzip2" | "zstd")
}
