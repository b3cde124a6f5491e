//! A refusal: recorded, told in the protocol's own form, and upstream left where the client believes it.

use super::copy::ONLY_COPY_DATA;
use super::*;
use crate::limits::CALLS_SAID_MAX;

/// PostgreSQL's words where nothing is looked at until the transaction ends.
pub(super) const ABORTED: &str =
    "current transaction is aborted, commands ignored until end of transaction block";

/// Why nobody was asked about what waited for the answers before it: an SQLSTATE, and the record's sentence.
const AFTER_ERROR: (&str, &str) = ("25P02", "skipped: an error came before it, and nobody was asked");
pub(super) const ENDED_UNASKED: (&str, &str) = ("08006", "the connection ended before anybody was asked");
/// The same of what somebody had approved.
pub(super) const ENDED_UNSENT: (&str, &str) = ("08006", "the connection ended before this was sent");

impl Session {
    /// Records the refusal. Where upstream is at rest the client is told at once; else upstream is made to fail in its
    /// place, and the client's error is kept for that moment.
    pub(super) fn refuse(
        &mut self,
        ready: &Ready,
        decided: &Decided,
        code: &'static str,
        why: &'static str,
        position: Option<u32>,
        of: Option<Seq>,
    ) -> Result<(), Cut> {
        let by_policy = decided.verdict != Verdict::Allow && code == "42501" && ready.plan.refuse.is_none();
        let receipt = {
            let question = Question { sending: &[], ..self.question(ready) };
            // A rule may refuse it as well. The record's sentence is the one that the client is told.
            let other = (!by_policy).then(|| without_words(decided));
            self.resource
                .gate
                .refuse(&question, other.as_ref().unwrap_or(decided), sqlstate5(code), why, of, false)
                .map_err(|e| self.unrecorded(e))?
        };
        self.undo(&ready.named);
        let rules: Vec<&str> = decided.rules.iter().map(|r| &*r.0).collect();
        let (message, detail) = match by_policy {
            true => {
                let words = decided.message.as_deref().unwrap_or(why);
                (words.to_owned(), Some(rules_detail(&rules, words)))
            }
            false => {
                let about_it = ready.plan.refuse.is_none_or(|reason| reason.code == code);
                let said = ready.plan.said.clone().or_else(|| ready.plan.absent()).filter(|_| about_it);
                (said.unwrap_or_else(|| why.to_string()), None)
            }
        };
        let held = hint_for(why).map(|hint| format!("{hint} (record {})", receipt.seq().0));
        let keeper = || match not_known(&ready.plan.analysis.unknown_calls).filter(|_| by_policy) {
            Some(calls) => format!("{calls}; {}", ask_keeper(receipt.seq().0)),
            None => ask_keeper(receipt.seq().0),
        };
        let hint = held.or_else(|| (code == "42501").then(keeper));
        let mut fields = error(code, &message, detail, hint);
        if let Some(position) = position {
            fields = fields.with(proto_postgres::reply::field::POSITION, position.to_string());
        }
        let at_rest = self.at_rest();
        self.showing.cover(receipt);
        self.skipping = true;
        let unsent = std::mem::take(&mut self.batch);
        self.undo(&unsent.named);
        if at_rest {
            self.answered_here = true;
            self.showing.show_message(&FromUpstream::Error(fields));
            return self.flush(None);
        }
        let op = self.op(Op::new(1));
        self.ahead.poison();
        self.refusals.insert(op, fields);
        let sents = vec![Sent::hidden(op, What::Poison)];
        self.queue(op, Outgoing::Control { control: Control::Poison, sents });
        self.control(Control::Flush, Vec::new());
        Ok(())
    }

    /// Records the refusal of what was to be asked about and never was. What its client is told, if anything, is said
    /// elsewhere.
    pub(super) fn never_asked(
        &self,
        ready: &Ready,
        decided: &Arc<Decided>,
        (code, why): (&'static str, &'static str),
    ) -> Result<Receipt, GateError> {
        let question = Question { sending: &[], ..self.question(ready) };
        self.resource.gate.refuse(&question, &without_words(decided), sqlstate5(code), why, None, false)
    }

    /// A Query ends with its first error, whatever of it was still to come. What of it waited to be asked about was
    /// decided, and has its record before the error is told.
    pub(super) fn abandon_script(&mut self) -> Result<(), Cut> {
        match std::mem::replace(&mut self.hold, Hold::No) {
            Hold::Flight { ready, decided, script: true } => {
                let recorded = self.never_asked(&ready, &decided, AFTER_ERROR);
                let receipt = recorded.map_err(|e| self.unrecorded(e))?;
                self.showing.cover(receipt);
            }
            Hold::Barrier { .. } => {}
            held @ (Hold::No
            | Hold::Human { .. }
            | Hold::Refresh(_)
            | Hold::Flight { .. }
            | Hold::Doubt { .. }) => self.hold = held,
        }
        self.script = None;
        Ok(())
    }

