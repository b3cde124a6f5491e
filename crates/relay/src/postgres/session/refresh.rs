//! Names and catalog, read over the session's own connection.

use super::*;

impl Session {
    // --- names and catalog over this connection

    /// Whether what names mean is not known for what comes next. Nor is it where a Sync is on its way and what stands before
    /// it has changed them: whether that is committed, rolled back or skipped, upstream has not said.
    pub(super) fn needs_refresh(&self) -> bool {
        let gives = self.names_given.is_some_and(|flight| self.is_unsure(flight));
        if self.syncs > 0 && (self.names_set || self.own_catalog || gives) {
            return true;
        }
        // Read once for one message: whether it stays so until that has its answer is asked then.
        let stale = !self.just_read && !self.resource.catalog.is_current(&self.catalog);
        (self.names_dirty || self.catalog_dirty || stale) && !self.is_failed() && !self.flow.skipping()
    }

    /// Whether names are read before this statement: where it depends on them, and before a transaction, so that what
    /// takes no snapshot, as LOCK TABLE, is still the first in it.
    pub(super) fn asks_names(&self, statement: &Statement) -> bool {
        statement.reads_names() || statement.begins() && self.tx() == Tx::Idle
    }

    /// Whether upstream's transaction has failed, and nothing was sent that leaves it.
    fn is_failed(&self) -> bool {
        let leaves = self.ahead.tx() != Tx::Failed && !self.failed_in_flight;
        self.flow.tx() == TxStatus::Failed && !leaves
    }

    /// Reads what has become uncertain. Waits until upstream has answered everything.
    pub(super) fn begin_refresh(&mut self) -> Result<(), Cut> {
        if !self.sends.is_empty() || self.flow.outstanding() > 0 || !self.batch.sents.is_empty() {
            if !self.batch.sents.is_empty() {
                self.cover("describe")?;
            }
            self.control(Control::Flush, Vec::new());
            let last = self.ops.keys().next_back().copied().unwrap_or(0);
            self.hold = Hold::Barrier { op: last };
            return Ok(());
        }
        let names_only = !self.catalog_dirty && self.resource.catalog.is_current(&self.catalog);
        let queries: Vec<&str> = match names_only {
            true => vec![SESSION_QUERY],
            false => sql::catalog::QUERIES.iter().map(|q| q.sql).chain([SESSION_QUERY]).collect(),
        };
        let op = self.op(Op::new(0));
        let mut sents = 0;
        for query in queries {
            for (message, what) in [
                (
                    FromClient::Parse(Parse {
                        statement: RawField::from_static(b"tachograph"),
                        sql: RawField::copy_from(query.as_bytes()),
                        types: Vec::new(),
                    }),
                    What::Parse,
                ),
                (
                    FromClient::Bind(Bind {
                        portal: RawField::from_static(b"tachograph"),
                        statement: RawField::from_static(b"tachograph"),
                        param_formats: Vec::new(),
                        params: Vec::new(),
                        result_formats: Vec::new(),
                    }),
                    What::Bind,
                ),
                (
                    FromClient::Execute { portal: RawField::from_static(b"tachograph"), rows_max: 0 },
                    What::Execute,
                ),
                (FromClient::Close(Target::Portal(RawField::from_static(b"tachograph"))), What::Close),
                (FromClient::Close(Target::Statement(RawField::from_static(b"tachograph"))), What::Close),
            ] {
                let _known = self.flow.sent(Sent::hidden(op, what))?;
                self.upstream.writer.own(&message)?;
                sents += 1;
            }
        }
        // In a transaction block a Sync changes nothing; outside one it ends what our reading has begun.
        if !self.unsynced && !self.failed_in_flight && self.syncs == 0 {
            let _known = self.flow.sent(Sent::hidden(op, What::Sync))?;
            self.upstream.writer.control(Control::Sync)?;
            sents += 1;
        } else {
            self.upstream.writer.control(Control::Flush)?;
        }
        if let Some(own) = self.ops.get_mut(&op) {
            own.left = sents;
        }
        self.hold = Hold::Refresh(Box::new(Refresh {
            op,
            began: self.resource.catalog.begin(),
            answers: Vec::new(),
            rows: Vec::new(),
            names_only,
            budget: Budget::of_catalog(),
            failed: false,
        }));
        Ok(())
    }

    pub(super) fn end_refresh(&mut self) -> Result<(), Cut> {
        let Hold::Refresh(refresh) = std::mem::replace(&mut self.hold, Hold::No) else { return Ok(()) };
        if refresh.failed {
            return Err(Cut { why: "catalog", tell: Some(fatal("08006", "the catalog could not be read")) });
        }
        let bad = |_why: String| Cut {
            why: "catalog",
            tell: Some(fatal("08006", "the catalog could not be understood")),
        };
        let mut answers = refresh.answers;
        if refresh.names_only {
            let said = session_names(&answers.pop().unwrap_or_default()).map_err(bad)?;
            self.names.search_path = said.search_path;
            self.names.role = said.role;
        } else {
            let said = answers.last().map(session_names).transpose().map_err(bad)?;
            let frozen = said.is_some_and(|said| said.frozen) && self.flow.tx() != TxStatus::Idle;
            // Such a transaction reads the catalog as it was, and its statements' names as they are.
            let began = if frozen { refresh.began.as_of(self.block_changes) } else { refresh.began };
            let catalog = Catalog::build(&self.resource, began, answers).map_err(bad)?;
            self.names.search_path = catalog.search_path.clone();
            self.names.role = catalog.role.clone();
            self.names.temp.clear();
            self.catalog = Arc::new(catalog);
            self.own_catalog = self.flow.tx() != TxStatus::Idle || self.unsynced;
            if !self.own_catalog {
                self.resource.record_catalog(&self.catalog);
            }
        }
        self.just_read = true;
        self.read_at = entropy::tick().0;
        self.names_dirty = false;
        self.catalog_dirty = false;
        self.epoch += 1;
        self.plans.clear();
        Ok(())
    }
}
