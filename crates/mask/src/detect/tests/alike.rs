//! What reads fast is held against what reads plainly (`deep::reference`), over texts that are drawn from a seed.

use std::cmp::Reverse;
use std::sync::Arc;

use vocab::Class;

use super::Random;
use crate::detect::{Detectors, Finding, Spots, deep, marks};
use crate::field::SEPARATOR;
use crate::taint::Taint;

const VALUES: [&str; 23] = [
    "jo.doe@example.com",
    "a@b.co",
    "\u{e4}@\u{f6}.de",
    "\u{e4}@\u{f6}.\u{f6}\u{f6}",
    "4111 1111 1111 1111",
    "378282246310005",
    "DE89 3704 0044 0532 0130 00",
    "536-90-4399",
    "219 09 9999",
    "+4930123456",
    "+49301234",
    "+1 (415) 555-0100",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqbyJ9.YWJj",
    "-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----",
    "https://u:hunter2@h.example/",
    "x://\u{fc}:\u{e9}@h",
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "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",
    concat!("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
    "ck_canary_9fQ2vTzLm4RkWb7HsXeY",
    "hf_aB3xaB3xaB3xaB3xaB3xaB3xaB3xaB3xaB",
    "Chiara Lund of Turin",
];

const FILLERS: [&[u8]; 43] = [
    b"",
    b" ",
    b"\n",
    b"\n",
    b"\r\n",
    b"x",
    b"-",
    b"_",
    b"+",
    b"/",
    b"=",
    b"==",
    b".",
    b":",
    b"@",
    b"%",
    b"%4",
    b"%3D",
    b"%0A",
    b"\\",
    b"\\n",
    b"\\u000a",
    b"\\x4",
    b"\\u00",
    b"\x1b",
    b"\x1b[0m",
    b"\x1b[1;31m",
    b"\x1b]0;title\x07",
    b"\x1b]8;;http://x/",
    "\u{200b}".as_bytes(),
    "\u{9b}1m".as_bytes(),
    "\u{2014}\u{b0}".as_bytes(),
    "\u{201c}".as_bytes(),
    "\u{3000}\u{7ed9}".as_bytes(),
    b"-12",
    b"\0",
    b"\0\0",
    b"\xff\xfe",
    b"12345678901234567890123",
    b"deadbeefdeadbeef0",
    b"/api/v1/items/7919",
    b"words and words ",
    b"2026-11-27T12:00:01.001Z INFO ",
];

/// Texts of values as they stand and encoded once or twice, whole and cut, among what could be mistaken for a part of one.
pub(crate) struct Texts(pub(crate) Random);

impl Texts {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next() % n as u64) as usize
    }

    pub(crate) fn text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..1 + self.below(8) {
            let some = self.filler();
            text.extend_from_slice(&some);
            let mut value = VALUES[self.below(VALUES.len())].as_bytes().to_vec();
            for _ in 0..self.below(3) {
                value = self.encoded(&value);
            }
            let from = if self.below(6) == 0 { self.below(value.len() + 1) } else { 0 };
            let to = if self.below(6) == 0 { from + self.below(value.len() - from + 1) } else { value.len() };
            text.extend_from_slice(&value[from..to]);
            let some = self.filler();
            text.extend_from_slice(&some);
        }
        text
    }

    fn filler(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..self.below(4) {
            match self.below(8) {
                0 => (0..self.below(40)).for_each(|_| all.push(self.0.next() as u8)),
                1 => all.extend_from_slice(&b"a long stretch of plain words ".repeat(self.below(30))),
                _ => all.extend_from_slice(FILLERS[self.below(FILLERS.len())]),
            }
        }
        all
    }

    fn encoded(&mut self, value: &[u8]) -> Vec<u8> {
        let mut around = |n: usize| (0..self.below(n)).map(|_| self.0.next() as u8).collect::<Vec<u8>>();
        let (before, after) = (around(7), around(7));
        let among = [&before[..], value, &after].concat();
        match self.below(9) {
            0 | 1 => base64(&among),
            2 => among.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect(),
            3 => value.iter().flat_map(|b| format!("%{b:02X}").into_bytes()).collect(),
            4 => value.iter().flat_map(|b| format!("\\x{b:02x}").into_bytes()).collect(),
            5 => value.iter().flat_map(|&b| [b, 0]).collect(),
            6 => {
                let every = 1 + self.below(5);
                let soft = ["\u{200b}", "\x1b[0m", "\x1b[1;38;2;1;2;3m", "\u{ad}", "\x1b]0;t\x07", "\u{9b}m"];
                let soft = soft[self.below(soft.len())];
                let chunks = value.chunks(every).flat_map(|some| [some, soft.as_bytes()]);
                chunks.flatten().copied().collect()
            }
            7 => value
                .iter()
                .flat_map(|&b| match b {
                    b'@' | b'.' | b'-' | b' ' | b'_' => format!("\\u{:04x}", u32::from(b)).into_bytes(),
                    b => vec![b],
                })
                .collect(),
            _ => value
                .iter()
                .flat_map(|&b| match b {
                    b'@' | b'.' | b'-' | b' ' | b':' => format!("%{b:02x}").into_bytes(),
                    b => vec![b],
                })
                .collect(),
        }
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks(3).flat_map(|some| {
        let word = some.iter().chain([&0; 2]).take(3).fold(0_usize, |word, &b| word << 8 | usize::from(b));
        (0..=some.len()).map(move |i| DIGITS[word >> (18 - 6 * i) & 63])
    });
    digits.collect()
}

