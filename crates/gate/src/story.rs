//! One request's story, told once: verdict, approval, intent, permit; then outcome and release.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use ledger::{
    AppendError, Code, Commitment, Digest, Draft, Kind, Ledger, Map, Opening, OperatorText, PayloadPlain,
    Print, Receipt,
};
use mask::{Detectors, MaskedText};
use policy::{Context, Policy, Request, What};
use vocab::{
    Access, Action, AskId, Bound, Class, Group, Opaque, PolicyHash, ResourcePath, RuleId, RunId, Seq, Tick,
    Verb, Verdict, WallTime,
};

use crate::cause::{Cause, Causes};
use crate::heard::Heard;
use crate::inbox::{Answer, Approver, Form, INITIATOR, Inbox, Pending, Signature, Touched, Wait};
use crate::likeness::{How, Span};
use crate::limits::{
    BODY_BYTES_SHOWN_MAX, BRIEF_MAX, PARAM_VALUES_BYTES_MAX, PARAMS_MAX, REQUESTS_PER_RUN_MAX, SETTLES_MAX,
    SHAPES_PER_RUN_MAX,
};
use crate::question::{By, Exposure, Outcome, Param, Piece, Question, Told, Tripped, Tx, Who};
use crate::token::Intent;

/// Why the gate cannot let anything through: evidence is not possible now.
#[derive(Debug)]
pub enum GateError {
    /// Nothing was recorded, so nothing may be sent.
    NoRecord(AppendError),
    /// The same, and the refusal that the client is told instead is in the record as soon as there is one.
    Late(AppendError),
    /// Too many questions wait.
    InboxFull,
    /// Nobody is asked to approve what cannot be shown whole.
    NotShown,
    /// The decision that policy relied on was carried out by another request meanwhile.
    Used,
}

impl std::fmt::Display for GateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GateError::NoRecord(why) | GateError::Late(why) => write!(f, "no record is possible: {why}"),
            GateError::InboxFull => f.write_str("too many requests wait for approval"),
            GateError::NotShown => f.write_str("it cannot be shown whole to who could approve it"),
            GateError::Used => f.write_str("what the model decided was carried out already"),
        }
    }
}

impl std::error::Error for GateError {}

impl From<ledger::NoRandom> for GateError {
    fn from(why: ledger::NoRandom) -> GateError {
        GateError::NoRecord(AppendError::Random(why))
    }
}

impl From<AppendError> for GateError {
    fn from(why: AppendError) -> GateError {
        GateError::NoRecord(why)
    }
}

/// What policy said, and of what.
#[derive(Clone, Debug)]
pub struct Decided {
    pub verdict: Verdict,
    pub rules: Vec<RuleId>,
    pub message: Option<Arc<str>>,
    pub policy: PolicyHash,
    /// Groups whose approval the decision already counts on.
    pub approved: BTreeSet<Group>,
    /// What was approved for this request itself; what it counts on beside that stands for its shape.
    given: BTreeMap<Group, Word>,
    /// The request as policy saw it, one per member of the chain; re-evaluates to the same verdict (P11).
    pub request: Arc<str>,
    /// The same as the record has it, made when it is first recorded.
    shown: OnceLock<Shown>,
    /// The verdict depends on nothing but agent, action and policy.
    pub cacheable: bool,
    /// Policy was told that a model decided this: the decision is used up when it is carried out.
    on_decision: bool,
    /// What every record of a request says of the decision, encoded once.
    record: Map,
}

/// A canonical request as a record has it. The digest is of the masked text: of what it masks, a digest beside it would
/// let a thief of the disk try every value (P4).
#[derive(Clone, Debug)]
struct Shown {
    text: MaskedText,
    digest: [u8; 32],
}

impl Decided {
    fn shown(&self, detectors: &Detectors) -> &Shown {
        self.shown.get_or_init(|| {
            let text = mask::lines(detectors, &self.request);
            Shown { digest: digest(text.as_str().as_bytes()), text }
        })
    }
}

/// A question that waits for a human.
pub struct Asked {
    pub id: AskId,
    pub seq: Seq,
    pub expires: WallTime,
    pub receipt: Option<Receipt>,
    wait: Wait,
    groups: BTreeSet<Group>,
    /// The rules that ask them.
    rules: BTreeSet<RuleId>,
    /// Those that the question counted on beside them: an answer's earlier ones, or standing grants.
    counted: BTreeSet<Group>,
    /// It is about an answer.
    of_answer: bool,
    shape: [u8; 32],
    binding: [u8; 32],
    /// The answer, where it was looked for and not yet spent.
    given: Option<Answer>,
}

impl Asked {
    /// Resolves when the human has answered; `None` if the question is gone.
    pub async fn answered(&mut self) -> Option<Answer> {
        match self.given.take() {
            Some(answer) => Some(answer),
            None => self.wait.answered().await,
        }
    }
}

/// What whoever approves is shown of parameters: their values as far as they are of no class, as many as fit.
fn told_values(detectors: &Detectors, params: &[Param]) -> Vec<Option<MaskedText>> {
    let mut left = PARAM_VALUES_BYTES_MAX;
    let value = |param: &Param| {
        let (shown, _) = mask::text(detectors, param.said.as_deref()?);
        left = left.checked_sub(shown.as_str().len())?;
        Some(shown)
    };
    params.iter().map(value).collect()
}

