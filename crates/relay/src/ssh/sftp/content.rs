//! What is read of files: each piece held until what stands around it is known, then masked in its length, decided and recorded.
//!
//! What stands before a piece is what was read before it, where it follows that; what stands behind it is the next piece, where that has
//! come already. Everything else is read by the same handle, unseen by the client. A piece whose surroundings the host does not give
//! stays here.

use std::collections::BTreeSet;
use std::ops::Range;

use gate::Ground;
use mask::body::{Kept, kept};
use mask::limits::{KEPT_BEFORE_BYTES, KEPT_BEHIND_BYTES};
use proto_ssh::sftp::message::{Code, Reply, Request};
use proto_ssh::sftp::session::{Answer, Content, FileId, QuestionId};
use vocab::Group;

use super::super::decide::Denied;
use super::carry::{Carry, Sent, Stop};
use super::hits::May;
use super::request::{Answered, lost};
use crate::alike::room;
use crate::limits::{SFTP_QUESTION_BYTES, SFTP_QUESTIONS_MAX, SFTP_RECENT_FILES_MAX};

const NO_SURROUNDINGS: &str =
    "what stands around a piece of the file could not be read, so that it cannot be masked";

/// A piece that was read.
pub(super) struct Held {
    id: u32,
    cost: usize,
    file: FileId,
    /// What was seen of the file, the piece in it; and where in the file that begins.
    text: Vec<u8>,
    at: u64,
    piece: Range<usize>,
    /// How much of what stands before and behind it is needed.
    before: usize,
    behind: usize,
    /// Nothing is behind `text`.
    ended: bool,
    /// The questions for both, and for the file from where on each was asked.
    asked: [Option<(QuestionId, u64)>; 2],
    questions: usize,
    /// The host does not say what stands around it.
    failed: bool,
    /// It waits for people.
    kept: Option<Kept>,
}

/// What becomes of what was read.
pub(super) enum Let {
    Out(BTreeSet<Group>),
    Stay(Denied),
    /// People are asked.
    Wait,
}

impl Held {
    fn end(&self) -> u64 {
        self.at + self.text.len() as u64
    }

    fn lacks_before(&self) -> usize {
        let all = usize::try_from(self.at).unwrap_or(usize::MAX);
        self.before.saturating_sub(self.piece.start).min(all)
    }

    /// How much of that is asked for at once, from its end on: what every server answers whole.
    fn next_before(&self) -> usize {
        self.lacks_before().min(SFTP_QUESTION_BYTES)
    }

    fn lacks_behind(&self) -> usize {
        if self.ended { 0 } else { self.behind.saturating_sub(self.text.len() - self.piece.end) }
    }

    fn is_ready(&self) -> bool {
        self.failed || self.lacks_before() == 0 && self.lacks_behind() == 0
    }

    /// What stands at `at` of the file, as far as it goes on where this ends.
    fn goes_on(&mut self, at: u64, data: &[u8]) {
        let known = usize::try_from(self.end().saturating_sub(at)).unwrap_or(usize::MAX);
        if at <= self.end() && !self.ended {
            let most = self.lacks_behind();
            let new = data.get(known..).unwrap_or_default();
            self.text.extend_from_slice(new.get(..new.len().min(most)).unwrap_or_default());
        }
    }

    /// What the host says stands behind it from `at` on, where it was asked. `true`: it said that the file ends where this does. More of the
    /// file may have come since it was asked: then it said that of another place, and is asked again.
    fn heard_behind(&mut self, at: u64, reply: &Reply) -> bool {
        match reply {
            Reply::Data(data) if !data.is_empty() => self.goes_on(at, data.as_bytes()),
            Reply::Status(status) if status.code == Code::EOF => self.ended |= at == self.end(),
            _ => self.failed = true,
        }
        self.ended && matches!(reply, Reply::Status(_))
    }

    /// What stands before it, as much as was asked for: less would leave a gap.
    fn heard_before(&mut self, reply: &Reply) {
        match reply {
            Reply::Data(data) if data.len() == self.next_before() => self.goes_before(data.as_bytes()),
            _ => self.failed = true,
        }
    }

    fn goes_before(&mut self, data: &[u8]) {
        self.text.splice(..0, data.iter().copied());
        self.at = self.at.saturating_sub(data.len() as u64);
        self.piece = self.piece.start + data.len()..self.piece.end + data.len();
    }
}

