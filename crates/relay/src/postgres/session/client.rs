//! What the client says: a Query, the extended messages, COPY data.

use proto_postgres::message::UNKNOWN_FORMAT;
use wire::kind;

use super::named::{NAME_CUT, names_cut};
use super::*;

const NO_LOOK: &str = "a parameter in binary format is too deep, too long as text, or not of its type's form";

const LAPSED: &str = "policy allowed this statement, or somebody approved it, and that no longer holds now that the whole text is decided";
const NOT_UTF8: &str = "the statement is not UTF-8";

impl Session {
    // --- the client's side

    /// Looks at the client's messages as far as it may.
    pub(super) fn pump(&mut self) -> Result<(), Cut> {
        self.wants_more = false;
        // A cancel on its way must not meet the statement behind the one that it is for.
        if self.cancelling.is_some() {
            return Ok(());
        }
        loop {
            match &self.hold {
                Hold::No => {}
                Hold::Barrier { op } if !self.ops.contains_key(op) => self.hold = Hold::No,
                // It reads no names; and what upstream says of a COMMIT leaves with how the transaction ended, not before.
                Hold::Barrier { op } if self.syncs_behind(*op) => {}
                Hold::Flight { .. } if self.ops.is_empty() && self.sends.is_empty() => {
                    self.after_flight()?;
                    continue;
                }
                Hold::Human { .. }
                | Hold::Barrier { .. }
                | Hold::Refresh(_)
                | Hold::Flight { .. }
                | Hold::Doubt { .. } => return Ok(()),
            }
            if self.upstream.writer.out.len() > QUEUE_BYTES_MAX || self.sends.len() > 4_096 {
                return Ok(());
            }
            // The client waits, as it does for the database, until some of them have their answers.
            if self.flow.outstanding() + self.unsent > AHEAD_MAX {
                return Ok(());
            }
            if let Some(script) = self.script.as_ref().filter(|_| self.copy.is_none()) {
                let next = script.rest.front().is_some_and(|next| self.asks_names(next));
                if !script.begins() && (next || script.has_read_names()) && self.needs_refresh() {
                    return self.begin_refresh();
                }
                self.just_read = false;
                self.script_step()?;
                continue;
            }
            if let Some(frame) = &self.stash
                && (self.needs_refresh() || self.names_unsure(frame))
            {
                return self.begin_refresh();
            }
            if let Some(frame) = self.stash.take() {
                self.just_read = false;
                self.on_client(frame)?;
                continue;
            }
            if self.batch.sents.len() >= BATCH_MAX {
                self.cover("describe")?;
            }
            match self.client.decoder.next_or_skipped(&mut self.client.input)? {
                Some(Incoming::Frame(frame)) => {
                    if self.needs_refresh() && self.asks_names_in(&frame) || self.names_unsure(&frame) {
                        self.stash = Some(frame);
                        return self.begin_refresh();
                    }
                    self.on_client(frame)?;
                }
                Some(Incoming::Skipped(skipped)) => self.on_skipped(skipped)?,
                None => {
                    self.wants_more = true;
                    return Ok(());
                }
            }
        }
    }

    /// Whether the client's next message is the Sync behind an operation that does not take what the client sends.
    fn syncs_behind(&self, op: u64) -> bool {
        let copies = self.ops.get(&op).and_then(|op| op.plan.as_ref()).is_none_or(|plan| plan.copies_in());
        let alone = self.script.is_none() && self.stash.is_none() && self.copy.is_none() && !copies;
        let sync = self.client.input.first() == Some(&tag::SYNC);
        alone && sync && self.syncs == 0 && !self.client.decoder.is_skipping()
    }

    /// Whether what is said of this message depends on what names mean. A Query's statements are looked at one by one.
    fn asks_names_in(&self, frame: &Frame) -> bool {
        if self.copy.is_some() || self.skipping {
            return false;
        }
        // What cannot be read is told where it is taken up.
        let Ok(message) = FromClient::decode(frame) else { return false };
        let plan = match message {
            FromClient::Parse(parse) => {
                let parsed = parse.sql.to_str().map(sql::parse);
                let Some(Ok(statements)) = parsed else { return false };
                return statements.iter().any(|statement| self.asks_names(statement));
            }
            FromClient::Bind(bind) => self.prepared.get(bind.statement.as_bytes()).map(|found| &found.plan),
            FromClient::Execute { portal, .. } => {
                self.portals.get(portal.as_bytes()).map(|found| &found.plan)
            }
            _ => None,
        };
        let statement = plan.and_then(|plan| plan.statement.as_ref());
        statement.is_some_and(|statement| self.asks_names(statement))
    }

