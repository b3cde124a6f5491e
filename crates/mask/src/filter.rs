//! Which values were in a chunk, for whoever has the key and a value in hand.
//!
//! A Bloom filter over keyed hashes of each released cell and each token of at least
//! [`FILTER_TOKEN_BYTES_MIN`] bytes, with 8 probes each. How often a value is said to be in it that is not ([`bits_of`]):
//! of a few entries once in millions, as there are many such filters; of a full chunk's, once in some ten thousand; of the largest,
//! in one of 300. A "no" is certain, for whole cells and tokens. Of a token with letters beyond ASCII the runs of ASCII enter, too,
//! and what is read beside an escape or a control sequence ([`parted`]); of what is written as bytes are in PostgreSQL, those bytes.

mod parted;
mod words;

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use crate::detect::unit;
use crate::limits::{
    FILTER_ENTRIES_MAX, FILTER_KEPT_BYTES, FILTER_STREAM_CELL_BYTES_MAX, FILTER_TOKEN_BYTES_MIN,
    FILTER_WAITS_BYTES_MAX,
};
use crate::sip::sip_lowercase;
use words::{ascii, tokens};

const PROBES: u64 = 8;
/// Bits for each entry at least: one in 320 by chance.
const BITS_LEAST: usize = 12;
/// The same while the filter has at most [`BYTES_FEW`] bytes: one in some three million.
const BITS_FEW: usize = 48;
const BYTES_FEW: usize = 2 << 10;
/// The probes of few bits fall together.
const BYTES_LEAST: usize = 32;
/// The same while it has at most [`BYTES_MANY`] bytes: one in 24,000.
const BITS_MANY: usize = 24;
const BYTES_MANY: usize = 32 << 10;
/// The first byte of a serialised filter.
const VERSION: u8 = 5;
const _: () = assert!(FILTER_ENTRIES_MAX * BITS_LEAST / 8 + 16 < 60_000);

/// How many bits a filter of so many entries has: a multiple of eight. A run that lasts has thousands of filters, and each of them
/// can say by chance that it may hold what nobody was given.
fn bits_of(entries: usize) -> usize {
    let few = (entries * BITS_FEW).min(8 * BYTES_FEW);
    let many = (entries * BITS_MANY).min(8 * BYTES_MANY);
    few.max(many).max(entries * BITS_LEAST).next_multiple_of(8).max(8 * BYTES_LEAST)
}

/// The key of an epoch's filters: SipHash's.
pub struct FilterKey([u8; 16]);

impl FilterKey {
    pub fn new(key: &[u8; 16]) -> FilterKey {
        FilterKey(*key)
    }

    /// Of a value without white space around it, in small letters.
    fn hash(&self, value: &[u8]) -> u64 {
        sip_lowercase(&self.0, value)
    }
}

impl std::fmt::Debug for FilterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilterKey(withheld)")
    }
}

/// Collects the entries of one chunk after another.
#[derive(Default)]
pub struct FilterBuilder {
    entries: HashSet<u64, BuildHasherDefault<Hashed>>,
    lately: Lately,
    full: bool,
}

impl FilterBuilder {
    pub fn new() -> FilterBuilder {
        FilterBuilder::default()
    }

    /// Adds a released cell, and each token in it.
    pub fn cell(&mut self, key: &FilterKey, cell: &[u8]) {
        let whole = cell.trim_ascii();
        if whole.len() < FILTER_TOKEN_BYTES_MIN || self.lately.had(whole) {
            return;
        }
        self.add(key, whole);
        self.parts(key, whole);
    }

    /// Adds a long text that is no cell of anything, but where a stream was cut: what is asked for in it has a token. One that brings no new
    /// token may have none, and enters as a whole.
    fn text(&mut self, key: &FilterKey, text: &[u8]) {
        let before = self.entries.len();
        self.parts(key, text);
        if self.entries.len() == before {
            self.add(key, text.trim_ascii());
        }
    }

