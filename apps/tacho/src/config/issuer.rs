//! `[[issuer]]`: whose tokens mint runs, what they have to say, and who answers for them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use oidc::limits::{AUDIENCES_MAX, LEEWAY_SECONDS, LEEWAY_SECONDS_MAX};
use oidc::{Algorithm, Path, Rules};

use super::reader::{At, Problems, Section};
use super::resolve::Resolver;
use super::{HttpUpstream, Human};
use crate::limits::{
    AGENT_NAME_BYTES_MAX, ISSUER_RULES_MAX, ISSUERS_MAX, RUN_LIFETIME_MAX, RUNS_PER_TOKEN_MAX,
};

/// Somebody whose tokens mint runs.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Ours for it: in records, and before the names of its groups and subjects.
    pub name: String,
    pub rules: Rules,
    pub keys: KeysFrom,
    /// Who answers for its workloads, where no claim names a person.
    pub owner: Option<String>,
    /// What a token calls a person, and what we do.
    pub humans: BTreeMap<String, String>,
    /// What every run of its tokens is of.
    pub agent: Option<String>,
    /// Longest life of a run; the gateway's own, where nothing is said.
    pub run_lifetime: Option<Duration>,
    /// A run may live longer than the token that minted it.
    pub beyond_expiry: bool,
    pub runs_per_token: u32,
}

/// Where an issuer's public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    File(PathBuf),
    /// The JWKS itself.
    Url(HttpUpstream),
    /// OpenID Connect Discovery, at the issuer.
    Discovery(HttpUpstream),
}

impl KeysFrom {
    pub fn describe(&self) -> String {
        match self {
            KeysFrom::File(path) => format!("file {}", path.display()),
            KeysFrom::Url(url) => url.address(),
            KeysFrom::Discovery(issuer) => format!("discovery at {}", issuer.address()),
        }
    }
}

pub(super) struct RawIssuer<'t> {
    span: std::ops::Range<usize>,
    name: Option<At<&'t str>>,
    issuer: Option<At<&'t str>>,
    audience: Vec<At<&'t str>>,
    several_audiences: bool,
    keys: Option<RawKeys<'t>>,
    algorithms: Vec<At<&'t str>>,
    require: Vec<(At<&'t str>, At<&'t str>)>,
    owner: Option<At<&'t str>>,
    human_claim: Option<At<&'t str>>,
    humans: Vec<(At<&'t str>, At<&'t str>)>,
    agent: Option<At<&'t str>>,
    agent_claim: Option<At<&'t str>>,
    agent_version_claim: Option<At<&'t str>>,
    groups_claim: Option<At<&'t str>>,
    leeway: Option<At<Duration>>,
    run_lifetime: Option<At<Duration>>,
    beyond_expiry: bool,
    runs_per_token: Option<At<u64>>,
}

struct RawKeys<'t> {
    span: std::ops::Range<usize>,
    file: Option<At<&'t str>>,
    url: Option<At<&'t str>>,
    discover: bool,
    ca: Option<At<&'t str>>,
}

impl<'t> RawIssuer<'t> {
    pub(super) fn read(mut section: Section<'t>, problems: &mut Problems) -> RawIssuer<'t> {
        let name = section.required("name", "\"ci\"", problems);
        if let Some(name) = &name {
            section.place = format!("issuer {:?}", name.value);
        }
        let issuer = section.required("issuer", "\"https://...\", the exact `iss` of its tokens", problems);
        let audience = section.text_or_texts("audience", problems);
        if audience.is_empty() {
            let what = format!("{}: `audience` is missing; add audience = \"tacho\"", section.place);
            problems.at(&section.span, what);
        }
        let keys = section.section("keys", problems);
        if keys.is_none() {
            let what = format!(
                "{}: `keys` is missing; add keys = {{ discover = true }}, {{ url = \"https://...\" }} or {{ file = \"jwks.json\" }}",
                section.place
            );
            problems.at(&section.span, what);
        }
        let raw = RawIssuer {
            span: section.span.clone(),
            name,
            issuer,
            audience,
            several_audiences: section.flag("several_audiences", problems).is_some_and(|f| f.value),
            keys: keys.map(|keys| RawKeys::read(keys, problems)),
            algorithms: section.texts("algorithms", problems),
            require: section.pairs("require", problems),
            owner: section.text("owner", problems),
            human_claim: section.text("human_claim", problems),
            humans: section.pairs("humans", problems),
            agent: section.text("agent", problems),
            agent_claim: section.text("agent_claim", problems),
            agent_version_claim: section.text("agent_version_claim", problems),
            groups_claim: section.text("groups_claim", problems),
            leeway: section.duration("leeway", problems),
            run_lifetime: section.duration("run_lifetime", problems),
            beyond_expiry: section.flag("beyond_expiry", problems).is_some_and(|f| f.value),
            runs_per_token: section.number("runs_per_token", 1..RUNS_PER_TOKEN_MAX + 1, problems),
        };
        section.finish(problems);
        raw
    }
}

impl<'t> RawKeys<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawKeys<'t> {
        let raw = RawKeys {
            span: section.span.clone(),
            file: section.text("file", problems),
            url: section.text("url", problems),
            discover: section.flag("discover", problems).is_some_and(|f| f.value),
            ca: section.text("ca", problems),
        };
        section.finish(problems);
        raw
    }
}

