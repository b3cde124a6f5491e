//! The same, read plainly: each encoding in turn, byte by byte, and everything that is undone looked at. What reads faster is held
//! against this.

use super::*;

/// Adds what is found behind encodings in `bytes`, which are `depth` encodings deep already.
pub(in crate::detect) fn spot(detectors: &Detectors, bytes: &[u8], depth: u32, spots: &mut Spots) {
    if depth == DECODE_DEPTH_MAX || bytes.len() < TRANSCRIPT_BYTES_MIN {
        return;
    }
    let mut plain = Vec::new();
    each_run(bytes, |run| {
        let text = &bytes[run.clone()];
        // What stands before the encoded text may be of its alphabet: every alignment is tried.
        for skip in 0..if is_number(text) { 0 } else { 4 } {
            plain.clear();
            if base64(&text[skip..], &mut plain) {
                inside(detectors, &View::whole(&plain), Form::Base64, depth, spots, |_| Some(run.clone()));
            }
        }
        for digits in hex_runs(text) {
            for skip in 0..2 {
                plain.clear();
                hex(&text[digits.start + skip..digits.end], &mut plain);
                let source = run.start + digits.start..run.start + digits.end;
                inside(detectors, &View::whole(&plain), Form::Hex, depth, spots, |_| Some(source.clone()));
            }
        }
    });
    let mut behind = Spots::default();
    for (form, regions, transcribe) in TRANSCRIPTS {
        for region in regions(bytes) {
            let Some(transcript) = transcribe(&bytes[region.clone()]) else { continue };
            let line = region.start == 0 || bytes[region.start - 1] == b'\n';
            let view = View::whole_at(&transcript.bytes, line);
            inside(detectors, &view, form, depth, &mut behind, |r| transcript.source(r, region.start));
        }
    }
    if !behind.found.is_empty() || !behind.shown.is_empty() {
        forget_plain(detectors, bytes, &mut behind);
        spots.found.append(&mut behind.found);
        spots.shown.append(&mut behind.shown);
    }
}

/// Scans decoded bytes, and what is encoded in them; `source` maps a range back, or says that it does not count.
fn inside(
    detectors: &Detectors,
    view: &View<'_>,
    form: Form,
    depth: u32,
    spots: &mut Spots,
    source: impl Fn(Range<usize>) -> Option<Range<usize>>,
) {
    let mut found = Spots::default();
    detectors.spot(view, &mut found);
    spot(detectors, view.bytes(), depth + 1, &mut found);
    for spot in found.found {
        let range = source(spot.range.clone());
        spots.found.extend(range.map(|range| Spot { range, form, ..spot }));
    }
    for (class, range, _) in found.shown {
        spots.shown.extend(source(range).map(|range| (class, range, form)));
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
        let length = end - start;
        if length >= NUMBER_DIGITS_MIN || length >= ENCODED_RUN_BYTES_MIN && !is_number(&bytes[start..end]) {
            return Some(start..end);
        }
        i = end + ENCODED_RUN_BYTES_MIN;
    }
    None
}

/// Appends the bytes that base64 or base64url text stands for, with or without padding. What remains of an incomplete
/// group is left out. `false` if a character is not base64.
fn base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let digits = text.len() - text.iter().rev().take_while(|&&b| b == b'=').count();
    out.reserve(digits / 4 * 3 + 2);
    let (groups, rest) = text[..digits].as_chunks::<4>();
    for group in groups {
        let [a, b, c, d] = group.map(sextet);
        if (a | b | c | d) & NO_SEXTET != 0 {
            return false;
        }
        out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    let [a, b, c] = [0, 1, 2].map(|i| rest.get(i).map_or(0, |&b| sextet(b)));
    let whole = [a << 2 | b >> 4, b << 4 | c >> 2];
    out.extend_from_slice(&whole[..rest.len().saturating_sub(1)]);
    (a | b | c) & NO_SEXTET == 0
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

type Regions = fn(&[u8]) -> Vec<Range<usize>>;
type Transcribe = fn(&[u8]) -> Option<Transcript>;
const TRANSCRIPTS: [(Form, Regions, Transcribe); 4] = [
    (Form::Percent, |b| around(percents(b), b), percent),
    (Form::Escaped, |b| around(escapes(b), b), escaped),
    (Form::Split, |b| around(softs(b), b), split),
    (Form::Utf16, utf16_runs, utf16),
];

/// `%40` and the like undone. `None` if the text is too long to map.
fn percent(bytes: &[u8]) -> Option<Transcript> {
    let mut out = Transcript::new(bytes)?;
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        match (b, bytes.get(i + 1).and_then(|&h| nibble(h)), bytes.get(i + 2).and_then(|&l| nibble(l))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low, i);
                i += 3;
            }
            _ => {
                out.push(b, i);
                i += 1;
            }
        }
    }
    Some(out)
}

/// The escapes of JSON and C undone: `\u0040`, `\x40`, `\n`, `\/`.
fn escaped(bytes: &[u8]) -> Option<Transcript> {
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

/// The characters of a run of [`next_utf16`].
fn utf16(bytes: &[u8]) -> Option<Transcript> {
    let mut out = Transcript::new(bytes)?;
    for (i, &b) in bytes.iter().enumerate().filter(|(_, b)| **b != 0) {
        out.push(b, i);
    }
    Some(out)
}

/// Zero-width and soft characters and control sequences taken out.
fn split(bytes: &[u8]) -> Option<Transcript> {
    let mut out = Transcript { gaps: true, ..Transcript::new(bytes)? };
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        match soft(&bytes[i..]) {
            0 => {
                out.push(b, i);
                i += 1;
            }
            length => i += length,
        }
    }
    Some(out)
}
