//! The texts that the events of a stream have in pieces: the deltas of a model's answer.
//!
//! What successive events say at one place is one text, with nothing between. A place is the path of a string in the JSON
//! of an event, or the data themselves where they are no JSON. Events may have pieces of several texts at one place, and
//! say so by an index, a type or an id; an id may also be another in each event. So a place has a text of all its pieces,
//! and, where events differ in that, one more of those alike, by the index, by the type too, and by the id too.
//!
//! A piece waits until what has not come can no longer make a value of it, and its event with it. That is known at the
//! next piece, for all but a word that goes on; a text that is not gone on with for some events is let go.
//!
//! To look at a text is to scan all of it that is kept. While a long candidate is open, it is looked at when its pieces since
//! the last look pay for that, and let go when the stream has saved enough: what is scanned is linear in what comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::Unreadable;
use super::found::{Act, Look};
use super::held::{Event, Queue};
use super::piece::{Joined, Marking, Path, Piece, Place};
use crate::detect::{Begun, Finding, begun};
use crate::limits::{
    BODY_AGAIN_BYTES, BODY_AGAIN_SAVED_BYTES_MAX, BODY_AGAIN_TIMES, BODY_EVENTS_PAUSE_MAX,
    BODY_EVENTS_PAUSE_ONCE_MAX, BODY_TEXTS_BYTES_MAX, BODY_TEXTS_MAX, EMAIL_LOCAL_BYTES_MAX,
    LOOK_BEHIND_BYTES, NEAR_BYTES_MAX,
};

const TOO_MUCH: Unreadable =
    Unreadable("what could be one value goes on over more events of a stream than are held");

/// The texts, and the events that wait for them.
#[derive(Default)]
pub(super) struct Texts {
    texts: BTreeMap<Key, Text>,
    /// Those with pieces that wait.
    waiting: BTreeSet<Key>,
    queue: Queue,
    /// How many events had data.
    clock: u64,
    /// Of all texts.
    bytes: usize,
    saved: Saved,
}

/// What was earned and not yet spent on looks at long texts, in bytes.
#[derive(Clone, Copy, Default)]
struct Saved(usize);

/// A place, and what else its pieces have in common: the number of a marking and its value.
type Key = (Path, (u8, u64));

/// Nothing: all pieces.
const ALL: (u8, u64) = (0, 0);

impl Texts {
    /// Takes an event, and releases what is decided.
    pub(super) fn push(
        &mut self,
        event: Event,
        look: &mut Look<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let places: Vec<Place> =
            event.data.iter().flat_map(|data| data.pieces.iter().map(|piece| piece.place)).collect();
        let marking = event.data.as_ref().map_or_else(Marking::default, |data| data.marking);
        self.clock += u64::from(event.data.as_ref().is_some_and(|data| !data.written.is_empty()));
        self.saved.earn(event.raw.len());
        let number = self.queue.push(event);
        for (piece, place) in places.into_iter().enumerate() {
            for key in self.keys(place.path, marking) {
                self.extend(key, place, (number, piece), look);
            }
        }
        self.let_go_left(look);
        self.queue.release(look, out);
        self.bound(look, out)?;
        self.forget();
        Ok(())
    }

    /// What stands in no event.
    pub(super) fn push_behind(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.queue.push_behind(bytes, out);
    }

