//! What a command line does: verbs on programs, files and hosts, below the host and the user that it runs as.
//!
//! | resource | what |
//! |---|---|
//! | `NAME` | the host |
//! | `NAME/USER` | what cannot be told apart there |
//!
//! A command line is not read yet: all of it is `opaque`, beside `execute` on the user.

use vocab::{Access, Action, Opaque, ResourcePath, Verb};

/// The kind of a command, as policy and records have it.
pub(super) const EXEC: &str = "EXEC";

const NOT_READ: &str = "a command line, which is not read";
const NOT_TEXT: &str = "a command line that is not text in UTF-8";

/// What running `command` as `user` does. `None` for the text: it is none.
pub(super) fn of(root: &ResourcePath, user: &str, command: &[u8]) -> Action {
    let readable = std::str::from_utf8(command).is_ok_and(|text| !text.contains('\0'));
    Action {
        accesses: vec![Access { verb: Verb::Execute, on: root.join(user), columns: Vec::new() }],
        functions: Vec::new(),
        kind: EXEC,
        opaque: Some(Opaque(if readable { NOT_READ } else { NOT_TEXT })),
    }
}

/// What is asked for that is neither a command nor carried: `kind` names it.
pub(super) fn beside(root: &ResourcePath, user: &str, kind: &'static str) -> Action {
    Action {
        accesses: vec![Access { verb: Verb::Execute, on: root.join(user), columns: Vec::new() }],
        functions: Vec::new(),
        kind,
        opaque: Some(Opaque("it is not carried")),
    }
}
