//! Ledgers and bundles in memory, for tests and benchmarks here and in other crates (feature `testkit`).
//!
//! [`Writer`] writes what a gateway would, without a disk. [`Items`] takes a ledger apart and puts it together again
//! as somebody would who wants to forge it: with right CRCs, offsets, numbers, chains and, given the key, signatures.
//! Seeds are constants, so every ledger is the same on every run. It panics where a gateway would refuse.

#![allow(clippy::unwrap_used)]

mod bundle;
mod items;
mod sample;
mod writer;

pub use bundle::{BundleParts, bundle};
pub use items::{Item, Items};
pub use sample::{Sample, sample, sample_on};
pub use writer::{Writer, map, run_key, text};
