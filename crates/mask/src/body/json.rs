//! JSON (RFC 8259), read strictly: what two readers could take for two values is no JSON here.
//!
//! A token that is whole in what is pushed is read where it stands ([`Input`]); one that is cut is held until it is whole.

use std::sync::Arc;

use super::found::{Found, Look, Named};
use super::lex::{Ends, Input, Lex, Number, Text, Written};
use super::names::{Members, Names, TOO_MANY, TWICE};
use super::piece::{Marking, Path, Piece, Place, is_label};
use super::rules::{Edge, Rules};
use super::window::{Kind, Standing, Window};
use super::{Masks, Unreadable, nearly, write};
use crate::detect::placeholder;
use crate::limits::{BODY_DEPTH_MAX, BODY_INNER_DEPTH_MAX, BODY_NAME_BYTES_MAX};

/// Readers take it off.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Room for so much text stays with a reader.
const KEPT_TEXT_BYTES_MAX: usize = 4 << 10;

const UNEXPECTED: Unreadable = Unreadable("the body is not JSON");
const CUT: Unreadable = Unreadable("the JSON ends too early");
const TRAILING: Unreadable = Unreadable("something stands behind the JSON value");
const NESTED: Unreadable = Unreadable("the JSON is nested deeper than 128");
const TOO_DEEP: Unreadable = Unreadable("JSON stands in strings of JSON, deeper than four");
const TOO_LONG: Unreadable = Unreadable("a string or number is longer than the gateway reads");

/// One JSON text, masked as it comes.
pub(super) struct Json {
    rules: Arc<Rules>,
    /// The longest string or number, in bytes as written.
    pub(super) longest: usize,
    window: Window,
    lex: Lex,
    expect: Expect,
    frames: Vec<Frame>,
    /// How far the rules' paths have come, for each frame that is not left out: so many words as the rules have.
    reached: Vec<u64>,
    /// The same of the value that begins.
    begun: Vec<u64>,
    /// The string or number that is being read and was cut, as it is written.
    token: Vec<u8>,
    /// Room for what a string says.
    text: Vec<u8>,
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
    rare: Option<Box<Rare>>,
}

/// What few objects and arrays have.
#[derive(Default)]
struct Rare {
    reveals: Reveals,
    /// Who the object says it is, where a rule asks for that.
    says: Says,
}

/// The rules that reveal a value or one around it.
type Reveals = Option<Arc<[usize]>>;

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
    reveals: Reveals,
    /// The rule by which it is replaced.
    masked: Option<usize>,
}

impl Json {
    pub(super) fn new(rules: Arc<Rules>, longest: usize) -> Json {
        Json {
            begun: vec![0; rules.words()],
            rules,
            longest,
            window: Window::new(),
            lex: Lex::Between,
            expect: Expect::Root,
            frames: Vec::new(),
            reached: Vec::new(),
            token: Vec::new(),
            text: Vec::new(),
            names: Names::default(),
            dropping: None,
            empty: true,
            inner: 0,
            marking: None,
        }
    }

