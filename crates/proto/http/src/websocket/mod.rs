//! WebSocket, sans-IO: the opening handshake, and frames put together to messages. Spec: RFC 6455 (version 13).
//!
//! **Unsupported and refused**: extensions (compression among them), other versions, the handshake over HTTP/2 (RFC 8441)
//! and HTTP/1.0, reserved bits and opcodes, lengths that are not written in the shortest way, frames of a client's that
//! are not masked and of a service's that are, text that is not UTF-8, status codes that no endpoint may send.
//!
//! A message leaves in one frame, however it came: where a peer cuts its messages says nothing, and is a channel.
//!
//! Reading order: [`handshake`] -> [`frame`].

pub mod frame;
pub mod handshake;

pub use frame::{Closing, Decoder, Incoming, Kind, Message, Opcode, close_code, close_payload, encode};
pub use handshake::{Offer, chosen};

#[cfg(test)]
mod tests;
