//! Operators: people who approve, audit or administer over the API, each with a token.
//!
//! The file beside the keys holds SHA-256 of each token and never the token, which has 256 random bits, so that
//! a slow hash would protect nothing.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::Role;
use crate::fault::{Exit, Failure};
use crate::files;
use crate::limits::{OPERATORS_FILE_BYTES_MAX, OPERATORS_MAX};

const TOKEN_PREFIX: &str = "tacho-op-";

/// A person known to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub name: String,
    pub roles: BTreeSet<Role>,
    pub groups: BTreeSet<String>,
    /// SHA-256 of the token.
    pub token: [u8; 32],
    /// An SSH public key (`ssh-ed25519 AAAA...`), for signed approvals.
    pub ssh_key: Option<String>,
    /// When the operator was added, RFC 3339.
    pub added: String,
}

impl Operator {
    /// What is not as it was, in words for a record: what one may do as it is now, and that secrets are others.
    pub fn differs_from(&self, was: &Operator) -> Vec<String> {
        let words = |all: Vec<&str>| if all.is_empty() { "none".to_owned() } else { all.join(" ") };
        let roles = || format!("roles {}", words(self.roles.iter().map(|role| role.as_str()).collect()));
        let groups = || format!("groups {}", words(self.groups.iter().map(String::as_str).collect()));
        let changed = [
            (self.roles != was.roles).then(roles),
            (self.groups != was.groups).then(groups),
            (self.token != was.token).then(|| "another token".to_owned()),
            (self.ssh_key != was.ssh_key).then(|| "another SSH key".to_owned()),
        ];
        changed.into_iter().flatten().collect()
    }
}

/// All operators of one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators {
    pub list: Vec<Operator>,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Approver => "approver",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    fn parse(word: &str) -> Option<Role> {
        [Role::Approver, Role::Auditor, Role::Admin].into_iter().find(|r| r.as_str() == word)
    }
}

impl Operators {
    /// Reads the file; no file is no operators. Errors: a file that others can read or change, or is not ours.
    pub fn load(path: &Path) -> Result<Operators, Failure> {
        let Some(text) = files::read_private(path, OPERATORS_FILE_BYTES_MAX)? else {
            return Ok(Operators::default());
        };
        let stored: Stored = toml::from_str(&text).map_err(|e| broken(path, e.message()))?;
        let list: Option<Vec<Operator>> =
            stored.operator.into_iter().map(StoredOperator::into_operator).collect();
        let list = list.ok_or_else(|| broken(path, "an operator's role or token is malformed"))?;
        if list.len() > OPERATORS_MAX {
            return Err(broken(path, "it has too many operators"));
        }
        Ok(Operators { list })
    }

    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let stored = Stored { operator: self.list.iter().map(StoredOperator::from_operator).collect() };
        let text = toml::to_string(&stored)
            .map_err(|e| Failure::could_not(format!("cannot write the operators: {e}")))?;
        files::replace_private(path, text.as_bytes())
    }

    /// Adds an operator; the token is returned once and kept nowhere.
    pub fn add(&mut self, mut operator: Operator) -> Result<Zeroizing<String>, Failure> {
        if self.list.iter().any(|o| o.name == operator.name) {
            let name = &operator.name;
            return Err(Failure::no(format!(
                "there is an operator {name:?} already; remove it first, or choose another name"
            )));
        }
        if self.list.len() >= OPERATORS_MAX {
            return Err(Failure::no(format!(
                "there are {OPERATORS_MAX} operators already; remove one first"
            )));
        }
        let token = new_token()?;
        operator.token = digest(&token);
        self.list.push(operator);
        Ok(token)
    }

    /// `false` if there is no such operator.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|o| o.name != name);
        self.list.len() < before
    }

    /// Whose token it is. Compares digests, so how long it takes says nothing about a token.
    pub fn by_token(&self, token: &str) -> Option<&Operator> {
        token
            .starts_with(TOKEN_PREFIX)
            .then(|| digest(token))
            .and_then(|d| self.list.iter().find(|o| o.token == d))
    }
}