    /// The data of an event: its strings are not decided here.
    pub(super) fn of_event(rules: Arc<Rules>, longest: usize) -> Json {
        Json { marking: Some(Marking::default()), ..Json::new(rules, longest) }
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
        let mut input = Input::of(bytes);
        while let Some(byte) = input.next() {
            match self.lex {
                Lex::Between => {
                    self.between(byte, &mut input, look)?;
                    // What mostly follows.
                    match (input.next(), self.expect) {
                        _ if self.window.is_due() => {}
                        (Some(b':'), Expect::Colon) => self.colon(&mut input),
                        (Some(b','), Expect::Comma) if self.lex == Lex::Between => self.comma(&mut input)?,
                        _ => continue,
                    }
                    if input.next() == Some(b' ') && !self.window.is_due() {
                        self.white(&mut input);
                    }
                }
                Lex::String { escape } => self.string(&mut input, escape, look)?,
                Lex::Number(state) => self.number(&mut input, state, look)?,
                Lex::Word(left) => self.word(byte, left, &mut input)?,
            }
            if self.window.is_due() && self.lex == Lex::Between {
                self.catch_up(&mut input);
                self.window.settle_some(look, out);
            }
        }
        self.catch_up(&mut input);
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
            self.end_held_number(state, look)?;
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

    /// A byte where no token is open. What there is most of is asked for first.
    #[inline]
    fn between(&mut self, byte: u8, input: &mut Input<'_>, look: &mut Look<'_>) -> Result<(), Unreadable> {
        match (byte, self.expect) {
            (b'"', Expect::Key | Expect::Value | Expect::FirstKey | Expect::FirstValue | Expect::Root) => {
                self.quote(input, look)
            }
            (b':', Expect::Colon) => {
                self.colon(input);
                Ok(())
            }
            (b',', Expect::Comma) => self.comma(input),
            (b' ' | b'\t' | b'\n' | b'\r', _) => {
                self.white(input);
                Ok(())
            }
            (b'}' | b']', Expect::Comma) | (b']', Expect::FirstValue) | (b'}', Expect::FirstKey) => {
                self.close(byte, input)
            }
            (_, Expect::Root | Expect::Value | Expect::FirstValue) => self.value(byte, input, look),
            (_, Expect::FirstKey | Expect::Key | Expect::Colon | Expect::Comma) => Err(UNEXPECTED),
            (_, Expect::Nothing) => Err(TRAILING),
        }
    }

    /// White space between tokens, up to where the window is to be asked again.
    fn white(&mut self, input: &mut Input<'_>) {
        let rest = input.rest();
        let is_white = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        let taken = match rest.get(1).is_some_and(is_white) {
            false => 1,
            true => rest.iter().take(self.window.room()).take_while(|b| is_white(b)).count(),
        };
        self.keep(input, taken);
    }

    /// A quote where a string may begin: the string at once, if it is here whole.
    fn quote(&mut self, input: &mut Input<'_>, look: &mut Look<'_>) -> Result<(), Unreadable> {
        let Some(Ends { length, escaped, odd }) = input.string() else {
            self.hold(input, 1);
            self.lex = Lex::String { escape: false };
            return Ok(());
        };
        if length > self.longest + 2 {
            return Err(TOO_LONG);
        }
        let rest = input.rest();
        let written = input.read(length);
        if escaped {
            return self.end_escaped(written, Written::Here(length), input, look);
        }
        let text = Text::of(&rest[1..], length - 2);
        if odd {
            write::is_text(text.bytes())?;
        }
        self.end_string(Written::Here(length), text, false, input, look)
    }

    /// The first byte of a value that is no string.
    fn value(&mut self, byte: u8, input: &mut Input<'_>, look: &mut Look<'_>) -> Result<(), Unreadable> {
        match byte {
            b'{' | b'[' => return self.open(byte, input, look),
            b't' => self.literal(b"true", "rue", input, look),
            b'f' => self.literal(b"false", "alse", input, look),
            b'n' => self.literal(b"null", "ull", input, look),
            _ => {
                let begun = Number::begin(byte).ok_or(UNEXPECTED)?;
                let (length, state) = begun.all(input.rest(), 1);
                if length > self.longest {
                    return Err(TOO_LONG);
                }
                if length == input.rest().len() {
                    self.hold(input, length);
                    self.lex = Lex::Number(state);
                    return Ok(());
                }
                let written = input.read(length);
                return self.end_number(state, written, Written::Here(length), input, look);
            }
        }
        Ok(())
    }

    /// A word that is expected whole: what is cut is written at once, and what follows its first letter left to be read.
    fn literal(&mut self, word: &[u8], left: &'static str, input: &mut Input<'_>, look: &mut Look<'_>) {
        let masked = self.begin(look).and_then(|begun| begun.masked);
        if masked.is_none() && input.rest().starts_with(word) {
            self.keep(input, word.len());
            self.end_value();
            return;
        }
        self.leave_out(input, 1);
        self.push_all(match masked.map(|rule| self.rules.rule(rule).masks()) {
            None => word,
            Some(Masks::Redacted | Masks::Part(_)) if word != b"null" => b"false",
            Some(Masks::Null | Masks::Redacted | Masks::Part(_)) => b"null",
        });
        self.lex = Lex::Word(left);
    }

    fn word(&mut self, byte: u8, left: &'static str, input: &mut Input<'_>) -> Result<(), Unreadable> {
        let rest = left.strip_prefix(char::from(byte)).ok_or(UNEXPECTED)?;
        self.leave_out(input, 1);
        self.lex = Lex::Word(rest);
        if rest.is_empty() {
            self.lex = Lex::Between;
            self.end_value();
        }
        Ok(())
    }

    fn open(&mut self, byte: u8, input: &mut Input<'_>, look: &mut Look<'_>) -> Result<(), Unreadable> {
        if self.frames.len() == BODY_DEPTH_MAX {
            return Err(NESTED);
        }
        let begun = self.begin(look);
        if begun.as_ref().is_some_and(|begun| begun.masked.is_some()) {
            self.catch_up(input);
            self.window.push(b"null");
            self.dropping = Some(self.frames.len());
        }
        self.keep(input, 1);
        let (inside, expect) = match byte {
            b'{' => (Inside::Object(self.names.open()), Expect::FirstKey),
            _ => (Inside::Array(0), Expect::FirstValue),
        };
        if self.dropping.is_none() {
            match self.begun[..] {
                [one] => self.reached.push(one),
                ref all => self.reached.extend_from_slice(all),
            }
        }
        let reveals = begun.and_then(|begun| begun.reveals).filter(|_| self.dropping.is_none());
        let rare = reveals.map(|reveals| Box::new(Rare { reveals: Some(reveals), ..Rare::default() }));
        let path = self.path();
        self.frames.push(Frame { inside, path, rare });
        self.expect = expect;
        Ok(())
    }

    fn close(&mut self, byte: u8, input: &mut Input<'_>) -> Result<(), Unreadable> {
        match (self.frames.last().map(|frame| &frame.inside), byte) {
            (Some(Inside::Object(members)), b'}') => self.names.close(members),
            (Some(Inside::Array(_)), b']') => {}
            _ => return Err(UNEXPECTED),
        }
        self.frames.pop();
        if self.dropping.is_none() {
            self.reached.truncate(self.frames.len() * self.rules.words());
        }
        self.keep(input, 1);
        if self.dropping.is_some_and(|depth| depth >= self.frames.len()) {
            self.catch_up(input);
            self.dropping = None;
        }
        self.end_value();
        Ok(())
    }

    #[inline]
    fn colon(&mut self, input: &mut Input<'_>) {
        self.keep(input, 1);
        self.expect = Expect::Value;
    }

    #[inline]
    fn comma(&mut self, input: &mut Input<'_>) -> Result<(), Unreadable> {
        self.keep(input, 1);
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

    /// Bytes of a string that was cut, up to its end.
    fn string(&mut self, input: &mut Input<'_>, escape: bool, look: &mut Look<'_>) -> Result<(), Unreadable> {
        let rest = input.rest();
        let taken = match escape {
            true => 1,
            false => memchr::memchr2(b'"', b'\\', rest).map_or(rest.len(), |i| i + 1),
        };
        if self.token.len() + taken > self.longest + 2 {
            return Err(TOO_LONG);
        }
        let last = rest[taken - 1];
        self.hold(input, taken);
        self.lex = Lex::String { escape: !escape && last == b'\\' };
        if !escape && last == b'"' {
            self.lex = Lex::Between;
            let token = std::mem::take(&mut self.token);
            self.end_escaped(&token, Written::Held(&token), input, look)?;
        }
        Ok(())
    }

    /// A string that may have escapes.
    fn end_escaped(
        &mut self,
        written: &[u8],
        from: Written<'_>,
        input: &mut Input<'_>,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let escaped = write::unescape(&written[1..written.len() - 1], &mut text)?;
        self.end_string(from, Text::alone(&text), escaped, input, look)?;
        text.truncate(KEPT_TEXT_BYTES_MAX);
        text.shrink_to(KEPT_TEXT_BYTES_MAX);
        self.text = text;
        Ok(())
    }

    /// A string, as it was `written` with its quotes, and what it says.
    #[inline(always)]
    fn end_string(
        &mut self,
        written: Written<'_>,
        text: Text<'_>,
        escaped: bool,
        input: &mut Input<'_>,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let kind = Kind::String { escaped };
        match self.expect {
            Expect::FirstKey | Expect::Key => self.end_name(written, text, kind),
            _ => self.end_text(written, text, kind, input, look),
        }
    }

    #[inline(always)]
    fn end_name(&mut self, written: Written<'_>, text: Text<'_>, kind: Kind) -> Result<(), Unreadable> {
        let Some(Frame { inside: Inside::Object(members), rare, .. }) = self.frames.last_mut() else {
            return Err(UNEXPECTED);
        };
        self.names.add(members, text)?;
        let reveals = rare.as_ref().and_then(|rare| rare.reveals.clone());
        self.keep_token(written, text, kind);
        if reveals.is_some() {
            self.stand(reveals, false, false);
        }
        self.expect = Expect::Colon;
        Ok(())
    }

    /// A string that is a value.
    fn end_text(
        &mut self,
        written: Written<'_>,
        text: Text<'_>,
        kind: Kind,
        input: &mut Input<'_>,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let begun = self.begin(look);
        self.mark(text.bytes());
        self.identify(text.bytes());
        match begun {
            Some(Begun { masked: Some(rule), .. }) => {
                self.replace(written, input);
                self.mask_string(rule, text.bytes())?;
            }
            Some(Begun { masked: None, reveals }) => {
                self.keep_string(written, text, kind, reveals, input, look)?;
            }
            None => self.keep_string(written, text, kind, None, input, look)?,
        }
        self.end_value();
        Ok(())
    }

    /// Keeps a string's value. One that says JSON itself is masked by the same rules, from its own root; what of it passed
    /// may pass.
    #[inline(always)]
    fn keep_string(
        &mut self,
        written: Written<'_>,
        text: Text<'_>,
        kind: Kind,
        reveals: Reveals,
        input: &mut Input<'_>,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let inside = match may_be_json(text.bytes()) {
            false => self.dressed(text.bytes(), look),
            true => self.inside(text.bytes(), look)?,
        };
        let Some(masked) = inside else {
            self.keep_token(written, text, kind);
            self.stand(reveals, true, true);
            return Ok(());
        };
        let value = reveals.is_some();
        match masked == text.bytes() {
            true => self.keep_token(written, text, kind),
            false => {
                self.replace(written, input);
                let raw = write::json_string(&masked);
                self.window.token(&raw, &masked, Kind::String { escaped: true });
            }
        }
        self.stand(reveals.or_else(|| Some([].into())), value, true);
        Ok(())
    }

    /// The text of a string that may be JSON, masked, if it is and rules could say something of it. What lenient readers alone take for
    /// JSON (`NaN`, a comma behind the last value, a text that is cut off) is left out where a rule's name stands in it. Errors: it is
    /// JSON to some reader, and not to this one; what is none to any is a text like others.
    fn inside(&self, text: &[u8], look: &mut Look<'_>) -> Result<Option<Vec<u8>>, Unreadable> {
        let rules = !self.rules.is_empty() && self.dropping.is_none();
        if !rules || self.inner > BODY_INNER_DEPTH_MAX {
            return Ok(None);
        }
        let (mark, text) =
            text.split_at(if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 });
        let mut found = Found::default();
        let mut out = mark.to_vec();
        let mut read = self.read_inside(&[text], look, &mut found, &mut out);
        if read == Err(TRAILING) {
            // A text in each line.
            let lines: Vec<&[u8]> = text.split_inclusive(|&b| b == b'\n').collect();
            (found, out) = (Found::default(), mark.to_vec());
            read = self.read_inside(&lines, look, &mut found, &mut out);
        }
        match read {
            Ok(()) if self.inner == BODY_INNER_DEPTH_MAX => Err(TOO_DEEP),
            Ok(()) => {
                look.found.add(found);
                Ok(Some(out))
            }
            // What any reader, or one with other limits, may take.
            Err(why @ (TWICE | TOO_MANY | NESTED | TOO_LONG | TOO_DEEP | write::SURROGATE)) => Err(why),
            Err(_) => Ok(self.nearly(text, look)),
        }
    }

