//! One session: a client's messages in, decided, permitted and sent; upstream's replies back, masked, recorded and
//! released.
//!
//! Reading order: [`Session::run`] (the loop) -> `pump` (client) -> `statement`, `refuse`, `hold` -> `on_upstream`.
//!
//! **Invariant:** one task, no lock: what is decided, sent and released happens in the order of this file.
//! **Invariant:** after a refusal upstream fails too (a constant failing statement), so both sides agree about the
//! transaction, and the client sees an ordinary error.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::{Bytes, BytesMut};
use gate::{
    Answer, Asked, Decided, GateError, Intent, Outcome, Param, Piece, Question, Release, Spent, Tx, Who,
};
use ledger::{Map, Missed};
use mask::{FilterKey, Known, MaskedText, Origin, Shape};
use proto_postgres::errors::{self, Care};
use proto_postgres::frame::{Decoder, Frame, tag};
use proto_postgres::message::{Bind, FromClient, FromUpstream, Parse, Target, TxStatus};
use proto_postgres::reply::Fields;
use proto_postgres::session::{Copying, Event, Fate, Kind, Sent, Session as Flow, What};
use sql::{Effect, Names, Statement};
use tokio::sync::watch;
use tokio::time::Sleep;
use vocab::{AskId, Class, Group, Seq, Verdict, WallTime};
use wire::{Fault, RawField, Side};

use super::catalog::{Catalog, SESSION_QUERY, session_names, text_row};
use super::flight::{
    Columns, FlushError, Leaving, Named, Op, Outgoing, Pass, Scene, Showing, State, error, fatal, ready,
    sqlstate,
};
use super::plan::Plan;
use super::resource::{Cancel, Resource};
use super::writer::{ClientWriter, Control, UpstreamWriter};
use crate::config::Reel;
use crate::entropy;
use crate::leg::Leg;
use crate::limits::{
    ANALYSES_MAX, CATALOG_DOUBT, CHUNK_BYTES, PORTALS_MAX, PREPARED_MAX, QUEUE_BYTES_MAX, RECORD,
    RELEASES_MAX,
};
use crate::runs::Ended;

/// Why a session is over, and what the client is told if it can be.
pub struct Cut {
    pub why: &'static str,
    pub tell: Option<Fields>,
}

