//! HTTP/1.1, sans-IO: bytes in, typed messages out, and back. Both legs of the gateway use it.
//!
//! Edition: RFC 9112 (HTTP/1.1) and RFC 9110 (semantics), with HTTP/1.0 peers; RFC 9457 for our own errors.
//!
//! Why our own framing: a library that serves is lenient where two readers may differ (it takes `Content-Length` and
//! `Transfer-Encoding` together and drops one, or a bare LF for a line end). **What the policy saw is what upstream
//! runs**: a message that two implementations could cut or read differently is a fault here, on the side that sent
//! it, and nothing is repaired. What passes is written again by our encoders from its parts, never copied through.
//!
//! HTTP/2's streams become such messages at the relay's edge ([`two`]), so that they have the same reading.
//!
//! **Unsupported and refused**: HTTP/3, HTTP/2 inside of HTTP/1.1 (`PRI *` has its own sentence), CONNECT and absolute-form targets
//! (but for [`proxy`], which reads what a forward proxy is asked for), protocol upgrades (101) but for
//! [`websocket`], transfer codings other than
//! `chunked`, chunk extensions from clients (upstream's are dropped), obs-fold, expectations other than `100-continue`,
//! headers that override the method or the path, and paths with dot segments, empty segments, or encoded separators.
//!
//! Reading order: [`frame`] (bytes <-> heads and pieces of bodies) -> [`message`] (a typed view) -> [`action`] (what a
//! request does to which resource) -> [`reply`] (answers of the gateway's own) -> [`session`] (what is legal next).
//! Beside them: [`head`] (one head, and how its body is framed), [`target`] (one reading of path and query), [`proxy`] (what
//! a forward proxy is asked for), [`two`] (HTTP/2's messages as these, and back), [`media`]
//! (what a body is), [`coding`] (its codings undone), [`websocket`] (its handshake and messages), [`fault`] (every reason for a refusal, in one list), [`limits`].
//!
//! What a body *means* is not here, but for [`llm`]: what a request to a language model says, and what its answer
//! decides. Nothing here decides, records or releases.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod action;
pub mod coding;
pub mod fault;
pub mod frame;
pub mod head;
pub mod limits;
pub mod llm;
pub mod mcp;
pub mod media;
pub mod message;
pub mod proxy;
pub mod reply;
pub mod session;
pub mod target;
#[cfg(test)]
mod testkit;
pub mod two;
pub mod websocket;
