//! JSON, read once and strictly. Spec: RFC 8259.
//!
//! Why our own: two readers of one text must not differ. A name that stands twice in an object, and a name that some
//! readers take for another because they do not mind its case, are refused, not resolved; the order of members and
//! the digits of numbers stay as they came. serde_json's reading is compared with this one in tests.
//!
//! Its readers are the decoders of bodies: `proto-http` (models, MCP) and `proto-kubernetes`. What masks JSON as it streams
//! is the mask crate's own reader, which holds no tree. [`yaml`] writes YAML as JSON, as strictly.

#![forbid(unsafe_code)]

use memchr::memchr2;
use std::borrow::Cow;

pub mod yaml;

/// Arrays and objects in one another. Schemas of tools are nested deepest, about 20; a reader of ours recurses.
pub const JSON_DEPTH_MAX: usize = 64;

/// Values of one JSON text. Each costs at most 80 bytes beside its text, and twice that where a vector has just grown:
/// 40 MiB while it is read. A message has about ten.
pub const JSON_VALUES_MAX: usize = 256 << 10;

/// A text that has no reading, or more than one. A constant sentence; the caller refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

/// A value, and the text that it was read from.
pub struct Value<'a> {
    /// As it is written.
    pub raw: &'a str,
    pub kind: Kind<'a>,
}

/// What a value is.
pub enum Kind<'a> {
    Null,
    Bool(bool),
    /// Its digits are in [`Value::raw`].
    Number,
    Text(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// The members of an object of which the protocol says what they mean.
#[derive(Clone, Copy)]
pub struct Object<'v, 'a>(&'v [(Cow<'a, str>, Value<'a>)]);

/// One JSON text and nothing behind it. Errors: not UTF-8, malformed, a name twice in an object, deeper than
/// [`JSON_DEPTH_MAX`], more than [`JSON_VALUES_MAX`] values.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable("the JSON is not UTF-8"))?;
    let mut parser = Parser { text, at: 0, values: 0 };
    let value = parser.value(0)?;
    parser.space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(MALFORMED),
    }
}

/// `raw`, which was read as JSON, without the white space between its tokens.
pub fn compact(raw: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        if quoted {
            (quoted, escaped) = (escaped || *c != '"', !escaped && *c == '\\');
            return true;
        }
        quoted = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    raw.chars().filter(keep).collect()
}

/// Raw bytes are opaque: neither names nor texts are shown.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value({} bytes withheld)", self.raw.len())
    }
}

impl<'a> Value<'a> {
    /// The same for all texts that say the same: without white space between tokens, the members of objects in the order
    /// of their names, escapes only where they must be. Numbers stay as they are written.
    pub fn canonical(&self, out: &mut String) {
        let between = |out: &mut String, n: usize| {
            if n > 0 {
                out.push(',')
            }
        };
        match &self.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number => out.push_str(self.raw),
            Kind::Text(text) => string(out, text),
            Kind::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    between(out, n);
                    item.canonical(out);
                }
                out.push(']');
            }
            Kind::Object(members) => {
                let mut sorted: Vec<&(Cow<'_, str>, Value<'_>)> = members.iter().collect();
                sorted.sort_by(|one, two| one.0.cmp(&two.0));
                out.push('{');
                for (n, (name, value)) in sorted.into_iter().enumerate() {
                    between(out, n);
                    string(out, name);
                    out.push(':');
                    value.canonical(out);
                }
                out.push('}');
            }
        }
    }

    /// Errors: it is none.
    pub fn object(&self) -> Result<Object<'_, 'a>, Unreadable> {
        match &self.kind {
            Kind::Object(members) => Ok(Object(members)),
            _ => Err(Unreadable("a value is not the object that stands here")),
        }
    }

    /// Whether it is an array or an object.
    pub fn is_structured(&self) -> bool {
        matches!(self.kind, Kind::Array(_) | Kind::Object(_))
    }

    /// Errors: it is none.
    pub fn text(&self) -> Result<&str, Unreadable> {
        match &self.kind {
            Kind::Text(text) => Ok(text),
            _ => Err(Unreadable("a value is not the text that stands here")),
        }
    }
}