/// Where the command line finds the operator's token: a file, the environment, or the operator's home.
pub fn find_token(token_file: Option<&Path>) -> Result<Option<Zeroizing<String>>, Failure> {
    if let Some(path) = token_file {
        let text = files::read_private(path, 4096)?;
        return match text {
            Some(text) => Ok(Some(first_line(&text))),
            None => Err(Failure::could_not(format!(
                "there is no token file {}; check --token-file",
                path.display()
            ))),
        };
    }
    if let Some(token) = std::env::var("TACHO_OPERATOR_TOKEN").ok().filter(|t| !t.is_empty()) {
        return Ok(Some(Zeroizing::new(token)));
    }
    let Some(home) = files::config_home() else { return Ok(None) };
    Ok(files::read_private(&home.join("token"), 4096)?.map(|text| first_line(&text)))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    operator: Vec<StoredOperator>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOperator {
    name: String,
    roles: Vec<String>,
    groups: Vec<String>,
    token_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_key: Option<String>,
    added: String,
}

impl StoredOperator {
    fn from_operator(operator: &Operator) -> StoredOperator {
        StoredOperator {
            name: operator.name.clone(),
            roles: operator.roles.iter().map(|r| r.as_str().to_owned()).collect(),
            groups: operator.groups.iter().cloned().collect(),
            token_sha256: crate::hex::encode(&operator.token),
            ssh_key: operator.ssh_key.clone(),
            added: operator.added.clone(),
        }
    }

    fn into_operator(self) -> Option<Operator> {
        Some(Operator {
            name: self.name,
            roles: self.roles.iter().map(|r| Role::parse(r)).collect::<Option<_>>()?,
            groups: self.groups.into_iter().collect(),
            token: crate::hex::decode(&self.token_sha256)?,
            ssh_key: self.ssh_key,
            added: self.added,
        })
    }
}

fn new_token() -> Result<Zeroizing<String>, Failure> {
    Ok(Zeroizing::new(format!("{TOKEN_PREFIX}{}", crate::hex::encode(&random::<32>()?))))
}

/// Bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    use ring::rand::SecureRandom;
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::could_not("the operating system gives no random bytes; check /dev/urandom"))?;
    Ok(bytes)
}

fn digest(token: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, token.as_bytes()).as_ref());
    out
}

fn first_line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn broken(path: &Path, why: &str) -> Failure {
    Failure {
        exit: Exit::Usage,
        lines: vec![format!(
            "{}: {why}; restore the file, or remove it and add the operators again",
            path.display()
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Operator {
        Operator {
            name: "ada".to_owned(),
            roles: [Role::Approver].into(),
            groups: ["dba".to_owned()].into(),
            token: [0; 32],
            ssh_key: None,
            added: "2026-11-26T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn what_is_changed_of_an_operator_is_said() {
        let changed = |change: fn(&mut Operator)| {
            let mut now = ada();
            change(&mut now);
            now.differs_from(&ada()).join(", ")
        };
        assert_eq!(changed(|_| ()), "");
        assert_eq!(changed(|now| now.added = String::new()), "");
        assert_eq!(changed(|now| now.roles = [Role::Approver, Role::Admin].into()), "roles approver admin");
        assert_eq!(changed(|now| now.groups.clear()), "groups none");
        let secrets =
            |now: &mut Operator| (now.token, now.ssh_key) = ([1; 32], Some("ssh-ed25519 A".to_owned()));
        assert_eq!(changed(secrets), "another token, another SSH key");
    }

    #[test]
    fn the_file_holds_no_token_and_gives_back_who_has_it() {
        let dir = files::scratch("operators");
        let path = dir.join("operators.toml");
        let mut operators = Operators::load(&path).unwrap();
        let token = operators.add(ada()).unwrap();
        operators.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&token[TOKEN_PREFIX.len()..]));
        let loaded = Operators::load(&path).unwrap();
        assert_eq!(loaded, operators);
        assert_eq!(loaded.by_token(&token).unwrap().name, "ada");
        assert_eq!(loaded.by_token("tacho-op-00"), None);
        assert_eq!(loaded.by_token(""), None);
    }

    #[test]
    fn a_name_is_one_operator_and_removal_kills_the_token() {
        let mut operators = Operators::default();
        let token = operators.add(ada()).unwrap();
        assert!(operators.add(ada()).is_err());
        assert!(operators.remove("ada"));
        assert!(!operators.remove("ada"));
        assert_eq!(operators.by_token(&token), None);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let path = files::scratch("operators-open").join("operators.toml");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Operators::load(&path).unwrap_err().lines[0].contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "operator = 3").unwrap();
        assert_eq!(Operators::load(&path).unwrap_err().exit, Exit::Usage);
    }
}
