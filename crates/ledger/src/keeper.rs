//! The keeper: one background thread for all that is not on the request path. It prepares the next segment, turns
//! the epoch, beats, writes tiles, and repairs the ledger after a failed write.

use std::collections::VecDeque;
use std::io;

use seal::frame::{self, Kind as FrameKind, ScanEnd};
use seal::note::{Algorithm, Signer};
use seal::tree::Frontier;
use vocab::Tick;
use zeroize::Zeroizing;

use crate::clock::random;
use crate::commit::Commit;
use crate::config::AppendError;
use crate::draft::{Draft, Kind, OwnText, Raw};
use crate::inner::{Core, Failure, Inner, Run, Spare, State, lock};
use crate::keys::{self, CHECKPOINT_NEXT_FILE, EpochKey, KeyError};
use crate::late::{Counts, Kept};
use crate::limits::{EPOCH_MILLIS, HEARTBEAT_MILLIS, RETRY_MILLIS};
use crate::receipt::Receipt;
use crate::segments::{self, Pieces};
use crate::tiles::Tiles;

/// What the keeper remembers between two rounds.
pub(crate) struct Keeper {
    /// The newest epoch that has a record.
    pub(crate) epoch: u64,
    pub(crate) epoch_since: Tick,
    pub(crate) turning: Option<Turning>,
    pub(crate) beat_at: Tick,
    pub(crate) tiles: Tiles,
    /// Why the last attempt at something derived failed.
    pub(crate) warning: Option<String>,
}

/// An epoch whose record is on its way. Its key is used only once the record is durable.
pub(crate) struct Turning {
    receipt: Receipt,
    key: EpochKey,
}

/// An epoch could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl From<crate::clock::NoRandom> for TurnError {
    fn from(error: crate::clock::NoRandom) -> TurnError {
        TurnError::Key(error.into())
    }
}

impl Inner {
    /// One round of everything.
    pub(crate) fn keep_once(&self) {
        let mut keeper = lock(&self.keeper);
        self.repair_if_failed();
        self.tell_missed();
        self.prepare_if_missing();
        let mut warning = self.turn(&mut keeper).err().map(|error| format!("epoch: {error}"));
        self.beat(&mut keeper);
        if let Err(error) = self.tile(&mut keeper, false) {
            warning = Some(format!("tiles: {error}"));
            keeper.tiles = self.new_tiles();
        }
        keeper.warning = warning;
    }

    /// Begins the next epoch: a fresh fingerprint key, sealed to the auditors, and the next checkpoint key. The order
    /// makes each crash point safe: the next key's file is durable before the record that names it; the old key is
    /// erased after the checkpoint over that record is durable. [`crate::recover`] finishes what a crash interrupted.
    pub(crate) fn begin_epoch(&self, keeper: &mut Keeper) -> Result<(), TurnError> {
        if !matches!(lock(&self.core).state, State::Open) {
            return Err(AppendError::Failed.into());
        }
        let epoch = keeper.epoch + 1;
        let secret = Zeroizing::new(random(&*self.random)?);
        let auditors = &self.config.auditors;
        let sealed = keys::seal_epoch(auditors, &self.origin, epoch, &secret, &*self.random)?;
        let next = self.next_signer()?;
        let ids: Vec<[u8; 8]> = auditors.iter().map(|auditor| auditor.id()).collect();
        let draft = Draft::new(Kind::Epoch)
            .put("epoch", epoch)
            .put("sealed", sealed.iter().map(|key| Raw(key)).collect::<Vec<_>>())
            .put("auditors", ids.iter().map(|id| Raw(id)).collect::<Vec<_>>())
            .put("key", OwnText(&next.verifier_key().to_string()));
        let receipt = self.append(draft, Some(Box::new(next)))?;
        keeper.turning = Some(Turning { receipt, key: EpochKey::new(epoch, &secret) });
        Ok(())
    }

