//! The channel: what waits on its way to the host and to the client, and in which order all of it happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gate::{Intent, Outcome, Release};
use ledger::Receipt;
use mask::{MaskedBytes, MaskedText};
use proto_ssh::sftp::action::LinkOrder;
use proto_ssh::sftp::frame::{Decoder, Frame, tag};
use proto_ssh::sftp::session::{FileId, Options, QuestionId, Session};
use proto_ssh::sftp::version::{Extension, Extensions};
use vocab::Seq;
use wire::Fault;

use super::super::FAILED_STATUS;
use super::super::asked::Asked;
use super::super::channel::{LOST, asks, not_sent, signal_name, tag as told_tag, told};
use super::super::decide::{Cut, Over, over};
use super::super::library::{Ear, Lane, Said, Sig, Stdin};
use super::super::link::Link;
use super::super::writer::{ClientWriter, Ended, UpstreamWriter};
use super::Ending;
use super::content::Held;
use super::file::File;
use super::request::{Answered, coverage};
use crate::awaited::Awaited;
use crate::limits::{RECORD, SFTP_IN_FLIGHT_BYTES, SFTP_UNSENT_BYTES};

/// One channel of SFTP's.
pub(super) struct Carry<'a> {
    pub(super) link: &'a Link,
    pub(super) lane: &'a Lane,
    pub(super) writer: &'a UpstreamWriter,
    pub(super) session: Session,
    /// The intent of the channel.
    pub(super) of: Seq,
    pub(super) pieces: u64,
    client: Incoming,
    host: Incoming,
    /// The host has said that it starts it.
    started: bool,
    /// How it ended, and that the host has closed the channel.
    how: Option<Ended>,
    pub(super) closed: bool,
    /// The client sends no more; and the host is told, once.
    no_more: bool,
    told_no_more: bool,
    /// A CLOSE waits for what was read before it.
    stopped: Option<Frame>,
    pub(super) files: BTreeMap<FileId, File>,
    /// What waits for the host's answer, by the client's ids.
    pub(super) sent: BTreeMap<u32, Sent>,
    /// What was read and is not yet recorded, in its order.
    pub(super) held: VecDeque<Held>,
    /// Questions about what stands around pieces that the host has not answered.
    pub(super) questions: BTreeSet<QuestionId>,
    /// On its way to the host, in its order.
    up: VecDeque<Up>,
    unsent: usize,
    /// On its way to the client.
    down: VecDeque<Down>,
    /// What answers may hold that were asked for and have not left.
    in_flight: usize,
    /// Intents without an outcome.
    pub(super) live: BTreeSet<Seq>,
    /// A question to people that has just been asked.
    pub(super) asking: Option<Asking<'a>>,
    pub(super) is_asking: bool,
    pub(super) over: Over,
}

/// A question to people, until its answer.
pub(super) type Asking<'a> = Waits<'a, Result<Answered, Cut>>;

type Waits<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One side's bytes, until they are packets.
struct Incoming {
    decoder: Decoder,
    bytes: BytesMut,
}

/// What was sent for a client.
pub(super) struct Sent {
    /// The intent that it is within.
    pub(super) of: Seq,
    /// It has an intent of its own, and this is it.
    pub(super) own: Option<Arc<Asked>>,
    pub(super) file: Option<FileId>,
    /// It is a READ.
    pub(super) reads: bool,
    /// It sets the file's length.
    pub(super) cuts: Option<u64>,
    /// What its answer may hold.
    pub(super) cost: usize,
}

impl Sent {
    /// What is within the intent `of`.
    pub(super) fn within(of: Seq, file: Option<FileId>, cost: usize) -> Sent {
        Sent { of, own: None, file, reads: false, cuts: None, cost }
    }
}

/// Something for the host.
enum Up {
    /// Within what was permitted.
    Within(Bytes),
    /// Behind its own record.
    Behind(Intent, Bytes),
    /// There is no more.
    End,
}

/// Something for the client.
enum Down {
    /// Words of the gateway's own.
    Own(Bytes, usize),
    Packet(Awaited, MaskedBytes, usize),
    /// The answer to the READ of this id.
    Data(Awaited, u32, MaskedBytes, usize),
}

/// Why a channel does not go on.
pub(super) enum Stop {
    Cut(Cut),
    /// Somebody sent what is none of the protocol.
    Malformed(Fault),
}

impl From<Cut> for Stop {
    fn from(cut: Cut) -> Stop {
        Stop::Cut(cut)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Malformed(fault)
    }
}

/// How a channel came to its end.
enum End {
    Host(Ended),
    NotStarted,
}

