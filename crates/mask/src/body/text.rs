//! Text without a structure that is known here: prose, logs, HTML, XML, and what programs write.
//!
//! Plain values are found across lines, by [`Tail`]. Encoded ones are looked for in each line as a whole, or in pieces
//! of 64 KiB that overlap; the stream is given to the tail in these pieces, wherever it was split.

use std::ops::Range;

use super::Unreadable;
use super::found::Look;
use crate::detect::Finding;
use crate::limits::{BODY_LINE_BYTES_MAX, BODY_LINE_OVERLAP_BYTES};
use crate::tail::Tail;

pub(super) struct Text {
    tail: Tail,
    /// What has not yet gone to the tail: whole lines, then the one that is being read.
    lines: Vec<u8>,
    /// Where in `lines` that one begins.
    line: usize,
    /// Where in the stream `lines` begin.
    at: usize,
    /// What stands before that line's part in `lines`, of the same line: at most [`BODY_LINE_OVERLAP_BYTES`].
    before: Vec<u8>,
    /// Whether it was let go: if a value goes on behind it, its rest is replaced.
    let_go: bool,
    /// What is encoded in the whole lines and is to be replaced.
    encoded: Vec<Finding>,
    /// `None`: any bytes will do.
    utf8: Option<Utf8>,
}

impl Text {
    /// Text in UTF-8.
    pub(super) fn new() -> Text {
        Text { utf8: Some(Utf8::default()), ..Text::output() }
    }

    /// What a program writes: mostly text.
    pub(super) fn output() -> Text {
        Text {
            tail: Tail::new(),
            lines: Vec::new(),
            line: 0,
            at: 0,
            before: Vec::new(),
            let_go: false,
            encoded: Vec::new(),
            utf8: None,
        }
    }

    /// Whether something is held.
    pub(super) fn waits(&self) -> bool {
        !self.lines.is_empty() || self.tail.held() > 0
    }

    /// Releases what is held, as if the stream ended there.
    pub(super) fn let_go(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        self.decode(self.lines.len(), look);
        self.let_go = true;
        self.release(look, out);
        let detectors = look.detectors;
        let rest = self.tail.let_go_judged(detectors, &mut |f, value| look.masks(&f, value, false));
        out.extend_from_slice(rest.as_bytes());
    }

    pub(super) fn push(
        &mut self,
        look: &mut Look<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        if let Some(utf8) = &mut self.utf8 {
            utf8.push(bytes)?;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BODY_LINE_BYTES_MAX - (self.lines.len() - self.line);
            let room = &rest[..rest.len().min(room)];
            let end = memchr::memchr(b'\n', room).map(|i| i + 1);
            let (piece, after) = rest.split_at(end.unwrap_or(room.len()));
            self.lines.extend_from_slice(piece);
            rest = after;
            if end.is_some() {
                self.decode(self.lines.len(), look);
            } else if self.lines.len() - self.line == BODY_LINE_BYTES_MAX {
                self.decode(self.lines.len() - BODY_LINE_OVERLAP_BYTES, look);
            }
            if rest.is_empty() || self.line >= BODY_LINE_BYTES_MAX / 2 {
                self.release(look, out);
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        self.utf8.as_ref().map_or(Ok(()), Utf8::finish)?;
        self.decode(self.lines.len(), look);
        self.release(look, out);
        let detectors = look.detectors;
        let rest = self.tail.finish_judged(detectors, &mut |f, value| look.masks(&f, value, false));
        out.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    /// Looks behind encodings in the line that is being read. It is done up to `end`: what begins behind is found
    /// again, with more context. What ends in what went before was found, or is out; of what goes on behind it, and was let go, the
    /// rest is replaced.
    fn decode(&mut self, end: usize, look: &mut Look<'_>) {
        let (mut text, length, let_go) =
            (std::mem::take(&mut self.before), end - self.line, std::mem::take(&mut self.let_go));
        let before = text.len();
        text.extend_from_slice(&self.lines[self.line..]);
        let mut found = Vec::new();
        look.detectors.scan_encoded(&text, &mut found);
        found.retain(|f| {
            let here = f.range.start >= before || let_go && f.range.end > before;
            here && f.range.start < before + length && look.masks(f, &text[f.range.clone()], false)
        });
        let at = self.at + self.line;
        let place = |r: Range<usize>| r.start.max(before) - before + at..r.end - before + at;
        self.encoded.extend(found.into_iter().map(|f| Finding { range: place(f.range.clone()), ..f }));
        text.truncate(before + length);
        let keep = if text.ends_with(b"\n") { 0 } else { text.len().min(BODY_LINE_OVERLAP_BYTES) };
        text.drain(..text.len() - keep);
        self.before = text;
        self.line = end;
    }

    /// Gives the lines that are done to the tail.
    fn release(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        let (detectors, encoded) = (look.detectors, std::mem::take(&mut self.encoded));
        let mut judge = |f: Finding, value: &[u8]| look.masks(&f, value, false);
        let released = self.tail.push_judged(detectors, &self.lines[..self.line], encoded, &mut judge);
        out.extend_from_slice(released.as_bytes());
        self.lines.drain(..self.line);
        self.at += self.line;
        self.line = 0;
    }
}

/// Whether a stream is UTF-8.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character: at most three bytes.
    begun: Vec<u8>,
}

const NOT_UTF8: Unreadable = Unreadable("the text is not UTF-8");

impl Utf8 {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while !self.begun.is_empty() && !rest.is_empty() {
            let (byte, after) = rest.split_at(1);
            self.begun.extend_from_slice(byte);
            rest = after;
            if incomplete(&self.begun)? == 0 {
                self.begun.clear();
            }
        }
        let left = incomplete(rest)?;
        self.begun.extend_from_slice(&rest[rest.len() - left..]);
        Ok(())
    }

    fn finish(&self) -> Result<(), Unreadable> {
        if self.begun.is_empty() { Ok(()) } else { Err(NOT_UTF8) }
    }
}

/// How many bytes at the end are the beginning of a character.
fn incomplete(bytes: &[u8]) -> Result<usize, Unreadable> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(0),
        Err(error) if error.error_len().is_none() => Ok(bytes.len() - error.valid_up_to()),
        Err(_) => Err(NOT_UTF8),
    }
}
