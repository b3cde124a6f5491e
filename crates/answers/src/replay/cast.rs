//! What went through channels of SSH and of pods, in time: taken out of record and reel, to be played, exported, or shown as a screen.
//!
//! A time is that of the record of what was written (RECORDS.md, "Payloads"), which is when it left the gateway: masking and
//! records come before.

use std::collections::{BTreeMap, BTreeSet};

use index::{Action, Run, Session};
use seal::cbor::{self, Value};
use terminal::{Size, Utf8};
use vocab::{Seq, WallTime};

use super::Replay;
use crate::desk::{Cannot, Desk, ProofLine};
use crate::limits::{ACTIONS_MAX, CAST_BYTES_MAX};
use crate::text::statement_line;
use crate::watch::Look;

/// Commands and terminals of one session, or one of them, from its first event on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    pub run: String,
    /// The resource, and the host's user.
    pub resource: String,
    pub user: String,
    pub began: WallTime,
    /// The size at first; later ones are events.
    pub size: Size,
    /// What the client called its terminal, if it had one.
    pub term: Option<String>,
    /// Sorted by time. Text is whole characters.
    pub events: Vec<Event>,
    /// How many commands and shells.
    pub actions: usize,
    /// The reel has more than is held here.
    pub cut: bool,
    pub proof: ProofLine,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the beginning.
    pub at: u64,
    /// The record that says so.
    pub seq: Seq,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A command or shell begins: its statement, masked, on one line.
    Begins(String),
    /// What a person at the terminal sees: standard output and error.
    Output(String),
    /// What the program was sent.
    Input(String),
    Size(Size),
    /// It ended: `exit 0`, `signal TERM`.
    Ends(String),
}

impl Cast {
    /// Nothing, of nobody: to be filled by [`Cast::output`].
    pub fn empty() -> Cast {
        Cast {
            run: String::new(),
            resource: String::new(),
            user: String::new(),
            began: WallTime(0),
            size: Size::default(),
            term: None,
            events: Vec::new(),
            actions: 0,
            cut: false,
            proof: ProofLine::default(),
        }
    }

    /// Adds output, `at` nanoseconds after the beginning.
    pub fn output(&mut self, at: u64, text: &str) {
        self.events.push(Event { at, seq: Seq(0), what: What::Output(text.to_owned()) });
    }

    /// Its length in nanoseconds.
    pub fn length(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at)
    }

    /// The same with no pause longer than `most` nanoseconds.
    pub fn without_pauses(mut self, most: u64) -> Cast {
        let (mut before, mut cut) = (0, 0);
        for event in &mut self.events {
            cut += (event.at - before).saturating_sub(most);
            before = event.at;
            event.at -= cut;
        }
        self
    }

    /// The same up to record `seq`.
    pub fn until(mut self, seq: Seq) -> Cast {
        self.events.retain(|event| event.seq <= seq);
        self
    }
}

