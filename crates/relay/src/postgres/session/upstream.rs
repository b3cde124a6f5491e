//! What upstream says: replies, errors, the end of a flight.

use super::*;
use crate::limits::{SHAPE_BYTES_MAX, TAG_BYTES_MAX};
use crate::postgres::text::text;

/// Whether upstream reads texts as the gateway does under this parameter.
fn reads_alike(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"standard_conforming_strings" => value == b"on",
        b"client_encoding" => std::str::from_utf8(value).is_ok_and(sql::reads_encoding),
        _ => true,
    }
}

const UNDESCRIBED: &str = "upstream sent a row that is not as it described its rows";
const OTHER_RAN: &str = "upstream says that it ran another statement than the one that was decided";
const NOT_READ_ALIKE: &str = "a setting was changed by which the gateway reads the session's statements";

impl Session {
    // --- the upstream's side

    pub(super) fn on_upstream(&mut self) -> Result<(), Cut> {
        loop {
            if self.queued_for_client() > QUEUE_BYTES_MAX || self.holds_answer() {
                return Ok(());
            }
            let Some(frame) = self.upstream.decoder.next(&mut self.upstream.input)? else { break };
            let event = self.flow.on_upstream(&frame)?;
            self.on_event(event, frame)?;
        }
        // Nothing more for now: what has ended and has no Sync behind it is told.
        let waits_for_ready = self.syncs > 0;
        let shows = |op: &Op| op.intent.is_some() && op.shows();
        let midway = self.ops.iter().find(|(_, op)| shows(op)).map(|(id, _)| *id);
        if let Some(id) = midway.filter(|_| !waits_for_ready) {
            self.piece(id)?;
        } else if !waits_for_ready && !self.showing.is_empty() {
            self.flush(None)?;
        }
        Ok(())
    }

