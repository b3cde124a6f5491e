//! The ledger's shared state, and the one lock under which a record gets its place.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use seal::frame::{self, FRAME_HEADER_BYTES, Kind as FrameKind};
use seal::note::VerifierKey;
use seal::payload;
use seal::record::{self, Fields, Link, PayloadRef};
use vocab::{Durability, RunId, Seq, SessionId, Tick, WallTime};

use crate::clock::{Clock, Random};
use crate::commit::{Commit, Item, Published};
use crate::config::{AppendError, Config, Ended, NotAdmitted};
use crate::disk::Disk;
use crate::draft::{Draft, Kind, Map, PayloadPlain, Raw};
use crate::keeper::Keeper;
use crate::keys::{EpochKey, GatewayKey, RunCipher, RunKeys, SEAL_BYTES};
use crate::late::Late;
use crate::ledger::Checkpointed;
use crate::limits::{
    BATCH_BYTES_MAX, PAYLOAD_BYTES_MAX, QUEUE_ADMIT_DIVISOR, QUEUE_BYTES_MAX, QUEUE_RECORDS_MAX,
    QUEUE_RUN_DIVISOR, RECORD_DEPTH_MAX, RUN_OVERDRAFT_DIVISOR, SEGMENT_TAIL_BYTES, STALL_MILLIS,
    UNIT_SEGMENT_DIVISOR,
};
use crate::model::{ByRun, Step, Tail};
use crate::receipt::{Herald, Receipt, Watermark};
use crate::segments::Paths;
use crate::witnesses::Turn;

/// A frame's header and what a record says before its body, with two payloads.
const RECORD_HEADER_BYTES_USUAL: usize = 384;

/// Everything that the ledger's handles and threads share. Lock order: `keeper`, `commit`,
/// `preparing`, `core`; `run_keys` and `turns` stand alone, `shown` is taken last.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) origin: String,
    pub(crate) paths: Paths,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) watermark: Arc<Watermark>,
    pub(crate) core: Mutex<Core>,
    /// Wakes the committer.
    pub(crate) work: Condvar,
    pub(crate) commit: Mutex<Commit>,
    /// Wakes whoever waited for a batch while the next one is synced. Set where threads do the work.
    pub(crate) herald: OnceLock<Herald>,
    pub(crate) published: Mutex<Published>,
    pub(crate) published_changed: Condvar,
    /// The newest checkpoint whose tiles are on disk, as the file `checkpoint` has it.
    pub(crate) shown: Mutex<Option<Checkpointed>>,
    pub(crate) turns: Mutex<Vec<Turn>>,
    /// The key in `genesis`.
    pub(crate) first_key: VerifierKey,
    /// Held by whoever makes or takes the spare.
    pub(crate) preparing: Mutex<()>,
    pub(crate) keeper: Mutex<Keeper>,
    pub(crate) keeper_asked: Mutex<bool>,
    pub(crate) keeper_wake: Condvar,
    pub(crate) ciphers: RwLock<ByRun<Arc<RunCipher>>>,
    pub(crate) run_keys: Mutex<RunKeys>,
    pub(crate) gateway: GatewayKey,
    pub(crate) prints: RwLock<Arc<EpochKey>>,
    /// Whether threads do the work; without them a test does it step by step.
    pub(crate) threads: bool,
    /// Whether the committer is scheduled before everything ordinary.
    pub(crate) real_time: AtomicBool,
    /// Whether threads wait for processors.
    pub(crate) busy: AtomicBool,
    /// Held until the last handle is gone.
    pub(crate) _lock: Box<dyn Send + Sync>,
}

/// What is decided under the append lock.
pub(crate) struct Core {
    pub(crate) state: State,
    /// Counts failures, as the watermark does.
    pub(crate) generation: u64,
    /// The next record's sequence number.
    pub(crate) next: u64,
    pub(crate) runs: ByRun<Run>,
    pub(crate) queue: VecDeque<Item>,
    pub(crate) queue_bytes: usize,
    /// Of the queued records, those that somebody waits for.
    pub(crate) awaited: usize,
    /// The committer waits for so many of them; 0: for any.
    pub(crate) gathering: usize,
    pub(crate) in_flight: usize,
    pub(crate) in_flight_since: Option<Tick>,
    /// Bytes left in the current segment, as of the last batch.
    pub(crate) left: u64,
    /// Bytes of the current segment.
    pub(crate) size: u64,
    pub(crate) spare: Spare,
    pub(crate) checkpoint_wanted: bool,
    /// The committer sleeps and must be woken.
    pub(crate) committer_sleeps: bool,
    pub(crate) stop: bool,
    pub(crate) late: Late,
}

pub(crate) enum State {
    Open,
    Failed(Failure),
    Closed,
}

