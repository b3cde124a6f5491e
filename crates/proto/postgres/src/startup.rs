//! The packets before the first typed message: SSLRequest, GSSENCRequest, CancelRequest and StartupMessage, and the
//! negotiation of the protocol's version. Spec: PostgreSQL 18, 54.2.2 "Start-up", 54.7 "Message Formats".
//!
//! Every value says how many bytes it consumed. After an SSLRequest nothing may follow before our answer: the
//! caller must refuse a buffer that holds more ([`refuse_pipelined`]), or plaintext would be read as if it had come
//! through TLS.

use crate::limits::*;
use bytes::{Bytes, BytesMut};
use wire::{Fault, RawField, Reader, Side, Writer, kind};

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup {
    /// Not there yet: read at least so many more bytes. Nothing was consumed.
    NeedMore {
        at_least: usize,
    },
    SslRequest {
        len: usize,
    },
    /// Refused by us with `N`.
    GssEncRequest {
        len: usize,
    },
    Cancel {
        pid: u32,
        /// 4 bytes in protocol 3.0, up to [`CANCEL_KEY_BYTES_MAX`] in 3.2.
        key: RawField,
        len: usize,
    },
    Message(StartupMessage),
}

/// A StartupMessage of major version 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupMessage {
    pub major: u16,
    pub minor: u16,
    /// In the order sent, names not empty and without duplicates.
    pub params: Vec<(RawField, RawField)>,
    pub len: usize,
}

impl StartupMessage {
    /// The value of a parameter. Names are case-sensitive, as in PostgreSQL.
    pub fn get(&self, name: &[u8]) -> Option<&RawField> {
        self.params.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, value)| value)
    }

    /// The role asked for. PostgreSQL refuses a startup without one.
    pub fn user(&self) -> Option<&RawField> {
        self.get(b"user").filter(|user| !user.is_empty())
    }

    /// The database asked for: by default the one named like the user.
    pub fn database(&self) -> Option<&RawField> {
        self.get(b"database").filter(|database| !database.is_empty()).or(self.user())
    }

    /// Whether replication was asked for in any spelling but "no"; we refuse it.
    pub fn asks_replication(&self) -> bool {
        self.get(b"replication").is_some_and(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            !matches!(&value[..], b"false" | b"off" | b"no" | b"0")
        })
    }
}

/// The newest minor version that we speak: 3.2.
pub const MINOR_MAX: u16 = 2;

/// Which version and options a session has, and what the client must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// 0 or 2. Protocol 3.1 never existed; who asks for it gets 3.0.
    pub minor: u16,
    /// The body of the NegotiateProtocolVersion to send before authentication, if one is needed.
    pub reply: Option<crate::message::NegotiateProtocolVersion>,
}

/// Decodes the first packet in `input`. Call again with more bytes after `NeedMore`.
///
/// Errors (side: client): `BAD_LENGTH` (below 8, above [`STARTUP_BYTES_MAX`] + 4, or wrong for a request of fixed
/// length), `UNKNOWN_MESSAGE` (a version that is not 3.x, or an unknown request), and those of [`Reader`] for the
/// parameters; `BAD_VALUE` for a parameter that is given twice, where PostgreSQL would take one of the two.
pub fn decode(input: &[u8]) -> Result<Startup, Fault> {
    let Some((&[a, b, c, d], rest)) = input.split_first_chunk::<4>() else {
        return early_refusal(input).map_or(Ok(Startup::NeedMore { at_least: 4 - input.len() }), Err);
    };
    let len = checked_len(u32::from_be_bytes([a, b, c, d]))?;
    let Some(body) = rest.get(..len - 4) else {
        return Ok(Startup::NeedMore { at_least: len - input.len() });
    };
    // At most 10,000 bytes, once in a connection: the copy is cheaper than a lifetime.
    let body = Bytes::copy_from_slice(body);
    let mut r = Reader::new(&body, Side::Client, "startup packet");
    match r.u32()? {
        SSL_REQUEST => r.finish().map(|()| Startup::SslRequest { len }),
        GSSENC_REQUEST => r.finish().map(|()| Startup::GssEncRequest { len }),
        CANCEL_REQUEST => cancel(r, len),
        version => message(version, r, len),
    }
}

/// Refuses plaintext that was sent behind an SSLRequest or GSSENCRequest before our answer (CVE-2021-23214).
/// `pipelined` is what the buffer holds behind the packet.
pub fn refuse_pipelined(pipelined: &[u8]) -> Result<(), Fault> {
    if pipelined.is_empty() {
        return Ok(());
    }
    Err(Fault::new(
        Side::Client,
        kind::TRAILING_BYTES,
        "received unencrypted data after SSL request",
        "plaintext behind SSLRequest or GSSENCRequest",
    ))
}

