//! A session of a run that is carried out again: each statement is answered out of the record (`crate::again`).
//!
//! The client's messages are put together as a session's are (`session::client`): what a record covers then is what is looked
//! for now, byte for byte.

use std::collections::{HashMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use mask::Detectors;
use proto_postgres::frame::{Decoder, Frame, Incoming, tag};
use proto_postgres::message::Format;
use proto_postgres::message::{FromClient, FromUpstream, Target, TxStatus};
use proto_postgres::reply::{Column, Fields, RowDescription, encode_error, field};
use tokio::sync::watch;
use wire::RawField;

use super::flight::{ask_keeper, fatal, rules_detail};
use super::session::Cut;
use crate::again::{Answer, Asking, Form, NOT_RECORDED, Recorded, Recording, Reply};
use crate::leg::Leg;
use crate::limits::HTTP_READ;
use crate::runs::Ended;

/// A client's connection.
pub(super) struct Again<'a> {
    pub(super) resource: &'a str,
    pub(super) connection: u64,
    pub(super) recording: &'a dyn Recording,
    pub(super) detectors: &'a Detectors,
    pub(super) leg: &'a mut Leg,
    pub(super) input: BytesMut,
    pub(super) decoder: Decoder,
    pub(super) ended: watch::Receiver<Option<Ended>>,
    pub(super) state: State,
}

/// What the messages so far have made of the session.
#[derive(Default)]
pub(super) struct State {
    tx: Tx,
    /// After an error: everything up to the Sync.
    skipping: bool,
    /// The text of each prepared statement.
    prepared: HashMap<Bytes, String>,
    /// The text behind each portal.
    portals: HashMap<Bytes, String>,
    batch: Batch,
    /// The statement that takes a COPY.
    copying: Option<Copying>,
    out: BytesMut,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Tx {
    #[default]
    Idle,
    In,
    Failed,
}

/// Messages that no record covers yet.
#[derive(Default)]
struct Batch {
    bytes: BytesMut,
    parts: Vec<Part>,
    /// The text of the statement that they are about.
    text: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    Close,
}

/// A COPY into the upstream, in work.
struct Copying {
    tag: Option<String>,
    /// What fails at its end.
    error: Option<Bytes>,
    /// The Sync comes by itself.
    query: Option<VecDeque<Recorded>>,
}

impl Again<'_> {
    /// To its end. `greeting` is what a client is told before its first message.
    pub(super) async fn run(mut self, greeting: BytesMut) -> Result<(), Cut> {
        self.state.out = greeting;
        loop {
            self.drain().await?;
            let frame = match self.decoder.next_or_skipped(&mut self.input)? {
                Some(Incoming::Frame(frame)) => frame,
                // Above the limit: it was refused then, by its type and length.
                Some(Incoming::Skipped(_)) => return Err(self.over()),
                None => match self.fill().await? {
                    0 => return Ok(()),
                    _ => continue,
                },
            };
            match FromClient::decode(&frame)? {
                FromClient::Terminate => return Ok(()),
                message => self.on(message, &frame)?,
            }
        }
    }

    async fn fill(&mut self) -> Result<usize, Cut> {
        let read = self.leg.fill(&mut self.input);
        tokio::select! {
            biased;
            // A registry that is gone means the same.
            _ = self.ended.wait_for(Option::is_some) => Err(Cut { why: "run-ended", tell: Some(fatal("57P01", RUN_OVER)) }),
            read = read => Ok(read.unwrap_or(0)),
        }
    }

