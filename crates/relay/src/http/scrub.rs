//! The service's own credential, taken out of what the service says: a page that echoes a request, a redirect that keeps
//! its query, a link to the next page (P6).
//!
//! It is looked for as it is, in hexadecimal, and in Base64 wherever it stands in what was encoded; and each of these as
//! URLs, JSON and HTML write it, one in another; over pieces too, since what could be its beginning waits for the next one.

use zeroize::Zeroizing;

use super::credential::{base64, percent_encoded};
use crate::vault::Secret;

/// Shorter ones stand anywhere by chance, and protect nothing.
const SECRET_BYTES_MIN: usize = 6;
/// What stands in its place: letters that are themselves in every format.
const PLACEHOLDER: &[u8] = b"[credential]";
/// How many escapes of different kinds may stand in one another: a page in a string of JSON. Each more costs five times as
/// much, and a service that repeats what it is sent can be made to answer nothing but escapes.
const DEPTH: u8 = 2;
/// How often what a URL writes may be written so again: the URL in the query of a URL in one of another.
const PERCENTS_MAX: usize = 4;
/// How many bytes one of what is looked for is counted as, where something is kept to look in: `\u002b`.
const ESCAPE_BYTES: usize = 6;
/// So many characters before the end of a line begin one that goes on in the next.
const BEGUN_BYTES_MIN: usize = 4;

/// One credential, in each form, and what was signed with it last.
pub(super) struct Needles {
    all: Vec<Needle>,
    /// How many of them are the credential's.
    own: usize,
    /// For each byte as it stands, a bit for each of them that may begin with it: eight for each of four values at most.
    begins: [u32; 256],
    /// For each pair of bytes as they stand, which of them may begin so: a bit that both have.
    pairs: [[u64; 256]; 2],
}

/// The bit of what begins an escape, whatever follows.
const SIGN: u64 = 1 << u32::BITS;

struct Needle {
    text: Zeroizing<Vec<u8>>,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Hex,
    /// What of it depends on nothing that stands around the credential. `edge`: the next character holds some bits.
    Base64 {
        edge: bool,
    },
}

/// What may go on.
struct Clean {
    /// `None`: the bytes, up to `goes`.
    out: Option<Vec<u8>>,
    goes: usize,
    /// From where it is needed again, to look at what comes: what went on may begin one, too (see [`At`]).
    keep: usize,
}

/// What stands at a place.
#[derive(Default)]
struct At {
    /// The credential does, up to here.
    whole: Option<usize>,
    /// What comes next may make it one, or a longer one.
    begun: bool,
    /// So it may, but so do the ends of most lines: it is not held back for that.
    slight: bool,
}

impl Needles {
    pub(super) fn new(secret: Option<&Secret>) -> Needles {
        let mut needles = Needles { all: Vec::new(), own: 0, begins: [0; 256], pairs: [[0; 256]; 2] };
        let Some(secret) = secret.map(Secret::expose) else { return needles };
        let password = secret.iter().position(|b| *b == b':').map(|colon| &secret[colon + 1..]);
        // Of `ID:SECRET:TOKEN` the token is what travels.
        let token = secret.iter().rposition(|b| *b == b':').map(|colon| &secret[colon + 1..]);
        let values = [Some(secret), password, token].into_iter().flatten();
        values.filter(|value| value.len() >= SECRET_BYTES_MIN).for_each(|value| needles.add_value(value));
        needles.own = needles.all.len();
        needles.index();
        needles
    }

    /// A request was signed so: for some minutes whoever has the signature can send it again. It takes the place of the one before.
    pub(super) fn signed(&mut self, signature: &[u8]) {
        self.all.truncate(self.own);
        self.add_value(signature);
        self.index();
    }

    fn add_value(&mut self, value: &[u8]) {
        self.add(Zeroizing::new(value.to_vec()), Form::Plain);
        self.add(Zeroizing::new(crate::entropy::hex(value).into_bytes()), Form::Hex);
        // A URL may be encoded as a whole.
        for value in [value, &percent_encoded(value)] {
            for before in 0..3 {
                let (text, edge) = encoded(value, before);
                self.add(text, Form::Base64 { edge });
            }
        }
    }

    fn add(&mut self, text: Zeroizing<Vec<u8>>, form: Form) {
        let needle = Needle { text, form };
        if !self.all.iter().any(|other| other.text == needle.text && other.form == form) {
            self.all.push(needle);
        }
    }

