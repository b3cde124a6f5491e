//! Values that a run was shown by grant, so that they are found again in what it tells somebody else.
//!
//! A value is known by the keyed hash of its words: what stands between them, and the case of ASCII letters, does not
//! matter. A word ends where another script begins, between which many put no space. What is written without spaces in one script
//! (Chinese, Japanese, Thai) is one word, and is found where signs or another script part it from the rest. A value of fewer than [`TAINT_BYTES_MIN`] bytes of words, or of more than [`TAINT_WORDS_MAX`] words, is not remembered:
//! it would be found everywhere, or nowhere.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vocab::Class;

use crate::letter;
use crate::limits::{TAINT_BYTES_MIN, TAINT_VALUES_MAX, TAINT_WORDS_MAX};
use crate::sip::sip_lowercase;

/// What one run was shown. The oldest values are forgotten beyond [`TAINT_VALUES_MAX`].
pub struct Taint {
    key: [u8; 16],
    values: Mutex<Values>,
}

#[derive(Default)]
struct Values {
    classes: HashMap<u64, Class>,
    order: VecDeque<u64>,
    /// Bit `n`: a value of `n + 1` words is among them.
    lengths: u32,
}

impl Taint {
    pub fn new(key: [u8; 16]) -> Taint {
        Taint { key, values: Mutex::default() }
    }

    /// The run was shown `value`, of `class`.
    pub fn remember(&self, class: &Class, value: &[u8]) {
        let words: Vec<Range<usize>> = words(value).take(TAINT_WORDS_MAX + 1).collect();
        let bytes: usize = words.iter().map(Range::len).sum();
        if bytes < TAINT_BYTES_MIN || words.len() > TAINT_WORDS_MAX {
            return;
        }
        let hash = self.hash(value, &words);
        let mut values = self.values();
        if values.classes.insert(hash, class.clone()).is_none() {
            values.order.push_back(hash);
            values.lengths |= 1 << (words.len() - 1);
        }
        if values.order.len() > TAINT_VALUES_MAX
            && let Some(oldest) = values.order.pop_front()
        {
            values.classes.remove(&oldest);
        }
    }

    /// Whether the run was shown nothing that is remembered.
    pub fn is_empty(&self) -> bool {
        self.values().order.is_empty()
    }

    /// Calls `found` with each place in `bytes` where a value stands as words of its own.
    pub(crate) fn each(&self, bytes: &[u8], mut found: impl FnMut(Range<usize>, &Class)) {
        let values = self.values();
        if values.order.is_empty() {
            return;
        }
        let mut window: VecDeque<Range<usize>> = VecDeque::with_capacity(TAINT_WORDS_MAX);
        for word in words(bytes) {
            if window.len() == TAINT_WORDS_MAX {
                window.pop_front();
            }
            window.push_back(word);
            for count in (1..=window.len()).filter(|count| values.lengths & (1 << (count - 1)) != 0) {
                let last = window.range(window.len() - count..);
                let words: Vec<Range<usize>> = last.cloned().collect();
                if let (Some(class), Some(first), Some(end)) =
                    (values.classes.get(&self.hash(bytes, &words)), words.first(), words.last())
                {
                    found(first.start..end.end, class);
                }
            }
        }
    }

    fn hash(&self, bytes: &[u8], words: &[Range<usize>]) -> u64 {
        let mut all = Vec::with_capacity(64);
        for word in words {
            all.extend_from_slice(bytes.get(word.clone()).unwrap_or_default());
            all.push(b' ');
        }
        sip_lowercase(&self.key, &all)
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Taint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Taint({} values)", self.values().order.len())
    }
}

