//! The look at an answer's body on its way to the client: masked by path and by detector, or, where it cannot be looked
//! into and policy permits that, searched as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gate::{By, Exposure, Tripped};
use ledger::Print;
use mask::body::{Body, Named};
use mask::{FilterBuilder, FilterKey, FilterStream, Known, MaskedBytes, Origin, Tail};
use vocab::{Class, ResourcePath, RuleId};

use super::beside::{shown_name, spellings};
use super::request::readable;
use super::resource::Resource;
use crate::alike::tripped;
use crate::config::Masks;
use crate::limits::PRINTS_MAX;

/// How one body is looked at, and what was found since the last record.
pub(super) struct Looking {
    how: How,
    /// Where a grant reveals something: what leaves, as it is shown to who reads the record.
    shown: Option<Shown>,
    opaque: bool,
    masks: Arc<Masks>,
    /// A program wrote it: keys that nobody listed are looked for, too.
    pub(super) by_program: bool,
    /// Of a cluster: the kind of its objects.
    pub(super) of_kind: Option<String>,
    /// Classes that the run may see, with the rules that say so.
    revealed: BTreeMap<Class, RuleId>,
    governed: BTreeMap<usize, Governed>,
    tripwires: BTreeSet<Tripped>,
    /// How many values each detector found that were masked.
    masked: BTreeMap<(&'static str, Class), u64>,
    /// Classes found so far, for policy.
    pub(super) classes: BTreeSet<Class>,
    /// What a detector found and nothing explained, so far.
    pub(super) hits: u64,
    filter: FilterBuilder,
    /// What left of the body.
    body: FilterStream,
}

/// A field's name of a service's that is no longer, and has no digit, is made of words.
const WORDS_BYTES_MAX: usize = 40;

/// An answer that is opaque leaves only where no detector knows anything in it.
const FOUND_IN_OPAQUE: &str = "a detector found a value in an answer that is opaque";

/// Masks what leaves by the same rules once more, for somebody to whom nothing is revealed.
struct Shown {
    body: Box<Body>,
    known: Known,
    /// Nothing more leaves.
    over: bool,
}

enum How {
    Body(Box<Body>),
    /// Permitted, and not understood: nothing of it is replaced, and nothing that a detector knows leaves.
    Opaque(Tail),
}

#[derive(Default)]
struct Governed {
    cells: u64,
    prints: Vec<Print>,
    named: BTreeSet<Named>,
}

impl Looking {
    /// `media`: how it is looked into; `None`: policy permits what cannot be known.
    pub(super) fn new(
        resource: &Resource,
        masks: &Arc<Masks>,
        media: Option<mask::body::Media>,
        revealed: BTreeMap<Class, RuleId>,
    ) -> Looking {
        let shown = media.clone().filter(|_| !revealed.is_empty()).map(|media| {
            let body = Body::new(media, masks.rules.clone(), BTreeSet::new());
            let body = Box::new(body.longest(resource.longest()));
            Shown { body, known: Known::new(crate::entropy::random()), over: false }
        });
        let how = match media {
            Some(media) => {
                let (rules, classes) = (masks.rules.clone(), revealed.keys().cloned().collect());
                let body = match media {
                    // A client waits for each message, and nothing may come behind it.
                    mask::body::Media::EventStream if resource.config.mcp.is_some() => {
                        Body::messages(rules, classes)
                    }
                    media => Body::new(media, rules, classes),
                };
                How::Body(Box::new(body.longest(resource.longest())))
            }
            None => How::Opaque(Tail::new()),
        };
        Looking {
            opaque: matches!(how, How::Opaque(_)),
            how,
            shown,
            masks: masks.clone(),
            of_kind: None,
            by_program: false,
            revealed,
            governed: BTreeMap::new(),
            tripwires: BTreeSet::new(),
            masked: BTreeMap::new(),
            classes: BTreeSet::new(),
            hits: 0,
            filter: FilterBuilder::new(),
            body: FilterStream::new(),
        }
    }

    /// Goes on behind another message of the same answer: what was found there still counts for policy.
    pub(super) fn behind(&mut self, before: &Looking) {
        self.opaque |= before.opaque;
        self.hits = before.hits;
        self.classes = before.classes.clone();
    }

    /// It was read, and not understood.
    pub(super) fn not_understood(&mut self) {
        self.opaque = true;
    }

