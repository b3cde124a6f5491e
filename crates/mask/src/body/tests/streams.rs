//! Event streams and text.

use super::*;
use crate::limits::{BODY_LINE_BYTES_MAX, BODY_LINE_OVERLAP_BYTES};

fn events() -> Setup {
    Setup::new(Media::EventStream).rules([rule("$.n", "pii.x", MaskKind::Null)])
}

fn text() -> Setup {
    Setup::new(Media::Text)
}

/// Events without a rule.
fn plain() -> Setup {
    Setup::new(Media::EventStream)
}

#[test]
fn events_that_pass_keep_their_bytes() {
    let texts = [
        "data: {\"a\": 1}\n\n",
        "data:{\"a\":\ndata: 1}\ndata\nid: 7\n\n",
        ": comment\r\n\r\nevent: x\r\ndata: [DONE]\r\n\r\n",
        "data: one\rdata: two\r\rdata: x\r\n\rretry: 10\n\n\n\n",
        "data: a line of words\ndatum: x\nfield\n: \n\n",
        "data: cut off",
        "data: {\"a\":1}\n",
        "\n\n\r\r\n",
        "data:\n\n",
    ];
    for text in texts {
        assert_eq!(plain().passes(text), Found::default());
    }
}

#[test]
fn events_are_masked_as_json_and_as_text() {
    let cases: &[(String, &str)] = &[
        (format!("data: {{\"e\":\"{EMAIL}\"}}\n\n"), "data: {\"e\":\"[pii.email]\"}\n\n"),
        (
            format!("event: x\r\ndata:{{\"e\":\r\ndata: \"{EMAIL}\"}}\r\n\r\n"),
            "event: x\ndata: {\"e\": \"[pii.email]\"}\n\n\n",
        ),
        (format!("data: to {EMAIL}\ndata: and {SSN}\n\n"), "data: to [pii.email]\ndata: and [pii.ssn]\n\n"),
        (format!("id: {EMAIL}\ndata\n\n"), "id: [pii.email]\ndata: \n\n"),
        (format!(": {SSN}\n\n"), ": [pii.ssn]\n\n"),
        (format!("event: {}\n\n", base64(EMAIL.as_bytes())), "event: [pii.email]\n\n"),
        (format!("data: {}\n\n", base64(EMAIL.as_bytes())), "data: [pii.email]\n\n"),
        (
            "data: -----BEGIN PRIVATE KEY-----\ndata: MIIEow\ndata: -----END PRIVATE KEY-----\n\n".to_owned(),
            "data: [secret.private_key]\n\n",
        ),
        ("data: jo\\u0040example.com\n\n".to_owned(), "data: [pii.email]\n\n"),
        (format!("data: {CARD}\n\n"), "data: \"[pii.card]\"\n\n"),
        (format!("data: {{\"e\":\"{EMAIL}\"}}"), "data: {\"e\":\"[pii.email]\"}\n"),
    ];
    for (input, expect) in cases {
        plain().check(input, expect);
    }
    events().check(
        "data: {\"n\":[1,2]}\nid: 3\n\ndata: {\"m\":1}\n\ndata: [DONE]\n\n",
        "id: 3\ndata: {\"n\":null}\n\ndata: {\"m\":1}\n\ndata: [DONE]\n\n",
    );
    let found = events()
        .check("data: {\"n\":1}\n\ndata: {\"n\":2}\n\n", "data: {\"n\":null}\n\ndata: {\"n\":null}\n\n");
    assert_eq!(governed(&found), [(0, 2, false, vec![])]);
}

#[test]
fn events_that_cannot_be_read_are_refused() {
    for bad in [
        "data: {\"n\":1,\"n\":2}\n\n",
        "data: {\"n\":1\n\n",
        "data:  [1,]\n\n",
        "data: {\"n\":1}x\n\n",
        "\u{feff}data: x\n\n",
        // What is no JSON has no places that a rule could name.
        "data: a line of words\n\n",
        "data: x{\"n\":1}\n\n",
    ] {
        events().refused(bad.as_bytes());
    }
    events().refused(b"data: \xff\n\n");
    // Without rules they are text.
    let found = plain().check(
        &format!("data: {{\"n\":1,\"n\":\"{EMAIL}\"}}\n\n"),
        "data: {\"n\":1,\"n\":\"[pii.email]\"}\n\n",
    );
    assert_eq!(hits(&found), [("email", Form::Raw, Act::Masked, 1)], "counted once, not once more as JSON");
}

#[test]
fn an_event_is_released_at_its_blank_line() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
    assert_eq!(body.push(shared(), &known, b"data: {}\n").unwrap().as_bytes(), b"");
    assert_eq!(body.push(shared(), &known, b"\r").unwrap().as_bytes(), b"data: {}\n\r");
    assert_eq!(body.push(shared(), &known, b"\n").unwrap().as_bytes(), b"\n");
}

