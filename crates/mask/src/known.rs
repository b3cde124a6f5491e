//! What one run already knows: is a tripwire's hit its own mask, its own words, or a leak?

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, PoisonError};

use crate::filter::Hashed;
use crate::limits::{ECHOES_PER_RUN_MAX, KNOWN_VALUES_MAX};
use crate::sip::sip_lowercase;

/// Where a run knows a value from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A mask that this run was given.
    Own,
    /// Bytes that this run sent first.
    Echo,
    /// A value that a grant revealed to this run.
    Revealed,
}

impl Origin {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Own => "own",
            Origin::Echo => "echo",
            Origin::Revealed => "revealed",
        }
    }
}

/// Keyed hashes of the values that a run has said, in all its sessions. There is an end to what it may say and have back as its own:
/// who says all numbers of a kind guesses.
pub struct Echoes {
    key: [u8; 16],
    /// At most [`ECHOES_PER_RUN_MAX`].
    said: Mutex<HashSet<u64, BuildHasherDefault<Hashed>>>,
}

impl Echoes {
    pub fn new(key: [u8; 16]) -> Echoes {
        Echoes { key, said: Mutex::default() }
    }

    /// Whether the run said it before, or may still say it.
    fn admit(&self, value: &[u8]) -> bool {
        let hash = sip_lowercase(&self.key, value.trim_ascii());
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.contains(&hash) || said.len() < ECHOES_PER_RUN_MAX && said.insert(hash)
    }
}

impl std::fmt::Debug for Echoes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Echoes(withheld)")
    }
}

/// Keyed hashes of values, at most [`KNOWN_VALUES_MAX`] of each origin; the oldest are forgotten first, and a
/// forgotten value's hit counts as a leak.
pub struct Known {
    key: [u8; 16],
    own: Remembered,
    echo: Remembered,
    revealed: Remembered,
    echoes: Arc<Echoes>,
}

impl Known {
    /// What nobody else knows.
    pub fn new(key: [u8; 16]) -> Known {
        Known::of_run(key, Arc::new(Echoes::new(key)))
    }

    /// What a session of a run knows, all of which say no more values than `echoes` has.
    pub fn of_run(key: [u8; 16], echoes: Arc<Echoes>) -> Known {
        Known {
            key,
            echoes,
            own: Remembered::default(),
            echo: Remembered::default(),
            revealed: Remembered::default(),
        }
    }

    /// The run was given, sent, or shown `value`.
    pub fn remember(&mut self, origin: Origin, value: &[u8]) {
        let hash = self.hash(value);
        match origin {
            Origin::Own => self.own.insert(hash),
            Origin::Echo if self.echo.known.contains(&hash) || !self.echoes.admit(value) => {}
            Origin::Echo => self.echo.insert(hash),
            Origin::Revealed => self.revealed.insert(hash),
        }
    }

    /// Where the run knows `value` from. What was revealed to it counts before what it sent: it may have sent what
    /// it was shown.
    pub fn origin(&self, value: &[u8]) -> Option<Origin> {
        if [&self.revealed, &self.own, &self.echo].iter().all(|set| set.known.is_empty()) {
            return None;
        }
        let hash = self.hash(value);
        [(&self.revealed, Origin::Revealed), (&self.own, Origin::Own), (&self.echo, Origin::Echo)]
            .into_iter()
            .find_map(|(set, origin)| set.known.contains(&hash).then_some(origin))
    }

    fn hash(&self, value: &[u8]) -> u64 {
        sip_lowercase(&self.key, value.trim_ascii())
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |set: &Remembered| set.order.len();
        write!(
            f,
            "Known({} own, {} echo, {} revealed)",
            count(&self.own),
            count(&self.echo),
            count(&self.revealed)
        )
    }
}

#[derive(Default)]
struct Remembered {
    known: HashSet<u64, BuildHasherDefault<Hashed>>,
    order: VecDeque<u64>,
}

impl Remembered {
    fn insert(&mut self, hash: u64) {
        if !self.known.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > KNOWN_VALUES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_told_by_where_the_run_knows_it_from() {
        let mut known = Known::new([3; 16]);
        known.remember(Origin::Own, b"ssn_42");
        known.remember(Origin::Echo, b"jo@example.com");
        known.remember(Origin::Echo, b"shown@example.com");
        known.remember(Origin::Revealed, b"Shown@example.com");
        assert_eq!(known.origin(b"ssn_42"), Some(Origin::Own));
        assert_eq!(known.origin(b"JO@example.com "), Some(Origin::Echo));
        assert_eq!(known.origin(b"shown@example.com"), Some(Origin::Revealed));
        assert_eq!(known.origin(b"ssn_43"), None);
    }

    #[test]
    fn a_run_says_so_many_values_and_no_more_are_its_own() {
        let echoes = Arc::new(Echoes::new([5; 16]));
        let said = |known: &mut Known, value: usize| {
            known.remember(Origin::Echo, value.to_string().as_bytes());
            known.origin(value.to_string().as_bytes()).is_some()
        };
        let (mut first, mut second) =
            (Known::of_run([3; 16], echoes.clone()), Known::of_run([4; 16], echoes.clone()));
        assert!((0..ECHOES_PER_RUN_MAX - 1).all(|value| said(&mut first, value)));
        // What is said again takes nothing, on whatever connection.
        assert!(said(&mut first, ECHOES_PER_RUN_MAX - 2));
        assert!((0..50).all(|value| said(&mut second, value)));
        assert!(said(&mut second, ECHOES_PER_RUN_MAX));
        assert!(!said(&mut second, ECHOES_PER_RUN_MAX + 1) && !said(&mut first, ECHOES_PER_RUN_MAX + 2));
        assert!(said(&mut second, 7));
    }

    #[test]
    fn the_oldest_is_forgotten_at_the_limit() {
        let mut known = Known::new([3; 16]);
        (0..=KNOWN_VALUES_MAX).for_each(|i| known.remember(Origin::Own, format!("v{i}").as_bytes()));
        assert_eq!(known.origin(b"v0"), None);
        assert_eq!(known.origin(b"v1"), Some(Origin::Own));
    }
}
