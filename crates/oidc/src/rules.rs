//! What a token of one issuer has to say, and what is taken from it.

use serde_json::{Map, Value};

use crate::keys::{Algorithm, KeySet};
use crate::limits::{
    ACTORS_MAX, AUDIENCES_MAX, CLAIM_BYTES_MAX, DATE_SECONDS_MAX, GROUPS_MAX, TOKEN_LIFE_SECONDS_MAX,
};
use crate::token::{Refused, Token};

/// Where a claim is: a name, or, if it begins with a slash, a JSON pointer (RFC 6901): `/kubernetes.io/namespace`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// `None` if it is empty or longer than a claim may be.
    pub fn new(text: &str) -> Option<Path> {
        // `/email` is `email`: what holds for a claim holds however it is named.
        let alone = text.strip_prefix('/').filter(|rest| !rest.is_empty() && !rest.contains(['/', '~']));
        let text = alone.unwrap_or(text);
        (!text.is_empty() && text.len() <= CLAIM_BYTES_MAX).then(|| Path(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let Some(pointer) = self.0.strip_prefix('/') else { return claims.get(&self.0) };
        let (first, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
        let first = first.replace("~1", "/").replace("~0", "~");
        claims.get(&first)?.pointer(rest)
    }
}

/// What the operator wants of the tokens of one issuer.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The exact `iss`.
    pub issuer: String,
    /// One of them has to be in `aud`.
    pub audiences: Vec<String>,
    /// Tokens that are for others, too, are taken.
    pub several_audiences: bool,
    pub algorithms: Vec<Algorithm>,
    /// Claims that have to be there and say exactly this.
    pub require: Vec<(Path, String)>,
    /// Which claim names the person. Without one somebody answers for all tokens of the issuer.
    pub human: Option<Path>,
    pub agent: Option<Path>,
    pub agent_version: Option<Path>,
    pub groups: Option<Path>,
    pub leeway_seconds: u64,
}

/// Somebody who acts for somebody else (RFC 8693, 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub subject: String,
    /// If it says one.
    pub issuer: Option<String>,
    /// What the claim that names people says of it.
    pub person: Option<String>,
}

/// A token that its issuer made, for us, for now. Texts in it are the issuer's words: at most [`CLAIM_BYTES_MAX`] bytes, not
/// empty, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub subject: String,
    /// In the order in which they came: who acted for the subject first, and last who shows the token now, which is the
    /// outermost `act`.
    pub actors: Vec<Actor>,
    /// `jti`.
    pub id: Option<String>,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// What it is known by when it is shown again.
    pub ticket: [u8; 32],
    /// `exp`, in seconds since 1970.
    pub expires: u64,
    pub human: Option<String>,
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub groups: Vec<String>,
    /// The claims that decided: those that are required, and those that became a human, an agent or its version.
    pub used: Vec<(String, String)>,
}

