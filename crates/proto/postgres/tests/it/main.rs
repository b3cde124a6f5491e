//! Integration tests of the PostgreSQL protocol, in one binary. `client` is a blocking client on our own codec;
//! `live` and `values` use a real PostgreSQL.
#![allow(clippy::unwrap_used)]

mod client;
mod copy;
mod dice;
mod errors;
mod fuzz;
mod hostile;
mod live;
mod round_trip;
mod scram;
mod session;
mod startup;
mod values;
