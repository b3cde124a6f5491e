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

use crate::command::Word;

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

impl Command {
    /// Reads the words behind `scp`. `None` for everything but the host's side of the protocol: what else scp does is a
    /// command like others.
    pub(crate) fn read(words: &[Word]) -> Option<Command> {
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
