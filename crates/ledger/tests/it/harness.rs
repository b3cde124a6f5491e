//! A ledger on a simulated disk, stepped by the test, and what every test asks of it afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::keys::AuditorSecret;
use ledger::read::{Entry, Store};
use ledger::sim::{SimClock, SimDisk, SimRandom};
use ledger::{
    AuditorKey, Config, Draft, Kind, Ledger, Name, OpenError, Receipt, Recovery, SystemRandom, limits,
};
use seal::verify::{Finding, Known, Options, Report, Verifier};
use vocab::{RunId, Seq};

pub const DIR: &str = "/data/ledger";
pub const KEYS: &str = "/keys";

/// A simulated machine.
pub struct Rig {
    pub disk: SimDisk,
    pub clock: SimClock,
    pub random: Arc<SimRandom>,
    pub config: Config,
}

impl Rig {
    pub fn new(seed: u64) -> Rig {
        let mut config = Config::new(DIR, KEYS, "test");
        config.segment_bytes = limits::SEGMENT_BYTES_MIN;
        config.origin = Some("test/ledger".to_owned());
        Rig {
            disk: SimDisk::new(seed),
            clock: SimClock::new(),
            random: Arc::new(SimRandom::new(seed)),
            config,
        }
    }

    pub fn with_auditors(mut self, auditors: &[&AuditorSecret]) -> Rig {
        self.config.auditors = auditors.iter().map(|auditor| auditor.public()).collect::<Vec<AuditorKey>>();
        self
    }

    pub fn try_open(&self) -> Result<(Ledger, Recovery), OpenError> {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(self.clock.clone()));
        Ledger::open_stepped(self.config.clone(), disk, clock, self.random.clone())
    }

    pub fn open(&self) -> Ledger {
        self.try_open().unwrap().0
    }

    pub fn segments(&self) -> Vec<(u64, Vec<u8>)> {
        segments_of(&self.disk)
    }

    pub fn verify(&self) -> Result<Report, Finding> {
        verify(&self.segments(), Options::default())
    }

    /// The `checkpoint` file, as somebody might hold it elsewhere.
    pub fn held_checkpoint(&self) -> Result<Option<Known>, String> {
        let content = self.disk.content(&Path::new(DIR).join("checkpoint"));
        content
            .map(|note| Known::parse(&note).map_err(|_| "the published checkpoint is torn".to_owned()))
            .transpose()
    }

    pub fn entries(&self) -> Vec<Entry> {
        let store = Store::on(Arc::new(self.disk.clone()), Path::new(DIR)).unwrap();
        entries(&store)
    }

    /// Writes the ledger's directory to a real one.
    pub fn export(&self, to: &Path) {
        for path in self.disk.files() {
            let Ok(relative) = path.strip_prefix(DIR) else { continue };
            let target = to.join(relative);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, self.disk.content(&path).unwrap()).unwrap();
        }
    }
}

pub fn entries(store: &Store) -> Vec<Entry> {
    let mut cursor = store.cursor();
    std::iter::from_fn(|| cursor.next_entry().unwrap()).collect()
}

pub fn segments_of(disk: &SimDisk) -> Vec<(u64, Vec<u8>)> {
    let mut segments = BTreeMap::new();
    for path in disk.files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(number) = name.strip_suffix(".seg") {
            segments.insert(number.parse().unwrap(), disk.content(&path).unwrap());
        }
    }
    segments.into_iter().collect()
}

/// The judgement of the verifier that others use.
pub fn verify(segments: &[(u64, Vec<u8>)], options: Options) -> Result<Report, Finding> {
    let mut verifier = Verifier::new(options);
    for (i, (number, bytes)) in segments.iter().enumerate() {
        verifier.push_segment(*number, bytes, i + 1 == segments.len())?;
    }
    verifier.finish()
}

/// The segments of a real directory.
pub fn segments_in(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut segments = BTreeMap::new();
    for entry in std::fs::read_dir(dir.join("segment")).unwrap() {
        let path = entry.unwrap().path();
        if let Some(number) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".seg") {
            segments.insert(number.parse().unwrap(), std::fs::read(&path).unwrap());
        }
    }
    segments.into_iter().collect()
}

/// The independent verifier over a ledger's directory. `None` where there is no Python.
pub fn verify_py(dir: &Path) -> Option<(i32, String)> {
    let script = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../contrib/verify.py");
    let output = std::process::Command::new("python3").arg(script).arg(dir).output().ok()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.code()?, text))
}

/// A directory that goes away with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ledger-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn auditor() -> AuditorSecret {
    AuditorSecret::generate(&SystemRandom::new()).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::configured(text).unwrap()
}

pub fn open_draft() -> Draft {
    Draft::new(Kind::Open)
        .put("human", name("alice"))
        .put("by", name("alice"))
        .put("agent", name("support"))
        .put("confined", true)
        .put("argv", Vec::<Name>::new())
        .put("uid", 1000u32)
}

/// Opens a run and makes it durable.
pub fn open_run(ledger: &Ledger) -> RunId {
    let (run, receipt) = ledger.open_run(open_draft()).unwrap();
    ledger.step_commit();
    let _ = receipt.wait().unwrap();
    run
}

pub fn intent(run: RunId) -> Draft {
    Draft::new(Kind::Intent).run(run).put("via", "query").put("verdict", "allow")
}

pub fn outcome(run: RunId, of: Seq) -> Draft {
    Draft::new(Kind::Outcome).run(run).of(of).put("result", "ok").put("state", "final").put("rows", 1u64)
}

pub fn note(run: RunId, n: u64) -> Draft {
    Draft::new(Kind::Note).run(run).put("what", "test").put("n", n)
}

/// Appends and makes durable.
pub fn durable(ledger: &Ledger, draft: Draft) -> Seq {
    let receipt = ledger.append(draft).unwrap();
    while ledger.step_commit() {}
    settle(receipt)
}

pub fn settle(receipt: Receipt) -> Seq {
    receipt.wait().unwrap().seq()
}
