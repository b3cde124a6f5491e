//! A command with a deadline, and a daemon that cannot be left behind.

use crate::limits::{OUTPUT_BYTES_MAX, POLL, STOP_SECONDS_MAX};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Why a command did not come to an end by itself.
#[derive(Debug)]
pub enum Trouble {
    /// It could not be started: what, and the system's reason.
    Start { what: String, why: io::Error },
    /// It ran past its deadline and was killed; what it had printed so far.
    Late { what: String, limit: Duration, said: String },
    /// Waiting for it failed.
    Wait { what: String, why: io::Error },
    /// It ended before it was ready; the end of its log.
    Died { what: String, said: String },
    /// Something that has to be there is not, and what to do.
    Missing { what: String, remedy: String },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Start { what, why } => write!(f, "could not start {what}: {why}"),
            Trouble::Late { what, limit, said } => {
                write!(f, "{what} did not end within {} s and was killed; it said:\n{said}", limit.as_secs())
            }
            Trouble::Wait { what, why } => write!(f, "could not wait for {what}: {why}"),
            Trouble::Died { what, said } => write!(f, "{what} ended before it was ready; it said:\n{said}"),
            Trouble::Missing { what, remedy } => write!(f, "{what} is missing: {remedy}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// A command that came to its end.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub took: Duration,
}

impl Finished {
    /// Standard output for an assertion or a person; bytes that are not UTF-8 are escaped, not dropped.
    pub fn out(&self) -> String {
        readable(&self.stdout)
    }

    /// Standard error, as [`Finished::out`].
    pub fn err(&self) -> String {
        readable(&self.stderr)
    }

    /// Both streams, for the message of a failed assertion.
    pub fn all(&self) -> String {
        format!("{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.out(), self.err())
    }
}

/// Runs `command` to its end with `input` on its standard input, killing it and all that it started
/// after `limit`. Keeps at most [`OUTPUT_BYTES_MAX`] of each stream.
pub fn finish(command: &mut Command, input: &[u8], limit: Duration) -> Result<Finished, Trouble> {
    let what = describe(command);
    let begun = Instant::now();
    let wrap = |why| Trouble::Start { what: what.clone(), why };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(wrap)?;
    let leash = Leash::on(child.id(), "KILL");
    let feeder = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        // A client that stops reading its input is not an error of ours: its status tells.
        thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let status =
        wait_until(&mut child, begun + limit).map_err(|why| Trouble::Wait { what: what.clone(), why })?;
    if status.is_none() {
        end_group(&mut child);
    }
    let stdout = stdout.map(join).unwrap_or_default();
    let stderr = stderr.map(join).unwrap_or_default();
    drop((feeder, leash));
    match status {
        Some(status) => Ok(Finished { status, stdout, stderr, took: begun.elapsed() }),
        None => Err(Trouble::Late {
            what,
            limit,
            said: format!("{}{}", tail(&readable(&stdout)), tail(&readable(&stderr))),
        }),
    }
}

/// Does something if this process dies without dropping it: a `sh` whose standard input we hold wakes
/// up when the pipe closes. Dropped by us, it just goes. What a `static` holds is never dropped, so the
/// shared servers of a test binary end this way each time.
#[must_use]
#[derive(Debug)]
pub struct Leash {
    shell: io::Result<Child>,
}

impl Leash {
    /// Ends the group that the process `leader` leads: `polite` (`TERM`, `INT`), then SIGKILL.
    pub fn on(leader: u32, polite: &str) -> Leash {
        Leash::script(&format!("kill -{polite} -{leader}; sleep 5; kill -KILL -{leader}"))
    }

    /// Removes a directory, after the daemons in it had time to end.
    pub fn on_folder(path: &Path) -> Leash {
        Leash::script(&format!("sleep 7; rm -rf '{}'", path.display()))
    }

    /// Without a shell there is no leash, and the thing is still ended by whoever holds it.
    fn script(then: &str) -> Leash {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("cat; {then}")]).current_dir("/");
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Leash { shell: shell.process_group(0).spawn() }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Ok(shell) = &mut self.shell {
            end_group(shell);
        }
    }
}

/// A server that this process started. Stopped by its own process id when dropped, and by a
/// [`Leash`] if this process dies first.
#[must_use]
#[derive(Debug)]
pub struct Daemon {
    what: String,
    child: Child,
    leash: Option<Leash>,
    log: PathBuf,
    polite: &'static str,
}