impl<'a> Carry<'a> {
    pub(super) fn new(
        link: &'a Link,
        lane: &'a Lane,
        writer: &'a UpstreamWriter,
        of: Seq,
        link_order: LinkOrder,
        over: Over,
    ) -> Carry<'a> {
        let extensions = Extensions::all().without(Extension::CopyData);
        Carry {
            link,
            lane,
            writer,
            session: Session::new(Options { link_order, extensions }),
            of,
            pieces: 0,
            client: Incoming { decoder: Decoder::client(), bytes: BytesMut::new() },
            host: Incoming { decoder: Decoder::upstream(), bytes: BytesMut::new() },
            started: false,
            how: None,
            closed: false,
            no_more: false,
            told_no_more: false,
            questions: BTreeSet::new(),
            stopped: None,
            files: BTreeMap::new(),
            sent: BTreeMap::new(),
            held: VecDeque::new(),
            up: VecDeque::new(),
            unsent: 0,
            down: VecDeque::new(),
            in_flight: 0,
            live: BTreeSet::from([of]),
            asking: None,
            is_asking: false,
            over,
        }
    }

    /// Carries it to its end, and says in the record what became of all that was begun.
    pub(super) async fn run(mut self, ear: Ear) -> Result<Ending, Cut> {
        let served = self.serve(ear).await;
        match served {
            Ok(End::Host(how)) => {
                let (good, tag) = told_tag(&self.link.resource.gate, &how);
                let outcome = ended_by_itself(good, tag);
                self.settle(outcome, "partial: the host ended SFTP before the request's end").await?;
                told(self.lane, how).await?;
                Ok(Ending::ByItself)
            }
            Ok(End::NotStarted) => {
                let outcome =
                    failed(MaskedText::constant("not started"), "partial: the host did not start it");
                self.settle(outcome, "").await?;
                self.link.part(self.lane, NOT_STARTED, FAILED_STATUS).await;
                Ok(Ending::Cut)
            }
            Err(Stop::Malformed(fault)) => {
                let outcome = Outcome {
                    settled: Some("indeterminate"),
                    code: Some(MaskedText::constant(fault.kind)),
                    ..failed(
                        MaskedText::constant(fault.outward),
                        "partial: what is no SFTP ended the channel",
                    )
                };
                self.settle(outcome, "partial: what is no SFTP ended the channel").await?;
                self.link.part(self.lane, fault.outward, FAILED_STATUS).await;
                Ok(Ending::Cut)
            }
            Err(Stop::Cut(cut)) => {
                let is_clean = cut.why == "client-closed" && self.live.len() == 1 && self.held.is_empty();
                let (outcome, partial) = match (is_clean, cut.why) {
                    (true, _) => (ended_by_itself(true, MaskedText::constant("closed by the client")), ""),
                    (false, "client-closed") => (indeterminate(GONE), GONE),
                    (false, _) => (indeterminate(CUT), CUT),
                };
                // If no record is possible now, recovery closes the run, and an intent without an outcome is indeterminate.
                let _recorded = self.settle(outcome, partial).await;
                Err(cut)
            }
        }
    }

    /// The outcome of the channel, and of all that has none.
    async fn settle(&mut self, channel: Outcome, partial: &'static str) -> Result<(), Cut> {
        let (link, of) = (self.link, self.of);
        let mut last = None;
        let files = std::mem::take(&mut self.files).into_values();
        let mut files: BTreeMap<Seq, File> = files.map(|file| (file.of, file)).collect();
        for of in std::mem::take(&mut self.live).into_iter().filter(|live| *live != of) {
            let outcome = match files.remove(&of) {
                Some(mut file) => {
                    file.look_last(link)?;
                    file.unclosed(indeterminate(partial))
                }
                None => indeterminate(partial),
            };
            last = Some(link.resource.gate.outcome(&link.who, of, outcome).map_err(|e| link.unrecorded(e))?);
            link.settled(of);
        }
        drop(last);
        let receipt = link.resource.gate.outcome(&link.who, of, channel).map_err(|e| link.unrecorded(e))?;
        link.settled(of);
        link.durable(receipt, RECORD).await.map(|_durable| ())
    }

    async fn serve(&mut self, mut ear: Ear) -> Result<End, Stop> {
        let mut ended = self.over.clone();
        let (link, lane, writer) = (self.link, self.lane, self.writer);
        let mut to_host: Option<Waits<'a, Result<(), Cut>>> = None;
        let mut to_client: Option<Waits<'a, Result<usize, Cut>>> = None;
        let mut asking: Option<Asking<'a>> = None;
        let asks = asks(link, lane, self.of, None, writer);
        tokio::pin!(asks);
        loop {
            self.take_frames().await?;
            if asking.is_none() {
                asking = self.asking.take();
                self.is_asking = asking.is_some();
            }
            if self.no_more && !self.told_no_more && self.stopped.is_none() && !self.is_reading() {
                // Not before: a host that is told ends, and says no more of what stands around a piece.
                self.told_no_more = true;
                self.up.push_back(Up::End);
            }
            if to_host.is_none() {
                to_host = self.up.pop_front().map(|up| {
                    self.unsent = self.unsent.saturating_sub(up.bytes());
                    send(link, writer, up)
                });
            }
            if to_client.is_none() {
                to_client = self.down.pop_front().map(|down| release(link, lane, down));
            }
            if self.closed && to_client.is_none() && asking.is_none() && self.held.is_empty() {
                return self.how.take().map(End::Host).ok_or(Stop::Cut(Cut::upstream(LOST)));
            }
            let has_room = self.has_room();
            tokio::select! {
                biased;
                // First: a question looks for the run's end, too, and says in the record how it ended.
                answered = some(&mut asking) => {
                    asking = None;
                    self.is_asking = false;
                    self.answered_by_people(answered?).await?;
                }
                cut = over(&mut ended) => return Err(cut.into()),
                sent = some(&mut to_host) => {
                    to_host = None;
                    sent?;
                }
                left = some(&mut to_client) => {
                    to_client = None;
                    self.in_flight = self.in_flight.saturating_sub(left?);
                }
                said = ear.next(), if !self.closed => {
                    if self.heard(said, &mut ear).await? {
                        return Ok(End::NotStarted);
                    }
                }
                came = lane.stdin(), if has_room => match came {
                    Stdin::Data(bytes) => self.client.bytes.extend_from_slice(&bytes),
                    Stdin::End => self.no_more = true,
                },
                cut = &mut asks => return Err(cut.into()),
            }
        }
    }

    /// Whether more of the client's can be taken.
    fn has_room(&self) -> bool {
        self.started && self.stopped.is_none() && !self.no_more && self.may_take()
    }

    fn may_take(&self) -> bool {
        !self.is_asking
            && self.asking.is_none()
            && self.unsent < SFTP_UNSENT_BYTES
            && self.in_flight < SFTP_IN_FLIGHT_BYTES
            && !self.session.is_full()
    }

    /// Takes the client's packets that have come, as far as there is room.
    async fn take_frames(&mut self) -> Result<(), Stop> {
        while self.may_take() {
            let frame = match self.stopped.take() {
                Some(frame) => frame,
                None => match self.client.decoder.next(&mut self.client.bytes)? {
                    Some(frame) => frame,
                    None => return Ok(()),
                },
            };
            if frame.tag == tag::CLOSE && self.is_reading() {
                // What stands around a piece is read by the handle.
                self.stopped = Some(frame);
                return Ok(());
            }
            self.on_client(&frame).await?;
        }
        Ok(())
    }

    /// Whether something that was read has not come, or not left, or something was asked about it.
    fn is_reading(&self) -> bool {
        !self.held.is_empty() || !self.questions.is_empty() || self.sent.values().any(|sent| sent.reads)
    }

    /// What the host said, and what it has said besides: what has come together is looked at together. `true`: it does not start SFTP.
    async fn heard(&mut self, said: Option<Said>, ear: &mut Ear) -> Result<bool, Stop> {
        let mut next = said.ok_or(Stop::Cut(Cut::upstream(LOST)))?;
        for _some in 0..SAID_AT_ONCE {
            if matches!(next, Said::Answered(false)) {
                return Ok(true);
            }
            self.hear(next).await?;
            match ear.now().await {
                Some(said) => next = said,
                None => return self.pump(self.closed).await.map(|()| false),
            }
        }
        self.hear(next).await?;
        self.pump(self.closed).await.map(|()| false)
    }

    async fn hear(&mut self, said: Said) -> Result<(), Stop> {
        match said {
            Said::Out(data) => {
                self.host.bytes.extend_from_slice(&data);
                while let Some(frame) = self.host.decoder.next(&mut self.host.bytes)? {
                    self.on_upstream(&frame).await?;
                }
            }
            // Nobody looks at it, and it does not leave.
            Said::Err(_) => {}
            Said::Exit(status) => self.how = Some(Ended::Exit(status)),
            Said::Signal(signal, core, _words_of_the_hosts) => {
                let named = signal_name(&signal).is_some();
                let signal = if named { signal } else { Sig::Custom("UNKNOWN@tachograph".to_owned()) };
                self.how = Some(Ended::Signal { signal, core });
            }
            Said::Answered(true) if !self.started => {
                self.started = true;
                self.lane.answer(true).await.map_err(|_gone| Cut::closed())?;
            }
            // It answers one request, and before SFTP says anything.
            Said::Answered(_) => return Err(Stop::Cut(Cut::upstream(LOST))),
            Said::Closed => self.closed = true,
        }
        Ok(())
    }

    // --- what the others put on its way

    pub(super) fn up_within(&mut self, bytes: Bytes) {
        self.unsent += bytes.len();
        self.up.push_back(Up::Within(bytes));
    }

    pub(super) fn up_behind(&mut self, intent: Intent, bytes: Bytes) {
        self.unsent += bytes.len();
        self.up.push_back(Up::Behind(intent, bytes));
    }

    /// An answer of so many bytes at most is asked for; it counts until it has left.
    pub(super) fn expect(&mut self, cost: usize) {
        self.in_flight = self.in_flight.saturating_add(cost);
    }

    pub(super) fn down_own(&mut self, bytes: Bytes, cost: usize) {
        self.down.push_back(Down::Own(bytes, cost));
    }

    pub(super) fn down_packet(&mut self, receipt: Receipt, bytes: MaskedBytes, cost: usize) {
        self.down.push_back(Down::Packet(Awaited::new(receipt), bytes, cost));
    }

    pub(super) fn down_data(&mut self, receipt: Receipt, id: u32, bytes: MaskedBytes, cost: usize) {
        self.down.push_back(Down::Data(Awaited::new(receipt), id, bytes, cost));
    }

    /// Begins to record how an intent ended.
    pub(super) fn outcome(&mut self, of: Seq, outcome: Outcome) -> Result<Receipt, Cut> {
        let link = self.link;
        let receipt = link.resource.gate.outcome(&link.who, of, outcome).map_err(|e| link.unrecorded(e))?;
        self.live.remove(&of);
        self.link.settled(of);
        Ok(receipt)
    }
}

