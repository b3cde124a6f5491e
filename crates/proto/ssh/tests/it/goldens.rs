//! One file per conversation: a packet a line, in hex, and what each stage makes of it. `UPDATE_EXPECT=1` writes the
//! answers. Packets were captured from OpenSSH 9.2's sftp and sftp-server, or put together by hand; a reply stands behind
//! its request and has the client's id.

use crate::pair::{Pair, options, reply_frame};
use bytes::Bytes;
use proto_ssh::path::shown;
use proto_ssh::sftp::frame::Frame;
use proto_ssh::sftp::message::*;
use proto_ssh::sftp::session::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;
use wire::RawField;

/// The session, and which of upstream's ids a client's request got.
struct Conversation {
    session: Session,
    ids: HashMap<u32, u32>,
}

#[test]
fn packets_are_what_their_files_say() {
    let mut wrong = Vec::new();
    let mut files = 0;
    for entry in
        std::fs::read_dir(PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("testdata"))
            .unwrap()
    {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "golden") {
            continue;
        }
        files += 1;
        let old = std::fs::read_to_string(&path).unwrap();
        let mut new = String::new();
        let session = match old.starts_with("-- after VERSION") {
            true => Pair::open().session,
            false => Session::new(options()),
        };
        let mut conversation = Conversation { session, ids: HashMap::new() };
        // A line that is not indented is a packet or, after `--`, a comment; what is indented is the answer.
        for line in old.lines().filter(|line| !line.starts_with(' ')) {
            writeln!(new, "{line}").unwrap();
            match line.split_once(' ') {
                Some(("client", hex)) => new.push_str(&conversation.client(&packet(hex))),
                Some(("upstream", hex)) => new.push_str(&conversation.upstream(&packet(hex))),
                _ => assert!(line.is_empty() || line.starts_with("--"), "{line}"),
            }
        }
        if new != old && std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &new).unwrap();
        } else if new != old {
            let line = new.lines().zip(old.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{}: {line:?}", path.display()));
        }
    }
    assert!(files >= 3, "no goldens found");
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 writes them anew:\n{}", wrong.join("\n"));
}

/// Type and body: the length stands in no file, since it is that of the line.
fn packet(hex: &str) -> Frame {
    let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    let (tag, body) = bytes.split_first().unwrap();
    Frame { tag: *tag, body: Bytes::copy_from_slice(body) }
}

impl Conversation {
    fn client(&mut self, frame: &Frame) -> String {
        let mut out = format!("  frame {frame:?}\n");
        match FromClient::decode(frame) {
            Ok(message) => writeln!(out, "  message {}", from_client(&message).trim_end()).unwrap(),
            Err(fault) => {
                writeln!(out, "  fault {fault}").unwrap();
                return out;
            }
        }
        match self.session.on_client(frame) {
            Err(fault) => writeln!(out, "  fault {fault}").unwrap(),
            Ok(Step::Begin(init)) => writeln!(out, "  session: to upstream {}", hex(&init)).unwrap(),
            Ok(Step::Refuse(refused)) => {
                let (code, why) = (refused.why.code().name().unwrap(), refused.why.as_str());
                writeln!(out, "  session: refuses {}: {code}, {why}", refused.id).unwrap();
            }
            Ok(Step::Ask(asked)) => self.asked(*asked, &mut out),
        }
        out
    }

    fn asked(&mut self, asked: Asked, out: &mut String) {
        writeln!(out, "  action {:?}, by {:?}", asked.action().kind, asked.action().basis).unwrap();
        for touch in &asked.action().touches {
            let (word, path) = (touch.operation.as_str(), touch.path.canonical.shown());
            let follows = if touch.follows { "" } else { ", not through a link" };
            writeln!(out, "    {word} {:?} {path}{follows}", touch.role).unwrap();
        }
        let id = asked.id();
        let sent = self.session.sent(asked).unwrap();
        self.ids.insert(id, crate::pair::id_of(&sent.bytes));
        if let Some(piece) = sent.written {
            writeln!(out, "  session: writes {piece:?}").unwrap();
        }
    }

    fn upstream(&mut self, frame: &Frame) -> String {
        let mut out = format!("  frame {frame:?}\n");
        let event = match FromUpstream::decode(frame) {
            Err(fault) => Err(fault),
            Ok(FromUpstream::Version(hello)) => {
                writeln!(out, "  message VERSION {}", pairs(&hello)).unwrap();
                self.session.on_upstream(frame)
            }
            Ok(FromUpstream::Reply { id, reply }) => {
                writeln!(out, "  reply {id} {}", said(&reply)).unwrap();
                for field in reply.fields() {
                    let fixed = if field.fixed { ", of fixed length" } else { "" };
                    writeln!(out, "    field {:?}: {} bytes{fixed}", field.place, field.bytes.len()).unwrap();
                }
                let id = self.ids.get(&id).copied().unwrap_or(id);
                self.session.on_upstream(&reply_frame(id, &reply))
            }
        };
        match event {
            Err(fault) => writeln!(out, "  fault {fault}").unwrap(),
            Ok(Event::Greeted { ask, cut }) => {
                let cut: Vec<String> = cut.iter().map(text).collect();
                writeln!(out, "  session: to upstream {}; cut out: {}", hex(&ask), cut.join(" ")).unwrap();
            }
            Ok(Event::Ready(version)) => {
                let home = self.session.home().map(|home| home.shown());
                writeln!(out, "  session: home {home:?}; VERSION of {} bytes", version.len()).unwrap();
            }
            Ok(Event::Own { .. }) => panic!("no questions are asked here"),
            Ok(Event::Answer(answer)) => answered(&answer, &mut out),
        }
        out
    }
}

