//! One session: a client's messages in, decided, permitted and sent; upstream's replies back, masked, recorded and
//! released.
//!
//! Reading order: [`Session::run`] (the loop) -> `client` (what it says) -> `decide` (permitted, asked) -> `transaction`
//! (in which one that is) -> `refuse` -> `upstream` (what comes back) -> `refresh` (names and catalog) -> `end`.
//!
//! **Invariant:** one task, no lock: what is decided, sent and released happens in the order of this file.
//! **Invariant:** after a refusal upstream fails too (a constant failing statement) wherever it has something open or to
//! answer, so both sides agree about the transaction, and the client sees an ordinary error.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gate::{Answer, Asked, Decided, GateError, Param, Piece, Question, Release, Spent, Subject, Tx, Who};
use ledger::{Code, Missed, Print, Receipt};
use mask::{Known, MaskedText, Origin, Shape};
use proto_postgres::errors::{self, Care};
use proto_postgres::frame::{Decoder, Frame, Incoming, Skipped, tag};
use proto_postgres::message::{Bind, FromClient, FromUpstream, Parse, Target, TxStatus};
use proto_postgres::reply::Fields;
use proto_postgres::session::{Event, Fate, Kind, Sent, Session as Flow, What};
use sql::{Effect, Names, ParseError, SessionLocks, Statement};
use tokio::sync::watch;
use tokio::time::Sleep;
use vocab::{AskId, Class, Group, Seq, Verdict, WallTime};
use wire::{Fault, RawField, Side};

mod client;
mod copy;
mod decide;
mod doubt;
mod end;
mod named;
mod refresh;
mod refuse;
mod release;
mod transaction;
mod upstream;

use copy::CopyIn;
use decide::{TOO_LONG_TO_SHOW, waiting};
use doubt::{Doubted, NAMES_CHANGED, NAMES_CHANGED_AFTER, Reading, without_words};
pub use doubt::{Stands, Sure};
use end::no_record;
use refuse::{ABORTED, ENDED_UNASKED, ENDED_UNSENT, position};
use transaction::{Ahead, Holding};

use super::catalog::{Began, Budget, Catalog, Landing, SESSION_QUERY, session_names, text_row};
use super::flight::{
    Columns, Fates, FlushError, Leaving, Named, Op, Outgoing, Pass, Scene, Showing, ask_keeper, error, fatal,
    ready, rules_detail, sqlstate,
};
use super::plan::{Behind, MASK_WRITTEN, Plan, Plans, SessionNames, own_types};
use super::resource::{Cancel, Pins, Resource};
use super::writer::{ClientWriter, Control, UpstreamWriter};
use crate::config::Reel;
use crate::entropy;
use crate::leg::Leg;
use crate::limits::{
    AHEAD_MAX, ANALYSES_MAX, BATCH_MAX, CANCEL_AGAIN, CATALOG_DOUBT, CHUNK_BYTES, FAREWELL, LAST_ASKED,
    LAST_WORDS, NAMES_DEEP_MAX, PORTALS_MAX, PREPARED_MAX, PRINTS_MAX, QUEUE_BYTES_MAX, RECORD,
    REFUSAL_RECORD, RELEASES_MAX, STATEMENT_STOP,
};
use crate::runs::Ended;

/// Why a session is over, and what the client is told if it can be.
pub struct Cut {
    pub why: &'static str,
    pub tell: Option<Fields>,
}

impl Cut {
    pub(super) fn quiet(why: &'static str) -> Cut {
        Cut { why, tell: None }
    }

    fn fault(fault: Fault) -> Cut {
        let code = match fault.side {
            Side::Client => "08P01",
            Side::Upstream | Side::Gateway | Side::Operator => "08006",
        };
        Cut { why: fault.kind, tell: Some(fatal(code, fault.outward)) }
    }
}

impl From<Fault> for Cut {
    fn from(fault: Fault) -> Cut {
        Cut::fault(fault)
    }
}

/// One side of the session.
pub struct End<W> {
    pub leg: Leg,
    pub input: BytesMut,
    pub decoder: Decoder,
    pub writer: W,
    pub bytes: u64,
}

/// By a name that the client gave: one that made names collide would slow down its own session alone.
type ByName<T> = HashMap<Bytes, T, foldhash::quality::RandomState>;

