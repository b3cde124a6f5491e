//! Bodies of HTTP requests and responses, masked as they stream: by rules that name paths in JSON, and by detectors
//! everywhere.
//!
//! | media | what is looked at | what is refused as [`Unreadable`] |
//! |---|---|---|
//! | JSON, lines of it | rules; strings, names, numbers, encoded too | what is not strictly RFC 8259, names twice |
//! | event stream | data as JSON, else as text, alone and over events; other lines | with rules: data that are no JSON |
//! | form | names and values, decoded and behind encodings | escapes that are none |
//! | multipart | each header, each part by its type | doubtful delimiters, other types and encodings |
//! | text | plain values over lines, encoded ones in each line | what is not UTF-8 |
//! | output of a program | the same | nothing |
//!
//! What is not touched keeps its bytes: white space, spelling of numbers, order, escapes. What comes out is the same
//! however the body was split, and what is held is bounded by [`crate::limits`].
//!
//! **Invariant:** a value that a rule governs is replaced before detectors look, and so gives nothing away; what a
//! partial mask leaves of it is looked at.
//! **Invariant:** what is refused once stays refused: a [`Body`] that was unreadable releases nothing more.
//!
//! Deliberately absent, and not found: an encoded value that is cut over several events, and a plain one whose pieces stand at
//! different places, in numbers, names, or other lines than data (`joined`); what one line of JSON lines or part gives away
//! of another (an access key's id of its secret); character references of XML and HTML (`&#64;`); base64 that is broken over lines in
//! a text; an encoded value of more than 4 KiB across a multiple of 60 KiB of one line. Two names of one object that
//! are replaced become alike. A form or text has no paths, and rules say nothing of it. What leaves waits: a JSON text
//! for 16 KiB more or its end, a text for its line, an event for its blank line, and for the next event where what it says
//! last could go on to be a value: so does a word.
//!
//! Reading order: this page -> `found` -> `window` -> `json` (with `lex`, `names`, `write`, `path`, `rules`) -> `form`, `text`, `multipart`
//! -> `events` -> `piece`, `joined`, `held`. Beside them `kept`: pieces of files, whose masks keep their length.

use std::collections::BTreeSet;
use std::sync::Arc;

use vocab::{Class, MaskKind};

use crate::detect::Detectors;
use crate::known::Known;
use crate::limits::{BODY_TOKEN_BYTES_MAX, BODY_TOKEN_BYTES_MOST};
use crate::tail::MaskedBytes;

mod events;
mod form;
mod found;
mod held;
mod joined;
mod json;
mod kept;
mod lex;
mod multipart;
mod names;
mod nearly;
mod path;
mod piece;
mod rules;
mod text;
mod window;
mod write;

use found::Look;
pub use found::{Act, Found, Governed, Hit, Named};
pub use kept::{Kept, kept};
pub use path::JsonPath;
use rules::Rules;

/// What kind of body it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// One JSON text (RFC 8259).
    Json,
    /// A JSON text in each line; lines of white space are none.
    JsonLines,
    /// `text/event-stream` (WHATWG HTML, 9.2).
    EventStream,
    /// `application/x-www-form-urlencoded` (WHATWG URL, 5).
    Form,
    /// `multipart/*` (RFC 2046, 5.1).
    Multipart { boundary: String },
    /// Text in UTF-8, XML and HTML among it.
    Text,
    /// What a program writes: as text, of any bytes. Somebody may wait for what stands on a line that has no end yet: see
    /// [`Body::let_go`].
    Output,
}

/// One rule of the operator's: values at `path` are of `class` and are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    pub path: JsonPath,
    pub class: Class,
    /// [`MaskKind::Null`], [`MaskKind::Redact`] or [`MaskKind::Partial`]; any other is taken for null.
    pub kind: MaskKind,
    /// Which members stand there is told: see [`PathRule::naming`].
    names: bool,
    /// What a string is replaced with, if not with its class: see [`PathRule::saying`].
    words: Option<Arc<str>>,
    /// No other rule says anything of what stands there: see [`PathRule::sparing`].
    spares: bool,
}

