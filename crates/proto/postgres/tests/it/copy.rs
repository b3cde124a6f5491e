//! Rows and fields of COPY streams, whatever pieces they come in.

use crate::dice::Dice;
use bytes::BytesMut;
use proto_postgres::copy::{Form, Piece, Splitter};
use proto_postgres::limits::COPY_ROW_BYTES_MAX;
use proto_postgres::reply::Cell;
use wire::{RawField, Side, kind};

type Rows = Vec<Vec<Option<Vec<u8>>>>;

/// All rows of `stream`, fed in pieces cut at `cuts`. Every byte of it must be in exactly one piece, and a row of which
/// nothing is replaced must be rebuilt as it was.
fn rows(form: &Form, stream: &[u8], cuts: &[usize]) -> Result<Rows, wire::Fault> {
    let mut splitter = Splitter::new(form.clone(), Side::Client);
    let mut rows = Rows::new();
    let mut whole = Vec::new();
    let mut take = |piece: Piece<'_>| {
        whole.extend_from_slice(piece.raw());
        let Piece::Row(row) = piece else { return };
        let mut out = BytesMut::new();
        row.rebuild(&mut out, |_, _| Cell::Keep);
        assert_eq!(&out[..], row.raw());
        rows.push(row.fields().into_iter().map(|field| field.map(|f| f.into_owned())).collect());
    };
    let mut from = 0;
    for cut in cuts.iter().copied().chain([stream.len()]) {
        splitter.push(&stream[from..cut], &mut take)?;
        from = cut;
    }
    splitter.finish(&mut take)?;
    assert_eq!(whole, stream);
    Ok(rows)
}

#[track_caller]
fn check(form: Form, stream: &[u8], expect: &[&[Option<&[u8]>]]) {
    let expect: Rows =
        expect.iter().map(|row| row.iter().map(|field| field.map(<[u8]>::to_vec)).collect()).collect();
    assert_eq!(rows(&form, stream, &[]).unwrap(), expect);
    for cut in 0..stream.len() {
        assert_eq!(rows(&form, stream, &[cut]).unwrap(), expect, "cut at {cut}");
    }
    assert_eq!(rows(&form, stream, &(0..stream.len()).collect::<Vec<_>>()).unwrap(), expect, "byte by byte");
}

#[test]
fn text_rows_end_at_unescaped_line_ends_and_values_lose_their_backslashes() {
    check(
        Form::text(),
        b"1\t\\N\ta\\tb\\\\\\n\\x4A\\112\\q\r\nx\\\ny\t\\\\N\nlast",
        &[&[Some(b"1"), None, Some(b"a\tb\\\nJJq")], &[Some(b"x\ny"), Some(b"\\N")], &[Some(b"last")]],
    );
    let pipes = Form::Text { delimiter: b'|', null: b"null".to_vec() };
    check(pipes, b"a\\|b|null|\n", &[&[Some(b"a|b"), None, Some(b"")]]);
}

#[test]
fn csv_rows_end_outside_of_quotes() {
    check(
        Form::csv(),
        b"1,,\"\",\"a \"\"b\"\"\nc,d\"\r\nx,\"y\"z\n\"open",
        &[
            &[Some(b"1"), None, Some(b""), Some(b"a \"b\"\nc,d")],
            &[Some(b"x"), Some(b"yz")],
            &[Some(b"open")],
        ],
    );
    let escaped = Form::Csv { delimiter: b';', quote: b'\'', escape: b'\\', null: b"-".to_vec() };
    check(escaped, b"'it\\'s\n';-;'\\\\'\nb\n", &[&[Some(b"it's\n"), None, Some(b"\\")], &[Some(b"b")]]);
}

#[test]
fn what_follows_the_text_end_marker_is_still_scanned() {
    check(Form::csv(), b"a\n\\.\n078-05-1120\n", &[&[Some(b"a")], &[Some(b"\\.")], &[Some(b"078-05-1120")]]);
}

fn binary(extension: &[u8], rows: &[u8]) -> Vec<u8> {
    let mut stream = b"PGCOPY\n\xff\r\n\0\0\0\0\0".to_vec();
    stream.extend((extension.len() as u32).to_be_bytes());
    stream.extend(extension);
    stream.extend(rows);
    stream
}

#[test]
fn binary_rows_follow_their_counts() {
    let stream = binary(b"ext", b"\0\x02\0\0\0\x03abc\xff\xff\xff\xff\0\0\0\x01\0\0\0\0\xff\xff");
    check(Form::Binary, &stream, &[&[Some(b"abc"), None], &[], &[Some(b"")]]);
}

#[test]
fn a_binary_stream_that_is_none_is_refused() {
    let refused = |stream: &[u8]| rows(&Form::Binary, stream, &[]).unwrap_err().kind;
    assert_eq!(refused(b"1\t2\n"), kind::BAD_VALUE);
    assert_eq!(refused(&binary(b"", b"\0\x01\xff\xff\xff\xfe")), kind::BAD_VALUE);
    assert_eq!(refused(&binary(b"", b"\xff\xfe")), kind::BAD_VALUE);
    assert_eq!(refused(&binary(b"", b"\xff\xff\0\0")), kind::BAD_VALUE);
    assert_eq!(refused(&binary(b"", b"\0\x01\0\0\0\x05abc")), kind::TRUNCATED);
    assert_eq!(refused(b"PGCOPY\n\xff\r\n\0\0\0\0\0\x7f\xff\xff\xff"), kind::BAD_VALUE);
}

