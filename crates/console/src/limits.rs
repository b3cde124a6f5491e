//! Limits of the console, each with its reason.

use std::time::Duration;

/// Most connections at once; with so many, the oldest that has shown nothing is cut. 256 x 64 KiB of buffers (two of `HEAD_BYTES_MAX`) = 16 MiB.
pub const CONNECTIONS_MAX: usize = 256;

/// Largest request body, in bytes. The largest is a mint with its argv.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Largest request head, in bytes: hyper's buffer. The largest token, and as much again for the rest.
pub const HEAD_BYTES_MAX: usize = 32 << 10;

/// Longest wait for a request's head.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);

/// Longest life of one request, its answer included.
pub const REQUEST_WAIT: Duration = Duration::from_secs(60);

/// Longest life of one connection.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(600);

/// How long connections have to end when the console stops.
pub const STOP_WAIT: Duration = Duration::from_secs(1);

/// Pause after a connection could not be accepted: out of descriptors, most likely.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Questions that are answered at once: each may take a core.
pub const QUESTIONS_MAX: usize = 4;

/// Browser logins at once; the oldest gives way. 1,024 x 256 bytes.
pub const LOGINS_MAX: usize = 1_024;

/// Longest life of a browser login.
pub const LOGIN_LIFE: Duration = Duration::from_secs(8 * 3600);

/// A browser login that was not used for so long ends.
pub const LOGIN_IDLE: Duration = Duration::from_secs(30 * 60);

/// How long a refused credential waits for its answer: guessing is pointless with 256 bits, and slow.
pub const REFUSED_WAIT: Duration = Duration::from_millis(250);

/// Longest token that is looked at, in bytes: an issuer's with many groups.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Longest reason, task or name in a request, in bytes.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// Most minutes that a `shape` approval lasts: as the gate has it, which is held against this where both are known.
pub const SHAPE_MINUTES_MAX: u32 = 8 * 60;

/// Most actions and decisions on one page; the rest are behind links.
pub const PAGE_ACTIONS_MAX: usize = 200;

const _: () = assert!(TOKEN_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(LOGIN_IDLE.as_secs() < LOGIN_LIFE.as_secs());
