//! A limit on everything that a client or an upstream can make grow.

/// Longest text, in bytes. What its tree takes is bounded by [`TREE_TOKENS_MAX`].
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Most tokens that the tree of one text is made of, in copies: what stands behind `SET (a, b) =` the parser writes once for
/// each name. A column's name and its comma take 4 KiB in the parser's trees (measured, 2 KiB a token; an ordinary INSERT
/// takes 140 times its text): 600 MB at the very worst, in each worker that parses.
pub const TREE_TOKENS_MAX: usize = 300_000;

/// Most statements in one text.
pub const STATEMENTS_MAX: usize = 1_000;

/// Deepest nesting that a text could mean, in grammar levels; see `statement::depth`.
pub const DEPTH_MAX: usize = 400;

/// Deepest nesting that is walked on the caller's own stack. The decoder of the parser's trees takes 37 KiB a level
/// (measured, 130 KiB a query of [`QUERY_LEVELS`]): 24 x 37 KiB = 888 KiB of a runtime worker's 2 MiB. A deeper
/// statement costs a thread, some 30 us.
pub const DEPTH_INLINE_MAX: usize = 24;

/// The stack of a thread for deeper ones; it is reserved, and only touched as far as it is used.
pub const DEEP_STACK_BYTES: usize = 64 << 20;
const _: () = assert!(DEPTH_MAX * (64 << 10) <= DEEP_STACK_BYTES);

/// How many levels a query inside a query counts for: our walk of one takes that many frames more.
pub const QUERY_LEVELS: usize = 6;

/// Most relations, views expanded, that one statement may reach.
pub const RELATIONS_MAX: usize = 2_000;

/// Deepest chain of views over views that is expanded.
pub const VIEW_DEPTH_MAX: usize = 32;

/// Most columns that the items of one FROM may have together, stars expanded.
pub const COLUMNS_MAX: usize = 20_000;

/// Most columns that all names of one statement together may be looked for among: 1,000 names in a FROM of 2,000 columns.
/// Each may be kept, in 40 bytes: 80 MB at the very worst.
pub const LOOKS_MAX: usize = 2_000_000;

/// Longest rewritten text, in bytes.
pub const REWRITTEN_BYTES_MAX: usize = 4 << 20;

/// Most trees of masked sub-selects that are kept with a catalog, and the longest of their texts, in bytes: those hold
/// quoted names and calls, some 150 times their text: 256 x 8 KiB x 150 = 300 MiB at the very worst, and a few MiB where
/// tables have a dozen columns.
pub const PREPARED_MAX: usize = 256;
pub const PREPARED_BYTES_MAX: usize = 8 << 10;

/// Longest name beyond ASCII, in bytes of UTF-8, that no other encoding makes longer than PostgreSQL keeps one.
pub const LONG_NAME_BYTES: usize = 31;

/// Most rows that one catalog query may return.
pub const CATALOG_ROWS_MAX: usize = 1_000_000;

const _: () = assert!(REWRITTEN_BYTES_MAX >= TEXT_BYTES_MAX);
