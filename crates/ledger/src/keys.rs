//! The keys of the ledger, each with its life (ARCHITECTURE.md, "Keys"), and what opens what.
//!
//! | key | opens | where |
//! |---|---|---|
//! | auditor | epoch keys, run keys | public half in the configuration; the secret with a person |
//! | gateway | run keys | `gateway.key`, outside the data directory |
//! | run | the payloads of one run | wrapped in `run-keys`; in clear only in memory |
//! | epoch | fingerprints of an hour | sealed to the auditors in the ledger; in clear only in memory |
//! | checkpoint | signs | `checkpoint.key`, and while it ratchets `checkpoint.next` |
//!
//! Wrapping to an auditor is HPKE (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode; the
//! sealed form is the encapsulated key (32 bytes), then the ciphertext.

mod auditor;
mod erasure;
mod runs;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mask::{FilterKey, Print, Prints};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use seal::tree::sha256_of;
use vocab::{Class, RunId};
use zeroize::Zeroizing;

use crate::clock::{NoRandom, Random, random};
use crate::disk::{Disk, read_small, write_atomic};

use auditor::AUDITOR_PREFIX;
pub use auditor::{AuditorKey, AuditorSecret};
pub use runs::RunKeys;

/// 32 secret bytes; wiped when dropped.
pub type Secret32 = Zeroizing<[u8; 32]>;

const SEALED_KEY_BYTES: usize = 32 + 32 + 16;
const WRAPPED_KEY_BYTES: usize = 12 + 32 + 16;
const EPOCH_INFO: &[u8] = b"tacho epoch key v1";
const RUN_INFO: &[u8] = b"tacho run key v1";

/// A key could not be read, made or used. Says which and what to do; holds no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error("cannot read or write {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path} is not a key file of this version; restore it from where it was made")]
    Malformed { path: PathBuf },
    #[error("not an auditor key: expected {AUDITOR_PREFIX} and 64 hexadecimal digits")]
    NotAnAuditorKey,
    #[error("the auditor key needs its passphrase")]
    PassphraseNeeded,
    #[error("the passphrase is wrong, or the auditor key file was changed")]
    WrongPassphrase,
    #[error("this key does not open it: sealed to another key, or changed")]
    DoesNotOpen,
    #[error("the key of run {0} was erased, or was never in this file")]
    Erased(RunId),
}

/// The keys of the fingerprints and filters of one epoch, both from one secret.
pub struct EpochKey {
    epoch: u64,
    prints: Prints,
    filter: Secret32,
}

impl EpochKey {
    pub(crate) fn new(epoch: u64, secret: &[u8; 32]) -> EpochKey {
        let prints = Prints::new(&sha256_of(&[b"tacho prints v1", secret]));
        let filter = Zeroizing::new(sha256_of(&[b"tacho filter v1", secret]));
        EpochKey { epoch, prints, filter }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The fingerprint of a value of a class; `mask` normalises it.
    pub fn print(&self, class: &Class, value: &[u8]) -> Print {
        self.prints.of(class, value)
    }

    /// The key of the filters of released cells.
    pub fn filter_key(&self) -> FilterKey {
        FilterKey::new(&std::array::from_fn(|i| self.filter[i]))
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochKey({})", self.epoch)
    }
}

/// Seals a fresh epoch key to each auditor: the record's `sealed`, in the order of `auditors`.
pub(crate) fn seal_epoch(
    auditors: &[AuditorKey],
    origin: &str,
    epoch: u64,
    secret: &[u8; 32],
    source: &dyn Random,
) -> Result<Vec<Vec<u8>>, KeyError> {
    let (info, aad) = (epoch_info(origin), epoch.to_be_bytes());
    auditors.iter().map(|auditor| auditor.seal(secret, &info, &aad, source)).collect()
}

/// The key of one run's payloads.
pub struct RunKey {
    run: RunId,
    secret: Secret32,
}

impl RunKey {
    pub(crate) fn new(run: RunId, secret: Secret32) -> RunKey {
        RunKey { run, secret }
    }

    pub fn run(&self) -> RunId {
        self.run
    }

