//! scp's own protocol (`scp -O`), on the channel of the command that speaks it: each file and directory is an action of its own, decided
//! and recorded before the other side hears its line.
//!
//! | what is said | intent | what its record says |
//! |---|---|---|
//! | the command | one, of the channel | what the shell would do with it |
//! | `C`, a file | one; its outcome is the sink's last answer | the path, length and mode; content as pieces of it |
//! | `D`, a directory | one; its outcome is the sink's answer | the path |
//! | `T`, `E`, sentences | pieces of the command's | the bytes; of sentences the masked text |
//! | an answer without a sentence | none | it lets the other side do what was permitted |
//!
//! **Invariant:** content keeps its length, and so does what is masked in it. Where something may not leave, the copy ends: no file can be left
//! out in its middle.
//! **Invariant:** a file whose name has a finding does not leave.
//! **Invariant:** what a host says while it is not its turn is no answer, and behind a sentence of a host that takes files nothing more
//! is sent to it: some say one too many, and what comes next would be taken for something else there than here.
//!
//! Where the command runs is not said in this protocol. A relative path is one below `~`; one that climbs out of where it begins is not read
//! here, and its line is a command like others. What the host says on standard error is not passed on: it says the same in sentences.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gate::{Ground, Piece, Release};
use mask::body::kept;
use mask::limits::{KEPT_BEFORE_BYTES, KEPT_BEHIND_BYTES};
use mask::{FilterBuilder, Known, MaskedText};
use proto_ssh::path::{Canonical, Path, shown};
use proto_ssh::scp::line::{Ack, Line};
use proto_ssh::scp::session::{Content, FromSink, FromSource, Session};
use proto_ssh::scp::{Command, Host};
use proto_ssh::sftp::action::Touch;
use proto_ssh::sftp::session::{Order, Piece as Place};
use vocab::Seq;
use wire::RawField;

use super::super::asked::{Asked, Starts};
use super::super::channel::{LOST, asks, not_sent, signal_name, tag as told_tag, told};
use super::super::decide::{Cut, Denied, Over, over};
use super::super::library::{Ear, Lane, Said, Sig, Stdin};
use super::super::link::{CUT_SHORT, Link};
use super::super::output::Carried;
use super::super::writer::{ClientWriter, Ended, UpstreamWriter};
use super::super::{FAILED_STATUS, REFUSED_STATUS};
use super::answer::{mint, nameable};
use super::carry::{Stop, ended_by_itself, failed, indeterminate};
use super::file::{File, payload};
use super::hits::{Hits, Leaving, May};
use super::name;
use crate::alike::room;
use crate::entropy;
use crate::limits::{CHUNK_BYTES, RECORD, SCP_PATHS_MAX};

const IN_A_NAME: &str = "a detector found a value in the file's name";
const SENTENCE_STAYS: &str = "policy holds back what the host says of a file";
const UNSAYABLE: &str = "what the host says of it is held back";
const NO_SCP: &str = "partial: what is none of scp's protocol ended the copy";
const STAYS: &str = "partial: what was to be copied stays on the host";

/// What both sides said and nobody took yet is at most this and one packet, in bytes: whoever says more waits.
const WAITING_BYTES_MAX: usize = 2 * CHUNK_BYTES;

/// One copy.
pub(in crate::ssh) struct Copy<'a> {
    link: &'a Link,
    lane: &'a Lane,
    writer: &'a UpstreamWriter,
    asked: &'a Asked,
    /// The intent of the command, and how many pieces it has.
    of: Seq,
    pieces: u64,
    host: Host,
    session: Session,
    home: Canonical,
    from_client: BytesMut,
    from_host: BytesMut,
    moving: Option<Moving>,
    /// The host could not do something: it may say so twice, and what it says then would be taken for an answer to what comes next.
    /// Nothing of the client's goes on.
    stopped: bool,
    /// What was found in sentences.
    hits: Hits,
    how: Option<Ended>,
    closed: bool,
    over: Over,
}

/// A file or directory on its way.
struct Moving {
    file: File,
    directory: bool,
    length: u64,
    came: u64,
    /// Its content is over, and the source has said whether it was whole.
    concluded: bool,
    failed: bool,
    /// What was looked at last, and what came and was not yet; and where in the file that begins.
    before: Vec<u8>,
    waiting: Vec<u8>,
    at: u64,
    /// How much behind a piece has to be known.
    behind: usize,
}

