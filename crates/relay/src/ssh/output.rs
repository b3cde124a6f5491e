//! A program's output, from the host to the client: each piece masked, decided, recorded, and then released; and how it ended.

use std::collections::{BTreeSet, VecDeque};

use gate::{Ground, Outcome, Piece, Release};
use ledger::Durable;
use mask::MaskedBytes;
use mask::body::Unreadable;
use vocab::{Group, Seq, Verdict};

use super::REFUSED_STATUS;
use super::asked::Asked;
use super::channel::{LOST, Started, signal_name, tag, told, withheld};
use super::decide::{Cut, Denied, Over};
use super::library::{Ear, Lane, Said, Sig};
use super::link::Link;
use super::writer::{ClientWriter, Ended};
use crate::alike::room;
use crate::awaited::Awaited;
use crate::config::Tripwire;
use crate::entropy;
use crate::limits::{CHUNK_BYTES, RECORD, SSH_AHEAD_MAX, SSH_PAUSE, SSH_TERMINAL_PAUSE};
use crate::program::{Look, Stream, Writes};

const HELD_BACK: &str = "policy holds back the output";
const TRIPPED: &str = "a detector found a value that no rule governs";
const ON_SCREEN: &str =
    "a value came together on the screen that no rule governs, and that could not be masked there";
const IN_A_TRANSFER: &str = "a value stands in what is transferred, and a placeholder there would break it";
const TOO_MUCH_WORK: &str = "what the program does to the screen is more than the gateway follows";
const NOT_STARTED: &str = "the host did not start the command";

/// How a program came to its end.
pub(super) enum Carried {
    /// By itself, and the client knows.
    Ended,
    /// Its output stays here, and the client knows.
    Withheld,
    /// The host did not start it, and the client knows.
    NotStarted,
}

/// What a program says, on its way.
pub(super) struct Output<'a> {
    link: &'a Link,
    asked: &'a Asked,
    of: Seq,
    started: &'a Started,
    /// The host has said whether it starts the program.
    answered: bool,
    /// The host has closed the channel, and all that came of it came.
    closed: bool,
    writes: Writes,
    /// Why what is held stays here, whatever policy says.
    stays: Option<&'static str>,
    approved: BTreeSet<Group>,
}

/// A piece whose record is on its way.
struct Recorded {
    record: Awaited,
    held: MaskedBytes,
    cuts: Vec<(Stream, usize)>,
}

/// What comes next.
enum Next {
    Said(Said),
    /// Nothing, while something of a line is held.
    Pause,
    Over,
}

