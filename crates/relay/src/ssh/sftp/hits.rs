//! What detectors found in what a file, a listing or a sentence says, until it is recorded; and whether it may leave for that.

use std::collections::{BTreeMap, BTreeSet};

use gate::{By, Decided, Exposure, Ground, Tripped};
use mask::body::{Act, Found};
use mask::{Detectors, Known, Origin};
use vocab::{Class, Group, ResourcePath, Seq, Verdict};

use super::super::asked::Asked;
use super::super::decide::Denied;
use super::super::link::Link;
use crate::alike::tripped;
use crate::config::Tripwire;
use crate::entropy;

const TRIPPED: &str = "a detector found a value that no rule governs";

/// Whether something may leave.
pub(super) enum May {
    Go,
    Stay(Denied),
    /// People are to be asked.
    Ask(Box<(Decided, policy::Context, policy::Release)>),
}

/// What is to leave: the request that it answers and its intent, what was found in it, how many bytes of it there are with those that left,
/// and why it stays where policy says so.
pub(super) struct Leaving<'a> {
    pub(super) asked: &'a Asked,
    pub(super) of: Seq,
    pub(super) hits: &'a Hits,
    pub(super) bytes: u64,
    pub(super) holds: &'static str,
}

impl Leaving<'_> {
    /// Whether policy and the tripwire let it out. `approved`: what people have said yes to.
    pub(super) fn may(&self, link: &Link, approved: &BTreeSet<Group>) -> May {
        let (gate, who) = (&link.resource.gate, &link.who);
        let context = policy::Context {
            classes: self.hits.classes.iter().cloned().collect(),
            now: entropy::wall(),
            ..self.asked.context.clone()
        };
        let release = policy::Release { rows: 0, bytes: self.bytes, tripwires: self.hits.count };
        let ground = Ground { action: self.asked.action(), context: &context, release: None };
        if self.hits.count > 0 && link.resource.config.tripwire == Tripwire::Cut {
            let mut decided = gate.verdict(who, &ground, &BTreeSet::new());
            decided.message = None;
            return May::Stay(Denied { decided: decided.into(), why: TRIPPED, of: Some(self.of) });
        }
        if !gate.decides_releases(who) {
            return May::Go;
        }
        let decided = gate.verdict(who, &Ground { release: Some(release), ..ground }, approved);
        match decided.verdict {
            Verdict::Allow => May::Go,
            Verdict::Refuse => May::Stay(self.stays(decided)),
            Verdict::Ask(_) => May::Ask((decided, context, release).into()),
        }
    }

    /// The same where nobody is asked: what would ask refuses.
    pub(super) fn denied(&self, link: &Link) -> Option<Denied> {
        match self.may(link, &BTreeSet::new()) {
            May::Go => None,
            May::Stay(denied) => Some(denied),
            May::Ask(question) => Some(self.stays(question.0)),
        }
    }

    fn stays(&self, decided: Decided) -> Denied {
        Denied { decided: decided.into(), why: self.holds, of: Some(self.of) }
    }
}

#[derive(Default)]
pub(super) struct Hits {
    tripwires: BTreeSet<Tripped>,
    /// How many values each detector found that were masked.
    masked: BTreeMap<(&'static str, Class), u64>,
    /// Of all so far.
    pub(super) classes: BTreeSet<Class>,
    /// How many were masked so far.
    pub(super) count: u64,
}

impl Hits {
    pub(super) fn take(&mut self, found: &Found) {
        for hit in &found.tripped {
            self.classes.insert(hit.class.clone());
            if hit.act == Act::Masked {
                self.count += hit.count;
                *self.masked.entry((hit.detector, hit.class.clone())).or_default() += hit.count;
            }
        }
        self.tripwires.extend(tripped(found, "output"));
    }

    /// Whether something was found, also what the run may see.
    pub(super) fn are_any(&self) -> bool {
        self.count > 0 || !self.classes.is_empty()
    }

    /// What `other` found, too.
    pub(super) fn add(&mut self, other: Hits) {
        self.tripwires.extend(other.tripwires);
        self.classes.extend(other.classes);
        self.count += other.count;
        other.masked.into_iter().for_each(|(of, count)| *self.masked.entry(of).or_default() += count);
    }

    /// A field that stands by itself, with placeholders; `None`: it may pass as it is.
    pub(super) fn field(&mut self, detectors: &Detectors, known: &Known, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut findings = Vec::new();
        detectors.scan_deep(bytes, &mut findings);
        let (mut out, mut done, mut masks) = (Vec::new(), 0, false);
        for finding in findings {
            let value = bytes.get(finding.range.clone()).unwrap_or_default();
            let act = match known.origin(value) {
                Some(Origin::Own) => "own",
                Some(Origin::Echo) => "echo",
                Some(Origin::Revealed) => "revealed",
                None => "masked",
            };
            let class = finding.class.clone();
            self.classes.insert(class.clone());
            let hit = Tripped { detector: finding.detector, class, channel: "output", act };
            self.tripwires.insert(hit);
            if act != "masked" {
                continue;
            }
            masks = true;
            self.count += 1;
            *self.masked.entry((finding.detector, finding.class.clone())).or_default() += 1;
            if finding.range.start >= done {
                out.extend_from_slice(bytes.get(done..finding.range.start).unwrap_or_default());
                out.extend_from_slice(format!("[{}]", finding.class).as_bytes());
            }
            done = done.max(finding.range.end);
        }
        out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        masks.then_some(out)
    }

    /// Takes what was found since the last record.
    pub(super) fn tripwires(&mut self) -> BTreeSet<Tripped> {
        std::mem::take(&mut self.tripwires)
    }

    /// Takes the values that were masked since the last record. `what`: `masked` or `refused`.
    pub(super) fn exposures(&mut self, on: &ResourcePath, what: &'static str) -> Vec<Exposure> {
        let exposure = |((_, class), cells)| Exposure {
            on: on.clone(),
            class,
            at: "output",
            what,
            by: By::Detector,
            rows: 0,
            cells,
            prints: Vec::new(),
        };
        std::mem::take(&mut self.masked).into_iter().map(exposure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_masked_but_for_what_the_run_said() {
        let (detectors, mut known, mut hits) = (Detectors::new(), Known::new([1; 16]), Hits::default());
        known.remember(Origin::Echo, b"bo@example.com");
        let mut field = |text: &str| {
            hits.field(&detectors, &known, text.as_bytes()).map(|out| String::from_utf8(out).unwrap())
        };
        assert_eq!(field("notes.txt"), None);
        assert_eq!(field("a 536-22-8391 b.txt").as_deref(), Some("a [pii.ssn] b.txt"));
        assert_eq!(field("bo@example.com"), None);
        assert_eq!((hits.count, hits.tripwires().len()), (1, 2));
        let exposed = hits.exposures(&ResourcePath::root("build"), "masked");
        assert_eq!((exposed.len(), hits.exposures(&ResourcePath::root("build"), "masked").len()), (1, 0));
    }
}
