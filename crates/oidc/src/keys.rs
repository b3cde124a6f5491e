//! An issuer's public keys: a JWKS (RFC 7517), with the algorithm that each is for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Map, Value};

use crate::json;
use crate::limits::{KEYS_BYTES_MAX, KEYS_MAX, RSA_BITS_MAX, RSA_BITS_MIN};
use crate::token::{Refused, Token};

/// A signature algorithm with a public key (RFC 7518, 3.1; RFC 8037). There is no other here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Algorithm; 9] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];
    /// Those that are allowed where the configuration names none.
    pub const USUAL: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    pub fn parse(word: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == word)
    }

    /// Type and curve of the keys that it is for.
    fn key(self) -> (&'static str, Option<&'static str>) {
        match self {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => ("RSA", None),
            Algorithm::Es256 => ("EC", Some("P-256")),
            Algorithm::Es384 => ("EC", Some("P-384")),
            Algorithm::EdDsa => ("OKP", Some("Ed25519")),
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
        }
    }
}

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    /// Or why it verifies nothing.
    usable: Result<(Algorithm, Material), Refused>,
}

#[derive(Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point, uncompressed (SEC 1), or the 32 bytes of Ed25519.
    Point(Vec<u8>),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Material::Rsa { n, .. } => write!(f, "Rsa({} bytes)", n.len()),
            Material::Point(point) => write!(f, "Point({} bytes)", point.len()),
        }
    }
}

/// Why a set of keys is not used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysError {
    TooLong,
    /// No JSON object with a list `keys`, or a name in it twice.
    Malformed,
    TooMany,
    /// Two keys have the same `kid`.
    SameName,
    /// It holds private or shared keys: whoever reads it can make tokens.
    Private,
    /// None of its keys verifies a signature of an allowed algorithm.
    NoneUsable,
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeysError::TooLong => write!(f, "it has more than {KEYS_BYTES_MAX} bytes"),
            KeysError::Malformed => {
                f.write_str("it is no JWKS: a JSON object with a list `keys`, each name once")
            }
            KeysError::TooMany => write!(f, "it has more than {KEYS_MAX} keys"),
            KeysError::SameName => f.write_str("two of its keys have the same `kid`"),
            KeysError::Private => {
                f.write_str("it holds a private or a shared key, so that whoever reads it can make tokens")
            }
            KeysError::NoneUsable => write!(
                f,
                "none of its keys is for an allowed algorithm (RSA needs {RSA_BITS_MIN} bits); see `algorithms`"
            ),
        }
    }
}

/// Parameters that only private or shared keys have (RFC 7518, 6).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

impl KeySet {
    /// Reads a JWKS. Keys that are of no use here (of another type, for encryption) are kept as such, so that a token that
    /// names one is refused without looking for it elsewhere.
    pub fn parse(bytes: &[u8], allowed: &[Algorithm]) -> Result<KeySet, KeysError> {
        if bytes.len() > KEYS_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        let set = json::object(bytes).ok_or(KeysError::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(KeysError::Malformed)?;
        if list.len() > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let objects: Option<Vec<&Map<String, Value>>> = list.iter().map(Value::as_object).collect();
        let objects = objects.ok_or(KeysError::Malformed)?;
        if objects.iter().any(|key| PRIVATE.iter().any(|name| key.contains_key(*name))) {
            return Err(KeysError::Private);
        }
        let keys: Vec<Key> = objects.into_iter().map(|key| Key::read(key, allowed)).collect();
        let named = |key: &Key, n: usize| keys.iter().skip(n + 1).any(|other| other.id == key.id);
        if keys.iter().enumerate().any(|(n, key)| key.id.is_some() && named(key, n)) {
            return Err(KeysError::SameName);
        }
        match keys.iter().any(|key| key.usable.is_ok()) {
            true => Ok(KeySet { keys }),
            false => Err(KeysError::NoneUsable),
        }
    }

    /// How many of its keys verify anything.
    pub fn usable(&self) -> usize {
        self.keys.iter().filter(|key| key.usable.is_ok()).count()
    }

    /// Whether one of the keys signed the token, by the algorithm that the key is for.
    pub(crate) fn verify(&self, token: &Token<'_>) -> Result<(), Refused> {
        let algorithm = Algorithm::parse(&token.algorithm).ok_or(Refused::Algorithm)?;
        let key = match (&token.key, &self.keys[..]) {
            // A token that names no key can only be of the one that there is.
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_ref() == Some(id)),
        };
        let (of_key, material) = match &key.ok_or(Refused::UnknownKey)?.usable {
            Ok((of_key, material)) => (*of_key, material),
            Err(why) => return Err(*why),
        };
        if of_key != algorithm {
            return Err(Refused::Algorithm);
        }
        material.verify(of_key, token.signed.as_bytes(), &token.signature)
    }
}