#[test]
fn a_row_above_the_limit_is_refused() {
    let piece = vec![b'x'; 1 << 20];
    for form in [Form::text(), Form::csv()] {
        let mut splitter = Splitter::new(form, Side::Client);
        let mut pushed = 0;
        let fault = loop {
            match splitter.push(&piece, |_| panic!("no row ends")) {
                Ok(()) => pushed += piece.len(),
                Err(fault) => break fault,
            }
        };
        assert_eq!((fault.kind, pushed), (kind::TOO_LARGE, COPY_ROW_BYTES_MAX));
    }
}

#[test]
fn arbitrary_cuts_change_nothing() {
    let mut dice = Dice::new(5);
    let alphabet = b"ab,\t\"\\\n\r0x7.N";
    for round in 0..2_000 {
        let stream: Vec<u8> = (0..dice.below(60)).map(|_| *dice.pick(alphabet)).collect();
        for form in [Form::text(), Form::csv()] {
            let whole = rows(&form, &stream, &[]).unwrap();
            let mut cuts: Vec<usize> = (0..4).map(|_| dice.below(stream.len() + 1)).collect();
            cuts.sort_unstable();
            assert_eq!(rows(&form, &stream, &cuts).unwrap(), whole, "{round}: {stream:?} at {cuts:?}");
        }
    }
}

/// A replaced field reads back as what was put there, and its neighbours as what they were.
#[test]
fn a_row_is_rebuilt_with_some_fields_replaced() {
    let nasty = b"a\\b\t\n\r\"',;|\\N\\.";
    for (form, stream) in [
        (Form::text(), &b"1\t078-05-1120\tx\\ty\r\n"[..]),
        (Form::Text { delimiter: b'|', null: b"null".to_vec() }, b"1|078-05-1120|x\ty\n"),
        (Form::csv(), b"1,\"078-05-1120\",\"x\ty\"\n"),
        (
            Form::Csv { delimiter: b';', quote: b'\'', escape: b'\\', null: b"-".to_vec() },
            b"1;078-05-1120;x\ty",
        ),
        (Form::Binary, &binary(b"", b"\0\x03\0\0\0\x011\0\0\0\x0b078-05-1120\0\0\0\x03x\ty\xff\xff")),
    ] {
        for (cell, expect) in [
            (Cell::Value(RawField::from_static(nasty)), Some(nasty.to_vec())),
            (Cell::Value(RawField::from_static(b"")), Some(Vec::new())),
            (Cell::Null, None),
        ] {
            let mut out = BytesMut::new();
            let mut splitter = Splitter::new(form.clone(), Side::Upstream);
            let mut rebuild = |piece: Piece<'_>| match piece {
                Piece::Frame(raw) => out.extend_from_slice(raw),
                Piece::Row(row) => row.rebuild(&mut out, |index, value| {
                    assert_eq!(index == 1, value == Some(b"078-05-1120"));
                    if index == 1 { cell.clone() } else { Cell::Keep }
                }),
            };
            splitter.push(stream, &mut rebuild).unwrap();
            splitter.finish(&mut rebuild).unwrap();
            let neighbours =
                |value: Option<Vec<u8>>| vec![vec![Some(b"1".to_vec()), value, Some(b"x\ty".to_vec())]];
            assert_eq!(rows(&form, &out, &[]).unwrap(), neighbours(expect), "{form:?}");
        }
    }
}

/// The server's own COPY, in each form, read as the server's own rows.
#[test]
fn what_a_real_server_copies_is_read_as_its_rows() {
    let mut client = crate::client::Client::connect();
    client
        .query(
            r#"create temp table source as select i::text as a, case when i % 7 = 0 then null when i % 11 = 0 then ''
               else repeat(chr(1 + i % 127), i % 5) || chr(9) || '\' || chr(10) || '"' || chr(13) || ',N' end as b, '\N' as c
               from generate_series(1, 500) i"#,
        )
        .unwrap();
    let expect = client.query("select * from source").unwrap();
    for (form, options) in [
        (Form::text(), ""),
        (Form::Text { delimiter: b'|', null: b"nil".to_vec() }, "(delimiter '|', null 'nil')"),
        (Form::csv(), "(format csv)"),
        (
            Form::Csv { delimiter: b';', quote: b'\'', escape: b'\\', null: b"nil".to_vec() },
            r"(format csv, delimiter ';', quote '''', escape '\', null 'nil', force_quote *)",
        ),
        (Form::Binary, "(format binary)"),
    ] {
        let data = client.copy_out(&format!("copy source to stdout {options}"));
        assert_eq!(rows(&form, &data.concat(), &[]).unwrap(), expect, "{form:?}");
    }
}
