//! Both sides of a connection of streams once they have switched: what is read of each, what is written to each, and how one task
//! reads both.
//!
//! **Invariant:** what a side says is taken only while nothing waits for the *other* side to take it, so that neither a program that
//! reads nothing nor a client that reads nothing stops the other direction.
//! **Invariant:** no byte of a frame passes. Frames are written anew; of those that carry nothing, numbers alone.

use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mask::MaskedBytes;
use proto_http::websocket::{self, Incoming, Opcode, encode};
use proto_kubernetes::channel::{Carrier, Protocol};
use proto_kubernetes::spdy::frame::{self, Frame};
use tokio::time::Instant;
use wire::{Fault, RawField};

use super::super::session::{Cut, Session, cut_short, over};
use super::super::side::Side;
use super::Tunnel;
use crate::entropy;
use crate::limits::CHANNEL_ANSWERS_BYTES_MAX;

/// What is read of one side: frames of WebSocket, of SPDY, or of SPDY in WebSocket's messages.
pub(super) struct Wire {
    socket: Option<websocket::Decoder>,
    spdy: Option<frame::Decoder>,
    /// What is written to that side.
    encoder: frame::Encoder,
}

/// One thing that a side says.
pub(super) enum Heard {
    Ping(Bytes),
    Close,
    Message(Bytes),
    Frame(Frame),
}

impl Wire {
    pub(super) fn new(tunnel: &Tunnel, protocol: Protocol, side: wire::Side) -> Wire {
        let socket = match (tunnel.carrier, side) {
            (Carrier::Spdy, _) => None,
            (Carrier::WebSocket, wire::Side::Upstream) => Some(websocket::Decoder::upstream()),
            (Carrier::WebSocket, _) => Some(websocket::Decoder::client()),
        };
        let spdy = protocol.is_spdy(tunnel.carrier).then(|| frame::Decoder::new(side));
        Wire { socket, spdy, encoder: frame::Encoder::default() }
    }

    /// The next of what has come. `None`: more must come.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, Fault> {
        loop {
            if let Some(frame) = self.spdy.as_mut().map(frame::Decoder::next).transpose()?.flatten() {
                return Ok(Some(Heard::Frame(frame)));
            }
            let Some(socket) = &mut self.socket else {
                match (input.is_empty(), &mut self.spdy) {
                    (false, Some(spdy)) => spdy.push(&input.split()),
                    _ => return Ok(None),
                }
                continue;
            };
            match (socket.next(input)?, &mut self.spdy) {
                (Incoming::NeedMore, _) => return Ok(None),
                (Incoming::Pong, _) => {}
                (Incoming::Ping(payload), _) => return Ok(Some(Heard::Ping(payload))),
                (Incoming::Close(_), _) => return Ok(Some(Heard::Close)),
                (Incoming::Message(message), Some(spdy)) => spdy.push(&message.data),
                (Incoming::Message(message), None) => return Ok(Some(Heard::Message(message.data))),
            }
        }
    }

    /// The bytes of a frame of SPDY's, as they go to this side; `key`: of WebSocket, towards an upstream.
    fn frame(&mut self, frame: &Frame, key: Option<[u8; 4]>) -> BytesMut {
        let mut bytes = BytesMut::new();
        self.encoder.encode(&mut bytes, frame);
        if self.socket.is_none() {
            return bytes;
        }
        let mut message = BytesMut::new();
        encode(&mut message, Opcode::Binary, &bytes, key);
        message
    }
}

/// Both sides.
pub(super) struct Wires {
    pub(super) client: Wire,
    pub(super) upstream: Wire,
    /// When they have been silent for too long.
    pub(super) idle: Instant,
}

/// What came of waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stirred {
    /// Something was read.
    Read,
    ClientGone,
    UpstreamGone,
    Pause,
    Idle,
}

impl Wires {
    /// Whether both sides speak in messages of WebSocket's.
    pub(super) fn in_messages(&self) -> bool {
        self.client.socket.is_some()
    }

    /// Queues a frame that carries nothing but numbers.
    pub(super) fn say_upstream(&mut self, out: &mut BytesMut, frame: &Frame) {
        let key = self.upstream.socket.is_some().then(entropy::random);
        out.extend_from_slice(&self.upstream.frame(frame, key));
    }

    /// The same for the client.
    pub(super) fn say_client(&mut self, out: &mut BytesMut, frame: &Frame) {
        out.extend_from_slice(&self.client.frame(frame, None));
    }

    /// Whether what goes on are channels of WebSocket's, whose numbers take the place of streams'.
    pub(super) fn in_channels(&self) -> bool {
        self.client.spdy.is_none()
    }

