//! What every protocol on a wire needs and no protocol owns: a bounded reader and writer, bytes that are opaque,
//! and faults that say whose they are. No IO, no clock, no randomness; knows no protocol.
//!
//! Reading order: [`Fault`], [`Reader`], [`Writer`], then the opaque bytes [`RawField`], [`Held`] and [`Commitment`].

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fault;
mod opaque;
mod reader;
mod writer;

pub use fault::{Fault, Reason, Side, kind};
pub use opaque::{Commitment, Held, RawField};
pub use reader::Reader;
pub use writer::{Mark, Writer};
