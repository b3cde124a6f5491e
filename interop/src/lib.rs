//! Real servers and real clients, started, bounded and stopped.
//!
//! The tests of this crate, `cargo xtask demo` and `cargo xtask bench` share it. It has no
//! dependencies: a server is a child process, a client is a child process, and everything that is
//! waited for has a deadline ([`limits`]).
//!
//! Reading order: [`process`] (a bounded command, a daemon on a leash) -> [`place`] (scratch
//! directories, free ports) -> [`tls`] -> [`postgres`] -> [`programs`] ->
//! [`gateway`] -> [`drivers`]; [`sshd`] and [`kubernetes`] behind it; [`pgbouncer`] and [`nginx`] for the
//! benchmarks.
//!
//! **Invariant:** nothing here outlives the process that started it, not even when that process is
//! killed: each daemon hangs on a [`process::Daemon`] leash.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod drivers;
pub mod gateway;
pub mod kubernetes;
pub mod limits;
pub mod nginx;
pub mod pgbouncer;
pub mod place;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod sshd;
pub mod tls;