    /// Reads texts of JSON one behind another.
    fn read_inside(
        &self,
        texts: &[&[u8]],
        look: &Look<'_>,
        found: &mut Found,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut inner = Json { inner: self.inner + 1, ..Json::new(self.rules.clone(), self.longest) };
        for text in texts {
            inner.push(&mut look.apart(found), text, out)?;
            inner.end(&mut look.apart(found), texts.len() > 1, out)?;
        }
        Ok(())
    }

    /// The same of a text before whose JSON stands what lenient readers take off.
    fn dressed(&self, text: &[u8], look: &mut Look<'_>) -> Option<Vec<u8>> {
        let rules = !self.rules.is_empty() && self.dropping.is_none();
        let behind = if rules { nearly::undressed(text)? } else { return None };
        self.nearly(behind, look)
    }

    /// What takes the place of a text that is no JSON, where a lenient reader finds what a rule names.
    fn nearly(&self, text: &[u8], look: &mut Look<'_>) -> Option<Vec<u8>> {
        let named = nearly::names(text);
        let (at, rule) = self.rules.all().iter().enumerate().find(|(_, rule)| {
            let governs = !rule.spares && !look.revealed.contains(&rule.class);
            governs && rule.path.last_name().is_some_and(|name| named.contains(name))
        })?;
        look.found.count(at, false);
        Some(rule.words.as_deref().map_or_else(|| placeholder(&rule.class), str::to_owned).into_bytes())
    }

