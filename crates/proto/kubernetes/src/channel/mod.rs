//! The protocols inside of exec, attach and port-forward, once the connection is upgraded: their names, WebSocket's channels
//! ([`websocket`]), and what is said on the streams that are not a program's ([`said`]). SPDY's streams are [`crate::spdy`].
//!
//! Spec: k8s.io/apimachinery/pkg/util/remotecommand and portforward (constants), k8s.io/kubelet's streaming server, KEP-4006.
//!
//! **Refused**: the versions before 4 (their errors are text that says no exit status), those in base64 (a second writing
//! of the same bytes), a connection without a name (the server then takes the oldest version).

use crate::fault::{self as why, Reason};
use crate::limits::PROTOCOLS_MAX;
use crate::query::Connect;

pub mod port;
pub mod said;
pub mod websocket;

/// A protocol that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Of exec and attach: the exit status is a `Status`.
    V4,
    /// As 4; over WebSocket the client can close its input.
    V5,
    /// Of port-forward: a pair of SPDY streams for each connection.
    PortForward,
    /// Of port-forward, over WebSocket alone: a pair of channels for each port that the query names ([`port`]).
    PortChannels,
}

/// What the connection is upgraded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// `Upgrade: websocket`, by GET. Names stand in `Sec-WebSocket-Protocol`; those of port-forward have SPDY's frames in
    /// WebSocket's messages.
    WebSocket,
    /// `Upgrade: SPDY/3.1`. Names stand in `X-Stream-Protocol-Version`.
    Spdy,
}

impl Protocol {
    /// The name on the wire.
    pub fn name(self, carrier: Carrier) -> &'static str {
        match (self, carrier) {
            (Protocol::V4 | Protocol::PortChannels, _) => "v4.channel.k8s.io",
            (Protocol::V5, _) => "v5.channel.k8s.io",
            (Protocol::PortForward, Carrier::Spdy) => "portforward.k8s.io",
            (Protocol::PortForward, Carrier::WebSocket) => "SPDY/3.1+portforward.k8s.io",
        }
    }

    /// Whether its streams are SPDY's: then [`crate::spdy`] reads what comes.
    pub fn is_spdy(self, carrier: Carrier) -> bool {
        carrier == Carrier::Spdy || self == Protocol::PortForward
    }
}

/// Those of the offered names that may go upstream, in their order. Errors (side: client): none is left, more than
/// [`PROTOCOLS_MAX`], a connection that has none (proxy).
pub fn offered(connect: &Connect, carrier: Carrier, names: &[&str]) -> Result<Vec<Protocol>, Reason> {
    let own: &[Protocol] = match (connect, carrier) {
        (Connect::Exec(_) | Connect::Attach(_), _) => &[Protocol::V4, Protocol::V5],
        (Connect::PortForward(_), Carrier::WebSocket) => &[Protocol::PortForward, Protocol::PortChannels],
        (Connect::PortForward(_), Carrier::Spdy) => &[Protocol::PortForward],
        (Connect::Proxy(_), _) => &[],
    };
    if names.len() > PROTOCOLS_MAX {
        return Err(why::TOO_MANY_PROTOCOLS);
    }
    let known = |name: &&str| own.iter().copied().find(|protocol| protocol.name(carrier) == *name);
    let mut kept: Vec<Protocol> = Vec::new();
    for protocol in names.iter().filter_map(known) {
        if kept.contains(&protocol) {
            return Err(why::PROTOCOL_TWICE);
        }
        kept.push(protocol);
    }
    // Its ports are decided with the request; with the other's, one by one. Every server knows it.
    if kept.contains(&Protocol::PortChannels) {
        kept = vec![Protocol::PortChannels];
    }
    if kept.is_empty() { Err(why::NO_PROTOCOL) } else { Ok(kept) }
}

/// The one that upstream chose. Errors (side: upstream): none, or one that was not offered.
pub fn chosen(offered: &[Protocol], carrier: Carrier, name: Option<&str>) -> Result<Protocol, Reason> {
    let found = offered.iter().copied().find(|protocol| Some(protocol.name(carrier)) == name);
    found.ok_or(why::NOT_OFFERED)
}
