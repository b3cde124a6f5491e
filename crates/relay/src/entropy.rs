//! Randomness and clocks: the only place on the data path that reads either.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use vocab::{RunId, Tick, WallTime};

/// `N` random bytes from the operating system.
///
/// Panics if the operating system has no randomness: nothing here is safe without it.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0u8; N];
    #[allow(clippy::expect_used)]
    SystemRandom::new().fill(&mut out).expect("the operating system gives randomness");
    out
}

/// 48 bits of milliseconds, then 80 random bits: sortable by time, not guessable.
pub fn run_id() -> RunId {
    let mut id = random::<16>();
    let millis = wall().0 / 1_000_000;
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    RunId(id)
}

/// Wall clock.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Monotonic clock, from the first call on.
pub fn tick() -> Tick {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    Tick(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _infallible = write!(out, "{b:02x}");
        out
    })
}