/// Runs of letters and digits of one script. Bytes that are no UTF-8 are none.
fn words(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    // How long the letter at a place is, and whether it is Latin.
    let letter = |at: usize| match bytes.get(at) {
        Some(byte) if byte.is_ascii() => byte.is_ascii_alphanumeric().then_some((1, true)),
        Some(_) => letter::first(&bytes[at..])
            .filter(|character| letter::is_letter(*character))
            .map(|character| (character.len_utf8(), letter::is_latin(character))),
        None => None,
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = (at..bytes.len()).find(|at| letter(*at).is_some())?;
        let (length, script) = letter(start)?;
        at = start + length;
        while let Some((length, _)) = letter(at).filter(|(_, latin)| *latin == script) {
            at += length;
        }
        Some(start..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Detectors;
    use std::sync::Arc;

    fn taint(values: &[&str]) -> Taint {
        let taint = Taint::new([5; 16]);
        values.iter().for_each(|value| taint.remember(&Class::new("pii.name").unwrap(), value.as_bytes()));
        taint
    }

    fn found(taint: &Taint, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        taint.each(text.as_bytes(), |range, _| all.push(text[range].to_owned()));
        all
    }

    #[test]
    fn a_value_is_found_as_words_of_its_own_however_they_are_set() {
        let taint = taint(&["Chiara Lund", "Zürichstr. 4", "Bo"]);
        assert_eq!(found(&taint, "Write to chiara  LUND, today"), ["chiara  LUND"]);
        assert_eq!(found(&taint, "[('Chiara','Lund')]"), ["Chiara','Lund"]);
        assert_eq!(found(&taint, "at Zürichstr 4"), ["Zürichstr 4"]);
        for not in ["Chiara", "Lund Chiara", "Chiara Lundgren", "achiara lund", "Bo", ""] {
            assert_eq!(found(&taint, not), [""; 0], "{not}");
        }
    }

    #[test]
    fn a_value_is_found_beside_signs_and_scripts_beyond_ascii() {
        let signs = [
            "\u{201c}",
            "\u{2019}",
            "\u{2014}",
            "\u{a0}",
            "\u{202f}",
            "\u{3000}",
            "\u{ff1a}",
            "\u{2122}",
            "\u{1f600}",
        ];
        let letters = ["\u{7ed9}", "\u{440}", "\u{5d0}"];
        for value in
            ["Chiara Lund", "K\u{f6}penick", "\u{7530}\u{4e2d}\u{592a}", "\u{418}\u{432}\u{430}\u{43d}"]
        {
            let taint = taint(&[value]);
            let latin =
                value.starts_with(char::is_alphabetic) && letter::is_latin(value.chars().next().unwrap());
            let beside =
                signs.iter().chain(letters.iter().filter(|_| latin)).chain(["x"].iter().filter(|_| !latin));
            for sign in beside {
                assert_eq!(found(&taint, &format!("to{sign}{value}{sign}")), [value], "{sign}");
            }
        }
        let taint = taint(&["Chiara Lund", "O\u{2019}Brien"]);
        assert_eq!(found(&taint, "Chiara\u{a0}Lund"), ["Chiara\u{a0}Lund"]);
        assert_eq!(found(&taint, "o'brien"), ["o'brien"]);
        assert_eq!(found(&taint, "Chiara Lund\u{e9}"), [""; 0]);
    }

    #[test]
    fn it_is_a_detector_among_the_others_through_encodings_too() {
        let taint = Arc::new(taint(&["Chiara Lund of Turin"]));
        let detectors = Detectors::new().with(taint);
        let find = |text: &str| {
            let mut all = Vec::new();
            detectors.scan_deep(text.as_bytes(), &mut all);
            all.into_iter().map(|f| (f.class.to_string(), f.detector)).collect::<Vec<_>>()
        };
        assert_eq!(find("about Chiara Lund of Turin"), [("pii.name".to_owned(), "taint")]);
        assert_eq!(find("Q2hpYXJhIEx1bmQgb2YgVHVyaW4="), [("pii.name".to_owned(), "taint")], "base64");
        assert_eq!(find("about Chiara Lund"), []);
        assert_eq!(find("x@example.com"), [("pii.email".to_owned(), "email")]);
    }

    #[test]
    fn the_oldest_is_forgotten_at_the_limit() {
        let taint = Taint::new([5; 16]);
        let class = Class::new("pii.name").unwrap();
        (0..=TAINT_VALUES_MAX).for_each(|n| taint.remember(&class, format!("value{n:08}").as_bytes()));
        assert_eq!(found(&taint, "value00000000"), [""; 0]);
        assert_eq!(found(&taint, "value00000001"), ["value00000001"]);
    }
}
