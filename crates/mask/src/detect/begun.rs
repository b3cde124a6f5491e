//! Where in a text that goes on a value may have begun whose anchor has not come.
//!
//! An open view ([`super::Detectors::scan_open`]) knows of candidates that have an anchor. A value has begun before: the
//! local part of an address before its `@`, the first groups of a card, `sk_li`. What looks back furthest is a URL's
//! password, and the secret before an access key's id.

use super::validate;
use crate::limits::{EMAIL_LOCAL_BYTES_MAX, NEAR_BYTES_MAX, URL_USERINFO_BYTES_MAX};

/// Positions from which on bytes could belong to a value that does not show yet; the text's end if none could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Of digits, a URL's password, a secret of forty characters, a hook's address.
    pub(crate) firm: usize,
    /// Of a last word: it could be of an address, or a token's first letters.
    pub(crate) word: usize,
}

/// A number printed in groups: 19 digits and four separators, and one byte more.
const NUMBER_BYTES_MAX: usize = 24;
/// A secret access key of AWS.
const SECRET_BYTES: usize = 40;
/// What stands before the id of a workspace in a hook's address.
const HOOK: &[u8] = b"hooks.slack.com/services/T";
/// Most letters of that id before its first digit.
const HOOK_LETTERS_MAX: usize = 12;

/// `bytes` are UTF-8, but for a character that is cut at their beginning.
pub(crate) fn begun(bytes: &[u8]) -> Begun {
    let firm = number(bytes).min(password(bytes)).min(secret(bytes)).min(hook(bytes));
    Begun { firm, word: word(bytes).min(base64_word(bytes)) }
}

/// The last word that could be a local part. Beyond ASCII, letters that have a case are of a word: what is written without
/// spaces (Chinese, Japanese, Thai) would otherwise be one for as long as a local part may be.
fn word(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(EMAIL_LOCAL_BYTES_MAX);
    let cut = bytes[from..].iter().take_while(|&&b| b & 0xc0 == 0x80).count();
    let Ok(text) = std::str::from_utf8(&bytes[from + cut..]) else { return from };
    let of_word = |c: char| match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || "._%+-'~".contains(c),
        false => c.is_lowercase() || c.is_uppercase(),
    };
    let length: usize = text.chars().rev().take_while(|&c| of_word(c)).map(char::len_utf8).sum();
    bytes.len() - length
}

/// The last run that could become a secret access key.
fn base64_word(bytes: &[u8]) -> usize {
    let start = run_back(bytes, SECRET_BYTES + 1, of_secret);
    if bytes.len() - start > SECRET_BYTES { bytes.len() } else { start }
}

/// The last digits, with what may stand between them.
fn number(bytes: &[u8]) -> usize {
    let start = run_back(bytes, NUMBER_BYTES_MAX, |b| b.is_ascii_digit() || b == b' ' || b == b'-');
    bytes[start..].iter().position(u8::is_ascii_digit).map_or(bytes.len(), |i| start + i)
}

/// What could be the password of `scheme://user:password@`, whose `@` has not come; a password may have one or two in it.
fn password(bytes: &[u8]) -> usize {
    let mut ats = 0;
    let info = run_back(bytes, URL_USERINFO_BYTES_MAX, |b| {
        ats += usize::from(b == b'@');
        b > b' ' && b != 0x7f && !b"/\"'<>`\\".contains(&b) && ats <= 2
    });
    let colon = bytes[info..].iter().position(|&b| b == b':');
    match colon {
        Some(colon) if bytes[..info].ends_with(b"://") => info + colon + 1,
        _ => bytes.len(),
    }
}

/// A secret access key in the last line, near enough to an id that may follow.
fn secret(bytes: &[u8]) -> usize {
    // Three of an id's letters may be here without being its anchor.
    let near = bytes.len().saturating_sub(NEAR_BYTES_MAX + 4);
    let mut at = memchr::memrchr(b'\n', &bytes[near..]).map_or(near, |i| near + i + 1);
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|&&b| of_secret(b)).count();
        let mark = usize::from(length == SECRET_BYTES + 1 && bytes[at] == b'+');
        let (at_run, length_run) = (at + mark, length - mark);
        let run = &bytes[at_run..at_run + length_run];
        if length_run == SECRET_BYTES && validate::mixed(run) && validate::entropy(run) >= 4.0 {
            return at_run;
        }
        at += length.max(1);
    }
    bytes.len()
}

