//! What commands print: one answer as text, or as its documented JSON shape.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use answers::text::Text;
use answers::{Answer, to_json};
use serde::{Deserialize, Serialize};

use crate::fault::{Failure, Outcome};

/// Prints an answer and gives its exit code.
pub fn answer<A: Answer>(answer: &A, json: bool) -> Outcome {
    let text = if json { format!("{}\n", to_json(answer)) } else { answer.to_text_within(terminal_width()) };
    print(&text)?;
    Ok(ExitCode::from(answer.exit()))
}

/// Characters of a line of the terminal that standard output is; `None`: it is none, or does not say.
pub fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten()?;
    (size.ws_col > 0).then(|| size.ws_col.into())
}

/// Writes to standard output. A reader that has gone (`| head`) is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::could_not(format!("cannot write the answer: {error}; check where the output goes")))
        }
        _ => Ok(()),
    }
}

/// A failure on standard error, as JSON where JSON was asked for.
pub fn failure(failure: &Failure, json: bool) {
    let mut err = std::io::stderr().lock();
    let written = if json {
        let document = serde_json::json!({ "shape": "tacho.failure/1", "exit": failure.exit as u8, "errors": failure.lines });
        writeln!(err, "{}", answers::harmless(&document.to_string()))
    } else {
        // What went wrong may be told in words out of a foreign bundle.
        let line = |line: &String| writeln!(err, "tacho: {}", answers::text::visible_block(line));
        failure.lines.iter().try_for_each(line)
    };
    // With standard error gone, the exit code still says it.
    let _nobody_reads = written;
}

/// Whether a person watches standard error.
pub fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// A list of sentences, for verbs whose answer is what they did or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub lines: Vec<String>,
}

impl Answer for Told {
    const SHAPE: &'static str = "tacho.told/1";

    fn render(&self, text: &mut Text) {
        self.lines.iter().for_each(|line| text.line(line));
    }
}
