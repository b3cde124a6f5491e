//! Text of any origin that a person reads: what deceives the eye is written out.

/// `text` with every character that a terminal or a reader could be deceived by written as `\u{..}`: controls, bidi
/// marks and overrides, zero-width and other invisible characters, line and paragraph separators, and each blank but the
/// space, which all look like it.
pub fn visible(text: &str) -> String {
    escaped(text, deceives)
}

/// As [`visible`], but line feeds and tabs stay: for text that is shown in a block of its own.
pub fn visible_block(text: &str) -> String {
    escaped(text, |c| c != '\n' && c != '\t' && deceives(c))
}

/// As [`visible`], of a name: spaces at its ends are written out too, where nothing else shows them.
pub fn visible_name(name: &str) -> String {
    let inner = name.trim_matches(' ');
    if inner.is_empty() {
        return "\\u{20}".repeat(name.len());
    }
    let before = name.len() - name.trim_start_matches(' ').len();
    let behind = name.len() - inner.len() - before;
    ["\\u{20}".repeat(before), visible(inner), "\\u{20}".repeat(behind)].concat()
}

/// Whether a character moves the cursor, reorders text, cannot be seen, or looks like a space and is none.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || c != ' ' && c.is_whitespace()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_a_reader_is_written_out() {
        assert_eq!(visible("a\x1b[2Jb\u{202e}c\u{200b}d\ne"), "a\\u{1b}[2Jb\\u{202e}c\\u{200b}d\\u{a}e");
        assert_eq!(visible("größe 数 naïve"), "größe 数 naïve");
        assert_eq!(visible_block("a\n\tb\r\u{2066}"), "a\n\tb\\u{d}\\u{2066}");
    }

    #[test]
    fn no_blank_but_a_space_looks_like_one() {
        for c in [
            '\u{a0}', '\u{1680}', '\u{2000}', '\u{200a}', '\u{202f}', '\u{205f}', '\u{3000}', '\u{2800}',
            '\u{85}',
        ] {
            assert_eq!(visible(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
    }

    #[test]
    fn names_that_differ_look_different() {
        let names = [
            "customers",
            "customers ",
            " customers",
            "customers  ",
            "customers\u{a0}",
            "\u{2800}customers",
            " ",
        ];
        let shown: Vec<String> = names.iter().map(|name| visible_name(name)).collect();
        assert_eq!(shown[1], "customers\\u{20}");
        for (n, one) in shown.iter().enumerate() {
            assert!(shown[n + 1..].iter().all(|other| other != one && other.trim() == other), "{one}");
        }
        assert_eq!(visible_name(""), "");
    }
}