impl Cut {
    fn quiet(why: &'static str) -> Cut {
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
pub struct Side_<W> {
    pub leg: Leg,
    pub input: BytesMut,
    pub decoder: Decoder,
    pub writer: W,
    pub bytes: u64,
}

/// A statement that the client has prepared.
#[derive(Clone)]
struct Prepared {
    text: Arc<str>,
    plan: Arc<Plan>,
    epoch: u64,
    types: Vec<u32>,
    /// What upstream holds under this name.
    upstream: Arc<str>,
}

struct Portal {
    plan: Arc<Plan>,
    epoch: u64,
    upstream: Arc<str>,
    params: Vec<Param>,
    columns: Option<Arc<Columns>>,
    /// Outlives its transaction: made by DECLARE ... WITH HOLD.
    hold: bool,
}

/// Client messages that no intent covers yet.
#[derive(Default)]
struct Batch {
    asked: BytesMut,
    sending: Vec<u8>,
    sents: Vec<(What, bool)>,
    named: Vec<Named>,
    plan: Option<Arc<Plan>>,
    params: Vec<Param>,
}

/// One statement with its bytes, waiting to be permitted.
struct Ready {
    plan: Arc<Plan>,
    via: &'static str,
    params: Vec<Param>,
    asked: Bytes,
    sending: Vec<u8>,
    sents: Vec<(What, bool)>,
    named: Vec<Named>,
    translated: bool,
    columns: Option<Arc<Columns>>,
}

/// A Query in work: its statements, decided one after another, sent when all are.
struct Script {
    id: u64,
    asked: Bytes,
    rest: VecDeque<Statement>,
    decided: Vec<(Ready, Decided, Option<Seq>)>,
    empty: bool,
}

/// Why the client's next message is not looked at yet.
enum Hold {
    No,
    /// A human is asked.
    Human {
        asked: Box<Asked>,
        ready: Box<Ready>,
        script: bool,
    },
    /// An operation must end first: it changes what names mean, or starts a COPY.
    Barrier {
        op: u64,
    },
    /// The catalog is read through this session.
    Refresh(Box<Refresh>),
}

/// Reading names and catalog over the session's own connection.
struct Refresh {
    op: u64,
    /// Answers still to come, each from one query.
    answers: Vec<Vec<Vec<Option<String>>>>,
    rows: Vec<Vec<Option<String>>>,
    names_only: bool,
    failed: bool,
}

enum Event_ {
    Progress,
    ClientClosed,
    UpstreamClosed,
    Answered(Option<Answer>),
    Cancel,
    Ended(Ended),
    Late,
}

pub struct Session {
    pub resource: Arc<Resource>,
    pub who: Who,
    pub connect: Seq,
    client: Side_<ClientWriter>,
    upstream: Side_<UpstreamWriter>,
    upstream_pid: u32,
    upstream_key: Bytes,
    flow: Flow,
    catalog: Arc<Catalog>,
    names: Names,
    /// Counts up whenever plans become void.
    epoch: u64,
    generation: u64,
    names_dirty: bool,
    catalog_dirty: bool,
    /// The catalog was read inside this session's transaction and is nobody else's.
    own_catalog: bool,
    plans: HashMap<Arc<str>, Arc<Plan>>,
    prepared: HashMap<Bytes, Prepared>,
    portals: HashMap<Bytes, Portal>,
    batch: Batch,
    script: Option<Script>,
    hold: Hold,
    skipping: bool,
    ops: BTreeMap<u64, Op>,
    next_op: u64,
    sends: VecDeque<(u64, Outgoing)>,
    leaving: VecDeque<Leaving>,
    showing: Showing,
    filter_key: FilterKey,
    unsettled: Vec<Seq>,
    savepoints: Vec<(String, usize)>,
    failed_in_flight: bool,
    ending: Option<&'static str>,
    wrote: bool,
    copy: Option<CopyIn>,
    /// The CommandComplete of a Query that waits for what comes behind it.
    held: Option<Frame>,
    syncs: u64,
    scripts: u64,
    /// Something was sent since the last Sync: an implicit transaction may be open.
    unsynced: bool,
    refusals: HashMap<u64, Fields>,
    ended: watch::Receiver<Option<Ended>>,
    /// A message that is looked at again when the catalog has been read.
    stash: Option<Frame>,
    /// Answers that policy has let out, by what it saw of them.
    released: HashSet<(u64, u64, u64, u64, Vec<Class>)>,
    cancel: Arc<Cancel>,
    timer: Option<Pin<Box<Sleep>>>,
    late_at: Option<u64>,
    asked_expires: Option<WallTime>,
    last_statement: Bytes,
}

/// A COPY FROM STDIN that runs.
struct CopyIn {
    op: u64,
    translated: bool,
    n: u64,
    /// Upstream failed; the rest of the client's data is dropped.
    failed: bool,
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
    pub connect: Seq,
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
    pub ended: watch::Receiver<Option<Ended>>,
    pub cancel: Arc<Cancel>,
    /// What the client was told at login.
    pub greeting: BytesMut,
}

impl Session {
    pub fn new(start: Start) -> Session {
        let names = Names {
            search_path: start.catalog.search_path.clone(),
            role: start.catalog.role.clone(),
            database: start.resource.config.upstream.database.clone(),
            ..Names::default()
        };
        let side = |leg, input, decoder| (leg, input, decoder);
        let (leg, input, decoder) = side(start.client, start.client_input, start.client_decoder);
        let client = Side_ { leg, input, decoder, writer: ClientWriter { out: start.greeting }, bytes: 0 };
        let (leg, input, decoder) = side(start.upstream, start.upstream_input, start.upstream_decoder);
        let upstream = Side_ { leg, input, decoder, writer: UpstreamWriter::default(), bytes: 0 };
        let generation = start.resource.gate.generation();
        Session {
            filter_key: start.resource.gate.ledger().filter_key(),
            resource: start.resource,
            who: start.who,
            connect: start.connect,
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
            catalog_dirty: false,
            own_catalog: false,
            plans: HashMap::new(),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            batch: Batch::default(),
            script: None,
            hold: Hold::No,
            skipping: false,
            ops: BTreeMap::new(),
            next_op: 1,
            sends: VecDeque::new(),
            leaving: VecDeque::new(),
            showing: Showing::new(Known::new(entropy::random())),
            unsettled: Vec::new(),
            savepoints: Vec::new(),
            failed_in_flight: false,
            ending: None,
            wrote: false,
            copy: None,
            held: None,
            syncs: 0,
            scripts: 0,
            unsynced: false,
            refusals: HashMap::new(),
            ended: start.ended,
            stash: None,
            released: HashSet::new(),
            cancel: start.cancel,
            timer: None,
            late_at: None,
            asked_expires: None,
            last_statement: Bytes::new(),
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
            let event = std::future::poll_fn(|cx| self.poll(cx, &mut pressed, &mut over)).await;
            let step = match event {
                Err(cut) => Err(cut),
                Ok(Event_::Progress) => self.on_upstream(),
                Ok(Event_::ClientClosed) => Err(Cut::quiet("client-closed")),
                Ok(Event_::UpstreamClosed) => match self.on_upstream() {
                    Err(cut) => Err(cut),
                    Ok(()) => Err(Cut {
                        why: "upstream-closed",
                        tell: Some(fatal("08006", "the database behind the gateway closed the connection")),
                    }),
                },
                Ok(Event_::Answered(answer)) => self.on_answer(answer),
                Ok(Event_::Cancel) => {
                    pressed = self::pressed(cancel.clone());
                    self.on_cancel().await
                }
                Ok(Event_::Ended(why)) => Err(Cut {
                    why: why.as_str(),
                    tell: Some(fatal("57P01", "the run that this connection belongs to is over")),
                }),
                Ok(Event_::Late) => self.on_late(),
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

    /// Intents whose transaction had not ended: rolled back by the upstream, unless a commit was under way.
    pub fn unsettled(&mut self) -> (Vec<Seq>, &'static str) {
        let in_doubt = self.ops.values().any(|op| op.intent.is_some());
        (std::mem::take(&mut self.unsettled), if in_doubt { "indeterminate" } else { "rolled-back" })
    }

    /// Intents that were sent and not answered.
    pub fn unanswered(&mut self) -> Vec<Seq> {
        std::mem::take(&mut self.ops).into_values().filter_map(|op| op.intent).collect()
    }

    // --- the loop's one wait

    fn poll(
        &mut self,
        cx: &mut TaskContext<'_>,
        pressed: &mut Pin<Box<dyn Future<Output = ()> + Send>>,
        over: &mut Pin<Box<dyn Future<Output = Ended> + Send>>,
    ) -> Poll<Result<Event_, Cut>> {
        if let Poll::Ready(why) = over.as_mut().poll(cx) {
            return Poll::Ready(Ok(Event_::Ended(why)));
        }
        let moved = self.poll_sends(cx)? | self.poll_leaving(cx)?;
        let upstream_gone = match self.upstream.leg.poll_drain(cx, &mut self.upstream.writer.out) {
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(Event_::UpstreamClosed)),
            Poll::Ready(Ok(())) | Poll::Pending => false,
        };
        if let Poll::Ready(Err(_)) = self.client.leg.poll_drain(cx, &mut self.client.writer.out) {
            return Poll::Ready(Ok(Event_::ClientClosed));
        }
        if moved && !upstream_gone {
            return Poll::Ready(Ok(Event_::Progress));
        }
        if pressed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(Event_::Cancel));
        }
        if let Hold::Human { asked, .. } = &mut self.hold {
            let answered = std::pin::pin!(asked.answered());
            if let Poll::Ready(answer) = answered.poll(cx) {
                return Poll::Ready(Ok(Event_::Answered(answer)));
            }
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            return Poll::Ready(Ok(Event_::Late));
        }
        if self.client.writer.out.len() + self.queued_for_client() < QUEUE_BYTES_MAX {
            match self.upstream.leg.poll_fill(cx, &mut self.upstream.input) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Ok(Event_::UpstreamClosed)),
                Poll::Ready(Ok(n)) => {
                    self.upstream.bytes += n as u64;
                    return Poll::Ready(Ok(Event_::Progress));
                }
                Poll::Pending => {}
            }
        }
        if self.upstream.writer.out.len() + self.client.input.len() < QUEUE_BYTES_MAX {
            match self.client.leg.poll_fill(cx, &mut self.client.input) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Ok(Event_::ClientClosed)),
                Poll::Ready(Ok(n)) => {
                    self.client.bytes += n as u64;
                    return Poll::Ready(Ok(Event_::Progress));
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
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
                                self.arm(since);
                                return Ok(moved);
                            }
                        },
                    };
                    let Some(permit) = permit else { return Err(no_record(false)) };
                    let mut discarded = false;
                    for sent in std::mem::take(sents) {
                        discarded |= self.flow.sent(sent)? == Fate::Discarded;
                    }
                    if !discarded {
                        self.upstream.writer.send(permit, bytes)?;
                    }
                    self.sends.pop_front();
                    if discarded && let Some(op) = self.ops.remove(&op) {
                        self.showing.finish(op, "skipped");
                    }
                }
                Outgoing::Control { control, sents } => {
                    let control = *control;
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
            if let Leaving::After { receipt, since, .. } = front {
                match Pin::new(receipt).poll(cx) {
                    Poll::Ready(Ok(durable)) => {
                        if let Some(Leaving::After { bytes, .. }) = self.leaving.pop_front() {
                            self.client.writer.send(Release::after(durable, bytes));
                        }
                    }
                    Poll::Ready(Err(_lost)) => return Err(no_record(true)),
                    Poll::Pending => {
                        let since = *since;
                        self.arm(since);
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

    /// A record is waited for: at the latest `RECORD` after `since` somebody looks.
    fn arm(&mut self, since: u64) {
        let late = since.saturating_add(RECORD.as_nanos() as u64);
        self.late_at = Some(late);
        if self.timer.is_none() {
            self.timer = Some(Box::pin(tokio::time::sleep(RECORD)));
        }
    }

    fn on_late(&mut self) -> Result<(), Cut> {
        if let (Hold::Human { .. }, Some(expires)) = (&self.hold, self.asked_expires) {
            if entropy::wall() >= expires {
                return self.on_answer(None);
            }
            self.sleep_until(expires);
        }
        match self.late_at {
            Some(late) if entropy::tick().0 >= late => Err(no_record(!self.leaving.is_empty())),
            Some(_) => {
                self.timer = Some(Box::pin(tokio::time::sleep(RECORD)));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn sleep_until(&mut self, expires: WallTime) {
        let nanos = expires.0.saturating_sub(entropy::wall().0);
        let wait = std::time::Duration::from_nanos(nanos) + std::time::Duration::from_millis(1);
        self.timer = Some(Box::pin(tokio::time::sleep(wait)));
    }

    // --- the client's side

    /// Looks at the client's messages as far as it may.
    fn pump(&mut self) -> Result<(), Cut> {
        loop {
            match &self.hold {
                Hold::No => {}
                Hold::Barrier { op } if !self.ops.contains_key(op) => self.hold = Hold::No,
                Hold::Human { .. } | Hold::Barrier { .. } | Hold::Refresh(_) => return Ok(()),
            }
            if self.upstream.writer.out.len() > QUEUE_BYTES_MAX || self.sends.len() > 4_096 {
                return Ok(());
            }
            if self.script.is_some() {
                if self.needs_refresh() {
                    return self.begin_refresh();
                }
                self.script_step()?;
                continue;
            }
            if self.stash.is_some() && self.needs_refresh() {
                return self.begin_refresh();
            }
            if let Some(frame) = self.stash.take() {
                self.on_client(frame)?;
                continue;
            }
            let reads_names = matches!(
                self.client.input.first(),
                Some(&(tag::QUERY | tag::PARSE | tag::BIND | tag::EXECUTE))
            );
            if reads_names && self.copy.is_none() && !self.skipping && self.needs_refresh() {
                return self.begin_refresh();
            }
            let Some(frame) = self.client.decoder.next(&mut self.client.input)? else { return Ok(()) };
            self.on_client(frame)?;
        }
    }

    fn on_client(&mut self, frame: Frame) -> Result<(), Cut> {
        let message = FromClient::decode(&frame)?;
        if let FromClient::Terminate = message {
            return Err(Cut::quiet("client-closed"));
        }
        if self.copy.is_some() {
            return self.on_copy(message, &frame);
        }
        if self.skipping {
            return match message {
                FromClient::Sync => self.on_sync(),
                _ => Ok(()),
            };
        }
        match message {
            FromClient::Query { sql } => self.on_query(&sql, &frame),
            FromClient::Parse(parse) => self.on_parse(parse, &frame),
            FromClient::Bind(bind) => self.on_bind(bind, &frame),
            FromClient::Describe(target) => self.on_describe(target, &frame),
            FromClient::Execute { portal, .. } => self.on_execute(&portal, &frame),
            FromClient::Close(target) => self.on_close(target, &frame),
            FromClient::Sync => self.on_sync(),
            FromClient::Flush => {
                self.cover("describe")?;
                self.control(Control::Flush, Vec::new());
                Ok(())
            }
            FromClient::FunctionCall(_) => self.refuse_message(
                "function-call",
                &frame,
                "0A000",
                "the function call message is not supported: call the function in a statement",
            ),
            // Left over from a COPY that has failed: PostgreSQL drops them too.
            FromClient::CopyData(_) | FromClient::CopyDone | FromClient::CopyFail { .. } => Ok(()),
            FromClient::PasswordLike(_) => Err(Cut {
                why: "protocol",
                tell: Some(fatal("08P01", "a password message after login is not allowed")),
            }),
            FromClient::Terminate => Ok(()),
        }
    }

    // --- a Query

    fn on_query(&mut self, sql: &RawField, frame: &Frame) -> Result<(), Cut> {
        self.cover("describe")?;
        let asked = raw(frame);
        let Some(text) = sql.to_str() else {
            return self.refuse_query(asked, "22021", "the statement is not UTF-8", None);
        };
        match sql::parse(text) {
            Ok(statements) => {
                let empty = statements.is_empty();
                self.last_statement = sql.to_bytes();
                self.scripts += 1;
                let id = self.scripts;
                self.script = Some(Script { id, asked, rest: statements.into(), decided: Vec::new(), empty });
                Ok(())
            }
            Err(parse) => self.refuse_query(asked, parse.code, parse.sentence, parse.at.map(|at| (text, at))),
        }
    }

    /// Decides the next statement of the text, or sends all that are decided.
    fn script_step(&mut self) -> Result<(), Cut> {
        let Some(script) = &mut self.script else { return Ok(()) };
        let barrier = script.decided.last().is_some_and(|(ready, _, _)| ready.plan.is_barrier());
        if !barrier && let Some(statement) = script.rest.pop_front() {
            let asked = script.asked.clone();
            let plan = self.plan_of(statement);
            if self.wants_fresh(&plan)
                && let (Some(script), Some(statement)) = (&mut self.script, plan.statement.clone())
            {
                script.rest.push_front(statement);
                return Ok(());
            }
            let ready = self.translate(plan, asked);
            return self.statement(ready, true);
        }
        if script.decided.is_empty() && script.empty {
            script.empty = false;
            let asked = script.asked.clone();
            let plan = Arc::new(Plan::make(&self.resource, &self.who, &self.catalog, &self.names, None));
            let ready = self.translate(plan, asked);
            return self.statement(ready, true);
        }
        let decided = std::mem::take(&mut script.decided);
        let done = script.rest.is_empty();
        let copies = decided.last().is_some_and(|(ready, _, _)| ready.plan.copies_in());
        for (ready, verdict, asked) in decided {
            self.send(ready, &verdict, asked)?;
        }
        match (done, copies) {
            // The Sync comes behind the copy's end.
            (true, true) => self.script = None,
            (true, false) => {
                self.script = None;
                self.sync();
            }
            (false, _) => {}
        }
        Ok(())
    }

    /// A statement of a Query as extended messages: DESIGN section 8, L3, and `proto_postgres::session`.
    fn translate(&mut self, plan: Arc<Plan>, asked: Bytes) -> Ready {
        let empty = RawField::from_static(b"");
        let messages = [
            FromClient::Parse(Parse {
                statement: empty.clone(),
                sql: RawField::copy_from(plan.text.as_bytes()),
                types: Vec::new(),
            }),
            FromClient::Bind(Bind {
                portal: empty.clone(),
                statement: empty.clone(),
                param_formats: Vec::new(),
                params: Vec::new(),
                result_formats: Vec::new(),
            }),
            FromClient::Describe(Target::Portal(empty.clone())),
            FromClient::Execute { portal: empty, rows_max: 0 },
        ];
        let mut sending = BytesMut::new();
        for message in &messages {
            // Our own constants and a text that a frame held before.
            let _fits = message.encode(&mut sending);
        }
        self.prepared.remove(&Bytes::new());
        self.portals.remove(&Bytes::new());
        Ready {
            plan,
            via: "query",
            params: Vec::new(),
            asked,
            sending: sending.to_vec(),
            sents: vec![
                (What::Parse, true),
                (What::Bind, true),
                (What::DescribePortal, false),
                (What::Execute, false),
            ],
            named: Vec::new(),
            translated: true,
            columns: None,
        }
    }

    fn refuse_query(
        &mut self,
        asked: Bytes,
        code: &'static str,
        sentence: &'static str,
        at: Option<(&str, usize)>,
    ) -> Result<(), Cut> {
        let plan = self.unreadable();
        let ready = Ready {
            plan,
            via: "query",
            params: Vec::new(),
            asked,
            sending: Vec::new(),
            sents: Vec::new(),
            named: Vec::new(),
            translated: true,
            columns: None,
        };
        let position =
            at.map(|(text, at)| text.get(..at).map_or(0, |before| before.chars().count() as u32 + 1));
        let decided = ready.plan.decided.clone();
        self.refuse(&ready, &decided, code, sentence, position, None)?;
        self.skipping = false;
        self.script = None;
        self.sync();
        Ok(())
    }

    /// A plan for what cannot be read: opaque, and refused.
    fn unreadable(&mut self) -> Arc<Plan> {
        let mut plan = Plan::make(&self.resource, &self.who, &self.catalog, &self.names, None);
        plan.masked = MaskedText::constant("[a statement that cannot be read]");
        Arc::new(plan)
    }

    // --- extended messages

    fn on_parse(&mut self, parse: Parse, frame: &Frame) -> Result<(), Cut> {
        let name = parse.statement.to_bytes();
        let Some(text) = parse.sql.to_str() else {
            return self.refuse_message("parse", frame, "22021", "the statement is not UTF-8");
        };
        if !name.is_empty() && self.prepared.contains_key(&name) {
            return self.refuse_message(
                "parse",
                frame,
                "42P05",
                "a prepared statement of this name exists already",
            );
        }
        if self.prepared.len() >= PREPARED_MAX {
            return self.refuse_message(
                "parse",
                frame,
                "54000",
                "too many prepared statements in one session",
            );
        }
        let text: Arc<str> = text.into();
        let plan = match self.plan_text(&text) {
            Ok(plan) => plan,
            Err((code, sentence)) => return self.refuse_message("parse", frame, code, sentence),
        };
        if self.wants_fresh(&plan) {
            self.stash = Some(frame.clone());
            return Ok(());
        }
        if self.batch.plan.is_some() {
            self.cover("parse")?;
        }
        self.last_statement = parse.sql.to_bytes();
        let ready = Ready {
            plan: plan.clone(),
            via: "parse",
            params: Vec::new(),
            asked: raw(frame),
            sending: Vec::new(),
            sents: Vec::new(),
            named: Vec::new(),
            translated: false,
            columns: None,
        };
        if let Some(reason) = plan.refuse {
            let decided = plan.decided.clone();
            return self.refuse(
                &ready,
                &decided,
                reason.code,
                reason.sentence,
                self.position(&plan, reason.at),
                None,
            );
        }
        let decided = plan.verdict(&self.resource.gate, &self.who, &BTreeSet::new());
        if decided.verdict == Verdict::Refuse {
            return self.refuse(&ready, &decided, "42501", REFUSED, None, None);
        }
        // An ask is put when it is executed.
        let upstream = plan.text.clone();
        let message = FromClient::Parse(Parse {
            statement: parse.statement.clone(),
            sql: RawField::copy_from(upstream.as_bytes()),
            types: parse.types.clone(),
        });
        self.batch(frame, &message, What::Parse, false)?;
        self.batch.plan = Some(plan.clone());
        self.batch.named.push(Named::Statement(name.clone()));
        if !name.is_empty() {
            let key = String::from_utf8(name.to_vec()).unwrap_or_default();
            self.names.prepared.insert(key, plan.analysis.clone());
        }
        self.prepared.insert(name, Prepared { text, plan, epoch: self.epoch, types: parse.types, upstream });
        Ok(())
    }

    fn on_bind(&mut self, bind: Bind, frame: &Frame) -> Result<(), Cut> {
        let Some(prepared) = self.prepared.get(bind.statement.as_bytes()).cloned() else {
            return self.refuse_message(
                "bind",
                frame,
                "26000",
                "there is no prepared statement of this name",
            );
        };
        if self.portals.len() >= PORTALS_MAX {
            return self.refuse_message("bind", frame, "54000", "too many portals in one session");
        }
        let prepared = match self.renewed(&bind.statement, prepared)? {
            Ok(prepared) => prepared,
            Err((code, sentence)) => return self.refuse_message("bind", frame, code, sentence),
        };
        let params = self.params(&bind, &prepared);
        let name = bind.portal.to_bytes();
        let message = FromClient::Bind(bind);
        self.batch(frame, &message, What::Bind, false)?;
        self.batch.plan = Some(prepared.plan.clone());
        self.batch.params = params.clone();
        self.batch.named.push(Named::Portal(name.clone()));
        let portal = Portal {
            plan: prepared.plan,
            epoch: prepared.epoch,
            upstream: prepared.upstream,
            params,
            columns: None,
            hold: false,
        };
        self.portals.insert(name, portal);
        Ok(())
    }

    /// A prepared statement under today's plan. If what upstream holds is another text than today's, it is prepared
    /// again there, before the Bind that uses it.
    fn renewed(
        &mut self,
        name: &RawField,
        mut prepared: Prepared,
    ) -> Result<Result<Prepared, (&'static str, &'static str)>, Cut> {
        if prepared.epoch == self.epoch {
            return Ok(Ok(prepared));
        }
        let plan = match self.plan_text(&prepared.text.clone()) {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(reason) = plan.refuse {
            return Ok(Err((reason.code, reason.sentence)));
        }
        if plan.text != prepared.upstream {
            for message in [
                FromClient::Close(Target::Statement(name.clone())),
                FromClient::Parse(Parse {
                    statement: name.clone(),
                    sql: RawField::copy_from(plan.text.as_bytes()),
                    types: prepared.types.clone(),
                }),
            ] {
                let what = if matches!(message, FromClient::Close(_)) { What::Close } else { What::Parse };
                let mut bytes = BytesMut::new();
                message.encode(&mut bytes)?;
                self.batch.sending.extend_from_slice(&bytes);
                self.batch.sents.push((what, true));
            }
            prepared.upstream = plan.text.clone();
        }
        prepared.plan = plan;
        prepared.epoch = self.epoch;
        self.prepared.insert(name.to_bytes(), prepared.clone());
        Ok(Ok(prepared))
    }

    fn on_describe(&mut self, target: Target, frame: &Frame) -> Result<(), Cut> {
        let (plan, what) = match &target {
            Target::Statement(name) => {
                let prepared = self.prepared.get(name.as_bytes());
                (prepared.map(|p| p.plan.clone()), What::DescribeStatement)
            }
            Target::Portal(name) => {
                (self.portals.get(name.as_bytes()).map(|p| p.plan.clone()), What::DescribePortal)
            }
        };
        let Some(plan) = plan else {
            let code = if what == What::DescribePortal { "34000" } else { "26000" };
            return self.refuse_message(
                "describe",
                frame,
                code,
                "there is no statement or portal of this name",
            );
        };
        self.batch(frame, &FromClient::Describe(target), what, false)?;
        self.batch.plan = Some(plan);
        Ok(())
    }

    fn on_execute(&mut self, portal: &RawField, frame: &Frame) -> Result<(), Cut> {
        let Some(found) = self.portals.get(portal.as_bytes()) else {
            return self.refuse_message("execute", frame, "34000", "there is no portal of this name");
        };
        let void = found.epoch != self.epoch;
        let (plan, params, upstream, columns) =
            (found.plan.clone(), found.params.clone(), found.upstream.clone(), found.columns.clone());
        if void {
            // Decided again under what holds now; a portal that was opened under another rewrite is void.
            let text: Arc<str> = plan.statement.as_ref().map_or("", Statement::text).into();
            match self.plan_text(&text) {
                Ok(now) if now.text == upstream => {}
                Ok(_) => {
                    return self.refuse_message(
                        "execute",
                        frame,
                        "55000",
                        "the rules or the catalog have changed since this portal was opened",
                    );
                }
                Err((code, sentence)) => return self.refuse_message("execute", frame, code, sentence),
            }
        }
        let FromClient::Execute { rows_max, .. } = FromClient::decode(frame)? else { return Ok(()) };
        let message = FromClient::Execute { portal: portal.clone(), rows_max };
        self.batch(frame, &message, What::Execute, false)?;
        let batch = std::mem::take(&mut self.batch);
        let ready = Ready {
            plan,
            via: "execute",
            params,
            asked: batch.asked.freeze(),
            sending: batch.sending,
            sents: batch.sents,
            named: batch.named,
            translated: false,
            columns,
        };
        self.statement(ready, false)
    }

    fn on_close(&mut self, target: Target, frame: &Frame) -> Result<(), Cut> {
        match &target {
            Target::Statement(name) => {
                self.prepared.remove(name.as_bytes());
                if let Some(name) = name.to_str() {
                    self.names.prepared.remove(name);
                }
            }
            Target::Portal(name) => {
                self.portals.remove(name.as_bytes());
            }
        }
        self.batch(frame, &FromClient::Close(target), What::Close, false)
    }

    fn on_sync(&mut self) -> Result<(), Cut> {
        self.skipping = false;
        self.cover("describe")?;
        self.sync();
        Ok(())
    }

    fn sync(&mut self) {
        let op = self.op(Op::new(1));
        self.syncs += 1;
        self.unsynced = false;
        self.sends.push_back((
            op,
            Outgoing::Control { control: Control::Sync, sents: vec![Sent::shown(op, What::Sync)] },
        ));
    }

    fn control(&mut self, control: Control, sents: Vec<Sent>) {
        self.sends.push_back((0, Outgoing::Control { control, sents }));
    }

    fn batch(&mut self, frame: &Frame, message: &FromClient, what: What, hidden: bool) -> Result<(), Cut> {
        frame.encode(&mut self.batch.asked)?;
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes)?;
        self.batch.sending.extend_from_slice(&bytes);
        self.batch.sents.push((what, hidden));
        Ok(())
    }

    /// An intent for what was prepared, bound, described or closed and is not executed in the same breath.
    fn cover(&mut self, via: &'static str) -> Result<(), Cut> {
        if self.batch.sents.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let plan = match batch.plan {
            Some(plan) => plan,
            None => self.unreadable_close(),
        };
        let ready = Ready {
            via,
            params: batch.params,
            asked: batch.asked.freeze(),
            sending: batch.sending,
            sents: batch.sents,
            named: batch.named,
            translated: false,
            columns: None,
            plan: plan.clone(),
        };
        let decided = plan.verdict(&self.resource.gate, &self.who, &BTreeSet::new());
        self.send(ready, &decided, None)
    }

    /// A Close alone: it touches nothing.
    fn unreadable_close(&mut self) -> Arc<Plan> {
        Arc::new(Plan::make(&self.resource, &self.who, &self.catalog, &self.names, None))
    }

    // --- one statement: decide, ask, send, or refuse

    fn statement(&mut self, ready: Ready, script: bool) -> Result<(), Cut> {
        if let Some(reason) = ready.plan.refuse {
            let decided = ready.plan.decided.clone();
            let position = self.position(&ready.plan, reason.at);
            self.refuse(&ready, &decided, reason.code, reason.sentence, position, None)?;
            return self.after_refusal(script);
        }
        let gate = self.resource.gate.clone();
        let mut decided = ready.plan.verdict(&gate, &self.who, &BTreeSet::new());
        if let Verdict::Ask(_) = decided.verdict {
            let standing = gate.standing(&self.question(&ready), entropy::wall());
            if !standing.is_empty() {
                decided = ready.plan.verdict(&gate, &self.who, &standing);
            }
        }
        match &decided.verdict {
            Verdict::Allow => self.decided(ready, decided, None, script),
            Verdict::Refuse => {
                self.refuse(&ready, &decided, "42501", REFUSED, None, None)?;
                self.after_refusal(script)
            }
            Verdict::Ask(groups) => {
                let groups = groups.clone();
                self.ask(ready, decided, &groups, script)
            }
        }
    }

    fn decided(
        &mut self,
        ready: Ready,
        decided: Decided,
        asked: Option<Seq>,
        script: bool,
    ) -> Result<(), Cut> {
        match (&mut self.script, script) {
            (Some(script), true) => {
                script.decided.push((ready, decided, asked));
                Ok(())
            }
            _ => self.send(ready, &decided, asked),
        }
    }

    /// Records the intent and queues the bytes behind it.
    fn send(&mut self, ready: Ready, decided: &Decided, asked: Option<Seq>) -> Result<(), Cut> {
        let intent = {
            let question = self.question(&ready);
            self.resource
                .gate
                .intend(&question, decided, asked, entropy::tick())
                .map_err(|e| self.unrecorded(e))?
        };
        let seq = intent.seq();
        let barrier = ready.plan.is_barrier() && ready.via != "parse" && ready.via != "describe";
        let mut op = Op::new(ready.sents.len());
        op.intent = Some(seq);
        op.translated = ready.translated;
        op.script = if ready.translated { self.scripts } else { 0 };
        op.owes_sync = ready.translated && ready.plan.copies_in();
        op.named = ready.named;
        self.unsynced = true;
        op.columns = ready.columns;
        op.reel_left = match self.resource.config.reel {
            Reel::Full => u64::MAX,
            Reel::Head { bytes } => bytes,
            Reel::None => 0,
        };
        let executes = matches!(ready.via, "query" | "execute");
        self.wrote |= executes && ready.plan.analysis.writes;
        op.plan = Some(ready.plan);
        let op = self.op(op);
        let sents = ready.sents.into_iter().map(|(what, hidden)| Sent { op, what, hidden }).collect();
        let pass = match intent.overtake() {
            Ok((permit, _covered_by_the_outcome)) => Pass::Ready(Some(permit)),
            Err(intent) => Pass::Waiting(Box::new(intent)),
        };
        let since = entropy::tick().0;
        self.sends.push_back((op, Outgoing::Permitted { pass, bytes: ready.sending, sents, since }));
        if barrier {
            self.control(Control::Flush, Vec::new());
            self.hold = Hold::Barrier { op };
        }
        Ok(())
    }

    fn ask(&mut self, ready: Ready, decided: Decided, groups: &[Group], script: bool) -> Result<(), Cut> {
        let config = &self.resource.config;
        let held = self.tx() == Tx::In && self.wrote;
        let wait = if held {
            config.hold_in_transaction.min(config.approval_timeout)
        } else {
            config.approval_timeout
        };
        if wait.is_zero() {
            self.refuse(
                &ready,
                &decided,
                "42501",
                "this needs an approval, and the transaction holds locks that others wait for",
                None,
                None,
            )?;
            return self.after_refusal(script);
        }
        let now = entropy::wall();
        let expires = WallTime(now.0.saturating_add(wait.as_nanos() as u64));
        let id = AskId(entropy::random());
        let asked = {
            let question = self.question(&ready);
            self.resource.gate.ask(&question, &decided, id, now, expires)
        };
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(GateError::InboxFull) => {
                self.refuse(&ready, &decided, "53000", "too many requests wait for approval", None, None)?;
                return self.after_refusal(script);
            }
            Err(error) => return Err(self.unrecorded(error)),
        };
        let names: Vec<&str> = groups.iter().map(|g| &*g.0).collect();
        let notice = Fields::new(
            "NOTICE",
            "01000",
            Bytes::from(format!(
                "waiting for approval {id} by {} (expires in {} s)",
                names.join(", "),
                wait.as_secs()
            )),
        );
        self.showing.show_message(&FromUpstream::Notice(notice));
        if let Some(receipt) = asked.receipt.take() {
            self.showing.cover(receipt);
        }
        self.flush(None, State::Pending)?;
        self.asked_expires = Some(expires);
        self.sleep_until(expires);
        self.hold = Hold::Human { asked: Box::new(asked), ready: Box::new(ready), script };
        Ok(())
    }

    /// The human has answered, or has not in time (`None`).
    fn on_answer(&mut self, answer: Option<Answer>) -> Result<(), Cut> {
        let Hold::Human { asked, ready, script } = std::mem::replace(&mut self.hold, Hold::No) else {
            return Ok(());
        };
        self.asked_expires = None;
        self.timer = None;
        let seq = asked.seq;
        let spent = {
            let question = self.question(&ready);
            let ground = ready.plan.ground();
            self.resource.gate.spend(*asked, answer, &question, &ground, entropy::wall())
        };
        match spent.map_err(|e| self.unrecorded(e))? {
            Spent::Allowed(decided) => self.decided(*ready, decided, Some(seq), script),
            Spent::Refused(decided, why) => {
                self.refuse(&ready, &decided, "42501", why, None, Some(seq))?;
                self.after_refusal(script)
            }
        }
    }

    /// Records the refusal, makes upstream fail in its place, and keeps the client's error for that moment.
    fn refuse(
        &mut self,
        ready: &Ready,
        decided: &Decided,
        code: &'static str,
        why: &'static str,
        position: Option<u32>,
        of: Option<Seq>,
    ) -> Result<(), Cut> {
        let receipt = {
            let question = Question { sending: &[], ..self.question(ready) };
            self.resource
                .gate
                .refuse(&question, decided, sqlstate5(code), why, of)
                .map_err(|e| self.unrecorded(e))?
        };
        for named in &ready.named {
            self.unname(named);
        }
        let rules: Vec<&str> = decided.rules.iter().map(|r| &*r.0).collect();
        let by_policy = decided.verdict != Verdict::Allow && code == "42501" && ready.plan.refuse.is_none();
        let (message, detail) = match by_policy {
            true => (
                decided.message.as_deref().unwrap_or(why).to_string(),
                Some(match rules.is_empty() {
                    true => "no rule permits it".to_string(),
                    false => format!("rule: {}", rules.join(", ")),
                }),
            ),
            false => (why.to_string(), None),
        };
        let hint =
            Some(format!("refused by the gateway, record {}; ask whoever keeps its policy", receipt.seq().0));
        let mut fields = error(code, &message, detail, hint.filter(|_| code == "42501"));
        if let Some(position) = position {
            fields = fields.with(proto_postgres::reply::field::POSITION, position.to_string());
        }
        self.showing.cover(receipt);
        let op = self.op(Op::new(1));
        self.refusals.insert(op, fields);
        self.sends.push_back((
            op,
            Outgoing::Control { control: Control::Poison, sents: vec![Sent::hidden(op, What::Poison)] },
        ));
        self.control(Control::Flush, Vec::new());
        self.skipping = true;
        self.batch = Batch::default();
        Ok(())
    }

    /// A Query is refused whole: what was decided before is not sent, and the flight ends.
    fn after_refusal(&mut self, script: bool) -> Result<(), Cut> {
        if script && self.script.take().is_some() {
            self.skipping = false;
            self.sync();
        }
        Ok(())
    }

    fn refuse_message(
        &mut self,
        via: &'static str,
        frame: &Frame,
        code: &'static str,
        why: &'static str,
    ) -> Result<(), Cut> {
        let plan = self.unreadable();
        let ready = Ready {
            via,
            params: Vec::new(),
            asked: raw(frame),
            sending: Vec::new(),
            sents: Vec::new(),
            named: Vec::new(),
            translated: false,
            columns: None,
            plan: plan.clone(),
        };
        self.refuse(&ready, &plan.decided.clone(), code, why, None, None)?;
        if via == "function-call" {
            self.skipping = false;
            self.sync();
        }
        Ok(())
    }

    fn question<'a>(&'a self, ready: &'a Ready) -> Question<'a> {
        Question {
            who: &self.who,
            via: ready.via,
            action: ready.plan.action(),
            statement: ready.plan.masked.clone(),
            sent: ready.plan.sent.clone(),
            params: ready.params.clone(),
            governed: ready.plan.governed.clone(),
            prints: Vec::new(),
            tx: self.tx(),
            asked: &ready.asked,
            sending: &ready.sending,
            pure_read: ready.plan.analysis.pure_read && self.reads_only(),
        }
    }

    /// Only on a session that is read-only upstream may a read overtake its intent.
    fn reads_only(&self) -> bool {
        self.resource.config.read_only
    }

    fn tx(&self) -> Tx {
        match self.flow.tx() {
            TxStatus::Idle => Tx::Idle,
            TxStatus::InTransaction => Tx::In,
            TxStatus::Failed => Tx::Failed,
        }
    }

    /// Where in the client's statement something is, in characters from 1.
    fn position(&self, plan: &Plan, at: Option<usize>) -> Option<u32> {
        let statement = plan.statement.as_ref()?;
        let before = statement.text().get(..at?)?;
        Some(before.chars().count() as u32 + 1)
    }

    // --- plans

    fn plan_text(&mut self, text: &Arc<str>) -> Result<Arc<Plan>, (&'static str, &'static str)> {
        self.renew_plans();
        if let Some(plan) = self.plans.get(text) {
            return Ok(plan.clone());
        }
        let mut statements = sql::parse(text).map_err(|e| (e.code, e.sentence))?;
        if statements.len() > 1 {
            return Err(("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let plan =
            Arc::new(Plan::make(&self.resource, &self.who, &self.catalog, &self.names, statements.pop()));
        self.keep(text.clone(), plan.clone());
        Ok(plan)
    }

    fn plan_of(&mut self, statement: Statement) -> Arc<Plan> {
        self.renew_plans();
        if let Some(plan) = self.plans.get(statement.text()) {
            return plan.clone();
        }
        let text: Arc<str> = statement.text().into();
        let plan =
            Arc::new(Plan::make(&self.resource, &self.who, &self.catalog, &self.names, Some(statement)));
        self.keep(text, plan.clone());
        plan
    }

    /// A name was not found: somebody may have made it meanwhile. Then the catalog is read again, once.
    fn wants_fresh(&mut self, plan: &Plan) -> bool {
        let age = entropy::tick().0.saturating_sub(self.catalog.at.0);
        let wanted = plan.analysis.unresolved
            && u128::from(age) > CATALOG_DOUBT.as_nanos()
            && self.flow.tx() != TxStatus::Failed
            && !self.flow.skipping();
        if wanted {
            self.catalog_dirty = true;
            self.plans.clear();
        }
        wanted
    }

    fn keep(&mut self, text: Arc<str>, plan: Arc<Plan>) {
        if self.plans.len() >= ANALYSES_MAX {
            self.plans.clear();
        }
        self.plans.insert(text, plan);
    }

    /// Throws plans away if policy has changed, or the transaction's state that they were made under.
    fn renew_plans(&mut self) {
        let generation = self.resource.gate.generation();
        let in_transaction = self.flow.tx() != TxStatus::Idle;
        if generation != self.generation || in_transaction != self.names.in_transaction {
            if generation != self.generation {
                self.epoch += 1;
            }
            self.generation = generation;
            self.names.in_transaction = in_transaction;
            self.plans.clear();
        }
    }

    fn params(&mut self, bind: &Bind, prepared: &Prepared) -> Vec<Param> {
        let detectors = self.resource.gate.detectors().clone();
        bind.params
            .iter()
            .enumerate()
            .map(|(i, value)| {
                let kind = prepared.types.get(i).copied().unwrap_or(0);
                let format = bind.param_format(i).code();
                let shape = match kind {
                    0 => Shape::Text,
                    kind => Shape::of_postgres(kind, format == 1),
                };
                let bytes = value.as_ref().map(RawField::as_bytes);
                if let Some(bytes) = bytes {
                    self.showing.known.remember(Origin::Echo, bytes);
                }
                let (mask, findings) = mask::param(&detectors, "parameter", shape, bytes);
                let print = findings
                    .first()
                    .zip(bytes)
                    .map(|(finding, bytes)| self.resource.gate.ledger().print(&finding.class, bytes));
                Param { kind, format, size: bytes.map_or(-1, |b| b.len() as i64), mask, print }
            })
            .collect()
    }

    fn op(&mut self, op: Op) -> u64 {
        let id = self.next_op;
        self.next_op += 1;
        self.ops.insert(id, op);
        id
    }

    fn unname(&mut self, named: &Named) {
        match named {
            Named::Statement(name) => {
                self.prepared.remove(name);
                if let Ok(name) = std::str::from_utf8(name) {
                    self.names.prepared.remove(name);
                }
            }
            Named::Portal(name) => {
                self.portals.remove(name);
            }
        }
    }

    // --- COPY FROM STDIN

    fn on_copy(&mut self, message: FromClient, frame: &Frame) -> Result<(), Cut> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        let (op, translated, failed) = (copy.op, copy.translated, copy.failed);
        match message {
            FromClient::CopyData(data) if !failed => {
                copy.n += 1;
                let n = copy.n;
                let Some(of) = self.ops.get(&op).and_then(|op| op.intent) else { return Ok(()) };
                let mut sending = BytesMut::new();
                FromClient::CopyData(data.clone()).encode(&mut sending)?;
                let piece = Piece {
                    n,
                    to: "upstream",
                    rows: 0,
                    bytes: data.len() as u64,
                    exposures: Vec::new(),
                    tripwires: BTreeSet::new(),
                    filter: None,
                    reel: None,
                };
                let intent = self
                    .resource
                    .gate
                    .piece_upstream(&self.who, of, piece, &sending, entropy::tick())
                    .map_err(|e| self.unrecorded(e))?;
                let since = entropy::tick().0;
                self.sends.push_back((
                    op,
                    Outgoing::Permitted {
                        pass: Pass::Waiting(Box::new(intent)),
                        bytes: sending.to_vec(),
                        sents: Vec::new(),
                        since,
                    },
                ));
                let _ = frame;
                Ok(())
            }
            FromClient::CopyDone | FromClient::CopyFail { .. } if !failed => {
                let (control, what) = match message {
                    FromClient::CopyDone => (Control::CopyDone, What::CopyDone),
                    _ => (Control::CopyFail, What::CopyFail),
                };
                self.copy = None;
                if let Some(op) = self.ops.get_mut(&op) {
                    op.owes_sync = false;
                }
                self.control(control, vec![Sent::hidden(op, what)]);
                if translated {
                    self.sync();
                }
                Ok(())
            }
            FromClient::CopyData(_) if failed => Ok(()),
            FromClient::CopyDone | FromClient::CopyFail { .. } => {
                self.copy = None;
                Ok(())
            }
            _ if failed => {
                self.copy = None;
                self.on_client(frame.clone())
            }
            // As PostgreSQL: during a copy these mean nothing.
            FromClient::Sync | FromClient::Flush => Ok(()),
            _ => Err(Cut {
                why: "protocol",
                tell: Some(fatal("08P01", "only copy data is allowed while a COPY FROM STDIN runs")),
            }),
        }
    }

    // --- names and catalog over this connection

    fn needs_refresh(&self) -> bool {
        let stale = !self.own_catalog && !self.resource.catalog.is_current(&self.catalog);
        (self.names_dirty || self.catalog_dirty || stale)
            && self.flow.tx() != TxStatus::Failed
            && !self.flow.skipping()
    }

    /// Reads what has become uncertain. Waits until upstream has answered everything.
    fn begin_refresh(&mut self) -> Result<(), Cut> {
        if !self.sends.is_empty() || self.flow.outstanding() > 0 || !self.batch.sents.is_empty() {
            if !self.batch.sents.is_empty() {
                self.cover("describe")?;
            }
            self.control(Control::Flush, Vec::new());
            let last = self.ops.keys().next_back().copied().unwrap_or(0);
            self.hold = Hold::Barrier { op: last };
            return Ok(());
        }
        let names_only =
            !self.catalog_dirty && (self.own_catalog || self.resource.catalog.is_current(&self.catalog));
        let queries: Vec<&str> = match names_only {
            true => vec![SESSION_QUERY],
            false => sql::catalog::QUERIES.iter().map(|q| q.sql).chain([SESSION_QUERY]).collect(),
        };
        let op = self.op(Op::new(0));
        let empty = RawField::from_static(b"");
        let mut sents = 0;
        for query in queries {
            for (message, what) in [
                (
                    FromClient::Parse(Parse {
                        statement: RawField::from_static(b"tachograph"),
                        sql: RawField::copy_from(query.as_bytes()),
                        types: Vec::new(),
                    }),
                    What::Parse,
                ),
                (
                    FromClient::Bind(Bind {
                        portal: RawField::from_static(b"tachograph"),
                        statement: RawField::from_static(b"tachograph"),
                        param_formats: Vec::new(),
                        params: Vec::new(),
                        result_formats: Vec::new(),
                    }),
                    What::Bind,
                ),
                (
                    FromClient::Execute { portal: RawField::from_static(b"tachograph"), rows_max: 0 },
                    What::Execute,
                ),
                (FromClient::Close(Target::Portal(RawField::from_static(b"tachograph"))), What::Close),
                (FromClient::Close(Target::Statement(RawField::from_static(b"tachograph"))), What::Close),
            ] {
                let _ = &empty;
                let _known = self.flow.sent(Sent::hidden(op, what))?;
                // The gateway's own constant reads: no request of the client's is in them.
                message.encode(&mut self.upstream.writer.out)?;
                sents += 1;
            }
        }
        if self.flow.tx() == TxStatus::Idle
            && self.script.is_none()
            && !self.failed_in_flight
            && self.syncs == 0
        {
            let _known = self.flow.sent(Sent::hidden(op, What::Sync))?;
            self.upstream.writer.control(Control::Sync)?;
            sents += 1;
        } else {
            self.upstream.writer.control(Control::Flush)?;
        }
        if let Some(own) = self.ops.get_mut(&op) {
            own.left = sents;
        }
        self.hold = Hold::Refresh(Box::new(Refresh {
            op,
            answers: Vec::new(),
            rows: Vec::new(),
            names_only,
            failed: false,
        }));
        Ok(())
    }

    fn end_refresh(&mut self) -> Result<(), Cut> {
        let Hold::Refresh(refresh) = std::mem::replace(&mut self.hold, Hold::No) else { return Ok(()) };
        if refresh.failed {
            return Err(Cut { why: "catalog", tell: Some(fatal("08006", "the catalog could not be read")) });
        }
        let bad = |_why: String| Cut {
            why: "catalog",
            tell: Some(fatal("08006", "the catalog could not be understood")),
        };
        let mut answers = refresh.answers;
        if refresh.names_only {
            let (path, role) = session_names(&answers.pop().unwrap_or_default()).map_err(bad)?;
            self.names.search_path = path;
            self.names.role = role;
        } else {
            let catalog = Catalog::build(&self.resource, answers).map_err(bad)?;
            self.names.search_path = catalog.search_path.clone();
            self.names.role = catalog.role.clone();
            self.names.temp.clear();
            let everybodys = self.flow.tx() == TxStatus::Idle && !self.unsynced;
            self.catalog = self.resource.catalog.offer(Arc::new(catalog), everybodys);
            self.own_catalog = !everybodys;
        }
        self.names_dirty = false;
        self.catalog_dirty = false;
        self.epoch += 1;
        self.plans.clear();
        Ok(())
    }

    // --- the upstream's side

    fn on_upstream(&mut self) -> Result<(), Cut> {
        loop {
            if self.queued_for_client() > QUEUE_BYTES_MAX {
                return Ok(());
            }
            let Some(frame) = self.upstream.decoder.next(&mut self.upstream.input)? else { break };
            let event = self.flow.on_upstream(&frame)?;
            self.on_event(event, frame)?;
        }
        // Nothing more for now: what has ended and has no Sync behind it is told.
        let waits_for_ready = self.syncs > 0;
        if !waits_for_ready && !self.showing.is_empty() {
            self.flush(None, State::Pending)?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event, frame: Frame) -> Result<(), Cut> {
        let of = event.of;
        let op = of.map_or(0, |sent| sent.op);
        if let Hold::Refresh(refresh) = &mut self.hold
            && refresh.op == op
            && of.is_some()
        {
            return self.on_refresh(event);
        }
        let translated = self.ops.get(&op).is_some_and(|op| op.translated);
        let shown = event.shown(translated);
        self.show_held(&event);
        match event.kind {
            Kind::ParseComplete | Kind::BindComplete | Kind::CloseComplete | Kind::NoData => {
                if shown {
                    self.showing.show(&frame);
                }
                self.answered(op);
            }
            Kind::ParameterDescription { .. } => self.showing.show(&frame),
            Kind::RowDescription(description) => {
                self.on_columns(op, description)?;
                if shown {
                    self.showing.show(&frame);
                }
                self.answered(op);
            }
            Kind::DataRow(row) => {
                let columns = self.ops.get(&op).and_then(|op| op.columns.clone());
                if let Some(op) = self.ops.get_mut(&op) {
                    op.rows += 1;
                    op.piece_rows += 1;
                    op.bytes += row.byte_len() as u64;
                }
                self.reveal(&row, columns.as_deref());
                self.showing.show_row(&frame, columns.as_ref());
                self.maybe_piece(op)?;
            }
            Kind::Complete(command) => {
                match translated {
                    true => self.held = Some(frame.clone()),
                    false => self.showing.show(&frame),
                }
                let detectors = self.resource.gate.detectors().clone();
                if let Some(op) = self.ops.get_mut(&op) {
                    op.tag = Some(mask::name(&detectors, command.0.to_str().unwrap_or("?")));
                    op.command = Bytes::copy_from_slice(command.command());
                    if op.rows == 0 {
                        op.rows = command.rows().unwrap_or(0);
                    }
                }
                self.may_release(op)?;
                self.apply(op);
                self.answered(op);
            }
            Kind::Empty | Kind::Suspended => {
                self.showing.show(&frame);
                self.answered(op);
            }
            Kind::CopyInStart(_) => {
                self.showing.show(&frame);
                self.copy = Some(CopyIn { op, translated, n: 0, failed: false });
                if let Hold::Barrier { op: waits } = self.hold
                    && waits == op
                {
                    self.hold = Hold::No;
                }
                self.piece(op)?;
            }
            Kind::CopyOutStart(_) => self.showing.show(&frame),
            Kind::CopyData(data) => {
                if let Some(op) = self.ops.get_mut(&op) {
                    op.bytes += data.len() as u64;
                }
                self.showing.show_row(&frame, None);
                self.maybe_piece(op)?;
            }
            Kind::CopyDone => self.showing.show(&frame),
            Kind::Error { fields, skipped, fatal } => self.on_error(op, fields, skipped, fatal)?,
            Kind::Ready(tx) => self.on_ready(op, tx)?,
            Kind::Notice(fields) => {
                let plan = self.ops.get(&op).and_then(|op| op.plan.clone());
                let fields = self.sanitised(&fields, plan.as_deref());
                self.showing.show_message(&FromUpstream::Notice(fields));
            }
            Kind::Parameter { name, .. } => {
                if TOLD.iter().any(|told| told.as_bytes() == name.as_bytes()) {
                    self.showing.show(&frame);
                }
            }
            Kind::Notification { .. } => self.showing.show(&frame),
        }
        Ok(())
    }

    /// A Query says that it is complete only once its transaction has ended well: the last CommandComplete waits for
    /// what comes behind it, and a commit that fails takes its place.
    fn show_held(&mut self, next: &Event) {
        let Some(frame) = self.held.take() else { return };
        let by_itself = next.of.is_none() || matches!(next.kind, Kind::Notice(_));
        let commit_failed =
            matches!(next.kind, Kind::Error { .. }) && next.of.is_some_and(|sent| sent.what == What::Sync);
        match (by_itself, commit_failed) {
            (true, _) => self.held = Some(frame),
            (false, true) => {}
            (false, false) => self.showing.show(&frame),
        }
    }

    fn on_refresh(&mut self, event: Event) -> Result<(), Cut> {
        let Hold::Refresh(refresh) = &mut self.hold else { return Ok(()) };
        let op = refresh.op;
        match event.kind {
            Kind::DataRow(row) => match text_row(&row) {
                Ok(row) => {
                    refresh.rows.push(row);
                    return Ok(());
                }
                Err(_) => refresh.failed = true,
            },
            Kind::Complete(_) => {
                let rows = std::mem::take(&mut refresh.rows);
                refresh.answers.push(rows);
            }
            Kind::Error { .. } => refresh.failed = true,
            Kind::Notice(_) => return Ok(()),
            _ => {}
        }
        let failed = refresh.failed;
        let left = match self.ops.get_mut(&op) {
            Some(own) => {
                own.left = own.left.saturating_sub(1);
                own.left
            }
            None => 0,
        };
        if left == 0 || failed {
            self.ops.remove(&op);
            return self.end_refresh();
        }
        Ok(())
    }

    fn on_columns(&mut self, op: u64, description: proto_postgres::reply::RowDescription) -> Result<(), Cut> {
        let plan = self.ops.get(&op).and_then(|op| op.plan.clone());
        let mut raw: Vec<(usize, Class)> = Vec::new();
        for (i, column) in description.columns.iter().enumerate() {
            let Some(class) = self.catalog.governed.class_of(column.table, column.attribute) else {
                continue;
            };
            let revealed = plan.as_ref().is_some_and(|plan| plan.revealed.contains_key(&class));
            if !revealed {
                // The wire's own word against ours: a defect, and not one byte of it leaves.
                return Err(Cut {
                    why: "unmasked-column",
                    tell: Some(fatal("XX000", "the answer has a governed column that was not masked")),
                });
            }
            raw.push((i, class));
        }
        let columns = Arc::new(Columns::new(description, raw));
        if let Some(op) = self.ops.get_mut(&op) {
            op.columns = Some(columns.clone());
            for named in &op.named {
                if let Named::Portal(name) = named
                    && let Some(portal) = self.portals.get_mut(name)
                {
                    portal.columns = Some(columns.clone());
                }
            }
        }
        Ok(())
    }

    /// Values that a grant reveals are remembered, so that they are no tripwire later.
    fn reveal(&mut self, row: &proto_postgres::reply::DataRow, columns: Option<&Columns>) {
        let Some(columns) = columns.filter(|c| !c.raw.is_empty()) else { return };
        for (i, cell) in row.cells().enumerate() {
            if let Some(cell) = cell
                && columns.raw.iter().any(|(raw, _)| *raw == i)
            {
                self.showing.known.remember(Origin::Revealed, cell);
            }
        }
    }

    fn on_error(&mut self, op: u64, fields: Fields, skipped: Vec<Sent>, is_fatal: bool) -> Result<(), Cut> {
        self.failed_in_flight = true;
        let failed = self
            .ops
            .get(&op)
            .map_or(Failed::default(), |op| Failed { script: op.script, owes_sync: op.owes_sync });
        let poison = self.refusals.remove(&op);
        match poison {
            Some(refusal) => {
                self.ops.remove(&op);
                self.showing.show_message(&FromUpstream::Error(refusal));
            }
            None => {
                let plan = self.ops.get(&op).and_then(|op| op.plan.clone());
                let sanitised = self.sanitised(&fields, plan.as_deref());
                self.showing.show_message(&FromUpstream::Error(sanitised));
                let result = if sqlstate(&fields) == *b"57014" { "cancelled" } else { "error" };
                self.end_op(op, result, Some(sqlstate(&fields)));
            }
        }
        let mut ids: Vec<u64> = skipped.iter().map(|sent| sent.op).filter(|id| *id != op).collect();
        ids.dedup();
        for id in ids {
            if self.refusals.remove(&id).is_some() {
                self.ops.remove(&id);
                continue;
            }
            self.end_op(id, "skipped", None);
        }
        if let Some(copy) = &mut self.copy
            && copy.op == op
        {
            copy.failed = true;
        }
        // A Query ends with its first error, whatever of it was still to come.
        let of_script = self.script.as_ref().is_some_and(|script| script.id == failed.script);
        if of_script {
            self.script = None;
            if let Hold::Barrier { .. } = self.hold {
                self.hold = Hold::No;
            }
        }
        if of_script || failed.owes_sync {
            self.sync();
        }
        if is_fatal {
            self.flush(None, State::Pending)?;
            return Err(Cut { why: "upstream-fatal", tell: None });
        }
        Ok(())
    }

    fn on_ready(&mut self, op: u64, tx: TxStatus) -> Result<(), Cut> {
        self.ops.remove(&op);
        self.syncs = self.syncs.saturating_sub(1);
        let state = match tx {
            TxStatus::Idle => State::Settled(match (self.ending.take(), self.failed_in_flight) {
                (Some(how), _) => how,
                (None, true) => "rolled-back",
                (None, false) => "committed",
            }),
            TxStatus::InTransaction | TxStatus::Failed => State::Pending,
        };
        self.failed_in_flight = false;
        if tx == TxStatus::Idle {
            self.wrote = false;
            self.savepoints.clear();
            self.drop_cursors();
            if std::mem::take(&mut self.own_catalog) {
                self.catalog_dirty = true;
                self.resource.catalog.invalidate();
            }
        }
        self.flush(Some(tx), state)?;
        Ok(())
    }

    /// One message of an operation is answered.
    fn answered(&mut self, id: u64) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        op.left = op.left.saturating_sub(1);
        if op.left == 0 {
            self.end_op(id, "ok", None);
        }
        self.release_barrier(id);
    }

    fn end_op(&mut self, id: u64, result: &'static str, code: Option<[u8; 5]>) {
        let Some(mut op) = self.ops.remove(&id) else { return };
        op.code = code;
        if result != "ok" {
            for named in std::mem::take(&mut op.named) {
                self.unname(&named);
            }
        }
        self.showing.finish(op, result);
        self.release_barrier(id);
    }

    fn release_barrier(&mut self, id: u64) {
        if let Hold::Barrier { op } = self.hold
            && op == id
            && !self.ops.contains_key(&id)
        {
            self.hold = Hold::No;
        }
    }

    /// What a statement that has run does to the session.
    fn apply(&mut self, id: u64) {
        let Some(op) = self.ops.get(&id) else { return };
        let Some(plan) = op.plan.clone() else { return };
        let command = op.command.clone();
        for effect in &plan.analysis.effects {
            match effect {
                Effect::Commit { .. } | Effect::Rollback { .. } => {
                    self.ending = Some(if command == b"COMMIT"[..] { "committed" } else { "rolled-back" });
                    self.drop_cursors();
                    if command != b"COMMIT"[..] {
                        self.names_dirty = true;
                        self.catalog_dirty |= self.catalog_changed_in_tx();
                    }
                }
                Effect::Savepoint { name } => self.savepoints.push((name.clone(), self.unsettled.len())),
                Effect::RollbackTo { name } => {
                    self.names_dirty = true;
                    self.catalog_dirty = true;
                    let _mark = self.savepoints.iter().rposition(|(n, _)| n == name);
                }
                Effect::Release { name } => {
                    if let Some(at) = self.savepoints.iter().rposition(|(n, _)| n == name) {
                        self.savepoints.truncate(at);
                    }
                }
                Effect::Set { .. } | Effect::Reset { .. } | Effect::ResetAll => self.names_dirty = true,
                Effect::DiscardAll => {
                    self.names_dirty = true;
                    self.catalog_dirty = true;
                    self.prepared.clear();
                    self.portals.clear();
                    self.names.prepared.clear();
                    self.names.cursors.clear();
                }
                Effect::DiscardTemp | Effect::CreatesTemp { .. } => self.catalog_dirty = true,
                Effect::Ddl { .. } => {
                    self.catalog_dirty = true;
                    self.resource.catalog.invalidate();
                }
                Effect::Prepare { name } => {
                    self.names.prepared.insert(name.clone(), plan.analysis.clone());
                    self.plans.clear();
                }
                Effect::Deallocate { name: Some(name) } => {
                    self.names.prepared.remove(name);
                    self.prepared.remove(name.as_bytes());
                    self.plans.clear();
                }
                Effect::Deallocate { name: None } => {
                    self.names.prepared.clear();
                    self.prepared.clear();
                    self.plans.clear();
                }
                Effect::DeclareCursor { name, hold } => {
                    self.names.cursors.insert(name.clone(), plan.analysis.clone());
                    // Cursors and portals share their names.
                    let portal = Portal {
                        plan: plan.clone(),
                        epoch: self.epoch,
                        upstream: plan.text.clone(),
                        params: Vec::new(),
                        columns: None,
                        hold: *hold,
                    };
                    self.portals.insert(Bytes::copy_from_slice(name.as_bytes()), portal);
                    self.plans.clear();
                }
                Effect::CloseCursor { name: Some(name) } => {
                    self.names.cursors.remove(name);
                    self.portals.remove(name.as_bytes());
                    self.plans.clear();
                }
                Effect::CloseCursor { name: None } => {
                    self.names.cursors.clear();
                    self.plans.clear();
                }
                Effect::Begin { .. }
                | Effect::SetTransaction { .. }
                | Effect::DiscardPlans
                | Effect::Execute { .. }
                | Effect::Fetch { .. }
                | Effect::Listen { .. }
                | Effect::Unlisten { .. }
                | Effect::Notify { .. }
                | Effect::Show { .. }
                | Effect::CopyIn
                | Effect::CopyOut => {}
            }
        }
    }

    /// Portals and cursors end with their transaction, but for those WITH HOLD.
    fn drop_cursors(&mut self) {
        self.portals.retain(|_, portal| portal.hold);
        let portals = &self.portals;
        self.names.cursors.retain(|name, _| portals.contains_key(name.as_bytes()));
    }

    fn catalog_changed_in_tx(&self) -> bool {
        self.own_catalog
    }

    /// Policy's word on an answer, before a piece of it leaves. A no ends the connection: the statement has run, so an
    /// ordinary error would tell the client of a transaction that is not there.
    fn may_release(&mut self, id: u64) -> Result<(), Cut> {
        let Some(op) = self.ops.get(&id) else { return Ok(()) };
        let (Some(intent), Some(plan)) = (op.intent, op.plan.clone()) else { return Ok(()) };
        let classes: Vec<Class> = plan
            .analysis
            .governed
            .iter()
            .map(|g| g.class.clone())
            .chain(op.tripwires.iter().map(|t| t.class.clone()))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let tripwires = op.tripwires.iter().filter(|t| t.act == "masked").count() as u64;
        let so_far = policy::Release { rows: op.rows, bytes: op.bytes, tripwires };
        let partial = op.chunks > 0;
        let generation = self.resource.gate.generation();
        let key = (generation, op.rows, op.bytes, tripwires, classes.clone());
        if self.released.contains(&key) {
            return Ok(());
        }
        let context = policy::Context { classes, ..plan.context.clone() };
        let decided = self.resource.gate.release(&self.who, &context, so_far);
        if decided.verdict == Verdict::Allow {
            if self.released.len() >= RELEASES_MAX {
                self.released.clear();
            }
            self.released.insert(key);
            return Ok(());
        }
        let ready = Ready {
            plan,
            via: "release",
            params: Vec::new(),
            asked: Bytes::new(),
            sending: Vec::new(),
            sents: Vec::new(),
            named: Vec::new(),
            translated: false,
            columns: None,
        };
        let why =
            if partial { "policy holds the rest of the answer back" } else { "policy holds the answer back" };
        let refused =
            self.resource.gate.refuse(&self.question(&ready), &decided, b"42501", why, Some(intent));
        match refused {
            Ok(_recorded_before_the_disconnect) => {
                Err(Cut { why: "release", tell: Some(fatal("42501", why)) })
            }
            Err(error) => Err(self.unrecorded(error)),
        }
    }

    fn maybe_piece(&mut self, op: u64) -> Result<(), Cut> {
        match self.showing.len() >= CHUNK_BYTES {
            true => self.piece(op),
            false => Ok(()),
        }
    }

    fn piece(&mut self, id: u64) -> Result<(), Cut> {
        self.may_release(id)?;
        let Some(mut op) = self.ops.remove(&id) else { return Ok(()) };
        let done = {
            let resource = self.resource.clone();
            let scene = Scene {
                gate: &resource.gate,
                who: &self.who,
                filter_key: &self.filter_key,
                tripwire: resource.config.tripwire,
                reel: if op.reel_left == 0 { Reel::None } else { resource.config.reel },
                root: &resource.root,
            };
            op.reel_left = op.reel_left.saturating_sub(self.showing.len() as u64);
            self.showing.flush_piece(&scene, &mut self.leaving, &mut op, &mut self.unsettled)
        };
        self.ops.insert(id, op);
        done.map_err(|e| self.flush_failed(e))
    }

    fn flush(&mut self, tx: Option<TxStatus>, state: State) -> Result<(), Cut> {
        let resource = self.resource.clone();
        let scene = Scene {
            gate: &resource.gate,
            who: &self.who,
            filter_key: &self.filter_key,
            tripwire: resource.config.tripwire,
            reel: resource.config.reel,
            root: &resource.root,
        };
        self.showing
            .flush(&scene, &mut self.leaving, tx.map(ready), &state, &mut self.unsettled)
            .map_err(|e| self.flush_failed(e))
    }

    fn flush_failed(&self, error: FlushError) -> Cut {
        match error {
            FlushError::Gate(error) => self.unrecorded(error),
            FlushError::Leak(leak) => Cut {
                why: leak.detector,
                tell: Some(fatal(
                    "42501",
                    "the answer holds a value that must not leave and could not be masked",
                )),
            },
        }
    }

    fn sanitised(&self, fields: &Fields, plan: Option<&Plan>) -> Fields {
        let care = match plan.is_some_and(Plan::careful) {
            true => Care::Template,
            false => Care::Text,
        };
        let said: Vec<&[u8]> = match plan.and_then(|p| p.statement.as_ref()) {
            Some(statement) => vec![statement.text().as_bytes(), &self.last_statement],
            None => vec![&self.last_statement],
        };
        let visible =
            |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| self.catalog.names.contains(name));
        let known = errors::Known { said: &said, visible: &visible };
        let offset = plan.and_then(|p| p.statement.as_ref()).map_or(0, |s| statement_offset(s));
        errors::sanitise(fields, &known, care, |at| match plan {
            Some(plan) => Some(plan.rewritten.positions.original(at).saturating_add(offset)),
            None => Some(at),
        })
    }

    // --- the end

    async fn on_cancel(&mut self) -> Result<(), Cut> {
        if self.resource.gate.note(&self.who, None, "cancel").is_err() {
            return Err(no_record(false));
        }
        if let Hold::Human { .. } = self.hold {
            return self.on_answer(None);
        }
        let upstream = &self.resource.config.upstream;
        // A cancel that does not arrive is no harm: the statement goes on, and its end is recorded.
        let _arrived =
            super::dial::cancel(upstream, self.resource.tls.as_ref(), self.upstream_pid, &self.upstream_key)
                .await;
        Ok(())
    }

    fn unrecorded(&self, error: GateError) -> Cut {
        let sent = self.flow.outstanding() > 0;
        match error {
            GateError::NoRecord(ledger::AppendError::OverBudget) => Cut {
                why: "over-budget",
                tell: Some(fatal("54000", "the run is over its budget of records")),
            },
            GateError::NoRecord(ledger::AppendError::RunEnded) => Cut {
                why: "run-ended",
                tell: Some(fatal("57P01", "the run that this connection belongs to is over")),
            },
            GateError::NoRecord(_) | GateError::InboxFull => {
                self.resource.gate.ledger().missed(if sent { Missed::Cut } else { Missed::Refused });
                no_record(sent)
            }
        }
    }

    /// Tells the client why, releases what is already recorded, and says goodbye upstream.
    async fn farewell(&mut self, cut: &Cut) {
        if let Hold::Human { asked, ready, .. } = std::mem::replace(&mut self.hold, Hold::No) {
            let question = self.question(&ready);
            // If no record is possible now, recovery closes the run, and an ask without an answer is a no.
            let _withdrawn =
                self.resource.gate.spend(*asked, None, &question, &ready.plan.ground(), entropy::wall());
        }
        let work = async {
            if let Some(fields) = &cut.tell {
                let mut out = BytesMut::new();
                if FromUpstream::Error(fields.clone()).encode(&mut out).is_ok() {
                    self.client.writer.out.extend_from_slice(&out);
                }
            }
            let _gone = self.client.leg.drain(&mut self.client.writer.out).await;
            if self.upstream.writer.control(Control::Terminate).is_ok() {
                let _gone = self.upstream.leg.drain(&mut self.upstream.writer.out).await;
            }
        };
        let _stalled = tokio::time::timeout(std::time::Duration::from_secs(1), work).await;
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

const REFUSED: &str = "policy does not allow this";

fn no_record(sent: bool) -> Cut {
    match sent {
        false => {
            Cut { why: "no-record", tell: Some(fatal("58030", "no record is possible, so nothing was sent")) }
        }
        true => Cut {
            why: "no-record",
            tell: Some(fatal("08007", "no record is possible; whether the statement took effect is unknown")),
        },
    }
}

/// Where in the client's text the statement begins, in characters.
fn statement_offset(statement: &Statement) -> u32 {
    u32::try_from(statement.offset()).unwrap_or(0)
}

fn pressed(cancel: Arc<Cancel>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { cancel.pressed.notified().await })
}

fn raw(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    // A frame that was decoded encodes again.
    let _fits = frame.encode(&mut out);
    out.freeze()
}

/// A code of ours as five bytes.
fn sqlstate5(code: &'static str) -> &'static [u8; 5] {
    code.as_bytes().first_chunk::<5>().unwrap_or(b"XX000")
}

// Kept apart so that the loop above reads straight.
#[allow(unused_imports)]
use {BTreeMap as _, Copying as _, Intent as _, Map as _, Outcome as _};
