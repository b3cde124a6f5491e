//! The committer: one thread takes what waits, writes it with one write, syncs, and raises the watermark. It syncs again
//! as soon as the last sync returned, and what came in meanwhile is the next batch; but where several wait at once, it
//! first waits for as many as came in each of the last two syncs ([`Inner::gather`]), for at most half as long as a sync
//! takes: a sync costs the machine as much as the statement that waits for it, and small batches are nobody's gain. Where
//! threads wait for processors ([`crate::busy`]) it waits for more than came last, and for longer.
//!
//! Where several waited and the next batch is there already, another thread wakes them ([`crate::receipt::Herald`]), while
//! the committer goes on.
//!
//! Where a write is enough (`Durability::Os`), whoever waits for a record does the committer's work for one batch
//! ([`Inner::write_here`]); checkpoints and segments stay with the thread.
//!
//! **Invariant:** the watermark is raised, and a checkpoint leaves this module, only after `sync_data` returned `Ok`
//! for every byte below it (`Durability::Os`: the watermark after the write, the checkpoint after the sync).
//! **Invariant:** after an error nothing is written to that file again; see `keeper::repair`.

use std::collections::VecDeque;
use std::io;
use std::sync::TryLockError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seal::Hash;
use seal::frame::{self, Kind as FrameKind, SEGMENT_HEADER_BYTES, SegmentHeader};
use seal::note::{Checkpoint, Signer};
use seal::tree::Frontier;
use vocab::{Durability, RunId, Tick};

use crate::disk::DiskFile;
use crate::inner::{Core, Failure, Inner, Spare, State, lock};
use crate::limits::{
    BATCH_BYTES_MAX, CHECKPOINT_MILLIS, CHECKPOINT_RECORDS, GATHER_BATCHES, GATHER_BUSY_MICROS_MAX,
    GATHER_HOLD_BATCHES, GATHER_HOLD_BATCHES_MAX, GATHER_LULL_MICROS, GATHER_MICROS_MAX, SEGMENT_TAIL_BYTES,
};
use crate::model::{Model, Step};
use crate::segments;

/// A record with its payloads, encoded, in its place.
pub(crate) struct Item {
    /// P frames, then the R frame.
    pub(crate) frames: Vec<u8>,
    pub(crate) leaf: Hash,
    pub(crate) run: Option<(RunId, Step)>,
    /// Somebody waits for it alone; see [`crate::Draft::with_next`].
    pub(crate) awaited: bool,
    /// An `epoch` record's next key: signs from the second checkpoint over the record on.
    pub(crate) ratchet: Option<Box<Signer>>,
    pub(crate) since: Tick,
}

impl Item {
    fn wants_checkpoint(&self) -> bool {
        self.ratchet.is_some() || matches!(self.run, Some((_, Step::Closes)))
    }
}

/// The segment under the pen, and everything that is on disk.
pub(crate) struct Commit {
    pub(crate) segment: u64,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) size: u64,
    /// Where the next frame goes.
    pub(crate) end: u64,
    /// The tree before the segment's first record.
    pub(crate) before: Frontier,
    pub(crate) next_batch: u64,
    /// `Durability::Os`: writes since the last sync share one batch, because nothing says in which order they land.
    pub(crate) batch_open: bool,
    pub(crate) model: Model,
    pub(crate) signer: Signer,
    /// Records under the newest checkpoint, and when that was signed.
    pub(crate) signed: u64,
    pub(crate) signed_at: Tick,
    pub(crate) pace: Pace,
}

/// How the last syncs went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Records of the last batch, and of the one before, that somebody waited for.
    awaited: [usize; 2],
    /// How long the last write and sync took.
    took: Duration,
    most: Most,
}

/// The most records that came together of late.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    /// Of the last batches, at least [`GATHER_BATCHES`].
    known: usize,
    /// Of those since `known` was set, and how many there were.
    newest: usize,
    batches: u32,
    /// For so many batches no more are waited for, and after the next wait in vain for twice `held`.
    holds: u32,
    held: u32,
}