    /// Whether upstream has nothing open for this session and nothing to answer: then a refusal needs no word of its.
    fn at_rest(&self) -> bool {
        let unsent = self.sends.is_empty() && self.batch.sents.is_empty() && self.copy.is_none();
        let answered = self.ops.is_empty() && self.flow.is_idle() && self.showing.is_empty();
        unsent && answered && !self.unsynced && self.held.is_none() && self.ahead.tx() == Tx::Idle
    }

    /// A Query is refused whole: what was decided before is not sent, and the flight ends.
    pub(super) fn after_refusal(&mut self, script: bool) -> Result<(), Cut> {
        if script && self.script.take().is_some() {
            self.skipping = false;
            self.sync();
        }
        Ok(())
    }

    pub(super) fn refuse_message(
        &mut self,
        via: &'static str,
        frame: &Frame,
        code: &'static str,
        why: &'static str,
    ) -> Result<(), Cut> {
        self.refuse_saying(via, raw(frame), code, why, None)
    }

    /// Refuses a message because of a statement or portal that there is, or is not, in PostgreSQL's own words.
    pub(super) fn refuse_name(
        &mut self,
        via: &'static str,
        frame: &Frame,
        code: &'static str,
        why: &'static str,
        name: &RawField,
    ) -> Result<(), Cut> {
        let said = name.to_str().and_then(|name| match (code, name) {
            ("42P05", _) => Some(format!("prepared statement \"{name}\" already exists")),
            ("26000", "") => Some("unnamed prepared statement does not exist".to_owned()),
            ("26000", _) => Some(format!("prepared statement \"{name}\" does not exist")),
            ("34000", _) => Some(format!("portal \"{name}\" does not exist")),
            _ => None,
        });
        self.refuse_saying(via, raw(frame), code, why, said)
    }

    /// A statement, or the values of one, above the limit. Nothing of it was kept: its record is bound to its type and
    /// length alone.
    pub(super) fn on_skipped(&mut self, skipped: Skipped) -> Result<(), Cut> {
        if self.copy.as_ref().is_some_and(|copy| !copy.failed) {
            return Err(Cut { why: "protocol", tell: Some(fatal("08P01", ONLY_COPY_DATA)) });
        }
        self.copy = None;
        if self.skipping {
            return Ok(());
        }
        let (via, why) = match skipped.tag {
            tag::QUERY => ("query", "the statement is larger than the gateway takes, which is 1 MiB"),
            tag::PARSE => ("parse", "the statement is larger than the gateway takes, which is 1 MiB"),
            _ => ("bind", "the values of the statement are larger than the gateway takes, which is 16 MiB"),
        };
        let mut asked = vec![skipped.tag];
        asked.extend_from_slice(&skipped.bytes.saturating_add(4).to_be_bytes());
        self.refuse_saying(via, asked.into(), "54000", why, None)
    }

    fn refuse_saying(
        &mut self,
        via: &'static str,
        asked: Bytes,
        code: &'static str,
        why: &'static str,
        said: Option<String>,
    ) -> Result<(), Cut> {
        // What came before in the same breath is done, as upstream would have done it.
        self.cover("parse")?;
        if self.skipping {
            return Ok(());
        }
        let plan = self.unreadable(said);
        let ready = Ready::said(via, plan.clone(), asked);
        self.refuse(&ready, &plan.decided.clone(), code, why, None, None)?;
        if matches!(via, "function-call" | "query") {
            self.skipping = false;
            self.sync();
        }
        Ok(())
    }
}

/// What to do about a refusal with this sentence.
pub(super) fn hint_for(why: &str) -> Option<&'static str> {
    Holding::hint_for(why).or((why == NAMES_CHANGED).then_some("run it again"))
}

/// Which calls of the client's make its statement opaque: its own words, and the same ones whether there is such a function.
fn not_known(calls: &[String]) -> Option<String> {
    let shown: Vec<&str> = calls.iter().take(CALLS_SAID_MAX).map(String::as_str).collect();
    let more = if calls.len() > CALLS_SAID_MAX { " and others" } else { "" };
    (!shown.is_empty())
        .then(|| format!("what it calls is not known to be harmless: {}{more}", shown.join(", ")))
}

/// Where in the client's text something of its statement is, in characters from 1.
pub(super) fn position(ready: &Ready, at: Option<usize>) -> Option<u32> {
    let before = ready.plan.statement.as_ref()?.text().get(..at?)?;
    Some(ready.offset + before.chars().count() as u32 + 1)
}
