//! Against OpenSSH's own sftp-server and sftp: we accept all that they say, what we read is what they wrote, and our idea of
//! what was read and written is the files' state.

use crate::dice::Dice;
use crate::pair::{frame, hello, options, raw};
use bytes::BytesMut;
use interop::place::Scratch;
use proto_ssh::sftp::action::{Operation, Role, Touch};
use proto_ssh::sftp::attrs::Attrs;
use proto_ssh::sftp::frame::{Decoder, Frame, tag};
use proto_ssh::sftp::message::*;
use proto_ssh::sftp::resolve::{Question, Resolved};
use proto_ssh::sftp::session::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use wire::RawField;

/// Where systems have it; `SFTP_SERVER` says where else.
pub fn sftp_server() -> PathBuf {
    let named = std::env::var_os("SFTP_SERVER").map(PathBuf::from);
    let places =
        ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"];
    let found = named.into_iter().chain(places.map(PathBuf::from)).find(|path| path.exists());
    found.expect("OpenSSH's sftp-server: run `cargo xtask setup`, or install openssh-sftp-server")
}

/// The server, and a session in front of it.
struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    decoder: Decoder,
    buffer: BytesMut,
    session: Session,
}

impl Server {
    fn start(directory: &Path) -> Server {
        let mut child = Command::new(sftp_server())
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut server = Server {
            child,
            stdin,
            stdout,
            decoder: Decoder::upstream(),
            buffer: BytesMut::new(),
            session: Session::new(options()),
        };
        let Ok(Step::Begin(init)) = server.session.on_client(&hello(tag::INIT, 3, &[])) else { panic!() };
        server.stdin.write_all(&init).unwrap();
        let Event::Greeted { ask, cut } = server.event() else { panic!("VERSION") };
        assert_eq!(cut, [], "all that this server offers is known");
        server.stdin.write_all(&ask).unwrap();
        let Event::Ready(_) = server.event() else { panic!("home") };
        assert_eq!(server.session.home().unwrap().as_bytes(), directory.as_os_str().as_encoded_bytes());
        server
    }

