//! What a run asked of the proxy in vain: each different thing once in its record, up to a limit, and how much in all when
//! the run ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{Draft, Kind};
use mask::{Detectors, MaskedText};
use vocab::{RunId, Seq};

use crate::limits::IN_VAIN_LISTED_MAX;

/// Of one run.
#[derive(Default)]
pub(crate) struct InVain(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// What is listed, with its record as soon as there is one.
    listed: BTreeMap<String, Option<Seq>>,
    asked: u64,
}

/// What becomes of one more.
pub(crate) enum Noted {
    /// It is to be recorded.
    New,
    /// This record says it already; or it is only counted.
    Known(Option<Seq>),
}

impl InVain {
    /// Counts it. A new one has to be recorded, and [`InVain::recorded`] or [`InVain::unrecorded`] be called.
    pub(crate) fn note(&self, what: &str) -> Noted {
        let mut book = self.lock();
        book.asked += 1;
        if let Some(record) = book.listed.get(what) {
            return Noted::Known(*record);
        }
        if book.listed.len() >= IN_VAIN_LISTED_MAX {
            return Noted::Known(None);
        }
        book.listed.insert(what.to_owned(), None);
        Noted::New
    }

    pub(crate) fn recorded(&self, what: &str, record: Seq) {
        self.lock().listed.insert(what.to_owned(), Some(record));
    }

    /// There is no record of it: the next time it is new again.
    pub(crate) fn unrecorded(&self, what: &str) {
        self.lock().listed.remove(what);
    }

    /// The note at the end of the run, if there is something to say.
    pub(crate) fn total(&self, run: RunId, detectors: &Detectors) -> Option<Draft> {
        let book = self.lock();
        let words = format!("{} in all; {} different ones are listed", book.asked, book.listed.len());
        let words: MaskedText = mask::text(detectors, &words).0;
        let draft = Draft::new(Kind::Note).run(run).put("what", "refused-hosts").put("detail", words);
        (book.asked > 0).then_some(draft)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_listed_once_and_no_more_than_may_be() {
        let book = InVain::default();
        assert!(matches!(book.note("a:443"), Noted::New));
        assert!(matches!(book.note("a:443"), Noted::Known(None)));
        book.recorded("a:443", Seq(7));
        assert!(matches!(book.note("a:443"), Noted::Known(Some(Seq(7)))));
        for n in 1..IN_VAIN_LISTED_MAX {
            assert!(matches!(book.note(&n.to_string()), Noted::New), "{n}");
        }
        assert!(matches!(book.note("one more"), Noted::Known(None)));
        book.unrecorded("1");
        assert!(matches!(book.note("one more"), Noted::New));
    }

    #[test]
    fn a_run_that_asked_for_nothing_has_nothing_to_say() {
        let (book, detectors) = (InVain::default(), Detectors::new());
        assert!(book.total(RunId([0; 16]), &detectors).is_none());
        book.note("a:443");
        assert!(book.total(RunId([0; 16]), &detectors).is_some());
    }
}
