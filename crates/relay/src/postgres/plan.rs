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
        let mut refuse = analysis.refuse;
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

    /// Whether errors about it are rebuilt from templates: something governed or a user's code is in reach.
    pub fn careful(&self) -> bool {
        !self.analysis.governed.is_empty() || self.analysis.user_code || self.analysis.action.opaque.is_some()
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