    fn detectors<'r>(&self, resource: &'r Resource) -> &'r mask::Detectors {
        if self.by_program { &resource.programs } else { resource.gate.detectors() }
    }

    pub(super) fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// A piece as it may leave. Errors: why nothing of it may, a constant sentence.
    pub(super) fn push(
        &mut self,
        resource: &Resource,
        who: &gate::Who,
        known: &mut Known,
        piece: &[u8],
    ) -> Result<MaskedBytes, &'static str> {
        let detectors = self.detectors(resource);
        let (masked, found) = match &mut self.how {
            How::Opaque(tail) => {
                let mut found = Vec::new();
                let bytes = tail.push(detectors, piece, &mut found);
                detectors.scan_deep(piece, &mut found);
                if !found.is_empty() {
                    return Err(FOUND_IN_OPAQUE);
                }
                return Ok(self.filtered(&resource.gate.ledger().filter_key(), bytes));
            }
            How::Body(body) => {
                let masked = body.push(detectors, known, piece).map_err(|why| why.0)?;
                (masked, body.take_found())
            }
        };
        self.note(resource, who, known, found);
        Ok(self.filtered(&resource.gate.ledger().filter_key(), masked))
    }

    /// What is left at the body's end. Errors: as [`Looking::push`].
    pub(super) fn finish(
        &mut self,
        resource: &Resource,
        who: &gate::Who,
        known: &mut Known,
    ) -> Result<MaskedBytes, &'static str> {
        if let Some(shown) = &mut self.shown {
            shown.over = true;
        }
        let key = resource.gate.ledger().filter_key();
        let detectors = self.detectors(resource);
        let how = std::mem::replace(&mut self.how, How::Opaque(Tail::new()));
        let rest = match how {
            How::Body(body) => {
                let (rest, found) = body.finish(detectors, known).map_err(|why| why.0)?;
                self.note(resource, who, known, found);
                rest
            }
            How::Opaque(tail) => {
                let mut found = Vec::new();
                let rest = tail.finish(detectors, &mut found);
                if !found.is_empty() {
                    return Err(FOUND_IN_OPAQUE);
                }
                rest
            }
        };
        Ok(self.filtered(&key, rest))
    }

    /// Whether events wait for what comes next.
    pub(super) fn waits(&self) -> bool {
        matches!(&self.how, How::Body(body) if body.waits())
    }

    /// The events that wait, as they may leave if nothing comes.
    pub(super) fn let_go(&mut self, resource: &Resource, who: &gate::Who, known: &mut Known) -> MaskedBytes {
        let detectors = self.detectors(resource);
        let How::Body(body) = &mut self.how else { return mask::constant(b"") };
        let masked = body.let_go(detectors, known);
        let found = body.take_found();
        self.note(resource, who, known, found);
        self.filtered(&resource.gate.ledger().filter_key(), masked)
    }

    /// A piece that leaves, as it is shown to who reads the record: what a grant revealed is masked. What is cut in it may be shown
    /// with the next. `None`: it cannot be told where that stands.
    pub(super) fn shown(&mut self, detectors: &mask::Detectors, piece: &MaskedBytes) -> Option<Vec<u8>> {
        let Some(Shown { body, known, over }) = &mut self.shown else {
            return Some(piece.as_bytes().to_vec());
        };
        let mut out = body.push(detectors, known, piece.as_bytes()).ok()?;
        match *over {
            true => {
                let body = std::mem::replace(
                    body,
                    Box::new(Body::new(mask::body::Media::Text, [].into(), BTreeSet::new())),
                );
                out = out.then(body.finish(detectors, known).ok()?.0);
            }
            // Whoever plays it waits for no event.
            false => out = out.then(body.let_go(detectors, known)),
        }
        Some(out.into_vec())
    }

    fn note(&mut self, resource: &Resource, who: &gate::Who, known: &mut Known, found: mask::body::Found) {
        let key = resource.gate.ledger().epoch_key();
        for hit in &found.tripped {
            self.classes.insert(hit.class.clone());
            if hit.act == mask::body::Act::Masked {
                self.hits += hit.count;
                *self.masked.entry((hit.detector, hit.class.clone())).or_default() += hit.count;
            }
        }
        self.tripwires.extend(tripped(&found, "body"));
        for governed in found.governed {
            let Some(rule) = self.masks.rules.get(governed.rule) else { continue };
            self.classes.insert(rule.class.clone());
            let entry = self.governed.entry(governed.rule).or_default();
            entry.cells += governed.cells;
            entry.named.extend(governed.named);
            for value in governed.values {
                known.remember(Origin::Revealed, &value);
                resource.gate.shows(who, &rule.class, &value, crate::entropy::random);
                if entry.prints.len() < PRINTS_MAX {
                    entry.prints.push(key.print(&rule.class, &value));
                }
            }
        }
    }

    /// Puts what leaves into the filter.
    fn filtered(&mut self, key: &FilterKey, bytes: MaskedBytes) -> MaskedBytes {
        self.body.piece(&mut self.filter, key, bytes.as_bytes());
        bytes
    }

    /// The value of a field of the head, or behind the body. `Some`: the class that takes its place.
    pub(super) fn field(
        &mut self,
        detectors: &mask::Detectors,
        known: &Known,
        value: &[u8],
    ) -> Option<Class> {
        let mut found = Vec::new();
        detectors.scan_deep(value, &mut found);
        let origin = |finding: &mask::Finding| known.origin(value.get(finding.range.clone())?);
        let (explained, leaks): (Vec<_>, Vec<_>) =
            found.iter().map(|finding| (finding, origin(finding))).partition(|(_, origin)| origin.is_some());
        leaks.iter().for_each(|(finding, _)| self.trip(finding, "header"));
        if leaks.is_empty() {
            let explained = explained.iter().filter_map(|(finding, origin)| Some((finding, (*origin)?)));
            explained.for_each(|(finding, origin)| self.passed(finding, origin, "header"));
        }
        leaks.first().map(|(finding, _)| finding.class.clone())
    }

    /// A field's name as it is recorded, and whether a value stands in it that the run does not know: a name cannot be
    /// masked.
    pub(super) fn name(&mut self, detectors: &mask::Detectors, known: &Known, name: &[u8]) -> (String, bool) {
        let shown = readable(name);
        // As almost all are.
        if name.len() <= WORDS_BYTES_MAX && !name.iter().any(u8::is_ascii_digit) {
            return (shown, false);
        }
        let found = spellings(name).iter().any(|name| self.field(detectors, known, name).is_some());
        (shown_name(detectors, &shown), found)
    }

    /// A field that leaves, for the filter: its name and its value are a cell each.
    pub(super) fn beside(&mut self, key: &FilterKey, name: &[u8], value: &[u8]) {
        self.filter.cell(key, name);
        self.filter.cell(key, value);
    }

    /// A finding outside of the body that the run knows, and that leaves.
    pub(super) fn passed(&mut self, finding: &mask::Finding, origin: Origin, channel: &'static str) {
        let (detector, class, act) = (finding.detector, finding.class.clone(), origin.as_str());
        self.classes.insert(class.clone());
        self.tripwires.insert(Tripped { detector, class, channel, act });
    }

    /// A finding outside of the body.
    fn trip(&mut self, finding: &mask::Finding, channel: &'static str) {
        self.classes.insert(finding.class.clone());
        self.hits += 1;
        let (detector, class) = (finding.detector, finding.class.clone());
        *self.masked.entry((detector, class.clone())).or_default() += 1;
        self.tripwires.insert(Tripped { detector, class, channel, act: "masked" });
    }

    /// Takes what was found since the last record, as it is recorded. `withheld`: it stays here.
    pub(super) fn take(&mut self, resource: &Resource, withheld: bool) -> Taken {
        let mut exposures = Vec::new();
        for (rule, governed) in std::mem::take(&mut self.governed) {
            let Some(of) = self.masks.rules.get(rule) else { continue };
            let grant = self.revealed.get(&of.class);
            let exposure = |on: ResourcePath, cells: u64, prints: Vec<Print>| Exposure {
                on,
                class: of.class.clone(),
                at: "output",
                what: match (withheld, grant) {
                    (true, _) => "refused",
                    (false, Some(_)) => "revealed",
                    (false, None) => "masked",
                },
                by: grant.map_or(By::Path, |rule| By::Grant(rule.clone())),
                rows: 0,
                cells,
                prints,
            };
            let known = |named: &Named| super::cluster::told(resource, named, self.of_kind.as_deref());
            let named: Vec<ResourcePath> = governed.named.iter().filter_map(known).collect();
            let rest = governed.cells.saturating_sub(named.len() as u64);
            exposures.extend(named.into_iter().map(|on| exposure(on, 1, Vec::new())));
            let prints = if withheld { Vec::new() } else { governed.prints };
            if rest > 0 || !prints.is_empty() {
                exposures.push(exposure(resource.root.join(self.masks.name(rule)), rest, prints));
            }
        }
        let tripwires = std::mem::take(&mut self.tripwires);
        for ((_, class), cells) in std::mem::take(&mut self.masked) {
            exposures.push(Exposure {
                on: resource.root.clone(),
                class,
                at: "output",
                what: if withheld { "refused" } else { "masked" },
                by: By::Detector,
                rows: 0,
                cells,
                prints: Vec::new(),
            });
        }
        self.body.so_far(&mut self.filter, &resource.gate.ledger().filter_key());
        let filter = (!self.filter.is_empty()).then(|| self.filter.take());
        Taken { exposures, tripwires, filter }
    }
}

