//! What came back, as fields: what detectors look at, what may be put in a field's place, and what extended replies say.
//! Spec: draft-ietf-secsh-filexfer-02, section 7; OpenSSH's PROTOCOL, section 4.

use super::message::{Code, Reply};
use crate::fault as why;
use crate::limits::IDS_MAX;
use crate::strings::{put_string, string};
use bytes::{Bytes, BytesMut};
use wire::{Fault, RawField, Reader, Side, Writer, kind};

/// Where in a reply a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A piece of a file.
    Data,
    /// What a status says.
    Said,
    /// A name of a NAME, by its number in it.
    Filename(usize),
    Longname(usize),
}

/// One field of a peer's text or content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub place: Place,
    /// What is put here must have the same length: it stands at an offset.
    pub fixed: bool,
    pub bytes: RawField,
}

impl Reply {
    /// What detectors look at, in the order of the wire. Handles are opaque and only come back; attributes are numbers;
    /// of extended replies see [`UsersGroups`].
    pub fn fields(&self) -> Vec<Field> {
        let field =
            |place, bytes: &RawField| Field { place, fixed: place == Place::Data, bytes: bytes.clone() };
        match self {
            Reply::Data(data) => vec![field(Place::Data, data)],
            Reply::Status(status) => status.said.iter().map(|(text, _)| field(Place::Said, text)).collect(),
            Reply::Name(entries) => {
                let each = entries.iter().enumerate().flat_map(|(n, entry)| {
                    [field(Place::Filename(n), &entry.filename), field(Place::Longname(n), &entry.longname)]
                });
                each.collect()
            }
            Reply::Handle(_) | Reply::Attrs(_) | Reply::Extended(_) => Vec::new(),
        }
    }

    /// Puts `bytes` in a field's place. Errors (side: gateway): `CHANGED_LENGTH` for data of another length, which would move
    /// all that stands behind it; `BAD_VALUE` for a field that is not there. On `Err` the reply is as it was.
    pub fn replace(&mut self, place: Place, bytes: RawField) -> Result<(), Fault> {
        let none = why::NO_SUCH_FIELD.on(Side::Gateway);
        let at = match (self, place) {
            (Reply::Data(data), Place::Data) => {
                if data.len() != bytes.len() {
                    return Err(why::NOT_THIS_LENGTH.on(Side::Gateway));
                }
                data
            }
            (Reply::Status(status), Place::Said) => status.said.as_mut().map(|(text, _)| text).ok_or(none)?,
            (Reply::Name(entries), Place::Filename(n)) => {
                entries.get_mut(n).map(|entry| &mut entry.filename).ok_or(none)?
            }
            (Reply::Name(entries), Place::Longname(n)) => {
                entries.get_mut(n).map(|entry| &mut entry.longname).ok_or(none)?
            }
            _ => return Err(none),
        };
        *at = bytes;
        Ok(())
    }

    /// Takes out what no client needs and no detector sees: the language of a status, a code that version 3 has not (a
    /// failure to its clients), extended attributes.
    pub fn plain(mut self) -> Reply {
        match &mut self {
            Reply::Status(status) => {
                if status.code.name().is_none() {
                    status.code = Code::FAILURE;
                }
                if let Some((_, language)) = &mut status.said {
                    *language = RawField::default();
                }
            }
            Reply::Name(entries) => entries.iter_mut().for_each(|entry| entry.attrs.extended = None),
            Reply::Attrs(attrs) => attrs.extended = None,
            Reply::Handle(_) | Reply::Data(_) | Reply::Extended(_) => {}
        }
        self
    }

    /// The code, if this is a status.
    pub fn code(&self) -> Option<Code> {
        match self {
            Reply::Status(status) => Some(status.code),
            _ => None,
        }
    }
}

/// What a piece of a file seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// UTF-8, but for a character that is cut off at either end, without control characters that text has not.
    Text,
    Bytes,
}

