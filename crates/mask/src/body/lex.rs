//! The tokens of JSON: where one is read, what may follow in it, and where it ends.

use crate::detect::{BLOCK, Quoted, block_at};

/// What is pushed, read up to a place.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What before it went its way.
    done: usize,
    /// Where a block of 64 bytes begins that was looked at last, and what was seen.
    block: usize,
    quoted: Quoted,
}

/// Where a token stands that was read to its end.
#[derive(Clone, Copy)]
pub(super) enum Written<'a> {
    /// So many bytes of the input, up to where that is read.
    Here(usize),
    /// It was held.
    Held(&'a [u8]),
}

/// What a token says. A short one is copied with what stands behind it in memory and then cut: that costs no call.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    /// At least as long.
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Text<'a> {
    pub(super) fn alone(bytes: &'a [u8]) -> Text<'a> {
        Text { bytes, length: bytes.len() }
    }

    /// The first of the bytes.
    pub(super) fn of(bytes: &'a [u8], length: usize) -> Text<'a> {
        debug_assert!(length <= bytes.len());
        Text { bytes, length }
    }

    #[inline]
    pub(super) fn bytes(self) -> &'a [u8] {
        &self.bytes[..self.length]
    }

    /// Appends it and a byte.
    #[inline(always)]
    pub(super) fn copy_before(self, behind: u8, to: &mut Vec<u8>) {
        match self.bytes.first_chunk::<COPIED_BYTES>() {
            Some(block) if self.length < COPIED_BYTES => {
                let end = to.len() + self.length;
                to.extend_from_slice(block);
                to.truncate(end + 1);
                to[end] = behind;
            }
            _ => {
                to.extend_from_slice(self.bytes());
                to.push(behind);
            }
        }
    }

    /// Appends it.
    #[inline(always)]
    pub(super) fn copy(self, to: &mut Vec<u8>) {
        match self.bytes.first_chunk::<COPIED_BYTES>() {
            Some(block) if self.length <= COPIED_BYTES => {
                let end = to.len() + self.length;
                to.extend_from_slice(block);
                to.truncate(end);
            }
            _ => to.extend_from_slice(self.bytes()),
        }
    }
}

const COPIED_BYTES: usize = 32;

/// Where a string ends, of which no more is known.
pub(super) struct Ends {
    /// With its quotes.
    pub(super) length: usize,
    pub(super) escaped: bool,
    /// Whether it has a control character, or something beyond ASCII.
    pub(super) odd: bool,
}

impl<'a> Input<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes, at: 0, done: 0, block: 0, quoted: block_at(bytes, 0, Quoted::of) }
    }

    #[inline]
    pub(super) fn next(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn read(&mut self, bytes: usize) -> &'a [u8] {
        let read = &self.bytes[self.at..self.at + bytes];
        self.at += bytes;
        read
    }

    /// What is read and went nowhere yet, but for its last bytes: with them, it is done.
    pub(super) fn all_but(&mut self, last: usize) -> &'a [u8] {
        let bytes = &self.bytes[self.done..self.at - last];
        self.done = self.at;
        bytes
    }

    #[inline]
    pub(super) fn pass(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The string whose quote is next, if its end is here.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Ends> {
        let from = self.at + 1;
        self.look_at(from);
        // Most are short, and without escapes.
        let (ends, odd) = (self.quoted.ends >> (from % BLOCK), self.quoted.odd >> (from % BLOCK));
        let first = ends.trailing_zeros() as usize;
        if ends != 0 && self.bytes[from + first] == b'"' {
            return Some(Ends {
                length: first + 2,
                escaped: false,
                odd: odd.trailing_zeros() < first as u32,
            });
        }
        self.long_string()
    }

    fn long_string(&mut self) -> Option<Ends> {
        let (mut at, mut escaped, mut odd) = (self.at + 1, false, false);
        loop {
            let (end, more) = self.quote_or_backslash(at)?;
            odd |= more;
            if self.bytes[end] == b'"' {
                return Some(Ends { length: end + 1 - self.at, escaped, odd });
            }
            escaped = true;
            at = end + 2;
        }
    }

    /// Where the first is from `at` on, and whether there is anything odd before it.
    fn quote_or_backslash(&mut self, at: usize) -> Option<(usize, bool)> {
        let (mut at, mut odd) = (at, false);
        while at < self.bytes.len() {
            self.look_at(at);
            let before = at % BLOCK;
            let (ends, strange) = (self.quoted.ends >> before, self.quoted.odd >> before);
            let first = ends.trailing_zeros() as usize;
            if ends != 0 {
                return Some((at + first, odd || strange.trailing_zeros() < ends.trailing_zeros()));
            }
            odd |= strange != 0;
            at += BLOCK - before;
        }
        None
    }

    #[inline]
    fn look_at(&mut self, at: usize) {
        let block = at - at % BLOCK;
        if block != self.block {
            self.block = block;
            self.quoted = block_at(self.bytes, block, Quoted::of);
        }
    }
}

/// The token that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lex {
    Between,
    /// Whether the byte before was a backslash that escapes the next.
    String {
        escape: bool,
    },
    Number(Number),
    /// `true`, `false` or `null`: what is left of it.
    Word(&'static str),
}

/// What of a number was read last (RFC 8259, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    /// A zero at the beginning: no digit may follow.
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    ESign,
    Exponent,
}

impl Number {
    /// The first byte of a number.
    pub(super) fn begin(byte: u8) -> Option<Number> {
        match byte {
            b'-' => Some(Number::Minus),
            b'0' => Some(Number::Zero),
            b'1'..=b'9' => Some(Number::Whole),
            _ => None,
        }
    }

    /// `None`: the byte is no part of the number.
    fn next(self, byte: u8) -> Option<Number> {
        match (self, byte) {
            (Number::Minus, b'0') => Some(Number::Zero),
            (Number::Minus, b'1'..=b'9') | (Number::Whole, b'0'..=b'9') => Some(Number::Whole),
            (Number::Zero | Number::Whole, b'.') => Some(Number::Point),
            (Number::Point | Number::Fraction, b'0'..=b'9') => Some(Number::Fraction),
            (Number::Zero | Number::Whole | Number::Fraction, b'e' | b'E') => Some(Number::E),
            (Number::E, b'+' | b'-') => Some(Number::ESign),
            (Number::E | Number::ESign | Number::Exponent, b'0'..=b'9') => Some(Number::Exponent),
            _ => None,
        }
    }

    /// What of the number is here, of which so many bytes are read: how many are then.
    pub(super) fn all(mut self, bytes: &[u8], read: usize) -> (usize, Number) {
        for (i, &byte) in bytes.iter().enumerate().skip(read) {
            match self.next(byte) {
                Some(next) => self = next,
                None => return (i, self),
            }
        }
        (bytes.len(), self)
    }

    /// Whether it is a number as it is.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Number::Zero | Number::Whole | Number::Fraction | Number::Exponent)
    }
}
