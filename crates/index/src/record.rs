//! What a record says, typed. The contract is docs/RECORDS.md; each name here is the name there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use vocab::{RunId, Seq, WallTime};

/// Defines an enum of the words that a field may hold. A word that this version does not know is kept as it is.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that this version does not know. It is also a [`Flaw`] of its record.
            Strange(Arc<str>),
        }

        impl $name {
            pub fn parse(word: &str) -> $name {
                match word {
                    $($word => $name::$variant,)+
                    other => $name::Strange(other.into()),
                }
            }

            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)+
                    $name::Strange(word) => word,
                }
            }

            pub fn is_strange(&self) -> bool {
                matches!(self, $name::Strange(_))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// What policy said of a request.
    VerdictWord { Allow = "allow", Refuse = "refuse", Ask = "ask" }
);
words!(
    /// What is done to a resource: the words of `vocab::Verb`.
    VerbWord {
        Read = "read",
        Write = "write",
        Define = "define",
        Execute = "execute",
        Administer = "administer",
        Connect = "connect",
        Call = "call",
        Probe = "probe",
        Reveal = "reveal",
        Opaque = "opaque",
        Shell = "shell",
    }
);
words!(
    /// Where in a statement a column is used.
    At {
        Output = "output",
        Predicate = "predicate",
        Sort = "sort",
        Group = "group",
        Join = "join",
        Write = "write",
        WriteSource = "write-source",
    }
);
words!(
    /// What became of a value of a class.
    Disposition { Masked = "masked", Revealed = "revealed", Refused = "refused", Unknown = "unknown" }
);
words!(
    /// What was done about a tripwire's hit. `own` and `echo` do not break coverage.
    Act {
        Masked = "masked",
        Cut = "cut",
        Own = "own",
        Echo = "echo",
        /// A grant had shown the run the value before.
        Revealed = "revealed",
        /// Of a request: it was sent as it was, and this says so.
        Reported = "reported",
        /// Of a request: nothing of it was sent.
        Refused = "refused",
    }
);
words!(
    /// How an upstream answered.
    ResultWord {
        Ok = "ok",
        Error = "error",
        Cancelled = "cancelled",
        Refused = "refused",
        Indeterminate = "indeterminate",
        /// An error before it in the same pipeline came first.
        Skipped = "skipped",
    }
);
words!(
    /// Whether an outcome stands by itself or waits for its transaction.
    Stage { Final = "final", Pending = "pending" }
);
words!(
    /// What a transaction's own record says of the intents inside it.
    Settled { Committed = "committed", RolledBack = "rolled-back", Indeterminate = "indeterminate" }
);
words!(
    /// What became of an ask.
    ApprovalVerdict { Granted = "granted", Denied = "denied", Expired = "expired", Withdrawn = "withdrawn" }
);
words!(
    /// What an approval covers.
    Form { Once = "once", Shape = "shape" }
);

words!(
    /// How a decision's arguments say what was asked: they are the whole of it but for white space, it is one statement of
    /// theirs, it holds them, they hold it, or both name the same things.
    How { Same = "same", Part = "part", Holds = "holds", Within = "within", Like = "like" }
);

words!(
    /// Whose text it is in which both say the same.
    Side { Asked = "asked", Decided = "decided" }
);

/// One record as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub head: Head,
    pub body: Body,
    /// What this version could not read in it, in the order found. Empty for a record that was understood whole.
    pub flaws: Vec<Flaw>,
}

/// The part that every record has (FORMAT.md section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Arc<str>,
    pub seq: Seq,
    pub at: WallTime,
    /// The run and the record's place in it.
    pub run: Option<(RunId, u64)>,
    pub session: Option<u64>,
    pub of: Option<Seq>,
    pub payloads: Vec<Payload>,
}

/// A payload that stands beside a record: digest of the ciphertext, commitment to its key, length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    pub digest: [u8; 32],
    pub key: [u8; 32],
    pub bytes: u64,
}

