//! The seal: canonical bytes, the Merkle tree, checkpoints, proofs, and the verifier of all of them.
//!
//! Hashes and signatures only, so that a third party can reimplement it from one page: `docs/FORMAT.md`. Bytes come
//! in and verdicts go out; there is no file, socket, clock or randomness here.
//!
//! Reading order: [`frame`] (bytes to frames) -> [`cbor`] -> [`record`] (frames to records) -> [`tree`] -> [`note`]
//! (signed checkpoints) -> [`payload`] -> [`files`] (which of a ledger's files count) -> [`verify`] (all of it, in order) -> [`witness`] (who keeps others' checkpoints).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod base64;
pub mod cbor;
pub mod files;
pub mod frame;
pub mod limits;
pub mod note;
pub mod payload;
pub mod record;
mod sha256;
pub mod text;
pub mod tree;
pub mod verify;
pub mod witness;

#[cfg(feature = "testkit")]
pub mod testkit;

pub use tree::Hash;
