//! Undoing common encodings, so that a value is found behind them.
//!
//! Two shapes. A *run* (base64, hex) hides a value whole: a finding in it covers the run. A *transcript* (percent,
//! `\u`, UTF-16, zero-width characters, control sequences of terminals) keeps the order of characters: a finding in it is mapped back to the bytes that
//! it was made of; only the surroundings of an escape are transcribed, and only findings count that have an escape in them or near before them
//! (its last byte sticks to the value as it stands: `%3D4111...`). What is found without undoing anything is not said again.
//! Work is linear in the input, times [`DECODE_DEPTH_MAX`].

use std::ops::Range;

use super::kinds::{BLOCK, DELETE, Hopes, Marks, Runs, block_at, of_base64, soft_marks};
use super::recognise::View;
use super::{Detectors, Form, Spot, Spots};
use crate::limits::{
    DECODE_DEPTH_MAX, EMAIL_DOMAIN_BYTES_MAX, ENCODED_RUN_BYTES_MIN, JWT_SEGMENT_BYTES_MAX, JWT_SEGMENTS_MAX,
    LOOK_BEHIND_BYTES, TRANSCRIPT_BYTES_MIN, URL_USERINFO_BYTES_MAX,
};

/// Adds what is found behind encodings in `bytes`, which are `depth` encodings deep already.
pub(super) fn spot(detectors: &Detectors, bytes: &[u8], depth: u32, spots: &mut Spots) {
    spot_where(detectors, bytes, depth, &|_| true, spots);
}

/// The same of each line of `bytes` by itself, its end with it.
pub(super) fn spot_lines(detectors: &Detectors, bytes: &[u8], spots: &mut Spots) {
    // No run goes over a line's end, and what is undone in one does not depend on what stands around it.
    runs(detectors, bytes, 0, &|_| true, spots);
    if Marks::of(bytes) == Marks::default() {
        return;
    }
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', bytes).map(|end| end + 1).chain([bytes.len()]) {
        transcripts(detectors, &bytes[start..end], start, 0, spots);
        start = end;
    }
}

/// As [`spot`], of the runs that count alone.
fn spot_where(
    detectors: &Detectors,
    bytes: &[u8],
    depth: u32,
    counts: &dyn Fn(&Range<usize>) -> bool,
    spots: &mut Spots,
) {
    if depth == DECODE_DEPTH_MAX || bytes.len() < TRANSCRIPT_BYTES_MIN {
        return;
    }
    runs(detectors, bytes, depth, counts, spots);
    transcripts(detectors, bytes, 0, depth, spots);
}

/// Looks into the runs that count.
fn runs(
    detectors: &Detectors,
    bytes: &[u8],
    depth: u32,
    counts: &dyn Fn(&Range<usize>) -> bool,
    spots: &mut Spots,
) {
    let (mut undone, mut plain, mut barren) = (Undone::default(), Vec::new(), Barren::default());
    each_run(bytes, |run| {
        if !counts(&run) {
            return;
        }
        let text = &bytes[run.clone()];
        // What a run was shown may have become more since.
        let slot = if detectors.taint.is_none() { barren.slot(bytes, text) } else { None };
        if slot == Some(Slot::Alike) {
            return;
        }
        let before = spots.found.len();
        if !is_number(text) {
            undone.of(text);
            // Many short ones are looked at together.
            let (taint, all) = (detectors.taint.is_some(), undone.all());
            if taint || all.len() > BLOCK || hopes(all) != Hope::None {
                for plain in undone.each() {
                    inside(detectors, plain, Form::Base64, depth, spots, &run);
                }
            }
        }
        for digits in hex_runs(text) {
            for skip in 0..2 {
                plain.clear();
                hex(&text[digits.start + skip..digits.end], &mut plain);
                let source = run.start + digits.start..run.start + digits.end;
                inside(detectors, &plain, Form::Hex, depth, spots, &source);
            }
        }
        if let Some(Slot::Other(slot)) = slot.filter(|_| spots.found.len() == before) {
            barren.runs[slot] = run;
        }
    });
}

/// Where runs were lately in which there is nothing: long words come again and again in structured texts, and what is in a run depends
/// on nothing else.
#[derive(Default)]
struct Barren {
    runs: Vec<Range<usize>>,
    /// How often more there was none alike than one.
    vain: usize,
}

/// Where a run alike would be remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// It is.
    Alike,
    Other(usize),
}

impl Barren {
    const SLOTS: usize = 64;
    /// Texts in which none comes again are not asked any longer.
    const VAIN_MAX: usize = 64;

