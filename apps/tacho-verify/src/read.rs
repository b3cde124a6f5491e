//! From files to a verdict.

use crate::limits::{BUNDLE_FILE_BYTES_MAX, NOTE_FILE_BYTES_MAX, SEGMENT_FILE_BYTES_MAX, SEGMENT_FILES_MAX};
use seal::files::{Among, Copies, among_segments};
use seal::frame::{BUNDLE_MAGIC, SEGMENT_HEADER_BYTES, is_zero};
use seal::verify::{Finding, Options, Report, Verifier, Warning, verify_bundle};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why there is no report.
#[derive(Debug)]
pub enum Failure {
    /// The evidence does not verify.
    NotVerified(Box<Finding>),
    /// It could not be read, so nothing is known about it.
    Unreadable { path: PathBuf, what: String },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotVerified(finding) => finding.fmt(f),
            Failure::Unreadable { path, what } => write!(f, "{}: {what}", path.display()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Failure {
        Failure::NotVerified(Box::new(finding))
    }
}

/// How far a verification is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub segments_done: usize,
    pub segments: usize,
    /// Bytes read.
    pub bytes: u64,
}

/// Verifies what is at `path`: a bundle; a ledger's directory (with `segment/`, and `checkpoint` and `witness/` if they are there); the
/// data directory around it (`ledger/`); or the directory of segments itself. `progress` is called after each segment.
pub fn verify_path(
    path: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Failure> {
    if !path.is_dir() {
        return verify_bundle_file(path, options);
    }
    let candidates = [path.join("segment"), path.join("ledger").join("segment"), path.to_owned()];
    for directory in candidates.iter().filter(|directory| directory.is_dir()) {
        let listing = list(directory)?;
        if !listing.segments.is_empty() {
            let beside = directory.parent().filter(|_| directory != path);
            return verify_segments(&listing, beside, options, progress);
        }
    }
    Err(unreadable(
        path,
        "no ledger here: neither ledger/segment, nor segment, nor files like 0000000000.seg",
    ))
}

/// Reads the beginning of a checkpoint that was given. It may be a pipe: whoever gave it knows what writes into it.
pub(crate) fn read_given(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(|error| io_failure(path, &error))?;
    read_from(file, path, NOTE_FILE_BYTES_MAX)
}

fn verify_bundle_file(path: &Path, options: &Options) -> Result<Report, Failure> {
    let mut bytes = Vec::new();
    read_into(path, BUNDLE_FILE_BYTES_MAX, &mut bytes)?;
    if !bytes.starts_with(&BUNDLE_MAGIC[..5]) {
        return Err(unreadable(path, "neither a directory nor a bundle"));
    }
    Ok(verify_bundle(&bytes, options)?)
}

/// The files of a directory of segments.
struct Listing {
    /// In order of number.
    segments: Vec<(u64, PathBuf)>,
    /// Files that are no segments by their name.
    others: usize,
}

fn list(directory: &Path) -> Result<Listing, Failure> {
    let mut listing = Listing { segments: Vec::new(), others: 0 };
    for entry in fs::read_dir(directory).map_err(|error| io_failure(directory, &error))? {
        let path = entry.map_err(|error| io_failure(directory, &error))?.path();
        match path.file_name().and_then(|name| name.to_str()).map_or(Among::Other, among_segments) {
            Among::Segment(number) => listing.segments.push((number, path)),
            Among::Spare => {}
            Among::Other => listing.others += 1,
        }
        if listing.segments.len() > SEGMENT_FILES_MAX {
            return Err(unreadable(directory, "too many segments"));
        }
    }
    listing.segments.sort();
    Ok(listing)
}

fn verify_segments(
    listing: &Listing,
    beside: Option<&Path>,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Failure> {
    let mut warnings = Vec::new();
    if listing.others > 0 {
        warnings.push(format!("{} other files stand among the segments and were not read", listing.others));
    }
    // Read before the segments: while a gateway writes, its copy is never ahead of them.
    let mut options = options.clone();
    let copies = beside.map(copies).transpose()?.unwrap_or_default();
    options.known.extend(copies.known);
    warnings.extend(copies.unused);
    let last = last_used(&listing.segments)?;
    let mut verifier = Verifier::new(options);
    let (mut buffer, mut bytes) = (Vec::new(), 0);
    for (index, (number, path)) in listing.segments.iter().enumerate() {
        read_into(path, SEGMENT_FILE_BYTES_MAX, &mut buffer)?;
        verifier.push_segment(*number, &buffer, index == last)?;
        bytes += buffer.len() as u64;
        progress(Progress { segments_done: index + 1, segments: listing.segments.len(), bytes });
    }
    let mut report = verifier.finish()?;
    report.warnings.extend(warnings.into_iter().map(|text| Warning { seq: 0, text }));
    Ok(report)
}

/// The ledger's own copies of checkpoints, which stand beside its segments.
fn copies(ledger: &Path) -> Result<Copies, Failure> {
    let witnesses = ledger.join("witness");
    let mut names = Vec::new();
    if witnesses.is_dir() {
        for entry in fs::read_dir(&witnesses).map_err(|error| io_failure(&witnesses, &error))? {
            let name = entry.map_err(|error| io_failure(&witnesses, &error))?.file_name();
            names.extend(name.into_string());
        }
    }
    Copies::read(names, |path| {
        let path = ledger.join(path);
        path.exists().then(|| read_beginning(&path, NOTE_FILE_BYTES_MAX)).transpose()
    })
}

/// The first bytes of a file, at most so many.
fn read_beginning(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    read_from(open(path)?, path, most)
}

fn read_from(file: File, path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|error| io_failure(path, &error))?;
    Ok(bytes)
}

/// The index of the last segment that is in use: those after it have not even a header.
fn last_used(segments: &[(u64, PathBuf)]) -> Result<usize, Failure> {
    for (index, (_, path)) in segments.iter().enumerate().rev() {
        let header = read_beginning(path, SEGMENT_HEADER_BYTES as u64)?;
        if !is_zero(&header) {
            return Ok(index);
        }
    }
    Ok(0)
}

/// Reads a file into a buffer that is used again, so that its pages stay warm.
fn read_into(path: &Path, limit: u64, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    buffer.clear();
    let file = open(path)?;
    let size = file.metadata().map_err(|error| io_failure(path, &error))?.len();
    if size > limit {
        return Err(unreadable(path, &format!("{size} bytes, over the limit of {limit}")));
    }
    // One more than the limit, so that a file that grows meanwhile is noticed.
    file.take(limit + 1).read_to_end(buffer).map_err(|error| io_failure(path, &error))?;
    if buffer.len() as u64 > limit { Err(unreadable(path, "over the limit")) } else { Ok(()) }
}

/// Opens a file. A pipe of that name would be waited for, and could be read for ever.
fn open(path: &Path) -> Result<File, Failure> {
    let meta = fs::metadata(path).map_err(|error| io_failure(path, &error))?;
    if !meta.is_file() {
        return Err(unreadable(path, "no regular file"));
    }
    File::open(path).map_err(|error| io_failure(path, &error))
}

fn io_failure(path: &Path, error: &io::Error) -> Failure {
    unreadable(path, &error.to_string())
}

fn unreadable(path: &Path, what: &str) -> Failure {
    Failure::Unreadable { path: path.to_owned(), what: what.to_owned() }
}