impl Resolver<'_> {
    pub(super) fn issuers(&mut self, raw: Vec<RawIssuer<'_>>, humans: &[Human]) -> Vec<Issuer> {
        if let Some(first_too_many) = raw.get(ISSUERS_MAX) {
            self.problems
                .at(&first_too_many.span, format!("there are more than {ISSUERS_MAX} issuers of tokens"));
        }
        let mut names = BTreeSet::new();
        let mut out = Vec::new();
        for raw in raw {
            if let Some(name) = &raw.name
                && !names.insert(name.value.to_owned())
            {
                let what = format!("issuer {:?}: another issuer has this name; names are unique", name.value);
                self.problems.at(&name.span, what);
            }
            out.extend(self.issuer(raw, humans));
        }
        out
    }

    fn issuer(&mut self, raw: RawIssuer<'_>, humans: &[Human]) -> Option<Issuer> {
        let name = raw.name.and_then(|name| self.name("issuer", &name))?;
        let place = format!("issuer {name:?}");
        let keys = match (raw.keys, &raw.issuer) {
            (Some(keys), Some(issuer)) => self.keys_from(&place, keys, issuer),
            (Some(_), None) | (None, _) => None,
        };
        if raw.owner.is_some() == raw.human_claim.is_some() {
            let what = "every run has a human: give `human_claim` (the claim that names one) or `owner` (who answers for \
                        its workloads), and not both";
            self.problems.at(&raw.span, format!("{place}: {what}"));
        }
        if raw.agent.is_some() && raw.agent_claim.is_some() {
            self.problems
                .at(&raw.span, format!("{place}: `agent` and `agent_claim` are two answers; keep one"));
        }
        let owner = raw.owner.and_then(|owner| self.human_here(&place, &owner, humans));
        let mut called = BTreeMap::new();
        for (said, human) in &raw.humans {
            called.extend(self.human_here(&place, human, humans).map(|human| (said.value.to_owned(), human)));
        }
        let agent = raw.agent.and_then(|agent| self.agent(&place, &agent));
        let mut claim = |at: Option<At<&str>>| at.and_then(|at| self.claim(&place, &at));
        let (human, agent_claim) = (claim(raw.human_claim), claim(raw.agent_claim));
        let (agent_version, groups) = (claim(raw.agent_version_claim), claim(raw.groups_claim));
        let too_many = raw.audience.len().max(raw.require.len()).max(raw.humans.len()) > ISSUER_RULES_MAX;
        if too_many || raw.audience.len() > AUDIENCES_MAX {
            let what = format!(
                "{place}: at most {AUDIENCES_MAX} audiences, {ISSUER_RULES_MAX} required claims and {ISSUER_RULES_MAX} humans"
            );
            self.problems.at(&raw.span, what);
        }
        let require = raw.require.iter();
        let require =
            require.filter_map(|(claim, value)| Some((self.claim(&place, claim)?, value.value.to_owned())));
        let require = require.collect();
        let rules = Rules {
            issuer: raw.issuer?.value.to_owned(),
            audiences: raw.audience.iter().map(|audience| audience.value.to_owned()).collect(),
            several_audiences: raw.several_audiences,
            algorithms: self.algorithms(&place, &raw.algorithms),
            require,
            human,
            agent: agent_claim,
            agent_version,
            groups,
            leeway_seconds: self.leeway(&place, raw.leeway.as_ref()),
        };
        let life = raw.run_lifetime.map(|life| {
            if life.value.is_zero() || life.value > RUN_LIFETIME_MAX {
                let most = RUN_LIFETIME_MAX.as_secs();
                let what = format!("{place}: `run_lifetime` is more than nothing and at most {most}s");
                self.problems.at(&life.span, what);
            }
            life.value
        });
        Some(Issuer {
            name,
            rules,
            keys: keys?,
            owner,
            humans: called,
            agent,
            run_lifetime: life,
            beyond_expiry: raw.beyond_expiry,
            // A token is a ticket: what is stolen after its use is worth nothing.
            runs_per_token: raw.runs_per_token.and_then(|n| u32::try_from(n.value).ok()).unwrap_or(1),
        })
    }

    fn keys_from(&mut self, place: &str, raw: RawKeys<'_>, issuer: &At<&str>) -> Option<KeysFrom> {
        let ca = raw.ca.as_ref().map(|ca| self.path(ca.value));
        let mut url = |what: &str, url: &At<&str>| match HttpUpstream::parse(url.value, false) {
            Ok(mut upstream) => {
                upstream.root_certificates = ca.clone();
                Some(upstream)
            }
            Err(wrong) => {
                wrong.iter().for_each(|w| self.problems.at(&url.span, format!("{place}: of {what}: {w}")));
                None
            }
        };
        match (&raw.file, &raw.url, raw.discover) {
            (Some(file), None, false) => {
                if let Some(ca) = &raw.ca {
                    self.problems.at(&ca.span, format!("{place}: `ca` goes with a url or with discovery"));
                }
                Some(KeysFrom::File(self.path(file.value)))
            }
            (None, Some(at), false) => url("the keys' URL", at).map(KeysFrom::Url),
            (None, None, true) => {
                url("its `issuer`, where its keys are looked for", issuer).map(KeysFrom::Discovery)
            }
            _ => {
                let what = "`keys` is exactly one of { file = \"PATH\" }, { url = \"https://...\" }, { discover = true }";
                self.problems.at(&raw.span, format!("{place}: {what}"));
                None
            }
        }
    }

    /// A person of this file. The record has to name them as they are, so that two of them stay two.
    fn human_here(&mut self, place: &str, human: &At<&str>, humans: &[Human]) -> Option<String> {
        if !humans.iter().any(|known| known.name == human.value) {
            let what = format!(
                "{place}: there is no human {:?}; add [[human]] name = {:?}",
                human.value, human.value
            );
            self.problems.at(&human.span, what);
            return None;
        }
        if !recordable(human.value) {
            let what = format!(
                "{place}: a detector takes the name {:?} for sensitive data, so that the record would not show whose run it \
                 was; give this person another name in [[human]], and say in `humans` what tokens call them",
                human.value
            );
            self.problems.at(&human.span, what);
            return None;
        }
        Some(human.value.to_owned())
    }

    fn agent(&mut self, place: &str, agent: &At<&str>) -> Option<String> {
        let good = !agent.value.is_empty()
            && agent.value.len() <= AGENT_NAME_BYTES_MAX
            && !agent.value.chars().any(char::is_control);
        if !good {
            self.problems
                .at(&agent.span, format!("{place}: `agent` has 1 to {AGENT_NAME_BYTES_MAX} characters"));
        }
        good.then(|| agent.value.to_owned())
    }

    fn claim(&mut self, place: &str, claim: &At<&str>) -> Option<Path> {
        let path = Path::new(claim.value);
        if path.is_none() {
            let what = "is not a claim; write its name, or a JSON pointer such as /kubernetes.io/namespace";
            self.problems.at(&claim.span, format!("{place}: {:?} {what}", claim.value));
        }
        path
    }

    fn algorithms(&mut self, place: &str, words: &[At<&str>]) -> Vec<Algorithm> {
        if words.is_empty() {
            return Algorithm::USUAL.to_vec();
        }
        let mut parsed = Vec::new();
        for word in words {
            match Algorithm::parse(word.value) {
                Some(algorithm) => parsed.push(algorithm),
                None => {
                    let all: Vec<&str> = Algorithm::ALL.iter().map(|a| a.as_str()).collect();
                    let what = format!(
                        "{place}: {:?} is not an algorithm with a public key; there are {}",
                        word.value,
                        all.join(", ")
                    );
                    self.problems.at(&word.span, what);
                }
            }
        }
        parsed
    }

    fn leeway(&mut self, place: &str, leeway: Option<&At<Duration>>) -> u64 {
        let Some(leeway) = leeway else { return LEEWAY_SECONDS };
        if leeway.value > Duration::from_secs(LEEWAY_SECONDS_MAX) {
            self.problems.at(
                &leeway.span,
                format!("{place}: `leeway` is at most {LEEWAY_SECONDS_MAX}s; set the clocks"),
            );
        }
        leeway.value.as_secs()
    }
}

