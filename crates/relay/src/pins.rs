//! What servers of MCP say of their tools, remembered from the first time: a description that changes later is how a tool
//! that was looked at becomes another one.
//!
//! A pin is SHA-256(16 random bytes || definition): what a server says can hold a value, and a bare hash of it would be
//! that value. The file stands beside the keys, not below the data. What a changed tool is said to be now is known while the
//! gateway runs: it is accepted by the digest with which somebody was shown it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::entropy::{self, hex};
use crate::limits::{PINS_MAX, PINS_SAID_BYTES_MAX};

/// The pins of one server.
pub struct Pins {
    path: PathBuf,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    pins: BTreeMap<String, Pin>,
    /// What the server says now of tools that have changed.
    said: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Pin {
    salt: [u8; 16],
    digest: [u8; 32],
    /// What the server says of it now, if that is something else.
    changed: Option<[u8; 32]>,
}

/// How a definition stands to what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    First,
    Same,
    /// It was another one, now or since it was accepted last.
    Changed,
}

/// A tool, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub tool: String,
    pub changed: bool,
    pub now: Option<Now>,
}

/// What a server says now of a tool that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// By this it is accepted.
    pub digest: String,
    /// As the server says it.
    pub definition: String,
}

/// What came of accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    Done,
    /// It has not changed, or is not known.
    Nothing,
    /// The digest is not that of what the server says now, or what it says now has not been heard since the start.
    Another,
}

