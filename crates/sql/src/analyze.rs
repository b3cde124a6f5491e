//! From a tree to what it does.

use vocab::ResourcePath;

use crate::{Analysis, Governed, Names, Reason, Snapshot, Statement, Vouched};

/// What `statement` does. `root` is the resource's path; names are resolved as the server would in a session with
/// `names`. Never fails: what is not understood is opaque or refused.
pub fn analyze(
    statement: &Statement,
    snapshot: &Snapshot,
    governed: &Governed,
    names: &Names,
    vouched: &Vouched,
    root: &ResourcePath,
) -> Analysis {
    let _ = (statement, snapshot, governed, names, vouched, root);
    Analysis { refuse: Some(Reason::refused("The gateway cannot analyse statements yet.")), ..Analysis::default() }
}
