//! What a request says beside its body: its path, its query, and the fields that go upstream, looked at as a body is.
//!
//! Each segment, name and value is looked at by itself, as the service reads it, and the target once more as it goes
//! upstream. Towards a model a field's value gives way to a placeholder. A path, a query and a field's name cannot: another
//! one asks for something else, so that what is found there refuses the request.
//!
//! Credentials are not here: what the agent sent in their place was taken out before (`credential`), and the upstream's own
//! comes behind the permit (`writer`).

use std::collections::BTreeSet;

use gate::Tripped;
use ledger::Print;
use mask::{Detectors, Finding, Known, Origin};
use proto_http::frame::Headers;
use proto_http::message::{Request, Target, hop_by_hop};
use vocab::Class;
use wire::RawField;

use super::credential::{reads_as, strip, without};
use super::resource::Resource;
use crate::limits::PRINTS_MAX;

/// Why a request to a model stays here.
const NOT_MASKED: (u16, &str) = (
    403,
    "a value of a sensitive class stands in the path, the query or a field's name, where it cannot be masked",
);

/// What stands beside the body, and what was found in it.
pub(super) struct Beside {
    /// The client's fields as they go upstream.
    pub(super) own: Headers,
    pub(super) classes: BTreeSet<Class>,
    /// As it is recorded if the request is sent.
    pub(super) tripped: BTreeSet<Tripped>,
    /// Fingerprints of what was found.
    pub(super) prints: BTreeSet<Print>,
    /// Refused whatever policy says: status and reason.
    pub(super) refuse: Option<(u16, &'static str)>,
}

impl Beside {
    /// `masks`: what can be replaced is. What is found is known to the run from here on: it said it.
    pub(super) fn of(
        detectors: &Detectors,
        resource: &Resource,
        known: &mut Known,
        request: &Request,
        masks: bool,
    ) -> Beside {
        let mut look = Look { detectors, found: BTreeSet::new(), values: Vec::new() };
        let in_target = look.target(request);
        let (own, in_name) = look.fields(own_fields(resource, request), masks);
        let protocols = request.headers.all("sec-websocket-protocol").filter(|_| request.upgrade);
        protocols.for_each(|offered| drop(look.at(offered.as_bytes(), HEADER, false)));
        let ledger = resource.gate.ledger();
        look.values.iter().for_each(|(_, value)| known.remember(Origin::Echo, value.as_bytes()));
        let prints =
            look.values.iter().take(PRINTS_MAX).map(|(class, value)| ledger.print(class, value.as_bytes()));
        Beside {
            own,
            prints: prints.collect(),
            classes: look.found.iter().map(|hit| hit.class.clone()).collect(),
            tripped: look.found,
            refuse: (masks && (in_target || in_name)).then_some(NOT_MASKED),
        }
    }
}

const HEADER: &str = "request-header";

struct Look<'a> {
    detectors: &'a Detectors,
    found: BTreeSet<Tripped>,
    /// What was found.
    values: Vec<(Class, RawField)>,
}