    /// Makes the next checkpoint key and keeps it beside the current one.
    pub(crate) fn next_signer(&self) -> Result<Signer, KeyError> {
        let seed = Zeroizing::new(random(&*self.random)?);
        let path = self.config.keys.join(CHECKPOINT_NEXT_FILE);
        keys::write_secret(&*self.disk, &path, &seed)?;
        Signer::from_seed(&self.origin, Algorithm::Ed25519, &seed).map_err(|_| KeyError::Malformed { path })
    }

    /// Takes the new keys into use once the epoch's record and the checkpoint over it are durable.
    pub(crate) fn finish_epoch(&self, keeper: &mut Keeper) -> Result<(), KeyError> {
        let Some(turning) = &keeper.turning else { return Ok(()) };
        let covered = lock(&self.published).size > turning.receipt.seq().0;
        match turning.receipt.peek() {
            Some(Ok(())) if covered => {}
            Some(Err(_)) => {
                keeper.turning = None;
                return Ok(());
            }
            _ => return Ok(()),
        }
        keys::promote_checkpoint_key(&*self.disk, &self.config.keys)?;
        if let Some(turning) = keeper.turning.take() {
            keeper.epoch = turning.key.epoch();
            keeper.epoch_since = self.clock.tick();
            let mut prints = self.prints.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            *prints = std::sync::Arc::new(turning.key);
        }
        Ok(())
    }

    fn turn(&self, keeper: &mut Keeper) -> Result<(), TurnError> {
        self.finish_epoch(keeper)?;
        let due = self.clock.tick() >= keeper.epoch_since.plus_millis(EPOCH_MILLIS);
        if due && keeper.turning.is_none() {
            self.begin_epoch(keeper)?;
        }
        Ok(())
    }

    fn beat(&self, keeper: &mut Keeper) {
        let now = self.clock.tick();
        if now < keeper.beat_at.plus_millis(HEARTBEAT_MILLIS) {
            return;
        }
        let (runs, sessions) = {
            let core = lock(&self.core);
            (core.runs.len() as u64, core.runs.values().map(|run| u64::from(run.sessions)).sum::<u64>())
        };
        let draft = Draft::new(Kind::Heartbeat).put("runs", runs).put("sessions", sessions);
        // Silence is what a heartbeat that cannot be written says, so its loss needs no further care.
        if self.append(draft, None).is_ok() {
            keeper.beat_at = now;
        }
    }

    fn prepare_if_missing(&self) {
        let now = self.clock.tick();
        let needed = {
            let core = lock(&self.core);
            let wanted = match &core.spare {
                Spare::Ready => false,
                Spare::Missing => true,
                Spare::Refused { retry, .. } => now >= *retry,
            };
            wanted && matches!(core.state, State::Open)
        };
        if needed {
            self.prepare();
        }
    }

    /// Prepares the spare. A disk without room for it is asked first, not filled to the brim.
    pub(crate) fn prepare(&self) {
        let _preparing = lock(&self.preparing);
        if matches!(lock(&self.core).spare, Spare::Ready) {
            return;
        }
        let size = self.config.segment_bytes;
        let made = match self.disk.free_space(&self.paths.segments) {
            Ok(free) if free < size => {
                let what = format!("{free} bytes are free, a segment needs {size}");
                Err(io::Error::new(io::ErrorKind::StorageFull, what))
            }
            Ok(_) => segments::prepare_spare(&*self.disk, &self.paths, size, Pieces::Synced),
            Err(error) => Err(error),
        };
        let retry = self.clock.tick().plus_millis(RETRY_MILLIS);
        lock(&self.core).spare = match made {
            Ok(()) => Spare::Ready,
            Err(error) => Spare::Refused { error: error.to_string(), retry },
        };
    }

    fn repair_if_failed(&self) {
        let failure = match &lock(&self.core).state {
            State::Failed(failure) if self.clock.tick() >= failure.retry => failure.clone(),
            _ => return,
        };
        let mut commit = lock(&self.commit);
        let repaired = self.repair(&mut commit);
        let mut core = lock(&self.core);
        match repaired {
            Ok(spare) => {
                self.reopen(&mut core, &commit, spare);
                drop(core);
                drop(commit);
                self.record_gap(&failure);
            }
            Err(error) => {
                let retry = self.clock.tick().plus_millis(RETRY_MILLIS);
                core.state = State::Failed(Failure { error: error.to_string(), retry, ..failure });
            }
        }
    }

