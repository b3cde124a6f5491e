//! The reading, beside serde_json's.
#![allow(clippy::unwrap_used)]

use json::{JSON_DEPTH_MAX, JSON_VALUES_MAX, Unreadable, compact, parse};
use serde_json::Value as Theirs;

/// A name that stands twice in an object is refused here, and resolved by serde_json; all else is read alike.
fn ours(text: &str) -> Result<(), Unreadable> {
    parse(text.as_bytes()).map(|_| ())
}

#[test]
fn json_is_read_as_serde_json_reads_it() {
    let cases = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5e+3",
        "1E5",
        "\"\"",
        "[]",
        "{}",
        " [ 1 , 2 ] ",
        "[[],{}]",
        r#"{"a":{"b":[null,true]},"c":"d"}"#,
        r#""\u00e4\ud83d\ude00\"\\\/\b\f\n\r\t""#,
        "\"ä😀\"",
        "\"\u{7f}\"",
        // malformed
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "-",
        "--1",
        "0x1",
        "NaN",
        "Infinity",
        "[1,]",
        "[,]",
        "[1 2]",
        "[",
        "]",
        "{",
        "}",
        "{]",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{a:1}"#,
        "{'a':1}",
        r#"{"a":1 "b":2}"#,
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"",
        "\"a\u{0}b\"",
        "1 2",
        "[] []",
        "\u{feff}1",
        "/**/1",
        "\u{a0}1",
        "\u{c}1",
        "tru",
        "\"\\u+123\"",
    ];
    for text in cases {
        assert_eq!(ours(text).is_ok(), serde_json::from_str::<Theirs>(text).is_ok(), "{text:?}");
    }
}

#[test]
fn random_texts_are_read_as_serde_json_reads_them() {
    /// xorshift; the same in every run.
    fn below(state: &mut u64, end: usize) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state % end as u64).unwrap()
    }
    let words = [
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "\"", "\\", "\\u", "d83d", "\\ude00", "1", "-", "0",
        ".", "e", "true", "null", " ", "\n", "ä", "\"a\":1", "\"c\":[", "\"\\n\"",
    ];
    let (mut state, mut read) = (0x9e37_79b9, 0);
    for _ in 0..40_000 {
        let count = below(&mut state, 8);
        let text: String = (0..count).map(|_| words[below(&mut state, words.len())]).collect();
        let theirs = serde_json::from_str::<Theirs>(&text);
        match (parse(text.as_bytes()), theirs) {
            (Ok(value), Ok(theirs)) => {
                read += 1;
                let compacted: Theirs = serde_json::from_str(&compact(value.raw)).unwrap();
                assert_eq!(compacted, theirs, "{text:?}");
            }
            (Err(Unreadable("the JSON says a name twice in one object")), Ok(_)) => {}
            // A number that no double holds.
            (Ok(_), Err(why)) => assert!(why.to_string().contains("out of range"), "{text:?}: {why}"),
            (Err(_), Err(_)) => {}
            (Err(why), Ok(_)) => panic!("{text:?}: {why:?}"),
        }
    }
    assert!(read > 1_000, "{read}");
}

#[test]
fn a_text_without_white_space_keeps_order_digits_and_texts() {
    let cases = [
        (r#" { "b" : 1 , "a" : [ 1.50 , 1e2 ] } "#, r#"{"b":1,"a":[1.50,1e2]}"#),
        ("{\"a \\\" b\" :\t\" c\\\\\" ,\r\n\"d\":\" \"}", "{\"a \\\" b\":\" c\\\\\",\"d\":\" \"}"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ];
    for (text, expected) in cases {
        assert_eq!(compact(parse(text.as_bytes()).unwrap().raw), expected);
    }
}

#[test]
fn a_name_has_one_value() {
    let twice = Err(Unreadable("the JSON says a name twice in one object"));
    assert_eq!(ours(r#"{"a":1,"a":1}"#), twice);
    assert_eq!(ours(r#"{"a":1,"b":2,"\u0061":3}"#), twice);
    assert_eq!(ours(r#"[{"x":{"a":1,"a":2}}]"#), twice);
    assert_eq!(ours(r#"{"a":{"a":1},"b":{"a":2}}"#), Ok(()));

    let case = Some(Unreadable("a name differs from a known one only in the case of its letters"));
    for name in ["Messages", "MESSAGES", "me\u{17f}\u{17f}ages", "\\u004dessages"] {
        let text = format!(r#"{{"messages":[],"{name}":null}}"#);
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value.object().unwrap().get("messages").err(), case, "{name}");
    }
}

#[test]
fn json_is_bounded() {
    let nested = |n: usize| ours(&format!("{}{}", "[".repeat(n), "]".repeat(n)));
    assert_eq!(nested(JSON_DEPTH_MAX), Ok(()));
    assert_eq!(nested(JSON_DEPTH_MAX + 1), Err(Unreadable("the JSON is nested deeper than 64")));
    let objects = |n: usize| ours(&format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n)));
    assert_eq!(objects(JSON_DEPTH_MAX), Ok(()));
    assert_eq!(objects(JSON_DEPTH_MAX + 1), Err(Unreadable("the JSON is nested deeper than 64")));

    // The array is a value too.
    let wide = |n: usize| ours(&format!("[{}]", vec!["0"; n - 1].join(",")));
    assert_eq!(wide(JSON_VALUES_MAX), Ok(()));
    assert_eq!(wide(JSON_VALUES_MAX + 1), Err(Unreadable("the JSON has more than 262,144 values")));
    assert_eq!(parse(b"\"\xff\"").err(), Some(Unreadable("the JSON is not UTF-8")));
}
