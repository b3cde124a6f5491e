//! Opening, appending, closing: the ledger as the gateway uses it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mask::Print;
use seal::frame::{SEGMENT_HEADER_BYTES, SegmentHeader};
use seal::note::{Algorithm, SignedNote, Signer};
use seal::tree::Frontier;
use vocab::{Class, Durability, RunId, Seq, Tick};
use zeroize::Zeroizing;

use crate::clock::{Clock, NoRandom, Random, random};
use crate::commit::{Commit, Progress, Published};
use crate::config::{AppendError, Config, Ended, Missed, NotAdmitted, OpenError, Recovery, RunError, Status};
use crate::disk::Disk;
use crate::draft::{Commitment, Draft, Kind, Map, Name, Opening, OwnText, Recordable};
use crate::inner::{Core, Inner, Spare, State, lock, read};
use crate::keeper::Keeper;
use crate::keys::{self, CHECKPOINT_FILE, CHECKPOINT_NEXT_FILE, EpochKey, GatewayKey, RunKeys};
use crate::limits::{KEEPER_MILLIS, RUNS_OPEN_MAX};
use crate::model::Model;
use crate::read::Store;
use crate::receipt::{Lost, Receipt, Watermark};
use crate::recover::{self, OpenRun, Scan};
use crate::segments::{self, Paths};
use crate::tiles::Tiles;

