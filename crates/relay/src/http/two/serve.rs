//! A client's connection: its streams, the lanes that they take, and what ends it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use h2::{Reason, server};
use proto_http::frame::Decoder;
use proto_http::limits::HEAD_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::stream::Ended;
use crate::leg::Leg;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HTTP_IDLE, LANE_BYTES, LANES_MAX, LANES_UNPROVED_MAX, LOGIN, SESSION_END,
    STREAM_SEND_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_ABANDONED_MAX, STREAMS_RESET_MAX, STREAMS_WRONG_MAX,
};

/// Whom a connection's lanes are served by.
pub(in crate::http) trait Host: Send + Sync + 'static {
    /// Serves the requests of one lane to its end.
    fn lane(self: Arc<Self>, leg: Leg) -> impl Future<Output = ()> + Send;
    /// Whether a request of the connection has proved its run.
    fn is_proved(&self) -> bool;
    /// Resolves when one has.
    fn proved(&self) -> impl Future<Output = ()> + Send;
    /// Places for the lanes of all connections.
    fn lanes(&self) -> &Arc<Semaphore>;
    /// Resolves when the run is over.
    fn over(&self) -> impl Future<Output = ()> + Send;
    /// Counts or records what never became a request: a constant sentence.
    fn wrong(&self, why: &'static str) -> impl Future<Output = ()> + Send;
    /// The scheme of its requests' URLs.
    fn scheme(&self) -> &'static str;

    /// Whether the client reads what the gateway says itself as a `Status` of Kubernetes.
    fn reads_status(&self) -> bool {
        false
    }
}

/// Serves a connection to its end, and its lanes to theirs.
pub(in crate::http) async fn serve<I, H>(io: I, host: Arc<H>)
where
    I: AsyncRead + AsyncWrite + Unpin,
    H: Host,
{
    let lanes = Arc::new(Lanes::new(host));
    if let Ok(Ok(connection)) = timeout(LOGIN, settings().handshake(io)).await {
        connected(connection, &lanes).await;
    } else {
        lanes.host.wrong(NO_HANDSHAKE).await;
    }
    lanes.end().await;
}

const NO_HANDSHAKE: &str = "no connection of HTTP/2 came about";
const BAD_FRAMES: &str = "the connection of HTTP/2 ended by a fault of its frames";
const TOO_MUCH: &str = "more streams were abandoned, or were no requests, than a client may have";

fn settings() -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(LANES_MAX as u32)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_send_buffer_size(STREAM_SEND_BYTES_MAX)
        .max_concurrent_reset_streams(STREAMS_RESET_MAX)
        .max_pending_accept_reset_streams(STREAMS_RESET_MAX)
        .max_local_error_reset_streams(Some(STREAMS_RESET_MAX));
    builder
}

async fn connected<I, H>(mut connection: server::Connection<I, Bytes>, lanes: &Arc<Lanes<H>>)
where
    I: AsyncRead + AsyncWrite + Unpin,
    H: Host,
{
    let mut streams = JoinSet::new();
    let mut tally = Tally::default();
    let mut until = Instant::now() + LOGIN;
    loop {
        tokio::select! {
            biased;
            () = lanes.host.over() => {
                connection.graceful_shutdown();
                break;
            }
            Some(ended) = streams.join_next(), if !streams.is_empty() => {
                until = Instant::now() + if lanes.host.is_proved() { HTTP_IDLE } else { LOGIN };
                // Nobody guesses at credentials for as long as a connection lasts.
                match (ended, lanes.host.is_proved()) {
                    (Ok(ended), true) => tally.count(ended),
                    (Ok(_), false) => tally.count(Ended::Wrong),
                    (Err(_panicked), _) => tally.count(Ended::Abandoned),
                }
            }
            next = connection.accept() => match next {
                Some(Ok((request, respond))) => {
                    streams.spawn(lanes.clone().stream(request, respond));
                }
                Some(Err(error)) => {
                    if !error.is_io() && !error.is_remote() {
                        lanes.host.wrong(BAD_FRAMES).await;
                    }
                    break;
                }
                None => break,
            },
            () = sleep_until(until), if streams.is_empty() => {
                connection.graceful_shutdown();
                break;
            }
        }
        if tally.is_too_much(streams.len()) {
            lanes.host.wrong(TOO_MUCH).await;
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            break;
        }
    }
    // What is in the air is told its end, if the client still reads.
    let rest = async {
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(Reason::REFUSED_STREAM);
        }
    };
    let _told_or_not = timeout(SESSION_END, rest).await;
    drop(connection);
    streams.shutdown().await;
}

/// How the streams of a connection have ended.
#[derive(Default)]
struct Tally {
    answered: usize,
    abandoned: usize,
    wrong: usize,
}

impl Tally {
    fn count(&mut self, ended: Ended) {
        match ended {
            Ended::Answered => self.answered += 1,
            Ended::Abandoned => self.abandoned += 1,
            Ended::Wrong => self.wrong += 1,
        }
    }

    /// `open`: streams whose end is not counted yet; those that the client abandoned are not among the 32 that it may have.
    fn is_too_much(&self, open: usize) -> bool {
        self.abandoned > STREAMS_ABANDONED_MAX + self.answered
            || self.wrong >= STREAMS_WRONG_MAX
            || open > 2 * LANES_MAX
    }
}

/// The sessions of one connection.
pub(super) struct Lanes<H> {
    pub(super) host: Arc<H>,
    /// One for each that there is, idle or not.
    places: Arc<Semaphore>,
    /// One for each stream that is served before the run is proved.
    unproved: Arc<Semaphore>,
    idle: Mutex<Vec<Lane>>,
    sessions: Mutex<JoinSet<()>>,
}

/// A stream may be served.
pub(super) struct Admitted {
    _place: Option<OwnedSemaphorePermit>,
}