/// A statement that the client has prepared.
#[derive(Clone)]
pub struct Prepared {
    text: Arc<str>,
    plan: Arc<Plan>,
    epoch: u64,
    types: Vec<u32>,
    /// What upstream holds under this name.
    upstream: Arc<str>,
    /// The flight in which it was sent there.
    flight: u64,
    /// The first operation that can have given it its name.
    since: u64,
}

/// A statement that SQL's PREPARE has made: that PREPARE, as the client wrote it and as it was sent.
struct SqlPrepared {
    text: Arc<str>,
    upstream: Arc<str>,
    epoch: u64,
    volatile: bool,
}

struct Portal {
    plan: Arc<Plan>,
    epoch: u64,
    upstream: Arc<str>,
    params: Arc<[Param]>,
    columns: Option<Arc<Columns>>,
    /// Outlives its transaction: made by DECLARE ... WITH HOLD.
    hold: bool,
    /// The first operation that can have opened it: what ended before it leaves it open.
    since: u64,
    /// No other portal of the session has it, before or behind, of this name or another.
    number: u64,
}

/// Client messages that no intent covers yet.
#[derive(Default)]
struct Batch {
    asked: BytesMut,
    sending: BytesMut,
    sents: Vec<(What, bool)>,
    named: Vec<Named>,
    plan: Option<Arc<Plan>>,
    params: Arc<[Param]>,
    /// The portals that are described, by name and number, in order.
    describes: VecDeque<(Bytes, u64)>,
}

/// One statement with its bytes, waiting to be permitted.
struct Ready {
    plan: Arc<Plan>,
    via: &'static str,
    params: Arc<[Param]>,
    asked: Bytes,
    sending: BytesMut,
    sents: Vec<(What, bool)>,
    named: Vec<Named>,
    translated: bool,
    /// Where its statement begins in the text of a Query, in characters.
    offset: u32,
    /// The portals that are described, by name and number, in order.
    describes: VecDeque<(Bytes, u64)>,
    /// That of the portal whose rows come.
    executes: Option<u64>,
    columns: Option<Arc<Columns>>,
}

impl Ready {
    /// A message that is refused: nothing of it is sent.
    fn said(via: &'static str, plan: Arc<Plan>, asked: Bytes) -> Ready {
        Ready {
            plan,
            via,
            params: Arc::default(),
            asked,
            sending: BytesMut::new(),
            sents: Vec::new(),
            named: Vec::new(),
            translated: false,
            offset: 0,
            describes: VecDeque::new(),
            executes: None,
            columns: None,
        }
    }
}

/// A Query in work: its statements, decided one after another, sent when all are.
struct Script {
    id: u64,
    asked: Bytes,
    /// The text, if it is one statement.
    alone: Option<Arc<str>>,
    rest: VecDeque<Statement>,
    decided: Vec<(Ready, Arc<Decided>, Option<Seq>)>,
    empty: bool,
    /// A statement of it ends the transaction, or goes back in it: a failed one is over.
    turns: bool,
    /// What was approved of it still meant the same when the last of it was.
    known: bool,
}

impl Script {
    /// Whether something that is decided, and not sent yet, depends on what names mean.
    fn has_read_names(&self) -> bool {
        self.decided.iter().any(|(ready, ..)| ready.plan.reads_names())
    }

    fn next_reads_names(&self) -> bool {
        self.rest.front().is_some_and(Statement::reads_names)
    }

    /// Whether something that is decided begins a transaction, or says of which kind one is: the server takes that before
    /// anything is read, so that all of it is sent before names are read for what comes next.
    fn begins(&self) -> bool {
        self.decided.iter().any(|(ready, ..)| ready.plan.only_begins())
    }
}

/// Why the client's next message is not looked at yet.
enum Hold {
    No,
    /// A human is asked.
    Human {
        asked: Box<Asked>,
        ready: Box<Ready>,
        script: bool,
        /// The operation whose answer is asked about; `None`: the request itself.
        answer: Option<u64>,
    },
    /// An operation must end first: it changes what names mean, or starts a COPY.
    Barrier {
        op: u64,
    },
    /// The catalog is read through this session.
    Refresh(Box<Refresh>),
    /// The catalog is read over the gateway's own connection.
    Doubt {
        of: Doubted,
        reading: Reading,
    },
    /// A human must be asked, and what was sent before is not all answered: what the transaction holds is not known.
    Flight {
        ready: Box<Ready>,
        /// What was decided of it when it came.
        decided: Arc<Decided>,
        script: bool,
    },
}

