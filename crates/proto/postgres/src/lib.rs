//! The PostgreSQL frontend/backend protocol, sans-IO: bytes in, typed messages and events out.
//!
//! Edition: protocol 3.0 and 3.2 as the manual of PostgreSQL 18 has them, chapter 54; servers 15 to 18.
//!
//! **Unsupported and refused**: protocol 2 and 3.1, direct TLS without SSLRequest, GSS encryption, Kerberos, GSSAPI,
//! SSPI and SCM authentication, FunctionCall (decoded, so that its refusal is in order), replication
//! (CopyBothResponse), and every message type that is not in the specification. Frames above the limits in
//! [`limits`] are refused before their body has arrived.
//!
//! Reading order: [`frame`] (bytes <-> frame) -> [`message`] (typed) -> [`action`] (what a message is about, as far
//! as the protocol says) -> [`reply`] (results as fields) -> [`session`] (what is outstanding upstream).
//! Beside them: [`startup`] (before the first frame), [`scram`] (how a client proves its password), [`copy`] (rows in
//! a COPY stream), [`types`] (values as text: crate `values`), [`errors`] (what an error may say), [`limits`].
//!
//! What a SQL text *means* is not here: that is crate `sql`. Nothing here decides, records or releases.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod action;
pub mod copy;
pub mod errors;
pub mod frame;
pub mod limits;
pub mod message;
pub mod reply;
pub mod scram;
pub mod session;
mod sqlstate;
pub mod startup;

pub use values as types;
