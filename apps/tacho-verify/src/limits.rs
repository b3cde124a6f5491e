//! What is read into memory at once.

/// Largest segment, in bytes. 1 GiB: sixteen times the default, and one is held at a time.
pub const SEGMENT_FILE_BYTES_MAX: u64 = 1 << 30;

/// Largest bundle, in bytes. 4 GiB: it is held whole.
pub const BUNDLE_FILE_BYTES_MAX: u64 = 4 << 30;

/// Largest checkpoint file, in bytes; a longer one is no note.
pub const NOTE_FILE_BYTES_MAX: u64 = seal::limits::NOTE_BYTES_MAX as u64 + 1;

/// Most segment files: ten digits would allow 10^10; a million of 64 MiB are 64 TiB.
pub const SEGMENT_FILES_MAX: usize = 1_000_000;
