//! HTTP/2's messages as this crate's own bytes, and back. Spec: RFC 9113, 8 "Expressing HTTP Semantics in HTTP/2".
//!
//! A stream's message becomes the one HTTP/1.1 message that says the same, which the ordinary decoder then reads: there is one
//! reading, whichever version a peer speaks. What has no such message, or more than one, is refused here. Frames, HPACK and
//! flow control are not here; fields come decoded, in the order of the stream, names in lower case.

use crate::fault::{self as why, Reason};
use crate::frame::{Framing, Head, Headers, Start, encode_request, encode_response};
use crate::head::{authority, is_method, is_target, is_token, parse_length, same};
use crate::message::hop_by_hop;
use crate::reply::reason;
use bytes::BytesMut;
use wire::RawField;

/// What stands before a request's fields: each at most once, which whoever decoded the stream has seen to.
#[derive(Clone, Copy, Default)]
pub struct Pseudo<'a> {
    pub method: &'a [u8],
    /// `None`: it was not handed on.
    pub scheme: Option<&'a [u8]>,
    pub authority: Option<&'a [u8]>,
    pub path: Option<&'a [u8]>,
}

/// A head in HTTP/1.1, and how the body behind it is framed there.
pub struct Written {
    pub head: BytesMut,
    pub framing: Framing,
}

/// How a message begins on a stream: the pseudo-header fields, and the rest in lower case.
pub struct Opening {
    pub method: RawField,
    pub authority: RawField,
    pub path: RawField,
    pub fields: Headers,
}

/// Writes a request. `scheme`: the connection's. `ends`: the stream ended with these fields. Errors (side: client).
pub fn request<'a>(
    pseudo: &Pseudo<'_>,
    scheme: &str,
    all: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ends: bool,
) -> Result<Written, Reason> {
    let path = pseudo.path.ok_or(why::NO_STREAM_FORM)?;
    if pseudo.method == b"CONNECT" {
        return Err(why::NO_STREAM_FORM);
    }
    if !is_method(pseudo.method) {
        return Err(why::METHOD);
    }
    if !is_target(path) {
        return Err(why::TARGET);
    }
    if pseudo.scheme.is_some_and(|own| !same(own, scheme)) {
        return Err(why::SCHEME);
    }
    let mut given = fields(all)?;
    let host = host(pseudo.authority, &given)?;
    given.remove("host");
    let framing = request_framing(&given, ends)?;
    let mut headers = Headers::new();
    headers.push(RawField::from_static(b"host"), host);
    one_cookie(&mut given);
    given.iter().for_each(|(name, value)| headers.push(name.clone(), value.clone()));
    if given.contains("te") {
        // Whoever reads on is told that the field is this connection's.
        headers.push(RawField::from_static(b"connection"), RawField::from_static(b"te"));
    }
    if framing == Framing::Chunked {
        headers.set_framing(Framing::Chunked);
    }
    let mut head = BytesMut::new();
    encode_request(&mut head, pseudo.method, path, &headers).map_err(|_| why::FIELD)?;
    Ok(Written { head, framing })
}

/// Writes a response. `to_head`: it answers HEAD. `trailers`: whoever asked reads them. Errors (side: upstream).
pub fn response<'a>(
    status: u16,
    all: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ends: bool,
    to_head: bool,
    trailers: bool,
) -> Result<Written, Reason> {
    let mut headers = fields(all)?;
    let length = length(&headers)?;
    let framing = match (status, length) {
        (100..=199 | 204, None | Some(0)) => Framing::None,
        (100..=199 | 204, Some(_)) => return Err(why::LENGTH_FORBIDDEN),
        (304, _) => Framing::None,
        _ if to_head => Framing::None,
        (_, Some(0) | None) if ends => Framing::Length(0),
        (_, Some(_)) if ends => return Err(why::LENGTH_MISMATCH),
        (_, Some(length)) if !trailers => Framing::Length(length),
        (_, _) => Framing::Chunked,
    };
    if framing != Framing::None {
        headers.set_framing(framing);
    }
    let mut head = BytesMut::new();
    encode_response(&mut head, status, reason(status).as_bytes(), &headers).map_err(|_| why::FIELD)?;
    Ok(Written { head, framing })
}

/// Fields behind a body. Errors: they cannot be written.
pub fn trailers<'a>(all: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Headers, Reason> {
    fields(all)
}

