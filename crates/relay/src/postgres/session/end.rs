//! How a session ends: cancelled statements, records that are not possible, the last words.

use super::*;
use crate::connect::DECISION_USED;
use crate::postgres::dial;

impl Session {
    pub(super) fn on_cancel(&mut self) -> Result<(), Cut> {
        if self.resource.gate.note(&self.who, None, "cancel").is_err() {
            return Err(no_record(false));
        }
        match self.hold {
            Hold::Human { .. } => return self.on_answer(None),
            Hold::Doubt { of: Doubted::Approved { .. } | Doubted::Script, .. } => return self.on_names(None),
            _ => {}
        }
        self.cancel_due = true;
        Ok(())
    }

    /// The client says nothing more. What it has said before is carried out, as far as that takes no longer than
    /// [`LAST_ASKED`].
    pub(super) fn closes(&mut self) {
        if self.closing.is_some() {
            return;
        }
        if self.unsynced {
            // No Sync will come: its answers are not waited for in vain.
            self.control(Control::Flush, Vec::new());
        }
        let until = entropy::tick().0.saturating_add(LAST_ASKED.as_nanos() as u64);
        self.closing = Some(until);
        self.ring_by(until);
    }

    /// Whether a client that says nothing more has all that is still to come. A human is not asked for one that is gone, and a
    /// COPY whose end it has not said has none.
    pub(super) fn has_closed(&self) -> bool {
        let Some(until) = self.closing else { return false };
        let asked = matches!(self.hold, Hold::Human { .. }) || self.copy.is_some();
        let said = self.wants_more && self.script.is_none() && self.stash.is_none();
        let sent = self.sends.is_empty() && self.upstream.writer.out.is_empty();
        let answered = self.flow.outstanding() == 0 && matches!(self.hold, Hold::No);
        let told = self.leaving.is_empty() && self.client.writer.out.is_empty();
        asked || said && sent && answered && told || entropy::tick().0 >= until
    }

    /// Passes a cancel on, once what the client had sent before it has gone upstream. With nothing to cancel it is for
    /// nothing, as with the upstream itself. Whether one has arrived: the client's next message was waiting for that.
    pub(super) fn poll_cancel(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let waits = !self.sends.is_empty()
            || !self.upstream.writer.out.is_empty()
            || self.stash.is_some() && self.flow.outstanding() == 0
            || matches!(self.hold, Hold::Refresh(_));
        if self.cancel_due && !waits {
            self.cancel_due = false;
            self.cancel_now();
        }
        let arrived =
            self.cancelling.as_mut().is_some_and(|cancelling| cancelling.as_mut().poll(cx).is_ready());
        if arrived {
            self.cancelling = None;
        }
        arrived
    }

    /// Asks upstream to stop what it is doing, if it does anything.
    pub(super) fn cancel_now(&mut self) {
        if self.flow.outstanding() == 0 || self.cancelling.is_some() {
            return;
        }
        let (resource, pid, key) = (self.resource.clone(), self.upstream_pid, self.upstream_key.clone());
        self.cancelling = Some(Box::pin(async move {
            // One that does not arrive is no harm: the statement goes on, and its end is recorded.
            let upstream = &resource.config.upstream;
            let _arrived = dial::cancel(upstream, resource.tls.as_ref(), pid, &key).await;
        }));
    }

    /// A record that was waited for has not come. What the client is told depends on whether anything but the gateway's
    /// own words waits for one.
    pub(super) fn lost(&self) -> Cut {
        let answers = |leaving: &Leaving| matches!(leaving, Leaving::After { words: false, .. });
        no_record(self.flow.outstanding() > 0 || self.leaving.iter().any(answers))
    }

