//! The statement that runs instead.

use std::collections::BTreeSet;

use vocab::Class;

use crate::{Analysis, Governed, Names, Reason, Snapshot, Statement};

/// A place in the text that a rewrite changes.
#[derive(Clone, Debug)]
pub(crate) enum Site {}

/// The text to send.
#[derive(Clone, Debug, Default)]
pub struct Rewritten {
    /// `None`: the statement's own text, byte for byte.
    pub text: Option<String>,
    pub positions: PositionMap,
    /// Classes that the statement reads raw, because they are revealed.
    pub revealed: BTreeSet<Class>,
}

/// Maps error positions in the rewritten text back to the client's.
#[derive(Clone, Debug, Default)]
pub struct PositionMap {
    edits: Vec<(u32, u32, u32)>,
}

impl PositionMap {
    /// `position`: PostgreSQL's, characters from 1, in the text that was sent. The answer is in characters from 1 of
    /// [`Statement::text`]; a place inside an inserted piece maps to where the piece was put.
    pub fn original(&self, position: u32) -> u32 {
        let _ = &self.edits;
        position
    }
}

/// The statement with each read of a governed column masked, except for the classes in `revealed`.
///
/// Errors: the statement's own [`Analysis::refuse`]; a rewrite that does not parse to the tree that was meant.
pub fn rewrite(
    statement: &Statement,
    analysis: &Analysis,
    snapshot: &Snapshot,
    governed: &Governed,
    names: &Names,
    revealed: &BTreeSet<Class>,
) -> Result<Rewritten, Reason> {
    let _ = (statement, snapshot, governed, names, revealed);
    match analysis.refuse {
        Some(reason) => Err(reason),
        None => Ok(Rewritten::default()),
    }
}
