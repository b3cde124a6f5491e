//! Channels over WebSocket: the first byte of a message says whose the rest is. Messages come whole from the reader of
//! WebSocket; whether one is text or binary does not matter to the server.
//!
//! | byte | channel | from |
//! |---|---|---|
//! | 0 | standard input | client |
//! | 1, 2 | standard output, standard error | upstream |
//! | 3 | how it ended: a `Status` | upstream |
//! | 4 | the size of the terminal | client |
//! | 255 | version 5: the channel whose number follows is closed; of the client the input alone | client |

use super::Protocol;
use crate::fault::{self as why, Reason};
use crate::query::Streams;
use bytes::{BufMut, Bytes, BytesMut};

/// A channel of exec and attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Stdin,
    Stdout,
    Stderr,
    Error,
    Resize,
}

/// What a message of the client's is. An empty one is sent by servers when they begin, and by no client.
#[derive(Clone, PartialEq, Eq)]
pub enum FromClient {
    Stdin(Bytes),
    Resize(Bytes),
    StdinClosed,
}

/// One exec or attach over WebSocket.
#[derive(Clone, Debug)]
pub struct Channels {
    protocol: Protocol,
    streams: Streams,
    stdin_closed: bool,
}

/// Raw bytes are opaque.
impl std::fmt::Debug for FromClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FromClient::Stdin(bytes) => write!(f, "Stdin({} bytes)", bytes.len()),
            FromClient::Resize(bytes) => write!(f, "Resize({} bytes)", bytes.len()),
            FromClient::StdinClosed => f.write_str("StdinClosed"),
        }
    }
}

/// The channel number of a close.
const CLOSE: u8 = 255;

impl Channel {
    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Channel::Stdin => 0,
            Channel::Stdout => 1,
            Channel::Stderr => 2,
            Channel::Error => 3,
            Channel::Resize => 4,
        }
    }

    /// The message that says `bytes` on it.
    pub fn message(self, bytes: &[u8]) -> Bytes {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.put_u8(self.number());
        message.extend_from_slice(bytes);
        message.freeze()
    }
}

/// The message that closes the input (version 5).
pub fn stdin_closed() -> Bytes {
    Bytes::from_static(&[CLOSE, 0])
}

impl Channels {
    /// `protocol`: the one that upstream chose. Errors: one whose streams are SPDY's.
    pub fn new(protocol: Protocol, streams: Streams) -> Result<Channels, Reason> {
        match protocol {
            Protocol::V4 | Protocol::V5 => Ok(Channels { protocol, streams, stdin_closed: false }),
            Protocol::PortForward | Protocol::PortChannels => Err(why::NOT_OFFERED),
        }
    }

    /// Reads a message of the client's. Errors (side: client): no channel, one that is not the client's or was not asked for,
    /// input behind its end.
    pub fn on_client(&mut self, message: &Bytes) -> Result<FromClient, Reason> {
        match message.split_first() {
            None => Err(why::NO_CHANNEL),
            Some((0, _)) if !self.streams.stdin => Err(why::NOT_ASKED_FOR),
            Some((0, _)) if self.stdin_closed => Err(why::INPUT_ENDED),
            Some((0, _)) => Ok(FromClient::Stdin(message.slice(1..))),
            Some((4, _)) if !self.streams.tty => Err(why::NOT_ASKED_FOR),
            Some((4, _)) => Ok(FromClient::Resize(message.slice(1..))),
            Some((&CLOSE, [0])) if self.protocol == Protocol::V5 => self.close(),
            Some(_) => Err(why::UNKNOWN_CHANNEL),
        }
    }

    /// Reads a message of upstream's. Errors (side: upstream): no channel, one that is not upstream's or was not asked for.
    pub fn on_upstream(&self, message: &Bytes) -> Result<(Channel, Bytes), Reason> {
        let (number, rest) = message.split_first().ok_or(why::NO_CHANNEL)?;
        let (channel, asked) = match number {
            1 => (Channel::Stdout, self.streams.stdout),
            2 => (Channel::Stderr, self.streams.stderr),
            3 => (Channel::Error, true),
            _ => return Err(why::UNKNOWN_CHANNEL),
        };
        // A server says nothing on each channel that it has when it begins.
        match asked || rest.is_empty() {
            true => Ok((channel, message.slice(1..))),
            false => Err(why::NOT_ASKED_FOR),
        }
    }

    fn close(&mut self) -> Result<FromClient, Reason> {
        match std::mem::replace(&mut self.stdin_closed, true) || !self.streams.stdin {
            true => Err(why::INPUT_ENDED),
            false => Ok(FromClient::StdinClosed),
        }
    }
}
