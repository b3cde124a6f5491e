//! Whether names mean upstream what they meant when a statement was decided.
//!
//! Upstream reads a statement's names when it takes it, and that may be long after the gateway has: behind another statement,
//! or behind a lock for which it waits. What another session of the gateway defines meanwhile would be read in place of
//! what was decided. So nothing of an answer leaves before it is known that no definition came between; if one may have,
//! the catalog is read again by then. What the statement reads is locked upstream as of its first answer, so that this
//! catalog holds what the statement has found. Spec: PostgreSQL 17, 13.3.1 "Table-Level Locks".

use sql::ByName;

use super::*;
use crate::limits::NAMES_LOOK;

/// How far it is known that an operation's names meant what they mean to the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sure {
    #[default]
    No,
    /// For the piece at hand: code that it runs looks up names again.
    Once,
    Always,
}

/// What waits for the catalog.
pub(super) enum Doubted {
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
        self.defines |= effects.iter().any(|effect| matches!(effect, Effect::Ddl { .. }));
        let commits = effects.iter().any(|effect| matches!(effect, Effect::Commit { .. }));
        let waits = self.flow.tx() == TxStatus::InTransaction && !commits;
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
        self.landing = None;
        self.defines &= tx != TxStatus::Idle;
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
        if self.own_catalog || self.defines {
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
        if known || !ready.plan.reads_names() {
            return self.decided(*ready, decided, Some(asked), script);
        }
        if self.own_catalog || self.defines {
            return self.refuse_changed(&ready, &decided, asked, script);
        }
        let of = Doubted::Approved { ready, decided, asked, script };
        self.hold = Hold::Doubt { of, reading: self.read_names() };
        Ok(())
    }

    fn read_names(&self) -> Reading {
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
        let same = |plan: &Plan| catalog.as_ref().is_some_and(|catalog| self.means_the_same(plan, catalog));
        match of {
            Doubted::Answer(id) => {
                let plan = self.ops.get(&id).and_then(|op| op.plan.clone());
                let Some(plan) = plan else { return self.resume(id) };
                if same(&plan) {
                    if let Some(op) = self.ops.get_mut(&id) {
                        op.sure = if plan.runs_code() { Sure::Once } else { Sure::Always };
                    }
                } else {
                    self.withhold_changed(id, &plan)?;
                }
                self.resume(id)
            }
            Doubted::Approved { ready, decided, asked, script } => match same(&ready.plan) {
                true => self.decided(*ready, decided, Some(asked), script),
                false => self.refuse_changed(&ready, &decided, asked, script),
            },
        }
    }

    /// What of a Query is decided and not sent: the first whose names mean something else by now.
    pub(super) fn first_changed(&self) -> Option<usize> {
        let decided = self.script.as_ref().map_or(&[][..], |script| &script.decided);
        let changed = |ready: &Ready| {
            let plan = &ready.plan;
            plan.changes != self.catalog.changes
                && plan.reads_names()
                && !self.means_the_same(plan, &self.catalog)
        };
        decided.iter().position(|(ready, ..)| changed(ready))
    }

    /// Whether a statement is and does under this catalog what its plan says.
    fn means_the_same(&self, plan: &Plan, catalog: &Catalog) -> bool {
        if catalog.hash == plan.catalog {
            return true;
        }
        let again = |text: &str| {
            let statement = sql::parse(text).ok().filter(|all| all.len() == 1)?.pop();
            Some(self.make_plan(catalog, statement))
        };
        match &plan.analysis.by_name {
            // What a cursor reads was locked when it was opened.
            Some(ByName::Cursor(_)) => true,
            Some(ByName::Statement(name)) => {
                let prepared = self.prepared.get(name.as_bytes()).map(|p| (&p.text, &p.upstream));
                let prepared =
                    prepared.or_else(|| self.sql_prepared.get(name).map(|p| (&p.text, &p.upstream)));
                let (Some((text, upstream)), Some(known)) = (prepared, self.names.prepared.get(name)) else {
                    return false;
                };
                again(text).is_some_and(|now| now.text == *upstream && now.analysis.is_like(known))
            }
            None => plan.text().and_then(again).is_some_and(|now| {
                now.text == plan.text
                    && now.analysis.is_like(&plan.analysis)
                    && now.refuse.map(|why| why.code) == plan.refuse.map(|why| why.code)
            }),
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

/// The reason is another than what a rule has to say.
pub(super) fn without_words(decided: &Decided) -> Decided {
    let mut decided = decided.clone();
    decided.message = None;
    decided
}

pub(super) const NAMES_CHANGED: &str =
    "another session has changed what the statement's names mean, after it was decided";
pub(super) const NAMES_CHANGED_AFTER: &str = "the statement was carried out, and another session had changed what its \
    names mean, after it was decided: its answer stays with the gateway";