    pub(super) fn on_event(&mut self, event: Event, frame: Frame) -> Result<(), Cut> {
        let of = event.of;
        let op = of.map_or(0, |sent| sent.op);
        if let Hold::Refresh(refresh) = &mut self.hold
            && refresh.op == op
            && of.is_some()
        {
            return self.on_refresh(event);
        }
        if self.ops.get(&op).is_some_and(|op| op.withheld) {
            return self.on_withheld(op, event);
        }
        let mut complete = matches!(event.kind, Kind::Complete(_) | Kind::Suspended);
        if let Some(op) = self.ops.get_mut(&op) {
            // What came before an error is an answer, too.
            complete |= matches!(event.kind, Kind::Error { .. }) && op.shows();
            op.complete |= complete;
        }
        if complete && !self.look_at(op)? {
            if self.holds_answer() {
                self.held_event = Some((event, frame));
                return Ok(());
            }
            return self.on_withheld(op, event);
        }
        let translated = self.ops.get(&op).is_some_and(|op| op.translated);
        let shown = event.shown(translated);
        self.show_held(&event);
        match (&event.kind, of) {
            (Kind::ParseComplete, _) => {
                self.is_carried_out(op, |named| matches!(named, Named::Statement(..) | Named::Renewed(_)));
            }
            // A hidden one is before a Parse, and half of what that does.
            (Kind::CloseComplete, Some(sent)) if !sent.hidden => {
                self.is_carried_out(op, |named| matches!(named, Named::Closed(..)));
            }
            _ => {}
        }
        match event.kind {
            Kind::ParseComplete | Kind::BindComplete | Kind::CloseComplete | Kind::NoData => {
                if matches!((&event.kind, of), (Kind::NoData, Some(sent)) if sent.what == What::DescribePortal)
                {
                    self.described_portal(op);
                }
                if shown {
                    self.showing.show(&frame);
                }
                if translated && self.is_empty_query(op) {
                    self.showing.show_message(&FromUpstream::EmptyQuery);
                }
                self.answered(op);
            }
            Kind::ParameterDescription { types } => {
                self.on_parameter_types(op, &types);
                self.showing.show(&frame);
            }
            Kind::RowDescription(description) => {
                let of_portal = of.is_some_and(|sent| sent.what == What::DescribePortal);
                self.on_columns(op, of_portal, description, frame.body.clone())?;
                if shown {
                    self.showing.show(&frame);
                }
                self.answered(op);
            }
            Kind::DataRow(row) => {
                let columns = self.ops.get(&op).and_then(|op| op.columns.clone());
                // Its formats and types are what the look behind its bytes goes by.
                if columns.as_ref().is_none_or(|columns| columns.described.columns.len() != row.columns()) {
                    return Err(Cut { why: "undescribed-row", tell: Some(fatal("XX000", UNDESCRIBED)) });
                }
                let here = self.showing.here();
                if let Some(op) = self.ops.get_mut(&op) {
                    op.rows_from.get_or_insert(here);
                    op.rows += 1;
                    op.piece_rows += 1;
                    op.bytes += row.byte_len() as u64;
                }
                self.reveal(op, &row, columns.as_deref());
                self.showing.show_row(&frame, columns.as_ref());
                self.maybe_piece(op)?;
            }
            Kind::Complete(command) => {
                if !self.ran_as_decided(op, &command) {
                    return Err(Cut { why: "other-statement", tell: Some(fatal("XX000", OTHER_RAN)) });
                }
                match translated {
                    true => self.held = Some(frame.clone()),
                    false => self.showing.show(&frame),
                }
                let tag = self.tag_of(&command);
                if let Some(op) = self.ops.get_mut(&op) {
                    op.tag = Some(tag);
                    op.commits = command.command() == b"COMMIT";
                    if op.rows == 0 {
                        op.rows = command.rows().unwrap_or(0);
                        op.piece_rows = op.rows;
                    }
                }
                self.apply(op);
                self.answered(op);
            }
            Kind::Suspended => {
                self.showing.show(&frame);
                // As much of it as has run has done what it does, whether it ever ends or not.
                self.apply(op);
                self.answered(op);
            }
            Kind::Empty => {
                self.showing.show(&frame);
                self.answered(op);
            }
            Kind::CopyInStart(_) => {
                self.showing.show(&frame);
                self.begin_copy_in(op);
                if let Hold::Barrier { op: waits } = self.hold
                    && waits == op
                {
                    self.hold = Hold::No;
                }
                self.piece(op)?;
            }
            Kind::CopyOutStart(formats) => {
                self.begin_copy_out(op, &formats);
                self.showing.show(&frame);
            }
            Kind::CopyData(data) => {
                self.reveal_copied(op, &data)?;
                let here = self.showing.here();
                if let Some(op) = self.ops.get_mut(&op) {
                    op.rows_from.get_or_insert(here);
                    op.bytes += data.len() as u64;
                }
                self.showing.show_row(&frame, None);
                self.maybe_piece(op)?;
            }
            Kind::CopyDone => self.showing.show(&frame),
            Kind::Error { fields, skipped, fatal } => self.on_error(op, fields, skipped, fatal)?,
            Kind::Ready(tx) => self.on_ready(op, tx)?,
            Kind::Notice(fields) => {
                let fields = self.sanitised(&fields, op);
                self.showing.show_message(&FromUpstream::Notice(fields));
                match self.ops.get(&op).is_some_and(|op| op.intent.is_some()) {
                    true => self.maybe_piece(op)?,
                    false if self.showing.len() >= CHUNK_BYTES => self.flush(None)?,
                    false => {}
                }
            }
            Kind::Parameter { name, value } => {
                // By these the gateway reads statements. It lets nobody change them, and who found a way goes no further.
                if !reads_alike(name.as_bytes(), value.as_bytes()) {
                    return Err(Cut { why: "setting", tell: Some(fatal("0A000", NOT_READ_ALIKE)) });
                }
                if TOLD.iter().any(|told| told.as_bytes() == name.as_bytes()) {
                    self.showing.show(&frame);
                }
            }
            Kind::Notification { .. } => self.showing.show(&frame),
        }
        Ok(())
    }