    /// `None` for a run that is too long to come again, or where none does.
    fn slot(&mut self, bytes: &[u8], run: &[u8]) -> Option<Slot> {
        let (head, tail) = (run.first_chunk()?, run.last_chunk()?);
        if run.len() > BLOCK || self.vain == Barren::VAIN_MAX {
            return None;
        }
        if self.runs.is_empty() {
            self.runs = vec![0..0; Barren::SLOTS];
        }
        let mixed = u64::from_le_bytes(*head) ^ u64::from_le_bytes(*tail).rotate_left(23) ^ run.len() as u64;
        let slot = (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % Barren::SLOTS;
        if bytes[self.runs[slot].clone()] == *run {
            self.vain = self.vain.saturating_sub(1);
            return Some(Slot::Alike);
        }
        self.vain += 1;
        Some(Slot::Other(slot))
    }
}

/// Looks at the transcripts of `bytes`, which begin at `offset` of what is scanned.
fn transcripts(detectors: &Detectors, bytes: &[u8], offset: usize, depth: u32, spots: &mut Spots) {
    let marks = Marks::of(bytes);
    if marks == Marks::default() || bytes.len() < TRANSCRIPT_BYTES_MIN {
        return;
    }
    let mut behind = Spots::default();
    for (form, marked, regions, transcribe) in TRANSCRIPTS {
        if !marked(&marks) {
            continue;
        }
        for region in regions(bytes) {
            let Some(transcript) = transcribe(&bytes[region.clone()]) else { continue };
            let line = region.start == 0 || bytes[region.start - 1] == b'\n';
            let view = View::whole_at(&transcript.bytes, line);
            transcribed(detectors, &view, form, depth, &mut behind, &|r| transcript.source(r, region.start));
        }
    }
    if behind.found.is_empty() && behind.shown.is_empty() {
        return;
    }
    forget_plain(detectors, bytes, &mut behind);
    let at = |range: Range<usize>| range.start + offset..range.end + offset;
    spots.found.extend(behind.found.into_iter().map(|spot| Spot { range: at(spot.range.clone()), ..spot }));
    spots.shown.extend(behind.shown.into_iter().map(|(class, range, form)| (class, at(range), form)));
}

/// Drops what is found in `bytes` as they stand, whole, by the same detector.
fn forget_plain(detectors: &Detectors, bytes: &[u8], behind: &mut Spots) {
    let mut plain = Spots::default();
    detectors.spot(&View::whole(bytes), &mut plain);
    plain.found.sort_by_key(|s| s.range.start);
    plain.shown.sort_by_key(|(_, range, _)| range.start);
    behind.found.retain(|spot| {
        let near = near(&plain.found, &spot.range, |s| s.range.start);
        !near.iter().any(|p| p.detector == spot.detector && covers(&p.range, &spot.range))
    });
    behind.shown.retain(|(class, range, _)| {
        let near = near(&plain.shown, range, |(_, range, _)| range.start);
        !near.iter().any(|(of, plain, _)| of == class && covers(plain, range))
    });
}

/// Those of the sorted `all` that begin so near before `range` that one of usual length may cover it: looked at for each, they have
/// to be few.
fn near<'a, T>(all: &'a [T], range: &Range<usize>, start: impl Fn(&T) -> usize) -> &'a [T] {
    let end = all.partition_point(|one| start(one) <= range.start);
    &all[end.saturating_sub(COVERING_MAX)..end]
}

/// So many values that begin before one are looked at: those that begin in the same bytes are of some detectors at most.
const COVERING_MAX: usize = 16;

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Adds what runs hide in `bytes`. No run goes over a byte that is not of its alphabet, and what is undone in one does not depend on
/// what stands around it: of several texts with such a byte between, that is what it is of each.
pub(super) fn spot_runs(detectors: &Detectors, bytes: &[u8], spots: &mut Spots) {
    runs(detectors, bytes, 0, &|_| true, spots);
}

/// Whether there is anything in `bytes` that could be a transcript: an escape, UTF-16, or what splits characters.
pub(super) fn has_transcripts(bytes: &[u8]) -> bool {
    let marks = Marks::of(bytes);
    marks.percent && percents(bytes).next().is_some()
        || marks.backslash && escapes(bytes).next().is_some()
        || marks.zero && next_utf16(bytes, 0).is_some()
        || marks.soft && softs(bytes).next().is_some()
}

/// Adds what transcripts hide in one text: with its runs, that is what [`spot`] finds.
pub(super) fn spot_transcripts(detectors: &Detectors, bytes: &[u8], spots: &mut Spots) {
    transcripts(detectors, bytes, 0, 0, spots);
}

/// Scans what a run hides, and what is encoded in that: a finding covers all of `run`.
fn inside(
    detectors: &Detectors,
    plain: &[u8],
    form: Form,
    depth: u32,
    spots: &mut Spots,
    run: &Range<usize>,
) {
    if detectors.taint.is_none() && !hopeful(plain) {
        return;
    }
    let mut found = Spots::default();
    detectors.spot(&View::whole(plain), &mut found);
    spot(detectors, plain, depth + 1, &mut found);
    spots.found.extend(found.found.into_iter().map(|spot| Spot { range: run.clone(), form, ..spot }));
    spots.shown.extend(found.shown.into_iter().map(|(class, ..)| (class, run.clone(), form)));
}

/// Scans a transcript, and what is encoded in it; `source` maps a range back, or says that it does not count: then no part of it does.
fn transcribed(
    detectors: &Detectors,
    view: &View<'_>,
    form: Form,
    depth: u32,
    spots: &mut Spots,
    source: &dyn Fn(Range<usize>) -> Option<Range<usize>>,
) {
    if detectors.taint.is_none() && !hopeful(view.bytes()) {
        return;
    }
    let mut found = Spots::default();
    detectors.spot(view, &mut found);
    let counts = |run: &Range<usize>| source(run.clone()).is_some();
    spot_where(detectors, view.bytes(), depth + 1, &counts, &mut found);
    for spot in found.found {
        let range = source(spot.range.clone());
        spots.found.extend(range.map(|range| Spot { range, form, ..spot }));
    }
    for (class, range, _) in found.shown {
        spots.shown.extend(source(range).map(|range| (class, range, form)));
    }
}

/// Whether a detector could find something in decoded bytes, or behind an encoding in them. What is no encoding, as most long runs in
/// logs and paths are, decodes to bytes by chance, and those have none of it.
///
/// An address has an `@`, and a host with a dot behind it; a URL with a password has its scheme before it. Every other value, and a run that hides one, is
/// of at least [`HOPEFUL_BYTES`] printable characters of ASCII: one behind another, or apart by what is no character. An escape or
/// UTF-16 could write any of that.
fn hopeful(plain: &[u8]) -> bool {
    match hopes(plain) {
        Hope::None => false,
        Hope::Split => split(plain).is_none_or(|transcript| hopes(&transcript.bytes) != Hope::None),
        Hope::Some => true,
    }
}

