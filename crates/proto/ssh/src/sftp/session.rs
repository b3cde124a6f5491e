//! Ids, handles and offsets of one SFTP channel: what may be asked, what answers what, and what of each file was seen.
//!
//! The relay shows every packet of the client's ([`Session::on_client`]); an [`Asked`] is decided and then either sent
//! ([`Session::sent`]) or refused ([`Session::refused`]), in the order in which it came. Every packet of upstream's is
//! shown to [`Session::on_upstream`]. A reply that its request cannot have is a fault of upstream's.
//!
//! - **Beginning.** The client's INIT is answered by the gateway's own to upstream; upstream's VERSION by a question for its
//!   home; the answer to that by VERSION to the client. So a relative path can be read from the first request on.
//! - **Ids.** Requests go upstream with ids of the session's own, so that those of the gateway's questions
//!   ([`Session::ask`]) never meet a client's. Replies may come in any order.
//! - **Paths** are sent in their canonical form: see [`crate::path`].
//! - **Handles** are upstream's own bytes. One that upstream did not give to this session, or gave and the client closed, is
//!   refused; so is one that was not opened for what it is used for. A CLOSE takes the handle from the client when it is
//!   asked; it is not decided and must be sent.
//! - **Offsets.** [`Piece`] says whether a piece goes on where the last one ended. While all of a file's do, hashing them as
//!   they come hashes the file; [`Summary`] says at the end whether they did and whether the end was seen.

use super::action::{self, Action, LinkOrder, Unclear};
use super::attrs::Attrs;
use super::frame::Frame;
use super::message::{Code, FromClient, FromUpstream, Hello, OpenFlags, Reply, Request, Unknown};
use super::reply::{Limits, Statvfs, UsersGroups};
use super::version::{self, Extension, Extensions};
use crate::fault as why;
use crate::limits::*;
use crate::path::{BadPath, Canonical, Path};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use wire::{Fault, RawField, Side};

/// What a session is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub link_order: LinkOrder,
    /// Extensions that a client may use where upstream offers them.
    pub extensions: Extensions,
}

/// What becomes of a client's packet.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// INIT came: this goes to upstream.
    Begin(Bytes),
    /// To be decided.
    Ask(Box<Asked>),
    /// No decision is needed: this cannot be carried out.
    Refuse(Refused),
}

/// A request that waits for its decision. Its id is in use until [`Session::sent`] or [`Session::refused`] takes it.
#[derive(Debug)]
#[must_use]
pub struct Asked {
    id: u32,
    request: Request,
    sent: Request,
    action: Action,
    on: On,
}

/// A request that the session itself refuses.
#[derive(Debug)]
pub struct Refused {
    /// The client's.
    pub id: u32,
    pub why: Why,
    /// The STATUS for the client.
    pub reply: Bytes,
}

/// Why the session refuses a request, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    UnknownType(u8),
    /// The client's name of it.
    UnknownExtension(RawField),
    /// We read it; upstream does not offer it, or the gateway does not pass it on.
    NotOffered(Extension),
    Path(BadPath),
    Flags,
    ExtendedAttributes,
    Link,
    Climbs,
    User,
    /// A handle that is not one of this session's open ones.
    ForeignHandle,
    /// A handle that was not opened for this.
    NotOpenedForThis,
    /// An offset of 2^63 or more, or a piece that would end there.
    Offset,
    TooManyHandles,
}

impl Why {
    /// The sentence that a client may read, and that a record shows.
    pub fn as_str(&self) -> &'static str {
        match self {
            Why::UnknownType(_) => "a request that this gateway does not know",
            Why::UnknownExtension(_) => "an extension that this gateway does not know",
            Why::NotOffered(_) => "an extension that was not offered",
            Why::Path(bad) => bad.as_str(),
            Why::Flags => "flags that do not say how the file is opened",
            Why::ExtendedAttributes => "extended attributes cannot be set",
            Why::Link => "a link needs two absolute paths here",
            Why::Climbs => "a link that says `..` leads elsewhere once it is moved",
            Why::User => "what is no user's name",
            Why::ForeignHandle => "not an open handle",
            Why::NotOpenedForThis => "the handle was not opened for this",
            Why::Offset => "an offset that no file has",
            Why::TooManyHandles => "too many open files",
        }
    }

    pub fn code(&self) -> Code {
        match self {
            Why::UnknownType(_) | Why::UnknownExtension(_) | Why::NotOffered(_) | Why::ExtendedAttributes => {
                Code::OP_UNSUPPORTED
            }
            Why::NotOpenedForThis => Code::PERMISSION_DENIED,
            Why::Path(BadPath::NoHome) => Code::NO_SUCH_FILE,
            Why::Climbs => Code::PERMISSION_DENIED,
            Why::Path(_) | Why::Flags | Why::Link | Why::User | Why::Offset => Code::BAD_MESSAGE,
            Why::ForeignHandle | Why::TooManyHandles => Code::FAILURE,
        }
    }
}