    /// Queues words of the gateway's own, or numbers, on a channel.
    pub(super) fn say_channel(&self, out: &mut BytesMut, channel: u32, own: &[u8]) {
        encode(out, Opcode::Binary, &on_channel(channel, own), None);
    }

    /// The bytes of data for the upstream, which a permit is for.
    pub(super) fn data(&mut self, stream: u32, fin: bool, bytes: &Bytes) -> BytesMut {
        if self.in_channels() {
            let mut message = BytesMut::new();
            encode(&mut message, Opcode::Binary, &on_channel(stream, bytes), Some(entropy::random()));
            return message;
        }
        let frame = Frame::Data { stream, fin, bytes: RawField::new(bytes.clone()) };
        let key = self.upstream.socket.is_some().then(entropy::random);
        self.upstream.frame(&frame, key)
    }

    /// Masked data for the client.
    pub(super) fn masked(&self, stream: u32, piece: &MaskedBytes) -> MaskedBytes {
        if self.in_channels() {
            return mask::channel_message(stream as u8, piece);
        }
        let data = mask::spdy_data(stream, piece);
        if self.client.socket.is_some() { mask::message(data, false) } else { data }
    }
}

/// A message of one of at most 256 channels.
fn on_channel(channel: u32, says: &[u8]) -> Vec<u8> {
    [&[channel as u8], says].concat()
}

impl Session {
    /// Writes what waits, as far as both sides take it now.
    pub(super) async fn let_flow(&mut self) {
        let (client, upstream) = (&mut self.client.leg, &mut self.upstream.leg);
        let (to_client, to_upstream) = (&mut self.to_client.out, &mut self.to_upstream.out);
        std::future::poll_fn(|cx| {
            // What fails is told where it is waited for.
            let _client = client.poll_drain(cx, to_client);
            let _upstream = upstream.poll_drain(cx, to_upstream);
            Poll::Ready(())
        })
        .await;
    }

    /// Writes what waits, and reads from each side for which nothing waits on the other.
    pub(super) async fn stir(&mut self, idle: Instant, pause: Option<Duration>) -> Result<Stirred, Cut> {
        let until = pause.map_or(idle, |pause| (Instant::now() + pause).min(idle));
        let (client, upstream) = (&mut self.client, &mut self.upstream);
        let (to_client, to_upstream) = (&mut self.to_client.out, &mut self.to_upstream.out);
        let woke = std::future::poll_fn(|cx| {
            if let Poll::Ready(Err(_)) = client.leg.poll_drain(cx, to_client) {
                return Poll::Ready(Stirred::ClientGone);
            }
            if let Poll::Ready(Err(_)) = upstream.leg.poll_drain(cx, to_upstream) {
                // It takes nothing more; what it said before is still to be read.
                to_upstream.clear();
            }
            let mut read = |side: &mut Side, gone| match side.leg.poll_fill(cx, &mut side.input) {
                Poll::Ready(Ok(0) | Err(_)) => Some(gone),
                Poll::Ready(Ok(n)) => {
                    side.bytes += n as u64;
                    Some(Stirred::Read)
                }
                Poll::Pending => None,
            };
            // What a side is answered (pings) waits for that side alone, and is bounded here.
            let (of_upstream, of_client) = (to_client.is_empty(), to_upstream.is_empty());
            let said = (of_upstream && to_upstream.len() < CHANNEL_ANSWERS_BYTES_MAX)
                .then(|| read(upstream, Stirred::UpstreamGone));
            let asked = (of_client && to_client.len() < CHANNEL_ANSWERS_BYTES_MAX)
                .then(|| read(client, Stirred::ClientGone));
            // Both are looked at each time: who says much keeps nobody else from being heard.
            match (said.flatten(), asked.flatten()) {
                (Some(Stirred::UpstreamGone), _) => Poll::Ready(Stirred::UpstreamGone),
                (_, Some(Stirred::ClientGone)) => Poll::Ready(Stirred::ClientGone),
                (None, None) => Poll::Pending,
                (said, asked) => said.or(asked).map_or(Poll::Pending, Poll::Ready),
            }
        });
        tokio::select! {
            biased;
            why = over(&mut self.ended) => Err(cut_short(why)),
            woke = woke => Ok(woke),
            () = tokio::time::sleep_until(until) => {
                Ok(if until == idle { Stirred::Idle } else { Stirred::Pause })
            }
        }
    }
}

pub(super) fn upstream(reason: proto_kubernetes::fault::Reason) -> Cut {
    reason.on(wire::Side::Upstream).into()
}

pub(super) fn client(reason: proto_kubernetes::fault::Reason) -> Cut {
    reason.on(wire::Side::Client).into()
}
