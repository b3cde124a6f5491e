//! Bodies that come in a content coding: undone on the way in, on both legs, so that what is looked into, decided, recorded
//! and sent on is one reading (`proto_http::coding`). What goes on is identity, which every client and service reads. An
//! answer's text in windows-1252 goes on in UTF-8, in which it is looked into.

use bytes::Bytes;
use proto_http::coding::{self, Decoder};
use proto_http::frame::{Framing, Headers};
use proto_http::message::{Encoding, Request, Response, latin_in_utf8, push_latin};
use wire::RawField;

/// A body as it comes, without its codings.
pub(super) enum Undoing {
    /// It has none, or one that is not known: as it is.
    Plain(Option<Bytes>),
    Coded(Box<Decoder>),
    /// A text in windows-1252.
    Latin(Box<Undoing>),
}

impl Undoing {
    /// By what its head says.
    pub(super) fn of(encodings: &[Encoding]) -> Undoing {
        match Decoder::of(encodings) {
            Ok(Some(decoder)) => Undoing::Coded(Box::new(decoder)),
            Ok(None) | Err(_) => Undoing::Plain(None),
        }
    }

    /// The same of an answer's body.
    pub(super) fn of_answer(response: &Response) -> Undoing {
        let undoing = Undoing::of(&response.encodings);
        let latin = response.headers.get("content-type").and_then(|value| latin_in_utf8(value.as_bytes()));
        match latin {
            Some(_) if coding::check(&response.encodings).is_ok() => Undoing::Latin(Box::new(undoing)),
            Some(_) | None => undoing,
        }
    }

    /// Whether what goes on is not what came.
    pub(super) fn undoes(&self) -> bool {
        matches!(self, Undoing::Coded(_) | Undoing::Latin(_))
    }

    /// Whether it goes on in UTF-8 and did not come so.
    pub(super) fn is_latin(&self) -> bool {
        matches!(self, Undoing::Latin(_))
    }

    /// Takes a piece. Everything before it was taken by `next`.
    pub(super) fn push(&mut self, piece: Bytes) {
        match self {
            Undoing::Plain(held) => *held = Some(piece),
            Undoing::Coded(decoder) => decoder.push(&piece),
            Undoing::Latin(undoing) => undoing.push(piece),
        }
    }

    /// A piece as it goes on; `None` if another must come. Errors: why it cannot be read, a constant sentence.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, &'static str> {
        match self {
            Undoing::Plain(held) => Ok(held.take()),
            Undoing::Coded(decoder) => {
                let piece = decoder.pull().map_err(|why| why.0)?;
                Ok((!piece.is_empty()).then(|| Bytes::copy_from_slice(piece)))
            }
            Undoing::Latin(undoing) => {
                let piece = undoing.next()?;
                Ok(piece.map(|piece| if piece.is_ascii() { piece } else { in_utf8(&piece) }))
            }
        }
    }

    /// Nothing more will come. Errors: as [`Undoing::next`].
    pub(super) fn finish(&self) -> Result<(), &'static str> {
        match self {
            Undoing::Plain(_) => Ok(()),
            Undoing::Coded(decoder) => decoder.finish().map_err(|why| why.0),
            Undoing::Latin(undoing) => undoing.finish(),
        }
    }
}

fn in_utf8(latin: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(latin.len() * 2);
    push_latin(latin, &mut out);
    out.into()
}

/// A request's body as far as it was held.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    /// There is more of it.
    pub(super) more: bool,
    /// Why it cannot be read on.
    pub(super) broken: Option<&'static str>,
}

/// The request as it goes on where its body was decoded: that many bytes, or in pieces, and in no coding. Its headers stay
/// as the client sent them: they are what was asked.
pub(super) fn decoded(request: &mut Request, held: &Held) {
    request.encodings.clear();
    request.framing = match (request.framing, held.more) {
        (Framing::None, _) => Framing::None,
        (_, true) => Framing::Chunked,
        (_, false) => Framing::Length(held.bytes.len() as u64),
    };
}

/// Why a request whose body was decoded cannot go on: a field vouches for the encoded bytes, and what would arrive are
/// others. To drop the field would take from the service what the client wanted it to check.
pub(super) fn vouched(headers: &Headers) -> Option<&'static str> {
    const FIELDS: &[&str] = &[
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
        "signature-input",
        "x-amz-content-sha256",
    ];
    let has = FIELDS.iter().any(|name| headers.contains(name));
    has.then_some(
        "a digest or signature is of the encoded body, which is decoded on its way: send it in no coding",
    )
}

/// An entity tag of other bytes than these: weak. RFC 9110, 8.8.1.
pub(super) fn weak(tag: &RawField) -> RawField {
    match tag.as_bytes() {
        [b'W', b'/', ..] => tag.clone(),
        strong => RawField::new([b"W/", strong].concat().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_coding_passes_as_it_came() {
        let mut plain = Undoing::of(&[Encoding::Identity]);
        assert!(!plain.undoes() && !Undoing::of(&[Encoding::Unknown]).undoes());
        plain.push(Bytes::from_static(b"piece"));
        assert_eq!(plain.next(), Ok(Some(Bytes::from_static(b"piece"))));
        assert_eq!((plain.next(), plain.finish()), (Ok(None), Ok(())));
    }

    #[test]
    fn what_is_decoded_ends_where_its_coding_does() {
        let mut coded = Undoing::of(&[Encoding::Deflate]);
        coded.push(Bytes::from_static(b"\x01\x03\x00\xfc\xffone"));
        assert_eq!(coded.next(), Ok(Some(Bytes::from_static(b"one"))));
        assert_eq!((coded.next(), coded.finish()), (Ok(None), Ok(())));
        let mut cut = Undoing::of(&[Encoding::Gzip]);
        cut.push(Bytes::from_static(b"\x1f\x8b"));
        assert_eq!(cut.next(), Ok(None));
        assert!(cut.finish().is_err());
    }

    #[test]
    fn a_tag_becomes_weak_once() {
        for (tag, expect) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\""), ("", "W/")] {
            assert_eq!(weak(&RawField::copy_from(tag.as_bytes())).as_bytes(), expect.as_bytes());
        }
    }
}