    /// Whether upstream's word for what has run may be that of what was decided: where a SELECT was, nothing else has run.
    fn ran_as_decided(&self, op: u64, command: &proto_postgres::reply::CommandTag) -> bool {
        let plan = self.ops.get(&op).and_then(|op| op.plan.as_ref());
        let selects = plan.is_some_and(|plan| plan.statement.is_some() && plan.action().kind == "SELECT");
        !selects || command.command() == b"SELECT"
    }

    /// A command's tag as it is recorded: most often that of the one before.
    fn tag_of(&mut self, command: &proto_postgres::reply::CommandTag) -> MaskedText {
        match &self.last_tag {
            Some((said, masked)) if *said == command.0 => masked.clone(),
            _ => {
                let masked = mask::name(self.resource.gate.detectors(), command.0.to_str().unwrap_or("?"));
                if command.0.len() <= TAG_BYTES_MAX {
                    self.last_tag = Some((RawField::copy_from(command.0.as_bytes()), masked.clone()));
                }
                masked
            }
        }
    }

    /// A Query without a statement is parsed upstream and no more; its answer is the gateway's.
    fn is_empty_query(&self, op: u64) -> bool {
        let plan = self.ops.get(&op).and_then(|op| op.plan.as_ref());
        plan.is_some_and(|plan| plan.statement.is_none())
    }

    /// A Query says that it is complete only once its transaction has ended well: the last CommandComplete waits for
    /// what comes behind it, and a commit that fails takes its place.
    pub(super) fn show_held(&mut self, next: &Event) {
        let Some(frame) = self.held.take() else { return };
        let by_itself = next.of.is_none() || matches!(next.kind, Kind::Notice(_));
        let commit_failed =
            matches!(next.kind, Kind::Error { .. }) && next.of.is_some_and(|sent| sent.what == What::Sync);
        match (by_itself, commit_failed) {
            (true, _) => self.held = Some(frame),
            (false, true) => {}
            (false, false) => self.showing.show(&frame),
        }
    }

    pub(super) fn on_refresh(&mut self, event: Event) -> Result<(), Cut> {
        let Hold::Refresh(refresh) = &mut self.hold else { return Ok(()) };
        let op = refresh.op;
        match event.kind {
            Kind::DataRow(row) => match refresh.budget.take(&row).and_then(|()| text_row(&row)) {
                Ok(row) => {
                    refresh.rows.push(row);
                    return Ok(());
                }
                Err(_) => refresh.failed = true,
            },
            Kind::Complete(_) => {
                let rows = std::mem::take(&mut refresh.rows);
                refresh.answers.push(rows);
            }
            Kind::Error { .. } => refresh.failed = true,
            Kind::Notice(_) => return Ok(()),
            _ => {}
        }
        let failed = refresh.failed;
        let left = match self.ops.get_mut(&op) {
            Some(own) => {
                own.left = own.left.saturating_sub(1);
                own.left
            }
            None => 0,
        };
        if left == 0 || failed {
            self.ops.remove(&op);
            return self.end_refresh();
        }
        Ok(())
    }

    /// The portal of which upstream has said what its rows are.
    fn described_portal(&mut self, op: u64) -> Option<(Bytes, u64)> {
        self.ops.get_mut(&op).and_then(|op| op.describes.pop_front())
    }

    /// What comes of a portal is read by what was said of that portal: one of the same statement may have other formats, and of a
    /// statement none are known.
    pub(super) fn on_columns(
        &mut self,
        op: u64,
        of_portal: bool,
        description: proto_postgres::reply::RowDescription,
        body: Bytes,
    ) -> Result<(), Cut> {
        let plan = self.ops.get(&op).and_then(|op| op.plan.clone());
        let mut raw: Vec<(usize, Class)> = Vec::new();
        for (i, column) in description.columns.iter().enumerate() {
            let Some(class) = self.catalog.governed.class_of(column.table, column.attribute) else {
                continue;
            };
            let revealed = plan.as_ref().is_some_and(|plan| plan.revealed.contains_key(&class));
            if !revealed {
                // The wire's own word against ours: a defect, and not one byte of it leaves.
                return Err(Cut {
                    why: "unmasked-column",
                    tell: Some(fatal("XX000", "the answer has a governed column that was not masked")),
                });
            }
            raw.push((i, class));
        }
        if !of_portal {
            return Ok(());
        }
        let columns = self.columns(plan.as_deref(), description, body, raw);
        let described = self.described_portal(op);
        if let Some((name, number)) = &described
            && let Some(portal) = self.portals.get_mut(name).filter(|portal| portal.number == *number)
        {
            portal.columns = Some(columns.clone());
        }
        let number = described.map(|(_, number)| number);
        if let Some(op) = self.ops.get_mut(&op)
            && (op.translated || number.is_some() && number == op.executes)
        {
            op.columns = Some(columns);
        }
        Ok(())
    }

