//! A session with both its sides in hand.

use bytes::{Bytes, BytesMut};
use proto_ssh::sftp::action::LinkOrder;
use proto_ssh::sftp::frame::{Decoder, Frame, tag};
use proto_ssh::sftp::message::*;
use proto_ssh::sftp::session::*;
use proto_ssh::sftp::version::{Extension, Extensions};
use wire::{Fault, RawField};

pub struct Pair {
    pub session: Session,
}

pub fn raw(text: &str) -> RawField {
    RawField::copy_from(text.as_bytes())
}

/// The one packet of `bytes`.
pub fn frame(bytes: &[u8]) -> Frame {
    let mut decoder = Decoder::client();
    let mut buffer = BytesMut::from(bytes);
    // A decoder takes a small packet first.
    let mut first = BytesMut::from(&b"\0\0\0\x05\x01\0\0\0\x03"[..]);
    decoder.next(&mut first).unwrap();
    let frame = decoder.next(&mut buffer).unwrap().unwrap();
    assert!(buffer.is_empty());
    frame
}

pub fn request_frame(id: u32, request: &Request) -> Frame {
    let mut out = BytesMut::new();
    request.encode(id, &mut out).unwrap();
    frame(&out)
}

pub fn reply_frame(id: u32, reply: &Reply) -> Frame {
    let mut out = BytesMut::new();
    reply.encode(id, &mut out).unwrap();
    frame(&out)
}

/// INIT or VERSION.
pub fn hello(tag: u8, version: u32, pairs: &[(&str, &str)]) -> Frame {
    let mut body = version.to_be_bytes().to_vec();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        body.extend_from_slice(&(text.len() as u32).to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    Frame { tag, body: Bytes::from(body) }
}

pub fn options() -> Options {
    Options { link_order: LinkOrder::OpenSsh, extensions: Extensions::all() }
}

/// The id of a request that goes upstream.
pub fn id_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes[5..].first_chunk().unwrap())
}

pub fn name(path: &str) -> Reply {
    Reply::Name(vec![Entry { filename: raw(path), longname: raw(path), attrs: Default::default() }])
}

pub fn status(code: Code) -> Reply {
    Reply::refusal(code, "")
}

impl Pair {
    /// Behind VERSION, with all extensions; the home is `/h`.
    pub fn open() -> Pair {
        let pairs: Vec<(&str, &str)> =
            Extension::ALL.iter().map(|e| (e.as_str(), std::str::from_utf8(e.version()).unwrap())).collect();
        Pair::open_with(&pairs, name("/h"))
    }

    pub fn open_with(pairs: &[(&str, &str)], home: Reply) -> Pair {
        let mut session = Session::new(options());
        assert!(matches!(session.on_client(&hello(tag::INIT, 3, &[])), Ok(Step::Begin(_))));
        let Event::Greeted { ask, .. } = session.on_upstream(&hello(tag::VERSION, 3, pairs)).unwrap() else {
            panic!("greeted")
        };
        let ready = session.on_upstream(&reply_frame(id_of(&ask), &home)).unwrap();
        assert!(matches!(ready, Event::Ready(_)));
        Pair { session }
    }

    pub fn client(&mut self, id: u32, request: &Request) -> Result<Step, Fault> {
        self.session.on_client(&request_frame(id, request))
    }

    pub fn asked(&mut self, id: u32, request: &Request) -> Asked {
        match self.client(id, request).unwrap() {
            Step::Ask(asked) => *asked,
            other => panic!("{}: {other:?}", request.kind()),
        }
    }

    /// Asks and sends; gives the id that upstream sees and where a WRITE's data stands.
    pub fn send(&mut self, id: u32, request: &Request) -> (u32, Option<Piece>) {
        let asked = self.asked(id, request);
        let sent = self.session.sent(asked).unwrap();
        (id_of(&sent.bytes), sent.written)
    }

    pub fn refusal(&mut self, id: u32, request: &Request) -> Why {
        match self.client(id, request).unwrap() {
            Step::Refuse(refused) => {
                let FromUpstream::Reply { id: told, reply } =
                    FromUpstream::decode(&frame(&refused.reply)).unwrap()
                else {
                    panic!("a reply")
                };
                assert_eq!((told, reply.code()), (id, Some(refused.why.code())));
                refused.why
            }
            other => panic!("{}: {other:?}", request.kind()),
        }
    }

    pub fn upstream(&mut self, id: u32, reply: &Reply) -> Result<Answer, Fault> {
        match self.session.on_upstream(&reply_frame(id, reply))? {
            Event::Answer(answer) => Ok(answer),
            other => panic!("{other:?}"),
        }
    }

    /// Sends and answers at once.
    pub fn turn(&mut self, request: &Request, reply: &Reply) -> Answer {
        let (id, _) = self.send(7, request);
        self.upstream(id, reply).unwrap()
    }

    /// Opens `path` with `flags`.
    pub fn opened(&mut self, path: &str, flags: u32, handle: &str) -> FileId {
        let request = Request::Open { path: raw(path), flags: OpenFlags(flags), attrs: Default::default() };
        self.turn(&request, &Reply::Handle(raw(handle))).opened.unwrap()
    }
}