    /// Notes what each byte may be the first or second character of.
    fn index(&mut self) {
        for byte in 0..=u8::MAX {
            let reads =
                |nth: usize, needle: &Needle| needle.text.get(nth).is_some_and(|b| needle.reads(*b, byte));
            let bits = |nth: usize| {
                let bits = self.all.iter().map(|needle| u32::from(reads(nth, needle))).enumerate();
                bits.fold(0, |bits, (n, bit)| bits | bit << n)
            };
            let (at, first) = (usize::from(byte), bits(0));
            // An escape or the end of a line may stand before the second character.
            let second = if is_sign(byte) || ends_line(byte) { u32::MAX } else { bits(1) };
            self.begins[at] = first;
            self.pairs[0][at] = u64::from(first) | if is_sign(byte) { SIGN } else { 0 };
            self.pairs[1][at] = u64::from(second) | SIGN;
        }
    }

    /// The first place from `at` on where one may begin.
    fn next(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let rest = bytes.get(at..)?;
        let [first, second] = &self.pairs;
        let may = |pair: &[u8]| first[usize::from(pair[0])] & second[usize::from(pair[1])] != 0;
        let found = rest.windows(2).position(may);
        // What comes behind the last byte is not known.
        found.or(rest.len().checked_sub(1)).map(|found| at + found)
    }

    /// How much of what was said has to be known, in bytes, to find what goes on in what is said next.
    pub(super) fn reach(&self) -> usize {
        let longest = self.all.iter().map(|needle| needle.text.len()).max().unwrap_or_default();
        (longest * ESCAPE_BYTES).saturating_sub(1)
    }

    /// Whether the credential begins in `before` and ends in `after`.
    pub(super) fn straddle(&self, before: &[u8], after: &[u8]) -> bool {
        let before = &before[before.len().saturating_sub(self.reach())..];
        let text = [before, &after[..after.len().min(self.reach())]].concat();
        let crosses = |at: usize| {
            let mut ends = self.beginning(&text, at).filter_map(|needle| needle.at(&text, at).whole);
            ends.any(|end| end > before.len())
        };
        (0..before.len()).any(crosses)
    }

    /// Whether it stands in a field's name, which has no case.
    pub(super) fn stands_in_name(&self, name: &[u8]) -> bool {
        let holds = |needle: &Needle| {
            name.windows(needle.text.len()).any(|window| window.eq_ignore_ascii_case(&needle.text))
        };
        let mut plain = self.all.iter().filter(|needle| needle.form == Form::Plain);
        plain.any(holds) || self.without(name).is_some()
    }

    /// `bytes` without the credential; `None` if it is not in them.
    pub(super) fn without(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.clean(bytes, 0, true).out
    }

    /// `bytes` without the credential, up to where it may begin (unless they are the `last`). Those before `from` have gone on
    /// already: of one that begins in them the rest is taken out.
    fn clean(&self, bytes: &[u8], from: usize, last: bool) -> Clean {
        let mut clean = Clean { out: None, goes: bytes.len(), keep: bytes.len() };
        if self.all.is_empty() {
            return clean;
        }
        let (mut at, mut taken) = (0, from);
        while let Some(next) = self.next(bytes, at) {
            at = next;
            let here = self.at(bytes, at);
            if here.begun || here.slight {
                clean.keep = clean.keep.min(at);
            }
            if here.begun && !last {
                clean.goes = at.max(from);
                break;
            }
            let Some(end) = here.whole.filter(|end| *end > from) else {
                at += 1;
                continue;
            };
            let out = clean.out.get_or_insert_default();
            out.extend_from_slice(&bytes[taken..at.max(from)]);
            out.extend_from_slice(PLACEHOLDER);
            (at, taken) = (end, end);
        }
        if let Some(out) = &mut clean.out {
            out.extend_from_slice(&bytes[taken..clean.goes]);
        }
        clean
    }

    fn at(&self, text: &[u8], at: usize) -> At {
        let mut here = At::default();
        for needle in self.beginning(text, at) {
            let one = needle.at(text, at);
            here.begun |= one.begun;
            here.slight |= one.slight;
            here.whole = here.whole.max(one.whole.map(|end| needle.behind(text, end)));
        }
        here
    }

    /// Those that may begin at `at`: almost everywhere none does, and that costs little.
    fn beginning<'n>(&'n self, text: &'n [u8], at: usize) -> impl Iterator<Item = &'n Needle> {
        let mut bits = match text.get(at) {
            Some(byte) if is_sign(*byte) => self.escaped(text, at),
            Some(byte) => self.begins[usize::from(*byte)],
            None => 0,
        };
        std::iter::from_fn(move || {
            let first = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            self.all.get(first)
        })
        .filter(move |needle| needle.goes_on(text, at))
    }

