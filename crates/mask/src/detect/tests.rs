use super::{Detectors, Finding, Form};
use crate::detect::validate;

pub(crate) mod alike;

/// `detector:value` for each finding.
fn found(text: &str) -> Vec<String> {
    show(text.as_bytes(), |d, f| d.scan(text.as_bytes(), f))
}

fn show(bytes: &[u8], scan: impl Fn(&Detectors, &mut Vec<Finding>)) -> Vec<String> {
    let mut findings = Vec::new();
    scan(shared(), &mut findings);
    let value = |f: &Finding| String::from_utf8_lossy(&bytes[f.range.clone()]).into_owned();
    findings.iter().map(|f| format!("{}:{}", f.detector, value(f))).collect()
}

pub(crate) fn shared() -> &'static Detectors {
    static SHARED: std::sync::LazyLock<Detectors> = std::sync::LazyLock::new(Detectors::new);
    &SHARED
}

/// Each value is found whole by its detector: alone, in prose, quoted, as a CSV field, at a line's start and end.
#[track_caller]
fn check_found(detector: &str, values: &[&str]) {
    for value in values {
        for (before, after) in [
            ("", ""),
            ("see ", " ok"),
            ("\"", "\""),
            (",", ","),
            ("x\n", "\ny"),
            ("(", ")."),
            ("k=", ";"),
            ("'", "'"),
        ] {
            let text = format!("{before}{value}{after}");
            let want = format!("{detector}:{value}");
            assert!(found(&text).contains(&want), "{text:?} has {:?}", found(&text));
        }
    }
}

#[track_caller]
fn check_clean(texts: &[&str]) {
    for text in texts {
        assert_eq!(found(text), [""; 0], "{text:?}");
    }
}

/// A GitHub token with the right check characters.
fn github(prefix: &str, entropy: &str) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = validate::crc32(entropy.as_bytes());
    let mut check = [b'0'; 6];
    for place in check.iter_mut().rev() {
        *place = DIGITS[(crc % 62) as usize];
        crc /= 62;
    }
    format!("{prefix}{entropy}{}", std::str::from_utf8(&check).unwrap())
}

#[test]
fn email() {
    check_found(
        "email",
        &[
            "jo@example.com",
            "Jo.Doe+tag@sub.example.co.uk",
            "a_b-c%d@x-y.io",
            "josé@example.es",
            "o'brien@example.ie",
            "jo@bücher.example",
        ],
    );
    check_clean(&[
        "jo@localhost",
        "@mention",
        "logo@2x.png",
        "a @ b.com",
        "jo@",
        "git@github.com:org/repo.git",
        "x@.com",
        "user@host",
        "$1@$2",
        "v1@3.14",
    ]);
    assert_eq!(found("to=jo@example.com"), ["email:jo@example.com"]);
    for beside in [
        "\u{201c}",
        "\u{201d}",
        "\u{2019}",
        "\u{2014}",
        "\u{2026}",
        "\u{ff1a}",
        "\u{3002}",
        "\u{1f600}",
        "\u{2192}",
        "\u{2502}",
        "\u{a0}",
        "\u{202f}",
        "\u{3000}",
        "\u{2122}",
    ] {
        for value in [
            "jo.doe@example.com",
            "jos\u{e9}@b\u{fc}cher.example",
            "\u{7530}@\u{4f8b}.\u{65e5}\u{672c}",
            "e\u{301}@example.es",
        ] {
            for text in
                [format!("{beside}{value}{beside}"), format!("x{beside}{value}"), format!("{value}{beside}x")]
            {
                assert_eq!(found(&text), [format!("email:{value}")], "{text}");
            }
        }
    }
    for behind in [
        "-",
        "--",
        "-1234",
        "1",
        "2026-11-28",
        "-x",
        "\u{307e}\u{3067}\u{3054}\u{9023}\u{7d61}",
        "_",
        ".2026",
        ".-",
    ] {
        assert_eq!(found(&format!("jo@example.com{behind}")), ["email:jo@example.com"], "{behind}");
    }
    assert_eq!(found("jo@b.verm\u{f6}gensberatung"), ["email:jo@b.verm\u{f6}gensberatung"]);
    assert_eq!(found("jo@b.xn--p1ai"), ["email:jo@b.xn--p1ai"]);
    let bytes = b"\xffjo@example.com\xc3";
    assert_eq!(show(bytes, |d, f| d.scan(bytes, f)), ["email:jo@example.com"], "bytes of no text");
    check_clean(&[
        "a@b",
        "x@1.2.3-beta.rc1",
        "next@14.0.0-canary.abc12",
        "pkg@2.0.0-alpha3",
        "@scope/pkg@1.4.2",
        "logo@2x.png1",
        "icon@2x.svg-",
        "m@t.b1",
        "image@sha256:0f1e",
        "\u{201c}@example.com",
        "user@host-1",
    ]);
    assert_eq!(found("jo@example.com.Next"), ["email:jo@example.com.Next"]);
    assert_eq!(found("mail jo@example.com."), ["email:jo@example.com"]);
}

