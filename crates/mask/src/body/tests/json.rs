//! JSON: what is found in it, and what rules make of it.

use super::*;

fn plain() -> Setup {
    Setup::new(Media::Json)
}

#[test]
fn what_is_not_touched_keeps_its_bytes() {
    let texts = [
        " { \"b\" : [ 1 , -0.0, 1e+5,1E-2 ,0 ] ,\r\n\t\"a\":{}, \"\":[] } \n",
        "{\"\\u0041\\/\\\"\":\"\\ud83d\\ude00 \u{1f600}\"}",
        "[]",
        "{}",
        "null",
        "true",
        "-0",
        "0.10e00",
        "\"\"",
        "[[[[[[]]]],{\"a\":[{}]}]]",
        "[123456789, 1234567890123, 0.0100000000000000, 4111111111111112]",
        "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}",
    ];
    for text in texts {
        assert_eq!(plain().passes(text), Found::default());
    }
}

#[test]
fn values_are_found_in_strings_names_and_numbers_however_they_are_written() {
    let deep = base64(base64(EMAIL.as_bytes()).as_bytes());
    let cases: &[(String, &str)] = &[
        (format!("\"{EMAIL}\""), "\"[pii.email]\""),
        (format!("{{ \"to\" : \"mail {EMAIL}, now\" }}"), "{ \"to\" : \"mail [pii.email], now\" }"),
        ("[\"jo.doe\\u0040example.com\"]".to_owned(), "[\"[pii.email]\"]"),
        ("[\"\\n jo.doe\\u0040example\\u002Ecom \\u00e9\"]".to_owned(), "[\"\\n [pii.email] \u{e9}\"]"),
        (format!("[\"\\\"{EMAIL}\\\" \\u0000\\\\\"]"), "[\"\\\"[pii.email]\\\" \\u0000\\\\\"]"),
        ("[\"\\u0035\\u0033\\u0036-90-4399\"]".to_owned(), "[\"[pii.ssn]\"]"),
        (format!("{{\"{EMAIL}\":1,\"x\":2}}"), "{\"[pii.email]\":1,\"x\":2}"),
        ("{\"jo.doe\\u0040example.com\":{\"x\":2}}".to_owned(), "{\"[pii.email]\":{\"x\":2}}"),
        (format!("[{CARD}, -{CARD},{CARD}.0]"), "[\"[pii.card]\", \"[pii.card]\",\"[pii.card]\"]"),
        ("[4.111111111111111e15,4.2]".to_owned(), "[\"[pii.card]\",4.2]"),
        (CARD.to_owned(), "\"[pii.card]\""),
        (format!("{{\"blob\":\"{deep}\"}}"), "{\"blob\":\"[pii.email]\"}"),
        ("{\"q\":\"u=jo.doe%40example.com&x=1\"}".to_owned(), "{\"q\":\"u=[pii.email]&x=1\"}"),
        (
            format!("{{\"arguments\":\"{{\\\"ssn\\\":\\\"{SSN}\\\"}}\"}}"),
            "{\"arguments\":\"{\\\"ssn\\\":\\\"[pii.ssn]\\\"}\"}",
        ),
        (
            "{\"a\":\"{\\\"e\\\":\\\"jo\\\\u0040example.com\\\"}\"}".to_owned(),
            "{\"a\":\"{\\\"e\\\":\\\"[pii.email]\\\"}\"}",
        ),
    ];
    for (input, expect) in cases {
        plain().check(input, expect);
    }
    let found = plain().check(&format!("[{CARD}, 4.111111111111111e15]"), "[\"[pii.card]\", \"[pii.card]\"]");
    assert_eq!(hits(&found), [("card", Form::Raw, Act::Masked, 1), ("card", Form::Number, Act::Masked, 1)]);
}

