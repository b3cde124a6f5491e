//! The file of the runs' wrapped keys.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use vocab::RunId;
use zeroize::Zeroizing;

use super::erasure::replace;
use super::{
    AuditorKey, GatewayKey, KeyError, RUN_KEYS_FILE, RUN_KEYS_NEXT_FILE, RUN_KEYS_OLD_FILE, RunKey,
    SEALED_KEY_BYTES, WRAPPED_KEY_BYTES, run_aad, run_info, wrap,
};
use crate::clock::{Random, random};
use crate::disk::{Disk, read_small, write_atomic};
use crate::limits::{AUDITORS_MAX, RUN_KEYS_BYTES_MAX};

/// The wrapped keys of all runs that were not erased: the file `run-keys` beside the gateway key.
///
/// `"TACHORUN" | u32 version`, then per run `u32 length | u32 CRC-32C | run(16) | wrapped(60) | u8 n | n x (id(8),
/// sealed(80))`. A new run is appended and synced; for one that is erased the
/// file is written anew without it, and the old one overwritten with zeros. An entry torn by a crash is one whose run was never opened.
pub struct RunKeys {
    path: PathBuf,
    pub(super) entries: Vec<WrappedRun>,
    /// Bytes of the file that check.
    pub(super) size: u64,
}

pub(super) struct WrappedRun {
    run: RunId,
    pub(super) wrapped: Vec<u8>,
    pub(super) sealed: Vec<([u8; 8], Vec<u8>)>,
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

    pub(crate) fn has(&self, run: RunId) -> bool {
        self.entry(run).is_some()
    }

    pub(super) fn entry(&self, run: RunId) -> Option<&WrappedRun> {
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
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is full: erase runs that are no longer needed (`tacho runs erase`)",
            ));
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
        let mut rest = RUN_KEYS_MAGIC.to_vec();
        for entry in self.entries.iter().filter(|entry| entry.run != run) {
            rest.extend_from_slice(&entry.write());
        }
        self.rewrite(disk, &rest).map_err(|error| KeyError::Io { path: self.path.clone(), error })?;
        self.entries.remove(at);
        self.size = rest.len() as u64;
        Ok(true)
    }

    /// The new file first, so that a crash in between loses no other run's key; the old one keeps a name until its blocks
    /// are zeros.
    fn rewrite(&self, disk: &dyn Disk, rest: &[u8]) -> io::Result<()> {
        let [next, old] = [RUN_KEYS_NEXT_FILE, RUN_KEYS_OLD_FILE].map(|name| self.path.with_file_name(name));
        write_atomic(disk, &next, rest)?;
        replace(disk, &self.path, &next, &old)
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
