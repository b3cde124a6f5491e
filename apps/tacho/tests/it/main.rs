//! The binary as its users meet it: exit codes, what is printed, and what an agent inside a run cannot do.
#![allow(clippy::unwrap_used)]

mod cli;
mod jail;
mod place;
mod replay;
mod run;
mod same_user;
mod witness;