impl Daemon {
    /// Starts `command` in a process group of its own, with both output streams in the file `log`.
    /// `polite` is the signal that asks it to stop (`TERM`, `INT`).
    pub fn start(command: &mut Command, log: &Path, polite: &'static str) -> Result<Daemon, Trouble> {
        let what = describe(command);
        let wrap = |why| Trouble::Start { what: what.clone(), why };
        let out = std::fs::File::create(log).map_err(wrap)?;
        let err = out.try_clone().map_err(wrap)?;
        let child =
            command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn().map_err(wrap)?;
        let leash = Some(Leash::on(child.id(), polite));
        Ok(Daemon { what, child, leash, log: log.to_path_buf(), polite })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed, for messages.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| readable(&bytes)).unwrap_or_default()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `ready` says so. [`Trouble::Died`] if the daemon ends first, [`Trouble::Late`] after `limit`.
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<(), Trouble> {
        let deadline = Instant::now() + limit;
        loop {
            if ready() {
                return Ok(());
            }
            if self.has_ended() {
                return Err(Trouble::Died { what: self.what.clone(), said: tail(&self.log()) });
            }
            if Instant::now() >= deadline {
                return Err(Trouble::Late { what: self.what.clone(), limit, said: tail(&self.log()) });
            }
            thread::sleep(POLL);
        }
    }

    /// Sends a signal by name to the daemon itself, not to its group.
    pub fn signal(&self, name: &str) {
        signal(&self.child.id().to_string(), name);
    }

    /// Kills it as a crash would: SIGKILL, nothing flushed.
    pub fn crash(mut self) {
        self.leash = None;
        end_group(&mut self.child);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.leash = None;
        if self.has_ended() {
            return;
        }
        self.signal(self.polite);
        if let Ok(Some(_)) = wait_until(&mut self.child, Instant::now() + STOP_SECONDS_MAX) {
            return;
        }
        end_group(&mut self.child);
    }
}

/// Sends a signal to a process id, or to a group when `target` begins with `-`.
///
/// A shell's builtin does it, written without `--` because dash takes that for a process id: the standard
/// library has no `kill(2)`, and this crate forbids `unsafe`.
pub fn signal(target: &str, name: &str) {
    let sent = Command::new("/bin/sh")
        .args(["-c", &format!("kill -{name} {target}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Gone already is what was wanted; anything else shows in the wait that follows.
    drop(sent);
}

/// The program and its arguments, as a person would type them; never its environment, which may
/// hold a password.
pub fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Bytes as text for people: UTF-8 stays, everything else is escaped.
pub fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The last forty lines.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL.min(Duration::from_millis(5)));
    }
}

/// SIGKILL to a child's whole group, and the wait that frees its process id.
fn end_group(child: &mut Child) {
    signal(&format!("-{}", child.id()), "KILL");
    drop(child.kill());
    drop(child.wait());
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        drop((&mut stream).take(OUTPUT_BYTES_MAX).read_to_end(&mut kept));
        drop(io::copy(&mut stream, &mut io::sink()));
        kept
    })
}

fn join(handle: thread::JoinHandle<Vec<u8>>) -> Vec<u8> {
    handle.join().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_past_its_deadline_is_killed_with_its_children() {
        let begun = Instant::now();
        let got = finish(
            Command::new("/bin/sh").args(["-c", "echo begun; sleep 60 & wait"]),
            b"",
            Duration::from_millis(300),
        );
        assert!(matches!(&got, Err(Trouble::Late { said, .. }) if said.contains("begun")), "{got:?}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn input_reaches_the_command_and_both_streams_come_back() {
        let got = finish(
            Command::new("/bin/sh").args(["-c", "cat; echo oops >&2; exit 3"]),
            b"hello",
            Duration::from_secs(10),
        )
        .unwrap();
        assert_eq!((got.out().as_str(), got.err().as_str(), got.status.code()), ("hello", "oops\n", Some(3)));
    }

    #[test]
    fn a_dropped_daemon_is_gone() {
        let dir = crate::place::Scratch::new("daemon").unwrap();
        let daemon = Daemon::start(Command::new("sleep").arg("60"), &dir.path().join("log"), "TERM").unwrap();
        let proc = PathBuf::from(format!("/proc/{}", daemon.pid()));
        assert!(proc.exists());
        drop(daemon);
        assert!(!proc.exists());
    }

    #[test]
    fn a_daemon_is_stopped_when_the_process_that_holds_its_leash_dies() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let mut leash = Leash::on(child.id(), "TERM");
        // What the system does when the holder dies: it closes the pipe.
        drop(leash.shell.as_mut().unwrap().stdin.take());
        let ended = wait_until(&mut child, Instant::now() + Duration::from_secs(10)).unwrap();
        assert!(ended.is_some());
    }

    #[test]
    fn bytes_that_are_not_text_stay_visible() {
        assert_eq!(readable(b"a\xff\xc3\xa9"), "a\\xff\u{e9}");
    }
}
