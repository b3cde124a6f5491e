//! Records: FORMAT.md, section 3.
//!
//! [`Header`] borrows from the stored bytes and allocates nothing; it checks the whole record all the same, body
//! included. [`encode`] is its inverse.

use crate::cbor::{self, CborError, Encoder, KeyOrder, Reader, Value};
use crate::limits::RECORD_BYTES_MAX;
use crate::tree::Hash;
use std::fmt;

/// A record's place in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub run: [u8; 16],
    /// Dense in the run, from 0.
    pub rseq: u64,
    /// Leaf hash of the run's previous record; zeros for the first.
    pub rprev: Hash,
}

/// What a record says about one of its payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadRef {
    /// [`crate::payload::body_digest`]
    pub digest: Hash,
    /// [`crate::payload::key_commitment`]
    pub key: Hash,
    pub length: u64,
}

/// A decoded record; its body stays as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub seq: u64,
    /// Wall clock, nanoseconds since 1970.
    pub at: u64,
    pub kind: &'a str,
    pub link: Option<Link>,
    pub sess: Option<u64>,
    pub of: Option<u64>,
    pub pay: Payloads<'a>,
    /// The canonical bytes of the body's map.
    pub body: &'a [u8],
}

/// The `pay` array of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payloads<'a> {
    count: u64,
    /// The items, already checked.
    items: &'a [u8],
}

impl<'a> Payloads<'a> {
    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = PayloadRef> + use<'a> {
        let mut reader = Reader::new(self.items);
        (0..self.count).map_while(move |_| read_payload_ref(&mut reader).ok().flatten())
    }
}

impl<'a> Header<'a> {
    /// Decodes a record and checks all of it. Errors: [`RecordError`].
    pub fn decode(record: &'a [u8]) -> Result<Header<'a>, RecordError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong(record.len()));
        }
        match RawFields::read_all(record).and_then(RawFields::into_header) {
            // What is not canonical is called that, wherever else the record is wrong too.
            Err(error) => Err(cbor::validate(record).err().map_or(error, RecordError::Cbor)),
            header => header,
        }
    }

    /// The body, decoded.
    pub fn body(&self) -> Result<Value, CborError> {
        cbor::decode(self.body)
    }
}

/// What is needed to write a record.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub seq: u64,
    pub at: u64,
    pub kind: &'a str,
    pub link: Option<Link>,
    pub sess: Option<u64>,
    pub of: Option<u64>,
    pub pay: &'a [PayloadRef],
    /// The canonical bytes of the body's map.
    pub body: &'a [u8],
}

