//! `text/event-stream` (WHATWG HTML, 9.2), cut into whole events that keep their bytes.

use super::Unreadable;
use crate::limits::LLM_BODY_BYTES_MAX;
use crate::media::LINE_ENDS;

/// Cuts a stream, which may come split anywhere, into events.
#[derive(Default)]
pub struct Events {
    raw: Vec<u8>,
    /// Where the line that is being read begins.
    line: usize,
}

/// One event with its blank line, or what stands between two.
pub struct Event {
    pub raw: Vec<u8>,
    /// Empty: `message`.
    pub name: String,
    /// Its lines of data, with line feeds between them. `None`: it has none.
    pub data: Option<String>,
    /// By which a client that lost its stream asks for what comes after; of several lines the last.
    pub id: Option<String>,
}

impl Events {
    /// Takes bytes and gives the events that they end. Errors: a carriage return that ends no line with a line feed (some
    /// readers take it for the end of one), what is not UTF-8, an event of more than [`LLM_BODY_BYTES_MAX`].
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Unreadable> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.raw.extend_from_slice(piece);
            if self.raw.len() > LLM_BODY_BYTES_MAX {
                return Err(Unreadable("an event is larger than 8 MiB"));
            }
            if !piece.ends_with(b"\n") {
                continue;
            }
            let blank = matches!(self.raw.get(self.line..), Some(b"\n" | b"\r\n"));
            self.line = self.raw.len();
            if blank {
                events.push(self.event()?);
            }
        }
        Ok(())
    }

    /// What stands behind the last blank line: a reader drops it, or not.
    pub fn finish(mut self) -> Result<Option<Event>, Unreadable> {
        if self.raw.is_empty() { Ok(None) } else { self.event().map(Some) }
    }

    fn event(&mut self) -> Result<Event, Unreadable> {
        self.line = 0;
        let raw = std::mem::take(&mut self.raw);
        let text = std::str::from_utf8(&raw).map_err(|_| Unreadable("the event stream is not UTF-8"))?;
        let (mut name, mut data, mut id) = (String::new(), None::<String>, None);
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.contains('\r') || line.starts_with('\u{feff}') {
                return Err(Unreadable("a line of the event stream that could be read in two ways"));
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            // Of the data JSON tells the rest: only `is_odd` can be left.
            if field != "data" && line.contains(LINE_ENDS) {
                return Err(Unreadable("a line of the event stream that could be read in two ways"));
            }
            match field {
                "event" => name = value.to_owned(),
                "id" => id = Some(value.to_owned()),
                "data" => match &mut data {
                    None => data = Some(value.to_owned()),
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                },
                _ => {}
            }
        }
        Ok(Event { name, data, id, raw })
    }
}

impl Event {
    /// The event with other data, which are JSON: a line feed in it is white space, and what else some readers take for the
    /// end of a line stands escaped.
    pub fn with(&self, data: &str) -> Vec<u8> {
        // It was read as UTF-8 when it was cut.
        let text = std::str::from_utf8(&self.raw).unwrap_or_default();
        let mut out = String::with_capacity(data.len() + 32);
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let field = line.split_once(':').map_or(line, |(field, _)| field);
            if !line.is_empty() && field != "data" {
                out.push_str(line);
                out.push('\n');
            }
        }
        out.push_str("data: ");
        for c in data.chars() {
            match c {
                '\n' => out.push(' '),
                '\u{85}' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push_str("\n\n");
        out.into_bytes()
    }

    /// Whether its data have what some readers take for the end of a line.
    pub fn is_odd(&self) -> bool {
        self.data.as_ref().is_some_and(|data| data.contains(['\u{85}', '\u{2028}', '\u{2029}']))
    }
}
