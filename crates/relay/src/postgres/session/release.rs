//! Answers are decided too: before a piece leaves, and again when a class or a limit is first crossed.
//!
//! A refused answer ends with the protocol's error. Where upstream has nothing else to do for the client, its
//! transaction is made to fail as well and the session goes on; else the connection ends, since the client would be told
//! of a state that is not there.

use super::*;

impl Session {
    /// Whether an answer waits for a human, or for the catalog.
    pub(super) fn holds_answer(&self) -> bool {
        matches!(self.hold, Hold::Human { answer: Some(_), .. } | Hold::Doubt { of: Doubted::Answer(_), .. })
    }

    /// Looks at what has come of an answer and asks policy. `false`: it may not leave, now or at all.
    pub(super) fn look_at(&mut self, id: u64) -> Result<bool, Cut> {
        if !self.knows_names(id)? {
            return Ok(false);
        }
        let generation = self.resource.gate.generation();
        if self.releases.0 != generation {
            self.releases = (generation, self.resource.gate.decides_releases(&self.who));
        }
        let Some(op) = self.ops.get(&id).filter(|_| self.releases.1) else { return Ok(true) };
        let (Some(_), Some(plan)) = (op.intent, op.plan.clone()) else { return Ok(true) };
        self.with_op(id, |showing, _, _, scene, op| showing.look(scene, op))?;
        let (context, release) = self.release_ground(id, &plan);
        let Some(so_far) = release else { return Ok(true) };
        let key = (generation, so_far.rows, so_far.bytes, so_far.tripwires, context.classes.clone());
        if self.released.contains(&key) {
            return Ok(true);
        }
        let approved = self.ops.get(&id).map(|op| op.approved.clone()).unwrap_or_default();
        let ground = gate::Ground { release, ..plan.ground(&context) };
        let decided = self.resource.gate.verdict(&self.who, &ground, &approved);
        match decided.verdict.clone() {
            Verdict::Allow => {
                if approved.is_empty() && decided.cacheable {
                    if self.released.len() >= RELEASES_MAX {
                        self.released.clear();
                    }
                    self.released.insert(key);
                }
                Ok(true)
            }
            Verdict::Ask(groups) => self.ask_release(id, plan, decided, &groups).map(|()| false),
            Verdict::Refuse => self.withhold(id, &decided, "42501", HELD_BACK).map(|()| false),
        }
    }

    /// The answer so far, and its circumstances: the classes that it touches or that were found in it.
    pub(super) fn release_ground(&self, id: u64, plan: &Plan) -> (policy::Context, Option<policy::Release>) {
        let Some(op) = self.ops.get(&id) else { return (policy::Context::default(), None) };
        let governed = plan.analysis.governed.iter().map(|g| g.class.clone());
        let classes: BTreeSet<Class> = governed.chain(op.tripwires.iter().map(|t| t.class.clone())).collect();
        let context = policy::Context {
            classes: classes.into_iter().collect(),
            ..plan.context(self.tx() != Tx::Idle, &[])
        };
        (context, Some(policy::Release { rows: op.rows, bytes: op.bytes, tripwires: op.hits }))
    }

