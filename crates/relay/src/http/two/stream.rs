//! One stream: a request that goes into a lane, and the answer that comes out of it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use proto_http::fault as why;
use proto_http::frame::{Decoder, Framing, Head, Incoming, Start, encode_chunk, encode_last_chunk};
use proto_http::reply::status_of;
use proto_http::two::{self, Measure, Pseudo, Written};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::timeout;
use wire::Side;

use super::super::problem::Problem;
use super::serve::{Host, Lane, Lanes, Read};
use super::{map, pairs, push};
use crate::limits::{HTTP_READ, READ_BYTES};

/// How a stream ended.
pub(super) enum Ended {
    Answered,
    /// The client reset it, or takes nothing more, or its session was cut.
    Abandoned,
    /// It was no request.
    Wrong,
}

/// Why one does not go on.
enum Broke {
    /// The client reset it, or does not take its answer.
    Client,
    /// It is not what it said that it would be.
    Wrong(why::Reason),
    /// The session is over.
    Session,
}

const TOO_MANY: &str = "the connection, or the gateway, has as many requests in work as one may have";

impl<H: Host> Lanes<H> {
    /// Carries one request to the end of its answer.
    pub(super) async fn stream(
        self: Arc<Self>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Ended {
        let admitted = tokio::select! {
            biased;
            _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)) => return Ended::Abandoned,
            admitted = self.admit() => admitted,
        };
        let Some(_admitted) = admitted else {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ended::Wrong;
        };
        let (parts, mut body) = request.into_parts();
        let to_head = parts.method == http::Method::HEAD;
        let written = match self.written(&parts, body.is_end_stream()) {
            Ok(written) => written,
            Err(reason) => {
                let fault = reason.on(Side::Client);
                self.host.wrong(fault.outward).await;
                tell(
                    &mut respond,
                    &Problem::new(status_of(&fault), fault.outward),
                    to_head,
                    self.host.reads_status(),
                );
                return Ended::Wrong;
            }
        };
        let lane = tokio::select! {
            biased;
            _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)) => return Ended::Abandoned,
            lane = self.take() => lane,
        };
        let Some(Lane { stream, mut side }) = lane else {
            tell(&mut respond, &Problem::new(503, TOO_MANY), to_head, self.host.reads_status());
            return Ended::Wrong;
        };
        let (from, to) = tokio::io::split(stream);
        let mut exchange = Exchange { from, to, side: &mut side, stop: None };
        match exchange.carry(written, &mut body, &mut respond, to_head).await {
            Ok(keeps) => {
                let Exchange { from, to, .. } = exchange;
                if keeps {
                    self.give(Lane { stream: from.unsplit(to), side });
                }
                Ended::Answered
            }
            // The lane is dropped with it: its session reads the client's going away.
            Err(broke) => {
                let (code, ended) = match broke {
                    Broke::Client => (Reason::CANCEL, Ended::Abandoned),
                    Broke::Session => (Reason::INTERNAL_ERROR, Ended::Abandoned),
                    Broke::Wrong(reason) => {
                        self.host.wrong(reason.outward).await;
                        (Reason::PROTOCOL_ERROR, Ended::Wrong)
                    }
                };
                match &mut exchange.stop {
                    Some(answer) => answer.send_reset(code),
                    None => respond.send_reset(code),
                }
                ended
            }
        }
    }

    fn written(&self, parts: &http::request::Parts, ends: bool) -> Result<Written, why::Reason> {
        let pseudo = Pseudo {
            method: parts.method.as_str().as_bytes(),
            scheme: parts.uri.scheme_str().map(str::as_bytes),
            authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
            path: parts.uri.path_and_query().map(|path| path.as_str().as_bytes()),
        };
        two::request(&pseudo, self.host.scheme(), pairs(&parts.headers), ends)
    }
}

/// A request and its answer on a lane.
struct Exchange<'a> {
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
    side: &'a mut Read,
    /// The answer's stream, once it was begun.
    stop: Option<SendStream<Bytes>>,
}

impl Exchange<'_> {
    /// Both directions. `true`: the lane carries another request.
    async fn carry(
        &mut self,
        written: Written,
        body: &mut RecvStream,
        respond: &mut SendResponse<Bytes>,
        to_head: bool,
    ) -> Result<bool, Broke> {
        let Exchange { from, to, side, stop } = self;
        side.decoder.answers(to_head);
        let upload = upload(written, body, to);
        let download = download(from, side, respond, stop);
        tokio::pin!(upload, download);
        let mut sent = false;
        loop {
            tokio::select! {
                biased;
                up = &mut upload, if !sent => match up {
                    Ok(()) => sent = true,
                    // What the session has to say of it comes as its answer.
                    Err(Broke::Session) => return download.await.map(|_keeps| false),
                    Err(broke) => return Err(broke),
                },
                down = &mut download => return down.map(|keeps| keeps && sent),
            }
        }
    }
}

/// The request, and its body as it comes. The last piece of what has a length waits for the end of the stream: a body that
/// turns out to be longer was never a whole request.
async fn upload(
    written: Written,
    body: &mut RecvStream,
    to: &mut WriteHalf<DuplexStream>,
) -> Result<(), Broke> {
    let Written { head, framing } = written;
    let mut measure = Measure::new(framing);
    let mut held = head;
    if framing != Framing::Length(0) {
        write(to, &mut held).await?;
    }
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| broke(&error))?;
        measure.came(piece.len()).map_err(Broke::Wrong)?;
        let _of_a_stream_that_is_over = body.flow_control().release_capacity(piece.len());
        write(to, &mut held).await?;
        match framing {
            Framing::Chunked => {
                encode_chunk(&mut held, &piece);
                write(to, &mut held).await?;
            }
            _ => held.extend_from_slice(&piece),
        }
    }
    measure.ended().map_err(Broke::Wrong)?;
    let trailers = body.trailers().await.map_err(|error| broke(&error))?;
    let trailers = trailers.unwrap_or_default();
    let trailers = two::trailers(pairs(&trailers)).map_err(Broke::Wrong)?;
    if framing == Framing::Chunked {
        encode_last_chunk(&mut held, &trailers).map_err(|_| Broke::Wrong(why::FIELD))?;
    }
    write(to, &mut held).await
}

