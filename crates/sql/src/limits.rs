//! A limit on everything that a client or an upstream can make grow.

/// Longest text, in bytes. A tree takes about 40 times its text: 1 MiB is 40 MiB while it is decided.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Most statements in one text.
pub const STATEMENTS_MAX: usize = 1_000;

/// Deepest nesting that a text could mean, in grammar levels; see `statement::depth`. The parser, its decoder and our
/// walks take at most 2 KiB of stack a level: 256 x 2 KiB = 512 KiB, a quarter of a 2 MiB thread.
pub const DEPTH_MAX: usize = 256;

/// Most relations, views expanded, that one statement may reach.
pub const RELATIONS_MAX: usize = 2_000;

/// Deepest chain of views over views that is expanded.
pub const VIEW_DEPTH_MAX: usize = 32;

/// Most columns that the items of one FROM may have together, stars expanded.
pub const COLUMNS_MAX: usize = 20_000;

/// Longest rewritten text, in bytes.
pub const REWRITTEN_BYTES_MAX: usize = 4 << 20;

/// Most rows that one catalog query may return.
pub const CATALOG_ROWS_MAX: usize = 1_000_000;

const _: () = assert!(REWRITTEN_BYTES_MAX >= TEXT_BYTES_MAX);