impl From<Unclear> for Why {
    fn from(unclear: Unclear) -> Why {
        match unclear {
            Unclear::Path(bad) => Why::Path(bad),
            Unclear::Flags => Why::Flags,
            Unclear::ExtendedAttributes => Why::ExtendedAttributes,
            Unclear::Link => Why::Link,
            Unclear::Climbs => Why::Climbs,
            Unclear::User => Why::User,
        }
    }
}

/// What goes upstream for an [`Asked`].
#[derive(Debug)]
#[must_use]
pub struct Sent {
    pub bytes: Bytes,
    /// Of a WRITE: where its data stands.
    pub written: Option<Piece>,
}

/// What becomes of a packet of upstream's.
#[derive(Debug)]
#[must_use]
pub enum Event {
    /// VERSION came: this goes to upstream. `cut` are the extensions that the client is not shown.
    Greeted {
        ask: Bytes,
        cut: Vec<RawField>,
    },
    /// Upstream told its home, or none: this VERSION goes to the client.
    Ready(Bytes),
    Answer(Answer),
    /// The answer to a question of the gateway's own; the client sees nothing of it.
    Own {
        question: QuestionId,
        reply: Reply,
        /// A file whose last answer this is: the client closed it before.
        ended: Vec<Summary>,
    },
}

/// The answer to a client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The client's id.
    pub id: u32,
    /// The request's name: [`Request::kind`].
    pub kind: &'static str,
    /// What the client is shown: [`Reply::plain`], with what was put in its place by [`Reply::replace`].
    pub reply: Reply,
    /// The file that was opened.
    pub opened: Option<FileId>,
    /// Of a READ with data.
    pub content: Option<Content>,
    /// Of a READDIR with names: the directory that they are in.
    pub directory: Option<Canonical>,
    /// A file whose last answer this is.
    pub ended: Vec<Summary>,
}

impl Answer {
    /// The packet for the client. Errors (side: gateway): above [`FRAME_BYTES_MAX`].
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Fault> {
        self.reply.encode(self.id, out)
    }
}

/// Where a piece of a file that came stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub file: FileId,
    pub path: Path,
    pub piece: Piece,
}

/// A piece of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of an appended piece: what the client wrote there, which upstream does not look at.
    pub offset: u64,
    pub length: u64,
    pub order: Order,
}

impl Piece {
    /// Offset and length of what stands at most `margin` bytes before this piece and behind it: what a [`Session::ask`] reads
    /// where the pieces do not follow one another. A length of 0 is nothing to read.
    pub fn around(&self, margin: u32) -> [(u64, u32); 2] {
        let from = self.offset.saturating_sub(u64::from(margin));
        let end = self.offset.saturating_add(self.length);
        let before = u32::try_from(self.offset - from).unwrap_or(margin);
        let top = i64::MAX.unsigned_abs();
        let behind = u32::try_from(top.saturating_sub(end)).map_or(margin, |left| left.min(margin));
        [(from, before), (end, behind)]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// It begins where the one before ended, as all before it did; the first at 0.
    Next,
    /// There is a gap, or something comes again; and every piece after one that did.
    Apart,
    /// It goes to the end of the file.
    Appended,
}

/// A file or directory that was opened. Never given twice by one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u64);

/// A question of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(u64);

/// What went one way between a file and the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// All pieces together; what came twice counts twice.
    pub bytes: u64,
    /// Behind the last byte of the file that was seen.
    pub end: u64,
    /// Each piece began where the one before ended.
    pub sequential: bool,
    /// Upstream said that nothing follows what was read in sequence.
    pub complete: bool,
    /// Upstream did not take a piece.
    pub failed: bool,
}

/// What became of a file from its OPEN to its CLOSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub file: FileId,
    pub path: Path,
    /// `None`: a directory.
    pub flags: Option<OpenFlags>,
    pub read: Stream,
    pub written: Stream,
    /// Its length was set, or data was copied into it upstream: `written` is not all of it.
    pub altered: bool,
}

