//! Where a value of a class could be.
//!
//! The bytes are read in blocks of 64; [`Kinds`] says of each byte of a block what it is, one bit a byte. Anchors of
//! digits are found by shifting those bits against each other; the others have a byte that is rare in text (`@`, `_`,
//! `-`, `A`), at which a few bytes are compared.

use super::kinds::{BLOCK, Kinds};

/// What was found; each comment is the bytes as a regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Anchor {
    /// `@`: an address, or the end of a URL's credentials.
    At,
    /// `\+[1-9]`
    Phone,
    /// `-[0-9]{2}-[0-9]{4}| [0-9]{2} [0-9]{4}`: from the first separator.
    Ssn,
    /// `[0-9](?:[ -]?[0-9]){13}(?:[^0-9]|\z)`: ends with a group of digits, so that a long run is found once.
    Card,
    /// `[A-Z]{2}[0-9]{2}`
    Iban,
    /// `eyJ`
    Jwt,
    /// `-----BEGIN `
    Pem,
    /// `AKIA|ASIA|ABIA|ACCA|A[0-9]T[A-Z0-9]`
    AwsKeyId,
    /// `[_-]access[_-]key|_ACCESS_KEY|[sS]ecretAccessKey`
    AwsSecretName,
    /// `gh[opsur]_`
    Github,
    /// `github_pat_`
    GithubFine,
    /// `xox[abeoprs]-|xapp-`
    Slack,
    /// `hooks\.slack\.com/services/T[A-Z]{0,12}[0-9]`
    SlackHook,
    /// `[rs]k_(?:live|test|prod)_`
    Stripe,
    /// `whsec_`
    StripeHook,
    /// `AIza`
    Google,
    /// `sk-`
    OpenAi,
    /// `gsk_`
    Groq,
    /// `hf_`
    HuggingFace,
    /// `r[0-9]_`
    Replicate,
    /// `xai-`
    Xai,
}

/// Calls `found` with each anchor in `bytes` and the position after it; in no order within a block.
pub(super) fn each(bytes: &[u8], mut found: impl FnMut(Anchor, usize)) {
    let (whole, rest) = bytes.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let mut blocks = whole.iter().chain((!rest.is_empty()).then_some(&last)).map(Kinds::of);
    let Some(mut here) = blocks.next() else { return };
    let (mut start, mut before) = (0, Kinds::default());
    loop {
        let next = blocks.next();
        let around = Around { before, here, after: next.unwrap_or_default() };
        each_bit(around.ssn(), |i| found(Anchor::Ssn, start + i + 8));
        each_bit(around.iban(), |i| found(Anchor::Iban, start + i + 4));
        each_bit(around.phone(), |i| {
            if bytes.get(start + i + 1) != Some(&b'0') {
                found(Anchor::Phone, start + i + 2);
            }
        });
        each_bit(around.group_ends(), |i| card(bytes, start + i + 1, &mut found));
        each_bit(here.rare, |i| literal(bytes, start + i, &mut found));
        let Some(next) = next else { return };
        (before, here) = (here, next);
        start += BLOCK;
    }
}

/// A block and its neighbours.
struct Around {
    before: Kinds,
    here: Kinds,
    after: Kinds,
}

impl Around {
    /// Bits of a kind, moved so that bit `i` says what the byte `n` after the `i`-th is.
    fn ahead(&self, kind: fn(&Kinds) -> u64, n: u32) -> u64 {
        kind(&self.here) >> n | kind(&self.after) << (64 - n)
    }

    fn ssn(&self) -> u64 {
        let digit = |n| self.ahead(|k| k.digit, n);
        let separated =
            self.here.dash & self.ahead(|k| k.dash, 3) | self.here.space & self.ahead(|k| k.space, 3);
        match separated {
            0 => 0,
            _ => separated & digit(1) & digit(2) & digit(4) & digit(5) & digit(6) & digit(7),
        }
    }

    fn iban(&self) -> u64 {
        let upper = self.here.upper & self.ahead(|k| k.upper, 1);
        match upper {
            0 => 0,
            _ => upper & self.ahead(|k| k.digit, 2) & self.ahead(|k| k.digit, 3),
        }
    }

    /// With a zero behind it, too, which begins no number.
    fn phone(&self) -> u64 {
        match self.here.plus {
            0 => 0,
            plus => plus & self.ahead(|k| k.digit, 1),
        }
    }

    /// Last digits of a group, before which fourteen bytes are digits and separators.
    fn group_ends(&self) -> u64 {
        let ends = self.here.digit & !self.ahead(|k| k.digit, 1);
        if ends == 0 {
            return 0;
        }
        let either = |k: &Kinds| u128::from(k.digit | k.space | k.dash);
        let mut run = either(&self.here) << 64 | either(&self.before);
        run &= run << 1;
        run &= run << 2;
        run &= run << 4;
        run &= run << 6;
        ends & (run >> 64) as u64
    }
}

