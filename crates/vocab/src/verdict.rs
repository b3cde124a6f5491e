//! What policy said.

use std::fmt;
use std::sync::Arc;

/// The id of a rule: its `@id` annotation, or `file.cedar#n`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub Arc<str>);

/// A group of people that can approve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub Arc<str>);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What policy says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Refuse,
    /// Allowed once every group in the list has approved. Never empty.
    Ask(Vec<Group>),
}

impl Verdict {
    /// The word used in records.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Refuse => "refuse",
            Verdict::Ask(_) => "ask",
        }
    }
}
