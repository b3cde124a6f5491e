//! A channel to another place: decided, opened, and carried as bytes that are counted, recorded, and not read.
//!
//! | resource | verb | what |
//! |---|---|---|
//! | `NAME/USER/host/db.internal/5432` | `call` | a port that the host is asked to connect to (RFC 4254, 7.2) |
//! | `NAME/USER/socket/run/x.sock` | `call` | a socket of the host's (OpenSSH's PROTOCOL, 2.4) |
//!
//! It is opaque, unless the place is a resource of this gateway: then the bytes go to that resource's own listener, and never to the host.
//! There the run logs in, and what it does is decided and recorded, as if it had come by itself.
//!
//! **Invariant:** every piece, both ways, leaves after its record. A value that detectors find in what is opaque is in the record as
//! revealed; with `tripwire = "cut"` the channel ends before it leaves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use gate::{By, Decided, Exposure, Ground, Outcome, Piece, Release, Tripped};
use ledger::Durable;
use mask::{FilterBuilder, FilterStream, MaskedBytes, MaskedText};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use vocab::{Access, Action, Class, Group, Opaque, ResourcePath, Seq, Verb, Verdict};

use super::REFUSED_STATUS;
use super::asked::Asked;
use super::channel::not_sent;
use super::decide::{Cut, Denied, Over, over};
use super::library::{
    Beside, Came, Lane, NoTunnel, Opening, Request, Stdin, Target, TunnelEar, TunnelMouth, Upstream,
    is_loopback,
};
use super::link::Link;
use super::pool::UNREACHABLE;
use super::writer::{ClientWriter, ForwardWriter, NotSent, open_forward};
use crate::alike::{room, unsaid};
use crate::awaited::Awaited;
use crate::config::{Address, Tripwire};
use crate::entropy;
use crate::gateway::Served;
use crate::limits::{CHUNK_BYTES, DIAL, RECORD, SSH_AHEAD_MAX, SSH_GOODBYE};
use crate::program::Stream;

/// The kind of a forward, as policy and records have it.
const FORWARD: &str = "FORWARD";

const UNREAD: &str = "what goes through a forward is not read";
const NO_LISTENER: &str = "that is a resource of this gateway, and has no listener of its own";
const NOT_READY: &str = "the gateway does not know yet where its resources are";
const NOT_OPENED: &str = "nobody answers there";
const HELD_BACK: &str = "policy holds back what comes through the forward";
const TRIPPED: &str = "a detector found a value that no rule governs";
const LOST: &str = "the host's connection ended before the forward did";

// --- where to

/// Where the gateway's resources are, as the configuration says.
pub(crate) struct Routes(Vec<Route>);

struct Route {
    name: Arc<str>,
    listen: Option<SocketAddr>,
    upstream: Target,
    /// The port that its clients use where none is said.
    usual: u16,
}

impl Routes {
    /// `addresses`: where each of `resources` listens, in order.
    pub(crate) fn of(resources: &[Served], addresses: &[Option<SocketAddr>]) -> Routes {
        let route = |(served, listen): (&Served, &Option<SocketAddr>)| {
            let (name, upstream, usual) = match served {
                Served::Postgres(postgres) => {
                    let upstream = match &postgres.config.upstream.address {
                        Address::Tcp { host, port } => tcp(host, *port),
                        Address::Unix(path) => Target::Socket(path.display().to_string()),
                    };
                    (&postgres.config.name, upstream, 5432)
                }
                Served::Http(http) => {
                    let upstream = &http.config.upstream;
                    let usual = if upstream.is_https() { 443 } else { 80 };
                    (&http.config.name, tcp(&upstream.host, upstream.port), usual)
                }
                Served::Ssh(ssh) => (&ssh.config.name, tcp(&ssh.config.host, ssh.config.port), 22),
            };
            Route { name: name.clone(), listen: *listen, upstream, usual }
        };
        Routes(resources.iter().zip(addresses).map(route).collect())
    }

    /// The resource that `to` is, asked for on `host`: that has its upstream there, or that a client so named or addressed.
    fn find(&self, host: &str, to: &Target) -> Option<&Route> {
        let upstream = self.0.iter().find(|route| same_place(host, to, &route.upstream));
        upstream.or_else(|| self.0.iter().find(|route| route.is_named(to)))
    }
}