    /// Decides all texts as if they ended here. What goes on later is known by what stands before it.
    pub(super) fn release_all(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        self.let_go(look, |_, _| true);
        self.queue.release(look, out);
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The texts of which a piece is one, made if they are new.
    fn keys(&mut self, path: Path, marking: Marking) -> Vec<Key> {
        let all = (path, ALL);
        let mut keys = vec![all];
        let Some(before) = self.texts.get(&all) else {
            self.texts.insert(all, Text { alike: marking.0.map(Some), ..Text::default() });
            return keys;
        };
        let (mut alike, mut copies) = (before.alike, Vec::new());
        for (i, mark) in marking.0.into_iter().enumerate() {
            if alike[i] == Some(mark) {
                continue;
            }
            // The pieces so far were alike, and this one is another.
            if let Some(other) = alike[i].take() {
                copies.push(((path, (i as u8 + 1, other)), before.clone()));
            }
            keys.push((path, (i as u8 + 1, mark)));
        }
        for (key, text) in copies {
            text.spans.iter().for_each(|span| self.queue.wait(span.event));
            self.bytes += text.buffer.len();
            self.waiting.extend((!text.spans.is_empty()).then_some(key));
            if let Some(mut old) = self.texts.insert(key, text) {
                // The text of all pieces was forgotten, and began anew.
                old.release(usize::MAX, &mut self.queue);
                self.bytes -= old.buffer.len();
            }
        }
        if let Some(all) = self.texts.get_mut(&all) {
            all.alike = alike;
        }
        keys
    }

    /// A piece more of a text.
    fn extend(&mut self, key: Key, place: Place, (event, piece): (u64, usize), look: &mut Look<'_>) {
        let text = self.texts.entry(key).or_default();
        let Some(more) = self.queue.piece(event, piece) else { return };
        text.extend(&more.text, self.clock, Span { event, piece, start: 0, end: 0 });
        text.begun = text.offset + text.held(begun(&text.buffer), place.label);
        self.bytes += more.text.len();
        self.queue.wait(event);
        self.waiting.insert(key);
        if text.paid >= text.buffer.len() {
            self.look_at(&key, look);
        }
    }

    /// Decides what of a text can be decided.
    fn look_at(&mut self, key: &Key, look: &mut Look<'_>) {
        let Some(text) = self.texts.get_mut(key) else { return };
        let before = text.buffer.len();
        text.look(&mut self.queue, look);
        self.bytes = self.bytes + text.buffer.len() - before;
        if text.spans.is_empty() {
            self.waiting.remove(key);
        }
    }

    /// Lets go of what was not gone on with, as far as that is paid for: of long texts, first of what has waited longest.
    fn let_go_left(&mut self, look: &mut Look<'_>) {
        let age = |text: &Text| text.spans.front().filter(|_| text.is_long()).map(|span| span.event);
        let texts = self.waiting.iter().filter_map(|key| Some((self.texts.get(key)?, *key)));
        let left = texts.filter(|(text, _)| text.is_left(self.clock));
        let mut left: Vec<(Option<u64>, Key)> = left.map(|(text, key)| (age(text), key)).collect();
        left.sort_unstable();
        for (_, key) in left {
            let Some(text) = self.texts.get_mut(&key) else { continue };
            if !self.saved.pays(text) {
                return;
            }
            text.end(&mut self.queue, look);
            self.waiting.remove(&key);
        }
    }

    /// Decides the waiting texts that are `meant` as if they ended here.
    fn let_go(&mut self, look: &mut Look<'_>, meant: impl Fn(&Text, u64) -> bool) {
        let (texts, queue, clock) = (&mut self.texts, &mut self.queue, self.clock);
        self.waiting.retain(|key| {
            let Some(text) = texts.get_mut(key) else { return false };
            if !meant(text, clock) {
                return true;
            }
            text.end(queue, look);
            false
        });
    }

    /// Lets go of what is not worth more room. Errors: it is not enough, or to see that would cost more than was saved.
    fn bound(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if !self.queue.is_full() {
            return Ok(());
        }
        // What goes on is let go only if nothing in it is open now.
        let unseen = |text: &Text| text.last == self.clock && text.paid > 0;
        let waiting = self.waiting.iter();
        let unseen: Vec<Key> =
            waiting.filter(|key| self.texts.get(key).is_some_and(unseen)).copied().collect();
        for key in unseen {
            if !self.texts.get(&key).is_some_and(|text| self.saved.pays(text)) {
                return Err(TOO_MUCH);
            }
            self.look_at(&key, look);
        }
        self.let_go(look, |text, clock| !text.open || text.last < clock);
        self.queue.release(look, out);
        if self.queue.is_full() { Err(TOO_MUCH) } else { Ok(()) }
    }

    /// Forgets texts that nothing waits for, if there are too many: those that were gone on with last are kept longest.
    fn forget(&mut self) {
        if self.texts.len() <= BODY_TEXTS_MAX && self.bytes <= BODY_TEXTS_BYTES_MAX {
            return;
        }
        let done = self.texts.iter().filter(|(_, text)| text.spans.is_empty());
        let mut done: Vec<_> = done.map(|(key, text)| (text.pieces > 1, text.last, *key)).collect();
        done.sort_unstable();
        for (_, _, key) in &done[..done.len().div_ceil(2)] {
            self.bytes -= self.texts.remove(key).map_or(0, |text| text.buffer.len());
        }
    }
}

impl Saved {
    /// From an event of `bytes`.
    fn earn(&mut self, bytes: usize) {
        self.0 = (self.0 + earned(bytes)).min(BODY_AGAIN_SAVED_BYTES_MAX);
    }

