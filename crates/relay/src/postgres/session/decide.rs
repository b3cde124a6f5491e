//! One statement: planned, decided, asked about, permitted, or refused.

use super::*;
use crate::limits::{PARAM_SAID_BYTES_MAX, SAVEPOINTS_MAX, UNSETTLED_MAX};
use crate::postgres::text::{Behind, behind, text, whole};
use proto_postgres::message::Format;
use sql::Snapshot;

impl Session {
    // --- one statement: decide, ask, send, or refuse

    pub(super) fn statement(&mut self, ready: Ready, script: bool) -> Result<(), Cut> {
        if let Some(reason) = ready.plan.refuse {
            let decided = ready.plan.decided.clone();
            let position = position(&ready, reason.at);
            if ready.plan.absent().is_some() && self.tx() == Tx::Failed {
                self.refuse(&ready, &decided, "25P02", ABORTED, None, None)?;
                return self.after_refusal(script);
            }
            self.refuse(&ready, &decided, reason.code, reason.sentence, position, None)?;
            return self.after_refusal(script);
        }
        let gate = self.resource.gate.clone();
        if ready.params.iter().filter(|p| p.print.is_some()).count() > PRINTS_MAX {
            let decided = ready.plan.decided.clone();
            let why = "the statement has more sensitive values than one record holds; split it";
            self.refuse(&ready, &decided, "54000", why, None, None)?;
            return self.after_refusal(script);
        }
        if let Some(why) = self.too_long(&ready.plan) {
            let decided = ready.plan.decided.clone();
            self.refuse(&ready, &decided, "54000", why, None, None)?;
            return self.after_refusal(script);
        }
        let mut decided = ready.plan.verdict(&gate, &self.who, || self.context(&ready), &BTreeSet::new());
        if let Verdict::Ask(_) = decided.verdict {
            let standing = gate.standing(&self.question(&ready), &decided, entropy::wall());
            if !standing.is_empty() {
                decided = ready.plan.verdict(&gate, &self.who, || self.context(&ready), &standing);
            }
        }
        match &decided.verdict {
            Verdict::Allow => self.decided(ready, decided, None, script),
            Verdict::Refuse => {
                self.refuse(&ready, &decided, "42501", REFUSED, None, None)?;
                self.after_refusal(script)
            }
            Verdict::Ask(groups) => {
                let groups = groups.clone();
                self.ask(ready, decided, &groups, script)
            }
        }
    }

