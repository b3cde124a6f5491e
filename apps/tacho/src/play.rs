//! Plays commands and terminals of SSH in time, on the analyst's terminal, with keys.
//!
//! What is written is what [`answers::Player`] paints: characters and colours of a model's screen, never what a program wrote.
//! Keys are read if standard input is a terminal: space stops and goes on, the arrows seek five seconds, `.` goes to what
//! happens next, `q` ends it. The terminal's own modes are as they were when it is over.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use answers::{Cast, Player};
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use crate::fault::Failure;
use crate::out;

/// How far an arrow seeks, in nanoseconds.
const SEEK_NS: u64 = 5_000_000_000;

/// How often keys are looked for: no one notices less.
const LOOK: Duration = Duration::from_millis(20);

/// How fast, and the longest pause.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many times faster than it was; above 0.
    pub speed: f64,
    pub idle: Option<Duration>,
}

impl Pace {
    /// How long a pause of the record lasts here.
    pub fn pause(self, recorded: Duration) -> Duration {
        let capped = self.idle.map_or(recorded, |idle| recorded.min(idle));
        Duration::try_from_secs_f64(capped.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
    }
}

/// Whether there is a terminal to play on.
pub fn can_play() -> bool {
    std::io::stdout().is_terminal()
}

/// Plays all of it. `false`: the analyst has seen enough.
pub fn play(cast: Cast, pace: Pace) -> Result<bool, Failure> {
    let cast = match pace.idle {
        Some(idle) => cast.without_pauses(nanos(idle)),
        None => cast,
    };
    let (columns, rows) = window();
    let keys = Keys::open();
    let mut deck = Deck::new(&cast, columns, rows, pace.speed);
    out::print(&deck.player.frame())?;
    let mut before = Instant::now();
    while !deck.is_over() {
        std::thread::sleep(deck.wait().min(LOOK));
        let now = Instant::now();
        let mut changed = deck.pass(now - before);
        before = now;
        for key in keys.iter().flat_map(Keys::pressed) {
            changed |= deck.press(key);
        }
        if changed {
            out::print(&deck.player.frame())?;
        }
    }
    out::print(&deck.player.leave())?;
    Ok(!deck.quit)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Pause,
    Back,
    Forward,
    Step,
    Quit,
}

/// Where it stands, without a clock.
struct Deck<'a> {
    player: Player<'a>,
    speed: f64,
    /// Nanoseconds since the beginning: how far time has gone, as far as or behind what is shown next.
    at: u64,
    paused: bool,
    quit: bool,
}

impl<'a> Deck<'a> {
    fn new(cast: &'a Cast, columns: usize, rows: usize, speed: f64) -> Deck<'a> {
        let mut player = Player::new(cast, columns, rows);
        player.seek(0);
        Deck { player, speed, at: 0, paused: false, quit: false }
    }

    /// Over by itself or by a key; not while it is stopped, so that one can go back from the end.
    fn is_over(&self) -> bool {
        self.quit || (!self.paused && self.player.due().is_none())
    }

    /// How long until something happens.
    fn wait(&self) -> Duration {
        match self.player.due() {
            Some(due) if !self.paused => {
                let left = Duration::from_nanos(due.saturating_sub(self.at));
                Duration::try_from_secs_f64(left.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
            }
            Some(_) | None => Duration::MAX,
        }
    }

    /// Time passes. `true`: the screen may differ.
    fn pass(&mut self, elapsed: Duration) -> bool {
        if self.paused {
            return false;
        }
        let passed = Duration::try_from_secs_f64(elapsed.as_secs_f64() * self.speed).unwrap_or(Duration::MAX);
        self.at = self.at.saturating_add(nanos(passed));
        let is_due = self.player.due().is_some_and(|due| due <= self.at);
        if is_due {
            self.player.seek(self.at);
        }
        is_due
    }

    fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Pause => self.paused = !self.paused,
            Key::Quit => self.quit = true,
            Key::Back => self.seek(self.at.saturating_sub(SEEK_NS)),
            Key::Forward => self.seek(self.at.saturating_add(SEEK_NS)),
            Key::Step => {
                self.paused = true;
                self.player.step();
                self.at = self.player.at();
            }
        }
        matches!(key, Key::Back | Key::Forward | Key::Step)
    }

    fn seek(&mut self, at: u64) {
        self.player.seek(at);
        self.at = self.player.at();
    }
}

/// The analyst's keys, one by one, as long as it lives.
struct Keys {
    before: Termios,
}

