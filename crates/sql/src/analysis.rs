//! What was found out about one statement.

use std::collections::BTreeSet;

use vocab::{Action, Class, MaskKind, Opaque, Position, ResourcePath};

use crate::rewrite::Site;

/// What one statement does, and what must become of it. Plain data: valid for the statement, snapshot, rules and names
/// that it was made from.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// Every (verb, resource) pair. Never empty: what touches nothing is `connect` on the database.
    pub action: Action,
    /// Governed columns in reach, each with where it is used. Their classes are what `reveal` is asked for.
    pub governed: Vec<GovernedUse>,
    /// Functions in reach that are not on the allow-list of pure functions, triggers and view bodies included.
    pub functions: Vec<FunctionUse>,
    /// What the statement does to its session, in order.
    pub effects: Vec<Effect>,
    /// Only allow-listed stable or immutable functions, no locking clause, no write, no user code in reach.
    pub pure_read: bool,
    /// Something governed is in reach while user code may run (a trigger, a function, an operator): messages of the
    /// upstream's must be rebuilt from templates.
    pub user_code: bool,
    /// The statement cannot run with masking, whatever policy says.
    pub refuse: Option<Reason>,
    /// Names that the statement looked up and that do not exist in the snapshot (a fresh one may know them).
    pub unresolved: bool,
    /// Governed relations that are renamed, moved, attached, replaced or shadowed: an `administer` access on each is
    /// among the action's, and rules must be bound again afterwards.
    pub redefines: Vec<ResourcePath>,
    /// Functions that it calls by name and whose effects are not known, as its own text names them, whether they exist or not.
    pub unknown_calls: Vec<String>,
    /// The number of `$n` parameters.
    pub parameters: u32,
    /// The statement writes: a class revealed to the run is masked all the same, so that nothing raw is copied.
    pub writes: bool,
    /// Its transaction may hold locks behind it that others wait for: of what it writes, changes or locks, or of what cannot be known.
    pub locks: bool,
    /// What it does to advisory locks of its session, which outlive its transaction.
    pub session_locks: SessionLocks,
    /// What it runs or reads by a name of the session's. What that means changes with what the session prepares, so the
    /// analysis holds for this once.
    pub by_name: Option<ByName>,
    /// What a COPY carries, if any of it is governed.
    pub carried: Option<Carried>,
    /// Of which type each field of a COPY is, where that is known.
    pub copied: Vec<Option<CopyType>>,
    pub(crate) sites: Vec<Site>,
}

impl Analysis {
    /// Whether a statement of the same text does the same by this as by the other: what it touches, governed or not, and
    /// what runs with it. Places in the text are not compared.
    pub fn is_like(&self, other: &Analysis) -> bool {
        let seen = |of: &Analysis| {
            let Analysis { action, governed, functions, effects, redefines, carried, copied, .. } =
                of.clone();
            let refused = of.refuse.map(|why| why.code);
            let copies = (carried, copied);
            (action, governed, functions, effects, redefines, copies, of.user_code, of.writes, refused)
        };
        seen(self) == seen(other)
    }

    /// What it runs cannot be known, for a reason that its text does not tell.
    pub fn is_beyond(&mut self, sentence: &'static str) {
        self.action.opaque.get_or_insert(Opaque(sentence));
        self.effects.push(Effect::Set { name: "search_path".to_owned(), value: None, local: false });
        (self.user_code, self.locks, self.pure_read) = (true, true, false);
    }

    /// The classes of the governed columns in reach.
    pub fn classes(&self) -> BTreeSet<Class> {
        self.governed.iter().map(|use_| use_.class.clone()).collect()
    }
}

/// A governed column that the statement reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GovernedUse {
    /// `resource/database/schema/table/column`.
    pub path: ResourcePath,
    pub relation: u32,
    pub attnum: i16,
    pub class: Class,
    pub kind: MaskKind,
    /// Sorted, without duplicates. Empty: the relation is read and this column of it is not.
    pub positions: Vec<Position>,
}