    pub(super) fn on_client(&mut self, frame: Frame) -> Result<(), Cut> {
        let message = match FromClient::decode(&frame) {
            Err(fault) if frame.tag == tag::BIND && fault.kind == kind::BAD_VALUE && self.copy.is_none() => {
                return self.on_bad_bind(&frame, &fault);
            }
            decoded => decoded?,
        };
        if let FromClient::Terminate = message {
            self.client.input.clear();
            self.closes();
            return Ok(());
        }
        if self.copy.is_some() {
            return self.on_copy(message, &frame);
        }
        if self.skipping {
            return match message {
                FromClient::Sync => self.on_sync(),
                _ => Ok(()),
            };
        }
        if let Some(via) = names_cut(&message) {
            return self.refuse_message(via, &frame, "42622", NAME_CUT);
        }
        match message {
            FromClient::Query { sql } => self.on_query(&sql, &frame),
            FromClient::Parse(parse) => self.on_parse(parse, &frame),
            FromClient::Bind(bind) => self.on_bind(bind, &frame),
            FromClient::Describe(target) => self.on_describe(target, &frame),
            FromClient::Execute { portal, .. } => self.on_execute(&portal, &frame),
            FromClient::Close(target) => self.on_close(target, &frame),
            FromClient::Sync => self.on_sync(),
            FromClient::Flush => {
                self.cover("describe")?;
                self.control(Control::Flush, Vec::new());
                Ok(())
            }
            FromClient::FunctionCall(_) => self.refuse_message(
                "function-call",
                &frame,
                "0A000",
                "the function call message is not supported: call the function in a statement",
            ),
            // Left over from a COPY that has failed: PostgreSQL drops them too.
            FromClient::CopyData(_) | FromClient::CopyDone | FromClient::CopyFail { .. } => Ok(()),
            FromClient::PasswordLike(_) => Err(Cut {
                why: "protocol",
                tell: Some(fatal("08P01", "a password message after login is not allowed")),
            }),
            FromClient::Terminate => Ok(()),
        }
    }

    /// Its frame is whole and what it says of its values is not: an error and no end, as at the server.
    fn on_bad_bind(&mut self, frame: &Frame, fault: &Fault) -> Result<(), Cut> {
        if self.skipping {
            return Ok(());
        }
        let code = if fault.outward == UNKNOWN_FORMAT { "22023" } else { "08P01" };
        self.refuse_message("bind", frame, code, fault.outward)
    }

    // --- a Query

    pub(super) fn on_query(&mut self, sql: &RawField, frame: &Frame) -> Result<(), Cut> {
        self.cover("describe")?;
        if self.skipping {
            // What stood before it was refused, and PostgreSQL skips it up to a Sync.
            return Ok(());
        }
        let asked = raw(frame);
        let Some(text) = sql.to_str() else {
            return self.refuse_query(asked, "", ParseError::new("22021", NOT_UTF8));
        };
        // Where the plan of the text is known, so is what stands in it.
        let known = self.plans.get(text).and_then(|plan| plan.whole_text());
        match known.map_or_else(|| sql::parse(text), |statement| Ok(vec![statement.clone()])) {
            Ok(statements) => {
                let empty = statements.is_empty();
                let alone = (statements.len() == 1).then(|| text.into());
                self.several = statements.len() > 1;
                self.last_statement = sql.to_bytes();
                self.scripts += 1;
                let id = self.scripts;
                self.script = Some(Script {
                    id,
                    asked,
                    alone,
                    rest: statements.into(),
                    decided: Vec::new(),
                    empty,
                    turns: false,
                    known: false,
                });
                Ok(())
            }
            Err(parse) => self.refuse_query(asked, text, parse),
        }
    }

    /// The error with which PostgreSQL itself would end this statement of a Query, before it looks at what it does.
    fn no_go(&self, ready: &Ready) -> Option<(&'static str, &'static str, Option<usize>)> {
        let plan = &ready.plan;
        let alone = plan.stands_alone().filter(|_| self.several);
        let found = if plan.absent().is_some() {
            plan.refuse.map(|reason| (reason.code, reason.sentence, reason.at))
        } else if let Some(why) = alone {
            Some(("25001", why, None))
        } else if plan.lacks_parameters() {
            let at = plan.statement.as_ref().and_then(Statement::first_parameter);
            Some(("42P02", "there is no parameter $1", at))
        } else {
            None
        };
        let failed = self.tx() == Tx::Failed && self.script.as_ref().is_none_or(|script| !script.turns);
        found.map(|found| if failed { ("25P02", ABORTED, None) } else { found })
    }

