//! What the bytes of a block are, one bit a byte; and which bytes there are in a text at all.

use std::ops::Range;

use wide::u8x16;

pub(crate) const BLOCK: usize = 64;

/// Bit `i` says that byte `i` of a block is of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub digit: u64,
    pub upper: u64,
    pub dash: u64,
    pub space: u64,
    pub plus: u64,
    /// One of `@ - _ / A J`.
    pub rare: u64,
}

impl Kinds {
    pub(super) fn of(block: &[u8; BLOCK]) -> Kinds {
        let lanes = Lanes::of(block);
        Kinds {
            digit: lanes.within(b'0', b'9'),
            upper: lanes.within(b'A', b'Z'),
            dash: lanes.is(b'-'),
            space: lanes.is(b' '),
            plus: lanes.is(b'+'),
            rare: lanes.any([b'@', b'-', b'_', b'/', b'A', b'J']),
        }
    }
}

/// What decoded bytes could hide a value with: one bit a byte of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hopes {
    /// ASCII from space to tilde.
    pub printable: u64,
    /// An `@`, and what begins an escape, UTF-16 or what splits characters.
    pub special: u64,
}

impl Hopes {
    pub(super) fn of(block: &[u8; BLOCK]) -> Hopes {
        let lanes = Lanes::of(block);
        Hopes {
            printable: lanes.within(b' ', b'~'),
            special: lanes.any([b'@', b'%', b'\\', 0, 0x1b, 0xc2, 0xe2, 0xef]),
        }
    }
}

/// What ends a string of JSON, and what is not simply itself in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quoted {
    /// A quote or a backslash.
    pub ends: u64,
    /// A control character, or a byte that is not ASCII.
    pub odd: u64,
}

impl Quoted {
    pub(crate) fn of(block: &[u8; BLOCK]) -> Quoted {
        let lanes = Lanes::of(block);
        Quoted {
            ends: lanes.any([b'"', b'\\']),
            odd: lanes.bits(|lane| within(lane, 0, 0x1f) | within(lane, 0x80, 0xff)),
        }
    }
}

/// Which bytes of a block are of base64 or base64url; hexadecimal digits are among them.
pub(super) fn of_base64(block: &[u8; BLOCK]) -> u64 {
    let small = u8x16::splat(0x20);
    Lanes::of(block).bits(|lane| {
        let is = |byte: u8| lane.simd_eq(u8x16::splat(byte));
        // With the bit of small letters, no other byte is one: those from 0x41 to 0x5a are the capitals.
        let letter = within(lane | small, b'a', b'z');
        letter | within(lane, b'0', b'9') | is(b'+') | is(b'/') | is(b'-') | is(b'_')
    })
}

/// Which bytes of a block are of the tokens of [`crate::Filter`].
pub(crate) fn of_token(block: &[u8; BLOCK]) -> u64 {
    let small = u8x16::splat(0x20);
    Lanes::of(block).bits(|lane| {
        let is = |byte: u8| lane.simd_eq(u8x16::splat(byte));
        let letter = within(lane | small, b'a', b'z') | within(lane, 0x80, 0xff);
        letter | within(lane, b'0', b'9') | is(b'_') | is(b'-') | is(b'.') | is(b'@') | is(b'+')
    })
}

/// The runs of at least `MIN` bytes that a block's bits are set for, in order; each as long as it is.
pub(crate) struct Runs<'a, F, const MIN: usize> {
    bytes: &'a [u8],
    of: F,
    /// Where the block begins that is looked at.
    at: usize,
    /// Its bits, and the next block's.
    here: u64,
    after: u64,
    /// Where in it long runs begin that have not been said.
    starts: u64,
}

impl<'a, F: Fn(&[u8; BLOCK]) -> u64, const MIN: usize> Runs<'a, F, MIN> {
    /// Of a byte that is [`DELETE`] no bit is set.
    pub(crate) fn of(bytes: &'a [u8], of: F) -> Runs<'a, F, MIN> {
        const { assert!(0 < MIN && MIN <= BLOCK) };
        let (here, after) = (block_at(bytes, 0, &of), block_at(bytes, BLOCK, &of));
        let mut runs = Runs { bytes, of, at: 0, here, after, starts: 0 };
        runs.starts = runs.long(0);
        runs
    }

    /// Where in the block long runs begin, with the bits of the block before.
    fn long(&self, before: u64) -> u64 {
        let mut row = self.both();
        let mut have = 1;
        while have < MIN {
            let step = have.min(MIN - have);
            row &= row >> step;
            have += step;
        }
        row as u64 & !(self.here << 1 | before >> 63)
    }

    fn both(&self) -> u128 {
        u128::from(self.here) | u128::from(self.after) << BLOCK
    }

    /// The run that begins at the `i`-th byte of the block.
    fn run(&self, i: u32) -> Range<usize> {
        let start = self.at + i as usize;
        let mut end = start + (self.both() >> i).trailing_ones() as usize;
        let mut more = if end == self.at + 2 * BLOCK { BLOCK } else { 0 };
        while more == BLOCK {
            more = block_at(self.bytes, end, &self.of).trailing_ones() as usize;
            end += more;
        }
        start..end
    }
}

impl<F: Fn(&[u8; BLOCK]) -> u64, const MIN: usize> Iterator for Runs<'_, F, MIN> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while self.starts == 0 {
            self.at += BLOCK;
            if self.at >= self.bytes.len() {
                return None;
            }
            let before = std::mem::replace(&mut self.here, self.after);
            self.after = block_at(self.bytes, self.at + BLOCK, &self.of);
            self.starts = self.long(before);
        }
        let run = self.run(self.starts.trailing_zeros());
        self.starts &= self.starts - 1;
        Some(run)
    }
}

