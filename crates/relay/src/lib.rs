//! The data path: listeners, TLS, runs and their credentials, the vault, sessions. The only data-plane crate with
//! sockets.
//!
//! **Invariant:** nothing is forwarded without a [`gate::Permit`], nothing reaches a client but a [`gate::Release`]
//! (`postgres/writer.rs`, `http/writer.rs`, `ssh/writer.rs`).
//! **Invariant:** this crate never reads the index, an answer or the console.
//!
//! Reading order: `runs` -> `accept` -> `postgres`, `http`, `ssh` -> `config`, `vault`, `tls`, `authority`, `leg`, `entropy`, `limits`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
pub mod again;
mod alike;
pub mod authority;
mod awaited;
pub mod config;
mod connect;
pub mod counts;
mod delegation;
pub mod entropy;
mod gateway;
pub mod http;
mod in_vain;
mod leg;
pub mod limits;
pub mod pins;
pub mod postgres;
mod program;
pub mod runs;
mod seat;
pub mod ssh;
pub mod tls;
pub mod vault;

pub use gateway::{Door, Gateway, Served, Start, Workers};