    /// The shape of a result: the one that the plan had before, or a new one.
    fn columns(
        &self,
        plan: Option<&Plan>,
        description: proto_postgres::reply::RowDescription,
        body: Bytes,
        raw: Vec<(usize, Class)>,
    ) -> Arc<Columns> {
        let detectors = self.resource.gate.detectors();
        let mut before = plan.map(|plan| plan.shown.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(shown) = before.as_ref().and_then(|before| before.as_ref()).filter(|c| c.is(&body, &raw))
        {
            return shown.clone();
        }
        let kept = before.as_mut().filter(|_| body.len() <= SHAPE_BYTES_MAX);
        // Its own bytes: the frame's are a part of what was read with it.
        let body = Bytes::copy_from_slice(&body);
        let columns = Arc::new(Columns::new(detectors, description, body, raw));
        if let Some(kept) = kept {
            **kept = Some(columns.clone());
        }
        columns
    }

    /// What upstream takes parameters for, where the client left it open: how values of later Binds are looked at.
    pub(super) fn on_parameter_types(&mut self, op: u64, types: &[u32]) {
        let Some(plan) = self.ops.get(&op).and_then(|op| op.plan.clone()) else { return };
        for prepared in self.prepared.values_mut().filter(|p| Arc::ptr_eq(&p.plan, &plan)) {
            for (i, found) in types.iter().enumerate() {
                match prepared.types.get_mut(i) {
                    Some(0) => prepared.types[i] = *found,
                    Some(_declared) => {}
                    None => prepared.types.push(*found),
                }
            }
        }
    }

    /// Values that a grant reveals are remembered, so that they are no tripwire later, and fingerprinted.
    pub(super) fn reveal(
        &mut self,
        id: u64,
        row: &proto_postgres::reply::DataRow,
        columns: Option<&Columns>,
    ) {
        let Some(columns) = columns.filter(|c| !c.raw.is_empty()) else { return };
        let key = self.resource.gate.ledger().epoch_key();
        for (i, cell) in row.cells().enumerate() {
            let raw = columns.raw.iter().find(|(raw, _)| *raw == i);
            let (Some(cell), Some((_, class)), Some(column)) = (cell, raw, columns.described.columns.get(i))
            else {
                continue;
            };
            self.showing.look.known.remember(Origin::Revealed, cell);
            let said = text(&self.catalog.snapshot, column.type_oid, column.format, cell);
            self.resource.gate.shows(&self.who, class, &said, entropy::random);
            if let Some(op) = self.ops.get_mut(&id) {
                let print = key.print(class, &said);
                op.revealed.entry((column.table, column.attribute)).or_default().insert(print);
            }
        }
    }

    pub(super) fn on_error(
        &mut self,
        op: u64,
        fields: Fields,
        skipped: Vec<Sent>,
        is_fatal: bool,
    ) -> Result<(), Cut> {
        self.failed_in_flight = true;
        let failed = self
            .ops
            .get(&op)
            .map_or(Failed::default(), |op| Failed { script: op.script, owes_sync: op.owes_sync });
        let poison = self.refusals.remove(&op);
        let silent = self.ops.get(&op).is_some_and(|op| op.silent);
        match poison {
            None if silent => drop(self.ops.remove(&op)),
            Some(refusal) => {
                self.ops.remove(&op);
                self.showing.show_message(&FromUpstream::Error(refusal));
            }
            None => {
                let refused = self.ops.get_mut(&op).and_then(|op| op.refused.take());
                let (told, result) = match refused {
                    Some(refused) => (refused, "refused"),
                    None if sqlstate(&fields) == *b"57014" => (self.sanitised(&fields, op), "cancelled"),
                    None => (self.sanitised(&fields, op), "error"),
                };
                let code = sqlstate(&told);
                self.showing.show_message(&FromUpstream::Error(told));
                self.end_op(op, result, Some(code));
            }
        }
        let mut ids: Vec<u64> = skipped.iter().map(|sent| sent.op).filter(|id| *id != op).collect();
        ids.dedup();
        for id in ids {
            if self.refusals.remove(&id).is_some() {
                self.ops.remove(&id);
                continue;
            }
            self.end_op(id, "skipped", None);
        }
        if let Some(copy) = &mut self.copy
            && copy.op == op
        {
            copy.failed = true;
        }
        let of_script = self.script.as_ref().is_some_and(|script| script.id == failed.script);
        if of_script {
            self.abandon_script()?;
        }
        if of_script || failed.owes_sync {
            self.sync();
        }
        if is_fatal {
            self.flush(None)?;
            return Err(Cut { why: "upstream-fatal", tell: None });
        }
        Ok(())
    }

    pub(super) fn on_ready(&mut self, op: u64, tx: TxStatus) -> Result<(), Cut> {
        self.ops.remove(&op);
        self.syncs = self.syncs.saturating_sub(1);
        if tx == TxStatus::Idle {
            self.fates.all(if self.failed_in_flight { "rolled-back" } else { "committed" });
            self.names_dirty |= std::mem::take(&mut self.names_set);
        }
        self.failed_in_flight = false;
        if self.syncs == 0 && !self.unsynced {
            self.ahead = Ahead::confirmed(tx);
        }
        if std::mem::take(&mut self.fail_due) && tx == TxStatus::InTransaction {
            self.fail_upstream();
            return Ok(());
        }
        if tx == TxStatus::Idle {
            self.unlocked_at(op);
            self.drop_cursors(op);
            self.catalog_dirty |= std::mem::take(&mut self.own_catalog);
        }
        self.landed(tx);
        self.flush(Some(tx))?;
        if tx == TxStatus::Idle {
            self.fates = Fates::default();
        }
        Ok(())
    }

    /// One message of an operation is answered.
    pub(super) fn answered(&mut self, id: u64) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        op.left = op.left.saturating_sub(1);
        if op.left == 0 {
            self.end_op(id, "ok", None);
        }
        self.release_barrier(id);
    }