/// An upstream, as targets are written.
fn tcp(host: &str, port: u16) -> Target {
    // What no target can be is none's.
    Target::tcp(host, port.into()).unwrap_or(Target::Tcp { host: host.to_owned(), port })
}

/// Whether `to`, as the machine `host` sees it, is `upstream`, as the gateway sees it. Names are not looked up.
fn same_place(host: &str, to: &Target, upstream: &Target) -> bool {
    match (to, upstream) {
        (Target::Socket(to), Target::Socket(upstream)) => is_loopback(host) && to == upstream,
        (Target::Tcp { host: name, port }, Target::Tcp { host: at, port: of }) => {
            let name = if to.is_loopback() { host } else { name };
            port == of && (name.eq_ignore_ascii_case(at) || is_loopback(name) && is_loopback(at))
        }
        (Target::Tcp { .. }, Target::Socket(_)) | (Target::Socket(_), Target::Tcp { .. }) => false,
    }
}

impl Route {
    /// By the resource's name, with a port of its own, or by the address that runs are given.
    fn is_named(&self, to: &Target) -> bool {
        let Target::Tcp { host, port } = to else { return false };
        let upstream = match &self.upstream {
            Target::Tcp { port, .. } => Some(*port),
            Target::Socket(_) => None,
        };
        let listens = self.listen.map(|listen| listen.port());
        let its = [listens, upstream, Some(self.usual)].contains(&Some(*port));
        let named = host.eq_ignore_ascii_case(&self.name) && its;
        let addressed = self.listen.is_some_and(|listen| {
            let ip = listen.ip();
            let here = is_loopback(host) && (ip.is_loopback() || ip.is_unspecified());
            (here || host.parse() == Ok(ip)) && listen.port() == *port
        });
        named || addressed
    }
}

/// Where a listener is found from here.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// What is asked for.
fn action(root: &ResourcePath, user: &str, to: &Target, opaque: bool) -> Action {
    let of_user = root.join(user);
    let on = match to {
        Target::Tcp { host, port } => of_user.join("host").join(host).join(&port.to_string()),
        Target::Socket(path) => {
            let segments = path.split('/').filter(|segment| !segment.is_empty());
            segments.fold(of_user.join("socket"), |path, segment| path.join(segment))
        }
    };
    Action {
        accesses: vec![Access { verb: Verb::Call, on, columns: Vec::new() }],
        functions: Vec::new(),
        kind: FORWARD,
        opaque: opaque.then_some(Opaque(UNREAD)),
    }
}

// --- the way there

/// A way to the other end, not taken yet.
pub(super) enum Way {
    /// The host opens it. The connection to it is this forward's own while it lasts.
    Host(Upstream, Target),
    /// The listener of a resource of this gateway's.
    Own(SocketAddr),
}

impl Way {
    /// Takes it. `writer.rs` alone calls this. At most [`DIAL`].
    pub(super) async fn open(&self) -> Result<(FarEar, FarMouth), NoTunnel> {
        let opening = async {
            match self {
                Way::Host(upstream, to) => {
                    let (ear, mouth) = upstream.tunnel(to).await?;
                    Ok((FarEar::Host(ear), FarMouth::Host(mouth)))
                }
                Way::Own(listen) => {
                    let stream = TcpStream::connect(*listen).await.map_err(|_gone| NoTunnel::Refused)?;
                    let _ = stream.set_nodelay(true);
                    let (read, write) = stream.into_split();
                    Ok((FarEar::Own(read, false), FarMouth::Own(write)))
                }
            }
        };
        tokio::time::timeout(DIAL, opening).await.unwrap_or(Err(NoTunnel::Lost))
    }
}

/// What comes from there.
pub(super) enum FarEar {
    Host(TunnelEar),
    /// And whether it has come to its end.
    Own(OwnedReadHalf, bool),
}

impl FarEar {
    /// `None`: the connection is gone. May be dropped while it waits: nothing is lost.
    async fn next(&mut self) -> Option<Came> {
        match self {
            FarEar::Host(ear) => ear.next().await,
            FarEar::Own(_, true) => std::future::pending().await,
            FarEar::Own(read, ended) => {
                let mut bytes = BytesMut::with_capacity(CHUNK_BYTES);
                match read.read_buf(&mut bytes).await {
                    Ok(0) => {
                        *ended = true;
                        Some(Came::End)
                    }
                    Ok(_) => Some(Came::Data(bytes.freeze())),
                    Err(_) => None,
                }
            }
        }
    }