    /// Adds what can be asked for in a text.
    fn parts(&mut self, key: &FilterKey, whole: &[u8]) {
        self.tokens(key, whole);
        parted::readings(whole, &mut |read| self.tokens(key, read));
        hexadecimal(whole, &mut |bytes| {
            let bytes = bytes.trim_ascii();
            if bytes.len() >= FILTER_TOKEN_BYTES_MIN {
                self.add(key, bytes);
                self.tokens(key, bytes);
            }
        });
    }

    /// What was released now holds something that was not added: a "no" of this filter is none.
    pub fn cannot_say(&mut self) {
        self.full = true;
    }

    fn tokens(&mut self, key: &FilterKey, text: &[u8]) {
        let mut enters = |token: &[u8]| {
            if !self.lately.had(token) {
                self.add(key, token);
            }
        };
        tokens(text, &mut enters);
        if !text.is_ascii() {
            ascii(text, &mut enters);
        }
    }

    fn add(&mut self, key: &FilterKey, value: &[u8]) {
        let entry = key.hash(value);
        if self.entries.len() < FILTER_ENTRIES_MAX {
            self.entries.insert(entry);
        } else if !self.entries.contains(&entry) {
            self.full = true;
        }
    }

    /// Whether there were more entries than a filter holds, or something could not be added: then its "no" is none, and the
    /// record must say so.
    pub fn full(&self) -> bool {
        self.full
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.full
    }

    /// The filter of what was added since the last one.
    pub fn take(&mut self) -> Filter {
        let mut bits = vec![0u8; bits_of(self.entries.len()) / 8];
        for &entry in &self.entries {
            for bit in probes(entry, bits.len()) {
                bits[bit / 8] |= 1 << (bit % 8);
            }
        }
        // What the next chunk will need again is kept, and no more.
        self.entries.clear();
        self.entries.shrink_to(KEPT_ENTRIES_MAX);
        self.lately.forget();
        Filter { bits, full: std::mem::take(&mut self.full) }
    }
}

/// Calls `each` with what stands behind `\x` in hexadecimal digits.
fn hexadecimal(text: &[u8], each: &mut impl FnMut(&[u8])) {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for at in memchr::memchr_iter(b'\\', text) {
        let Some(behind) = text[at..].strip_prefix(b"\\x") else { continue };
        let digits: Vec<u8> = behind.iter().map_while(digit).collect();
        if digits.len() >= 2 * FILTER_TOKEN_BYTES_MIN {
            let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            each(&bytes);
        }
    }
}

/// Room for so many entries stays with a session that waits: 9 bytes each.
const KEPT_ENTRIES_MAX: usize = 1 << 11;

/// Values that were added lately to the same filter, byte for byte: rows repeat themselves, and one that comes again need
/// not be hashed again. Forgetting costs time only; nothing is taken for added that was not.
#[derive(Default)]
struct Lately {
    /// 16 KiB and 8 KiB, as long as a chunk is collected.
    short: Slots<31, 512>,
    long: Slots<127, 64>,
    added: usize,
}

impl Lately {
    /// The reply to a small statement is over before this.
    const BEGIN: usize = 256;

    /// Another filter begins.
    fn forget(&mut self) {
        *self = Lately::default();
    }

    /// Whether `value` is remembered; from now on it is, unless it is longer than any slot.
    fn had(&mut self, value: &[u8]) -> bool {
        self.added += 1;
        match value.len() {
            _ if self.added < Lately::BEGIN => false,
            0..=31 => self.short.had(value),
            32..=127 => self.long.had(value),
            _ => false,
        }
    }
}

/// The last value of each of `N` hashes. Empty until there is reason to expect repetition.
#[derive(Default)]
struct Slots<const BYTES: usize, const N: usize>(Vec<(u8, [u8; BYTES])>);

