//! The opening handshake. Spec: RFC 6455, 4.1 "Client Requirements", 4.2 "Server-Side Requirements".

use crate::fault::{self as why, Reason};
use crate::frame::Framing;
use crate::head::{Headers, is_token, same};
use crate::limits::*;
use crate::message::{Method, Request, Response};
use wire::RawField;

/// What a client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// 16 bytes in Base64: the accepting answer shows a digest of it.
    pub key: RawField,
    /// Subprotocols, the most wanted first.
    pub protocols: Vec<RawField>,
}

impl Offer {
    /// Reads the handshake of a request; `None`: it asks for no WebSocket. Extensions are not read: whoever sends it on
    /// offers none. Errors: the reasons under "WebSocket" in [`fault`](crate::fault).
    pub fn of(request: &Request) -> Result<Option<Offer>, Reason> {
        let headers = &request.headers;
        if !headers.list("upgrade").any(|name| same(name, "websocket")) {
            return Ok(None);
        }
        let checks = [
            (request.minor == 1 && request.method == Method::Get, why::HANDSHAKE),
            (request.framing == Framing::None, why::HANDSHAKE_BODY),
            (switches(headers), why::HANDSHAKE_UPGRADE),
            (only(headers, "sec-websocket-version").is_some_and(|v| v.as_bytes() == b"13"), why::VERSION_13),
        ];
        if let Some((_, reason)) = checks.iter().find(|(holds, _)| !holds) {
            return Err(*reason);
        }
        let key = only(headers, "sec-websocket-key").filter(|key| is_key(key.as_bytes()));
        Ok(Some(Offer { key: key.cloned().ok_or(why::KEY)?, protocols: protocols(headers)? }))
    }
}

/// The subprotocol that upstream chose with its `101`. `accept`: what it has to show. Errors: it does not accept what was
/// offered.
pub fn chosen(response: &Response, offer: &Offer, accept: &[u8]) -> Result<Option<RawField>, Reason> {
    let headers = &response.headers;
    if response.status != 101 || response.minor != 1 || !switches(headers) {
        return Err(why::NOT_SWITCHED);
    }
    if only(headers, "sec-websocket-accept").is_none_or(|shown| shown.as_bytes() != accept) {
        return Err(why::ACCEPT);
    }
    if headers.contains("sec-websocket-extensions") {
        return Err(why::EXTENSION);
    }
    match (only(headers, "sec-websocket-protocol"), headers.contains("sec-websocket-protocol")) {
        (None, false) => Ok(None),
        (Some(one), _) if offer.protocols.contains(one) => Ok(Some(one.clone())),
        (Some(_) | None, _) => Err(why::PROTOCOL),
    }
}

/// Whether `Upgrade` names WebSocket alone, and `Connection` says so.
fn switches(headers: &Headers) -> bool {
    let mut upgrades = headers.list("upgrade");
    let alone = upgrades.next().is_some_and(|name| same(name, "websocket")) && upgrades.next().is_none();
    alone && headers.connection_tokens().any(|token| same(token, "upgrade"))
}

/// The value of a field that is there once.
fn only<'a>(headers: &'a Headers, name: &str) -> Option<&'a RawField> {
    let mut all = headers.all(name);
    all.next().filter(|_| all.next().is_none())
}

/// RFC 6455, 4.1: 16 bytes in Base64. The last of 22 digits has four bits that say nothing, and are zero.
fn is_key(key: &[u8]) -> bool {
    let [digits @ .., last, b'=', b'='] = key else { return false };
    let digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    digits.len() == 21 && digits.iter().all(digit) && matches!(last, b'A' | b'Q' | b'g' | b'w')
}

fn protocols(headers: &Headers) -> Result<Vec<RawField>, Reason> {
    let mut all: Vec<RawField> = Vec::new();
    for name in headers.list("sec-websocket-protocol") {
        let name = RawField::copy_from(name);
        // A name is a token; that of Kubernetes' port-forward has a slash in it.
        let parts = name.as_bytes().split(|b| *b == b'/').all(is_token);
        if !parts || all.contains(&name) || all.len() == PROTOCOLS_MAX {
            return Err(why::PROTOCOLS);
        }
        all.push(name);
    }
    Ok(all)
}