/// How a question ended, checked again when it is spent.
pub enum Spent {
    /// Allowed now, by these approvals.
    Allowed(Arc<Decided>),
    /// Denied, expired, withdrawn, or policy has changed meanwhile. The sentence is ours.
    Refused(Box<Decided>, &'static str),
}

struct Loaded {
    policy: Arc<Policy>,
    generation: u64,
    reads_decided: bool,
}

impl Loaded {
    fn new(policy: Arc<Policy>, generation: u64) -> Loaded {
        Loaded { reads_decided: policy.reads_decided(), policy, generation }
    }
}

/// What was approved for a group.
#[derive(Clone, Debug)]
struct Word {
    /// Who of the group has said so.
    by: BTreeSet<Arc<str>>,
    /// The rules that asked: what another rule asks of the group was not approved.
    rules: BTreeSet<RuleId>,
    until: WallTime,
}

/// Who has approved a shape.
type Shape = BTreeMap<Group, Word>;

/// Whether this person may speak for this group, now.
type Standing = Box<dyn Fn(&str, &Group) -> bool + Send + Sync>;

/// The gate of one gateway. Clones share it.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Ledger,
    detectors: Arc<Detectors>,
    inbox: Inbox,
    loaded: RwLock<Arc<Loaded>>,
    shapes: Mutex<HashMap<RunId, BTreeMap<[u8; 32], Shape>>>,
    recorded: Mutex<HashSet<[u8; 32]>>,
    requests: Mutex<HashMap<RunId, HashSet<[u8; 32]>>>,
    causes: Causes,
    heard: Heard,
    /// Who may approve. Where nobody says so, whoever could when they did.
    speaks: OnceLock<Standing>,
}

impl Gate {
    /// A gate over `policy`, whose text is recorded first.
    pub fn new(
        ledger: Ledger,
        detectors: Arc<Detectors>,
        policy: impl Into<Arc<Policy>>,
    ) -> Result<Gate, GateError> {
        let policy = policy.into();
        let gate = Gate {
            inner: Arc::new(Inner {
                ledger,
                detectors,
                inbox: Inbox::default(),
                loaded: RwLock::new(Arc::new(Loaded::new(policy, 0))),
                shapes: Mutex::default(),
                recorded: Mutex::default(),
                requests: Mutex::default(),
                causes: Causes::new(),
                heard: Heard::default(),
                speaks: OnceLock::new(),
            }),
        };
        gate.record_policy(&gate.loaded().policy)?;
        Ok(gate)
    }

    /// Takes a new policy. Decisions made before are decided again; waiting questions are checked when spent.
    pub fn reload(&self, policy: impl Into<Arc<Policy>>) -> Result<(), GateError> {
        let policy = policy.into();
        self.record_policy(&policy)?;
        let mut loaded = self.inner.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let generation = loaded.generation + 1;
        *loaded = Arc::new(Loaded::new(policy, generation));
        Ok(())
    }

    /// Is asked whenever an approval counts, whether the person who gave it may still speak for the group (of
    /// [`INITIATOR`]: whether that is still somebody who approves). Set once, before anything is asked.
    pub fn approvers(&self, speaks: impl Fn(&str, &Group) -> bool + Send + Sync + 'static) {
        // A second one would be another opinion of the same: the first holds.
        let _first_holds = self.inner.speaks.set(Box::new(speaks));
    }

    pub fn inbox(&self) -> &Inbox {
        &self.inner.inbox
    }

    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    pub fn detectors(&self) -> &Arc<Detectors> {
        &self.inner.detectors
    }

    /// Changes with every policy that is taken; a cached decision of an older generation is void.
    pub fn generation(&self) -> u64 {
        self.loaded().generation
    }

    pub fn policy_hash(&self) -> PolicyHash {
        self.loaded().policy.hash()
    }

    // --- 1. verdict

    /// What policy says of a request: of this run **and** of every run above it.
    pub fn verdict(&self, who: &Who, ground: &Ground<'_>, approved: &BTreeSet<Group>) -> Decided {
        let loaded = self.loaded();
        let request = self.request(who, ground, approved);
        decide(&loaded.policy, &request, approved.clone())
    }

    /// The classes that the run may see, of those given, with the rules that say so.
    pub fn reveals(
        &self,
        who: &Who,
        context: &Context,
        classes: &BTreeSet<Class>,
    ) -> BTreeMap<Class, RuleId> {
        let classes: Vec<Class> = classes.iter().cloned().collect();
        let context = self.circumstances(who, context);
        self.loaded().policy.reveals(&who.principal, &who.root, &context, &classes)
    }

    /// Whether what [`Gate::reveals`] says of `classes` may change with the context.
    pub fn reveals_by_context(&self, who: &Who, classes: &BTreeSet<Class>) -> bool {
        let loaded = self.loaded();
        classes.iter().any(|class| {
            loaded.policy.depends_on_context(&Request {
                principal: who.principal.clone(),
                resource: who.root.clone(),
                what: What::Reveal(class.clone()),
                context: Context::default(),
            })
        })
    }

    /// Whether any rule can concern what leaves the resource for the run.
    pub fn decides_releases(&self, who: &Who) -> bool {
        self.loaded().policy.decides_releases(&who.principal, &who.root)
    }

    /// Whether policy lets the run do nothing to the resource but connect and read.
    pub fn only_reads(&self, who: &Who) -> bool {
        self.loaded().policy.only_reads(&who.principal, &who.root)
    }

    /// Whether policy lets the run do `verb` to nothing in `on`, whatever is asked and whoever approves.
    pub fn never(&self, who: &Who, verb: Verb, on: &ResourcePath) -> bool {
        self.loaded().policy.never(&who.principal, verb, on)
    }

    /// What below the resource policy forbids to the run in some way or other, by name: what has all of something has those, too.
    pub fn forbidden_below(&self, who: &Who) -> BTreeSet<ResourcePath> {
        let loaded = self.loaded();
        let names = loaded.policy.forbidden_names(&who.principal);
        let below = |path: &ResourcePath| path.ancestors().any(|above| above == who.root.as_str());
        names.filter_map(ResourcePath::parse).filter(below).collect()
    }

    /// Whether policy lets the run do to the resource what cannot be known, now and at any other moment.
    pub fn permits_opaque(&self, who: &Who, kind: &str) -> bool {
        let action = Action { opaque: Some(Opaque("anything")), ..Action::default() };
        let context = Context { resource_kind: kind.into(), ..Context::default() };
        let ground = Ground { action: &action, context: &context, release: None };
        let decided = self.verdict(who, &ground, &BTreeSet::new());
        decided.verdict == Verdict::Allow && decided.cacheable
    }

    // --- 2. ask and spend

