//! Event streams, cut into events. Spec: WHATWG HTML, 9.2 "Server-sent events".

use super::Unreadable;
use crate::limits::LLM_BODY_BYTES_MAX;
use crate::media::LINE_ENDS;
use memchr::memchr2;

/// One event that has data.
pub(super) struct Event {
    /// Empty if the stream names none.
    pub(super) name: String,
    pub(super) data: Vec<u8>,
}

/// Bytes in, events out; it does not matter where the bytes are split.
#[derive(Default)]
pub(super) struct Events {
    /// The line that is being read.
    line: Vec<u8>,
    /// Whether a line feed would belong to the end of the last line.
    after_return: bool,
    begun: bool,
    name: Vec<u8>,
    data: Option<Vec<u8>>,
}

impl Events {
    /// Takes the first line of `bytes`, or what there is of it, and says what is left behind it and which event it
    /// ended. Errors: an event longer than [`LLM_BODY_BYTES_MAX`], a byte order mark in front, a name that is not
    /// UTF-8.
    pub(super) fn take<'b>(&mut self, bytes: &'b [u8]) -> Result<(Option<Event>, &'b [u8]), Unreadable> {
        let bytes = match bytes.split_first() {
            Some((b'\n', rest)) if self.after_return => rest,
            _ => bytes,
        };
        self.after_return = false;
        let Some(end) = memchr2(b'\n', b'\r', bytes) else {
            self.keep(bytes)?;
            return Ok((None, &[]));
        };
        let (line, rest) = bytes.split_at(end);
        self.keep(line)?;
        self.after_return = rest.first() == Some(&b'\r');
        Ok((self.end_line()?, rest.get(1..).unwrap_or_default()))
    }

    /// An event without its blank line: a reader drops it, or not.
    pub(super) fn last(mut self) -> Result<Option<Event>, Unreadable> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.end_line()
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        self.line.extend_from_slice(piece);
        match self.line.len() + self.data.as_ref().map_or(0, Vec::len) > LLM_BODY_BYTES_MAX {
            true => Err(Unreadable("an event is longer than 8 MiB")),
            false => Ok(()),
        }
    }

    fn end_line(&mut self) -> Result<Option<Event>, Unreadable> {
        let line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            return Err(Unreadable("the event stream begins with a byte order mark"));
        }
        if line.is_empty() {
            return self.dispatch();
        }
        // Of the data JSON tells the rest.
        let (name, value) = field(&line);
        if name != b"data" && std::str::from_utf8(&line).map_or(true, |line| line.contains(LINE_ENDS)) {
            return Err(Unreadable("a line of the event stream that could be read in two ways"));
        }
        match (name, value) {
            (b"data", value) => match &mut self.data {
                None => self.data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            (b"event", value) => self.name = value.to_vec(),
            // A comment, `id`, `retry`, and fields that the specification ignores.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Result<Option<Event>, Unreadable> {
        let name = String::from_utf8(std::mem::take(&mut self.name))
            .map_err(|_| Unreadable("the name of an event is not UTF-8"))?;
        Ok(self.data.take().filter(|data| !data.is_empty()).map(|data| Event { name, data }))
    }
}

/// Name and value; of a comment the name is empty.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = line.splitn(2, |byte| *byte == b':');
    let name = halves.next().unwrap_or_default();
    let value = halves.next().unwrap_or_default();
    (name, value.strip_prefix(b" ").unwrap_or(value))
}
