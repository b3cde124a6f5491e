//! Auditors' keys: fingerprints and reels are sealed to them. The secret half stays in the operator's home.

use std::fmt;

/// How the text form begins.
const PREFIX: &str = "tacho-auditor-";

/// An auditor's public key (X25519): `tacho-auditor-` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditorKey(pub [u8; 32]);

impl AuditorKey {
    pub fn parse(text: &str) -> Option<AuditorKey> {
        crate::hex::decode(text.strip_prefix(PREFIX)?).map(AuditorKey)
    }
}

impl fmt::Display for AuditorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", crate::hex::encode(&self.0))
    }
}
