//! Tokens of issuers that the operator trusts: who shows one, and what for.
//!
//! Verification is `crates/oidc`; here is what it needs of the world: the issuers' keys ([`keys`]), what was spent ([`spent`]),
//! and which person of the configuration a token names. Whoever shows a token that is not taken is told nothing; why it was not
//! is counted, and recorded every ten seconds.
//!
//! **Invariant:** a token, or a part of it that was not verified, is in no record.

pub mod check;
pub mod keys;
pub mod spent;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use console::seat::{Actor, Workload};
use oidc::{Refused, Token, Verified};
use tokio::runtime::Handle;

use crate::config::{Config, Issuer, recordable};
use crate::fault::Failure;
use keys::Keys;
use spent::Spent;

/// All issuers of one gateway.
pub struct Issuers {
    all: Vec<Known>,
    spent: Spent,
    refused: Mutex<Counts>,
}

struct Known {
    issuer: Issuer,
    keys: Keys,
}

/// How many tokens were refused since they were last recorded, by issuer and reason. Both are words of ours.
type Counts = BTreeMap<(String, &'static str), u64>;

/// Whose tokens are counted that no issuer of the configuration made, as far as they say.
const NOBODYS: &str = "unknown";

impl Issuers {
    /// Errors: certificates that cannot be used, or what was spent cannot be read.
    pub fn open(config: &Config) -> Result<Issuers, Failure> {
        let known = |issuer: &Issuer| Ok(Known { issuer: issuer.clone(), keys: Keys::of(issuer)? });
        Ok(Issuers {
            all: config.issuers.iter().map(known).collect::<Result<_, Failure>>()?,
            spent: Spent::open(&file(&config.gateway.keys))?,
            refused: Mutex::default(),
        })
    }

    /// Who shows a token. `None` is counted. Call it where blocking is allowed: keys may have to be asked for.
    pub fn caller(&self, text: &str, config: &Config, handle: &Handle, now: u64) -> Option<Workload> {
        match self.verified(text, config, handle, now) {
            Ok(workload) => Some(workload),
            Err((issuer, why)) => {
                self.count(&issuer, why.as_str());
                None
            }
        }
    }

    /// One refusal more. Both words are ours, so that there are no more different ones than issuers times reasons.
    pub fn count(&self, issuer: &str, why: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let count = refused.entry((issuer.to_owned(), why)).or_default();
        *count = count.saturating_add(1);
    }

    /// What was refused since the last call, as a record says it: `3 ci expired, 1 unknown issuer`.
    pub fn take_refused(&self) -> Vec<String> {
        let counts = std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner));
        counts.into_iter().map(|((issuer, why), count)| format!("{count} {issuer} {why}")).collect()
    }

    /// Uses up one of the runs that a token may mint; on disk when this returns. `false`: there is none left.
    pub fn spend(&self, workload: &Workload, now: u64) -> Result<bool, Failure> {
        let Some(known) = self.named(&workload.issuer) else { return Ok(false) };
        let forgotten = workload.expires.saturating_add(known.issuer.rules.leeway_seconds);
        self.spent.spend(workload.ticket, known.issuer.runs_per_token, forgotten, now)
    }

    /// The configuration of the issuer of that name.
    pub fn configured(&self, name: &str) -> Option<&Issuer> {
        self.named(name).map(|known| &known.issuer)
    }

    /// What is wrong, in sentences.
    pub fn alarms(&self) -> Vec<String> {
        let alarm =
            |known: &Known| known.keys.trouble().map(|why| format!("issuer {}: {why}", known.issuer.name));
        self.all.iter().filter_map(alarm).collect()
    }

    fn named(&self, name: &str) -> Option<&Known> {
        self.all.iter().find(|known| known.issuer.name == name)
    }

    fn verified(
        &self,
        text: &str,
        config: &Config,
        handle: &Handle,
        now: u64,
    ) -> Result<Workload, (String, Refused)> {
        let nobodys = |why| (NOBODYS.to_owned(), why);
        let token = Token::parse(text).map_err(nobodys)?;
        let claimed = token.claimed_issuer().ok_or_else(|| nobodys(Refused::Issuer))?;
        let mut refused = nobodys(Refused::Issuer);
        // Several may be of one issuer: a repository each. The first whose rules fit is the one.
        for known in self.all.iter().filter(|known| known.issuer.rules.issuer == claimed) {
            let verified = known.keys.verify(&known.issuer.rules, &token, handle, now);
            match verified.and_then(|verified| workload(&known.issuer, config, verified)) {
                Ok(workload) => return Ok(workload),
                Err(why) => refused = (known.issuer.name.clone(), why),
            }
        }
        Err(refused)
    }
}

/// Where it is kept which tokens were spent: beside the keys, and in no copy of the data.
fn file(keys: &Path) -> std::path::PathBuf {
    keys.join("tokens-spent")
}

