//! INIT and VERSION, and the extensions that pass. Spec: draft-ietf-secsh-filexfer-02, section 4; OpenSSH's PROTOCOL,
//! section 4.
//!
//! The gateway's own INIT is what upstream sees: a client's pairs say nothing to it. Of upstream's VERSION a client sees the
//! extensions of this list in the version that is listed; what is cut out is named for the record.

use super::frame::{self, tag};
use super::message::Hello;
use crate::fault as why;
use crate::limits::{HELLO_BYTES_MAX, HELLO_PAIRS_MAX};
use crate::strings::{put_string, string};
use bytes::{Bytes, BytesMut};
use wire::{Fault, RawField, Reader, Side, kind};

/// The one version that is spoken.
pub const VERSION: u32 = 3;

/// An extension that this crate reads, and its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    PosixRename,
    Statvfs,
    Fstatvfs,
    Hardlink,
    Fsync,
    Lsetstat,
    Limits,
    ExpandPath,
    CopyData,
    HomeDirectory,
    UsersGroupsById,
}

impl Extension {
    pub const ALL: [Extension; 11] = [
        Extension::PosixRename,
        Extension::Statvfs,
        Extension::Fstatvfs,
        Extension::Hardlink,
        Extension::Fsync,
        Extension::Lsetstat,
        Extension::Limits,
        Extension::ExpandPath,
        Extension::CopyData,
        Extension::HomeDirectory,
        Extension::UsersGroupsById,
    ];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Extension::PosixRename => "posix-rename@openssh.com",
            Extension::Statvfs => "statvfs@openssh.com",
            Extension::Fstatvfs => "fstatvfs@openssh.com",
            Extension::Hardlink => "hardlink@openssh.com",
            Extension::Fsync => "fsync@openssh.com",
            Extension::Lsetstat => "lsetstat@openssh.com",
            Extension::Limits => "limits@openssh.com",
            Extension::ExpandPath => "expand-path@openssh.com",
            Extension::CopyData => "copy-data",
            Extension::HomeDirectory => "home-directory",
            Extension::UsersGroupsById => "users-groups-by-id@openssh.com",
        }
    }

    /// What VERSION says beside the name.
    pub fn version(self) -> &'static [u8] {
        match self {
            Extension::Statvfs | Extension::Fstatvfs => b"2",
            Extension::PosixRename
            | Extension::Hardlink
            | Extension::Fsync
            | Extension::Lsetstat
            | Extension::Limits
            | Extension::ExpandPath
            | Extension::CopyData
            | Extension::HomeDirectory
            | Extension::UsersGroupsById => b"1",
        }
    }

    pub fn parse(name: &[u8]) -> Option<Extension> {
        Extension::ALL.into_iter().find(|extension| extension.as_str().as_bytes() == name)
    }
}

/// Some of the extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions(u16);

impl Extensions {
    pub const NONE: Extensions = Extensions(0);

    pub fn all() -> Extensions {
        Extension::ALL.into_iter().fold(Extensions::NONE, Extensions::with)
    }

    pub fn with(self, extension: Extension) -> Extensions {
        Extensions(self.0 | bit(extension))
    }

    pub fn without(self, extension: Extension) -> Extensions {
        Extensions(self.0 & !bit(extension))
    }

    pub fn has(self, extension: Extension) -> bool {
        self.0 & bit(extension) != 0
    }
}

fn bit(extension: Extension) -> u16 {
    1 << extension as u16
}

/// What becomes of upstream's VERSION.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub passed: Extensions,
    /// Upstream's names that the client is not shown, in their order. They are upstream's bytes.
    pub cut: Vec<RawField>,
}

/// Reads upstream's VERSION and keeps what `wanted` has of it. Errors (side: upstream): `UNSUPPORTED_VERSION`.
pub fn offered(hello: &Hello, wanted: Extensions) -> Result<Offered, Fault> {
    if hello.version != VERSION {
        return Err(why::VERSION.on(Side::Upstream));
    }
    let mut offered = Offered { passed: Extensions::NONE, cut: Vec::new() };
    for (name, version) in &hello.pairs {
        let known = Extension::parse(name.as_bytes());
        match known.filter(|e| e.version() == version.as_bytes() && wanted.has(*e)) {
            Some(extension) => offered.passed = offered.passed.with(extension),
            None => offered.cut.push(name.clone()),
        }
    }
    Ok(offered)
}

/// Checks a client's INIT: it speaks at least version 3, and is answered with 3. Errors (side: client):
/// `UNSUPPORTED_VERSION`.
pub fn asked(hello: &Hello) -> Result<(), Fault> {
    match hello.version >= VERSION {
        true => Ok(()),
        false => Err(why::VERSION.on(Side::Client)),
    }
}

