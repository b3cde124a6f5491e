//! Results as fields: errors and notices, row descriptions, rows, command tags. What stands in them is upstream's
//! and raw until `mask` has seen it.

use crate::frame::{self, tag};
use crate::limits::*;
use crate::message::{self, Format};
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use wire::{Fault, RawField, Reader, Side, Writer, kind};

/// The fields of an ErrorResponse or NoticeResponse, in the order sent. Spec: PostgreSQL 18, 54.8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(u8, RawField)>);

impl Fields {
    /// An error or notice of our own. `severity` is one of PostgreSQL's words (`ERROR`, `FATAL`, `NOTICE`, ...).
    pub fn new(severity: &'static str, sqlstate: &'static str, message: impl Into<Bytes>) -> Fields {
        Fields::default()
            .with(field::SEVERITY, severity.as_bytes())
            .with(field::SEVERITY_FIXED, severity.as_bytes())
            .with(field::SQLSTATE, sqlstate.as_bytes())
            .with(field::MESSAGE, message)
    }

    /// Adds a field at the end.
    pub fn with(mut self, code: u8, value: impl Into<Bytes>) -> Fields {
        self.0.push((code, RawField::new(value.into())));
        self
    }

    /// Errors (side: upstream): as [`Reader`]'s; `TOO_MANY`; `BAD_VALUE` for a field that comes twice.
    pub fn decode(body: &Bytes, what: &'static str) -> Result<Fields, Fault> {
        let mut r = Reader::new(body, Side::Upstream, what);
        let mut fields: Vec<(u8, RawField)> = Vec::new();
        loop {
            let code = r.u8()?;
            if code == 0 {
                break;
            }
            if fields.len() == ERROR_FIELDS_MAX {
                return Err(r.fault(kind::TOO_MANY, "too many fields"));
            }
            if fields.iter().any(|(c, _)| *c == code) {
                return Err(r.fault(kind::BAD_VALUE, "a field comes twice"));
            }
            fields.push((code, r.cstr()?.into()));
        }
        r.finish()?;
        Ok(Fields(fields))
    }

    /// The body of the message, for [`message::FromUpstream`].
    pub(crate) fn put(&self, w: &mut Writer<'_>) {
        for (code, value) in &self.0 {
            if *code == 0 {
                w.fail(kind::BAD_VALUE, "a field with code zero");
            }
            w.u8(*code);
            w.cstr(value.as_bytes());
        }
        w.u8(0);
    }

    /// The field with this code (see [`field`]).
    pub fn get(&self, code: u8) -> Option<&RawField> {
        self.0.iter().find(|(c, _)| *c == code).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u8, &RawField)> {
        self.0.iter().map(|(code, value)| (*code, value))
    }

    /// The five letters and digits of the SQLSTATE, if upstream sent one that is well formed.
    pub fn sqlstate(&self) -> Option<[u8; 5]> {
        let code: [u8; 5] = self.get(field::SQLSTATE)?.as_bytes().try_into().ok()?;
        code.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()).then_some(code)
    }

    /// The severity that is never translated, or the one that may be.
    pub fn severity(&self) -> Option<&RawField> {
        self.get(field::SEVERITY_FIXED).or_else(|| self.get(field::SEVERITY))
    }

    /// Whether this error ends the connection.
    pub fn is_fatal(&self) -> bool {
        self.severity().is_some_and(|s| matches!(s.as_bytes(), b"FATAL" | b"PANIC"))
    }
}

/// Codes of the fields of an error or notice.
pub mod field {
    pub const SEVERITY: u8 = b'S';
    pub const SEVERITY_FIXED: u8 = b'V';
    pub const SQLSTATE: u8 = b'C';
    pub const MESSAGE: u8 = b'M';
    pub const DETAIL: u8 = b'D';
    pub const HINT: u8 = b'H';
    pub const POSITION: u8 = b'P';
    pub const INTERNAL_POSITION: u8 = b'p';
    pub const INTERNAL_QUERY: u8 = b'q';
    pub const WHERE: u8 = b'W';
    pub const SCHEMA: u8 = b's';
    pub const TABLE: u8 = b't';
    pub const COLUMN: u8 = b'c';
    pub const DATA_TYPE: u8 = b'd';
    pub const CONSTRAINT: u8 = b'n';
    pub const FILE: u8 = b'F';
    pub const LINE: u8 = b'L';
    pub const ROUTINE: u8 = b'R';
}