    /// Puts the question to the groups that `decided` asks for. Its record must be durable before anybody is told.
    /// `of` is the intent whose answer it is about, if it is about an answer.
    pub fn ask(
        &self,
        question: &Question<'_>,
        decided: &Decided,
        of: Option<Seq>,
        id: AskId,
        now: WallTime,
        expires: WallTime,
    ) -> Result<Asked, GateError> {
        let Verdict::Ask(groups) = &decided.verdict else { return Err(GateError::InboxFull) };
        if !question.is_shown_whole() {
            return Err(GateError::NotShown);
        }
        let who = question.who;
        let Drafted { mut draft, asked, sending, values, .. } = self.draft(Kind::Ask, question, decided)?;
        if let Some(of) = of {
            draft = draft.of(of);
        }
        let draft = draft.put("ask", id).put("groups", groups.clone()).put("expires", expires);
        let draft = draft.put_some("changes", question.changes.cloned());
        let receipt =
            self.inner.ledger.append(draft).map_err(|why| self.not_begun(question, decided, of, why))?;
        let verbs = question.subject.action().verbs();
        let subject = question.subject;
        let bound = Bound {
            ask: id,
            statement: subject.statement().as_str().into(),
            sent: subject.sent().map(|sent| sent.as_str().into()),
            params: question.params.iter().map(|param| param.mask.as_str().into()).collect(),
            values: values.as_ref().map(|values| *values.as_bytes()),
            asked: *asked.as_bytes(),
            sending: *sending.as_bytes(),
            request: decided.shown(&self.inner.detectors).digest,
            policy: decided.policy,
            expires,
        };
        let pending = Pending {
            id,
            seq: receipt.seq(),
            run: who.run,
            human: who.human.clone(),
            by: who.by.clone(),
            involved: who.involved.clone(),
            agent: who.agent.clone(),
            task: who.task.clone(),
            resource: who.resource.clone(),
            kind: question.subject.action().kind,
            statement: question.subject.statement().clone(),
            sent: question.subject.sent().cloned(),
            says: question.subject.says().cloned(),
            changes: question.changes.cloned(),
            touches: self.touches(question.subject.action()),
            params: question.params.iter().map(|param| param.mask.clone()).collect(),
            param_values: match question.subject.says() {
                Some(_) => told_values(&self.inner.detectors, &question.params),
                None => Vec::new(),
            },
            in_transaction: question.tx != Tx::Idle,
            because: question.saying().and_then(|said| self.inner.causes.because(who.run, &said)),
            groups: groups.clone(),
            rules: decided.rules.clone(),
            message: decided.message.clone(),
            asked_at: now,
            expires,
            shape_allowed: of.is_none()
                && !verbs
                    .iter()
                    .any(|v| matches!(v, Verb::Opaque | Verb::Shell | Verb::Define | Verb::Administer)),
            bound,
        };
        let wait = self.inner.inbox.put(pending).ok_or(GateError::InboxFull)?;
        let shape = shape(question, decided.policy);
        Ok(Asked {
            id,
            seq: receipt.seq(),
            expires,
            receipt: Some(receipt),
            wait,
            groups: groups.iter().cloned().collect(),
            rules: decided.rules.iter().cloned().collect(),
            counted: decided.approved.clone(),
            of_answer: of.is_some(),
            shape,
            binding: binding(question, decided.policy, expires),
            given: None,
        })
    }

    /// Spends an answer, once: the question must be the one that was asked, bit for bit, and policy must allow it
    /// with the approvals given, and the standing ones that the question counted on and that still stand. A grant for
    /// the shape stands only from here on: what is not carried out grants nothing. The `approval` record is queued before this returns; the intent follows it.
    pub fn spend(
        &self,
        asked: Asked,
        answer: Option<Answer>,
        question: &Question<'_>,
        ground: &Ground<'_>,
        now: WallTime,
    ) -> Result<Spent, GateError> {
        let stands = |decided: &Decided| {
            binding(question, decided.policy, asked.expires) == asked.binding
                && decided.verdict == Verdict::Allow
        };
        let granted = matches!(&answer, Some(Answer::Granted { .. })) && now < asked.expires;
        // Policy is asked again, of the hour in which it is carried out.
        let context = policy::Context { now, ..ground.context.clone() };
        let ground = Ground { context: &context, ..*ground };
        let given = match &answer {
            Some(Answer::Granted { by, .. }) if granted => self.given(&asked, question.who, by),
            _ => BTreeMap::new(),
        };
        let approved =
            if granted { self.approved(&asked, question, &given, &ground, now) } else { BTreeSet::new() };
        let decided = Decided { given, ..self.verdict(question.who, &ground, &approved) };
        let allowed = granted && stands(&decided);
        let verdict = self.answered(&asked, answer.as_ref(), question.who, now, allowed)?;
        let reason = match &answer {
            Some(Answer::Denied { reason, .. }) => reason.as_deref(),
            Some(Answer::Granted { .. }) | None => None,
        };
        if allowed {
            if let Some(Answer::Granted { form: Form::Shape { minutes }, .. }) = &answer {
                self.grant_shape(question.who.run, asked.shape, &decided.given, until(now, *minutes));
            }
            return Ok(Spent::Allowed(decided.into()));
        }
        let why = match verdict {
            "granted" => {
                "what was approved is not what would be sent, or policy or who may approve has changed"
            }
            "denied" => "a human denied this request",
            "expired" => "no human answered in time",
            _ => "the request was withdrawn",
        };
        // What the client is told: our sentence, and the person's reason if there is one.
        let told = match reason {
            Some(reason) => format!("{why}: {}", mask::text(&self.inner.detectors, reason).0.as_str()),
            None => why.to_owned(),
        };
        Ok(Spent::Refused(Decided { message: Some(told.into()), ..decided }.into(), why))
    }