#[test]
fn one_string_gives_away_the_secret_in_another() {
    plain().check(
        &format!("{{\"AccessKeyId\":\"{KEY_ID}\",\"SecretAccessKey\":\"{SECRET}\"}}"),
        "{\"AccessKeyId\":\"[secret.aws_key]\",\"SecretAccessKey\":\"[secret.aws_key]\"}",
    );
    plain().check(
        &format!("{{\"SecretAccessKey\":\"{SECRET}\"}}"),
        "{\"SecretAccessKey\":\"[secret.aws_key]\"}",
    );
    plain().check(
        &format!("[\"{SECRET}\" , [\"x\", 7, \"{KEY_ID}\"]]"),
        "[\"[secret.aws_key]\" , [\"x\", 7, \"[secret.aws_key]\"]]",
    );
    plain().passes(&format!("[\"{SECRET}\"]"));
}

#[test]
fn a_pair_is_found_wherever_a_piece_ends() {
    // The pieces in which a body is looked at end after some 16 KiB of text: the pair is moved over that place.
    for filler in (16_200..16_500).step_by(7) {
        let text =
            format!("[\"{}\",\"{SECRET}\",\"{KEY_ID}\",\"{}\"]", "x ".repeat(filler / 2), "y ".repeat(9_000));
        let (out, found) = plain().whole(text.as_bytes()).unwrap();
        assert!(!out.windows(40).any(|w| w == SECRET.as_bytes()), "{filler}");
        assert_eq!(found.tripped.iter().map(|h| h.count).sum::<u64>(), 2);
        assert_eq!(
            plain().split(text.as_bytes(), (1..).map(|i| i * 911).take_while(|&c| c < text.len())).unwrap().0,
            out
        );
    }
}

#[test]
fn what_the_run_knows_passes() {
    let setup = plain().knows(Origin::Echo, EMAIL).knows(Origin::Own, SSN).knows(Origin::Revealed, CARD);
    let text = format!("{{\"{EMAIL}\":[\"{SSN}\",{CARD},\"jo.doe\\u0040example.com\"]}}");
    let found = setup.passes(&text);
    let expect = [
        ("card", Form::Raw, Act::Revealed, 1),
        ("email", Form::Raw, Act::Echo, 2),
        ("us-ssn", Form::Raw, Act::Own, 1),
    ];
    assert_eq!(hits(&found), expect);
    // Beside a value that it does not know.
    let found = setup.check(&format!("\"{EMAIL} al@example.com\""), &format!("\"{EMAIL} [pii.email]\""));
    assert_eq!(hits(&found), [("email", Form::Raw, Act::Masked, 1), ("email", Form::Raw, Act::Echo, 1)]);
}

#[test]
fn each_kind_masks_each_type() {
    let text = "{\"v\" : [\"a\\u0062cdefghij\", -1.5, true, false, null, {\"a\":[1,{}]}, [[\"x\"]], \"\"] , \"w\":1}";
    let cases = [
        (MaskKind::Null, "[null, null, null, null, null, null, null, null]"),
        (MaskKind::Redact, "[\"[pii.x]\", 0, false, false, null, null, null, \"[pii.x]\"]"),
        (MaskKind::Partial { keep: 2 }, "[\"********ij\", 0, false, false, null, null, null, \"\"]"),
        (MaskKind::Token, "[null, null, null, null, null, null, null, null]"),
        (MaskKind::Partial { keep: 9 }, "[\"*****fghij\", 0, false, false, null, null, null, \"\"]"),
    ];
    for (kind, expect) in cases {
        // A kind that `PathRule::new` refuses masks as null.
        let setup = plain().rules([PathRule { kind, ..rule("$.v[*]", "pii.x", MaskKind::Null) }]);
        let found = setup.check(text, &format!("{{\"v\" : {expect} , \"w\":1}}"));
        assert_eq!(governed(&found), [(0, 8, false, vec![])]);
    }
}