    /// Writes what a rule puts in the place of the string that was read. What a part leaves is looked at as any other.
    fn mask_string(&mut self, rule: usize, text: &[u8]) -> Result<(), Unreadable> {
        let rule = self.rules.rule(rule);
        match rule.masks() {
            Masks::Part(keep) => {
                let text = std::str::from_utf8(text).map_err(|_| UNEXPECTED)?;
                let part = write::partial(text, keep);
                let kind = Kind::String { escaped: true };
                let raw = write::json_string(&part);
                self.window.token(&raw, &part, kind);
                self.stand(None, false, true);
            }
            Masks::Redacted => {
                let words = rule.words.as_deref().map_or_else(|| placeholder(&rule.class), str::to_owned);
                self.window.push(&write::json_string(words.as_bytes()));
            }
            Masks::Null => self.window.push(b"null"),
        }
        Ok(())
    }

    /// Bytes of a number that was cut, or the first behind it.
    fn number(
        &mut self,
        input: &mut Input<'_>,
        state: Number,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        let (taken, state) = state.all(input.rest(), 0);
        if self.token.len() + taken > self.longest {
            return Err(TOO_LONG);
        }
        self.hold(input, taken);
        self.lex = Lex::Number(state);
        match input.rest().is_empty() {
            true => Ok(()),
            false => self.end_held_number(state, look),
        }
    }

