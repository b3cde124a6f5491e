//! From accept to the first ReadyForQuery: TLS, the run's own credential, policy's word on `connect`, the upstream,
//! and the `connect` record.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use gate::Who;
use ledger::{Code, Draft, Kind, Map, Name};
use proto_postgres::frame::Decoder;
use proto_postgres::message::{self, Authentication, FromClient, FromUpstream, TxStatus};
use proto_postgres::reply::{Fields, encode_error};
use proto_postgres::scram::{Channel, Server, Verifier};
use proto_postgres::startup::{self, Startup, StartupMessage};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use vocab::{RunId, Seq, SessionId};
use wire::{Fault, RawField};

use super::again::Again;
use super::catalog::Catalog;
use super::dial::{self, CATALOG_UNREAD, DialError, Dialled};
use super::flight::fatal;
use super::plan::within;
use super::resource::{Pins, Resource};
use super::session::{Cut, Session, Start, TOLD};
use crate::accept::Newcomer;
use crate::again::{NOT_RECORDED, Recording};
use crate::config::PostgresResource;
use crate::connect::{BARRED, Barred, permitted};
use crate::counts::Stranger;
use crate::entropy;
use crate::leg::Leg;
use crate::limits::{LOGIN, QUEUE_BYTES_MAX, SCRAM_ITERATIONS};
use crate::runs::{Ended, Run};
use crate::tls::POSTGRESQL;

/// How a login ends before there is a session.
enum Refused {
    /// Nothing more to say.
    Quiet,
    /// To be told to the client, and why, for the record.
    Tell(Fields, &'static str),
    /// To be told to the client; a refusal is in the record already.
    Recorded(Fields),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused::Tell(fatal("08P01", fault.outward), fault.outward)
    }
}

impl From<std::io::Error> for Refused {
    fn from(_gone: std::io::Error) -> Refused {
        Refused::Quiet
    }
}

fn refused(code: &'static str, message: &'static str) -> Refused {
    Refused::Tell(fatal(code, message), message)
}

/// Whether a name or a password was wrong is nobody's business.
const NO_SUCH_RUN: &str = "password authentication failed: is this the credential of a live run?";

/// A client whose first message is read.
struct Knock {
    leg: Leg,
    input: BytesMut,
    message: StartupMessage,
}

/// Serves one connection to its end.
pub(crate) async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    newcomer: Arc<Newcomer>,
    resource: Arc<Resource>,
) {
    let _ = stream.set_nodelay(true);
    let strangers = resource.registry.turned_away.clone();
    let mut leg = Leg::Tcp(stream);
    let mut input = BytesMut::new();
    let knock = match tokio::time::timeout(LOGIN, knock(leg, &mut input, &resource)).await {
        Ok(Ok(Some(knock))) => knock,
        Ok(Ok(None)) => return,
        Err(_) => return strangers.add(Stranger::Late),
        Ok(Err((mut stream, refused))) => {
            strangers.add(Stranger::Protocol);
            if let (Some(stream), Refused::Tell(fields, _)) = (&mut stream, refused) {
                tell(stream, &fields).await;
            }
            return;
        }
    };
    leg = knock.leg;
    let knocked = knock.input;
    let login = Login { resource: &resource, message: &knock.message, address };
    match tokio::time::timeout(LOGIN, login.authenticate(&mut leg, knocked)).await {
        Ok(Err(Refused::Quiet)) => {}
        Err(_) => strangers.add(Stranger::Late),
        Ok(Err(Refused::Tell(fields, why))) => {
            strangers.add(match why {
                NO_SUCH_RUN => Stranger::Credential,
                _ if knock.message.asks_replication() => Stranger::Replication,
                _ => Stranger::Protocol,
            });
            tell(&mut leg, &fields).await;
        }
        Ok(Err(Refused::Recorded(fields))) => tell(&mut leg, &fields).await,
        Ok(Ok((run, input, decoder))) => {
            newcomer.proved();
            // From here on the session counts as one of the run's, and the end of the run waits for it.
            let ended = run.end();
            match login.session(&mut leg, run.clone(), ended, input, decoder).await {
                Ok(()) | Err(Refused::Quiet) => {}
                Err(Refused::Recorded(fields)) => tell(&mut leg, &fields).await,
                Err(Refused::Tell(fields, why)) => {
                    login.not_connected(&run, why).await;
                    tell(&mut leg, &fields).await;
                }
            }
        }
    }
}

