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

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use mask::{FilterKey, Print, Prints};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use seal::tree::sha256_of;
use vocab::{Class, RunId};
use zeroize::Zeroizing;

use crate::clock::{NoRandom, Random, random};
use crate::disk::{Disk, read_small, write_atomic};
use crate::limits::{AUDITORS_MAX, PASSPHRASE_ROUNDS, RUN_KEYS_BYTES_MAX};

/// 32 secret bytes; wiped when dropped.
pub type Secret32 = Zeroizing<[u8; 32]>;

const SEALED_KEY_BYTES: usize = 32 + 32 + 16;
const WRAPPED_KEY_BYTES: usize = 12 + 32 + 16;
const EPOCH_INFO: &[u8] = b"tacho epoch key v1";
const RUN_INFO: &[u8] = b"tacho run key v1";
const AUDITOR_PREFIX: &str = "tacho-auditor-";

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

/// An auditor's public key (X25519).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditorKey([u8; 32]);

impl AuditorKey {
    pub fn from_bytes(bytes: [u8; 32]) -> AuditorKey {
        AuditorKey(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Result<AuditorKey, KeyError> {
        let hex = text.trim().strip_prefix(AUDITOR_PREFIX).ok_or(KeyError::NotAnAuditorKey)?;
        let bytes = unhex(hex).ok_or(KeyError::NotAnAuditorKey)?;
        Ok(AuditorKey(bytes.as_slice().try_into().map_err(|_| KeyError::NotAnAuditorKey)?))
    }

    /// Which auditor, in records: the first eight bytes of SHA-256("tacho auditor key v1" || key).
    pub fn id(&self) -> [u8; 8] {
        let hash = sha256_of(&[b"tacho auditor key v1", &self.0]);
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        id
    }

    fn seal(
        &self,
        secret: &[u8; 32],
        info: &[u8],
        aad: &[u8],
        source: &dyn Random,
    ) -> Result<Vec<u8>, KeyError> {
        let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&self.0)
            .map_err(|_| KeyError::NotAnAuditorKey)?;
        let mut drawn = Drawn::new(source)?;
        let (encapsulated, sealed) =
            hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &key,
                info,
                secret,
                aad,
                &mut drawn,
            )
            .map_err(|_| KeyError::NotAnAuditorKey)?;
        let mut out = encapsulated.to_bytes().to_vec();
        out.extend_from_slice(&sealed);
        Ok(out)
    }
}

impl fmt::Display for AuditorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{AUDITOR_PREFIX}{}", hex(&self.0))
    }
}

impl fmt::Debug for AuditorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An auditor's secret key. Lives with a person, never below the data directory.
pub struct AuditorSecret {
    secret: Secret32,
    public: AuditorKey,
}

impl AuditorSecret {
    pub fn generate(source: &dyn Random) -> Result<AuditorSecret, KeyError> {
        AuditorSecret::from_secret(Zeroizing::new(random(source)?))
    }