    /// Ends a question that nobody waits for any longer: as it was answered, else expired or withdrawn. Errors: no record
    /// is possible; it can be tried again.
    pub fn lapse(&self, asked: &mut Asked, who: &Who, now: WallTime) -> Result<(), GateError> {
        asked.given = asked.given.take().or_else(|| asked.wait.answered_already());
        self.answered(asked, asked.given.as_ref(), who, now, false).map(|_verdict| ())
    }

    /// The signatures of those who signed, as recorded. They verify with the text that the ask's own record gives.
    fn signatures(&self, signers: &[Approver]) -> Vec<Map> {
        let signed = signers.iter().filter_map(|approver| {
            let Signature { key, armored } = approver.signature.as_ref()?;
            let (key, armored) = (OperatorText::new(key)?, OperatorText::new(armored)?);
            let by = mask::text(&self.inner.detectors, &approver.name).0;
            Some(Map::new().put("by", by).put("key", key).put("signature", armored))
        });
        signed.collect()
    }

    /// Records how a question ended. `allowed`: what was granted is carried out, so that a shape stands from here on.
    fn answered(
        &self,
        asked: &Asked,
        answer: Option<&Answer>,
        who: &Who,
        now: WallTime,
        allowed: bool,
    ) -> Result<&'static str, GateError> {
        let late = now >= asked.expires;
        let (verdict, by, form, reason) = match answer {
            Some(Answer::Granted { .. }) if late => ("expired", None, None, None),
            Some(Answer::Granted { by, form }) => {
                let names: Vec<&str> = by.iter().map(|a| &*a.name).collect();
                ("granted", Some(names.join(", ")), Some(*form), None)
            }
            Some(Answer::Denied { by, reason }) => ("denied", Some(by.to_string()), None, reason.clone()),
            None if late => ("expired", None, None, None),
            None => ("withdrawn", None, None, None),
        };
        let signers = match answer {
            Some(Answer::Granted { by, .. }) => by.as_slice(),
            Some(Answer::Denied { .. }) | None => &[],
        };
        let masked = |text: &str| mask::text(&self.inner.detectors, text).0;
        let mut draft = Draft::new(Kind::Approval)
            .run(who.run)
            .session(who.session)
            .of(asked.seq)
            .put("ask", asked.id)
            .put("verdict", verdict)
            .put_some("by", by.as_deref().map(masked))
            .put_some("form", form.map(Form::as_str))
            .put_some("reason", reason.as_deref().map(masked))
            .put_some("signatures", Some(self.signatures(signers)).filter(|all| !all.is_empty()));
        if let Some(Form::Shape { minutes }) = form {
            draft = draft.put("minutes", minutes);
            draft = draft.put_some("until", allowed.then(|| until(now, minutes)));
        }
        // The approval record precedes the intent in the ledger, so the intent's receipt covers it.
        let _covered_by_the_intent = self.inner.ledger.append(draft)?;
        Ok(verdict)
    }

    /// Approvals that live grants for this statement's shape in this run give: under this very policy, for the rules that
    /// `decided` (without any approval) says ask for them, and by people who still may. What could not be shown has no shape.
    pub fn standing(&self, question: &Question<'_>, decided: &Decided, now: WallTime) -> BTreeSet<Group> {
        if !question.is_shown_whole() {
            return BTreeSet::new();
        }
        let shape = shape(question, decided.policy);
        let words = self.words(question.who.run, &shape, now);
        self.good(question.who, &words, decided, now)
    }

    /// Whether policy still lets go what was decided and waits to be sent, as of now, with the approvals that it counted on as
    /// far as they are still good.
    pub fn still(
        &self,
        question: &Question<'_>,
        ground: &Ground<'_>,
        decided: &Decided,
        now: WallTime,
    ) -> bool {
        let context = policy::Context { now, ..ground.context.clone() };
        let ground = Ground { context: &context, ..*ground };
        let bare = self.verdict(question.who, &ground, &BTreeSet::new());
        if bare.policy != decided.policy || bare.verdict == Verdict::Allow {
            return bare.policy == decided.policy;
        }
        let standing = self.standing(question, &bare, now);
        let good = &self.good(question.who, &decided.given, &bare, now) | &standing;
        let approved = &good & &decided.approved;
        let again = self.verdict(question.who, &ground, &approved);
        again.policy == decided.policy && again.verdict == Verdict::Allow
    }

    fn words(&self, run: RunId, key: &[u8; 32], now: WallTime) -> Shape {
        let mut shapes = self.inner.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_run) = shapes.get_mut(&run) else { return Shape::new() };
        of_run.retain(|_, shape| {
            shape.retain(|_, word| word.until > now);
            !shape.is_empty()
        });
        of_run.get(key).cloned().unwrap_or_default()
    }

    /// The groups of `words` that count for what policy says in `bare`, without them.
    fn good(&self, who: &Who, words: &Shape, bare: &Decided, now: WallTime) -> BTreeSet<Group> {
        let policy = self.loaded().policy.clone();
        let asks = |group: &Group, word: &Word| {
            policy
                .asking(group)
                .filter(|rule| bare.rules.contains(*rule))
                .all(|rule| word.rules.contains(rule))
        };
        let good = |(group, word): &(&Group, &Word)| {
            word.until > now && asks(group, word) && word.by.iter().any(|name| self.speaks(who, name, group))
        };
        if policy.hash() != bare.policy {
            return BTreeSet::new();
        }
        words.iter().filter(good).map(|(group, _)| group.clone()).collect()
    }

    /// Whether that person may speak for that group now.
    fn speaks(&self, who: &Who, name: &str, group: &Group) -> bool {
        let own = &*group.0 != INITIATOR || *name == *who.human;
        own && self.inner.speaks.get().is_none_or(|speaks| speaks(name, group))
    }

    /// What those who answered have said, each for the groups that they were in then.
    fn given(&self, asked: &Asked, who: &Who, by: &[Approver]) -> BTreeMap<Group, Word> {
        let speakers = |group: &Group| {
            let of =
                |a: &&Approver| &*group.0 == INITIATOR && *a.name == *who.human || a.groups.contains(group);
            by.iter().filter(of).map(|a| a.name.clone()).collect()
        };
        let word =
            |group: &Group| Word { by: speakers(group), rules: asked.rules.clone(), until: asked.expires };
        asked.groups.iter().map(|group| (group.clone(), word(group))).collect()
    }

    /// Everybody whose word counts for a question that was granted.
    fn approved(
        &self,
        asked: &Asked,
        question: &Question<'_>,
        given: &BTreeMap<Group, Word>,
        ground: &Ground<'_>,
        now: WallTime,
    ) -> BTreeSet<Group> {
        let bare = self.verdict(question.who, ground, &BTreeSet::new());
        let given = self.good(question.who, given, &bare, now);
        let counted = match asked.of_answer {
            true => asked.counted.clone(),
            false => {
                let words = self.words(question.who.run, &asked.shape, now);
                &asked.counted & &self.good(question.who, &words, &bare, now)
            }
        };
        &given | &counted
    }

    /// Forgets what is kept about a run that is over.
    pub fn forget(&self, run: RunId) {
        self.inner.shapes.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        self.inner.causes.forget(run);
        self.inner.heard.forget(run);
    }

    // --- 3. intent

    /// Records what is about to be sent. The intent becomes a permit once it is durable.
    pub fn intend(
        &self,
        question: &Question<'_>,
        decided: &Decided,
        asked: Option<Seq>,
        now: Tick,
    ) -> Result<Intent, GateError> {
        let Drafted { mut draft, opening, sending, .. } = self.draft(Kind::Intent, question, decided)?;
        let now_is = self.inner.ledger.now();
        let used = || {
            question.saying().is_some_and(|said| self.inner.causes.use_up(question.who.run, &said, now_is))
        };
        if decided.on_decision && !used() {
            return Err(GateError::Used);
        }
        if let Some(asked) = asked {
            draft = draft.of(asked);
        }
        if question.pure_read {
            // It may be overtaken, and its outcome waits for both: one sync for the two.
            draft = draft.with_next();
        }
        let receipt =
            self.inner.ledger.append(draft).map_err(|why| self.not_begun(question, decided, asked, why))?;
        Ok(Intent::new(receipt, opening, sending, question.pure_read, now))
    }

    /// What would have begun a request could not be recorded: that it is refused for this is in the record as soon as
    /// there is one again.
    fn not_begun(
        &self,
        question: &Question<'_>,
        decided: &Decided,
        of: Option<Seq>,
        why: AppendError,
    ) -> GateError {
        if !matches!(
            why,
            AppendError::NotAdmitted(_) | AppendError::Failed | AppendError::Full | AppendError::TooLarge
        ) {
            return why.into();
        }
        let (params, prints, stayed) = (question.params.clone(), question.prints.clone(), question.stayed());
        let refused = Question { sending: &[], params, prints, tripwires: &stayed, ..*question };
        match self.refuse(&refused, decided, Code::new(*b"58030"), "no record was possible", of, false) {
            Ok(_queued) => GateError::Late(why),
            Err(error) => error,
        }
    }

    /// Records that a request was refused, and why. The client's error may leave once the receipt is durable.
    /// `partial`: it is an answer that was refused, and some of it had left.
    pub fn refuse(
        &self,
        question: &Question<'_>,
        decided: &Decided,
        code: Option<Code>,
        why: &'static str,
        of: Option<Seq>,
        partial: bool,
    ) -> Result<Receipt, GateError> {
        let message = mask::text(&self.inner.detectors, decided.message.as_deref().unwrap_or(why)).0;
        let refuse = |drafted: Drafted| {
            let draft = of.into_iter().fold(drafted.draft, Draft::of).put_some("code", code);
            let draft = draft.put("message", message.clone());
            self.inner.ledger.refuse(draft.put_some("partial", partial.then_some(true)))
        };
        let refused = match refuse(self.draft(Kind::Refusal, question, decided)?) {
            // Whatever is refused is recorded, if not all of it.
            Err(AppendError::TooLarge) => refuse(self.draft_brief(question, decided)?),
            refused => refused,
        };
        refused.map_err(|why| match why {
            AppendError::Failed | AppendError::Full => GateError::Late(why),
            _ => GateError::NoRecord(why),
        })
    }

    // --- 4. outcome

    /// Records how an intent ended. What the client is told of it leaves once the receipt is durable.
    pub fn outcome(&self, who: &Who, of: Seq, outcome: Outcome) -> Result<Receipt, GateError> {
        let draft = Draft::new(Kind::Outcome)
            .run(who.run)
            .session(who.session)
            .of(of)
            .put("result", outcome.result)
            .put("state", outcome.state)
            .put_some("settled", outcome.settled)
            .put_some("code", outcome.code)
            .put_some("tag", outcome.tag)
            .put("rows", outcome.rows)
            .put("bytes", outcome.bytes)
            .put_some("reasoning", outcome.reasoning)
            .put_some("hosted", Some(outcome.hosted).filter(|hosted| !hosted.is_empty()))
            .put("exposures", exposures(&outcome.exposures))
            .put("tripwires", tripwires(&outcome.tripwires))
            .put_some("filter", outcome.filter);
        let mut settles = outcome.settles.chunks(SETTLES_MAX);
        let mut draft = match settles.next() {
            Some(first) => draft.put("settles", first.to_vec()),
            None => draft,
        };
        draft = draft.with(&outcome.columns);
        draft = match outcome.partial {
            None => draft.put("coverage", "complete"),
            Some(why) => draft.put("coverage", why),
        };
        draft = outcome.reel.into_iter().fold(draft, Draft::payload);
        let receipt = self.inner.ledger.append(draft)?;
        let rest: Vec<Seq> = settles.flatten().copied().collect();
        match (rest.is_empty(), outcome.settled) {
            (false, Some(how)) => self.settle(who, rest, how),
            (true, _) | (_, None) => Ok(receipt),
        }
    }

    /// Records a piece of a response before it leaves, or what a COPY on its way upstream holds.
    pub fn piece(&self, who: &Who, of: Seq, mut piece: Piece) -> Result<Receipt, GateError> {
        let reel = std::mem::take(&mut piece.reel);
        Ok(self.inner.ledger.append(reel.into_iter().fold(chunk(who, of, piece), Draft::payload))?)
    }

    /// A piece on its way upstream (of a COPY, a body, a program's input): an intent of its own, that belongs to the request's.
    pub fn piece_upstream(
        &self,
        who: &Who,
        of: Seq,
        piece: Piece,
        sending: &[u8],
        now: Tick,
    ) -> Result<Intent, GateError> {
        self.piece_sent(who, of, piece, sending, now, true)
    }

    /// The same of what may be a secret that nobody shows: the record commits to it, and nobody can open that. A byte that is typed
    /// would be found by 256 guesses.
    pub fn piece_unopened(
        &self,
        who: &Who,
        of: Seq,
        piece: Piece,
        sending: &[u8],
        now: Tick,
    ) -> Result<Intent, GateError> {
        self.piece_sent(who, of, piece, sending, now, false)
    }

    fn piece_sent(
        &self,
        who: &Who,
        of: Seq,
        mut piece: Piece,
        sending: &[u8],
        now: Tick,
        opens: bool,
    ) -> Result<Intent, GateError> {
        let (opening, [commitment]) = self.inner.ledger.commitments([sending])?;
        let reel = std::mem::take(&mut piece.reel);
        let draft = chunk(who, of, piece).put("sending", commitment);
        let draft = match opens {
            true => draft.payload(opening.clone().into_payload("copy", Map::new())),
            false => draft,
        };
        let receipt = self.inner.ledger.append(reel.into_iter().fold(draft, Draft::payload))?;
        Ok(Intent::new(receipt, opening, commitment, false, now))
    }

    /// Records what became of intents whose transaction has ended: an outcome of the last of them, that settles all.
    pub fn settle(&self, who: &Who, settles: Vec<Seq>, how: &'static str) -> Result<Receipt, GateError> {
        let Some(last) = settles.last().copied() else {
            return Err(GateError::NoRecord(AppendError::Malformed("nothing to settle")));
        };
        let outcome =
            Outcome { result: "ok", state: "final", settles, settled: Some(how), ..Outcome::default() };
        self.outcome(who, last, outcome)
    }

    // --- 5. decisions: `decisions.rs`

    /// Records that something happened that is neither asked nor answered.
    pub fn note(&self, who: &Who, of: Option<Seq>, what: &'static str) -> Result<Receipt, GateError> {
        let mut draft = Draft::new(Kind::Note).run(who.run).session(who.session).put("what", what);
        if let Some(of) = of {
            draft = draft.of(of);
        }
        Ok(self.inner.ledger.append(draft)?)
    }

    /// The same, of something that the client is told.
    pub fn note_told(&self, who: &Who, what: &'static str, told: Told) -> Result<Receipt, GateError> {
        let draft = Draft::new(Kind::Note)
            .run(who.run)
            .session(who.session)
            .put("what", what)
            .put_some("filter", told.filter)
            .put("coverage", told.partial.unwrap_or("complete"));
        Ok(self.inner.ledger.append(told.reel.into_iter().fold(draft, Draft::payload))?)
    }

    /// The same, about something that a peer named.
    pub fn note_of(&self, who: &Who, of: Seq, what: &'static str, name: &str) -> Result<Receipt, GateError> {
        let draft = Draft::new(Kind::Note).run(who.run).session(who.session).of(of).put("what", what);
        Ok(self.inner.ledger.append(draft.put("detail", mask::text(&self.inner.detectors, name).0))?)
    }

    // --- what the above share

    pub(crate) fn causes(&self) -> &Causes {
        &self.inner.causes
    }

    pub(crate) fn heard(&self) -> &Heard {
        &self.inner.heard
    }

    pub(crate) fn reads_decided(&self) -> bool {
        self.loaded().reads_decided
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.inner.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record_policy(&self, policy: &Policy) -> Result<(), GateError> {
        let hash = policy.hash();
        let mut recorded = self.inner.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if !recorded.insert(hash.0) {
            return Ok(());
        }
        let Some(text) = OperatorText::new(policy.canonical_text()) else {
            return Err(GateError::NoRecord(AppendError::TooLarge));
        };
        let draft = Draft::new(Kind::Policy)
            .put("hash", hash)
            .put("text", text)
            .put("schema", Digest(policy.schema_hash()));
        // Queued before any decision that names it, so it is durable before any permit under it.
        let _before_every_decision = self.inner.ledger.append(draft)?;
        Ok(())
    }

    fn draft(&self, kind: Kind, question: &Question<'_>, decided: &Decided) -> Result<Drafted, GateError> {
        self.draft_of(kind, question, decided, false)
    }

    /// A refusal of what is more than a record holds.
    fn draft_brief(&self, question: &Question<'_>, decided: &Decided) -> Result<Drafted, GateError> {
        self.draft_of(Kind::Refusal, question, decided, true)
    }

    fn draft_of(
        &self,
        kind: Kind,
        question: &Question<'_>,
        decided: &Decided,
        brief: bool,
    ) -> Result<Drafted, GateError> {
        let who = question.who;
        let said = if kind == Kind::Ask { said_before(question) } else { Vec::new() };
        let (opening, [asked, sending, whole, values]) = self.inner.ledger.commitments([
            question.asked,
            question.sending,
            question.whole.unwrap_or_default(),
            &said,
        ])?;
        let values = Some(values).filter(|_| !said.is_empty());
        let shown = decided.shown(&self.detectors_of(who));
        let mut draft = Draft::new(kind)
            .run(who.run)
            .session(who.session)
            .with(if brief { question.subject.brief() } else { question.subject.record() })
            .put("via", question.via)
            .put("asked", asked)
            .put("sending", sending)
            .put_some("values", values)
            .with(&decided.record)
            .put("request", Digest(shown.digest))
            .put("tx", question.tx.as_str())
            .put("durability", who.durability.as_str());
        let most = if brief { BRIEF_MAX } else { PARAMS_MAX };
        let (params, more) = question.params.split_at(question.params.len().min(most));
        let prints = question.prints.iter().chain(more.iter().filter_map(|p| p.print.as_ref()));
        draft = draft
            .put("params", params.iter().map(param).collect::<Vec<Map>>())
            .put("prints", prints.copied().collect::<Vec<Print>>());
        let mut reel = Map::new().put_some("whole", question.whole.map(|_| whole));
        if !more.is_empty() {
            draft = draft.put("params_more", more.len() as u64);
            reel = reel.put("params", more.iter().map(|p| (p.kind, p.format, p.size)).collect::<Vec<_>>());
        }
        if !question.tripwires.is_empty() && kind != Kind::Ask {
            draft = draft.put("tripwires", tripwires(question.tripwires));
        }
        let causes = question.saying().map(|said| self.inner.causes.of(who.run, &said)).unwrap_or_default();
        if !causes.is_empty() {
            draft = draft.put("causes", causes.iter().map(cause).collect::<Vec<Map>>());
        }
        if !question.shows.is_empty() {
            draft = draft.put("shows", question.shows.to_vec());
        }
        // Where it was not recorded for its length, it is not there the next time either.
        if !brief && self.first_request(who.run, shown.digest) {
            draft = draft.put("request_text", &shown.text);
        }
        draft = draft.payload(opening.clone().into_payload("asked", reel));
        if let Some(body) = question.body {
            let shown = 0..body.as_bytes().len().min(BODY_BYTES_SHOWN_MAX);
            let data = body.pieces(std::slice::from_ref(&shown));
            draft = draft.payload(PayloadPlain::new("http", Map::new().put("data", data)));
        }
        Ok(Drafted { draft, opening, asked, sending, values })
    }

    /// An action as an approver sees it. A name can hold a value, as in a record: detectors have looked at it.
    fn touches(&self, action: &Action) -> Vec<Touched> {
        let detectors = &self.inner.detectors;
        let touched = |access: &Access| Touched {
            verb: access.verb,
            on: mask::text(detectors, access.on.as_str()).0,
            columns: {
                let used = access.columns.iter().map(|used| &used.column).collect::<BTreeSet<_>>();
                used.into_iter().map(|column| mask::name(detectors, column)).collect()
            },
        };
        // That not everything is known comes first.
        let unknown = action.opaque.map(|Opaque(why)| Touched {
            verb: Verb::Opaque,
            on: MaskedText::constant(why),
            columns: Vec::new(),
        });
        unknown.into_iter().chain(action.accesses.iter().map(touched)).collect()
    }

    fn first_request(&self, run: RunId, request: [u8; 32]) -> bool {
        let mut requests = self.inner.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let of_run = requests.entry(run).or_default();
        if of_run.len() >= REQUESTS_PER_RUN_MAX {
            of_run.clear();
        }
        of_run.insert(request)
    }

    /// Those who were asked approve the shape until then; others that did go on as they were.
    fn grant_shape(&self, run: RunId, key: [u8; 32], given: &BTreeMap<Group, Word>, until: WallTime) {
        let mut shapes = self.inner.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        let of_run = shapes.entry(run).or_default();
        if of_run.contains_key(&key) || of_run.len() < SHAPES_PER_RUN_MAX {
            let shape = of_run.entry(key).or_default();
            shape.extend(given.iter().map(|(group, word)| (group.clone(), Word { until, ..word.clone() })));
        }
    }

    fn request(&self, who: &Who, ground: &Ground<'_>, approved: &BTreeSet<Group>) -> Request {
        let approvals = approved.iter().cloned().collect();
        Request {
            principal: who.principal.clone(),
            resource: who.root.clone(),
            what: match ground.release {
                Some(so_far) => What::Release(so_far),
                None => {
                    What::Action { accesses: ground.action.accesses.clone(), opaque: ground.action.opaque }
                }
            },
            context: Context { approvals, ..self.circumstances(who, ground.context) },
        }
    }

    /// The circumstances that a protocol tells, with those that are the same for all: the run's task, and the time, unless it is
    /// told. So that no protocol can forget one, and a rule about it say nothing.
    fn circumstances(&self, who: &Who, told: &Context) -> Context {
        let now = Some(told.now).filter(|now| now.0 > 0).unwrap_or_else(|| self.inner.ledger.now());
        let task = who.task.as_ref().map(|task| task.as_str().into());
        Context { task, now, ..told.clone() }
    }
}