/// Whether there could be a value in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hope {
    None,
    /// If what splits characters is taken out.
    Split,
    Some,
}

fn hopes(plain: &[u8]) -> Hope {
    let mut hope = Hope::None;
    let mut here = block_at(plain, 0, Hopes::of);
    for start in (0..plain.len()).step_by(BLOCK) {
        let after = block_at(plain, start + BLOCK, Hopes::of);
        if in_a_row(here.printable, after.printable) {
            return Hope::Some;
        }
        let mut special = here.special;
        while special != 0 {
            match hope_at(plain, start + special.trailing_zeros() as usize) {
                Hope::Some => return Hope::Some,
                Hope::Split => hope = Hope::Split,
                Hope::None => {}
            }
            special &= special - 1;
        }
        here = after;
    }
    hope
}

/// The shortest that is of printable ASCII alone, in bytes: a phone number, a plus and eight digits.
const HOPEFUL_BYTES: usize = 9;

/// What the special byte at `i` could be of, by those around it.
fn hope_at(plain: &[u8], i: usize) -> Hope {
    let (before, behind) = plain.split_at(i);
    let digit = |n: usize| behind.get(n).is_some_and(u8::is_ascii_hexdigit);
    let some = match behind {
        [b'@', behind @ ..] => of_address(before, behind),
        [b'%', ..] => digit(1) && digit(2),
        [b'\\', next, ..] => ESCAPED.contains(next),
        // Every other byte of UTF-16 is zero.
        [0, _, 0, ..] => true,
        _ if soft(behind) > 0 => return Hope::Split,
        _ => false,
    };
    if some { Hope::Some } else { Hope::None }
}

/// Whether what stands around an `@` could be an address, or a URL with a password.
fn of_address(before: &[u8], behind: &[u8]) -> bool {
    let of_host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || !b.is_ascii();
    let mut host = behind.iter().take(EMAIL_DOMAIN_BYTES_MAX).take_while(|b| of_host(b));
    let mut ats = 0;
    let mut of_login = |b: u8| {
        ats += u32::from(b == b'@');
        b > b' ' && b != DELETE && !b"/\"'<>`\\".contains(&b) && ats <= 2
    };
    let login = before.iter().rev().take(URL_USERINFO_BYTES_MAX).take_while(|b| of_login(**b)).count();
    host.any(|b| *b == b'.') || before[..before.len() - login].ends_with(b"://")
}

/// Whether [`HOPEFUL_BYTES`] bits are set in a row, of which the first is `here`.
fn in_a_row(here: u64, after: u64) -> bool {
    let bits = u128::from(here) | u128::from(after) << 64;
    let pairs = bits & bits >> 1;
    let fours = pairs & pairs >> 2;
    let eights = fours & fours >> 4;
    (eights & bits >> 8) as u64 != 0
}
const _: () = assert!(HOPEFUL_BYTES == 9);

/// Calls `each` with every run of base64 or hex characters that is long enough to hide a value.
fn each_run(bytes: &[u8], mut each: impl FnMut(Range<usize>)) {
    for run in runs_of(bytes) {
        // Padding belongs to the run.
        let padding = bytes[run.end..].iter().take(2).take_while(|&&b| b == b'=').count();
        each(run.start..run.end + padding);
    }
}

/// Whether a run is decimal digits alone, as most long runs in tables are. As base64 it hides nothing: of the three bytes
/// that four digits stand for, the first is at least 0xd0, the second ends with 0xd or more, the third is a digit, a
/// letter from `t` on or beyond ASCII; so that there is no `@`, and no three bytes of ASCII in a row.
fn is_number(run: &[u8]) -> bool {
    run.iter().all(u8::is_ascii_digit)
}

/// Fewest hexadecimal digits, all decimal, that hide a value: a social security number with spaces. What else is made of
/// digits, spaces and letters alone is longer; everything shorter has a `-`, `+`, `.` or `_`, which have other digits.
const NUMBER_DIGITS_MIN: usize = 22;

/// The runs that are long enough to hide a value, without padding.
fn runs_of(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    Runs::<_, ENCODED_RUN_BYTES_MIN>::of(bytes, of_base64)
        .filter(|run| run.len() >= NUMBER_DIGITS_MIN || !is_number(&bytes[run.clone()]))
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

/// What a run stands for where its base64 begins at each of its first four characters: what stands before the encoded text may be of
/// its alphabet.
#[derive(Default)]
struct Undone {
    sextets: Vec<u8>,
    /// The four, apart by [`DELETE`]; and what is left of longer ones.
    plain: Vec<u8>,
    ends: [usize; 4],
}

impl Undone {
    fn of(&mut self, run: &[u8]) {
        let Undone { sextets, plain, ends } = self;
        let digits = run.len() - run.iter().rev().take_while(|&&b| b == b'=').count();
        sextets.clear();
        sextets.extend(run[..digits].iter().map(|&b| sextet(b)));
        let room = 3 * digits + 4;
        if plain.len() < room {
            plain.resize(room, 0);
        }
        let mut at = 0;
        for (skip, end) in ends.iter_mut().enumerate() {
            at += base64_of(sextets.get(skip..).unwrap_or_default(), &mut plain[at..]);
            plain[at] = DELETE;
            *end = at;
            at += 1;
        }
    }

    fn all(&self) -> &[u8] {
        &self.plain[..self.ends[3]]
    }

    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().map(|end| end + 1));
        starts.zip(&self.ends).map(|(start, &end)| &self.plain[start..end])
    }
}

