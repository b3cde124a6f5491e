//! The forward proxy: one listener for every resource that is reached over HTTP, by the host and port of its upstream.
//!
//! A client shows its run's credential in `Proxy-Authorization`. `CONNECT` is answered for the hosts of configured resources
//! and for nobody else; TLS then ends here, under a certificate of the installation's own authority (`crate::authority`), and
//! what comes inside are requests of ordinary sessions, each with the resource that has the host, the port and the path. A
//! service that speaks plain HTTP is asked for by whole URLs.
//!
//! **Invariant:** nothing is dialled because a client named it: only resources are, as they are configured.
//! **Invariant:** CONNECT, SNI and Host name one host, or nothing is served.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use gate::Gate;
use ledger::{Draft, Kind};
use proto_http::frame::{Decoder, Head, Incoming};
use proto_http::proxy::Place;
use proto_http::reply::{ESTABLISHED, status_of};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use vocab::Seq;

use super::entry::{Entry, Found, Origins, Through, Why, run_of};
use super::listen::{Login, TOO_MANY, is_head, tell};
use super::problem::Problem;
use super::resource::Resource;
use super::session::over;
use super::side::{Broken, Side};
use super::two;
use crate::accept::Newcomer;
use crate::again::Recording;
use crate::alike::NO_RECORD;
use crate::authority::Authority;
use crate::counts::Stranger;
use crate::in_vain::Noted;
use crate::leg::Leg;
use crate::limits::{HTTP_IDLE, HTTP_SESSIONS_PER_RUN_MAX, LOGIN, REFUSAL_RECORD};
use crate::runs::{Ended, Registry, Run};

/// What all connections of the proxy share.
pub struct Proxy {
    gate: Gate,
    registry: Registry,
    origins: Arc<Origins>,
    authority: Authority,
    /// Is told what nobody answers, where a run is carried out again.
    pub(crate) recording: Option<Arc<dyn Recording>>,
}

impl Proxy {
    pub fn new(gate: Gate, registry: Registry, resources: &[Arc<Resource>], authority: Authority) -> Proxy {
        let origins = Arc::new(Origins::new(registry.clone(), resources));
        Proxy { gate, registry, origins, authority, recording: None }
    }

    /// The hosts that certificates are minted for.
    pub fn hosts(resources: &[Arc<Resource>]) -> BTreeSet<String> {
        let https = resources.iter().filter(|resource| resource.config.upstream.is_https());
        https.map(|resource| resource.config.upstream.host.to_ascii_lowercase()).collect()
    }
}

/// Serves one connection to its end.
pub(crate) async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    newcomer: Arc<Newcomer>,
    proxy: Arc<Proxy>,
) {
    let _ = stream.set_nodelay(true);
    let strangers = proxy.registry.turned_away.clone();
    let mut client = Side::new(Leg::Tcp(stream), Decoder::client());
    let Ok(first) = tokio::time::timeout(LOGIN, client.next()).await else {
        return strangers.add(Stranger::Late);
    };
    let head = match first {
        Ok(Incoming::Head(head)) => head,
        Err(Broken::Fault(fault)) => {
            strangers.add(Stranger::Protocol);
            let problem = Problem::new(status_of(&fault), fault.outward);
            return tell(&mut client, &problem, false).await;
        }
        Ok(_) | Err(Broken::Gone) => return,
    };
    let Some(run) = run_of(&proxy.registry, &head) else {
        strangers.add(Stranger::Credential);
        return tell(&mut client, &Problem::new(407, NO_SUCH_RUN), is_head(&head)).await;
    };
    newcomer.proved();
    // From here on the connection counts as one of the run's, and the end of the run waits for it.
    let ended = run.end();
    let through = Arc::new(Through { origins: proxy.origins.clone(), run: run.clone(), tunnel: None });
    let guest = Guest { proxy, run, through, address, ended };
    match guest.run.present_below(HTTP_SESSIONS_PER_RUN_MAX) {
        Some(_present) => guest.serve(&mut client, head).await,
        None => guest.wrong(&mut client, 503, TOO_MANY).await,
    }
}

const NO_SUCH_RUN: &str = "show the proxy the credential that `tacho run` gave: Proxy-Authorization, Basic";
const EARLY: &str = "something came before the tunnel was there";
const NO_TLS: &str =
    "no TLS was established in the tunnel: another name, no trust in the gateway's authority, or too late";
const OVER: &str = "the run that this connection belongs to is over";

/// A client of the proxy that showed its run.
#[derive(Clone)]
struct Guest {
    proxy: Arc<Proxy>,
    run: Arc<Run>,
    through: Arc<Through>,
    address: SocketAddr,
    ended: watch::Receiver<Option<Ended>>,
}

impl Guest {
    /// One thing after another, until the connection ends.
    async fn serve(mut self, client: &mut Side, first: Head) {
        let mut found = self.through.find(first);
        loop {
            if self.ended.borrow().is_some() {
                return tell(client, &Problem::new(401, OVER), false).await;
            }
            let next = match found {
                Found::Request(resource, head) => {
                    let entry = Entry::Proxy(self.through.clone());
                    let (run, address) = (&self.run, self.address);
                    let login = Login { resource: &resource, run, address, entry };
                    login.serve(client, self.ended.clone(), head).await
                }
                Found::Tunnel(place) => self.tunnel(client, place).await,
                Found::Nobody(place, why) => return self.refuse(client, &place, why).await,
                Found::Wrong(status, why) => return self.wrong(client, status, why).await,
            };
            match next {
                Some(next) => found = next,
                None => return,
            }
        }
    }

