//! Heads as typed messages. Spec: RFC 9110, 7 "Routing", 8 "Representation Data", 9 "Methods", 10.1.1 "Expect".

use crate::fault::{self as why, Reason};
use crate::frame::{Framing, Head, Headers, Start};
use crate::head::{authority, reads_as, same};
use bytes::Bytes;
use std::fmt;
use wire::{Fault, RawField, Side};

pub use crate::media::{Encoding, Media, latin_in_utf8, push_latin};
pub use crate::target::{Origin, Path, Query, Target};

/// A request that this listener may serve; whether it may pass is for policy to say.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub target: Target,
    /// In lower case, without the port. `None` only in HTTP/1.0.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub media: Media,
    /// In the order in which they were applied; decode from the last.
    pub encodings: Vec<Encoding>,
    /// The client holds the body back until it sees a 100 or a final status.
    pub expects_continue: bool,
    /// The client offers another protocol. It need not be taken up, and [`hop_by_hop`] removes the offer.
    pub upgrade: bool,
    pub minor: u8,
    pub headers: Headers,
    pub framing: Framing,
    pub keep_alive: bool,
    pub raw: Bytes,
}

/// A response, final or interim.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub reason: RawField,
    pub media: Media,
    pub encodings: Vec<Encoding>,
    pub minor: u8,
    pub headers: Headers,
    pub framing: Framing,
    pub keep_alive: bool,
    pub raw: Bytes,
}

/// Methods are case-sensitive: `get` is another one than `GET`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
    Options,
    Trace,
    Connect,
    Other(RawField),
}

impl Request {
    /// Errors: the reasons in [`fault`](crate::fault) under "What a request means" (side: client). A response's head is
    /// a fault of the gateway's.
    pub fn new(head: Head) -> Result<Request, Fault> {
        let Head { start, headers, framing, keep_alive, raw } = head;
        let Start::Request { method, target, minor } = start else {
            return Err(why::REQUEST_LINE.on(Side::Gateway));
        };
        let view = View::of(&headers, &method, &target, framing).map_err(|reason| reason.on(Side::Client))?;
        Ok(Request {
            method: view.method,
            target: view.target,
            host: view.host,
            port: view.port,
            media: view.media,
            encodings: view.encodings,
            // RFC 9110, 10.1.1: an expectation of HTTP/1.0 is ignored; without a body there is nothing to hold back.
            expects_continue: view.expects && minor == 1 && has_body(framing),
            upgrade: headers.contains("upgrade"),
            minor,
            headers,
            framing,
            keep_alive,
            raw,
        })
    }

    /// A body where the method gives it no meaning. RFC 9110, 9.3.1, 9.3.2, 9.3.5 and 9.3.8: some servers do not read
    /// it, and take it for the next request. Whoever sends it on accepts that risk for this upstream.
    pub fn has_meaningless_body(&self) -> bool {
        let without = matches!(self.method, Method::Get | Method::Head | Method::Delete | Method::Trace);
        without && has_body(self.framing)
    }
}

impl Response {
    /// Errors: several Content-Type, a malformed Content-Encoding (side: upstream). A request's head is a fault of the
    /// gateway's.
    pub fn new(head: Head) -> Result<Response, Fault> {
        let Head { start, headers, framing, keep_alive, raw } = head;
        let Start::Response { status, reason, minor } = start else {
            return Err(why::STATUS_LINE.on(Side::Gateway));
        };
        let on_upstream = |reason: Reason| reason.on(Side::Upstream);
        let media = Media::of(&headers, has_body(framing)).map_err(on_upstream)?;
        let encodings = Encoding::of(&headers).map_err(on_upstream)?;
        Ok(Response { status, reason, media, encodings, minor, headers, framing, keep_alive, raw })
    }

    /// Whether another head follows for the same request.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100..=199)
    }
}

impl Method {
    pub fn parse(method: &RawField) -> Method {
        match method.as_bytes() {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"PATCH" => Method::Patch,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => Method::Other(method.clone()),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            Method::Post => b"POST",
            Method::Put => b"PUT",
            Method::Delete => b"DELETE",
            Method::Patch => b"PATCH",
            Method::Options => b"OPTIONS",
            Method::Trace => b"TRACE",
            Method::Connect => b"CONNECT",
            Method::Other(name) => name.as_bytes(),
        }
    }
}

