//! The inbox: questions that wait for a human. A question lives exactly as long as the held request that asked it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mask::MaskedText;
use tokio::sync::oneshot;
use vocab::{AskId, Bound, Group, RuleId, RunId, Seq, Verb, WallTime};

use crate::cause::Because;
use crate::limits::{ASKS_MAX, SHAPE_MINUTES_MAX};

/// The group that means the run's own human (DESIGN section 7).
pub const INITIATOR: &str = "initiator";

/// An authenticated person who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    pub name: Arc<str>,
    pub groups: BTreeSet<Group>,
    /// An SSH signature over [`Bound::to_sign`], already verified by the caller.
    pub signature: Option<Signature>,
}

/// An approver's signature, as `ssh-keygen -Y sign` makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The public key, as a line of OpenSSH's: at most [`SSH_KEY_BYTES_MAX`] bytes.
    pub key: Arc<str>,
    /// In armor, at most [`SSH_SIGNATURE_BYTES_MAX`] bytes.
    pub armored: Arc<str>,
}

/// What a grant covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// This request, once.
    Once,
    /// This statement's shape in this run, for some minutes: same tree and relations, literals free.
    Shape { minutes: u32 },
}

impl Form {
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Once => "once",
            Form::Shape { .. } => "shape",
        }
    }
}

/// A question, as an approver may see it: everything in it is masked or ours.
#[derive(Clone, Debug)]
pub struct Pending {
    pub id: AskId,
    /// The `ask` record.
    pub seq: Seq,
    pub run: RunId,
    pub human: Arc<str>,
    /// Who authenticated when the run was minted; neither `human` nor `by` may approve.
    pub by: Arc<str>,
    /// Who else stands between the human and the run; they may not, either.
    pub involved: Arc<[Arc<str>]>,
    pub agent: Arc<str>,
    pub task: Option<MaskedText>,
    pub resource: Arc<str>,
    pub kind: &'static str,
    pub statement: MaskedText,
    pub sent: Option<MaskedText>,
    /// `statement` with its values as far as they are of no class, where approvers see them; in no record.
    pub says: Option<MaskedText>,
    /// What it would change, as far as that could be told when it was asked.
    pub changes: Option<MaskedText>,
    pub touches: Vec<Touched>,
    /// Bind values: type or size, and the classes of what was found in them.
    pub params: Vec<MaskedText>,
    /// With `says`: the values themselves, as far as they are of no class. `None`: it has no text, or is NULL.
    pub param_values: Vec<Option<MaskedText>>,
    pub in_transaction: bool,
    /// The decisions of the run's models that it carries out; empty: none. `None`: no model has decided anything in the run.
    pub because: Option<Vec<Because>>,
    /// Groups that have not approved yet.
    pub groups: Vec<Group>,
    pub rules: Vec<RuleId>,
    pub message: Option<Arc<str>>,
    pub asked_at: WallTime,
    pub expires: WallTime,
    /// Whether `Form::Shape` may be given: never for `opaque`, `define` or `administer`.
    pub shape_allowed: bool,
    /// What an approver signs.
    pub bound: Bound,
}

/// What a request would do to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    pub verb: Verb,
    pub on: MaskedText,
    pub columns: Vec<MaskedText>,
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Granted { by: Vec<Approver>, form: Form },
    Denied { by: Arc<str>, reason: Option<String> },
}

/// Why an answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxError {
    /// No such question waits: answered, expired, withdrawn, or never asked.
    NotWaiting,
    /// The approver is in none of the groups that the rule asks for.
    NotInGroup,
    /// The run's own human, or who started it, where the rule does not ask for the initiator.
    OwnRequest,
    Expired,
    /// `Form::Shape` for an action that may only be approved once, or for too long.
    ShapeNotAllowed,
}

impl std::fmt::Display for InboxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            InboxError::NotWaiting => {
                "no such request waits: it was answered, expired, withdrawn, or never asked"
            }
            InboxError::NotInGroup => "you are in none of the groups that this request needs",
            InboxError::OwnRequest => "the request is from a run of your own; somebody else must answer it",
            InboxError::Expired => "the request has expired",
            InboxError::ShapeNotAllowed => "this request can only be approved once, as it stands",
        })
    }
}

impl std::error::Error for InboxError {}

struct Waiting {
    pending: Pending,
    approved: Vec<Approver>,
    form: Form,
    answer: oneshot::Sender<Answer>,
}

/// All questions of one gateway. Clones share it.
#[derive(Clone, Default)]
pub struct Inbox {
    waiting: Arc<Mutex<BTreeMap<AskId, Waiting>>>,
}

