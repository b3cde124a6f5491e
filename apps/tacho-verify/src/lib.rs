//! Verifies a ledger directory or an evidence bundle, offline, with [`seal`] alone.
//!
//! [`run`] is the command; [`verify_path`] is the same without arguments and printing. It only reads, never follows a
//! ledger to the network, and holds one segment in memory at a time.
//!
//! Reading order: `args` (what was asked) -> `read` (files to verdict) -> `print` (verdict to text or JSON).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
pub mod limits;
mod print;
mod read;

pub use read::{Failure, Progress, verify_path};

use args::Command;
use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

/// Exit codes: FORMAT.md, section 7.
pub const VERIFIED: u8 = 0;
pub const NOT_VERIFIED: u8 = 1;
pub const WRONG_USE: u8 = 2;
pub const COULD_NOT_READ: u8 = 3;

/// The whole command; `args` are those after the program's name. Prints the verdict to standard output, progress to
/// standard error if that is a terminal, and gives the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(match args::parse(args) {
        Ok(Command::Verify(request)) => verify(&request),
        Ok(Command::Print(text)) => {
            say(&mut stdout(), text);
            VERIFIED
        }
        Err(wrong) => {
            say(&mut stderr(), &format!("tacho-verify: {}\n", wrong.message));
            wrong.code
        }
    })
}

fn verify(request: &args::Request) -> u8 {
    let mut progress = Ticker { terminal: stderr().is_terminal(), shown: false };
    let verdict = verify_path(&request.path, &request.options, &mut |step| progress.show(&step));
    progress.clear();
    let text = if request.json { print::json(&verdict) } else { print::text(&verdict, &request.options) };
    say(&mut stdout(), &text);
    match verdict {
        Ok(_) => VERIFIED,
        Err(Failure::NotVerified(_)) => NOT_VERIFIED,
        Err(Failure::Unreadable { .. }) => COULD_NOT_READ,
    }
}

/// Progress on a terminal; nothing in a pipe.
struct Ticker {
    terminal: bool,
    shown: bool,
}

impl Ticker {
    fn show(&mut self, step: &Progress) {
        if self.terminal {
            self.shown = true;
            let mib = step.bytes >> 20;
            say(&mut stderr(), &format!("\rsegment {} of {}, {mib} MiB", step.segments_done, step.segments));
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            say(&mut stderr(), "\r\x1b[K");
        }
    }
}

/// A reader that has gone away changes nothing about the verdict, which is in the exit code too.
fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
