//! The delegation chain of a run that an issuer's token minted: who says so, for whom, and who acted in between.

use std::sync::Arc;

use ledger::{Digest, Map};
use mask::Detectors;

/// What the token said. Texts are the issuer's words: bounded by whoever verified it, masked when they are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The issuer's name in the configuration, and its own (`iss`).
    pub issuer: String,
    pub iss: String,
    pub subject: String,
    /// Subject and issuer of everybody who acted for the subject, in order; the last one showed the token.
    pub actors: Vec<(String, Option<String>)>,
    /// `jti`.
    pub id: Option<String>,
    /// SHA-256 of the token, which is not kept.
    pub token: [u8; 32],
    /// Seconds since 1970.
    pub expires: u64,
    /// The claims that decided.
    pub claims: Vec<(String, String)>,
    /// Every name in it: none of them approves what the run asks for.
    pub involved: Arc<[Arc<str>]>,
}

impl Delegation {
    /// As it stands in the `open` record of the run, and of every run inside it.
    pub(crate) fn record(&self, detectors: &Detectors) -> Map {
        let masked = |text: &str| mask::text(detectors, text).0;
        let actor = |(subject, iss): &(String, Option<String>)| {
            Map::new().put("sub", masked(subject)).put_some("iss", iss.as_deref().map(masked))
        };
        let claim = |(name, value): &(String, String)| {
            Map::new().put("claim", masked(name)).put("value", masked(value))
        };
        Map::new()
            .put("issuer", masked(&self.issuer))
            .put("iss", masked(&self.iss))
            .put("sub", masked(&self.subject))
            .put("acts", self.actors.iter().map(actor).collect::<Vec<_>>())
            .put_some("jti", self.id.as_deref().map(masked))
            .put("token", Digest(self.token))
            .put("exp", self.expires)
            .put("claims", self.claims.iter().map(claim).collect::<Vec<_>>())
    }
}
