//! Real servers, real clients, the real `tacho` between them. One binary: linking costs.
//!
//! `cargo xtask test` makes everything ready and runs it; `cargo test -p interop` does too where
//! `cargo xtask setup` was run. `INTEROP_ALL=1` adds what takes longer.
#![allow(clippy::unwrap_used)]

mod approvals;
mod clients;
mod credentials;
mod evidence;
mod masks;
mod moments;
mod psql;
mod refusals;
mod releases;
mod texts;
mod versions;
mod world;
