use super::*;
use crate::fault::{self as why, Reason};
use crate::frame::{Decoder, Incoming};
use crate::limits::*;
use crate::testkit::Numbers;
use bytes::BytesMut;

fn decode(mut decoder: Decoder, head: &str) -> Head {
    match decoder.next(&mut BytesMut::from(head.as_bytes())) {
        Ok(Incoming::Head(head)) => head,
        other => panic!("{other:?}: {head}"),
    }
}

fn request(line: &str, fields: &str) -> Result<Request, Fault> {
    Request::new(decode(Decoder::client(), &format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")))
}

fn response(status: u16, fields: &str) -> Result<Response, Fault> {
    let mut decoder = Decoder::upstream();
    decoder.answers(false);
    Response::new(decode(decoder, &format!("HTTP/1.1 {status} X\r\n{fields}\r\n")))
}

fn target(target: &str) -> Result<Origin, Fault> {
    match request(&format!("GET {target}"), "")?.target {
        Target::Origin(origin) => Ok(origin),
        Target::Asterisk => panic!("asterisk"),
    }
}

#[test]
fn a_path_has_one_reading() {
    let cases: &[(&str, &[&str], bool)] = &[
        ("/", &[], false),
        ("/a", &["a"], false),
        ("/a/", &["a"], true),
        ("/a/b?c/d//e", &["a", "b"], false),
        ("/%41%c3%a4", &["Aä"], false),
        ("/a+b", &["a+b"], false),
        ("/a%20b", &["a b"], false),
        ("/...", &["..."], false),
        ("/.git/a.", &[".git", "a."], false),
        ("/a;v=1/b", &["a;v=1", "b"], false),
        ("/50%25", &["50%"], false),
        ("/%3F%23", &["?#"], false),
        ("/{id}", &["{id}"], false),
    ];
    for (text, segments, slash) in cases {
        let path = target(text).unwrap().path;
        assert_eq!(
            (path.segments.as_slice(), path.trailing_slash),
            (segments.map_owned().as_slice(), *slash),
            "{text}"
        );
    }
}

trait Owned {
    fn map_owned(&self) -> Vec<String>;
}

impl Owned for &[&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|s| (*s).to_owned()).collect()
    }
}

#[test]
fn targets_that_two_servers_could_read_differently_are_refused() {
    let cases: &[(&str, Reason)] = &[
        ("/.", why::DOT_SEGMENT),
        ("/..", why::DOT_SEGMENT),
        ("/a/../b", why::DOT_SEGMENT),
        ("/a/./b", why::DOT_SEGMENT),
        ("/a/..", why::DOT_SEGMENT),
        ("/a/../", why::DOT_SEGMENT),
        ("/%2e%2E/b", why::DOT_SEGMENT),
        ("/.%2e/b", why::DOT_SEGMENT),
        ("/%2e", why::DOT_SEGMENT),
        ("/..;/b", why::DOT_SEGMENT),
        ("/..;a=b/b", why::DOT_SEGMENT),
        ("/..%3b/b", why::DOT_SEGMENT),
        ("/;a/b", why::EMPTY_SEGMENT),
        ("//", why::EMPTY_SEGMENT),
        ("//a", why::EMPTY_SEGMENT),
        ("/a//b", why::EMPTY_SEGMENT),
        ("/a//", why::EMPTY_SEGMENT),
        ("/a\\b", why::BACKSLASH),
        ("/a%2Fb", why::ENCODED_SEPARATOR),
        ("/a%2fb", why::ENCODED_SEPARATOR),
        ("/a%5Cb", why::ENCODED_SEPARATOR),
        ("/..%2Fb", why::ENCODED_SEPARATOR),
        ("/a%00", why::ENCODED_CONTROL),
        ("/a%0d%0aX", why::ENCODED_CONTROL),
        ("/a%1F", why::ENCODED_CONTROL),
        ("/a%7f", why::ENCODED_CONTROL),
        ("/%252e%252e/b", why::ENCODED_TWICE),
        ("/%25%32%66", why::ENCODED_TWICE),
        ("/a%", why::ESCAPE),
        ("/a%2", why::ESCAPE),
        ("/a%g0", why::ESCAPE),
        ("/a%u002f", why::ESCAPE),
        ("/a?b=%", why::ESCAPE),
        ("/%ff", why::NOT_UTF8),
        ("/%c0%af", why::NOT_UTF8),
        ("/%c0%ae%c0%ae/b", why::NOT_UTF8),
        ("/%ed%a0%80", why::NOT_UTF8),
        ("/a#b", why::FRAGMENT),
        ("/a?b#c", why::FRAGMENT),
        ("http://a/", why::PROXY_FORM),
        ("a:443", why::PROXY_FORM),
        ("a", why::PROXY_FORM),
        ("?a", why::PROXY_FORM),
        ("*", why::ASTERISK),
    ];
    for (text, reason) in cases {
        assert_eq!(target(text), Err(reason.on(Side::Client)), "{text}");
    }
    assert_eq!(request("OPTIONS *", "").unwrap().target, Target::Asterisk);
}