async fn tell(leg: &mut Leg, fields: &Fields) {
    let mut out = BytesMut::new();
    if encode_error(&mut out, fields).is_ok() {
        let _gone = tokio::time::timeout(std::time::Duration::from_secs(1), leg.drain(&mut out)).await;
    }
}

/// Up to the startup message; a cancel is carried out here. `None`: nothing follows.
async fn knock(
    mut leg: Leg,
    input: &mut BytesMut,
    resource: &Resource,
) -> Result<Option<Knock>, (Option<Leg>, Refused)> {
    let mut asked_gss = false;
    if begins_with_tls(&leg).await {
        match secured(leg, resource, true).await {
            Some(tls) => leg = tls,
            None => return Ok(None),
        }
    }
    loop {
        let startup = match startup::decode(input) {
            Ok(startup) => startup,
            Err(fault) => return Err((Some(leg), fault.into())),
        };
        let answer: &[u8] = match startup {
            Startup::NeedMore { .. } => match leg.fill(input).await {
                Ok(0) | Err(_) => {
                    if asked_gss {
                        resource.registry.turned_away.add(Stranger::Gss);
                    }
                    return Ok(None);
                }
                Ok(_) => continue,
            },
            Startup::Cancel { pid, key, .. } => {
                resource.cancels.press(pid, key.as_bytes());
                return Ok(None);
            }
            Startup::Message(message) => {
                let rest = input.split_off(message.len);
                return Ok(Some(Knock { leg, input: rest, message }));
            }
            Startup::GssEncRequest { len } | Startup::SslRequest { len } => {
                asked_gss |= matches!(startup, Startup::GssEncRequest { .. });
                let _request = input.split_to(len);
                if let Err(fault) = startup::refuse_pipelined(input) {
                    return Err((Some(leg), fault.into()));
                }
                if matches!(startup, Startup::SslRequest { .. }) && !leg.is_tls() { b"S" } else { b"N" }
            }
        };
        let mut out = BytesMut::from(answer);
        if leg.drain(&mut out).await.is_err() {
            return Ok(None);
        }
        if answer == b"S" {
            match secured(leg, resource, false).await {
                Some(tls) => leg = tls,
                None => return Ok(None),
            }
        }
    }
}

/// Whether a TLS hello comes first, and no packet of PostgreSQL's, whose first byte is zero (`sslnegotiation=direct`).
async fn begins_with_tls(leg: &Leg) -> bool {
    let mut first = [0];
    match leg {
        Leg::Tcp(stream) => matches!(stream.peek(&mut first).await, Ok(1)) && first == [TLS_HANDSHAKE],
        Leg::Unix(_) | Leg::TlsServer(_) | Leg::TlsClient(_) | Leg::Lane(_) | Leg::Gone => false,
    }
}

/// RFC 8446, 5.1: the type of a record that holds a handshake.
const TLS_HANDSHAKE: u8 = 22;

/// `direct`: nobody has asked for TLS before, so the client has to say in it which protocol it means (ALPN): else one that
/// means another could be led here. Spec: PostgreSQL 17, 53.2.10.
async fn secured(leg: Leg, resource: &Resource, direct: bool) -> Option<Leg> {
    let Leg::Tcp(stream) = leg else { return None };
    match TlsAcceptor::from(resource.server_tls.clone()).accept(stream).await {
        Ok(stream) if !direct || stream.get_ref().1.alpn_protocol() == Some(POSTGRESQL) => {
            Some(Leg::TlsServer(Box::new(stream)))
        }
        Ok(_) | Err(_) => {
            resource.registry.turned_away.add(Stranger::Tls);
            None
        }
    }
}

