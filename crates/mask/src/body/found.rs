//! What was found in a body, and what became of it.

use std::collections::BTreeSet;
use std::fmt;

use vocab::Class;

use crate::detect::{Detectors, Finding, Form};
use crate::known::{Known, Origin};
use crate::limits::{BODY_NAMED_MAX, BODY_REVEALED_BYTES_MAX, BODY_REVEALED_VALUES_MAX};

/// What was found and what became of it. Each entry is there once, with a count.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub governed: Vec<Governed>,
    /// Sorted by detector, form and act.
    pub tripped: Vec<Hit>,
}

/// Values at the path of one rule that had one fate.
#[derive(PartialEq, Eq)]
pub struct Governed {
    /// Index of the [`super::PathRule`].
    pub rule: usize,
    /// How many values stood at the path, of any type; an object or an array is one.
    pub cells: u64,
    /// Whether they passed as they were.
    pub revealed: bool,
    /// Of a rule that names ([`super::PathRule::naming`]): which members they were, at most [`BODY_NAMED_MAX`].
    pub named: BTreeSet<Named>,
    /// The strings and numbers that passed, decoded, as they were released: of those revealed alone, at most
    /// [`BODY_REVEALED_VALUES_MAX`], without those that are longer than [`BODY_REVEALED_BYTES_MAX`]. For fingerprints.
    pub values: Vec<Vec<u8>>,
}

/// A member of an object of Kubernetes', or of any that says who it is as those do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// `metadata.namespace` and `metadata.name` of the innermost object around it that has them before it.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub member: String,
}

/// Names are a peer's: only which there are is shown.
impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Named(namespace: {}, name: {})", self.namespace.is_some(), self.name.is_some())
    }
}

impl fmt::Debug for Governed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Governed { rule, cells, revealed, values, named } = self;
        let (values, named) = (values.len(), named.len());
        write!(
            f,
            "Governed(rule {rule}, {cells} cells, revealed: {revealed}, {values} values, {named} named)"
        )
    }
}

/// Values that a detector found in one form and that had one fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub class: Class,
    /// The detector's name: a constant, for records.
    pub detector: &'static str,
    pub form: Form,
    pub act: Act,
    /// How many.
    pub count: u64,
}

/// What became of a value that a detector found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// A placeholder stands in its place.
    Masked,
    /// It passed: a mask that the run was given.
    Own,
    /// It passed: the run sent it first.
    Echo,
    /// It passed: a grant reveals it.
    Revealed,
}

impl Found {
    /// One value at a rule's path.
    pub(super) fn count(&mut self, rule: usize, revealed: bool) {
        self.of(rule, revealed).cells += 1;
    }

    /// The same, and which member it is.
    pub(super) fn name(&mut self, rule: usize, revealed: bool, named: Named) {
        let all = &mut self.of(rule, revealed).named;
        if all.len() < BODY_NAMED_MAX {
            all.insert(named);
        }
    }

    /// A value that a rule reveals.
    pub(super) fn reveal(&mut self, rule: usize, value: &[u8]) {
        let values = &mut self.of(rule, true).values;
        if value.len() <= BODY_REVEALED_BYTES_MAX && values.len() < BODY_REVEALED_VALUES_MAX {
            values.push(value.to_vec());
        }
    }

    /// Adds what `other` found.
    pub(super) fn add(&mut self, other: Found) {
        for governed in other.governed {
            let all = self.of(governed.rule, governed.revealed);
            all.cells += governed.cells;
            let more = BODY_NAMED_MAX.saturating_sub(all.named.len());
            all.named.extend(governed.named.into_iter().take(more));
            let room = BODY_REVEALED_VALUES_MAX - all.values.len();
            all.values.extend(governed.values.into_iter().take(room));
        }
        for Hit { class, detector, form, act, count } in other.tripped {
            self.trip(&class, detector, form, act, count);
        }
    }

    /// There are at most two for each rule.
    fn of(&mut self, rule: usize, revealed: bool) -> &mut Governed {
        let same = |g: &Governed| g.rule == rule && g.revealed == revealed;
        let i = self.governed.iter().position(same).unwrap_or(self.governed.len());
        if i == self.governed.len() {
            self.governed.push(Governed {
                rule,
                cells: 0,
                revealed,
                named: BTreeSet::new(),
                values: Vec::new(),
            });
        }
        &mut self.governed[i]
    }

    /// There are at most as many as detectors x forms x acts.
    fn trip(&mut self, class: &Class, detector: &'static str, form: Form, act: Act, count: u64) {
        match self.tripped.binary_search_by(|h| (h.detector, h.form, h.act).cmp(&(detector, form, act))) {
            Ok(i) => self.tripped[i].count += count,
            Err(i) => self.tripped.insert(i, Hit { class: class.clone(), detector, form, act, count }),
        }
    }
}

/// What a body is looked at with, and where it says what it found.
pub(super) struct Look<'a> {
    pub(super) detectors: &'a Detectors,
    pub(super) known: &'a Known,
    pub(super) revealed: &'a BTreeSet<Class>,
    pub(super) found: &'a mut Found,
}

impl Look<'_> {
    /// Notes a finding, whose bytes are `value`, and says whether it is to be replaced: see [`Look::act`].
    pub(super) fn masks(&mut self, finding: &Finding, value: &[u8], inside: bool) -> bool {
        let act = self.act(finding, value, inside);
        self.note(finding, act);
        act == Act::Masked
    }

    /// What becomes of a finding, whose bytes are `value`: it is replaced unless the run knows it, or it stands `inside` a
    /// value that a rule reveals and its class is revealed.
    pub(super) fn act(&self, finding: &Finding, value: &[u8], inside: bool) -> Act {
        match self.known.origin(value) {
            Some(Origin::Own) => Act::Own,
            Some(Origin::Echo) => Act::Echo,
            Some(Origin::Revealed) => Act::Revealed,
            None if inside && self.revealed.contains(&finding.class) => Act::Revealed,
            None => Act::Masked,
        }
    }

    pub(super) fn note(&mut self, finding: &Finding, act: Act) {
        let Finding { class, detector, form, .. } = finding;
        self.found.trip(class, detector, *form, act, 1);
    }

    /// A text that is in hand whole, behind encodings too; `None` if it may pass as it is.
    pub(super) fn text(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let mut findings = Vec::new();
        self.detectors.scan_deep(text, &mut findings);
        findings.retain(|f| self.masks(f, &text[f.range.clone()], false));
        (!findings.is_empty()).then(|| crate::field::replace(text, &findings))
    }

    /// The same, with another place for what is found.
    pub(super) fn apart<'a>(&'a self, found: &'a mut Found) -> Look<'a> {
        Look { detectors: self.detectors, known: self.known, revealed: self.revealed, found }
    }
}