/// For how many records the next sync waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gather {
    goal: usize,
    /// In all.
    patience: Duration,
    /// While none comes.
    lull: Duration,
}

impl Pace {
    fn note(&mut self, awaited: usize, took: Duration) {
        self.awaited = [awaited, self.awaited[0]];
        self.took = took;
        self.most.note(awaited);
    }

    /// `busy`: nobody would run sooner if they did not wait.
    fn gather(&self, busy: bool) -> Gather {
        if busy {
            let [patience, lull] = [GATHER_BUSY_MICROS_MAX, GATHER_LULL_MICROS].map(Duration::from_micros);
            return Gather { goal: self.most.goal(), patience, lull };
        }
        let usual = self.awaited.iter().sum::<usize>().div_ceil(2);
        let patience = (self.took / 2).min(Duration::from_micros(GATHER_MICROS_MAX));
        Gather { goal: usual, patience, lull: patience }
    }
}

impl Most {
    fn note(&mut self, awaited: usize) {
        if awaited == 0 {
            // A checkpoint: nobody waited.
            return;
        }
        self.newest = self.newest.max(awaited);
        self.batches += 1;
        if awaited > self.known {
            *self = Most { known: awaited, newest: awaited, ..Most::default() };
        } else if self.holds > 0 {
            self.holds -= 1;
        } else {
            self.held = (2 * self.held).clamp(GATHER_HOLD_BATCHES, GATHER_HOLD_BATCHES_MAX);
            self.holds = self.held;
        }
        if self.batches >= GATHER_BATCHES {
            (self.known, self.newest, self.batches) = (self.newest, 0, 0);
        }
    }

    /// As many as came together, and now and then more.
    fn goal(&self) -> usize {
        let more = if self.holds > 0 || self.known < 2 { 0 } else { 1 + self.known / 2 };
        self.known + more
    }
}

impl Commit {
    pub(crate) fn left(&self) -> u64 {
        self.size.saturating_sub(self.end)
    }
}

/// What one round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Idle,
    Wrote,
    Failed,
}

/// The newest checkpoint that is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    pub(crate) size: u64,
    pub(crate) note: Vec<u8>,
}

impl Inner {
    /// Writes one batch, if there is anything to write.
    pub(crate) fn commit_once(&self) -> Progress {
        let mut commit = lock(&self.commit);
        let mut taken = self.take(&commit);
        if matches!(taken, Take::NeedsSegment) {
            if let Err(error) = self.rotate(&mut commit) {
                return self.fail("no-segment", &error);
            }
            taken = self.take(&commit);
        }
        let batch = match taken {
            Take::Nothing => return Progress::Idle,
            // Nothing that was admitted is larger than an empty segment, so this is not reached; a further round is
            // harmless.
            Take::NeedsSegment => return Progress::Wrote,
            Take::Batch(batch) => batch,
        };
        match self.write(&mut commit, batch) {
            Ok(()) => Progress::Wrote,
            Err((why, error)) => self.fail(why, &error),
        }
    }

    /// Waits for more to sync at once, where several wait: as many as usual, and not for long.
    pub(crate) fn gather(&self) {
        let Gather { goal, patience, lull } =
            lock(&self.commit).pace.gather(self.busy.load(Ordering::Relaxed));
        if goal < 2 || self.config.durability == Durability::Os {
            return;
        }
        let until = self.clock.tick().0.saturating_add(patience.as_nanos() as u64);
        let mut core = lock(&self.core);
        loop {
            let urgent = core.stop || core.checkpoint_wanted || !matches!(core.state, State::Open);
            if urgent || core.awaited >= goal {
                return;
            }
            let left = Duration::from_nanos(until.saturating_sub(self.clock.tick().0));
            let before = core.awaited;
            (core.gathering, core.committer_sleeps) = (goal, true);
            let waited = self.work.wait_timeout(core, lull.min(left));
            core = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            (core.gathering, core.committer_sleeps) = (0, false);
            if core.awaited == before || self.clock.tick().0 >= until {
                return;
            }
        }
    }