/// Runs of programs, of others, and of those that were shown something.
pub(crate) fn all_detectors() -> [Detectors; 4] {
    let taint = || {
        let taint = Taint::new([5; 16]);
        taint.remember(&Class::new("pii.name").unwrap(), b"Chiara Lund of Turin");
        Arc::new(taint)
    };
    let plain = Detectors::new();
    [plain.of_programs(), plain.with(taint()), plain.of_programs().with(taint()), plain]
}

/// What is encoded in `bytes`, read plainly.
pub(crate) fn plainly(detectors: &Detectors, bytes: &[u8]) -> Vec<Finding> {
    let (mut spots, mut findings) = (Spots::default(), Vec::new());
    deep::reference::spot(detectors, bytes, 0, &mut spots);
    detectors.report(spots, &mut findings);
    findings
}

/// The same of each line by itself.
pub(crate) fn lines_plainly(detectors: &Detectors, bytes: &[u8]) -> Vec<Finding> {
    let (mut all, mut at) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let here = plainly(detectors, line).into_iter();
        all.extend(here.map(|f| Finding { range: f.range.start + at..f.range.end + at, ..f }));
        at += line.len();
    }
    all
}

fn encoded(
    detectors: &Detectors,
    bytes: &[u8],
    scan: impl Fn(&Detectors, &[u8], &mut Vec<Finding>),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    scan(detectors, bytes, &mut findings);
    // What stands at the same place in two forms is in no order.
    findings.sort_by_key(|f| (f.range.start, Reverse(f.range.end), f.detector, f.form));
    findings
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|f| (f.range.start, Reverse(f.range.end), f.detector, f.form));
    findings
}

#[test]
fn what_is_undone_fast_is_what_is_undone_plainly() {
    let (all, mut texts, mut seen) = (all_detectors(), Texts(Random(41)), std::collections::BTreeSet::new());
    for round in 0..4_000 {
        let text = texts.text();
        let detectors = &all[round % all.len()];
        let expect = sorted(plainly(detectors, &text));
        let found = encoded(detectors, &text, |d, b, f| d.scan_encoded(b, f));
        assert_eq!(found, expect, "round {round}: {}", text.escape_ascii());
        seen.extend(expect.iter().map(|f| (f.detector, f.form)));
        let expect = sorted(lines_plainly(detectors, &text));
        let found = encoded(detectors, &text, |d, b, f| d.scan_encoded_lines(b, f));
        assert_eq!(found, expect, "lines, round {round}: {}", text.escape_ascii());
    }
    assert!(seen.len() > 60, "{}: {seen:?}", seen.len());
}

#[test]
fn chance_bytes_hide_what_they_hide() {
    let (detectors, mut random) = (Detectors::new().of_programs(), Random(43));
    // Runs that decode to bytes of chance, most of them in the alphabet that values are of.
    for round in 0..20_000 {
        let plain: Vec<u8> = (0..12 + random.next() % 50)
            .map(|_| match random.next() % 8 {
                0 => b"@.:%\\\0\x1b[m0\xc2\xad\xe2\x80\x8b"[(random.next() % 15) as usize],
                1 => random.next() as u8,
                2 => b'+',
                _ => b"0123456789abcdefm-./: @"[(random.next() % 23) as usize],
            })
            .collect();
        let text = base64(&plain);
        let expect = sorted(plainly(&detectors, &text));
        let found = encoded(&detectors, &text, |d, b, f| d.scan_encoded(b, f));
        assert_eq!(found, expect, "round {round}: {}", plain.escape_ascii());
    }
}

#[test]
fn what_is_hidden_in_texts_together_is_what_is_hidden_in_each() {
    let (all, mut texts, mut hidden) = (all_detectors(), Texts(Random(47)), 0);
    for round in 0..2_000 {
        let detectors = &all[round % all.len()];
        let parts: Vec<Vec<u8>> = (0..1 + texts.0.next() % 6).map(|_| texts.text()).collect();
        let whole = parts.join(&SEPARATOR);
        let (together, mut start) = (detectors.hidden(&whole), 0);
        for part in &parts {
            let expect = encoded(detectors, part, |d, b, f| d.scan_encoded(b, f));
            let found = encoded(detectors, part, |d, b, f| together.add(d, start, b, f));
            assert_eq!(found, expect, "round {round}: {}", part.escape_ascii());
            let place = start..start + part.len();
            let said = together.places().any(|at| place.contains(&at))
                || together.may_be_in_transcripts() && marks(part).next().is_some();
            assert!(said || found.is_empty(), "round {round}: {}", part.escape_ascii());
            hidden += usize::from(!found.is_empty());
            start += part.len() + 1;
        }
    }
    assert!(hidden > 1_000, "{hidden}");
}
