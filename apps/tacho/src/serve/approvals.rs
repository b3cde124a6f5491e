//! The console's approvals, over the gate's inbox. Who may answer is the inbox's to say; here it is who the answerer is.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use console::seat::{
    Approvals, Asked, BecauseLine, Decided, Failed, FailedKind, Grant, GrantForm, Operator, Signs,
};
use gate::limits::{SSH_KEY_BYTES_MAX, SSH_SIGNATURE_BYTES_MAX};
use gate::{Approver, Because, Form, INITIATOR, InboxError, Pending, Signature, Touched};
use vocab::{AskId, Bound, Group};

use super::{KnownOperators, Shared, failed, lock, stamp, unavailable};
use crate::approvals::SIGNATURE_NAMESPACE;
use crate::evidence::now;
use crate::operators::Operators;

/// The console's [`Approvals`].
pub struct InboxDesk(pub Arc<Shared>);

impl Approvals for InboxDesk {
    fn list(&self, by: &Operator) -> Result<Vec<Asked>, Failed> {
        let may_see = |pending: &Pending| {
            by.has(console::seat::Role::Auditor)
                || pending.groups.iter().any(|g| by.groups.iter().any(|own| **own == *g.0))
                || (pending.groups.iter().any(|g| &*g.0 == INITIATOR) && *pending.human == *by.name)
        };
        Ok(self.0.gate.inbox().list().iter().filter(|p| may_see(p)).map(shown).collect())
    }

    fn approve(&self, by: &Operator, ask: AskId, grant: &Grant) -> Result<Decided, Failed> {
        let pending = self.0.pending(ask)?;
        let (form, minutes) = match grant.form {
            GrantForm::Once => (Form::Once, None),
            GrantForm::Shape { minutes } => (Form::Shape { minutes }, Some(minutes)),
        };
        let signature = match &grant.signature {
            Some(signature) => {
                Some(self.verified(by, &pending.bound.to_sign(&form_words(minutes)), signature)?)
            }
            None => None,
        };
        let missing =
            self.0.gate.inbox().approve(ask, &approver(by, signature), form, now()).map_err(refused)?;
        let missing: Vec<&str> = missing.iter().map(|g| &*g.0).collect();
        let verdict = match missing.is_empty() {
            true => "granted".to_owned(),
            false => format!("taken; it still waits for {}", missing.join(", ")),
        };
        Ok(Decided { ask: ask.to_string(), verdict, by: by.name.clone(), record: pending.seq.0 })
    }

    fn deny(&self, by: &Operator, ask: AskId, reason: &str) -> Result<Decided, Failed> {
        let pending = self.0.pending(ask)?;
        let reason = Some(reason.to_owned()).filter(|r| !r.is_empty());
        self.0.gate.inbox().deny(ask, &approver(by, None), reason).map_err(refused)?;
        Ok(Decided {
            ask: ask.to_string(),
            verdict: "denied".to_owned(),
            by: by.name.clone(),
            record: pending.seq.0,
        })
    }
}

impl Shared {
    /// A question that waits.
    pub fn pending(&self, ask: AskId) -> Result<Pending, Failed> {
        let found = self.gate.inbox().list().into_iter().find(|p| p.id == ask);
        found.ok_or_else(|| failed(FailedKind::Gone, InboxError::NotWaiting.to_string()))
    }
}

impl InboxDesk {
    /// Holds a signature against the operator's own key and the text that the question's record and the form give.
    fn verified(&self, by: &Operator, text: &str, signature: &str) -> Result<Signature, Failed> {
        let Some(signature) = armor(signature) else {
            return Err(failed(
                FailedKind::Wrong,
                "that is no SSH signature in armor, or a too long one".to_owned(),
            ));
        };
        let operators = self.0.operators()?;
        let key = operators.list.iter().find(|o| o.name == by.name).and_then(|o| o.ssh_key.clone());
        let key = key.ok_or_else(|| {
            failed(
                FailedKind::Wrong,
                format!("{} has no SSH key here; add the operator with --ssh-key", by.name),
            )
        })?;
        if key.len() > SSH_KEY_BYTES_MAX {
            return Err(failed(FailedKind::Wrong, format!("the SSH key of {} is too long", by.name)));
        }
        let own = self.0.config.gateway.control.parent().unwrap_or(Path::new("."));
        match ssh_verify(own, &by.name, &key, text, &signature) {
            Ok(true) => Ok(Signature { key: key.into(), armored: signature.into() }),
            Ok(false) => Err(failed(
                FailedKind::Forbidden,
                format!("the signature is not {}'s over this request", by.name),
            )),
            Err(error) => Err(unavailable(format!(
                "the signature cannot be checked: {error}; is ssh-keygen installed?"
            ))),
        }
    }
}

