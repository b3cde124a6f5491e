//! Which tokens have minted runs, and how many, until they expire. On disk before the run is, so that a restart forgets none.
//!
//! A line for each run: what the token is known by (SHA-256 of what its issuer signed), and when it may be forgotten. The file
//! stands beside the keys.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::fault::Failure;
use crate::limits::SPENT_MAX;
use crate::{files, hex};

type Ticket = [u8; 32];

/// What is remembered of tokens.
pub struct Spent {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    by_ticket: HashMap<Ticket, Entry>,
    /// The file, open for one more line. `None`: nothing was written yet, or the last line may be torn.
    file: Option<File>,
    lines: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    runs: u32,
    /// Seconds since 1970.
    forgotten: u64,
}

impl Spent {
    /// Reads the file, which need not be there. A last line that a crash has cut off minted no run. Errors: it cannot be read,
    /// or is not what was written.
    pub fn open(path: &Path) -> Result<Spent, Failure> {
        // A line has 64 digits, a space, a date of at most 20, and an end.
        let text = files::read_private(path, LINES_MAX * 96)?.unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| text.get(..=end).unwrap_or(""));
        let mut by_ticket: HashMap<Ticket, Entry> = HashMap::new();
        for line in whole.lines() {
            let (ticket, forgotten) = read(line).ok_or_else(|| {
                Failure::could_not(format!(
                    "{} is not what the gateway writes, so it cannot tell which tokens were used; restore it, or move it away \
                     once every token that was used has expired",
                    path.display()
                ))
            })?;
            let entry = by_ticket.entry(ticket).or_insert(Entry { runs: 0, forgotten });
            entry.runs = entry.runs.saturating_add(1);
        }
        Ok(Spent { path: path.to_owned(), state: Mutex::new(State { by_ticket, file: None, lines: 0 }) })
    }

    /// One run more of this token, if it has fewer than `most`. On disk when this returns `true`. Errors: it cannot be written,
    /// or there is no room to remember another token; nothing may be minted then.
    pub fn spend(&self, ticket: Ticket, most: u32, forgotten: u64, now: u64) -> Result<bool, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = state.by_ticket.get(&ticket).map_or(0, |entry| entry.runs);
        if runs >= most {
            return Ok(false);
        }
        if state.file.is_none() || state.lines >= LINES_MAX || state.by_ticket.len() >= SPENT_MAX {
            self.rewrite(&mut state, now)?;
        }
        let room = state.by_ticket.len() < SPENT_MAX || runs > 0;
        let Some(file) = state.file.as_mut().filter(|_| room) else {
            return Err(Failure::could_not(
                "too many tokens are remembered that have not expired; no further one is taken until some have",
            ));
        };
        let written = file.write_all(line(&ticket, forgotten).as_bytes()).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Perhaps a part of the line is there: the next one begins with a whole new file.
            state.file = None;
            return Err(Failure::file("write", &self.path, &error));
        }
        state.lines += 1;
        let entry = state.by_ticket.entry(ticket).or_insert(Entry { runs: 0, forgotten });
        entry.runs = entry.runs.saturating_add(1);
        Ok(true)
    }

    /// A new file without what has expired.
    fn rewrite(&self, state: &mut State, now: u64) -> Result<(), Failure> {
        state.by_ticket.retain(|_, entry| entry.forgotten > now);
        let mut text = String::new();
        let mut lines = 0;
        for (ticket, entry) in &state.by_ticket {
            for _ in 0..entry.runs {
                text.push_str(&line(ticket, entry.forgotten));
                lines += 1;
            }
        }
        if lines >= LINES_MAX {
            return Err(Failure::could_not("too many runs of tokens that have not expired are remembered"));
        }
        files::replace_private(&self.path, text.as_bytes())?;
        let failed = |e: std::io::Error| Failure::file("write", &self.path, &e);
        if let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let file = OpenOptions::new().append(true).mode(0o600).open(&self.path).map_err(failed)?;
        (state.file, state.lines) = (Some(file), lines);
        Ok(())
    }
}

/// Lines before the file is written anew.
const LINES_MAX: usize = 2 * SPENT_MAX;

fn line(ticket: &Ticket, forgotten: u64) -> String {
    format!("{} {forgotten}\n", hex::encode(ticket))
}

fn read(line: &str) -> Option<(Ticket, u64)> {
    let (ticket, forgotten) = line.split_once(' ')?;
    Some((hex::decode(ticket)?, forgotten.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_spent_over_a_restart_and_forgotten_when_it_has_expired() {
        let dir = files::scratch("spent");
        let path = dir.join("tokens-spent");
        let open = || Spent::open(&path).unwrap();
        let (one, other) = ([1; 32], [2; 32]);
        let spent = open();
        assert!(spent.spend(one, 1, 100, 10).unwrap());
        assert!(!spent.spend(one, 1, 100, 10).unwrap());
        assert!(spent.spend(other, 2, 200, 10).unwrap());
        let spent = open();
        assert!(!spent.spend(one, 1, 100, 10).unwrap(), "a restart forgets nothing");
        assert!(spent.spend(other, 2, 200, 10).unwrap());
        assert!(!spent.spend(other, 2, 200, 10).unwrap());
        // Expired tokens are refused for that; what was remembered of them goes with the next new file.
        assert!(open().spend([3; 32], 1, 300, 150).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains(&hex::encode(&one)) && text.matches(&hex::encode(&other)).count() == 2,
            "{text}"
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_torn_line_minted_nothing_and_a_strange_file_is_not_guessed_at() {
        let dir = files::scratch("spent-torn");
        let path = dir.join("tokens-spent");
        assert!(Spent::open(&path).unwrap().spend([1; 32], 1, 100, 10).unwrap());
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str(&line(&[2; 32], 100)[..40]);
        std::fs::write(&path, &text).unwrap();
        let spent = Spent::open(&path).unwrap();
        assert!(!spent.spend([1; 32], 1, 100, 10).unwrap());
        assert!(spent.spend([2; 32], 1, 100, 10).unwrap());
        assert!(!Spent::open(&path).unwrap().spend([2; 32], 1, 100, 10).unwrap());
        files::replace_private(&path, b"nothing of ours\n").unwrap();
        assert!(Spent::open(&path).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn at_the_limit_no_token_is_taken_before_others_have_expired() {
        let dir = files::scratch("spent-many");
        let spent = Spent::open(&dir.join("tokens-spent")).unwrap();
        let ticket = |n: usize| {
            let mut ticket = [0; 32];
            ticket[..8].copy_from_slice(&n.to_be_bytes());
            ticket
        };
        {
            let mut state = spent.state.lock().unwrap();
            let entry = Entry { runs: 1, forgotten: 100 };
            state.by_ticket = (1..SPENT_MAX).map(|n| (ticket(n), entry)).collect();
        }
        assert!(spent.spend(ticket(SPENT_MAX), 2, 100, 10).unwrap(), "the last place");
        assert!(spent.spend([9; 32], 2, 100, 10).is_err());
        assert!(spent.spend(ticket(SPENT_MAX), 2, 100, 10).unwrap(), "what is remembered needs no place");
        assert!(spent.spend([9; 32], 2, 300, 200).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_cannot_be_written_mints_nothing() {
        let dir = files::scratch("spent-full");
        let path = dir.join("tokens-spent");
        let spent = Spent::open(&path).unwrap();
        // A directory stands where the file has to be.
        std::fs::create_dir(&path).unwrap();
        assert!(spent.spend([1; 32], 1, 100, 10).is_err());
        std::fs::remove_dir(&path).unwrap();
        assert!(spent.spend([1; 32], 1, 100, 10).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
