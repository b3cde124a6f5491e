//! COPY: what the client sends in it, and what upstream gives.

use super::*;
use crate::postgres::carried::Stream;
use crate::postgres::text::Copied;
use proto_postgres::message::{CopyFormats, Format};

/// A COPY FROM STDIN that runs.
pub(super) struct CopyIn {
    pub(super) op: u64,
    n: u64,
    /// Upstream failed, or the gateway refused; the rest of the client's data is dropped.
    pub(super) failed: bool,
    /// Its rows, where governed columns are among what it writes.
    rows: Option<Box<Stream>>,
}

/// Why the rest of a COPY is not sent.
struct Refused {
    code: &'static str,
    why: &'static str,
}

pub(super) const ONLY_COPY_DATA: &str = "only copy data is allowed while a COPY FROM STDIN runs";
const NOT_ITS_FORM: &str = "the data of this COPY is not of the form that its statement says";

impl Session {
    pub(super) fn begin_copy_in(&mut self, op: u64) {
        let plan = self.ops.get(&op).and_then(|op| op.plan.as_ref());
        let carried = plan.and_then(|plan| plan.analysis.carried.as_ref());
        let rows = carried.map(|carried| Box::new(Stream::new(carried, Side::Client)));
        self.copy = Some(CopyIn { op, n: 0, failed: false, rows });
    }

    /// Where a grant reveals what a COPY TO STDOUT gives, or its format hides it, its rows are looked at.
    pub(super) fn begin_copy_out(&mut self, op: u64, formats: &CopyFormats) {
        let Some(op) = self.ops.get_mut(&op) else { return };
        op.copied = (formats.overall == Format::Binary).then(|| {
            let types = op.plan.as_ref().map(|plan| plan.analysis.copied.clone());
            Box::new(Copied::new(types.unwrap_or_default()))
        });
        let reveals = |plan: &&Arc<Plan>| !plan.revealed.is_empty() && !plan.analysis.writes;
        let carried = op.plan.as_ref().filter(reveals).and_then(|plan| plan.analysis.carried.as_ref());
        op.rows_out = carried.map(|carried| Box::new(Stream::new(carried, Side::Upstream)));
    }

    /// As [`Session::reveal`], of a piece of a COPY.
    pub(super) fn reveal_copied(&mut self, id: u64, data: &RawField) -> Result<(), Cut> {
        let Some(op) = self.ops.get_mut(&id) else { return Ok(()) };
        let (Some(rows), Some(plan)) = (&mut op.rows_out, op.plan.clone()) else { return Ok(()) };
        let key = self.resource.gate.ledger().epoch_key();
        let (known, revealed) = (&mut self.showing.look.known, &mut op.revealed);
        let (gate, who) = (&self.resource.gate, &self.who);
        rows.look(&self.catalog.snapshot, data.as_bytes(), |field, value, text| {
            if plan.revealed.contains_key(&field.class) {
                known.remember(Origin::Revealed, value);
                gate.shows(who, &field.class, text, entropy::random);
                let print = key.print(&field.class, text);
                revealed.entry((field.relation, field.attnum)).or_default().insert(print);
            }
        })?;
        Ok(())
    }

    // --- COPY FROM STDIN

