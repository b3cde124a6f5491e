//! What is outstanding upstream, and which message each reply answers.
//!
//! The relay says in order what it sends ([`Session::sent`]) and shows every frame that comes back
//! ([`Session::on_upstream`]). A reply that the protocol does not allow at this point is a fault of upstream's: a
//! proxy that guesses here hands one client's rows to another statement. Names of statements and portals, and what a
//! client may see, are the relay's business; the state of the transaction is known here.
//!
//! # Errors
//! After an error in an extended message, upstream discards everything up to the next Sync. [`Kind::Error`] lists
//! what was already sent and is discarded; from then on `sent` answers [`Fate::Discarded`] until a Sync is sent.
//! An error in the answer to a Sync (a commit that fails) discards nothing. An error of severity FATAL or PANIC ends
//! the connection whatever was outstanding.
//!
//! # COPY FROM STDIN
//! While upstream reads COPY data it ignores Sync and Flush and fails on all else, and when it fails, nobody can know
//! which of the Syncs in flight it had already ignored. So **nothing may be sent behind an Execute or Query that may
//! start a COPY FROM STDIN until its first reply is there** (send a Flush with it). If it is CopyInResponse, the relay
//! drops the client's Syncs and Flushes, as upstream would, and sends CopyData until CopyDone or CopyFail. This module
//! enforces it from both ends. After an error, a CopyDone or CopyFail that was already on its way is discarded.
//!
//! # A simple Query, sent as extended messages
//! The relay parses the text whole, decides every statement, and sends for each
//! `Parse "" -> Bind "" "" (all text) -> Describe portal "" -> Execute "" 0`, behind the last one
//! `Close statement "" -> Close portal "" -> Sync`. One Sync: one implicit transaction, as with a Query.
//!
//! | sent | marked | reply | shown to the client by [`Translation`] |
//! |---|---|---|---|
//! | Parse | hidden | ParseComplete | no |
//! | Bind | hidden | BindComplete | no |
//! | DescribePortal | shown | RowDescription | yes |
//! | | | NoData | no |
//! | Execute | shown | DataRow, EmptyQueryResponse, all of COPY | yes |
//! | | | CommandComplete | yes; the last statement's only when ReadyForQuery follows: a Query commits before it says so |
//! | Close | hidden | CloseComplete | no |
//! | Sync | shown | ReadyForQuery | yes |
//! | any | any | ErrorResponse | yes; upstream skips to Sync, as it would have skipped the rest of the text |
//! | any | any | notices, parameters, notifications | by allow-list |
//!
//! - The two Closes are there because a Query destroys the unnamed statement and portal, and a client could otherwise
//!   bind what the gateway parsed. They are skipped after an error; then the relay must refuse a Bind of the unnamed
//!   statement itself.
//! - A text without statements is sent as one empty Parse and a Sync, and the relay answers EmptyQueryResponse at its
//!   ParseComplete: a Bind of it fails in a failed transaction, where the Query does not.
//! - A text that our parser does not accept is sent as one Parse of the whole text and a Sync, never with a Bind:
//!   upstream refuses it with its own words and runs nothing, as it would have done with the Query.
//!
//! Differences that remain. A position in an error counts from the statement's start ([`crate::errors::sanitise`] maps
//! it). Several statements in one text are a pipeline and not an implicit block: `SET TRANSACTION` in it warns that it
//! is not in a block, VACUUM and the like are refused with another sentence, and before PostgreSQL 17 `LOCK TABLE`
//! and `SAVEPOINT` are refused where a Query allows the first and refuses the second in other words.
//!
//! Never send a Query behind extended messages without a Sync between: PostgreSQL 18.6 then fails the statement after
//! the next Sync ("unexpected state STARTED"). A relay that translates has no reason to.

use crate::frame::Frame;
use crate::limits::OUTSTANDING_MAX;
use crate::message::{CopyFormats, FromUpstream, TxStatus};
use crate::reply::{CommandTag, DataRow, Fields, RowDescription};
use std::collections::VecDeque;
use wire::{Fault, RawField, Side, kind};

