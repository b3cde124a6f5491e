//! The delegation chain of a run that an issuer's token minted.

use index::{Delegation, Run};
use serde::{Deserialize, Serialize};
use vocab::WallTime;

use crate::line::time;
use crate::text::{Text, hex};

/// What the token said, as it is recorded: masked, and never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLine {
    /// The issuer's name in the configuration, and its own (`iss`).
    pub issuer: String,
    pub iss: String,
    pub sub: String,
    /// Who acted for the subject, in order; the last one showed the token.
    pub acts: Vec<ActLine>,
    pub jti: Option<String>,
    /// SHA-256 of the token.
    pub token: String,
    pub expires: String,
    /// The claims that decided.
    pub claims: Vec<ClaimLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActLine {
    pub sub: String,
    pub iss: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimLine {
    pub claim: String,
    pub value: String,
}

impl ChainLine {
    /// `repo:org/app (ci, https://issuer.example), then svc-a, then svc-b`
    pub fn sentence(&self) -> String {
        let then = |act: &ActLine| match &act.iss {
            Some(iss) => format!(", then {} ({iss})", act.sub),
            None => format!(", then {}", act.sub),
        };
        let acts: String = self.acts.iter().map(then).collect();
        format!("{} ({}, {}){acts}", self.sub, self.issuer, self.iss)
    }

    /// Which token it was.
    pub fn token(&self) -> String {
        let id = self.jti.as_ref().map(|id| format!("{id}, ")).unwrap_or_default();
        format!("{id}SHA-256 {}, until {}", self.token, self.expires)
    }

    pub(crate) fn render(&self, text: &mut Text) {
        self.pairs().iter().for_each(|(name, value)| text.pair(name, value));
    }

    /// What people are shown of it, line by line.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let claim = |claim: &ClaimLine| ("claim", format!("{} = {}", claim.claim, claim.value));
        let head = [("chain", self.sentence()), ("token", self.token())];
        head.into_iter().chain(self.claims.iter().map(claim)).collect()
    }
}

/// The chain of a run. One that was started inside another has the outer one's.
pub(crate) fn chain_line(run: &Run) -> Option<ChainLine> {
    run.open.as_ref().and_then(|open| open.what.chain.as_ref()).map(line)
}

fn line(chain: &Delegation) -> ChainLine {
    let act = |(sub, iss): &(std::sync::Arc<str>, Option<std::sync::Arc<str>>)| ActLine {
        sub: sub.to_string(),
        iss: iss.as_ref().map(ToString::to_string),
    };
    let claim = |(claim, value): &(std::sync::Arc<str>, std::sync::Arc<str>)| ClaimLine {
        claim: claim.to_string(),
        value: value.to_string(),
    };
    ChainLine {
        issuer: chain.issuer.to_string(),
        iss: chain.iss.to_string(),
        sub: chain.sub.to_string(),
        acts: chain.acts.iter().map(act).collect(),
        jti: chain.jti.as_ref().map(ToString::to_string),
        token: hex(&chain.token),
        expires: time(WallTime(chain.exp.saturating_mul(1_000_000_000))),
        claims: chain.claims.iter().map(claim).collect(),
    }
}
