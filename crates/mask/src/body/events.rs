//! Event streams: `text/event-stream` (WHATWG HTML, 9.2). An event is read at its blank line, and held while a value that
//! begins in it could go on in the next (see [`super::joined`]).

use std::ops::Range;
use std::sync::Arc;

use super::Unreadable;
use super::found::{Found, Look};
use super::held::{Data, Event};
use super::joined::Texts;
use super::json::Json;
use super::piece::{Path, Piece, Place};
use super::rules::Rules;
use super::window::{Kind, Standing};
use crate::detect::Finding;
use crate::limits::{BODY_ENDPOINT_BYTES_MAX, BODY_EVENT_BYTES_MAX, BODY_EVENT_LINES_MAX};

pub(super) struct Events {
    rules: Arc<Rules>,
    /// The longest string or number of its data, in bytes.
    pub(super) longest: usize,
    /// The event that is being read, as it came.
    raw: Vec<u8>,
    /// Its whole lines, without their ends.
    lines: Vec<Range<usize>>,
    /// Where the line that is being read begins.
    line: usize,
    /// Whether a line feed would belong to the end of the last line.
    after_return: bool,
    first: bool,
    /// `None`: each event is a message, and has nothing of another.
    texts: Option<Texts>,
}

impl Events {
    pub(super) fn new(rules: Arc<Rules>, longest: usize) -> Events {
        let (raw, lines, texts) = (Vec::new(), Vec::new(), Some(Texts::default()));
        Events { rules, longest, raw, lines, line: 0, after_return: false, first: true, texts }
    }

    /// Each event is a message of its own.
    pub(super) fn messages(rules: Arc<Rules>, longest: usize) -> Events {
        Events { texts: None, ..Events::new(rules, longest) }
    }

    fn event_bytes_max(&self) -> usize {
        match self.texts {
            Some(_) => BODY_EVENT_BYTES_MAX,
            None => BODY_EVENT_BYTES_MAX.max(self.longest),
        }
    }

    /// Whether an event waits for the next.
    pub(super) fn waits(&self) -> bool {
        self.texts.as_ref().is_some_and(Texts::is_waiting)
    }

    /// Releases the events that wait.
    pub(super) fn let_go(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        if let Some(texts) = &mut self.texts {
            texts.release_all(look, out);
        }
    }

    pub(super) fn push(
        &mut self,
        look: &mut Look<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            if std::mem::take(&mut self.after_return) && byte == b'\n' {
                self.line_feed(out);
                rest = &rest[1..];
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', rest);
            let (piece, after) = rest.split_at(end.map_or(rest.len(), |i| i + 1));
            self.raw.extend_from_slice(piece);
            if self.raw.len() > self.event_bytes_max() {
                return Err(Unreadable("an event is longer than the gateway reads"));
            }
            if end.is_some() {
                self.after_return = piece.ends_with(b"\r");
                self.end_line(self.raw.len() - 1, look, out)?;
            }
            rest = after;
        }
        Ok(())
    }

    /// What is left has no blank line behind it: a reader drops it, or not. It is masked alike.
    pub(super) fn finish(mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.line < self.raw.len() {
            self.lines.push(self.line..self.raw.len());
        }
        self.release(false, look, out)?;
        self.let_go(look, out);
        Ok(())
    }

    /// The second half of a line's end.
    fn line_feed(&mut self, out: &mut Vec<u8>) {
        if self.raw.is_empty() {
            self.behind(b"\n", out);
        } else {
            self.raw.push(b'\n');
            self.line = self.raw.len();
        }
    }

    fn end_line(&mut self, end: usize, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let line = std::mem::replace(&mut self.line, self.raw.len())..end;
        if line.is_empty() {
            return self.release(true, look, out);
        }
        self.lines.push(line);
        match self.lines.len() > BODY_EVENT_LINES_MAX {
            true => Err(Unreadable("an event has more than 16,384 lines")),
            false => Ok(()),
        }
    }

    /// Bytes of no event, in their order.
    fn behind(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.texts {
            Some(texts) => texts.push_behind(bytes, out),
            None => out.extend_from_slice(bytes),
        }
    }

    /// Looks at the event, and releases what waits for nothing.
    fn release(&mut self, whole: bool, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let raw = std::mem::take(&mut self.raw);
        let lines = std::mem::take(&mut self.lines);
        self.line = 0;
        if lines.is_empty() {
            self.first = false;
            self.behind(&raw, out);
            return Ok(());
        }
        if std::str::from_utf8(&raw).is_err() {
            return Err(Unreadable("the event stream is not UTF-8"));
        }
        if std::mem::take(&mut self.first) && raw.starts_with(b"\xef\xbb\xbf") {
            return Err(Unreadable("the event stream begins with a byte order mark"));
        }
        let event = self.event(raw, &lines, whole, look)?;
        match &mut self.texts {
            Some(texts) => texts.push(event, look, out),
            None => {
                event.released(look, out);
                Ok(())
            }
        }
    }

