//! Durable appends per second, and their latency: `cargo run --release -p ledger --example bench_append [DIR] [SECONDS]`.
//!
//! Closed-loop writers, each waiting for its receipt, 1 KiB records; then the raw disk (one thread, `pwrite` and
//! `fdatasync` of 4 KiB in a preallocated file) as the measure of what there was to have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledger::{
    AppendError, Config, Disk, Draft, Kind, Ledger, Name, RealDisk, Receipt, SystemClock, SystemRandom,
};
use vocab::{Durability, RunId};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("bench_append"), PathBuf::from);
    let seconds = arguments.next().map_or(Ok(2.0), |seconds| seconds.parse::<f64>())?;
    println!("mode   writers    appends/s    p50 us    p99 us   vs raw");
    let raw = raw_syncs(&dir.join("raw"), seconds)?;
    row("raw", 1, &raw, &raw);
    for (mode, durability) in [("sync", Durability::Sync), ("os", Durability::Os)] {
        for writers in [1, 16, 64] {
            let dir = dir.join(format!("{mode}-{writers}"));
            let measured = appends(&dir, durability, writers, seconds)?;
            row(mode, writers, &measured, &raw);
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

fn row(mode: &str, writers: usize, measured: &Measured, raw: &Measured) {
    let (p50, p99) = (measured.percentile(0.5), measured.percentile(0.99));
    let ratio = measured.per_second / raw.per_second;
    println!("{mode:<6} {writers:>7} {:>12.0} {p50:>9.0} {p99:>9.0} {ratio:>7.2}x", measured.per_second);
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
            std::thread::spawn(move || writer(&ledger, &stop))
        })
        .collect();
    std::thread::sleep(Duration::from_secs_f64(seconds));
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
    let name = Name::configured("bench").ok_or("a name")?;
    let (run, opened) = ledger.open_run(Draft::new(Kind::Open).put("human", name))?;
    let _durable = opened.wait()?;
    let mut latencies = Vec::with_capacity(1 << 20);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let _durable = append(ledger, run)?.wait()?;
        latencies.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(latencies)
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
    RealDisk.create_dir(dir)?;
    let file = RealDisk.create(&dir.join("file"))?;
    let size = 16 << 20;
    file.write_at(&vec![0; size], 0)?;
    file.sync_data()?;
    let (begun, mut latencies, block) = (Instant::now(), Vec::new(), vec![7; 4096]);
    while begun.elapsed().as_secs_f64() < seconds {
        let offset = latencies.len() * block.len() % size;
        let once = Instant::now();
        file.write_at(&block, offset as u64)?;
        file.sync_data()?;
        latencies.push(once.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Measured::of(latencies, begun.elapsed()))
}