/// Whether a word stands in the record as it is: detectors find nothing in it.
pub fn recordable(text: &str) -> bool {
    mask::text(&mask::Detectors::new(), text).0.as_str() == text
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const HEAD: &str =
        "[gateway]\n[[human]]\nname = \"ops\"\n[[human]]\nname = \"ada@example.org\"\n[[issuer]]\n";

    fn parse(lines: &str) -> Result<Config, String> {
        Config::parse(std::path::Path::new("/etc/tacho/tacho.toml"), format!("{HEAD}{lines}").as_bytes())
            .map_err(|failure| failure.lines.join("\n"))
    }

    const CI: &str = r#"name = "ci"
issuer = "https://ci.example/o"
audience = "tacho"
keys = { discover = true }
owner = "ops"
"#;

    #[test]
    fn an_issuer_is_narrow_where_nothing_is_said() {
        let config = parse(CI).unwrap();
        let issuer = &config.issuers[0];
        assert_eq!(issuer.rules.algorithms, Algorithm::USUAL);
        assert_eq!((issuer.runs_per_token, issuer.beyond_expiry), (1, false));
        assert_eq!((issuer.rules.leeway_seconds, issuer.rules.several_audiences), (60, false));
        assert_eq!(issuer.keys.describe(), "discovery at https://ci.example/o");
        assert_eq!(issuer.owner.as_deref(), Some("ops"));
    }

    #[test]
    fn all_of_it_is_read() {
        let config = parse(
            r#"name = "k8s"
issuer = "https://kubernetes.default.svc"
audience = ["tacho", "gateway"]
several_audiences = true
keys = { url = "https://10.0.0.1/openid/v1/jwks", ca = "ca.crt" }
algorithms = ["PS512", "ES384"]
human_claim = "sub"
humans = { "system:serviceaccount:a:b" = "ops" }
agent_claim = "/kubernetes.io/serviceaccount/name"
agent_version_claim = "v"
groups_claim = "groups"
require = { "/kubernetes.io/namespace" = "jobs", plain = "x" }
leeway = "5s"
run_lifetime = "2h"
beyond_expiry = true
runs_per_token = 50
"#,
        );
        let issuer = &config.unwrap().issuers[0];
        assert_eq!(issuer.rules.audiences, ["tacho", "gateway"]);
        assert_eq!(issuer.humans["system:serviceaccount:a:b"], "ops");
        assert_eq!(issuer.rules.require.len(), 2);
        let KeysFrom::Url(url) = &issuer.keys else { panic!("{:?}", issuer.keys) };
        assert_eq!(url.root_certificates.as_deref(), Some(std::path::Path::new("/etc/tacho/ca.crt")));
        assert_eq!((issuer.runs_per_token, issuer.rules.leeway_seconds), (50, 5));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (from, to, said) in [
            ("owner = \"ops\"", "", "tacho.toml:6: issuer \"ci\": every run has a human"),
            ("owner = \"ops\"", "owner = \"ops\"\nhuman_claim = \"sub\"", "and not both"),
            ("owner = \"ops\"", "owner = \"eve\"", "tacho.toml:11: issuer \"ci\": there is no human \"eve\""),
            ("owner = \"ops\"", "owner = \"ada@example.org\"", "a detector takes the name"),
            (
                "owner = \"ops\"",
                "human_claim = \"sub\"\nhumans = { x = \"eve\" }",
                "there is no human \"eve\"",
            ),
            ("audience = \"tacho\"", "", "`audience` is missing"),
            ("audience = \"tacho\"", "audience = 7", "has to be a text, or a list of texts"),
            ("keys = { discover = true }", "", "`keys` is missing"),
            ("keys = { discover = true }", "keys = {}", "exactly one of"),
            ("discover = true", "discover = true, file = \"x\"", "exactly one of"),
            ("discover = true", "file = \"x\", ca = \"y\"", "`ca` goes with"),
            ("discover = true", "url = \"http://keys.example/\"", "without proof of who it is"),
            ("https://ci.example/o", "ci", "has to begin with https://"),
            ("owner", "algorithms = [\"HS256\"]\nowner", "tacho.toml:11: issuer \"ci\": \"HS256\" is not"),
            ("owner", "algorithms = [\"none\"]\nowner", "\"none\" is not an algorithm with a public key"),
            ("owner", "leeway = \"10m\"\nowner", "`leeway` is at most 300s"),
            ("owner", "run_lifetime = \"0s\"\nowner", "`run_lifetime` is more than nothing"),
            ("owner", "runs_per_token = 0\nowner", "out of range"),
            ("owner", "agent = \"a\"\nagent_claim = \"b\"\nowner", "two answers"),
            ("owner", "require = { a = 1 }\nowner", "has to be text in quotes"),
            ("owner", "requires = { a = \"1\" }\nowner", "did you mean `require`?"),
            ("owner", "groups_claim = \"\"\nowner", "is not a claim"),
            ("name = \"ci\"", "name = \"c:i\"", "is not a name"),
        ] {
            assert!(CI.contains(from), "{from}");
            let errors = parse(&CI.replacen(from, to, 1)).expect_err(to);
            assert!(errors.contains(said), "{to}: {errors}");
        }
        let twice = format!("{CI}[[issuer]]\n{CI}");
        assert!(parse(&twice).unwrap_err().contains("another issuer has this name"));
    }
}