/// Who may approve, as the operators' file says now: asked whenever an approval counts, however long ago it was given. It records
/// nothing, since a request waits for it.
pub struct Approvers {
    file: PathBuf,
    known: Mutex<KnownOperators>,
}

impl Approvers {
    pub fn new(file: PathBuf) -> Approvers {
        Approvers { file, known: Mutex::default() }
    }

    /// Whether that operator still approves, and for that group, unless it is the run's own human who is meant. A file that is wrong
    /// knows nobody.
    pub fn speak(&self, name: &str, group: &Group) -> bool {
        let stamp = stamp(&self.file);
        let mut known = lock(&self.known);
        if known.stamp != stamp || stamp.is_none() {
            *known = KnownOperators { stamp, list: Operators::load(&self.file).unwrap_or_default() };
        }
        let of_group =
            |o: &crate::operators::Operator| &*group.0 == INITIATOR || o.groups.contains(&*group.0);
        let found = known.list.list.iter().find(|operator| operator.name == name);
        found.is_some_and(|operator| {
            operator.roles.contains(&crate::cli::Role::Approver) && of_group(operator)
        })
    }
}

/// How a grant's form stands in what is signed.
pub fn form_words(minutes: Option<u32>) -> String {
    minutes.map_or_else(|| "once".to_owned(), |minutes| format!("shape {minutes}"))
}

/// A signature's armor and nothing beside it, which would stand in the record. `None`: it is none, or longer than
/// [`SSH_SIGNATURE_BYTES_MAX`].
fn armor(signature: &str) -> Option<String> {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let signature = signature.trim().replace('\r', "");
    let (begin, end) = ("-----BEGIN SSH SIGNATURE-----\n", "\n-----END SSH SIGNATURE-----");
    let body = signature.strip_prefix(begin)?.strip_suffix(end)?;
    let good = signature.len() < SSH_SIGNATURE_BYTES_MAX && body.lines().all(|line| line.bytes().all(base64));
    good.then(|| format!("{signature}\n"))
}

/// `ssh-keygen -Y verify` with one allowed signer. What it reads is in a directory of the gateway's, which no agent sees.
fn ssh_verify(own: &Path, name: &str, key: &str, text: &str, signature: &str) -> std::io::Result<bool> {
    let random = crate::operators::random::<8>().map_err(|e| std::io::Error::other(e.to_string()))?;
    let dir = own.join(format!("verify-{}", crate::hex::encode(&random)));
    crate::files::make_private_dir(&dir).map_err(|e| std::io::Error::other(e.to_string()))?;
    let verified = (|| {
        let (signers, armored) = (dir.join("signers"), dir.join("signature"));
        std::fs::write(&signers, format!("{name} namespaces=\"{SIGNATURE_NAMESPACE}\" {key}\n"))?;
        std::fs::write(&armored, signature)?;
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-q", "-n", SIGNATURE_NAMESPACE, "-I", name, "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(&armored)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes())?;
        }
        Ok(child.wait()?.success())
    })();
    let _left_for_the_next_boot = std::fs::remove_dir_all(&dir);
    verified
}

fn approver(by: &Operator, signature: Option<Signature>) -> Approver {
    let groups: BTreeSet<Group> = by.groups.iter().map(|g| Group(g.as_str().into())).collect();
    Approver { name: by.name.as_str().into(), groups, signature }
}

fn refused(error: InboxError) -> Failed {
    let kind = match error {
        InboxError::NotWaiting | InboxError::Expired => FailedKind::Gone,
        InboxError::NotInGroup | InboxError::OwnRequest => FailedKind::Forbidden,
        InboxError::ShapeNotAllowed => FailedKind::Wrong,
    };
    failed(kind, error.to_string())
}