/// Looks at a piece of a file. It is a guess for how the piece is shown, and nothing to decide by.
pub fn form(piece: &[u8]) -> Form {
    // At most three bytes of a character that began before this piece.
    let start = piece.iter().take(3).take_while(|b| **b & 0xc0 == 0x80).count();
    let inner = piece.get(start..).unwrap_or_default();
    let whole = match std::str::from_utf8(inner) {
        Ok(text) => text,
        Err(cut) if cut.error_len().is_none() => inner
            .get(..cut.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok())
            .unwrap_or_default(),
        Err(_) => return Form::Bytes,
    };
    // Escape and backspace are in logs of terminals.
    let odd = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x08' | '\x1b');
    if whole.chars().any(odd) { Form::Bytes } else { Form::Text }
}

/// The answer to `statvfs@openssh.com` and `fstatvfs@openssh.com`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statvfs {
    pub block_bytes: u64,
    pub fragment_bytes: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    pub files_available: u64,
    pub file_system: u64,
    pub flags: u64,
    pub name_bytes_max: u64,
}

impl Statvfs {
    /// Errors (side: upstream): as [`Reader`]'s.
    pub fn decode(body: &Bytes) -> Result<Statvfs, Fault> {
        let mut r = Reader::new(body, Side::Upstream, "statvfs reply");
        let statvfs = Statvfs {
            block_bytes: r.u64()?,
            fragment_bytes: r.u64()?,
            blocks: r.u64()?,
            blocks_free: r.u64()?,
            blocks_available: r.u64()?,
            files: r.u64()?,
            files_free: r.u64()?,
            files_available: r.u64()?,
            file_system: r.u64()?,
            flags: r.u64()?,
            name_bytes_max: r.u64()?,
        };
        r.finish()?;
        Ok(statvfs)
    }
}

/// The answer to `limits@openssh.com`. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub packet_bytes: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub handles: u64,
}

impl Limits {
    /// Errors (side: upstream): as [`Reader`]'s.
    pub fn decode(body: &Bytes) -> Result<Limits, Fault> {
        let mut r = Reader::new(body, Side::Upstream, "limits reply");
        let limits =
            Limits { packet_bytes: r.u64()?, read_bytes: r.u64()?, write_bytes: r.u64()?, handles: r.u64()? };
        r.finish()?;
        Ok(limits)
    }
}

/// The answer to `users-groups-by-id@openssh.com`: a name for each id, empty where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersGroups {
    pub users: Vec<RawField>,
    pub groups: Vec<RawField>,
}

impl UsersGroups {
    /// Errors (side: upstream): as [`Reader`]'s; `TOO_MANY` above [`IDS_MAX`].
    pub fn decode(body: &Bytes) -> Result<UsersGroups, Fault> {
        let mut r = Reader::new(body, Side::Upstream, "users-groups-by-id reply");
        let found = UsersGroups { users: names(&mut r)?, groups: names(&mut r)? };
        r.finish()?;
        Ok(found)
    }

    /// Errors (side: gateway): a list of 2 GiB.
    pub fn encode(&self) -> Result<Reply, Fault> {
        let mut out = BytesMut::new();
        let mut w = Writer::new(&mut out, "users-groups-by-id reply");
        put_names(&mut w, &self.users);
        put_names(&mut w, &self.groups);
        w.finish()?;
        Ok(Reply::Extended(out.freeze().into()))
    }
}

/// A string that holds strings.
fn names(r: &mut Reader<'_>) -> Result<Vec<RawField>, Fault> {
    let list = string(r)?.into_bytes();
    let mut inner = Reader::new(&list, Side::Upstream, "users-groups-by-id reply");
    let mut names = Vec::new();
    while inner.remaining() > 0 {
        if names.len() == IDS_MAX {
            return Err(inner.fault(kind::TOO_MANY, "more names than the gateway accepts"));
        }
        names.push(string(&mut inner)?);
    }
    inner.finish()?;
    Ok(names)
}

