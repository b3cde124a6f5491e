//! Bodies of parts: `multipart/*` (RFC 2046, 5.1), as `multipart/form-data` (RFC 7578) uses it.
//!
//! Strict: no preamble and no epilogue, lines end with CRLF, and whatever a lenient reader could take for a delimiter
//! is refused where a strict one would not.

use std::sync::Arc;

use memchr::memmem::{Finder, find};

use super::found::Look;
use super::{Engine, Media, PathRule, Unreadable};
use crate::limits::{BODY_BOUNDARY_BYTES_MAX, BODY_PART_HEADER_BYTES_MAX, BODY_PARTS_MAX};

const NO_DELIMITER: Unreadable = Unreadable("the parts are not delimited as RFC 2046 says");
const DOUBTFUL: Unreadable = Unreadable("a part has what some reader takes for a delimiter");
const HEADER: Unreadable = Unreadable("the header of a part is malformed");
const UNKNOWN_TYPE: Unreadable = Unreadable("a part is of a type that cannot be looked into");

pub(super) struct Multipart {
    rules: Arc<[PathRule]>,
    /// The longest string or number of its JSON, in bytes.
    pub(super) longest: usize,
    /// `--` and the boundary.
    dash: Vec<u8>,
    finder: Finder<'static>,
    /// What is not yet read.
    held: Vec<u8>,
    place: Place,
    parts: usize,
}

enum Place {
    /// Before the first delimiter.
    Start,
    /// Behind `--` and the boundary.
    Delimiter,
    Header,
    /// In the content of a part. Whether nothing of it was read.
    Content(Box<Engine>, bool),
    Epilogue,
}

