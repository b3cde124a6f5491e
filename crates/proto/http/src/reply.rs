//! Answers of the gateway's own: problem documents (RFC 9457) in whole responses, built from constants and ids.

use crate::fault::kind as own;
use wire::{Fault, kind};

/// The media type of [`problem`].
pub const PROBLEM: &str = "application/problem+json";

/// The interim response that lets a client send the body it holds back. RFC 9110, 10.1.1.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What says that a tunnel is there. RFC 9110, 9.3.6: no field of it frames a body.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// A problem document: `type` is `about:blank`, so `title` says what the status says. `extra` are further members,
/// whose names must be none of `type`, `title`, `status` and `detail`; values are strings.
pub fn problem(status: u16, title: &str, detail: &str, extra: &[(&str, &str)]) -> Vec<u8> {
    let mut json = String::from("{\"type\":\"about:blank\",\"title\":");
    string(&mut json, title);
    json.push_str(",\"status\":");
    json.push_str(&status.to_string());
    json.push_str(",\"detail\":");
    string(&mut json, detail);
    if !extra.is_empty() {
        json.push(',');
        members(&mut json, extra);
    }
    json.push('}');
    json.into_bytes()
}

fn members(json: &mut String, all: &[(&str, &str)]) {
    for (n, (name, value)) in all.iter().enumerate() {
        if n > 0 {
            json.push(',');
        }
        string(json, name);
        json.push(':');
        string(json, value);
    }
}

/// A request of JSON-RPC 2.0 that says nothing but its method. `id` is JSON.
pub fn rpc_request(id: &str, method: &'static str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}").into_bytes()
}

/// An error of JSON-RPC 2.0. `id` is JSON. `extra` as of [`problem`].
pub fn rpc_error(id: &str, code: i32, message: &str, extra: &[(&str, &str)]) -> Vec<u8> {
    let mut json = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":");
    string(&mut json, message);
    json.push_str(",\"data\":{");
    members(&mut json, extra);
    json.push_str("}}}");
    json.into_bytes()
}

/// The result of a tool of MCP that failed: its text says why, and `extra` as of [`problem`].
pub fn tool_error(id: &str, message: &str, extra: &[(&str, &str)]) -> Vec<u8> {
    let said: Vec<String> = extra.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let text = if said.is_empty() { message.to_owned() } else { format!("{message} ({})", said.join("; ")) };
    let mut json =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":");
    string(&mut json, &text);
    json.push_str("}],\"isError\":true,\"resultType\":\"complete\"}}");
    json.into_bytes()
}

/// A whole response with a problem document. `reason` is a constant, of [`reason`] or the caller's.
pub fn answer(status: u16, reason: &'static str, body: &[u8], keep_alive: bool) -> Vec<u8> {
    let mut out = answer_to_head(status, reason, body, keep_alive);
    out.extend_from_slice(body);
    out
}

/// As [`answer`], to a HEAD request: it says how long the body would be and has none.
pub fn answer_to_head(status: u16, reason: &'static str, body: &[u8], keep_alive: bool) -> Vec<u8> {
    head(status, reason, PROBLEM, body.len(), keep_alive)
}

/// A whole response that says nothing but that the answer comes on another stream.
pub fn accepted(keep_alive: bool) -> Vec<u8> {
    head(202, "Accepted", "text/plain", 0, keep_alive)
}

/// A whole response with another JSON than a problem document.
pub fn json(status: u16, reason: &'static str, body: &[u8], keep_alive: bool) -> Vec<u8> {
    let mut out = head(status, reason, "application/json", body.len(), keep_alive);
    out.extend_from_slice(body);
    out
}

fn head(status: u16, reason: &'static str, media: &str, length: usize, keep_alive: bool) -> Vec<u8> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes()
}

/// The reason phrase of a status that the gateway answers with; empty for any other, which is legal.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// The status that tells a client of a fault. After a fault of the client's framing the connection must close: where
/// the next request begins is not known.
pub fn status_of(fault: &Fault) -> u16 {
    match fault.side {
        wire::Side::Upstream => 502,
        wire::Side::Gateway | wire::Side::Operator => 500,
        wire::Side::Client => match fault.kind {
            kind::TOO_LARGE | kind::TOO_MANY => 431,
            own::EXPECTATION => 417,
            own::UNSUPPORTED_CODING | own::UNSUPPORTED_FORM => 501,
            own::UNSUPPORTED_VERSION => 505,
            _ => 400,
        },
    }
}

/// A JSON string. RFC 8259, 7; `<`, `>` and `&` are escaped too, in case somebody shows it in a page.
fn string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault as why;
    use crate::frame::{Decoder, Framing, Incoming, Start};
    use bytes::BytesMut;
    use wire::Side;

    #[test]
    fn a_problem_is_escaped() {
        let body = problem(403, "Forbidden", "a \"b\"\\\n\u{1}</script>\u{2028}é", &[("rule", "r\t1")]);
        let want = r#"{"type":"about:blank","title":"Forbidden","status":403,"#.to_owned()
            + r#""detail":"a \"b\"\\\u000a\u0001\u003c/script\u003e\u2028é","rule":"r\u00091"}"#;
        assert_eq!(String::from_utf8(body).unwrap(), want);
    }

    #[test]
    fn an_answer_is_a_response_that_our_own_decoder_reads() {
        let body = problem(403, "Forbidden", "no", &[]);
        for keep_alive in [true, false] {
            let whole = answer(403, reason(403), &body, keep_alive);
            let mut input = BytesMut::from(&whole[..]);
            let mut decoder = Decoder::upstream();
            decoder.answers(false);
            let Incoming::Head(head) = decoder.next(&mut input).unwrap() else { panic!("no head") };
            assert!(matches!(head.start, Start::Response { status: 403, minor: 1, .. }));
            assert_eq!(head.framing, Framing::Length(body.len() as u64));
            assert_eq!(head.keep_alive, keep_alive);
            assert_eq!(head.headers.get("cache-control").unwrap().as_bytes(), b"no-store");
            assert_eq!(decoder.next(&mut input).unwrap(), Incoming::Body(body.clone().into()));
            assert_eq!(decoder.next(&mut input).unwrap(), Incoming::End);
            let head_only = answer_to_head(403, reason(403), &body, keep_alive);
            assert_eq!(whole.strip_suffix(&body[..]).unwrap(), head_only);
        }
    }

    #[test]
    fn a_fault_has_a_status_with_a_reason() {
        let faults = [
            (why::BOTH_LENGTHS.on(Side::Client), 400),
            (why::HEAD_TOO_LARGE.on(Side::Client), 431),
            (why::EXPECT.on(Side::Client), 417),
            (why::CODING.on(Side::Client), 501),
            (why::PREFACE.on(Side::Client), 505),
            (why::BOTH_LENGTHS.on(Side::Upstream), 502),
            (why::ANSWERS_EARLY.on(Side::Gateway), 500),
        ];
        for (fault, status) in faults {
            assert_eq!(status_of(&fault), status, "{fault}");
            assert!(!reason(status).is_empty());
        }
    }
}