/// Writes what sextets stand for, and says how many bytes that is: at most three quarters. What remains of an incomplete group is left out.
fn base64_of(sextets: &[u8], out: &mut [u8]) -> usize {
    let (groups, rest) = sextets.as_chunks::<4>();
    let (whole, last) = out.split_at_mut(3 * groups.len());
    let (cells, _) = whole.as_chunks_mut::<3>();
    for (cell, group) in cells.iter_mut().zip(groups) {
        let four = u32::from_le_bytes(*group);
        let two = (four & 0x003f_003f) << 6 | four >> 8 & 0x003f_003f;
        let [_, a, b, c] = ((two & 0xfff) << 12 | two >> 16).to_be_bytes();
        *cell = [a, b, c];
    }
    let some = match *rest {
        [a, b] => {
            last[0] = a << 2 | b >> 4;
            1
        }
        [a, b, c] => {
            last[..2].copy_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]);
            2
        }
        _ => 0,
    };
    3 * groups.len() + some
}

/// Appends the bytes that base64 or base64url text stands for, with or without padding. What remains of an incomplete
/// group is left out. `false` if a character is not base64: what was appended then says nothing.
pub(super) fn base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let digits = text.len() - text.iter().rev().take_while(|&&b| b == b'=').count();
    let (groups, rest) = text[..digits].as_chunks::<4>();
    let start = out.len();
    out.resize(start + 3 * groups.len(), 0);
    let (cells, _) = out[start..].as_chunks_mut::<3>();
    let mut all = 0;
    for (cell, group) in cells.iter_mut().zip(groups) {
        let [a, b, c, d] = group.map(sextet);
        all |= a | b | c | d;
        *cell = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    let [a, b, c] = [0, 1, 2].map(|i| rest.get(i).map_or(0, |&b| sextet(b)));
    let whole = [a << 2 | b >> 4, b << 4 | c >> 2];
    out.extend_from_slice(&whole[..rest.len().saturating_sub(1)]);
    (all | a | b | c) & NO_SEXTET == 0
}

/// What a character of base64 or base64url stands for; with these bits, none.
const NO_SEXTET: u8 = 0xc0;

fn sextet(character: u8) -> u8 {
    SEXTETS[usize::from(character)]
}

static SEXTETS: [u8; 256] = {
    let mut table = [NO_SEXTET; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => NO_SEXTET,
        };
        i += 1;
    }
    table
};

/// The runs of hex digits that are long enough to hide a value.
fn hex_runs(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    // A run this long covers a multiple of its length.
    let mut i = ENCODED_RUN_BYTES_MIN - 1;
    std::iter::from_fn(move || {
        while let Some(b) = text.get(i) {
            if !b.is_ascii_hexdigit() {
                i += ENCODED_RUN_BYTES_MIN;
                continue;
            }
            let start = i - text[..i].iter().rev().take_while(|b| b.is_ascii_hexdigit()).count();
            let end = i + text[i..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
            i = end + ENCODED_RUN_BYTES_MIN;
            if end - start >= ENCODED_RUN_BYTES_MIN {
                return Some(start..end);
            }
        }
        None
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
    /// Whether something was left out between bytes, each of which is one of the source.
    gaps: bool,
}

impl Transcript {
    fn new(source: &[u8]) -> Option<Transcript> {
        let end = u32::try_from(source.len()).ok()?;
        Some(Transcript {
            bytes: Vec::with_capacity(source.len()),
            from: Vec::with_capacity(source.len()),
            end,
            gaps: false,
        })
    }

    fn push(&mut self, byte: u8, from: usize) {
        self.bytes.push(byte);
        self.from.push(from as u32);
    }

    /// What stands for itself.
    fn copy(&mut self, source: &[u8], range: Range<usize>) {
        self.bytes.extend_from_slice(source.get(range.clone()).unwrap_or_default());
        self.from.extend(range.start as u32..range.end as u32);
    }

    fn push_char(&mut self, c: char, from: usize) {
        c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| self.push(b, from));
    }

    /// Where decoded bytes came from, if an escape is among them, next to them, or at most [`SEQUENCE_BYTES_MAX`] before them, where
    /// it may have changed what stands before them; `offset` is where the source begins.
    fn source(&self, range: Range<usize>, offset: usize) -> Option<Range<usize>> {
        let from = |i: usize| self.from.get(i).map_or(self.end as usize, |&from| from as usize);
        let start = *self.from.get(range.start)? as usize;
        let next = from(range.end);
        let end = if self.gaps { from(range.end.checked_sub(1)?) + 1 } else { next };
        let lead = range.start.saturating_sub(SEQUENCE_BYTES_MAX);
        let before = lead.checked_sub(1).map_or(0, |i| from(i) + 1);
        (before < from(lead) || next - from(lead) > range.end - lead).then_some(start + offset..end + offset)
    }
}

type Marked = fn(&Marks) -> bool;
type Regions = fn(&[u8]) -> Vec<Range<usize>>;
type Transcribe = fn(&[u8]) -> Option<Transcript>;
/// The form, whether there is a byte of what hides it, where it is undone, and how.
const TRANSCRIPTS: [(Form, Marked, Regions, Transcribe); 4] = [
    (Form::Percent, |m| m.percent, |b| around(percents(b), b), percent),
    (Form::Escaped, |m| m.backslash, |b| around(escapes(b), b), escaped),
    (Form::Split, |m| m.soft, |b| around(softs(b), b), split),
    (Form::Utf16, |m| m.zero, utf16_runs, utf16),
];

/// The surroundings of positions, merged where they touch. One that would end in a token goes on to the token's end: a JWT
/// behind an escape is as long as another.
fn around(positions: impl Iterator<Item = usize>, bytes: &[u8]) -> Vec<Range<usize>> {
    let mut regions: Vec<Range<usize>> = Vec::new();
    let of_token = |b: &u8| BASE64[usize::from(*b)] || *b == b'.';
    for at in positions {
        let start = at.saturating_sub(LOOK_BEHIND_BYTES);
        let near = (at + LOOK_BEHIND_BYTES).min(bytes.len());
        // What lies in the last region goes not beyond it.
        let known = regions.last().map_or(0, |last| last.end);
        let end = if near <= known {
            known
        } else {
            near + bytes[near..].iter().take(TOKEN_MORE_BYTES_MAX).take_while(|b| of_token(b)).count()
        };
        match regions.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => regions.push(start..end),
        }
    }
    regions
}

/// How far a region goes on with a token.
const TOKEN_MORE_BYTES_MAX: usize = JWT_SEGMENTS_MAX * (JWT_SEGMENT_BYTES_MAX + 1);

/// Where `%` and two hex digits are.
fn percents(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
    memchr::memchr_iter(b'%', bytes).filter(move |&i| digit(i + 1) && digit(i + 2))
}

/// Where a backslash begins an escape that [`escaped`] undoes.
fn escapes(bytes: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'\\', bytes).filter(|&i| bytes.get(i + 1).is_some_and(|b| ESCAPED.contains(b)))
}

