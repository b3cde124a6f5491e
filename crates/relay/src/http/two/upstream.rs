//! Towards a service: the requests of one session, one after another, each as a stream of a connection that is its alone.
//!
//! The session writes and reads HTTP/1.1 as ever, and what it writes it writes behind a permit: nothing of a request leaves
//! before. What the service does otherwise (a reset, GOAWAY, a frame that is none) ends the session's bytes where they are.

use bytes::{Bytes, BytesMut};
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use proto_http::frame::{Decoder, Framing, Head, Headers, Incoming, encode_chunk, encode_last_chunk};
use proto_http::limits::{HEAD_BYTES_MAX, INTERIM_RESPONSES_MAX};
use proto_http::two::{self, Measure, Opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use wire::RawField;

use super::{map, pairs, push};
use crate::leg::Leg;
use crate::limits::{LANE_BYTES, READ_BYTES, STREAM_SEND_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_RESET_MAX};

/// Speaks HTTP/2 over `leg`. What is returned is HTTP/1.1, and ends all of it when it is dropped. Errors: a sentence for the
/// operator.
pub(in crate::http) async fn over(leg: Leg) -> Result<Leg, String> {
    let tls = leg.is_tls();
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    let (requests, connection) = settings()
        .handshake::<_, Bytes>(leg)
        .await
        .map_err(|e| format!("no connection of HTTP/2 came about: {e}"))?;
    let (near, far) = tokio::io::duplex(LANE_BYTES);
    let mut carriers = JoinSet::new();
    let (closes, closed) = oneshot::channel();
    carriers.spawn(async move {
        let _what_each_stream_is_told = connection.await;
        let _nobody_waits = closes.send(());
    });
    let carried = Carried { requests, scheme, far, decoder: Decoder::client(), input: BytesMut::new() };
    carriers.spawn(carried.all(closed));
    Ok(Leg::lane(near, tls, carriers))
}

fn settings() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_send_buffer_size(STREAM_SEND_BYTES_MAX)
        .max_concurrent_reset_streams(STREAMS_RESET_MAX)
        .max_local_error_reset_streams(Some(STREAMS_RESET_MAX));
    builder
}

/// The far end of a session's leg.
struct Carried {
    requests: SendRequest<Bytes>,
    scheme: Scheme,
    far: DuplexStream,
    decoder: Decoder,
    input: BytesMut,
}

/// What ends the leg; the session finds out by that.
struct Over;

impl Carried {
    /// One request after another, until the session or the connection is over. Dropping `far` is the end that the session reads.
    async fn all(mut self, mut closed: oneshot::Receiver<()>) {
        loop {
            let head = tokio::select! {
                biased;
                _ = &mut closed => return,
                next = self.next() => match next {
                    Ok(Incoming::Head(head)) => head,
                    Ok(_) | Err(Over) => return,
                },
            };
            if self.exchange(head).await.is_err() {
                return;
            }
        }
    }

    /// The next item that the session writes. May be dropped while it waits: nothing is lost.
    async fn next(&mut self) -> Result<Incoming, Over> {
        loop {
            match self.decoder.next(&mut self.input).map_err(|_| Over)? {
                Incoming::NeedMore => {}
                item => return Ok(item),
            }
            self.input.reserve(READ_BYTES);
            if self.far.read_buf(&mut self.input).await.map_err(|_| Over)? == 0 {
                return Err(Over);
            }
        }
    }

    async fn exchange(&mut self, head: Head) -> Result<(), Over> {
        let (framing, trailers) = (head.framing, two::reads_trailers(&head.headers));
        let request = opened(two::opening(&head).ok_or(Over)?, &self.scheme).ok_or(Over)?;
        let to_head = request.method() == http::Method::HEAD;
        let ends = matches!(framing, Framing::None | Framing::Length(0));
        let mut requests = self.requests.clone().ready().await.map_err(|_| Over)?;
        let (mut response, mut stream) = requests.send_request(request, ends).map_err(|_| Over)?;
        let mut early = Vec::new();
        let too_many = tokio::select! {
            biased;
            () = flooded(&mut response, &mut early) => true,
            sent = self.body(&mut stream, ends) => sent.map(|()| false)?,
        };
        if too_many {
            // The service gets nothing more, and the session finds out when it reads: by what it counts.
            stream.send_reset(Reason::CANCEL);
            self.rest().await?;
        }
        for interim in &early {
            self.interim(interim).await?;
        }
        if too_many {
            return Err(Over);
        }
        let (parts, mut body) = self.final_response(&mut response).await?.into_parts();
        let ends = body.is_end_stream();
        let status = parts.status.as_u16();
        let written =
            two::response(status, pairs(&parts.headers), ends, to_head, trailers).map_err(|_| Over)?;
        self.write(&written.head).await?;
        self.answer(&mut body, written.framing).await
    }