    /// What has come already.
    async fn now(&mut self) -> Option<Option<Came>> {
        tokio::select! {
            biased;
            came = self.next() => Some(came),
            () = std::future::ready(()) => None,
        }
    }
}

/// What is sent there. `writer.rs` alone calls these.
pub(super) enum FarMouth {
    Host(TunnelMouth),
    Own(OwnedWriteHalf),
}

impl FarMouth {
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), ()> {
        match self {
            FarMouth::Host(mouth) => mouth.send(bytes).await,
            FarMouth::Own(write) => write.write_all(&bytes).await.map_err(|_gone| ()),
        }
    }

    pub(super) async fn end(&mut self) -> Result<(), ()> {
        match self {
            FarMouth::Host(mouth) => mouth.end().await,
            FarMouth::Own(write) => write.shutdown().await.map_err(|_gone| ()),
        }
    }
}

// --- one forward

/// Serves a forward to its end. Errors: the connection ends with it.
pub(super) async fn forward(
    link: Arc<Link>,
    lane: Lane,
    to: Target,
    opening: Opening,
    mut ended: Over,
) -> Result<(), Cut> {
    let mut opening = Some(opening);
    let served = serve(&link, &lane, &to, &mut opening, &mut ended).await;
    match (&served, opening.take()) {
        (Err(cut), Some(opening)) => opening.refuse(cut.told, false).await,
        (_, None) => {
            let _gone = tokio::time::timeout(SSH_GOODBYE, ClientWriter(&lane).close()).await;
        }
        (Ok(()), Some(_not_opened)) => {}
    }
    match served {
        // Of the host, this client's end or this forward alone, others know nothing.
        Err(cut) if matches!(cut.why, "client-closed" | "upstream-closed" | "decision-used") => Ok(()),
        served => served,
    }
}

async fn serve(
    link: &Link,
    lane: &Lane,
    to: &Target,
    opening: &mut Option<Opening>,
    ended: &mut Over,
) -> Result<(), Cut> {
    let config = &link.resource.config;
    let routes = link.resource.routes.get();
    let route = routes.and_then(|routes| routes.find(&config.host, to));
    let listen = route.and_then(|route| route.listen).map(from_here);
    let mut asked = asked(link, to, route.map(|route| &*route.name));
    asked.refuse = match (routes, route, listen) {
        (None, ..) => Some(NOT_READY),
        (Some(_), Some(_), None) => Some(NO_LISTENER),
        (Some(_), Some(_), Some(_)) | (Some(_), None, _) => None,
    };
    room(&link.resource.gate).await;
    let ruled = link.rule(lane, &asked, ended).await.map_err(|cut| link.unsent(cut))?;
    let (decided, approval) = match ruled {
        Ok(allowed) => allowed,
        Err(denied) => return refused(link, &asked, &denied, opening, false).await,
    };
    let way = match listen {
        Some(listen) => Some(Way::Own(listen)),
        None => host(link, lane, to, ended).await?,
    };
    let Some(way) = way else {
        let decided = Box::new(unsaid(Decided::clone(&decided)));
        let denied = Denied { decided, why: UNREACHABLE, of: None };
        return refused(link, &asked, &denied, opening, true).await;
    };
    let carried = Forward { link, lane, asked: &asked, routed: listen.is_some() }
        .start(&decided, approval, &way, opening, ended)
        .await;
    if let Way::Host(upstream, _) = way {
        match carried {
            Ok(true) => link.pool.give(upstream).await,
            Ok(false) | Err(_) => link.pool.end(upstream).await,
        }
    }
    carried.map(|_other_end_closed_it| ())
}

fn asked(link: &Link, to: &Target, routed: Option<&str>) -> Asked {
    let action = action(&link.resource.root, &link.resource.config.user, to, routed.is_none());
    let words = match routed {
        None => format!("forward {to}"),
        Some(name) => format!("forward {to} (routed to {name})"),
    };
    // No two say the same: a name has no NUL.
    let sending = format!("{}\0{to}", routed.unwrap_or_default());
    Asked::forward(&link.resource, &link.who, action, &words, sending.into())
}

