//! The service's own credential, taken out of what the service says: a page that echoes a request, a redirect that keeps
//! its query, a link to the next page (P6).
//!
//! It is looked for as it is, as a form or a URL writes it, as JSON may write it, and in Base64; over pieces too, since
//! what could be its beginning waits for the next one.

use memchr::memmem;
use zeroize::Zeroizing;

use super::credential::{base64, percent_encoded};
use crate::vault::Secret;

/// Shorter ones stand anywhere by chance, and protect nothing.
const SECRET_BYTES_MIN: usize = 6;
/// What stands in its place: letters that are themselves in every format.
const PLACEHOLDER: &[u8] = b"[credential]";

/// The forms of one credential.
pub(super) struct Needles(Vec<Zeroizing<Vec<u8>>>);

/// How JSON may write a byte: as little escaped as can be, with the slash, and as those do that escape for HTML too, with
/// small and with capital digits.
const JSON: [fn(u8) -> Vec<u8>; 4] = [
    |b| match b {
        b'"' | b'\\' => vec![b'\\', b],
        b => vec![b],
    },
    |b| match b {
        b'"' | b'\\' | b'/' => vec![b'\\', b],
        b => vec![b],
    },
    |b| match b {
        b'\\' => vec![b'\\', b],
        b'"' | b'\'' | b'<' | b'>' | b'&' | b'+' | b'=' | b'`' => format!("\\u{b:04x}").into_bytes(),
        b => vec![b],
    },
    |b| match b {
        b'\\' => vec![b'\\', b],
        b'"' | b'\'' | b'<' | b'>' | b'&' | b'+' | b'=' | b'`' => format!("\\u{b:04X}").into_bytes(),
        b => vec![b],
    },
];

fn written(value: &[u8], write: impl Fn(u8) -> Vec<u8>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(value.iter().flat_map(|b| write(*b)).collect())
}

impl Needles {
    pub(super) fn new(secret: Option<&Secret>) -> Needles {
        let Some(secret) = secret.map(Secret::expose) else { return Needles(Vec::new()) };
        let password = secret.iter().position(|b| *b == b':').map(|colon| &secret[colon + 1..]);
        // Of `ID:SECRET:TOKEN` the token is what travels.
        let token = secret.iter().rposition(|b| *b == b':').map(|colon| &secret[colon + 1..]);
        let mut all: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for value in
            [Some(secret), password, token].into_iter().flatten().filter(|v| v.len() >= SECRET_BYTES_MIN)
        {
            all.push(Zeroizing::new(value.to_vec()));
            all.extend(JSON.map(|write| written(value, write)));
            all.push(percent_encoded(value));
            all.push(written(value, |b| match b {
                b'/' => vec![b],
                b => percent_encoded(&[b]).to_vec(),
            }));
            // Without padding: with it they begin alike.
            let word = base64(value);
            let word = word.strip_suffix(b"==").or(word.strip_suffix(b"=")).unwrap_or(&word);
            all.push(Zeroizing::new(word.to_vec()));
            let url = |b: &u8| match b {
                b'+' => b'-',
                b'/' => b'_',
                b => *b,
            };
            all.push(Zeroizing::new(word.iter().map(url).collect()));
        }
        // The longest first, so that no part of one stays.
        all.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        all.dedup();
        Needles(all)
    }

    /// How much of what was said has to be known, in bytes, to find what goes on in what is said next.
    pub(super) fn reach(&self) -> usize {
        self.0.iter().map(|needle| needle.len()).max().unwrap_or_default().saturating_sub(1)
    }

    /// Whether the credential begins in `before` and ends in `after`.
    pub(super) fn straddle(&self, before: &[u8], after: &[u8]) -> bool {
        let clean = |bytes: &[u8]| self.without(bytes).unwrap_or_else(|| bytes.to_vec());
        clean(&[before, after].concat()) != [clean(before), clean(after)].concat()
    }