/// A kind of message that upstream answers. Flush, CopyData and Terminate have no answer and are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    Close,
    Sync,
    /// A constant Parse that fails, sent by the gateway so that upstream fails where the gateway refused.
    Poison,
    /// A Query of the gateway's own.
    SimpleQuery,
    CopyDone,
    CopyFail,
}

/// One message sent upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The relay's number of the operation; several messages may share one.
    pub op: u64,
    pub what: What,
    /// Its replies are not for the client.
    pub hidden: bool,
}

impl Sent {
    pub fn shown(op: u64, what: What) -> Sent {
        Sent { op, what, hidden: false }
    }

    pub fn hidden(op: u64, what: What) -> Sent {
        Sent { op, what, hidden: true }
    }
}

/// What upstream will do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It will be answered.
    Outstanding,
    /// Upstream discards it without an answer: it failed and waits for a Sync, or no COPY is running (any more).
    /// The message may be sent or not.
    Discarded,
}

/// A COPY that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// Upstream reads: CopyData, CopyDone and CopyFail may be sent, nothing else.
    In,
    /// Upstream writes.
    Out,
}

/// One frame of upstream's, and what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The message that this answers. For a notice: the one that upstream is at, if any. `None` for what comes of
    /// itself.
    pub of: Option<Sent>,
    pub kind: Kind,
}

impl Event {
    /// Whether the client would see this frame had it sent the messages itself: everything but replies to hidden
    /// messages, with errors always shown except the poison's own (the relay shows its refusal instead).
    /// `translated`: the client sent a Query, so NoData is not for it; better use [`Translation`].
    pub fn shown(&self, translated: bool) -> bool {
        match (&self.kind, self.of) {
            (Kind::Error { .. }, Some(sent)) => sent.what != What::Poison,
            (
                Kind::Error { .. } | Kind::Notice(_) | Kind::Parameter { .. } | Kind::Notification { .. },
                _,
            ) => true,
            (Kind::NoData, _) if translated => false,
            (_, of) => of.is_some_and(|sent| !sent.hidden),
        }
    }
}

/// What a client sees of one Query that was sent as extended messages. One value per Query.
#[derive(Clone, Debug)]
pub struct Translation {
    last: u64,
    held: Option<Event>,
}

impl Translation {
    /// `last` is the number of the text's last statement: that of its Execute.
    pub fn new(last: u64) -> Translation {
        Translation { last, held: None }
    }

    /// Takes the next event; gives what the client sees now, in order.
    pub fn pass(&mut self, event: Event) -> impl Iterator<Item = Event> + use<> {
        let mut before = None;
        let now = match &event.kind {
            Kind::Complete(_) if event.of.is_some_and(|sent| sent.op == self.last) => {
                self.held = Some(event);
                None
            }
            // Parameters and notifications come behind the commit, as ReadyForQuery does.
            Kind::Ready(_) | Kind::Parameter { .. } | Kind::Notification { .. } => {
                before = self.held.take();
                Some(event)
            }
            Kind::Error { .. } => {
                self.held = None;
                Some(event)
            }
            _ => Some(event),
        };
        before.into_iter().chain(now).filter(|event| event.shown(true))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    ParseComplete,
    BindComplete,
    CloseComplete,
    ParameterDescription {
        types: Vec<u32>,
    },
    RowDescription(RowDescription),
    NoData,
    DataRow(DataRow),
    Complete(CommandTag),
    Empty,
    Suspended,
    CopyInStart(CopyFormats),
    CopyOutStart(CopyFormats),
    CopyData(RawField),
    CopyDone,
    Error {
        fields: Fields,
        /// What was sent behind the failed message and will have no answer.
        skipped: Vec<Sent>,
        /// The connection is over.
        fatal: bool,
    },
    Ready(TxStatus),
    Notice(Fields),
    Parameter {
        name: RawField,
        value: RawField,
    },
    Notification {
        pid: u32,
        channel: RawField,
        payload: RawField,
    },
}

/// The state of one upstream connection after its first ReadyForQuery.
#[derive(Clone, Debug)]
pub struct Session {
    /// What was sent and not answered to the end, oldest first.
    queue: VecDeque<Sent>,
    /// How far the answer to the oldest is.
    progress: Progress,
    /// Upstream failed and no Sync has been sent since: what is sent now is discarded.
    skipping: bool,
    tx: TxStatus,
    /// A FATAL came: nothing follows.
    ended: bool,
}

/// How far the answer to the oldest message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Start,
    /// ParameterDescription came.
    Described,
    /// RowDescription (of a Query) or a DataRow came.
    Rows,
    CopyIn,
    CopyOut,
    /// CopyDone came from upstream.
    CopiedOut,
    /// A statement of a Query is complete.
    Completed,
    /// An error came for a Query or Sync, or the Query was empty: only ReadyForQuery can follow.
    Ending,
}

