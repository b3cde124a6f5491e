//! Values as their text, in which they are asked for: fingerprints and filters of what came in a binary format.

use std::borrow::Cow;

use mask::{FilterBuilder, FilterKey, Known, Shape};
use proto_postgres::copy::{Form, Piece, Splitter};
use proto_postgres::message::Format;
use proto_postgres::types::{BYTEA_DIGITS_MAX, Carries, Scan, bytea_digits, carries, oid, scan, scan_near};
use sql::{CopyType, Snapshot, Written};
use wire::Side;

/// PostgreSQL lets a domain be made of a domain; no catalog that is read has so many of one.
const DOMAINS_MAX: usize = 32;

/// A value as its text; where that is not known, as it is.
pub fn text<'a>(types: &Snapshot, type_oid: u32, format: Format, value: &'a [u8]) -> Cow<'a, [u8]> {
    match scan(type_oid, format == Format::Binary, value, &|own| own_type(types, own)) {
        Scan::Text(text) | Scan::Unknown(text) if format == Format::Binary => text,
        Scan::Text(_) | Scan::Unknown(_) | Scan::Bytes(_) | Scan::Malformed => Cow::Borrowed(value),
    }
}

/// What detectors look at beside the bytes of a value in binary format.
#[derive(Debug, PartialEq, Eq)]
pub enum Behind {
    /// Its bytes show all of it that may be of a class, or nobody knows its type.
    Nothing,
    /// The digits of a number, or the value's text, its parts as lines.
    Text(Vec<u8>),
    /// It is not of its type's form, too deep, or by far longer than its bytes: nobody can look.
    Blind,
}

pub fn behind(types: &Snapshot, type_oid: u32, value: &[u8]) -> Behind {
    match Shape::of_postgres(type_oid, true) {
        Shape::Text | Shape::Json | Shape::Jsonb | Shape::Settled => return Behind::Nothing,
        shape @ (Shape::Integer | Shape::Double | Shape::Numeric) => {
            let digits = mask::hidden_number(shape, value);
            return digits.map_or(Behind::Nothing, |digits| Behind::Text(digits.into_bytes()));
        }
        Shape::Rigid => {}
    }
    match scan_near(type_oid, value, &|own| own_type(types, own)) {
        Scan::Text(Cow::Owned(text)) | Scan::Unknown(Cow::Owned(text)) => Behind::Text(text),
        Scan::Text(_) | Scan::Unknown(_) | Scan::Bytes(_) => Behind::Nothing,
        Scan::Malformed => Behind::Blind,
    }
}

/// The text of a value in binary format that says all of it: none of one that has parts, of bytes, or of a type that is not known.
pub fn whole<'a>(types: &Snapshot, type_oid: u32, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let of = match carries(type_oid) {
        Carries::Unknown => own_type(types, type_oid)?.1,
        built_in => built_in,
    };
    let scalar = matches!(
        of,
        Carries::Text | Carries::Number | Carries::Time | Carries::Network | Carries::Uuid | Carries::Nothing
    );
    match scan_near(type_oid, value, &|own| own_type(types, own)) {
        Scan::Text(text) if scalar => Some(text),
        _ => None,
    }
}

/// Adds a value in binary format to a filter, as its text.
pub fn enter(filter: &mut FilterBuilder, key: &FilterKey, types: &Snapshot, type_oid: u32, value: &[u8]) {
    match scan_near(type_oid, value, &|own| own_type(types, own)) {
        Scan::Text(text) => lines(filter, key, &text),
        Scan::Bytes(bytes) => {
            filter.cell(key, &bytes);
            if bytes.len() <= BYTEA_DIGITS_MAX {
                filter.cell(key, &bytea_digits(&bytes));
            }
        }
        Scan::Unknown(text) => {
            lines(filter, key, &text);
            filter.cannot_say();
        }
        Scan::Malformed => {
            filter.cell(key, value);
            filter.cannot_say();
        }
    }
}

/// A binary COPY on its way to the client.
pub struct Copied {
    splitter: Splitter,
    types: Vec<Option<CopyType>>,
    /// It is not of its form: no more of it is read.
    lost: bool,
    /// Something of it could not be looked at: it is not of its form, or nobody knows its type.
    pub blind: bool,
}