#[test]
fn text_is_masked_plain_over_lines_and_encoded_in_each() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6ImpvLmRvZUBleGFtcGxlLmNvbSJ9.\
               dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    let hex: String = EMAIL.bytes().map(|b| format!("{b:02x}")).collect();
    let cases: &[(String, &str)] = &[
        (format!("to {EMAIL}\r\nand {SSN}, {CARD}"), "to [pii.email]\r\nand [pii.ssn], [pii.card]"),
        (format!("{}\n{hex}\n", base64(EMAIL.as_bytes())), "[pii.email]\n[pii.email]\n"),
        (
            "<a href=\"?m=jo.doe%40example.com\">\u{e9}</a>\n".to_owned(),
            "<a href=\"?m=[pii.email]\">\u{e9}</a>\n",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----\n".to_owned(),
            "[secret.private_key]\n",
        ),
        (format!("{KEY_ID}\n{SECRET}\n"), "[secret.aws_key]\n[secret.aws_key]\n"),
        // An address is encoded in the token: one placeholder for both.
        (format!("t={jwt}; {EMAIL}\n"), "t=[secret.jwt]; [pii.email]\n"),
        (format!("{jwt}\n{jwt}"), "[secret.jwt]\n[secret.jwt]"),
    ];
    for (input, expect) in cases {
        text().check(input, expect);
    }
    for plain in ["", "\n", "words\n\n\r\n", "\u{feff}\u{e9}\u{1f600}", "<p>&#64;</p>", "no line's end"] {
        assert_eq!(text().passes(plain), Found::default());
    }
}

#[test]
fn what_the_run_knows_passes_in_text_and_events() {
    let encoded = base64(EMAIL.as_bytes());
    let known = |setup: Setup| setup.knows(Origin::Echo, EMAIL).knows(Origin::Own, &encoded);
    let found =
        known(text()).check(&format!("{EMAIL} {encoded}\n{SSN}"), &format!("{EMAIL} {encoded}\n[pii.ssn]"));
    let expect = [
        ("email", Form::Raw, Act::Echo, 1),
        ("email", Form::Base64, Act::Own, 1),
        ("us-ssn", Form::Raw, Act::Masked, 1),
    ];
    assert_eq!(hits(&found), expect);
    known(plain()).passes(&format!("id: {EMAIL}\ndata: {{\"a\":\"{EMAIL}\"}}\n\ndata: x {EMAIL}\n\n"));
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    for bad in
        [&b"\xff"[..], b"a\xe9\n", b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80", b"x\n\xf0\x9f\x98", b"\x80"]
    {
        text().refused(bad);
    }
}

#[test]
fn encoded_values_are_found_anywhere_in_a_long_line() {
    let encoded = base64(format!("mail {EMAIL} to me").as_bytes());
    for start in (61_340..61_500).chain(65_480..65_560).step_by(3) {
        let line = format!("{} {encoded} {}", "ab ".repeat(start / 3), "cd ".repeat(30_000));
        let (out, _) = text().whole(line.as_bytes()).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains(&encoded[..24]) && out.contains("[pii.email]"), "{start}");
        let cuts = (1..).map(|i| i * 1_013).take_while(|&cut| cut < line.len());
        assert_eq!(text().split(line.as_bytes(), cuts).unwrap().0, out.as_bytes(), "{start}");
    }
    // One run from the beginning of the line to its end.
    let run = base64("a word and another, ".repeat(5_000).as_bytes());
    let with = format!("{}{}{run}", run, base64(format!("to: {EMAIL};").as_bytes()).trim_end_matches('='));
    let (out, found) = text().whole(with.as_bytes()).unwrap();
    assert!(found.tripped.iter().any(|h| h.form == Form::Base64) && out.len() < with.len());
    let cuts = (1..).map(|i| i * 997).take_while(|&cut| cut < with.len());
    assert_eq!(text().split(with.as_bytes(), cuts).unwrap(), (out, found));
}

#[test]
fn an_endpoint_is_a_url_and_no_other_data_pass_beside_rules() {
    events().passes("event: endpoint\ndata: /messages/?session_id=0f1e2d3c\n\n");
    events().check(
        &format!("event: endpoint\ndata: /m/{EMAIL}\n\n"),
        "event: endpoint\ndata: /m/[pii.email]\n\n",
    );
    for other in ["event: endpoint\ndata: in words\n\n", "event: else\ndata: /messages/\n\n"] {
        events().refused(other.as_bytes());
    }
}

/// What a program writes in these pieces, with a pause behind each.
fn written(pieces: &[&[u8]]) -> (Vec<u8>, Found) {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(body.push(shared(), &known, piece).unwrap().as_bytes());
        out.extend_from_slice(body.let_go(shared(), &known).as_bytes());
        assert!(!body.waits());
    }
    let (rest, found) = body.finish(shared(), &known).unwrap();
    out.extend_from_slice(rest.as_bytes());
    (out, found)
}

