//! One head: its first line, its fields, and how the body behind it is framed.
//! Spec: RFC 9112, 3 "Request Line", 4 "Status Line", 5 "Field Syntax", 6 "Message Body".
//!
//! The bytes given here were scanned by [`frame`](crate::frame): every line ends with CRLF, and no other control byte
//! than HTAB is in them.

use crate::fault::{self as why, Reason};
use crate::limits::*;
use bytes::{Buf, Bytes};
use memchr::memchr;
use std::fmt;
use wire::{Fault, RawField, Side};

/// A head as a peer sent it.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    pub start: Start,
    pub headers: Headers,
    /// Of the body that follows.
    pub framing: Framing,
    /// Whether the sender allows another message on this connection: by version and `Connection`, `close` wins.
    /// A body [`Framing::UntilClose`] ends the connection whatever this says.
    pub keep_alive: bool,
    /// The head exactly as it came, with its empty line, for the record. An empty line before it is not part of it.
    pub raw: Bytes,
}

/// The first line. The version is `HTTP/1.minor`, 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Request { method: RawField, target: RawField, minor: u8 },
    Response { status: u16, reason: RawField, minor: u8 },
}

/// How the end of a body is found. RFC 9112, 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body can follow.
    None,
    /// So many bytes, which may be 0.
    Length(u64),
    Chunked,
    /// Responses only.
    UntilClose,
}

/// Fields in the order in which they came: names with the casing that they had, values without the white space
/// around them. Names are compared without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(RawField, RawField)>);

impl Head {
    /// Parses a whole request head. Errors: see [`why`], side: client.
    pub(crate) fn request(raw: Bytes) -> Result<Head, Fault> {
        let mut rest = raw.clone();
        let (start, minor) = request_line(&take_line(&mut rest))?;
        let headers = fields(rest, Side::Client)?;
        check_host(&headers, minor, Side::Client)?;
        check_lookalikes(&headers, Side::Client)?;
        let framing = request_framing(&headers, minor, Side::Client)?;
        let keep_alive = keep_alive(&headers, minor, Side::Client)?;
        Ok(Head { start, headers, framing, keep_alive, raw })
    }

    /// Parses a whole response head. Errors: see [`why`], side: upstream.
    pub(crate) fn response(raw: Bytes, to_head: bool) -> Result<Head, Fault> {
        let mut rest = raw.clone();
        let (status, reason, minor) = status_line(&take_line(&mut rest))?;
        let headers = fields(rest, Side::Upstream)?;
        let framing = response_framing(&headers, status, minor, to_head, Side::Upstream)?;
        let keep_alive = keep_alive(&headers, minor, Side::Upstream)?;
        Ok(Head { start: Start::Response { status, reason, minor }, headers, framing, keep_alive, raw })
    }

    /// The status of a response, 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        match self.start {
            Start::Request { .. } => 0,
            Start::Response { status, .. } => status,
        }
    }

    /// Whether this is a 1xx response: another head follows it for the same request.
    pub fn is_interim(&self) -> bool {
        matches!(self.status(), 100..=199)
    }
}

/// No bytes of a peer: a length and how the body is framed.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:?}, {:?}, {:?}, {} bytes)", self.start, self.headers, self.framing, self.raw.len())
    }
}

impl Headers {
    pub fn new() -> Headers {
        Headers::default()
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<&RawField> {
        self.all(name).next()
    }

    /// The values of all fields of this name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a RawField> {
        self.0.iter().filter(move |(n, _)| same(n.as_bytes(), name)).map(|(_, value)| value)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Removes every field of this name, whatever its casing; says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let before = self.0.len();
        self.0.retain(|(n, _)| !same(n.as_bytes(), name));
        before - self.0.len()
    }