    fn from_secret(secret: Secret32) -> Result<AuditorSecret, KeyError> {
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*secret)
            .map_err(|_| KeyError::NotAnAuditorKey)?;
        let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes();
        let public = AuditorKey(public.as_slice().try_into().map_err(|_| KeyError::NotAnAuditorKey)?);
        Ok(AuditorSecret { secret, public })
    }

    pub fn public(&self) -> AuditorKey {
        self.public
    }

    /// The text of the key's file. `None` writes the secret in clear: only where the file itself is protected.
    pub fn to_text(
        &self,
        passphrase: Option<&[u8]>,
        source: &dyn Random,
    ) -> Result<Zeroizing<String>, KeyError> {
        let (kdf, secret) = match passphrase {
            None => ("none".to_owned(), Zeroizing::new(hex(&*self.secret))),
            Some(passphrase) => {
                let salt: [u8; 16] = random(source)?;
                let key = stretch(passphrase, &salt, PASSPHRASE_ROUNDS);
                let wrapped = wrap(&key, &self.secret, self.public.as_bytes(), source)?;
                let kdf = format!("pbkdf2-hmac-sha256 {PASSPHRASE_ROUNDS} {}", hex(&salt));
                (kdf, Zeroizing::new(hex(&wrapped)))
            }
        };
        let (public, secret) = (self.public, secret.as_str());
        Ok(Zeroizing::new(format!("tacho-auditor-key 1\npublic {public}\nkdf {kdf}\nsecret {secret}\n")))
    }

    /// Reads what [`AuditorSecret::to_text`] wrote.
    pub fn from_text(text: &str, passphrase: Option<&[u8]>) -> Result<AuditorSecret, KeyError> {
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name);
        let bad = KeyError::NotAnAuditorKey;
        let (Some(""), Some(public), Some(kdf), Some(secret)) =
            (field("tacho-auditor-key 1"), field("public "), field("kdf "), field("secret "))
        else {
            return Err(bad);
        };
        let public = AuditorKey::parse(public)?;
        let stored = Zeroizing::new(unhex(secret).ok_or(KeyError::NotAnAuditorKey)?);
        let secret = match kdf.split(' ').collect::<Vec<_>>()[..] {
            ["none"] => Zeroizing::new(stored.as_slice().try_into().map_err(|_| KeyError::NotAnAuditorKey)?),
            ["pbkdf2-hmac-sha256", rounds, salt] => {
                let rounds = rounds.parse().ok().filter(|&r| (1..=100_000_000).contains(&r)).ok_or(bad)?;
                let salt = unhex(salt).ok_or(KeyError::NotAnAuditorKey)?;
                let key = stretch(passphrase.ok_or(KeyError::PassphraseNeeded)?, &salt, rounds);
                unwrap(&key, &stored, public.as_bytes()).ok_or(KeyError::WrongPassphrase)?
            }
            _ => return Err(bad),
        };
        let loaded = AuditorSecret::from_secret(secret)?;
        if loaded.public != public {
            return Err(KeyError::NotAnAuditorKey);
        }
        Ok(loaded)
    }

    /// Opens the fingerprint key of an epoch: one of `sealed` in the ledger's `epoch` record.
    pub fn open_epoch(&self, origin: &str, epoch: u64, sealed: &[u8]) -> Result<EpochKey, KeyError> {
        let secret = self.open(&epoch_info(origin), &epoch.to_be_bytes(), sealed)?;
        Ok(EpochKey::new(epoch, &secret))
    }

    /// Opens the payload key of a run out of the `run-keys` file.
    pub fn open_run(&self, origin: &str, keys: &RunKeys, run: RunId) -> Result<RunKey, KeyError> {
        let entry = keys.entry(run).ok_or(KeyError::Erased(run))?;
        let id = self.public.id();
        let sealed = entry.sealed.iter().find(|(of, _)| *of == id).ok_or(KeyError::DoesNotOpen)?;
        Ok(RunKey::new(run, self.open(&run_info(origin), &run.0, &sealed.1)?))
    }

    fn open(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Secret32, KeyError> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(32).ok_or(KeyError::DoesNotOpen)?;
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*self.secret)
            .map_err(|_| KeyError::DoesNotOpen)?;
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| KeyError::DoesNotOpen)?;
        let opened = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &encapsulated,
            info,
            ciphertext,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|_| KeyError::DoesNotOpen)?;
        Ok(Zeroizing::new(opened.as_slice().try_into().map_err(|_| KeyError::DoesNotOpen)?))
    }
}

impl fmt::Debug for AuditorSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditorSecret({})", self.public)
    }
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
        FilterKey::new(&self.filter)
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

impl RunCipher {
    /// `nonce || ciphertext || tag`: the body of a `P` frame, docs/FORMAT.md section 5. `None` beyond 64 GiB.
    pub(crate) fn seal(&self, origin: &str, mut plaintext: Vec<u8>) -> Option<Vec<u8>> {
        let count = self.used.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0u8; 12];
        nonce[4..].copy_from_slice(&count.to_be_bytes());
        let aad = Aad::from(origin.as_bytes());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plaintext).ok()?;
        let mut out = Vec::with_capacity(nonce.len() + plaintext.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&plaintext);
        Some(out)
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
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint.key";
pub(crate) const CHECKPOINT_NEXT_FILE: &str = "checkpoint.next";

/// The wrapped keys of all runs that were not erased: the file `run-keys` beside the gateway key.
///
/// `"TACHORUN" | u32 version`, then per run `u32 length | u32 CRC-32C | run(16) | wrapped(60) | u8 n | n x (id(8),
/// sealed(80))`. A new run is appended and synced; an erased one is overwritten with zeros where it stands, then the
/// file is rewritten without it. An entry torn by a crash is one whose run was never opened.
pub struct RunKeys {
    path: PathBuf,
    entries: Vec<WrappedRun>,
    /// Bytes of the file that check.
    size: u64,
}

