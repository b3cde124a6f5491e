//! Strings and numbers of a structured body, between reading and release.
//!
//! An access key's id in one string gives away the secret in the next, and so does a name its value: the decoded texts
//! of all tokens stand one behind another, kept apart by a byte that no value has, and are looked at in pieces. A
//! token is released when what could give it away has come. Pieces end where the body's own bytes say, never where a
//! push ends: that is why splitting changes nothing.

use std::ops::Range;
use std::sync::Arc;

use super::found::Look;
use super::lex::Text;
use super::piece::{Piece, Place};
use super::write;
use super::write::{may_be_spelled, number_digits};
use crate::detect::{Detectors, Finding, Form, Hidden, groups, marks, placeholder};
use crate::field::{SEPARATOR, replace, replace_onto};
use crate::limits::{
    BODY_EVENT_PIECES_MAX, BODY_GAP_BYTES_MAX, BODY_WINDOW_BYTES, BODY_WINDOW_RAW_BYTES, LOOK_BEHIND_BYTES,
};

/// How a token is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON string, with its quotes. Whether it has escapes.
    String { escaped: bool },
    /// A JSON number.
    Number,
    /// A name or value of a form.
    Form,
    /// The data of an event that are no JSON.
    Data,
}

/// How a token stands to the rules.
#[derive(Clone, Default)]
pub(super) struct Standing {
    /// The rules that reveal it or a value around it.
    pub(super) reveals: Option<Arc<[usize]>>,
    /// Whether it is a value, no name.
    pub(super) value: bool,
    /// Where in an event it stands: it may be a piece of a text that goes on in the next one.
    pub(super) place: Option<Place>,
}

struct Token {
    /// Where it is in `raw`.
    raw: Range<usize>,
    /// Where its decoded text is in `text`.
    text: Range<usize>,
    kind: Kind,
}

/// What is not yet released, and the context of what is.
pub(super) struct Window {
    raw: Vec<u8>,
    /// How long `raw` is, with what its caller still has to hand over.
    length: usize,
    text: Vec<u8>,
    tokens: Vec<Token>,
    /// Those with which something is to be done also where nothing is found, by their index.
    odd: Vec<(usize, Standing)>,
    /// The lengths of `raw` and `text` after the last look.
    seen: (usize, usize),
    /// Above which `length` there is something to look at.
    limit: usize,
    /// Tokens that are decided with others of later events. They are released as they came.
    pieces: Vec<Piece>,
}

impl Window {
    pub(super) fn new() -> Window {
        let mut window = Window {
            raw: Vec::new(),
            length: 0,
            text: Vec::new(),
            tokens: Vec::new(),
            odd: Vec::new(),
            seen: (0, 0),
            limit: 0,
            pieces: Vec::new(),
        };
        window.set_limit(0);
        window
    }