#[test]
fn a_rule_holds_where_its_path_leads_and_nowhere_else() {
    let text = "{\"a\":{\"b\":1,\"c\":[1,2]},\"b\":[{\"b\":1}],\"a b\":3}";
    let cases = [
        ("$", "0", 1),
        ("$.a", "{\"a\":0,\"b\":[{\"b\":1}],\"a b\":3}", 1),
        ("$.a.b", "{\"a\":{\"b\":0,\"c\":[1,2]},\"b\":[{\"b\":1}],\"a b\":3}", 1),
        ("$.a.c[1]", "{\"a\":{\"b\":1,\"c\":[1,0]},\"b\":[{\"b\":1}],\"a b\":3}", 1),
        ("$.a.*", "{\"a\":{\"b\":0,\"c\":0},\"b\":[{\"b\":1}],\"a b\":3}", 2),
        ("$..b", "{\"a\":{\"b\":0,\"c\":[1,2]},\"b\":0,\"a b\":3}", 2),
        ("$.b[*].b", "{\"a\":{\"b\":1,\"c\":[1,2]},\"b\":[{\"b\":0}],\"a b\":3}", 1),
        ("$['a b']", "{\"a\":{\"b\":1,\"c\":[1,2]},\"b\":[{\"b\":1}],\"a b\":0}", 1),
    ];
    for (path, expect, cells) in cases {
        let setup = plain().rules([rule(path, "pii.x", MaskKind::Redact)]);
        // An object and an array become null; here 0 is written for both.
        let found = setup.everywhere(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(found.0).unwrap().replace("null", "0"), expect, "{path}");
        assert_eq!(governed(&found.1), [(0, cells, false, vec![])], "{path}");
    }
    let found = plain().rules([rule("$.z", "pii.x", MaskKind::Null)]).passes(text);
    assert_eq!(found, Found::default());
}

#[test]
fn a_name_is_compared_as_it_reads() {
    let setup = plain().rules([rule("$.ssn", "pii.ssn", MaskKind::Redact)]);
    setup.check("{\"\\u0073s\\u006e\":\"none\"}", "{\"\\u0073s\\u006e\":\"[pii.ssn]\"}");
    setup.passes("{\"SSN\":\"none\",\"\\\\u0073sn\":1}");
}

#[test]
fn what_is_left_out_is_read_and_gives_nothing_away() {
    let setup = plain().rules([rule("$.o", "pii.x", MaskKind::Null)]);
    let found =
        setup.check(&format!("{{\"o\":{{\"{EMAIL}\":[{CARD}, true]}},\"p\":2}}"), "{\"o\":null,\"p\":2}");
    assert!(found.tripped.is_empty());
    for bad in
        ["{\"o\":{\"a\":1,\"a\":2}}", "{\"o\":[1,]}", "{\"o\":[\"\\ud800\"]}", "{\"o\":[01]}", "{\"o\":[}"]
    {
        setup.refused(bad.as_bytes());
    }
}

#[test]
fn of_two_rules_the_one_that_is_not_revealed_counts() {
    let rules = [rule("$.a", "pii.x", MaskKind::Null), rule("$..a", "pii.y", MaskKind::Redact)];
    let setup = plain().rules(rules).reveals(&["pii.x"]);
    let found = setup.check("{\"a\":\"v\"}", "{\"a\":\"[pii.y]\"}");
    assert_eq!(governed(&found), [(0, 1, false, vec![]), (1, 1, false, vec![])]);
}

#[test]
fn what_is_revealed_passes_and_is_counted() {
    let rules = [rule("$.c", "pii.email", MaskKind::Null), rule("$.c.n", "pii.ssn", MaskKind::Redact)];
    let setup = plain().rules(rules).reveals(&["pii.email"]);
    let text = format!(
        "{{\"c\":{{\"e\":[\"{EMAIL}\",true],\"n\":\"x\",\"s\":\"{SSN} \\u0041\",\"i\":12}},\"e\":\"{EMAIL}\"}}"
    );
    let expect = format!(
        "{{\"c\":{{\"e\":[\"{EMAIL}\",true],\"n\":\"[pii.ssn]\",\"s\":\"[pii.ssn] A\",\"i\":12}},\
         \"e\":\"[pii.email]\"}}"
    );
    let found = setup.check(&text, &expect);
    // What a detector found in it that is not revealed was masked, and is no value that passed.
    let values = [EMAIL, "[pii.ssn] A", "12"].map(str::to_owned).to_vec();
    assert_eq!(governed(&found), [(0, 1, true, values), (1, 1, false, vec![])]);
    let expect = [
        ("email", Form::Raw, Act::Masked, 1),
        ("email", Form::Raw, Act::Revealed, 1),
        ("us-ssn", Form::Raw, Act::Masked, 1),
    ];
    assert_eq!(hits(&found), expect);
}

