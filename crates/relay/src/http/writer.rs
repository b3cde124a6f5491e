//! The two writers. **What goes upstream was permitted; what goes to the client was released.**

use bytes::BytesMut;
use gate::{Permit, Release};
use proto_http::reply;
use proto_http::websocket::{Opcode, close_payload, encode};
use wire::{Fault, Side, kind};

use super::credential::Injected;
use crate::entropy;

/// Towards the upstream.
#[derive(Default)]
pub(super) struct UpstreamWriter {
    pub(super) out: BytesMut,
}

impl UpstreamWriter {
    /// Queues exactly the bytes that the permit was minted for; a head among them gets the upstream's credential, which
    /// nobody was asked about and no record holds. Errors (side: gateway): other bytes, or too late.
    pub(super) fn send(
        &mut self,
        permit: Permit,
        bytes: &[u8],
        injected: Option<&Injected>,
    ) -> Result<(), Fault> {
        if !permit.spend(bytes, entropy::tick()) {
            return Err(NOT_PERMITTED);
        }
        match injected {
            None => self.out.extend_from_slice(bytes),
            Some(injected) => self.out.unsplit(injected.added(bytes).ok_or(NOT_SIGNED)?),
        }
        Ok(())
    }
}

impl UpstreamWriter {
    /// Spends the permit for a stream that is about to be opened: what it is for says all that its frames do. Errors: as
    /// [`UpstreamWriter::send`].
    pub(super) fn opens(&mut self, permit: Permit, described: &[u8]) -> Result<(), Fault> {
        if permit.spend(described, entropy::tick()) { Ok(()) } else { Err(NOT_PERMITTED) }
    }

    /// Queues the answer to a ping of the upstream's: its own bytes, and nothing else.
    pub(super) fn pong(&mut self, its_own: &[u8]) {
        encode(&mut self.out, Opcode::Pong, its_own, Some(entropy::random()));
    }

    /// Queues the end of a WebSocket: a code of the gateway's or of the upstream's own.
    pub(super) fn close(&mut self, code: u16) {
        encode(&mut self.out, Opcode::Close, &close_payload(code, ""), Some(entropy::random()));
    }
}

/// Towards the client.
#[derive(Default)]
pub(super) struct ClientWriter {
    pub(super) out: BytesMut,
    /// The client reads what the gateway says itself as a `Status` of Kubernetes.
    pub(super) reads_status: bool,
}

impl ClientWriter {
    pub(super) fn send(&mut self, release: Release) {
        self.out.extend_from_slice(release.into_bytes().as_bytes());
    }

    /// Queues words of the gateway's own: nothing of the upstream's is in them.
    pub(super) fn say(&mut self, problem: &super::problem::Problem, keep_alive: bool, to_head: bool) {
        self.out.extend_from_slice(&problem.encode(keep_alive, to_head, self.reads_status));
    }

    /// The same, where the client is told elsewhere.
    pub(super) fn accept(&mut self, keep_alive: bool) {
        self.out.extend_from_slice(&reply::accepted(keep_alive));
    }

    /// Queues a question of the gateway's own to the client's user.
    pub(super) fn ask(&mut self, id: &str, words: &str, state: &str, keep_alive: bool) {
        let message = proto_http::mcp::input_required(id, words, state);
        self.out.extend_from_slice(&reply::json(200, reply::reason(200), &message, keep_alive));
    }

    /// Queues the answer to a ping of the client's: its own bytes, and nothing else.
    pub(super) fn pong(&mut self, its_own: &[u8]) {
        encode(&mut self.out, Opcode::Pong, its_own, None);
    }

    /// Queues the end of a WebSocket, with words of the gateway's own.
    pub(super) fn close(&mut self, code: u16, why: &str) {
        encode(&mut self.out, Opcode::Close, &close_payload(code, why), None);
    }

    /// Queues an event of the gateway's own in a stream.
    pub(super) fn say_event(&mut self, event: &[u8], chunked: bool) {
        match chunked {
            true => proto_http::frame::encode_chunk(&mut self.out, event),
            false => self.out.extend_from_slice(event),
        }
    }
}

const NOT_SIGNED: Fault = Fault::new(
    Side::Gateway,
    kind::OUT_OF_ORDER,
    "the gateway could not sign the request",
    "writer: what is to be signed is no request",
);

const NOT_PERMITTED: Fault = Fault::new(
    Side::Gateway,
    kind::OUT_OF_ORDER,
    "the gateway would have sent what it had not permitted",
    "writer: permit and bytes do not match, or the permit has expired",
);
