//! Finding sensitive values in bytes.
//!
//! One pass over the bytes ([`anchor`]) finds *anchors*: the few bytes that every value of a class has (`@`, `AKIA`,
//! `ddd-dd-dddd`). A [`recognise`]r then looks at a bounded window around the anchor and validates
//! (checksums, lengths, issuers). Each finding depends on its own window alone, never on what was found before it; that
//! is what makes a stream and the whole mask alike. [`deep`] undoes common encodings first.

mod anchor;
mod begun;
mod deep;
mod kinds;
mod recognise;
mod validate;

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use vocab::Class;

use crate::limits::LOOK_BEHIND_BYTES;
use crate::taint::Taint;
pub(crate) use begun::{Begun, begun};
pub(crate) use deep::unit;
pub(crate) use kinds::{BLOCK, Quoted, Runs, block_at, marks, of_token};
use recognise::{Detector, View};

/// A value of a class, found in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub class: Class,
    /// The detector's name: a constant, for records.
    pub detector: &'static str,
    /// Where, in the bytes that were scanned (for [`crate::Tail`]: in the stream). Never empty.
    pub range: Range<usize>,
    pub form: Form,
}

/// How the value stood in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    Raw,
    Base64,
    Hex,
    /// `%40`.
    Percent,
    /// `\u0040`, `\x40`.
    Escaped,
    Utf16,
    /// Split by zero-width characters, or by control sequences of terminals.
    Split,
    /// The decimal digits of a binary number.
    Number,
}

impl Form {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Raw => "raw",
            Form::Base64 => "base64",
            Form::Hex => "hex",
            Form::Percent => "percent",
            Form::Escaped => "escaped",
            Form::Utf16 => "utf-16",
            Form::Split => "split",
            Form::Number => "number",
        }
    }
}

/// Every detector, made once for a process and shared.
pub struct Detectors {
    classes: [Class; Detector::COUNT],
    /// What a run was shown.
    taint: Option<Arc<Taint>>,
    /// Keys of services that nobody listed are looked for, too.
    keys: bool,
}

