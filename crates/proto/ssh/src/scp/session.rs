//! Whose turn it is, and on which path.
//!
//! The relay gives what each side sent; nothing is taken off a buffer while it is not that side's turn, so that a source
//! that runs ahead waits. A [`Line`] is decided before it goes on, and a line that is refused is answered in the sink's place
//! ([`Session::refuse`]); the times that went before it then stand for what comes next, as they do for scp itself.
//!
//! # Paths
//! A sink that is given a target puts a file *at* it, or *into* it where it is a directory; which of them nobody on this side
//! knows, unless `-d`, a slash, `.`, `..` or the home say it. So a line touches both, and both have to be allowed. A source reads what it was asked for: a name that is
//! not the last one of a path (or matches its pattern) is a fault.

use super::line::{self, Ack, Line};
use super::{Command, Host, Word};
use crate::fault as why;
use crate::limits::DEPTH_MAX;
use crate::path::{BadPath, Canonical, Path};
use crate::sftp::action::{Operation, Role, Touch};
use bytes::{Bytes, BytesMut};
use wire::{Fault, Held, RawField, Side};

/// One scp, both sides.
#[derive(Debug)]
pub struct Session {
    host: Host,
    recursive: bool,
    preserve: bool,
    directory: bool,
    asked: Vec<Asked>,
    /// The directories that the source is in, from the outermost; each with where it may be.
    inside: Vec<Vec<Path>>,
    turn: Turn,
    /// Times were said, and what they are of was not.
    times: bool,
}

/// A path of the command line.
#[derive(Debug)]
struct Asked {
    path: Path,
    /// Its last name is this pattern.
    pattern: Option<RawField>,
    /// It can be nothing but a directory that is there.
    directory: bool,
    /// It ends in a slash: no file is put at it, but a directory may be.
    slash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    /// The sink says that it is there.
    SinkBegins,
    Source,
    /// The sink answers a line.
    SinkOn(Said),
    /// Content, and how much of it is to come.
    Content {
        offset: u64,
        left: u64,
    },
    /// The source says whether the content was whole.
    SourceConcludes,
    /// The sink says whether it has it.
    SinkConcludes,
    Over,
}

/// What of a line is kept until its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    File { bytes: u64 },
    Directory { at: Vec<Path> },
    End,
    Times,
}

/// What a source sent.
#[derive(Debug, PartialEq, Eq)]
pub enum FromSource {
    /// To be decided if it touches something, and sent or refused.
    Line {
        line: Line,
        touches: Vec<Touch>,
        held: Held,
    },
    Content(Content),
    /// Behind a file's content.
    Conclusion {
        ack: Ack,
        held: Held,
    },
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub offset: u64,
    pub bytes: RawField,
    /// Nothing of the file follows.
    pub last: bool,
}

