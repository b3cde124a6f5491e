//! Rows and fields in a COPY stream, for scanning. A stream is cut into CopyData messages anywhere (upstream sends one
//! row a message, clients do not), so rows are put together here, with a bound. Spec: PostgreSQL 18, COPY, "File
//! Formats".

use crate::limits::*;
use crate::message::Format;
use crate::reply::Cell;
use bytes::{Buf, BufMut, BytesMut};
use memchr::{memchr2, memchr3};
use std::borrow::Cow;
use wire::{Fault, Side, kind};

/// How a COPY stream is written: what the statement's options said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Text { delimiter: u8, null: Vec<u8> },
    Csv { delimiter: u8, quote: u8, escape: u8, null: Vec<u8> },
    Binary,
}

impl Form {
    /// Text, with PostgreSQL's defaults.
    pub fn text() -> Form {
        Form::Text { delimiter: b'\t', null: b"\\N".to_vec() }
    }

    /// CSV, with PostgreSQL's defaults.
    pub fn csv() -> Form {
        Form::Csv { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new() }
    }

    /// Whether CopyIn- and CopyOutResponse must say binary.
    pub fn format(&self) -> Format {
        match self {
            Form::Binary => Format::Binary,
            Form::Text { .. } | Form::Csv { .. } => Format::Text,
        }
    }
}

/// Cuts a stream into rows.
#[derive(Clone, Debug)]
pub struct Splitter {
    form: Form,
    side: Side,
    /// The beginning of a row whose end has not come.
    pending: BytesMut,
    state: State,
    /// How far `pending` was looked at: a row that comes in small pieces is read once, not once a piece.
    seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A binary stream begins with a header.
    Header,
    Rows,
    /// The trailer of a binary stream came.
    Ended,
}

/// How far the row at hand was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Bytes of it.
    at: usize,
    /// CSV: inside of quotes.
    quoted: bool,
    /// Binary: fields still to come, once the count was seen.
    fields: Option<i16>,
}

/// What a stream is made of: every byte of it is in exactly one piece.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    Row(Row<'a>),
    /// The header or the trailer of a binary stream.
    Frame(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// As it stands in the stream.
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Piece::Row(row) => row.raw,
            Piece::Frame(raw) => raw,
        }
    }
}

/// One row as it stands in the stream, its line end included. In text and CSV, the `\.` that may end a stream is
/// given as a row: servers differ in whether it ends anything.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    form: &'a Form,
    raw: &'a [u8],
}

impl Splitter {
    /// `side` is whose stream it is: Client for COPY FROM STDIN, Upstream for COPY TO STDOUT.
    pub fn new(form: Form, side: Side) -> Splitter {
        let state = if form == Form::Binary { State::Header } else { State::Rows };
        Splitter { form, side, pending: BytesMut::new(), state, seen: Seen::default() }
    }

