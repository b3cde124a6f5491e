//! How a command ends: its exit code, and the one sentence that says what, where and what to do.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of every command (`tacho --help` documents them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The answer is no: not verified, exposed, refused, not found.
    No = 1,
    /// Wrong use: flags, configuration, policy.
    Usage = 2,
    /// Could not: a file, a socket, an upstream.
    CouldNot = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what was asked. Holds sentences for the operator, never payload bytes.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// One sentence each; several where all errors are reported at once.
    pub lines: Vec<String>,
}

/// What a command returns: its own exit code, or why it could not go on.
pub type Outcome = Result<ExitCode, Failure>;

impl Failure {
    pub fn no(line: impl Into<String>) -> Failure {
        Failure { exit: Exit::No, lines: vec![line.into()] }
    }

    pub fn usage(line: impl Into<String>) -> Failure {
        Failure { exit: Exit::Usage, lines: vec![line.into()] }
    }

    pub fn could_not(line: impl Into<String>) -> Failure {
        Failure { exit: Exit::CouldNot, lines: vec![line.into()] }
    }

    /// `io` with the path it happened at and what to do about it.
    pub fn file(did: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
        let advice = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "run as the user that owns it",
            std::io::ErrorKind::StorageFull => "free some space",
            _ => "see the reason above",
        };
        Failure::could_not(format!("cannot {did} {}: {error}; {advice}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}
