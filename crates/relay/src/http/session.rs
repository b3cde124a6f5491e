//! One session: a client's requests, one after another, each carried to the end of its answer.
//!
//! **Invariant:** one task, no lock: what is decided, sent and released happens in the order of `exchange`.
//! **Invariant:** after `connect` each request shows the same run's credential, or the session ends. What comes through a
//! tunnel of the proxy is the run's that opened the tunnel.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gate::{Decided, GateError, Intent, Outcome, Permit, Who};
use ledger::{AppendError, Durable, Missed, Receipt};
use mask::Known;
use proto_http::frame::{Framing, Head, Incoming};
use proto_http::reply::{CONTINUE, status_of};
use proto_http::session::Session as Flow;
use tokio::sync::watch;
use vocab::Seq;
use wire::Fault;

use super::answer::NEW_POLICY;
use super::cluster::Ahead;
use super::coded::{Held, Undoing};
use super::credential::{Injected, shown};
use super::decide::{Ruling, Verdicts};
use super::dial::{Way, reach, reach_one};
use super::entry::{Entry, Found};
use super::lent::Process;
use super::listen::UNREACHABLE;
use super::problem::Problem;
use super::request::Asked;
use super::resource::Resource;
use super::scrub::Needles;
use super::side::{Broken, Side};
use super::sigv4::signature_in;
use super::two;
use super::websocket;
use super::writer::{ClientWriter, UpstreamWriter};
use crate::alike::{NO_RECORD, room};
use crate::entropy;
use crate::limits::{
    CHUNK_BYTES, HTTP_ANSWER, HTTP_IDLE, HTTP_READ, PIPELINED_BYTES_MAX, RECORD, REFUSAL_RECORD,
};
use crate::runs::{Ended, Run};

/// Why a session is over, and what the client is told if no part of an answer has left.
pub(super) struct Cut {
    pub(super) why: &'static str,
    pub(super) tell: Option<Problem>,
    /// The same, as a constant for the record.
    pub(super) detail: Option<&'static str>,
}

impl Cut {
    pub(super) fn quiet(why: &'static str) -> Cut {
        Cut { why, tell: None, detail: None }
    }

    pub(super) fn told(why: &'static str, status: u16, detail: &'static str) -> Cut {
        Cut { why, tell: Some(Problem::new(status, detail)), detail: Some(detail) }
    }

    pub(super) fn upstream(detail: &'static str) -> Cut {
        Cut::told("upstream-closed", 502, detail)
    }
}

impl From<Fault> for Cut {
    fn from(fault: Fault) -> Cut {
        Cut::told(fault.kind, status_of(&fault), fault.outward)
    }
}

/// What a new session is made of.
pub(super) struct Start {
    pub(super) resource: Arc<Resource>,
    pub(super) run: Arc<Run>,
    pub(super) who: Who,
    pub(super) client: Side,
    pub(super) upstream: Side,
    pub(super) way: Way,
    pub(super) injected: Injected,
    pub(super) needles: Needles,
    pub(super) ended: watch::Receiver<Option<Ended>>,
    pub(super) entry: Entry,
}

pub(super) struct Session {
    pub(super) resource: Arc<Resource>,
    pub(super) who: Who,
    pub(super) client: Side,
    pub(super) upstream: Side,
    pub(super) known: Known,
    pub(super) verdicts: Verdicts,
    pub(super) flow: Flow,
    pub(super) to_client: ClientWriter,
    pub(super) to_upstream: UpstreamWriter,
    way: Way,
    pub(super) injected: Injected,
    pub(super) needles: Needles,
    pub(super) run: Arc<Run>,
    pub(super) ended: watch::Receiver<Option<Ended>>,
    pub(super) entry: Entry,
    /// What the client asked for that is not this session's.
    pub(super) elsewhere: Option<Found>,
    /// The intent whose outcome is not recorded.
    pub(super) open: Option<Seq>,
    /// A part of an answer has left: the client cannot be told anything else.
    pub(super) answering: bool,
    /// The request in work was a HEAD.
    pub(super) to_head: bool,
    /// Upstream's connection carries no further request.
    pub(super) spent: bool,
    /// What upstream last answered.
    pub(super) status: u16,
    /// Ports of a cluster's that are decided before they are opened.
    pub(super) ahead: Vec<Ahead>,
    /// Why a message of the client's in a WebSocket was refused, as its Close says.
    pub(super) closing: Option<String>,
}