impl<const BYTES: usize, const N: usize> Slots<BYTES, N> {
    /// Of a value of at most `BYTES`.
    fn had(&mut self, value: &[u8]) -> bool {
        let (Some(head), Some(tail)) = (value.first_chunk::<4>(), value.last_chunk::<4>()) else {
            return false;
        };
        if self.0.is_empty() {
            self.0 = vec![(0, [0; BYTES]); N];
        }
        let mix = u64::from(u32::from_le_bytes(*head)) << 32 | u64::from(u32::from_le_bytes(*tail));
        let hash = (mix ^ value.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let (length, kept) = &mut self.0[hash as usize % N];
        if kept[..usize::from(*length)] == *value {
            return true;
        }
        *length = value.len() as u8;
        kept[..value.len()].copy_from_slice(value);
        false
    }
}

/// Entries are hashes under a secret key already.
#[derive(Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.0 = self.0.rotate_left(8) ^ u64::from(b));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The filter of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    bits: Vec<u8>,
    full: bool,
}

impl Filter {
    /// Whether `value` may have been a whole cell of the chunk, or stood in one with nothing beside it that goes on with its
    /// first or last token: then all its tokens are here. `false` is certain. `None`: this filter cannot say, because the value
    /// is too short, was no whole cell and has no token that is long enough, or the chunk held too much.
    pub fn may_contain(&self, key: &FilterKey, value: &[u8]) -> Option<bool> {
        let value = value.trim_ascii();
        if value.len() < FILTER_TOKEN_BYTES_MIN {
            return None;
        }
        let has = |value: &[u8]| {
            probes(key.hash(value), self.bits.len()).all(|bit| self.bits[bit / 8] & (1 << (bit % 8)) != 0)
        };
        if has(value) {
            return Some(true);
        }
        let (mut hit, mut any) = (true, false);
        tokens(value, &mut |token| (hit, any) = (hit && has(token), true));
        (any && (hit || !self.full)).then_some(hit)
    }

    /// For the record: version, whether it overflowed, the bits.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, u8::from(self.full)], &self.bits[..]].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Filter> {
        match bytes {
            [VERSION, full @ (0 | 1), bits @ ..] if !bits.is_empty() && bits.len() <= 60_000 => {
                Some(Filter { bits: bits.to_vec(), full: *full == 1 })
            }
            _ => None,
        }
    }
}