/// A connection to the host. `None`: there is none.
async fn host(link: &Link, lane: &Lane, to: &Target, ended: &mut Over) -> Result<Option<Way>, Cut> {
    let taken = tokio::select! {
        biased;
        cut = over(ended) => return Err(cut),
        () = lane.closed() => return Err(Cut::closed()),
        taken = link.pool.take() => taken,
    };
    Ok(taken.ok().map(|upstream| Way::Host(upstream, to.clone())))
}

/// Nothing is opened: recorded, and the client is told.
async fn refused(
    link: &Link,
    asked: &Asked,
    denied: &Denied,
    opening: &mut Option<Opening>,
    unreachable: bool,
) -> Result<(), Cut> {
    let words = link.record_refusal(asked, denied, REFUSED_STATUS, false).await;
    let words = words.map_err(|cut| link.unsent(cut))?;
    if let Some(opening) = opening.take() {
        opening.refuse(&words, unreachable).await;
    }
    Ok(())
}

/// A forward that is allowed.
struct Forward<'a> {
    link: &'a Link,
    lane: &'a Lane,
    asked: &'a Asked,
    /// To a resource of this gateway's.
    routed: bool,
}

/// What went through so far, in bytes.
#[derive(Default)]
struct Counts {
    there: AtomicU64,
    back: AtomicU64,
}

/// How a forward came to its end.
#[derive(Clone, Copy)]
enum End {
    /// Each side had said that there is no more.
    Both,
    Client,
    /// The other end closed the channel.
    Far,
    /// What came stays here, and the record says so.
    Withheld,
    /// It did not begin, and the record says so.
    NotOpened,
}

