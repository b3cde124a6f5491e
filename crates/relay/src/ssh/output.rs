//! A program's output, from the host to the client: each piece masked, decided, recorded, and then released; and how it ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gate::{By, Exposure, Ground, Outcome, Piece, Release, Tripped};
use ledger::{Durable, Map, PayloadPlain};
use mask::body::{Act, Body, Found, Media};
use mask::{Filter, FilterBuilder, FilterStream, Known, MaskedBytes};
use tokio::time::Instant;
use vocab::{Class, Group, Seq, Verdict};

use super::REFUSED_STATUS;
use super::asked::Asked;
use super::channel::{LOST, Started, signal_name, tag, told, withheld};
use super::decide::{Cut, Denied, Over};
use super::library::{Ear, Lane, Said, Sig};
use super::link::Link;
use super::writer::{ClientWriter, Ended, Stream};
use crate::alike::{room, tripped};
use crate::awaited::Awaited;
use crate::config::{Reel, Tripwire};
use crate::entropy;
use crate::limits::{
    CHUNK_BYTES, RECORD, SSH_AHEAD_MAX, SSH_PACKET_BYTES, SSH_PAUSE, SSH_TERMINAL_PAUSE, SSH_TYPED_BACK,
};
use crate::seat::Seat;

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
    out: Side,
    err: Side,
    /// Masked, and not yet released; and which stream each part of it belongs to.
    held: MaskedBytes,
    cuts: Vec<(Stream, usize)>,
    tripwires: BTreeSet<Tripped>,
    /// How many values each detector found that were masked.
    masked: BTreeMap<(&'static str, Class), u64>,
    classes: BTreeSet<Class>,
    hits: u64,
    /// Why what is held stays here, whatever policy says.
    stays: Option<&'static str>,
    filter: FilterBuilder,
    approved: BTreeSet<Group>,
    bytes: u64,
    pieces: u64,
    /// How many bytes replay may still show; `None`: it shows none.
    reel_left: Option<u64>,
    /// Whom the reel shows it to: nobody who knows a value of it.
    nobody: Known,
    began: Instant,
}

/// One of the two streams.
struct Side {
    body: Body,
    /// What left of it, for the filter.
    left: FilterStream,
    /// What left of it, as the reel shows it.
    shown: Body,
}