/// Appends a record's canonical bytes. Errors: `TooLong`; nothing is written then.
pub fn encode(fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<(), RecordError> {
    let start = out.len();
    let linked = if fields.link.is_some() { 3 } else { 0 };
    let optional = [!fields.pay.is_empty(), fields.sess.is_some(), fields.of.is_some()];
    let mut e = Encoder::new(out);
    e.map(5 + linked + optional.into_iter().filter(|there| *there).count());
    // Canonical order: shorter keys first, then by bytes.
    e.text("v");
    e.uint(1);
    e.text("at");
    e.uint(fields.at);
    if let Some(of) = fields.of {
        e.text("of");
        e.uint(of);
    }
    if !fields.pay.is_empty() {
        e.text("pay");
        e.array(fields.pay.len());
        for pay in fields.pay {
            e.array(3);
            e.bytes(&pay.digest);
            e.bytes(&pay.key);
            e.uint(pay.length);
        }
    }
    if let Some(link) = &fields.link {
        e.text("run");
        e.bytes(&link.run);
    }
    e.text("seq");
    e.uint(fields.seq);
    e.text("body");
    e.raw(fields.body);
    e.text("kind");
    e.text(fields.kind);
    if let Some(link) = &fields.link {
        e.text("rseq");
        e.uint(link.rseq);
    }
    if let Some(sess) = fields.sess {
        e.text("sess");
        e.uint(sess);
    }
    if let Some(link) = &fields.link {
        e.text("rprev");
        e.bytes(&link.rprev);
    }
    let length = out.len() - start;
    if length > RECORD_BYTES_MAX {
        out.truncate(start);
        return Err(RecordError::TooLong(length));
    }
    Ok(())
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    TooLong(usize),
    Cbor(CborError),
    /// `v` is not 1.
    Version,
    /// A key that the format does not know.
    UnknownField,
    /// A field of another type or length than the format says.
    Field(&'static str),
    Missing(&'static str),
    /// `run`, `rseq` and `rprev` come together or not at all.
    Link,
}

impl From<CborError> for RecordError {
    fn from(error: CborError) -> Self {
        RecordError::Cbor(error)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::TooLong(n) => {
                write!(f, "the record has {n} bytes, over the limit of {RECORD_BYTES_MAX}")
            }
            RecordError::Cbor(error) => error.fmt(f),
            RecordError::Version => f.write_str("the record's version is not 1"),
            RecordError::UnknownField => f.write_str("the record has a field that version 1 does not know"),
            RecordError::Field(name) => write!(f, "the record's `{name}` is not what it must be"),
            RecordError::Missing(name) => write!(f, "the record has no `{name}`"),
            RecordError::Link => f.write_str("`run`, `rseq` and `rprev` do not come together"),
        }
    }
}

impl std::error::Error for RecordError {}

/// The fields as they come, before what must be there is.
#[derive(Default)]
struct RawFields<'a> {
    v: Option<u64>,
    at: Option<u64>,
    of: Option<u64>,
    pay: Payloads<'a>,
    run: Option<&'a [u8; 16]>,
    seq: Option<u64>,
    body: Option<&'a [u8]>,
    kind: Option<&'a str>,
    rseq: Option<u64>,
    sess: Option<u64>,
    rprev: Option<&'a Hash>,
}

impl<'a> RawFields<'a> {
    fn read_all(record: &'a [u8]) -> Result<RawFields<'a>, RecordError> {
        let mut fields = RawFields::default();
        let mut reader = Reader::new(record);
        let entries = reader.map().map_err(|_| RecordError::Field("map"))?;
        let mut order = KeyOrder::default();
        for _ in 0..entries {
            let key = reader.key_bytes(&mut order)?;
            fields.read(key, &mut reader)?;
        }
        reader.finish()?;
        Ok(fields)
    }

    /// Errors are provisional: `Header::decode` asks first whether the whole is canonical.
    fn read(&mut self, key: &[u8], reader: &mut Reader<'a>) -> Result<(), RecordError> {
        match key {
            b"v" => self.v = Some(uint(reader, "v")?),
            b"at" => self.at = Some(uint(reader, "at")?),
            b"of" => self.of = Some(uint(reader, "of")?),
            b"pay" => self.pay = payloads(reader.item(1)?).ok_or(RecordError::Field("pay"))?,
            b"run" => self.run = Some(bytes(reader, "run")?),
            b"seq" => self.seq = Some(uint(reader, "seq")?),
            b"body" => {
                let item = reader.item(1)?;
                Reader::new(item).map().map_err(|_| RecordError::Field("body"))?;
                self.body = Some(item);
            }
            b"kind" => self.kind = Some(reader.text().map_err(|_| RecordError::Field("kind"))?),
            b"rseq" => self.rseq = Some(uint(reader, "rseq")?),
            b"sess" => self.sess = Some(uint(reader, "sess")?),
            b"rprev" => self.rprev = Some(bytes(reader, "rprev")?),
            _ => return Err(RecordError::UnknownField),
        }
        Ok(())
    }

    fn into_header(self) -> Result<Header<'a>, RecordError> {
        if self.v.ok_or(RecordError::Missing("v"))? != 1 {
            return Err(RecordError::Version);
        }
        let link = match (self.run, self.rseq, self.rprev) {
            (Some(run), Some(rseq), Some(rprev)) => Some(Link { run: *run, rseq, rprev: *rprev }),
            (None, None, None) => None,
            _ => return Err(RecordError::Link),
        };
        Ok(Header {
            seq: self.seq.ok_or(RecordError::Missing("seq"))?,
            at: self.at.ok_or(RecordError::Missing("at"))?,
            kind: self.kind.ok_or(RecordError::Missing("kind"))?,
            link,
            sess: self.sess,
            of: self.of,
            pay: self.pay,
            body: self.body.ok_or(RecordError::Missing("body"))?,
        })
    }
}

fn uint(reader: &mut Reader<'_>, name: &'static str) -> Result<u64, RecordError> {
    reader.uint().map_err(|_| RecordError::Field(name))
}

fn bytes<'a, const N: usize>(
    reader: &mut Reader<'a>,
    name: &'static str,
) -> Result<&'a [u8; N], RecordError> {
    reader.bytes().ok().and_then(|b| b.try_into().ok()).ok_or(RecordError::Field(name))
}

/// `pay` is absent, not empty, where there is no payload.
fn payloads(item: &[u8]) -> Option<Payloads<'_>> {
    let mut reader = Reader::new(item);
    let count = reader.array().ok().filter(|n| *n > 0)?;
    let items = &item[reader.offset()..];
    for _ in 0..count {
        read_payload_ref(&mut reader).ok()??;
    }
    Some(Payloads { count, items })
}

/// `Ok(None)` for well-formed items of the wrong shape.
fn read_payload_ref(reader: &mut Reader<'_>) -> Result<Option<PayloadRef>, CborError> {
    if reader.array()? != 3 {
        return Ok(None);
    }
    let (digest, key, length) = (reader.bytes()?, reader.bytes()?, reader.uint()?);
    match (digest.try_into(), key.try_into()) {
        (Ok(digest), Ok(key)) => Ok(Some(PayloadRef { digest, key, length })),
        _ => Ok(None),
    }
}
