//! Every limit of the format, with its reason.

/// Largest body of a frame, in bytes: a payload of 1 MiB of plaintext with its nonce (12) and tag (16), and some to spare.
pub const BODY_BYTES_MAX: usize = (1 << 20) + 64;

/// Largest plaintext of a payload, in bytes. 1 MiB: one released chunk (64 KiB) many times over.
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 20;

/// Largest record, in bytes: an entry of a C2SP tile bundle has a 16-bit length.
pub const RECORD_BYTES_MAX: usize = u16::MAX as usize;

/// Deepest nesting of arrays and maps in CBOR; the record's own map is level 1.
pub const CBOR_DEPTH_MAX: usize = 16;

/// Longest origin, in bytes. It is a key name too: no space, no `+`.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// Largest signed note, in bytes: three short lines and [`NOTE_SIGNATURES_MAX`] signatures of at most 4 KiB.
pub const NOTE_BYTES_MAX: usize = 65_536;

/// Most signatures on a note: the gateway's and those of a generous set of witnesses.
pub const NOTE_SIGNATURES_MAX: usize = 16;

/// Most cosigned checkpoints beside the segments, one of each witness; the gateway has at most 8.
pub const COPIES_MAX: usize = 64;

/// Most records after a ledger's last checkpoint. The gateway signs at 1,024 or after a second, whichever is
/// first, but only between batches; what one batch adds on top stays far below this.
pub const OPEN_RECORDS_MAX: u64 = 4_096;

/// How far `at` may run backwards from record to record before it is worth a warning, in nanoseconds. Records of
/// concurrent sessions reach the committer out of order by microseconds; 5 s is a clock that was set.
pub const AT_BACKWARDS_NANOS_MAX: u64 = 5_000_000_000;

/// Most warnings kept in a report; further ones are only counted.
pub const WARNINGS_MAX: usize = 64;

/// Most hashes in an inclusion or consistency proof: a tree of 2^64 leaves is 64 levels high, and a consistency
/// proof has one more.
pub const PROOF_HASHES_MAX: usize = 65;

/// Most hashes of a proof that a witness reads: the number of C2SP tlog-witness.
pub const WITNESS_PROOF_LINES_MAX: usize = 63;

const _: () = assert!(PLAINTEXT_BYTES_MAX + 12 + 16 <= BODY_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(NOTE_BYTES_MAX <= BODY_BYTES_MAX);