fn until(now: WallTime, minutes: u32) -> WallTime {
    WallTime(now.0.saturating_add(u64::from(minutes) * 60_000_000_000))
}

/// What a verdict is about: an action before there are bytes to send, or its answer before a piece of it leaves.
pub struct Ground<'a> {
    pub action: &'a Action,
    pub context: &'a Context,
    /// The answer so far, where it is the answer that is decided.
    pub release: Option<policy::Release>,
}

fn decide(policy: &Policy, request: &Request, approved: BTreeSet<Group>) -> Decided {
    let decision = policy.decide(request);
    let canonical: Arc<str> = request.canonical().into();
    let groups: Vec<Group> = approved.iter().cloned().collect();
    let record = Map::new()
        .put("verdict", decision.verdict.as_str())
        .put("rules", &decision.rules)
        .put("policy", policy.hash())
        .put_some("approved", Some(groups).filter(|groups| !groups.is_empty()));
    Decided {
        record,
        verdict: decision.verdict,
        rules: decision.rules,
        message: decision.message.map(Arc::from),
        policy: policy.hash(),
        approved,
        given: BTreeMap::new(),
        shown: OnceLock::new(),
        request: canonical,
        on_decision: request.context.decided.is_some(),
        cacheable: !policy.depends_on_context(request),
    }
}