/// Something in a record that this version could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The field, as a path in the body: `exposures.2.what`.
    pub field: Box<str>,
    pub kind: FlawKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// The field is not in docs/RECORDS.md as this version knows it.
    UnknownField,
    /// The field must be there and is not.
    Missing,
    /// The field holds something of another type or size.
    WrongType,
    /// The field holds a word that this version does not know.
    UnknownWord,
    /// The record has more flaws than are kept.
    More,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match self.kind {
            FlawKind::UnknownField => write!(f, "a field that this version does not know: {field}"),
            FlawKind::Missing => write!(f, "no field {field}"),
            FlawKind::WrongType => write!(f, "field {field} is not of the documented type"),
            FlawKind::UnknownWord => write!(f, "field {field} holds a word that this version does not know"),
            FlawKind::More => write!(f, "more that could not be read, after {field}"),
        }
    }
}

/// A record's body, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Genesis {
        origin: Arc<str>,
        key: Arc<str>,
        version: Arc<str>,
    },
    Start(Start),
    Stop {
        reason: Arc<str>,
    },
    Epoch(Epoch),
    Policy {
        hash: [u8; 32],
        text: Arc<str>,
        schema: [u8; 32],
    },
    Catalog {
        resource: Arc<str>,
        hash: [u8; 32],
        relations: u64,
        server: Arc<str>,
    },
    Heartbeat(Heartbeat),
    Gap(Gap),
    Watch {
        who: Arc<str>,
        verb: Arc<str>,
        subject: Arc<str>,
    },
    Admin {
        who: Arc<str>,
        verb: Arc<str>,
        subject: Arc<str>,
        result: Arc<str>,
    },
    Tombstone {
        run: RunId,
        who: Arc<str>,
        why: Arc<str>,
    },
    Open(Box<Open>),
    Close(Close),
    Connect(Box<Connect>),
    Disconnect(Disconnect),
    Intent(Box<Request>),
    Refusal(Box<Request>, Box<RefusalPart>),
    Ask(Box<Request>, Box<AskPart>),
    Approval(Box<Approval>),
    Outcome(Box<Outcome>),
    Chunk(Box<Chunk>),
    Plan(Box<Plan>),
    Decision(Box<Decision>),
    Note {
        what: Arc<str>,
        detail: Option<Arc<str>>,
        /// Where it says what a client was told.
        filter: Option<Vec<u8>>,
        coverage: Option<Coverage>,
    },
    /// A kind that this version does not know. The ledger keeps the record; the index keeps its head.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub version: Arc<str>,
    pub config: [u8; 32],
    pub policy: [u8; 32],
    pub durability: Arc<str>,
    pub recovered: u64,
    /// How many of those before it no checkpoint covered until then.
    pub adopted: u64,
    pub torn: u64,
}

/// The fingerprint key of the records from here on, sealed to each auditor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub epoch: u64,
    pub sealed: Vec<Vec<u8>>,
    pub auditors: Vec<[u8; 8]>,
    pub key: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub runs: u64,
    pub sessions: u64,
}

/// A stretch of time in which nothing could be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: WallTime,
    pub to: WallTime,
    pub refused: u64,
    /// How many of the refused have records of their own, before this one.
    pub told: u64,
    pub cut: u64,
    pub why: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub human: Arc<str>,
    pub by: Arc<str>,
    pub agent: Arc<str>,
    pub agent_version: Option<Arc<str>>,
    pub task: Option<Arc<str>>,
    pub parent: Option<RunId>,
    pub confined: bool,
    /// It reached the gateway's listeners and nothing else.
    pub jailed: bool,
    pub argv: Vec<Arc<str>>,
    pub uid: u64,
    /// Set if an issuer's token minted it, or the run around it.
    pub chain: Option<Delegation>,
}

