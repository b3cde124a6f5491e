//! From accept to the first request: TLS, the run's own credential, policy's word on `connect`, the upstream, and the
//! `connect` record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gate::Who;
use ledger::{Code, Draft, Kind, Map, Name};
use mask::MaskedText;
use proto_http::frame::{Decoder, Head, Incoming, Start};
use proto_http::reply::status_of;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SetOnce};
use tokio_rustls::TlsAcceptor;
use vocab::{Seq, SessionId};

use super::credential::{Injected, shown};
use super::dial::{Way, reach};
use super::entry::{Entry, Found};
use super::lent::{NO_PROCESS, Process, is_lent, lend};
use super::problem::Problem;
use super::resource::Resource;
use super::scrub::Needles;
use super::session::{Cut, Session, Start as Begin, over};
use super::side::{Broken, Side};
use super::two;
use crate::accept::Newcomer;
use crate::alike::NO_RECORD;
use crate::connect::{BARRED, Barred, permitted};
use crate::counts::Stranger;
use crate::leg::Leg;
use crate::limits::{HTTP_SESSIONS_PER_RUN_MAX, LOGIN, REFUSAL_RECORD};
use crate::runs::Run;

/// Serves one connection to its end.
pub(crate) async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    newcomer: Arc<Newcomer>,
    resource: Arc<Resource>,
) {
    let _ = stream.set_nodelay(true);
    let strangers = resource.registry.turned_away.clone();
    let Ok(greeted) = tokio::time::timeout(LOGIN, greet(stream, &resource)).await else {
        return strangers.add(Stranger::Late);
    };
    let (client, head) = match greeted {
        Ok(Greeted::One(begun)) => *begun,
        Ok(Greeted::Two(io)) => {
            let scheme = if resource.server_tls.is_some() { "https" } else { "http" };
            return two::serve(
                io,
                Arc::new(Doorway { resource, address, newcomer, scheme, owner: SetOnce::new() }),
            )
            .await;
        }
        Err(Stray::Quiet) => return,
        Err(Stray::Tls) => return strangers.add(Stranger::Tls),
        Err(Stray::Wrong(mut client, fault)) => {
            strangers.add(Stranger::Protocol);
            let problem = Problem::new(400, fault.outward);
            return tell(&mut client, &problem, false).await;
        }
    };
    first(client, head, address, &newcomer, &resource, None).await;
}

/// A connection of HTTP/2: each of its lanes is an ordinary session, and all are one run's.
struct Doorway {
    resource: Arc<Resource>,
    address: SocketAddr,
    newcomer: Arc<Newcomer>,
    scheme: &'static str,
    /// Whose the first request was that showed a credential.
    owner: SetOnce<Arc<Run>>,
}

impl two::Host for Doorway {
    async fn lane(self: Arc<Self>, leg: Leg) {
        let mut client = Side::client(leg, &self.resource);
        let strangers = &self.resource.registry.turned_away;
        match tokio::time::timeout(LOGIN, client.next()).await {
            Ok(Ok(Incoming::Head(head))) => {
                first(client, head, self.address, &self.newcomer, &self.resource, Some(&self.owner)).await;
            }
            Ok(Err(Broken::Fault(fault))) => {
                two::Host::wrong(&*self, fault.outward).await;
                tell(&mut client, &Problem::new(status_of(&fault), fault.outward), false).await;
            }
            Ok(Ok(_) | Err(Broken::Gone)) => {}
            Err(_late) => strangers.add(Stranger::Late),
        }
    }

    fn is_proved(&self) -> bool {
        self.owner.get().is_some()
    }

    async fn proved(&self) {
        let _whose = self.owner.wait().await;
    }

    fn lanes(&self) -> &Arc<Semaphore> {
        &self.resource.registry.lanes
    }

    async fn over(&self) {
        let mut ended = self.owner.wait().await.end();
        let _whatever_its_end = over(&mut ended).await;
    }

    async fn wrong(&self, why: &'static str) {
        match self.owner.get() {
            None => self.resource.registry.turned_away.add(Stranger::Protocol),
            Some(run) => {
                let entry = Entry::Listener;
                Login { resource: &self.resource, run, address: self.address, entry }
                    .not_connected(why)
                    .await;
            }
        }
    }

    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn reads_status(&self) -> bool {
        self.resource.config.cluster.is_some()
    }
}