#[test]
fn a_query_is_pairs() {
    let pairs = |text: &str| -> Vec<(String, String)> {
        let query = target(text).unwrap().query.unwrap();
        let owned = |field: &RawField| field.to_str().unwrap().to_owned();
        query.pairs.iter().map(|(name, value)| (owned(name), owned(value))).collect()
    };
    let want = [("a", "1"), ("b c", "d=e"), ("f", ""), ("", "g"), ("a", "/..")];
    let want: Vec<(String, String)> = want.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert_eq!(pairs("/?a=1&b+c=d%3de&&f&=g&a=/.."), want);
    assert_eq!(target("/?").unwrap().query.unwrap().pairs, []);
    assert_eq!(target("/").unwrap().query, None);
    let binary = target("/?a=%ff").unwrap().query.unwrap();
    assert_eq!((binary.pairs[0].1.as_bytes(), binary.raw.as_bytes()), (&b"\xff"[..], &b"a=%ff"[..]));
}

#[test]
fn segments_and_pairs_are_limited() {
    assert!(target(&"/a".repeat(SEGMENTS_MAX)).is_ok());
    assert_eq!(target(&"/a".repeat(SEGMENTS_MAX + 1)), Err(why::TOO_MANY_SEGMENTS.on(Side::Client)));
    assert!(target(&format!("/?{}", "a&".repeat(QUERY_PAIRS_MAX))).is_ok());
    assert_eq!(
        target(&format!("/?{}", "a&".repeat(QUERY_PAIRS_MAX + 1))),
        Err(why::TOO_MANY_PAIRS.on(Side::Client))
    );
}

#[test]
fn a_host_is_in_lower_case_and_without_its_port() {
    let host = |text: &str| {
        let head = decode(Decoder::client(), &format!("GET / HTTP/1.1\r\nHost: {text}\r\n\r\n"));
        let request = Request::new(head).unwrap();
        (request.host.unwrap(), request.port)
    };
    assert_eq!(host("API.Example.com:8443"), ("api.example.com".to_owned(), Some(8443)));
    assert_eq!(host("a"), ("a".to_owned(), None));
    assert_eq!(host("[2001:DB8::1]:65535"), ("[2001:db8::1]".to_owned(), Some(65535)));
}

