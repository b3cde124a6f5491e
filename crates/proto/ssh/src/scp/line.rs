//! Bytes <-> what a source says and a sink answers.

use crate::fault as why;
use crate::limits::*;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use wire::{Fault, RawField, Side};

/// One line of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `C0644 12 name`: a file of so many bytes.
    File { mode: u16, bytes: u64, name: RawField },
    /// `D0755 0 name`: a directory, whose files follow.
    Directory { mode: u16, name: RawField },
    /// `E`: the end of a directory.
    End,
    /// `T1 0 2 0`: times of what comes next, in seconds and microseconds since 1970.
    Times { modified: (u64, u32), accessed: (u64, u32) },
    /// 0x01 and a sentence: something could not be read. It has no answer.
    Warning(RawField),
    /// 0x02 and a sentence: the end.
    Fatal(RawField),
}

/// What a sink answers, and a source says behind a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    Ok,
    /// This file failed, the others go on.
    Warning(RawField),
    Fatal(RawField),
}

impl Line {
    /// Takes a line off `buffer`; `None` if it has not come whole.
    ///
    /// Errors, on `side`: `TOO_LARGE` (a line of [`LINE_BYTES_MAX`], a sentence of [`SAID_BYTES_MAX`]), `BAD_VALUE`,
    /// `BAD_LENGTH` for a number, `BAD_NAME`.
    pub fn decode(buffer: &mut BytesMut, side: Side) -> Result<Option<(Line, Bytes)>, Fault> {
        let is_said = matches!(buffer.first(), Some(1 | 2));
        let max = if is_said { SAID_BYTES_MAX } else { LINE_BYTES_MAX };
        let Some(end) = buffer.iter().take(max).position(|b| *b == b'\n') else {
            let too_long = if is_said { why::SCP_SAID_TOO_LONG } else { why::SCP_LINE_TOO_LONG };
            return if buffer.len() >= max { Err(too_long.on(side)) } else { early(buffer, side) };
        };
        let whole = buffer.split_to(end + 1).freeze();
        let text = whole.slice(..end);
        let line = match text.split_first() {
            Some((1, _)) => Line::Warning(text.slice(1..).into()),
            Some((2, _)) => Line::Fatal(text.slice(1..).into()),
            Some((b'E', [])) => Line::End,
            Some((b'T', rest)) => times(rest, side)?,
            Some((b'C', rest)) => {
                let (mode, bytes, name) = entry(rest, side)?;
                Line::File { mode, bytes, name }
            }
            Some((b'D', rest)) => match entry(rest, side)? {
                (mode, 0, name) => Line::Directory { mode, name },
                _ => return Err(why::SCP_NUMBER.on(side)),
            },
            _ => return Err(why::SCP_LINE.on(side)),
        };
        Ok(Some((line, whole)))
    }
}

impl Ack {
    /// As [`Line::decode`]. Errors, on `side`: `BAD_VALUE` for a byte that is no answer, `TOO_LARGE` for a sentence.
    pub fn decode(buffer: &mut BytesMut, side: Side) -> Result<Option<(Ack, Bytes)>, Fault> {
        match buffer.first() {
            None => Ok(None),
            Some(0) => Ok(Some((Ack::Ok, buffer.split_to(1).freeze()))),
            Some(kind @ (1 | 2)) => {
                let fatal = *kind == 2;
                let Some(end) = buffer.iter().take(SAID_BYTES_MAX).position(|b| *b == b'\n') else {
                    let full = buffer.len() >= SAID_BYTES_MAX;
                    return if full { Err(why::SCP_SAID_TOO_LONG.on(side)) } else { Ok(None) };
                };
                let whole = buffer.split_to(end + 1).freeze();
                let said = RawField::new(whole.slice(1..end));
                Ok(Some((if fatal { Ack::Fatal(said) } else { Ack::Warning(said) }, whole)))
            }
            Some(_) => Err(why::SCP_ACK.on(side)),
        }
    }

    /// Its bytes; a sentence is cut at a line feed, and to [`SAID_BYTES_MAX`]. They are those of a source's warning or fatal
    /// line, too, so that what was masked of one can be written again.
    pub fn encode(&self) -> Bytes {
        let (kind, said) = match self {
            Ack::Ok => return Bytes::from_static(b"\0"),
            Ack::Warning(said) => (1, said.as_bytes()),
            Ack::Fatal(said) => (2, said.as_bytes()),
        };
        let line = said.split(|b| *b == b'\n').next().unwrap_or_default();
        let mut out = BytesMut::new();
        out.put_u8(kind);
        out.put_slice(line.get(..SAID_BYTES_MAX - 2).unwrap_or(line));
        out.put_u8(b'\n');
        out.freeze()
    }
}

