//! Integration tests of the Kubernetes API's reading, in one binary.
#![allow(clippy::unwrap_used)]

mod answers;
mod audit;
mod bodies;
mod channels;
mod dice;
mod kubectl;
mod protobuf;
mod requests;
mod spdy;
