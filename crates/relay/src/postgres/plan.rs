//! A plan: one statement text, analysed, decided and rewritten, as it may be used again and again.
//!
//! **Invariant:** a plan holds for one exact text under one catalog, one set of session names and one policy. The
//! session throws all its plans away when any of these changes; nothing is keyed on a fingerprint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gate::{Decided, Gate, GovernedRead, Ground, Who};
use mask::MaskedText;
use policy::Context;
use sql::{Analysis, Effect, Names, Reason, Rewritten, Statement};
use vocab::{Action, Class, Group, RuleId, Verdict};

use super::catalog::Catalog;
use super::resource::Resource;

/// One statement, ready to be asked about.
pub struct Plan {
    pub statement: Option<Statement>,
    pub analysis: Arc<Analysis>,
    /// The statement, literals masked.
    pub masked: MaskedText,
    /// What runs upstream.
    pub text: Arc<str>,
    /// `text`, literals masked, if it is not the statement itself.
    pub sent: Option<MaskedText>,
    pub rewritten: Rewritten,
    pub revealed: BTreeMap<Class, RuleId>,
    pub governed: Vec<GovernedRead>,
    pub context: Context,
    /// The verdict without approvals. Used again only if it is `cacheable`.
    pub decided: Decided,
    /// Why it cannot run whatever policy says.
    pub refuse: Option<Reason>,
}

impl Plan {
    /// Reads `statement` in the light of catalog, names and policy. `None`: a text without a statement.
    pub fn make(
        resource: &Resource,
        who: &Who,
        catalog: &Catalog,
        names: &Names,
        statement: Option<Statement>,
    ) -> Plan {
        let gate = &resource.gate;
        let detectors = gate.detectors();
        let analysis = match &statement {
            Some(statement) => sql::analyze(
                statement,
                &catalog.snapshot,
                &catalog.governed,
                names,
                &resource.vouched,
                &resource.root,
            ),
            None => Analysis::of_nothing(resource.root.join(&names.database)),
        };
        let context = context(&analysis, names.in_transaction);
        let decided = verdict(gate, who, &analysis.action, &context, &BTreeSet::new());
        let revealed = match analysis.governed.is_empty() {
            true => BTreeMap::new(),
            false => gate.reveals(who, &context, &analysis.classes()),
        };
        let classes: BTreeSet<Class> = revealed.keys().cloned().collect();
        let lifts = resource.config.read_only && analysis.effects.iter().any(lifts_read_only);
        let mut refuse = analysis.refuse.or(lifts.then_some(READ_ONLY));
        let own_text = statement.as_ref().map_or("", |s| s.text());
        let rewritten = match &statement {
            Some(statement) if refuse.is_none() => {
                sql::rewrite(statement, &analysis, &catalog.snapshot, &catalog.governed, names, &classes)
                    .unwrap_or_else(|reason| {
                        refuse = Some(reason);
                        Rewritten::default()
                    })
            }
            _ => Rewritten::default(),
        };
        let masked = match &statement {
            Some(statement) => mask::statement(detectors, own_text, &sql::masked_literals(statement)),
            None => MaskedText::constant(""),
        };
        let sent = rewritten.text.as_deref().map(|text| masked_text(gate, text));
        let governed = analysis
            .governed
            .iter()
            .filter(|g| !classes.contains(&g.class))
            .map(|g| GovernedRead { on: g.path.clone(), class: g.class.clone(), kind: g.kind.as_str() })
            .collect();
        Plan {
            masked,
            text: rewritten.text.as_deref().unwrap_or(own_text).into(),
            sent,
            rewritten,
            revealed,
            governed,
            context,
            decided,
            refuse,
            analysis: Arc::new(analysis),
            statement,
        }
    }

    pub fn action(&self) -> &Action {
        &self.analysis.action
    }

    /// The verdict now: the remembered one if nothing but the plan decided it, else a fresh one.
    pub fn verdict(&self, gate: &Gate, who: &Who, approved: &BTreeSet<Group>) -> Decided {
        let may_keep =
            approved.is_empty() && self.decided.cacheable && !matches!(self.decided.verdict, Verdict::Ask(_));
        match may_keep {
            true => self.decided.clone(),
            false => verdict(gate, who, self.action(), &self.context, approved),
        }
    }

