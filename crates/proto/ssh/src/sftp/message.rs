//! Packets <-> typed messages, in both directions. Spec: draft-ietf-secsh-filexfer-02, sections 4 to 8; OpenSSH's PROTOCOL,
//! section 4.
//!
//! Decoding is strict: a message must end exactly where its packet does. What decodes encodes to the same bytes. Paths,
//! handles, names and data stay [`RawField`]: no `Debug` prints them. Types and extensions that nobody here reads are told
//! as such ([`FromClient::Unknown`]), so that their refusal has their id.

use super::attrs::Attrs;
use super::frame::{self, Frame, tag};
use super::version::Extension;
use crate::fault as why;
use crate::limits::*;
use crate::strings::{put_string, put_u64, string, string_within};
use bytes::{Bytes, BytesMut};
use wire::{Fault, RawField, Reader, Side, Writer, kind};

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    Init(Hello),
    Request { id: u32, request: Request },
    Unknown { id: u32, what: Unknown },
}

/// What upstream sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromUpstream {
    Version(Hello),
    Reply { id: u32, reply: Reply },
}

/// INIT or VERSION.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub version: u32,
    /// Names of extensions and what is said of each.
    pub pairs: Vec<(RawField, RawField)>,
}

/// A request that nobody here reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    Type(u8),
    Extension(RawField),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Open {
        path: RawField,
        flags: OpenFlags,
        attrs: Attrs,
    },
    Close {
        handle: RawField,
    },
    Read {
        handle: RawField,
        offset: u64,
        length: u32,
    },
    Write {
        handle: RawField,
        offset: u64,
        data: RawField,
    },
    Lstat {
        path: RawField,
    },
    Fstat {
        handle: RawField,
    },
    Setstat {
        path: RawField,
        attrs: Attrs,
    },
    Fsetstat {
        handle: RawField,
        attrs: Attrs,
    },
    Opendir {
        path: RawField,
    },
    Readdir {
        handle: RawField,
    },
    Remove {
        path: RawField,
    },
    Mkdir {
        path: RawField,
        attrs: Attrs,
    },
    Rmdir {
        path: RawField,
    },
    Realpath {
        path: RawField,
    },
    Stat {
        path: RawField,
    },
    Rename {
        from: RawField,
        to: RawField,
    },
    Readlink {
        path: RawField,
    },
    /// In the order of the wire. To OpenSSH the first is what the link says and the second the link; in the draft it is the
    /// other way round.
    Symlink {
        first: RawField,
        second: RawField,
    },
    PosixRename {
        from: RawField,
        to: RawField,
    },
    Statvfs {
        path: RawField,
    },
    Fstatvfs {
        handle: RawField,
    },
    Hardlink {
        from: RawField,
        to: RawField,
    },
    Fsync {
        handle: RawField,
    },
    Lsetstat {
        path: RawField,
        attrs: Attrs,
    },
    Limits,
    ExpandPath {
        path: RawField,
    },
    /// `length` 0: to the end.
    CopyData {
        from: RawField,
        from_offset: u64,
        length: u64,
        to: RawField,
        to_offset: u64,
    },
    HomeDirectory {
        user: RawField,
    },
    UsersGroupsById {
        users: Vec<u32>,
        groups: Vec<u32>,
    },
}

/// The flags of an OPEN. Draft, section 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    pub const READ: u32 = 0x1;
    pub const WRITE: u32 = 0x2;
    pub const APPEND: u32 = 0x4;
    pub const CREATE: u32 = 0x8;
    pub const TRUNCATE: u32 = 0x10;
    pub const EXCLUSIVE: u32 = 0x20;

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    pub fn reads(self) -> bool {
        self.has(Self::READ)
    }

    /// Whether data may be written by the handle. A server may take APPEND alone for it.
    pub fn writes(self) -> bool {
        self.has(Self::WRITE | Self::APPEND)
    }

    /// Data goes to the end, whatever offset a WRITE says.
    pub fn appends(self) -> bool {
        self.has(Self::APPEND)
    }

    pub fn creates(self) -> bool {
        self.has(Self::CREATE)
    }

    pub fn truncates(self) -> bool {
        self.has(Self::TRUNCATE)
    }

    pub fn is_exclusive(self) -> bool {
        self.has(Self::EXCLUSIVE)
    }

    /// Whether all flags are in the draft and say how the file is opened. None of READ, WRITE and APPEND means reading to
    /// some servers; EXCLUSIVE without CREATE has no meaning.
    pub fn are_clear(self) -> bool {
        let known = Self::READ | Self::WRITE | Self::APPEND | Self::CREATE | Self::TRUNCATE | Self::EXCLUSIVE;
        self.0 & !known == 0
            && self.has(Self::READ | Self::WRITE | Self::APPEND)
            && (self.creates() || !self.is_exclusive())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Status(Status),
    Handle(RawField),
    Data(RawField),
    Name(Vec<Entry>),
    Attrs(Attrs),
    /// What it holds is known by its request: [`super::reply`].
    Extended(RawField),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    /// What upstream says, and in which language. Servers of old drafts say nothing.
    pub said: Option<(RawField, RawField)>,
}

