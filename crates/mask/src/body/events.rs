//! Event streams: `text/event-stream` (WHATWG HTML, 9.2). An event is held until its blank line.

use std::ops::Range;
use std::sync::Arc;

use super::found::{Found, Look};
use super::json::Json;
use super::{PathRule, Unreadable};
use crate::limits::{BODY_ENDPOINT_BYTES_MAX, BODY_EVENT_BYTES_MAX, BODY_EVENT_LINES_MAX};

pub(super) struct Events {
    rules: Arc<[PathRule]>,
    /// The event that is being read, as it came.
    raw: Vec<u8>,
    /// Its whole lines, without their ends.
    lines: Vec<Range<usize>>,
    /// Where the line that is being read begins.
    line: usize,
    /// Whether a line feed would belong to the end of the last line.
    after_return: bool,
    first: bool,
}

impl Events {
    pub(super) fn new(rules: Arc<[PathRule]>) -> Events {
        Events { rules, raw: Vec::new(), lines: Vec::new(), line: 0, after_return: false, first: true }
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
            if self.raw.len() > BODY_EVENT_BYTES_MAX {
                return Err(Unreadable("an event is longer than 1 MiB"));
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
        self.release(false, look, out)
    }

    /// The second half of a line's end.
    fn line_feed(&mut self, out: &mut Vec<u8>) {
        if self.raw.is_empty() {
            out.push(b'\n');
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

    /// Releases the event. One in which nothing is replaced keeps its bytes; of another the data come last, in one line
    /// if they are JSON.
    fn release(&mut self, whole: bool, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let raw = std::mem::take(&mut self.raw);
        let lines = std::mem::take(&mut self.lines);
        self.line = 0;
        if lines.is_empty() {
            self.first = false;
            out.extend_from_slice(&raw);
            return Ok(());
        }
        if std::str::from_utf8(&raw).is_err() {
            return Err(Unreadable("the event stream is not UTF-8"));
        }
        if std::mem::take(&mut self.first) && raw.starts_with(b"\xef\xbb\xbf") {
            return Err(Unreadable("the event stream begins with a byte order mark"));
        }
        let lines = || lines.iter().map(|line| &raw[line.clone()]);
        let data: Vec<&[u8]> = lines().filter_map(payload).collect();
        let other: Vec<&[u8]> = lines().filter(|line| payload(line).is_none()).collect();
        let (has_data, has_other) = (!data.is_empty(), !other.is_empty());
        let (data, other) = (data.join(&b'\n'), other.join(&b'\n'));
        let masked = match other.split(|&b| b == b'\n').any(is_endpoint) && is_url(&data) {
            true => look.text(&data),
            false => self.data(&data, look)?,
        };
        match (look.text(&other), masked) {
            (None, None) => out.extend_from_slice(&raw),
            (masked_other, masked_data) => {
                let blank: &[u8] = if whole { b"\n" } else { b"" };
                write(b"", &masked_other.unwrap_or(other), has_other, out);
                write(b"data: ", &masked_data.unwrap_or(data), has_data, out);
                out.extend_from_slice(blank);
            }
        }
        Ok(())
    }

    /// The data of an event, masked; `None` if they pass as they are.
    fn data(&self, data: &[u8], look: &mut Look<'_>) -> Result<Option<Vec<u8>>, Unreadable> {
        if data.is_empty() {
            return Ok(None);
        }
        let mut found = Found::default();
        match json(&self.rules, data, &mut look.apart(&mut found)) {
            Ok(masked) => {
                look.found.add(found);
                // A line feed in JSON is white space.
                let one_line = masked.iter().map(|&b| if b == b'\n' { b' ' } else { b });
                Ok((masked != data).then(|| one_line.collect()))
            }
            // What is no JSON has no places that a rule could name, whatever a reader makes of it.
            Err(unreadable) if !self.rules.is_empty() && !ends_stream(data) => Err(unreadable),
            Err(_) => Ok(look.text(data)),
        }
    }
}

fn json(rules: &Arc<[PathRule]>, data: &[u8], look: &mut Look<'_>) -> Result<Vec<u8>, Unreadable> {
    let (mut json, mut out) = (Json::new(rules.clone()), Vec::new());
    json.push(look, data, &mut out)?;
    json.end(look, false, &mut out)?;
    Ok(out)
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
    match line.strip_prefix(b"data")? {
        [] => Some(b""),
        [b':', b' ', rest @ ..] | [b':', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn write(field: &[u8], lines: &[u8], any: bool, out: &mut Vec<u8>) {
    for line in lines.split(|&b| b == b'\n').filter(|_| any) {
        [field, line, b"\n"].iter().for_each(|piece| out.extend_from_slice(piece));
    }
}