struct WrappedRun {
    run: RunId,
    wrapped: Vec<u8>,
    sealed: Vec<([u8; 8], Vec<u8>)>,
}

const RUN_KEYS_MAGIC: &[u8; 12] = b"TACHORUN\0\0\0\x01";

impl RunKeys {
    /// Reads the file in `dir`; a missing file has no keys.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<RunKeys, KeyError> {
        let path = dir.join(RUN_KEYS_FILE);
        let bytes = match read_small(disk, &path, RUN_KEYS_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(KeyError::Io { path, error }),
        };
        if bytes.is_empty() {
            return Ok(RunKeys { path, entries: Vec::new(), size: 0 });
        }
        let Some(mut rest) = bytes.strip_prefix(RUN_KEYS_MAGIC) else {
            return Err(KeyError::Malformed { path });
        };
        let mut entries = Vec::new();
        let mut size = RUN_KEYS_MAGIC.len() as u64;
        while let Some((entry, used)) = WrappedRun::read(rest) {
            entries.push(entry);
            rest = &rest[used..];
            size += used as u64;
        }
        // A crash tears the last entry at most. More than that is damage, and going on would overwrite other keys.
        if rest.len() > WrappedRun::SIZE_MAX {
            return Err(KeyError::Malformed { path });
        }
        Ok(RunKeys { path, entries, size })
    }

    pub fn runs(&self) -> impl Iterator<Item = RunId> {
        self.entries.iter().map(|entry| entry.run)
    }

    fn entry(&self, run: RunId) -> Option<&WrappedRun> {
        self.entries.iter().find(|entry| entry.run == run)
    }

    /// Makes a key for a run and keeps it wrapped, durable before it is used.
    pub(crate) fn make(
        &mut self,
        disk: &dyn Disk,
        gateway: &GatewayKey,
        auditors: &[AuditorKey],
        origin: &str,
        run: RunId,
        source: &dyn Random,
    ) -> Result<RunKey, KeyError> {
        let key = RunKey::new(run, Zeroizing::new(random(source)?));
        let wrapped = wrap(&gateway.0, &key.secret, &run_aad(origin, run), source)?;
        let info = run_info(origin);
        let seal =
            |auditor: &AuditorKey| Ok((auditor.id(), auditor.seal(&key.secret, &info, &run.0, source)?));
        let sealed = auditors.iter().map(seal).collect::<Result<_, KeyError>>()?;
        let entry = WrappedRun { run, wrapped, sealed };
        self.append(disk, &entry).map_err(|error| KeyError::Io { path: self.path.clone(), error })?;
        self.entries.push(entry);
        Ok(key)
    }

    fn append(&mut self, disk: &dyn Disk, entry: &WrappedRun) -> io::Result<()> {
        let bytes = entry.write();
        if self.size == 0 {
            write_atomic(disk, &self.path, &[RUN_KEYS_MAGIC.as_slice(), &bytes].concat())?;
            self.size = (RUN_KEYS_MAGIC.len() + bytes.len()) as u64;
            return Ok(());
        }
        if self.size + bytes.len() as u64 > RUN_KEYS_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "erase runs that are no longer needed"));
        }
        let file = disk.open(&self.path)?;
        file.write_at(&bytes, self.size)?;
        file.sync_data()?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Destroys the wrapped key of a run. `false` if it was not there.
    pub(crate) fn erase(&mut self, disk: &dyn Disk, run: RunId) -> Result<bool, KeyError> {
        let Some(at) = self.entries.iter().position(|entry| entry.run == run) else {
            return Ok(false);
        };
        let before: usize = self.entries[..at].iter().map(WrappedRun::size).sum();
        let mut rest = RUN_KEYS_MAGIC.to_vec();
        for entry in self.entries.iter().filter(|entry| entry.run != run) {
            rest.extend_from_slice(&entry.write());
        }
        let erased = vec![0; self.entries[at].size()];
        let offset = (RUN_KEYS_MAGIC.len() + before) as u64;
        self.rewrite(disk, offset, &erased, &rest)
            .map_err(|error| KeyError::Io { path: self.path.clone(), error })?;
        self.entries.remove(at);
        self.size = rest.len() as u64;
        Ok(true)
    }

    /// The new file first, so that a crash in between loses no other run's key; then zeros over the old blocks.
    fn rewrite(&self, disk: &dyn Disk, offset: u64, zeros: &[u8], rest: &[u8]) -> io::Result<()> {
        let old = disk.open(&self.path)?;
        write_atomic(disk, &self.path, rest)?;
        old.write_at(zeros, offset)?;
        old.sync_data()
    }
}

