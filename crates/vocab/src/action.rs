//! What one request does.

use crate::ResourcePath;

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Read,
    Write,
    /// Create, alter or drop (DDL).
    Define,
    /// Run something that is neither plain read nor write: a function by name, a command, a session effect.
    Execute,
    /// Roles, privileges, server settings, maintenance.
    Administer,
    Connect,
    /// A tool or a model.
    Call,
    /// Let predicates or aggregates see raw governed values.
    Probe,
    /// See a class unmasked.
    Reveal,
    /// An action that cannot be known.
    Opaque,
    /// Sit at a terminal: what is typed there is no action of its own.
    Shell,
}

impl Verb {
    pub const ALL: [Verb; 11] = [
        Verb::Read,
        Verb::Write,
        Verb::Define,
        Verb::Execute,
        Verb::Administer,
        Verb::Connect,
        Verb::Call,
        Verb::Probe,
        Verb::Reveal,
        Verb::Opaque,
        Verb::Shell,
    ];

    /// The word used in policy and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Define => "define",
            Verb::Execute => "execute",
            Verb::Administer => "administer",
            Verb::Connect => "connect",
            Verb::Call => "call",
            Verb::Probe => "probe",
            Verb::Reveal => "reveal",
            Verb::Opaque => "opaque",
            Verb::Shell => "shell",
        }
    }

    pub fn parse(word: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|v| v.as_str() == word)
    }
}

/// Where in a statement a column is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    Output,
    Predicate,
    Sort,
    Group,
    Join,
    /// The column is written.
    Write,
    /// The column is read as the source of a write.
    WriteSource,
}

impl Position {
    pub fn as_str(self) -> &'static str {
        match self {
            Position::Output => "output",
            Position::Predicate => "predicate",
            Position::Sort => "sort",
            Position::Group => "group",
            Position::Join => "join",
            Position::Write => "write",
            Position::WriteSource => "write-source",
        }
    }
}

/// A column of the resource that an [`Access`] names, and where it is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnUse {
    pub column: Box<str>,
    pub position: Position,
}

/// One (verb, resource) pair of an action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    pub verb: Verb,
    pub on: ResourcePath,
    /// Columns used, sorted, without duplicates; empty where the resource has none.
    pub columns: Vec<ColumnUse>,
}

/// Why an action could not be known: a constant sentence, never text of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opaque(pub &'static str);

/// What one request does. A request is allowed only if **every** access in it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    pub accesses: Vec<Access>,
    /// Schema-qualified names of functions that are not known to be harmless, sorted.
    pub functions: Vec<Box<str>>,
    /// The exact kind of the request (`SELECT`, `CREATE TABLE`, ...), a constant.
    pub kind: &'static str,
    /// Set if any part is beyond what we can resolve; needs the verb `opaque`.
    pub opaque: Option<Opaque>,
}

impl Action {
    /// The distinct verbs, sorted; `opaque` included.
    pub fn verbs(&self) -> Vec<Verb> {
        let mut verbs: Vec<Verb> = self.accesses.iter().map(|a| a.verb).collect();
        if self.opaque.is_some() {
            verbs.push(Verb::Opaque);
        }
        verbs.sort();
        verbs.dedup();
        verbs
    }
}
