//! Reaching the upstream: TLS proved, logged in with the vault's credential, pins set.
//!
//! **Invariant:** an upstream that answers `N` to SSLRequest is refused, never spoken to in the clear.
//! **Invariant:** the credential is in memory from `fetch` to the end of this file's login, and is sent in the clear
//! only under TLS in which the upstream has proved its name.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mask::Detectors;
use postgres_protocol::authentication::{md5_hash, sasl};
use proto_postgres::frame::{Decoder, Frame};
use proto_postgres::message::{self, Authentication, FromClient, FromUpstream};
use proto_postgres::reply::{Fields, field};
use proto_postgres::startup;
use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sql::catalog::SERVER_MAJOR_MAX;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use wire::RawField;

use crate::config::{Address, Upstream};
use crate::leg::Leg;
use crate::limits::{DIAL, REPORTED_BYTES_MAX, REPORTED_MAX, UPSTREAM_SILENT};
use crate::vault::{Secret, Vault};

/// What every upstream session of ours begins with; a client cannot change them (DESIGN section 8, L3).
pub const PINS: &[(&str, &str)] = &[("standard_conforming_strings", "on"), ("client_encoding", "UTF8")];

/// Why there is no upstream.
#[derive(Clone, Debug)]
pub struct DialError {
    /// For the client: no address, no name.
    pub outward: &'static str,
    pub code: &'static [u8; 5],
    /// For the operator.
    pub inward: String,
}

impl DialError {
    fn new(code: &'static [u8; 5], outward: &'static str, inward: String) -> DialError {
        DialError { outward, code, inward }
    }

    fn unreachable(inward: String) -> DialError {
        DialError::new(b"08001", "the database behind the gateway cannot be reached", inward)
    }

    fn unproved(inward: String) -> DialError {
        DialError::new(b"08001", "the database behind the gateway could not prove who it is", inward)
    }

    fn protocol(inward: String) -> DialError {
        DialError::new(
            b"08P01",
            "the database behind the gateway does not speak the protocol as it should",
            inward,
        )
    }

    fn login(inward: String) -> DialError {
        DialError::new(b"28000", "the database behind the gateway refused the gateway's login", inward)
    }

    /// PostgreSQL's code for what it does not support.
    fn newer(major: u32) -> DialError {
        DialError::new(
            b"0A000",
            "the database behind the gateway is a newer PostgreSQL than this gateway can read statements of: upgrade the gateway",
            format!(
                "it is PostgreSQL {major}, and the grammar of this gateway is that of {SERVER_MAJOR_MAX}"
            ),
        )
    }

    /// For the operator's screen: the upstream's own words may hold a value, or what deceives a terminal.
    pub fn said(&self, detectors: &Detectors) -> String {
        mask::text(detectors, &self.to_string()).0.to_string()
    }

    /// Whether the server answered, and is one that no session can be had with.
    pub fn is_newer(&self) -> bool {
        self.code == b"0A000"
    }
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.outward, self.inward)
    }
}

impl std::error::Error for DialError {}

/// For a client, which is not told which of the two it is.
pub const CATALOG_UNREAD: &str =
    "the database behind the gateway cannot be reached, or its catalog cannot be read";

/// The catalog could not be read.
impl From<String> for DialError {
    fn from(inward: String) -> DialError {
        DialError::new(b"08001", CATALOG_UNREAD, inward)
    }
}

/// A session that is logged in and idle.
pub struct Dialled {
    pub leg: Leg,
    pub decoder: Decoder,
    /// Bytes read past the login.
    pub input: BytesMut,
    pub pid: u32,
    pub key: Bytes,
    /// ParameterStatus in order of arrival.
    pub parameters: Vec<(Bytes, Bytes)>,
    /// Notices of the login.
    pub minor: u16,
}