/// The code of a status. Draft, section 7. One that version 3 has not is a failure to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

impl Code {
    pub const OK: Code = Code(0);
    pub const EOF: Code = Code(1);
    pub const NO_SUCH_FILE: Code = Code(2);
    pub const PERMISSION_DENIED: Code = Code(3);
    pub const FAILURE: Code = Code(4);
    pub const BAD_MESSAGE: Code = Code(5);
    pub const NO_CONNECTION: Code = Code(6);
    pub const CONNECTION_LOST: Code = Code(7);
    pub const OP_UNSUPPORTED: Code = Code(8);

    /// The name in the draft; `None` for a code that version 3 has not.
    pub fn name(self) -> Option<&'static str> {
        const NAMES: [&str; 9] = [
            "SSH_FX_OK",
            "SSH_FX_EOF",
            "SSH_FX_NO_SUCH_FILE",
            "SSH_FX_PERMISSION_DENIED",
            "SSH_FX_FAILURE",
            "SSH_FX_BAD_MESSAGE",
            "SSH_FX_NO_CONNECTION",
            "SSH_FX_CONNECTION_LOST",
            "SSH_FX_OP_UNSUPPORTED",
        ];
        NAMES.get(usize::try_from(self.0).ok()?).copied()
    }
}

/// One file of a NAME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub filename: RawField,
    /// A line as `ls -l` has it, with the name and names of user and group.
    pub longname: RawField,
    pub attrs: Attrs,
}

impl FromClient {
    /// Errors (side: client): as [`Reader`]'s; `TOO_LARGE` for a handle; `TOO_MANY`; `BAD_VALUE` for attributes.
    pub fn decode(frame: &Frame) -> Result<FromClient, Fault> {
        if frame.tag == tag::INIT {
            return Ok(FromClient::Init(Hello::decode(&frame.body, Side::Client)?));
        }
        let mut r = Reader::new(&frame.body, Side::Client, "sftp request");
        let id = r.u32()?;
        let read = match frame.tag {
            tag::EXTENDED => extended(&mut r)?,
            tag => plain(tag, &mut r)?.ok_or(Unknown::Type(tag)),
        };
        match read {
            Ok(request) => {
                r.finish()?;
                Ok(FromClient::Request { id, request })
            }
            Err(what) => Ok(FromClient::Unknown { id, what }),
        }
    }
}

impl FromUpstream {
    /// Errors (side: upstream): as [`Reader`]'s; `UNKNOWN_MESSAGE`; `TOO_LARGE` for a handle; `TOO_MANY`; `BAD_VALUE`.
    pub fn decode(frame: &Frame) -> Result<FromUpstream, Fault> {
        if frame.tag == tag::VERSION {
            return Ok(FromUpstream::Version(Hello::decode(&frame.body, Side::Upstream)?));
        }
        let mut r = Reader::new(&frame.body, Side::Upstream, "sftp reply");
        let id = r.u32()?;
        let reply = match frame.tag {
            tag::STATUS => Reply::Status(status(&mut r)?),
            tag::HANDLE => Reply::Handle(string_within(&mut r, HANDLE_BYTES_MAX)?),
            tag::DATA => Reply::Data(string(&mut r)?),
            tag::NAME => Reply::Name(entries(&mut r)?),
            tag::ATTRS => Reply::Attrs(Attrs::read(&mut r)?),
            tag::EXTENDED_REPLY => Reply::Extended(r.take_rest().into()),
            _ => return Err(why::UNKNOWN_REPLY.on(Side::Upstream)),
        };
        r.finish()?;
        Ok(FromUpstream::Reply { id, reply })
    }
}

