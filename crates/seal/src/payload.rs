//! Payloads and commitments: FORMAT.md, section 5.

use crate::limits::PLAINTEXT_BYTES_MAX;
use crate::tree::{Hash, sha256, sha256_of};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;

const KEY_COMMITMENT_PREFIX: &[u8] = b"tacho key commitment v1";

/// `H(body)`: what a record holds of a payload's ciphertext.
pub fn body_digest(body: &[u8]) -> Hash {
    sha256(body)
}

/// Binds a payload to one key: AES-GCM by itself would let a body be opened in two ways.
pub fn key_commitment(key: &[u8; 32]) -> Hash {
    sha256_of(&[KEY_COMMITMENT_PREFIX, key])
}

/// `H(opening || bytes)`: hides `bytes` however guessable they are, as long as the opening, 32 random bytes used
/// once, is not known.
pub fn commitment(opening: &[u8; 32], bytes: &[u8]) -> Hash {
    sha256_of(&[opening, bytes])
}

/// The body of a P frame: `nonce || AES-256-GCM(key, nonce, plaintext, aad = origin)`.
/// A nonce must never be used twice with one key.
///
/// Errors: `TooLong`.
pub fn seal_payload(
    key: &[u8; 32],
    nonce: [u8; NONCE_LEN],
    origin: &str,
    plaintext: &[u8],
) -> Result<Vec<u8>, PayloadError> {
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(PayloadError::TooLong(plaintext.len()));
    }
    let mut sealed = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let (_, text) = sealed.split_at_mut(NONCE_LEN);
    let tag = cipher(key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(origin), text)
        .map_err(|_| PayloadError::TooLong(plaintext.len()))?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// The plaintext of a P frame's body. Errors: `NotOpened` for another key, origin or body.
pub fn open(key: &[u8; 32], origin: &str, body: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let (nonce, sealed) = body.split_first_chunk::<NONCE_LEN>().ok_or(PayloadError::NotOpened)?;
    let mut text = sealed.to_vec();
    let length = cipher(key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(origin), &mut text)
        .map_err(|_| PayloadError::NotOpened)?
        .len();
    text.truncate(length);
    Ok(text)
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, PayloadError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| PayloadError::NotOpened)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    TooLong(usize),
    NotOpened,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayloadError::TooLong(n) => {
                write!(f, "a payload has at most {PLAINTEXT_BYTES_MAX} bytes of plaintext, not {n}")
            }
            PayloadError::NotOpened => f.write_str("the payload does not open with this key and origin"),
        }
    }
}

impl std::error::Error for PayloadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_opens_with_its_own_key_origin_and_body_only() {
        let body = seal_payload(&[7; 32], [1; 12], "gw", b"rows").unwrap();
        assert_eq!(open(&[7; 32], "gw", &body).unwrap(), b"rows");
        assert_eq!(open(&[8; 32], "gw", &body), Err(PayloadError::NotOpened));
        assert_eq!(open(&[7; 32], "gx", &body), Err(PayloadError::NotOpened));
        for i in 0..body.len() {
            let mut changed = body.clone();
            changed[i] ^= 1;
            assert_eq!(open(&[7; 32], "gw", &changed), Err(PayloadError::NotOpened));
            assert_eq!(open(&[7; 32], "gw", &body[..i]), Err(PayloadError::NotOpened));
        }
    }

    #[test]
    fn a_plaintext_ends_at_the_limit() {
        let body = seal_payload(&[7; 32], [1; 12], "gw", &vec![0; PLAINTEXT_BYTES_MAX]).unwrap();
        assert!(body.len() <= crate::limits::BODY_BYTES_MAX);
        assert!(seal_payload(&[7; 32], [1; 12], "gw", &vec![0; PLAINTEXT_BYTES_MAX + 1]).is_err());
    }
}
