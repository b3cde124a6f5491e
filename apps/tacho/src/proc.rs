//! Processes, as `/proc` shows them.

use rustix::process::Pid;

/// The parent of a process. `None` if it is gone.
pub fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; the fields after the last one are words.
    let after = stat.iter().rposition(|b| *b == b')')? + 1;
    std::str::from_utf8(stat.get(after..)?).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The first child of a process.
pub fn child_of(parent: Pid) -> Option<Pid> {
    let parent = parent.as_raw_pid();
    let processes = std::fs::read_dir("/proc").ok()?;
    let mut ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    ids.find(|id| parent_of(*id) == Some(parent)).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_this_process_is_found_and_has_a_child() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = rustix::process::getppid().unwrap();
        assert_eq!(parent_of(own), Some(parent.as_raw_pid()));
        assert!(child_of(parent).is_some());
        assert_eq!(parent_of(i32::MAX), None);
    }
}