impl Request {
    /// The constant by which records call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Request::Open { .. } => "OPEN",
            Request::Close { .. } => "CLOSE",
            Request::Read { .. } => "READ",
            Request::Write { .. } => "WRITE",
            Request::Lstat { .. } => "LSTAT",
            Request::Fstat { .. } => "FSTAT",
            Request::Setstat { .. } => "SETSTAT",
            Request::Fsetstat { .. } => "FSETSTAT",
            Request::Opendir { .. } => "OPENDIR",
            Request::Readdir { .. } => "READDIR",
            Request::Remove { .. } => "REMOVE",
            Request::Mkdir { .. } => "MKDIR",
            Request::Rmdir { .. } => "RMDIR",
            Request::Realpath { .. } => "REALPATH",
            Request::Stat { .. } => "STAT",
            Request::Rename { .. } => "RENAME",
            Request::Readlink { .. } => "READLINK",
            Request::Symlink { .. } => "SYMLINK",
            Request::PosixRename { .. }
            | Request::Statvfs { .. }
            | Request::Fstatvfs { .. }
            | Request::Hardlink { .. }
            | Request::Fsync { .. }
            | Request::Lsetstat { .. }
            | Request::Limits
            | Request::ExpandPath { .. }
            | Request::CopyData { .. }
            | Request::HomeDirectory { .. }
            | Request::UsersGroupsById { .. } => self.extension().map_or("EXTENDED", Extension::as_str),
        }
    }

    /// The extension that a request belongs to; `None` for the draft's own.
    pub fn extension(&self) -> Option<Extension> {
        match self {
            Request::PosixRename { .. } => Some(Extension::PosixRename),
            Request::Statvfs { .. } => Some(Extension::Statvfs),
            Request::Fstatvfs { .. } => Some(Extension::Fstatvfs),
            Request::Hardlink { .. } => Some(Extension::Hardlink),
            Request::Fsync { .. } => Some(Extension::Fsync),
            Request::Lsetstat { .. } => Some(Extension::Lsetstat),
            Request::Limits => Some(Extension::Limits),
            Request::ExpandPath { .. } => Some(Extension::ExpandPath),
            Request::CopyData { .. } => Some(Extension::CopyData),
            Request::HomeDirectory { .. } => Some(Extension::HomeDirectory),
            Request::UsersGroupsById { .. } => Some(Extension::UsersGroupsById),
            Request::Open { .. }
            | Request::Close { .. }
            | Request::Read { .. }
            | Request::Write { .. }
            | Request::Lstat { .. }
            | Request::Fstat { .. }
            | Request::Setstat { .. }
            | Request::Fsetstat { .. }
            | Request::Opendir { .. }
            | Request::Readdir { .. }
            | Request::Remove { .. }
            | Request::Mkdir { .. }
            | Request::Rmdir { .. }
            | Request::Realpath { .. }
            | Request::Stat { .. }
            | Request::Rename { .. }
            | Request::Readlink { .. }
            | Request::Symlink { .. } => None,
        }
    }

    /// Errors (side: gateway): a packet above [`FRAME_BYTES_MAX`].
    pub fn encode(&self, id: u32, out: &mut BytesMut) -> Result<(), Fault> {
        frame::write(out, self.tag(), "sftp request", |w| {
            w.u32(id);
            if let Some(extension) = self.extension() {
                put_string(w, extension.as_str().as_bytes());
            }
            self.put(w);
        })
    }

    fn tag(&self) -> u8 {
        match self {
            Request::Open { .. } => tag::OPEN,
            Request::Close { .. } => tag::CLOSE,
            Request::Read { .. } => tag::READ,
            Request::Write { .. } => tag::WRITE,
            Request::Lstat { .. } => tag::LSTAT,
            Request::Fstat { .. } => tag::FSTAT,
            Request::Setstat { .. } => tag::SETSTAT,
            Request::Fsetstat { .. } => tag::FSETSTAT,
            Request::Opendir { .. } => tag::OPENDIR,
            Request::Readdir { .. } => tag::READDIR,
            Request::Remove { .. } => tag::REMOVE,
            Request::Mkdir { .. } => tag::MKDIR,
            Request::Rmdir { .. } => tag::RMDIR,
            Request::Realpath { .. } => tag::REALPATH,
            Request::Stat { .. } => tag::STAT,
            Request::Rename { .. } => tag::RENAME,
            Request::Readlink { .. } => tag::READLINK,
            Request::Symlink { .. } => tag::SYMLINK,
            Request::PosixRename { .. }
            | Request::Statvfs { .. }
            | Request::Fstatvfs { .. }
            | Request::Hardlink { .. }
            | Request::Fsync { .. }
            | Request::Lsetstat { .. }
            | Request::Limits
            | Request::ExpandPath { .. }
            | Request::CopyData { .. }
            | Request::HomeDirectory { .. }
            | Request::UsersGroupsById { .. } => tag::EXTENDED,
        }
    }

    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Request::Open { path, flags, attrs } => {
                put_string(w, path.as_bytes());
                w.u32(flags.0);
                attrs.put(w);
            }
            Request::Read { handle, offset, length } => {
                put_string(w, handle.as_bytes());
                put_u64(w, *offset);
                w.u32(*length);
            }
            Request::Write { handle, offset, data } => {
                put_string(w, handle.as_bytes());
                put_u64(w, *offset);
                put_string(w, data.as_bytes());
            }
            Request::Setstat { path: name, attrs }
            | Request::Fsetstat { handle: name, attrs }
            | Request::Mkdir { path: name, attrs }
            | Request::Lsetstat { path: name, attrs } => {
                put_string(w, name.as_bytes());
                attrs.put(w);
            }
            Request::Close { handle: name }
            | Request::Lstat { path: name }
            | Request::Fstat { handle: name }
            | Request::Opendir { path: name }
            | Request::Readdir { handle: name }
            | Request::Remove { path: name }
            | Request::Rmdir { path: name }
            | Request::Realpath { path: name }
            | Request::Stat { path: name }
            | Request::Readlink { path: name }
            | Request::Statvfs { path: name }
            | Request::Fstatvfs { handle: name }
            | Request::Fsync { handle: name }
            | Request::ExpandPath { path: name }
            | Request::HomeDirectory { user: name } => put_string(w, name.as_bytes()),
            Request::Rename { from: first, to: second }
            | Request::Symlink { first, second }
            | Request::PosixRename { from: first, to: second }
            | Request::Hardlink { from: first, to: second } => {
                put_string(w, first.as_bytes());
                put_string(w, second.as_bytes());
            }
            Request::Limits => {}
            Request::CopyData { from, from_offset, length, to, to_offset } => {
                put_string(w, from.as_bytes());
                put_u64(w, *from_offset);
                put_u64(w, *length);
                put_string(w, to.as_bytes());
                put_u64(w, *to_offset);
            }
            Request::UsersGroupsById { users, groups } => {
                put_ids(w, users);
                put_ids(w, groups);
            }
        }
    }
}

