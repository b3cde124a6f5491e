//! A COPY that carries governed values: its stream is put together into rows, so that values are fingerprinted as the cells
//! of an answer are, and masks on their way back are found. In bounded memory: at most one row is kept.

use proto_postgres::copy::{Form, Piece, Splitter};
use proto_postgres::message::Format;
use sql::{Carried, CopyField, CopyForm, Snapshot};
use wire::{Fault, Side};

use super::text::text;

/// The stream of one COPY.
pub struct Stream {
    splitter: Splitter,
    /// The next row are names.
    names: bool,
    format: Format,
    fields: Vec<Option<CopyField>>,
}

impl Stream {
    /// `side`: who sends it.
    pub fn new(carried: &Carried, side: Side) -> Stream {
        let form = match carried.form.clone() {
            CopyForm::Text { delimiter, null } => Form::Text { delimiter, null },
            CopyForm::Csv { delimiter, quote, escape, null } => Form::Csv { delimiter, quote, escape, null },
            CopyForm::Binary => Form::Binary,
        };
        let format = form.format();
        Stream {
            splitter: Splitter::new(form, side),
            names: carried.header,
            format,
            fields: carried.fields.clone(),
        }
    }

    /// Gives each governed value of the rows that end in `data`: as it stands in the stream's form, and as text.
    /// Errors: a stream that is not what the statement's options say.
    pub fn look(
        &mut self,
        types: &Snapshot,
        data: &[u8],
        mut on_value: impl FnMut(&CopyField, &[u8], &[u8]),
    ) -> Result<(), Fault> {
        let Stream { splitter, names, format, fields } = self;
        splitter.push(data, |piece| values(piece, names, (types, *format), fields, &mut on_value))
    }

    /// The stream is over: a last row may have no line end.
    pub fn finish(
        &mut self,
        types: &Snapshot,
        mut on_value: impl FnMut(&CopyField, &[u8], &[u8]),
    ) -> Result<(), Fault> {
        let Stream { splitter, names, format, fields } = self;
        splitter.finish(|piece| values(piece, names, (types, *format), fields, &mut on_value))
    }
}

fn values(
    piece: Piece<'_>,
    names: &mut bool,
    (types, format): (&Snapshot, Format),
    fields: &[Option<CopyField>],
    on_value: &mut impl FnMut(&CopyField, &[u8], &[u8]),
) {
    let Piece::Row(row) = piece else { return };
    if std::mem::take(names) {
        return;
    }
    for (value, field) in row.fields().into_iter().zip(fields) {
        if let (Some(value), Some(field)) = (value, field) {
            on_value(field, &value, &text(types, field.type_oid, format, &value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::Class;

    /// Field 1 of three is governed.
    fn carried(form: CopyForm, header: bool, type_oid: u32) -> Carried {
        let class = Class::new("pii.ssn").unwrap();
        let field = CopyField { relation: 7, attnum: 2, class, type_oid };
        Carried { form, header, fields: vec![None, Some(field), None] }
    }

    /// What is seen of a stream, however it is cut.
    fn check(carried: &Carried, stream: &[u8], expect: &[&str]) {
        for size in [1, 2, 3, 7, stream.len()] {
            let mut looking = Stream::new(carried, Side::Client);
            let mut seen = Vec::new();
            let mut on = |_: &CopyField, _: &[u8], text: &[u8]| {
                seen.push(String::from_utf8(text.to_vec()).unwrap());
            };
            let types = Snapshot::default();
            stream.chunks(size).for_each(|piece| looking.look(&types, piece, &mut on).unwrap());
            looking.finish(&types, &mut on).unwrap();
            assert_eq!(seen, expect, "in pieces of {size}");
        }
    }

    fn text_form() -> CopyForm {
        CopyForm::Text { delimiter: b'\t', null: b"\\N".to_vec() }
    }

    fn csv() -> CopyForm {
        CopyForm::Csv { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new() }
    }

    #[test]
    fn values_are_seen_in_each_form_across_pieces_without_quotes_and_escapes() {
        let text = b"1\tssn\\x5f1\tx\n2\t\\N\ty\n3\ta\\tb\tz";
        check(&carried(text_form(), false, 25), text, &["ssn_1", "a\tb"]);
        let lines = b"id,ssn,note\n1,\"ssn_\"1,\"a\nb\"\n2,,\n3,\"x \"\"y\"\", z\",\n";
        check(&carried(csv(), true, 25), lines, &["ssn_1", "x \"y\", z"]);
        let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for value in [&[0u8, 0, 1, 2][..], b"abcd"] {
            binary.extend_from_slice(&[0, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4]);
            binary.extend_from_slice(value);
            binary.extend_from_slice(&[0, 0, 0, 0]);
        }
        binary.extend_from_slice(&[0xff, 0xff]);
        check(&carried(CopyForm::Binary, false, 23), &binary, &["258", "1633837924"]);
    }

    #[test]
    fn a_binary_stream_that_is_none_is_a_fault_of_who_sent_it() {
        let mut looking = Stream::new(&carried(CopyForm::Binary, false, 25), Side::Client);
        let fault =
            looking.look(&Snapshot::default(), b"1\tssn_1\tx\n", |_, _, _| panic!("a value")).unwrap_err();
        assert_eq!(fault.side, Side::Client);
    }
}