impl Forward<'_> {
    /// Records the intent, opens the other end, and carries bytes. `true`: the other end closed the channel by itself.
    async fn start(
        &self,
        decided: &Decided,
        approval: Option<Seq>,
        way: &Way,
        opening: &mut Option<Opening>,
        ended: &mut Over,
    ) -> Result<bool, Cut> {
        let link = self.link;
        let intended = link.intend(self.asked, decided, approval).await;
        let (of, permit) = intended.map_err(|cut| link.unsent(cut))?;
        link.begun(of);
        let counts = Counts::default();
        let opened = tokio::select! {
            biased;
            cut = over(ended) => Err(cut),
            opened = open_forward(permit, &self.asked.sending, way) => Ok(opened),
        };
        let carried = match opened {
            Ok(Ok((ear, writer))) => {
                if let Some(opening) = opening.take() {
                    opening.accept().await;
                }
                self.carry(of, &counts, ear, writer, ended).await
            }
            Ok(Err(NotSent::Gone)) => self.not_opened(of, opening).await,
            Ok(Err(NotSent::Unknown)) => Err(Cut::upstream(LOST)),
            Ok(Err(not)) => Err(not_sent(not)),
            Err(cut) => Err(cut),
        };
        let carried = match carried {
            Ok(End::NotOpened) => Ok(false),
            Ok(end) => self.settle(of, &counts, end).await.map(|()| matches!(end, End::Far)),
            Err(cut) => Err(cut),
        };
        if let Err(cut) = &carried
            && link.is_open(of)
        {
            self.indeterminate(of, &counts, cut).await;
        }
        carried.map_err(|cut| link.uncertain(cut))
    }

    /// Both ways, and what is asked of the channel besides, until one of them ends it.
    async fn carry(
        &self,
        of: Seq,
        counts: &Counts,
        ear: FarEar,
        writer: ForwardWriter,
        ended: &mut Over,
    ) -> Result<End, Cut> {
        let (mut asking, far_ended) = (ended.clone(), Notify::new());
        let back = Back::new(self, of, counts).carry(ear, &far_ended, &mut asking);
        let there = self.there(of, counts, writer);
        let asks = self.asks();
        tokio::pin!(back, there, asks);
        let (mut sends, mut comes) = (true, true);
        loop {
            tokio::select! {
                biased;
                // First: what it asks a person about has its end in the record when the run is over.
                end = &mut back => return match end {
                    Err(cut) if cut.why == "client-closed" => Ok(End::Client),
                    end => end,
                },
                cut = over(ended) => return Err(cut),
                cut = &mut asks => return if cut.why == "client-closed" { Ok(End::Client) } else { Err(cut) },
                () = far_ended.notified() => comes = false,
                sent = &mut there, if sends => match sent {
                    Ok(()) => sends = false,
                    // It takes no more of it.
                    Err(cut) if cut.why == "upstream-closed" => sends = false,
                    Err(cut) => return Err(cut),
                },
            }
            if !sends && !comes {
                return Ok(End::Both);
            }
        }
    }

    /// From the client to there, each piece after its record.
    async fn there(&self, of: Seq, counts: &Counts, mut writer: ForwardWriter) -> Result<(), Cut> {
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let mut opaque = mask::Opaque::default();
        let mut n = 0;
        loop {
            let Stdin::Data(bytes) = self.lane.stdin().await else {
                return writer.end().await.map_err(not_sent);
            };
            let (_counted_alone, found) = opaque.pass(&self.link.resource.detectors, &bytes);
            let hit = |f: &mask::Finding| Tripped {
                detector: f.detector,
                class: f.class.clone(),
                channel: "input",
                act: "reported",
            };
            // Of another resource's, that one says it.
            let tripwires = if self.routed { BTreeSet::new() } else { found.iter().map(hit).collect() };
            let length = bytes.len() as u64;
            let piece = Piece { n, to: "upstream", bytes: length, tripwires, ..Piece::default() };
            n += 1;
            room(gate).await;
            let intent = gate.piece_unopened(who, of, piece, &bytes, entropy::tick());
            let (_seq, permit) = self.link.permitted(intent).await?;
            counts.there.fetch_add(length, Ordering::Relaxed);
            writer.send(permit, bytes).await.map_err(not_sent)?;
        }
    }

    /// Resolves when the client has closed the channel, or nothing can be recorded. A forward has no requests: what is asked is refused.
    async fn asks(&self) -> Cut {
        loop {
            let Some(request) = self.lane.request().await else { return Cut::closed() };
            let what = match request {
                Request::Beside(what) => what,
                Request::Env(name, _) => Beside { what: "env", name },
                Request::Signal(_) => Beside { what: "signal", name: String::new() },
                _ => Beside { what: "second-program", name: String::new() },
            };
            if let Err(cut) = self.link.beside(&what).await {
                return cut;
            }
        }
    }

    fn outcome(&self, counts: &Counts, how: &str) -> Outcome {
        let (there, back) = (counts.there.load(Ordering::Relaxed), counts.back.load(Ordering::Relaxed));
        let tag = format!("{how}: {there} bytes there, {back} back");
        Outcome {
            result: "ok",
            state: "final",
            tag: Some(mask::name(self.link.resource.gate.detectors(), &tag)),
            bytes: back,
            partial: (!self.routed).then_some("partial: opaque; searched by detector, and not masked"),
            ..Outcome::default()
        }
    }

    /// Says how it ended.
    async fn settle(&self, of: Seq, counts: &Counts, end: End) -> Result<(), Cut> {
        let how = match end {
            End::Both => "ended by both",
            End::Client => "closed by the client",
            End::Far => "closed by the other end",
            End::Withheld => "held back",
            End::NotOpened => "not opened",
        };
        let outcome = self.outcome(counts, how);
        let outcome = match end {
            End::Withheld => Outcome { result: "refused", settled: Some("indeterminate"), ..outcome },
            End::Both | End::Client | End::Far | End::NotOpened => outcome,
        };
        let receipt = self.link.resource.gate.outcome(&self.link.who, of, outcome);
        let receipt = receipt.map_err(|e| self.link.unrecorded(e))?;
        self.link.settled(of);
        self.link.durable(receipt, RECORD).await.map(|_durable| ())
    }

    /// Says that nobody knows what became of what was sent.
    async fn indeterminate(&self, of: Seq, counts: &Counts, cut: &Cut) {
        let partial = Some("partial: the forward was cut before its end");
        let outcome = Outcome { partial, ..self.outcome(counts, &format!("cut ({})", cut.why)) };
        self.link.indeterminate(of, outcome).await;
    }

    /// The host, or the listener, says that there is no such place.
    async fn not_opened(&self, of: Seq, opening: &mut Option<Opening>) -> Result<End, Cut> {
        let outcome = Outcome {
            result: "error",
            state: "final",
            tag: Some(MaskedText::constant("not opened")),
            partial: Some("partial: nothing was opened"),
            ..Outcome::default()
        };
        let receipt = self.link.resource.gate.outcome(&self.link.who, of, outcome);
        let receipt = receipt.map_err(|e| self.link.unrecorded(e))?;
        self.link.settled(of);
        let durable = self.link.durable(receipt, RECORD).await?;
        if let Some(opening) = opening.take() {
            opening.refuse(&format!("{NOT_OPENED} (record {})", durable.seq().0), true).await;
        }
        Ok(End::NotOpened)
    }
}