fn put_names(w: &mut Writer<'_>, names: &[RawField]) {
    w.length(names.iter().map(|name| 4 + name.len()).sum());
    names.iter().for_each(|name| put_string(w, name.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::super::attrs::Attrs;
    use super::super::message::Entry;
    use super::*;

    fn raw(text: &'static str) -> RawField {
        RawField::from_static(text.as_bytes())
    }

    #[test]
    fn data_keeps_its_length() {
        let mut reply = Reply::Data(raw("ssn 078-05-1120."));
        let field = reply.fields().remove(0);
        assert!(field.fixed && field.bytes.len() == 16);
        for wrong in ["", "ssn ***********", "ssn [pii.ssn, 11 characters]."] {
            let fault = reply.replace(Place::Data, raw(wrong)).unwrap_err();
            assert_eq!((fault.side, fault.kind), (Side::Gateway, why::kind::CHANGED_LENGTH));
            assert_eq!(reply, Reply::Data(raw("ssn 078-05-1120.")), "it is as it was");
        }
        reply.replace(Place::Data, raw("ssn ***********.")).unwrap();
        assert_eq!(reply, Reply::Data(raw("ssn ***********.")));
    }

    #[test]
    fn names_and_what_is_said_may_change_their_length() {
        let entry = Entry { filename: raw("a"), longname: raw("-rw a"), attrs: Attrs::default() };
        let mut reply = Reply::Name(vec![entry.clone(), entry]);
        let places: Vec<Place> = reply.fields().iter().map(|field| field.place).collect();
        assert_eq!(places, [Place::Filename(0), Place::Longname(0), Place::Filename(1), Place::Longname(1)]);
        reply.replace(Place::Longname(1), raw("masked longer")).unwrap();
        assert_eq!(reply.fields().last().map(|field| field.bytes.clone()), Some(raw("masked longer")));
        for place in [Place::Data, Place::Said, Place::Filename(2), Place::Longname(2)] {
            assert_eq!(reply.replace(place, raw("x")).unwrap_err().kind, kind::BAD_VALUE);
        }
        let mut status = Reply::refusal(Code::FAILURE, "no");
        status.replace(Place::Said, raw("something else")).unwrap();
        assert_eq!(status.fields().remove(0).bytes, raw("something else"));
        assert_eq!(Reply::Handle(raw("0")).fields(), []);
    }

    #[test]
    fn text_is_told_from_bytes_in_pieces() {
        let text = "día 日本語\r\n".repeat(3);
        for from in 0..text.len() {
            for to in from..=text.len() {
                assert_eq!(form(&text.as_bytes()[from..to]), Form::Text, "{from}..{to}");
            }
        }
        for bytes in [&b"\x7fELF\0\0"[..], b"a\xffb", b"\x1f\x8b\x08\0", b"caf\xe9 au lait", &[0x80; 4]] {
            assert_eq!(form(bytes), Form::Bytes, "{bytes:?}");
        }
    }

    #[test]
    fn extended_replies_end_where_they_end() {
        assert!(Limits::decode(&Bytes::from(vec![0; 32])).is_ok());
        assert!(Statvfs::decode(&Bytes::from(vec![0; 88])).is_ok());
        for length in [31, 33, 87, 89] {
            assert!(Limits::decode(&Bytes::from(vec![0; length])).is_err());
            assert!(Statvfs::decode(&Bytes::from(vec![0; length])).is_err());
        }
        let found = UsersGroups { users: vec![raw("root"), raw("")], groups: vec![] };
        let Reply::Extended(body) = found.encode().unwrap() else { panic!("an extended reply") };
        assert_eq!(UsersGroups::decode(&body.to_bytes()), Ok(found));
        let mut longer = body.as_bytes().to_vec();
        longer.push(0);
        assert!(UsersGroups::decode(&longer.into()).is_err());
    }
}
