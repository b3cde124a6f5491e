//! A stream that its owner can cut, whoever reads from it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Cuts a stream. Clones cut the same one.
#[derive(Clone, Default)]
pub(in crate::ssh) struct Cut(Arc<Shared>);

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    woken: Notify,
    bytes: AtomicU64,
}

impl Cut {
    /// From now on reads end and writes fail.
    pub(in crate::ssh) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.woken.notify_one();
    }

    /// How many bytes came over the stream, as they came over the wire.
    pub(in crate::ssh) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether both cut the same stream.
    pub(in crate::ssh) fn is(&self, other: &Cut) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }
}

/// See [`Cut`].
pub(super) struct Cuttable {
    stream: TcpStream,
    cut: Cut,
    /// Resolves when the stream is cut.
    waiting: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Cuttable {
    pub(super) fn new(stream: TcpStream, cut: Cut) -> Cuttable {
        let waits = cut.clone();
        let waiting = Box::pin(async move {
            while !waits.is_cut() {
                waits.0.woken.notified().await;
            }
        });
        Cuttable { stream, cut, waiting }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.cut.is_cut() || self.waiting.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.cut.0.bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