/// A record of a request in the making, and what it commits to.
struct Drafted {
    draft: Draft,
    opening: Opening,
    asked: Commitment,
    sending: Commitment,
    /// To what was said before, of a question.
    values: Option<Commitment>,
}

/// What the bytes asked stand for, where earlier messages said it: the statement as it is shown, and each parameter, every one behind
/// its length. Empty where the bytes say all.
fn said_before(question: &Question<'_>) -> Vec<u8> {
    let mut said = Vec::new();
    let mut part = |text: &str| {
        said.extend_from_slice(&(text.len() as u64).to_be_bytes());
        said.extend_from_slice(text.as_bytes());
    };
    if !question.params.is_empty() {
        part(question.subject.statement().as_str());
        question.params.iter().for_each(|param| part(param.said.as_deref().unwrap_or(param.mask.as_str())));
    }
    said
}

/// Everything that an approval binds to (P8): bytes asked, bytes to be sent, what they stand for (of an Execute the statement and its
/// parameters were said before), resolved action, session, run, policy, expiry.
fn binding(question: &Question<'_>, policy: PolicyHash, expires: WallTime) -> [u8; 32] {
    let mut all = sha();
    let (asked, sending) = question.bound();
    // The statement of what comes again has its number; what it says stands in the bytes asked.
    let statement = question.again.is_none().then_some(question.subject.statement());
    let shown = [statement, question.subject.sent()];
    let shown = shown.into_iter().flatten().map(|text| text.as_str().as_bytes());
    for part in [asked, sending].into_iter().chain(shown) {
        all.update(&(part.len() as u64).to_be_bytes());
        all.update(part);
    }
    for param in question.params.iter() {
        all.update(&param.kind.to_be_bytes());
        all.update(&param.size.to_be_bytes());
    }
    all.update(&said_before(question));
    does(question.subject.action(), &mut all);
    all.update(&question.who.run.0);
    // What comes again may come on another connection.
    let session = question.again.is_none().then_some(question.who.session.0);
    all.update(&session.unwrap_or_default().to_be_bytes());
    all.update(question.tx.as_str().as_bytes());
    all.update(&policy.0);
    all.update(&expires.0.to_be_bytes());
    finish(all)
}