impl<'a> Output<'a> {
    pub(super) fn new(link: &'a Link, asked: &'a Asked, started: &'a Started) -> Output<'a> {
        Output {
            link,
            asked,
            of: started.of,
            started,
            answered: false,
            closed: false,
            writes: Writes::new(link.resource.config.reel),
            stays: None,
            approved: BTreeSet::new(),
        }
    }

    /// Carries all of it. Errors: nobody knows how the program ended, or the client is gone.
    ///
    /// Pieces are recorded ahead of those that wait for their records: each leaves after its own.
    pub(super) async fn carry(mut self, lane: &Lane, mut ear: Ear, ended: &mut Over) -> Result<Carried, Cut> {
        let (mut how, mut recorded) = (None, VecDeque::new());
        loop {
            let has_room = recorded.len() < SSH_AHEAD_MAX;
            let next = tokio::select! {
                biased;
                durable = self.first(&mut recorded), if !recorded.is_empty() => {
                    self.release(lane, durable?, recorded.pop_front()).await?;
                    continue;
                }
                next = self.next(&mut ear), if has_room => next,
            };
            let lost = matches!(next, Next::Over) && !self.closed;
            match next {
                Next::Said(said) => {
                    if self.hear(said, &mut how)? {
                        return self.not_started(lane).await;
                    }
                    // What has come together leaves together.
                    while self.writes.held().len() < CHUNK_BYTES {
                        match ear.now().await {
                            Some(said) => {
                                if self.hear(said, &mut how)? {
                                    return self.not_started(lane).await;
                                }
                            }
                            None => break,
                        }
                    }
                }
                Next::Pause => self.look(Writes::let_go),
                Next::Over => {}
            }
            let over = self.closed || lost;
            if over {
                self.look(Writes::finish).map_err(unreadable)?;
            }
            if self.writes.held().is_empty() && !over {
                continue;
            }
            room(&self.link.resource.gate).await;
            self.show().await?;
            if self.link.resource.gate.decides_releases(&self.link.who) {
                // A person may be asked, and what was let out before does not wait for that.
                self.release_all(lane, &mut recorded).await?;
            }
            if let Some(denied) = self.may_leave(lane, ended).await? {
                self.release_all(lane, &mut recorded).await?;
                return self.withhold(lane, denied).await;
            }
            if !over {
                recorded.push_back(self.record(None)?);
                continue;
            }
            self.release_all(lane, &mut recorded).await?;
            let how = how.filter(|_| !lost).ok_or_else(|| Cut::upstream(LOST))?;
            recorded.push_back(self.record(Some(&how))?);
            self.release_all(lane, &mut recorded).await?;
            told(lane, how).await?;
            return Ok(Carried::Ended);
        }
    }

    /// Waits for the record of the first of these.
    async fn first(&self, recorded: &mut VecDeque<Recorded>) -> Result<Durable, Cut> {
        let Some(first) = recorded.front_mut() else { return std::future::pending().await };
        first.record.durable().await.ok_or_else(|| self.link.no_record())
    }

    async fn release_all(&self, lane: &Lane, recorded: &mut VecDeque<Recorded>) -> Result<(), Cut> {
        while !recorded.is_empty() {
            let durable = self.first(recorded).await?;
            self.release(lane, durable, recorded.pop_front()).await?;
        }
        Ok(())
    }

    /// Its record is durable: it leaves.
    async fn release(&self, lane: &Lane, durable: Durable, recorded: Option<Recorded>) -> Result<(), Cut> {
        let Some(Recorded { held, cuts, .. }) = recorded else { return Ok(()) };
        ClientWriter(lane).send(Release::after(durable, held), &cuts).await.map_err(|_gone| Cut::closed())
    }

    async fn next(&self, ear: &mut Ear) -> Next {
        let waits = self.writes.waits();
        let pause = if self.started.seat.is_some() { SSH_TERMINAL_PAUSE } else { SSH_PAUSE };
        let next = match waits {
            true => tokio::time::timeout(pause, ear.next()).await,
            false => Ok(ear.next().await),
        };
        match next {
            Ok(Some(said)) => Next::Said(said),
            Ok(None) => Next::Over,
            Err(_pause) => Next::Pause,
        }
    }

    /// `true`: the host did not start the program.
    fn hear(&mut self, said: Said, how: &mut Option<Ended>) -> Result<bool, Cut> {
        match said {
            Said::Out(data) => self.push(Stream::Out, &data)?,
            Said::Err(data) => self.push(Stream::Err, &data)?,
            Said::Exit(status) => *how = Some(Ended::Exit(status)),
            Said::Signal(signal, core, _words_of_the_hosts) => {
                // Another name than the standard's could say anything.
                let named = signal_name(&signal).is_some();
                let signal = if named { signal } else { Sig::Custom("UNKNOWN@tachograph".to_owned()) };
                *how = Some(Ended::Signal { signal, core });
            }
            // It answers one request, and before the program says anything.
            Said::Answered(_) if std::mem::replace(&mut self.answered, true) => {
                return Err(Cut::upstream(LOST));
            }
            Said::Answered(false) if self.writes.bytes > 0 || !self.writes.held().is_empty() => {
                return Err(Cut::upstream(LOST));
            }
            Said::Answered(done) => return Ok(!done),
            Said::Closed => self.closed = true,
        }
        Ok(false)
    }

    /// By whom and what its streams are looked at.
    fn look<T>(&mut self, with: impl FnOnce(&mut Writes, &Look<'_>) -> T) -> T {
        let resource = &self.link.resource;
        let (known, key) = (self.link.known(), resource.gate.ledger().filter_key());
        with(&mut self.writes, &Look { detectors: &resource.detectors, known: &known, key: &key })
    }

    fn push(&mut self, stream: Stream, data: &[u8]) -> Result<(), Cut> {
        let echoes = self.started.seat.as_ref().is_some_and(|seat| seat.echoes(data));
        self.look(|writes, look| writes.push(look, stream, data)).map_err(unreadable)?;
        if echoes {
            self.look(Writes::let_go);
        }
        Ok(())
    }

    /// Shows what is held on the screen, and searches that.
    async fn show(&mut self) -> Result<(), Cut> {
        let Some(seat) = &self.started.seat else { return Ok(()) };
        let known = |value: &[u8]| self.link.known().origin(value).is_some();
        let shown = seat.show(&self.link.resource.detectors, known, self.writes.held()).await;
        for line in &shown.lines {
            // It is what the program wrote, and is looked at as that.
            let line = mask::text(&self.link.resource.detectors, line).0;
            let noted = self.link.resource.gate.note_of(&self.link.who, self.of, "typed", line.as_str());
            let _before_the_piece = noted.map_err(|e| self.link.unrecorded(e))?;
        }
        let why = match shown.found.is_empty() {
            false => Some(ON_SCREEN),
            true => shown.lost.then_some(TOO_MUCH_WORK),
        };
        self.stays = self.stays.or(why);
        self.writes.on_screen(shown.found);
        Ok(())
    }

    /// Whether policy, people and the tripwire let out what is held.
    async fn may_leave(&mut self, lane: &Lane, ended: &mut Over) -> Result<Option<Denied>, Cut> {
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let context = policy::Context {
            classes: self.writes.classes.iter().cloned().collect(),
            // Output is decided as of now, however long ago the program began.
            now: entropy::wall(),
            ..self.asked.context.clone()
        };
        let bytes = self.writes.bytes + self.writes.held().len() as u64;
        let release = Some(policy::Release { rows: 0, bytes, tripwires: self.writes.hits });
        let ground = Ground { action: self.asked.action(), context: &context, release };
        let cuts = self.writes.hits > 0 && self.link.resource.config.tripwire == Tripwire::Cut;
        let breaks = self.asked.transfer && self.writes.hit_out;
        let stays = self.stays.or(breaks.then_some(IN_A_TRANSFER));
        if let Some(why) = stays.or(cuts.then_some(TRIPPED)) {
            let mut decided = gate.verdict(who, &Ground { release: None, ..ground }, &BTreeSet::new());
            decided.message = None;
            return Ok(Some(Denied { decided: decided.into(), why, of: Some(self.of) }));
        }
        if !gate.decides_releases(who) {
            return Ok(None);
        }
        let decided = gate.verdict(who, &ground, &self.approved);
        match decided.verdict {
            Verdict::Allow => Ok(None),
            Verdict::Refuse => {
                Ok(Some(Denied { decided: decided.into(), why: HELD_BACK, of: Some(self.of) }))
            }
            Verdict::Ask(_) => {
                match self.link.ask(lane, self.asked, decided, &ground, Some(self.of), ended).await? {
                    Ok((decided, _)) => {
                        self.approved = decided.approved.clone();
                        Ok(None)
                    }
                    Err(denied) => Ok(Some(denied)),
                }
            }
        }
    }

    /// Begins to record what is held. `how`: with the outcome.
    fn record(&mut self, how: Option<&Ended>) -> Result<Recorded, Cut> {
        let (link, started) = (self.link, self.started);
        let root = &link.resource.root;
        let (left, piece) =
            self.look(|writes, look| writes.piece(look, root, started.seat.as_ref(), how.is_some()));
        let (gate, who) = (&link.resource.gate, &link.who);
        let receipt = match how {
            None => gate.piece(who, self.of, piece),
            Some(how) => {
                let Piece { exposures, tripwires, filter, reel, .. } = piece;
                let outcome = Outcome { exposures, tripwires, filter, reel, ..self.outcome(how) };
                gate.outcome(who, self.of, outcome)
            }
        };
        let receipt = receipt.map_err(|e| link.unrecorded(e))?;
        if how.is_some() {
            link.settled(self.of);
        }
        Ok(Recorded { record: Awaited::new(receipt), held: left.held, cuts: left.cuts })
    }

    fn outcome(&self, how: &Ended) -> Outcome {
        let (good, tag) = tag(&self.link.resource.gate, how);
        Outcome {
            result: if good { "ok" } else { "error" },
            state: "final",
            // Whether a command that says it failed has had an effect, only the host knows.
            settled: (!good).then_some("indeterminate"),
            code: (!good).then(|| tag.clone()),
            tag: Some(tag),
            bytes: self.writes.bytes,
            partial: Some(match self.asked.action().opaque.is_some() {
                true => "partial: the command is opaque; its output was searched by detector",
                false => "partial: searched by detector, since output has no columns",
            }),
            ..Outcome::default()
        }
    }

    /// What is held stays here: recorded as refused, and the client is told.
    async fn withhold(mut self, lane: &Lane, denied: Denied) -> Result<Carried, Cut> {
        let words =
            self.link.record_refusal(self.asked, &denied, REFUSED_STATUS, self.writes.pieces > 0).await?;
        // Of what stays here, none says that it left.
        let (exposures, tripwires) = self.writes.withheld(&self.link.resource.root);
        let outcome = Outcome {
            result: "refused",
            tag: None,
            settled: Some("indeterminate"),
            exposures,
            tripwires,
            ..self.outcome(&Ended::Exit(0))
        };
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let receipt = gate.outcome(who, self.of, outcome).map_err(|e| self.link.unrecorded(e))?;
        self.link.settled(self.of);
        let _durable = self.link.durable(receipt, RECORD).await?;
        withheld(self.link, lane, &words).await;
        Ok(Carried::Withheld)
    }

    /// The host says that it starts no such thing.
    pub(super) async fn not_started(self, lane: &Lane) -> Result<Carried, Cut> {
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let outcome = Outcome {
            result: "error",
            state: "final",
            tag: Some(mask::MaskedText::constant("not started")),
            partial: Some("partial: the host did not start it"),
            ..Outcome::default()
        };
        let receipt = gate.outcome(who, self.of, outcome).map_err(|e| self.link.unrecorded(e))?;
        self.link.settled(self.of);
        let _durable = self.link.durable(receipt, RECORD).await?;
        self.link.fail(lane, &Cut::upstream(NOT_STARTED)).await;
        Ok(Carried::NotStarted)
    }
}

fn unreadable(why: Unreadable) -> Cut {
    Cut { why: "unreadable", told: why.0 }
}