/// Whom a verified token stands for here. Errors: it names nobody, or somebody or something that the record could not show
/// as it is (a detector takes it for sensitive data): then two would be one there.
fn workload(issuer: &Issuer, config: &Config, verified: Verified) -> Result<Workload, Refused> {
    let person = |said: &String| {
        let name = issuer.humans.get(said).unwrap_or(said);
        config.human(name).map(|human| human.name.clone()).filter(|name| recordable(name))
    };
    let named = verified.human.as_ref().map(|said| person(said).ok_or(Refused::Human)).transpose()?;
    let human = named.clone().or_else(|| issuer.owner.clone()).ok_or(Refused::Human)?;
    let shown_by = verified.actors.last();
    let name = match (shown_by, named) {
        (None, Some(human)) => human,
        (None, None) => format!("{}:{}", issuer.name, verified.subject),
        (Some(actor), _) => format!("{}:{}", issuer.name, actor.subject),
    };
    let groups: Vec<String> =
        verified.groups.iter().map(|group| format!("{}:{group}", issuer.name)).collect();
    let words = verified.agent.iter().chain(&verified.agent_version).chain(&groups);
    if !words.into_iter().all(|word| recordable(word)) {
        return Err(Refused::Claim);
    }
    let of_actors = verified.actors.iter().flat_map(|actor| [Some(&actor.subject), actor.person.as_ref()]);
    let said = [Some(&verified.subject), verified.human.as_ref()].into_iter().chain(of_actors).flatten();
    let mut involved: Vec<String> =
        said.flat_map(|said| [Some(said.clone()), issuer.humans.get(said).cloned()]).flatten().collect();
    involved.push(human.clone());
    involved.sort();
    involved.dedup();
    let agent = issuer.agent.clone().or(verified.agent);
    Ok(Workload {
        name,
        issuer: issuer.name.clone(),
        human,
        iss: issuer.rules.issuer.clone(),
        subject: verified.subject,
        id: verified.id,
        actors: verified
            .actors
            .into_iter()
            .map(|actor| Actor { subject: actor.subject, iss: actor.issuer })
            .collect(),
        digest: verified.digest,
        ticket: verified.ticket,
        expires: verified.expires,
        agent,
        agent_version: verified.agent_version,
        groups,
        claims: verified.used,
        involved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = r#"
[gateway]
[[human]]
name = "ada"
[[human]]
name = "bob"
[[human]]
name = "ops"
[[issuer]]
name = "idp"
issuer = "https://idp.example"
audience = "tacho"
keys = { file = "jwks.json" }
human_claim = "email"
humans = { "ada@example.org" = "ada", "00u2" = "bob" }
[[issuer]]
name = "ci"
issuer = "https://ci.example"
audience = "tacho"
keys = { file = "jwks.json" }
owner = "ops"
"#;
        Config::parse(Path::new("/etc/tacho/tacho.toml"), text.as_bytes()).unwrap()
    }

    fn verified(subject: &str, human: Option<&str>, actors: &[(&str, Option<&str>)]) -> Verified {
        let actor = |(subject, person): &(&str, Option<&str>)| oidc::Actor {
            subject: (*subject).to_owned(),
            issuer: None,
            person: person.map(str::to_owned),
        };
        Verified {
            subject: subject.to_owned(),
            actors: actors.iter().map(actor).collect(),
            id: None,
            digest: [1; 32],
            ticket: [2; 32],
            expires: 10,
            human: human.map(str::to_owned),
            agent: None,
            agent_version: None,
            groups: vec!["dev".to_owned()],
            used: Vec::new(),
        }
    }

    #[test]
    fn a_token_names_a_person_of_the_configuration_or_nobody() {
        let config = config();
        let (idp, ci) = (&config.issuers[0], &config.issuers[1]);
        let of = |issuer, verified| workload(issuer, &config, verified);
        let ada = of(idp, verified("00u1", Some("ada@example.org"), &[])).unwrap();
        assert_eq!((ada.name.as_str(), ada.human.as_str()), ("ada", "ada"));
        assert_eq!(ada.groups, ["idp:dev"], "no group of the configuration can be claimed");
        assert_eq!(ada.involved, ["00u1", "ada", "ada@example.org"]);
        for nobody in ["eve@example.org", "", "Ada"] {
            assert_eq!(of(idp, verified("00u1", Some(nobody), &[])), Err(Refused::Human), "{nobody}");
        }
        let job = of(ci, verified("repo:org/app", None, &[])).unwrap();
        assert_eq!((job.name.as_str(), job.human.as_str()), ("ci:repo:org/app", "ops"));
    }

    #[test]
    fn everybody_in_the_chain_is_involved_by_each_of_their_names() {
        let config = config();
        let chain = [("svc", None), ("00u2", Some("bob@example.org"))];
        let found = workload(&config.issuers[0], &config, verified("00u1", Some("ada@example.org"), &chain));
        let found = found.unwrap();
        assert_eq!((found.name.as_str(), found.human.as_str()), ("idp:00u2", "ada"));
        assert_eq!(
            found.involved,
            ["00u1", "00u2", "ada", "ada@example.org", "bob", "bob@example.org", "svc"]
        );
    }

    #[test]
    fn what_the_record_would_mask_is_not_taken() {
        let config = config();
        let mut with_mail = verified("s", None, &[]);
        with_mail.groups = vec!["ada@example.org".to_owned()];
        assert_eq!(workload(&config.issuers[1], &config, with_mail), Err(Refused::Claim));
        let mut with_mail = verified("s", None, &[]);
        with_mail.agent = Some("ada@example.org".to_owned());
        assert_eq!(workload(&config.issuers[1], &config, with_mail), Err(Refused::Claim));
    }
}