/// Takes at most `left` bytes of content, and at most [`PIECE_BYTES_MAX`].
pub(crate) fn content(buffer: &mut BytesMut, left: u64) -> Bytes {
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX).min(buffer.remaining());
    buffer.split_to(most).freeze()
}

/// A line that has not come whole: its first byte is enough to refuse it.
fn early(buffer: &[u8], side: Side) -> Result<Option<(Line, Bytes)>, Fault> {
    match buffer.first() {
        None | Some(1 | 2 | b'C' | b'D' | b'E' | b'T') => Ok(None),
        Some(_) => Err(why::SCP_LINE.on(side)),
    }
}

/// `0644 12 name`, as OpenSSH reads it: four digits of mode, one space, the length, one space, the name.
fn entry(text: &[u8], side: Side) -> Result<(u16, u64, RawField), Fault> {
    let line = why::SCP_LINE.on(side);
    let (mode, rest) = text.split_first_chunk::<4>().ok_or(line)?;
    let octal = |mode: u16, digit: &u8| match digit {
        b'0'..=b'7' => Some(mode * 8 + u16::from(digit - b'0')),
        _ => None,
    };
    let mode = mode.iter().try_fold(0, octal).ok_or(line)?;
    let rest = rest.strip_prefix(b" ").ok_or(line)?;
    let space = rest.iter().position(|b| *b == b' ').ok_or(line)?;
    let (length, name) = rest.split_at_checked(space).ok_or(line)?;
    let bytes = number(length, side)?;
    let name = name.strip_prefix(b" ").ok_or(line)?;
    check_name(name, side)?;
    Ok((mode, bytes, RawField::copy_from(name)))
}

/// A name that is one name. CVE-2018-20685, CVE-2019-6111.
fn check_name(name: &[u8], side: Side) -> Result<(), Fault> {
    let leads = matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0);
    if leads || name.len() > NAME_BYTES_MAX { Err(why::SCP_NAME.on(side)) } else { Ok(()) }
}

/// Digits alone, below 2^63.
fn number(text: &[u8], side: Side) -> Result<u64, Fault> {
    let wrong = why::SCP_NUMBER.on(side);
    if text.is_empty() || text.len() > DIGITS_MAX || !text.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    let number: u64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(wrong)?;
    i64::try_from(number).map(|_| number).map_err(|_| wrong)
}

