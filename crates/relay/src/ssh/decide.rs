//! The verdict on a request, and on what comes back: allowed, refused, or asked about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gate::{Decided, GateError, Ground, Intent, Permit, Spent};
use ledger::{AppendError, Code, Durable, Missed, Receipt};
use tokio::sync::watch;
use vocab::{AskId, Seq, Verdict, WallTime};

use super::asked::Asked;
use super::library::Lane;
use super::link::Link;
use super::writer::{ClientWriter, Ended};
use super::{FAILED_STATUS, REFUSED_STATUS};
use crate::alike::{NO_RECORD, unsaid};
use crate::connect::DECISION_USED;
use crate::entropy;
use crate::limits::{RECORD, REFUSAL_RECORD};
use crate::runs;

/// Why a program, or what was asked of a channel, was not carried to its end. The client is told `why`.
#[derive(Debug)]
pub(super) struct Cut {
    /// For the record of the connection's end, where it ends with that.
    pub(super) why: &'static str,
    pub(super) told: &'static str,
}

impl Cut {
    pub(super) fn closed() -> Cut {
        Cut { why: "client-closed", told: "" }
    }

    pub(super) fn upstream(told: &'static str) -> Cut {
        Cut { why: "upstream-closed", told }
    }
}

/// What became of a question to policy and people.
pub(super) enum Ruling {
    /// Allowed; by the approval with this record, if by one.
    Go(Arc<Decided>, Option<Seq>),
    /// Refused: recorded, and the client was told.
    No,
}

/// Policy's or a person's no, not yet recorded.
pub(super) struct Denied {
    pub(super) decided: Box<Decided>,
    pub(super) why: &'static str,
    pub(super) of: Option<Seq>,
}

pub(super) const REFUSED: &str = "policy does not allow this";
const TOO_LONG_TO_SHOW: &str = "this needs an approval, and it cannot be shown whole to who could give it";
const INBOX_FULL: &str = "too many requests wait for approval";
const UNCERTAIN: &str = "no record is possible any more; whether the command took effect is unknown";
const OVER_BUDGET: &str = "the run is over its budget of records";

/// A run's end.
pub(super) type Over = watch::Receiver<Option<runs::Ended>>;

/// Resolves when the run is over.
pub(super) async fn over(ended: &mut Over) -> Cut {
    let why = match ended.wait_for(Option::is_some).await {
        Ok(why) => why.unwrap_or(runs::Ended::Interrupted),
        Err(_) => runs::Ended::Interrupted,
    };
    Cut { why: why.as_str(), told: "the run that this connection belongs to is over" }
}

/// A question that people were asked. One that nobody waits for any longer, since what waited was given up, ends in the record.
struct Waiting<'a> {
    link: &'a Link,
    asked: Option<gate::Asked>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(mut asked) = self.asked.take() {
            // If no record is possible now, the run ends with it, and so does the question.
            let _ended = self.link.resource.gate.lapse(&mut asked, &self.link.who, entropy::wall());
        }
    }
}

impl Link {
    pub(super) async fn decide(&self, lane: &Lane, asked: &Asked, ended: &mut Over) -> Result<Ruling, Cut> {
        match self.rule(lane, asked, ended).await? {
            Ok((decided, approval)) => Ok(Ruling::Go(decided, approval)),
            Err(denied) => {
                self.refuse(lane, asked, denied).await?;
                Ok(Ruling::No)
            }
        }
    }