impl Content {
    /// Puts `bytes` in its place. Errors (side: gateway): `CHANGED_LENGTH`; the piece is then as it was.
    pub fn replace(&mut self, bytes: RawField) -> Result<(), Fault> {
        if bytes.len() != self.bytes.len() {
            return Err(why::NOT_THIS_LENGTH.on(Side::Gateway));
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// What a sink sent.
#[derive(Debug, PartialEq, Eq)]
pub struct FromSink {
    pub ack: Ack,
    pub held: Held,
}

/// What goes where when a line is refused.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Refused {
    pub to_source: Bytes,
    /// So that a client that reads learns of it; it has no answer.
    pub to_sink: Option<Bytes>,
}

impl Session {
    /// `home` is where the command runs. Errors: [`BadPath`].
    pub fn new(command: &Command, home: Option<&Canonical>) -> Result<Session, BadPath> {
        let asked = |word: &Word| {
            let path = Path::read(&word.text, home)?;
            let pattern = path.canonical.name().filter(|_| word.pattern).map(RawField::copy_from);
            let text = word.text.as_bytes();
            let dots = text.rsplit(|b| *b == b'/').find(|name| !name.is_empty());
            let directory = matches!(dots, None | Some(b"." | b"..")) || home == Some(&path.canonical);
            Ok(Asked { pattern, path, directory, slash: text.last() == Some(&b'/') })
        };
        Ok(Session {
            host: command.host,
            recursive: command.recursive,
            preserve: command.preserve,
            directory: command.directory,
            asked: command.paths.iter().map(asked).collect::<Result<_, _>>()?,
            inside: Vec::new(),
            turn: Turn::SinkBegins,
            times: false,
        })
    }

    /// The side that has the files.
    pub fn source(&self) -> Side {
        match self.host {
            Host::Source => Side::Upstream,
            Host::Sink => Side::Client,
        }
    }

    pub fn sink(&self) -> Side {
        match self.host {
            Host::Source => Side::Client,
            Host::Sink => Side::Upstream,
        }
    }

    /// Takes what the source says next off `buffer`; `None` if it is not its turn, or more has to come.
    ///
    /// Errors, on the source's side: those of [`Line::decode`] and [`Ack::decode`]; `OUT_OF_ORDER`; `BAD_NAME` for what was
    /// not asked for; `TOO_MANY` above [`DEPTH_MAX`]; bytes behind the end.
    pub fn on_source(&mut self, buffer: &mut BytesMut) -> Result<Option<FromSource>, Fault> {
        let side = self.source();
        match self.turn {
            Turn::Source => {
                let Some((line, whole)) = Line::decode(buffer, side)? else { return Ok(None) };
                let touches = self.line(&line)?;
                Ok(Some(FromSource::Line { line, touches, held: Held::new(whole) }))
            }
            Turn::Content { offset, left } => Ok(self.content(buffer, offset, left)),
            Turn::SourceConcludes => {
                let Some((ack, whole)) = Ack::decode(buffer, side)? else { return Ok(None) };
                self.turn = if matches!(ack, Ack::Fatal(_)) { Turn::Over } else { Turn::SinkConcludes };
                Ok(Some(FromSource::Conclusion { ack, held: Held::new(whole) }))
            }
            Turn::Over if !buffer.is_empty() => Err(why::SCP_AFTER_END.on(side)),
            Turn::SinkBegins | Turn::SinkOn(_) | Turn::SinkConcludes | Turn::Over => Ok(None),
        }
    }

    /// Takes the sink's answer off `buffer`; `None` if it is not its turn, or more has to come. Errors, on the sink's side:
    /// those of [`Ack::decode`].
    pub fn on_sink(&mut self, buffer: &mut BytesMut) -> Result<Option<FromSink>, Fault> {
        match self.turn {
            Turn::SinkBegins | Turn::SinkOn(_) | Turn::SinkConcludes => {
                let Some((ack, whole)) = Ack::decode(buffer, self.sink())? else { return Ok(None) };
                self.acked(&ack);
                Ok(Some(FromSink { ack, held: Held::new(whole) }))
            }
            Turn::Source | Turn::Content { .. } | Turn::SourceConcludes | Turn::Over => Ok(None),
        }
    }

    /// Whose turn it is. `None`: it is over.
    pub fn turn(&self) -> Option<Side> {
        match self.turn {
            Turn::Source | Turn::Content { .. } | Turn::SourceConcludes => Some(self.source()),
            Turn::SinkBegins | Turn::SinkOn(_) | Turn::SinkConcludes => Some(self.sink()),
            Turn::Over => None,
        }
    }

    /// That a side's stream ended inside what it said.
    pub fn unfinished(&self, side: Side) -> Fault {
        why::SCP_UNFINISHED.on(side)
    }

    /// Looks at what of the sink's nobody took. Errors (side: sink): `OUT_OF_ORDER` for an answer to nothing. Some hosts give
    /// one (OpenSSH before 8.3, CVE-2020-12062), and it would be taken for the answer to the next line.
    pub fn quiet(&self, sink: &[u8]) -> Result<(), Fault> {
        match self.turn() == Some(self.source()) && !sink.is_empty() {
            true => Err(why::SCP_UNASKED.on(self.sink())),
            false => Ok(()),
        }
    }

    /// Refuses the line that the source just said, which did not go on to the sink. Errors (side: gateway): `OUT_OF_ORDER`
    /// where no line waits.
    pub fn refuse(&mut self, sentence: &str) -> Result<Refused, Fault> {
        if !matches!(self.turn, Turn::SinkOn(Said::File { .. } | Said::Directory { .. } | Said::Times)) {
            return Err(why::SCP_UNASKED.on(Side::Gateway));
        }
        let said = Ack::Warning(RawField::copy_from(sentence.as_bytes()));
        self.acked(&said);
        let told = self.host == Host::Source;
        Ok(Refused { to_source: said.encode(), to_sink: told.then(|| said.encode()) })
    }

    /// The source's stream ended. Errors, on its side: `TRUNCATED` inside a file, a directory or a line; `rest` is what
    /// was not taken off its buffer.
    pub fn finish(&self, rest: &[u8]) -> Result<(), Fault> {
        let between =
            matches!(self.turn, Turn::Source | Turn::SinkBegins) && self.inside.is_empty() && !self.times;
        match rest.is_empty() && (between || self.turn == Turn::Over) {
            true => Ok(()),
            false => Err(why::SCP_UNFINISHED.on(self.source())),
        }
    }

    fn line(&mut self, line: &Line) -> Result<Vec<Touch>, Fault> {
        let fault = |reason: why::Reason| reason.on(self.source());
        match line {
            Line::File { mode, bytes, name } => {
                let at = self.places(name, false)?;
                let touches = self.touches(&at, *mode, false);
                self.times = false;
                self.turn = Turn::SinkOn(Said::File { bytes: *bytes });
                Ok(touches)
            }
            Line::Directory { mode, name } => {
                if !self.recursive {
                    return Err(fault(why::SCP_NOT_RECURSIVE));
                }
                if self.inside.len() == DEPTH_MAX {
                    return Err(fault(why::SCP_TOO_DEEP));
                }
                let at = self.places(name, true)?;
                let touches = self.touches(&at, *mode, true);
                self.times = false;
                self.turn = Turn::SinkOn(Said::Directory { at });
                Ok(touches)
            }
            Line::End => {
                if self.inside.pop().is_none() || self.times {
                    return Err(why::SCP_NO_DIRECTORY.on(self.source()));
                }
                self.turn = Turn::SinkOn(Said::End);
                Ok(Vec::new())
            }
            Line::Times { .. } => {
                if !self.preserve || self.times {
                    return Err(fault(why::SCP_NO_TIMES));
                }
                self.times = true;
                self.turn = Turn::SinkOn(Said::Times);
                Ok(Vec::new())
            }
            Line::Warning(_) => {
                self.times = false;
                Ok(Vec::new())
            }
            Line::Fatal(_) => {
                self.turn = Turn::Over;
                Ok(Vec::new())
            }
        }
    }

    fn content(&mut self, buffer: &mut BytesMut, offset: u64, left: u64) -> Option<FromSource> {
        let bytes = line::content(buffer, left);
        let came = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if came == 0 {
            return None;
        }
        let left = left.saturating_sub(came);
        self.turn = match left {
            0 => Turn::SourceConcludes,
            left => Turn::Content { offset: offset.saturating_add(came), left },
        };
        Some(FromSource::Content(Content { offset, bytes: bytes.into(), last: left == 0 }))
    }

    /// The sink answered, or the gateway in its place.
    fn acked(&mut self, ack: &Ack) {
        let turn = std::mem::replace(&mut self.turn, Turn::Source);
        self.turn = match (turn, ack) {
            (_, Ack::Fatal(_)) | (Turn::SinkBegins, Ack::Warning(_)) => Turn::Over,
            (Turn::SinkOn(Said::File { bytes: 0 }), Ack::Ok) => Turn::SourceConcludes,
            (Turn::SinkOn(Said::File { bytes }), Ack::Ok) => Turn::Content { offset: 0, left: bytes },
            (Turn::SinkOn(Said::Directory { at }), Ack::Ok) => {
                self.inside.push(at);
                Turn::Source
            }
            (Turn::SinkOn(Said::Times), Ack::Warning(_)) => {
                // The source goes on to its next file.
                self.times = false;
                Turn::Source
            }
            // Another file or directory follows, or nothing.
            (_, Ack::Ok | Ack::Warning(_)) => Turn::Source,
        };
    }

    /// Where a file or directory of that name may be.
    fn places(&self, name: &RawField, directory: bool) -> Result<Vec<Path>, Fault> {
        let into = |directory: &Path| {
            let joined = directory.canonical.join(name.as_bytes());
            let canonical = joined.map_err(|_| why::SCP_PATH.on(self.source()))?;
            Ok(Path { written: canonical.as_raw().clone(), canonical, climbs: directory.climbs })
        };
        if let Some(directories) = self.inside.last() {
            return directories.iter().map(into).collect();
        }
        if self.host == Host::Source {
            return self.asked_for(name);
        }
        let mut places = Vec::new();
        for asked in &self.asked {
            let into_it = self.directory || asked.directory || (asked.slash && !directory);
            if !into_it {
                places.push(asked.path.clone());
            }
            places.push(into(&asked.path)?);
        }
        Ok(places)
    }

    /// Which of the paths that a source was asked for a name is of.
    fn asked_for(&self, name: &RawField) -> Result<Vec<Path>, Fault> {
        let mut places = Vec::new();
        for asked in &self.asked {
            match &asked.pattern {
                None if asked.path.canonical.name() == Some(name.as_bytes()) => {
                    places.push(asked.path.clone())
                }
                Some(pattern) if matches(pattern.as_bytes(), name.as_bytes()) => {
                    let joined = asked.path.canonical.parent().join(name.as_bytes());
                    let canonical = joined.map_err(|_| why::SCP_PATH.on(self.source()))?;
                    let written = canonical.as_raw().clone();
                    places.push(Path { written, canonical, climbs: asked.path.climbs });
                }
                _ => {}
            }
        }
        if places.is_empty() { Err(why::SCP_NOT_ASKED.on(self.source())) } else { Ok(places) }
    }

    fn touches(&self, at: &[Path], mode: u16, directory: bool) -> Vec<Touch> {
        let operations = match (self.host, directory) {
            (Host::Source, false) => vec![Operation::Read],
            (Host::Source, true) => vec![Operation::List],
            (Host::Sink, directory) => {
                let mut operations = match directory {
                    true => vec![Operation::Mkdir],
                    false => vec![Operation::Write, Operation::Create, Operation::Truncate],
                };
                operations.extend((self.preserve || mode & 0o7000 != 0).then_some(Operation::Chmod));
                operations.extend(self.times.then_some(Operation::Utime));
                operations
            }
        };
        let one = |path: &Path, operation: Operation| Touch {
            operation,
            role: Role::Only,
            path: path.clone(),
            follows: true,
        };
        at.iter().flat_map(|path| operations.iter().map(move |operation| one(path, *operation))).collect()
    }
}

/// Whether a name matches a pattern of the shell: `*`, `?`, `[a-z]`, `[!a]`, `\x`. A name that begins with a dot is matched
/// by a pattern that does. Linear but for one star at a time: pattern x name steps at most.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n) = (pattern, name);
    // Behind the last star, and what of the name it has not eaten yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = p {
            star = Some((rest, n));
            p = rest;
            continue;
        }
        match (n.split_first(), n.first().and_then(|byte| one(p, *byte))) {
            (Some((_, after)), Some((true, rest))) => {
                (p, n) = (rest, after);
                continue;
            }
            (None, _) if p.is_empty() => return true,
            _ => {}
        }
        // The star eats one more.
        match star.and_then(|(rest, from)| Some((rest, from.split_first()?.1))) {
            Some((rest, from)) => {
                star = Some((rest, from));
                (p, n) = (rest, from);
            }
            None => return false,
        }
    }
}

