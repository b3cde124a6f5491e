//! Plain text for a terminal: aligned columns, no colour codes, nothing that moves the cursor.
//!
//! A file or a pipe gets every line whole. A terminal, whose width is known, gets tables whose cells are wrapped into it.

pub use seal::text::{visible, visible_block, visible_name};

use crate::limits::{
    CELL_CHARS_MAX, CELL_CHARS_MIN, COLUMN_CHARS_MAX, STATEMENT_LINE_CHARS_MAX, STATEMENT_SCREEN_CHARS_MAX,
};

/// Builds the text of an answer line by line.
#[derive(Clone, Debug, Default)]
pub struct Text {
    out: String,
    /// Characters of a line of the terminal that shows it; `None`: no terminal does.
    width: Option<usize>,
}

impl Text {
    /// For a file or a pipe.
    pub fn new() -> Text {
        Text::default()
    }

    /// For a terminal with lines of so many characters, or, without a width, as [`Text::new`].
    pub fn within(width: Option<usize>) -> Text {
        Text { out: String::new(), width }
    }

    /// One line. `line` is made safe here; it may come from a record.
    pub fn line(&mut self, line: &str) {
        self.out.push_str(visible(line).trim_end());
        self.out.push('\n');
    }

    pub fn blank(&mut self) {
        self.out.push('\n');
    }

    /// `label  value`, labels padded to 14.
    pub fn pair(&mut self, label: &str, value: &str) {
        self.line(&format!("{label:<14} {value}"));
    }

    /// A statement, request or command under an action, in one line. A terminal gets its beginning.
    pub fn statement(&mut self, label: &str, statement: &str) {
        let line = match self.width {
            Some(_) => one_line(statement, STATEMENT_SCREEN_CHARS_MAX),
            None => one_line(statement, usize::MAX),
        };
        self.line(&format!("          {label}{line}"));
    }

    /// A table with aligned columns, two spaces apart, indented by two. The last column is not padded. Cells are names,
    /// words and numbers: a space at an end of one is written out.
    pub fn table(&mut self, headers: &[&str], rows: &[Vec<String>]) {
        self.cells(headers, rows, visible_name);
    }

    /// As [`Text::table`], of values: many a database pads them.
    pub fn values(&mut self, headers: &[&str], rows: &[Vec<String>]) {
        self.cells(headers, rows, visible);
    }

    fn cells(&mut self, headers: &[&str], rows: &[Vec<String>], shown: fn(&str) -> String) {
        // Those of a result are names out of the record, too.
        let headers: Vec<String> = headers.iter().map(|h| shown(h)).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| shown(c)).collect()).collect();
        let all = || std::iter::once(&headers).chain(&rows);
        let wide = |i: usize| all().filter_map(|r| r.get(i)).map(|c| width(c)).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..headers.len()).map(wide).collect();
        match self.width {
            Some(line) => {
                fit(&mut widths, line);
                all().for_each(|row| self.wrapped(row, &widths));
            }
            None => {
                // A longer cell stands out of its column: padding every row to it would make a table of mostly blanks.
                widths.iter_mut().for_each(|width| *width = (*width).min(COLUMN_CHARS_MAX));
                all().for_each(|row| self.row(row.iter().map(String::as_str), &widths));
            }
        }
    }

    pub fn finish(self) -> String {
        self.out
    }

    fn row<'a>(&mut self, row: impl Iterator<Item = &'a str>, widths: &[usize]) {
        let mut line = String::from("  ");
        for (text, wide) in row.zip(widths) {
            line.push_str(text);
            let pad = wide.saturating_sub(width(text)) + 2;
            line.extend(std::iter::repeat_n(' ', pad));
        }
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    /// A row whose cells go on in further lines, each under its own beginning.
    fn wrapped(&mut self, row: &[String], widths: &[usize]) {
        let cells: Vec<Vec<&str>> = row.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
        for at in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            self.row(cells.iter().map(|lines| lines.get(at).copied().unwrap_or_default()), widths);
        }
    }
}

/// Makes the widest columns narrower until the row fits into `line`, none below [`CELL_CHARS_MIN`].
fn fit(widths: &mut [usize], line: usize) {
    let room = line.saturating_sub(2 * widths.len());
    let fits = |most: usize| widths.iter().map(|width| *width.min(&most)).sum::<usize>() <= room;
    let widest = widths.iter().copied().max().unwrap_or(0).min(line);
    let most = (CELL_CHARS_MIN..=widest).rev().find(|most| fits(*most)).unwrap_or(CELL_CHARS_MIN);
    widths.iter_mut().for_each(|width| *width = (*width).min(most));
}