    /// A bit for each that an escape at `at` may begin.
    fn escaped(&self, text: &[u8], at: usize) -> u32 {
        // A row of one sign is that sign, however it is read.
        if let Some([first, rest @ ..]) = text.get(at..at + UNITS_MAX)
            && rest.iter().all(|b| b == first)
        {
            return self.begins[usize::from(*first)];
        }
        let units = read(text, at, DEPTH);
        let begun = units.iter().fold(0, |bits, (byte, _)| bits | self.begins[usize::from(byte)]);
        if units.short { u32::MAX } else { begun }
    }
}

/// The characters of Base64 that stand for `value` behind so many other bytes, and nothing else, and whether the next one
/// holds some bits of it, too.
fn encoded(value: &[u8], before: usize) -> (Zeroizing<Vec<u8>>, bool) {
    let whole = base64(&Zeroizing::new([&[0; 2][..before], value].concat()));
    let (first, bits) = ((before * 8).div_ceil(6), (before + value.len()) * 8);
    (Zeroizing::new(whole[first..bits / 6].to_vec()), bits % 6 > 0)
}

impl Needle {
    /// Whether its second character may stand behind the one at `at`.
    fn goes_on(&self, text: &[u8], at: usize) -> bool {
        match (text.get(at), self.text.get(1), text.get(at + 1)) {
            (Some(first), Some(wanted), Some(byte)) => {
                is_sign(*first) || is_sign(*byte) || ends_line(*byte) || self.reads(*wanted, *byte)
            }
            _ => true,
        }
    }

    /// Whether it begins at `at`, and whether it may do so with what comes next.
    fn at(&self, text: &[u8], at: usize) -> At {
        // As far as nothing is escaped, there is one way to read what stands there.
        let plain = |byte: &u8| !is_sign(*byte) && !ends_line(*byte);
        let mut here = text[at..].iter().take_while(|byte| plain(byte)).zip(self.text.iter());
        if here.any(|(byte, wanted)| !self.reads(*wanted, *byte)) {
            return At::default();
        }
        let (mut places, mut next, mut here) = (vec![at], Vec::new(), At::default());
        for (n, wanted) in self.text.iter().enumerate() {
            for at in places.drain(..) {
                let from = if n > 0 { self.unbroken(text, at) } else { at };
                if n < BEGUN_BYTES_MIN && from > at && from == text.len() {
                    here.slight = true;
                    continue;
                }
                let units = read(text, from, DEPTH);
                here.begun |= units.short;
                let fits = units.iter().filter(|(byte, _)| self.reads(*wanted, *byte));
                next.extend(fits.map(|(_, behind)| behind));
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut places, &mut next);
            if places.is_empty() {
                return here;
            }
        }
        here.whole = places.into_iter().max();
        here.begun |= self.form == Form::Base64 { edge: true } && here.whole == Some(text.len());
        here
    }

    /// Behind the end of a line, where Base64 is broken over lines.
    fn unbroken(&self, text: &[u8], at: usize) -> usize {
        match text.get(at..) {
            Some(rest) if matches!(self.form, Form::Base64 { .. }) => {
                let ends: [&[u8]; 4] = [b"\r\n", b"\n", b"\\r\\n", b"\\n"];
                at + ends.iter().find(|end| rest.starts_with(end)).map_or(0, |end| end.len())
            }
            _ => at,
        }
    }

    /// Whether `byte` stands for `wanted`.
    fn reads(&self, wanted: u8, byte: u8) -> bool {
        wanted == byte
            || match self.form {
                Form::Plain => wanted == b' ' && byte == b'+',
                Form::Hex => wanted.eq_ignore_ascii_case(&byte),
                Form::Base64 { .. } => matches!((wanted, byte), (b'+', b'-') | (b'/', b'_')),
            }
    }

    /// Behind the character that holds the last bits.
    fn behind(&self, text: &[u8], end: usize) -> usize {
        let is_more = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_".contains(b);
        end + usize::from(self.form == Form::Base64 { edge: true } && text.get(end).is_some_and(is_more))
    }
}