    pub(super) fn end_op(&mut self, id: u64, result: &'static str, code: Option<[u8; 5]>) {
        let Some(mut op) = self.ops.remove(&id) else { return };
        op.code = code;
        let result = if op.withheld { "refused" } else { result };
        if result != "ok" {
            self.undo(&std::mem::take(&mut op.named));
        }
        self.showing.finish(op, result);
        self.release_barrier(id);
    }

    pub(super) fn release_barrier(&mut self, id: u64) {
        if let Hold::Barrier { op } = self.hold
            && op == id
            && !self.ops.contains_key(&id)
        {
            self.hold = Hold::No;
        }
    }

    /// What a statement that has run does to the session.
    pub(super) fn apply(&mut self, id: u64) {
        let Some(op) = self.ops.get(&id) else { return };
        let Some(plan) = op.plan.clone() else { return };
        let (commits, intent) = (op.commits, op.intent.unwrap_or(Seq(0)));
        self.session_unlocked_by(id, &plan);
        for effect in &plan.analysis.effects {
            match effect {
                Effect::Commit { .. } | Effect::Rollback { .. } => {
                    self.unlocked_at(id);
                    self.fates.ended(intent, if commits { "committed" } else { "rolled-back" });
                    self.drop_cursors(id);
                    // What was set for the transaction alone is as it was before.
                    self.names_dirty |= std::mem::take(&mut self.names_set);
                    // Nothing is open behind it: what we read now may end with a Sync of its own.
                    if self.sends.is_empty() && !self.ops.iter().any(|(k, op)| *k > id && op.intent.is_some())
                    {
                        self.unsynced = false;
                    }
                    self.names_dirty |= !commits;
                    // A commit, too, takes something back: what is dropped with its transaction.
                    self.catalog_dirty |= self.own_catalog;
                }
                Effect::Savepoint { name } => self.fates.saved(intent, name),
                Effect::RollbackTo { name } => {
                    self.names_dirty = true;
                    self.catalog_dirty = true;
                    self.fates.rolled_back_to(intent, name);
                }
                Effect::Release { name } => self.fates.released(name),
                Effect::Set { name, .. } | Effect::Reset { name } => {
                    self.names_dirty |= resolves(name);
                    self.names_set |= resolves(name);
                }
                Effect::ResetAll => (self.names_dirty, self.names_set) = (true, true),
                Effect::DiscardAll => {
                    (self.names_dirty, self.names_set) = (true, true);
                    self.catalog_dirty = true;
                    self.prepared.clear();
                    self.sql_prepared.clear();
                    self.portals.clear();
                    self.names.prepared.clear();
                    self.names.cursors.clear();
                }
                Effect::DiscardTemp | Effect::CreatesTemp { .. } | Effect::Ddl { .. } => {
                    self.catalog_dirty = true;
                }
                Effect::Prepare { name } => {
                    self.names.prepared.insert(name.clone(), plan.analysis.clone());
                    let text = plan.statement.as_ref().map_or("", Statement::text);
                    let prepared = SqlPrepared {
                        text: text.into(),
                        upstream: plan.text.clone(),
                        epoch: self.epoch,
                        volatile: plan.volatile,
                    };
                    // What the protocol gave this name has never reached upstream.
                    self.prepared.remove(name.as_bytes());
                    self.sql_prepared.insert(name.clone(), prepared);
                }
                Effect::Deallocate { name: Some(name) } => {
                    self.close_statement(name.as_bytes());
                }
                Effect::Deallocate { name: None } => {
                    self.names.prepared.clear();
                    self.prepared.clear();
                    self.sql_prepared.clear();
                }
                Effect::DeclareCursor { name, hold } => {
                    // Cursors and portals share their names.
                    let number = self.portal_number();
                    let portal = Portal {
                        plan: plan.clone(),
                        epoch: self.epoch,
                        upstream: plan.text.clone(),
                        params: Arc::default(),
                        columns: None,
                        hold: *hold,
                        since: id,
                        number,
                    };
                    self.open_portal(Bytes::copy_from_slice(name.as_bytes()), portal);
                }
                Effect::CloseCursor { name: Some(name) } => {
                    self.close_portal(name.as_bytes());
                }
                Effect::CloseCursor { name: None } => {
                    self.names.cursors.clear();
                    self.portals.clear();
                }
                Effect::Begin { .. }
                | Effect::SetTransaction { .. }
                | Effect::DiscardPlans
                | Effect::Execute { .. }
                | Effect::Fetch { .. }
                | Effect::Listen { .. }
                | Effect::Unlisten { .. }
                | Effect::Notify { .. }
                | Effect::Show { .. }
                | Effect::CopyIn
                | Effect::CopyOut => {}
            }
        }
    }

