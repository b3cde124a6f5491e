//! Texts that begin as JSON does and are none, though a lenient reader may take them for it.

use std::collections::BTreeSet;

use super::write;
use crate::limits::BODY_NAME_BYTES_MAX;

/// Names of members: what stands in quotes before a colon, as it reads. A template (`{{ name }}`, `{%`) is none to any reader.
pub(super) fn names(text: &[u8]) -> BTreeSet<String> {
    let blank = |b: u8| b.is_ascii_whitespace();
    let begins = text.trim_ascii_start();
    if matches!(begins, [b'{', b'{' | b'%', ..]) {
        return BTreeSet::new();
    }
    let name = |colon: usize| {
        let before = text[..colon].trim_ascii_end();
        let (quote, before) = before.split_last()?;
        let from = before.len().saturating_sub(BODY_NAME_BYTES_MAX * ESCAPE_BYTES);
        let start =
            before[from..].iter().rposition(|b| b == quote).filter(|_| matches!(quote, b'"' | b'\''))?;
        let (written, mut name) = (&before[from + start + 1..], Vec::new());
        // What has an escape of its own kind is compared as it is written.
        let read = write::unescape(written, &mut name).is_ok();
        String::from_utf8(if read { name } else { written.to_vec() }).ok()
    };
    let colons = memchr::memchr_iter(b':', text).filter(|&colon| {
        let last = text[..colon].iter().rev().take(BLANKS_MAX).find(|b| !blank(**b));
        matches!(last, Some(b'"' | b'\''))
    });
    colons.filter_map(name).collect()
}

/// `\u0061`.
const ESCAPE_BYTES: usize = 6;
/// So much white space may stand before a colon.
const BLANKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_stands_in_quotes_before_a_colon() {
        let all = |text: &str| names(text.as_bytes()).into_iter().collect::<Vec<_>>().join("|");
        assert_eq!(
            all(r#"{"a": NaN, 'b' : [{"c d"
:1}], "\u0065":2, e: "f"}"#),
            "a|b|c d|e"
        );
        assert_eq!(all(r#"{"cut":"of"#), "cut");
        for text in ["[1] see \"below\"", "{name}: x", "{{ \"a\": 1 }}", "[see: this]", "{\"a\"}", ""] {
            assert_eq!(all(text), "", "{text}");
        }
    }
}
