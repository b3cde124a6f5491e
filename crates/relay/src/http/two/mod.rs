//! HTTP/2 at the edge. RFC 9113; the crate `h2` does frames, HPACK and flow control.
//!
//! A stream becomes HTTP/1.1 in memory, of this gateway's own encoders (`proto_http::two`), and goes through the ordinary
//! decoder and an ordinary session: there is one pipeline, and one reading of a request. A client's connection has *lanes*, each
//! an ordinary session over such bytes; a stream takes one that is idle, or opens one. Towards a service there is one
//! connection of HTTP/2 for each session, and one stream at a time on it.
//!
//! **Invariant:** whatever cannot be said in HTTP/1.1 in exactly one way goes no further.
//! **Invariant:** a session that ends inside an answer resets its stream: what was cut off never looks whole.
//! **Invariant:** what is not known to end goes to no session: the last bytes of a body wait for the end of its stream.
//!
//! Reading order: `serve` (a client's connection) -> `stream` (one request on it) -> `upstream` (towards the service).

mod serve;
mod stream;
mod upstream;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use proto_http::frame::Headers;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) use serve::{Host, serve};
pub(super) use upstream::{NO_FORM, has_form, over};

use super::side::Side;
use crate::leg::Leg;

/// What a client that knows that it may begins with. RFC 9113, 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client begins with HTTP/2. Reads until that is known; what was read stays in its input.
pub(super) async fn begins(client: &mut Side) -> bool {
    loop {
        let read = client.input.len().min(PREFACE.len());
        if client.input.get(..read) != PREFACE.get(..read) {
            return false;
        }
        if read == PREFACE.len() {
            return true;
        }
        match client.leg.fill(&mut client.input).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => client.bytes += n as u64,
        }
    }
}

/// A stream of which something was read already.
pub(super) struct Begun {
    leg: Leg,
    front: BytesMut,
}

impl Begun {
    pub(super) fn new(client: &mut Side) -> Begun {
        let leg = std::mem::replace(&mut client.leg, Leg::Gone);
        Begun { leg, front: std::mem::take(&mut client.input) }
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.front.is_empty() {
            return Pin::new(&mut self.leg).poll_read(cx, buf);
        }
        let size = self.front.len().min(buf.remaining());
        buf.put_slice(self.front.get(..size).unwrap_or_default());
        self.front.advance(size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.leg).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.leg).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.leg).poll_shutdown(cx)
    }
}

/// Fields as `h2` takes them. `None`: one of them is none of HTTP/2's.
fn map(headers: &Headers) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(map)
}

/// Fields as `h2` gives them.
fn pairs(map: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    map.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

/// Sends a piece as the peer's windows allow. `false`: the stream is over.
async fn push(stream: &mut h2::SendStream<Bytes>, mut piece: Bytes) -> bool {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(0)) => {}
            Some(Ok(room)) => {
                let some = piece.split_to(room.min(piece.len()));
                if stream.send_data(some, false).is_err() {
                    return false;
                }
            }
            Some(Err(_)) | None => return false,
        }
    }
    true
}