    /// The key itself, for a bundle's `K` frame.
    pub fn expose(&self) -> &[u8; 32] {
        &self.secret
    }

    /// H("tacho key commitment v1" || key): binds the ciphertext to this key alone.
    pub fn commitment(&self) -> [u8; 32] {
        seal::payload::key_commitment(&self.secret)
    }

    pub(crate) fn cipher(&self) -> Arc<RunCipher> {
        Arc::new(RunCipher { key: aes(&self.secret), commitment: self.commitment(), used: AtomicU64::new(0) })
    }

    /// Decrypts the body of a `P` frame.
    pub fn open(&self, origin: &str, body: &[u8]) -> Result<Vec<u8>, KeyError> {
        seal::payload::open(&self.secret, origin, body).map_err(|_| KeyError::DoesNotOpen)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunKey({})", self.run)
    }
}

/// Encrypts the payloads of a run. The key is used by this process alone, so a counter is a nonce.
pub(crate) struct RunCipher {
    key: LessSafeKey,
    pub(crate) commitment: [u8; 32],
    used: AtomicU64,
}

/// What a payload's ciphertext is longer than its plaintext: nonce and tag.
pub(crate) const SEAL_BYTES: usize = NONCE_LEN + MAX_TAG_LEN;

impl RunCipher {
    /// Appends `nonce || ciphertext || tag`, the body of a `P` frame (docs/FORMAT.md section 5), to `out`; `write` appends
    /// the plaintext, which is encrypted where it stands. `None` beyond 64 GiB: `out` is of no use then.
    pub(crate) fn seal(
        &self,
        origin: &str,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<()> {
        let count = self.used.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0u8; NONCE_LEN];
        nonce[4..].copy_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&nonce);
        let start = out.len();
        write(out);
        let aad = Aad::from(origin.as_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, &mut out[start..]).ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(())
    }
}

/// The gateway's own key, for replay without an auditor. Lives outside the data directory.
pub struct GatewayKey(Secret32);

impl GatewayKey {
    /// Reads `gateway.key` in `dir`, for replay.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<GatewayKey, KeyError> {
        Ok(GatewayKey(read_secret(disk, &dir.join(GATEWAY_FILE))?))
    }

    /// Makes the key if it is not there, unless keys were wrapped with it already.
    pub(crate) fn load_or_make(
        disk: &dyn Disk,
        dir: &Path,
        run_keys: &RunKeys,
        source: &dyn Random,
    ) -> Result<GatewayKey, KeyError> {
        let path = dir.join(GATEWAY_FILE);
        match read_secret(disk, &path) {
            Err(KeyError::Io { error, .. })
                if error.kind() == io::ErrorKind::NotFound && run_keys.entries.is_empty() =>
            {
                let secret = Zeroizing::new(random(source)?);
                write_secret(disk, &path, &secret)?;
                Ok(GatewayKey(secret))
            }
            other => Ok(GatewayKey(other?)),
        }
    }

    /// Opens the payload key of a run out of the `run-keys` file.
    pub fn open_run(&self, origin: &str, keys: &RunKeys, run: RunId) -> Result<RunKey, KeyError> {
        let entry = keys.entry(run).ok_or(KeyError::Erased(run))?;
        let secret = unwrap(&self.0, &entry.wrapped, &run_aad(origin, run)).ok_or(KeyError::DoesNotOpen)?;
        Ok(RunKey::new(run, secret))
    }
}

impl fmt::Debug for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayKey(32 bytes)")
    }
}

pub(crate) const GATEWAY_FILE: &str = "gateway.key";
pub(crate) const RUN_KEYS_FILE: &str = "run-keys";
const RUN_KEYS_NEXT_FILE: &str = "run-keys.next";
const RUN_KEYS_OLD_FILE: &str = "run-keys.old";
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint.key";
pub(crate) const CHECKPOINT_NEXT_FILE: &str = "checkpoint.next";
const CHECKPOINT_OLD_FILE: &str = "checkpoint.old";

