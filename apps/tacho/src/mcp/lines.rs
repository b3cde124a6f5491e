//! Bytes cut into lines, each one message. Spec: MCP, "Transports", stdio: messages are delimited by line feeds and have
//! none in them.

use crate::limits::MCP_LINE_BYTES_MAX;

/// Cuts a stream, which may come split anywhere. A line that is too long is left out, and said.
#[derive(Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Of a line that is too long: how many bytes of it have come.
    over: Option<u64>,
}

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its end, and not blank.
    Whole(Vec<u8>),
    /// It had so many bytes, which is more than [`MCP_LINE_BYTES_MAX`].
    TooLong(u64),
}

impl Lines {
    /// Takes bytes and gives the lines that they end.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.hold(text);
            if ends {
                lines.extend(self.cut());
            }
        }
        lines
    }

    /// What stands behind the last line feed: a message whose writer ended without one.
    pub fn finish(&mut self) -> Option<Line> {
        self.cut()
    }

    fn hold(&mut self, text: &[u8]) {
        let length = self.held.len() + text.len();
        match &mut self.over {
            Some(over) => *over += text.len() as u64,
            None if length > MCP_LINE_BYTES_MAX => {
                self.held = Vec::new();
                self.over = Some(length as u64);
            }
            None => self.held.extend_from_slice(text),
        }
    }

    fn cut(&mut self) -> Option<Line> {
        if let Some(over) = self.over.take() {
            return Some(Line::TooLong(over));
        }
        let line = std::mem::take(&mut self.held);
        (!line.trim_ascii().is_empty()).then_some(Line::Whole(line))
    }
}

/// A message as one line: a line end between two tokens of JSON is white space, and in a string there is none.
pub fn flat(message: &[u8]) -> Vec<u8> {
    let space = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    message.iter().map(space).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out: Vec<Line> = pieces.iter().flat_map(|piece| lines.push(piece.as_bytes())).collect();
        out.extend(lines.finish());
        let shown = |line: Line| match line {
            Line::Whole(line) => String::from_utf8(line).unwrap(),
            Line::TooLong(bytes) => format!("{bytes} bytes"),
        };
        out.into_iter().map(shown).collect()
    }

    #[test]
    fn lines_come_split_anywhere() {
        assert_eq!(cut(&["{\"a\"", ":1}\n{}", "\n\n \n[", "1]"]), ["{\"a\":1}", "{}", "[1]"]);
        assert_eq!(cut(&["{}\r\n", "{}"]), ["{}\r", "{}"]);
        assert_eq!(cut(&[]), [""; 0]);
    }

    #[test]
    fn a_line_above_the_limit_is_left_out_and_the_next_is_read() {
        let most = "x".repeat(MCP_LINE_BYTES_MAX);
        assert_eq!(cut(&[&most, "\n{}\n"]), [most.as_str(), "{}"]);
        let said = format!("{} bytes", MCP_LINE_BYTES_MAX + 3);
        assert_eq!(cut(&[&most, "x", "yz", "\n{}\n"]), [said.as_str(), "{}"]);
        assert_eq!(cut(&[&most, "xyz"]), [said.as_str()]);
    }

    #[test]
    fn a_message_of_several_lines_becomes_one() {
        assert_eq!(flat(b"{\r\n  \"a\": \"\\n\"\n}"), b"{    \"a\": \"\\n\" }");
    }
}