/// What an issuer's token said of the run that it minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    pub issuer: Arc<str>,
    pub iss: Arc<str>,
    pub sub: Arc<str>,
    /// Who acted for the subject, in order: subject and issuer. The last one showed the token.
    pub acts: Vec<(Arc<str>, Option<Arc<str>>)>,
    pub jti: Option<Arc<str>>,
    pub token: [u8; 32],
    /// Seconds since 1970.
    pub exp: u64,
    /// The claims that decided.
    pub claims: Vec<(Arc<str>, Arc<str>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub count: u64,
    pub root: [u8; 32],
    pub why: Arc<str>,
    pub status: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub resource: Arc<str>,
    pub client: Arc<str>,
    pub upstream: Arc<str>,
    pub upstream_id: u64,
    pub tls_client: bool,
    pub tls_upstream: bool,
    pub role: Arc<str>,
    pub server: Arc<str>,
    pub options: BTreeMap<Arc<str>, Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    pub why: Arc<str>,
    pub client_bytes: u64,
    pub upstream_bytes: u64,
}

/// What was asked, and what policy said: the common part of `intent`, `refusal` and `ask`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub via: Arc<str>,
    /// The exact kind of the request (`SELECT`), where it is known.
    pub kind: Option<Arc<str>>,
    /// Groups whose approval the verdict counts on.
    pub approved: Vec<Arc<str>>,
    pub verbs: Vec<VerbWord>,
    pub touches: Vec<Touch>,
    pub functions: Vec<Arc<str>>,
    /// The statement as asked; literals are masked.
    pub statement: Arc<str>,
    /// The statement as sent, if it differs; literals are masked.
    pub sent: Option<Arc<str>>,
    pub asked: [u8; 32],
    pub sending: [u8; 32],
    pub params: Vec<Param>,
    /// Further Bind values, whose types and sizes stand in the payload.
    pub params_more: u64,
    pub verdict: VerdictWord,
    pub rules: Vec<Arc<str>>,
    pub policy: [u8; 32],
    pub request: [u8; 32],
    pub request_text: Option<Arc<str>>,
    pub opaque: Option<Arc<str>>,
    pub governed: Vec<Governed>,
    pub prints: Vec<[u8; 16]>,
    pub tx: Arc<str>,
    pub durability: Arc<str>,
    /// The decisions whose arguments say what is asked, as recorded. Of more than one, nobody can tell which it was.
    pub causes: Vec<Cause>,
    /// The decisions whose results it shows a model for the first time, as recorded.
    pub shows: Vec<Seq>,
    /// What detectors found in an HTTP request, and what of it went upstream. An older record has them in its outcome.
    pub tripwires: Vec<Tripwire>,
}

/// A decision that explains what was asked, by content: order and time alone explain nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The `seq` of the decision's record.
    pub decision: Seq,
    pub how: How,
    /// Of [`How::Like`]: how much of it both say, in percent.
    pub percent: Option<u64>,
    /// Where they say it; older records have none.
    pub span: Option<Span>,
}

/// Bytes of what was asked, or of a string of the decision's arguments, with one space for white space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub side: Side,
    pub from: u64,
    pub to: u64,
    /// The length of the whole text.
    pub of: u64,
}

/// One (verb, resource) pair, with the columns used and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    pub verb: VerbWord,
    pub on: Arc<str>,
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    pub name: Arc<str>,
    pub at: At,
}

/// A Bind value as recorded: its type, size and mask; never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    pub type_: u64,
    pub format: u64,
    pub size: i64,
    pub mask: Arc<str>,
    pub print: Option<[u8; 16]>,
}

/// A column whose reads were rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Governed {
    pub on: Arc<str>,
    pub class: Arc<str>,
    pub as_: Arc<str>,
}

/// What a refusal adds to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalPart {
    pub code: Arc<str>,
    pub message: Arc<str>,
    /// Bytes of the response had left before it was refused.
    pub partial: bool,
    /// When it was refused, if no record was possible then.
    pub late: Option<WallTime>,
}

