//! What a body is, by its Content-Type and Content-Encoding. Spec: RFC 9110, 8.3 and 8.4; RFC 2046, 5.1.1.
//!
//! This says which scanner reads the body. A declaration that is missing or not understood is [`Media::Unknown`], and
//! one whose text is in a charset that the scanners do not read is [`Media::Binary`]: neither is taken for harmless.

use crate::fault::{self as why, Reason};
use crate::head::{Headers, is_token, trim};
use crate::limits::*;

/// Kind of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`, `text/json`, `+json`.
    Json,
    /// One JSON text per line.
    Ndjson,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/*`.
    Multipart { boundary: String },
    /// `text/event-stream`.
    EventStream,
    /// Text without a structure that we read: `text/*`, XML, YAML, scripts.
    Text,
    /// Everything else, and text in a charset that is neither UTF-8 nor a single-byte superset of ASCII that we read.
    Binary,
    /// No body and no Content-Type.
    None,
    /// A body whose Content-Type is missing or malformed.
    Unknown,
}

/// A content coding, outermost last, as they were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    Deflate,
    Br,
    Zstd,
    Identity,
    /// A coding that we do not know: the body cannot be read.
    Unknown,
}

impl Media {
    /// Reads Content-Type. `has_body`: the framing allows one. Errors: several Content-Type fields.
    pub fn of(headers: &Headers, has_body: bool) -> Result<Media, Reason> {
        let mut types = headers.all("content-type");
        match (types.next(), types.next()) {
            (None, _) if has_body => Ok(Media::Unknown),
            (None, _) => Ok(Media::None),
            (Some(_), Some(_)) => Err(why::CONTENT_TYPES),
            (Some(value), None) => Ok(Type::parse(value.as_bytes()).map_or(Media::Unknown, Type::media)),
        }
    }
}

/// Content-Type of a text in windows-1252 (or in ISO-8859-1, which readers take for that: WHATWG Encoding, 4.2) as it is of
/// the same text in UTF-8. `None`: it is in another charset, its structure says that it is UTF-8 (JSON, events, forms), or it
/// may say itself what it is in (XML).
pub fn latin_in_utf8(value: &[u8]) -> Option<String> {
    let parsed = Type::parse(value)?;
    let latin = parsed.charset.as_deref().is_some_and(is_latin);
    let plain = textual(&parsed.kind, &parsed.subtype) == Media::Text && !parsed.subtype.ends_with("xml");
    if !latin || !plain {
        return None;
    }
    let says =
        |part: &&str| part.trim_start().get(..8).is_some_and(|name| name.eq_ignore_ascii_case("charset="));
    let parts: Vec<&str> = std::str::from_utf8(value).ok()?.split(';').filter(|part| !says(part)).collect();
    Some(format!("{}; charset=utf-8", parts.join(";").trim_end()))
}

/// Appends a text in windows-1252, in UTF-8.
pub fn push_latin(text: &[u8], out: &mut Vec<u8>) {
    /// From 0x80 to 0x9F; the five that are none are the controls of Unicode.
    const HIGH: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
        '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}',
        '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}',
        '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    for byte in text {
        let c = match byte {
            0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
            byte => char::from(*byte),
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl Encoding {
    /// Reads Content-Encoding, of all its fields. Errors: an element that is no token, more than [`ENCODINGS_MAX`].
    pub fn of(headers: &Headers) -> Result<Vec<Encoding>, Reason> {
        let codings = || headers.list("content-encoding");
        if !codings().all(is_token) {
            return Err(why::ENCODINGS);
        }
        if codings().count() > ENCODINGS_MAX {
            return Err(why::TOO_MANY_ENCODINGS);
        }
        Ok(codings().map(Encoding::parse).collect())
    }

    fn parse(coding: &[u8]) -> Encoding {
        match coding.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Encoding::Gzip,
            b"deflate" => Encoding::Deflate,
            b"br" => Encoding::Br,
            b"zstd" => Encoding::Zstd,
            b"identity" => Encoding::Identity,
            _ => Encoding::Unknown,
        }
    }
}

/// What some readers of event streams take for the end of a line, beside line feed and carriage return.
pub(crate) const LINE_ENDS: &[char] =
    &['\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// A media type, in lower case, and the two parameters that we read.
struct Type {
    kind: String,
    subtype: String,
    charset: Option<String>,
    boundary: Option<String>,
}

impl Type {
    /// `None` if it is malformed or says one of our parameters twice.
    fn parse(value: &[u8]) -> Option<Type> {
        let text = std::str::from_utf8(value).ok()?;
        let (essence, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        let (kind, subtype) = essence.trim_end_matches([' ', '\t']).split_once('/')?;
        if !is_token(kind.as_bytes()) || !is_token(subtype.as_bytes()) {
            return None;
        }
        let mut parsed = Type {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            charset: None,
            boundary: None,
        };
        while !rest.is_empty() {
            let (name, value, behind) = parameter(rest)?;
            if !name.is_empty() {
                parsed.put(&name, value)?;
            }
            rest = behind;
        }
        Some(parsed)
    }

    fn put(&mut self, name: &str, value: String) -> Option<()> {
        let place = match name {
            "charset" => &mut self.charset,
            "boundary" => &mut self.boundary,
            _ => return Some(()),
        };
        place.replace(value).is_none().then_some(())
    }

    fn media(self) -> Media {
        if self.kind == "multipart" {
            let boundary = self.boundary.filter(|boundary| is_boundary(boundary.as_bytes()));
            return boundary.map_or(Media::Unknown, |boundary| Media::Multipart { boundary });
        }
        let media = textual(&self.kind, &self.subtype);
        let readable = self.charset.as_deref().is_none_or(is_readable);
        if readable { media } else { Media::Binary }
    }
}

fn textual(kind: &str, subtype: &str) -> Media {
    match (kind, subtype) {
        ("application" | "text", "json") => Media::Json,
        (
            "application" | "text",
            "x-ndjson" | "ndjson" | "jsonl" | "x-jsonl" | "jsonlines" | "x-jsonlines",
        ) => Media::Ndjson,
        ("application", "x-www-form-urlencoded") => Media::Form,
        ("text", "event-stream") => Media::EventStream,
        ("text", _) => Media::Text,
        (_, subtype) if subtype.ends_with("+json") => Media::Json,
        (_, subtype) if subtype.ends_with("+xml") || subtype.ends_with("+yaml") => Media::Text,
        (
            "application",
            "xml" | "javascript" | "x-javascript" | "ecmascript" | "yaml" | "x-yaml" | "graphql" | "sql"
            | "toml" | "x-sh" | "x-httpd-php",
        ) => Media::Text,
        _ => Media::Binary,
    }
}

fn is_readable(charset: &str) -> bool {
    const READABLE: &[&str] = &["utf-8", "utf8", "us-ascii", "ascii"];
    READABLE.iter().any(|known| charset.eq_ignore_ascii_case(known)) || is_latin(charset)
}

fn is_latin(charset: &str) -> bool {
    const LATIN: &[&str] = &["iso-8859-1", "iso8859-1", "latin1", "windows-1252", "cp1252"];
    LATIN.iter().any(|known| charset.eq_ignore_ascii_case(known))
}

/// Takes `; name=value` off the front: the name in lower case, the value unquoted. A lone `;` gives an empty name.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let text = text.strip_prefix(';')?.trim_start_matches([' ', '\t']);
    if text.is_empty() || text.starts_with(';') {
        return Some((String::new(), String::new(), text));
    }
    let (name, rest) = text.split_once('=')?;
    if !is_token(name.as_bytes()) {
        return None;
    }
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let (value, rest) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
            let value = trim(value.as_bytes());
            (is_token(value).then(|| String::from_utf8(value.to_vec()).ok())??, rest)
        }
    };
    Some((name.to_ascii_lowercase(), value, rest.trim_start_matches([' ', '\t'])))
}

/// Reads a quoted string behind its first quote; gives what stands behind its last. RFC 9110, 5.6.4.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            // A quote is one byte.
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn is_boundary(boundary: &[u8]) -> bool {
    let sized = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && !boundary.ends_with(b" ");
    sized && boundary.iter().all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(b))
}
