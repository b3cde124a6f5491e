//! The one way to write a message.

use crate::fault::{Fault, Side, kind};
use bytes::{BufMut, BytesMut};

/// Appends big-endian fields to a buffer. A message that cannot be written (a zero inside a zero-terminated string,
/// a length that does not fit its field) leaves the buffer as it was: [`finish`](Writer::finish) says so.
#[derive(Debug)]
#[must_use = "call finish(): it says whether the message was written"]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    start: usize,
    what: &'static str,
    failed: Option<Fault>,
}

/// The place of a length field that is filled in later.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl<'a> Writer<'a> {
    /// `what` names the message in faults, which are the gateway's own.
    pub fn new(out: &'a mut BytesMut, what: &'static str) -> Writer<'a> {
        let start = out.len();
        Writer { out, start, what, failed: None }
    }

    pub fn u8(&mut self, value: u8) {
        self.out.put_u8(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.out.put_u16(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.out.put_u32(value);
    }

    pub fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// The bytes and a terminating zero. A zero inside fails the message.
    pub fn cstr(&mut self, bytes: &[u8]) {
        if bytes.contains(&0) {
            self.fail(kind::INTERIOR_ZERO, "a zero byte cannot be sent inside a string");
        }
        self.out.put_slice(bytes);
        self.out.put_u8(0);
    }

    /// A count in 16 bits; more than 65,535 fails the message.
    pub fn count(&mut self, count: usize) {
        match u16::try_from(count) {
            Ok(count) => self.u16(count),
            Err(_) => self.fail(kind::TOO_MANY, "more than 65535 elements"),
        }
    }

    /// A length in 32 bits, not negative as a signed number.
    pub fn length(&mut self, length: usize) {
        match i32::try_from(length) {
            Ok(length) => self.i32(length),
            Err(_) => self.fail(kind::TOO_LARGE, "a field of 2 GiB or more"),
        }
    }

    /// Leaves four bytes for a length.
    pub fn mark(&mut self) -> Mark {
        let mark = Mark(self.out.len());
        self.u32(0);
        mark
    }

    /// Fills in how many bytes were written from `mark` on, the four bytes of the length included.
    pub fn fill(&mut self, mark: Mark) {
        let length = self.out.len().saturating_sub(mark.0);
        let place = self.out.get_mut(mark.0..).and_then(<[u8]>::first_chunk_mut::<4>);
        match (i32::try_from(length), place) {
            (Ok(length), Some(place)) => *place = length.to_be_bytes(),
            _ => self.fail(kind::TOO_LARGE, "a message of 2 GiB or more"),
        }
    }

    /// Fails the message: `finish` will give this fault, the first one given.
    pub fn fail(&mut self, kind: &'static str, outward: &'static str) {
        self.failed.get_or_insert(Fault::new(Side::Gateway, kind, outward, self.what));
    }

    /// Ends the message. On `Err` the buffer is as it was before.
    pub fn finish(self) -> Result<(), Fault> {
        match self.failed {
            None => Ok(()),
            Some(fault) => {
                self.out.truncate(self.start);
                Err(fault)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_filled_in() {
        let mut out = BytesMut::from(&b"x"[..]);
        let mut w = Writer::new(&mut out, "Test");
        let mark = w.mark();
        w.cstr(b"ab");
        w.fill(mark);
        w.finish().unwrap();
        assert_eq!(&out[..], b"x\0\0\0\x07ab\0");
    }

    #[test]
    fn a_failed_message_leaves_nothing() {
        let mut out = BytesMut::from(&b"x"[..]);
        let mut w = Writer::new(&mut out, "Test");
        w.u32(1);
        w.cstr(b"a\0b");
        w.count(70_000);
        assert_eq!(w.finish().unwrap_err().kind, kind::INTERIOR_ZERO);
        assert_eq!(&out[..], b"x");
    }
}
