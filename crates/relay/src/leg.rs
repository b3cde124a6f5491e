//! A leg: one side's byte stream, plain or TLS, driven without locks by one task.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::limits::READ_BYTES;

/// One side's stream.
pub enum Leg {
    Tcp(TcpStream),
    Unix(UnixStream),
    TlsServer(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    TlsClient(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Lane(Box<Lane>),
    /// Handed on: reads end, writes fail.
    Gone,
}

/// HTTP/1.1 in memory, as which one stream of HTTP/2 after another comes or goes.
pub struct Lane {
    stream: DuplexStream,
    tls: bool,
    /// What carries it over the wire, towards an upstream; it ends with the leg.
    _carriers: JoinSet<()>,
}

impl Leg {
    /// `tls`: what carries it is TLS.
    pub(crate) fn lane(stream: DuplexStream, tls: bool, carriers: JoinSet<()>) -> Leg {
        Leg::Lane(Box::new(Lane { stream, tls, _carriers: carriers }))
    }

    pub fn is_tls(&self) -> bool {
        match self {
            Leg::TlsServer(_) | Leg::TlsClient(_) => true,
            Leg::Lane(lane) => lane.tls,
            Leg::Tcp(_) | Leg::Unix(_) | Leg::Gone => false,
        }
    }

    /// Whether HTTP/2 carries it.
    pub(crate) fn is_lane(&self) -> bool {
        matches!(self, Leg::Lane(_))
    }

    /// Whether ALPN chose HTTP/2.
    pub(crate) fn chose_two(&self) -> bool {
        let chosen = match self {
            Leg::TlsServer(stream) => stream.get_ref().1.alpn_protocol(),
            Leg::TlsClient(stream) => stream.get_ref().1.alpn_protocol(),
            Leg::Tcp(_) | Leg::Unix(_) | Leg::Lane(_) | Leg::Gone => None,
        };
        chosen == Some(crate::tls::HTTP_2)
    }

    /// Reads once into `buffer`. `Ready(Ok(0))` is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        // A stack buffer costs nothing while the connection is idle; the heap grows only by what arrived.
        let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        match Pin::new(self).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => {
                buffer.extend_from_slice(read.filled());
                Poll::Ready(Ok(read.filled().len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes as much of `buffer` as the peer takes. `Ready(Ok(()))` when it is empty and flushed.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<()>> {
        while !buffer.is_empty() {
            match Pin::new(&mut *self).poll_write(cx, buffer) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => buffer.advance(n),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.is_tls() {
            true => Pin::new(self).poll_flush(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    pub async fn fill(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx, buffer)).await
    }

    pub async fn drain(&mut self, buffer: &mut BytesMut) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_drain(cx, buffer)).await
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $body:expr, gone => $gone:expr) => {
        match $self.get_mut() {
            Leg::Tcp($stream) => $body,
            Leg::Unix($stream) => $body,
            Leg::TlsServer($stream) => $body,
            Leg::TlsClient($stream) => $body,
            Leg::Lane(lane) => {
                let $stream = &mut lane.stream;
                $body
            }
            Leg::Gone => $gone,
        }
    };
}

impl AsyncRead for Leg {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, s => Pin::new(s).poll_read(cx, buf), gone => Poll::Ready(Ok(())))
    }
}

impl AsyncWrite for Leg {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, s => Pin::new(s).poll_write(cx, buf), gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => Pin::new(s).poll_flush(cx), gone => Poll::Ready(Ok(())))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => Pin::new(s).poll_shutdown(cx), gone => Poll::Ready(Ok(())))
    }
}