/// Removes what is for this connection alone, and what `Connection` says is. RFC 9110, 7.6.1.
///
/// Call it before deciding, so that policy sees the fields that upstream will see. It removes Transfer-Encoding:
/// whoever encodes says anew how the body is framed. A `Connection` that names a field of the message was refused
/// when it was decoded.
pub fn hop_by_hop(headers: &mut Headers) {
    let named: Vec<String> = headers
        .connection_tokens()
        .filter_map(|token| std::str::from_utf8(token).ok().map(str::to_owned))
        .collect();
    for name in HOP_BY_HOP.iter().copied().chain(named.iter().map(String::as_str)) {
        headers.remove(name);
    }
}

const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that some servers read in place of the request line, so that a GET would be a DELETE, or `/` be `/admin`: what
/// frameworks call them, what a proxy says to a service that trusts it, and the variables of CGI, which gunicorn takes from
/// fields of these names.
const OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-method",
    "x-forwarded-method",
    "x-original-method",
    "x-envoy-original-method",
    "request-method",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-original-pathbase",
    "x-original-prefix",
    "x-original-query",
    "x-original-querystring",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-rewrite-path",
    "x-override-url",
    "x-override-path",
    "x-request-uri",
    "x-request-url",
    "x-request-path",
    "x-replaced-path",
    "x-external-path",
    "x-ingress-path",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-forwarded-path",
    "x-forwarded-pathbase",
    "x-forwarded-prefix",
    "x-forwarded-query",
    "x-forwarded-script-name",
    "x-forwarded-request-uri",
    "x-envoy-original-path",
    "x-envoy-original-dst-host",
    "x-ms-original-url",
    "x-waws-unencoded-url",
    "x-http-destinationurl",
    "x-http-path-override",
    "x-http-url-override",
    "x-proxy-url",
    "x-script-name",
    "x-script-url",
    "x-path-info",
    "x-base-path",
    // Next.js: which page is meant, and that its middleware was there before.
    "x-matched-path",
    "x-now-route-matches",
    "x-invoke-path",
    "x-invoke-query",
    "x-middleware-rewrite",
    "x-middleware-subrequest",
    "script-name",
    "script-url",
    "script-uri",
    "script-filename",
    "path-info",
    "path-translated",
    "request-uri",
    "query-string",
    "document-uri",
    "redirect-url",
];

/// What stands in names of fields by which a service of objects is told of another one: where a copy or a part of one comes from,
/// what is renamed, where a link leads, of which parts a whole is. What is decided is the path alone.
const ELSEWHERE: &[&str] =
    &["copy-source", "copy-from", "move-source", "rename-source", "symlink-target", "object-manifest"];

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?} {:?}, {:?}, {:?})", self.method, self.target, self.media, self.framing)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {:?}, {:?})", self.status, self.media, self.framing)
    }
}

/// What a request's fields say, each read once.
struct View {
    method: Method,
    target: Target,
    host: Option<String>,
    port: Option<u16>,
    media: Media,
    encodings: Vec<Encoding>,
    expects: bool,
}

impl View {
    fn of(headers: &Headers, method: &RawField, target: &RawField, body: Framing) -> Result<View, Reason> {
        let overrides = |name: &RawField| OVERRIDES.iter().any(|other| reads_as(name.as_bytes(), other));
        if headers.iter().any(|(name, _)| overrides(name)) {
            return Err(why::OVERRIDE);
        }
        let elsewhere = |name: &RawField| {
            let within = |other: &str| name.as_bytes().windows(other.len()).any(|part| reads_as(part, other));
            ELSEWHERE.iter().any(|other| within(other))
        };
        if headers.iter().any(|(name, _)| elsewhere(name)) {
            return Err(why::ELSEWHERE);
        }
        let method = Method::parse(method);
        let target = Target::parse(target, method == Method::Options)?;
        let (host, port) = match headers.get("host") {
            Some(host) => {
                authority(host.as_bytes()).map(|(host, port)| (Some(host), port)).ok_or(why::HOST)?
            }
            None => (None, None),
        };
        let media = Media::of(headers, has_body(body))?;
        let encodings = Encoding::of(headers)?;
        Ok(View { method, target, host, port, media, encodings, expects: expects(headers)? })
    }
}

fn expects(headers: &Headers) -> Result<bool, Reason> {
    let mut expectations = headers.all("expect");
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if same(one.as_bytes(), "100-continue") => Ok(true),
        (Some(_), _) => Err(why::EXPECT),
    }
}

fn has_body(framing: Framing) -> bool {
    match framing {
        Framing::None | Framing::Length(0) => false,
        Framing::Length(_) | Framing::Chunked | Framing::UntilClose => true,
    }
}

#[cfg(test)]
mod tests;
