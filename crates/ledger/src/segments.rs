//! Segment files: their names, the zero-filled spare, and the copy that replaces a doubtful one.
//!
//! A file grows only while it is prepared. Once it has its name `NNNNNNNNNN.seg` it is overwritten and never grows,
//! so that a sync waits for its own blocks and not for the file system's journal.

use std::io;
use std::path::{Path, PathBuf};

use seal::files::{Among, among_segments};
use seal::frame::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use seal::limits::BODY_BYTES_MAX;
use seal::note::VerifierKey;

use crate::disk::{Disk, DiskFile, PAGE_BYTES};
use crate::limits::{FIRST_SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX};

const FILL_BYTES: usize = 1 << 20;
const _: () = assert!(FILL_BYTES.is_multiple_of(PAGE_BYTES));
/// Small enough to stay in a processor's cache while it is looked at.
const READ_BYTES: usize = 256 << 10;
/// The longest frame, and the length of 0 that ends a segment behind it.
const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + BODY_BYTES_MAX + 4;

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

    /// Where the checkpoints stand that witnesses cosigned.
    pub(crate) fn witnessed(&self) -> PathBuf {
        self.root.join("witness")
    }

    pub(crate) fn cosigned(&self, witness: &VerifierKey) -> PathBuf {
        self.witnessed().join(format!("{:08x}", witness.hash()))
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
    match among_segments(name) {
        Among::Segment(number) => Some(number),
        Among::Spare | Among::Other => None,
    }
}

/// The numbers of the segments that are there, sorted.
pub(crate) fn list_segments(disk: &dyn Disk, paths: &Paths) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> =
        disk.list(&paths.segments)?.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes a new ledger's first segment, of at most [`FIRST_SEGMENT_BYTES_MAX`]: the spare that follows it is prepared
/// while it is used. Returns its size, too.
pub(crate) fn first_segment(
    disk: &dyn Disk,
    paths: &Paths,
    header: &SegmentHeader,
    segment_bytes: u64,
) -> io::Result<(Box<dyn DiskFile>, u64)> {
    if find_spare(disk, paths, segment_bytes)? {
        return Ok((activate_spare(disk, paths, header)?, segment_bytes));
    }
    let size = segment_bytes.min(FIRST_SEGMENT_BYTES_MAX);
    prepare_spare(disk, paths, size, Pieces::Whole)?;
    Ok((activate_spare(disk, paths, header)?, size))
}