    /// Takes one CopyData and gives each piece that it completes.
    ///
    /// Errors (on the stream's side): `TOO_LARGE` for a row above [`COPY_ROW_BYTES_MAX`]; `BAD_VALUE` for a binary
    /// stream that is none, and for data behind its trailer.
    pub fn push(&mut self, data: &[u8], mut on_piece: impl FnMut(Piece<'_>)) -> Result<(), Fault> {
        if self.pending.is_empty() {
            let used = self.rows(data, &mut on_piece)?;
            return self.keep(data.get(used..).unwrap_or_default());
        }
        self.keep(data)?;
        let mut pending = std::mem::take(&mut self.pending);
        let used = self.rows(&pending, &mut on_piece)?;
        pending.advance(used);
        self.pending = pending;
        Ok(())
    }

    /// The stream is over: a last row without a line end is a row too. Errors: a binary row that is cut off.
    pub fn finish(&mut self, mut on_piece: impl FnMut(Piece<'_>)) -> Result<(), Fault> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        if self.form == Form::Binary {
            return Err(self.fault(kind::TRUNCATED, "a binary COPY stream is cut off"));
        }
        on_piece(Piece::Row(Row { form: &self.form, raw: &pending }));
        Ok(())
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), Fault> {
        if self.pending.len() + rest.len() > COPY_ROW_BYTES_MAX {
            return Err(self.fault(kind::TOO_LARGE, "a row of COPY is larger than the gateway accepts"));
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Gives all whole pieces of `data`; returns how many bytes they are.
    fn rows(&mut self, data: &[u8], on_piece: &mut impl FnMut(Piece<'_>)) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let rest = data.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(used);
            }
            let Some(length) = self.item_len(rest)? else { return Ok(used) };
            self.seen = Seen::default();
            on_piece(self.piece(rest.get(..length).unwrap_or_default()));
            used += length;
        }
    }

    fn piece<'p>(&'p mut self, raw: &'p [u8]) -> Piece<'p> {
        match self.state {
            State::Header => self.state = State::Rows,
            State::Rows if self.form == Form::Binary && raw == END_OF_BINARY => self.state = State::Ended,
            State::Rows | State::Ended => return Piece::Row(Row { form: &self.form, raw }),
        }
        Piece::Frame(raw)
    }

    /// Bytes of the header or row that `data` begins with, if it is whole.
    fn item_len(&mut self, data: &[u8]) -> Result<Option<usize>, Fault> {
        let seen = &mut self.seen;
        let length = match (self.state, &self.form) {
            (State::Header, _) => header(data),
            (State::Ended, _) => Err("data behind the end of a binary COPY stream"),
            (State::Rows, Form::Text { .. }) => Ok(text_row_len(data, seen)),
            (State::Rows, Form::Csv { quote, escape, .. }) => Ok(csv_row_len(data, *quote, *escape, seen)),
            (State::Rows, Form::Binary) => binary_row_len(data, seen),
        };
        length.map_err(|outward| self.fault(kind::BAD_VALUE, outward))
    }

    fn fault(&self, kind: &'static str, outward: &'static str) -> Fault {
        Fault::new(self.side, kind, outward, "COPY stream")
    }
}

impl<'a> Row<'a> {
    /// The row as it stands in the stream.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The values, decoded (escapes and quotes taken off); `None` is NULL. A binary value stays binary.
    pub fn fields(&self) -> Vec<Option<Cow<'a, [u8]>>> {
        let decode = |raw: &'a [u8]| match self.form {
            Form::Text { null, .. } => (raw != null).then(|| unescape(raw)),
            Form::Csv { quote, escape, null, .. } => (raw != null).then(|| unquote(raw, *quote, *escape)),
            Form::Binary => binary_value(raw).map(Cow::Borrowed),
        };
        self.raw_fields().into_iter().map(decode).collect()
    }

    /// Appends this row with some fields replaced; `replace` sees each field once, decoded. What is kept is kept byte
    /// for byte, and so is the line end. A replacement in a binary stream must be in its type's binary form.
    pub fn rebuild(&self, out: &mut BytesMut, mut replace: impl FnMut(usize, Option<&[u8]>) -> Cell) {
        let raw = self.raw_fields();
        let end = if let Form::Binary = self.form {
            out.put_slice(self.raw.get(..2).unwrap_or_default());
            &[][..]
        } else {
            self.raw.get(trim_line_end(self.raw).len()..).unwrap_or_default()
        };
        for (index, (raw, value)) in raw.into_iter().zip(self.fields()).enumerate() {
            if let (Form::Text { delimiter, .. } | Form::Csv { delimiter, .. }, 1..) = (self.form, index) {
                out.put_u8(*delimiter);
            }
            match replace(index, value.as_deref()) {
                Cell::Keep => out.put_slice(raw),
                Cell::Null => self.put(out, None),
                Cell::Value(value) => self.put(out, Some(value.as_bytes())),
            }
        }
        out.put_slice(end);
    }

    /// The fields as they stand in the row, without delimiters. A binary field has its length before it.
    fn raw_fields(&self) -> Vec<&'a [u8]> {
        match self.form {
            Form::Text { delimiter, .. } => text_fields(trim_line_end(self.raw), *delimiter),
            Form::Csv { delimiter, quote, escape, .. } => {
                csv_fields(trim_line_end(self.raw), *delimiter, *quote, *escape)
            }
            Form::Binary => binary_fields(self.raw),
        }
    }

    fn put(&self, out: &mut BytesMut, value: Option<&[u8]>) {
        match (self.form, value) {
            (Form::Text { null, .. } | Form::Csv { null, .. }, None) => out.put_slice(null),
            (Form::Text { delimiter, .. }, Some(value)) => escape(out, value, *delimiter),
            (Form::Csv { quote, escape, .. }, Some(value)) => enquote(out, value, *quote, *escape),
            (Form::Binary, None) => out.put_i32(-1),
            (Form::Binary, Some(value)) => {
                // A value comes out of a frame, which is below 2 GiB.
                out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
                out.put_slice(value);
            }
        }
    }
}

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
const END_OF_BINARY: [u8; 2] = [0xff, 0xff];