/// How a copy came to its end.
enum End {
    Host(Ended),
    NotStarted,
    /// It was held back, and the client is told so.
    Withheld(String),
}

/// Whether the paths of a copy can be told as it goes on.
pub(in crate::ssh) fn follows(command: &Command) -> bool {
    session(command).is_some()
}

/// What a command copies, where all of it can be told. The directory in which it runs has a name here that nobody can name.
fn session(command: &Command) -> Option<(Session, Canonical)> {
    let name: [u8; 16] = entropy::random();
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let home = Canonical::read(format!("/{name}").as_bytes()).ok()?;
    let climbs = |path: &Path| {
        path.climbs || !path.written.as_bytes().starts_with(b"/") && !path.canonical.is_within(&home)
    };
    if command.paths.len() > SCP_PATHS_MAX {
        return None;
    }
    for word in &command.paths {
        Path::read(&word.text, Some(&home)).ok().filter(|path| !climbs(path))?;
    }
    let session = Session::new(command, Some(&home)).ok()?;
    Some((session, home))
}

impl<'a> Copy<'a> {
    /// `None`: the command is carried as others are.
    pub(in crate::ssh) fn new(
        link: &'a Link,
        lane: &'a Lane,
        asked: &'a Asked,
        of: Seq,
        writer: &'a UpstreamWriter,
        over: Over,
    ) -> Option<Copy<'a>> {
        let command = asked.copies.as_ref()?;
        let (session, home) = session(command)?;
        Some(Copy {
            link,
            lane,
            writer,
            asked,
            of,
            pieces: 0,
            host: command.host,
            session,
            home,
            from_client: BytesMut::new(),
            from_host: BytesMut::new(),
            moving: None,
            stopped: false,
            hits: Hits::default(),
            how: None,
            closed: false,
            over,
        })
    }

    /// Carries it to its end, and says in the record what became of all that was begun.
    pub(in crate::ssh) async fn run(mut self, mut ear: Ear) -> Result<Carried, Cut> {
        match self.serve(&mut ear).await {
            Ok(End::Host(how)) => {
                let (good, tag) = told_tag(&self.link.resource.gate, &how);
                self.settle(ended_by_itself(good, tag), CUT_SHORT).await?;
                told(self.lane, how).await?;
                Ok(Carried::Ended)
            }
            Ok(End::NotStarted) => {
                let tag = MaskedText::constant("not started");
                self.settle(failed(tag, "partial: the host did not start it"), CUT_SHORT).await?;
                self.link.part(self.lane, "the host did not start scp", FAILED_STATUS).await;
                Ok(Carried::NotStarted)
            }
            Ok(End::Withheld(words)) => {
                let outcome = gate::Outcome {
                    result: "refused",
                    exposures: self.hits.exposures(&self.link.resource.root, "refused"),
                    tripwires: self.hits.tripwires(),
                    ..indeterminate(STAYS)
                };
                self.settle(outcome, STAYS).await?;
                self.link.part(self.lane, &words, REFUSED_STATUS).await;
                Ok(Carried::Withheld)
            }
            Err(Stop::Malformed(fault)) => {
                let outcome = failed(MaskedText::constant(fault.outward), NO_SCP);
                let code = Some(MaskedText::constant(fault.kind));
                self.settle(gate::Outcome { settled: Some("indeterminate"), code, ..outcome }, NO_SCP)
                    .await?;
                self.link.part(self.lane, fault.outward, FAILED_STATUS).await;
                Ok(Carried::Withheld)
            }
            Err(Stop::Cut(cut)) => {
                // Nothing was under way: what it moved has outcomes of its own.
                let is_clean = cut.why == "client-closed" && self.moving.is_none();
                let outcome = match is_clean {
                    true => ended_by_itself(true, MaskedText::constant("closed by the client")),
                    false => indeterminate(CUT_SHORT),
                };
                // If no record is possible now, recovery closes the run, and an intent without an outcome is indeterminate.
                let _recorded = self.settle(outcome, CUT_SHORT).await;
                Err(cut)
            }
        }
    }

    /// The outcome of the command, and of what it had begun.
    async fn settle(&mut self, outcome: gate::Outcome, partial: &'static str) -> Result<(), Cut> {
        let link = self.link;
        if let Some(mut moving) = self.moving.take() {
            moving.file.look_last(link)?;
            let of = moving.file.of;
            self.outcome(of, moving.file.unclosed(indeterminate(partial)))?;
        }
        let receipt =
            link.resource.gate.outcome(&link.who, self.of, outcome).map_err(|e| link.unrecorded(e))?;
        link.settled(self.of);
        link.durable(receipt, RECORD).await.map(|_durable| ())
    }

    fn outcome(&self, of: Seq, outcome: gate::Outcome) -> Result<(), Cut> {
        let link = self.link;
        // The command's own stands behind it.
        let _before_the_next =
            link.resource.gate.outcome(&link.who, of, outcome).map_err(|e| link.unrecorded(e))?;
        link.settled(of);
        Ok(())
    }

    async fn serve(&mut self, ear: &mut Ear) -> Result<End, Stop> {
        let mut ended = self.over.clone();
        let (lane, mut no_more, mut told_so) = (self.lane, false, false);
        let asks = asks(self.link, lane, self.of, None, self.writer);
        tokio::pin!(asks);
        loop {
            if let Some(words) = self.take().await? {
                return Ok(End::Withheld(words));
            }
            if self.closed {
                return self.how.take().map(End::Host).ok_or(Stop::Cut(Cut::upstream(LOST)));
            }
            if (no_more || self.stopped) && !told_so {
                let client = wire::Side::Client;
                if self.from_client.is_empty() {
                    told_so = true;
                    self.sends(self.writer.end()).await?;
                } else if self.session.turn() == Some(client) {
                    return Err(self.session.unfinished(client).into());
                }
            }
            let hears = self.from_host.len() < WAITING_BYTES_MAX;
            let reads = self.from_client.len() < WAITING_BYTES_MAX && !no_more;
            tokio::select! {
                biased;
                cut = over(&mut ended) => return Err(cut.into()),
                said = ear.next(), if hears => match said.ok_or(Stop::Cut(Cut::upstream(LOST)))? {
                    Said::Out(data) => self.from_host.extend_from_slice(&data),
                    Said::Err(_) | Said::Answered(true) => {}
                    Said::Answered(false) => return Ok(End::NotStarted),
                    Said::Exit(status) => self.how = Some(Ended::Exit(status)),
                    Said::Signal(signal, core, _words_of_the_hosts) => {
                        let named = signal_name(&signal).is_some();
                        let signal = if named { signal } else { Sig::Custom("UNKNOWN@tachograph".to_owned()) };
                        self.how = Some(Ended::Signal { signal, core });
                    }
                    Said::Closed => self.closed = true,
                },
                came = lane.stdin(), if reads => match came {
                    Stdin::Data(bytes) => self.from_client.extend_from_slice(&bytes),
                    Stdin::End => no_more = true,
                },
                cut = &mut asks => return Err(cut.into()),
            }
        }
    }

    /// Takes what has come, as far as it is whole and its side's turn. `Some`: no more of it may pass, and why.
    async fn take(&mut self) -> Result<Option<String>, Stop> {
        loop {
            if self.stopped {
                self.from_client.clear();
                self.from_host.clear();
                return Ok(None);
            }
            if self.host == Host::Sink {
                self.session.quiet(&self.from_host)?;
            }
            let (source, sink) = match self.host {
                Host::Source => (&mut self.from_host, &mut self.from_client),
                Host::Sink => (&mut self.from_client, &mut self.from_host),
            };
            let stays = if let Some(said) = self.session.on_source(source)? {
                match said {
                    FromSource::Line { line, touches, held } => {
                        self.line(&line, &touches, held.into_bytes()).await?
                    }
                    FromSource::Content(content) => self.content(content).await?,
                    FromSource::Conclusion { ack, .. } => {
                        if let Some(moving) = &mut self.moving {
                            moving.concluded = true;
                            moving.failed |= ack != Ack::Ok;
                        }
                        self.tell_sink(&ack).await?
                    }
                }
            } else if let Some(FromSink { ack, .. }) = self.session.on_sink(sink)? {
                self.acked(&ack)?;
                self.stopped = self.host == Host::Sink && ack != Ack::Ok;
                self.tell_source(&ack).await?
            } else {
                return Ok(None);
            };
            if stays.is_some() {
                return Ok(stays);
            }
        }
    }

    /// What a source says of what comes next. `Some`: as of [`Copy::take`].
    async fn line(&mut self, line: &Line, touches: &[Touch], bytes: Bytes) -> Result<Option<String>, Stop> {
        let (length, name, directory) = match line {
            Line::File { bytes, name, .. } => (*bytes, name, false),
            Line::Directory { name, .. } => (0, name, true),
            Line::Warning(said) => return self.tell_sink(&Ack::Warning(said.clone())).await,
            Line::Fatal(said) => return self.tell_sink(&Ack::Fatal(said.clone())).await,
            Line::End | Line::Times { .. } => return self.passes(self.of, &bytes, None).await,
        };
        room(&self.link.resource.gate).await;
        let (link, lane) = (self.link, self.lane);
        let of_user = link.resource.root.join(&link.resource.config.user);
        let action = name::of_touches(&of_user, Some(&self.home), touches, self.kind(directory));
        let on = touches.first().map(|touch| name::place(&of_user, Some(&self.home), &touch.path).0);
        let (shown, paths) = self.shown(line, touches);
        let mut asked = {
            let (mut known, mut nobody) = (link.known(), Known::new(entropy::random()));
            let (unsayable, heard) = match self.host {
                Host::Sink => (false, &mut *known),
                // A name that the host says is not the run's own word.
                Host::Source => {
                    // Of a name with a finding the refusal is the record.
                    let found = Hits::default().field(&link.resource.detectors, &known, name.as_bytes());
                    (found.is_some() || mint(link, &known, &bytes).is_none(), &mut nobody)
                }
            };
            let (resource, who) = (&link.resource, &link.who);
            let mut asked =
                Asked::request(resource, who, heard, action, &shown, Some(paths), bytes.clone()).by_scp();
            asked.refuse = unsayable.then_some(IN_A_NAME);
            asked
        };
        asked.sending.starts = Starts::Message(bytes.clone());
        let mut ended = self.over.clone();
        let (decided, approval) = match link.rule(lane, &asked, &mut ended).await? {
            Ok(allowed) => allowed,
            Err(denied) => return self.refuse(&asked, &denied).await.map(|()| None),
        };
        let question = asked.question(&link.who, &bytes);
        let intent = link.resource.gate.intend(&question, &decided, approval, entropy::tick());
        let (of, permit) = link.permitted(intent).await.map_err(|cut| link.unsent(cut))?;
        link.begun(of);
        let file = File::new(of, Arc::new(asked), nameable(link, on), link.resource.config.reel);
        self.moving = Some(Moving {
            file,
            directory,
            length,
            came: 0,
            concluded: false,
            failed: false,
            before: Vec::new(),
            waiting: Vec::new(),
            at: 0,
            behind: KEPT_BEHIND_BYTES,
        });
        match self.host {
            Host::Sink => self.sends(self.writer.stdin(permit, bytes)).await.map(|()| None),
            Host::Source => {
                self.writer.lets(permit, &bytes).map_err(not_sent)?;
                self.passes(of, &bytes, Some(name)).await
            }
        }
    }

    /// Records a refusal, and tells both sides in the protocol's own form: the source goes on with what comes next.
    async fn refuse(&mut self, asked: &Asked, denied: &Denied) -> Result<(), Stop> {
        let words = self.link.record_refusal(asked, denied, REFUSED_STATUS, false).await;
        let words = words.map_err(|cut| self.link.unsent(cut))?;
        let refused = self.session.refuse(&words)?;
        match self.host {
            Host::Sink => self.tells(refused.to_source).await,
            Host::Source => {
                self.sends(self.writer.within(refused.to_source)).await?;
                match refused.to_sink {
                    Some(told) => self.tells(told).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// A piece of a file.
    async fn content(&mut self, content: Content) -> Result<Option<String>, Stop> {
        let (link, host) = (self.link, self.host);
        let moving = self.moving.as_mut().ok_or(Stop::Cut(LOST_COUNT))?;
        let bytes = content.bytes.to_bytes();
        moving.came += bytes.len() as u64;
        room(&link.resource.gate).await;
        if host == Host::Sink {
            let at = Place { offset: content.offset, length: bytes.len() as u64, order: Order::Next };
            let intent = moving.file.writes(link, Some(at), &bytes, &bytes)?;
            let (_seq, permit) = link.permitted(Ok(intent)).await?;
            self.sends(self.writer.stdin(permit, bytes)).await?;
            return Ok(None);
        }
        moving.file.came(Order::Next, &bytes);
        moving.waiting.extend_from_slice(&bytes);
        self.release().await
    }

    /// Lets go of what came of a file, as far as what stands behind it is known. `Some`: it stays.
    async fn release(&mut self) -> Result<Option<String>, Stop> {
        let (link, lane) = (self.link, self.lane);
        loop {
            let moving = self.moving.as_mut().ok_or(Stop::Cut(LOST_COUNT))?;
            let ended = moving.came == moving.length;
            let behind = if ended { 0 } else { moving.behind };
            let goes = moving.waiting.len().saturating_sub(behind);
            if goes == 0 || !ended && goes < CHUNK_BYTES {
                return Ok(None);
            }
            let begins = moving.at - moving.before.len() as u64;
            let text = [&moving.before[..], &moving.waiting].concat();
            let piece = moving.before.len()..moving.before.len() + goes;
            // Where the piece before was looked at, what reaches from it into this one is known.
            let open = moving.file.open.filter(|(end, _)| *end == moving.at).map(|(_, open)| open);
            let margin = piece.start.saturating_sub(KEPT_BEHIND_BYTES);
            let from =
                open.map_or(0, |open| usize::try_from(open.saturating_sub(begins)).unwrap_or(0).min(margin));
            let last = moving.behind >= KEPT_BEFORE_BYTES;
            let looked = kept(
                &link.resource.detectors,
                &link.known(),
                text.get(from..).unwrap_or_default(),
                piece.start - from..piece.end - from,
                (ended, open.is_none(), last),
            );
            let Some(looked) = looked else {
                moving.behind = KEPT_BEFORE_BYTES;
                continue;
            };
            moving.behind = KEPT_BEHIND_BYTES;
            moving.at += goes as u64;
            moving.file.open = Some((moving.at, begins + (from + looked.open) as u64));
            moving.file.hits.take(&looked.found);
            let denied = match moving.file.may_leave(link, goes) {
                May::Go => None,
                May::Stay(denied) => Some(denied),
                May::Ask(question) => {
                    let (decided, context, release) = *question;
                    let ground = Ground {
                        action: moving.file.asked.action(),
                        context: &context,
                        release: Some(release),
                    };
                    let (of, mut over) = (moving.file.of, self.over.clone());
                    let asked = moving.file.asked.clone();
                    match link.ask(lane, &asked, decided, &ground, Some(of), &mut over).await? {
                        Ok((decided, _seq)) => {
                            moving.file.approved = decided.approved.clone();
                            None
                        }
                        Err(denied) => Some(denied),
                    }
                }
            };
            if let Some(denied) = denied {
                moving.file.withheld = true;
                let partial = moving.file.released > 0;
                let words = link.record_refusal(&moving.file.asked, &denied, REFUSED_STATUS, partial).await?;
                let (mut file, counts) = match self.moving.take() {
                    Some(moving) => (moving.file, (moving.came, moving.length)),
                    None => return Err(Stop::Cut(LOST_COUNT)),
                };
                file.look_last(link)?;
                let of = file.of;
                self.outcome(of, file.copied(link.resource.gate.detectors(), (false, true), counts))?;
                return Ok(Some(words));
            }
            let around =
                (text.get(..piece.start).unwrap_or_default(), text.get(piece.end..).unwrap_or_default());
            let receipt = moving.file.leaves(link, &looked, around)?;
            moving.waiting.drain(..goes);
            let seen = piece.end.saturating_sub(KEPT_BEFORE_BYTES);
            moving.before = text.get(seen..piece.end).unwrap_or_default().to_vec();
            if let Some(receipt) = receipt {
                let durable = link.durable(receipt, RECORD).await?;
                self.leaves(Release::after(durable, looked.bytes)).await?;
            }
        }
    }

    /// A sink has answered, or the source was refused in its place.
    fn acked(&mut self, ack: &Ack) -> Result<(), Stop> {
        let Some(moving) = &mut self.moving else { return Ok(()) };
        moving.failed |= *ack != Ack::Ok;
        if !(moving.concluded || moving.directory || moving.failed) {
            return Ok(());
        }
        let Some(mut moving) = self.moving.take() else { return Ok(()) };
        moving.file.look_last(self.link)?;
        let (of, wrote) = (moving.file.of, self.host == Host::Sink);
        let detectors = self.link.resource.gate.detectors();
        let outcome = match moving.directory {
            true => ended_by_itself(!moving.failed, MaskedText::constant("a directory")),
            false => moving.file.copied(detectors, (wrote, moving.failed), (moving.came, moving.length)),
        };
        self.outcome(of, outcome).map_err(Stop::Cut)
    }

    // --- what goes to whom

    /// `Some`: as of [`Copy::take`].
    async fn tell_sink(&mut self, ack: &Ack) -> Result<Option<String>, Stop> {
        match self.host {
            Host::Sink => self.up(ack).await.map(|()| None),
            Host::Source => self.down(ack).await,
        }
    }

    async fn tell_source(&mut self, ack: &Ack) -> Result<Option<String>, Stop> {
        match self.host {
            Host::Sink => self.down(ack).await,
            Host::Source => self.up(ack).await.map(|()| None),
        }
    }

    /// An answer, or a sentence, of the client's.
    async fn up(&mut self, ack: &Ack) -> Result<(), Stop> {
        let bytes = ack.encode();
        match ack {
            Ack::Ok => self.sends(self.writer.within(bytes)).await,
            Ack::Warning(said) | Ack::Fatal(said) => {
                let detectors = self.link.resource.gate.detectors_of(&self.link.who);
                let said = payload(&detectors, "said", said.as_bytes());
                let piece = Piece { reel: vec![said], ..self.piece("upstream", &bytes) };
                self.behind(piece, bytes).await
            }
        }
    }

    /// The same of the host's.
    async fn down(&mut self, ack: &Ack) -> Result<Option<String>, Stop> {
        let said = match ack {
            Ack::Ok => return self.tells(ack.encode()).await.map(|()| None),
            Ack::Warning(said) | Ack::Fatal(said) => said,
        };
        let link = self.link;
        let masked = self.hits.field(&link.resource.detectors, &link.known(), said.as_bytes());
        let masked = RawField::new(masked.map_or_else(|| said.to_bytes(), Bytes::from));
        let again = |said: RawField| match ack {
            Ack::Fatal(_) => Ack::Fatal(said),
            Ack::Ok | Ack::Warning(_) => Ack::Warning(said),
        };
        let constant = || again(RawField::from_static(UNSAYABLE.as_bytes())).encode();
        let bytes = again(masked).encode();
        let minted = mint(link, &link.known(), &bytes);
        let bytes = if minted.is_some() { bytes } else { constant() };
        let minted = minted.or_else(|| mint(link, &link.known(), &bytes)).ok_or(Stop::Cut(LOST_COUNT))?;
        let leaving = Leaving {
            asked: self.asked,
            of: self.of,
            hits: &self.hits,
            bytes: bytes.len() as u64,
            holds: SENTENCE_STAYS,
        };
        // One without a finding says nothing that a rule could be about.
        if let Some(denied) = leaving.denied(link).filter(|_| self.hits.count > 0) {
            let words = link.record_refusal(self.asked, &denied, REFUSED_STATUS, self.pieces > 0).await?;
            return Ok(Some(words));
        }
        let on = link.resource.root.clone();
        let piece = Piece {
            filter: self.filter(minted.as_bytes()),
            exposures: self.hits.exposures(&on, "masked"),
            tripwires: self.hits.tripwires(),
            reel: vec![payload(&link.resource.detectors, "said", minted.as_bytes())],
            ..self.piece("client", &bytes)
        };
        self.below(self.of, piece, minted).await.map(|()| None)
    }

    /// What of a sentence or a name may be asked for later.
    fn filter(&self, bytes: &[u8]) -> Option<mask::Filter> {
        let (mut filter, key) = (FilterBuilder::new(), self.link.resource.gate.ledger().filter_key());
        filter.cell(&key, bytes);
        (!filter.is_empty()).then(|| filter.take())
    }

    /// A line that goes on as it is, as a piece of `of`; `name`: what it names. `Some`: as of [`Copy::take`].
    async fn passes(
        &mut self,
        of: Seq,
        bytes: &Bytes,
        name: Option<&RawField>,
    ) -> Result<Option<String>, Stop> {
        match self.host {
            Host::Sink => {
                let piece = self.piece("upstream", bytes);
                self.behind(piece, bytes.clone()).await.map(|()| None)
            }
            Host::Source => {
                // A name with a finding was refused before: these are times, which an operator's own detector takes for a value.
                let Some(minted) = mint(self.link, &self.link.known(), bytes) else {
                    return Ok(Some(format!("refused: {UNSAYABLE}")));
                };
                let n = match &mut self.moving {
                    Some(moving) if moving.file.of == of => moving.file.number(),
                    _ => self.number(),
                };
                let filter = self.filter(name.map_or(bytes, RawField::as_bytes));
                let piece = Piece { n, to: "client", bytes: bytes.len() as u64, filter, ..Piece::default() };
                self.below(of, piece, minted).await.map(|()| None)
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.pieces += 1;
        self.pieces - 1
    }

    /// One of the command's.
    fn piece(&mut self, to: &'static str, bytes: &[u8]) -> Piece {
        Piece { n: self.number(), to, bytes: bytes.len() as u64, ..Piece::default() }
    }

    async fn behind(&mut self, piece: Piece, bytes: Bytes) -> Result<(), Stop> {
        let link = self.link;
        let intent = link.resource.gate.piece_upstream(&link.who, self.of, piece, &bytes, entropy::tick());
        let (_seq, permit) = link.permitted(intent).await?;
        self.sends(self.writer.stdin(permit, bytes)).await
    }

    async fn below(&mut self, of: Seq, piece: Piece, bytes: mask::MaskedBytes) -> Result<(), Stop> {
        let link = self.link;
        let receipt = link.resource.gate.piece(&link.who, of, piece).map_err(|e| link.unrecorded(e))?;
        let durable = link.durable(receipt, RECORD).await?;
        self.leaves(Release::after(durable, bytes)).await
    }

    async fn sends(
        &self,
        sending: impl Future<Output = Result<(), super::super::writer::NotSent>>,
    ) -> Result<(), Stop> {
        self.as_long(async { sending.await.map_err(not_sent) }).await
    }

    async fn leaves(&self, release: Release) -> Result<(), Stop> {
        self.as_long(async { ClientWriter(self.lane).packet(release).await.map_err(|_gone| Cut::closed()) })
            .await
    }

    /// Words of the gateway's own, and answers without any.
    async fn tells(&self, bytes: Bytes) -> Result<(), Stop> {
        self.as_long(async {
            ClientWriter(self.lane).packet_of_ours(bytes).await.map_err(|_gone| Cut::closed())
        })
        .await
    }

    /// As long as the run lasts and the client is there.
    async fn as_long(&self, work: impl Future<Output = Result<(), Cut>>) -> Result<(), Stop> {
        let mut ended = self.over.clone();
        tokio::select! {
            biased;
            cut = over(&mut ended) => Err(cut.into()),
            () = self.lane.closed() => Err(Cut::closed().into()),
            done = work => Ok(done?),
        }
    }

    // --- names

    fn kind(&self, directory: bool) -> &'static str {
        match (self.host, directory) {
            (Host::Source, false) => "SCP READ",
            (Host::Source, true) => "SCP LIST",
            (Host::Sink, false) => "SCP WRITE",
            (Host::Sink, true) => "SCP MKDIR",
        }
    }

    /// The line for records and people, not yet masked, and its paths.
    fn shown(&self, line: &Line, touches: &[Touch]) -> (String, String) {
        let (mut paths, mut operations): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
        for touch in touches {
            let path = below(&self.home, &touch.path.canonical);
            if !paths.contains(&path) {
                paths.push(path);
            }
            if !operations.contains(&touch.operation.as_str()) {
                operations.push(touch.operation.as_str());
            }
        }
        let rest = match line {
            Line::File { mode, bytes, .. } => format!(" {bytes} bytes mode {mode:04o}"),
            Line::Directory { mode, .. } => format!(" mode {mode:04o}"),
            _ => String::new(),
        };
        let kind = self.kind(matches!(line, Line::Directory { .. }));
        let kind = kind.strip_prefix("SCP ").unwrap_or(kind);
        (format!("{kind} {} ({}){rest}", paths.join(" or "), operations.join(", ")), paths.join(" "))
    }
}

const LOST_COUNT: Cut = Cut { why: "out-of-order", told: "the gateway lost track of a copy" };

/// As people write it.
fn below(home: &Canonical, path: &Canonical) -> String {
    match path.as_bytes().strip_prefix(home.as_bytes()).filter(|_| path.is_within(home)) {
        Some(rest) => format!("~{}", shown(rest)),
        None => path.shown(),
    }
}
