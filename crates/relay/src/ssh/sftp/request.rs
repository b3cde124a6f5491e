//! The client's side: each request decided, recorded, and put on its way to the host.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gate::{Decided, Ground, Piece};
use mask::limits::{KEPT_BEFORE_BYTES, KEPT_BEHIND_BYTES};
use proto_ssh::sftp::action::Basis;
use proto_ssh::sftp::frame::Frame;
use proto_ssh::sftp::message::{Code, Reply, Request};
use proto_ssh::sftp::session::{Asked as Packet, Refused, Step};
use vocab::{Seq, Verdict};

use super::super::REFUSED_STATUS;
use super::super::asked::{Asked, Starts};
use super::super::decide::{Cut, Denied, REFUSED};
use super::super::library::Beside;
use super::carry::{Carry, Sent, Stop};
use super::content::Let;
use super::{file, name};
use crate::alike::room;
use crate::entropy;
use crate::limits::{SFTP_ANSWER_BYTES, SFTP_LARGE_ANSWER_BYTES};

const WITHOUT: &str = "partial: searched by detector, since an answer has no columns";
const UNKNOWN_FILE: &str = "the gateway lost track of an open file";

/// What people said.
pub(super) enum Answered {
    /// To a request.
    Request(Box<Packet>, Arc<Asked>, Result<(Arc<Decided>, Seq), Denied>),
    /// To what was read and is held.
    Release(Result<(Arc<Decided>, Seq), Denied>),
}

