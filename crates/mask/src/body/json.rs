//! JSON (RFC 8259), read byte by byte, strictly: what two readers could take for two values is no JSON here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::found::{Found, Look};
use super::lex::{Lex, Number};
use super::path::{Edge, Reached};
use super::window::{Kind, Standing, Window};
use super::{Masks, PathRule, Unreadable, write};
use crate::detect::placeholder;
use crate::limits::{
    BODY_DEPTH_MAX, BODY_INNER_DEPTH_MAX, BODY_KEY_BYTES_MAX, BODY_KEYS_MAX, BODY_TOKEN_BYTES_MAX,
};

const UNEXPECTED: Unreadable = Unreadable("the body is not JSON");
const CUT: Unreadable = Unreadable("the JSON ends too early");
const TRAILING: Unreadable = Unreadable("something stands behind the JSON value");
const TWICE: Unreadable = Unreadable("an object has a name twice");
const TOO_MANY: Unreadable = Unreadable("the JSON has too many names to tell whether one comes twice");
const NESTED: Unreadable = Unreadable("the JSON is nested deeper than 128");
const TOO_DEEP: Unreadable = Unreadable("JSON stands in strings of JSON, deeper than four");
const TOO_LONG: Unreadable = Unreadable("a string or number is longer than 1 MiB");

/// One JSON text, masked as it comes.
pub(super) struct Json {
    rules: Arc<[PathRule]>,
    window: Window,
    lex: Lex,
    expect: Expect,
    frames: Vec<Frame>,
    /// The string or number that is being read: without its opening quote.
    token: Vec<u8>,
    /// What the string says.
    text: Vec<u8>,
    keys: Keys,
    /// How many frames are open around a value that is left out.
    dropping: Option<usize>,
    /// Whether nothing came.
    empty: bool,
    /// In how many strings of JSON texts this text stands.
    inner: usize,
}

/// What may come, where no token is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Root,
    Value,
    /// An array's first value, or its end.
    FirstValue,
    /// An object's first name, or its end.
    FirstKey,
    Key,
    Colon,
    /// A comma, or the end of the innermost object or array.
    Comma,
    /// White space alone.
    Nothing,
}

/// An object or array that is open.
struct Frame {
    inside: Inside,
    /// How far each rule's path has come. Empty if there are no rules, and in what is left out.
    reached: Vec<Reached>,
    reveals: Option<Arc<[usize]>>,
}

enum Inside {
    Object(Members),
    /// The index of the value that is read or comes next.
    Array(u64),
}

impl Inside {
    /// How the value that is read stands in it.
    fn edge(&self) -> Edge<'_> {
        match self {
            Inside::Object(members) => Edge::Key(&members.last),
            Inside::Array(index) => Edge::Index(*index),
        }
    }
}

/// The members of an object.
#[derive(Default)]
struct Members {
    names: BTreeSet<Box<[u8]>>,
    /// How many bytes the names have.
    bytes: usize,
    /// The name of the one that is read.
    last: Vec<u8>,
}

/// How many names are kept in all frames, and their bytes.
#[derive(Default)]
struct Keys {
    count: usize,
    bytes: usize,
}

/// A value that begins: what the rules make of it.
struct Begun {
    reached: Vec<Reached>,
    reveals: Option<Arc<[usize]>>,
    /// The rule by which it is replaced.
    masked: Option<usize>,
}

impl Json {
    pub(super) fn new(rules: Arc<[PathRule]>) -> Json {
        Json {
            rules,
            window: Window::default(),
            lex: Lex::Between,
            expect: Expect::Root,
            frames: Vec::new(),
            token: Vec::new(),
            text: Vec::new(),
            keys: Keys::default(),
            dropping: None,
            empty: true,
            inner: 0,
        }
    }