    async fn drain(&mut self) -> Result<(), Cut> {
        let drained = tokio::time::timeout(HTTP_READ, self.leg.drain(&mut self.state.out)).await;
        match drained {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Cut::quiet("client-closed")),
        }
    }

    /// There is no answer to what follows.
    fn over(&self) -> Cut {
        self.recording.beyond(self.resource, NOT_RECORDED);
        Cut { why: "not-recorded", tell: Some(fatal("57P01", NOT_RECORDED)) }
    }

    fn on(&mut self, message: FromClient, frame: &Frame) -> Result<(), Cut> {
        if self.state.copying.is_some() {
            return self.on_copy(&message);
        }
        if self.state.skipping && !matches!(message, FromClient::Sync) {
            return Ok(());
        }
        match message {
            FromClient::Query { sql } => self.on_query(&sql, frame),
            FromClient::Parse(parse) => {
                let text = readable(&parse.sql);
                if self.state.batch.text.is_some() {
                    self.cover("parse")?;
                }
                if self.refused("parse", frame, &text)? {
                    return Ok(());
                }
                self.state.prepared.insert(parse.statement.to_bytes(), text.clone());
                self.part(frame, Part::Parse, Some(text))
            }
            FromClient::Bind(bind) => {
                let text = self.state.prepared.get(bind.statement.as_bytes()).cloned().unwrap_or_default();
                if self.refused("bind", frame, &text)? {
                    return Ok(());
                }
                self.state.portals.insert(bind.portal.to_bytes(), text.clone());
                self.part(frame, Part::Bind, Some(text))
            }
            FromClient::Describe(target) => {
                let (text, part) = match &target {
                    Target::Statement(name) => {
                        (self.state.prepared.get(name.as_bytes()), Part::DescribeStatement)
                    }
                    Target::Portal(name) => (self.state.portals.get(name.as_bytes()), Part::DescribePortal),
                };
                let text = text.cloned().unwrap_or_default();
                if self.refused("describe", frame, &text)? {
                    return Ok(());
                }
                self.part(frame, part, Some(text))
            }
            FromClient::Execute { portal, .. } => {
                let text = self.state.portals.get(portal.as_bytes()).cloned().unwrap_or_default();
                if self.refused("execute", frame, &text)? {
                    return Ok(());
                }
                self.part(frame, Part::Execute, Some(text.clone()))?;
                let batch = std::mem::take(&mut self.state.batch);
                self.ask("execute", &batch, &text)
            }
            FromClient::Close(target) => {
                match &target {
                    Target::Statement(name) => self.state.prepared.remove(name.as_bytes()),
                    Target::Portal(name) => self.state.portals.remove(name.as_bytes()),
                };
                self.part(frame, Part::Close, None)
            }
            FromClient::Sync => {
                self.cover("describe")?;
                self.state.skipping = false;
                self.ready()
            }
            FromClient::Flush => self.cover("describe"),
            FromClient::FunctionCall(_) => match self.refused("function-call", frame, "")? {
                true => {
                    self.state.skipping = false;
                    self.ready()
                }
                false => Err(self.over()),
            },
            FromClient::CopyData(_) | FromClient::CopyDone | FromClient::CopyFail { .. } => Ok(()),
            FromClient::PasswordLike(_) | FromClient::Terminate => Err(self.over()),
        }
    }

    fn part(&mut self, frame: &Frame, part: Part, text: Option<String>) -> Result<(), Cut> {
        // As a session's: what is of another statement is asked by itself.
        if text.is_some() && self.state.batch.text.is_some() && self.state.batch.text != text {
            self.cover("describe")?;
        }
        let batch = &mut self.state.batch;
        frame.encode(&mut batch.bytes)?;
        batch.parts.push(part);
        if text.is_some() {
            batch.text = text;
        }
        Ok(())
    }

    /// Answers what was prepared, bound, described or closed and is not executed in the same breath.
    fn cover(&mut self, via: &'static str) -> Result<(), Cut> {
        if self.state.batch.parts.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.state.batch);
        let text = batch.text.clone().unwrap_or_default();
        self.ask(via, &batch, &text)
    }

    fn asking<T>(
        &self,
        via: &'static str,
        bytes: &[u8],
        text: &str,
        ask: impl FnOnce(&dyn Recording, &Asking<'_>) -> T,
    ) -> T {
        let statement = masked(self.detectors, text);
        let asking = Asking {
            resource: self.resource,
            connection: self.connection,
            via,
            statement: &statement,
            form: Form::Postgres { bytes },
        };
        ask(self.recording, &asking)
    }

    /// Whether this message alone was refused; then the client is told.
    fn refused(&mut self, via: &'static str, frame: &Frame, text: &str) -> Result<bool, Cut> {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes)?;
        let Some(recorded) = self.asking(via, &bytes, text, |r, asking| r.refusal(asking)) else {
            return Ok(false);
        };
        // What came before in the same breath was done.
        self.cover("parse")?;
        if !self.state.skipping {
            self.tell(&recorded)?;
        }
        Ok(true)
    }

    fn ask(&mut self, via: &'static str, batch: &Batch, text: &str) -> Result<(), Cut> {
        let Some(recorded) = self.asking(via, &batch.bytes, text, |r, asking| r.answer(asking)) else {
            return Err(self.over());
        };
        let Answer::Postgres(reply) = &recorded.answer else { return self.tell(&recorded) };
        if reply.failed && !takes_copy(reply) {
            return self.fail(reply);
        }
        for part in &batch.parts {
            match part {
                Part::Parse => FromUpstream::ParseComplete.encode(&mut self.state.out)?,
                Part::Bind => FromUpstream::BindComplete.encode(&mut self.state.out)?,
                Part::Close => FromUpstream::CloseComplete.encode(&mut self.state.out)?,
                Part::DescribeStatement => {
                    self.say(reply, tag::PARAMETER_DESCRIPTION)?;
                    self.shape(reply)?;
                }
                Part::DescribePortal => self.shape(reply)?,
                Part::Execute => self.execute(reply, text, None)?,
            }
        }
        Ok(())
    }

    fn on_query(&mut self, sql: &RawField, frame: &Frame) -> Result<(), Cut> {
        self.cover("describe")?;
        let text = readable(sql);
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes)?;
        let mut statements: Vec<String> = match sql::parse(&text) {
            Ok(all) => all.iter().map(|statement| statement.text().to_owned()).collect(),
            Err(_) => vec![text.clone()],
        };
        if statements.is_empty() {
            statements.push(String::new());
        }
        let mut answers = VecDeque::new();
        for statement in statements {
            let Some(recorded) = self.asking("query", &bytes, &statement, |r, asking| r.answer(asking))
            else {
                return Err(self.over());
            };
            let last = match &recorded.answer {
                Answer::Postgres(reply) => reply.failed,
                Answer::Refused { .. } | Answer::Http(_) => true,
            };
            answers.push_back(recorded);
            if last {
                break;
            }
        }
        self.query_on(answers, &text)
    }

    /// The answers to the statements of a Query, as far as a COPY lets them.
    fn query_on(&mut self, mut answers: VecDeque<Recorded>, text: &str) -> Result<(), Cut> {
        while let Some(recorded) = answers.pop_front() {
            let Answer::Postgres(reply) = &recorded.answer else {
                self.tell(&recorded)?;
                continue;
            };
            if reply.failed && !takes_copy(reply) {
                self.fail(reply)?;
                continue;
            }
            if !reply.fields.is_empty() {
                self.shape(reply)?;
            }
            if takes_copy(reply) {
                return self.execute(reply, text, Some(answers));
            }
            self.execute(reply, text, None)?;
        }
        self.state.skipping = false;
        self.ready()
    }

    /// What an Execute was answered.
    fn execute(&mut self, reply: &Reply, text: &str, query: Option<VecDeque<Recorded>>) -> Result<(), Cut> {
        self.say(reply, tag::NOTICE)?;
        self.say(reply, tag::PARAMETER_STATUS)?;
        if takes_copy(reply) {
            self.say(reply, tag::COPY_IN)?;
            let error = reply.said.iter().find(|(of, _)| *of == tag::ERROR).map(|(_, body)| body.clone());
            self.state.copying = Some(Copying { tag: reply.tag.clone(), error, query });
            return Ok(());
        }
        if let Some((_, formats)) = reply.said.iter().find(|(of, _)| *of == tag::COPY_OUT) {
            self.say(reply, tag::COPY_OUT)?;
            let binary = formats.first() == Some(&1);
            let csv = text.to_ascii_lowercase().contains("csv");
            for row in copied(&reply.copy, binary, csv) {
                FromUpstream::CopyData(RawField::new(row)).encode(&mut self.state.out)?;
            }
            FromUpstream::CopyDone.encode(&mut self.state.out)?;
        }
        for row in &reply.rows {
            Frame { tag: tag::DATA_ROW, body: row_of(row) }.encode(&mut self.state.out)?;
        }
        match &reply.tag {
            Some(tag) => self.complete(tag, text),
            None if text.trim().trim_matches(';').is_empty() => {
                Ok(FromUpstream::EmptyQuery.encode(&mut self.state.out)?)
            }
            None => Ok(FromUpstream::PortalSuspended.encode(&mut self.state.out)?),
        }
    }

    /// Cursors and portals share their names.
    fn declared(&mut self, text: &str) {
        for statement in sql::parse(text).unwrap_or_default() {
            if let Some(name) = statement.declares() {
                let name = Bytes::copy_from_slice(name.as_bytes());
                self.state.portals.insert(name, statement.text().to_owned());
            }
        }
    }

    fn complete(&mut self, tag: &str, text: &str) -> Result<(), Cut> {
        if tag == "DECLARE CURSOR" {
            self.declared(text);
        }
        let to_savepoint = || text.split_whitespace().any(|word| word.eq_ignore_ascii_case("to"));
        self.state.tx = match tag {
            "BEGIN" | "START TRANSACTION" => Tx::In,
            "ROLLBACK" if to_savepoint() => Tx::In,
            "COMMIT" | "ROLLBACK" | "PREPARE TRANSACTION" => Tx::Idle,
            _ => self.state.tx,
        };
        let tag = RawField::copy_from(tag.as_bytes());
        Ok(FromUpstream::CommandComplete { tag }.encode(&mut self.state.out)?)
    }

    /// The client's side of a COPY into the upstream: its data is not in the record, so nothing is compared.
    fn on_copy(&mut self, message: &FromClient) -> Result<(), Cut> {
        match message {
            FromClient::CopyDone | FromClient::CopyFail { .. } => {}
            FromClient::CopyData(_) | FromClient::Flush | FromClient::Sync => return Ok(()),
            _ => return Err(self.over()),
        }
        let Some(copying) = self.state.copying.take() else { return Ok(()) };
        match (copying.error, copying.tag) {
            (Some(body), _) => self.error(body)?,
            (None, Some(tag)) => self.complete(&tag, "")?,
            (None, None) => return Err(self.over()),
        }
        match copying.query {
            Some(rest) => self.query_on(rest, ""),
            None => Ok(()),
        }
    }

    /// The columns, or that there are none.
    fn shape(&mut self, reply: &Reply) -> Result<(), Cut> {
        if reply.fields.is_empty() {
            return Ok(FromUpstream::NoData.encode(&mut self.state.out)?);
        }
        let columns = reply.fields.iter().map(|(name, kind, format)| Column {
            name: RawField::copy_from(name.as_bytes()),
            type_oid: *kind,
            type_size: size_of(*kind),
            type_modifier: -1,
            format: if *format == 1 { Format::Binary } else { Format::Text },
            table: 0,
            attribute: 0,
        });
        let described = RowDescription { columns: columns.collect() };
        Ok(FromUpstream::RowDescription(described).encode(&mut self.state.out)?)
    }

    /// What was said by messages with this tag.
    fn say(&mut self, reply: &Reply, of: u8) -> Result<(), Cut> {
        for (tag, body) in reply.said.iter().filter(|(tag, _)| *tag == of) {
            Frame { tag: *tag, body: body.clone() }.encode(&mut self.state.out)?;
        }
        Ok(())
    }

    fn fail(&mut self, reply: &Reply) -> Result<(), Cut> {
        self.say(reply, tag::NOTICE)?;
        let said = reply.said.iter().find(|(of, _)| *of == tag::ERROR);
        match said {
            Some((_, body)) => self.error(body.clone()),
            // Recorded before errors were kept, or with `reel = "none"`.
            None => Err(self.over()),
        }
    }

    fn error(&mut self, body: Bytes) -> Result<(), Cut> {
        Frame { tag: tag::ERROR, body }.encode(&mut self.state.out)?;
        self.failed();
        Ok(())
    }

    fn failed(&mut self) {
        self.state.skipping = true;
        self.state.batch = Batch::default();
        if self.state.tx == Tx::In {
            self.state.tx = Tx::Failed;
        }
    }

    /// Tells what the gateway said then, in its words.
    fn tell(&mut self, recorded: &Recorded) -> Result<(), Cut> {
        let Answer::Refused { code, message, rules, by_policy } = &recorded.answer else {
            return Err(self.over());
        };
        let (detail, hint) = match by_policy {
            true => {
                let rules: Vec<&str> = rules.iter().map(AsRef::as_ref).collect();
                (Some(rules_detail(&rules, message)), true)
            }
            false => (None, code == "42501"),
        };
        let hint = hint.then(|| ask_keeper(recorded.seq.0));
        let mut fields = Fields::default()
            .with(field::SEVERITY, "ERROR")
            .with(field::SEVERITY_FIXED, "ERROR")
            .with(field::SQLSTATE, code.clone())
            .with(field::MESSAGE, message.clone());
        for (of, text) in [(field::DETAIL, detail), (field::HINT, hint)] {
            if let Some(text) = text {
                fields = fields.with(of, text);
            }
        }
        encode_error(&mut self.state.out, &fields)?;
        self.failed();
        Ok(())
    }

    fn ready(&mut self) -> Result<(), Cut> {
        let status = match self.state.tx {
            Tx::Idle => TxStatus::Idle,
            Tx::In => TxStatus::InTransaction,
            Tx::Failed => TxStatus::Failed,
        };
        Ok(FromUpstream::ReadyForQuery(status).encode(&mut self.state.out)?)
    }
}

