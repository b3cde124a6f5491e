//! Forms: `application/x-www-form-urlencoded` (WHATWG URL, 5).

use super::found::Look;
use super::window::{Kind, Window};
use super::{Unreadable, write};
use crate::limits::{BODY_FORM_PAIR_BYTES_MAX, BODY_FORM_PAIRS_MAX};

pub(super) struct Form {
    window: Window,
    /// The pair that is being read.
    pair: Vec<u8>,
    pairs: usize,
    text: Vec<u8>,
}

impl Form {
    pub(super) fn new() -> Form {
        Form { window: Window::new(), pair: Vec::new(), pairs: 0, text: Vec::new() }
    }

    pub(super) fn push(
        &mut self,
        look: &mut Look<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'&', rest);
            let piece = &rest[..end.unwrap_or(rest.len())];
            if self.pair.len() + piece.len() > BODY_FORM_PAIR_BYTES_MAX {
                return Err(Unreadable("a pair of the form is longer than 1 MiB"));
            }
            self.pair.extend_from_slice(piece);
            rest = &rest[piece.len()..];
            if end.is_some() {
                self.end_pair()?;
                self.window.push(b"&");
                self.window.settle_some(look, out);
                rest = &rest[1..];
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, look: &mut Look<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        self.end_pair()?;
        self.window.settle_all(look, out);
        Ok(())
    }

    fn end_pair(&mut self) -> Result<(), Unreadable> {
        self.pairs += 1;
        if self.pairs > BODY_FORM_PAIRS_MAX {
            return Err(Unreadable("the form has more than 1,000 pairs"));
        }
        let pair = std::mem::take(&mut self.pair);
        match memchr::memchr(b'=', &pair) {
            None => self.component(&pair),
            Some(equals) => {
                self.component(&pair[..equals])?;
                self.window.push(b"=");
                self.component(&pair[equals + 1..])
            }
        }
    }

    fn component(&mut self, raw: &[u8]) -> Result<(), Unreadable> {
        self.text.clear();
        write::unform(raw, &mut self.text)?;
        self.window.token(raw, &self.text, Kind::Form);
        Ok(())
    }
}