/// What comes back, on its way.
struct Back<'a> {
    forward: &'a Forward<'a>,
    of: Seq,
    counts: &'a Counts,
    opaque: mask::Opaque,
    held: MaskedBytes,
    /// How many values each detector found since the last record.
    found: BTreeMap<(&'static str, Class), u64>,
    classes: BTreeSet<Class>,
    hits: u64,
    filter: FilterBuilder,
    /// What left, for the filter.
    left: FilterStream,
    approved: BTreeSet<Group>,
    pieces: u64,
}

/// A piece whose record is on its way.
struct Recorded {
    record: Awaited,
    held: MaskedBytes,
}

impl<'a> Back<'a> {
    fn new(forward: &'a Forward<'a>, of: Seq, counts: &'a Counts) -> Back<'a> {
        Back {
            forward,
            of,
            counts,
            opaque: mask::Opaque::default(),
            held: mask::constant(b""),
            found: BTreeMap::new(),
            classes: BTreeSet::new(),
            hits: 0,
            filter: FilterBuilder::new(),
            left: FilterStream::new(),
            approved: BTreeSet::new(),
            pieces: 0,
        }
    }

    /// Until the other end closes the channel. Pieces are recorded ahead of those that wait for their records: each leaves after its own.
    async fn carry(mut self, mut ear: FarEar, far_ended: &Notify, ended: &mut Over) -> Result<End, Cut> {
        let mut recorded = VecDeque::new();
        loop {
            let has_room = recorded.len() < SSH_AHEAD_MAX;
            let came = tokio::select! {
                biased;
                durable = self.first(&mut recorded), if !recorded.is_empty() => {
                    self.release(durable?, recorded.pop_front()).await?;
                    continue;
                }
                came = ear.next(), if has_room => came,
            };
            let behind = self.gather(came, &mut ear).await;
            if !self.held.as_bytes().is_empty() {
                room(&self.forward.link.resource.gate).await;
                if !self.may_leave(&mut recorded, ended).await? {
                    return Ok(End::Withheld);
                }
                recorded.push_back(self.record()?);
            }
            match behind {
                None => {}
                Some(Some(Came::Data(_))) => {}
                Some(Some(Came::End)) => {
                    self.release_all(&mut recorded).await?;
                    let told = ClientWriter(self.forward.lane).forward_end().await;
                    told.map_err(|_gone| Cut::closed())?;
                    far_ended.notify_one();
                }
                Some(Some(Came::Closed)) => {
                    self.release_all(&mut recorded).await?;
                    return Ok(End::Far);
                }
                Some(None) => {
                    self.release_all(&mut recorded).await?;
                    return Err(Cut::upstream(LOST));
                }
            }
        }
    }

    /// Holds what has come together, so that it leaves together. What came behind it, if that is no data.
    async fn gather(&mut self, first: Option<Came>, ear: &mut FarEar) -> Option<Option<Came>> {
        let mut came = first;
        loop {
            match came {
                Some(Came::Data(bytes)) => self.take(&bytes),
                behind => return Some(behind),
            }
            if self.held.as_bytes().len() >= CHUNK_BYTES {
                return None;
            }
            came = ear.now().await?;
        }
    }

    /// Waits for the record of the first of these.
    async fn first(&self, recorded: &mut VecDeque<Recorded>) -> Result<Durable, Cut> {
        let Some(first) = recorded.front_mut() else { return std::future::pending().await };
        first.record.durable().await.ok_or_else(|| self.forward.link.no_record())
    }

    /// Its record is durable: it leaves, as soon as the client's window takes it.
    async fn release(&self, durable: Durable, recorded: Option<Recorded>) -> Result<(), Cut> {
        let Some(Recorded { held, .. }) = recorded else { return Ok(()) };
        let length = held.as_bytes().len();
        let client = ClientWriter(self.forward.lane);
        let sent = client.send(Release::after(durable, held), &[(Stream::Out, length)]).await;
        sent.map_err(|_gone| Cut::closed())
    }

    async fn release_all(&self, recorded: &mut VecDeque<Recorded>) -> Result<(), Cut> {
        while !recorded.is_empty() {
            let durable = self.first(recorded).await?;
            self.release(durable, recorded.pop_front()).await?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        let gate = &self.forward.link.resource.gate;
        let passed = match self.forward.routed {
            // That resource's path has looked at it, masked it and said so.
            true => mask::Opaque::masked_before(bytes),
            false => {
                let (passed, found) = self.opaque.pass(&self.forward.link.resource.detectors, bytes);
                for finding in found {
                    self.hits += 1;
                    self.classes.insert(finding.class.clone());
                    *self.found.entry((finding.detector, finding.class)).or_default() += 1;
                }
                passed
            }
        };
        self.left.piece(&mut self.filter, &gate.ledger().filter_key(), bytes);
        self.held = std::mem::replace(&mut self.held, mask::constant(b"")).then(passed);
    }

    /// Whether policy, people and the tripwire let out what is held. `false`: they do not, and that is recorded.
    async fn may_leave(&mut self, recorded: &mut VecDeque<Recorded>, ended: &mut Over) -> Result<bool, Cut> {
        let Forward { link, lane, asked, .. } = *self.forward;
        let (gate, who) = (&link.resource.gate, &link.who);
        let context = policy::Context {
            classes: self.classes.iter().cloned().collect(),
            // What comes is decided as of now, however long ago the forward began.
            now: entropy::wall(),
            ..asked.context.clone()
        };
        let bytes = self.counts.back.load(Ordering::Relaxed) + self.held.as_bytes().len() as u64;
        let release = Some(policy::Release { rows: 0, bytes, tripwires: self.hits });
        let ground = Ground { action: asked.action(), context: &context, release };
        if self.hits > 0 && link.resource.config.tripwire == Tripwire::Cut {
            let mut decided = gate.verdict(who, &Ground { release: None, ..ground }, &BTreeSet::new());
            decided.message = None;
            self.release_all(recorded).await?;
            return self.withhold(Denied { decided: decided.into(), why: TRIPPED, of: Some(self.of) }).await;
        }
        if !gate.decides_releases(who) {
            return Ok(true);
        }
        // A person may be asked, and what was let out before does not wait for that.
        self.release_all(recorded).await?;
        let decided = gate.verdict(who, &ground, &self.approved);
        let denied = match decided.verdict {
            Verdict::Allow => return Ok(true),
            Verdict::Refuse => Denied { decided: decided.into(), why: HELD_BACK, of: Some(self.of) },
            Verdict::Ask(_) => match link.ask(lane, asked, decided, &ground, Some(self.of), ended).await? {
                Ok((decided, _)) => {
                    self.approved = decided.approved.clone();
                    return Ok(true);
                }
                Err(denied) => denied,
            },
        };
        self.withhold(denied).await
    }

    /// What is held stays here.
    async fn withhold(&mut self, denied: Denied) -> Result<bool, Cut> {
        let Forward { link, asked, .. } = *self.forward;
        let piece = Piece { n: self.pieces, to: "client", ..self.piece("refused", "cut") };
        let gate = &link.resource.gate;
        let _covered_by_the_refusal =
            gate.piece(&link.who, self.of, piece).map_err(|e| link.unrecorded(e))?;
        link.record_refusal(asked, &denied, REFUSED_STATUS, self.pieces > 0).await.map(|_words| false)
    }

    /// Begins to record what is held.
    fn record(&mut self) -> Result<Recorded, Cut> {
        let link = self.forward.link;
        let held = std::mem::replace(&mut self.held, mask::constant(b""));
        let length = held.as_bytes().len() as u64;
        self.counts.back.fetch_add(length, Ordering::Relaxed);
        let key = link.resource.gate.ledger().filter_key();
        self.left.so_far(&mut self.filter, &key);
        let filter = (!self.filter.is_empty()).then(|| self.filter.take());
        let piece = Piece {
            n: self.pieces,
            to: "client",
            bytes: length,
            filter,
            ..self.piece("revealed", "revealed")
        };
        self.pieces += 1;
        let receipt = link.resource.gate.piece(&link.who, self.of, piece).map_err(|e| link.unrecorded(e))?;
        Ok(Recorded { record: Awaited::new(receipt), held })
    }

    /// What was found since the last record, and what became of it.
    fn piece(&mut self, what: &'static str, act: &'static str) -> Piece {
        let found = std::mem::take(&mut self.found);
        let hit = |(detector, class): &(&'static str, Class)| Tripped {
            detector,
            class: class.clone(),
            channel: "output",
            act,
        };
        let tripwires = found.keys().map(hit).collect();
        let exposure = |((_, class), cells)| Exposure {
            on: self.forward.link.resource.root.clone(),
            class,
            at: "output",
            what,
            by: By::Detector,
            rows: 0,
            cells,
            prints: Vec::new(),
        };
        Piece { exposures: found.into_iter().map(exposure).collect(), tripwires, ..Piece::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, listen: &str, upstream: &str) -> Route {
        let listen = Some(listen).filter(|listen| !listen.is_empty()).map(|listen| listen.parse().unwrap());
        let upstream = match upstream.rsplit_once(':') {
            Some((host, port)) => tcp(host, port.parse().unwrap()),
            None => Target::Socket(upstream.to_owned()),
        };
        Route { name: name.into(), listen, upstream, usual: 5432 }
    }

    #[test]
    fn a_place_is_a_resource_by_its_upstream_as_the_host_sees_it_by_its_name_and_by_its_listener() {
        let routes = Routes(vec![
            route("crm", "127.0.0.1:6432", "DB.internal:5432"),
            route("local", "0.0.0.0:6433", "127.0.0.1:5433"),
            route("socket", "127.0.0.1:6434", "/run/pg/.s.PGSQL.5432"),
            route("proxied", "", "api.example:443"),
        ]);
        let check = |host: &str, to: &str, expect: Option<&str>| {
            let to = match to.rsplit_once(':') {
                Some((name, port)) => Target::tcp(name, port.parse().unwrap()).unwrap(),
                None => Target::socket(to).unwrap(),
            };
            assert_eq!(routes.find(host, &to).map(|route| &*route.name), expect, "{to} of {host}");
        };
        // The upstream itself, by its name or as the host's own port.
        check("jump", "db.internal:5432", Some("crm"));
        check("db.internal", "localhost:5432", Some("crm"));
        check("jump", "db.internal:5433", None);
        check("jump", "db.internal.evil:5432", None);
        // The gateway's own loopback is another machine's only where the host is this one.
        check("localhost", "127.0.0.1:5433", Some("local"));
        check("jump", "localhost:5433", None);
        check("localhost", "/run/pg/.s.PGSQL.5432", Some("socket"));
        check("jump", "/run/pg/.s.PGSQL.5432", None);
        // By the name, with a port that it may have.
        for port in [6432, 5432] {
            check("jump", &format!("crm:{port}"), Some("crm"));
        }
        check("jump", "CRM:5432", Some("crm"));
        check("jump", "crm:8080", None);
        // What a run's own configuration says.
        check("jump", "127.0.0.1:6432", Some("crm"));
        check("jump", "127.0.0.1:6433", Some("local"));
        check("jump", "127.0.0.1:6435", None);
        check("jump", "api.example:443", Some("proxied"));
    }

    #[test]
    fn policy_sees_the_host_and_the_port_or_the_path() {
        let said = |to: Target, opaque| {
            let action = action(&ResourcePath::root("build"), "deploy", &to, opaque);
            assert_eq!(action.opaque.is_some(), opaque);
            format!("{} {}", action.accesses[0].verb.as_str(), action.accesses[0].on.as_str())
        };
        assert_eq!(said(Target::tcp("DB", 5432).unwrap(), true), "call build/deploy/host/db/5432");
        assert_eq!(said(Target::tcp("::1", 22).unwrap(), false), "call build/deploy/host/::1/22");
        let socket = Target::socket("/run/x.sock").unwrap();
        assert_eq!(said(socket, true), "call build/deploy/socket/run/x.sock");
    }
}