impl Copied {
    pub fn new(types: Vec<Option<CopyType>>) -> Copied {
        Copied { splitter: Splitter::new(Form::Binary, Side::Upstream), types, lost: false, blind: false }
    }

    /// Adds each value of the rows that end in `data` to a filter, as its text and as it is, and to `shown` what detectors look at
    /// beside the stream.
    pub fn enter(
        &mut self,
        filter: &mut FilterBuilder,
        key: &FilterKey,
        types: &Snapshot,
        data: &[u8],
        known: &Known,
        shown: &mut Vec<u8>,
    ) {
        let Copied { splitter, types: fields, lost, blind } = self;
        let read = splitter.push(data, |piece| {
            let Piece::Row(row) = piece else { return };
            for (i, value) in row.fields().into_iter().enumerate() {
                let Some(value) = value else { continue };
                filter.cell(key, &value);
                match fields.get(i).copied().flatten() {
                    Some(of) => {
                        enter(filter, key, types, of.oid, &value);
                        match behind(types, of.oid, &value) {
                            Behind::Text(text) if known.origin(&value).is_none() => apart(shown, &text),
                            Behind::Text(_) | Behind::Nothing => {}
                            Behind::Blind => *blind = true,
                        }
                    }
                    None => {
                        filter.cannot_say();
                        *blind = true;
                    }
                }
                if fields.get(i).copied().flatten().is_some_and(|of| !of.as_it_is) {
                    filter.cannot_say();
                }
            }
        });
        *lost |= read.is_err();
        *blind |= *lost;
        if *lost {
            filter.cannot_say();
        }
    }
}

/// Adds a value to others, apart from them.
pub fn apart(all: &mut Vec<u8>, value: &[u8]) {
    all.extend_from_slice(value);
    // The unit separator, which is in no value of a class.
    all.push(0x1f);
}

/// Of a type that has an OID of its own: what it is made of.
fn own_type(types: &Snapshot, type_oid: u32) -> Option<(u32, Carries)> {
    let mut type_oid = type_oid;
    for _ in 0..DOMAINS_MAX {
        let carries = match (carries(type_oid), types.written(type_oid)) {
            (Carries::Unknown, Written::As(below)) => {
                type_oid = below;
                continue;
            }
            (Carries::Unknown, Written::Text) => return Some((oid::TEXT, Carries::Text)),
            (Carries::Unknown, Written::Array(element)) => Carries::Array(element),
            (Carries::Unknown, Written::Range(bound)) => Carries::Range(bound),
            (Carries::Unknown, Written::Row) => Carries::Composite,
            (Carries::Unknown, Written::Unknown) => return None,
            (built_in, _) => built_in,
        };
        return Some((type_oid, carries));
    }
    None
}

