//! Both verifiers on the same evidence: `tacho-verify` and `contrib/verify.py`, which were written apart from one
//! page, must say the same about every ledger and every bundle, good or forged.

#![allow(clippy::unwrap_used)]

mod both;
mod bundles;
mod command;
mod flips;
mod good;
mod tampering;
