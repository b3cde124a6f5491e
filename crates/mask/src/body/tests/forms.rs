//! Forms and parts.

use super::*;

fn form() -> Setup {
    Setup::new(Media::Form)
}

fn parts() -> Setup {
    Setup::new(Media::Multipart { boundary: "b1".into() })
}

#[test]
fn names_and_values_of_a_form_are_decoded_and_masked() {
    let cases: &[(String, &str)] = &[
        (format!("to={EMAIL}&n=1"), "to=%5Bpii.email%5D&n=1"),
        ("to=jo.doe%40example.com".to_owned(), "to=%5Bpii.email%5D"),
        ("a=%6a%6F.doe%40example%2ecom+and+%26+more".to_owned(), "a=%5Bpii.email%5D+and+%26+more"),
        (format!("{EMAIL}=1&&=&x"), "%5Bpii.email%5D=1&&=&x"),
        ("jo.doe%40example.com".to_owned(), "%5Bpii.email%5D"),
        ("card=4111+1111+1111+1111".to_owned(), "card=%5Bpii.card%5D"),
        (format!("blob={}", base64(EMAIL.as_bytes()).replace('=', "%3D")), "blob=%5Bpii.email%5D"),
        (
            "q=%7B%22e%22%3A%22jo%5Cu0040example.com%22%7D".to_owned(),
            "q=%7B%22e%22%3A%22%5Bpii.email%5D%22%7D",
        ),
        ("twice=jo.doe%2540example.com".to_owned(), "twice=%5Bpii.email%5D"),
        (
            format!("AccessKeyId={KEY_ID}&SecretAccessKey={}", SECRET.replace('/', "%2F")),
            "AccessKeyId=%5Bsecret.aws_key%5D&SecretAccessKey=%5Bsecret.aws_key%5D",
        ),
    ];
    for (input, expect) in cases {
        form().check(input, expect);
    }
    for text in ["a=b", "a", "=", "&", "a=%20%C3%A9+x&b=%ff", "a=b=c&a=b", "a=b\n", "x=\u{e9}"] {
        assert_eq!(form().passes(text), Found::default());
    }
    let found = form().knows(Origin::Echo, EMAIL).passes("a=jo.doe%40example.com");
    assert_eq!(hits(&found), [("email", Form::Raw, Act::Echo, 1)]);
}

#[test]
fn a_form_with_an_escape_that_is_none_is_refused() {
    for text in ["a=%", "a=%4", "a=%4g", "%zz=1", "a=%&b", "a=% 40", "a=%+4"] {
        form().refused(text.as_bytes());
    }
}

/// Parts with their headers, under the boundary `b1`.
fn body(parts: &[(&str, &str)]) -> String {
    let part = |(header, content): &(&str, &str)| format!("--b1\r\n{header}\r\n{content}\r\n");
    parts.iter().map(part).chain(["--b1--\r\n".to_owned()]).collect()
}

#[test]
fn each_part_is_masked_by_its_type() {
    let rules = [rule("$.n", "pii.x", MaskKind::Null)];
    let json = "Content-Type: application/json; charset=\"UTF-8\"\r\n";
    let found = parts().rules(rules).check(
        &body(&[
            ("Content-Disposition: form-data; name=\"a\"\r\n", &format!("to {EMAIL}\r\n--b2 -b1\r\n")),
            ("", ""),
            ("content-TYPE:Text/HTML\r\n", &format!("<p>{SSN}</p>")),
            (json, &format!("{{\"n\":1,\"e\":\"{EMAIL}\"}}")),
            ("Content-Type: application/x-www-form-urlencoded\r\n", "e=jo.doe%40example.com"),
            ("Content-Type: application/vnd.api+json\r\nContent-Transfer-Encoding: 8bit\r\n", "[1, 2]"),
            ("Content-Type: application/atom+xml\r\n", ""),
            ("Content-Type: application/x-ndjson\r\n", "{}\n{\"n\":2}\n"),
            ("Content-Type: text/event-stream\r\n", "data: {\"n\":2}\n\n"),
            (&format!("Content-Disposition: form-data; name=\"f\"; filename=\"{EMAIL}.txt\"\r\n"), "x"),
        ]),
        &body(&[
            ("Content-Disposition: form-data; name=\"a\"\r\n", "to [pii.email]\r\n--b2 -b1\r\n"),
            ("", ""),
            ("content-TYPE:Text/HTML\r\n", "<p>[pii.ssn]</p>"),
            (json, "{\"n\":null,\"e\":\"[pii.email]\"}"),
            ("Content-Type: application/x-www-form-urlencoded\r\n", "e=%5Bpii.email%5D"),
            ("Content-Type: application/vnd.api+json\r\nContent-Transfer-Encoding: 8bit\r\n", "[1, 2]"),
            ("Content-Type: application/atom+xml\r\n", ""),
            ("Content-Type: application/x-ndjson\r\n", "{}\n{\"n\":null}\n"),
            ("Content-Type: text/event-stream\r\n", "data: {\"n\":null}\n\n"),
            ("Content-Disposition: form-data; name=\"f\"; filename=\"[pii.email]\"\r\n", "x"),
        ]),
    );
    assert_eq!(governed(&found), [(0, 3, false, vec![])]);
}

