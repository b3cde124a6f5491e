//! Attributes of a file. Spec: draft-ietf-secsh-filexfer-02, section 5.

use crate::limits::EXTENDED_ATTRIBUTES_MAX;
use crate::strings::{put_string, put_u64, string};
use wire::{Fault, RawField, Reader, Writer, kind};

const SIZE: u32 = 0x1;
const OWNER: u32 = 0x2;
const PERMISSIONS: u32 = 0x4;
const TIMES: u32 = 0x8;
const EXTENDED: u32 = 0x8000_0000;

/// What is told of a file, or asked to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attrs {
    /// Bytes.
    pub size: Option<u64>,
    /// Numbers of user and group.
    pub owner: Option<(u32, u32)>,
    /// As `st_mode`: permissions, and in replies the type.
    pub permissions: Option<u32>,
    /// Seconds since 1970 of the last read and the last write.
    pub times: Option<(u32, u32)>,
    /// Types and values; `Some` of none and `None` are different bytes.
    pub extended: Option<Vec<(RawField, RawField)>>,
}

impl Attrs {
    /// Errors, on the reader's side: `TRUNCATED`, `BAD_VALUE` for a flag that version 3 has not (nobody knows how long its
    /// field is), `TOO_MANY` above [`EXTENDED_ATTRIBUTES_MAX`].
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Attrs, Fault> {
        let flags = r.u32()?;
        if flags & !(SIZE | OWNER | PERMISSIONS | TIMES | EXTENDED) != 0 {
            return Err(r.fault(kind::BAD_VALUE, "an attribute that version 3 of SFTP has not"));
        }
        let has = |flag: u32| flags & flag != 0;
        Ok(Attrs {
            size: has(SIZE).then(|| r.u64()).transpose()?,
            owner: has(OWNER).then(|| pair(r)).transpose()?,
            permissions: has(PERMISSIONS).then(|| r.u32()).transpose()?,
            times: has(TIMES).then(|| pair(r)).transpose()?,
            extended: has(EXTENDED).then(|| extended(r)).transpose()?,
        })
    }

    pub(crate) fn put(&self, w: &mut Writer<'_>) {
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        w.u32(
            flag(self.size.is_some(), SIZE)
                | flag(self.owner.is_some(), OWNER)
                | flag(self.permissions.is_some(), PERMISSIONS)
                | flag(self.times.is_some(), TIMES)
                | flag(self.extended.is_some(), EXTENDED),
        );
        if let Some(size) = self.size {
            put_u64(w, size);
        }
        if let Some((first, second)) = self.owner {
            w.u32(first);
            w.u32(second);
        }
        if let Some(permissions) = self.permissions {
            w.u32(permissions);
        }
        if let Some((first, second)) = self.times {
            w.u32(first);
            w.u32(second);
        }
        if let Some(extended) = &self.extended {
            put_extended(w, extended);
        }
    }
}

fn pair(r: &mut Reader<'_>) -> Result<(u32, u32), Fault> {
    Ok((r.u32()?, r.u32()?))
}

fn extended(r: &mut Reader<'_>) -> Result<Vec<(RawField, RawField)>, Fault> {
    let count = r.u32()?;
    if usize::try_from(count).map_or(true, |count| count > EXTENDED_ATTRIBUTES_MAX) {
        return Err(r.fault(kind::TOO_MANY, "more extended attributes than the gateway accepts"));
    }
    (0..count).map(|_| Ok((string(r)?, string(r)?))).collect()
}

fn put_extended(w: &mut Writer<'_>, extended: &[(RawField, RawField)]) {
    match u32::try_from(extended.len()) {
        Ok(count) => w.u32(count),
        Err(_) => w.fail(kind::TOO_MANY, "more extended attributes than a packet holds"),
    }
    for (name, value) in extended {
        put_string(w, name.as_bytes());
        put_string(w, value.as_bytes());
    }
}
