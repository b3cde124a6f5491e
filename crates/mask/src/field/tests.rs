use super::{CellFinding, double_digits, fields, integer_digits, numeric_digits};
use crate::detect::Detectors;
use crate::shape::Shape;

fn shared() -> &'static Detectors {
    static SHARED: std::sync::LazyLock<Detectors> = std::sync::LazyLock::new(Detectors::new);
    &SHARED
}

/// What is released of one cell, as text.
fn release(shape: Shape, cell: &[u8]) -> (Option<String>, Vec<CellFinding>) {
    let mut findings = Vec::new();
    let row = fields(shared(), [Some(cell)], &[shape], &mut findings);
    assert_eq!(row.changed(), !findings.is_empty());
    let out = row.cells().next().flatten().map(|b| String::from_utf8_lossy(b).into_owned());
    (out, findings)
}

#[track_caller]
fn check(shape: Shape, cell: &str, expect: Option<&str>) {
    assert_eq!(release(shape, cell.as_bytes()).0.as_deref(), expect, "{shape:?} {cell}");
}

#[test]
fn a_finding_in_text_is_replaced_and_nothing_else() {
    check(Shape::Text, "mail jo@example.com now", Some("mail [pii.email] now"));
    check(Shape::Text, "jo@example.com,536-90-4399", Some("[pii.email],[pii.ssn]"));
    check(Shape::Text, "nothing here", Some("nothing here"));
    check(Shape::Text, "", Some(""));
    check(Shape::Text, "id am8uZG9lQGV4YW1wbGUuY29t", Some("id [pii.email]"));
}

#[test]
fn an_unchanged_cell_is_the_same_memory() {
    let cell = b"nothing here".as_slice();
    let mut findings = Vec::new();
    let row = fields(shared(), [Some(cell), None], &[Shape::Text], &mut findings);
    let cells: Vec<_> = row.cells().collect();
    assert!(std::ptr::eq(cells[0].unwrap(), cell));
    assert_eq!(cells[1], None);
    assert!(!row.changed());
}