/// What an escape begins with.
fn is_sign(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&')
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// What may be meant by what stands at a place: bytes, and where the next one begins behind each.
struct Units {
    all: [(u8, usize); UNITS_MAX],
    count: usize,
    /// The text ends there, or inside of an escape.
    short: bool,
}

/// More ways to read one place there are not: a row of backslashes has four, and of `%25` as many as [`PERCENTS_MAX`] says.
const UNITS_MAX: usize = 8;

impl Units {
    fn iter(&self) -> impl Iterator<Item = (u8, usize)> {
        self.all.iter().take(self.count).copied()
    }

    fn say(&mut self, byte: u8, next: usize) {
        if self.iter().any(|unit| unit == (byte, next)) {
            return;
        }
        if let Some(place) = self.all.get_mut(self.count) {
            *place = (byte, next);
            self.count += 1;
        }
    }
}

/// What may be meant by what stands at `at`: the byte, and what so many escapes in one another make of it.
fn read(text: &[u8], at: usize, depth: u8) -> Units {
    let mut units = Units { all: [(0, 0); UNITS_MAX], count: 0, short: false };
    let Some(byte) = text.get(at) else {
        units.short = true;
        return units;
    };
    units.say(*byte, at + 1);
    if depth == 0 || !is_sign(*byte) {
        return units;
    }
    // What the escape begins with may be written by one, too.
    let own = read(text, at, depth - 1);
    units.short |= own.short;
    for (sign, next) in own.iter() {
        match sign {
            b'%' => percents(text, next, &mut units),
            b'\\' => backslash(text, next, depth, &mut units),
            b'&' => reference(text, next, depth, &mut units),
            _ => {}
        }
    }
    units
}

/// As URLs do it, behind the sign.
fn percents(text: &[u8], mut at: usize, units: &mut Units) {
    for _ in 0..PERCENTS_MAX {
        digits(text, at, 2, units);
        if text.get(at..at + 2) != Some(b"25") {
            return;
        }
        at += 2;
    }
}

/// A byte by so many digits.
fn digits(text: &[u8], at: usize, count: usize, units: &mut Units) {
    let rest = text.get(at..).unwrap_or_default();
    let digits = &rest[..rest.len().min(count)];
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return;
    }
    units.short |= digits.len() < count;
    match number(digits, 16) {
        Some(byte) if digits.len() == count => units.say(byte, at + count),
        Some(_) | None => {}
    }
}

fn number(digits: &[u8], base: u32) -> Option<u8> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, base).ok()?.try_into().ok())
}

/// As JSON and JavaScript do it, behind the backslash.
fn backslash(text: &[u8], at: usize, depth: u8, units: &mut Units) {
    match text.get(at) {
        Some(b'u') => digits(text, at + 1, 4, units),
        Some(b'x') => digits(text, at + 1, 2, units),
        _ => {
            let escaped = read(text, at, depth - 1);
            units.short |= escaped.short;
            let signs = escaped.iter().filter(|(byte, _)| byte.is_ascii_punctuation());
            signs.for_each(|(byte, next)| units.say(byte, next));
        }
    }
}

/// As HTML does it, behind the `&`.
fn reference(text: &[u8], at: usize, depth: u8, units: &mut Units) {
    let letters = run(text, at, u8::is_ascii_alphabetic);
    if letters > 0 {
        return ends(text, at + letters, depth, named(&text[at..at + letters]), units);
    }
    let mark = read(text, at, depth - 1);
    units.short |= mark.short;
    for (_, next) in mark.iter().filter(|(byte, _)| *byte == b'#') {
        let hex = matches!(text.get(next), Some(b'x' | b'X'));
        let (from, base) = if hex { (next + 1, 16) } else { (next, 10) };
        let count = run(text, from, if hex { u8::is_ascii_hexdigit } else { u8::is_ascii_digit });
        let byte = text.get(from..from + count).and_then(|digits| number(digits, base));
        ends(text, from + count, depth, byte, units);
    }
}

/// How many such bytes stand at `at`, of those that a reference can have.
fn run(text: &[u8], at: usize, is: fn(&u8) -> bool) -> usize {
    const NAME_BYTES_MAX: usize = 8;
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().take(NAME_BYTES_MAX).take_while(|b| is(b)).count()
}

/// A reference to `byte` that ends at `at`, if it does.
fn ends(text: &[u8], at: usize, depth: u8, byte: Option<u8>, units: &mut Units) {
    let end = read(text, at, depth - 1);
    units.short |= end.short;
    for (_, next) in end.iter().filter(|(sign, _)| *sign == b';') {
        byte.into_iter().for_each(|byte| units.say(byte, next));
    }
}

