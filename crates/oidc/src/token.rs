//! What was shown: three parts, read strictly, believed in nothing yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json;
use crate::limits::TOKEN_BYTES_MAX;

/// Why a token is not taken. A word for the record; whoever shows the token is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    TooLong,
    /// Not three parts of base64url over JSON objects that have each name once.
    Malformed,
    /// It is encrypted, or compressed.
    Encrypted,
    /// Its header brings a key, or has what we would have to understand.
    Header,
    /// It is of another type: a logout token, a proof.
    Type,
    /// `none`, one with a shared secret, one that is not allowed, or not the key's.
    Algorithm,
    /// No key of the issuer's has this name.
    UnknownKey,
    /// The key is there, and too weak or of a kind that is not known.
    UnusableKey,
    /// The issuer's keys could not be had, or are too old.
    NoKeys,
    Signature,
    /// Nobody configured this issuer.
    Issuer,
    Audience,
    /// No `exp`, or one that is no date.
    NoExpiry,
    Expired,
    /// `nbf` or `iat` is in the future.
    NotYet,
    /// It lives longer than a token may.
    Life,
    /// It is good only together with a key that we do not ask for (`cnf`).
    Bound,
    Subject,
    /// The chain of actors is malformed or too long.
    Actor,
    /// A claim that has to be there is not, or says something else.
    Claim,
    /// It names nobody who is known here.
    Human,
}

impl Refused {
    pub const ALL: [Refused; 21] = [
        Refused::TooLong,
        Refused::Malformed,
        Refused::Encrypted,
        Refused::Header,
        Refused::Type,
        Refused::Algorithm,
        Refused::UnknownKey,
        Refused::UnusableKey,
        Refused::NoKeys,
        Refused::Signature,
        Refused::Issuer,
        Refused::Audience,
        Refused::NoExpiry,
        Refused::Expired,
        Refused::NotYet,
        Refused::Life,
        Refused::Bound,
        Refused::Subject,
        Refused::Actor,
        Refused::Claim,
        Refused::Human,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Refused::TooLong => "too-long",
            Refused::Malformed => "malformed",
            Refused::Encrypted => "encrypted",
            Refused::Header => "header",
            Refused::Type => "type",
            Refused::Algorithm => "algorithm",
            Refused::UnknownKey => "unknown-key",
            Refused::UnusableKey => "unusable-key",
            Refused::NoKeys => "no-keys",
            Refused::Signature => "signature",
            Refused::Issuer => "issuer",
            Refused::Audience => "audience",
            Refused::NoExpiry => "no-expiry",
            Refused::Expired => "expired",
            Refused::NotYet => "not-yet",
            Refused::Life => "life",
            Refused::Bound => "bound",
            Refused::Subject => "subject",
            Refused::Actor => "actor",
            Refused::Claim => "claim",
            Refused::Human => "human",
        }
    }
}

/// A token as it was shown. Nothing in it is believed before [`Rules::verify`](crate::Rules::verify).
pub struct Token<'t> {
    text: &'t str,
    /// What is signed: the first two parts with their dot.
    pub(crate) signed: &'t str,
    pub(crate) algorithm: String,
    pub(crate) key: Option<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) signature: Vec<u8>,
}

/// What brings a key, or says where one is (RFC 7515, 4.1): an attacker's, as far as we know.
const KEY_BRINGERS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];
/// Types that a token for a resource may have (RFC 7519, 5.1; RFC 9068, 2.1), without `application/`.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

impl<'t> Token<'t> {
    /// Whether a credential is meant to be such a token: JSON in base64url begins so, and no token of ours does.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with("eyJ") && text.contains('.')
    }

    /// Reads a token. Errors: what it cannot be, whoever signed it.
    pub fn parse(text: &'t str) -> Result<Token<'t>, Refused> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let parts: Vec<&str> = text.splitn(6, '.').collect();
        let [header, payload, signature] = parts[..] else {
            // Five parts are a JWE (RFC 7516).
            return Err(if parts.len() == 5 { Refused::Encrypted } else { Refused::Malformed });
        };
        let header = part(header)?;
        let algorithm = judged(&header)?;
        let key = match header.get("kid") {
            None => None,
            Some(Value::String(key)) => Some(key.clone()),
            Some(_) => return Err(Refused::Malformed),
        };
        let claims = part(payload)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Malformed)?;
        let signed = text.rsplit_once('.').map_or(text, |(signed, _)| signed);
        Ok(Token { text, signed, algorithm, key, claims, signature })
    }

    /// Who says that they made it: where to look for keys, and nothing more.
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// SHA-256 of the whole token. It holds a signature, which nobody guesses, so that the hash tells nothing of the claims.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256(self.text)
    }

    /// SHA-256 of what is signed: the same for two signatures over one token, which some algorithms allow anybody to make.
    pub(crate) fn ticket(&self) -> [u8; 32] {
        sha256(self.signed)
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    out
}

/// One part: an object in base64url without padding, whose last bits are zero.
fn part(text: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Malformed)?;
    json::object(&bytes).ok_or(Refused::Malformed)
}

/// The algorithm that a header names, if there is nothing in it that must not be.
fn judged(header: &Map<String, Value>) -> Result<String, Refused> {
    if header.contains_key("enc") || header.contains_key("zip") {
        return Err(Refused::Encrypted);
    }
    // We understand no extension, `b64` (RFC 7797) among them; a list of none is malformed by itself.
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(Refused::Header);
    }
    if KEY_BRINGERS.iter().any(|name| header.contains_key(*name)) {
        return Err(Refused::Header);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) => {
            let typ = typ.to_ascii_lowercase();
            if !TYPES.contains(&typ.strip_prefix("application/").unwrap_or(&typ)) {
                return Err(Refused::Type);
            }
        }
        Some(_) => return Err(Refused::Malformed),
    }
    match header.get("alg") {
        Some(Value::String(algorithm)) => Ok(algorithm.clone()),
        Some(_) | None => Err(Refused::Algorithm),
    }
}