    fn end_held_number(&mut self, state: Number, look: &mut Look<'_>) -> Result<(), Unreadable> {
        let token = std::mem::take(&mut self.token);
        self.lex = Lex::Between;
        self.end_number(state, &token, Written::Held(&token), &mut Input::of(b""), look)
    }

    fn end_number(
        &mut self,
        state: Number,
        text: &[u8],
        written: Written<'_>,
        input: &mut Input<'_>,
        look: &mut Look<'_>,
    ) -> Result<(), Unreadable> {
        if !state.may_end() {
            return Err(UNEXPECTED);
        }
        let begun = self.begin(look);
        if let Some(marking) = &mut self.marking {
            mark(marking, self.frames.last(), &self.names, text);
        }
        match begun {
            None => self.keep_token(written, Text::alone(text), Kind::Number),
            Some(Begun { masked: None, reveals }) => {
                self.keep_token(written, Text::alone(text), Kind::Number);
                self.stand(reveals, true, false);
            }
            Some(Begun { masked: Some(rule), .. }) => {
                self.replace(written, input);
                self.window.push(match self.rules.rule(rule).masks() {
                    Masks::Null => b"null",
                    Masks::Redacted | Masks::Part(_) => b"0",
                });
            }
        }
        self.end_value();
        Ok(())
    }