impl Up {
    fn bytes(&self) -> usize {
        match self {
            Up::Within(bytes) | Up::Behind(_, bytes) => bytes.len(),
            Up::End => 0,
        }
    }
}

/// Packets of the host's that are heard before anything else is done.
const SAID_AT_ONCE: usize = 64;
const NOT_STARTED: &str = "the host did not start SFTP";
const GONE: &str = "partial: the client went away before the request's end";
const CUT: &str = "partial: the connection ended before the request's end";

/// Behind its record, where it has one.
fn send<'a>(link: &'a Link, writer: &'a UpstreamWriter, up: Up) -> Waits<'a, Result<(), Cut>> {
    Box::pin(async move {
        match up {
            Up::Within(bytes) => writer.within(bytes).await.map_err(not_sent),
            Up::End => writer.end().await.map_err(not_sent),
            Up::Behind(intent, bytes) => {
                let (_seq, permit) = link.permitted(Ok(intent)).await?;
                writer.stdin(permit, bytes).await.map_err(not_sent)
            }
        }
    })
}

/// Behind its record. Gives what counts no more.
fn release<'a>(link: &'a Link, lane: &'a Lane, down: Down) -> Waits<'a, Result<usize, Cut>> {
    let durable = async move |mut record: Awaited| record.durable().await.ok_or_else(|| link.no_record());
    Box::pin(async move {
        let client = ClientWriter(lane);
        let (left, cost) = match down {
            Down::Own(bytes, cost) => (client.packet_of_ours(bytes).await, cost),
            Down::Packet(record, bytes, cost) => {
                let durable = durable(record).await?;
                (client.packet(Release::after(durable, bytes)).await, cost)
            }
            Down::Data(record, id, bytes, cost) => {
                let durable = durable(record).await?;
                (client.data(id, Release::after(durable, bytes)).await, cost)
            }
        };
        left.map(|()| cost).map_err(|_gone| Cut::closed())
    })
}

async fn some<T>(waits: &mut Option<Waits<'_, T>>) -> T {
    match waits {
        Some(waits) => waits.await,
        None => std::future::pending().await,
    }
}

pub(super) fn ended_by_itself(good: bool, tag: MaskedText) -> Outcome {
    Outcome {
        result: if good { "ok" } else { "error" },
        state: "final",
        // What it has done until then, only the host knows.
        settled: (!good).then_some("indeterminate"),
        code: (!good).then(|| tag.clone()),
        tag: Some(tag),
        partial: coverage(),
        ..Outcome::default()
    }
}

pub(super) fn failed(tag: MaskedText, partial: &'static str) -> Outcome {
    Outcome { result: "error", state: "final", tag: Some(tag), partial: Some(partial), ..Outcome::default() }
}

pub(super) fn indeterminate(partial: &'static str) -> Outcome {
    Outcome {
        result: "indeterminate",
        state: "final",
        settled: Some("indeterminate"),
        partial: Some(partial),
        ..Outcome::default()
    }
}