#[test]
fn card() {
    check_found(
        "card",
        &[
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "6200000000000005",
        ],
    );
    check_clean(&[
        "4111111111111112",
        "1234567890123452",
        "0.4111111111111111",
        "4111111111111111.5",
        "x4111111111111111",
        "4111111111111111a",
        "41111111111111111111",
        "4 111 1111 1111 1111",
        "4111 1111-1111 1111",
        "1700000000000",
        "1700000000000000000",
        "1541815603606036480",
        "2024-01-01 12:34:56.123456",
        "550e8400-e29b-41d4-a716-446655440000",
    ]);
    assert_eq!(found("4111 1111 1111 1111 123"), ["card:4111 1111 1111 1111"]);
    assert_eq!(found("2024 4111 1111 1111 1111"), ["card:4111 1111 1111 1111"]);
}

#[test]
fn a_number_with_its_name_right_beside_it() {
    for (name, end) in
        [("Visa", ""), ("card_", ""), ("no_", "_old"), ("", "exp0927"), ("", "_x"), ("N\u{b0}", "")]
    {
        for (number, what) in
            [("4111111111111111", "card"), ("4111 1111 1111 1111", "card"), ("536-90-4399", "us-ssn")]
        {
            assert_eq!(
                found(&format!("a {name}{number}{end}")),
                [format!("{what}:{number}")],
                "{name} {end}"
            );
        }
    }
    assert_eq!(found("iban_GB82WEST12345698765432_old"), ["iban:GB82WEST12345698765432"]);
    // Codes, and what hexadecimal could be of.
    check_clean(&[
        "x4111111111111111",
        "id4111111111111111",
        "decade4111111111111111",
        "4111111111111111f00d",
        "0x4111111111111111bad",
        "visa14111111111111111",
        "AB536-90-4399",
        "part-536-90-4399",
        "536-90-4399-x",
    ]);
}

#[test]
fn iban() {
    check_found(
        "iban",
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "GB29 NWBK 6016 1331 9268 19",
            "NO9386011117947",
            "FR1420041010050500013M02606",
            "MT84MALT011000012345MTLCAST001S",
        ],
    );
    check_clean(&[
        "DE89370400440532013001",
        "DE8937040044053201300",
        "DE893704004405320130000",
        "XX89370400440532013000",
        "xDE89370400440532013000",
        "IDE89",
    ]);
}

#[test]
fn ssn() {
    check_found("us-ssn", &["536-90-4399", "219-47-8813", "123 45 6789"]);
    check_clean(&[
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-00-4567",
        "123-45-0000",
        "078-05-1120",
        "123-45-67890",
        "1123-45-6789",
        "123-45 6789",
        "123 45-6789",
        "2024-12-3456-7",
        "a123-45-6789",
        "1.123-45-6789",
        "123-45-6789.5",
        "12-345-6789",
    ]);
}