    /// Whether it is enough for a look at a text; then it is spent. For one at a short text the piece before has paid.
    fn pays(&mut self, text: &Text) -> bool {
        let price = if text.is_long() { text.buffer.len() } else { 0 };
        let left = self.0.checked_sub(price);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// How much may be looked at again for a piece, or an event, of `bytes`.
fn earned(bytes: usize) -> usize {
    BODY_AGAIN_BYTES + BODY_AGAIN_TIMES * bytes
}

/// How far before what is decided a finding may begin that did not show, in bytes: as far as an address, or a secret before
/// an id.
const REACH_BYTES: usize = NEAR_BYTES_MAX;
const _: () = assert!(REACH_BYTES >= EMAIL_LOCAL_BYTES_MAX && 2 * REACH_BYTES < LOOK_BEHIND_BYTES);

/// A piece of a text whose event is held.
#[derive(Clone)]
struct Span {
    event: u64,
    piece: usize,
    start: usize,
    end: usize,
}

/// Event, piece, and where in it.
type Part = (u64, usize, Range<usize>);

/// One text.
#[derive(Clone, Default)]
struct Text {
    /// Context of at most [`LOOK_BEHIND_BYTES`], then what is not decided.
    buffer: Vec<u8>,
    /// Whether `buffer` begins in the middle of a line.
    within: bool,
    /// Where in the text `buffer` begins. Positions below are of the text.
    offset: usize,
    /// Findings that begin before are final, and in their pieces.
    decided: usize,
    /// Up to here it belongs to a value whose placeholder is in a piece.
    covered: usize,
    covered_by: &'static str,
    /// The last value in it that the run knows.
    known: Range<usize>,
    /// What was found and goes on behind what is decided.
    seen: Vec<Range<usize>>,
    /// Its pieces that are held.
    spans: VecDeque<Span>,
    /// How many pieces it had, how long the first was, and whether another was not the same.
    pieces: u64,
    length: usize,
    varied: bool,
    /// Whether anything but one long word has come.
    broken: bool,
    /// Whether a candidate that has its anchor was undecided at the last look.
    open: bool,
    /// From where on something has begun that is worth waiting for.
    begun: usize,
    /// What the pieces since the last look pay for the next, in bytes.
    paid: usize,
    /// The event that had its last piece.
    last: u64,
    /// Whether it is hardly a text: a label, always the same, or one long word.
    hardly: bool,
    /// Of the text of all pieces: what they were marked with, each if it was the same for all.
    alike: [Option<u64>; 3],
}

impl Text {
    fn extend(&mut self, more: &[u8], clock: u64, span: Span) {
        let start = self.offset + self.buffer.len();
        match self.pieces {
            0 => self.length = more.len(),
            _ => self.varied |= self.length != more.len() || !self.buffer.ends_with(more),
        }
        self.buffer.extend_from_slice(more);
        self.spans.push_back(Span { start, end: start + more.len(), ..span });
        self.pieces += 1;
        self.last = clock;
        self.paid += earned(more.len());
    }

    /// Decides what bytes that have not come cannot change, and releases the pieces that end in it.
    fn look(&mut self, queue: &mut Queue, look: &mut Look<'_>) {
        let mut found = Vec::new();
        let behind = self.decided.saturating_sub(REACH_BYTES).saturating_sub(self.offset);
        let undecided = look.detectors.scan_open(&self.buffer, !self.within, behind, &mut found);
        self.open = undecided < self.buffer.len();
        let open = self.offset + undecided;
        let cut = open.min(self.begun).max(self.decided);
        self.decide(open, cut, found, queue, look);
        self.decided = cut;
        self.paid = 0;
        self.seen.retain(|range| range.end > cut);
        self.release(cut, queue);
        self.forget();
    }

    /// From where on in the buffer something has begun that is worth waiting for. Of what is hardly a text only the last
    /// piece waits for the next.
    fn held(&mut self, begun: Begun, label: bool) -> usize {
        let last = self.spans.back().map_or(0, |span| span.start - self.offset);
        let length = self.buffer.len();
        self.broken |= length - begun.word < length.min(EMAIL_LOCAL_BYTES_MAX);
        // A PEM's dashes come again.
        let again = if self.buffer.last() == Some(&b'-') { 8 } else { 2 };
        let same = !self.varied && self.pieces >= again;
        let endless = !self.broken && length > EMAIL_LOCAL_BYTES_MAX;
        self.hardly = label || same || endless;
        let word = if self.hardly { begun.word.max(last) } else { begun.word };
        let firm = if !self.varied && self.pieces > 2 { begun.firm.max(last) } else { begun.firm };
        word.min(firm)
    }

    /// Whether a look at it is more than one piece pays for.
    fn is_long(&self) -> bool {
        self.buffer.len() > BODY_AGAIN_BYTES
    }

    /// Whether it was not gone on with for so long that it is let go.
    fn is_left(&self, clock: u64) -> bool {
        let most = match self.pieces {
            0 | 1 => BODY_EVENTS_PAUSE_ONCE_MAX,
            _ if self.hardly => BODY_EVENTS_PAUSE_ONCE_MAX,
            _ => BODY_EVENTS_PAUSE_MAX,
        };
        clock - self.last > most
    }

    /// Marks the pieces of what is found and begins before `cut`. What begins before `open` is final. What begins in what was
    /// decided before did not show there: it has letters in it that words are not waited for with, or was let go.
    fn decide(
        &mut self,
        open: usize,
        cut: usize,
        found: Vec<Finding>,
        queue: &mut Queue,
        look: &mut Look<'_>,
    ) {
        for finding in found {
            let range = finding.range.start + self.offset..finding.range.end + self.offset;
            let behind = range.end > self.decided.max(self.covered);
            let late = behind && range.start + REACH_BYTES >= self.decided && !self.seen.contains(&range);
            if range.start < open.min(cut) && (range.start >= self.decided || late) {
                self.mark(&finding, range.clone(), cut == usize::MAX, queue, look);
                let again = range.end > self.decided && !self.seen.contains(&range);
                self.seen.extend(again.then_some(range));
            }
        }
    }

    /// Decides it as if it ended here; if it goes on, what is found then counts from where it was decided before.
    fn end(&mut self, queue: &mut Queue, look: &mut Look<'_>) {
        let mut found = Vec::new();
        look.detectors.scan_end(&self.buffer, !self.within, &mut found);
        self.decide(usize::MAX, usize::MAX, found, queue, look);
        self.release(usize::MAX, queue);
    }

    /// Marks the pieces of what is found. `ends`: what is found in a piece alone leaves, whether or not it goes on.
    fn mark(
        &mut self,
        finding: &Finding,
        range: Range<usize>,
        ends: bool,
        queue: &mut Queue,
        look: &mut Look<'_>,
    ) {
        let parts = self.parts(&range);
        let piece = |part: &Part| queue.piece(part.0, part.1);
        let alone = |part: &Part| piece(part).is_none_or(|piece| piece.has_alone(part.2.clone()));
        let inside = parts.iter().all(|part| piece(part).is_some_and(Piece::revealed));
        let act = look.act(finding, &self.buffer[finding.range.clone()], inside);
        // In a stream of rows the next piece is no part of a value that the run knows.
        let row = act == Act::Masked
            && (self.known.contains(&range.start)
                || self.begins_in_known(finding, &range, &parts, queue, look));
        if act != Act::Masked {
            self.known = range.clone();
        }
        if row {
            return;
        }
        if parts.iter().all(alone) {
            let passes = |part: &Part| piece(part).is_some_and(|piece| piece.passes(part.2.clone(), look));
            if parts.is_empty() {
                // It has left.
            } else if parts.iter().all(passes) {
                self.known = range;
            } else if ends && act == Act::Masked {
                self.cover(&range, finding);
            }
            return;
        }
        let goes_on = act == Act::Masked && range.start < self.covered;
        let same = |joined: &Joined, at: &Range<usize>| {
            let overlaps = joined.range.start < at.end && at.start < joined.range.end;
            joined.detector == finding.detector && joined.act == act && overlaps
        };
        let first = parts.first();
        let counted = |part| piece(part).is_some_and(|piece| piece.joined.iter().any(|j| same(j, &part.2)));
        let counted = goes_on && self.covered_by == finding.detector || first.is_some_and(counted);
        if !counted {
            look.note(finding, act);
        }
        for (i, (event, piece, range)) in parts.into_iter().enumerate() {
            if let Some(piece) = queue.piece_mut(event, piece) {
                let (class, detector) = (finding.class.clone(), finding.detector);
                piece.joined.push(Joined { range, class, detector, act, first: i == 0 && !goes_on });
            }
        }
        if act == Act::Masked {
            self.cover(&range, finding);
        }
    }

    fn cover(&mut self, range: &Range<usize>, finding: &Finding) {
        self.covered = self.covered.max(range.end);
        self.covered_by = finding.detector;
    }

    /// Whether it begins in a value that its first piece has whole and that the run knows.
    fn begins_in_known(
        &self,
        finding: &Finding,
        range: &Range<usize>,
        parts: &[Part],
        queue: &Queue,
        look: &Look<'_>,
    ) -> bool {
        let Some((event, piece, at)) = parts.first() else { return false };
        let here = |span: &Span| (span.event, span.piece) == (*event, *piece);
        let begins = self.spans.iter().any(|span| here(span) && span.start + at.start == range.start);
        let Some(piece) = queue.piece(*event, *piece).filter(|_| begins) else { return false };
        piece.findings.iter().any(|alone| {
            alone.detector == finding.detector
                && alone.range.contains(&at.start)
                && look.act(alone, &piece.text[alone.range.clone()], piece.revealed()) != Act::Masked
        })
    }

    /// What the held pieces have of a range of the text.
    fn parts(&self, range: &Range<usize>) -> Vec<Part> {
        let here = self.spans.iter().filter(|span| span.start < range.end && range.start < span.end);
        let cut =
            |span: &Span| range.start.max(span.start) - span.start..range.end.min(span.end) - span.start;
        here.map(|span| (span.event, span.piece, cut(span))).collect()
    }

    /// Its pieces that end before `cut` wait no longer.
    fn release(&mut self, cut: usize, queue: &mut Queue) {
        while let Some(span) = self.spans.pop_front_if(|span| span.end <= cut) {
            queue.decided(span.event);
        }
    }

    /// Drops what no detector can look back at.
    fn forget(&mut self) {
        let keep = self.decided.saturating_sub(LOOK_BEHIND_BYTES).max(self.offset);
        if let Some(last) = self.buffer.drain(..keep - self.offset).next_back() {
            self.within = last != b'\n';
        }
        self.offset = keep;
        if self.buffer.capacity() > 4 * LOOK_BEHIND_BYTES.max(self.buffer.len()) {
            self.buffer.shrink_to_fit();
        }
    }
}