#[test]
fn output_is_of_any_bytes_and_masked_as_text_is() {
    let setup = || Setup::new(Media::Output);
    setup().check(&format!("a {SSN} b\n{}\n", base64(EMAIL.as_bytes())), "a [pii.ssn] b\n[pii.email]\n");
    let known = Known::new([5; 16]);
    let bytes = b"\xff\xfe\0binary\x80\n".repeat(9_000);
    let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
    let first = body.push(shared(), &known, &bytes).unwrap();
    let (rest, found) = body.finish(shared(), &known).unwrap();
    assert_eq!((first.then(rest).as_bytes(), found), (&bytes[..], Found::default()));
}

#[test]
fn output_that_waits_is_let_go_as_if_it_ended_there() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
    assert_eq!(body.push(shared(), &known, b"password? ").unwrap().as_bytes(), b"");
    assert!(body.waits());
    assert_eq!(body.let_go(shared(), &known).as_bytes(), b"password? ");
    assert!(!body.waits());
    assert_eq!(written(&[b"one", b" two\nthr", b"ee\n"]).0, b"one two\nthree\n");
}

#[test]
fn of_a_value_whose_beginning_was_let_go_the_rest_is_replaced() {
    let (begun, rest) = SSN.split_at(7);
    let (out, found) = written(&[format!("ssn {begun}").as_bytes(), format!("{rest} and more\n").as_bytes()]);
    assert_eq!(String::from_utf8(out).unwrap(), format!("ssn {begun}[pii.ssn] and more\n"));
    assert_eq!(found.tripped.len(), 1);
    // Also where nothing stands behind it, at the end or before another pause.
    for behind in [&[][..], &[&b"\n"[..]], &[&b" "[..], &b"x\n"[..]]] {
        for before in ["ssn ", ""] {
            let first = format!("{before}{begun}");
            let (out, _) = written(&[&[first.as_bytes(), rest.as_bytes()], behind].concat());
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("{first}[pii.ssn]{}", String::from_utf8(behind.concat()).unwrap())
            );
        }
    }
    // What follows is looked at as ever.
    let text = format!("x\n{SSN}\n");
    let (out, _) = written(&[b"a", b"b", text.as_bytes(), text.as_bytes()]);
    assert_eq!(out, b"abx\n[pii.ssn]\nx\n[pii.ssn]\n");
}

#[test]
fn of_a_value_behind_escapes_whose_beginning_was_let_go_the_rest_is_replaced() {
    let (begun, rest) = SSN.split_at(6);
    for escape in ["\x1b[0m", "\u{200b}"] {
        let (out, found) = written(&[
            format!("ssn {begun}{escape}").as_bytes(),
            format!("{rest} and").as_bytes(),
            b" more\n",
        ]);
        let expect = format!("ssn {begun}{escape}[pii.ssn] and more\n");
        assert_eq!(String::from_utf8(out).unwrap(), expect);
        assert_eq!(hits(&found), [("us-ssn", Form::Split, Act::Masked, 1)]);
    }
    // The escape alone is out, and another line begins with what it is.
    let (out, found) = written(&[b"\x1b[31m", SSN.as_bytes(), b"\n", rest.as_bytes(), b"\n"]);
    assert_eq!(String::from_utf8(out).unwrap(), format!("\x1b[31m[pii.ssn]\n{rest}\n"));
    assert_eq!(hits(&found), [("us-ssn", Form::Split, Act::Masked, 1)]);
}

#[test]
fn a_coloured_value_is_masked_and_counted_once() {
    let text = format!("\x1b[31m-\x1b[m\x1b[31m{SSN}\x1b[m\n\x1b[1m{SSN}\x1b[0m\n");
    let found = Setup::new(Media::Output)
        .check(&text, "\x1b[31m-\x1b[m\x1b[31m[pii.ssn]\x1b[m\n\x1b[1m[pii.ssn]\x1b[0m\n");
    assert_eq!(hits(&found), [("us-ssn", Form::Split, Act::Masked, 2)]);
}

#[test]
fn a_long_line_is_looked_into_over_the_ends_of_its_pieces() {
    let (piece, overlap) = (BODY_LINE_BYTES_MAX, BODY_LINE_OVERLAP_BYTES);
    for back in 0..24 {
        let text = format!(
            "{}\x1b[31m{SSN}\x1b[0m{}\n",
            " ".repeat(piece - overlap - back),
            " ".repeat(2 * overlap)
        );
        let (out, found) = Setup::new(Media::Output).whole(text.as_bytes()).unwrap();
        assert!(!String::from_utf8(out).unwrap().contains(SSN), "{back}");
        assert_eq!(hits(&found), [("us-ssn", Form::Split, Act::Masked, 1)], "{back}");
    }
}

#[test]
fn output_without_a_pause_is_masked_however_it_was_split() {
    let text = format!("to {EMAIL}, {SSN}\n{}\n no end {CARD}", base64(SSN.as_bytes()));
    let known = Known::new([5; 16]);
    for step in 1..40 {
        let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            out.extend_from_slice(body.push(shared(), &known, piece).unwrap().as_bytes());
        }
        out.extend_from_slice(body.finish(shared(), &known).unwrap().0.as_bytes());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "to [pii.email], [pii.ssn]\n[pii.ssn]\n no end [pii.card]",
            "{step}"
        );
    }
}
