//! The forward proxy: where it listens, and which resource each URL through it means.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::raw::RawResource;
use super::reader::At;
use super::resolve::Resolver;
use super::service::STDIO;
use super::{HttpUpstream, Resource, What};

/// What is reached through the proxy so far, by its upstream's URL.
pub(super) struct Reached {
    proxy: Option<SocketAddr>,
    all: Vec<(HttpUpstream, String)>,
}

impl Reached {
    pub(super) fn new(proxy: Option<SocketAddr>) -> Reached {
        Reached { proxy, all: Vec::new() }
    }
}

impl Resolver<'_> {
    /// The proxy's address: it speaks plain HTTP, and runs show it their credentials.
    pub(super) fn proxy(&mut self, text: &At<&str>, console: SocketAddr) -> Option<SocketAddr> {
        let address = self.address("[gateway]: `proxy`", text)?;
        let wrong = match address {
            _ if address.port() == 0 => "needs a port of its own: agents are told it",
            _ if !address.ip().is_loopback() => {
                "would have the run's credential cross the network in the clear, so it listens on loopback only"
            }
            _ if address == console => "has the console's address; choose another port",
            _ => return Some(address),
        };
        self.problems.at(&text.span, format!("[gateway]: `proxy` {wrong}"));
        None
    }

    /// A resource has a listener, or is one that the proxy stands before.
    pub(super) fn has_a_way(&mut self, raw: &RawResource<'_>, proxied: bool) {
        let stdio = raw.upstream.as_ref().is_some_and(|url| url.value == STDIO);
        let over_http =
            !stdio && raw.kind.as_ref().is_some_and(|kind| matches!(kind.value, "http" | "llm" | "mcp"));
        if raw.listen.is_none() && !(over_http && proxied) {
            let or = if over_http { ", or give the gateway a proxy = \"127.0.0.1:3128\"" } else { "" };
            self.problems.at(
                &raw.span,
                format!("{}: `listen` is missing; write listen = \"127.0.0.1:6432\"{or}", raw.place),
            );
        }
    }

    /// Two resources with one origin are told apart by their paths; and what leads back to the proxy leads nowhere.
    pub(super) fn reaches(
        &mut self,
        reached: &mut Reached,
        place: &str,
        span: &Range<usize>,
        resource: &Resource,
    ) {
        let (Some(proxy), What::Http(service)) = (reached.proxy, &resource.what) else { return };
        if resource.what.stdio().is_some() {
            return;
        }
        let upstream = &service.upstream;
        let ip = match upstream.host.as_str() {
            "localhost" => Some(proxy.ip()),
            host => host.parse::<IpAddr>().ok(),
        };
        if ip == Some(proxy.ip()) && upstream.port == proxy.port() {
            self.problems.at(span, format!("{place}: the upstream is the gateway's own proxy"));
        }
        if resource.listen.is_none() && upstream.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            self.problems.at(
                span,
                format!("{place}: clients use no proxy for an address of this machine; write localhost, or give the resource a `listen`"),
            );
        }
        let same = |other: &&(HttpUpstream, String)| {
            let other = &other.0;
            (other.https, &other.host, other.port) == (upstream.https, &upstream.host, upstream.port)
                && other.base.eq_ignore_ascii_case(&upstream.base)
        };
        if let Some((_, other)) = reached.all.iter().find(same) {
            self.problems.at(
                span,
                format!("{place}: {other} has the same upstream, and through the proxy the two could not be told apart; give them different paths"),
            );
        }
        reached.all.push((upstream.clone(), place.to_owned()));
    }
}
