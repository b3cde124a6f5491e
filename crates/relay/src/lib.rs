//! The data path: listeners, TLS, runs and their credentials, the vault, sessions. The only data-plane crate with
//! sockets.
//!
//! **Invariant:** nothing is forwarded without a [`gate::Permit`], nothing reaches a client but a [`gate::Release`]
//! (`postgres/writer.rs`, `http/writer.rs`).
//! **Invariant:** this crate never reads the index, an answer or the console.
//!
//! Reading order: `runs` -> `accept` -> `postgres`, `http` -> `config`, `vault`, `tls`, `leg`, `entropy`, `limits`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
pub mod config;
mod connect;
pub mod counts;
pub mod entropy;
mod gateway;
pub mod http;
mod leg;
pub mod limits;
pub mod pins;
pub mod postgres;
pub mod runs;
pub mod tls;
pub mod vault;

pub use gateway::{Gateway, Served, Start, Workers};