impl Rules {
    /// Whether the token is good at `now` (seconds since 1970), and what it says. The signature comes first, so that nothing
    /// else of what an attacker wrote is looked at. Errors: [`Refused`], one reason.
    pub fn verify(&self, token: &Token<'_>, keys: &KeySet, now: u64) -> Result<Verified, Refused> {
        let algorithm = Algorithm::parse(&token.algorithm);
        if !algorithm.is_some_and(|algorithm| self.algorithms.contains(&algorithm)) {
            return Err(Refused::Algorithm);
        }
        keys.verify(token)?;
        let claims = &token.claims;
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err(Refused::Issuer);
        }
        self.audience(claims)?;
        let expires = self.times(claims, now)?;
        if claims.contains_key("cnf") {
            return Err(Refused::Bound);
        }
        let mut used = Vec::new();
        for (path, value) in &self.require {
            if path.of(claims).and_then(plain).as_deref() != Some(value.as_str()) {
                return Err(Refused::Claim);
            }
            used.push((path.as_str().to_owned(), value.clone()));
        }
        let human = self.human.as_ref().map(|path| person(path, claims).ok_or(Refused::Human)).transpose()?;
        let agent = taken(self.agent.as_ref(), claims)?;
        let agent_version = taken(self.agent_version.as_ref(), claims)?;
        for (path, value) in
            [(&self.human, &human), (&self.agent, &agent), (&self.agent_version, &agent_version)]
        {
            used.extend(
                path.as_ref().zip(value.clone()).map(|(path, value)| (path.as_str().to_owned(), value)),
            );
        }
        Ok(Verified {
            subject: claims.get("sub").and_then(text).ok_or(Refused::Subject)?,
            actors: self.actors(claims)?,
            id: claims.get("jti").map(|id| text(id).ok_or(Refused::Claim)).transpose()?,
            digest: token.digest(),
            ticket: token.ticket(),
            expires,
            human,
            agent,
            agent_version,
            groups: self.groups(claims)?,
            used,
        })
    }

    fn audience(&self, claims: &Map<String, Value>) -> Result<(), Refused> {
        let named: Vec<&str> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(list)) if list.len() <= AUDIENCES_MAX => {
                list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Refused::Audience)?
            }
            Some(_) | None => return Err(Refused::Audience),
        };
        let ours = named.iter().any(|named| self.audiences.iter().any(|audience| audience == named));
        match ours && (self.several_audiences || named.len() == 1) {
            true => Ok(()),
            false => Err(Refused::Audience),
        }
    }

    /// `exp`, if now is between all three dates.
    fn times(&self, claims: &Map<String, Value>, now: u64) -> Result<u64, Refused> {
        let expires = claims.get("exp").and_then(date).ok_or(Refused::NoExpiry)?;
        if now >= expires.saturating_add(self.leeway_seconds) {
            return Err(Refused::Expired);
        }
        let latest = now.saturating_add(self.leeway_seconds);
        let mut issued = now;
        for name in ["nbf", "iat"] {
            let Some(value) = claims.get(name) else { continue };
            let at = date(value).ok_or(Refused::NotYet)?;
            if at > latest {
                return Err(Refused::NotYet);
            }
            if name == "iat" {
                issued = at;
            }
        }
        match expires.saturating_sub(issued) <= TOKEN_LIFE_SECONDS_MAX {
            true => Ok(expires),
            false => Err(Refused::Life),
        }
    }

    /// The outermost `act` is who acts now; each one inside acted before (RFC 8693, 4.1).
    fn actors(&self, claims: &Map<String, Value>) -> Result<Vec<Actor>, Refused> {
        let (mut actors, mut next) = (Vec::new(), claims.get("act"));
        while let Some(act) = next {
            let act = act.as_object().filter(|_| actors.len() < ACTORS_MAX).ok_or(Refused::Actor)?;
            actors.push(Actor {
                subject: act.get("sub").and_then(text).ok_or(Refused::Actor)?,
                issuer: act.get("iss").map(|issuer| text(issuer).ok_or(Refused::Actor)).transpose()?,
                person: self.human.as_ref().and_then(|path| path.of(act)).and_then(text),
            });
            next = act.get("act");
        }
        actors.reverse();
        Ok(actors)
    }

    fn groups(&self, claims: &Map<String, Value>) -> Result<Vec<String>, Refused> {
        match self.groups.as_ref().and_then(|path| path.of(claims)) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() <= GROUPS_MAX => {
                list.iter().map(text).collect::<Option<_>>().ok_or(Refused::Claim)
            }
            Some(_) => Err(Refused::Claim),
        }
    }
}

/// Who the claim names. An address of mail names nobody before its owner has proved it: anybody can write one into a profile.
fn person(path: &Path, claims: &Map<String, Value>) -> Option<String> {
    let verified = || match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        Some(_) | None => false,
    };
    if path.as_str() == "email" && !verified() {
        return None;
    }
    path.of(claims).and_then(text)
}

/// A claim that has to be there if it is named.
fn taken(path: Option<&Path>, claims: &Map<String, Value>) -> Result<Option<String>, Refused> {
    path.map(|path| path.of(claims).and_then(text).ok_or(Refused::Claim)).transpose()
}

fn text(value: &Value) -> Option<String> {
    let good = |text: &&str| {
        !text.is_empty() && text.len() <= CLAIM_BYTES_MAX && !text.chars().any(char::is_control)
    };
    value.as_str().filter(good).map(str::to_owned)
}

/// What a required claim is compared as: a text, or `true` and `false`.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        other => text(other),
    }
}

/// A NumericDate (RFC 7519, 2), whole seconds of it.
fn date(value: &Value) -> Option<u64> {
    let whole = value.as_u64().or_else(|| {
        let seconds =
            value.as_f64().filter(|seconds| *seconds >= 0.0 && *seconds <= DATE_SECONDS_MAX as f64)?;
        Some(seconds as u64)
    });
    whole.filter(|seconds| *seconds <= DATE_SECONDS_MAX)
}
