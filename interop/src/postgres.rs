//! A real PostgreSQL: TLS, SCRAM-SHA-256, a free port, a directory of its own.

use crate::drivers;
use crate::limits::{CLIENT_SECONDS_MAX, START_SECONDS_MAX};
use crate::place::{Account, Scratch, account, free_port, is_open, is_root};
use crate::process::{Daemon, Finished, Trouble, finish};
use crate::tls::Authority;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The superuser's password: the administrator's connection of tests, never an agent's.
pub const SUPER_PASSWORD: &str = "s3cret-super";

/// Where the programs of one installed version are.
#[derive(Debug, Clone)]
pub struct Installation {
    pub bin: PathBuf,
    /// Some builds out of wheels come without TLS.
    pub tls: bool,
    /// Where it was linked to, kept as long as somebody uses it.
    _stage: Option<Arc<Scratch>>,
}

/// The newest PostgreSQL of Debian's on this machine.
pub fn debian() -> Result<Installation, Trouble> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("postgres").is_file() && bin.join("initdb").is_file())
        .collect();
    found.sort();
    let (_, bin) = found.pop().ok_or_else(|| Trouble::Missing {
        what: "a PostgreSQL server below /usr/lib/postgresql".to_owned(),
        remedy: "run `cargo xtask setup`, or install Debian's postgresql".to_owned(),
    })?;
    Ok(Installation { bin, tls: true, _stage: None })
}

/// A PostgreSQL out of a Python wheel: `package` is the folder in `site-packages` that has `pginstall` in it. Linked
/// to where the account that it runs as can enter.
pub fn wheel(package: &str, tls: bool) -> Result<Installation, Trouble> {
    let stage = Scratch::new("wheel").map_err(|why| Trouble::Start { what: package.to_owned(), why })?;
    let packages = drivers::packages()?;
    // The programs find the libraries that the wheel brings by a path relative to themselves.
    for folder in [package.to_owned(), format!("{package}.libs")] {
        let from = packages.join(&folder);
        if from.is_dir() {
            drivers::link_tree(&from, &stage.path().join(&folder))?;
        }
    }
    let bin = stage.path().join(package).join("pginstall/bin");
    if !bin.join("postgres").is_file() {
        let what = format!("the Python package {package}");
        return Err(Trouble::Missing { what, remedy: "run `cargo xtask setup`".to_owned() });
    }
    Ok(Installation { bin, tls, _stage: Some(Arc::new(stage)) })
}

/// A running server. Stopped and removed when dropped.
#[must_use]
#[derive(Debug)]
pub struct Postgres {
    // Declared first, so dropped first: the server stops before its directory goes.
    daemon: Daemon,
    pub installation: Installation,
    pub port: u16,
    authority: Option<Authority>,
    scratch: Scratch,
}

impl Postgres {
    /// Debian's newest, with what tests need.
    pub fn start() -> Result<Postgres, Trouble> {
        Postgres::start_with(&debian()?, &[])
    }

    /// Any installation, with further lines for postgresql.conf.
    pub fn start_with(installation: &Installation, settings: &[&str]) -> Result<Postgres, Trouble> {
        let wrap = |why| Trouble::Start { what: "PostgreSQL".to_owned(), why };
        let scratch = Scratch::new("postgres").map_err(wrap)?;
        let owner = if is_root() { Some(account("postgres")?) } else { None };
        let port = free_port().map_err(wrap)?;
        let authority = initialise(installation, &scratch, owner)?;
        let text = configuration(scratch.path(), port, authority.is_some(), settings);
        append(&scratch.path().join("data/postgresql.conf"), &text).map_err(wrap)?;
        let mut command = program(installation, "postgres", owner);
        command.arg("-D").arg(scratch.path().join("data"));
        let mut daemon = Daemon::start(&mut command, &scratch.path().join("log"), "INT")?;
        // The file says "ready" only once recovery is over; an open port alone may still answer 57P03.
        let pid_file = scratch.path().join("data/postmaster.pid");
        daemon.wait_ready(START_SECONDS_MAX, || {
            is_open(port) && std::fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"))
        })?;
        Ok(Postgres { daemon, installation: installation.clone(), port, authority, scratch })
    }