/// From the first request of a connection, or of a lane, on. `owner`: whose all lanes of the connection are.
async fn first(
    mut client: Side,
    head: Head,
    address: SocketAddr,
    newcomer: &Newcomer,
    resource: &Arc<Resource>,
    owner: Option<&SetOnce<Arc<Run>>>,
) {
    let run =
        shown(&head.headers).and_then(|s| resource.registry.by_password(&s.user, s.password.as_bytes()));
    let Some(run) = run else {
        resource.registry.turned_away.add(Stranger::Credential);
        let problem = Problem::new(401, NO_SUCH_RUN);
        return tell(&mut client, &problem, is_head(&head)).await;
    };
    newcomer.proved();
    let login = Login { resource, run: &run, address, entry: Entry::Listener };
    let others = owner.and_then(|owner| {
        let _the_first_one = owner.set(run.clone());
        owner.get().filter(|owner| owner.id != run.id)
    });
    if others.is_some() {
        login.not_connected(ANOTHERS).await;
        return tell(&mut client, &Problem::new(401, ANOTHERS), is_head(&head)).await;
    }
    // From here on the session counts as one of the run's, and the end of the run waits for it.
    let ended = run.end();
    if is_lent(resource, &head) {
        return match lend(resource, &run, &mut client, ended, &head).await {
            Ok(()) => {}
            Err(problem) => tell(&mut client, &problem, false).await,
        };
    }
    let Some(_present) = run.present_below(HTTP_SESSIONS_PER_RUN_MAX) else {
        login.not_connected(TOO_MANY).await;
        return tell(&mut client, &Problem::new(503, TOO_MANY), false).await;
    };
    let _nowhere_else = login.serve(&mut client, ended, head).await;
}

/// What the client is told, and the record says, where a run has no room for another connection.
pub(super) const TOO_MANY: &str = "the run has as many connections as one may have";
const ANOTHERS: &str = "each request of a connection shows the credential of the run that opened it";
const NO_SUCH_RUN: &str = "show the credential that `tacho run` gave: Basic, Bearer, or X-Api-Key";

/// A connection that showed no request.
enum Stray {
    Quiet,
    Tls,
    Wrong(Box<Side>, wire::Fault),
}

/// How a connection begins.
enum Greeted {
    One(Box<(Side, Head)>),
    Two(two::Begun),
}

/// TLS where it is configured, and the first head, or the first bytes of HTTP/2.
async fn greet(stream: TcpStream, resource: &Resource) -> Result<Greeted, Stray> {
    let leg = match &resource.server_tls {
        None => Leg::Tcp(stream),
        Some(tls) => match TlsAcceptor::from(tls.clone()).accept(stream).await {
            Ok(stream) => Leg::TlsServer(Box::new(stream)),
            Err(_) => return Err(Stray::Tls),
        },
    };
    let mut client = Side::client(leg, resource);
    // With TLS the client says by ALPN what it speaks, and means it.
    if client.leg.chose_two() || !client.leg.is_tls() && two::begins(&mut client).await {
        return Ok(Greeted::Two(two::Begun::new(&mut client)));
    }
    match client.next().await {
        Ok(Incoming::Head(head)) => Ok(Greeted::One(Box::new((client, head)))),
        Err(Broken::Fault(fault)) => Err(Stray::Wrong(Box::new(client), fault)),
        Ok(_) | Err(Broken::Gone) => Err(Stray::Quiet),
    }
}

pub(super) fn is_head(head: &Head) -> bool {
    matches!(&head.start, Start::Request { method, .. } if method.as_bytes() == b"HEAD")
}

pub(super) async fn tell(client: &mut Side, problem: &Problem, to_head: bool) {
    let mut out = problem.encode(false, to_head, client.reads_status);
    let _gone = tokio::time::timeout(Duration::from_secs(1), client.leg.drain(&mut out)).await;
}

/// A session of a resource that is there.
struct Counted(Arc<Resource>);