/// What of ASCII has a name in HTML.
fn named(name: &[u8]) -> Option<u8> {
    const NAMES: &[(&str, u8)] = &[
        ("amp", b'&'),
        ("apos", b'\''),
        ("ast", b'*'),
        ("bsol", b'\\'),
        ("colon", b':'),
        ("comma", b','),
        ("commat", b'@'),
        ("dollar", b'$'),
        ("equals", b'='),
        ("excl", b'!'),
        ("grave", b'`'),
        ("gt", b'>'),
        ("hat", b'^'),
        ("lbrace", b'{'),
        ("lbrack", b'['),
        ("lcub", b'{'),
        ("lowbar", b'_'),
        ("lpar", b'('),
        ("lsqb", b'['),
        ("lt", b'<'),
        ("num", b'#'),
        ("percnt", b'%'),
        ("period", b'.'),
        ("plus", b'+'),
        ("quest", b'?'),
        ("quot", b'"'),
        ("rbrace", b'}'),
        ("rbrack", b']'),
        ("rcub", b'}'),
        ("rpar", b')'),
        ("rsqb", b']'),
        ("semi", b';'),
        ("sol", b'/'),
        ("verbar", b'|'),
        ("vert", b'|'),
    ];
    NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, byte)| *byte)
}

/// A body, piece by piece.
#[derive(Default)]
pub(super) struct Scrub {
    /// What went on and may be the beginning of one, and what is held.
    bytes: Vec<u8>,
    gone: usize,
    /// It was found.
    pub(super) found: bool,
}

impl Scrub {
    /// What of `piece` and of what was held can go on.
    pub(super) fn push(&mut self, needles: &Needles, piece: &[u8]) -> Vec<u8> {
        if self.bytes.is_empty() {
            // Mostly it is not there, and nothing is held.
            let Clean { out, goes, keep } = needles.clean(piece, 0, false);
            self.found |= out.is_some();
            self.bytes.extend_from_slice(&piece[keep..]);
            self.gone = goes - keep;
            return out.unwrap_or_else(|| piece[..goes].to_vec());
        }
        self.bytes.extend_from_slice(piece);
        self.clean(needles, false)
    }

    pub(super) fn finish(&mut self, needles: &Needles) -> Vec<u8> {
        self.clean(needles, true)
    }