impl<'v, 'a> Object<'v, 'a> {
    /// In their order.
    pub fn members(self) -> &'v [(Cow<'a, str>, Value<'a>)] {
        self.0
    }

    /// `None` if it is not there or null. Errors: another name that some readers take for this one.
    pub fn get(self, name: &str) -> Result<Option<&'v Value<'a>>, Unreadable> {
        let mut found = None;
        for (key, value) in self.0 {
            if key == name {
                found = Some(value);
            } else if folds(key, name) {
                return Err(Unreadable("a name differs from a known one only in the case of its letters"));
            }
        }
        Ok(found.filter(|value| !matches!(value.kind, Kind::Null)))
    }

    pub fn text(self, name: &str) -> Result<Option<&'v str>, Unreadable> {
        self.get(name)?.map(Value::text).transpose()
    }

    /// The text, or `""`.
    pub fn text_or_empty(self, name: &str) -> Result<&'v str, Unreadable> {
        Ok(self.text(name)?.unwrap_or_default())
    }

    /// A text that must be there and say something.
    pub fn need(self, name: &str, missing: &'static str) -> Result<&'v str, Unreadable> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or(Unreadable(missing))
    }

    pub fn list(self, name: &str) -> Result<Option<&'v [Value<'a>]>, Unreadable> {
        match self.get(name)?.map(|value| &value.kind) {
            None => Ok(None),
            Some(Kind::Array(items)) => Ok(Some(items)),
            Some(_) => Err(Unreadable("a value is not the array that stands here")),
        }
    }

    /// The items of an array, or none.
    pub fn items(self, name: &str) -> Result<&'v [Value<'a>], Unreadable> {
        Ok(self.list(name)?.unwrap_or_default())
    }

    pub fn object(self, name: &str) -> Result<Option<Object<'v, 'a>>, Unreadable> {
        self.get(name)?.map(Value::object).transpose()
    }

    /// Whether it is `true`.
    pub fn flag(self, name: &str) -> Result<bool, Unreadable> {
        match self.get(name)?.map(|value| &value.kind) {
            None => Ok(false),
            Some(Kind::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Unreadable("a value is not the true or false that stands here")),
        }
    }

    pub fn count(self, name: &str) -> Result<Option<u64>, Unreadable> {
        let number = |value: &Value<'_>| match value.kind {
            Kind::Number => value.raw.parse().map_err(|_| NO_COUNT),
            _ => Err(NO_COUNT),
        };
        self.get(name)?.map(number).transpose()
    }

    /// Whether a member is an array or an object and none of `known`.
    pub fn has_structure_beside(self, known: &[&str]) -> bool {
        self.0.iter().any(|(key, value)| value.is_structured() && !known.contains(&key.as_ref()))
    }
}

/// Appends a JSON string (RFC 8259, 7), with its quotes.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What [`JSON_VALUES_MAX`] reckons with.
const _: () = assert!(size_of::<(Cow<'_, str>, Value<'_>)>() <= 80);

const MALFORMED: Unreadable = Unreadable("the JSON is malformed");
const NO_COUNT: Unreadable = Unreadable("a value is not the whole number that stands here");

/// Whether a reader that does not mind case takes `key` for `name`.
pub fn folds(key: &str, name: &str) -> bool {
    key.chars().map(fold).eq(name.chars().map(fold))
}

/// A name as readers have it that do not mind case. Go's folds as Unicode does: the long s and the sign of kelvin are letters
/// of ASCII to it.
pub fn folded(name: &str) -> String {
    name.chars().map(fold).collect()
}