    /// Portals and cursors end with their transaction, which this operation ended, but for those WITH HOLD.
    fn drop_cursors(&mut self, op: u64) {
        self.portals.retain(|_, portal| portal.hold || portal.since > op);
        let portals = &self.portals;
        self.names.cursors.retain(|name, _| portals.contains_key(name.as_bytes()));
    }

    pub(super) fn maybe_piece(&mut self, op: u64) -> Result<(), Cut> {
        let prints: usize = self.ops.get(&op).map_or(0, |op| op.revealed.values().map(BTreeSet::len).sum());
        match self.showing.len() >= CHUNK_BYTES || prints >= PRINTS_MAX {
            true => self.piece(op),
            false => Ok(()),
        }
    }

    pub(super) fn piece(&mut self, id: u64) -> Result<(), Cut> {
        if !self.look_at(id)? {
            return Ok(());
        }
        self.with_op(id, |showing, leaving, unsettled, scene, op| {
            showing.flush_piece(scene, leaving, op, unsettled)
        })
    }

    /// Does something with one operation and what is shown of it.
    pub(super) fn with_op(
        &mut self,
        id: u64,
        work: impl FnOnce(
            &mut Showing,
            &mut VecDeque<Leaving>,
            &mut Vec<Seq>,
            &Scene<'_>,
            &mut Op,
        ) -> Result<(), FlushError>,
    ) -> Result<(), Cut> {
        let Some(mut op) = self.ops.remove(&id) else { return Ok(()) };
        let resource = self.resource.clone();
        let scene = Scene {
            gate: &resource.gate,
            who: &self.who,
            filter_key: &resource.gate.ledger().filter_key(),
            tripwire: resource.config.tripwire,
            reel: if op.reel_left == 0 { Reel::None } else { resource.config.reel },
            root: &resource.root,
            types: &self.catalog.snapshot,
        };
        op.reel_left = op.reel_left.saturating_sub(self.showing.len() as u64);
        let done = work(&mut self.showing, &mut self.leaving, &mut self.unsettled, &scene, &mut op);
        self.ops.insert(id, op);
        done.map_err(|e| self.flush_failed(e))
    }