    /// What the rules make of the value that begins: `None`, if that is nothing. Of several rules for one value the first that is not revealed
    /// counts; each counts it.
    #[inline]
    fn begin(&mut self, look: &mut Look<'_>) -> Option<Begun> {
        if self.rules.is_empty() || self.dropping.is_some() {
            return None;
        }
        let (ends, reveals) = match self.frames.last() {
            None => (self.rules.begin(&mut self.begun), None),
            Some(frame) => {
                let edge = match &frame.inside {
                    Inside::Object(members) => Edge::Key(self.names.last(members), members.last_tag()),
                    Inside::Array(index) => Edge::Index(*index),
                };
                let from = &self.reached[self.reached.len() - self.begun.len()..];
                (self.rules.follow(from, edge, &mut self.begun), frame.reveals())
            }
        };
        match ends {
            true => Some(self.governed(reveals, look)),
            false => reveals.map(|reveals| Begun { reveals: Some(reveals), masked: None }),
        }
    }

    /// The same of one at which a rule's path ends.
    #[inline(never)]
    fn governed(&mut self, around: Reveals, look: &mut Look<'_>) -> Begun {
        // A text that says the same in a string is a value's.
        if self.inner == 0 && self.rules.ending(&self.begun).any(|(_, rule)| rule.spares) {
            self.begun.fill(0);
            return Begun { reveals: around, masked: None };
        }
        let (mut reveals, mut masked) = (Vec::new(), None);
        for (i, rule) in self.rules.ending(&self.begun).filter(|(_, rule)| !rule.spares) {
            match look.revealed.contains(&rule.class) {
                true => reveals.push(i),
                false => masked = masked.or(Some(i)),
            }
        }
        for (i, rule) in self.rules.ending(&self.begun).filter(|(_, rule)| !rule.spares) {
            look.found.count(i, masked.is_none());
            if let Some(named) = rule.names.then(|| self.named()).flatten() {
                look.found.name(i, masked.is_none(), named);
            }
        }
        if reveals.is_empty() || masked.is_some() {
            return Begun { reveals: around, masked };
        }
        reveals.extend(around.iter().flat_map(|rules| rules.iter()));
        reveals.sort_unstable();
        reveals.dedup();
        Begun { reveals: Some(reveals.into()), masked }
    }

    /// A string that says who an object is.
    #[inline]
    fn identify(&mut self, text: &[u8]) {
        if self.rules.naming() && self.dropping.is_none() {
            self.identify_by(text);
        }
    }

    fn identify_by(&mut self, text: &[u8]) {
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
        let says = match self.names.last(members) {
            b"name" => &mut of.rare.get_or_insert_default().says.name,
            b"namespace" => &mut of.rare.get_or_insert_default().says.namespace,
            _ => return,
        };
        *says = Some(text.to_owned());
    }

