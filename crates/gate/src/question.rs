//! What is asked of the gate, and what is told to it afterwards. Everything that reaches a record is masked here.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::likeness::{Arguments, Asking, Saying};
use crate::limits::{BRIEF_MAX, PARAMS_MAX};
use crate::planned::StepOf;
use ledger::{Map, PayloadPlain, Print};
use mask::{Detectors, MaskedBytes, MaskedText};
use policy::Principal;
use vocab::{Access, Action, Class, Durability, ResourcePath, RuleId, RunId, Seq, SessionId};

/// Whose request it is: the run, and everybody above it.
#[derive(Clone)]
pub struct Who {
    pub run: RunId,
    pub session: SessionId,
    pub human: Arc<str>,
    pub by: Arc<str>,
    /// Who else stands between the human and the run: they approve nothing, either.
    pub involved: Arc<[Arc<str>]>,
    pub agent: Arc<str>,
    pub task: Option<MaskedText>,
    pub resource: Arc<str>,
    pub durability: Durability,
    /// This run and those above it. What one of them may not do, none may.
    pub principal: Principal,
    /// The root of the resource that the session is connected to.
    pub root: ResourcePath,
}

/// Where a session stands when a request arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tx {
    Idle,
    In,
    Failed,
}

impl Tx {
    pub fn as_str(self) -> &'static str {
        match self {
            Tx::Idle => "idle",
            Tx::In => "in",
            Tx::Failed => "failed",
        }
    }
}

/// A Bind value, as it is recorded.
#[derive(Clone)]
pub struct Param {
    /// Type OID; 0 where the client left it open.
    pub kind: u32,
    pub format: u16,
    /// Bytes; -1 is NULL.
    pub size: i64,
    pub mask: MaskedText,
    /// Classes of what detectors found in it.
    pub classes: Vec<Class>,
    pub print: Option<Print>,
    /// Its value as text, where it has one: held against what models decided, and not recorded.
    pub said: Option<Box<str>>,
}

/// A governed column that the statement reads, and the mask that stands for it.
#[derive(Clone)]
pub struct GovernedRead {
    pub on: ResourcePath,
    pub class: Class,
    pub kind: &'static str,
}

/// What is asked, whoever asks it and however often: the part of a request that is analysed once, and the fields of its
/// records, encoded once.
pub struct Subject {
    action: Action,
    statement: MaskedText,
    sent: Option<MaskedText>,
    /// `statement` with its values: for approvers, and in no record.
    says: Option<MaskedText>,
    record: Map,
    /// The same, where that is more than a record holds.
    brief: Map,
    /// A part of it that is not in `statement` at all.
    hidden: bool,
    /// Its shape is its bytes.
    exact: bool,
}

impl Subject {
    /// `statement` with its literals masked; `sent` is the rewritten text, literals masked, if it differs.
    pub fn new(
        detectors: &Detectors,
        action: Action,
        statement: MaskedText,
        sent: Option<MaskedText>,
        governed: &[GovernedRead],
    ) -> Subject {
        let touches: Vec<Map> = action.accesses.iter().map(|access| touch(detectors, access)).collect();
        let functions: Vec<MaskedText> =
            action.functions.iter().map(|name| mask::name(detectors, name)).collect();
        let governed: Vec<Map> = governed
            .iter()
            .map(|g| Map::new().put("on", g.on.clone()).put("class", g.class.clone()).put("as", g.kind))
            .collect();
        let record = |touches: Vec<Map>, functions: &[MaskedText], governed: &[Map]| {
            Map::new()
                .put("kind", action.kind)
                .put("verbs", action.verbs())
                .put("touches", touches)
                .put("functions", functions.to_vec())
                .put("statement", statement.clone())
                .put_some("sent", sent.clone())
                .put_some("opaque", action.opaque.map(|opaque| opaque.0))
                .put("governed", governed.to_vec())
        };
        let short = |access: &Access| {
            Map::new().put("verb", access.verb).put("on", mask::name(detectors, access.on.as_str()))
        };
        let brief = record(
            action.accesses.iter().take(BRIEF_MAX).map(short).collect(),
            &functions[..functions.len().min(BRIEF_MAX)],
            &governed[..governed.len().min(BRIEF_MAX)],
        );
        let brief = brief.put("touches_more", action.accesses.len().saturating_sub(BRIEF_MAX) as u64);
        let record = record(touches, &functions, &governed);
        Subject { action, statement, sent, says: None, record, brief, hidden: false, exact: false }
    }

