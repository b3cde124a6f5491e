//! The model of a terminal, and the one place that knows whose it is.

use avt::parser::Function;
use avt::{Cell, Color, Line, Parser, Pen, Terminal};
use unicode_width::UnicodeWidthChar;

use crate::limits::{SEARCH_COST, WORK_CELLS_MAX};
use crate::{Size, Utf8};

/// A terminal's screen.
///
/// What it costs is bounded: two screens of [`crate::limits::CELLS_MAX`] cells, no scrollback, and as much work as
/// [`WORK_CELLS_MAX`] says. Any bytes will do, in any pieces.
pub struct Screen {
    parser: Parser,
    model: Terminal,
    utf8: Utf8,
    /// How many cells input may still touch.
    work: u64,
    /// Since the last [`Screen::moved`] it did something else than write what stands behind all else, in whatever colour.
    moved: bool,
    /// Colours were set since the line began.
    coloured: bool,
    /// The cursor is at the beginning of a line again.
    returned: bool,
    /// A character at the end of a row may be written over (DECAWM, IRM), from some time on.
    odd: bool,
}

impl Screen {
    pub fn new(size: Size) -> Screen {
        // A size has a column and a row at least; that there are none is all that the model refuses.
        let model =
            Terminal::new(size.columns().into(), size.rows().into()).expect("a size has a column and a row");
        Screen {
            parser: Parser::new(),
            model,
            utf8: Utf8::new(),
            work: WORK_CELLS_MAX,
            moved: false,
            coloured: false,
            returned: false,
            odd: false,
        }
    }

    /// Shows what a program wrote.
    pub fn feed(&mut self, bytes: &[u8]) {
        let text = self.utf8.push(bytes);
        self.feed_text(&text);
    }

    /// The same of text: for who joins the pieces of several streams, each with a [`Utf8`] of its own.
    pub fn feed_text(&mut self, text: &str) {
        for c in text.chars() {
            match self.parser.feed(c) {
                Some(function) => self.carry_out(function),
                // What it drops stands between two characters that are side by side.
                None => self.moved |= c.is_ascii_control() && c != '\u{1b}',
            }
        }
    }