impl Session {
    pub(super) fn new(start: Start) -> Session {
        let reads_status = start.client.reads_status;
        Session {
            resource: start.resource,
            who: start.who,
            client: start.client,
            upstream: start.upstream,
            known: Known::of_run(entropy::random(), start.run.echoes.clone()),
            verdicts: Verdicts::default(),
            flow: Flow::new(),
            to_client: ClientWriter { reads_status, ..ClientWriter::default() },
            to_upstream: UpstreamWriter::default(),
            way: start.way,
            injected: start.injected,
            needles: start.needles,
            run: start.run,
            ended: start.ended,
            entry: start.entry,
            elsewhere: None,
            open: None,
            answering: false,
            to_head: false,
            spent: false,
            status: 0,
            ahead: Vec::new(),
            closing: None,
        }
    }

    /// Runs the session to its end. The `disconnect` record is written by the caller, from what this returns.
    pub(super) async fn run(&mut self, first: Head) -> Cut {
        let mut head = first;
        let cut = loop {
            match self.exchange(head).await {
                Ok(true) => {}
                Ok(false) => break Cut::quiet("closed"),
                Err(cut) => break cut,
            }
            match self.next().await {
                Ok(next) => head = next,
                Err(cut) => break cut,
            }
        };
        self.farewell(&cut).await;
        cut
    }

    /// The next request of this session. Errors: why there is none, or that the client goes on elsewhere.
    pub(super) async fn next(&mut self) -> Result<Head, Cut> {
        (self.answering, self.to_head) = (false, false);
        let head = self.next_head().await?.ok_or_else(|| Cut::quiet("client-closed"))?;
        self.entry.same(head, &self.resource).map_err(|found| {
            self.elsewhere = Some(*found);
            Cut::quiet("elsewhere")
        })
    }

    /// One request, from its head to the end of its answer. `false`: the connection carries no other.
    async fn exchange(&mut self, head: Head) -> Result<bool, Cut> {
        self.same_run(&head)?;
        let asked = self.asked(head).await?;
        room(&self.resource.gate).await;
        let generation = self.resource.gate.generation();
        let (decided, approval) = match self.decide(&asked).await? {
            Ruling::Go(decided, approval) => (decided, approval),
            // Nothing rides on a connection whose upgrade was refused.
            Ruling::No => return Ok(self.answered_here()? && !asked.offers()),
        };
        if !self.ports_ahead(&asked).await? {
            return Ok(self.answered_here()? && !asked.offers());
        }
        let changed = self.resource.gate.generation() != generation || !self.still_go(&asked, &decided);
        if !self.ahead.is_empty() && changed {
            // What was decided before somebody was asked about a port may be forbidden by now.
            self.refuse(&asked, &decided, 503, NEW_POLICY, None).await?;
            return Ok(self.answered_here()? && !asked.offers());
        }
        if !self.upstream_ready().await {
            self.refuse(&asked, &decided, 502, UNREACHABLE, None).await?;
            return Ok(self.answered_here()? && !asked.offers());
        }
        if self.upstream.leg.is_lane() && !two::has_form(&asked.sending, self.injected.in_target()) {
            self.refuse(&asked, &decided, 400, two::NO_FORM, None).await?;
            return Ok(self.answered_here()? && !asked.offers());
        }
        if asked.switches() && self.upstream.leg.is_lane() && !self.by_one().await {
            self.refuse(&asked, &decided, 502, websocket::NOT_BY_ONE, None).await?;
            return Ok(self.answered_here()? && !asked.offers());
        }
        if asked.call.as_ref().is_some_and(|call| call.is_stale(&self.resource)) {
            self.refuse(&asked, &decided, 503, NEW_POLICY, None).await?;
            return Ok(self.answered_here()? && !asked.offers());
        }
        self.intend_ahead().await?;
        let (seq, permit) = self.intend(&asked, &decided, approval).await?;
        self.open = Some(seq);
        if let Some(conversation) = &asked.conversation {
            conversation.remember(&self.resource.gate, &self.who);
        }
        for kind in asked.conversation.iter().flat_map(|turn| &turn.forged) {
            let _covered_by_the_outcome =
                self.resource.gate.forged(&self.who, seq, kind).map_err(|e| self.unrecorded(e))?;
        }
        if self.said_unasked().await {
            return Err(Cut::upstream("the service behind the gateway answered before it was asked"));
        }
        self.upstream.decoder.answers(self.to_head);
        let before = self.to_upstream.out.len();
        self.to_upstream.send(permit, &asked.sending, Some(&self.injected))?;
        if matches!(self.injected, Injected::Signature(_))
            && let Some(signature) = signature_in(&self.to_upstream.out[before..])
        {
            self.needles.signed(signature);
        }
        self.drain_upstream().await?;
        let asked = self.send_rest(asked, seq).await?;
        let goes_on = self.answer(&asked, &decided, seq).await? && asked.tunnel().is_none();
        self.settle_ahead()?;
        Ok(goes_on)
    }