/// `1700000000 0 1700000000 0`.
fn times(text: &[u8], side: Side) -> Result<Line, Fault> {
    let numbers: Vec<u64> =
        text.split(|b| *b == b' ').take(5).map(|text| number(text, side)).collect::<Result<_, _>>()?;
    let [modified, modified_micros, accessed, accessed_micros] = numbers.as_slice() else {
        return Err(why::SCP_LINE.on(side));
    };
    let micros = |micros: &u64| match u32::try_from(*micros) {
        Ok(micros) if micros < 1_000_000 => Ok(micros),
        _ => Err(why::SCP_NUMBER.on(side)),
    };
    Ok(Line::Times {
        modified: (*modified, micros(modified_micros)?),
        accessed: (*accessed, micros(accessed_micros)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::kind;

    fn decode(text: &[u8]) -> Result<Option<Line>, &'static str> {
        let mut buffer = BytesMut::from(text);
        let got = Line::decode(&mut buffer, Side::Client);
        if let Ok(Some((_, whole))) = &got {
            assert_eq!([&whole[..], &buffer[..]].concat(), text, "no byte is lost");
        }
        got.map(|got| got.map(|(line, _)| line)).map_err(|fault| fault.kind)
    }

    fn raw(text: &'static str) -> RawField {
        RawField::from_static(text.as_bytes())
    }

    #[test]
    fn lines_of_openssh_are_read() {
        for (text, line) in [
            (&b"C0644 12 a b.txt\nrest"[..], Line::File { mode: 0o644, bytes: 12, name: raw("a b.txt") }),
            (b"C7777 0  x\n", Line::File { mode: 0o7777, bytes: 0, name: raw(" x") }),
            (
                b"C0600 9223372036854775807 x\n",
                Line::File { mode: 0o600, bytes: i64::MAX as u64, name: raw("x") },
            ),
            (b"D0755 0 dir\n", Line::Directory { mode: 0o755, name: raw("dir") }),
            (b"E\n", Line::End),
            (
                b"T1700000000 0 17 999999\n",
                Line::Times { modified: (1_700_000_000, 0), accessed: (17, 999_999) },
            ),
            (b"\x01scp: no\n", Line::Warning(raw("scp: no"))),
            (b"\x02lost\n", Line::Fatal(raw("lost"))),
        ] {
            assert_eq!(decode(text), Ok(Some(line)), "{text:?}");
        }
        for text in [&b""[..], b"C", b"C0644 12 name", b"E", b"\x01scp"] {
            assert_eq!(decode(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn what_openssh_does_not_write_is_refused() {
        for (text, kind) in [
            (&b"\n"[..], kind::BAD_VALUE),
            (b"x", kind::BAD_VALUE),
            (b"\0", kind::BAD_VALUE),
            (b"C0644\n", kind::BAD_VALUE),
            (b"C644 1 a\n", kind::BAD_VALUE),
            (b"C0648 1 a\n", kind::BAD_VALUE),
            (b"C00644 1 a\n", kind::BAD_VALUE),
            (b"C0644 1\n", kind::BAD_VALUE),
            (b"C0644 -1 a\n", kind::BAD_LENGTH),
            (b"C0644 +1 a\n", kind::BAD_LENGTH),
            (b"C0644  a\n", kind::BAD_LENGTH),
            (b"C0644 0x1 a\n", kind::BAD_LENGTH),
            (b"C0644 9223372036854775808 a\n", kind::BAD_LENGTH),
            (b"C0644 00000000000000000001 a\n", kind::BAD_LENGTH),
            (b"D0755 1 a\n", kind::BAD_LENGTH),
            (b"E0\n", kind::BAD_VALUE),
            (b"T1 0 2\n", kind::BAD_VALUE),
            (b"T1 0 2 0 3\n", kind::BAD_VALUE),
            (b"T1 1000000 2 0\n", kind::BAD_LENGTH),
            (b"C0644 1 ../a\n", why::kind::BAD_NAME),
            (b"C0644 1 a/b\n", why::kind::BAD_NAME),
            (b"D0755 0 ..\n", why::kind::BAD_NAME),
            (b"D0755 0 .\n", why::kind::BAD_NAME),
            (b"C0644 1 \n", why::kind::BAD_NAME),
            (b"C0644 1 a\0b\n", why::kind::BAD_NAME),
        ] {
            assert_eq!(decode(text), Err(kind), "{text:?}");
        }
    }

    #[test]
    fn lines_and_names_have_an_end() {
        let name = |length| [&b"C0644 1 "[..], &vec![b'a'; length], b"\n"].concat();
        assert!(decode(&name(NAME_BYTES_MAX)).unwrap().is_some());
        assert_eq!(decode(&name(NAME_BYTES_MAX + 1)), Err(why::kind::BAD_NAME));
        assert_eq!(decode(&vec![b'C'; LINE_BYTES_MAX - 1]), Ok(None));
        assert_eq!(decode(&vec![b'C'; LINE_BYTES_MAX]), Err(kind::TOO_LARGE));
        assert_eq!(decode(&vec![1; SAID_BYTES_MAX - 1]), Ok(None));
        assert_eq!(decode(&vec![1; SAID_BYTES_MAX]), Err(kind::TOO_LARGE));
    }

    #[test]
    fn answers_are_bytes_and_sentences() {
        let decode = |text: &[u8]| {
            Ack::decode(&mut BytesMut::from(text), Side::Upstream).map(|got| got.map(|(ack, _)| ack))
        };
        assert_eq!(decode(b"\0\0"), Ok(Some(Ack::Ok)));
        assert_eq!(decode(b"\x01no\n"), Ok(Some(Ack::Warning(raw("no")))));
        assert_eq!(decode(b"\x02no\n"), Ok(Some(Ack::Fatal(raw("no")))));
        assert_eq!((decode(b""), decode(b"\x01no")), (Ok(None), Ok(None)));
        assert_eq!(decode(b"\x03").unwrap_err().kind, kind::BAD_VALUE);
        assert_eq!(decode(&vec![2; SAID_BYTES_MAX]).unwrap_err().kind, kind::TOO_LARGE);
        for ack in [Ack::Ok, Ack::Warning(raw("a")), Ack::Fatal(raw(""))] {
            assert_eq!(decode(&ack.encode()), Ok(Some(ack)));
        }
        assert_eq!(&Ack::Warning(raw("a\nC0644 1 x")).encode()[..], b"\x01a\n");
    }
}
