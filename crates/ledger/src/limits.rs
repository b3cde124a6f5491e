//! A limit on everything. The unit stands last in each name.

/// Size of a segment unless configured, in bytes: docs/FORMAT.md section 2.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Smallest segment, in bytes: small enough for tests to cross segments often.
pub const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// Largest segment, in bytes. Recovery reads one segment into memory at a time.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Largest first segment of a ledger, in bytes: filling it is most of an installation's first start, and that must not
/// take long. Four units of the largest size; see [`UNIT_SEGMENT_DIVISOR`].
pub const FIRST_SEGMENT_BYTES_MAX: u64 = 16 << 20;
const _: () = assert!(BATCH_BYTES_MAX as u64 * UNIT_SEGMENT_DIVISOR <= FIRST_SEGMENT_BYTES_MAX);
/// Kept free at the end of a segment for one checkpoint frame and the zero that ends the segment, in bytes.
/// A checkpoint is origin twice (255 each), size, root and one signature: under 800.
pub const SEGMENT_TAIL_BYTES: u64 = 1 << 10;

/// Largest record, in bytes: tlog-tiles has 16-bit entry lengths.
pub const RECORD_BYTES_MAX: usize = 65_535;
/// Deepest nesting of a record, the record itself included: docs/FORMAT.md section 3.
pub const RECORD_DEPTH_MAX: u8 = 16;
/// Largest plaintext of one payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Most payloads of one record; what is more is another `chunk`.
pub const PAYLOADS_MAX: usize = 3;
/// A record with its payloads is written by one write, and takes at most this part of a segment, so that rotation
/// wastes little.
pub const UNIT_SEGMENT_DIVISOR: u64 = 4;

/// Bytes that wait for the committer. 32 MiB at 100 MB/s is a third of a second: less than [`STALL_MILLIS`].
pub const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Records that wait for the committer.
pub const QUEUE_RECORDS_MAX: usize = 65_536;
/// New work may fill the queue only to one half; the rest is for outcomes, refusals and closes.
pub const QUEUE_ADMIT_DIVISOR: usize = 2;
/// One run may fill the queue only to one quarter, so that it cannot stop the others.
pub const QUEUE_RUN_DIVISOR: usize = 4;
/// One write, in bytes. 4 MiB keeps a batch under 50 ms at 100 MB/s.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Checkpoints are signed at least every so many records while the gateway runs.
pub const CHECKPOINT_RECORDS: u64 = 1_024;
/// Most records that a crash can leave behind the last checkpoint: fewer than [`CHECKPOINT_RECORDS`] that stood there, and a
/// batch with a checkpoint that is lost. More were written by somebody else, and are not signed.
pub const ADOPTED_RECORDS_MAX: u64 = 2 * CHECKPOINT_RECORDS;
/// And at least so often while there are new records, in milliseconds.
pub const CHECKPOINT_MILLIS: u64 = 1_000;
/// Silence is visible after this, in milliseconds.
pub const HEARTBEAT_MILLIS: u64 = 10_000;
/// Life of a fingerprint key and of a checkpoint key, in milliseconds.
pub const EPOCH_MILLIS: u64 = 3_600_000;
/// Nothing new is admitted while the oldest unsynced append is older, in milliseconds.
pub const STALL_MILLIS: u64 = 500;
/// The most that the committer waits for more to sync at once ([`crate::commit`]), in microseconds.
pub const GATHER_MICROS_MAX: u64 = 400;
/// The same where threads wait for processors ([`crate::busy`]).
pub const GATHER_BUSY_MICROS_MAX: u64 = 1_000;
/// And while no further one comes, in microseconds.
pub const GATHER_LULL_MICROS: u64 = 300;
/// What came together in so many batches is known of the next.
pub const GATHER_BATCHES: u32 = 16;
/// After a wait for more in vain the next batches do not wait for more: so many, and each time twice as many, up to the second number.
pub const GATHER_HOLD_BATCHES: u32 = 4;
pub const GATHER_HOLD_BATCHES_MAX: u32 = 64;
/// How often it is looked whether threads wait for processors, in milliseconds.
pub const BUSY_MILLIS: u64 = 100;
/// They do where that is more than this part of the time that they run.
pub const BUSY_WAIT_DIVISOR: u64 = 4;
/// Batches whose waiters the herald has yet to wake; the committer wakes those of what is more.
pub const HERALD_BATCHES_MAX: usize = 2;
/// So few waiters the committer wakes itself: to wake the herald would take as long.
pub const WOKEN_HERE_MAX: usize = 2;
/// A failed repair or a failed preparation of a segment is tried again after this, in milliseconds.
pub const RETRY_MILLIS: u64 = 1_000;
/// Longest wait of the background thread between two rounds, in milliseconds.
pub const KEEPER_MILLIS: u64 = 100;

/// Most runs open at a time.
pub const RUNS_OPEN_MAX: usize = 4_096;
/// Records of one run unless configured.
pub const RUN_RECORDS_DEFAULT: u64 = 10_000_000;
/// Record and payload bytes of one run unless configured.
pub const RUN_BYTES_DEFAULT: u64 = 8 << 30;
/// Outcomes, refusals and disconnects of a run over its budget may take this part of it more.
pub const RUN_OVERDRAFT_DIVISOR: u64 = 16;

/// Refusals that are kept while no record is possible; what is more is counted.
pub const LATE_RECORDS_MAX: usize = 256;
/// Bytes of them. 256 refusals of a few hundred bytes each are 100 KiB; one has 64 KiB and a payload at most.
pub const LATE_BYTES_MAX: usize = 4 << 20;

/// Most auditors.
pub const AUDITORS_MAX: usize = 8;
/// Longest origin, in bytes.
pub const ORIGIN_BYTES_MAX: usize = 200;
/// Longest [`crate::Name`], in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;
/// Largest operator's text in one record (a policy), in bytes; what is longer is recorded by digest.
pub const OPERATOR_TEXT_BYTES_MAX: usize = 60_000;
/// Largest file of run keys, in bytes: with two auditors an entry has 261, so that 250,000 runs fit.
pub const RUN_KEYS_BYTES_MAX: u64 = 64 << 20;
/// Rounds of PBKDF2-HMAC-SHA-256 over an auditor's passphrase.
pub const PASSPHRASE_ROUNDS: u32 = 600_000;

const _: () = assert!(SEGMENT_BYTES_MIN >= 512 + 8 * SEGMENT_TAIL_BYTES);
const _: () = assert!(BATCH_BYTES_MAX > PAYLOADS_MAX * (PAYLOAD_BYTES_MAX + 128) + RECORD_BYTES_MAX + 64);
const _: () = assert!(SEGMENT_BYTES_DEFAULT / UNIT_SEGMENT_DIVISOR >= BATCH_BYTES_MAX as u64);
const _: () = assert!(RECORD_BYTES_MAX == seal::limits::RECORD_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX == seal::limits::PLAINTEXT_BYTES_MAX);
const _: () = assert!(RECORD_DEPTH_MAX as usize == seal::limits::CBOR_DEPTH_MAX);
const _: () = assert!(ADOPTED_RECORDS_MAX <= seal::limits::OPEN_RECORDS_MAX);
const _: () = assert!(BATCH_BYTES_MAX <= QUEUE_BYTES_MAX);
const _: () = assert!(OPERATOR_TEXT_BYTES_MAX < RECORD_BYTES_MAX);