    /// Records what is about to be sent, and waits until the record is durable.
    pub(super) async fn intend(
        &self,
        asked: &Asked,
        decided: &Decided,
        approval: Option<Seq>,
    ) -> Result<(Seq, Permit), Cut> {
        let intent = {
            let question = self.question(asked);
            self.resource.gate.intend(&question, decided, approval, entropy::tick())
        };
        self.permitted(intent).await
    }

    /// Waits for the record of what is to be sent.
    pub(super) async fn permitted(&self, intent: Result<Intent, GateError>) -> Result<(Seq, Permit), Cut> {
        let intent = intent.map_err(|e| self.unrecorded(e))?;
        let seq = intent.seq();
        match tokio::time::timeout(RECORD, intent.durable()).await {
            Ok(Ok(permit)) => Ok((seq, permit)),
            Ok(Err(_)) | Err(_) => Err(self.no_record()),
        }
    }

    /// The gateway has answered by itself.
    fn answered_here(&mut self) -> Result<bool, Cut> {
        Ok(self.flow.on_answer(self.open.is_some())?.client)
    }

    /// The body behind what was held, piece by piece, each after its record.
    async fn send_rest(&mut self, mut asked: Asked, of: Seq) -> Result<Asked, Cut> {
        let (mut n, mut held, went_on) = (0, BytesMut::new(), asked.more);
        let unreadable = |why: &'static str| Cut::told("unreadable", 400, why);
        while asked.more {
            match asked.undoing.next().map_err(unreadable)? {
                Some(piece) => held.extend_from_slice(&piece),
                None => match self.client_next(HTTP_READ).await? {
                    Incoming::Body(piece) => {
                        asked.undoing.push(piece);
                        continue;
                    }
                    Incoming::Trailers(_) => continue,
                    Incoming::End => {
                        asked.undoing.finish().map_err(unreadable)?;
                        asked.more = false;
                    }
                    Incoming::NeedMore | Incoming::Head(_) | Incoming::Closed => {
                        return Err(Cut::quiet("client-closed"));
                    }
                },
            }
            // Small pieces that have come together share a record.
            if asked.more && held.len() < CHUNK_BYTES && !self.client.input.is_empty() {
                continue;
            }
            if !held.is_empty() {
                self.send_piece(&mut asked, of, &mut n, Some(held.split().freeze())).await?;
            }
        }
        if went_on {
            self.flow.on_request_end()?;
            self.send_piece(&mut asked, of, &mut n, None).await?;
        }
        Ok(asked)
    }

