//! Plain text for a terminal: aligned columns, no colour codes, nothing that moves the cursor.

use crate::limits::{CELL_CHARS_MAX, STATEMENT_LINE_CHARS_MAX};

/// Builds the text of an answer line by line.
#[derive(Clone, Debug, Default)]
pub struct Text {
    out: String,
}

impl Text {
    pub fn new() -> Text {
        Text::default()
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

    /// A table with aligned columns, two spaces apart, indented by two. The last column is not padded.
    pub fn table(&mut self, headers: &[&str], rows: &[Vec<String>]) {
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| cell(c)).collect()).collect();
        let widths: Vec<usize> = (0..headers.len())
            .map(|i| {
                rows.iter().filter_map(|r| r.get(i)).chain([&headers[i].to_owned()]).map(|c| width(c)).max()
            })
            .map(|w| w.unwrap_or(0))
            .collect();
        let headers: Vec<String> = headers.iter().map(|h| (*h).to_owned()).collect();
        for row in std::iter::once(&headers).chain(&rows) {
            self.row(row, &widths);
        }
    }

    pub fn finish(self) -> String {
        self.out
    }

    fn row(&mut self, row: &[String], widths: &[usize]) {
        let mut line = String::from("  ");
        for (text, wide) in row.iter().zip(widths) {
            line.push_str(text);
            let pad = wide.saturating_sub(width(text)) + 2;
            line.extend(std::iter::repeat_n(' ', pad));
        }
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }
}

/// `text` with every character that a terminal or a reader could be deceived by written as `\u{..}`: controls, bidi
/// marks and overrides, zero-width and other invisible characters, line and paragraph separators.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if deceives(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// As [`visible`], but line feeds and tabs stay: for text that is shown in a block of its own.
pub fn visible_block(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && c != '\t' && deceives(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A statement on one line: white space squeezed, made visible, cut at [`STATEMENT_LINE_CHARS_MAX`] with an ellipsis.
pub fn statement_line(statement: &str) -> String {
    let squeezed = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&visible(&squeezed), STATEMENT_LINE_CHARS_MAX)
}

/// A table cell: one line, cut at [`CELL_CHARS_MAX`].
pub fn cell(text: &str) -> String {
    cut(&visible(text), CELL_CHARS_MAX)
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

/// Whether a character moves the cursor, reorders text, or cannot be seen.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_a_reader_is_written_out() {
        assert_eq!(visible("a\x1b[2Jb\u{202e}c\u{200b}d\ne"), "a\\u{1b}[2Jb\\u{202e}c\\u{200b}d\\u{a}e");
        assert_eq!(visible("größe 数 naïve"), "größe 数 naïve");
        assert_eq!(visible_block("a\n\tb\r\u{2066}"), "a\n\tb\\u{d}\\u{2066}");
    }

    #[test]
    fn columns_line_up_and_no_line_ends_in_a_space() {
        let mut text = Text::new();
        text.table(&["a", "bb"], &[vec!["long".into(), "x".into()], vec!["s".into(), String::new()]]);
        assert_eq!(text.finish(), "  a     bb\n  long  x\n  s\n");
    }

    #[test]
    fn a_cell_is_cut_at_its_limit_and_not_before() {
        assert_eq!(cell(&"x".repeat(CELL_CHARS_MAX)), "x".repeat(CELL_CHARS_MAX));
        assert_eq!(cell(&"é".repeat(CELL_CHARS_MAX + 1)), format!("{}…", "é".repeat(CELL_CHARS_MAX)));
    }
}