/// A resource with a certificate of its own takes clients on other machines over TLS alone.
fn demands_tls(config: &PostgresResource, client: SocketAddr) -> bool {
    config.client_tls.is_some() && !client.ip().to_canonical().is_loopback()
}

const TOO_MANY: &str = "too many connections: the run has as many to this database as `connections_per_run` of the resource permits";
const PLAINTEXT: &str = "clients on other machines come over TLS alone: use sslmode=verify-full";

/// A session of a run that is there.
struct Counted(Arc<Resource>, RunId);

impl Counted {
    /// One more, where the run has fewer than its resource permits.
    fn below(resource: &Arc<Resource>, run: RunId) -> Option<Counted> {
        let mut sessions = resource.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let of_run = sessions.entry(run).or_default();
        if *of_run >= resource.config.connections_per_run {
            return None;
        }
        *of_run += 1;
        Some(Counted(resource.clone(), run))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut of_run) = sessions.entry(self.1) {
            *of_run.get_mut() -= 1;
            if *of_run.get() == 0 {
                of_run.remove();
            }
        }
    }
}

struct Login<'a> {
    resource: &'a Arc<Resource>,
    message: &'a StartupMessage,
    address: SocketAddr,
}

impl Login<'_> {
    /// SCRAM-SHA-256 with the run's password. An unknown user is asked all the same.
    async fn authenticate(
        &self,
        leg: &mut Leg,
        mut input: BytesMut,
    ) -> Result<(Arc<Run>, BytesMut, Decoder), Refused> {
        if !leg.is_tls() && demands_tls(&self.resource.config, self.address) {
            return Err(refused("28000", PLAINTEXT));
        }
        if let Err(no) = proto_postgres::action::of_startup(self.message) {
            return Err(refused(no.sqlstate, no.message));
        }
        let mut out = BytesMut::new();
        let negotiated = startup::negotiate(self.message);
        if let Some(reply) = negotiated.reply {
            FromUpstream::NegotiateProtocolVersion(reply).encode(&mut out)?;
        }
        let user = self.message.user().map_or(&b""[..], RawField::as_bytes);
        let run = std::str::from_utf8(user).ok().and_then(|user| self.resource.registry.by_user(user));
        let verifier = match &run {
            Some(run) => run.verifier.clone(),
            None => Verifier::mock(&self.resource.mock_secret, user, SCRAM_ITERATIONS)?,
        };
        let channel = Channel::Plain;
        let mechanisms = channel.mechanisms().iter().map(|m| RawField::copy_from(m.as_bytes())).collect();
        FromUpstream::Authentication(Authentication::Sasl { mechanisms }).encode(&mut out)?;
        leg.drain(&mut out).await?;

        let mut decoder = Decoder::client();
        let body = password_message(leg, &mut input, &decoder).await?;
        let (mechanism, response) = message::sasl_initial(&body)?;
        let response = response.unwrap_or_else(|| RawField::from_static(b""));
        let (server, first) =
            Server::begin(verifier, channel, mechanism.as_bytes(), response.as_bytes(), &entropy::random())?;
        FromUpstream::Authentication(Authentication::SaslContinue(RawField::copy_from(&first)))
            .encode(&mut out)?;
        leg.drain(&mut out).await?;
        let body = password_message(leg, &mut input, &decoder).await?;
        let last = server.finish(body.as_bytes()).map_err(|_| refused("28P01", NO_SUCH_RUN))?;
        let Some(run) = run else {
            return Err(refused("28P01", NO_SUCH_RUN));
        };
        FromUpstream::Authentication(Authentication::SaslFinal(RawField::copy_from(&last)))
            .encode(&mut out)?;
        leg.drain(&mut out).await?;
        decoder.authenticated();
        Ok((run, input, decoder))
    }

    /// Dials, records, greets, and runs the session to its end.
    async fn session(
        &self,
        leg: &mut Leg,
        run: Arc<Run>,
        ended: watch::Receiver<Option<Ended>>,
        input: BytesMut,
        decoder: Decoder,
    ) -> Result<(), Refused> {
        let resource = self.resource;
        let counted = Counted::below(resource, run.id).ok_or_else(|| refused("53300", TOO_MANY))?;
        let _counted = (run.present(), counted);
        if let Some(recording) = &resource.recording {
            return self.again(leg, &run, ended, input, decoder, &**recording).await;
        }
        let database = self.message.database().map_or(&b""[..], RawField::as_bytes);
        if database != resource.config.upstream.database.as_bytes() && database != run.user.as_bytes() {
            return Err(refused("3D000", OTHER_DATABASE));
        }
        let config = &resource.config;
        let mut who = run.who(SessionId(0), &config.name, &resource.root, config.durability);
        let on = resource.root.join(&config.upstream.database);
        permitted(&resource.gate, &who, on, "postgres", Code::new(*b"42501")).await.map_err(
            |why| match why {
                Barred::Refused(..) => Refused::Recorded(fatal("42501", BARRED)),
                Barred::NoRecord => refused("58030", "no record is possible"),
            },
        )?;
        let pins = resource.pins(&who);
        let parameters = self.parameters(pins)?;

        let told = |e: DialError| refused(std::str::from_utf8(e.code).unwrap_or("08001"), e.outward);
        let mut early = Early { leg, input, ended: ended.clone() };
        let catalog = early.or_gone(resource.catalog.current(resource)).await?.map_err(told)?;
        let borrowed: Vec<(&str, &str)> = parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let upstream = &resource.config.upstream;
        let dialled = dial::dial(upstream, resource.tls.as_ref(), &resource.config.vault, &borrowed);
        let dialled = early.or_gone(dialled).await?.map_err(|e| {
            resource.catalog.reached(Some(e.said(resource.gate.detectors())));
            told(e)
        })?;
        let Early { leg, input, .. } = early;

        resource.catalog.reached(None);
        let connect = self.record(&run, leg, &dialled, &parameters).await?;
        who.session = SessionId(connect.0);
        // Upstream's own number, which `pg_backend_pid()` says too and programs compare; the key is ours.
        let (pid, key) = (dialled.pid, self.cancel_key());
        let greeting = self.greeting(&dialled.parameters, pid, &key)?;
        let cancel = resource.cancels.add(pid, key.clone());
        let placeholder = Leg::Gone;
        let mut told = dialled.parameters.iter();
        let of_utf8 = told.any(|(name, value)| name == "server_encoding" && value == "UTF8");
        let mut session = Session::new(Start {
            resource: resource.clone(),
            who: who.clone(),
            pins,
            client: std::mem::replace(leg, placeholder),
            client_input: input,
            client_decoder: decoder,
            upstream: dialled.leg,
            upstream_input: dialled.input,
            upstream_decoder: dialled.decoder,
            upstream_pid: dialled.pid,
            upstream_key: dialled.key,
            catalog,
            search_path_set: parameters.iter().any(|(name, _)| name == "search_path" || name == "options"),
            of_utf8,
            ended,
            cancel,
            greeting,
            echoes: run.echoes.clone(),
        });
        let cut = session.run().await;
        resource.cancels.remove(pid, &key);
        self.record_end(&who, connect, &mut session, &cut).await;
        Ok(())
    }

    /// As `session`, out of the record.
    async fn again(
        &self,
        leg: &mut Leg,
        run: &Run,
        ended: watch::Receiver<Option<Ended>>,
        input: BytesMut,
        decoder: Decoder,
        recording: &dyn Recording,
    ) -> Result<(), Refused> {
        let resource = &*self.resource.config.name;
        let pins = Pins::NONE;
        let parameters = self.parameters(pins).inspect_err(|_told| recording.beyond(resource, PARAMETERS))?;
        let database = self.message.database().map_or(&b""[..], RawField::as_bytes);
        let own = self.resource.config.upstream.database.as_bytes();
        if database != own && database != run.user.as_bytes() {
            recording.beyond(resource, OTHER_DATABASE);
            return Err(refused("3D000", OTHER_DATABASE));
        }
        if !recording.connects(resource, &parameters) {
            return Err(refused("57P01", NOT_RECORDED));
        }
        let told = recording.server(resource).into_iter();
        let parameters = told.map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>();
        let greeting = self.greeting(&parameters, 1, &self.cancel_key())?;
        let again = Again {
            resource: &self.resource.config.name,
            connection: u64::from_be_bytes(entropy::random()),
            recording,
            detectors: self.resource.gate.detectors(),
            leg,
            input,
            decoder,
            ended,
            state: Default::default(),
        };
        match again.run(greeting).await {
            Ok(()) => Ok(()),
            Err(Cut { tell: Some(fields), .. }) => Err(Refused::Recorded(fields)),
            Err(Cut { tell: None, .. }) => Err(Refused::Quiet),
        }
    }

    /// Startup parameters by allow-list; `options` is read like the rest.
    fn parameters(&self, pins: Pins) -> Result<Vec<(String, String)>, Refused> {
        let mut out: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.message.params {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
                return Err(refused("22021", "a startup parameter is not UTF-8"));
            };
            match name {
                "user" | "database" | "replication" => {}
                name if name.starts_with("_pq_.") => {}
                "options" => {
                    for (name, value) in options(value)
                        .ok_or_else(|| refused("42501", "only `-c name=value` is allowed in `options`"))?
                    {
                        out.push(allowed(&name, &value)?);
                    }
                }
                name => out.push(allowed(name, value)?),
            }
        }
        if pins.read_only {
            out.push(("default_transaction_read_only".into(), "on".into()));
        }
        for (pin, most) in pins.times() {
            // The last one counts; one above the pin, or none that is a time, is the pin.
            let asked =
                out.iter().rev().find(|(name, _)| name == pin).filter(|(_, at)| within(at, most)).cloned();
            out.retain(|(name, _)| name != pin);
            out.push(asked.unwrap_or_else(|| (pin.into(), most.as_millis().to_string())));
        }
        let mut seen = BTreeSet::new();
        out.reverse();
        out.retain(|(name, _)| seen.insert(name.clone()));
        out.reverse();
        out.retain(|(name, _)| !dial::PINS.iter().any(|(pin, _)| pin.eq_ignore_ascii_case(name)));
        Ok(out)
    }

    async fn record(
        &self,
        run: &Run,
        leg: &Leg,
        dialled: &Dialled,
        parameters: &[(String, String)],
    ) -> Result<Seq, Refused> {
        let ledger = self.resource.gate.ledger();
        let detectors = self.resource.gate.detectors();
        let upstream = &self.resource.config.upstream;
        let server = dialled
            .parameters
            .iter()
            .find(|(name, _)| name == &b"server_version"[..])
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
            .unwrap_or("");
        let options = parameters.iter().fold(Map::new(), |map, (name, value)| {
            match ALLOWED.iter().find(|allowed| *allowed == name) {
                Some(name) => map.put(name, mask::name(detectors, value)),
                None => map,
            }
        });
        // What the client did not set and reads values by, as upstream has it.
        let options = READ_BY.iter().fold(options, |map, name| {
            let set = parameters.iter().any(|(set, _)| set.eq_ignore_ascii_case(name));
            let told = dialled.parameters.iter().find(|(told, _)| told.eq_ignore_ascii_case(name.as_bytes()));
            let value = told.filter(|_| !set).and_then(|(_, value)| std::str::from_utf8(value).ok());
            map.put_some(name, value.map(|value| mask::name(detectors, value)))
        });
        let draft = Draft::new(Kind::Connect)
            .run(run.id)
            .put_some("resource", Name::configured(&self.resource.config.name))
            .put("client", self.address)
            .put_some("upstream", Name::configured(&upstream.address.to_string()))
            .put("upstream_id", dialled.pid)
            .put("tls_client", leg.is_tls())
            .put("tls_upstream", dialled.leg.is_tls())
            .put_some("role", Name::configured(&upstream.user))
            .put("server", mask::name(detectors, server))
            .put("options", options);
        let refuse = |_| refused("58030", "no record is possible, so no connection is");
        let receipt = ledger.append(draft).map_err(|e| refuse(e.to_string()))?;
        let durable = receipt.await.map_err(|e| refuse(e.to_string()))?;
        Ok(durable.seq())
    }

    /// A run that proved itself and got no session: why is in its record.
    async fn not_connected(&self, run: &Run, why: &'static str) {
        let draft = Draft::new(Kind::Note).run(run.id).put("what", "not-connected").put("detail", why);
        // Not possible now means that the ledger is down, which is told when it is back (`gap`).
        if let Ok(receipt) = self.resource.gate.ledger().append(draft) {
            let _durable = receipt.await;
        }
    }

    async fn record_end(&self, who: &Who, connect: Seq, session: &mut Session, cut: &Cut) {
        let gate = &self.resource.gate;
        let (unsent, unanswered, unsettled, how) = session.left_open();
        let never = ("skipped", "rolled-back", "partial: the connection ended before it was sent");
        let unknown = ("indeterminate", "indeterminate", "partial: the connection ended before the answer");
        let unsent = unsent.into_iter().map(|intent| (intent, never));
        for (intent, (result, settled, partial)) in
            unsent.chain(unanswered.into_iter().map(|intent| (intent, unknown)))
        {
            let outcome = gate::Outcome {
                result,
                state: "final",
                settled: Some(settled),
                partial: Some(partial),
                ..Default::default()
            };
            let _recovery_says_it_otherwise = gate.outcome(who, intent, outcome);
        }
        if !unsettled.is_empty() {
            let _recovery_says_it_otherwise = gate.settle(who, unsettled, how);
        }
        let draft = Draft::new(Kind::Disconnect)
            .run(who.run)
            .session(who.session)
            .of(connect)
            .put("why", cut.why)
            .put("client_bytes", session.client_bytes())
            .put("upstream_bytes", session.upstream_bytes());
        // Not possible now means that the ledger is down; its recovery closes the run as interrupted.
        if let Ok(receipt) = gate.ledger().append(draft) {
            let _durable = receipt.await;
        }
    }

    fn cancel_key(&self) -> Vec<u8> {
        match self.message.minor {
            0 | 1 => entropy::random::<4>().to_vec(),
            _ => entropy::random::<32>().to_vec(),
        }
    }

    fn greeting(&self, parameters: &[(Bytes, Bytes)], pid: u32, key: &[u8]) -> Result<BytesMut, Refused> {
        let mut out = BytesMut::new();
        FromUpstream::Authentication(Authentication::Ok).encode(&mut out)?;
        for (name, value) in parameters {
            if !TOLD.iter().any(|told| told.as_bytes() == name) {
                continue;
            }
            // The upstream's role is the gateway's business; the client sees its own name.
            let value = match &name[..] {
                b"session_authorization" => self.message.user().map_or(Bytes::new(), RawField::to_bytes),
                b"is_superuser" => Bytes::from_static(b"off"),
                _ => value.clone(),
            };
            let name = RawField::new(name.clone());
            FromUpstream::ParameterStatus { name, value: RawField::new(value) }.encode(&mut out)?;
        }
        FromUpstream::BackendKeyData { pid, key: RawField::copy_from(key) }.encode(&mut out)?;
        FromUpstream::ReadyForQuery(TxStatus::Idle).encode(&mut out)?;
        Ok(out)
    }
}

