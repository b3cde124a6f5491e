//! One reading of a request target: the segments of its path and the pairs of its query, each percent-decoded once.
//! Spec: RFC 3986, 3.3 and 3.4; Go's net/url, which the API server reads it with.
//!
//! The API server splits the *decoded* path, so that `%2F` separates segments there and not in a proxy before it; its
//! mux cleans `//` and `..` by a redirect; Go drops pairs with a semicolon. All of that is refused, not repaired: what was
//! decided goes upstream byte for byte.

use crate::fault::{self as why, Reason};
use crate::limits::*;
use std::fmt;

/// A path and a query.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `/a/b` is `["a", "b"]`; `/` has none.
    pub segments: Vec<String>,
    /// `/a/`. False for `/`.
    pub trailing_slash: bool,
    /// Names and values in their order; one without `=` has an empty value.
    pub pairs: Vec<(String, String)>,
}

impl Target {
    /// Reads `/PATH[?QUERY]`. Errors (side: client): those of the target in [`crate::fault`].
    pub fn parse(raw: &[u8]) -> Result<Target, Reason> {
        if raw.len() > TARGET_BYTES_MAX {
            return Err(why::TARGET_TOO_LONG);
        }
        if raw.iter().any(|b| !b.is_ascii_graphic() || matches!(b, b'#' | b'\\')) {
            return Err(why::BAD_BYTE);
        }
        let (path, query) = match raw.iter().position(|b| *b == b'?') {
            Some(at) => (raw.get(..at), raw.get(at + 1..)),
            None => (Some(raw), None),
        };
        let (segments, trailing_slash) = segments(path.unwrap_or_default())?;
        let pairs = query.map_or(Ok(Vec::new()), pairs)?;
        Ok(Target { segments, trailing_slash, pairs })
    }
}

/// A path may hold names and a query may hold a command: only their number is shown.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({} segments, {} pairs)", self.segments.len(), self.pairs.len())
    }
}

fn segments(path: &[u8]) -> Result<(Vec<String>, bool), Reason> {
    let inside = path.strip_prefix(b"/").ok_or(why::NO_PATH)?;
    if inside.is_empty() {
        return Ok((Vec::new(), false));
    }
    let (inside, slash) = match inside.strip_suffix(b"/") {
        Some(inside) => (inside, true),
        None => (inside, false),
    };
    if inside.split(|b| *b == b'/').count() > SEGMENTS_MAX {
        return Err(why::TOO_MANY_SEGMENTS);
    }
    Ok((inside.split(|b| *b == b'/').map(segment).collect::<Result<_, _>>()?, slash))
}

fn segment(raw: &[u8]) -> Result<String, Reason> {
    let decoded = decode(raw, false)?;
    match &*decoded {
        "" => Err(why::EMPTY_SEGMENT),
        "." | ".." => Err(why::DOT_SEGMENT),
        text if text.contains(['/', '\\', '%']) => Err(why::HIDDEN_SEPARATOR),
        _ => Ok(decoded),
    }
}

fn pairs(query: &[u8]) -> Result<Vec<(String, String)>, Reason> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    if query.contains(&b';') {
        return Err(why::QUERY_SEMICOLON);
    }
    if query.split(|b| *b == b'&').count() > PAIRS_MAX {
        return Err(why::TOO_MANY_PAIRS);
    }
    query.split(|b| *b == b'&').filter(|raw| !raw.is_empty()).map(pair).collect()
}

fn pair(raw: &[u8]) -> Result<(String, String), Reason> {
    let (name, value) = match raw.iter().position(|b| *b == b'=') {
        Some(at) => (raw.get(..at).unwrap_or_default(), raw.get(at + 1..).unwrap_or_default()),
        None => (raw, &[][..]),
    };
    match name.is_empty() {
        true => Err(why::QUERY_EMPTY_PAIR),
        false => Ok((decode(name, true)?, decode(value, true)?)),
    }
}

/// Undoes escapes once. `query`: a `+` is a space, and line feeds and tabs may stand there (a script of an exec).
fn decode(raw: &[u8], query: bool) -> Result<String, Reason> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, behind @ ..] = rest {
        let (byte, next) = match (first, behind) {
            (b'%', [high, low, next @ ..]) => (hex(*high)? << 4 | hex(*low)?, next),
            (b'%', _) => return Err(why::BAD_ESCAPE),
            (b'+', _) if query => (b' ', behind),
            (byte, _) => (*byte, behind),
        };
        decoded.push(byte);
        rest = next;
    }
    let text = String::from_utf8(decoded).map_err(|_| why::BAD_TEXT)?;
    let permitted = |c: char| !c.is_control() || query && matches!(c, '\n' | '\t' | '\r' | '\u{1b}');
    match text.chars().all(permitted) {
        true => Ok(text),
        false => Err(why::BAD_TEXT),
    }
}

fn hex(digit: u8) -> Result<u8, Reason> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(why::BAD_ESCAPE),
    }
}