/// The ledger of one gateway process. Cloning gives another handle to the same ledger.
///
/// Dropping the last handle ends the threads and writes nothing; what is not durable then is lost to its receipts.
/// End with [`Ledger::shutdown`].
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
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
    /// gateway dies in between, opening the ledger finishes it. Blocks.
    pub fn erase_run(&self, run: RunId, who: &Name, why: impl Recordable) -> Result<(), RunError> {
        let inner = &*self.inner;
        if lock(&inner.core).runs.contains_key(&run) {
            return Err(RunError::StillOpen);
        }
        let draft = Draft::new(Kind::Tombstone).put("subject", run).put("who", who.clone()).put("why", why);
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
        let mut core = lock(&self.inner.core);
        match missed {
            Missed::Refused => core.refused += 1,
            Missed::Cut => core.cut += 1,
        }
    }

    /// The ledger's name.
    pub fn origin(&self) -> &str {
        &self.inner.origin
    }

    pub fn durability(&self) -> Durability {
        self.inner.config.durability
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
    fn warning(&self) -> Option<String> {
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
    Ok(vec![named("ledger-commit", commit_loop)?, named("ledger-keep", keep_loop)?])
}

fn inner_path(name: &str) -> std::path::PathBuf {
    Path::new("thread").join(name)
}

fn commit_loop(inner: &Inner) {
    loop {
        while inner.commit_once() == Progress::Wrote {}
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
    loop {
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

fn open(
    config: Config,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    threads: bool,
) -> Result<(Inner, Recovery), OpenError> {
    config.check()?;
    let paths = Paths::new(&config.dir);
    for dir in [&paths.root, &paths.segments, &config.keys] {
        disk.create_dir(dir).map_err(|error| io_error(dir, error))?;
    }
    let locked = disk.lock(&paths.lock()).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked(paths.root.clone()),
        _ => io_error(&paths.lock(), error),
    })?;
    segments::remove_staged(&*disk, &paths).map_err(|error| io_error(&paths.segments, error))?;
    let run_keys = RunKeys::load(&*disk, &config.keys)?;
    let gateway = GatewayKey::load_or_make(&*disk, &config.keys, &run_keys, &*random)?;
    let ground = match recover::scan(&*disk, &paths)? {
        Some(scan) => Ground::found(&config, &*disk, &paths, &*clock, scan)?,
        None => Ground::fresh(&config, &*disk, &paths, &*clock, &*random)?,
    };
    let Ground { origin, commit, after, owed, spare } = ground;
    let watermark = Arc::new(Watermark::new(commit.model.next(), config.durability));
    let core = Core::at(&commit.model, 0, commit.size.saturating_sub(commit.end), spare);
    let published = Published { size: commit.signed, note: Vec::new() };
    let store = Store::live(disk.clone(), paths.clone(), origin.clone(), watermark.clone());
    let keeper = Keeper {
        epoch: owed.epoch,
        epoch_since: clock.tick(),
        turning: None,
        beat_at: clock.tick(),
        tiles: Tiles::new(store.cursor(), &paths.root),
        warning: None,
    };
    let inner = Inner {
        config,
        origin,
        paths,
        disk,
        clock,
        random,
        watermark,
        core: Mutex::new(core),
        work: Condvar::new(),
        commit: Mutex::new(commit),
        published: Mutex::new(published),
        published_changed: Condvar::new(),
        preparing: Mutex::new(()),
        keeper: Mutex::new(keeper),
        keeper_asked: Mutex::new(false),
        keeper_wake: Condvar::new(),
        ciphers: RwLock::new(HashMap::new()),
        run_keys: Mutex::new(run_keys),
        gateway,
        // Replaced before anybody has the ledger: `settle_debts` turns the epoch.
        prints: RwLock::new(Arc::new(EpochKey::new(0, &[0; 32]))),
        threads,
        _lock: locked,
    };
    let recovery = settle_debts(&inner, after, owed)?;
    Ok((inner, recovery))
}

/// What the ledger stands on when it is opened.
struct Ground {
    origin: String,
    commit: Commit,
    /// The checkpoint key after the next checkpoint, if a crash left the ratchet half turned.
    after: Option<Signer>,
    owed: Owed,
    spare: Spare,
}

/// What recovery must still write.
struct Owed {
    fresh: bool,
    records: u64,
    torn: u64,
    epoch: u64,
    open: HashMap<RunId, OpenRun>,
    erased: Vec<RunId>,
}

impl Ground {
    fn found(
        config: &Config,
        disk: &dyn Disk,
        paths: &Paths,
        clock: &dyn Clock,
        scan: Scan,
    ) -> Result<Ground, OpenError> {
        if let Some(configured) = config.origin.as_ref().filter(|origin| **origin != scan.origin) {
            return Err(OpenError::Origin { found: scan.origin, configured: configured.clone() });
        }
        let signer = recover::load_signer(disk, &config.keys, &scan.key)?;
        let after = match &scan.next_key {
            Some(key) => Some(recover::load_signer(disk, &config.keys, key)?),
            None => {
                // The last ratchet is complete in the ledger; complete it in the files.
                if is_next_key(disk, config, &signer)? {
                    keys::promote_checkpoint_key(disk, &config.keys)?;
                }
                None
            }
        };
        let segments = &paths.segments;
        disk.sync_dir(segments).map_err(|error| io_error(segments, error))?;
        // A gateway that died may have left blocks that only the page cache has. They get a file of their own.
        let path = paths.segment(scan.segment);
        let file = if scan.clean {
            disk.open(&path)
        } else {
            segments::copy_segment(disk, paths, scan.segment, &scan.prefix, scan.size)
        };
        let file = file.map_err(|error| io_error(&path, error))?;
        let end = scan.prefix.len() as u64;
        let spare = spare_for(config, disk, paths, scan.size - end)?;
        let owed = Owed {
            fresh: false,
            records: scan.model.next(),
            torn: scan.torn,
            epoch: scan.epoch,
            open: scan.open,
            erased: scan.erased,
        };
        let commit = Commit {
            segment: scan.segment,
            file,
            size: scan.size,
            end,
            before: scan.before,
            next_batch: scan.next_batch,
            batch_open: false,
            model: scan.model,
            signer,
            signed: scan.signed,
            signed_at: clock.tick(),
        };
        Ok(Ground { origin: scan.origin, commit, after, owed, spare })
    }

    /// A new ledger: an empty first segment, and a first checkpoint key that becomes the current one once the genesis
    /// record that names it is durable.
    fn fresh(
        config: &Config,
        disk: &dyn Disk,
        paths: &Paths,
        clock: &dyn Clock,
        source: &dyn Random,
    ) -> Result<Ground, OpenError> {
        let key_path = config.keys.join(CHECKPOINT_FILE);
        match disk.open_read(&key_path) {
            Ok(_) => {
                return Err(OpenError::LedgerGone { keys: config.keys.clone(), dir: config.dir.clone() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&key_path, error)),
        }
        let origin = match &config.origin {
            Some(origin) => origin.clone(),
            None => format!("tachograph/{}", keys::hex(&random::<8>(source)?)),
        };
        let seed = Zeroizing::new(random(source)?);
        keys::write_secret(disk, &config.keys.join(CHECKPOINT_NEXT_FILE), &seed)?;
        let signer = Signer::from_seed(&origin, Algorithm::Ed25519, &seed)
            .map_err(|error| OpenError::Config(format!("origin: {error}")))?;
        let fail = |error| io_error(&paths.segments, error);
        if !segments::find_spare(disk, paths, config.segment_bytes).map_err(fail)? {
            segments::prepare_spare(disk, paths, config.segment_bytes).map_err(fail)?;
        }
        let header = SegmentHeader { number: 0, first_seq: 0, first_batch: 0, origin: origin.clone() };
        let file = segments::activate_spare(disk, paths, &header).map_err(fail)?;
        let commit = Commit {
            segment: 0,
            file,
            size: config.segment_bytes,
            end: SEGMENT_HEADER_BYTES as u64,
            before: Frontier::new(),
            next_batch: 0,
            batch_open: false,
            model: Model::default(),
            signer,
            signed: 0,
            signed_at: clock.tick(),
        };
        let owed =
            Owed { fresh: true, records: 0, torn: 0, epoch: 0, open: HashMap::new(), erased: Vec::new() };
        Ok(Ground { origin, commit, after: None, owed, spare: Spare::Missing })
    }
}

/// Whether `checkpoint.next` is the key that signs now.
fn is_next_key(disk: &dyn Disk, config: &Config, signer: &Signer) -> Result<bool, OpenError> {
    match keys::read_secret(disk, &config.keys.join(CHECKPOINT_NEXT_FILE)) {
        Ok(seed) => {
            let next = Signer::from_seed(signer.verifier_key().name(), Algorithm::Ed25519, &seed);
            Ok(next.is_ok_and(|next| next.verifier_key() == signer.verifier_key()))
        }
        Err(keys::KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The spare that is there; made now only if the segment is more than half full, so that opening stays quick.
fn spare_for(config: &Config, disk: &dyn Disk, paths: &Paths, left: u64) -> Result<Spare, OpenError> {
    let fail = |error| io_error(&paths.segments, error);
    if segments::find_spare(disk, paths, config.segment_bytes).map_err(fail)? {
        return Ok(Spare::Ready);
    }
    if left >= config.segment_bytes / 2 {
        return Ok(Spare::Missing);
    }
    // Without room for it the ledger opens all the same, for what it owes; nothing new is admitted.
    Ok(match segments::prepare_spare(disk, paths, config.segment_bytes) {
        Ok(()) => Spare::Ready,
        Err(error) => Spare::Refused { error: error.to_string(), retry: Tick(0) },
    })
}

/// Writes what recovery owes, in order, and makes it durable.
fn settle_debts(inner: &Inner, after: Option<Signer>, owed: Owed) -> Result<Recovery, OpenError> {
    if let Some(after) = after {
        // The first checkpoint over the epoch's record is signed with the old key, each later one with the new.
        catch_up(inner)?;
        lock(&inner.commit).signer = after;
        keys::promote_checkpoint_key(&*inner.disk, &inner.config.keys)?;
    }
    if owed.fresh {
        let key = lock(&inner.commit).signer.verifier_key().to_string();
        let draft = Draft::new(Kind::Genesis)
            .put("origin", OwnText(&inner.origin))
            .put("key", OwnText(&key))
            .put("version", OwnText(&inner.config.version));
        append(inner, draft)?;
        catch_up(inner)?;
        keys::promote_checkpoint_key(&*inner.disk, &inner.config.keys)?;
    }
    let mut recovery = Recovery {
        origin: inner.origin.clone(),
        fresh: owed.fresh,
        records: owed.records,
        torn: owed.torn,
        ..Recovery::default()
    };
    let draft = Draft::new(Kind::Start)
        .put("version", OwnText(&inner.config.version))
        .put("config", inner.config.config)
        .put("policy", inner.config.policy)
        .put("durability", inner.config.durability)
        .put("recovered", owed.records)
        .put("torn", owed.torn);
    append(inner, draft)?;
    let mut interrupted: Vec<(RunId, OpenRun)> = owed.open.into_iter().collect();
    interrupted.sort_by_key(|(run, _)| *run);
    for (run, left) in interrupted {
        recovery.indeterminate += interrupt(inner, run, &left)?;
        recovery.interrupted.push(run);
    }
    let mut keeper = lock(&inner.keeper);
    inner.begin_epoch(&mut keeper).map_err(|error| OpenError::Write(error.to_string()))?;
    catch_up(inner)?;
    inner.finish_epoch(&mut keeper)?;
    if keeper.turning.is_some() {
        return Err(OpenError::Write("the epoch's record did not become durable".to_owned()));
    }
    drop(keeper);
    let mut run_keys = lock(&inner.run_keys);
    for run in owed.erased {
        run_keys.erase(&*inner.disk, run)?;
    }
    Ok(recovery)
}

/// Ends a run that a crash left open: nobody claims that an effect did or did not happen.
fn interrupt(inner: &Inner, run: RunId, left: &OpenRun) -> Result<u64, OpenError> {
    for intent in &left.intents {
        append(inner, indeterminate(run, *intent))?;
    }
    if let Some(last) = left.pending.last() {
        let settles: Vec<Seq> = left.pending.iter().map(|seq| Seq(*seq)).collect();
        let draft = indeterminate(run, *last).put("settles", settles).put("settled", "indeterminate");
        append(inner, draft)?;
    }
    let _receipt =
        inner.close(run, Ended::Interrupted, None).map_err(|error| OpenError::Write(error.to_string()))?;
    catch_up(inner)?;
    Ok((left.intents.len() + left.pending.len()) as u64)
}

fn indeterminate(run: RunId, intent: u64) -> Draft {
    Draft::new(Kind::Outcome)
        .run(run)
        .of(Seq(intent))
        .put("result", "indeterminate")
        .put("state", "final")
        .put("rows", 0u64)
        .put("bytes", 0u64)
        .put("exposures", Vec::<Map>::new())
        .put("tripwires", Vec::<Map>::new())
        .put("coverage", "partial: interrupted")
}

/// Appends while nobody else has the ledger; a full queue is written out first.
fn append(inner: &Inner, draft: Draft) -> Result<(), OpenError> {
    if lock(&inner.core).queue.len() >= 1024 {
        catch_up(inner)?;
    }
    // Nobody waits for this receipt: `catch_up` is what makes it durable, or fails.
    let _receipt = inner.append(draft, None).map_err(|error| OpenError::Write(error.to_string()))?;
    Ok(())
}

/// Writes everything that waits, with a checkpoint over it.
fn catch_up(inner: &Inner) -> Result<(), OpenError> {
    lock(&inner.core).checkpoint_wanted = true;
    loop {
        match inner.commit_once() {
            Progress::Wrote => {}
            Progress::Idle => return Ok(()),
            Progress::Failed => {
                let core = lock(&inner.core);
                let why = core.warning().unwrap_or_default();
                return Err(OpenError::Write(why));
            }
        }
        if matches!(lock(&inner.core).spare, Spare::Missing)
            && lock(&inner.core).left < inner.config.segment_bytes / 2
        {
            inner.prepare();
        }
    }
}

fn io_error(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), error }
}