    /// While it was decided, which may take a human's while, names came to mean something else: nothing of it is sent.
    pub(super) fn refuse_script(&mut self, changed: usize) -> Result<(), Cut> {
        self.refuse_decided(changed, "40001", NAMES_CHANGED)
    }

    /// Nothing of a Query that is decided is sent: for what is said of this statement of it.
    fn refuse_decided(&mut self, at: usize, code: &'static str, why: &'static str) -> Result<(), Cut> {
        let decided = self.script.as_mut().map(|script| std::mem::take(&mut script.decided));
        let Some((ready, verdict, asked)) = decided.and_then(|mut all| all.drain(at..).next()) else {
            return Ok(());
        };
        self.refuse(&ready, &without_words(&verdict), code, why, None, asked)?;
        self.after_refusal(true)
    }

    /// What of a Query is decided and not sent: the first that policy would not let go by now. While people were asked about
    /// one statement of it, time went on for the others.
    fn first_lapsed(&mut self) -> Option<usize> {
        let decided = std::mem::take(&mut self.script.as_mut()?.decided);
        let asked = decided.iter().any(|(.., asked)| asked.is_some());
        let mut lapsed = None;
        for (at, (ready, verdict, seq)) in decided.into_iter().enumerate() {
            // In the transaction in which it would run: behind those before it.
            if asked && lapsed.is_none() && !self.still_goes(&ready, &verdict) {
                lapsed = Some(at);
            }
            if let Some(script) = &mut self.script {
                script.decided.push((ready, verdict, seq));
            }
        }
        lapsed
    }

    fn still_goes(&self, ready: &Ready, decided: &Decided) -> bool {
        let context = self.context(ready);
        let ground = ready.plan.ground(&context);
        self.resource.gate.still(&self.question(ready), &ground, decided, entropy::wall())
    }

    /// Decides the next statement of the text, or sends all that are decided.
    pub(super) fn script_step(&mut self) -> Result<(), Cut> {
        let refresh = self.needs_refresh();
        let Some(script) = &mut self.script else { return Ok(()) };
        let barrier = script.decided.last().is_some_and(|(ready, _, _)| ready.plan.is_barrier())
            || refresh && script.begins() && script.next_reads_names();
        if !barrier && let Some(statement) = script.rest.pop_front() {
            let (asked, alone) = (script.asked.clone(), script.alone.take());
            let plan = self.plan_of(&statement);
            if let Some(text) = alone {
                self.keep(text, plan.clone());
            }
            if self.wants_fresh(&plan)
                && let Some(script) = &mut self.script
            {
                script.rest.push_front(statement);
                return Ok(());
            }
            let ready = Ready { offset: statement.characters_before(), ..self.translate(plan, asked) };
            if let Some((code, why, at)) = self.no_go(&ready) {
                if let Some(lapsed) = self.first_lapsed() {
                    return self.refuse_decided(lapsed, "42501", LAPSED);
                }
                // An error and no refusal: what stands before it runs, as it does directly.
                let before = self.script.as_mut().map(|script| std::mem::take(&mut script.decided));
                for (ready, verdict, asked) in before.unwrap_or_default() {
                    self.send(ready, &verdict, asked)?;
                }
                let decided = ready.plan.decided.clone();
                self.refuse(&ready, &decided, code, why, position(&ready, at), None)?;
                return self.after_refusal(true);
            }
            let turn = |effect: &Effect| {
                matches!(effect, Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo { .. })
            };
            if let Some(script) = &mut self.script {
                script.turns |= ready.plan.analysis.effects.iter().any(turn);
            }
            return self.statement(ready, true);
        }
        if script.decided.is_empty() && script.empty {
            script.empty = false;
            let asked = script.asked.clone();
            let plan = self.plan_of_nothing();
            let ready = self.translate(plan, asked);
            return self.statement(ready, true);
        }
        if self.doubts_script() {
            let reading = self.read_names();
            self.hold = Hold::Doubt { of: Doubted::Script, reading };
            return Ok(());
        }
        if let Some(changed) = self.first_changed(&self.catalog) {
            return self.refuse_script(changed);
        }
        if let Some(lapsed) = self.first_lapsed() {
            return self.refuse_decided(lapsed, "42501", LAPSED);
        }
        let Some(script) = &mut self.script else { return Ok(()) };
        let decided = std::mem::take(&mut script.decided);
        let done = script.rest.is_empty();
        let copies = decided.last().is_some_and(|(ready, _, _)| ready.plan.copies_in());
        for (ready, verdict, asked) in decided {
            self.send(ready, &verdict, asked)?;
        }
        match (done, copies) {
            // The Sync comes behind the copy's end.
            (true, true) => self.script = None,
            (true, false) => {
                self.script = None;
                self.sync();
            }
            (false, _) => {}
        }
        Ok(())
    }

