//! The one DFA: where a value of a class could be.

use regex_automata::dfa::dense::{self, DFA};
use regex_automata::dfa::{Automaton, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};

/// What the DFA stopped at. The number is the pattern's index in [`PATTERNS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// `@`: an address, or the end of a URL's credentials.
    At,
    Phone,
    Ssn,
    Card,
    Iban,
    Jwt,
    Pem,
    AwsKeyId,
    AwsSecretName,
    Github,
    GithubFine,
    Slack,
    SlackHook,
    Stripe,
    StripeHook,
    Google,
    OpenAi,
    Groq,
    HuggingFace,
    Replicate,
    Xai,
}

/// Each matches at most [`ANCHOR_BYTES_MAX`] bytes, of which one is a trigger ([`has_trigger`]). Some are wider than the
/// values (`r[0-9]_`, `A[0-9]T`): a byte that stands alone nowhere else would double the automaton's rows.
const PATTERNS: [(Anchor, &str); 21] = [
    (Anchor::At, "@"),
    (Anchor::Phone, r"\+[1-9]"),
    // From the first separator: the fewer digits an anchor begins with, the smaller the automaton.
    (Anchor::Ssn, r"(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}"),
    // Fourteen digits and the end of a group: fires once in a long run of digits, not at each of them.
    (Anchor::Card, r"[0-9](?:[ -]?[0-9]){13}(?:[^0-9]|\z)"),
    (Anchor::Iban, r"[A-Z]{2}[0-9]{2}"),
    (Anchor::Jwt, "eyJ"),
    (Anchor::Pem, "-----BEGIN "),
    (Anchor::AwsKeyId, "(?:AKIA|ASIA|ABIA|ACCA|A[0-9]T[A-Z0-9])"),
    (Anchor::AwsSecretName, "(?:[_-]access[_-]key|_ACCESS_KEY|[sS]ecretAccessKey)"),
    (Anchor::Github, "gh[opsur]_"),
    (Anchor::GithubFine, "github_pat_"),
    (Anchor::Slack, "(?:xox[abeoprs]|xapp)-"),
    (Anchor::SlackHook, r"hooks\.slack\.com/services/T[A-Z]{0,12}[0-9]"),
    (Anchor::Stripe, "[rs]k_(?:live|test|prod)_"),
    (Anchor::StripeHook, "whsec_"),
    (Anchor::Google, "AIza"),
    (Anchor::OpenAi, "sk-"),
    (Anchor::Groq, "gsk_"),
    (Anchor::HuggingFace, "hf_"),
    (Anchor::Replicate, "r[0-9]_"),
    (Anchor::Xai, "xai-"),
];

/// A block of this many bytes without a trigger is skipped, unless an anchor could reach over it.
const BLOCK: usize = 64;
/// Longest anchor in bytes: 14 digits, 13 separators and the byte after; a Slack webhook has 39.
const ANCHOR_BYTES_MAX: usize = 40;
const _: () = assert!(ANCHOR_BYTES_MAX < BLOCK);
/// A region that is worth lanes: they walk three anchors' lengths twice.
const LANED_BYTES_MIN: usize = 1 << 10;
const _: () = assert!(LANED_BYTES_MIN / 4 > 2 * ANCHOR_BYTES_MAX);

pub(super) struct Anchors {
    dfa: DFA<Vec<u32>>,
    start: StateID,
}

impl Anchors {
    /// Panics only if a constant pattern does not build: every test builds them.
    pub(super) fn new() -> Anchors {
        let dfa = dense::Builder::new()
            .configure(dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Unanchored))
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .build_many(&PATTERNS.map(|(_, pattern)| pattern))
            .expect("constant patterns");
        // No pattern looks behind, so that there is one start, wherever a walk begins.
        let start = dfa.universal_start_state(Anchored::No).expect("no pattern looks behind");
        Anchors { dfa, start }
    }

    /// Calls `found` with each anchor and the position after it, in order of position.
    pub(super) fn each(&self, bytes: &[u8], mut found: impl FnMut(Anchor, usize)) {
        let mut at = 0;
        while let Some((from, to)) = next_region(bytes, at) {
            self.walk(bytes, from, to, at, &mut found);
            at = to;
        }
    }

    /// Runs the DFA over `bytes[from..to]`, reporting anchors that end after `after`.
    fn walk(
        &self,
        bytes: &[u8],
        from: usize,
        to: usize,
        after: usize,
        found: &mut impl FnMut(Anchor, usize),
    ) {
        let mut report = |state: StateID, end: usize| {
            if end > after && self.dfa.is_match_state(state) {
                for i in 0..self.dfa.match_len(state) {
                    found(PATTERNS[self.dfa.match_pattern(state, i).as_usize()].0, end);
                }
            }
        };
        let (mut state, walked) = self.walk_lanes(&bytes[from..to], |state, end| report(state, from + end));
        for (i, &byte) in bytes[from + walked..to].iter().enumerate() {
            state = self.dfa.next_state(state, byte);
            // A match is seen one byte late.
            if self.dfa.is_special_state(state) {
                report(state, from + walked + i);
            }
        }
        // The byte after the region, or the end, brings out a match that ends with it.
        state = match bytes.get(to) {
            Some(&byte) => self.dfa.next_state(state, byte),
            None => self.dfa.next_eoi_state(state),
        };
        report(state, to);
    }

    /// Runs the DFA over most of a long region in four lanes at once: a step waits for the one before it, but not for
    /// those of other lanes. Each lane begins an anchor's length inside the one before, and reports what ends behind
    /// that. Returns the last lane's state, and how many bytes are walked.
    fn walk_lanes(&self, region: &[u8], mut report: impl FnMut(StateID, usize)) -> (StateID, usize) {
        if region.len() < LANED_BYTES_MIN {
            return (self.start, 0);
        }
        let length = (region.len() + 3 * ANCHOR_BYTES_MAX) / 4;
        let begin = [0, 1, 2, 3].map(|lane| lane * (length - ANCHOR_BYTES_MAX));
        let [a, b, c, d] = begin.map(|begin| &region[begin..begin + length]);
        let mut states = [self.start; 4];
        let mut ends: [Vec<(StateID, usize)>; 4] = Default::default();
        for (i, (((&a, &b), &c), &d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
            states[0] = self.dfa.next_state(states[0], a);
            states[1] = self.dfa.next_state(states[1], b);
            states[2] = self.dfa.next_state(states[2], c);
            states[3] = self.dfa.next_state(states[3], d);
            if states.iter().any(|&state| self.dfa.is_special_state(state)) {
                for lane in 0..4 {
                    if self.dfa.is_match_state(states[lane]) && (lane == 0 || i >= ANCHOR_BYTES_MAX) {
                        ends[lane].push((states[lane], begin[lane] + i));
                    }
                }
            }
        }
        ends.into_iter().flatten().for_each(|(state, end)| report(state, end));
        (states[3], begin[3] + length)
    }
}