/// Dials and logs in. At most [`DIAL`].
pub async fn dial(
    upstream: &Upstream,
    tls: Option<&Arc<ClientConfig>>,
    vault: &Vault,
    parameters: &[(&str, &str)],
) -> Result<Dialled, DialError> {
    let login = async {
        let leg = connect(upstream, tls).await?;
        let password = vault.fetch().await.map_err(DialError::login)?;
        log_in(leg, upstream, password, parameters).await
    };
    match tokio::time::timeout(DIAL, login).await {
        Ok(done) => done,
        Err(_late) => Err(DialError::unreachable(format!(
            "{} gave no session within {} s",
            upstream.address,
            DIAL.as_secs()
        ))),
    }
}

/// A connection for CancelRequest: TLS as for a session, nothing else said.
pub async fn cancel(
    upstream: &Upstream,
    tls: Option<&Arc<ClientConfig>>,
    pid: u32,
    key: &[u8],
) -> Result<(), DialError> {
    let work = async {
        let mut leg = connect(upstream, tls).await?;
        let mut out = BytesMut::new();
        startup::encode_cancel(&mut out, pid, key).map_err(|f| DialError::protocol(f.inward.into()))?;
        leg.drain(&mut out).await.map_err(|e| DialError::unreachable(e.to_string()))?;
        // The upstream closes when it has acted.
        let mut rest = BytesMut::new();
        while leg.fill(&mut rest).await.is_ok_and(|n| n > 0 && rest.len() < 1024) {}
        Ok(())
    };
    tokio::time::timeout(DIAL, work).await.map_err(|_| DialError::unreachable("cancel timed out".into()))?
}

async fn connect(upstream: &Upstream, tls: Option<&Arc<ClientConfig>>) -> Result<Leg, DialError> {
    let failed = |e: std::io::Error| DialError::unreachable(format!("{}: {e}", upstream.address));
    let (host, mut leg) = match &upstream.address {
        Address::Unix(path) => return UnixStream::connect(path).await.map(Leg::Unix).map_err(failed),
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            ends_if_silent(&stream).map_err(failed)?;
            (host, Leg::Tcp(stream))
        }
    };
    let Some(config) = tls else { return Ok(leg) };
    let mut out = BytesMut::new();
    startup::encode_ssl_request(&mut out).map_err(|f| DialError::protocol(f.inward.into()))?;
    leg.drain(&mut out).await.map_err(failed)?;
    let mut answer = BytesMut::new();
    leg.fill(&mut answer).await.map_err(failed)?;
    match answer[..] {
        [b'S'] => {}
        [b'N'] => return Err(DialError::unproved(format!("{} offers no TLS", upstream.address))),
        // Anything behind the one byte was injected before the handshake (CVE-2021-23222).
        _ => {
            return Err(DialError::unproved(format!(
                "{} sent bytes before the TLS handshake",
                upstream.address
            )));
        }
    }
    let Leg::Tcp(stream) = leg else { return Err(DialError::protocol("TLS over a Unix socket".into())) };
    let name = ServerName::try_from(upstream.tls.server_name(host).to_owned())
        .map_err(|_| DialError::unproved(format!("`{host}` is no name that a certificate can prove")))?;
    let stream = TlsConnector::from(config.clone())
        .connect(name, stream)
        .await
        .map_err(|e| DialError::unproved(format!("{}: {e}", upstream.address)))?;
    Ok(Leg::TlsClient(Box::new(stream)))
}

/// One whose other end has gone without a word ends, and with it whatever waits for its answer.
fn ends_if_silent(stream: &TcpStream) -> std::io::Result<()> {
    const ASKS: u32 = 3;
    let most = UPSTREAM_SILENT;
    // TCP_USER_TIMEOUT would end one as well that takes nothing more while it waits for a lock.
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, most / 2)?;
    sockopt::set_tcp_keepintvl(stream, most / 2 / ASKS)?;
    sockopt::set_tcp_keepcnt(stream, ASKS)?;
    Ok(())
}