    /// A statement of a Query as extended messages: DESIGN section 8, L3, and `proto_postgres::session`.
    pub(super) fn translate(&mut self, plan: Arc<Plan>, asked: Bytes) -> Ready {
        let empty = RawField::from_static(b"");
        let messages = [
            FromClient::Parse(Parse {
                statement: empty.clone(),
                sql: RawField::copy_from(plan.text.as_bytes()),
                types: Vec::new(),
            }),
            FromClient::Bind(Bind {
                portal: empty.clone(),
                statement: empty.clone(),
                param_formats: Vec::new(),
                params: Vec::new(),
                result_formats: Vec::new(),
            }),
            FromClient::Describe(Target::Portal(empty.clone())),
            FromClient::Execute { portal: empty, rows_max: 0 },
        ];
        let mut sents = vec![
            (What::Parse, true),
            (What::Bind, true),
            (What::DescribePortal, false),
            (What::Execute, false),
        ];
        if plan.statement.is_none() {
            // Upstream would not bind it in a failed transaction, where a Query without a statement is no error.
            sents.truncate(1);
        }
        let mut sending = BytesMut::new();
        for message in messages.iter().take(sents.len()) {
            // Our own constants and a text that a frame held before.
            let _fits = message.encode(&mut sending);
        }
        self.prepared.remove(&Bytes::new());
        self.portals.remove(&Bytes::new());
        Ready {
            params: self.bound(&plan),
            plan,
            via: "query",
            asked,
            sending,
            sents,
            named: Vec::new(),
            translated: true,
            offset: 0,
            describes: VecDeque::new(),
            executes: None,
            columns: None,
        }
    }

    pub(super) fn refuse_query(&mut self, asked: Bytes, text: &str, why: ParseError) -> Result<(), Cut> {
        self.refuse_text("query", asked, text, why)?;
        self.skipping = false;
        self.script = None;
        self.sync();
        Ok(())
    }

    /// Refuses a text that is no statement.
    fn refuse_text(
        &mut self,
        via: &'static str,
        asked: Bytes,
        text: &str,
        why: ParseError,
    ) -> Result<(), Cut> {
        let plan = self.unreadable(why.said);
        let ready = Ready { translated: via == "query", ..Ready::said(via, plan, asked) };
        let position = why.at.and_then(|at| text.get(..at)).map(|before| before.chars().count() as u32 + 1);
        let decided = ready.plan.decided.clone();
        self.refuse(&ready, &decided, why.code, why.sentence, position, None)
    }

    /// A plan for what cannot be read: opaque, and refused. `said`: why, as PostgreSQL says it.
    pub(super) fn unreadable(&mut self, said: Option<String>) -> Arc<Plan> {
        let mut plan = self.make_plan(&self.catalog, None, Arc::default());
        let masked = MaskedText::constant("[a statement that cannot be read]");
        let detectors = self.resource.gate.detectors();
        plan.subject = Subject::new(detectors, plan.action().clone(), masked, None, &[]);
        plan.said = said;
        Arc::new(plan)
    }

    // --- extended messages

