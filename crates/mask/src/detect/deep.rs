//! Undoing common encodings, so that a value is found behind them.
//!
//! Two shapes. A *run* (base64, hex) hides a value whole: a finding in it covers the run. A *transcript* (percent,
//! `\u`, UTF-16, zero-width characters) keeps the order of characters: a finding in it is mapped back to the bytes that
//! it was made of. Work is linear in the input, times [`DECODE_DEPTH_MAX`].

use std::ops::Range;

use super::recognise::View;
use super::{Detectors, Form, Spots};
use crate::limits::{DECODE_DEPTH_MAX, ENCODED_RUN_BYTES_MIN};

/// Adds what is found behind encodings in `bytes`, which are `depth` encodings deep already.
pub(super) fn spot(detectors: &Detectors, bytes: &[u8], depth: u32, spots: &mut Spots) {
    if depth == DECODE_DEPTH_MAX || bytes.len() < ENCODED_RUN_BYTES_MIN {
        return;
    }
    let mut plain = Vec::new();
    each_run(bytes, |run| {
        let text = &bytes[run.clone()];
        // What stands before the encoded text may be of its alphabet: every alignment is tried.
        for skip in 0..4 {
            plain.clear();
            if base64(&text[skip..], &mut plain) {
                inside(detectors, &plain, Form::Base64, depth, spots, |_| run.clone());
            }
        }
        for digits in hex_runs(text) {
            for skip in 0..2 {
                plain.clear();
                hex(&text[digits.start + skip..digits.end], &mut plain);
                let source = run.start + digits.start..run.start + digits.end;
                inside(detectors, &plain, Form::Hex, depth, spots, |_| source.clone());
            }
        }
    });
    for (form, transcribe) in TRANSCRIPTS {
        if let Some(transcript) = transcribe(bytes) {
            inside(detectors, &transcript.bytes, form, depth, spots, |r| transcript.source(r));
        }
    }
}

/// Whether [`spot`] could find anything: a byte that begins an escape, a zero or a zero-width character, or a long run.
pub(super) fn worth(bytes: &[u8]) -> bool {
    let begins = |b: u8| (b == b'%') | (b == b'\\') | (b == 0) | (b == 0xe2) | (b == 0xef) | (b == 0xc2);
    bytes.len() >= ENCODED_RUN_BYTES_MIN
        && (bytes.iter().fold(false, |any, &b| any | begins(b)) || next_run(bytes, 0).is_some())
}

/// Scans decoded bytes, and what is encoded in them; `source` maps a range back.
fn inside(
    detectors: &Detectors,
    plain: &[u8],
    form: Form,
    depth: u32,
    spots: &mut Spots,
    source: impl Fn(Range<usize>) -> Range<usize>,
) {
    let mut found = Spots::default();
    detectors.spot(&View::whole(plain), &mut found);
    spot(detectors, plain, depth + 1, &mut found);
    for mut spot in found.found {
        spot.range = source(spot.range);
        spot.form = form;
        spots.found.push(spot);
    }
}

/// Calls `each` with every run of base64 or hex characters that is long enough to hide a value.
fn each_run(bytes: &[u8], mut each: impl FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(run) = next_run(bytes, at) {
        // Padding belongs to the run.
        let padding = bytes[run.end..].iter().take(2).take_while(|&&b| b == b'=').count();
        at = run.end;
        each(run.start..run.end + padding);
    }
}

/// The first long run at or after `at`, where no run is open.
fn next_run(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    // A run this long covers a multiple of its length: look there, and only then left and right.
    let mut i = at + ENCODED_RUN_BYTES_MIN - 1;
    while let Some(&b) = bytes.get(i) {
        if !BASE64[usize::from(b)] {
            i += ENCODED_RUN_BYTES_MIN;
            continue;
        }
        let start = bytes[..i].iter().rposition(|&b| !BASE64[usize::from(b)]).map_or(0, |p| p + 1);
        let end = bytes[i..].iter().position(|&b| !BASE64[usize::from(b)]).map_or(bytes.len(), |p| i + p);
        if end - start >= ENCODED_RUN_BYTES_MIN {
            return Some(start..end);
        }
        i = end + ENCODED_RUN_BYTES_MIN;
    }
    None
}

/// The characters of base64 and base64url; hex is among them.
static BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
        i += 1;
    }
    table
};

/// Appends the bytes that base64 or base64url text stands for, with or without padding. What remains of an incomplete
/// group is left out. `false` if a character is not base64.
pub(super) fn base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let digits = text.len() - text.iter().rev().take_while(|&&b| b == b'=').count();
    let mut bits = 0u32;
    for (i, &b) in text[..digits].iter().enumerate() {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = bits << 6 | u32::from(value);
        match i % 4 {
            0 => {}
            1 => out.push((bits >> 4) as u8),
            2 => out.push((bits >> 2) as u8),
            _ => out.push(bits as u8),
        }
    }
    true
}

/// The runs of hex digits that are long enough to hide a value.
fn hex_runs(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.iter().position(u8::is_ascii_hexdigit)?;
            at = start + text[start..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
            if at - start >= ENCODED_RUN_BYTES_MIN {
                return Some(start..at);
            }
        }
    })
}

