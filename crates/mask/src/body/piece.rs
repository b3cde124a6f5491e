//! What one event says at one place: a piece of a text that may go on in the next.

use std::cmp::Reverse;
use std::ops::Range;

use vocab::Class;

use super::found::{Act, Look};
use super::window::{Kind, Standing, characters, spelled};
use crate::detect::{Finding, Form, placeholder};
use crate::sip::sip;

/// Where in an event a string stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The names and indices that lead there.
    pub(super) path: Path,
    /// What stands there is hardly text that goes on: an id, a type, padding.
    pub(super) label: bool,
}

/// A hash of names and indices. Who contrives two alike could as well encode what is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(u64);

impl Path {
    /// One value further in.
    pub(super) fn name(self, name: &[u8]) -> Path {
        self.further(b'.', name)
    }

    pub(super) fn index(self, index: u64) -> Path {
        self.further(b'[', &index.to_le_bytes())
    }

    pub(super) fn further(self, edge: u8, what: &[u8]) -> Path {
        let mut key = [edge; 16];
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        Path(sip(&key, what))
    }
}

/// What an event says of which text its pieces are: each of the three tells more apart than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marking(pub(super) [u64; 3]);

impl Marking {
    /// A member of an object with a short value, of whatever depth, in any order.
    pub(super) fn add(&mut self, name: &[u8], at: impl Fn() -> Path, value: &[u8]) {
        let from = match Says::of(name) {
            Some(Says::Index) => 0,
            Some(Says::Type) => 1,
            Some(Says::Id) => 2,
            Some(Says::Padding) | None => return,
        };
        if value.len() <= MARKING_BYTES_MAX {
            let Path(hash) = at().further(b'=', value);
            self.0[from..].iter_mut().for_each(|of| *of = of.wrapping_add(hash));
        }
    }
}

/// Longest value that marks an event.
const MARKING_BYTES_MAX: usize = 128;

/// What a member's name says of its value.
enum Says {
    /// Which of several texts (`index`, `output_index`, `contentBlockIndex`).
    Index,
    Type,
    Id,
    /// Nothing: it is there for its length, or proves something.
    Padding,
}

impl Says {
    fn of(name: &[u8]) -> Option<Says> {
        let ends = |ends: &[&[u8]]| ends.iter().any(|end| name.ends_with(end));
        match name {
            b"index" => Some(Says::Index),
            b"type" | b"event" | b"kind" => Some(Says::Type),
            b"id" => Some(Says::Id),
            b"obfuscation" | b"signature" | b"model" | b"object" | b"role" => Some(Says::Padding),
            _ if ends(&[b"_index", b"Index"]) => Some(Says::Index),
            _ if ends(&[b"_id", b"Id", b"ID"]) => Some(Says::Id),
            _ => None,
        }
    }
}

/// Whether a member of this name is a label.
pub(super) fn is_label(name: &[u8]) -> bool {
    Says::of(name).is_some()
}

pub(super) struct Piece {
    /// Where it is in the event's data, as it is written there.
    pub(super) at: Range<usize>,
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) standing: Standing,
    pub(super) text: Vec<u8>,
    /// What is found in it where it stands alone.
    pub(super) findings: Vec<Finding>,
    /// What is found in the texts that it is a piece of, and is not found in it alone.
    pub(super) joined: Vec<Joined>,
}

/// What a piece has of a value that is found in a text.
pub(super) struct Joined {
    /// In the piece.
    pub(super) range: Range<usize>,
    pub(super) class: Class,
    pub(super) detector: &'static str,
    pub(super) act: Act,
    /// Whether the placeholder belongs here.
    pub(super) first: bool,
}

impl Piece {
    pub(super) fn revealed(&self) -> bool {
        self.standing.reveals.is_some()
    }

    /// Whether what it has at `range` is of values that are found in it alone.
    pub(super) fn has_alone(&self, range: Range<usize>) -> bool {
        let mut at = range.start;
        // Sorted by start.
        for finding in self.findings.iter().filter(|f| f.form == Form::Raw) {
            if finding.range.start <= at {
                at = at.max(finding.range.end);
            }
        }
        at >= range.end
    }

    /// Whether the run knows what is found in it alone at `range`.
    pub(super) fn passes(&self, range: Range<usize>, look: &Look<'_>) -> bool {
        let here = self.findings.iter().filter(|f| f.range.start < range.end && range.start < f.range.end);
        here.clone().count() > 0
            && here
                .into_iter()
                .all(|f| look.act(f, &self.text[f.range.clone()], self.revealed()) != Act::Masked)
    }

    /// What is written in its place; `None` if it passes. What it has of a value is counted with that value.
    pub(super) fn released(mut self, look: &mut Look<'_>) -> Option<Vec<u8>> {
        let (inside, joined) = (self.revealed(), &self.joined);
        self.findings.retain(|f| {
            !joined.iter().any(|j| j.holds(f)) && look.masks(f, &self.text[f.range.clone()], inside)
        });
        let alone = self.findings.iter().map(|f| (f.range.clone(), Some(&f.class)));
        let masked = self.joined.iter().filter(|j| j.act == Act::Masked);
        let masked = masked.map(|j| (j.range.clone(), j.first.then_some(&j.class)));
        let mut cuts: Vec<Cut<'_>> = alone.chain(masked).collect();
        let replaced = (!cuts.is_empty()).then(|| cut(&self.text, &mut cuts));
        for &rule in self.standing.reveals.iter().flat_map(|rules| rules.iter()) {
            if self.standing.value {
                look.found.reveal(rule, replaced.as_ref().unwrap_or(&self.text));
            }
        }
        replaced.map(|text| spelled(self.kind, &text))
    }
}

impl Joined {
    /// Whether a finding of the piece alone is a part of this value.
    fn holds(&self, alone: &Finding) -> bool {
        alone.form == Form::Raw
            && alone.detector == self.detector
            && self.range.start <= alone.range.start
            && alone.range.end <= self.range.end
    }
}

/// What is taken out of a text, and the class whose placeholder stands there instead.
type Cut<'a> = (Range<usize>, Option<&'a Class>);

/// The text without `cuts`: what overlaps is one.
fn cut(text: &[u8], cuts: &mut [Cut<'_>]) -> Vec<u8> {
    cuts.iter_mut().for_each(|(range, _)| *range = characters(text, range.clone()));
    cuts.sort_by_key(|(range, _)| (range.start, Reverse(range.end)));
    let (mut out, mut done) = (Vec::with_capacity(text.len()), 0);
    let mut rest = cuts.iter().peekable();
    while let Some((range, class)) = rest.next() {
        let (mut end, mut class) = (range.end, *class);
        while let Some((next, other)) = rest.next_if(|(next, _)| next.start < end) {
            end = end.max(next.end);
            class = class.or(*other);
        }
        out.extend_from_slice(&text[done..range.start]);
        out.extend(class.into_iter().flat_map(|class| placeholder(class).into_bytes()));
        done = end;
    }
    out.extend_from_slice(&text[done..]);
    out
}