#[test]
fn what_a_part_leaves_is_looked_at() {
    let setup = plain().rules([rule("$", "pii.x", MaskKind::Partial { keep: 41 })]);
    let text = format!("\"{}{EMAIL}\"", "a b ".repeat(6));
    setup.check(&text, &format!("\"{} b [pii.email]\"", "*".repeat(21)));
}

#[test]
fn each_line_is_a_text_of_its_own() {
    let setup = Setup::new(Media::JsonLines).rules([rule("$.n", "pii.x", MaskKind::Null)]);
    let found = setup.check(
        &format!("{{\"n\":1}}\n\r\n {{\"n\":\"{EMAIL}\"}} \r\n\n[\"{EMAIL}\"]\n7"),
        "{\"n\":null}\n\r\n {\"n\":null} \r\n\n[\"[pii.email]\"]\n7",
    );
    assert_eq!(governed(&found), [(0, 2, false, vec![])]);
    for bad in ["[1,\n2]", "1 2\n", "{}\n{\n}", "{}{}", "[1]\n\u{feff}[2]", "1\n2\n\"x", "nul\nl"] {
        setup.refused(bad.as_bytes());
    }
}

#[test]
fn a_line_is_released_when_it_ends() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::JsonLines, [].into(), BTreeSet::new());
    assert_eq!(body.push(shared(), &known, b"{\"a\":1").unwrap().as_bytes(), b"");
    assert_eq!(body.push(shared(), &known, b"}\n[").unwrap().as_bytes(), b"{\"a\":1}\n");
}