fn answered(answer: &Answer, out: &mut String) {
    writeln!(out, "  session: answers {}, {}", answer.id, answer.kind).unwrap();
    if let Some(file) = answer.opened {
        writeln!(out, "    opened {file:?}").unwrap();
    }
    if let Some(content) = &answer.content {
        writeln!(out, "    of {}: {:?}", content.path.canonical.shown(), content.piece).unwrap();
    }
    if let Some(directory) = &answer.directory {
        writeln!(out, "    in {}", directory.shown()).unwrap();
    }
    for summary in &answer.ended {
        writeln!(out, "    ended {}: read {:?}", summary.path.canonical.shown(), summary.read).unwrap();
        writeln!(out, "      written {:?}, altered: {}", summary.written, summary.altered).unwrap();
    }
}

/// Messages here are no secrets: their fields are shown.
fn from_client(message: &FromClient) -> String {
    match message {
        FromClient::Init(hello) => format!("INIT {}", pairs(hello)),
        FromClient::Request { id, request } => format!("{id} {}", fields(request)),
        FromClient::Unknown { id, what: Unknown::Type(tag) } => format!("{id} unknown type {tag}"),
        FromClient::Unknown { id, what: Unknown::Extension(name) } => format!("{id} unknown {}", text(name)),
    }
}

fn fields(request: &Request) -> String {
    let rest = match request {
        Request::Open { path, flags, attrs } => format!("{} {:#04x} {attrs:?}", text(path), flags.0),
        Request::Read { handle, offset, length } => format!("{} {offset} {length}", text(handle)),
        Request::Write { handle, offset, data } => format!("{} {offset} {} bytes", text(handle), data.len()),
        Request::Setstat { path: name, attrs }
        | Request::Fsetstat { handle: name, attrs }
        | Request::Mkdir { path: name, attrs }
        | Request::Lsetstat { path: name, attrs } => format!("{} {attrs:?}", text(name)),
        Request::Rename { from, to } | Request::PosixRename { from, to } | Request::Hardlink { from, to } => {
            format!("{} {}", text(from), text(to))
        }
        Request::Symlink { first, second } => format!("{} {}", text(first), text(second)),
        Request::Close { handle: name }
        | Request::Lstat { path: name }
        | Request::Fstat { handle: name }
        | Request::Opendir { path: name }
        | Request::Readdir { handle: name }
        | Request::Remove { path: name }
        | Request::Rmdir { path: name }
        | Request::Realpath { path: name }
        | Request::Stat { path: name }
        | Request::Readlink { path: name }
        | Request::Statvfs { path: name }
        | Request::Fstatvfs { handle: name }
        | Request::Fsync { handle: name }
        | Request::ExpandPath { path: name }
        | Request::HomeDirectory { user: name } => text(name),
        Request::CopyData { from, from_offset, length, to, to_offset } => {
            format!("{} {from_offset} {length} {} {to_offset}", text(from), text(to))
        }
        Request::Limits => String::new(),
        Request::UsersGroupsById { users, groups } => format!("{users:?} {groups:?}"),
    };
    format!("{} {rest}", request.kind())
}

fn said(reply: &Reply) -> String {
    let rest = match reply {
        Reply::Status(status) => {
            let said = status.said.as_ref().map(|(said, _)| text(said));
            format!("{} {said:?}", status.code.name().unwrap_or("unknown"))
        }
        Reply::Handle(handle) => text(handle),
        Reply::Data(data) => format!("{:?}", proto_ssh::sftp::reply::form(data.as_bytes())),
        Reply::Name(entries) => {
            let names: Vec<String> = entries.iter().map(|entry| text(&entry.filename)).collect();
            names.join(" ")
        }
        Reply::Attrs(attrs) => format!("{attrs:?}"),
        Reply::Extended(body) => format!("{} bytes", body.len()),
    };
    format!("{} {rest}", reply.kind())
}

fn pairs(hello: &Hello) -> String {
    let pairs = hello.pairs.iter().map(|(name, value)| format!(" {}={}", text(name), text(value)));
    format!("{}{}", hello.version, pairs.collect::<String>())
}

/// A handle or name; what is no text is escaped.
fn text(field: &RawField) -> String {
    format!("`{}`", shown(field.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