impl fmt::Debug for RunKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunKeys({} runs)", self.entries.len())
    }
}

impl WrappedRun {
    const SIZE_MAX: usize = 8 + 16 + WRAPPED_KEY_BYTES + 1 + AUDITORS_MAX * (8 + SEALED_KEY_BYTES);

    fn size(&self) -> usize {
        8 + 16 + WRAPPED_KEY_BYTES + 1 + self.sealed.len() * (8 + SEALED_KEY_BYTES)
    }

    fn write(&self) -> Vec<u8> {
        let mut body = self.run.0.to_vec();
        body.extend_from_slice(&self.wrapped);
        body.push(self.sealed.len() as u8);
        for (id, sealed) in &self.sealed {
            body.extend_from_slice(id);
            body.extend_from_slice(sealed);
        }
        let mut out = (body.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// The entry at the start of `bytes` and its size; `None` at the end or at an entry that does not check.
    fn read(bytes: &[u8]) -> Option<(WrappedRun, usize)> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let body = rest.get(..u32::from_be_bytes(*length) as usize)?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (run, rest) = body.split_first_chunk::<16>()?;
        let (wrapped, rest) = rest.split_at_checked(WRAPPED_KEY_BYTES)?;
        let (&count, rest) = rest.split_first()?;
        if rest.len() != usize::from(count) * (8 + SEALED_KEY_BYTES) {
            return None;
        }
        let sealed = rest.chunks_exact(8 + SEALED_KEY_BYTES).map(|chunk| {
            let (id, sealed) = chunk.split_at(8);
            let mut of = [0; 8];
            of.copy_from_slice(id);
            (of, sealed.to_vec())
        });
        let entry = WrappedRun { run: RunId(*run), wrapped: wrapped.to_vec(), sealed: sealed.collect() };
        let used = entry.size();
        Some((entry, used))
    }
}

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

/// The next checkpoint key becomes the current one, and the old one is erased: its name first, then its blocks. Done
/// twice it does nothing.
pub(crate) fn promote_checkpoint_key(disk: &dyn Disk, dir: &Path) -> Result<(), KeyError> {
    let (current, next) = (dir.join(CHECKPOINT_FILE), dir.join(CHECKPOINT_NEXT_FILE));
    let promote = || {
        let old = match disk.open(&current) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match disk.rename(&next, &current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        disk.sync_dir(dir)?;
        match old {
            Some(old) => old.write_at(&[0; 32], 0).and_then(|()| old.sync_data()),
            None => Ok(()),
        }
    };
    promote().map_err(|error| KeyError::Io { path: next.clone(), error })
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

fn stretch(passphrase: &[u8], salt: &[u8], rounds: u32) -> Secret32 {
    let mut key = Zeroizing::new([0; 32]);
    let rounds = std::num::NonZeroU32::new(rounds).unwrap_or(std::num::NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase, &mut *key);
    key
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

/// A seed drawn once from [`Random`], stretched by SHA-256 in counter mode into what HPKE asks for: HPKE's generator
/// may not fail, ours may.
struct Drawn {
    seed: Secret32,
    count: u64,
}

impl Drawn {
    fn new(source: &dyn Random) -> Result<Drawn, NoRandom> {
        Ok(Drawn { seed: Zeroizing::new(random(source)?), count: 0 })
    }
}

impl hpke::rand_core::TryRng for Drawn {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut out = [0; 4];
        self.try_fill_bytes(&mut out)?;
        Ok(u32::from_be_bytes(out))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut out = [0; 8];
        self.try_fill_bytes(&mut out)?;
        Ok(u64::from_be_bytes(out))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in out.chunks_mut(32) {
            let block =
                Zeroizing::new(sha256_of(&[b"tacho drawn v1", &*self.seed, &self.count.to_be_bytes()]));
            chunk.copy_from_slice(&block[..chunk.len()]);
            self.count += 1;
        }
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for Drawn {}

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
