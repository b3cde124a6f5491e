//! One documented JSON shape per answer (docs/JSON.md), versioned by its name.

use std::fmt;

use seal::text::deceives;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::desk::ProofLine;
use crate::text::Text;

/// An answer: it has a documented JSON shape, a text for terminals, and an exit code.
pub trait Answer: Serialize + DeserializeOwned {
    /// Its name and version: `tacho.touched/1`. A field that goes, or changes its meaning, is a new version; a new field
    /// is not.
    const SHAPE: &'static str;

    /// Writes it for a terminal.
    fn render(&self, text: &mut Text);

    /// 0 done, 1 the answer is no, 3 could not say.
    fn exit_code(&self) -> u8 {
        0
    }

    /// What is known of the record that it rests on, if it rests on one.
    fn proof(&self) -> Option<&ProofLine> {
        None
    }

    /// The exit code of a command that prints it: an answer out of a record that is broken is none.
    fn exit(&self) -> u8 {
        let broken = self.proof().is_some_and(ProofLine::is_broken);
        if broken && self.exit_code() == 0 { 3 } else { self.exit_code() }
    }

    /// For a file or a pipe: every line whole.
    fn to_text(&self) -> String {
        self.to_text_within(None)
    }

    /// For a terminal with lines of so many characters.
    fn to_text_within(&self, width: Option<usize>) -> String {
        let mut text = Text::within(width);
        if let Some(broken) = self.proof().and_then(ProofLine::broken) {
            text.line(&broken);
            text.blank();
        }
        self.render(&mut text);
        text.finish()
    }
}

/// The answer as JSON, `shape` first.
pub fn to_json<A: Answer>(answer: &A) -> String {
    #[derive(Serialize)]
    struct Shaped<'a, A> {
        shape: &'static str,
        #[serde(flatten)]
        answer: &'a A,
    }
    // Every answer is a struct of strings, numbers and lists: serialising one cannot fail.
    harmless(&serde_json::to_string_pretty(&Shaped { shape: A::SHAPE, answer }).unwrap_or_default())
}

/// The same JSON, of which a terminal shows each character: JSON itself lets controls above U+001F and marks that reorder
/// text stand in strings.
pub fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Between strings, of these there are line feeds alone.
        if c == '\n' || !deceives(c) {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Reads an answer that [`to_json`] wrote, here or elsewhere.
pub fn from_json<A: Answer>(json: &str) -> Result<A, WrongShape> {
    #[derive(Deserialize)]
    struct Named {
        shape: String,
    }
    let wrong = |error: serde_json::Error| WrongShape { expected: A::SHAPE, found: error.to_string() };
    let named: Named = serde_json::from_str(json).map_err(wrong)?;
    if named.shape != A::SHAPE {
        return Err(WrongShape { expected: A::SHAPE, found: named.shape });
    }
    serde_json::from_str(json).map_err(wrong)
}

/// The JSON is not the answer that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    pub expected: &'static str,
    pub found: String,
}

impl fmt::Display for WrongShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an answer of shape {}, found: {}", self.expected, self.found)
    }
}

impl std::error::Error for WrongShape {}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn json_on_a_terminal_moves_no_cursor_and_is_the_same() {
        let hostile = "a\u{9b}2J\u{7f}\u{202e}\u{e0001}\x1b\"é\n";
        let json = serde_json::to_string_pretty(&[hostile]).unwrap();
        let shown = harmless(&json);
        assert!(shown.chars().all(|c| c == '\n' || !seal::text::deceives(c)), "{shown}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [hostile]);
    }
}