impl Side {
    fn new() -> Side {
        let body = || Body::new(Media::Output, [].into(), BTreeSet::new());
        Side { body: body(), left: FilterStream::new(), shown: body() }
    }
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
            out: Side::new(),
            err: Side::new(),
            held: mask::constant(b""),
            cuts: Vec::new(),
            tripwires: BTreeSet::new(),
            masked: BTreeMap::new(),
            classes: BTreeSet::new(),
            hits: 0,
            stays: None,
            filter: FilterBuilder::new(),
            approved: BTreeSet::new(),
            bytes: 0,
            pieces: 0,
            reel_left: match link.resource.config.reel {
                Reel::Full => Some(u64::MAX),
                Reel::Head { bytes } => Some(bytes),
                Reel::None => None,
            },
            nobody: Known::new(entropy::random()),
            began: Instant::now(),
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
                    while self.held.as_bytes().len() < CHUNK_BYTES {
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
                Next::Pause => self.let_go(),
                Next::Over => {}
            }
            let over = self.closed || lost;
            if over {
                self.finish()?;
            }
            if self.held.as_bytes().is_empty() && !over {
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
        let waits = self.out.body.waits() || self.err.body.waits();
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
            Said::Answered(false) if self.bytes > 0 || !self.held.as_bytes().is_empty() => {
                return Err(Cut::upstream(LOST));
            }
            Said::Answered(done) => return Ok(!done),
            Said::Closed => self.closed = true,
        }
        Ok(false)
    }

    fn push(&mut self, stream: Stream, data: &[u8]) -> Result<(), Cut> {
        let echoes = self.started.seat.as_ref().is_some_and(|seat| seat.echoes(data));
        let before = self.held.as_bytes().len();
        if before == 0 && data.len() >= SSH_PACKET_BYTES as usize / 2 {
            // More follows: a piece is in one place from the beginning.
            self.held = MaskedBytes::with_room(CHUNK_BYTES + SSH_PACKET_BYTES as usize);
        }
        let (link, side) = (
            self.link,
            match stream {
                Stream::Out => &mut self.out,
                Stream::Err => &mut self.err,
            },
        );
        let masked = side.body.push_onto(&link.resource.detectors, &link.known(), data, &mut self.held);
        masked.map_err(|why| Cut { why: "unreadable", told: why.0 })?;
        let found = side.body.take_found();
        self.took(stream, before, found);
        if echoes {
            self.let_go();
        }
        Ok(())
    }

    /// Releases what is held of lines that have no end yet.
    fn let_go(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            let (link, side) = (self.link, self.side(stream));
            let masked = side.body.let_go(&link.resource.detectors, &link.known());
            let found = side.body.take_found();
            self.take(stream, masked, found);
        }
    }

    /// There is no more of either.
    fn finish(&mut self) -> Result<(), Cut> {
        for stream in [Stream::Out, Stream::Err] {
            let link = self.link;
            let body = std::mem::replace(&mut self.side(stream).body, Side::new().body);
            let rest = body.finish(&link.resource.detectors, &link.known());
            let (masked, found) = rest.map_err(|why| Cut { why: "unreadable", told: why.0 })?;
            self.take(stream, masked, found);
        }
        Ok(())
    }

    /// The filter of what leaves next: with the beginnings of tokens that may go on, since nothing may come after this.
    fn taken_filter(&mut self) -> Option<Filter> {
        let key = self.link.resource.gate.ledger().filter_key();
        for side in [&self.out, &self.err] {
            side.left.so_far(&mut self.filter, &key);
        }
        (!self.filter.is_empty()).then(|| self.filter.take())
    }

    fn side(&mut self, stream: Stream) -> &mut Side {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn take(&mut self, stream: Stream, masked: MaskedBytes, found: Found) {
        let before = self.held.as_bytes().len();
        self.held = std::mem::replace(&mut self.held, mask::constant(b"")).then(masked);
        self.took(stream, before, found);
    }

    /// What is held behind `before` came last, from this stream.
    fn took(&mut self, stream: Stream, before: usize, found: Found) {
        for hit in &found.tripped {
            self.classes.insert(hit.class.clone());
            if hit.act == Act::Masked {
                let breaks = self.asked.transfer && stream == Stream::Out;
                self.stays = self.stays.or(breaks.then_some(IN_A_TRANSFER));
                self.hits += hit.count;
                *self.masked.entry((hit.detector, hit.class.clone())).or_default() += hit.count;
            }
        }
        self.tripwires.extend(tripped(&found, "output"));
        let side = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        let masked = self.held.as_bytes().get(before..).unwrap_or_default();
        if masked.is_empty() {
            return;
        }
        let key = self.link.resource.gate.ledger().filter_key();
        side.left.piece(&mut self.filter, &key, masked);
        match self.cuts.last_mut() {
            Some((last, some)) if *last == stream => *some += masked.len(),
            Some(_) | None => self.cuts.push((stream, masked.len())),
        }
    }

    /// Shows what is held on the screen, and searches that.
    async fn show(&mut self) -> Result<(), Cut> {
        let Some(seat) = &self.started.seat else { return Ok(()) };
        let known = |value: &[u8]| self.link.known().origin(value).is_some();
        let shown = seat.show(&self.link.resource.detectors, known, self.held.as_bytes()).await;
        for line in &shown.lines {
            // It is what the program wrote, and is looked at as that.
            let line = mask::text(&self.link.resource.detectors, line).0;
            let noted = self.link.resource.gate.note_of(&self.link.who, self.of, "typed", line.as_str());
            let _before_the_piece = noted.map_err(|e| self.link.unrecorded(e))?;
        }
        self.classes.extend(shown.found.iter().map(|hit| hit.class.clone()));
        let why = match shown.found.is_empty() {
            false => Some(ON_SCREEN),
            true => shown.lost.then_some(TOO_MUCH_WORK),
        };
        self.stays = self.stays.or(why);
        self.tripwires.extend(shown.found);
        Ok(())
    }

    /// Whether policy, people and the tripwire let out what is held.
    async fn may_leave(&mut self, lane: &Lane, ended: &mut Over) -> Result<Option<Denied>, Cut> {
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let context = policy::Context {
            classes: self.classes.iter().cloned().collect(),
            // Output is decided as of now, however long ago the program began.
            now: entropy::wall(),
            ..self.asked.context.clone()
        };
        let bytes = self.bytes + self.held.as_bytes().len() as u64;
        let release = Some(policy::Release { rows: 0, bytes, tripwires: self.hits });
        let ground = Ground { action: self.asked.action(), context: &context, release };
        let cuts = self.hits > 0 && self.link.resource.config.tripwire == Tripwire::Cut;
        if let Some(why) = self.stays.or(cuts.then_some(TRIPPED)) {
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
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let (held, cuts) =
            (std::mem::replace(&mut self.held, mask::constant(b"")), std::mem::take(&mut self.cuts));
        let length = held.as_bytes().len() as u64;
        self.bytes += length;
        let reel: Vec<PayloadPlain> = self.reel(&held, &cuts, how.is_some()).into_iter().collect();
        let receipt = match how {
            None => {
                let piece = Piece {
                    n: self.pieces,
                    to: "client",
                    bytes: length,
                    exposures: self.exposures(false),
                    tripwires: std::mem::take(&mut self.tripwires),
                    filter: self.taken_filter(),
                    reel,
                    ..Piece::default()
                };
                self.pieces += 1;
                gate.piece(who, self.of, piece)
            }
            Some(how) => {
                let outcome = self.outcome(how, false);
                gate.outcome(who, self.of, Outcome { reel, ..outcome })
            }
        };
        let receipt = receipt.map_err(|e| self.link.unrecorded(e))?;
        if how.is_some() {
            self.link.settled(self.of);
        }
        Ok(Recorded { record: Awaited::new(receipt), held, cuts })
    }

    fn outcome(&mut self, how: &Ended, withheld: bool) -> Outcome {
        let (good, tag) = tag(&self.link.resource.gate, how);
        Outcome {
            result: if good { "ok" } else { "error" },
            state: "final",
            // Whether a command that says it failed has had an effect, only the host knows.
            settled: (!good).then_some("indeterminate"),
            code: (!good).then(|| tag.clone()),
            tag: Some(tag),
            bytes: self.bytes,
            exposures: self.exposures(withheld),
            tripwires: std::mem::take(&mut self.tripwires),
            // Of what stays here, none says that it left.
            filter: if withheld { None } else { self.taken_filter() },
            partial: Some(match self.asked.action().opaque.is_some() {
                true => "partial: the command is opaque; its output was searched by detector",
                false => "partial: searched by detector, since output has no columns",
            }),
            ..Outcome::default()
        }
    }

    /// Takes what was found since the last record.
    fn exposures(&mut self, withheld: bool) -> Vec<Exposure> {
        let exposure = |((_, class), cells)| Exposure {
            on: self.link.resource.root.clone(),
            class,
            at: "output",
            what: if withheld { "refused" } else { "masked" },
            by: By::Detector,
            rows: 0,
            cells,
            prints: Vec::new(),
        };
        std::mem::take(&mut self.masked).into_iter().map(exposure).collect()
    }

    /// What replay shows of a piece, and when: what detectors know is masked here also where the run was let see it, and where pieces cut it.
    ///
    /// What is typed comes back key by key: at a terminal few bytes wait for more, or for the end of their line. `last`: nothing comes.
    fn reel(&mut self, held: &MaskedBytes, cuts: &[(Stream, usize)], last: bool) -> Option<PayloadPlain> {
        let left = self.reel_left.as_mut().filter(|left| **left > 0)?;
        let length = usize::try_from(*left).unwrap_or(usize::MAX).min(held.as_bytes().len());
        let mut rest = held.as_bytes().get(..length)?;
        *left -= length as u64;
        let mut streams = self.started.seat.as_ref().map(Seat::sizes).unwrap_or_default();
        for (stream, length) in cuts {
            let (part, behind) = rest.split_at((*length).min(rest.len()));
            rest = behind;
            let waits = self.started.seat.is_some() && part.len() <= SSH_TYPED_BACK && !part.contains(&b'\n');
            let (detectors, nobody) = (&self.link.resource.detectors, &self.nobody);
            let side = match stream {
                Stream::Out => &mut self.out,
                Stream::Err => &mut self.err,
            };
            let shown = side.shown.push(detectors, nobody, part).ok()?;
            let shown = if waits { shown } else { shown.then(side.shown.let_go(detectors, nobody)) };
            streams.extend(said(*stream, &shown));
        }
        for (stream, side) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
            if last {
                let body = std::mem::replace(&mut side.shown, Side::new().shown);
                let (shown, _found) = body.finish(&self.link.resource.detectors, &self.nobody).ok()?;
                streams.extend(said(stream, &shown));
            }
        }
        if streams.is_empty() {
            return None;
        }
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let payload = PayloadPlain::new("ssh", Map::new().put("at", at).put("streams", streams));
        payload.fits().then_some(payload)
    }

    /// What is held stays here: recorded as refused, and the client is told.
    async fn withhold(mut self, lane: &Lane, denied: Denied) -> Result<Carried, Cut> {
        let words = self.link.record_refusal(self.asked, &denied, REFUSED_STATUS, self.pieces > 0).await?;
        let outcome = self.outcome(&Ended::Exit(0), true);
        let outcome = Outcome { result: "refused", tag: None, settled: Some("indeterminate"), ..outcome };
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

/// What a stream said, for the reel.
fn said(stream: Stream, shown: &MaskedBytes) -> Option<Map> {
    let data = shown.field(0..shown.as_bytes().len()).filter(|_| !shown.as_bytes().is_empty())?;
    Some(Map::new().put("s", stream.as_str()).put("data", data))
}
