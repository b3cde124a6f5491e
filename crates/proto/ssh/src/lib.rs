//! What goes through the channels of SSH, sans-IO: bytes in, typed messages and actions on paths out, and back.
//!
//! Edition: the connection protocol's names of RFC 4254, RFC 4335 and OpenSSH's PROTOCOL; SFTP version 3
//! (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions; the protocol of scp, which OpenSSH's scp.c defines.
//!
//! The transport (key exchange, packets, authentication) is not here: it is a library's, and the relay contains it. What a
//! command line means is not here either, but for programs whose streams are file transfers ([`command`]).
//!
//! **Unsupported and refused**: SFTP versions other than 3, its extensions that are not listed in
//! [`sftp::version`], flags and attributes that the draft has not, names that lead out of their directory, subsystems
//! other than `sftp`, and every name of a channel or request that is not in [`channel`].
//!
//! **Not used yet**: [`channel`], and of [`command`] all but scp; the relay carries SFTP and scp, and commands as their lines say.
//!
//! Reading order: [`channel`] (what is asked of a connection and what becomes of it) -> [`path`] (one reading of a
//! path) -> [`sftp`] -> [`scp`] -> [`command`] (which command lines are transfers). Beside them: [`fault`] (every reason
//! for a refusal, in one list), [`limits`]. Nothing here decides, records or releases.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod channel;
pub mod command;
pub mod fault;
pub mod limits;
pub mod path;
pub mod scp;
pub mod sftp;
mod strings;