impl Look<'_> {
    /// Path and query. `true`: something was found.
    fn target(&mut self, request: &Request) -> bool {
        let Target::Origin(origin) = &request.target else { return false };
        let segments = origin.path.segments.iter().map(String::as_bytes);
        let pairs = origin.query.iter().flat_map(|query| &query.pairs);
        let both = pairs.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let raw = origin.raw.as_bytes();
        let (path, query) = raw.split_at(memchr::memchr(b'?', raw).unwrap_or(raw.len()));
        let in_path = [path].into_iter().chain(segments).map(|part| (part, "path"));
        let in_query = [query].into_iter().chain(both).map(|part| (part, "query"));
        in_path.chain(in_query).filter(|(part, channel)| self.at(part, channel, false).is_some()).count() > 0
    }

    /// The fields as they go upstream, and whether something was found in a name.
    fn fields(&mut self, own: Headers, masks: bool) -> (Headers, bool) {
        let (mut out, mut in_name) = (Headers::new(), false);
        for (name, value) in own.iter() {
            let names = spellings(name.as_bytes());
            in_name |= names.iter().filter(|name| self.at(name, HEADER, false).is_some()).count() > 0;
            let class = self.at(value.as_bytes(), HEADER, masks);
            let class = class.or_else(|| self.named(name, value.as_bytes(), masks)).filter(|_| masks);
            let value = class.map_or_else(|| value.clone(), |class| placeholder(&class));
            out.push(name.clone(), value);
        }
        (out, in_name)
    }

    /// Looks at a part of it; the class of what stands there first. `masked`: a placeholder takes its place.
    fn at(&mut self, part: &[u8], channel: &'static str, masked: bool) -> Option<Class> {
        self.behind(b"", part, channel, masked)
    }

    /// The same of a field's value behind its name, which can give it away (a secret of AWS's is known by that).
    fn named(&mut self, name: &RawField, value: &[u8], masked: bool) -> Option<Class> {
        self.behind(format!("{}: ", reads_as(name.as_bytes())).as_bytes(), value, HEADER, masked)
    }

    fn behind(&mut self, before: &[u8], part: &[u8], channel: &'static str, masked: bool) -> Option<Class> {
        let mut findings = Vec::new();
        self.detectors.scan_deep(&[before, part].concat(), &mut findings);
        findings.retain(|finding| finding.range.end > before.len());
        let act = if masked { "masked" } else { "reported" };
        for Finding { class, detector, range, .. } in &findings {
            self.found.insert(Tripped { detector, class: class.clone(), channel, act });
            let start = range.start.saturating_sub(before.len());
            let value = part.get(start..range.end - before.len()).map(RawField::copy_from);
            self.values.extend(value.map(|value| (class.clone(), value)));
        }
        findings.first().map(|finding| finding.class.clone())
    }
}

/// A field's name as it is looked at: as it stands, without its `X-`, without the signs that stick to a value in it, and
/// without the letters, too (`X-536-22-8391`, `x_536-22-8391`, `N536-22-8391`).
pub(super) fn spellings(name: &[u8]) -> Vec<Vec<u8>> {
    let bare = name.get(2..).filter(|_| reads_as(name).starts_with("x-"));
    let word = |b: &u8| if b.is_ascii_alphanumeric() || *b == b'-' { *b } else { b' ' };
    let words: Vec<u8> = name.iter().map(word).collect();
    let mut all = vec![name.to_vec(), numbers(&words)];
    all.extend(bare.map(<[u8]>::to_vec));
    all.push(words);
    all.sort();
    all.dedup();
    all
}

/// The words with a space between letters and digits, also in place of a `-`.
fn numbers(words: &[u8]) -> Vec<u8> {
    let differ = |a: Option<&u8>, b: Option<&u8>| match (a, b) {
        (Some(a), Some(b)) => {
            a.is_ascii_digit() && b.is_ascii_alphabetic() || a.is_ascii_alphabetic() && b.is_ascii_digit()
        }
        _ => false,
    };
    let mut out = Vec::new();
    for (n, byte) in words.iter().enumerate() {
        let before = n.checked_sub(1).and_then(|n| words.get(n));
        match byte {
            b'-' if differ(before, words.get(n + 1)) => out.push(b' '),
            byte if differ(before, Some(byte)) => out.extend([b' ', *byte]),
            byte => out.push(*byte),
        }
    }
    out
}

/// A field's name, in lower case, as it is recorded.
pub(super) fn shown_name(detectors: &Detectors, name: &str) -> String {
    let mut findings = Vec::new();
    spellings(name.as_bytes()).iter().for_each(|name| detectors.scan_deep(name, &mut findings));
    findings.first().map_or_else(|| name.to_owned(), |finding| format!("x-[{}]", finding.class))
}

fn placeholder(class: &Class) -> RawField {
    RawField::copy_from(format!("[{class}]").as_bytes())
}

/// The client's fields that go upstream.
fn own_fields(resource: &Resource, request: &Request) -> Headers {
    let mut own = request.headers.clone();
    strip(&mut own, &resource.config.inject);
    hop_by_hop(&mut own);
    without(&own, is_ours)
}

