use super::{lines, name, param, says_all, statement, statement_with_values, text};
use crate::detect::Detectors;
use crate::limits::{NAME_BYTES_MAX, STATEMENT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::shape::Shape;

fn shared() -> &'static Detectors {
    static SHARED: std::sync::LazyLock<Detectors> = std::sync::LazyLock::new(Detectors::new);
    &SHARED
}

fn masked(input: &str) -> String {
    text(shared(), input).0.as_str().to_owned()
}

/// Masks `sql`, whose literals are written between `«` and `»`.
fn sql(marked: &str) -> String {
    let (mut plain, mut ranges, mut start) = (String::new(), Vec::new(), 0);
    for c in marked.chars() {
        match c {
            '«' => start = plain.len(),
            '»' => ranges.push(start..plain.len()),
            c => plain.push(c),
        }
    }
    statement(shared(), &plain, &ranges).as_str().to_owned()
}

#[test]
fn findings_become_placeholders_and_deceivers_escapes() {
    assert_eq!(masked("call jo@example.com, 536-90-4399"), "call [pii.email], [pii.ssn]");
    assert_eq!(masked("a\u{202e}b\u{200b}c\u{1b}[31m\nd\te"), "a\\u{202e}b\\u{200b}c\\u{1b}[31m\\nd\\te");
    assert_eq!(masked("grüße 日本 ✓"), "grüße 日本 ✓");
    assert_eq!(masked("behind am8uZG9lQGV4YW1wbGUuY29t ok"), "behind [pii.email] ok");
    assert_eq!(masked("jo@exa\u{200b}mple.com"), "[pii.email]");
    let (_, findings) = text(shared(), "x jo@example.com");
    assert_eq!(findings[0].range, 2..16);
}

#[test]
fn length_is_bounded_and_says_so() {
    for (max, out) in [
        (TEXT_BYTES_MAX, masked(&"é".repeat(1 << 20))),
        (TEXT_BYTES_MAX, masked(&"\u{202e}".repeat(1 << 16))),
        (TEXT_BYTES_MAX, masked(&"jo@example.com ".repeat(1 << 12))),
        (NAME_BYTES_MAX, name(shared(), &"n".repeat(1000)).as_str().to_owned()),
        (STATEMENT_BYTES_MAX, sql(&format!("select {}", "a, ".repeat(1 << 15)))),
    ] {
        assert!(out.len() <= max, "{} > {max}", out.len());
        assert!(out.contains("... [cut from "), "{}", &out[out.len() - 40..]);
    }
    assert_eq!(masked(&"x".repeat(TEXT_BYTES_MAX)).len(), TEXT_BYTES_MAX);
    assert!(masked(&"x".repeat(TEXT_BYTES_MAX + 1)).contains("[cut from 8193 bytes]"));
}

#[test]
fn what_is_not_all_of_it_is_known() {
    let long = format!("select {}", "a, ".repeat(1 << 15));
    for (whole, shown) in [
        (true, statement(shared(), "select 1", std::slice::from_ref(&(7..8)))),
        (true, super::MaskedText::constant("")),
        (false, statement(shared(), &long, &[])),
        (false, statement(shared(), "select 1", std::slice::from_ref(&(7..90)))),
        // It ends as a cut text does: who wrote it is to blame.
        (false, text(shared(), "a ... [cut from 9 bytes]").0),
    ] {
        assert_eq!(shown.is_whole(), whole, "{}", shown.as_str().len());
    }
}

#[test]
fn no_value_of_a_statement_is_left() {
    assert_eq!(
        sql("SELECT * FROM t WHERE a = «'O''Brien'» AND b = «42»"),
        "SELECT * FROM t WHERE a = '?' AND b = ?"
    );
    assert_eq!(sql("SELECT «$x$secret$x$», «E'a\\'b'», «B'01'», «-1.5e3»"), "SELECT '?', '?', '?', ?");
    assert_eq!(sql("SELECT 1 -- John's SSN\n, 2"), "SELECT 1 /*?*/ , 2");
    assert_eq!(sql("SELECT /* a /* nested */ secret */ x"), "SELECT /*?*/ x");
    assert_eq!(sql("SELECT «1» «-- it's 2»\n, «/* $1 */» x"), "SELECT ? /*?*/ , /*?*/ x");
    assert_eq!(sql("SELECT 'not marked' -- c"), "SELECT 'not marked' /*?*/");
    assert_eq!(sql("SELECT \"--not a comment\", «'x'»"), "SELECT \"--not a comment\", '?'");
    assert_eq!(sql("SELECT x AS \"jo@example.com\""), "SELECT x AS \"[pii.email]\"");
    assert_eq!(sql("SELECT\n\t  x"), "SELECT x");
    assert_eq!(sql("SELECT a /*open"), "SELECT a /*?*/");
}