    pub(super) fn flush(&mut self, tx: Option<TxStatus>) -> Result<(), Cut> {
        let resource = self.resource.clone();
        let scene = Scene {
            gate: &resource.gate,
            who: &self.who,
            filter_key: &resource.gate.ledger().filter_key(),
            tripwire: resource.config.tripwire,
            reel: resource.config.reel,
            root: &resource.root,
            types: &self.catalog.snapshot,
        };
        let under_way = self.ops.values().find_map(|op| op.intent);
        self.showing
            .flush(&scene, &mut self.leaving, tx.map(ready), &mut self.fates, under_way, &mut self.unsettled)
            .map_err(|e| self.flush_failed(e))
    }

    pub(super) fn flush_failed(&self, error: FlushError) -> Cut {
        match error {
            FlushError::Gate(error) => self.unrecorded(error),
            FlushError::Leak(leak) => Cut {
                why: leak.detector,
                tell: Some(fatal(
                    "42501",
                    "the answer holds a value that must not leave and could not be masked",
                )),
            },
        }
    }

    /// What the client may read of an error or a notice. A run that may do what cannot be known, where nothing is
    /// governed, reads anything with a DO block: from it a message has nothing to hide.
    pub(super) fn sanitised(&self, fields: &Fields, op: u64) -> Fields {
        let op = self.ops.get(&op);
        let plan = op.and_then(|op| op.plan.as_deref());
        let offset = op.map_or(0, |op| op.offset);
        let position = |at| match plan {
            Some(plan) => Some(plan.rewritten.positions.original(at).saturating_add(offset)),
            None => Some(at),
        };
        let governs = !self.resource.rules.is_empty();
        if !governs && self.resource.gate.permits_opaque(&self.who, "postgres") {
            return errors::whole(fields, position);
        }
        let care = match governs && plan.is_some_and(Plan::careful) {
            true => Care::Template,
            false => Care::Text,
        };
        let said: Vec<&[u8]> = match plan.and_then(|p| p.statement.as_ref()) {
            Some(statement) => vec![statement.text().as_bytes(), &self.last_statement],
            None => vec![&self.last_statement],
        };
        let visible =
            |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| self.catalog.names.contains(name));
        let known = errors::Known { said: &said, visible: &visible };
        errors::sanitise(fields, &known, care, position)
    }
}

/// Whether a setting has a part in what names mean.
fn resolves(setting: &str) -> bool {
    ["search_path", "role", "session_authorization"].iter().any(|name| setting.eq_ignore_ascii_case(name))
}
