//! Texts that begin as JSON does and are none, though a lenient reader may take them for it.

use std::collections::BTreeSet;

use super::write;
use crate::limits::BODY_NAME_BYTES_MAX;

/// What stands behind what readers take off before they read JSON: marks of byte order and blanks of any kind, comments, a
/// line that keeps a script from reading it, the call of a script's function, the field of an event and the fence of a text in
/// Markdown. `None`: there is nothing of it, or it is no JSON that stands behind.
pub(super) fn undressed(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    for _ in 0..DRESSED_MAX {
        rest = match rest {
            [b'{' | b'[', ..] => return (rest.len() < text.len()).then_some(rest),
            [b'/', b'/', ..] | [b'#', ..] | [b'`', b'`', b'`', ..] | [b'~', b'~', b'~', ..] => {
                behind(rest, b"\n")?
            }
            [b'/', b'*', ..] => behind(rest.get(2..)?, b"*/")?,
            [b')', b']', b'}', b'\'', end @ ..] => end.strip_prefix(b",").unwrap_or(end),
            [b'd', b'a', b't', b'a', b':', end @ ..] => end,
            [b'(' | b';', end @ ..] => end,
            [first, ..] if first.is_ascii_graphic() => called(rest)?,
            _ => Some(unblanked(rest)).filter(|end| end.len() < rest.len())?,
        };
    }
    None
}

fn behind<'t>(text: &'t [u8], end: &[u8]) -> Option<&'t [u8]> {
    memchr::memmem::find(text, end).map(|at| &text[at + end.len()..])
}

/// Without white space of Unicode's and marks of byte order at its beginning.
fn unblanked(text: &[u8]) -> &[u8] {
    let first = &text[..text.len().min(BLANKS_MAX)];
    let first = first.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let end = first.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'));
    &text[first.len() - end.len()..]
}

/// Behind the name of a function, at its bracket.
fn called(text: &[u8]) -> Option<&[u8]> {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.');
    let name = text.iter().take(BODY_NAME_BYTES_MAX).take_while(|b| is_name(b)).count();
    let rest = text.get(name..).filter(|_| name > 0)?.trim_ascii_start();
    rest.starts_with(b"(").then_some(rest)
}

/// Names of members: what stands in quotes before a colon, or an equals sign, as it reads. A template (`{{ name }}`, `{%`) is none to any
/// reader.
pub(super) fn names(text: &[u8]) -> BTreeSet<String> {
    let begins = text.trim_ascii_start();
    if matches!(begins, [b'{', b'{' | b'%', ..]) {
        return BTreeSet::new();
    }
    let name = |colon: usize| {
        let before = named_before(&text[..colon]);
        let (quote, before) = before.split_last()?;
        let from = before.len().saturating_sub(BODY_NAME_BYTES_MAX * ESCAPE_BYTES);
        let start =
            before[from..].iter().rposition(|b| b == quote).filter(|_| matches!(quote, b'"' | b'\''))?;
        let (written, mut name) = (&before[from + start + 1..], Vec::new());
        // What has an escape of its own kind is compared as it is written.
        let read = write::unescape(written, &mut name).is_ok();
        String::from_utf8(if read { name } else { written.to_vec() }).ok()
    };
    let colons = memchr::memchr2_iter(b':', b'=', text);
    colons
        .filter(|&colon| matches!(named_before(&text[..colon]).last(), Some(b'"' | b'\'')))
        .filter_map(name)
        .collect()
}

/// Without the white space and the comments at its end, of which so much is looked at.
fn named_before(text: &[u8]) -> &[u8] {
    let from = text.len().saturating_sub(BLANKS_MAX);
    let mut end = text.len();
    while let Some(within) = text.get(from..end) {
        let last = within.trim_ascii_end();
        end = from + last.len();
        // A comment ends here, or stood in the line that ends here.
        let begins = match last.strip_suffix(b"*/") {
            Some(comment) => memchr::memmem::rfind(comment, b"/*"),
            None if matches!(last.last(), Some(b'"' | b'\'')) => None,
            None => {
                let line = last.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                let is_over = within.get(last.len()..).is_some_and(|blanks| blanks.contains(&b'\n'));
                memchr::memmem::find(&last[line..], b"//").filter(|_| is_over).map(|at| line + at)
            }
        };
        match begins {
            Some(begins) => end = from + begins,
            None => break,
        }
    }
    &text[..end]
}

/// `\u0061`.
const ESCAPE_BYTES: usize = 6;
/// So much white space, with comments, may stand before a colon.
const BLANKS_MAX: usize = 256;
/// Of what stands before JSON, so many pieces.
const DRESSED_MAX: usize = 16;

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
        assert_eq!(
            all("{\"a\" /* b */ : 1, \"c\" // d\n: 2, \"e\"=>3, 'f' = 4, \"g\" /*h*/ /**/\t:5}"),
            "a|c|e|f|g"
        );
        for text in ["[1] see \"below\"", "{name}: x", "{{ \"a\": 1 }}", "[see: this]", "{\"a\"}", ""] {
            assert_eq!(all(text), "", "{text}");
        }
    }

    #[test]
    fn what_readers_take_off_before_json_is_taken_off() {
        for before in [
            "\u{feff}\u{feff}",
            "\u{a0}",
            " \u{2003}\n",
            "// c\n",
            "/* c */ ",
            "# c\n",
            ")]}'\n",
            ")]}',\n",
            "callback(",
            "/**/ jQuery.cb_1 (",
            "```json\n",
            "~~~\n",
            "data: ",
        ] {
            let text = format!("{before}{{\"a\":1}}");
            assert_eq!(undressed(text.as_bytes()), Some(&b"{\"a\":1}"[..]), "{before:?}");
        }
        for text in
            ["{}", "", "see {\"a\":1}", "f(x) {", "data", "// no end {", "a: {}", "```", "f({", "(", ";;;;"]
        {
            let expect = if text == "f({" { Some(&b"{"[..]) } else { None };
            assert_eq!(undressed(text.as_bytes()), expect, "{text:?}");
        }
    }
}
