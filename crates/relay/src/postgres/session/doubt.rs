//! Whether names mean upstream what they meant when a statement was decided.
//!
//! Upstream reads a statement's names when it takes it, and that may be long after the gateway has: behind another statement,
//! or behind a lock for which it waits. What another session of the gateway defines meanwhile would be read in place of
//! what was decided. So nothing of an answer leaves before it is known that no definition came between; if one may have,
//! the catalog is read again behind the answer, and the statement has to mean the same in it.
//!
//! Two definitions in that time, of which the second undoes the first, are not told from none: what the statement has found is
//! locked until its transaction ends, which may be before the look, and another relation can come to stand before it.
//! Spec: PostgreSQL 17, 13.3.1 "Table-Level Locks".

use std::cell::OnceCell;

use sql::ByName;

use super::*;
use crate::limits::NAMES_LOOK;

/// Definitions by which no name comes to mean something else. Some take hours.
const RENAMES_NOTHING: [&str; 5] =
    ["CLUSTER", "COMMENT", "CREATE INDEX", "REFRESH MATERIALIZED VIEW", "REINDEX"];

/// How far it is known that an operation's names meant what they mean to the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sure {
    #[default]
    No,
    /// For the piece at hand: code that it runs looks up names again.
    Once,
    Always,
}

/// What a name of the session's stood for when a statement that runs or reads by it was decided.
pub struct Stands {
    pub(super) text: Arc<str>,
    types: Arc<[u32]>,
    pub(super) upstream: Arc<str>,
    pub(super) analysis: Arc<sql::Analysis>,
}

/// A catalog as this session would see it, made when it is asked for, once.
struct Sight<'c> {
    catalog: &'c Catalog,
    seen: OnceCell<Option<Catalog>>,
}

impl<'c> Sight<'c> {
    fn of(catalog: &'c Catalog) -> Sight<'c> {
        Sight { catalog, seen: OnceCell::new() }
    }

    fn by(&self, session: &Session) -> &Catalog {
        let seen = || self.catalog.as_seen_by(&session.catalog, &session.resource);
        self.seen.get_or_init(seen).as_ref().unwrap_or(self.catalog)
    }
}

/// What waits for the catalog.
pub(super) enum Doubted {
    /// A Query, some of which was approved before the rest was.
    Script,
    /// What upstream has answered.
    Answer(u64),
    /// What a human has approved.
    Approved { ready: Box<Ready>, decided: Arc<Decided>, asked: Seq, script: bool },
}

/// The catalog as it is now, or nothing where it could not be read.
pub(super) type Reading = Pin<Box<dyn Future<Output = Option<Arc<Catalog>>> + Send>>;

impl Session {
    /// An operation is sent: it may define something, or make what this session has defined take effect.
    pub(super) fn lands(&mut self, id: u64) {
        let Some(plan) = self.ops.get(&id).and_then(|op| op.plan.as_ref()) else { return };
        let effects = &plan.analysis.effects;
        let any = |of: fn(&Effect) -> bool| effects.iter().any(of);
        // A temporary table is nobody else's.
        self.defines |= any(|e| matches!(e, Effect::Ddl { .. }))
            && !any(|e| matches!(e, Effect::CreatesTemp { .. }))
            && !RENAMES_NOTHING.contains(&plan.analysis.action.kind);
        self.ends |= any(|e| matches!(e, Effect::Commit { .. } | Effect::Rollback { .. }));
        let waits = self.flow.tx() == TxStatus::InTransaction && !self.ends;
        if !self.defines || waits || self.landing.is_some() {
            return;
        }
        let landing = Landing::begin(self.resource.clone());
        // What this session does in its own order changes nothing for what it sent before.
        for op in self.ops.values_mut().filter(|op| op.changes == landing.before) {
            op.changes += 1;
        }
        self.landing = Some(landing);
    }

    /// Upstream has told how the transaction is.
    pub(super) fn landed(&mut self, tx: TxStatus) {
        if self.syncs > 0 || self.unsynced {
            return;
        }
        self.ends = false;
        self.landing = None;
        if tx == TxStatus::Idle {
            self.defines = false;
            self.block_changes = self.resource.catalog.changes();
        }
    }

