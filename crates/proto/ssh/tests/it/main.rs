//! Integration tests of SFTP and scp, in one binary. `live` and `scp_live` use OpenSSH's own programs; `pair` is a session
//! with both its sides in hand.
#![allow(clippy::unwrap_used)]

mod dice;
mod fuzz;
mod goldens;
mod hostile;
mod live;
mod pair;
mod round_trip;
mod scp;
mod scp_live;
mod session;