    /// Policy's word, and people's. Neither is a refusal recorded yet, nor does the client know of it.
    pub(super) async fn rule(
        &self,
        lane: &Lane,
        asked: &Asked,
        ended: &mut Over,
    ) -> Result<Result<(Arc<Decided>, Option<Seq>), Denied>, Cut> {
        let gate = &self.resource.gate;
        let sending = asked.sending.bytes();
        let by_model =
            asked.question(&self.who, &sending).saying().and_then(|said| gate.decided(&self.who, &said));
        let context = match by_model {
            Some((how, told)) => policy::Context {
                decided: Some(how.as_str().into()),
                decided_by_result: told,
                ..asked.context.clone()
            },
            None => asked.context.clone(),
        };
        let ground = Ground { action: asked.action(), context: &context, release: None };
        let mut decided = gate.verdict(&self.who, &ground, &BTreeSet::new());
        if let Some(why) = asked.refuse {
            decided.message = None;
            return Ok(Err(Denied { decided: decided.into(), why, of: None }));
        }
        if let Verdict::Ask(_) = decided.verdict {
            let standing = gate.standing(&asked.question(&self.who, &sending), &decided, entropy::wall());
            if !standing.is_empty() {
                decided = gate.verdict(&self.who, &ground, &standing);
            }
        }
        Ok(match decided.verdict {
            Verdict::Allow => Ok((Arc::new(decided), None)),
            Verdict::Refuse => Err(Denied { decided: decided.into(), why: REFUSED, of: None }),
            Verdict::Ask(_) => {
                let answered = self.ask(lane, asked, decided, &ground, None, ended).await?;
                answered.map(|(decided, seq)| (decided, Some(seq)))
            }
        })
    }

    /// Holds a command, or what the one of intent `of` says, and asks people. At most the resource's `approval_timeout`.
    pub(super) async fn ask(
        &self,
        lane: &Lane,
        asked: &Asked,
        decided: Decided,
        ground: &Ground<'_>,
        of: Option<Seq>,
        ended: &mut Over,
    ) -> Result<Result<(Arc<Decided>, Seq), Denied>, Cut> {
        let gate = &self.resource.gate;
        let (now, wait) = (entropy::wall(), self.resource.config.approval_timeout);
        let expires = WallTime(now.0.saturating_add(wait.as_nanos() as u64));
        let sending = asked.sending.bytes();
        let question = asked.question(&self.who, &sending);
        let no = |decided: Decided, why| {
            // The reason is this, and not what the rule has to say.
            Ok(Err(Denied { decided: Box::new(unsaid(decided)), why, of }))
        };
        let waiting = match gate.ask(&question, &decided, of, AskId(entropy::random()), now, expires) {
            Ok(waiting) => waiting,
            Err(GateError::InboxFull) => return no(decided, INBOX_FULL),
            Err(GateError::NotShown) => return no(decided, TOO_LONG_TO_SHOW),
            Err(error) => return Err(self.unrecorded(error)),
        };
        let mut waiting = Waiting { link: self, asked: Some(waiting) };
        let open = waiting.asked.as_mut().ok_or_else(|| self.no_record())?;
        if let Some(receipt) = open.receipt.take() {
            let _durable = self.durable(receipt, REFUSAL_RECORD).await?;
        }
        self.say(lane, &waits(&decided, open)).await;
        let (answer, cut) = tokio::select! {
            biased;
            cut = over(ended) => (None, Some(cut)),
            answer = open.answered() => (answer, None),
            () = tokio::time::sleep(wait) => (None, None),
            () = lane.closed() => (None, Some(Cut::closed())),
        };
        let seq = open.seq;
        let open = waiting.asked.take().ok_or_else(|| self.no_record())?;
        let spent = gate.spend(open, answer, &question, ground, entropy::wall());
        if let Some(cut) = cut {
            return Err(cut);
        }
        match spent.map_err(|e| self.unrecorded(e))? {
            Spent::Allowed(decided) => Ok(Ok((decided, seq))),
            Spent::Refused(decided, why) => Ok(Err(Denied { decided, why, of: Some(seq) })),
        }
    }

    /// Records a refusal and tells the client. Nothing was sent to the host.
    pub(super) async fn refuse(&self, lane: &Lane, asked: &Asked, denied: Denied) -> Result<(), Cut> {
        let words = self.record_refusal(asked, &denied, REFUSED_STATUS, false).await?;
        self.part(lane, &words, REFUSED_STATUS).await;
        Ok(())
    }