#[test]
fn a_content_type_says_how_a_body_is_read() {
    let multipart = |boundary: &str| Media::Multipart { boundary: boundary.to_owned() };
    let cases: &[(&str, Media)] = &[
        ("application/json", Media::Json),
        ("Application/JSON; charset=utf-8", Media::Json),
        ("text/json", Media::Json),
        ("application/problem+json", Media::Json),
        ("application/x-ndjson", Media::Ndjson),
        ("application/jsonl;", Media::Ndjson),
        ("application/x-www-form-urlencoded", Media::Form),
        ("text/event-stream;charset=UTF-8", Media::EventStream),
        ("text/plain", Media::Text),
        ("text/plain ; charset=\"utf-8\" ; format=flowed", Media::Text),
        ("text/html; charset=ISO-8859-1", Media::Text),
        ("text/html; charset=windows-1252", Media::Text),
        ("application/xml", Media::Text),
        ("image/svg+xml", Media::Text),
        ("application/javascript", Media::Text),
        ("application/yaml", Media::Text),
        ("text/plain; charset=utf-7", Media::Binary),
        ("application/json; charset=utf-16", Media::Binary),
        ("application/octet-stream", Media::Binary),
        ("application/pdf", Media::Binary),
        ("multipart/form-data; boundary=abc", multipart("abc")),
        ("multipart/form-data; boundary=\"a b\\\"c\"", Media::Unknown),
        ("multipart/form-data; boundary=\"a b=c\"; x=y", multipart("a b=c")),
        ("multipart/form-data", Media::Unknown),
        ("multipart/form-data; boundary=a; boundary=b", Media::Unknown),
        ("multipart/mixed; boundary=\"a \"", Media::Unknown),
        ("application", Media::Unknown),
        ("application/", Media::Unknown),
        ("/json", Media::Unknown),
        ("application/json, text/plain", Media::Unknown),
        ("application/json; charset", Media::Unknown),
        ("application/json; charset=\"utf-8", Media::Unknown),
        ("application/json; charset=utf-8 x", Media::Unknown),
        ("application/json; charset=utf-8; charset=utf-16", Media::Unknown),
        ("", Media::Unknown),
    ];
    for (text, media) in cases {
        let fields = format!("Content-Type: {text}\r\nContent-Length: 1\r\n");
        assert_eq!(request("POST /", &fields).unwrap().media, *media, "{text}");
        assert_eq!(response(200, &fields).unwrap().media, *media, "{text}");
    }
    let boundary = |size: usize| format!("Content-Type: multipart/a; boundary={}\r\n", "b".repeat(size));
    let media = |size: usize| request("POST /", &boundary(size)).unwrap().media;
    assert!(matches!(media(BOUNDARY_BYTES_MAX), Media::Multipart { .. }));
    assert_eq!(media(BOUNDARY_BYTES_MAX + 1), Media::Unknown);
}

#[test]
fn a_text_in_latin_letters_is_the_same_in_utf_8() {
    let cases: &[(&str, Option<&str>)] = &[
        ("text/html; charset=ISO-8859-1", Some("text/html; charset=utf-8")),
        ("text/plain;charset=\"latin1\" ; format=flowed", Some("text/plain; format=flowed; charset=utf-8")),
        ("text/csv; header=present; Charset=cp1252", Some("text/csv; header=present; charset=utf-8")),
        ("text/html; charset=utf-8", None),
        ("text/html", None),
        ("application/json; charset=iso-8859-1", None),
        ("text/xml; charset=iso-8859-1", None),
        ("image/svg+xml; charset=iso-8859-1", None),
        ("text/event-stream; charset=iso-8859-1", None),
        ("image/png; charset=iso-8859-1", None),
    ];
    for (value, expect) in cases {
        assert_eq!(latin_in_utf8(value.as_bytes()).as_deref(), *expect, "{value}");
    }
    let mut out = Vec::new();
    push_latin(b"Gr\xfc\xdfe \x80 5\x96 \x81\x9f", &mut out);
    assert_eq!(std::str::from_utf8(&out), Ok("Gr\u{fc}\u{df}e \u{20ac} 5\u{2013} \u{81}\u{178}"));
}

#[test]
fn a_body_without_a_type_is_unknown() {
    let media = |fields: &str| request("POST /", fields).unwrap().media;
    assert_eq!(media(""), Media::None);
    assert_eq!(media("Content-Length: 0\r\n"), Media::None);
    assert_eq!(media("Content-Length: 1\r\n"), Media::Unknown);
    assert_eq!(media("Transfer-Encoding: chunked\r\n"), Media::Unknown);
    assert_eq!(response(200, "").unwrap().media, Media::Unknown);
    assert_eq!(response(304, "").unwrap().media, Media::None);
}

#[test]
fn two_types_are_a_fault_on_their_side() {
    let fields = "Content-Type: a/b\r\ncontent-type: a/b\r\n";
    assert_eq!(request("POST /", fields), Err(why::CONTENT_TYPES.on(Side::Client)));
    assert_eq!(response(200, fields), Err(why::CONTENT_TYPES.on(Side::Upstream)));
}