fn fold(c: char) -> char {
    match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    /// `depth`: of the arrays and objects around it.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Unreadable> {
        self.values += 1;
        if self.values > JSON_VALUES_MAX {
            return Err(Unreadable("the JSON has more than 262,144 values"));
        }
        self.space();
        let from = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b'"') => Kind::Text(self.string()?),
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            _ => self.number()?,
        };
        Ok(Value { raw: self.since(from)?, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Kind<'a>, Unreadable> {
        let mut members = Vec::new();
        self.open(depth)?;
        if self.next_is(b'}') {
            return Ok(Kind::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.expect(b':')?;
            members.push((name, self.value(depth)?));
            if self.next_is(b'}') {
                break;
            }
            self.expect(b',')?;
        }
        match has_twice(&members) {
            true => Err(Unreadable("the JSON says a name twice in one object")),
            false => Ok(Kind::Object(members)),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Kind<'a>, Unreadable> {
        let mut items = Vec::new();
        self.open(depth)?;
        if self.next_is(b']') {
            return Ok(Kind::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.next_is(b']') {
                return Ok(Kind::Array(items));
            }
            self.expect(b',')?;
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.at += 1;
        match depth > JSON_DEPTH_MAX {
            true => Err(Unreadable("the JSON is nested deeper than 64")),
            false => Ok(()),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        if self.peek() != Some(b'"') {
            return Err(MALFORMED);
        }
        self.at += 1;
        let mut decoded = Cow::Borrowed("");
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let from = self.at;
            self.at += memchr2(b'"', b'\\', rest).ok_or(MALFORMED)?;
            let piece = self.since(from)?;
            if piece.bytes().any(|byte| byte < 0x20) {
                return Err(MALFORMED);
            }
            decoded += piece;
            self.at += 1;
            if self.text.as_bytes().get(self.at - 1) == Some(&b'"') {
                return Ok(decoded);
            }
            decoded.to_mut().push(self.escape()?);
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, Unreadable> {
        let escape = self.peek().ok_or(MALFORMED)?;
        self.at += 1;
        match escape {
            b'"' | b'\\' | b'/' => Ok(char::from(escape)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => self.unicode(),
            _ => Err(MALFORMED),
        }
    }

    /// One escape of four digits, or the two of a surrogate pair. Half a pair is refused: readers replace it, drop it
    /// or keep it.
    fn unicode(&mut self) -> Result<char, Unreadable> {
        const HALF: Unreadable = Unreadable("a text of the JSON has half a surrogate pair");
        let first = self.digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(HALF);
        }
        if self.text.as_bytes().get(self.at..self.at + 2) != Some(b"\\u") {
            return Err(HALF);
        }
        self.at += 2;
        match self.digits()? {
            second @ 0xdc00..0xe000 => {
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(HALF)
            }
            _ => Err(HALF),
        }
    }

    fn digits(&mut self) -> Result<u32, Unreadable> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(MALFORMED)?;
        self.at += 4;
        let digit = |value: u32, c: char| Some(value << 4 | c.to_digit(16)?);
        digits.chars().try_fold(0, digit).ok_or(MALFORMED)
    }

    fn number(&mut self) -> Result<Kind<'a>, Unreadable> {
        self.skip(b"-");
        if !self.skip(b"0") {
            self.some_digits()?;
        }
        if self.skip(b".") {
            self.some_digits()?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            self.some_digits()?;
        }
        Ok(Kind::Number)
    }

    fn some_digits(&mut self) -> Result<(), Unreadable> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(MALFORMED) }
    }

    fn word(&mut self, word: &str, kind: Kind<'a>) -> Result<Kind<'a>, Unreadable> {
        let from = self.at;
        self.at += word.len();
        if self.since(from)? == word { Ok(kind) } else { Err(MALFORMED) }
    }

    fn skip(&mut self, any: &[u8]) -> bool {
        let is = self.peek().is_some_and(|byte| any.contains(&byte));
        self.at += usize::from(is);
        is
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.space();
        self.skip(&[byte])
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.next_is(byte) { Ok(()) } else { Err(MALFORMED) }
    }

    fn space(&mut self) {
        while self.skip(b" \t\n\r") {}
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, from: usize) -> Result<&'a str, Unreadable> {
        self.text.get(from..self.at).ok_or(MALFORMED)
    }
}

fn has_twice(members: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).any(|two| two.first() == two.last())
}