/// Bytes of the header, if it is whole; `Err` if it is none.
fn header(data: &[u8]) -> Result<Option<usize>, &'static str> {
    const NONE: &str = "not a binary COPY stream";
    let seen = data.len().min(SIGNATURE.len());
    if data.get(..seen) != SIGNATURE.get(..seen) {
        return Err(NONE);
    }
    let Some(extension) = data.get(HEADER_BYTES - 4..).and_then(<[u8]>::first_chunk::<4>) else {
        return Ok(None);
    };
    let extension = usize::try_from(i32::from_be_bytes(*extension)).map_err(|_| NONE)?;
    if extension > COPY_ROW_BYTES_MAX - HEADER_BYTES {
        return Err(NONE);
    }
    Ok((data.len() >= HEADER_BYTES + extension).then_some(HEADER_BYTES + extension))
}

fn binary_row_len(data: &[u8], seen: &mut Seen) -> Result<Option<usize>, &'static str> {
    let mut left = match (seen.fields, data.first_chunk::<2>()) {
        (Some(left), _) => left,
        (None, Some(count)) => {
            seen.at = 2;
            i16::from_be_bytes(*count)
        }
        (None, None) => return Ok(None),
    };
    if left < -1 {
        return Err("a binary COPY row has a negative number of fields");
    }
    while left > 0 {
        seen.fields = Some(left);
        let Some(length) = data.get(seen.at..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
        let length = match i32::from_be_bytes(*length) {
            -1 => 0,
            length => {
                usize::try_from(length).map_err(|_| "a field of a binary COPY row has a negative length")?
            }
        };
        if data.len() - seen.at - 4 < length {
            return Ok(None);
        }
        seen.at += 4 + length;
        left -= 1;
    }
    Ok(Some(seen.at))
}

/// `binary_row_len` has seen that every field is there.
fn binary_fields(raw: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut rest = raw.get(2..).unwrap_or_default();
    while let Some(length) = rest.first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let (field, behind) = rest.split_at_checked(4 + length).unwrap_or((rest, &[]));
        fields.push(field);
        rest = behind;
    }
    fields
}

/// The value behind its length, if it is not NULL.
fn binary_value(field: &[u8]) -> Option<&[u8]> {
    let (length, value) = field.split_first_chunk::<4>()?;
    (i32::from_be_bytes(*length) >= 0).then_some(value)
}

/// A row ends at a line end that no backslash stands before. `\r\n` is one line end.
fn text_row_len(data: &[u8], seen: &mut Seen) -> Option<usize> {
    loop {
        let Some(step) = memchr3(b'\\', b'\n', b'\r', data.get(seen.at..)?) else {
            seen.at = data.len();
            return None;
        };
        seen.at += step;
        if data.get(seen.at) != Some(&b'\\') {
            return line_end(data, seen.at);
        }
        // What stands behind the backslash must be there, or it would be read as if nothing stood before it.
        data.get(seen.at + 1)?;
        seen.at += 2;
    }
}

/// A row ends at a line end outside of quotes. A doubled quote closes and opens again.
fn csv_row_len(data: &[u8], quote: u8, escape: u8, seen: &mut Seen) -> Option<usize> {
    loop {
        let rest = data.get(seen.at..)?;
        let step =
            if seen.quoted { memchr2(quote, escape, rest) } else { memchr3(quote, b'\n', b'\r', rest) };
        let Some(step) = step else {
            seen.at = data.len();
            return None;
        };
        seen.at += step;
        match *data.get(seen.at)? {
            byte if byte == quote => {
                seen.quoted = !seen.quoted;
                seen.at += 1;
            }
            _ if seen.quoted => {
                data.get(seen.at + 1)?;
                seen.at += 2;
            }
            _ => return line_end(data, seen.at),
        }
    }
}

/// The place behind the line end at `at`, if it can be known: a `\r` at the end of the data may be half of one.
fn line_end(data: &[u8], at: usize) -> Option<usize> {
    match (data.get(at)?, data.get(at + 1)) {
        (b'\r', Some(b'\n')) => Some(at + 2),
        (b'\r', None) => None,
        _ => Some(at + 1),
    }
}

