//! `tacho`: the composition root and the command line.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(dead_code)]

mod auditor;
mod cli;
mod config;
mod fault;
mod hex;
mod limits;
mod users;

fn main() {}
