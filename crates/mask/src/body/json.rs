//! JSON (RFC 8259), read byte by byte, strictly: what two readers could take for two values is no JSON here.

use std::sync::Arc;

use super::found::{Found, Look, Named};
use super::lex::{Lex, Number};
use super::names::{Members, Names, TOO_MANY, TWICE};
use super::path::{Edge, Reached};
use super::piece::{Marking, Path, Piece, Place, is_label};
use super::window::{Kind, Standing, Window};
use super::{Masks, PathRule, Unreadable, write};
use crate::detect::placeholder;
use crate::limits::{BODY_DEPTH_MAX, BODY_INNER_DEPTH_MAX, BODY_NAME_BYTES_MAX, BODY_TOKEN_BYTES_MAX};

const UNEXPECTED: Unreadable = Unreadable("the body is not JSON");
const CUT: Unreadable = Unreadable("the JSON ends too early");
const TRAILING: Unreadable = Unreadable("something stands behind the JSON value");
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
    /// How far each rule's path has come, for each frame that is not left out: as many as there are rules.
    reached: Vec<Reached>,
    /// The same of the value that begins.
    begun: Vec<Reached>,
    /// The string or number that is being read, as it is written.
    token: Vec<u8>,
    names: Names,
    /// How many frames are open around a value that is left out.
    dropping: Option<usize>,
    /// Whether nothing came.
    empty: bool,
    /// In how many strings of JSON texts this text stands.
    inner: usize,
    /// Of an event's data: what tells of which texts its strings are pieces.
    marking: Option<Marking>,
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
    /// Where it stands, in an event.
    path: Path,
    reveals: Option<Arc<[usize]>>,
    /// Who the object says it is, where a rule asks for that.
    says: Says,
}

/// `metadata.namespace` and `metadata.name`.
#[derive(Default)]
struct Says {
    namespace: Option<String>,
    name: Option<String>,
}

enum Inside {
    Object(Members),
    /// The index of the value that is read or comes next.
    Array(u64),
}

