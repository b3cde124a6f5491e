//! Appends one record after the other and prints each number once it is durable, until it is killed.
//!
//! `append_loop DIR [sync|os|none]`: `none` is a disk whose syncs do nothing, for tests that must notice.

use std::io::{self, Write};
use std::path::Path;

use ledger::{
    AppendError, Config, Disk, DiskFile, Draft, Kind, Ledger, Name, NotAdmitted, RealDisk, RunError,
    SystemClock, SystemRandom,
};
use vocab::Durability;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: append_loop DIR [sync|os|none]")?;
    let mode = arguments.next().unwrap_or_else(|| "sync".to_owned());
    let mut config = Config::new(Path::new(&dir).join("ledger"), Path::new(&dir).join("keys"), "append_loop");
    config.segment_bytes = 256 << 10;
    config.durability = if mode == "os" { Durability::Os } else { Durability::Sync };
    let (clock, random) = (SystemClock::new(), SystemRandom::new());
    let (ledger, _) = match mode.as_str() {
        "none" => Ledger::open(config, NoSync, clock, random)?,
        _ => Ledger::open(config, RealDisk, clock, random)?,
    };
    let mut out = io::stdout();
    let name = |text| Name::configured(text).ok_or("a name");
    let (run, receipt) = loop {
        let open = Draft::new(Kind::Open).put("human", name("test")?).put("agent", name("loop")?);
        match ledger.open_run(open) {
            Ok(opened) => break opened,
            Err(RunError::Append(AppendError::NotAdmitted(NotAdmitted::Preparing))) => {
                std::thread::yield_now()
            }
            Err(error) => return Err(error.into()),
        }
    };
    let _durable = receipt.wait()?;
    for n in 0u64.. {
        let receipt = match ledger.append(Draft::new(Kind::Note).run(run).put("what", "loop").put("n", n)) {
            Ok(receipt) => receipt,
            Err(AppendError::Full) => {
                std::thread::yield_now();
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let durable = receipt.wait()?;
        // One `write` for one acknowledgement: a syscall trace can be read.
        out.write_all(format!("acked {} {n}\n", durable.seq().0).as_bytes())?;
    }
    Ok(())
}

/// The mutant: it writes and never syncs.
struct NoSync;

struct NoSyncFile(Box<dyn DiskFile>);

impl DiskFile for NoSyncFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(out, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

impl Disk for NoSync {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NoSyncFile(RealDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NoSyncFile(RealDisk.open(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(path)
    }
}