    fn clean(&mut self, needles: &Needles, last: bool) -> Vec<u8> {
        let Clean { out, goes, keep } = needles.clean(&self.bytes, self.gone, last);
        self.found |= out.is_some();
        let out = out.unwrap_or_else(|| self.bytes[self.gone..goes].to_vec());
        self.bytes.drain(..keep);
        self.gone = goes - keep;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(secret: &str, pieces: &[&[u8]]) -> String {
        let needles = Needles::new(Some(&Secret::new(secret.as_bytes().to_vec())));
        let mut scrub = Scrub::default();
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| scrub.push(&needles, piece)).collect();
        out.extend(scrub.finish(&needles));
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
    fn a_credential_is_taken_out_of_a_larger_text_in_base64() {
        for secret in ["sk-live-7f3a91", "sk-live-7f3a9", "sk-live~7f3a9>?", "abcdef"] {
            for before in ["", "k", "ke", "key", "key="] {
                for behind in ["", "&", "&a", "&a=b"] {
                    let word = base64(format!("{before}{secret}{behind}").as_bytes());
                    let url =
                        |b: &u8| [*b, b'-', b'_'][usize::from(*b == b'+') + 2 * usize::from(*b == b'/')];
                    let lines = word.chunks(5).collect::<Vec<_>>().join(&b"\r\n"[..]);
                    for form in [word.to_vec(), word.iter().map(url).collect(), lines] {
                        let clean = scrubbed(secret, &[&form]);
                        assert!(clean.contains("[credential]"), "{before}{secret}{behind}: {clean}");
                        // What stays is of what stands around it, and three bits or fewer on either side.
                        let rest = clean.replace("[credential]", "").replace("\r\n", "").len() * 6;
                        assert!(
                            rest <= (before.len() + behind.len()) * 8 + 24,
                            "{before}{secret}{behind}: {clean}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_passed_over_begins_none() {
        let mut needles = Needles::new(Some(&Secret::new(b"AKIDTEST:s/cret+1:%the\\token".to_vec())));
        needles.signed(b"0123456789abcdef");
        let mut drawn = 7_u64;
        let mut draw = |most: usize| {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (drawn >> 33) as usize % most
        };
        let starts: Vec<u8> =
            needles.all.iter().flat_map(|n| n.text[..2].to_vec()).chain(*b"%\\&\r\nxu25").collect();
        for _ in 0..2_000 {
            let text: Vec<u8> = (0..draw(40)).map(|_| starts[draw(starts.len())]).collect();
            let mut at = 0;
            while let Some(next) = needles.next(&text, at) {
                let passed = (at..next).find(|at| needles.beginning(&text, *at).next().is_some());
                assert_eq!(passed, None, "{:?}", String::from_utf8_lossy(&text));
                at = next + 1;
            }
            assert!((at..text.len()).all(|at| needles.beginning(&text, at).next().is_none()));
        }
    }

    /// A service may say one line at a time, and who asks says what stands before the credential.
    #[test]
    fn a_credential_in_lines_of_base64_is_taken_out_wherever_the_lines_and_pieces_end() {
        let secret = "sk-live-7f3a91-QwErTy";
        for before in 0..60 {
            let word = base64(format!("{}{secret}\nHost: a.example", "h".repeat(before)).as_bytes());
            let lines: Vec<Vec<u8>> = word.chunks(76).map(|line| [line, b"\n"].concat()).collect();
            let pieces: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let clean = scrubbed(secret, &pieces).replace('\n', "");
            assert!(clean.contains("[credential]"), "{before}: {clean}");
            let around = (before + "\nHost: a.example".len()).div_ceil(3) * 4 + 3 + 4;
            assert!(clean.replace("[credential]", "").len() <= around, "{before}: {clean}");
        }
    }

    #[test]
    fn the_last_signature_is_taken_out_as_the_credential_is() {
        let mut needles = Needles::new(Some(&Secret::new(b"AKIDTEST:s/cret+1:the-token".to_vec())));
        needles.signed(&[b'a'; 64]);
        needles.signed(&[b'b'; 64]);
        let said = format!("{} {} the-token {}", "a".repeat(64), "b".repeat(64), "YmJi".repeat(22));
        let clean = needles.without(said.as_bytes()).unwrap();
        let clean = String::from_utf8(clean).unwrap();
        assert!(clean.starts_with(&"a".repeat(64)) && !clean.contains("bbbb"), "{clean}");
        assert!(!clean.contains("the-token") && !clean.contains("YmJiYmJi"), "{clean}");
    }

    #[test]
    fn a_credential_is_seen_in_a_name_without_case() {
        let needles = Needles::new(Some(&Secret::new(b"user:Hunter22".to_vec())));
        assert!(needles.stands_in_name(b"X-HUNTER22-Seen") && needles.stands_in_name(b"hunter22"));
        assert!(!needles.stands_in_name(b"X-Hunter-22") && !needles.stands_in_name(b""));
        assert!(!Needles::new(None).stands_in_name(b"X-Any"));
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
        for form in [
            "sk-%22a%2fb%2bc%26d%5ce%3df9",
            "sk-%2522a%252Fb%252Bc%2526d%255Ce%253Df9",
            "sk-%252522a%25252Fb%25252Bc%252526d%25255Ce%25253Df9",
            "sk-&quot;a/b&#43;c&amp;d\\e=f9",
            "sk-&#34;a&#x2f;b&#x2B;c&amp;d&bsol;e&equals;f9",
            "sk-&amp;quot;a/b&amp;#43;c&amp;amp;d\\e=f9",
            r#"sk-\\\"a/b+c&d\\\\e=f9"#,
            r#"sk-\x22a/b\x2bc\x26d\\e=f9"#,
            r#"sk-\u0026quot;a/b+c\u0026amp;d\\e=f9"#,
            "736b2d22612f622b6326645C653D6639",
        ] {
            assert_eq!(scrubbed(odd, &[form.as_bytes()]), "[credential]", "{form}");
            for at in 0..form.len() {
                let (a, b) = form.as_bytes().split_at(at);
                assert_eq!(scrubbed(odd, &[a, b]), "[credential]", "{form} cut at {at}");
            }
        }
        let url = base64(b"https://a.example/?key=s%2Fcret%2B1&a=b");
        let clean = scrubbed("s/cret+1", &[&url]);
        assert_eq!(clean, "aHR0cHM6Ly9hLmV4YW1wbGUvP2tleT1[credential]mYT1i");
        assert_eq!(scrubbed("abc", &[b"abc"]), "abc", "too short to be one");
        assert_eq!(scrubbed("s/cret+1", &[b"s/cre"]), "s/cre", "what only begins as it");
    }
}