#[test]
fn codings_of_content_are_listed_in_their_order() {
    let encodings = |fields: &str| response(200, fields).map(|response| response.encodings);
    let fields = "Content-Encoding: x-gzip, BR\r\nContent-Encoding: identity,rot13\r\n";
    use Encoding::*;
    assert_eq!(encodings(fields), Ok(vec![Gzip, Br, Identity, Unknown]));
    assert_eq!(encodings("Content-Encoding: deflate, zstd\r\n"), Ok(vec![Deflate, Zstd]));
    assert_eq!(encodings(""), Ok(vec![]));
    assert_eq!(encodings("Content-Encoding: gzip;q=1\r\n"), Err(why::ENCODINGS.on(Side::Upstream)));
    let many = "Content-Encoding: gzip, gzip, gzip, gzip, gzip\r\n";
    assert_eq!(encodings(many), Err(why::TOO_MANY_ENCODINGS.on(Side::Upstream)));
}

#[test]
fn the_only_expectation_is_100_continue() {
    let expects = |fields: &str| request("POST /", fields).map(|request| request.expects_continue);
    assert_eq!(expects("Expect: 100-Continue\r\nContent-Length: 1\r\n"), Ok(true));
    assert_eq!(expects("Expect: 100-continue\r\n"), Ok(false));
    assert_eq!(expects("Content-Length: 1\r\n"), Ok(false));
    for fields in [
        "Expect: x\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect:\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
    ] {
        assert_eq!(expects(fields), Err(why::EXPECT.on(Side::Client)), "{fields}");
    }
    let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert!(!Request::new(decode(Decoder::client(), old)).unwrap().expects_continue);
}

#[test]
fn headers_that_override_the_request_line_are_refused() {
    for name in [
        "X-HTTP-Method-Override",
        "x_http_method",
        "X-Original-URL",
        "X-Rewrite-Url",
        "SCRIPT_NAME",
        "Script-Name",
        "script.name",
        "PATH_INFO",
        "Path-Info",
        "X-Script-Name",
        "X_SCRIPT_NAME",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Forwarded-Method",
        "X~Forwarded|Method",
        "X-Envoy-Original-Path",
        "X-Middleware-Subrequest",
    ] {
        assert_eq!(
            request("GET /", &format!("{name}: x\r\n")),
            Err(why::OVERRIDE.on(Side::Client)),
            "{name}"
        );
    }
    for name in ["client_id", "X-Forwarded-For", "Access-Control-Request-Method", "X-Request-Id", "Prefix"] {
        assert!(request("GET /", &format!("{name}: x\r\n")).is_ok(), "{name}");
    }
}

#[test]
fn headers_that_name_another_object_are_refused() {
    for name in [
        "X-Amz-Copy-Source",
        "x_amz_copy_source",
        "x-amz-copy-source-range",
        "x-goog-copy-source",
        "x-ms-copy-source",
        "x-oss-copy-source",
        "X-Copy-From",
        "x-amz-rename-source",
        "x-oss-symlink-target",
        "X-Object-Manifest",
    ] {
        let why = Err(why::ELSEWHERE.on(Side::Client));
        assert_eq!(request("PUT /a/b", &format!("{name}: /c/secret\r\n")), why, "{name}");
    }
    for name in ["x-amz-acl", "X-Source", "X-Copy", "Source-Map"] {
        assert!(request("PUT /a/b", &format!("{name}: x\r\n")).is_ok(), "{name}");
    }
}

#[test]
fn methods_are_known_by_their_exact_name() {
    let method = |line: &str| request(line, "").unwrap().method;
    for (line, known) in [("GET /", Method::Get), ("PATCH /", Method::Patch), ("TRACE /", Method::Trace)] {
        assert_eq!(method(line), known);
        assert_eq!(method(line).as_bytes(), line.strip_suffix(" /").unwrap().as_bytes());
    }
    assert_eq!(method("get /"), Method::Other(RawField::from_static(b"get")));
}