/// What one record says of what was found.
pub(super) struct Taken {
    pub(super) exposures: Vec<Exposure>,
    pub(super) tripwires: BTreeSet<Tripped>,
    pub(super) filter: Option<mask::Filter>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looking() -> Looking {
        Looking {
            how: How::Opaque(Tail::new()),
            shown: None,
            opaque: false,
            masks: Arc::default(),
            of_kind: None,
            by_program: false,
            revealed: BTreeMap::new(),
            governed: BTreeMap::new(),
            tripwires: BTreeSet::new(),
            masked: BTreeMap::new(),
            classes: BTreeSet::new(),
            hits: 0,
            filter: FilterBuilder::new(),
            body: FilterStream::new(),
        }
    }

    fn acts(looking: &Looking) -> Vec<(&'static str, &'static str)> {
        looking.tripwires.iter().map(|tripped| (tripped.channel, tripped.act)).collect()
    }

    #[test]
    fn what_stands_in_a_field_is_found_and_what_the_run_knows_passes_and_is_noted() {
        let (detectors, mut known) = (mask::Detectors::new(), Known::new([7; 16]));
        known.remember(Origin::Echo, b"jo@example.com");
        let mut looking = looking();
        assert_eq!(looking.field(&detectors, &known, b"text/plain"), None);
        assert_eq!((acts(&looking), looking.hits), (vec![], 0));
        assert_eq!(looking.field(&detectors, &known, b"for jo@example.com"), None);
        assert_eq!((acts(&looking), looking.hits), (vec![("header", "echo")], 0), "an echo is no leak");
        assert_eq!(looking.classes.len(), 1, "policy hears of it all the same");
        let both = looking.field(&detectors, &known, b"jo@example.com, al@example.com");
        assert_eq!(both.map(|class| class.to_string()).as_deref(), Some("pii.email"));
        assert_eq!((acts(&looking), looking.hits), (vec![("header", "echo"), ("header", "masked")], 1));
        assert_eq!(looking.masked.values().sum::<u64>(), 1);
    }

