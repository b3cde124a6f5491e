//! File transfers in the channels of SSH, sans-IO: bytes in, typed messages and actions on paths out, and back.
//!
//! Edition: SFTP version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions; the protocol of scp, which OpenSSH's
//! scp.c defines.
//!
//! The transport (key exchange, packets, authentication) is not here, nor are channels and their requests: they are a
//! library's, and the relay contains it. What a command line means is not here either, but for the words behind `scp`
//! ([`scp::Command`]).
//!
//! **Unsupported and refused**: SFTP versions other than 3, its extensions that are not listed in
//! [`sftp::version`], flags and attributes that the draft has not, and names that lead out of their directory.
//!
//! Reading order: [`path`] (one reading of a path) -> [`sftp`] -> [`scp`]. Beside them: [`fault`] (every reason for a
//! refusal, in one list), [`limits`]. Nothing here decides, records or releases.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod fault;
pub mod limits;
pub mod path;
pub mod scp;
pub mod sftp;
mod strings;
