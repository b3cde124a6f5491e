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
    /// What has not yet gone to the tail, of the line that is being read.
    line: Vec<u8>,
    /// Where in the stream `line` begins.
    at: usize,
    /// What stands before it, of the same line: at most [`BODY_LINE_OVERLAP_BYTES`].
    before: Vec<u8>,
    /// Whether that was let go: if a value goes on behind it, its rest is replaced.
    let_go: bool,
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
        Text { tail: Tail::new(), line: Vec::new(), at: 0, before: Vec::new(), let_go: false, utf8: None }
    }

    /// Whether something is held.
    pub(super) fn waits(&self) -> bool {
        !self.line.is_empty() || self.tail.held() > 0
    }

    /// Releases what is held, as if the stream ended there; what has surely begun of a value stays.
    pub(super) fn let_go(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        self.take_begun(self.line.len(), look, out);
        self.let_go = true;
        let detectors = look.detectors;
        self.tail.let_go_judged(detectors, &mut |f, value| look.masks(&f, value, false), out);
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
            rest = match self.whole_lines(rest) {
                Some((lines, after)) => {
                    self.take(lines, look, out);
                    after
                }
                None => self.begin(rest, look, out),
            };
        }
        Ok(())
    }

    /// The whole lines that `rest` begins with, and what is behind them, if no line is being read. At most [`BODY_LINE_BYTES_MAX`]
    /// bytes: a longer line comes in pieces.
    fn whole_lines<'a>(&self, rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if !self.line.is_empty() || !self.before.is_empty() {
            return None;
        }
        let end = memchr::memrchr(b'\n', &rest[..rest.len().min(BODY_LINE_BYTES_MAX)])?;
        Some(rest.split_at(end + 1))
    }

    /// Looks behind encodings in whole lines, and gives them to the tail.
    fn take(&mut self, lines: &[u8], look: &mut Look<'_>, out: &mut Vec<u8>) {
        let mut found = Vec::new();
        look.detectors.scan_encoded_lines(lines, &mut found);
        found.retain(|f| look.masks(f, &lines[f.range.clone()], false));
        let at = self.at;
        let place = |f: Finding| Finding { range: f.range.start + at..f.range.end + at, ..f };
        let encoded = found.into_iter().map(place).collect();
        self.let_go = false;
        self.give(lines, encoded, look, out);
    }

    /// Reads on in a line, and gives what is behind that.
    fn begin<'a>(&mut self, rest: &'a [u8], look: &mut Look<'_>, out: &mut Vec<u8>) -> &'a [u8] {
        let room = &rest[..rest.len().min(BODY_LINE_BYTES_MAX - self.line.len())];
        let end = memchr::memchr(b'\n', room).map(|i| i + 1);
        let (piece, after) = rest.split_at(end.unwrap_or(room.len()));
        self.line.extend_from_slice(piece);
        if end.is_some() {
            self.take_begun(self.line.len(), look, out);
        } else if self.line.len() == BODY_LINE_BYTES_MAX {
            self.take_begun(BODY_LINE_BYTES_MAX - BODY_LINE_OVERLAP_BYTES, look, out);
        }
        after
    }

    pub(super) fn finish(mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        self.utf8.as_ref().map_or(Ok(()), Utf8::finish)?;
        self.take_begun(self.line.len(), look, out);
        let (detectors, output) = (look.detectors, self.utf8.is_none());
        let mut judge = |f: Finding, value: &[u8]| look.masks(&f, value, false);
        match output {
            // Who starts a program can have it end where he likes.
            true => self.tail.finish_cut(detectors, &mut judge, out),
            false => self.tail.finish_judged(detectors, &mut judge, out),
        }
        Ok(())
    }

    /// Looks behind encodings in the line that is being read, and gives it to the tail up to `end`: what begins behind is found again, with
    /// more context. What ends in what went before was found, or is out; of what goes on behind it, and was let go, the
    /// rest is replaced.
    fn take_begun(&mut self, end: usize, look: &mut Look<'_>, out: &mut Vec<u8>) {
        let (mut text, let_go) = (std::mem::take(&mut self.before), std::mem::take(&mut self.let_go));
        let before = text.len();
        text.extend_from_slice(&self.line);
        let mut found = Vec::new();
        look.detectors.scan_encoded(&text, &mut found);
        found.retain(|f| {
            let here = f.range.start >= before || let_go && f.range.end > before;
            here && f.range.start < before + end && look.masks(f, &text[f.range.clone()], false)
        });
        let at = self.at;
        let place = |r: Range<usize>| r.start.max(before) - before + at..r.end - before + at;
        let encoded = found.into_iter().map(|f| Finding { range: place(f.range.clone()), ..f }).collect();
        let mut line = std::mem::take(&mut self.line);
        self.give(&line[..end], encoded, look, out);
        line.drain(..end);
        self.line = line;
        text.truncate(before + end);
        let keep = if text.ends_with(b"\n") { 0 } else { text.len().min(BODY_LINE_OVERLAP_BYTES) };
        text.drain(..text.len() - keep);
        self.before = text;
    }

    /// Gives the next bytes of the stream to the tail, with what is encoded in them.
    fn give(&mut self, bytes: &[u8], encoded: Vec<Finding>, look: &mut Look<'_>, out: &mut Vec<u8>) {
        let detectors = look.detectors;
        let mut judge = |f: Finding, value: &[u8]| look.masks(&f, value, false);
        self.tail.push_judged(detectors, bytes, encoded, &mut judge, out);
        self.at += bytes.len();
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
