//! The console: the HTTP API that the CLI and the pages use, over answers, approvals and runs.
//!
//! It talks to the rest of the gateway through the traits of [`seat`], which the composition root implements. It holds
//! no credential and cannot reach an upstream. The caller binds the listener and calls [`serve`]; over a Unix socket the
//! kernel names the peer.
//!
//! **Invariant:** nothing is shown without an authenticated caller in the right role, and no evidence without its
//! `watch` record.
//! **Invariant:** the API looks at no cookie, and the pages at no bearer token, so that a page of another site can
//! change nothing.
//! **Invariant:** a page holds no script and loads nothing from elsewhere.
//!
//! Reading order: `seat` (what is needed from the rest), `serve` (listener and the checks before all routes), `api`,
//! `pages`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod fault;
pub mod limits;
mod login;
mod newcomer;
mod pages;
pub mod seat;
mod serve;
mod state;
mod style;
#[cfg(test)]
mod tests;

pub use serve::{Listener, serve};
pub use state::{Console, Parts};
