//! A terminal before a program, over SSH or in a container: what a person sees there, and what was typed.
//!
//! **Invariant:** what is shown is searched before it is released. A value that stands in no piece of the output, and comes together
//! on the screen, cannot be masked where it was made of what has left; the piece that completes it stays here.
//!
//! Lines are taken off the screen where they were typed and echoed. They help whoever reads the record, and bound nothing: a program
//! can echo what it likes. What is not echoed (a password) is in no record.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gate::Tripped;
use ledger::Map;
use mask::{Detectors, MaskedText};
use terminal::{Screen, Size};

use crate::limits::{SSH_SCREEN_SLICE, SSH_TYPED_BYTES_MAX, SSH_TYPED_LINES_MAX};

pub(crate) struct Seat(Mutex<State>);

struct State {
    screen: Screen,
    /// Sizes that the reel does not have yet.
    sizes: Vec<Map>,
    typed: Typed,
}

/// What came of showing a piece.
#[derive(Default)]
pub(crate) struct Shown {
    /// What stands on the screen and may not, of this piece and all before it.
    pub(crate) found: Vec<Tripped>,
    /// Lines that were typed, as they stood there, with their prompts.
    pub(crate) lines: Vec<String>,
    /// The screen could not be followed to the end of the piece.
    pub(crate) lost: bool,
}

impl Seat {
    /// `term`: how the client calls its terminal, for the record.
    pub(crate) fn new(first: Size, term: MaskedText) -> Seat {
        let screen = Screen::new(first);
        let first = size(first).put("term", term);
        Seat(Mutex::new(State { screen, sizes: vec![first], typed: Typed::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn resize(&self, to: Size) {
        let mut state = self.lock();
        state.screen.resize(to);
        // Of sizes between two pieces the last one is seen.
        state.sizes.truncate(1);
        state.sizes.push(size(to));
    }

    /// Sizes that the reel does not have yet, in their order.
    pub(crate) fn sizes(&self) -> Vec<Map> {
        std::mem::take(&mut self.lock().sizes)
    }

    /// The client types. What stands on its line so far, as far as it is known without the program.
    pub(crate) fn typed(&self, bytes: &[u8]) -> Vec<u8> {
        self.lock().typed.take(bytes)
    }

    /// Whether this is what was just typed, and nothing else: the client's own bytes, for which nothing waits.
    pub(crate) fn echoes(&self, output: &[u8]) -> bool {
        self.lock().typed.echoes(output)
    }

    /// Shows what is about to be released. `known`: the run was given it, or sent it.
    pub(crate) async fn show(
        &self,
        detectors: &Detectors,
        known: impl Fn(&[u8]) -> bool,
        masked: &[u8],
    ) -> Shown {
        let (mut shown, mut since) = (Shown::default(), 0);
        let lines = masked.split_inclusive(|b| *b == b'\n');
        for part in lines.flat_map(|line| line.chunks(SSH_SCREEN_SLICE)) {
            since += part.len();
            // Few bytes may have been much work.
            if self.lock().show(detectors, &known, part, &mut shown) || since >= SSH_SCREEN_SLICE {
                since = 0;
                tokio::task::yield_now().await;
            }
        }
        shown.lost = self.lock().screen.exhausted();
        shown
    }
}

impl State {
    /// Shows at most a line. Whether the screen was searched.
    fn show(
        &mut self,
        detectors: &Detectors,
        known: &impl Fn(&[u8]) -> bool,
        part: &[u8],
        shown: &mut Shown,
    ) -> bool {
        let text = part.strip_suffix(b"\n").unwrap_or(part);
        // What was seen of a line with colours was perhaps let go without what comes now.
        let apart = !self.screen.is_at_end() || self.screen.is_coloured();
        self.screen.feed(text);
        let searched = self.screen.moved() || apart;
        if searched {
            shown.found.extend(self.search(detectors, known));
        }
        if text.len() < part.len() {
            if self.typed.waits()
                && let Some(line) = self.typed.came(self.screen.line())
            {
                shown.lines.push(line);
            }
            self.screen.feed(b"\n");
        }
        searched
    }

    /// What detectors find on the screen that the run was not given and did not send.
    fn search(&mut self, detectors: &Detectors, known: &impl Fn(&[u8]) -> bool) -> Vec<Tripped> {
        let text = self.screen.lines().join("\n");
        let mut findings = Vec::new();
        detectors.scan_deep(text.as_bytes(), &mut findings);
        let new = findings
            .iter()
            .filter(|finding| text.as_bytes().get(finding.range.clone()).is_some_and(|value| !known(value)));
        let tripped = |finding: &mask::Finding| Tripped {
            detector: finding.detector,
            class: finding.class.clone(),
            channel: "screen",
            act: "refused",
        };
        new.map(tripped).collect()
    }
}

fn size(size: Size) -> Map {
    Map::new().put("s", "size").put("columns", u64::from(size.columns())).put("rows", u64::from(size.rows()))
}

/// What a client types.
#[derive(Default)]
struct Typed {
    /// The line that has no end yet.
    line: Vec<u8>,
    /// It was edited in a way that only the program knows.
    edited: bool,
    /// Lines that ended and were not seen on the screen yet, oldest first; `None`: one that was edited.
    lines: VecDeque<Option<Vec<u8>>>,
    /// What the program may echo next.
    echo: VecDeque<u8>,
}

impl Typed {
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    let edited = std::mem::take(&mut self.edited);
                    if edited || !line.is_empty() {
                        self.lines.push_back((!edited).then_some(line));
                    }
                    if self.lines.len() > SSH_TYPED_LINES_MAX {
                        self.lines.pop_front();
                    }
                }
                // DEL and BS take a character; ^U takes the line; ^C gives it up.
                0x7f | 0x08 => _ = self.line.pop(),
                0x15 | 0x03 => {
                    self.line.clear();
                    self.edited = false;
                }
                control if *control < b' ' => self.edited = true,
                _ if self.line.len() >= SSH_TYPED_BYTES_MAX => self.edited = true,
                other => self.line.push(*other),
            }
            self.echo.push_back(*byte);
        }
        let more = self.echo.len().saturating_sub(SSH_TYPED_BYTES_MAX);
        self.echo.drain(..more);
        self.line.clone()
    }