/// A value that begins: what the rules make of it.
struct Begun {
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
            reached: Vec::new(),
            begun: Vec::new(),
            token: Vec::new(),
            names: Names::default(),
            dropping: None,
            empty: true,
            inner: 0,
            marking: None,
        }
    }

    /// The data of an event: its strings are not decided here.
    pub(super) fn of_event(rules: Arc<[PathRule]>) -> Json {
        Json { marking: Some(Marking::default()), ..Json::new(rules) }
    }

    /// What of an event is to be decided with others, and what tells its texts apart.
    pub(super) fn take_pieces(&mut self) -> (Vec<Piece>, Marking) {
        (self.window.take_pieces(), self.marking.unwrap_or_default())
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
                Lex::Between => match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => Ok(self.white(rest)),
                    b'"' => self.quote(rest, look),
                    _ => self.between(byte, look).map(|()| 1),
                },
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

    /// White space between tokens, up to where the window is to be asked again; how much there is.
    fn white(&mut self, bytes: &[u8]) -> usize {
        let most = self.window.room().min(bytes.len());
        let white = bytes[..most].iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
        let taken = white.count();
        self.keep_all(&bytes[..taken]);
        taken
    }

    /// A quote where no token is open: the string at once, if it is here whole and has no escapes. How many bytes were
    /// taken.
    fn quote(&mut self, bytes: &[u8], look: &mut Look<'_>) -> Result<usize, Unreadable> {
        match self.expect {
            Expect::Nothing => return Err(TRAILING),
            Expect::Colon | Expect::Comma => return Err(UNEXPECTED),
            Expect::Root | Expect::Value | Expect::FirstValue | Expect::FirstKey | Expect::Key => {}
        }
        let after = &bytes[1..];
        match memchr::memchr2(b'"', b'\\', after) {
            Some(end) if after[end] == b'"' && end <= BODY_TOKEN_BYTES_MAX => {
                write::is_text(&after[..end])?;
                self.end_string(&bytes[..end + 2], &after[..end], false, look)?;
                Ok(end + 2)
            }
            _ => {
                self.lex = Lex::String { escape: false };
                self.token.push(b'"');
                Ok(1)
            }
        }
    }

    /// A byte where no token is open, that is no white space and no quote.
    fn between(&mut self, byte: u8, look: &mut Look<'_>) -> Result<(), Unreadable> {
        match (self.expect, byte) {
            (Expect::Nothing, _) => Err(TRAILING),
            (Expect::FirstValue, b']') | (Expect::FirstKey, b'}') => self.close(byte),
            (Expect::Root | Expect::Value | Expect::FirstValue, _) => self.value(byte, look),
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

    /// The first byte of a value that is no string.
    fn value(&mut self, byte: u8, look: &mut Look<'_>) -> Result<(), Unreadable> {
        self.lex = match byte {
            b'{' | b'[' => return self.open(byte, look),
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
            b'{' => (Inside::Object(self.names.open()), Expect::FirstKey),
            _ => (Inside::Array(0), Expect::FirstValue),
        };
        if self.dropping.is_none() {
            self.reached.extend_from_slice(&self.begun);
        }
        let reveals = begun.reveals.filter(|_| self.dropping.is_none());
        let path = self.path();
        self.frames.push(Frame { inside, path, reveals, says: Says::default() });
        self.expect = expect;
        Ok(())
    }

    fn close(&mut self, byte: u8) -> Result<(), Unreadable> {
        match (self.frames.pop().map(|frame| frame.inside), byte) {
            (Some(Inside::Object(members)), b'}') => self.names.close(&members),
            (Some(Inside::Array(_)), b']') => {}
            _ => return Err(UNEXPECTED),
        }
        if self.dropping.is_none() {
            self.reached.truncate(self.frames.len() * self.rules.len());
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
        if self.token.len() + taken > BODY_TOKEN_BYTES_MAX + 2 {
            return Err(TOO_LONG);
        }
        self.token.extend_from_slice(piece);
        self.lex = Lex::String { escape: !escape && piece.ends_with(b"\\") };
        if !escape && piece.ends_with(b"\"") {
            self.lex = Lex::Between;
            let token = std::mem::take(&mut self.token);
            let mut text = Vec::with_capacity(token.len());
            let escaped = write::unescape(&token[1..token.len() - 1], &mut text)?;
            self.end_string(&token, &text, escaped, look)?;
        }
        Ok(taken)
    }

    /// A string, as it was `written` with its quotes, and what it says.
    fn end_string(
        &mut self,
        written: &[u8],
        text: &[u8],
        escaped: bool,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let kind = Kind::String { escaped };
        if matches!(self.expect, Expect::FirstKey | Expect::Key) {
            let Some(Frame { inside: Inside::Object(members), reveals, .. }) = self.frames.last_mut() else {
                return Err(UNEXPECTED);
            };
            self.names.add(members, text)?;
            let reveals = reveals.clone();
            self.keep_token(written, text, kind, Standing { reveals, ..Standing::default() });
            self.expect = Expect::Colon;
        } else {
            let begun = self.begin(look);
            self.mark(text);
            self.identify(text);
            match begun.masked {
                None => self.keep_string(written, text, kind, begun.reveals, look)?,
                Some(rule) => self.mask_string(rule, text)?,
            }
            self.end_value();
        }
        Ok(())
    }

    /// Keeps a string's value. One that says JSON itself is masked by the same rules, from its own root; what of it passed
    /// may pass.
    fn keep_string(
        &mut self,
        written: &[u8],
        text: &[u8],
        kind: Kind,
        reveals: Option<Arc<[usize]>>,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let (value, place) = (reveals.is_some(), self.place());
        match self.inside(text, look)? {
            None => self.keep_token(written, text, kind, Standing { reveals, value: true, place }),
            Some(masked) => {
                let standing = Standing { reveals: reveals.or_else(|| Some([].into())), value, place };
                if masked == text {
                    self.keep_token(written, text, kind, standing);
                    return Ok(());
                }
                let raw = write::json_string(&masked);
                self.window.token(&raw, &masked, Kind::String { escaped: true }, standing);
            }
        }
        Ok(())
    }

    /// A string's text, masked, if it is JSON of which rules could say something. Errors: it is JSON to some reader,
    /// and not to this one; what is none to any is a text like others.
    fn inside(&self, text: &[u8], look: &mut Look<'_>) -> Result<Option<Vec<u8>>, Unreadable> {
        let begins = text.trim_ascii_start().first();
        let rules = !self.rules.is_empty() && self.dropping.is_none();
        if !rules || self.inner > BODY_INNER_DEPTH_MAX || !matches!(begins, Some(b'{' | b'[' | b'"')) {
            return Ok(None);
        }
        let mut inner = Json { inner: self.inner + 1, ..Json::new(self.rules.clone()) };
        let (mut found, mut out) = (Found::default(), Vec::new());
        let read = inner.push(&mut look.apart(&mut found), text, &mut out);
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
    fn mask_string(&mut self, rule: usize, text: &[u8]) -> Result<(), Unreadable> {
        let rule = &self.rules[rule];
        match rule.masks() {
            Masks::Part(keep) => {
                let text = std::str::from_utf8(text).map_err(|_| UNEXPECTED)?;
                let part = write::partial(text, keep);
                let kind = Kind::String { escaped: true };
                let raw = write::json_string(part.as_bytes());
                let standing = Standing { place: self.place(), ..Standing::default() };
                self.window.token(&raw, part.as_bytes(), kind, standing);
            }
            Masks::Redacted => {
                let words = rule.words.as_deref().map_or_else(|| placeholder(&rule.class), str::to_owned);
                self.window.push(&write::json_string(words.as_bytes()));
            }
            Masks::Null => self.window.push(b"null"),
        }
        Ok(())
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
        if let Some(marking) = &mut self.marking {
            mark(marking, self.frames.last(), &self.names, &self.token);
        }
        match begun.masked.map(|rule| self.rules[rule].masks()) {
            None if self.dropping.is_some() => {}
            None => {
                let standing = Standing { reveals: begun.reveals, value: true, place: None };
                self.window.token(&self.token, &self.token, Kind::Number, standing);
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
    fn begin(&mut self, look: &mut Look<'_>) -> Begun {
        let (mut reveals, mut masked) = (Vec::new(), None);
        if self.dropping.is_some() || self.rules.is_empty() {
            return Begun { reveals: None, masked };
        }
        let frame = self.frames.last();
        let around = self.reached.len().saturating_sub(self.rules.len());
        let mut at_path = Vec::new();
        self.begun.clear();
        for (i, rule) in self.rules.iter().enumerate() {
            let at = match frame.map(|frame| &frame.inside) {
                None => rule.path.begin(),
                Some(Inside::Object(members)) => {
                    rule.path.follow(self.reached[around + i], Edge::Key(self.names.last(members)))
                }
                Some(Inside::Array(index)) => rule.path.follow(self.reached[around + i], Edge::Index(*index)),
            };
            self.begun.push(at);
            if rule.path.ends(at) {
                at_path.push(i);
                match look.revealed.contains(&rule.class) {
                    true => reveals.push(i),
                    false => masked = masked.or(Some(i)),
                }
            }
        }
        for i in at_path {
            look.found.count(i, masked.is_none());
            if let Some(named) = self.named().filter(|_| self.rules[i].names) {
                look.found.name(i, masked.is_none(), named);
            }
        }
        let around = frame.and_then(|frame| frame.reveals.clone());
        if reveals.is_empty() || masked.is_some() {
            return Begun { reveals: around, masked };
        }
        reveals.extend(around.iter().flat_map(|rules| rules.iter()));
        reveals.sort_unstable();
        reveals.dedup();
        Begun { reveals: Some(reveals.into()), masked }
    }

    /// A string that says who an object is.
    fn identify(&mut self, text: &[u8]) {
        if self.dropping.is_some() || !self.rules.iter().any(|rule| rule.names) {
            return;
        }
        let [.., of, inner] = &mut self.frames[..] else { return };
        let (Inside::Object(outer), Inside::Object(members)) = (&of.inside, &inner.inside) else { return };
        if self.names.last(outer) != b"metadata" {
            return;
        }
        // No object has a longer name.
        let Some(text) = std::str::from_utf8(text).ok().filter(|text| text.len() <= BODY_NAME_BYTES_MAX)
        else {
            return;
        };
        match self.names.last(members) {
            b"name" => of.says.name = Some(text.to_owned()),
            b"namespace" => of.says.namespace = Some(text.to_owned()),
            _ => {}
        }
    }

    /// The member that is read, and whose it is.
    fn named(&self) -> Option<Named> {
        let Some(Inside::Object(members)) = self.frames.last().map(|frame| &frame.inside) else {
            return None;
        };
        let member = self.names.last(members);
        let member =
            std::str::from_utf8(member).ok().filter(|name| name.len() <= BODY_NAME_BYTES_MAX)?.to_owned();
        let of = self.frames.iter().rev().map(|frame| &frame.says).find(|says| says.name.is_some());
        let (namespace, name) = of.map_or((None, None), |says| (says.namespace.clone(), says.name.clone()));
        Some(Named { namespace, name, member })
    }

    /// Where the value that is read stands in an event.
    fn path(&self) -> Path {
        if self.marking.is_none() {
            return Path::default();
        }
        self.frames.last().map_or_else(Path::default, |frame| frame.path_of_value(&self.names))
    }

    /// The same of a string.
    fn place(&self) -> Option<Place> {
        self.marking?;
        let label = match self.frames.last().map(|frame| &frame.inside) {
            Some(Inside::Object(members)) => is_label(self.names.last(members)),
            Some(Inside::Array(_)) | None => false,
        };
        Some(Place { path: self.path(), label })
    }

    /// Notes what a string says of which texts an event has.
    fn mark(&mut self, text: &[u8]) {
        if let Some(marking) = &mut self.marking {
            mark(marking, self.frames.last(), &self.names, text);
        }
    }

    /// A string as it came, unless it is left out.
    fn keep_token(&mut self, written: &[u8], text: &[u8], kind: Kind, standing: Standing) {
        if self.dropping.is_none() {
            self.window.token(written, text, kind, standing);
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

impl Frame {
    /// Where the value that is read in it stands.
    fn path_of_value(&self, names: &Names) -> Path {
        match &self.inside {
            Inside::Object(members) => self.path.name(names.last(members)),
            Inside::Array(index) => self.path.index(*index),
        }
    }
}

fn mark(marking: &mut Marking, frame: Option<&Frame>, names: &Names, value: &[u8]) {
    if let Some(frame @ Frame { inside: Inside::Object(members), .. }) = frame {
        marking.add(names.last(members), || frame.path_of_value(names), value);
    }
}