    pub(super) fn push(
        &mut self,
        look: &mut Look<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        self.empty &= bytes.is_empty();
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            let taken = match self.lex {
                Lex::Between => self.between(byte, look).map(|()| 1),
                Lex::String { escape } => self.string(rest, escape, look),
                Lex::Number(state) => self.number(byte, state, look),
                Lex::Word(left) => self.word(byte, left).map(|()| 1),
            };
            rest = &rest[taken?..];
            if self.lex == Lex::Between {
                self.window.settle_some(look, out);
            }
        }
        Ok(())
    }

    /// Ends the body, which is one text or empty.
    pub(super) fn finish(mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let blank = self.empty;
        self.end(look, blank, out)
    }

    /// Ends the text; another may follow. `blank`: whether there may be none, but white space.
    pub(super) fn end(
        &mut self,
        look: &mut Look<'_>,
        blank: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        if let Lex::Number(state) = self.lex {
            self.end_number(state, look)?;
        }
        match self.expect {
            Expect::Nothing => {}
            Expect::Root if self.lex == Lex::Between && blank => {}
            _ => return Err(CUT),
        }
        if self.lex != Lex::Between {
            return Err(CUT);
        }
        self.expect = Expect::Root;
        self.window.settle_all(look, out);
        Ok(())
    }

    /// A byte where no token is open.
    fn between(&mut self, byte: u8, look: &mut Look<'_>) -> Result<(), Unreadable> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            self.keep(byte);
            return Ok(());
        }
        match (self.expect, byte) {
            (Expect::Nothing, _) => Err(TRAILING),
            (Expect::Root | Expect::Value, _) => self.value(byte, look),
            (Expect::FirstValue, b']') => self.close(byte),
            (Expect::FirstValue, _) => self.value(byte, look),
            (Expect::FirstKey, b'}') => self.close(byte),
            (Expect::FirstKey | Expect::Key, b'"') => {
                self.lex = Lex::String { escape: false };
                Ok(())
            }
            (Expect::Colon, b':') => {
                self.keep(byte);
                self.expect = Expect::Value;
                Ok(())
            }
            (Expect::Comma, b',') => self.comma(),
            (Expect::Comma, b'}' | b']') => self.close(byte),
            (Expect::FirstKey | Expect::Key | Expect::Colon | Expect::Comma, _) => Err(UNEXPECTED),
        }
    }

    /// The first byte of a value.
    fn value(&mut self, byte: u8, look: &mut Look<'_>) -> Result<(), Unreadable> {
        self.lex = match byte {
            b'{' | b'[' => return self.open(byte, look),
            b'"' => Lex::String { escape: false },
            b't' => self.literal(b"true", "rue", look),
            b'f' => self.literal(b"false", "alse", look),
            b'n' => self.literal(b"null", "ull", look),
            _ => {
                self.token.push(byte);
                Lex::Number(Number::begin(byte).ok_or(UNEXPECTED)?)
            }
        };
        Ok(())
    }

    /// A word that is expected whole: it is written at once. What follows its first letter is left to be read.
    fn literal(&mut self, word: &[u8], left: &'static str, look: &mut Look<'_>) -> Lex {
        let begun = self.begin(look);
        self.keep_all(match begun.masked.map(|rule| self.rules[rule].masks()) {
            None => word,
            Some(Masks::Redacted | Masks::Part(_)) if word != b"null" => b"false",
            Some(Masks::Null | Masks::Redacted | Masks::Part(_)) => b"null",
        });
        Lex::Word(left)
    }

    fn word(&mut self, byte: u8, left: &'static str) -> Result<(), Unreadable> {
        let rest = left.strip_prefix(char::from(byte)).ok_or(UNEXPECTED)?;
        self.lex = Lex::Word(rest);
        if rest.is_empty() {
            self.lex = Lex::Between;
            self.end_value();
        }
        Ok(())
    }

    fn open(&mut self, byte: u8, look: &mut Look<'_>) -> Result<(), Unreadable> {
        if self.frames.len() == BODY_DEPTH_MAX {
            return Err(NESTED);
        }
        let begun = self.begin(look);
        if begun.masked.is_some() {
            self.keep_all(b"null");
            self.dropping = Some(self.frames.len());
        }
        self.keep(byte);
        let (inside, expect) = match byte {
            b'{' => (Inside::Object(Members::default()), Expect::FirstKey),
            _ => (Inside::Array(0), Expect::FirstValue),
        };
        let (reached, reveals) = match self.dropping {
            None => (begun.reached, begun.reveals),
            Some(_) => (Vec::new(), None),
        };
        self.frames.push(Frame { inside, reached, reveals });
        self.expect = expect;
        Ok(())
    }

    fn close(&mut self, byte: u8) -> Result<(), Unreadable> {
        match (self.frames.pop().map(|frame| frame.inside), byte) {
            (Some(Inside::Object(members)), b'}') => {
                self.keys.count -= members.names.len();
                self.keys.bytes -= members.bytes;
            }
            (Some(Inside::Array(_)), b']') => {}
            _ => return Err(UNEXPECTED),
        }
        self.keep(byte);
        self.dropping = self.dropping.filter(|&depth| depth < self.frames.len());
        self.end_value();
        Ok(())
    }

    fn comma(&mut self) -> Result<(), Unreadable> {
        self.keep(b',');
        match self.frames.last_mut().map(|frame| &mut frame.inside) {
            Some(Inside::Object(_)) => self.expect = Expect::Key,
            Some(Inside::Array(index)) => {
                *index += 1;
                self.expect = Expect::Value;
            }
            None => return Err(UNEXPECTED),
        }
        Ok(())
    }

    fn end_value(&mut self) {
        self.expect = if self.frames.is_empty() { Expect::Nothing } else { Expect::Comma };
    }

    /// Bytes of a string, up to its end; how many there are.
    fn string(&mut self, bytes: &[u8], escape: bool, look: &mut Look<'_>) -> Result<usize, Unreadable> {
        let taken = match escape {
            true => 1,
            false => memchr::memchr2(b'"', b'\\', bytes).map_or(bytes.len(), |i| i + 1),
        };
        let (piece, _) = bytes.split_at(taken);
        if self.token.len() + taken > BODY_TOKEN_BYTES_MAX + 1 {
            return Err(TOO_LONG);
        }
        self.token.extend_from_slice(piece);
        self.lex = Lex::String { escape: !escape && piece.ends_with(b"\\") };
        if !escape && piece.ends_with(b"\"") {
            self.token.pop();
            self.lex = Lex::Between;
            self.end_string(look)?;
        }
        Ok(taken)
    }

    fn end_string(&mut self, look: &mut Look<'_>) -> Result<(), Unreadable> {
        self.text.clear();
        let escaped = write::unescape(&self.token, &mut self.text)?;
        let kind = Kind::String { escaped };
        if matches!(self.expect, Expect::FirstKey | Expect::Key) {
            self.name()?;
            let reveals = self.frames.last().and_then(|frame| frame.reveals.clone());
            self.keep_token(kind, Standing { reveals, value: false });
            self.expect = Expect::Colon;
        } else {
            let begun = self.begin(look);
            match begun.masked {
                None => self.keep_string(kind, begun.reveals, look)?,
                Some(rule) => self.mask_string(rule)?,
            }
            self.end_value();
        }
        self.token.clear();
        Ok(())
    }

    /// Keeps a string's value. One that says JSON itself is masked by the same rules, from its own root; what of it passed
    /// may pass.
    fn keep_string(
        &mut self,
        kind: Kind,
        reveals: Option<Arc<[usize]>>,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let value = reveals.is_some();
        match self.inside(look)? {
            None => self.keep_token(kind, Standing { reveals, value: true }),
            Some(masked) => {
                let standing = Standing { reveals: reveals.or_else(|| Some([].into())), value };
                if masked == self.text {
                    self.keep_token(kind, standing);
                    return Ok(());
                }
                let raw = write::json_string(&masked);
                self.window.token(&[&raw], &masked, Kind::String { escaped: true }, standing);
            }
        }
        Ok(())
    }

    /// The text that was read, masked, if it is JSON of which rules could say something. Errors: it is JSON to some reader,
    /// and not to this one; what is none to any is a text like others.
    fn inside(&self, look: &mut Look<'_>) -> Result<Option<Vec<u8>>, Unreadable> {
        let begins = self.text.trim_ascii_start().first();
        let rules = !self.rules.is_empty() && self.dropping.is_none();
        if !rules || self.inner > BODY_INNER_DEPTH_MAX || !matches!(begins, Some(b'{' | b'[' | b'"')) {
            return Ok(None);
        }
        let mut inner = Json { inner: self.inner + 1, ..Json::new(self.rules.clone()) };
        let (mut found, mut out) = (Found::default(), Vec::new());
        let read = inner.push(&mut look.apart(&mut found), &self.text, &mut out);
        let read = read.and_then(|()| inner.end(&mut look.apart(&mut found), false, &mut out));
        match read {
            Ok(()) if self.inner == BODY_INNER_DEPTH_MAX => Err(TOO_DEEP),
            Ok(()) => {
                look.found.add(found);
                Ok(Some(out))
            }
            // What any reader, or one with other limits, may take.
            Err(why @ (TWICE | TOO_MANY | NESTED | TOO_LONG | TOO_DEEP | write::SURROGATE)) => Err(why),
            Err(_) => Ok(None),
        }
    }

    /// Writes what a rule puts in the place of the string that was read. What a part leaves is looked at as any other.
    fn mask_string(&mut self, rule: usize) -> Result<(), Unreadable> {
        let rule = &self.rules[rule];
        match rule.masks() {
            Masks::Part(keep) => {
                let text = std::str::from_utf8(&self.text).map_err(|_| UNEXPECTED)?;
                let part = write::partial(text, keep);
                let kind = Kind::String { escaped: true };
                let raw = write::json_string(part.as_bytes());
                self.window.token(&[&raw], part.as_bytes(), kind, Standing::default());
            }
            Masks::Redacted => {
                self.window.push(&write::json_string(placeholder(&rule.class).as_bytes()));
            }
            Masks::Null => self.window.push(b"null"),
        }
        Ok(())
    }

    /// Keeps the name that was read. A second one alike is refused: of two readers, one takes the first value and one
    /// the last.
    fn name(&mut self) -> Result<(), Unreadable> {
        let Some(Frame { inside: Inside::Object(members), .. }) = self.frames.last_mut() else {
            return Err(UNEXPECTED);
        };
        if !members.names.insert(self.text.as_slice().into()) {
            return Err(TWICE);
        }
        members.bytes += self.text.len();
        members.last.clone_from(&self.text);
        self.keys.count += 1;
        self.keys.bytes += self.text.len();
        match self.keys.count > BODY_KEYS_MAX || self.keys.bytes > BODY_KEY_BYTES_MAX {
            true => Err(TOO_MANY),
            false => Ok(()),
        }
    }

    /// A byte of a number, or the first behind it: how many bytes were taken.
    fn number(&mut self, byte: u8, state: Number, look: &mut Look<'_>) -> Result<usize, Unreadable> {
        let Some(next) = state.next(byte) else {
            self.end_number(state, look)?;
            return Ok(0);
        };
        if self.token.len() == BODY_TOKEN_BYTES_MAX {
            return Err(TOO_LONG);
        }
        self.token.push(byte);
        self.lex = Lex::Number(next);
        Ok(1)
    }

    fn end_number(&mut self, state: Number, look: &mut Look<'_>) -> Result<(), Unreadable> {
        if !state.may_end() {
            return Err(UNEXPECTED);
        }
        self.lex = Lex::Between;
        let begun = self.begin(look);
        match begun.masked.map(|rule| self.rules[rule].masks()) {
            None if self.dropping.is_some() => {}
            None => {
                let standing = Standing { reveals: begun.reveals, value: true };
                self.window.token(&[&self.token], &self.token, Kind::Number, standing);
            }
            Some(Masks::Null) => self.window.push(b"null"),
            Some(Masks::Redacted | Masks::Part(_)) => self.window.push(b"0"),
        }
        self.token.clear();
        self.end_value();
        Ok(())
    }

    /// What the rules make of the value that begins. Of several rules for one value the first that is not revealed
    /// counts; each counts it.
    fn begin(&self, look: &mut Look<'_>) -> Begun {
        let (mut reached, mut reveals, mut masked) = (Vec::new(), Vec::new(), None);
        let frame = self.frames.last();
        if self.dropping.is_some() || self.rules.is_empty() {
            return Begun { reached, reveals: None, masked };
        }
        let mut at_path = Vec::new();
        for (i, rule) in self.rules.iter().enumerate() {
            let at = match frame {
                None => rule.path.begin(),
                Some(Frame { inside, reached, .. }) => rule.path.follow(reached[i], inside.edge()),
            };
            reached.push(at);
            if rule.path.ends(at) {
                at_path.push(i);
                match look.revealed.contains(&rule.class) {
                    true => reveals.push(i),
                    false => masked = masked.or(Some(i)),
                }
            }
        }
        at_path.into_iter().for_each(|i| look.found.count(i, masked.is_none()));
        let around = frame.and_then(|frame| frame.reveals.clone());
        if reveals.is_empty() || masked.is_some() {
            return Begun { reached, reveals: around, masked };
        }
        reveals.extend(around.iter().flat_map(|rules| rules.iter()));
        reveals.sort_unstable();
        reveals.dedup();
        Begun { reached, reveals: Some(reveals.into()), masked }
    }

    /// The string that was read, as it came, unless it is left out.
    fn keep_token(&mut self, kind: Kind, standing: Standing) {
        if self.dropping.is_none() {
            self.window.token(&[b"\"", &self.token, b"\""], &self.text, kind, standing);
        }
    }

    fn keep(&mut self, byte: u8) {
        self.keep_all(&[byte]);
    }

    fn keep_all(&mut self, bytes: &[u8]) {
        if self.dropping.is_none() {
            self.window.push(bytes);
        }
    }
}
