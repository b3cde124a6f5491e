//! Blocks of headers: compressed by one zlib stream for each direction, which begins with SPDY's dictionary. Spec:
//! draft-mbelshe-httpbis-spdy-00, 2.6.10; RFC 1950, RFC 1951.
//!
//! Ours are stored, not compressed: they are short, few, and have nothing that compression could give away (CRIME).

use crate::fault::{self as why, Reason};
use crate::limits::{HEADER_BLOCK_BYTES_MAX, HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, HEADERS_MAX};
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};
use std::sync::LazyLock;
use wire::{Fault, Reader, Side};

/// Names, which are in lower case and differ, and a value each.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

/// Values are not shown.
impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Headers({})", self.0.len())
    }
}

/// Undoes the compression of one direction's blocks.
pub(super) struct Inflater {
    /// `None` before the first block.
    stream: Option<Decompress>,
}

/// Writes the blocks of one direction.
#[derive(Debug, Default)]
pub(super) struct Deflater {
    begun: bool,
}

/// The dictionary's Adler-32, which a stream names it by.
const DICTIONARY_ID: [u8; 4] = [0xe3, 0xc6, 0xa7, 0xc2];

/// Words of the dictionary, each behind its length.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges \
    age allow authorization cache-control connection content-base content-encoding content-language content-length \
    content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status";
const MORE_WORDS: [&str; 8] =
    ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"];
/// The rest of it, without lengths.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 \
    Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not \
    Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov \
    Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,\
    application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-\
    1,utf-,*,enq=0.";

/// The dictionary, 1,423 bytes.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    for word in WORDS.split(' ').chain(MORE_WORDS) {
        bytes.put_u32(word.len() as u32);
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(TAIL.as_bytes());
    bytes
});

/// What a flush ends with: an empty stored block's lengths (RFC 1951, 3.2.4).
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

impl Headers {
    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Reads a block: a count, then names and values behind their lengths. Errors: as [`Reader`]; more than [`HEADERS_MAX`],
    /// a name twice, no name, several values.
    pub(super) fn parse(block: &Bytes, side: Side) -> Result<Headers, Fault> {
        let mut reader = Reader::new(block, side, "spdy: headers");
        let count = reader.u32()?;
        if count > HEADERS_MAX {
            return Err(why::TOO_MANY_HEADERS.on(side));
        }
        let mut headers = Headers::default();
        for _ in 0..count {
            let name = text(&mut reader, HEADER_NAME_BYTES_MAX, side)?;
            let value = text(&mut reader, HEADER_VALUE_BYTES_MAX, side)?;
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || !name.bytes().all(plain) || headers.get(&name).is_some() {
                return Err(why::BAD_HEADER.on(side));
            }
            headers.0.push((name, value));
        }
        reader.finish()?;
        Ok(headers)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(self.0.len() as u32);
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            out.put_u32(text.len() as u32);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Graphic ASCII and spaces, at most `max` bytes: a zero would be between two values.
fn text(reader: &mut Reader<'_>, max: usize, side: Side) -> Result<String, Fault> {
    let len = reader.u32()? as usize;
    if len > max {
        return Err(why::HEADER_TOO_LONG.on(side));
    }
    let bytes = reader.slice(len)?;
    match std::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(why::BAD_HEADER.on(side)),
    }
}

impl Inflater {
    pub(super) fn new() -> Inflater {
        Inflater { stream: None }
    }

    /// The block that `bytes` are, each of which must be one flush. Errors: no zlib, another dictionary, the stream's end, a
    /// block that is not flushed, more than [`HEADER_BLOCK_BYTES_MAX`] bytes.
    pub(super) fn block(&mut self, bytes: &[u8]) -> Result<Bytes, Reason> {
        if !bytes.ends_with(&FLUSHED) {
            return Err(why::BAD_COMPRESSION);
        }
        match &mut self.stream {
            Some(stream) => inflate(stream, bytes),
            None => {
                let (stream, rest) = begin(bytes)?;
                inflate(self.stream.insert(stream), rest)
            }
        }
    }
}

/// Reads zlib's two bytes and the dictionary's name. The dictionary is given to the window as a stored block of its own.
fn begin(bytes: &[u8]) -> Result<(Decompress, &[u8]), Reason> {
    let [method, flags, rest @ ..] = bytes else { return Err(why::BAD_COMPRESSION) };
    let checked = (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0;
    if method & 0x0f != 8 || method >> 4 > 7 || !checked {
        return Err(why::BAD_COMPRESSION);
    }
    let mut stream = Decompress::new(false);
    if flags & 0x20 == 0 {
        return Ok((stream, rest));
    }
    let rest = rest.strip_prefix(&DICTIONARY_ID).ok_or(why::BAD_COMPRESSION)?;
    let mut block = Vec::new();
    stored(&mut block, &DICTIONARY);
    inflate(&mut stream, &block)?;
    Ok((stream, rest))
}

fn inflate(stream: &mut Decompress, bytes: &[u8]) -> Result<Bytes, Reason> {
    let mut block = Vec::with_capacity(HEADER_BLOCK_BYTES_MAX + 1);
    let mut rest = bytes;
    loop {
        let before = (stream.total_in(), stream.total_out());
        let status = stream.decompress_vec(rest, &mut block, FlushDecompress::None);
        let taken = usize::try_from(stream.total_in() - before.0).unwrap_or(usize::MAX);
        rest = rest.get(taken..).ok_or(why::BAD_COMPRESSION)?;
        match status {
            Ok(_) if block.len() > HEADER_BLOCK_BYTES_MAX => return Err(why::HEADERS_TOO_LARGE),
            Ok(Status::Ok | Status::BufError) if rest.is_empty() => return Ok(block.into()),
            Ok(Status::Ok) if stream.total_out() > before.1 || taken > 0 => {}
            Ok(Status::Ok | Status::BufError | Status::StreamEnd) | Err(_) => {
                return Err(why::BAD_COMPRESSION);
            }
        }
    }
}

impl Deflater {
    /// Appends a block, stored and flushed.
    pub(super) fn block(&mut self, out: &mut BytesMut, headers: &Headers) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&[0x78, 0x01]);
        }
        let (mut plain, mut block) = (Vec::new(), Vec::new());
        headers.write(&mut plain);
        for piece in plain.chunks(usize::from(u16::MAX)) {
            stored(&mut block, piece);
        }
        // Go's reader gives out what it has when the empty block of a flush comes.
        stored(&mut block, &[]);
        out.extend_from_slice(&block);
    }
}

/// A stored block that is not the last (RFC 1951, 3.2.4), of at most 65,535 bytes.
fn stored(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = bytes.len() as u16;
    out.put_u8(0);
    out.put_u16_le(len);
    out.put_u16_le(!len);
    out.extend_from_slice(bytes);
}