/// The next stretch of bytes at or after `at` that can hold the end of an anchor: from an anchor's length before the
/// first block with a trigger up to the first block without, and an anchor's length into it.
fn next_region(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = at + bytes[at..].chunks(BLOCK).position(has_trigger)? * BLOCK;
    let quiet = bytes[first..].chunks(BLOCK).position(|block| !has_trigger(block));
    let end = quiet.map_or(bytes.len(), |blocks| first + blocks * BLOCK);
    Some((first.saturating_sub(ANCHOR_BYTES_MAX), (end + ANCHOR_BYTES_MAX).min(bytes.len())))
}

/// Whether a block has a byte that every anchor has: a digit, or one of `@+-_AJ`. Written so that it vectorises.
fn has_trigger(block: &[u8]) -> bool {
    block.iter().fold(false, |any, &b| {
        any | (b.wrapping_sub(b'0') < 10)
            | (b == b'@')
            | (b == b'+')
            | (b == b'-')
            | (b == b'_')
            | (b == b'A')
            | (b == b'J')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(anchors: &Anchors, bytes: &[u8]) -> Vec<(Anchor, usize)> {
        let mut out = Vec::new();
        anchors.each(bytes, |anchor, end| out.push((anchor, end)));
        out
    }

    #[test]
    fn an_anchor_is_found_at_every_offset_and_distance_from_the_blocks() {
        let anchors = Anchors::new();
        for before in 0..200 {
            let mut text = vec![b'x'; before];
            text.extend_from_slice(b" eyJ gh");
            text.extend_from_slice(&[b'z'; 150]);
            text.extend_from_slice(b"hf_");
            let ends = [(Anchor::Jwt, before + 4), (Anchor::HuggingFace, text.len())];
            assert_eq!(all(&anchors, &text), ends, "{before} bytes before");
        }
    }

    #[test]
    fn lanes_find_what_one_walk_finds_in_the_same_order() {
        let anchors = Anchors::new();
        let words =
            ["eyJ", "a@b", "4111 1111 1111 1111 ", "-12-3456", "xoxb-", "AKIA", "hf_", "+4", "plain text "];
        for seed in 0..400usize {
            // Every length around the limit, and anchors across every border between lanes.
            let mut text = Vec::new();
            let mut n = seed;
            while text.len() < LANED_BYTES_MIN - 20 + seed {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.extend_from_slice(words[(n >> 33) % words.len()].as_bytes());
            }
            let (laned, mut one) = (all(&anchors, &text), Vec::new());
            let mut state = anchors.start;
            let mut report = |state: StateID, end: usize| {
                if anchors.dfa.is_match_state(state) {
                    let found = (0..anchors.dfa.match_len(state))
                        .map(|i| (PATTERNS[anchors.dfa.match_pattern(state, i).as_usize()].0, end));
                    one.extend(found);
                }
            };
            for (i, &byte) in text.iter().enumerate() {
                state = anchors.dfa.next_state(state, byte);
                report(state, i);
            }
            report(anchors.dfa.next_eoi_state(state), text.len());
            assert_eq!(laned, one, "seed {seed}");
        }
    }

    #[test]
    fn overlapping_anchors_are_all_found() {
        let anchors = Anchors::new();
        assert_eq!(all(&anchors, b"gsk_"), [(Anchor::Groq, 4)]);
        let both = all(&anchors, b"github_pat_sk-eyJ");
        assert_eq!(
            both.iter().map(|(a, _)| *a).collect::<Vec<_>>(),
            [Anchor::GithubFine, Anchor::OpenAi, Anchor::Jwt]
        );
    }

    #[test]
    fn the_automaton_fits_the_second_level_cache() {
        let bytes = Anchors::new().dfa.memory_usage();
        assert!(bytes < 320 << 10, "{bytes} bytes");
    }

    #[test]
    fn the_index_of_a_pattern_is_its_anchor() {
        for (i, (anchor, _)) in PATTERNS.iter().enumerate() {
            assert_eq!(*anchor as usize, i);
        }
    }
}