    /// The member that is read, and whose it is.
    fn named(&self) -> Option<Named> {
        let Some(Inside::Object(members)) = self.frames.last().map(|frame| &frame.inside) else {
            return None;
        };
        let member = self.names.last(members);
        let member =
            std::str::from_utf8(member).ok().filter(|name| name.len() <= BODY_NAME_BYTES_MAX)?.to_owned();
        let says = self.frames.iter().rev().filter_map(|frame| Some(&frame.rare.as_ref()?.says));
        let of = { says }.find(|says| says.name.is_some());
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

    /// A token as it came, unless it is left out.
    #[inline(always)]
    fn keep_token(&mut self, written: Written<'_>, text: Text<'_>, kind: Kind) {
        match written {
            _ if self.dropping.is_some() => {}
            Written::Here(length) => self.window.pass_token(length, text, kind),
            Written::Held(written) => self.window.token(written, text.bytes(), kind),
        }
    }

    /// How the last token stands: the rules that reveal it, whether it is a value, and whether it may go on in the next event.
    #[inline]
    fn stand(&mut self, reveals: Reveals, value: bool, goes_on: bool) {
        if reveals.is_none() && self.marking.is_none() || self.dropping.is_some() {
            return;
        }
        let place = self.place().filter(|_| goes_on);
        if reveals.is_some() || place.is_some() {
            self.window.stand(Standing { reveals, value, place });
        }
    }

    /// What comes next to the window takes the place of a token.
    fn replace(&mut self, written: Written<'_>, input: &mut Input<'_>) {
        if let Written::Here(length) = written {
            self.window.hand_over(input.all_but(length));
        }
    }

    /// Bytes that are no token, as they came, unless they are left out.
    #[inline]
    fn keep(&mut self, input: &mut Input<'_>, bytes: usize) {
        input.pass(bytes);
        if self.dropping.is_none() {
            self.window.pass(bytes);
        }
    }

    /// Bytes of a token that is cut.
    fn hold(&mut self, input: &mut Input<'_>, bytes: usize) {
        self.token.extend_from_slice(&input.rest()[..bytes]);
        self.leave_out(input, bytes);
    }

    /// Bytes that are not kept as they came.
    fn leave_out(&mut self, input: &mut Input<'_>, bytes: usize) {
        self.catch_up(input);
        input.pass(bytes);
        input.all_but(0);
    }

    /// The window gets what is kept of the input so far.
    fn catch_up(&mut self, input: &mut Input<'_>) {
        let bytes = input.all_but(0);
        if self.dropping.is_none() {
            self.window.hand_over(bytes);
        }
    }

    fn push_all(&mut self, bytes: &[u8]) {
        if self.dropping.is_none() {
            self.window.push(bytes);
        }
    }
}

impl Frame {
    /// The rules that reveal it, or what is around it.
    #[inline]
    fn reveals(&self) -> Reveals {
        self.rare.as_ref().and_then(|rare| rare.reveals.clone())
    }

    /// Where the value that is read in it stands.
    fn path_of_value(&self, names: &Names) -> Path {
        match &self.inside {
            Inside::Object(members) => self.path.name(names.last(members)),
            Inside::Array(index) => self.path.index(*index),
        }
    }
}

/// Whether a string's text begins as JSON does of which rules could say something.
#[inline]
fn may_be_json(text: &[u8]) -> bool {
    let begins = |b: Option<&u8>| matches!(b, Some(b'{' | b'[' | b'"'));
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    match text.first() {
        Some(first) if first.is_ascii_whitespace() => begins(text.trim_ascii_start().first()),
        first => begins(first),
    }
}

fn mark(marking: &mut Marking, frame: Option<&Frame>, names: &Names, value: &[u8]) {
    if let Some(frame @ Frame { inside: Inside::Object(members), .. }) = frame {
        marking.add(names.last(members), || frame.path_of_value(names), value);
    }
}
