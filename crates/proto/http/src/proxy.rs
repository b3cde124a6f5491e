//! What a client asks of a forward proxy: a tunnel to `host:port`, or a request with a whole URL.
//! Spec: RFC 9110, 9.3.6 "CONNECT"; RFC 9112, 3.2.2 "absolute-form", 3.2.3 "authority-form".
//!
//! A request says up to three times whom it is for: in its target, in `Host`, and in the tunnel that it came through. What
//! follows `Host` and what follows the target could then be two services, so that they agree or the request is refused.
//! Names are compared as they are written, without case: `api.example.com.`, `2130706433` and `[0::1]` are other hosts
//! than `api.example.com`, `127.0.0.1` and `[::1]`, and are refused where nobody configured them so.

use crate::fault::{self as why, Reason};
use crate::frame::{Framing, Head, Headers, Start};
use crate::head::authority;
use crate::target::Target;
use std::fmt;
use wire::{Fault, RawField, Side};

/// A host, in lower case and an address of IPv6 in brackets, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub host: String,
    pub port: u16,
}

/// What a proxy is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `CONNECT host:port`.
    Tunnel(Place),
    /// A request by `http://`, whose head now has the path alone for a target. [`Head::raw`] stays what came.
    Plain(Place, Head),
}

/// Where a path stands, seen from the beginning of a resource's paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Below {
    /// The target behind the beginning; it begins with a slash.
    Rest(RawField),
    /// The beginning itself, with this query if there is one, from its `?` on.
    Itself(RawField),
    /// Another path.
    Not,
}

/// The port of plain HTTP where a URL names none.
const HTTP: u16 = 80;
/// The same of HTTPS: clients leave it out of `Host`.
const HTTPS: u16 = 443;

impl Place {
    /// The place that a resource's upstream is: an address of IPv6 comes without its brackets.
    pub fn new(host: &str, port: u16) -> Place {
        let host = host.to_ascii_lowercase();
        Place { host: if host.contains(':') { format!("[{host}]") } else { host }, port }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads what a proxy is asked for. Errors (side: client): a target in neither form, a tunnel with a body, a Host that says
/// something else. A response's head is a fault of the gateway's.
pub fn wanted(head: Head) -> Result<Wanted, Fault> {
    let Start::Request { method, target, minor } = &head.start else {
        return Err(why::REQUEST_LINE.on(Side::Gateway));
    };
    let (method, target, minor) = (method.clone(), target.clone(), *minor);
    if method.as_bytes() == b"CONNECT" {
        return tunnel(&head, target.as_bytes())
            .map(Wanted::Tunnel)
            .map_err(|reason| reason.on(Side::Client));
    }
    let (place, path) = absolute(target.as_bytes()).map_err(|reason| reason.on(Side::Client))?;
    agrees(&head.headers, &place, HTTP).map_err(|reason| reason.on(Side::Client))?;
    let path = match path.as_slice() {
        // RFC 9112, 3.2.4: an empty path of OPTIONS is the whole server.
        b"/" if method.as_bytes() == b"OPTIONS" && target.as_bytes().last() != Some(&b'/') => b"*".to_vec(),
        _ => path,
    };
    let start = Start::Request { method, target: RawField::new(path.into()), minor };
    Ok(Wanted::Plain(place, Head { start, ..head }))
}

/// A request inside a tunnel: its target is a path, and its Host is the tunnel's. Errors: it is not.
pub fn inside(head: &Head, place: &Place) -> Result<(), Reason> {
    let Start::Request { target, .. } = &head.start else { return Err(why::REQUEST_LINE) };
    if !matches!(target.as_bytes(), [b'/', ..] | b"*") {
        return Err(why::PROXY_FORM);
    }
    match head.headers.contains("host") {
        true => agrees(&head.headers, place, HTTPS),
        false => Err(why::HOST_MISSING),
    }
}

/// Holds a target in origin-form against the beginning of a resource's paths: empty, or `/v2` and the like, of plain
/// segments. Errors: the target has no one reading, or spells the beginning in another way, which the service may or
/// may not take for it.
pub fn below(base: &str, target: &RawField) -> Result<Below, Reason> {
    let Target::Origin(origin) = Target::parse(target, true)? else { return Ok(Below::Not) };
    let base_segments = || base.split('/').filter(|segment| !segment.is_empty());
    let mut segments = origin.path.segments.iter();
    let begins =
        base_segments().all(|own| segments.next().is_some_and(|segment| segment.eq_ignore_ascii_case(own)));
    if !begins {
        return Ok(Below::Not);
    }
    let whole = target.to_bytes();
    let Some(rest) = whole.strip_prefix(base.as_bytes()) else { return Err(why::SPELT_OTHERWISE) };
    let rest = RawField::new(whole.slice_ref(rest));
    match rest.as_bytes() {
        [b'/', ..] => Ok(Below::Rest(rest)),
        [] | [b'?', ..] => Ok(Below::Itself(rest)),
        _ => Err(why::SPELT_OTHERWISE),
    }
}

fn tunnel(head: &Head, target: &[u8]) -> Result<Place, Reason> {
    if head.framing != Framing::None {
        return Err(why::TUNNEL_BODY);
    }
    let (host, port) = authority(target).ok_or(why::AUTHORITY)?;
    let place = Place { host, port: port.ok_or(why::AUTHORITY)? };
    agrees(&head.headers, &place, place.port)?;
    Ok(place)
}

/// The place and the path of an absolute URL. Its path is `/` where it is empty.
fn absolute(target: &[u8]) -> Result<(Place, Vec<u8>), Reason> {
    let scheme = |scheme: &str| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    };
    let rest = match (scheme("http://"), scheme("https://")) {
        (Some(rest), _) => rest,
        (None, Some(_)) => return Err(why::HTTPS_URL),
        (None, None) => return Err(why::NO_PROXY_FORM),
    };
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (whom, path) = rest.split_at(end);
    let (host, port) = authority(whom).ok_or(why::AUTHORITY)?;
    let slash: &[u8] = if path.first() == Some(&b'/') { b"" } else { b"/" };
    Ok((Place { host, port: port.unwrap_or(HTTP) }, [slash, path].concat()))
}

/// Whether Host, if there is one, is `place`; without a port it means `usual`.
fn agrees(headers: &Headers, place: &Place, usual: u16) -> Result<(), Reason> {
    let Some(host) = headers.get("host") else { return Ok(()) };
    let (host, port) = authority(host.as_bytes()).ok_or(why::HOST)?;
    match host == place.host && port.unwrap_or(usual) == place.port {
        true => Ok(()),
        false => Err(why::HOST_DISAGREES),
    }
}

#[cfg(test)]
mod tests;