#[test]
fn phone() {
    check_found(
        "phone",
        &[
            "+14155550100",
            "+1 415 555 0100",
            "+1 (415) 555-0100",
            "+44 20 7946 0958",
            "+49 30 123456",
            "+91-98765-43210",
            "+353 1 234 5678",
        ],
    );
    check_clean(&[
        "+1 215",
        "+00 123 456 789",
        "a+14155550100",
        "2+14155550100",
        "+1 115 555 0100",
        "+999 123 456 789",
        "12:00+0530",
        "+123456789012345678",
    ]);
}

#[test]
fn jwt() {
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    check_found("jwt", &[token, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqbyJ9."]);
    check_clean(&[
        "eyJ",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJub3RoaW5nIjoieHgifQ.eyJzdWIiOiJqbyJ9.abc",
        "xeyJhbGciOiJub25lIn0.eyJzdWIiOiJqbyJ9.",
        "eyJhbGciOiJIUzI1NiJ9 . x",
    ]);
    assert_eq!(found(&format!("Authorization: Bearer {token}")), [format!("jwt:{token}")]);
}

#[test]
fn private_keys() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A1B\n\nMIIEow+/=\nAbCd==\n-----END RSA PRIVATE KEY-----";
    check_found("pem-private-key", &[key, "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----"]);
    check_clean(&[
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY---",
        "-----BEGIN",
    ]);
    // Cut off before its end, everything that can be key material goes.
    assert_eq!(
        found("-----BEGIN PRIVATE KEY-----\nMIIEabc\"rest"),
        ["pem-private-key:-----BEGIN PRIVATE KEY-----\nMIIEabc"]
    );
}

#[test]
fn aws() {
    check_found("aws-key-id", &["AKIAIOSFODNN7EXAMPLE", "ASIAJEXAMPLEXEG2JICE", "A3TXABCDEFGHIJKLMNOP"]);
    check_clean(&[
        "AKIAIOSFODNN7EXAMPL",
        "AKIAIOSFODNN7EXAMPLEX",
        "xAKIAIOSFODNN7EXAMPLE",
        "AKIAIOSFODNN1EXAMPLE",
        "A4TXABCDEFGHIJKLMNOP",
        "akiaiosfodnn7example",
    ]);
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert_eq!(
        found(&format!("AKIAIOSFODNN7EXAMPLE\n{secret}")),
        ["aws-key-id:AKIAIOSFODNN7EXAMPLE".to_owned(), format!("aws-secret:{secret}")]
    );
    assert_eq!(
        found(&format!("{secret},AKIAIOSFODNN7EXAMPLE")),
        [format!("aws-secret:{secret}"), "aws-key-id:AKIAIOSFODNN7EXAMPLE".to_owned()]
    );
    for name in
        ["aws_secret_access_key = ", "AWS_SECRET_ACCESS_KEY=", "\"SecretAccessKey\": \"", "secretAccessKey: "]
    {
        assert_eq!(found(&format!("{name}{secret}\"")), [format!("aws-secret:{secret}")], "{name}");
    }
    check_clean(&[
        secret,
        "aws_secret_access_key = da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "secret_access_key: none",
    ]);
}

#[test]
fn providers() {
    let hex = |n: usize| "0a1b2c3d".repeat(9)[..n].to_owned();
    let tokens = [
        ("github", github("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")),
        ("github", github("ghs_", "000000000000000000000000000001")),
        ("github", format!("github_pat_{}_{}", "1".repeat(22), "aB3".repeat(20).split_off(1))),
        ("slack", "xoxb-123456789012-abcDEF".to_owned()),
        ("slack", "xapp-1-A0123-987-abcdef".to_owned()),
        ("slack", "hooks.slack.com/services/T024BE7LD/B012345/aBcDeFgHiJkL".to_owned()),
        ("stripe", "sk_live_4eC39HqLyjWDarjtT1zdp7dc".to_owned()),
        ("stripe", "rk_test_4eC39HqLyjWDarjtT1zdp7dc".to_owned()),
        ("stripe", format!("whsec_{}", hex(32))),
        ("google-api-key", "AIzaSyA1234567890abcdefghijklmnopqrstuv".to_owned()),
        ("openai", format!("sk-{}", hex(48))),
        ("openai", format!("sk-proj-{}", "aB3_-".repeat(12))),
        ("anthropic", format!("sk-ant-api03-{}AA", "aB3_-x".repeat(15))),
        ("hugging-face", format!("hf_{}", "aB3x".repeat(9).split_off(2))),
        ("llm-provider", format!("gsk_{}", hex(52))),
        ("llm-provider", format!("xai-{}", "aB3x".repeat(20))),
        ("llm-provider", format!("r8_{}", hex(37))),
        ("llm-provider", format!("sk-or-v1-{}", hex(64))),
    ];
    for (detector, token) in &tokens {
        check_found(detector, &[token]);
        // With a letter before it, it is a part of something else.
        if !token.starts_with("hooks.") {
            check_clean(&[&format!("x{token}")]);
        }
    }
    check_clean(&[
        "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18",
        "ghp_short",
        "sk-short",
        "sk-fading-circle-and-more-words-than-that",
        "xoxb-",
        "risk-0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d",
        "sk_live_",
        "AIza",
        "hf_transformers",
        "r8_",
        "r7_0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2",
        "task_live_4eC39HqLyjWDarjtT1zdp7dc",
        "hooks.slack.com/services/T",
    ]);
}

#[test]
fn url_credentials() {
    let only = |text: &str, password: &str| {
        assert_eq!(found(text), [format!("url-credentials:{password}")], "{text}")
    };
    only("postgres://app:s3cret@db.internal/crm", "s3cret");
    only("https://user:p:w@host.example.com", "p:w");
    only("redis://:hunter2@cache", "hunter2");
    only("amqp+tls://u:päss@h", "päss");
    let at = found("mysql://u:p@ss@host.example.com/x");
    assert!(at.contains(&"url-credentials:p@ss".to_owned()), "{at:?}");
    check_clean(&[
        "postgres://app@db/crm",
        "http://host:8080/a@b",
        "http://u:${PASS}@h",
        "http://u:****@h",
        "://u:p@h",
        "time 12:30 @ noon",
        "http://u:p@ h",
    ]);
}

/// What `diff`, `git show`, `grep -n -A` and `git diff --word-diff` put before a line or a word is no part of it.
#[test]
fn a_mark_before_a_line_is_no_part_of_a_value() {
    let programs = Detectors::new().of_programs();
    let found = |text: &str| {
        let mut findings = Vec::new();
        programs.scan(text.as_bytes(), &mut findings);
        findings.iter().map(|f| format!("{}:{}", f.detector, &text[f.range.clone()])).collect::<Vec<_>>()
    };
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqbyJ9.YWJj";
    let values = [
        ("us-ssn", "536-22-8391".to_owned()),
        ("card", "4111111111111111".to_owned()),
        ("card", "4111-1111-1111-1111".to_owned()),
        ("github", github("ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")),
        ("aws-key-id", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("jwt", jwt.to_owned()),
        ("openai", format!("sk-proj-{}", "aB3_-".repeat(12))),
        ("anthropic", format!("sk-ant-api03-{}AA", "aB3_-x".repeat(15))),
        ("prefixed-key", "ck_canary_9fQ2vTzLm4RkWb7HsXeY".to_owned()),
        ("phone", "+14155550100".to_owned()),
    ];
    for (detector, value) in &values {
        let want = format!("{detector}:{value}");
        for before in ["+", "-", "++", "- ", " +", "2-", "1204-", "x\n+", "x\n-", "x\r\n17-", "x\n++"] {
            let text = format!("{before}{value}\n");
            assert!(found(&text).contains(&want), "{text:?} has {:?}", found(&text));
        }
        for (before, after) in [("a [-", "-] b"), ("a {+", "+} b"), ("[-", "-]{+x+}")] {
            let text = format!("{before}{value}{after}");
            assert!(found(&text).iter().any(|f| f.starts_with(&want)), "{text:?} has {:?}", found(&text));
        }
    }
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let both = found(&format!("+AKIAIOSFODNN7EXAMPLE\n+{secret}\n"));
    assert!(both.contains(&format!("aws-secret:{secret}")), "{both:?}");
    // In the middle of a line they are what they were.
    for text in [
        "a +536-22-8391",
        "a-536-22-8391",
        "x2-536-22-8391",
        "1.-536-22-8391",
        "x -536-22-8391",
        "x [-536-22-8391-1",
    ] {
        assert!(!found(text).iter().any(|f| f.starts_with("us-ssn")), "{text:?} has {:?}", found(text));
    }
    // Before the buffer there may be anything.
    for (line, count) in [(true, 1), (false, 0)] {
        let mut findings = Vec::new();
        programs.scan_end(b"-536-22-8391 ", line, &mut findings);
        assert_eq!(findings.len(), count);
        findings.clear();
        programs.scan_open(b"-536-22-8391 ", line, 0, &mut findings);
        assert_eq!(findings.len(), count);
    }
}

/// What must never happen: a bare integer of nine digits called anything at all.
#[test]
fn no_bare_integer_of_nine_digits_is_anything() {
    let mut digits = Random(1);
    for _ in 0..20_000 {
        let number = format!("{:09}", digits.next() % 1_000_000_000);
        for text in [
            number.clone(),
            format!("{{\"id\": {number}}}"),
            format!("a\t{number}\tb"),
            format!("id={number};"),
        ] {
            assert_eq!(found(&text), [""; 0], "{text}");
        }
    }
}

/// The share of random digit strings that pass: the arithmetic of the checks, and no more.
#[test]
fn random_digits_pass_as_rarely_as_the_checks_promise() {
    let rows = [
        // length, most of 100,000 that may pass as a card
        (13, 0),
        (14, 500),
        (15, 300),
        (16, 3_200),
        (17, 200),
        (18, 200),
        (19, 1_300),
        (20, 0),
    ];
    let mut random = Random(2);
    for (length, most) in rows {
        let mut text = String::new();
        for _ in 0..100_000 {
            (0..length).for_each(|_| text.push(char::from(b'0' + (random.next() % 10) as u8)));
            text.push('\n');
        }
        let passed = found(&text).len();
        assert!(passed <= most, "{length} digits: {passed} of 100,000");
    }
}

#[test]
fn random_bytes_and_base64_hold_next_to_nothing() {
    let mut random = Random(3);
    let noise: Vec<u8> = (0..1 << 20).map(|_| random.next() as u8).collect();
    let in_noise = show(&noise, |d, f| d.scan_deep(&noise, f));
    assert!(in_noise.len() <= 1, "{in_noise:?}");
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text: Vec<u8> = (0..1 << 20)
        .map(|i| if i % 77 == 76 { b'\n' } else { ALPHABET[(random.next() % 64) as usize] })
        .collect();
    let in_text = show(&text, |d, f| d.scan_deep(&text, f));
    assert!(in_text.len() <= 1, "{in_text:?}");
}

#[test]
fn values_are_found_behind_encodings() {
    let mail = "jo.doe@example.com";
    let hex: String = mail.bytes().map(|b| format!("{b:02x}")).collect();
    let utf16 = |big: bool| mail.bytes().flat_map(|b| if big { [0, b] } else { [b, 0] }).collect::<Vec<u8>>();
    let rows: Vec<(Form, Vec<u8>)> = vec![
        (Form::Base64, b"data: am8uZG9lQGV4YW1wbGUuY29t.".to_vec()),
        (Form::Base64, b"am8uZG9lQGV4YW1wbGUuY29tCg==".to_vec()),
        (Form::Hex, format!("\\x{hex}").into_bytes()),
        (Form::Hex, hex.to_uppercase().into_bytes()),
        (Form::Percent, b"to=jo.doe%40example.com&x=1".to_vec()),
        (Form::Percent, hex.as_bytes().chunks(2).flat_map(|p| [b'%', p[0], p[1]]).collect()),
        (Form::Escaped, br#"{"m":"jo.doe\u0040example.com"}"#.to_vec()),
        (Form::Escaped, br"jo.doe\x40example.com ......".to_vec()),
        (Form::Utf16, utf16(false)),
        (Form::Utf16, utf16(true)),
        (Form::Utf16, [&[0xff, 0xfe][..], &utf16(false)].concat()),
        (Form::Split, "jo.doe@exa\u{200b}mple.com".as_bytes().to_vec()),
        // Among bytes that are not text, and at an odd offset.
        (Form::Utf16, [&b"\x00\x00\x00\x07\x01"[..], &utf16(false), &[0, 0, 0, 9]].concat()),
        // Far into a text.
        (Form::Percent, format!("{}jo.doe%40example.com", "100% plain ".repeat(500)).into_bytes()),
        // Two deep.
        (Form::Base64, b"YW04dVpHOWxRR1Y0WVcxd2JHVXVZMjl0".to_vec()),
    ];
    for (form, bytes) in rows {
        let mut findings = Vec::new();
        shared().scan_deep(&bytes, &mut findings);
        let text = String::from_utf8_lossy(&bytes);
        let hit = findings.iter().find(|f| f.form == form && f.detector == "email");
        assert!(hit.is_some(), "{form:?} {text}: {findings:?}");
        assert!(findings.iter().all(|f| f.range.end <= bytes.len() && !f.range.is_empty()));
    }
}

#[test]
fn a_finding_in_a_transcript_is_mapped_to_its_own_bytes() {
    let text = "a=%41&to=jo%40example.com&b=1";
    assert_eq!(show(text.as_bytes(), |d, f| d.scan_deep(text.as_bytes(), f)), ["email:jo%40example.com"]);
    let text = r#"{"n":"x\ty","m":"jo\u0040example.com","o":1}"#;
    assert_eq!(show(text.as_bytes(), |d, f| d.scan_deep(text.as_bytes(), f)), [r"email:jo\u0040example.com"]);
}

/// Hostile floods cost a bounded number of looks a byte, however long they are.
#[test]
fn floods_of_anchors_stay_linear() {
    let units = [
        "@",
        "a@",
        "://a:@",
        "a.b@",
        "eyJ.",
        "eyJhbGciOiJub25lIn0.",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "AKIA",
        "AKIAIOSFODNN7EXAMPLE ",
        "4111 ",
        "1",
        "+1 ",
        "+1415 ",
        "AA11",
        "sk-",
        "xoxb-1",
        "123-45-6789",
        "=%40",
        "\\u0040",
        "A",
        "_access_key ",
        "@a.b.c.d.e.f.g.h",
        "hooks.slack.com/services/T1",
    ];
    for unit in units {
        let text = unit.repeat((1 << 18) / unit.len());
        let mut findings = Vec::new();
        super::recognise::STEPS.set(0);
        shared().scan(text.as_bytes(), &mut findings);
        let steps = super::recognise::STEPS.get() / text.len();
        assert!(steps <= 200, "{unit}: {steps} looks a byte");
    }
}

/// SplitMix64: deterministic, so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn keys_that_nobody_listed_are_found_in_what_programs_write_alone() {
    let programs = Detectors::new().of_programs();
    let found = |detectors: &Detectors, text: &str| {
        let mut findings = Vec::new();
        detectors.scan_deep(text.as_bytes(), &mut findings);
        findings.iter().map(|f| text[f.range.clone()].to_owned()).collect::<Vec<_>>()
    };
    let key = "ck_canary_9fQ2vTzLm4RkWb7HsXeY";
    for text in [key.to_owned(), format!("API_KEY={key}\n"), format!("\"{key}\",")] {
        assert_eq!(found(&programs, &text), [key], "{text}");
        assert!(found(&Detectors::new(), &text).is_empty(), "{text}");
    }
    assert_eq!(found(&programs, &format!("\u{1b}[0m{key}")), [format!("m{key}")]);
    let encoded = "Y2tfY2FuYXJ5XzlmUTJ2VHpMbTRSa1diN0hzWGVZ";
    assert_eq!(found(&programs, encoded), [encoded]);
    for none in [
        "get_HttpResponseMessage200OkHandler",
        "x_9fQ2vTzLm4RkWb7HsXeY",
        "x-ck_9fQ2vTzLm4RkWb7HsXeY",
        "ck_9fQ2vTz-m4RkWb7HsXeY",
    ] {
        assert!(found(&programs, none).is_empty(), "{none}");
    }
}
