//! Reading and writing the spellings of strings, numbers and names.

use super::Unreadable;

const ESCAPE: Unreadable = Unreadable("a string has an escape that is none");
pub(super) const SURROGATE: Unreadable = Unreadable("a string has half of a surrogate pair");

/// Appends what stands between the quotes of a JSON string (RFC 8259, 7), decoded; says whether it had escapes.
pub(super) fn unescape(raw: &[u8], text: &mut Vec<u8>) -> Result<bool, Unreadable> {
    is_text(raw)?;
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..at]);
        let (c, length) = escape(&rest[at + 1..])?;
        text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + 1 + length..];
    }
    text.extend_from_slice(rest);
    Ok(rest.len() < raw.len())
}

/// Whether what stands between the quotes of a JSON string may stand there, but for its escapes.
pub(super) fn is_text(raw: &[u8]) -> Result<(), Unreadable> {
    // Without an early end, so that many bytes are compared at a time.
    if raw.iter().fold(false, |control, &b| control | (b < b' ')) {
        return Err(Unreadable("a string has a control character"));
    }
    match raw.is_ascii() || std::str::from_utf8(raw).is_ok() {
        true => Ok(()),
        false => Err(Unreadable("a string is not UTF-8")),
    }
}

/// The character of an escape whose backslash is read, and its length from there.
fn escape(after: &[u8]) -> Result<(char, usize), Unreadable> {
    let c = match after.first() {
        Some(&b @ (b'"' | b'\\' | b'/')) => char::from(b),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(&after[1..]),
        Some(_) | None => return Err(ESCAPE),
    };
    Ok((c, 1))
}

/// `\u` and four digits, or two of them for a character beyond U+FFFF.
fn unicode(digits: &[u8]) -> Result<(char, usize), Unreadable> {
    let unit = four_digits(digits)?;
    match unit {
        0xd800..=0xdbff => {
            let low = digits.get(4..).and_then(|rest| rest.strip_prefix(b"\\u")).ok_or(SURROGATE)?;
            let low = four_digits(low)?.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(SURROGATE)?;
            let c = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low);
            Ok((c.ok_or(SURROGATE)?, 11))
        }
        _ => Ok((char::from_u32(unit).ok_or(SURROGATE)?, 5)),
    }
}

fn four_digits(digits: &[u8]) -> Result<u32, Unreadable> {
    let four = digits.first_chunk::<4>().ok_or(ESCAPE)?;
    four.iter().try_fold(0, |v, &b| Some(v << 4 | char::from(b).to_digit(16)?)).ok_or(ESCAPE)
}

/// Text as a JSON string, with its quotes.
pub(super) fn json_string(text: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| matches!(b, 0..=0x1f | b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b => {
                out.extend_from_slice(b"\\u00");
                out.extend([DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
    out
}

/// Appends a name or value of a form, decoded (WHATWG URL, 5.1). An escape that is none is refused: readers differ in
/// what they make of it.
pub(super) fn unform(raw: &[u8], text: &mut Vec<u8>) -> Result<(), Unreadable> {
    let mut rest = raw.iter();
    while let Some(&b) = rest.next() {
        text.push(match b {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|&d| char::from(d).to_digit(16));
                let value = digit().zip(digit()).map(|(high, low)| (high << 4 | low) as u8);
                value.ok_or(Unreadable("a form has an escape that is none"))?
            }
            b => b,
        });
    }
    Ok(())
}

/// Text as a name or value of a form.
pub(super) fn form(text: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len());
    for &b in text {
        match b {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => out.push(b),
            b' ' => out.push(b'+'),
            _ => out.extend([b'%', DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]),
        }
    }
    out
}

/// The digits of a JSON number that is an integer of a length that is looked for, and not written as digits alone:
/// `4.0e15`, `40.0`.
pub(super) fn number_digits(spelling: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(spelling).ok()?.trim_start_matches('-');
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    // Where the point is, counted from the first digit that is not zero.
    let point = whole.len() as i64 + exponent.parse::<i64>().ok().filter(|e| e.abs() < 1 << 30)?
        - (all.len() - digits.len()) as i64;
    let digits = digits.trim_end_matches('0');
    let fits = !digits.is_empty()
        && (NUMBER_DIGITS_MIN as i64..=19).contains(&point)
        && digits.len() as i64 <= point;
    fits.then(|| format!("{digits:0<width$}", width = point as usize))
}

/// Whether [`number_digits`] may have any: without an exponent, the number is as long as they are.
pub(super) fn may_be_spelled(spelling: &[u8]) -> bool {
    let long = spelling.len() >= NUMBER_DIGITS_MIN && !spelling.iter().all(u8::is_ascii_digit);
    long || spelling.iter().any(|b| matches!(b, b'e' | b'E'))
}

/// Fewest digits of an integer that is looked for.
const NUMBER_DIGITS_MIN: usize = 14;

/// The last `keep` characters, the others as `*`. Of a text of at most `keep` none is kept, and never more than half.
pub(super) fn partial(text: &str, keep: u8) -> Vec<u8> {
    let length = if text.is_ascii() { text.len() } else { text.chars().count() };
    let kept = if length > usize::from(keep) { usize::from(keep).min(length / 2) } else { 0 };
    let part = match kept {
        0 => "",
        _ => text.char_indices().nth_back(kept - 1).map_or("", |(from, _)| &text[from..]),
    };
    let mut out = Vec::with_capacity(length - kept + part.len());
    out.resize(length - kept, b'*');
    out.extend_from_slice(part.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_however_it_is_spelled() {
        let cases = [
            ("4111111111111111", None),
            ("-4111111111111111", None),
            ("4111111111111111.0", Some("4111111111111111")),
            ("4.111111111111111e15", Some("4111111111111111")),
            ("4.111111111111111E+015", Some("4111111111111111")),
            ("41111111111111110000e-4", Some("4111111111111111")),
            ("0.0004111111111111111e19", Some("4111111111111111")),
            ("-4e15", Some("4000000000000000")),
            ("4111111111111111.5", None),
            ("4e99", None),
            ("4e99999999999999999999", None),
            ("0.0", None),
            ("0e15", None),
        ];
        for (spelling, digits) in cases {
            assert_eq!(number_digits(spelling.as_bytes()).as_deref(), digits, "{spelling}");
            assert!(digits.is_none() || may_be_spelled(spelling.as_bytes()), "{spelling}");
        }
    }

    #[test]
    fn a_part_is_at_most_half_and_less_than_all() {
        let cases = [
            ("", 4, ""),
            ("abcd", 4, "****"),
            ("abcde", 4, "***de"),
            ("abcdefgh", 4, "****efgh"),
            ("abcdefghij", 4, "******ghij"),
            ("abcdef", 0, "******"),
            ("\u{e9}\u{e8}\u{ea}\u{1f600}", 1, "***\u{1f600}"),
        ];
        for (text, keep, expect) in cases {
            assert_eq!(partial(text, keep), expect.as_bytes(), "{text} {keep}");
        }
    }

    #[test]
    fn what_is_written_reads_as_it_was() {
        let text: Vec<u8> = (0..0x80).chain("\u{e9}\u{2028}\u{1f600}".bytes()).collect();
        let mut read = Vec::new();
        let json = json_string(&text);
        assert_eq!(unescape(&json[1..json.len() - 1], &mut read), Ok(true));
        assert_eq!(read, text);
        let all: Vec<u8> = (0..=255).collect();
        let mut read = Vec::new();
        assert_eq!(unform(&form(&all), &mut read), Ok(()));
        assert_eq!(read, all);
    }
}
