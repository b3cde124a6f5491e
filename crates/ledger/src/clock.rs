//! Time and randomness are arguments. [`SystemClock`] and [`SystemRandom`] are the real ones.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ring::rand::SecureRandom;
use vocab::{Tick, WallTime};

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Wall clock, for people.
    fn now(&self) -> WallTime;
    /// Monotonic, for deadlines.
    fn tick(&self) -> Tick;
}

/// The machine's clocks.
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    pub fn new() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn tick(&self) -> Tick {
        Tick(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// The system has no randomness to give; nothing can be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random number generator failed; no key can be made")]
pub struct NoRandom;

/// Cryptographic randomness.
pub trait Random: Send + Sync + 'static {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandom>;
}

/// The system's generator.
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    pub fn new() -> SystemRandom {
        SystemRandom(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> SystemRandom {
        SystemRandom::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandom> {
        self.0.fill(out).map_err(|_| NoRandom)
    }
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>(random: &dyn Random) -> Result<[u8; N], NoRandom> {
    let mut out = [0u8; N];
    random.fill(&mut out)?;
    Ok(out)
}
