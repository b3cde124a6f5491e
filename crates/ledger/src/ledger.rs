//! Opening, appending, closing: the ledger as the gateway uses it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mask::Print;
use seal::note::{SignedNote, VerifierKey};
use vocab::{Class, Durability, RunId};

use crate::busy::Busy;
use crate::clock::{Clock, NoRandom, Random, random};
use crate::commit::Progress;
use crate::config::{AppendError, Config, Ended, Missed, NotAdmitted, OpenError, Recovery, RunError, Status};
use crate::disk::Disk;
use crate::draft::{Commitment, Draft, Kind, Opening, Recordable};
use crate::inner::{Core, Inner, Spare, State, lock, read};
use crate::keys::{EpochKey, KeyError};
use crate::limits::{KEEPER_MILLIS, RUNS_OPEN_MAX};
use crate::opening::open;
use crate::read::Store;
use crate::receipt::{Herald, Lost, Receipt};

/// The ledger of one gateway process. Cloning gives another handle to the same ledger.
///
/// Dropping the last handle ends the threads and writes nothing; what is not durable then is lost to its receipts.
/// End with [`Ledger::shutdown`].
#[derive(Clone)]
pub struct Ledger {
    pub(crate) inner: Arc<Inner>,
    threads: Arc<Threads>,
}

impl Ledger {
    /// Opens the ledger in `config.dir`, or makes it. Everything on disk is verified first; the records that recovery
    /// owes (`start`, `indeterminate` outcomes, `interrupted` closes, an `epoch`) are durable when this returns.
    pub fn open(
        config: Config,
        disk: impl Disk,
        clock: impl Clock,
        random: impl Random,
    ) -> Result<(Ledger, Recovery), OpenError> {
        Ledger::start(config, Arc::new(disk), Arc::new(clock), Arc::new(random), true)
    }

    /// Without threads: a test does their work with [`Ledger::step`], so that each run of it is the same.
    #[doc(hidden)]
    pub fn open_stepped(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Ledger, Recovery), OpenError> {
        Ledger::start(config, disk, clock, random, false)
    }

    fn start(
        config: Config,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        threads: bool,
    ) -> Result<(Ledger, Recovery), OpenError> {
        let (inner, recovery) = open(config, disk, clock, random, threads)?;
        let inner = Arc::new(inner);
        if inner.waiters_write() {
            // The ledger is new: nobody has set it before.
            let _first = inner.watermark.writer.set(Arc::downgrade(&inner));
        }
        let handles = if threads { spawn(&inner)? } else { Vec::new() };
        let threads = Arc::new(Threads { inner: inner.clone(), handles: Mutex::new(handles) });
        Ok((Ledger { inner, threads }, recovery))
    }

    /// Gives a record its place and queues it. Never blocks on IO. Act only once the receipt is durable.
    pub fn append(&self, draft: Draft) -> Result<Receipt, AppendError> {
        if draft.kind.reserved() {
            return Err(AppendError::Malformed("the ledger alone writes this kind of record"));
        }
        self.inner.append(draft, None)
    }

    /// Opens a run: mints its id, makes its payload key (durable before this returns: call it where blocking is
    /// allowed), and appends `open`, a draft of [`Kind::Open`] without a run.
    pub fn open_run(&self, open: Draft) -> Result<(RunId, Receipt), RunError> {
        if open.kind != Kind::Open || open.run.is_some() {
            return Err(AppendError::Malformed("expected a draft of kind `open` without a run").into());
        }
        self.admit().map_err(AppendError::from)?;
        if lock(&self.inner.core).runs.len() >= RUNS_OPEN_MAX {
            return Err(RunError::TooManyRuns);
        }
        let inner = &*self.inner;
        let run = mint_run(&*inner.clock, &*inner.random).map_err(AppendError::from)?;
        let mut run_keys = lock(&inner.run_keys);
        let key = run_keys.make(
            &*inner.disk,
            &inner.gateway,
            &inner.config.auditors,
            &inner.origin,
            run,
            &*inner.random,
        )?;
        inner.keep_cipher(run, key.cipher());
        match inner.append(open.run(run), None) {
            Ok(receipt) => Ok((run, receipt)),
            Err(error) => {
                inner.forget_cipher(run);
                run_keys.erase(&*inner.disk, run)?;
                Err(error.into())
            }
        }
    }