impl Desk<'_> {
    /// What record `at` belongs to: a command or shell, or a session of them if it is where the session began. `None`: the
    /// only session of the run that has any.
    ///
    /// Errors: [`Cannot::NoTerminal`] (exit 2) if there is none, or which one is not said; [`Cannot::NoKey`] (exit 3).
    pub fn cast(&self, run: &str, at: Option<Seq>) -> Result<Cast, Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Replay, &run.id.to_string())?;
        let (session, actions) = chosen(run, at)?;
        let proof = self.sealing(proof, actions.iter().flat_map(|action| action.records.iter().copied()));
        self.cast_of(run, session, &actions, &proof)
    }

    /// A replay, and for each of its steps what it can be played as, if it is one of SSH or of a pod.
    ///
    /// Errors: those of [`Desk::replay`].
    pub fn replay_in_time(
        &self,
        run: &str,
        from: Option<Seq>,
    ) -> Result<(Replay, Vec<Option<Cast>>), Cannot> {
        let run = self.find_run(run)?;
        let proof = self.look(Look::Replay, &run.id.to_string())?;
        let replay = self.replay_run(run, from.unwrap_or(Seq(0))..=Seq(u64::MAX), proof)?;
        let by_seq: BTreeMap<u64, &Action> = run.actions.iter().map(|a| (a.asked.seq.0, a)).collect();
        let mut left = CAST_BYTES_MAX;
        let cast = |step: &super::ReplayStep| {
            let Some(action) = by_seq.get(&step.action.record).filter(|_| left > 0) else { return Ok(None) };
            let Some(session) = session_of(run, action) else { return Ok(None) };
            let cast = self.cast_of(run, session, &[*action], &replay.proof)?;
            left = left.saturating_sub(cast.events.iter().map(Event::bytes).sum());
            Ok(Some(cast).filter(|cast| cast.events.iter().any(|e| matches!(e.what, What::Output(_)))))
        };
        let casts = replay.steps.iter().map(cast).collect::<Result<_, Cannot>>()?;
        Ok((replay, casts))
    }

    fn cast_of(
        &self,
        run: &Run,
        session: &Session,
        actions: &[&Action],
        proof: &ProofLine,
    ) -> Result<Cast, Cannot> {
        let connect = session.connect.as_ref().map(|connect| &connect.what);
        let began = actions.iter().map(|action| begun(action)).min().unwrap_or_default();
        let mut cast = Cast {
            run: run.id.to_string(),
            resource: connect.map(|c| c.resource.to_string()).unwrap_or_default(),
            user: connect.map(|c| c.role.to_string()).unwrap_or_default(),
            began: WallTime(began),
            actions: actions.len(),
            cut: actions.len() > ACTIONS_MAX,
            proof: proof.clone(),
            ..Cast::empty()
        };
        let mut left = CAST_BYTES_MAX;
        for action in actions.iter().take(ACTIONS_MAX) {
            self.take(run, action, &mut cast, &mut left)?;
        }
        // Stable: what has one time stays in the order of its records.
        cast.events.sort_by_key(|event| event.at);
        if let Some(first) = cast.events.iter().position(|event| !matches!(event.what, What::Begins(_)))
            && let What::Size(size) = cast.events[first].what
        {
            cast.size = size;
            cast.events.remove(first);
        }
        Ok(cast)
    }

    /// Adds the events of one command or shell.
    fn take(&self, run: &Run, action: &Action, cast: &mut Cast, left: &mut usize) -> Result<(), Cannot> {
        let start = begun(action) - cast.began.0;
        let times = times(action);
        let mut taken =
            Taken { events: Vec::new(), joins: Joins::default(), terminal: None, last: (start, Seq(0)) };
        let first = action.intent.as_ref().map_or(action.asked.seq, |intent| intent.seq);
        taken.push(start, first, What::Begins(statement_line(&action.request().statement)));
        for seq in action.own_records().filter(|seq| !self.index.payloads(*seq).is_empty()) {
            let recorded = times.get(&seq).map_or(0, |at| at.saturating_sub(begun(action)));
            for plain in self.open(run, seq)? {
                if plain.len() > *left {
                    cast.cut = true;
                    break;
                }
                *left -= plain.len();
                taken.read(&plain, start, recorded, seq).map_err(|why| Cannot::Payload { seq, why })?;
            }
        }
        taken.rest();
        if let Some(outcome) = action.answer()
            && let Some(tag) = &outcome.what.tag
        {
            taken.push(
                start + outcome.at.0.saturating_sub(begun(action)),
                outcome.seq,
                What::Ends(tag.to_string()),
            );
        }
        cast.term = cast.term.take().or(taken.terminal.flatten());
        cast.events.append(&mut taken.events);
        Ok(())
    }
}

impl Event {
    fn bytes(&self) -> usize {
        match &self.what {
            What::Begins(text) | What::Output(text) | What::Input(text) | What::Ends(text) => text.len(),
            What::Size(_) => 0,
        }
    }
}

/// One command or shell, as far as it was read.
struct Taken {
    events: Vec<Event>,
    joins: Joins,
    /// Whether it has a terminal, and what the client called that.
    terminal: Option<Option<String>>,
    /// The time and record of the last event: none is before another that was recorded before it.
    last: (u64, Seq),
}

#[derive(Default)]
struct Joins {
    out: Utf8,
    err: Utf8,
    input: Utf8,
}

impl Taken {
    fn push(&mut self, at: u64, seq: Seq, what: What) {
        let at = at.max(self.last.0);
        self.last = (at, seq);
        self.events.push(Event { at, seq, what });
    }

    /// One payload. `start`: when its program began, since the cast did; `recorded`: when its record was made, since then.
    fn read(&mut self, plain: &[u8], start: u64, recorded: u64, seq: Seq) -> Result<(), String> {
        let value = cbor::decode(plain).map_err(|e| e.to_string())?;
        let said = value.get("at").and_then(Value::as_u64).map(|ms| ms.saturating_mul(1_000_000));
        let at = start.saturating_add(said.unwrap_or(recorded));
        for part in value.get("streams").and_then(Value::as_array).unwrap_or(&[]) {
            self.part(part, at, seq)?;
        }
        Ok(())
    }

    fn part(&mut self, part: &Value, at: u64, seq: Seq) -> Result<(), String> {
        let name = part.get("s").and_then(Value::as_text).ok_or("a stream has no name")?;
        if name == "size" {
            let number = |key| part.get(key).and_then(Value::as_u64).ok_or("a size has no columns or rows");
            let (columns, rows) = (number("columns")?, number("rows")?);
            let most = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
            let term = part.get("term").and_then(Value::as_text).map(str::to_owned);
            self.terminal = Some(self.terminal.take().flatten().or(term));
            self.push(at, seq, What::Size(Size::new(most(columns), most(rows))));
            return Ok(());
        }
        let Some(data) = part.get("data") else { return Ok(()) };
        let data = data.as_bytes().ok_or("what a stream says is not bytes")?;
        match name {
            "out" => {
                let text = self.joins.out.push(data);
                self.shown(text, at, seq);
            }
            "err" => {
                let text = self.joins.err.push(data);
                self.shown(text, at, seq);
            }
            "in" => {
                let text = self.joins.input.push(data);
                self.some(text, at, seq, What::Input);
            }
            // A stream that this version does not know is not shown as another; `tacho replay` lists it.
            _ => {}
        }
        Ok(())
    }

