//! Limits of the index, each with its arithmetic.

/// Most records that one index holds. 16 Mi records of about 400 bytes of tables each are 6.4 GiB; an operator with more
/// asks over a range, or over a bundle.
pub const RECORDS_MAX: u64 = 16 << 20;

/// Most flaws kept with one record; further ones are counted in the last. A record is at most 64 KiB, so a hostile one
/// could otherwise bring 20,000.
pub const FLAWS_MAX: usize = 32;

/// Most distinct texts shared between records (statements, names, rules). Past it texts are stored once per record.
pub const SHARED_TEXTS_MAX: usize = 1 << 20;

/// Longest text that is worth sharing, in bytes: hashing more costs what it saves.
pub const SHARED_TEXT_BYTES_MAX: usize = 4096;

const _: () = assert!(FLAWS_MAX >= 2);
const _: () = assert!(SHARED_TEXT_BYTES_MAX <= 65_535, "a record's size");

/// Largest bundle that is read into memory, in bytes. A run's records and reel are budgeted well below it.
pub const BUNDLE_BYTES_MAX: usize = 4 << 30;