fn trim_line_end(raw: &[u8]) -> &[u8] {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    raw.strip_suffix(b"\r").unwrap_or(raw)
}

fn text_fields(row: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut at = 0;
    loop {
        let step = row.get(at..).and_then(|rest| memchr2(delimiter, b'\\', rest));
        let stop = step.map_or(row.len(), |step| at + step);
        if row.get(stop) == Some(&b'\\') {
            at = (stop + 2).min(row.len());
            continue;
        }
        fields.push(row.get(start..stop).unwrap_or_default());
        if stop == row.len() {
            return fields;
        }
        start = stop + 1;
        at = start;
    }
}

/// Writes a value in text form.
fn escape(out: &mut BytesMut, value: &[u8], delimiter: u8) {
    for &byte in value {
        match byte {
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            byte if byte == b'\\' || byte == delimiter => out.put_slice(&[b'\\', byte]),
            byte => out.put_u8(byte),
        }
    }
}

/// Takes the backslashes off a value in text form.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&escaped, behind)) = rest.split_first() else {
            out.push(byte);
            break;
        };
        rest = behind;
        match escaped {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => rest = numeric(&mut out, u32::from(escaped - b'0'), rest, 8, 2),
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
                rest = numeric(&mut out, 0, rest, 16, 2)
            }
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// A byte written in digits: at most `digits` more of them.
fn numeric<'a>(out: &mut Vec<u8>, mut value: u32, mut rest: &'a [u8], radix: u32, digits: usize) -> &'a [u8] {
    for _ in 0..digits {
        let Some((&byte, behind)) = rest.split_first() else { break };
        let Some(digit) = char::from(byte).to_digit(radix) else { break };
        value = value * radix + digit;
        rest = behind;
    }
    // PostgreSQL keeps the low eight bits of \777 too.
    out.push((value & 0xff) as u8);
    rest
}

fn csv_fields(row: &[u8], delimiter: u8, quote: u8, escape: u8) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let mut quoted = false;
    while let Some(step) = memchr3(delimiter, quote, escape, row.get(at..).unwrap_or_default()) {
        at += step;
        match row.get(at) {
            Some(byte) if *byte == quote => quoted = !quoted,
            Some(byte) if *byte == delimiter && !quoted => {
                fields.push(row.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            // The escaped byte is no quote.
            Some(byte) if *byte == escape && quoted => at += 1,
            _ => {}
        }
        at = (at + 1).min(row.len());
    }
    fields.push(row.get(start..).unwrap_or_default());
    fields
}

/// Takes quotes and escapes off a CSV field.
fn unquote(raw: &[u8], quote: u8, escape: u8) -> Cow<'_, [u8]> {
    if !raw.contains(&quote) {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut quoted = false;
    let mut rest = raw;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let next = rest.first().copied().filter(|next| *next == quote || *next == escape);
        match next {
            Some(next) if quoted && byte == escape => {
                out.push(next);
                rest = rest.get(1..).unwrap_or_default();
            }
            _ if byte == quote => quoted = !quoted,
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// Writes a value in CSV, always in quotes: then no value can be read as NULL or as several.
fn enquote(out: &mut BytesMut, value: &[u8], quote: u8, escape: u8) {
    out.put_u8(quote);
    for &byte in value {
        if byte == quote || byte == escape {
            out.put_u8(escape);
        }
        out.put_u8(byte);
    }
    out.put_u8(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row that comes in many pieces is looked at once, or a client could make us read 64 MiB for each 8 KiB.
    #[test]
    fn what_was_seen_of_a_row_is_not_read_again() {
        let field = [&[0, 2, 0, 0, 0, 200][..], &[7; 200], &[0, 0, 0, 200]].concat();
        for (form, stream) in [
            (Form::text(), b"a\\\nb\t".repeat(100)),
            (Form::csv(), b"a,\"b\n\"\"\",".repeat(100)),
            (Form::Binary, [&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..], &field].concat()),
        ] {
            let binary = form == Form::Binary;
            let mut splitter = Splitter::new(form, Side::Client);
            for piece in stream.chunks(7) {
                splitter.push(piece, |piece| assert!(matches!(piece, Piece::Frame(_)))).unwrap();
                let unread = splitter.pending.len() - splitter.seen.at;
                assert!(unread <= if binary { 204 } else { 1 }, "{unread} bytes would be read again");
            }
        }
    }
}
