//! The console: the HTTP API that the CLI and the pages use, over answers, approvals and runs.
//!
//! It talks to the rest of the gateway through the traits of [`seat`], which the composition root implements. It holds
//! no credential and cannot reach an upstream.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod limits;
pub mod seat;