/// Reading names and catalog over the session's own connection.
struct Refresh {
    op: u64,
    began: Began,
    /// Answers still to come, each from one query.
    answers: Vec<Vec<Vec<Option<String>>>>,
    rows: Vec<Vec<Option<String>>>,
    budget: Budget,
    names_only: bool,
    failed: bool,
}

enum Wake {
    Progress,
    ClientClosed,
    UpstreamClosed,
    Answered(Option<Answer>),
    Names(Option<Arc<Catalog>>),
    Cancel,
    Ended(Ended),
    Late,
}

pub struct Session {
    pub resource: Arc<Resource>,
    pub who: Who,
    pins: Pins,
    client: End<ClientWriter>,
    upstream: End<UpstreamWriter>,
    upstream_pid: u32,
    upstream_key: Bytes,
    flow: Flow,
    catalog: Arc<Catalog>,
    names: Names,
    /// Counts up whenever plans become void.
    epoch: u64,
    generation: u64,
    names_dirty: bool,
    /// A setting by which names are read was made since no transaction was open: the end of one may take it back.
    names_set: bool,
    catalog_dirty: bool,
    /// The catalog was read inside this session's transaction and is nobody else's.
    own_catalog: bool,
    /// It was read for the message at hand.
    just_read: bool,
    /// When it was read last.
    read_at: u64,
    /// How often names had changed when upstream last had no transaction.
    block_changes: u64,
    /// An end of a transaction was sent since upstream was last at rest.
    ends: bool,
    /// The session has defined something that has not taken effect, as far as is known.
    defines: bool,
    /// And it may at any moment.
    landing: Option<Landing>,
    plans: Plans,
    prepared: ByName<Prepared>,
    portals: ByName<Portal>,
    /// Statements that SQL's PREPARE has made.
    sql_prepared: HashMap<String, SqlPrepared>,
    /// How deep we are in statements that run others by name.
    naming: usize,
    batch: Batch,
    script: Option<Script>,
    /// The Query in work has more than one statement: they share an implicit transaction.
    several: bool,
    /// What has come of the client's next message is not all of it. It may be longer than the queue: the decoder's limits
    /// bound it.
    wants_more: bool,
    hold: Hold,
    /// What was waited for when a human was asked about an answer.
    behind: Hold,
    skipping: bool,
    ops: BTreeMap<u64, Box<Op>>,
    next_op: u64,
    next_portal: u64,
    sends: VecDeque<(u64, Outgoing)>,
    /// How many messages of those upstream will answer.
    unsent: usize,
    leaving: VecDeque<Leaving>,
    showing: Showing,
    unsettled: Vec<Seq>,
    fates: Fates,
    failed_in_flight: bool,
    /// The transaction as what is sent next will find it.
    ahead: Ahead,
    /// The last operation whose locks its transaction may hold; 0: none.
    locked_by: u64,
    /// The last operation that may have taken an advisory lock of the session's, which outlives its transaction; 0: none.
    session_locked_by: u64,
    copy: Option<CopyIn>,
    /// The CommandComplete of a Query that waits for what comes behind it.
    held: Option<Frame>,
    syncs: u64,
    of_utf8: bool,
    /// How many Syncs were sent: the flight that is under way.
    flight: u64,
    /// The last flight in which a name was given or taken back.
    names_given: Option<u64>,
    scripts: u64,
    /// Something was sent since the last Sync: an implicit transaction may be open.
    unsynced: bool,
    /// When what is open without a Sync has been idle for too long; upstream sees that of blocks alone.
    idle_until: Option<u64>,
    refusals: HashMap<u64, Fields>,
    /// A refusal was answered without upstream, which was at rest; so is the Sync behind it.
    answered_here: bool,
    ended: watch::Receiver<Option<Ended>>,
    /// A message that is looked at again when the catalog has been read.
    stash: Option<Frame>,
    /// Whether policy decides answers at all, under the policy of this generation.
    releases: (u64, bool),
    /// What upstream said when policy's word on an answer was waited for.
    held_event: Option<(Event, Frame)>,
    /// A refused answer must have failed upstream's transaction too.
    fail_due: bool,
    /// Answers that policy has let out, by what it saw of them.
    released: HashSet<(u64, u64, u64, u64, Vec<Class>)>,
    cancel: Arc<Cancel>,
    /// A cancel that waits for what was sent before it.
    cancel_due: bool,
    cancelling: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// When it rings, on the monotonic clock, and the timer.
    timer: Option<(u64, Pin<Box<Sleep>>)>,
    late_at: Option<u64>,
    /// The client says nothing more; until when what it has said is carried out.
    closing: Option<u64>,
    asked_expires: Option<WallTime>,
    last_statement: Bytes,
    /// What the last command said when it was complete, and how that is recorded.
    last_tag: Option<(RawField, MaskedText)>,
}

