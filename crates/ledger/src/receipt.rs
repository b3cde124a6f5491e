//! A receipt says that a record has its place; [`Durable`] proves that the place survives.
//!
//! The committer raises a watermark after each sync and wakes whoever waits below it. Receipts work on any executor:
//! they keep their own wakers.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use vocab::{Durability, Seq};

use crate::inner::Inner;
use crate::limits::{HERALD_BATCHES_MAX, WOKEN_HERE_MAX};

/// Proof that a record is durable, minted only by the committer's watermark.
///
/// ```compile_fail
/// // There is no other way to one.
/// let forged = ledger::Durable { seq: vocab::Seq(1), durability: vocab::Durability::Sync };
/// ```
/// ```
/// // The twin: the names above exist, only the forgery does not compile.
/// fn proved(durable: ledger::Durable) -> (vocab::Seq, vocab::Durability) {
///     (durable.seq(), durable.durability())
/// }
/// ```
#[must_use = "a durable record is what permits an effect; dropping the proof loses the permission"]
#[derive(Debug, PartialEq, Eq)]
pub struct Durable {
    seq: Seq,
    durability: Durability,
}

impl Durable {
    /// The record's place in the ledger.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// `Sync`: it survives a power failure. `Os`: it survives the gateway only.
    pub fn durability(&self) -> Durability {
        self.durability
    }
}

/// The record did not become durable, or nobody can know: the effect must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record did not become durable; nothing may be sent on the strength of it")]
pub struct Lost;

/// A record that has its sequence number and waits to become durable. Await it, or [`Receipt::wait`].
///
/// Dropping it loses nothing of the record: it is still written, but nobody may act on it.
#[must_use = "nothing may happen before the receipt is durable: await it or call wait()"]
pub struct Receipt {
    pub(crate) seq: Seq,
    pub(crate) generation: u64,
    pub(crate) watermark: Arc<Watermark>,
}

impl Receipt {
    /// The record's place in the ledger.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Blocks the calling thread until the record is durable. Not for the threads of an executor.
    pub fn wait(mut self) -> Result<Durable, Lost> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// What is known now: `None` while it is not settled.
    pub fn peek(&self) -> Option<Result<(), Lost>> {
        self.watermark.marks().resolve(self.generation, self.seq.0)
    }
}