/// Reads 32 secret bytes.
pub(crate) fn read_secret(disk: &dyn Disk, path: &Path) -> Result<Secret32, KeyError> {
    let bytes = read_small(disk, path, 32).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| KeyError::Io { path: path.to_owned(), error })?;
    let secret: [u8; 32] =
        bytes.as_slice().try_into().map_err(|_| KeyError::Malformed { path: path.to_owned() })?;
    Ok(Zeroizing::new(secret))
}

/// Writes 32 secret bytes, durable and atomic.
pub(crate) fn write_secret(disk: &dyn Disk, path: &Path, secret: &[u8; 32]) -> Result<(), KeyError> {
    write_atomic(disk, path, secret).map_err(|error| KeyError::Io { path: path.to_owned(), error })
}

/// The next checkpoint key becomes the current one, and the old one is erased. Done twice it does nothing.
pub(crate) fn promote_checkpoint_key(disk: &dyn Disk, dir: &Path) -> Result<(), KeyError> {
    let current = dir.join(CHECKPOINT_FILE);
    erasure::promote_checkpoint_key(disk, dir, &current)
        .map_err(|error| KeyError::Io { path: current.clone(), error })
}

/// Finishes what a crash interrupted in the directory of keys.
pub(crate) fn finish_erasure(disk: &dyn Disk, dir: &Path) -> Result<(), KeyError> {
    erasure::finish(disk, dir).map_err(|error| KeyError::Io { path: dir.to_owned(), error })
}

fn epoch_info(origin: &str) -> Vec<u8> {
    [EPOCH_INFO, &[0], origin.as_bytes()].concat()
}

fn run_info(origin: &str) -> Vec<u8> {
    [RUN_INFO, &[0], origin.as_bytes()].concat()
}

fn run_aad(origin: &str, run: RunId) -> Vec<u8> {
    [&run_info(origin), &[0][..], &run.0].concat()
}

/// `nonce(12) || AES-256-GCM(key, nonce, secret, aad)`.
fn wrap(key: &[u8; 32], secret: &[u8; 32], aad: &[u8], source: &dyn Random) -> Result<Vec<u8>, KeyError> {
    let nonce: [u8; 12] = random(source)?;
    let mut sealed = secret.to_vec();
    aes(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed)
        .map_err(|_| KeyError::DoesNotOpen)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn unwrap(key: &[u8; 32], wrapped: &[u8], aad: &[u8]) -> Option<Secret32> {
    let opened = Zeroizing::new(open_aes(&aes(key), wrapped, aad)?);
    Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
}

fn open_aes(key: &LessSafeKey, body: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = body.split_first_chunk::<12>()?;
    let mut opened = sealed.to_vec();
    let size =
        key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut opened).ok()?.len();
    opened.truncate(size);
    Some(opened)
}