/// The columns of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowDescription {
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: RawField,
    /// The relation that the column is read from, or 0. Nothing to lean on: it is lost behind any expression.
    pub table: u32,
    /// The attribute number in that relation, or 0.
    pub attribute: i16,
    pub type_oid: u32,
    pub type_size: i16,
    pub type_modifier: i32,
    /// Text in the answer to a Describe of a statement, whatever Bind will ask.
    pub format: Format,
}

impl RowDescription {
    /// Errors (side: upstream): as [`Reader`]'s; `TOO_MANY` above [`COLUMNS_MAX`]; `BAD_VALUE` for a format.
    pub fn decode(body: &Bytes) -> Result<RowDescription, Fault> {
        let mut r = Reader::new(body, Side::Upstream, "RowDescription");
        let count = columns(&mut r)?;
        let columns = (0..count).map(|_| column(&mut r)).collect::<Result<_, _>>()?;
        r.finish()?;
        Ok(RowDescription { columns })
    }

    /// The body of the message, for [`message::FromUpstream`].
    pub(crate) fn put(&self, w: &mut Writer<'_>) {
        w.count(self.columns.len());
        for column in &self.columns {
            w.cstr(column.name.as_bytes());
            w.u32(column.table);
            w.i16(column.attribute);
            w.u32(column.type_oid);
            w.i16(column.type_size);
            w.i32(column.type_modifier);
            w.u16(column.format.code());
        }
    }
}

/// One row of a result. Decoding checks the whole structure once; walking it afterwards allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRow {
    columns: u16,
    /// Everything behind the count.
    cells: RawField,
}

/// What becomes of one cell in [`DataRow::rebuild`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Keep,
    Null,
    Value(RawField),
}

impl DataRow {
    /// Errors (side: upstream): as [`Reader`]'s; `TOO_MANY` above [`COLUMNS_MAX`]; `BAD_LENGTH` for a negative length
    /// other than -1.
    pub fn decode(body: &Bytes) -> Result<DataRow, Fault> {
        let mut r = Reader::new(body, Side::Upstream, "DataRow");
        let columns = columns(&mut r)?;
        for _ in 0..columns {
            match r.i32()? {
                -1 => {}
                length => {
                    let length = usize::try_from(length)
                        .map_err(|_| r.fault(kind::BAD_LENGTH, "a negative length"))?;
                    r.slice(length)?;
                }
            }
        }
        r.finish()?;
        Ok(DataRow { columns, cells: body.slice(2..).into() })
    }

    /// A row of our own. Errors (side: gateway): more than 65,535 cells, a cell of 2 GiB.
    pub fn build<'a>(cells: impl IntoIterator<Item = Option<&'a [u8]>>) -> Result<DataRow, Fault> {
        let mut out = BytesMut::new();
        let mut columns = 0usize;
        let mut w = Writer::new(&mut out, "DataRow");
        for cell in cells {
            columns += 1;
            put_cell(&mut w, cell);
        }
        let count = u16::try_from(columns).unwrap_or_else(|_| {
            w.fail(kind::TOO_MANY, "more than 65535 cells");
            0
        });
        w.finish()?;
        Ok(DataRow { columns: count, cells: out.freeze().into() })
    }

    pub fn columns(&self) -> usize {
        usize::from(self.columns)
    }

    /// Bytes of all cells, lengths included.
    pub fn byte_len(&self) -> usize {
        self.cells.len()
    }

    /// The cells, borrowed; `None` is SQL NULL.
    pub fn cells(&self) -> Cells<'_> {
        Cells { left: self.columns, rest: self.cells.as_bytes() }
    }

    /// The cells, each sharing the row's memory.
    pub fn fields(&self) -> impl Iterator<Item = Option<RawField>> {
        let bytes = self.cells.to_bytes();
        self.cells().map(move |cell| cell.map(|cell| bytes.slice_ref(cell).into()))
    }

    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Fault> {
        frame::write(out, tag::DATA_ROW, "DataRow", |w| {
            w.u16(self.columns);
            w.bytes(self.cells.as_bytes());
        })
    }

    /// Appends this row as a frame, with some cells replaced. `replace` sees each cell once, in order.
    pub fn rebuild(
        &self,
        out: &mut BytesMut,
        mut replace: impl FnMut(usize, Option<&[u8]>) -> Cell,
    ) -> Result<(), Fault> {
        frame::write(out, tag::DATA_ROW, "DataRow", |w| {
            w.u16(self.columns);
            for (index, cell) in self.cells().enumerate() {
                match replace(index, cell) {
                    Cell::Keep => put_cell(w, cell),
                    Cell::Null => put_cell(w, None),
                    Cell::Value(value) => put_cell(w, Some(value.as_bytes())),
                }
            }
        })
    }
}