/// A text, and what its lines are where it stands for a value of several parts.
fn lines(filter: &mut FilterBuilder, key: &FilterKey, text: &[u8]) {
    filter.cell(key, text);
    if text.contains(&b'\n') {
        text.split(|b| *b == b'\n').for_each(|line| filter.cell(key, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [7; 16];

    /// Whether a filter of this one value has `asked`.
    fn said(type_oid: u32, value: &[u8], asked: &str) -> Option<bool> {
        let (mut filter, key) = (FilterBuilder::new(), FilterKey::new(&KEY));
        enter(&mut filter, &key, &Snapshot::default(), type_oid, value);
        filter.take().may_contain(&key, asked.as_bytes())
    }

    #[test]
    fn a_binary_value_is_in_a_filter_as_its_text() {
        let number = 4_000_000_123_i64.to_be_bytes();
        assert_eq!(said(oid::INT8, &number, "4000000123"), Some(true));
        assert_eq!(said(oid::INT8, &number, "4000000124"), Some(false));
        assert_eq!(said(oid::DATE, &9_000_i32.to_be_bytes(), "2024-08-22"), Some(true));
        assert_eq!(said(oid::UUID, &[0xab; 16], "abababab-abab-abab-abab-abababababab"), Some(true));
        assert_eq!(said(oid::UUID, &[0xab; 16], "abababab-abab-abab-abab-abababababac"), Some(false));
        for asked in ["secret-77", "\\x7365637265742d3737"] {
            assert_eq!(said(oid::BYTEA, b"secret-77", asked), Some(true), "{asked}");
        }
    }

    #[test]
    fn a_value_whose_text_is_not_known_makes_no_proof() {
        assert_eq!(said(70_000, &[1, 2, 3, 4], "4000000123"), None);
        assert_eq!(said(oid::REGCLASS, &[0, 0, 0, 9], "customers"), None);
        assert_eq!(said(oid::INT4, b"not a number", "4000000123"), None);
        // Text in it is found all the same.
        assert_eq!(said(70_000, b"\x01 secret-77", "secret-77"), Some(true));
    }

    #[test]
    fn what_bytes_do_not_show_is_looked_at_as_text() {
        let shown = |type_oid, value: &[u8]| behind(&Snapshot::default(), type_oid, value);
        let text = |text: &[u8]| Behind::Text(text.to_vec());
        let card = 4_111_111_111_111_111_i64;
        let digits = card.to_string().into_bytes();
        assert_eq!(shown(oid::INT8, &card.to_be_bytes()), text(&digits));
        assert_eq!(shown(oid::FLOAT8, &(card as f64).to_be_bytes()), text(&digits));
        assert_eq!(shown(oid::INT8, &7i64.to_be_bytes()), Behind::Nothing);
        assert_eq!(shown(oid::TEXT, &digits), Behind::Nothing, "it is its own text");
        // One dimension of one element, no NULLs, of int8.
        let array = [1, 0, oid::INT8, 1, 1, 8].map(u32::to_be_bytes).concat();
        let array = [array, card.to_be_bytes().to_vec()].concat();
        assert_eq!(shown(1016, &array), text(&digits));
        let row = [1, oid::INT8, 8].map(u32::to_be_bytes).concat();
        let row = [row, card.to_be_bytes().to_vec()].concat();
        assert_eq!(shown(oid::RECORD, &row), text(&digits));
        // Nobody looks further than eight rows deep, or at a number of 131,072 digits.
        let deep = (0..9).fold(row, |row, _| {
            let head = [1, oid::RECORD, row.len() as u32].map(u32::to_be_bytes).concat();
            [head, row].concat()
        });
        assert_eq!(shown(oid::RECORD, &deep), Behind::Blind);
        let long = [0u8, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 1];
        let array = [1, 0, oid::NUMERIC, 1, 1, 10].map(u32::to_be_bytes).concat();
        assert_eq!(shown(1231, &[array, long.to_vec()].concat()), Behind::Blind);
        assert_eq!(shown(oid::RECORD, b"no row"), Behind::Blind);
    }

    #[test]
    fn fields_of_a_copy_are_read_by_their_columns() {
        let column = |oid, as_it_is| Some(CopyType { oid, as_it_is });
        let mut stream = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x08".to_vec();
        stream.extend(4_000_000_123_i64.to_be_bytes());
        stream.extend([0xff, 0xff]);
        for (types, other) in
            [(vec![column(oid::INT8, true)], Some(false)), (vec![column(oid::INT8, false)], None)]
        {
            for size in [1, 7, stream.len()] {
                let (mut filter, key) = (FilterBuilder::new(), FilterKey::new(&KEY));
                let mut copied = Copied::new(types.clone());
                for piece in stream.chunks(size) {
                    copied.enter(
                        &mut filter,
                        &key,
                        &Snapshot::default(),
                        piece,
                        &Known::new(KEY),
                        &mut Vec::new(),
                    );
                }
                let filter = filter.take();
                assert_eq!(filter.may_contain(&key, b"4000000123"), Some(true));
                assert_eq!(filter.may_contain(&key, b"4000000124"), other);
            }
        }
        let (mut filter, key) = (FilterBuilder::new(), FilterKey::new(&KEY));
        Copied::new(Vec::new()).enter(
            &mut filter,
            &key,
            &Snapshot::default(),
            &stream,
            &Known::new(KEY),
            &mut Vec::new(),
        );
        assert_eq!(filter.take().may_contain(&key, b"4000000123"), None);
    }
}
