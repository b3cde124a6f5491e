//! Whose request it is, and the upstream's credential in its place.
//!
//! **Invariant:** what the agent sent in a place of credentials never goes upstream, and the upstream's credential is
//! added by the writer, behind the permit: it is in no question, record or approval (P6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use proto_http::frame::Headers;
use zeroize::Zeroizing;

use super::sigv4::{self, Signer};
use crate::config::Inject;
use crate::entropy;
use crate::vault::Secret;

/// Where a client may show its run's credential.
const PLACES: &[&str] = &["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// A run's user name and password as a client showed them.
pub(super) struct Shown {
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

/// `Authorization: Basic` or `Bearer USER.PASSWORD`, or `X-Api-Key: USER.PASSWORD`. More than one of them is none: which
/// of two was meant is not guessed.
pub(super) fn shown(headers: &Headers) -> Option<Shown> {
    let mut all = PLACES.iter().flat_map(|place| headers.all(place).map(move |value| (*place, value)));
    let (Some((place, value)), None) = (all.next(), all.next()) else { return None };
    let value = value.to_str()?;
    let word = match place.ends_with("authorization") {
        false => Zeroizing::new(value.to_owned()),
        true => {
            let (scheme, rest) = value.split_once(' ')?;
            let rest = rest.trim();
            match scheme.to_ascii_lowercase().as_str() {
                "bearer" => Zeroizing::new(rest.to_owned()),
                "basic" => return basic(rest),
                _ => return None,
            }
        }
    };
    let (user, password) = word.split_once('.')?;
    Some(Shown { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

/// `Proxy-Authorization: Basic`, as clients make it of a proxy's URL, and nothing else: what a client shows to the service that
/// it wants is no proof of whose it is.
pub(super) fn shown_to_proxy(headers: &Headers) -> Option<Shown> {
    let mut all = headers.all("proxy-authorization");
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, rest) = value.to_str()?.split_once(' ')?;
    basic(rest.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"))
}

fn basic(encoded: &str) -> Option<Shown> {
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Shown { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

/// Takes every credential out of a request's fields, and what stands where the upstream's goes, also where a server
/// takes another sign for `-`.
pub(super) fn strip(headers: &mut Headers, inject: &Inject) {
    let own = match inject {
        Inject::Header(name) => Some(reads_as(name.as_bytes())),
        Inject::Bearer | Inject::Basic | Inject::Query(_) | Inject::SigV4 { .. } => None,
    };
    let signs = matches!(inject, Inject::SigV4 { .. });
    let goes = |name: &[u8]| {
        let name = reads_as(name);
        PLACES.contains(&name.as_str())
            || own.as_ref() == Some(&name)
            || signs && sigv4::OURS.contains(&name.as_str())
    };
    *headers = without(headers, goes);
}

/// The fields whose names `goes` does not take.
pub(super) fn without(headers: &Headers, goes: impl Fn(&[u8]) -> bool) -> Headers {
    let mut rest = Headers::new();
    let stay = headers.iter().filter(|(name, _)| !goes(name.as_bytes()));
    stay.for_each(|(name, value)| rest.push(name.clone(), value.clone()));
    rest
}

/// A field's name as a server may read it that hands fields on as variables: without case, and every sign as `-`.
pub(super) fn reads_as(name: &[u8]) -> String {
    let read = |b: &u8| if b.is_ascii_alphanumeric() { char::from(b.to_ascii_lowercase()) } else { '-' };
    name.iter().map(read).collect()
}

/// The credential as the writer adds it.
pub(super) enum Injected {
    None,
    /// A whole field with its CRLF.
    Field(Zeroizing<Vec<u8>>),
    /// `name=value` of the query.
    Pair(Zeroizing<Vec<u8>>),
    /// Fields that sign the request, made for each.
    Signature(Box<Signer>),
}

impl Injected {
    /// Errors: a sentence for the operator.
    pub(super) fn new(inject: &Inject, secret: Option<&Secret>) -> Result<Injected, String> {
        let Some(credential) = secret else { return Ok(Injected::None) };
        let secret = credential.expose();
        if !secret.iter().all(|b| matches!(b, 0x20..=0x7e)) {
            return Err("the credential has bytes that no field of HTTP can hold".into());
        }
        let mut out = Zeroizing::new(Vec::with_capacity(secret.len() * 3 + 64));
        match inject {
            Inject::SigV4 { region, service } => {
                return Signer::new(credential, region, service).map(Box::new).map(Injected::Signature);
            }
            Inject::Bearer => out.extend_from_slice(b"Authorization: Bearer "),
            Inject::Basic => out.extend_from_slice(b"Authorization: Basic "),
            Inject::Header(name) => out.extend_from_slice(format!("{name}: ").as_bytes()),
            Inject::Query(name) => out.extend_from_slice(format!("{name}=").as_bytes()),
        }
        match inject {
            Inject::Basic if !secret.contains(&b':') => {
                return Err("the credential is not user:password, which inject = \"basic\" needs".into());
            }
            Inject::Basic => out.extend_from_slice(&base64(secret)),
            Inject::Query(_) => out.extend_from_slice(&percent_encoded(secret)),
            Inject::Bearer | Inject::Header(_) | Inject::SigV4 { .. } => out.extend_from_slice(secret),
        }
        if matches!(inject, Inject::Query(_)) {
            return Ok(Injected::Pair(out));
        }
        out.extend_from_slice(b"\r\n");
        Ok(Injected::Field(out))
    }
}

impl Injected {
    /// A request's head, and what stands behind it, with the credential in it. `None`: it is no request that could be signed.
    pub(super) fn added(&self, bytes: &[u8]) -> Option<BytesMut> {
        let line = memchr::memchr(b'\n', bytes).map_or(0, |end| end + 1);
        let within = |at: usize, added: &[&[u8]]| {
            let mut out =
                BytesMut::with_capacity(bytes.len() + added.iter().map(|piece| piece.len()).sum::<usize>());
            out.extend_from_slice(&bytes[..at]);
            added.iter().for_each(|piece| out.extend_from_slice(piece));
            out.extend_from_slice(&bytes[at..]);
            out
        };
        Some(match self {
            Injected::None => BytesMut::from(bytes),
            Injected::Field(field) => within(line, &[field]),
            Injected::Signature(signer) => {
                within(line, &[&signer.fields(bytes, entropy::wall().0 / 1_000_000_000)?])
            }
            Injected::Pair(pair) => {
                // The request line ends with ` HTTP/1.1` and CRLF, and its target has no space.
                let end = line.saturating_sub(b" HTTP/1.1\r\n".len());
                let mark: &[u8] = if bytes[..end].contains(&b'?') { b"&" } else { b"?" };
                within(end, &[mark, pair])
            }
        })
    }

    /// How many bytes it adds to the request's target.
    pub(super) fn in_target(&self) -> usize {
        match self {
            Injected::Pair(pair) => pair.len() + 1,
            Injected::None | Injected::Field(_) | Injected::Signature(_) => 0,
        }
    }
}

/// As a URL writes it.
pub(super) fn percent_encoded(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() * 3));
    for byte in bytes {
        match *byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(b),
            b => out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]),
        }
    }
    out
}

pub(super) fn base64(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(STANDARD.encode(bytes).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::RawField;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value.as_bytes()));
        }
        headers
    }

    #[test]
    fn a_credential_is_read_in_each_of_its_places_and_never_guessed() {
        let read =
            |pairs: &[(&str, &str)]| shown(&headers(pairs)).map(|s| format!("{}/{}", s.user, *s.password));
        let expect = Some("run_1/pw".to_owned());
        // run_1:pw
        assert_eq!(read(&[("Authorization", "Basic cnVuXzE6cHc=")]), expect);
        assert_eq!(read(&[("AUTHORIZATION", "bearer run_1.pw")]), expect);
        assert_eq!(read(&[("X-Api-Key", "run_1.pw")]), expect);
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("Authorization", "Basic !")]), None);
        assert_eq!(read(&[("Authorization", "Negotiate run_1.pw")]), None);
        assert_eq!(read(&[("Authorization", "Bearer run_1.pw"), ("X-Api-Key", "run_1.pw")]), None);
    }

    #[test]
    fn a_proxy_is_shown_a_credential_in_one_place() {
        let read = |pairs: &[(&str, &str)]| {
            shown_to_proxy(&headers(pairs)).map(|s| format!("{}/{}", s.user, *s.password))
        };
        assert_eq!(read(&[("Proxy-Authorization", "Basic cnVuXzE6cHc=")]), Some("run_1/pw".to_owned()));
        assert_eq!(read(&[("proxy-authorization", "bAsIc  cnVuXzE6cHc=")]), Some("run_1/pw".to_owned()));
        for (name, value) in [
            ("Authorization", "Basic cnVuXzE6cHc="),
            ("X-Api-Key", "run_1.pw"),
            ("Proxy-Authorization", "Bearer run_1.pw"),
            ("Proxy-Authorization", "Bearer cnVuXzE6cHc="),
            ("Proxy-Authorization", "Basic"),
        ] {
            assert_eq!(read(&[(name, value)]), None, "{name}: {value}");
        }
        let twice =
            [("Proxy-Authorization", "Basic cnVuXzE6cHc="), ("Proxy-Authorization", "Basic cnVuXzE6cHc=")];
        assert_eq!(read(&twice), None);
    }

    #[test]
    fn no_casing_or_duplicate_of_a_credential_stays() {
        let mut all = headers(&[
            ("aUthorization", "a"),
            ("Authorization", "b"),
            ("X-API-KEY", "c"),
            ("X_Api_Key", "c"),
            ("X.Api.Key", "c"),
            ("X-Token", "d"),
            ("x_token", "d"),
            ("Accept", "e"),
        ]);
        strip(&mut all, &Inject::Header("x-token".into()));
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn a_credential_cannot_end_its_field() {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        assert!(Injected::new(&Inject::Bearer, Some(&secret("a\r\nX: y"))).is_err());
        assert!(Injected::new(&Inject::Basic, Some(&secret("no colon"))).is_err());
        let Ok(Injected::Pair(pair)) = Injected::new(&Inject::Query("key".into()), Some(&secret("a&b=c")))
        else {
            panic!("a pair")
        };
        assert_eq!(&pair[..], b"key=a%26b%3Dc");
    }
}