/// The address of a hook, as far as it has come.
fn hook(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(HOOK.len() + HOOK_LETTERS_MAX);
    let begins = |rest: &[u8]| match rest.strip_prefix(HOOK) {
        Some(letters) => letters.iter().all(u8::is_ascii_uppercase),
        None => HOOK.starts_with(rest),
    };
    (from..bytes.len()).find(|&i| bytes[i] == b'h' && begins(&bytes[i..])).unwrap_or(bytes.len())
}

fn of_secret(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'/' || b == b'+'
}

/// The start of the last run of `wanted`, at most `max` bytes.
fn run_back(bytes: &[u8], max: usize, mut wanted: impl FnMut(u8) -> bool) -> usize {
    bytes.len() - bytes.iter().rev().take(max).take_while(|&&b| wanted(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::{Random, shared};
    use crate::detect::{Detectors, Finding};

    #[test]
    fn what_could_be_the_beginning_of_a_value_has_begun() {
        let cases: [(&str, &str); 17] = [
            ("write to jo.d", "jo.d"),
            ("write to ", ""),
            ("(jo", "jo"),
            ("to=jo", "jo"),
            ("in 2024", "2024"),
            ("in 2024 ", "2024 "),
            ("no 4111 1111-11", "4111 1111-11"),
            ("at postgres://app:s3cr", "s3cr"),
            ("at http://host/a:b ", ""),
            ("-----BEG", "-----BEG"),
            ("see https://hooks.slack.com/services/TAB", "hooks.slack.com/services/TAB"),
            (
                "s = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY, k = ",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY, k = ",
            ),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n", ""),
            ("a/b1", "a/b1"),
            ("\u{8054}\u{7cfb}jo", "jo"),
            ("\u{8054}\u{7cfb}", ""),
            ("of J\u{fc}r", "J\u{fc}r"),
        ];
        for (text, expect) in cases {
            let begun = begun(text.as_bytes());
            assert_eq!(&text[begun.firm.min(begun.word)..], expect, "{text:?}");
        }
    }

    /// Masks in pieces, with what has begun and what is undecided alone held.
    fn split(detectors: &Detectors, bytes: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<Finding> {
        let (mut all, mut decided) = (Vec::new(), 0usize);
        for cut in cuts {
            let mut found = Vec::new();
            let seen = &bytes[..cut];
            let behind = decided.saturating_sub(NEAR_BYTES_MAX);
            let undecided = detectors.scan_open(seen, true, behind, &mut found);
            let begun = begun(seen);
            let cut = undecided.min(begun.firm).min(begun.word).max(decided);
            all.extend(found.into_iter().filter(|f| (decided..cut).contains(&f.range.start)));
            decided = cut;
        }
        let mut found = Vec::new();
        detectors.scan(bytes, &mut found);
        all.extend(found.into_iter().filter(|f| f.range.start >= decided));
        all
    }

    #[test]
    fn what_is_let_go_is_of_no_value_that_shows_later() {
        let values = [
            "jo.doe@example.com",
            "4111 1111 1111 1111",
            "4242-4242-4242-4242",
            "378282246310005",
            "DE89 3704 0044 0532 0130 00",
            "536-90-4399",
            "219 09 9999",
            "+1 (415) 555-0100",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
            "-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----",
            "postgres://app:s3cr@t@db.example.com/x",
            "AKIAIOSFODNN7EXAMPLE\nwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY, and then AKIAIOSFODNN7EXAMPLE",
            "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",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcBrzbqgy",
        ];
        let fillers = ["", " ", "\n", "x", "-", "1", "@", "+", "://", ".", "=", "\"", "words and words "];
        let mut random = Random(11);
        let mut seen = 0;
        for round in 0..600 {
            let mut text = String::new();
            for _ in 0..1 + random.next() % 6 {
                text += fillers[(random.next() % fillers.len() as u64) as usize];
                text += values[(random.next() % values.len() as u64) as usize];
                text += fillers[(random.next() % fillers.len() as u64) as usize];
            }
            let mut expect = Vec::new();
            shared().scan(text.as_bytes(), &mut expect);
            seen += expect.len();
            let step = 1 + random.next() as usize % 9;
            let cuts = (1..).map(|i| i * step).take_while(|&cut| cut < text.len());
            let mut found = split(shared(), text.as_bytes(), cuts);
            found.sort_by_key(|f| (f.range.start, std::cmp::Reverse(f.range.end)));
            assert_eq!(found, expect, "round {round}: {text:?} by {step}");
        }
        assert!(seen > 600);
    }
}