/// Makes the spare: zero-filled, synced, named. Errors leave no file behind that takes room.
pub(crate) fn prepare_spare(disk: &dyn Disk, paths: &Paths, size: u64, pieces: Pieces) -> io::Result<()> {
    let staged = paths.staged();
    let made = fill(disk, &staged, size, pieces).and_then(|()| {
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
/// trusted again: the new file has its own. `prefix` was verified by the caller. A spare, of `spare` bytes, is used if
/// it has the segment's size.
pub(crate) fn copy_segment(
    disk: &dyn Disk,
    paths: &Paths,
    number: u64,
    prefix: &[u8],
    (size, spare): (u64, u64),
) -> io::Result<Box<dyn DiskFile>> {
    let copy = paths.copy();
    if size == spare && find_spare(disk, paths, size)? {
        disk.rename(&paths.spare(), &copy)?;
        disk.sync_dir(&paths.segments)?;
    } else {
        fill(disk, &copy, size, Pieces::Whole)?;
    }
    let file = disk.open(&copy)?;
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

/// A segment file as it was read.
pub(crate) struct Segment {
    /// The file's bytes, but for zeros at its end that no reader tells from more of them: behind the last byte that is
    /// not zero stands room for the longest frame, or the end of the file. A frame that begins before there ends in it;
    /// what begins behind is the zero that ends the segment.
    pub(crate) bytes: Vec<u8>,
    /// The file's size.
    pub(crate) size: u64,
}

/// Reads a whole segment file, and keeps what is in it. A segment is mostly zeros until it is nearly full: to hold them
/// would cost more than all else that a start does.
pub(crate) fn read_segment(disk: &dyn Disk, path: &Path) -> io::Result<Segment> {
    let file = disk.open_read(path)?;
    let size = file.size()?;
    if size > SEGMENT_BYTES_MAX {
        let what = format!("{size} bytes, at most {SEGMENT_BYTES_MAX} expected");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    let mut part = vec![0; READ_BYTES];
    let (mut bytes, mut at) = (Vec::new(), 0);
    loop {
        let got = file.read_at(&mut part, at as u64)?;
        if got == 0 {
            break;
        }
        if !seal::frame::is_zero(&part[..got]) {
            bytes.resize(at, 0);
            bytes.extend_from_slice(&part[..got]);
        }
        at += got;
    }
    bytes.resize(at.min(bytes.len() + FRAME_BYTES_MAX), 0);
    Ok(Segment { bytes, size: at as u64 })
}

/// What is synced at once while a file is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// All of it: soonest done.
    Whole,
    /// Each piece: a record's sync beside it waits for one piece, and not for all that the disk has been given.
    Synced,
}

/// Makes a file of zeros. They go past the operating system's cache where they can: copying them into it was a seventh of
/// all processor time while 32 writers waited for records, and their pages took the place of something else's. A record's
/// write does not miss them there ([`whole_page`]).
fn fill(disk: &dyn Disk, path: &Path, size: u64, pieces: Pieces) -> io::Result<()> {
    if size.is_multiple_of(PAGE_BYTES as u64) {
        match disk.create_uncached(path).and_then(|file| write_zeros(&*file, size, pieces)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            made => return made,
        }
    }
    write_zeros(&*disk.create(path)?, size, pieces)
}

fn write_zeros(file: &dyn DiskFile, size: u64, pieces: Pieces) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES + PAGE_BYTES];
    let zeros = &zeros[zeros.as_ptr().align_offset(PAGE_BYTES)..][..FILL_BYTES];
    let mut at = 0;
    while at < size {
        let part = (size - at).min(FILL_BYTES as u64);
        file.write_at(&zeros[..part as usize], at)?;
        at += part;
        if pieces == Pieces::Synced || at == size {
            file.sync_data()?;
        }
    }
    Ok(())
}

/// Where a write of what stands from `start` to `end` is to end, in a segment of `size` bytes, so that it overwrites the
/// page whole on which it ends: of zeros by zeros. Else that page would be read from the disk first, which takes as long
/// as a sync. A page on which something was written before is in the cache, and need not be whole.
pub(crate) fn whole_page(start: u64, end: u64, size: u64) -> u64 {
    let page = |at: u64| at / PAGE_BYTES as u64;
    let begun = !start.is_multiple_of(PAGE_BYTES as u64) && page(start) == page(end);
    if begun { end } else { end.next_multiple_of(PAGE_BYTES as u64).min(size).max(end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;
    use seal::frame::{self, Kind, scan_segment};

    fn segment(size: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let header =
            SegmentHeader { number: 0, first_seq: 0, first_batch: 0, origin: "test/ledger".to_owned() };
        let mut bytes = header.encode().unwrap().to_vec();
        frame::encode_batch(0, bytes.len() as u64, &mut bytes);
        write(&mut bytes);
        bytes.resize(size, 0);
        bytes
    }

    #[test]
    fn a_write_ends_with_a_page_unless_one_before_it_began_that_page() {
        for (start, end, size, expect) in [
            (512, 600, 1 << 20, 600),
            (512, 4_095, 1 << 20, 4_095),
            (512, 4_096, 1 << 20, 4_096),
            (512, 4_097, 1 << 20, 8_192),
            (4_096, 4_097, 1 << 20, 8_192),
            (4_097, 4_098, 1 << 20, 4_098),
            (4_097, 70_000, 1 << 20, 73_728),
            (4_096, 4_097, 5_000, 5_000),
        ] {
            assert_eq!(whole_page(start, end, size), expect, "{start} to {end}");
        }
    }

    #[test]
    fn a_disk_without_a_way_past_its_cache_is_filled_through_it() {
        let (disk, paths) = (SimDisk::new(1), Paths::new(Path::new("/ledger")));
        disk.create_dir(&paths.segments).unwrap();
        disk.fail_write(1, io::ErrorKind::InvalidInput);
        prepare_spare(&disk, &paths, 3 << 20, Pieces::Synced).unwrap();
        assert!(find_spare(&disk, &paths, 3 << 20).unwrap());
        disk.fail_write(2, io::ErrorKind::StorageFull);
        let error = prepare_spare(&disk, &paths, 3 << 20, Pieces::Synced).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_segment_without_the_zeros_at_its_end_reads_as_the_whole() {
        const SIZE: usize = 3 << 20;
        let record = |body: &[u8], out: &mut Vec<u8>| frame::encode_frame(Kind::Record, body, out).unwrap();
        let mut long = vec![0; BODY_BYTES_MAX];
        long[0] = 1;
        let mut cases = vec![
            segment(SIZE, |_| ()),
            segment(SIZE, |out| record(&[7; 100], out)),
            // The last frame ends in zeros, many or all that a frame can have.
            segment(SIZE, |out| record(&[7, 0, 0, 0, 0], out)),
            segment(SIZE, |out| record(&long, out)),
            segment(512 + frame::BATCH_FRAME_BYTES + FRAME_HEADER_BYTES + BODY_BYTES_MAX, |out| {
                record(&long, out)
            }),
            // Only its length was written.
            segment(SIZE, |out| out.extend_from_slice(&(BODY_BYTES_MAX as u32).to_be_bytes())),
            // It would reach behind the file's end.
            segment(1 << 20, |out| out.extend_from_slice(&(BODY_BYTES_MAX as u32).to_be_bytes())),
            vec![0; SIZE],
            Vec::new(),
        ];
        // Something far behind the end, a batch that was once durable among it.
        for at in [READ_BYTES, READ_BYTES + 1, SIZE - frame::BATCH_FRAME_BYTES] {
            let mut garbage = cases[1].clone();
            garbage[at] = 1;
            let mut later = cases[1][..at].to_vec();
            frame::encode_batch(5, at as u64, &mut later);
            later.resize(SIZE, 0);
            cases.extend([garbage, later]);
        }
        for (n, whole) in cases.into_iter().enumerate() {
            let (disk, path) = (SimDisk::new(1), Path::new("/0000000000.seg"));
            disk.put(path, &whole);
            let read = read_segment(&disk, path).unwrap();
            assert_eq!(read.size, whole.len() as u64, "{n}");
            let (kept, rest) = whole.split_at(read.bytes.len());
            assert!(kept == read.bytes && seal::frame::is_zero(rest), "{n}");
            for is_last in [true, false] {
                assert_eq!(scan_segment(&read.bytes, is_last), scan_segment(&whole, is_last), "{n}");
            }
        }
    }
}