    /// The same, where whoever approves it is shown its values, too: the statement with them, and the parameters.
    pub fn saying(self, says: Option<MaskedText>) -> Subject {
        Subject { says, ..self }
    }

    /// The same, where a part of what is asked cannot be shown: nobody is asked to approve it.
    pub fn hidden(self) -> Subject {
        Subject { hidden: true, ..self }
    }

    /// The same, where no part of what is asked may change under an approval of its shape: it has no literals that could
    /// be told from the rest.
    pub fn exact(self) -> Subject {
        Subject { exact: true, ..self }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    pub fn action(&self) -> &Action {
        &self.action
    }

    pub fn statement(&self) -> &MaskedText {
        &self.statement
    }

    pub fn sent(&self) -> Option<&MaskedText> {
        self.sent.as_ref()
    }

    /// See [`Subject::saying`].
    pub(crate) fn says(&self) -> Option<&MaskedText> {
        self.says.as_ref()
    }

    pub(crate) fn record(&self) -> &Map {
        &self.record
    }

    /// What a record says of it that could not hold all: the first of what it touches, without columns, and how much more there is.
    pub(crate) fn brief(&self) -> &Map {
        &self.brief
    }
}

/// A name that an agent chose (a channel, a new table) can hold a value: detectors look at names too.
fn touch(detectors: &Detectors, access: &Access) -> Map {
    let (on, _found) = mask::text(detectors, access.on.as_str());
    let map = Map::new().put("verb", access.verb).put("on", on);
    if access.columns.is_empty() {
        return map;
    }
    let columns: Vec<MaskedText> = access.columns.iter().map(|c| mask::name(detectors, &c.column)).collect();
    let positions: Vec<&'static str> = access.columns.iter().map(|c| c.position.as_str()).collect();
    map.put("cols", columns).put("at", positions)
}

/// One request.
pub struct Question<'a> {
    pub who: &'a Who,
    pub via: &'static str,
    pub subject: &'a Subject,
    pub params: Arc<[Param]>,
    pub prints: Vec<Print>,
    /// What detectors found in what is asked, and what becomes of it on its way upstream. An intent says it, and a refusal.
    pub tripwires: &'a [Tripped],
    pub tx: Tx,
    /// What the request says, where a model may have decided that it does: held against the run's decisions, and not
    /// recorded.
    pub said: Option<&'a str>,
    /// What it is that says it.
    pub asking: Asking<'a>,
    /// The decisions whose results the request shows a model for the first time.
    pub shows: &'a [Seq],
    /// A digest of all that is asked but who asks, where the bytes say that, too: the reel has a commitment to it, so that
    /// whoever asks it again can be held against it.
    pub whole: Option<&'a [u8]>,
    /// What it would change, as far as that can be told: for whoever is asked.
    pub changes: Option<&'a MaskedText>,
    /// What of it is too long for the statement, masked: it stands in the reel.
    pub body: Option<&'a MaskedBytes>,
    /// The client's bytes.
    pub asked: &'a [u8],
    /// The bytes for the upstream. Empty for what will be refused.
    pub sending: &'a [u8],
    /// What an approval binds to, where it is given to a message that comes again, on any connection of its run: what is
    /// asked and sent, without what numbers the message.
    pub again: Option<(&'a [u8], &'a [u8])>,
    /// See DESIGN section 3: whether the request may overtake its own intent.
    pub pure_read: bool,
}