impl Carry<'_> {
    /// One packet of the client's.
    pub(super) async fn on_client(&mut self, frame: &Frame) -> Result<(), Stop> {
        match self.session.on_client(frame)? {
            Step::Begin(bytes) => {
                self.up_within(bytes);
                Ok(())
            }
            Step::Refuse(refused) => self.not_carried(refused).await,
            Step::Ask(packet) => {
                room(&self.link.resource.gate).await;
                let action = packet.action();
                match (action.basis, action.touches.is_empty(), packet.request()) {
                    (_, _, Request::Write { .. } | Request::Fsync { .. }) => self.write(*packet),
                    // Of a file: within what it was opened for. Of the channel: `limits`.
                    (Basis::Handle, _, _) | (Basis::Itself, true, Request::Limits) => self.within(*packet),
                    (Basis::Itself, true, _) => self.of_users(*packet),
                    (Basis::Itself, false, _) => self.decide(packet).await,
                }
            }
        }
    }

    /// The session refuses it, whatever policy says.
    async fn not_carried(&mut self, refused: Refused) -> Result<(), Stop> {
        let name = refused.why.as_str().to_owned();
        self.link.beside(&Beside { what: "sftp", name }).await?;
        self.refused(refused.reply);
        Ok(())
    }

    /// It changes nothing, and was permitted with what it is within.
    fn within(&mut self, packet: Packet) -> Result<(), Stop> {
        let (id, file) = (packet.id(), packet.file());
        let of = match file {
            Some(file) => self.files.get(&file).map(|file| file.of).ok_or(Stop::Cut(lost()))?,
            None => self.of,
        };
        let (cost, reads) = (cost(packet.upstream()), matches!(packet.request(), Request::Read { .. }));
        let sent = self.session.sent(packet)?;
        self.expect(cost);
        self.sent.insert(id, Sent { reads, ..Sent::within(of, file, cost) });
        self.up_within(sent.bytes);
        Ok(())
    }

    /// Names and homes of users: within the channel's intent, and recorded before it is sent.
    fn of_users(&mut self, packet: Packet) -> Result<(), Stop> {
        let (id, cost, line) = (packet.id(), cost(packet.upstream()), name::of_users(packet.request()));
        let sent = self.session.sent(packet)?;
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let said = file::payload(&gate.detectors_of(who), "asked", line.as_bytes());
        let piece = Piece { n: self.pieces, to: "upstream", reel: vec![said], ..Piece::default() };
        self.pieces += 1;
        let intent = gate.piece_upstream(who, self.of, piece, &sent.bytes, entropy::tick());
        let intent = intent.map_err(|e| self.link.unrecorded(e))?;
        self.expect(cost);
        self.sent.insert(id, Sent::within(self.of, None, cost));
        self.up_behind(intent, sent.bytes);
        Ok(())
    }

    /// What is written to an open file, and that it goes to the disk: a piece of the file's intent, recorded before it is sent.
    fn write(&mut self, packet: Packet) -> Result<(), Stop> {
        let (id, data, on) = (packet.id(), packet.data().cloned().unwrap_or_default(), packet.file());
        let cost = cost(packet.upstream());
        let sent = self.session.sent(packet)?;
        let file = on.and_then(|on| self.files.get_mut(&on)).ok_or(Stop::Cut(lost()))?;
        let (of, intent) = (file.of, file.writes(self.link, sent.written, data.as_bytes(), &sent.bytes)?);
        self.expect(cost);
        self.sent.insert(id, Sent::within(of, on, cost));
        self.up_behind(intent, sent.bytes);
        Ok(())
    }

    /// Policy's verdict on a request by paths, or on attributes by a handle.
    async fn decide(&mut self, packet: Box<Packet>) -> Result<(), Stop> {
        let link = self.link;
        let (gate, who) = (&link.resource.gate, &link.who);
        let of_user = link.resource.root.join(&link.resource.config.user);
        let action = name::action(&of_user, self.session.home(), &packet);
        let mut asked = Asked::request(
            &link.resource,
            who,
            &mut link.known(),
            action,
            &name::line(&packet),
            name::said(&packet),
            // What is asked and approved is the request, whatever number it has.
            encoded(packet.request(), 0),
        );
        asked.sending.starts = Starts::Message(encoded(packet.upstream(), 0));
        let unnumbered = asked.sending.bytes();
        let decided_by = asked.question(who, &unnumbered).saying().and_then(|said| gate.decided(who, &said));
        if let Some((how, told)) = decided_by {
            asked.context.decided = Some(how.as_str().into());
            asked.context.decided_by_result = told;
        }
        let ground = Ground { action: asked.action(), context: &asked.context, release: None };
        let mut decided = gate.verdict(who, &ground, &BTreeSet::new());
        if let Verdict::Ask(_) = decided.verdict {
            let standing = gate.standing(&asked.question(who, &unnumbered), &decided, entropy::wall());
            if !standing.is_empty() {
                decided = gate.verdict(who, &ground, &standing);
            }
        }
        match decided.verdict {
            Verdict::Allow => self.go(*packet, asked, &decided, None),
            Verdict::Refuse => {
                let denied = Denied { decided: decided.into(), why: REFUSED, of: None };
                self.refuse(*packet, &asked, &denied).await
            }
            Verdict::Ask(_) => {
                let (lane, mut ended, asked) = (self.lane, self.over.clone(), Arc::new(asked));
                self.asking = Some(Box::pin(async move {
                    let ground = Ground { action: asked.action(), context: &asked.context, release: None };
                    let answer = link.ask(lane, &asked, decided, &ground, None, &mut ended).await;
                    answer.map(|answer| Answered::Request(packet, asked.clone(), answer))
                }));
                Ok(())
            }
        }
    }

    /// People have answered.
    pub(super) async fn answered_by_people(&mut self, answered: Answered) -> Result<(), Stop> {
        match answered {
            Answered::Request(packet, asked, answer) => {
                let asked = Arc::into_inner(asked).ok_or(Stop::Cut(lost()))?;
                match answer {
                    Ok((decided, seq)) => self.go(*packet, asked, &decided, Some(seq))?,
                    Err(denied) => self.refuse(*packet, &asked, &denied).await?,
                }
            }
            Answered::Release(answer) => {
                let allowed = match answer {
                    Ok((decided, _seq)) => Let::Out(decided.approved.clone()),
                    Err(denied) => Let::Stay(denied),
                };
                self.ruled(allowed).await?;
            }
        }
        // What was read meanwhile waited, too; and the host may have closed.
        self.pump(self.closed).await
    }

    /// Records that it is about to be sent, and puts it on its way.
    fn go(
        &mut self,
        packet: Packet,
        mut asked: Asked,
        decided: &Decided,
        approval: Option<Seq>,
    ) -> Result<(), Stop> {
        let (id, file, cost) = (packet.id(), packet.file(), cost(packet.upstream()));
        let cuts = match packet.request() {
            Request::Fsetstat { attrs, .. } => attrs.size,
            _ => None,
        };
        let sent = self.session.sent(packet)?;
        asked.sending.starts = Starts::Message(sent.bytes.clone());
        let (gate, who) = (&self.link.resource.gate, &self.link.who);
        let question = asked.question(who, &sent.bytes);
        let intent = gate.intend(&question, decided, approval, entropy::tick());
        let intent = intent.map_err(|e| self.link.unsent(self.link.unrecorded(e)))?;
        let of = intent.seq();
        self.live.insert(of);
        self.link.begun(of);
        self.expect(cost);
        self.sent.insert(id, Sent { own: Some(Arc::new(asked)), cuts, ..Sent::within(of, file, cost) });
        self.up_behind(intent, sent.bytes);
        Ok(())
    }

    /// Records a refusal, and tells the client as the protocol does.
    async fn refuse(&mut self, packet: Packet, asked: &Asked, denied: &Denied) -> Result<(), Stop> {
        let words = self.link.record_refusal(asked, denied, REFUSED_STATUS, false).await;
        let words = words.map_err(|cut| self.link.unsent(cut))?;
        let reply = self.session.refused(packet, Code::PERMISSION_DENIED, &words)?;
        self.refused(reply);
        Ok(())
    }

    /// It counts until it has left, as answers do: a client that takes none is not asked for more.
    fn refused(&mut self, reply: Bytes) {
        self.expect(SFTP_ANSWER_BYTES);
        self.down_own(reply, SFTP_ANSWER_BYTES);
    }

    /// The same of an answer to `id` of `cost` bytes that came and stays here.
    pub(super) async fn withhold(
        &mut self,
        (id, cost): (u32, usize),
        asked: &Asked,
        denied: &Denied,
        partial: bool,
    ) -> Result<(), Stop> {
        let words = self.link.record_refusal(asked, denied, REFUSED_STATUS, partial).await?;
        self.tell(id, cost, Code::PERMISSION_DENIED, &words)
    }

    /// A status of the gateway's own.
    pub(super) fn tell(&mut self, id: u32, cost: usize, code: Code, words: &str) -> Result<(), Stop> {
        let mut out = BytesMut::new();
        Reply::refusal(code, words).encode(id, &mut out)?;
        self.down_own(out.freeze(), cost);
        Ok(())
    }
}

pub(super) fn lost() -> Cut {
    Cut { why: "out-of-order", told: UNKNOWN_FILE }
}

/// Coverage of an answer that is no file.
pub(super) fn coverage() -> Option<&'static str> {
    Some(WITHOUT)
}

/// A request with an id. One that does not fit a packet came in none.
fn encoded(request: &Request, id: u32) -> Bytes {
    let mut out = BytesMut::new();
    let _always_fits = request.encode(id, &mut out);
    out.freeze()
}

/// What its answer may hold, with what stands around what is read.
fn cost(request: &Request) -> usize {
    match request {
        Request::Read { length, .. } => {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            length.saturating_add(KEPT_BEFORE_BYTES + KEPT_BEHIND_BYTES + SFTP_ANSWER_BYTES)
        }
        Request::Readdir { .. } | Request::UsersGroupsById { .. } => SFTP_LARGE_ANSWER_BYTES,
        _ => SFTP_ANSWER_BYTES,
    }
}