/// What the client says that is not passed on: what the gateway says itself, parts of an answer (a value could be cut in
/// two), who the client claims to be, and what it says to a proxy.
fn is_ours(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "host",
        "content-length",
        "expect",
        "accept-encoding",
        "range",
        "request-range",
        "if-range",
        "via",
        "proxy",
        // Rack: which files a server may send by their names.
        "x-sendfile-type",
        "x-accel-mapping",
    ];
    const BEGINNINGS: &[&str] = &["proxy-", "sec-websocket-", "tacho-"];
    is_one_of(name, NAMES, BEGINNINGS) || claims(name)
}

/// What says to a service that trusts its proxy who the client is, where it is, or what it reached: an agent could say
/// anything there.
pub(super) fn claims(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "client-cert",
        "client-cert-chain",
        "client-dn",
        "client-verify",
        "forwarded",
        "forwarded-for",
        "front-end-https",
        "remote-addr",
        "remote-email",
        "remote-groups",
        "remote-host",
        "remote-name",
        "remote-user",
        "x-anonymous-consumer",
        "x-apigateway-api-userinfo",
        "x-appengine-user-ip",
        "x-arr-clientcert",
        "x-arr-ssl",
        "x-endpoint-api-userinfo",
        "x-forwarded",
        "x-host",
        "x-original-for",
        "x-original-host",
        "x-original-proto",
        "x-original-remote-addr",
        "x-originating-ip",
        "x-proxied-https",
        "x-proxyuser-ip",
        "x-scheme",
        "x-true-ip",
        "x-url-scheme",
    ];
    const BEGINNINGS: &[&str] = &[
        "cf-access-",
        "cf-connecting-",
        "impersonate-",
        "ssl-client-",
        "tailscale-",
        "x-amzn-mtls-",
        "x-amzn-oidc-",
        "x-auth-request-",
        "x-authenticated-",
        "x-authentik-",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-cert",
        "x-client-dn",
        "x-client-verify",
        "x-consumer-",
        "x-credential-",
        "x-envoy-external-",
        "x-envoy-internal",
        "x-envoy-peer-",
        "x-forwarded-",
        "x-goog-authenticated-",
        "x-goog-iap-",
        "x-ms-client-principal",
        "x-ms-token-",
        "x-original-forwarded-",
        "x-pomerium-",
        "x-real-",
        "x-remote-",
        "x-ssl-",
        "x-user-",
        "x-vouch-",
        "x-webauth-",
    ];
    is_one_of(name, NAMES, BEGINNINGS) || reads_as(name).ends_with("client-ip")
}