impl Multipart {
    pub(super) fn new(
        boundary: &str,
        rules: Arc<[PathRule]>,
        longest: usize,
    ) -> Result<Multipart, Unreadable> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
        let length = (1..=BODY_BOUNDARY_BYTES_MAX).contains(&boundary.len());
        if !length || !boundary.bytes().all(fits) || boundary.ends_with(' ') {
            return Err(Unreadable("the boundary of the parts is none"));
        }
        let dash = format!("--{boundary}").into_bytes();
        let finder = Finder::new(&dash).into_owned();
        Ok(Multipart { rules, longest, dash, finder, held: Vec::new(), place: Place::Start, parts: 0 })
    }

    pub(super) fn push(
        &mut self,
        look: &mut Look<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        self.held.extend_from_slice(bytes);
        while self.step(look, out)? {}
        Ok(())
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match (self.place, &self.held[..]) {
            (Place::Start, b"") => Ok(()),
            (Place::Epilogue, end @ (b"" | b"\r\n")) => {
                out.extend_from_slice(end);
                Ok(())
            }
            _ => Err(Unreadable("the parts end too early")),
        }
    }

    /// Reads on as far as what is held allows; whether there may be more to read.
    fn step(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        match &self.place {
            Place::Start => self.start(out),
            Place::Delimiter => self.delimiter(out),
            Place::Header => self.header(look, out),
            Place::Content(..) => self.content(look, out),
            Place::Epilogue => match b"\r\n".starts_with(&self.held) {
                true => Ok(false),
                false => Err(Unreadable("something stands behind the last part")),
            },
        }
    }

    /// The first delimiter. Its CRLF may be missing: nothing stands before it.
    fn start(&mut self, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let whole = [b"\r\n", &self.dash[..]].concat();
        for opening in [&whole[..], &self.dash] {
            if self.held.starts_with(opening) {
                out.extend(self.held.drain(..opening.len()));
                self.place = Place::Delimiter;
                return Ok(true);
            }
        }
        match whole.starts_with(&self.held) || self.dash.starts_with(&self.held) {
            true => Ok(false),
            false => Err(NO_DELIMITER),
        }
    }

    /// What stands behind a boundary: a line's end, or `--` behind the last part.
    fn delimiter(&mut self, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        self.place = match self.held.get(..2) {
            Some(b"\r\n") => Place::Header,
            Some(b"--") if self.parts > 0 => Place::Epilogue,
            Some(_) => return Err(NO_DELIMITER),
            None => return Ok(false),
        };
        if matches!(self.place, Place::Header) {
            self.parts += 1;
        }
        if self.parts > BODY_PARTS_MAX {
            return Err(Unreadable("there are more than 256 parts"));
        }
        out.extend(self.held.drain(..2));
        Ok(true)
    }

    fn header(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        // Without a header the blank line comes at once.
        let end = if self.held.starts_with(b"\r\n") {
            Some(0)
        } else {
            find(&self.held, b"\r\n\r\n").map(|i| i + 2)
        };
        // Of a header that is short enough, at most its end and one byte more are held before the end is seen.
        if end.unwrap_or(self.held.len().saturating_sub(1)) > BODY_PART_HEADER_BYTES_MAX {
            return Err(Unreadable("the header of a part is longer than 8 KiB"));
        }
        let Some(end) = end else { return Ok(false) };
        let mut header = Header::default();
        let mut rest = &self.held[..end];
        while let Some(length) = find(rest, b"\r\n") {
            let line = &rest[..length];
            header.line(line)?;
            out.extend_from_slice(look.text(line).as_deref().unwrap_or(line));
            out.extend_from_slice(b"\r\n");
            rest = &rest[length + 2..];
        }
        out.extend_from_slice(b"\r\n");
        self.held.drain(..end + 2);
        self.place =
            Place::Content(Box::new(Engine::new(header.media()?, self.rules.clone(), self.longest)?), true);
        Ok(true)
    }

    fn content(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let found = self.next_delimiter()?;
        let Place::Content(engine, fresh) = &mut self.place else { return Ok(false) };
        // What could be the beginning of a delimiter, and the line's end before it, stays.
        let kept = self.dash.len() + 1;
        let length = found.unwrap_or(self.held.len().saturating_sub(kept));
        engine.push(look, &self.held[..length], out)?;
        *fresh &= length == 0;
        self.held.drain(..length);
        if found.is_none() {
            return Ok(false);
        }
        if let Place::Content(engine, _) = std::mem::replace(&mut self.place, Place::Delimiter) {
            engine.finish(look, out)?;
        }
        out.extend(self.held.drain(..self.dash.len() + 2));
        Ok(true)
    }

    /// Where the CRLF of the next delimiter is. A boundary at the beginning of a line that ends otherwise, or of the
    /// content, is refused.
    fn next_delimiter(&self) -> Result<Option<usize>, Unreadable> {
        let fresh = matches!(self.place, Place::Content(_, true));
        for at in self.finder.find_iter(&self.held) {
            match &self.held[..at] {
                [.., b'\r', b'\n'] => return Ok(Some(at - 2)),
                [.., b'\r' | b'\n'] => return Err(DOUBTFUL),
                [] if fresh => return Err(DOUBTFUL),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// What of a part's header says how its content is read.
#[derive(Default)]
struct Header {
    content_type: Option<String>,
    transfer_encoding: Option<String>,
    content_encoding: Option<String>,
}

impl Header {
    fn line(&mut self, line: &[u8]) -> Result<(), Unreadable> {
        let line = std::str::from_utf8(line).map_err(|_| HEADER)?;
        let (name, value) = line.split_once(':').ok_or(HEADER)?;
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let malformed = name.is_empty() || !name.bytes().all(token);
        if malformed || value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return Err(HEADER);
        }
        let field = match name.to_ascii_lowercase().as_str() {
            "content-type" => &mut self.content_type,
            "content-transfer-encoding" => &mut self.transfer_encoding,
            "content-encoding" => &mut self.content_encoding,
            _ => return Ok(()),
        };
        match field.replace(value.trim().to_ascii_lowercase()) {
            None => Ok(()),
            Some(_) => Err(Unreadable("the header of a part says twice how it is read")),
        }
    }

    /// What the content is read as. A part without a type is text (RFC 2046, 5.1).
    fn media(&self) -> Result<Media, Unreadable> {
        let plain = matches!(self.transfer_encoding.as_deref(), None | Some("7bit" | "8bit" | "binary"));
        if !plain || !matches!(self.content_encoding.as_deref(), None | Some("identity")) {
            return Err(Unreadable("a part is encoded in a way that is not undone"));
        }
        let mut pieces = self.content_type.as_deref().unwrap_or("text/plain").split(';').map(str::trim);
        let essence = pieces.next().unwrap_or_default();
        if !pieces.all(charset_is_utf8) {
            return Err(Unreadable("a part is in a character set other than UTF-8"));
        }
        let (kind, subtype) = essence.split_once('/').ok_or(UNKNOWN_TYPE)?;
        match (kind, subtype) {
            ("application", "json") => Ok(Media::Json),
            ("application", "x-ndjson" | "jsonl") => Ok(Media::JsonLines),
            ("application", "x-www-form-urlencoded") => Ok(Media::Form),
            ("application", "xml") => Ok(Media::Text),
            ("text", "event-stream") => Ok(Media::EventStream),
            ("text", _) => Ok(Media::Text),
            ("application", other) if other.ends_with("+json") => Ok(Media::Json),
            ("application", other) if other.ends_with("+xml") => Ok(Media::Text),
            _ => Err(UNKNOWN_TYPE),
        }
    }
}

/// Whether a parameter is none that names another character set. ASCII is a part of UTF-8.
fn charset_is_utf8(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let value = value.trim().trim_matches('"');
    !name.trim().starts_with("charset") || matches!(value, "utf-8" | "utf8" | "us-ascii" | "ascii")
}
