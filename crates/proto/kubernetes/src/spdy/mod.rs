//! SPDY/3.1, as much of it as exec, attach and port-forward have: bytes <-> frames ([`frame`], [`headers`]), and what may come
//! when ([`session`]). It is under an upgraded connection, or in the messages of a WebSocket (KEP-4006).
//!
//! Spec: draft-mbelshe-httpbis-spdy-00 with SPDY/3.1's changes, as moby/spdystream has them: no flow control, no priorities,
//! streams are the client's alone.
//!
//! **Unsupported and refused**: HEADERS, CREDENTIAL and unknown frames, other versions, streams that go one way or belong to
//! another, several values of one header, headers that the streams of Kubernetes do not have. SETTINGS and WINDOW_UPDATE are
//! read and mean nothing; a PING is answered and not handed on.

pub mod frame;
pub mod headers;
pub mod session;