    /// What the client is told of a refusal, once it is recorded. `status`: the exit status that it is told, too. `partial`: it is
    /// output that was refused, and some of it had left.
    pub(super) async fn record_refusal(
        &self,
        asked: &Asked,
        denied: &Denied,
        status: u16,
        partial: bool,
    ) -> Result<String, Cut> {
        let question = asked.question(&self.who, &[]);
        let stayed = question.stayed();
        // What was found in a command stands with its intent.
        let tripwires = if partial { &[][..] } else { &stayed };
        let question = gate::Question { tripwires, ..question };
        let (gate, code) = (&self.resource.gate, Code::status(status));
        let refused = gate.refuse(&question, &denied.decided, code, denied.why, denied.of, partial);
        let receipt = refused.map_err(|e| self.unrecorded(e))?;
        let durable = self.durable(receipt, REFUSAL_RECORD).await?;
        let told = denied.decided.message.as_deref().unwrap_or(denied.why);
        let rules: Vec<&str> = denied.decided.rules.iter().map(|rule| &*rule.0).collect();
        Ok(match denied.decided.verdict == Verdict::Allow || rules.is_empty() {
            true => format!("refused: {told} (record {})", durable.seq().0),
            false => format!("refused: {told} (rule {}, record {})", rules.join(", "), durable.seq().0),
        })
    }

    /// Records what is about to be started, and waits until the record is durable.
    pub(super) async fn intend(
        &self,
        asked: &Asked,
        decided: &Decided,
        approval: Option<Seq>,
    ) -> Result<(Seq, Permit), Cut> {
        let sending = asked.sending.bytes();
        let question = asked.question(&self.who, &sending);
        self.permitted(self.resource.gate.intend(&question, decided, approval, entropy::tick())).await
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

    /// Waits for the record of what is about to leave.
    pub(super) async fn durable(&self, receipt: Receipt, most: Duration) -> Result<Durable, Cut> {
        match tokio::time::timeout(most, receipt).await {
            Ok(Ok(durable)) => Ok(durable),
            Ok(Err(_)) | Err(_) => Err(self.no_record()),
        }
    }

    pub(super) fn unrecorded(&self, error: GateError) -> Cut {
        match error {
            GateError::NoRecord(AppendError::OverBudget) => Cut { why: "over-budget", told: OVER_BUDGET },
            GateError::Used => Cut { why: "decision-used", told: DECISION_USED },
            GateError::NoRecord(AppendError::RunEnded) => Cut { why: "interrupted", told: "the run is over" },
            // The refusal is kept, and counted, where it could not be recorded.
            GateError::Late(_) => Cut { why: "no-record", told: NO_RECORD },
            GateError::NoRecord(_) | GateError::InboxFull | GateError::NotShown => self.no_record(),
        }
    }

    pub(super) fn no_record(&self) -> Cut {
        Cut { why: "no-record", told: NO_RECORD }
    }

    /// A request without a record, of which nothing was sent, is counted as refused.
    pub(super) fn unsent(&self, cut: Cut) -> Cut {
        if cut.why == "no-record" {
            self.resource.gate.ledger().missed(Missed::Refused);
        }
        cut
    }

    /// A program that was started, and of which no more can be recorded: it is counted as cut.
    pub(super) fn uncertain(&self, cut: Cut) -> Cut {
        if cut.why != "no-record" {
            return cut;
        }
        self.resource.gate.ledger().missed(Missed::Cut);
        Cut { told: UNCERTAIN, ..cut }
    }

    // --- words

    /// Tells the client on standard error, where there is one. Whether it reads that changes nothing.
    pub(super) async fn say(&self, lane: &Lane, words: &str) {
        if !lane.talks() {
            return;
        }
        let _gone = tokio::time::timeout(Duration::from_secs(1), ClientWriter(lane).say(words)).await;
    }

    /// Words, an exit status, and the channel's end.
    pub(super) async fn part(&self, lane: &Lane, words: &str, status: u16) {
        if !words.is_empty() {
            self.say(lane, words).await;
        }
        let client = ClientWriter(lane);
        let _gone =
            tokio::time::timeout(Duration::from_secs(1), client.end(Ended::Exit(status.into()))).await;
    }

    /// The same of something that failed.
    pub(super) async fn fail(&self, lane: &Lane, cut: &Cut) {
        self.part(lane, cut.told, FAILED_STATUS).await;
    }
}

/// What a client is told while people are asked.
fn waits(decided: &Decided, waiting: &gate::Asked) -> String {
    let groups: Vec<&str> = match &decided.verdict {
        Verdict::Ask(groups) => groups.iter().map(|group| &*group.0).collect(),
        Verdict::Allow | Verdict::Refuse => Vec::new(),
    };
    format!("waits for approval {} by {}", waiting.id, groups.join(", "))
}
