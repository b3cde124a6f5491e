//! The answers over ledgers that tests write record by record.
#![allow(clippy::unwrap_used)]

mod answers;
mod claims;
mod decided;
mod export;
mod real;
mod story;
mod support;
mod terminals;
mod value;