fn shown(pending: &Pending) -> Asked {
    let left = pending.expires.0.saturating_sub(now().0) / 1_000_000;
    let mut verbs: Vec<String> =
        pending.touches.iter().map(|touched| touched.verb.as_str().to_owned()).collect();
    verbs.sort();
    verbs.dedup();
    let mut forms = vec!["once".to_owned()];
    if pending.shape_allowed {
        forms.push("shape".to_owned());
    }
    Asked {
        ask: pending.id.to_string(),
        record: pending.seq.0,
        at: answers::time(pending.asked_at),
        expires: answers::time(pending.expires),
        expires_in_ms: left,
        run: pending.run.to_string(),
        human: pending.human.to_string(),
        agent: pending.agent.to_string(),
        task: pending.task.as_ref().map(|t| t.as_str().to_owned()),
        resource: pending.resource.to_string(),
        groups: pending.groups.iter().map(|g| g.0.to_string()).collect(),
        message: pending.message.as_deref().map(str::to_owned),
        rules: pending.rules.iter().map(|r| r.0.to_string()).collect(),
        verbs,
        touches: pending.touches.iter().map(touch).collect(),
        statement: pending.statement.as_str().to_owned(),
        sent: pending.sent.as_ref().map(|t| t.as_str().to_owned()),
        says: pending.says.as_ref().filter(|says| **says != pending.statement).map(|t| t.as_str().to_owned()),
        changes: pending.changes.as_ref().map(|t| t.as_str().to_owned()),
        params: pending.params.iter().map(|mask| mask.as_str().to_owned()).collect(),
        param_values: pending
            .param_values
            .iter()
            .map(|value| value.as_ref().map(|value| value.as_str().to_owned()))
            .collect(),
        in_transaction: pending.in_transaction,
        signs: signs(&pending.bound),
        because: pending.because.as_ref().map(|all| all.iter().map(because).collect()),
        forms,
    }
}

fn signs(bound: &Bound) -> Signs {
    let hex = crate::hex::encode;
    Signs {
        asked: hex(&bound.asked),
        sending: hex(&bound.sending),
        request: hex(&bound.request),
        policy: hex(&bound.policy.0),
        values: bound.values.as_ref().map(|values| hex(values)),
        expires: bound.expires.0,
    }
}

fn because(because: &Because) -> BecauseLine {
    BecauseLine {
        decision: because.decision.0,
        asked: because.asked.0,
        tool: because.tool.as_str().to_owned(),
        step: because.step.as_ref().map(|step| step.as_str().to_owned()),
        told: because.told,
    }
}

/// `verb path (columns)`.
fn touch(touched: &Touched) -> String {
    let (verb, on) = (touched.verb.as_str(), touched.on.as_str());
    let columns: Vec<&str> = touched.columns.iter().map(|column| column.as_str()).collect();
    match columns.is_empty() {
        true => format!("{verb} {on}"),
        false => format!("{verb} {on} ({})", columns.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signs as `tacho approve --sign` does, with a key made for the test.
    fn signed(dir: &std::path::Path, key: &str, text: &str, namespace: &str) -> (String, String) {
        let key = dir.join(key);
        if !key.exists() {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
            assert!(made.unwrap().success());
        }
        let file = dir.join("text");
        std::fs::write(&file, text).unwrap();
        let _earlier = std::fs::remove_file(dir.join("text.sig"));
        let sign = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-q", "-n", namespace, "-f"])
            .arg(&key)
            .arg(&file)
            .status();
        assert!(sign.unwrap().success());
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        (public.trim().to_owned(), std::fs::read_to_string(dir.join("text.sig")).unwrap())
    }

    #[test]
    fn nothing_stands_beside_a_signatures_armor() {
        let dir = crate::files::scratch("armor");
        let (_, signature) = signed(&dir, "ada", "ask 1", SIGNATURE_NAMESPACE);
        assert_eq!(armor(&signature).as_deref(), Some(signature.as_str()));
        assert_eq!(armor(&signature.replace('\n', "\r\n")).as_deref(), Some(signature.as_str()));
        let long = signature.replacen("\nU1", &format!("\n{}U1", "A".repeat(4_096)), 1);
        let more = [format!("{signature}536-22-8391\n"), format!("x\n{signature}"), long, String::new()];
        assert!(more.iter().all(|more| armor(more).is_none()), "{more:?}");
        assert_eq!(armor(&signature.replacen("\nU1", "\n536-22-8391 U1", 1)), None);
    }

    #[test]
    fn a_signature_counts_only_by_its_signer_over_its_text_and_for_this_purpose() {
        let dir = crate::files::scratch("signatures");
        let (key, signature) = signed(&dir, "ada", "ask 1", SIGNATURE_NAMESPACE);
        let (other, others) = signed(&dir, "eve", "ask 1", SIGNATURE_NAMESPACE);
        let (_, elsewhere) = signed(&dir, "ada", "ask 1", "git");
        assert!(ssh_verify(&dir, "ada", &key, "ask 1", &signature).unwrap());
        assert!(!ssh_verify(&dir, "ada", &key, "ask 2", &signature).unwrap());
        assert!(!ssh_verify(&dir, "ada", &key, "ask 1", &others).unwrap());
        assert!(!ssh_verify(&dir, "ada", &other, "ask 1", &signature).unwrap());
        assert!(!ssh_verify(&dir, "ada", &key, "ask 1", &elsewhere).unwrap());
        assert!(!ssh_verify(&dir, "ada", &key, "ask 1", "nothing").unwrap());
    }
}