/// One SFTP channel, both sides.
#[derive(Debug)]
pub struct Session {
    options: Options,
    phase: Phase,
    home: Option<Canonical>,
    /// Ids of the client's that have no answer yet.
    ids: BTreeSet<u32>,
    /// By the ids that upstream sees.
    waiting: BTreeMap<u32, Waiting>,
    next_id: u32,
    next_question: u64,
    files: BTreeMap<FileId, File>,
    handles: BTreeMap<RawField, FileId>,
    next_file: u64,
    opening: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    AwaitsVersion,
    AwaitsHome(Extensions),
    Open(Extensions),
}

/// Files that a request is about.
type On = [Option<FileId>; 2];

#[derive(Debug)]
struct Waiting {
    whose: Whose,
    kind: &'static str,
    expects: Expects,
    on: On,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Client(u32),
    Question(QuestionId),
    /// The session's own question for its home.
    Home,
}

#[derive(Debug)]
enum Expects {
    Status,
    /// A status, and whether it is one of a WRITE.
    Written,
    Closed,
    Handle {
        path: Path,
        flags: Option<OpenFlags>,
    },
    Data {
        offset: u64,
        length: u32,
    },
    Attrs,
    Names,
    OneName,
    Extended(Extension),
}

#[derive(Debug)]
struct File {
    handle: RawField,
    path: Path,
    flags: Option<OpenFlags>,
    read: Stream,
    written: Stream,
    altered: bool,
    /// Requests about it without an answer.
    pending: usize,
    /// The client closed it.
    closing: bool,
    closed: bool,
}

impl Asked {
    /// The client's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn action(&self) -> &Action {
        &self.action
    }

    /// As the client sent it.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// As it goes upstream: with canonical paths, and a READ no longer than a packet.
    pub fn upstream(&self) -> &Request {
        &self.sent
    }

    /// The open file that it is about; of a copy, the one that is read.
    pub fn file(&self) -> Option<FileId> {
        self.on[0]
    }

    /// What a WRITE writes.
    pub fn data(&self) -> Option<&RawField> {
        match &self.request {
            Request::Write { data, .. } => Some(data),
            _ => None,
        }
    }
}

impl Session {
    pub fn new(options: Options) -> Session {
        Session {
            options,
            phase: Phase::Start,
            home: None,
            ids: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next_id: 0,
            next_question: 0,
            files: BTreeMap::new(),
            handles: BTreeMap::new(),
            next_file: 0,
            opening: 0,
        }
    }

    /// Takes the next packet of the client's.
    ///
    /// Errors (side: client): those of [`FromClient::decode`]; `OUT_OF_ORDER` before VERSION and for a second INIT;
    /// `UNSUPPORTED_VERSION`; an id that is in use; `TOO_MANY` above [`OUTSTANDING_MAX`]: see [`Session::is_full`].
    pub fn on_client(&mut self, frame: &Frame) -> Result<Step, Fault> {
        match FromClient::decode(frame)? {
            FromClient::Init(hello) => self.begin(&hello),
            FromClient::Request { id, request } => {
                let offered = self.claim(id)?;
                match self.read(id, request, offered) {
                    Ok(asked) => Ok(Step::Ask(Box::new(asked))),
                    Err(why) => self.refuse(id, why),
                }
            }
            FromClient::Unknown { id, what } => {
                self.claim(id)?;
                let why = match what {
                    Unknown::Type(tag) => Why::UnknownType(tag),
                    Unknown::Extension(name) => Why::UnknownExtension(name),
                };
                self.refuse(id, why)
            }
        }
    }

    /// Whether the client has to wait until something is answered.
    pub fn is_full(&self) -> bool {
        self.ids.len() >= OUTSTANDING_MAX
    }

    /// Takes a request that was decided; what it gives goes upstream. Errors (side: gateway): its file was closed meanwhile;
    /// a packet above [`FRAME_BYTES_MAX`], which canonical paths can make of one that was below.
    pub fn sent(&mut self, asked: Asked) -> Result<Sent, Fault> {
        let is_open = |id: &FileId| self.files.get(id).is_some_and(|file| !file.closing);
        let closes = matches!(asked.sent, Request::Close { .. });
        if !closes && !asked.on.iter().flatten().all(is_open) {
            return Err(why::NO_REQUEST.on(Side::Gateway));
        }
        let expects = expects(&asked);
        let bytes = self.send(Whose::Client(asked.id), &asked.sent, expects, asked.on)?;
        Ok(Sent { bytes, written: self.note_sent(&asked) })
    }