    /// Opens a tunnel and reads the first request in it.
    async fn tunnel(&mut self, client: &mut Side, place: Place) -> Option<Found> {
        if let Err(why) = self.proxy.origins.tunnel(&place) {
            return Some(Found::Nobody(place, why));
        }
        // Whoever decides what is in the tunnel has not seen yet that there is one.
        if !client.input.is_empty() {
            return Some(Found::Wrong(400, EARLY));
        }
        let host = place.host.trim_start_matches('[').trim_end_matches(']');
        let config = match self.proxy.authority.server(host) {
            Ok(config) => config,
            Err(why) => return Some(Found::Wrong(500, why)),
        };
        if self.secure(client, config).await.is_none() {
            // Nobody is left who could be told.
            let _told_or_not = self.note("not-connected", NO_TLS.to_owned()).await;
            return None;
        }
        let (origins, run) = (self.proxy.origins.clone(), self.run.clone());
        self.through = Arc::new(Through { origins, run, tunnel: Some(place) });
        if client.leg.chose_two() {
            two::serve(two::Begun::new(client), Arc::new(self.clone())).await;
            return None;
        }
        let first = tokio::time::timeout(HTTP_IDLE, client.next());
        let first = tokio::select! {
            biased;
            _ = over(&mut self.ended) => return None,
            first = first => first.ok()?,
        };
        match first {
            Ok(Incoming::Head(head)) => Some(self.through.find(head)),
            Err(Broken::Fault(fault)) => Some(Found::Wrong(status_of(&fault), fault.outward)),
            Ok(_) | Err(Broken::Gone) => None,
        }
    }

    /// Says that the tunnel is there, and ends TLS in it.
    async fn secure(&mut self, client: &mut Side, config: Arc<ServerConfig>) -> Option<()> {
        let leg = &mut client.leg;
        let handshake = async {
            leg.drain(&mut BytesMut::from(ESTABLISHED)).await.ok()?;
            let Leg::Tcp(stream) = std::mem::replace(leg, Leg::Gone) else { return None };
            TlsAcceptor::from(config).accept(stream).await.ok()
        };
        let stream = tokio::select! {
            biased;
            _ = over(&mut self.ended) => return None,
            stream = tokio::time::timeout(LOGIN, handshake) => stream.ok()??,
        };
        let bytes = client.bytes;
        *client = Side::new(Leg::TlsServer(Box::new(stream)), Decoder::client());
        client.bytes = bytes;
        Some(())
    }

    /// Nobody is there: that is in the record before the client is told.
    async fn refuse(&self, client: &mut Side, place: &Place, why: Why) {
        let noted = self.note("refused-host", format!("{place}{}", why.noted())).await;
        let problem = match noted {
            Ok(Some(record)) => Problem::new(403, why.told()).and("record", record.0.to_string()),
            Ok(None) => Problem::new(403, why.told()),
            Err(Unrecorded) => Problem::new(503, NO_RECORD),
        };
        tell(client, &problem, false).await;
    }

    async fn wrong(&self, client: &mut Side, status: u16, why: &'static str) {
        // What the ledger cannot take now is refused all the same.
        let _refused_either_way = self.note("not-connected", why.to_owned()).await;
        tell(client, &Problem::new(status, why), false).await;
    }

    /// A note in the run's record, once for each different one and no more than may be listed; durable when this returns.
    async fn note(&self, what: &'static str, detail: String) -> Result<Option<Seq>, Unrecorded> {
        if let Some(recording) = &self.proxy.recording {
            recording.beyond("proxy", &detail);
        }
        let in_vain = &self.run.in_vain;
        if let Noted::Known(record) = in_vain.note(&detail) {
            return Ok(record);
        }
        // A host is the agent's own words: what detectors know in it does not stand in the record.
        let words = mask::text(self.proxy.gate.detectors(), &detail).0;
        let draft = Draft::new(Kind::Note).run(self.run.id).put("what", what).put("detail", words);
        let recorded = async {
            let receipt = self.proxy.gate.ledger().append(draft).ok()?;
            tokio::time::timeout(REFUSAL_RECORD, receipt).await.ok()?.ok()
        };
        match recorded.await {
            Some(durable) => {
                in_vain.recorded(&detail, durable.seq());
                Ok(Some(durable.seq()))
            }
            None => {
                in_vain.unrecorded(&detail);
                Err(Unrecorded)
            }
        }
    }
}

/// HTTP/2 in a tunnel: each lane is what a tunnel of HTTP/1.1 is.
impl two::Host for Guest {
    async fn lane(self: Arc<Self>, leg: Leg) {
        let mut client = Side::new(leg, Decoder::client());
        let Some(_present) = self.run.present_below(HTTP_SESSIONS_PER_RUN_MAX) else {
            return self.wrong(&mut client, 503, TOO_MANY).await;
        };
        match tokio::time::timeout(LOGIN, client.next()).await {
            Ok(Ok(Incoming::Head(head))) => (*self).clone().serve(&mut client, head).await,
            Ok(Err(Broken::Fault(fault))) => self.wrong(&mut client, status_of(&fault), fault.outward).await,
            Ok(Ok(_) | Err(Broken::Gone)) | Err(_) => {}
        }
    }

    fn is_proved(&self) -> bool {
        true
    }

    async fn proved(&self) {}

    fn lanes(&self) -> &Arc<Semaphore> {
        &self.proxy.registry.lanes
    }

    async fn over(&self) {
        let _whatever_its_end = over(&mut self.ended.clone()).await;
    }

    async fn wrong(&self, why: &'static str) {
        // What the ledger cannot take now is refused all the same.
        let _refused_either_way = self.note("not-connected", why.to_owned()).await;
    }

    fn scheme(&self) -> &'static str {
        "https"
    }
}

/// No record was possible in time.
struct Unrecorded;