/// Appends the bytes that hex digits stand for; an odd one at the end is left out.
fn hex(text: &[u8], out: &mut Vec<u8>) {
    let pairs = text.chunks_exact(2).filter_map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?));
    out.extend(pairs);
}

fn nibble(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|d| d as u8)
}

/// Decoded bytes, and for each where it came from.
struct Transcript {
    bytes: Vec<u8>,
    from: Vec<u32>,
    end: u32,
}

impl Transcript {
    fn new(source: &[u8]) -> Option<Transcript> {
        let end = u32::try_from(source.len()).ok()?;
        Some(Transcript {
            bytes: Vec::with_capacity(source.len()),
            from: Vec::with_capacity(source.len()),
            end,
        })
    }

    fn push(&mut self, byte: u8, from: usize) {
        self.bytes.push(byte);
        self.from.push(from as u32);
    }

    fn push_char(&mut self, c: char, from: usize) {
        c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| self.push(b, from));
    }

    fn source(&self, range: Range<usize>) -> Range<usize> {
        let end = self.from.get(range.end).copied().unwrap_or(self.end);
        self.from[range.start] as usize..(end as usize).max(self.from[range.start] as usize + 1)
    }
}

type Transcribe = fn(&[u8]) -> Option<Transcript>;
const TRANSCRIPTS: [(Form, Transcribe); 5] = [
    (Form::Percent, percent),
    (Form::Escaped, escaped),
    (Form::Utf16, |b| utf16(b, 0)),
    (Form::Utf16, |b| utf16(b, 1)),
    (Form::Split, split),
];

/// `%40` and the like undone. `None` if there is nothing to undo.
fn percent(bytes: &[u8]) -> Option<Transcript> {
    memchr::memchr(b'%', bytes)?;
    let mut out = Transcript::new(bytes)?;
    let mut undone = false;
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        match (b, bytes.get(i + 1).and_then(|&h| nibble(h)), bytes.get(i + 2).and_then(|&l| nibble(l))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low, i);
                (undone, i) = (true, i + 3);
            }
            _ => {
                out.push(b, i);
                i += 1;
            }
        }
    }
    undone.then_some(out)
}

/// The escapes of JSON and C undone: `\u0040`, `\x40`, `\n`, `\/`.
fn escaped(bytes: &[u8]) -> Option<Transcript> {
    memchr::memchr(b'\\', bytes)?;
    let mut out = Transcript::new(bytes)?;
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let number = |n: usize| {
            bytes.get(i + 2..i + 2 + n)?.iter().try_fold(0u32, |v, &b| Some(v << 4 | u32::from(nibble(b)?)))
        };
        i += match (b, bytes.get(i + 1)) {
            (b'\\', Some(b'u')) => match number(4).map(char::from_u32) {
                Some(c) => {
                    out.push_char(c.unwrap_or(char::REPLACEMENT_CHARACTER), i);
                    6
                }
                None => {
                    out.push(b, i);
                    1
                }
            },
            (b'\\', Some(b'x')) if number(2).is_some() => {
                out.push(number(2).unwrap_or_default() as u8, i);
                4
            }
            (b'\\', Some(c @ (b'n' | b'r' | b't' | b'b' | b'f'))) => {
                out.push(if *c == b'n' { b'\n' } else { b' ' }, i);
                2
            }
            (b'\\', Some(&c @ (b'/' | b'"' | b'\'' | b'\\'))) => {
                out.push(c, i);
                2
            }
            _ => {
                out.push(b, i);
                1
            }
        };
    }
    Some(out)
}

/// UTF-16 whose characters are ASCII: every other byte is zero; `zero` is its place in the pair (0: big-endian).
fn utf16(bytes: &[u8], zero: usize) -> Option<Transcript> {
    memchr::memchr(0, bytes)?;
    let mut out = Transcript::new(bytes)?;
    let mut pairs = 0;
    let mut i = 0;
    while let Some(pair) = bytes.get(i..i + 2) {
        if pair[zero] == 0 && pair[1 - zero] != 0 {
            out.push(pair[1 - zero], i);
            (pairs, i) = (pairs + 1, i + 2);
        } else {
            // Something else between two texts: a boundary.
            out.push(0, i);
            i += 1;
        }
    }
    (pairs >= 6).then_some(out)
}

/// Zero-width and soft characters taken out.
fn split(bytes: &[u8]) -> Option<Transcript> {
    if bytes.is_ascii() {
        return None;
    }
    let mut out = Transcript::new(bytes)?;
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        match bytes[i..] {
            [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..]
            | [0xe2, 0x81, 0xa0..=0xa4 | 0xa6..=0xa9, ..]
            | [0xef, 0xbb, 0xbf, ..] => i += 3,
            [0xc2, 0xad, ..] => i += 2,
            _ => {
                out.push(b, i);
                i += 1;
            }
        }
    }
    (out.bytes.len() < bytes.len()).then_some(out)
}
