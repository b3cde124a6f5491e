//! Events that wait, in order, until every piece in them is decided.

use std::collections::VecDeque;

use super::found::Look;
use super::piece::{Marking, Piece};
use crate::limits::{BODY_EVENTS_HELD_BYTES_MAX, BODY_EVENTS_HELD_MAX, BODY_PIECES_HELD_MAX};

/// The data of an event.
#[derive(Default)]
pub(super) struct Data {
    /// As they are written, but for the pieces.
    pub(super) written: Vec<u8>,
    /// Whether that differs from what came.
    pub(super) changed: bool,
    /// Whether a line feed in them is white space.
    pub(super) json: bool,
    /// In order.
    pub(super) pieces: Vec<Piece>,
    pub(super) marking: Marking,
}

impl Data {
    /// As they are released; `None` if they are as they came.
    fn released(self, look: &mut Look<'_>) -> Option<Vec<u8>> {
        let (mut out, mut done, mut changed) = (Vec::new(), 0, self.changed);
        for piece in self.pieces {
            let at = piece.at.clone();
            if let Some(replaced) = piece.released(look) {
                out.extend_from_slice(&self.written[done..at.start]);
                out.extend_from_slice(&replaced);
                done = at.end;
                changed = true;
            }
        }
        if !changed {
            return None;
        }
        out.extend_from_slice(&self.written[done..]);
        if self.json {
            out.iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b' ');
        }
        Some(out)
    }
}

/// An event, read and looked at alone.
pub(super) struct Event {
    /// As it came.
    pub(super) raw: Vec<u8>,
    /// Its other lines as they came, and what they are if something in them is replaced.
    pub(super) other: Option<Vec<u8>>,
    pub(super) other_masked: Option<Vec<u8>>,
    /// `None`: it has no line of data.
    pub(super) data: Option<Data>,
    /// Whether a blank line ended it.
    pub(super) whole: bool,
}

impl Event {
    /// One in which nothing is replaced keeps its bytes; of another the data come last, in one line if they are JSON.
    pub(super) fn released(self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        let as_written = |data: &Data| data.written.clone();
        let plain = self.data.as_ref().filter(|data| self.other_masked.is_some() && !data.changed);
        let plain = plain.map(as_written);
        let has_data = self.data.is_some();
        let data = self.data.and_then(|data| data.released(look));
        if self.other_masked.is_none() && data.is_none() {
            out.extend_from_slice(&self.raw);
            return;
        }
        if let Some(other) = self.other_masked.or(self.other) {
            write(b"", &other, out);
        }
        if let Some(data) = data.or(plain).filter(|_| has_data) {
            write(b"data: ", &data, out);
        }
        if self.whole {
            out.push(b'\n');
        }
    }
}

fn write(field: &[u8], lines: &[u8], out: &mut Vec<u8>) {
    for line in lines.split(|&b| b == b'\n') {
        [field, line, b"\n"].iter().for_each(|piece| out.extend_from_slice(piece));
    }
}

struct Held {
    event: Event,
    /// What stands behind it and in no event.
    behind: Vec<u8>,
    /// How many pieces of texts are not decided.
    waits: usize,
    /// What it counts for in the bounds.
    bytes: usize,
    pieces: usize,
}

/// What is held, in order.
#[derive(Default)]
pub(super) struct Queue {
    held: VecDeque<Held>,
    /// The number of the first.
    first: u64,
    bytes: usize,
    pieces: usize,
}

impl Queue {
    pub(super) fn push(&mut self, event: Event) -> u64 {
        let pieces = event.data.as_ref().map_or(0, |data| data.pieces.len());
        let bytes = event.raw.len();
        self.bytes += bytes;
        self.pieces += pieces;
        self.held.push_back(Held { event, behind: Vec::new(), waits: 0, bytes, pieces });
        self.first + self.held.len() as u64 - 1
    }

    /// What stands in no event.
    pub(super) fn push_behind(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.held.back_mut() {
            Some(last) => {
                last.behind.extend_from_slice(bytes);
                last.bytes += bytes.len();
                self.bytes += bytes.len();
            }
            None => out.extend_from_slice(bytes),
        }
    }

    pub(super) fn piece(&self, event: u64, piece: usize) -> Option<&Piece> {
        let held = self.held.get(event.checked_sub(self.first)? as usize)?;
        held.event.data.as_ref()?.pieces.get(piece)
    }

    pub(super) fn piece_mut(&mut self, event: u64, piece: usize) -> Option<&mut Piece> {
        let held = self.held.get_mut(event.checked_sub(self.first)? as usize)?;
        held.event.data.as_mut()?.pieces.get_mut(piece)
    }

    /// A piece of the event waits.
    pub(super) fn wait(&mut self, event: u64) {
        if let Some(held) = self.at(event) {
            held.waits += 1;
        }
    }

    /// A piece of the event is decided.
    pub(super) fn decided(&mut self, event: u64) {
        if let Some(held) = self.at(event) {
            held.waits = held.waits.saturating_sub(1);
        }
    }

    fn at(&mut self, event: u64) -> Option<&mut Held> {
        self.held.get_mut(event.checked_sub(self.first)? as usize)
    }

    /// Releases what is decided.
    pub(super) fn release(&mut self, look: &mut Look<'_>, out: &mut Vec<u8>) {
        while let Some(held) = self.held.pop_front_if(|held| held.waits == 0) {
            self.first += 1;
            self.bytes -= held.bytes;
            self.pieces -= held.pieces;
            held.event.released(look, out);
            out.extend_from_slice(&held.behind);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether more is held than may be.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > BODY_EVENTS_HELD_BYTES_MAX
            || self.held.len() > BODY_EVENTS_HELD_MAX
            || self.pieces > BODY_PIECES_HELD_MAX
    }
}