    pub fn push(&mut self, name: RawField, value: RawField) {
        self.0.push((name, value));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&RawField, &RawField)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says anew how the body is framed; [`Framing::None`] and [`Framing::UntilClose`] are said by neither field. Not
    /// for a 304 or an answer to HEAD, which declare the body that they do not have.
    pub fn set_framing(&mut self, framing: Framing) {
        self.remove("content-length");
        self.remove("transfer-encoding");
        match framing {
            Framing::None | Framing::UntilClose => {}
            Framing::Length(length) => {
                let digits = RawField::copy_from(length.to_string().as_bytes());
                self.push(RawField::from_static(b"Content-Length"), digits);
            }
            Framing::Chunked => {
                self.push(RawField::from_static(b"Transfer-Encoding"), RawField::from_static(b"chunked"))
            }
        }
    }

    /// The options of every `Connection` field, without empty ones. RFC 9110, 7.6.1.
    pub fn connection_tokens(&self) -> impl Iterator<Item = &[u8]> {
        self.list("connection")
    }

    /// The elements of a field that is a list of tokens, over all fields of the name. RFC 9110, 5.6.1.
    pub fn list<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let elements = self.all(name).flat_map(|value| value.as_bytes().split(|b| *b == b','));
        elements.map(trim).filter(|element| !element.is_empty())
    }
}

/// Names and lengths of values are not shown either: a name may be a secret's.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({})", self.0.len())
    }
}

/// A field section up to its empty line, whose lines the scan has counted. RFC 9112, 5.
pub(crate) fn fields(mut rest: Bytes, side: Side) -> Result<Headers, Fault> {
    let mut headers = Headers::new();
    loop {
        let line = take_line(&mut rest);
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = field(line, headers.is_empty()).map_err(|reason| reason.on(side))?;
        headers.push(name, value);
    }
}

fn field(line: Bytes, first: bool) -> Result<(RawField, RawField), Reason> {
    if line.first().is_some_and(|b| is_space(*b)) {
        return Err(if first { why::LEADING_SPACE } else { why::FOLD });
    }
    let colon = memchr(b':', &line).ok_or(why::NO_COLON)?;
    // `colon` is a place in `line`, so both slices are inside of it.
    let name = line.slice(..colon);
    let value = trim(&line[colon + 1..]);
    match name.last() {
        None => return Err(why::EMPTY_NAME),
        Some(b) if is_space(*b) => return Err(why::SPACE_BEFORE_COLON),
        Some(_) if !is_token(&name) => return Err(why::NAME),
        Some(_) => {}
    }
    Ok((RawField::new(name), RawField::new(line.slice_ref(value))))
}

/// Takes the first line off, without its CRLF; empty when nothing is left. The scan saw a LF behind every CR.
fn take_line(rest: &mut Bytes) -> Bytes {
    let end = memchr(b'\r', rest).unwrap_or(rest.len());
    let line = rest.split_to(end);
    rest.advance(rest.len().min(2));
    line
}

fn request_line(line: &Bytes) -> Result<(Start, u8), Fault> {
    if line.as_ref() == b"PRI * HTTP/2.0" {
        return Err(why::PREFACE.on(Side::Client));
    }
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(why::REQUEST_LINE.on(Side::Client));
    };
    let checks = [
        (is_method(method), why::METHOD),
        (is_target(target), why::TARGET),
        (is_version(version), why::VERSION),
    ];
    if let Some((_, reason)) = checks.iter().find(|(holds, _)| !holds) {
        return Err(reason.on(Side::Client));
    }
    let field = |part: &[u8]| RawField::new(line.slice_ref(part));
    let minor = u8::from(version.ends_with(b"1"));
    Ok((Start::Request { method: field(method), target: field(target), minor }, minor))
}

/// `HTTP/1.1 200 OK`. The space before an absent reason may be absent too: many senders forget it, and it means
/// nothing.
fn status_line(line: &Bytes) -> Result<(u16, RawField, u8), Fault> {
    let mut parts = line.splitn(3, |b| *b == b' ');
    let (Some(version), Some(status)) = (parts.next(), parts.next()) else {
        return Err(why::STATUS_LINE.on(Side::Upstream));
    };
    if !is_version(version) {
        return Err(why::VERSION.on(Side::Upstream));
    }
    let reason = RawField::new(line.slice_ref(parts.next().unwrap_or_default()));
    let status = parse_status(status).ok_or_else(|| why::STATUS.on(Side::Upstream))?;
    Ok((status, reason, u8::from(version.ends_with(b"1"))))
}

