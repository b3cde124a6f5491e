//! `tacho operator`: who may approve, audit or administer.

use std::path::Path;
use std::process::ExitCode;

use answers::Answer;
use answers::text::Text;
use serde::{Deserialize, Serialize};

use crate::cli;
use crate::config::Config;
use crate::fault::{Failure, Outcome};
use crate::operators::{Operator, Operators};
use crate::{evidence, files, out};

/// An operator as `tacho operator` shows one. The token is there once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub name: String,
    pub roles: Vec<String>,
    pub groups: Vec<String>,
    pub signs: bool,
    pub added: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    pub operators: Vec<Shown>,
}

/// Not `Debug`: it holds the token.
#[derive(Serialize, Deserialize)]
pub struct Added {
    pub name: String,
    pub token: String,
    pub remark: String,
}

impl Answer for List {
    const SHAPE: &'static str = "tacho.operators/1";

    fn render(&self, text: &mut Text) {
        if self.operators.is_empty() {
            text.line("No operator yet: `tacho operator add NAME --role approver --group GROUP`.");
            return;
        }
        let row = |o: &Shown| {
            let signs = if o.signs { "signs" } else { "" };
            vec![o.name.clone(), o.roles.join(", "), o.groups.join(", "), o.added.clone(), signs.to_owned()]
        };
        text.table(
            &["NAME", "ROLES", "GROUPS", "ADDED", ""],
            &self.operators.iter().map(row).collect::<Vec<_>>(),
        );
    }
}

impl Answer for Added {
    const SHAPE: &'static str = "tacho.operator-added/1";

    fn render(&self, text: &mut Text) {
        text.line(&self.token);
        self.remark.lines().for_each(|line| text.line(line));
    }
}

pub fn operator(config_file: &Path, verb: &cli::Operator, json: bool) -> Outcome {
    let config = Config::load(config_file)?;
    let path = config.operators_file();
    // Two administrators at once: the second reads what the first has written.
    let _turn = match verb {
        cli::Operator::List => None,
        cli::Operator::Add { .. } | cli::Operator::Remove { .. } => Some(files::turn_at(&path)?),
    };
    let mut operators = Operators::load(&path)?;
    match verb {
        cli::Operator::Add { name, role, group, ssh_key } => {
            for text in group.iter().chain([name]) {
                word(text)?;
            }
            let ssh_key = ssh_key.as_deref().map(read_ssh_key).transpose()?;
            let token = operators.add(Operator {
                name: name.clone(),
                roles: role.iter().copied().collect(),
                groups: group.iter().cloned().collect(),
                token: [0; 32],
                ssh_key,
                added: answers::time(evidence::now()),
            })?;
            operators.save(&path)?;
            let mut remark = format!(
                "This is {name}'s token; it is shown once and kept nowhere. {name} puts it into ~/.config/tacho/token (chmod 600)."
            );
            if role.contains(&cli::Role::Approver) && group.is_empty() {
                remark.push_str(
                    "\nWARNING: an approver without a group approves nothing: requests wait for the groups that rules name in \
                     @needs. Remove this one, and add it with --group GROUP.",
                );
            }
            out::answer(&Added { name: name.clone(), token: token.as_str().to_owned(), remark }, json)
        }
        cli::Operator::List => {
            out::answer(&List { operators: operators.list.iter().map(shown).collect() }, json)
        }
        cli::Operator::Remove { name } => {
            if !operators.remove(name) {
                return Err(Failure::no(format!(
                    "there is no operator {name:?}; `tacho operator list` names them"
                )));
            }
            operators.save(&path)?;
            out::answer(
                &out::Told { lines: vec![format!("operator {name} is removed, and the token with it")] },
                json,
            )?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn shown(operator: &Operator) -> Shown {
    Shown {
        name: operator.name.clone(),
        roles: operator.roles.iter().map(|r| r.as_str().to_owned()).collect(),
        groups: operator.groups.iter().cloned().collect(),
        signs: operator.ssh_key.is_some(),
        added: operator.added.clone(),
    }
}

fn word(text: &str) -> Result<(), Failure> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    match !text.is_empty() && text.len() <= 63 && text.bytes().all(good) {
        true => Ok(()),
        false => {
            Err(Failure::usage(format!("{text:?} is not a name; use 1 to 63 letters, digits and - _ . @")))
        }
    }
}

/// An SSH public key file has one line: type, base64, comment.
fn read_ssh_key(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    let mut words = text.split_ascii_whitespace();
    let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let known = [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    if !known.contains(&kind)
        || key.is_empty()
        || !key.bytes().all(base64)
        || text.trim().lines().count() != 1
    {
        return Err(Failure::usage(format!(
            "{} is not an SSH public key; name the .pub file",
            path.display()
        )));
    }
    Ok(format!("{kind} {key}"))
}