const RUN_OVER: &str = "the run that this connection belongs to is over";

/// Whether the client sends the rows of a COPY.
fn takes_copy(reply: &Reply) -> bool {
    reply.said.iter().any(|(of, _)| *of == tag::COPY_IN)
}

/// A text as it would be recorded: its literals masked.
fn masked(detectors: &Detectors, text: &str) -> String {
    match sql::parse(text).as_deref() {
        Ok([statement]) => {
            let literals = sql::masked_literals(statement);
            mask::statement(detectors, statement.text(), &literals).as_str().to_owned()
        }
        Ok([]) => String::new(),
        Ok(_) | Err(_) => "[a statement that cannot be read]".to_owned(),
    }
}

fn readable(text: &RawField) -> String {
    text.to_str().unwrap_or_default().to_owned()
}

/// The body of a row: how many cells, then each behind its length. Spec: PostgreSQL 18, 54.7 "DataRow".
fn row_of(cells: &[Option<Bytes>]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(u16::try_from(cells.len()).unwrap_or(u16::MAX));
    for cell in cells {
        match cell {
            None => body.put_i32(-1),
            Some(cell) => {
                body.put_i32(i32::try_from(cell.len()).unwrap_or(i32::MAX));
                body.extend_from_slice(cell);
            }
        }
    }
    body.freeze()
}

