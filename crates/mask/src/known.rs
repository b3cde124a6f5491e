//! What one run already knows: is a tripwire's hit its own mask, its own words, or a leak?

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::filter::{Hashed, tokens};
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

/// How many values a run may still say and have back as its own: who says all numbers of a kind guesses.
#[derive(Debug)]
pub struct Echoes(AtomicU64);

impl Default for Echoes {
    fn default() -> Echoes {
        Echoes(AtomicU64::new(ECHOES_PER_RUN_MAX))
    }
}

impl Echoes {
    fn one_more(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
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
        Known::of_run(key, Arc::default())
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
            Origin::Echo if self.echo.known.contains(&hash) || !self.echoes.one_more() => {}
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

    /// What of `text` the run knows: the whole, and each token.
    pub fn hits<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Origin)> + 'a {
        let whole = text.trim_ascii();
        let parts = tokens(whole).filter(move |t| t.len() < whole.len());
        std::iter::once(whole).chain(parts).filter_map(|t| Some((t, self.origin(t)?)))
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
        let hits: Vec<_> = known.hits(b"mail jo@example.com, ref ssn_42.").collect();
        assert_eq!(hits, [(&b"jo@example.com"[..], Origin::Echo), (&b"ssn_42"[..], Origin::Own)]);
    }

    #[test]
    fn a_run_says_so_many_values_and_no_more_are_its_own() {
        let echoes = Arc::new(Echoes::default());
        let said = |known: &mut Known, value: u64| {
            known.remember(Origin::Echo, value.to_string().as_bytes());
            known.origin(value.to_string().as_bytes()).is_some()
        };
        let (mut first, mut second) =
            (Known::of_run([3; 16], echoes.clone()), Known::of_run([4; 16], echoes.clone()));
        assert!((0..ECHOES_PER_RUN_MAX - 1).all(|value| said(&mut first, value)));
        // What is said again takes nothing.
        assert!(said(&mut first, ECHOES_PER_RUN_MAX - 2));
        assert!(said(&mut second, 7));
        assert!(!said(&mut second, 8) && !said(&mut first, ECHOES_PER_RUN_MAX));
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
