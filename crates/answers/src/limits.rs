//! Limits of an answer, each with its reason.

/// Most records that one line of an answer cites; the rest are counted. 1,000 numbers are about 8 KiB of JSON, and the
/// filter syntax finds the others.
pub const CITES_MAX: usize = 1_000;

/// Most actions, and most decisions, in one answer of `show`, `replay` or `find`. Actions of about 2 KiB are
/// 20 MiB of JSON; decisions, whose arguments are cut at 8 KiB, at most 90 MiB.
pub const ACTIONS_MAX: usize = 10_000;

/// Most causes of one action that its line names for people; the rest are counted. Past a handful nobody can tell which it
/// was, and JSON has them all: a record, at most 64 KiB, holds about 3,000.
pub const CAUSES_SHOWN_MAX: usize = 8;

/// Most characters of a statement on one line of a terminal. JSON and HTML have it whole.
pub const STATEMENT_LINE_CHARS_MAX: usize = 160;

/// Most characters of a statement under its action on a terminal: some ten lines, so that the next action is in sight. What
/// goes to a file or a pipe has it whole, as the record has.
pub const STATEMENT_SCREEN_CHARS_MAX: usize = 1_000;

/// Most characters of a word or name inside of a line.
pub const CELL_CHARS_MAX: usize = 64;

/// Widest column of a table in a file or a pipe; longer cells are whole, and stand out of it. Padding costs at most so many
/// bytes a cell.
pub const COLUMN_CHARS_MAX: usize = 128;

/// Narrowest column that a table is squeezed to on a terminal: a time or a short word.
pub const CELL_CHARS_MIN: usize = 12;

/// Most rows of one result that `replay` shows.
pub const REPLAY_ROWS_MAX: usize = 1_000;

/// Most bytes of decrypted payloads that one `replay` holds. A reel's head is 8 MiB; this is eight of them.
pub const REPLAY_BYTES_MAX: usize = 64 << 20;

/// Most bytes of decrypted payloads that one cast (commands and terminals of SSH in time) is made of: those of one replay.
pub const CAST_BYTES_MAX: usize = REPLAY_BYTES_MAX;

/// Most bytes of decrypted payloads of a run that is carried out again: all of them are held until it ends.
pub const AGAIN_BYTES_MAX: usize = 1 << 30;

/// Longest query of `find`, in bytes.
pub const QUERY_BYTES_MAX: usize = 4_096;

/// Most terms in one query of `find`.
pub const QUERY_TERMS_MAX: usize = 64;

/// Longest value that `exposed --value` takes, in bytes.
pub const VALUE_BYTES_MAX: usize = 4_096;

/// Most actions of one run that `diff` aligns in order: the table is 2,000 x 2,000 x 2 bytes = 8 MB. Longer runs are
/// compared as sets, and the answer says so.
pub const DIFF_ACTIONS_MAX: usize = 2_000;

/// Most generations of parents that `who` follows.
pub const PARENTS_MAX: usize = 64;

const _: () = assert!(CELL_CHARS_MIN <= CELL_CHARS_MAX);
const _: () = assert!(CITES_MAX <= ACTIONS_MAX);
const _: () = assert!(DIFF_ACTIONS_MAX <= u16::MAX as usize, "the table holds u16");

/// Largest segment file that is read, in bytes: 16 times the default size.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Largest bundle that is read, in bytes. 4 GiB: it is held whole.
pub const BUNDLE_BYTES_MAX: u64 = 4 << 30;