/// What an ask adds to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskPart {
    pub ask: [u8; 16],
    pub groups: Vec<Arc<str>>,
    pub expires: WallTime,
    /// What it would change, as whoever was asked was shown.
    pub changes: Option<Arc<str>>,
    /// What an approver signed, if one did.
    pub bound: vocab::Bound,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub ask: [u8; 16],
    pub verdict: ApprovalVerdict,
    pub by: Option<Arc<str>>,
    pub form: Option<Form>,
    pub until: Option<WallTime>,
    /// Of a grant for a shape: for how long.
    pub minutes: Option<u64>,
    pub reason: Option<Arc<str>>,
    pub signatures: Vec<Signature>,
    /// Of early ledgers: one signature, of which the record does not say over what.
    pub signature: Option<Arc<str>>,
}

/// An approver's SSH signature over [`vocab::Bound::to_sign`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub by: Arc<str>,
    pub key: Arc<str>,
    pub signature: Arc<str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub result: ResultWord,
    pub state: Stage,
    pub settles: Vec<Seq>,
    pub settled: Option<Settled>,
    pub code: Option<Arc<str>>,
    pub tag: Option<Arc<str>>,
    pub rows: u64,
    pub bytes: u64,
    pub reasoning: Option<Arc<str>>,
    pub hosted: Vec<Arc<str>>,
    pub columns: Vec<ResultColumn>,
    pub exposures: Vec<Exposure>,
    pub tripwires: Vec<Tripwire>,
    pub filter: Option<Vec<u8>>,
    pub coverage: Coverage,
}

/// A column of a result as the client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    pub name: Arc<str>,
    pub type_: u64,
    pub on: Option<Arc<str>>,
}

/// Values of a class that were in a response, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub on: Arc<str>,
    pub class: Arc<str>,
    pub at: At,
    pub what: Disposition,
    pub by: Arc<str>,
    pub rows: u64,
    pub cells: u64,
    pub prints: Vec<[u8; 16]>,
}

/// A detector's hit on bytes that were released or asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tripwire {
    pub detector: Arc<str>,
    pub class: Arc<str>,
    pub channel: Arc<str>,
    pub act: Act,
}

/// How much of a response the mask understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    Complete,
    /// Not whole, and why.
    Partial(Arc<str>),
}

/// A tool call that a model issued, recorded before it reached the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its place in the model's answer, from 0.
    pub n: u64,
    pub model: Arc<str>,
    pub tool: Arc<str>,
    /// The provider's id of the call.
    pub call: Option<Arc<str>>,
    /// JSON, masked; of long arguments, the beginning.
    pub arguments: Arc<str>,
    pub step: Option<StepOf>,
    /// The decisions whose results hold a text of its arguments that no person said, as recorded.
    pub told_by: Vec<Seq>,
    /// Fingerprints of values of a class in the arguments.
    pub prints: Vec<[u8; 16]>,
}

/// A plan that a model stated, recorded before it reached the agent. It replaces the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How it was stated: `steps`, `todos`, `update-plan`, `ledger`, `tags`, `evidence`, `graph`.
    pub form: Arc<str>,
    pub steps: Vec<PlanStep>,
    /// Further steps, which are not in the record.
    pub more: u64,
    /// The `seq` of the tool call that handed it over.
    pub decision: Option<Seq>,
}

/// A step as the model put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// Masked.
    pub text: Arc<str>,
    /// What the plan says of it: `pending`, `in-progress`, `done`, `dropped`. Nothing proves it.
    pub status: Option<Arc<str>>,
}

/// The step that a decision belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOf {
    /// The `seq` of the plan's record.
    pub plan: Seq,
    /// From 0.
    pub n: u64,
    /// `named`, `quoted` or `status`.
    pub how: Arc<str>,
}

/// A released piece of a response, or of a COPY into the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub n: u64,
    pub to: Arc<str>,
    pub rows: u64,
    pub bytes: u64,
    /// Of governed values on their way upstream in a COPY.
    pub prints: Vec<[u8; 16]>,
    pub exposures: Vec<Exposure>,
    pub tripwires: Vec<Tripwire>,
    pub filter: Option<Vec<u8>>,
    /// On its way upstream: the commitment to the bytes.
    pub sending: Option<Vec<u8>>,
}