/// Why nothing can be recorded at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) why: &'static str,
    pub(crate) error: String,
    pub(crate) since: WallTime,
    /// When the next repair may be tried.
    pub(crate) retry: Tick,
}

/// The segment after the current one.
#[derive(Clone, Debug)]
pub(crate) enum Spare {
    Ready,
    /// Not yet prepared.
    Missing,
    /// The disk would not take it; tried again at `retry`.
    Refused {
        error: String,
        retry: Tick,
    },
}

/// A run that is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) tail: Tail,
    /// Bytes of all its records and payloads.
    pub(crate) bytes: u64,
    /// Bytes of it that wait for the committer.
    pub(crate) queued: usize,
    /// Connections that are open.
    pub(crate) sessions: u32,
}

/// A record without its place.
pub(crate) struct Unit<'a> {
    pub(crate) kind: Kind,
    pub(crate) run: Option<RunId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) of: Option<Seq>,
    pub(crate) body: &'a [u8],
    pub(crate) pay: &'a [PayloadRef],
    pub(crate) payload_frames: &'a [u8],
    /// See [`Draft::with_next`].
    pub(crate) with_next: bool,
    pub(crate) ratchet: Option<Box<seal::note::Signer>>,
}

impl Inner {
    /// Gives a draft its place: encodes and encrypts outside the lock, links and hashes under it. No IO.
    pub(crate) fn append(
        &self,
        draft: Draft,
        ratchet: Option<Box<seal::note::Signer>>,
    ) -> Result<Receipt, AppendError> {
        let body = encode_body(&draft)?;
        let (pay, payload_frames) = self.encrypt(&draft)?;
        let again = (draft.kind == Kind::Refusal).then(|| draft.again());
        let Draft { kind, run, session, of, with_next, .. } = draft;
        // With `Durability::Os` whoever waits for the record writes it; nobody need be woken for that.
        let with_next = with_next || self.waiters_write() && ratchet.is_none();
        let payload_frames = &payload_frames;
        let unit =
            Unit { kind, run, session, of, body: &body, pay: &pay, payload_frames, with_next, ratchet };
        let mut core = lock(&self.core);
        let receipt = self.push(&mut core, unit)?;
        if let Some(again) = again {
            core.late.sent(receipt.seq, self.watermark.next(), self.clock.now(), again);
        }
        Ok(receipt)
    }

    /// Ends a run with its count and root, both taken under the lock that gives the record its place.
    pub(crate) fn close(&self, run: RunId, why: Ended, status: Option<i64>) -> Result<Receipt, AppendError> {
        let mut core = lock(&self.core);
        let tail = &core.runs.get(&run).ok_or(AppendError::RunEnded)?.tail;
        let root = tail.frontier.root();
        let draft = Draft::new(Kind::Close)
            .run(run)
            .put("count", tail.count())
            .put("root", Raw(&root))
            .put("why", why.as_str())
            .put_some("status", status);
        let body = encode_body(&draft)?;
        let unit = Unit {
            kind: Kind::Close,
            run: Some(run),
            session: None,
            of: None,
            body: &body,
            pay: &[],
            payload_frames: &[],
            with_next: false,
            ratchet: None,
        };
        self.push(&mut core, unit)
    }

    /// Why nothing new may begin, if so.
    pub(crate) fn admission(&self, core: &Core) -> Result<(), NotAdmitted> {
        match core.state {
            State::Open => {}
            State::Failed(_) => return Err(NotAdmitted::Failed),
            State::Closed => return Err(NotAdmitted::Closed),
        }
        if self.stalls(core) {
            return Err(NotAdmitted::Stalled);
        }
        match core.spare {
            Spare::Ready => {}
            // Being prepared: the half of this segment that is left is reserve enough until the outcome is known.
            Spare::Missing if core.half_left() => {}
            Spare::Missing => return Err(NotAdmitted::Preparing),
            Spare::Refused { .. } => return Err(NotAdmitted::NoSpare),
        }
        let full = core.queue_bytes > QUEUE_BYTES_MAX / QUEUE_ADMIT_DIVISOR
            || core.queue.len() > QUEUE_RECORDS_MAX / QUEUE_ADMIT_DIVISOR;
        if full { Err(NotAdmitted::Busy) } else { Ok(()) }
    }

    /// The oldest append waits for the disk for too long.
    pub(crate) fn stalls(&self, core: &Core) -> bool {
        let now = self.clock.tick();
        core.oldest().is_some_and(|since| now > since.plus_millis(STALL_MILLIS))
    }