fn is_one_of(name: &[u8], names: &[&str], beginnings: &[&str]) -> bool {
    let name = reads_as(name);
    names.contains(&name.as_str()) || beginnings.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use proto_http::frame::{Decoder, Incoming};

    fn request(head: &str) -> Request {
        let mut input = BytesMut::from(head.replace('\n', "\r\n").as_bytes());
        match Decoder::client().next(&mut input) {
            Ok(Incoming::Head(head)) => Request::new(head).unwrap(),
            _ => panic!("no head: {head}"),
        }
    }

    /// What is found in a request: in the target, in a name, where, and the fields as they leave.
    fn look(head: &str, masks: bool) -> (bool, bool, Vec<String>, String) {
        let (detectors, request) = (Detectors::new(), request(head));
        let mut look = Look { detectors: &detectors, found: BTreeSet::new(), values: Vec::new() };
        let in_target = look.target(&request);
        let (own, in_name) = look.fields(request.headers.clone(), masks);
        let hit = |hit: &Tripped| format!("{} in {}: {}", hit.class, hit.channel, hit.act);
        let text = |field: &RawField| field.to_str().unwrap().to_owned();
        let own = own.iter().map(|(name, value)| format!("{}: {}", text(name), text(value)));
        (in_target, in_name, look.found.iter().map(hit).collect(), own.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn a_value_is_found_wherever_it_stands_beside_the_body() {
        let ssn = |channel: &str, act: &str| vec![format!("pii.ssn in {channel}: {act}")];
        for (target, channel) in [
            ("/v1/x/536-22-8391", "path"),
            ("/v1/x/536%2D22%2D8391", "path"),
            ("/x?note=536-22-8391", "query"),
            ("/x?536-22-8391", "query"),
            ("/x?a=1&note=of+536-22%2d8391+today", "query"),
            ("/x?note=NTM2LTIyLTgzOTE%3D", "query"),
        ] {
            let (in_target, in_name, found, _) = look(&format!("GET {target} HTTP/1.1\nHost: a\n\n"), true);
            assert_eq!((in_target, in_name, found), (true, false, ssn(channel, "reported")), "{target}");
        }
        let with = |field: &str, masks| look(&format!("GET /x HTTP/1.1\nHost: a\n{field}\n\n"), masks);
        let masked = "Host: a|X-Note: [pii.ssn]".to_owned();
        for value in ["536-22-8391", "of 536-22-8391 today", "NTM2LTIyLTgzOTE="] {
            let found = with(&format!("X-Note: {value}"), true);
            assert_eq!(found, (false, false, ssn(HEADER, "masked"), masked.clone()), "{value}");
        }
        let raw = "Host: a|X-Note: 536-22-8391".to_owned();
        assert_eq!(with("X-Note: 536-22-8391", false), (false, false, ssn(HEADER, "reported"), raw));
        for name in ["X-536-22-8391", "x_536-22-8391", "N536-22-8391", "X-Of-536-22-8391-A", "a~536-22-8391_"]
        {
            let (in_target, in_name, found, _) = with(&format!("{name}: a"), true);
            assert_eq!((in_target, in_name, found), (false, true, ssn(HEADER, "reported")), "{name}");
        }
    }

    #[test]
    fn a_value_in_a_name_is_not_shown() {
        let detectors = Detectors::new();
        for name in ["x-536-22-8391", "x_536-22-8391", "n536-22-8391"] {
            assert_eq!(shown_name(&detectors, name), "x-[pii.ssn]", "{name}");
        }
        assert_eq!(shown_name(&detectors, "x-request-id"), "x-request-id");
    }

    #[test]
    fn who_a_client_says_it_is_does_not_go_on_in_any_spelling() {
        let ours = [
            "Forwarded",
            "X-Forwarded-For",
            "x_forwarded_user",
            "X.Real.IP",
            "True-Client-IP",
            "CF-Connecting-IP",
        ];
        let ours = ours.into_iter().chain([
            "X-Client-Ip",
            "X_Remote_User",
            "Remote-Groups",
            "SSL_CLIENT_S_DN",
            "Proxy_X",
        ]);
        ours.for_each(|name| assert!(is_ours(name.as_bytes()), "{name}"));
        for name in
            ["User-Agent", "X-Request-Id", "client_id", "X-Forward", "Origin", "X-Amz-Target", "X-Scheme-Id"]
        {
            assert!(!is_ours(name.as_bytes()), "{name}");
        }
        assert!(claims(b"X_Forwarded_For") && !claims(b"Range"), "who asks, and not what");
    }

    #[test]
    fn what_clients_send_every_day_is_no_finding() {
        let head = "POST /v1/chat/completions?api-version=2024-06-01&beta=true HTTP/1.1\nHost: a\n\
            User-Agent: OpenAI/Python 1.109.1\nX-Stainless-Runtime-Version: 3.12.3\nAnthropic-Version: 2023-06-01\n\
            traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nIf-None-Match: \"33a64df551425fcc\"\n\
            X-Request-Id: 7b1c1d52-2a31-4a7a-9a60-5f7f5f0bd6c1\nDate: Fri, 27 Nov 2026 08:55:45 GMT\n\n";
        let (in_target, in_name, found, _) = look(head, true);
        assert_eq!((in_target, in_name, found), (false, false, vec![]));
    }
}