impl PathRule {
    /// Errors (side: operator): a kind that needs a row or a key, which a body has not.
    pub fn new(path: JsonPath, class: Class, kind: MaskKind) -> Result<PathRule, &'static str> {
        match kind {
            MaskKind::Null | MaskKind::Redact | MaskKind::Partial { .. } => {
                Ok(PathRule { path, class, kind, names: false, words: None, spares: false })
            }
            MaskKind::RowToken | MaskKind::Token | MaskKind::Bucket { .. } => {
                Err("a value in a body is masked as null, redact or partial")
            }
        }
    }

    /// The same rule, that tells by name which members stood at its path ([`Named`]): of objects whose `metadata` says who they are.
    pub fn naming(self) -> PathRule {
        PathRule { names: true, ..self }
    }

    /// The same rule, that puts `words` in the place of a string where it puts its class otherwise: for readers who take a string
    /// there to be of some form.
    pub fn saying(self, words: &str) -> PathRule {
        PathRule { words: Some(words.into()), ..self }
    }

    /// The same class and mask at another path, of which nothing else is known.
    pub fn at(&self, path: JsonPath) -> PathRule {
        PathRule { path, names: false, words: None, ..self.clone() }
    }

    /// A rule that masks nothing: what stands at its path is no data, and no rule says anything of it or of what is in it. Its path is
    /// that of the document itself: in a string that is JSON, it spares nothing.
    pub fn sparing(self) -> PathRule {
        PathRule { spares: true, ..self }
    }

    /// What takes the place of a string, a number, or one of `true` and `false`. Of an object or array, and of null,
    /// null does.
    fn masks(&self) -> Masks {
        match self.kind {
            MaskKind::Redact => Masks::Redacted,
            MaskKind::Partial { keep } => Masks::Part(keep),
            MaskKind::Null | MaskKind::RowToken | MaskKind::Token | MaskKind::Bucket { .. } => Masks::Null,
        }
    }
}

/// How a rule masks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Masks {
    Null,
    /// A constant of the type.
    Redacted,
    /// Of a string so many of its last characters; of another type its constant.
    Part(u8),
}

/// The body is not what it says, or cannot be looked into: a constant sentence; the caller refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

/// Masks one body. What comes out, put together, is the same however it was split.
///
/// ```
/// use mask::body::{Body, Media};
///
/// let (detectors, known) = (mask::Detectors::new(), mask::Known::new([0; 16]));
/// let mut body = Body::new(Media::Json, [].into(), Default::default());
/// let first = body.push(&detectors, &known, br#"{"who": "jo\u0040exam"#).unwrap();
/// let second = body.push(&detectors, &known, br#"ple.com"}"#).unwrap();
/// let (last, found) = body.finish(&detectors, &known).unwrap();
/// assert_eq!(first.then(second).then(last).as_bytes(), br#"{"who": "[pii.email]"}"#);
/// assert_eq!(found.tripped.len(), 1);
/// ```
pub struct Body {
    engine: Result<Engine, Unreadable>,
    revealed: BTreeSet<Class>,
    found: Found,
}

impl Body {
    /// `rules` hold for JSON wherever it stands; `revealed` are the classes that pass at their rules' paths.
    pub fn new(media: Media, rules: Arc<[PathRule]>, revealed: BTreeSet<Class>) -> Body {
        Body { engine: Engine::new(media, rules, BODY_TOKEN_BYTES_MAX), revealed, found: Found::default() }
    }

    /// Of an event stream: each event is a message, whole in itself. None waits for the next, and a value that is cut over
    /// two is not found.
    pub fn messages(rules: Arc<[PathRule]>, revealed: BTreeSet<Class>) -> Body {
        let engine =
            Ok(Engine::Events(events::Events::messages(Arc::new(Rules::new(rules)), BODY_TOKEN_BYTES_MAX)));
        Body { engine, revealed, found: Found::default() }
    }

    /// The same, nothing of which was read yet, whose strings and numbers of JSON may have so many bytes: at most
    /// [`BODY_TOKEN_BYTES_MOST`], where it is [`BODY_TOKEN_BYTES_MAX`] otherwise.
    pub fn longest(mut self, bytes: usize) -> Body {
        let bytes = bytes.min(BODY_TOKEN_BYTES_MOST);
        if let Ok(engine) = &mut self.engine {
            engine.set_longest(bytes);
        }
        self
    }

    /// Whether events wait for the next: what they say last could be the beginning of a value. Of what a program writes,
    /// whether anything is held.
    pub fn waits(&self) -> bool {
        match &self.engine {
            Ok(Engine::Events(events)) => events.waits(),
            Ok(Engine::Output(text)) => text.waits(),
            Ok(_) | Err(_) => false,
        }
    }

    /// Releases the events, or the output, that wait, as if what they say ended there. If it goes on after all, what is left of a value
    /// is replaced. What comes out depends on when this is asked for.
    pub fn let_go(&mut self, detectors: &Detectors, known: &Known) -> MaskedBytes {
        let mut out = Vec::new();
        let mut look = Look { detectors, known, revealed: &self.revealed, found: &mut self.found };
        match &mut self.engine {
            Ok(Engine::Events(events)) => events.let_go(&mut look, &mut out),
            Ok(Engine::Output(text)) => text.let_go(&mut look, &mut out),
            Ok(_) | Err(_) => {}
        }
        MaskedBytes(out)
    }