/// This end of a lane. Dropping it is the client's going away.
pub(super) struct Lane {
    pub(super) stream: DuplexStream,
    pub(super) side: Read,
}

/// What came of its session.
pub(super) struct Read {
    pub(super) decoder: Decoder,
    pub(super) input: bytes::BytesMut,
}

impl<H: Host> Lanes<H> {
    fn new(host: Arc<H>) -> Lanes<H> {
        Lanes {
            host,
            places: Arc::new(Semaphore::new(LANES_MAX)),
            unproved: Arc::new(Semaphore::new(LANES_UNPROVED_MAX)),
            idle: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// Waits until a stream may be served: it is among the few that are before the run is proved, or the run is. `None`: neither
    /// in time. What is held is given back when the stream ends.
    pub(super) async fn admit(&self) -> Option<Admitted> {
        if self.host.is_proved() {
            return Some(Admitted { _place: None });
        }
        let admitted = async {
            tokio::select! {
                biased;
                place = self.unproved.clone().acquire_owned() => place.ok().map(|place| Admitted { _place: Some(place) }),
                () = self.host.proved() => Some(Admitted { _place: None }),
            }
        };
        timeout(LOGIN, admitted).await.ok().flatten()
    }

    /// A lane on which nothing is under way. Waits while sessions that were cut write their last records. `None`: there are as
    /// many as there may be, of this connection or of all.
    pub(super) async fn take(&self) -> Option<Lane> {
        while let Some(mut lane) = self.pop() {
            if lane.is_idle() {
                return Some(lane);
            }
        }
        let place = timeout(LOGIN, self.places.clone().acquire_owned()).await.ok()?.ok()?;
        let of_all = self.host.lanes().clone().try_acquire_owned().ok()?;
        Some(self.open([place, of_all]))
    }

    /// Takes it back, for another stream.
    pub(super) fn give(&self, lane: Lane) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    fn pop(&self) -> Option<Lane> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn open(&self, places: [OwnedSemaphorePermit; 2]) -> Lane {
        let (stream, far) = tokio::io::duplex(LANE_BYTES);
        let leg = Leg::lane(far, self.host.scheme() == "https", JoinSet::new());
        let session = self.host.clone().lane(leg);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        while sessions.try_join_next().is_some() {}
        sessions.spawn(async move {
            session.await;
            drop(places);
        });
        Lane { stream, side: Read { decoder: Decoder::upstream(), input: bytes::BytesMut::new() } }
    }

    /// Ends all lanes, and waits until each session has written its last record.
    async fn end(&self) {
        while self.pop().is_some() {}
        let mut sessions = std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        while sessions.join_next().await.is_some() {}
    }
}

impl Lane {
    /// Whether its session waits for a request: it has not ended since, and said nothing.
    fn is_idle(&mut self) -> bool {
        let mut space = [0u8; 1];
        let mut read = tokio::io::ReadBuf::new(&mut space);
        let mut none = std::task::Context::from_waker(std::task::Waker::noop());
        let polled = std::pin::Pin::new(&mut self.stream).poll_read(&mut none, &mut read);
        polled.is_pending() && self.side.input.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SESSIONS_MAX;
    use tokio::sync::SetOnce;

    struct Nobody {
        proved: SetOnce<()>,
        lanes: Arc<Semaphore>,
    }

    impl Host for Nobody {
        async fn lane(self: Arc<Self>, leg: Leg) {
            let _open = leg;
            std::future::pending().await
        }

        fn is_proved(&self) -> bool {
            self.proved.get().is_some()
        }

        async fn proved(&self) {
            self.proved.wait().await;
        }

        fn lanes(&self) -> &Arc<Semaphore> {
            &self.lanes
        }

        async fn over(&self) {
            std::future::pending().await
        }

        async fn wrong(&self, _why: &'static str) {}

        fn scheme(&self) -> &'static str {
            "http"
        }
    }

    fn lanes(of_all: usize) -> Lanes<Nobody> {
        let lanes = Arc::new(Semaphore::new(of_all));
        Lanes::new(Arc::new(Nobody { proved: SetOnce::new(), lanes }))
    }

    /// What a stream that has nothing to wait for is told at once.
    async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn few_streams_are_served_until_a_run_is_proved() {
        let lanes = lanes(SESSIONS_MAX);
        let mut served = Vec::new();
        for _ in 0..LANES_UNPROVED_MAX {
            served.push(now(lanes.admit()).await.flatten().unwrap());
        }
        assert!(now(lanes.admit()).await.is_none(), "one more waits");
        served.pop();
        let next = now(lanes.admit()).await.flatten().unwrap();
        let waits = lanes.admit();
        tokio::pin!(waits);
        assert!(now(&mut waits).await.is_none());
        lanes.host.proved.set(()).unwrap();
        assert!(waits.await.is_some(), "what waited is served");
        assert!(now(lanes.admit()).await.flatten().is_some());
        drop((served, next));
    }

    #[tokio::test]
    async fn lanes_of_all_connections_are_bounded_together() {
        let lanes = lanes(2);
        let (first, second) = (lanes.take().await, lanes.take().await);
        assert!(first.is_some() && second.is_some());
        assert!(lanes.take().await.is_none(), "the gateway has as many as it may");
        lanes.give(first.unwrap());
        assert!(lanes.take().await.is_some(), "an idle one is taken again");
    }

    #[test]
    fn a_connection_has_so_many_wrong_streams_and_no_more() {
        let mut tally = Tally::default();
        (1..STREAMS_WRONG_MAX).for_each(|_| tally.count(Ended::Wrong));
        assert!(!tally.is_too_much(0));
        tally.count(Ended::Wrong);
        assert!(tally.is_too_much(0));
    }
}