impl Future for Receipt {
    type Output = Result<Durable, Lost>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(inner) = self.watermark.writer.get().and_then(Weak::upgrade)
            && self.peek().is_none()
        {
            inner.write_here();
        }
        let mut marks = self.watermark.marks();
        match marks.resolve(self.generation, self.seq.0) {
            Some(Ok(())) => Poll::Ready(Ok(Durable { seq: self.seq, durability: self.watermark.durability })),
            Some(Err(lost)) => Poll::Ready(Err(lost)),
            None => {
                marks.waiting.insert(self.seq.0, context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({})", self.seq.0)
    }
}

/// Up to where the ledger is durable.
///
/// After a failure sequence numbers are given again; `generation` counts the failures, so that a receipt of before
/// is never taken for the record that has its number now.
pub(crate) struct Watermark {
    marks: Mutex<Marks>,
    durability: Durability,
    /// Set where whoever waits for a record writes it ([`Inner::write_here`]).
    pub(crate) writer: OnceLock<Weak<Inner>>,
}

struct Marks {
    generation: u64,
    /// Every record below is durable.
    next: u64,
    /// Where each past generation ended.
    ends: Vec<u64>,
    closed: bool,
    /// Who waits, by sequence number; receipts of the current generation only.
    waiting: BTreeMap<u64, Waker>,
}

impl Marks {
    fn resolve(&self, generation: u64, seq: u64) -> Option<Result<(), Lost>> {
        let end = match self.ends.get(usize::try_from(generation).unwrap_or(usize::MAX)) {
            Some(&end) => end,
            None if seq < self.next => return Some(Ok(())),
            None if self.closed => return Some(Err(Lost)),
            None => return None,
        };
        Some(if seq < end { Ok(()) } else { Err(Lost) })
    }
}

impl Watermark {
    pub(crate) fn new(next: u64, durability: Durability) -> Watermark {
        let marks = Marks { generation: 0, next, ends: Vec::new(), closed: false, waiting: BTreeMap::new() };
        Watermark { marks: Mutex::new(marks), durability, writer: OnceLock::new() }
    }

    pub(crate) fn next(&self) -> u64 {
        self.marks().next
    }

    pub(crate) fn generation(&self) -> u64 {
        self.marks().generation
    }

    /// Every record below `next` is durable now; who waited for that is to be woken.
    pub(crate) fn raise(&self, next: u64) -> Woken {
        let mut marks = self.marks();
        debug_assert!(next >= marks.next);
        marks.next = next;
        let later = marks.waiting.split_off(&next);
        Woken(std::mem::replace(&mut marks.waiting, later))
    }

    /// Everything that is not durable yet is lost.
    pub(crate) fn fail(&self) {
        let mut marks = self.marks();
        let end = marks.next;
        marks.ends.push(end);
        marks.generation += 1;
        let woken = std::mem::take(&mut marks.waiting);
        drop(marks);
        woken.into_values().for_each(Waker::wake);
    }

    /// Nothing will be written any more.
    pub(crate) fn close(&self) {
        let mut marks = self.marks();
        marks.closed = true;
        let woken = std::mem::take(&mut marks.waiting);
        drop(marks);
        woken.into_values().for_each(Waker::wake);
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waited for records that are durable now. They are woken when it is dropped, wherever that is: who is not woken
/// waits for ever.
#[must_use = "dropping it wakes"]
pub(crate) struct Woken(BTreeMap<u64, Waker>);

impl Drop for Woken {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_values().for_each(Waker::wake);
    }
}

/// A thread that wakes whoever waited for a batch while the next one is synced: to wake one takes some 6 us, and to wake
/// 32 as long as a sync. It ends with its herald.
pub(crate) struct Herald(SyncSender<Woken>);

impl Herald {
    /// `begin` is what the thread does first: it asks for the committer's priority.
    pub(crate) fn spawn(begin: fn()) -> io::Result<Herald> {
        let (herald, woken) = sync_channel::<Woken>(HERALD_BATCHES_MAX);
        thread::Builder::new().name("ledger-wake".to_owned()).spawn(move || {
            begin();
            woken.into_iter().for_each(drop);
        })?;
        Ok(Herald(herald))
    }

    /// Wakes them: on the other thread, unless they are few, or that one is behind or gone.
    pub(crate) fn wake(&self, woken: Woken) {
        if woken.0.len() > WOKEN_HERE_MAX {
            // What comes back is dropped, and thereby woken, here; so is what the thread leaves behind if it ends.
            let _sent = self.0.try_send(woken);
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(watermark: &Arc<Watermark>, generation: u64, seq: u64) -> Receipt {
        Receipt { seq: Seq(seq), generation, watermark: watermark.clone() }
    }

    #[test]
    fn a_receipt_resolves_once_the_watermark_passes_it() {
        let mark = Arc::new(Watermark::new(5, Durability::Sync));
        let at = receipt(&mark, 0, 5);
        assert_eq!(at.peek(), None);
        drop(mark.raise(6));
        assert_eq!(at.wait().unwrap().seq(), Seq(5));
    }

    #[test]
    fn a_waiting_thread_is_woken() {
        let mark = Arc::new(Watermark::new(0, Durability::Sync));
        let waiter = receipt(&mark, 0, 0);
        let thread = std::thread::spawn(move || waiter.wait());
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(mark.raise(1));
        assert!(thread.join().unwrap().is_ok());
    }

    #[test]
    fn a_herald_wakes_few_and_many_even_when_its_thread_is_gone() {
        let (there, gone) = (Herald::spawn(|| ()).unwrap(), Herald::spawn(|| panic!("on purpose")).unwrap());
        let mark = Arc::new(Watermark::new(0, Durability::Sync));
        let mut next = 0;
        for (herald, count) in [(&there, 1), (&there, 50), (&gone, 1), (&gone, 50), (&there, 9)] {
            let waiting: Vec<_> = (next..next + count).map(|seq| receipt(&mark, 0, seq)).collect();
            let threads: Vec<_> =
                waiting.into_iter().map(|receipt| std::thread::spawn(move || receipt.wait())).collect();
            std::thread::sleep(std::time::Duration::from_millis(20));
            next += count;
            herald.wake(mark.raise(next));
            threads.into_iter().for_each(|thread| assert!(thread.join().unwrap().is_ok()));
        }
    }

    #[test]
    fn a_receipt_of_before_a_failure_never_takes_the_number_of_one_after() {
        let mark = Arc::new(Watermark::new(5, Durability::Sync));
        let (early, late) = (receipt(&mark, 0, 4), receipt(&mark, 0, 7));
        mark.fail();
        drop(mark.raise(9));
        assert_eq!(early.peek(), Some(Ok(())));
        assert_eq!(late.peek(), Some(Err(Lost)));
        assert_eq!(receipt(&mark, 1, 7).peek(), Some(Ok(())));
    }

    #[test]
    fn what_waits_when_the_ledger_closes_is_lost() {
        let mark = Arc::new(Watermark::new(0, Durability::Os));
        let waiting = receipt(&mark, 0, 0);
        mark.close();
        assert_eq!(waiting.wait(), Err(Lost));
    }
}
