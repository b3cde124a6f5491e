//! Bodies of here-documents: XCU 2.7.4.

use super::{Pending, Reader};
use crate::line::{LiteralKind, Refused, RefusedKind};
use crate::syntax::{Body, Piece};

impl Reader<'_> {
    /// Reads the bodies that the line which just ended has asked for, in its order.
    pub(super) fn here_bodies(&mut self) -> Result<(), Refused> {
        for pending in std::mem::take(&mut self.pending) {
            let body = self.here_body(&pending)?;
            if let Some(place) = self.bodies.get_mut(pending.body) {
                *place = body;
            }
        }
        Ok(())
    }

    fn here_body(&mut self, pending: &Pending) -> Result<Body, Refused> {
        let start = self.at;
        let mut text = String::new();
        let end = loop {
            let line_start = self.at;
            let rest = self.rest();
            let (line, more) = match rest.find('\n') {
                Some(length) => (&rest[..length], true),
                None => (rest, false),
            };
            let bare = if pending.tabs { line.trim_start_matches('\t') } else { line };
            let found = bare == pending.delimiter;
            let length = line.len() + usize::from(more);
            if found || (rest.is_empty() && !more) {
                let line_end = line_start + line.len();
                self.at += length;
                self.literal(LiteralKind::Word, line_start, line_end, &pending.delimiter);
                break line_start;
            }
            // A line that goes on in the next one: whether that one may be the delimiter, and what becomes of its tabs,
            // shells do not agree.
            if !pending.quoted && continues(bare) && (pending.tabs || self.delimiter_follows(length, pending))
            {
                return self.refuse(RefusedKind::Ambiguous);
            }
            text.push_str(bare);
            if more {
                text.push('\n');
            }
            self.at += length;
        };
        self.literal(LiteralKind::HereDocument, start, end, &text);
        let span = self.fixed.unwrap_or(crate::line::Span { start: start as u32, end: end as u32 });
        if pending.quoted {
            return Ok(Body { pieces: vec![Piece::Text { value: text, quoted: true }], span });
        }
        // The expansions of a body may not go past its end. All of it is one literal.
        let pieces = self.apart(&text, span, |reader| reader.quoted_pieces(None))?;
        Ok(Body { pieces, span })
    }

    fn delimiter_follows(&self, length: usize, pending: &Pending) -> bool {
        let next = self.rest().get(length..).unwrap_or("");
        let next = next.split('\n').next().unwrap_or("");
        next.trim_start_matches('\t') == pending.delimiter
    }
}

/// Whether a line ends in a backslash that is not itself escaped.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}