    pub(super) fn unrecorded(&self, error: GateError) -> Cut {
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
            GateError::Used => Cut { why: "decision-used", tell: Some(fatal("42501", DECISION_USED)) },
            // The refusal is kept, and counted, where it could not be recorded.
            GateError::Late(_) => {
                if sent {
                    self.resource.gate.ledger().missed(Missed::Cut);
                }
                no_record(sent)
            }
            GateError::NoRecord(_) | GateError::InboxFull | GateError::NotShown => {
                self.resource.gate.ledger().missed(if sent { Missed::Cut } else { Missed::Refused });
                no_record(sent)
            }
        }
    }

    /// Tells the client why, releases what is already recorded, and says goodbye upstream.
    pub(super) async fn farewell(&mut self, cut: &Cut) {
        let held = [&mut self.hold, &mut self.behind].map(|hold| std::mem::replace(hold, Hold::No));
        for hold in held {
            self.let_go(hold);
        }
        let words = async {
            if cut.why.starts_with("upstream-") || cut.why == "release" {
                // What was said before it is told too, each byte behind its record as ever.
                let told = std::future::poll_fn(|cx| match self.poll_leaving(cx) {
                    Ok(_) if !self.leaving.is_empty() => Poll::Pending,
                    done => Poll::Ready(done.map(drop)),
                });
                let _untold_without_its_record = tokio::time::timeout(LAST_WORDS, told).await;
            }
            if let Some(fields) = &cut.tell {
                let mut out = BytesMut::new();
                if FromUpstream::Error(fields.clone()).encode(&mut out).is_ok() {
                    self.client.writer.out.extend_from_slice(&out);
                }
            }
            let _gone = self.client.leg.drain(&mut self.client.writer.out).await;
        };
        let _stalled = tokio::time::timeout(FAREWELL, words).await;
        self.client.leg = Leg::Gone;
        if cut.why != "upstream-closed" {
            let _runs_on = tokio::time::timeout(STATEMENT_STOP, self.leave()).await;
        }
    }

    /// Says goodbye upstream. What still runs there runs for nobody, and is cancelled: again and again, since upstream
    /// forgets a cancel that comes before it has begun the statement, until it has closed.
    async fn leave(&mut self) {
        let busy = self.flow.outstanding() > 0;
        let End { leg, writer, .. } = &mut self.upstream;
        if writer.control(Control::Terminate).is_err() {
            return;
        }
        if !busy {
            let _gone = leg.drain(&mut writer.out).await;
            return;
        }
        let mut unread = BytesMut::new();
        let mut closed = std::pin::pin!(std::future::poll_fn(|cx| {
            let _waits_for_what_runs = leg.poll_drain(cx, &mut writer.out);
            loop {
                unread.clear();
                match std::task::ready!(leg.poll_fill(cx, &mut unread)) {
                    Ok(n) if n > 0 => {}
                    _ => return Poll::Ready(()),
                }
            }
        }));
        let upstream = &self.resource.config.upstream;
        for pause in CANCEL_AGAIN {
            let _arrived =
                dial::cancel(upstream, self.resource.tls.as_ref(), self.upstream_pid, &self.upstream_key)
                    .await;
            if tokio::time::timeout(pause, closed.as_mut()).await.is_ok() {
                return;
            }
        }
    }

    /// What was asked, or was to be asked, is so no longer. If no record is possible now, a refusal is kept as any is,
    /// recovery closes the run, and an ask without an answer is a no.
    fn let_go(&self, hold: Hold) {
        match hold {
            Hold::Human { asked, ready, .. } => {
                let question = self.question(&ready);
                let context = self.context(&ready);
                let ground = ready.plan.ground(&context);
                let _withdrawn = self.resource.gate.spend(*asked, None, &question, &ground, entropy::wall());
            }
            Hold::Flight { ready, decided, .. } => {
                let _refused = self.never_asked(&ready, &decided, ENDED_UNASKED);
            }
            Hold::Doubt { of: Doubted::Approved { ready, decided, asked, .. }, .. } => {
                let (question, (code, why)) = (self.question(&ready), ENDED_UNSENT);
                let code = sqlstate5(code);
                let _kept = self.resource.gate.refuse(&question, &decided, code, why, Some(asked), false);
            }
            Hold::No | Hold::Barrier { .. } | Hold::Refresh(_) | Hold::Doubt { .. } => {}
        }
    }
}

pub(super) fn no_record(sent: bool) -> Cut {
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