fn aes(key: &[u8; 32]) -> LessSafeKey {
    // A key of 32 bytes is what AES-256 takes; any other length is excluded by the type.
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;
    use crate::sim::SimDisk;

    fn auditor() -> AuditorSecret {
        AuditorSecret::generate(&SystemRandom::new()).unwrap()
    }

    #[test]
    fn an_auditor_key_survives_its_file_with_and_without_a_passphrase() {
        let (random, secret) = (SystemRandom::new(), auditor());
        let plain = secret.to_text(None, &random).unwrap();
        assert_eq!(AuditorSecret::from_text(&plain, None).unwrap().secret, secret.secret);
        let closed = secret.to_text(Some(b"horse battery"), &random).unwrap();
        assert!(!closed.contains(&hex(&*secret.secret)));
        assert_eq!(AuditorSecret::from_text(&closed, Some(b"horse battery")).unwrap().secret, secret.secret);
        assert!(matches!(AuditorSecret::from_text(&closed, Some(b"wrong")), Err(KeyError::WrongPassphrase)));
        assert!(matches!(AuditorSecret::from_text(&closed, None), Err(KeyError::PassphraseNeeded)));
        let public = secret.public();
        assert_eq!(AuditorKey::parse(&public.to_string()).unwrap(), public);
    }

    #[test]
    fn an_epoch_key_opens_for_its_auditors_in_its_place_only() {
        let (random, one, two, other) = (SystemRandom::new(), auditor(), auditor(), auditor());
        let sealed = seal_epoch(&[one.public(), two.public()], "o", 7, &[9; 32], &random).unwrap();
        let class = Class::new("pii.ssn").unwrap();
        let expect = EpochKey::new(7, &[9; 32]).print(&class, b"123");
        for (auditor, sealed) in [(&one, &sealed[0]), (&two, &sealed[1])] {
            assert_eq!(auditor.open_epoch("o", 7, sealed).unwrap().print(&class, b"123"), expect);
            assert!(auditor.open_epoch("o", 8, sealed).is_err());
            assert!(auditor.open_epoch("p", 7, sealed).is_err());
        }
        assert!(other.open_epoch("o", 7, &sealed[0]).is_err());
        assert!(one.open_epoch("o", 7, &sealed[0][..20]).is_err());
    }

    #[test]
    fn run_keys_open_until_they_are_erased() {
        let (random, auditor, disk) = (SystemRandom::new(), auditor(), SimDisk::new(1));
        let dir = Path::new("/keys");
        disk.create_dir(dir).unwrap();
        let mut keys = RunKeys::load(&disk, dir).unwrap();
        let gateway = GatewayKey::load_or_make(&disk, dir, &keys, &random).unwrap();
        let runs = [RunId([1; 16]), RunId([2; 16]), RunId([3; 16])];
        for run in runs {
            keys.make(&disk, &gateway, &[auditor.public()], "o", run, &random).unwrap();
        }
        assert!(keys.erase(&disk, runs[1]).unwrap());
        assert!(!keys.erase(&disk, runs[1]).unwrap());
        let keys = RunKeys::load(&disk, dir).unwrap();
        for run in [runs[0], runs[2]] {
            let by_gateway = gateway.open_run("o", &keys, run).unwrap();
            assert_eq!(by_gateway.expose(), auditor.open_run("o", &keys, run).unwrap().expose());
            assert!(gateway.open_run("another origin", &keys, run).is_err());
        }
        assert!(matches!(gateway.open_run("o", &keys, runs[1]), Err(KeyError::Erased(_))));
    }

    #[test]
    fn a_damaged_entry_of_run_keys_is_refused_and_a_lost_gateway_key_is_not_replaced() {
        let (random, disk) = (SystemRandom::new(), SimDisk::new(1));
        let dir = Path::new("/keys");
        disk.create_dir(dir).unwrap();
        let mut keys = RunKeys::load(&disk, dir).unwrap();
        let gateway = GatewayKey::load_or_make(&disk, dir, &keys, &random).unwrap();
        for n in 0..20 {
            keys.make(&disk, &gateway, &[], "o", RunId([n; 16]), &random).unwrap();
        }
        disk.remove(&dir.join(GATEWAY_FILE)).unwrap();
        assert!(GatewayKey::load_or_make(&disk, dir, &keys, &random).is_err());
        let mut bytes = disk.content(&dir.join(RUN_KEYS_FILE)).unwrap();
        bytes[40] ^= 1;
        disk.put(&dir.join(RUN_KEYS_FILE), &bytes);
        assert!(matches!(RunKeys::load(&disk, dir), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn a_torn_entry_of_run_keys_hides_no_other() {
        let (random, disk) = (SystemRandom::new(), SimDisk::new(1));
        let dir = Path::new("/keys");
        disk.create_dir(dir).unwrap();
        let mut keys = RunKeys::load(&disk, dir).unwrap();
        let gateway = GatewayKey::load_or_make(&disk, dir, &keys, &random).unwrap();
        keys.make(&disk, &gateway, &[], "o", RunId([1; 16]), &random).unwrap();
        let size = keys.size;
        disk.open(&dir.join(RUN_KEYS_FILE)).unwrap().write_at(&[0, 0, 0, 90, 1, 2, 3], size).unwrap();
        let mut keys = RunKeys::load(&disk, dir).unwrap();
        keys.make(&disk, &gateway, &[], "o", RunId([2; 16]), &random).unwrap();
        let keys = RunKeys::load(&disk, dir).unwrap();
        assert_eq!(keys.runs().collect::<Vec<_>>(), [RunId([1; 16]), RunId([2; 16])]);
    }
}