impl Session {
    /// `tx` as the ReadyForQuery that ended start-up said.
    pub fn new(tx: TxStatus) -> Session {
        Session { queue: VecDeque::new(), progress: Progress::Start, skipping: false, tx, ended: false }
    }

    /// Call before a message is written to upstream; on `Err` it must not be.
    ///
    /// Errors (side: gateway): `TOO_MANY` outstanding; `OUT_OF_ORDER` for anything but CopyDone and CopyFail while
    /// upstream reads a COPY, or after the connection has ended.
    pub fn sent(&mut self, sent: Sent) -> Result<Fate, Fault> {
        if self.ended {
            return Err(GATEWAY_AFTER_END);
        }
        let ends_copy = matches!(sent.what, What::CopyDone | What::CopyFail);
        match (self.copy_awaits_end(), ends_copy) {
            (true, false) => return Err(GATEWAY_IN_COPY),
            (false, true) => return Ok(Fate::Discarded),
            (true, true) | (false, false) => {}
        }
        if self.skipping && sent.what != What::Sync {
            return Ok(Fate::Discarded);
        }
        if self.queue.len() == OUTSTANDING_MAX {
            return Err(GATEWAY_TOO_MANY);
        }
        self.skipping = false;
        self.queue.push_back(sent);
        Ok(Fate::Outstanding)
    }

    /// Takes the next frame of upstream's. Errors (side: upstream): those of [`FromUpstream::decode`], and
    /// `OUT_OF_ORDER`; after either the connection cannot be used any more.
    pub fn on_upstream(&mut self, frame: &Frame) -> Result<Event, Fault> {
        if self.ended {
            return Err(OUT_OF_ORDER);
        }
        let head = self.queue.front().copied();
        match FromUpstream::decode(frame)? {
            FromUpstream::Notice(fields) => Ok(Event { of: head, kind: Kind::Notice(fields) }),
            FromUpstream::ParameterStatus { name, value } => by_itself(Kind::Parameter { name, value }),
            FromUpstream::Notification { pid, channel, payload } => {
                by_itself(Kind::Notification { pid, channel, payload })
            }
            FromUpstream::Error(fields) => self.error(head, fields),
            message => {
                let head = head.ok_or(OUT_OF_ORDER)?;
                let (kind, next) = self.answer(head.what, message)?;
                self.advance(next);
                Ok(Event { of: Some(head), kind })
            }
        }
    }

    /// The transaction as of the last ReadyForQuery.
    pub fn tx(&self) -> TxStatus {
        self.tx
    }

    /// Messages that wait for an answer.
    pub fn outstanding(&self) -> usize {
        self.queue.len()
    }

    /// Whether upstream failed and waits for a Sync that has not been sent.
    pub fn skipping(&self) -> bool {
        self.skipping
    }

