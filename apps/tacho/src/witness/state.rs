//! What a witness knows, in one small file per log.
//!
//! **Invariant:** a signature leaves only after what it says is durable: written, synced, renamed, the directory synced.
//! **Invariant:** requests for one log are served one after another; what is known of it only grows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use seal::note::{SignedNote, Signer, VerifierKey};
use seal::witness::{Refused, Submission, Succession, Watched};

use crate::fault::Failure;
use crate::{files, hex};

use super::limits::STATE_FILE_BYTES_MAX;

const MARK: &str = "tacho-witness-state/1";

/// The witness: its key, and what it knows of each log that it was told of.
pub struct State {
    dir: PathBuf,
    signer: Signer,
    logs: BTreeMap<String, Log>,
    /// No second witness writes here.
    _lock: File,
}

struct Log {
    /// The key that the operator gave.
    given: VerifierKey,
    watched: Mutex<Watched>,
}

/// Why there is no signature.
#[derive(Debug)]
pub enum NotSigned {
    Refused(Refused),
    /// It could not be made durable.
    Disk(String),
}

impl<R: Into<Refused>> From<R> for NotSigned {
    fn from(refused: R) -> NotSigned {
        NotSigned::Refused(refused.into())
    }
}

impl State {
    /// Makes the directory of a witness that has signed nothing. `false` if there is one.
    pub fn make(dir: &Path, key: &VerifierKey) -> Result<bool, Failure> {
        files::own_dir(dir)?;
        files::write_new(&dir.join("witness"), 0o600, format!("{MARK}\n{key}\n").as_bytes())
    }

    /// Errors: the directory is not this key's, is in use, or holds what cannot be read. It is never begun anew.
    pub fn open(dir: &Path, signer: Signer, logs: Vec<VerifierKey>) -> Result<State, Failure> {
        let mark = files::read_private(&dir.join("witness"), STATE_FILE_BYTES_MAX)?;
        if mark.as_deref() != Some(&*format!("{MARK}\n{}\n", signer.verifier_key())) {
            return Err(Failure::could_not(format!(
                "{} is not the memory of {}: restore it, or make a new key with `tacho witness keygen`. A witness that \
                 has forgotten must not sign under the same key",
                dir.display(),
                signer.verifier_key()
            )));
        }
        let lock = File::open(dir.join("witness")).map_err(|e| Failure::file("open", dir, &e))?;
        if lock.try_lock().is_err() {
            return Err(Failure::could_not(format!("another witness uses {}; stop it first", dir.display())));
        }
        let mut known = BTreeMap::new();
        for given in logs {
            let watched = read(&dir.join(file_name(given.name())), &given)?;
            let origin = given.name().to_owned();
            if known.insert(origin, Log { given, watched: Mutex::new(watched) }).is_some() {
                return Err(Failure::usage("two --log have the same name; keep one"));
            }
        }
        Ok(State { dir: dir.to_owned(), signer, logs: known, _lock: lock })
    }

    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    /// Each log, and how much of it is cosigned.
    pub fn known(&self) -> impl Iterator<Item = (&str, u64)> {
        self.logs.iter().map(|(origin, log)| (origin.as_str(), lock(&log.watched).size))
    }

    /// `add-checkpoint`. Gives the signature line. Blocks.
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<String, NotSigned> {
        let asked = Submission::parse(body)?;
        let log = self.logs.get(&asked.checkpoint.origin).ok_or(Refused::Origin)?;
        let mut watched = lock(&log.watched);
        let next = watched.advanced(&asked)?;
        self.keep(log, &mut watched, next)?;
        let seconds = crate::evidence::now().0 / 1_000_000_000;
        let line = self.signer.cosign(&asked.note, seconds);
        let mut note = asked.note;
        let kept = note.signatures().iter().filter(|s| s.is_by(&watched.key)).cloned();
        note = SignedNote::new(note.text().to_owned(), kept.chain([line.clone()]).collect());
        // For people who verify; what the witness knows stands in its own file.
        let copy = self.dir.join(file_name(watched.origin())).with_extension("checkpoint");
        files::replace_private(&copy, &note.to_bytes()).map_err(|e| NotSigned::Disk(e.to_string()))?;
        Ok(line.to_line())
    }

    /// `add-key`. Blocks.
    pub fn add_key(&self, body: &[u8]) -> Result<(), NotSigned> {
        let asked = Succession::parse(body)?;
        let log = self.logs.get(&asked.origin).ok_or(Refused::Origin)?;
        let mut watched = lock(&log.watched);
        let next = watched.succeeded(&asked)?;
        self.keep(log, &mut watched, next)
    }

    /// Makes it durable, and only then what is known.
    fn keep(&self, log: &Log, watched: &mut Watched, next: Watched) -> Result<(), NotSigned> {
        if next == *watched {
            return Ok(());
        }
        let path = self.dir.join(file_name(next.origin()));
        let Watched { key, key_seq, size, root } = &next;
        let text = format!("{MARK}\n{}\n{key}\n{key_seq}\n{size}\n{}\n", log.given, hex::encode(root));
        files::replace_private(&path, text.as_bytes()).map_err(|e| NotSigned::Disk(e.to_string()))?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|e| NotSigned::Disk(format!("{}: {e}", self.dir.display())))?;
        *watched = next;
        Ok(())
    }
}

/// What is known of a log; nothing, if it is new here.
fn read(path: &Path, given: &VerifierKey) -> Result<Watched, Failure> {
    let Some(text) = files::read_private(path, STATE_FILE_BYTES_MAX)? else {
        return Ok(Watched::new(given.clone()));
    };
    let (of, watched) = parse(&text).ok_or_else(|| {
        Failure::could_not(format!("{} is damaged; restore it, or retire this witness's key", path.display()))
    })?;
    if of != *given {
        return Err(Failure::usage(format!(
            "--log {given}: this witness was given {of} for that log, and has followed it since; write that one"
        )));
    }
    Ok(watched)
}

fn parse(text: &str) -> Option<(VerifierKey, Watched)> {
    let lines: Vec<&str> = text.strip_suffix('\n')?.split('\n').collect();
    let [MARK, given, key, key_seq, size, root] = lines[..] else { return None };
    let watched = Watched {
        key: VerifierKey::parse(key).ok()?,
        key_seq: key_seq.parse().ok()?,
        size: size.parse().ok()?,
        root: hex::decode(root)?,
    };
    Some((VerifierKey::parse(given).ok()?, watched))
}

/// An origin may hold what a file's name may not.
fn file_name(origin: &str) -> String {
    let hash = hex::encode(&seal::tree::sha256(origin.as_bytes()));
    format!("{}.log", &hash[..16])
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