    /// Takes a request that was refused; what it gives goes to the client. Errors (side: gateway): a sentence of 256 KiB.
    pub fn refused(&mut self, asked: Asked, code: Code, sentence: &str) -> Result<Bytes, Fault> {
        self.ids.remove(&asked.id);
        let mut out = BytesMut::new();
        Reply::refusal(code, sentence).encode(asked.id, &mut out)?;
        Ok(out.freeze())
    }

    /// A question of the gateway's own: where a path leads, what a file is, what stands around a piece. It changes nothing
    /// upstream, is in no stream of a file, and its answer is an [`Event::Own`].
    ///
    /// Errors (side: gateway): a request that is none of these, or by a handle that is not open; `TOO_MANY`.
    pub fn ask(&mut self, request: &Request) -> Result<(QuestionId, Bytes), Fault> {
        let on = match handle_of(request) {
            Some(handle) => [Some(*self.handles.get(handle).ok_or(why::NO_REQUEST.on(Side::Gateway))?), None],
            None => [None, None],
        };
        let expects = match request {
            Request::Realpath { .. } | Request::Readlink { .. } => Expects::OneName,
            Request::Stat { .. } | Request::Lstat { .. } | Request::Fstat { .. } => Expects::Attrs,
            Request::Read { offset, length, .. } => Expects::Data { offset: *offset, length: *length },
            _ => return Err(why::NO_REQUEST.on(Side::Gateway)),
        };
        if self.waiting.len() >= 2 * OUTSTANDING_MAX {
            return Err(why::TOO_MANY_REQUESTS.on(Side::Gateway));
        }
        let question = QuestionId(self.next_question);
        self.next_question += 1;
        let bytes = self.send(Whose::Question(question), request, expects, on)?;
        Ok((question, bytes))
    }

    /// Closes a file whose handle the client does not get; what this gives goes upstream, and its answer is an [`Event::Own`], in which the
    /// file has ended. Errors (side: gateway): `NO_REQUEST` for a file that is not open.
    pub fn abandon(&mut self, file: FileId) -> Result<Bytes, Fault> {
        let open = self.files.get_mut(&file).filter(|open| !open.closing);
        let open = open.ok_or(why::NO_REQUEST.on(Side::Gateway))?;
        open.closing = true;
        let handle = open.handle.clone();
        self.handles.remove(&handle);
        let question = QuestionId(self.next_question);
        self.next_question += 1;
        self.send(Whose::Question(question), &Request::Close { handle }, Expects::Closed, [Some(file), None])
    }

    /// Takes the next packet of upstream's.
    ///
    /// Errors (side: upstream): those of [`FromUpstream::decode`]; `UNSUPPORTED_VERSION`; `OUT_OF_ORDER` for a reply to no
    /// request, or one that its request cannot have; more data than was asked for; a handle that is in use; names that
    /// lead out of their directory.
    pub fn on_upstream(&mut self, frame: &Frame) -> Result<Event, Fault> {
        match (FromUpstream::decode(frame)?, self.phase) {
            (FromUpstream::Version(hello), Phase::AwaitsVersion) => self.greeted(&hello),
            (FromUpstream::Version(_), _) => Err(why::LATE_HELLO.on(Side::Upstream)),
            (FromUpstream::Reply { .. }, Phase::Start | Phase::AwaitsVersion) => {
                Err(why::NO_HELLO.on(Side::Upstream))
            }
            (FromUpstream::Reply { id, reply }, Phase::AwaitsHome(_) | Phase::Open(_)) => {
                self.answered(id, reply)
            }
        }
    }

    /// Where relative paths begin, once upstream has told.
    pub fn home(&self) -> Option<&Canonical> {
        self.home.as_ref()
    }

    /// Upstream's handle of an open file, for [`Session::ask`].
    pub fn handle(&self, file: FileId) -> Option<&RawField> {
        self.files.get(&file).filter(|file| !file.closing).map(|file| &file.handle)
    }

    /// Requests and questions that have no answer yet.
    pub fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// What became of files that are still open: for the end of a session that did not close them.
    pub fn unclosed(&self) -> Vec<Summary> {
        self.files.iter().map(|(id, file)| file.summary(*id)).collect()
    }

    fn begin(&mut self, hello: &Hello) -> Result<Step, Fault> {
        if self.phase != Phase::Start {
            return Err(why::LATE_HELLO.on(Side::Client));
        }
        version::asked(hello)?;
        self.phase = Phase::AwaitsVersion;
        Ok(Step::Begin(version::init()?))
    }

