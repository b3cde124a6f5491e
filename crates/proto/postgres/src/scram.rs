//! How a client proves its password to us: SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, server side. Spec: RFC 5802,
//! RFC 7677; PostgreSQL 18, 54.3 "SASL Authentication"; channel binding `tls-server-end-point` (RFC 5929).
//!
//! Two steps, each a value that is consumed: [`Server::begin`] takes client-first and gives server-first;
//! [`Server::finish`] takes client-final and gives server-final. Nonce and salt are arguments: nothing here makes
//! randomness. The user name inside the SCRAM messages is ignored, as PostgreSQL does: the startup packet's counts.
//!
//! **A user that does not exist is indistinguishable**: use [`Verifier::mock`], whose salt is stable for a name and
//! whose proof never verifies, at the same cost.
//!
//! Passwords are taken as bytes: SASLprep is the identity on the printable ASCII that the gateway mints, and
//! [`Verifier::from_password`] refuses anything else.

use crate::limits::*;
use ring::{digest, hmac, pbkdf2};
use std::fmt;
use std::num::NonZeroU32;
use wire::{Fault, Side, kind};

pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Bytes of a derived key.
const KEY_BYTES: usize = 32;

/// Bytes of a nonce before base64, as PostgreSQL's.
pub const NONCE_BYTES: usize = 18;

/// Bytes of a salt, as PostgreSQL's.
pub const SALT_BYTES: usize = 16;

/// What is stored of a password. It does not give the password back, but whoever has `server_key` can pretend to be
/// us: keep it like a secret.
#[derive(Clone)]
pub struct Verifier {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: [u8; KEY_BYTES],
    server_key: [u8; KEY_BYTES],
    /// There is no such user: no proof is right.
    mock: bool,
}

impl Verifier {
    /// Errors (side: operator): `BAD_VALUE` for a password that is empty or not printable ASCII, an empty salt, or
    /// iterations of 0 or above [`SCRAM_ITERATIONS_MAX`].
    pub fn from_password(password: &[u8], salt: &[u8], iterations: u32) -> Result<Verifier, Fault> {
        if password.is_empty() || !password.iter().all(|b| (0x20..0x7f).contains(b)) {
            return Err(operator("a password that is empty or not printable ASCII"));
        }
        let iterations = checked_iterations(iterations)?;
        if salt.is_empty() {
            return Err(operator("an empty salt"));
        }
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut salted);
        let client_key = mac(&salted, b"Client Key");
        Ok(Verifier {
            salt: salt.to_vec(),
            iterations,
            stored_key: sha256(&client_key),
            server_key: mac(&salted, b"Server Key"),
            mock: false,
        })
    }

    /// For a user that does not exist. `secret` is random, kept for as long as salts are to stay the same, and known
    /// to nobody else. Errors (side: operator): as `from_password` for iterations.
    pub fn mock(secret: &[u8; 32], user: &[u8], iterations: u32) -> Result<Verifier, Fault> {
        let salt = mac_parts(secret, &[b"mock salt\0", user]);
        Ok(Verifier {
            salt: salt.iter().copied().take(SALT_BYTES).collect(),
            iterations: checked_iterations(iterations)?,
            stored_key: mac_parts(secret, &[b"mock stored key\0", user]),
            server_key: mac_parts(secret, &[b"mock server key\0", user]),
            mock: true,
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} iterations)", self.iterations)
    }
}

/// What the connection under the exchange can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// No TLS: only SCRAM-SHA-256 is offered.
    Plain,
    /// TLS, with the hash of our certificate as `tls-server-end-point` has it: both mechanisms are offered.
    Tls { end_point: &'a [u8] },
}

impl Channel<'_> {
    /// What to offer in AuthenticationSASL, best first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self {
            Channel::Plain => &[SCRAM_SHA_256],
            Channel::Tls { .. } => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
        }
    }
}

/// An exchange of which server-first has been made.
#[must_use]
pub struct Server {
    verifier: Verifier,
    /// What `c=` must be, in base64.
    binding: String,
    /// Client nonce and ours.
    nonce: String,
    /// client-first-bare, comma, server-first, comma: what the proof is about, up to client-final.
    transcript: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server(SCRAM)")
    }
}