    /// Whether upstream is at rest: all is answered and it waits for no Sync.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.skipping && !self.ended
    }

    /// The COPY that upstream is in. `In` ends when CopyDone or CopyFail is sent, or with an error.
    pub fn copying(&self) -> Option<Copying> {
        match self.progress {
            Progress::CopyIn => self.copy_awaits_end().then_some(Copying::In),
            Progress::CopyOut => Some(Copying::Out),
            _ => None,
        }
    }

    /// Upstream reads COPY data, and neither CopyDone nor CopyFail was sent.
    fn copy_awaits_end(&self) -> bool {
        self.progress == Progress::CopyIn && self.copy_end().is_none()
    }

    /// The CopyDone or CopyFail behind the oldest message.
    fn copy_end(&self) -> Option<What> {
        self.queue.get(1).map(|sent| sent.what).filter(|what| matches!(what, What::CopyDone | What::CopyFail))
    }

    /// What `message` is, as the answer to the oldest message, and what comes after it. Every pair that is not named
    /// here is out of order.
    fn answer(&mut self, what: What, message: FromUpstream) -> Result<(Kind, Next), Fault> {
        use Progress::*;
        use What::{Bind, Close, DescribePortal, DescribeStatement, Execute, Parse, SimpleQuery, Sync};
        let at = self.progress;
        Ok(match (what, at, message) {
            (Parse, Start, FromUpstream::ParseComplete) => (Kind::ParseComplete, Next::Done),
            (Bind, Start, FromUpstream::BindComplete) => (Kind::BindComplete, Next::Done),
            (Close, Start, FromUpstream::CloseComplete) => (Kind::CloseComplete, Next::Done),

            (DescribeStatement, Start, FromUpstream::ParameterDescription { types }) => {
                (Kind::ParameterDescription { types }, Next::At(Described))
            }
            (DescribeStatement, Described, FromUpstream::RowDescription(rows))
            | (DescribePortal, Start, FromUpstream::RowDescription(rows)) => {
                (Kind::RowDescription(rows), Next::Done)
            }
            (DescribeStatement, Described, FromUpstream::NoData)
            | (DescribePortal, Start, FromUpstream::NoData) => (Kind::NoData, Next::Done),

            (Execute, Start | Rows, FromUpstream::DataRow(row))
            | (SimpleQuery, Rows, FromUpstream::DataRow(row)) => (Kind::DataRow(row), Next::At(Rows)),
            (Execute, Start | Rows, FromUpstream::PortalSuspended) => (Kind::Suspended, Next::Done),
            (Execute, Start, FromUpstream::EmptyQuery) => (Kind::Empty, Next::Done),
            (Execute, Start | Rows | CopiedOut, FromUpstream::CommandComplete { tag }) => {
                (Kind::Complete(CommandTag(tag)), Next::Done)
            }

            (SimpleQuery, Start | Completed, FromUpstream::RowDescription(rows)) => {
                (Kind::RowDescription(rows), Next::At(Rows))
            }
            (SimpleQuery, Start, FromUpstream::EmptyQuery) => (Kind::Empty, Next::At(Ending)),
            (SimpleQuery, Start | Completed | Rows | CopiedOut, FromUpstream::CommandComplete { tag }) => {
                (Kind::Complete(CommandTag(tag)), Next::At(Completed))
            }

            (Execute, Start, FromUpstream::CopyOut(formats))
            | (SimpleQuery, Start | Completed, FromUpstream::CopyOut(formats)) => {
                (Kind::CopyOutStart(formats), Next::At(CopyOut))
            }
            (Execute | SimpleQuery, CopyOut, FromUpstream::CopyData(data)) => {
                (Kind::CopyData(data), Next::At(CopyOut))
            }
            (Execute | SimpleQuery, CopyOut, FromUpstream::CopyDone) => (Kind::CopyDone, Next::At(CopiedOut)),

            (Execute, Start, FromUpstream::CopyIn(formats))
            | (SimpleQuery, Start | Completed, FromUpstream::CopyIn(formats)) => {
                if self.queue.len() > 1 {
                    return Err(COPY_IN_PIPELINE);
                }
                (Kind::CopyInStart(formats), Next::At(CopyIn))
            }
            (Execute | SimpleQuery, CopyIn, FromUpstream::CommandComplete { tag })
                if self.copy_end() == Some(What::CopyDone) =>
            {
                self.queue.remove(1);
                let next = if what == Execute { Next::Done } else { Next::At(Completed) };
                (Kind::Complete(CommandTag(tag)), next)
            }

            (Sync, Start | Ending, FromUpstream::ReadyForQuery(tx))
            | (SimpleQuery, Completed | Ending, FromUpstream::ReadyForQuery(tx)) => {
                self.tx = tx;
                (Kind::Ready(tx), Next::Done)
            }

            // A poison that parses, CopyBothResponse, FunctionCallResponse, what belongs to start-up, and every
            // message at a moment that is not its own.
            _ => return Err(OUT_OF_ORDER),
        })
    }

    fn advance(&mut self, next: Next) {
        match next {
            Next::At(progress) => self.progress = progress,
            Next::Done => {
                self.queue.pop_front();
                self.progress = Progress::Start;
            }
        }
    }

    fn error(&mut self, head: Option<Sent>, fields: Fields) -> Result<Event, Fault> {
        let fatal = fields.is_fatal();
        let skipped = match head {
            _ if fatal => self.end(),
            None => return Err(OUT_OF_ORDER),
            Some(_) if self.progress == Progress::Ending => return Err(OUT_OF_ORDER),
            Some(Sent { what: What::SimpleQuery | What::Sync, .. }) => self.fail_until_ready(),
            Some(_) => self.skip_to_sync(),
        };
        Ok(Event { of: head, kind: Kind::Error { fields, skipped, fatal } })
    }

    /// Nothing more will be answered.
    fn end(&mut self) -> Vec<Sent> {
        self.ended = true;
        self.queue.drain(..).skip(1).collect()
    }

    /// The oldest message stays until its ReadyForQuery; the end of a COPY that it was in is discarded.
    fn fail_until_ready(&mut self) -> Vec<Sent> {
        self.progress = Progress::Ending;
        let end = self.copy_end().and_then(|_| self.queue.remove(1));
        end.into_iter().collect()
    }

    /// The oldest message is over, and so is everything behind it up to a Sync.
    fn skip_to_sync(&mut self) -> Vec<Sent> {
        self.progress = Progress::Start;
        self.queue.pop_front();
        let sync = self.queue.iter().position(|sent| sent.what == What::Sync);
        self.skipping = sync.is_none();
        self.queue.drain(..sync.unwrap_or(self.queue.len())).collect()
    }
}