impl Detectors {
    #[expect(
        clippy::new_without_default,
        reason = "there is one for a process; where it is made should be seen"
    )]
    pub fn new() -> Detectors {
        Detectors { classes: Detector::ALL.map(Detector::class), taint: None, keys: false }
    }

    /// The same, and what a run was shown: for what it tells somebody else.
    pub fn with(&self, taint: Arc<Taint>) -> Detectors {
        Detectors { classes: self.classes.clone(), taint: Some(taint), keys: self.keys }
    }

    /// The same, and keys of services that nobody listed: for what programs write to people, and not for what clients of APIs are
    /// told, which has identifiers that look alike.
    pub fn of_programs(&self) -> Detectors {
        Detectors { classes: self.classes.clone(), taint: self.taint.clone(), keys: true }
    }

    /// Appends the findings in `bytes`, sorted by start, longest first. They may overlap.
    pub fn scan(&self, bytes: &[u8], findings: &mut Vec<Finding>) {
        self.scan_end(bytes, true, findings);
    }

    /// As [`Detectors::scan`], of the end of a text; whether it begins a `line`.
    pub(crate) fn scan_end(&self, bytes: &[u8], line: bool, findings: &mut Vec<Finding>) {
        let mut spots = Spots::default();
        self.spot(&View::whole_at(bytes, line), &mut spots);
        self.report(spots, findings);
    }

    /// As [`Detectors::scan`], and through base64, hex, percent, `\u`, UTF-16, zero-width splitting and terminals' control sequences, at most
    /// [`crate::limits::DECODE_DEPTH_MAX`] deep. A finding in a base64 or hex run covers the whole run.
    pub fn scan_deep(&self, bytes: &[u8], findings: &mut Vec<Finding>) {
        let first = findings.len();
        self.scan(bytes, findings);
        let mut encoded = findings.split_off(first);
        self.scan_encoded(bytes, &mut encoded);
        findings.append(&mut encoded);
    }

    /// Adds what is found behind encodings alone to the `findings` of the same bytes.
    pub(crate) fn scan_encoded(&self, bytes: &[u8], findings: &mut Vec<Finding>) {
        let mut spots = Spots::default();
        deep::spot(self, bytes, 0, &mut spots);
        self.add(spots, findings);
    }

    /// The same of each line of `bytes` by itself.
    pub(crate) fn scan_encoded_lines(&self, bytes: &[u8], findings: &mut Vec<Finding>) {
        let mut spots = Spots::default();
        deep::spot_lines(self, bytes, &mut spots);
        self.add(spots, findings);
    }

    fn add(&self, spots: Spots, findings: &mut Vec<Finding>) {
        let before = findings.len();
        self.report(spots, findings);
        if before > 0 && findings.len() > before {
            findings.sort_by_key(|f| (f.range.start, Reverse(f.range.end)));
        }
    }

    /// What is hidden in texts that stand one behind another, apart by [`crate::field::SEPARATOR`].
    pub(crate) fn hidden(&self, texts: &[u8]) -> Hidden {
        let mut runs = Spots::default();
        deep::spot_runs(self, texts, &mut runs);
        Hidden { runs, marked: deep::has_transcripts(texts) }
    }

    /// Every spot in `view`, unsorted.
    fn spot(&self, view: &View<'_>, spots: &mut Spots) {
        #[cfg(test)]
        SCANNED.set(SCANNED.get() + view.bytes().len());
        anchor::each(view.bytes(), |anchor, end| recognise::at(anchor, end, view, spots));
        if self.keys {
            recognise::keys(view, spots);
        }
        if let Some(taint) = &self.taint {
            taint.each(view.bytes(), |range, class| spots.shown.push((class.clone(), range, Form::Raw)));
            if view.is_open() {
                // The last words may be the first ones of a longer value.
                spots.undecided(view.bytes().len().saturating_sub(LOOK_BEHIND_BYTES));
            }
        }
    }

    /// Findings in a buffer to which more may be appended; see [`crate::Tail`]. Also the position from which on
    /// bytes that have not come could still change the findings: the end of `bytes` if none could. Candidates before
    /// `decided` were decided earlier, with more context. Whether they begin a `line`: a mark of a line stands at its beginning.
    pub(crate) fn scan_open(
        &self,
        bytes: &[u8],
        line: bool,
        decided: usize,
        findings: &mut Vec<Finding>,
    ) -> usize {
        let mut spots = Spots { decided, ..Spots::default() };
        self.spot(&View::open(bytes, line), &mut spots);
        let undecided = spots.undecided.unwrap_or(bytes.len());
        self.report(spots, findings);
        undecided
    }

    /// What `bytes` end with, if that has surely begun and more of it would have come; whether they begin a `line`. No whole value: see
    /// [`recognise::cut`].
    pub(crate) fn cut(&self, bytes: &[u8], line: bool) -> Option<Finding> {
        let (detector, start) = recognise::cut::cut(&View::whole_at(bytes, line))?;
        Some(Finding {
            class: self.classes[detector as usize].clone(),
            detector: detector.name(),
            range: start..bytes.len(),
            form: Form::Raw,
        })
    }

    fn report(&self, mut spots: Spots, findings: &mut Vec<Finding>) {
        if spots.found.is_empty() && spots.shown.is_empty() {
            return;
        }
        let first = findings.len();
        let shown = |(class, range, form)| Finding { class, detector: "taint", range, form };
        findings.extend(spots.shown.into_iter().map(shown));
        spots.found.sort_by_key(|s| (s.range.start, Reverse(s.range.end), s.detector, s.form));
        spots.found.dedup_by(|b, a| a.range == b.range && a.detector == b.detector);
        findings.extend(spots.found.into_iter().map(|s| Finding {
            class: self.classes[s.detector as usize].clone(),
            detector: s.detector.name(),
            range: s.range,
            form: s.form,
        }));
        findings[first..].sort_by_key(|f| (f.range.start, Reverse(f.range.end)));
    }
}