    /// Takes bytes and gives what can be released.
    ///
    /// Errors (side: who sent the body): see [`Unreadable`]; what was released before has left.
    pub fn push(
        &mut self,
        detectors: &Detectors,
        known: &Known,
        bytes: &[u8],
    ) -> Result<MaskedBytes, Unreadable> {
        let mut out = MaskedBytes::with_room(bytes.len());
        self.push_onto(detectors, known, bytes, &mut out)?;
        Ok(out)
    }

    /// The same, behind what can be released already.
    pub fn push_onto(
        &mut self,
        detectors: &Detectors,
        known: &Known,
        bytes: &[u8],
        out: &mut MaskedBytes,
    ) -> Result<(), Unreadable> {
        let before = out.0.len();
        let mut look = Look { detectors, known, revealed: &self.revealed, found: &mut self.found };
        let engine = self.engine.as_mut().map_err(|unreadable| *unreadable)?;
        let pushed = engine.push(&mut look, bytes, &mut out.0);
        if let Err(unreadable) = pushed {
            out.0.truncate(before);
            self.engine = Err(unreadable);
        }
        pushed
    }

    /// Ends the body: the rest of it, and what was found since it was last taken.
    pub fn finish(
        mut self,
        detectors: &Detectors,
        known: &Known,
    ) -> Result<(MaskedBytes, Found), Unreadable> {
        let mut out = Vec::new();
        let mut look = Look { detectors, known, revealed: &self.revealed, found: &mut self.found };
        self.engine?.finish(&mut look, &mut out)?;
        Ok((MaskedBytes(out), self.found))
    }

    /// Takes what was found since the last call. A value is counted when it is decided, at the latest before it is
    /// released.
    pub fn take_found(&mut self) -> Found {
        std::mem::take(&mut self.found)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.engine {
            Ok(_) => f.write_str("Body(raw bytes withheld)"),
            Err(Unreadable(why)) => write!(f, "Body(unreadable: {why})"),
        }
    }
}

/// What reads one kind of body.
enum Engine {
    Json(json::Json),
    Lines(json::Json),
    Events(events::Events),
    Form(form::Form),
    Multipart(multipart::Multipart),
    Text(text::Text),
    Output(text::Text),
}

impl Engine {
    fn new(media: Media, rules: Arc<[PathRule]>, longest: usize) -> Result<Engine, Unreadable> {
        let together = |rules| Arc::new(Rules::new(rules));
        Ok(match media {
            Media::Json => Engine::Json(json::Json::new(together(rules), longest)),
            Media::JsonLines => Engine::Lines(json::Json::new(together(rules), longest)),
            Media::EventStream => Engine::Events(events::Events::new(together(rules), longest)),
            Media::Form => Engine::Form(form::Form::new()),
            Media::Multipart { boundary } => {
                Engine::Multipart(multipart::Multipart::new(&boundary, rules, longest)?)
            }
            Media::Text => Engine::Text(text::Text::new()),
            Media::Output => Engine::Output(text::Text::output()),
        })
    }

    fn set_longest(&mut self, bytes: usize) {
        match self {
            Engine::Json(json) | Engine::Lines(json) => json.longest = bytes,
            Engine::Events(events) => events.longest = bytes,
            Engine::Multipart(parts) => parts.longest = bytes,
            Engine::Form(_) | Engine::Text(_) | Engine::Output(_) => {}
        }
    }

    fn push(&mut self, look: &mut Look<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match self {
            Engine::Json(json) => json.push(look, bytes, out),
            Engine::Lines(json) => lines(json, look, bytes, out),
            Engine::Events(events) => events.push(look, bytes, out),
            Engine::Form(form) => form.push(look, bytes, out),
            Engine::Multipart(parts) => parts.push(look, bytes, out),
            Engine::Text(text) | Engine::Output(text) => text.push(look, bytes, out),
        }
    }

    fn finish(self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match self {
            Engine::Json(json) => json.finish(look, out),
            Engine::Lines(mut json) => json.end(look, true, out),
            Engine::Events(events) => events.finish(look, out),
            Engine::Form(form) => form.finish(look, out),
            Engine::Multipart(parts) => parts.finish(out),
            Engine::Text(text) | Engine::Output(text) => text.finish(look, out),
        }
    }
}

/// Each line is a JSON text; it is released with its line feed.
fn lines(
    json: &mut json::Json,
    look: &mut Look<'_>,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    for piece in bytes.split_inclusive(|&b| b == b'\n') {
        match piece.strip_suffix(b"\n") {
            None => json.push(look, piece, out)?,
            Some(line) => {
                json.push(look, line, out)?;
                json.end(look, true, out)?;
                out.push(b'\n');
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
