//! The verdict on a request, and on its answer: allowed, refused, or asked about.

use std::collections::BTreeSet;
use std::sync::Arc;

use gate::{Decided, GateError, Ground, Spent};
use ledger::Code;
use vocab::{Action, AskId, Seq, Verdict, WallTime};

use super::answer::NEW_POLICY;
use super::band::Round;
use super::problem::Problem;
use super::request::Asked;
use super::session::{Cut, Session, cut_short, over};
use crate::alike::unsaid;
use crate::entropy;
use crate::limits::{PIPELINED_BYTES_MAX, REFUSAL_RECORD, VERDICTS_MAX};

/// What became of a question to policy and people.
pub(super) enum Ruling {
    /// Allowed; by the approval with this record, if by one.
    Go(Arc<Decided>, Option<Seq>),
    /// The client was told: refused, which is recorded, or that it has to come again.
    No,
}

/// What policy allowed of late and allows again, since no rule that can apply reads more than who asks for what: the
/// evaluation, and the request as policy saw it in the record, are the first one's.
#[derive(Default)]
pub(super) struct Verdicts {
    /// Of the policy that said so.
    generation: u64,
    allowed: Vec<(Action, Arc<Decided>)>,
}

impl Verdicts {
    fn of(&self, generation: u64, asked: &Asked) -> Option<Arc<Decided>> {
        let current = generation == self.generation && asked.refuse.is_none();
        let known = self.allowed.iter().find(|(action, _)| *action == asked.action).filter(|_| current)?;
        Some(known.1.clone())
    }

    fn keep(&mut self, generation: u64, asked: &Asked, decided: &Arc<Decided>) {
        if !decided.cacheable || !decided.approved.is_empty() {
            return;
        }
        if self.generation != generation || self.allowed.len() == VERDICTS_MAX {
            self.allowed.clear();
        }
        self.generation = generation;
        self.allowed.push((asked.action.clone(), decided.clone()));
    }
}

/// Policy's or a person's no, not yet recorded.
pub(super) struct Denied {
    pub(super) decided: Box<Decided>,
    pub(super) why: &'static str,
    pub(super) status: u16,
    pub(super) of: Option<Seq>,
}