/// What stands behind the backslash of an escape.
const ESCAPED: &[u8; 11] = b"uxnrtbf/\"'\\";

/// Where zero-width and soft characters are, and control sequences.
fn softs(bytes: &[u8]) -> impl Iterator<Item = usize> {
    soft_marks(bytes).filter(|i| soft(&bytes[*i..]) > 0)
}

const ESC: u8 = 0x1b;

/// The length of the zero-width or soft character, or of the control sequence, that `bytes` begin with; 0 if there is none. Control
/// characters are none: in binary data they are lengths, which part what stands around them.
fn soft(bytes: &[u8]) -> usize {
    match bytes {
        [ESC, rest @ ..] => sequence(rest).map_or(0, |length| 1 + length),
        // CSI of C1.
        [0xc2, 0x9b, rest @ ..] => csi(rest).map_or(0, |length| 2 + length),
        // DCS, SOS, OSC, PM and APC of C1.
        [0xc2, 0x90 | 0x98 | 0x9d | 0x9e | 0x9f, rest @ ..] => string(rest).map_or(0, |length| 2 + length),
        [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..]
        | [0xe2, 0x81, 0xa0..=0xa4 | 0xa6..=0xa9, ..]
        // Variation selectors, and tags below.
        | [0xef, 0xb8, 0x80..=0x8f, ..]
        | [0xef, 0xbb, 0xbf, ..] => 3,
        [0xf3, 0xa0, 0x80 | 0x81, 0x80..=0xbf, ..] => 4,
        [0xc2, 0xad, ..] => 2,
        _ => 0,
    }
}

/// The length of what an ESC begins (ECMA-35, 13; ECMA-48, 5.4 and 5.6), without it.
fn sequence(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'[', parameters @ ..] => csi(parameters).map(|length| 1 + length),
        // OSC, DCS, SOS, PM, APC.
        [b']' | b'P' | b'X' | b'^' | b'_', rest @ ..] => string(rest).map(|length| 1 + length),
        _ => {
            let between =
                rest.iter().take(SEQUENCE_BYTES_MAX).take_while(|b| (0x20..0x30).contains(*b)).count();
            rest.get(between).filter(|b| (0x30..0x7f).contains(*b)).map(|_| between + 1)
        }
    }
}

/// The length of a control string behind what begins it, with what ends it: ST, BEL, CAN or SUB, as terminals have it. Another
/// control sequence ends it too, and is none of it. Each begins with a byte that ends the search for the one before, so that
/// strings without an end are looked at once.
fn string(rest: &[u8]) -> Option<usize> {
    let rest = &rest[..rest.len().min(STRING_BYTES_MAX)];
    let ends = |&i: &usize| match rest[i] {
        0x07 | 0x18 | 0x1a | ESC => true,
        0xc2 => rest.get(i + 1).is_some_and(|b| (0x80..0xa0).contains(b)),
        _ => false,
    };
    let end = (0..rest.len()).find(ends);
    #[cfg(test)]
    SEARCHED.set(SEARCHED.get() + end.unwrap_or(rest.len()));
    let end = end?;
    Some(match (rest[end], rest.get(end + 1)) {
        (ESC, Some(b'\\')) | (0xc2, Some(0x9c)) => end + 2,
        (ESC | 0xc2, _) => end,
        _ => end + 1,
    })
}

#[cfg(test)]
thread_local! {
    /// How many bytes were searched for the ends of control strings.
    static SEARCHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The length of what stands behind a CSI: parameters, intermediates, and a final byte.
fn csi(rest: &[u8]) -> Option<usize> {
    let between = rest.iter().take(SEQUENCE_BYTES_MAX).take_while(|b| (0x20..0x40).contains(*b)).count();
    rest.get(between).filter(|b| (0x40..0x7f).contains(*b)).map(|_| between + 1)
}

/// Longer ones are none. Colours of a character and its ground in full have 36 bytes; titles of windows some hundred, links
/// as much as a URL does.
const SEQUENCE_BYTES_MAX: usize = 64;
const STRING_BYTES_MAX: usize = 4 << 10;

/// All runs in which every other byte is zero.
fn utf16_runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(run) = next_utf16(bytes, at) {
        at = run.end;
        runs.push(run);
    }
    runs
}