    fn greeted(&mut self, hello: &Hello) -> Result<Event, Fault> {
        let offered = version::offered(hello, self.options.extensions)?;
        self.phase = Phase::AwaitsHome(offered.passed);
        let home = Request::Realpath { path: RawField::from_static(b".") };
        let ask = self.send(Whose::Home, &home, Expects::OneName, [None, None])?;
        Ok(Event::Greeted { ask, cut: offered.cut })
    }

    /// Takes an id into use. Gives what was offered.
    fn claim(&mut self, id: u32) -> Result<Extensions, Fault> {
        let Phase::Open(offered) = self.phase else { return Err(why::NO_HELLO.on(Side::Client)) };
        if self.is_full() {
            return Err(why::TOO_MANY_REQUESTS.on(Side::Client));
        }
        match self.ids.insert(id) {
            true => Ok(offered),
            false => Err(why::ID_IN_USE.on(Side::Client)),
        }
    }

    fn refuse(&mut self, id: u32, why: Why) -> Result<Step, Fault> {
        self.ids.remove(&id);
        let mut out = BytesMut::new();
        Reply::refusal(why.code(), why.as_str()).encode(id, &mut out)?;
        Ok(Step::Refuse(Refused { id, why, reply: out.freeze() }))
    }

    fn read(&mut self, id: u32, request: Request, offered: Extensions) -> Result<Asked, Why> {
        if let Some(extension) = request.extension().filter(|extension| !offered.has(*extension)) {
            return Err(Why::NotOffered(extension));
        }
        if let Some((action, sent)) = action::by_path(&request, self.home.as_ref(), self.options.link_order)?
        {
            let opens = matches!(request, Request::Open { .. } | Request::Opendir { .. });
            if opens && self.handles.len() + self.opening >= HANDLES_MAX {
                return Err(Why::TooManyHandles);
            }
            return Ok(Asked { id, request, sent, action, on: [None, None] });
        }
        self.read_by_handle(id, request)
    }

    fn read_by_handle(&mut self, id: u32, request: Request) -> Result<Asked, Why> {
        let file = self.open_file(handle_of(&request).ok_or(Why::ForeignHandle)?)?;
        let to = match &request {
            Request::CopyData { to, .. } => Some(self.open_file(to)?),
            _ => None,
        };
        check_use(&request, file.1, to.map(|(_, file)| file))?;
        let action = action::by_handle(&request, &file.1.path, to.map(|(_, file)| &file.path))?;
        let on = [Some(file.0), to.map(|(id, _)| id)];
        if let Request::Close { handle } = &request {
            self.handles.remove(handle);
        }
        Ok(Asked { id, sent: within_a_packet(&request), request, action, on })
    }

    fn open_file(&self, handle: &RawField) -> Result<(FileId, &File), Why> {
        let id = self.handles.get(handle).ok_or(Why::ForeignHandle)?;
        self.files.get(id).map(|file| (*id, file)).ok_or(Why::ForeignHandle)
    }

    fn send(&mut self, whose: Whose, request: &Request, expects: Expects, on: On) -> Result<Bytes, Fault> {
        let id = self.free_id();
        let mut out = BytesMut::new();
        request.encode(id, &mut out)?;
        if matches!(expects, Expects::Handle { .. }) {
            self.opening += 1;
        }
        for file in on.iter().flatten() {
            if let Some(file) = self.files.get_mut(file) {
                file.pending += 1;
            }
        }
        self.waiting.insert(id, Waiting { whose, kind: request.kind(), expects, on });
        Ok(out.freeze())
    }

