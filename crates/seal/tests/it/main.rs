//! `seal` against published vectors, against a foreign implementation, and against its own inverse.

#![allow(clippy::unwrap_used)]

mod cbor;
mod dictionary;
mod frame;
mod note;
mod random;
mod record;
mod tree;
mod verifier;
mod witness;