    /// Whether the names of what upstream answers meant there what they did when it was decided. `false`: this is looked
    /// at, or they did not.
    pub(super) fn knows_names(&mut self, id: u64) -> Result<bool, Cut> {
        let own = u64::from(self.landing.is_some());
        let Some(op) = self.ops.get_mut(&id).filter(|op| op.intent.is_some()) else { return Ok(true) };
        let Some(plan) = op.plan.clone().filter(|plan| plan.reads_names()) else { return Ok(true) };
        match op.sure {
            Sure::Always => return Ok(true),
            Sure::Once => {
                op.sure = Sure::No;
                return Ok(true);
            }
            Sure::No if self.resource.catalog.is_at_rest(op.changes, own) => {
                op.sure = if plan.runs_code() { Sure::No } else { Sure::Always };
                return Ok(true);
            }
            Sure::No => {}
        }
        if self.defines {
            // What it has defined itself nobody else can read, or would wait for.
            return self.misses_names(id);
        }
        let reading = self.read_names();
        self.behind = std::mem::replace(&mut self.hold, Hold::Doubt { of: Doubted::Answer(id), reading });
        Ok(false)
    }

    /// Goes on with what a human has approved, if its names still mean what they did when it was asked about.
    pub(super) fn approved(
        &mut self,
        ready: Box<Ready>,
        decided: Arc<Decided>,
        asked: Seq,
        script: bool,
    ) -> Result<(), Cut> {
        let shelf = &self.resource.catalog;
        let own = u64::from(self.landing.is_some());
        let known = shelf.is_current(&self.catalog) && shelf.is_at_rest(self.catalog.changes, own);
        // What was approved before it has waited as long.
        if let Some(script) = &mut self.script {
            script.known = false;
        }
        if known || !ready.plan.reads_names() {
            return self.decided(*ready, decided, Some(asked), script);
        }
        if self.defines {
            return self.refuse_changed(&ready, &decided, asked, script);
        }
        let of = Doubted::Approved { ready, decided, asked, script };
        self.hold = Hold::Doubt { of, reading: self.read_names() };
        Ok(())
    }

    /// Whether what was approved of a Query is to be looked at once more before it is sent.
    pub(super) fn doubts_script(&self) -> bool {
        let Some(script) = self.script.as_ref().filter(|script| !script.known) else { return false };
        let asked = script.decided.iter().any(|(.., asked)| asked.is_some());
        asked && script.has_read_names() && !self.resource.catalog.is_current(&self.catalog)
    }

    pub(super) fn read_names(&self) -> Reading {
        let (resource, moment) = (self.resource.clone(), entropy::tick());
        Box::pin(async move {
            let read = resource.catalog.since(&resource, moment);
            tokio::time::timeout(NAMES_LOOK, read).await.ok().and_then(Result::ok)
        })
    }

    /// The catalog was read.
    pub(super) fn on_names(&mut self, catalog: Option<Arc<Catalog>>) -> Result<(), Cut> {
        let Hold::Doubt { .. } = self.hold else { return Ok(()) };
        let behind = std::mem::replace(&mut self.behind, Hold::No);
        let Hold::Doubt { of, .. } = std::mem::replace(&mut self.hold, behind) else { return Ok(()) };
        match of {
            Doubted::Script => {
                let changed = match &catalog {
                    Some(catalog) if !self.defines => self.first_changed(catalog),
                    _ => Some(0),
                };
                if let Some(script) = &mut self.script {
                    script.known = true;
                }
                changed.map_or(Ok(()), |changed| self.refuse_script(changed))
            }
            Doubted::Answer(id) => {
                let plan = self.ops.get(&id).and_then(|op| op.plan.clone());
                let Some(plan) = plan else { return self.resume(id) };
                let stands = self.ops.get_mut(&id).and_then(|op| op.stands.take());
                let same =
                    |catalog: &Arc<Catalog>| self.means_the_same(&plan, stands.as_ref(), &Sight::of(catalog));
                let catalog = catalog.filter(same);
                if let Some(catalog) = catalog {
                    if let Some(op) = self.ops.get_mut(&id) {
                        op.sure = if plan.runs_code() { Sure::Once } else { Sure::Always };
                        (op.stands, op.changes) = (stands, catalog.changes);
                    }
                } else {
                    self.withhold_changed(id, &plan)?;
                }
                self.resume(id)
            }
            Doubted::Approved { ready, decided, asked, script } => {
                let stands = self.stands_for(&ready.plan);
                let same = |catalog: &Arc<Catalog>| {
                    self.means_the_same(&ready.plan, stands.as_ref(), &Sight::of(catalog))
                };
                match catalog.as_ref().is_some_and(same) {
                    true => self.decided(*ready, decided, Some(asked), script),
                    false => self.refuse_changed(&ready, &decided, asked, script),
                }
            }
        }
    }

    /// What of a Query is decided and not sent: the first whose names mean something else by now.
    pub(super) fn first_changed(&self, catalog: &Catalog) -> Option<usize> {
        let decided = self.script.as_ref().map_or(&[][..], |script| &script.decided);
        let sight = Sight::of(catalog);
        let changed = |ready: &Ready| {
            let plan = &ready.plan;
            plan.changes != catalog.changes
                && plan.reads_names()
                && !self.means_the_same(plan, self.stands_for(plan).as_ref(), &sight)
        };
        decided.iter().position(|(ready, ..)| changed(ready))
    }

