//! What a client is told by the gateway itself: a `Status` of meta/v1, as the API server says why it does not do something.

/// A refusal as clients of Kubernetes read it: kubectl prints `reason` and `message`. `causes`: what else is known of it, by
/// name. `code`: of HTTP.
pub fn status(code: u16, message: &str, causes: &[(&str, &str)]) -> Vec<u8> {
    let mut out = String::from(
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":",
    );
    json::string(&mut out, message);
    out.push_str(",\"reason\":");
    json::string(&mut out, reason(code));
    if !causes.is_empty() {
        out.push_str(",\"details\":{\"causes\":[");
        for (n, (name, value)) in causes.iter().enumerate() {
            out.push_str(if n == 0 { "{\"reason\":" } else { ",{\"reason\":" });
            json::string(&mut out, name);
            out.push_str(",\"message\":");
            json::string(&mut out, value);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push_str(",\"code\":");
    out.push_str(&code.to_string());
    out.push('}');
    out.into_bytes()
}

/// The reason that goes with a code: `StatusReason` of meta/v1. Clients decide by it whether to ask again.
fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        408 | 504 => "Timeout",
        409 => "Conflict",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_status_with_the_rule_that_says_so() {
        let text =
            String::from_utf8(status(403, "no \"secrets\"", &[("rule", "r1"), ("record", "7")])).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no \"secrets\"","reason":"Forbidden","details":{"causes":[{"reason":"rule","message":"r1"},{"reason":"record","message":"7"}]},"code":403}"#
        );
        let bare = status(502, "away", &[]);
        let value = json::parse(&bare).unwrap();
        assert_eq!(value.object().unwrap().text("reason"), Ok(Some("")));
    }
}