    /// Output without a terminal: where a line ends, the client's own terminal begins the next one at its left.
    fn shown(&mut self, text: String, at: u64, seq: Seq) {
        let text = if self.terminal.is_some() { text } else { text.replace('\n', "\r\n") };
        self.some(text, at, seq, What::Output);
    }

    fn some(&mut self, text: String, at: u64, seq: Seq, what: fn(String) -> What) {
        if !text.is_empty() {
            self.push(at, seq, what(text));
        }
    }

    /// Characters that were begun and that nobody ended.
    fn rest(&mut self) {
        let (at, seq) = self.last;
        let (out, err, input) = (self.joins.out.finish(), self.joins.err.finish(), self.joins.input.finish());
        self.some(out + &err, at, seq, What::Output);
        self.some(input, at, seq, What::Input);
    }
}

/// When it began: with its intent, since before that people may have been asked.
fn begun(action: &Action) -> u64 {
    action.intent.as_ref().map_or(action.asked.at, |intent| intent.at).0
}

/// When each record that may have a payload was made.
fn times(action: &Action) -> BTreeMap<Seq, u64> {
    let chunks = action.chunks.iter().map(|chunk| (chunk.seq, chunk.at.0));
    let outcomes = action.outcomes.iter().map(|outcome| (outcome.seq, outcome.at.0));
    let asked = [(action.asked.seq, action.asked.at.0)];
    let intent = action.intent.iter().map(|intent| (intent.seq, intent.at.0));
    asked.into_iter().chain(intent).chain(chunks).chain(outcomes).collect()
}

/// Whether an action has the streams of a program: whatever is asked of a host over SSH, and of a cluster what reaches into a
/// pod. The other requests of a cluster's clients are those of any service.
fn is_played(session: &Session, action: &Action) -> bool {
    let kind = session.connect.as_ref().and_then(|connect| connect.what.options.get("kind"));
    match kind.map(|kind| &**kind) {
        Some("ssh") => true,
        Some("kubernetes") => {
            let reaches = matches!(action.request().kind.as_deref(), Some("EXEC" | "ATTACH"));
            // The server may have answered with a status of HTTP: then no program was begun.
            let tag = action.answer().and_then(|outcome| outcome.what.tag.as_deref());
            reaches && tag.is_none_or(|tag| tag.parse::<u16>().is_err())
        }
        Some(_) | None => false,
    }
}

/// The session of a command or shell that was begun.
fn session_of<'a>(run: &'a Run, action: &Action) -> Option<&'a Session> {
    let session = action.session.and_then(|id| run.sessions.get(&id))?;
    action.intent.as_ref().filter(|_| is_played(session, action)).map(|_| session)
}

fn chosen(run: &Run, at: Option<Seq>) -> Result<(&Session, Vec<&Action>), Cannot> {
    let all: Vec<(&Session, &Action)> =
        run.actions.iter().filter_map(|action| Some((session_of(run, action)?, action))).collect();
    let sessions: BTreeSet<u64> = all.iter().map(|(session, _)| session.id).collect();
    let of = |id: u64| all.iter().filter(|(s, _)| s.id == id).map(|(_, action)| *action).collect::<Vec<_>>();
    let Some(at) = at else {
        return match (all.first(), sessions.len()) {
            (Some((session, _)), 1) => Ok((session, of(session.id))),
            (None, _) | (Some(_), _) => {
                Err(Cannot::NoTerminal { run: run.id, at, begins: begins(run, &sessions) })
            }
        };
    };
    if let Some((session, action)) = all.iter().find(|(_, action)| action.records.contains(&at)) {
        return Ok((session, vec![action]));
    }
    let here = |session: &&Session| session.connect.as_ref().is_some_and(|connect| connect.seq == at);
    match sessions.iter().filter_map(|id| run.sessions.get(id)).find(here) {
        Some(session) => Ok((session, of(session.id))),
        None => Err(Cannot::NoTerminal { run: run.id, at: Some(at), begins: begins(run, &sessions) }),
    }
}

/// Where sessions begin.
fn begins(run: &Run, sessions: &BTreeSet<u64>) -> Vec<Seq> {
    let connect = |id: &u64| run.sessions.get(id)?.connect.as_ref().map(|connect| connect.seq);
    sessions.iter().filter_map(connect).collect()
}