    /// Writes what is queued on the calling thread: for `Durability::Os`, where a write is all that a record waits for,
    /// and two switches to another thread would cost more than it. What needs a sync or a segment is the committer's.
    ///
    /// If somebody else is writing, that thread looks at the queue again before it rests: nothing is left behind.
    pub(crate) fn write_here(&self) {
        loop {
            let mut commit = match self.commit.try_lock() {
                Ok(commit) => commit,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let Some(batch) = self.take_here(&commit) else { return };
            if let Err((why, error)) = self.write(&mut commit, batch) {
                self.fail(why, &error);
                return;
            }
            drop(commit);
            if lock(&self.core).queue.is_empty() {
                return;
            }
        }
    }

    /// Takes a batch that is written and nothing more; anything else is the committer's.
    fn take_here(&self, commit: &Commit) -> Option<Batch> {
        let mut core = lock(&self.core);
        if matches!(core.state, State::Failed(_)) || core.queue.is_empty() {
            return None;
        }
        let aged = self.clock.tick() >= commit.signed_at.plus_millis(CHECKPOINT_MILLIS);
        let many = commit.model.next() + core.queue.len() as u64 - commit.signed >= CHECKPOINT_RECORDS;
        let due = core.checkpoint_wanted || aged || many || core.queue.iter().any(Item::wants_checkpoint);
        let room = commit.left().saturating_sub(SEGMENT_TAIL_BYTES);
        let items = if due { Vec::new() } else { core.take(room) };
        if items.is_empty() {
            self.wake_committer(&mut core);
            return None;
        }
        Some(Batch { items, checkpoint: false })
    }

    /// Takes what fits into one batch off the queue.
    fn take(&self, commit: &Commit) -> Take {
        let mut core = lock(&self.core);
        if matches!(core.state, State::Failed(_)) {
            return Take::Nothing;
        }
        let now = self.clock.tick();
        let unsigned = commit.model.next() > commit.signed;
        let aged = now >= commit.signed_at.plus_millis(CHECKPOINT_MILLIS);
        let due = unsigned && (core.checkpoint_wanted || aged);
        if core.queue.is_empty() && !due {
            core.checkpoint_wanted = false;
            return Take::Nothing;
        }
        // Always kept free at the end: a batch frame, a checkpoint, and the zero that ends the segment.
        let Some(room) = commit.left().checked_sub(SEGMENT_TAIL_BYTES) else {
            return Take::NeedsSegment;
        };
        let items = core.take(room);
        if items.is_empty() && !due {
            return Take::NeedsSegment;
        }
        let wanted = std::mem::take(&mut core.checkpoint_wanted);
        let many = commit.model.next() + items.len() as u64 - commit.signed >= CHECKPOINT_RECORDS;
        let checkpoint = wanted || aged || many || items.iter().any(Item::wants_checkpoint);
        Take::Batch(Batch { items, checkpoint })
    }

    fn write(&self, commit: &mut Commit, batch: Batch) -> Result<(), (&'static str, io::Error)> {
        let Batch { mut items, checkpoint } = batch;
        let mut bytes = Vec::with_capacity(items.iter().map(|item| item.frames.len()).sum::<usize>() + 1024);
        if !commit.batch_open {
            frame::encode_batch(commit.next_batch, commit.end, &mut bytes);
        }
        items.iter().for_each(|item| bytes.extend_from_slice(&item.frames));
        let size = commit.model.next() + items.len() as u64;
        let note = checkpoint.then(|| {
            let mut tip = commit.model.frontier.clone();
            items.iter().for_each(|item| tip.append(item.leaf));
            let text = Checkpoint { origin: self.origin.clone(), size, root: tip.root() };
            commit.signer.sign(&text).to_bytes()
        });
        if let Some(note) = &note {
            frame::encode_frame(FrameKind::Checkpoint, note, &mut bytes)
                .map_err(|error| ("checkpoint-size", io::Error::new(io::ErrorKind::InvalidData, error)))?;
        }
        let end = commit.end + bytes.len() as u64;
        bytes.resize((segments::whole_page(commit.end, end, commit.size) - commit.end) as usize, 0);
        let begun = self.clock.tick();
        commit.file.write_at(&bytes, commit.end).map_err(|error| ("write-failed", error))?;
        if self.config.durability == Durability::Sync {
            commit.file.sync_data().map_err(|error| ("sync-failed", error))?;
        }
        let took = Duration::from_nanos(self.clock.tick().0.saturating_sub(begun.0));
        commit.pace.note(items.iter().filter(|item| item.awaited).count(), took);
        if !commit.batch_open {
            commit.next_batch += 1;
        }
        commit.batch_open = self.config.durability == Durability::Os;
        commit.end = end;
        self.settle(commit, &mut items);
        let Some(note) = note else { return Ok(()) };
        if commit.batch_open {
            commit.file.sync_data().map_err(|error| ("sync-failed", error))?;
            commit.batch_open = false;
        }
        commit.signed = size;
        commit.signed_at = self.clock.tick();
        let published = Published { size, note };
        let first = size - items.len() as u64;
        let ratchets =
            items.iter_mut().zip(first..).filter_map(|(item, seq)| Some((seq, item.ratchet.take()?)));
        if let Some((seq, next)) = ratchets.last() {
            commit.signer = *next;
            self.turned(seq, &published);
        }
        self.publish(published);
        Ok(())
    }

    /// The batch is on disk: the model behind takes it in, the watermark rises.
    fn settle(&self, commit: &mut Commit, items: &mut [Item]) {
        for item in items.iter() {
            commit.model.apply(item.leaf, item.run);
            if let Some((run, Step::Closes)) = item.run {
                self.forget_cipher(run);
            }
        }
        let mut core = lock(&self.core);
        for item in items.iter() {
            if let Some(run) = item.run.and_then(|(run, _)| core.runs.get_mut(&run)) {
                run.queued = run.queued.saturating_sub(item.frames.len());
            }
        }
        core.in_flight = 0;
        core.in_flight_since = None;
        core.left = commit.left();
        let next_waits = core.awaited > 0;
        drop(core);
        let woken = self.watermark.raise(commit.model.next());
        match self.herald.get() {
            Some(herald) if next_waits => herald.wake(woken),
            _ => drop(woken),
        }
    }

    fn publish(&self, published: Published) {
        *lock(&self.published) = published;
        self.published_changed.notify_all();
        self.wake_keeper();
    }

    /// Goes on in the next segment. The old one is whole and synced before the new one has its name.
    fn rotate(&self, commit: &mut Commit) -> io::Result<()> {
        if commit.batch_open {
            commit.file.sync_data()?;
            commit.batch_open = false;
        }
        let _preparing = lock(&self.preparing);
        if !matches!(lock(&self.core).spare, Spare::Ready) {
            let size = self.config.segment_bytes;
            segments::prepare_spare(&*self.disk, &self.paths, size, segments::Pieces::Whole)?;
        }
        let header = SegmentHeader {
            number: commit.segment + 1,
            first_seq: commit.model.next(),
            first_batch: commit.next_batch,
            origin: self.origin.clone(),
        };
        let file = segments::activate_spare(&*self.disk, &self.paths, &header)?;
        commit.file = file;
        commit.segment += 1;
        commit.size = self.config.segment_bytes;
        commit.end = SEGMENT_HEADER_BYTES as u64;
        commit.before = commit.model.frontier.clone();
        let mut core = lock(&self.core);
        (core.left, core.size) = (commit.left(), commit.size);
        core.spare = Spare::Missing;
        drop(core);
        self.wake_keeper();
        Ok(())
    }

    /// Everything that is not durable is lost, and nothing is taken until the keeper has repaired the ledger.
    fn fail(&self, why: &'static str, error: &io::Error) -> Progress {
        let mut core = lock(&self.core);
        let since = self.clock.now();
        core.fail(Failure { why, error: error.to_string(), since, retry: Tick(0) });
        drop(core);
        self.watermark.fail();
        self.published_changed.notify_all();
        self.wake_keeper();
        Progress::Failed
    }
}

struct Batch {
    items: Vec<Item>,
    checkpoint: bool,
}

enum Take {
    Nothing,
    NeedsSegment,
    Batch(Batch),
}

impl Core {
    /// Takes the items that fit into `room` bytes, the limits of a batch, and one checkpoint's distance.
    fn take(&mut self, room: u64) -> Vec<Item> {
        let mut left = (BATCH_BYTES_MAX as u64).min(room);
        let mut fits = 0;
        for item in self.queue.iter().take(CHECKPOINT_RECORDS as usize) {
            let Some(rest) = left.checked_sub(item.frames.len() as u64) else { break };
            left = rest;
            fits += 1;
        }
        let items: Vec<Item> = self.queue.drain(..fits).collect();
        let taken: usize = items.iter().map(|item| item.frames.len()).sum();
        self.queue_bytes -= taken;
        self.awaited -= items.iter().filter(|item| item.awaited).count();
        self.in_flight = taken;
        self.in_flight_since = items.first().map(|item| item.since);
        items
    }