impl Inbox {
    /// Questions that wait, oldest first.
    pub fn list(&self) -> Vec<Pending> {
        let mut all: Vec<Pending> = self.lock().values().map(|w| w.pending.clone()).collect();
        all.sort_by_key(|p| p.asked_at);
        all
    }

    /// One approval. The question is answered when every group that it names has approved.
    /// Returns the groups that are still missing.
    pub fn approve(
        &self,
        id: AskId,
        who: &Approver,
        form: Form,
        now: WallTime,
    ) -> Result<Vec<Group>, InboxError> {
        let mut waiting = self.lock();
        let entry = waiting.get_mut(&id).ok_or(InboxError::NotWaiting)?;
        let pending = &mut entry.pending;
        if now >= pending.expires {
            return Err(InboxError::Expired);
        }
        match form {
            Form::Shape { minutes }
                if !pending.shape_allowed || minutes == 0 || minutes > SHAPE_MINUTES_MAX =>
            {
                return Err(InboxError::ShapeNotAllowed);
            }
            Form::Shape { .. } | Form::Once => {}
        }
        let involved = pending.involved.iter().any(|name| **name == *who.name);
        let own = involved || *who.name == *pending.human || *who.name == *pending.by;
        let speaks_for = |group: &Group| match &*group.0 {
            INITIATOR => *who.name == *pending.human,
            _ => !own && who.groups.contains(group),
        };
        let before = pending.groups.len();
        let still: Vec<Group> = pending.groups.iter().filter(|g| !speaks_for(g)).cloned().collect();
        if still.len() == before {
            return Err(if own { InboxError::OwnRequest } else { InboxError::NotInGroup });
        }
        pending.groups = still.clone();
        entry.approved.push(who.clone());
        entry.form = narrower(entry.form, form, entry.approved.len() == 1);
        if still.is_empty() {
            self.answer(waiting, id, |w| Answer::Granted { by: w.approved.clone(), form: w.form });
        }
        Ok(still)
    }

    /// One no is enough; anybody who could approve may say it, and the run's own human too.
    pub fn deny(&self, id: AskId, who: &Approver, reason: Option<String>) -> Result<(), InboxError> {
        let waiting = self.lock();
        let pending = &waiting.get(&id).ok_or(InboxError::NotWaiting)?.pending;
        let concerned = *who.name == *pending.human || pending.groups.iter().any(|g| who.groups.contains(g));
        if !concerned {
            return Err(InboxError::NotInGroup);
        }
        self.answer(waiting, id, |_| Answer::Denied { by: who.name.clone(), reason });
        Ok(())
    }

    /// Puts a question. `None` if too many wait already: the caller refuses.
    pub(crate) fn put(&self, pending: Pending) -> Option<Wait> {
        let mut waiting = self.lock();
        if waiting.len() >= ASKS_MAX {
            return None;
        }
        let (answer, receiver) = oneshot::channel();
        let id = pending.id;
        waiting.insert(id, Waiting { pending, approved: Vec::new(), form: Form::Once, answer });
        Some(Wait { inbox: self.clone(), id, answer: receiver })
    }

    fn remove(&self, id: AskId) {
        self.lock().remove(&id);
    }

    fn answer(
        &self,
        mut waiting: MutexGuard<'_, BTreeMap<AskId, Waiting>>,
        id: AskId,
        answer: impl FnOnce(&Waiting) -> Answer,
    ) {
        if let Some(entry) = waiting.remove(&id) {
            let answer = answer(&entry);
            // The asker may be gone in this very moment; then it has withdrawn, and says so in the record.
            let _gone = entry.answer.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AskId, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The asker's end. Dropping it withdraws the question.
pub struct Wait {
    inbox: Inbox,
    pub id: AskId,
    answer: oneshot::Receiver<Answer>,
}

impl Wait {
    /// Resolves once. `None`: the question was withdrawn.
    pub async fn answered(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }

    /// The answer, if it is there.
    pub fn answered_already(&mut self) -> Option<Answer> {
        self.answer.try_recv().ok()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.inbox.remove(self.id);
    }
}

/// With several approvers the narrowest form counts.
fn narrower(have: Form, new: Form, first: bool) -> Form {
    match (have, new) {
        (_, new) if first => new,
        (Form::Shape { minutes: a }, Form::Shape { minutes: b }) => Form::Shape { minutes: a.min(b) },
        (Form::Once, _) | (_, Form::Once) => Form::Once,
    }
}
