//! The table that BENCHMARKS.md shows: a figure, its target, what was measured.

use std::fmt;

/// Figures with their targets, in the order of the issue.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    figure: String,
    target: String,
    measured: String,
    /// `None`: for information, without a target.
    met: Option<bool>,
}

impl Table {
    /// The measured value may be at most `limit`.
    pub fn at_most(&mut self, figure: &str, limit: f64, value: f64, unit: &str, detail: &str) {
        let met = Some(value <= limit);
        self.add(figure, format!("<= {}", number(limit, unit)), number(value, unit), detail, met);
    }

    /// The measured value must be at least `limit`.
    pub fn at_least(&mut self, figure: &str, limit: f64, value: f64, unit: &str, detail: &str) {
        let met = Some(value >= limit && value.is_finite());
        self.add(figure, format!(">= {}", number(limit, unit)), number(value, unit), detail, met);
    }

    /// A figure without a target.
    pub fn told(&mut self, figure: &str, value: f64, unit: &str, detail: &str) {
        self.add(figure, String::new(), number(value, unit), detail, None);
    }

    fn add(&mut self, figure: &str, target: String, value: String, detail: &str, met: Option<bool>) {
        let measured = if detail.is_empty() { value } else { format!("{value} ({detail})") };
        self.rows.push(Row { figure: figure.to_owned(), target, measured, met });
    }
}

/// Markdown, with the columns aligned for whoever reads it as it is.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<[&str; 4]> = std::iter::once(["figure", "target", "measured", "met"])
            .chain(self.rows.iter().map(|row| {
                let met = match row.met {
                    Some(true) => "yes",
                    Some(false) => "**no**",
                    None => "",
                };
                [&*row.figure, &*row.target, &*row.measured, met]
            }))
            .collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for (n, row) in cells.iter().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:<width$} ")?;
            }
            writeln!(f, "|")?;
            if n == 0 {
                widths.iter().try_for_each(|width| write!(f, "|{}", "-".repeat(width + 2)))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Three significant digits, with the unit.
fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let blank = if unit.is_empty() || unit == "x" { "" } else { " " };
    format!("{value:.digits$}{blank}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_at_its_limit_and_missed_beyond_it() {
        let mut table = Table::default();
        table.at_most("a", 1.2, 1.2, "x", "");
        table.at_most("b", 1.2, 1.21, "x", "12 / 10 us");
        table.at_least("c", 0.9, 0.89, "x", "");
        table.told("d", 4096.0, "KiB", "");
        let text = table.to_string();
        assert!(text.contains("| a      | <= 1.20x | 1.20x              | yes    |"), "{text}");
        assert!(text.contains("| b      | <= 1.20x | 1.21x (12 / 10 us) | **no** |"), "{text}");
        assert!(text.contains("| c      | >= 0.90x | 0.89x              | **no** |"), "{text}");
        assert!(text.contains("| d      |          | 4096 KiB           |        |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_meets_nothing() {
        let mut table = Table::default();
        table.at_least("a", 0.9, f64::NAN, "x", "");
        table.at_most("b", 0.9, f64::NAN, "x", "");
        // So many a second, of a peer that did nothing.
        table.at_least("c", 0.9, f64::INFINITY, "x", "");
        assert_eq!(table.to_string().matches("**no**").count(), 3);
    }
}
