//! OpenSSH's own client, in the ways in which it is timed.

use super::super::ways::could;
use super::Stop;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes read or written at once.
const PIECE_BYTES: usize = 64 << 10;
/// A connection that others share is there by then.
const SHARED_SECONDS_MAX: Duration = Duration::from_secs(20);

/// A name in a configuration of the client's.
pub struct Host {
    pub config: PathBuf,
    pub name: &'static str,
}

impl Host {
    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        // A silent peer ends it by what the configuration says (`ConnectTimeout`, `ServerAlive...`).
        ssh.arg("-F").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null());
        ssh
    }

    /// Milliseconds from the client's start to its end, with `true` as the command.
    pub fn set_up(&self) -> Result<f64, Stop> {
        let begun = Instant::now();
        let status = self.ssh().args([self.name, "true"]).status().map_err(could)?;
        let taken = begun.elapsed().as_secs_f64() * 1e3;
        if status.success() { Ok(taken) } else { Err(self.failed("ssh", &status.to_string())) }
    }

    /// Commands a second on one connection, `at_once` at a time, for so long; and how many there were.
    pub fn commands(&self, socket: &Path, at_once: usize, time: Duration) -> Result<(f64, f64), Stop> {
        let shared = Shared::open(self, socket)?;
        let begun = Instant::now();
        let until = begun + time;
        let counts: Vec<io::Result<u32>> = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..at_once).map(|_| scope.spawn(|| shared.commands_until(until))).collect();
            clients.into_iter().map(|client| client.join().unwrap_or(Ok(0))).collect()
        });
        let seconds = begun.elapsed().as_secs_f64();
        let mut count = 0;
        for some in counts {
            count += some.map_err(could)?;
        }
        Ok((f64::from(count) / seconds, f64::from(count)))
    }

    /// Microseconds of each of so many pieces of input to come back from `cat`.
    pub fn echoes(&self, sent: &[u8], times: usize) -> Result<Vec<f64>, Stop> {
        let mut ssh = self.ssh();
        ssh.args([self.name, "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = ssh.spawn().map_err(could)?;
        let (Some(mut to), Some(mut from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.failed("ssh", "no pipes"));
        };
        let mut back = vec![0; sent.len()];
        let mut taken = Vec::with_capacity(times);
        // The first is the connection's own beginning.
        for _ in 0..=times {
            let begun = Instant::now();
            to.write_all(sent).map_err(could)?;
            from.read_exact(&mut back).map_err(could)?;
            taken.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        drop(to);
        self.ends(child)?;
        Ok(taken.split_off(1))
    }

    /// MB a second of a file's bytes that a command prints, once it prints.
    pub fn out(&self, command: &str, bytes: u64) -> Result<f64, Stop> {
        let mut ssh = self.ssh();
        ssh.args([self.name, command]).stdout(Stdio::piped());
        let mut child = ssh.spawn().map_err(could)?;
        let Some(mut from) = child.stdout.take() else { return Err(self.failed("ssh", "no pipe")) };
        let mut piece = vec![0; PIECE_BYTES];
        let first = from.read(&mut piece).map_err(could)?;
        let begun = Instant::now();
        let (mut count, mut some) = (0, first);
        while some > 0 {
            count += some as u64;
            some = from.read(&mut piece).map_err(could)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.ends(child)?;
        if count != bytes {
            return Err(self.failed(command, &format!("{count} bytes came of {bytes}")));
        }
        Ok((count - first as u64) as f64 / 1e6 / seconds)
    }

    /// MB a second of a file as a command's input, from its start to the client's end.
    pub fn fed(&self, file: &Path, bytes: u64) -> Result<f64, Stop> {
        let input = std::fs::File::open(file).map_err(could)?;
        let mut ssh = self.ssh();
        ssh.args([self.name, "wc -c"]).stdin(input).stdout(Stdio::piped());
        let begun = Instant::now();
        let done = ssh.spawn().and_then(Child::wait_with_output).map_err(could)?;
        let seconds = begun.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        match said.parse() == Ok(bytes) {
            true => Ok(bytes as f64 / 1e6 / seconds),
            false => Err(self.failed("wc", &format!("`{said}`, {}", done.status))),
        }
    }

    fn ends(&self, mut child: Child) -> Result<(), Stop> {
        let status = child.wait().map_err(could)?;
        if status.success() { Ok(()) } else { Err(self.failed("ssh", &status.to_string())) }
    }

    fn failed(&self, what: &str, why: &str) -> Stop {
        Stop::Could(format!("{what} {}: {why}", self.name))
    }
}

/// A connection on which several clients run commands (`ControlMaster`). Dropped, it ends.
struct Shared<'a> {
    host: &'a Host,
    socket: &'a Path,
    master: Child,
}

impl<'a> Shared<'a> {
    fn open(host: &'a Host, socket: &'a Path) -> Result<Shared<'a>, Stop> {
        drop(std::fs::remove_file(socket));
        let mut ssh = host.ssh();
        let master = ssh.args(["-M", "-N", "-S"]).arg(socket).arg(host.name).spawn().map_err(could)?;
        let shared = Shared { host, socket, master };
        let begun = Instant::now();
        while !socket.exists() {
            if begun.elapsed() > SHARED_SECONDS_MAX {
                return Err(host.failed("ssh -M", "no connection"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(shared)
    }

    fn commands_until(&self, until: Instant) -> io::Result<u32> {
        let mut count = 0;
        while Instant::now() < until {
            let mut ssh = self.host.ssh();
            // Over the connection that is there, or not at all.
            ssh.args(["-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-S"]).arg(self.socket);
            let status = ssh.args([self.host.name, "true"]).status()?;
            if !status.success() {
                return Err(io::Error::other(format!("{}: true: {status}", self.host.name)));
            }
            count += 1;
        }
        Ok(count)
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        drop(self.master.kill());
        drop(self.master.wait());
        drop(std::fs::remove_file(self.socket));
    }
}