impl std::fmt::Debug for Detectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Detectors({})", Detector::COUNT)
    }
}

#[cfg(test)]
thread_local! {
    /// How many bytes were scanned: what a stream costs, without a clock.
    pub(crate) static SCANNED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// What encodings hide in several texts, looked for once.
#[derive(Default)]
pub(crate) struct Hidden {
    /// In base64 and hex: those of one text before those of the next.
    runs: Spots,
    /// There may be something in a transcript, which depends on where its text begins and ends.
    marked: bool,
}

impl Hidden {
    /// Whether nothing is, in any of the texts.
    pub(crate) fn is_nothing(&self) -> bool {
        self.runs.found.is_empty() && self.runs.shown.is_empty() && !self.marked
    }

    /// In which of the texts something is in base64 or hex: a place in each.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> {
        let Spots { found, shown, .. } = &self.runs;
        found.iter().map(|s| s.range.start).chain(shown.iter().map(|(_, range, _)| range.start))
    }

    /// Whether something may be in those of the texts in which there are [`marks`].
    pub(crate) fn may_be_in_transcripts(&self) -> bool {
        self.marked
    }

    /// Adds what is hidden in one of the texts, which says `bytes` and stands at `at`, to the `findings` in it.
    pub(crate) fn add(&self, detectors: &Detectors, at: usize, bytes: &[u8], findings: &mut Vec<Finding>) {
        let end = at + bytes.len();
        let back = |range: &Range<usize>| range.start - at..range.end - at;
        let Spots { found, shown, .. } = &self.runs;
        let found = within(found, |spot| spot.range.start, at..end);
        let shown = within(shown, |(_, range, _)| range.start, at..end);
        let mut spots = Spots {
            found: found.iter().map(|spot| Spot { range: back(&spot.range), ..spot.clone() }).collect(),
            shown: shown.iter().map(|(class, range, form)| (class.clone(), back(range), *form)).collect(),
            ..Spots::default()
        };
        if self.marked {
            deep::spot_transcripts(detectors, bytes, &mut spots);
        }
        detectors.add(spots, findings);
    }
}

/// Those that begin in a place that what begins before it stands before.
fn within<T>(all: &[T], start: impl Fn(&T) -> usize, place: Range<usize>) -> &[T] {
    let until = |end: usize| all.partition_point(|one| start(one) < end);
    &all[until(place.start)..until(place.end)]
}

impl Finding {
    /// The same in what begins so far behind.
    pub(crate) fn back(&self, by: usize) -> Finding {
        Finding { range: self.range.start - by..self.range.end - by, ..self.clone() }
    }
}

/// A finding before it is reported.
#[derive(Clone, Debug)]
struct Spot {
    detector: Detector,
    range: Range<usize>,
    form: Form,
}

#[derive(Default)]
struct Spots {
    found: Vec<Spot>,
    /// Of what the run was shown.
    shown: Vec<(Class, Range<usize>, Form)>,
    /// Start of the earliest candidate whose window was cut by the end of an open view.
    undecided: Option<usize>,
    decided: usize,
}

impl Spots {
    fn push(&mut self, detector: Detector, range: Range<usize>) {
        self.found.push(Spot { detector, range, form: Form::Raw });
    }

    fn undecided(&mut self, from: usize) {
        if from >= self.decided {
            self.undecided = Some(self.undecided.map_or(from, |u| u.min(from)));
        }
    }
}

/// Findings merged where they overlap: what one placeholder stands for. `findings` must be sorted by start.
pub(crate) fn groups(findings: &[Finding]) -> impl Iterator<Item = (&Finding, Range<usize>)> {
    let mut rest = findings.iter().peekable();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        let mut range = first.range.clone();
        while let Some(next) = rest.next_if(|f| f.range.start < range.end) {
            range.end = range.end.max(next.range.end);
        }
        Some((first, range))
    })
}

/// What stands in the place of a finding.
pub(crate) fn placeholder(class: &Class) -> String {
    ["[", class.as_str(), "]"].concat()
}

#[cfg(test)]
pub(crate) mod tests;