    /// Whether a statement is and does under this catalog what its plan says.
    fn means_the_same(&self, plan: &Plan, stands: Option<&Stands>, sight: &Sight<'_>) -> bool {
        if sight.catalog.hash == plan.catalog {
            return true;
        }
        let catalog = sight.by(self);
        let again = |text: &str, types: &Arc<[u32]>| {
            let statement = sql::parse(text).ok().filter(|all| all.len() == 1)?.pop();
            Some(self.make_plan(catalog, statement, types.clone()))
        };
        let like = |now: &Plan, text: &str, analysis: &sql::Analysis| {
            *now.text == *text && now.analysis.is_like(analysis)
        };
        match (&plan.analysis.by_name, stands) {
            (None, _) => {
                let now = plan.text().and_then(|text| again(text, &plan.types));
                now.is_some_and(|now| like(&now, &plan.text, &plan.analysis))
            }
            (Some(_), None) => false,
            // What DECLARE has opened was looked at with it, and what it reads is locked.
            (Some(_), Some(stands)) if declares(&stands.analysis) => true,
            // One that runs another by its name is not followed.
            (Some(_), Some(stands)) => again(&stands.text, &stands.types).is_some_and(|now| {
                now.analysis.by_name.is_none() && like(&now, &stands.upstream, &stands.analysis)
            }),
        }
    }

    /// What the name stands for now that a statement runs or reads by.
    pub(super) fn stands_for(&self, plan: &Plan) -> Option<Stands> {
        self.stands_by(plan.analysis.by_name.as_ref()?)
    }

    pub(super) fn stands_by(&self, name: &ByName) -> Option<Stands> {
        let stands = |text: &Arc<str>, upstream: &Arc<str>, analysis: &Arc<sql::Analysis>, types| {
            let (text, upstream, analysis) = (text.clone(), upstream.clone(), analysis.clone());
            Stands { text, types, upstream, analysis }
        };
        match name {
            ByName::Cursor(name) => {
                let portal = self.portals.get(name.as_bytes())?;
                let plan = &portal.plan;
                Some(stands(&plan.text()?.into(), &portal.upstream, &plan.analysis, plan.types.clone()))
            }
            ByName::Statement(name) => match self.prepared.get(name.as_bytes()) {
                Some(p) => Some(stands(&p.text, &p.upstream, &p.plan.analysis, p.plan.types.clone())),
                None => {
                    let p = self.sql_prepared.get(name)?;
                    Some(stands(&p.text, &p.upstream, self.names.prepared.get(name)?, Arc::default()))
                }
            },
        }
    }

    /// It cannot be known what its names meant. Rows stay here; what has none to show is told, and recorded as it is.
    fn misses_names(&mut self, id: u64) -> Result<bool, Cut> {
        let Some(op) = self.ops.get_mut(&id) else { return Ok(true) };
        let (shows, intent, plan) = (op.shows(), op.intent, op.plan.clone());
        let Some(plan) = plan.filter(|_| shows) else {
            op.sure = Sure::Always;
            let noted = self.resource.gate.note(&self.who, intent, "names-unsure");
            let receipt = noted.map_err(|e| self.unrecorded(e))?;
            self.showing.cover(receipt);
            return Ok(true);
        };
        self.withhold_changed(id, &plan)?;
        Ok(false)
    }

    fn withhold_changed(&mut self, id: u64, plan: &Plan) -> Result<(), Cut> {
        // Its rows are what stays here.
        self.with_op(id, |showing, _, _, scene, op| showing.look(scene, op))?;
        let decided = without_words(&plan.decided);
        self.withhold(id, &decided, "40001", NAMES_CHANGED)
    }

    fn refuse_changed(
        &mut self,
        ready: &Ready,
        decided: &Decided,
        asked: Seq,
        script: bool,
    ) -> Result<(), Cut> {
        self.refuse(ready, &without_words(decided), "40001", NAMES_CHANGED, None, Some(asked))?;
        self.after_refusal(script)
    }
}

fn declares(analysis: &sql::Analysis) -> bool {
    analysis.effects.iter().any(|effect| matches!(effect, Effect::DeclareCursor { .. }))
}

/// The reason is another than what a rule has to say.
pub(super) fn without_words(decided: &Decided) -> Decided {
    let mut decided = decided.clone();
    decided.message = None;
    decided
}

pub(super) const NAMES_CHANGED: &str =
    "what the statement's names mean may have changed since it was decided";
pub(super) const NAMES_CHANGED_AFTER: &str = "the statement was carried out, and what its names mean may have changed \
    since it was decided: its answer stays with the gateway";
