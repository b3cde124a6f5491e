//! Where things stand on this machine: scratch directories, free ports, accounts.

use crate::process::{Leash, Trouble};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where tests listen: above what services have by custom, below Linux's `ip_local_port_range` (32768).
const PORTS: Range<u16> = 17_000..32_000;

/// A directory of our own below the system's temporary directory, removed when dropped.
///
/// Other accounts may enter it (PostgreSQL does not run as root), so secrets inside need modes of their own.
#[must_use]
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// None: to be kept.
    leash: Option<Leash>,
}

impl Scratch {
    /// `KEEP_SCRATCH=1` in the environment leaves it there for a look.
    pub fn new(name: &str) -> io::Result<Scratch> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tacho-{name}-{}-{n}", std::process::id()));
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let leash = std::env::var_os("KEEP_SCRATCH").is_none().then(|| Leash::on_folder(&path));
        Ok(Scratch { path, leash })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match self.leash.take() {
            Some(leash) => drop((fs::remove_dir_all(&self.path), leash)),
            None => eprintln!("kept {}", self.path.display()),
        }
    }
}

/// A port of the loopback interface that is free, and that nobody else who asks here is given before this process ends.
///
/// It is below the range from which the system gives ports to clients, so that no connection takes it between this
/// call and the server's `bind`; and a locked file keeps it from every other process of these tests.
pub fn free_port() -> io::Result<u16> {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    static TAKEN: Mutex<Vec<fs::File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("tacho-ports");
    fs::create_dir_all(&folder)?;
    // Other accounts test here too; who made it has opened it.
    let _theirs = fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777));
    let count = PORTS.end - PORTS.start;
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..count {
        // Processes begin at different places, so that they seldom meet.
        let begin = || PORTS.start + (std::process::id().wrapping_mul(97) % u32::from(count)) as u16;
        let port = next.unwrap_or_else(begin);
        *next = Some(if port + 1 < PORTS.end { port + 1 } else { PORTS.start });
        let Ok(file) = fs::File::create(folder.join(port.to_string())) else { continue };
        if file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(file);
            return Ok(port);
        }
    }
    Err(io::Error::other(format!("no port from {} to {} is free", PORTS.start, PORTS.end - 1)))
}

/// Whether something accepts connections there.
pub fn is_open(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// A system account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// Looks a name up in `/etc/passwd`.
pub fn account(name: &str) -> Result<Account, Trouble> {
    let missing = || Trouble::Missing {
        what: format!("the system account {name}"),
        remedy: "run `cargo xtask setup`".to_owned(),
    };
    let text = fs::read_to_string("/etc/passwd").map_err(|_| missing())?;
    find_account(&text, name).ok_or_else(missing)
}

/// Whether this process is root, and so has to give up its rights for PostgreSQL.
pub fn is_root() -> bool {
    uid() == 0
}

/// This process's user, as the owner of its entry in /proc.
pub fn uid() -> u32 {
    fs::metadata("/proc/self").map(|entry| entry.uid()).unwrap_or(u32::MAX)
}

fn find_account(passwd: &str, name: &str) -> Option<Account> {
    let fields: Vec<&str> =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f[0] == name)?;
    Some(Account { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_goes_when_dropped() {
        let scratch = Scratch::new("place").unwrap();
        let path = scratch.path().to_path_buf();
        fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:105:112::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(find_account(passwd, "postgres"), Some(Account { uid: 105, gid: 112 }));
        assert_eq!(find_account(passwd, "post"), None);
    }

    #[test]
    fn a_port_is_given_once() {
        let ports: std::collections::BTreeSet<u16> = (0..40).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 40);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
        // Nor to another process: what a second one would lock is locked.
        let file = fs::File::create(
            std::env::temp_dir().join("tacho-ports").join(ports.first().unwrap().to_string()),
        );
        assert!(file.unwrap().try_lock().is_err());
    }

    #[test]
    fn a_listening_port_is_seen_and_a_closed_one_is_not() {
        // A test beside this one may be starting a program at that moment: until its exec, the child holds a copy of our
        // listener. It cannot hold those of all turns.
        let closes = |_| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(is_open(port));
            drop(listener);
            !is_open(port)
        };
        assert!((0..50).any(closes));
    }
}
