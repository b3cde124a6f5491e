//! An exec, attach or port-forward on its way to being a connection of streams: what the client offers, what is asked of the
//! API server, and what both then speak.
//!
//! **Invariant:** a connection whose upgrade failed carries nothing more, on either side (CVE-2018-1002105).

use proto_http::frame::{Framing, Headers};
use proto_http::message::{Request as HttpRequest, Response};
use proto_http::websocket::{Offer, chosen};
use proto_kubernetes::channel::{self, Carrier, Protocol};
use proto_kubernetes::fault::Reason;
use proto_kubernetes::query::Connect;
use proto_kubernetes::request::Asked;
use wire::RawField;

use super::super::credential::base64;
use super::super::websocket::accept;
use crate::entropy;

/// A connection that a request asks for.
pub(in crate::http) struct Tunnel {
    pub(in crate::http) connect: Connect,
    pub(in crate::http) carrier: Carrier,
    offered: Vec<Protocol>,
    /// Over WebSocket: what the client offers, and the gateway's own key.
    socket: Option<(Offer, RawField)>,
}

/// The refusal of an upgrade of anything else.
pub(super) const NOT_ONE: (u16, &str) =
    (400, "only exec, attach and port-forward are upgraded to another protocol");
const NEEDED: &str = "exec, attach and port-forward go over WebSocket or SPDY: Upgrade is missing";
const ONE: &str = "Upgrade must name `websocket` or `SPDY/3.1` alone, and Connection `Upgrade`";
const BODY: &str = "a request that is to be upgraded has no body";
const SPDY: &str = "SPDY/3.1";
const STREAM_VERSION: &str = "X-Stream-Protocol-Version";
const NOT_SWITCHED: &str = "the API server answered an upgrade with another one";

impl Tunnel {
    /// Errors: what is refused whatever policy says: status and reason.
    pub(super) fn of(request: &HttpRequest, asked: &Asked) -> Result<Option<Tunnel>, (u16, &'static str)> {
        let connect = asked.connect.as_ref().filter(|_| asked.upgrades());
        let connect = match (connect, request.upgrade) {
            (None, false) => return Ok(None),
            (None, true) => return Err(NOT_ONE),
            (Some(_), false) => return Err((400, NEEDED)),
            (Some(connect), true) => connect,
        };
        if !matches!(request.framing, Framing::None | Framing::Length(0)) {
            return Err((400, BODY));
        }
        let bad = |reason: Reason| (400, reason.outward);
        let socket = Offer::of(request).map_err(|reason| (400, reason.outward))?;
        let (carrier, names): (Carrier, Vec<&[u8]>) = match &socket {
            Some(offer) => (Carrier::WebSocket, offer.protocols.iter().map(RawField::as_bytes).collect()),
            None if is_spdy(&request.headers) => {
                let all = request
                    .headers
                    .all(STREAM_VERSION)
                    .flat_map(|field| field.as_bytes().split(|b| *b == b','));
                (Carrier::Spdy, all.map(<[u8]>::trim_ascii).collect())
            }
            None => return Err((400, ONE)),
        };
        let names: Option<Vec<&str>> = names.into_iter().map(|name| std::str::from_utf8(name).ok()).collect();
        let offered = channel::offered(connect, carrier, &names.ok_or((400, ONE))?).map_err(bad)?;
        let key = RawField::copy_from(&base64(&entropy::random::<16>()));
        Ok(Some(Tunnel {
            connect: connect.clone(),
            carrier,
            offered,
            socket: socket.map(|offer| (offer, key)),
        }))
    }

    /// What the API server is asked.
    pub(in crate::http) fn asks(&self) -> Headers {
        let names: Vec<&str> = self.offered.iter().map(|protocol| protocol.name(self.carrier)).collect();
        let mut headers = Headers::new();
        let mut put = |name: &str, value: &[u8]| {
            headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value));
        };
        put("Connection", b"Upgrade");
        match &self.socket {
            Some((_, key)) => {
                put("Upgrade", b"websocket");
                put("Sec-WebSocket-Version", b"13");
                put("Sec-WebSocket-Key", key.as_bytes());
                put("Sec-WebSocket-Protocol", names.join(", ").as_bytes());
            }
            None => {
                put("Upgrade", SPDY.as_bytes());
                names.iter().for_each(|name| put(STREAM_VERSION, name.as_bytes()));
            }
        }
        headers
    }

    /// What the client is told, beside the protocol, which the API server says.
    pub(super) fn told(&self) -> Headers {
        let mut headers = Headers::new();
        let mut put = |name: &str, value: &[u8]| {
            headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value));
        };
        put("Connection", b"Upgrade");
        match &self.socket {
            Some((offer, _)) => {
                put("Upgrade", b"websocket");
                put("Sec-WebSocket-Accept", &accept(&offer.key));
            }
            None => put("Upgrade", SPDY.as_bytes()),
        }
        headers
    }

    /// The ports of a port-forward that the server may open at once, all together.
    pub(super) fn ports_at_once(&self) -> &[u16] {
        match &self.connect {
            Connect::PortForward(ports) if self.offered.contains(&Protocol::PortChannels) => ports,
            _ => &[],
        }
    }

    /// What both speak from here on. Errors: the API server agreed to something else.
    pub(super) fn agreed(&self, response: &Response) -> Result<Protocol, &'static str> {
        let name = match &self.socket {
            Some((offer, key)) => chosen(response, offer, &accept(key)).map_err(|reason| reason.outward)?,
            None => {
                let mut all = response.headers.all(STREAM_VERSION);
                let name = all.next().cloned();
                if !is_spdy(&response.headers) || all.next().is_some() {
                    return Err(NOT_SWITCHED);
                }
                name
            }
        };
        let name = name.as_ref().and_then(RawField::to_str);
        channel::chosen(&self.offered, self.carrier, name).map_err(|reason| reason.outward)
    }
}

/// Whether `Upgrade` names SPDY alone, and `Connection` says so.
fn is_spdy(headers: &Headers) -> bool {
    let mut upgrades = headers.list("upgrade");
    let same = |name: &[u8], own: &str| name.eq_ignore_ascii_case(own.as_bytes());
    let alone = upgrades.next().is_some_and(|name| same(name, SPDY)) && upgrades.next().is_none();
    alone && headers.connection_tokens().any(|token| same(token, "upgrade"))
}
