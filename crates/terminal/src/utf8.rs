//! Bytes to text, wherever they were cut.

/// Joins the pieces of a stream into text.
///
/// A character that was cut waits for its rest: at most three bytes. What is no UTF-8 is shown as U+FFFD, one for each
/// maximal part of a character (Unicode 3.9, U+FFFD substitution), as terminals do. This loses what the bytes were; whoever needs them has the record.
#[derive(Clone, Debug, Default)]
pub struct Utf8 {
    begun: Vec<u8>,
}

impl Utf8 {
    pub fn new() -> Utf8 {
        Utf8::default()
    }

    /// The text of `piece`, behind the rest of the character that the last piece began.
    pub fn push(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(piece);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let bad = chunk.invalid();
            if chunks.peek().is_none() && goes_on(bad) {
                self.begun = bad.to_vec();
            } else if !bad.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// What is left when the stream ends: a character that nobody ended.
    pub fn finish(&mut self) -> String {
        match std::mem::take(&mut self.begun).is_empty() {
            true => String::new(),
            false => char::REPLACEMENT_CHARACTER.to_string(),
        }
    }
}

/// Whether more bytes could make a character of it.
fn goes_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_wherever_it_is_cut() {
        let whole = b"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9 \xff\xc3(\xe2\x82 \xf0\x9f\x92\xed\xa0\x80\xc0\x80 z\xe2\x82";
        let expected = String::from_utf8_lossy(whole).into_owned();
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let mut utf8 = Utf8::new();
                let mut text = utf8.push(&whole[..first]);
                text += &utf8.push(&whole[first..second]);
                assert!(utf8.begun.len() <= 3);
                text += &utf8.push(&whole[second..]);
                text += &utf8.finish();
                assert_eq!(text, expected, "cut at {first} and {second}");
                assert_eq!(utf8.finish(), "", "what is finished is not told twice");
            }
        }
    }
}