    /// The window has another size now. Lines that were wrapped are wrapped anew, on the primary screen.
    pub fn resize(&mut self, size: Size) {
        let (columns, rows) = self.model.size();
        if self.afford((columns * rows) as u64 + u64::from(size.columns()) * u64::from(size.rows())) {
            self.model.resize(size.columns().into(), size.rows().into());
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        self.model.size()
    }

    /// Each row as it is seen, without the blanks at its end. It may hold characters that are not seen, or that turn others
    /// around: whoever shows it makes it safe.
    pub fn text(&self) -> Vec<String> {
        let row = |line: &Line| line.text().trim_end_matches(' ').to_owned();
        self.model.screen().visible_lines().map(row).collect()
    }

    /// The same, each line that was wrapped in one, as whoever reads it does. It counts as work, as input does.
    pub fn lines(&mut self) -> Vec<String> {
        let (columns, rows) = self.model.size();
        self.afford((columns * rows) as u64 * SEARCH_COST);
        let mut lines = Vec::new();
        let mut line = String::new();
        for row in self.model.screen().visible_lines() {
            line.push_str(&row.text());
            if !row.is_wrapped() {
                lines.push(trimmed(std::mem::take(&mut line)));
            }
        }
        lines.push(trimmed(line));
        lines
    }

    /// The line that the cursor stands on, with all rows that it was wrapped to.
    pub fn line(&self) -> String {
        let row = self.model.cursor().row;
        let rows: Vec<&Line> = self.model.screen().visible_lines().collect();
        let before = rows.iter().take(row).rev().take_while(|line| line.is_wrapped()).count();
        let mut line = String::new();
        for row in rows.iter().skip(row - before) {
            line.push_str(&row.text());
            if !row.is_wrapped() {
                break;
            }
        }
        trimmed(line)
    }

    /// Whether the cursor stands behind everything: what is written next stands behind what was written before.
    pub fn is_at_end(&self) -> bool {
        let cursor = self.model.cursor();
        let is_blank = |cell: &Cell| cell.char() == ' ';
        let rows = self.model.screen().visible_lines().skip(cursor.row);
        rows.enumerate().all(|(below, line)| {
            let from = if below == 0 { cursor.col } else { 0 };
            line.cells().iter().skip(from).all(is_blank)
        })
    }

    /// Column and row of the cursor, from 0; `None`: the program has hidden it. The column may be the one behind the last.
    pub fn cursor(&self) -> Option<(usize, usize)> {
        self.model.cursor().position()
    }

    /// Each row for a terminal of `columns` columns: characters that are as wide there as here, and SGR sequences, and nothing
    /// else. Each row ends with the attributes as they are at first (SGR 0).
    pub fn painted(&self, columns: usize) -> Vec<String> {
        self.model.screen().visible_lines().map(|line| paint(line, columns)).collect()
    }

    /// Whether it stands still, since its input had it do more than [`WORK_CELLS_MAX`].
    pub fn exhausted(&self) -> bool {
        self.work == 0
    }

    fn carry_out(&mut self, function: Function) {
        let function = match function {
            // Neither is seen: the model would put the one into a cell.
            Function::Print('\u{7f}') | Function::Xtwinops(_) | Function::Osc(_) => {
                self.moved = true;
                return;
            }
            function => function,
        };
        match &function {
            Function::Print(_) => self.moved |= self.odd || self.returned,
            Function::Sgr(_) => self.coloured = true,
            Function::Cr => self.returned = true,
            Function::Lf | Function::Nel => (self.coloured, self.returned) = (false, false),
            Function::Decrst(_) | Function::Decset(_) | Function::Sm(_) | Function::Rm(_) => {
                self.odd = true;
                self.moved = true;
            }
            _other => self.moved = true,
        }
        if self.afford(self.cost(&function)) {
            self.model.execute(function);
        }
    }

    /// Whether what was written since this was last asked may have put something together on the screen that stands in no piece of it:
    /// it did not only write characters of any colour and end lines.
    pub fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whether the line that the cursor is on has colours in it so far: what stands behind one was perhaps seen without what is before.
    pub fn is_coloured(&self) -> bool {
        self.coloured
    }

    /// How many cells a function touches, at most.
    fn cost(&self, function: &Function) -> u64 {
        let (columns, rows) = self.model.size();
        let (row, all) = (columns as u64, (columns * rows) as u64);
        match function {
            Function::Print(_) => 1,
            Function::Rep(n) => u64::from(*n).max(1),
            Function::Lf | Function::Nel | Function::Ri => row + rows as u64,
            Function::Decaln
            | Function::Decrst(_)
            | Function::Decset(_)
            | Function::Decstr
            | Function::Dl(_)
            | Function::Ed(_)
            | Function::Il(_)
            | Function::Ris
            | Function::Sd(_)
            | Function::Su(_) => all,
            _one_row_or_none => row,
        }
    }

    fn afford(&mut self, cells: u64) -> bool {
        let left = self.work.checked_sub(cells);
        self.work = left.unwrap_or(0);
        left.is_some()
    }
}

/// Without the blanks at its end.
fn trimmed(mut line: String) -> String {
    line.truncate(line.trim_end_matches(' ').len());
    line
}

fn paint(line: &Line, columns: usize) -> String {
    let mut out = String::new();
    let (mut pen, mut used) = (Pen::default(), 0);
    for cell in line.cells().iter().filter(|cell| cell.width() > 0) {
        used += usize::from(cell.width());
        if used > columns {
            break;
        }
        if *cell.pen() != pen {
            pen = *cell.pen();
            sgr(&pen, &mut out);
        }
        shown(cell, &mut out);
    }
    if pen.is_default() {
        out.truncate(out.trim_end_matches(' ').len());
    } else {
        out.push_str("\x1b[0m");
    }
    out
}

/// A character that takes as many columns as its cell has, and no other effect.
fn shown(cell: &Cell, out: &mut String) {
    let c = cell.char();
    let plain = !matches!(c, '\u{00ad}' | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let width = usize::from(cell.width());
    if plain && c.width() == Some(width) {
        out.push(c);
    } else {
        out.push(char::REPLACEMENT_CHARACTER);
        out.extend(std::iter::repeat_n(' ', width.saturating_sub(1)));
    }
}

/// ECMA-48, 8.3.117: all attributes as they are at first, then these. Blinking is left out.
fn sgr(pen: &Pen, out: &mut String) {
    out.push_str("\x1b[0");
    let attributes = [
        (pen.is_bold(), ";1"),
        (pen.is_faint(), ";2"),
        (pen.is_italic(), ";3"),
        (pen.is_underline(), ";4"),
        (pen.is_inverse(), ";7"),
        (pen.is_strikethrough(), ";9"),
    ];
    attributes.iter().filter(|(has, _)| *has).for_each(|(_, code)| out.push_str(code));
    for (ground, color) in [(38, pen.foreground()), (48, pen.background())] {
        match color {
            Some(Color::Indexed(n)) => out.push_str(&format!(";{ground};5;{n}")),
            Some(Color::RGB(c)) => out.push_str(&format!(";{ground};2;{};{};{}", c.r, c.g, c.b)),
            None => {}
        }
    }
    out.push('m');
}

#[cfg(test)]
mod tests;