    /// Ends a run: writes its record count and root, and a checkpoint after them.
    pub fn close_run(&self, run: RunId, why: Ended, status: Option<i64>) -> Result<Receipt, AppendError> {
        self.inner.close(run, why, status)
    }

    /// Whether something new may begin. Appending an `open`, `connect`, `intent` or `ask` asks this itself.
    pub fn admit(&self) -> Result<(), NotAdmitted> {
        self.inner.admission(&lock(&self.inner.core))
    }

    /// Signs a checkpoint over everything appended so far, and waits until it is durable.
    pub fn checkpoint(&self) -> Result<Checkpointed, Lost> {
        let inner = &*self.inner;
        let (target, generation) = {
            let mut core = lock(&inner.core);
            core.checkpoint_wanted = true;
            inner.work.notify_one();
            (core.next, core.generation)
        };
        if !inner.threads {
            while inner.commit_once() == Progress::Wrote {}
        }
        let mut published = lock(&inner.published);
        while published.size < target {
            let failed = {
                let core = lock(&inner.core);
                core.generation != generation || !matches!(core.state, State::Open)
            };
            if failed || !inner.threads {
                return Err(Lost);
            }
            let waited =
                inner.published_changed.wait_timeout(published, Duration::from_millis(KEEPER_MILLIS));
            published = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        let note = SignedNote::parse(&published.note).map_err(|_| Lost)?;
        Ok(Checkpointed { size: published.size, note })
    }

    /// The fingerprint of a value under the present epoch's key.
    pub fn print(&self, class: &Class, value: &[u8]) -> Print {
        self.epoch_key().print(class, value)
    }

    /// What time it is for records: one that is appended now says it, or later.
    pub fn now(&self) -> vocab::WallTime {
        self.inner.clock.now()
    }

    /// The present epoch's key, for many prints and for filters. What it made must be appended within the epoch or
    /// the one after; do not keep it.
    pub fn epoch_key(&self) -> Arc<EpochKey> {
        read(&self.inner.prints).clone()
    }

    /// The key of the filters of released cells in the present epoch. As with [`Ledger::epoch_key`]: do not keep it.
    pub fn filter_key(&self) -> mask::FilterKey {
        read(&self.inner.prints).filter_key()
    }

    /// A commitment to bytes of a peer's, and its opening for the payload: docs/FORMAT.md section 5.
    pub fn commitment(&self, bytes: &[u8]) -> Result<(Opening, Commitment), NoRandom> {
        let opening = random(&*self.inner.random)?;
        let commitment = seal::payload::commitment(&opening, bytes);
        Ok((Opening(opening), Commitment(commitment)))
    }

    /// Commitments to several byte strings under one opening.
    pub fn commitments<const N: usize>(
        &self,
        all: [&[u8]; N],
    ) -> Result<(Opening, [Commitment; N]), NoRandom> {
        let opening = random(&*self.inner.random)?;
        let commitments = all.map(|bytes| Commitment(seal::payload::commitment(&opening, bytes)));
        Ok((Opening(opening), commitments))
    }

    /// Destroys the payload key of a run that has ended. The tombstone is durable before the key is gone; if the
    /// gateway dies in between, opening the ledger finishes it. Blocks. Errors: `StillOpen`; [`KeyError::Erased`], and
    /// nothing is recorded, where the run has no key.
    pub fn erase_run(&self, run: RunId, who: impl Recordable, why: impl Recordable) -> Result<(), RunError> {
        let inner = &*self.inner;
        if lock(&inner.core).runs.contains_key(&run) {
            return Err(RunError::StillOpen);
        }
        if !lock(&inner.run_keys).has(run) {
            return Err(KeyError::Erased(run).into());
        }
        let draft = Draft::new(Kind::Tombstone).put("subject", run).put("who", who).put("why", why);
        let receipt = inner.append(draft, None)?;
        if !inner.threads {
            while inner.commit_once() == Progress::Wrote {}
        }
        let _durable = receipt.wait()?;
        lock(&inner.run_keys).erase(&*inner.disk, run)?;
        Ok(())
    }

    /// Counts what a client saw while no record was possible; the next `gap` record says how many.
    pub fn missed(&self, missed: Missed) {
        let at = self.inner.clock.now();
        lock(&self.inner.core).late.count(missed, at);
    }

    /// Appends a refusal; where no record is possible now, it is kept (or counted, where there is no room to keep it) and
    /// written as soon as one is, with `late`: when it really was.
    pub fn refuse(&self, draft: Draft) -> Result<Receipt, AppendError> {
        let again = draft.again();
        let refused = self.append(draft);
        if matches!(refused, Err(AppendError::Failed | AppendError::Full)) && again.kind == Kind::Refusal {
            let at = self.inner.clock.now();
            lock(&self.inner.core).late.keep(at, again);
        }
        refused
    }

    /// The ledger's name.
    pub fn origin(&self) -> &str {
        &self.inner.origin
    }

    pub fn durability(&self) -> Durability {
        self.inner.config.durability
    }

    /// The key in `genesis`, from which all others follow: what verifiers and witnesses are given.
    pub fn first_key(&self) -> &VerifierKey {
        &self.inner.first_key
    }

    /// The verifier key of the next checkpoint.
    pub fn verifier_key(&self) -> String {
        lock(&self.inner.commit).signer.verifier_key().to_string()
    }

    /// For reading what is durable, in this process.
    pub fn store(&self) -> Store {
        let inner = &*self.inner;
        Store::live(inner.disk.clone(), inner.paths.clone(), inner.origin.clone(), inner.watermark.clone())
    }

    pub fn status(&self) -> Status {
        let inner = &*self.inner;
        let (tiled, epoch, warning) = match inner.keeper.try_lock() {
            Ok(keeper) => (keeper.tiles.size(), keeper.epoch, keeper.warning.clone()),
            Err(_) => (0, 0, None), // at work on one of them
        };
        let segment = inner.commit.try_lock().map(|commit| commit.segment).unwrap_or_default();
        let checkpointed = lock(&inner.published).size;
        let core = lock(&inner.core);
        let now = inner.clock.tick();
        Status {
            origin: inner.origin.clone(),
            records: core.next,
            durable: inner.watermark.next(),
            checkpointed,
            tiled,
            runs_open: core.runs.len(),
            queue_records: core.queue.len(),
            queue_bytes: core.queue_bytes,
            oldest_millis: core.oldest().map_or(0, |since| now.0.saturating_sub(since.0) / 1_000_000),
            segment,
            segment_left: core.left,
            spare: matches!(core.spare, Spare::Ready),
            epoch,
            real_time: inner.real_time.load(Ordering::Relaxed),
            admission: inner.admission(&core),
            warning: core.warning().or(warning),
        }
    }

    /// Ends the ledger: `stop`, a last checkpoint, tiles. Runs that are still open are closed as `interrupted` when
    /// the ledger is opened again, with an outcome for each intent that has none.
    pub fn shutdown(self, reason: &'static str) -> Result<(), Lost> {
        let inner = &*self.inner;
        let receipt = {
            let receipt = inner.append(Draft::new(Kind::Stop).put("reason", reason), None);
            let mut core = lock(&inner.core);
            core.state = match std::mem::replace(&mut core.state, State::Closed) {
                State::Failed(failure) => State::Failed(failure),
                _ => State::Closed,
            };
            core.checkpoint_wanted = true;
            receipt
        };
        self.threads.stop();
        while inner.commit_once() == Progress::Wrote {}
        inner.watermark.close();
        let mut keeper = lock(&inner.keeper);
        // Both are finished when the ledger is opened again, should they fail now.
        let _ = inner.finish_epoch(&mut keeper);
        let _ = inner.tile(&mut keeper, true);
        match receipt.map_err(|_| Lost)?.wait() {
            Ok(_) => Ok(()),
            Err(lost) => Err(lost),
        }
    }

    /// One round of the committer and of the keeper; whether the committer wrote.
    #[doc(hidden)]
    pub fn step(&self) -> bool {
        let wrote = self.step_commit();
        self.inner.keep_once();
        wrote
    }

    /// One round of the committer.
    #[doc(hidden)]
    pub fn step_commit(&self) -> bool {
        self.inner.commit_once() == Progress::Wrote
    }

    /// Begins the next epoch now.
    #[doc(hidden)]
    pub fn step_epoch(&self) -> bool {
        let mut keeper = lock(&self.inner.keeper);
        keeper.turning.is_none() && self.inner.begin_epoch(&mut keeper).is_ok()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({})", self.inner.origin)
    }
}

/// A signed checkpoint that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// How many records it covers.
    pub size: u64,
    pub note: SignedNote,
}

