//! Approval in band: a call of MCP that needs a person is answered with a question to its client's user (`input_required`,
//! 2026-07-28), and comes again. The person who approves is the gateway's, in its inbox; the client's user only learns that the call waits, and may withdraw it.
//!
//! A question waits here between two rounds, bound to its run and to what is asked and sent, without what numbers the
//! message. It ends as any other: answered, expired or withdrawn, with a record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gate::{Decided, GateError, Ground, Question, Spent, Who};
use ledger::AppendError;
use tokio::sync::watch;
use vocab::{AskId, RunId, Seq, Verdict, WallTime};

use super::decide::{Denied, No, TOO_LONG_TO_SHOW};
use super::request::Asked;
use super::resource::Resource;
use super::session::{Cut, Session};
use crate::entropy;
use crate::limits::{ASKS_SWEPT, IN_BAND_ASKS_PER_RUN_MAX, IN_BAND_HOLD};
use crate::runs::Ended;

/// What became of a round.
pub(super) enum Round {
    Allowed(Arc<Decided>, Seq),
    Denied(Denied),
    /// The client was asked, and comes again.
    Later,
}

const WITHDRAWN: &str = "the request was withdrawn";
const OVER: &str =
    "the question that this call brings back is over, or was never this run's: call again without it";

/// Questions between two rounds.
#[derive(Default)]
pub(super) struct Parked(Mutex<HashMap<AskId, Place>>);

/// Where a question stands, also while a round holds it.
struct Place {
    run: RunId,
    expires: WallTime,
    question: Option<Waiting>,
}

/// A question, and whose it is. The run's record closes behind it.
pub(super) struct Waiting {
    who: Who,
    asked: gate::Asked,
    ended: watch::Receiver<Option<Ended>>,
}

/// What a client comes back to.
enum Taken {
    Question(Box<Waiting>),
    /// Another round holds it: the client has given that one up, or asks twice at once.
    Held,
    No,
}

impl Parked {
    /// Whether the run may have another question here. One that may not has its call held.
    pub(super) fn has_room(&self, run: RunId) -> bool {
        self.lock().values().filter(|place| place.run == run).count() < IN_BAND_ASKS_PER_RUN_MAX
    }

    fn put(&self, question: Waiting) {
        let (id, run, expires) = (question.asked.id, question.who.run, question.asked.expires);
        self.lock().insert(id, Place { run, expires, question: Some(question) });
    }

    fn take(&self, run: RunId, state: &str) -> Taken {
        let mut parked = self.lock();
        let place = AskId::parse(state).and_then(|id| parked.get_mut(&id)).filter(|place| place.run == run);
        match place.map(|place| place.question.take()) {
            Some(Some(question)) => Taken::Question(Box::new(question)),
            Some(None) => Taken::Held,
            None => Taken::No,
        }
    }

    fn done(&self, id: AskId) {
        self.lock().remove(&id);
    }

