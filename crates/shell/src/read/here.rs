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
        // The lines that go on in this one, put together.
        let mut before: Option<String> = None;
        let end = loop {
            let line_start = self.at;
            let rest = self.rest();
            let (line, more) = match rest.find('\n') {
                Some(length) => (&rest[..length], true),
                None => (rest, false),
            };
            let bare = if pending.tabs { line.trim_start_matches('\t') } else { line };
            if self.may_end_body(&mut before, bare, pending) {
                return self.refuse(RefusedKind::Ambiguous);
            }
            let found = bare == pending.delimiter;
            let length = line.len() + usize::from(more);
            if found || (rest.is_empty() && !more) {
                let line_end = line_start + line.len();
                self.at += length;
                self.literal(LiteralKind::Word, line_start, line_end, &pending.delimiter);
                break line_start;
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

    /// Whether a line of a body is its last one for some shells, and for others is not.
    fn may_end_body(&self, before: &mut Option<String>, line: &str, pending: &Pending) -> bool {
        // Inside `$( )` it is for bash 5.2 if it begins with the delimiter, and a `)` stands behind that.
        if line.strip_prefix(&*pending.delimiter).is_some_and(|behind| behind.contains(')')) {
            return true;
        }
        // bash puts continued lines together before it looks, dash and busybox look at each. What becomes of their tabs,
        // shells do not agree either.
        if !pending.quoted
            && let Some(line) = line.strip_suffix('\\').filter(|_| continues(line))
        {
            before.get_or_insert_default().push_str(line);
            return pending.tabs;
        }
        before.take().is_some_and(|before| (before + line).contains(&*pending.delimiter))
    }
}

/// Whether a line ends in a backslash that is not itself escaped.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}