/// What of a failed operation matters after it.
#[derive(Clone, Copy, Default)]
struct Failed {
    script: u64,
    owes_sync: bool,
}

/// What a new session is made of.
pub struct Start {
    pub resource: Arc<Resource>,
    pub who: Who,
    pub pins: Pins,
    pub client: Leg,
    pub client_input: BytesMut,
    pub client_decoder: Decoder,
    pub upstream: Leg,
    pub upstream_input: BytesMut,
    pub upstream_decoder: Decoder,
    pub upstream_pid: u32,
    pub upstream_key: Bytes,
    pub catalog: Arc<Catalog>,
    pub search_path_set: bool,
    /// Whether the database's own encoding is UTF-8.
    pub of_utf8: bool,
    pub ended: watch::Receiver<Option<Ended>>,
    pub cancel: Arc<Cancel>,
    /// What the client was told at login.
    pub greeting: BytesMut,
    pub echoes: Arc<mask::Echoes>,
}

impl Session {
    pub fn new(start: Start) -> Session {
        let names = Names {
            search_path: start.catalog.search_path.clone(),
            role: start.catalog.role.clone(),
            database: start.resource.config.upstream.database.clone(),
            ..Names::default()
        };
        let client = End {
            leg: start.client,
            input: start.client_input,
            decoder: start.client_decoder,
            writer: ClientWriter { out: start.greeting },
            bytes: 0,
        };
        let upstream = End {
            leg: start.upstream,
            input: start.upstream_input,
            decoder: start.upstream_decoder,
            writer: UpstreamWriter::default(),
            bytes: 0,
        };
        let generation = start.resource.gate.generation();
        let (read_at, block_changes) = (start.catalog.at.0, start.catalog.changes);
        let releases = start.resource.gate.decides_releases(&start.who);
        Session {
            resource: start.resource,
            who: start.who,
            pins: start.pins,
            client,
            upstream,
            upstream_pid: start.upstream_pid,
            upstream_key: start.upstream_key,
            flow: Flow::new(TxStatus::Idle),
            catalog: start.catalog,
            names,
            epoch: 0,
            generation,
            names_dirty: start.search_path_set,
            of_utf8: start.of_utf8,
            names_set: false,
            catalog_dirty: false,
            own_catalog: false,
            just_read: false,
            read_at,
            block_changes,
            ends: false,
            defines: false,
            landing: None,
            plans: Plans::default(),
            prepared: ByName::default(),
            portals: ByName::default(),
            sql_prepared: HashMap::new(),
            naming: 0,
            batch: Batch::default(),
            script: None,
            several: false,
            wants_more: false,
            hold: Hold::No,
            behind: Hold::No,
            skipping: false,
            ops: BTreeMap::new(),
            next_op: 1,
            next_portal: 0,
            sends: VecDeque::new(),
            unsent: 0,
            leaving: VecDeque::new(),
            showing: Showing::new(Known::of_run(entropy::random(), start.echoes)),
            unsettled: Vec::new(),
            fates: Fates::default(),
            failed_in_flight: false,
            ahead: Ahead::default(),
            locked_by: 0,
            session_locked_by: 0,
            copy: None,
            held: None,
            syncs: 0,
            flight: 0,
            names_given: None,
            scripts: 0,
            unsynced: false,
            idle_until: None,
            refusals: HashMap::new(),
            answered_here: false,
            ended: start.ended,
            stash: None,
            releases: (generation, releases),
            held_event: None,
            fail_due: false,
            released: HashSet::new(),
            cancel: start.cancel,
            cancel_due: false,
            cancelling: None,
            timer: None,
            late_at: None,
            closing: None,
            asked_expires: None,
            last_statement: Bytes::new(),
            last_tag: None,
        }
    }

