//! OpenSSH's server, with keys and users of its own.

use crate::limits::{CLIENT_SECONDS_MAX, START_SECONDS_MAX};
use crate::place::{Scratch, free_port, is_open};
use crate::process::{Daemon, Trouble, finish, signal};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running server on loopback, that lets in the user who runs the tests, by a key. Stopped when dropped.
#[must_use]
#[derive(Debug)]
pub struct Sshd {
    // Declared first, so dropped first.
    daemon: Daemon,
    pub port: u16,
    scratch: Scratch,
}

impl Sshd {
    /// `lines` are further ones of its configuration, `{dir}` in them the directory that goes with it, where `{dir}/rsa` is
    /// a key of that kind if they name it.
    pub fn start(lines: &str) -> Result<Sshd, Trouble> {
        let wrap = |why| Trouble::Start { what: "sshd".to_owned(), why };
        let scratch = Scratch::new("sshd").map_err(wrap)?;
        let port = free_port().map_err(wrap)?;
        let dir = scratch.path();
        for name in ["host", "login", "ca"] {
            keygen(&["-q", "-t", "ed25519", "-N", "", "-f"], &dir.join(name))?;
        }
        if lines.contains("{dir}/rsa") {
            keygen(&["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"], &dir.join("rsa"))?;
        }
        std::fs::copy(dir.join("login.pub"), dir.join("authorized")).map_err(wrap)?;
        std::fs::write(dir.join("sshd_config"), configuration(dir, port, lines)).map_err(wrap)?;
        // Where it keeps a process without rights.
        std::fs::create_dir_all("/run/sshd").map_err(wrap)?;
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config"));
        let mut daemon = Daemon::start(&mut command, &dir.join("log"), "TERM")?;
        daemon.wait_ready(START_SECONDS_MAX, || is_open(port))?;
        Ok(Sshd { daemon, port, scratch })
    }

    /// The key by which the gateway logs in.
    pub fn key(&self) -> PathBuf {
        self.scratch.path().join("login")
    }

    /// A certificate for it, of an authority that the server trusts if its configuration says so (`TrustedUserCAKeys`, [`Sshd::ca`]).
    pub fn certificate(&self, user: &str) -> Result<PathBuf, Trouble> {
        let dir = self.scratch.path();
        keygen(
            &["-q", "-s", &dir.join("ca").display().to_string(), "-I", "tests", "-n", user],
            &dir.join("login.pub"),
        )?;
        Ok(dir.join("login-cert.pub"))
    }

    /// `ssh-ed25519 AAAA...`: what proves it.
    pub fn host_key(&self) -> io::Result<String> {
        let text = std::fs::read_to_string(self.scratch.path().join("host.pub"))?;
        Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// Kills each process that serves a connection, as a host that goes away.
    pub fn cut(&self) {
        let mut gone = vec![self.daemon.pid()];
        let parents = parents();
        while let Some(parent) = gone.pop() {
            for (pid, _) in parents.iter().filter(|(_, of)| *of == parent) {
                signal(&pid.to_string(), "KILL");
                gone.push(*pid);
            }
        }
    }

    /// A directory that goes with it.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

/// Each process, and whose child it is.
fn parents() -> Vec<(u32, u32)> {
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything: the state, and the parent.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect()
}

fn keygen(words: &[&str], file: &Path) -> Result<(), Trouble> {
    let done = finish(Command::new("ssh-keygen").args(words).arg(file), b"", CLIENT_SECONDS_MAX)?;
    match done.status.success() {
        true => Ok(()),
        false => Err(Trouble::Died { what: "ssh-keygen".to_owned(), said: done.all() }),
    }
}

fn configuration(dir: &Path, port: u16, lines: &str) -> String {
    let dir = dir.display();
    let lines = lines.replace("{dir}", &dir.to_string());
    // The first of two lines that say the same counts.
    format!(
        "{lines}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/authorized\n\
         TrustedUserCAKeys {dir}/ca.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
         StrictModes no\nPidFile none\nPermitRootLogin yes\nMaxStartups 200\nSubsystem sftp internal-sftp\n\
         AcceptEnv LANG LC_* TERM SECRET_*\nSetEnv HOME={dir}\nLogLevel VERBOSE\n"
    )
}