    pub(super) fn on_copy(&mut self, message: FromClient, frame: &Frame) -> Result<(), Cut> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        let (op, failed) = (copy.op, copy.failed);
        match message {
            FromClient::CopyData(data) if !failed => self.copy_data(op, data),
            FromClient::CopyDone if !failed => {
                if let Err(refused) = self.look_at_copied(op, None)? {
                    self.refuse_copy(op, &refused)?;
                    self.copy = None;
                    return Ok(());
                }
                self.end_copy(op, Control::CopyDone, What::CopyDone)
            }
            FromClient::CopyFail { .. } if !failed => self.end_copy(op, Control::CopyFail, What::CopyFail),
            FromClient::CopyData(_) if failed => Ok(()),
            FromClient::CopyDone | FromClient::CopyFail { .. } => {
                self.copy = None;
                Ok(())
            }
            _ if failed => {
                self.copy = None;
                self.on_client(frame.clone())
            }
            // As PostgreSQL: during a copy these mean nothing.
            FromClient::Sync | FromClient::Flush => Ok(()),
            _ => Err(Cut { why: "protocol", tell: Some(fatal("08P01", ONLY_COPY_DATA)) }),
        }
    }

    fn copy_data(&mut self, op: u64, data: RawField) -> Result<(), Cut> {
        let prints = match self.look_at_copied(op, Some(data.as_bytes()))? {
            Ok(prints) => prints,
            Err(refused) => return self.refuse_copy(op, &refused),
        };
        let Some(of) = self.ops.get(&op).and_then(|op| op.intent) else { return Ok(()) };
        let mut sending = BytesMut::new();
        let piece = self.piece_in(data.len() as u64, prints);
        FromClient::CopyData(data).encode(&mut sending)?;
        let intent = self
            .resource
            .gate
            .piece_upstream(&self.who, of, piece, &sending, entropy::tick())
            .map_err(|e| self.unrecorded(e))?;
        let since = entropy::tick().0;
        let pass = Pass::Waiting(Box::new(intent));
        self.queue(op, Outgoing::Permitted { pass, bytes: sending, sents: Vec::new(), since });
        Ok(())
    }

    fn end_copy(&mut self, op: u64, control: Control, what: What) -> Result<(), Cut> {
        self.copy = None;
        let owed = self.ops.get_mut(&op).is_some_and(|op| std::mem::take(&mut op.owes_sync));
        self.control(control, vec![Sent::hidden(op, what)]);
        // Behind what is left of a Query comes one of its own.
        if owed {
            self.sync();
        }
        Ok(())
    }

    fn piece_in(&mut self, bytes: u64, prints: BTreeSet<Print>) -> Piece {
        let n = self.copy.as_mut().map_or(0, |copy| {
            copy.n += 1;
            copy.n
        });
        Piece { n, to: "upstream", bytes, prints: prints.into_iter().collect(), ..Piece::default() }
    }

    /// Prints of the governed values in the rows that end in `data`; `None`: the stream is over. More of them than one
    /// record holds are recorded before the piece's own record.
    fn look_at_copied(
        &mut self,
        op: u64,
        data: Option<&[u8]>,
    ) -> Result<Result<BTreeSet<Print>, Refused>, Cut> {
        let Some(mut rows) = self.copy.as_mut().and_then(|copy| copy.rows.take()) else {
            return Ok(Ok(BTreeSet::new()));
        };
        let op = self.ops.get(&op);
        let (Some(of), Some(plan)) = (op.and_then(|op| op.intent), op.and_then(|op| op.plan.clone())) else {
            return Ok(Ok(BTreeSet::new()));
        };
        let key = self.resource.gate.ledger().epoch_key();
        let catalog = self.catalog.clone();
        let (mut prints, mut masked, mut recorded) = (BTreeSet::new(), false, Ok(()));
        let mut on_value = |field: &sql::CopyField, value: &[u8], text: &[u8]| {
            let is_mask = |text: &str| plan.writes.iter().any(|written| written.is_mask(text));
            masked |= std::str::from_utf8(text).is_ok_and(is_mask);
            self.showing.look.known.remember(Origin::Echo, value);
            prints.insert(key.print(&field.class, text));
            if prints.len() >= PRINTS_MAX && recorded.is_ok() {
                let piece = self.piece_in(0, std::mem::take(&mut prints));
                recorded = self.resource.gate.piece(&self.who, of, piece).map(drop);
            }
        };
        let looked = match data {
            Some(data) => rows.look(&catalog.snapshot, data, &mut on_value),
            None => rows.finish(&catalog.snapshot, &mut on_value),
        };
        recorded.map_err(|e| self.unrecorded(e))?;
        // What ends with the stream has no piece behind it that could hold its prints.
        if data.is_none() && !prints.is_empty() && !masked {
            let piece = self.piece_in(0, std::mem::take(&mut prints));
            let receipt = self.resource.gate.piece(&self.who, of, piece);
            let _covered_by_the_outcome = receipt.map_err(|e| self.unrecorded(e))?;
        }
        if let Some(copy) = &mut self.copy {
            copy.rows = Some(rows);
        }
        Ok(match (looked, masked) {
            (_, true) => Err(Refused { code: MASK_WRITTEN.code, why: MASK_WRITTEN.sentence }),
            (Err(_), false) => Err(Refused { code: "22P04", why: NOT_ITS_FORM }),
            (Ok(()), false) => Ok(prints),
        })
    }

    /// Nothing of a COPY that fails stays upstream: the rest of it is not sent, and the client sees our error for its.
    fn refuse_copy(&mut self, op: u64, refused: &Refused) -> Result<(), Cut> {
        let found = self.ops.get(&op);
        let (Some(of), Some(plan)) = (found.and_then(|op| op.intent), found.and_then(|op| op.plan.clone()))
        else {
            return Ok(());
        };
        let decided = plan.decided.clone();
        let ready = Ready::said("copy-data", plan, Bytes::new());
        let receipt = {
            let question = Question { sending: &[], ..self.question(&ready) };
            self.resource
                .gate
                .refuse(&question, &decided, sqlstate5(refused.code), refused.why, Some(of), false)
                .map_err(|e| self.unrecorded(e))?
        };
        let hint = Some(ask_keeper(receipt.seq().0)).filter(|_| refused.code == "42501");
        if let Some(op) = self.ops.get_mut(&op) {
            // The operation's outcome comes behind the refusal's record, and covers it.
            op.refused = Some(error(refused.code, refused.why, None, hint));
        }
        if let Some(copy) = &mut self.copy {
            copy.failed = true;
        }
        self.control(Control::CopyFail, vec![Sent::hidden(op, What::CopyFail)]);
        Ok(())
    }
}