impl Core {
    pub(crate) fn warning(&self) -> Option<String> {
        match (&self.state, &self.spare) {
            (State::Failed(failure), _) => {
                Some(format!("nothing can be recorded ({}: {}); it is retried", failure.why, failure.error))
            }
            (_, Spare::Refused { error, .. }) => {
                Some(format!("no room for another segment ({error}); free space on the ledger's disk"))
            }
            _ => None,
        }
    }
}

/// Ends the threads when the last handle goes.
struct Threads {
    inner: Arc<Inner>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    fn ask_to_stop(&self) {
        lock(&self.inner.core).stop = true;
        self.inner.work.notify_all();
        self.inner.wake_keeper();
    }

    fn stop(&self) {
        self.ask_to_stop();
        for handle in lock(&self.handles).drain(..) {
            // A thread that panicked has no result to give; what it left undone is not durable and so not claimed.
            let _ = handle.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

fn spawn(inner: &Arc<Inner>) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let named = |name: &str, work: fn(&Inner)| {
        let inner = inner.clone();
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || work(&inner));
        spawned.map_err(|error| OpenError::Io { path: inner_path(name), error })
    };
    if inner.config.durability == Durability::Sync {
        let as_committer = || {
            // `Status` says what the committer got; this thread gets the same.
            let _granted = in_real_time();
        };
        let herald = Herald::spawn(as_committer)
            .map_err(|error| OpenError::Io { path: inner_path("ledger-wake"), error })?;
        // The ledger is new: nobody has set it before.
        let _first = inner.herald.set(herald);
    }
    Ok(vec![named("ledger-commit", commit_loop)?, named("ledger-keep", keep_loop)?])
}

fn inner_path(name: &str) -> std::path::PathBuf {
    Path::new("thread").join(name)
}

/// Asks for real-time priority: whoever waits for a sync waits for this thread to run again after it, on a busy machine
/// ten times as long as the sync takes. Where it is not granted (CAP_SYS_NICE or RLIMIT_RTPRIO is missing), the thread
/// is one among others, and [`Status`] says so.
fn in_real_time() -> bool {
    use thread_priority::{
        RealtimeThreadSchedulePolicy::Fifo, ThreadPriority::Min, ThreadSchedulePolicy::Realtime,
        set_thread_priority_and_policy, thread_native_id,
    };
    set_thread_priority_and_policy(thread_native_id(), Min, Realtime(Fifo)).is_ok()
}

fn commit_loop(inner: &Inner) {
    inner.real_time.store(in_real_time(), Ordering::Relaxed);
    loop {
        while inner.commit_once() == Progress::Wrote {
            inner.gather();
        }
        let mut core = lock(&inner.core);
        if core.stop {
            break;
        }
        let failed = matches!(core.state, State::Failed(_));
        if (core.queue.is_empty() || failed) && !core.checkpoint_wanted {
            core.committer_sleeps = true;
            // Awake once in a while, for the checkpoint that is due by time.
            let timeout = Duration::from_millis(KEEPER_MILLIS);
            let waited = inner.work.wait_timeout(core, timeout);
            core = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            core.committer_sleeps = false;
        }
    }
    // `shutdown` goes on writing by itself; in any other case nothing will be written any more.
    if !matches!(lock(&inner.core).state, State::Closed) {
        inner.watermark.close();
    }
}

fn keep_loop(inner: &Inner) {
    let mut busy = Busy::default();
    loop {
        if let Some(busy) = busy.look(inner.clock.tick()) {
            inner.busy.store(busy, Ordering::Relaxed);
        }
        inner.keep_once();
        let mut asked = lock(&inner.keeper_asked);
        if !*asked {
            let timeout = Duration::from_millis(KEEPER_MILLIS);
            let waited = inner.keeper_wake.wait_timeout(asked, timeout);
            asked = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        *asked = false;
        drop(asked);
        if lock(&inner.core).stop {
            return;
        }
    }
}

/// 48 bits of milliseconds, then random: sorts by time.
fn mint_run(clock: &dyn Clock, source: &dyn Random) -> Result<RunId, NoRandom> {
    let mut id: [u8; 16] = random(source)?;
    let millis = clock.now().0 / 1_000_000;
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Ok(RunId(id))
}