    /// Runs the session to its end. The `disconnect` record is written by the caller, from what this returns.
    pub async fn run(&mut self) -> Cut {
        let cancel = self.cancel.clone();
        let mut pressed: Pin<Box<dyn Future<Output = ()> + Send>> = pressed(cancel.clone());
        let mut ended = self.ended.clone();
        let mut over: Pin<Box<dyn Future<Output = Ended> + Send>> = Box::pin(async move {
            loop {
                if let Some(why) = *ended.borrow_and_update() {
                    return why;
                }
                if ended.changed().await.is_err() {
                    return Ended::Interrupted;
                }
            }
        });
        let cut = loop {
            if let Err(cut) = self.pump() {
                break cut;
            }
            if self.has_closed() {
                break Cut::quiet("client-closed");
            }
            let event = std::future::poll_fn(|cx| self.poll(cx, &mut pressed, &mut over)).await;
            let step = match event {
                Err(cut) => Err(cut),
                Ok(Wake::Progress) => self.on_upstream(),
                Ok(Wake::ClientClosed) => {
                    self.closes();
                    Ok(())
                }
                Ok(Wake::UpstreamClosed) => match self.on_upstream() {
                    Err(cut) => Err(cut),
                    Ok(()) => Err(Cut {
                        why: "upstream-closed",
                        tell: Some(fatal("08006", "the database behind the gateway closed the connection")),
                    }),
                },
                Ok(Wake::Answered(answer)) => self.on_answer(answer),
                Ok(Wake::Names(catalog)) => self.on_names(catalog),
                Ok(Wake::Cancel) => {
                    pressed = self::pressed(cancel.clone());
                    self.on_cancel()
                }
                Ok(Wake::Ended(why)) => Err(Cut {
                    why: why.as_str(),
                    tell: Some(fatal("57P01", "the run that this connection belongs to is over")),
                }),
                Ok(Wake::Late) => self.on_late(),
            };
            if let Err(cut) = step {
                break cut;
            }
        };
        self.farewell(&cut).await;
        cut
    }

    pub fn client_bytes(&self) -> u64 {
        self.client.bytes
    }

    pub fn upstream_bytes(&self) -> u64 {
        self.upstream.bytes
    }

    /// Intents that were not sent; that were and were not answered; and those whose transaction had not ended, with what became of them: rolled back
    /// by the upstream, unless something was under way that may have committed, as a Sync may.
    pub fn left_open(&mut self) -> (Vec<Seq>, Vec<Seq>, Vec<Seq>, &'static str) {
        let in_doubt = self.flow.outstanding() > 0;
        // A piece of a COPY's data belongs to what was sent before it.
        let unsent = std::mem::take(&mut self.sends).into_iter().filter(|(_, of)| !of.sents().is_empty());
        let unsent = unsent.filter_map(|(op, _)| self.ops.remove(&op)?.intent).collect();
        let unanswered = std::mem::take(&mut self.ops).into_values().filter_map(|op| op.intent).collect();
        let how = if in_doubt { "indeterminate" } else { "rolled-back" };
        (unsent, unanswered, std::mem::take(&mut self.unsettled), how)
    }

    // --- the loop's one wait