impl Key {
    fn read(key: &Map<String, Value>, allowed: &[Algorithm]) -> Key {
        let id = key.get("kid").and_then(Value::as_str).map(str::to_owned);
        Key { id, usable: usable(key, allowed) }
    }
}

fn usable(key: &Map<String, Value>, allowed: &[Algorithm]) -> Result<(Algorithm, Material), Refused> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    if key.contains_key("use") && text("use") != Some("sig") {
        return Err(Refused::UnusableKey);
    }
    let verifies = |list: &Value| list.as_array().is_some_and(|list| list.iter().any(|op| op == "verify"));
    if key.get("key_ops").is_some_and(|list| !verifies(list)) {
        return Err(Refused::UnusableKey);
    }
    let kind = text("kty").ok_or(Refused::UnusableKey)?;
    let curve = text("crv").filter(|_| kind != "RSA");
    let fits = |algorithm: &&Algorithm| algorithm.key() == (kind, curve);
    let algorithm = match key.get("alg") {
        // The first of the allowed ones that is for such keys: the key has one algorithm, whatever a token says.
        None => allowed.iter().find(fits).copied().ok_or(Refused::UnusableKey)?,
        Some(said) => {
            let said = said.as_str().and_then(Algorithm::parse).ok_or(Refused::UnusableKey)?;
            Some(&said).filter(fits).ok_or(Refused::UnusableKey)?;
            Some(said).filter(|said| allowed.contains(said)).ok_or(Refused::Algorithm)?
        }
    };
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    material(algorithm, number).ok_or(Refused::UnusableKey).map(|material| (algorithm, material))
}

/// The key's numbers, if they have the sizes that they must have.
fn material(algorithm: Algorithm, number: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Material> {
    let sized = |name: &str, bytes: usize| number(name).filter(|number| number.len() == bytes);
    let point =
        |bytes: usize| Some(Material::Point([vec![4], sized("x", bytes)?, sized("y", bytes)?].concat()));
    match algorithm {
        Algorithm::Es256 => point(32),
        Algorithm::Es384 => point(48),
        Algorithm::EdDsa => sized("x", 32).map(Material::Point),
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => {
            // Some issuers write a zero in front, as in DER.
            let (n, e) = (trimmed(number("n")?), trimmed(number("e")?));
            let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
            (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits).then_some(Material::Rsa { n, e })
        }
    }
}

fn trimmed(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

impl Material {
    fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Result<(), Refused> {
        let verified = match (self, algorithm.rsa()) {
            (Material::Rsa { n, e }, Some(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature)
            }
            (Material::Point(point), None) => {
                let how: &'static dyn VerificationAlgorithm = match algorithm {
                    Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
                    _ => &signature::ED25519,
                };
                UnparsedPublicKey::new(how, point).verify(signed, signature)
            }
            (Material::Rsa { .. }, None) | (Material::Point(_), Some(_)) => return Err(Refused::Algorithm),
        };
        verified.map_err(|_| Refused::Signature)
    }
}
