//! Every bound of this crate, with its reason.

/// Largest policy file, in bytes. 1 MiB is some ten thousand rules.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Most rules of a policy. At 1 us each, an unsliced decision takes 2 ms.
pub const RULES_MAX: usize = 2_000;
/// Most files of a policy.
pub const FILES_MAX: usize = 256;
/// Most accesses of one request; more are refused. A statement has fewer relations than PostgreSQL joins (1,664 columns).
pub const ACCESSES_MAX: usize = 1_024;
/// How deep a resource lies; deeper ones are refused. A path of HTTP has at most 128 segments.
pub const DEPTH_MAX: usize = 160;
/// How deep the resources of one request's accesses lie, all together; more are refused. What lies above each is hashed, and its name is
/// as long as it is deep.
pub const ANCESTORS_MAX: usize = 8_192;
const _: () = assert!(ANCESTORS_MAX >= DEPTH_MAX && ANCESTORS_MAX >= ACCESSES_MAX * 5);
/// Most columns of one access: PostgreSQL's limit on the columns of a table, in each of seven positions.
pub const COLUMNS_MAX: usize = 1_600 * 7;
/// Most ancestors of a run.
pub const PARENTS_MAX: usize = 16;
/// Longest canonical request that is read back, in bytes.
pub const CANONICAL_BYTES_MAX: usize = 4 << 20;
