//! scp's own protocol, sans-IO: what `scp -t` and `scp -f` speak on their standard input and output. OpenSSH's scp.c is the
//! only description; its client speaks SFTP by default since 9.0, and this with `-O`.
//!
//! One side is the **source**, which has the files, the other the **sink**. With `-t` the host is the sink and the client
//! the source, with `-f` it is the other way round. The source says lines (`C` a file, `D` a directory, `E` its end, `T`
//! times), the sink answers each with a byte, and behind an answered `C` comes as much content as its line said.
//! **The length is law**: content cannot end a file early or late.
//!
//! **Refused**: names with a slash, `.` and `..` on both sides; of a source, what was not asked for (CVE-2019-6111); `D`
//! without `-r`, `T` without `-p`; lines that OpenSSH does not write. Escape sequences in names and messages
//! (CVE-2019-6110) are for [`shown`](crate::path::shown).
//!
//! A mask changes no length here either: [`session::Content::replace`].
//!
//! Reading order: [`mod@line`] (bytes <-> lines and answers) -> [`session`] (whose turn it is, on which path).

pub mod line;
pub mod session;

use crate::limits::WORDS_MAX;
use wire::RawField;

/// What an exec of scp asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub host: Host,
    /// `-r`: directories.
    pub recursive: bool,
    /// `-p`: times and modes.
    pub preserve: bool,
    /// `-d`: the target is a directory.
    pub directory: bool,
    /// Of a sink one, the target; of a source all that it is to read.
    pub paths: Vec<Word>,
}

/// What the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// `-f`: files are read from it.
    Source,
    /// `-t`: files are written to it.
    Sink,
}

/// A word of a command line, its quotes undone. One that the line alone does not tell (`$X`, `~`) has no form here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: RawField,
    /// It has `*`, `?` or `[` outside of quotes, which the host's shell expands; what was quoted of it is escaped with `\`.
    pub pattern: bool,
}

impl Command {
    /// Reads the words behind `scp`, at most [`WORDS_MAX`], of one simple command without assignments and redirections; the
    /// caller has read the line as a shell would. `None` for everything but the host's side of the protocol: what else scp
    /// does is a command like others.
    pub fn read(words: &[Word]) -> Option<Command> {
        if words.len() > WORDS_MAX {
            return None;
        }
        let mut host = None;
        let mut command = Command {
            host: Host::Sink,
            recursive: false,
            preserve: false,
            directory: false,
            paths: Vec::new(),
        };
        let mut left = words.iter();
        while let Some(word) = left.next() {
            let text = word.text.as_bytes();
            match text {
                b"--" => {
                    command.paths.extend(left.by_ref().cloned());
                }
                [b'-', flags @ ..] if !flags.is_empty() && !word.pattern => {
                    for flag in flags {
                        match flag {
                            b't' if host.is_none() => host = Some(Host::Sink),
                            b'f' if host.is_none() => host = Some(Host::Source),
                            b'r' => command.recursive = true,
                            b'p' => command.preserve = true,
                            b'd' => command.directory = true,
                            b'v' | b'q' => {}
                            _ => return None,
                        }
                    }
                }
                // POSIX: options end at the first word that is none.
                _ => {
                    command.paths.push(word.clone());
                    command.paths.extend(left.by_ref().cloned());
                }
            }
        }
        command.host = host?;
        let one = command.paths.len() == 1 && command.paths.iter().all(|word| !word.pattern);
        let paths = match command.host {
            Host::Sink => one,
            Host::Source => {
                !command.paths.is_empty() && command.paths.iter().all(Word::is_plain_but_for_its_name)
            }
        };
        paths.then_some(command)
    }
}

impl Word {
    pub fn literal(text: &[u8]) -> Word {
        Word { text: RawField::copy_from(text), pattern: false }
    }

    pub fn pattern(text: &[u8]) -> Word {
        Word { text: RawField::copy_from(text), pattern: true }
    }

    /// Whether its directory is known: a pattern may stand in the last name only.
    pub(crate) fn is_plain_but_for_its_name(&self) -> bool {
        let text = self.text.as_bytes();
        let directory =
            text.iter().rposition(|b| *b == b'/').and_then(|slash| text.get(..slash)).unwrap_or_default();
        let ends_in_slash = text.last() == Some(&b'/');
        !self.pattern || !(ends_in_slash || directory.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'\\')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words apart by spaces; one with a star is a pattern.
    fn read(line: &str) -> Option<Command> {
        let word = |text: &str| Word {
            text: RawField::copy_from(text.as_bytes()),
            pattern: text.contains(['*', '?']),
        };
        Command::read(&line.split(' ').map(word).collect::<Vec<_>>())
    }

    #[test]
    fn the_host_side_of_scp_is_read() {
        let scp = |line: &str| {
            let command = read(line)?;
            let paths: Vec<&str> = command.paths.iter().map(|word| word.text.to_str().unwrap()).collect();
            let flag = |is: bool, flag: char| is.then_some(flag);
            let flags: String =
                [flag(command.recursive, 'r'), flag(command.preserve, 'p'), flag(command.directory, 'd')]
                    .into_iter()
                    .flatten()
                    .collect();
            let host = if command.host == Host::Sink { "to" } else { "from" };
            Some(format!("{host} {flags}: {}", paths.join(" ")))
        };
        for (line, expect) in [
            ("-t -- path", Some("to : path")),
            ("-t path", Some("to : path")),
            ("-v -r -p -d -t -- /a/b", Some("to rpd: /a/b")),
            ("-prt .", Some("to rp: .")),
            ("-f -- -a b", Some("from : -a b")),
            ("-f a*.txt", Some("from : a*.txt")),
            ("-rf /var/log/*", Some("from r: /var/log/*")),
            ("-f /var/*/x", None),
            ("-f /var/*/", None),
            ("-t a b", None),
            ("-t a*", None),
            ("-t* a", None),
            ("-t", None),
            ("-f", None),
            ("-t -f a", None),
            ("a b", None),
            ("-S evil -t a", None),
            ("-o X=y -t a", None),
        ] {
            assert_eq!(scp(line).as_deref(), expect, "{line}");
        }
    }

    #[test]
    fn words_have_an_end() {
        let paths =
            |words: usize| read(&format!("-f{}", " a".repeat(words - 1))).map(|read| read.paths.len());
        assert_eq!((paths(WORDS_MAX), paths(WORDS_MAX + 1)), (Some(WORDS_MAX - 1), None));
    }
}
