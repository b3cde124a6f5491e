//! Approval in band: a call of MCP that needs a person is answered with a question to its client's user (`input_required`,
//! 2026-07-28), and comes again. The person who approves is the gateway's, in its inbox; the client's user only learns that the call waits, and may withdraw it.
//!
//! A question waits here between two rounds, bound to its run and to what is asked and sent, without what numbers the
//! message. It ends as any other: answered, expired or withdrawn, with a record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gate::{Decided, Ground, Question, Spent, Who};
use vocab::{AskId, RunId, Seq, Verdict, WallTime};

use super::decide::{Denied, No};
use super::request::Asked;
use super::resource::Resource;
use super::session::{Cut, Session};
use crate::entropy;
use crate::limits::{ASKS_SWEPT, IN_BAND_HOLD};

/// What became of a round.
pub(super) enum Round {
    Allowed(Arc<Decided>, Seq),
    Denied(Denied),
    /// The client was asked, and comes again.
    Later,
}

const OVER: &str =
    "the question that this call brings back is over, or was never this run's: call again without it";

/// Questions between two rounds. As many as wait in the inbox at most: each is one of those.
#[derive(Default)]
pub(super) struct Parked(Mutex<HashMap<AskId, (Who, gate::Asked)>>);

impl Parked {
    fn put(&self, who: Who, asked: gate::Asked) {
        self.lock().insert(asked.id, (who, asked));
    }

    /// The question, if it is of this run.
    fn take(&self, run: RunId, id: AskId) -> Option<(Who, gate::Asked)> {
        let mut parked = self.lock();
        let own = parked.get(&id).is_some_and(|(who, _)| who.run == run);
        if own { parked.remove(&id) } else { None }
    }

    /// Those that nobody comes back for in time.
    fn over(&self, now: WallTime, lives: impl Fn(RunId) -> bool) -> Vec<(Who, gate::Asked)> {
        let mut parked = self.lock();
        let over = parked.iter().filter(|(_, (who, asked))| now >= asked.expires || !lives(who.run));
        let ids: Vec<AskId> = over.map(|(id, _)| *id).collect();
        ids.iter().filter_map(|id| parked.remove(id)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AskId, (Who, gate::Asked)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the questions with which no client comes again, once a second, for ever.
pub(crate) async fn sweep(resources: Vec<Arc<Resource>>) {
    loop {
        tokio::time::sleep(ASKS_SWEPT).await;
        let now = entropy::wall();
        for resource in &resources {
            for (who, asked) in resource.parked.over(now, |run| resource.registry.get(run).is_some()) {
                // Of a run that is over nothing can be recorded any more: its question has no answer there.
                let _no_record_after_the_end = resource.gate.lapse(asked, &who, now);
            }
        }
    }
}

impl Session {
    /// One round of a question about a message whose client can be asked.
    pub(super) async fn ask_in_band(
        &mut self,
        asked: &Asked,
        decided: Decided,
        ground: &Ground<'_>,
    ) -> Result<Round, Cut> {
        let again = asked.again().map_err(|why| Cut::told("unreadable", 400, why.0))?;
        let (who, mut waiting) = match &asked.back {
            None => match self.put_question(asked, &decided, None, Some(&again)).await? {
                Ok(waiting) => (self.who.clone(), waiting),
                Err(no) => return Ok(Round::Denied(no.denies(decided, None))),
            },
            Some(back) => {
                let id = AskId::parse(&back.state);
                match id.and_then(|id| self.resource.parked.take(self.who.run, id)) {
                    Some(parked) => parked,
                    None => return Ok(Round::Denied(No(OVER, 403).denies(decided, None))),
                }
            }
        };
        let (answer, cut) = match &asked.back {
            Some(back) if back.goes_on => {
                let left = waiting.expires.0.saturating_sub(entropy::wall().0);
                self.human(&mut waiting, IN_BAND_HOLD.min(Duration::from_nanos(left))).await
            }
            Some(_) | None => (None, None),
        };
        let withdrawn = asked.back.as_ref().is_some_and(|back| !back.goes_on);
        if answer.is_none() && !withdrawn && entropy::wall() < waiting.expires {
            let (words, state) = (words(&waiting.id, &decided), waiting.id.to_string());
            self.resource.parked.put(who, waiting);
            return match cut {
                Some(cut) => Err(cut),
                None => self.say_later(asked, &words, &state).await.map(|()| Round::Later),
            };
        }
        let seq = waiting.seq;
        let gate = self.resource.gate.clone();
        let spent = {
            let question = Question { again: Some((&again.0, &again.1)), ..self.question(asked) };
            gate.spend(waiting, answer, &question, ground, entropy::wall())
        };
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
fn words(id: &AskId, decided: &Decided) -> String {
    let groups: Vec<&str> = match &decided.verdict {
        Verdict::Ask(groups) => groups.iter().map(|group| &*group.0).collect(),
        Verdict::Allow | Verdict::Refuse => Vec::new(),
    };
    let id = id.to_string();
    format!(
        "This call waits for approval {} by {}. Accept to go on waiting for it; decline to withdraw the call.",
        id.get(..8).unwrap_or_default(),
        groups.join(" and ")
    )
}