    /// The CA that signed its certificate, for `sslrootcert`. None: this build has no TLS.
    pub fn ca(&self) -> Option<PathBuf> {
        self.authority.as_ref().map(Authority::certificate)
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// psql of this version as the superuser, straight to the server: what tests compare with and set up by.
    pub fn admin_psql(&self, database: &str) -> Command {
        let mut psql = program(&self.installation, "psql", None);
        psql.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        psql.env("LD_LIBRARY_PATH", self.installation.bin.join("../lib"));
        psql.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        psql.env("PGUSER", "postgres").env("PGPASSWORD", SUPER_PASSWORD).env("PGDATABASE", database);
        psql.args(["-X", "-v", "ON_ERROR_STOP=1"]);
        psql
    }

    /// Runs SQL as the superuser; its unaligned output. An error is a [`Trouble::Died`] with what psql said.
    pub fn admin(&self, database: &str, sql: &str) -> Result<String, Trouble> {
        let done = self.admin_bounded(database, sql, CLIENT_SECONDS_MAX)?;
        if done.status.success() {
            Ok(done.out().trim_end().to_owned())
        } else {
            Err(Trouble::Died { what: "psql (administrator)".to_owned(), said: done.all() })
        }
    }

    fn admin_bounded(&self, database: &str, sql: &str, limit: Duration) -> Result<Finished, Trouble> {
        let mut psql = self.admin_psql(database);
        finish(psql.args(["-q", "-A", "-t", "-f", "-"]), sql.as_bytes(), limit)
    }

    /// Where its scratch directory is.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }
}

/// Certificates and `initdb`; afterwards everything belongs to the account that the server runs as.
fn initialise(
    from: &Installation,
    scratch: &Scratch,
    owner: Option<Account>,
) -> Result<Option<Authority>, Trouble> {
    let dir = scratch.path();
    let wrap = |why| Trouble::Start { what: "initdb".to_owned(), why };
    let own = |path: &Path| match owner {
        Some(account) => chown(path, Some(account.uid), Some(account.gid)).map_err(wrap),
        None => Ok(()),
    };
    for name in ["data", "socket"] {
        let folder = dir.join(name);
        std::fs::create_dir(&folder).map_err(wrap)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).map_err(wrap)?;
        own(&folder)?;
    }
    let authority = if from.tls { Some(Authority::new(dir)?) } else { None };
    if let Some(authority) = &authority {
        let (_, key) = authority.sign("server", "DNS:localhost,IP:127.0.0.1")?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).map_err(wrap)?;
        own(&key)?;
    }
    let password = dir.join("password");
    std::fs::write(&password, SUPER_PASSWORD).map_err(wrap)?;
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).map_err(wrap)?;
    own(&password)?;
    let mut initdb = program(from, "initdb", owner);
    initdb.arg("-D").arg(dir.join("data")).arg(format!("--pwfile={}", password.display()));
    initdb.args(["-U", "postgres", "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
    let done = finish(&mut initdb, b"", START_SECONDS_MAX)?;
    if done.status.success() {
        Ok(authority)
    } else {
        Err(Trouble::Died { what: "initdb".to_owned(), said: done.all() })
    }
}

fn configuration(dir: &Path, port: u16, tls: bool, settings: &[&str]) -> String {
    let mut text = format!(
        "listen_addresses='127.0.0.1'\nport={port}\nunix_socket_directories='{0}/socket'\n\
         password_encryption='scram-sha-256'\nfsync=off\nmax_connections=200\nmax_prepared_transactions=20\n\
         wal_level=logical\nlogging_collector=off\n",
        dir.display()
    );
    if tls {
        text.push_str(&format!(
            "ssl=on\nssl_cert_file='{0}/server.crt'\nssl_key_file='{0}/server.key'\nssl_ca_file='{0}/ca.crt'\n",
            dir.display()
        ));
    }
    for line in settings {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let old = std::fs::read_to_string(path)?;
    std::fs::write(path, old + text)
}

/// One of the installation's programs, as the account that may run it.
fn program(from: &Installation, name: &str, owner: Option<Account>) -> Command {
    let mut command = Command::new(from.bin.join(name));
    command.env("LD_LIBRARY_PATH", from.bin.join("../lib")).current_dir("/");
    if let Some(account) = owner {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_over_tls_and_is_gone_with_its_directory_when_dropped() {
        let server = Postgres::start().unwrap();
        let sql = "select ssl, current_setting('server_version_num')::int >= 150000 from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(server.admin("postgres", sql).unwrap(), "t|t");
        let (port, dir) = (server.port, server.dir().to_path_buf());
        drop(server);
        assert!(!is_open(port) && !dir.exists());
    }
}