/// Walks the cells of a [`DataRow`].
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    left: u16,
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        self.left = self.left.checked_sub(1)?;
        // The structure was checked when the row was made, so neither `?` ends the walk early.
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length));
        let Ok(length) = length else {
            self.rest = rest;
            return Some(None);
        };
        let (cell, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(cell))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

/// Where the cells are in the body of a DataRow, in bytes of it; `None` is SQL NULL. Ends early where the body is not as
/// [`DataRow::decode`] demands.
pub fn cell_places(body: &[u8]) -> impl Iterator<Item = Option<Range<usize>>> {
    let count = body.first_chunk::<2>().map_or(0, |count| u16::from_be_bytes(*count));
    let mut at = 2;
    (0..count).map_while(move |_| {
        let length = body.get(at..)?.first_chunk::<4>()?;
        at += 4;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return Some(None) };
        let cell = at..at.checked_add(length).filter(|end| *end <= body.len())?;
        at = cell.end;
        Some(Some(cell))
    })
}

/// What a CommandComplete says: `INSERT 0 5`, `SELECT 3`, `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTag(pub RawField);

impl CommandTag {
    /// The command's words: everything before the first number.
    pub fn command(&self) -> &[u8] {
        let text = self.0.as_bytes();
        let end = text.windows(2).position(|w| w[0] == b' ' && w[1].is_ascii_digit());
        end.map_or(text, |end| &text[..end])
    }

    /// Rows read, written or copied; `None` for a command that has no count. For INSERT it is the second number.
    pub fn rows(&self) -> Option<u64> {
        let text = self.0.to_str()?;
        let numbers = text.get(self.command().len()..)?;
        let mut words = numbers.split_ascii_whitespace();
        let last = words.next_back()?;
        if self.command() == b"INSERT" && words.next().is_none() {
            return None;
        }
        last.parse().ok()
    }
}

/// A whole error as a frame, for the places that have nothing but constants at hand.
pub fn encode_error(out: &mut BytesMut, fields: &Fields) -> Result<(), Fault> {
    frame::write(out, tag::ERROR, "ErrorResponse", |w| fields.put(w))
}

fn columns(r: &mut Reader<'_>) -> Result<u16, Fault> {
    let count = r.u16()?;
    if usize::from(count) > COLUMNS_MAX {
        return Err(r.fault(kind::TOO_MANY, "more columns than PostgreSQL has"));
    }
    Ok(count)
}

fn column(r: &mut Reader<'_>) -> Result<Column, Fault> {
    Ok(Column {
        name: r.cstr()?.into(),
        table: r.u32()?,
        attribute: r.i16()?,
        type_oid: r.u32()?,
        type_size: r.i16()?,
        type_modifier: r.i32()?,
        format: message::format(r)?,
    })
}

fn put_cell(w: &mut Writer<'_>, cell: Option<&[u8]>) {
    match cell {
        None => w.i32(-1),
        Some(cell) => {
            w.length(cell.len());
            w.bytes(cell);
        }
    }
}