/// What a statement does to advisory locks that its session holds until it lets them go, or ends. Only calls by name are seen:
/// a lock that user code takes is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionLocks {
    /// It takes none. It may release some one by one, and which is not followed.
    #[default]
    Untouched,
    /// It calls a function that takes one, if it is free. Rolling back does not release it.
    Takes,
    /// Done, it leaves none: `SELECT pg_advisory_unlock_all()` and nothing else, or DISCARD ALL.
    Releases,
}

/// What a name of the session's stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByName {
    /// A prepared statement: EXECUTE.
    Statement(String),
    /// A cursor, or a portal of the protocol: FETCH, MOVE.
    Cursor(String),
}

/// The stream of a COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub form: CopyForm,
    /// Its first row are names.
    pub header: bool,
    /// The governed column behind each field; `None`: nothing governed, or not a column as it is.
    pub fields: Vec<Option<CopyField>>,
}

/// How a COPY stream is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyForm {
    Text { delimiter: u8, null: Vec<u8> },
    Csv { delimiter: u8, quote: u8, escape: u8, null: Vec<u8> },
    Binary,
}

/// A governed column that a COPY carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyField {
    pub relation: u32,
    pub attnum: i16,
    pub class: Class,
    pub type_oid: u32,
}

/// The type of a field of a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyType {
    pub oid: u32,
    /// The field is a column as it is. Else it is made of one, and may be of another type.
    pub as_it_is: bool,
}

/// A function that the statement may run and that is not a pure one of the allow-list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionUse {
    pub schema: String,
    pub name: String,
    pub kind: FunctionKind,
    /// `i`, `s` or `v`, as in pg_proc.
    pub volatility: char,
    /// Empty if unknown.
    pub owner: String,
    pub security_definer: bool,
}

/// Why a function is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionKind {
    /// Of PostgreSQL's own, volatile or with an effect, and known: an `execute`, `write` or `administer` access.
    Known,
    /// Of a user's or extension's, and vouched for by the operator: an `execute` access.
    Vouched,
    /// Run by a trigger, default, index or constraint of a relation that is written.
    Trigger,
    /// Anything else: the action is opaque.
    Unknown,
}

/// What a statement does to the session that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Begin {
        read_only: Option<bool>,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint {
        name: String,
    },
    RollbackTo {
        name: String,
    },
    Release {
        name: String,
    },
    /// `value` is `None` for `TO DEFAULT` and where it is not a constant. `local`: until the transaction ends.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    SetTransaction {
        read_only: Option<bool>,
    },
    Reset {
        name: String,
    },
    ResetAll,
    DiscardAll,
    DiscardPlans,
    DiscardTemp,
    Prepare {
        name: String,
    },
    Execute {
        name: String,
    },
    /// `None`: all.
    Deallocate {
        name: Option<String>,
    },
    DeclareCursor {
        name: String,
        hold: bool,
    },
    Fetch {
        name: String,
    },
    /// `None`: all.
    CloseCursor {
        name: Option<String>,
    },
    Listen {
        channel: String,
    },
    Unlisten {
        channel: Option<String>,
    },
    Notify {
        channel: String,
    },
    /// A temporary relation comes into being.
    CreatesTemp {
        name: String,
    },
    /// The catalog changes: resolve through the session's own connection until its transaction ends.
    /// `governed`: a relation with governed columns, or a view over one, is among what changes.
    Ddl {
        governed: bool,
    },
    Show {
        name: String,
    },
    CopyIn,
    CopyOut,
}

/// Why a statement cannot run: constants only, so that it may be shown to anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// SQLSTATE.
    pub code: &'static str,
    pub sentence: &'static str,
    /// Where in the statement's text, in bytes from its start.
    pub at: Option<usize>,
}

impl Reason {
    pub(crate) const fn refused(sentence: &'static str) -> Reason {
        Reason { code: "42501", sentence, at: None }
    }
}