/// `text` in pieces of at most `width` characters, cut behind a space where there is one.
fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(width.max(1)) {
        let (whole, behind) = rest.split_at(end);
        let cut = if behind.starts_with(' ') { end } else { whole.rfind(' ').map_or(end, |space| space + 1) };
        let (line, next) = rest.split_at(cut);
        lines.push(line.trim_end());
        rest = next.trim_start();
    }
    lines.push(rest);
    lines
}

/// A statement on one line: white space squeezed, made visible, cut at [`STATEMENT_LINE_CHARS_MAX`] with an ellipsis.
pub fn statement_line(statement: &str) -> String {
    one_line(statement, STATEMENT_LINE_CHARS_MAX)
}

fn one_line(statement: &str, chars: usize) -> String {
    let squeezed = statement.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    cut(&visible(&squeezed), chars)
}

/// A short word or name inside of a line, cut at [`CELL_CHARS_MAX`].
pub fn cell(text: &str) -> String {
    cut(&visible_name(text), CELL_CHARS_MAX)
}

/// `1 record`, `2 records`.
pub fn count(n: u64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_line_ends_in_a_space() {
        let mut text = Text::new();
        text.table(&["a", "bb"], &[vec!["long".into(), "x".into()], vec!["s".into(), String::new()]]);
        assert_eq!(text.finish(), "  a     bb\n  long  x\n  s\n");
    }

    #[test]
    fn neither_a_header_nor_a_cell_nor_a_label_moves_the_cursor() {
        let hostile = "a\x1b]0;x\x07\u{202e}";
        let mut text = Text::within(Some(40));
        text.table(&[hostile], &[vec![hostile.into()]]);
        text.values(&[hostile], &[vec![hostile.into()]]);
        text.pair(hostile, hostile);
        text.statement(hostile, hostile);
        let shown = text.finish();
        assert!(shown.chars().all(|c| c == '\n' || !seal::text::deceives(c)), "{shown:?}");
    }

    #[test]
    fn a_file_or_a_pipe_gets_each_cell_whole() {
        let long = "x".repeat(COLUMN_CHARS_MAX + 9);
        let mut text = Text::new();
        text.table(&["a", "b"], &[vec![long.clone(), "1".into()], vec!["s".into(), "2".into()]]);
        let short = format!("  s{}2", " ".repeat(COLUMN_CHARS_MAX + 1));
        assert!(text.finish().ends_with(&format!("  {long}  1\n{short}\n")));
    }

    #[test]
    fn a_terminal_gets_cells_wrapped_into_its_width() {
        let mut text = Text::within(Some(24));
        text.table(&["a", "b"], &[vec!["ssn output; name output".into(), "12345678".into()]]);
        assert_eq!(text.finish(), "  a             b\n  ssn output;   12345678\n  name output\n");
        assert_eq!(wrap("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrap("ab cd", 2), ["ab", "cd"]);
        assert_eq!(wrap("", 4), [""]);
        let mut text = Text::within(Some(3));
        text.table(&["é"], &[vec!["é".repeat(20)]]);
        assert!(text.finish().lines().all(|line| line.chars().count() <= 2 + CELL_CHARS_MIN));
    }

    #[test]
    fn a_statement_is_whole_in_a_pipe_and_begins_on_a_terminal() {
        let long = "x ".repeat(STATEMENT_SCREEN_CHARS_MAX);
        let shown = |width| {
            let mut text = Text::within(width);
            text.statement("sent: ", &long);
            text.finish()
        };
        assert_eq!(shown(None).trim_end(), format!("          sent: {}", long.trim_end()));
        assert!(shown(Some(80)).trim_end().ends_with('…'));
    }

    #[test]
    fn a_cell_is_cut_at_its_limit_and_not_before() {
        assert_eq!(cell(&"x".repeat(CELL_CHARS_MAX)), "x".repeat(CELL_CHARS_MAX));
        assert_eq!(cell(&"é".repeat(CELL_CHARS_MAX + 1)), format!("{}…", "é".repeat(CELL_CHARS_MAX)));
    }
}