async fn log_in(
    mut leg: Leg,
    upstream: &Upstream,
    password: Option<Secret>,
    parameters: &[(&str, &str)],
) -> Result<Dialled, DialError> {
    let mut pairs: Vec<(&[u8], &[u8])> =
        vec![(b"user", upstream.user.as_bytes()), (b"database", upstream.database.as_bytes())];
    pairs.extend(parameters.iter().chain(PINS).map(|(k, v)| (k.as_bytes(), v.as_bytes())));
    let mut talk =
        Talk { out: BytesMut::new(), input: BytesMut::new(), decoder: Decoder::upstream(), leg: &mut leg };
    startup::encode_message(&mut talk.out, startup::MINOR_MAX, &pairs)
        .map_err(|f| DialError::protocol(f.inward.into()))?;
    talk.flush().await?;

    let mut minor = startup::MINOR_MAX;
    loop {
        match talk.next().await? {
            FromUpstream::Authentication(Authentication::Ok) => break,
            FromUpstream::Authentication(how) => {
                authenticate(&mut talk, how, upstream, password.as_ref()).await?
            }
            FromUpstream::NegotiateProtocolVersion(offer) => minor = (offer.version & 0xFFFF) as u16,
            FromUpstream::Error(fields) => return Err(DialError::login(describe(&fields))),
            FromUpstream::Notice(_) => {}
            _ => return Err(DialError::protocol("an unexpected message during login".into())),
        }
    }
    talk.decoder.authenticated();

    let (mut pid, mut key, mut status, mut reported) = (0, Bytes::new(), Vec::new(), 0);
    loop {
        match talk.next().await? {
            FromUpstream::ParameterStatus { name, value } => {
                reported += name.len() + value.len();
                if status.len() >= REPORTED_MAX || reported > REPORTED_BYTES_MAX {
                    return Err(DialError::protocol("more parameters at login than are taken".into()));
                }
                // Bytes of their own: a frame's are a part of what was read with it.
                let own = |field: RawField| Bytes::copy_from_slice(field.as_bytes());
                status.push((own(name), own(value)));
            }
            FromUpstream::BackendKeyData { pid: p, key: k } => (pid, key) = (p, k.into_bytes()),
            FromUpstream::ReadyForQuery(_) => break,
            FromUpstream::Notice(_) => {}
            FromUpstream::Error(fields) => return Err(DialError::login(describe(&fields))),
            _ => return Err(DialError::protocol("an unexpected message after login".into())),
        }
    }
    if let Some(major) = major(&status).filter(|major| *major > SERVER_MAJOR_MAX) {
        return Err(DialError::newer(major));
    }
    let (decoder, input) = (talk.decoder, talk.input);
    for (pin, value) in PINS {
        let kept = status.iter().any(|(n, v)| n == pin.as_bytes() && v == value.as_bytes());
        if !kept {
            return Err(DialError::protocol(format!("the upstream did not keep {pin} = {value}")));
        }
    }
    Ok(Dialled { leg, decoder, input, pid, key, parameters: status, minor })
}

