//! The host's side: each answer matched to its request, masked, recorded, and put on its way to the client.

use bytes::BytesMut;
use gate::{Outcome, Piece};
use ledger::Receipt;
use mask::{FilterBuilder, Known, MaskedBytes};
use proto_ssh::sftp::frame::Frame;
use proto_ssh::sftp::message::{Code, Reply};
use proto_ssh::sftp::reply::{Place, UsersGroups};
use proto_ssh::sftp::session::{Answer, Event, FileId, Summary};
use wire::RawField;

use super::super::decide::{Cut, Denied};
use super::super::link::Link;
use super::carry::{Carry, Sent, Stop};
use super::file::{File, status};
use super::hits::{Hits, Leaving};
use super::request::{coverage, lost};

const POLICY_HOLDS: &str = "policy holds back the answer";
const HELD_BACK: &str = "a detector found a value in this answer that cannot be masked in it";

impl Carry<'_> {
    /// One packet of the host's.
    pub(super) async fn on_upstream(&mut self, frame: &Frame) -> Result<(), Stop> {
        match self.session.on_upstream(frame)? {
            Event::Greeted { ask, cut: _ } => self.up_within(ask),
            // Of our own words: which extensions there are.
            Event::Ready(version) => self.down_own(version, 0),
            Event::Own { question, reply, ended } => {
                self.heard_around(question, &reply);
                self.files_ended(&ended, None)?;
            }
            Event::Answer(answer) => {
                let sent = self.sent.remove(&answer.id).ok_or(Stop::Cut(lost()))?;
                self.answered(answer, sent).await?;
            }
        }
        Ok(())
    }

    async fn answered(&mut self, mut answer: Answer, sent: Sent) -> Result<(), Stop> {
        if answer.content.is_some() {
            return self.read(answer, &sent);
        }
        if let (Some(opened), Some(asked)) = (answer.opened, &sent.own) {
            let on = nameable(self.link, asked.action().accesses.first().map(|access| access.on.clone()));
            let file = File::new(sent.of, asked.clone(), on, self.link.resource.config.reel);
            self.files.insert(opened, file);
            if !self.piece(answer, &sent, Some(opened)).await? {
                // Nobody else could close it.
                let close = self.session.abandon(opened)?;
                self.up_within(close);
            }
            return Ok(());
        }
        if sent.own.is_some() {
            return self.ended(answer, &sent).await;
        }
        let code = answer.reply.code();
        let last = self.files_ended(&std::mem::take(&mut answer.ended), code)?;
        match (code, sent.file) {
            // A CLOSE, or what came behind it.
            (Some(code), Some(_)) if last.is_some() => {
                let reply = plain(answer.id, code)?;
                match (last, mint(self.link, &self.link.known(), &reply)) {
                    (Some(receipt), Some(bytes)) => self.down_packet(receipt, bytes, sent.cost),
                    (_, _) => self.down_own(reply, sent.cost),
                }
                Ok(())
            }
            // That something was written, or there is no more of it: no word of it is the host's.
            (Some(code), Some(_)) => self.tell(answer.id, sent.cost, code, words(code)),
            (None, _) | (Some(_), None) => self.piece(answer, &sent, sent.file).await.map(|_left| ()),
        }
    }

    /// The answer to a request with an intent of its own.
    async fn ended(&mut self, mut answer: Answer, sent: &Sent) -> Result<(), Stop> {
        self.files_ended(&std::mem::take(&mut answer.ended), None)?;
        let mut hits = Hits::default();
        self.mask(&mut answer.reply, &mut hits)?;
        let code = answer.reply.code();
        let good = code.is_none_or(|code| code == Code::OK);
        if let (Some(file), true, Some(_)) =
            (sent.file.and_then(|file| self.files.get_mut(&file)), good, sent.cuts)
        {
            file.cut_to = sent.cuts;
        }
        let (packet, filter) = self.packet(&answer)?;
        let on = sent.own.as_ref().and_then(|asked| asked.action().accesses.first().map(|a| a.on.clone()));
        let on = nameable(self.link, on);
        if let (Some(asked), Some(denied)) = (&sent.own, self.kept_back(&answer, sent, None, &hits)) {
            let outcome = Outcome {
                result: "refused",
                state: "final",
                exposures: hits.exposures(&on, "refused"),
                tripwires: hits.tripwires(),
                partial: coverage(),
                ..Outcome::default()
            };
            let _before_the_refusal = self.outcome(sent.of, outcome)?;
            return self.withhold((answer.id, sent.cost), asked, &denied, false).await;
        }
        let outcome = Outcome {
            result: if good { "ok" } else { "error" },
            state: "final",
            code: (!good).then(|| status(code)),
            tag: code.map(|code| status(Some(code))),
            exposures: hits.exposures(&on, "masked"),
            tripwires: hits.tripwires(),
            filter,
            partial: coverage(),
            ..Outcome::default()
        };
        let receipt = self.outcome(sent.of, outcome)?;
        self.leave(&answer, packet, receipt, sent.cost).map(|_left| ())
    }

    /// The answer to what is within another intent: a piece of that one. `false`: the client does not get it.
    async fn piece(&mut self, mut answer: Answer, sent: &Sent, of: Option<FileId>) -> Result<bool, Stop> {
        let mut hits = Hits::default();
        let names = match &answer.reply {
            Reply::Name(entries) => entries.len() as u64,
            _ => 0,
        };
        self.mask(&mut answer.reply, &mut hits)?;
        let (packet, filter) = self.packet(&answer)?;
        if let Some(denied) = self.kept_back(&answer, sent, of, &hits) {
            return self.list_stays(&answer, sent, of, (hits, denied)).await.map(|()| false);
        }
        let root = self.link.resource.root.clone();
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let file = of.and_then(|of| self.files.get_mut(&of));
        let (n, on, reel) = match file {
            Some(file) => {
                file.names += names;
                file.released += answer.reply.fields().iter().map(|f| f.bytes.len() as u64).sum::<u64>();
                let listed = listing(&answer.reply);
                let reel = file.reel(&self.link.resource.detectors, "names", &listed);
                (file.number(), file.on.clone(), reel)
            }
            None => {
                self.pieces += 1;
                (self.pieces - 1, root, None)
            }
        };
        let piece = Piece {
            n,
            to: "client",
            rows: names,
            bytes: packet.as_ref().map_or(0, |packet| packet.as_bytes().len() as u64),
            exposures: hits.exposures(&on, "masked"),
            tripwires: hits.tripwires(),
            filter,
            reel: reel.into_iter().collect(),
            ..Piece::default()
        };
        let receipt = gate.piece(who, sent.of, piece).map_err(|e| self.link.unrecorded(e))?;
        self.leave(&answer, packet, receipt, sent.cost)
    }

    /// Whether policy or the tripwire keeps names here, or what has a finding in it. Nobody is asked about them: what would ask refuses.
    fn kept_back(&self, answer: &Answer, sent: &Sent, of: Option<FileId>, hits: &Hits) -> Option<Denied> {
        let asked = match of.and_then(|of| self.files.get(&of)) {
            Some(file) => &file.asked,
            None => sent.own.as_ref()?,
        };
        if !matches!(answer.reply, Reply::Name(_)) && hits.count == 0 {
            return None;
        }
        let bytes = answer.reply.fields().iter().map(|field| field.bytes.len() as u64).sum();
        Leaving { asked, of: sent.of, hits, bytes, holds: POLICY_HOLDS }.denied(self.link)
    }

    /// Names of an open directory do not leave.
    async fn list_stays(
        &mut self,
        answer: &Answer,
        sent: &Sent,
        of: Option<FileId>,
        (hits, denied): (Hits, Denied),
    ) -> Result<(), Stop> {
        let file = of.and_then(|of| self.files.get_mut(&of)).ok_or(Stop::Cut(lost()))?;
        file.withheld = true;
        file.hits.add(hits);
        let (asked, partial) = (file.asked.clone(), file.released > 0);
        self.withhold((answer.id, sent.cost), &asked, &denied, partial).await
    }

    fn leave(
        &mut self,
        answer: &Answer,
        packet: Option<MaskedBytes>,
        receipt: Receipt,
        cost: usize,
    ) -> Result<bool, Stop> {
        match packet {
            Some(packet) => {
                self.down_packet(receipt, packet, cost);
                Ok(true)
            }
            None => self.tell(answer.id, cost, Code::FAILURE, HELD_BACK).map(|()| false),
        }
    }

    /// Records how files ended. Gives the last record.
    fn files_ended(&mut self, ended: &[Summary], code: Option<Code>) -> Result<Option<Receipt>, Cut> {
        let mut last = None;
        for summary in ended {
            let Some(mut file) = self.files.remove(&summary.file) else { continue };
            file.look_last(self.link)?;
            // Only a CLOSE that was answered ends a file; where another answer came behind it, it was well.
            let code = code.filter(|code| *code != Code::EOF).or(Some(Code::OK));
            let of = file.of;
            let outcome = file.outcome(self.link.resource.gate.detectors(), summary, code);
            last = Some(self.outcome(of, outcome)?);
        }
        Ok(last)
    }

    /// Puts placeholders into an answer.
    fn mask(&self, reply: &mut Reply, hits: &mut Hits) -> Result<(), Stop> {
        let (detectors, known) = (&self.link.resource.detectors, self.link.known());
        for field in reply.fields() {
            if field.place == Place::Data {
                continue;
            }
            if let Some(masked) = hits.field(detectors, &known, field.bytes.as_bytes()) {
                reply.replace(field.place, masked_field(masked))?;
            }
        }
        if let Reply::Extended(body) = &*reply
            && let Ok(mut found) = UsersGroups::decode(&body.to_bytes())
        {
            let mut masks = false;
            for name in found.users.iter_mut().chain(&mut found.groups) {
                if let Some(masked) = hits.field(detectors, &known, name.as_bytes()) {
                    *name = masked_field(masked);
                    masks = true;
                }
            }
            if masks {
                *reply = found.encode()?;
            }
        }
        Ok(())
    }

    /// The packet for the client, and what of it may be asked for later. No packet: something in it is not masked.
    fn packet(&self, answer: &Answer) -> Result<(Option<MaskedBytes>, Option<mask::Filter>), Stop> {
        let mut out = BytesMut::new();
        answer.encode(&mut out)?;
        let (mut filter, key) = (FilterBuilder::new(), self.link.resource.gate.ledger().filter_key());
        for field in answer.reply.fields() {
            filter.cell(&key, field.bytes.as_bytes());
        }
        let filter = (!filter.is_empty()).then(|| filter.take());
        Ok((mint(self.link, &self.link.known(), &out), filter))
    }
}