/// Chooses version and options. Unknown `_pq_.` options are listed back, as the specification asks, and ignored.
pub fn negotiate(message: &StartupMessage) -> Negotiated {
    let minor = if message.minor >= MINOR_MAX { MINOR_MAX } else { 0 };
    let options: Vec<RawField> = message
        .params
        .iter()
        .filter(|(name, _)| name.as_bytes().starts_with(b"_pq_."))
        .map(|(name, _)| name.clone())
        .collect();
    let told = minor != message.minor || !options.is_empty();
    let reply =
        told.then(|| crate::message::NegotiateProtocolVersion { version: version(MAJOR, minor), options });
    Negotiated { minor, reply }
}

/// Appends a StartupMessage. Errors: a zero byte in a name or value, an empty name (side: gateway).
pub fn encode_message(out: &mut BytesMut, minor: u16, params: &[(&[u8], &[u8])]) -> Result<(), Fault> {
    packet(out, "StartupMessage", |w| {
        w.u32(version(MAJOR, minor));
        for (name, value) in params {
            if name.is_empty() {
                w.fail(kind::BAD_VALUE, "a startup parameter without a name");
            }
            w.cstr(name);
            w.cstr(value);
        }
        w.u8(0);
    })
}

/// Appends an SSLRequest.
pub fn encode_ssl_request(out: &mut BytesMut) -> Result<(), Fault> {
    packet(out, "SSLRequest", |w| w.u32(SSL_REQUEST))
}

/// Appends a GSSENCRequest. We never send one; the tests do.
pub fn encode_gssenc_request(out: &mut BytesMut) -> Result<(), Fault> {
    packet(out, "GSSENCRequest", |w| w.u32(GSSENC_REQUEST))
}

/// Appends a CancelRequest. Errors: a key that is empty or above [`CANCEL_KEY_BYTES_MAX`] (side: gateway).
pub fn encode_cancel(out: &mut BytesMut, pid: u32, key: &[u8]) -> Result<(), Fault> {
    packet(out, "CancelRequest", |w| {
        w.u32(CANCEL_REQUEST);
        w.u32(pid);
        if !CANCEL_KEY_BYTES.contains(&key.len()) {
            w.fail(kind::BAD_LENGTH, "a cancel key of a length that the protocol does not have");
        }
        w.bytes(key);
    })
}

/// Lengths of a cancel key. Protocol 3.0 has 4 bytes; none is shorter.
pub(crate) const CANCEL_KEY_BYTES: std::ops::RangeInclusive<usize> = 4..=CANCEL_KEY_BYTES_MAX;

const MAJOR: u16 = 3;
const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;

fn version(major: u16, minor: u16) -> u32 {
    (u32::from(major) << 16) | u32::from(minor)
}

/// A packet is at most 10,000 bytes, so its first two bytes are zero: anything else (a TLS hello, HTTP, SSH) is
/// refused at its first byte, without waiting for a fourth.
fn early_refusal(input: &[u8]) -> Option<Fault> {
    input.iter().take(2).any(|b| *b != 0).then_some(BAD_LENGTH)
}

fn checked_len(declared: u32) -> Result<usize, Fault> {
    usize::try_from(declared).ok().filter(|len| (8..=STARTUP_BYTES_MAX + 4).contains(len)).ok_or(BAD_LENGTH)
}

const BAD_LENGTH: Fault = Fault::new(
    Side::Client,
    kind::BAD_LENGTH,
    "invalid length of startup packet",
    "the first four bytes are no startup packet's: another protocol, or TLS without SSLRequest",
);

fn cancel(mut r: Reader<'_>, len: usize) -> Result<Startup, Fault> {
    let pid = r.u32()?;
    let key = RawField::new(r.take_rest());
    if !CANCEL_KEY_BYTES.contains(&key.len()) {
        return Err(r.fault(kind::BAD_LENGTH, "invalid length of cancel request"));
    }
    Ok(Startup::Cancel { pid, key, len })
}

fn message(code: u32, mut r: Reader<'_>, len: usize) -> Result<Startup, Fault> {
    let [major, minor] = [(code >> 16) as u16, code as u16];
    if major != MAJOR {
        return Err(r.fault(kind::UNKNOWN_MESSAGE, "unsupported frontend protocol: only 3.x is spoken here"));
    }
    let mut params: Vec<(RawField, RawField)> = Vec::new();
    loop {
        let name = RawField::new(r.cstr()?);
        if name.is_empty() {
            break;
        }
        if params.len() == STARTUP_PARAMETERS_MAX {
            return Err(r.fault(kind::TOO_MANY, "too many startup parameters"));
        }
        if params.iter().any(|(n, _)| *n == name) {
            return Err(r.fault(kind::BAD_VALUE, "a startup parameter is given twice"));
        }
        params.push((name, RawField::new(r.cstr()?)));
    }
    r.finish()?;
    Ok(Startup::Message(StartupMessage { major, minor, params, len }))
}

fn packet(out: &mut BytesMut, what: &'static str, body: impl FnOnce(&mut Writer<'_>)) -> Result<(), Fault> {
    let mut w = Writer::new(out, what);
    let length = w.mark();
    body(&mut w);
    w.fill(length);
    w.finish()
}
