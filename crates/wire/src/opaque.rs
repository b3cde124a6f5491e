//! Bytes of a peer that may be secret. Their `Debug` prints a length and never a byte.

use bytes::Bytes;
use std::borrow::Borrow;
use std::fmt;

/// A field as a peer sent it: a name, a statement, a value. Bytes stay bytes; no encoding is assumed.
///
/// ```
/// let field = wire::RawField::from_static(b"078-05-1120");
/// assert_eq!(format!("{field:?}"), "RawField(11 bytes)");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawField(Bytes);

impl RawField {
    pub fn new(bytes: Bytes) -> RawField {
        RawField(bytes)
    }

    pub const fn from_static(bytes: &'static [u8]) -> RawField {
        RawField(Bytes::from_static(bytes))
    }

    pub fn copy_from(bytes: &[u8]) -> RawField {
        RawField(Bytes::copy_from_slice(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared slice itself, without copying.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Another handle on the same memory.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The field as text, if it is UTF-8; never lossy.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Bytes> for RawField {
    fn from(bytes: Bytes) -> RawField {
        RawField(bytes)
    }
}

impl AsRef<[u8]> for RawField {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// So that maps keyed by `RawField` can be asked with a slice.
impl Borrow<[u8]> for RawField {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RawField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawField({} bytes)", self.0.len())
    }
}

/// The exact bytes that a client sent, kept while policy and people decide about them.
/// What an approval binds to is the commitment over these, and over what would be sent in their place.
#[derive(Clone, PartialEq, Eq)]
pub struct Held(Bytes);

impl Held {
    pub fn new(bytes: Bytes) -> Held {
        Held(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} bytes)", self.0.len())
    }
}

/// `SHA-256(32 random bytes || bytes)`: says which bytes were meant without saying what they were. Whoever stores
/// or shows a digest of a peer's bytes uses this; a bare hash of a short statement is that statement.
/// The hashing is done where randomness is to be had, which is not here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commitment(pub [u8; 32]);

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_byte() {
        assert_eq!(format!("{:?}", Some(RawField::from_static(b"secret"))), "Some(RawField(6 bytes))");
        assert_eq!(format!("{:?}", Held::new(Bytes::from_static(b"select"))), "Held(6 bytes)");
        assert_eq!(format!("{:?}", Commitment([0xab; 32])), "abababababab");
    }

    #[test]
    fn text_is_never_lossy() {
        assert_eq!(RawField::from_static(b"caf\xe9").to_str(), None);
        assert_eq!(RawField::from_static("café".as_bytes()).to_str(), Some("café"));
    }
}