    /// An id that nothing waits under: there are at most [`OUTSTANDING_MAX`] and as many questions.
    fn free_id(&mut self) -> u32 {
        while self.waiting.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// What a request does to what is known of its files, from the moment in which it is sent.
    fn note_sent(&mut self, asked: &Asked) -> Option<Piece> {
        let target = asked.on[1].or(asked.on[0]);
        let file = self.files.get_mut(&target?)?;
        match &asked.sent {
            Request::Write { offset, data, .. } => Some(file.write(*offset, data.len())),
            Request::Close { .. } => {
                file.closing = true;
                None
            }
            Request::Fsetstat { attrs: Attrs { size: Some(_), .. }, .. } | Request::CopyData { .. } => {
                file.altered = true;
                None
            }
            _ => None,
        }
    }

    fn answered(&mut self, id: u32, reply: Reply) -> Result<Event, Fault> {
        let waiting = self.waiting.remove(&id).ok_or(why::NO_REQUEST.on(Side::Upstream))?;
        check_reply(&waiting.expects, &reply)?;
        match waiting.whose {
            Whose::Home => self.at_home(&reply),
            Whose::Question(question) => {
                if matches!(waiting.expects, Expects::Closed) {
                    self.closed(waiting.on[0]);
                }
                Ok(Event::Own { question, reply, ended: self.release(waiting.on) })
            }
            Whose::Client(client) => self.answer(client, waiting, reply),
        }
    }

    fn at_home(&mut self, reply: &Reply) -> Result<Event, Fault> {
        if let (Reply::Name(entries), Phase::AwaitsHome(offered)) = (reply, self.phase) {
            // A server that tells no absolute path has no home: relative paths are refused.
            self.home = entries.first().and_then(|entry| Canonical::read(entry.filename.as_bytes()).ok());
            self.phase = Phase::Open(offered);
            return Ok(Event::Ready(version::version(offered)?));
        }
        let Phase::AwaitsHome(offered) = self.phase else { return Err(why::WRONG_REPLY.on(Side::Upstream)) };
        self.phase = Phase::Open(offered);
        Ok(Event::Ready(version::version(offered)?))
    }

    fn answer(&mut self, id: u32, waiting: Waiting, reply: Reply) -> Result<Event, Fault> {
        self.ids.remove(&id);
        let mut answer = Answer {
            id,
            kind: waiting.kind,
            reply: reply.plain(),
            opened: None,
            content: None,
            directory: None,
            ended: Vec::new(),
        };
        let file = waiting.on[0];
        match waiting.expects {
            Expects::Handle { path, flags } => {
                self.opening = self.opening.saturating_sub(1);
                if let Reply::Handle(handle) = &answer.reply {
                    answer.opened = Some(self.opened(handle.clone(), path, flags)?);
                }
            }
            Expects::Data { offset, .. } => answer.content = self.came(file, offset, &answer.reply),
            Expects::Written => self.wrote(file, &answer.reply),
            Expects::Closed => self.closed(file),
            Expects::Names => {
                let directory = file.and_then(|id| self.files.get(&id));
                answer.directory = directory.map(|file| file.path.canonical.clone());
            }
            Expects::Extended(Extension::Limits) => answer.reply = within_ours(&answer.reply)?,
            Expects::Status | Expects::Attrs | Expects::OneName | Expects::Extended(_) => {}
        }
        answer.ended = self.release(waiting.on);
        Ok(Event::Answer(answer))
    }

    fn opened(&mut self, handle: RawField, path: Path, flags: Option<OpenFlags>) -> Result<FileId, Fault> {
        if self.handles.contains_key(&handle) {
            return Err(why::HANDLE_AGAIN.on(Side::Upstream));
        }
        // A copy: a slice would keep all that came with it.
        let handle = RawField::copy_from(handle.as_bytes());
        let id = FileId(self.next_file);
        self.next_file += 1;
        self.handles.insert(handle.clone(), id);
        let file = File {
            handle,
            path,
            flags,
            read: Stream::new(),
            written: Stream::new(),
            altered: false,
            pending: 0,
            closing: false,
            closed: false,
        };
        self.files.insert(id, file);
        Ok(id)
    }

    /// What a READ's answer says of its file.
    fn came(&mut self, id: Option<FileId>, offset: u64, reply: &Reply) -> Option<Content> {
        let id = id?;
        let file = self.files.get_mut(&id)?;
        match reply {
            Reply::Data(data) => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let piece = Piece { offset, length, order: file.read.take(offset, length) };
                Some(Content { file: id, path: file.path.clone(), piece })
            }
            _ => {
                let at_end = reply.code() == Some(Code::EOF) && offset == file.read.end;
                file.read.complete |= at_end && file.read.sequential;
                None
            }
        }
    }

    fn closed(&mut self, id: Option<FileId>) {
        if let Some(file) = id.and_then(|id| self.files.get_mut(&id)) {
            file.closed = true;
        }
    }

    fn wrote(&mut self, id: Option<FileId>, reply: &Reply) {
        if let Some(file) = id.and_then(|id| self.files.get_mut(&id)) {
            file.written.failed |= reply.code() != Some(Code::OK);
        }
    }

