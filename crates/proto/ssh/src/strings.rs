//! The strings of SSH (RFC 4251, section 5), which SFTP shares: four bytes of length and the bytes.

use wire::{Fault, RawField, Reader, Writer};

/// Errors, on the reader's side: `TRUNCATED`.
pub(crate) fn string(r: &mut Reader<'_>) -> Result<RawField, Fault> {
    let length = r.u32()?;
    // A length that no usize holds is longer than what is there.
    Ok(r.bytes(usize::try_from(length).unwrap_or(usize::MAX))?.into())
}

/// As [`string`], of at most `max` bytes. Errors: `TRUNCATED`, `TOO_LARGE`.
pub(crate) fn string_within(r: &mut Reader<'_>, max: usize) -> Result<RawField, Fault> {
    let string = string(r)?;
    match string.len() <= max {
        true => Ok(string),
        false => Err(r.fault(wire::kind::TOO_LARGE, "a string is longer than the gateway accepts")),
    }
}

pub(crate) fn put_string(w: &mut Writer<'_>, bytes: &[u8]) {
    w.length(bytes.len());
    w.bytes(bytes);
}

pub(crate) fn put_u64(w: &mut Writer<'_>, value: u64) {
    w.bytes(&value.to_be_bytes());
}