#[test]
fn rules_hold_in_strings_that_say_json_themselves() {
    let setup = || {
        plain().rules([rule("$..name", "pii.name", MaskKind::Redact), rule("$.n", "pii.x", MaskKind::Null)])
    };
    let inner = |text: &str| String::from_utf8(super::super::write::json_string(text.as_bytes())).unwrap();
    let cases = [
        (r#"{"name":"ann","id":3}"#.to_owned(), r#"{"name":"[pii.name]","id":3}"#.to_owned()),
        // From the root of the inner text.
        (r#" [{"n":1}, {"name":7}]"#.to_owned(), r#" [{"n":1}, {"name":0}]"#.to_owned()),
        (r#"{"n":{"a":1}}"#.to_owned(), r#"{"n":null}"#.to_owned()),
        (
            format!(r#"{{"text":{}}}"#, inner(r#"{"name":"ann"}"#)),
            format!(r#"{{"text":{}}}"#, inner(r#"{"name":"[pii.name]"}"#)),
        ),
    ];
    for (text, masked) in &cases {
        let body = |text: &str| format!(r#"{{"text": {}, "x":1}}"#, inner(text));
        let found = setup().check(&body(text), &body(masked));
        assert_eq!(governed(&found).iter().map(|g| g.1).sum::<u64>(), 1, "{text}");
    }
    // What is untouched keeps its bytes, and what is no JSON is a text.
    setup().passes(r#"{"text":"{\u0022a\u0022: 1}","b":"{name: ann}","c":"[1,2"}"#);
    setup().check(&format!(r#"["{{\"nome\": \"ann\" {EMAIL}"]"#), r#"["{\"nome\": \"ann\" [pii.email]"]"#);
    for text in [
        "[1] see \"name\" below",
        "{name}",
        "{{ \"name\": .Name }}",
        "[name]: https://x.example",
        "{ \"nam\": 1,",
        "the field \"name\": a person's",
        "see {\"name\":\"of it\"}",
    ] {
        setup().passes(&format!("[{}]", inner(text)));
    }
    // What lenient readers take for JSON: a text in each line is read, any other left out.
    let lines = "\u{feff}{\"name\":\"ann\"}\n\n {\"name\":7}\n";
    setup().check(
        &format!("[{}]", inner(lines)),
        &format!("[{}]", inner("\u{feff}{\"name\":\"[pii.name]\"}\n\n {\"name\":0}\n")),
    );
    for nearly in [
        "{\"name\":\"ann\",}",
        "{\"a\":NaN,\"name\":\"ann\"}",
        "{\"name\":\"ann\"} {\"name\":\"bob\"}",
        "{\"name\":\"ann\"}{}\n",
        "{\"name\":\"ann",
        "[{'name': 'ann'}]",
        "{\"n\\u0061me\" :\"ann\" // x\n}",
        "\u{feff} {\"name\":\"ann\"",
        "{\"name\" /*c*/: \"ann\"}",
        "{\"name\"=>\"ann\"}",
        "// c\n{\"name\":\"ann\"}",
        ")]}'\n{\"name\":\"ann\"}",
        "callback({\"name\":\"ann\"})",
        "```json\n{\"name\":\"ann\"}\n```",
        "data: {\"name\":\"ann\"}",
        "\u{a0}{\"name\":\"ann\"}",
        "\u{feff}\u{feff}{\"name\":\"ann\"}",
    ] {
        let found = setup().check(&format!("[{}]", inner(nearly)), "[\"[pii.name]\"]");
        assert_eq!(governed(&found), [(0, 1, false, vec![])], "{nearly}");
    }
    let shown = setup().reveals(&["pii.name"]);
    shown.passes(&format!("[{}]", inner("{\"name\":\"ann\",}")));
    // A grant reveals what stands at the path, and nothing beside it.
    let revealed = plain().rules([rule("$..mail", "pii.email", MaskKind::Redact)]).reveals(&["pii.email"]);
    let said =
        |second: &str| format!(r#"{{"text":{}}}"#, inner(&format!(r#"{{"mail":"{EMAIL}","b":"{second}"}}"#)));
    let found = revealed.check(&said(EMAIL), &said("[pii.email]"));
    assert_eq!(governed(&found), [(0, 1, true, vec![EMAIL.to_owned()])]);
    // Not for ever.
    let mut deep = r#"{"name":"ann"}"#.to_owned();
    for _ in 0..=crate::limits::BODY_INNER_DEPTH_MAX {
        deep = inner(&deep);
    }
    setup().whole(format!("[{deep}]").as_bytes()).unwrap_err();
    // What some reader takes for JSON, and this one not, is not passed as a text.
    setup().refused(format!("[{}]", inner(r#"{"a":1,"a":2,"name":"ann"}"#)).as_bytes());
}

#[test]
fn what_is_spared_is_looked_at_by_detectors_alone() {
    let rules = [
        rule("$..ssn", "pii.ssn", MaskKind::Redact),
        rule("$.a.b", "pii.ssn", MaskKind::Null).sparing(),
        rule("$.a.c", "pii.ssn", MaskKind::Null),
    ];
    let text = format!(
        r#"{{"a":{{"b":[{{"ssn":{{"type":"string"}},"to":"{EMAIL}"}}],"c":1,"ssn":"x"}},"b":{{"ssn":"x"}}}}"#
    );
    let expect = r#"{"a":{"b":[{"ssn":{"type":"string"},"to":"[pii.email]"}],"c":null,"ssn":"[pii.ssn]"},"b":{"ssn":"[pii.ssn]"}}"#;
    let found = plain().rules(rules.clone()).check(&text, expect);
    assert_eq!(governed(&found), [(2, 1, false, vec![]), (0, 2, false, vec![])]);
    // The same in a string is data.
    let inner = |text: &str| String::from_utf8(super::super::write::json_string(text.as_bytes())).unwrap();
    let [said, expect] =
        ["x", "[pii.ssn]"].map(|ssn| inner(&format!(r#"{{"a":{{"b":{{"ssn":"{ssn}"}}}}}}"#)));
    let found = plain().rules(rules).check(&said, &expect);
    assert_eq!(governed(&found), [(0, 1, false, vec![])]);
}
