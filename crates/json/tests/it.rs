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

mod yaml {
    use json::yaml::{json, json_at};
    use json::{JSON_DEPTH_MAX, JSON_VALUES_MAX, parse};

    const WORD: &str = "the YAML has a word that is true, false or null to some readers only: write true, false or null, or put it in quotes";
    const NUMBER: &str = "the YAML has a word that readers take for different numbers or times: write a number as JSON has it, or put it in quotes";
    const NAME: &str = "the YAML has a name that is no text of one line: put it in quotes";
    const TAG: &str = "the YAML has a tag (`!`) other than `!!str`: its readers differ";
    const ANCHOR: &str = "the YAML has an anchor or an alias (`&`, `*`): write the value where it is meant";
    const MERGE: &str = "the YAML has `<<` or `=`, which some readers do not take for a text";
    const CHARACTER: &str =
        "the YAML has a character that its readers differ on: write it as an escape in double quotes";
    const DOCUMENTS: &str = "the YAML has more than one document: its readers differ";
    const DIRECTIVE: &str =
        "the YAML begins with a directive (`%`) or with the end of a document: its readers differ";
    const MALFORMED: &str = "the YAML is malformed";

    fn read(text: &str) -> Result<String, &'static str> {
        json(text.as_bytes()).map(|json| String::from_utf8(json).unwrap()).map_err(|why| why.0)
    }

    #[test]
    fn what_every_reader_reads_alike_becomes_json() {
        let cases = [
            ("a: b\nc: [d, {e: f}]\n", r#"{"a":"b","c":["d",{"e":"f"}]}"#),
            ("- a\n- - b\n  - c\n-\n", r#"["a",["b","c"],null]"#),
            ("# c\n---\na: b # d\n...\n", r#"{"a":"b"}"#),
            ("a: |\n  b\n   c\n\nd: >-\n  e\n  f\n", r#"{"a":"b\n c\n","d":"e f"}"#),
            (
                "a: 'b''c'\nd: \"e\\tf\\x01\\u2028\\\"\"\n",
                "{\"a\":\"b'c\",\"d\":\"e\\tf\\u0001\\u2028\\\"\"}",
            ),
            ("\"a\": 'ä😀'", r#"{"a":"ä😀"}"#),
            ("a: !!str 5\nb: !!map {}\nc: !!seq []\n", r#"{"a":"5","b":{},"c":[]}"#),
            ("a:\r\n  b: c\r\n", r#"{"a":{"b":"c"}}"#),
            ("{a: nginx:1.2, b: http://c/d}", r#"{"a":"nginx:1.2","b":"http://c/d"}"#),
            ("? a\n: b\n", r#"{"a":"b"}"#),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn json_stays_as_it_is() {
        for text in ["{}", " \n[1, 1e3, -0, \"\\/\"]\n", "{\"a\": {\"yes\": 0.10}}", "{\"a\":1,\n\t\"A\":2}"]
        {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        // To a reader of YAML each of these says something else.
        assert_eq!(read("{\"a\": {\"<<\": {}}}"), Err(MERGE));
        assert_eq!(read("{\"a\": 1e400}"), Err(NUMBER));
        assert_eq!(read("{\"a\": \"\u{2028}\"}"), Err(CHARACTER));
        assert_eq!(read("{\"a\": 1, \"a\": 1}"), Err("the YAML says a name twice in one mapping"));
    }

    /// A word without quotes, and what it becomes as a value.
    #[test]
    fn a_word_is_what_it_is_to_every_reader_or_nothing() {
        let same = [
            ("null", "null"),
            ("~", "null"),
            ("", "null"),
            ("NULL", "null"),
            ("true", "true"),
            ("True", "true"),
            ("FALSE", "false"),
            ("0", "0"),
            ("-12", "-12"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.0", "1"),
            ("-0.50", "-0.5"),
            ("0.0", "0"),
            ("120.0", "120"),
            ("123456789012.345", "123456789012.345"),
        ];
        for (word, expected) in same {
            assert_eq!(read(&format!("a: {word}\n")), Ok(format!("{{\"a\":{expected}}}")), "{word}");
        }
        let texts = [
            "a",
            "e2e",
            "1Gi",
            "100m",
            "10.0.0.1",
            "1.2.3",
            "10.0.0.0/8",
            "24h",
            "1m30s",
            "nginx:1.25",
            "/a",
            ".",
            "..",
            "./a",
            "--a",
            "-a",
            "nan",
            "inf",
            "no way",
            "yesterday",
            "0xg",
            "12:30:45Z",
            "a<<",
            "==",
            "~a",
            "2024-1-1x",
            "sha256:0123",
            "1e3x",
            "a?",
        ];
        for word in texts {
            assert_eq!(read(&format!("a: {word}\n")), Ok(format!("{{\"a\":\"{word}\"}}")), "{word}");
        }
        let words = ["y", "N", "yes", "Yes", "NO", "on", "Off", "yEs", "tRUE", "nULL"];
        let numbers = [
            "+1",
            "-0",
            "-0.0",
            "017",
            "08",
            "00",
            "0o7",
            "0x1F",
            "0b1",
            "-0x1",
            "0_o7",
            "1_000",
            "-_0",
            "_1",
            "1,000",
            "1e3",
            "1.5e3",
            "1.5E+3",
            ".5",
            "-.5",
            "1.",
            ".inf",
            "-.Inf",
            ".NaN",
            "12:30:45",
            "1:30",
            "80:80",
            "2024-01-01",
            "2024-01",
            "2024-01-01T00:00:00Z",
            "2024-1-1 0:00:00",
            "9223372036854775808",
            "-9223372036854775809",
            "1234567890123.456",
            "+1.2.3",
            "1-2",
            "1e",
        ];
        for (word, expected) in words.map(|word| (word, WORD)).into_iter().chain(numbers.map(|n| (n, NUMBER)))
        {
            assert_eq!(read(&format!("a: {word}\n")), Err(expected), "{word}");
            assert_eq!(read(&format!("- {word}\n")), Err(expected), "{word}");
            for quote in ['"', '\''] {
                let quoted = format!("a: {quote}{word}{quote}\n");
                assert_eq!(read(&quoted), Ok(format!("{{\"a\":\"{word}\"}}")), "{word}");
            }
            assert_eq!(read(&format!("a: !!str {word}\n")), Ok(format!("{{\"a\":\"{word}\"}}")), "{word}");
        }
    }

    #[test]
    fn what_two_readers_read_differently_is_refused() {
        let cases = [
            ("a: &b c\n", ANCHOR),
            ("a: &b {}\n", ANCHOR),
            ("&b [a]\n", ANCHOR),
            ("a: &b c\nd: *b\n", ANCHOR),
            ("a: !!int \"5\"\n", TAG),
            ("a: !!binary aGk=\n", TAG),
            ("a: !b c\n", TAG),
            ("a: ! 5\n", TAG),
            ("a: !!map []\n", TAG),
            ("a: !!str []\n", TAG),
            ("a: !!set {b}\n", TAG),
            ("a: <<\n", MERGE),
            ("<<: {a: b}\n", MERGE),
            ("'<<': {a: b}\n", MERGE),
            ("a: =\n", MERGE),
            ("a: b\n---\nc: d\n", DOCUMENTS),
            ("a: b\n---\n", DOCUMENTS),
            ("%YAML 1.1\n---\na: b\n", DIRECTIVE),
            ("# c\n\n%TAG ! tag:a,2000:\n--- {}\n", DIRECTIVE),
            ("...\na: b\n", DIRECTIVE),
            ("1: a\n", NAME),
            ("true: a\n", NAME),
            ("~: a\n", NAME),
            (": a\n", NAME),
            ("[a]: b\n", NAME),
            ("? {a: b}\n: c\n", NAME),
            ("? |\n  a\n: c\n", NAME),
            ("on: a\n", WORD),
            ("0x1: a\n", NUMBER),
            ("a: b\n'a': c\n", "the YAML says a name twice in one mapping"),
            ("a: b\n\"\\x61\": c\n", "the YAML says a name twice in one mapping"),
            ("[a, ?b]\n", "the YAML has a word that begins with `?`: put it in quotes"),
            ("a: b\u{85}c\n", CHARACTER),
            ("a: b\u{2028}c\n", CHARACTER),
            ("a: b\u{7f}c\n", CHARACTER),
            ("a: b\u{0}c\n", CHARACTER),
            ("a: b\u{fffe}c\n", CHARACTER),
            ("\u{feff}a: b\n", CHARACTER),
            (
                "a: |\n  b",
                "the YAML ends in a block of text without a line feed: its readers differ on whether there is one",
            ),
            ("a: 'b\n\tc'\n", "the YAML has a line that begins with a tab: its readers differ"),
            ("a", "the YAML is neither a mapping nor a list"),
            ("--- |\n a\n", "the YAML is neither a mapping nor a list"),
            ("", "the YAML has no document"),
            ("# a\n", "the YAML has no document"),
            ("a: b: c\n", MALFORMED),
            ("a: {b\n", MALFORMED),
            ("a: b\n  c: d\n", MALFORMED),
            ("a: *b\n", MALFORMED),
            ("a: @b\n", MALFORMED),
            ("a: \"\\ud800\"\n", MALFORMED),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), Err(expected), "{text:?}");
        }
        assert_eq!(json(b"a: \xff").err().map(|why| why.0), Some("the YAML is not UTF-8"));
    }

    #[test]
    fn an_error_has_its_line() {
        let line = |text: &str| json_at(text.as_bytes()).unwrap_err().1;
        assert_eq!(line("a: b\nc:\n  - d\n  - yes\n"), 4);
        assert_eq!(line("a: b\nc: d\u{85}\n"), 2);
        assert_eq!(line("# c\n%YAML 1.2\n---\n{}\n"), 2);
        assert_eq!(line("a: b\n\tc\n"), 2);
        assert_eq!(line("a: b\na: c\n"), 2);
        assert_eq!(line("a: b\nc: d: e\nf: g\n"), 2);
        assert_eq!(json_at(b"a: b\nc: \xff\n").unwrap_err().1, 2);
    }

    #[test]
    fn yaml_is_bounded_as_json_is() {
        let deep = "the YAML is nested deeper than 64";
        let nested = |n: usize| read(&format!("{}a{}", "[".repeat(n), "]".repeat(n))).map(|_| ());
        assert_eq!((nested(JSON_DEPTH_MAX), nested(JSON_DEPTH_MAX + 1)), (Ok(()), Err(deep)));
        let lists = |n: usize| read(&format!("{}a", "- ".repeat(n))).map(|_| ());
        assert_eq!((lists(JSON_DEPTH_MAX), lists(JSON_DEPTH_MAX + 1)), (Ok(()), Err(deep)));
        // The list is a value, too.
        let wide = |n: usize| read(&"- a\n".repeat(n - 1)).map(|_| ());
        assert_eq!(wide(JSON_VALUES_MAX), Ok(()));
        assert_eq!(wide(JSON_VALUES_MAX + 1), Err("the YAML has more than 262,144 values"));
    }

    /// Texts made of the marks of YAML, each with the same dice: none makes the reader panic, and what is read is JSON.
    #[test]
    fn random_yaml_becomes_json_or_is_refused() {
        fn below(state: &mut u64, end: usize) -> usize {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            usize::try_from(*state % end as u64).unwrap()
        }
        let marks = [
            "a", "b: ", "- ", "-", "\n", "\n  ", "\n    ", " ", "\t", "{", "}", "[", "]", ",", ": ", ":",
            "? ", "#", "'", "\"", "|", ">-", "|2", "\\n", "\\", "---\n", "...\n", "%", "&a ", "*a", "!",
            "!!str ", "é", "\r\n", "null", "1", "0x1", "<<", "@", "`", "\u{2028}", "\"q\": ",
        ];
        let (mut state, mut became) = (0x9e37_79b9, 0);
        for _ in 0..60_000 {
            let count = below(&mut state, 12);
            let text: String = (0..count).map(|_| marks[below(&mut state, marks.len())]).collect();
            if let Ok(written) = json(text.as_bytes()) {
                became += 1;
                assert!(parse(&written).is_ok(), "{text:?}");
                assert_eq!(json(&written).as_ref(), Ok(&written), "{text:?}");
            }
        }
        assert!(became > 1_000, "{became}");
    }
}
