//! Real servers, real clients, the real `tacho` between them. One binary: linking costs.
//!
//! `cargo xtask test` makes everything ready and runs it; `cargo test -p interop` does too where
//! `cargo xtask setup` was run. `INTEROP_ALL=1` adds what takes longer.
//!
//! | promise | where |
//! |---|---|
//! | P1 | `order`, `evidence` |
//! | P2 | `outages`, `ssh_outages` |
//! | P4 | `canaries`, `sftp`, `ssh` |
//! | P5 | `masks`, `sftp`, `ssh`, `ssh_attacks`, and the leak corpus |
//! | P6 | `credentials`, `ssh_outages`, `inject`, `jail`, `proxy` |
//! | P7 | `hostile`, `http`, `http2`, `proxy`, `mcp`, `resumption`, `sftp`, `ssh`, `ssh_attacks`, `ssh_forwards`, `ssh_wire`, `stdio`, `websocket` |
//! | P8 | `approvals`, `bindings` |
//! | P9 | `attribution`, `ssh`, `workloads` |
//! | P10 | `upstreams`, `logins`, `ssh`, `ssh_wire` |
//! | P11, P12 | `watching` |
#![allow(clippy::unwrap_used)]

mod again;
mod approvals;
mod attacks;
mod attribution;
mod bindings;
mod canaries;
mod canary_names;
mod clients;
mod copies;
mod credentials;
mod evidence;
mod fates;
mod flights;
mod formats;
mod given;
mod holds;
mod hostile;
mod http;
mod http2;
mod inject;
mod injected;
mod issuer;
mod jail;
mod judge;
mod kubernetes;
mod logins;
mod masks;
mod mcp;
mod models;
mod moments;
mod names;
mod order;
mod outages;
mod pages;
mod paths;
mod people;
mod plans;
mod powers;
mod proxy;
mod psql;
mod raw;
mod redefined;
mod refusals;
mod releases;
mod resumption;
mod scan;
mod scp;
mod sftp;
mod ssh;
mod ssh_attacks;
mod ssh_clients;
mod ssh_forwards;
mod ssh_outages;
mod ssh_terminals;
mod ssh_wire;
mod stdio;
mod texts;
mod unseen;
mod upstreams;
mod verbs;
mod versions;
mod watching;
mod websocket;
mod workloads;
mod world;