    /// The next packet of the server's, through the session. What decodes encodes to the same bytes.
    fn event(&mut self) -> Event {
        let frame = loop {
            if let Some(frame) = self.decoder.next(&mut self.buffer).unwrap() {
                break frame;
            }
            let mut piece = [0; 8192];
            let came = self.stdout.read(&mut piece).unwrap();
            assert!(came > 0, "the server ended");
            self.buffer.extend_from_slice(&piece[..came]);
        };
        assert_same(&frame);
        self.session.on_upstream(&frame).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Shows a request to the session; sends it if it is one.
    fn ask(&mut self, id: u32, request: &Request) -> Option<Asking> {
        let mut out = BytesMut::new();
        request.encode(id, &mut out).unwrap();
        match self.session.on_client(&frame(&out)).unwrap() {
            Step::Ask(asked) => {
                let asking = Asking {
                    touches: asked.action().touches.clone(),
                    request: asked.upstream().clone(),
                    file: asked.file(),
                };
                let sent = self.session.sent(*asked).unwrap();
                self.stdin.write_all(&sent.bytes).unwrap();
                Some(asking)
            }
            Step::Refuse(_) => None,
            Step::Begin(_) => panic!("INIT"),
        }
    }

    fn one(&mut self, request: &Request) -> Answer {
        self.ask(1, request).unwrap();
        match self.event() {
            Event::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn own(&mut self, request: &Request) -> Reply {
        let (question, bytes) = self.session.ask(request).unwrap();
        self.stdin.write_all(&bytes).unwrap();
        match self.event() {
            Event::Own { question: answered, reply, .. } if answered == question => reply,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is kept of a request until its answer.
struct Asking {
    touches: Vec<Touch>,
    request: Request,
    file: Option<FileId>,
}

fn assert_same(frame: &Frame) {
    let (mut whole, mut again) = (BytesMut::new(), BytesMut::new());
    frame.encode(&mut whole).unwrap();
    if let FromUpstream::Reply { id, reply } = FromUpstream::decode(frame).unwrap() {
        reply.encode(id, &mut again).unwrap();
        assert_eq!(again, whole);
    }
}

type File = Rc<RefCell<Vec<u8>>>;

/// Files as the session's actions and answers say that they are.
#[derive(Default)]
struct Idea {
    paths: BTreeMap<Vec<u8>, File>,
    open: HashMap<FileId, (File, RawField, OpenFlags)>,
    directories: Vec<RawField>,
    read: usize,
    written: usize,
}

fn put(file: &File, at: usize, data: &[u8]) {
    let mut file = file.borrow_mut();
    if file.len() < at + data.len() && !data.is_empty() {
        file.resize(at + data.len(), 0);
    }
    if !data.is_empty() {
        file[at..at + data.len()].copy_from_slice(data);
    }
}

impl Idea {
    fn path(touch: &Touch) -> Vec<u8> {
        touch.path.canonical.as_bytes().to_vec()
    }

    fn of(touches: &[Touch], operation: Operation, role: Role) -> Vec<u8> {
        let touch = touches.iter().find(|touch| touch.operation == operation && touch.role == role);
        Idea::path(touch.unwrap_or_else(|| panic!("{operation:?} {role:?} in {touches:?}")))
    }

    /// Takes an answer, and what it answers.
    fn take(&mut self, asking: &Asking, answer: &Answer) {
        let done = answer.reply.code() == Some(Code::OK);
        let touches = &asking.touches;
        match &asking.request {
            Request::Open { flags, .. } => {
                let (Some(id), Reply::Handle(handle)) = (answer.opened, &answer.reply) else { return };
                let path = Idea::path(&touches[0]);
                let file = self.paths.entry(path).or_default();
                if touches.iter().any(|touch| touch.operation == Operation::Truncate) {
                    file.borrow_mut().clear();
                }
                self.open.insert(id, (Rc::clone(file), handle.clone(), *flags));
            }
            Request::Opendir { .. } => {
                if let Reply::Handle(handle) = &answer.reply {
                    self.directories.push(handle.clone());
                }
            }
            Request::Close { handle } => {
                assert!(done);
                self.directories.retain(|own| own != handle);
                self.open.remove(&asking.file.unwrap());
            }
            Request::Read { offset, length, .. } => {
                let (file, ..) = &self.open[&asking.file.unwrap()];
                let file = file.borrow();
                let from = (*offset as usize).min(file.len());
                let expect = &file[from..file.len().min(from + *length as usize)];
                match &answer.reply {
                    Reply::Data(data) => assert_eq!(data.as_bytes(), expect),
                    reply => assert_eq!((reply.code(), expect), (Some(Code::EOF), &b""[..])),
                }
                self.read += expect.len();
            }
            Request::Write { offset, data, .. } if done => {
                let (file, _, flags) = &self.open[&asking.file.unwrap()];
                let at = if flags.appends() { file.borrow().len() } else { *offset as usize };
                put(file, at, data.as_bytes());
                self.written += data.len();
            }
            Request::Fsetstat { attrs: Attrs { size: Some(size), .. }, .. } if done => {
                self.open[&asking.file.unwrap()].0.borrow_mut().resize(*size as usize, 0);
            }
            Request::Setstat { attrs: Attrs { size: Some(size), .. }, .. } if done => {
                self.paths[&Idea::path(&touches[0])].borrow_mut().resize(*size as usize, 0);
            }
            Request::Remove { .. } if done => {
                self.paths.remove(&Idea::of(touches, Operation::Delete, Role::Only));
            }
            Request::Rename { .. } | Request::PosixRename { .. } if done => {
                let from = Idea::of(touches, Operation::Rename, Role::From);
                let to = Idea::of(touches, Operation::Rename, Role::To);
                // Two names of one file: rename(2) does nothing then.
                let same = |a: &File| self.paths.get(&to).is_some_and(|b| Rc::ptr_eq(a, b));
                if from != to && !self.paths.get(&from).is_some_and(same) {
                    let file = self.paths.remove(&from).unwrap();
                    self.paths.insert(to, file);
                }
            }
            Request::Hardlink { .. } if done => {
                let from = Idea::of(touches, Operation::Hardlink, Role::From);
                let file = Rc::clone(&self.paths[&from]);
                self.paths.insert(Idea::of(touches, Operation::Hardlink, Role::To), file);
            }
            Request::CopyData { from_offset, length, to, to_offset, .. } if done => {
                let source = self.open[&asking.file.unwrap()].0.borrow().clone();
                let from = (*from_offset as usize).min(source.len());
                let length = if *length == 0 { source.len() } else { *length as usize };
                let data = &source[from..source.len().min(from.saturating_add(length))];
                let (file, _, flags) = self.open.values().find(|(_, handle, _)| handle == to).unwrap();
                let at = if flags.appends() { file.borrow().len() } else { *to_offset as usize };
                put(file, at, data);
            }
            _ => {}
        }
    }

    fn assert_is_so(&self) {
        for (path, file) in &self.paths {
            let path = PathBuf::from(String::from_utf8(path.clone()).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), *file.borrow(), "{}", path.display());
        }
    }
}

/// A valid request: on few names, so that they meet, and on handles that are open.
fn request(dice: &mut Dice, idea: &Idea) -> Request {
    let path = |d: &mut Dice| d.word(&["a", "./b", "d/../c", "sub/d", "sub/./e", "none/f"]);
    let attrs = |d: &mut Dice| match d.below(4) {
        0 => Attrs { size: Some(d.below(3_000) as u64), ..Attrs::default() },
        1 => Attrs { permissions: Some(0o600 | d.below(64) as u32), ..Attrs::default() },
        2 => Attrs { times: Some((d.below(1 << 30) as u32, d.below(1 << 30) as u32)), ..Attrs::default() },
        _ => Attrs::default(),
    };
    let mut handles: Vec<&RawField> = idea.open.values().map(|(_, handle, _)| handle).collect();
    handles.sort();
    let handle = |d: &mut Dice| match handles.is_empty() {
        true => raw("none"),
        false => (*d.pick(&handles)).clone(),
    };
    let directory = |d: &mut Dice| match idea.directories.is_empty() {
        true => raw("none"),
        false => d.pick(&idea.directories).clone(),
    };
    match dice.below(40) {
        0..6 => Request::Open {
            path: path(dice),
            flags: OpenFlags(*dice.pick(&[0x1, 0x2, 0x3, 0x0a, 0x0b, 0x1a, 0x1b, 0x2b, 0x0e, 0x0f])),
            attrs: Attrs { permissions: Some(0o644), ..Attrs::default() },
        },
        6..15 => {
            Request::Write { handle: handle(dice), offset: dice.below(4_000) as u64, data: dice.raw(1_500) }
        }
        15..23 => Request::Read {
            handle: handle(dice),
            offset: dice.below(4_000) as u64,
            length: dice.below(2_000) as u32 + 1,
        },
        23 | 24 => Request::Close { handle: if dice.below(4) == 0 { directory(dice) } else { handle(dice) } },
        25 => Request::Fsetstat { handle: handle(dice), attrs: attrs(dice) },
        26 => Request::Setstat { path: path(dice), attrs: attrs(dice) },
        27 => Request::Remove { path: path(dice) },
        28 => Request::Rename { from: path(dice), to: path(dice) },
        29 => Request::PosixRename { from: path(dice), to: path(dice) },
        30 => Request::Hardlink { from: path(dice), to: path(dice) },
        31 => Request::CopyData {
            from: handle(dice),
            from_offset: dice.below(2_000) as u64,
            length: dice.below(2_000) as u64,
            to: handle(dice),
            to_offset: dice.below(2_000) as u64,
        },
        32 => Request::Opendir { path: dice.word(&[".", "sub", "none"]) },
        33 => Request::Readdir { handle: directory(dice) },
        34 => match dice.below(5) {
            0 => Request::Stat { path: path(dice) },
            1 => Request::Lstat { path: path(dice) },
            2 => Request::Fstat { handle: handle(dice) },
            3 => Request::Fstatvfs { handle: handle(dice) },
            _ => Request::Statvfs { path: path(dice) },
        },
        35 => Request::Symlink { first: raw("a"), second: dice.word(&["link", "sub/link"]) },
        36 => match dice.below(4) {
            0 => Request::Readlink { path: raw("link") },
            1 => Request::Realpath { path: path(dice) },
            2 => Request::ExpandPath { path: dice.word(&["~/x", "y"]) },
            _ => Request::Lsetstat {
                path: raw("link"),
                attrs: Attrs { times: Some((1, 2)), ..Attrs::default() },
            },
        },
        37 => match dice.below(3) {
            0 => Request::Mkdir { path: raw("sub/dir"), attrs: Attrs::default() },
            1 => Request::Rmdir { path: raw("sub/dir") },
            _ => Request::Fsync { handle: handle(dice) },
        },
        38 => match dice.below(3) {
            0 => Request::Limits,
            1 => Request::HomeDirectory { user: raw("root") },
            _ => Request::UsersGroupsById { users: vec![0, 54_321], groups: vec![0] },
        },
        _ => dice.request_kind(),
    }
}

impl Dice {
    /// A request with a handle or path that is nobody's.
    fn request_kind(&mut self) -> Request {
        match self.below(3) {
            0 => Request::Read { handle: raw("foreign"), offset: 0, length: 1 },
            1 => Request::Stat { path: raw("a\0b") },
            _ => Request::Close { handle: raw("") },
        }
    }
}

#[test]
fn what_we_think_was_written_is_what_is_in_the_files() {
    let (mut read, mut written, mut refused) = (0, 0, 0);
    for seed in 0..12 {
        let scratch = Scratch::new("sftp").unwrap();
        std::fs::create_dir(scratch.path().join("sub")).unwrap();
        let directory = scratch.path().canonicalize().unwrap();
        let mut server = Server::start(&directory);
        let mut dice = Dice::new(seed);
        let mut idea = Idea::default();
        for _ in 0..120 {
            // Some at once, each with its own id; the answers come behind them.
            let mut asking: HashMap<u32, Asking> = HashMap::new();
            for _ in 0..=dice.below(12) {
                let request = request(&mut dice, &idea);
                let id = dice.next() as u32;
                match server.ask(id, &request) {
                    Some(sent) => drop(asking.insert(id, sent)),
                    None => refused += 1,
                }
            }
            for _ in 0..asking.len() {
                let Event::Answer(answer) = server.event() else { panic!("an answer") };
                idea.take(&asking[&answer.id], &answer);
            }
        }
        idea.assert_is_so();
        assert_eq!(server.session.outstanding(), 0);
        let open = server.session.unclosed();
        assert_eq!(open.len(), idea.open.len() + idea.directories.len());
        read += idea.read;
        written += idea.written;
    }
    assert!(read > 100_000 && written > 500_000 && refused > 100, "{read} {written} {refused}");
}

#[test]
fn where_a_path_leads_is_asked_of_the_server() {
    let scratch = Scratch::new("sftp").unwrap();
    let directory = scratch.path().canonicalize().unwrap();
    std::fs::create_dir(directory.join("secret")).unwrap();
    std::fs::write(directory.join("secret/key"), "k").unwrap();
    std::os::unix::fs::symlink("secret", directory.join("plain")).unwrap();
    std::os::unix::fs::symlink("secret/key", directory.join("link")).unwrap();
    let mut server = Server::start(&directory);
    let open = |path: &str, flags| Request::Open {
        path: raw(path),
        flags: OpenFlags(flags),
        attrs: Attrs::default(),
    };
    for (request, leads) in [
        (open("plain/key", 1), "secret/key"),
        (open("plain/new", 0xa), "secret/new"),
        (open("link", 1), "secret/key"),
        (Request::Remove { path: raw("link") }, "link"),
        (Request::Remove { path: raw("plain/key") }, "secret/key"),
        (Request::Lstat { path: raw("plain") }, "plain"),
    ] {
        let mut out = BytesMut::new();
        request.encode(1, &mut out).unwrap();
        let Ok(Step::Ask(asked)) = server.session.on_client(&frame(&out)) else { panic!() };
        for touch in &asked.action().touches {
            let question = Question::of(touch);
            let reply = server.own(&question.request());
            let Ok(Resolved::At(at)) = question.answer(&reply) else { panic!("{reply:?}") };
            assert_eq!(at.as_bytes(), directory.join(leads).as_os_str().as_encoded_bytes());
        }
        server.session.refused(*asked, Code::PERMISSION_DENIED, "no").unwrap();
    }
    let gone = Question::of(&Touch {
        operation: Operation::Read,
        role: Role::Only,
        path: proto_ssh::path::Path::read(&raw("/none/at/all"), None).unwrap(),
        follows: true,
    });
    let reply = server.own(&gone.request());
    assert_eq!(gone.answer(&reply), Ok(Resolved::Unknown(Code::NO_SUCH_FILE)));
}

#[test]
fn a_link_is_made_where_we_say_that_it_is() {
    let scratch = Scratch::new("sftp").unwrap();
    let directory = scratch.path().canonicalize().unwrap();
    let mut server = Server::start(&directory);
    let answer = server.one(&Request::Symlink { first: raw("says/this"), second: raw("x/../link") });
    assert_eq!(answer.reply.code(), Some(Code::OK), "x is not there: the path went canonical");
    assert_eq!(std::fs::read_link(directory.join("link")).unwrap(), Path::new("says/this"));
}

/// OpenSSH's sftp with a script, and what went both ways.
pub fn captured(directory: &Path, batch: &str) -> (Vec<u8>, Vec<u8>) {
    let scratch = Scratch::new("sftp-capture").unwrap();
    let file = |name: &str| scratch.path().join(name);
    let script = format!(
        "#!/bin/sh\ncd '{}'\ntee '{}' | '{}' | tee '{}'\n",
        directory.display(),
        file("up").display(),
        sftp_server().display(),
        file("down").display()
    );
    std::fs::write(file("server"), script).unwrap();
    std::fs::write(file("batch"), batch).unwrap();
    let mut sftp = Command::new("sftp");
    sftp.arg("-D").arg(format!("/bin/sh {}", file("server").display())).arg("-b").arg(file("batch"));
    let done = interop::process::finish(&mut sftp, b"", std::time::Duration::from_secs(60)).unwrap();
    assert!(done.status.success(), "{}", done.all());
    (std::fs::read(file("up")).unwrap(), std::fs::read(file("down")).unwrap())
}

pub fn packets(mut decoder: Decoder, bytes: &[u8]) -> Vec<Frame> {
    let mut buffer = BytesMut::from(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next(&mut buffer).unwrap() {
        frames.push(frame);
    }
    assert!(buffer.is_empty(), "{} bytes are no packet", buffer.len());
    frames
}

#[test]
fn openssh_s_own_client_is_understood() {
    let scratch = Scratch::new("sftp").unwrap();
    let directory = scratch.path().canonicalize().unwrap();
    let local = Scratch::new("sftp-local").unwrap();
    let content: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    std::fs::write(local.path().join("big"), &content).unwrap();
    let at = local.path().display();
    let batch = format!(
        "mkdir d\nput {at}/big d/f\nput -p {at}/big d/g\nls -l d\nrename d/g d/h\nln d/h d/i\nln -s h d/l\n\
         chmod 600 d/f\ndf d\nget d/f {at}/back\nrm d/i\nls -l d\nrm d/l\nrm d/f\nrm d/h\nrmdir d\npwd\n"
    );
    let (up, down) = captured(&directory, &batch);
    assert_eq!(std::fs::read(local.path().join("back")).unwrap(), content);
    let mut session = Session::new(options());
    let mut replies: HashMap<u32, Reply> = HashMap::new();
    let mut version = None;
    for frame in packets(Decoder::upstream(), &down) {
        assert_same(&frame);
        match FromUpstream::decode(&frame).unwrap() {
            FromUpstream::Version(_) => version = Some(frame),
            FromUpstream::Reply { id, reply } => drop(replies.insert(id, reply)),
        }
    }
    let (mut written, mut read) = (BTreeMap::<FileId, Vec<u8>>::new(), Vec::new());
    let mut did = Vec::new();
    let mut ended = Vec::new();
    let reply = |id: u32, reply: &Reply| crate::pair::reply_frame(id, reply);
    for frame in packets(Decoder::client(), &up) {
        match session.on_client(&frame).unwrap() {
            Step::Begin(_) => {
                let greeted = session.on_upstream(version.as_ref().unwrap()).unwrap();
                let Event::Greeted { ask, .. } = greeted else { panic!() };
                let home = crate::pair::name(directory.to_str().unwrap());
                let ready = session.on_upstream(&reply(crate::pair::id_of(&ask), &home)).unwrap();
                assert!(matches!(ready, Event::Ready(_)));
            }
            Step::Refuse(refused) => panic!("{refused:?}"),
            Step::Ask(asked) => {
                let id = asked.id();
                for touch in &asked.action().touches {
                    let path = touch.path.canonical.as_bytes();
                    let path = path.strip_prefix(directory.as_os_str().as_encoded_bytes()).unwrap();
                    let word =
                        format!("{} {}", touch.operation.as_str(), String::from_utf8(path.to_vec()).unwrap());
                    if !matches!(touch.operation, Operation::Stat | Operation::Realpath)
                        && !did.contains(&word)
                    {
                        did.push(word);
                    }
                }
                let content = asked.data().cloned().zip(asked.file());
                let sent = session.sent(*asked).unwrap();
                if let (Some((data, file)), Some(piece)) = (content, sent.written) {
                    assert_eq!(piece.order, Order::Next);
                    written.entry(file).or_default().extend_from_slice(data.as_bytes());
                }
                let event =
                    session.on_upstream(&reply(crate::pair::id_of(&sent.bytes), &replies[&id])).unwrap();
                let Event::Answer(answer) = event else { panic!() };
                if let (Some(content), Reply::Data(data)) = (&answer.content, &answer.reply) {
                    assert_eq!(content.piece.order, Order::Next);
                    read.extend_from_slice(data.as_bytes());
                }
                ended.extend(answer.ended);
            }
        }
    }
    assert!(written.len() == 2 && written.values().all(|bytes| *bytes == content));
    assert_eq!(read, content);
    let whole = |summary: &&Summary| summary.read.complete && summary.read.bytes == 200_000;
    assert_eq!(ended.iter().filter(whole).count(), 1, "the one that was read to its end");
    assert!(session.unclosed().is_empty());
    let expect = [
        "mkdir /d",
        "write /d/f",
        "create /d/f",
        "truncate /d/f",
        "write /d/g",
        "create /d/g",
        "truncate /d/g",
        "list /d",
        "rename /d/g",
        "rename /d/h",
        "hardlink /d/h",
        "hardlink /d/i",
        "symlink /d/h",
        "symlink /d/l",
        "chmod /d/f",
        "statvfs /d",
        "read /d/f",
        "delete /d/i",
        "delete /d/l",
        "delete /d/f",
        "delete /d/h",
        "rmdir /d",
    ];
    for operation in expect {
        assert!(did.iter().any(|word| word == operation), "{operation} in {did:?}");
    }
}