    pub fn ground(&self) -> Ground<'_> {
        Ground { action: self.action(), context: &self.context }
    }

    /// Whether what comes after it must wait for its end: it may change what names mean, or starts a COPY from the
    /// client.
    pub fn is_barrier(&self) -> bool {
        self.analysis.effects.iter().any(|effect| match effect {
            Effect::CopyIn
            | Effect::Set { .. }
            | Effect::Reset { .. }
            | Effect::ResetAll
            | Effect::DiscardAll
            | Effect::DiscardTemp
            | Effect::Prepare { .. }
            | Effect::Deallocate { .. }
            | Effect::DeclareCursor { .. }
            | Effect::CloseCursor { .. }
            | Effect::CreatesTemp { .. }
            | Effect::Ddl { .. }
            | Effect::Rollback { .. }
            | Effect::RollbackTo { .. } => true,
            Effect::Begin { .. }
            | Effect::Commit { .. }
            | Effect::Savepoint { .. }
            | Effect::Release { .. }
            | Effect::SetTransaction { .. }
            | Effect::DiscardPlans
            | Effect::Execute { .. }
            | Effect::Fetch { .. }
            | Effect::Listen { .. }
            | Effect::Unlisten { .. }
            | Effect::Notify { .. }
            | Effect::Show { .. }
            | Effect::CopyOut => false,
        })
    }

    pub fn copies_in(&self) -> bool {
        self.analysis.effects.contains(&Effect::CopyIn)
    }

    /// In PostgreSQL's own words, which programs read: the relation that the statement names and that is not there.
    /// The name is the client's own.
    pub fn missing_relation(&self) -> Option<String> {
        let reason = self.refuse.filter(|reason| reason.code == "42P01")?;
        let name = dotted_name(self.statement.as_ref()?.text().get(reason.at?..)?)?;
        Some(format!("relation \"{name}\" does not exist"))
    }

    /// Whether errors about it are rebuilt from templates: something governed or a user's code is in reach.
    pub fn careful(&self) -> bool {
        !self.analysis.governed.is_empty() || self.analysis.user_code || self.analysis.action.opaque.is_some()
    }
}

/// A resource that is configured read-only stays it: the client cannot ask upstream for more.
const READ_ONLY: Reason = Reason {
    code: "25006",
    sentence: "this resource is read-only; a transaction here cannot be READ WRITE",
    at: None,
};

fn lifts_read_only(effect: &Effect) -> bool {
    match effect {
        Effect::Begin { read_only } | Effect::SetTransaction { read_only } => *read_only == Some(false),
        Effect::Set { name, value, .. } => {
            name.to_ascii_lowercase().ends_with("transaction_read_only")
                && !value
                    .as_deref()
                    .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1"))
        }
        _ => false,
    }
}

/// A text of ours or a rewritten one, literals masked. One that does not parse is withheld.
fn masked_text(gate: &Gate, text: &str) -> MaskedText {
    match sql::literals_of(text) {
        Some(literals) => {
            let ranges: Vec<_> = literals.into_iter().map(|l| l.range).collect();
            mask::statement(gate.detectors(), text, &ranges)
        }
        None => MaskedText::constant("[statement withheld: its literals are not known]"),
    }
}

fn verdict(
    gate: &Gate,
    who: &Who,
    action: &Action,
    context: &Context,
    approved: &BTreeSet<Group>,
) -> Decided {
    gate.verdict(who, &Ground { action, context }, approved)
}

fn context(analysis: &Analysis, in_transaction: bool) -> Context {
    Context {
        resource_kind: "postgres".into(),
        kind: analysis.action.kind.into(),
        functions: analysis.action.functions.clone(),
        in_transaction,
        now: crate::entropy::wall(),
        ..Context::default()
    }
}

/// The name, with its schema if it has one, that `text` begins with, as PostgreSQL folds and prints it.
fn dotted_name(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').filter(|end| !quoted[end + 1..].starts_with('"'))?;
                (quoted[..end].to_owned(), &quoted[end + 1..])
            }
            None => {
                let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                (rest[..end].to_ascii_lowercase(), &rest[end..])
            }
        };
        if part.is_empty() {
            return None;
        }
        name.push_str(&part);
        match after.strip_prefix('.') {
            Some(more) => {
                name.push('.');
                rest = more;
            }
            None => return Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::dotted_name;

    #[test]
    fn a_missing_name_is_printed_as_postgres_prints_it() {
        for (text, expect) in [
            ("MyTab where", Some("mytab")),
            ("app.\"My Tab\" t", Some("app.My Tab")),
            ("mytab", Some("mytab")),
            ("\"a\"\"b\"", None),
            (".x", None),
        ] {
            assert_eq!(dotted_name(text).as_deref(), expect, "{text}");
        }
    }
}