#[test]
fn what_is_for_the_connection_alone_is_removed() {
    let fields = "Connection: close, X-Mine\r\nx-mine: 1\r\nX-MINE: 2\r\nKeep-Alive: a\r\nTE: trailers\r\n\
                  Upgrade: h2c\r\n\
                  Proxy-Connection: a\r\nProxy-Authorization: a\r\nProxy-Authenticate: a\r\nTrailer: a\r\n\
                  Transfer-Encoding: chunked\r\nAccept: b\r\n";
    let mut request = request("POST /", fields).unwrap();
    assert!(request.upgrade);
    hop_by_hop(&mut request.headers);
    let left: Vec<&[u8]> = request.headers.iter().map(|(name, _)| name.as_bytes()).collect();
    assert_eq!(left, [&b"Host"[..], b"Accept"]);
}

#[test]
fn a_head_of_the_other_direction_is_a_fault_of_ours() {
    let head = decode(Decoder::client(), "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(Response::new(head).unwrap_err().side, Side::Gateway);
    let mut decoder = Decoder::upstream();
    decoder.answers(false);
    assert_eq!(Request::new(decode(decoder, "HTTP/1.1 204 X\r\n\r\n")).unwrap_err().side, Side::Gateway);
}

#[test]
fn a_body_of_a_get_is_told() {
    let told = |line: &str, fields: &str| request(line, fields).unwrap().has_meaningless_body();
    assert!(told("GET /", "Content-Length: 1\r\n"));
    assert!(told("DELETE /", "Transfer-Encoding: chunked\r\n"));
    assert!(!told("GET /", "Content-Length: 0\r\n"));
    assert!(!told("HEAD /", ""));
    assert!(!told("POST /", "Content-Length: 1\r\n"));
}

/// What a path is written as when every byte of its segments is escaped.
fn escaped(path: &Path) -> String {
    let segment = |segment: &String| segment.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let segments: Vec<String> = path.segments.iter().map(segment).collect();
    format!("/{}{}", segments.join("/"), if path.trailing_slash { "/" } else { "" })
}

#[test]
fn what_any_target_reads_as_cannot_be_read_again_as_something_else() {
    const WORDS: &[&str] = &[
        "/", "/", "a", ".", "..", "%2e", "%2F", "%5c", "%25", "2e", "%", "%00", "%c3%a4", "%c3", "\\", ";",
        "?", "&", "=", "+", "#", "%3b", "//", "{", "~",
    ];
    let mut numbers = Numbers::new(0x7a69_6574);
    let mut accepted = 0;
    for _ in 0..50_000 {
        let raw = format!("/{}", numbers.text(WORDS, 7));
        let Ok(Target::Origin(origin)) = Target::parse(&RawField::copy_from(raw.as_bytes()), false) else {
            continue;
        };
        accepted += 1;
        let path = origin.path;
        for segment in &path.segments {
            assert!(!segment.is_empty() && segment != "." && segment != "..", "{raw}");
            assert!(!segment.contains(['/', '\\', '\0']), "{raw}");
        }
        let again = Target::parse(&RawField::copy_from(escaped(&path).as_bytes()), false);
        assert!(matches!(again, Ok(Target::Origin(again)) if again.path == path), "{raw}");
    }
    assert!((5_000..45_000).contains(&accepted), "{accepted} accepted");
}

#[test]
fn any_content_type_is_read_without_a_panic() {
    const WORDS: &[&str] = &[
        "text",
        "/",
        "json",
        "multipart",
        ";",
        "; ",
        "charset",
        "boundary",
        "=",
        "\"",
        "\\",
        "utf-8",
        "utf-16",
        " ",
        "\t",
        "ä",
        "+",
        "a",
    ];
    let mut numbers = Numbers::new(0x6d65_6469);
    let mut unknown = 0;
    for _ in 0..50_000 {
        let text = format!("multipart/{}", numbers.text(WORDS, 10));
        let mut headers = Headers::new();
        headers.push(RawField::from_static(b"Content-Type"), RawField::copy_from(text.as_bytes()));
        match Media::of(&headers, true).unwrap() {
            Media::Unknown => unknown += 1,
            Media::Multipart { boundary } => assert!(!boundary.contains(['"', '\r', '\n']), "{text}"),
            other => panic!("{other:?}: {text}"),
        }
    }
    assert!(unknown < 50_000, "no boundary was ever read");
}
