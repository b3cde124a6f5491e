//! The listener's side: connections with deadlines and limits, and the checks that every request passes first.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::fault::Fault;
use crate::limits::{
    ACCEPT_PAUSE, BODY_BYTES_MAX, CONNECTION_LIFE, CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_WAIT, REQUEST_WAIT,
    STOP_WAIT,
};
use crate::newcomer::{Newcomer, Newcomers};
use crate::seat::Peer;
use crate::state::Console;
use crate::{api, pages};

/// Where the console listens. The caller binds it, with the permissions that it wants.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Serves until `stop` resolves; connections then have [`STOP_WAIT`] to end. A failing connection ends alone.
pub async fn serve(listener: Listener, console: Console, stop: impl Future<Output = ()>) {
    let router = router(console.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let newcomers = Arc::new(Newcomers::default());
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            // One place is always kept for who comes next, as long as somebody has one who has shown nothing.
            let place = match places.clone().try_acquire_owned() {
                Ok(place) => Ok(place),
                Err(_full) => {
                    newcomers.cut_oldest();
                    places.clone().acquire_owned().await
                }
            };
            (listener.accept(&console).await, place)
        };
        tokio::select! {
            () = &mut stop => break,
            (accepted, place) = accepted => match (accepted, place) {
                (Ok((Stream::Tcp(stream), peer)), Ok(place)) => {
                    connections.spawn(connection(stream, peer, router.clone(), newcomers.enter(), place));
                }
                (Ok((Stream::Unix(stream), peer)), Ok(place)) => {
                    connections.spawn(connection(stream, peer, router.clone(), newcomers.enter(), place));
                }
                // Out of descriptors, or a peer that is gone already: wait a little rather than spin.
                (Err(_), _) | (_, Err(_)) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(STOP_WAIT, ended).await);
    connections.shutdown().await;
}

/// All routes, behind the checks. Tests call it without a listener.
pub(crate) fn router(console: Console) -> Router {
    api::routes()
        .merge(pages::routes())
        .fallback(|| async { Fault::new(StatusCode::NOT_FOUND, "not-found", "no such page") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(console.clone(), checked))
        .with_state(console)
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    async fn accept(&self, console: &Console) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                let own = stream.local_addr()?;
                Ok((Stream::Tcp(stream), Peer::Tcp { client, console: own }))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?;
                let process = peer.pid().and_then(|pid| console.process(pid));
                Ok((Stream::Unix(stream), Peer::Unix { uid: peer.uid(), process }))
            }
        }
    }
}

async fn connection<S>(
    stream: S,
    peer: Peer,
    router: Router,
    newcomer: Arc<Newcomer>,
    place: tokio::sync::OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let who = newcomer.clone();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (mut router, who) = (router.clone(), who.clone());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(who);
            router.call(request).await
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that fails or lives too long ends; there is nothing to say to its peer.
    tokio::select! {
        ended = tokio::time::timeout(CONNECTION_LIFE, served) => drop(ended),
        () = newcomer.is_cut() => {}
    }
    drop(place);
}

/// What holds for every request: a known host, a deadline, and headers that keep a browser from helping an attacker.
async fn checked(State(console): State<Console>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let mut response = match known_host(&console, peer, request.headers()) {
        Err(fault) => fault.into_response(),
        Ok(()) => match tokio::time::timeout(REQUEST_WAIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Fault::new(StatusCode::GATEWAY_TIMEOUT, "unavailable", "the answer took too long")
                .into_response(),
        },
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// No scripts at all, nothing from elsewhere, no framing, nothing kept.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // Not `no-referrer`: under it a browser sends a form of our own with `Origin: null`, and `same_origin` refuses that.
    ("referrer-policy", "same-origin"),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Against DNS rebinding: a page of another site that resolves its name to us still names itself in `Host`.
fn known_host(console: &Console, peer: Option<Peer>, headers: &HeaderMap) -> Result<(), Fault> {
    if matches!(peer, Some(Peer::Unix { .. })) {
        return Ok(());
    }
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().unwrap_or(""),
        _ => "",
    };
    if console.hosts().iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let why = "this console is not reached under that name; add it to `console_hosts`, or use the address it listens on";
    Err(Fault::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", why))
}
