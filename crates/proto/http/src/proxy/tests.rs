use super::*;
use crate::frame::{Decoder, Incoming};
use crate::testkit::Numbers;
use bytes::BytesMut;

fn head(text: &str) -> Head {
    match Decoder::client().next(&mut BytesMut::from(text)) {
        Ok(Incoming::Head(head)) => head,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// What is wanted, in a line.
fn ask(line: &str, fields: &str) -> String {
    match wanted(head(&format!("{line}\r\n{fields}\r\n"))) {
        Ok(Wanted::Tunnel(place)) => format!("tunnel {place}"),
        Ok(Wanted::Plain(place, head)) => {
            let Start::Request { target, .. } = &head.start else { panic!("a request") };
            format!("plain {place} {}", target.to_str().unwrap())
        }
        Err(fault) => {
            assert_eq!(fault.side, Side::Client);
            format!("no: {}", fault.inward)
        }
    }
}

#[test]
fn a_tunnel_is_a_host_and_a_port() {
    for (line, expect) in [
        ("CONNECT api.example.com:443 HTTP/1.0", "tunnel api.example.com:443"),
        ("CONNECT API.Example.COM:8443 HTTP/1.0", "tunnel api.example.com:8443"),
        ("CONNECT [::1]:443 HTTP/1.0", "tunnel [::1]:443"),
        // Another host than the one without the point: what it is for, its configuration says.
        ("CONNECT api.example.com.:443 HTTP/1.0", "tunnel api.example.com.:443"),
        ("CONNECT 2130706433:443 HTTP/1.0", "tunnel 2130706433:443"),
        ("CONNECT api.example.com HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com: HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com:0 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com:65536 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com:+443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com:0000443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT me@api.example.com:443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com@evil.example:443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com%2eevil:443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT api.example.com:443/x HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT http://api.example.com:443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT ::1:443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT :443 HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT * HTTP/1.0", "no: CONNECT: authority"),
        ("CONNECT / HTTP/1.0", "no: CONNECT: authority"),
    ] {
        assert_eq!(ask(line, ""), expect, "{line}");
    }
}

#[test]
fn host_says_what_the_target_says() {
    let connect = "CONNECT api.example.com:443 HTTP/1.1";
    for (host, good) in [
        ("api.example.com:443", true),
        ("API.EXAMPLE.COM", true),
        ("api.example.com:80", false),
        ("api.example.com.", false),
        ("other.example.com:443", false),
    ] {
        let expect = if good { "tunnel api.example.com:443" } else { "no: Host: not the target's" };
        assert_eq!(ask(connect, &format!("Host: {host}\r\n")), expect, "{host}");
    }
    let get = "GET http://api.example.com/a HTTP/1.1";
    assert_eq!(ask(get, "Host: api.example.com:80\r\n"), "plain api.example.com:80 /a");
    assert_eq!(ask(get, "Host: api.example.com:443\r\n"), "no: Host: not the target's");
    assert_eq!(ask(get, "Host: x.example\r\n"), "no: Host: not the target's");
}

#[test]
fn a_tunnel_has_no_body() {
    let connect = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443";
    assert_eq!(ask(connect, "Content-Length: 5\r\n"), "no: CONNECT: a body");
    assert_eq!(ask(connect, "Content-Length: 0\r\n"), "no: CONNECT: a body");
    assert_eq!(ask(connect, "Transfer-Encoding: chunked\r\n"), "no: CONNECT: a body");
}

#[test]
fn a_whole_url_becomes_a_place_and_a_path() {
    for (line, expect) in [
        ("GET http://a.example/x/y?z=1 HTTP/1.0", "plain a.example:80 /x/y?z=1"),
        ("GET HTTP://A.example:8080 HTTP/1.0", "plain a.example:8080 /"),
        ("GET http://a.example?z HTTP/1.0", "plain a.example:80 /?z"),
        ("OPTIONS http://a.example HTTP/1.0", "plain a.example:80 *"),
        ("OPTIONS http://a.example/ HTTP/1.0", "plain a.example:80 /"),
        ("GET http://[::1]:81/ HTTP/1.0", "plain [::1]:81 /"),
        ("GET https://a.example/ HTTP/1.0", "no: https by a whole URL"),
        ("GET http://user:pw@a.example/ HTTP/1.0", "no: CONNECT: authority"),
        ("GET http:///etc HTTP/1.0", "no: CONNECT: authority"),
        ("GET http:/a.example/ HTTP/1.0", "no: neither a URL nor CONNECT"),
        ("GET ftp://a.example/ HTTP/1.0", "no: neither a URL nor CONNECT"),
        ("GET /x HTTP/1.0", "no: neither a URL nor CONNECT"),
        ("GET a.example:80 HTTP/1.0", "no: neither a URL nor CONNECT"),
        // Of a method there is one spelling.
        ("connect a.example:443 HTTP/1.0", "no: neither a URL nor CONNECT"),
    ] {
        assert_eq!(ask(line, ""), expect, "{line}");
    }
}

#[test]
fn inside_of_a_tunnel_there_is_one_host_and_no_proxy() {
    let place = Place::new("a.example", 443);
    let check = |place: &Place, line: &str, fields: &str| {
        inside(&head(&format!("{line}\r\n{fields}\r\n")), place).map_err(|reason| reason.inward)
    };
    assert_eq!(check(&place, "GET /x HTTP/1.1", "Host: A.example\r\n"), Ok(()));
    assert_eq!(check(&place, "GET /x HTTP/1.1", "Host: a.example:443\r\n"), Ok(()));
    assert_eq!(check(&place, "GET /x HTTP/1.1", "Host: b.example\r\n"), Err(why::HOST_DISAGREES.inward));
    assert_eq!(check(&place, "GET /x HTTP/1.0", ""), Err(why::HOST_MISSING.inward));
    let other = Place::new("a.example", 8443);
    assert_eq!(check(&other, "GET /x HTTP/1.1", "Host: a.example\r\n"), Err(why::HOST_DISAGREES.inward));
    for line in [
        "CONNECT b.example:443 HTTP/1.1",
        "CONNECT a.example:443 HTTP/1.1",
        "GET https://a.example/x HTTP/1.1",
    ] {
        assert_eq!(check(&place, line, "Host: a.example\r\n"), Err(why::PROXY_FORM.inward), "{line}");
    }
}

#[test]
fn a_path_is_below_a_beginning_or_it_is_not() {
    let check = |base: &str, target: &str| match below(base, &RawField::copy_from(target.as_bytes())) {
        Ok(Below::Rest(rest)) => format!("rest {}", rest.to_str().unwrap()),
        Ok(Below::Itself(query)) => format!("itself {}", query.to_str().unwrap()),
        Ok(Below::Not) => "not".to_owned(),
        Err(reason) => format!("no: {}", reason.inward),
    };
    for (base, target, expect) in [
        ("", "/a?b", "rest /a?b"),
        ("", "/", "rest /"),
        ("", "*", "not"),
        ("/v1", "/v1/a/b?c=%20", "rest /a/b?c=%20"),
        ("/v1", "/v1/", "rest /"),
        ("/v1", "/v1", "itself "),
        ("/v1", "/v1?c", "itself ?c"),
        ("/v1", "/v10/a", "not"),
        ("/v1", "/v2/a", "not"),
        ("/v1", "/", "not"),
        ("/v1/eu", "/v1", "not"),
        ("/v1/eu", "/v1/eu/x", "rest /x"),
        ("/v1", "/V1/a", "no: path: another spelling of a resource's"),
        ("/v1", "/%761/a", "no: path: another spelling of a resource's"),
        ("/v1", "/%76%31", "no: path: another spelling of a resource's"),
        ("/v1", "/x/../v1/a", "no: path: dot segment"),
        ("/v1", "//v1/a", "no: path: empty segment"),
        ("/v1", "/v1%2fa", "no: path: %2F or %5C"),
        ("/v1", "/v1;x/a", "not"),
    ] {
        assert_eq!(check(base, target), expect, "{base} {target}");
    }
}

/// Whatever is asked is a place without a user, or is refused; and what goes on is a path.
#[test]
fn no_target_hides_whom_it_is_for() {
    let words = [
        "http://",
        "https://",
        "a.example",
        "b.example",
        ":",
        "443",
        "@",
        "/",
        "?",
        "#",
        "[",
        "]",
        "::1",
        "%40",
        "\\",
        "..",
        "*",
        ".",
    ];
    let mut numbers = Numbers::new(7);
    for _ in 0..20_000 {
        let target = numbers.text(&words, 7);
        if target.is_empty() {
            continue;
        }
        for method in ["CONNECT", "GET"] {
            match wanted(head(&format!("{method} {target} HTTP/1.0\r\n\r\n"))) {
                Ok(Wanted::Tunnel(place)) => assert_eq!(place.to_string(), target.to_lowercase()),
                Ok(Wanted::Plain(place, head)) => {
                    let Start::Request { target: path, .. } = &head.start else { panic!("a request") };
                    assert!(path.as_bytes().starts_with(b"/"), "{target}");
                    let begin = target.trim_start_matches("http://");
                    assert!(begin.starts_with(&place.host), "{target} is not for {place}");
                    assert!(!place.host.contains('@') && !place.host.contains('%'), "{target}");
                }
                Err(fault) => assert_eq!(fault.side, Side::Client),
            }
        }
    }
}
