//! One reading of a request target: the segments of its path and the pairs of its query, each percent-decoded once.
//! Spec: RFC 9112, 3.2 "Request Target"; RFC 3986, 3.3, 3.4 and 5.2.4.
//!
//! Servers disagree about dot segments, empty segments, backslashes, encoded separators, and what a second decoding
//! would give. A rule about `/admin` is worth nothing if upstream reads `/x/..%2Fadmin` as it. So a path that two
//! servers could read differently is refused, not normalized: what was decided goes upstream, byte for byte.
//!
//! Path parameters (`;a=b`) stay part of their segment: a rule or route that does not name them does not match.

use crate::fault::{self as why, Reason};
use crate::limits::*;
use memchr::memchr;
use std::fmt;
use wire::RawField;

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Origin(Origin),
    /// `OPTIONS *`: the server as a whole.
    Asterisk,
}

/// A path and a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The target as it came, and as it goes upstream.
    pub raw: RawField,
    pub path: Path,
    /// `None` without a `?`.
    pub query: Option<Query>,
}

/// `/a/b` is `["a", "b"]`; `/` has no segments.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    /// `/a/`, which many servers take for another resource than `/a`. `false` for `/`.
    pub trailing_slash: bool,
}

/// The part behind `?`, read as a form (`application/x-www-form-urlencoded`), which is how most servers do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub raw: RawField,
    /// Names and values in order; a piece without `=` is a name with an empty value, empty pieces are left out.
    pub pairs: Vec<(RawField, RawField)>,
}

impl Target {
    /// Reads a target. `options`: the method is OPTIONS. Errors: the reasons of kind `AMBIGUOUS_TARGET` and
    /// `UNSUPPORTED_FORM`, and `TOO_MANY`.
    pub fn parse(raw: &RawField, options: bool) -> Result<Target, Reason> {
        match raw.as_bytes() {
            b"*" if options => Ok(Target::Asterisk),
            b"*" => Err(why::ASTERISK),
            [b'/', ..] => origin(raw).map(Target::Origin),
            _ => Err(why::PROXY_FORM),
        }
    }
}

/// Segments may be secrets (a token in a path); only their number is shown.
impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({} segments)", self.segments.len())
    }
}

fn origin(raw: &RawField) -> Result<Origin, Reason> {
    let whole = raw.to_bytes();
    if memchr(b'#', &whole).is_some() {
        return Err(why::FRAGMENT);
    }
    let mark = memchr(b'?', &whole);
    let path = whole.slice(..mark.unwrap_or(whole.len()));
    let query = mark.map(|mark| query(RawField::new(whole.slice(mark + 1..)))).transpose()?;
    Ok(Origin { raw: raw.clone(), path: parse_path(&path)?, query })
}

fn parse_path(path: &[u8]) -> Result<Path, Reason> {
    if memchr(b'\\', path).is_some() {
        return Err(why::BACKSLASH);
    }
    let inside = path.strip_prefix(b"/").unwrap_or(path);
    if inside.is_empty() {
        return Ok(Path { segments: Vec::new(), trailing_slash: false });
    }
    let (inside, trailing_slash) = match inside.strip_suffix(b"/") {
        Some(inside) => (inside, true),
        None => (inside, false),
    };
    if inside.split(|b| *b == b'/').count() > SEGMENTS_MAX {
        return Err(why::TOO_MANY_SEGMENTS);
    }
    let segments = inside.split(|b| *b == b'/').map(segment).collect::<Result<_, _>>()?;
    Ok(Path { segments, trailing_slash })
}

fn segment(raw: &[u8]) -> Result<String, Reason> {
    let decoded = decode(raw, false)?;
    if decoded.iter().any(|b| matches!(b, b'/' | b'\\')) {
        return Err(why::ENCODED_SEPARATOR);
    }
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(why::ENCODED_CONTROL);
    }
    if decoded.windows(3).any(|three| escaped(three).is_some()) {
        return Err(why::ENCODED_TWICE);
    }
    // Some servers drop what stands behind `;` before they look for dots.
    match decoded.split(|b| *b == b';').next().unwrap_or_default() {
        b"" => return Err(why::EMPTY_SEGMENT),
        b"." | b".." => return Err(why::DOT_SEGMENT),
        _ => {}
    }
    String::from_utf8(decoded).map_err(|_| why::NOT_UTF8)
}

fn query(raw: RawField) -> Result<Query, Reason> {
    let pieces = || raw.as_bytes().split(|b| *b == b'&').filter(|piece| !piece.is_empty());
    if pieces().count() > QUERY_PAIRS_MAX {
        return Err(why::TOO_MANY_PAIRS);
    }
    let pairs = pieces().map(pair).collect::<Result<_, _>>()?;
    Ok(Query { raw, pairs })
}

fn pair(piece: &[u8]) -> Result<(RawField, RawField), Reason> {
    let mut halves = piece.splitn(2, |b| *b == b'=');
    let mut half = || decode(halves.next().unwrap_or_default(), true).map(|text| RawField::new(text.into()));
    Ok((half()?, half()?))
}

/// Decodes each escape once; `plus`: a plus sign is a space, as in forms.
fn decode(raw: &[u8], plus: bool) -> Result<Vec<u8>, Reason> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, behind @ ..] = rest {
        let (byte, next) = match first {
            b'%' => (escaped(rest).ok_or(why::ESCAPE)?, behind.get(2..).unwrap_or_default()),
            b'+' if plus => (b' ', behind),
            _ => (*first, behind),
        };
        decoded.push(byte);
        rest = next;
    }
    Ok(decoded)
}

/// The byte that `%XX` at the front stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}