/// The major version that a server says it is, as `18.1 (Debian 18.1-1)` or `19beta1`. One that says none is found out when
/// its catalog is read.
fn major(status: &[(Bytes, Bytes)]) -> Option<u32> {
    let (_, version) = status.iter().find(|(name, _)| name == "server_version")?;
    let text = std::str::from_utf8(version).ok()?;
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

async fn authenticate(
    talk: &mut Talk<'_>,
    how: Authentication,
    upstream: &Upstream,
    password: Option<&Secret>,
) -> Result<(), DialError> {
    let password = password.map(Secret::expose).ok_or_else(|| {
        DialError::login(format!("{} asks for a password and `credential` is not set", upstream.address))
    })?;
    let bad = |f: wire::Fault| DialError::protocol(f.inward.into());
    match how {
        Authentication::CleartextPassword if talk.leg.is_tls() && upstream.tls.proves_the_name() => {
            message::encode_password(&mut talk.out, password).map_err(bad)?;
            talk.flush().await
        }
        Authentication::CleartextPassword => Err(DialError::login(
            "the upstream asks for the password in the clear, and gets it under sslmode=verify-full alone"
                .into(),
        )),
        Authentication::Md5Password { salt } => {
            let hash = md5_hash(upstream.user.as_bytes(), password, salt);
            message::encode_password(&mut talk.out, hash.as_bytes()).map_err(bad)?;
            talk.flush().await
        }
        Authentication::Sasl { mechanisms } => {
            if !mechanisms.iter().any(|m| m.as_bytes() == sasl::SCRAM_SHA_256.as_bytes()) {
                return Err(DialError::login("the upstream offers no SCRAM-SHA-256".into()));
            }
            scram(talk, password).await
        }
        Authentication::Ok => Ok(()),
        Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
            Err(DialError::protocol("SASL out of order".into()))
        }
        Authentication::Unsupported { code } => {
            Err(DialError::login(format!("authentication method {code} is not supported")))
        }
    }
}

async fn scram(talk: &mut Talk<'_>, password: &[u8]) -> Result<(), DialError> {
    let bad = |f: wire::Fault| DialError::protocol(f.inward.into());
    let refused = |e: std::io::Error| DialError::login(format!("SCRAM: {e}"));
    let mut client = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
    message::encode_sasl_initial(&mut talk.out, sasl::SCRAM_SHA_256.as_bytes(), client.message())
        .map_err(bad)?;
    talk.flush().await?;
    let FromUpstream::Authentication(Authentication::SaslContinue(body)) = talk.next_or_error().await? else {
        return Err(DialError::protocol("SASL out of order".into()));
    };
    client.update(body.as_bytes()).map_err(refused)?;
    let response = FromClient::PasswordLike(RawField::copy_from(client.message()));
    response.encode(&mut talk.out).map_err(bad)?;
    talk.flush().await?;
    let FromUpstream::Authentication(Authentication::SaslFinal(body)) = talk.next_or_error().await? else {
        return Err(DialError::protocol("SASL out of order".into()));
    };
    // The upstream proves here that it knows the password too.
    client.finish(body.as_bytes()).map_err(refused)
}

/// A conversation before the session proper.
struct Talk<'a> {
    leg: &'a mut Leg,
    out: BytesMut,
    input: BytesMut,
    decoder: Decoder,
}

impl Talk<'_> {
    async fn flush(&mut self) -> Result<(), DialError> {
        self.leg.drain(&mut self.out).await.map_err(|e| DialError::unreachable(e.to_string()))
    }

    async fn next(&mut self) -> Result<FromUpstream, DialError> {
        loop {
            let bad = |f: wire::Fault| DialError::protocol(f.inward.into());
            if let Some(frame) = self.decoder.next(&mut self.input).map_err(bad)? {
                let frame: Frame = frame;
                return FromUpstream::decode(&frame).map_err(bad);
            }
            match self.leg.fill(&mut self.input).await {
                Ok(0) => {
                    return Err(DialError::unreachable(
                        "the upstream closed the connection during login".into(),
                    ));
                }
                Ok(_) => {}
                Err(e) => return Err(DialError::unreachable(e.to_string())),
            }
        }
    }

    async fn next_or_error(&mut self) -> Result<FromUpstream, DialError> {
        match self.next().await? {
            FromUpstream::Error(fields) => Err(DialError::login(describe(&fields))),
            other => Ok(other),
        }
    }
}

/// SQLSTATE and message, for the operator's eyes: the upstream's words about its own login.
fn describe(fields: &Fields) -> String {
    let text = |code| fields.get(code).and_then(RawField::to_str).unwrap_or("?").to_string();
    format!("{}: {}", text(field::SQLSTATE), text(field::MESSAGE))
}