/// The gateway's own INIT.
pub fn init() -> Result<Bytes, Fault> {
    let mut out = BytesMut::new();
    Hello { version: VERSION, pairs: Vec::new() }.encode(&mut out, tag::INIT)?;
    Ok(out.freeze())
}

/// VERSION as a client sees it: `passed`, in the order of [`Extension::ALL`].
pub fn version(passed: Extensions) -> Result<Bytes, Fault> {
    let pair =
        |e: Extension| (RawField::from_static(e.as_str().as_bytes()), RawField::from_static(e.version()));
    let pairs = Extension::ALL.into_iter().filter(|e| passed.has(*e)).map(pair).collect();
    let mut out = BytesMut::new();
    Hello { version: VERSION, pairs }.encode(&mut out, tag::VERSION)?;
    Ok(out.freeze())
}

impl Hello {
    /// Errors, on `side`: as [`Reader`]'s; `TOO_LARGE`; `TOO_MANY` above [`HELLO_PAIRS_MAX`].
    pub(crate) fn decode(body: &Bytes, side: Side) -> Result<Hello, Fault> {
        if body.len() > HELLO_BYTES_MAX {
            return Err(why::HELLO_TOO_LARGE.on(side));
        }
        let mut r = Reader::new(body, side, "INIT or VERSION");
        let version = r.u32()?;
        let mut pairs = Vec::new();
        while r.remaining() > 0 {
            if pairs.len() == HELLO_PAIRS_MAX {
                return Err(r.fault(kind::TOO_MANY, "more extensions than the gateway accepts"));
            }
            pairs.push((string(&mut r)?, string(&mut r)?));
        }
        r.finish()?;
        Ok(Hello { version, pairs })
    }

    pub(crate) fn encode(&self, out: &mut BytesMut, tag: u8) -> Result<(), Fault> {
        frame::write(out, tag, "INIT or VERSION", |w| {
            w.u32(self.version);
            for (name, value) in &self.pairs {
                put_string(w, name.as_bytes());
                put_string(w, value.as_bytes());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version: u32, pairs: &[(&'static str, &'static str)]) -> Hello {
        let raw = |text: &'static str| RawField::from_static(text.as_bytes());
        Hello { version, pairs: pairs.iter().map(|(n, v)| (raw(n), raw(v))).collect() }
    }

    #[test]
    fn what_is_not_listed_is_cut_out_and_named() {
        let upstream = hello(
            3,
            &[
                ("posix-rename@openssh.com", "1"),
                ("statvfs@openssh.com", "1"),
                ("vendor-id", "x"),
                ("copy-data", "1"),
                ("check-file", ""),
                ("limits@openssh.com", "1"),
            ],
        );
        let wanted = Extensions::all().without(Extension::Limits);
        let offered = offered(&upstream, wanted).unwrap();
        let cut: Vec<&str> = offered.cut.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(cut, ["statvfs@openssh.com", "vendor-id", "check-file", "limits@openssh.com"]);
        let passed = Extensions::NONE.with(Extension::PosixRename).with(Extension::CopyData);
        assert_eq!(offered.passed, passed);
        let shown = version(passed).unwrap();
        let shown = Hello::decode(&shown.slice(5..), Side::Gateway).unwrap();
        assert_eq!(shown, hello(3, &[("posix-rename@openssh.com", "1"), ("copy-data", "1")]));
    }

    #[test]
    fn one_version_is_spoken() {
        assert!(asked(&hello(3, &[])).is_ok() && asked(&hello(6, &[])).is_ok());
        assert_eq!(asked(&hello(2, &[])).unwrap_err().side, Side::Client);
        for version in [0, 2, 4, u32::MAX] {
            let fault = offered(&hello(version, &[]), Extensions::all()).unwrap_err();
            assert_eq!((fault.side, fault.kind), (Side::Upstream, why::kind::UNSUPPORTED_VERSION));
        }
        assert_eq!(&init().unwrap()[..], b"\0\0\0\x05\x01\0\0\0\x03");
    }

    #[test]
    fn each_extension_is_one_bit_and_one_name() {
        for one in Extension::ALL {
            assert_eq!(Extension::parse(one.as_str().as_bytes()), Some(one));
            for other in Extension::ALL {
                assert_eq!(Extensions::NONE.with(one).has(other), one == other);
            }
        }
        assert_eq!(Extension::parse(b"copy-data\0"), None);
    }
}