    /// The request's body, to its end.
    async fn body(&mut self, stream: &mut SendStream<Bytes>, ends: bool) -> Result<(), Over> {
        let mut trailers = None;
        loop {
            match self.next().await? {
                Incoming::Body(piece) => {
                    if !push(stream, piece).await {
                        return Err(Over);
                    }
                }
                Incoming::Trailers(fields) => trailers = Some(map(&two::end_to_end(&fields)).ok_or(Over)?),
                Incoming::End => break,
                Incoming::NeedMore | Incoming::Head(_) | Incoming::Closed => return Err(Over),
            }
        }
        match trailers {
            _ if ends => Ok(()),
            None => stream.send_data(Bytes::new(), true).map_err(|_| Over),
            Some(trailers) => stream.send_trailers(trailers).map_err(|_| Over),
        }
    }

    /// Reads what is left of a request that goes nowhere.
    async fn rest(&mut self) -> Result<(), Over> {
        loop {
            match self.next().await? {
                Incoming::Body(_) | Incoming::Trailers(_) => {}
                Incoming::End => return Ok(()),
                Incoming::NeedMore | Incoming::Head(_) | Incoming::Closed => return Err(Over),
            }
        }
    }

    async fn interim(&mut self, interim: &Response<()>) -> Result<(), Over> {
        let status = interim.status().as_u16();
        let written = two::response(status, pairs(interim.headers()), true, false, false);
        self.write(&written.map_err(|_| Over)?.head).await
    }

    /// The answer, behind any interim ones: the session sees and counts those.
    async fn final_response(&mut self, response: &mut ResponseFuture) -> Result<Response<RecvStream>, Over> {
        loop {
            let next = std::future::poll_fn(|cx| {
                use std::future::Future;
                use std::task::Poll;
                match response.poll_informational(cx) {
                    Poll::Ready(Some(Ok(interim))) => return Poll::Ready(Ok(Err(interim))),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Over)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                std::pin::Pin::new(&mut *response).poll(cx).map(|end| end.map(Ok).map_err(|_| Over))
            });
            match next.await? {
                Ok(last) => return Ok(last),
                Err(interim) => self.interim(&interim).await?,
            }
        }
    }

    async fn answer(&mut self, body: &mut RecvStream, framing: Framing) -> Result<(), Over> {
        let mut measure = Measure::new(framing);
        let mut out = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(|_| Over)?;
            measure.came(piece.len()).map_err(|_| Over)?;
            match framing {
                Framing::Chunked => encode_chunk(&mut out, &piece),
                _ => out.extend_from_slice(&piece),
            }
            self.write(&out).await?;
            out.clear();
            let _of_a_stream_that_is_over = body.flow_control().release_capacity(piece.len());
        }
        measure.ended().map_err(|_| Over)?;
        let trailers: Option<HeaderMap> = body.trailers().await.map_err(|_| Over)?;
        if framing == Framing::Chunked {
            let trailers = trailers.as_ref().map(|fields| two::trailers(pairs(fields)));
            let trailers = trailers.transpose().map_err(|_| Over)?.unwrap_or_else(Headers::new);
            encode_last_chunk(&mut out, &trailers).map_err(|_| Over)?;
            self.write(&out).await?;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.far.write_all(bytes).await.map_err(|_| Over)
    }
}

