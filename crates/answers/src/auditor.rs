//! An auditor's key, asking about a value: opens each epoch's key once, then computes one fingerprint per class.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use index::{Epoch, Index, Noted};
use ledger::keys::{AuditorSecret, EpochKey};
use mask::{Detectors, Filter};
use vocab::Class;

use crate::value::Prober;

/// A [`Prober`] that holds an auditor's secret key.
pub struct AuditorProber<'a> {
    secret: &'a AuditorSecret,
    origin: &'a str,
    /// The classes that the value may have been recorded as.
    classes: Vec<Class>,
    opened: RefCell<BTreeMap<u64, EpochKey>>,
}

impl<'a> AuditorProber<'a> {
    /// A fingerprint names its class, so the value is asked for in every class that the record knows, and in those that
    /// the detectors see in it.
    pub fn new(secret: &'a AuditorSecret, origin: &'a str, index: &Index, value: &[u8]) -> AuditorProber<'a> {
        let mut findings = Vec::new();
        Detectors::new().scan_deep(value, &mut findings);
        let detected = findings.into_iter().map(|finding| finding.class);
        let mut classes: Vec<Class> = index.classes().filter_map(Class::new).chain(detected).collect();
        classes.sort();
        classes.dedup();
        AuditorProber { secret, origin, classes, opened: RefCell::new(BTreeMap::new()) }
    }

    fn with<T>(&self, epoch: &Noted<Epoch>, ask: impl FnOnce(&EpochKey) -> T) -> Result<T, String> {
        let mut opened = self.opened.borrow_mut();
        let key = match opened.entry(epoch.seq.0) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => free.insert(self.open(&epoch.what)?),
        };
        Ok(ask(key))
    }

    fn open(&self, epoch: &Epoch) -> Result<EpochKey, String> {
        let id = self.secret.public().id();
        let ours = epoch.auditors.iter().position(|auditor| *auditor == id);
        let sealed = ours.and_then(|at| epoch.sealed.get(at));
        let sealed = sealed.ok_or("it was not sealed to this auditor")?;
        self.secret.open_epoch(self.origin, epoch.epoch, sealed).map_err(|error| error.to_string())
    }
}

impl Prober for AuditorProber<'_> {
    fn prints(&self, epoch: &Noted<Epoch>, value: &[u8]) -> Result<Vec<[u8; 16]>, String> {
        self.with(epoch, |key| self.classes.iter().map(|class| key.print(class, value).0).collect())
    }

    fn may_contain(&self, epoch: &Noted<Epoch>, filter: &[u8], value: &[u8]) -> Result<Option<bool>, String> {
        let filter = Filter::from_bytes(filter).ok_or("its filter is not of this version")?;
        self.with(epoch, |key| filter.may_contain(&key.filter_key(), value))
    }
}
