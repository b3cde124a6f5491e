//! Durable appends per second, and their latency:
//! `cargo run --release -p ledger --example bench_append [DIR or -] [SECONDS] [raw]`.
//!
//! Closed-loop writers, each waiting for its receipt, 1 KiB records. Beside them what there was to have: one thread that
//! syncs 4 KiB at a time, and a group commit of as many bytes and waiters that does nothing else (no place, no hash, no
//! record). `raw`: those two alone. For programs, each figure is also a line `figure NAME NUMBER`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ledger::{
    AppendError, Config, Disk, DiskFile, Draft, Kind, Ledger, Name, NotAdmitted, RealDisk, Receipt, RunError,
    SystemClock, SystemRandom,
};
use vocab::{Durability, RunId};

type Error = Box<dyn std::error::Error + Send + Sync>;

const RECORD_BYTES: usize = 1 << 10;
/// Preallocated, and written again from its start.
const RAW_BYTES: usize = 16 << 20;
const WAITERS: [usize; 3] = [1, 8, 32];

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().filter(|dir| dir != "-").map_or_else(
        || std::env::temp_dir().join(format!("bench_append-{}", std::process::id())),
        PathBuf::from,
    );
    let seconds = arguments.next().map_or(Ok(2.0), |seconds| seconds.parse::<f64>())?;
    let raw_alone = arguments.next().is_some_and(|word| word == "raw");
    println!("mode   waiters    appends/s    p50 us    p99 us");
    let raw = raw_syncs(&dir.join("raw"), seconds)?;
    row("raw", 1, &raw);
    println!("figure raw-p50-us {}", raw.percentile(0.5));
    for waiters in WAITERS {
        let group = group_commit(&dir.join("group"), waiters, seconds)?;
        row("group", waiters, &group);
        if !raw_alone {
            for (mode, durability) in [("sync", Durability::Sync), ("os", Durability::Os)] {
                let measured = appends(&dir.join(format!("{mode}-{waiters}")), durability, waiters, seconds)?;
                row(mode, waiters, &measured);
            }
        }
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

struct Measured {
    per_second: f64,
    /// Sorted, in microseconds.
    latencies: Vec<f64>,
}

impl Measured {
    fn of(mut latencies: Vec<f64>, took: Duration) -> Measured {
        latencies.sort_by(f64::total_cmp);
        Measured { per_second: latencies.len() as f64 / took.as_secs_f64(), latencies }
    }

    fn percentile(&self, p: f64) -> f64 {
        let at = (self.latencies.len() as f64 * p) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }
}

fn row(mode: &str, waiters: usize, measured: &Measured) {
    let (p50, p99) = (measured.percentile(0.5), measured.percentile(0.99));
    println!("{mode:<6} {waiters:>7} {:>12.0} {p50:>9.0} {p99:>9.0}", measured.per_second);
    println!("figure {mode}-{waiters} {}", measured.per_second);
}

fn appends(dir: &Path, durability: Durability, writers: usize, seconds: f64) -> Result<Measured, Error> {
    let mut config = Config::new(dir.join("ledger"), dir.join("keys"), "bench");
    config.durability = durability;
    let (ledger, _) = Ledger::open(config, RealDisk, SystemClock::new(), SystemRandom::new())?;
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let threads: Vec<_> = (0..writers)
        .map(|_| {
            let (ledger, stop) = (ledger.clone(), stop.clone());
            thread::spawn(move || writer(&ledger, &stop))
        })
        .collect();
    thread::sleep(Duration::from_secs_f64(seconds));
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for thread in threads {
        latencies.extend(thread.join().map_err(|_| "a writer panicked")??);
    }
    let measured = Measured::of(latencies, begun.elapsed());
    ledger.shutdown("bench")?;
    Ok(measured)
}

fn writer(ledger: &Ledger, stop: &AtomicBool) -> Result<Vec<f64>, Error> {
    let run = open_run(ledger)?;
    let mut latencies = Vec::with_capacity(1 << 20);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let _durable = append(ledger, run)?.wait()?;
        latencies.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(latencies)
}

/// Others may have filled half of the first segment before this one begins: then it waits until the next one is ready.
fn open_run(ledger: &Ledger) -> Result<RunId, Error> {
    let name = Name::configured("bench").ok_or("a name")?;
    loop {
        match ledger.open_run(Draft::new(Kind::Open).put("human", name.clone())) {
            Ok((run, opened)) => {
                let _durable = opened.wait()?;
                return Ok(run);
            }
            Err(RunError::Append(AppendError::NotAdmitted(NotAdmitted::Preparing))) => thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A record of about 1 KiB. A full queue or a segment that is not ready is waited for, and counts as latency.
fn append(ledger: &Ledger, run: RunId) -> Result<Receipt, Error> {
    const TEXT: &str =
        "select c.id, c.name, o.total from customers c join orders o on o.customer = c.id where o.id = ?";
    loop {
        let draft = Draft::new(Kind::Note).run(run).put("what", "bench").put("detail", [TEXT; 8]);
        match ledger.append(draft) {
            Ok(receipt) => return Ok(receipt),
            Err(AppendError::Full) => std::thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
}

fn raw_syncs(dir: &Path, seconds: f64) -> Result<Measured, Error> {
    let file = preallocated(dir)?;
    let (begun, mut latencies, block) = (Instant::now(), Vec::new(), vec![7; 4096]);
    while begun.elapsed().as_secs_f64() < seconds {
        let offset = latencies.len() * block.len() % RAW_BYTES;
        let once = Instant::now();
        file.write_at(&block, offset as u64)?;
        file.sync_data()?;
        latencies.push(once.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Measured::of(latencies, begun.elapsed()))
}

fn preallocated(dir: &Path) -> Result<Box<dyn DiskFile>, Error> {
    RealDisk.create_dir(dir)?;
    let path = dir.join("file");
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let file = RealDisk.create(&path)?;
    file.write_at(&vec![0; RAW_BYTES], 0)?;
    file.sync_data()?;
    Ok(file)
}

/// Whoever waits for the next sync, and how many records that is.
#[derive(Default)]
struct Queue {
    records: usize,
    waiting: Vec<(Thread, Arc<AtomicBool>)>,
}

/// The least that shares syncs: waiters queue 1 KiB each, one thread writes what is there and syncs, again and again.
fn group_commit(dir: &Path, waiters: usize, seconds: f64) -> Result<Measured, Error> {
    let file = preallocated(dir)?;
    let queue = Mutex::new(Queue::default());
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let mut latencies = Vec::new();
    let (queue, stop) = (&queue, &stop);
    thread::scope(|scope| -> Result<(), Error> {
        let committer = scope.spawn(|| commit_loop(&*file, queue, stop));
        let threads: Vec<_> = (0..waiters)
            .map(|_| {
                let committer = committer.thread().clone();
                scope.spawn(move || wait_loop(queue, stop, &committer))
            })
            .collect();
        thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            latencies.extend(thread.join().map_err(|_| "a waiter panicked")?);
        }
        committer.thread().unpark();
        committer.join().map_err(|_| "the committer panicked")?
    })?;
    Ok(Measured::of(latencies, begun.elapsed()))
}

fn commit_loop(file: &dyn DiskFile, queue: &Mutex<Queue>, stop: &AtomicBool) -> Result<(), Error> {
    let mut at = 0;
    loop {
        let taken = std::mem::take(&mut *lock(queue));
        if taken.records == 0 {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::park_timeout(Duration::from_millis(10));
            continue;
        }
        let bytes = vec![7; taken.records * RECORD_BYTES];
        if at + bytes.len() > RAW_BYTES {
            at = 0;
        }
        file.write_at(&bytes, at as u64)?;
        file.sync_data()?;
        at += bytes.len();
        for (thread, done) in taken.waiting {
            done.store(true, Ordering::Release);
            thread.unpark();
        }
    }
}

fn wait_loop(queue: &Mutex<Queue>, stop: &AtomicBool, committer: &Thread) -> Vec<f64> {
    let mut latencies = Vec::with_capacity(1 << 18);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let done = Arc::new(AtomicBool::new(false));
        let first = {
            let mut queue = lock(queue);
            queue.records += 1;
            queue.waiting.push((thread::current(), done.clone()));
            queue.records == 1
        };
        if first {
            committer.unpark();
        }
        while !done.load(Ordering::Acquire) {
            thread::park_timeout(Duration::from_millis(10));
        }
        latencies.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    latencies
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