    fn waits(&self) -> bool {
        !self.lines.is_empty()
    }

    /// A line on the screen ends. `Some`: it is one that was typed.
    fn came(&mut self, shown: String) -> Option<String> {
        let is = |(at, line): (usize, &Option<Vec<u8>>)| match line {
            Some(typed) => shown.as_bytes().ends_with(typed.trim_ascii_end()),
            None => at == 0,
        };
        let at = self.lines.iter().enumerate().position(is)?;
        self.lines.drain(..=at);
        Some(shown)
    }

    fn echoes(&mut self, output: &[u8]) -> bool {
        let is = output.len() <= self.echo.len() && output.iter().eq(self.echo.iter().take(output.len()));
        match is {
            true => _ = self.echo.drain(..output.len()),
            // What comes is no echo, or one of other bytes: from here on nothing is known.
            false => self.echo.clear(),
        }
        is && !output.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_that_was_typed_and_echoed() {
        let mut typed = Typed::default();
        assert_eq!(typed.take(b"l"), b"l");
        assert_eq!(typed.take(b"sx\x7f /"), b"ls /");
        assert!(!typed.waits());
        assert_eq!(typed.take(b"\rsecret\rcat x\r"), b"");
        assert_eq!(typed.came("$ ls /".into()).as_deref(), Some("$ ls /"));
        assert_eq!(typed.came("Password:".into()), None);
        assert_eq!(typed.came("bin  dev".into()), None);
        assert_eq!(typed.came("$ cat x".into()).as_deref(), Some("$ cat x"));
        assert!(!typed.waits());
        typed.take(b"\r\r");
        assert!(!typed.waits(), "nothing was typed");
        typed.take(b"ca\t x\rls\r");
        assert_eq!(
            typed.came("$ cat x".into()).as_deref(),
            Some("$ cat x"),
            "it was edited, and is what is there"
        );
        typed.take(b"\x15given up\x03");
        assert_eq!(typed.take(b"\x1b[A\r"), b"");
    }

    #[test]
    fn an_echo_is_what_was_typed_and_nothing_more() {
        let mut typed = Typed::default();
        typed.take(b"ls");
        assert!(typed.echoes(b"l"));
        assert!(!typed.echoes(b""));
        assert!(typed.echoes(b"s"));
        assert!(!typed.echoes(b"s"));
        typed.take(b"abc");
        assert!(!typed.echoes(b"abd") && !typed.echoes(b"abc"), "another output came between");
    }
}