    /// Bytes that are no token.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pass(bytes.len());
        self.hand_over(bytes);
    }

    /// So many bytes that are no token. They are handed over later, and before anything else is pushed.
    #[inline]
    pub(super) fn pass(&mut self, bytes: usize) {
        self.length += bytes;
    }

    /// What was said to come.
    pub(super) fn hand_over(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        debug_assert_eq!(self.raw.len(), self.length);
    }

    /// How many bytes that are no token may come before [`Window::settle_some`] has anything to do: at least one.
    pub(super) fn room(&self) -> usize {
        (self.limit + 1).saturating_sub(self.length).max(1)
    }

    /// A token as written, and what it says.
    pub(super) fn token(&mut self, raw: &[u8], text: &[u8], kind: Kind) {
        self.pass_token(raw.len(), Text::alone(text), kind);
        self.hand_over(raw);
    }

    /// A token of so many bytes, which are handed over later, and what it says.
    #[inline(always)]
    pub(super) fn pass_token(&mut self, raw: usize, text: Text<'_>, kind: Kind) {
        if kind == Kind::Number && may_be_spelled(text.bytes()) {
            self.odd.push((self.tokens.len(), Standing::default()));
        }
        let start = self.text.len();
        text.copy_before(SEPARATOR, &mut self.text);
        let (raw, text) = (self.length..self.length + raw, start..self.text.len() - 1);
        self.length = raw.end;
        self.tokens.push(Token { raw, text, kind });
        self.set_limit(self.length);
    }

    /// How the token stands that came last.
    pub(super) fn stand(&mut self, standing: Standing) {
        let last = self.tokens.len().saturating_sub(1);
        self.odd.pop_if(|(at, _)| *at == last);
        self.odd.push((last, standing));
    }

    /// Whether [`Window::settle_some`] has anything to do. What was said to come is to be handed over before.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.length > self.limit
    }

    /// Releases what is decided, if there is enough to look at. To be called after each byte that is no token, and each
    /// token.
    pub(super) fn settle_some(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        if !self.is_due() {
            return;
        }
        if self.length > self.last_end() + BODY_GAP_BYTES_MAX {
            return self.settle_all(look, out);
        }
        let horizon = self.text.len().saturating_sub(LOOK_BEHIND_BYTES);
        let decided = self.tokens.partition_point(|token| token.text.end <= horizon);
        self.settle(decided, look, out);
        self.set_limit(self.last_end());
    }

    /// Where the last token ends.
    fn last_end(&self) -> usize {
        self.tokens.last().map_or(0, |token| token.raw.end)
    }

    /// To be called after each token and each look, with [`Window::last_end`].
    #[inline]
    fn set_limit(&mut self, last_end: usize) {
        let full = self.text.len() - self.seen.1 > BODY_WINDOW_BYTES;
        let limit = (last_end + BODY_GAP_BYTES_MAX).min(self.seen.0 + BODY_WINDOW_RAW_BYTES);
        self.limit = if full { 0 } else { limit };
    }

    /// Releases everything. What comes now has no context.
    pub(super) fn settle_all(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        self.settle(self.tokens.len(), look, out);
        self.text.clear();
        self.seen.1 = 0;
        self.set_limit(self.last_end());
    }

    /// Releases the first `decided` tokens and what stands between them.
    fn settle(&mut self, decided: usize, look: &mut Look<'_>, out: &mut Vec<u8>) {
        // Were it not so, other bytes than those that are masked would be left out. Nothing that a peer sends makes it so; asked once for
        // each piece, it costs nothing, and so it is asked in what is shipped, too.
        assert_eq!(self.raw.len(), self.length, "what was said to come came");
        let (mut findings, mut hidden) = (Vec::new(), Hidden::default());
        if decided > 0 {
            look.detectors.scan(&self.text, &mut findings);
            hidden = look.detectors.hidden(&self.text);
        }
        let later = self.odd.partition_point(|(at, _)| *at < decided);
        let rest = self.odd.split_off(later);
        let odd = std::mem::replace(&mut self.odd, rest);
        let touched = self.touched(decided, &findings, &hidden, odd.iter().map(|(at, _)| *at));
        let (mut odd, mut done) = (odd.into_iter().peekable(), 0);
        for at in touched {
            let standing = odd.next_if(|(odd, _)| *odd == at).map_or_else(Standing::default, |(_, s)| s);
            let token = &self.tokens[at];
            let from = |end: usize| findings.partition_point(|f| f.range.start < end);
            let here = &findings[from(token.text.start)..from(token.text.end)];
            let text = &self.text[token.text.clone()];
            let pieces = self.pieces.len();
            let place = standing.place.filter(|_| !text.is_empty() && pieces < BODY_EVENT_PIECES_MAX);
            let found = found_in(token, text, here, &hidden, look.detectors);
            if let Some(place) = place {
                out.extend_from_slice(&self.raw[done..token.raw.end]);
                done = token.raw.end;
                let at = out.len() - token.raw.len()..out.len();
                let (kind, text) = (token.kind, text.to_vec());
                self.pieces.push(Piece {
                    at,
                    kind,
                    place,
                    standing,
                    text,
                    findings: found,
                    joined: Vec::new(),
                });
                continue;
            }
            if let Some(replaced) = released(token.kind, &standing, text, found, look) {
                out.extend_from_slice(&self.raw[done..token.raw.start]);
                out.extend_from_slice(&replaced);
                done = token.raw.end;
            }
        }
        self.tokens.drain(..decided);
        self.odd.iter_mut().for_each(|(at, _)| *at -= decided);
        let next = self.tokens.first().map_or(self.raw.len(), |token| token.raw.start);
        out.extend_from_slice(&self.raw[done..next]);
        let context = self.tokens.first().map_or(self.text.len(), |token| token.text.start);
        self.forget(next, context.saturating_sub(LOOK_BEHIND_BYTES));
    }

    /// Which of the first `decided` tokens something may be to be done with, in order: mostly very few. The `odd` ones are among them.
    fn touched(
        &self,
        decided: usize,
        findings: &[Finding],
        hidden: &Hidden,
        odd: impl Iterator<Item = usize>,
    ) -> Vec<usize> {
        let token = |start: usize| {
            let at = self.tokens.partition_point(|token| token.text.end <= start);
            let token = self.tokens.get(at).filter(|_| at < decided)?;
            (token.text.start <= start).then_some(at)
        };
        let found = self.with(decided, findings.iter().map(|finding| finding.range.start));
        let mut touched: Vec<usize> = odd.chain(found).chain(hidden.places().filter_map(token)).collect();
        if hidden.may_be_in_transcripts() {
            touched.extend(self.with(decided, marks(&self.text)));
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Which of the first `decided` tokens have one of the `places` in their text; those are in order.
    fn with(&self, decided: usize, places: impl Iterator<Item = usize>) -> impl Iterator<Item = usize> {
        let mut next = 0;
        places.filter_map(move |place| {
            let rest = self.tokens.get(next..decided).unwrap_or_default();
            // Mostly it is in the token that was last, or in one of the next.
            let near = rest.iter().take(8).position(|token| place < token.text.end);
            let at = next + near.unwrap_or_else(|| rest.partition_point(|token| token.text.end <= place));
            self.tokens.get(at).filter(|token| at < decided && token.text.start <= place)?;
            next = at + 1;
            Some(at)
        })
    }

    /// The tokens of an event that are not decided.
    pub(super) fn take_pieces(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }

    /// Drops what is released, and text that gives nothing away any more.
    fn forget(&mut self, raw: usize, text: usize) {
        self.raw.drain(..raw);
        self.length -= raw;
        self.text.drain(..text);
        for token in &mut self.tokens {
            token.raw = token.raw.start - raw..token.raw.end - raw;
            token.text = token.text.start - text..token.text.end - text;
        }
        self.seen = (self.raw.len(), self.text.len());
    }
}

/// What is found in a token, which has the findings `here` in the text of all of them: none of those crosses a separator.
fn found_in(
    token: &Token,
    text: &[u8],
    here: &[Finding],
    hidden: &Hidden,
    detectors: &Detectors,
) -> Vec<Finding> {
    let start = token.text.start;
    let mut findings: Vec<Finding> = here.iter().map(|f| f.back(start)).collect();
    findings.iter_mut().for_each(|f| f.range.end = f.range.end.min(text.len()));
    hidden.add(detectors, start, text, &mut findings);
    if token.kind == Kind::Number && findings.is_empty() {
        number(text, detectors, &mut findings);
    }
    findings
}

/// What is written in place of a token; `None` if it passes.
fn released(
    kind: Kind,
    standing: &Standing,
    text: &[u8],
    mut findings: Vec<Finding>,
    look: &mut Look<'_>,
) -> Option<Vec<u8>> {
    let inside = standing.reveals.is_some();
    findings.retain(|f| look.masks(f, &text[f.range.clone()], inside));
    findings.iter_mut().for_each(|f| f.range = characters(text, f.range.clone()));
    let replaced = (!findings.is_empty()).then(|| written(kind, text, &findings));
    for &rule in standing.reveals.iter().flat_map(|rules| rules.iter()).filter(|_| standing.value) {
        match (&replaced, kind) {
            (None, _) => look.found.reveal(rule, text),
            (Some(_), Kind::String { .. }) => look.found.reveal(rule, &replace(text, &findings)),
            (Some(_), Kind::Number | Kind::Form | Kind::Data) => {}
        }
    }
    replaced
}

/// A token with placeholders.
fn written(kind: Kind, text: &[u8], findings: &[Finding]) -> Vec<u8> {
    match kind {
        Kind::String { escaped: false } => {
            let mut out = Vec::with_capacity(text.len() + 2);
            out.push(b'"');
            replace_onto(text, findings, &mut out);
            out.push(b'"');
            out
        }
        Kind::String { escaped: true } | Kind::Form | Kind::Data => spelled(kind, &replace(text, findings)),
        Kind::Number => {
            let class = groups(findings).next().map(|(first, _)| placeholder(&first.class));
            write::json_string(class.unwrap_or_default().as_bytes())
        }
    }
}

/// What says `text`. A string without escapes keeps every other byte.
pub(super) fn spelled(kind: Kind, text: &[u8]) -> Vec<u8> {
    match kind {
        Kind::String { escaped: false } => [b"\"", text, b"\""].concat(),
        Kind::String { escaped: true } | Kind::Number => write::json_string(text),
        Kind::Form => write::form(text),
        Kind::Data => text.to_vec(),
    }
}

/// Looks at the digits of a number that is an integer and is not written as one; a finding covers it whole.
fn number(text: &[u8], detectors: &Detectors, findings: &mut Vec<Finding>) {
    let Some(digits) = number_digits(text) else { return };
    detectors.scan(digits.as_bytes(), findings);
    for finding in findings {
        finding.range = 0..text.len();
        finding.form = Form::Number;
    }
}

/// A range, and what it cut of the characters at its ends (a detector sees bytes).
pub(super) fn characters(text: &[u8], range: Range<usize>) -> Range<usize> {
    let inner = |i: usize| text.get(i).is_some_and(|b| b & 0xc0 == 0x80);
    let (mut start, mut end) = (range.start, range.end);
    while start > 0 && inner(start) {
        start -= 1;
    }
    while inner(end) {
        end += 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_cuts_a_character_takes_it_whole() {
        let text = "a\u{e9}b\u{1f600}c".as_bytes();
        let cases = [
            (0..1, 0..1),
            (1..3, 1..3),
            (2..3, 1..3),
            (1..2, 1..3),
            (3..4, 3..4),
            (3..6, 3..8),
            (7..9, 4..9),
        ];
        for (range, whole) in cases {
            assert_eq!(characters(text, range.clone()), whole, "{range:?}");
        }
    }
}