fn each_bit(mut bits: u64, mut each: impl FnMut(usize)) {
    while bits != 0 {
        each(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// Whether fourteen digits, with at most one separator between two, end at `end`.
fn card(bytes: &[u8], end: usize, found: &mut impl FnMut(Anchor, usize)) {
    let (mut digits, mut apart) = (0, false);
    for &byte in bytes[..end].iter().rev() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                apart = false;
            }
            b' ' | b'-' if !apart => apart = true,
            _ => return,
        }
        if digits == 14 {
            return found(Anchor::Card, (end + 1).min(bytes.len()));
        }
    }
}

/// The anchors that have the rare byte at `i`: those that end with it, and those that begin with it.
fn literal(bytes: &[u8], i: usize, found: &mut impl FnMut(Anchor, usize)) {
    let (to, from) = (&bytes[..i], &bytes[i + 1..]);
    let last = to.last().copied().unwrap_or(0);
    match bytes[i] {
        b'@' => found(Anchor::At, i + 1),
        b'J' if to.ends_with(b"ey") => found(Anchor::Jwt, i + 1),
        b'/' if from.first() == Some(&b'T') && to.ends_with(b"hooks.slack.com/services") => {
            let upper = from[1..].iter().take(13).take_while(|b| b.is_ascii_uppercase()).count();
            if upper <= 12 && from.get(1 + upper).is_some_and(u8::is_ascii_digit) {
                found(Anchor::SlackHook, i + 3 + upper);
            }
        }
        b'A' => match from {
            [b'K', b'I', b'A', ..]
            | [b'S', b'I', b'A', ..]
            | [b'B', b'I', b'A', ..]
            | [b'C', b'C', b'A', ..] => {
                found(Anchor::AwsKeyId, i + 4);
            }
            [b'0'..=b'9', b'T', b'A'..=b'Z' | b'0'..=b'9', ..] => found(Anchor::AwsKeyId, i + 4),
            [b'I', b'z', b'a', ..] => found(Anchor::Google, i + 4),
            [b'c', ..]
                if from.starts_with(b"ccessKey")
                    && to.ends_with(b"ecret")
                    && to.iter().nth_back(5).is_some_and(|b| b"sS".contains(b)) =>
            {
                found(Anchor::AwsSecretName, i + 9);
            }
            _ => {}
        },
        b'-' => {
            match last {
                b'k' if to.ends_with(b"sk") => found(Anchor::OpenAi, i + 1),
                b'i' if to.ends_with(b"xai") => found(Anchor::Xai, i + 1),
                b'p' if to.ends_with(b"xapp") => found(Anchor::Slack, i + 1),
                b'a' | b'b' | b'e' | b'o' | b'p' | b'r' | b's' if to[..i - 1].ends_with(b"xox") => {
                    found(Anchor::Slack, i + 1);
                }
                _ => {}
            }
            match from.first() {
                Some(b'-') if from.starts_with(b"----BEGIN ") => found(Anchor::Pem, i + 11),
                Some(b'a') => secret_name(from, i, found),
                _ => {}
            }
        }
        b'_' => {
            underscored(to, last, i + 1, found);
            match from.first() {
                Some(b'a') => secret_name(from, i, found),
                Some(b'A') if from.starts_with(b"ACCESS_KEY") => found(Anchor::AwsSecretName, i + 11),
                _ => {}
            }
        }
        _ => {}
    }
}

fn secret_name(from: &[u8], i: usize, found: &mut impl FnMut(Anchor, usize)) {
    if let [b'_' | b'-', b'k', b'e', b'y', ..] = from.strip_prefix(b"access").unwrap_or_default() {
        found(Anchor::AwsSecretName, i + 11);
    }
}