/// The bits of one entry, by enhanced double hashing (Dillinger and Manolios, 2004); the second hash is the first one
/// mixed (splitmix64: Steele, Lea and Flood, 2014). Fewer than 2^15 entries have no use for more than 64 bits.
fn probes(mut a: u64, bytes: usize) -> impl Iterator<Item = usize> {
    // At most 480,000 (see `Filter::from_bytes`): the product of that and 32 bits fits.
    let bits = bytes as u64 * 8;
    let mut b = (a ^ a >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    b = (b ^ b >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^= b >> 31;
    (0..PROBES).map(move |i| {
        let bit = ((a >> 32) * bits) >> 32;
        a = a.wrapping_add(b);
        b = b.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bit as usize
    })
}

/// What was released of a stream that comes in pieces, on its way into filters: a token that goes on in the next piece is one.
#[derive(Default)]
pub struct FilterStream {
    /// At most [`FILTER_WAITS_BYTES_MAX`].
    begun: Vec<u8>,
}

impl FilterStream {
    pub fn new() -> FilterStream {
        FilterStream::default()
    }

    /// Adds the next piece; a token that may go on waits.
    pub fn piece(&mut self, to: &mut FilterBuilder, key: &FilterKey, released: &[u8]) {
        self.begun.extend_from_slice(released);
        let end = cut(&self.begun);
        // Where nothing ends for so long, all of it enters, and what may go on once more with what comes.
        let all = self.begun.len() - end > FILTER_WAITS_BYTES_MAX;
        let (end, goes) = match all {
            true => (self.begun.len(), self.begun.len() - FILTER_KEPT_BYTES),
            false => (end, end),
        };
        if end > 0 {
            let text = &self.begun[..end];
            match text.len() > FILTER_STREAM_CELL_BYTES_MAX {
                true => to.text(key, text),
                false => to.cell(key, text),
            }
            self.begun.drain(..goes);
        }
    }

    /// Adds what waits, too: nothing may come after the filter that is taken next.
    pub fn so_far(&self, to: &mut FilterBuilder, key: &FilterKey) {
        to.cell(key, &self.begun);
    }
}

/// Behind the last byte that ends a token.
fn last_end(text: &[u8]) -> usize {
    text.iter().rposition(|b| ends_token(*b)).map_or(0, |at| at + 1)
}

/// Up to where a text goes into the filter: behind a byte that ends a token, and in no escape, nor between one and what stands
/// right before it. An escape that may have its end in what comes waits.
fn cut(text: &[u8]) -> usize {
    let begins = begins_escape(text).unwrap_or(text.len());
    let mut end = last_end(&text[..begins]);
    while let Some(at) = escape_over(text, end) {
        end = last_end(&text[..at]);
    }
    end
}

/// Where an escape begins that may not have its end yet: the last ones have few bytes.
fn begins_escape(text: &[u8]) -> Option<usize> {
    let behind = |bytes: usize| text.len().saturating_sub(bytes);
    let sequence = text[behind(64)..].iter().rposition(|b| *b == 0x1b).map(|at| behind(64) + at);
    let other = text[behind(12)..].iter().position(|b| matches!(b, b'\\' | b'%')).map(|at| behind(12) + at);
    [sequence, other].into_iter().flatten().min()
}

/// Where an escape begins that goes on over `end`.
fn escape_over(text: &[u8], end: usize) -> Option<usize> {
    let from = end.saturating_sub(64);
    let at = from + text[from..end].iter().rposition(|b| matches!(b, 0x1b | b'\\' | b'%'))?;
    (at + unit(&text[at..], &mut Vec::new()) > end).then_some(at)
}

/// Whether no token goes over this byte: where a stream may be cut into cells without losing one.
pub fn ends_token(byte: u8) -> bool {
    !TOKEN[usize::from(byte)]
}

/// The bytes of tokens.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = b.is_ascii_alphanumeric() || b >= 0x80 || matches!(b, b'_' | b'-' | b'.' | b'@' | b'+');
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FILTER_TOKEN_BYTES_MAX;

    const KEY: [u8; 16] = [9; 16];

    fn filter(cells: &[&str]) -> Filter {
        let mut builder = FilterBuilder::new();
        cells.iter().for_each(|c| builder.cell(&FilterKey::new(&KEY), c.as_bytes()));
        builder.take()
    }

    #[test]
    fn whole_cells_and_tokens_are_in_it() {
        let filter = filter(&["John Doe, 12 Main Street", "(jo@example.com).", "id=ABC-1234"]);
        let key = FilterKey::new(&KEY);
        for value in ["john doe, 12 main street", "Street", " jo@example.com ", "abc-1234"] {
            assert_eq!(filter.may_contain(&key, value.as_bytes()), Some(true), "{value}");
        }
        assert_eq!(filter.may_contain(&key, b"John"), None, "too short to be asked for");
        assert_eq!(filter.may_contain(&FilterKey::new(&[8; 16]), b"jo@example.com"), Some(false));
    }

    #[test]
    fn bytes_as_postgres_prints_them_are_in_it() {
        let key = FilterKey::new(&KEY);
        // quebec-7788
        for text in [
            r"\x7175656265632d37373838",
            r#"{"\\x7175656265632D37373838"}"#,
            "1\t\\\\x7175656265632d37373838\t2",
        ] {
            let filter = filter(&[text]);
            assert_eq!(filter.may_contain(&key, b"quebec-7788"), Some(true), "{text}");
            assert_eq!(filter.may_contain(&key, b"quebec-7789"), Some(false), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_added_takes_the_no_and_leaves_the_yes() {
        let (key, mut builder) = (FilterKey::new(&KEY), FilterBuilder::new());
        builder.cell(&key, b"quebec-7788");
        builder.cannot_say();
        let filter = builder.take();
        assert_eq!(filter.may_contain(&key, b"quebec-7788"), Some(true));
        assert_eq!(filter.may_contain(&key, b"quebec-7789"), None);
        builder.cell(&key, b"quebec-7788");
        assert_eq!(builder.take().may_contain(&key, b"quebec-7789"), Some(false));
    }

    #[test]
    fn a_value_in_a_text_is_in_it_by_its_tokens() {
        let text = "quux pa/quebec77 then S3cret! and AKIA/x+y=; ROMEO SIERRA88\n";
        let (filter, key) = (filter(&[text]), FilterKey::new(&KEY));
        for value in ["pa/quebec77", "S3cret!", "ROMEO SIERRA88", "then S3cret!"] {
            assert_eq!(filter.may_contain(&key, value.as_bytes()), Some(true), "{value}");
        }
        for value in ["pa/quebec78", "T3cret!", "ROMEO SIERRA89"] {
            assert_eq!(filter.may_contain(&key, value.as_bytes()), Some(false), "{value}");
        }
        assert_eq!(filter.may_contain(&key, b"a/b/c/d/e"), None, "no token of it is long enough");
    }

    #[test]
    fn what_stands_beside_an_escape_is_a_token() {
        let key = FilterKey::new(&KEY);
        let secret = "GOLFHOTELIN22";
        for (before, behind) in [
            ("\x1b[31m", "\x1b[0m"),
            ("\x1b[m", ""),
            ("word\x1b[1;38;2;1;2;3m", "\x1b[K"),
            ("\x1b(B", "\x1b=next"),
            ("12\x1b[3;4H", ""),
            ("\x1b]0;title\x07", ""),
            (r"line\n", r"\tnext"),
            (r"line\\n", r"\\nnext"),
            (r"\u00e9", r"\u0020"),
            ("a%20", "%2Fb"),
            ("\u{e9}", "\u{fc}"),
            ("\u{200b}", "\u{200b}x"),
        ] {
            let text = format!("some {before}{secret}{behind} text");
            for step in [1, 3, 7, 4096] {
                let (mut builder, mut stream) = (FilterBuilder::new(), FilterStream::new());
                text.as_bytes().chunks(step).for_each(|piece| stream.piece(&mut builder, &key, piece));
                stream.so_far(&mut builder, &key);
                let filter = builder.take();
                assert_eq!(filter.may_contain(&key, secret.as_bytes()), Some(true), "{text:?} by {step}");
                assert_eq!(filter.may_contain(&key, b"GOLFHOTELIN23"), Some(false), "{text:?} by {step}");
            }
        }
        // Text in JSON in JSON in JSON; and a pair of escapes that is one character.
        let (mut builder, nested) = (FilterBuilder::new(), r"x\\\\\\\\nGOLFHOTELIN22\\\\\\\\n");
        builder.cell(&key, nested.as_bytes());
        builder.cell(&key, r#"{"a": "\ud842\udfb7\u7530\u3055\u3093"}"#.as_bytes());
        let deep = builder.take();
        assert_eq!(deep.may_contain(&key, secret.as_bytes()), Some(true));
        assert_eq!(deep.may_contain(&key, "𠮷田さん".as_bytes()), Some(true));
        // A terminal shows one word.
        let filter = filter(&["\x1b[1mGOLF\x1b[0mHOTELIN22", r"Jos\u00e9-Mar\u00eda"]);
        assert_eq!(filter.may_contain(&key, secret.as_bytes()), Some(true));
        assert_eq!(filter.may_contain(&key, "José-María".as_bytes()), Some(true));
    }

    #[test]
    fn what_stands_beside_punctuation_beyond_ascii_is_a_token() {
        let key = FilterKey::new(&KEY);
        let han = "\u{6f22}".repeat(120);
        for (before, value, behind) in [
            ("\u{300c}", "\u{5c71}\u{7530}\u{592a}\u{90ce}\u{5546}\u{5e97}", "\u{300d}"),
            ("\u{5951}\u{7d04}\u{300c}", "Jos\u{e9}-Mar\u{ed}a", "\u{300d}"),
            ("\u{201c}", "M\u{fc}ller-Stra\u{df}e9", "\u{201d}"),
            ("Nom\u{a0}: ", "Jos\u{e9}-N\u{fa}\u{f1}ez", "\u{a0}."),
            // With combining marks.
            ("\u{2018}", "Jose\u{301}-Nun\u{303}ez", "\u{2019}"),
            // In prose without a blank, longer than any token.
            (&*format!("{han}\u{ff1a}"), "GOLFHOTEL22", &*format!("\u{ff0c}{han}")),
            (&*format!("{han}\u{ff1a}"), "\u{c9}RICHOTEL22", &*format!("\u{ff0c}{han}")),
        ] {
            let text = format!("{before}{value}{behind}");
            let filter = filter(&[&text]);
            assert_eq!(filter.may_contain(&key, value.as_bytes()), Some(true), "{text}");
            assert_eq!(filter.may_contain(&key, format!("{value}x").as_bytes()), Some(false), "{text}");
        }
    }

    #[test]
    fn a_token_over_two_pieces_is_in_it_where_escapes_alone_stand_between_tokens() {
        let key = FilterKey::new(&KEY);
        for between in [r"\n", "%20", "\u{3001}"] {
            let values: Vec<String> = (0..9000).map(|i| format!("TXTID-{i:06}")).collect();
            let text = values.join(between);
            for step in [1 << 16, 4096, 999, 100] {
                let (mut builder, mut stream) = (FilterBuilder::new(), FilterStream::new());
                text.as_bytes().chunks(step).for_each(|piece| stream.piece(&mut builder, &key, piece));
                stream.so_far(&mut builder, &key);
                let filter = builder.take();
                let lost =
                    values.iter().find(|value| filter.may_contain(&key, value.as_bytes()) == Some(false));
                assert_eq!(lost, None, "{between:?} by {step}");
            }
        }
    }

    /// As long as a text is, and not as long as it is times its escapes: that would be hours.
    #[test]
    fn a_text_of_escapes_alone_is_read_once() {
        let key = FilterKey::new(&KEY);
        for unit in [
            "\\n",
            "%20",
            "\x1b[m",
            "\u{200b}",
            "\\n\u{200b}",
            "a\\n ",
            "\\\\n",
            "\\ud83d\\ude00",
            "\u{300c}",
        ] {
            let mut builder = FilterBuilder::new();
            builder.cell(&key, unit.repeat((4 << 20) / unit.len()).as_bytes());
            assert!(!builder.is_empty());
        }
    }

    #[test]
    fn a_token_over_two_pieces_is_in_the_second_filter_and_its_beginning_in_the_first() {
        let (key, mut builder, mut stream) =
            (FilterKey::new(&KEY), FilterBuilder::new(), FilterStream::new());
        let mut filter = |piece: &[u8]| {
            stream.piece(&mut builder, &key, piece);
            stream.so_far(&mut builder, &key);
            builder.take()
        };
        let (first, second) = (filter(b"some words, order-77"), filter(b"219"));
        let has = |filter: &Filter, value: &[u8]| filter.may_contain(&key, value) == Some(true);
        assert!(has(&first, b"order-77") && !has(&first, b"order-77219"));
        assert!(has(&second, b"order-77219") && !has(&second, b"words"));
    }

    #[test]
    fn a_token_without_an_end_does_not_wait_for_one() {
        let key = FilterKey::new(&KEY);
        for step in [1, 200, FILTER_TOKEN_BYTES_MAX, 1 << 10] {
            let (mut builder, mut stream) = (FilterBuilder::new(), FilterStream::new());
            let all = vec![b'a'; 1 << 20];
            for piece in all.chunks(step) {
                stream.piece(&mut builder, &key, piece);
                assert!(stream.begun.len() <= FILTER_WAITS_BYTES_MAX, "{step}: {}", stream.begun.len());
            }
            stream.piece(&mut builder, &key, b" order-77");
            stream.piece(&mut builder, &key, b"219 ");
            assert_eq!(builder.take().may_contain(&key, b"order-77219"), Some(true), "{step}");
        }
    }

    #[test]
    fn a_long_piece_enters_by_its_tokens_or_as_a_whole() {
        let key = FilterKey::new(&KEY);
        let (some, none) = ("word-77219 and-more, ".repeat(200), "a/b/c/".repeat(500));
        for (text, asked, says) in [
            (&some, &*some, true),
            (&some, "word-77219", true),
            (&some, "word-77218", false),
            (&none, &*none, true),
        ] {
            let (mut builder, mut stream) = (FilterBuilder::new(), FilterStream::new());
            stream.piece(&mut builder, &key, text.as_bytes());
            stream.so_far(&mut builder, &key);
            assert!(!builder.is_empty());
            assert_eq!(builder.take().may_contain(&key, asked.as_bytes()), Some(says), "{}", &asked[..10]);
        }
    }

    #[test]
    fn the_longest_token_is_in_it_however_it_is_cut() {
        let key = FilterKey::new(&KEY);
        let token = "ab12".repeat(FILTER_TOKEN_BYTES_MAX / 4);
        for step in [1, 7, 200, 255, 256, 300] {
            let (mut builder, mut stream) = (FilterBuilder::new(), FilterStream::new());
            let text = format!("x {token} y");
            text.as_bytes().chunks(step).for_each(|piece| stream.piece(&mut builder, &key, piece));
            stream.so_far(&mut builder, &key);
            assert_eq!(builder.take().may_contain(&key, token.as_bytes()), Some(true), "{step}");
        }
    }

    #[test]
    fn it_says_no_to_almost_all_that_is_not_in_it() {
        let cells: Vec<String> = (0..5000).map(|i| format!("value{i}")).collect();
        let filter = filter(&cells.iter().map(String::as_str).collect::<Vec<_>>());
        let key = FilterKey::new(&KEY);
        assert!(cells.iter().all(|c| filter.may_contain(&key, c.as_bytes()) == Some(true)));
        let wrong =
            (0..100_000).filter(|i| filter.may_contain(&key, format!("other{i}").as_bytes()) == Some(true));
        let wrong = wrong.count();
        assert!(wrong < 600, "{wrong} of 100,000");
    }

    #[test]
    fn many_filters_together_say_no_to_what_is_in_none() {
        let key = FilterKey::new(&KEY);
        for (entries, filters, most) in
            [(1, 5_000, 0), (5, 5_000, 1), (40, 2_000, 2), (300, 300, 1), (5_000, 40, 6)]
        {
            let mut by_chance = 0;
            for n in 0..filters {
                let cells: Vec<String> = (0..entries).map(|i| format!("value{n}-{i}")).collect();
                let filter = filter(&cells.iter().map(String::as_str).collect::<Vec<_>>());
                let asked = (0..100).map(|i| format!("other{n}-{i}"));
                by_chance += asked.filter(|v| filter.may_contain(&key, v.as_bytes()) == Some(true)).count();
            }
            assert!(by_chance <= most, "{by_chance} of {filters} filters of {entries} entries");
        }
    }

    #[test]
    fn serialised_it_is_the_same_and_noise_is_refused() {
        let filter = filter(&["something"]);
        assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter));
        for bad in [&b""[..], &[5], &[5, 0], &[4, 0, 1], &[5, 2, 1]] {
            assert_eq!(Filter::from_bytes(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn values_that_are_remembered_are_in_it_and_others_that_look_alike_too() {
        let key = FilterKey::new(&KEY);
        let mut builder = FilterBuilder::new();
        // Heads and tails alike, so that they share a slot; each comes again after another took its place.
        let values: Vec<String> = (0..300).map(|i| format!("same-{i:05}-tail")).collect();
        for _ in 0..3 {
            values.iter().for_each(|value| builder.cell(&key, value.as_bytes()));
        }
        assert_eq!(builder.entries.len(), values.len());
        let filter = builder.take();
        assert!(values.iter().all(|value| filter.may_contain(&key, value.as_bytes()) == Some(true)));
    }

    #[test]
    fn one_that_overflowed_never_says_no() {
        let key = FilterKey::new(&KEY);
        let mut builder = FilterBuilder::new();
        (0..FILTER_ENTRIES_MAX).for_each(|i| builder.cell(&key, format!("value{i}").as_bytes()));
        assert!(!builder.full());
        builder.cell(&key, b"value0");
        assert!(!builder.full(), "a repeated value takes no room");
        builder.cell(&key, b"one more");
        assert!(builder.full());
        let filter = builder.take();
        assert!(filter.to_bytes().len() < 60_000);
        let no = (0..100)
            .find_map(|i| filter.may_contain(&key, format!("absent{i}").as_bytes()).filter(|hit| !hit));
        assert_eq!(no, None);
    }
}