#[test]
fn a_statement_says_all_where_nothing_but_literals_and_comments_is_masked() {
    let check = |marked: &str, expect: bool| {
        let (mut text, mut ranges) = (String::new(), Vec::new());
        for (n, part) in marked.split(['«', '»']).enumerate() {
            let start = text.len();
            text.push_str(part);
            if n % 2 == 1 {
                ranges.push(start..text.len());
            }
        }
        let shown = statement(shared(), &text, &ranges);
        assert_eq!(says_all(&shown, &text, &ranges), expect, "{}", shown.as_str());
    };
    check("SELECT «'jo@example.com'» «-- jo@example.com»\n, x /* 536-22-8391 */", true);
    check("SELECT \"x y\".é FROM t AS \"x y\"", true);
    for hidden in [
        "UPDATE t AS \"jo@example.com\" SET a = «1»",
        "SELECT id-@orders.amount FROM orders",
        "SELECT \"a\nb\"",
        "SELECT \"a\u{200b}b\"",
    ] {
        check(hidden, false);
    }
    check(&format!("SELECT {}1", "a, ".repeat(STATEMENT_BYTES_MAX)), false);
    let beyond = std::slice::from_ref(&(0..9));
    assert!(!says_all(&statement(shared(), "select", beyond), "select", beyond), "withheld");
}

#[test]
fn a_statement_is_shown_with_its_values_but_those_of_a_class() {
    let told = |text: &str, ranges: &[std::ops::Range<usize>]| {
        statement_with_values(shared(), text, ranges).map(|told| told.as_str().to_owned())
    };
    let text = "SELECT 'a\nb', '536-22-8391', 17 -- done by ann";
    let ranges = [7..12, 14..27, 29..31, 32..46];
    assert_eq!(told(text, &ranges).as_deref(), Some("SELECT 'a\\nb', '[pii.ssn]', 17 /*?*/"));
    let text = "SELECT 'jo' '@example.com'";
    assert_eq!(told(text, &[7..11, 12..26]).as_deref(), Some(text));
    assert_eq!(
        told("SELECT 'a\u{202e}b'", std::slice::from_ref(&(7..14))).as_deref(),
        Some("SELECT 'a\\u{202e}b'")
    );
    assert_eq!(told("select 'a'", &[7..20, 21..22]), None, "ranges that do not fit");
    let long = format!("select '{}'", "a ".repeat(STATEMENT_BYTES_MAX));
    assert_eq!(told(&long, std::slice::from_ref(&(7..long.len()))), None, "too long");
}

#[test]
fn a_statement_whose_ranges_do_not_fit_is_withheld() {
    let withheld = "[statement withheld: its literals are not known]";
    let cases: [(&str, &[(usize, usize)]); 6] = [
        ("select 'a'", &[(7, 20)]),
        ("select 'é'", &[(7, 9)]),
        ("select 1, 2", &[(10, 11), (7, 8)]),
        ("select 1, 2", &[(7, 9), (8, 11)]),
        ("select -- 'x'", &[(10, 13)]),
        ("select 'a'", &[(7, 7)]),
    ];
    for (text, ranges) in cases {
        let ranges: Vec<_> = ranges.iter().map(|&(start, end)| start..end).collect();
        assert_eq!(statement(shared(), text, &ranges).as_str(), withheld, "{text} {ranges:?}");
    }
}

#[test]
fn a_parameter_shows_type_size_and_class_alone() {
    let show = |shape, value: Option<&[u8]>| param(shared(), "text", shape, value).0.as_str().to_owned();
    assert_eq!(show(Shape::Text, Some(b"jo@example.com")), "text(14 bytes) [pii.email]");
    assert_eq!(show(Shape::Text, Some(b"John")), "text(4 bytes)");
    assert_eq!(show(Shape::Text, None), "text null");
    assert_eq!(
        show(Shape::Integer, Some(&4_111_111_111_111_111i64.to_be_bytes())),
        "text(8 bytes) [pii.card]"
    );
}

#[test]
fn lines_stay_lines_and_each_is_masked() {
    let detectors = Detectors::new();
    let masked = lines(&detectors, "request 1\nvalue 536-22-8391\n\u{202e}x\n");
    assert_eq!(masked.as_str(), "request 1\nvalue [pii.ssn]\n\\u{202e}x\n");
    assert_eq!(lines(&detectors, "").as_str(), "");
    let long = lines(&detectors, &"a line\n".repeat(TEXT_BYTES_MAX));
    assert!(long.as_str().len() <= TEXT_BYTES_MAX && long.as_str().ends_with(" bytes]"));
}

#[test]
fn each_part_of_a_dotted_name_is_looked_at() {
    for (text, expect) in [
        ("453-74-4459.4539578763621486", "[pii.ssn].[pii.card]"),
        ("a.453-74-4459.b", "a.[pii.ssn].b"),
        ("<ada.osei@example.com>.453-74-4459", "<[pii.email]>.[pii.ssn]"),
        ("public.customers.ssn", "public.customers.ssn"),
        (
            "access define crm/public/of%204539578763621486%20today",
            "access define crm/public/of%20[pii.card]%20today",
        ),
        ("x%20453-74-4459", "x%20[pii.ssn]"),
        ("numeric 12.50 at 7% or 100%", "numeric 12.50 at 7% or 100%"),
    ] {
        assert_eq!(name(shared(), text).as_str(), expect);
        assert_eq!(super::text(shared(), text).0.as_str(), expect);
        assert_eq!(lines(shared(), text).as_str(), expect);
    }
}