/// What an answer does to the oldest message.
enum Next {
    At(Progress),
    Done,
}

fn by_itself(kind: Kind) -> Result<Event, Fault> {
    Ok(Event { of: None, kind })
}

const OUT_OF_ORDER: Fault = Fault::new(
    Side::Upstream,
    kind::OUT_OF_ORDER,
    "the database sent a message that the protocol does not allow at this point",
    "session",
);

const COPY_IN_PIPELINE: Fault = Fault::new(
    Side::Upstream,
    kind::OUT_OF_ORDER,
    "the database started COPY FROM STDIN while further messages were in flight",
    "session: nothing may be sent behind a statement that may start COPY FROM STDIN",
);

const GATEWAY_IN_COPY: Fault = Fault::new(
    Side::Gateway,
    kind::OUT_OF_ORDER,
    "only CopyData, CopyDone and CopyFail can be sent during COPY FROM STDIN",
    "session: drop Sync and Flush, refuse the rest",
);

const GATEWAY_AFTER_END: Fault = Fault::new(
    Side::Gateway,
    kind::OUT_OF_ORDER,
    "the connection to the database is over",
    "session: sent after a FATAL error",
);

const GATEWAY_TOO_MANY: Fault = Fault::new(
    Side::Gateway,
    kind::TOO_MANY,
    "too many messages are waiting for the database",
    "session: OUTSTANDING_MAX; stop reading the client until replies have come",
);