impl Counted {
    fn new(resource: &Arc<Resource>) -> Counted {
        resource.sessions.fetch_add(1, Ordering::Relaxed);
        Counted(resource.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the client is told, and why, if that is not in the record already.
pub(super) type Refused = (Problem, Option<&'static str>);

fn refused(status: u16, why: &'static str) -> Refused {
    (Problem::new(status, why), Some(why))
}

/// A run before a resource.
pub(super) struct Login<'a> {
    pub(super) resource: &'a Arc<Resource>,
    pub(super) run: &'a Arc<Run>,
    pub(super) address: SocketAddr,
    pub(super) entry: Entry,
}

type End = tokio::sync::watch::Receiver<Option<crate::runs::Ended>>;

impl Login<'_> {
    /// A session from its first request to its end. `Some`: the client goes on elsewhere, with this.
    pub(super) async fn serve(&self, client: &mut Side, ended: End, head: Head) -> Option<Found> {
        match self.session(client, ended, head).await {
            Ok(found) => found,
            Err((problem, why)) => {
                if let Some(why) = why {
                    self.not_connected(why).await;
                }
                tell(client, &problem, false).await;
                None
            }
        }
    }

    /// Dials, records, and runs the session to its end.
    async fn session(&self, client: &mut Side, ended: End, head: Head) -> Result<Option<Found>, Refused> {
        let resource = self.resource;
        let _counted = Counted::new(resource);
        if let Some(recording) = &resource.recording {
            return self.again(client, ended, head, recording).await;
        }
        let way = self.way(&head)?;
        let config = &resource.config;
        let mut who = self.run.who(SessionId(0), &config.name, &resource.root, config.durability);
        let code = Code::status(403);
        permitted(&resource.gate, &who, resource.root.clone(), config.kind(), code).await.map_err(|why| {
            match why {
                Barred::Refused(decided, record) => (Problem::refused(403, &decided, BARRED, record), None),
                Barred::NoRecord => (Problem::new(503, NO_RECORD), None),
            }
        })?;
        let secret = config.vault.fetch().await;
        let injected = secret.and_then(|secret| {
            Ok((Injected::new(&config.inject, secret.as_ref())?, Needles::new(secret.as_ref())))
        });
        let (injected, needles) = injected.map_err(|why| {
            resource.reached(Some(why));
            refused(502, "the gateway has no credential for the service behind it")
        })?;
        let (leg, command) =
            reach(resource, &way).await.map_err(|_told_to_the_operator| refused(502, UNREACHABLE))?;
        let connect = self.record(client, &leg, command).await?;
        who.session = SessionId(connect.0);
        let placeholder = Side::new(Leg::Gone, Decoder::client());
        let mut session = Session::new(Begin {
            resource: resource.clone(),
            run: self.run.clone(),
            who: who.clone(),
            client: std::mem::replace(client, placeholder),
            upstream: Side::new(leg, Decoder::upstream()),
            way,
            injected,
            needles,
            ended,
            entry: self.entry.clone(),
        });
        let cut = session.run(head).await;
        self.record_end(&who, connect, &session, &cut).await;
        std::mem::swap(client, &mut session.client);
        Ok(session.elsewhere.take())
    }

    pub(super) fn way(&self, head: &Head) -> Result<Way, Refused> {
        if !self.resource.is_stdio() {
            return Ok(Way::Dial);
        }
        let process = Process::of(&head.headers).ok_or_else(|| refused(400, NO_PROCESS))?;
        Ok(Way::Lent(self.run.id, process))
    }

    async fn record(
        &self,
        client: &Side,
        upstream: &Leg,
        command: Option<MaskedText>,
    ) -> Result<Seq, Refused> {
        let config = &self.resource.config;
        let address = match command {
            Some(_) => "stdio".to_owned(),
            None => format!("{}:{}", config.upstream.host, config.upstream.port),
        };
        let via = matches!(self.entry, Entry::Proxy(_)).then_some("proxy");
        let two = |leg: &Leg| leg.is_lane().then_some("2");
        let options = Map::new()
            .put("kind", config.kind())
            .put_some("command", command)
            .put_some("via", via)
            .put_some("http", two(&client.leg))
            .put_some("http_upstream", two(upstream));
        let draft = Draft::new(Kind::Connect)
            .run(self.run.id)
            .put_some("resource", Name::configured(&config.name))
            .put("client", self.address)
            .put_some("upstream", Name::configured(&address))
            .put("upstream_id", 0u32)
            .put("tls_client", client.leg.is_tls())
            .put("tls_upstream", upstream.is_tls())
            .put("role", "")
            .put("server", MaskedText::constant(""))
            .put("options", options);
        let no_record = || refused(503, NO_RECORD);
        let receipt = self.resource.gate.ledger().append(draft).map_err(|_| no_record())?;
        let durable = receipt.await.map_err(|_| no_record())?;
        Ok(durable.seq())
    }

    /// A run that proved itself and got no session: why is in its record.
    async fn not_connected(&self, why: &'static str) {
        let draft = Draft::new(Kind::Note).run(self.run.id).put("what", "not-connected").put("detail", why);
        // Not possible now means that the ledger is down, which is told when it is back (`gap`).
        if let Ok(receipt) = self.resource.gate.ledger().append(draft) {
            let _durable = tokio::time::timeout(REFUSAL_RECORD, receipt).await;
        }
    }

    async fn record_end(&self, who: &Who, connect: Seq, session: &Session, cut: &Cut) {
        // What was wrong with a request that was never read to its end, or with an answer: no other record says it.
        if let Some(detail) = cut.detail {
            let draft = Draft::new(Kind::Note).run(who.run).session(who.session).of(connect);
            let _before_the_next =
                self.resource.gate.ledger().append(draft.put("what", "cut").put("detail", detail));
        }
        let draft = Draft::new(Kind::Disconnect)
            .run(who.run)
            .session(who.session)
            .of(connect)
            .put("why", cut.why)
            .put("client_bytes", session.client.bytes)
            .put("upstream_bytes", session.upstream.bytes);
        // Not possible now means that the ledger is down; its recovery closes the run as interrupted.
        if let Ok(receipt) = self.resource.gate.ledger().append(draft) {
            let _durable = receipt.await;
        }
    }
}

/// What the client is told where the upstream cannot be reached.
pub(super) const UNREACHABLE: &str =
    "the service behind the gateway cannot be reached, or could not prove who it is";
