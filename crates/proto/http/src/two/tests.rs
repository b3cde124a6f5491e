use super::*;
use crate::frame::{Decoder, Incoming};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn pairs<'a>(all: Pairs<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    all.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn get<'a>(path: &'a str) -> Pseudo<'a> {
    let (scheme, authority) = (Some(&b"https"[..]), Some(&b"a.example"[..]));
    Pseudo { method: b"GET", scheme, authority, path: Some(path.as_bytes()) }
}

fn written(pseudo: &Pseudo<'_>, fields: Pairs<'_>, ends: bool) -> Result<String, Reason> {
    let written = request(pseudo, "https", pairs(fields), ends)?;
    Ok(String::from_utf8(written.head.to_vec()).unwrap())
}

#[test]
fn a_request_is_written_as_the_one_that_says_the_same() {
    assert_eq!(
        written(&get("/a?b=c"), &[("accept", "*/*"), ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")], true),
        Ok("GET /a?b=c HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n"
            .into())
    );
    let post = Pseudo { method: b"POST", ..get("/") };
    assert_eq!(
        written(&post, &[("te", "trailers")], false),
        Ok("POST / HTTP/1.1\r\nhost: a.example\r\nte: trailers\r\nconnection: te\r\n\
            Transfer-Encoding: chunked\r\n\r\n"
            .into())
    );
    assert_eq!(
        written(&post, &[("content-length", "3")], false),
        Ok("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\n\r\n".into())
    );
    let by_host = Pseudo { authority: None, scheme: None, ..get("/") };
    assert_eq!(
        written(&by_host, &[("host", "b.example")], true),
        Ok("GET / HTTP/1.1\r\nhost: b.example\r\n\r\n".into())
    );
    assert!(written(&get("/"), &[("host", "A.example")], true).is_ok(), "the same host");
}

#[test]
fn what_has_no_message_or_several_is_refused() {
    let over = |pseudo: Pseudo<'_>| written(&pseudo, &[], true).unwrap_err();
    let named = |authority: &'static str| Pseudo { authority: Some(authority.as_bytes()), ..get("/") };
    assert_eq!(over(Pseudo { method: b"CONNECT", ..get("/") }), why::NO_STREAM_FORM);
    assert_eq!(over(Pseudo { path: None, ..get("/") }), why::NO_STREAM_FORM);
    assert_eq!(over(Pseudo { method: b"G T", ..get("/") }), why::METHOD);
    assert_eq!(over(Pseudo { method: b"", ..get("/") }), why::METHOD);
    assert_eq!(over(Pseudo { scheme: Some(b"http"), ..get("/") }), why::SCHEME);
    assert_eq!(over(Pseudo { authority: None, ..get("/") }), why::HOST_MISSING);
    for path in ["", "/a b", "/a\r\nX: y", "/\u{e9}", "/a\u{0}"] {
        assert_eq!(over(get(path)), why::TARGET, "{path:?}");
    }
    for authority in ["u@a.example", "a.example/x", "", "a.example:0", "a b"] {
        assert_eq!(over(named(authority)), why::HOST, "{authority:?}");
    }
    let cases: &[(Pairs<'_>, bool, Reason)] = &[
        (&[("host", "b.example")], true, why::HOST_DISAGREES),
        (&[("host", "a.example:444")], true, why::HOST_DISAGREES),
        (&[("host", "a.example"), ("host", "a.example")], true, why::HOST_TWICE),
        (&[("X", "y")], true, why::NAME),
        (&[("x y", "z")], true, why::NAME),
        (&[("", "z")], true, why::NAME),
        (&[("x:", "z")], true, why::NAME),
        (&[("x", "a\r\nb: c")], true, why::FIELD),
        (&[("x", "a\0")], true, why::FIELD),
        (&[("x", " a")], true, why::FIELD),
        (&[("x", "a\t")], true, why::FIELD),
        (&[("connection", "close")], true, why::OF_CONNECTION),
        (&[("keep-alive", "1")], true, why::OF_CONNECTION),
        (&[("proxy-connection", "x")], true, why::OF_CONNECTION),
        (&[("upgrade", "h2c")], true, why::OF_CONNECTION),
        (&[("transfer-encoding", "chunked")], false, why::OF_CONNECTION),
        (&[("te", "trailers, gzip")], true, why::OF_CONNECTION),
        (&[("content-length", "1")], true, why::LENGTH_MISMATCH),
        (&[("content-length", "1"), ("content-length", "1")], false, why::LENGTHS),
        (&[("content-length", "1,1")], false, why::LENGTHS),
        (&[("content-length", "+1")], false, why::LENGTH),
    ];
    for (fields, ends, reason) in cases {
        assert_eq!(written(&get("/"), fields, *ends).unwrap_err(), *reason, "{fields:?}");
    }
}

#[test]
fn what_is_written_has_the_reading_of_its_parts() {
    let written = request(&get("/x?y"), "https", pairs(&[("te", "trailers"), ("a", "b")]), true).unwrap();
    let mut input = written.head;
    let Ok(Incoming::Head(head)) = Decoder::client().next(&mut input) else { panic!("no head") };
    assert_eq!((head.framing, written.framing, head.keep_alive), (Framing::None, Framing::None, true));
    let opening = opening(&head).unwrap();
    assert_eq!(
        (opening.method.as_bytes(), opening.authority.as_bytes(), opening.path.as_bytes()),
        (&b"GET"[..], &b"a.example"[..], &b"/x?y"[..])
    );
    let fields: Vec<(&[u8], &[u8])> =
        opening.fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    assert_eq!(fields, [(&b"a"[..], &b"b"[..]), (b"te", b"trailers")]);
}

#[test]
fn a_response_is_framed_by_what_is_known_of_it() {
    let framed = |status, fields: Pairs<'_>, ends, to_head, trailers| {
        response(status, pairs(fields), ends, to_head, trailers).map(|written| written.framing)
    };
    assert_eq!(framed(200, &[], false, false, false), Ok(Framing::Chunked));
    assert_eq!(framed(200, &[], true, false, false), Ok(Framing::Length(0)));
    assert_eq!(framed(200, &[("content-length", "5")], false, false, false), Ok(Framing::Length(5)));
    assert_eq!(framed(200, &[("content-length", "5")], false, false, true), Ok(Framing::Chunked));
    assert_eq!(framed(200, &[("content-length", "5")], true, true, false), Ok(Framing::None));
    assert_eq!(framed(304, &[("content-length", "5")], true, false, false), Ok(Framing::None));
    assert_eq!(framed(204, &[], true, false, false), Ok(Framing::None));
    assert_eq!(framed(204, &[("content-length", "5")], true, false, false), Err(why::LENGTH_FORBIDDEN));
    assert_eq!(framed(200, &[("content-length", "5")], true, false, false), Err(why::LENGTH_MISMATCH));
    assert_eq!(framed(200, &[("connection", "close")], true, false, false), Err(why::OF_CONNECTION));
    assert_eq!(framed(600, &[], true, false, false), Err(why::FIELD));
}

#[test]
fn a_body_is_as_long_as_it_was_to_be() {
    let mut exact = Measure::new(Framing::Length(3));
    assert_eq!((exact.came(2), exact.ended()), (Ok(()), Err(why::LENGTH_MISMATCH)));
    assert_eq!((exact.came(1), exact.ended()), (Ok(()), Ok(())));
    assert_eq!(exact.came(1), Err(why::LENGTH_MISMATCH));
    assert_eq!(Measure::new(Framing::None).came(1), Err(why::LENGTH_MISMATCH));
    let mut chunks = Measure::new(Framing::Chunked);
    assert_eq!((chunks.came(usize::MAX), chunks.ended()), (Ok(()), Ok(())));
}