/// The rows of a COPY in text, one a message, as a server sends them; binary data in one piece. In CSV a quoted value may
/// hold a line's end.
fn copied(data: &Bytes, binary: bool, csv: bool) -> Vec<Bytes> {
    if binary {
        return if data.is_empty() { Vec::new() } else { vec![data.clone()] };
    }
    let (mut rows, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in data.iter().enumerate() {
        quoted ^= csv && *byte == b'"';
        if *byte == b'\n' && !quoted {
            rows.push(data.slice(from..=at));
            from = at + 1;
        }
    }
    if from < data.len() {
        rows.push(data.slice(from..));
    }
    rows
}

/// The size of a type of fixed size, in bytes; -1 for the others. Drivers show it and lean on nothing.
fn size_of(oid: u32) -> i16 {
    match oid {
        16 => 1,
        21 => 2,
        23 | 26 | 700 | 1082 => 4,
        20 | 701 | 1083 | 1114 | 1184 => 8,
        1186 | 2950 => 16,
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_it_was_kept() {
        let row = [Some(Bytes::from_static(b"ab")), None, Some(Bytes::new())];
        assert_eq!(&row_of(&row)[..], b"\x00\x03\x00\x00\x00\x02ab\xff\xff\xff\xff\x00\x00\x00\x00");
    }

    #[test]
    fn rows_of_a_copy_are_told_one_by_one() {
        let data = Bytes::from_static(b"1,\"a\nb\"\n2,c\n");
        assert_eq!(copied(&data, false, true), [&b"1,\"a\nb\"\n"[..], b"2,c\n"]);
        assert_eq!(copied(&data, false, false).len(), 3);
        assert_eq!(copied(&data, true, false), [&data[..]]);
    }

    #[test]
    fn what_is_looked_for_holds_no_literal() {
        let detectors = Detectors::new();
        assert_eq!(masked(&detectors, "select 'x', 1 from t"), "select '?', ? from t");
        assert_eq!(masked(&detectors, ""), "");
        assert_eq!(masked(&detectors, "selec t"), "[a statement that cannot be read]");
    }
}
