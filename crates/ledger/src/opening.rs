//! Opening: what the ledger stands on, and what recovery owes before anybody has it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};

use seal::frame::{SEGMENT_HEADER_BYTES, SegmentHeader};
use seal::note::{Algorithm, Signer, VerifierKey};
use seal::tree::Frontier;
use vocab::{RunId, Seq, Tick};
use zeroize::Zeroizing;

use crate::clock::{Clock, Random, random};
use crate::commit::{Commit, Pace, Progress, Published};
use crate::config::{Config, Ended, OpenError, Recovery};
use crate::disk::Disk;
use crate::draft::{Draft, Kind, Map, OwnText};
use crate::inner::{Core, Inner, Spare, lock};
use crate::keeper::Keeper;
use crate::keys::{self, CHECKPOINT_FILE, CHECKPOINT_NEXT_FILE, EpochKey, GatewayKey, RunKeys};
use crate::model::Model;
use crate::read::Store;
use crate::receipt::Watermark;
use crate::recover::{self, OpenRun, Scan};
use crate::segments::{self, Paths};
use crate::tiles::Tiles;
use crate::witnesses::Turn;

/// Reads and repairs what is there, or makes a new ledger; writes what recovery owes.
pub(crate) fn open(
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
    keys::finish_erasure(&*disk, &config.keys)?;
    let run_keys = RunKeys::load(&*disk, &config.keys)?;
    let gateway = GatewayKey::load_or_make(&*disk, &config.keys, &run_keys, &*random)?;
    let ground = match recover::scan(&*disk, &paths)? {
        Some(scan) => Ground::found(&config, &*disk, &paths, &*clock, scan)?,
        None => Ground::fresh(&config, &*disk, &paths, &*clock, &*random)?,
    };
    let Ground { origin, first_key, commit, after, turns, owed, spare } = ground;
    let watermark = Arc::new(Watermark::new(commit.model.next(), config.durability));
    let core = Core::at(&commit, 0, spare);
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
        herald: OnceLock::new(),
        published: Mutex::new(published),
        published_changed: Condvar::new(),
        shown: Mutex::default(),
        turns: Mutex::new(turns),
        first_key,
        preparing: Mutex::new(()),
        keeper: Mutex::new(keeper),
        keeper_asked: Mutex::new(false),
        keeper_wake: Condvar::new(),
        ciphers: RwLock::default(),
        run_keys: Mutex::new(run_keys),
        gateway,
        // Replaced before anybody has the ledger: `settle_debts` turns the epoch.
        prints: RwLock::new(Arc::new(EpochKey::new(0, &[0; 32]))),
        threads,
        real_time: std::sync::atomic::AtomicBool::new(false),
        busy: std::sync::atomic::AtomicBool::new(false),
        _lock: locked,
    };
    let recovery = settle_debts(&inner, after, owed)?;
    Ok((inner, recovery))
}

/// What the ledger stands on when it is opened.
struct Ground {
    origin: String,
    first_key: VerifierKey,
    commit: Commit,
    /// The checkpoint key after the next checkpoint and the record that names it, if a crash left the ratchet half turned.
    after: Option<(u64, Signer)>,
    turns: Vec<Turn>,
    owed: Owed,
    spare: Spare,
}

/// What recovery must still write.
struct Owed {
    fresh: bool,
    records: u64,
    adopted: u64,
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
            Some(key) => Some((scan.next_key_seq, recover::load_signer(disk, &config.keys, key)?)),
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
            let sizes = (scan.size, config.segment_bytes);
            segments::copy_segment(disk, paths, scan.segment, &scan.prefix, sizes)
        };
        let file = file.map_err(|error| io_error(&path, error))?;
        let end = scan.prefix.len() as u64;
        let spare = spare_for(config, disk, paths, scan.size - end >= scan.size / 2)?;
        let owed = Owed {
            fresh: false,
            records: scan.model.next(),
            adopted: scan.model.next() - scan.signed,
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
            pace: Pace::default(),
        };
        let (origin, first_key, turns) = (scan.origin, scan.first_key, scan.turns);
        Ok(Ground { origin, first_key, commit, after, turns, owed, spare })
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
        let first_key = signer.verifier_key().clone();
        let fail = |error| io_error(&paths.segments, error);
        let header = SegmentHeader { number: 0, first_seq: 0, first_batch: 0, origin: origin.clone() };
        let (file, size) =
            segments::first_segment(disk, paths, &header, config.segment_bytes).map_err(fail)?;
        let commit = Commit {
            segment: 0,
            file,
            size,
            end: SEGMENT_HEADER_BYTES as u64,
            before: Frontier::new(),
            next_batch: 0,
            batch_open: false,
            model: Model::default(),
            signer,
            signed: 0,
            signed_at: clock.tick(),
            pace: Pace::default(),
        };
        let owed = Owed {
            fresh: true,
            records: 0,
            adopted: 0,
            torn: 0,
            epoch: 0,
            open: HashMap::new(),
            erased: Vec::new(),
        };
        let (after, turns, spare) = (None, Vec::new(), Spare::Missing);
        Ok(Ground { origin, first_key, commit, after, turns, owed, spare })
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
fn spare_for(config: &Config, disk: &dyn Disk, paths: &Paths, roomy: bool) -> Result<Spare, OpenError> {
    let fail = |error| io_error(&paths.segments, error);
    if segments::find_spare(disk, paths, config.segment_bytes).map_err(fail)? {
        return Ok(Spare::Ready);
    }
    if roomy {
        return Ok(Spare::Missing);
    }
    // Without room for it the ledger opens all the same, for what it owes; nothing new is admitted.
    Ok(match segments::prepare_spare(disk, paths, config.segment_bytes, segments::Pieces::Whole) {
        Ok(()) => Spare::Ready,
        Err(error) => Spare::Refused { error: error.to_string(), retry: Tick(0) },
    })
}

/// Writes what recovery owes, in order, and makes it durable.
fn settle_debts(inner: &Inner, after: Option<(u64, Signer)>, owed: Owed) -> Result<Recovery, OpenError> {
    if owed.adopted > 0 || after.is_some() {
        // Before anything joins what is adopted: a start that dies here leaves the next one no more than it found.
        catch_up(inner)?;
    }
    if let Some((seq, after)) = after {
        // The first checkpoint over the epoch's record was signed with the old key, each later one is with the new.
        let published = lock(&inner.published).clone();
        inner.turned(seq, &published);
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
        adopted: owed.adopted,
        ..Recovery::default()
    };
    let draft = Draft::new(Kind::Start)
        .put("version", OwnText(&inner.config.version))
        .put("config", inner.config.config)
        .put("policy", inner.config.policy)
        .put("durability", inner.config.durability)
        .put("recovered", owed.records)
        .put("adopted", owed.adopted)
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
    let left: HashSet<RunId> = run_keys.runs().collect();
    for run in owed.erased.into_iter().filter(|run| left.contains(run)) {
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
        let core = lock(&inner.core);
        let short = matches!(core.spare, Spare::Missing) && !core.half_left();
        drop(core);
        if short {
            inner.prepare();
        }
    }
}

fn io_error(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), error }
}