/// A request's head as a stream begins with it. `None`: it is no request, or names no host.
pub fn opening(head: &Head) -> Option<Opening> {
    let Start::Request { method, target, .. } = &head.start else { return None };
    let authority = head.headers.get("host")?.clone();
    let mut fields = end_to_end(&head.headers);
    fields.remove("host");
    if reads_trailers(&head.headers) {
        fields.push(RawField::from_static(b"te"), RawField::from_static(b"trailers"));
    }
    Some(Opening { method: method.clone(), authority, path: target.clone(), fields })
}

/// The fields that stay where there is no connection of one message after another; names in lower case.
pub fn end_to_end(headers: &Headers) -> Headers {
    let mut stay = headers.clone();
    hop_by_hop(&mut stay);
    let mut lower = Headers::new();
    for (name, value) in stay.iter() {
        lower.push(RawField::new(name.as_bytes().to_ascii_lowercase().into()), value.clone());
    }
    lower
}

/// Whether who asked reads trailers. RFC 9110, 10.1.4.
pub fn reads_trailers(headers: &Headers) -> bool {
    headers.list("te").any(|coding| same(coding, "trailers"))
}

/// Holds what comes of a body against its length.
#[derive(Clone, Copy, Debug)]
pub struct Measure(Option<u64>);

impl Measure {
    pub fn new(framing: Framing) -> Measure {
        match framing {
            Framing::None => Measure(Some(0)),
            Framing::Length(length) => Measure(Some(length)),
            Framing::Chunked | Framing::UntilClose => Measure(None),
        }
    }

    /// So many bytes came. Errors: they are more than there are to be.
    pub fn came(&mut self, bytes: usize) -> Result<(), Reason> {
        if let Some(left) = &mut self.0 {
            *left = left.checked_sub(bytes as u64).ok_or(why::LENGTH_MISMATCH)?;
        }
        Ok(())
    }

    /// Nothing more comes. Errors: something is missing.
    pub fn ended(self) -> Result<(), Reason> {
        match self.0 {
            None | Some(0) => Ok(()),
            Some(_) => Err(why::LENGTH_MISMATCH),
        }
    }
}

/// Names that are a connection's. RFC 9113, 8.2.2.
const CONNECTIONS: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

fn fields<'a>(all: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Headers, Reason> {
    let mut headers = Headers::new();
    for (name, value) in all {
        if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
            return Err(why::NAME);
        }
        let of_connection = CONNECTIONS.iter().any(|other| same(name, other));
        if of_connection || name == b"te" && value != b"trailers" {
            return Err(why::OF_CONNECTION);
        }
        let control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
        let space = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        if value.iter().any(control) || space(value.first()) || space(value.last()) {
            return Err(why::FIELD);
        }
        headers.push(RawField::copy_from(name), RawField::copy_from(value));
    }
    Ok(headers)
}

/// Whom the request is for: `:authority` and `host` say the same, or one of them stands alone.
fn host(named: Option<&[u8]>, headers: &Headers) -> Result<RawField, Reason> {
    let mut hosts = headers.all("host");
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(why::HOST_TWICE);
    }
    let read = |text: &[u8]| authority(text).ok_or(why::HOST);
    match (named, host) {
        (None, None) => Err(why::HOST_MISSING),
        (Some(named), None) => read(named).map(|_| RawField::copy_from(named)),
        (None, Some(host)) => read(host.as_bytes()).map(|_| host.clone()),
        (Some(named), Some(host)) => match read(named)? == read(host.as_bytes())? {
            true => Ok(RawField::copy_from(named)),
            false => Err(why::HOST_DISAGREES),
        },
    }
}

fn length(headers: &Headers) -> Result<Option<u64>, Reason> {
    let mut lengths = headers.all("content-length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(why::LENGTHS),
        (Some(one), None) => parse_length(one.as_bytes()).map(Some),
    }
}

/// No length is invented: without one, a body that is to come has chunks, and none at all has nothing.
fn request_framing(headers: &Headers, ends: bool) -> Result<Framing, Reason> {
    match (length(headers)?, ends) {
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
        (Some(length), false) => Ok(Framing::Length(length)),
        (Some(0), true) => Ok(Framing::Length(0)),
        (Some(_), true) => Err(why::LENGTH_MISMATCH),
    }
}

/// RFC 9113, 8.2.3: crumbs of one cookie are one field again.
fn one_cookie(headers: &mut Headers) {
    let crumbs: Vec<&[u8]> = headers.all("cookie").map(RawField::as_bytes).collect();
    if crumbs.len() > 1 {
        let whole = RawField::new(crumbs.join(&b"; "[..]).into());
        headers.remove("cookie");
        headers.push(RawField::from_static(b"cookie"), whole);
    }
}

#[cfg(test)]
mod tests;