/// The same tree and relations, literals free: the masked text, what it was rewritten to, what it does, and where it goes, under one
/// policy. What is not masked whole ([`Question::is_shown_whole`]) has none.
fn shape(question: &Question<'_>, policy: PolicyHash) -> [u8; 32] {
    let mut all = sha();
    all.update(&policy.0);
    // The statement of what comes again has its number; what it says stands in the bytes below.
    let statement = question.again.is_none().then_some(question.subject.statement());
    let sent = question.subject.sent();
    let texts = [statement, sent].map(|text| text.map_or("", |text| text.as_str()));
    for part in [&*question.who.resource].into_iter().chain(texts) {
        all.update(&(part.len() as u64).to_be_bytes());
        all.update(part.as_bytes());
    }
    does(question.subject.action(), &mut all);
    if question.subject.is_exact() || question.again.is_some() {
        all.update(question.bound().0);
    }
    finish(all)
}

/// All that an action does: its kind, each resource with its columns and where they are used, and the functions.
fn does(action: &Action, all: &mut ring::digest::Context) {
    let mut part = |text: &str| {
        all.update(&(text.len() as u64).to_be_bytes());
        all.update(text.as_bytes());
    };
    part(action.kind);
    part(action.opaque.map_or("", |opaque| opaque.0));
    for access in &action.accesses {
        part("access");
        part(access.verb.as_str());
        part(access.on.as_str());
        for used in &access.columns {
            part(&used.column);
            part(used.position.as_str());
        }
    }
    part("functions");
    action.functions.iter().for_each(|name| part(name));
}

