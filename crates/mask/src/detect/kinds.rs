//! What the bytes of a block are, one bit a byte; and which bytes there are in a text at all.

use wide::u8x16;

pub(super) const BLOCK: usize = 64;

/// Bit `i` says that byte `i` of a block is of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub digit: u64,
    pub zero: u64,
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
        let dash = lanes.is(b'-');
        Kinds {
            digit: lanes.within(b'0', b'9'),
            zero: lanes.is(b'0'),
            upper: lanes.within(b'A', b'Z'),
            dash,
            space: lanes.is(b' '),
            plus: lanes.is(b'+'),
            rare: dash | [b'@', b'_', b'/', b'A', b'J'].iter().fold(0, |bits, byte| bits | lanes.is(*byte)),
        }
    }
}

/// A block, to be compared sixteen bytes at a time.
struct Lanes([u8x16; 4]);

impl Lanes {
    fn of(block: &[u8; BLOCK]) -> Lanes {
        let (lanes, _) = block.as_chunks::<16>();
        Lanes(std::array::from_fn(|i| lanes.get(i).map_or(u8x16::ZERO, |lane| u8x16::new(*lane))))
    }

    fn is(&self, byte: u8) -> u64 {
        let byte = u8x16::splat(byte);
        self.bits(|lane| lane.simd_eq(byte))
    }

    /// From `low` to `high`, both included.
    fn within(&self, low: u8, high: u8) -> u64 {
        let (from, width) = (u8x16::splat(low), u8x16::splat(high - low));
        self.bits(|lane| (lane - from).simd_eq((lane - from).min(width)))
    }

    fn bits(&self, which: impl Fn(u8x16) -> u8x16) -> u64 {
        let [a, b, c, d] = self.0.map(|lane| u64::from(which(lane).to_bitmask()));
        a | b << 16 | c << 32 | d << 48
    }
}

/// Which bytes there are of those that begin what [`super::deep`] undoes in a transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub percent: bool,
    pub backslash: bool,
    /// An ESC, or the first byte of a zero-width or soft character.
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
            soft |= is(0x1b) | is(0xc2) | is(0xe2) | is(0xef);
            zero |= is(0);
        }
        let any = |found: u8x16| found.to_bitmask() != 0;
        Marks { percent: any(percent), backslash: any(backslash), soft: any(soft), zero: any(zero) }
    }
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
                    zero: here(byte == b'0'),
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
    fn every_mark_at_every_place_is_seen() {
        for byte in 0..=255u8 {
            for length in [1, 15, 16, 17, 40] {
                for place in 0..length {
                    let mut text = vec![b'x'; length];
                    text[place] = byte;
                    let expect = Marks {
                        percent: byte == b'%',
                        backslash: byte == b'\\',
                        soft: matches!(byte, 0x1b | 0xc2 | 0xe2 | 0xef),
                        zero: byte == 0,
                    };
                    assert_eq!(Marks::of(&text), expect, "{byte} at {place} of {length}");
                }
            }
        }
        assert_eq!(Marks::of(b""), Marks::default());
    }
}