/// What `of` says of the block at `at`, filled up with bytes of no kind; of no bytes nothing is said.
pub(crate) fn block_at<T: Default>(bytes: &[u8], at: usize, of: impl Fn(&[u8; BLOCK]) -> T) -> T {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<BLOCK>() {
        Some(block) => of(block),
        None if rest.is_empty() => T::default(),
        None => {
            let mut last = [DELETE; BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            of(&last)
        }
    }
}

/// It is in nothing that is looked for.
pub(super) const DELETE: u8 = 0x7f;

/// A block, to be compared sixteen bytes at a time.
struct Lanes([u8x16; 4]);

impl Lanes {
    fn of(block: &[u8; BLOCK]) -> Lanes {
        let (lanes, _) = block.as_chunks::<LANE>();
        let [a, b, c, d] = lanes else { return Lanes([u8x16::ZERO; 4]) };
        Lanes([u8x16::new(*a), u8x16::new(*b), u8x16::new(*c), u8x16::new(*d)])
    }

    fn is(&self, byte: u8) -> u64 {
        self.any([byte])
    }

    /// Which are one of these.
    fn any<const N: usize>(&self, bytes: [u8; N]) -> u64 {
        self.bits(|lane| {
            bytes.iter().fold(u8x16::ZERO, |found, &byte| found | lane.simd_eq(u8x16::splat(byte)))
        })
    }

    /// From `low` to `high`, both included.
    fn within(&self, low: u8, high: u8) -> u64 {
        self.bits(|lane| within(lane, low, high))
    }

    fn bits(&self, which: impl Fn(u8x16) -> u8x16) -> u64 {
        let [a, b, c, d] = self.0;
        let bits = |lane| u64::from(which(lane).to_bitmask());
        bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
    }
}

fn within(lane: u8x16, low: u8, high: u8) -> u8x16 {
    let (from, width) = (u8x16::splat(low), u8x16::splat(high - low));
    (lane - from).simd_eq((lane - from).min(width))
}

/// Which bytes there are of those that begin what [`super::deep`] undoes in a transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub percent: bool,
    pub backslash: bool,
    /// One of [`begins_soft`].
    pub soft: bool,
    pub zero: bool,
}

impl Marks {
    pub(super) fn of(bytes: &[u8]) -> Marks {
        let (lanes, rest) = bytes.as_chunks::<LANE>();
        let mut last = [b' '; LANE];
        last[..rest.len()].copy_from_slice(rest);
        let [mut percent, mut backslash, mut soft, mut zero] = [u8x16::ZERO; 4];
        for lane in lanes.iter().chain([&last]).map(|lane| u8x16::new(*lane)) {
            let is = |byte: u8| lane.simd_eq(u8x16::splat(byte));
            percent |= is(b'%');
            backslash |= is(b'\\');
            soft |= is(0x1b) | is(0xc2) | is(0xe2) | is(0xef) | is(0xf3);
            zero |= is(0);
        }
        let any = |found: u8x16| found.to_bitmask() != 0;
        Marks { percent: any(percent), backslash: any(backslash), soft: any(soft), zero: any(zero) }
    }
}

/// An ESC, or the first byte of a zero-width or soft character.
fn begins_soft(lanes: &Lanes) -> u64 {
    lanes.any([0x1b, 0xc2, 0xe2, 0xef, 0xf3])
}

/// Where there is a byte that any transcript has, in order.
pub(crate) fn marks(bytes: &[u8]) -> impl Iterator<Item = usize> {
    places(bytes, |lanes| lanes.any([b'%', b'\\', 0]) | begins_soft(lanes))
}

/// Where there is one of [`begins_soft`], in order.
pub(super) fn soft_marks(bytes: &[u8]) -> impl Iterator<Item = usize> {
    places(bytes, begins_soft)
}