    /// A request about these files was answered. Gives those that are over.
    fn release(&mut self, on: On) -> Vec<Summary> {
        let mut ended = Vec::new();
        for id in on.into_iter().flatten() {
            let Some(file) = self.files.get_mut(&id) else { continue };
            file.pending = file.pending.saturating_sub(1);
            if file.closed && file.pending == 0 {
                ended.push(file.summary(id));
                self.files.remove(&id);
            }
        }
        ended
    }
}

impl File {
    fn is_directory(&self) -> bool {
        self.flags.is_none()
    }

    fn reads(&self) -> bool {
        self.flags.is_some_and(OpenFlags::reads)
    }

    fn writes(&self) -> bool {
        self.flags.is_some_and(OpenFlags::writes)
    }

    fn write(&mut self, offset: u64, length: usize) -> Piece {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let appends = self.flags.is_some_and(OpenFlags::appends);
        let order = match appends {
            true => {
                let end = self.written.end;
                self.written.take(end, length);
                Order::Appended
            }
            false => self.written.take(offset, length),
        };
        Piece { offset, length, order }
    }

    fn summary(&self, file: FileId) -> Summary {
        Summary {
            file,
            path: self.path.clone(),
            flags: self.flags,
            read: self.read,
            written: self.written,
            altered: self.altered,
        }
    }
}

impl Stream {
    fn new() -> Stream {
        Stream { bytes: 0, end: 0, sequential: true, complete: false, failed: false }
    }

    fn take(&mut self, offset: u64, length: u64) -> Order {
        self.sequential &= offset == self.end;
        self.bytes = self.bytes.saturating_add(length);
        self.end = self.end.max(offset.saturating_add(length));
        if self.sequential { Order::Next } else { Order::Apart }
    }
}

/// The largest piece that one READ asks for: OpenSSH's own limit, so that its DATA is a packet.
const READ_BYTES_MAX: u32 = (FRAME_BYTES_MAX - 1_024) as u32;

/// A READ that asks for no more than a packet holds; upstream may answer with less in any case.
fn within_a_packet(request: &Request) -> Request {
    match request {
        Request::Read { handle, offset, length } => {
            Request::Read { handle: handle.clone(), offset: *offset, length: (*length).min(READ_BYTES_MAX) }
        }
        other => other.clone(),
    }
}

/// The answer to `limits@openssh.com` within what the gateway takes. Errors: those of [`Limits::decode`].
fn within_ours(reply: &Reply) -> Result<Reply, Fault> {
    let Reply::Extended(body) = reply else { return Ok(reply.clone()) };
    let limits = Limits::decode(&body.to_bytes())?;
    let least = |theirs: u64, ours: u64| if theirs == 0 { ours } else { theirs.min(ours) };
    let ours = [
        least(limits.packet_bytes, FRAME_BYTES_MAX as u64),
        least(limits.read_bytes, u64::from(READ_BYTES_MAX)),
        least(limits.write_bytes, u64::from(READ_BYTES_MAX)),
        least(limits.handles, HANDLES_MAX as u64),
    ];
    Ok(Reply::Extended(Bytes::from(ours.map(u64::to_be_bytes).concat()).into()))
}

/// The handle of a request; of a copy, the one that is read.
fn handle_of(request: &Request) -> Option<&RawField> {
    match request {
        Request::Close { handle }
        | Request::Read { handle, .. }
        | Request::Write { handle, .. }
        | Request::Fstat { handle }
        | Request::Fsetstat { handle, .. }
        | Request::Readdir { handle }
        | Request::Fstatvfs { handle }
        | Request::Fsync { handle }
        | Request::CopyData { from: handle, .. } => Some(handle),
        _ => None,
    }
}

/// Whether a handle was opened for what a request does by it, and whether its offsets are those of a file.
fn check_use(request: &Request, file: &File, to: Option<&File>) -> Result<(), Why> {
    let is = match request {
        Request::Read { .. } => file.reads(),
        Request::Write { .. } => file.writes(),
        Request::Readdir { .. } => file.is_directory(),
        Request::Fsetstat { attrs, .. } => attrs.size.is_none() || file.writes(),
        Request::Fsync { .. } => !file.is_directory(),
        Request::CopyData { .. } => file.reads() && to.is_some_and(File::writes),
        // CLOSE, FSTAT and fstatvfs: any.
        _ => true,
    };
    if !is {
        return Err(Why::NotOpenedForThis);
    }
    let fits =
        |offset: u64, length: u64| offset.checked_add(length).is_some_and(|end| i64::try_from(end).is_ok());
    let within = match request {
        Request::Read { offset, length, .. } => fits(*offset, u64::from(*length)),
        Request::Write { offset, data, .. } => fits(*offset, u64::try_from(data.len()).unwrap_or(u64::MAX)),
        Request::Fsetstat { attrs, .. } => fits(attrs.size.unwrap_or(0), 0),
        Request::CopyData { from_offset, length, to_offset, .. } => {
            fits(*from_offset, *length) && fits(*to_offset, *length)
        }
        _ => true,
    };
    if within { Ok(()) } else { Err(Why::Offset) }
}