    fn push(&self, core: &mut Core, unit: Unit<'_>) -> Result<Receipt, AppendError> {
        match core.state {
            State::Open => {}
            State::Failed(_) | State::Closed => return Err(AppendError::Failed),
        }
        if unit.kind.needs_admission() {
            self.admission(core)?;
        }
        if unit.of.is_some_and(|of| of.0 >= core.next) {
            return Err(AppendError::Malformed("`of` names a record that does not exist yet"));
        }
        let link = core.link(unit.kind, unit.run)?;
        let fields = Fields {
            seq: core.next,
            at: self.clock.now().0,
            kind: unit.kind.as_str(),
            link,
            sess: unit.session.map(|session| session.0),
            of: unit.of.map(|of| of.0),
            pay: unit.pay,
            body: unit.body,
        };
        let size = unit.payload_frames.len() + unit.body.len() + RECORD_HEADER_BYTES_USUAL;
        let mut frames = Vec::with_capacity(size);
        frames.extend_from_slice(unit.payload_frames);
        let start = frame::begin_frame(&mut frames);
        record::encode(&fields, &mut frames).map_err(|_| AppendError::TooLarge)?;
        frame::end_frame(FrameKind::Record, start, &mut frames).map_err(|_| AppendError::TooLarge)?;
        self.check_room(core, &unit, frames.len())?;

        // From here on nothing fails: the number is taken.
        let leaf = seal::tree::leaf_hash(&frames[start..]);
        let seq = core.next;
        core.next += 1;
        if unit.kind == Kind::Stop {
            // Under the lock that gave it its place, so that nothing comes behind it: recovery takes that for somebody else's.
            core.state = State::Closed;
        }
        let run = unit.run.map(|run| (run, core.step(run, unit.kind, leaf, frames.len())));
        core.queue_bytes += frames.len();
        let awaited = !unit.with_next;
        core.awaited += usize::from(awaited);
        let since = self.clock.tick();
        core.queue.push_back(Item { frames, leaf, run, awaited, ratchet: unit.ratchet, since });
        if awaited && core.awaited >= core.gathering {
            self.wake_committer(core);
        }
        Ok(Receipt { seq: Seq(seq), generation: core.generation, watermark: self.watermark.clone() })
    }

    pub(crate) fn wake_committer(&self, core: &mut Core) {
        if core.committer_sleeps {
            core.committer_sleeps = false;
            self.work.notify_one();
        }
    }

    /// Room in the queue, in the run's share of it, in the run's budget, and on the disk.
    fn check_room(&self, core: &Core, unit: &Unit<'_>, size: usize) -> Result<(), AppendError> {
        let unit_max = (self.config.segment_bytes / UNIT_SEGMENT_DIVISOR).min(BATCH_BYTES_MAX as u64 - 64);
        if size as u64 > unit_max {
            return Err(AppendError::TooLarge);
        }
        if core.queue_bytes + size > QUEUE_BYTES_MAX || core.queue.len() >= QUEUE_RECORDS_MAX {
            return Err(AppendError::Full);
        }
        // Each record is charged a batch frame of its own, and each segment the most that rotation can waste.
        let charge = |bytes: usize, records: usize| (bytes + records * frame::BATCH_FRAME_BYTES) as u64;
        let waiting = charge(core.queue_bytes + core.in_flight + size, core.queue.len() + 2);
        let spare = match core.spare {
            Spare::Ready => self.config.segment_bytes - unit_max - frame::SEGMENT_HEADER_BYTES as u64,
            Spare::Missing | Spare::Refused { .. } => 0,
        };
        if waiting + 2 * SEGMENT_TAIL_BYTES > core.left + spare {
            return Err(AppendError::Full);
        }
        let Some(run) = unit.run.and_then(|run| core.runs.get(&run)) else { return Ok(()) };
        if unit.kind != Kind::Close && run.queued + size > QUEUE_BYTES_MAX / QUEUE_RUN_DIVISOR {
            return Err(AppendError::Full);
        }
        self.check_budget(run, unit.kind, size as u64)
    }

    fn check_budget(&self, run: &Run, kind: Kind, size: u64) -> Result<(), AppendError> {
        let (mut records, mut bytes) = (self.config.run_records_max, self.config.run_bytes_max);
        if kind == Kind::Close {
            return Ok(());
        }
        if kind.settles() {
            records += records / RUN_OVERDRAFT_DIVISOR + 1;
            bytes += bytes / RUN_OVERDRAFT_DIVISOR + 1;
        }
        let over = run.tail.count() >= records || run.bytes + size > bytes;
        if over { Err(AppendError::OverBudget) } else { Ok(()) }
    }