impl Keys {
    /// `None`: standard input is no terminal, or does not let itself be set.
    fn open() -> Option<Keys> {
        let before = termios::tcgetattr(std::io::stdin()).ok()?;
        let mut now = before.clone();
        // The key that interrupts is read as any other, so that the modes are put back.
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        now.special_codes[SpecialCodeIndex::VMIN] = 0;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &now).ok()?;
        Some(Keys { before })
    }

    /// What was pressed since the last look.
    fn pressed(&self) -> Vec<Key> {
        let mut bytes = [0; 64];
        let read = rustix::io::read(std::io::stdin(), &mut bytes).unwrap_or(0);
        keys_in(bytes.get(..read).unwrap_or(&[]))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _the_terminal_may_be_gone =
            termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Keys as terminals send them; others have no meaning here.
fn keys_in(mut bytes: &[u8]) -> Vec<Key> {
    let table: [(&[u8], Key); 9] = [
        (b"\x1b[C", Key::Forward),
        (b"\x1bOC", Key::Forward),
        (b"\x1b[D", Key::Back),
        (b"\x1bOD", Key::Back),
        (b" ", Key::Pause),
        (b".", Key::Step),
        (b"q", Key::Quit),
        (b"\x03", Key::Quit),
        (b"\x04", Key::Quit),
    ];
    let mut keys = Vec::new();
    while let Some((_, behind)) = bytes.split_first() {
        match table.iter().find_map(|(sent, key)| Some((bytes.strip_prefix(*sent)?, *key))) {
            Some((rest, key)) => {
                keys.push(key);
                bytes = rest;
            }
            None => bytes = behind,
        }
    }
    keys
}

/// Columns and rows of the analyst's window.
fn window() -> (usize, usize) {
    match termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        Ok(_) | Err(_) => (80, 24),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0` at 0 s, `1` after one second, and so on up to `9`.
    fn digits() -> Cast {
        let mut cast = Cast::empty();
        (0..10).for_each(|n: u64| cast.output(n * 1_000_000_000, &n.to_string()));
        cast
    }

    fn shown(deck: &Deck<'_>) -> String {
        deck.player.screen().text().swap_remove(0)
    }

    #[test]
    fn time_goes_as_fast_as_was_asked_for() {
        let cast = digits();
        let mut deck = Deck::new(&cast, 80, 24, 2.0);
        assert_eq!((shown(&deck), deck.wait()), ("0".to_owned(), Duration::from_millis(500)));
        assert!(!deck.pass(Duration::from_millis(499)));
        assert!(deck.pass(Duration::from_millis(1)));
        assert_eq!(shown(&deck), "01");
        deck.pass(Duration::from_millis(1_750));
        assert_eq!((shown(&deck), deck.wait()), ("01234".to_owned(), Duration::from_millis(250)));
        deck.pass(Duration::from_secs(2));
        assert!(!deck.is_over());
        deck.pass(Duration::from_secs(2));
        assert!(deck.is_over() && !deck.quit);
    }

    #[test]
    fn keys_stop_seek_step_and_end() {
        let cast = digits();
        let mut deck = Deck::new(&cast, 80, 24, 1.0);
        deck.press(Key::Forward);
        assert_eq!(shown(&deck), "012345");
        deck.press(Key::Back);
        assert_eq!(shown(&deck), "0");
        deck.press(Key::Back);
        assert_eq!(shown(&deck), "0", "not before its beginning");
        deck.press(Key::Step);
        assert_eq!(shown(&deck), "01");
        assert!(!deck.pass(Duration::from_secs(60)), "a step stops it");
        deck.press(Key::Pause);
        deck.pass(Duration::from_secs(1));
        assert_eq!(shown(&deck), "012");
        deck.press(Key::Pause);
        (0..4).for_each(|_| _ = deck.press(Key::Forward));
        assert!(!deck.is_over(), "stopped at its end, one can go back");
        deck.press(Key::Back);
        assert_eq!(shown(&deck), "01234");
        deck.press(Key::Quit);
        assert!(deck.is_over() && deck.quit);
    }

    #[test]
    fn keys_are_read_as_terminals_send_them() {
        assert_eq!(
            keys_in(b" x.\x1b[C\x1bOD\x1b[Aq"),
            [Key::Pause, Key::Step, Key::Forward, Key::Back, Key::Quit]
        );
        assert_eq!(keys_in(b"\x03"), [Key::Quit]);
        assert_eq!(keys_in(b"\x1b["), []);
    }

    #[test]
    fn pauses_are_capped_and_then_made_shorter() {
        let pace = Pace { speed: 2.0, idle: Some(Duration::from_secs(3)) };
        assert_eq!(pace.pause(Duration::from_secs(2)), Duration::from_secs(1));
        assert_eq!(pace.pause(Duration::from_secs(60)), Duration::from_millis(1_500));
        assert_eq!(Pace { idle: None, ..pace }.pause(Duration::from_secs(60)), Duration::from_secs(30));
    }
}
