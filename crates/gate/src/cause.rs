//! What a run's models decided, and which of it an action carries out.
//!
//! A decision's arguments are kept in memory, and never written: an action that says them again is held against them
//! when it is asked. What is recorded is the edge. Order and time alone make none: an action that says nothing of any
//! decision is an orphan, and analysts want to see it.
//!
//! Beside that: what a run was given by its models, so that history which it makes up is noticed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vocab::{RunId, Seq};

use crate::limits::{
    CAUSES_MAX, DECISION_BYTES_PER_RUN_MAX, DECISION_STRINGS_MAX, DECISIONS_PER_RUN_MAX, GIVEN_PER_RUN_MAX,
    SAID_BYTES_MAX, SAID_BYTES_MIN, SAID_WORD_BYTES_MIN,
};

/// How what is asked and a string of a decision's arguments stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The string is the whole of what is asked, but for white space.
    Same,
    /// What is asked holds the string.
    Holds,
    /// The string holds what is asked.
    Within,
}

impl How {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            How::Same => "same",
            How::Holds => "holds",
            How::Within => "within",
        }
    }
}

/// What of a conversation a run may say that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// A tool call, by its id.
    Call,
    /// A turn of the model's, by its text.
    Turn,
    /// A turn that the gateway has seen on its way to the model.
    Prompt,
}

/// What all runs were given.
pub(crate) struct Causes {
    runs: Mutex<HashMap<RunId, Arc<Mutex<Given>>>>,
    hash: RandomState,
}

#[derive(Default)]
struct Given {
    decisions: VecDeque<Decided>,
    bytes: usize,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

struct Decided {
    seq: Seq,
    strings: Vec<Box<str>>,
}

impl Decided {
    fn bytes(&self) -> usize {
        self.strings.iter().map(|string| string.len()).sum()
    }
}

impl Causes {
    pub(crate) fn new() -> Causes {
        Causes { runs: Mutex::default(), hash: RandomState::new() }
    }

    /// A decision was recorded, with what its arguments say.
    pub(crate) fn decided(&self, run: RunId, seq: Seq, strings: &[String]) {
        let strings = strings.iter().take(DECISION_STRINGS_MAX).map(|string| plain(string).into());
        let decided = Decided { seq, strings: strings.collect() };
        let given = self.run(run);
        let mut given = lock(&given);
        given.bytes += decided.bytes();
        given.decisions.push_back(decided);
        let full = |given: &Given| {
            given.decisions.len() > DECISIONS_PER_RUN_MAX || given.bytes > DECISION_BYTES_PER_RUN_MAX
        };
        while full(&given)
            && let Some(oldest) = given.decisions.pop_front()
        {
            given.bytes -= oldest.bytes();
        }
    }

    /// The decisions that `said` carries out, newest first: those that say it best, and all of them if it cannot be told
    /// which.
    pub(crate) fn of(&self, run: RunId, said: &str) -> Vec<(Seq, How)> {
        let Some(given) = lock(&self.runs).get(&run).cloned() else { return Vec::new() };
        let given = lock(&given);
        if given.decisions.is_empty() {
            return Vec::new();
        }
        let said = plain(&said[..said.floor_char_boundary(SAID_BYTES_MAX)]);
        let how = |decided: &Decided| {
            let how = decided.strings.iter().filter_map(|string| compare(&said, string)).min()?;
            Some((decided.seq, how))
        };
        let mut all: Vec<(Seq, How)> = given.decisions.iter().rev().filter_map(how).collect();
        let best = all.iter().map(|(_, how)| *how).min();
        all.retain(|(_, how)| Some(*how) == best);
        all.truncate(CAUSES_MAX);
        all
    }

    /// Notes that a run was given `what`; `true` if it was new.
    pub(crate) fn give(&self, run: RunId, kind: Said, what: &str) -> bool {
        let hash = self.hash.hash_one((kind, plain(what)));
        let given = self.run(run);
        let mut given = lock(&given);
        if !given.known.insert(hash) {
            return false;
        }
        given.order.push_back(hash);
        if given.order.len() > GIVEN_PER_RUN_MAX
            && let Some(oldest) = given.order.pop_front()
        {
            given.known.remove(&oldest);
        }
        true
    }

    /// Whether a run was given `what`.
    pub(crate) fn was_given(&self, run: RunId, kind: Said, what: &str) -> bool {
        let hash = self.hash.hash_one((kind, plain(what)));
        let given = lock(&self.runs).get(&run).cloned();
        given.is_some_and(|given| lock(&given).known.contains(&hash))
    }