/// Whether the pattern's next element is `byte`, and what is behind the element. `None` at the pattern's end.
fn one(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (first, rest) = pattern.split_first()?;
    match (first, rest) {
        (b'?', _) => Some((true, rest)),
        (b'\\', [escaped, behind @ ..]) => Some((*escaped == byte, behind)),
        (b'[', _) => match set(rest, byte) {
            Some(found) => Some(found),
            // Without its end a bracket is itself.
            None => Some((byte == b'[', rest)),
        },
        _ => Some((*first == byte, rest)),
    }
}

/// Behind a `[`: whether the set has `byte`, and what is behind its end.
fn set(text: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, inside) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // A bracket at the beginning is a member.
    let end = inside.iter().skip(1).position(|b| *b == b']')? + 1;
    let (members, behind) = inside.split_at_checked(end)?;
    let mut left = members;
    let mut hit = false;
    while let Some((low, rest)) = left.split_first() {
        left = match rest {
            [b'-', high, rest @ ..] => {
                hit |= (*low..=*high).contains(&byte);
                rest
            }
            _ => {
                hit |= *low == byte;
                rest
            }
        };
    }
    Some((hit != negated, behind.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_shell() {
        for (pattern, name, expect) in [
            ("*.txt", "a.txt", true),
            ("*.txt", ".txt", false),
            (".*", ".bashrc", true),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "a", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expect, "{pattern} {name}");
        }
        let stars = "*a".repeat(40);
        assert!(!matches(stars.as_bytes(), &[b'a'; 39]), "it ends soon, too");
    }
}
