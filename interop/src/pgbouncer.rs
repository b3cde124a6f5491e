//! pgbouncer in session pooling: the peer that everybody knows, for the benchmarks.

use crate::limits::START_SECONDS_MAX;
use crate::place::{Scratch, account, free_port, is_open, is_root};
use crate::postgres::Postgres;
use crate::process::{Daemon, Trouble};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running pgbouncer. Stopped when dropped.
#[must_use]
#[derive(Debug)]
pub struct Pgbouncer {
    // Declared first, so dropped first.
    daemon: Daemon,
    pub port: u16,
    _scratch: Scratch,
}

impl Pgbouncer {
    /// Before `upstream`, for one role of one database.
    pub fn start(
        upstream: &Postgres,
        database: &str,
        role: &str,
        password: &str,
    ) -> Result<Pgbouncer, Trouble> {
        let wrap = |why| Trouble::Start { what: "pgbouncer".to_owned(), why };
        let scratch = Scratch::new("pgbouncer").map_err(wrap)?;
        let port = free_port().map_err(wrap)?;
        let dir = scratch.path();
        let users = dir.join("users");
        std::fs::write(&users, format!("\"{role}\" \"{password}\"\n")).map_err(wrap)?;
        let settings = dir.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{database} = host=127.0.0.1 port={} dbname={database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = session\n\
             max_client_conn = 400\ndefault_pool_size = 200\nlog_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n\
             ignore_startup_parameters = extra_float_digits\n",
            upstream.port,
            users.display()
        );
        std::fs::write(&settings, text).map_err(wrap)?;
        let mut command = Command::new(program());
        command.arg(&settings);
        // It refuses to run as root.
        if is_root() {
            let owner = account("postgres")?;
            for path in [dir, &users, &settings] {
                chown(path, Some(owner.uid), Some(owner.gid)).map_err(wrap)?;
            }
            command.uid(owner.uid).gid(owner.gid);
        }
        let mut daemon = Daemon::start(&mut command, &dir.join("log"), "TERM")?;
        daemon.wait_ready(START_SECONDS_MAX, || is_open(port))?;
        Ok(Pgbouncer { daemon, port, _scratch: scratch })
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }
}

/// Debian keeps it in /usr/sbin, which is not on everybody's PATH.
fn program() -> PathBuf {
    let debian = Path::new("/usr/sbin/pgbouncer");
    if debian.is_file() { debian.to_path_buf() } else { PathBuf::from("pgbouncer") }
}