    /// Brings the current segment back to what is durable, in a file of its own: what the failed write or sync left
    /// in the old file's blocks or in the page cache is never trusted, and never synced again.
    fn repair(&self, commit: &mut Commit) -> io::Result<Spare> {
        let _preparing = lock(&self.preparing);
        // A rotation that failed half way left a segment without records.
        match self.disk.remove(&self.paths.segment(commit.segment + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut bytes = segments::read_segment(&*self.disk, &self.paths.segment(commit.segment))?.bytes;
        let end = usize::try_from(commit.end).unwrap_or(usize::MAX);
        if bytes.len() < end {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the segment is shorter than what is durable",
            ));
        }
        bytes.truncate(end);
        if frontier_after(&bytes, &commit.before) != Some(commit.model.frontier.clone()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the segment does not hold what was made durable in it",
            ));
        }
        let sizes = (commit.size, self.config.segment_bytes);
        commit.file = segments::copy_segment(&*self.disk, &self.paths, commit.segment, &bytes, sizes)?;
        commit.batch_open = false;
        let spare = segments::find_spare(&*self.disk, &self.paths, self.config.segment_bytes)?;
        Ok(if spare { Spare::Ready } else { Spare::Missing })
    }

    /// Goes on from what is durable. A run whose `open` was lost is gone; one whose `close` was lost is open again.
    fn reopen(&self, core: &mut Core, commit: &Commit, spare: Spare) {
        let mut reopened = Core::at(commit, self.watermark.generation(), spare);
        for (id, run) in &mut reopened.runs {
            let before = core.runs.get(id).cloned().unwrap_or_default();
            *run = Run { queued: 0, tail: run.tail.clone(), ..before };
        }
        reopened.committer_sleeps = core.committer_sleeps;
        reopened.stop = core.stop;
        reopened.late = std::mem::take(&mut core.late);
        reopened.late.reopen(reopened.next);
        *core = reopened;
    }

    fn record_gap(&self, failure: &Failure) {
        let none = Counts { since: failure.since, refused: 0, cut: 0 };
        let (kept, counts) = lock(&self.core).late.take().unwrap_or((VecDeque::new(), none));
        let since = counts.since.min(failure.since);
        self.tell(kept, Counts { since, ..counts }, failure.why);
    }

    /// What was refused or cut while the disk stalled and nothing failed.
    fn tell_missed(&self) {
        let taken = {
            let mut core = lock(&self.core);
            let goes_on = matches!(core.state, State::Open) && !self.stalls(&core);
            if goes_on { core.late.take() } else { None }
        };
        if let Some((kept, counts)) = taken {
            self.tell(kept, counts, "stalled");
        }
    }

    /// Refusals that were kept, and behind them the `gap` that counts them. One whose run is over is only counted.
    fn tell(&self, kept: VecDeque<Kept>, counts: Counts, why: &'static str) {
        let told = kept.into_iter().filter_map(|kept| self.append(kept.into_draft(), None).ok()).count();
        let draft = Draft::new(Kind::Gap)
            .put("from", counts.since)
            .put("to", self.clock.now())
            .put("refused", counts.refused)
            .put("told", told as u64)
            .put("cut", counts.cut)
            .put("why", why);
        if self.append(draft, None).is_err() {
            lock(&self.core).late.put_back(counts);
        }
    }
}

/// The tree after the records of a segment's prefix; `None` if a frame in it does not check.
fn frontier_after(prefix: &[u8], before: &Frontier) -> Option<Frontier> {
    match frame::scan_segment(prefix, false) {
        ScanEnd::Whole { end, .. } if end == prefix.len() => {}
        _ => return None,
    }
    let mut frontier = before.clone();
    for frame in frame::Frames::of_segment(prefix) {
        let frame = frame.ok()?;
        if frame.kind == FrameKind::Record {
            frontier.append(seal::tree::leaf_hash(frame.body));
        }
    }
    Some(frontier)
}
