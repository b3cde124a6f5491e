//! What stands between quotes: XCU 2.2.

use super::Reader;
use crate::line::{Refused, RefusedKind};

/// What `$'...'` was decoded to.
pub(super) enum Decoded {
    Text(String),
    /// Not UTF-8, a NUL, or a character that depends on the locale.
    Unknown,
}

impl Reader<'_> {
    /// Behind the opening `'`, up to and with the closing one.
    pub(super) fn single_quoted(&mut self) -> Result<String, Refused> {
        let Some(length) = self.rest().find('\'') else { return self.refuse(RefusedKind::Unterminated) };
        let value = self.rest().get(..length).unwrap_or("").to_owned();
        self.at += length + 1;
        Ok(value)
    }

    /// Behind `$'`: the escapes of XCU 2.2.4 as bash decodes them.
    pub(super) fn ansi_quoted(&mut self) -> Result<Decoded, Refused> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut known = true;
        loop {
            match self.char() {
                None => return self.refuse(RefusedKind::Unterminated),
                Some('\'') => break,
                Some('\\') => known &= self.ansi_escape(&mut bytes)?,
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        let text = if known { String::from_utf8(bytes).ok() } else { None };
        Ok(text.map_or(Decoded::Unknown, Decoded::Text))
    }

    /// One escape behind its backslash; false if what it gives cannot be said.
    fn ansi_escape(&mut self, bytes: &mut Vec<u8>) -> Result<bool, Refused> {
        let Some(c) = self.char() else { return self.refuse(RefusedKind::Unterminated) };
        let plain = match c {
            'a' => 7,
            'b' => 8,
            'e' | 'E' => 27,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '\'' | '"' | '?' => c as u8,
            '0'..='7' => {
                self.at -= 1;
                return Ok(self.ansi_number(bytes, 8, 3));
            }
            'x' if self.byte(0).is_some_and(|b| b.is_ascii_hexdigit()) => {
                return Ok(self.ansi_number(bytes, 16, 2));
            }
            // `\x{`, `\u`, `\U` and `\c`: versions and locales differ.
            'x' | 'u' | 'U' | 'c' => return Ok(false),
            other => {
                bytes.push(b'\\');
                bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(true);
            }
        };
        bytes.push(plain);
        Ok(true)
    }

    fn ansi_number(&mut self, bytes: &mut Vec<u8>, radix: u32, digits_max: usize) -> bool {
        let mut value = 0u32;
        for _ in 0..digits_max {
            let Some(digit) = self.byte(0).and_then(|b| char::from(b).to_digit(radix)) else { break };
            value = value * radix + digit;
            self.at += 1;
        }
        match u8::try_from(value) {
            Ok(byte) if byte != 0 => {
                bytes.push(byte);
                true
            }
            _ => false,
        }
    }

    /// Behind an opening backquote: the text up to the closing one, with the escapes that backquotes take out.
    pub(super) fn backquoted(&mut self, in_double: bool) -> Result<String, Refused> {
        let mut inner = String::new();
        loop {
            match self.char() {
                None => return self.refuse(RefusedKind::Unterminated),
                Some('`') => return Ok(inner),
                Some('\\') => match self.char() {
                    None => return self.refuse(RefusedKind::Unterminated),
                    Some(c @ ('$' | '`' | '\\')) => inner.push(c),
                    Some('"') if in_double => inner.push('"'),
                    Some(c) => {
                        inner.push('\\');
                        inner.push(c);
                    }
                },
                Some(c) => inner.push(c),
            }
        }
    }
}
