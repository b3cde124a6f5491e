//! Playing a cast, without a clock: the caller says which time it is, and writes what comes back to a terminal.
//!
//! **Invariant:** nothing of what a program wrote reaches the analyst's terminal but characters and colours. The model of a
//! terminal is fed, and the rows of its screen that changed are written at their places: titles, the clipboard, reports, other
//! character sets and sizes have an effect on nobody.

use terminal::Screen;

use super::cast::{Cast, What};

/// A cast that is being played, in a window of so many columns and rows.
pub struct Player<'a> {
    cast: &'a Cast,
    screen: Screen,
    /// The next event.
    next: usize,
    /// Nanoseconds since the beginning.
    at: u64,
    window: (usize, usize),
    /// The first row of the screen that is in the window: not 0 if the window is lower and the cursor would be below it.
    first: usize,
    /// What the window shows; `None`: nobody knows.
    shown: Option<Vec<String>>,
}

impl<'a> Player<'a> {
    pub fn new(cast: &'a Cast, columns: usize, rows: usize) -> Player<'a> {
        let screen = Screen::new(cast.size);
        Player { cast, screen, next: 0, at: 0, window: (columns, rows), first: 0, shown: None }
    }

    /// Where it stands, in nanoseconds since the beginning.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// When something happens next; `None`: it is over.
    pub fn due(&self) -> Option<u64> {
        self.cast.events.get(self.next).map(|event| event.at)
    }

    /// Goes to a time, forward or back.
    pub fn seek(&mut self, at: u64) {
        if at < self.at {
            (self.screen, self.next) = (Screen::new(self.cast.size), 0);
        }
        self.at = at.min(self.cast.length());
        while self.due().is_some_and(|due| due <= self.at) {
            self.one();
        }
    }

    /// Goes to what happens next.
    pub fn step(&mut self) {
        if let Some(due) = self.due() {
            self.at = self.at.max(due);
            self.one();
        }
    }

    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// What to write so that the window shows the screen as it is now.
    pub fn frame(&mut self) -> String {
        if let Some((_, row)) = self.screen.cursor() {
            self.first = self.first.min(row).max((row + 1).saturating_sub(self.window.1));
        }
        let (first, window) = (self.first, self.window.1);
        let rows: Vec<String> =
            self.screen.painted(self.window.0).into_iter().skip(first).take(window).collect();
        let mut out = String::new();
        let before = self.shown.take().unwrap_or_else(|| {
            out.push_str("\x1b[0m\x1b[2J");
            Vec::new()
        });
        for n in 0..rows.len().max(before.len()) {
            let row = rows.get(n).map_or("", String::as_str);
            if before.get(n).map_or("", String::as_str) != row {
                // Cleared before it is written: behind a full row, some terminals would clear its last character.
                out.push_str(&format!("\x1b[{};1H\x1b[K{row}", n + 1));
            }
        }
        let (column, row) = self.screen.cursor().unwrap_or((0, first + rows.len()));
        let place = |n: usize, most: usize| n.saturating_add(1).min(most.max(1));
        let (row, column) = (place(row.saturating_sub(first), window), place(column, self.window.0));
        out.push_str(&format!("\x1b[{row};{column}H"));
        self.shown = Some(rows);
        out
    }

    /// What to write when it is over: the cursor goes below what is shown.
    pub fn leave(&self) -> String {
        let shown = self.shown.as_deref().unwrap_or(&[]);
        let last = shown.iter().rposition(|row| !row.is_empty()).map_or(1, |at| at + 1);
        format!("\x1b[0m\x1b[{};1H\r\n", last.min(self.window.1.max(1)))
    }

    fn one(&mut self) {
        let Some(event) = self.cast.events.get(self.next) else { return };
        self.next += 1;
        match &event.what {
            What::Output(text) => self.screen.feed_text(text),
            What::Size(size) => self.screen.resize(*size),
            What::Begins(_) | What::Input(_) | What::Ends(_) => {}
        }
    }
}