#[test]
fn json_stays_json() {
    check(Shape::Json, r#"{"mail": "jo@example.com", "n": 1}"#, Some(r#"{"mail": "[pii.email]", "n": 1}"#));
    check(Shape::Json, r#"{"card": 4111111111111111}"#, Some(r#"{"card": "[pii.card]"}"#));
    check(
        Shape::Json,
        r#"[4111111111111111,{"jo@example.com":null}]"#,
        Some(r#"["[pii.card]",{"[pii.email]":null}]"#),
    );
    check(Shape::Json, r#"{"m":"x jo\u0040example.com y"}"#, Some(r#"{"m":"[pii.email]"}"#));
    check(Shape::Json, r#"{"m":"line\njo@example.com"}"#, Some(r#"{"m":"[pii.email]"}"#));
    check(Shape::Json, r#""536-90-4399""#, Some(r#""[pii.ssn]""#));
    check(
        Shape::Json,
        r#"{"k":"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"}"#,
        Some(r#"{"k":"[secret.private_key]"}"#),
    );
    // A key of an access key and its secret stand in two strings.
    let aws = r#"{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}"#;
    check(
        Shape::Json,
        aws,
        Some(r#"{"AccessKeyId":"[secret.aws_key]","SecretAccessKey":"[secret.aws_key]"}"#),
    );
    // Not JSON after all: nothing of it is released.
    check(Shape::Json, "a jo@example.com b +1 415 555 0100", None);
}

#[test]
fn jsonb_keeps_its_version_byte() {
    check(Shape::Jsonb, "\u{1}{\"m\":\"jo@example.com\"}", Some("\u{1}{\"m\":\"[pii.email]\"}"));
    check(Shape::Jsonb, "\u{1}{}", Some("\u{1}{}"));
    check(Shape::Jsonb, "", Some(""));
    let (_, findings) = release(Shape::Jsonb, b"\x01[\"jo@example.com\"]");
    assert_eq!(findings[0].finding.range, 3..17, "a range of the cell");
}

#[test]
fn what_cannot_be_written_into_becomes_null() {
    check(Shape::Rigid, "{jo@example.com,x}", None);
    check(Shape::Rigid, "{a,b}", Some("{a,b}"));
    let shapes = [];
    let row = fields(shared(), [Some(&b"jo@example.com"[..])], &shapes, &mut Vec::new());
    assert_eq!(row.cells().next(), Some(None), "a cell without a shape is rigid");
}

#[test]
fn binary_numbers_are_read_as_digits() {
    let card = 4_111_111_111_111_111i64.to_be_bytes();
    assert_eq!(release(Shape::Integer, &card).0, None);
    let nine = 536_904_399i64.to_be_bytes();
    assert_eq!(release(Shape::Integer, &nine).1, []);
    assert_eq!(integer_digits(&[0; 4]), None);
    let negative = integer_digits(&(-4_111_111_111_111_111i64).to_be_bytes());
    assert_eq!(negative.as_deref(), Some("4111111111111111"));
    let double = 4_111_111_111_111_111f64;
    assert_eq!(release(Shape::Double, &(-double).to_be_bytes()).0, None);
    assert_eq!(double_digits(&(double + 0.5).to_be_bytes()).as_deref(), Some("4111111111111111"));
    for none in [0.5, 1e12, 1e18, f64::NAN, f64::INFINITY] {
        assert_eq!(double_digits(&none.to_be_bytes()), None, "{none}");
    }
    // 4111 1111 1111 1111 as a numeric: four digits of base 10000, weight 3, positive, scale 0.
    let numeric = [0, 4, 0, 3, 0, 0, 0, 0, 0x10, 0x0f, 0x04, 0x57, 0x04, 0x57, 0x04, 0x57];
    assert_eq!(numeric_digits(&numeric).as_deref(), Some("4111111111111111"));
    assert_eq!(release(Shape::Numeric, &numeric).0, None);
    let fraction = [0, 5, 0, 3, 0x40, 0, 0, 2, 0x10, 0x0f, 0x04, 0x57, 0x04, 0x57, 0x04, 0x57, 0x13, 0x88];
    assert_eq!(numeric_digits(&fraction).as_deref(), Some("4111111111111111"), "-4111111111111111.50");
    // Trailing zeros are left out on the wire.
    assert_eq!(numeric_digits(&[0, 1, 0, 3, 0, 0, 0, 0, 0, 7]).as_deref(), Some("7000000000000"));
    for bad in [&numeric[..7], &numeric[..15], &[0xff; 16], &[0, 0, 0x40, 0, 0, 0, 0, 0]] {
        assert_eq!(numeric_digits(bad), None);
    }
}

#[test]
fn settled_types_are_not_looked_at() {
    check(Shape::Settled, "jo@example.com", Some("jo@example.com"));
}

#[test]
fn shapes_of_postgres_types() {
    let rows = [
        (25, false, Shape::Text),
        (1043, true, Shape::Text),
        (114, true, Shape::Json),
        (3802, false, Shape::Json),
        (3802, true, Shape::Jsonb),
        (23, true, Shape::Settled),
        (20, true, Shape::Integer),
        (701, true, Shape::Double),
        (701, false, Shape::Settled),
        (20, false, Shape::Rigid),
        (1700, true, Shape::Numeric),
        (17, true, Shape::Rigid),
        (1009, false, Shape::Rigid),
        (99_999, true, Shape::Rigid),
    ];
    for (oid, binary, shape) in rows {
        assert_eq!(Shape::of_postgres(oid, binary), shape, "{oid} {binary}");
    }
}

#[test]
fn a_row_is_masked_as_its_cells_are() {
    let cells = [
        "jo@example.com",
        "",
        "plain",
        "536-90",
        "-4399",
        "am8uZG9lQGV4YW1wbGUuY29t",
        "{\"a\":4111111111111111}",
        "a%40b",
        "jo%40example.com",
    ];
    let shapes = [
        Shape::Text,
        Shape::Text,
        Shape::Rigid,
        Shape::Text,
        Shape::Text,
        Shape::Text,
        Shape::Json,
        Shape::Text,
        Shape::Text,
    ];
    let mut findings = Vec::new();
    let row = fields(shared(), cells.map(|c| Some(c.as_bytes())), &shapes, &mut findings);
    for ((cell, shape), got) in cells.iter().zip(shapes).zip(row.cells()) {
        assert_eq!(
            got.map(|b| String::from_utf8_lossy(b).into_owned()),
            release(shape, cell.as_bytes()).0,
            "{cell}"
        );
    }
    assert_eq!(findings.iter().map(|f| f.cell).collect::<Vec<_>>(), [0, 5, 6, 8]);
    assert!(findings.iter().all(|f| f.finding.range.end <= cells[f.cell].len()));
}

#[test]
fn an_access_key_gives_away_the_secret_in_the_next_cell() {
    let cells = ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"];
    for cells in [cells, [cells[1], cells[0]]] {
        let row = fields(shared(), cells.map(|c| Some(c.as_bytes())), &[Shape::Text; 2], &mut Vec::new());
        assert!(row.cells().all(|c| c == Some(&b"[secret.aws_key]"[..])));
    }
}

#[test]
fn findings_name_their_cell() {
    let mut findings = Vec::new();
    let cells = [Some(&b"x"[..]), None, Some(&b"jo@example.com"[..])];
    let row = fields(shared(), cells, &[Shape::Text; 3], &mut findings);
    assert!(row.changed());
    assert_eq!(findings.iter().map(|f| (f.cell, f.finding.detector)).collect::<Vec<_>>(), [(2, "email")]);
    assert_eq!(format!("{:?}", row.into_cells()[2]), "MaskedField(11 bytes)");
}