fn parse_status(digits: &[u8]) -> Option<u16> {
    let &[a @ b'1'..=b'5', b, c] = digits else { return None };
    let digits_only = b.is_ascii_digit() && c.is_ascii_digit();
    let value = |d: u8| u16::from(d - b'0');
    digits_only.then(|| value(a) * 100 + value(b) * 10 + value(c))
}

fn is_version(version: &[u8]) -> bool {
    matches!(version, b"HTTP/1.1" | b"HTTP/1.0")
}

pub(crate) fn is_method(method: &[u8]) -> bool {
    method.len() <= METHOD_BYTES_MAX && is_token(method)
}

/// Visible ASCII; which of it makes a target is [`target`](crate::target)'s.
pub(crate) fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.iter().all(u8::is_ascii_graphic)
}

/// What the fields say of a body. RFC 9112, 6.1 and 6.2; where it lets a recipient repair, we refuse.
enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

fn declared(headers: &Headers, minor: u8) -> Result<Declared, Reason> {
    let mut codings = headers.all("transfer-encoding");
    let mut lengths = headers.all("content-length");
    match ((codings.next(), codings.next()), (lengths.next(), lengths.next())) {
        ((None, _), (None, _)) => Ok(Declared::Nothing),
        ((Some(_), _), (Some(_), _)) => Err(why::BOTH_LENGTHS),
        ((Some(_), _), (None, _)) if minor == 0 => Err(why::CODING_OLD),
        ((Some(_), Some(_)), (None, _)) => Err(why::CODINGS),
        ((Some(coding), None), (None, _)) => {
            let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            if chunked { Ok(Declared::Chunked) } else { Err(why::CODING) }
        }
        ((None, _), (Some(_), Some(_))) => Err(why::LENGTHS),
        ((None, _), (Some(length), None)) => parse_length(length.as_bytes()).map(Declared::Length),
    }
}

pub(crate) fn parse_length(digits: &[u8]) -> Result<u64, Reason> {
    if memchr(b',', digits).is_some() {
        return Err(why::LENGTHS);
    }
    if digits.is_empty() || digits.len() > LENGTH_DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return Err(why::LENGTH);
    }
    // At most 19 digits: below 10^19, which 64 bits hold.
    let value = digits.iter().fold(0u64, |sum, d| sum * 10 + u64::from(d - b'0'));
    if value <= BODY_LENGTH_MAX { Ok(value) } else { Err(why::LENGTH) }
}

pub(crate) fn request_framing(headers: &Headers, minor: u8, side: Side) -> Result<Framing, Fault> {
    Ok(match declared(headers, minor).map_err(|reason| reason.on(side))? {
        Declared::Nothing => Framing::None,
        Declared::Length(length) => Framing::Length(length),
        Declared::Chunked => Framing::Chunked,
    })
}

/// 1xx and 204 end with their head, and one that declares a body is refused: a peer that believes the field would wait
/// for it. 304 and answers to HEAD declare the body that they do not have.
pub(crate) fn response_framing(
    headers: &Headers,
    status: u16,
    minor: u8,
    to_head: bool,
    side: Side,
) -> Result<Framing, Fault> {
    let declared = declared(headers, minor).map_err(|reason| reason.on(side))?;
    match (status, declared) {
        (100..=199 | 204, Declared::Nothing | Declared::Length(0)) => Ok(Framing::None),
        (100..=199 | 204, _) => Err(why::LENGTH_FORBIDDEN.on(side)),
        (304, _) => Ok(Framing::None),
        (_, _) if to_head => Ok(Framing::None),
        (_, Declared::Nothing) => Ok(Framing::UntilClose),
        (_, Declared::Length(length)) => Ok(Framing::Length(length)),
        (_, Declared::Chunked) => Ok(Framing::Chunked),
    }
}