    async fn send_piece(
        &mut self,
        asked: &mut Asked,
        of: Seq,
        n: &mut u64,
        piece: Option<Bytes>,
    ) -> Result<(), Cut> {
        let (sending, piece) = asked.piece(&self.resource, &self.who, *n, piece)?;
        if sending.is_empty() && piece.tripwires.is_empty() {
            return Ok(());
        }
        *n += 1;
        let intent = self.resource.gate.piece_upstream(&self.who, of, piece, &sending, entropy::tick());
        let (_seq, permit) = self.permitted(intent).await?;
        self.to_upstream.send(permit, &sending, None)?;
        self.drain_upstream().await
    }

    /// The body up to `most` bytes, without its codings.
    pub(super) async fn held_body(
        &mut self,
        framing: Framing,
        undoing: &mut Undoing,
        most: usize,
    ) -> Result<Held, Cut> {
        let mut body = BytesMut::new();
        if self.flow.holds_back() {
            let mut go_on = BytesMut::from(CONTINUE);
            self.client.leg.drain(&mut go_on).await.map_err(|_| Cut::quiet("client-closed"))?;
            self.flow.continued();
        }
        if framing == Framing::None {
            return match self.client_next(HTTP_READ).await? {
                Incoming::End => Ok(Held { bytes: Bytes::new(), more: false, broken: None }),
                _ => Err(Cut::quiet("client-closed")),
            };
        }
        let (more, broken) = loop {
            match undoing.next() {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => match self.client_next(HTTP_READ).await? {
                    Incoming::Body(piece) => undoing.push(piece),
                    Incoming::Trailers(_) => {}
                    Incoming::End => break (false, undoing.finish().err()),
                    Incoming::NeedMore | Incoming::Head(_) | Incoming::Closed => {
                        return Err(Cut::quiet("client-closed"));
                    }
                },
                Err(why) => break (true, Some(why)),
            }
            if body.len() >= most {
                break (true, None);
            }
        };
        Ok(Held { bytes: body.freeze(), more, broken })
    }

    /// A request of another run's, or of nobody's, on this run's connection.
    pub(super) fn same_run(&self, head: &Head) -> Result<(), Cut> {
        if let Entry::Proxy(_) = &self.entry {
            // The proxy has looked, where it shows: on the tunnel, or on the request that came to it.
            return Ok(());
        }
        let shown = shown(&head.headers);
        let run = shown.and_then(|s| self.resource.registry.by_password(&s.user, s.password.as_bytes()));
        if run.is_none_or(|run| run.id != self.run.id) {
            let why = "each request of a connection shows the credential of the run that opened it";
            return Err(Cut::told("credential", 401, why));
        }
        match &self.way {
            Way::Lent(_, process) if Process::of(&head.headers).as_ref() != Some(process) => Err(Cut::told(
                "process",
                400,
                "each request of a connection names the `tacho mcp` that opened it",
            )),
            Way::Lent(..) | Way::Dial => Ok(()),
        }
    }

    // --- waiting

    /// The next request's head; `None` if the client is done.
    async fn next_head(&mut self) -> Result<Option<Head>, Cut> {
        match self.client_next(HTTP_IDLE).await {
            Ok(Incoming::Head(head)) => Ok(Some(head)),
            Ok(_) => Ok(None),
            Err(cut) if cut.why == "late" => Ok(None),
            Err(cut) => Err(cut),
        }
    }

    pub(super) async fn client_next(&mut self, most: Duration) -> Result<Incoming, Cut> {
        let next = tokio::time::timeout(most, self.client.next());
        tokio::select! {
            biased;
            why = over(&mut self.ended) => Err(cut_short(why)),
            item = next => match item {
                Ok(Ok(item)) => Ok(item),
                Ok(Err(Broken::Fault(fault))) => Err(fault.into()),
                Ok(Err(Broken::Gone)) => Err(Cut::quiet("client-closed")),
                Err(_late) => Err(Cut::told("late", 408, "the request did not come in time")),
            },
        }
    }

    /// The next item of the answer; cut if the run ends or the client goes away meanwhile.
    pub(super) async fn upstream_next(&mut self) -> Result<Incoming, Cut> {
        self.upstream_within(HTTP_ANSWER).await
    }

