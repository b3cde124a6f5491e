//! Limits of the gate.

/// Questions that may wait at once. Each holds one session (at most 512 of them) and about 4 KiB: 2 MiB.
pub const ASKS_MAX: usize = 512;
/// Longest grant for a shape, in minutes: one working day.
pub const SHAPE_MINUTES_MAX: u32 = 8 * 60;
/// Grants for shapes that live at once in one run. Each is 32 bytes and a name; more is a sign of misuse.
pub const SHAPES_PER_RUN_MAX: usize = 64;
/// Canonical requests that a run is known to have recorded; each 32 bytes. Beyond it their texts are recorded again.
pub const REQUESTS_PER_RUN_MAX: usize = 4_096;
/// A permit is spent within this many milliseconds after it was minted, else it is void.
pub const PERMIT_MILLIS: u64 = 30_000;
/// Bind values that stand in the record itself, at most 75 bytes each: 19 KiB of the 64 KiB of a record. Types and sizes
/// of the rest stand in its encrypted payload; at most 65,535 of 12 bytes, under 1 MiB.
pub const PARAMS_MAX: usize = 256;
/// Seqs of intents that one record settles: 9 bytes each at most, so 18 KiB of the 64 KiB of a record.
pub const SETTLES_MAX: usize = 2_000;