fn chunk(who: &Who, of: Seq, piece: Piece) -> Draft {
    let prints = Some(piece.prints).filter(|prints| !prints.is_empty());
    Draft::new(Kind::Chunk)
        .run(who.run)
        .session(who.session)
        .of(of)
        .put("n", piece.n)
        .put("to", piece.to)
        .put("rows", piece.rows)
        .put("bytes", piece.bytes)
        .put_some("prints", prints)
        .put("exposures", exposures(&piece.exposures))
        .put("tripwires", tripwires(&piece.tripwires))
        .put_some("filter", piece.filter)
}

fn cause(cause: &Cause) -> Map {
    let map = Map::new().put("decision", cause.decision).put("how", cause.how.as_str());
    let map = map.put_some("percent", (cause.how == How::Like).then_some(u64::from(cause.percent)));
    let place = |span: &Span| {
        let map = Map::new().put("in", span.of.as_str()).put("from", span.from as u64);
        map.put("to", span.to as u64).put("of", span.bytes as u64)
    };
    map.put_some("span", cause.span.as_ref().map(place))
}

fn param(param: &crate::question::Param) -> Map {
    Map::new()
        .put("type", u64::from(param.kind))
        .put("format", u64::from(param.format))
        .put("size", param.size)
        .put("mask", param.mask.clone())
        .put_some("print", param.print)
}

fn exposures(all: &[Exposure]) -> Vec<Map> {
    all.iter()
        .map(|e| {
            let map = Map::new()
                .put("on", e.on.clone())
                .put("class", e.class.clone())
                .put("at", e.at)
                .put("what", e.what)
                .put("rows", e.rows)
                .put("cells", e.cells);
            let map = match &e.by {
                By::Rewrite => map.put("by", "rewrite"),
                By::Path => map.put("by", "path"),
                By::Detector => map.put("by", "detector"),
                By::Grant(rule) => map.put("by", "grant").put("rule", rule.clone()),
            };
            match e.prints.is_empty() {
                true => map,
                false => map.put("prints", e.prints.clone()),
            }
        })
        .collect()
}

fn tripwires<'a>(all: impl IntoIterator<Item = &'a Tripped>) -> Vec<Map> {
    all.into_iter()
        .map(|t| {
            Map::new()
                .put("detector", t.detector)
                .put("class", t.class.clone())
                .put("channel", t.channel)
                .put("act", t.act)
        })
        .collect()
}

fn sha() -> ring::digest::Context {
    ring::digest::Context::new(&ring::digest::SHA256)
}

fn finish(context: ring::digest::Context) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut context = sha();
    context.update(bytes);
    finish(context)
}
