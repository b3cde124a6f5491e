//! Integration tests of SFTP, in one binary. `live` uses OpenSSH's own programs; `pair` is a session with both its sides in
//! hand.
#![allow(clippy::unwrap_used)]

mod dice;
mod goldens;
mod hostile;
mod live;
mod pair;
mod round_trip;
mod session;