/// A resource in whose name nothing is found; else the host.
pub(super) fn nameable(link: &Link, on: Option<vocab::ResourcePath>) -> vocab::ResourcePath {
    let on = on.unwrap_or_else(|| link.resource.root.clone());
    let mut findings = Vec::new();
    link.resource.gate.detectors().scan_deep(on.as_str().as_bytes(), &mut findings);
    if findings.is_empty() { on } else { link.resource.root.clone() }
}

/// What is masked, or needs no mask. `None`: something in it is not masked.
pub(super) fn mint(link: &Link, known: &Known, packet: &[u8]) -> Option<MaskedBytes> {
    let detectors = &link.resource.detectors;
    let released = mask::release(detectors, packet.to_vec(), &[], known, &mut Vec::new());
    released.ok().map(|(bytes, _explained)| bytes)
}

fn masked_field(bytes: Vec<u8>) -> RawField {
    RawField::new(bytes.into())
}

/// Names one below another, for replay.
fn listing(reply: &Reply) -> Vec<u8> {
    let Reply::Name(entries) = reply else { return Vec::new() };
    let names = entries.iter().map(|entry| entry.filename.as_bytes());
    names.flat_map(|name| [name, b"\n"].concat()).collect()
}

/// A status in our words.
fn plain(id: u32, code: Code) -> Result<bytes::Bytes, Stop> {
    let mut out = BytesMut::new();
    Reply::refusal(code, words(code)).encode(id, &mut out)?;
    Ok(out.freeze())
}

fn words(code: Code) -> &'static str {
    match code {
        Code::OK => "Success",
        Code::EOF => "End of file",
        Code::NO_SUCH_FILE => "No such file",
        Code::PERMISSION_DENIED => "Permission denied",
        Code::BAD_MESSAGE => "Bad message",
        Code::NO_CONNECTION => "No connection",
        Code::CONNECTION_LOST => "Connection lost",
        Code::OP_UNSUPPORTED => "Operation unsupported",
        _ => "Failure",
    }
}
