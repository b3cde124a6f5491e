//! Headers that say who asks. None of a client's reaches upstream: the gateway says who it is. A request in somebody else's name is
//! refused.
//!
//! Spec: k8s.io/apiserver, authentication by request headers (front proxy), impersonation, audit ids. Names are compared
//! without their case, and with `_` for `-`, which some servers take for it.

/// The headers themselves.
const NAMES: [&str; 16] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "impersonate-user",
    "impersonate-group",
    "impersonate-uid",
    "x-remote-user",
    "x-remote-group",
    "x-remote-uid",
    "x-real-ip",
    "forwarded",
    "via",
    // The server takes the client's id for its audit log.
    "audit-id",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Beginnings of names whose rest is somebody's own.
const PREFIXES: [&str; 4] = ["impersonate-", "x-remote-", "x-forwarded-", "x-original-"];

/// Whether a client's header says who asks, or what is asked in another way: it is left out, however often it stands there.
pub fn claims(name: &[u8]) -> bool {
    let folded: Vec<u8> =
        name.iter().map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() }).collect();
    NAMES.iter().any(|own| own.as_bytes() == folded)
        || PREFIXES.iter().any(|prefix| folded.starts_with(prefix.as_bytes()))
}

/// Whether a client asks in somebody else's name: without this it would be done in the gateway's.
pub fn impersonates(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"impersonate-";
    let folded = name.iter().map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() });
    name.len() >= PREFIX.len() && folded.take(PREFIX.len()).eq(PREFIX.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::{claims, impersonates};

    #[test]
    fn who_asks_as_somebody_else_is_known() {
        for name in ["Impersonate-User", "impersonate_group", "IMPERSONATE-EXTRA-scopes", "Impersonate-X"] {
            assert!(impersonates(name.as_bytes()), "{name}");
        }
        assert!(!impersonates(b"Impersonate") && !impersonates(b"X-Remote-User"));
    }

    #[test]
    fn no_header_of_a_client_says_who_asks() {
        let bad = [
            "Impersonate-User",
            "impersonate-user",
            "IMPERSONATE-GROUP",
            "Impersonate-Uid",
            "Impersonate-Extra-scopes",
            "Impersonate-Extra-a%2fb",
            "Impersonate_User",
            "X-Remote-User",
            "x_remote_group",
            "X-Remote-Extra-Acme.com%2Fproject",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "X-Forwarded-For",
            "X-Forwarded-Uri",
            "X-Original-Url",
            "Forwarded",
            "Audit-ID",
            "X-HTTP-Method-Override",
        ];
        for name in bad {
            assert!(claims(name.as_bytes()), "{name}");
        }
        let good = [
            "Accept",
            "Content-Type",
            "User-Agent",
            "Kubectl-Command",
            "Kubectl-Session",
            "If-None-Match",
            "Sec-WebSocket-Key",
        ];
        for name in good {
            assert!(!claims(name.as_bytes()), "{name}");
        }
    }
}