/// The first run of at least eight characters of ASCII in UTF-16 (every other byte is zero) that ends after `at`.
fn next_utf16(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    // Sixteen bytes cover eight that begin at a multiple of eight.
    let (even, odd) = (0x00ff_00ff_00ff_00ff_u64, 0xff00_ff00_ff00_ff00_u64);
    let first = at.next_multiple_of(8);
    for (n, block) in bytes.get(first..)?.chunks_exact(8).enumerate() {
        let word = block.iter().rev().fold(0u64, |w, &b| w << 8 | u64::from(b));
        if word == 0 || word & even != 0 && word & odd != 0 {
            continue;
        }
        let i = first + n * 8;
        // The parity of the zeros.
        let zero = if word & even == 0 { i % 2 } else { (i + 1) % 2 };
        let fits = |j: usize| (bytes[j] == 0) == (j % 2 == zero);
        let start = (at..i).rev().find(|&j| !fits(j)).map_or(at, |j| j + 1);
        let end = (i..bytes.len()).find(|&j| !fits(j)).unwrap_or(bytes.len());
        if end >= i + 8 && end - start >= 16 {
            return Some(start..end);
        }
    }
    None
}

/// `%40` and the like undone. `None` if the text is too long to map.
fn percent(bytes: &[u8]) -> Option<Transcript> {
    let mut out = Transcript::new(bytes)?;
    let digit = |i: usize| bytes.get(i).and_then(|&b| nibble(b));
    let mut done = 0;
    for at in percents(bytes) {
        let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else { continue };
        out.copy(bytes, done..at);
        out.push(high << 4 | low, at);
        done = at + 3;
    }
    out.copy(bytes, done..bytes.len());
    Some(out)
}

/// The escapes of JSON and C undone: `\u0040`, `\x40`, `\n`, `\/`.
fn escaped(bytes: &[u8]) -> Option<Transcript> {
    let mut out = Transcript::new(bytes)?;
    let (mut done, mut i) = (0, 0);
    while let Some(at) = memchr::memchr(b'\\', &bytes[i..]).map(|next| i + next) {
        let (stands, length) = escape(&bytes[at..]);
        out.copy(bytes, done..at);
        match stands {
            Stands::Byte(byte) => out.push(byte, at),
            Stands::Char(character) => out.push_char(character, at),
        }
        (done, i) = (at + length, at + length);
    }
    out.copy(bytes, done..bytes.len());
    Some(out)
}

enum Stands {
    Byte(u8),
    Char(char),
}