    pub(super) fn on_parse(&mut self, parse: Parse, frame: &Frame) -> Result<(), Cut> {
        let name = parse.statement.to_bytes();
        if name.is_empty() {
            // Whatever comes of this one, it takes the place of the one before.
            self.close_statement(&name);
        }
        let Some(text) = parse.sql.to_str() else {
            return self.refuse_message("parse", frame, "22021", NOT_UTF8);
        };
        let of_sql = std::str::from_utf8(&name).is_ok_and(|name| self.sql_prepared.contains_key(name));
        if !name.is_empty() && (self.prepared.contains_key(&name) || of_sql) {
            let why = "a prepared statement of this name exists already";
            return self.refuse_name("parse", frame, "42P05", why, &parse.statement);
        }
        if self.prepared.len() >= PREPARED_MAX {
            return self.refuse_message(
                "parse",
                frame,
                "54000",
                "too many prepared statements in one session",
            );
        }
        let text: Arc<str> = text.into();
        let plan = match self.plan_text(&text, own_types(&parse.types)) {
            Ok(plan) => plan,
            Err(why) => return self.refuse_text("parse", raw(frame), &text, why),
        };
        if self.wants_fresh(&plan) {
            self.stash = Some(frame.clone());
            return Ok(());
        }
        if self.batch.plan.is_some() {
            self.cover("parse")?;
        }
        if self.skipping {
            return Ok(());
        }
        self.last_statement = parse.sql.to_bytes();
        let ready = Ready::said("parse", plan.clone(), raw(frame));
        if let Some(reason) = plan.refuse.filter(|_| !plan.is_named_later()) {
            let decided = plan.decided.clone();
            return self.refuse(
                &ready,
                &decided,
                reason.code,
                reason.sentence,
                position(&ready, reason.at),
                None,
            );
        }
        let context = || self.context(&ready);
        let decided = plan.verdict(&self.resource.gate, &self.who, context, &BTreeSet::new());
        if decided.verdict == Verdict::Refuse {
            return self.refuse(&ready, &decided, "42501", REFUSED, None, None);
        }
        // An ask is put when it is executed.
        let upstream = plan.text.clone();
        let message = FromClient::Parse(Parse {
            statement: parse.statement.clone(),
            sql: RawField::copy_from(upstream.as_bytes()),
            types: parse.types.clone(),
        });
        self.batch(frame, &message, What::Parse, false)?;
        self.batch.plan = Some(plan.clone());
        let since = self.next_op;
        self.batch.named.push(Named::Statement(name.clone(), since));
        self.gives(&name);
        // An EXECUTE in SQL is decided by what is known of the statement: of this one that is not enough.
        if !name.is_empty() && plan.refuse.is_none() {
            let key = String::from_utf8(name.to_vec()).unwrap_or_default();
            self.names.prepared.insert(key, plan.analysis.clone());
        }
        let (epoch, flight) = (self.epoch, self.flight);
        self.prepared
            .insert(name, Prepared { text, plan, epoch, types: parse.types, upstream, flight, since });
        Ok(())
    }

