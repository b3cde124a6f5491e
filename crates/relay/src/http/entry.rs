//! How a client came: to a resource's own listener, or through the proxy, where each request says anew whom it is for.

use std::sync::Arc;

use proto_http::frame::{Head, Start};
use proto_http::proxy::{Below, Place, Wanted, below, inside, wanted};
use proto_http::reply::status_of;
use wire::{RawField, Side};

use super::credential::shown_to_proxy;
use super::resource::Resource;
use crate::runs::{Registry, Run};

/// How a session's client came.
#[derive(Clone)]
pub(super) enum Entry {
    Listener,
    Proxy(Arc<Through>),
}

/// What a client of the proxy asks for.
pub(super) enum Found {
    /// A request for this resource, as its own listener would have it.
    Request(Arc<Resource>, Head),
    Tunnel(Place),
    /// Nobody is there.
    Nobody(Place, Why),
    /// Refused for what it is: status and reason.
    Wrong(u16, &'static str),
}

/// Why nobody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No resource has this host and port.
    Host,
    /// None of those that have it has this path.
    Path,
    /// A tunnel to a service that speaks plain HTTP.
    Plain,
}

impl Why {
    pub(super) fn told(self) -> &'static str {
        match self {
            Why::Host => {
                "no resource has this host and port; agents reach what is configured, and nothing else"
            }
            Why::Path => "no resource has this path",
            Why::Plain => {
                "this service speaks plain HTTP, for which there is no tunnel: ask for its whole URL"
            }
        }
    }

    /// Behind the host and port, for the record.
    pub(super) fn noted(self) -> &'static str {
        match self {
            Why::Host => "",
            Why::Path => " (another path)",
            Why::Plain => " (plain HTTP by a tunnel)",
        }
    }
}

impl Entry {
    pub(super) fn is_proxy(&self) -> bool {
        matches!(self, Entry::Proxy(_))
    }

    /// What stands before each path of the resource, as this client sees it.
    pub(super) fn before<'a>(&self, resource: &'a Resource) -> &'a str {
        match self {
            Entry::Listener => "",
            Entry::Proxy(_) => &resource.config.upstream.base,
        }
    }

    /// A further request of a session with `resource`. Errors: it is not this session's, and what it is.
    pub(super) fn same(&self, head: Head, resource: &Arc<Resource>) -> Result<Head, Box<Found>> {
        let Entry::Proxy(through) = self else { return Ok(head) };
        match through.find(head) {
            Found::Request(same, head) if Arc::ptr_eq(&same, resource) => Ok(head),
            other => Err(Box::new(other)),
        }
    }
}

/// What a connection of the proxy is for.
pub(super) struct Through {
    pub(super) origins: Arc<Origins>,
    pub(super) run: Arc<Run>,
    /// Where its tunnel leads; `None`: there is none, and requests have whole URLs.
    pub(super) tunnel: Option<Place>,
}

impl Through {
    /// Reads whom a request is for.
    pub(super) fn find(&self, head: Head) -> Found {
        if let Some(place) = &self.tunnel {
            return match inside(&head, place) {
                Ok(()) => self.origins.find(place.clone(), true, head),
                Err(reason) => wrong(reason.on(Side::Client)),
            };
        }
        let own = run_of(&self.origins.registry, &head).is_some_and(|run| run.id == self.run.id);
        if !own {
            return Found::Wrong(407, NOT_ITS_RUN);
        }
        match wanted(head) {
            Ok(Wanted::Tunnel(place)) => Found::Tunnel(place),
            Ok(Wanted::Plain(place, head)) => self.origins.find(place, false, head),
            Err(fault) => wrong(fault),
        }
    }
}

const NOT_ITS_RUN: &str =
    "each request to the proxy shows the credential of the run that opened the connection";
const ITSELF: &str = "the paths of this resource begin with a slash behind this one";

fn wrong(fault: wire::Fault) -> Found {
    Found::Wrong(status_of(&fault), fault.outward)
}

/// The live run whose credential a request to the proxy shows.
pub(super) fn run_of(registry: &Registry, head: &Head) -> Option<Arc<Run>> {
    let shown = shown_to_proxy(&head.headers)?;
    registry.by_password(&shown.user, shown.password.as_bytes())
}

/// What is reached through the proxy, by where it is.
pub(super) struct Origins {
    registry: Registry,
    /// The longest beginning of paths first.
    all: Vec<Origin>,
}

struct Origin {
    place: Place,
    https: bool,
    resource: Arc<Resource>,
}

impl Origins {
    pub(super) fn new(registry: Registry, resources: &[Arc<Resource>]) -> Origins {
        let origin = |resource: &Arc<Resource>| Origin {
            place: Place::new(&resource.config.upstream.host, resource.config.upstream.port),
            https: resource.config.upstream.is_https(),
            resource: resource.clone(),
        };
        // A server that its client starts has no address.
        let mut all: Vec<Origin> =
            resources.iter().filter(|resource| !resource.is_stdio()).map(origin).collect();
        all.sort_by_key(|origin| std::cmp::Reverse(origin.resource.config.upstream.base.len()));
        Origins { registry, all }
    }

    fn at(&self, place: &Place, https: bool) -> impl Iterator<Item = &Origin> {
        self.all.iter().filter(move |origin| origin.place == *place && origin.https == https)
    }

    /// Whether a tunnel may lead there.
    pub(super) fn tunnel(&self, place: &Place) -> Result<(), Why> {
        match (self.at(place, true).next(), self.at(place, false).next()) {
            (Some(_), _) => Ok(()),
            (None, Some(_)) => Err(Why::Plain),
            (None, None) => Err(Why::Host),
        }
    }

    /// The resource whose request it is, and the request as its own listener would have it.
    fn find(&self, place: Place, https: bool, head: Head) -> Found {
        let Start::Request { method, target, minor } = &head.start else {
            return Found::Wrong(400, "this is no request");
        };
        let mut why = Why::Host;
        for origin in self.at(&place, https) {
            why = Why::Path;
            let config = &origin.resource.config;
            let target = match below(&config.upstream.base, target) {
                Ok(Below::Rest(rest)) => rest,
                // The URL of a server of MCP is the place itself.
                Ok(Below::Itself(query)) if config.mcp.is_some() => {
                    RawField::new([b"/", query.as_bytes()].concat().into())
                }
                Ok(Below::Itself(_)) => return Found::Wrong(404, ITSELF),
                Ok(Below::Not) => continue,
                Err(reason) => return wrong(reason.on(Side::Client)),
            };
            let start = Start::Request { method: method.clone(), target, minor: *minor };
            return Found::Request(origin.resource.clone(), Head { start, ..head });
        }
        Found::Nobody(place, why)
    }
}
