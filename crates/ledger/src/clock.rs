//! Time and randomness are arguments. [`SystemClock`] and [`SystemRandom`] are the real ones.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ring::rand::SecureRandom;
use vocab::{Tick, WallTime};
use zeroize::{Zeroize, Zeroizing};

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

/// The system's generator, asked for many bytes at once: each record needs 32. What was handed out is overwritten here.
pub struct SystemRandom {
    system: ring::rand::SystemRandom,
    pool: Mutex<Pool>,
}

struct Pool {
    bytes: Zeroizing<[u8; POOL_BYTES]>,
    /// From here on they are unused.
    unused: usize,
}

const POOL_BYTES: usize = 2048;
/// A request for more goes to the system itself.
const POOLED_BYTES_MAX: usize = 64;

impl SystemRandom {
    pub fn new() -> SystemRandom {
        let pool = Pool { bytes: Zeroizing::new([0; POOL_BYTES]), unused: POOL_BYTES };
        SystemRandom { system: ring::rand::SystemRandom::new(), pool: Mutex::new(pool) }
    }
}

impl Default for SystemRandom {
    fn default() -> SystemRandom {
        SystemRandom::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandom> {
        if out.len() > POOLED_BYTES_MAX {
            return self.system.fill(out).map_err(|_| NoRandom);
        }
        let mut pool = self.pool.lock().map_err(|_| NoRandom)?;
        if POOL_BYTES - pool.unused < out.len() {
            // Unused is nothing until the fill has succeeded.
            pool.unused = POOL_BYTES;
            self.system.fill(&mut *pool.bytes).map_err(|_| NoRandom)?;
            pool.unused = 0;
        }
        let start = pool.unused;
        pool.unused += out.len();
        let end = pool.unused;
        out.copy_from_slice(&pool.bytes[start..end]);
        pool.bytes[start..end].zeroize();
        Ok(())
    }
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>(random: &dyn Random) -> Result<[u8; N], NoRandom> {
    let mut out = [0u8; N];
    random.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_bytes_are_handed_out_twice_and_none_are_zeros() {
        let source = SystemRandom::new();
        let many: BTreeSet<[u8; 32]> = (0..4 * POOL_BYTES / 32).map(|_| random(&source).unwrap()).collect();
        assert_eq!(many.len(), 4 * POOL_BYTES / 32);
        assert!(!many.contains(&[0; 32]));
        // What is left is not enough: a fresh pool, and not the end of the old one.
        let odd: BTreeSet<[u8; 60]> = (0..200).map(|_| random(&source).unwrap()).collect();
        assert_eq!(odd.len(), 200);
        assert!(odd.iter().all(|bytes| bytes.iter().any(|byte| *byte != 0)));
    }

    #[test]
    fn what_was_handed_out_is_not_kept() {
        let source = SystemRandom::new();
        let _given: [u8; 32] = random(&source).unwrap();
        let pool = source.pool.lock().unwrap();
        assert!(pool.bytes[..32].iter().all(|byte| *byte == 0));
        assert!(pool.bytes[32..].iter().any(|byte| *byte != 0));
    }
}
