//! A streamed answer, put together.

use super::sse::{Event, Events};
use super::{Answer, Call, Dialect, Unreadable, chat, messages, responses_stream};

/// Puts a streamed answer together from the bytes of its events, which may be split anywhere.
///
/// What it cannot read stays so: after an error every call has that error.
pub struct Stream {
    events: Events,
    parts: Parts,
    end: End,
    failed: Option<Unreadable>,
}

enum Parts {
    Chat(chat::Parts),
    Responses(responses_stream::Parts),
    Messages(messages::Parts),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The answer goes on.
    Open,
    /// Its last event has come.
    Whole,
    /// The provider gave up.
    Error,
}

impl Stream {
    pub fn new(dialect: Dialect) -> Stream {
        let parts = match dialect {
            Dialect::Chat => Parts::Chat(chat::Parts::default()),
            Dialect::Responses => Parts::Responses(responses_stream::Parts::default()),
            Dialect::Messages => Parts::Messages(messages::Parts::default()),
        };
        Stream { events: Events::default(), parts, end: End::Open, failed: None }
    }

    /// Takes the next bytes of the body, decoded. Errors: data that are not an event of the dialect or have several
    /// readings, pieces that contradict one another, more than the limits allow, and anything behind the end.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let read = self.read(bytes);
        self.failed = read.err();
        read
    }

    /// Calls that became whole since the last time: id, name and all of the arguments have come. In Chat, which does
    /// not say where a call ends, at the end of its choice.
    pub fn take_calls(&mut self) -> Vec<Call> {
        match &mut self.parts {
            Parts::Chat(parts) => parts.ready(),
            Parts::Responses(parts) => parts.ready(),
            Parts::Messages(parts) => parts.ready(),
        }
    }

    /// Whether a call has begun that is not whole: its pieces must not be passed on before it is, since a client may act on
    /// the last of them.
    pub fn has_open_calls(&self) -> bool {
        match &self.parts {
            Parts::Chat(parts) => parts.has_open_calls(),
            Parts::Responses(parts) => parts.has_open_calls(),
            Parts::Messages(parts) => parts.has_open_calls(),
        }
    }

    /// What of it is not known, as soon as it is seen: it may be a call as well as anything else, and must not be passed on
    /// before somebody permits that.
    pub fn unknown(&self) -> Option<&'static str> {
        match &self.parts {
            Parts::Chat(parts) => parts.unknown(),
            Parts::Responses(parts) => parts.unknown(),
            Parts::Messages(parts) => parts.unknown(),
        }
    }

    /// The whole answer. One that the provider broke off has `finish` = `error` and the calls that were whole. Errors:
    /// an earlier one; the stream ended before the answer did.
    pub fn finish(mut self) -> Result<Answer, Unreadable> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if let Some(event) = std::mem::take(&mut self.events).last()? {
            self.event(&event)?;
        }
        let is_whole = match &self.parts {
            Parts::Chat(parts) => self.end != End::Open || parts.is_whole(),
            Parts::Responses(_) | Parts::Messages(_) => self.end != End::Open,
        };
        if !is_whole {
            return Err(Unreadable("the stream ended before the answer did"));
        }
        match self.parts {
            Parts::Chat(parts) => parts.finish(self.end == End::Error),
            Parts::Responses(parts) => parts.finish(),
            Parts::Messages(parts) => parts.finish(),
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (event, behind) = self.events.take(rest)?;
            rest = behind;
            if let Some(event) = event {
                self.event(&event)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), Unreadable> {
        if event.data.trim_ascii() == b"[DONE]" {
            return self.done();
        }
        let value = json::parse(&event.data)?;
        let body = value.object()?;
        let kind = body.text("type")?;
        if self.end != End::Open && kind != Some("ping") {
            return Err(Unreadable("the stream goes on after its end"));
        }
        let name = event.name.as_str();
        if let Parts::Chat(parts) = &mut self.parts {
            if name == "error" || body.get("error")?.is_some() {
                // Some clients read on where the error says nothing, or in the data alone.
                if !body.items("choices")?.is_empty() {
                    return Err(Unreadable("an error of the stream that goes on with an answer"));
                }
                self.end = End::Error;
                return Ok(());
            }
            if !matches!(name, "" | "message") {
                parts.unnamed();
            }
            return parts.push(body);
        }
        let kind = kind.ok_or(Unreadable("an event has no type"))?;
        if !matches!(name, "" | "message") && name != kind {
            return Err(Unreadable("the name of an event is not the type that its data say"));
        }
        let ended = match &mut self.parts {
            Parts::Chat(_) => false,
            Parts::Responses(parts) => parts.push(kind, body)?,
            Parts::Messages(parts) => parts.push(kind, body)?,
        };
        if ended {
            self.end = End::Whole;
        }
        Ok(())
    }

    /// Chat ends with it. Of the other dialects some providers send it behind the end.
    fn done(&mut self) -> Result<(), Unreadable> {
        match &mut self.parts {
            Parts::Chat(parts) if self.end == End::Open => {
                self.end = End::Whole;
                parts.close()
            }
            _ if self.end == End::Open => Err(Unreadable("the stream says that it is done before its end")),
            _ => Ok(()),
        }
    }
}