impl Reply {
    /// The constant by which records call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Reply::Status(_) => "STATUS",
            Reply::Handle(_) => "HANDLE",
            Reply::Data(_) => "DATA",
            Reply::Name(_) => "NAME",
            Reply::Attrs(_) => "ATTRS",
            Reply::Extended(_) => "EXTENDED_REPLY",
        }
    }

    /// Errors (side: gateway): a packet above [`FRAME_BYTES_MAX`].
    pub fn encode(&self, id: u32, out: &mut BytesMut) -> Result<(), Fault> {
        let tag = match self {
            Reply::Status(_) => tag::STATUS,
            Reply::Handle(_) => tag::HANDLE,
            Reply::Data(_) => tag::DATA,
            Reply::Name(_) => tag::NAME,
            Reply::Attrs(_) => tag::ATTRS,
            Reply::Extended(_) => tag::EXTENDED_REPLY,
        };
        frame::write(out, tag, "sftp reply", |w| {
            w.u32(id);
            self.put(w);
        })
    }

    /// A status of the gateway's own.
    pub fn refusal(code: Code, sentence: &str) -> Reply {
        let said = RawField::copy_from(sentence.as_bytes());
        Reply::Status(Status { code, said: Some((said, RawField::default())) })
    }

    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Reply::Status(status) => {
                w.u32(status.code.0);
                if let Some((text, language)) = &status.said {
                    put_string(w, text.as_bytes());
                    put_string(w, language.as_bytes());
                }
            }
            Reply::Handle(bytes) | Reply::Data(bytes) => put_string(w, bytes.as_bytes()),
            Reply::Name(entries) => put_entries(w, entries),
            Reply::Attrs(attrs) => attrs.put(w),
            Reply::Extended(bytes) => w.bytes(bytes.as_bytes()),
        }
    }
}