/// Fields that say what a message is: `Connection` may not take them away between us and who reads on, and no other
/// name may pass for them.
const END_TO_END: &[&str] = &[
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "transfer-encoding",
];

/// RFC 9112, 9.3. Errors: an option that is no token or names what is not the connection's. Some servers name
/// Transfer-Encoding, which is the connection's; of a client it is refused, since it hides that field from other
/// proxies.
fn keep_alive(headers: &Headers, minor: u8, side: Side) -> Result<bool, Fault> {
    if !headers.connection_tokens().all(is_token) {
        return Err(why::CONNECTION.on(side));
    }
    let allowed = |option: &[u8]| side == Side::Upstream && same(option, "transfer-encoding");
    let not_its_own = |option: &[u8]| !allowed(option) && END_TO_END.iter().any(|name| same(option, name));
    if headers.connection_tokens().any(not_its_own) {
        return Err(why::CONNECTION_NAMES.on(side));
    }
    let has = |option: &str| headers.connection_tokens().any(|token| same(token, option));
    Ok(!has("close") && (minor == 1 || has("keep-alive")))
}

/// CGI and its heirs read `Content_Length`, and some of them `Content.Length`, as `Content-Length`. Names of our own use
/// that differ so are refused; others are as good as any.
fn check_lookalikes(headers: &Headers, side: Side) -> Result<(), Fault> {
    let lookalike = |name: &[u8]| END_TO_END.iter().any(|other| !same(name, other) && reads_as(name, other));
    if headers.iter().any(|(name, _)| lookalike(name.as_bytes())) {
        return Err(why::LOOKALIKE.on(side));
    }
    Ok(())
}

/// RFC 9112, 3.2; an empty Host is refused too: a gateway has to know whom it is asked for.
pub(crate) fn check_host(headers: &Headers, minor: u8, side: Side) -> Result<(), Fault> {
    let mut hosts = headers.all("host");
    match (hosts.next(), hosts.next()) {
        (None, _) if minor == 0 => Ok(()),
        (None, _) => Err(why::HOST_MISSING.on(side)),
        (Some(_), Some(_)) => Err(why::HOST_TWICE.on(side)),
        (Some(host), None) => authority(host.as_bytes()).map(|_| ()).ok_or_else(|| why::HOST.on(side)),
    }
}

/// A host in lower case and its port, from `name`, `name:port` or `[IPv6]:port`. Userinfo, escapes and sub-delimiters
/// are not read: no name in DNS has them.
pub fn authority(text: &[u8]) -> Option<(String, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']')?;
            (is_ipv6(address).then_some(&text[..address.len() + 2])?, behind)
        }
        None => {
            let (name, behind) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(name).then_some(name)?, behind)
        }
    };
    let port = if port.is_empty() { None } else { Some(parse_port(port.strip_prefix(':')?)?) };
    Some((name.to_ascii_lowercase(), port))
}

fn is_name(name: &str) -> bool {
    let sized = (1..=HOST_BYTES_MAX).contains(&name.len());
    sized && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

fn is_ipv6(address: &str) -> bool {
    let sized = (2..=45).contains(&address.len()) && address.matches(':').count() >= 2;
    sized && address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?.filter(|port| *port != 0)
}

/// RFC 9110, 5.6.2; not empty.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let in_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(in_token)
}

/// Optional white space around a value. RFC 9110, 5.6.3.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Whether a name, of any casing, is this one.
pub(crate) fn same(name: &[u8], other: &str) -> bool {
    name.eq_ignore_ascii_case(other.as_bytes())
}

/// Whether a reader that hands fields on as variables, in which every sign is one `_`, would take a name for this one,
/// which is in lower case.
pub(crate) fn reads_as(name: &[u8], other: &str) -> bool {
    let dashed = name.iter().map(|b| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' });
    name.len() == other.len() && dashed.eq(other.bytes())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