/// The anchors that end with an underscore, before which `to` stands.
fn underscored(to: &[u8], last: u8, end: usize, found: &mut impl FnMut(Anchor, usize)) {
    let mode = [&b"live"[..], b"test", b"prod"].iter().any(|mode| to.ends_with(mode));
    match (last, to) {
        (b'o' | b'p' | b's' | b'u' | b'r', [.., b'g', b'h', _]) => found(Anchor::Github, end),
        (b't', _) if to.ends_with(b"github_pat") => found(Anchor::GithubFine, end),
        (b'e' | b't' | b'd', [.., b'r' | b's', b'k', b'_', _, _, _, _]) if mode => found(Anchor::Stripe, end),
        (b'c', _) if to.ends_with(b"whsec") => found(Anchor::StripeHook, end),
        (b'k', _) if to.ends_with(b"gsk") => found(Anchor::Groq, end),
        (b'f', [.., b'h', _]) => found(Anchor::HuggingFace, end),
        (b'0'..=b'9', [.., b'r', _]) => found(Anchor::Replicate, end),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use regex_automata::dfa::dense::{self, DFA};
    use regex_automata::dfa::{Automaton, StartKind};
    use regex_automata::util::syntax;
    use regex_automata::{Anchored, MatchKind, nfa::thompson};

    use super::*;

    /// What the anchors are, once more.
    const PATTERNS: [(Anchor, &str); 21] = [
        (Anchor::At, "@"),
        (Anchor::Phone, r"\+[1-9]"),
        (Anchor::Ssn, "(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}"),
        (Anchor::Card, r"[0-9](?:[ -]?[0-9]){13}(?:[^0-9]|\z)"),
        (Anchor::Iban, "[A-Z]{2}[0-9]{2}"),
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

    fn all(bytes: &[u8]) -> Vec<(usize, Anchor)> {
        let mut out = Vec::new();
        each(bytes, |anchor, end| out.push((end, anchor)));
        out.sort();
        out
    }

    /// A walk of the patterns' automaton.
    fn expected(dfa: &DFA<Vec<u32>>, bytes: &[u8]) -> Vec<(usize, Anchor)> {
        let mut out = Vec::new();
        let mut state = dfa.universal_start_state(Anchored::No).unwrap();
        for end in 0..=bytes.len() {
            // A match is seen one byte late.
            state = match bytes.get(end) {
                Some(&byte) => dfa.next_state(state, byte),
                None => dfa.next_eoi_state(state),
            };
            if dfa.is_match_state(state) {
                out.extend(
                    (0..dfa.match_len(state))
                        .map(|i| (end, PATTERNS[dfa.match_pattern(state, i).as_usize()].0)),
                );
            }
        }
        out.sort();
        out
    }

    fn automaton() -> DFA<Vec<u32>> {
        dense::Builder::new()
            .configure(dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Unanchored))
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .build_many(&PATTERNS.map(|(_, pattern)| pattern))
            .unwrap()
    }

    #[test]
    fn the_anchors_are_what_their_patterns_match() {
        let dfa = automaton();
        let pieces: [&[u8]; 48] = [
            b"eyJ",
            b"@",
            b"4111",
            b"1111 1111",
            b" ",
            b"-",
            b"--",
            b"-12-3456",
            b" 12 3456",
            b"xoxb-",
            b"xapp-",
            b"AKIA",
            b"A3T1",
            b"ACCA",
            b"AIza",
            b"hf_",
            b"+4",
            b"+0",
            b"r8_",
            b"gsk_",
            b"sk-",
            b"xai-",
            b"whsec_",
            b"sk_live_",
            b"rk_test_",
            b"ghp_",
            b"github_pat_",
            b"hooks.slack.com/services/T",
            b"ABCDEFGHIJKL",
            b"M1",
            b"7",
            b"00",
            b"_access_key",
            b"-access-key",
            b"_ACCESS_KEY",
            b"secretAccessKey",
            b"SecretAccessKey",
            b"DE89",
            b"-----BEGIN ",
            b"plain text and more of it ",
            b"\xff\x00",
            b"secret",
            b"Access",
            b"key",
            b"_",
            b"12345678901234",
            b"0",
            b"e",
        ];
        let mut n = 7usize;
        let mut next = |below: usize| {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (n >> 33) % below
        };
        let mut hits = std::collections::BTreeSet::new();
        for round in 0..4000 {
            let mut text = Vec::new();
            for _ in 0..next(40) {
                let piece = pieces[next(pieces.len())];
                // Cut ones, too: almost an anchor.
                let cut = if next(4) == 0 { next(piece.len() + 1) } else { piece.len() };
                text.extend_from_slice(&piece[..cut]);
            }
            let expect = expected(&dfa, &text);
            hits.extend(expect.iter().map(|(_, anchor)| *anchor));
            assert_eq!(all(&text), expect, "round {round}: {:?}", text.escape_ascii().to_string());
        }
        assert_eq!(hits.len(), PATTERNS.len(), "each was there");
    }

    #[test]
    fn an_anchor_is_found_at_every_distance_from_a_blocks_border() {
        let dfa = automaton();
        let anchors: [&[u8]; 8] = [
            b"eyJ",
            b" 12 3456",
            b"4111-1111-1111-1111",
            b"4 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            b"GB82",
            b"+4",
            b"hooks.slack.com/services/TABCDEFGHIJKL1",
            b"-----BEGIN ",
        ];
        for anchor in anchors {
            for before in 0..130 {
                for after in [0, 1, 100] {
                    let text = [&vec![b'x'; before][..], anchor, &vec![b'y'; after]].concat();
                    let expect = expected(&dfa, &text);
                    assert!(!expect.is_empty());
                    assert_eq!(all(&text), expect, "{before} before, {after} after");
                }
            }
        }
    }
}