    /// The same, where it may be silent for so long.
    pub(super) async fn upstream_within(&mut self, most: Duration) -> Result<Incoming, Cut> {
        let next = tokio::time::timeout(most, self.upstream.next());
        tokio::select! {
            biased;
            why = over(&mut self.ended) => Err(cut_short(why)),
            item = next => match item {
                Ok(Ok(item)) => Ok(item),
                Ok(Err(Broken::Fault(fault))) => Err(fault.into()),
                Ok(Err(Broken::Gone)) => Err(Cut::upstream("the service behind the gateway closed the connection")),
                Err(_late) => Err(Cut::told("upstream-late", 504, "the service behind the gateway was silent")),
            },
            () = self.client.gone(PIPELINED_BYTES_MAX) => Err(Cut::quiet("client-closed")),
        }
    }

    /// Waits for a human, for `expires`, for the end of the run, or for the client to go away: only the first is an
    /// answer.
    pub(super) async fn human(
        &mut self,
        asked: &mut gate::Asked,
        wait: Duration,
    ) -> (Option<gate::Answer>, Option<Cut>) {
        tokio::select! {
            biased;
            why = over(&mut self.ended) => (None, Some(cut_short(why))),
            answer = asked.answered() => (answer, None),
            () = tokio::time::sleep(wait) => (None, None),
            () = self.client.gone(PIPELINED_BYTES_MAX) => (None, Some(Cut::quiet("client-closed"))),
        }
    }

    /// Waits for the record of what is about to leave.
    pub(super) async fn durable(&mut self, receipt: Receipt, most: Duration) -> Result<Durable, Cut> {
        match tokio::time::timeout(most, receipt).await {
            Ok(Ok(durable)) => Ok(durable),
            Ok(Err(_)) | Err(_) => Err(self.no_record()),
        }
    }