    /// Holds the answer and asks.
    fn ask_release(
        &mut self,
        id: u64,
        plan: Arc<Plan>,
        decided: Decided,
        groups: &[Group],
    ) -> Result<(), Cut> {
        let wait = self.longest_wait();
        if let Some(held) = self.holding().filter(|_| wait.is_zero()) {
            return self.withhold(id, &decided, "42501", held.why);
        }
        let ready = answer_of(plan);
        let now = entropy::wall();
        let expires = WallTime(now.0.saturating_add(wait.as_nanos() as u64));
        let ask = AskId(entropy::random());
        let of = self.ops.get(&id).and_then(|op| op.intent);
        let asked = {
            let question = self.question(&ready);
            self.resource.gate.ask(&question, &decided, of, ask, now, expires)
        };
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(GateError::InboxFull) => {
                return self.withhold(id, &decided, "42501", "too many requests wait for approval");
            }
            Err(GateError::NotShown) => return self.withhold(id, &decided, "42501", TOO_LONG_TO_SHOW),
            Err(error) => return Err(self.unrecorded(error)),
        };
        if let Some(receipt) = asked.receipt.take() {
            let notice = FromUpstream::Notice(waiting(ask, groups, wait));
            self.with_op(id, |showing, leaving, _, scene, _| {
                showing.say(scene, leaving, None, &notice, receipt)
            })?;
        }
        self.asked_expires = Some(expires);
        self.sleep_until(expires);
        let asks =
            Hold::Human { asked: Box::new(asked), ready: Box::new(ready), script: false, answer: Some(id) };
        self.behind = std::mem::replace(&mut self.hold, asks);
        Ok(())
    }

    /// A no to an answer: recorded, told, and the rest of it stays here.
    pub(super) fn withhold(
        &mut self,
        id: u64,
        decided: &Decided,
        code: &'static str,
        why: &'static str,
    ) -> Result<(), Cut> {
        let Some(op) = self.ops.get(&id) else { return Ok(()) };
        let (Some(intent), Some(plan)) = (op.intent, op.plan.clone()) else { return Ok(()) };
        let partial = op.chunks > 0;
        let goes_on = !plan.analysis.writes && self.nothing_but(id);
        let refused = {
            let ready = answer_of(plan);
            self.resource.gate.refuse(
                &self.question(&ready),
                decided,
                sqlstate5(code),
                why,
                Some(intent),
                partial,
            )
        };
        let receipt = refused.map_err(|e| self.unrecorded(e))?;
        let rules: Vec<&str> = decided.rules.iter().map(|r| &*r.0).collect();
        let held = refuse::hint_for(why);
        let message = decided.message.as_deref().filter(|_| held.is_none()).unwrap_or(why).to_owned();
        let detail = rules_detail(&rules, &message);
        let record = receipt.seq().0;
        let hint = held.map_or_else(|| ask_keeper(record), |hint| format!("{hint} (record {record})"));
        let by_policy = code == "42501";
        let mut fields = match by_policy {
            true => error(code, &message, Some(detail), Some(hint)),
            false => error(code, &message, None, Some(hint)),
        };
        if !goes_on {
            fields = fatal("42501", if by_policy { HELD_BACK_AFTER } else { NAMES_CHANGED_AFTER });
        }
        let told = FromUpstream::Error(fields);
        self.with_op(id, |showing, leaving, unsettled, scene, op| {
            op.withheld = true;
            showing.tell_finished(scene, leaving, unsettled)?;
            let head = op.looked.take().map(|looked| looked.head);
            showing.say(scene, leaving, head.filter(|_| goes_on), &told, receipt)
        })?;
        if !goes_on {
            return Err(Cut { why: "release", tell: None });
        }
        self.fail_due = true;
        if self.ops.get(&id).is_some_and(|op| !op.complete) {
            self.cancel_now();
        }
        Ok(())
    }

    /// Whether upstream has nothing to do for the client but this operation and the Sync behind it.
    fn nothing_but(&self, id: u64) -> bool {
        self.ops.iter().all(|(other, op)| *other == id || op.intent.is_none())
            && self.sends.is_empty()
            && self.script.is_none()
            && self.batch.sents.is_empty()
            && self.syncs == 1
            && self.client.input.is_empty()
    }

    /// After a human's word: what upstream said meanwhile, or the piece that waited.
    pub(super) fn resume(&mut self, id: u64) -> Result<(), Cut> {
        match self.held_event.take() {
            Some((event, frame)) => self.on_event(event, frame)?,
            None if self.ops.get(&id).is_some_and(|op| op.withheld) => {}
            None => self.piece(id)?,
        }
        self.on_upstream()
    }

    /// What still comes of an answer that was refused.
    pub(super) fn on_withheld(&mut self, id: u64, event: Event) -> Result<(), Cut> {
        match event.kind {
            Kind::Complete(command) => {
                if let Some(op) = self.ops.get_mut(&id) {
                    op.commits = command.command() == b"COMMIT";
                }
                self.apply(id);
                self.answered(id);
            }
            Kind::Suspended => {
                self.apply(id);
                self.answered(id);
            }
            Kind::Empty => self.answered(id),
            Kind::Error { fatal, .. } => {
                self.failed_in_flight = true;
                self.end_op(id, "refused", None);
                if fatal {
                    return Err(Cut { why: "upstream-fatal", tell: None });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes upstream's transaction fail, as the client was told that it has.
    pub(super) fn fail_upstream(&mut self) {
        let op = self.op(Op { silent: true, ..Op::new(1) });
        let sents = vec![Sent::hidden(op, What::Poison)];
        self.ahead.poison();
        self.queue(op, Outgoing::Control { control: Control::Poison, sents });
        self.sync();
    }
}

/// What policy's no to an answer says without words of a rule.
const HELD_BACK: &str = "policy holds the answer back";
const HELD_BACK_AFTER: &str = "the statement was carried out, and policy holds its answer back";

/// The answer to a statement, as something that is decided.
fn answer_of(plan: Arc<Plan>) -> Ready {
    Ready {
        plan,
        via: "release",
        params: Arc::default(),
        asked: Bytes::new(),
        sending: BytesMut::new(),
        sents: Vec::new(),
        named: Vec::new(),
        translated: false,
        offset: 0,
        describes: VecDeque::new(),
        executes: None,
        columns: None,
    }
}
