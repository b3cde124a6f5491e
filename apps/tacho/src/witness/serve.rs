//! The witness's side of HTTP: two calls, each with its limits. Nothing secret travels, and what counts is signed, so
//! there is no TLS of its own here; a proxy may add it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use seal::witness::{REQUEST_BYTES_MAX, Refused};
use tokio::net::{TcpListener, TcpStream};

use super::limits::{
    ACCEPT_PAUSE, BODY_WAIT, CONNECTION_LIFE, CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, HEAD_BYTES_MAX,
    HEAD_WAIT,
};
use super::state::{NotSigned, State};

/// Serves until it is dropped. A connection that fails, stalls or is one too many ends alone.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    let places = Arc::new(Places::default());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(place) = Places::take(&places, peer.ip()) {
                    tokio::spawn(connection(stream, state.clone(), place));
                }
            }
            // Out of descriptors, or a peer that is gone already: wait a little rather than spin.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>, place: Place) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(state, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // There is nothing to say to a peer whose connection failed or lived too long.
    drop(tokio::time::timeout(CONNECTION_LIFE, served).await);
    drop(place);
}

#[derive(Clone, Copy)]
enum Call {
    AddCheckpoint,
    AddKey,
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let call = match request.uri().path() {
        "/add-checkpoint" => Call::AddCheckpoint,
        "/add-key" => Call::AddKey,
        _ => return say(StatusCode::NOT_FOUND, "no such call\n"),
    };
    if request.method() != Method::POST {
        return say(StatusCode::METHOD_NOT_ALLOWED, "POST it\n");
    }
    let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
    let body = match tokio::time::timeout(BODY_WAIT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return say(StatusCode::PAYLOAD_TOO_LARGE, "larger than any request\n");
        }
        Ok(Err(_)) => return say(StatusCode::BAD_REQUEST, "the body did not arrive\n"),
        Err(_late) => return say(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
    };
    let work = move || match call {
        Call::AddCheckpoint => state.add_checkpoint(&body),
        Call::AddKey => state.add_key(&body).map(|()| String::new()),
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(said)) => say(StatusCode::OK, said),
        Ok(Err(NotSigned::Refused(refused))) => refusal(refused),
        Ok(Err(NotSigned::Disk(why))) => {
            eprintln!("tacho: not signed, since it could not be made durable: {why}");
            say(StatusCode::INTERNAL_SERVER_ERROR, "it could not be made durable\n")
        }
        Err(_) => say(StatusCode::INTERNAL_SERVER_ERROR, "the witness is stopping\n"),
    }
}

fn refusal(refused: Refused) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::BAD_REQUEST);
    match refused {
        Refused::Size(size) => {
            let mut response = say(status, format!("{size}\n"));
            let sizes = HeaderValue::from_static("text/x.tlog.size");
            response.headers_mut().insert(CONTENT_TYPE, sizes);
            response
        }
        Refused::Malformed | Refused::Origin | Refused::Key | Refused::Proof => {
            say(status, format!("{refused}\n"))
        }
    }
}

fn say(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// How many connections there are, by address.
#[derive(Default)]
struct Places(Mutex<BTreeMap<IpAddr, usize>>);

/// One of them; given back when it is dropped.
struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    fn take(places: &Arc<Places>, peer: IpAddr) -> Option<Place> {
        let mut taken = places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&peer).copied().unwrap_or(0);
        if all >= CONNECTIONS_MAX || own >= CONNECTIONS_PER_PEER_MAX {
            return None;
        }
        taken.insert(peer, own + 1);
        Some(Place { places: places.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.peer) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.peer)),
        }
    }
}
