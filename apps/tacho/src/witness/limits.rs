//! Limits of a witness. Unit last in the name.

use std::time::Duration;

/// A key file: a name of 255 bytes and 64 digits.
pub const KEY_FILE_BYTES_MAX: usize = 1_024;
/// What is kept of a log: two keys of under 400 bytes, and numbers.
pub const STATE_FILE_BYTES_MAX: usize = 4_096;
/// Connections at a time; 256 x one request of 160 KiB = 40 MiB.
pub const CONNECTIONS_MAX: usize = 256;
/// Connections of one address, so that one client cannot take them all. A gateway uses one.
pub const CONNECTIONS_PER_PEER_MAX: usize = 16;
/// From the connection, or the request before, to the whole head of the next.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);
/// From the head to the whole body.
pub const BODY_WAIT: Duration = Duration::from_secs(10);
/// A connection ends after this; the next request makes another.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// A head is one line and a few fields.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// After a failed accept.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const _: () = assert!(CONNECTIONS_PER_PEER_MAX < CONNECTIONS_MAX);
const _: () = assert!(seal::witness::REQUEST_BYTES_MAX < 160 << 10);