    /// `bytes` without the credential; `None` if it is not in them.
    pub(super) fn without(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        for needle in &self.0 {
            let text = out.as_deref().unwrap_or(bytes);
            let finder = memmem::Finder::new(&needle[..]);
            let at: Vec<usize> = finder.find_iter(text).collect();
            if at.is_empty() {
                continue;
            }
            let mut rest = 0;
            let mut clean = Vec::with_capacity(text.len());
            for at in at {
                clean.extend_from_slice(&text[rest..at]);
                clean.extend_from_slice(PLACEHOLDER);
                rest = at + needle.len();
            }
            clean.extend_from_slice(&text[rest..]);
            out = Some(clean);
        }
        out
    }

    /// How many of the last bytes could be the beginning of the credential.
    fn begun(&self, bytes: &[u8]) -> usize {
        let longest = self.0.first().map_or(0, |needle| needle.len().saturating_sub(1)).min(bytes.len());
        let begins = |n: &usize| self.0.iter().any(|needle| needle.starts_with(&bytes[bytes.len() - n..]));
        (1..=longest).rev().find(begins).unwrap_or(0)
    }
}

/// A body, piece by piece.
#[derive(Default)]
pub(super) struct Scrub {
    held: Vec<u8>,
    /// It was found.
    pub(super) found: bool,
}

impl Scrub {
    /// What of `piece` and of what was held can go on.
    pub(super) fn push(&mut self, needles: &Needles, piece: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        if let Some(clean) = needles.without(&bytes) {
            self.found = true;
            bytes = clean;
        }
        self.held = bytes.split_off(bytes.len() - needles.begun(&bytes));
        bytes
    }

    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(secret: &str, pieces: &[&[u8]]) -> String {
        let needles = Needles::new(Some(&Secret::new(secret.as_bytes().to_vec())));
        let mut scrub = Scrub::default();
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| scrub.push(&needles, piece)).collect();
        out.extend(scrub.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_credential_that_goes_on_in_what_is_said_next_is_seen() {
        let long = format!("sk-{}", "0123456789".repeat(900));
        for secret in ["s/cret+1", &long] {
            let needles = Needles::new(Some(&Secret::new(secret.as_bytes().to_vec())));
            assert!(needles.reach() >= secret.len() - 1);
            // Another one that stands whole on either side hides none.
            let said = format!("{secret} {secret} {secret}");
            for at in 0..=said.len() {
                let inside = at % (secret.len() + 1);
                let (before, after) = said.as_bytes().split_at(at);
                let expect = inside != 0 && inside != secret.len();
                assert_eq!(needles.straddle(before, after), expect, "cut at {at}");
                if long == *secret && at > 40 {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_credential_is_taken_out_in_each_form_and_however_it_is_cut() {
        let said = r#"{"a": "Bearer s/cret+1", "b": "s\/cret+1", "next": "/?key=s%2Fcret%2B1", "c": "cy9jcmV0KzE="}"#;
        let clean = r#"{"a": "Bearer [credential]", "b": "[credential]", "next": "/?key=[credential]", "c": "[credential]="}"#;
        for at in 0..said.len() {
            let (a, b) = said.as_bytes().split_at(at);
            assert_eq!(scrubbed("s/cret+1", &[a, b]), clean, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = said.as_bytes().chunks(1).collect();
        assert_eq!(scrubbed("s/cret+1", &bytes), clean);
        assert_eq!(
            scrubbed("user:hunter22", &[b"pw hunter22 of user:hunter22"]),
            "pw [credential] of [credential]"
        );
        let odd = r#"sk-"a/b+c&d\e=f9"#;
        for form in [
            r#"sk-\"a/b+c&d\\e=f9"#,
            r#"sk-\"a\/b+c&d\\e=f9"#,
            r#"sk-\u0022a/b\u002bc\u0026d\\e\u003df9"#,
            r#"sk-\u0022a/b\u002Bc\u0026d\\e\u003Df9"#,
            "sk-%22a%2Fb%2Bc%26d%5Ce%3Df9",
            "sk-%22a/b%2Bc%26d%5Ce%3Df9",
        ] {
            assert_eq!(scrubbed(odd, &[form.as_bytes()]), "[credential]", "{form}");
        }
        assert_eq!(scrubbed("abc", &[b"abc"]), "abc", "too short to be one");
        assert_eq!(scrubbed("s/cret+1", &[b"s/cre"]), "s/cre", "what only begins as it");
    }
}
