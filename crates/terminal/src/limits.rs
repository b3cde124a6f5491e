//! Limits of a screen, each with its reason.

/// Most columns. A log line of a thousand characters is seen whole; a wider window is nobody's.
pub const COLUMNS_MAX: u16 = 1_000;

/// Most rows.
pub const ROWS_MAX: u16 = 1_000;

/// Most cells of a screen. A 4K monitor full of the smallest legible type has about 430 x 110 = 47,300. A cell has 20 bytes and
/// there are two screens (the alternate one): 65,536 x 20 x 2 = 2.6 MB.
pub const CELLS_MAX: u32 = 1 << 16;

/// What is taken where nobody said a size: the size that terminals have had since the VT100.
pub const COLUMNS: u16 = 80;
pub const ROWS: u16 = 24;

/// Most cells that one screen's input may touch, all in all. Four hostile bytes can clear 65,536 cells: 64 MiB of them are 10^12,
/// half an hour. This is some ten seconds of it, or 16 GiB of plain characters.
pub const WORK_CELLS_MAX: u64 = 1 << 34;

/// What it costs to have all of a screen searched, in cells that are touched, for each of its cells.
pub const SEARCH_COST: u64 = 16;

const _: () = assert!(COLUMNS as u32 * ROWS as u32 <= CELLS_MAX);
const _: () = assert!(COLUMNS_MAX as u32 <= CELLS_MAX, "one row fits");
