//! The ledger against a simulated disk, a real one, and a kill. One binary: linking costs.

#![allow(clippy::unwrap_used)]

mod api;
mod crash;
mod faults;
mod harness;
mod keys;
mod process;
mod strange;
mod tamper;
mod tiles;
mod witnesses;
