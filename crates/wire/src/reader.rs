//! The one way to read a peer's bytes.

use crate::fault::{Fault, Side, kind};
use bytes::Bytes;

/// Reads big-endian fields from the body of one message. Every read is checked against what is really there, and
/// [`finish`](Reader::finish) refuses what trails. Slices share the body's memory.
///
/// Errors are [`kind::TRUNCATED`], [`kind::UNTERMINATED`] and [`kind::TRAILING_BYTES`], on the side given to `new`.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    body: &'a Bytes,
    at: usize,
    side: Side,
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the message in faults.
    pub fn new(body: &'a Bytes, side: Side, what: &'static str) -> Reader<'a> {
        Reader { body, at: 0, side, what }
    }

    pub fn u8(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[b]| b)
    }

    pub fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Fault> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let slice = self.slice(N)?;
        slice.try_into().map_err(|_| self.truncated())
    }

    /// The next `len` bytes, borrowed.
    pub fn slice(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(len).ok_or_else(|| self.truncated())?;
        let slice = self.body.get(self.at..end).ok_or_else(|| self.truncated())?;
        self.at = end;
        Ok(slice)
    }

    /// The next `len` bytes, sharing the body's memory.
    pub fn bytes(&mut self, len: usize) -> Result<Bytes, Fault> {
        let start = self.at;
        self.slice(len)?;
        Ok(self.body.slice(start..self.at))
    }

    /// Bytes up to a zero, which is consumed and not returned.
    pub fn cstr(&mut self) -> Result<Bytes, Fault> {
        let start = self.at;
        let zero = self.rest().iter().position(|b| *b == 0).ok_or_else(|| {
            self.fault(kind::UNTERMINATED, "a string in the message has no terminating zero")
        })?;
        self.at = start + zero + 1;
        Ok(self.body.slice(start..start + zero))
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> Bytes {
        let rest = self.body.slice(self.at..);
        self.at = self.body.len();
        rest
    }

    pub fn remaining(&self) -> usize {
        self.body.len() - self.at
    }

    /// Refuses what trails.
    pub fn finish(self) -> Result<(), Fault> {
        if self.remaining() == 0 {
            return Ok(());
        }
        Err(self.fault(kind::TRAILING_BYTES, "the message is longer than its fields"))
    }

    /// A fault on this reader's side, in this reader's message.
    pub fn fault(&self, kind: &'static str, outward: &'static str) -> Fault {
        Fault::new(self.side, kind, outward, self.what)
    }

    fn rest(&self) -> &'a [u8] {
        // `at` never passes the end: only `slice`, `cstr` and `take_rest` move it, to places that they checked.
        self.body.get(self.at..).unwrap_or_default()
    }

    fn truncated(&self) -> Fault {
        self.fault(kind::TRUNCATED, "the message is shorter than its fields")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(body: &Bytes) -> Reader<'_> {
        Reader::new(body, Side::Client, "Test")
    }

    #[test]
    fn reads_big_endian_and_shares_memory() {
        let body = Bytes::from_static(b"\x01\x02\x03\xff\xff\xff\xfeab\0rest");
        let mut r = reader(&body);
        assert_eq!((r.u8(), r.u16(), r.i32()), (Ok(1), Ok(0x0203), Ok(-2)));
        let name = r.cstr().unwrap();
        assert_eq!(name.as_ptr(), body.slice(7..).as_ptr());
        assert_eq!((&name[..], &r.take_rest()[..]), (&b"ab"[..], &b"rest"[..]));
        r.finish().unwrap();
    }

    #[test]
    fn no_length_reads_past_the_end() {
        let body = Bytes::from_static(b"abc");
        for len in [4, usize::MAX, usize::MAX - 1, 1 << 31] {
            let mut r = reader(&body);
            r.u8().unwrap();
            assert_eq!(r.bytes(len).unwrap_err().kind, kind::TRUNCATED);
            assert_eq!(r.remaining(), 2, "a failed read consumes nothing");
        }
        assert_eq!(reader(&body).u32().unwrap_err().kind, kind::TRUNCATED);
    }

    #[test]
    fn finish_rejects_what_trails() {
        let body = Bytes::from_static(b"ab\0c");
        let mut r = reader(&body);
        r.cstr().unwrap();
        assert_eq!(r.clone().cstr().unwrap_err().kind, kind::UNTERMINATED);
        assert_eq!(
            r.finish().unwrap_err(),
            Fault::new(Side::Client, kind::TRAILING_BYTES, "the message is longer than its fields", "Test")
        );
    }
}