impl Server {
    /// Takes the mechanism and client-first of a SASLInitialResponse; gives server-first, for AuthenticationSASLContinue.
    /// `nonce` is random and never used again.
    ///
    /// Errors (side: client): `AUTHENTICATION` for a mechanism that was not offered, for a message that is not of the
    /// grammar, and for a client that could bind the channel but believes that we cannot while we can (a downgrade).
    pub fn begin(
        verifier: Verifier,
        channel: Channel<'_>,
        mechanism: &[u8],
        client_first: &[u8],
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<(Server, Vec<u8>), Fault> {
        Server::first(verifier, channel, mechanism, client_first, &base64(nonce))
    }

    /// As `begin`, with the nonce as it is written.
    fn first(
        verifier: Verifier,
        channel: Channel<'_>,
        mechanism: &[u8],
        client_first: &[u8],
        nonce: &str,
    ) -> Result<(Server, Vec<u8>), Fault> {
        let first = text(client_first)?;
        let (flag, rest) = first.split_once(',').ok_or(MALFORMED)?;
        let (authzid, bare) = rest.split_once(',').ok_or(MALFORMED)?;
        if !authzid.is_empty() {
            return Err(refused("an authorization identity is not supported"));
        }
        let binding = binding(channel, mechanism, flag)?;
        let mut attributes = bare.split(',');
        attribute(attributes.next(), "n=")?;
        let client_nonce = attribute(attributes.next(), "r=")?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(MALFORMED);
        }
        let nonce = format!("{client_nonce}{nonce}");
        let server_first = format!("r={nonce},s={},i={}", base64(&verifier.salt), verifier.iterations);
        let transcript = format!("{bare},{server_first},");
        Ok((Server { verifier, binding, nonce, transcript }, server_first.into_bytes()))
    }

    /// Takes client-final; gives server-final, for AuthenticationSASLFinal: the client is who the verifier says.
    ///
    /// Errors (side: client): `AUTHENTICATION`, with one text for a wrong proof and an unknown user.
    pub fn finish(self, client_final: &[u8]) -> Result<Vec<u8>, Fault> {
        let message = text(client_final)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut attributes = without_proof.split(',');
        let bound = attribute(attributes.next(), "c=")?;
        let nonce = attribute(attributes.next(), "r=")?;
        let proof: [u8; KEY_BYTES] = unbase64(proof).and_then(|p| p.try_into().ok()).ok_or(MALFORMED)?;
        if bound != self.binding {
            return Err(refused("SCRAM channel binding check failed"));
        }
        if nonce != self.nonce {
            return Err(refused("SCRAM nonce does not match"));
        }
        let transcript = format!("{}{without_proof}", self.transcript);
        self.prove(&proof, transcript.as_bytes())
    }

    fn prove(&self, proof: &[u8; KEY_BYTES], transcript: &[u8]) -> Result<Vec<u8>, Fault> {
        let signature = mac(&self.verifier.stored_key, transcript);
        let mut client_key = *proof;
        client_key.iter_mut().zip(signature).for_each(|(key, byte)| *key ^= byte);
        let right = equal(&sha256(&client_key), &self.verifier.stored_key);
        // Computed in any case, so that a wrong proof takes as long as a right one.
        let server_signature = base64(&mac(&self.verifier.server_key, transcript));
        if right && !self.verifier.mock {
            return Ok(format!("v={server_signature}").into_bytes());
        }
        Err(refused("password authentication failed"))
    }
}

const MALFORMED: Fault = refused("malformed SCRAM message");

const fn refused(outward: &'static str) -> Fault {
    Fault::new(Side::Client, kind::AUTHENTICATION, outward, "SCRAM")
}

const fn operator(inward: &'static str) -> Fault {
    Fault::new(Side::Operator, kind::BAD_VALUE, "the gateway's credential is not usable", inward)
}

fn checked_iterations(iterations: u32) -> Result<NonZeroU32, Fault> {
    NonZeroU32::new(iterations)
        .filter(|n| n.get() <= SCRAM_ITERATIONS_MAX)
        .ok_or(operator("iterations of 0 or above SCRAM_ITERATIONS_MAX"))
}

fn text(message: &[u8]) -> Result<&str, Fault> {
    if message.len() > SCRAM_MESSAGE_BYTES_MAX || message.contains(&0) {
        return Err(MALFORMED);
    }
    std::str::from_utf8(message).map_err(|_| MALFORMED)
}