impl Pins {
    /// Reads the file, which need not be there. Errors: it cannot be read, or is not what was written.
    pub fn open(path: &Path) -> io::Result<Pins> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let all: Option<BTreeMap<String, Pin>> = text.lines().map(read).collect();
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "a line is not what the gateway writes");
        let pins = all.ok_or_else(broken)?;
        Ok(Pins { path: path.to_owned(), all: Mutex::new(All { pins, ..All::default() }) })
    }

    /// Holds definitions against the pins, or makes some. What is new is on disk when this returns: a first definition, and
    /// that one has changed, which it stays until somebody accepts it. Errors: it cannot be written, or there are too many.
    pub fn see<'t>(&self, tools: impl Iterator<Item = (&'t str, &'t str)>) -> io::Result<Vec<Seen>> {
        let mut all = self.all();
        let (mut next, mut new, mut seen) = (all.pins.clone(), false, Vec::new());
        let mut said = Vec::new();
        for (tool, definition) in tools {
            let (pin, how, write) = match next.get(tool) {
                None if next.len() >= PINS_MAX => return Err(io::Error::other("there are too many tools")),
                None => {
                    let salt = entropy::random();
                    (Pin { salt, digest: digest(&salt, definition), changed: None }, Seen::First, true)
                }
                Some(pin) => {
                    let now = digest(&pin.salt, definition);
                    match (pin.changed, now == pin.digest) {
                        (None, true) => (*pin, Seen::Same, false),
                        // Which one it is now is not written again: a server may change it all the time.
                        (before, _) => (Pin { changed: Some(now), ..*pin }, Seen::Changed, before.is_none()),
                    }
                }
            };
            new |= write;
            if how == Seen::Changed {
                said.push((tool, definition));
            }
            next.insert(tool.to_owned(), pin);
            seen.push(how);
        }
        if new {
            self.write(&next)?;
        }
        all.pins = next;
        said.into_iter().for_each(|(tool, definition)| all.says(tool, definition));
        Ok(seen)
    }

    /// Whether what the server last said of the tool is not what it said first.
    pub fn has_changed(&self, tool: &str) -> bool {
        self.all().pins.get(tool).is_some_and(|pin| pin.changed.is_some())
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Pinned> {
        let all = self.all();
        let pinned = |(tool, pin): (&String, &Pin)| Pinned {
            tool: tool.clone(),
            changed: pin.changed.is_some(),
            now: all.now(tool),
        };
        all.pins.iter().map(pinned).collect()
    }

    /// Whether `digest` is that of what the server says now of a tool that has changed.
    pub fn would_accept(&self, tool: &str, digest: &str) -> Accepted {
        let all = self.all();
        match (all.pins.get(tool).and_then(|pin| pin.changed), all.now(tool)) {
            (None, _) => Accepted::Nothing,
            (Some(_), Some(now)) if now.digest == digest => Accepted::Done,
            (Some(_), _) => Accepted::Another,
        }
    }

    /// Takes what the server says now for what it is to say, if `digest` is that of it.
    pub fn accept(&self, tool: &str, digest: &str) -> io::Result<Accepted> {
        let mut all = self.all();
        let (Some(pin), now) = (all.pins.get(tool).copied(), all.now(tool)) else {
            return Ok(Accepted::Nothing);
        };
        let Some(changed) = pin.changed else { return Ok(Accepted::Nothing) };
        if now.is_none_or(|now| now.digest != digest) {
            return Ok(Accepted::Another);
        }
        all.pins.insert(tool.to_owned(), Pin { digest: changed, changed: None, ..pin });
        if let Err(error) = self.write(&all.pins) {
            all.pins.insert(tool.to_owned(), pin);
            return Err(error);
        }
        all.said.remove(tool);
        Ok(Accepted::Done)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new file in the old one's place, durable.
    fn write(&self, all: &BTreeMap<String, Pin>) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        let text: String = all.iter().map(line).collect();
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        match self.path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl All {
    /// Keeps what is said of a changed tool. What does not fit beside it is heard again when the tools are listed again.
    fn says(&mut self, tool: &str, definition: &str) {
        self.said.remove(tool);
        let bytes: usize = self.said.values().map(String::len).sum();
        if bytes + definition.len() > PINS_SAID_BYTES_MAX {
            self.said.clear();
        }
        self.said.insert(tool.to_owned(), definition.to_owned());
    }

    fn now(&self, tool: &str) -> Option<Now> {
        let digest = self.pins.get(tool)?.changed?;
        let definition = self.said.get(tool)?.clone();
        Some(Now { digest: hex(digest.get(..DIGEST_BYTES)?), definition })
    }
}

/// So many bytes of a digest are shown. A server would have to try 2^64 definitions to find another with the same.
const DIGEST_BYTES: usize = 8;

fn digest(salt: &[u8; 16], definition: &str) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(salt);
    context.update(definition.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Tool, salt, digest, and the changed one's or `-`, all in hexadecimal: what a server calls its tools ends no line.
fn line((tool, pin): (&String, &Pin)) -> String {
    let changed = pin.changed.map_or_else(|| "-".to_owned(), |digest| hex(&digest));
    format!("{} {} {} {changed}\n", hex(tool.as_bytes()), hex(&pin.salt), hex(&pin.digest))
}

fn read(line: &str) -> Option<(String, Pin)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [tool, salt, digest, changed] = words[..] else { return None };
    let tool = String::from_utf8(unhex(tool)?).ok()?;
    let changed = match changed {
        "-" => None,
        changed => Some(unhex(changed)?.try_into().ok()?),
    };
    let pin = Pin { salt: unhex(salt)?.try_into().ok()?, digest: unhex(digest)?.try_into().ok()?, changed };
    Some((tool, pin))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_remembered_over_a_restart_and_a_changed_one_until_it_is_accepted() {
        let folder = std::env::temp_dir().join(format!("tacho-pins-{}", hex(&entropy::random::<8>())));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("tools");
        let open = || Pins::open(&path).unwrap();
        let see = |pins: &Pins, said: &str| pins.see([("read file\n", said)].into_iter()).unwrap()[0];
        let pins = open();
        assert_eq!(see(&pins, "one"), Seen::First);
        assert_eq!(see(&pins, "one"), Seen::Same);
        assert_eq!(see(&open(), "two"), Seen::Changed);
        let pins = open();
        assert!(pins.has_changed("read file\n") && !pins.has_changed("other"));
        assert_eq!(see(&pins, "two"), Seen::Changed);
        assert_eq!(see(&pins, "one"), Seen::Changed, "who changes back is looked at, too");
        assert_eq!(see(&pins, "two"), Seen::Changed);
        let now = |pins: &Pins| pins.list()[0].now.clone();
        let seen = now(&pins).unwrap();
        assert_eq!(seen.definition, "two");
        assert_eq!(pins.accept("other", &seen.digest).unwrap(), Accepted::Nothing);
        assert_eq!(see(&pins, "three"), Seen::Changed);
        assert_eq!(pins.accept("read file\n", &seen.digest).unwrap(), Accepted::Another, "nobody saw three");
        assert_eq!(now(&open()), None, "what it says now is not known before it is heard");
        assert_eq!(open().accept("read file\n", &seen.digest).unwrap(), Accepted::Another);
        assert_eq!(see(&pins, "two"), Seen::Changed);
        assert_eq!(pins.accept("read file\n", "").unwrap(), Accepted::Another);
        assert_eq!(pins.would_accept("read file\n", &seen.digest), Accepted::Done);
        assert_eq!(pins.accept("read file\n", &seen.digest).unwrap(), Accepted::Done);
        assert_eq!(
            (now(&pins), pins.accept("read file\n", &seen.digest).unwrap()),
            (None, Accepted::Nothing)
        );
        let pins = open();
        assert_eq!(see(&pins, "two"), Seen::Same);
        assert_eq!(see(&pins, "one"), Seen::Changed);
        std::fs::write(&path, "no pins\n").unwrap();
        assert!(Pins::open(&path).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn so_much_is_kept_of_what_is_said_and_no_more() {
        let mut all = All::default();
        let half = "x".repeat(PINS_SAID_BYTES_MAX / 2);
        all.says("a", &half);
        all.says("b", &half);
        all.says("b", &half);
        assert_eq!(all.said.len(), 2);
        all.says("c", "x");
        assert_eq!(all.said.keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_nothing_is_remembered() {
        let pins = Pins::open(Path::new("/nowhere-at-all/tools")).unwrap();
        assert!(pins.see([("a", "one")].into_iter()).is_err());
        assert_eq!(pins.list(), []);
    }
}