/// What may answer a request.
fn expects(asked: &Asked) -> Expects {
    let opens = |flags| {
        // Whatever opens has touches, all on its one path.
        let path = asked.action.touches.first().map(|touch| touch.path.clone());
        path.map_or(Expects::Status, |path| Expects::Handle { path, flags })
    };
    match &asked.sent {
        Request::Open { flags, .. } => opens(Some(*flags)),
        Request::Opendir { .. } => opens(None),
        Request::Close { .. } => Expects::Closed,
        Request::Read { offset, length, .. } => Expects::Data { offset: *offset, length: *length },
        Request::Write { .. } => Expects::Written,
        Request::Lstat { .. } | Request::Fstat { .. } | Request::Stat { .. } => Expects::Attrs,
        Request::Readdir { .. } => Expects::Names,
        Request::Realpath { .. }
        | Request::Readlink { .. }
        | Request::ExpandPath { .. }
        | Request::HomeDirectory { .. } => Expects::OneName,
        Request::Statvfs { .. } => Expects::Extended(Extension::Statvfs),
        Request::Fstatvfs { .. } => Expects::Extended(Extension::Fstatvfs),
        Request::Limits => Expects::Extended(Extension::Limits),
        Request::UsersGroupsById { .. } => Expects::Extended(Extension::UsersGroupsById),
        Request::Setstat { .. }
        | Request::Fsetstat { .. }
        | Request::Remove { .. }
        | Request::Mkdir { .. }
        | Request::Rmdir { .. }
        | Request::Rename { .. }
        | Request::Symlink { .. }
        | Request::PosixRename { .. }
        | Request::Hardlink { .. }
        | Request::Fsync { .. }
        | Request::Lsetstat { .. }
        | Request::CopyData { .. } => Expects::Status,
    }
}

fn check_reply(expects: &Expects, reply: &Reply) -> Result<(), Fault> {
    let wrong = || why::WRONG_REPLY.on(Side::Upstream);
    match (expects, reply) {
        (Expects::Status | Expects::Written | Expects::Closed, Reply::Status(_)) => Ok(()),
        // Success without what was asked for is none.
        (_, Reply::Status(status)) if status.code != Code::OK => Ok(()),
        (Expects::Handle { .. }, Reply::Handle(_)) | (Expects::Attrs, Reply::Attrs(_)) => Ok(()),
        (Expects::Data { length, .. }, Reply::Data(data)) => {
            match u32::try_from(data.len()).is_ok_and(|came| came <= *length) {
                true => Ok(()),
                false => Err(why::MORE_THAN_ASKED.on(Side::Upstream)),
            }
        }
        (Expects::Names, Reply::Name(entries)) => {
            let bad = |name: &[u8]| name.is_empty() || name.contains(&b'/') || name.contains(&0);
            match entries.iter().any(|entry| bad(entry.filename.as_bytes())) {
                true => Err(why::NAME_WITH_SLASH.on(Side::Upstream)),
                false => Ok(()),
            }
        }
        (Expects::OneName, Reply::Name(entries)) => match entries.as_slice() {
            [entry] if !entry.filename.as_bytes().contains(&0) => Ok(()),
            _ => Err(why::NOT_ONE_NAME.on(Side::Upstream)),
        },
        (Expects::Extended(extension), Reply::Extended(body)) => check_extended(*extension, &body.to_bytes()),
        _ => Err(wrong()),
    }
}

fn check_extended(extension: Extension, body: &Bytes) -> Result<(), Fault> {
    match extension {
        Extension::Statvfs | Extension::Fstatvfs => Statvfs::decode(body).map(drop),
        Extension::Limits => Limits::decode(body).map(drop),
        Extension::UsersGroupsById => UsersGroups::decode(body).map(drop),
        // These are answered by a status or a name.
        Extension::PosixRename
        | Extension::Hardlink
        | Extension::Fsync
        | Extension::Lsetstat
        | Extension::ExpandPath
        | Extension::CopyData
        | Extension::HomeDirectory => Err(why::WRONG_REPLY.on(Side::Upstream)),
    }
}
