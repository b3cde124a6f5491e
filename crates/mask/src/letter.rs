//! Letters as Unicode has them: what of a text beyond ASCII belongs to a word.

/// A letter or digit, or what combines with one.
pub(crate) fn is_letter(character: char) -> bool {
    character.is_alphanumeric() || combines(character)
}

/// Of the script that is written in ASCII, with its accents: what is a word of it ends before a letter of another, between which
/// nothing needs to stand.
pub(crate) fn is_latin(character: char) -> bool {
    matches!(u32::from(character), 0..=0x24f | 0x1e00..=0x1eff) || combines(character)
}

/// The character that bytes begin with, if they are UTF-8 there.
pub(crate) fn first(bytes: &[u8]) -> Option<char> {
    let length = match bytes.first()? {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    std::str::from_utf8(bytes.get(..length)?).ok()?.chars().next()
}

/// How many bytes `bytes` begin with that are ASCII or letters.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match first(&bytes[at..]) {
            Some(character) if character.is_ascii() || is_letter(character) => at += character.len_utf8(),
            Some(_) | None => break,
        }
    }
    at
}

/// Behind the last of what is neither ASCII nor a letter.
pub(crate) fn behind_last_other(bytes: &[u8]) -> usize {
    let mut at = plain(bytes);
    let mut start = 0;
    while at < bytes.len() {
        at += first(&bytes[at..]).map_or(1, char::len_utf8);
        start = at;
        at += plain(&bytes[at..]);
    }
    start
}

/// Unicode's blocks of combining marks.
fn combines(character: char) -> bool {
    matches!(u32::from(character),
        0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe20..=0xfe2f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_letter_parts_what_stands_around_it() {
        for (text, before, behind) in [
            ("jo.doe", "jo.doe", "jo.doe"),
            ("\u{201c}jo", "", "jo"),
            ("jos\u{e9}\u{2014}e\u{301}x\u{3000}zo\u{eb}", "jos\u{e9}", "zo\u{eb}"),
            ("a\u{ff1a}", "a", ""),
        ] {
            assert_eq!(&text[..plain(text.as_bytes())], before, "{text}");
            assert_eq!(&text[behind_last_other(text.as_bytes())..], behind, "{text}");
        }
        assert_eq!(
            (plain(b"a\xffb\xc3"), behind_last_other(b"a\xffb"), behind_last_other(b"\xbcb")),
            (1, 2, 1)
        );
    }
}
