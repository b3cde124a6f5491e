//! How large a screen is.

use crate::limits::{CELLS_MAX, COLUMNS, COLUMNS_MAX, ROWS, ROWS_MAX};

/// Columns and rows of a screen, each at least 1, within [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    columns: u16,
    rows: u16,
    clamped: bool,
}

impl Size {
    /// What a client said of its terminal (RFC 4254, 6.2). Zero says nothing, and is 80 or 24. What is larger than the limits
    /// is made smaller, columns first kept, and [`Size::clamped`] says so.
    pub fn new(columns: u32, rows: u32) -> Size {
        let said = |said: u32, otherwise: u16| if said == 0 { u32::from(otherwise) } else { said };
        let (columns, rows) = (said(columns, COLUMNS), said(rows, ROWS));
        let wide = columns.min(u32::from(COLUMNS_MAX));
        let high = rows.min(u32::from(ROWS_MAX)).min(CELLS_MAX / wide);
        Size {
            columns: u16::try_from(wide).unwrap_or(COLUMNS_MAX),
            rows: u16::try_from(high).unwrap_or(ROWS_MAX),
            clamped: (wide, high) != (columns, rows),
        }
    }

    pub fn columns(self) -> u16 {
        self.columns
    }

    pub fn rows(self) -> u16 {
        self.rows
    }

    /// Whether it is smaller than what was said.
    pub fn clamped(self) -> bool {
        self.clamped
    }
}

impl Default for Size {
    /// 80 x 24.
    fn default() -> Size {
        Size::new(0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_what_was_said_or_the_limit_and_says_so() {
        let table = [
            ((80, 24), (80, 24, false)),
            ((0, 0), (80, 24, false)),
            ((0, 50), (80, 50, false)),
            ((1, 1), (1, 1, false)),
            ((256, 256), (256, 256, false)),
            ((256, 257), (256, 256, true)),
            ((1_000, 65), (1_000, 65, false)),
            ((1_001, 65), (1_000, 65, true)),
            ((1_000, 1_000), (1_000, 65, true)),
            ((65, 1_000), (65, 1_000, false)),
            ((65, 1_001), (65, 1_000, true)),
            ((u32::MAX, u32::MAX), (1_000, 65, true)),
            ((u32::MAX, 0), (1_000, 24, true)),
        ];
        for ((columns, rows), expected) in table {
            let size = Size::new(columns, rows);
            assert_eq!((size.columns(), size.rows(), size.clamped()), expected, "{columns}x{rows}");
        }
    }
}