/// A stream's error: the client's word, or what its frames were.
fn broke(error: &h2::Error) -> Broke {
    match error.is_remote() || error.is_io() {
        true => Broke::Client,
        false => Broke::Wrong(why::LENGTH_MISMATCH),
    }
}

async fn write(to: &mut WriteHalf<DuplexStream>, bytes: &mut BytesMut) -> Result<(), Broke> {
    to.write_all(bytes).await.map_err(|_| Broke::Session)?;
    bytes.clear();
    Ok(())
}

/// The answer. `true`: the session goes on.
async fn download(
    from: &mut ReadHalf<DuplexStream>,
    side: &mut Read,
    respond: &mut SendResponse<Bytes>,
    stop: &mut Option<SendStream<Bytes>>,
) -> Result<bool, Broke> {
    let head = final_head(from, side, respond).await?;
    let bodyless = matches!(head.framing, Framing::None | Framing::Length(0));
    let response = response(&head).ok_or(Broke::Session)?;
    *stop = Some(respond.send_response(response, bodyless).map_err(|_| Broke::Client)?);
    let Some(stream) = stop.as_mut() else { return Err(Broke::Session) };
    let mut trailers = None;
    loop {
        let item = tokio::select! {
            biased;
            item = next(from, side) => item?,
            _reset = std::future::poll_fn(|cx| stream.poll_reset(cx)), if !bodyless => return Err(Broke::Client),
        };
        match item {
            Incoming::Body(piece) => match timeout(HTTP_READ, push(stream, piece)).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(Broke::Client),
            },
            Incoming::Trailers(fields) => {
                trailers = Some(map(&two::end_to_end(&fields)).ok_or(Broke::Session)?)
            }
            // A body until close ends like one that was cut off.
            Incoming::End if head.framing != Framing::UntilClose => break,
            Incoming::End | Incoming::NeedMore | Incoming::Head(_) | Incoming::Closed => {
                return Err(Broke::Session);
            }
        }
    }
    if !bodyless {
        finish(stream, trailers).map_err(|_| Broke::Client)?;
    }
    Ok(head.keep_alive)
}

fn finish(stream: &mut SendStream<Bytes>, trailers: Option<HeaderMap>) -> Result<(), h2::Error> {
    match trailers {
        None => stream.send_data(Bytes::new(), true),
        Some(trailers) => stream.send_trailers(trailers),
    }
}

/// The answer's head, behind any interim ones: of those the client is shown the one that it waits for.
async fn final_head(
    from: &mut ReadHalf<DuplexStream>,
    side: &mut Read,
    respond: &mut SendResponse<Bytes>,
) -> Result<Head, Broke> {
    loop {
        let item = tokio::select! {
            biased;
            item = next(from, side) => item?,
            _reset = std::future::poll_fn(|cx| respond.poll_reset(cx)) => return Err(Broke::Client),
        };
        match item {
            Incoming::Head(head) if !head.is_interim() => return Ok(head),
            Incoming::Head(head) => {
                if let Some(interim) = response(&head).filter(|interim| interim.status() == 100) {
                    respond.send_informational(interim).map_err(|_| Broke::Client)?;
                }
            }
            Incoming::End => {}
            Incoming::NeedMore | Incoming::Body(_) | Incoming::Trailers(_) | Incoming::Closed => {
                return Err(Broke::Session);
            }
        }
    }
}

/// The next item of the answer. May be dropped while it waits: nothing is lost.
async fn next(from: &mut ReadHalf<DuplexStream>, side: &mut Read) -> Result<Incoming, Broke> {
    loop {
        match side.decoder.next(&mut side.input) {
            Ok(Incoming::NeedMore) => {}
            Ok(item) => return Ok(item),
            Err(_) => return Err(Broke::Session),
        }
        side.input.reserve(READ_BYTES);
        match from.read_buf(&mut side.input).await {
            Ok(0) => return side.decoder.closed(&mut side.input).map_err(|_| Broke::Session),
            Ok(_) => {}
            Err(_) => return Err(Broke::Session),
        }
    }
}

fn response(head: &Head) -> Option<Response<()>> {
    let Start::Response { status, .. } = &head.start else { return None };
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(*status).ok()?;
    *response.headers_mut() = map(&two::end_to_end(&head.headers))?;
    Some(response)
}

/// Answers in the gateway's own words.
fn tell(respond: &mut SendResponse<Bytes>, problem: &Problem, to_head: bool, as_status: bool) {
    if said(respond, problem, to_head, as_status).is_none() {
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

fn said(respond: &mut SendResponse<Bytes>, problem: &Problem, to_head: bool, as_status: bool) -> Option<()> {
    let mut input = problem.encode(false, to_head, as_status);
    let mut decoder = Decoder::upstream();
    decoder.answers(to_head);
    let Ok(Incoming::Head(head)) = decoder.next(&mut input) else { return None };
    let mut stream = respond.send_response(response(&head)?, to_head).ok()?;
    match to_head {
        true => Some(()),
        false => stream.send_data(input.freeze(), true).ok(),
    }
}
