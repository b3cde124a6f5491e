//! The record, read from its directory or from a bundle: the index over it, what is known of its chain, the keys at hand.
//!
//! Works without a gateway. With one, each look is written into the ledger first, through the gateway's own socket.

use std::path::{Path, PathBuf};

use answers::{
    BundleReels, Cannot, Chain, Desk, Holder, NoReel, ProofLine, RecordCount, Reels, Sealed, StoreReels,
    Watch,
};
use index::{Bundle, Follower, Index};
use ledger::RealDisk;
use ledger::keys::{AuditorSecret, GatewayKey, RunKey, RunKeys};
use ledger::read::Store;
use seal::note::VerifierKey;
use seal::verify::{Options, Report};
use vocab::{RunId, Seq, WallTime};

use crate::fault::{Exit, Failure};

/// What is read.
enum Source {
    Ledger { store: Store, follower: Box<Follower> },
    Bundle(Box<Bundle>),
}

/// The record as it stood when it was opened.
pub struct Book {
    source: Source,
    origin: String,
    chain: Chain,
    keys: Keys,
    witnesses: Vec<VerifierKey>,
}

/// The keys at hand: each opens what it opens, and none is needed to read what is not sealed.
#[derive(Default)]
pub struct Keys {
    pub auditor: Option<AuditorSecret>,
    gateway: Option<GatewayKey>,
    runs: Option<RunKeys>,
}

impl Keys {
    /// Those in the gateway's directory of keys, as far as this user may read them, and the auditor's.
    pub fn load(dir: Option<&Path>, auditor: Option<AuditorSecret>) -> Keys {
        let Some(dir) = dir else { return Keys { auditor, gateway: None, runs: None } };
        Keys {
            auditor,
            gateway: GatewayKey::load(&RealDisk, dir).ok(),
            runs: RunKeys::load(&RealDisk, dir).ok(),
        }
    }

    fn holder(&self) -> Option<Holder<'_>> {
        self.gateway.as_ref().map(Holder::Gateway).or_else(|| self.auditor.as_ref().map(Holder::Auditor))
    }
}

impl Book {
    /// Opens a ledger's directory, the data directory around it, or a bundle. `witnesses`: those of the configuration.
    /// `live`: it is the configured ledger, which a gateway may be writing; any other must be whole.
    pub fn open(path: &Path, keys: Keys, witnesses: Vec<VerifierKey>, live: bool) -> Result<Book, Failure> {
        if let Err(error) = std::fs::metadata(path.join(LEDGER))
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            return Err(Failure::file("read", path, &error));
        }
        let path = ledger_in(path);
        let options = Options { live, witnesses, witness_optional: true, ..Options::default() };
        let verdict = verify(&path, &options)?;
        let chain = answers::chain(&verdict, &options.witnesses);
        let witnesses = options.witnesses;
        if path.is_file() {
            let origin = verdict.map(|report| report.origin).unwrap_or_default();
            let bytes = std::fs::read(&path).map_err(|e| Failure::file("read", &path, &e))?;
            let bundle =
                Bundle::read(&bytes).map_err(|e| Failure::could_not(format!("{}: {e}", path.display())))?;
            return Ok(Book { source: Source::Bundle(Box::new(bundle)), origin, chain, keys, witnesses });
        }
        let unreadable = |e: &dyn std::fmt::Display| Failure::could_not(format!("{}: {e}", path.display()));
        let store = Store::open(&path).map_err(|e| unreadable(&e))?;
        let mut follower = Follower::new(&store);
        follower.refresh().map_err(|e| unreadable(&e))?;
        let chain = match &verdict {
            Ok(report) => {
                let count = if live { RecordCount::AtLeast } else { RecordCount::Exactly };
                let stopped = follower.torn().map(|at| (at.segment, at.offset));
                chain.of_index(follower.index(), count(report.records), stopped)
            }
            Err(_) => chain,
        };
        let origin = store.origin().to_owned();
        let source = Source::Ledger { store, follower: Box::new(follower) };
        Ok(Book { source, origin, chain, keys, witnesses })
    }

    pub fn index(&self) -> &Index {
        match &self.source {
            Source::Ledger { follower, .. } => follower.index(),
            Source::Bundle(bundle) => &bundle.index,
        }
    }

    /// Why the record does not verify, if it does not.
    pub fn broken(&self) -> Option<String> {
        ProofLine::of(&self.chain).broken()
    }

    /// Those of the configuration.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn auditor(&self) -> Option<&AuditorSecret> {
        self.keys.auditor.as_ref()
    }

    /// The ledger that this is, unless it is a bundle.
    pub fn store(&self) -> Option<&Store> {
        match &self.source {
            Source::Ledger { store, .. } => Some(store),
            Source::Bundle(_) => None,
        }
    }

    /// The payload key of a run, to hand over with a bundle.
    pub fn run_key(&self, run: RunId) -> Result<RunKey, NoReel> {
        match self.store_reels() {
            Some(reels) => reels.run_key(run),
            None => Err(no_key()),
        }
    }

    /// Seats `who` and asks.
    pub fn ask<T>(
        &self,
        who: &str,
        watch: &dyn Watch,
        ask: impl FnOnce(&Desk<'_>) -> Result<T, Cannot>,
    ) -> Result<T, Failure> {
        let desk = Desk { index: self.index(), chain: &self.chain, now: now(), who, watch, reels: self };
        ask(&desk).map_err(|e| cannot(&e))
    }

    fn store_reels(&self) -> Option<StoreReels<'_>> {
        let Source::Ledger { store, follower } = &self.source else { return None };
        Some(StoreReels { store, follower, keys: self.keys.runs.as_ref()?, holder: self.keys.holder()? })
    }
}

impl Reels for Book {
    fn open(&self, run: RunId, seq: Seq) -> Result<Vec<Vec<u8>>, NoReel> {
        match &self.source {
            Source::Bundle(bundle) => BundleReels { bundle, origin: &self.origin }.open(run, seq),
            Source::Ledger { .. } => match self.store_reels() {
                Some(reels) => reels.open(run, seq),
                None => Sealed.open(run, seq),
            },
        }
    }
}

/// Verifies a ledger's directory or a bundle, with progress where a person watches.
pub fn verify(path: &Path, options: &Options) -> Result<Result<Report, seal::verify::Finding>, Failure> {
    let terminal = crate::out::on_terminal();
    let mut shown = false;
    let verdict = answers::verify(path, options, &mut |done, total| {
        if terminal && total > (256 << 20) {
            shown = true;
            eprint!("\rverifying {} of {} MiB", done >> 20, total >> 20);
        }
    });
    if shown {
        eprint!("\r\x1b[K");
    }
    verdict.map_err(|e| cannot(&e))
}

/// The ledger in a data directory, or `path` itself.
pub fn ledger_in(path: &Path) -> PathBuf {
    let below = path.join(LEDGER);
    if below.join("segment").is_dir() { below } else { path.to_owned() }
}

/// Where the ledger stands below the data directory.
pub const LEDGER: &str = "ledger";

fn no_key() -> NoReel {
    NoReel::NoKey("the run's key is not here: run as the gateway's user, or give --auditor-key".to_owned())
}

/// Now, by this machine's clock.
pub fn now() -> WallTime {
    relay::entropy::wall()
}

/// An answer that there is not, as an exit.
pub fn cannot(cannot: &Cannot) -> Failure {
    let exit = match cannot.exit_code() {
        1 => Exit::No,
        2 => Exit::Usage,
        _ => Exit::CouldNot,
    };
    Failure { exit, lines: vec![cannot.to_string()] }
}