/// A request of the draft's own; `None` for a type that no client sends.
fn plain(tag: u8, r: &mut Reader<'_>) -> Result<Option<Request>, Fault> {
    let request = match tag {
        tag::OPEN => Request::Open { path: string(r)?, flags: OpenFlags(r.u32()?), attrs: Attrs::read(r)? },
        tag::CLOSE => Request::Close { handle: handle(r)? },
        tag::READ => Request::Read { handle: handle(r)?, offset: r.u64()?, length: r.u32()? },
        tag::WRITE => Request::Write { handle: handle(r)?, offset: r.u64()?, data: string(r)? },
        tag::LSTAT => Request::Lstat { path: string(r)? },
        tag::FSTAT => Request::Fstat { handle: handle(r)? },
        tag::SETSTAT => Request::Setstat { path: string(r)?, attrs: Attrs::read(r)? },
        tag::FSETSTAT => Request::Fsetstat { handle: handle(r)?, attrs: Attrs::read(r)? },
        tag::OPENDIR => Request::Opendir { path: string(r)? },
        tag::READDIR => Request::Readdir { handle: handle(r)? },
        tag::REMOVE => Request::Remove { path: string(r)? },
        tag::MKDIR => Request::Mkdir { path: string(r)?, attrs: Attrs::read(r)? },
        tag::RMDIR => Request::Rmdir { path: string(r)? },
        tag::REALPATH => Request::Realpath { path: string(r)? },
        tag::STAT => Request::Stat { path: string(r)? },
        tag::RENAME => Request::Rename { from: string(r)?, to: string(r)? },
        tag::READLINK => Request::Readlink { path: string(r)? },
        tag::SYMLINK => Request::Symlink { first: string(r)?, second: string(r)? },
        _ => return Ok(None),
    };
    Ok(Some(request))
}

/// A request of an extension that we read, or the name of one that we do not.
fn extended(r: &mut Reader<'_>) -> Result<Result<Request, Unknown>, Fault> {
    let name = string(r)?;
    let Some(extension) = Extension::parse(name.as_bytes()) else { return Ok(Err(Unknown::Extension(name))) };
    Ok(Ok(match extension {
        Extension::PosixRename => Request::PosixRename { from: string(r)?, to: string(r)? },
        Extension::Statvfs => Request::Statvfs { path: string(r)? },
        Extension::Fstatvfs => Request::Fstatvfs { handle: handle(r)? },
        Extension::Hardlink => Request::Hardlink { from: string(r)?, to: string(r)? },
        Extension::Fsync => Request::Fsync { handle: handle(r)? },
        Extension::Lsetstat => Request::Lsetstat { path: string(r)?, attrs: Attrs::read(r)? },
        Extension::Limits => Request::Limits,
        Extension::ExpandPath => Request::ExpandPath { path: string(r)? },
        Extension::CopyData => Request::CopyData {
            from: handle(r)?,
            from_offset: r.u64()?,
            length: r.u64()?,
            to: handle(r)?,
            to_offset: r.u64()?,
        },
        Extension::HomeDirectory => Request::HomeDirectory { user: string(r)? },
        Extension::UsersGroupsById => Request::UsersGroupsById { users: ids(r)?, groups: ids(r)? },
    }))
}

fn handle(r: &mut Reader<'_>) -> Result<RawField, Fault> {
    string_within(r, HANDLE_BYTES_MAX)
}

/// A string of numbers, four bytes each.
fn ids(r: &mut Reader<'_>) -> Result<Vec<u32>, Fault> {
    let bytes: Bytes = string(r)?.into_bytes();
    let (ids, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(r.fault(kind::BAD_LENGTH, "ids that are not four bytes each"));
    }
    if ids.len() > IDS_MAX {
        return Err(r.fault(kind::TOO_MANY, "more ids than the gateway accepts"));
    }
    Ok(ids.iter().map(|id| u32::from_be_bytes(*id)).collect())
}

fn put_ids(w: &mut Writer<'_>, ids: &[u32]) {
    w.length(ids.len().saturating_mul(4));
    ids.iter().for_each(|id| w.u32(*id));
}

fn status(r: &mut Reader<'_>) -> Result<Status, Fault> {
    let code = Code(r.u32()?);
    let said = match r.remaining() {
        0 => None,
        _ => Some((string(r)?, string(r)?)),
    };
    Ok(Status { code, said })
}

/// Each entry has at least twelve bytes, so that a packet has at most 21,845; none is reserved before it is there.
fn entries(r: &mut Reader<'_>) -> Result<Vec<Entry>, Fault> {
    let count = r.u32()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(Entry { filename: string(r)?, longname: string(r)?, attrs: Attrs::read(r)? });
    }
    Ok(entries)
}

fn put_entries(w: &mut Writer<'_>, entries: &[Entry]) {
    match u32::try_from(entries.len()) {
        Ok(count) => w.u32(count),
        Err(_) => w.fail(kind::TOO_MANY, "more names than a packet holds"),
    }
    for entry in entries {
        put_string(w, entry.filename.as_bytes());
        put_string(w, entry.longname.as_bytes());
        entry.attrs.put(w);
    }
}