    pub(super) fn on_bind(&mut self, bind: Bind, frame: &Frame) -> Result<(), Cut> {
        let Some(prepared) = self.prepared.get(bind.statement.as_bytes()).cloned() else {
            let why = "there is no prepared statement of this name";
            return self.refuse_name("bind", frame, "26000", why, &bind.statement);
        };
        // What is sent for this one is not another's.
        if self.is_apart(&prepared.plan)? {
            return Ok(());
        }
        if self.portals.len() >= PORTALS_MAX {
            return self.refuse_message("bind", frame, "54000", "too many portals in one session");
        }
        let prepared = match self.renewed(&bind.statement, prepared)? {
            Ok(prepared) => prepared,
            Err((code, sentence)) => return self.refuse_message("bind", frame, code, sentence),
        };
        let Some(params) = self.params(&bind, &prepared) else {
            return self.refuse_message("bind", frame, "54000", NO_LOOK);
        };
        let text = |value: &RawField| std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned);
        let mut values = bind.params.iter().flatten().filter_map(text);
        let writes = &prepared.plan.writes;
        if !writes.is_empty() && values.any(|value| writes.iter().any(|written| written.is_mask(&value))) {
            return self.refuse_message("bind", frame, MASK_WRITTEN.code, MASK_WRITTEN.sentence);
        }
        if self.is_apart(&prepared.plan)? {
            return Ok(());
        }
        let name = bind.portal.to_bytes();
        let message = FromClient::Bind(bind);
        self.batch(frame, &message, What::Bind, false)?;
        self.batch.plan = Some(prepared.plan.clone());
        self.batch.params = params.clone();
        let since = self.next_op;
        self.batch.named.push(Named::Portal(name.clone(), since));
        self.gives(&name);
        let portal = Portal {
            plan: prepared.plan,
            epoch: prepared.epoch,
            upstream: prepared.upstream,
            params,
            columns: None,
            hold: false,
            since,
            number: self.portal_number(),
        };
        self.open_portal(name, portal);
        Ok(())
    }

    /// A prepared statement under today's plan. If what upstream holds is another text than today's, it is prepared
    /// again there, before the Bind that uses it.
    pub(super) fn renewed(
        &mut self,
        name: &RawField,
        mut prepared: Prepared,
    ) -> Result<Result<Prepared, (&'static str, &'static str)>, Cut> {
        self.renew_plans();
        if prepared.epoch == self.epoch && !prepared.plan.volatile {
            return Ok(Ok(prepared));
        }
        let plan = match self.plan_text(&prepared.text, prepared.plan.types.clone()) {
            Ok(plan) => plan,
            Err(why) => return Ok(Err((why.code, why.sentence))),
        };
        if let Some(reason) = plan.refuse {
            return Ok(Err((reason.code, reason.sentence)));
        }
        if plan.text != prepared.upstream {
            for message in [
                FromClient::Close(Target::Statement(name.clone())),
                FromClient::Parse(Parse {
                    statement: name.clone(),
                    sql: RawField::copy_from(plan.text.as_bytes()),
                    types: prepared.types.clone(),
                }),
            ] {
                let what = if matches!(message, FromClient::Close(_)) { What::Close } else { What::Parse };
                message.encode(&mut self.batch.sending)?;
                self.batch.sents.push((what, true));
            }
            prepared.upstream = plan.text.clone();
            prepared.flight = self.flight;
            self.batch.named.push(Named::Renewed(name.to_bytes()));
            self.gives(name.as_bytes());
        }
        prepared.plan = plan;
        prepared.epoch = self.epoch;
        self.prepared.insert(name.to_bytes(), prepared.clone());
        Ok(Ok(prepared))
    }

    pub(super) fn on_describe(&mut self, target: Target, frame: &Frame) -> Result<(), Cut> {
        let (plan, what, portal) = match &target {
            Target::Statement(name) => {
                let prepared = self.prepared.get(name.as_bytes());
                (prepared.map(|p| p.plan.clone()), What::DescribeStatement, None)
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name.as_bytes());
                (
                    portal.map(|p| p.plan.clone()),
                    What::DescribePortal,
                    portal.map(|p| (name.to_bytes(), p.number)),
                )
            }
        };
        let Some(plan) = plan else {
            let code = if what == What::DescribePortal { "34000" } else { "26000" };
            let (Target::Statement(name) | Target::Portal(name)) = &target;
            return self.refuse_name(
                "describe",
                frame,
                code,
                "there is no statement or portal of this name",
                name,
            );
        };
        if self.is_apart(&plan)? {
            return Ok(());
        }
        self.batch.describes.extend(portal);
        self.batch(frame, &FromClient::Describe(target), what, false)?;
        self.batch.plan = Some(plan);
        Ok(())
    }

    pub(super) fn on_execute(&mut self, portal: &RawField, frame: &Frame) -> Result<(), Cut> {
        self.renew_plans();
        let Some(found) = self.portals.get(portal.as_bytes()) else {
            return self.refuse_name("execute", frame, "34000", "there is no portal of this name", portal);
        };
        let void = found.epoch != self.epoch || found.plan.analysis.by_name.is_some();
        let (mut plan, params, upstream, columns) =
            (found.plan.clone(), found.params.clone(), found.upstream.clone(), found.columns.clone());
        let number = found.number;
        if void {
            // Decided again under what holds now; a portal that was opened under another rewrite is void.
            let text: Arc<str> = plan.statement.as_ref().map_or("", Statement::text).into();
            match self.plan_text(&text, plan.types.clone()) {
                Ok(now) if now.text == upstream => plan = now,
                Ok(_) => {
                    return self.refuse_message(
                        "execute",
                        frame,
                        "55000",
                        "the rules or the catalog have changed since this portal was opened",
                    );
                }
                Err(why) => return self.refuse_message("execute", frame, why.code, why.sentence),
            }
        }
        let FromClient::Execute { rows_max, .. } = FromClient::decode(frame)? else { return Ok(()) };
        if self.is_apart(&plan)? {
            return Ok(());
        }
        // Its rows are read by the formats that this portal has, whatever the client has asked about.
        if columns.is_none() && !self.batch.describes.iter().any(|(_, described)| *described == number) {
            self.batch.describes.push_back((portal.to_bytes(), number));
            let describe = FromClient::Describe(Target::Portal(portal.clone()));
            describe.encode(&mut self.batch.sending)?;
            self.batch.sents.push((What::DescribePortal, true));
        }
        let message = FromClient::Execute { portal: portal.clone(), rows_max };
        self.batch(frame, &message, What::Execute, false)?;
        let batch = std::mem::take(&mut self.batch);
        let ready = Ready {
            plan,
            via: "execute",
            params,
            asked: batch.asked.freeze(),
            sending: batch.sending,
            sents: batch.sents,
            named: batch.named,
            translated: false,
            offset: 0,
            describes: batch.describes,
            executes: Some(number),
            columns,
        };
        self.statement(ready, false)
    }

    pub(super) fn on_close(&mut self, target: Target, frame: &Frame) -> Result<(), Cut> {
        let stood = match &target {
            Target::Statement(name) => {
                let stood = self.prepared.get(name.as_bytes()).cloned().map(Box::new);
                self.close_statement(name.as_bytes());
                stood
            }
            // Portals end with the transaction that the failure ends.
            Target::Portal(name) => {
                self.close_portal(name.as_bytes());
                None
            }
        };
        let (Target::Statement(name) | Target::Portal(name)) = &target;
        self.batch.named.push(Named::Closed(name.to_bytes(), stood));
        self.gives(name.as_bytes());
        self.batch(frame, &FromClient::Close(target), What::Close, false)
    }

    pub(super) fn on_sync(&mut self) -> Result<(), Cut> {
        self.cover("describe")?;
        self.skipping = false;
        self.sync();
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        if std::mem::take(&mut self.answered_here) {
            self.leaving.push_back(Leaving::Constant(ready(TxStatus::Idle)));
            return;
        }
        let op = self.op(Op::new(1));
        self.syncs += 1;
        self.flight += 1;
        self.unsynced = false;
        self.ahead.synced();
        let sents = vec![Sent::shown(op, What::Sync)];
        self.queue(op, Outgoing::Control { control: Control::Sync, sents });
    }

    pub(super) fn control(&mut self, control: Control, sents: Vec<Sent>) {
        self.queue(0, Outgoing::Control { control, sents });
    }

    pub(super) fn queue(&mut self, op: u64, outgoing: Outgoing) {
        self.unsent += outgoing.sents().len();
        self.sends.push_back((op, outgoing));
    }

    pub(super) fn batch(
        &mut self,
        frame: &Frame,
        message: &FromClient,
        what: What,
        hidden: bool,
    ) -> Result<(), Cut> {
        frame.encode(&mut self.batch.asked)?;
        message.encode(&mut self.batch.sending)?;
        self.batch.sents.push((what, hidden));
        Ok(())
    }

    /// Gives what was prepared, bound or described of another statement an intent of its own, so that what comes of an operation is of one
    /// statement. Whether nothing more is done now: that was refused.
    fn is_apart(&mut self, plan: &Arc<Plan>) -> Result<bool, Cut> {
        if self.batch.plan.as_ref().is_some_and(|other| !other.is(plan)) {
            self.cover("describe")?;
        }
        Ok(self.skipping)
    }

    pub(super) fn portal_number(&mut self) -> u64 {
        self.next_portal += 1;
        self.next_portal
    }

    /// An intent for what was prepared, bound, described or closed and is not executed in the same breath.
    pub(super) fn cover(&mut self, via: &'static str) -> Result<(), Cut> {
        if self.batch.sents.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let plan = match batch.plan {
            Some(plan) => plan,
            // A Close alone: it touches nothing.
            None => self.plan_of_nothing(),
        };
        let ready = Ready {
            via,
            params: batch.params,
            asked: batch.asked.freeze(),
            sending: batch.sending,
            sents: batch.sents,
            named: batch.named,
            translated: false,
            offset: 0,
            describes: batch.describes,
            executes: None,
            columns: None,
            plan: plan.clone(),
        };
        let context = || self.context(&ready);
        let decided = plan.verdict(&self.resource.gate, &self.who, context, &BTreeSet::new());
        match decided.verdict {
            Verdict::Refuse => self.refuse(&ready, &decided, "42501", REFUSED, None, None),
            // What is asked about is asked when it is executed.
            Verdict::Allow | Verdict::Ask(_) => self.send(ready, &decided, None),
        }
    }
}