/// The value of the attribute that must stand here.
fn attribute<'a>(attribute: Option<&'a str>, name: &str) -> Result<&'a str, Fault> {
    attribute.and_then(|text| text.strip_prefix(name)).ok_or(MALFORMED)
}

/// What `c=` of client-final must be: the base64 of the GS2 header and, if bound, of the binding's data.
fn binding(channel: Channel<'_>, mechanism: &[u8], flag: &str) -> Result<String, Fault> {
    let plus = mechanism == SCRAM_SHA_256_PLUS.as_bytes();
    if !plus && mechanism != SCRAM_SHA_256.as_bytes() {
        return Err(refused("client selected an invalid SASL authentication mechanism"));
    }
    match (channel, plus, flag) {
        (Channel::Tls { end_point }, true, "p=tls-server-end-point") => {
            Ok(base64(&[b"p=tls-server-end-point,,", end_point].concat()))
        }
        (_, false, "n") => Ok(base64(b"n,,")),
        (Channel::Plain, false, "y") => Ok(base64(b"y,,")),
        (Channel::Tls { .. }, false, "y") => Err(refused(
            "SCRAM channel binding negotiation error: the client supports channel binding but thinks the server does not",
        )),
        _ => Err(refused("SCRAM channel binding type and mechanism do not fit")),
    }
}

/// Compares without telling by time where the difference is: as ring compares tags, over a MAC of both under a key
/// of this one comparison.
fn equal(a: &[u8; KEY_BYTES], b: &[u8; KEY_BYTES]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b);
    hmac::verify(&key, a, hmac::sign(&key, b).as_ref()).is_ok()
}

fn sha256(bytes: &[u8]) -> [u8; KEY_BYTES] {
    array(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], message: &[u8]) -> [u8; KEY_BYTES] {
    mac_parts(key, &[message])
}

fn mac_parts(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    array(context.sign().as_ref())
}

/// SHA-256 and HMAC-SHA-256 give 32 bytes.
fn array(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let mut array = [0; KEY_BYTES];
    array.copy_from_slice(bytes);
    array
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648, 4).
fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| (group << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let six = (group >> (18 - 6 * place)) & 63;
            // Six bits index 64 letters.
            out.push(if place <= chunk.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    out
}

/// The inverse, strict: padded, and only the encoding that [`base64`] gives.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        let letters = chunk.iter().take_while(|b| **b != b'=').count();
        let mut group = 0u32;
        for byte in chunk.get(..letters)? {
            group = (group << 6) | u32::try_from(ALPHABET.iter().position(|letter| letter == byte)?).ok()?;
        }
        group <<= 6 * (4 - letters);
        out.extend(group.to_be_bytes().get(1..letters.max(1))?);
    }
    (base64(&out) == text).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, 3.
    #[test]
    fn the_exchange_of_the_rfc() {
        let salt = unbase64("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::from_password(b"pencil", &salt, 4096).unwrap();
        let begin = |verifier: &Verifier| {
            Server::first(
                verifier.clone(),
                Channel::Plain,
                b"SCRAM-SHA-256",
                b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            )
            .unwrap()
        };
        let (server, first) = begin(&verifier);
        assert_eq!(
            first,
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(server.finish(last).unwrap(), b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for at in 0..last.len() {
            let mut changed = last.to_vec();
            changed[at] ^= 1;
            assert!(begin(&verifier).0.finish(&changed).is_err(), "byte {at} changed");
        }
    }

    #[test]
    fn a_mock_refuses_even_a_right_proof() {
        let mut mock =
            Verifier::from_password(b"pencil", &unbase64("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096).unwrap();
        mock.mock = true;
        let (server, _) = Server::first(
            mock,
            Channel::Plain,
            b"SCRAM-SHA-256",
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        )
        .unwrap();
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(server.finish(last).unwrap_err(), refused("password authentication failed"));
    }

    #[test]
    fn base64_is_rfc_4648_and_strict() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(unbase64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["Zg=", "Zg", "Zh==", "Z===", "====", "Zg==Zg==", "Zm 9", "Zm9v\n", "é"] {
            assert_eq!(unbase64(bad), None, "{bad}");
        }
    }
}