    /// An event, looked at alone.
    fn event(
        &self,
        raw: Vec<u8>,
        lines: &[Range<usize>],
        whole: bool,
        look: &mut Look<'_>,
    ) -> Result<Event, Unreadable> {
        let lines = || lines.iter().map(|line| &raw[line.clone()]);
        let data: Vec<&[u8]> = lines().filter_map(payload).collect();
        let other: Vec<&[u8]> = lines().filter(|line| payload(line).is_none()).collect();
        let (has_data, other) = (!data.is_empty(), (!other.is_empty()).then(|| other.join(&b'\n')));
        let joined = data.join(&b'\n');
        let is_place = || lines().any(is_endpoint) && is_url(&joined);
        let mut data = match has_data {
            true if is_place() => Some(alone(joined, look)),
            true => Some(self.data(joined, look)?),
            false => None,
        };
        if let Some(data) = &mut data {
            let names = lines().filter_map(|line| field(line, b"event"));
            names.for_each(|name| data.marking.add(b"event", Path::default, name));
        }
        let other_masked = other.as_ref().and_then(|other| look.text(other));
        Ok(Event { other, other_masked, data, whole, raw })
    }

    /// The data of an event.
    fn data(&self, data: Vec<u8>, look: &mut Look<'_>) -> Result<Data, Unreadable> {
        if data.is_empty() {
            return Ok(Data::default());
        }
        let mut found = Found::default();
        match self.json(&data, &mut look.apart(&mut found)) {
            Ok(read) => {
                look.found.add(found);
                Ok(read)
            }
            // What is no JSON has no places that a rule could name, whatever a reader makes of it.
            Err(unreadable) if !self.rules.is_empty() && !ends_stream(&data) => Err(unreadable),
            Err(_) if self.texts.is_none() => Ok(alone(data, look)),
            Err(_) => {
                let mut findings = Vec::new();
                look.detectors.scan_deep(&data, &mut findings);
                Ok(piece(data, findings))
            }
        }
    }

    fn json(&self, data: &[u8], look: &mut Look<'_>) -> Result<Data, Unreadable> {
        let mut json = match self.texts {
            Some(_) => Json::of_event(self.rules.clone(), self.longest),
            None => Json::new(self.rules.clone(), self.longest),
        };
        let mut written = Vec::new();
        json.push(look, data, &mut written)?;
        json.end(look, false, &mut written)?;
        let (pieces, marking) = json.take_pieces();
        let changed = written != data;
        // A number alone may as well be a piece of a text that is no JSON.
        if self.texts.is_some() && !changed && !matches!(data.trim_ascii().first(), Some(b'{' | b'[' | b'"'))
        {
            return Ok(piece(written, Vec::new()));
        }
        Ok(Data { changed, written, json: true, pieces, marking })
    }
}

/// Data that are no piece of a text.
fn alone(data: Vec<u8>, look: &mut Look<'_>) -> Data {
    match look.text(&data) {
        Some(written) => Data { written, changed: true, ..Data::default() },
        None => Data { written: data, ..Data::default() },
    }
}

/// Data that are a piece of a text, with what is found in them.
fn piece(data: Vec<u8>, findings: Vec<Finding>) -> Data {
    let piece = Piece {
        at: 0..data.len(),
        kind: Kind::Data,
        place: Place { path: Path::default(), label: false },
        standing: Standing::default(),
        text: data.clone(),
        findings,
        joined: Vec::new(),
    };
    Data { written: data, pieces: vec![piece], ..Data::default() }
}

/// `[DONE]` is how providers end a stream.
fn ends_stream(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

/// How a server of MCP (2024-11-05) says where messages are to be sent: the data are a URL.
fn is_endpoint(line: &[u8]) -> bool {
    matches!(line, b"event: endpoint" | b"event:endpoint")
}

fn is_url(data: &[u8]) -> bool {
    data.len() <= BODY_ENDPOINT_BYTES_MAX
        && data.iter().all(|b| b.is_ascii_graphic() && !b"\"{}[]".contains(b))
}

/// What a line adds to the data; `None` if it is of another field.
fn payload(line: &[u8]) -> Option<&[u8]> {
    field(line, b"data")
}

/// The value of a field that a line is of.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(b""),
        [b':', b' ', rest @ ..] | [b':', rest @ ..] => Some(rest),
        _ => None,
    }
}