    pub(crate) fn forget(&self, run: RunId) {
        lock(&self.runs).remove(&run);
    }

    /// A run's own: what is compared for one run holds up no other.
    fn run(&self, run: RunId) -> Arc<Mutex<Given>> {
        lock(&self.runs).entry(run).or_default().clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One space for each run of white space, none at the ends, and no semicolon there.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out.truncate(out.trim_end_matches([';', ' ']).len());
    out
}

fn compare(said: &str, string: &str) -> Option<How> {
    if string.is_empty() || said.is_empty() {
        return None;
    }
    if said == string {
        return Some(How::Same);
    }
    if is_telling(string) && stands_in(said, string) {
        return Some(How::Holds);
    }
    (said.len() >= SAID_BYTES_MIN && string.contains(said)).then_some(How::Within)
}

/// Whether what holds the string is likely to hold it because of the decision: `customer` is in many statements, `order-2041`
/// in those about it.
fn is_telling(string: &str) -> bool {
    let one_word = string.chars().all(char::is_alphabetic);
    string.len() >= if one_word { SAID_WORD_BYTES_MIN } else { SAID_BYTES_MIN }
}

/// Whether `said` holds the string as words of its own, and not as a part of longer ones.
fn stands_in(said: &str, string: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    said.match_indices(string).any(|(at, _)| {
        let (before, after) = (said.get(..at), said.get(at + string.len()..));
        ends(before.and_then(|text| text.chars().next_back()))
            && ends(after.and_then(|text| text.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId([1; 16]);

    fn causes(decisions: &[&[&str]]) -> Causes {
        let causes = Causes::new();
        for (n, strings) in decisions.iter().enumerate() {
            let strings: Vec<String> = strings.iter().map(|s| (*s).to_owned()).collect();
            causes.decided(RUN, Seq(n as u64), &strings);
        }
        causes
    }

    #[test]
    fn an_action_is_held_against_what_was_decided() {
        let causes = causes(&[
            &["SELECT id FROM orders\n  WHERE id = 3;"],
            &["DELETE FROM orders; DROP TABLE orders"],
            &["invoice-2041", "x", "customer", "order 3 is"],
        ]);
        let of = |said: &str| {
            causes.of(RUN, said).into_iter().map(|(seq, how)| (seq.0, how.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(of("SELECT id FROM orders WHERE id = 3"), [(0, "same")]);
        assert_eq!(of("DROP TABLE orders"), [(1, "within")]);
        assert_eq!(of("/invoices/invoice-2041?x=1"), [(2, "holds")]);
        assert_eq!(of("SELECT 1"), []);
        for no in [
            "SELECT count(*) FROM customers",
            "SELECT customer FROM t",
            "/invoices/xinvoice-20411",
            "border 3 isa",
        ] {
            assert_eq!(of(no), [], "{no}");
        }
        assert_eq!(
            causes.of(RunId([2; 16]), "DROP TABLE orders"),
            [],
            "another run's decision explains nothing"
        );
    }

    #[test]
    fn which_of_two_alike_it_was_is_not_guessed_and_a_better_one_stands_alone() {
        let causes = causes(&[&["SELECT 1, 2, 3"], &["SELECT 1, 2, 3"], &["SELECT 1, 2, 3, 4"]]);
        let of = |said: &str| causes.of(RUN, said).into_iter().map(|(seq, _)| seq.0).collect::<Vec<_>>();
        assert_eq!(of("SELECT 1, 2, 3"), [1, 0]);
    }

    #[test]
    fn what_a_run_was_not_given_is_noticed() {
        let causes = Causes::new();
        assert!(causes.give(RUN, Said::Call, "call_1") && !causes.give(RUN, Said::Call, "call_1"));
        assert!(causes.was_given(RUN, Said::Call, "call_1"));
        assert!(!causes.was_given(RUN, Said::Turn, "call_1"));
        causes.forget(RUN);
        assert!(!causes.was_given(RUN, Said::Call, "call_1"));
    }

    #[test]
    fn memory_is_bounded() {
        let causes = Causes::new();
        for n in 0..2 * DECISIONS_PER_RUN_MAX as u64 {
            causes.decided(RUN, Seq(n), &["y".repeat(10 << 10)]);
        }
        let given = causes.run(RUN);
        let given = lock(&given);
        assert!(given.bytes <= DECISION_BYTES_PER_RUN_MAX);
        assert!(given.decisions.len() <= DECISIONS_PER_RUN_MAX);
    }
}
