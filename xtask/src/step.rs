//! A step of a longer command: announced, timed, bounded, and a line of the table at the end.

use interop::process::{Leash, describe, signal};
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Why a command stops before its end.
#[derive(Debug)]
pub enum Stop {
    /// A check said no; what it was has been printed. Exit 1.
    Failed,
    /// The command line is wrong. Exit 2.
    Usage(String),
    /// Something that has to be there is not. Exit 3.
    Could(String),
}

impl From<interop::process::Trouble> for Stop {
    fn from(trouble: interop::process::Trouble) -> Stop {
        Stop::Could(trouble.to_string())
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With that many checks passed.
    Passed(u64),
    /// With that many passed and that many failed.
    Failed(u64, u64),
    /// Not run, and why.
    Skipped(String),
}

/// The steps so far.
#[derive(Default)]
pub struct Steps {
    rows: Vec<(String, Ending, Duration)>,
}

impl Steps {
    /// Announces `name`, runs `body`, keeps how it ended.
    pub fn run(&mut self, name: &str, body: impl FnOnce() -> Ending) {
        println!("\n=== {name}");
        let begun = Instant::now();
        let ending = body();
        if let Ending::Skipped(why) = &ending {
            println!("SKIPPED: {name} ({why})");
        }
        self.rows.push((name.to_owned(), ending, begun.elapsed()));
    }

    /// Prints the table and the closing line; [`Stop::Failed`] if a check failed or none ran.
    pub fn close(&self) -> Result<(), Stop> {
        print!("\n{self}");
        let (passed, failed) = self.counts();
        println!("{passed} passed, {failed} failed");
        if failed > 0 || passed == 0 { Err(Stop::Failed) } else { Ok(()) }
    }

    fn counts(&self) -> (u64, u64) {
        self.rows.iter().fold((0, 0), |(passed, failed), (_, ending, _)| match ending {
            Ending::Passed(p) => (passed + p, failed),
            Ending::Failed(p, f) => (passed + p, failed + f),
            Ending::Skipped(_) => (passed, failed),
        })
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34} {:>8}  result", "step", "seconds")?;
        for (name, ending, took) in &self.rows {
            let result = match ending {
                Ending::Passed(n) => format!("ok ({n})"),
                Ending::Failed(p, n) => format!("FAILED ({p} passed, {n} failed)"),
                Ending::Skipped(why) => format!("skipped: {why}"),
            };
            writeln!(f, "{name:<34} {:>8.1}  {result}", took.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Runs a command whose exit status is the one check.
pub fn check(command: &mut Command, limit: Duration) -> Ending {
    match follow(command, limit, |_| ()) {
        Ok(status) if status.success() => Ending::Passed(1),
        Ok(_) => Ending::Failed(0, 1),
        Err(text) => {
            println!("{text}");
            Ending::Failed(0, 1)
        }
    }
}

/// Runs `cargo test` or anything else that prints libtest's result lines, and counts them.
pub fn check_tests(command: &mut Command, limit: Duration) -> Ending {
    let (mut passed, mut failed) = (0, 0);
    let status = follow(command, limit, |line| {
        if let Some((p, f)) = result_line(line) {
            passed += p;
            failed += f;
        }
    });
    match status {
        Ok(status) if status.success() && failed == 0 && passed > 0 => Ending::Passed(passed),
        // It did not compile, was killed, or ran nothing: that is a failure of its own.
        Ok(_) => Ending::Failed(passed, failed.max(1)),
        Err(text) => {
            println!("{text}");
            Ending::Failed(passed, failed + 1)
        }
    }
}

/// Runs `command`, printing both its streams as they come and showing `each` every line.
/// After `limit` the whole process group is killed and the error says so.
pub fn follow(
    command: &mut Command,
    limit: Duration,
    mut each: impl FnMut(&str),
) -> Result<ExitStatus, String> {
    watch(command, limit, |line| {
        println!("{line}");
        each(line);
    })
}

/// As [`follow`], printing nothing.
pub fn watch(
    command: &mut Command,
    limit: Duration,
    mut each: impl FnMut(&str),
) -> Result<ExitStatus, String> {
    let what = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|why| format!("could not start {what}: {why}"))?;
    let group = format!("-{}", child.id());
    let _leash = Leash::on(child.id(), "TERM");
    // Bounded: a child that prints faster than we do waits for us.
    let (send, lines) = mpsc::sync_channel::<String>(1024);
    if let Some(stream) = child.stdout.take() {
        forward(stream, send.clone());
    }
    if let Some(stream) = child.stderr.take() {
        forward(stream, send.clone());
    }
    drop(send);
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => each(&line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                signal(&group, "KILL");
                drop(child.wait());
                return Err(format!("{what} did not end within {} s and was killed", limit.as_secs()));
            }
        }
    }
    child.wait().map_err(|why| format!("could not wait for {what}: {why}"))
}

fn forward(stream: impl Read + Send + 'static, to: mpsc::SyncSender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = interop::process::readable(line.strip_suffix(b"\n").unwrap_or(&line));
            if to.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// `test result: ok. 12 passed; 0 failed; ...` -> (12, 0).
fn result_line(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |part: Option<&str>, word: &str| part?.trim().strip_suffix(word)?.trim().parse().ok();
    let mut parts = counts.split(';');
    Some((number(parts.next(), "passed")?, number(parts.next(), "failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn libtests_result_lines_are_read() {
        let line = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(result_line(line), Some((3, 1)));
        assert_eq!(result_line("test result: ok"), None);
        assert_eq!(result_line("running 3 tests"), None);
    }

    #[test]
    fn a_test_command_that_runs_nothing_has_failed() {
        assert_eq!(check_tests(&mut sh("true"), SOON), Ending::Failed(0, 1));
    }

    #[test]
    fn a_test_command_that_dies_after_good_lines_has_failed() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101";
        assert_eq!(check_tests(&mut sh(script), SOON), Ending::Failed(2, 1));
    }

    #[test]
    fn good_result_lines_are_summed() {
        let script = "for n in 2 5; do echo \"test result: ok. $n passed; 0 failed; 0 ignored\"; done";
        assert_eq!(check_tests(&mut sh(script), SOON), Ending::Passed(7));
    }

    #[test]
    fn a_step_past_its_deadline_has_failed() {
        assert_eq!(check(&mut sh("sleep 60"), Duration::from_millis(200)), Ending::Failed(0, 1));
    }

    #[test]
    fn the_closing_says_no_if_one_failed_or_none_ran() {
        let mut steps = Steps::default();
        assert!(matches!(steps.close(), Err(Stop::Failed)));
        steps.run("good", || Ending::Passed(4));
        steps.run("absent", || Ending::Skipped("no such thing here".to_owned()));
        assert!(steps.close().is_ok());
        assert!(steps.to_string().contains("skipped: no such thing here"));
        steps.run("bad", || Ending::Failed(1, 2));
        assert!(matches!(steps.close(), Err(Stop::Failed)));
        assert_eq!(steps.counts(), (5, 2));
    }
}