/// Takes the interim responses that come while the request is sent, for which `h2`'s queue has no limit. Resolves when they
/// are more than a session takes; may be dropped before.
async fn flooded(response: &mut ResponseFuture, early: &mut Vec<Response<()>>) {
    while early.len() <= INTERIM_RESPONSES_MAX as usize {
        match std::future::poll_fn(|cx| response.poll_informational(cx)).await {
            Some(Ok(interim)) => early.push(interim),
            // What else there is, whoever waits for the answer is told.
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}

pub(in crate::http) const NO_FORM: &str = "this request has no form in HTTP/2, which the service speaks";

/// Whether a request that is written in HTTP/1.1 can be said in HTTP/2, also with so many bytes more in its target.
pub(in crate::http) fn has_form(request: &[u8], more: usize) -> bool {
    let end = memchr::memmem::find(request, b"\r\n\r\n").map_or(request.len(), |end| end + 4);
    let mut head = BytesMut::from(request.get(..end).unwrap_or_default());
    let Ok(Incoming::Head(head)) = Decoder::client().next(&mut head) else { return false };
    let Some(mut opening) = two::opening(&head) else { return false };
    if more > 0 {
        let mut path = opening.path.as_bytes().to_vec();
        path.resize(path.len() + more, b'x');
        opening.path = RawField::new(path.into());
    }
    opened(opening, &Scheme::HTTP).is_some()
}

/// A request as `h2` takes it. `None`: a part of it would be another one there.
fn opened(opening: Opening, scheme: &Scheme) -> Option<Request<()>> {
    let path = PathAndQuery::from_maybe_shared(opening.path.to_bytes()).ok()?;
    let authority = Authority::from_maybe_shared(opening.authority.to_bytes()).ok()?;
    let same = path.as_str().as_bytes() == opening.path.as_bytes()
        && authority.as_str().as_bytes() == opening.authority.as_bytes();
    let uri = Uri::builder().scheme(scheme.clone()).authority(authority).path_and_query(path).build().ok()?;
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(opening.method.as_bytes()).ok()?;
    *request.uri_mut() = uri;
    *request.headers_mut() = map(&opening.fields)?;
    same.then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_http::session::Seen;

    #[test]
    fn what_http_1_carries_may_have_no_form() {
        let asks = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: one.example\r\n\r\n");
        let has = |target: &str, more| has_form(asks(target).as_bytes(), more);
        assert!(has("/users?name=%22x%22", 0) && has("/", 1000));
        for target in ["/<x>", "/`", "/?q=<x>", "/?q=\"x\""] {
            assert!(!has(target, 0), "{target}");
        }
        let long = format!("/{}", "x".repeat(60_000));
        assert!(has(&long, 0) && !has(&long, 10_000), "with the service's credential it is too long");
        let body = "POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 9\r\n\r\nx\r\n\r\ny\r\n";
        assert!(has_form(body.as_bytes(), 0));
    }

    /// A service that says `103` for as long as it is asked, and gives the request's body no window.
    async fn flood(io: DuplexStream) {
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(0);
        let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        let more = async {
            loop {
                let mut hint = Response::new(());
                *hint.status_mut() = http::StatusCode::EARLY_HINTS;
                if respond.send_informational(hint).is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = more => {}
            _over = async { while connection.accept().await.is_some() {} } => {}
        }
    }

    #[tokio::test]
    async fn interim_responses_without_end_are_a_fault_while_the_body_waits() {
        let (near, service) = tokio::io::duplex(LANE_BYTES);
        let service = tokio::spawn(flood(service));
        let mut leg = over(Leg::lane(near, false, JoinSet::new())).await.unwrap();
        let body = "x".repeat(1000);
        let head = "POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 1000\r\n\r\n";
        leg.drain(&mut BytesMut::from(format!("{head}{body}").as_bytes())).await.unwrap();
        let (mut decoder, mut input) = (Decoder::upstream(), BytesMut::new());
        decoder.answers(false);
        let mut seen = proto_http::session::Session::new();
        let request = Decoder::client().next(&mut BytesMut::from(head.as_bytes())).unwrap();
        let Incoming::Head(request) = request else { panic!("no request") };
        let request = proto_http::message::Request::new(request).unwrap();
        seen.on_request(&request).unwrap();
        let fault = loop {
            match decoder.next(&mut input).unwrap() {
                Incoming::NeedMore => assert!(leg.fill(&mut input).await.unwrap() > 0, "the leg ended"),
                Incoming::Head(head) => {
                    match seen.on_response(&proto_http::message::Response::new(head).unwrap()) {
                        Ok(Seen::Final) => panic!("no answer was final"),
                        Ok(_) => {}
                        Err(fault) => break fault,
                    }
                }
                _ => {}
            }
        };
        assert_eq!(fault, proto_http::fault::INTERIM_TOO_MANY.on(wire::Side::Upstream));
        drop(leg);
        service.await.unwrap();
    }
}