impl Question<'_> {
    /// What it says, as it is held against decisions.
    pub fn saying(&self) -> Option<Saying<'_>> {
        // Those of a request over HTTP stand in its text.
        let params = if self.via == "request" { &[][..] } else { &self.params };
        let values = params.iter().filter_map(|param| param.said.as_deref()).collect();
        let unsaid = params.iter().any(|param| param.said.is_none());
        Some(Saying { text: self.said?, values, unsaid, action: self.subject.action(), asking: self.asking })
    }

    /// What was found in it, where none of it is sent.
    pub fn stayed(&self) -> Vec<Tripped> {
        self.tripwires.iter().map(|hit| Tripped { act: "refused", ..hit.clone() }).collect()
    }

    /// The bytes that an approval is of.
    pub(crate) fn bound(&self) -> (&[u8], &[u8]) {
        self.again.unwrap_or((self.asked, self.sending))
    }

    /// Whether an approver sees all of it: statement, what is sent instead, and each parameter.
    pub fn is_shown_whole(&self) -> bool {
        let texts = [Some(self.subject.statement()), self.subject.sent()];
        let whole = texts.into_iter().flatten().all(MaskedText::is_whole);
        whole && !self.subject.hidden && self.params.len() <= PARAMS_MAX
    }
}

/// A tool call that a model issued, as the agent is given it.
pub struct Decision<'a> {
    /// Its place in the answer, from 0.
    pub n: u64,
    pub model: &'a str,
    pub tool: &'a str,
    /// The provider's id.
    pub call: Option<&'a str>,
    /// JSON, as far as the model wrote JSON.
    pub arguments: &'a str,
    /// What they say.
    pub said: Arguments<'a>,
    /// The step of a plan that it carries out.
    pub step: Option<StepOf>,
    /// The decisions whose results hold a text of its arguments that no person said.
    pub told_by: &'a [Seq],
}

/// A value of a class that was in a response, and what became of it.
#[derive(Clone)]
pub struct Exposure {
    pub on: ResourcePath,
    pub class: Class,
    pub at: &'static str,
    /// `masked`, `revealed`, `refused`, `unknown`.
    pub what: &'static str,
    pub by: By,
    /// Of this record, not of those before it.
    pub rows: u64,
    pub cells: u64,
    pub prints: Vec<Print>,
}

/// What made a governed value what the client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The statement was rewritten.
    Rewrite,
    /// It stood at a place that a rule names.
    Path,
    /// A detector found it on its way out.
    Detector,
    /// Policy reveals the class, by this rule.
    Grant(RuleId),
}

/// A detector's hit in a response or request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tripped {
    pub detector: &'static str,
    pub class: Class,
    pub channel: &'static str,
    /// In an answer `masked`, `cut`, `own`, `echo`, `revealed`; in a request `masked`, `reported` (it is sent as it is), `refused`.
    pub act: &'static str,
}

/// How an intent ended.
#[derive(Default)]
pub struct Outcome {
    /// `ok`, `error`, `cancelled`, `refused`.
    pub result: &'static str,
    /// `final` or `pending`.
    pub state: &'static str,
    pub settles: Vec<Seq>,
    /// `committed`, `rolled-back`, `indeterminate`.
    pub settled: Option<&'static str>,
    pub code: Option<MaskedText>,
    pub tag: Option<MaskedText>,
    pub rows: u64,
    pub bytes: u64,
    /// The field `columns`, if the result has any: encoded once per result shape.
    pub columns: Map,
    /// Of a model: what it says that it thought.
    pub reasoning: Option<MaskedText>,
    /// Of a model: the kinds of what its provider did by itself.
    pub hosted: Vec<MaskedText>,
    pub exposures: Vec<Exposure>,
    pub tripwires: BTreeSet<Tripped>,
    pub filter: Option<mask::Filter>,
    /// Why coverage is partial; `None` is complete.
    pub partial: Option<&'static str>,
    /// Behind one another.
    pub reel: Vec<PayloadPlain>,
}

/// What a client is told that it did not ask for.
#[derive(Default)]
pub struct Told {
    /// Why coverage is partial; `None` is complete.
    pub partial: Option<&'static str>,
    pub filter: Option<mask::Filter>,
    /// Behind one another.
    pub reel: Vec<PayloadPlain>,
}

/// A piece of a response that is released before its end, or of a COPY on its way upstream.
#[derive(Default)]
pub struct Piece {
    pub n: u64,
    /// `client` or `upstream`.
    pub to: &'static str,
    pub rows: u64,
    pub bytes: u64,
    /// Of governed values that the client sent.
    pub prints: Vec<Print>,
    pub exposures: Vec<Exposure>,
    pub tripwires: BTreeSet<Tripped>,
    pub filter: Option<mask::Filter>,
    /// Behind one another.
    pub reel: Vec<PayloadPlain>,
}