    fn fail(&mut self, failure: Failure) {
        self.queue = VecDeque::new();
        self.queue_bytes = 0;
        self.awaited = 0;
        self.in_flight = 0;
        self.in_flight_since = None;
        self.state = State::Failed(failure);
    }

    /// The age of the oldest append that is not durable.
    pub(crate) fn oldest(&self) -> Option<Tick> {
        self.in_flight_since.or_else(|| self.queue.front().map(|item| item.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_waits_alone_is_never_kept_waiting_for_others() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert!(pace.gather(false).goal < 2 && pace.gather(true).goal < 2);
            pace.note(1, Duration::from_micros(150));
        }
    }

    #[test]
    fn as_many_are_waited_for_as_came_before_and_at_most_half_a_sync() {
        let mut pace = Pace::default();
        let gather = |goal, micros| {
            let patience = Duration::from_micros(micros);
            Gather { goal, patience, lull: patience }
        };
        pace.note(3, Duration::from_micros(150));
        pace.note(4, Duration::from_micros(300));
        assert_eq!(pace.gather(false), gather(4, 150));
        pace.note(1, Duration::from_millis(40));
        assert_eq!(pace.gather(false), gather(3, GATHER_MICROS_MAX));
    }

    #[test]
    fn where_processors_are_short_more_are_waited_for_until_no_more_come_and_then_seldom() {
        let (mut pace, mut in_vain) = (Pace::default(), 0);
        // Eight come, if there is time for them; of the first batches two or three.
        for come in [2, 3].into_iter().chain([8; 400]) {
            in_vain += u32::from(pace.gather(true).goal > come);
            pace.note(come, Duration::from_micros(150));
        }
        assert!((4..=16).contains(&in_vain), "{in_vain} of 402");
        assert!(pace.gather(true).goal >= 8);
        // Fewer come, and now and then as many: those are waited for.
        for n in 0..100 {
            pace.note(if n % 10 == 0 { 8 } else { 3 }, Duration::from_micros(150));
            assert!(pace.gather(true).goal >= 8);
        }
        // They go away but for one, who soon waits for nobody; a checkpoint says nothing.
        for _ in 0..2 * GATHER_BATCHES {
            pace.note(1, Duration::from_micros(150));
            pace.note(0, Duration::from_micros(150));
        }
        assert!(pace.gather(true).goal < 2);
    }
}
