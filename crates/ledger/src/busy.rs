//! Whether this process's threads wait for a processor, though they could run: then the time that a record waits for others costs
//! little, for whoever waits for it would hardly run sooner; and each sync that is saved gives its processor time to somebody. Where
//! nobody waits, waiting is only late.

use std::fs;

use vocab::Tick;

use crate::limits::{BUSY_MILLIS, BUSY_WAIT_DIVISOR};

/// What was seen last.
#[derive(Default)]
pub(crate) struct Busy {
    times: Times,
    due: Tick,
}

/// How long the threads have run and waited so far, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    ran: u64,
    waited: u64,
}

impl Busy {
    /// Looks again, if it is time: whether it is so now. `None`: it is not time. Where the system does not say, it is not so.
    pub(crate) fn look(&mut self, now: Tick) -> Option<bool> {
        if now < self.due {
            return None;
        }
        self.due = now.plus_millis(BUSY_MILLIS);
        let times = Times::read();
        let before = std::mem::replace(&mut self.times, times);
        Some(times.since(before))
    }
}

impl Times {
    fn read() -> Times {
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let read = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok();
        tasks.filter_map(read).fold(Times::default(), |times, text| times.and(&text))
    }

    /// Adds a thread's `schedstat`: how long it ran, how long it waited for a processor, how often. Linux,
    /// Documentation/scheduler/sched-stats.
    fn and(self, text: &str) -> Times {
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Times { ran: self.ran + next(), waited: self.waited + next() }
    }

    /// A thread that ended took its times with it: of then nothing is known.
    fn since(self, before: Times) -> bool {
        let (ran, waited) = (self.ran.checked_sub(before.ran), self.waited.checked_sub(before.waited));
        ran.zip(waited).is_some_and(|(ran, waited)| waited > ran / BUSY_WAIT_DIVISOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_a_quarter_of_the_time_that_it_runs_is_short_of_processors() {
        let none = Times::default();
        let of = |texts: &[&str]| texts.iter().fold(none, |times, text| times.and(text));
        assert!(!of(&["8000 1000 3\n", "4000 2000 1\n"]).since(none));
        assert!(of(&["8000 1000 3\n", "4000 2001 1\n"]).since(none));
        assert!(!none.since(none), "who does nothing waits for nothing");
        assert!(!none.since(of(&["8000 9000 1\n"])), "a thread has ended");
        assert!(!of(&["", "no numbers here\n"]).since(none));
    }

    #[test]
    fn the_system_says_how_long_threads_ran_and_it_is_asked_now_and_then() {
        let before = Times::read();
        let mut n = 0_u64;
        while Times::read().ran <= before.ran {
            n += 1;
            assert!(n < 1_000_000, "no thread has run");
        }
        let mut busy = Busy::default();
        assert!(busy.look(Tick(0)).is_some());
        assert_eq!(busy.look(Tick(1)), None);
        assert!(busy.look(Tick(0).plus_millis(BUSY_MILLIS)).is_some());
    }
}