    #[test]
    fn a_value_in_the_name_of_a_field_is_found_with_what_sticks_to_it() {
        let (detectors, mut known) = (mask::Detectors::new(), Known::new([7; 16]));
        for name in ["X-536-22-8391", "x_536-22-8391", "N536-22-8391"] {
            let mut looking = looking();
            let named = looking.name(&detectors, &known, name.as_bytes());
            assert_eq!(named, ("x-[pii.ssn]".to_owned(), true), "{name}");
            assert_eq!((acts(&looking), looking.hits), (vec![("header", "masked")], 1), "{name}");
        }
        known.remember(Origin::Echo, b"536-22-8391");
        let mut looking = looking();
        let named = looking.name(&detectors, &known, b"X-536-22-8391");
        assert_eq!(named, ("x-[pii.ssn]".to_owned(), false), "the run said it");
        for name in ["Content-Type", "X-RateLimit-Limit-1000", "x-amz-id-2", "X-B3-TraceId", "Sec-CH-UA-Arch"]
        {
            assert_eq!(looking.name(&detectors, &known, name.as_bytes()), (name.to_owned(), false));
        }
    }

    #[test]
    fn a_field_is_in_the_filter_and_a_body_that_goes_on_stays_whole() {
        let (key, mut looking) = (FilterKey::new(&[3; 16]), looking());
        let first = looking.filtered(&key, mask::constant(b"a begun-to"));
        looking.beside(&key, b"x-order", b"of order-77219 today");
        let last = looking.filtered(&key, mask::constant(b"ken here and order-is-last"));
        assert_eq!(first.then(last).as_bytes(), b"a begun-token here and order-is-last");
        looking.body.so_far(&mut looking.filter, &key);
        let filter = looking.filter.take();
        for value in
            [&b"order-77219"[..], b"of order-77219 today", b"x-order", b"begun-token", b"order-is-last"]
        {
            assert!(filter.may_contain(&key, value) == Some(true), "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(filter.may_contain(&key, b"order-77218"), Some(false));
    }
}