impl Carry<'_> {
    /// A piece came.
    pub(super) fn read(&mut self, answer: Answer, sent: &Sent) -> Result<(), Stop> {
        let (Some(Content { file: id, piece, .. }), Reply::Data(data)) = (&answer.content, &answer.reply)
        else {
            return Err(Stop::Cut(lost()));
        };
        let (data, offset) = (data.as_bytes(), piece.offset);
        for held in self.held.iter_mut().filter(|held| held.file == *id) {
            held.goes_on(offset, data);
        }
        let file = self.files.get_mut(id).ok_or(Stop::Cut(lost()))?;
        file.came(piece.order, data);
        let (end, recent) = &file.recent;
        let mut text = if *end == offset { recent.clone() } else { Vec::new() };
        let start = text.len();
        text.extend_from_slice(data);
        let seen = text.len().saturating_sub(KEPT_BEFORE_BYTES);
        file.recent = (offset + data.len() as u64, text.get(seen..).unwrap_or_default().to_vec());
        self.forget_all_but(*id);
        let held = Held {
            id: answer.id,
            cost: sent.cost,
            file: *id,
            at: offset - start as u64,
            piece: start..text.len(),
            text,
            before: KEPT_BEFORE_BYTES,
            behind: KEPT_BEHIND_BYTES,
            // What the host said of the end before may be true no more.
            ended: false,
            asked: [None, None],
            questions: 0,
            failed: false,
            kept: None,
        };
        self.held.push_back(held);
        Ok(())
    }

    /// Of too many files, one forgets what was read last: it is asked for again.
    fn forget_all_but(&mut self, id: FileId) {
        let known = self.files.iter_mut().filter(|(_, file)| !file.recent.1.is_empty());
        let mut known: Vec<_> = known.collect();
        if known.len() > SFTP_RECENT_FILES_MAX
            && let Some((_, file)) = known.iter_mut().find(|(other, _)| **other != id)
        {
            file.recent = (0, Vec::new());
        }
    }

    /// What was asked about a piece's surroundings.
    pub(super) fn heard_around(&mut self, question: QuestionId, reply: &Reply) {
        self.questions.remove(&question);
        let place = |held: &Held| {
            let is = |asked: &Option<(QuestionId, u64)>| asked.is_some_and(|(asked, _)| asked == question);
            held.asked.iter().position(is)
        };
        let found = self.held.iter_mut().find_map(|held| place(held).map(|which| (held, which)));
        let Some((held, which)) = found else { return };
        let Some((_, at)) = held.asked.get_mut(which).and_then(Option::take) else { return };
        if which == 0 {
            held.heard_before(reply);
        } else if held.heard_behind(at, reply)
            && let Some(file) = self.files.get_mut(&held.file)
        {
            file.end = Some(at);
        }
    }

    /// Asks what is not known of what is held, and lets go of what is. `closed`: the host answers no more.
    pub(super) async fn pump(&mut self, closed: bool) -> Result<(), Stop> {
        loop {
            self.ask_around(closed)?;
            match self.held.front() {
                Some(front) if front.is_ready() && !self.is_asking && self.asking.is_none() => {}
                Some(_) | None => return Ok(()),
            }
            room(&self.link.resource.gate).await;
            self.look().await?;
        }
    }

    fn ask_around(&mut self, closed: bool) -> Result<(), Stop> {
        let mut all = std::mem::take(&mut self.held);
        for held in &mut all {
            let (before, behind) = (held.next_before(), held.lacks_behind());
            let places = [(before, held.at - before as u64), (behind, held.end())];
            for (which, (lacks, at)) in places.into_iter().enumerate() {
                let Some(asked) = held.asked.get_mut(which) else { continue };
                if lacks == 0 || asked.is_some() || held.failed {
                    continue;
                }
                held.questions += 1;
                let handle = self.session.handle(held.file).cloned();
                let Some(handle) = handle.filter(|_| !closed && held.questions <= SFTP_QUESTIONS_MAX) else {
                    held.failed = true;
                    continue;
                };
                let length = u32::try_from(lacks).unwrap_or(u32::MAX);
                match self.session.ask(&Request::Read { handle, offset: at, length }) {
                    Ok((question, bytes)) => {
                        *asked = Some((question, at));
                        self.questions.insert(question);
                        self.up_within(bytes);
                    }
                    Err(_too_many) => held.failed = true,
                }
            }
            if closed && held.asked.iter().any(Option::is_some) {
                held.failed = true;
            }
        }
        self.held = all;
        Ok(())
    }

    /// Looks at the first piece that is held.
    async fn look(&mut self) -> Result<(), Stop> {
        let Some(mut held) = self.held.pop_front() else { return Ok(()) };
        if held.failed {
            return self.stays(&held, NO_SURROUNDINGS).await;
        }
        let Some(file) = self.files.get_mut(&held.file) else { return Err(Stop::Cut(lost())) };
        let offset = held.at + held.piece.start as u64;
        // Where the piece before was looked at, what reaches from it into this one is known.
        let followed = file.open.filter(|(end, _)| *end == offset).map(|(_, open)| open);
        let margin = held.piece.start.saturating_sub(KEPT_BEHIND_BYTES);
        let from = match followed {
            Some(open) => usize::try_from(open.saturating_sub(held.at)).unwrap_or(0).min(margin),
            None => 0,
        };
        let text = held.text.get(from..).unwrap_or_default();
        let piece = held.piece.start - from..held.piece.end - from;
        let last = held.behind >= KEPT_BEFORE_BYTES;
        let how = (held.ended, followed.is_none(), last);
        let looked = kept(&self.link.resource.detectors, &self.link.known(), text, piece, how);
        let Some(looked) = looked else {
            held.behind = KEPT_BEFORE_BYTES;
            self.held.push_front(held);
            return Ok(());
        };
        let open = held.at + (from + looked.open) as u64;
        file.open = Some((held.at + held.piece.end as u64, open));
        file.hits.take(&looked.found);
        held.kept = Some(looked);
        let ruled = self.may_leave(&held);
        self.held.push_front(held);
        self.ruled(ruled?).await
    }

    /// Whether policy, people and the tripwire let it out.
    fn may_leave(&mut self, held: &Held) -> Result<Let, Stop> {
        let link = self.link;
        let file = self.files.get(&held.file).ok_or(Stop::Cut(lost()))?;
        let (decided, context, release) = match file.may_leave(link, held.piece.len()) {
            May::Go => return Ok(Let::Out(file.approved.clone())),
            May::Stay(denied) => return Ok(Let::Stay(denied)),
            May::Ask(question) => *question,
        };
        let (lane, of, mut ended, asked) = (self.lane, file.of, self.over.clone(), file.asked.clone());
        self.asking = Some(Box::pin(async move {
            let ground = Ground { action: asked.action(), context: &context, release: Some(release) };
            let answer = link.ask(lane, &asked, decided, &ground, Some(of), &mut ended).await?;
            Ok(Answered::Release(answer))
        }));
        Ok(Let::Wait)
    }

    /// The first piece that is held leaves, or stays.
    pub(super) async fn ruled(&mut self, ruled: Let) -> Result<(), Stop> {
        match ruled {
            Let::Wait => Ok(()),
            Let::Out(approved) => {
                let Some(held) = self.held.pop_front() else { return Ok(()) };
                if let Some(file) = self.files.get_mut(&held.file) {
                    file.approved = approved;
                }
                self.record(held)
            }
            Let::Stay(denied) => {
                let Some(held) = self.held.pop_front() else { return Ok(()) };
                let file = self.files.get_mut(&held.file).ok_or(Stop::Cut(lost()))?;
                file.withheld = true;
                let (asked, partial) = (file.asked.clone(), file.released > 0);
                self.withhold((held.id, held.cost), &asked, &denied, partial).await
            }
        }
    }

    /// It cannot be masked, and stays.
    async fn stays(&mut self, held: &Held, why: &'static str) -> Result<(), Stop> {
        let file = self.files.get_mut(&held.file).ok_or(Stop::Cut(lost()))?;
        file.withheld = true;
        let (asked, of, partial) = (file.asked.clone(), file.of, file.released > 0);
        let ground = Ground { action: asked.action(), context: &asked.context, release: None };
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let mut decided = gate.verdict(who, &ground, &BTreeSet::new());
        decided.message = None;
        let denied = Denied { decided: decided.into(), why, of: Some(of) };
        self.withhold((held.id, held.cost), &asked, &denied, partial).await
    }

    /// Begins to record what leaves.
    fn record(&mut self, mut held: Held) -> Result<(), Stop> {
        let (Some(file), Some(kept)) = (self.files.get_mut(&held.file), held.kept.take()) else {
            return Err(Stop::Cut(lost()));
        };
        let (before, behind) = (held.text.get(..held.piece.start), held.text.get(held.piece.end..));
        let around = (before.unwrap_or_default(), behind.unwrap_or_default());
        match file.leaves(self.link, &kept, around)? {
            Some(receipt) => self.down_data(receipt, held.id, kept.bytes, held.cost),
            // No byte of it: the host said nothing.
            None => self.tell(held.id, held.cost, Code::EOF, "End of file")?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_ssh::sftp::action::LinkOrder;
    use proto_ssh::sftp::frame::Frame;
    use proto_ssh::sftp::message::{FromClient, OpenFlags};
    use proto_ssh::sftp::session::{Event, Options, Session, Step};
    use proto_ssh::sftp::version::Extensions;

    /// The id of a file, as a session gives it.
    fn opened() -> FileId {
        let frame = |bytes: &[u8]| Frame { tag: bytes[4], body: bytes[5..].to_vec().into() };
        let mut session =
            Session::new(Options { link_order: LinkOrder::OpenSsh, extensions: Extensions::NONE });
        let begun = session.on_client(&Frame { tag: 1, body: vec![0, 0, 0, 3].into() });
        assert!(matches!(begun, Ok(Step::Begin(_))));
        let Ok(Event::Greeted { ask, .. }) =
            session.on_upstream(&Frame { tag: 2, body: vec![0, 0, 0, 3].into() })
        else {
            panic!("no question for the home")
        };
        let mut home = ask[5..9].to_vec();
        home.extend([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        let told = session.on_upstream(&Frame { tag: 101, body: home.into() });
        assert!(matches!(told, Ok(Event::Ready(_))));
        let open = Request::Open {
            path: wire::RawField::from_static(b"/a"),
            flags: OpenFlags(OpenFlags::READ),
            attrs: Default::default(),
        };
        let mut bytes = bytes::BytesMut::new();
        open.encode(7, &mut bytes).unwrap();
        assert!(matches!(FromClient::decode(&frame(&bytes)), Ok(FromClient::Request { id: 7, .. })));
        let Ok(Step::Ask(asked)) = session.on_client(&frame(&bytes)) else { panic!("not asked") };
        let sent = session.sent(*asked).unwrap();
        let mut handle = sent.bytes[5..9].to_vec();
        handle.extend([0, 0, 0, 1, b'h']);
        let Ok(Event::Answer(answer)) = session.on_upstream(&Frame { tag: 102, body: handle.into() }) else {
            panic!("not answered")
        };
        answer.opened.unwrap()
    }

    fn held(at: u64, before: &[u8], piece: &[u8]) -> Held {
        Held {
            id: 1,
            cost: 0,
            file: opened(),
            text: [before, piece].concat(),
            at,
            piece: before.len()..before.len() + piece.len(),
            before: 8,
            behind: 4,
            ended: false,
            asked: [None, None],
            questions: 0,
            failed: false,
            kept: None,
        }
    }

    fn data(bytes: &[u8]) -> Reply {
        Reply::Data(wire::RawField::copy_from(bytes))
    }

    #[test]
    fn an_answer_stands_where_it_was_asked_for() {
        // Asked for what is behind 6; then another piece of a byte came, and then the answer.
        let mut first = held(0, b"", b"abcdef");
        first.goes_on(6, b"g");
        assert!(!first.heard_behind(6, &data(b"gh")));
        assert_eq!((first.text.as_slice(), first.lacks_behind()), (&b"abcdefgh"[..], 2));
        assert!(!first.heard_behind(6, &data(b"g")), "nothing new");
        assert_eq!((first.text.as_slice(), first.failed), (&b"abcdefgh"[..], false));
        // The file ended at 6 when that was asked, and does so no more.
        let mut grown = held(0, b"", b"abcdef");
        grown.goes_on(6, b"g");
        assert!(!grown.heard_behind(6, &Reply::refusal(Code::EOF, "")));
        assert_eq!((grown.ended, grown.failed, grown.lacks_behind()), (false, false, 3));
        assert!(grown.heard_behind(7, &Reply::refusal(Code::EOF, "")));
        assert!(grown.is_ready());
        assert!(!held(0, b"", b"abcdef").heard_behind(6, &Reply::refusal(Code::FAILURE, "")));
    }

    #[test]
    fn a_piece_waits_for_what_stands_around_it() {
        let mut first = held(0, b"", b"abcdef");
        assert_eq!((first.lacks_before(), first.lacks_behind(), first.is_ready()), (0, 4, false));
        first.goes_on(6, b"gh");
        assert_eq!(first.lacks_behind(), 2);
        // What is known already, and a little more; and what does not follow.
        first.goes_on(4, b"efghijkl");
        first.goes_on(60, b"zz");
        assert_eq!((first.text.as_slice(), first.is_ready()), (&b"abcdefghij"[..], true));
        let mut later = held(100, b"", b"xyz");
        assert_eq!(later.lacks_before(), 8);
        later.goes_before(b"45678");
        assert_eq!((later.at, later.piece.clone(), later.lacks_before()), (95, 5..8, 3));
        later.goes_before(b"123");
        later.ended = true;
        assert!(later.is_ready() && later.text == b"12345678xyz");
        // At the beginning of a file there is not more than there is.
        assert_eq!(held(3, b"", b"xyz").lacks_before(), 3);
    }
}