/// What the backslash stands for that `bytes` begin with, and for how many bytes.
fn escape(bytes: &[u8]) -> (Stands, usize) {
    let number = |at: usize, n: usize| {
        bytes.get(at..at + n)?.iter().try_fold(0u32, |v, &b| Some(v << 4 | u32::from(nibble(b)?)))
    };
    let (character, length) = match bytes.get(1) {
        Some(b'u') => match (number(2, 4), number(8, 4).filter(|_| bytes[6..8] == *b"\\u")) {
            // A pair of surrogates (RFC 8259, 7).
            (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                let both = 0x1_0000 + ((high - 0xd800) << 10 | (low - 0xdc00));
                (char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            (Some(one), _) => (char::from_u32(one).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            (None, _) => ('\\', 1),
        },
        Some(b'x') => match number(2, 2).and_then(|n| u8::try_from(n).ok()) {
            Some(byte) => return (Stands::Byte(byte), 4),
            None => ('\\', 1),
        },
        Some(b'n') => ('\n', 2),
        Some(b'r' | b't' | b'b' | b'f') => (' ', 2),
        Some(&c @ (b'/' | b'"' | b'\'' | b'\\')) => (char::from(c), 2),
        _ => ('\\', 1),
    };
    (Stands::Char(character), length)
}

/// The length of the escape, control sequence or soft character that `bytes` begin with, 0 if there is none; what it stands
/// for is appended to `undone`.
pub(crate) fn unit(bytes: &[u8], undone: &mut Vec<u8>) -> usize {
    match bytes {
        [b'%', high, low, ..] => match (nibble(*high), nibble(*low)) {
            (Some(high), Some(low)) => {
                undone.push(high << 4 | low);
                3
            }
            _ => 0,
        },
        [b'\\', ..] => match escape(bytes) {
            (_, 1) => 0,
            (Stands::Byte(byte), length) => {
                undone.push(byte);
                length
            }
            (Stands::Char(character), length) => {
                undone.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                length
            }
        },
        _ => soft(bytes),
    }
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
    let mut done = 0;
    for at in softs(bytes) {
        // What stands in the last one, a link's text perhaps, is gone with it.
        if at >= done {
            out.copy(bytes, done..at);
            done = at + soft(&bytes[at..]);
        }
    }
    out.copy(bytes, done..bytes.len());
    Some(out)
}

#[cfg(test)]
pub(super) mod reference;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_alone_are_base64_of_nothing_that_is_looked_for() {
        for n in 0..10_000 {
            let digits = format!("{n:04}");
            for length in 0..=4 {
                let mut plain = Vec::new();
                assert!(base64(&digits.as_bytes()[..length], &mut plain));
                assert!(!plain.contains(&b'@') && !plain.contains(&0));
                assert!(
                    plain.first().is_none_or(|&b| b >= 0xd0),
                    "{digits}: no three of ASCII, over groups too"
                );
            }
        }
    }

    #[test]
    fn what_a_terminal_does_not_show_splits_no_value() {
        let detectors = Detectors::new();
        let all: String = "219-09-9999".chars().map(|c| format!("{c}\x1b[0m")).collect();
        for text in [
            all.as_str(),
            "219-\x1b[1;38;2;1;2;3m09\x1b[0m-9999",
            "219-09\x1b]0;title\x07-9999",
            "219-09\x1b]8;;http://x\x1b\\-9999",
            "219-\x1b(B09-9999",
            "219-\u{9b}1m09-9999",
            "219-\u{200b}09\x1b[m-99\u{200b}99",
            "219\u{fe0f}-09\u{e0061}-9999",
            "{\"t\": \"219-\\u001b[1m09-9999\"}",
        ] {
            let mut findings = Vec::new();
            detectors.scan_deep(text.as_bytes(), &mut findings);
            let found: Vec<_> = findings.iter().map(|f| f.detector).collect();
            assert_eq!(found, ["us-ssn"], "{}", text.escape_debug());
            let (first, last) = (text.find('2').unwrap(), text.rfind('9').unwrap());
            assert!(
                findings[0].range.start <= first && last < findings[0].range.end,
                "{}",
                text.escape_debug()
            );
        }
        for text in ["219-\x1b", "219-09-\x1b[", "219-09-\x1b]0;9999", "\x1b[219-09-999"] {
            let mut findings = Vec::new();
            detectors.scan_deep(text.as_bytes(), &mut findings);
            assert!(findings.is_empty(), "{}", text.escape_debug());
        }
    }

    #[test]
    fn what_comes_again_is_found_again_among_much_that_hides_nothing() {
        let value = "am8uZG9lQGV4YW1wbGUuY29t";
        let detectors = Detectors::new();
        for others in [0, 1, 3, 60, 70, 200] {
            let mut text = String::new();
            for n in 0..400 {
                // Heads and tails alike, so that they share a slot.
                text +=
                    &format!("terminationMessagePath am8uZG9l{:08}uY29tuY29t {value}\n", n % (others + 1));
            }
            let mut findings = Vec::new();
            detectors.scan_deep(text.as_bytes(), &mut findings);
            let found: Vec<usize> = findings.iter().map(|f| f.range.start).collect();
            let expect: Vec<usize> = text.match_indices(value).map(|(at, _)| at).collect();
            assert_eq!(found, expect, "{others}");
        }
    }

    /// What each detector finds: its name, what stands before the value, the value.
    fn one_of_each() -> Vec<(&'static str, &'static str, String)> {
        let drawn = |n: usize| "aB3x".repeat(n).split_off(2);
        let jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
        let pem = "-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----";
        let of = |name, value: &str| (name, "", value.to_owned());
        vec![
            of("email", "jo.doe@example.com"),
            of("card", "4111111111111111"),
            of("iban", "DE89370400440532013000"),
            of("us-ssn", "536-22-8391"),
            of("phone", "+14155550100"),
            of("jwt", jwt),
            of("pem-private-key", pem),
            of("aws-key-id", "AKIAIOSFODNN7EXAMPLE"),
            ("aws-secret", "aws_secret_access_key=", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
            of("github", "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"),
            of("slack", "xoxb-123456789012-abcDEF"),
            of("stripe", concat!("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc")),
            of("google-api-key", "AIzaSyA1234567890abcdefghijklmnopqrstuv"),
            of("anthropic", &format!("sk-ant-api03-{}AA", "aB3_-x".repeat(15))),
            of("openai", &format!("sk-proj-{}", "aB3_-".repeat(12))),
            of("hugging-face", &format!("hf_{}", drawn(9))),
            of("llm-provider", &format!("xai-{}", "aB3x".repeat(20))),
            of("url-credentials", "https://u:hunter2@h.example/"),
            of("prefixed-key", "ck_canary_9fQ2vTzLm4RkWb7HsXeY"),
        ]
    }

    #[test]
    fn an_escape_right_before_a_value_hides_it_from_no_detector() {
        let detectors = Detectors::new().of_programs();
        let all = one_of_each();
        let names: Vec<_> = all.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, super::super::Detector::ALL.map(|d| d.name()));
        let escapes = [
            "%3D",
            "%0A",
            r"\n",
            r"\u000a",
            "\x1b[31m",
            "\x1b[0m",
            "\u{200b}",
            r"\u001b[31m",
            "%1B[1;31m",
            "%5Cn",
        ];
        for (detector, before, value) in &all {
            for (escape, after) in escapes.iter().flat_map(|e| [(e, "\n"), (e, " x"), (e, "")]) {
                let text = format!("{before}{escape}{value}{after}");
                let mut findings = Vec::new();
                detectors.scan_deep(text.as_bytes(), &mut findings);
                let of: Vec<_> = findings.iter().filter(|f| f.detector == *detector).collect();
                assert_eq!(of.len(), 1, "{detector} in {}: {findings:?}", text.escape_debug());
                let whole = text.find(value.as_str()).unwrap()..text.len() - after.len();
                let found = &of[0].range;
                let value =
                    if *detector == "url-credentials" { whole.start + 10..whole.start + 17 } else { whole };
                assert!(found.start <= value.start && found.end >= value.end, "{}", text.escape_debug());
            }
        }
    }

    #[test]
    fn a_value_that_is_found_as_it_stands_is_found_once() {
        let detectors = Detectors::new().of_programs();
        for (detector, before, value) in one_of_each() {
            for (left, right) in
                [("\x1b[1m ", "\x1b[0m"), ("%20 ", "%20"), (r"\n ", r"\n"), ("\u{200b} ", " \u{200b}")]
            {
                let text = format!("{left}{before}{value}{right}");
                let mut findings = Vec::new();
                detectors.scan_deep(text.as_bytes(), &mut findings);
                let count = findings.iter().filter(|f| f.detector == detector).count();
                assert_eq!(count, 1, "{detector} in {}: {findings:?}", text.escape_debug());
            }
        }
    }

    #[test]
    fn a_token_behind_an_escape_is_covered_to_its_end() {
        let token = format!("eyJhbGciOiJub25lIn0.{}.{}", "eyJzdWIi".repeat(900), "c2ln".repeat(100));
        let text = format!("t%3D{token} and more");
        let mut findings = Vec::new();
        Detectors::new().scan_deep(text.as_bytes(), &mut findings);
        let jwt = findings.iter().find(|f| f.detector == "jwt").unwrap();
        assert_eq!(jwt.range, 4..4 + token.len());
    }

    #[test]
    fn a_control_string_ends_where_a_terminal_ends_it() {
        let detectors = Detectors::new();
        let found = |text: &str| {
            let mut findings = Vec::new();
            detectors.scan_deep(text.as_bytes(), &mut findings);
            findings.iter().map(|f| f.detector).collect::<Vec<_>>()
        };
        let long = format!("219-\x1b]8;;https://x/{}\x1b\\09-9999", "a".repeat(4_000));
        for text in [
            // Another sequence ends it, and the byte behind its ESC is not its own.
            "219-09-\x1b]0;t\x1b[m9999",
            "219-09-\x1b]0;t\x1b[31m\x1b[m9999",
            "219-09-\x1b]0;t\u{9c}9999",
            "219-09-\u{9d}0;t\u{9c}9999",
            "219-09-\u{90}q\x1b\\9999",
            "219-09-\x1bPq\x189999",
            &long,
        ] {
            assert_eq!(found(text), ["us-ssn"], "{}", text.escape_debug());
        }
        assert_eq!(string(b"0;t\x1b[m"), Some(3));
        assert_eq!(string(b"0;t\x1b\\m"), Some(5));
        assert_eq!(string(b"0;t\x07m"), Some(4));
        assert_eq!(string(b"0;t\xc2\x9cm"), Some(5));
        assert_eq!(string(b"0;\xc2\xa7t\x07m"), Some(6));
        assert_eq!(string(&[b'a'; 2 * STRING_BYTES_MAX]), None);
    }

    #[test]
    fn control_strings_without_an_end_are_searched_once() {
        for unit in ["\x1b]", "\u{9d}", "\x1bP0;aaaa", "\u{9d}\x1b", "\x1b]\u{a7}", "\x1b]0;\u{9d}aaaa"] {
            let text = unit.repeat((1 << 20) / unit.len());
            SEARCHED.set(0);
            softs(text.as_bytes()).for_each(drop);
            let searched = SEARCHED.get();
            assert!(searched <= text.len(), "{}: {searched}", unit.escape_debug());
        }
    }

    #[test]
    fn digits_alone_are_looked_at_as_hex_where_they_are_long_enough() {
        let detectors = Detectors::new();
        let found = |text: &str| {
            let mut findings = Vec::new();
            detectors.scan_deep(text.as_bytes(), &mut findings);
            findings.into_iter().map(|f| (f.detector, f.form)).collect::<Vec<_>>()
        };
        let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
        let ssn = hex("219 09 9999");
        assert_eq!(ssn.len(), NUMBER_DIGITS_MIN);
        assert!(is_number(ssn.as_bytes()));
        assert_eq!(found(&format!("n = {ssn}, 0.0100000000000000")), [("us-ssn", Form::Hex)]);
        assert_eq!(found(&hex("4111111111111111")), [("card", Form::Hex)]);
        assert_eq!(found("0.0100000000000000"), []);
    }

    #[test]
    fn every_value_however_it_is_encoded_is_worth_a_look() {
        let detectors = Detectors::new();
        let values = [
            "a@b.co",
            "\u{e4}@\u{f6}.de",
            "+12015550123",
            "+4930123456",
            "219-09-9999",
            "219 09 9999",
            "4111111111111111",
            "DE89 3704 0044 0532 0130 00",
            "AKIAIOSFODNN7EXAMPLE",
            concat!("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
            "https://u:hunter2@h.example/",
        ];
        let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
        let percent = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let escaped =
            |text: &str| text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>();
        let split = |text: &str| text.chars().map(|c| format!("{c}\u{200b}")).collect::<String>();
        let wide = |text: &str| text.chars().map(|c| format!("{c}\0")).collect::<String>();
        for value in values {
            let mut findings = Vec::new();
            detectors.scan_deep(value.as_bytes(), &mut findings);
            assert!(!findings.is_empty(), "{value}");
            let forms =
                [value.to_owned(), hex(value), percent(value), escaped(value), split(value), wide(value)];
            for form in forms {
                for around in [&b""[..], b"\xff", b"\x9c\xb1\xff"] {
                    let plain = [around, form.as_bytes(), around].concat();
                    assert!(hopeful(&plain), "{}", plain.escape_ascii());
                }
            }
        }
        assert!(!hopeful(b"\x9c\xb1abc\xff12345\xfe"));
    }

    #[test]
    fn base64_is_undone_however_much_of_a_group_there_is() {
        let undone = |text: &str| {
            let mut plain = Vec::new();
            base64(text.as_bytes(), &mut plain).then_some(plain)
        };
        for (text, plain) in [
            ("", &b""[..]),
            ("Y", b""),
            ("YW", b"a"),
            ("YWI", b"ab"),
            ("YWI=", b"ab"),
            ("YWJj", b"abc"),
            ("YWJjZGU", b"abcde"),
            ("-_+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(undone(text).as_deref(), Some(plain), "{text}");
        }
        for wrong in ["YW.j", "YWJj.", "YWJjZ.", "YWJjZG.", "Y=Jj"] {
            assert_eq!(undone(wrong), None, "{wrong}");
        }
    }
}