    /// Those that nobody comes back for in time.
    fn over(&self, now: WallTime) -> Vec<Waiting> {
        let over = |place: &Place| {
            let ended = |question: &Waiting| question.ended.borrow().is_some();
            now >= place.expires || place.question.as_ref().is_some_and(ended)
        };
        let mut parked = self.lock();
        let ids: Vec<AskId> = parked.iter().filter(|(_, place)| over(place)).map(|(id, _)| *id).collect();
        ids.iter().filter_map(|id| parked.remove(id)?.question).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AskId, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the questions with which no client comes again, for ever.
pub(crate) async fn sweep(resources: Vec<Arc<Resource>>) {
    loop {
        tokio::time::sleep(ASKS_SWEPT).await;
        let now = entropy::wall();
        for resource in &resources {
            for mut question in resource.parked.over(now) {
                match resource.gate.lapse(&mut question.asked, &question.who, now) {
                    // Nothing more of this run can be recorded.
                    Ok(()) | Err(GateError::NoRecord(AppendError::RunEnded | AppendError::OverBudget)) => {}
                    Err(_tried_again) => resource.parked.put(question),
                }
            }
        }
    }
}

impl Session {
    /// What a message comes back to: `Ok(None)` is nothing. Errors, the inner: why it goes no further, or nothing if the
    /// client was told.
    pub(super) async fn come_back(
        &mut self,
        asked: &Asked,
        decided: &Decided,
    ) -> Result<Result<Option<Waiting>, Option<Denied>>, Cut> {
        let Some(back) = &asked.back else { return Ok(Ok(None)) };
        let resource = self.resource.clone();
        match resource.parked.take(self.who.run, &back.state) {
            Taken::Question(question) if back.goes_on => Ok(Ok(Some(*question))),
            Taken::Question(question) => {
                let seq = question.asked.seq;
                self.give_up(*question)?;
                Ok(Err(Some(No(WITHDRAWN, 403).denies(decided.clone(), Some(seq)))))
            }
            Taken::Held => {
                self.say_later(asked, &words(&back.state, decided), &back.state).await?;
                Ok(Err(None))
            }
            Taken::No => Ok(Err(Some(No(OVER, 403).denies(decided.clone(), None)))),
        }
    }

    /// Ends a question whose call is withdrawn, or needs no answer any more.
    pub(super) fn give_up(&mut self, mut question: Waiting) -> Result<(), Cut> {
        self.resource.parked.done(question.asked.id);
        let lapsed = self.resource.gate.lapse(&mut question.asked, &question.who, entropy::wall());
        lapsed.map_err(|e| self.unrecorded(e))
    }

    /// One round of a question about a message whose client can be asked: the first, or that of `question`.
    pub(super) async fn ask_in_band(
        &mut self,
        asked: &Asked,
        decided: Decided,
        ground: &Ground<'_>,
        question: Option<Waiting>,
    ) -> Result<Round, Cut> {
        let first = question.is_none();
        let again = asked.again();
        let (mut question, again) = match (question, again) {
            (Some(question), Ok(again)) if self.question(asked).is_shown_whole() => (question, again),
            (Some(question), no) => {
                self.give_up(question)?;
                let why = no.err().map_or(TOO_LONG_TO_SHOW, |why| why.0);
                return Ok(Round::Denied(No(why, 403).denies(decided, None)));
            }
            (None, Err(why)) => return Ok(Round::Denied(No(why.0, 400).denies(decided, None))),
            (None, Ok(again)) => match self.put_question(asked, &decided, None, Some(&again)).await? {
                Ok(asked) => (Waiting { who: self.who.clone(), asked, ended: self.ended.clone() }, again),
                Err(no) => return Ok(Round::Denied(no.denies(decided, None))),
            },
        };
        let (answer, cut) = if first {
            (None, None)
        } else {
            let left = question.asked.expires.0.saturating_sub(entropy::wall().0);
            self.human(&mut question.asked, IN_BAND_HOLD.min(Duration::from_nanos(left))).await
        };
        let (id, seq) = (question.asked.id, question.asked.seq);
        let waits = entropy::wall() < question.asked.expires && question.ended.borrow().is_none();
        if answer.is_none() && waits {
            self.resource.parked.put(question);
            let state = id.to_string();
            return match cut {
                Some(cut) => Err(cut),
                None => self.say_later(asked, &words(&state, &decided), &state).await.map(|()| Round::Later),
            };
        }
        let spent = {
            let asks = Question { again: Some((&again.0, &again.1)), ..self.question(asked) };
            self.resource.gate.clone().spend(question.asked, answer, &asks, ground, entropy::wall())
        };
        self.resource.parked.done(id);
        if let Some(cut) = cut {
            return Err(cut);
        }
        Ok(match spent.map_err(|e| self.unrecorded(e))? {
            Spent::Allowed(decided) => Round::Allowed(decided, seq),
            Spent::Refused(decided, why) => {
                Round::Denied(Denied { decided, why, status: 403, of: Some(seq) })
            }
        })
    }

    async fn say_later(&mut self, asked: &Asked, words: &str, state: &str) -> Result<(), Cut> {
        let id = asked.rpc.as_ref().map_or("null", |rpc| &rpc.id);
        self.to_client.ask(id, words, state, self.flow.may_keep_client());
        self.drain_client().await
    }
}

/// What the client's user is told: ids, and names of the configuration.
fn words(id: &str, decided: &Decided) -> String {
    let groups: Vec<&str> = match &decided.verdict {
        Verdict::Ask(groups) => groups.iter().map(|group| &*group.0).collect(),
        Verdict::Allow | Verdict::Refuse => vec!["somebody else"],
    };
    format!(
        "This call waits for approval {} by {}. Accept to go on waiting for it; decline to withdraw the call.",
        id.get(..8).unwrap_or_default(),
        groups.join(" and ")
    )
}