    /// What became of each statement of a transaction is told when it ends: of how many is bounded. What ends it, or goes back
    /// in it, goes on.
    fn too_long(&self, plan: &Plan) -> Option<&'static str> {
        let effects = &plan.analysis.effects;
        let saves = effects.iter().any(|effect| matches!(effect, Effect::Savepoint { .. }));
        if saves && self.fates.savepoints() >= SAVEPOINTS_MAX {
            return Some(
                "the transaction has more savepoints than the gateway follows: release some, or end it",
            );
        }
        let turns = |effect: &Effect| {
            matches!(effect, Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo { .. })
        };
        (self.unsettled.len() >= UNSETTLED_MAX && self.tx() != Tx::Idle && !effects.iter().any(turns))
            .then_some("the transaction has more statements than the gateway follows: end it")
    }

    pub(super) fn decided(
        &mut self,
        ready: Ready,
        decided: Arc<Decided>,
        asked: Option<Seq>,
        script: bool,
    ) -> Result<(), Cut> {
        match (&mut self.script, script) {
            (Some(script), true) => {
                script.decided.push((ready, decided, asked));
                Ok(())
            }
            _ => self.send(ready, &decided, asked),
        }
    }

    /// Records the intent and queues the bytes behind it.
    pub(super) fn send(&mut self, ready: Ready, decided: &Decided, asked: Option<Seq>) -> Result<(), Cut> {
        let intent = {
            let question = self.question(&ready);
            self.resource
                .gate
                .intend(&question, decided, asked, entropy::tick())
                .map_err(|e| self.unrecorded(e))?
        };
        let seq = intent.seq();
        let barrier = ready.plan.is_barrier() && ready.via != "parse" && ready.via != "describe";
        let mut op = Op::new(ready.sents.len());
        op.intent = Some(seq);
        op.translated = ready.translated;
        op.offset = ready.offset;
        op.script = if ready.translated { self.scripts } else { 0 };
        let last = self.script.as_ref().is_none_or(|script| script.rest.is_empty());
        op.owes_sync = ready.translated && ready.plan.copies_in() && last;
        op.named = ready.named;
        self.unsynced = true;
        op.columns = ready.columns;
        (op.describes, op.executes) = (ready.describes, ready.executes);
        op.reel_left = match self.resource.config.reel {
            Reel::Full => u64::MAX,
            Reel::Head { bytes } => bytes,
            Reel::None => 0,
        };
        let executes = matches!(ready.via, "query" | "execute");
        op.plan = Some(ready.plan.clone());
        op.changes = ready.plan.changes;
        op.stands = self.stands_for(&ready.plan);
        let op = self.op(op);
        if executes {
            self.runs(op, &ready.plan);
        }
        let sents = ready.sents.into_iter().map(|(what, hidden)| Sent { op, what, hidden }).collect();
        let pass = match intent.overtake() {
            Ok((permit, _covered_by_the_outcome)) => Pass::Ready(Some(permit)),
            Err(intent) => Pass::Waiting(Box::new(intent)),
        };
        let since = entropy::tick().0;
        self.queue(op, Outgoing::Permitted { pass, bytes: ready.sending, sents, since });
        if barrier {
            self.control(Control::Flush, Vec::new());
            self.hold = Hold::Barrier { op };
        }
        Ok(())
    }

    pub(super) fn ask(
        &mut self,
        ready: Ready,
        decided: Arc<Decided>,
        groups: &[Group],
        script: bool,
    ) -> Result<(), Cut> {
        if !self.ops.is_empty() {
            // Decided again once upstream has answered what came before.
            self.control(Control::Flush, Vec::new());
            self.hold = Hold::Flight { ready: Box::new(ready), decided, script };
            return Ok(());
        }
        if self.flow.skipping() {
            // Upstream skips it, whatever a human says, and so is what the client is told of it.
            self.refuse(&ready, &decided, "25P02", ABORTED, None, None)?;
            return self.after_refusal(script);
        }
        let wait = self.longest_wait();
        if let Some(held) = self.holding().filter(|_| wait.is_zero()) {
            self.refuse(&ready, &decided, held.code, held.why, None, None)?;
            return self.after_refusal(script);
        }
        let now = entropy::wall();
        let expires = WallTime(now.0.saturating_add(wait.as_nanos() as u64));
        let id = AskId(entropy::random());
        let asked = {
            let question = self.question(&ready);
            self.resource.gate.ask(&question, &decided, None, id, now, expires)
        };
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(GateError::InboxFull) => {
                self.refuse(&ready, &decided, "53000", "too many requests wait for approval", None, None)?;
                return self.after_refusal(script);
            }
            Err(GateError::NotShown) => {
                let decided = without_words(&decided);
                self.refuse(&ready, &decided, "54000", TOO_LONG_TO_SHOW, None, None)?;
                return self.after_refusal(script);
            }
            Err(error) => return Err(self.unrecorded(error)),
        };
        self.showing.show_message(&FromUpstream::Notice(waiting(id, groups, wait)));
        if let Some(receipt) = asked.receipt.take() {
            self.showing.cover(receipt);
        }
        self.flush(None)?;
        self.asked_expires = Some(expires);
        self.sleep_until(expires);
        self.hold = Hold::Human { asked: Box::new(asked), ready: Box::new(ready), script, answer: None };
        Ok(())
    }

    /// All that came before the statement is answered.
    pub(super) fn after_flight(&mut self) -> Result<(), Cut> {
        match std::mem::replace(&mut self.hold, Hold::No) {
            Hold::Flight { ready, script, .. } => self.statement(*ready, script),
            other => {
                self.hold = other;
                Ok(())
            }
        }
    }

    /// The human has answered, or has not in time (`None`).
    pub(super) fn on_answer(&mut self, answer: Option<Answer>) -> Result<(), Cut> {
        let Hold::Human { .. } = self.hold else { return Ok(()) };
        let behind = std::mem::replace(&mut self.behind, Hold::No);
        let Hold::Human { asked, ready, script, answer: of } = std::mem::replace(&mut self.hold, behind)
        else {
            return Ok(());
        };
        self.asked_expires = None;
        self.timer = None;
        let seq = asked.seq;
        let spent = {
            let question = self.question(&ready);
            let (context, release) = match of {
                Some(op) => self.release_ground(op, &ready.plan),
                None => (self.context(&ready), None),
            };
            let ground = gate::Ground { release, ..ready.plan.ground(&context) };
            self.resource.gate.spend(*asked, answer, &question, &ground, entropy::wall())
        };
        match (spent.map_err(|e| self.unrecorded(e))?, of) {
            (Spent::Allowed(decided), None) => self.approved(ready, decided, seq, script),
            (Spent::Refused(decided, why), None) => {
                self.refuse(&ready, &decided, "42501", why, None, Some(seq))?;
                self.after_refusal(script)
            }
            (Spent::Allowed(decided), Some(op)) => {
                if let Some(op) = self.ops.get_mut(&op) {
                    op.approved = decided.approved.clone();
                }
                self.resume(op)
            }
            (Spent::Refused(decided, why), Some(op)) => {
                self.withhold(op, &decided, "42501", why)?;
                self.resume(op)
            }
        }
    }

    pub(super) fn question<'a>(&'a self, ready: &'a Ready) -> Question<'a> {
        Question {
            who: &self.who,
            via: ready.via,
            subject: &ready.plan.subject,
            params: ready.params.clone(),
            prints: ready.plan.prints(&self.resource.gate),
            tripwires: &[],
            tx: self.tx(),
            said: ready.plan.text(),
            asking: gate::Asking::Statement,
            shows: &[],
            body: None,
            whole: None,
            changes: None,
            asked: &ready.asked,
            sending: &ready.sending,
            again: None,
            pure_read: ready.plan.analysis.pure_read && self.reads_only(),
        }
    }

    pub(super) fn context(&self, ready: &Ready) -> policy::Context {
        let mut context = ready.plan.context(self.tx() != Tx::Idle, &ready.params);
        let decided =
            self.question(ready).saying().and_then(|said| self.resource.gate.decided(&self.who, &said));
        context.decided = decided.map(|(how, _)| how.as_str().into());
        context.decided_by_result = decided.is_some_and(|(_, told)| told);
        context
    }

    /// Only on a session that is read-only upstream may a read overtake its intent.
    pub(super) fn reads_only(&self) -> bool {
        self.pins.read_only
    }

    // --- plans

    /// `types`: of users' own, given to its parameters: what is remembered of the text alone is not enough then.
    pub(super) fn plan_text(&mut self, text: &Arc<str>, types: Arc<[u32]>) -> Result<Arc<Plan>, ParseError> {
        self.renew_plans();
        if let Some(plan) = self.plans.get(text).filter(|_| types.is_empty()) {
            return Ok(plan.clone());
        }
        let mut statements = sql::parse(text)?;
        if statements.len() > 1 {
            return Err(ParseError::new(
                "42601",
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let plan = Arc::new(self.planned(statements.pop(), types));
        self.keep(text.clone(), plan.clone());
        Ok(plan)
    }

    pub(super) fn plan_of(&mut self, statement: &Statement) -> Arc<Plan> {
        self.renew_plans();
        if let Some(plan) = self.plans.get(statement.text()) {
            return plan.clone();
        }
        let text: Arc<str> = statement.text().into();
        // One out of a plan that was thrown away since has no tree any more; what was read once is read again alike.
        let whole = match statement.is_bare() {
            true => sql::parse(&text).ok().and_then(|mut all| all.pop().filter(|_| all.is_empty())),
            false => None,
        };
        let whole = whole.unwrap_or_else(|| statement.clone());
        let plan = Arc::new(self.planned(Some(whole), Arc::default()));
        self.keep(text, plan.clone());
        plan
    }

    pub(super) fn make_plan(
        &self,
        catalog: &Catalog,
        statement: Option<Statement>,
        types: Arc<[u32]>,
    ) -> Plan {
        let named = SessionNames { names: &self.names, behind: &|name| self.behind(name) };
        let in_transaction = self.tx() != Tx::Idle;
        Plan::make(&self.resource, &self.who, self.pins, catalog, named, in_transaction, (statement, types))
    }

    /// A text without a statement, or messages that no statement is behind.
    pub(super) fn plan_of_nothing(&mut self) -> Arc<Plan> {
        self.renew_plans();
        if let Some(plan) = self.plans.get("") {
            return plan.clone();
        }
        let plan = Arc::new(self.make_plan(&self.catalog, None, Arc::default()));
        self.keep("".into(), plan.clone());
        plan
    }

    /// A name was not found: somebody may have made it meanwhile. Then the catalog is read again, once.
    pub(super) fn wants_fresh(&mut self, plan: &Plan) -> bool {
        let age = entropy::tick().0.saturating_sub(self.read_at);
        let wanted = plan.analysis.unresolved
            && u128::from(age) > CATALOG_DOUBT.as_nanos()
            && self.flow.tx() != TxStatus::Failed
            && !self.flow.skipping();
        if wanted {
            self.catalog_dirty = true;
            self.plans.clear();
        }
        wanted
    }

    pub(super) fn keep(&mut self, text: Arc<str>, plan: Arc<Plan>) {
        if plan.volatile || !plan.types.is_empty() {
            return;
        }
        if self.plans.len() >= ANALYSES_MAX {
            self.plans.clear();
        }
        self.plans.insert(text, plan);
    }

    /// Throws plans away if policy has changed.
    pub(super) fn renew_plans(&mut self) {
        let generation = self.resource.gate.generation();
        if generation != self.generation {
            self.generation = generation;
            self.epoch += 1;
            self.plans.clear();
        }
    }

    /// The values of a Bind, as they are recorded and decided. `None`: one is in a form that nobody can look into.
    pub(super) fn params(&mut self, bind: &Bind, prepared: &Prepared) -> Option<Arc<[Param]>> {
        let detectors = self.resource.gate.detectors().clone();
        bind.params
            .iter()
            .enumerate()
            .map(|(i, value)| {
                let kind = prepared.types.get(i).copied().unwrap_or(0);
                let format = bind.param_format(i).code();
                let shape = match kind {
                    0 => Shape::Text,
                    kind => Shape::of_postgres(kind, format == 1),
                };
                let bytes = value.as_ref().map(RawField::as_bytes);
                if let Some(bytes) = bytes {
                    self.showing.look.known.remember(Origin::Echo, bytes);
                }
                let (mask, findings) = mask::param(&detectors, "parameter", shape, bytes);
                let mut found: Vec<Class> = findings.into_iter().map(|f| f.class).collect();
                let binary = bytes.filter(|_| format == 1 && kind != 0);
                match binary.map_or(Behind::Nothing, |bytes| behind(&self.catalog.snapshot, kind, bytes)) {
                    Behind::Text(text) => {
                        let mut findings = Vec::new();
                        detectors.scan_deep(&text, &mut findings);
                        found.extend(findings.into_iter().map(|f| f.class));
                    }
                    Behind::Nothing => {}
                    Behind::Blind => return None,
                }
                // Under the text in which it is asked for.
                let print = found.first().zip(bytes).map(|(class, bytes)| {
                    let value = match binary {
                        Some(_) => text(&self.catalog.snapshot, kind, Format::Binary, bytes),
                        None => bytes.into(),
                    };
                    self.resource.gate.ledger().print(class, &value)
                });
                let classes: BTreeSet<Class> = found.into_iter().collect();
                let size = bytes.map_or(-1, |b| b.len() as i64);
                let said = bytes.and_then(|bytes| said(&self.catalog.snapshot, kind, format, bytes));
                Some(Param { kind, format, size, mask, classes: classes.into_iter().collect(), print, said })
            })
            .collect()
    }

    pub(super) fn op(&mut self, op: Op) -> u64 {
        let id = self.next_op;
        self.next_op += 1;
        self.ops.insert(id, Box::new(op));
        id
    }
}

/// A parameter's value as a model would write it: text. `None`: it has none that says all of it and nothing else.
fn said(types: &Snapshot, kind: u32, format: u16, bytes: &[u8]) -> Option<Box<str>> {
    let value = match (format, kind) {
        _ if bytes.len() > PARAM_SAID_BYTES_MAX => return None,
        (0, _) => bytes.into(),
        // Upstream knows of which type it is, and nobody here does.
        (_, 0) => return None,
        (_, kind) => whole(types, kind, bytes)?,
    };
    let short = value.len() <= PARAM_SAID_BYTES_MAX;
    std::str::from_utf8(&value).ok().filter(|_| short).map(Into::into)
}

/// What the client is told where a human would have to approve what cannot be shown.
pub(super) const TOO_LONG_TO_SHOW: &str =
    "this needs an approval, and it cannot be shown whole to who could give it";

/// What the client is told while a human is asked.
pub(super) fn waiting(id: AskId, groups: &[Group], wait: Duration) -> Fields {
    let names: Vec<&str> = groups.iter().map(|g| &*g.0).collect();
    let text = format!("waiting for approval {id} by {} (expires in {} s)", names.join(", "), wait.as_secs());
    Fields::new("NOTICE", "01000", Bytes::from(text))
}
