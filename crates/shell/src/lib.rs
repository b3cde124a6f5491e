//! What a command line does, as a shell would read it: programs, arguments, files, hosts.
//!
//! An agent's command reaches a host as text (SSH's `exec`), and the host's shell decides what it means. This crate reads the text
//! as that shell does ([`line`]), or the words of a program that no shell reads ([`argv`], `kubectl exec`), and says what runs, in order ([`Command`]), which files and hosts it
//! names, and where it cannot be said ([`Opaque`]). Pure: no IO, clock or randomness, and no protocol.
//!
//! # Which shell
//!
//! sshd gives the line to the user's login shell with `-c`. The reading holds for bash 5, dash and what else follows POSIX,
//! and mostly for zsh, in the locales C and UTF-8. It is bash's reading; where dash's (or zsh's) is another one, that is noted
//! ([`Line::differences`]), and the caller refuses the line or takes it as opaque unless it knows that the shell is bash.
//! What zsh adds to all lines (global aliases, several outputs of one command, `*(e:code:)`) is a syntax error here, or a
//! file too many. fish, csh and tcsh are other languages: the caller must know the login shell and refuse those.
//!
//! # Why the grammar is our own
//!
//! The two parsers of the field that may be linked (yash-syntax is GPL) were tried, and each reads a command as harmless
//! text that bash runs. brush-parser 0.4.0 reads `echo \$'a\'; rm x; '` as one `echo`; `~` before 20 digits is a panic,
//! sixteen `{` take a second and each more doubles it, 2,000 nested groups overflow the stack, and 69 crates stand below it.
//! tree-sitter-bash 0.25.1 finds no command in `` ${x:-`rm a`} ``, and reads the redirection in `[ a > b ]` as a comparison,
//! both without an error. The judges of this reading are the shells themselves: the tests in `tests/it/shells.rs` compare
//! it with what dash and bash make of the same line.
//!
//! # What it rests on
//!
//! One pass that cannot go back, a depth that is counted before it is entered, and no default: a character, an option or a
//! program's language that is not understood is refused or opaque. A program that is not in the tables is a plain program
//! with its words ([`Reading::Words`]); which files those words mean is not said. A pattern stands for names of files; that one
//! of them may look like an option makes a command opaque only where an option of the program starts another program. What a program does of itself, by its
//! configuration on the host, is not in the line and not said either.
//!
//! Reading order: `line` (what comes out) -> `read/` (text -> `syntax`) -> `expand` (words -> arguments), `names` and `beside` (what else words do) -> `walk` (tree ->
//! commands) -> `programs/` (what arguments mean).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod beside;
mod expand;
pub mod limits;
mod line;
mod names;
mod programs;
mod read;
mod syntax;
mod walk;

pub use line::{
    Arg, Assignment, Base, Command, Difference, FileAccess, FileUse, HostUse, Inside, Line, Literal,
    LiteralKind, Opaque, Place, Program, Reading, Redirection, RedirectionKind, Refused, RefusedKind, Span,
    User, Value,
};

/// Reads one command line of at most [`limits::TEXT_BYTES_MAX`] bytes, as a login shell is given it with `-c`.
///
/// Errors (side: client): [`Refused`], where the line is no command line, where shells read it in ways that are not followed
/// here, or where it is too long or too deep. An empty line, and one of comments, does nothing and is read as such.
pub fn line(text: &[u8]) -> Result<Line, Refused> {
    match std::str::from_utf8(text) {
        Ok(text) => walk::line(text),
        Err(bad) => Err(Refused { at: bad.valid_up_to() as u32, kind: RefusedKind::NotUtf8 }),
    }
}

/// Reads the words that a program is started with where no shell is between (`kubectl exec`, an argument vector): quotes,
/// patterns, variables and operators in them are text. What the program makes of them is read as in a line: `sh -c TEXT` runs
/// the lines of TEXT. A name that shells have built in (`cd`) is read as theirs, though it may be no program at all.
///
/// Positions are those in the words with one space between each two.
///
/// Errors (side: client): [`Refused`], where the words are together longer than [`limits::TEXT_BYTES_MAX`], are more than
/// [`limits::NODES_MAX`], or have a control character. No words do nothing.
pub fn argv(words: &[&str]) -> Result<Line, Refused> {
    walk::argv(words)
}