    fn poll(
        &mut self,
        cx: &mut TaskContext<'_>,
        pressed: &mut Pin<Box<dyn Future<Output = ()> + Send>>,
        over: &mut Pin<Box<dyn Future<Output = Ended> + Send>>,
    ) -> Poll<Result<Wake, Cut>> {
        // The look at a number, each time; the futures are asked, and told whom to wake, where all else waits.
        if self.ended.has_changed().unwrap_or(true)
            && let Poll::Ready(why) = over.as_mut().poll(cx)
        {
            return Poll::Ready(Ok(Wake::Ended(why)));
        }
        let moved = self.poll_sends(cx)? | self.poll_leaving(cx)?;
        if let Poll::Ready(Err(_)) = self.upstream.leg.poll_drain(cx, &mut self.upstream.writer.out) {
            return Poll::Ready(Ok(Wake::UpstreamClosed));
        }
        if let Poll::Ready(Err(_)) = self.client.leg.poll_drain(cx, &mut self.client.writer.out) {
            // It takes nothing more, either.
            self.client.writer.out.clear();
            self.client.leg = Leg::Gone;
            return Poll::Ready(Ok(Wake::ClientClosed));
        }
        if moved {
            return Poll::Ready(Ok(Wake::Progress));
        }
        if let Hold::Human { asked, .. } = &mut self.hold {
            let answered = std::pin::pin!(asked.answered());
            if let Poll::Ready(answer) = answered.poll(cx) {
                return Poll::Ready(Ok(Wake::Answered(answer)));
            }
        }
        if let Hold::Doubt { reading, .. } = &mut self.hold
            && let Poll::Ready(catalog) = reading.as_mut().poll(cx)
        {
            return Poll::Ready(Ok(Wake::Names(catalog)));
        }
        if let Some((_, timer)) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            return Poll::Ready(Ok(Wake::Late));
        }
        if self.client.writer.out.len() + self.queued_for_client() < QUEUE_BYTES_MAX && !self.holds_answer() {
            match self.upstream.leg.poll_fill(cx, &mut self.upstream.input) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Ok(Wake::UpstreamClosed)),
                Poll::Ready(Ok(n)) => {
                    self.upstream.bytes += n as u64;
                    return Poll::Ready(Ok(Wake::Progress));
                }
                Poll::Pending => {}
            }
        }
        let queued = self.upstream.writer.out.len();
        let has_room = queued + self.client.input.len() < QUEUE_BYTES_MAX;
        if self.closing.is_none() && (has_room || (self.wants_more && queued < QUEUE_BYTES_MAX)) {
            match self.client.leg.poll_fill(cx, &mut self.client.input) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Ok(Wake::ClientClosed)),
                Poll::Ready(Ok(n)) => {
                    self.client.bytes += n as u64;
                    self.idle_until = None;
                    return Poll::Ready(Ok(Wake::Progress));
                }
                Poll::Pending => {}
            }
        }
        // The client's socket holds nothing more: what it had sent before its cancel has been read.
        if pressed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(Wake::Cancel));
        }
        if self.poll_cancel(cx) {
            return Poll::Ready(Ok(Wake::Progress));
        }
        if self.idle_until.is_none()
            && self.is_open_and_idle()
            && let Some(most) = self.pins.idle_in_transaction
        {
            let until = entropy::tick().0.saturating_add(most.as_nanos() as u64);
            self.idle_until = Some(until);
            self.ring_by(until);
            // The timer is to wake this task.
            return Poll::Ready(Ok(Wake::Progress));
        }
        over.as_mut().poll(cx).map(|why| Ok(Wake::Ended(why)))
    }

    fn queued_for_client(&self) -> usize {
        self.leaving
            .iter()
            .map(|leaving| match leaving {
                Leaving::After { bytes, .. } => bytes.as_bytes().len(),
                Leaving::Constant(_) => 8,
            })
            .sum()
    }

    /// Sends what is permitted by now, in order.
    fn poll_sends(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, Cut> {
        let mut moved = false;
        while let Some((op, outgoing)) = self.sends.front_mut() {
            let op = *op;
            match outgoing {
                Outgoing::Permitted { pass, bytes, sents, since } => {
                    let permit = match pass {
                        Pass::Ready(permit) => permit.take(),
                        Pass::Waiting(intent) => match intent.poll_durable(cx) {
                            Poll::Ready(Ok(permit)) => Some(permit),
                            Poll::Ready(Err(_lost)) => return Err(no_record(false)),
                            Poll::Pending => {
                                let since = *since;
                                self.arm(since, RECORD);
                                return Ok(moved);
                            }
                        },
                    };
                    let Some(permit) = permit else { return Err(no_record(false)) };
                    self.unsent -= sents.len();
                    let mut discarded = false;
                    for sent in std::mem::take(sents) {
                        discarded |= self.flow.sent(sent)? == Fate::Discarded;
                    }
                    if !discarded {
                        self.upstream.writer.send(permit, bytes)?;
                    }
                    self.sends.pop_front();
                    if !discarded {
                        self.lands(op);
                    } else {
                        self.end_op(op, "skipped", None);
                    }
                }
                Outgoing::Control { control, sents } => {
                    let control = *control;
                    self.unsent -= sents.len();
                    let mut discarded = false;
                    for sent in std::mem::take(sents) {
                        discarded |= self.flow.sent(sent)? == Fate::Discarded;
                    }
                    self.sends.pop_front();
                    if discarded {
                        // Upstream has failed already; it would have skipped what was refused.
                        self.refusals.remove(&op);
                        if control == Control::Poison {
                            self.ops.remove(&op);
                        }
                    } else {
                        self.upstream.writer.control(control)?;
                    }
                }
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Releases what is recorded by now, in order.
    fn poll_leaving(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, Cut> {
        let mut moved = false;
        while let Some(front) = self.leaving.front_mut() {
            if let Leaving::After { receipt, since, words, .. } = front {
                match Pin::new(receipt).poll(cx) {
                    Poll::Ready(Ok(durable)) => {
                        if let Some(Leaving::After { bytes, .. }) = self.leaving.pop_front() {
                            self.client.writer.send(Release::after(durable, bytes));
                        }
                    }
                    Poll::Ready(Err(_lost)) => return Err(self.lost()),
                    Poll::Pending => {
                        let (since, patience) = (*since, if *words { REFUSAL_RECORD } else { RECORD });
                        self.arm(since, patience);
                        return Ok(moved);
                    }
                }
            } else if let Some(Leaving::Constant(constant)) = self.leaving.pop_front() {
                self.client.writer.send(Release::constant(constant));
            }
            moved = true;
        }
        if self.sends.is_empty() {
            self.late_at = None;
        }
        Ok(moved)
    }

    /// A record is waited for: at the latest `patience` after `since` somebody looks.
    fn arm(&mut self, since: u64, patience: Duration) {
        let late = since.saturating_add(patience.as_nanos() as u64);
        self.late_at = Some(late);
        self.ring_by(late);
    }

    /// Rings at `at` or sooner: one that rings sooner looks again then, and not every record needs a timer of its own.
    fn ring_by(&mut self, at: u64) {
        if self.timer.as_ref().is_none_or(|(set, _)| at < *set) {
            let left = Duration::from_nanos(at.saturating_sub(entropy::tick().0));
            self.timer = Some((at, Box::pin(tokio::time::sleep(left))));
        }
    }

    /// Whether what was sent has its answers, no Sync is behind it, and the client is the one who is waited for.
    fn is_open_and_idle(&self) -> bool {
        let answered = self.flow.outstanding() == 0 && self.sends.is_empty() && self.leaving.is_empty();
        self.unsynced && answered && matches!(self.hold, Hold::No)
    }

    fn on_late(&mut self) -> Result<(), Cut> {
        match self.idle_until.filter(|_| self.is_open_and_idle()) {
            Some(until) if entropy::tick().0 >= until => {
                return Err(Cut { why: "idle", tell: Some(fatal("25P03", IDLE)) });
            }
            Some(until) => self.ring_by(until),
            None => self.idle_until = None,
        }
        if let (Hold::Human { .. }, Some(expires)) = (&self.hold, self.asked_expires) {
            if entropy::wall() >= expires {
                return self.on_answer(None);
            }
            self.sleep_until(expires);
        }
        if let Some(until) = self.closing {
            self.ring_by(until);
        }
        match self.late_at {
            Some(late) if entropy::tick().0 >= late => Err(self.lost()),
            Some(late) => {
                self.ring_by(late);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn sleep_until(&mut self, expires: WallTime) {
        let nanos = expires.0.saturating_sub(entropy::wall().0);
        self.ring_by(entropy::tick().0.saturating_add(nanos).saturating_add(1_000_000));
    }
}

/// What the client is told of the session's parameters; the others stay here.
pub const TOLD: &[&str] = &[
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "default_transaction_read_only",
    "in_hot_standby",
    "is_superuser",
    "session_authorization",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "scram_iterations",
    "search_path",
];

const IDLE: &str = "terminating connection due to idle-in-transaction timeout: no Sync has come";
const REFUSED: &str = "policy does not allow this";

fn pressed(cancel: Arc<Cancel>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { cancel.pressed.notified().await })
}

fn raw(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    // A frame that was decoded encodes again.
    let _fits = frame.encode(&mut out);
    out.freeze()
}

/// A code of ours, for the record.
fn sqlstate5(code: &'static str) -> Option<Code> {
    Code::new(*code.as_bytes().first_chunk::<5>().unwrap_or(b"XX000"))
}