    /// The payloads' references and their P frames.
    fn encrypt(&self, draft: &Draft) -> Result<(Vec<PayloadRef>, Vec<u8>), AppendError> {
        if draft.payloads.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        if draft.too_many_payloads() {
            return Err(AppendError::TooLarge);
        }
        let run = draft.run.ok_or(AppendError::Malformed("a payload needs a run"))?;
        let cipher = read(&self.ciphers).get(&run).cloned().ok_or(AppendError::RunEnded)?;
        let (mut refs, mut frames) = (Vec::new(), Vec::new());
        for PayloadPlain(map) in &draft.payloads {
            check_map(map, 0)?;
            frames.reserve(FRAME_HEADER_BYTES + map.size() + SEAL_BYTES);
            let start = frame::begin_frame(&mut frames);
            cipher.seal(&self.origin, &mut frames, |out| map.write(out)).ok_or(AppendError::TooLarge)?;
            let body = &frames[start..];
            if body.len() > PAYLOAD_BYTES_MAX + SEAL_BYTES {
                return Err(AppendError::TooLarge);
            }
            let digest = payload::body_digest(body);
            refs.push(PayloadRef { digest, key: cipher.commitment, length: body.len() as u64 });
            frame::end_frame(FrameKind::Payload, start, &mut frames).map_err(|_| AppendError::TooLarge)?;
        }
        Ok((refs, frames))
    }

    /// Whether a receipt that is waited for writes what is queued ([`Inner::write_here`]).
    pub(crate) fn waiters_write(&self) -> bool {
        self.threads && self.config.durability == Durability::Os
    }

    pub(crate) fn forget_cipher(&self, run: RunId) {
        self.ciphers.write().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    pub(crate) fn keep_cipher(&self, run: RunId, cipher: Arc<RunCipher>) {
        self.ciphers.write().unwrap_or_else(PoisonError::into_inner).insert(run, cipher);
    }

    pub(crate) fn wake_keeper(&self) {
        *lock(&self.keeper_asked) = true;
        self.keeper_wake.notify_one();
    }
}

impl Core {
    /// The state of a ledger that stands where `commit` stands.
    pub(crate) fn at(commit: &Commit, generation: u64, spare: Spare) -> Core {
        Core {
            state: State::Open,
            generation,
            next: commit.model.next(),
            runs: commit
                .model
                .runs
                .iter()
                .map(|(id, tail)| (*id, Run { tail: tail.clone(), ..Run::default() }))
                .collect(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            awaited: 0,
            gathering: 0,
            in_flight: 0,
            in_flight_since: None,
            left: commit.left(),
            size: commit.size,
            spare,
            checkpoint_wanted: false,
            committer_sleeps: false,
            stop: false,
            late: Late::default(),
        }
    }

    /// Whether half of the current segment is left.
    pub(crate) fn half_left(&self) -> bool {
        self.left >= self.size / 2
    }

    /// A record's place in its run.
    fn link(&self, kind: Kind, run: Option<RunId>) -> Result<Option<Link>, AppendError> {
        let run = match (kind.of_run(), run) {
            (false, None) => return Ok(None),
            (true, Some(run)) => run,
            (true, None) => return Err(AppendError::Malformed("this kind of record needs a run")),
            (false, Some(_)) => return Err(AppendError::Malformed("this kind of record has no run")),
        };
        match (kind, self.runs.get(&run)) {
            (Kind::Open, None) => Ok(Some(Link { run: run.0, rseq: 0, rprev: [0; 32] })),
            (Kind::Open, Some(_)) => Err(AppendError::Malformed("the run is open already")),
            (_, Some(Run { tail, .. })) => {
                Ok(Some(Link { run: run.0, rseq: tail.count(), rprev: tail.last }))
            }
            (_, None) => Err(AppendError::RunEnded),
        }
    }

    fn step(&mut self, id: RunId, kind: Kind, leaf: seal::Hash, size: usize) -> Step {
        if kind == Kind::Close {
            self.runs.remove(&id);
            return Step::Closes;
        }
        let run = self.runs.entry(id).or_default();
        run.tail.push(leaf);
        run.bytes += size as u64;
        run.queued += size;
        match kind {
            Kind::Connect => run.sessions += 1,
            Kind::Disconnect => run.sessions = run.sessions.saturating_sub(1),
            _ => {}
        }
        if kind == Kind::Open { Step::Opens } else { Step::Goes }
    }
}

pub(crate) fn encode_body(draft: &Draft) -> Result<Vec<u8>, AppendError> {
    check_map(&draft.body, 1)?;
    Ok(draft.body.to_bytes())
}

/// `around` is how many levels stand around the map.
fn check_map(map: &Map, around: u8) -> Result<(), AppendError> {
    if map.levels().saturating_add(around) > RECORD_DEPTH_MAX {
        return Err(AppendError::TooLarge);
    }
    if map.repeats() {
        return Err(AppendError::Malformed("a field was put twice"));
    }
    Ok(())
}

/// A poisoned lock is taken all the same: every critical section leaves its state whole before anything can panic.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
