//! What is said beside a program's own streams: the size of a terminal, and how a program ended.

use crate::fault::{self as why, Reason};
use crate::limits::{ENDED_BYTES_MAX, SIZE_BYTES_MAX};
use json::{Kind, Value};

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

/// Reads the stream of sizes: JSON objects one behind another, which may be cut anywhere.
#[derive(Debug, Default)]
pub struct Sizes {
    held: Vec<u8>,
}

/// How a program ended: what the stream of errors says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With 0.
    Success,
    /// With another status.
    Code(u32),
    /// It did not run, or its end is not known.
    Failed,
}

/// Collects what the stream of errors says, to its end.
#[derive(Default)]
pub struct Ending {
    held: Vec<u8>,
}

/// The text is the server's, and may quote a command.
impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ending({} bytes)", self.held.len())
    }
}

impl Sizes {
    /// Takes bytes and gives the sizes that end in them. Errors (side: client): no size; one above [`SIZE_BYTES_MAX`] bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Size>, Reason> {
        let mut sizes = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'}') {
            if self.held.len() + piece.len() > SIZE_BYTES_MAX {
                return Err(why::BAD_SIZE);
            }
            self.held.extend_from_slice(piece);
            if piece.ends_with(b"}") {
                sizes.push(size(&self.held)?);
                self.held.clear();
            }
        }
        // Nothing but white space stands between two.
        let begun = self.held.trim_ascii_start().first();
        if begun.is_some_and(|b| *b != b'{') { Err(why::BAD_SIZE) } else { Ok(sizes) }
    }
}

impl Size {
    /// As kubectl writes it.
    pub fn written(self) -> Vec<u8> {
        format!("{{\"Width\":{},\"Height\":{}}}\n", self.width, self.height).into_bytes()
    }
}

impl Ending {
    /// Errors (side: upstream): more than [`ENDED_BYTES_MAX`] bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        if self.held.len() + bytes.len() > ENDED_BYTES_MAX {
            return Err(why::ENDED_TOO_LONG);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// What was said in all. `None` if nothing was: a stream that ends without it says that nothing is known.
    ///
    /// Errors (side: upstream): no `Status`, or one that says two things.
    pub fn finish(&self) -> Result<Option<Ended>, Reason> {
        if self.held.trim_ascii().is_empty() { Ok(None) } else { ended(&json::parse(&self.held)?).map(Some) }
    }
}

fn size(text: &[u8]) -> Result<Size, Reason> {
    let value = json::parse(text).map_err(|_| why::BAD_SIZE)?;
    let Kind::Object(members) = &value.kind else { return Err(why::BAD_SIZE) };
    let number = |name: &str| -> Result<u16, Reason> {
        let found = members.iter().find(|(n, _)| n == name).map(|(_, value)| value);
        found.filter(|v| matches!(v.kind, Kind::Number)).and_then(|v| v.raw.parse().ok()).ok_or(why::BAD_SIZE)
    };
    match members.len() {
        2 => Ok(Size { width: number("Width")?, height: number("Height")? }),
        _ => Err(why::BAD_SIZE),
    }
}

/// `Status` of meta/v1: the cause `ExitCode` of a failure with the reason `NonZeroExitCode` has the code.
fn ended(value: &Value<'_>) -> Result<Ended, Reason> {
    let status = value.object()?;
    match status.text("status")? {
        Some("Success") => return Ok(Ended::Success),
        Some("Failure") => {}
        Some(_) | None => return Err(why::NO_STATUS),
    }
    if status.text("reason")? != Some("NonZeroExitCode") {
        return Ok(Ended::Failed);
    }
    let Some(details) = status.object("details")? else { return Err(why::NO_STATUS) };
    let mut code = None;
    for cause in details.items("causes")? {
        let cause = cause.object()?;
        if cause.text("reason")? == Some("ExitCode") {
            let one: u32 = cause.text_or_empty("message")?.parse().map_err(|_| why::NO_STATUS)?;
            if code.replace(one).is_some() {
                return Err(why::NO_STATUS);
            }
        }
    }
    code.filter(|code| *code != 0).map(Ended::Code).ok_or(why::NO_STATUS)
}