fn places(bytes: &[u8], which: impl Fn(&Lanes) -> u64) -> impl Iterator<Item = usize> {
    let of = move |block: &[u8; BLOCK]| which(&Lanes::of(block));
    let (mut next, mut here) = (0, 0_u64);
    std::iter::from_fn(move || {
        while here == 0 {
            if next >= bytes.len() {
                return None;
            }
            here = block_at(bytes, next, &of);
            // What a last block is filled up with is none.
            if let Some(left @ 1..BLOCK) = bytes.len().checked_sub(next) {
                here &= (1 << left) - 1;
            }
            next += BLOCK;
        }
        let at = next - BLOCK + here.trailing_zeros() as usize;
        here &= here - 1;
        Some(at)
    })
}

const LANE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_what_it_is() {
        for byte in 0..=255u8 {
            for place in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[place] = byte;
                let here = |is: bool| u64::from(is) << place;
                let expect = Kinds {
                    digit: here(byte.is_ascii_digit()),
                    upper: here(byte.is_ascii_uppercase()),
                    dash: here(byte == b'-'),
                    space: here(byte == b' '),
                    plus: here(byte == b'+'),
                    rare: here(b"@-_/AJ".contains(&byte)),
                };
                assert_eq!(Kinds::of(&block), expect, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn what_ends_a_string_and_what_is_odd_in_it_is_seen_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[place] = byte;
                let here = |is: bool| u64::from(is) << place;
                let (ends, odd) = (here(b"\"\\".contains(&byte)), here(byte < b' ' || !byte.is_ascii()));
                assert_eq!(Quoted::of(&block), Quoted { ends, odd }, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn every_mark_at_every_place_is_seen() {
        for byte in 0..=255u8 {
            for length in [1, 15, 16, 17, 40, 64, 65] {
                for place in 0..length {
                    let mut text = vec![b'x'; length];
                    text[place] = byte;
                    let expect = Marks {
                        percent: byte == b'%',
                        backslash: byte == b'\\',
                        soft: matches!(byte, 0x1b | 0xc2 | 0xe2 | 0xef | 0xf3),
                        zero: byte == 0,
                    };
                    assert_eq!(Marks::of(&text), expect, "{byte} at {place} of {length}");
                    let here = (expect != Marks::default()).then_some(place);
                    assert!(marks(&text).eq(here), "{byte} at {place} of {length}");
                }
            }
        }
        assert_eq!(Marks::of(b""), Marks::default());
    }

    #[test]
    fn every_byte_at_every_place_is_of_base64_and_hides_what_it_hides() {
        for byte in 0..=255u8 {
            for place in 0..BLOCK {
                let mut block = [b'!'; BLOCK];
                block[place] = byte;
                let here = |is: bool| u64::from(is) << place;
                let base64 = byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
                assert_eq!(of_base64(&block), here(base64), "{byte} at {place}");
                let special = matches!(byte, b'@' | b'%' | b'\\' | 0 | 0x1b | 0xc2 | 0xe2 | 0xef);
                let expect = Hopes {
                    printable: !(1 << place) | here((b' '..=b'~').contains(&byte)),
                    special: here(special),
                };
                assert_eq!(Hopes::of(&block), expect, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn runs_are_where_they_are_at_every_place_and_length() {
        let mut random = crate::detect::tests::Random(61);
        for round in 0..3_000 {
            // Long ones and short ones, so that some end right at a block's border.
            let mut text = Vec::new();
            for _ in 0..random.next() % 12 {
                let length = [1, 5, 6, 14, 15, 16, 50, 63, 64, 65, 129, 200][(random.next() % 12) as usize];
                text.extend(std::iter::repeat_n(b"a9_Z\xc3"[(random.next() % 5) as usize], length));
                text.extend(std::iter::repeat_n(b' ', (random.next() % 3) as usize * 31));
            }
            let (mut expect, mut at) = (Vec::new(), 0);
            for word in text.split(|b| *b == b' ') {
                expect.push(at..at + word.len());
                at += word.len() + 1;
            }
            let of = |min: usize| expect.iter().filter(|run| run.len() >= min).cloned().collect::<Vec<_>>();
            assert_eq!(Runs::<_, 1>::of(&text, of_token).collect::<Vec<_>>(), of(1), "round {round}");
            assert_eq!(Runs::<_, 6>::of(&text, of_token).collect::<Vec<_>>(), of(6), "round {round}");
            assert_eq!(Runs::<_, 15>::of(&text, of_token).collect::<Vec<_>>(), of(15), "round {round}");
            assert_eq!(Runs::<_, 64>::of(&text, of_token).collect::<Vec<_>>(), of(64), "round {round}");
        }
    }

    #[test]
    fn a_byte_is_of_a_token_as_the_filter_says() {
        for byte in 0..=255u8 {
            let block = [byte; BLOCK];
            assert_eq!(of_token(&block), if crate::ends_token(byte) { 0 } else { u64::MAX }, "{byte}");
        }
    }
}
