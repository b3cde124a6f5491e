//! Segment files: their names, the zero-filled spare, and the copy that replaces a doubtful one.
//!
//! A file grows only while it is prepared. Once it has its name `NNNNNNNNNN.seg` it is overwritten and never grows,
//! so that a sync waits for its own blocks and not for the file system's journal.

use std::io;
use std::path::{Path, PathBuf};

use seal::frame::{SEGMENT_HEADER_BYTES, SegmentHeader};

use crate::disk::{Disk, DiskFile};

const FILL_BYTES: usize = 1 << 20;

/// Where things are below the ledger's directory.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
    pub(crate) segments: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Paths {
        Paths { root: root.to_owned(), segments: root.join("segment") }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.segments.join(format!("{number:010}.seg"))
    }

    pub(crate) fn spare(&self) -> PathBuf {
        self.segments.join("next.spare")
    }

    fn staged(&self) -> PathBuf {
        self.segments.join("staged.tmp")
    }

    fn copy(&self) -> PathBuf {
        self.segments.join("copy.tmp")
    }
}

/// The number in a segment's name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The numbers of the segments that are there, sorted.
pub(crate) fn list_segments(disk: &dyn Disk, paths: &Paths) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> =
        disk.list(&paths.segments)?.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes the spare: zero-filled, synced, named. Errors leave no file behind that takes room.
pub(crate) fn prepare_spare(disk: &dyn Disk, paths: &Paths, size: u64) -> io::Result<()> {
    let staged = paths.staged();
    let made = fill(disk, &staged, size).and_then(|_| {
        disk.rename(&staged, &paths.spare())?;
        disk.sync_dir(&paths.segments)
    });
    if made.is_err() {
        // Best effort: the room is needed more than the error of this removal.
        let _ = disk.remove(&staged);
    }
    made
}

/// Whether a spare of this size is there. One that was given a header by a gateway that died is cleaned.
pub(crate) fn find_spare(disk: &dyn Disk, paths: &Paths, size: u64) -> io::Result<bool> {
    let file = match disk.open(&paths.spare()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.size()? != size {
        drop(file);
        disk.remove(&paths.spare())?;
        return Ok(false);
    }
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_at(&mut header, 0)?;
    if !seal::frame::is_zero(&header) {
        file.write_at(&[0; SEGMENT_HEADER_BYTES], 0)?;
        file.sync_data()?;
    }
    Ok(true)
}

/// Turns the spare into a segment: header, sync, name, sync of the name.
pub(crate) fn activate_spare(
    disk: &dyn Disk,
    paths: &Paths,
    header: &SegmentHeader,
) -> io::Result<Box<dyn DiskFile>> {
    let bytes = header.encode().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let file = disk.open(&paths.spare())?;
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    disk.rename(&paths.spare(), &paths.segment(header.number))?;
    disk.sync_dir(&paths.segments)?;
    Ok(file)
}

/// Replaces a segment by a fresh file that holds `prefix` and zeros. Blocks that a sync may have failed on are not
/// trusted again: the new file has its own. `prefix` was verified by the caller.
pub(crate) fn copy_segment(
    disk: &dyn Disk,
    paths: &Paths,
    number: u64,
    prefix: &[u8],
    size: u64,
) -> io::Result<Box<dyn DiskFile>> {
    let copy = paths.copy();
    let file = if find_spare(disk, paths, size)? {
        disk.rename(&paths.spare(), &copy)?;
        disk.sync_dir(&paths.segments)?;
        disk.open(&copy)?
    } else {
        fill(disk, &copy, size)?
    };
    file.write_at(prefix, 0)?;
    file.sync_data()?;
    disk.rename(&copy, &paths.segment(number))?;
    disk.sync_dir(&paths.segments)?;
    Ok(file)
}

/// Removes what a gateway that died was still preparing.
pub(crate) fn remove_staged(disk: &dyn Disk, paths: &Paths) -> io::Result<()> {
    for path in [paths.staged(), paths.copy()] {
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of a whole segment file.
pub(crate) fn read_segment(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    crate::disk::read_small(disk, path, crate::limits::SEGMENT_BYTES_MAX)
}

fn fill(disk: &dyn Disk, path: &Path, size: u64) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.create(path)?;
    let zeros = vec![0; FILL_BYTES];
    let mut at = 0;
    while at < size {
        let part = (size - at).min(FILL_BYTES as u64);
        file.write_at(&zeros[..part as usize], at)?;
        at += part;
    }
    file.sync_data()?;
    Ok(file)
}