/// A client whose session is not there yet.
struct Early<'a> {
    leg: &'a mut Leg,
    input: BytesMut,
    ended: watch::Receiver<Option<Ended>>,
}

impl Early<'_> {
    /// What `work` gives, unless the client goes or its run ends before.
    async fn or_gone<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Refused> {
        let Early { leg, input, ended } = self;
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = gone(leg, input) => Err(refused("08006", GONE)),
            _over = ended.wait_for(Option::is_some) => Err(refused("57P01", RUN_OVER)),
        }
    }
}

/// Returns when the client has closed the connection and said nothing. What it says early is kept, up to what waits for any
/// session.
async fn gone(leg: &mut Leg, input: &mut BytesMut) {
    while input.len() < QUEUE_BYTES_MAX {
        match leg.fill(input).await {
            Ok(0) if !input.is_empty() => break,
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}

const GONE: &str = "the client closed the connection before it had a session";
const RUN_OVER: &str = "the run that this connection belongs to is over";

async fn password_message(
    leg: &mut Leg,
    input: &mut BytesMut,
    decoder: &Decoder,
) -> Result<RawField, Refused> {
    loop {
        if let Some(frame) = decoder.clone().next(input)? {
            return match FromClient::decode(&frame)? {
                FromClient::PasswordLike(body) => Ok(body),
                _ => Err(refused("08P01", "a password message was expected")),
            };
        }
        if leg.fill(input).await? == 0 {
            return Err(Refused::Quiet);
        }
    }
}

/// Parameters that a client may set at startup. The others would change what names, literals or rights mean.
const ALLOWED: &[&str] = &[
    "application_name",
    "client_encoding",
    "client_min_messages",
    "bytea_output",
    "datestyle",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
    "work_mem",
    "xmloption",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
];

const OTHER_DATABASE: &str = "this resource is another database: see PGDATABASE";
const PARAMETERS: &str = "a startup parameter that the gateway does not allow";

/// Parameters by which a client reads what times and numbers say.
const READ_BY: &[&str] = &["timezone", "datestyle", "intervalstyle"];

fn allowed(name: &str, value: &str) -> Result<(String, String), Refused> {
    let lower = name.to_ascii_lowercase();
    if lower == "client_encoding" {
        let utf8 = matches!(
            value.to_ascii_lowercase().replace(['-', '_', '\''], "").as_str(),
            "utf8" | "unicode" | "sqlascii" | "auto"
        );
        return match utf8 {
            true => Ok((lower, "UTF8".into())),
            false => Err(refused("22023", "only client_encoding UTF8 is supported by the gateway")),
        };
    }
    match ALLOWED.contains(&lower.as_str()) {
        true => Ok((lower, value.to_string())),
        false => Err(refused("42501", "a startup parameter that the gateway does not allow")),
    }
}

/// `-c name=value`, `-cname=value` and `--name=value`, with PostgreSQL's backslash before a space. `None`: anything else.
fn options(text: &str) -> Option<Vec<(String, String)>> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut escaped, mut any) = (String::new(), false, false);
    for c in text.chars() {
        match (escaped, c) {
            (false, '\\') => (escaped, any) = (true, true),
            (false, c) if c.is_ascii_whitespace() => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (_, c) => {
                word.push(c);
                (escaped, any) = (false, true);
            }
        }
    }
    if any {
        words.push(word);
    }
    let mut out = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next()?,
            Some(pair) => pair.to_string(),
            None => return None,
        };
        let (name, value) = pair.split_once('=')?;
        out.push((name.replace('-', "_"), value.to_string()));
    }
    Some(out)
}

/// A catalog, for `tacho check`, or why there is none, in the operator's words.
pub async fn probe(resource: &Resource) -> Result<Arc<Catalog>, String> {
    let detectors = resource.gate.detectors();
    resource.catalog.current(resource).await.map_err(|e| match e.outward {
        CATALOG_UNREAD => mask::text(detectors, &e.inward).0.to_string(),
        _ => e.said(detectors),
    })
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn options_are_read_as_postgres_reads_them() {
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(options("-c a=b --work-mem=64kB"), Some(vec![pair("a", "b"), pair("work_mem", "64kB")]));
        assert_eq!(options(r"-csearch_path=a,\ b"), Some(vec![pair("search_path", "a, b")]));
        assert_eq!(options("-h"), None);
        assert_eq!(options("-c"), None);
    }
}