    pub(super) async fn drain_client(&mut self) -> Result<(), Cut> {
        let (ended, out) = (&mut self.ended, &mut self.to_client.out);
        let drain = tokio::time::timeout(HTTP_READ, self.client.leg.drain(out));
        tokio::select! {
            biased;
            why = over(ended) => Err(cut_short(why)),
            done = drain => match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Cut::quiet("client-closed")),
            },
        }
    }

    pub(super) async fn drain_upstream(&mut self) -> Result<(), Cut> {
        let (ended, out) = (&mut self.ended, &mut self.to_upstream.out);
        let drain = tokio::time::timeout(HTTP_READ, self.upstream.leg.drain(out));
        tokio::select! {
            biased;
            why = over(ended) => Err(cut_short(why)),
            done = drain => match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Cut::upstream("the service behind the gateway takes no more of the request")),
            },
        }
    }

    /// Whether upstream has said something, or has gone, while nothing was asked.
    async fn said_unasked(&mut self) -> bool {
        let (leg, input) = (&mut self.upstream.leg, &mut self.upstream.input);
        let read = std::future::poll_fn(|cx| std::task::Poll::Ready(leg.poll_fill(cx, input))).await;
        read.is_ready() || !self.upstream.input.is_empty()
    }

    /// Dials anew where the last answer ended upstream's connection, or the service has closed it since.
    async fn upstream_ready(&mut self) -> bool {
        // What it said unasked is no answer to what comes.
        if !self.spent && !self.said_unasked().await {
            return true;
        }
        let bytes = self.upstream.bytes;
        match reach(&self.resource, &self.way).await {
            Ok((leg, _same_command)) if !self.renewed().await => {
                drop(leg);
                self.spent = true;
                false
            }
            Ok((leg, _same_command)) => {
                self.upstream = Side::new(leg, proto_http::frame::Decoder::upstream());
                self.upstream.bytes = bytes;
                self.spent = false;
                true
            }
            Err(_told_to_the_operator) => {
                self.spent = true;
                false
            }
        }
    }

    /// Of a cluster, whose tokens end while a client's connection lasts: the credential as it is now. `false`: there is none.
    async fn renewed(&mut self) -> bool {
        let config = &self.resource.config;
        if config.cluster.is_none() {
            return true;
        }
        let secret = config.vault.fetch().await;
        let renewed = secret.and_then(|secret| {
            Ok((Injected::new(&config.inject, secret.as_ref())?, Needles::new(secret.as_ref())))
        });
        match renewed {
            Ok((injected, needles)) => {
                (self.injected, self.needles) = (injected, needles);
                true
            }
            Err(why) => {
                self.resource.reached(Some(why));
                false
            }
        }
    }

    /// Dials anew by HTTP/1.1, where the connection is one of HTTP/2, in which there is no WebSocket.
    async fn by_one(&mut self) -> bool {
        let Ok(leg) = reach_one(&self.resource).await else { return false };
        let bytes = self.upstream.bytes;
        self.upstream = Side::new(leg, proto_http::frame::Decoder::upstream());
        self.upstream.bytes = bytes;
        true
    }

    /// What the run says it may hear again.
    pub(super) fn echoed(&mut self, detectors: &mask::Detectors, bytes: &[u8]) {
        let mut findings = Vec::new();
        detectors.scan_deep(bytes, &mut findings);
        for value in findings.iter().filter_map(|finding| bytes.get(finding.range.clone())) {
            self.known.remember(mask::Origin::Echo, value);
        }
    }

    // --- when no record is possible

    pub(super) fn unrecorded(&self, error: GateError) -> Cut {
        match error {
            GateError::NoRecord(AppendError::OverBudget) => {
                Cut::told("over-budget", 403, "the run is over its budget of records")
            }
            GateError::Used => Cut::told("decision-used", 403, crate::connect::DECISION_USED),
            GateError::NoRecord(AppendError::RunEnded) => cut_short(Ended::Interrupted),
            // The refusal is kept, and counted, where it could not be recorded.
            GateError::Late(_) if self.open.is_none() => no_record(),
            GateError::Late(_) | GateError::NoRecord(_) | GateError::InboxFull | GateError::NotShown => {
                self.no_record()
            }
        }
    }

    /// A record has not come in time, or cannot be made.
    pub(super) fn no_record(&self) -> Cut {
        let missed = if self.open.is_some() { Missed::Cut } else { Missed::Refused };
        self.resource.gate.ledger().missed(missed);
        match self.open {
            None => no_record(),
            Some(_) => Cut::told("no-record", 503, "whether the request took effect is unknown"),
        }
    }

    /// Says what became of a request that was sent, and tells the client why if nothing of an answer has left.
    pub(super) async fn farewell(&mut self, cut: &Cut) {
        let ports = std::mem::take(&mut self.ahead);
        for intent in ports.iter().filter_map(Ahead::intent).chain(self.open.take()) {
            let partial = match cut.why {
                "client-closed" => "partial: the client went away before the answer's end",
                _ => "partial: the connection ended before the answer's end",
            };
            let outcome = Outcome {
                result: "indeterminate",
                state: "final",
                settled: Some("indeterminate"),
                partial: Some(partial),
                ..Outcome::default()
            };
            // If no record is possible now, recovery closes the run, and an intent without an outcome is indeterminate.
            if let Ok(receipt) = self.resource.gate.outcome(&self.who, intent, outcome) {
                let _durable = tokio::time::timeout(REFUSAL_RECORD, receipt).await;
            }
        }
        if let (Some(problem), false) = (&cut.tell, self.answering) {
            self.to_client.say(problem, false, self.to_head);
        }
        let told = self.client.leg.drain(&mut self.to_client.out);
        let _gone = tokio::time::timeout(Duration::from_secs(1), told).await;
    }
}

fn no_record() -> Cut {
    Cut::told("no-record", 503, NO_RECORD)
}

/// Resolves when the run is over.
pub(super) async fn over(ended: &mut watch::Receiver<Option<Ended>>) -> Ended {
    match ended.wait_for(Option::is_some).await {
        Ok(why) => why.unwrap_or(Ended::Interrupted),
        Err(_) => Ended::Interrupted,
    }
}

pub(super) fn cut_short(why: Ended) -> Cut {
    Cut::told(why.as_str(), 401, "the run that this connection belongs to is over")
}