#[test]
fn parts_that_pass_keep_their_bytes() {
    let one = ("Content-Type: text/plain\r\nX-A:\tb\r\n", "\r\n\r\n --b1 \r\r\n-\r\n--b\r\n--b\r\n");
    for text in [body(&[one]), format!("\r\n{}", body(&[one, one])), body(&[one]).trim_end().to_owned()] {
        assert_eq!(parts().passes(&text), Found::default());
    }
}

#[test]
fn parts_that_cannot_be_looked_into_are_refused() {
    let headers = [
        "Content-Type: image/png\r\n",
        "Content-Type: application/octet-stream\r\n",
        "Content-Type: multipart/mixed; boundary=x\r\n",
        "Content-Type: json\r\n",
        "Content-Type:\r\n",
        "Content-Type: text/plain; charset=utf-7\r\n",
        "Content-Type: text/plain; Charset = \"UTF-16\"\r\n",
        "Content-Type: application/json; charset=latin1\r\n",
        "Content-Type: text/plain; charset*=utf-7\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n",
        "Content-Encoding: gzip\r\n",
        "Content-Type: text/plain\r\ncontent-type: application/json\r\n",
        "Content-Type : text/plain\r\n",
        "Content-Type: text/plain\r\n folded: x\r\n",
        "no colon\r\n",
        ": x\r\n",
        "A: b\nContent-Type: image/png\r\n",
        "A: b\rc\r\n",
        "A: \u{0}\r\n",
    ];
    for header in headers {
        parts().refused(body(&[(header, "x")]).as_bytes());
    }
    parts().refused(b"--b1\r\nA: \xff\r\n\r\nx\r\n--b1--\r\n");
    parts().refused(b"--b1\r\n\r\n\xff\r\n--b1--\r\n");
    parts().refused(body(&[("Content-Type: application/json\r\n", "{")]).as_bytes());
}

#[test]
fn delimiters_that_two_readers_read_in_two_ways_are_refused() {
    let part = "--b1\r\n\r\nx\r\n--b1--";
    let texts = [
        format!("preamble\r\n{part}"),
        format!("\n{part}"),
        format!("{part}\r\nepilogue"),
        format!("{part}x"),
        format!("{part}\r\n\r\n"),
        "--b1--".to_owned(),
        "--b1".to_owned(),
        "--b".to_owned(),
        "--b1 \r\n\r\nx\r\n--b1--".to_owned(),
        "--b1\n\nx\n--b1--".to_owned(),
        "--b1\r\n\r\nx\r\n--b1".to_owned(),
        "--b1\r\n\r\nx\r\n--b1-".to_owned(),
        "--b1\r\n\r\nx\r\n--b1x\r\n--b1--".to_owned(),
        "--b1\r\n\r\nx\n--b1\r\n--b1--".to_owned(),
        "--b1\r\n\r\nx\r--b1\r\n--b1--".to_owned(),
        "--b1\r\n\r\n--b1--".to_owned(),
        "--b1\r\n\r\n\n--b1--".to_owned(),
        "--b1\r\nA: b\r\n--b1--".to_owned(),
        "--b1\r\n\r\nx".to_owned(),
    ];
    for text in texts {
        parts().refused(text.as_bytes());
    }
    for boundary in ["", " ", "a ", "a\"b", "\u{e9}", "a\r\nb", &"x".repeat(71)] {
        Setup::new(Media::Multipart { boundary: boundary.into() }).refused(b"");
    }
    let long = "x".repeat(70);
    Setup::new(Media::Multipart { boundary: long.clone() })
        .passes(&format!("--{long}\r\n\r\ny\r\n--{long}--"));
}
