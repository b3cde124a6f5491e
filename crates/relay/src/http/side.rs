//! One side of a session: its stream, what has come of it, and where its messages end.

use bytes::BytesMut;
use proto_http::frame::{Decoder, Incoming};
use wire::Fault;

use super::resource::Resource;
use crate::leg::Leg;

/// A peer.
pub(super) struct Side {
    pub(super) leg: Leg,
    pub(super) input: BytesMut,
    pub(super) decoder: Decoder,
    /// Bytes that came of it.
    pub(super) bytes: u64,
    /// It reads what the gateway says itself as a `Status` of Kubernetes.
    pub(super) reads_status: bool,
}

/// Nothing more can be read.
pub(super) enum Broken {
    /// It does not speak the protocol as it should.
    Fault(Fault),
    /// Its stream failed.
    Gone,
}

impl Side {
    pub(super) fn new(leg: Leg, decoder: Decoder) -> Side {
        Side { leg, input: BytesMut::new(), decoder, bytes: 0, reads_status: false }
    }

    /// A client of this resource.
    pub(super) fn client(leg: Leg, resource: &Resource) -> Side {
        let reads_status = resource.config.cluster.is_some();
        Side { reads_status, ..Side::new(leg, Decoder::client()) }
    }

    /// The next item of its messages. May be dropped while it waits: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Incoming, Broken> {
        loop {
            match self.decoder.next(&mut self.input).map_err(Broken::Fault)? {
                Incoming::NeedMore => {}
                item => return Ok(item),
            }
            match self.leg.fill(&mut self.input).await {
                Ok(0) => return self.decoder.closed(&mut self.input).map_err(Broken::Fault),
                Ok(n) => self.bytes += n as u64,
                Err(_) => return Err(Broken::Gone),
            }
        }
    }

    /// Resolves when the peer has gone away. What it sends meanwhile is kept, up to `most` bytes; then it is not read.
    pub(super) async fn gone(&mut self, most: usize) {
        while self.input.len() < most {
            match self.leg.fill(&mut self.input).await {
                Ok(0) | Err(_) => return,
                Ok(n) => self.bytes += n as u64,
            }
        }
        std::future::pending().await
    }
}