/// Why nobody is asked, and the status that says so.
pub(super) struct No(pub(super) &'static str, pub(super) u16);

impl No {
    pub(super) fn denies(self, decided: Decided, of: Option<Seq>) -> Denied {
        // The reason is this, and not what the rule has to say.
        Denied { decided: Box::new(unsaid(decided)), why: self.0, status: self.1, of }
    }
}

pub(super) const REFUSED: &str = "policy does not allow this";
pub(super) const TOO_LONG_TO_SHOW: &str =
    "this needs an approval, and it cannot be shown whole to who could give it";

/// The rules that refuse it, or why it is refused.
pub(super) fn by_rule(decided: &Decided, why: &str) -> String {
    let rules: Vec<&str> = decided.rules.iter().map(|rule| &*rule.0).collect();
    match decided.verdict == Verdict::Allow || rules.is_empty() {
        true => why.to_owned(),
        false => rules.join(", "),
    }
}

impl Session {
    pub(super) async fn decide(&mut self, asked: &Asked) -> Result<Ruling, Cut> {
        let gate = self.resource.gate.clone();
        let known = self.verdicts.of(gate.generation(), asked);
        if let Some(known) = known.filter(|_| asked.back.is_none()) {
            return Ok(Ruling::Go(known, None));
        }
        let generation = gate.generation();
        let stale = asked.call.as_ref().is_some_and(|call| call.is_stale(&self.resource));
        let context = self.context(asked);
        let ground = Ground { action: &asked.action, context: &context, release: None };
        let mut decided = gate.verdict(&self.who, &ground, &BTreeSet::new());
        let mut question = match self.come_back(asked, &decided).await? {
            Ok(question) => question,
            Err(None) => return Ok(Ruling::No),
            Err(Some(denied)) => {
                self.refuse(asked, &denied.decided, denied.status, denied.why, denied.of).await?;
                return Ok(Ruling::No);
            }
        };
        if let Some((status, why)) = asked.refuse.or(stale.then_some((503, NEW_POLICY))) {
            question.map_or(Ok(()), |question| self.give_up(question))?;
            decided.message = None;
            self.refuse(asked, &decided, status, why, None).await?;
            return Ok(Ruling::No);
        }
        if let Verdict::Ask(_) = decided.verdict {
            // What cannot be read without its number has no standing grant.
            let again = if asked.in_band { asked.again().ok() } else { None };
            let again = again.as_ref().map(|(asked, sending)| (&asked[..], &sending[..]));
            let question = gate::Question { again, ..self.question(asked) };
            let standing = gate.standing(&question, &decided, entropy::wall());
            if !standing.is_empty() {
                decided = gate.verdict(&self.who, &ground, &standing);
            }
        }
        let asks = matches!(decided.verdict, Verdict::Ask(_)) && asked.in_band;
        let in_band = asks && (question.is_some() || self.resource.parked.has_room(self.who.run));
        if let Some(question) = question.take_if(|_| !in_band) {
            self.give_up(question)?;
        }
        let denied = match decided.verdict {
            Verdict::Allow => {
                let decided = Arc::new(decided);
                self.verdicts.keep(generation, asked, &decided);
                return Ok(Ruling::Go(decided, None));
            }
            Verdict::Refuse => Denied { decided: Box::new(decided), why: REFUSED, status: 403, of: None },
            Verdict::Ask(_) if in_band => match self.ask_in_band(asked, decided, &ground, question).await? {
                Round::Allowed(decided, seq) => return Ok(Ruling::Go(decided, Some(seq))),
                Round::Denied(denied) => denied,
                Round::Later => return Ok(Ruling::No),
            },
            Verdict::Ask(_) => match self.ask_of_changes(asked, decided, &ground).await? {
                Ok((decided, seq)) => return Ok(Ruling::Go(decided, Some(seq))),
                Err(denied) => denied,
            },
        };
        self.refuse(asked, &denied.decided, denied.status, denied.why, denied.of).await?;
        Ok(Ruling::No)
    }

    /// In which circumstances it is asked for, with what is known of the model's part in it.
    fn context(&self, asked: &Asked) -> policy::Context {
        match self.question(asked).saying().and_then(|said| self.resource.gate.decided(&self.who, &said)) {
            Some((how, told)) => policy::Context {
                decided: Some(how.as_str().into()),
                decided_by_result: told,
                ..asked.context.clone()
            },
            None => asked.context.clone(),
        }
    }

    /// Whether what was allowed, by the approvals that it has, would be allowed now.
    pub(super) fn goes(&self, asked: &Asked, decided: &Decided) -> bool {
        let context = policy::Context { now: entropy::wall(), ..self.context(asked) };
        let ground = Ground { action: &asked.action, context: &context, release: None };
        self.resource.gate.verdict(&self.who, &ground, &decided.approved).verdict == Verdict::Allow
    }

    /// Asks, and shows whoever is asked what would change.
    async fn ask_of_changes(
        &mut self,
        asked: &Asked,
        decided: Decided,
        ground: &Ground<'_>,
    ) -> Result<Result<(Arc<Decided>, Seq), Denied>, Cut> {
        if let Some(call) = &asked.call {
            let secrets = (&self.injected, &self.needles);
            let changes = call.changes(&self.resource, &self.who, &asked.request, secrets);
            let changes = tokio::select! {
                biased;
                why = over(&mut self.ended) => return Err(cut_short(why)),
                () = self.client.gone(PIPELINED_BYTES_MAX) => return Err(Cut::quiet("client-closed")),
                changes = changes => changes,
            };
            changes.into_iter().for_each(|changes| _ = asked.changes.set(changes));
        }
        self.ask(asked, decided, ground, None).await
    }

    /// Holds the request, or the answer to intent `of`, and asks. At most the resource's `approval_timeout`.
    pub(super) async fn ask(
        &mut self,
        asked: &Asked,
        decided: Decided,
        ground: &Ground<'_>,
        of: Option<Seq>,
    ) -> Result<Result<(Arc<Decided>, Seq), Denied>, Cut> {
        let mut waiting = match self.put_question(asked, &decided, of, None).await? {
            Ok(waiting) => waiting,
            Err(no) => return Ok(Err(no.denies(decided, of))),
        };
        let wait = self.resource.config.approval_timeout;
        let (answer, cut) = self.human(&mut waiting, wait).await;
        let seq = waiting.seq;
        let spent =
            self.resource.gate.clone().spend(waiting, answer, &self.question(asked), ground, entropy::wall());
        if let Some(cut) = cut {
            return Err(cut);
        }
        match spent.map_err(|e| self.unrecorded(e))? {
            Spent::Allowed(decided) => Ok(Ok((decided, seq))),
            Spent::Refused(decided, why) => Ok(Err(Denied { decided, why, status: 403, of: Some(seq) })),
        }
    }

    /// Puts a question to people, and has it recorded. `again`: what an approval binds to, if not to the very bytes.
    pub(super) async fn put_question(
        &mut self,
        asked: &Asked,
        decided: &Decided,
        of: Option<Seq>,
        again: Option<&(Vec<u8>, Vec<u8>)>,
    ) -> Result<Result<gate::Asked, No>, Cut> {
        let now = entropy::wall();
        let wait = self.resource.config.approval_timeout;
        let expires = WallTime(now.0.saturating_add(wait.as_nanos() as u64));
        let put = {
            let again = again.map(|(asked, sending)| (&asked[..], &sending[..]));
            let question = gate::Question { again, ..self.question(asked) };
            self.resource.gate.ask(&question, decided, of, AskId(entropy::random()), now, expires)
        };
        let mut waiting = match put {
            Ok(waiting) => waiting,
            Err(GateError::InboxFull) => return Ok(Err(No("too many requests wait for approval", 503))),
            Err(GateError::NotShown) => return Ok(Err(No(TOO_LONG_TO_SHOW, 403))),
            Err(error) => return Err(self.unrecorded(error)),
        };
        if let Some(receipt) = waiting.receipt.take() {
            let _durable = self.durable(receipt, REFUSAL_RECORD).await?;
        }
        Ok(Ok(waiting))
    }

    /// Records a refusal and tells the client. Nothing was sent upstream.
    pub(super) async fn refuse(
        &mut self,
        asked: &Asked,
        decided: &Decided,
        status: u16,
        why: &'static str,
        of: Option<Seq>,
    ) -> Result<(), Cut> {
        let receipt = {
            let question = self.question(asked);
            let stayed = question.stayed();
            let question = gate::Question { sending: &[], tripwires: &stayed, ..question };
            self.resource.gate.refuse(&question, decided, Code::status(status), why, of, false)
        };
        let receipt = receipt.map_err(|e| self.unrecorded(e))?;
        let durable = self.durable(receipt, REFUSAL_RECORD).await?;
        if asked.in_frames {
            self.closing = Some(by_rule(decided, why));
            return Ok(());
        }
        let told = decided.message.as_deref().unwrap_or(why);
        let problem = Problem::refused(status, decided, told, durable.seq()).to(asked.rpc.as_ref());
        let keep = self.flow.may_keep_client() && !asked.offers();
        let handles = &self.resource.handles;
        match problem.elsewhere().is_some_and(|(place, event)| handles.say(place, event)) {
            true => self.to_client.accept(keep),
            false => self.to_client.say(&problem, keep, self.to_head),
        }
        self.drain_client().await
    }
}
