//! A limit on everything that is waited for, kept or read.

use std::time::Duration;

/// Output kept of one bounded command, per stream, in bytes. The largest real one (a leak corpus
/// run with every reply printed) is about 2 MiB; what comes after is read and thrown away.
pub const OUTPUT_BYTES_MAX: u64 = 64 << 20;

/// A server that has not opened its port by then has failed. PostgreSQL needs 1 s here, 5 s on a
/// machine that compiles at the same time.
pub const START_SECONDS_MAX: Duration = Duration::from_secs(180);

/// Between the polite signal and SIGKILL.
pub const STOP_SECONDS_MAX: Duration = Duration::from_secs(10);

/// One client's whole conversation in a test.
pub const CLIENT_SECONDS_MAX: Duration = Duration::from_secs(120);

/// A foreign client that a test builds. kube-rs with 210 crates needs a minute on two cores that do nothing else.
pub const BUILD_SECONDS_MAX: Duration = Duration::from_secs(900);

/// How often a condition is looked at while it is waited for.
pub const POLL: Duration = Duration::from_millis(5);

const _: () = assert!(STOP_SECONDS_MAX.as_secs() < CLIENT_SECONDS_MAX.as_secs());
